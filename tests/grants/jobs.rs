//! An app that merchants install may not read orders over REST: they are read by a job, whatever becomes of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem::config::AppKind;
use tandem::imports::Wanted;
use tandem::journal::{Direction, Import, ImportState, Mode, Reading};
use tandem::playground::TENANT;
use tandem_standin::{BulkFault, Fault, Past, RefreshRule, Rule, Shopify, live_through};
use tokio::task::JoinSet;

use super::street::*;

pub const RULES: &str = "timezone = \"UTC\"\norders.from = \"2020-01-01\"\n";
const DAY_MS: i64 = 86_400_000;
const FILES: &str = "GET /bulk-operation-outputs";

/// A shop with so many orders of a few linked people.
async fn with_orders(orders: u64) -> Street {
    let app = options(AppKind::Standalone, 3_600);
    let street = Street::with_rules(AppKind::Standalone, app, RefreshRule::Strict, RULES).await;
    street.approve().await.unwrap();
    let now = tandem::clock::now();
    let past = Past { people: 4, products: 3, orders, linked: 100, ..Past::between(now - 40 * DAY_MS, now - DAY_MS) };
    live_through(&street.playground.shopify, &street.playground.omneo, &past);
    street
}

impl Street {
    async fn begin(&self, pulls: &[&str]) -> Import {
        let pulls = pulls.iter().map(|pull| (*pull).to_owned()).collect();
        let wanted = Wanted { pulls, agreed: true, ..Wanted::default() };
        self.playground.server.imports.begin(TENANT, wanted, "olga").await.unwrap()
    }

    fn import(&self) -> Import {
        self.playground.server.journal.read(|reader| reader.imports(TENANT)).unwrap().remove(0)
    }

