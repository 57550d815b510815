//! A small world to run the rules in: two stores with their own peculiarities, webhooks that are late, doubled or out
//! of order, answers that are lost, people who edit between any two calls, and a host with lanes and claims. It carries
//! out the calls of the rules, and knows nothing of how they decide.

mod check;
mod edits;
mod graphql;
mod host;
pub mod invariants;
mod omneo;
pub mod scenario;
mod shopify;

use std::collections::BTreeMap;

use tandem_rules::DefaultRules;
use tandem_sdk::{Answer, Call, Effect, Event, Reply, Request, Rules, Time, Value};

pub use host::Host;
pub use omneo::{Omneo, omneo_name};
pub use shopify::Shopify;

/// A webhook that a store wants sent.
pub type Hook = (&'static str, Value);

/// How difficult the world is. By default, every call is answered at once, and every webhook arrives once and in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    pub is_wild: bool,
    /// Whether names are neither claimed nor joined: each name is then an entity of its own.
    pub without_claims: bool,
    /// Whether Omneo sends no webhooks about changes that the rules have made.
    pub is_omneo_silent: bool,
}

pub struct World {
    /// In milliseconds.
    pub now: i64,
    pub random: Random,
    pub manners: Manners,
    pub rules: DefaultRules,
    pub shopify: Shopify,
    pub omneo: Omneo,
    pub host: Host,
    /// Every call that was carried out, each in one line.
    pub calls: Vec<String>,
    pub writes: Vec<String>,
    /// Every event that was delivered.
    pub delivered: Vec<Event>,
    pub is_traced: bool,
    /// Whether people edit addresses too.
    pub has_addresses: bool,
    /// The number of calls that were carried out and will be sent again, because their answers were lost.
    pub unanswered: usize,
    /// Actions to take just before a call whose line contains this text; each once.
    pub before: Vec<(&'static str, Action)>,
    /// Calls whose line ends with this text are carried out once without an answer. After five seconds they are sent
    /// again, if they may be.
    pub lost: Vec<&'static str>,
    /// Webhooks whose topic and payload contain these texts are withheld until they are let go.
    pub held_back: Vec<&'static str>,
    pub waiting: Vec<Event>,
    agenda: BTreeMap<(i64, u64), Action>,
    count: u64,
}

pub type Action = Box<dyn FnOnce(&mut World)>;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: i64) -> i64 {
        (self.next() % n as u64) as i64
    }

    pub fn percent(&mut self, n: i64) -> bool {
        self.below(100) < n
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as i64) as usize].clone()
    }
}

impl World {
    pub fn new(rules: Value, seed: u64, manners: Manners) -> Self {
        let (rules, _) = DefaultRules::configure(&rules.to_string()).expect("these settings are right");
        Self {
            now: 1_790_000_000_000,
            random: Random(seed),
            manners,
            rules,
            shopify: Shopify::default(),
            omneo: Omneo::default(),
            host: Host::default(),
            calls: vec![],
            writes: vec![],
            delivered: vec![],
            is_traced: false,
            has_addresses: false,
            unanswered: 0,
            before: vec![],
            lost: vec![],
            held_back: vec![],
            waiting: vec![],
            agenda: BTreeMap::new(),
            count: 0,
        }
    }

    pub fn after(&mut self, ms: i64, action: impl FnOnce(&mut World) + 'static) {
        self.count += 1;
        self.agenda.insert((self.now + ms, self.count), Box::new(action));
    }

    /// Runs until nothing is left to do. Returns false if there seems to be no end.
    pub fn rest(&mut self) -> bool {
        for _ in 0..20_000 {
            self.collect(false);
            let Some(((at, _), action)) = self.agenda.pop_first() else {
                return true;
            };
            self.now = self.now.max(at);
            action(self);
        }
        false
    }

    pub fn seconds(&self) -> i64 {
        self.now / 1000
    }

    /// Lets a person change a store.
    pub fn edit<T>(&mut self, edit: impl FnOnce(&mut World) -> T) -> T {
        self.collect(true);
        self.shopify.now = self.now / 1000;
        self.omneo.now = self.now / 1000;
        let result = edit(self);
        self.collect(false);
        result
    }

    /// Sends the webhooks that the stores have ready.
    fn collect(&mut self, by_rules: bool) {
        let from_shopify: Vec<_> = self.shopify.hooks.drain(..).map(|hook| ("shopify", hook)).collect();
        let from_omneo: Vec<_> = self.omneo.hooks.drain(..).map(|hook| ("omneo", hook)).collect();
        for (source, (topic, payload)) in from_shopify.into_iter().chain(from_omneo) {
            if by_rules && source == "omneo" && self.manners.is_omneo_silent {
                continue;
            }
            self.count += 1;
            let event = Event {
                source: source.into(),
                topic: topic.into(),
                id: format!("e{}", self.count),
                occurred_at: Time(self.now).rfc3339(),
                received_at: String::new(),
                api_version: String::new(),
                payload: payload.to_string(),
            };
            self.say(|| format!("        hook {} {topic} {payload}", event.id));
            if self.held_back.iter().any(|text| format!("{topic} {payload}").contains(text)) {
                self.waiting.push(event);
                continue;
            }
            let copies = if self.manners.is_wild && self.random.percent(15) { 2 } else { 1 };
            for _ in 0..copies {
                let wild = [5, 40, 300, 2500, 9000];
                let delay = if self.manners.is_wild { self.random.pick(&wild) + self.random.below(200) } else { 50 };
                self.send(delay, event.clone());
            }
        }
    }

