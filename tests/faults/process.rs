//! A host in a process of its own, on the faulty disk, started again whenever it has ended.
//!
//! Knows signals, exits and the host's log; not what the host is for.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::disk::{Disk, shim};

/// Longest time that a host may take to listen, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a host's log that are told.
const LINES_MAX: usize = 60;
/// From the end of a host that ended by itself to its next start.
const PAUSE: Duration = Duration::from_millis(50);
/// Descriptors that a host may have: few enough that dawdlers can use them up.
const DESCRIPTORS: usize = 512;

pub struct Process {
    folder: PathBuf,
    disk: Arc<Disk>,
    child: Option<Child>,
    heard: Arc<Mutex<Heard>>,
    /// Where webhooks go, while somebody listens there.
    pub intake: Arc<Mutex<Option<SocketAddr>>>,
    pub admin: Arc<Mutex<Option<SocketAddr>>>,
    /// Whether a fault of the disk may have hit the process that runs now, so that it may end by itself.
    is_excused: bool,
    /// What it did that no host may do.
    pub bad: Vec<String>,
    pub starts: usize,
}

/// What a host has written to its log.
#[derive(Default)]
struct Heard {
    lines: VecDeque<String>,
    panics: Vec<String>,
}

impl Process {
    /// Not started yet.
    pub fn new(folder: &Path, disk: Arc<Disk>) -> Self {
        Self {
            folder: folder.to_owned(),
            disk,
            child: None,
            heard: Arc::default(),
            intake: Arc::default(),
            admin: Arc::default(),
            is_excused: false,
            bad: vec![],
            starts: 0,
        }
    }

    /// The end of the host's log.
    pub fn log(&self) -> String {
        self.heard.lock().unwrap().lines.iter().map(|line| format!("    {line}\n")).collect()
    }

    pub fn panics(&self) -> Vec<String> {
        self.heard.lock().unwrap().panics.clone()
    }

    /// From now on, and until its next start in peace, the host may end by itself.
    pub fn excuse(&mut self) {
        self.is_excused = true;
    }

    /// Starts the host, and waits until it listens or has ended.
    pub fn start(&mut self, is_excused: bool) {
        let mut command = Command::new("sh");
        // The shell becomes the host, which keeps its number.
        command
            .args(["-c", &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" serve --config \"$1\"")])
            .args([Path::new(env!("CARGO_BIN_EXE_tandem")), &self.folder.join("tandem.toml")])
            .env("LD_PRELOAD", shim())
            .env("TANDEM_FAULTS", self.disk.path())
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stderr, heard) = (child.stderr.take().unwrap(), self.heard.clone());
        // Of this process alone: lines of an earlier one may still be read when it listens.
        let found: Arc<Mutex<(Option<SocketAddr>, Option<SocketAddr>)>> = Arc::default();
        let finding = found.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap().hear(&line);
                let address = line.rsplit("http://").next().and_then(|address| address.parse().ok());
                let mut found = finding.lock().unwrap();
                if line.contains("the admin API listens on http://") {
                    found.1 = address;
                } else if line.contains("listening on http://") {
                    found.0 = address;
                }
            }
        });
        self.child = Some(child);
        self.is_excused = is_excused;
        self.starts += 1;
        let began = Instant::now();
        while self.is_running() {
            let (intake, admin) = *found.lock().unwrap();
            if intake.is_some() && admin.is_some() {
                *self.intake.lock().unwrap() = intake;
                *self.admin.lock().unwrap() = admin;
                return;
            }
            if began.elapsed() > PATIENCE {
                self.bad.push(format!("the host did not listen within {PATIENCE:?}"));
                self.kill();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts a second host on the journal, by another name of it, and sees that it goes without having been one.
    pub fn rival(&mut self, journal: &Path, way: usize) {
        let folder = self.folder.join(format!("rival-{}-{way}", self.starts));
        std::fs::create_dir(&folder).unwrap();
        let other = folder.join("other.db");
        let mut lock = journal.as_os_str().to_owned();
        lock.push("-lock");
        match way {
            0 => std::os::unix::fs::symlink(journal, &other).unwrap(),
            1 => std::fs::hard_link(journal, &other).unwrap(),
            _ => {
                // It may be gone already.
                let _ = std::fs::remove_file(lock);
                std::os::unix::fs::symlink(journal, &other).unwrap();
            }
        }
        let config = std::fs::read_to_string(self.folder.join("tandem.toml")).unwrap();
        let config = config.replace("journal = \"tandem.db\"", &format!("journal = \"{}\"", other.display()));
        std::fs::write(folder.join("tandem.toml"), config.replace("\"rules.wasm\"", "\"../rules.wasm\"")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["serve", "--config"]).arg(folder.join("tandem.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut rival = command.spawn().unwrap();
        let began = Instant::now();
        let ended = loop {
            match rival.try_wait().unwrap() {
                Some(ended) => break Some(ended),
                None if began.elapsed() > PATIENCE => break None,
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        if ended.is_none_or(|ended| ended.success() || ended.code().is_none()) {
            self.bad.push(format!("a second host on the journal, by way {way}, was not turned away: {ended:?}"));
            rival.kill().unwrap();
            rival.wait().unwrap();
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Starts the host again if it has ended by itself, which is only right on a faulty disk.
    pub fn keep_up(&mut self, is_excused: bool) {
        let Some(ended) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) else { return };
        self.ended();
        if !self.is_excused || ended.code().is_none() {
            let last: Vec<_> = self.heard.lock().unwrap().lines.iter().rev().take(3).rev().cloned().collect();
            self.bad.push(format!("the host ended by itself: {ended}: {}", last.join(" / ")));
        }
        thread::sleep(PAUSE);
        self.start(is_excused);
    }

    fn ended(&mut self) {
        self.child = None;
        *self.intake.lock().unwrap() = None;
        *self.admin.lock().unwrap() = None;
    }

    /// Sends a signal to the host, if it runs. Between the look and the signal it may end, and keeps its number: nobody else
    /// waits for it.
    pub fn signal(&mut self, signal: Signal) {
        if !self.is_running() {
            return;
        }
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        if let Some(pid) = pid {
            kill_process(pid, signal).unwrap();
        }
    }

    /// As by `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.ended();
        }
    }

    /// Has the host stop in good order, and sees that it does.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let began = Instant::now();
        while self.is_running() {
            if began.elapsed() > PATIENCE {
                self.bad.push(format!("the host did not stop within {PATIENCE:?} of SIGTERM"));
                return self.kill();
            }
            thread::sleep(Duration::from_millis(2));
        }
        if let Some(mut child) = self.child.take() {
            let ended = child.wait().unwrap();
            self.ended();
            // It may have been hit by the signal before it had a way to be told.
            let is_early = ended.signal() == Some(Signal::TERM.as_raw());
            if !ended.success() && !self.is_excused && !is_early {
                self.bad.push(format!("the host stopped badly: {ended}"));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Heard {
    fn hear(&mut self, line: &str) {
        if line.contains("panicked at") {
            self.panics.push(line.to_owned());
        }
        self.lines.push_back(line.to_owned());
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }
}
