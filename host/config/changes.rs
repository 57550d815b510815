//! Compares the configuration that a host runs with and the present content of its file: which differences can be
//! applied at once, and which need a restart. A function of values.

use std::collections::BTreeMap;

use super::{Config, Peer, Tenant};

/// The differences.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// New tenants.
    pub added: Vec<String>,
    /// Tenants whose shop, addresses, secrets, rates or limits differ.
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// Whether the keys that secrets are sealed with differ.
    pub keys: bool,
    /// Settings that need a restart, by their names in the file.
    pub at_restart: Vec<&'static str>,
}

/// The differences between two configurations.
pub fn changes(now: &Config, next: &Config) -> Changes {
    let by_name = |config: &'_ Config| -> BTreeMap<String, Tenant> {
        config.tenants.iter().map(|tenant| (tenant.name.clone(), tenant.clone())).collect()
    };
    let (old, new) = (by_name(now), by_name(next));
    let differs = |name: &&String| old.get(*name).is_some_and(|tenant| !is_same(tenant, &new[*name]));
    // Each field is named, so that the compiler asks for every new setting here. A change of an app changes every
    // tenant that names the app.
    let Config {
        listen,
        journal,
        body_bytes_max,
        allow,
        allow_merchants,
        delivery,
        public_url,
        apps: _,
        tenants: _,
        keys,
        admin,
        alerts,
        reconcile,
        relink: _,
    } = next;
    let settings = [
        ("listen", now.listen != *listen),
        ("journal", now.journal != *journal),
        ("body_bytes_max", now.body_bytes_max != *body_bytes_max),
        ("public_url", now.public_url != *public_url),
        ("[network] allow", now.allow != *allow),
        ("[network] allow_merchants", now.allow_merchants != *allow_merchants),
        ("[delivery]", now.delivery != *delivery),
        ("[admin] listen", now.admin != *admin),
        ("[alerts]", now.alerts != *alerts),
        ("[reconcile]", now.reconcile != *reconcile),
    ];
    Changes {
        added: new.keys().filter(|name| !old.contains_key(*name)).cloned().collect(),
        changed: new.keys().filter(differs).cloned().collect(),
        removed: old.keys().filter(|name| !new.contains_key(*name)).cloned().collect(),
        keys: now.keys != *keys,
        at_restart: settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect(),
    }
}

/// Whether two tenants are the same apart from their rules. A change of rules is detected in the rules file.
fn is_same(one: &Tenant, other: &Tenant) -> bool {
    let Tenant { name: _, shop, rules: _, shopify, omneo, limits } = other;
    let same = |one: &Peer, other: &Peer| {
        let Peer { url, credential, webhook_secrets, per_minute } = other;
        (&one.url, &one.credential, &one.webhook_secrets, &one.per_minute)
            == (url, credential, webhook_secrets, per_minute)
    };
    one.shop == *shop && one.limits == *limits && same(&one.shopify, shopify) && same(&one.omneo, omneo)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const OLD: &str = "listen = \"127.0.0.1:1\"\n
        [tenants.a]\nshop = \"a.example\"\nrules = \"a\"\nshopify = { token = \"t\", webhook_secrets = [\"s\"] }\n
        omneo = { url = \"https://o\", token = \"t\", webhook_secrets = [\"s\"] }\n";

    fn read(text: &str) -> Config {
        super::super::parse("tandem.toml", text, Path::new(""), |_| None).unwrap()
    }

    #[test]
    fn each_change_is_found() {
        let other = OLD.replace("tenants.a]", "tenants.b]").replace("a.example", "b.example");
        let both = format!("{OLD}{}", other.split_once('\n').unwrap().1);
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (what, next, expected) in [
            ("nothing", OLD.to_owned(), Changes::default()),
            ("a tenant more", both, Changes { added: named(&["b"]), ..Changes::default() }),
            ("another", other, Changes { added: named(&["b"]), removed: named(&["a"]), ..Changes::default() }),
            ("a shop", OLD.replace("a.example", "b.example"), Changes { changed: named(&["a"]), ..Changes::default() }),
            ("a token", OLD.replacen("\"t\"", "\"u\"", 1), Changes { changed: named(&["a"]), ..Changes::default() }),
            ("a secret", OLD.replacen("\"s\"", "\"u\"", 1), Changes { changed: named(&["a"]), ..Changes::default() }),
            (
                "a limit",
                format!("{OLD}[tenants.a.limits]\nkeep_days = 8\n"),
                Changes { changed: named(&["a"]), ..Changes::default() },
            ),
            ("rules", OLD.replace("rules = \"a\"", "rules = \"b\""), Changes::default()),
            ("an address", OLD.replace(":1\"", ":2\""), Changes { at_restart: vec!["listen"], ..Changes::default() }),
            (
                "delivery",
                format!("{OLD}[delivery]\ntimeout_ms = 70\n[network]\nallow = [\"a:1\"]\n"),
                Changes { at_restart: vec!["[network] allow", "[delivery]"], ..Changes::default() },
            ),
            (
                "keys",
                format!("{OLD}[secrets]\nkeys = [\"{}\"]\n", "a".repeat(64)),
                Changes { keys: true, ..Changes::default() },
            ),
        ] {
            assert_eq!(changes(&read(OLD), &read(&next)), expected, "{what}");
        }
    }
}
