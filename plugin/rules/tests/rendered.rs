//! Shopify's order as GraphQL shows it, written from the body of a webhook and from Shopify's schema, without a look at
//! the adapter that goes the other way; and what a document selects of it.

use std::collections::BTreeMap;

use tandem_sdk::{Decimal, Map, Value, json};

/// A part of a selection.
enum Part {
    Field { name: String, alias: String, below: Vec<Part> },
    Spread(String),
    On { kind: String, below: Vec<Part> },
}

/// Answers a document from the root object, with nothing but what the document selects. A field that the objects do not
/// have is a mistake of the test.
pub fn answer(document: &str, root: &Value) -> Value {
    let tokens = tokens(document);
    let (mut at, mut fragments, mut operation) = (0, BTreeMap::new(), vec![]);
    while at < tokens.len() {
        let name = tokens[at + 1].clone();
        let is_fragment = tokens[at] == "fragment";
        while tokens[at] != "{" {
            at += 1;
        }
        let parts = parts(&tokens, &mut at);
        if is_fragment { drop(fragments.insert(name, parts)) } else { operation = parts }
    }
    select(&operation, root, &fragments)
}

/// The lines that a job writes of one item: its own, then one for each node of its connections.
pub fn lines(mut item: Value) -> Value {
    let id = item["id"].clone();
    let own = item.as_object_mut().expect("an item is an object");
    let connections: Vec<_> =
        own.iter().filter(|(_, of)| of.get("edges").is_some()).map(|(key, _)| key.clone()).collect();
    let below: Vec<_> = connections.iter().filter_map(|key| own.remove(key)).collect();
    let mut lines = vec![item];
    for edge in below.iter().flat_map(|of| of["edges"].as_array().expect("edges are a list")) {
        let mut node = edge["node"].clone();
        node["__parentId"] = id.clone();
        lines.push(node);
    }
    Value::Array(lines)
}

