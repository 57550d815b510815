//! What a test makes go wrong, and when: rules that match requests, with a fault or a closure for each.
//! Knows nothing of the two services; how a fault looks on the wire is the server's and the service's business.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::lock;

/// Which requests something is to happen to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    target: Target,
    skip: u32,
    times: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
enum Target {
    Any,
    Operation(String),
    Path(String),
}

impl Rule {
    pub fn any() -> Rule {
        Rule::of(Target::Any)
    }

    /// Requests whose GraphQL operation has this name, as in `mutation UpdatePerson(…)`. Requests for tokens are called by
    /// their grant: `token/client_credentials`, `token/authorization_code`, `token/token-exchange`, `token/refresh_token`.
    pub fn operation(name: impl Into<String>) -> Rule {
        Rule::of(Target::Operation(name.into()))
    }

    /// Requests whose method and path begin so, e.g. `PUT /profiles`, the path being the one below Omneo's `/api/v3`; or
    /// `POST /admin/oauth/access_token`, Shopify's token endpoint.
    pub fn path(prefix: impl Into<String>) -> Rule {
        Rule::of(Target::Path(prefix.into()))
    }

    fn of(target: Target) -> Rule {
        Rule { target, skip: 0, times: None }
    }

    /// Ends after `n` requests; without it a fault stays until cleared.
    pub fn times(self, n: u32) -> Rule {
        Rule { times: Some(n), ..self }
    }

    /// Lets the first `n` matching requests pass.
    pub fn skip(self, n: u32) -> Rule {
        Rule { skip: n, ..self }
    }

    fn matches(&self, operation: &str, line: &str) -> bool {
        match &self.target {
            Target::Any => true,
            Target::Operation(name) => name == operation,
            Target::Path(prefix) => line.starts_with(prefix.as_str()),
        }
    }
}

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This HTTP status, with nothing executed.
    Status(u16),
    /// This HTTP status with `Retry-After` in seconds, with nothing executed.
    StatusRetryAfter(u16, u64),
    /// Shopify: HTTP 200 with the error `THROTTLED` and an empty bucket; Omneo: 429 with `Retry-After: 1`.
    Throttled,
    /// Executed at once, but the answer is held back for so long.
    Hang(Duration),
    /// The connection is closed without an answer, with nothing executed.
    Reset,
    /// Executed, then the connection is closed without an answer.
    LoseAnswer,
    /// 401 as for a wrong token, with nothing executed.
    Unauthorized,
}

impl Fault {
    fn lets_execute(&self) -> bool {
        matches!(self, Fault::Hang(_) | Fault::LoseAnswer)
    }
}

type Closure = Box<dyn FnOnce() + Send>;
pub(crate) type Alteration = Box<dyn FnOnce(&mut Value) + Send>;

enum Act {
    Fail(Fault),
    Before(Closure),
    After(Closure),
    Alter(Alteration),
}

struct Entry {
    id: u64,
    rule: Rule,
    act: Act,
}

#[derive(Default)]
struct State {
    next: u64,
    entries: Vec<Entry>,
}

/// The faults of one stand-in; clones share them.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

/// What is to happen to one request.
#[derive(Default)]
pub(crate) struct Plan {
    pub fault: Option<Fault>,
    pub before: Vec<Closure>,
    pub after: Vec<Closure>,
    pub alterations: Vec<Alteration>,
}

impl Faults {
    /// Adds a fault and returns its id; where several match, the one added first applies.
    pub fn add(&self, rule: Rule, fault: Fault) -> u64 {
        self.push(rule, Act::Fail(fault))
    }

    /// Runs `closure` once, just before the first matching request is executed.
    /// No lock of the stand-in is held meanwhile, so it may edit, as a person would.
    pub fn before(&self, rule: Rule, closure: impl FnOnce() + Send + 'static) -> u64 {
        self.push(rule, Act::Before(Box::new(closure)))
    }

    /// Runs `closure` once, when the answer to the first matching request was made but not yet sent.
    pub fn after(&self, rule: Rule, closure: impl FnOnce() + Send + 'static) -> u64 {
        self.push(rule, Act::After(Box::new(closure)))
    }

    /// Runs `closure` once on the JSON of the answer to the first matching request: a page that repeats a row or leaves one
    /// out, a cursor that leads nowhere, a row without an id.
    pub fn alter(&self, rule: Rule, closure: impl FnOnce(&mut Value) + Send + 'static) -> u64 {
        self.push(rule, Act::Alter(Box::new(closure)))
    }

    /// Removes one fault or closure.
    pub fn remove(&self, id: u64) {
        lock(&self.0).entries.retain(|entry| entry.id != id);
    }

    /// Removes all faults and closures.
    pub fn clear(&self) {
        lock(&self.0).entries.clear();
    }

    fn push(&self, rule: Rule, act: Act) -> u64 {
        let mut state = lock(&self.0);
        state.next += 1;
        let id = state.next;
        state.entries.push(Entry { id, rule, act });
        id
    }

    /// Decides one request. Closures wait for a request that is really executed.
    pub(crate) fn plan(&self, operation: &str, line: &str) -> Plan {
        let mut state = lock(&self.0);
        let fault = choose(&mut state.entries, operation, line);
        let mut plan = Plan { fault, ..Plan::default() };
        if plan.fault.as_ref().is_some_and(|fault| !fault.lets_execute()) {
            return plan;
        }
        for mut entry in std::mem::take(&mut state.entries) {
            let matches = !matches!(entry.act, Act::Fail(_)) && entry.rule.matches(operation, line);
            match entry.act {
                Act::Before(closure) if matches && entry.rule.skip == 0 => plan.before.push(closure),
                Act::After(closure) if matches && entry.rule.skip == 0 => plan.after.push(closure),
                Act::Alter(closure) if matches && entry.rule.skip == 0 => plan.alterations.push(closure),
                _ => {
                    entry.rule.skip -= u32::from(matches);
                    state.entries.push(entry);
                }
            }
        }
        plan
    }
}

/// The first fault whose turn it is; the skips of all that match go down.
fn choose(entries: &mut Vec<Entry>, operation: &str, line: &str) -> Option<Fault> {
    let mut chosen = None;
    for entry in entries.iter_mut() {
        let Act::Fail(fault) = &entry.act else { continue };
        if !entry.rule.matches(operation, line) {
            continue;
        }
        if entry.rule.skip > 0 {
            entry.rule.skip -= 1;
        } else if chosen.is_none() && entry.rule.times != Some(0) {
            chosen = Some(fault.clone());
            entry.rule.times = entry.rule.times.map(|n| n - 1);
        }
    }
    entries.retain(|entry| entry.rule.times != Some(0));
    chosen
}
