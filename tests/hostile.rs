//! Rules that do what rules must not, in a real host, beside a tenant who does nothing wrong.
//!
//! What is compared is what the tenant reads: outcome, blame and reason of the event in the journal.

use crate::host;

use std::collections::HashSet;
use std::iter;
use std::time::Duration;

use crate::host::{Host, hostile};
use tandem::bake;
use tandem::engine::{self, LOG_BYTES_MAX};
use tandem::journal::{Appended, EventRow};
use tandem::model::{EventId, Webhook};
use tandem::rules::Plugin;
use tokio::task::JoinSet;

/// Both have the same component: what it does is in the topic.
const EVIL: &str = "evil";
const GOOD: &str = "good";

async fn two_tenants() -> Host {
    Host::start([EVIL, GOOD].map(|tenant| (tenant.to_owned(), hostile()))).await
}

/// Outcome, blame and reason, as they are listed.
fn told(row: &EventRow) -> String {
    let blame = row.blame.as_deref().map(|blame| format!(" ({blame})")).unwrap_or_default();
    format!("{}{blame}: {}", row.outcome.as_deref().unwrap_or("waiting"), row.reason.as_deref().unwrap_or_default())
}

/// Sends a tenant's event of this topic, another tenant's good one at the same time, and the first one's next, which is
/// of the same entity and waits for it. Gives what became of the first, when the others have been done.
async fn among_others(host: &Host, topic: &str) -> EventId {
    let body = r#"{"id": 7}"#;
    let bad = host.event(EVIL, topic, body).await;
    let (beside, next) = (host.event(GOOD, "good", body).await, host.event(EVIL, "good", body).await);
    assert_eq!(told(&host.over(beside).await), "done: fine", "beside `{topic}`");
    assert_eq!(told(&host.over(next).await), "done: fine", "after `{topic}`");
    bad
}

async fn told_of(topic: &str) -> String {
    let host = two_tenants().await;
    let bad = among_others(&host, topic).await;
    let told = told(&host.row(bad));
    host.stop().await;
    told
}

/// The same, with the event's log.
async fn told_and_logged(topic: &str) -> (String, String) {
    let host = two_tenants().await;
    let bad = among_others(&host, topic).await;
    let (row, runs) = host.show(bad);
    host.stop().await;
    (told(&row), runs.last().and_then(|run| run.log.clone()).unwrap_or_default())
}

