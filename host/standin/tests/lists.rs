//! A whole shop and a whole tenant are read in pages, also while they change.

use crate::kit::{graphql, rest, shop, shop_with, tenant, tenant_with};
use serde_json::{Value, json};
use tandem_standin::{Rule, Shopify};

const CUSTOMERS: &str = "
fragment Person on Customer { id createdAt updatedAt state firstName lastName tags
  defaultEmailAddress { emailAddress marketingState marketingUpdatedAt }
  defaultPhoneNumber { phoneNumber marketingState marketingUpdatedAt }
  link: metafield(namespace: \"omneo\", key: \"profile_id\") { value } }
query PullCustomers($n: Int!, $after: String, $query: String, $sort: CustomerSortKeys!) {
  customers(first: $n, after: $after, query: $query, sortKey: $sort) {
    nodes { ...Person defaultAddress { id } addressesV2(first: 10) { nodes { id city } } }
    pageInfo { hasNextPage endCursor } }
  customersCount(limit: null) { count precision } }";

/// The names of a page, and its cursor where there is a next one.
async fn page(shop: &Shopify, variables: Value) -> (Vec<String>, Value) {
    let answer = graphql(shop, CUSTOMERS, variables).await;
    let list = &answer["data"]["customers"];
    let names = list["nodes"].as_array().unwrap().iter().map(|node| node["firstName"].as_str().unwrap().to_owned());
    let has_next = list["pageInfo"]["hasNextPage"] == true;
    (names.collect(), if has_next { list["pageInfo"]["endCursor"].clone() } else { Value::Null })
}

fn all() -> Value {
    json!({ "n": 3, "after": null, "query": null, "sort": "ID" })
}

async fn seven() -> (Shopify, tandem_standin::Clock, Vec<u64>) {
    let (shop, clock) = shop().await;
    let mut ids = vec![];
    for name in ["A", "B", "C", "D", "E", "F", "G"] {
        clock.advance(1_000);
        let address = json!([{ "address1": "1 High St", "city": "Perth", "country_code": "AU" }]);
        let person = json!({ "first_name": name, "email": format!("{name}@example.com"), "addresses": address });
        ids.push(shop.create_customer(person).unwrap());
    }
    (shop, clock, ids)
}

#[tokio::test]
async fn customers_are_paged_by_cursor_and_from_any_id_on() {
    let (shop, _, ids) = seven().await;
    shop.set_metafield(ids[1], ["omneo", "profile_id", "id", "p-1"]).unwrap();
    let first = graphql(&shop, CUSTOMERS, all()).await;
    assert_eq!(first["data"]["customersCount"], json!({ "count": 7, "precision": "EXACT" }));
    let second = &first["data"]["customers"]["nodes"][1];
    assert_eq!(
        (&second["link"]["value"], &second["addressesV2"]["nodes"][0]["city"]),
        (&json!("p-1"), &json!("Perth"))
    );
    let (mut names, mut variables, mut pages) = (vec![], all(), 0);
    loop {
        let (more, next) = page(&shop, variables.clone()).await;
        names.extend(more);
        pages += 1;
        if next.is_null() {
            break;
        }
        variables["after"] = next;
    }
    assert_eq!((names.concat(), pages), ("ABCDEFG".to_owned(), 3));
    let mut from = all();
    from["query"] = json!(format!("id:>{}", ids[4]));
    assert_eq!(page(&shop, from).await, (vec!["F".to_owned(), "G".to_owned()], Value::Null));
    let nobody = json!({ "n": 3, "after": "nonsense", "query": null, "sort": "ID" });
    let refused = graphql(&shop, CUSTOMERS, nobody).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}

#[tokio::test]
async fn a_customer_who_changes_while_pages_are_read_is_met_twice_and_nobody_is_missed() {
    let (shop, clock, ids) = seven().await;
    let mut variables = json!({ "n": 3, "after": null, "query": "updated_at:>='2026-07-01'", "sort": "UPDATED_AT" });
    let (names, next) = page(&shop, variables.clone()).await;
    assert_eq!(names, ["A", "B", "C"]);
    clock.advance(60_000);
    shop.update_customer(ids[0], json!({ "last_name": "Changed" })).unwrap();
    variables["after"] = next;
    let (names, next) = page(&shop, variables.clone()).await;
    assert_eq!(names, ["D", "E", "F"]);
    variables["after"] = next;
    assert_eq!(page(&shop, variables).await, (vec!["G".to_owned(), "A".to_owned()], Value::Null));
}

#[tokio::test]
async fn changes_of_customers_are_looked_for_by_the_shops_whole_days() {
    let (shop, clock) = shop_with(|options| options.offset_minutes = -240).await;
    shop.create_customer(json!({ "first_name": "Night" })).unwrap();
    clock.advance(6 * 3_600_000);
    shop.create_customer(json!({ "first_name": "Day" })).unwrap();
    let since =
        |text: &str| json!({ "n": 3, "after": null, "query": format!("updated_at:>='{text}'"), "sort": "UPDATED_AT" });
    // At midnight UTC it is still the day before in the shop.
    assert_eq!(page(&shop, since("2026-07-01")).await.0, ["Day"]);
    assert_eq!(page(&shop, since("2026-06-30")).await.0, ["Night", "Day"]);
    assert_eq!(page(&shop, since("2026-07-01T23:00:00Z")).await.0, ["Day"], "the hour counts for nothing");
}

#[tokio::test]
async fn what_came_of_a_query_never_costs_more_than_was_asked_for_and_a_query_has_its_limit() {
    let (shop, _, ids) = seven().await;
    let cost = |answer: &Value| {
        let cost = &answer["extensions"]["cost"];
        (cost["requestedQueryCost"].as_u64().unwrap(), cost["actualQueryCost"].as_u64().unwrap())
    };
    let mut variables = all();
    variables["n"] = json!(100);
    let (requested, actual) = cost(&graphql(&shop, CUSTOMERS, variables).await);
    assert!(actual <= requested && requested < 1_000, "{actual} of {requested}");
    let gids: Vec<_> = ids.iter().map(|id| format!("gid://shopify/Customer/{id}")).collect();
    let nodes = "query Nodes($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { id defaultAddress { id } addresses { id } } } }";
    let (requested, actual) = cost(&graphql(&shop, nodes, json!({ "ids": gids })).await);
    assert!(actual <= requested, "{actual} of {requested}");
    let wide = "query Wide { customers(first: 250) { nodes { addressesV2(first: 250) { nodes { id } }
        metafields(first: 250) { nodes { id } } orders(first: 250) { nodes { id refunds { id } customer { id } } } } } }";
    let refused = graphql(&shop, wide, json!({})).await;
    let said = &refused["errors"][0]["extensions"];
    assert_eq!(
        (&said["code"], &said["maxCost"], &refused["data"]),
        (&json!("MAX_COST_EXCEEDED"), &json!(1000), &Value::Null)
    );
    for wrong in ["customers { nodes { id } }", "customers(first: 251) { nodes { id } }"] {
        let refused = graphql(&shop, &format!("query W {{ {wrong} }}"), json!({})).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{wrong}");
    }
}