    async fn import_until(&self, what: &str, so: impl Fn(&Import) -> bool) -> Import {
        let began = Instant::now();
        loop {
            let import = self.import();
            if so(&import) {
                return import;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}: {import:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the import does not run any more, and every event is over.
    async fn ended(&self) -> Import {
        let import = self.import_until("the end", |import| import.state != ImportState::Running).await;
        self.playground.settle().await.unwrap();
        import
    }

    fn folder(&self) -> PathBuf {
        let mut folder = self.playground.config.journal.clone().into_os_string();
        folder.push("-bulk");
        folder.into()
    }

    /// The files of jobs.
    fn files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder()).into_iter().flatten();
        files.map(|file| file.unwrap().path()).collect()
    }

    async fn no_files(&self) {
        self.until("the end of all files", || self.files().is_empty()).await;
    }

    fn asked(&self, operation: &str) -> usize {
        count(&self.playground.shopify, operation)
    }

    /// Every order is one purchase, to the cent, and nothing else is.
    fn all_bought_once(&self) {
        let sold = self.playground.omneo.transactions();
        let sold: Vec<_> = sold.iter().map(|sale| (text(&sale["external_id"]), amount(&sale["total"]))).collect();
        let by_id: BTreeMap<_, _> = sold.iter().cloned().collect();
        assert_eq!(by_id.len(), sold.len(), "{sold:?}");
        let orders = self.playground.shopify.orders();
        let orders = orders.iter().map(|order| (text(&order["id"]), amount(&order["total_price"])));
        assert_eq!(by_id, orders.collect());
    }
}

fn count(shopify: &Shopify, operation: &str) -> usize {
    shopify.requests().iter().filter(|request| request.operation == operation).count()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn amount(value: &Value) -> String {
    format!("{:.2}", text(value).parse::<f64>().unwrap())
}

fn orders(import: &Import) -> &Reading {
    import.readings.iter().find(|reading| reading.pull == "orders").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_read_by_a_job_to_the_cent() {
    let street = with_orders(130).await;
    let shopify = &street.playground.shopify;
    street.begin(&[]).await;
    let import = street.ended().await;
    assert_eq!(import.state, ImportState::Done, "{import:#?}");
    let (reading, asked_at) = (orders(&import), orders(&import).job.as_ref().unwrap().asked_at);
    assert_eq!((reading.items, reading.events, reading.total), (130, 130, Some(130)));
    street.all_bought_once();
    street.no_dead_letters();
    street.no_files().await;
    let rest = shopify.requests().iter().filter(|request| request.path.contains("orders.json")).count();
    assert_eq!((rest, street.asked("BulkRun")), (0, 2), "the products are read by a job, too");
    let item = street.events().into_iter().find(|event| event.event.webhook.topic == "pull/orders").unwrap();
    let occurred = tandem::clock::parse(&item.event.webhook.occurred_at);
    assert_eq!(occurred, asked_at, "an item is as old as the request for its job");

    // Once more: all is in step, and nothing is made of it.
    let (events, sold) = (street.events().len(), street.playground.omneo.requests().len());
    street.begin(&["orders"]).await;
    let import = street.ended().await;
    assert_eq!((orders(&import).items, orders(&import).in_step, orders(&import).events), (130, 130, 0));
    assert_eq!((street.events().len(), street.playground.omneo.requests().len()), (events, sold));

    // Few changes are read in pages, where that is possible.
    let runs = street.asked("BulkRun");
    let wanted = Wanted {
        pulls: vec!["products".into(), "orders".into()],
        since: Some(tandem::clock::rfc3339(tandem::clock::now() - DAY_MS / 2)),
        agreed: true,
        ..Wanted::default()
    };
    street.playground.server.imports.begin(TENANT, wanted, "olga").await.unwrap();
    let import = street.ended().await;
    assert_eq!((import.state, street.asked("BulkRun") - runs), (ImportState::Done, 1), "{import:#?}");
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_orders_is_read_at_once() {
    let street = with_orders(0).await;
    street.begin(&["orders"]).await;
    let import = street.ended().await;
    assert_eq!((import.state, orders(&import).items, orders(&import).total), (ImportState::Done, 0, Some(0)));
    assert_eq!(street.asked("BulkRun"), 1);
    street.stop().await;
}

/// Whatever goes wrong with one job, another one is begun; three in a row are enough, until somebody has looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_begun_again() {
    let faults = [
        (BulkFault::Failed("INTERNAL_SERVER_ERROR"), "the job failed (INTERNAL_SERVER_ERROR)"),
        (BulkFault::HalfThere("TIMEOUT", 50), "the job failed (TIMEOUT)"),
        (BulkFault::Cancelled, "the job was cancelled by Shopify, or by somebody with the app's token"),
        (BulkFault::ExpiredUrl, "the file of the job is not there: the answer is 400 Bad Request"),
        (BulkFault::NoUrl, "objects and has no file of them"),
        (BulkFault::Empty, "the file of the job has 0 lines, and the job has "),
        (BulkFault::CutOff, "the file of the job ends in the middle of line "),
        (BulkFault::NotGrouped, "the file of the job is not grouped: line "),
    ];
    let mut stories = JoinSet::new();
    for (fault, why) in faults {
        stories.spawn(async move {
            let street = with_orders(3).await;
            let shopify = &street.playground.shopify;
            shopify.next_bulk(fault.clone());
            street.begin(&["customers", "orders"]).await;
            let import = street.ended().await;
            assert_eq!((import.state, street.asked("BulkRun")), (ImportState::Done, 2), "{fault:?}: {import:#?}");
            street.all_bought_once();

            (0..3).for_each(|_| shopify.next_bulk(fault.clone()));
            street.begin(&["orders"]).await;
            let import = street.ended().await;
            assert_eq!((import.state, street.asked("BulkRun")), (ImportState::Paused, 5), "{fault:?}: {import:#?}");
            assert!(import.why.starts_with("`orders`: 3 jobs have failed; of the last one, "), "{}", import.why);
            assert!(import.why.contains(why), "{why}: {}", import.why);
            street.no_files().await;
            let imports = &street.playground.server.imports;
            imports.set(TENANT, ImportState::Running, "looked", "olga").await.unwrap();
            let import = street.ended().await;
            assert_eq!((import.state, orders(&import).items), (ImportState::Done, 3), "{fault:?}: {import:#?}");
            street.all_bought_once();
            street.stop().await;
        });
    }
    while let Some(story) = stories.join_next().await {
        story.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_job_does_not_mend_ends_the_reading_at_once() {
    let street = with_orders(3).await;
    let shopify = &street.playground.shopify;
    shopify.next_bulk(BulkFault::Refused("Bulk queries cannot contain a top level `node` field".into()));
    street.begin(&["orders"]).await;
    let import = street.ended().await;
    let why = "`orders`: Shopify refuses the job's query: Bulk queries cannot contain a top level `node` field";
    assert_eq!((import.state, import.why.as_str()), (ImportState::Failed, why));

    shopify.next_bulk(BulkFault::Failed("ACCESS_DENIED"));
    street.begin(&["orders"]).await;
    let import = street.ended().await;
    assert_eq!(import.state, ImportState::Paused);
    assert!(import.why.starts_with("`orders`: Shopify has denied the job the access"), "{}", import.why);
    let imports = &street.playground.server.imports;
    imports.set(TENANT, ImportState::Cancelled, "looked", "olga").await.unwrap();

    // Nothing is sent to where the file is not.
    shopify.faults().alter(Rule::operation("BulkLook"), |answer| {
        let elsewhere = json!({ "status": "COMPLETED", "objectCount": "3", "url": "http://127.0.0.1:1/file" });
        answer["data"]["bulkOperation"] = elsewhere;
    });
    street.begin(&["orders"]).await;
    let import = street.ended().await;
    assert_eq!(import.state, ImportState::Paused);
    assert!(import.why.contains("is to come from `http://127.0.0.1:1`, and files come from"), "{}", import.why);
    street.stop().await;
}

/// A download that goes wrong is begun again with an address that is asked for again, and the job stays the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_fails_is_begun_again() {
    let street = with_orders(3).await;
    let shopify = &street.playground.shopify;
    for fault in [Fault::Status(403), Fault::Status(503), Fault::Reset] {
        shopify.faults().add(Rule::path(FILES).times(2), fault.clone());
        let (runs, files) = (street.asked("BulkRun"), requests_of_files(shopify));
        street.begin(&["customers", "orders"]).await;
        let import = street.ended().await;
        assert_eq!((import.state, orders(&import).items), (ImportState::Done, 3), "{fault:?}: {import:#?}");
        assert_eq!((street.asked("BulkRun") - runs, requests_of_files(shopify) - files), (1, 3), "{fault:?}");
    }
    street.all_bought_once();
    street.stop().await;
}

fn requests_of_files(shopify: &Shopify) -> usize {
    shopify.requests().iter().filter(|request| request.path.starts_with("/bulk-operation-outputs")).count()
}

/// Five others run already: of this app, by whomever.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_others() {
    let street = with_orders(3).await;
    let Street { playground, .. } = &street;
    let known = playground.server.credentials.with_tokens(&playground.config.tenants[0]).await.unwrap();
    let tandem::config::Credential::Token(token) = &known.tenant.shopify.credential else { panic!("no token") };
    let run = json!({ "query": "mutation Other { bulkOperationRunQuery(query: \"{ orders { edges { node { id } } } }\") \
        { bulkOperation { id } userErrors { message } } }" });
    for _ in 0..5 {
        playground.shopify.next_bulk(BulkFault::Slow(3_000));
        let url = format!("{}/admin/api/2026-07/graphql.json", playground.shopify.url());
        let request = client().post(url).header("x-shopify-access-token", token).body(run.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap().text().await.unwrap();
        assert!(answer.contains("gid://"), "{answer}");
    }
    street.begin(&["orders"]).await;
    let import = street.ended().await;
    assert_eq!((import.state, orders(&import).items), (ImportState::Done, 3), "{import:#?}");
    assert!(street.asked("BulkRun") > 2);
    let cancelled = street.asked("BulkCancel");
    assert_eq!(cancelled, 0, "the jobs of others are not ended");
    street.stop().await;
}

/// An import whose file is there, and is not read on, because Omneo takes nothing.
async fn in_the_middle() -> Street {
    let street = with_orders(650).await;
    street.begin(&["customers"]).await;
    street.ended().await;
    street.playground.server.journal.pause(TENANT, "omneo", "for a test").await.unwrap();
    street.begin(&["orders"]).await;
    street.import_until("500 events", |import| orders(import).events >= 500).await;
    assert_eq!(street.files().len(), 1);
    street
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_an_import_that_is_cancelled_is_deleted() {
    let street = in_the_middle().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = &street.files()[0];
        assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700));
    }
    street.playground.server.imports.set(TENANT, ImportState::Cancelled, "enough", "olga").await.unwrap();
    street.no_files().await;
    street.stop().await;
}

/// A job that nobody waits for any more would keep the place of another.
#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_an_import_that_is_cancelled_is_ended() {
    let street = with_orders(3).await;
    street.playground.shopify.next_bulk(BulkFault::Slow(3_600_000));
    street.begin(&["orders"]).await;
    let job = |import: &Import| orders(import).job.clone().unwrap_or_default().id;
    let id = job(&street.import_until("the job", |import| !job(import).is_empty()).await);
    street.playground.server.imports.set(TENANT, ImportState::Cancelled, "enough", "olga").await.unwrap();
    street.until("its end", || street.asked("BulkCancel") == 1).await;
    let requests = street.playground.shopify.requests();
    let request = requests.iter().find(|request| request.operation == "BulkCancel").unwrap();
    assert_eq!(request.body["variables"], json!({ "id": id }));
    street.stop().await;
}

/// A disk that does not take the file is a person's affair, and the import goes on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_made_pauses_the_import() {
    let street = with_orders(3).await;
    let folder = street.folder();
    std::fs::write(&folder, "in the way").unwrap();
    street.begin(&["customers", "orders"]).await;
    let import = street.ended().await;
    assert_eq!(import.state, ImportState::Paused);
    assert!(import.why.starts_with("`orders`: making the file of a job: "), "{}", import.why);
    std::fs::remove_file(&folder).unwrap();
    street.playground.server.imports.set(TENANT, ImportState::Running, "mended", "olga").await.unwrap();
    let import = street.ended().await;
    assert_eq!((import.state, street.asked("BulkRun")), (ImportState::Done, 1), "{import:#?}");
    street.all_bought_once();
    street.stop().await;
}

