//! One order, told as a webhook's body, by GraphQL and by REST.

use crate::kit::{Reply, ask_with, graphql, http, shop_with};
use serde_json::{Value, json};
use tandem_standin::{AppOptions, Ledger, Pays, SessionToken, Shopify};

const DETAILS: &str = "query Order($id: ID!) { order(id: $id) { id name number customer { id email firstName } retailLocation { id name }
    customAttributes { key value } presentmentCurrencyCode
    totalTipReceivedSet { shopMoney { amount } } originalTotalDutiesSet { shopMoney { amount } presentmentMoney { amount currencyCode } }
    totalPriceSet { shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }
    totalRefundedSet { shopMoney { amount } } netPaymentSet { shopMoney { amount } } totalOutstandingSet { shopMoney { amount } }
    discountApplications(first: 5) { nodes { __typename index allocationMethod targetType ... on DiscountCodeApplication { code }
        ... on ManualDiscountApplication { title } value { __typename ... on PricingPercentageValue { percentage } ... on MoneyV2 { amount } } } }
    lineItems(first: 50) { nodes { id name quantity currentQuantity isGiftCard variant { legacyResourceId }
        originalUnitPriceSet { shopMoney { amount } } taxLines { title rate priceSet { shopMoney { amount } } } duties { price { shopMoney { amount } } }
        discountAllocations { allocatedAmountSet { shopMoney { amount } presentmentMoney { amount } } discountApplication { index } } } }
    shown: shippingLines(first: 5) { nodes { title } }
    shippingLines(first: 5, includeRemovals: true) { nodes { title isRemoved originalPriceSet { shopMoney { amount } } } }
    refunds { id legacyResourceId createdAt note totalRefundedSet { shopMoney { amount } } duties { amountSet { shopMoney { amount } } originalDuty { id price { shopMoney { amount } } taxLines { rate } } }
        refundLineItems(first: 50) { nodes { quantity lineItem { id } subtotalSet { shopMoney { amount } } totalTaxSet { shopMoney { amount } } } }
        refundShippingLines(first: 5) { nodes { subtotalAmountSet { shopMoney { amount } } shippingLine { originalPriceSet { shopMoney { amount } } } } }
        orderAdjustments(first: 5) { nodes { reason amountSet { shopMoney { amount } } } }
        transactions(first: 5) { nodes { kind status amountSet { shopMoney { amount } } } } }
    returns(first: 5) { nodes { exchangeLineItems(first: 5) { nodes { lineItems { id } } } } } } }";

async fn order(shop: &Shopify, id: u64) -> Value {
    let answer = graphql(shop, DETAILS, json!({ "id": format!("gid://shopify/Order/{id}") })).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["order"].clone()
}

fn amount(set: &Value) -> &str {
    set["shopMoney"]["amount"].as_str().unwrap()
}

#[tokio::test]
async fn refunds_and_exchanges_read_as_their_bodies_say() {
    let (shop, _) = shop_with(|_| {}).await;
    let mut ledger = Ledger::sell(41, true, &[(2_000, 2, 0), (1_000, 1, 100)], 900, [0, 500]);
    ledger.pay();
    ledger.give_back(0, 1, true, Pays::Less(300));
    ledger.exchange(1, 1_500);
    let body = ledger.body("2026-07-01T10:00:00+10:00");
    shop.send_order("orders/updated", body.clone());
    let seen = order(&shop, 41).await;
    let [net_payment, outstanding, ..] = ledger.figures().map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
    assert_eq!(
        (amount(&seen["netPaymentSet"]), amount(&seen["totalOutstandingSet"])),
        (net_payment.as_str(), outstanding.as_str())
    );
    assert_eq!(amount(&seen["originalTotalDutiesSet"]), "5.00");
    let lines = seen["lineItems"]["nodes"].as_array().unwrap();
    for (seen, said) in lines.iter().zip(body["line_items"].as_array().unwrap()) {
        assert_eq!(seen["id"], format!("gid://shopify/LineItem/{}", said["id"]));
        assert_eq!((&seen["quantity"], &seen["currentQuantity"]), (&said["quantity"], &said["current_quantity"]));
        assert_eq!(
            (amount(&seen["originalUnitPriceSet"]), amount(&seen["taxLines"][0]["priceSet"])),
            (said["price"].as_str().unwrap(), said["tax_lines"][0]["price"].as_str().unwrap())
        );
    }
    assert_eq!((lines.len(), seen["refunds"].as_array().unwrap().len()), (3, 2));
    let (refund, said) = (&seen["refunds"][0], &body["refunds"][0]);
    assert_eq!(refund["legacyResourceId"], said["id"].to_string());
    let member = &refund["refundLineItems"]["nodes"][0];
    let said_line = &said["refund_line_items"][0];
    assert_eq!(
        (&member["quantity"], amount(&member["subtotalSet"])),
        (&said_line["quantity"], said_line["subtotal_set"]["shop_money"]["amount"].as_str().unwrap())
    );
    assert_eq!(member["lineItem"]["id"], lines[0]["id"]);
    let shipping = &refund["refundShippingLines"]["nodes"][0];
    assert_eq!(
        (amount(&shipping["subtotalAmountSet"]), amount(&shipping["shippingLine"]["originalPriceSet"])),
        ("9.00", "9.00")
    );
    let adjustment = &refund["orderAdjustments"]["nodes"][0];
    assert_eq!((&adjustment["reason"], amount(&adjustment["amountSet"])), (&json!("REFUND_DISCREPANCY"), "3.00"));
    let paid = &refund["transactions"]["nodes"][0];
    assert_eq!(
        (&paid["kind"], &paid["status"], amount(&paid["amountSet"])),
        (&json!("REFUND"), &json!("SUCCESS"), amount(&refund["totalRefundedSet"]))
    );
}

