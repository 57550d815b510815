//! A life of a host: how many webhooks it is sent, and what goes wrong meanwhile, all of it out of one seed.
//!
//! Knows what can go wrong; not how it is brought about, nor what must come of it.

use std::fmt;

use super::disk::{Call, EIO, ENOSPC, Strike};

#[derive(Clone, Debug)]
pub struct Life {
    pub seed: u64,
    pub webhooks: usize,
    /// Of a hundred answers of the targets, those that are wrong.
    pub wrong: u8,
    /// Longest time that a sync takes.
    pub sync_us: i64,
    /// Webhooks per second that each tenant may send; ten times as many at once.
    pub events_per_second: u64,
    pub episodes: Vec<Episode>,
}

#[derive(Clone, Copy, Debug)]
pub struct Episode {
    /// When so much has happened: a third for each webhook that was sent, and for each request that came of it.
    pub after: usize,
    pub trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// `kill -9`.
    Kill,
    /// The same for the whole machine: what was not synced is lost.
    PowerCut,
    /// SIGSTOP, and SIGCONT after so many milliseconds.
    Stop { ms: u64 },
    /// SIGTERM, and another start.
    Terminate,
    /// SIGHUP.
    HangUp,
    /// A second host is started on the journal, by another name of it.
    Rival,
    /// Another start, with a clock that is four hundred days ahead for so long, and a third one.
    Ahead { ms: u64 },
    /// Calls of the disk fail.
    Disk { call: Call, strike: Strike, ms: u64 },
    /// One sync fails, and after so long the power is cut: what that sync was to bring to the disk is lost, however well
    /// later ones have gone.
    LostSync { ms: u64 },
    /// Nothing can be added to the disk.
    Full { ms: u64 },
    /// The clock is wrong by so many hours.
    Clock { hours: i64, ms: u64 },
    /// The targets take no connection.
    Unreachable { ms: u64 },
    /// Clients that dawdle, so many of each kind.
    Dawdlers { each: usize, ms: u64 },
}

impl Trouble {
    /// What kind it is, for the count.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::PowerCut => "power cut",
            Self::Stop { .. } => "SIGSTOP",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
            Self::Rival => "second host",
            Self::Ahead { .. } => "clock ahead at start",
            Self::Disk { call: Call::Read, .. } => "failing reads",
            Self::Disk { call: Call::Write, strike, .. } if strike.error == 0 => "short writes",
            Self::Disk { call: Call::Write, .. } => "failing writes",
            Self::Disk { call: Call::Sync, .. } => "failing syncs",
            Self::LostSync { .. } => "failed sync, then power cut",
            Self::Full { .. } => "full disk",
            Self::Clock { .. } => "wrong clock",
            Self::Unreachable { .. } => "unreachable targets",
            Self::Dawdlers { .. } => "dawdlers",
        }
    }
}

/// Every kind there is: lives in their default number meet each.
pub const KINDS: [&str; 16] = [
    "kill -9",
    "power cut",
    "SIGSTOP",
    "SIGTERM",
    "SIGHUP",
    "second host",
    "clock ahead at start",
    "failing reads",
    "short writes",
    "failing writes",
    "failing syncs",
    "failed sync, then power cut",
    "full disk",
    "wrong clock",
    "unreachable targets",
    "dawdlers",
];

impl Life {
    pub fn from_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let webhooks = random.usize(40..140);
        let mut episodes: Vec<_> = (0..random.usize(1..6))
            .map(|_| Episode { after: random.usize(0..webhooks), trouble: trouble(&mut random) })
            .collect();
        episodes.sort_by_key(|episode| episode.after);
        Self {
            seed,
            webhooks,
            wrong: [0, 5, 30][random.usize(..3)],
            sync_us: [0, 500, 4_000][random.usize(..3)],
            events_per_second: if random.u8(..4) == 0 { 5 } else { 1_000 },
            episodes,
        }
    }
}

fn trouble(random: &mut fastrand::Rng) -> Trouble {
    let ms = random.u64(20..400);
    // Most pass; some last long enough that somebody who asks must be told.
    let long = if random.u8(..4) == 0 { random.u64(1_500..2_500) } else { ms };
    match random.u8(..100) {
        0..20 => Trouble::Kill,
        20..32 => Trouble::PowerCut,
        32..40 => Trouble::Stop { ms },
        40..44 => Trouble::Terminate,
        44..48 => Trouble::HangUp,
        48..52 => Trouble::Rival,
        52..55 => Trouble::Ahead { ms },
        55..59 => Trouble::LostSync { ms },
        59..72 => {
            let call = [Call::Read, Call::Write, Call::Sync][random.usize(..3)];
            let error = match call {
                Call::Write => [EIO, ENOSPC, 0][random.usize(..3)],
                Call::Read | Call::Sync => EIO,
            };
            let (share, most) = match random.u8(..4) {
                0 => (10_000, i64::MAX),
                1 => (10_000, 1),
                2 => (30, i64::MAX),
                _ => (1_000, random.i64(1..5)),
            };
            Trouble::Disk { call, strike: Strike { share, error, most }, ms: long }
        }
        72..78 => Trouble::Full { ms: long },
        78..87 => Trouble::Clock { hours: [48, -48, 1, -1, 24 * 30][random.usize(..5)], ms },
        87..92 => Trouble::Unreachable { ms: long },
        _ => Trouble::Dawdlers { each: [10, 120][random.usize(..2)], ms },
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "{} webhooks; of 100 answers {} are wrong; a sync takes up to {} µs; {} webhooks a second",
            self.webhooks, self.wrong, self.sync_us, self.events_per_second
        )?;
        for Episode { after, trouble } in &self.episodes {
            writeln!(f, "  at {after:>3}: {trouble:?}")?;
        }
        Ok(())
    }
}
