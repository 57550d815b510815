//! What hangs on a profile and what else a tenant keeps: identities, attributes, types, tags, rows with all their fields, and
//! the filters of lists.

use crate::kit::{rest, tenant, topics};
use serde_json::{Value, json};
use tandem_standin::Omneo;

async fn ann(omneo: &Omneo) -> String {
    let id = omneo.create_profile(json!({ "first_name": "Ann", "email": "ann@mail.test" })).unwrap();
    omneo.add_identity(&id, "shopify", "7").unwrap();
    omneo.outbox().take();
    id
}

async fn data(omneo: &Omneo, line: &str, body: Value) -> Value {
    let reply = rest(omneo, line, body).await;
    assert!([200, 201].contains(&reply.status), "{line}: {} {}", reply.status, reply.text);
    reply.body["data"].clone()
}

#[tokio::test]
async fn an_identity_is_read_changed_and_deleted_by_its_handle_and_by_its_id() {
    let (omneo, clock) = tenant().await;
    let id = ann(&omneo).await;
    let ben = omneo.create_profile(json!({ "email": "ben@mail.test" })).unwrap();
    omneo.add_identity(&ben, "shopify", "8").unwrap();
    let path = format!("/profiles/{id}/identities");
    let identity = data(&omneo, &format!("GET {path}/shopify"), Value::Null).await;
    let by_id = format!("{path}/id/{}", identity["id"]);
    assert_eq!(data(&omneo, &format!("GET {by_id}"), Value::Null).await, identity);
    clock.advance(1_000);
    let changed = data(&omneo, &format!("PUT {path}/shopify"), json!({ "identifier": 9, "is_active": false })).await;
    assert_eq!(
        (&changed["identifier"], &changed["is_active"], &changed["id"]),
        (&json!("9"), &json!(false), &identity["id"])
    );
    assert_eq!(changed["updated_at"], "2026-07-01 00:00:01");
    let found = data(&omneo, "POST /profiles/search-id", json!({ "type": "shopify", "id": "9" })).await;
    assert_eq!((&found["id"], found["updated_at"].as_str()), (&json!(id), Some("2026-07-01 00:00:01")));
    let taken = rest(&omneo, &format!("PUT {by_id}"), json!({ "identifier": "8" })).await;
    assert_eq!(
        (taken.status, &taken.body["errors"]["identifier"][0]),
        (422, &json!("The identifier has already been taken."))
    );
    let inactive = data(&omneo, "GET /identities?filter[is_active]=0&include=profile", Value::Null).await;
    assert_eq!((inactive.as_array().unwrap().len(), &inactive[0]["profile"]["email"]), (1, &json!("ann@mail.test")));
    let of = data(&omneo, "GET /identities/search-profile/9", Value::Null).await;
    assert_eq!(of[0]["id"], json!(id));
    assert_eq!(rest(&omneo, &format!("DELETE {path}/shopify"), Value::Null).await.status, 204);
    for line in [format!("GET {path}/shopify"), format!("PUT {by_id}"), format!("DELETE {by_id}")] {
        assert_eq!(rest(&omneo, &line, json!({})).await.status, 404, "{line}");
    }
}

