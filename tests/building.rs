//! Rules that take long to build, or cannot be: webhooks are taken in all the same, their events wait, what many tenants say
//! alike is built once, and nobody waits for what is wrong with another's.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::host::Host;
use tandem::compile::{Compiler, Limits};
use tandem::config::RulesFrom;
use tandem::registry::Unbuilt;
use tempfile::TempDir;

const TENANTS: [&str; 10] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];
const RULES: &str = "timezone = \"UTC\"\n";
const BROKEN: &str = "timezone = 3\n";

/// A process that compiles as `tandem` does, once it may.
struct Gate(TempDir);

impl Gate {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\nwhile [ ! -e '{}' ]; do /bin/sleep 0.02; done\nexec '{}' \"$@\"\n",
            folder.path().join("open").display(),
            env!("CARGO_BIN_EXE_tandem")
        );
        let program = folder.path().join("compile");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(folder)
    }

    fn compiler(&self) -> Compiler {
        Compiler::child(self.0.path().join("compile"), Limits::default())
    }

    fn open(&self) {
        std::fs::write(self.0.path().join("open"), "").unwrap();
    }
}

/// Every tenant has the same file.
fn one_file(folder: &Path, _: &str) -> RulesFrom {
    let file = folder.join("rules.toml");
    std::fs::write(&file, RULES).unwrap();
    RulesFrom::File(file)
}

async fn ready(host: &Host) -> String {
    let address = host.server.admin.unwrap();
    reqwest::get(format!("http://{address}/ready")).await.unwrap().text().await.unwrap()
}

/// A webhook that default rules skip, of each of these tenants; with its number.
async fn one_of_each(host: &Host, id: u32) -> Vec<tandem::model::EventId> {
    let mut events = vec![];
    for tenant in TENANTS {
        events.push(host.event(tenant, "customers/enable", &format!(r#"{{"id": {id}}}"#)).await);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_tenants_on_one_file_are_built_once_and_taken_in_meanwhile() {
    let gate = Gate::new();
    let compiler = gate.compiler();
    let mut host = Host::building(compiler.clone(), &TENANTS, one_file).await;
    let waiting = one_of_each(&host, 1).await;
    assert_eq!(ready(&host).await, "ready\ntenants whose rules are being built, and whose events wait: 10\n");
    assert_eq!(host.server.registry.unbuilt().get("t3"), Some(&Unbuilt::Building));
    assert!(waiting.iter().all(|event| host.row(*event).outcome.is_none()));
    gate.open();
    for event in waiting {
        assert_ne!(host.over(event).await.version, None);
    }
    assert!(host.server.configured().await.unwrap().is_empty());
    assert_eq!(ready(&host).await, "ready\n");
    assert_eq!(compiler.begun(), 1);

    // Nothing is built at a start at which nothing has changed.
    let compiler = gate.compiler();
    let mut host = host.restart_building(compiler.clone(), |_| {}).await;
    assert!(host.server.configured().await.unwrap().is_empty());
    assert_eq!(compiler.begun(), 0);
    host.stop().await;
}

/// An upgrade brings another base to everybody.
#[tokio::test(flavor = "multi_thread")]
async fn another_base_is_built_once_too_and_events_wait_for_it() {
    let gate = Gate::new();
    gate.open();
    let mut host = Host::building(gate.compiler(), &TENANTS, one_file).await;
    assert!(host.server.configured().await.unwrap().is_empty());
    let (gate, journal) = (Gate::new(), host.journal.clone());
    let compiler = gate.compiler();
    let mut host = host
        .restart_building(compiler.clone(), |_| {
            let journal = rusqlite::Connection::open(journal).unwrap();
            // What it ran on was built of other default rules, which are not kept.
            journal.execute("UPDATE configured SET base = 'older'", []).unwrap();
        })
        .await;
    let waiting = one_of_each(&host, 1).await;
    assert!(waiting.iter().all(|event| host.row(*event).outcome.is_none()));
    assert_eq!(ready(&host).await, "ready\ntenants whose rules are being built, and whose events wait: 10\n");
    gate.open();
    for event in waiting {
        host.over(event).await;
    }
    assert!(host.server.configured().await.unwrap().is_empty());
    assert_eq!(compiler.begun(), 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_keeps_nobody_else_from_starting() {
    let gate = Gate::new();
    gate.open();
    let compiler = gate.compiler();
    let mut host = Host::building(compiler.clone(), &TENANTS, |folder, tenant| {
        let file = folder.join(format!("{tenant}.toml"));
        match tenant {
            "t0" => std::fs::write(&file, BROKEN).unwrap(),
            // There is no such file.
            "t1" => {}
            _ => std::fs::write(&file, RULES).unwrap(),
        }
        RulesFrom::File(file)
    })
    .await;
    let wrong: Vec<_> = host.server.configured().await.unwrap().iter().map(|error| format!("{error:#}")).collect();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().any(|why| why.contains("t0.toml:1:1")) && wrong.iter().any(|why| why.contains("t1.toml`")));
    assert_eq!(ready(&host).await, "ready\ntenants whose rules could not be built: 2\n");
    // Of those that are right, eight files say the same.
    assert_eq!(compiler.begun(), 2);
    let events = one_of_each(&host, 1).await;
    for event in &events[2..] {
        host.over(*event).await;
    }
    assert!(events[..2].iter().all(|event| host.row(*event).outcome.is_none()), "they wait for rules");

    // One is mended, and another one broken that ran before.
    let mut host = host
        .restart_building(gate.compiler(), |folder| {
            std::fs::write(folder.join("t0.toml"), RULES).unwrap();
            std::fs::write(folder.join("t2.toml"), BROKEN).unwrap();
        })
        .await;
    assert_eq!(host.server.configured().await.unwrap().len(), 2);
    host.over(events[0]).await;
    // What was active goes on.
    let event = host.event("t2", "customers/enable", r#"{"id": 9}"#).await;
    assert_ne!(host.over(event).await.version, None);
    host.stop().await;
}
