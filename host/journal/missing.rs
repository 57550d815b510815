//! Known names that a whole reading of a collection did not list: something was deleted, and no webhook has told of it.
//! Knows no system and no rules.

use rusqlite::{Transaction, params};
use serde_json::json;

use super::names;
use crate::clock;
use crate::model::Webhook;

/// The part of the known names that may be missing without anybody having to look: a reading that lacks more was more likely
/// wrong. Up to so many may be missing anyway.
const PART: usize = 10;
const FEW: usize = 20;
/// Events that one reading makes. What is missing besides is found by the next.
const EVENTS_MAX: usize = 5_000;

/// Notes the names of a page. The first page of a reading begins anew.
pub fn list<'a>(
    tx: &Transaction,
    tenant: &str,
    is_first: bool,
    mut names: impl Iterator<Item = &'a str>,
) -> rusqlite::Result<()> {
    if is_first {
        forget(tx, tenant)?;
    }
    let mut insert = tx.prepare_cached("INSERT INTO listed (tenant, name) VALUES (?, ?) ON CONFLICT DO NOTHING")?;
    names.try_for_each(|name| insert.execute([tenant, name]).map(drop))
}

/// Forgets what was listed.
pub fn forget(tx: &Transaction, tenant: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM listed WHERE tenant = ?", [tenant]).map(drop)
}

/// A reading of names that is over.
pub struct Listed<'a> {
    pub tenant: &'a str,
    pub import: i64,
    pub pull: &'a str,
    /// The system that was asked.
    pub source: &'a str,
    /// The kind of the names: `shopify/customer`.
    pub kind: &'a str,
    /// Whether many names may be gone.
    pub agreed: bool,
}

