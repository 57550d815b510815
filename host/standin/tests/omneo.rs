//! The tenant answers, refuses, normalises and speaks as Omneo is documented to.

use crate::kit::{http, rest, tenant, tenant_with, topics};
use serde_json::{Value, json};
use tandem_standin::ENDPOINTS;

fn invalid(field: &str, message: &str) -> Value {
    json!({ "message": "The given data was invalid.", "errors": { field: [message] } })
}

#[tokio::test]
async fn a_profile_is_created_found_changed_and_deleted() {
    let (omneo, clock) = tenant().await;
    let input = json!({ "first_name": "mcDonald", "email": " Ann@Example.com", "mobile_phone": "0412 345 678", "tags": ["mobile app", "vip", "mobile-app"],
        "identities": [{ "handle": "shopify", "identifier": "7064055069001" }] });
    let made = rest(&omneo, "POST /profiles", input).await;
    assert_eq!(made.status, 201);
    let profile = &made.body["data"];
    assert_eq!((&profile["first_name"], &profile["last_name"]), (&json!("Mcdonald"), &json!("Unknown")));
    assert_eq!((&profile["email"], &profile["mobile_phone"]), (&json!("ann@example.com"), &json!("+61412345678")));
    assert_eq!(profile["tags"], json!(["mobile-app", "vip"]));
    assert_eq!(profile["updated_at"], "2026-07-01 00:00:00");
    assert_eq!(profile["mobile_phone_country"], 61);
    let id = profile["id"].as_str().unwrap().to_owned();
    assert_eq!(topics(&omneo.outbox()), ["profile.created", "identity.created"]);

    let found = rest(&omneo, "POST /profiles/search-id", json!({ "type": "shopify", "id": 7064055069001_u64 })).await;
    assert_eq!((found.status, &found.body["data"]["id"]), (200, &json!(id)));
    assert_eq!(rest(&omneo, "POST /profiles/search-id", json!({ "type": "shopify", "id": "1" })).await.status, 404);
    let free = rest(
        &omneo,
        "POST /profiles/availability",
        json!({ "email": "ANN@example.com", "mobile_phone": "+61400000000" }),
    )
    .await;
    let taken = json!({ "available": false, "profile": { "id": id } });
    assert_eq!(free.body["data"], json!({ "email": taken, "mobile_phone": { "available": true, "profile": null } }));

    clock.advance(2_000);
    let path = format!("PUT /profiles/{id}");
    let put = rest(&omneo, &path, json!({ "last_name": "van der berg", "tags": ["gold"] })).await;
    assert_eq!((&put.body["data"]["last_name"], &put.body["data"]["tags"]), (&json!("Van Der Berg"), &json!(["gold"])));
    assert_eq!(put.body["data"]["first_name"], "Mcdonald", "a PUT is partial");
    clock.advance(2_000);
    let same = rest(&omneo, &path, json!({ "last_name": "VAN DER BERG" })).await;
    assert_eq!(same.body["data"]["updated_at"], "2026-07-01 00:00:02");
    assert_eq!(topics(&omneo.outbox()), ["profile.updated"], "and no change says nothing");

    assert_eq!(rest(&omneo, &format!("DELETE /profiles/{id}"), Value::Null).await.status, 204);
    assert_eq!(rest(&omneo, &format!("GET /profiles/{id}"), Value::Null).await.status, 404);
    assert!(omneo.profile(&id).is_none());
    assert_eq!(topics(&omneo.outbox()), ["profile.deleted"]);
}

