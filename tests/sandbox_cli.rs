//! `tandem test` and its files as they are typed: what is printed, what is written, and the status, compared whole.

use crate::host;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

const PAYLOAD: &str = r#"{"id":7}"#;
const CASE: &str = "cases/shopify/ask/omneo-is-asked";
/// Its conversation.
const ASKED: &str = "GET omneo /profiles\n< 200 { \"data\": [] }\n\n= done: Omneo answered 200\n";

/// Rules that do what their topic says, as a core module.
fn hostile() -> &'static Path {
    static HOSTILE: LazyLock<PathBuf> = LazyLock::new(host::build);
    &HOSTILE
}

struct Folder(TempDir);

/// What a command said. What asks took is `[USE]`.
#[derive(Debug, PartialEq)]
struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    /// With rules and a case that they hold.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::copy(hostile(), folder.path("acme.wasm")).unwrap();
        folder.with(&format!("{CASE}/payload.json"), PAYLOAD).with(&format!("{CASE}/transcript.http"), ASKED)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path());
        command.env_remove("NO_COLOR").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn tandem(&self, arguments: &str) -> Said {
        self.tandem_given(arguments, "")
    }

    fn tandem_given(&self, arguments: &str, stdin: &str) -> Said {
        let mut child = self.command(arguments).spawn().unwrap();
        // Who reads nothing closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| masked(&String::from_utf8(bytes).unwrap());
        Said { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn masked(text: &str) -> String {
    let line = |line: &str| match line.split_once(", fuel ") {
        Some((calls, _)) => format!("{calls} [USE]"),
        None => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn prints(stdout: &str) -> Said {
    Said { status: 0, stdout: stdout.into(), stderr: String::new() }
}

fn fails(stdout: &str, stderr: &str) -> Said {
    Said { status: 1, stdout: stdout.into(), stderr: stderr.into() }
}

fn is_wrong(stderr: &str) -> Said {
    Said { status: 2, stdout: String::new(), stderr: stderr.into() }
}

/// `tandem test` of one event of this topic.
fn of_topic(topic: &str, more: &str) -> Said {
    Folder::new().tandem_given(&format!("test --rules acme.wasm --source shopify --topic {topic} {more}"), PAYLOAD)
}

#[test]
fn a_case_that_holds_is_named_with_what_it_took() {
    let ok = "ok   shopify/ask/omneo-is-asked\n     1 call in 3 asks [USE]\n1 case: 1 ok\n";
    let folder = Folder::new();
    for dir in ["cases", "cases/shopify", CASE, "cases is-asked"] {
        assert_eq!(folder.tandem(&format!("test {dir} --rules acme.wasm")), prints(ok), "{dir}");
    }
    let said = folder.command("test cases --rules acme.wasm").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for limit in ["M of 50.", "MiB of 16.", "KiB of 1024.", "log 0.00 KiB of 16.00 KiB (0.0 %)"] {
        assert!(said.contains(limit), "{said}");
    }
}

#[test]
fn a_case_that_does_not_hold_shows_the_difference() {
    let folder = Folder::new().with(&format!("{CASE}/transcript.http"), &ASKED.replace("answered 200", "answered"));
    let failed = fails(
        "FAIL shopify/ask/omneo-is-asked
     1 call in 3 asks [USE]
     --- transcript.http, expected
     +++ transcript.http, actual
     @@ -1,4 +1,4 @@
      GET omneo /profiles
      < 200 { \"data\": [] }

     -= done: Omneo answered
     += done: Omneo answered 200
1 case: 0 ok, 1 failed
",
        "error: 1 of 1 cases failed\n",
    );
    assert_eq!(folder.tandem("test cases --rules acme.wasm"), failed);
    let said = folder.tandem("test cases --rules acme.wasm --bless");
    assert!(said.status == 0 && said.stdout.contains("     written down; read the difference\n"), "{said:?}");
    assert_eq!(folder.read(&format!("{CASE}/transcript.http")), ASKED);
    // What is right is not written again.
    assert!(!folder.tandem("test cases --rules acme.wasm --bless").stdout.contains("written"));
    // What must be remembered is part of it.
    folder.write("cases/shopify/remember/it-keeps-the-payload/payload.json", PAYLOAD);
    folder.write("cases/shopify/remember/it-keeps-the-payload/memory.after.json", r#"{"id":8}"#);
    folder.write("cases/shopify/remember/it-keeps-the-payload/transcript.http", "= done: remembered\n");
    let said = folder.tandem("test cases keeps --rules acme.wasm");
    assert!(said.stdout.contains("\n     -{ \"id\": 8 }\n     +{ \"id\": 7 }\n"), "{said:?}");
}

#[test]
fn a_new_case_grows_reply_by_reply() {
    let (folder, transcript) = (Folder::new(), format!("{CASE}/transcript.http"));
    std::fs::remove_file(folder.path(&transcript)).unwrap();
    let new = "new  shopify/ask/omneo-is-asked
     1 call in 2 asks [USE]
     GET omneo /profiles
     < ?

     = ?
     ? `GET omneo /profiles` needs a reply before it can go on
1 case: 0 ok, 1 new, without a transcript: `--bless` writes down what happened
";
    let unblessed = "error: 1 of 1 cases expect nothing
hint: `--bless` writes down what happened; `--allow-new` lets them be
";
    assert_eq!(folder.tandem("test cases --rules acme.wasm"), fails(new, unblessed));
    assert_eq!(folder.tandem("test cases --rules acme.wasm --allow-new"), prints(new));
    assert!(!folder.path(&transcript).exists());
    let said = folder.tandem("test cases --rules acme.wasm --bless");
    assert_eq!((said.status, folder.read(&transcript).as_str()), (1, "GET omneo /profiles\n< ?\n\n= ?\n"));
    assert!(said.stdout.contains("the case gives no reply to `GET omneo /profiles`"), "{said:?}");
    folder.write(&transcript, &folder.read(&transcript).replacen("< ?", "< 200 { \"data\": [] }", 1));
    assert_eq!(folder.tandem("test cases --rules acme.wasm --bless").status, 0);
    assert_eq!(folder.read(&transcript), ASKED);
}

/// What is under test: a rules file, also one of a case's own, frozen into the default rules or into others; or a component.
#[test]
fn rules_files_are_frozen_on_the_way() {
    let location = r#"{ "id": 73971466454, "name": "Fitzroy", "address1": "1 Gertrude Street", "city": "Fitzroy", "zip": "3065",
        "country": "AU", "country_code": "AU", "country_name": "Australia", "updated_at": "2026-03-04T15:00:00+11:00" }"#;
    let folder = Folder(tempfile::tempdir().unwrap()).with("acme.toml", "timezone = \"UTC\"\n");
    let asked = "GET omneo /locations?filter[external_id]=73971466454\n< 200 { \"data\": [] }\n\n";
    let refused = "= refused: location `Fitzroy` has no phone, which Omneo requires: set `locations.phone`\n";
    for (name, ending) in [("without-a-phone-it-is-refused", refused), ("the-case-brings-a-phone", "= ?\n")] {
        folder.write(&format!("cases/shopify/locations-create/{name}/payload.json"), location);
        folder.write(&format!("cases/shopify/locations-create/{name}/transcript.http"), &format!("{asked}{ending}"));
    }
    folder.write(
        "cases/shopify/locations-create/the-case-brings-a-phone/rules.toml",
        "timezone = \"UTC\"\n[locations]\nphone = \"+61311111111\"\n",
    );
    let said = folder.tandem("test cases --rules acme.toml --bless");
    assert!(said.stdout.contains("ok   shopify/locations-create/without-a-phone-it-is-refused\n"), "{said:?}");
    let blessed = folder.read("cases/shopify/locations-create/the-case-brings-a-phone/transcript.http");
    assert!(blessed.contains("\"phone\": \"+61311111111\""), "{blessed}");
    // A component does as its rules file does, and the case's own file is frozen into it.
    assert_eq!(folder.tandem("build acme.toml -o acme.wasm").status, 0);
    let again = folder.tandem("test cases --rules acme.wasm");
    assert_eq!((again.status, again.stdout.matches("FAIL").count()), (1, 1), "{again:?}");
    let topic = "test --rules acme.toml --topic customer.tags_added";
    // Whoever is listened to for a topic has sent it, whatever its name looks like.
    assert!(folder.tandem_given(topic, "{}").stdout.starts_with("= invalid: "));
}

#[test]
fn one_event_comes_from_standard_input() {
    assert_eq!(
        of_topic("ask", ""),
        Said {
            status: 0,
            stdout: "GET omneo /profiles\n< ?\n\n= ?\n".into(),
            stderr: "1 call in 2 asks [USE]
`GET omneo /profiles` needs a reply before it can go on
hint: make it a case, a folder with the body in `payload.json`, and give replies in its `transcript.http`
"
            .into()
        }
    );
    let said = of_topic("carts/update", "");
    assert_eq!(said.stdout, "= skipped: topic `carts/update` of shopify is not mapped by these rules\n");
    assert!(said.status == 1, "{said:?}");
    assert!(said.stderr.ends_with("error: the rules do not listen to `carts/update` of shopify\n"), "{said:?}");
    let said = of_topic("rememebr", "");
    let meant = "error: the rules do not listen to `rememebr` of shopify\nhint: did you mean `remember`?\n";
    assert!(said.status == 1 && said.stderr.ends_with(meant), "{said:?}");
    let folder = Folder::new().with("memory.json", r#"{"gone":true}"#);
    let recall = "test --rules acme.wasm --topic recall --memory";
    let said = folder.tandem_given(&format!("{recall} memory.json"), PAYLOAD);
    assert_eq!((said.status, &*said.stdout), (0, "= done: [\"{\\\"gone\\\":true}\"]\n"));
    let said = folder.tandem_given(&format!("{recall} no.json"), PAYLOAD);
    assert_eq!(
        said,
        is_wrong(
            "error: reading the memory `no.json`: No such file or directory (os error 2)\nhint: check the name; it counts from the folder you are in\n"
        )
    );
    let said = of_topic("broken", "");
    assert!(said.status == 1 && said.stdout.starts_with("= failed: the rules panicked at src/lib.rs:"), "{said:?}");
}

#[test]
fn a_conversation_is_shown_step_by_step() {
    let case = "cases/shopify/remember/it-keeps-the-payload";
    let folder = Folder::new().with(&format!("{case}/payload.json"), PAYLOAD);
    folder.write(&format!("{case}/memory.json"), r#"{"id":6}"#);
    let said = folder.tandem("test cases --rules acme.wasm --trace");
    let numbers = |line: &str| match line.split_once(" M of fuel") {
        Some((head, _)) => format!("{} [USE]", head.rsplit_once(' ').unwrap().0.trim_end()),
        None => line.to_owned(),
    };
    let shown = said.stdout.lines().map(numbers).collect::<Vec<_>>().join("\n");
    let event = "occurred 2026-03-04T05:06:07Z, received 2026-03-04T05:06:08.000Z";
    assert_eq!(
        shown,
        format!(
            "shopify/ask/omneo-is-asked
  event      ask of shopify, {event}
             {{ \"id\": 7 }}
  memory     nothing
key [USE]
  about      shopify/thing/7
step 1 [USE]
  asked      GET omneo /profiles
  was told   200
             {{ \"data\": [] }}
step 2 [USE]
  ended      done: Omneo answered 200
  remembers  what was there before

ok   shopify/ask/omneo-is-asked
     1 call in 3 asks [USE]
shopify/remember/it-keeps-the-payload
  event      remember of shopify, {event}
             {{ \"id\": 7 }}
  memory     {{ \"id\": 6 }}
key [USE]
  about      shopify/thing/7
step 1 [USE]
  ended      done: remembered
  remembers
           - {{ \"id\": 6 }}
           + {{ \"id\": 7 }}

new  shopify/remember/it-keeps-the-payload
     0 calls in 2 asks [USE]
     = done: remembered
2 cases: 1 ok, 1 new, without a transcript: `--bless` writes down what happened"
        )
    );
}

#[test]
fn results_are_for_machines_too() {
    let folder = Folder::new().with("cases/shopify/ask/nothing-is-expected/payload.json", PAYLOAD);
    let said = folder.tandem("test cases --rules acme.wasm --allow-new --json");
    assert_eq!((said.status, &*said.stderr), (0, ""));
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&said["passed"], &said["failed"], &said["new"]), (&json!(1), &json!(0), &json!(1)));
    assert_eq!(said["rules"]["name"], "hostile");
    let (new, case) = (&said["cases"][0], &said["cases"][1]);
    assert_eq!(
        (&case["name"], &case["result"], &case["outcome"], &case["wrong"]),
        (&json!("shopify/ask/omneo-is-asked"), &json!("passed"), &json!("done"), &Value::Null)
    );
    assert_eq!(case["calls"], json!([{"call": "GET omneo /profiles", "body": null, "answered": true}]));
    assert!(case["use"]["fuel"]["used"].as_u64() > Some(0) && case["use"]["log"]["max"] == json!(16 << 10), "{case:#}");
    assert_eq!((&new["result"], &new["missing"]), (&json!("new"), &json!(["GET omneo /profiles"])));
    folder.write(&format!("{CASE}/transcript.http"), "= done: nothing\n");
    let said = folder.tandem("test cases --rules acme.wasm --json");
    assert_eq!((said.status, &*said.stderr), (1, "error: 1 of 2 cases failed\n"));
}

#[test]
fn what_the_other_side_would_refuse_fails_before_it_is_deployed() {
    for (topic, call, why) in [
        ("incomplete", "POST omneo /profiles/search-id", "the body lacks `id`, which is required"),
        ("ungrammatical", "shopify Read", "line 1, column "),
    ] {
        let said = of_topic(topic, "");
        assert_eq!(said.status, 1, "{said:?}");
        assert!(said.stderr.contains(&format!("\nwould be refused: {call}: {why}")), "{said:?}");
    }
    // What nobody here knows is a note: Omneo may have it.
    let said = of_topic("misspelt", "");
    let note = "\nnote: GET omneo /profile/7: neither Omneo's documentation nor its SDK has `/profile/7`\n";
    assert!(said.status == 0 && said.stderr.contains(note), "{said:?}");
    assert_eq!(of_topic("unheard", "").status, 0);
    let folder = Folder::new()
        .with("admin.graphql", "schema { query: QueryRoot } type QueryRoot { shop: Shop } type Shop { id: ID }");
    let schema = folder.path("admin.graphql");
    let said = of_topic("unheard", &format!("--schema {}", schema.display()));
    assert!(said.status == 1 && said.stderr.contains("does not have a field `mood`"), "{said:?}");
    assert_eq!(
        folder.with("admin.json", "{}").tandem("test cases --rules acme.wasm --schema admin.json"),
        is_wrong(
            "error: the schema `admin.json` is JSON\nhint: give it in GraphQL's own language (`type QueryRoot { … }`), which tools for introspection can print\n"
        )
    );
}

/// In a terminal of its own, which `script` makes.
#[cfg(target_os = "linux")]
#[test]
fn what_is_over_a_limit_is_red() {
    for (topic, meter) in [("endless", "fuel"), ("greedy", "memory"), ("verbose", "output"), ("loud", "log")] {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write(&format!("cases/shopify/{topic}/it-is-too-much/payload.json"), r#"{"id":7}"#);
        let typed = format!("{} test cases --allow-new --rules {}", env!("CARGO_BIN_EXE_tandem"), hostile().display());
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &typed, "/dev/null"])
            .current_dir(folder.0.path())
            .env_remove("NO_COLOR")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("\u{1b}[31m{meter} ")), "{said}");
        // What is logged too much is cut, and the rest goes on.
        assert_eq!(output.status.code() == Some(0), topic == "loud", "{said}");
    }
}

#[test]
fn what_cannot_be_tested_is_named_with_its_fix() {
    let folder = Folder::new();
    folder.write("cases/omneo/profile.updated/it-has-no-body/transcript.http", "= ?\n");
    folder.write("cases/shopify/remember/omneo-is-asked/payload.json", "{}");
    folder.write("cases/shopify/orders-paid/it-is-not-json/payload.json", "{");
    // Each is a failure of its own, and the others run; a filter lets through what it names.
    let holds = "ok   shopify/ask/omneo-is-asked\n     1 call in 3 asks [USE]\n";
    assert_eq!(
        folder.tandem("test cases --rules acme.wasm"),
        fails(
            &format!(
                "FAIL omneo/profile.updated/it-has-no-body
     the case `cases/omneo/profile.updated/it-has-no-body` has no `payload.json`
     hint: put the body of the webhook there, or remove the folder
{holds}FAIL shopify/orders-paid/it-is-not-json
     `cases/shopify/orders-paid/it-is-not-json/payload.json` is not JSON: EOF while parsing an object at line 1 column 1
     hint: put the body of the webhook there as it was sent
FAIL shopify/remember/omneo-is-asked
     two cases of one name: `cases/shopify/ask/omneo-is-asked` and `cases/shopify/remember/omneo-is-asked`
     hint: rename one: its name says what it shows
4 cases: 1 ok, 3 failed
"
            ),
            "error: 3 of 4 cases failed\n"
        )
    );
    assert_eq!(folder.tandem("test cases ask/ --rules acme.wasm"), prints(&format!("{holds}1 case: 1 ok\n")));
    let said = folder.tandem("test cases it-is-not --rules acme.wasm --json");
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&json["failed"], &json["cases"][0]["result"]), (&json!(1), &json!("failed")), "{json}");
    // So is a rules file of a case's own.
    folder.write(&format!("{CASE}/rules.toml"), "tags = \n");
    let said = folder.tandem("test cases shopify/ask --rules acme.wasm");
    assert!(said.status == 1 && said.stdout.starts_with("FAIL shopify/ask/omneo-is-asked\n"), "{said:?}");
    // A folder that cannot be written to is not the rules' fault.
    #[cfg(target_os = "linux")]
    {
        let folder = Folder::new();
        let after = folder.path(&format!("{CASE}/memory.after.json"));
        std::os::unix::fs::symlink("/proc/sys/kernel/ostype", after).unwrap();
        let said = folder.tandem("test cases --rules acme.wasm --bless");
        assert!(said.status == 2 && said.stderr.starts_with("error: writing `"), "{said:?}");
    }
    let folder = Folder::new();
    for (arguments, said) in [
        (
            "test no --rules acme.wasm",
            "error: reading the folder `no`: No such file or directory (os error 2)\nhint: name a folder of cases, or one case\n",
        ),
        (
            "test cases --rules no.toml",
            "error: reading the rules `no.toml`: No such file or directory (os error 2)\nhint: check the name; it counts from the folder you are in\n",
        ),
        (
            "test cases --rules no.wasm",
            "error: reading plugin `no.wasm`: No such file or directory (os error 2)\nhint: check the name; it counts from the folder you are in\n",
        ),
        ("test cases other --rules acme.wasm", "error: no case below `cases` has `other` in its name\n"),
        (
            "test cases --rules a.wasm --base b.wasm",
            "error: `--base` goes with a rules file, and `a.wasm` is a plugin\nhint: leave `--base` out\n",
        ),
        (
            "test --rules acme.wasm --topic carts/update",
            "error: what standard input gave is not JSON: EOF while parsing a value at line 1 column 0\nhint: give the body of a webhook: `tandem test … < body.json`\n",
        ),
    ] {
        assert_eq!(folder.tandem(arguments), is_wrong(said), "{arguments}");
    }
    assert_eq!(folder.tandem("test --rules acme.wasm").status, 2);
    assert_eq!(folder.tandem("test cases --rules acme.wasm --json --trace").status, 2);
    // The rules are what is wrong.
    folder.write("acme.toml", "timezne = \"UTC\"\n");
    let said = folder.tandem("test cases --rules acme.toml");
    assert!(
        said.status == 1 && said.stderr.starts_with("error: unknown key `timezne`\n --> acme.toml:1:1\n"),
        "{said:?}"
    );
    folder.write("acme.wasm", "hello");
    let said = folder.tandem("test cases --rules acme.wasm");
    assert!(
        said.status == 1 && said.stderr.starts_with("error: plugin `acme.wasm`: this is not WebAssembly"),
        "{said:?}"
    );
}

#[test]
fn a_change_of_rules_or_cases_is_tested_at_once() {
    let folder = Folder::new();
    let mut child = folder.command("test cases --rules acme.wasm --watch").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |end: &str| {
        assert_eq!(lines.find(|line| line.starts_with("1 case: ")).unwrap(), end);
        assert!(errors.any(|line| line == "waiting for a change; ctrl-c ends this"));
    };
    next("1 case: 1 ok");
    let transcript = format!("{CASE}/transcript.http");
    folder.write(&transcript, &ASKED.replace("answered 200", "answered 204"));
    next("1 case: 0 ok, 1 failed");
    folder.write(&transcript, ASKED);
    next("1 case: 1 ok");
    // The rules have changed, if only in their date.
    std::fs::copy(hostile(), folder.path("acme.wasm")).unwrap();
    next("1 case: 1 ok");
    // What cannot be read is said, and the next change is waited for.
    std::fs::remove_file(folder.path(&format!("{CASE}/payload.json"))).unwrap();
    next("1 case: 0 ok, 1 failed");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(unix)]
#[test]
fn a_plugin_is_built_before_its_cases_run_and_again_when_its_sources_change() {
    let folder = Folder::new().with("src/note", "one");
    std::fs::rename(folder.path("acme.wasm"), folder.path("made.wasm")).unwrap();
    let build = |more: &str| {
        let mut command = folder.command("test cases --rules acme.wasm --build");
        command.arg("cp made.wasm acme.wasm && cat src/note >> notes && ! grep broken src/note");
        command.args(more.split_whitespace());
        command
    };
    let said = build("").output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).ends_with("1 case: 1 ok\n"), "{said:?}");
    let mut child = build("--watch").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut waits = || assert!(errors.any(|line| line == "waiting for a change; ctrl-c ends this"));
    assert_eq!(lines.find(|line| line.starts_with("1 case: ")).unwrap(), "1 case: 1 ok");
    waits();
    folder.write("src/note", "two");
    assert_eq!(lines.find(|line| line.starts_with("1 case: ")).unwrap(), "1 case: 1 ok");
    waits();
    // A build that fails runs no case, and the next change is waited for.
    folder.write("src/note", "broken");
    waits();
    folder.write("src/note", "three");
    assert_eq!(lines.find(|line| line.starts_with("1 case: ")).unwrap(), "1 case: 1 ok");
    waits();
    assert!(folder.read("notes").ends_with("onetwobrokenthree"), "{}", folder.read("notes"));
    child.kill().unwrap();
    child.wait().unwrap();
}
