//! Rules that do what rules must not. An event's topic says what, so that one component serves every test.
//!
//! The payload is `{"id": 7}`: events with one id are about one entity, and so wait for each other.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use tandem_sdk::*;

/// What may be asked for. The first two do no harm.
const TOPICS: [&str; 44] = [
    "good",
    "ask",
    "remember",
    "recall",
    "count",
    "endless",
    "greedy",
    "deep",
    "broken",
    "asleep",
    "loud",
    "loud-line",
    "whispering",
    "loud-then-broken",
    "shouter",
    "scribbler",
    "mutterer",
    "chatty",
    "flooding",
    "looper",
    "stray",
    "reserved",
    "climber",
    "climber-encoded",
    "climber-absolute",
    "not-json",
    "verbose",
    "verbose-memory",
    "hoarder",
    "rambling",
    "twins",
    "misnamer",
    "namer",
    "misspelt",
    "incomplete",
    "ungrammatical",
    "unheard",
    "key-endless",
    "key-broken",
    "key-misnamed",
    "key-nameless",
    "key-namer",
    "say",
    "effects",
];

/// Nobody can count by this: every ask begins with a fresh instance.
static ASKS: AtomicU32 = AtomicU32::new(0);

/// What a rules file says of them, so that versions can differ.
#[derive(Default)]
struct Hostile {
    /// What `say` says.
    says: String,
    /// Whether `say` traps instead, and whether its key does.
    traps: bool,
    key_traps: bool,
    /// Kind of the entity that an event is about, if not a thing.
    kind: Option<String>,
}

impl Rules for Hostile {
    fn describe(&self) -> Manifest {
        Manifest::new("hostile", "1")
            .listens("shopify", TOPICS)
            .listens("omneo", ["say"])
            .target("omneo", "", [])
            .target("shopify", "2026-07", [])
            .target("tandem", "", [])
    }

    /// `configure` takes these of any type.
    fn schema() -> Value {
        let text = json!({"type": "string", "description": "See the plugin."});
        let flag = json!({"type": "boolean", "description": "See the plugin.", "default": false});
        json!({"type": "object", "properties": {"says": text, "kind": text, "traps": flag, "key_traps": flag}})
    }

    /// What is wrong stands in the rules file.
    fn configure(rules: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let problem = |at: &str, message: String| Problem { at: at.into(), message, fix: "\u{1b}[31mrun".into() };
        match rules {
            _ if rules.contains("endless") => endless(),
            _ if rules.contains("greedy") => greedy(),
            _ if rules.contains("broken") => panic!("the settings are broken"),
            _ if rules.contains("wordy") => {
                let many = (0..2_000).map(|n| problem("/nowhere", format!("{n} {}", "\n\u{7}a".repeat(100))));
                Err(many.chain([problem("/wordy", "a".repeat(100_000))]).collect())
            }
            _ => {
                let rules: Value = rules.parse().unwrap_or_default();
                let text = |key: &str| rules[key].as_str().map(str::to_owned);
                let flag = |key: &str| rules[key] == true;
                let says = text("says").unwrap_or_default();
                Ok((Self { says, traps: flag("traps"), key_traps: flag("key_traps"), kind: text("kind") }, vec![]))
            }
        }
    }

    fn key(&self, event: &Event) -> Result<Entity, String> {
        let payload = Json::payload(event).map_err(|wrong| wrong.to_string())?;
        let id = payload.view().id("/id").map_err(|wrong| wrong.to_string())?;
        let entity = Entity::named(format!("shopify/{}/{id}", self.kind.as_deref().unwrap_or("thing")));
        match event.topic.as_str() {
            "say" if self.key_traps => panic!("this key is broken"),
            "key-endless" => endless(),
            "key-broken" => panic!("the key is broken"),
            "key-misnamed" => Ok(Entity::named("ada@example.org")),
            "key-nameless" => Ok(Entity { names: vec![], after: vec![] }),
            "key-namer" => Ok(Entity { names: many_names(), after: vec![] }),
            _ => Ok(entity),
        }
    }

