//! Clues: what may tell that items of different collections are about the same thing, as e-mail addresses do. Only digests are
//! kept. Joins nothing; says what is shared by whom.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Transaction, params};
use sha2::{Digest as _, Sha256};

use super::Reader;
use crate::clock;

/// How much of a digest is kept: two clues of a tenant do not have the same.
const DIGEST_BYTES: usize = 16;
/// Groups of each kind that are named, and names of a group.
const GROUPS_MAX: usize = 20;
const NAMES_MAX: usize = 10;
/// A clue of this kind tells something of each of its items: `note/test person`. It is shared without any doubt.
const NOTE: &str = "note";
/// Clues of this kind are e-mail addresses without what people write differently, such as dots. Items that share one and not
/// the address itself may be about the same person, and are not taken for it.
const ALIKE: &str = "alike";
const EMAIL: &str = "email";

/// What a tenant's items share, as they were last read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    /// By collection: how many items share a clue with exactly one item of another collection, and with nobody else; how many
    /// share one with several; and how many with nobody.
    pub collections: BTreeMap<String, Standing>,
    /// Clues that several items of one collection share, by kind and collection.
    pub alike: Vec<Alike>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    pub matched: u64,
    pub doubtful: u64,
    pub alone: u64,
}

/// Clues of a kind that several items of a collection share.
#[derive(Clone, Debug, PartialEq)]
pub struct Alike {
    /// `email`; for a note, the whole of it: `note/test person`.
    pub kind: String,
    /// Empty for `alike`, whose items may be of several collections.
    pub collection: String,
    /// How many clues; of a note, how many items.
    pub clues: u64,
    /// The names of the items of some of them.
    pub groups: Vec<Vec<String>>,
}

impl Alike {
    fn of(kind: &str, collection: &str) -> Self {
        Self { kind: kind.to_owned(), collection: collection.to_owned(), clues: 0, groups: vec![] }
    }
}

