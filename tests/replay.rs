//! Recorded events through a candidate version: what is identical, what is not, and what cannot be compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::hostile;
use crate::town::{RULES, Town, order, plugin};
use serde_json::{Value, json};
use tandem::journal::{Activation, Asked, At, Cause, Journal, Known, Range, Reader};
use tandem::model::{Answer, Call, Effect, End, Entity, EventId, Method, Names, Outcome, Reply, Request, Webhook};
use tandem::paint::Paint;
use tandem::replay::{self, Class, Replay, Report, Require};
use tandem::rules::Plugin;
use tandem::scheduler::{Beginning, Input, Ticket, Try};
use tandem_standin::{Fault, Rule};

fn replayed(journal: &Path, candidate: &Plugin) -> Report {
    let replay = Replay { tenant: "acme", range: Range::Last(u64::MAX), candidate, with_values: false };
    replay.run(&Reader::open(journal).unwrap(), |_, _| ()).unwrap()
}

fn told(report: &Report) -> String {
    replay::text(report, Paint::plain())
}

/// Its last part.
fn groups(report: &Report) -> String {
    told(report).splitn(3, "\n\n").last().unwrap().to_owned()
}

/// The classes that have events, with their numbers.
fn counts(report: &Report) -> Vec<(Class, u64)> {
    Class::ALL.iter().map(|class| (*class, report.count(*class))).filter(|(_, count)| *count > 0).collect()
}

impl Town {
    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("town.db")
    }

    /// Whatever happens in a day: both sides edited, orders, a product; and whatever goes wrong in it.
    async fn day() -> Self {
        let town = Self::new().await.configured(|config| config.delivery.retry_delays_ms = vec![5, 10, 20]).await;
        // One person created on both sides at once: one of the two events begins again.
        town.by_hand();
        let fields = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev"});
        let customer = town.playground.shopify.create_customer(fields.clone()).unwrap();
        town.clock.advance(2_000);
        let profile = town.playground.omneo.create_profile(fields).unwrap();
        let (one, two) = (town.playground.shopify.outbox().take(), town.playground.omneo.outbox().take());
        town.slow(30);
        tokio::join!(town.shopify_delivers(&one[0]), town.omneo_delivers(&two[0]));
        town.handled().await;
        town.playground.shopify.faults().clear();
        town.playground.omneo.faults().clear();
        town.automatic();
        town.next().await;

        let (shopify, omneo) = (town.playground.shopify.clone(), town.playground.omneo.clone());
        shopify.add_tags(customer, &["vip", "internal"]).unwrap();
        shopify.set_email_consent(customer, "subscribed", None).unwrap();
        town.next().await;
        omneo.set_tags(&profile, &["vip", "gold"]).unwrap();
        omneo.update_profile(&profile, json!({"last_name": "King"})).unwrap();
        town.next().await;

        // Busy, throttled, cut off, unanswered: and tried again.
        omneo.faults().add(Rule::any().times(2), Fault::Status(503));
        shopify.faults().add(Rule::any().times(1), Fault::Throttled);
        shopify.update_customer(customer, json!({"phone": "+61400000001"})).unwrap();
        town.next().await;
        omneo.faults().add(Rule::path("PUT /profiles").times(1), Fault::LoseAnswer);
        shopify.update_customer(customer, json!({"first_name": "Augusta"})).unwrap();
        town.next().await;
        let grace = json!({"first_name": "Grace", "last_name": "Hopper", "email": "grace@hopper.dev"});
        shopify.faults().add(Rule::operation("CreatePerson").times(1), Fault::LoseAnswer);
        omneo.create_profile(grace).unwrap();
        town.next().await;

        shopify.send_order("orders/create", order(4501, Some(customer), "pending"));
        town.next().await;
        shopify.send_order("orders/paid", order(4501, Some(customer), "paid"));
        shopify.send_order("orders/paid", order(4502, None, "paid"));
        shopify.send_order("orders/paid", order(4501, Some(customer), "paid"));
        town.next().await;
        // What does not add up is refused, and what is no order is invalid.
        let mut wrong = order(4503, Some(customer), "paid");
        wrong["total_price"] = json!("19.91");
        shopify.send("orders/paid", wrong);
        shopify.send("orders/paid", json!({"id": "none"}));
        shopify.send("carts/update", json!({"id": "c1"}));
        town.next().await;

        // Given up, and taken up again by hand.
        let given_up = town.events().len();
        omneo.faults().add(Rule::any().times(4), Fault::Status(500));
        shopify.send_order("orders/paid", order(4504, None, "paid"));
        town.next().await;
        let event = town.events()[given_up].event.id;
        assert_eq!(town.outcomes(given_up)[0], "orders/paid failed");
        assert!(town.playground.server.journal.retry(event).await.unwrap());
        town.next().await;
        assert_eq!(town.outcomes(given_up)[0], "orders/paid done");

        // Stopped in the middle of a call, and started again.
        let (tell, heard) = tokio::sync::oneshot::channel();
        omneo.faults().after(Rule::path("PUT /profiles"), move || tell.send(()).unwrap());
        town.slow(30);
        shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
        heard.await.unwrap();
        let town = town.restarted().await;
        shopify.faults().clear();
        omneo.faults().clear();
        town.next().await;
        assert_eq!(town.profile(&profile)["last_name"], json!("Byron"));
        town
    }

    async fn restarted(self) -> Self {
        let Self { playground, clock, folder } = self;
        Self { playground: playground.restart(None).await.unwrap(), clock, folder }
    }

    fn slow(&self, ms: u64) {
        self.playground.shopify.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(ms)));
        self.playground.omneo.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(ms)));
    }

    async fn next(&self) {
        self.settle().await;
        self.clock.advance(60_000);
    }
}