/// Where this stands in the hostile rules, as a panic names it.
fn place(text: &str) -> String {
    let found =
        include_str!("plugins/src/lib.rs").lines().enumerate().find_map(|(n, line)| Some((n, line.find(text)?)));
    let (line, column) = found.expect("it stands there");
    format!("src/lib.rs:{}:{}", line + 1, column + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_rules_are_stopped() {
    assert_eq!(
        told_of("endless").await,
        "failed (plugin): the rules ran too long: more than 50 million instructions in one ask"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_key_is_stopped() {
    assert_eq!(
        told_of("key-endless").await,
        "failed (plugin): the rules ran too long: more than 50 million instructions in one ask"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn greedy_rules_are_stopped() {
    assert_eq!(
        told_of("greedy").await,
        "failed (plugin): the rules ran out of memory: more than 16 MiB for this event"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_recursion_is_stopped() {
    assert_eq!(told_of("deep").await, "failed (plugin): the rules ran out of stack: they call themselves too deeply");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_says_what_and_where() {
    let place = place("panic!(\"the rules");
    let (told, log) = told_and_logged("broken").await;
    assert_eq!(told, format!("failed (plugin): the rules panicked at {place}: the rules are broken"));
    assert_eq!(log, format!("panicked at {place}:\nthe rules are broken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_key_says_what_and_where() {
    let place = place("panic!(\"the key");
    assert_eq!(
        told_of("key-broken").await,
        format!("failed (plugin): the rules panicked at {place}: the key is broken")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_after_a_full_log_is_heard() {
    let (told, log) = told_and_logged("loud-then-broken").await;
    assert_eq!(told, format!("failed (plugin): the rules panicked at {}: too loud", place("assert!(event.topic")));
    assert!(log.ends_with(" [TRUNCATED]"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_wait_for_no_call_are_told_so() {
    let told = told_of("asleep").await;
    assert!(told.starts_with("failed (plugin): the rules panicked at "), "{told}");
    assert!(told.ends_with(": the rules wait for something that is not a call"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loud_log_is_cut_and_says_so() {
    for topic in ["loud", "loud-line", "whispering"] {
        let (told, log) = told_and_logged(topic).await;
        assert_eq!(told, "done: said it", "{topic}");
        let kept = log.strip_suffix(" [TRUNCATED]").unwrap_or_else(|| panic!("{topic}: {log}"));
        assert!((LOG_BYTES_MAX - 1024..=LOG_BYTES_MAX).contains(&kept.len()), "{topic}: {} bytes", kept.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_are_refused() {
    assert_eq!(told_of("chatty").await, "failed (plugin): the rules asked for 500 calls at once; 100 are allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_do_not_even_arrive() {
    assert_eq!(
        told_of("flooding").await,
        "failed (plugin): the rules answered too much: more than 1024 KiB for this event"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_ask_for_ever_are_stopped() {
    let host = two_tenants().await;
    let bad = among_others(&host, "looper").await;
    assert_eq!(told(&host.row(bad)), "failed (plugin): the rules asked for more than 64 rounds of calls");
    assert_eq!(host.omneo.requests().len(), 64);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_where_nothing_may_be() {
    let host = two_tenants().await;
    let refused = [
        ("stray", "the rules called `stripe`, which their manifest does not declare as a target"),
        ("reserved", "the rules asked the host `GET tandem /journal`: it answers only `/names/{source}/{kind}/{id}`"),
        (
            "climber",
            "the rules asked for a call that may not be sent: the path `/../admin` has an empty, `.` or `..` segment",
        ),
        (
            "climber-encoded",
            "the rules asked for a call that may not be sent: the path `/profiles/%2e%2E/admin` has an empty, `.` or `..` segment",
        ),
        (
            "climber-absolute",
            "the rules asked for a call that may not be sent: the path `//evil.example/` has an empty, `.` or `..` segment",
        ),
        ("not-json", "the body of `POST omneo /profiles` is not JSON"),
    ];
    for (topic, why) in refused {
        let bad = among_others(&host, topic).await;
        assert_eq!(told(&host.row(bad)), format!("failed (plugin): {why}"), "{topic}");
    }
    assert!(host.omneo.requests().is_empty(), "{:?}", host.omneo.requests());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_refused() {
    assert_eq!(
        told_of("verbose").await,
        "failed (plugin): the rules answered too much: more than 1024 KiB for this event"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_memory_is_refused() {
    assert_eq!(
        told_of("verbose-memory").await,
        "failed (plugin): the rules answered too much: more than 1024 KiB for this event"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_grows_is_refused_and_the_old_one_kept() {
    let host = two_tenants().await;
    let outcomes = ["done: 600 KiB", "failed (plugin): the rules remembered 1228800 bytes; 1048576 are allowed"];
    for outcome in [outcomes[0], outcomes[1], outcomes[1]] {
        let bad = among_others(&host, "hoarder").await;
        assert_eq!(told(&host.row(bad)), outcome);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rambling_reason_becomes_one_line_of_bearable_length() {
    let told = told_of("rambling").await;
    assert!(told.starts_with("done: first line     9 00:00:00 acme and so on and so on"), "{told}");
    assert!(told.ends_with(" [TRUNCATED]") && told.lines().count() == 1 && told.len() < 1_100, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_one_kind_join_nobody() {
    assert_eq!(
        told_of("twins").await,
        "failed (payload): the rules concluded that `omneo/profile/1` and `omneo/profile/2` are one, which only an event may say; the event had said: learned"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_is_refused() {
    let refused = [
        ("misnamer", "the rules gave the name `omneo//1`, which is not of the form source/kind/id"),
        ("namer", "the rules gave 10000 names at once; 100 are allowed"),
        ("key-misnamed", "the rules gave the name `ada@example.org`, which is not of the form source/kind/id"),
        ("key-nameless", "the rules gave the event no name"),
        ("key-namer", "the rules gave 10000 names at once; 100 are allowed"),
    ];
    for (topic, why) in refused {
        assert_eq!(told_of(topic).await, format!("failed (plugin): {why}"), "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_from_one_ask_to_the_next() {
    let host = two_tenants().await;
    for _ in 0..3 {
        let event = among_others(&host, "count").await;
        assert_eq!(told(&host.row(event)), "done: asked 1 times");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_never_sees_what_is_remembered_of_another() {
    let host = two_tenants().await;
    let body = r#"{"id": 7, "secret": "of the good"}"#;
    host.over(host.event(GOOD, "remember", body).await).await;
    let recalled = host.over(host.event(EVIL, "recall", r#"{"id": 7}"#).await).await;
    assert_eq!(told(&recalled), "done: []");
    let recalled = host.over(host.event(GOOD, "recall", r#"{"id": 7}"#).await).await;
    assert_eq!(told(&recalled), format!("done: {:?}", [body]));
    host.stop().await;
}

/// Journals an event for each of these tenants, payload `{"id": n}`, all at the same time.
async fn flood(host: &Host, tenants: impl Iterator<Item = &str>, topic: &str) -> Vec<EventId> {
    let mut appends = JoinSet::new();
    for (id, tenant) in tenants.enumerate() {
        let webhook = Webhook {
            tenant: tenant.into(),
            source: "shopify".into(),
            topic: topic.into(),
            delivery_id: None,
            occurred_at: "2026-01-02T03:04:05Z".into(),
            received_at: 0,
            api_version: "2026-07".into(),
            payload: format!(r#"{{"id": {id}}}"#),
        };
        let journal = host.server.journal.clone();
        appends.spawn(async move { journal.append(webhook).await.unwrap() });
    }
    let event = |appended| match appended {
        Appended::Accepted(event) | Appended::Duplicate(event) | Appended::Differs { event, .. } => event,
    };
    appends.join_all().await.into_iter().map(event).collect()
}

/// Each of them takes all the time it is allowed. The good one does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_endless_events_does_not_hold_up_another_tenant() {
    let host = two_tenants().await;
    let endless = flood(&host, iter::repeat_n(EVIL, 400), "endless").await;
    let over = || endless.iter().filter(|event| host.row(**event).outcome.is_some()).count();
    // Every one of them wants to be asked now.
    while over() < 20 {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert_eq!(told(&host.over(host.event(GOOD, "good", r#"{"id": 7}"#).await).await), "done: fine");
    let over = over();
    assert!(over < 200, "{over} of 400 endless events were over before the good one");
    host.stop().await;
}

/// More tenants than there are instances, all of them stuck in finding out what an event is about.
#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_wait_for_their_turn() {
    let tenants: Vec<String> = (0..300).map(|n| format!("tenant-{n}")).collect();
    let host = Host::start(tenants.iter().map(|tenant| (tenant.clone(), hostile()))).await;
    let mut outcomes = HashSet::new();
    for event in flood(&host, tenants.iter().map(String::as_str), "key-endless").await {
        outcomes.insert(told(&host.over(event).await));
    }
    let expected = "failed (plugin): the rules ran too long: more than 50 million instructions in one ask";
    assert_eq!(outcomes, HashSet::from([expected.to_owned()]));
    host.stop().await;
}

/// What somebody is told who builds the hostile rules with this rules file.
async fn not_built(rules: &str) -> String {
    let base = bake::encode(&std::fs::read(host::build()).unwrap()).unwrap();
    let baked = bake::bake(&engine::building_engine().unwrap(), &base, "evil.toml", rules).await;
    baked.expect_err("it should not be built").to_string()
}

#[tokio::test]
async fn a_configure_that_does_not_end_well_is_stopped() {
    let hint = "hint: correct the plugin's `configure`, or see what in the rules file is too much for it";
    let place = place("panic!(\"the settings");
    for (rules, why) in [
        ("endless = 1", "the rules ran too long: more than 50 million instructions in one ask".to_owned()),
        ("greedy = 1", "the rules ran out of memory: more than 16 MiB for this event".to_owned()),
        ("broken = 1", format!("the rules panicked at {place}: the settings are broken")),
    ] {
        assert_eq!(not_built(rules).await, format!("error: `configure` failed: {why}\n{hint}"));
    }
}

#[tokio::test]
async fn a_wordy_configure_is_cut_short() {
    let said = not_built("wordy = 1").await;
    assert!(said.len() < 150_000, "{} bytes", said.len());
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said}");
    assert!(said.ends_with("error: 1901 more in evil.toml\nhint: begin with these"), "{}", &said[said.len() - 200..]);
}

/// Why bytes do not become a plugin, as `tandem` prints it.
fn refused(bytes: &[u8]) -> String {
    let loaded = bake::encode(bytes).and_then(|bytes| Plugin::load(&engine::engine()?, &bytes));
    format!("{:#}", loaded.err().expect("it should not load"))
}

fn refused_text(component: &str) -> String {
    refused(&wat::parse_str(component).unwrap())
}

#[test]
fn a_forbidden_import_is_named() {
    let wasi =
        r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))))"#;
    assert_eq!(
        refused_text(wasi),
        "the component imports `wasi:random/random@0.2.0`, which plugins may not use\n\
         hint: rules have no WASI: build for `wasm32-unknown-unknown`, and return a call instead of connecting"
    );
    let other = r#"(component (import "acme:secrets/store@1.0.0" (instance (export "read" (func)))))"#;
    assert_eq!(
        refused_text(other),
        "the component imports `acme:secrets/store@1.0.0`, which plugins may not use\n\
         hint: rules may import nothing but `tandem:rules/host`"
    );
    let core = r#"(module (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32))))"#;
    assert_eq!(
        refused_text(core),
        "this core module cannot be made a plugin: module requires an import interface named `wasi_snapshot_preview1`\n\
         hint: build it with `tandem_sdk::export!` for wasm32-unknown-unknown"
    );
}

#[test]
fn what_is_no_plugin_is_refused() {
    let no_plugin = "the component exports nothing, and not `tandem:rules/rules@0.1.0`: it is no plugin\n\
                     hint: export your rules with `tandem_sdk::export!`";
    assert_eq!(refused_text("(component)"), no_plugin);
    assert_eq!(refused_text("(module)"), no_plugin);
    let half = r#"(component (instance $rules) (export "tandem:rules/rules@0.1.0" (instance $rules)))"#;
    assert_eq!(
        refused_text(half),
        "the component's `tandem:rules/rules@0.1.0` has no function `key`\nhint: build it against wit/v0.1"
    );
    let no_wasm = "this is not WebAssembly\nhint: `tandem build` makes a component of a rules file";
    for bytes in [&b"(module)"[..], b"", b"\0as"] {
        assert_eq!(refused(bytes), no_wasm);
    }
}

/// What no host would take is refused by all who load it: to build, to test, to deploy and to serve.
#[test]
fn what_is_more_than_a_slot_of_the_pool_is_refused_by_name() {
    let hint =
        "hint: it brings along more of a language than rules need; plugins in Rust and JavaScript fit (`tandem new`)";
    let many = |what: &str, count: usize| what.repeat(count);
    let modules = format!("(component (core module $m) {})", many("(core instance (instantiate $m))", 17));
    let memory = "(core module $m (memory 1)) (core instance (instantiate $m))";
    let three: String = (0..3).map(|n| memory.replace("$m", &format!("$m{n}"))).collect();
    let memories = format!("(component {three})");
    let engines: [fn() -> anyhow::Result<engine::Engine>; 4] =
        [engine::engine, engine::checking_engine, engine::compiling_engine, || engine::testing_engine(None)];
    for (component, why) in [
        (modules, "has more than 16 core instances"),
        (memories, "has more than 2 memories"),
        (
            "(component (core module $m (memory 5000)) (core instance (instantiate $m)))".into(),
            "begins with a memory of more than 256 MiB",
        ),
        (
            "(component (core module $m (table 20001 funcref)) (core instance (instantiate $m)))".into(),
            "begins with a table of more than 20000 elements",
        ),
    ] {
        let component = wat::parse_str(&component).unwrap();
        let said = bake::encode(&component).unwrap_err().to_string();
        assert_eq!(said, format!("the component {why}: no host would take it\n{hint}"));
        for engine in engines {
            let said = format!("{:#}", Plugin::load(&engine().unwrap(), &component).err().unwrap());
            assert_eq!(said, format!("the component {why}: no host would take it\n{hint}"));
        }
    }
}

#[test]
fn what_would_have_the_host_keep_things_is_refused() {
    let resources = r#"(component (type $thing (resource (rep i32))) (core func (canon resource.new $thing)))"#;
    let said = refused_text(resources);
    assert!(said.starts_with("the component makes resources, which the host would have to keep for it"), "{said}");
    let long =
        refused(&wat::parse_str(format!("(component (@custom \"data\" \"{}\"))", "a".repeat(17 << 20))).unwrap());
    assert!(long.contains("bytes; 16777216 are allowed\nhint: "), "{long}");
}

/// Wherever it was cut off, nothing panics and the reason is named.
#[test]
fn what_was_cut_off_is_refused() {
    let component = bake::default_base().unwrap();
    let said = refused(&component[..component.len() / 2]);
    let (cause, hint) = said.split_once('\n').unwrap();
    assert!(cause.starts_with("the component is not valid: unexpected end-of-file"), "{cause}");
    assert_eq!(hint, "hint: it may have been cut off; build it again");
    let module = wat::parse_str(r#"(module (func (export "run")) (@custom "component-type" "cut off"))"#).unwrap();
    for end in 8..module.len() {
        let said = refused(&module[..end]);
        assert!(said.contains("\nhint: "), "{end}: {said}");
    }
}
