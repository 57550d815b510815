//! Lives a life: a host, its senders and targets, and what goes wrong, each when it is due; then peace, and the check.
//!
//! Knows how troubles are brought about; not what must hold in the end.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::disk::{Call, Disk, EIO, Strike};
use super::life::{Life, Trouble};
use super::process::Process;
use super::senders::{self, SECRET, Senders, TENANTS};
use super::target::Target;
use super::{TIMEOUT_MS, check, host, http};

/// Longest time that all webhooks may take to be acknowledged, and all events to be over, once nothing fails any more.
const PATIENCE: Duration = Duration::from_secs(90);
/// For so long `/ready` may tell what came of an earlier try.
const TOLD_FOR: Duration = Duration::from_millis(1_100);
/// After so long without a request nothing more is waited for, while webhooks may still wait for better times.
const NOTHING_HAPPENS: Duration = Duration::from_millis(500);
/// Longest time that nobody may be served for clients that dawdle.
const SERVED_WITHIN: Duration = Duration::from_secs(30);
const JOURNAL: &str = "tandem.db";

/// What became of a life.
#[derive(Default)]
pub struct Lived {
    pub bad: Vec<String>,
    pub met: Vec<&'static str>,
    pub webhooks: usize,
    pub requests: usize,
    pub starts: usize,
    pub struck: usize,
    pub unknown: usize,
    pub dead: usize,
    /// The end of the host's log.
    pub log: String,
}

/// What every life begins with: a journal with both tenants' rules and a token, made once.
struct Template {
    folder: TempDir,
    token: String,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.wasm"), host::hostile_component()).unwrap();
    let life = Life::from_seed(0);
    configure(folder.path(), &life, "127.0.0.1:9");
    let control = tempfile::tempdir().unwrap();
    let mut host = Process::new(folder.path(), Arc::new(Disk::new(control.path(), 0, 0)));
    host.start(false);
    // Its rules are built once here, and in no life.
    let (began, admin) = (Instant::now(), *host.admin.lock().unwrap());
    let ready = http::request("GET", "/ready", &[], "");
    let is_built = || admin.is_some_and(|admin| http::ask(admin, &ready).is_ok_and(|(_, said)| said == "ready\n"));
    while !is_built() {
        assert!(began.elapsed() < PATIENCE * 4, "the rules are not built: {}", host.log());
        thread::sleep(Duration::from_millis(20));
    }
    host.terminate();
    assert_eq!(host.bad, Vec::<String>::new(), "{}", host.log());
    let mut create = Command::new(env!("CARGO_BIN_EXE_tandem"));
    create.args(["token", "create", "harness", "--journal"]).arg(folder.path().join(JOURNAL));
    let created = create.output().unwrap();
    let text = String::from_utf8(created.stdout).unwrap();
    let token = text.split_whitespace().find(|word| word.starts_with("tandem_"));
    let token = token.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&created.stderr))).to_owned();
    Template { folder, token }
});

/// Makes what all lives begin with, before any of them is measured.
pub fn prepare() {
    LazyLock::force(&TEMPLATE);
}

