//! Stories of a shop that has a past when Tandem comes to it: read, brought in step, and read again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem::config::Nightly;
use tandem::imports::{Reconciling, Refused, Wanted};
use tandem::journal::{Direction, HOST, Import, ImportState, Mode};
use tandem::playground::TENANT;
use tandem_standin::{Losing, Rule};

use crate::town::Town;

const DAY_MS: i64 = 86_400_000;

/// A town in which nobody has heard of these customers and profiles, by first names.
async fn with_past(customers: &[&str], profiles: &[&str]) -> Town {
    let town = Town::new().await;
    town.by_hand();
    let person =
        |name: &str| json!({ "first_name": name, "last_name": "Past", "email": format!("{name}@past.example") });
    for name in customers {
        town.playground.shopify.create_customer(person(name)).unwrap();
    }
    for name in profiles {
        town.playground.omneo.create_profile(person(name)).unwrap();
    }
    // Nobody was there to hear of it.
    town.playground.shopify.outbox().take();
    town.playground.omneo.outbox().take();
    town.automatic();
    town.clock.advance(DAY_MS);
    town
}

fn wanted(pulls: &[&str]) -> Wanted {
    Wanted { pulls: pulls.iter().map(|pull| (*pull).to_owned()).collect(), agreed: true, ..Wanted::default() }
}

/// Begins an import and waits until it is over, and everything that comes of it.
async fn imported(town: &Town, wanted: Wanted) -> Import {
    let begun = town.playground.server.imports.begin(TENANT, wanted, "olga").await.unwrap();
    over(town, begun.id).await
}

