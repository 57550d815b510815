//! Queries over a whole shop, their files, and all that can go wrong with them.

use crate::kit::{Reply, ask_with, graphql, http, shop, shop_with};
use serde_json::{Value, json};
use tandem_standin::{AppOptions, BulkFault, Clock, Ledger, Losing, Shopify, ShopifyOptions};

const ORDERS: &str = "query BulkOrders { orders(query: \"processed_at:>='2025-01-01T00:00:00Z'\") { edges { node {
    __typename id legacyResourceId name number test createdAt processedAt updatedAt cancelledAt currencyCode presentmentCurrencyCode
    displayFinancialStatus displayFulfillmentStatus taxesIncluded dutiesIncluded email sourceName paymentGatewayNames
    customer { id legacyResourceId email firstName lastName } totalPriceSet { shopMoney { amount } presentmentMoney { amount } }
    currentTotalPriceSet { shopMoney { amount } } totalDiscountsSet { shopMoney { amount } } refunds { id }
    taxLines { priceSet { shopMoney { amount } } }
    lineItems { edges { node { __typename id name sku quantity currentQuantity isGiftCard variant { legacyResourceId }
        originalUnitPriceSet { shopMoney { amount } } taxLines { priceSet { shopMoney { amount } } }
        discountAllocations { allocatedAmountSet { shopMoney { amount } } discountApplication { index } } } } }
    shippingLines(includeRemovals: true) { edges { node { __typename id title isRemoved originalPriceSet { shopMoney { amount } }
        taxLines { priceSet { shopMoney { amount } } } } } }
    discountApplications { edges { node { __typename index } } } } } } }";

const RUN: &str =
    "mutation Run($query: String!, $group: Boolean!) { bulkOperationRunQuery(query: $query, groupObjects: $group) {
    bulkOperation { id status objectCount url } userErrors { field message code } } }";
const POLL: &str = "query Poll($id: ID!) { bulkOperation(id: $id) {
    id status errorCode objectCount rootObjectCount fileSize url partialDataUrl completedAt type } }";

/// A shop with `n` orders of two lines, with shipping and a discount.
async fn with_orders(n: u64) -> (Shopify, Clock) {
    let (shop, clock) = shop_with(|options| options.scopes.push("read_all_orders".to_owned())).await;
    for number in 1..=n {
        let mut ledger = Ledger::sell(number, true, &[(1_000, 2, 100), (500, 1, 0)], 800, [0, 0]);
        ledger.pay();
        let mut body = ledger.body("2026-06-30T12:00:00Z");
        body["discount_applications"] =
            json!([{ "type": "manual", "title": "Sorry", "value": "1.00", "value_type": "fixed_amount" }]);
        shop.send_order("orders/create", body);
    }
    shop.outbox().take();
    (shop, clock)
}

async fn run(shop: &Shopify, query: &str, group: bool) -> Value {
    let answer = graphql(shop, RUN, json!({ "query": query, "group": group })).await;
    answer["data"]["bulkOperationRunQuery"].clone()
}

/// The operation after a second.
async fn poll(shop: &Shopify, clock: &Clock, id: &Value) -> Value {
    clock.advance(1_000);
    graphql(shop, POLL, json!({ "id": id })).await["data"]["bulkOperation"].clone()
}

async fn fetch(shop: &Shopify, url: &Value, headers: &[(&str, &str)]) -> Reply {
    let path = url.as_str().unwrap().strip_prefix(&shop.url()).unwrap().to_owned();
    http(shop.address(), &format!("GET {path}"), headers, None).await.unwrap()
}