fn configure(folder: &Path, life: &Life, targets: &str) {
    let tenant = |name: &str| {
        let peer = format!("url = \"http://{targets}\", token = \"t\", webhook_secrets = [\"{SECRET}\"]");
        format!(
            "[tenants.{name}]\nshop = \"{}\"\ncomponent = \"rules.wasm\"\nshopify = {{ {peer} }}\nomneo = {{ {peer} }}\n\
             limits = {{ events_per_second = {} }}\n",
            senders::shop(name),
            life.events_per_second
        )
    };
    let config = format!(
        "listen = \"127.0.0.1:0\"\njournal = \"{JOURNAL}\"\n[network]\nallow = [\"{targets}\"]\n\
         [delivery]\ntimeout_ms = {TIMEOUT_MS}\nquiet_ms = {TIMEOUT_MS}\n\
         retry_delays_ms = [20, 40, 80, 160, 320, 640, 640, 640, 640]\n[admin]\nlisten = \"127.0.0.1:0\"\n{}",
        TENANTS.map(tenant).concat()
    );
    std::fs::write(folder.join("tandem.toml"), config).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

struct World {
    folder: TempDir,
    disk: Arc<Disk>,
    host: Process,
    target: Target,
    random: fastrand::Rng,
    /// Troubles that end by themselves, and when.
    passing: Vec<(Instant, Trouble)>,
    held: Vec<TcpStream>,
    /// Since when nothing can be written, if so, and what says so.
    unwritable: Option<Instant>,
    bad: Vec<String>,
    met: Vec<&'static str>,
}

pub fn live(life: &Life) -> Lived {
    let folder = tempfile::tempdir().unwrap();
    copy(TEMPLATE.folder.path(), folder.path());
    let disk = Arc::new(Disk::new(folder.path(), life.seed, life.sync_us));
    let target = Target::start(life.seed, life.wrong);
    configure(folder.path(), life, &target.address.to_string());
    let host = Process::new(folder.path(), disk.clone());
    let random = fastrand::Rng::with_seed(life.seed);
    let mut world = World {
        folder,
        disk,
        host,
        target,
        random,
        passing: vec![],
        held: vec![],
        unwritable: None,
        bad: vec![],
        met: vec![],
    };
    world.host.start(false);
    let senders = Senders::start(life, world.host.intake.clone());
    for episode in &life.episodes {
        world.go_on_until(episode.after, &senders);
        world.begin(episode.trouble);
        if matches!(episode.trouble, Trouble::Dawdlers { .. }) {
            world.see_somebody_served(&senders);
        }
        world.tick();
    }
    world.go_on_until(life.webhooks - life.webhooks / 10, &senders);
    while !world.passing.is_empty() {
        world.tick();
    }
    world.be_calm();
    let began = Instant::now();
    while !senders.are_done() && began.elapsed() < PATIENCE {
        world.tick();
    }
    let sent = senders.end();
    let dead = world.settle();
    let done = world.target.done();
    let journal = world.folder.path().join(JOURNAL);
    let mut bad = std::mem::take(&mut world.bad);
    bad.append(&mut world.host.bad);
    bad.extend(world.host.panics());
    bad.extend(world.target.strange().into_iter().map(|what| format!("a target was asked {what}")));
    bad.extend(check::check(&journal, &sent, &done, dead == 0));
    Lived {
        bad,
        met: world.met,
        webhooks: sent.len(),
        requests: done.values().map(|done| done.requests as usize).sum(),
        starts: world.host.starts,
        struck: [Call::Read, Call::Write, Call::Sync].map(|call| world.disk.struck(call) as usize).iter().sum(),
        unknown: check::unknown(&journal),
        dead,
        log: world.host.log(),
    }
}

impl World {
    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join(JOURNAL)
    }

    /// Whether anything is wrong with the disk now.
    fn is_faulty(&self) -> bool {
        self.passing.iter().any(|(_, trouble)| {
            matches!(trouble, Trouble::Disk { .. } | Trouble::LostSync { .. } | Trouble::Full { .. })
        })
    }

    /// Lets time pass until so much has happened, or nothing happens any more.
    fn go_on_until(&mut self, enough: usize, senders: &Senders) {
        let (mut far, mut since) = (0, Instant::now());
        while far < enough && since.elapsed() < if senders.are_done() { NOTHING_HAPPENS } else { PATIENCE } {
            self.tick();
            let now = (senders.begun() + self.target.requests()) / 3;
            if now > far {
                (far, since) = (now, Instant::now());
            }
        }
    }

    /// Brings a trouble about. One that lasts ends in [`World::tick`].
    fn begin(&mut self, trouble: Trouble) {
        self.met.push(trouble.kind());
        let ms = match trouble {
            Trouble::Kill => {
                self.host.kill();
                return self.host.start(self.is_faulty());
            }
            Trouble::PowerCut => {
                self.host.kill();
                self.disk.cut_power(&self.journal(), &mut self.random).unwrap();
                return self.host.start(self.is_faulty());
            }
            Trouble::Terminate => {
                self.host.terminate();
                return self.host.start(self.is_faulty());
            }
            Trouble::HangUp => return self.host.signal(Signal::HUP),
            Trouble::Rival => {
                // Without a host that runs, or on a disk that fails, the second one would be the first.
                if self.host.is_running() && !self.is_faulty() {
                    let (journal, way) = (self.journal(), self.random.usize(..3));
                    self.host.rival(&journal, way);
                }
                return;
            }
            Trouble::Ahead { ms } => {
                self.host.terminate();
                self.disk.set_clock(400 * 24 * 3_600_000);
                self.host.start(self.is_faulty());
                thread::sleep(Duration::from_millis(ms));
                self.host.terminate();
                self.disk.set_clock(0);
                return self.host.start(self.is_faulty());
            }
            Trouble::Stop { ms } => {
                self.host.signal(Signal::STOP);
                thread::sleep(Duration::from_millis(ms));
                return self.host.signal(Signal::CONT);
            }
            Trouble::Disk { call, strike, ms } => {
                self.host.excuse();
                self.disk.strike(call, Some(strike));
                let is_total = call == Call::Sync && strike.share == 10_000 && strike.most > 1_000;
                self.unwritable = is_total.then(Instant::now).or(self.unwritable);
                ms
            }
            Trouble::LostSync { ms } => {
                self.host.excuse();
                self.disk.strike(Call::Sync, Some(Strike { share: 10_000, error: EIO, most: 1 }));
                ms
            }
            Trouble::Full { ms } => {
                self.host.excuse();
                self.disk.set_full(true);
                ms
            }
            Trouble::Clock { hours, ms } => {
                self.disk.set_clock(hours * 3_600_000);
                ms
            }
            Trouble::Unreachable { ms } => {
                self.target.set_unreachable(true);
                ms
            }
            Trouble::Dawdlers { each, ms } => {
                let address = *self.host.intake.lock().unwrap();
                self.held.extend(address.map(|address| senders::dawdlers(address, each)).into_iter().flatten());
                ms
            }
        };
        self.passing.push((Instant::now() + Duration::from_millis(ms), trouble));
    }

    fn end(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Disk { call, .. } => {
                self.disk.strike(call, None);
                if call == Call::Sync {
                    self.unwritable = None;
                }
            }
            Trouble::LostSync { .. } => {
                self.disk.strike(Call::Sync, None);
                self.host.kill();
                self.disk.cut_power(&self.journal(), &mut self.random).unwrap();
                self.host.start(self.is_faulty());
            }
            Trouble::Full { .. } => self.disk.set_full(false),
            Trouble::Clock { .. } => self.disk.set_clock(0),
            Trouble::Unreachable { .. } => self.target.set_unreachable(false),
            Trouble::Dawdlers { .. } => self.held.clear(),
            Trouble::Kill
            | Trouble::PowerCut
            | Trouble::Terminate
            | Trouble::HangUp
            | Trouble::Rival
            | Trouble::Ahead { .. }
            | Trouble::Stop { .. } => {}
        }
    }

    /// Ends what is due to end, sees that a host runs, and asks it now and then whether it is ready.
    fn tick(&mut self) {
        let now = Instant::now();
        let (ended, passing) = self.passing.iter().copied().partition::<Vec<_>, _>(|(until, _)| *until <= now);
        self.passing = passing;
        ended.into_iter().for_each(|(_, trouble)| self.end(trouble));
        let is_faulty = self.is_faulty();
        self.host.keep_up(is_faulty);
        if let Some(since) = self.unwritable.filter(|since| since.elapsed() > TOLD_FOR)
            && self.is_ready() == Some(true)
        {
            self.bad.push(format!(
                "`/ready` says that it is, {:?} after no sync has come back well any more",
                since.elapsed()
            ));
        }
        thread::sleep(Duration::from_millis(3));
    }

    /// Sees that webhooks are acknowledged while dawdlers hold their connections.
    fn see_somebody_served(&mut self, senders: &Senders) {
        let (began, before) = (Instant::now(), senders.acknowledged());
        let others = self.passing.iter().filter(|(_, trouble)| !matches!(trouble, Trouble::Dawdlers { .. })).count();
        while others == 0 && senders.acknowledged() == before && !senders.are_done() {
            if began.elapsed() > SERVED_WITHIN {
                let held = self.held.len();
                return self.bad.push(format!("no webhook was taken in for {SERVED_WITHIN:?} beside {held} dawdlers"));
            }
            self.host.keep_up(false);
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// What `/ready` says, if anybody answers.
    fn is_ready(&self) -> Option<bool> {
        let admin = (*self.host.admin.lock().unwrap())?;
        http::ask(admin, &http::request("GET", "/ready", &[], "")).ok().map(|(status, _)| status == 200)
    }

    fn be_calm(&mut self) {
        self.disk.calm();
        self.target.set_unreachable(false);
        self.held.clear();
        self.passing.clear();
        self.unwritable = None;
    }

    /// Starts the host in peace, has everything come to its end, and stops it. Gives how many dead letters there were.
    fn settle(&mut self) -> usize {
        self.host.keep_up(false);
        self.host.terminate();
        self.host.start(false);
        self.target.behave();
        for (tenant, target) in TENANTS.iter().flat_map(|tenant| ["shopify", "omneo"].map(|target| (tenant, target))) {
            self.command(&format!("/v1/tenants/{tenant}/targets/{target}/resume"));
        }
        let mut dead = 0;
        for _ in 0..3 {
            self.wait_until_over();
            let letters = check::open(&self.journal()).and_then(|journal| check::dead_letters(&journal));
            let letters = letters.unwrap_or_default();
            if letters.is_empty() {
                break;
            }
            dead += letters.len();
            let of_the_host = letters.iter().filter(|(_, blame, _)| blame != "peer");
            self.bad.extend(
                of_the_host.map(|(id, blame, why)| format!("event {id} is a dead letter, for the {blame}: {why}")),
            );
            for tenant in TENANTS {
                self.command(&format!("/v1/tenants/{tenant}/dead-letters/retry"));
            }
        }
        if self.is_ready() != Some(true) {
            self.bad.push("the host is not ready in peace".to_owned());
        }
        self.host.keep_up(false);
        self.host.terminate();
        dead
    }

    fn wait_until_over(&mut self) {
        let began = Instant::now();
        loop {
            let left = check::open(&self.journal()).and_then(|journal| check::unfinished(&journal));
            if left == Ok(0) {
                return;
            }
            if began.elapsed() > PATIENCE {
                return self.bad.push(format!("events are not over {PATIENCE:?} after peace began: {left:?}"));
            }
            self.host.keep_up(false);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Has the host do something over its admin API.
    fn command(&mut self, path: &str) {
        let admin = *self.host.admin.lock().unwrap();
        let bearer = format!("Bearer {}", TEMPLATE.token);
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let answer = admin.map(|admin| http::ask(admin, &http::request("POST", path, &headers, "{}")));
        if !matches!(answer, Some(Ok((200..300, _)))) {
            self.bad.push(format!("POST {path} is answered {answer:?}"));
        }
    }
}
