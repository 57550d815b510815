//! Decides what happens to each field, given both sides and what was seen before. Pure: it writes and remembers
//! nothing.

use std::collections::BTreeMap;

use super::fields::{Core, Field, Side, Snapshot};
use super::mark::Mark;
use super::memory::Memory;
use super::run::Run;
use crate::mapping::{Mapping, Owner};

/// What happens to one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing: neither side has changed, or the change may not go to the other side.
    Leave,
    /// As [`Verdict::Leave`], at first sight of both sides: the value of the side `taken` counts as seen, that of the
    /// other does not.
    Ignore { taken: Side },
    /// Both sides say the same.
    Agree,
    /// The value goes to a side.
    Write { to: Side, value: Option<String>, why: &'static str },
    /// The value would go to a side that cannot take it.
    Hold { to: Side, why: &'static str, again: bool },
    /// One side's value could not be computed, so it is not known. The other side's value stays.
    Fail { to: Side, why: String },
    /// A write of ours ran over this value. It is written to each side that does not show it.
    PutBack { value: Option<String> },
}

pub type Plan = BTreeMap<Field, Verdict>;

/// Values that our writes ran over, by field.
pub type RunOver = BTreeMap<Field, Option<String>>;

/// Reasons why a field cannot be written, whatever its value is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Whether the e-mail is the login of an account and the settings leave it to the shopper.
    pub email_is_login: bool,
}

/// The fields in which a body of this side shows a value that a write of ours ran over.
///
/// A body that dates from between our read and our write must show what we read or what we wrote. A third value is an
/// edit that we overwrote unknowingly. It counts if the owner of the field lets this side win.
pub fn run_over(memory: &Memory, side: Side, body: &Snapshot, mapping: &Mapping) -> RunOver {
    let mut found = RunOver::new();
    let Some(at) = body.at else {
        return found;
    };
    for (name, window) in memory.windows.of(side) {
        let Some(field) = mapping.named(name).filter(|field| field.goes_to(side.other())) else {
            continue;
        };
        let Some(value) = body.fields.shown(field) else {
            continue;
        };
        let mark = folded(memory, field, value);
        let is_third = mark != window.read && mark != window.wrote;
        let wins = match field.owner {
            Owner::Latest => true,
            Owner::Shopify => side == Side::Shopify,
            Owner::Omneo => side == Side::Omneo,
        };
        if is_third && wins && window.read_at < at && at <= window.wrote_at {
            found.insert(field, value.map(|value| field.plain(value)));
        }
    }
    found
}

/// The mark of a value, ignoring the changes that a side is known to make to it.
pub fn folded(memory: &Memory, field: Field, value: Option<&str>) -> Mark {
    memory.mark(field, value.map(|value| field.format.folded(value)).as_deref())
}

pub fn plan(run: &Run, shopify: &Snapshot, omneo: &Snapshot, over: &RunOver, limits: Limits) -> Plan {
    let both = Both { run, shopify, omneo };
    // An edit that was overwritten is put back only while the side still shows what we wrote. Any other value is a
    // later edit. A name or an e-mail cannot be emptied in Omneo.
    let now = if run.source == Side::Shopify { shopify } else { omneo };
    let windows = run.memory.windows.of(run.source);
    let counts = |field: Field, value: &Option<String>| {
        let shows = folded(&run.memory, field, now.fields.value(field));
        windows.get(field.name()).is_some_and(|window| window.wrote == shows)
            && (value.is_some() || !field.omneo.is_required())
    };
    let verdict = |field: Field| match over.get(&field) {
        Some(value) if counts(field, value) => Verdict::PutBack { value: value.clone() },
        _ => both.verdict(field),
    };
    run.settings.mapping.fields().map(|field| (field, limited(run, field, verdict(field), limits))).collect()
}

/// Whether the plan writes to this side.
pub fn writes(plan: &Plan, side: Side) -> bool {
    plan.values().any(|verdict| match verdict {
        Verdict::Write { to, .. } => *to == side,
        Verdict::PutBack { .. } => true,
        _ => false,
    })
}

struct Both<'a> {
    run: &'a Run<'a>,
    shopify: &'a Snapshot,
    omneo: &'a Snapshot,
}

