//! The commands that are asked of a running host, as they are typed: the real program against a real host, and against
//! what is none.

use crate::host;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::host::{Host, SECRET, hostile, shop};
use serde_json::{Value, json};
use tandem::admin;
use tandem::model::EventId;
use tandem::vault::Keys;
use tandem_standin::OmneoOptions;
use tempfile::TempDir;

/// What a command said.
#[derive(Debug, PartialEq)]
struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn is(&self, stdout: &str) {
        assert_eq!((self.status, self.stdout.as_str(), self.stderr.as_str()), (0, stdout, ""));
    }

    #[track_caller]
    fn fails(&self, status: i32, stderr: &str) {
        let stderr = format!("error: {stderr}\n");
        assert_eq!((self.status, self.stdout.as_str(), self.stderr.as_str()), (status, "", stderr.as_str()));
    }

    fn json(&self) -> Value {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Types a command; `token` is in the environment, if there is one.
async fn tandem(address: &str, token: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).env("TANDEM_HOST", address).env_remove("TANDEM_LOG").env_remove("TANDEM_TOKEN");
    if !token.is_empty() {
        command.env("TANDEM_TOKEN", token);
    }
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A host with two tenants, and tokens for it.
struct Desk {
    host: Host,
    address: String,
    operator: String,
    acme: String,
    folder: TempDir,
}

impl Desk {
    async fn open() -> Self {
        Self::of(Host::start(["acme", "other"].map(|tenant| (tenant.to_owned(), hostile()))).await).await
    }

    async fn of(host: Host) -> Self {
        let token = async |name: &str, tenant: Option<&str>| {
            let token = admin::new_token().unwrap();
            assert!(host.server.journal.add_token(name, tenant, &admin::hash(&token)).await.unwrap());
            token
        };
        let (operator, acme) = (token("ops", None).await, token("acme-1", Some("acme")).await);
        let address = format!("http://{}", host.server.admin.unwrap());
        Self { host, address, operator, acme, folder: tempfile::tempdir().unwrap() }
    }

    /// As an operator, in words without spaces.
    async fn ops(&self, line: &str) -> Said {
        tandem(&self.address, &self.operator, &line.split(' ').collect::<Vec<_>>()).await
    }

    /// With the token of acme.
    async fn acme(&self, line: &str) -> Said {
        tandem(&self.address, &self.acme, &line.split(' ').collect::<Vec<_>>()).await
    }

    async fn sent(&self, tenant: &str, topic: &str, id: u64) -> EventId {
        let event = self.host.event(tenant, topic, &json!({ "id": id }).to_string()).await;
        self.host.over(event).await;
        event
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        // Some of these are secrets, which others must not read.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    }
}

async fn component(rules: &str) -> Vec<u8> {
    let building = tandem::engine::building_engine().unwrap();
    tandem::bake::bake(&building, host::hostile_component(), "rules.toml", rules).await.unwrap().component
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_and_events_are_shown_as_a_journal_shows_them() {
    let desk = Desk::open().await;
    let mine = desk.sent("acme", "ask", 1).await;
    desk.sent("other", "good", 2).await;
    desk.ops("status").await.is("alive\nready\n");
    desk.ops("tenants").await.is("tenant  waiting  oldest  dead letters  stopped\nacme          0                     0\nother         0                     0\n");
    assert_eq!(desk.acme("tenants --json").await.json().as_array().unwrap().len(), 1);
    let shown = desk.acme("tenant show acme").await;
    assert!(
        shown.stdout.starts_with(
            "tenant       acme\nshop         acme.myshopify.com\nkept by      configuration\nversion      "
        ),
        "{shown:?}"
    );

    // The same words from the journal and from the host.
    let journal = desk.host.journal.display().to_string();
    for line in [
        "events --tenant acme".to_owned(),
        format!("events {mine} --tenant acme"),
        format!("events {mine} --tenant acme --json"),
    ] {
        let (asked, read) = (desk.ops(&line).await, desk.ops(&format!("{line} --journal {journal}")).await);
        assert_eq!(asked, read, "{line}");
        assert!(asked.status == 0 && asked.stdout.contains("acme"), "{asked:?}");
    }
    // A tenant's token needs no name.
    assert_eq!(desk.acme("events").await, desk.ops("events --tenant acme").await);
    desk.ops("events").await.fails(2, "no tenant is named\nhint: `--tenant NAME`; there are acme, other");
    assert!(desk.acme("events --topic good").await.stdout.starts_with("no events"));

    let top = desk.ops("top").await;
    let head = top.stdout.lines().next().unwrap_or_default();
    assert!(
        head.starts_with("tandem top  ") && head.ends_with(&format!("  2 tenants  waiting 0  {}", desk.address)),
        "{top:?}"
    );
    assert!(top.stdout.contains("\nacme ") && top.stdout.contains("\nother ") && top.status == 0, "{top:?}");

    let audit = desk.acme("audit --limit 1").await.stdout;
    assert!(
        audit.starts_with("at ") && audit.contains("command line  acme    token acme-1 created, for tenant acme\n"),
        "{audit}"
    );
    assert!(desk.ops("metrics").await.stdout.contains("tandem_webhooks_accepted_total{tenant=\"acme\""));
    assert_eq!(desk.ops("openapi").await.json()["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_added_changed_given_other_secrets_and_removed() {
    let keys = Keys::parse(&["0f".repeat(32)]).unwrap();
    let desk = Desk::of(Host::with(|config| config.keys = keys).await).await;
    let url = desk.host.omneo.url();
    let side = |token: &str| format!("url = \"{url}\"\ntoken = \"{token}\"\nwebhook_secrets = [\"{SECRET}\"]\n");
    let right = OmneoOptions::default().token;
    desk.file("omneo", right.as_bytes());
    let table = format!(
        "shop = \"{}\"\nlimits = {{ concurrent_calls = 2 }}\n[shopify]\n{}[omneo]\n{}",
        shop("new"),
        side(&right),
        side("file:omneo")
    );
    let table = desk.file("new.toml", table.as_bytes());
    desk.ops(&format!("tenant add new {table}"))
        .await
        .is("tenant new is added; its events wait for rules: `tandem deploy new FILE --activate`\n");
    let rules = desk.file("hostile.wasm", host::hostile_component());
    let deployed = desk.ops(&format!("deploy new {rules} --activate")).await;
    assert!(deployed.status == 0 && deployed.stdout.contains("\nnew runs "), "{deployed:?}");
    let event = desk.host.event("new", "ask", r#"{"id": 1}"#).await;
    assert_eq!(desk.host.over(event).await.outcome.as_deref(), Some("done"));

    let changed = desk.ops("tenant change new --shop b.myshopify.com --omneo-per-minute 60 --keep-days 30").await;
    assert!(changed.stdout.contains("MiB, kept for 30 days\n"), "{changed:?}");
    assert!(changed.stdout.contains("\nshop         b.myshopify.com\n"), "{changed:?}");
    assert!(changed.stdout.contains(", 60 calls a minute, token of 20"), "{changed:?}");
    let secret = desk.file("secret", b"another-secret\n");
    let changed = desk.ops(&format!("tenant secret new omneo {secret} --overlap-hours 2")).await;
    assert_eq!(changed.stdout.matches("webhook secret ").count(), 3, "{changed:?}");
    assert!(changed.stdout.contains(", until 20") && !changed.stdout.contains("another-secret"), "{changed:?}");
    let account = desk.ops("tenant show new --json").await.json();
    let old = account["omneo"]["webhook_secrets"][0]["id"].as_str().unwrap().to_owned();
    let ended = desk.ops(&format!("tenant end-secret new omneo {old}")).await;
    assert!(ended.status == 0 && !ended.stdout.contains(&old), "{ended:?}");
    assert_eq!(desk.ops(&format!("tenant token new omneo {secret}")).await.status, 0);
    let shown = desk.ops("tenant show new").await;
    assert!(
        shown
            .stdout
            .ends_with("\nwaiting      0\ndead letters 0\nshopify      takes calls\nomneo        takes calls\n"),
        "{shown:?}"
    );

    desk.ops("tenant remove new").await.fails(
        2,
        "this would remove tenant new, the shop b.myshopify.com, and there is no terminal to ask on\nhint: pass `--yes` if that is meant",
    );
    desk.ops("tenant remove new --yes")
        .await
        .is("tenant new is removed; what was not over is discarded, its tokens are revoked, and its name stays its shop's\n");
    desk.ops("tenants").await.is("no tenants\n");
    let wrong = desk.file("wrong.toml", table.replace(".toml", "").as_bytes());
    let wrong = desk.ops(&format!("tenant add new {wrong}")).await;
    assert!(wrong.status == 1 && wrong.stderr.starts_with("error: "), "{wrong:?}");
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_taken_up_and_put_away_by_whoever_means_it() {
    let desk = Desk::open().await;
    for id in 1..=3 {
        desk.sent("acme", "broken", id).await;
    }
    let stray = desk.sent("acme", "stray", 4).await;
    let shown = desk.acme("dead acme").await.stdout;
    assert!(shown.starts_with("3 dead letters of broken, failed by the plugin's fault, last 20"), "{shown}");
    assert!(shown.contains("\n  events 1, 2 and 3\n\n1 dead letter of stray, "), "{shown}");
    let causes = desk.acme("dead acme --json").await.json();
    let cause = causes[0]["cause"].as_str().unwrap().to_owned();

    desk.acme("retry acme --topic broken --dry-run").await.is("would take up again: events 1, 2 and 3\n");
    desk.acme("retry acme --all").await.fails(
        2,
        "this would take up again 4 dead letters: events 1, 2, 3 and 4, and there is no terminal to ask on\nhint: pass `--yes` if that is meant",
    );
    let said =
        tandem(&desk.address, &desk.acme, &["retry", "acme", "--topic", "broken", "--cause", &cause, "--yes"]).await;
    said.is("taken up again: events 1, 2 and 3\n");
    for event in 1..=3 {
        desk.host.over(EventId(event)).await;
        assert_eq!(desk.host.show(EventId(event)).1.len(), 2);
    }
    desk.acme("retry acme 2").await.is("taken up again: event 2\n");

    let why = ["discard", "acme", "4", "--why", "settled by hand"];
    tandem(&desk.address, &desk.acme, &why).await.is("put away: event 4\n");
    assert_eq!(desk.host.row(stray).outcome.as_deref(), Some("discarded"));
    let gone = "event 4 is no dead letter: it is discarded\nhint: `tandem replay --tenant acme --send` puts events that are over through the rules once more";
    tandem(&desk.address, &desk.acme, &why).await.fails(1, gone);
    let nothing = desk.acme("retry acme").await;
    assert!(
        nothing.status == 2 && nothing.stderr.contains("<EVENT|--topic <TOPIC>|--cause <CAUSE>|--all>"),
        "{nothing:?}"
    );
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_paused_and_resumed() {
    let desk = Desk::open().await;
    desk.ops("pause acme omneo --why migration")
        .await
        .is("omneo of acme gets no calls until `tandem resume acme omneo`\n");
    desk.acme("targets acme").await.is("target   now\nshopify  takes calls\nomneo    paused by ops: migration\n");
    desk.acme("resume acme omneo").await.is("omneo of acme takes calls\n");
    assert_eq!(
        desk.acme("targets acme --json").await.json()[1],
        json!({"target": "omneo", "paused": null, "held": null})
    );
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_is_held_dropped_and_runs_again() {
    let desk = Desk::open().await;
    let held = desk.acme("hold acme shopify --why migration").await;
    held.is("what comes from shopify to acme is held; 0 events waiting\n");
    let event = desk.host.event("acme", "good", r#"{"id": 1}"#).await;
    let shown = desk.acme("directions acme").await.stdout;
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[1].starts_with("shopify to omneo  is held        1  20"), "{shown}");
    assert!(lines[1].ends_with("  acme-1: migration"), "{shown}");
    assert_eq!(lines[2], "omneo to shopify  runs           0");
    desk.acme("run acme shopify --why done").await.is("what comes from shopify to acme runs; 1 event waiting\n");
    assert_eq!(desk.host.over(event).await.outcome.as_deref(), Some("done"));
    assert_eq!(desk.acme("drop acme shopify --why closing").await.status, 0);
    assert_eq!(desk.acme("directions acme --json").await.json()[0]["mode"], "drop");
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_are_put_and_every_proof_runs_them() {
    let desk = Desk::open().await;
    let folder = desk.folder.path().join("cases/shopify/say/it-says-hello");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("payload.json"), r#"{"id": 1}"#).unwrap();
    std::fs::write(folder.join("transcript.http"), "= done: bye\n").unwrap();
    let cases = desk.folder.path().join("cases").display().to_string();
    desk.acme(&format!("cases put acme {cases}")).await.is("acme has 1 case, which every proof runs\n");
    desk.acme("cases list acme").await.is("shopify/say/it-says-hello\n");
    let version = desk.file("a.wasm", &component("says = \"hello\"\n").await);
    let said = desk.acme(&format!("deploy acme {version}")).await;
    assert!(said.status == 1 && said.stderr.contains(": 1 of the tenant's cases fail\nhint: "), "{said:?}");
    assert!(said.stdout.contains("it-says-hello"), "{said:?}");
    desk.acme("cases remove acme").await.fails(
        2,
        "this would remove 1 case of acme, and there is no terminal to ask on\nhint: pass `--yes` if that is meant",
    );
    desk.acme("cases remove acme --yes").await.is("acme has no cases; it had 1 case\n");
    assert_eq!(desk.acme(&format!("deploy acme {version} --since 7d")).await.status, 0);
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_replayed_through_the_live_version_and_sent_by_whoever_means_it() {
    let desk = Desk::of(Host::on(host::hostile_component()).await).await;
    for id in 1..=2 {
        desk.sent("acme", "ask", id).await;
    }
    let sent = desk.host.omneo.requests().len();
    let compared = desk.acme("replay --tenant acme --from 1 --to 2").await;
    assert!(compared.status == 0 && compared.stdout.contains("2  identical"), "{compared:?}");
    let dry = desk.acme("replay --tenant acme --events 1,2,77 --send --dry-run").await;
    assert!(dry.stdout.starts_with("2 events through ") && dry.stdout.contains("\nevent 1 shopify ask\n"), "{dry:?}");
    assert!(dry.stdout.ends_with("left out, not in the journal: event 77\n"), "{dry:?}");
    let refused = desk.acme("replay --tenant acme --topic ask --send").await;
    assert!(
        refused.status == 2 && refused.stderr.contains("there is no terminal to ask on\nhint: pass `--yes`"),
        "{refused:?}"
    );
    assert_eq!(desk.host.omneo.requests().len(), sent);
    let done = desk.acme("replay --tenant acme --topic ask --send --yes").await;
    assert!(done.status == 0 && done.stdout.ends_with("\nbegin again: events 1 and 2\n"), "{done:?}");
    for event in 1..=2 {
        desk.host.over(EventId(event)).await;
        assert_eq!(desk.host.show(EventId(event)).1.len(), 2);
    }
    let which = desk.acme("replay --tenant acme").await;
    assert!(which.status == 2 && which.stderr.starts_with("error: it is not said which events\n"), "{which:?}");
    let nothing = tandem("", "", &["replay", "--tenant", "acme", "--send"]).await;
    assert!(
        nothing.status == 2 && nothing.stderr.starts_with("error: it is not said what to replay through\n"),
        "{nothing:?}"
    );
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_deployed_proved_activated_and_rolled_back() {
    let desk = Desk::open().await;
    desk.sent("acme", "say", 1).await;
    let good = desk.file("good.wasm", &component("says = \"hello\"\n").await);
    let bad = desk.file("bad.wasm", &component("traps = true\n").await);
    let said = desk.acme(&format!("deploy acme {bad} --activate")).await;
    assert!(said.status == 1 && said.stdout.contains("is new\n") && said.stdout.contains("1  failed"), "{said:?}");
    assert!(
        said.stderr.contains("is kept, and not active: 1 of 1 recorded events speak against it\nhint: "),
        "{said:?}"
    );

    let said = desk.acme(&format!("deploy acme {good} --require none --activate")).await;
    let (first, second) = said.stdout.split_once('\n').unwrap();
    assert!(first.ends_with("is new") && second.starts_with("acme runs "), "{said:?}");
    let noted = desk.acme(&format!("deploy acme {good} --require none --note winter")).await;
    assert!(noted.status == 0 && desk.acme("versions acme").await.stdout.contains("  winter\n"), "{noted:?}");
    let event = desk.sent("acme", "say", 2).await;
    let active = desk.host.row(event).version.unwrap();
    let listed = desk.acme("versions acme").await;
    assert!(listed.stdout.contains(&format!("* {}  ", &active[..12])), "{listed:?}");
    let came = format!("{}  activated\n", &active[..12]);
    assert!(listed.stdout.contains(&came) && listed.stdout.contains("\na roll back goes to "), "{listed:?}");
    assert!(desk.acme(&format!("prove acme {}", &active[..12])).await.stdout.contains("identical"));
    assert_eq!(desk.acme(&format!("prove acme {active} --kept --json")).await.json()["candidate"]["digest"], *active);
    let digest = |path: &str| {
        let bytes = std::fs::read(path).unwrap();
        hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes))
    };
    let bad_version = &digest(&bad)[..12];
    // The number alone is enough, though the token is for every tenant; to another tenant's it is not there.
    let shown = desk.ops(&format!("events {event} --json")).await.json();
    assert_eq!((&shown["id"], &shown["tenant"]), (&serde_json::json!(event), &serde_json::json!("acme")));
    let shadow = desk.acme(&format!("shadow begin acme {bad_version} --events 100")).await;
    assert!(shadow.stdout.starts_with(&format!("shadow {bad_version} since 20")), "{shadow:?}");
    assert!(desk.acme("shadow show acme").await.stdout.contains(", for 100 events\n"));
    let ended = desk.acme("shadow end acme").await;
    ended.is("the shadow of acme has ended: `tandem shadow show acme` says what it found\n");
    assert!(desk.acme("shadow show acme").await.stdout.contains("\nended 20"));
    desk.acme("shadow end acme").await.fails(1, "no shadow of tenant `acme` runs");
    desk.acme(&format!("restart acme {event}"))
        .await
        .fails(1, &format!("event {event} is over: {}", desk.host.row(event).outcome.unwrap()));
    // Somebody else was faster.
    let stale =
        desk.acme(&format!("activate acme {} --require none --expected {}", &active[..12], "0".repeat(64))).await;
    assert!(stale.status == 1 && stale.stderr.starts_with("error: "), "{stale:?}");
    let back = desk.acme("rollback acme").await;
    assert!(back.status == 0 && back.stdout.ends_with(&format!(", in place of {}\n", &active[..12])), "{back:?}");
    let nothing = desk.acme("rollback acme").await;
    assert_eq!((nothing.status, nothing.stdout.as_str()), (1, ""), "{nothing:?}");
    desk.acme("activate acme abcdef").await.fails(1, "tenant `acme` has no such version: `abcdef`\nhint: `tandem versions acme` lists its versions; 6 digits and more name one");

    let cut = desk.file("cut.wasm", &std::fs::read(&good).unwrap()[..1000]);
    let cut = desk.acme(&format!("deploy acme {cut}")).await;
    assert!(cut.status == 1 && cut.stdout.is_empty() && cut.stderr.starts_with("error: "), "{cut:?}");
    let rules = desk.file("wrong.toml", b"timezon = \"UTC\"\n");
    let wrong = desk.acme(&format!("deploy acme {rules}")).await;
    assert!(wrong.status == 1 && wrong.stderr.contains("timezon"), "{wrong:?}");
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_refuses_is_said_with_what_to_do() {
    let desk = Desk::open().await;
    let address = &desk.address;
    tandem(address, "", &["tenants"]).await.fails(1, &format!(
        "`{address}` wants a token\nhint: put it into `TANDEM_TOKEN`, or into a file that `--token-file` names; `tandem token create NAME`, beside the journal, makes one"
    ));
    tandem(address, "tandem_00", &["tenants"]).await.fails(1, &format!(
        "`{address}` does not take this token: it is not known there, or was revoked\nhint: `tandem token list`, beside the journal, shows those in force"
    ));
    desk.acme("metrics").await.fails(
        1,
        "this takes an operator's token, not a tenant's\nhint: `TANDEM_TOKEN` or `--token-file` gives another token",
    );
    // Another tenant is as unknown as one that is not there.
    for name in ["other", "nobody"] {
        desk.acme(&format!("targets {name}")).await.fails(1, &format!(
            "there is no tenant `{name}`, or the token is not for it\nhint: `tandem tenants` lists those that it is for"
        ));
    }
    // From a file, and over what the environment says.
    let file = desk.file("token", format!("{}\n", desk.acme).as_bytes());
    let said = tandem(address, "tandem_00", &["tenants", "--token-file", &file, "--json"]).await;
    assert_eq!(said.json()[0]["tenant"], "acme");
    let empty = desk.file("empty", b"\n");
    tandem(address, "", &["tenants", "--token-file", &empty])
        .await
        .fails(2, "the token is none: it is one word\nhint: is it the right file, or variable?");
    let missing = tandem(address, "", &["tenants", "--token-file", "no"]).await;
    assert!(missing.status == 2 && missing.stderr.starts_with("error: reading the token `no`: "), "{missing:?}");

    // Where webhooks go.
    let intake = format!("http://{}", desk.host.server.address);
    let said = tandem(&intake, &desk.operator, &["tenants"]).await;
    let expected =
        format!("error: `{intake}` answers 404, and not as the admin API of a Tandem host does\nhint: webhooks have");
    assert!(said.status == 1 && said.stderr.starts_with(&expected), "{said:?}");
    let sealed = address.replace("http", "https");
    let said = tandem(&sealed, &desk.operator, &["tenants"]).await;
    assert!(said.status == 1 && said.stderr.contains("\nhint: does it speak plain http?"), "{said:?}");
    desk.host.stop().await;
    let said = tandem(address, &desk.operator, &["tenants"]).await;
    assert!(said.stderr.starts_with(&format!("error: no answer from `{address}`: ")), "{said:?}");
    assert!(
        said.stderr.ends_with("\nhint: is `tandem serve` running there? its log says where the admin API listens\n")
    );
}

/// Answers whoever asks with this status, these headers and this body.
fn answering(head: &str, body: &str) -> String {
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = vec![];
            let mut some = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut some) {
                    Ok(n) if n > 0 => request.extend_from_slice(&some[..n]),
                    _ => break,
                }
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_host_or_another_version_is_told_apart() {
    let asked = async |head: &str, body: &str| {
        let address = answering(head, body);
        let said = tandem(&address, "tandem_00", &["tenants"]).await;
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{said:?}");
        said.stderr.replace(&address, "[HOST]")
    };
    const OTHER: &str = "server: tandem/9.0.0";
    const PROBLEM: &str = "server: tandem/9.0.0\r\ncontent-type: application/problem+json";
    let version = format!(
        "hint: the host is tandem/9.0.0, this is tandem/{}: use the `tandem` of its version\n",
        env!("CARGO_PKG_VERSION")
    );
    let moved = asked("307 x\r\nlocation: https://elsewhere.example/", "").await;
    let to = "error: `[HOST]` answers 307 and sends on to `https://elsewhere.example/`, where the token is not taken\nhint: ";
    assert!(moved.starts_with(to), "{moved}");
    let proxy = asked("502 x\r\nserver: nginx", "bad gateway").await;
    assert!(proxy.starts_with("error: `[HOST]` answers 502, and not as the admin API"), "{proxy}");
    let nothing = r#"{"type": "urn:tandem:problem:no-address", "detail": "whatever it says"}"#;
    let unknown = asked(&format!("404 x\r\n{PROBLEM}"), nothing).await;
    assert_eq!(unknown, format!("error: `[HOST]` does not know `GET /v1/tenants`\n{version}"));
    let other = asked(&format!("200 x\r\n{OTHER}"), r#"[{"name": "a"}]"#).await;
    assert!(other.starts_with("error: the host's answer is not what it should be: "), "{other}");
    assert!(other.ends_with(&version), "{other}");
    let field = asked(&format!("422 x\r\n{OTHER}"), "unknown field `x`").await;
    assert_eq!(field, format!("error: `[HOST]` answers 422: unknown field `x`\n{version}"));
    let long = asked(&format!("413 x\r\n{OTHER}"), "length limit exceeded").await;
    assert_eq!(long, "error: the file is longer than `[HOST]` takes\nhint: length limit exceeded\n");
    let trick = asked(&format!("409 x\r\n{PROBLEM}"), "{\"detail\": \"a\\u001b[2Jb\"}").await;
    assert_eq!(trick, "error: a\u{fffd}[2Jb\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_that_should_not_be() {
    let said = tandem("http://ops.example.org", "tandem_secret", &["tenants"]).await;
    assert!(said.status == 2 && said.stderr.starts_with("error: the token would travel in the clear to"), "{said:?}");
    assert!(!said.stderr.contains("tandem_secret"), "{said:?}");
    tandem("", "", &["tenants"]).await.fails(2, "this is asked of a running host, and none is named\nhint: `tandem --host http://127.0.0.1:8081 …`, or that address in `TANDEM_HOST`");
    tandem("", "", &["--host", "127.0.0.1:8081", "tenants"]).await.fails(2, "`127.0.0.1:8081` is no address of a host: relative URL without a base\nhint: write it as `http://127.0.0.1:8081` or `https://ops.example.org`");
    tandem("", "", &["--host", "http://127.0.0.1:1", "token", "list"]).await.fails(2, "this command works on this machine, and asks no host\nhint: leave `--host` out, and run it where the files are");
    tandem("", "", &["--host", "http://127.0.0.1:1", "events", "--journal", "a.db"])
        .await
        .fails(2, "`--host` contradicts `--journal`: either asks, or reads\nhint: leave one of them out");
    // There is no way to give the token where others of the machine could read it.
    assert_eq!(tandem("", "", &["--token", "tandem_00", "tenants"]).await.status, 2);
}

/// A command whose reader has gone away: standard output is a pipe that nobody reads.
fn unread(address: &str, token: &str, arguments: &str, folder: &std::path::Path) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments.split(' ')).current_dir(folder).env("TANDEM_HOST", address).env("TANDEM_TOKEN", token);
    let child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_nobody_reads_ends_without_a_word() {
    let desk = Desk::open().await;
    desk.sent("acme", "broken", 1).await;
    let component = desk.file("acme.wasm", host::hostile_component());
    let journal = desk.host.journal.display().to_string();
    let on_journal = format!("--journal {journal}");
    let table = [
        "status".to_owned(),
        "tenants".to_owned(),
        "tenants --json".to_owned(),
        "tenant show acme".to_owned(),
        "events --tenant acme".to_owned(),
        "events 1".to_owned(),
        format!("events {on_journal}"),
        "dead acme".to_owned(),
        "retry acme 1 --dry-run".to_owned(),
        "targets acme".to_owned(),
        "pause acme omneo --why a-test".to_owned(),
        "resume acme omneo".to_owned(),
        "directions acme".to_owned(),
        "run acme shopify --why a-test".to_owned(),
        "versions acme".to_owned(),
        "cases list acme".to_owned(),
        "audit".to_owned(),
        "metrics".to_owned(),
        "openapi".to_owned(),
        "top".to_owned(),
        format!("token list {on_journal}"),
        format!("token create one {on_journal}"),
        format!("inspect {component}"),
        format!("build --base {component}"),
        "new a-plugin --lang js".to_owned(),
    ];
    for line in table {
        let (address, operator, folder) = (desk.address.clone(), desk.operator.clone(), desk.folder.path().to_owned());
        // What asks no host must not be told of one.
        let ran = line.clone();
        let ran = tokio::task::spawn_blocking(move || unread(&address, &operator, &ran, &folder)).await.unwrap();
        assert_eq!(ran, (141, String::new()), "tandem {line}");
    }
    desk.host.stop().await;
}