/// Names and braces; arguments are left out.
fn tokens(document: &str) -> Vec<String> {
    let (mut tokens, mut word, mut depth, mut is_text) = (vec![], String::new(), 0, false);
    for c in document.chars() {
        match c {
            '"' => is_text = !is_text,
            _ if is_text => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || "_.:".contains(c) => {
                word.push(c);
                continue;
            }
            _ => {}
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if "{}".contains(c) && depth == 0 && !is_text {
            tokens.push(c.to_string());
        }
    }
    tokens
}

fn parts(tokens: &[String], at: &mut usize) -> Vec<Part> {
    let mut found = vec![];
    *at += 1;
    while tokens[*at] != "}" {
        let token = &tokens[*at];
        *at += 1;
        let part = match token.as_str() {
            "..." => {
                assert_eq!(tokens[*at], "on");
                let kind = tokens[*at + 1].clone();
                *at += 2;
                Part::On { kind, below: parts(tokens, at) }
            }
            spread if spread.starts_with("...") => Part::Spread(spread[3..].to_owned()),
            name => {
                let alias = name.trim_end_matches(':').to_owned();
                let name = if name.ends_with(':') { tokens[*at].clone() } else { alias.clone() };
                *at += usize::from(name != alias);
                let below = if tokens[*at] == "{" { parts(tokens, at) } else { vec![] };
                Part::Field { name, alias, below }
            }
        };
        found.push(part);
    }
    *at += 1;
    found
}

fn select(parts: &[Part], object: &Value, fragments: &BTreeMap<String, Vec<Part>>) -> Value {
    let mut selected = Map::new();
    let kind = object["__typename"].as_str().unwrap_or_default();
    for part in parts {
        match part {
            Part::Spread(name) => merge(&mut selected, select(&fragments[name], object, fragments)),
            Part::On { kind: only, below } if only == kind => merge(&mut selected, select(below, object, fragments)),
            Part::On { .. } => {}
            Part::Field { name, alias, below } => {
                let found = object.get(name).unwrap_or_else(|| panic!("`{name}` is not rendered: {object}"));
                let value = match found {
                    Value::Array(all) if !below.is_empty() => {
                        all.iter().map(|one| select(below, one, fragments)).collect()
                    }
                    Value::Object(_) if !below.is_empty() => select(below, found, fragments),
                    scalar => scalar.clone(),
                };
                selected.insert(alias.clone(), value);
            }
        }
    }
    Value::Object(selected)
}

fn merge(to: &mut Map<String, Value>, more: Value) {
    let Value::Object(more) = more else { panic!("a selection is an object") };
    to.extend(more);
}

/// The body with what every order of Shopify's has today, so that it can be shown by GraphQL too: an id for each line, the
/// pieces that are left of it, the gateways, the e-mail of a customer even where there is none.
pub fn complete(mut body: Value) -> Value {
    let gone = |body: &Value, line: &Value| -> u64 {
        let refunds = body["refunds"].as_array().into_iter().flatten();
        let lines = refunds.flat_map(|refund| refund["refund_line_items"].as_array().into_iter().flatten());
        lines.filter(|gone| gone["line_item_id"] == *line).filter_map(|gone| gone["quantity"].as_u64()).sum()
    };
    let whole = body.clone();
    for (n, line) in body["line_items"].as_array_mut().into_iter().flatten().enumerate() {
        if line.get("id").is_none_or(Value::is_null) {
            line["id"] = json!(9_000 + n);
        }
        if line.get("current_quantity").is_none_or(Value::is_null) {
            let quantity = line["quantity"].as_u64().unwrap_or_default();
            line["current_quantity"] = json!(quantity.saturating_sub(gone(&whole, &line["id"])));
        }
    }
    for (n, line) in body["shipping_lines"].as_array_mut().into_iter().flatten().enumerate() {
        if line.get("id").is_none_or(Value::is_null) {
            line["id"] = json!(9_500 + n);
        }
    }
    for (key, value) in [("payment_gateway_names", json!([])), ("presentment_currency", whole["currency"].clone())] {
        if body.get(key).is_none_or(Value::is_null) {
            body[key] = value;
        }
    }
    if let Some(customer) = body.get_mut("customer").and_then(Value::as_object_mut) {
        customer.entry("email").or_insert(Value::Null);
    }
    body
}

/// The order as an object of GraphQL's.
pub fn order(body: &Value) -> Value {
    let money = |flat: &str, set: &str| bag(body, body, flat, set);
    let status = |key: &str| body[key].as_str().map(str::to_uppercase);
    let fulfilment = match body["fulfillment_status"].as_str() {
        None => "UNFULFILLED",
        Some("partial") => "PARTIALLY_FULFILLED",
        Some("restocked") => "RESTOCKED",
        Some(_) => "FULFILLED",
    };
    let tags = body["tags"].as_str().unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let attributes = list(body, "note_attributes").map(|note| json!({"key": note["name"], "value": note["value"]}));
    let edges = |nodes: Vec<Value>| json!({"edges": nodes.iter().map(|node| json!({"node": node})).collect::<Value>()});
    // Some published bodies have a customer without an id, whom no system would show.
    let customer =
        body["customer"].as_object().filter(|customer| customer.get("id").is_some_and(Value::is_u64)).map(|customer| {
            json!({
                "id": gid("Customer", &body["customer"]), "firstName": customer.get("first_name"),
                "lastName": customer.get("last_name"),
                "defaultEmailAddress": customer["email"].as_str().map(|email| json!({"emailAddress": email})),
            })
        });
    let tip = match body.get("total_tip_received") {
        Some(_) => money("total_tip_received", "total_tip_received_set"),
        None => Value::Null,
    };
    json!({
        "__typename": "Order", "id": gid("Order", body), "name": body["name"], "number": body["order_number"],
        "test": body["test"].as_bool().unwrap_or(false), "createdAt": body["created_at"],
        "processedAt": body["processed_at"], "updatedAt": body["updated_at"], "cancelledAt": body["cancelled_at"],
        "currencyCode": body["currency"], "presentmentCurrencyCode": body["presentment_currency"],
        "displayFinancialStatus": status("financial_status"), "displayFulfillmentStatus": fulfilment,
        "taxesIncluded": body["taxes_included"].as_bool().unwrap_or(false),
        "dutiesIncluded": body["duties_included"].as_bool().unwrap_or(false),
        "email": body["email"], "sourceName": body["source_name"], "note": body["note"],
        "paymentGatewayNames": body["payment_gateway_names"], "tags": tags.collect::<Vec<_>>(),
        "poNumber": body["po_number"], "customerLocale": body["customer_locale"],
        "confirmationNumber": body["confirmation_number"], "customAttributes": attributes.collect::<Value>(),
        "retailLocation": body["location_id"].as_u64().map(|id| json!({"id": format!("gid://shopify/Location/{id}")})),
        "customer": customer,
        "totalPriceSet": money("total_price", "total_price_set"),
        "currentTotalPriceSet": money("current_total_price", "current_total_price_set"),
        "totalDiscountsSet": money("total_discounts", "total_discounts_set"),
        "totalTaxSet": money("total_tax", "total_tax_set"), "totalTipReceivedSet": tip,
        "originalTotalDutiesSet": money("", "original_total_duties_set"),
        "originalTotalAdditionalFeesSet": money("", "original_total_additional_fees_set"),
        "totalCashRoundingAdjustment": {"paymentSet": money("", "total_cash_rounding_payment_adjustment_set")},
        "lineItems": edges(list(body, "line_items").map(|line| line_item(body, line)).collect()),
        "shippingLines": edges(list(body, "shipping_lines").map(|line| shipping_line(body, line)).collect()),
        "discountApplications": edges(discounts(body)),
        "refunds": list(body, "refunds").map(|one| refund(body, one)).collect::<Value>(),
    })
}

fn list<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of[key].as_array().into_iter().flatten()
}