impl Both<'_> {
    fn verdict(&self, field: Field) -> Verdict {
        let memory = &self.run.memory;
        for (to, from) in [(Side::Omneo, self.shopify), (Side::Shopify, self.omneo)] {
            if let Some(why) = from.fields.failed().get(&field).filter(|_| self.may(field, to)) {
                return Verdict::Fail { to, why: why.clone() };
            }
        }
        let (Some(s), Some(o)) = (self.shopify.fields.shown(field), self.omneo.fields.shown(field)) else {
            return Verdict::Leave;
        };
        let base = memory.base.get(field.name());
        // An empty value is news only where a value was seen before: null clears a value that is known to have been
        // there.
        let changed = |side: Side, value: Option<&str>| match base {
            None => true,
            Some(base) => *base.of(side) != memory.mark(field, value) && (value.is_some() || base.of(side).is_value()),
        };
        let changes = (
            field.goes_to(Side::Omneo) && changed(Side::Shopify, s),
            field.goes_to(Side::Shopify) && changed(Side::Omneo, o),
        );
        if base.is_some() && changes == (false, false) {
            return self.unchanged(field, s, o);
        }
        if field.same(s, o) {
            return Verdict::Agree;
        }
        match base {
            None => self.first(field, s, o),
            Some(_) => self.later(field, changes),
        }
    }

    /// Whether the field may be written to a side, by its own direction and by the directions that are switched on.
    fn may(&self, field: Field, side: Side) -> bool {
        field.goes_to(side) && self.run.may_write(side)
    }

    /// Handles a field that neither side has changed. A write that was held may have become possible.
    fn unchanged(&self, field: Field, s: Option<&str>, o: Option<&str>) -> Verdict {
        match self.run.memory.held.get(field.name()) {
            Some(held) if held.again && field.same(s, o) => Verdict::Agree,
            Some(held) if held.again && self.may(field, held.to) => self.to(held.to, field, "it was held"),
            _ => Verdict::Leave,
        }
    }

    /// Handles a field when both sides are seen for the first time: an empty side is filled, and between two values the
    /// owner decides.
    fn first(&self, field: Field, s: Option<&str>, o: Option<&str>) -> Verdict {
        let (from, why) = match (s, o) {
            (Some(_), None) => (Side::Shopify, "Omneo had none"),
            (None, _) => (Side::Omneo, "Shopify had none"),
            _ if !field.goes_to(Side::Omneo) => (Side::Omneo, "it goes to Shopify alone"),
            _ if !field.goes_to(Side::Shopify) => (Side::Shopify, "it goes to Omneo alone"),
            _ if !self.may(field, Side::Omneo) => (Side::Omneo, "nothing goes to Omneo"),
            _ if !self.may(field, Side::Shopify) => (Side::Shopify, "nothing goes to Shopify"),
            _ => self.owner(field),
        };
        if self.may(field, from.other()) {
            self.to(from.other(), field, why)
        } else {
            Verdict::Ignore { taken: from.other() }
        }
    }

    fn later(&self, field: Field, changes: (bool, bool)) -> Verdict {
        let (from, why) = match (changes.0 && self.may(field, Side::Omneo), changes.1 && self.may(field, Side::Shopify))
        {
            (false, false) => return Verdict::Leave,
            (true, false) => (Side::Shopify, "changed in Shopify"),
            (false, true) => (Side::Omneo, "changed in Omneo"),
            (true, true) => self.owner(field),
        };
        self.to(from.other(), field, why)
    }

    /// The side that wins a field that both sides have changed.
    fn owner(&self, field: Field) -> (Side, &'static str) {
        match field.owner {
            Owner::Shopify => (Side::Shopify, "both changed, and Shopify owns it"),
            Owner::Omneo => (Side::Omneo, "both changed, and Omneo owns it"),
            Owner::Latest => self.latest(),
        }
    }

    fn latest(&self) -> (Side, &'static str) {
        match (self.shopify.at, self.omneo.at) {
            (Some(s), Some(o)) if s > o => (Side::Shopify, "both changed, Shopify last"),
            (Some(s), Some(o)) if s < o => (Side::Omneo, "both changed, Omneo last"),
            (Some(_), Some(_)) if self.omneo.is_edited() && !self.shopify.is_edited() => {
                (Side::Omneo, "both changed in one second, and Shopify's is as it was created")
            }
            (Some(_), Some(_)) => (Side::Shopify, "both changed in one second"),
            _ => (self.run.source, "both changed, and only one says when"),
        }
    }

    /// Writes the other side's value to this side.
    fn to(&self, to: Side, field: Field, why: &'static str) -> Verdict {
        let from = if to == Side::Omneo { self.shopify } else { self.omneo };
        Verdict::Write { to, value: from.fields.value(field).map(|value| field.plain(value)), why }
    }
}

/// Turns a write that cannot work into a hold.
fn limited(run: &Run, field: Field, verdict: Verdict, limits: Limits) -> Verdict {
    let Verdict::Write { to, value, .. } = &verdict else {
        return verdict;
    };
    let to = *to;
    let hold = |why, again| Verdict::Hold { to, why, again };
    let is_login = field.is(Core::Email) && limits.email_is_login && !run.settings.people.email_to_accounts;
    match value {
        None if to == Side::Omneo && field.omneo.is_required() => hold("Omneo cannot be without one", false),
        _ if to == Side::Shopify && is_login => {
            hold("the customer has an account, and `people.email_to_accounts = false`", true)
        }
        Some(value) => field.format.wrong(value).map_or(verdict.clone(), |why| hold(why, false)),
        None => verdict,
    }
}
