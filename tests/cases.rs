//! Every folder below `tests/cases` is a test: the default rules must hold its conversation, natively and as a component.
//!
//! `cargo test --test cases guest` runs those with `guest` in their name. To add one, make a folder
//! `<source>/<topic>/<a sentence that says what must happen>` with a `payload.json`, run the tests with `BLESS=1`, give
//! each call a reply in place of `< ?`, and do so again until the event is over; then read what is there.
//!
//! Every GraphQL request on the way must be one that Shopify's schemas take.

mod admin_schema;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tandem::bake;
use tandem::engine::{self, Limits, Usage};
use tandem::model::{self, Blame, Failure};
use tandem::paint::Paint;
use tandem::rules::{Asked, Manifest, Plugin};
use tandem::sandbox::{self, Case, Report, Rules};
use tandem_rules::DefaultRules;
use tandem_sdk::{self as sdk, Rules as _};
use wasmtime::Engine;

/// The rules file of a case without one of its own.
const RULES: &str = "rules.toml";

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let dirs = sandbox::find(&root).expect("there are cases");
    let bench = Arc::new(Bench::new(&root));
    let mut trials = vec![];
    for dir in &dirs {
        let name = dir.strip_prefix(&root).expect("a case is below its root").to_string_lossy().into_owned();
        let (dir, bench) = (dir.clone(), bench.clone());
        trials.push(Trial::test(name, move || bench.case(&dir).map_err(Into::into)));
    }
    trials.push(Trial::test("every-case-has-a-name-of-its-own", move || names(&dirs).map_err(Into::into)));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A sentence names one case, whatever its topic.
fn names(dirs: &[PathBuf]) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for dir in dirs {
        if let Some(other) = seen.insert(dir.file_name(), dir) {
            return Err(format!("two cases of one name: {} and {}", other.display(), dir.display()));
        }
    }
    Ok(())
}

/// What cases share: each rules file is baked and compiled once, in haste, which changes neither answers nor fuel.
struct Bench {
    rules: String,
    bless: bool,
    engine: Engine,
    base: Vec<u8>,
    plugins: Mutex<HashMap<String, Slot>>,
}

/// A plugin, once somebody has made it.
type Slot = Arc<OnceLock<Result<Plugin, String>>>;

impl Bench {
    fn new(root: &Path) -> Self {
        Self {
            rules: std::fs::read_to_string(root.join(RULES)).expect("the usual rules file is there"),
            bless: std::env::var_os("BLESS").is_some_and(|bless| bless == "1"),
            engine: engine::building_engine().expect("an engine can be made"),
            base: bake::default_base().expect("the default rules were built"),
            plugins: Mutex::default(),
        }
    }

    fn case(&self, dir: &Path) -> Result<(), String> {
        let case = Case::read(dir).map_err(|error| format!("{error:#}"))?;
        if case.transcript.is_none() && !self.bless {
            return Err(format!("the case `{}` has no `transcript.http`", dir.display()));
        }
        let rules = case.rules.as_deref().unwrap_or(&self.rules);
        let plugin = self.plugin(rules)?;
        let baked = case.run(&Rules::from(&plugin), None);
        for call in &baked.sent {
            if let model::Request::Graphql { document, variables } = &call.request {
                admin_schema::valid(document, variables)?;
            }
        }
        let again = case.run(&Rules::from(&plugin), None);
        if !same(&baked, &again) || baked.asks != again.asks {
            return Err("the component gave something else when it was asked the same again".into());
        }
        let native = configure(rules)?;
        let manifest = plugin.manifest().clone();
        let native = case.run(&as_rules(&native, &manifest), None);
        if !same(&baked, &native) {
            let (baked, native) = (said(&baked), said(&native));
            return Err(format!("as a component:\n{baked}\nbut natively:\n{native}"));
        }
        if self.bless {
            baked.bless(&case).map_err(|error| format!("{error:#}"))?;
        }
        let wrong = match self.bless {
            // What was blessed is right by definition, but for what nobody has answered.
            true => Report { expected: Some(baked.actual.clone()), memory_expected: None, ..baked.clone() }.wrong(),
            false => baked.wrong(),
        };
        wrong.map_or(Ok(()), |wrong| Err(format!("{wrong}\n{}", baked.used(Paint::plain()))))
    }

