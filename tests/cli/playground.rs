//! `tandem try`, `tandem demo --keep` and what its lines for a shell open: `tandem trigger`, `tandem backup`, `tandem restore`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use super::{Folder, GOOD_RULES, Said};

#[test]
fn what_happens_is_played_against_both_sides_without_a_written_reply() {
    let folder = Folder::new().with("acme.toml", GOOD_RULES).with("order.json", "{\"id\": 7");
    let said = folder.tandem("try customers/update --edit first_name=Augusta --rules acme.toml");
    assert_eq!((said.status, &*said.stderr), (0, ""), "{said:?}");
    // The conversation, with the reply that nobody has written; and the field on both sides.
    for part in ["\nreason     to Omneo: first_name", "2. PUT omneo /profiles/", "attempt at ", "\n  < 200\n"] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
    let (_, sides) = said.stdout.split_once("both sides, before and after\n").unwrap();
    for side in ["Omneo profile ", "Shopify customer "] {
        let (_, of) = sides.split_once(side).unwrap();
        assert!(
            of.contains("  -  \"first_name\": \"Ada\",\n") && of.contains("  +  \"first_name\": \"Augusta\",\n"),
            "{of}"
        );
    }
    let said = folder.tandem("try orders/create orders/paid orders/cancelled --rules acme.toml --json");
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let ended = json["events"].as_array().unwrap().iter().filter(|event| event["source"] == "shopify");
    let ended: Vec<_> =
        ended.map(|event| [&event["topic"], &event["outcome"]].map(|text| text.as_str().unwrap())).collect();
    assert_eq!(ended, [["orders/create", "done"], ["orders/paid", "done"], ["orders/cancelled", "done"]]);
    assert_eq!(json["after"]["Omneo transaction 5500000001001"]["is_void"], true, "{json:#}");
    let refused = |status: i32, text: &str| Said { status, stdout: String::new(), stderr: format!("error: {text}\n") };
    for (arguments, expected) in [
        ("orders/piad", refused(2, "there is no topic `orders/piad`\nhint: did you mean `orders/paid`?")),
        ("carts/update", refused(1, "the rules do not listen to `carts/update` of shopify")),
        (
            "orders/paid --edit line_items.7.price=1",
            refused(2, "`--edit`: `line_items.7` is no member of its list, which has 2"),
        ),
        (
            "orders/paid --body order.json --edit line_items=1",
            refused(
                2,
                "`order.json` is not JSON: EOF while parsing an object at line 1 column 8\nhint: give the body of a webhook as it is sent",
            ),
        ),
        (
            "customers/update --edit first_name=Ada --edit first_name.x=1",
            refused(2, "`--edit`: `first_name.x` is inside of a value that is neither a list nor an object"),
        ),
        (
            "resync",
            refused(2, "`resync` is the host's own topic, which nobody sends\nhint: `serve --relink` brings it about"),
        ),
        (
            "orders/paid --body no.json",
            refused(
                2,
                "reading the body `no.json`: No such file or directory (os error 2)\nhint: check the name; it counts from the folder you are in",
            ),
        ),
        (
            "orders/paid --body order.json",
            refused(
                2,
                "`order.json` is not JSON: EOF while parsing an object at line 1 column 8\nhint: give the body of a webhook as it is sent",
            ),
        ),
    ] {
        assert_eq!(folder.tandem(&format!("try {arguments} --rules acme.toml")), expected, "{arguments}");
    }
    // An end that nobody expects is exit code 1, and none where it is asked for.
    folder.write("location.json", r#"{"id": 7, "name": "Fitzroy", "updated_at": "2026-03-04T15:00:00+11:00"}"#);
    let refused = "try locations/create --body location.json --rules acme.toml";
    let said = folder.tandem(refused);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.stderr.starts_with("error: locations/create is refused: location `Fitzroy` has no phone"), "{said:?}");
    assert_eq!(folder.tandem(&format!("{refused} --ends refused")).status, 0);
}

