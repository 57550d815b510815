//! Every event of a day between the stand-ins becomes a case that holds, in which nobody can be found again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::town::{RULES, Town, order, plugin};
use serde_json::{Value, json};
use tandem::journal::Reader;
use tandem::model::EventId;
use tandem::record::{Recorded, record};
use tandem::sandbox::{Case, Rules};
use tandem_standin::{Fault, Rule};

/// A day with what there is to hide; and everything that must not be found again.
async fn day(town: &Town) -> Vec<String> {
    let (shopify, omneo) = (town.playground.shopify.clone(), town.playground.omneo.clone());
    let (customer, profile) = town.ada().await;
    let address = json!({"address1": "12 Saint James Square", "address2": "Flat 3", "city": "Marylebone",
        "zip": "3065", "country": "Australia", "country_code": "AU", "province": "Victoria", "province_code": "VIC",
        "first_name": "Ada", "last_name": "Lovelace", "phone": "+61400000001", "company": "Analytical Engines"});
    shopify.update_customer(customer, json!({"first_name": "Augusta Ada", "addresses": [address]})).unwrap();
    shopify.set_email_consent(customer, "subscribed", None).unwrap();
    shopify.add_tags(customer, &["vip"]).unwrap();
    town.settle().await;
    town.clock.advance(60_000);
    let mut paid = order(5_500_000_004_501, Some(customer), "paid");
    paid["note"] = json!("Please ring Mary Somerville next door");
    paid["browser_ip"] = json!("203.0.113.77");
    paid["client_details"] = json!({"user_agent": "Difference/2.0 (Babbage)", "browser_ip": "203.0.113.77"});
    paid["note_attributes"] = json!([{"name": "Gift for", "value": "Charlotte"}]);
    paid["updated_at"] = json!("2026-11-02T20:00:09+11:00");
    // What the rules call a discount comes back in the answer, and stays theirs.
    paid["line_items"][0]["discount_allocations"] = json!([{"amount": "1.00", "discount_application_index": 0}]);
    (paid["total_price"], paid["total_discounts"]) = (json!("18.90"), json!("1.00"));
    shopify.send_order("orders/paid", paid);
    let mut pending = order(5_500_000_004_503, Some(customer), "pending");
    (pending["name"], pending["order_number"]) = (json!("#1003"), json!(1003));
    shopify.send_order("orders/create", pending);
    let mut guest = order(5_500_000_004_502, None, "paid");
    guest["email"] = json!("Wandering.Visitor@passing.dev");
    shopify.send_order("orders/paid", guest);
    town.settle().await;
    town.clock.advance(60_000);
    omneo
        .update_profile(
            &profile,
            json!({"last_name": "Byron", "mobile_phone": "+61400000009", "birth_date": "1815-12-10"}),
        )
        .unwrap();
    omneo.create_profile(json!({"first_name": "Grace", "last_name": "Hopper", "email": "grace@hopper.dev"})).unwrap();
    town.settle().await;
    shopify.send("carts/update", json!({"id": "c1-7a2165f9", "note": "for Mary Somerville"}));
    town.settle().await;
    let mut hidden: Vec<String> = [
        "Augusta",
        "Lovelace",
        "Byron",
        "Grace",
        "Hopper",
        "Somerville",
        "Babbage",
        "Charlotte",
        "Saint James",
        "Marylebone",
        "Analytical",
        "passing.dev",
        "lovelace.dev",
        "hopper.dev",
        "Wandering",
        "400000001",
        "400000009",
        "203.0.113.77",
        "1815-12-10",
        "5500000004501",
        "5500000004502",
        "5500000004503",
        "#1003",
        "\"1003\"",
        "7a2165f9",
    ]
    .map(str::to_lowercase)
    .into();
    hidden.extend(town.profiles().iter().filter_map(|profile| profile["id"].as_str().map(str::to_owned)));
    hidden.extend(shopify.customers().iter().map(|customer| customer["id"].to_string()));
    hidden
}

fn recorded(journal: &Path, plugin: &tandem::rules::Plugin, id: EventId) -> anyhow::Result<Recorded> {
    record(&Reader::open(journal).unwrap(), plugin, id)
}

fn texts(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    files.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_becomes_a_case_that_holds_and_hides_everybody() {
    let town = Town::new().await;
    let hidden = day(&town).await;
    let (cases, plugin) = (tempfile::tempdir().unwrap(), plugin(RULES).await);
    let journal = town.folder.path().join("town.db");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for event in town.events() {
        let (id, topic) = (event.event.id, &event.event.webhook.topic);
        let case = recorded(&journal, &plugin, id).unwrap();
        assert_eq!(case.difference, None, "{id} {topic}: {:?}", event.reason);
        let folder = case.write(cases.path(), &format!("event-{id}")).unwrap();
        #[cfg(unix)]
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).chain([folder.clone()]) {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap()) & 0o777;
            assert_eq!(mode, if path == folder { 0o700 } else { 0o600 }, "{}", path.display());
        }
        let case = Case::read(&folder).unwrap();
        assert_eq!(case.run(&Rules::from(&plugin), None).wrong(), None, "{id} {topic}");
        let text = texts(&folder).to_lowercase();
        let found: Vec<_> = hidden.iter().filter(|value| text.contains(value.as_str())).collect();
        assert!(found.is_empty(), "{id} {topic}: {found:?} in\n{text}");
        *seen.entry(format!("{topic} {}", event.outcome.unwrap_or_default())).or_default() += 1;
    }
    for done in [
        "customers/create done",
        "customers/update done",
        "orders/paid done",
        "profile.updated done",
        "profile.created done",
        "carts/update skipped",
    ] {
        assert!(seen.contains_key(done), "{seen:?}");
    }
    town.stop().await;
}

