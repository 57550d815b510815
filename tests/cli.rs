//! The `tandem` command as it is typed: arguments in; standard output, standard error and status out, compared whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use tandem::journal::{Activation, Cause, Journal};
use tandem::model::{Blame, Failure, Webhook};
use tandem::scheduler::{Closer, Try};
use tempfile::TempDir;

mod build;
mod packaging;
mod playground;

const GOOD_RULES: &str = "timezone = \"UTC\"\n";

/// A folder that commands are typed in.
struct Folder(TempDir);

/// What a command said. The folder's own path is `[DIR]`, a digest `[SHA256]`, and a size `[N]`.
#[derive(Debug, PartialEq)]
struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path().join(name), text).unwrap();
        self
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    fn tandem(&self, arguments: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments.split_whitespace());
        self.run(command)
    }

    /// What `tandem serve` says beside its log when it does not go on.
    fn served(&self) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["serve"]).env("TANDEM_LOG", "off");
        self.said(command)
    }

    fn run(&self, mut command: Command) -> Said {
        command.env_remove("TANDEM_LOG");
        self.said(command)
    }

    fn said(&self, mut command: Command) -> Said {
        let output = command.current_dir(self.path()).env_remove("NO_COLOR");
        let output = output.output().unwrap();
        let text = |bytes: Vec<u8>| self.masked(&String::from_utf8(bytes).unwrap());
        Said { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn masked(&self, text: &str) -> String {
        let text = text.replace(&self.path().display().to_string(), "[DIR]");
        let word = |word: &str| match word.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_hexdigit()) => "sha256:[SHA256]".to_owned(),
            _ => word.to_owned(),
        };
        let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }
}

fn fails(stderr: &str) -> Said {
    Said { status: 1, stdout: String::new(), stderr: stderr.to_owned() }
}

fn wrong_arguments(stderr: &str) -> Said {
    Said { status: 2, ..fails(stderr) }
}

fn prints(stdout: &str) -> Said {
    Said { status: 0, stdout: stdout.to_owned(), stderr: String::new() }
}

/// A component that `tandem build` has made of good rules, once for all tests.
fn component() -> &'static [u8] {
    static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = Folder::new().with("acme.toml", GOOD_RULES);
        let said = folder.tandem("build acme.toml -o acme.wasm");
        assert_eq!((said.status, &*said.stderr), (0, ""));
        folder.read("acme.wasm")
    });
    &COMPONENT
}

#[test]
fn without_arguments_it_says_what_there_is() {
    let said = Folder::new().tandem("");
    assert_eq!((said.status, &*said.stdout), (2, ""));
    let (about, rest) = said.stderr.split_once("\n\nUsage: tandem [OPTIONS] <COMMAND>\n\nWrite rules:\n").unwrap();
    assert_eq!(about, "Keeps Shopify and Omneo CX in step, with each tenant's rules in a WebAssembly component");
    let commands: Vec<_> = rest.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    for command in ["serve", "demo", "build", "inspect", "events", "deploy", "hold", "--host"] {
        assert!(commands.contains(&command), "{commands:?}");
    }
    assert!(rest.contains("\n\nRun a host:\n") && rest.contains("\n\nOptions:\n"), "{rest}");
}

#[test]
fn wrong_arguments_are_named() {
    let folder = Folder::new();
    assert_eq!(
        folder.tandem("frobnicate"),
        wrong_arguments(
            "error: unrecognized subcommand 'frobnicate'\n\n\
             Usage: tandem [OPTIONS] <COMMAND>\n\n\
             For more information, try '--help'.\n"
        )
    );
    assert_eq!(
        folder.tandem("build"),
        wrong_arguments(
            "error: the following required arguments were not provided:\n  <RULES>\n\n\
             Usage: tandem build <RULES>\n\n\
             For more information, try '--help'.\n"
        )
    );
    assert_eq!(
        folder.tandem("events seven"),
        wrong_arguments(
            "error: invalid value 'seven' for '[EVENT]': invalid digit found in string\n\n\
             For more information, try '--help'.\n"
        )
    );
}

