//! The stand-in shows each of its orders twice, as a webhook's body and as GraphQL's job: both become the same purchases.

use tandem_rules::DefaultRules;
use tandem_sdk::{
    Ask, Call, Decimal, Event, Method, Outcome, Reading, Reply, Request, Rules, Value, converse, event, json, reading,
    reply,
};
use tandem_standin::{Clock, Delivery, Ledger, Omneo, OmneoOptions, Past, Pays, Shopify, ShopifyOptions, live_through};

/// 2026-07-01T00:00:00Z.
const START: i64 = 1_782_864_000_000;

fn ask(shop: &Shopify, method: &str, path: &str, body: &str) -> String {
    // The place of the files refuses whoever shows it a token.
    let token = (method == "POST").then_some(("x-shopify-access-token", "shpat_standin"));
    let headers: Vec<_> = token.into_iter().chain([("content-type", "application/json")]).collect();
    let answer = shop.ask(method, path, &headers, body).expect("the stand-in answers");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

fn graphql(shop: &Shopify, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables }).to_string();
    serde_json::from_str(&ask(shop, "POST", "/admin/api/2026-07/graphql.json", &body)).expect("GraphQL is JSON")
}

/// What a job writes about each order: its own line and those below it.
fn exported(shop: &Shopify, clock: &Clock, document: &str) -> Vec<Vec<Value>> {
    const RUN: &str = "mutation Run($query: String!) { bulkOperationRunQuery(query: $query, groupObjects: true) {
        bulkOperation { id } userErrors { message } } }";
    const POLL: &str = "query Poll($id: ID!) { bulkOperation(id: $id) { status url } }";
    let begun = graphql(shop, RUN, json!({ "query": document }));
    let begun = &begun["data"]["bulkOperationRunQuery"];
    assert_eq!(begun["userErrors"], json!([]), "{document}");
    for _ in 0..100 {
        clock.advance(1_000);
        let polled = graphql(shop, POLL, json!({ "id": begun["bulkOperation"]["id"] }));
        let polled = &polled["data"]["bulkOperation"];
        if polled["status"] != "COMPLETED" {
            continue;
        }
        let url = polled["url"].as_str().expect("there are orders");
        // A shop without a socket has no address, so the file has only a path.
        let path = url.strip_prefix(&shop.url()).unwrap_or(url);
        let file = ask(shop, "GET", path, "");
        let mut orders: Vec<Vec<Value>> = vec![];
        for line in file.lines() {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            match orders.last_mut().filter(|_| line.get("__parentId").is_some()) {
                Some(order) => order.push(line),
                None => orders.push(vec![line]),
            }
        }
        return orders;
    }
    panic!("the job does not end");
}

/// Hears an event. Gives its outcome and what was written to Omneo.
fn hear(rules: &DefaultRules, shop: &Shopify, event: &Event) -> (Outcome, String, Vec<(String, Value)>) {
    let answer = |call: &Call| -> Reply {
        match &call.request {
            Request::Graphql(request) => {
                let variables = serde_json::from_str(&request.variables).expect("variables are JSON");
                reply(200, graphql(shop, &request.document, variables))
            }
            // The host knows the profile of every customer.
            Request::Rest(request) if call.target == "tandem" => {
                let name = request.path.strip_prefix("/names/").expect("the host is asked for names");
                reply(200, json!({ "data": ["omneo/profile/0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11", name] }))
            }
            Request::Rest(request) if request.method == Method::Get => reply(200, json!({ "data": [] })),
            Request::Rest(_) => reply(200, json!({ "data": { "id": "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11" } })),
        }
    };
    let (calls, end) = converse(rules, event, &[], answer);
    let written = calls.iter().filter_map(|call| match &call.request {
        Request::Rest(request) if call.target == "omneo" && request.method != Method::Get => {
            let body = request.body.as_ref().map(|body| serde_json::from_str(body).expect("a body is JSON"));
            Some((call.line(), body.unwrap_or_default()))
        }
        _ => None,
    });
    (end.outcome, end.reason, written.collect())
}