/// The events of the known names of a kind that were not listed. If it is not credible that so many are
/// gone, gives what to tell a person instead.
pub fn of(tx: &Transaction, listed: Listed) -> rusqlite::Result<Result<Vec<Webhook>, String>> {
    let Listed { tenant, import, pull, source, kind, agreed } = listed;
    let (from, to) = (format!("{kind}/"), format!("{kind}0"));
    let known = "FROM names WHERE tenant = ?1 AND name >= ?2 AND name < ?3 AND NOT retired";
    let count: usize =
        tx.query_row(&format!("SELECT count(*) {known}"), params![tenant, from, to], |row| row.get(0))?;
    let missing: Vec<String> = {
        let mut statement = tx.prepare_cached(&format!(
            "SELECT name {known} AND NOT EXISTS
                 (SELECT 1 FROM listed WHERE listed.tenant = names.tenant AND listed.name = names.name)"
        ))?;
        statement.query_map(params![tenant, from, to], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    if missing.len() > FEW.max(count / PART) && !agreed {
        return Ok(Err(format!(
            "{} of {count} known names of the kind {kind} were not listed, which is not believed; if they are gone, `tandem reconcile {tenant} --names --yes` has them looked at one by one",
            missing.len()
        )));
    }
    let now = clock::now();
    let mut events = vec![];
    for name in missing.into_iter().take(EVENTS_MAX) {
        let Some((_, all)) = names::standing(tx, tenant, &name)? else { continue };
        events.push(Webhook {
            tenant: tenant.to_owned(),
            source: source.to_owned(),
            topic: format!("{MISSING}{pull}"),
            delivery_id: Some(format!("import/{import}/{MISSING}{name}")),
            occurred_at: clock::rfc3339(now),
            received_at: now,
            api_version: String::new(),
            payload: json!({ "name": name, "names": all, "pull": pull }).to_string(),
        });
    }
    Ok(Ok(events))
}

/// How the topics of these events begin; the name of their pull follows. Their source is the system that was read, so that they
/// are held when what comes from it is.
pub const MISSING: &str = "missing/";

#[cfg(test)]
mod tests {
    use super::super::{
        HOST, Import, ImportKind, ImportState, ItemRead as Item, Journal, PageTaken, Reading, TakenPage, Terms,
    };
    use super::*;

    /// A reading of customers by names, of a tenant with these customers.
    async fn reading(known: usize, agreed: bool) -> (tempfile::TempDir, Journal, Import) {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _feeds, _thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        let names = move |tx: &Transaction| {
            for n in 0..known {
                let sql = "INSERT INTO names (tenant, name, entity) VALUES ('acme', ?, ?)";
                tx.execute(sql, params![format!("shopify/customer/{n}"), n])?;
            }
            tx.execute("INSERT INTO names (tenant, name, entity) VALUES ('acme', 'shopify/customers/x', 9999)", [])?;
            tx.execute("INSERT INTO names (tenant, name, entity) VALUES ('zeta', 'shopify/customer/zz', 9998)", [])
        };
        journal.writer.write(names, |_| ()).await.unwrap();
        let by_names = Reading {
            pull: "customers".into(),
            source: "shopify".into(),
            names_of: Some("shopify/customer".into()),
            ..Reading::default()
        };
        let mut import = Import {
            id: 0,
            tenant: "acme".into(),
            began_at: 1,
            ended_at: None,
            by: HOST.into(),
            kind: ImportKind::Reconciliation,
            plan: false,
            agreed,
            state: ImportState::Running,
            why: String::new(),
            since: None,
            readings: vec![by_names],
        };
        import.id = journal.begin_import(import.clone()).await.unwrap().unwrap();
        (folder, journal, import)
    }

    async fn page(journal: &Journal, import: &Import, n: u64, ids: &[usize], is_last: bool, room: u64) -> PageTaken {
        let after =
            Reading { begun_at: Some(1), ended_at: is_last.then_some(2), pages: n, ..import.readings[0].clone() };
        let item = |id| Item { name: format!("shopify/customer/{id}"), clues: vec![] };
        let items = ids.iter().map(item).collect();
        let asked_after = journal.read(|reader| reader.newest_event()).unwrap();
        let page = TakenPage { at: 0, after, events: vec![], items, asked_after, bytes_max: room };
        journal.take_page(import, page).await.unwrap()
    }

    fn read(journal: &Journal) -> Reading {
        journal.read(|reader| reader.imports("acme")).unwrap()[0].readings[0].clone()
    }

    #[tokio::test]
    async fn what_no_page_has_listed_is_missing_and_nothing_else() {
        let (_folder, journal, import) = reading(5, false).await;
        assert_eq!(page(&journal, &import, 1, &[0, 1], false, 1 << 20).await, PageTaken::Yes);
        // The host was killed, and asks again; then there is no room, for now.
        assert_eq!(page(&journal, &import, 1, &[0, 1], false, 1 << 20).await, PageTaken::Moved);
        assert_eq!(page(&journal, &import, 2, &[3, 7], true, 0).await, PageTaken::NoRoom);
        assert_eq!(page(&journal, &import, 2, &[3, 7], true, 1 << 20).await, PageTaken::Yes);
        let reading = read(&journal);
        assert_eq!((reading.missing, reading.why.as_str()), (2, ""));
        let outcomes = journal.read(|reader| reader.outcomes_of_import("acme", import.id)).unwrap();
        assert_eq!(outcomes.len(), 1);
        assert_eq!((outcomes[0].topic.as_str(), outcomes[0].events), ("missing/customers", 2));
        let listed = |tx: &Transaction| tx.query_row("SELECT count(*) FROM listed", [], |row| row.get::<_, u64>(0));
        assert_eq!(journal.writer.write(listed, |_| ()).await.unwrap(), 0);
        assert_eq!(journal.read(|reader| reader.miscounted()).unwrap(), Default::default());
    }

    #[tokio::test]
    async fn many_that_are_missing_are_a_matter_for_a_person() {
        for (known, gone, agreed, believed) in [
            (300, 30, false, true),
            (300, 31, false, false),
            (300, 300, true, true),
            (20, 20, false, true),
            (21, 21, false, false),
        ] {
            let (_folder, journal, import) = reading(known, agreed).await;
            let there: Vec<_> = (gone..known).collect();
            assert_eq!(page(&journal, &import, 1, &there, true, 1 << 30).await, PageTaken::Yes);
            let reading = read(&journal);
            assert_eq!(reading.missing, if believed { gone as u64 } else { 0 }, "{gone} of {known}");
            assert_eq!(reading.why.contains(&format!("{gone} of {known} known names")), !believed, "{}", reading.why);
        }
    }

    #[tokio::test]
    async fn a_page_from_before_a_redaction_is_not_taken() {
        let (_folder, journal, import) = reading(1, false).await;
        let webhook = |topic: &str| Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: topic.into(),
            delivery_id: None,
            occurred_at: String::new(),
            received_at: 0,
            api_version: String::new(),
            payload: "{}".into(),
        };
        for (topic, taken) in [("orders/paid", PageTaken::Yes), ("customers/redact", PageTaken::Redacted)] {
            let pages = read(&journal).pages + 1;
            let after = Reading { pages, ..import.readings[0].clone() };
            let asked_after = journal.read(|reader| reader.newest_event()).unwrap();
            journal.take_in(webhook(topic), Terms::default()).await.unwrap();
            let page = TakenPage { at: 0, after, events: vec![], items: vec![], asked_after, bytes_max: 1 << 20 };
            assert_eq!(journal.take_page(&import, page).await.unwrap(), taken, "{topic}");
        }
    }
}