/// The global id of an object, which published samples sometimes have only there in full.
fn gid(kind: &str, of: &Value) -> String {
    let own = of["admin_graphql_api_id"].as_str().map(str::to_owned);
    own.unwrap_or_else(|| format!("gid://shopify/{kind}/{}", of["id"]))
}

/// A decimal as GraphQL writes it: no zeros at the end but for one behind the point.
fn amount(value: &Value) -> Option<String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let decimal = text.parse::<Decimal>().ok()?.normalize();
    Some(if decimal.scale() == 0 { format!("{decimal}.0") } else { decimal.to_string() })
}

/// An amount in both currencies; null where the body has none.
fn bag(order: &Value, of: &Value, flat: &str, set: &str) -> Value {
    let mut both = &of[set];
    if let Some((_, inner)) = both.as_object().and_then(|both| both.iter().next().filter(|_| both.len() == 1))
        && inner.get("shop_money").is_some()
    {
        both = inner;
    }
    let shop = Some(&of[flat]).filter(|shop| !shop.is_null()).unwrap_or(&both["shop_money"]["amount"]);
    let Some(shop) = amount(shop) else { return Value::Null };
    let shown = amount(&both["presentment_money"]["amount"]).unwrap_or_else(|| shop.clone());
    moneys(order, shop, shown)
}

fn moneys(order: &Value, shop: String, shown: String) -> Value {
    json!({
        "shopMoney": {"amount": shop, "currencyCode": order["currency"]},
        "presentmentMoney": {"amount": shown, "currencyCode": order["presentment_currency"]},
    })
}

fn taxes(order: &Value, of: &Value) -> Value {
    list(of, "tax_lines").map(|tax| json!({"priceSet": bag(order, tax, "price", "price_set")})).collect()
}

fn allocations(order: &Value, of: &Value) -> Value {
    let one = |allocation: &Value| {
        let index = allocation["discount_application_index"].as_u64();
        json!({
            "allocatedAmountSet": bag(order, allocation, "amount", "amount_set"),
            "discountApplication": {"index": index.unwrap_or_default()},
        })
    };
    list(of, "discount_allocations").map(one).collect()
}

fn line_item(order: &Value, line: &Value) -> Value {
    let named =
        |kind: &str, key: &str| line[key].as_u64().map(|id| json!({"id": format!("gid://shopify/{kind}/{id}")}));
    let duties = list(line, "duties").map(|duty| json!({"price": bag(order, &json!({"set": duty}), "", "set")}));
    json!({
        "__typename": "LineItem", "id": format!("gid://shopify/LineItem/{}", line["id"]), "name": line["name"],
        "title": line["title"], "sku": line["sku"], "quantity": line["quantity"],
        "currentQuantity": line["current_quantity"], "isGiftCard": line["gift_card"].as_bool().unwrap_or(false),
        "variant": named("ProductVariant", "variant_id"), "product": named("Product", "product_id"),
        "originalUnitPriceSet": bag(order, line, "price", "price_set"), "taxLines": taxes(order, line),
        "discountAllocations": allocations(order, line), "duties": duties.collect::<Value>(),
    })
}

fn shipping_line(order: &Value, line: &Value) -> Value {
    json!({
        "__typename": "ShippingLine", "id": format!("gid://shopify/ShippingLine/{}", line["id"]),
        "title": line["title"], "isRemoved": line["is_removed"].as_bool().unwrap_or(false),
        "originalPriceSet": bag(order, line, "price", "price_set"), "taxLines": taxes(order, line),
        "discountAllocations": allocations(order, line),
    })
}