/// While it is paused there is no file; it is downloaded again, and read on from where it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_paused_goes_on_in_the_same_file() {
    let street = in_the_middle().await;
    let server = &street.playground.server;
    server.imports.set(TENANT, ImportState::Paused, "lunch", "olga").await.unwrap();
    street.no_files().await;
    server.imports.set(TENANT, ImportState::Running, "back", "olga").await.unwrap();
    server.resume(TENANT, "omneo").await.unwrap();
    let import = street.ended().await;
    let reading = orders(&import);
    assert_eq!((import.state, reading.items, reading.events), (ImportState::Done, 650, 650), "{import:#?}");
    assert_eq!((street.asked("BulkRun"), requests_of_files(&street.playground.shopify)), (1, 2));
    street.all_bought_once();
    street.no_dead_letters();
    street.stop().await;
}

/// What comes from Shopify is dropped from now on: no other job is begun for that, and the file goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_direction_that_is_dropped_pauses_the_import() {
    let street = in_the_middle().await;
    let server = &street.playground.server;
    let direct = async |mode: Mode| {
        let (by, why) = ("olga".into(), "a test".into());
        let direction = Direction { tenant: TENANT.into(), source: "shopify".into(), mode, since: 0, by, why };
        server.journal.direct(direction).await.unwrap();
    };
    direct(Mode::Drop).await;
    server.resume(TENANT, "omneo").await.unwrap();
    let import = street.import_until("the pause", |import| import.state == ImportState::Paused).await;
    assert!(import.why.starts_with("what comes from shopify is dropped"), "{}", import.why);
    street.no_files().await;
    direct(Mode::Run).await;
    server.imports.set(TENANT, ImportState::Running, "back", "olga").await.unwrap();
    let import = street.ended().await;
    assert_eq!((import.state, orders(&import).items, street.asked("BulkRun")), (ImportState::Done, 650, 1));
    street.stop().await;
}

/// What was asked for before somebody's data was to be redacted is not read after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_has_the_job_begun_again() {
    let street = in_the_middle().await;
    let body = json!({ "shop_id": 1, "shop_domain": "acme.myshopify.com",
        "customer": { "id": 999_999, "email": "gone@past.example" }, "orders_to_redact": [] });
    street.duty("customers/redact", &body.to_string()).await;
    street.playground.server.resume(TENANT, "omneo").await.unwrap();
    let import = street.ended().await;
    assert_eq!((import.state, orders(&import).items), (ImportState::Done, 650), "{import:#?}");
    assert_eq!((street.asked("BulkRun"), requests_of_files(&street.playground.shopify)), (2, 2));
    street.all_bought_once();
    street.no_dead_letters();
    street.no_files().await;
    street.stop().await;
}