#[tokio::test]
async fn locations_are_paged_and_counted_the_inactive_ones_where_asked_for() {
    let (shop, clock) = shop().await;
    for (id, name) in [(3, "Carlton"), (1, "Brunswick"), (2, "Abbotsford")] {
        shop.add_location(id, name);
    }
    let query = "query PullLocations($n: Int!, $after: String) {
        locations(first: $n, after: $after, includeInactive: true, sortKey: ID) { nodes { id name isActive address { city } }
            pageInfo { hasNextPage endCursor } } locationsCount(limit: null) { count } }";
    let first = graphql(&shop, query, json!({ "n": 2, "after": null })).await["data"].clone();
    assert_eq!(
        (&first["locationsCount"]["count"], &first["locations"]["nodes"][0]["name"]),
        (&json!(3), &json!("Brunswick"))
    );
    let after = &first["locations"]["pageInfo"]["endCursor"];
    let rest = graphql(&shop, query, json!({ "n": 2, "after": after })).await["data"]["locations"].clone();
    assert_eq!((&rest["nodes"][0]["name"], &rest["pageInfo"]["hasNextPage"]), (&json!("Carlton"), &json!(false)));
    clock.advance(60_000);
    shop.change_location(2, json!({ "isActive": false, "address": { "city": "Melbourne" } }));
    let all = "query All { locations(first: 9) { nodes { name } } location: node(id: \"gid://shopify/Location/2\") {
        ... on Location { isActive createdAt updatedAt address { city } } } }";
    let seen = graphql(&shop, all, json!({})).await["data"].clone();
    assert_eq!(seen["locations"]["nodes"], json!([{ "name": "Brunswick" }, { "name": "Carlton" }]));
    let changed = json!({ "isActive": false, "createdAt": "2026-07-01T00:00:00Z", "updatedAt": "2026-07-01T00:01:00Z", "address": { "city": "Melbourne" } });
    assert_eq!(seen["location"], changed);
}

