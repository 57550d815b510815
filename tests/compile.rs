//! Uploads compiled by a process with limits: what it makes runs in the host, and whatever becomes of it, the host goes on.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::host::{TENANT, hostile_component};
use tandem::bake;
use tandem::compile::{Compiler, Limits, Mistakes, Source};
use tandem::engine;
use tandem::journal::{Feeds, Journal};
use tandem::registry::Registry;
use tandem::rules::{self, Plugin};

struct Shop {
    registry: Registry,
    journal: Journal,
    path: PathBuf,
    _feeds: Feeds,
    _folder: tempfile::TempDir,
}

fn tandem(limits: Limits) -> Compiler {
    Compiler::child(env!("CARGO_BIN_EXE_tandem").into(), limits)
}

fn shop(compiler: Compiler) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let (journal, feeds, _) = Journal::open(&path).unwrap();
    let registry = Registry::open(journal.clone(), engine::engine().unwrap(), compiler, &path);
    Shop { registry, journal, path, _feeds: feeds, _folder: folder }
}

/// A program that does this instead of compiling.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("script");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn refusal(compiler: &Compiler, source: Source) -> String {
    compiler.compile(source).await.err().expect("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_has_compiled_runs_in_the_host_as_it_is() {
    let shop = shop(tandem(Limits::default()));
    let deployed = shop.registry.deploy(TENANT, hostile_component(), None).await.unwrap();
    assert_eq!((deployed.manifest.name.as_str(), deployed.is_new), ("hostile", true));
    assert_eq!(deployed.digest, rules::digest(hostile_component()));
    // The host has neither loaded nor instantiated it.
    assert!(!shop.registry.is_loaded(&deployed.digest) && shop.registry.loaded_bytes() == 0);
    // Nobody could compile it here.
    let none = Compiler::child("/nowhere/tandem".into(), Limits::default());
    let registry = Registry::open(shop.journal.clone(), engine::engine().unwrap(), none, &shop.path);
    let plugin = registry.plugin(&deployed.digest).await.unwrap();
    let same = Plugin::load_apart(&engine::engine().unwrap(), hostile_component()).unwrap();
    assert_eq!((plugin.manifest(), plugin.code_bytes()), (same.manifest(), same.code_bytes()));
    let [code, same] = [&plugin, &same].map(|plugin| plugin.shared_code().unwrap());
    assert_eq!((code.digest(), code.bytes()), (same.digest(), same.bytes()));
    // What is there needs no compiler for another tenant either.
    assert!(registry.deploy("other", hostile_component(), None).await.unwrap().is_new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rules_file_is_frozen_in_the_child_too() {
    let compiler = tandem(Limits::default());
    let rules = |text: &str| Source::Rules { file: "acme.toml".into(), text: text.into(), base: None };
    let wrong = compiler.compile(rules("timezon = \"UTC\"\n")).await.err().unwrap();
    assert!(wrong.is::<Mistakes>(), "{wrong}");
    let shown = "error: unknown key `timezon`\n --> acme.toml:1:1\n";
    assert!(wrong.to_string().starts_with(shown), "{wrong}");
    let base = Some(hostile_component().to_vec());
    let made = compiler.compile(Source::Rules { file: "says.toml".into(), text: "says = \"a\"\n".into(), base }).await;
    let here =
        bake::bake(&engine::building_engine().unwrap(), hostile_component(), "says.toml", "says = \"a\"\n").await;
    assert!(made.unwrap().component == here.unwrap().component, "the same bytes wherever it is frozen");
    let base = Some(hostile_component().to_vec());
    let endless =
        refusal(&compiler, Source::Rules { file: "a.toml".into(), text: "a = \"endless\"".into(), base }).await;
    assert!(endless.contains("the rules ran too long"), "{endless}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_refused_as_in_the_host() {
    let (child, here) = (tandem(Limits::default()), Compiler::here());
    let component = hostile_component();
    for bytes in [&b""[..], b"hello", &component[..component.len() / 2], b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"] {
        let source = || Source::Component(bytes.to_vec());
        let (there, here) = (refusal(&child, source()).await, refusal(&here, source()).await);
        assert_eq!(there, here);
        assert!(there.contains("\nhint: "), "{there}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_by_what_it_is() {
    let large = || Source::Component(bake::default_base().unwrap());
    let hint = "hint: make it smaller: leave out data and libraries that it does not need, and optimise it for size";
    let limits = [
        ("64 MiB of memory", Limits { memory_bytes: 64 << 20, ..Limits::default() }),
        ("1 s of processor time", Limits { cpu_s: 1, ..Limits::default() }),
        ("0.05 s", Limits { wall: Duration::from_millis(50), ..Limits::default() }),
    ];
    for (what, limits) in limits {
        let began = Instant::now();
        assert_eq!(refusal(&tandem(limits), large()).await, format!("compiling it takes more than {what}\n{hint}"));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_dies_hangs_or_raves_is_a_refusal_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let short = Limits { wall: Duration::from_millis(300), ..Limits::default() };
    for (does, said) in [
        ("kill -SEGV $$", "compiling it ended the compiler, by signal 11\n"),
        ("kill -KILL $$", "compiling it ended the compiler, by signal 9\n"),
        ("exit 101", "compiling it ended the compiler, exit status: 101\n"),
        ("echo '{\"made\":", "compiling it ended the compiler, exit status: "),
        ("exec cat", "compiling it ended the compiler, "),
        // Its own child, too, which holds its pipes.
        ("sleep 600", "compiling it takes more than 0.3 s\n"),
        ("exec yes", "its compiled code has more than 192 MiB\n"),
    ] {
        let limits = if does == "exec yes" { Limits::default() } else { short.clone() };
        let shop = shop(Compiler::child(script(folder.path(), does), limits));
        let error = shop.registry.deploy(TENANT, hostile_component(), None).await.unwrap_err().to_string();
        assert!(error.starts_with(said) && error.contains("\nhint: "), "{does}: {error}");
        assert!(shop.registry.versions(TENANT).unwrap().is_empty());
        assert!(!shop.path.with_file_name("tandem.db-compiled").exists());
    }
}

/// Whoever asked is gone, killed, say: the process ends too, and does not compile on for nobody.
#[cfg(target_os = "linux")]
#[test]
fn a_child_ends_with_its_host() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let tandem = env!("CARGO_BIN_EXE_tandem");
    // Its standard input stays open, so that it has something to wait for.
    let command = format!("exec 3<&0; {tandem} compile --memory-bytes 1000000000 --cpu-s 10 <&3 & echo $!; wait");
    let mut host = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let of = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", line.trim())).unwrap_or_default();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for {what}: {}", of("status"));
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let has = |limit: &str, value: &str| {
        of("limits").lines().any(|line| line.starts_with(limit) && line.split_whitespace().any(|word| word == value))
    };
    until("the limits", &|| has("Max open files", "64"));
    assert!(has("Max core file size", "0") && has("Max data size", "1000000000") && has("Max cpu time", "10"));
    host.kill().unwrap();
    host.wait().unwrap();
    // Whoever adopts it may not have taken its leave yet.
    until("its end", &|| of("status").is_empty() || of("status").contains("State:\tZ"));
}

#[test]
fn a_command_that_is_cut_off_says_so() {
    let tandem = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["compile", "--memory-bytes", "1000000000", "--cpu-s", "10"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(tandem.status.code(), Some(1));
    let said = String::from_utf8(tandem.stderr).unwrap();
    assert!(said.starts_with("error: reading what is to be compiled: "), "{said}");
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_tandem")).arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("compile"), "it is for hosts, not for people");
}

#[test]
fn a_plugin_whose_schema_and_configure_disagree_is_told_where() {
    let untyped = |value: &str, at: &str| format!("the schema refuses `{value}` for `{at}`, and `configure` takes it");
    let any = r#"{"no":"such"}"#;
    assert_eq!(
        tandem::bake::schema_doubts(hostile_component(), "says = \"hi\"\n").unwrap(),
        ["/key_traps", "/kind", "/says", "/traps"].map(|at| untyped(any, at))
    );
    let said = tandem::bake::schema_doubts(hostile_component(), "says = 7\n").unwrap();
    assert_eq!(said[0], "the schema refuses this rules file, and `configure` takes it: 7 is not of type \"string\"");
}
