//! Targets that answer in all the wrong ways: a table of what each answers, and what the host must end with.
//!
//! The host, its client and its delivery are the real ones; each row is a tenant whose target is a socket.

use crate::host;

use std::time::{Duration, Instant};

use crate::host::{Host, hostile_component};
use crate::liar::{Liar, Lie, answer_of};
use tandem::bake;
use tandem::clock;
use tandem::engine;
use tandem::journal::{EventRow, RunRow};
use tandem::model::{EventId, Reply};
use tandem::rules::Plugin;
use tandem::serve::Server;
use tandem_standin::{Omneo, OmneoOptions};

/// What is asked, as a topic of the hostile rules: a read, what may not be sent twice, and a query of GraphQL.
const READ: &str = "ask";
const ONCE: &str = "say";
const QUERY: &str = "unheard";

/// What a call must end with.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The rules are told this status, after one request.
    Answered(u16),
    /// No attempt had an answer: for this reason, after as many requests as the schedule has.
    GivenUp(&'static str),
    /// The rules are told that nobody knows, for this reason, after one request.
    Unknown(&'static str),
    /// The target is paused after one request, and the call waits.
    Paused,
    /// The target is held after one request, for an hour at most, and the call waits; resumed, it is answered.
    Held,
}

struct Row {
    name: &'static str,
    topic: &'static str,
    lie: Lie,
    end: End,
}

fn row(name: &'static str, topic: &'static str, lie: Lie, end: End) -> Row {
    Row { name, topic, lie, end }
}

/// Longest that a target may take, and how often a call is tried.
const TIMEOUT_MS: u64 = 1_500;
const ATTEMPTS: usize = 2;
const GOOD: &str = r#"{"data": {"id": 1}}"#;

/// An answer of 200 whose body is this.
fn ok(body: impl AsRef<[u8]>) -> Lie {
    Lie::Bytes(answer_of("200 OK", &["content-type: application/json"], body))
}

fn with(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Lie {
    Lie::Bytes(answer_of(status, headers, body))
}

fn raw(text: &str) -> Lie {
    Lie::Bytes(text.as_bytes().to_vec())
}

/// A 2xx that is not what was asked for.
fn bodies() -> Vec<Row> {
    use End::{Answered, GivenUp, Unknown};
    let html = "<!doctype html><title>We will be right back</title>";
    let not_json = "200 with a body that is not JSON";
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00\x00\x00";
    // What would be a gigabyte: nobody asked for it, so nobody unpacks it.
    let bomb = [&gzip[..], &[0; 4 << 20]].concat();
    let encoded =
        |encoding: &'static str, body: &[u8]| with("200 OK", &[&format!("content-encoding: {encoding}")], body);
    vec![
        row("as it should be", READ, ok(GOOD), Answered(200)),
        row("as it should be, for what is sent once", ONCE, with("201 Created", &[], GOOD), Answered(201)),
        row("as it should be, for a query", QUERY, ok(r#"{"data": {"shop": {"mood": 1}}}"#), Answered(200)),
        row("a page", READ, ok(html), GivenUp(not_json)),
        row("a page, for what is sent once", ONCE, ok(html), Unknown(not_json)),
        row("a page, for a query", QUERY, ok(html), GivenUp(not_json)),
        row("nothing", READ, ok(""), GivenUp("200 without a body")),
        row("nothing, for what is sent once", ONCE, ok(""), Unknown("200 without a body")),
        row("nothing, for a query", QUERY, ok(""), GivenUp("200 without a body")),
        row("204, for a read", READ, with("204 No Content", &[], ""), GivenUp("204 without a body")),
        row("204, for what is sent once", ONCE, with("204 No Content", &[], ""), Answered(204)),
        row("205 and nothing", READ, with("205 Reset Content", &[], ""), GivenUp("205 without a body")),
        row("blanks", READ, ok(" \r\n\t "), GivenUp("200 without a body")),
        row("half of the JSON", READ, ok(&GOOD[..10]), GivenUp(not_json)),
        row("JSON and more", READ, ok(format!("{GOOD}{GOOD}")), GivenUp(not_json)),
        row("NaN", READ, ok(r#"{"data": NaN}"#), GivenUp(not_json)),
        row("a text", READ, ok("\"OK\""), GivenUp("neither an object nor a list")),
        row("null", READ, ok("null"), GivenUp("neither an object nor a list")),
        row("a byte order mark", READ, ok(format!("\u{feff}{GOOD}")), GivenUp(not_json)),
        row("UTF-16", READ, ok(utf16), GivenUp("200 with a body that")),
        row("Latin-1", READ, ok(b"{\"data\": \"\xe9\"}"), GivenUp("not UTF-8")),
        row("bytes of zero", READ, ok([0; 64]), GivenUp(not_json)),
        row("nested for ever", READ, ok("[".repeat(1 << 20)), GivenUp(not_json)),
        row("said to be gzip", READ, encoded("gzip", GOOD.as_bytes()), GivenUp("encoded as \"gzip\"")),
        row("gzip", READ, encoded("gzip", gzip), GivenUp("encoded as \"gzip\"")),
        row("gzip that nobody calls so", READ, ok(gzip), GivenUp("200 with a body that")),
        row("a bomb", ONCE, encoded("gzip", &bomb), Unknown("encoded as \"gzip\"")),
        row("brotli", READ, encoded("br", b"\x00"), GivenUp("encoded as \"br\"")),
        row("a query without data", QUERY, ok("{}"), GivenUp("neither `data` nor `errors`")),
        row("a query of no object", QUERY, ok("[]"), GivenUp("neither `data` nor `errors`")),
        row("a query with errors", QUERY, ok(r#"{"errors": [{"message": "no"}]}"#), Answered(200)),
        row("errors that are a text", QUERY, ok(r#"{"errors": "no"}"#), Answered(200)),
    ]
}

/// What is not HTTP, or not to its end.
fn wires() -> Vec<Row> {
    use End::{Answered, GivenUp, Unknown};
    let head = "HTTP/1.1 200 OK\r\n";
    let slow = Duration::from_millis(40);
    let bytes = |text: String| Lie::Bytes(text.into_bytes());
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    vec![
        row("no word", READ, Lie::Hang(vec![]), GivenUp("timed out")),
        row("no word, for what is sent once", ONCE, Lie::Hang(vec![]), Unknown("timed out")),
        row("half a head", READ, Lie::Hang(head.into()), GivenUp("timed out")),
        row("half a body", READ, Lie::Hang(answer_of("200 OK", &[], GOOD)[..70].to_vec()), GivenUp("timed out")),
        row("closed at once", ONCE, raw(""), Unknown("")),
        row("deaf", READ, Lie::Deaf, GivenUp("")),
        row("reset", READ, Lie::Reset(vec![]), GivenUp("")),
        row("reset in the head", ONCE, Lie::Reset(head.into()), Unknown("")),
        row("a slow drip", READ, Lie::Drip(answer_of("200 OK", &[], GOOD), slow), GivenUp("timed out")),
        row(
            "an endless body",
            READ,
            Lie::Endless(format!("{head}\r\n").into(), vec![b'1'; 65_536]),
            GivenUp("longer than"),
        ),
        row("an endless head", READ, Lie::Endless(head.into(), b"x-a: 1\r\n".repeat(999)), GivenUp("")),
        row("an endless header", READ, Lie::Endless(format!("{head}x-a: ").into(), vec![b'1'; 65_536]), GivenUp("")),
        row(
            "a flood of 100",
            READ,
            Lie::Endless(vec![], b"HTTP/1.1 100 Continue\r\n\r\n".repeat(99)),
            GivenUp("timed out"),
        ),
        row(
            "a flood of 103",
            ONCE,
            Lie::Endless(vec![], b"HTTP/1.1 103 Early\r\n\r\n".repeat(99)),
            Unknown("timed out"),
        ),
        row(
            "an endless chunk",
            READ,
            Lie::Endless(format!("{chunks}ffffffff\r\n").into(), vec![b'1'; 65_536]),
            GivenUp("longer than"),
        ),
        row("chunks of garbage", READ, bytes(format!("{chunks}zz\r\nhello\r\n")), GivenUp("")),
        row("a chunk too long to be", READ, bytes(format!("{chunks}fffffffffffffffff\r\n")), GivenUp("")),
        row("chunks without an end", READ, bytes(format!("{chunks}13\r\n{GOOD}\r\n")), GivenUp("")),
        row("a length too large", READ, bytes(format!("{head}content-length: 99\r\n\r\n{GOOD}")), GivenUp("")),
        row("a length too small", READ, bytes(format!("{head}content-length: 9\r\n\r\n{GOOD}")), GivenUp("not JSON")),
        row("a length of text", READ, bytes(format!("{head}content-length: many\r\n\r\n{GOOD}")), GivenUp("")),
        row("a length below zero", READ, bytes(format!("{head}content-length: -1\r\n\r\n{GOOD}")), GivenUp("")),
        row(
            "two lengths",
            READ,
            bytes(format!("{head}content-length: 19\r\ncontent-length: 3\r\n\r\n{GOOD}")),
            GivenUp(""),
        ),
        row("no length", READ, bytes(format!("{head}\r\n{GOOD}")), Answered(200)),
        row("no length, and half", READ, bytes(format!("{head}\r\n{}", &GOOD[..9])), GivenUp("not JSON")),
        row("no HTTP", READ, raw("SSH-2.0-OpenSSH_9.6\r\n"), GivenUp("")),
        row("HTTP/2", READ, Lie::Bytes(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00".to_vec()), GivenUp("")),
        row("another version", ONCE, raw("HTTP/3.0 200 OK\r\n\r\n"), Unknown("")),
        row("no status", READ, raw("HTTP/1.1\r\n\r\n"), GivenUp("")),
        row("status 000", READ, raw("HTTP/1.1 000 No\r\ncontent-length: 0\r\n\r\n"), GivenUp("")),
        row("a head of bytes", READ, Lie::Bytes(b"HTTP/1.1 200 OK\r\n\xff\xfe: \x00\r\n\r\n".to_vec()), GivenUp("")),
        row("a thousand headers", READ, bytes(format!("{head}{}\r\n", "x-a: 1\r\n".repeat(1_000))), GivenUp("")),
    ]
}

/// Statuses, and what stands beside them.
fn statuses() -> Vec<Row> {
    use End::{Answered, GivenUp, Held, Paused, Unknown};
    let busy = |after: &str| with("429 Too Many Requests", &[&format!("retry-after: {after}")], "");
    let loops = |status| with(status, &["location: /profiles"], "");
    let throttled = |status: &str| {
        let cost = format!(r#"{{"requestedQueryCost": 1e9, "throttleStatus": {status}}}"#);
        ok(format!(r#"{{"errors": [{{"extensions": {{"code": "THROTTLED"}}}}], "extensions": {{"cost": {cost}}}}}"#))
    };
    vec![
        row("a redirect to itself", READ, loops("302 Found"), Answered(302)),
        row("a lasting redirect", ONCE, loops("308 Permanent Redirect"), Answered(308)),
        row("a redirect to nowhere", READ, with("301 Moved", &["location: http://10.0.0.1/"], ""), Answered(301)),
        row("404", READ, with("404 Not Found", &[], r#"{"message": "No query results"}"#), Answered(404)),
        row("404 with a page", READ, with("404 Not Found", &[], "<html>"), GivenUp("404 with a body that is not JSON")),
        row("410 and nothing", READ, with("410 Gone", &[], ""), GivenUp("410 with a body that is not JSON")),
        row(
            "422 with a page, for what is sent once",
            ONCE,
            with("422 Oops", &[], "<html>"),
            Unknown("422 with a body"),
        ),
        row("401", READ, with("401 Unauthorized", &[], "{}"), Paused),
        row("402", QUERY, with("402 Payment Required", &[], ""), Paused),
        row("423", QUERY, with("423 Locked", &[], ""), Paused),
        row("500", READ, with("500 Oops", &[], "<html>"), GivenUp("500")),
        row("408, for what is sent once", ONCE, with("408 Request Timeout", &[], ""), Unknown("408")),
        row("502, for what is sent once", ONCE, with("502 Bad Gateway", &[], "<html>"), Unknown("502")),
        row("status 999", READ, with("999 Request denied", &[], ""), GivenUp("999")),
        row("429 and no time", READ, with("429 Too Many Requests", &[], ""), GivenUp("429")),
        row("429 and a time below zero", READ, busy("-5"), GivenUp("429")),
        row("429 and NaN", READ, busy("NaN"), GivenUp("429")),
        row("429 and words", READ, busy("a while"), GivenUp("429")),
        row("429 and a date that is over", READ, busy("Wed, 21 Oct 2015 07:28:00 GMT"), GivenUp("429")),
        row("429 and an hour", ONCE, busy("3600"), Held),
        row("429 and for ever", READ, busy("99999999999999999999999999"), Held),
        row("429 and infinity", READ, busy("inf"), Held),
        row("429 and a date far away", READ, busy("Fri, 31 Dec 9999 23:59:59 GMT"), Held),
        row("503 and a year", READ, with("503 Down", &["retry-after: 31536000"], ""), Held),
        row(
            "THROTTLED and odd figures",
            QUERY,
            throttled(r#"{"maximumAvailable": 0, "currentlyAvailable": -1e300, "restoreRate": 1e-300}"#),
            Held,
        ),
        row("THROTTLED and no figures", QUERY, throttled("[]"), Held),
        row(
            "THROTTLED and figures of text",
            QUERY,
            throttled(r#"{"maximumAvailable": "1", "currentlyAvailable": null, "restoreRate": {}}"#),
            Held,
        ),
        row(
            "odd figures beside data",
            QUERY,
            ok(
                r#"{"data": {}, "extensions": {"cost": {"throttleStatus": {"maximumAvailable": -1, "currentlyAvailable": -1e300, "restoreRate": 0}}}}"#,
            ),
            Answered(200),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_target_answers_the_host_ends_with_what_is_so() {
    let rows: Vec<_> = [bodies(), wires(), statuses()].into_iter().flatten().collect();
    assert!(rows.len() >= 80, "{} rows", rows.len());
    let folder = tempfile::tempdir().unwrap();
    let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
    let names: Vec<String> = (0..rows.len()).map(|n| format!("row{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut config = host::config(folder.path(), &omneo, &names);
    config.delivery.timeout_ms = TIMEOUT_MS;
    config.delivery.quiet_ms = 1;
    config.delivery.retry_delays_ms = vec![1; ATTEMPTS - 1];
    let mut liars = vec![];
    for (row, tenant) in rows.iter().zip(&mut config.tenants) {
        let (lie, held) = (row.lie.clone(), matches!(row.end, End::Held));
        // Once it is resumed, it answers.
        let liar =
            Liar::start(move |number| if held && number > 0 { ok(r#"{"data": {}}"#) } else { lie.clone() }).await;
        (tenant.omneo.url, tenant.shopify.url) = (liar.url(), liar.url());
        config.allow.push(liar.address.to_string());
        liars.push(liar);
    }
    let building = engine::building_engine().unwrap();
    // What is sent once has this in its path.
    let rules = bake::bake(&building, hostile_component(), "rules.toml", "says = \"it\"\n").await.unwrap();
    let plugin = Plugin::load(&engine::engine().unwrap(), &rules.component).unwrap();
    let plugins = names.iter().map(|name| ((*name).to_owned(), plugin.clone())).collect();
    let server = Server::start_with(&config, plugins).await.unwrap();
    let host = Host::of(server, config, omneo, folder);
    let mut events = vec![];
    for (row, name) in rows.iter().zip(&names) {
        events.push(host.event(name, row.topic, r#"{"id": 7, "nth": 1}"#).await);
    }
    let mut wrong = vec![];
    for (((row, name), event), liar) in rows.iter().zip(&names).zip(events).zip(&liars) {
        let found = ended(&host, name, event, row.end).await;
        let requests = if let End::GivenUp(_) = row.end { ATTEMPTS } else { 1 };
        let found = found.and_then(|()| match liar.requests() {
            made if made == requests + usize::from(matches!(row.end, End::Held)) => Ok(()),
            made => Err(format!("{made} requests")),
        });
        if let Err(found) = found {
            wrong.push(format!("{}: {:?} expected, {found}", row.name, row.end));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.stop().await;
}

/// Whether a call ended so.
async fn ended(host: &Host, tenant: &str, event: EventId, end: End) -> Result<(), String> {
    match end {
        End::Paused => {
            until("paused", || host.server.paused().iter().any(|(of, ..)| of == tenant)).await?;
            if host.row(event).outcome.is_some() { Err("it is over".into()) } else { Ok(()) }
        }
        End::Held => {
            let holding = || host.server.delivery.holding().into_iter().find(|(of, ..)| of == tenant);
            until("held", || holding().is_some() || host.row(event).outcome.is_some()).await?;
            let most = clock::now() + 3_600_000;
            match holding() {
                // A short one is over before it is looked at.
                Some((.., holding)) if holding.until > most => return Err(format!("{holding:?}")),
                Some((_, target, _)) => host.server.resume(tenant, &target).await.unwrap(),
                None => {}
            }
            let (row, runs) = over(host, event).await;
            told(&runs).filter(|told| told.starts_with("200")).map(drop).ok_or(format!("{row:?} {runs:?}"))
        }
        End::Answered(status) => {
            let (row, runs) = over(host, event).await;
            told(&runs).filter(|told| *told == status.to_string()).map(drop).ok_or(format!("{row:?} {runs:?}"))
        }
        End::Unknown(why) => {
            let (row, runs) = over(host, event).await;
            let told = told(&runs).unwrap_or_default();
            if told.starts_with("unknown: ") && told.contains(why) { Ok(()) } else { Err(format!("{row:?} {runs:?}")) }
        }
        End::GivenUp(why) => {
            let (row, runs) = over(host, event).await;
            let reason = row.reason.clone().unwrap_or_default();
            let given_up = row.blame.as_deref() == Some("peer") && reason.contains("given up after 2 attempts");
            if given_up && reason.contains(why) { Ok(()) } else { Err(format!("{row:?} {runs:?}")) }
        }
    }
}

async fn over(host: &Host, event: EventId) -> (EventRow, Vec<RunRow>) {
    host.over(event).await;
    host.show(event)
}

/// What the rules were told of their one call.
fn told(runs: &[RunRow]) -> Option<String> {
    match runs.last()?.calls.first()?.reply.clone()? {
        Reply::Answer(answer) => Some(answer.status.to_string()),
        Reply::Unknown(why) => Some(format!("unknown: {why}")),
    }
}

async fn until(what: &str, so: impl Fn() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > Duration::from_secs(30) {
            return Err(format!("never {what}"));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    Ok(())
}