/// `tandem test --simulate`: the event comes from standard input, and nobody writes a reply.
#[test]
fn a_test_is_simulated_with_the_event_that_standard_input_has() {
    let folder = Folder::new().with("acme.toml", GOOD_RULES).with(
        "created.json",
        r#"{"id": 706405506, "email": "grace@hopper.dev", "first_name": "Grace", "last_name": "Hopper", "state": "enabled",
            "tags": "", "addresses": [], "created_at": "2026-03-04T05:06:07+11:00", "updated_at": "2026-03-04T05:06:07+11:00"}"#,
    );
    let simulated = |topic: &str, body: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["test", "--simulate", "--topic", topic, "--rules", "acme.toml", "--json"]);
        command.stdin(std::fs::File::open(folder.path().join(body)).unwrap());
        folder.run(command)
    };
    let said = simulated("customers/create", "created.json");
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    assert_eq!((said.status, &json["events"][0]["outcome"]), (0, &"done".into()), "{said:?}");
    let new = json["after"]
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| !json["before"].as_object().unwrap().contains_key(*name));
    let (name, profile) = new.expect("a profile is made in Omneo");
    assert!(name.starts_with("Omneo profile ") && profile["email"] == "grace@hopper.dev", "{json:#}");
    // A customer that is changed is there before, with that number.
    folder.write("updated.json", std::fs::read_to_string(folder.path().join("created.json")).unwrap());
    let said = simulated("customers/update", "updated.json");
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    let customer = |when: &str| json[when]["Shopify customer 706405506"]["first_name"].clone();
    assert_eq!((said.status, customer("before"), customer("after")), (0, "Ada".into(), "Grace".into()), "{said:?}");
    let profile = json["after"].as_object().unwrap().iter().find(|(name, _)| name.starts_with("Omneo profile "));
    assert_eq!(profile.unwrap().1["first_name"], "Grace", "{json:#}");
    // The same commands refuse the same mistakes.
    let said = simulated("customers/creat", "created.json");
    assert_eq!(
        (said.status, &*said.stderr),
        (2, "error: there is no topic `customers/creat`\nhint: did you mean `customers/create`?\n")
    );
    let said = simulated("customers/create", "acme.toml");
    assert!(said.status == 2 && said.stderr.starts_with("error: what standard input gave is not JSON: "), "{said:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(["test", "cases", "--simulate", "--rules", "acme.toml"]);
    assert_eq!(folder.run(command).status, 2, "what is simulated is one event");
}

/// A demo that is left running, and what it says for a shell.
struct Kept {
    demo: Child,
    variables: BTreeMap<String, String>,
}

impl Kept {
    fn open(folder: &Folder) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["demo", "--keep", "--rules", "acme.toml"]).current_dir(folder.path());
        // Dropped, it is ended and waited for.
        let demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut kept = Self { demo, variables: BTreeMap::new() };
        let mut played = vec![];
        for line in BufReader::new(kept.demo.stdout.take().unwrap()).lines().map(Result::unwrap) {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
                kept.variables.insert(name.to_owned(), value.to_owned());
            }
            if line.starts_with("tandem deploy ") {
                return kept;
            }
            played.push(line);
        }
        let mut why = String::new();
        kept.demo.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        panic!("the demo did not stay open:\n{}\n{why}", played.join("\n"));
    }

    fn tandem(&self, folder: &Folder, arguments: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments.split(' ')).envs(&self.variables);
        folder.run(command)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.demo.kill();
        let _ = self.demo.wait();
    }
}

/// A token, a configuration and secrets, each of which opens what it is for.
#[test]
fn a_demo_that_is_kept_is_a_host_to_play_with() {
    let rules = "timezone = \"Australia/Melbourne\"\n[tags]\nwhitelist = [\"vip\"]\n";
    let folder = Folder::new().with("acme.toml", rules).with("wrong.toml", "timezne = \"UTC\"\n");
    let kept = Kept::open(&folder);
    let names: Vec<_> = kept.variables.keys().map(String::as_str).collect();
    let expected = [
        "OMNEO_SECRET",
        "OMNEO_TOKEN",
        "OMNEO_URL",
        "SHOPIFY_CLIENT_ID",
        "SHOPIFY_SECRET",
        "SHOPIFY_URL",
        "TANDEM_CONFIG",
        "TANDEM_HOST",
        "TANDEM_TOKEN",
    ];
    assert_eq!(names, expected);
    // A signed webhook is taken in, and what came of it can be asked for.
    for topic in ["orders/paid --edit id=77 --edit total_price=84.90", "profile.updated"] {
        let said = kept.tandem(&folder, &format!("trigger {topic}"));
        assert!(said.status == 0 && said.stdout.ends_with(": 200\n"), "{said:?}");
    }
    let about = kept.tandem(&folder, "events --tenant acme --about order/77 --json");
    assert!(about.status == 0 && about.stdout.contains("\"topic\":\"orders/paid\""), "{about:?}");
    let meant = |topic: &str| format!("error: there is no topic `{topic}`\nhint: did you mean `orders/paid`?\n");
    for arguments in ["trigger order/paid", "trigger orders/piad --dry-run"] {
        let said = kept.tandem(&folder, arguments);
        let topic = arguments.split(' ').nth(1).unwrap();
        assert_eq!((said.status, said.stderr), (2, meant(topic)), "{arguments}");
    }
    for (arguments, said) in [
        ("events --tenant acme --topic order/paid", meant("order/paid")),
        (
            "retry acme --topic order/paid --yes",
            "error: tenant `acme` has no dead letter of this topic and cause\nhint: did you mean the topic `orders/paid`?\n".into(),
        ),
        (
            "replay --tenant acme --topic order/paid",
            "error: there is nothing to replay: no event of the topic `order/paid` is meant\nhint: did you mean `orders/paid`?\n".into(),
        ),
    ] {
        assert_eq!(kept.tandem(&folder, arguments).stderr, said, "{arguments}");
    }
    // A mistake in a rules file is shown in the file that was given.
    let said = kept.tandem(&folder, "deploy acme wrong.toml");
    assert!(said.status == 1 && said.stderr.contains("\n --> wrong.toml:1:1\n"), "{said:?}");
    // Whoever has another secret is told so.
    let config = std::fs::read_to_string(&kept.variables["TANDEM_CONFIG"]).unwrap();
    let secret = config.lines().find(|line| line.starts_with("client_secret = ")).unwrap();
    folder.write("other.toml", config.replace(secret, "client_secret = \"another\""));
    let said = kept.tandem(&folder, "trigger orders/paid --config other.toml");
    assert!(said.status == 1 && said.stderr.contains(" answered 401\nhint: that host has another secret"), "{said:?}");
    // A data request waits for an answer until somebody says that it has one.
    let said = kept.tandem(&folder, "trigger customers/data_request");
    assert!(said.status == 0, "{said:?}");
    let listed = kept.tandem(&folder, "events --tenant acme --topic customers/data_request --json");
    let requests: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let number = &requests[0]["id"];
    assert!(number.is_u64(), "{listed:?}");
    let answer = |number: &serde_json::Value| kept.tandem(&folder, &format!("data-request {number} --answered"));
    assert_eq!(answer(number).stdout, format!("event {number} is answered\n"));
    assert!(answer(number).stdout.ends_with(", as command line said\n"));
    assert!(answer(&1.into()).status == 1);
    // A copy of the running host's journal becomes a journal elsewhere.
    let said = kept.tandem(&folder, "backup copy.db");
    assert!(
        said.status == 0 && said.stdout.starts_with("copy.db: ") && said.stdout.ends_with(" looked through\n"),
        "{said:?}"
    );
    let restored = folder.tandem("restore copy.db --journal new.db");
    assert_eq!(restored.stdout.strip_prefix("new.db"), said.stdout.strip_prefix("copy.db"), "{restored:?}");
    let listed = folder.tandem("events --journal new.db --limit 500");
    assert!(listed.status == 0 && listed.stdout.contains("customers/create"), "{listed:?}");
    let again = folder.tandem("restore copy.db --journal new.db");
    assert!(again.status == 1 && again.stderr.contains("move the journal and what is beside it away"), "{again:?}");
}

