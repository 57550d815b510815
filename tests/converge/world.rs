//! A world without sockets, threads or a real clock: the two stand-ins, what goes wrong on the way between them and the
//! host, and an agenda in virtual time. One seed decides everything.
//!
//! Knows how a webhook and a call travel; not what the host does with them (`host.rs`) nor what is right (`check.rs`).

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tandem::clock;
use tandem::journal::{Due, Mode};
use tandem::model::{Answer, Call, Effect, EventId, Method, Reply, Request, RunId, Webhook};
use tandem::retry::{self, Decision, Outcome};
use tandem::rules::Plugin;
use tandem::scheduler::Input;
use tandem_standin::{Clock, Fault, Omneo, OmneoOptions, Rule, Shopify, ShopifyOptions};

use super::guards::Mutant;
use super::host::{Host, at_once};
use super::life::{Deed, Life, Side, Troubles, What, When};
use super::operators::Step;
use super::people::History;

/// The beginning of every life.
pub const START: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;
const RETRY_DELAYS_MS: [u64; 6] = [200, 500, 1_000, 2_000, 4_000, 8_000];
/// How long after an attempt of unknown fate the rules are told so.
pub const QUIET_MS: i64 = 5_000;
/// Attempts of a call that may fail, so that none is ever given up.
const FAILING_MAX: u32 = 3;
/// Entries of the agenda after which a life is taken to have no end.
const TURNS_MAX: usize = 20_000;

pub struct World {
    pub now: i64,
    pub random: fastrand::Rng,
    /// Of its own, so that a life without operators is the same as one with them but for what they do.
    pub operators: fastrand::Rng,
    /// What they did, how often.
    pub steps: BTreeMap<Step, usize>,
    pub troubles: Troubles,
    pub mutant: Mutant,
    pub clock: Clock,
    pub shopify: Shopify,
    pub omneo: Omneo,
    pub host: Host,
    pub history: History,
    /// Every call that a stand-in carried out; the writing ones in a line each.
    pub calls: usize,
    pub writes: Vec<String>,
    /// Every webhook that was delivered, and the payloads of those that were dropped.
    pub delivered: Vec<Webhook>,
    pub dropped: Vec<String>,
    /// What must not happen and did.
    pub bad: Vec<String>,
    /// What happened, if anybody wants to know.
    pub story: Option<Vec<String>>,
    /// Calls that were carried out and are due again, because their answers got lost.
    pub unanswered: usize,
    /// Whether a webhook came so late that it may have told of something long over.
    pub was_hours_late: bool,
    /// Runs that have written and have not ended.
    pub half_done: HashSet<RunId>,
    /// Deeds that wait for a write.
    ambushes: Vec<(Side, i64, What)>,
    /// For [`Mutant::NoRead`]: what each half was when its last event was over.
    copies: BTreeMap<String, Value>,
    /// The document by which Shopify's half is read.
    document: Option<String>,
    agenda: BTreeMap<(i64, u64), Job>,
    count: u64,
}

pub enum Job {
    Deed(What),
    Deliver(Webhook),
    Attempt(Attempt),
    Unknown(Attempt, String),
    /// A drain is given up, or its version is activated.
    Go(u64),
    Swap(u64),
    /// The host goes back from this version, as this driver of the scheduler has wished.
    RollBack {
        version: String,
        driver: usize,
    },
    /// The scheduler is told, after a while.
    Told(Input),
    /// A direction that was held runs again.
    Run(&'static str),
}

pub struct Attempt {
    pub due: Due,
    /// Attempts made before.
    pub made: u32,
    /// Whether the last of them was carried out.
    pub is_again: bool,
}

impl World {
    pub fn new(life: &Life, plugin: &Plugin, mutant: Mutant, is_told: bool) -> Self {
        let clock = Clock::fixed(START);
        let shopify = ShopifyOptions { clock: clock.clone(), seed: life.seed, ..ShopifyOptions::default() };
        let omneo = OmneoOptions { clock: clock.clone(), seed: life.seed, ..OmneoOptions::default() };
        let mut world = Self {
            now: START,
            random: fastrand::Rng::with_seed(life.seed),
            operators: fastrand::Rng::with_seed(!life.seed),
            steps: BTreeMap::new(),
            troubles: life.troubles,
            mutant,
            clock,
            shopify: Shopify::unplugged(shopify),
            omneo: Omneo::unplugged(omneo),
            host: Host::new(plugin),
            history: History::default(),
            calls: 0,
            writes: vec![],
            delivered: vec![],
            dropped: vec![],
            bad: vec![],
            story: is_told.then(Vec::new),
            unanswered: 0,
            was_hours_late: false,
            half_done: HashSet::new(),
            ambushes: vec![],
            copies: BTreeMap::new(),
            document: None,
            agenda: BTreeMap::new(),
            count: 0,
        };
        for Deed { when, what } in &life.deeds {
            match when {
                When::At(at) => world.after(*at, Job::Deed(what.clone())),
                When::BeforeWrite(side, at) => world.ambushes.push((*side, START + at, what.clone())),
            }
        }
        world
    }

