//! No text makes the rules panic, whether it is a payload of any topic, a memory, the body of an answer or a rules
//! file. A text that cannot be read leads to an ending with a reason.
//!
//! `TANDEM_SEED` gives the first seed and `TANDEM_SWEEP` the number of rounds; a failure names its seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::world::Random;
use tandem_rules::DefaultRules;
use tandem_sdk::{Answer, Event, Next, Reply, Rules, Value, event, json, step};

/// More passes than the rules ever need. Rules that ask for more are as wrong as rules that panic.
const PASSES_MAX: usize = 40;

/// Texts that have caused trouble for readers of JSON.
const ODD: [&str; 12] = [
    "",
    "null",
    "[]",
    "\u{0}",
    "{\"id\":1e999999999}",
    "{\"id\":99999999999999999999999999999999999999999}",
    "{\"id\":\"\\ud800\"}",
    "{\"id\":1,\"id\":\"two\",\"id\":null}",
    "{\"id\":-0.0,\"admin_graphql_api_id\":\"gid://\"}",
    "{\"$serde_json::private::Number\":\"x\"}",
    "{\"id\":{\"$serde_json::private::Number\":\"1e9\"},\"line_items\":[],\"total_price\":\"1e-400\"}",
    "\u{feff}{\"id\":1}",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs rounds, each with a seed of its own, and says which one panicked.
fn rounds(count: u64, round: impl Fn(&mut Random)) {
    let first = number("TANDEM_SEED", 1);
    for seed in first..first + number("TANDEM_SWEEP", count) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| round(&mut Random(seed)))) {
            eprintln!("again with TANDEM_SEED={seed} TANDEM_SWEEP=1");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The payloads of all cases, as material to spoil.
fn payloads() -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("payload.json") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "the cases are somewhere else now");
    found
}

fn rules() -> DefaultRules {
    DefaultRules::configure(r#"{"timezone":"UTC","tags":{"whitelist":["vip"]},"orders":{"include_test":true}}"#)
        .unwrap()
        .0
}

#[test]
fn no_text_makes_the_rules_panic() {
    let (rules, payloads) = (rules(), payloads());
    let topics: Vec<_> = rules.describe().listens.into_iter().map(|topic| (topic.source, topic.name)).collect();
    rounds(2_000, |random| {
        let (source, topic) = random.pick(&topics);
        let spoilt = |random: &mut Random| {
            let text = random.pick(&payloads);
            spoil(random, text)
        };
        let event = Event { source, topic, payload: spoilt(random), ..event() };
        let memory = if random.percent(30) { vec![spoilt(random)] } else { vec![] };
        drop(rules.key(&event));
        let mut replies: Vec<Vec<Reply>> = vec![];
        loop {
            match step(&rules, &event, &memory, replies.clone()) {
                Next::End(end) => return assert!(!end.reason.is_empty(), "ended without a reason"),
                Next::Send(send) => replies.push(send.calls.iter().map(|_| reply(random, &spoilt)).collect()),
            }
            assert!(replies.len() < PASSES_MAX, "asks without end");
        }
    });
}

#[test]
fn no_rules_make_configure_panic() {
    let whole = json!({
        "timezone": "UTC", "identity": {"handle": "shopify"}, "tags": {"whitelist": ["vip"], "prefix": "cx-"},
        "sync": {"orders": true}, "owners": {"email": "latest"}, "orders": {"transaction_status": "paid"},
    });
    rounds(4_000, |random| {
        let text = spoil(random, whole.to_string());
        if let Err(problems) = DefaultRules::configure(&text) {
            assert!(!problems.is_empty(), "refused without a reason: {text}");
            for problem in problems {
                assert!(!problem.message.is_empty() && !problem.fix.is_empty(), "{problem:?} of {text}");
            }
        }
    });
}

fn reply(random: &mut Random, spoilt: &impl Fn(&mut Random) -> String) -> Reply {
    if random.percent(5) {
        return Reply::Unknown("the connection broke".into());
    }
    let status = random.pick(&[200, 200, 200, 200, 201, 204, 301, 400, 404, 409, 422, 500]);
    let uuid = "8fc344db-713e-4590-ab26-e82d77ba3313";
    // Bodies in the shape of real answers, so that the rules continue.
    let body = match random.below(6) {
        0 => json!({"data": {"id": uuid}}).to_string(),
        1 => json!({"data": [{"id": uuid, "external_id": "1", "identities": [{"handle": "shopify", "identifier": "7"}]}]}).to_string(),
        2 => json!({"data": {"customer": null, "customerByIdentifier": null, "nodes": [null]}}).to_string(),
        3 => json!({"data": {"id": uuid, "email": "ada@example.org", "tags": ["vip"], "attributes": {"comms": {"email_promo": true}}}}).to_string(),
        _ => return Reply::Answer(Answer { status, headers: vec![], body: spoilt(random) }),
    };
    let body = if random.percent(40) { spoil(random, body) } else { body };
    Reply::Answer(Answer { status, headers: vec![], body })
}

/// Returns the text with a fault in its content or its notation, or a different text.
fn spoil(random: &mut Random, text: String) -> String {
    match random.below(10) {
        0 => random.pick(&ODD).to_owned(),
        1 => format!("{}{text}{}", "[".repeat(100_000), "]".repeat(100_000)),
        2 | 3 => spoil_bytes(random, text),
        4 => text,
        _ => spoil_json(random, &text).unwrap_or(text),
    }
}

fn spoil_bytes(random: &mut Random, text: String) -> String {
    let mut bytes = text.into_bytes();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1) as i64) as usize;
        match random.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.below(256) as u8),
            _ if at < bytes.len() => bytes[at] = random.below(256) as u8,
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn spoil_json(random: &mut Random, text: &str) -> Option<String> {
    let mut json: Value = serde_json::from_str(text).ok()?;
    for _ in 0..=random.below(3) {
        let mut places = vec![];
        collect_places(&json, String::new(), &mut places);
        let place = random.pick(&places);
        let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
        let drop_it = random.percent(40);
        match json.pointer_mut(parent) {
            Some(Value::Object(members)) if drop_it => drop(members.remove(key)),
            _ => *json.pointer_mut(&place)? = something(random),
        }
    }
    Some(json.to_string())
}

fn something(random: &mut Random) -> Value {
    let huge = serde_json::from_str("123456789012345678901234567890.123456789").expect("a number");
    let tiny = serde_json::from_str("-1e-300").expect("a number");
    let nested =
        (0..100).fold(json!(null), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({ "id": inner }) });
    random.pick(&[
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        huge,
        tiny,
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("7"),
        json!("gid://shopify/Order/"),
        json!("79228162514264337593543950335"),
        json!("-0.0000001"),
        json!("NaN"),
        json!("9999-99-99T99:99:99+99:99"),
        json!("0000-01-01T00:00:00Z"),
        json!("é".repeat(300)),
        json!([]),
        json!({}),
        json!([null]),
        json!([[], {}]),
        nested,
    ])
}

fn collect_places(json: &Value, at: String, places: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match json {
        Value::Object(members) => {
            members.iter().for_each(|(k, v)| collect_places(v, format!("{at}/{}", escaped(k)), places));
        }
        Value::Array(members) => {
            members.iter().enumerate().for_each(|(n, v)| collect_places(v, format!("{at}/{n}"), places));
        }
        _ => {}
    }
    places.push(at);
}