/// The same value is the same everywhere: in the payload, the calls, the replies, the memory and the ending.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_one_stays_one_and_forms_are_kept() {
    let town = Town::new().await;
    day(&town).await;
    let (cases, plugin) = (tempfile::tempdir().unwrap(), plugin(RULES).await);
    let journal = town.folder.path().join("town.db");
    let id = town.events().iter().find(|event| event.event.webhook.topic == "customers/create").unwrap().event.id;
    let folder = recorded(&journal, &plugin, id).unwrap().write(cases.path(), "a-sign-up").unwrap();
    let payload: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("payload.json")).unwrap()).unwrap();
    let text = |key: &str| payload[key].as_str().unwrap().to_owned();
    let (first, last, email, phone) = (text("first_name"), text("last_name"), text("email"), text("phone"));
    assert_eq!(email, format!("{}@{}", first.to_lowercase(), email.split_once('@').unwrap().1));
    assert!(phone.starts_with("+61") && phone.len() == "+61400000001".len(), "{phone}");
    let talk = std::fs::read_to_string(folder.join("transcript.http")).unwrap();
    let memory = std::fs::read_to_string(folder.join("memory.after.json")).unwrap();
    let customer = payload["id"].to_string();
    for value in [&first, &last, &email, &phone, &customer] {
        assert!(talk.contains(value.as_str()), "{value} in\n{talk}");
    }
    assert!(memory.contains(&customer), "{memory}");
    let real = town.playground.shopify.customers()[0]["id"].to_string();
    assert!(real.len() == customer.len() && real != customer);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_as_it_did_is_said() {
    let town = Town::new().await;
    let (customer, _) = town.ada().await;
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    town.settle().await;
    let updated = town
        .events()
        .iter()
        .rfind(|event| event.event.webhook.topic == "customers/update" && event.calls > 0)
        .unwrap()
        .event
        .id;
    let folder = town.folder.path();
    std::fs::write(folder.join("acme.toml"), RULES).unwrap();
    std::fs::write(folder.join("other.toml"), format!("{RULES}[fields]\nlast_name = false\n")).unwrap();
    std::fs::write(folder.join("tandem.toml"), "journal = \"town.db\"\n[tenants.acme]\nrules = \"acme.toml\"\n")
        .unwrap();
    let tandem = |arguments: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        let output = command.args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let case = format!("cases/shopify/customers-update/event-{updated}");
    assert_eq!(tandem(&format!("record {updated} -o cases")), (0, format!("{case}\n"), String::new()));
    assert_eq!(tandem("test cases --rules acme.toml").0, 0);
    let there = format!("error: there is a case `{case}` already\nhint: `--name NAME` gives this one another\n");
    assert_eq!(tandem(&format!("record {updated} -o cases")), (2, String::new(), there));
    let (status, stdout, stderr) = tandem(&format!("record {updated} -o cases --name renamed --rules other.toml"));
    assert_eq!((status, stdout), (1, "cases/shopify/customers-update/renamed\n".into()));
    assert!(stderr.contains("\nerror: with invented values the event does not run as it did; the case holds what it did\nhint: give the rules that it ran with: their digest begins with "), "{stderr}");
    assert!(stderr.starts_with("--- the event, expected\n"), "{stderr}");
    for (arguments, said) in [
        ("record 999 -o cases", "error: there is no event 999 in the journal\nhint: `tandem events` lists them\n"),
        (
            "record 1 -o cases --journal no.db",
            "error: reading the journal `no.db`: No such file or directory (os error 2)\nhint: `tandem serve` makes it at its first start; `--journal FILE` names another\n",
        ),
        (
            "record 1 -o cases --journal town.db",
            "error: it is not known which rules the event ran with\nhint: `--rules FILE` names them\n",
        ),
    ] {
        assert_eq!(tandem(arguments), (2, String::new(), said.into()), "{arguments}");
    }
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_over_waits() {
    let town = Town::new().await;
    let (customer, _) = town.ada().await;
    town.playground.omneo.faults().add(Rule::path("GET /profiles"), Fault::Status(503));
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    let began = std::time::Instant::now();
    let waiting = loop {
        if let Some(event) = town.events().into_iter().find(|event| event.outcome.is_none()) {
            break event.event.id;
        }
        assert!(began.elapsed().as_secs() < 10, "nothing waits");
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    };
    let journal: PathBuf = town.folder.path().join("town.db");
    let why = recorded(&journal, &plugin(RULES).await, waiting).err().unwrap().to_string();
    assert_eq!(why, format!("event {waiting} is not over yet\nhint: `tandem events {waiting}` says what it waits for"));
    town.playground.stop().await.unwrap();
}