#[test]
fn it_knows_its_version() {
    assert_eq!(Folder::new().tandem("--version"), prints(&format!("tandem {}\n", tandem::version::TEXT)));
}

#[test]
fn a_missing_configuration_is_named() {
    let missing = |name: &str, hint: &str| {
        wrong_arguments(&format!(
            "error: reading the configuration `{name}`: No such file or directory (os error 2)\nhint: {hint}\n"
        ))
    };
    let folder = Folder::new();
    assert_eq!(folder.tandem("serve"), missing("tandem.toml", "`--config FILE` names another"));
    assert_eq!(folder.tandem("serve --config no.toml"), missing("no.toml", "`--config FILE` names another"));
    let hint = "`--journal FILE` names the journal itself, `--config FILE` another configuration";
    assert_eq!(folder.tandem("events"), missing("tandem.toml", hint));
}

#[test]
fn a_contradiction_names_both_lines_and_all_of_them_are_shown() {
    let config = r#"listen = "127.0.0.1:0"
[delivery]
timeout_ms = 9000
quiet_ms = 10
[tenants.acme]
shop = "acme.myshopify.com"
rules = "acme.toml"
component = "acme.wasm"
shopify = { token = "env:TANDEM_NO_SUCH_VARIABLE", webhook_secrets = ["s"] }
omneo = { url = "http://api.acme.getomneo.com/api/v3", token = "t", webhook_secrets = [] }
[tenants.zeta]
shop = "ACME.myshopify.com"
rules = "acme.toml"
shopify = { token = "t", webhook_secrets = ["s"] }
omneo = { url = "https://api.zeta.getomneo.com/api/v3", token = "t", webhook_secrets = ["o"] }
"#;
    let said = Folder::new().with("tandem.toml", config).tandem("serve");
    let shown: Vec<_> = said
        .stderr
        .lines()
        .filter(|line| ["error: ", " --> ", "  -->"].iter().any(|head| line.starts_with(head)))
        .collect();
    assert_eq!(
        shown,
        [
            "error: `quiet_ms = 10` contradicts `timeout_ms = 9000` in line 3: a read after it could overtake the write it asks about",
            " --> tandem.toml:4:12",
            "error: `rules` contradicts `component` in line 8: a tenant has one of them",
            " --> tandem.toml:7:9",
            "error: the environment variable `TANDEM_NO_SUCH_VARIABLE` is not set",
            " --> tandem.toml:9:21",
            "error: `http://api.acme.getomneo.com/api/v3` is not https",
            "  --> tandem.toml:10:17",
            "error: no webhook of omneo could be verified",
            "  --> tandem.toml:10:87",
            "error: tenant `zeta` has the shop `acme.myshopify.com`, which tenant `acme` has in line 6",
            "  --> tandem.toml:12:8",
        ]
    );
    // No start mends it, and systemd knows that by this code.
    assert_eq!((said.status, said.stdout.as_str()), (2, ""));
    assert!(
        said.stderr
            .contains("\n4 | quiet_ms = 10\n  |            ^^\nhint: make quiet_ms at least as long as timeout_ms\n"),
        "{}",
        said.stderr
    );
}