async fn profiles(omneo: &tandem_standin::Omneo, query: &str) -> (Vec<String>, Value) {
    let answer = rest(omneo, &format!("GET /profiles?{query}"), Value::Null).await;
    assert_eq!(answer.status, 200);
    let names = answer.body["data"].as_array().unwrap().iter();
    (names.map(|row| row["first_name"].as_str().unwrap().to_owned()).collect(), answer.body)
}

#[tokio::test]
async fn profiles_are_paged_by_their_last_change_and_the_list_shifts_while_it_is_read() {
    let (omneo, clock) = tenant().await;
    let mut ids = vec![];
    for name in ["Ann", "Ben", "Cas", "Dan", "Eve"] {
        clock.advance(1_000);
        ids.push(omneo.create_profile(json!({ "first_name": name, "email": format!("{name}@example.com") })).unwrap());
    }
    let since = "page[size]=2&sort=updated_at&filter[updated_at][gte]=2026-07-01 00:00:02".replace(' ', "%20");
    let (names, body) = profiles(&omneo, &format!("{since}&page[number]=1")).await;
    assert_eq!((names, &body["meta"]["total"]), (vec!["Ben".to_owned(), "Cas".to_owned()], &json!(4)));
    assert!(body["links"]["next"].is_string());
    clock.advance(1_000);
    omneo.update_profile(&ids[1], json!({ "last_name": "Changed" })).unwrap();
    let (names, body) = profiles(&omneo, &format!("{since}&page[number]=2")).await;
    assert_eq!(names, ["Eve", "Ben"], "Dan moved to the first page, which is read already");
    assert_eq!((&body["links"]["next"], &body["meta"]["current_page"]), (&Value::Null, &json!(2)));
    let (names, _) = profiles(&omneo, "sort=-updated_at&page[size]=1").await;
    assert_eq!(names, ["Ben"]);
}

#[tokio::test]
async fn a_page_of_profiles_holds_no_more_than_the_tenant_allows() {
    let (omneo, _) = tenant_with(|options| options.page_max = 3).await;
    for n in 0..5 {
        omneo.create_profile(json!({ "first_name": "Ann", "email": format!("{n}@example.com") })).unwrap();
    }
    let (names, body) = profiles(&omneo, "page[size]=250").await;
    assert_eq!((names.len(), &body["meta"]["per_page"], &body["meta"]["last_page"]), (3, &json!(3), &json!(2)));
}

#[tokio::test]
async fn an_answer_is_altered_once_where_a_test_asks_for_it() {
    let (shop, _, _) = seven().await;
    shop.faults().alter(Rule::operation("PullCustomers").skip(1), |answer| {
        let nodes = answer["data"]["customers"]["nodes"].as_array_mut().unwrap();
        let again = nodes[0].clone();
        nodes.push(again);
    });
    for expected in ["ABC", "ABCA", "ABC"] {
        assert_eq!(page(&shop, all()).await.0.concat(), expected);
    }
}