fn discounts(order: &Value) -> Vec<Value> {
    let one = |(index, discount): (usize, &Value)| {
        let (code, title) = (&discount["code"], &discount["title"]);
        match discount["type"].as_str() {
            Some("discount_code") => json!({"__typename": "DiscountCodeApplication", "index": index, "code": code}),
            Some("automatic") => json!({"__typename": "AutomaticDiscountApplication", "index": index, "title": title}),
            Some("script") => json!({"__typename": "ScriptDiscountApplication", "index": index, "title": title}),
            _ => json!({
                "__typename": "ManualDiscountApplication", "index": index, "title": title,
                "description": discount["description"],
            }),
        }
    };
    list(order, "discount_applications").enumerate().map(one).collect()
}

fn refund(order: &Value, refund: &Value) -> Value {
    let nodes = |nodes: Vec<Value>| json!({"nodes": nodes, "pageInfo": {"hasNextPage": false, "endCursor": null}});
    let line = |line: &Value| {
        json!({
            "__typename": "RefundLineItem", "id": format!("gid://shopify/RefundLineItem/{}", line["id"]),
            "quantity": line["quantity"], "lineItem": {"id": format!("gid://shopify/LineItem/{}", line["line_item_id"])},
            "subtotalSet": bag(order, &without_floats(line, "subtotal"), "subtotal", "subtotal_set"),
            "totalTaxSet": bag(order, &without_floats(line, "total_tax"), "total_tax", "total_tax_set"),
        })
    };
    let shipping = |back: &Value| {
        json!({
            "__typename": "RefundShippingLine", "id": "gid://shopify/RefundShippingLine/1",
            "subtotalAmountSet": bag(order, back, "", "subtotal_amount_set"),
            "taxAmountSet": bag(order, back, "", "tax_amount_set"),
        })
    };
    let adjustment = |adjustment: &Value| {
        let is_shipping = adjustment["kind"] == "shipping_refund";
        json!({
            "__typename": "OrderAdjustment", "id": "gid://shopify/OrderAdjustment/1",
            "reason": (!is_shipping).then_some("REFUND_DISCREPANCY"),
            "amountSet": bag(order, adjustment, "amount", "amount_set"),
            "taxAmountSet": bag(order, adjustment, "tax_amount", "tax_amount_set"),
        })
    };
    let duty = |duty: &Value| json!({"amountSet": bag(order, duty, "", "amount_set"), "originalDuty": {"taxLines": taxes(order, duty)}});
    json!({
        "__typename": "Refund", "id": gid("Refund", refund), "createdAt": refund["created_at"],
        "processedAt": refund["processed_at"],
        "duties": list(refund, "duties").map(duty).collect::<Value>(),
        "refundLineItems": nodes(list(refund, "refund_line_items").map(line).collect()),
        "refundShippingLines": nodes(list(refund, "refund_shipping_lines").map(shipping).collect()),
        "orderAdjustments": nodes(list(refund, "order_adjustments").map(adjustment).collect()),
        "transactions": nodes(list(refund, "transactions").map(|of| transaction(order, of)).collect()),
    })
}

/// Amounts of refunded lines are numbers in a body, which may have passed through a float; the set is exact.
fn without_floats(line: &Value, flat: &str) -> Value {
    let mut line = line.clone();
    if line.get(format!("{flat}_set")).is_some_and(Value::is_object) {
        line[flat] = Value::Null;
    }
    line
}

/// A movement of money. A body gives it in one currency; in the other it is worth as much as the order's total says.
fn transaction(order: &Value, transaction: &Value) -> Value {
    let moved = amount(&transaction["amount"]).expect("money that moved has an amount");
    let of = |key: &str| transaction[key].as_str().map(str::to_uppercase);
    let total = |of: &str| order["total_price_set"][of]["amount"].as_str().and_then(|it| it.parse::<Decimal>().ok());
    let (shop, shown) = match (total("shop_money"), total("presentment_money")) {
        (Some(shop), Some(shown)) if shop != shown && !shop.is_zero() && !shown.is_zero() => {
            let decimal: Decimal = moved.parse().expect("an amount");
            match transaction["currency"] == order["presentment_currency"] {
                true => ((decimal * shop / shown).round_dp(2).to_string(), moved),
                false => (moved, (decimal * shown / shop).round_dp(2).to_string()),
            }
        }
        _ => (moved.clone(), moved),
    };
    json!({
        "__typename": "OrderTransaction", "id": "gid://shopify/OrderTransaction/1", "kind": of("kind"),
        "status": of("status"), "amountSet": moneys(order, shop, shown),
    })
}
