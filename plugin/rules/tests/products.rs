//! Products, as conversations: what a body becomes, and which reads follow when it does not hold every variant.

use crate::conversation;

use crate::conversation::{Omneo, Run, parse, published, rules, run, shopify};
use tandem_sdk::{Call, Outcome, Value, json};

fn product() -> Value {
    json!({
        "id": 61, "admin_graphql_api_id": "gid://shopify/Product/61", "title": "Tea", "handle": "tea", "vendor": "Leaf",
        "body_html": "<p>Green</p>", "status": "active", "published_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-03-01T10:00:00+11:00", "tags": "green,  loose ,",
        "options": [{"name": "Size", "position": 1}],
        "images": [{"src": "https://cdn.example.org/tea.png", "position": 1}],
        "variants": [
            {
                "id": 92, "title": "Large", "sku": "TEA", "price": "30.00", "compare_at_price": "35.00", "position": 2,
                "option1": "Large", "option2": null, "barcode": "930"
            },
            {
                "id": 91, "title": "Small", "sku": "TEA", "price": "19.90", "compare_at_price": null, "position": 1,
                "option1": "Small"
            },
            {"id": 93, "title": "Sample", "sku": " ", "price": "0.00", "position": 3},
        ]
    })
}

fn but(changes: Value) -> Value {
    let mut product = product();
    for (key, value) in changes.as_object().unwrap() {
        product[key] = value.clone();
    }
    product
}

fn send(product: &Value, memory: &[String]) -> Run {
    let queued = |call: &Call| {
        assert_eq!(call.line(), "POST omneo /products/queue");
        (200, json!({"data": "queued"}))
    };
    run(&rules(json!({})), &shopify("products/update", product), memory, queued)
}

#[test]
fn a_product_is_queued_whole() {
    let run = send(&product(), &[]);
    assert_eq!(
        run.bodies[0],
        parse(
            r#"{
                "external_id": "61", "title": "Tea", "handle": "tea", "brand": "Leaf", "description": "<p>Green</p>",
                "status": "active", "tags": ["green", "loose"],
                "images": [{"url": "https://cdn.example.org/tea.png", "sort_order": 1}],
                "archive_existing_variants": true, "variants": [
                    {
                        "sku": "TEA", "external_id": "91", "title": "Small", "price": 19.90, "position": 1,
                        "options": [{"name": "Size", "value": "Small", "sort_order": 1}]
                    },
                    {
                        "sku": "shopify-92", "external_id": "92", "title": "Large", "price": 30.00,
                        "price_comparison": 35.00, "position": 2, "barcode": "930",
                        "options": [{"name": "Size", "value": "Large", "sort_order": 1}]
                    },
                    {
                        "sku": "shopify-93", "external_id": "93", "title": "Sample", "price": 0.00, "position": 3,
                        "options": []
                    }
                ]
            }"#
        )
    );
    assert_eq!(run.outcome(), (Outcome::Done, "product `Tea` sent with 3 variants"));
}

#[test]
fn an_unchanged_or_older_product_is_skipped() {
    let first = send(&product(), &[]).memory();
    let sold = but(json!({"updated_at": "2026-03-01T10:00:09+11:00"}));
    let run = send(&sold, &first);
    assert_eq!(run.outcome(), (Outcome::Skipped, "nothing of the product that Omneo keeps has changed"));
    let run = send(&but(json!({"title": "Old"})), &run.memory());
    assert_eq!(run.outcome(), (Outcome::Skipped, "older than what is known of the product"));
    let run = send(&but(json!({"title": "New"})), &first);
    assert_eq!(run.end.outcome, Outcome::Done);
    assert_eq!(send(&product(), &["{".into()]).end.outcome, Outcome::Done);
}

#[test]
fn what_is_no_product_is_invalid() {
    for body in [json!({"id": 1, "variants": []}), json!({"id": 1, "title": "Tea"}), but(json!({"variants": {}}))] {
        assert_eq!(send(&body, &[]).end.outcome, Outcome::Invalid, "{body}");
    }
}

