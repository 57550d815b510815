//! Stories of versions: deployed, made current under load, rolled back by hand and by themselves, and killed in the middle.
//!
//! Versions differ by what they say (`say` of the hostile rules asks for one call that names event and version).

use crate::host;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::host::{Host, TENANT, hostile_component};
use tandem::compile::{Compiler, Limits};
use tandem::journal::{Appended, EventRow, Filter, Journal, Reader, RunRow};
use tandem::model::{EventId, Webhook};
use tandem::registry::{Activate, Refused, Registry};
use tandem::rules::{self, Plugin};
use tandem::serve::Server;
use tandem::{bake, engine};
use tandem_standin::{Fault, Omneo, OmneoOptions, Rule};

/// Swaps of the story under load, and kills of the other one; `TANDEM_SWEEP` makes them more.
fn sweep(usual: usize) -> usize {
    std::env::var("TANDEM_SWEEP").ok().and_then(|n| n.parse().ok()).map_or(usual, |n: usize| usual * n.max(1))
}

/// A version with this rules file.
async fn version(rules: &str) -> Vec<u8> {
    bake::bake(&engine::building_engine().unwrap(), hostile_component(), "rules.toml", rules).await.unwrap().component
}

async fn saying(what: &str) -> Vec<u8> {
    version(&format!("says = \"{what}\"\n")).await
}

fn activate(version: &str) -> Activate<'_> {
    Activate { tenant: TENANT, version, ..Activate::default() }
}

async fn make_current(registry: &Registry, tenant: &str, version: &str) {
    let how = Activate { tenant, version, ..Activate::default() };
    registry.make_current(registry.prepare(how).await.unwrap()).await.unwrap();
}

fn webhook(id: u64, nth: u64) -> Webhook {
    Webhook {
        tenant: TENANT.into(),
        source: "shopify".into(),
        topic: "say".into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: 0,
        api_version: "2026-07".into(),
        payload: format!(r#"{{"id": {id}, "nth": {nth}}}"#),
    }
}

/// Journals an event about this thing.
async fn say(journal: &Journal, id: u64, nth: u64) -> EventId {
    match journal.append(webhook(id, nth)).await.unwrap() {
        Appended::Accepted(event) | Appended::Duplicate(event) | Appended::Differs { event, .. } => event,
    }
}

async fn said(host: &Host, event: EventId) -> String {
    let row = host.over(event).await;
    format!("{}: {}", row.outcome.unwrap_or_default(), row.reason.unwrap_or_default())
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// What the versions have had Omneo told: event to versions.
fn told(omneo: &Omneo) -> HashMap<u64, Vec<String>> {
    let mut told: HashMap<u64, Vec<String>> = HashMap::new();
    for request in omneo.requests() {
        if let Some((nth, what)) = request.path.split_once("/said/").and_then(|(_, rest)| rest.split_once('/')) {
            told.entry(nth.parse().unwrap()).or_default().push(what.to_owned());
        }
    }
    told
}

/// Every event is handled once, by one version, and none is overtaken by more than those under way with it.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_swaps_while_events_flow() {
    const SENDERS: usize = 16;
    const THINGS: u64 = 24;
    let host = Host::on(&saying("a").await).await;
    let b = host.server.versions.deploy(TENANT, &saying("b").await, None).await.unwrap().digest;
    let a = host.server.registry.versions(TENANT).unwrap()[0].digest.clone();
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..SENDERS as u64)
        .map(|sender| {
            let (journal, stop, sent) = (host.server.journal.clone(), stop.clone(), sent.clone());
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(sender);
                while !stop.load(Ordering::Relaxed) {
                    let nth = sent.fetch_add(1, Ordering::Relaxed);
                    let event = say(&journal, random.u64(..THINGS), nth).await;
                    let over = || journal.read(|reader| Ok(reader.show(event)?.unwrap().0.outcome.is_some())).unwrap();
                    until("an event", over).await;
                }
            })
        })
        .collect();
    let swaps = sweep(200);
    for n in 0..swaps {
        let version = if n % 2 == 0 { &b } else { &a };
        let activated = host.server.versions.activate(activate(version), false).await.unwrap();
        assert_eq!(&activated.digest, version);
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let filter = Filter { limit: usize::MAX, ..Filter::default() };
    let events = host.server.journal.read(|reader| reader.events(&filter)).unwrap();
    let events: Vec<(EventRow, Vec<RunRow>)> = events.iter().map(|row| host.show(row.event.id)).collect();
    let told = told(&host.omneo);
    let names = HashMap::from([(a.as_str(), "a"), (b.as_str(), "b")]);
    let mut by_version: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lanes: HashMap<String, i64> = HashMap::new();
    for (nth, (row, runs)) in events.iter().enumerate() {
        assert_eq!((row.outcome.as_deref(), runs.len()), (Some("done"), 1), "{row:#?} {runs:#?}");
        let (run, name) = (&runs[0], names[runs[0].version.as_str()]);
        assert_eq!((row.reason.as_deref(), row.version.as_ref()), (Some(name), Some(&run.version)), "{row:#?}");
        let payload: serde_json::Value = serde_json::from_str(&row.event.webhook.payload).unwrap();
        assert_eq!(told[&payload["nth"].as_u64().unwrap()], [name], "{row:#?}");
        *by_version.entry(name).or_default() += 1;
        // One at a time, in order of arrival.
        let before = lanes.insert(row.names[0].clone(), row.ended_at.unwrap()).unwrap_or_default();
        assert!(run.begun_at >= before, "{row:#?} began before the one before it was over");
        let overtaken = events[nth + 1..].iter().filter(|(later, _)| later.ended_at < row.ended_at).count();
        assert!(overtaken <= 8 * SENDERS, "{overtaken} later events were over before this one: {row:#?}");
    }
    eprintln!("{} events, {swaps} swaps, by version {by_version:?}", events.len());
    assert!(events.len() > swaps / 4 && by_version.len() == 2, "{} events: {by_version:?}", events.len());
    let activations = host.server.registry.activations(TENANT, usize::MAX).unwrap();
    assert_eq!(activations.len(), swaps + 1);
    host.stop().await;
}