async fn over(town: &Town, id: i64) -> Import {
    let began = Instant::now();
    loop {
        let imports = town.playground.server.journal.read(|reader| reader.imports(TENANT)).unwrap();
        let import = imports.into_iter().find(|import| import.id == id).unwrap();
        if !import.state.is_open() {
            town.settle().await;
            return import;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{import:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many items of each collection were read, were in step, and became events.
fn counts(import: &Import) -> Vec<(&str, u64, u64, u64)> {
    import.readings.iter().map(|reading| (&*reading.pull, reading.items, reading.in_step, reading.events)).collect()
}

fn first_names(people: &[Value]) -> Vec<&str> {
    let mut names: Vec<_> = people.iter().filter_map(|person| person["first_name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_shop_with_a_past_is_brought_in_step_and_reading_again_does_nothing() {
    let town = with_past(&["Ada", "Bea"], &["Bea", "Cleo"]).await;
    let import = imported(&town, wanted(&["profiles", "customers"])).await;
    assert_eq!((import.state, import.why.as_str()), (ImportState::Done, "everything was read"), "{import:?}");
    assert_eq!(counts(&import)[0], ("profiles", 2, 0, 2));
    assert_eq!(first_names(&town.playground.shopify.customers()), ["Ada", "Bea", "Cleo"], "{:?}", town.outcomes(0));
    assert_eq!(first_names(&town.profiles()), ["Ada", "Bea", "Cleo"], "{:?}", town.outcomes(0));
    assert_eq!(town.dead_letters(), [""; 0]);

    // Once more, and a third time: by then both sides have told of everything.
    imported(&town, wanted(&["profiles", "customers"])).await;
    let (events, before) = (town.events().len(), calls(&town));
    let import = imported(&town, wanted(&["profiles", "customers"])).await;
    assert_eq!(counts(&import), [("profiles", 3, 3, 0), ("customers", 3, 3, 0)]);
    assert_eq!(town.events().len(), events, "what is in step is counted and not journalled");
    assert_eq!(calls(&town) - calls_of_pages(&import), before, "what is in step costs no call");
    town.stop().await;
}

fn calls(town: &Town) -> u64 {
    (town.playground.shopify.requests().len() + town.playground.omneo.requests().len()) as u64
}

fn calls_of_pages(import: &Import) -> u64 {
    import.readings.iter().map(|reading| reading.pages).sum()
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_can() {
    let town = Town::new().await;
    let imports = &town.playground.server.imports;
    let refused = async |wanted: Wanted| imports.begin(TENANT, wanted, "olga").await.map(drop).unwrap_err().to_string();
    let since = |since: &str| Wanted { since: Some(since.into()), ..wanted(&["profiles"]) };
    assert!(
        refused(wanted(&["rewards"])).await.starts_with("the rules have no collection `rewards`\nhint: they have ")
    );
    assert!(refused(since("tomorrow")).await.contains("neither a date nor a time"));
    assert!(refused(since("2999-01-01")).await.contains("not in the past"));
    assert!(
        refused(wanted(&["orders"]))
            .await
            .starts_with("`orders` cannot be read yet: orders are read only from a day on")
    );
    let begun = imports.begin(TENANT, Wanted { agreed: true, ..Wanted::default() }, "olga").await.unwrap();
    assert!(
        begun.why.starts_with("`orders` is left out: ")
            && begun.readings.iter().all(|reading| reading.pull != "orders")
    );
    let nobody = imports.begin("zeta", Wanted::default(), "olga").await;
    assert!(matches!(nobody, Err(Refused::NoVersion(tenant)) if tenant == "zeta"));
    town.stop().await;
}

#[tokio::test]
async fn one_import_is_open_at_a_time_and_is_paused_resumed_and_cancelled() {
    let town = with_past(&["Ada"], &[]).await;
    let server = &town.playground.server;
    // Nothing answers, so that the import stays where it is.
    server.journal.pause(TENANT, "omneo", "for a test").await.unwrap();
    server.imports.begin(TENANT, wanted(&["profiles"]), "olga").await.unwrap();
    assert!(matches!(server.imports.begin(TENANT, wanted(&["profiles"]), "olga").await, Err(Refused::Open(_))));
    for (to, state) in
        [(ImportState::Paused, "paused"), (ImportState::Running, "running"), (ImportState::Cancelled, "cancelled")]
    {
        server.imports.set(TENANT, to, "for a test", "olga").await.unwrap();
        let imports = server.journal.read(|reader| reader.imports(TENANT)).unwrap();
        assert_eq!((imports[0].state.name(), imports[0].why.as_str()), (state, "for a test"));
    }
    let again = server.imports.set(TENANT, ImportState::Running, "for a test", "olga").await;
    assert!(matches!(again, Err(Refused::NotOpen(_))), "what is cancelled stays so");
    server.resume(TENANT, "omneo").await.unwrap();
    let import = imported(&town, wanted(&["customers"])).await;
    assert_eq!((import.state, counts(&import)), (ImportState::Done, vec![("customers", 1, 0, 1)]));
    town.stop().await;
}

/// The host stops in the middle of a page, and in the middle of the events of one.
#[tokio::test]
async fn an_import_goes_on_after_a_restart() {
    let town = with_past(&["Ada", "Bea", "Cleo"], &["Dora"]).await;
    let server = &town.playground.server;
    server.journal.pause(TENANT, "omneo", "for a test").await.unwrap();
    server.imports.begin(TENANT, wanted(&["customers", "profiles"]), "olga").await.unwrap();
    let town = town.configured(|_| {}).await;
    town.playground.server.resume(TENANT, "omneo").await.unwrap();
    let began = Instant::now();
    let server = &town.playground.server;
    let import = loop {
        let import = server.journal.read(|reader| reader.imports(TENANT)).unwrap().remove(0);
        if !import.state.is_open() {
            break import;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{import:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    town.settle().await;
    assert_eq!(import.state, ImportState::Done, "{import:?}");
    assert_eq!(
        first_names(&town.playground.shopify.customers()),
        ["Ada", "Bea", "Cleo", "Dora"],
        "{:?}",
        town.outcomes(0)
    );
    assert_eq!(first_names(&town.profiles()), ["Ada", "Bea", "Cleo", "Dora"]);
    town.stop().await;
}

fn lose(town: &Town, losing: Losing) {
    town.playground.shopify.outbox().lose(losing);
    town.playground.omneo.outbox().lose(losing);
}

/// Reconciles and waits until it is over, and everything that comes of it.
async fn reconciled(town: &Town, wanted: Reconciling) -> Import {
    let begun = town.playground.server.imports.reconcile(TENANT, wanted, "olga").await.unwrap();
    over(town, begun.id).await
}

/// Readings of a reconciliation by names, with what was missing.
fn missing(import: &Import) -> Vec<(&str, u64)> {
    let by_names = import.readings.iter().filter(|reading| reading.names_of.is_some());
    by_names.map(|reading| (&*reading.pull, reading.missing)).collect()
}

/// What has changed on either side, come, and gone while no webhook arrived.
#[tokio::test]
async fn what_no_webhook_has_told_is_found_and_looking_again_does_nothing() {
    let town = with_past(&["Ada", "Bea"], &["Cleo"]).await;
    imported(&town, wanted(&["profiles", "customers"])).await;
    let of = |name: &str| {
        let customers = town.playground.shopify.customers();
        customers.iter().find(|customer| customer["first_name"] == name).unwrap()["id"].as_u64().unwrap()
    };
    let (ada, bea) = (of("Ada"), of("Bea"));
    town.clock.advance(60_000);
    lose(&town, Losing::Everything);
    town.playground.shopify.update_customer(ada, json!({ "first_name": "Augusta" })).unwrap();
    assert!(town.playground.shopify.delete_customer(bea));
    town.playground.omneo.create_profile(json!({ "first_name": "Dora", "email": "dora@past.example" })).unwrap();
    lose(&town, Losing::Nothing);
    assert_eq!(town.playground.server.journal.read(|reader| reader.unfinished_count()).unwrap(), 0);

    let plan = reconciled(&town, Reconciling { names: true, plan: true, ..Reconciling::default() }).await;
    let not_in_step = |import: &Import| -> Vec<_> {
        import
            .readings
            .iter()
            .filter(|reading| reading.events > 0)
            .map(|reading| (reading.pull.clone(), reading.events))
            .collect()
    };
    assert_eq!(not_in_step(&plan), [("profiles".to_owned(), 1), ("customers".to_owned(), 1)], "{plan:?}");
    assert!(missing(&plan).contains(&("customers", 1)));
    assert_eq!(first_names(&town.playground.shopify.customers()), ["Augusta", "Cleo"], "nothing was made of a plan");

    let import = reconciled(&town, Reconciling { names: true, ..Reconciling::default() }).await;
    assert_eq!(import.state, ImportState::Done, "{import:?}");
    assert_eq!(missing(&import).iter().map(|(_, missing)| missing).sum::<u64>(), 1, "{import:?}");
    assert_eq!(first_names(&town.playground.shopify.customers()), ["Augusta", "Cleo", "Dora"]);
    assert_eq!(first_names(&town.profiles()), ["Augusta", "Bea", "Cleo", "Dora"]);
    let profiles = town.profiles();
    let identities = &profiles.iter().find(|profile| profile["first_name"] == "Bea").unwrap()["identities"];
    assert_eq!(*identities, json!([]), "{:?}", town.outcomes(0));
    assert_eq!(town.dead_letters(), [""; 0]);

    // Once more, since what was written has been heard of meanwhile; and then nothing is left to do.
    reconciled(&town, Reconciling { names: true, ..Reconciling::default() }).await;
    let (events, before) = (town.events().len(), calls(&town));
    let import = reconciled(&town, Reconciling { names: true, ..Reconciling::default() }).await;
    assert_eq!(town.events().len(), events, "{:?}", town.outcomes(events));
    assert_eq!(calls(&town) - calls_of_pages(&import), before);
    town.stop().await;
}

/// A list that is cut off looks as if everything behind it were gone.
#[tokio::test]
async fn a_list_that_lies_takes_nobody_away() {
    let town = with_past(&["Ada"], &[]).await;
    imported(&town, wanted(&["profiles", "customers"])).await;
    let empty = json!({ "data": {
        "customers": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } },
        "customersCount": { "count": 0 },
    } });
    let faults = town.playground.shopify.faults();
    faults.alter(Rule::operation("PullCustomerNames"), move |answer| *answer = empty.clone());
    let import = reconciled(&town, Reconciling { names: true, ..Reconciling::default() }).await;
    assert!(missing(&import).contains(&("customers", 1)), "{import:?}");
    let end = town.events().into_iter().find(|event| event.event.webhook.topic == "missing/customers").unwrap();
    assert_eq!(end.outcome.as_deref(), Some("skipped"));
    assert_eq!(end.reason.as_deref(), Some("Shopify still has it, though a list did not show it"));
    assert_eq!(town.profiles()[0]["identities"].as_array().unwrap().len(), 1);
    town.stop().await;
}

/// Each reading begins where the one before has ended, with an overlap; one of an import counts as well.
#[tokio::test]
async fn a_reconciliation_begins_where_the_last_reading_ended() {
    let town = with_past(&["Ada"], &[]).await;
    let server = &town.playground.server;
    let since = |import: &Import, pull: &str| {
        let reading = import.readings.iter().find(|reading| reading.pull == pull).unwrap();
        tandem::clock::parse(reading.since.as_ref().unwrap()).unwrap()
    };
    let served = server.journal.read(|reader| reader.served_since(TENANT)).unwrap().unwrap();
    let import = imported(&town, wanted(&["customers"])).await;
    let first = reconciled(&town, Reconciling::default()).await;
    assert_eq!(since(&first, "customers"), import.readings[0].begun_at.unwrap() - 3_600_000);
    assert_eq!(since(&first, "profiles"), served - 3_600_000, "profiles were never read");
    let plan = reconciled(&town, Reconciling { plan: true, ..Reconciling::default() }).await;
    let second = reconciled(&town, Reconciling::default()).await;
    assert_eq!(since(&second, "profiles"), since(&plan, "profiles"), "a plan moves nothing");
    assert!(since(&second, "profiles") > served - 3_600_000);
    assert!(first.readings.iter().all(|reading| reading.pull != "orders"), "orders cannot be read yet");
    town.stop().await;
}

/// The host does so by itself, once a night, and by names when it has not done that for a week.
#[tokio::test]
async fn a_night_begins_one_reconciliation() {
    let town = with_past(&["Ada"], &[]).await;
    lose(&town, Losing::Everything);
    let an_hour_ago = (tandem::clock::now() / 60_000 - 61).rem_euclid(24 * 60);
    let nightly = Nightly { at: u16::try_from(an_hour_ago).unwrap(), names_on: Some(0) };
    let town = town
        .configured(|config| {
            config.reconcile = Some(nightly);
            // The tenant was first served a month ago.
            let journal = rusqlite::Connection::open(&config.journal).unwrap();
            journal.execute("UPDATE activations SET at = at - 30 * ?", [DAY_MS]).unwrap();
        })
        .await;
    let own = || -> Vec<Import> {
        let imports = town.playground.server.journal.read(|reader| reader.imports(TENANT)).unwrap();
        imports.into_iter().filter(|import| import.by == HOST).collect()
    };
    let began = Instant::now();
    while own().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let import = over(&town, own()[0].id).await;
    assert_eq!(import.state, ImportState::Done, "{import:?}");
    assert!(import.readings.iter().any(|reading| reading.names_of.is_some()), "{import:?}");
    assert_eq!(first_names(&town.profiles()), ["Ada"]);
    let now = tandem::clock::now();
    let late = |before: i64| -> Vec<String> {
        let found = town.playground.server.journal.read(|reader| reader.not_reconciled_since(before, 10)).unwrap();
        found.into_iter().map(|(tenant, _)| tenant).collect()
    };
    assert_eq!((late(now - 3 * DAY_MS), late(now + DAY_MS)), (vec![], vec![TENANT.to_owned()]));
    let town = town
        .configured(|config| {
            config.reconcile = Some(nightly);
            let journal = rusqlite::Connection::open(&config.journal).unwrap();
            journal.execute("UPDATE imports SET state = 'paused'", []).unwrap();
        })
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let server = &town.playground.server;
    let found = server.journal.read(|reader| reader.not_reconciled_since(now - 3 * DAY_MS, 10)).unwrap();
    assert_eq!(found, [(TENANT.to_owned(), None)], "one that is paused is none");
    let imports = town.playground.server.journal.read(|reader| reader.imports(TENANT)).unwrap();
    assert_eq!(imports.len(), 1, "a restart is no night");
    town.stop().await;
}

/// A plan says what there would be to do, and whom to look at first. It writes nothing anywhere.
#[tokio::test]
async fn a_plan_shows_what_the_rules_would_do_and_what_is_in_doubt() {
    let town = with_past(&["Ada", "Bea"], &["Bea", "Cleo"]).await;
    let shopify = &town.playground.shopify;
    town.by_hand();
    for (name, phone, email) in
        [("Dan", "+61400000007", "dan@past.example"), ("Eve", "+61400000008", "e.ve@past.example")]
    {
        shopify.create_customer(json!({ "first_name": name, "email": email, "phone": phone })).unwrap();
    }
    for (name, phone, email) in
        [("Eve", "+61400000009", "eve@past.example"), ("Eva", "+61400000010", "eva@past.example")]
    {
        let fields = json!({ "first_name": name, "email": email, "mobile_phone": phone });
        town.playground.omneo.create_profile(fields).unwrap();
    }
    shopify.outbox().take();
    town.playground.omneo.outbox().take();
    town.automatic();
    let writes = || -> Vec<String> {
        let omneo =
            town.playground.omneo.requests().into_iter().map(|request| format!("{} {}", request.method, request.path));
        let shopify = shopify.requests().into_iter().map(|request| request.operation);
        let reads =
            ["GET ", "POST /api/v3/profiles/search-id", "POST /api/v3/profiles/availability", "Pull", "Person", "Find"];
        omneo.chain(shopify).filter(|line| !reads.iter().any(|read| line.starts_with(read))).collect()
    };
    let before = writes();
    let import = imported(&town, Wanted { plan: true, agreed: false, ..wanted(&["profiles", "customers"]) }).await;
    assert_eq!(writes(), before);
    assert_eq!(town.events().len(), 0);
    assert_eq!(counts(&import), [("profiles", 4, 0, 4), ("customers", 4, 0, 4)]);
    let sample = |at: usize| -> Vec<(&str, u64)> {
        import.readings[at].sample.iter().map(|sampled| (&*sampled.what, sampled.items)).collect()
    };
    assert_eq!(sample(0).iter().map(|(_, items)| items).sum::<u64>(), 4, "{:?}", sample(0));
    assert!(sample(0).iter().all(|(what, _)| what.starts_with("would write: ")), "{:?}", sample(0));
    assert!(sample(1).contains(&("would write: POST omneo /profiles", 3)), "{:?}", sample(1));
    let shared = town.playground.server.journal.read(|reader| reader.shared(TENANT)).unwrap();
    assert_eq!(shared.collections["customers"].matched, 1, "{shared:?}");
    let alike: Vec<_> = shared.alike.iter().map(|one| (&*one.kind, &*one.collection, one.clues)).collect();
    assert_eq!(alike, [("alike", "", 1), ("note/test person", "customers", 4), ("note/test person", "profiles", 4),]);
    town.stop().await;
}

/// A merchant who has switched a direction off wants nothing written by an import either; and what is held waits.
#[tokio::test]
async fn what_is_dropped_is_not_read_and_what_is_held_waits() {
    let town = with_past(&["Ada"], &["Bea"]).await;
    let server = &town.playground.server;
    let to = async |mode: Mode| {
        let (tenant, source) = (TENANT.to_owned(), "shopify".to_owned());
        let (by, why) = ("olga".to_owned(), "for a test".to_owned());
        server.journal.direct(Direction { tenant, source, mode, since: 0, by, why }).await.unwrap();
    };
    to(Mode::Drop).await;
    let refused = server.imports.begin(TENANT, wanted(&["customers"]), "olga").await.unwrap_err().to_string();
    assert!(refused.starts_with("`customers` cannot be read yet: what comes from shopify is dropped"), "{refused}");
    let import = imported(&town, Wanted { agreed: true, ..Wanted::default() }).await;
    assert!(import.readings.iter().all(|reading| reading.source == "omneo"), "{import:?}");
    let import = reconciled(&town, Reconciling { names: true, ..Reconciling::default() }).await;
    assert!(import.readings.iter().all(|reading| reading.source == "omneo"), "{import:?}");
    assert_eq!(first_names(&town.profiles()), ["Bea"]);
    // Held from the middle of the import on, nothing of it is done, what is missing included.
    to(Mode::Run).await;
    imported(&town, wanted(&["customers"])).await;
    let customers = town.playground.shopify.customers();
    let ada = customers.iter().find(|customer| customer["first_name"] == "Ada").unwrap()["id"].as_u64().unwrap();
    to(Mode::Hold).await;
    lose(&town, Losing::Everything);
    assert!(town.playground.shopify.delete_customer(ada));
    lose(&town, Losing::Nothing);
    let begun = server.imports.reconcile(TENANT, Reconciling { names: true, ..Reconciling::default() }, "olga").await;
    let began = Instant::now();
    let of =
        |id: i64| server.journal.read(|reader| reader.imports(TENANT)).unwrap().into_iter().find(|one| one.id == id);
    while of(begun.as_ref().unwrap().id).is_some_and(|import| import.state.is_open()) {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let identities = |name: &str| {
        let profiles = town.profiles();
        profiles.iter().find(|profile| profile["first_name"] == name).unwrap()["identities"].as_array().unwrap().len()
    };
    assert_eq!(identities("Ada"), 1, "{:?}", town.outcomes(0));
    to(Mode::Run).await;
    town.settle().await;
    assert_eq!(identities("Ada"), 0, "{:?}", town.outcomes(0));
    town.stop().await;
}

/// Shopify fails now and then with a 200. The page is asked for again, and nothing that was read is read anew.
#[tokio::test]
async fn a_page_that_is_refused_once_ends_nothing() {
    let town = with_past(&["Ada"], &["Bea"]).await;
    let failed =
        json!({ "errors": [{ "message": "Internal error.", "extensions": { "code": "INTERNAL_SERVER_ERROR" } }] });
    let faults = town.playground.shopify.faults();
    faults.alter(Rule::operation("PullCustomers").times(1), move |answer| *answer = failed.clone());
    let import = imported(&town, wanted(&["profiles", "customers"])).await;
    assert_eq!(import.state, ImportState::Done, "{import:?}");
    assert_eq!(import.readings[0].pages, 1, "{import:?}");
    assert_eq!(first_names(&town.profiles()), ["Ada", "Bea"]);
    town.stop().await;
}

/// An import that waits for a target has no place among those that are under way, and says what it waits for.
#[tokio::test]
async fn what_waits_for_a_paused_target_keeps_nobody_from_being_read() {
    let town = with_past(&["Ada"], &[]).await;
    let server = &town.playground.server;
    server.journal.pause(TENANT, "shopify", "for a test").await.unwrap();
    let begun = server.imports.begin(TENANT, wanted(&["customers"]), "olga").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let pages =
        |town: &Town| town.playground.shopify.requests().iter().filter(|one| one.operation == "PullCustomers").count();
    assert_eq!(pages(&town), 0);
    server.imports.set(TENANT, ImportState::Cancelled, "for a test", "olga").await.unwrap();
    server.resume(TENANT, "shopify").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(pages(&town), 0, "what is cancelled asks nothing, whatever it waited for");
    let import = imported(&town, wanted(&["customers"])).await;
    assert!(import.id != begun.id && import.state == ImportState::Done, "{import:?}");
    town.stop().await;
}
