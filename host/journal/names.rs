//! Which entity a name belongs to, and when two entities turn out to be one. Knows names; not what they stand for.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::model::{EntityId, Names, is_name, two_of_a_kind};
use crate::scheduler::Joined;

pub fn find(tx: &Transaction, tenant: &str, name: &str) -> rusqlite::Result<Option<EntityId>> {
    tx.prepare_cached("SELECT entity FROM names WHERE tenant = ? AND name = ?")?
        .query_row(params![tenant, name], |row| row.get(0).map(EntityId))
        .optional()
}

/// Finds the entity of the names that an event shows. Entities that these names belong to already become one; if there
/// is none, the names belong to `new`.
pub fn declare(tx: &Transaction, tenant: &str, new: EntityId, names: &[String]) -> rusqlite::Result<Joined> {
    let mut known = vec![];
    for name in names {
        known.extend(find(tx, tenant, name)?);
    }
    join(tx, tenant, known.first().copied().unwrap_or(new), known, names)
}

/// Gives an entity the names that the rules learned, and retires names of it. `Err` says which two names of one kind
/// the entity would then have: an event may declare two names of a kind, but rules may not conclude them.
pub fn learn(
    tx: &Transaction,
    tenant: &str,
    entity: EntityId,
    names: &Names,
) -> rusqlite::Result<Result<Joined, String>> {
    if let Some(bad) = names.learned.iter().find(|name| !is_name(name)) {
        return Ok(Err(format!("the rules learned the name `{bad}`, which is not of the form source/kind/id")));
    }
    let counted = |entity| -> rusqlite::Result<Vec<String>> {
        let counted = names_of(tx, entity)?.into_iter();
        Ok(counted.filter(|name| !names.retired.contains(name)).collect())
    };
    let mut others = vec![];
    let mut own = counted(entity)?;
    for name in names.learned.iter().filter(|name| !names.retired.contains(name)) {
        let other = find(tx, tenant, name)?.filter(|other| *other != entity);
        let mut new = other.map(counted).transpose()?.unwrap_or_default();
        new.push(name.clone());
        new.retain(|name| !own.contains(name));
        if let Some(two) = two_of_a_kind(&own, &new) {
            return Ok(Err(two));
        }
        own.extend(new);
        others.extend(other);
    }
    let joined = join(tx, tenant, entity, others, &names.learned)?;
    for (list, retired) in [(&names.learned, false), (&names.retired, true)] {
        for name in list {
            tx.prepare_cached(
                "UPDATE names SET retired = ?1 WHERE tenant = ?2 AND name = ?3 AND entity = ?4 AND retired <> ?1",
            )?
            .execute(params![retired, tenant, name, joined.entity.0])?;
        }
    }
    Ok(Ok(joined))
}

fn join(
    tx: &Transaction,
    tenant: &str,
    entity: EntityId,
    others: Vec<EntityId>,
    names: &[String],
) -> rusqlite::Result<Joined> {
    let mut from: Vec<EntityId> = others.into_iter().filter(|other| *other != entity).collect();
    from.sort_unstable();
    from.dedup();
    for other in &from {
        tx.prepare_cached("UPDATE names SET entity = ? WHERE entity = ?")?.execute([entity.0, other.0])?;
        tx.prepare_cached("UPDATE memory SET entity = ? WHERE entity = ?")?.execute([entity.0, other.0])?;
    }
    for name in names {
        tx.prepare_cached("INSERT INTO names (tenant, name, entity) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
            .execute(params![tenant, name, entity.0])?;
    }
    Ok(Joined { entity, from })
}

/// The entity that a name belongs to, with its names that count; `None` if the name is unknown or retired.
pub fn standing(
    connection: &Connection,
    tenant: &str,
    name: &str,
) -> rusqlite::Result<Option<(EntityId, Vec<String>)>> {
    let mut statement =
        connection.prepare_cached("SELECT entity FROM names WHERE tenant = ? AND name = ? AND NOT retired")?;
    let entity = statement.query_row([tenant, name], |row| row.get(0).map(EntityId)).optional()?;
    entity.map(|entity| Ok((entity, names_of(connection, entity)?))).transpose()
}

/// The names of an entity that count as one of their kind: those that are not retired.
fn names_of(connection: &Connection, entity: EntityId) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM names WHERE entity = ? AND NOT retired ORDER BY name")?;
    statement.query_map([entity.0], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str =
        "the rules concluded that `shopify/customer/1` and `shopify/customer/2` are one, which only an event may say";

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn names(learned: &[&str], retired: &[&str]) -> Names {
        Names { learned: list(learned), retired: list(retired) }
    }

    /// Customer 1 and profile p are entity 1, customer 2 is entity 2.
    fn journal() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        let tx = connection.transaction().unwrap();
        declare(&tx, "acme", EntityId(1), &list(&["shopify/customer/1", "omneo/profile/p"])).unwrap();
        declare(&tx, "acme", EntityId(2), &list(&["shopify/customer/2"])).unwrap();
        tx.commit().unwrap();
        connection
    }

    fn told(connection: &mut Connection, entity: i64, names: &Names) -> Result<Joined, String> {
        let tx = connection.transaction().unwrap();
        let told = learn(&tx, "acme", EntityId(entity), names).unwrap();
        tx.commit().unwrap();
        told
    }

    #[test]
    fn what_is_gone_makes_room_for_another_of_its_kind_and_stays_found() {
        let mut journal = journal();
        let successor = names(&["shopify/customer/2", "omneo/profile/p"], &[]);
        assert_eq!(
            told(&mut journal, 2, &successor),
            Err(TWO
                .replace("customer/1", "customer/X")
                .replace("customer/2", "customer/1")
                .replace("customer/X", "customer/2"))
        );
        assert_eq!(
            told(&mut journal, 1, &names(&[], &["shopify/customer/1"])),
            Ok(Joined { entity: EntityId(1), from: vec![] })
        );
        assert_eq!(told(&mut journal, 2, &successor), Ok(Joined { entity: EntityId(2), from: vec![EntityId(1)] }));
        let tx = journal.transaction().unwrap();
        assert_eq!(find(&tx, "acme", "shopify/customer/1").unwrap(), Some(EntityId(2)));
        assert_eq!(names_of(&tx, EntityId(2)).unwrap(), ["omneo/profile/p", "shopify/customer/2"]);
    }

    #[test]
    fn a_name_can_be_retired_by_whoever_takes_its_place_and_nobody_else() {
        let mut journal = journal();
        let joined = told(&mut journal, 2, &names(&["omneo/profile/p"], &["shopify/customer/1"]));
        assert_eq!(joined, Ok(Joined { entity: EntityId(2), from: vec![EntityId(1)] }));

        let mut journal = self::journal();
        told(&mut journal, 2, &names(&[], &["shopify/customer/1"])).unwrap();
        let tx = journal.transaction().unwrap();
        assert_eq!(names_of(&tx, EntityId(1)).unwrap(), ["omneo/profile/p", "shopify/customer/1"]);
    }

    #[test]
    fn what_is_learned_again_counts_again() {
        let mut journal = journal();
        told(&mut journal, 1, &names(&[], &["shopify/customer/1"])).unwrap();
        told(&mut journal, 1, &names(&["shopify/customer/1"], &[])).unwrap();
        assert_eq!(told(&mut journal, 1, &names(&["shopify/customer/2"], &[])), Err(TWO.to_owned()));
    }
}