/// What is under way ends on its version, after a restart of the host too; then the version is let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_begun_ends_on_its_version() {
    let host = Host::on(&saying("a").await).await;
    let (b, c) = (saying("b").await, saying("c").await);
    let b = host.server.versions.deploy(TENANT, &b, None).await.unwrap().digest;
    let c = host.server.versions.deploy(TENANT, &c, None).await.unwrap().digest;
    host.omneo.faults().add(Rule::path("POST /said/1/"), Fault::Hang(Duration::from_millis(400)));
    host.server.versions.activate(activate(&b), false).await.unwrap();
    let first = say(&host.server.journal, 1, 1).await;
    until("the call", || told(&host.omneo).contains_key(&1)).await;
    host.server.versions.activate(activate(&c), false).await.unwrap();
    let second = say(&host.server.journal, 2, 2).await;
    assert_eq!(said(&host, second).await, "done: c");
    assert!(host.row(first).outcome.is_none() && host.server.registry.is_loaded(&b));
    assert_eq!((said(&host, first).await, host.row(first).version), ("done: b".into(), Some(b.clone())));
    until("b to be let go", || !host.server.registry.is_loaded(&b)).await;
    assert!(host.server.registry.is_loaded(&c));

    // The same, with a restart while the call waits for its answer.
    host.server.journal.pause(TENANT, "omneo", "for a while").await.unwrap();
    until("the pause", || !host.server.paused().is_empty()).await;
    let third = say(&host.server.journal, 3, 3).await;
    until("the run", || host.show(third).1.first().is_some_and(|run| !run.calls.is_empty())).await;
    host.server.versions.activate(activate(&b), false).await.unwrap();
    let host = host.restart(|_| ()).await;
    let fourth = say(&host.server.journal, 4, 4).await;
    host.server.resume(TENANT, "omneo").await.unwrap();
    assert_eq!((said(&host, third).await, said(&host, fourth).await), ("done: c".into(), "done: b".into()));
    assert_eq!(host.show(third).1.len(), 1);

    // An operator may have it begin again.
    host.server.journal.pause(TENANT, "omneo", "for a while").await.unwrap();
    until("the pause", || !host.server.paused().is_empty()).await;
    let fifth = say(&host.server.journal, 5, 5).await;
    until("the run", || host.show(fifth).1.first().is_some_and(|run| !run.calls.is_empty())).await;
    host.server.versions.activate(activate(&c), false).await.unwrap();
    host.server.versions.restart(TENANT, fifth).unwrap();
    until("the second run", || host.show(fifth).1.get(1).is_some_and(|run| !run.calls.is_empty())).await;
    host.server.resume(TENANT, "omneo").await.unwrap();
    assert_eq!((said(&host, fifth).await, &told(&host.omneo)[&5]), ("done: c".into(), &vec!["c".to_owned()]));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_needs_nothing_and_outlives_a_restart() {
    let (a, b, c) = (saying("a").await, saying("b").await, saying("c").await);
    let host = Host::on(&a).await;
    let first = host.server.versions.roll_back(TENANT, None, false).await.unwrap_err();
    assert_eq!(first.to_string(), "there is no version of `acme` to go back to: the active one is the first");
    let digest = host.server.versions.deploy(TENANT, &b, None).await.unwrap().digest;
    host.server.versions.activate(activate(&digest[..12]), false).await.unwrap();
    let host = host.restart(|_| ()).await;
    assert_eq!(said(&host, say(&host.server.journal, 1, 1).await).await, "done: b");
    assert_eq!(host.server.versions.roll_back(TENANT, Some(&digest), false).await.unwrap().digest, rules::digest(&a));
    assert!(matches!(host.server.versions.roll_back(TENANT, None, false).await, Err(Refused::First(_))));
    let host = host.restart(|_| ()).await;
    assert_eq!(said(&host, say(&host.server.journal, 1, 2).await).await, "done: a");
    host.server.versions.activate(activate(&digest), false).await.unwrap();
    // Only when the operator changes the file does the configuration have a say again.
    let host = host.restart(|folder| std::fs::write(folder.join("rules.wasm"), &c).unwrap()).await;
    assert_eq!(said(&host, say(&host.server.journal, 1, 3).await).await, "done: c");
    assert_eq!(host.server.versions.roll_back(TENANT, None, false).await.unwrap().digest, digest);
    let host = host.restart(|_| ()).await;
    assert_eq!(said(&host, say(&host.server.journal, 1, 4).await).await, "done: b");
    let causes = host.server.registry.activations(TENANT, 10).unwrap();
    let causes: Vec<_> = causes.iter().map(|row| row.cause.as_str()).collect();
    assert_eq!(causes, ["rolled back", "configured", "activated", "rolled back", "activated", "configured"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deployed_or_activated_is_refused_and_changes_nothing() {
    let (a, b, c) = (saying("a").await, saying("b").await, saying("c").await);
    let host = Host::on(&a).await;
    let server = &host.server;
    let of = |error: anyhow::Error| format!("{error:#}");
    let cut = of(server.versions.deploy(TENANT, &b[..b.len() / 2], Some(&rules::digest(&b))).await.unwrap_err());
    assert!(
        cut.ends_with("\nhint: it may have been cut off; send it again") && cut.contains(&rules::digest(&b)),
        "{cut}"
    );
    let cut = of(server.versions.deploy(TENANT, &b[..b.len() / 2], None).await.unwrap_err());
    assert!(cut.starts_with("the component is not valid: unexpected end-of-file"), "{cut}");
    let large = of(server.versions.deploy(TENANT, &vec![0; 20 << 20], None).await.unwrap_err());
    assert_eq!(large, "the component has 20971520 bytes; 16777216 are allowed");
    assert_eq!(of(server.versions.deploy("nobody", &b, None).await.unwrap_err()), "there is no tenant `nobody`");
    assert_eq!(server.registry.versions(TENANT).unwrap().len(), 1);

    let (b, c) = (
        server.versions.deploy(TENANT, &b, None).await.unwrap(),
        server.versions.deploy(TENANT, &c, None).await.unwrap(),
    );
    assert!(b.is_new && !server.versions.deploy(TENANT, &saying("b").await, None).await.unwrap().is_new);
    let unknown = server.versions.activate(activate("0123456789ab"), false).await.unwrap_err().to_string();
    assert_eq!(unknown, "tenant `acme` has no version `0123456789ab`\nhint: `tandem versions acme` lists those it has");
    // Of two who saw the same version, one is told.
    let expected = rules::digest(&a);
    let how = |version| Activate { expected: Some(&expected), ..activate(version) };
    let both =
        tokio::join!(server.versions.activate(how(&b.digest), false), server.versions.activate(how(&c.digest), false));
    let (winner, loser) = match both {
        (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
        both => panic!("{both:?}"),
    };
    assert_eq!(
        loser.to_string(),
        format!(
            "another version was activated meanwhile: `{}` is active now\nhint: look at it, and decide again",
            winner.digest
        )
    );
    host.stop().await;
}

/// It traps whatever it is asked: nothing is lost, and nobody has to do anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_traps_on_everything_is_rolled_back_and_its_events_begin_again() {
    for rules in ["traps = true\n", "key_traps = true\n"] {
        let host = Host::on(&saying("a").await).await;
        let bad = host.server.versions.deploy(TENANT, &version(rules).await, None).await.unwrap().digest;
        host.server.versions.activate(Activate { failures_max: Some(5), ..activate(&bad) }, false).await.unwrap();
        let mut events = vec![];
        for nth in 0..60 {
            events.push(say(&host.server.journal, nth % 7, nth).await);
        }
        // Until then some are seen as failed; with the roll back they are taken up.
        until("the roll back", || host.server.registry.activations(TENANT, 1).unwrap()[0].cause == "failing").await;
        for event in &events {
            assert_eq!(said(&host, *event).await, "done: a", "{rules} {:#?}", host.show(*event));
        }
        assert!(told(&host.omneo).values().all(|told| *told == ["a"]));
        // In order of arrival within each lane, as if nothing had been.
        for (earlier, later) in events.iter().zip(&events[7..]) {
            let (earlier, later) = (host.show(*earlier), host.show(*later));
            assert!(later.1.last().unwrap().begun_at >= earlier.0.ended_at.unwrap(), "{earlier:#?} {later:#?}");
        }
        let activations = host.server.registry.activations(TENANT, 10).unwrap();
        let causes: Vec<_> = activations.iter().map(|row| row.cause.as_str()).collect();
        assert_eq!(causes, ["failing", "activated", "configured"]);
        host.stop().await;
    }
}

/// Not asked for, it is not done; nor for a version that fails now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_stays_that_nobody_wanted_watched() {
    let host = Host::on(&saying("a").await).await;
    let bad = host.server.versions.deploy(TENANT, &version("traps = true\n").await, None).await.unwrap().digest;
    host.server.versions.activate(activate(&bad), false).await.unwrap();
    for nth in 0..10 {
        let said = said(&host, say(&host.server.journal, 1, nth).await).await;
        assert!(said.starts_with("failed: the rules panicked at "), "{said}");
    }
    // By hand, the dead letters stay until somebody retries them.
    host.server.versions.roll_back(TENANT, None, false).await.unwrap();
    let dead = host.server.journal.read(|reader| reader.events(&Filter { limit: 99, ..Filter::default() })).unwrap();
    assert!(dead.iter().all(|row| row.outcome.as_deref() == Some("failed") && row.version.as_ref() == Some(&bad)));
    assert!(host.server.journal.retry(dead[0].event.id).await.unwrap());
    assert_eq!(said(&host, dead[0].event.id).await, "done: a");
    host.stop().await;
}

/// Nothing runs when a version with other keys comes, and what waits is asked for its key again.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_other_keys_comes_when_the_lanes_are_drained() {
    let host = Host::on(&saying("a").await).await;
    let other = version("says = \"b\"\nkind = \"other\"\n").await;
    let other = host.server.versions.deploy(TENANT, &other, None).await.unwrap().digest;
    host.omneo.faults().add(Rule::path("POST /said/0/"), Fault::Hang(Duration::from_millis(300)));
    let mut events = vec![];
    for nth in 0..20 {
        // All about one thing: the others wait for the first.
        events.push(say(&host.server.journal, 1, nth).await);
    }
    until("the call", || told(&host.omneo).contains_key(&0)).await;
    let activated = host.server.versions.activate(activate(&other), true).await.unwrap();
    assert_eq!(activated.digest, other);
    assert_eq!(host.row(events[0]).outcome.as_deref(), Some("done"));
    assert_eq!(host.row(events[0]).names, ["shopify/thing/1"]);
    let mut ended = 0;
    for event in &events[1..] {
        assert_eq!(said(&host, *event).await, "done: b");
        let row = host.row(*event);
        assert_eq!(row.names, ["shopify/other/1"]);
        assert!(row.ended_at.unwrap() >= ended);
        ended = row.ended_at.unwrap();
    }
    host.stop().await;
}

/// What lies in the folder is believed only if it is what was put there.
#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_that_was_tampered_with_is_compiled_again() {
    let (a, b) = (saying("a").await, saying("b").await);
    let host = Host::on(&a).await;
    host.server.versions.deploy(TENANT, &b, None).await.unwrap();
    let folder = host.journal.with_file_name("tandem.db-compiled");
    let file = |component: &[u8]| folder.join(format!("{}.cwasm", rules::digest(component)));
    let (good, foreign) = (std::fs::read(file(&a)).unwrap(), std::fs::read(file(&b)).unwrap());
    let mut corrupt = good.clone();
    corrupt[good.len() / 2] ^= 1;
    let mut host = host;
    for (nth, bad) in [&corrupt[..], &foreign, &good[..good.len() / 2], b"", &good].into_iter().enumerate() {
        host = host.restart(|_| std::fs::write(file(&a), bad).unwrap()).await;
        assert_eq!(said(&host, say(&host.server.journal, 1, nth as u64).await).await, "done: a");
        assert!(std::fs::read(file(&a)).unwrap() == good, "it was not compiled again");
    }
    // What both share, too.
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let shared: Vec<_> = files.filter(|path| ![file(&a), file(&b)].contains(path)).collect();
    assert_eq!(shared.len(), 1, "{shared:?}");
    let good = std::fs::read(&shared[0]).unwrap();
    host = host.restart(|_| std::fs::write(&shared[0], &good[1..]).unwrap()).await;
    assert_eq!(said(&host, say(&host.server.journal, 1, 8).await).await, "done: a");
    assert!(std::fs::read(&shared[0]).unwrap() == good, "it was not compiled again");
    host = host.restart(|_| std::fs::remove_dir_all(&folder).unwrap()).await;
    assert_eq!(said(&host, say(&host.server.journal, 1, 9).await).await, "done: a");
    host.stop().await;
}