#[tokio::test]
async fn mobile_email_and_identity_are_unique() {
    let (omneo, _) = tenant().await;
    let ann = omneo.create_profile(json!({ "email": "ann@example.com", "mobile_phone": "+61412345678" })).unwrap();
    omneo.add_identity(&ann, "shopify", "1").unwrap();
    let ben = omneo.create_profile(json!({ "email": "ben@example.com" })).unwrap();
    let refused = |body: Value, expected: Value| {
        let (omneo, ben) = (omneo.clone(), ben.clone());
        async move {
            let answer = rest(&omneo, &format!("PUT /profiles/{ben}"), body).await;
            assert_eq!((answer.status, answer.body), (422, expected));
        }
    };
    refused(json!({ "mobile_phone": "0412345678" }), invalid("mobile_phone", "The phone number exists")).await;
    refused(json!({ "email": "Ann@example.com" }), invalid("email", "The email has already been taken.")).await;
    refused(json!({ "email": null }), invalid("email", "The email field is required.")).await;
    let second = rest(&omneo, &format!("PUT /profiles/{ben}"), json!({ "secondary_phone": "+61412345678" })).await;
    assert_eq!(second.status, 200);
    let identity = json!({ "handle": "shopify", "identifier": "1" });
    let answer = rest(&omneo, &format!("POST /profiles/{ben}/identities"), identity.clone()).await;
    assert_eq!((answer.status, answer.body), (422, invalid("identifier", "The identifier has already been taken.")));
    assert_eq!(
        omneo.create_profile(json!({ "first_name": "X" })).unwrap_err(),
        invalid("email", "The email field is required.")
    );

    let list = rest(&omneo, &format!("GET /profiles/{ann}/identities"), Value::Null).await.body["data"].clone();
    let path = format!("DELETE /profiles/{ann}/identities/id/{}", list[0]["id"]);
    assert_eq!(rest(&omneo, &path, Value::Null).await.status, 204);
    assert_eq!(rest(&omneo, &format!("POST /profiles/{ben}/identities"), identity).await.status, 201);
    let said = omneo.outbox().take().pop().unwrap();
    assert_eq!(
        (said.topic.as_str(), &said.json()["profile_id"], &said.json()["handle"]),
        ("identity.created", &json!(ben), &json!("shopify"))
    );

    assert!(omneo.merge_profiles(&ben, &ann));
    let kept = omneo.profile(&ann).unwrap();
    assert_eq!(
        (&kept["identities"][0]["merged_from"], kept["identities"][0]["identifier"].as_str()),
        (&json!(ben), Some("1"))
    );
    assert!(omneo.profile(&ben).is_none());
    assert_eq!(topics(&omneo.outbox()), ["profile.merged"]);
}

#[tokio::test]
async fn preferences_tell_never_set_from_set() {
    let (omneo, _) = tenant_with(|options| options.promo_default = Some(true)).await;
    let id = omneo.create_profile(json!({ "email": "ann@example.com" })).unwrap();
    omneo.outbox().take();
    let path = format!("/profiles/{id}/attributes/comms");
    let comms = rest(&omneo, &format!("GET {path}"), Value::Null).await.body["data"].clone();
    assert_eq!((&comms["email_promo"], &comms["email_promo_raw"]), (&json!(true), &Value::Null));
    let put = json!({ "email_promo": true, "email_optout": 0, "email_consent_updated_at": "2026-06-30T10:00:00Z", "nonsense": 1 });
    let comms = rest(&omneo, &format!("PUT {path}"), put.clone()).await.body["data"].clone();
    assert_eq!((&comms["email_promo_raw"], &comms["email_optout_raw"]), (&json!(1), &json!(0)));
    assert_eq!(comms["email_consent_updated_at"], "2026-06-30 10:00:00");
    rest(&omneo, &format!("PUT {path}"), put).await;
    let said = omneo.outbox().take();
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].topic.as_str(), &said[0].json()["profile_id"]), ("profile-attribute.updated", &json!(id)));
    omneo.set_comms(&id, json!({ "email_bounced": true })).unwrap();
    assert_eq!(omneo.profile(&id).unwrap()["attributes"]["comms"]["email_bounced"], true);
    omneo.set_loyalty(&id, json!({ "tier": { "handle": "gold", "name": "Gold" }, "point_balance": 120 })).unwrap();
    assert_eq!(topics(&omneo.outbox()), ["profile-attribute.updated", "tier.achieved", "balance.updated"]);
}