/// The strongest test of "same input, same output": whatever went wrong in the day, nothing is different.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_replayed_through_its_own_version_is_identical() {
    let town = Town::day().await;
    let events = town.events();
    let outcome = |outcome: &str| events.iter().filter(|event| event.outcome.as_deref() == Some(outcome)).count();
    assert!(outcome("refused") > 0 && outcome("invalid") > 0, "{:?}", town.outcomes(0));
    let runs = events.iter().flat_map(|event| town.show(event.event.id));
    assert!(runs.filter(|run| run.state == "dropped").count() >= 2, "nothing began again");
    // While the host runs.
    let report = replayed(&town.journal(), &plugin(RULES).await);
    let candidate = plugin(RULES).await;
    let unheard = events.iter().filter(|event| !candidate.manifest().hears(&event.event.webhook)).count() as u64;
    assert_eq!(
        counts(&report),
        [(Class::Identical, events.len() as u64 - unheard), (Class::Unheard, unheard)],
        "{}",
        told(&report)
    );
    assert_eq!((report.key_differs, report.against(Require::Identical)), (0, 0));
    assert_eq!(report.recorded_by.values().sum::<u64>(), events.len() as u64);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prefix_of_tags_is_different_in_the_tags_alone() {
    let town = Town::new().await;
    let (_, profile) = town.ada().await;
    town.playground.omneo.set_tags(&profile, &["gold"]).unwrap();
    town.settle().await;
    let events = town.events().len() as u64;
    let candidate = plugin(&format!("{RULES}[tags]\nprefix = \"tandem-\"\n")).await;
    let report = replayed(&town.journal(), &candidate);
    assert_eq!(counts(&report), [(Class::Identical, events - 2), (Class::Different, 2)], "{}", told(&report));
    assert_eq!(
        groups(&report),
        "different, 1 event: omneo profile.updated
  shopify AddTags /variables/tags/* changed
  /memory/tags/prefixed/* changed
  /reason changed
  event 5: `tandem events 5`

different, 1 event: shopify customer.tags_added
  /reason changed
  event 6: `tandem events 6`
"
    );
    assert_eq!((report.against(Require::Identical), report.against(Require::NoFailures)), (2, 0));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_switched_off_is_not_sent_any_more() {
    let town = Town::new().await;
    town.playground.shopify.send_order("orders/paid", order(4501, None, "paid"));
    town.settle().await;
    let candidate = plugin(&format!("{RULES}[sync]\norders = false\n")).await;
    let report = replayed(&town.journal(), &candidate);
    assert_eq!(
        groups(&report),
        "different, 1 event: shopify orders/paid
  POST omneo /transactions/update-create is not asked for
  /memory removed
  /outcome was done, is skipped
  /reason changed
  event 1: `tandem events 1`

unheard         omneo transaction.created: event 2
"
    );
    // Another question has no recorded answer.
    let candidate = plugin(&format!("{RULES}[orders]\nguest = \"email\"\n")).await;
    let report = replayed(&town.journal(), &candidate);
    assert_eq!(
        groups(&report).split("\n\n").next().unwrap(),
        "diverged, 1 event: shopify orders/paid
  POST omneo /profiles/availability is asked for, and has no recorded reply
  event 1; 0 of 1 recorded calls asked: `tandem events 1`"
    );
    town.stop().await;
}

/// A town of what cannot be compared: an event that waits, one that was given up, a redacted person, topics of the host.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_counted_by_cause() {
    let town = Town::new().await.configured(|config| config.delivery.retry_delays_ms = vec![5]).await;
    let (customer, _) = town.ada().await;
    let theirs = town.events().len() as u64;
    let redact =
        json!({"shop_id": 1, "customer": {"id": customer, "email": "ada@lovelace.dev"}, "orders_to_redact": []});
    town.playground.shopify.send("customers/redact", redact);
    town.playground.shopify.send("carts/update", json!({"id": "c1"}));
    town.settle().await;
    let (shopify, omneo) = (town.playground.shopify.clone(), town.playground.omneo.clone());
    omneo.faults().add(Rule::any().times(2), Fault::Status(500));
    shopify.send_order("orders/paid", order(4501, None, "paid"));
    town.settle().await;
    // A host that is stopped leaves this one waiting.
    let path = town.journal();
    let Town { playground, folder: _folder, .. } = town;
    playground.stop().await.unwrap();
    let (journal, _feeds, _) = Journal::open(&path).unwrap();
    journal.append(webhook("orders/paid", 4502)).await.unwrap();
    let report = replayed(&path, &plugin(RULES).await);
    assert_eq!(
        counts(&report),
        [(Class::Unheard, 1), (Class::Unfinished, 2), (Class::Redacted, theirs), (Class::Host, 1)],
        "{}",
        told(&report)
    );
    assert_eq!((report.compared(), report.against(Require::Identical)), (0, 0));
    let notes: Vec<_> = report.groups.iter().map(|group| (group.class, &*group.note)).collect();
    assert!(notes.contains(&(Class::Unfinished, "it waits")), "{notes:?}");
    assert!(notes.contains(&(Class::Unfinished, "failed by the host, peer")), "{notes:?}");
}

fn webhook(topic: &str, id: usize) -> Webhook {
    Webhook {
        tenant: "acme".into(),
        source: "shopify".into(),
        topic: topic.into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: 1_767_323_046_000,
        api_version: "2026-07".into(),
        payload: json!({"id": id, "email": "ada@lovelace.dev"}).to_string(),
    }
}

/// A journal whose events, each of a topic of the hostile rules, were all said to be done by some other version.
async fn history(path: &Path, topics: &[&str]) {
    let (journal, mut feeds, thread) = Journal::open(path).unwrap();
    let orders = journal.orders("acme", 0);
    let another = Activation {
        tenant: "acme".into(),
        digest: "another".into(),
        cause: Cause::Configured,
        fixed: BTreeMap::new(),
        relink: false,
        expected: None,
        failures_max: None,
        configured: None,
    };
    journal.activate(another).await.unwrap().unwrap();
    for (n, topic) in topics.iter().enumerate() {
        journal.append(webhook(topic, n)).await.unwrap();
        let event = EventId(n as i64 + 1);
        let entity = Entity { names: vec![format!("shopify/thing/{n}")], after: vec![] };
        let (of, ticket) = (Try(0), Ticket(n as u64));
        orders.declare(ticket, String::new(), vec![(event, Known::Entity(entity))]).await.unwrap();
        let lane = loop {
            match feeds.facts.recv().await.unwrap().input {
                Input::Declared { keyed, .. } => break keyed[0].lane.entity,
                _ => continue,
            }
        };
        let at = At { event, of, lane };
        orders.begin(at).await.unwrap();
        let run = match feeds.facts.recv().await.unwrap().input {
            Input::Began { is: Beginning::Ask { run, .. }, .. } => run,
            other => panic!("{other:?}"),
        };
        if *topic == "ask" {
            let request = Request::Rest { method: Method::Get, path: "/profiles".into(), query: vec![], body: None };
            let call = Call { target: "omneo".into(), request, effect: Effect::Read };
            let calls = vec![(call.clone(), String::new())];
            orders.send(at, (run, 0), calls, None, Asked::default()).await.unwrap();
            let due = feeds.calls.recv().await.unwrap();
            let answer = Answer { status: 200, headers: vec![], body: "{}".into() };
            journal.reply(&due, None, Reply::Answer(answer)).await.unwrap();
        }
        let reason = if *topic == "ask" { "Omneo answered 200" } else { "fine" };
        let end = End { outcome: Outcome::Done, reason: reason.into(), memory: None, names: Names::default() };
        let passes = u32::from(*topic == "ask");
        orders.end(at, (run, passes), end, Asked::default()).await.unwrap();
    }
    drop((orders, journal, feeds));
    thread.join().unwrap();
}

#[tokio::test]
async fn rules_that_fail_are_told_by_cause_and_let_through_by_none_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let failing = ["endless", "greedy", "deep", "broken", "chatty", "stray", "key-broken", "misnamer", "key-misnamed"];
    history(&path, &[&["good", "ask"], &failing[..], &["unheard-of"]].concat()).await;
    let report = replayed(&path, &hostile());
    assert_eq!(
        counts(&report),
        [(Class::Identical, 2), (Class::Failed, failing.len() as u64), (Class::NoLongerHeard, 1)],
        "{}",
        told(&report)
    );
    assert_eq!(report.against(Require::NoFailures), failing.len() as u64);
    assert_eq!(report.against(Require::None), 0);
    let mut notes: Vec<_> = report.groups.iter().map(|group| group.note.as_str()).collect();
    notes.sort_unstable();
    // What rules or bodies say is left out, and where a panic was is not.
    assert!(notes[5].starts_with("the rules panicked at src/lib.rs:") && !notes[5].contains(": "), "{notes:?}");
    assert!(notes[6].starts_with("the rules panicked at src/lib.rs:"), "{notes:?}");
    notes.drain(5..7);
    assert_eq!(
        notes,
        [
            "shopify unheard-of",
            "the rules asked for 500 calls at once",
            "the rules called `…`, which their manifest does not declare as a target",
            "the rules gave the name `…`, which is not of the form source/kind/id",
            "the rules gave the name `…`, which is not of the form source/kind/id",
            "the rules ran out of memory",
            "the rules ran out of stack",
            "the rules ran too long",
        ]
    );
}

#[tokio::test]
async fn a_report_holds_no_values_unless_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    // The one remembers its payload, the other has a name that is none.
    history(&path, &["remember", "key-misnamed", "broken"]).await;
    let candidate = hostile();
    let report = |with_values| {
        let replay = Replay { tenant: "acme", range: Range::Last(9), candidate: &candidate, with_values };
        let report = replay.run(&Reader::open(&path).unwrap(), |_, _| ()).unwrap();
        (serde_json::to_string(&report).unwrap(), told(&report))
    };
    let (json, text) = report(true);
    for value in ["ada@lovelace.dev", "ada@example.org", "the rules are broken"] {
        assert!(json.contains(value) && text.contains(value), "{value}: {text}");
    }
    let (json, text) = report(false);
    for value in ["ada@lovelace.dev", "ada@example.org", "are broken"] {
        assert!(!json.contains(value) && !text.contains(value), "{value}: {text}");
    }
}

/// What `tandem replay` said: status, standard output and standard error.
fn typed(folder: &Path, arguments: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("replay").args(arguments.split_whitespace()).current_dir(folder).env_remove("NO_COLOR");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_it_all_and_its_exit_code_decides() {
    let town = Town::new().await;
    town.playground.shopify.send_order("orders/paid", order(4501, None, "paid"));
    town.settle().await;
    let folder = town.folder.path();
    std::fs::write(folder.join("same.toml"), RULES).unwrap();
    std::fs::write(folder.join("off.toml"), format!("{RULES}[sync]\norders = false\n")).unwrap();
    let of = |rules: &str, more: &str| typed(folder, &format!("{rules} --tenant acme --journal town.db {more}"));

    let (status, stdout, stderr) = of("same.toml", "--require identical --json");
    assert_eq!((status, &*stderr), (0, ""));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["format"], &report["counts"]["different"]), (&json!(1), &json!(0)));
    assert_eq!(report["counts"].as_object().unwrap().len(), Class::ALL.len());

    let (status, stdout, stderr) = of("off.toml", "");
    assert_eq!((status, &*stderr), (0, ""));
    assert!(stdout.contains("\ndifferent, "), "{stdout}");
    let (status, again, stderr) = of("off.toml", "--require identical");
    assert_eq!(status, 1);
    assert!(stderr.ends_with("--require no-failures` lets a version through that does something else\n"), "{stderr}");
    assert!(again.contains("\ndifferent, "));

    let (status, stdout, stderr) = of("same.toml", "--since 2100-01-01");
    assert_eq!((status, &*stderr), (0, "note: no event could be compared, so this proves nothing\n"), "{stdout}");
    let (status, _, stderr) = of("same.toml", "--since yesterday");
    assert!(status == 2 && stderr.contains("write a date, a time with its offset, or `90m`, `36h`, `7d`"), "{stderr}");
    let nobody = typed(folder, "same.toml --tenant nobody --journal town.db");
    let said = "error: there are no events of `nobody` in `town.db`\nhint: it has those of acme\n";
    assert_eq!(nobody, (1, String::new(), said.to_owned()));
    town.stop().await;
}