#[test]
fn set_up_says_what_it_lacks_before_it_asks_anybody() {
    let config = "[tenants.acme]\nshop = \"acme.myshopify.com\"\nrules = \"acme.toml\"\n[tenants.acme.shopify]\ntoken = \"t\"\nwebhook_secrets = [\"s\"]\n[tenants.acme.omneo]\nurl = \"https://omneo.example.org\"\ntoken = \"t\"\nwebhook_secrets = [\"s\"]\n";
    let folder = || Folder::new().with("tandem.toml", config);
    assert_eq!(
        folder().tandem("setup nobody"),
        fails("error: there is no tenant `nobody` in `tandem.toml`\nhint: it has acme\n")
    );
    assert_eq!(
        folder().tandem("setup acme"),
        fails(
            "error: it is not known where webhooks reach this host\nhint: pass `--address https://…`, or write `public_url = \"https://…\"` into `tandem.toml`\n"
        )
    );
    assert_eq!(
        folder().tandem("setup acme --address http://tandem.example.org"),
        fails(
            "error: `--address http://tandem.example.org` is no address that Shopify sends webhooks to\nhint: write where a proxy with TLS listens: `https://tandem.example.org`\n"
        )
    );
    let public = format!("public_url = \"tandem\"\n{config}");
    assert_eq!(
        Folder::new().with("tandem.toml", &public).tandem("serve"),
        wrong_arguments(
            "error: `public_url = \"tandem\"` is no address that Shopify sends webhooks to\n --> tandem.toml:1:14\n  |\n1 | public_url = \"******\"\n  |              ^^^^^^^^\nhint: write where a proxy with TLS listens: `https://tandem.example.org`\n"
        )
    );
}

#[test]
fn an_unknown_key_of_the_configuration_is_named() {
    assert_eq!(
        Folder::new().with("tandem.toml", "\nlisen = \"127.0.0.1:0\"\n").tandem("serve"),
        wrong_arguments(
            "error: unknown key `lisen`\n --> tandem.toml:2:1\n  |\n2 | lisen = \"***********\"\n  | ^^^^^\nhint: did you mean `listen`?\n"
        )
    );
    assert_eq!(
        Folder::new().with("tandem.toml", "listen = [").tandem("serve"),
        wrong_arguments(
            "error: unclosed array, expected `]`\n --> tandem.toml:1:10\n  |\n1 | listen = [\n  |          ^\nhint: write `]`, where it ends\n"
        )
    );
}

/// A configuration whose only tenant has its rules from here.
fn config_with(rules: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n[tenants.acme]\nshop = \"acme.myshopify.com\"\n{rules}\n\
         shopify = {{ token = \"t\", webhook_secrets = [\"s\"] }}\n\
         omneo = {{ url = \"https://api.acme.getomneo.com/api/v3\", token = \"t\", webhook_secrets = [\"o\"] }}\n"
    )
}

const BAD_RULES: &str = "timezone = \"UTC\"\n[tags]\nwhitelst = [\"vip\"]\nprefix = 3\n[sync]\norders = \"no\"\n";
const BAD_RULES_SAID: &str = "error: unknown key `whitelst`
 --> acme.toml:3:1
  |
