//! The tenants that this host serves now, by name and by shop. The stages share this list, which changes while they
//! run.
//!
//! Knows what a tenant is, and neither where it is stored nor who changes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Tenant;

/// A handle; cheap to clone.
#[derive(Clone, Default)]
pub struct Tenants(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    by_name: BTreeMap<String, Arc<Tenant>>,
    by_shop: HashMap<String, Arc<Tenant>>,
}

/// The shop belongs to another tenant.
#[derive(Debug, PartialEq)]
pub struct Taken;

impl Tenants {
    /// The tenants of a configuration, which has checked that names and shops are unique.
    pub fn new(tenants: &[Tenant]) -> Self {
        let all = Self::default();
        for tenant in tenants {
            let _ = all.set(tenant.clone());
        }
        all
    }

    pub fn get(&self, name: &str) -> Option<Arc<Tenant>> {
        self.known(|known| known.by_name.get(name).cloned())
    }

    /// The tenant of a shop: `acme.myshopify.com`, in the form that [`crate::model::shop`] returns.
    pub fn of_shop(&self, shop: &str) -> Option<Arc<Tenant>> {
        self.known(|known| known.by_shop.get(shop).cloned())
    }

    /// The names of all tenants, in order.
    pub fn names(&self) -> Vec<String> {
        self.known(|known| known.by_name.keys().cloned().collect())
    }

    /// Adds a tenant, or replaces the one with the same name.
    pub fn set(&self, tenant: Tenant) -> Result<(), Taken> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.by_shop.get(&tenant.shop).is_some_and(|other| other.name != tenant.name) {
            return Err(Taken);
        }
        let tenant = Arc::new(tenant);
        if let Some(old) = known.by_name.insert(tenant.name.clone(), tenant.clone()) {
            known.by_shop.remove(&old.shop);
        }
        known.by_shop.insert(tenant.shop.clone(), tenant);
        Ok(())
    }

    pub fn remove(&self, name: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = known.by_name.remove(name) {
            known.by_shop.remove(&old.shop);
        }
    }

    fn known<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Peer, Quota, RulesFrom};

    fn tenant(name: &str, shop: &str) -> Tenant {
        let peer = Peer { webhook_secrets: vec!["s".into()], ..Peer::with_token("https://o", "t") };
        let rules = RulesFrom::File("rules.toml".into());
        Tenant {
            name: name.into(),
            shop: shop.into(),
            rules,
            shopify: peer.clone(),
            omneo: peer,
            limits: Quota::default(),
        }
    }

    #[test]
    fn a_shop_is_one_tenants_and_moves_with_it() {
        let tenants = Tenants::new(&[tenant("acme", "a.example"), tenant("zeta", "z.example")]);
        assert_eq!(tenants.set(tenant("zeta", "a.example")), Err(Taken));
        assert_eq!(tenants.of_shop("z.example").unwrap().name, "zeta");
        tenants.set(tenant("acme", "b.example")).unwrap();
        assert!(tenants.of_shop("a.example").is_none());
        tenants.set(tenant("zeta", "a.example")).unwrap();
        tenants.remove("acme");
        assert!(tenants.get("acme").is_none() && tenants.of_shop("b.example").is_none());
        assert_eq!(tenants.names(), ["zeta"]);
    }
}
