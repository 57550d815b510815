//! A past of both sides: there from the start, told to nobody, read back whole.

use std::time::Instant;

use crate::kit::{START, graphql, rest, shop_with, tenant};
use serde_json::{Value, json};
use tandem_standin::{Losing, Past, live_through};

fn past(people: u64, products: u64, orders: u64) -> Past {
    Past { people, products, orders, ..Past::between(START - 40 * 86_400_000, START - 86_400_000) }
}

#[tokio::test]
async fn a_past_is_shared_as_far_as_it_says_and_told_to_nobody() {
    let (shop, _) = shop_with(|options| options.scopes.push("read_all_orders".to_owned())).await;
    let (omneo, _) = tenant().await;
    live_through(&shop, &omneo, &past(100, 10, 50));
    assert!(shop.outbox().take().is_empty() && omneo.outbox().take().is_empty());
    let (customers, profiles) = (shop.customers(), omneo.profiles());
    // 60 are linked, 20 shared, and of the other 20 every second is on either side.
    assert_eq!((customers.len(), profiles.len()), (90, 90));
    let linked: Vec<_> = profiles.iter().filter(|one| one["identities"] != json!([])).collect();
    assert_eq!(linked.len(), 60);
    for profile in &linked {
        let linked_to = profile["identities"][0]["identifier"].as_str().unwrap();
        let customer = customers.iter().find(|one| one["id"].as_u64() == linked_to.parse().ok()).unwrap();
        assert_eq!(
            (&customer["metafields"]["omneo.profile_id"], &customer["email"]),
            (&profile["id"], &profile["email"])
        );
        assert_eq!(customer["first_name"], profile["first_name"]);
    }
    let emails = |all: &[Value]| all.iter().map(|one| one["email"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let here = emails(&customers);
    assert_eq!(emails(&profiles).iter().filter(|email| here.contains(email)).count(), 80);
    let first = &customers[0];
    assert_eq!(
        (&first["created_at"], &first["updated_at"]),
        (&json!("2026-05-22T10:00:00+10:00"), &json!("2026-05-22T10:00:00+10:00"))
    );
    let order = &shop.orders()[0];
    assert_eq!((&order["customer"]["id"], &order["total_price"]), (&first["id"], &json!("10.95")));
    assert_eq!(order["line_items"][0]["variant_id"], shop.products()[0]["variants"][0]["id"]);
    let query = "query C { customersCount(limit: null) { count } ordersCount(limit: null) { count } productsCount(limit: null) { count } }";
    let counted = graphql(&shop, query, json!({})).await["data"].clone();
    assert_eq!(
        counted,
        json!({ "customersCount": { "count": 90 }, "ordersCount": { "count": 50 }, "productsCount": { "count": 10 } })
    );

    let one = profiles[0]["id"].as_str().unwrap();
    omneo.update_profile(one, json!({ "first_name": "Zoe" })).unwrap();
    let again = omneo.outbox().take().pop().unwrap();
    assert_eq!(
        (again.topic.as_str(), &again.json()["id"]),
        ("profile.updated", &profiles[0]["id"]),
        "the present is told"
    );
}

#[tokio::test]
async fn tens_of_thousands_are_made_and_read_within_seconds() {
    let (shop, clock) = shop_with(|options| {
        options.scopes.push("read_all_orders".to_owned());
        options.bucket = (1e9, 1e9);
        options.bulk_at_once = 1_000;
    })
    .await;
    let (omneo, _) = tenant().await;
    let began = Instant::now();
    live_through(&shop, &omneo, &past(20_000, 5_000, 30_000));
    let made = began.elapsed();
    let query =
        "query P($after: String) { customers(first: 250, after: $after, sortKey: UPDATED_AT) { nodes { id email }
        pageInfo { hasNextPage endCursor } } }";
    let (mut after, mut read) = (Value::Null, 0);
    for _ in 0..20 {
        let page = graphql(&shop, query, json!({ "after": after })).await["data"]["customers"].clone();
        read += page["nodes"].as_array().unwrap().len();
        after = page["pageInfo"]["endCursor"].clone();
    }
    let page = rest(&omneo, "GET /profiles?page[size]=250&page[number]=72&sort=updated_at", Value::Null).await;
    println!("made in {made:?}, a page in {:?}", (began.elapsed() - made) / 21);
    let whole =
        "{ orders { edges { node { id name updatedAt customer { id email } totalPriceSet { shopMoney { amount } }
        lineItems { edges { node { id sku quantity originalUnitPriceSet { shopMoney { amount } } } } } } } } }";
    let run = "mutation Run($query: String!) { bulkOperationRunQuery(query: $query) { bulkOperation { id } } }";
    let begun = graphql(&shop, run, json!({ "query": whole })).await["data"]["bulkOperationRunQuery"].clone();
    let begun = begun["bulkOperation"]["id"].clone();
    clock.advance(1_000);
    let poll = "query Poll($id: ID!) { bulkOperation(id: $id) { status rootObjectCount } }";
    let began = Instant::now();
    let polled = graphql(&shop, poll, json!({ "id": begun })).await["data"]["bulkOperation"].clone();
    println!("{} orders for a file in {:?}", polled["rootObjectCount"], began.elapsed());
    assert_eq!(polled, json!({ "status": "RUNNING", "rootObjectCount": "1000" }));
    assert_eq!(
        (read, &page.body["meta"]["total"], page.body["data"].as_array().unwrap().len()),
        (5_000, &json!(18_000), 250)
    );
}

#[tokio::test]
async fn webhooks_are_lost_without_anybody_hearing_of_it() {
    let (shop, _) = shop_with(|_| {}).await;
    let id = shop.create_customer(json!({ "first_name": "Ann", "email": "ann@mail.test" })).unwrap();
    shop.outbox().take();
    shop.outbox().lose(Losing::Next(1));
    shop.update_customer(id, json!({ "first_name": "Bea" })).unwrap();
    shop.update_customer(id, json!({ "first_name": "Cleo" })).unwrap();
    let said = shop.outbox().take();
    assert_eq!((said.len(), &said[0].json()["first_name"]), (1, &json!("Cleo")));
    shop.outbox().lose(Losing::Everything);
    shop.add_tags(id, &["vip"]).unwrap();
    shop.delete_customer(id);
    shop.outbox().lose(Losing::Nothing);
    shop.create_customer(json!({ "first_name": "Dan", "email": "dan@mail.test" })).unwrap();
    assert_eq!(crate::kit::topics(&shop.outbox()), ["customers/create"]);
    assert_eq!((shop.outbox().lost(), shop.outbox().failed().len()), (3, 0));
}