/// Those used least recently go first, and are there again when they are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn code_is_let_go_when_it_takes_up_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let (journal, feeds, thread) = Journal::open(&path).unwrap();
    let engine = engine::engine().unwrap();
    // All have one code, and each its own memory.
    let first = Plugin::load_apart(&engine, &saying("0").await).unwrap();
    let (one, shared) = (first.code_bytes(), first.shared_code().unwrap().bytes());
    let most = shared + one * 3 + one / 2;
    let registry = Registry::within(journal.clone(), engine, Compiler::here(), &path, most);
    let mut digests = vec![];
    for n in 0..6 {
        let tenant = format!("tenant-{n}");
        let digest = registry.deploy(&tenant, &saying(&n.to_string()).await, None).await.unwrap().digest;
        make_current(&registry, &tenant, &digest).await;
        digests.push(digest);
    }
    let loaded = |registry: &Registry| digests.iter().map(|digest| registry.is_loaded(digest)).collect::<Vec<_>>();
    assert_eq!(loaded(&registry), [false, false, false, true, true, true]);
    assert!((shared..=most).contains(&registry.loaded_bytes()));
    let plugin = registry.plugin(&digests[0]).await.unwrap();
    assert_eq!((plugin.digest(), registry.is_loaded(&digests[3])), (digests[0].as_str(), false));
    // Two tenants on one digest have it once.
    registry.deploy("another", &saying("5").await, None).await.unwrap();
    make_current(&registry, "another", &digests[5]).await;
    assert!(registry.loaded_bytes() <= most && registry.is_loaded(&digests[5]));
    drop((registry, journal, feeds));
    thread.join().unwrap();
}