#[test]
fn statuses_and_brands_have_their_defaults() {
    let sent = |changes: Value, key: &str| send(&but(changes), &[]).bodies[0][key].clone();
    assert_eq!(sent(json!({"status": "draft"}), "status"), "draft");
    assert_eq!(sent(json!({"published_at": null}), "status"), "draft");
    assert_eq!(sent(json!({"published_at": null, "status": "archived"}), "status"), "archived");
    assert_eq!(sent(json!({"status": null}), "status"), "active");
    assert_eq!(sent(json!({"vendor": " "}), "brand"), "unbranded");
    let own = rules(json!({"products": {"brand": "Leaf & Co"}}));
    for (vendor, brand) in [(json!(null), "Leaf & Co"), (json!(" "), "Leaf & Co"), (json!("Leaf"), "Leaf")] {
        let run = Omneo::default().hear(&own, &shopify("products/update", &but(json!({"vendor": vendor}))));
        assert_eq!(run.bodies[0]["brand"], brand);
    }
}

#[test]
fn variants_that_the_body_only_names_are_read() {
    let gid =
        |id: u64| json!({"admin_graphql_api_id": format!("gid://shopify/ProductVariant/{id}"), "updated_at": "x"});
    let body = but(json!({"variant_gids": (91..=593).map(gid).collect::<Vec<_>>()}));
    let event = shopify("products/update", &body);
    let answer = |call: &Call| match call.target.as_str() {
        "shopify" => {
            let ids = conversation::body_of(call)["ids"].as_array().unwrap().clone();
            assert!(ids.len() <= 250 && call.line() == "GRAPHQL shopify Variants");
            let node = |id: &Value| match id.as_str().unwrap() {
                "gid://shopify/ProductVariant/100" => Value::Null,
                id => json!({
                    "id": id, "title": "More", "sku": null, "barcode": null, "price": "1.50", "compareAtPrice": "2.00",
                    "position": id.rsplit('/').next().unwrap().parse::<u64>().unwrap() - 90,
                    "selectedOptions": [{"name": "Size", "value": "More"}],
                }),
            };
            (200, json!({"data": {"nodes": ids.iter().map(node).collect::<Value>()}}))
        }
        _ => (200, json!({"data": "queued"})),
    };
    let first = run(&rules(json!({})), &event, &[], answer);
    assert_eq!(first.end.reason, "product `Tea` sent with 502 variants");
    assert_eq!((first.calls.len(), first.calls[1].as_str()), (3, "GRAPHQL shopify Variants"));
    let sent = &first.bodies[2];
    // Every variant that the body names was read, so the list is complete.
    assert_eq!(sent["archive_existing_variants"], true);
    assert_eq!(
        sent["variants"][501],
        parse(
            r#"{"sku": "shopify-593", "external_id": "593", "title": "More", "price": 1.50, "price_comparison": 2.00,
                "position": 503, "options": [{"name": "Size", "value": "More", "sort_order": 1}]}"#
        )
    );
    let again = run(&rules(json!({})), &event, &first.memory(), answer);
    assert_eq!((again.end.outcome, again.calls.len()), (Outcome::Skipped, 0));
    let denied = |_: &Call| (200, json!({"errors": [{"message": "Access denied"}]}));
    let refused = run(&rules(json!({})), &event, &[], denied);
    assert_eq!(
        refused.outcome(),
        (Outcome::Refused, "reading the variants that the body does not hold: Access denied")
    );
}

#[test]
fn published_products_are_queued() {
    let Some(products) = published(|topic| ["products-create", "products-update"].contains(&topic)) else { return };
    let (mut queued, mut invalid) = (0, 0);
    for (path, body) in products {
        let run = Omneo::default().hear(&rules(json!({})), &shopify("products/update", &body));
        match run.end.outcome {
            Outcome::Done => queued += 1,
            outcome => {
                assert_eq!(outcome, Outcome::Invalid, "{}: {}", path.display(), run.end.reason);
                invalid += 1;
            }
        }
    }
    eprintln!("{queued} products queued, {invalid} no product");
    assert_eq!((queued, invalid), (54, 1));
}

#[test]
fn a_deleted_product_is_archived_once_and_stays_so() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let gone = shopify("products/delete", &json!({"id": 61}));
    omneo.hear(&rules, &shopify("products/update", &product()));
    let run = omneo.hear(&rules, &gone);
    assert_eq!(run.outcome(), (Outcome::Done, "the product was deleted: archived in Omneo"));
    assert_eq!(run.bodies, [json!({"external_id": "61", "status": "archived"})]);
    assert_eq!(omneo.hear(&rules, &gone).calls.len(), 0);
    let late = omneo.hear(&rules, &shopify("products/update", &but(json!({"title": "Tea, late"}))));
    assert_eq!((late.calls.len(), late.end.reason.as_str()), (0, "the product was deleted in Shopify"));
}