/// Runs a query to its end: the operation, and the lines of its file.
async fn exported(shop: &Shopify, clock: &Clock, query: &str, group: bool) -> (Value, Vec<Value>) {
    let begun = run(shop, query, group).await;
    assert_eq!(begun["userErrors"], json!([]), "{begun}");
    let done = poll(shop, clock, &begun["bulkOperation"]["id"]).await;
    let text = fetch(shop, &done["url"], &[]).await.text;
    (done, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn types(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["__typename"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn children_stand_apart_from_their_parents_unless_they_are_grouped() {
    let (shop, clock) = with_orders(2).await;
    let begun = run(&shop, ORDERS, false).await["bulkOperation"].clone();
    assert_eq!(
        (&begun["status"], &begun["objectCount"], &begun["url"]),
        (&json!("CREATED"), &json!("0"), &Value::Null)
    );
    let still = graphql(&shop, POLL, json!({ "id": begun["id"] })).await;
    assert_eq!(still["data"]["bulkOperation"]["status"], "CREATED");
    let done = poll(&shop, &clock, &begun["id"]).await;
    assert_eq!(
        (&done["status"], &done["rootObjectCount"], &done["type"]),
        (&json!("COMPLETED"), &json!("2"), &json!("QUERY"))
    );
    let file = fetch(&shop, &done["url"], &[]).await;
    assert_eq!((file.status, &done["fileSize"]), (200, &json!(file.text.len().to_string())));
    let lines: Vec<Value> = file.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(done["objectCount"], lines.len().to_string());
    assert_eq!(types(&lines)[..4], ["Order", "Order", "LineItem", "LineItem"]);
    let order = &lines[0];
    assert_eq!((&order["name"], &order["totalPriceSet"]["shopMoney"]["amount"]), (&json!("#1"), &json!("32.00")));
    assert!(order.get("lineItems").is_none() && order.get("__parentId").is_none());
    let of = |line: &Value, ty: &str| line["__typename"] == ty && line["__parentId"] == order["id"];
    let own: Vec<_> = lines.iter().filter(|line| of(line, "LineItem")).collect();
    assert_eq!((own.len(), &own[0]["discountAllocations"][0]["discountApplication"]["index"]), (2, &json!(0)));
    assert_eq!(lines.iter().filter(|line| of(line, "ShippingLine")).count(), 1);
    let discount = lines.iter().find(|line| of(line, "ManualDiscountApplication")).unwrap();
    assert_eq!((&discount["index"], discount.get("id")), (&json!(0), None));
    let said = shop.outbox().take().pop().unwrap();
    assert_eq!(said.topic, "bulk_operations/finish");
    let body = json!({ "admin_graphql_api_id": begun["id"], "completed_at": "2026-07-01T10:00:01+10:00", "created_at": "2026-07-01T10:00:00+10:00",
        "error_code": null, "status": "completed", "type": "query" });
    assert_eq!(said.json(), body);

    let (_, lines) = exported(&shop, &clock, ORDERS, true).await;
    assert_eq!(
        types(&lines)[..6],
        ["Order", "LineItem", "LineItem", "ShippingLine", "ManualDiscountApplication", "Order"].map(|ty| ty)
    );
}

#[tokio::test]
async fn products_come_with_their_variants_and_images() {
    let (shop, clock) = shop().await;
    shop.send_product(
        "products/create",
        json!({ "id": 5, "title": "Hat", "handle": "hat", "vendor": "Acme", "updated_at": "2026-06-30T12:00:00Z", "options": [{ "name": "Size" }],
            "images": [{ "id": 3, "src": "https://cdn.test/hat.jpg" }],
            "variants": [{ "id": 9, "title": "M", "price": "15.00", "position": 1, "option1": "M", "sku": "HAT-M" }] }),
    );
    let query = |since: &str| {
        format!("query BulkProducts {{ products(query: \"updated_at:>='{since}'\") {{ edges {{ node {{ __typename id title handle vendor status
        descriptionHtml tags updatedAt publishedAt templateSuffix variantsCount {{ count }} variants {{ edges {{ node {{ __typename id title sku barcode price compareAtPrice position
            selectedOptions {{ name value }} }} }} }}
        media {{ edges {{ node {{ __typename id ... on MediaImage {{ image {{ url }} }} }} }} }} }} }} }} }}")
    };
    let (done, lines) = exported(&shop, &clock, &query("2026-06-30T12:00:00Z"), false).await;
    assert_eq!((&done["objectCount"], types(&lines)), (&json!("3"), vec!["Product", "ProductVariant", "MediaImage"]));
    assert_eq!((&lines[1]["sku"], &lines[2]["image"]["url"]), (&json!("HAT-M"), &json!("https://cdn.test/hat.jpg")));
    assert_eq!((&lines[0]["variantsCount"]["count"], &lines[0]["templateSuffix"]), (&json!(1), &Value::Null));
    assert!(lines[1..].iter().all(|line| line["__parentId"] == "gid://shopify/Product/5"));
    let begun = run(&shop, &query("2026-06-30T12:00:01Z"), false).await;
    let nothing = poll(&shop, &clock, &begun["bulkOperation"]["id"]).await;
    assert_eq!(
        (&nothing["status"], &nothing["objectCount"], &nothing["url"]),
        (&json!("COMPLETED"), &json!("0"), &Value::Null)
    );
}

