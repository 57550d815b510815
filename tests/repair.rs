//! Recorded events through the live version once more: compared, looked at beforehand, and sent when that was confirmed.

use crate::desk::{Desk, detail};
use crate::host::{Host, TENANT, hostile_component};
use serde_json::{Value, json};
use tandem::journal::{Direction, Mode};
use tandem::model::EventId;
use tandem::registry::Activate;
use tandem::{bake, engine};

const REPLAY: &str = "/v1/tenants/acme/replay";

/// A version that says this.
async fn saying(what: &str) -> Vec<u8> {
    let (engine, rules) = (engine::building_engine().unwrap(), format!("says = \"{what}\"\n"));
    bake::bake(&engine, hostile_component(), "rules.toml", &rules).await.unwrap().component
}

async fn make_live(desk: &Desk, what: &str) -> String {
    let versions = &desk.host.server.versions;
    let digest = versions.deploy(TENANT, &saying(what).await, None).await.unwrap().digest;
    let how = Activate { tenant: TENANT, version: &digest, ..Activate::default() };
    versions.activate(how, false).await.unwrap().digest
}

/// What Omneo was told: `1/a`.
fn told(desk: &Desk) -> Vec<String> {
    let requests = desk.host.omneo.requests();
    requests.iter().filter_map(|request| Some(request.path.split_once("/said/")?.1.to_owned())).collect()
}

async fn say(desk: &Desk, id: u64, nth: u64) -> i64 {
    let event = desk.host.event(TENANT, "say", &json!({"id": id, "nth": nth}).to_string()).await;
    desk.host.over(event).await;
    event.0
}