#[test]
fn a_product_that_omneo_never_had_is_not_made_by_its_deletion() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules, &shopify("products/delete", &json!({"id": 61})));
    assert_eq!((run.calls.len(), run.end.reason.as_str()), (0, "deleted, and never sent"));
    assert_eq!(omneo.hear(&rules, &shopify("products/create", &product())).calls.len(), 0);
    let nameless = omneo.hear(&rules, &shopify("products/delete", &json!({})));
    assert_eq!(nameless.end.outcome, Outcome::Invalid);
}

fn gid(id: u64) -> Value {
    json!({"admin_graphql_api_id": format!("gid://shopify/ProductVariant/{id}"), "updated_at": "x"})
}

#[test]
fn each_variant_can_be_a_product() {
    let rules = rules(json!({"products": {"level": "variant"}}));
    let mut omneo = Omneo::default();
    let mut body = but(json!({"variant_gids": [gid(91), gid(92), gid(93)]}));
    let run = omneo.hear(&rules, &shopify("products/update", &body));
    assert_eq!(run.outcome(), (Outcome::Done, "3 variants of product `Tea` sent"));
    assert_eq!(omneo.products.keys().collect::<Vec<_>>(), ["91", "92", "93"]);
    let small = &omneo.products["91"];
    assert_eq!(
        (&small["title"], &small["handle"], &small["brand"]),
        (&json!("Tea - Small"), &json!("tea-91"), &json!("Leaf"))
    );
    assert_eq!(small["variants"].as_array().unwrap().len(), 1);
    // The SKU is the same as at the header level and in the items of orders.
    let skus: Vec<_> = omneo.products.values().map(|product| product["variants"][0]["sku"].clone()).collect();
    assert_eq!(skus, ["TEA", "shopify-92", "shopify-93"]);
    // Only what has changed is sent again, and what no longer exists is archived.
    body["variants"][0]["price"] = json!("31.00");
    body["variants"].as_array_mut().unwrap().pop();
    body["variant_gids"] = json!([gid(91), gid(92)]);
    let run = omneo.hear(&rules, &shopify("products/update", &body));
    assert_eq!(run.end.reason, "1 variant of product `Tea` sent; 1 product no longer there: archived in Omneo");
    assert_eq!(run.bodies.iter().map(|body| &body["external_id"]).collect::<Vec<_>>(), ["92", "93"]);
    assert_eq!(run.bodies[1], json!({"external_id": "93", "status": "archived"}));
    let run = omneo.hear(&rules, &shopify("products/delete", &json!({"id": 61})));
    assert_eq!(run.bodies.len(), 2);
    assert!(omneo.products.values().all(|product| product["status"] == "archived"), "{:?}", omneo.products);
}

#[test]
fn a_product_without_options_keeps_its_title_as_a_variant() {
    let rules = rules(json!({"products": {"level": "variant"}}));
    let mut omneo = Omneo::default();
    let one = json!([{"id": 91, "title": "Default Title", "sku": "TEA", "price": "1.00"}]);
    omneo.hear(&rules, &shopify("products/update", &but(json!({"variants": one}))));
    assert_eq!(omneo.products["91"]["title"], "Tea");
}

#[test]
fn a_list_that_may_not_be_whole_archives_nothing() {
    let rules = rules(json!({"products": {"level": "variant"}}));
    let variants = |ids: std::ops::Range<u64>| -> Value {
        let one = |id| json!({"id": id, "title": format!("No. {id}"), "sku": null, "price": "1.00", "position": id});
        ids.map(one).collect()
    };
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &shopify("products/update", &but(json!({"variants": variants(100..150)}))));
    let run = omneo.hear(&rules, &shopify("products/update", &but(json!({"variants": variants(140..240)}))));
    assert_eq!(run.end.reason, "90 variants of product `Tea` sent");
    let run = omneo.hear(&rules, &shopify("products/update", &but(json!({"variants": variants(140..239)}))));
    assert_eq!(run.end.reason, "41 products no longer there: archived in Omneo");
}

