//! What the host does itself about a person or a shop that is to be redacted or shown, and about an app without access.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::town::{Town, order};
use serde_json::{Value, json};
use tandem::journal::{EventRow, Journal, Reader};
use tandem::model::{Blame, EventId, Failure, Webhook};
use tandem::playground::Playground;
use tandem::scheduler::{Closer, Try};
use tandem_standin::{Fault, Rule, ShopifyOptions, sign_shopify};

const EMAIL: &str = "ada@lovelace.dev";
const PHONE: &str = "+61400000001";

/// Sends a webhook as Shopify does, of a topic that the stand-in does not have. Gives its event.
async fn send(town: &Town, topic: &str, body: &Value) -> EventId {
    let (body, options) = (body.to_string(), ShopifyOptions::default());
    let url = format!("http://{}/webhooks/shopify", town.playground.server.address);
    let request = reqwest::Client::new()
        .post(url)
        .header("x-shopify-topic", topic)
        .header("x-shopify-shop-domain", options.shop)
        .header("x-shopify-hmac-sha256", sign_shopify(&options.webhook_secret, body.as_bytes()));
    let answer = request.body(body).send().await.unwrap().text().await.unwrap();
    EventId(answer.trim().strip_prefix("accepted as event ").and_then(|id| id.parse().ok()).expect("it is accepted"))
}

fn row(town: &Town, event: EventId) -> EventRow {
    town.playground.server.journal.read(|reader| reader.show(event)).unwrap().unwrap().0
}