#[tokio::test]
async fn a_sale_at_the_till_in_another_currency_reads_as_its_body_says() {
    let (shop, _) = shop_with(|_| {}).await;
    shop.add_location(77, "Carlton");
    let set = |shop: &str, presentment: &str| json!({ "shop_money": { "amount": shop, "currency_code": "AUD" }, "presentment_money": { "amount": presentment, "currency_code": "NZD" } });
    let body = json!({
        "id": 42, "name": "#42", "order_number": 42, "currency": "AUD", "presentment_currency": "NZD", "location_id": 77, "source_name": "pos",
        "customer": { "id": 9, "email": "till@mail.test", "first_name": "Till" }, "created_at": "2026-07-01T10:00:00+10:00",
        "note_attributes": [{ "name": "gift", "value": "yes" }], "total_price": "31.00", "total_price_set": set("31.00", "34.10"),
        "total_tip_received": "1.00", "original_total_duties_set": set("2.00", "2.20"), "financial_status": "paid",
        "discount_applications": [
            { "type": "discount_code", "code": "TEN", "value": "10.0", "value_type": "percentage", "allocation_method": "across", "target_type": "line_item" },
            { "type": "manual", "title": "Sorry", "value": "1.0", "value_type": "fixed_amount" }],
        "line_items": [{ "id": 1, "name": "Hat", "price": "30.00", "price_set": set("30.00", "33.00"), "quantity": 1, "variant_id": null, "gift_card": true,
            "duties": [{ "id": 8, "shop_money": { "amount": "2.00", "currency_code": "AUD" } }],
            "discount_allocations": [{ "amount": "3.00", "amount_set": set("3.00", "3.30"), "discount_application_index": 0 }] }],
        "shipping_lines": [{ "id": 5, "title": "Post", "price": "4.00", "is_removed": true }],
        "refunds": [{ "id": 11, "created_at": "2026-07-01T11:00:00+10:00", "duties": [{ "duty_id": 8, "amount_set": set("1.00", "1.10") }] }],
        "returns": [{ "id": 6, "exchange_line_items": [{ "id": 7, "line_item_id": 1, "quantity": 1 }] }],
    });
    shop.send_order("orders/create", body);
    let seen = order(&shop, 42).await;
    assert_eq!(seen["totalPriceSet"]["presentmentMoney"], json!({ "amount": "34.10", "currencyCode": "NZD" }));
    assert_eq!(seen["originalTotalDutiesSet"]["presentmentMoney"]["amount"], "2.20");
    assert_eq!((&seen["retailLocation"]["name"], &seen["customer"]["firstName"]), (&json!("Carlton"), &json!("Till")));
    assert_eq!(
        (&seen["customAttributes"], amount(&seen["totalTipReceivedSet"])),
        (&json!([{ "key": "gift", "value": "yes" }]), "1.00")
    );
    let applications = &seen["discountApplications"]["nodes"];
    assert_eq!((&applications[0]["code"], &applications[0]["value"]["percentage"]), (&json!("TEN"), &json!(10.0)));
    assert_eq!(
        (&applications[1]["__typename"], &applications[1]["title"], &applications[1]["value"]["amount"]),
        (&json!("ManualDiscountApplication"), &json!("Sorry"), &json!("1.0"))
    );
    let line = &seen["lineItems"]["nodes"][0];
    assert_eq!(
        (&line["isGiftCard"], &line["variant"], amount(&line["duties"][0]["price"])),
        (&json!(true), &Value::Null, "2.00")
    );
    assert_eq!(line["discountAllocations"][0]["allocatedAmountSet"]["presentmentMoney"]["amount"], "3.30");
    assert_eq!((&seen["shown"]["nodes"], &seen["shippingLines"]["nodes"][0]["isRemoved"]), (&json!([]), &json!(true)));
    assert_eq!(seen["returns"]["nodes"][0]["exchangeLineItems"]["nodes"][0]["lineItems"][0]["id"], line["id"]);
    let duty = &seen["refunds"][0]["duties"][0];
    assert_eq!((amount(&duty["amountSet"]), amount(&duty["originalDuty"]["price"])), ("1.00", "2.00"));
    let stranger = graphql(&shop, "query S { order(id: \"gid://shopify/Order/1\") { id } }", json!({})).await;
    assert_eq!(stranger["data"]["order"], Value::Null);
}

