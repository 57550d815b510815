//! Products, as conversations: what a body becomes, and what is asked when it does not hold every variant.

mod conversation;

use conversation::{Omneo, Run, parse, published, rules, run, shopify};
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
                "variants": [
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
    assert!(sent.get("archive_existing_variants").is_none());
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