#[test]
fn variants_that_the_body_only_names_are_products_too() {
    let rules = rules(json!({"products": {"level": "variant"}}));
    let body = but(json!({"variant_gids": (91..=593).map(gid).collect::<Vec<_>>()}));
    let mut omneo = Omneo::default();
    let mut hear = |body: &Value, memory: &[String], missing: &str| {
        let answer = |call: &Call| match call.target.as_str() {
            "shopify" => {
                let ids = conversation::body_of(call)["ids"].as_array().unwrap().clone();
                assert!(ids.len() <= 250);
                let node = |id: &Value| match id.as_str().unwrap() {
                    id if id.ends_with(missing) => Value::Null,
                    id => json!({"id": id, "title": "More", "sku": null, "price": "1.50", "selectedOptions": []}),
                };
                (200, json!({"data": {"nodes": ids.iter().map(node).collect::<Value>()}}))
            }
            _ => omneo.answer(call),
        };
        run(&rules, &shopify("products/update", body), memory, answer)
    };
    let first = hear(&body, &[], "/none");
    assert_eq!(first.end.reason, "503 variants of product `Tea` sent");
    let mut changed = body.clone();
    changed["variant_gids"][9]["updated_at"] = json!("y");
    let again = hear(&changed, &first.memory(), "/none");
    assert_eq!((again.calls.len(), again.end.outcome), (2, Outcome::Skipped));
    changed["variant_gids"][9]["updated_at"] = json!("z");
    let gone = hear(&changed, &again.memory(), "/100");
    assert_eq!(gone.bodies.last(), Some(&json!({"external_id": "100", "status": "archived"})));
}

#[test]
fn another_level_archives_what_the_first_has_made() {
    let (header, variant) = (rules(json!({})), rules(json!({"products": {"level": "variant"}})));
    let event = shopify("products/update", &product());
    let mut omneo = Omneo::default();
    let archived = |omneo: &Omneo| {
        let is_archived = |(id, product): (&String, &Value)| (product["status"] == "archived").then(|| id.clone());
        omneo.products.iter().filter_map(is_archived).collect::<Vec<_>>()
    };
    omneo.hear(&header, &event);
    omneo.hear(&variant, &event);
    assert_eq!(archived(&omneo), ["61"]);
    omneo.hear(&header, &event);
    assert_eq!(archived(&omneo), ["91", "92", "93"]);
}

#[test]
fn what_is_taken_out_of_sale_can_be_archived() {
    for (set, expected) in [("draft", "draft"), ("archive", "archived")] {
        let rules = rules(json!({"products": {"on_unpublish": set}}));
        for body in [but(json!({"published_at": null})), but(json!({"status": "draft"}))] {
            let mut omneo = Omneo::default();
            omneo.hear(&rules, &shopify("products/update", &product()));
            assert_eq!(omneo.products["61"]["status"], "active");
            omneo.hear(&rules, &shopify("products/update", &body));
            assert_eq!(omneo.products["61"]["status"], expected);
        }
    }
}

#[test]
fn what_a_tenant_maps_of_a_product_goes_along() {
    let fields = json!({
        "department": {"omneo": "product.department", "shopify": "product.product_type"},
        "options": {"omneo": "product.meta.options", "expression": "length(options)", "format": "integer"},
    });
    let rules = rules(json!({ "fields": fields }));
    let run =
        run(&rules, &shopify("products/update", &but(json!({"product_type": "Dresses"}))), &[], |_| (200, json!({})));
    assert_eq!(run.bodies[0]["department"], "Dresses");
    assert_eq!(run.bodies[0]["meta"]["options"], product()["options"].as_array().unwrap().len());
}

