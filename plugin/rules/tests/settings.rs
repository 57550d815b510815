//! The settings as a whole: the table in docs/reference.md is the rules' own, every switch has an effect, and every
//! refusal gives a reason. The detailed effect of a value is tested with the subject of its setting.

use crate::conversation;

use std::collections::BTreeMap;

use crate::conversation::{Omneo, parse, rules, run, shopify};
use tandem_rules::DefaultRules;
use tandem_sdk::{Event, Outcome, Problem, Rules, Value, event, json};

const PROFILE: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";

/// The rows of the first table after a heading of docs/reference.md, each as its cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md");
    let reference = std::fs::read_to_string(path).expect("the reference can be read");
    let (_, after) = reference.split_once(&format!("\n{heading}\n")).expect("the reference has the heading");
    let rows = after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}

/// The texts in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The settings in force according to the component: JSON pointer to value.
fn in_force() -> BTreeMap<String, Value> {
    let manifest = DefaultRules::default().describe();
    manifest.settings.iter().map(|setting| (setting.at.clone(), parse(&setting.value))).collect()
}

/// A rules file with one setting, given by its JSON pointer.
fn with(at: &str, value: Value) -> Value {
    at.rsplit('/').filter(|key| !key.is_empty()).fold(value, |value, key| json!({ key: value }))
}

fn problems(rules: &Value) -> Vec<Problem> {
    DefaultRules::configure(&rules.to_string()).err().unwrap_or_default()
}

/// The allowed values of a setting, as the refusal of another value lists them.
fn allowed(at: &str) -> Vec<String> {
    let refused = problems(&with(at, json!("no such value"))).into_iter().find(|problem| problem.at == at);
    let message = refused.map(|problem| problem.message).unwrap_or_default();
    let list = message.split_once(" is not one of ").map_or("", |(_, list)| list);
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_reference_lists_every_setting_with_its_default_and_its_values() {
    let mut listed = BTreeMap::new();
    for row in table("## Settings") {
        for name in quoted(&row[0]).iter().filter(|name| *name != "fields.*") {
            let at = format!("/{}", name.replace('.', "/"));
            let default = if row[1].starts_with("none") { Value::Null } else { parse(row[1].trim_matches('`')) };
            for value in allowed(&at) {
                let named = quoted(&row[1..].join(" "));
                let is_named = named.iter().any(|named| named.trim_matches('"') == value);
                assert!(is_named, "the reference does not name the value `{value}` of `{name}`");
            }
            assert_eq!(listed.insert(at, default), None, "`{name}` is listed twice");
        }
    }
    let mut defaults = in_force();
    defaults.retain(|at, _| !at.starts_with("/fields/"));
    assert_eq!(listed, defaults);
}

#[test]
fn the_reference_lists_every_field_with_its_way() {
    let rows = table("### Fields");
    let rows = rows.iter().flat_map(|row| quoted(&row[0]).into_iter().map(|name| (name, row[4].trim_matches('`'))));
    let listed: BTreeMap<_, _> = rows.map(|(name, way)| (format!("/fields/{name}"), json!(way))).collect();
    let fields = in_force().into_iter().filter(|(at, _)| at.starts_with("/fields/"));
    assert_eq!(listed, fields.map(|(at, field)| (at, field["way"].clone())).collect());
}

#[test]
fn a_status_that_no_order_is_a_transaction_at_is_refused_with_the_reason() {
    for (status, why) in [
        ("partially_refunded", "a refunded order has been paid: use `paid`"),
        ("refunded", "a refunded order has been paid: use `paid`"),
        ("voided", "nothing was paid for a voided order"),
        ("expired", "nothing was paid for an expired order"),
        ("restocked", "restocked goods were not bought"),
        ("unfulfilled", "bodies show an unfulfilled order as null: use `pending`"),
    ] {
        let found = problems(&json!({"timezone": "UTC", "orders": {"transaction_status": status}}));
        assert_eq!(found.iter().map(|problem| problem.fix.as_str()).collect::<Vec<_>>(), [why]);
    }
}

fn omneo(topic: &str, payload: Value) -> Event {
    Event { source: "omneo".into(), topic: topic.into(), payload: payload.to_string(), ..event() }
}

fn order() -> Value {
    json!({
        "id": 4501, "name": "#1001", "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:00Z",
        "currency": "AUD", "financial_status": "paid", "total_price": "19.90", "taxes_included": true,
        "customer": {"id": 7, "email": "ada@example.org"},
        "line_items": [{"id": 81, "name": "Tea", "price": "19.90", "quantity": 1, "variant_id": 91}]
    })
}

#[test]
fn what_is_switched_off_asks_nobody_and_names_its_switch() {
    let consent = json!({"state": "subscribed", "consent_updated_at": "2026-03-01T10:00:00Z"});
    let person = || shopify("customers/update", &json!({"id": 7, "email": "ada@example.org"}));
    let sale = || shopify("orders/paid", &order());
    let refund = || shopify("refunds/create", &json!({"id": 55, "order_id": 4501}));
    let product = || shopify("products/update", &json!({"id": 61, "title": "Tea", "variants": []}));
    let place = || shopify("locations/update", &json!({"id": 72, "name": "Carlton"}));
    let profile = |topic: &str| omneo(topic, json!({"id": PROFILE, "profile_id": PROFILE}));
    for (switch, events) in [
        ("shopify_to_omneo", vec![person(), sale(), refund(), product(), place()]),
        ("omneo_to_shopify", ["profile.updated", "tier.achieved", "profile.address.created"].map(profile).into()),
        ("profiles", vec![person(), profile("profile.updated"), profile("profile.address.created")]),
        (
            "consent",
            ["customers_email_marketing_consent/update", "customers_marketing_consent/update"]
                .map(|topic| {
                    let key = if topic.contains("email") { "email_marketing_consent" } else { "sms_marketing_consent" };
                    let mut body = json!({"customer_id": 7});
                    body[key] = consent.clone();
                    shopify(topic, &body)
                })
                .into(),
        ),
        ("addresses", ["created", "updated", "deleted"].map(|what| profile(&format!("profile.address.{what}"))).into()),
        ("orders", vec![sale(), refund()]),
        ("products", vec![product()]),
        ("locations", vec![place()]),
    ] {
        let off = rules(json!({"sync": {switch: false}}));
        for event in events {
            let run = run(&off, &event, &[], |call| panic!("{switch} is off: {}", call.line()));
            let reason = format!("switched off: `sync.{switch} = false`");
            assert_eq!(run.outcome(), (Outcome::Skipped, reason.as_str()), "{}", event.topic);
        }
    }
}

#[test]
fn people_are_linked_by_the_identity_with_the_tenants_handle() {
    for (settings, handle, other) in
        [(json!({}), "shopify", "shopify-au"), (json!({"identity": {"handle": "shopify-au"}}), "shopify-au", "shopify")]
    {
        let rules = rules(settings);
        let run = Omneo::default().hear(&rules, &shopify("orders/paid", &order()));
        let named = run.bodies.iter().flat_map(|body| [&body["type"], &body["identities"][0]["handle"]]);
        let named: Vec<_> = named.filter(|handle| !handle.is_null()).collect();
        assert!(named.len() >= 2 && named.iter().all(|named| *named == handle), "{handle}: {named:?}");
        let created = omneo("identity.created", json!({"id": 12, "handle": other, "profile_id": PROFILE}));
        let run = conversation::run(&rules, &created, &[], |call| panic!("{}", call.line()));
        assert_eq!(run.end.reason, format!("the identity's handle is `{other}`, not `{handle}`"));
    }
}