#[test]
fn a_webhook_that_cannot_be_sent_says_why() {
    let config = super::config_with("rules = \"acme.toml\"").replace("127.0.0.1:0\"\nadmin", "127.0.0.1:1\"\nadmin");
    let folder = Folder::new().with("tandem.toml", config);
    let said = folder.tandem("trigger orders/paid");
    assert!(said.status == 1 && said.stderr.contains("hint: does the host run? `tandem serve"), "{said:?}");
    let said = folder.tandem("trigger orders/paid --tenant nobody");
    assert!(said.status == 1 && said.stderr.contains("there is no tenant `nobody`"), "{said:?}");
    let said = folder.tandem("trigger orders/paid --to https://tandem.example.org/webhooks/shopify");
    assert!(said.status == 1 && said.stderr.contains("is not plain HTTP"), "{said:?}");
    // What erases asks, and without a terminal takes a word.
    for (topic, what) in [
        ("shop/redact", "erase everything that it holds"),
        ("customers/redact", "redact everything that it holds of a person"),
        ("app/uninstalled", "pause the calls to the shop"),
    ] {
        let said = folder.tandem(&format!("trigger {topic}"));
        let expected = format!("error: this would have the host {what}, of tenant `acme`, and there is no terminal");
        assert!(said.status == 2 && said.stderr.starts_with(&expected), "{said:?}");
        let said = folder.tandem(&format!("trigger {topic} --yes"));
        assert!(said.status == 1 && said.stderr.contains("hint: does the host run?"), "{said:?}");
    }
    let said = folder.tandem("trigger orders/paid --to http://127.0.0.1:1/x");
    assert!(said.status == 1 && said.stderr.contains("hint: does a host listen at the address of `--to`?"), "{said:?}");
    folder.write("nobody.toml", "journal = \"tandem.db\"\n");
    let said = folder.tandem("trigger orders/paid --config nobody.toml");
    assert!(said.status == 2 && said.stderr.contains("`nobody.toml` has no tenant"), "{said:?}");
    // The body alone takes no configuration.
    let said = Folder::new().tandem("trigger orders/paid --edit total_price=10.00 --dry-run");
    let body: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.status, &body["total_price"]), (0, &"10.00".into()));
}

/// Rules of somebody's own may do nothing of what the story has them do.
#[test]
fn a_demo_stays_open_with_whatever_rules() {
    let folder = Folder::new().with("acme.toml", "[sync]\nshopify_to_omneo = false\n");
    let kept = Kept::open(&folder);
    let said = kept.tandem(&folder, "tenants");
    assert!(said.status == 0 && said.stdout.contains("acme"), "{said:?}");
}
