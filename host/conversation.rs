//! A conversation with rules about an event: first the key, then pass by pass the calls that the rules ask for, until
//! they end the event.
//!
//! Every answer of the rules goes through the checks of a run, so that a case, a replay, a repair and a bench are told
//! what the host would be told. Knows neither where replies come from nor what is done with the end.

use crate::check::{self, Key};
use crate::engine::{Limits, Usage};
use crate::model::{Entity, Event, Failure, Names, Next, Reply};
use crate::rules::{Asked, Manifest, Plugin};

/// Rules that can be asked, as a component or otherwise.
pub struct Rules<'a> {
    pub manifest: &'a Manifest,
    pub key: Box<AskKey<'a>>,
    pub step: Box<AskStep<'a>>,
}

pub type AskKey<'a> = dyn Fn(&Event) -> Asked<Result<Entity, String>> + 'a;
/// Asks about an event, with what was remembered and the replies so far.
pub type AskStep<'a> = dyn Fn(&Event, &[String], &[Vec<Reply>]) -> Asked<Next> + 'a;

impl<'a> From<&'a Plugin> for Rules<'a> {
    fn from(plugin: &'a Plugin) -> Self {
        Self {
            manifest: plugin.manifest(),
            key: Box::new(|event| plugin.key(event)),
            step: Box::new(|event, memory, replies| plugin.step(event, memory, replies)),
        }
    }
}

/// What an ask used, what it was allowed, and what it logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub usage: Usage,
    pub limits: Limits,
    pub log: Vec<String>,
}

pub struct Conversation<'a> {
    rules: &'a Rules<'a>,
    event: &'a Event,
    memory: &'a [String],
    names: Names,
    replies: Vec<Vec<Reply>>,
    asks: Vec<Ask>,
}

impl<'a> Conversation<'a> {
    /// A conversation that has not begun. The key is to be asked for first.
    pub fn new(rules: &'a Rules<'a>, event: &'a Event, memory: &'a [String]) -> Self {
        Self { rules, event, memory, names: Names::default(), replies: vec![], asks: vec![] }
    }

    /// What the event is about, or how it ends at once.
    pub fn key(&mut self) -> Key {
        let key = check::key(&self.event.webhook, self.rules.manifest, || {
            let Asked { result, usage, limits, log } = (self.rules.key)(self.event);
            self.asks.push(Ask { usage, limits, log });
            result
        });
        if let Key::Entity(entity) = &key {
            self.names.learned.clone_from(&entity.names);
        }
        key
    }

    /// Asks the rules with all the replies so far. Gives their answer, and the names in it that are new.
    pub fn go_on(&mut self) -> Result<(Next, Names), Failure> {
        let Asked { result, usage, limits, log } = (self.rules.step)(self.event, self.memory, &self.replies);
        self.asks.push(Ask { usage, limits, log });
        let next = check::next(result, self.rules.manifest, self.pass())?;
        let new = check::learn(&mut self.names, next.names().clone())?;
        Ok((next, new))
    }

    /// Adds the replies to the calls of the last pass, in the order of the calls.
    pub fn answer(&mut self, replies: Vec<Reply>) {
        self.replies.push(replies);
    }

    /// How many passes of calls have been answered.
    pub fn pass(&self) -> usize {
        self.replies.len()
    }

    /// All names that are known so far.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Every ask, the one for the key first; and all replies.
    pub fn into_asks(self) -> (Vec<Ask>, Vec<Vec<Reply>>) {
        (self.asks, self.replies)
    }
}
