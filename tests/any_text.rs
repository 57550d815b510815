//! No text makes a component trap or the host stumble: payloads go through the default rules with the fuel and memory that
//! events have, rules files through the path that `tandem build` takes. The many rounds run natively, in
//! `plugin/rules/tests/any_text.rs`; here is what only wasm and TOML can do wrong.

use tandem::bake::{self, Refused};
use tandem::engine;
use tandem::model::{Event, EventId, Next, Outcome, Webhook};
use tandem::playground;

fn event(topic: &str, payload: String) -> Event {
    let webhook = Webhook {
        tenant: "acme".into(),
        source: if topic.contains('.') && !topic.starts_with("customer.") { "omneo" } else { "shopify" }.into(),
        topic: topic.into(),
        delivery_id: None,
        occurred_at: "yesterday".into(),
        received_at: i64::MAX,
        api_version: "2026-07".into(),
        payload,
    };
    Event { id: EventId(1), webhook }
}

#[tokio::test]
async fn no_payload_makes_the_component_trap() {
    let plugin = playground::plugin("timezone = \"UTC\"\n").await.unwrap();
    let order = |price: &str| {
        format!(
            r#"{{"id":1,"financial_status":"paid","line_items":[{{"id":1,"price":{price},"quantity":1}}],"total_price":{price}}}"#
        )
    };
    let payloads = [
        String::new(),
        "\u{0}".into(),
        "[".repeat(1 << 20),
        format!("{}1{}", "{\"id\":".repeat(50_000), "}".repeat(50_000)),
        format!("{}1{}", "{\"id\":".repeat(120), "}".repeat(120)),
        format!("{{\"id\":{}}}", "9".repeat(1 << 20)),
        format!("{{\"id\":1e{}}}", "9".repeat(1_000)),
        format!("{{\"id\":1,\"email\":\"{}\"}}", "a".repeat(1 << 20)),
        r#"{"id":"\ud800"}"#.into(),
        r#"{"id":1,"id":[],"id":"two"}"#.into(),
        order("79228162514264337593543950335"),
        order("1e-400"),
        order("\"-0\""),
        format!(r#"{{"id":1,"line_items":[null{}],"total_price":"1"}}"#, ",null".repeat(10_000)),
    ];
    let topics: Vec<_> = plugin.manifest().listens.iter().map(|(_, topic)| topic.clone()).collect();
    for topic in &topics {
        for payload in &payloads {
            let event = event(topic, payload.clone());
            let shown: String = payload.chars().take(60).collect();
            let named = plugin.key(&event).result.map_err(|failure| failure.reason);
            let named = named.unwrap_or_else(|why| panic!("{topic} {shown}: {why}"));
            let next = plugin.step(&event, &[], &[]).result.map_err(|failure| failure.reason);
            let next = next.unwrap_or_else(|why| panic!("{topic} {shown}: {why}"));
            if let (Err(why), Next::End(end)) = (named, next) {
                assert!(!why.is_empty() && !end.reason.is_empty(), "{topic} {shown}: no reason");
                assert_ne!(end.outcome, Outcome::Done, "{topic} {shown}: {}", end.reason);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rules_file_makes_the_host_stumble() {
    let deep = format!("timezone = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    let tables = format!("[{}a]", "a.".repeat(50_000));
    let long = format!("timezone = \"{}\"", "a".repeat(1 << 20));
    let texts: [(&str, &str); 14] = [
        ("\u{0}", "error:"),
        ("timezone = \"UTC", "rules.toml:1:"),
        ("timezone = \"\\ud800\"", "rules.toml:1:"),
        ("timezone = \"UTC\"\ntimezone = \"UTC\"", "rules.toml:2:1"),
        ("timezone = 99999999999999999999999999", "rules.toml:1:1"),
        ("timezone = 1e999", "rules.toml:1:1"),
        ("timezone = nan", "rules.toml:1:1"),
        ("timezone = 2026-01-02", "rules.toml:1:1"),
        ("timezone = \"UTC\"\n[[tags]]\nprefix = \"x\"", "rules.toml:2:"),
        ("timezone = \"UTC\"\n[\"a~b/c\"]\nx = 1", "rules.toml:2:"),
        ("timezone = \"UTC\"\n[tags]\nwhitelist = [1, [2], {}]", "rules.toml:3:1"),
        (&deep, "rules.toml:1:"),
        (&tables, "rules.toml:1:"),
        (&long, "rules.toml:1:1"),
    ];
    let (engine, base) = (engine::building_engine().unwrap(), bake::default_base().unwrap());
    for (text, expected) in texts {
        let shown: String = text.chars().take(60).collect();
        match bake::bake(&engine, &base, "rules.toml", text).await {
            Err(Refused::Rules(said)) => {
                assert!(
                    said.contains("hint: ") && said.contains(expected),
                    "{shown}: {}",
                    &said[..said.len().min(2_000)]
                );
            }
            Err(Refused::Other(error)) => panic!("{shown}: {error:#}"),
            Ok(_) => panic!("{shown}: accepted"),
        }
    }
}