    async fn handle(&self, cx: &Cx, event: &Event) -> Ending {
        match event.topic.as_str() {
            "ask" => Ok(done(format!("Omneo answered {}", cx.omneo(get("/profiles")).await?.status))),
            "say" if self.traps => panic!("this version is broken"),
            "say" => {
                let payload = Json::payload(event)?;
                let nth = payload.view().id("/nth")?;
                cx.omneo(post(format!("/said/{nth}/{}", self.says), json!({}))).await?;
                Ok(done(&self.says))
            }
            "effects" => effects(cx, event).await,
            "remember" => Ok(done("remembered").remember(&event.payload)),
            "recall" => Ok(done(format!("{:?}", cx.memory()))),
            "count" => Ok(done(format!("asked {} times", 1 + ASKS.fetch_add(1, Ordering::Relaxed)))),
            "endless" => endless(),
            "greedy" => greedy(),
            "deep" => Ok(done(deep(1).to_string())),
            "broken" => panic!("the rules are broken"),
            "asleep" => std::future::pending().await,
            "loud" | "loud-then-broken" => {
                for n in 0..1024 {
                    log(&format!("{n:4} {}", "a".repeat(1018)));
                }
                assert!(event.topic == "loud", "too loud");
                Ok(done("said it"))
            }
            "loud-line" => {
                log(&"é".repeat(100_000));
                Ok(done("said it"))
            }
            "whispering" => {
                (0..20_000).for_each(|_| log(""));
                Ok(done("said it"))
            }
            "shouter" => log_for_ever(1_000_000),
            "scribbler" => log_for_ever(60_000),
            "mutterer" => log_for_ever(0),
            "chatty" | "flooding" => {
                let (calls, long) = if event.topic == "chatty" { (500, 0) } else { (5_000, 250) };
                let rest = "0".repeat(long);
                join_all((0..calls).map(|n| cx.omneo(get(format!("/profiles/{n}{rest}"))))).await;
                Ok(done("sent"))
            }
            "looper" => loop {
                cx.omneo(get("/profiles")).await?;
            },
            "stray" => sent(cx.call(get("/charges").to("stripe")).await),
            "reserved" => sent(cx.call(get("/journal").to("tandem")).await),
            "climber" => sent(cx.call(get("/../admin").to("omneo")).await),
            "climber-encoded" => sent(cx.call(get("/profiles/%2e%2E/admin").to("omneo")).await),
            "climber-absolute" => sent(cx.call(get("//evil.example/").to("omneo")).await),
            "not-json" => {
                let body = Some("{\"a\":1}{".to_owned());
                let request = RestRequest { method: Method::Post, path: "/profiles".into(), query: vec![], body };
                let call = Call { target: "omneo".into(), request: Request::Rest(request), effect: Effect::Once };
                sent(cx.call(call).await)
            }
            "misspelt" => sent(cx.call(get("/profile/7").to("omneo")).await),
            "incomplete" => sent(cx.call(post("/profiles/search-id", json!({ "type": "shopify" })).to("omneo")).await),
            "ungrammatical" => sent(cx.call(query("query Read { shop { id }", json!({})).to("shopify")).await),
            "unheard" => sent(cx.call(query("query Read { shop { mood } }", json!({})).to("shopify")).await),
            "verbose" => Ok(done("a".repeat(4 << 20))),
            "verbose-memory" => Ok(done("remembered").remember("a".repeat(4 << 20))),
            // Twice as much at each event: within what one answer may hold, and for ever more.
            "hoarder" => {
                let kept = cx.memory().first().map_or(600 << 10, |memory| memory.len() * 2);
                Ok(done(format!("{} KiB", kept >> 10)).remember("a".repeat(kept)))
            }
            "rambling" => Ok(done(format!("first line\n    9 00:00:00 acme {}", "and so on ".repeat(1_000)))),
            "twins" => Ok(done("learned").name("omneo/profile/1").name("omneo/profile/2")),
            "misnamer" => Ok(done("learned").name("omneo//1")),
            "namer" => Ok(End { names: Names { learned: many_names(), retired: vec![] }, ..done("learned") }),
            _ => Ok(done("fine")),
        }
    }
}

tandem_sdk::export!(Hostile);

/// What `tests/faults` counts: a call that must not be carried out twice, one that may, and what is remembered, each by the
/// number of its webhook. An answer that does not name the number does not count as one.
async fn effects(cx: &Cx, event: &Event) -> Ending {
    let payload = Json::payload(event)?;
    let nth = payload.view().id("/nth")?.to_string();
    let names = |answer: &Answer, at: &str| {
        let body = answer.json().ok();
        answer.is_success() && body.is_some_and(|body| body.view().opt_text(at).ok().flatten() == Some(&nth))
    };
    let once = match cx.call(post(format!("/once/{nth}"), json!({})).to("omneo")).await {
        Reply::Answer(answer) if names(&answer, "/data/external_id") => "sent",
        Reply::Answer(answer) if !answer.is_success() => return Err(answer.unexpected("sending once")),
        _ => "unknown",
    };
    for _ in 0..5 {
        let keep = mutation("mutation Keep($nth: ID!) { keep(nth: $nth) { nth } }", json!({ "nth": nth }));
        if names(&cx.shopify(keep).await?, "/data/keep/nth") {
            let before = cx.memory().first().map_or(String::new(), |memory| format!("{memory} "));
            return Ok(done(once).remember(before + &nth));
        }
    }
    Err(refused("nobody confirms that it is kept"))
}

fn sent(_: Reply) -> Ending {
    Ok(done("sent"))
}

fn endless<T>() -> T {
    let mut n = 0_u64;
    loop {
        n = black_box(n + 1);
    }
}

fn log_for_ever<T>(bytes: usize) -> T {
    let line = "a".repeat(bytes);
    loop {
        log(&line);
    }
}

fn greedy<T>() -> T {
    let mut all = vec![];
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Of as many kinds: nothing but their number is wrong with them.
fn many_names() -> Vec<String> {
    (0..10_000).map(|n| format!("a/{n}/b")).collect()
}

fn deep(n: u64) -> u64 {
    if black_box(n) == 0 { 0 } else { black_box(1 + deep(n + 1)) }
}