/// Notes the clues of a page's items in place of what was known of them. `begins`: everything is read, from this page on.
pub fn note<'a>(
    tx: &Transaction,
    tenant: &str,
    pull: &str,
    begins: bool,
    items: impl Iterator<Item = (&'a str, &'a [String])>,
) -> rusqlite::Result<()> {
    if begins {
        tx.execute("DELETE FROM clues WHERE tenant = ? AND pull = ?", params![tenant, pull])?;
    }
    let now = clock::now();
    let mut forget = tx.prepare_cached("DELETE FROM clues WHERE tenant = ? AND name = ?")?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO clues (tenant, clue, name, kind, pull, read_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    for (name, clues) in items {
        if !begins {
            forget.execute(params![tenant, name])?;
        }
        for clue in clues {
            let (kind, _) = clue.split_once('/').unwrap_or((clue, ""));
            // A note is the same for everybody, and says nothing of a single person.
            let kind = if kind == NOTE { clue } else { kind };
            insert.execute(params![tenant, digest(tenant, clue), name, kind, pull, now])?;
        }
    }
    Ok(())
}

fn digest(tenant: &str, clue: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(tenant);
    digest.update([0]);
    digest.update(clue);
    digest.finalize()[..DIGEST_BYTES].to_vec()
}

impl Reader {
    /// What a tenant's items share.
    pub fn shared(&self, tenant: &str) -> anyhow::Result<Shared> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT clue, kind, pull, name FROM clues WHERE tenant = ? ORDER BY clue, pull, name")?;
        let mut rows = statement.query([tenant])?;
        let mut collected = Collected::default();
        let mut of: Option<(Vec<u8>, String)> = None;
        let mut items: Vec<(String, String)> = vec![];
        while let Some(row) = rows.next()? {
            let (clue, kind): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
            if of.as_ref().is_none_or(|(last, _)| *last != clue)
                && let Some((last, kind)) = of.replace((clue, kind))
            {
                collected.add(&kind, &last, std::mem::take(&mut items));
            }
            items.push((row.get(2)?, row.get(3)?));
        }
        if let Some((last, kind)) = of {
            collected.add(&kind, &last, items);
        }
        Ok(collected.shared())
    }

    /// The names of the items that had a clue when they were last read, each with the time of that.
    pub fn with_clue(&self, tenant: &str, clue: &str) -> anyhow::Result<Vec<(String, i64)>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT name, read_at FROM clues WHERE tenant = ? AND clue = ? ORDER BY name LIMIT ?")?;
        let rows = statement
            .query_map(params![tenant, digest(tenant, clue), NAMES_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// How one item stands, the worse the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stands {
    Alone,
    Matched,
    Doubtful,
}

#[derive(Default)]
struct Collected {
    items: HashMap<(String, String), Stands>,
    /// The address of each item, and the items whose addresses are nearly the same.
    addresses: HashMap<String, Vec<u8>>,
    nearly: Vec<Vec<String>>,
    alike: BTreeMap<(String, String), Alike>,
}

impl Collected {
    /// Takes in a clue and the items that have it, each with its collection first.
    fn add(&mut self, kind: &str, clue: &[u8], items: Vec<(String, String)>) {
        if kind == ALIKE {
            if items.len() > 1 {
                self.nearly.push(items.into_iter().map(|(_, name)| name).collect());
            }
            return;
        }
        if kind == EMAIL {
            self.addresses.extend(items.iter().map(|(_, name)| (name.clone(), clue.to_vec())));
        }
        let is_note = kind.starts_with(NOTE);
        let mut by_collection: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (collection, name) in &items {
            by_collection.entry(collection).or_default().push(name.clone());
        }
        let is_doubtful = by_collection.values().any(|names| names.len() > 1);
        let stands = match by_collection.len() {
            _ if is_note => Stands::Alone,
            _ if is_doubtful => Stands::Doubtful,
            1 => Stands::Alone,
            _ => Stands::Matched,
        };
        for (collection, names) in by_collection {
            if names.len() > 1 || is_note {
                let of = || Alike::of(kind, collection);
                let alike = self.alike.entry((kind.to_owned(), collection.to_owned())).or_insert_with(of);
                alike.clues += if is_note { names.len() as u64 } else { 1 };
                if alike.groups.len() < GROUPS_MAX {
                    alike.groups.push(names.into_iter().take(NAMES_MAX).collect());
                }
            }
        }
        for item in items {
            let known = self.items.entry(item).or_insert(stands);
            *known = (*known).max(stands);
        }
    }

    fn shared(mut self) -> Shared {
        let (addresses, nearly) = (&self.addresses, std::mem::take(&mut self.nearly));
        let address = |name: &String| addresses.get(name);
        let differ = |names: &Vec<String>| names.iter().any(|name| address(name) != address(&names[0]));
        let nearly: Vec<_> = nearly.into_iter().filter(differ).collect();
        if !nearly.is_empty() {
            let some = nearly.iter().take(GROUPS_MAX).map(|names| names.iter().take(NAMES_MAX).cloned().collect());
            let groups = some.collect();
            let alike = Alike { clues: nearly.len() as u64, groups, ..Alike::of(ALIKE, "") };
            self.alike.insert((ALIKE.to_owned(), String::new()), alike);
        }
        let mut collections: BTreeMap<String, Standing> = BTreeMap::new();
        for ((collection, _), stands) in self.items {
            let standing = collections.entry(collection).or_default();
            *match stands {
                Stands::Alone => &mut standing.alone,
                Stands::Matched => &mut standing.matched,
                Stands::Doubtful => &mut standing.doubtful,
            } += 1;
        }
        Shared { collections, alike: self.alike.into_values().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Journal;
    use super::*;

    #[tokio::test]
    async fn what_is_shared_is_told_apart_from_what_matches_and_what_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _feeds, _thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        let put = async |pull: &'static str, begins: bool, items: &[(&str, &[&str])]| {
            let items: Vec<(String, Vec<String>)> = items
                .iter()
                .map(|(name, clues)| ((*name).to_owned(), clues.iter().map(|clue| (*clue).to_owned()).collect()))
                .collect();
            let job = move |tx: &Transaction| {
                note(tx, "acme", pull, begins, items.iter().map(|(name, clues)| (&**name, &**clues)))
            };
            journal.writer.write(job, |()| ()).await.unwrap();
        };
        put("profiles", true, &[("p/1", &["email/ada", "phone/1"]), ("p/2", &["email/bea"]), ("p/3", &["email/cleo"])])
            .await;
        put(
            "customers",
            true,
            &[
                ("c/1", &["email/ada", "phone/1"]),
                ("c/2", &["email/bea", "phone/2"]),
                ("c/3", &["email/dora", "phone/2", "note/test person"]),
                ("c/4", &["email/eve"]),
            ],
        )
        .await;
        let standing = |matched, doubtful, alone| Standing { matched, doubtful, alone };
        let shared = || journal.read(|reader| reader.shared("acme")).unwrap();
        assert_eq!(
            shared().collections,
            [("customers".to_owned(), standing(1, 2, 1)), ("profiles".to_owned(), standing(2, 0, 1))].into()
        );
        let alike = |kind: &str, names: &[&str]| Alike {
            kind: kind.into(),
            collection: "customers".into(),
            clues: 1,
            groups: vec![names.iter().map(|name| (*name).to_owned()).collect()],
        };
        assert_eq!(shared().alike, [alike("note/test person", &["c/3"]), alike("phone", &["c/2", "c/3"])]);
        // Somebody has another number now.
        put("customers", false, &[("c/3", &["email/dora", "phone/3"])]).await;
        assert_eq!((shared().alike.len(), shared().collections["customers"]), (0, standing(2, 0, 2)));
        let with = |clue: &str| -> Vec<String> {
            let found = journal.read(|reader| reader.with_clue("acme", clue)).unwrap();
            found.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(
            (with("email/ada"), with("phone/2"), with("email/nobody")),
            (vec!["c/1".into(), "p/1".into()], vec!["c/2".into()], vec![])
        );
        // Two addresses that only differ in a dot; and one that is the same.
        put("customers", false, &[("c/1", &["email/ada", "alike/ada"]), ("c/4", &["email/b.ea", "alike/bea"])]).await;
        put("profiles", false, &[("p/1", &["email/ada", "alike/ada"]), ("p/2", &["email/bea", "alike/bea"])]).await;
        assert_eq!(shared().alike, [Alike { collection: String::new(), ..alike("alike", &["c/4", "p/2"]) }]);
        put("customers", true, &[("c/9", &[])]).await;
        assert_eq!(with("email/ada"), ["p/1"]);
        assert_eq!(journal.read(|reader| reader.shared("zeta")).unwrap(), Shared::default());
        assert_eq!(journal.read(|reader| reader.miscounted()).unwrap(), Default::default());
    }
}
