//! Builds the four endings of an event. When each of them applies is for the rules to decide.

use crate::{End, Names, Outcome};

/// An `Err` is an ending too: the one that a `?` returns early.
pub type Ending = Result<End, End>;

/// Both sides are as they should be.
pub fn done(reason: impl Into<String>) -> End {
    end(Outcome::Done, reason.into())
}

/// There was nothing to do.
pub fn skipped(reason: impl Into<String>) -> End {
    end(Outcome::Skipped, reason.into())
}

/// A person should look: a dead letter.
pub fn refused(reason: impl Into<String>) -> End {
    end(Outcome::Refused, reason.into())
}

/// The payload is not what its topic promises: a dead letter.
pub fn invalid(reason: impl Into<String>) -> End {
    end(Outcome::Invalid, reason.into())
}

fn end(outcome: Outcome, reason: String) -> End {
    End { outcome, reason, memory: None, names: Names::default() }
}

impl End {
    /// Replaces what is remembered of the entity by this.
    pub fn remember(mut self, memory: impl Into<String>) -> Self {
        self.memory = Some(memory.into());
        self
    }

    /// Adds a name of the entity.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.names.learned.push(name.into());
        self
    }
}