async fn direct(desk: &Desk, mode: Mode) {
    let (by, why) = ("ops".to_owned(), "a test".to_owned());
    let direction = Direction { tenant: TENANT.into(), source: "shopify".into(), mode, since: 0, by, why };
    desk.host.server.journal.direct(direction).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_compared_looked_at_and_sent() {
    let desk = Desk::of(Host::on(&saying("a").await).await);
    let acme = desk.token("acme-1", Some(TENANT)).await;
    let events = [say(&desk, 1, 1).await, say(&desk, 1, 2).await, say(&desk, 2, 3).await];
    let other = say(&desk, 3, 4).await;
    let live = make_live(&desk, "b").await;

    // Compared only: a proof's report on these events, and nothing is sent.
    let range = json!({"first": events[0], "last": events[2], "topic": "say", "outcome": "done"});
    let (status, compared) = desk.post(&acme, REPLAY, range.clone()).await;
    assert_eq!((status, &compared["events"], &compared["sent"]), (200, &json!(events), &json!(false)));
    let report = &compared["report"];
    // It would tell Omneo something else, whose answer nobody has.
    assert_eq!((&report["counts"]["diverged"], &report["candidate"]["digest"]), (&json!(3), &json!(live)));

    // Looked at: what the live version would have sent.
    let with = |more: Value| {
        let mut body = range.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (status, looked) = desk.post(&acme, REPLAY, with(json!({"send": true, "dry_run": true}))).await;
    let preview = &looked["preview"];
    assert_eq!(
        (status, &preview["calls"], &preview["writes"], &preview["open"]),
        (200, &json!(3), &json!(3), &json!(3))
    );
    let call = json!({"call": "POST omneo /said/1/b", "body": "{}", "writes": true, "answered": false});
    assert_eq!((&preview["events"][0]["event"], &preview["events"][0]["calls"][0]), (&json!(events[0]), &call));
    assert_eq!(told(&desk), ["1/a", "2/a", "3/a", "4/a"]);
    let confirm = looked["confirm"].as_str().unwrap().to_owned();

    // Sent only with what was given for exactly these, on this version.
    let unconfirmed = desk.post(&acme, REPLAY, with(json!({"send": true}))).await;
    let two_steps = "sending takes two steps\nhint: ask with `\"dry_run\": true` first, look at what would be sent, and give its `confirm` value";
    assert_eq!(detail(&unconfirmed), (409, two_steps));
    let moved = "this `confirm` stands for other events or another version than there are now: nothing was sent\nhint: ask with `\"dry_run\": true` again";
    let more = json!({"first": events[0], "last": other, "topic": "say", "send": true, "confirm": confirm});
    assert_eq!(detail(&desk.post(&acme, REPLAY, more).await), (409, moved));
    make_live(&desk, "c").await;
    let confirmed = with(json!({"send": true, "confirm": confirm}));
    assert_eq!(detail(&desk.post(&acme, REPLAY, confirmed.clone()).await), (409, moved));
    assert_eq!(told(&desk).len(), 4);
    assert!(events.iter().all(|event| desk.host.show(EventId(*event)).1.len() == 1));
    make_live(&desk, "b").await;
    let (status, sent) = desk.post(&acme, REPLAY, confirmed.clone()).await;
    assert_eq!((status, &sent["events"], &sent["sent"]), (200, &json!(events), &json!(true)));
    for event in events {
        let row = desk.host.over(EventId(event)).await;
        assert_eq!((row.outcome.as_deref(), row.reason.as_deref()), (Some("done"), Some("b")));
        assert_eq!(desk.host.show(EventId(event)).1.len(), 2);
    }
    let mut after = told(&desk).split_off(4);
    assert!(after.iter().position(|told| told == "1/b") < after.iter().position(|told| told == "2/b"));
    after.sort();
    assert_eq!(after, ["1/b", "2/b", "3/b"]);
    // Once: they have ended anew since.
    assert_eq!(detail(&desk.post(&acme, REPLAY, confirmed).await), (409, moved));
    let (_, deeds) = desk.get(&acme, "/v1/audit?limit=1").await;
    let what = format!(
        "replayed 3 events on {}, sending: {} to {}, of say, that were done",
        &live[..12],
        events[0],
        events[2]
    );
    assert_eq!((&deeds[0]["by"], &deeds[0]["what"]), (&json!("acme-1"), &json!(what)));
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_named_and_left_out() {
    let desk = Desk::of(Host::on(&saying("a").await).await);
    let acme = desk.token("acme-1", Some(TENANT)).await;
    let other = desk.token("other-1", Some("other")).await;
    let [over, redacted] = [say(&desk, 1, 1).await, say(&desk, 1, 2).await];
    let duty = desk.host.event(TENANT, "customers/redact", r#"{"shop_id": 1, "customer": {"id": 9}}"#).await.0;
    desk.host.over(EventId(duty)).await;
    let app = desk.host.event(TENANT, "app/scopes_update", r#"{"current": []}"#).await.0;
    desk.host.over(EventId(app)).await;
    desk.host.server.journal.redact(EventId(redacted), &[EventId(redacted)]).await.unwrap();
    direct(&desk, Mode::Hold).await;
    let waiting = desk.host.event(TENANT, "say", r#"{"id": 2, "nth": 3}"#).await.0;

    let all = json!({"events": [over, redacted, duty, app, waiting, 999], "send": true, "dry_run": true});
    let (status, looked) = desk.post(&acme, REPLAY, all).await;
    let left_out = json!({"waiting": [waiting], "redacted": [redacted, duty], "own": [app], "unknown": [999]});
    assert_eq!((status, &looked["events"], &looked["left_out"]), (200, &json!([over]), &left_out));
    // What is sent while its direction is held waits with the others.
    let sent = json!({"events": [over, redacted, duty, app, waiting, 999], "send": true, "confirm": looked["confirm"]});
    assert_eq!(desk.post(&acme, REPLAY, sent).await.0, 200);
    assert_eq!(desk.host.row(EventId(over)).outcome, None);
    direct(&desk, Mode::Run).await;
    desk.host.over(EventId(over)).await;
    desk.host.over(EventId(waiting)).await;

    for (body, status, said) in [
        (json!({"events": [redacted, duty]}), 422, "there is nothing to replay: 2 are redacted"),
        (
            json!({"events": [redacted], "send": true, "dry_run": true}),
            422,
            "there is nothing to replay: 1 is redacted",
        ),
        (
            json!({"events": [redacted, 999], "send": true, "confirm": "00"}),
            422,
            "there is nothing to replay: 1 is redacted, 1 is not in the journal",
        ),
        (json!({"topic": "nothing"}), 422, "there is nothing to replay: no event of the topic `nothing` is meant"),
        (json!({"since": "yesterday"}), 400, "`yesterday` is not a time; write it as `2026-01-02T03:04:05Z`"),
        (json!({"dry_run": true}), 400, "`dry_run` and `confirm` go with `\"send\": true`: comparing sends nothing"),
        (
            json!({"outcome": "fine"}),
            400,
            "there is no outcome `fine`: there are `waiting`, `done`, `skipped`, `refused`, `invalid`, `failed`, `discarded`, `dead`",
        ),
    ] {
        assert_eq!(detail(&desk.post(&acme, REPLAY, body).await), (status, said));
    }
    assert_eq!(desk.post(&acme, REPLAY, json!({"first": "one"})).await.0, 422);
    assert_eq!(detail(&desk.post(&other, REPLAY, json!({})).await), (404, "there is no tenant `acme`"));
    assert_eq!(desk.host.show(EventId(redacted)).1.len(), 1);
    desk.host.stop().await;
}