#[tokio::test]
async fn the_address_of_a_file_is_signed_ends_after_a_week_and_takes_no_access_token() {
    let (shop, clock) = with_orders(1).await;
    let (done, _) = exported(&shop, &clock, ORDERS, false).await;
    for header in [("x-shopify-access-token", "shpat_standin"), ("authorization", "Bearer x")] {
        assert_eq!(fetch(&shop, &done["url"], &[header]).await.status, 400);
    }
    let forged = json!(format!("{}0", done["url"].as_str().unwrap()));
    assert_eq!(fetch(&shop, &forged, &[]).await.status, 403);
    clock.advance(7 * 86_400_000);
    let late = fetch(&shop, &done["url"], &[]).await;
    assert_eq!(late.status, 400);
    assert!(late.text.contains("ExpiredToken"));
    assert_eq!(poll(&shop, &clock, &done["id"]).await["status"], "EXPIRED");
}

#[tokio::test]
async fn five_run_at_once_and_one_that_is_cancelled_keeps_its_place_until_it_ends() {
    let (shop, clock) = with_orders(1).await;
    let mut ids = vec![];
    for _ in 0..5 {
        shop.next_bulk(BulkFault::Slow(60_000));
        ids.push(run(&shop, ORDERS, false).await["bulkOperation"]["id"].clone());
    }
    let sixth = run(&shop, ORDERS, false).await;
    let all = ids.iter().map(|id| id.as_str().unwrap()).collect::<Vec<_>>().join(", ");
    let error = json!({ "field": null, "message": format!("A bulk query operation for this app and shop is already in progress: {all}."), "code": "OPERATION_IN_PROGRESS" });
    assert_eq!((&sixth["bulkOperation"], &sixth["userErrors"][0]), (&Value::Null, &error));
    assert_eq!(poll(&shop, &clock, &ids[0]).await["status"], "RUNNING");
    let cancel = "mutation Cancel($id: ID!) { bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { message } } }";
    let asked = graphql(&shop, cancel, json!({ "id": ids[0] })).await["data"]["bulkOperationCancel"].clone();
    assert_eq!(asked, json!({ "bulkOperation": { "status": "CANCELING" }, "userErrors": [] }));
    assert_eq!(run(&shop, ORDERS, false).await["userErrors"][0]["code"], "OPERATION_IN_PROGRESS");
    let over = poll(&shop, &clock, &ids[0]).await;
    assert_eq!((&over["status"], &over["fileSize"], over["url"].is_string()), (&json!("CANCELED"), &Value::Null, true));
    assert_eq!(run(&shop, ORDERS, false).await["userErrors"], json!([]));
    let late = graphql(&shop, cancel, json!({ "id": ids[0] })).await["data"]["bulkOperationCancel"].clone();
    assert_eq!(late["userErrors"].as_array().unwrap().len(), 1);
    let nobody = graphql(&shop, cancel, json!({ "id": "gid://shopify/BulkOperation/1" })).await;
    assert_eq!(nobody["data"]["bulkOperationCancel"]["bulkOperation"], Value::Null);
}