#[test]
fn what_is_emptied_in_shopify_is_emptied_in_omneo_once() {
    let rules = rules(json!({"fields": {
        "department": {"omneo": "product.department", "shopify": "product.product_type"},
        "kind": {"omneo": "product.meta.kind", "shopify": "product.template_suffix"},
    }}));
    let mut omneo = Omneo::default();
    let filled = but(json!({"product_type": "Tea", "template_suffix": "hot"}));
    omneo.hear(&rules, &shopify("products/update", &filled));
    assert_eq!(omneo.products["61"]["variants"][1]["price_comparison"].to_string(), "35.00");
    // A key that a body does not name says nothing.
    let mut absent = filled.clone();
    for (at, key) in
        [("", "body_html"), ("", "product_type"), ("/variants/0", "barcode"), ("/variants/0", "compare_at_price")]
    {
        absent.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(key);
    }
    let run = omneo.hear(&rules, &shopify("products/update", &absent));
    assert!(!run.bodies[0].to_string().contains("null"), "{}", run.bodies[0]);
    let mut emptied = filled.clone();
    for key in ["body_html", "product_type", "template_suffix"] {
        emptied[key] = Value::Null;
    }
    emptied["images"] = json!([]);
    emptied["variants"][0]["barcode"] = json!("");
    emptied["variants"][0]["compare_at_price"] = json!("0.00");
    let run = omneo.hear(&rules, &shopify("products/update", &emptied));
    let sent = &run.bodies[0];
    assert_eq!([&sent["description"], &sent["department"], &sent["meta"]["kind"]], [&Value::Null; 3]);
    assert!(sent.get("description").is_some() && sent.get("department").is_some(), "{sent}");
    assert_eq!((&sent["images"], &sent["meta"]), (&json!([]), &json!({"kind": null})));
    let large = sent["variants"][1].as_object().unwrap();
    assert_eq!((&large["barcode"], &large["price_comparison"]), (&Value::Null, &Value::Null));
    // The small variant never had either value.
    assert!(!sent["variants"][0].as_object().unwrap().contains_key("barcode"), "{sent}");
    // The value is emptied once only.
    emptied["title"] = json!("Tea, green");
    let run = omneo.hear(&rules, &shopify("products/update", &emptied));
    assert!(!run.bodies[0].to_string().contains("null"), "{}", run.bodies[0]);
    // An older memory does not list what was sent, so every value may have been.
    omneo.memory = vec![r#"{"clock":{},"hash":"a","sent":{"61":"b"}}"#.to_owned()];
    let run = omneo.hear(&rules, &shopify("products/update", &emptied));
    assert_eq!(run.bodies[0]["variants"][0]["price_comparison"], Value::Null);
    assert!(run.bodies[0]["variants"][0].as_object().unwrap().contains_key("price_comparison"));
}

#[test]
fn a_sku_that_is_renamed_or_gone_leaves_no_variant_behind() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &shopify("products/update", &product()));
    let mut renamed = product();
    renamed["variants"][1]["sku"] = json!("TEA-S");
    renamed["variants"].as_array_mut().unwrap().pop();
    let run = omneo.hear(&rules, &shopify("products/update", &renamed));
    let sent = &run.bodies[0];
    let skus: Vec<_> = sent["variants"].as_array().unwrap().iter().map(|variant| &variant["sku"]).collect();
    assert_eq!((skus, &sent["archive_existing_variants"]), (vec![&json!("TEA-S"), &json!("TEA")], &json!(true)));
    // With a hundred variants and no list of the others, there may be more.
    let one = |id: u64| json!({"id": id, "title": id.to_string(), "sku": format!("S{id}"), "price": "1.00"});
    let part = but(json!({"variants": (100..200).map(one).collect::<Value>()}));
    assert!(send(&part, &[]).bodies[0].get("archive_existing_variants").is_none());
}

#[test]
fn an_item_names_its_variant_by_id_where_products_are_sent() {
    let mut order = json!({
        "id": 5023, "name": "#5023", "currency": "AUD", "financial_status": "paid", "total_price": "20.00",
        "created_at": "2026-03-04T10:00:00Z",
        "line_items": [{"id": 230, "name": "Tee - L", "price": "20.00", "quantity": 1, "sku": "TEE-M", "variant_id": 9912}],
    });
    let item = |order: &Value, settings: Value| {
        let mut omneo = Omneo::default();
        omneo.hear(&rules(settings), &shopify("orders/paid", order));
        let item = &omneo.transactions["5023"]["items"][0];
        [&item["variant_external_id"], &item["sku"], &item["meta"]].map(Value::clone)
    };
    // Variant 9911 has the same SKU.
    assert_eq!(item(&order, json!({})), [json!("9912"), Value::Null, json!({"sku": "TEE-M"})]);
    // Products that reach Omneo in another way are identified by their SKU.
    let unsent = json!({"sync": {"products": false}});
    assert_eq!(item(&order, unsent), [json!("9912"), json!("TEE-M"), Value::Null]);
    order["line_items"][0]["variant_id"] = Value::Null;
    assert_eq!(item(&order, json!({})), [Value::Null, json!("TEE-M"), Value::Null]);
}
