//! The words between a tenant's scheduler, the journal that carries out its orders, and the driver between them.
//!
//! Knows ids and order; nothing of what an event says or of what rules answer: the driver keeps that.

use crate::model::{EntityId, EventId, RunId};

/// Where an event stands among all: a column of the journal, never given twice. A retried event gets a new, last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub i64);

/// One beginning of an event. Answers that carry another one than the event has now are late, and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Try(pub u64);

/// One order that is not about a beginning.
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
    /// The host itself does something about it, which no hold may delay.
    pub is_duty: bool,
    /// Its open run has calls.
    pub has_asked: bool,
    /// A write of a run that was dropped may still take effect.
    pub in_flight: bool,
}

/// The entity that some names belong to, and those that have just become part of it.
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
    /// Entities that it comes after.
    pub after: Vec<EntityId>,
}

/// How the version that is active now has fared with an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The number of its activation: another time is another trial.
    pub activation: i64,
    /// So many failures among its latest events roll it back.
    pub failures_max: Option<u32>,
    /// Its digest, if it has failed the event.
    pub failed: Option<String>,
}

/// What a scheduler is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    // Answers and facts of the journal, in the order in which it applied them.
    /// Taken in, reopened, or made by the host.
    Arrived(Opened),
    /// What is not over after the place that was asked about, as far as `upto`.
    Read {
        ticket: Ticket,
        opened: Vec<Opened>,
        upto: Place,
        is_all: bool,
    },
    /// Those in `over` were closed for what came of their key; those in `again` need a key by another version.
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
    /// Ended by somebody else.
    Over {
        events: Vec<EventId>,
    },
    /// The active version is another one, and these have begun with none.
    RolledBack {
        again: Vec<Opened>,
    },
    NotRolledBack,
    Directed {
        source: System,
        is_held: bool,
    },
    Activated,
    // What was computed, in any order.
    Named {
        ticket: Ticket,
        has_version: bool,
    },
    Asked {
        event: EventId,
        of: Try,
        next: Answer,
    },
    // Wishes, and time.
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
    /// What the rules answered is not to be had any more.
    Lost {
        event: EventId,
    },
    /// The quiet time after a dropped run is over.
    Quieted {
        ticket: Ticket,
    },
}

/// What the rules answered; the driver has the whole of it.
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
    /// It is of this entity by now.
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
    /// Its entity is made of several now. No call was written.
    Joins(Joined),
    /// The names would make two of one kind one entity.
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
    /// `pass` is how many the run has.
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
    /// After a pause.
    Wake {
        what: Order,
    },
    /// After the quiet time.
    WaitQuiet {
        ticket: Ticket,
        event: EventId,
    },
    Restarted {
        event: EventId,
        why: &'static str,
    },
    /// So many events wait for others that no more are read.
    Full {
        events: usize,
    },
}

/// Which of the events that are not over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    All,
    /// Their open runs have calls, or a write of a dropped run may still take effect.
    Asked,
    From(System),
}

/// By whose word an event is closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closer {
    /// It has begun too often.
    Host,
    /// What came of this run: an ask that failed, or a call that was given up.
    Run(RunId),
}