#[tokio::test]
async fn addresses_are_upserted_by_external_id() {
    let (omneo, _) = tenant().await;
    let id = omneo.create_profile(json!({ "email": "ann@example.com" })).unwrap();
    let path = format!("POST /profiles/{id}/addresses/upsert");
    let home = json!({ "external_id": "11", "address_line_1": "1 High St", "city": "Perth", "country": "Australia", "postcode": "6000" });
    let made = rest(&omneo, &path, home.clone()).await;
    assert_eq!((made.status, &made.body["data"]["is_default"]), (201, &json!(true)));
    let mut moved = home;
    moved["city"] = json!("Fremantle");
    let again = rest(&omneo, &path, moved).await;
    assert_eq!((again.status, &again.body["data"]["id"]), (200, &made.body["data"]["id"]));
    let part = rest(&omneo, &path, json!({ "external_id": "11", "city": "Broome" })).await;
    assert_eq!((part.status, &part.body["data"]["postcode"]), (200, &json!("6000")));
    let bare = rest(&omneo, &path, json!({ "city": "Perth", "country": "Australia", "postcode": "1" })).await;
    assert_eq!(bare.body, invalid("address_line_1", "The address line 1 field is required."));
    omneo
        .add_address(
            &id,
            json!({ "address_line_1": "2", "city": "B", "country": "C", "postcode": "4", "is_default": true }),
        )
        .unwrap();
    let list = rest(&omneo, &format!("GET /profiles/{id}/addresses"), Value::Null).await.body["data"].clone();
    assert_eq!((&list[0]["is_default"], &list[1]["is_default"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn transactions_are_upserted_and_their_numbers_kept_as_sent() {
    let (omneo, _) = tenant().await;
    let id = omneo.create_profile(json!({ "email": "ann@example.com" })).unwrap();
    omneo.add_identity(&id, "shopify", "77").unwrap();
    omneo.outbox().take();
    let sale = r#"{ "external_id": "4501", "profile_id": "77", "profile_id_handle": "shopify", "total": 19.90, "transacted_at": "2026-06-30T10:00:00Z",
        "timezone": "Australia/Brisbane", "delete_existing_items": true,
        "items": [{ "external_id": "1", "name": "Hat", "quantity": 1, "price_current": 19.90, "price_sell": 19.90 }] }"#;
    let post = |body: String| {
        let address = omneo.address();
        async move {
            http(address, "POST /api/v3/transactions/update-create", &[("authorization", "Bearer omneo-token")], body)
                .await
                .unwrap()
        }
    };
    let made = post(sale.to_owned()).await;
    assert_eq!((made.status, &made.body["data"]["profile_id"]), (201, &json!(id)));
    assert_eq!(made.body["data"]["transacted_at"], "2026-06-30 10:00:00");
    assert_eq!(omneo.transactions()[0]["total"].to_string(), "19.90");
    assert_eq!(post(sale.to_owned()).await.status, 200);
    assert_eq!(topics(&omneo.outbox()), ["transaction.created"], "the same again changes nothing");
    let void = post(r#"{ "external_id": "4501", "is_void": true }"#.to_owned()).await;
    assert_eq!(
        (&void.body["data"]["is_void"], void.body["data"]["items"].as_array().unwrap().len()),
        (&json!(true), 1)
    );
    let null = post(r#"{ "external_id": "4501", "is_void": null }"#.to_owned()).await;
    assert_eq!((null.status, null.body), (422, invalid("is_void", "The is void field must be true or false.")));
    let bare =
        post(r#"{ "external_id": "9", "total": 1, "items": [{ "name": "Hat", "quantity": "x" }] }"#.to_owned()).await;
    let errors = bare.body["errors"].as_object().unwrap();
    let fields = ["items.0.price_current", "items.0.price_sell", "items.0.quantity", "timezone", "transacted_at"];
    assert!(fields.iter().all(|field| errors.contains_key(*field)), "{errors:?}");
    assert_eq!(
        rest(&omneo, "GET /transactions/external/4501", Value::Null).await.body["data"]["id"],
        made.body["data"]["id"]
    );
    assert_eq!(rest(&omneo, "GET /transactions/external/1", Value::Null).await.status, 404);
    assert_eq!(omneo.transactions().len(), 1);
}

#[tokio::test]
async fn orders_products_and_locations() {
    let (omneo, _) = tenant().await;
    let order = json!({ "external_id": "4501", "total": 5, "transacted_at": "2026-06-30 10:00:00", "timezone": "UTC", "items": [{ "name": "Hat", "quantity": 1 }], "location_id": "L9" });
    let made = rest(&omneo, "POST /orders", order).await;
    assert_eq!((made.status, &made.body["data"]["location"]["external_id"]), (201, &json!("L9")));
    let id = &made.body["data"]["id"];
    assert_eq!(
        rest(&omneo, &format!("PUT /orders/{id}"), json!({ "status": "fulfilled" })).await.body["data"]["status"],
        "fulfilled"
    );
    let found = rest(&omneo, "GET /orders?filter%5Bexternal_id%5D=4501", Value::Null).await.body;
    assert_eq!((&found["meta"]["total"], &found["data"][0]["id"]), (&json!(1), id));
    assert_eq!(rest(&omneo, "GET /orders?filter[external_id]=1", Value::Null).await.body["data"], json!([]));
    assert_eq!(rest(&omneo, &format!("DELETE /orders/{id}"), Value::Null).await.status, 204);

    let product = json!({ "external_id": 5, "title": "Hat", "variants": [{ "sku": "A", "price": 1 }, { "sku": "B", "price": 2 }] });
    assert_eq!(rest(&omneo, "POST /products/queue", product).await.body, json!({ "data": "queued" }));
    rest(&omneo, "POST /products/queue", json!({ "external_id": "5", "variants": [{ "sku": "B", "price": 3 }] })).await;
    let kept = &omneo.products()[0];
    assert_eq!((kept["variants"].as_array().unwrap().len(), &kept["variants"][1]["price"]), (2, &json!(3)));
    let nameless =
        rest(&omneo, "POST /products/queue", json!({ "external_id": "6", "variants": [{ "price": 3 }] })).await;
    assert_eq!(nameless.body, invalid("variants.0.sku", "The variants.0.sku field is required."));
    assert_eq!(topics(&omneo.outbox()), ["order.created", "order.updated", "product.created", "product.updated"]);
    assert_eq!(rest(&omneo, "GET /locations", Value::Null).await.body["data"][0]["name"], "Location L9");
}

#[tokio::test]
async fn what_was_sold_at_a_deleted_location_goes_to_its_heir() {
    let (omneo, _) = tenant().await;
    let sale = json!({ "external_id": "4501", "total": 5, "transacted_at": "2026-06-30 10:00:00", "timezone": "UTC", "location_id": "L9",
        "items": [{ "name": "Hat", "quantity": 1, "price_current": 5, "price_sell": 5 }] });
    let made = rest(&omneo, "POST /transactions/update-create", sale).await;
    let old = made.body["data"]["location"]["id"].clone();
    let nameless = rest(&omneo, "POST /locations", json!({ "name": "Fitzroy" })).await;
    assert_eq!(nameless.body, invalid("phone", "The phone field is required."));
    let heir = json!({ "name": "Fitzroy", "phone": "+61390000000", "external_id": "L10" });
    let heir = rest(&omneo, "POST /locations", heir).await.body["data"]["id"].clone();
    let unknown = rest(&omneo, &format!("DELETE /locations/{old}?fallback_location_id={old}"), Value::Null).await;
    assert_eq!(unknown.status, 422);
    let gone = rest(&omneo, &format!("DELETE /locations/{old}?fallback_location_id={heir}"), Value::Null).await;
    assert_eq!(gone.status, 204);
    let moved = rest(&omneo, "GET /transactions/external/4501", Value::Null).await;
    assert_eq!(moved.body["data"]["location"]["external_id"], "L10");
    let again = rest(&omneo, &format!("DELETE /locations/{old}"), Value::Null).await;
    assert_eq!(again.status, 404);
}

#[tokio::test]
async fn doors_limits_and_the_table_of_endpoints() {
    let (omneo, clock) = tenant_with(|options| options.per_minute = Some(3)).await;
    let wrong = http(omneo.address(), "GET /api/v3/profiles", &[("authorization", "Bearer x")], None).await.unwrap();
    assert_eq!((wrong.status, wrong.body), (401, json!({ "message": "Unauthenticated." })));
    assert_eq!(rest(&omneo, "GET /nothing", Value::Null).await.status, 404);
    let method = rest(&omneo, "DELETE /orders", Value::Null).await;
    assert_eq!((method.status, method.head.contains("allow: get, post")), (405, true));
    let token = [("authorization", "Bearer omneo-token")];
    let broken = http(omneo.address(), "POST /api/v3/profiles", &token, "{".to_owned()).await.unwrap();
    assert_eq!((broken.status, broken.head.contains("x-ratelimit-remaining: 0")), (400, true));
    let busy = rest(&omneo, "GET /profiles", Value::Null).await;
    assert_eq!((busy.status, busy.head.contains("retry-after: 60")), (429, true));
    clock.advance(60_000);
    assert_eq!(rest(&omneo, "GET /profiles", Value::Null).await.status, 200);
    assert_eq!(omneo.requests()[1].operation, "/nothing");

    let (open, _) = tenant().await;
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{id}", "1");
        let answer = rest(&open, &format!("{} {path}", endpoint.method), json!({})).await;
        assert!(![405, 500].contains(&answer.status), "{endpoint:?}: {}", answer.status);
        assert_eq!(
            answer.status == 422,
            !endpoint.required.is_empty() || path.ends_with("update-create"),
            "{endpoint:?}"
        );
    }
}

#[tokio::test]
async fn what_the_token_did_itself_may_be_left_untold() {
    let (omneo, _) = tenant_with(|options| options.suppress_own = true).await;
    rest(&omneo, "POST /profiles", json!({ "email": "ann@example.com" })).await;
    assert_eq!(topics(&omneo.outbox()), [""; 0]);
    omneo.create_profile(json!({ "email": "ben@example.com" })).unwrap();
    let said = omneo.outbox().take();
    assert_eq!((said[0].topic.as_str(), &said[0].json()["flattened_tags"]), ("profile.created", &json!([])));
}
