//! A disk that fails, fills up and loses power, and a clock that jumps, for a host that runs under `shim.c`.
//!
//! Knows the control file and the records of the shim; not when anything fails, nor what the host makes of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The calls that can be struck, in the order of the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Read,
    Write,
    Sync,
}

/// How often a call is struck, and with what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strike {
    /// Of ten thousand calls.
    pub share: i64,
    /// What they fail with; 0: a write does half of what it was asked.
    pub error: i64,
    /// Strikes at most.
    pub most: i64,
}

pub const EIO: i64 = 5;
pub const ENOSPC: i64 = 28;

const SLOT_BYTES: u64 = 8;
const CLOCK: u64 = 0;
const RANDOM: u64 = 1;
const IS_FULL: u64 = 2;
const SYNC_US: u64 = 3;
const IS_DOOMED: u64 = 4;
const RULES: u64 = 6;
const RULE_SLOTS: u64 = 4;
const CONTROL_BYTES: u64 = 4_096;

/// The shim, compiled once for all lives.
pub fn shim() -> &'static Path {
    static SHIM: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]).arg(&library).arg(source);
        let compiled = cc.output().expect("the fault harness takes a C compiler named `cc`");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        (folder, library)
    });
    &SHIM.1
}

/// The disk and the clock of one host.
pub struct Disk {
    control: File,
    path: PathBuf,
}

impl Disk {
    /// One without a fault, controlled by a new file in this folder.
    pub fn new(folder: &Path, seed: u64, sync_us: i64) -> Self {
        let path = folder.join("faults");
        let control = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        control.set_len(CONTROL_BYTES).unwrap();
        let disk = Self { control, path };
        disk.set(RANDOM, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64 | 1);
        disk.set(SYNC_US, sync_us);
        disk
    }

    /// The control file, for `TANDEM_FAULTS`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set(&self, slot: u64, value: i64) {
        self.control.write_all_at(&value.to_le_bytes(), slot * SLOT_BYTES).unwrap();
    }

    fn get(&self, slot: u64) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, slot * SLOT_BYTES).unwrap();
        i64::from_le_bytes(bytes)
    }

    /// Moves the host's clock away from the right time.
    pub fn set_clock(&self, ms: i64) {
        self.set(CLOCK, ms);
    }

    pub fn set_full(&self, is_full: bool) {
        self.set(IS_FULL, i64::from(is_full));
    }

    /// Strikes a call from now on; `None`: no more.
    pub fn strike(&self, call: Call, strike: Option<Strike>) {
        let first = RULES + call as u64 * RULE_SLOTS;
        let Strike { share, error, most } = strike.unwrap_or(Strike { share: 0, error: EIO, most: 0 });
        // In this order: while a rule is half written, nothing is struck.
        self.set(first + 2, 0);
        self.set(first, share);
        self.set(first + 1, error);
        self.set(first + 2, most);
    }

    /// How many calls were struck so far.
    pub fn struck(&self, call: Call) -> u64 {
        self.get(RULES + call as u64 * RULE_SLOTS + 3) as u64
    }

    /// Nothing fails from now on.
    pub fn calm(&self) {
        self.set_clock(0);
        self.set_full(false);
        [Call::Read, Call::Write, Call::Sync].into_iter().for_each(|call| self.strike(call, None));
    }

    /// Takes back what a journal's host, which does not run, has written and not synced: all of it, or each piece by
    /// chance, whole or in part.
    pub fn cut_power(&self, journal: &Path, random: &mut fastrand::Rng) -> io::Result<()> {
        let lost = if random.bool() { 100 } else { random.u8(0..100) };
        for (n, (kind, suffix)) in [("journal", ""), ("log", "-wal")].into_iter().enumerate() {
            self.set(IS_DOOMED + n as u64, 0);
            let mut of = journal.as_os_str().to_owned();
            of.push(suffix);
            let mut records = self.path.as_os_str().to_owned();
            records.push(format!("-{kind}"));
            let torn = fastrand::Rng::with_seed(random.u64(..));
            cut(Path::new(&of), Path::new(&records), |_| random.u8(0..100) < lost, torn)?;
        }
        Ok(())
    }
}

/// One thing that was done to a file.
struct Deed {
    kind: u64,
    at: u64,
    size_before: u64,
    size_after: u64,
    old: Vec<u8>,
    new: Vec<u8>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// On disk.
    Synced,
    /// Perhaps on disk.
    Pending,
    /// Perhaps on disk, whatever later syncs have said: one failed that was to bring it there.
    Doomed,
}

