//! Stories of a shop that has a past when Tandem comes to it: read, brought in step, and read again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem::imports::{Refused, Wanted};
use tandem::journal::{Import, ImportState};
use tandem::playground::TENANT;

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
    let server = &town.playground.server;
    let begun = server.imports.begin(TENANT, wanted, "olga").await.unwrap();
    let began = Instant::now();
    loop {
        let imports = server.journal.read(|reader| reader.imports(TENANT)).unwrap();
        let import = imports.into_iter().find(|import| import.id == begun.id).unwrap();
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