#[tokio::test]
async fn a_query_is_refused_in_the_recorded_words() {
    let (shop, _) = shop().await;
    let node = |inner: &str| format!("{{ orders {{ edges {{ node {{ {inner} }} }} }} }}");
    let lines = "lineItems { edges { node { id } } }";
    let six = (0..5).map(|n| format!("a{n}: {lines}")).collect::<Vec<_>>().join(" ");
    let deep = format!(
        "{{ customers {{ edges {{ node {{ id orders {{ edges {{ node {{ id {lines} refunds {{ id }} }} }} }} }} }} }} }}"
    );
    let refused = [
        (
            "{ orders { nodes { id } } }".to_owned(),
            "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: 'orders { edges { node {'. Selecting via 'nodes' is not supported. Invalid connection fields: 'orders'.",
        ),
        (
            node(lines),
            "The parent 'node' field for a nested connection must select the 'id' field without an alias and must be of 'ID' return type. Connection fields without 'id': orders.",
        ),
        (
            node(&format!("id: name {lines}")),
            "The parent 'node' field for a nested connection must select the 'id' field without an alias and must be of 'ID' return type. Connection fields without 'id': orders.",
        ),
        (node(&format!("id {six}")), "Bulk queries cannot contain more than 5 connections."),
        (
            node("id refunds { id refundLineItems { edges { node { quantity } } } }"),
            "Queries that contain a connection field within a list field are not currently supported.",
        ),
        (
            deep.replace(
                "refunds { id }",
                "a: lineItems { edges { node { variant { product { id variants { edges { node { id } } } } } } } }",
            ),
            "Bulk queries cannot contain connections with a nesting depth greater than 2.",
        ),
        ("{ shop { name } }".to_owned(), "Bulk queries must contain at least one connection."),
        (
            "{ node(id: \"gid://shopify/Product/0\") { id } }".to_owned(),
            "Bulk queries cannot contain a top level `node` field.",
        ),
        (
            "mutation { tagsAdd(id: \"1\", tags: []) { node { id } } }".to_owned(),
            "Invalid operation type. Only `query` operations are supported.",
        ),
        (
            format!("{{ shop {{ name }} }} {}", " ".repeat(65_520)),
            "Query is too large (65538 bytes; maximum is 65535 bytes)",
        ),
        (node("id nonsense"), "Field 'nonsense' doesn't exist on type 'Order'"),
    ];
    for (query, message) in refused {
        let answer = run(&shop, &query, false).await;
        let error = &answer["userErrors"][0];
        assert_eq!((error["message"].as_str(), &error["code"]), (Some(message), &json!("INVALID")), "{query:.200}");
    }
    let deep_enough = run(&shop, &deep, false).await;
    assert_eq!(deep_enough["userErrors"], json!([]), "two levels below the root are allowed");
}

#[tokio::test]
async fn what_goes_wrong_is_asked_for_beforehand() {
    let (shop, clock) = with_orders(3).await;
    let full = exported(&shop, &clock, ORDERS, false).await.1.len();
    let wrong = |fault: BulkFault| {
        let (shop, clock) = (shop.clone(), clock.clone());
        async move {
            shop.next_bulk(fault);
            let begun = run(&shop, ORDERS, true).await;
            poll(&shop, &clock, &begun["bulkOperation"]["id"]).await
        }
    };
    shop.next_bulk(BulkFault::Refused("Internal error".to_owned()));
    assert_eq!(run(&shop, ORDERS, false).await["userErrors"][0]["message"], "Internal error");
    let failed = wrong(BulkFault::Failed("ACCESS_DENIED")).await;
    assert_eq!(
        (&failed["status"], &failed["errorCode"], &failed["url"], &failed["partialDataUrl"]),
        (&json!("FAILED"), &json!("ACCESS_DENIED"), &Value::Null, &Value::Null)
    );
    assert_eq!(shop.outbox().take().pop().unwrap().json()["error_code"], "access_denied");
    let half = wrong(BulkFault::HalfThere("TIMEOUT", 50)).await;
    assert_eq!((&half["status"], &half["url"]), (&json!("FAILED"), &Value::Null));
    assert_eq!(fetch(&shop, &half["partialDataUrl"], &[]).await.text.lines().count(), full / 2);
    let cancelled = wrong(BulkFault::Cancelled).await;
    assert_eq!((&cancelled["status"], cancelled["url"].is_string()), (&json!("CANCELED"), true));
    let expired = wrong(BulkFault::ExpiredUrl).await;
    assert_eq!((&expired["status"], fetch(&shop, &expired["url"], &[]).await.status), (&json!("COMPLETED"), 400));
    let nowhere = wrong(BulkFault::NoUrl).await;
    assert_eq!(
        (&nowhere["status"], &nowhere["url"], nowhere["objectCount"] != "0"),
        (&json!("COMPLETED"), &Value::Null, true)
    );
    let empty = wrong(BulkFault::Empty).await;
    assert_eq!((&empty["fileSize"], &empty["objectCount"]), (&json!("0"), &json!(full.to_string())));
    assert_eq!(fetch(&shop, &empty["url"], &[]).await.text, "");
    let cut = wrong(BulkFault::CutOff).await;
    let text = fetch(&shop, &cut["url"], &[]).await.text;
    assert_eq!(text.lines().count(), full);
    assert!(serde_json::from_str::<Value>(text.lines().last().unwrap()).is_err());
    let apart = wrong(BulkFault::NotGrouped).await;
    let text = fetch(&shop, &apart["url"], &[]).await.text;
    assert!(text.lines().take(3).all(|line| line.contains("\"Order\"")), "though it was asked to group them");
    let slow = wrong(BulkFault::Slow(5_000)).await;
    assert_eq!(slow["status"], "RUNNING");
    clock.advance(5_000);
    assert_eq!(poll(&shop, &clock, &slow["id"]).await["status"], "COMPLETED");
    shop.outbox().take();
    shop.outbox().lose(Losing::Next(1));
    exported(&shop, &clock, ORDERS, false).await;
    assert_eq!((shop.outbox().take().len(), shop.outbox().lost()), (0, 1), "the webhook of the end is not promised");
}

