//! The guards of the scheduler, of the journal's verbs and of the rules. Each has a mutant, which lacks it, and a life in which
//! a simulation finds that out. The mutants are made of this list, so that none is missing from it.
//!
//! Both simulations read it: `tests/scheduler` and `tests/converge`.
//!
//! Some guards have no mutant, because no life goes wrong without one of them: others stand behind it.
//!
//! | in the scheduler | what stands behind it |
//! |---|---|
//! | an answer of an earlier beginning is late (`is_now`) | the state that the event has by then, and `NoOpen`: the earlier run is dropped |
//! | a reply must be of the run that waits | `begin`, which reads what is there |
//! | nothing new begins while a roll back is under way (`is_open`) | `begin`, which reads the version that is active |
//! | nothing begins before all that was under way has its lane (`is_taken_over`) | the order in which a start reads: `NoTakeover`; the check alone is not missed in 5,000 lives |
//! | a verdict is of one activation (`trial.rs`) | `AnyVersion`: a roll back of another version is refused |
//! | the revisions that `begin` compares | `NoMemory` |
//! | a second telling of an event is ignored (`has`) | `Lanes::push`, which does so too |

/// Which simulation finds a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    Scheduler,
    Converge,
}

/// What is taken away, and where that is found.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    pub mutant: Mutant,
    pub suite: Suite,
    /// What keeps things right, and where it stands.
    pub guard: &'static str,
    /// The first life that goes wrong without it. Another one will be when lives are made otherwise: then so many from the first
    /// one on are lived until one goes wrong.
    pub seed: u64,
    pub lives: u64,
    /// What must be said of such a life.
    pub says: &'static str,
}

macro_rules! guards {
    ($($(#[doc = $doc:literal])* $mutant:ident: $suite:ident, $guard:literal, $seed:literal of $lives:literal, $says:literal;)*) => {
        /// What is taken away from the host or the rules, to see that it is missed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            None,
            $($(#[doc = $doc])* $mutant,)*
        }

        pub const GUARDS: &[Guard] = &[$(Guard {
            mutant: Mutant::$mutant,
            suite: Suite::$suite,
            guard: $guard,
            seed: $seed,
            lives: $lives,
            says: $says,
        }),*];
    };
}

guards! {
    /// Verbs do not say which lane they expect.
    NoLane: Scheduler, "each order expects its event in a lane (`orders.rs` lane_of)", 4 of 3_000, "";
    /// What is remembered may change between an ask and its calls.
    NoMemory: Scheduler, "`send` and `end` expect the memory that the run began with", 3 of 3_000, "old memory";
    /// An ask can be doubled, and a pass written twice.
    NoPass: Scheduler, "`send` and `end` expect the number of passes (`orders.rs` guard)", 1 of 3_000, "written twice";
    /// What a dropped run asked for is carried out.
    NoOpen: Scheduler, "`send`, `end` and `close` expect that the run is open", 523 of 3_000, "";
    /// The calls of a dropped run go out.
    DroppedIsSent: Scheduler, "no attempt begins for a run that is not open (`journal.rs` attempt)", 17 of 3_000, "";
    /// A lane goes on while a write of a dropped run is under way.
    NoQuiet: Scheduler, "nothing begins or writes in a lane that is not quiet after a drop", 6 of 3_000, "";
    /// A new scheduler is not told which writes may still take effect.
    NoInFlight: Scheduler, "what is read or begins again says whether a write is in flight (`journal.rs` opened)", 75 of 3_000, "";
    /// A new scheduler is not told what was under way.
    NoTakeover: Scheduler, "nothing begins before all that was under way has its lane (`scheduler.rs` take_over)", 586 of 3_000, "";
    /// A version with other keys is activated while runs are under way.
    NoDrain: Scheduler, "versions with other keys change while nothing runs (`scheduler.rs` is_open)", 8 of 3_000, "";
    /// What a bad version has failed is open again, and nobody is told.
    FailedStaysOut: Scheduler, "a roll back tells what begins again (`versions.rs` begin_again)", 1 of 3_000, "never comes to rest";
    /// Ends are told by a task of their own, after what came later.
    LateEnd: Scheduler, "answers come in the order in which orders were applied", 254 of 3_000, "";
    /// Giving up a call is only a message.
    GivenUpIsNoRow: Scheduler, "a call that is given up is a row, which `begin` reads", 6 of 3_000, "never comes to rest";
    /// A retried event comes back where it stood.
    OldPlace: Scheduler, "a retried event gets a new, last place (`journal.rs` reopen_last)", 23 of 3_000, "";
    /// What is under way is closed because the version of now cannot say what it is about.
    ClosesUnderWay: Scheduler, "what is under way keeps its lane, whatever version is asked for keys (`orders.rs` declare)", 1139 of 3_000, "";
    /// An event that is over begins.
    BeginsOver: Scheduler, "`begin` looks whether the event is over", 2820 of 3_000, "";

    /// A side that an event is about to write is not read then: the rules are shown what it was after the last event.
    NoRead: Converge, "rules read what they are about to write", 526 of 800, "owner violated";
    /// Names are neither claimed nor learned.
    NoClaims: Converge, "names are claimed with the first write (`orders.rs` send)", 8 of 300, "";
    /// What our writes may have run over is not remembered.
    NoGuard: Converge, "rules remember what their writes may have run over", 39 of 300, "owner violated";
    /// Nobody asks whose a profile is: it looks as if it were no customer's.
    NoOwner: Converge, "rules ask whose a profile is", 40 of 300, "of the living customers";
    /// The host rolls back from whatever is active.
    AnyVersion: Converge, "a roll back names the version that has failed (`versions.rs` expected)", 240 of 500, "is rolled back for what";
    /// What a bad version has failed is open again, and nobody is told.
    NotAgain: Converge, "a roll back tells what begins again (`versions.rs` begin_again)", 9 of 300, "never over";
}

/// The guards that a simulation looks for.
pub fn of(suite: Suite) -> impl Iterator<Item = &'static Guard> {
    GUARDS.iter().filter(move |guard| guard.suite == suite)
}

/// The seeds to try, the one that is known first.
pub fn seeds(guard: &Guard) -> impl Iterator<Item = u64> {
    std::iter::once(guard.seed).chain((1..=guard.lives).filter(|seed| *seed != guard.seed))
}