    fn plugin(&self, rules: &str) -> Result<Plugin, String> {
        let slot = self.plugins.lock().unwrap().entry(rules.to_owned()).or_default().clone();
        slot.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
            let baked = runtime
                .block_on(bake::bake(&self.engine, &self.base, RULES, rules))
                .map_err(|refused| refused.to_string())?;
            Plugin::load(&self.engine, &baked.component).map_err(|error| format!("{error:#}"))
        })
        .clone()
    }
}

fn same(one: &Report, other: &Report) -> bool {
    said(one) == said(other)
}

fn said(report: &Report) -> String {
    format!("{}\n{}", report.actual, report.memory_actual)
}

fn configure(rules: &str) -> Result<DefaultRules, String> {
    let json: Value = toml::from_str(rules).map_err(|error| error.to_string())?;
    let (rules, _) = DefaultRules::configure(&json.to_string()).map_err(|problems| format!("{problems:?}"))?;
    Ok(rules)
}

/// The rules without a component. The manifest is the component's: it says the same.
fn as_rules<'a>(rules: &'a DefaultRules, manifest: &'a Manifest) -> Rules<'a> {
    Rules {
        manifest,
        key: Box::new(|event| {
            asked(|| rules.key(&to_sdk(event)).map(|entity| model::Entity { names: entity.names, after: entity.after }))
        }),
        step: Box::new(|event, memory, replies| {
            let replies = replies.iter().map(|pass| pass.iter().map(reply_to_sdk).collect()).collect();
            asked(|| next_of_sdk(sdk::step(rules, &to_sdk(event), memory, replies)))
        }),
    }
}

fn asked<T>(ask: impl FnOnce() -> T) -> Asked<T> {
    let panicked = |_| Failure::new(Blame::Plugin, "the rules panicked");
    let result = catch_unwind(AssertUnwindSafe(ask)).map_err(panicked);
    Asked { result, usage: Usage::default(), limits: Limits::for_input(0), log: vec![] }
}

fn to_sdk(event: &model::Event) -> sdk::Event {
    let webhook = &event.webhook;
    sdk::Event {
        source: webhook.source.clone(),
        topic: webhook.topic.clone(),
        id: event.id.to_string(),
        occurred_at: webhook.occurred_at.clone(),
        received_at: tandem::clock::rfc3339(webhook.received_at),
        api_version: webhook.api_version.clone(),
        payload: webhook.payload.clone(),
    }
}

fn reply_to_sdk(reply: &model::Reply) -> sdk::Reply {
    match reply {
        model::Reply::Answer(answer) => sdk::Reply::Answer(sdk::Answer {
            status: answer.status,
            headers: answer.headers.clone(),
            body: answer.body.clone(),
        }),
        model::Reply::Unknown(why) => sdk::Reply::Unknown(why.clone()),
    }
}

fn next_of_sdk(next: sdk::Next) -> model::Next {
    match next {
        sdk::Next::Send(send) => model::Next::Send {
            calls: send.calls.into_iter().map(call_of_sdk).collect(),
            names: names_of_sdk(send.names),
        },
        sdk::Next::End(end) => model::Next::End(model::End {
            outcome: match end.outcome {
                sdk::Outcome::Done => model::Outcome::Done,
                sdk::Outcome::Skipped => model::Outcome::Skipped,
                sdk::Outcome::Refused => model::Outcome::Refused,
                sdk::Outcome::Invalid => model::Outcome::Invalid,
            },
            reason: end.reason,
            memory: end.memory,
            names: names_of_sdk(end.names),
        }),
    }
}

fn names_of_sdk(names: sdk::Names) -> model::Names {
    model::Names { learned: names.learned, retired: names.retired }
}

fn call_of_sdk(call: sdk::Call) -> model::Call {
    let request = match call.request {
        sdk::Request::Rest(rest) => model::Request::Rest {
            method: match rest.method {
                sdk::Method::Get => model::Method::Get,
                sdk::Method::Post => model::Method::Post,
                sdk::Method::Put => model::Method::Put,
                sdk::Method::Patch => model::Method::Patch,
                sdk::Method::Delete => model::Method::Delete,
            },
            path: rest.path,
            query: rest.query,
            body: rest.body,
        },
        sdk::Request::Graphql(graphql) => {
            model::Request::Graphql { document: graphql.document, variables: graphql.variables }
        }
    };
    let effect = match call.effect {
        sdk::Effect::Read => model::Effect::Read,
        sdk::Effect::Repeatable => model::Effect::Repeatable,
        sdk::Effect::Once => model::Effect::Once,
    };
    model::Call { target: call.target, request, effect }
}
