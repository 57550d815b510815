//! The admin API as operators and tenants use it: who may see what, what is done about dead letters, and that every answer
//! is as the document says.

use crate::host;

use crate::desk::{Desk, detail};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_shows_what_it_is_for_and_nothing_else() {
    let desk = Desk::open().await;
    let (operator, acme) = (desk.token("ops", None).await, desk.token("acme-1", Some("acme")).await);
    let [mine] = desk.sent("acme", "good", &[1]).await[..] else { panic!() };
    let [theirs] = desk.sent("other", "good", &[1]).await[..] else { panic!() };

    let names = |answer: (u16, Value)| -> Vec<String> {
        answer.1.as_array().unwrap().iter().map(|tenant| tenant["tenant"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(desk.get(&operator, "/v1/tenants").await), ["acme", "other"]);
    assert_eq!(names(desk.get(&acme, "/v1/tenants").await), ["acme"]);
    assert_eq!(desk.get(&operator, &format!("/v1/tenants/other/events/{theirs}")).await.1["outcome"], "done");
    assert_eq!(desk.get(&acme, &format!("/v1/tenants/acme/events/{mine}")).await.1["payload"], "{\"id\":1}");

    // Another tenant is as unknown as one that is not there, and so are its events.
    for path in ["/v1/tenants/other/events", "/v1/tenants/nobody/events"] {
        let answer = desk.get(&acme, path).await;
        let name = path.split('/').nth(3).unwrap();
        assert_eq!(detail(&answer), (404, &*format!("there is no tenant `{name}`")));
    }
    let answer = desk.get(&acme, &format!("/v1/tenants/acme/events/{theirs}")).await;
    assert_eq!(detail(&answer), (404, &*format!("tenant `acme` has no event {theirs}")));
    assert_eq!(desk.get(&acme, "/metrics").await.0, 403);

    let missing = "a token is missing: send `Authorization: Bearer …`; `tandem token create` makes one";
    assert_eq!(detail(&desk.get("", "/v1/tenants").await), (401, missing));
    let unknown = "this token is not known, or was revoked";
    assert_eq!(detail(&desk.get("tandem_00", "/v1/tenants").await), (401, unknown));
    assert!(desk.host.server.journal.revoke_token("acme-1").await.unwrap());
    assert_eq!(detail(&desk.get(&acme, "/v1/tenants").await), (401, unknown));
    assert!(!desk.host.server.journal.revoke_token("acme-1").await.unwrap());
    desk.host.stop().await;
}

#[tokio::test]
async fn dead_letters_are_grouped_by_cause_and_taken_up_or_put_away() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    let broken = desk.sent("acme", "broken", &[1, 2, 3]).await;
    let strays = desk.sent("acme", "stray", &[4]).await;
    desk.sent("other", "broken", &[5]).await;

    let (_, groups) = desk.get(&acme, "/v1/tenants/acme/dead-letters").await;
    let shown = |group: &Value| (group["topic"].clone(), group["count"].clone(), group["events"].clone());
    assert_eq!(shown(&groups[0]), (json!("broken"), json!(3), json!(broken)));
    assert_eq!(shown(&groups[1]), (json!("stray"), json!(1), json!(strays)));
    assert_eq!(groups.as_array().unwrap().len(), 2);

    // One, some by their cause, and what that would be.
    let retry = "/v1/tenants/acme/dead-letters/retry";
    let cause = json!({"topic": "broken", "cause": groups[0]["cause"], "dry_run": true});
    assert_eq!(desk.post(&acme, retry, cause.clone()).await, (200, json!({ "events": broken })));
    assert_eq!(desk.post(&acme, retry, json!({"event": broken[0]})).await, (200, json!({"events": [broken[0]]})));
    desk.host.over(tandem::model::EventId(broken[0])).await;
    let cause = json!({"topic": "broken", "cause": groups[0]["cause"]});
    assert_eq!(desk.post(&acme, retry, cause).await, (200, json!({ "events": broken })));
    for event in &broken {
        desk.host.over(tandem::model::EventId(*event)).await;
        let (_, runs) = desk.host.show(tandem::model::EventId(*event));
        assert_eq!(runs.len(), if *event == broken[0] { 3 } else { 2 });
    }

    // Put away, they stay where they are with the reason.
    let discard = "/v1/tenants/acme/dead-letters/discard";
    let answer = desk.post(&acme, discard, json!({"event": strays[0], "why": " "})).await;
    assert_eq!(detail(&answer), (400, "`why` is a line of 1 to 500 characters: others will want to know"));
    let away = json!({"event": strays[0], "why": "settled by hand"});
    assert_eq!(desk.post(&acme, discard, away.clone()).await, (200, json!({ "events": strays })));
    let (_, event) = desk.get(&acme, &format!("/v1/tenants/acme/events/{}", strays[0])).await;
    assert_eq!(event["outcome"], "discarded");
    let reason = event["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("discarded by acme-1: settled by hand; it had ended failed: the rules called"),
        "{reason}"
    );
    let answer = desk.post(&acme, discard, away).await;
    let gone = format!(
        "event {} is no dead letter: it is discarded\nhint: `tandem replay --tenant acme --send` puts events that are over through the rules once more",
        strays[0]
    );
    assert_eq!(detail(&answer), (404, gone.as_str()));
    assert_eq!(desk.get(&acme, "/v1/tenants/acme/dead-letters").await.1.as_array().unwrap().len(), 1);

    // Whoever comes later reads what was done.
    let (_, deeds) = desk.get(&acme, "/v1/audit").await;
    let what: Vec<_> = deeds.as_array().unwrap().iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    assert_eq!(
        what,
        [
            format!("discarded event {}: settled by hand", strays[0]),
            format!("retried 3 dead letters of broken ({})", groups[0]["cause"].as_str().unwrap()),
            format!("retried event {}", broken[0]),
            "token acme-1 created, for tenant acme".to_owned(),
        ]
    );
    desk.host.stop().await;
}

#[tokio::test]
async fn a_paused_target_gets_nothing_until_it_is_resumed() {
    let desk = Desk::open().await;
    let operator = desk.token("ops", None).await;
    let pause = |target: &str| format!("/v1/tenants/acme/targets/{target}/pause");
    assert_eq!(desk.post(&operator, &pause("omneo"), json!({"why": "a migration"})).await.0, 204);
    let (_, targets) = desk.get(&operator, "/v1/tenants/acme/targets").await;
    assert_eq!(targets[1], json!({"target": "omneo", "paused": "paused by ops: a migration", "held": null}));
    assert_eq!(targets[0], json!({"target": "shopify", "paused": null, "held": null}));

    let before = desk.host.omneo.requests().len();
    let event = desk.host.event("acme", "ask", r#"{"id": 1}"#).await;
    // Another tenant's call goes out meanwhile.
    let other = desk.host.event("other", "ask", r#"{"id": 1}"#).await;
    desk.host.over(other).await;
    assert_eq!(desk.host.omneo.requests().len(), before + 1);
    assert_eq!(desk.host.row(event).outcome, None);
    assert_eq!(desk.get(&operator, "/v1/tenants").await.1[0]["paused"], json!(["omneo"]));

    assert_eq!(desk.post(&operator, "/v1/tenants/acme/targets/omneo/resume", Value::Null).await.0, 204);
    assert_eq!(desk.host.over(event).await.outcome.as_deref(), Some("done"));
    let answer = desk.post(&operator, &pause("stripe"), json!({"why": "?"})).await;
    assert_eq!(detail(&answer), (404, "there is no target `stripe`: there are `shopify` and `omneo`"));
    desk.host.stop().await;
}

#[tokio::test]
async fn a_direction_is_held_until_somebody_lets_it_run() {
    let desk = Desk::open().await;
    let (operator, other) = (desk.token("ops", None).await, desk.token("other-1", Some("other")).await);
    let put = async |token: &str, source: &str, body: Value| {
        desk.ask(token, Method::PUT, &format!("/v1/tenants/acme/directions/{source}"), Some(body)).await
    };
    let (status, direction) = put(&operator, "shopify", json!({"mode": "hold", "why": "a migration"})).await;
    assert_eq!((status, &direction["mode"], &direction["target"]), (200, &json!("hold"), &json!("omneo")));
    let event = desk.host.event("acme", "good", r#"{"id": 1}"#).await;
    desk.sent("other", "good", &[1]).await;
    let (_, directions) = desk.get(&operator, "/v1/tenants/acme/directions").await;
    assert_eq!((&directions[0]["waiting"], &directions[0]["by"]), (&json!(1), &json!("ops")));
    assert_eq!((&directions[1]["mode"], &directions[1]["why"]), (&json!("run"), &Value::Null));
    assert_eq!(put(&operator, "shopify", json!({"mode": "run", "why": "it is over"})).await.0, 200);
    assert_eq!(desk.host.over(event).await.outcome.as_deref(), Some("done"));

    let unknown = put(&operator, "stripe", json!({"mode": "run", "why": "?"})).await;
    let there_are = "there is no direction `stripe`: there are `shopify` and `omneo`, where events come from";
    assert_eq!(detail(&unknown), (404, there_are));
    let unknown = put(&operator, "omneo", json!({"mode": "stop", "why": "?"})).await;
    assert_eq!(unknown.0, 422);
    assert!(
        detail(&unknown).1.contains("unknown variant `stop`, expected one of `run`, `hold`, `drop`"),
        "{unknown:?}"
    );
    let silent = put(&operator, "omneo", json!({"mode": "hold", "why": ""})).await;
    assert_eq!(detail(&silent), (400, "`why` is a line of 1 to 500 characters: others will want to know"));
    let theirs = put(&other, "omneo", json!({"mode": "hold", "why": "?"})).await;
    assert_eq!(detail(&theirs), (404, "there is no tenant `acme`"));
    let (_, deeds) = desk.get(&operator, "/v1/audit?limit=2").await;
    let what = |n: usize| (deeds[n]["by"].as_str().unwrap(), deeds[n]["what"].as_str().unwrap());
    assert_eq!(what(0), ("ops", "runs what comes from shopify: it is over"));
    assert_eq!(what(1), ("ops", "holds what comes from shopify: a migration"));
    desk.host.stop().await;
}

#[tokio::test]
async fn instruments_can_be_read() {
    let desk = Desk::open().await;
    let operator = desk.token("ops", None).await;
    desk.sent("acme", "ask", &[1]).await;
    desk.sent("acme", "broken", &[2]).await;
    assert_eq!(desk.get("", "/health").await, (200, json!("alive\n")));
    assert_eq!(desk.get("", "/ready").await, (200, json!("ready\n")));
    let (status, metrics) = desk.get(&operator, "/metrics").await;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "tandem_webhooks_accepted_total{tenant=\"acme\",source=\"shopify\"} 2",
        "tandem_events_ended_total{tenant=\"acme\",outcome=\"done\"} 1",
        "tandem_events_ended_total{tenant=\"acme\",outcome=\"failed\"} 1",
        "tandem_attempts_total{target=\"omneo\",outcome=\"401\"} 0",
        "tandem_dead_letters{tenant=\"acme\"} 1",
        "tandem_ask_seconds_count 3",
        "tandem_calls_total{target=\"omneo\",outcome=\"200\"} 1",
        "tandem_tenants 2",
        "tandem_versions_loaded 1",
    ] {
        let name = line.split(' ').next().unwrap();
        let shown = metrics.lines().find(|shown| shown.starts_with(name));
        assert!(shown == Some(line) || line.ends_with(" 0") && shown.is_none(), "{status} {line}: {shown:?}");
    }
    desk.host.stop().await;
}

#[tokio::test]
async fn ready_means_that_a_webhook_would_be_on_disk() {
    let desk = Desk::open().await;
    assert_eq!(desk.get("", "/ready").await, (200, json!("ready\n")));
    // Another process writes, and does not end.
    let other = rusqlite::Connection::open(&desk.host.journal).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut answer = desk.get("", "/ready").await;
    while answer.0 == 200 {
        // What was true a moment ago counts for a second.
        answer = desk.get("", "/ready").await;
    }
    assert_eq!(detail(&answer), (503, "webhooks cannot be stored now: nothing was written within 3 s"));
    assert_eq!(desk.get("", "/health").await.0, 200);
    other.execute_batch("COMMIT").unwrap();
    while desk.get("", "/ready").await.0 != 200 {}
    // A host that stops answers nobody.
    let ready = format!("http://{}/ready", desk.host.server.admin.unwrap());
    let Desk { host, client, .. } = desk;
    host.stop().await;
    assert!(client.get(ready).send().await.is_err());
}

#[tokio::test]
async fn the_document_is_served_and_names_every_verb_once() {
    let desk = Desk::open().await;
    let (status, served) = desk.get("", "/v1/openapi.json").await;
    assert_eq!((status, &served), (200, &desk.document));
    assert_eq!(served["openapi"].as_str().map(|version| version.starts_with("3.1")), Some(true));
    let operations = served["paths"].as_object().unwrap().values().flat_map(|verbs| verbs.as_object().unwrap());
    let mut ids: Vec<_> = operations.map(|(_, verb)| verb["operationId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!((ids.len(), all >= 14), (all, true));
    let nothing = "there is nothing here; see /v1/openapi.json";
    assert_eq!(detail(&desk.get("", "/v2/tenants").await), (404, nothing));
    desk.host.stop().await;
}

/// Operations of the document, each with its method and path.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let named = |(path, verbs): (&String, &Value)| -> Vec<(String, Value)> {
        let verbs = verbs.as_object().unwrap().iter();
        verbs.map(|(method, verb)| (format!("{} {path}", method.to_uppercase()), verb.clone())).collect()
    };
    paths.flat_map(named).collect()
}

#[test]
fn the_document_is_whole() {
    let document: Value = serde_json::from_str(&tandem::admin::document()).unwrap();
    let allowed: Value = serde_json::from_str(include_str!("desk/openapi.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&allowed).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Every reference leads somewhere, and every schema is one.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "the schema {name} is none: {schema}");
    }
    for (operation, verb) in operations(&document) {
        let path = operation.split(' ').nth(1).unwrap();
        let in_path: Vec<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = verb["parameters"].as_array().cloned().unwrap_or_default();
        for name in in_path {
            let is_there =
                parameters.iter().any(|one| one["name"] == name && one["in"] == "path" && one["required"] == true);
            assert!(is_there, "{operation} does not describe `{name}`");
        }
        let responses = verb["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{operation}");
        for (status, response) in responses {
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{operation} says nothing of {status}");
            let kinds: Vec<_> = response["content"].as_object().into_iter().flat_map(|kinds| kinds.keys()).collect();
            assert_eq!(
                kinds == ["application/problem+json"],
                !status.starts_with('2'),
                "{operation} {status}: {kinds:?}"
            );
        }
        let has_body = verb["requestBody"]["content"]["application/json"].is_object();
        for status in ["400", "413", "415", "422"] {
            assert!(!has_body || responses.contains_key(status), "{operation} does not tell of {status}");
        }
        let is_open = ["/health", "/ready", "/v1/openapi.json"].contains(&path);
        assert_eq!(responses.contains_key("401"), !is_open, "{operation}");
    }
}

#[test]
fn the_limits_of_a_request_are_in_the_document() {
    let document: Value = serde_json::from_str(&tandem::admin::document()).unwrap();
    for (schema, property, limit, value) in [
        ("PauseWanted", "why", "maxLength", 500),
        ("DiscardWanted", "why", "minLength", 1),
        ("SecretWanted", "overlap_hours", "maximum", 2160),
        ("ActivationWanted", "rollback_on_failures", "maximum", 64),
        ("Quota", "keep_days", "minimum", 7),
        ("Cases", "cases", "maxProperties", 500),
        ("ReplayWanted", "events", "maxItems", 10_000),
    ] {
        assert_eq!(
            document["components"]["schemas"][schema]["properties"][property][limit], value,
            "{schema}.{property}"
        );
    }
    let (_, events) = operations(&document).into_iter().find(|(name, _)| name.ends_with("{tenant}/events")).unwrap();
    let limit = events["parameters"].as_array().unwrap().iter().find(|parameter| parameter["name"] == "limit").unwrap();
    assert_eq!(limit["schema"]["maximum"], 1000);
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_a_problem_of_its_type() {
    let desk = Desk::open().await;
    let operator = desk.token("ops", None).await;
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let retry = "/v1/tenants/acme/dead-letters/retry";
    let pause = "/v1/tenants/acme/targets/omneo/pause";
    for (method, path, kind, body, status, problem) in [
        (&get, "/v1/tenants/acme/events?limit=many", "", "", 400, "bad-request"),
        (&get, "/v1/tenants/acme/events/seventeen", "", "", 400, "bad-request"),
        (&get, "/v1/events/seventeen", "", "", 400, "bad-request"),
        (&get, "/v1/audit?limit=-1", "", "", 400, "bad-request"),
        (&get, "/v1/tenants/acme/events?limt=3", "", "", 400, "bad-request"),
        (&post, retry, "application/json", "{", 400, "bad-request"),
        (&post, retry, "text/plain", "{}", 415, "media-type"),
        (&post, retry, "", "{}", 415, "media-type"),
        (&post, retry, "application/json", "{\"evnt\": 1}", 422, "unfit"),
        (&post, pause, "application/json", "{\"why\": 7}", 422, "unfit"),
        (&post, pause, "application/json", "{\"why\": \"\"}", 400, "bad-request"),
        (&put, "/v1/tenants/acme/cases", "application/json", "[]", 422, "unfit"),
        (&post, "/v1/tenants/acme/versions", "application/toml", "\u{0}", 422, "unfit"),
        (&get, "/v1/tenants/nobody", "", "", 404, "no-tenant"),
        (&get, "/v1/nothing", "", "", 404, "no-address"),
        (&get, "/v1/tenants/acme/events/999", "", "", 404, "not-found"),
    ] {
        let url = format!("http://{}{path}", desk.host.server.admin.unwrap());
        let mut request = desk.client.request(method.clone(), url).bearer_auth(&operator).body(body);
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let answer = request.send().await.unwrap();
        let (found, kind) = (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap().to_owned());
        let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((found, kind.as_str()), (status, "application/problem+json"), "{path} {body}: {said}");
        let expected = json!(format!("urn:tandem:problem:{problem}"));
        assert_eq!((&said["type"], &said["status"]), (&expected, &json!(status)), "{path} {body}: {said}");
        desk.check(method, path, status, &kind, &said);
    }
    let long = vec![b' '; 17 << 20];
    let url = format!("http://{}{retry}", desk.host.server.admin.unwrap());
    let request = desk.client.post(url).bearer_auth(&operator).header("content-type", "application/json");
    let answer = request.body(long).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(said["type"], "urn:tandem:problem:too-long");
    let anybody =
        desk.client.get(format!("http://{}/v1/tenants", desk.host.server.admin.unwrap())).send().await.unwrap();
    assert_eq!((anybody.status().as_u16(), anybody.headers()["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    desk.host.stop().await;
}

#[tokio::test]
async fn prometheus_is_answered_in_the_format_that_it_asks_for() {
    let desk = Desk::open().await;
    let operator = desk.token("ops", None).await;
    let url = format!("http://{}/metrics", desk.host.server.admin.unwrap());
    for (accept, kind, last) in [
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8", None),
        ("*/*", "application/openmetrics-text; version=1.0.0; charset=utf-8", Some("# EOF")),
    ] {
        let answer = desk.client.get(&url).bearer_auth(&operator).header("accept", accept).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], kind);
        let text = answer.text().await.unwrap();
        assert_eq!(text.lines().last().filter(|line| line.starts_with("# EOF")), last, "{accept}");
        assert!(text.lines().any(|line| line.starts_with("tandem_build_info{")), "{text}");
    }
    desk.host.stop().await;
}

#[tokio::test]
async fn a_version_is_deployed_proved_activated_and_rolled_back() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    desk.sent("acme", "say", &[1, 2]).await;
    let version = |rules: &'static str| async move {
        let building = tandem::engine::building_engine().unwrap();
        tandem::bake::bake(&building, host::hostile_component(), "rules.toml", rules).await.unwrap().component
    };
    let (good, bad) = (version("says = \"hello\"\n").await, version("traps = true\n").await);
    let upload = |bytes: Vec<u8>, sha256: &'static str| {
        let url = format!("http://{}/v1/tenants/acme/versions", desk.host.server.admin.unwrap());
        let request = desk.client.post(url).bearer_auth(&acme).body(bytes);
        let request = if sha256.is_empty() { request } else { request.header("x-sha256", sha256) };
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            (status, body)
        }
    };
    // Cut off half-way, and not what its sender says it is.
    let cut = upload(good[..good.len() / 2].to_vec(), "").await;
    assert_eq!(cut.0, 422);
    assert!(detail(&cut).1.contains("it may have been cut off"), "{cut:?}");
    let wrong = upload(good.clone(), "00").await;
    assert!(wrong.0 == 422 && detail(&wrong).1.contains(", not 00"), "{wrong:?}");

    let digest = |answer: &(u16, Value)| answer.1["digest"].as_str().unwrap().to_owned();
    let (kept_good, kept_bad) = (upload(good, "").await, upload(bad, "").await);
    assert_eq!((kept_good.0, kept_good.1["is_new"].clone()), (200, json!(true)));
    let (good, bad) = (digest(&kept_good), digest(&kept_bad));

    // What fails on a recorded event is not activated, unless somebody insists.
    let verb = |digest: &str, verb: &str| format!("/v1/tenants/acme/versions/{digest}/{verb}");
    let refused = desk.post(&acme, &verb(&bad, "activate"), json!({})).await;
    assert_eq!(refused.0, 409);
    assert!(detail(&refused).1.starts_with("2 of 2 recorded events speak against it"), "{refused:?}");
    assert_eq!(desk.get(&acme, &verb(&bad, "proof")).await.1["counts"]["failed"], 2);
    let activated = desk.post(&acme, &verb(&good[..12], "activate"), json!({})).await;
    assert_eq!((activated.0, activated.1["active"].as_str()), (200, Some(&*good)), "{activated:?}");
    let event = desk.host.event("acme", "say", r#"{"id": 3}"#).await;
    assert_eq!(desk.host.over(event).await.version.as_deref(), Some(&*good));
    let stale = desk.post(&acme, &verb(&bad, "activate"), json!({"require": "none", "expected": bad})).await;
    assert_eq!(stale.0, 409, "{stale:?}");

    let (_, versions) = desk.get(&acme, "/v1/tenants/acme/versions").await;
    let active: Vec<_> = versions.as_array().unwrap().iter().filter(|version| version["is_active"] == true).collect();
    assert_eq!((active.len(), active[0]["digest"].as_str()), (1, Some(&*good)));
    let back = desk.post(&acme, "/v1/tenants/acme/roll-back", json!({})).await;
    assert_eq!((back.0, back.1["replaced"].as_str()), (200, Some(&*good)), "{back:?}");
    let nothing = desk.post(&acme, "/v1/tenants/acme/roll-back", json!({})).await;
    assert_eq!(nothing.0, 409, "{nothing:?}");
    assert_eq!(desk.post(&acme, &verb("abcdef", "activate"), json!({})).await.0, 404);
    desk.host.stop().await;
}

#[tokio::test]
async fn a_token_is_made_listed_and_revoked_beside_a_running_host() {
    let desk = Desk::open().await;
    let tandem = |line: &str| {
        let mut tandem = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"));
        let ran = tandem.args(line.split(' ')).arg("--journal").arg(&desk.host.journal).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let (status, token, said) = tandem("token create me --tenant acme");
    assert_eq!(
        (status, said.as_str()),
        (Some(0), "this is shown once; give it to whoever asks, as `Authorization: Bearer …`\n")
    );
    let token = token.trim();
    assert!(token.starts_with("tandem_") && token.len() == 71, "{token}");
    assert_eq!(desk.get(token, "/v1/tenants").await.1[0]["tenant"], "acme");
    let twice = tandem("token create me");
    let taken = "error: there is a token `me` in force\nhint: `tandem token revoke me`, or use another name\n";
    assert_eq!((twice.0, twice.2.as_str()), (Some(1), taken));
    let listed = tandem("token list").1;
    assert!(listed.starts_with("me                   tenant acme ") && listed.ends_with("  in force\n"), "{listed}");
    assert!(!listed.contains(token), "{listed}");
    assert_eq!(tandem("token revoke me").1, "token me is revoked\n");
    assert_eq!(desk.get(token, "/v1/tenants").await.0, 401);
    assert!(tandem("token list").1.contains("  revoked 20"));
    let gone = "error: there is no token `me` in force\nhint: `tandem token list` shows them\n";
    assert_eq!(tandem("token revoke me").2, gone);
    desk.host.stop().await;
}

/// A tenant's requests whose bodies do not come keep nobody else out, and themselves only until they are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_requests_under_way_and_no_more() {
    let desk = Desk::open().await;
    let (operator, acme) = (desk.token("ops", None).await, desk.token("acme-1", Some("acme")).await);
    let other = desk.token("other-1", Some("other")).await;
    let address = desk.host.server.admin.unwrap();
    let head = format!(
        "POST /v1/tenants/acme/versions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {acme}\r\ncontent-length: 100\r\n\r\n"
    );
    let mut waiting = vec![];
    for _ in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let until = async |status: u16| {
        for _ in 0..1_000 {
            if desk.get(&acme, "/v1/tenants/acme").await.0 == status {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no {status}");
    };
    until(429).await;
    let full = desk.get(&acme, "/v1/tenants/acme").await;
    assert_eq!(detail(&full), (429, "8 requests of this tenant's tokens are under way; send this again later"));
    assert_eq!(desk.get(&operator, "/v1/tenants").await.0, 200);
    assert_eq!(desk.get(&other, "/v1/tenants/other").await.0, 200);
    drop(waiting);
    until(200).await;
    desk.host.stop().await;
}