/// The host of the next story, in a process of its own; elsewhere it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_deploys_and_activates_until_it_is_killed() {
    let Some(folder) = std::env::var_os("TANDEM_SWAP_FOLDER") else { return };
    let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
    let compiler = Compiler::child(env!("CARGO_BIN_EXE_tandem").into(), Limits::default());
    let config = host::config(Path::new(&folder), &omneo, &[TENANT]);
    let mut server = Server::start_on(&config, compiler).await.unwrap();
    assert!(server.configured().await.unwrap().is_empty());
    let first = server.registry.versions(TENANT).unwrap().len();
    for n in first.. {
        let deployed = server.versions.deploy(TENANT, &saying(&n.to_string()).await, None).await.unwrap();
        println!("deployed {}", deployed.digest);
        for version in [&deployed.digest, &server.registry.versions(TENANT).unwrap()[0].digest] {
            server.versions.activate(activate(version), false).await.unwrap();
            println!("activated {version}");
        }
    }
}

/// Killed at any moment, the journal has what was acknowledged and at most the next step, whole.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_deploy_and_activate() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.wasm"), saying("0").await).unwrap();
    let journal = folder.path().join("tandem.db");
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..sweep(4) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "swap::a_host_that_deploys_and_activates_until_it_is_killed", "--nocapture"])
            .env("TANDEM_SWAP_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let steps = random.usize(2..9);
        let mut acknowledged: Vec<String> = lines.by_ref().filter(|line| is_step(line)).take(steps).collect();
        std::thread::sleep(Duration::from_millis(random.u64(..60)));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.filter(|line| is_step(line)));
        let reader = Reader::open(&journal).unwrap();
        let versions: Vec<_> = reader.versions(TENANT).unwrap().into_iter().map(|row| row.digest).collect();
        let activations = reader.activations(TENANT, usize::MAX).unwrap();
        let active = reader.active(TENANT).unwrap().unwrap();
        assert_eq!(active.digest, activations[0].digest);
        for line in &acknowledged {
            let (_, digest) = line.split_once(' ').unwrap();
            assert!(versions.iter().any(|version| version == digest), "{line} is lost");
        }
        let last = acknowledged.iter().rev().find_map(|line| line.strip_prefix("activated ")).unwrap_or(&versions[0]);
        let latest: Vec<_> = activations.iter().take(2).map(|row| row.digest.as_str()).collect();
        assert!(latest.contains(&last), "{last} was activated; there is {latest:?}");
        for digest in &versions {
            assert_eq!(rules::digest(&reader.component(digest).unwrap().unwrap()), *digest);
        }
    }
    let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
    let server = Server::start(&host::config(folder.path(), &omneo, &[TENANT])).await.unwrap();
    let event = say(&server.journal, 1, 1).await;
    let row = || server.journal.read(|reader| reader.show(event)).unwrap().unwrap().0;
    until("the event", || row().outcome.is_some()).await;
    assert_eq!(row().outcome.as_deref(), Some("done"));
    assert_eq!(row().version, Some(server.registry.active(TENANT).unwrap().unwrap().digest().to_owned()));
    server.stop().await.unwrap();
    omneo.stop();
}

/// The test program says other things too, on the same line as the first of these.
fn is_step(line: &str) -> bool {
    line.starts_with("deployed ") || line.starts_with("activated ")
}
