//! A shadow: a version beside the live one, on the events of the day, sending nothing.

use crate::host;

use std::time::{Duration, Instant};

use crate::desk::{Desk, detail};
use crate::host::{Host, TENANT};
use reqwest::Method;
use serde_json::{Value, json};
use tandem::{bake, engine};

const SHADOW: &str = "/v1/tenants/acme/shadow";

async fn version(rules: &str) -> Vec<u8> {
    let building = engine::building_engine().unwrap();
    bake::bake(&building, host::hostile_component(), "rules.toml", rules).await.unwrap().component
}

/// A host whose tenant runs on a component of the configuration, so that it can be started again.
async fn open() -> (Desk, String) {
    let desk = Desk::of(Host::on(&version("says = \"a\"\n").await).await);
    let acme = desk.token("acme-1", Some(TENANT)).await;
    (desk, acme)
}

async fn deployed(desk: &Desk, rules: &str) -> String {
    desk.host.server.versions.deploy(TENANT, &version(rules).await, None).await.unwrap().digest
}

async fn begin(desk: &Desk, token: &str, body: Value) -> (u16, Value) {
    desk.ask(token, Method::PUT, SHADOW, Some(body)).await
}

/// Waits until the shadow is like that, and shows it.
async fn until(desk: &Desk, token: &str, what: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, shadow) = desk.get(token, SHADOW).await;
        assert_eq!(status, 200);
        if what(&shadow) {
            return shadow;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain: {shadow:#}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_follows_live_events_sends_nothing_and_goes_on_after_a_restart() {
    let (desk, acme) = open().await;
    let b = deployed(&desk, "traps = true\n").await;
    desk.sent(TENANT, "good", &[1, 2]).await;
    assert_eq!(detail(&desk.get(&acme, SHADOW).await), (404, "tenant `acme` has no shadow, and had none"));
    let (status, shadow) = begin(&desk, &acme, json!({ "version": &b[..12] })).await;
    assert_eq!((status, &shadow["version"], &shadow["running"]), (200, &json!(b), &json!(true)));
    assert_eq!((&shadow["report"]["events"], &shadow["report"]["counts"]["identical"]), (&json!(0), &json!(0)));

    // What came before it does not count.
    let seen = desk.sent(TENANT, "ask", &[1, 2, 3]).await;
    let requests = desk.host.omneo.requests().len();
    let shadow = until(&desk, &acme, |shadow| shadow["report"]["events"] == 3).await;
    assert_eq!(shadow["report"]["counts"]["identical"], 3);
    assert_eq!(shadow["report"]["first"], seen[0]);
    let said = desk.host.event(TENANT, "say", r#"{"id": 4, "nth": 1}"#).await;
    desk.host.over(said).await;
    let shadow = until(&desk, &acme, |shadow| shadow["report"]["events"] == 4).await;
    assert_eq!(shadow["report"]["counts"]["failed"], 1);
    let group = &shadow["report"]["groups"][0];
    assert_eq!((&group["class"], &group["examples"][0]["event"]), (&json!("failed"), &json!(said.0)));
    // That of the live version alone.
    assert_eq!(desk.host.omneo.requests().len(), requests + 1);

    let desk = Desk::of(desk.host.restart(|_| ()).await);
    let said = desk.host.event(TENANT, "say", r#"{"id": 5, "nth": 2}"#).await;
    desk.host.over(said).await;
    let shadow = until(&desk, &acme, |shadow| shadow["report"]["events"] == 5).await;
    let group = &shadow["report"]["groups"][0];
    assert_eq!((&group["events"], &group["examples"][1]["event"]), (&json!(2), &json!(said.0)));
    assert_eq!(shadow["report"]["recorded_by"].as_object().unwrap().len(), 1);

    assert_eq!(desk.ask(&acme, Method::DELETE, SHADOW, None).await.0, 204);
    let shadow = until(&desk, &acme, |shadow| shadow["running"] == false).await;
    assert_eq!((&shadow["ended"], &shadow["report"]["events"]), (&json!("acme-1 ended it"), &json!(5)));
    let again = desk.ask(&acme, Method::DELETE, SHADOW, None).await;
    assert_eq!(detail(&again), (404, "no shadow of tenant `acme` runs"));
    let (_, deeds) = desk.get(&acme, "/v1/audit?limit=2").await;
    let what: Vec<_> = deeds.as_array().unwrap().iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["ended its shadow".to_owned(), format!("began a shadow of {b}")]);
    desk.host.stop().await;
}

/// An event that waits for its target is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_sees_events_in_order_and_when_they_are_over() {
    let (desk, acme) = open().await;
    let b = deployed(&desk, "says = \"b\"\n").await;
    begin(&desk, &acme, json!({ "version": b })).await;
    desk.host.server.journal.pause(TENANT, "omneo", "for a while").await.unwrap();
    while desk.host.server.paused().is_empty() {
        tokio::task::yield_now().await;
    }
    let waits = desk.host.event(TENANT, "ask", r#"{"id": 1}"#).await;
    let later = desk.sent(TENANT, "good", &[2]).await;
    desk.host.server.resume(TENANT, "omneo").await.unwrap();
    desk.host.over(waits).await;
    let shadow = until(&desk, &acme, |shadow| shadow["report"]["events"] == 2).await;
    let report = &shadow["report"];
    assert_eq!((&report["counts"]["identical"], &report["counts"]["unfinished"]), (&json!(2), &json!(0)));
    assert_eq!((&report["first"], &report["last"]), (&json!(waits.0), &json!(later[0])));
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_ends_by_itself_and_its_report_stays() {
    let (desk, acme) = open().await;
    let (b, c) = (deployed(&desk, "says = \"b\"\n").await, deployed(&desk, "says = \"c\"\n").await);
    begin(&desk, &acme, json!({ "version": b, "events": 3 })).await;
    desk.sent(TENANT, "good", &[1, 2, 3, 4]).await;
    let shadow = until(&desk, &acme, |shadow| shadow["running"] == false).await;
    assert_eq!((&shadow["ended"], &shadow["report"]["events"]), (&json!("it has seen 3 events"), &json!(3)));
    // Another takes its place, and ends when it is the live one.
    assert_eq!(begin(&desk, &acme, json!({ "version": c })).await.1["report"]["events"], 0);
    desk.sent(TENANT, "good", &[5]).await;
    until(&desk, &acme, |shadow| shadow["report"]["events"] == 1).await;
    let activate = format!("/v1/tenants/acme/versions/{c}/activate");
    assert_eq!(desk.post(&acme, &activate, json!({})).await.0, 200);
    let shadow = until(&desk, &acme, |shadow| shadow["running"] == false).await;
    assert_eq!((&shadow["ended"], &shadow["report"]["events"]), (&json!("the version was activated"), &json!(1)));

    let active = begin(&desk, &acme, json!({ "version": c })).await;
    assert_eq!(detail(&active), (409, &*format!("`{c}` is the active version: a shadow is another one")));
    assert_eq!(begin(&desk, &acme, json!({ "version": "0123456789ab" })).await.0, 404);
    let none = begin(&desk, &acme, json!({ "version": b, "events": 0 })).await;
    assert_eq!(detail(&none), (400, "a shadow of no events shows nothing"));
    let other = desk.token("other-1", Some("other")).await;
    assert_eq!(detail(&begin(&desk, &other, json!({ "version": b })).await), (404, "there is no tenant `acme`"));
    desk.host.stop().await;
}