#[tokio::test]
async fn custom_attributes_are_listed_read_set_and_deleted() {
    let (omneo, clock) = tenant().await;
    let id = ann(&omneo).await;
    let path = format!("/profiles/{id}/attributes/custom");
    assert_eq!(data(&omneo, &format!("GET {path}"), Value::Null).await, json!([]));
    let made = data(&omneo, &format!("PUT {path}/loyalty:shoe"), json!({ "type": "string", "value": "41" })).await;
    assert_eq!(
        (&made["profile_id"], &made["namespace"], &made["value"]),
        (&json!(id), &json!("loyalty"), &json!("41"))
    );
    clock.advance(1_000);
    let given = json!({ "namespace": "loyalty", "handle": "shoe", "type": "string", "value": "42" });
    omneo.update_profile(&id, json!({ "custom_attributes": [given] })).unwrap();
    let read = data(&omneo, &format!("GET {path}/loyalty:shoe"), Value::Null).await;
    assert_eq!(
        (&read["value"], &read["id"], &read["updated_at"]),
        (&json!("42"), &made["id"], &json!("2026-07-01 00:00:01"))
    );
    assert_eq!(data(&omneo, &format!("GET {path}"), Value::Null).await, json!([read]));
    assert_eq!(omneo.profile(&id).unwrap()["custom_attributes"], json!([given]), "a profile shows what was given");
    assert_eq!(topics(&omneo.outbox()), ["profile.updated", "profile.updated"]);
    assert_eq!(rest(&omneo, &format!("DELETE {path}/loyalty:shoe"), Value::Null).await.status, 204);
    assert_eq!(rest(&omneo, &format!("GET {path}/loyalty:shoe"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_type_is_changed_and_tags_are_kept_with_hyphens() {
    let (omneo, _) = tenant().await;
    let id = ann(&omneo).await;
    let path = format!("PUT /profiles/{id}/update-type");
    assert_eq!(data(&omneo, &path, json!({ "profile_type": "temporary" })).await["profile_type"], "temporary");
    assert_eq!(rest(&omneo, &path, json!({ "profile_type": "nonsense" })).await.status, 422);
    assert_eq!(topics(&omneo.outbox()), ["profile.updated"]);
    let tag = data(&omneo, "POST /tags", json!({ "handle": "mobile app" })).await;
    assert_eq!(tag["handle"], "mobile-app");
    assert_eq!(data(&omneo, "POST /tags", json!({ "handle": "mobile-app" })).await["id"], tag["id"]);
    assert_eq!(data(&omneo, &format!("GET /tags/{}", tag["id"]), Value::Null).await, tag);
    assert_eq!(rest(&omneo, &format!("DELETE /tags/{}", tag["id"]), Value::Null).await.status, 204);
    assert_eq!(data(&omneo, "GET /tags", Value::Null).await, json!([]));
}

#[tokio::test]
async fn lists_are_filtered_by_flags_by_nothing_and_by_words() {
    let (omneo, _) = tenant().await;
    for (name, phone) in [("Ann", json!("+61400000001")), ("Ben", Value::Null)] {
        let email = format!("{}@mail.test", name.to_lowercase());
        omneo.create_profile(json!({ "first_name": name, "email": email, "mobile_phone": phone })).unwrap();
    }
    let names = |query: &'static str| {
        let omneo = omneo.clone();
        async move {
            let rows = data(&omneo, &format!("GET /profiles?{query}"), Value::Null).await;
            rows.as_array()
                .unwrap()
                .iter()
                .map(|row| row["first_name"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(names("filter[mobile_phone][nullable]=1").await, ["Ben"]);
    assert_eq!(names("filter[mobile_phone][nullable]=0").await, ["Ann"]);
    assert_eq!(names("filter[search]=BEN@mail").await, ["Ben"]);
    assert_eq!(names("filter[search]=nobody").await, [""; 0]);
    for (trigger, active) in [("profile.created", true), ("profile.updated", false)] {
        let webhook = json!({ "trigger": trigger, "url": "https://a.test/x", "namespace": "n", "is_active": active, "queue": "odd" });
        rest(&omneo, "POST /webhooks", webhook).await;
    }
    let active = data(&omneo, "GET /webhooks?filter[is_active]=1&filter[namespace]=n", Value::Null).await;
    assert_eq!((active.as_array().unwrap().len(), &active[0]["trigger"]), (1, &json!("profile.created")));
    let inactive = data(&omneo, "GET /webhooks?filter[is_active]=false", Value::Null).await;
    assert_eq!(inactive[0]["trigger"], "profile.updated");
}

#[tokio::test]
async fn rows_have_every_field_of_the_sdks_types() {
    let (omneo, _) = tenant().await;
    let id = ann(&omneo).await;
    let has = |row: &Value, keys: &str| {
        let missing: Vec<_> = keys.split(' ').filter(|key| row.get(*key).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} of {row}");
    };
    let webhook = json!({ "trigger": "profile.created", "url": "https://a.test/x", "namespace": "n", "queue": "odd" });
    let webhook = data(&omneo, "POST /webhooks", webhook).await;
    has(
        &webhook,
        "id trigger url namespace user_id is_active retry_daily retry_hourly queue condition extra_data_template created_at updated_at",
    );
    assert_eq!(webhook["queue"], "low", "an unknown queue is the low one");
    let location = data(&omneo, "POST /locations", json!({ "name": "Fitzroy", "phone": "+61390000000" })).await;
    has(
        &location,
        "id type name handle description phone email timezone external_id external_code is_published is_permanently_closed icon image_url country_iso_3 address normal_hours special_hours tags custom_fields departments created_at updated_at",
    );
    rest(&omneo, "POST /products/queue", json!({ "external_id": "5", "title": "Hat", "variants": [{ "sku": "A" }] }))
        .await;
    let product = &omneo.products()[0];
    has(
        product,
        "id title handle external_id type status brand department link_brand link_department description web_url currency position images systems channels tags options meta custom_fields organisation variants created_at updated_at",
    );
    has(
        &product["variants"][0],
        "id product_id sku external_id barcode web_url handle title description position price price_discounted price_comparison price_cost available_quantity images tags options meta created_at updated_at",
    );
    let comms = data(&omneo, &format!("GET /profiles/{id}/attributes/comms"), Value::Null).await;
    has(
        &comms,
        "email_optout email_bounced email_promo email_promo_raw sms_service post_discover email_verification phone_verification terms_accepted_at terms_accepted_version email_consent_updated_at",
    );
}

#[tokio::test]
async fn what_changed_since_a_time_is_told_again() {
    let (omneo, clock) = tenant().await;
    let id = ann(&omneo).await;
    clock.advance(60_000);
    let ben = omneo.create_profile(json!({ "email": "ben@mail.test" })).unwrap();
    omneo.outbox().take();
    let said = |omneo: &Omneo| {
        let said = omneo.outbox().take();
        said.iter().map(|one| (one.topic.clone(), one.json()["id"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let queued = data(&omneo, "POST /profiles/sync", json!({ "updated_at": "2026-07-01 00:01:00" })).await;
    assert_eq!(queued["message"], "Profiles queued for sync.");
    assert_eq!(said(&omneo), [("profile.updated".to_owned(), ben.clone())]);
    rest(&omneo, "POST /profiles/sync", json!({ "since": "2026-07-01T00:00:00Z" })).await;
    assert_eq!(said(&omneo).len(), 2);
    data(&omneo, &format!("GET /profiles/{id}/resync"), Value::Null).await;
    assert_eq!(said(&omneo), [("profile.updated".to_owned(), id)]);
}
