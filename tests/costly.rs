//! Rules that have the host do as much as they can for as little fuel as it may cost, each way there is: what their tenant
//! reads, and that another tenant's events go on beside ten such tenants.

#[path = "costly/made.rs"]
mod made;

mod desk;
mod host;

use std::time::Duration;

use desk::Desk;
use host::{Host, SECRET, hostile, shop};
use reqwest::Method;
use serde_json::{Value, json};
use tandem::engine::{self, Engine, Wanted};
use tandem::metrics::{Format, Metrics, Now};
use tandem::model::{Event, EventId, Webhook};
use tandem::rules::{Asked, Plugin};
use tandem::vault::Keys;

const TOO_LONG: &str = "the rules ran too long: more than 50 million instructions in one ask";
const TOO_LOUD: &str =
    "the rules ran too long: more than 50 million instructions in one ask, most of them for what they logged";
const TOO_LATE: &str = "the rules took too long: more than 0.5 s of processor time in one ask";

fn event() -> Event {
    let webhook = Webhook {
        tenant: "evil".into(),
        source: "shopify".into(),
        topic: "orders/paid".into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: 0,
        api_version: "2026-07".into(),
        payload: "{}".into(),
    };
    Event { id: EventId(1), webhook }
}

/// How many asks were ended with fuel left, by this cause.
fn ended(metrics: &Metrics, cause: &str) -> u64 {
    let text = metrics.text(&Now::default(), Format::OpenMetrics);
    let start = format!("tandem_asks_ended_total{{cause=\"{cause}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).expect("there is such a series").parse().unwrap()
}

/// What becomes of an ask for the key.
fn ask<T>(engine: &Engine, component: &[u8], then: impl FnOnce(Asked<String>) -> T) -> T {
    let plugin = Plugin::load(engine, component).unwrap();
    let Asked { result, usage, limits, log } = plugin.key(&event());
    let result = result.map(|key| format!("{key:?}"));
    then(Asked { result, usage, limits, log })
}

/// How it failed.
fn told(engine: &Engine, component: &[u8]) -> String {
    ask(engine, component, |asked| match asked.result {
        Ok(key) => format!("it went through: {key}"),
        Err(failure) => format!("{}: {}", failure.blame.name(), failure.reason),
    })
}

/// What goes into the host pays for what it does there, so that the end comes after as many rounds as the price allows: an
/// instruction's price, or none, would have it go on for seconds and minutes.
#[test]
fn whatever_rules_have_the_host_do_ends_by_its_price() {
    let engine = engine::engine().unwrap();
    let log = |bytes: u32| format!("(call $log (i32.const 65536) (i32.const {bytes}))");
    let ways = [
        ("grow memory by nothing", "(drop (memory.grow (i32.const 0)))".to_owned(), TOO_LONG),
        ("grow a table by nothing", "(drop (table.grow $table (ref.null func) (i32.const 0)))".into(), TOO_LONG),
        ("grow a table in vain", "(drop (table.grow $table (ref.null func) (i32.const 99999)))".into(), TOO_LONG),
        ("fill a table", "(table.fill $table (i32.const 0) (ref.null func) (i32.const 10))".into(), TOO_LONG),
        ("copy a table", "(table.copy $table $table (i32.const 0) (i32.const 5) (i32.const 5))".into(), TOO_LONG),
        ("write a table", "(table.init $table $many (i32.const 0) (i32.const 0) (i32.const 4))".into(), TOO_LONG),
        ("make references", "(drop (ref.func $nothing))".into(), TOO_LONG),
        ("drop a segment", "(elem.drop $many) (data.drop $some)".into(), TOO_LONG),
        ("fill memory", "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 5000000))".into(), TOO_LONG),
        ("fill nothing", "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 0))".into(), TOO_LONG),
        ("copy memory", "(memory.copy (i32.const 0) (i32.const 65536) (i32.const 5000000))".into(), TOO_LONG),
        ("write memory", "(memory.init $some (i32.const 65536) (i32.const 0) (i32.const 16))".into(), TOO_LONG),
        ("log nothing", log(0), TOO_LOUD),
        ("log 60 KB", log(60_000), TOO_LOUD),
        ("log a megabyte", log(1_000_000), TOO_LOUD),
        ("loop", String::new(), TOO_LONG),
    ];
    for (name, what, expected) in ways {
        assert_eq!(told(&engine, &made::for_ever(&what)), format!("plugin: {expected}"), "{name}");
    }
}

/// Fuel is the same on every machine, and so is how often something dear goes through.
#[test]
fn the_price_is_by_what_the_host_does() {
    let engine = engine::engine().unwrap();
    let fuel = |what: &str| ask(&engine, &made::rules("", what), |asked| asked.usage.fuel);
    let nothing = fuel("");
    for (what, least) in [
        ("(drop (memory.grow (i32.const 0)))", 200),
        ("(drop (memory.grow (i32.const 10)))", 200 + 10 * 64),
        ("(drop (table.grow $table (ref.null func) (i32.const 10)))", 200 + 10 * 8),
        ("(call $log (i32.const 65536) (i32.const 0))", 300),
        ("(call $log (i32.const 65536) (i32.const 70000))", 70_300),
        ("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))", 8),
    ] {
        let fuel = fuel(what) - nothing;
        assert!((least..least + 100).contains(&fuel), "{what}: {fuel}");
    }
}

#[test]
fn growing_in_vain_is_running_out_of_memory() {
    let engine = engine::engine().unwrap();
    let said = told(&engine, &made::for_ever("(drop (memory.grow (i32.const 1000)))"));
    assert_eq!(said, "plugin: the rules ran out of memory: more than 16 MiB for this event");
}

/// A text that one part of a component hands to another costs as much time as it is long, and hardly any fuel.
#[test]
fn texts_between_parts_of_a_component_end_by_their_time() {
    let engine = engine::engine().unwrap();
    let component = made::parts();
    ask(&engine, &component, |asked| {
        assert_eq!(asked.result.unwrap_err().reason, TOO_LATE);
        assert_eq!(asked.usage.ended, Some(engine::Ended::Late));
        assert!(asked.usage.fuel < asked.limits.fuel_max / 2, "fuel ends it by itself: {:?}", asked.usage);
    });
}

#[test]
fn an_ask_that_nobody_wants_comes_back() {
    let engine = engine::engine().unwrap();
    for component in [made::for_ever(""), made::parts()] {
        let wanted = Wanted::default();
        let plugin = Plugin::load(&engine, &component).unwrap().while_wanted(wanted.still());
        drop(wanted);
        let asked = plugin.key(&event());
        let said = asked.result.unwrap_err();
        assert_eq!(said.blame.name(), "host");
        assert_eq!(said.reason, "the ask was given up: its event begins again or is over, or the host stops");
        assert!(asked.usage.fuel < 1_000_000, "{:?}", asked.usage);
    }
}

#[test]
fn what_a_component_does_before_it_is_asked_ends_too() {
    let engine = engine::engine().unwrap();
    let endless = made::rules("(func $endless (loop $again (br $again))) (start $endless)", "");
    let said = format!("{:#}", Plugin::load(&engine, &endless).err().unwrap());
    assert_eq!(
        said,
        format!("the component cannot be started: {TOO_LONG}\nhint: correct what it does before it is asked anything")
    );
}

/// Nine tenants that log megabytes and one whose parts hand texts to each other want to be asked all the time. What counts is
/// whose turn it was: the good one's events are over while each of the others has had a few. Behind them all, the first would
/// wait for nearly two hundred.
#[tokio::test(flavor = "multi_thread")]
async fn a_good_tenant_goes_on_beside_ten_hostile_ones() {
    const EVENTS: usize = 20;
    let parts = Plugin::load(hostile().engine(), &made::parts()).unwrap();
    let evil: Vec<String> = (0..10).map(|n| format!("evil-{n}")).collect();
    let rules = |n: usize| if n == 0 { parts.clone() } else { hostile() };
    let tenants = evil.iter().enumerate().map(|(n, name)| (name.clone(), rules(n)));
    let host = Host::start(tenants.chain([("good".to_owned(), hostile())])).await;
    let mut events = vec![];
    for n in 0..EVENTS {
        for (which, name) in evil.iter().enumerate() {
            let topic = ["orders/paid", "shouter", "scribbler", "mutterer"][if which == 0 { 0 } else { 1 + which % 3 }];
            events.push(host.event(name, topic, &format!(r#"{{"id": {n}}}"#)).await);
        }
    }
    let over = || events.iter().filter(|event| host.row(**event).outcome.is_some()).count();
    for n in 0..5 {
        let before = over();
        let event = host.event("good", "good", &format!(r#"{{"id": {n}}}"#)).await;
        let row = host.over(event).await;
        assert_eq!((row.outcome.as_deref(), row.reason.as_deref()), (Some("done"), Some("fine")));
        let meanwhile = over() - before;
        assert!(meanwhile <= 40, "{meanwhile} hostile events were over while one good one was");
    }
    assert!(over() < events.len(), "there was nothing to go on beside");
    // Those that are being asked are given up when the host stops.
    let metrics = host.server.journal.metrics().clone();
    host.stop().await;
    while ended(&metrics, "unwanted") == 0 {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// The message is what the tenant reads of its event.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reads_what_it_cost() {
    let parts = Plugin::load(hostile().engine(), &made::parts()).unwrap();
    let host = Host::start([("loud".to_owned(), hostile()), ("parts".to_owned(), parts)]).await;
    for (tenant, topic, expected) in [
        ("loud", "scribbler", TOO_LOUD),
        ("loud", "shouter", TOO_LOUD),
        ("loud", "mutterer", TOO_LOUD),
        ("parts", "orders/paid", TOO_LATE),
    ] {
        let row = host.over(host.event(tenant, topic, r#"{"id": 7}"#).await).await;
        assert_eq!(row.outcome.as_deref(), Some("failed"), "{topic}");
        assert_eq!((row.blame.as_deref(), row.reason.as_deref()), (Some("plugin"), Some(expected)), "{topic}");
    }
    assert_eq!(ended(host.server.journal.metrics(), "late"), 1);
    let ready =
        reqwest::get(format!("http://{}/ready", host.server.admin.unwrap())).await.unwrap().text().await.unwrap();
    assert_eq!(ready, "ready\nasks that were ended for their processor time, since the start: 1\n");
    host.stop().await;
}

/// Tries until so many asks were given up; each try is to give one up that is under way.
async fn until_given_up<F: Future<Output = ()>>(metrics: &Metrics, count: u64, each: impl Fn() -> F) {
    for _ in 0..500 {
        if ended(metrics, "unwanted") >= count {
            return;
        }
        each().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} asks were given up, not {count}", ended(metrics, "unwanted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_is_given_up_when_its_event_begins_again_or_is_discarded() {
    let desk = Desk::of(Host::with(|config| config.keys = Keys::parse(&["0f".repeat(32)]).unwrap()).await);
    let operator = desk.token("ops", None).await;
    let side = json!({"url": desk.host.omneo.url(), "token": "t", "webhook_secrets": [SECRET]});
    let tenant = json!({"tenant": "parts", "shop": shop("parts"), "shopify": side, "omneo": side});
    assert_eq!(desk.post(&operator, "/v1/tenants", tenant).await.0, 201);
    let parts = made::parts_in_step();
    let url = format!("http://{}/v1/tenants/parts/versions", desk.host.server.admin.unwrap());
    let sent = desk.client.post(url).bearer_auth(&operator).body(parts).send().await.unwrap();
    let digest = serde_json::from_str::<Value>(&sent.text().await.unwrap()).unwrap()["digest"].clone();
    let path = format!("/v1/tenants/parts/versions/{}/activate", digest.as_str().unwrap());
    assert_eq!(desk.post(&operator, &path, json!({})).await.0, 200);
    let metrics = desk.host.server.journal.metrics().clone();
    let event = desk.host.event("parts", "orders/paid", r#"{"id": 7}"#).await;
    until_given_up(&metrics, 1, async || {
        let path = format!("/v1/tenants/parts/events/{event}/restart");
        desk.post(&operator, &path, json!({"why": "a test"})).await;
    })
    .await;

    desk.host.over(event).await;

    let event = desk.host.event("parts", "orders/paid", r#"{"id": 8}"#).await;
    while desk.host.show(event).1.is_empty() {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let before = ended(&metrics, "unwanted");
    assert_eq!(desk.ask(&operator, Method::DELETE, "/v1/tenants/parts", None).await.0, 204);
    until_given_up(&metrics, before + 1, async || ()).await;
    assert_eq!(desk.host.row(event).outcome.as_deref(), Some("discarded"));
    desk.host.stop().await;
}