/// Orders that were given back, exchanged, edited and settled in every way. Gives those of which a fee came back.
fn eventful(shop: &Shopify) -> Vec<Value> {
    let mut with_fee = vec![];
    for taxes_included in [true, false] {
        for way in 0..10 {
            let number = 70 + way + if taxes_included { 20 } else { 0 };
            let fee = if matches!(way, 2 | 3 | 8) { 0 } else { 300 };
            let mut ledger = Ledger::sell(number, taxes_included, &[(2_000, 2, 150), (1_000, 3, 0)], 900, [fee, 500]);
            if way > 0 {
                ledger.pay();
            }
            match way {
                2 => drop(ledger.give_back(0, 1, true, Pays::Now)),
                3 => drop(ledger.give_back(0, 1, true, Pays::Later)),
                4 => drop(ledger.give_back(1, 3, false, Pays::Less(300))),
                5 => {
                    ledger.exchange(1, 1_500);
                    ledger.settle();
                }
                6 => drop(ledger.goodwill(250)),
                7 => ledger.remove_shipping(),
                8 => {
                    ledger.give_back(0, 1, false, Pays::Nothing);
                    ledger.give_back(1, 1, true, Pays::Now);
                    ledger.settle();
                }
                9 => drop(ledger.give_back(0, 1, true, Pays::Now)),
                _ => {}
            }
            let mut body = ledger.body("2026-06-30T12:00:00Z");
            body["order_number"] = json!(number);
            // A body of Shopify's lists the duties whose total it gives.
            for refund in body["refunds"].as_array_mut().into_iter().flatten() {
                refund["duties"] = json!([{ "amount_set": refund["total_duties_set"] }]);
            }
            with_fee.extend((way == 9).then(|| body["id"].clone()));
            shop.send_order("orders/updated", body);
        }
    }
    with_fee
}

/// What an order's transactions come to.
fn worth(written: &[(String, Value)]) -> Decimal {
    written.iter().map(|(_, body)| body["total"].to_string().parse::<Decimal>().expect("a total")).sum()
}

#[test]
fn the_stand_ins_orders_are_the_same_purchases_either_way() {
    let clock = Clock::fixed(START);
    let shop = Shopify::unplugged(ShopifyOptions {
        clock: clock.clone(),
        delivery: Delivery::Manual,
        bucket: (1e9, 1e9),
        scopes: [ShopifyOptions::default().scopes, vec!["read_all_orders".to_owned()]].concat(),
        ..ShopifyOptions::default()
    });
    let omneo = Omneo::unplugged(OmneoOptions { clock: clock.clone(), ..OmneoOptions::default() });
    let days = 86_400_000;
    live_through(
        &shop,
        &omneo,
        &Past { people: 20, products: 8, orders: 60, ..Past::between(START - 90 * days, START) },
    );
    let with_fee = eventful(&shop);
    let bodies = shop.orders();
    for money in ["shop", "presentment"] {
        let settings = json!({ "timezone": "UTC", "orders": { "from": "2020-01-01", "money": money } });
        let (rules, _) = DefaultRules::configure(&settings.to_string()).expect("the settings are right");
        let Ok(Ask::Bulk(document)) = rules.ask_page(&Reading { bulk: true, ..reading("orders") }) else {
            panic!("a job is asked for");
        };
        let orders = exported(&shop, &clock, &document);
        assert_eq!(orders.len(), bodies.len(), "the job lists every order");
        let (mut sold, mut returned) = (0, 0);
        for body in &bodies {
            let gid = format!("gid://shopify/Order/{}", body["id"]);
            let lines = orders.iter().find(|lines| lines[0]["id"] == *gid).expect("the job lists the order");
            let told = Event { topic: "orders/updated".into(), payload: body.to_string(), ..event() };
            let read = Event { topic: "pull/orders".into(), payload: json!(lines).to_string(), ..event() };
            let (told, read) = (hear(&rules, &shop, &told), hear(&rules, &shop, &read));
            // GraphQL shows no fee that came back, so the sale is what is left of the order.
            if with_fee.contains(&body["id"]) {
                assert_eq!((read.0, worth(&read.2)), (Outcome::Done, worth(&told.2)), "{money}: {}", read.1);
                continue;
            }
            assert_eq!(read, told, "{money}: {body}");
            let sent = told.2.iter().filter(|(line, _)| line.ends_with("/transactions/update-create"));
            let (back, sale): (Vec<_>, Vec<_>) =
                sent.partition(|(_, sent)| sent["external_id"].as_str().is_some_and(|id| id.contains("-R")));
            (sold, returned) = (sold + sale.len(), returned + back.len());
        }
        assert!(sold > 50 && returned > 5, "{sold} sales and {returned} returns");
    }
}