async fn over(town: &Town, event: EventId) -> EventRow {
    let began = Instant::now();
    loop {
        let row = row(town, event);
        if row.outcome.is_some() {
            return row;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "not over: {row:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Which of these texts stand in the journal's files, as they are on disk now.
fn on_disk(town: &Town, texts: &[&str]) -> Vec<String> {
    let path = town.playground.config.journal.display().to_string();
    let mut found = vec![];
    for file in [path.clone(), format!("{path}-wal")] {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let is_in = |text: &&&str| bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()));
        found.extend(texts.iter().filter(is_in).map(|text| format!("{text} in {}", &file[path.len() - 7..])));
    }
    found
}

/// A body of `customers/redact` or of `customers/data_request`.
fn about(customer: Value, orders: &[u64]) -> Value {
    json!({"shop_id": 954889, "shop_domain": "acme.myshopify.com", "customer": customer,
        "orders_to_redact": orders, "orders_requested": orders, "data_request": {"id": 9999}})
}

/// A town in which Ada and Bob have signed up and bought, and a topic that nobody listens to has told of both.
async fn busy() -> (Town, u64, u64) {
    let town = Town::new().await;
    let (ada, _) = town.ada().await;
    let fields = json!({"first_name": "Bob", "last_name": "Boole", "email": "bob@boole.dev", "phone": "+61400000002"});
    let bob = town.playground.shopify.create_customer(fields).unwrap();
    town.settle().await;
    town.playground.shopify.send_order("orders/paid", order(4501, Some(ada), "paid"));
    let mut guest = order(4502, None, "paid");
    guest["note"] = "x".repeat(20_000).into();
    town.playground.shopify.send_order("orders/create", guest);
    let mut other = order(4503, Some(bob), "paid");
    other["email"] = "bob@boole.dev".into();
    other["customer"] = json!({"id": bob, "email": "bob@boole.dev", "first_name": "Bob", "last_name": "Boole"});
    town.playground.shopify.send_order("orders/paid", other);
    send(&town, "checkouts/create", &json!({"id": 1, "email": EMAIL, "phone": PHONE})).await;
    send(&town, "checkouts/create", &json!({"id": 2, "email": "bob@boole.dev"})).await;
    send(&town, "refunds/create", &json!({"id": 3, "order_id": 4501, "note": "for the lady from Marylebone"})).await;
    town.settle().await;
    (town, ada, bob)
}

/// Whether a payload is of Bob's: the transaction that Omneo tells of names him by his profile only.
fn bobs(town: &Town, payload: &str) -> bool {
    let bob = town.profiles().into_iter().find(|profile| profile["email"] == json!("bob@boole.dev")).unwrap();
    payload.contains("bob@boole.dev") || payload.contains(bob["id"].as_str().unwrap()) || payload.contains("4503")
}

fn redacted(town: &Town) -> usize {
    town.events().iter().filter(|event| event.event.webhook.payload.is_empty()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_in_no_file_and_what_is_anothers_stays() {
    let (town, ada, bob) = busy().await;
    let texts = [EMAIL, PHONE, "Marylebone", "Lovelace"];
    assert!(!on_disk(&town, &texts).is_empty());
    let before = town.events();
    let customer = json!({"id": ada, "email": EMAIL, "phone": PHONE});
    let event = send(&town, "customers/redact", &about(customer, &[4501])).await;
    let done = over(&town, event).await;
    town.settle().await;
    assert_eq!(done.outcome.as_deref(), Some("done"), "{done:?}");
    assert_eq!(on_disk(&town, &texts), Vec::<String>::new());
    // The rows are there, with all that is nobody's.
    for (was, is) in before.iter().zip(town.events()) {
        assert_eq!(
            (was.event.id, &was.outcome, &was.version, was.calls),
            (is.event.id, &is.outcome, &is.version, is.calls)
        );
        let bobs = bobs(&town, &was.event.webhook.payload);
        assert_eq!(is.redacted_at.is_none(), bobs, "{was:#?}");
        if bobs {
            assert_eq!((was.event.clone(), &was.reason), (is.event.clone(), &is.reason));
        }
    }
    let is = row(&town, event);
    let others = redacted(&town) - 1;
    let reason = is.reason.clone().unwrap();
    // The rules are asked first: they keep in mind who is deleted, and say what they did about the profile.
    let said = format!(
        "the profile is left as it is: `people.on_redact = \"ignore\"`, or nothing goes to Omneo; redacted {others} events with "
    );
    assert!(reason.starts_with(&said), "{reason}");
    assert!(is.event.webhook.payload.is_empty() && !reason.contains('@'));
    // Bob's life goes on.
    town.clock.advance(60_000);
    town.playground.shopify.update_customer(bob, json!({"last_name": "Byron"})).unwrap();
    town.settle().await;
    assert!(town.profiles().iter().any(|profile| profile["last_name"] == json!("Byron")));
    // Again, it is done and finds nothing.
    let again = send(&town, "customers/redact", &about(json!({"id": ada, "email": EMAIL}), &[4501])).await;
    let reason = over(&town, again).await.reason.unwrap();
    assert!(reason.ends_with("; redacted 0 events with 0 calls"), "{reason}");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_address_alone_finds_the_person() {
    let (town, _, _) = busy().await;
    let event = send(&town, "customers/redact", &about(json!({"email": "ADA@lovelace.dev"}), &[])).await;
    assert_eq!(over(&town, event).await.outcome.as_deref(), Some("done"));
    town.settle().await;
    assert_eq!(on_disk(&town, &[EMAIL, PHONE, "Lovelace"]), Vec::<String>::new());
    assert!(town.events().iter().any(|event| event.event.webhook.payload.contains("bob@boole.dev")));
    let nobody = send(&town, "customers/redact", &about(json!({"phone": PHONE}), &[])).await;
    assert_eq!(over(&town, nobody).await.outcome.as_deref(), Some("invalid"));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_comes_to_its_end_first() {
    let (town, ada, _) = busy().await;
    town.clock.advance(60_000);
    town.playground.omneo.faults().add(Rule::path("PUT /profiles").times(1), Fault::Status(503));
    town.playground.shopify.update_customer(ada, json!({"last_name": "Byron"})).unwrap();
    let began = Instant::now();
    while town.events().iter().all(|event| event.outcome.is_some()) {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing is under way");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let event = send(&town, "customers/redact", &about(json!({"id": ada, "email": EMAIL}), &[])).await;
    town.settle().await;
    assert_eq!(over(&town, event).await.outcome.as_deref(), Some("done"));
    assert!(town.profiles().iter().any(|profile| profile["last_name"] == json!("Byron")));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_redacted_is_not_run_again() {
    let (town, ada, _) = busy().await;
    town.clock.advance(60_000);
    town.playground.omneo.faults().add(Rule::path("PUT /profiles").times(1), Fault::Status(403));
    town.playground.shopify.update_customer(ada, json!({"last_name": "Byron"})).unwrap();
    town.settle().await;
    let dead = town.events().into_iter().find(|event| event.outcome.as_deref() == Some("refused")).unwrap();
    let event = send(&town, "customers/redact", &about(json!({"id": ada}), &[])).await;
    over(&town, event).await;
    let refused = town.playground.server.journal.retry(dead.event.id).await.unwrap_err().to_string();
    let date = tandem::clock::date(row(&town, dead.event.id).redacted_at.unwrap());
    assert_eq!(refused, format!("event {} was redacted on {date}: nothing is left to run", dead.event.id));
    town.stop().await;
}

fn tandem(town: &Town, arguments: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments.split_whitespace()).arg("--journal").arg(&town.playground.config.journal);
    let said = command.output().unwrap();
    (said.status.success(), String::from_utf8([said.stdout, said.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_request_gives_all_of_a_persons_payloads_and_none_of_anothers() {
    let (town, ada, bob) = busy().await;
    send(
        &town,
        "customers/update",
        &json!({"id": bob, "email": "bob@boole.dev", "note": "a friend of ada@lovelace.dev"}),
    )
    .await;
    town.settle().await;
    let body = about(json!({"id": ada, "email": EMAIL, "phone": PHONE}), &[4501]);
    let event = send(&town, "customers/data_request", &body).await;
    let reason = over(&town, event).await.reason.unwrap();
    let (good, said) = tandem(&town, &format!("data-request {event}"));
    assert!(good, "{said}");
    let document: Value = serde_json::from_str(&said).unwrap();
    let shown = document["events"].as_array().unwrap();
    assert!(reason.starts_with(&format!("held: {} events", shown.len())), "{reason}");
    assert!(reason.ends_with(&format!("`tandem data-request {event}` writes them")), "{reason}");
    for held in town.events().iter().filter(|held| held.event.id != event) {
        let payload: Value = serde_json::from_str(&held.event.webhook.payload).unwrap();
        let theirs = !bobs(&town, &held.event.webhook.payload);
        let is_shown =
            shown.iter().any(|shown| shown["event"] == json!(held.event.id.0) && shown["payload"] == payload);
        assert_eq!(is_shown, theirs, "{held:#?}");
    }
    assert!(!said.contains("boole") && said.contains("shopify/customer/") && said.contains("omneo/profile/"), "{said}");
    assert_eq!(document["mentioned_in"].as_array().unwrap().len(), 1);
    assert!(document["memory"][0]["link"]["customer"] == json!(ada), "{document:#}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        // Its owner's alone, though others could read what was there before.
        let file = town.folder.path().join("request.json");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        let (good, said) = tandem(&town, &format!("data-request {event} -o {}", file.display()));
        assert!(good, "{said}");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }
    let (good, said) = tandem(&town, "data-request 1");
    assert_eq!((good, &*said), (false, "error: event 1 is `customers/create`, no `customers/data_request`\n"));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_app_sends_nothing_until_it_is_resumed_and_a_redacted_shop_keeps_nothing() {
    let (town, ada, _) = busy().await;
    let body = json!({"id": 548380009, "name": "Super Toys", "email": "super@supertoys.com"});
    let event = send(&town, "app/uninstalled", &body).await;
    assert_eq!(
        over(&town, event).await.reason.as_deref(),
        Some("shopify takes no calls until `tandem resume acme shopify`: the app was uninstalled")
    );
    let Town { playground, clock, folder: _folder } = town;
    let playground: Playground = playground.restart(None).await.unwrap();
    let asked = playground.shopify.requests().len();
    clock.advance(60_000);
    let profile = playground.omneo.profiles().into_iter().find(|profile| profile["email"] == json!(EMAIL)).unwrap();
    playground.omneo.update_profile(profile["id"].as_str().unwrap(), json!({"last_name": "Byron"})).unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(playground.shopify.requests().len(), asked);
    let paused = ("acme".to_owned(), "shopify".to_owned(), "the app was uninstalled".to_owned());
    assert_eq!(playground.server.paused(), [paused]);
    let waiting = playground.events().unwrap().into_iter().find(|event| event.outcome.is_none()).expect("one waits");
    let url = format!("http://{}/webhooks/shopify", playground.server.address);
    let body = json!({"shop_id": 954889, "shop_domain": ShopifyOptions::default().shop}).to_string();
    let request = reqwest::Client::new().post(url).header("x-shopify-topic", "shop/redact");
    let signed = request
        .header("x-shopify-shop-domain", ShopifyOptions::default().shop)
        .header("x-shopify-hmac-sha256", sign_shopify(&ShopifyOptions::default().webhook_secret, body.as_bytes()));
    assert_eq!(signed.body(body).send().await.unwrap().status(), 200);
    playground.settle().await.unwrap();
    let events = playground.events().unwrap();
    assert!(events.iter().all(|event| event.event.webhook.payload.is_empty() && event.names.is_empty()));
    let cut = events.iter().find(|event| event.event.id == waiting.event.id).unwrap();
    assert_eq!((cut.outcome.as_deref(), &cut.reason), (Some("skipped"), &None));
    let last = events.last().unwrap().reason.clone().unwrap();
    assert!(last.starts_with(&format!("redacted {} events with ", events.len() - 1)), "{last}");
    assert!(last.ends_with("and everything remembered"), "{last}");
    let memory = |name: &str| playground.server.journal.read(|reader| reader.memory("acme", name)).unwrap();
    assert_eq!(memory(&format!("shopify/customer/{ada}")), Vec::<String>::new());
    let bytes = std::fs::read(&playground.config.journal).unwrap();
    for text in [EMAIL, PHONE, "bob@boole.dev", "supertoys"] {
        assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{text} is left");
    }
    // Taken up again, it sends.
    playground.server.resume("acme", "shopify").await.unwrap();
    assert!(playground.server.journal.read(|reader| reader.paused()).unwrap().is_empty());
    playground.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_gone_is_named() {
    let town = Town::new().await;
    let scopes = |current: &[&str]| json!({"id": 1, "previous": [], "current": current, "updated_at": "2024-06-25T00:00:00.000Z"});
    let few = send(&town, "app/scopes_update", &scopes(&["write_customers", "read_products"])).await;
    let reason = over(&town, few).await.reason.unwrap();
    assert!(reason.contains("read_orders") && reason.ends_with("which the app does not have"), "{reason}");
    assert!(!reason.contains("read_customers") && !reason.contains("read_products"), "{reason}");
    town.stop().await;
}

/// As left by the first tandem: without redaction, pauses and a version.
#[tokio::test]
async fn an_older_journal_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE events (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL,
           delivery_id TEXT, occurred_at TEXT NOT NULL, received_at INTEGER NOT NULL, api_version TEXT NOT NULL,
           payload TEXT NOT NULL, entity TEXT, outcome TEXT, blame TEXT, reason TEXT, version TEXT, ended_at INTEGER) STRICT;
         CREATE TABLE memory (revision INTEGER PRIMARY KEY, entity INTEGER NOT NULL, event INTEGER NOT NULL,
           body TEXT NOT NULL, current INTEGER NOT NULL) STRICT;
         CREATE INDEX remembered ON memory (entity) WHERE current;
         CREATE TABLE names (tenant TEXT NOT NULL, name TEXT NOT NULL, entity INTEGER NOT NULL,
           PRIMARY KEY (tenant, name)) STRICT, WITHOUT ROWID;
         CREATE TABLE runs (id INTEGER PRIMARY KEY, event INTEGER NOT NULL, version TEXT NOT NULL, memory TEXT NOT NULL,
           begun_at INTEGER NOT NULL, state TEXT NOT NULL, asks INTEGER NOT NULL, fuel INTEGER NOT NULL) STRICT;
         CREATE TABLE calls (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, pass INTEGER NOT NULL, target TEXT NOT NULL,
           call TEXT NOT NULL, reply TEXT) STRICT;
         CREATE TABLE attempts (id INTEGER PRIMARY KEY, call INTEGER NOT NULL, began_at INTEGER NOT NULL,
           ended_at INTEGER, outcome TEXT) STRICT;
         INSERT INTO events VALUES (1, 'acme', 'shopify', 'customers/update', NULL, '', 0, '', '{\"id\":7}', NULL, 'done',
           NULL, 'as it was', NULL, 0);",
    )
    .unwrap();
    drop(old);
    let refused = Reader::open(&path).err().unwrap().to_string();
    assert!(refused.ends_with("is of an older tandem\nhint: `tandem serve` brings it up to date"), "{refused}");
    for _ in 0..2 {
        let (journal, feeds, thread) = Journal::open(&path).unwrap();
        let row = journal.read(|reader| reader.show(EventId(1))).unwrap().unwrap().0;
        assert_eq!((row.reason.as_deref(), row.redacted_at), (Some("as it was"), None));
        drop((journal, feeds));
        thread.join().unwrap();
    }
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = format!("{:#}", Journal::open(&path).err().unwrap());
    assert!(refused.ends_with("is of a newer tandem\nhint: use that one"), "{refused}");
}

fn webhook(n: i64, email: &str) -> Webhook {
    Webhook {
        tenant: "acme".into(),
        source: "shopify".into(),
        topic: "checkouts/create".into(),
        delivery_id: Some(n.to_string()),
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: 0,
        api_version: "2026-07".into(),
        payload: json!({"id": n, "email": email, "note": "n".repeat(900)}).to_string(),
    }
}

/// A crash between two batches leaves some events redacted; done again, all are, and the counts are of all.
#[tokio::test]
async fn a_redaction_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, feeds, thread) = Journal::open(&folder.path().join("cut.db")).unwrap();
    let orders = journal.orders("acme", 0);
    let mut events = vec![];
    for n in 0..250 {
        journal.append(webhook(n, EMAIL)).await.unwrap();
        events.push(EventId(n + 1));
        let failure = Failure::new(Blame::Host, EMAIL);
        orders.close((EventId(n + 1), Try(0)), Closer::Host, failure, None).await.unwrap();
    }
    let by = EventId(251);
    journal.append(webhook(250, EMAIL)).await.unwrap();
    journal.redact(by, &events[..100]).await.unwrap();
    drop((orders, journal, feeds));
    thread.join().unwrap();
    let (journal, feeds, thread) = Journal::open(&folder.path().join("cut.db")).unwrap();
    let left = journal.read(|reader| reader.unredacted("acme", by)).unwrap();
    assert_eq!(left.len(), 151);
    journal.redact(by, &left).await.unwrap();
    let redacted = journal.read(|reader| reader.redacted_by(by)).unwrap();
    assert_eq!((redacted.events, redacted.waiting), (250, 0));
    // It is not over, so its own payload is there until then.
    assert!(!journal.read(|reader| reader.event(by)).unwrap().unwrap().webhook.payload.is_empty());
    drop((journal, feeds));
    thread.join().unwrap();
}

#[tokio::test]
async fn a_paused_target_is_resumed_by_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paused.db");
    let resume = |target: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        let said =
            command.current_dir(&folder).args(["resume", "acme", target, "--journal", "paused.db"]).output().unwrap();
        String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
    };
    let missing = "error: reading the journal `paused.db`: No such file or directory (os error 2)\nhint: `tandem serve` makes it at its first start; `--journal FILE` names another\n";
    assert_eq!(resume("shopify"), missing);
    let (journal, feeds, thread) = Journal::open(&path).unwrap();
    journal.pause("acme", "shopify", "the app was uninstalled").await.unwrap();
    drop((journal, feeds));
    thread.join().unwrap();
    assert_eq!(resume("omneo"), "error: omneo of `acme` is not paused in `paused.db`\n");
    assert_eq!(resume("shopify"), "shopify of acme takes calls again from the next start of `tandem serve`\n");
    assert!(Reader::open(&path).unwrap().paused().unwrap().is_empty());
}