async fn rest(shop: &Shopify, target: &str, token: &str) -> Reply {
    http(shop.address(), &format!("GET {target}"), &[("x-shopify-access-token", token)], None).await.unwrap()
}

/// The target of the next page.
fn next(shop: &Shopify, reply: &Reply) -> Option<String> {
    let link = reply.header("link").strip_suffix(">; rel=\"next\"")?.strip_prefix('<')?;
    Some(link.strip_prefix(&shop.url()).unwrap().to_owned())
}

#[tokio::test]
async fn orders_are_listed_by_rest_for_apps_of_the_shop_alone() {
    let own = AppOptions::own("own-id", "own-secret");
    let public = AppOptions::embedded("public-id", "public-secret", "http://127.0.0.1:1/app");
    let (shop, _) = shop_with(|options| options.apps = vec![own, public]).await;
    for id in 1..=5_u64 {
        let at = format!("2026-06-0{id}T00:00:00Z");
        let cancelled = (id == 4).then_some(&at);
        shop.send_order("orders/create", json!({ "id": id, "created_at": at, "processed_at": at, "updated_at": at, "cancelled_at": cancelled, "line_items": [] }));
    }
    let path = "/admin/api/2026-07/orders.json";
    let ids = |reply: &Reply| {
        reply.body["orders"].as_array().unwrap().iter().map(|order| order["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let open = rest(&shop, path, "shpat_standin").await;
    assert_eq!((open.status, ids(&open)), (200, vec![5, 3, 2, 1]), "without a status, those that are open");
    let first =
        rest(&shop, &format!("{path}?status=any&limit=2&processed_at_min=2026-06-02T00:00:00Z"), "shpat_standin").await;
    assert_eq!(ids(&first), [5, 4]);
    assert_eq!(first.body["orders"][1], shop.orders()[3], "the bodies are those of webhooks");
    let second = rest(&shop, &next(&shop, &first).unwrap(), "shpat_standin").await;
    assert_eq!((ids(&second), next(&shop, &second)), (vec![3, 2], None));
    let since = rest(&shop, &format!("{path}?status=any&updated_at_min=2026-06-05T00:00:00Z"), "shpat_standin").await;
    assert_eq!(ids(&since), [5]);
    let mixed = rest(&shop, &format!("{}&status=any", next(&shop, &first).unwrap()), "shpat_standin").await;
    assert_eq!(mixed.status, 400);

    assert!(shop.install("own-id"));
    let form = "grant_type=client_credentials&client_id=own-id&client_secret=own-secret";
    let token =
        crate::kit::post_form(shop.address(), "/admin/oauth/access_token", form).await.unwrap().body["access_token"]
            .clone();
    assert_eq!(rest(&shop, path, token.as_str().unwrap()).await.status, 200);
    assert_eq!(rest(&shop, path, "nonsense").await.status, 401);
    assert!(shop.install("public-id"));
    let session = shop.session_token("public-id", &SessionToken::admin(42)).unwrap();
    let form = format!(
        "client_id=public-id&client_secret=public-secret&grant_type=urn:ietf:params:oauth:grant-type:token-exchange\
         &subject_token={session}&subject_token_type=urn:ietf:params:oauth:token-type:id_token\
         &requested_token_type=urn:shopify:params:oauth:token-type:offline-access-token"
    );
    let granted = crate::kit::post_form(shop.address(), "/admin/oauth/access_token", &form).await.unwrap();
    let token = granted.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(rest(&shop, path, &token).await.status, 403);
    assert_eq!(
        ask_with(&shop, &token, "query Q { ordersCount { count } }", json!({})).await.body["data"]["ordersCount"]["count"],
        5
    );
}