#[tokio::test]
async fn a_big_shop_is_read_bit_by_bit_and_its_operations_are_their_apps_own() {
    let (shop, clock) = with_orders(1_200).await;
    let begun = run(&shop, "{ orders { edges { node { id } } } }", false).await;
    let id = &begun["bulkOperation"]["id"];
    let under_way = poll(&shop, &clock, id).await;
    assert_eq!((&under_way["status"], &under_way["objectCount"]), (&json!("RUNNING"), &json!("500")));
    poll(&shop, &clock, id).await;
    let done = poll(&shop, &clock, id).await;
    assert_eq!((&done["status"], &done["objectCount"]), (&json!("COMPLETED"), &json!("1200")));

    let own = AppOptions::own("own-id", "own-secret");
    let options = ShopifyOptions { apps: vec![own], clock: clock.clone(), ..ShopifyOptions::default() };
    let both = Shopify::start(options).await.unwrap();
    let begun = ask_with(
        &both,
        "shpat_standin",
        RUN,
        json!({ "query": "{ orders { edges { node { id } } } }", "group": false }),
    )
    .await;
    let id = begun.body["data"]["bulkOperationRunQuery"]["bulkOperation"]["id"].clone();
    assert!(id.is_string(), "{}", begun.text);
    let form = "grant_type=client_credentials&client_id=own-id&client_secret=own-secret";
    assert!(both.install("own-id"));
    let token =
        crate::kit::post_form(both.address(), "/admin/oauth/access_token", form).await.unwrap().body["access_token"]
            .clone();
    let other = ask_with(&both, token.as_str().unwrap(), POLL, json!({ "id": id })).await;
    assert_eq!(other.body["data"]["bulkOperation"], Value::Null);
}

#[tokio::test]
async fn without_leave_to_read_all_orders_the_last_60_days_are_all_there_are() {
    let (shop, clock) = shop().await;
    for (id, at) in [(1, "2026-04-01T00:00:00Z"), (2, "2026-06-01T00:00:00Z")] {
        shop.send_order(
            "orders/create",
            json!({ "id": id, "created_at": at, "processed_at": at, "currency": "AUD", "line_items": [] }),
        );
    }
    let (_, lines) = exported(&shop, &clock, "{ orders { edges { node { id } } } }", false).await;
    assert_eq!(lines, [json!({ "id": "gid://shopify/Order/2" })]);
    let counted =
        graphql(&shop, "query C { ordersCount { count precision } productsCount(limit: null) { count } }", json!({}))
            .await;
    assert_eq!(
        counted["data"],
        json!({ "ordersCount": { "count": 1, "precision": "EXACT" }, "productsCount": { "count": 0 } })
    );
}