3 | whitelst = [\"vip\"]
  | ^^^^^^^^
hint: did you mean `whitelist`?

error: expected a text that is not empty, found `3`
 --> acme.toml:4:1
  |
4 | prefix = 3
  | ^^^^^^
hint: write `prefix = \"…\"`

error: expected true or false, found `\"no\"`
 --> acme.toml:6:1
  |
6 | orders = \"no\"
  | ^^^^^^
hint: write `orders = true` or `orders = false`
";

#[test]
fn every_mistake_in_the_rules_is_shown_in_its_line() {
    let folder = Folder::new().with("acme.toml", BAD_RULES).with("tandem.toml", config_with("rules = \"acme.toml\""));
    assert_eq!(folder.served(), fails(BAD_RULES_SAID));
    assert_eq!(folder.tandem("build acme.toml -o acme.wasm"), fails(BAD_RULES_SAID));
    assert!(!folder.path().join("acme.wasm").exists());
    assert_eq!(
        Folder::new().with("acme.toml", "# é\ntimezone = \"UTC\n").tandem("build acme.toml -o acme.wasm"),
        fails(
            "error: invalid basic string, expected `\"`\n --> acme.toml:2:16\n  |\n2 | timezone = \"UTC\n  |                ^\nhint: write `\"` here\n"
        )
    );
}

#[test]
fn missing_files_are_named() {
    let folder = Folder::new().with("acme.toml", GOOD_RULES);
    let missing = |doing: &str| {
        let hint = if doing.starts_with("writing") {
            "make its folder first"
        } else {
            "check the name; it counts from the folder you are in"
        };
        wrong_arguments(&format!("error: {doing}: No such file or directory (os error 2)\nhint: {hint}\n"))
    };
    assert_eq!(folder.tandem("build no.toml -o acme.wasm"), missing("reading the rules `no.toml`"));
    assert_eq!(folder.tandem("build acme.toml -o no/acme.wasm"), missing("writing `no/acme.wasm`"));
    assert_eq!(folder.tandem("build acme.toml --base no.wasm -o acme.wasm"), missing("reading plugin `no.wasm`"));
    assert_eq!(folder.tandem("inspect no.wasm"), missing("reading plugin `no.wasm`"));
    let folder = folder.with("tandem.toml", config_with("component = \"no.wasm\""));
    assert_eq!(folder.served(), missing("reading plugin `no.wasm`"));
    let folder = folder.with("tandem.toml", config_with("rules = \"no.toml\""));
    assert_eq!(folder.served(), missing("reading the rules `no.toml`"));
}

/// A command that cannot write what it is told to is wrong, whatever it writes: nobody can make a file in `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_ends_with_exit_code_2() {
    let folder = Folder::new().with("acme.toml", GOOD_RULES);
    let rules = folder.path().join("acme.toml").display().to_string();
    for arguments in [
        format!("build {rules} -o acme.wasm"),
        "schema -o rules.schema.json".to_owned(),
        "new vip --lang js".to_owned(),
        "serve --config /proc/no.toml".to_owned(),
        "token create ops --journal /proc/tandem.db".to_owned(),
        "events --journal /proc/tandem.db".to_owned(),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        let said = command.args(arguments.split_whitespace()).current_dir("/proc").output().unwrap();
        let stderr = String::from_utf8(said.stderr).unwrap();
        assert!(said.status.code() == Some(2) && said.stdout.is_empty(), "{arguments}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains("\nhint: "), "{arguments}: {stderr}");
    }
    let config = format!("journal = \"/proc/tandem.db\"\n{}", config_with("rules = \"acme.toml\""));
    let folder = folder.with("tandem.toml", config);
    let said = folder.served();
    assert!(said.status == 2 && said.stderr.contains("making the journal `/proc/tandem.db`"), "{said:?}");
}

/// A journal with two events: one that waits, and one that failed.
async fn journal(folder: &Folder) {
    let (journal, feeds, thread) = Journal::open(&folder.path().join("tandem.db")).unwrap();
    for (n, topic) in [(1, "customers/update"), (2, "orders/paid")] {
        let webhook = Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: topic.into(),
            delivery_id: Some(format!("b54557e{n}")),
            occurred_at: "2026-01-02T03:04:05Z".into(),
            received_at: 1_767_323_046_000 + n,
            api_version: "2026-07".into(),
            payload: format!(r#"{{"id":{n},"note":"a\u001b[31mb"}}"#),
        };
        journal.append(webhook).await.unwrap();
    }
    let reason = "the rules panicked\x1b[31m".to_owned();
    let failed = tandem::model::EventId(2);
    let failure = Failure::new(Blame::Plugin, reason);
    let orders = journal.orders("acme", 0);
    orders.close((failed, Try(0)), Closer::Host, failure, None).await.unwrap();
    drop(orders);
    drop((journal, feeds));
    thread.join().unwrap();
}

#[tokio::test]
async fn an_empty_journal_has_no_events() {
    let folder = Folder::new();
    drop(Journal::open(&folder.path().join("tandem.db")).unwrap());
    assert_eq!(folder.tandem("events --journal tandem.db"), prints("no events\n"));
    // By way of the configuration, whose secrets need not be there.
    let folder = folder.with("tandem.toml", config_with("rules = \"a.toml\"").replace("\"t\"", "\"env:NO_SUCH\""));
    assert_eq!(folder.tandem("events"), prints("no events\n"));
}

#[test]
fn a_journal_that_is_not_there_is_named() {
    let folder = Folder::new().with("acme.toml", GOOD_RULES);
    rusqlite::Connection::open(folder.path().join("other.db")).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    assert_eq!(
        folder.tandem("events --journal no.db"),
        wrong_arguments(
            "error: reading the journal `no.db`: No such file or directory (os error 2)\nhint: `tandem serve` makes it at its first start; `--journal FILE` names another\n"
        )
    );
    for other in ["acme.toml", "other.db"] {
        assert_eq!(
            folder.tandem(&format!("events --journal {other}")),
            wrong_arguments(&format!(
                "error: reading the journal `{other}`: this is no journal\nhint: `--journal FILE` names another\n"
            ))
        );
    }
    assert!(!folder.path().join("no.db").exists());
}

#[tokio::test]
async fn events_are_listed_and_shown_in_plain_text() {
    let folder = Folder::new();
    journal(&folder).await;
    let head = "event received (UTC)      tenant     topic                      about                    outcome  calls   reason\n";
    let waiting =
        "    1 2026-01-02 03:04:06 acme       customers/update                                    waiting          \n";
    let failed = "    2 2026-01-02 03:04:06 acme       orders/paid                                         failed           the rules panicked\u{fffd}[31m\n";
    assert_eq!(folder.tandem("events --journal tandem.db"), prints(&format!("{head}{waiting}{failed}")));
    let failed = format!("{head}{failed}");
    for filter in ["--outcome dead", "--outcome failed", "--topic orders/paid"] {
        assert_eq!(folder.tandem(&format!("events --journal tandem.db {filter}")), prints(&failed), "{filter}");
    }
    let page = folder.tandem("events --journal tandem.db --limit 1");
    let more = "the newest 1 are shown: `--before 2` shows the page before, `--limit` more of them\n";
    assert_eq!(page, Said { stderr: more.into(), ..prints(&failed) });
    let waiting = format!("{head}{waiting}");
    for filter in ["--outcome waiting", "--before 2", "--until 2026-01-02T03:04:06.002Z"] {
        assert_eq!(folder.tandem(&format!("events --journal tandem.db {filter}")), prints(&waiting), "{filter}");
    }
    for filter in ["--since 2026-01-03", "--about customer/1"] {
        assert_eq!(folder.tandem(&format!("events --journal tandem.db {filter}")), prints("no events\n"), "{filter}");
    }
    assert_eq!(folder.tandem("events --journal tandem.db --tenant zeta"), prints("no events\n"));
    let said = folder.tandem("events 2 --journal tandem.db");
    assert_eq!((said.status, &*said.stderr), (0, ""));
    let (before, _ended) = said.stdout.split_once("\nended ").unwrap();
    assert_eq!(
        before,
        "event      2
tenant     acme
topic      shopify orders/paid
delivery   b54557e2
occurred   2026-01-02T03:04:05Z
received   2026-01-02T03:04:06.002Z
outcome    failed
blame      plugin
reason     the rules panicked\u{fffd}[31m"
    );
    assert!(said.stdout.ends_with("payload\n{\n  \"id\": 2,\n  \"note\": \"a\\u001b[31mb\"\n}\n"), "{}", said.stdout);
    assert_eq!(
        folder.tandem("events 999 --journal tandem.db"),
        fails("error: there is no event 999 in `tandem.db`\nhint: `tandem events` lists them\n")
    );
}

#[tokio::test]
async fn versions_are_listed_with_what_was_active_and_why() {
    let folder = Folder::new();
    let (journal, feeds, thread) = Journal::open(&folder.path().join("tandem.db")).unwrap();
    assert_eq!(
        folder.tandem("versions acme --journal tandem.db"),
        fails(
            "error: tenant `acme` has no versions in `tandem.db`\n\
             hint: `tandem serve` keeps the one that the configuration names\n"
        )
    );
    let activation = |digest: &str, cause| Activation {
        tenant: "acme".into(),
        digest: digest.into(),
        cause,
        fixed: BTreeMap::new(),
        relink: false,
        expected: None,
        failures_max: None,
        configured: None,
    };
    let (one, two) = ("a".repeat(64), "b".repeat(64));
    let manifest = r#"{"name": "default", "version": "1", "listens": [], "targets": [], "settings": []}"#;
    for (digest, cause) in [(&one, Cause::Configured), (&two, Cause::Activated)] {
        journal.deploy("acme", digest, manifest.into(), b"wasm".to_vec(), None).await.unwrap();
        journal.activate(activation(digest, cause)).await.unwrap().unwrap();
    }
    let list = || {
        let said = folder.tandem("versions acme --journal tandem.db");
        assert_eq!((said.status, &*said.stderr), (0, ""));
        // Versions of one millisecond stand in the order of their digests.
        said.stdout.replace(|c: char| c.is_ascii_digit(), "0")
    };
    let deployed = "deployed 0000-00-00 00:00:00";
    assert_eq!(
        list(),
        format!(
            "  aaaaaaaaaaaa  default 0                {deployed}\n\
             * bbbbbbbbbbbb  default 0                {deployed}\n\n\
             0000-00-00 00:00:00  bbbbbbbbbbbb  activated\n\
             0000-00-00 00:00:00  aaaaaaaaaaaa  the configuration named it\n\n\
             a roll back goes to aaaaaaaaaaaa\n"
        )
    );
    journal.roll_back(activation(&one, Cause::RolledBack)).await.unwrap().unwrap();
    let rolled_back = list();
    assert!(rolled_back.starts_with("* aaaaaaaaaaaa"), "{rolled_back}");
    assert!(rolled_back.ends_with("\nthere is nothing to roll back to\n"), "{rolled_back}");
    drop((journal, feeds));
    thread.join().unwrap();
}

/// In a terminal of its own, which `script` makes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn colours_are_for_terminals_and_not_for_who_wants_none() {
    let folder = Folder::new();
    journal(&folder).await;
    let in_terminal = |before: &str| {
        let mut command = Command::new("script");
        let typed = format!("{before} {} events --journal tandem.db", env!("CARGO_BIN_EXE_tandem"));
        command.args(["--quiet", "--return", "--command", &typed, "/dev/null"]);
        folder.run(command).stdout
    };
    assert!(in_terminal("").contains("\x1b[31mfailed  \x1b[0m"));
    assert!(!in_terminal("NO_COLOR=1").contains('\x1b'));
    assert!(!folder.tandem("events --journal tandem.db").stdout.contains('\x1b'));
}

#[test]
fn the_log_begins_with_what_runs_and_can_be_json() {
    // A journal in a folder that is not there: the host ends at once.
    let config = "listen = \"127.0.0.1:0\"\njournal = \"no/such/tandem.db\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let folder = Folder::new().with("tandem.toml", config);
    let served = |format: &str, filter: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.arg("serve").current_dir(folder.path()).env("TANDEM_LOG", filter).env("TANDEM_LOG_FORMAT", format);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, log) = served("json", "info");
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let expected = ["starting", env!("CARGO_PKG_VERSION"), "tandem.toml", "no/such/tandem.db"];
    assert_eq!(["message", "version", "configuration", "journal"].map(|key| first[key].as_str().unwrap()), expected);
    assert!(first["commit"].is_string(), "{first}");
    let (_, log) = served("text", "info");
    assert!(log.lines().next().unwrap().contains(" starting version="), "{log}");
    for (format, filter, why) in
        [("xml", "info", "`TANDEM_LOG_FORMAT=xml` is no format"), ("", "loud", "`loud` is no level")]
    {
        let (status, said) = served(format, filter);
        assert!(
            status == 2 && said.starts_with("error: ") && said.contains(why) && said.contains("\nhint: "),
            "{said}"
        );
    }
}
