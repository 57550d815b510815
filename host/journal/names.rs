//! Which entity a name belongs to, and when two entities turn out to be one. Knows names; not what they stand for.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::model::{EntityId, is_name, two_of_a_kind};

/// The entity that some names belong to, and those that have just become part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub entity: EntityId,
    pub from: Vec<EntityId>,
}

pub fn find(tx: &Transaction, tenant: &str, name: &str) -> rusqlite::Result<Option<EntityId>> {
    tx.prepare_cached("SELECT entity FROM names WHERE tenant = ? AND name = ?")?
        .query_row(params![tenant, name], |row| row.get(0).map(EntityId))
        .optional()
}

/// The entity of the names an event shows: what they all belong to becomes one, and `new` if they belong to nothing yet.
pub fn declare(tx: &Transaction, tenant: &str, new: EntityId, names: &[String]) -> rusqlite::Result<Joined> {
    let mut known = vec![];
    for name in names {
        known.extend(find(tx, tenant, name)?);
    }
    join(tx, tenant, known.first().copied().unwrap_or(new), known, names)
}

/// Gives an entity the names that were learned of it. `Err` says which two names of one kind that would give it: two of
/// one kind must be declared by an event, never concluded.
pub fn learn(
    tx: &Transaction,
    tenant: &str,
    entity: EntityId,
    names: &[String],
) -> rusqlite::Result<Result<Joined, String>> {
    if let Some(bad) = names.iter().find(|name| !is_name(name)) {
        return Ok(Err(format!("the rules learned the name `{bad}`, which is not of the form source/kind/id")));
    }
    let mut others = vec![];
    let mut own = names_of(tx, entity)?;
    for name in names {
        match find(tx, tenant, name)? {
            Some(other) if other == entity => continue,
            Some(other) => {
                let theirs = names_of(tx, other)?;
                if let Some(two) = two_of_a_kind(&own, &theirs) {
                    return Ok(Err(two));
                }
                own.extend(theirs);
                others.push(other);
            }
            None => {
                if let Some(two) = two_of_a_kind(&own, std::slice::from_ref(name)) {
                    return Ok(Err(two));
                }
                own.push(name.clone());
            }
        }
    }
    join(tx, tenant, entity, others, names).map(Ok)
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

fn names_of(tx: &Transaction, entity: EntityId) -> rusqlite::Result<Vec<String>> {
    let mut statement = tx.prepare_cached("SELECT name FROM names WHERE entity = ?")?;
    statement.query_map([entity.0], |row| row.get(0))?.collect()
}
