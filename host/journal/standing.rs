//! How a name stands now: what the journal knows of the entity that has it, without the text of its memory. Knows
//! names; not what they stand for.

use rusqlite::OptionalExtension;

use super::paused::UNINSTALLED;
use super::{Reader, names};

/// How a name stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The names of its entity that are not retired, the name itself among them. Empty if the name is unknown or
    /// retired.
    pub names: Vec<String>,
    /// The newest revision of the entity's memory; 0 if there is none. It changes with every event that changes the
    /// memory.
    pub revision: i64,
    /// The tenant's shop is in doubt: it has given another number since, or another tenant has it.
    pub is_other_shop: bool,
    /// Shopify is paused because the shop has taken the app away, whatever is still granted as far as is known here.
    pub is_uninstalled: bool,
}

impl Reader {
    /// How a name stands, all of it at one moment. Without a name, tells only of the tenant's shop.
    pub fn standing(&self, tenant: &str, name: Option<&str>) -> anyhow::Result<Standing> {
        // Otherwise names and revision could be those of before and after a merge.
        let moment = self.connection.unchecked_transaction()?;
        let mut statement = moment.prepare_cached("SELECT other IS NOT NULL FROM shops WHERE tenant = ?")?;
        let is_other_shop = statement.query_row([tenant], |row| row.get(0)).optional()?.unwrap_or_default();
        let sql = "SELECT 1 FROM paused WHERE tenant = ? AND target = 'shopify' AND reason = ?";
        let is_uninstalled = moment.prepare_cached(sql)?.exists([tenant, UNINSTALLED])?;
        let found = name.map(|name| names::standing(&moment, tenant, name)).transpose()?.flatten();
        let Some((entity, names)) = found else {
            return Ok(Standing { is_other_shop, is_uninstalled, ..Standing::default() });
        };
        let sql = "SELECT coalesce(max(revision), 0) FROM memory WHERE entity = ? AND current";
        let revision = moment.prepare_cached(sql)?.query_row([entity.0], |row| row.get(0))?;
        Ok(Standing { names, revision, is_other_shop, is_uninstalled })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_name_stands_with_those_that_are_not_of_what_is_gone() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        connection
            .execute_batch(
                "INSERT INTO names VALUES ('acme', 'shopify/customer/1', 1, FALSE), ('acme', 'omneo/profile/p', 1, FALSE),
                     ('acme', 'shopify/customer/2', 1, TRUE), ('zeta', 'shopify/customer/1', 2, FALSE);
                 INSERT INTO memory VALUES (4, 1, 1, '{}', FALSE, 'acme'), (5, 1, 1, '{}', TRUE, 'acme'),
                     (6, 2, 1, '{}', TRUE, 'zeta');
                 INSERT INTO paused (tenant, target, since, reason) VALUES ('zeta', 'shopify', 1, 'the app was uninstalled'),
                     ('zeta', 'omneo', 1, 'x'), ('acme', 'shopify', 1, 'an operator'), ('acme', 'omneo', 1, 'the app was uninstalled');
                 INSERT INTO shops VALUES ('acme', 'acme.myshopify.com', 7, NULL), ('zeta', 'zeta.myshopify.com', 7, 8);",
            )
            .unwrap();
        let reader = Reader::new(connection);
        let standing = |tenant: &str, name| reader.standing(tenant, Some(name)).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let ada = standing("acme", "shopify/customer/1");
        assert_eq!(ada.names, names(&["omneo/profile/p", "shopify/customer/1"]));
        assert_eq!((ada.revision, ada.is_other_shop, ada.is_uninstalled), (5, false, false));
        assert_eq!(standing("acme", "omneo/profile/p"), ada);
        for (tenant, name) in
            [("acme", "shopify/customer/2"), ("acme", "shopify/customer/3"), ("beta", "shopify/customer/1")]
        {
            assert_eq!(standing(tenant, name), Standing::default(), "{tenant} {name}");
        }
        let zeta =
            Standing { names: names(&["shopify/customer/1"]), revision: 6, is_other_shop: true, is_uninstalled: true };
        assert_eq!(standing("zeta", "shopify/customer/1"), zeta);
        let shops = Standing { is_other_shop: true, is_uninstalled: true, ..Standing::default() };
        assert_eq!(reader.standing("zeta", None).unwrap(), shops);
    }

    /// Names and revision belong together, however often a writer changes both.
    #[test]
    fn a_name_stands_as_at_one_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch(include_str!("schema.sql")).unwrap();
        writer
            .execute_batch(
                "INSERT INTO names VALUES ('acme', 'shopify/customer/1', 1, FALSE), ('acme', 'even', 1, FALSE), ('acme', 'odd', 1, TRUE);
                 INSERT INTO memory VALUES (2, 1, 1, '{}', TRUE, 'acme');",
            )
            .unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                for revision in 3..3_000 {
                    let sql = format!(
                        "BEGIN IMMEDIATE; UPDATE names SET retired = NOT retired WHERE name IN ('even', 'odd');
                         UPDATE memory SET revision = {revision}; COMMIT"
                    );
                    writer.execute_batch(&sql).unwrap();
                }
            });
            let reader = Reader::beside(&path).unwrap();
            let mut seen = 0;
            while !writing.is_finished() {
                let standing = reader.standing("acme", Some("shopify/customer/1")).unwrap();
                let due = if standing.revision % 2 == 0 { "even" } else { "odd" };
                assert_eq!(standing.names, [due, "shopify/customer/1"], "revision {}", standing.revision);
                seen += 1;
            }
            assert!(seen > 10, "{seen}");
        });
    }
}