    pub fn after(&mut self, ms: i64, job: Job) {
        self.count += 1;
        self.agenda.insert((self.now + ms, self.count), job);
    }

    /// Goes on until nothing is left to do. Gives false if that seems never to come.
    pub fn rest(&mut self) -> bool {
        for _ in 0..TURNS_MAX {
            let Some(((at, _), job)) = self.agenda.pop_first() else {
                if !self.mend() {
                    return true;
                }
                self.pump();
                continue;
            };
            self.now = self.now.max(at);
            self.disturb();
            match job {
                Job::Deed(what) => self.act(&what),
                Job::Deliver(webhook) => self.deliver(webhook),
                Job::Attempt(attempt) => self.attempt(attempt),
                Job::Told(input) => self.step(input),
                Job::Run(source) => self.direct(source, Mode::Run),
                Job::Go(wish) => self.give_up_draining(wish),
                Job::Swap(wish) => self.swap(wish),
                Job::RollBack { version, driver } => self.roll_back_failing(version, driver),
                Job::Unknown(Attempt { due, .. }, why) => {
                    at_once(self.host.journal.reply(&due, None, Reply::Unknown(why))).unwrap();
                }
            }
            self.pump();
        }
        false
    }

    /// Takes out of the agenda what will not be.
    pub fn forego(&mut self, is_it: impl Fn(&Job) -> bool) {
        self.agenda.retain(|_, job| !is_it(job));
    }