/// Makes a file what a disk would hold of it: undoes all that is recorded, and does again what was not lost.
fn cut(file: &Path, records: &Path, mut is_lost: impl FnMut(&Deed) -> bool, mut torn: fastrand::Rng) -> io::Result<()> {
    let deeds = read(&std::fs::read(records).unwrap_or_default());
    if let Some(file) = OpenOptions::new().write(true).open(file).ok().filter(|_| !deeds.is_empty()) {
        for deed in deeds.iter().rev() {
            file.write_all_at(&deed.old, deed.at)?;
            file.set_len(deed.size_before)?;
        }
        for deed in &deeds {
            let is_certain = deed.fate == Fate::Synced;
            if !is_certain && is_lost(deed) {
                continue;
            }
            if deed.kind == u64::from(b't') {
                file.set_len(deed.size_after)?;
                continue;
            }
            // A disk writes sectors.
            let whole = is_certain || torn.u8(..10) > 0;
            let sectors = deed.new.len() / 512;
            let bytes = if whole || sectors == 0 { deed.new.len() } else { torn.usize(..sectors) * 512 };
            file.write_all_at(&deed.new[..bytes], deed.at)?;
        }
    }
    if records.exists() { File::create(records).map(drop) } else { Ok(()) }
}

/// Reads records. The last one may be half written.
fn read(mut bytes: &[u8]) -> Vec<Deed> {
    const HEAD: usize = 48;
    let mut deeds: Vec<Deed> = vec![];
    while bytes.len() >= HEAD {
        let number = |n: usize| u64::from_le_bytes(bytes[n * 8..][..8].try_into().unwrap_or_default());
        let [kind, at, size_before, old, new, size_after] = [0, 1, 2, 3, 4, 5].map(number);
        let (old, new) = (old as usize, new as usize);
        if bytes.len() < HEAD + old + new {
            break;
        }
        let (head, rest) = bytes.split_at(HEAD + old + new);
        bytes = rest;
        let becomes = match kind as u8 {
            b's' => Fate::Synced,
            b'd' => Fate::Doomed,
            _ => {
                let (old, new) = (head[HEAD..HEAD + old].to_vec(), head[HEAD + old..].to_vec());
                deeds.push(Deed { kind, at, size_before, size_after, old, new, fate: Fate::Pending });
                continue;
            }
        };
        let pending = deeds.iter_mut().filter(|deed| deed.fate == Fate::Pending);
        pending.for_each(|deed| deed.fate = becomes);
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, at: u64, size_before: u64, old: &[u8], new: &[u8], size_after: u64) -> Vec<u8> {
        let numbers = [kind.into(), at, size_before, old.len() as u64, new.len() as u64, size_after];
        let head = numbers.into_iter().flat_map(u64::to_le_bytes);
        head.chain(old.iter().copied()).chain(new.iter().copied()).collect()
    }

    /// What a power cut leaves of a file and these records, when everything is lost that may be.
    fn left(now: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let [file, log] = ["file", "records"].map(|name| folder.path().join(name));
        std::fs::write(&file, now).unwrap();
        std::fs::write(&log, records.concat()).unwrap();
        cut(&file, &log, |_| true, fastrand::Rng::with_seed(1)).unwrap();
        assert_eq!(std::fs::read(log).unwrap(), b"");
        std::fs::read(file).unwrap()
    }

    #[test]
    fn a_power_cut_takes_back_what_was_not_synced() {
        let grown = record(b'w', 2, 4, b"cd", b"CDEF", 6);
        let over = record(b'w', 0, 6, b"ab", b"AB", 2);
        let shorter = record(b't', 3, 6, b"DEF", b"", 3);
        let (synced, failed) = (record(b's', 0, 0, b"", b"", 0), record(b'd', 0, 0, b"", b"", 0));
        let all = || vec![grown.clone(), over.clone(), shorter.clone()];
        assert_eq!(left(b"ABC", &all()), b"abcd");
        assert_eq!(left(b"ABC", &[vec![grown.clone(), synced.clone()], all()[1..].to_vec()].concat()), b"abCDEF");
        assert_eq!(left(b"ABC", &[all(), vec![synced.clone()]].concat()), b"ABC");
        // What a failed sync was to bring there is lost, and what a later one brought is not.
        assert_eq!(left(b"ABC", &[vec![grown.clone(), failed], all()[1..].to_vec(), vec![synced]].concat()), b"ABc");
        // Half a record is none.
        assert_eq!(left(b"abcd", &[over[..50].to_vec()]), b"abcd");
    }
}
