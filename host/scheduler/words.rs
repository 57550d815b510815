//! The words between a tenant's scheduler, the journal that carries out its orders, and the driver between them.
//!
//! Knows ids and order; nothing of what an event says or of what rules answer: the driver keeps that.

use crate::model::{EntityId, EventId, RunId};

/// The place of an event among all events: a column of the journal, never given twice. A retried event gets a new
/// place, behind all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub i64);

/// One beginning of an event. An answer that carries another `Try` than the event has now is late, and is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Try(pub u64);

/// One order that does not belong to a beginning of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    Shopify,
    Omneo,
    /// The host itself.
    Host,
}

impl System {
    pub fn named(name: &str) -> Self {
        match name {
            "shopify" => Self::Shopify,
            "omneo" => Self::Omneo,
            _ => Self::Host,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::Omneo => "omneo",
            Self::Host => "tandem",
        }
    }
}

/// An event that is not over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opened {
    pub event: EventId,
    pub place: Place,
    pub source: System,
    /// The host itself has a duty about it, which no hold may delay.
    pub is_duty: bool,
    /// Its open run has calls.
    pub has_asked: bool,
    /// A write of a run that was dropped may still take effect.
    pub in_flight: bool,
}

/// The entity that some names belong to, and the entities that have just become part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub entity: EntityId,
    pub from: Vec<EntityId>,
}

/// An event and the lane it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyed {
    pub event: EventId,
    pub lane: Joined,
    /// Entities whose earlier events it waits for.
    pub after: Vec<EntityId>,
}

/// How the version that is active now has fared with an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The number of its activation. Each activation is a trial of its own.
    pub activation: i64,
    /// This many failures among its latest events roll it back.
    pub failures_max: Option<u32>,
    /// The version's digest, if it has failed the event.
    pub failed: Option<String>,
}

/// What a scheduler is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    // Answers and facts of the journal, in the order in which it applied them.
    /// An event was taken in, reopened, or made by the host.
    Arrived(Opened),
    /// The events that are not over, after the place that was asked about and as far as `upto`.
    Read {
        ticket: Ticket,
        opened: Vec<Opened>,
        upto: Place,
        is_all: bool,
    },
    /// Events in `over` were closed because of what came of their key; events in `again` need a key by another version.
    Declared {
        ticket: Ticket,
        keyed: Vec<Keyed>,
        over: Vec<(EventId, Option<Verdict>)>,
        again: Vec<EventId>,
    },
    Began {
        event: EventId,
        of: Try,
        is: Beginning,
    },
    Sent {
        event: EventId,
        of: Try,
        is: Sending,
    },
    Ended {
        event: EventId,
        of: Try,
        is: Ending,
    },
    Dropped {
        ticket: Ticket,
        in_flight: bool,
    },
    /// No write of a dropped run of the event can take effect any more.
    Quiet {
        event: EventId,
    },
    /// Every call of a run has its reply, or one was given up.
    Replied {
        event: EventId,
        run: RunId,
    },
    /// Events that were ended by another part of the host.
    Over {
        events: Vec<EventId>,
    },
    /// Another version is active now, and the events in `again` are to begin anew, without a run.
    RolledBack {
        again: Vec<Opened>,
    },
    NotRolledBack,
    Directed {
        source: System,
        is_held: bool,
    },
    Activated,
    // Answers of the rules, in any order.
    Named {
        ticket: Ticket,
        has_version: bool,
    },
    Asked {
        event: EventId,
        of: Try,
        next: Answer,
    },
    // Wishes of others, and the passing of time.
    Drain {
        wish: u64,
    },
    Go {
        wish: u64,
    },
    Restart {
        event: EventId,
    },
    /// The order was not applied.
    Failed {
        what: Order,
    },
    Woke {
        what: Order,
    },
    /// The driver no longer has the answer of the rules.
    Lost {
        event: EventId,
    },
    /// The quiet time after a dropped run is over.
    Quieted {
        ticket: Ticket,
    },
}

/// Which answer the rules gave; the driver keeps the whole of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Send { writes: bool },
    End,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beginning {
    Ask {
        run: RunId,
        passes: u32,
    },
    /// Some of its calls have no reply yet.
    Waits {
        run: RunId,
    },
    /// One of its calls is given up.
    GivenUp {
        run: RunId,
    },
    Over,
    /// The event belongs to this entity by now.
    Moved(EntityId),
    NoVersion,
    /// Its run had to be dropped, and a write of it may still take effect.
    InFlight,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Sending {
    Waits,
    /// Every call has the reply that it had in an earlier run.
    Answered,
    /// The entity is made of several now. No call was written.
    Joins(Joined),
    /// The names would give one entity two names of a kind.
    Two,
    Moved(EntityId),
    /// What is remembered has changed since the run began.
    Stale,
    NotOpen,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Over { joined: Option<Joined>, verdict: Option<Verdict> },
    Moved(EntityId),
    Stale,
    NotOpen,
}

/// An order that can fail, and be given again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Event(EventId, Try),
    Ticket(Ticket),
}

/// What a driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    // To the journal: handed over in this order, applied in this order, answered in this order.
    Read {
        ticket: Ticket,
        which: Which,
        after: Place,
        upto: Place,
        most: usize,
    },
    Declare {
        ticket: Ticket,
        events: Vec<EventId>,
    },
    Begin {
        event: EventId,
        of: Try,
        lane: EntityId,
    },
    /// `pass` is how many passes the run has.
    Send {
        event: EventId,
        of: Try,
        lane: EntityId,
        run: RunId,
        pass: u32,
    },
    End {
        event: EventId,
        of: Try,
        lane: EntityId,
        run: RunId,
        pass: u32,
    },
    Close {
        event: EventId,
        of: Try,
        by: Closer,
    },
    Drop {
        ticket: Ticket,
        event: EventId,
    },
    RollBack {
        version: String,
        failures: u32,
    },
    // To the rules.
    Name {
        ticket: Ticket,
        events: Vec<EventId>,
    },
    Ask {
        event: EventId,
        of: Try,
        run: RunId,
    },
    // To others.
    Drained {
        wish: u64,
    },
    /// `Input::Woke` is due after a pause.
    Wake {
        what: Order,
    },
    /// `Input::Quieted` is due after the quiet time.
    WaitQuiet {
        ticket: Ticket,
        event: EventId,
    },
    Restarted {
        event: EventId,
        why: &'static str,
    },
    /// Too many events wait for others, so no more are read.
    Full {
        events: usize,
    },
}

/// Selects among the events that are not over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    All,
    /// Events whose open runs have calls, or of whose dropped runs a write may still take effect.
    Asked,
    From(System),
}

/// Why the host closes an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closer {
    /// The event has begun too often.
    Host,
    /// Because of this run: an ask failed, or a call was given up.
    Run(RunId),
}