    fn percent(&mut self, n: u8) -> bool {
        self.random.u8(..100) < n
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.now - START;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>11.3} {}", now as f64 / 1000.0, what()));
        }
    }

    /// Sends off what the stores want sent.
    pub fn collect(&mut self) {
        let (shopify, omneo) = (self.shopify.outbox().take(), self.omneo.outbox().take());
        let told = shopify.into_iter().map(|webhook| (Side::Shopify, webhook));
        for (side, webhook) in told.chain(omneo.into_iter().map(|webhook| (Side::Omneo, webhook))) {
            let header = |name: &str| webhook.header(name).map(str::to_owned);
            let now = clock::rfc3339(self.now);
            let mut payload = String::from_utf8(webhook.body.clone()).unwrap();
            if side == Side::Shopify && self.troubles.is_bare && webhook.topic.starts_with("customers/") {
                payload = bare(&payload);
            }
            let webhook = Webhook {
                tenant: "acme".into(),
                source: if side == Side::Shopify { "shopify" } else { "omneo" }.into(),
                topic: webhook.topic.clone(),
                delivery_id: header("x-shopify-webhook-id"),
                occurred_at: header("x-shopify-triggered-at").unwrap_or(now),
                received_at: 0,
                api_version: header("x-shopify-api-version").unwrap_or_default(),
                payload,
            };
            let copies = if self.percent(self.troubles.doubled) { 2 } else { 1 };
            for n in 0..copies {
                let mut webhook = webhook.clone();
                // Sometimes the very same delivery, sometimes one that does not look like it.
                if n > 0 && self.random.bool() {
                    webhook.delivery_id.iter_mut().for_each(|id| id.push_str("-again"));
                }
                let delay = if self.percent(self.troubles.hours_late) {
                    self.was_hours_late = true;
                    self.random.i64(1..4) * HOUR
                } else if self.percent(self.troubles.late) {
                    [40, 300, 2_500, 9_000][self.random.usize(..4)] + self.random.i64(0..200)
                } else {
                    5
                };
                self.after(delay, Job::Deliver(webhook));
            }
        }
    }

    fn deliver(&mut self, webhook: Webhook) {
        let webhook = Webhook { received_at: self.now, ..webhook };
        self.delivered.push(webhook.clone());
        self.accept(webhook);
    }

    /// One attempt at a call, and what is to be done after it.
    fn attempt(&mut self, attempt: Attempt) {
        let Attempt { due, made, is_again } = attempt;
        self.unanswered -= usize::from(is_again);
        let Some(row) = at_once(self.host.journal.attempt(&due)).unwrap() else { return };
        let side = if due.call.target == "shopify" { Side::Shopify } else { Side::Omneo };
        let writes = due.call.effect != Effect::Read;
        self.clock.set(self.now);
        if writes {
            let line = due.call.line();
            let is_its = |what: &What| match what {
                What::Address { .. } => is_of_addresses(&line),
                _ => is_of_fields(&line),
            };
            let is_ready = |(of, from, what): &(Side, i64, What)| *of == side && *from <= self.now && is_its(what);
            let ready = self.ambushes.iter().position(is_ready);
            if let Some((_, _, what)) = ready.map(|at| self.ambushes.remove(at)) {
                self.act(&what);
            }
        }
        let fault = if made < FAILING_MAX { self.fault() } else { None };
        let is_executed = matches!(fault, None | Some(Fault::LoseAnswer));
        let outcome = self.send(&due, side, fault);
        self.calls += usize::from(is_executed);
        if is_executed && writes {
            self.writes.push(due.call.line());
            self.half_done.insert(due.run);
        }
        if is_executed && due.call.line() == "POST omneo /profiles" && self.is_about_an_order(due.event) {
            let body: Value = serde_json::from_str(due.call.body()).unwrap_or_default();
            self.history.bought_first.extend(body["identities"][0]["identifier"].as_str().map(str::to_owned));
        }
        self.collect();
        let (line, said) = (due.call.line(), format!("{outcome:?}"));
        self.say(|| format!("call of {}: {line} {} => {said}", due.event, due.call.body()));
        if self.operators.u8(..100) < self.troubles.killed {
            // Before it could write down what came of it: nobody knows, and a read or a write that may be repeated is.
            self.kill();
            if due.call.effect == Effect::Once {
                let why = "the host was killed".to_owned();
                self.after(QUIET_MS, Job::Unknown(Attempt { due, made, is_again: false }, why));
            } else {
                let is_again = is_again || is_executed;
                self.unanswered += usize::from(is_again);
                self.after(1, Job::Attempt(Attempt { due, made: made + 1, is_again }));
            }
            return;
        }
        let made = made + u32::from(!matches!(outcome, Outcome::Throttled { .. }));
        match retry::decide(outcome, due.call.effect, made, &RETRY_DELAYS_MS, self.random.f64()) {
            Decision::Reply(reply) => {
                at_once(self.host.journal.reply(&due, Some((row, String::new())), reply)).unwrap()
            }
            Decision::Again { after_ms, .. } => {
                // A refusal says nothing of the attempt before it whose answer was lost.
                let is_again = is_again || is_executed;
                self.unanswered += usize::from(is_again);
                self.after(after_ms as i64, Job::Attempt(Attempt { due, made, is_again }));
            }
            Decision::Unknown(why) => self.after(QUIET_MS, Job::Unknown(Attempt { due, made, is_again: false }, why)),
            Decision::Pause(why) | Decision::GiveUp(why) => self.bad.push(format!("{line} is given up: {why}")),
        }
    }

    fn is_about_an_order(&self, event: EventId) -> bool {
        self.host.events.get(&event).is_some_and(|event| event.webhook.topic.starts_with("orders/"))
    }

    fn fault(&mut self) -> Option<Fault> {
        if self.percent(self.troubles.lost) {
            return Some(Fault::LoseAnswer);
        }
        let faults = [Fault::StatusRetryAfter(429, 2), Fault::Status(503), Fault::Throttled, Fault::Reset];
        self.percent(self.troubles.refused).then(|| faults[self.random.usize(..4)].clone())
    }

    /// Has a stand-in answer, as HTTP would carry it.
    fn send(&mut self, due: &Due, side: Side, fault: Option<Fault>) -> Outcome {
        if let Some(fault) = fault {
            let faults = if side == Side::Shopify { self.shopify.faults() } else { self.omneo.faults() };
            faults.add(Rule::any().times(1), fault);
        }
        let response = match (&due.call.request, side) {
            (Request::Graphql { document, variables }, Side::Shopify) => self.ask_shopify(document, variables),
            (Request::Rest { .. }, Side::Omneo) => self.ask_omneo(&due.call),
            (request, _) => panic!("{side:?} is asked {request:?}"),
        };
        let Some(response) = response else { return Outcome::NoAnswer("the connection was closed".into()) };
        let header = |name: &str| response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let retry_after_ms = header("retry-after").and_then(|seconds| Some(seconds.parse::<u64>().ok()? * 1_000));
        if response.body.contains("\"THROTTLED\"") {
            return Outcome::Throttled { wait_ms: 250 };
        }
        let body = match self.mutant {
            Mutant::NoRead => self.stale(due, response.body),
            Mutant::NoOwner => nobodys(due, response.body),
            _ => response.body,
        };
        Outcome::Answered {
            answer: Answer { status: response.status, headers: response.headers, body },
            retry_after_ms,
        }
    }

    pub fn ask_shopify(&self, document: &str, variables: &str) -> Option<tandem_standin::Response> {
        let headers = [("x-shopify-access-token", "shpat_standin")];
        let body = format!(r#"{{"query":{},"variables":{variables}}}"#, Value::from(document));
        self.shopify.ask("POST", "/admin/api/2026-07/graphql.json", &headers, &body)
    }

    fn ask_omneo(&self, call: &Call) -> Option<tandem_standin::Response> {
        let Request::Rest { method, path, query, body } = &call.request else { return None };
        let mut target = format!("/api/v3{path}");
        if !query.is_empty() {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            target = format!("{target}?{query}");
        }
        let headers = [("authorization", "Bearer omneo-token")];
        self.omneo.ask(method.name(), &target, &headers, body.as_deref().unwrap_or_default())
    }
}