    /// Delivers an event, either for the first time or again.
    pub fn send(&mut self, delay: i64, event: Event) {
        self.after(delay, move |world| {
            let event = Event { received_at: Time(world.now).rfc3339(), ..event };
            world.delivered.push(event.clone());
            world.accept(event);
        });
    }

    /// Delivers the withheld events, in this order.
    pub fn let_go(&mut self, order: impl FnOnce(&mut Vec<Event>)) {
        let mut waiting = std::mem::take(&mut self.waiting);
        order(&mut waiting);
        for (n, event) in waiting.into_iter().enumerate() {
            self.send(n as i64, event);
        }
    }

    /// Carries out a call, and may lose the answer. The result is `None` if the answer is lost and the call will be
    /// sent again.
    fn carry_out(&mut self, call: &Call, is_again: bool) -> Option<Reply> {
        let line = call.line();
        while let Some(at) = self.before.iter().position(|(text, _)| line.contains(text)) {
            let (_, action) = self.before.remove(at);
            action(self);
        }
        self.collect(false);
        self.unanswered -= usize::from(is_again);
        if let Some(at) = self.lost.iter().position(|text| line.ends_with(text)) {
            self.lost.remove(at);
            if call.effect == Effect::Once {
                self.execute(call);
                return Some(Reply::Unknown("no answer came".into()));
            }
            self.unanswered += 1;
            self.execute(call);
            return None;
        }
        if !self.manners.is_wild || is_again || !self.random.percent(6) {
            return Some(Reply::Answer(self.execute(call)));
        }
        if call.effect != Effect::Once || self.random.percent(50) {
            self.execute(call);
        }
        self.unanswered += usize::from(call.effect != Effect::Once);
        (call.effect == Effect::Once).then(|| Reply::Unknown("no answer came".into()))
    }

    fn execute(&mut self, call: &Call) -> Answer {
        let line = call.line();
        if call.effect != Effect::Read {
            self.writes.push(line.clone());
        }
        (self.shopify.now, self.omneo.now) = (self.seconds(), self.seconds());
        let (status, body) = match &call.request {
            Request::Graphql(request) => {
                let variables = serde_json::from_str(&request.variables).expect("variables are JSON");
                (200, self.shopify.answer(request.operation(), &variables))
            }
            Request::Rest(request) if call.target == "tandem" => (200, self.host.answer(&request.path)),
            Request::Rest(request) => self.omneo.answer(request),
        };
        self.say(|| format!("        {line} {} => {status} {body}", shown(call)));
        self.calls.push(line);
        self.collect(true);
        Answer { status, headers: vec![], body: body.to_string() }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>10.3} {}", (self.now - 1_790_000_000_000) as f64 / 1000.0, what());
        }
    }
}

fn shown(call: &Call) -> &str {
    match &call.request {
        Request::Graphql(request) => &request.variables,
        Request::Rest(request) => request.body.as_deref().unwrap_or_default(),
    }
}

/// Ways to look at what has happened.
impl World {
    /// A world without faults in which a customer and a profile are linked.
    pub fn met(rules: Value, customer: &[(&str, Option<&str>)]) -> (Self, u64, String) {
        let mut world = Self::new(with_timezone(rules), 1, Manners::default());
        let id = world.edit(|world| world.shopify.create(customer).expect("nobody else is there"));
        assert!(world.rest());
        let profile = world.omneo.profiles.keys().next().expect("it was created").clone();
        world.clean_slate();
        (world, id, profile)
    }

    /// Waits a minute, so that clocks differ, and clears what was recorded.
    pub fn clean_slate(&mut self) {
        self.now += 60_000;
        self.calls.clear();
        self.writes.clear();
        self.host.ended.clear();
    }

    /// Every reason given so far, each with its outcome.
    pub fn reasons(&self) -> Vec<String> {
        self.host.ended.iter().map(|ended| format!("{:?}: {}", ended.end.outcome, ended.end.reason)).collect()
    }

    pub fn last_reason(&self) -> String {
        self.reasons().pop().unwrap_or_default()
    }

    pub fn count(&self, line: &str) -> usize {
        self.calls.iter().filter(|call| call.contains(line)).count()
    }

    /// The memory of the entity with this name.
    pub fn memory(&self, name: &str) -> Value {
        let memory = self.host.memory(name).unwrap_or_default();
        serde_json::from_str(&memory).unwrap_or_default()
    }
}

pub fn with_timezone(mut rules: Value) -> Value {
    rules["timezone"] = "UTC".into();
    rules
}