/// A profile as it would look without the identities that it has.
fn nobodys(due: &Due, body: String) -> String {
    let mut answer: Value = serde_json::from_str(&body).unwrap_or_default();
    match answer["data"].get_mut("identities").filter(|_| due.call.effect == Effect::Read) {
        Some(identities) => *identities = serde_json::json!([]),
        None => return body,
    }
    answer.to_string()
}

/// Whether it may change what people edit.
fn is_of_fields(line: &str) -> bool {
    (line.starts_with("PUT omneo /profiles/") && !is_of_addresses(line)) || line.ends_with(" UpdatePerson")
}

fn is_of_addresses(line: &str) -> bool {
    line.contains("/addresses") || line.ends_with("Address")
}

/// A customer's body without what Shopify keeps from an app that was not granted protected data.
fn bare(payload: &str) -> String {
    let mut body: Value = serde_json::from_str(payload).unwrap();
    if let Some(body) = body.as_object_mut() {
        for key in ["first_name", "last_name", "email", "phone", "addresses", "default_address"] {
            body.remove(key);
        }
    }
    body.to_string()
}

/// The mutant that does not read.
impl World {
    /// Keeps a copy of both halves of a person, as they are after an event.
    pub fn copy(&mut self, customer: u64, profile: &str) {
        self.clock.set(self.now);
        let request =
            Request::Rest { method: Method::Get, path: format!("/profiles/{profile}"), query: vec![], body: None };
        let call = Call { target: "omneo".into(), request, effect: Effect::Read };
        if let Some(response) = self.ask_omneo(&call).filter(|response| response.status == 200) {
            self.copies.insert(call.line(), serde_json::from_str(&response.body).unwrap());
        }
        let Some(document) = self.document.clone() else { return };
        let id = format!("gid://shopify/Customer/{customer}");
        let none = serde_json::json!({ "emailAddress": "nobody@mail.example" });
        let variables =
            serde_json::json!({ "id": id, "email": none, "phone": none, "withEmail": false, "withPhone": false });
        let response = self.ask_shopify(&document, &variables.to_string()).unwrap();
        let body: Value = serde_json::from_str(&response.body).unwrap();
        if body["data"]["customer"].is_object() {
            self.copies.insert(id, body["data"]["customer"].clone());
        }
    }

    /// What an event of the other side is shown of a half instead of what it is.
    fn stale(&mut self, due: &Due, body: String) -> String {
        let line = due.call.line();
        if let Request::Graphql { document, .. } = &due.call.request
            && line.ends_with(" PersonAndOwners")
        {
            self.document.get_or_insert_with(|| document.clone());
        }
        let source = self.host.source_of(due.event);
        if due.call.effect != Effect::Read || source == due.call.target {
            return body;
        }
        if let Some(copy) = self.copies.get(&line) {
            return copy.to_string();
        }
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let copy = answer["data"]["customer"]["id"].as_str().and_then(|id| self.copies.get(id));
        if let Some(copy) = copy {
            answer["data"]["customer"] = copy.clone();
            return answer.to_string();
        }
        body
    }
}
