//! What is in memory of each shop and of its customers: how much they may ask for, what the systems want to be spared, what the log was
//! told, and a place for the token that was given last. Pure.
//!
//! Bounded whoever comes: a shop with many customers makes room in what it has itself, before another one does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::token::KEPT_MS_MAX;
use crate::budget::Bucket;
use crate::model::Tick;

/// Customers of all shops together.
const CUSTOMERS_MAX: usize = 20_000;
/// Shops. There are as many as tenants; more only where tenants have gone.
const SHOPS_MAX: usize = 20_000;
/// What is full gives up this part of what was used longest ago.
const ROOM: usize = 8;
/// Whoever has not asked for so long is let go of.
const IDLE_MS: u64 = KEPT_MS_MAX;
/// How often that is looked at.
const SWEEP_MS: u64 = 60_000;

/// Requests that may come at once, and how many more a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub burst: f64,
    pub per_second: f64,
}

/// Of one customer.
pub const CUSTOMER: Rate = Rate { burst: 30.0, per_second: 0.5 };
/// Of all customers of a shop.
pub const CUSTOMERS: Rate = Rate { burst: 1_000.0, per_second: 100.0 };
/// Of all visitors of a shop who are not logged in.
pub const STRANGERS: Rate = Rate { burst: 2_000.0, per_second: 200.0 };
/// Times that Omneo and Shopify are asked for a shop, because nothing in memory is good.
pub const ASKS: Rate = Rate { burst: 200.0, per_second: 20.0 };
/// Customers of a shop who are to be looked at because they have no profile.
pub const RESYNCS: Rate = Rate { burst: 100.0, per_second: 1.0 };
/// How long one customer is not looked at again for that.
pub const RESYNC_AGAIN_MS: u64 = 3_600_000;
/// For how long a system is spared that asks for it, at most.
const SPARED_MS_MAX: u64 = 60_000;
/// The time between two lines in the log about one thing of a shop.
const LOG_EVERY_MS: u64 = 60_000;

/// More than that came: again in so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooMany {
    pub wait_ms: u64,
}

/// Why a shop's systems are not asked now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NotNow {
    TooMany(TooMany),
    /// This one has asked to be spared for so many milliseconds more.
    Spared(&'static str, u64),
}

/// `T` is the place for a token. Whoever has one shares it with all who come for the same customer.
pub struct Table<T> {
    shops: HashMap<String, Shop<T>>,
    customers: usize,
    swept: Tick,
}

struct Shop<T> {
    used: Tick,
    all: Bucket,
    strangers: Bucket,
    asks: Bucket,
    resyncs: Bucket,
    /// The systems that have asked to be spared, and until when.
    spared: HashMap<&'static str, Tick>,
    /// What the log was told, when, and how often it was not told again since.
    told: HashMap<&'static str, (Tick, u64)>,
    /// For all who are not logged in, and who have no profile.
    stranger: T,
    customers: HashMap<u64, Customer<T>>,
}

struct Customer<T> {
    used: Tick,
    rate: Bucket,
    resynced: Option<Tick>,
    place: T,
}

impl<T: Clone + Default> Table<T> {
    pub fn new(now: Tick) -> Self {
        Self { shops: HashMap::new(), customers: 0, swept: now }
    }

    /// Lets a request of a shop's customer, or of somebody who is not logged in, pass, and gives the place for their token.
    pub fn admit(&mut self, shop: &str, customer: Option<u64>, now: Tick) -> Result<T, TooMany> {
        self.sweep(now);
        let Some(customer) = customer else {
            let shop = self.shop(shop, now);
            take(&mut shop.strangers, now)?;
            return Ok(shop.stranger.clone());
        };
        if !self.shop(shop, now).customers.contains_key(&customer) {
            self.make_room(CUSTOMERS_MAX);
            self.customers += 1;
        }
        let shop = self.shop(shop, now);
        let known = shop.customers.entry(customer).or_insert_with(|| Customer {
            used: now,
            rate: full(CUSTOMER, now),
            resynced: None,
            place: T::default(),
        });
        known.used = now;
        // Whoever has had too much takes nothing from the others.
        take(&mut known.rate, now)?;
        take(&mut shop.all, now)?;
        Ok(known.place.clone())
    }

    /// The place for the token of whoever is not logged in. It costs nothing: customers without a profile get it, too.
    pub fn stranger(&mut self, shop: &str, now: Tick) -> T {
        self.shop(shop, now).stranger.clone()
    }

    /// Whether these systems may be asked for a shop now.
    pub fn ask(&mut self, shop: &str, targets: &[&'static str], now: Tick) -> Result<(), NotNow> {
        let shop = self.shop(shop, now);
        let spared = |target: &&'static str| shop.spared.get(target).filter(|until| now < **until);
        let longest = targets.iter().filter_map(|target| Some((*target, spared(target)?.since(now))));
        if let Some((target, wait_ms)) = longest.max_by_key(|(_, wait_ms)| *wait_ms) {
            return Err(NotNow::Spared(target, wait_ms));
        }
        take(&mut shop.asks, now).map_err(NotNow::TooMany)
    }

    /// One of a shop's systems has asked to be spared: that counts for all of the shop's customers.
    pub fn spare(&mut self, shop: &str, target: &'static str, wait_ms: u64, now: Tick) {
        let until = now.plus(wait_ms.min(SPARED_MS_MAX));
        let spared = self.shop(shop, now).spared.entry(target).or_insert(until);
        *spared = (*spared).max(until);
    }

    /// Whether the log is to be told this of a shop now, and how often it was not told since the last time.
    pub fn tells(&mut self, shop: &str, what: &'static str, now: Tick) -> Option<u64> {
        match self.shop(shop, now).told.entry(what) {
            Entry::Occupied(mut told) if now.since(told.get().0) < LOG_EVERY_MS => {
                told.get_mut().1 += 1;
                None
            }
            Entry::Occupied(mut told) => Some(told.insert((now, 0)).1),
            Entry::Vacant(told) => {
                told.insert((now, 0));
                Some(0)
            }
        }
    }

    /// Whether a customer without a profile is to be looked at now. Yes is said once an hour, unless it has failed.
    pub fn resync(&mut self, shop: &str, customer: u64, now: Tick) -> bool {
        let shop = self.shop(shop, now);
        let Some(known) = shop.customers.get_mut(&customer) else { return false };
        let is_due = known.resynced.is_none_or(|at| now.since(at) >= RESYNC_AGAIN_MS);
        if !is_due || take(&mut shop.resyncs, now).is_err() {
            return false;
        }
        known.resynced = Some(now);
        true
    }

    /// The customer could not be looked at.
    pub fn resync_failed(&mut self, shop: &str, customer: u64, now: Tick) {
        if let Some(known) = self.shop(shop, now).customers.get_mut(&customer) {
            known.resynced = None;
        }
    }

    fn shop(&mut self, name: &str, now: Tick) -> &mut Shop<T> {
        if !self.shops.contains_key(name) && self.shops.len() >= SHOPS_MAX {
            let oldest = self.shops.iter().min_by_key(|(_, shop)| shop.used.0).map(|(name, _)| name.clone());
            if let Some(gone) = oldest.and_then(|name| self.shops.remove(&name)) {
                self.customers -= gone.customers.len();
            }
        }
        let shop = self.shops.entry(name.to_owned()).or_insert_with(|| Shop {
            used: now,
            all: full(CUSTOMERS, now),
            strangers: full(STRANGERS, now),
            asks: full(ASKS, now),
            resyncs: full(RESYNCS, now),
            spared: HashMap::new(),
            told: HashMap::new(),
            stranger: T::default(),
            customers: HashMap::new(),
        });
        shop.used = now;
        shop
    }

    /// Makes room for one more where there are so many: the shop that has the most lets go of those who came longest ago.
    fn make_room(&mut self, most: usize) {
        if self.customers < most {
            return;
        }
        let Some(shop) = self.shops.values_mut().max_by_key(|shop| shop.customers.len()) else { return };
        let mut used: Vec<u64> = shop.customers.values().map(|customer| customer.used.0).collect();
        let at = used.len() / ROOM;
        let (_, last, _) = used.select_nth_unstable(at);
        let (last, before) = (*last, shop.customers.len());
        // Those who came at one moment leave as far as that is enough.
        let mut left = at + 1;
        shop.customers.retain(|_, customer| {
            let leaves = left > 0 && customer.used.0 <= last;
            left -= usize::from(leaves);
            !leaves
        });
        self.customers -= before - shop.customers.len();
    }

    fn sweep(&mut self, now: Tick) {
        if now.since(self.swept) < SWEEP_MS {
            return;
        }
        self.swept = now;
        for shop in self.shops.values_mut() {
            // One who was looked at is remembered until the hour is over.
            let is_needed = |customer: &Customer<T>| {
                now.since(customer.used) < IDLE_MS
                    || customer.resynced.is_some_and(|at| now.since(at) < RESYNC_AGAIN_MS)
            };
            shop.customers.retain(|_, customer| is_needed(customer));
            for customer in shop.customers.values_mut().filter(|customer| now.since(customer.used) >= IDLE_MS) {
                customer.place = T::default();
            }
        }
        // Every rate is whole again by then, and a shop that is gone leaves nothing behind.
        self.shops.retain(|_, shop| !shop.customers.is_empty() || now.since(shop.used) < IDLE_MS);
        self.customers = self.shops.values().map(|shop| shop.customers.len()).sum();
    }
}

fn full(rate: Rate, now: Tick) -> Bucket {
    Bucket::new(rate.burst, rate.per_second, now)
}

fn take(bucket: &mut Bucket, now: Tick) -> Result<(), TooMany> {
    bucket.take(1.0, now).map_err(|wait_ms| TooMany { wait_ms })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A place that is told from another one.
    type Place = Arc<()>;

    const T0: Tick = Tick(1_000);
    const BOTH: [&str; 2] = ["shopify", "omneo"];

    fn table() -> Table<Place> {
        Table::new(T0)
    }

    fn admitted(table: &mut Table<Place>, shop: &str, customer: Option<u64>, times: usize, now: Tick) -> usize {
        (0..times).filter(|_| table.admit(shop, customer, now).is_ok()).count()
    }

    #[test]
    fn a_customer_has_a_rate_and_takes_nothing_from_the_others() {
        let mut table = table();
        assert_eq!(admitted(&mut table, "acme", Some(7), 10_000, T0), 30);
        assert_eq!(table.admit("acme", Some(7), T0), Err(TooMany { wait_ms: 2_000 }));
        assert_eq!(admitted(&mut table, "acme", Some(7), 10, T0.plus(4_000)), 2);
        // The others of the shop, visitors and other shops.
        assert_eq!(admitted(&mut table, "acme", Some(8), 40, T0), 30);
        assert_eq!(admitted(&mut table, "zeta", Some(7), 40, T0), 30);
        assert_eq!(admitted(&mut table, "acme", None, 3_000, T0), 2_000);
        assert_eq!(admitted(&mut table, "acme", Some(9), 40, T0), 30);
    }

    #[test]
    fn a_shop_has_a_rate_for_its_customers_and_one_for_everybody_else() {
        let mut table = table();
        let all = (0..5_000).filter(|customer| table.admit("acme", Some(*customer), T0).is_ok()).count();
        assert_eq!(all, 1_000);
        assert_eq!(admitted(&mut table, "acme", None, 1, T0), 1);
        assert_eq!(admitted(&mut table, "zeta", Some(1), 1, T0), 1);
        let asks = (0..1_000).filter(|_| table.ask("acme", &BOTH, T0).is_ok()).count();
        assert_eq!((asks, table.ask("zeta", &BOTH, T0)), (200, Ok(())));
        assert_eq!(table.ask("acme", &BOTH, T0), Err(NotNow::TooMany(TooMany { wait_ms: 50 })));
    }

    #[test]
    fn what_one_customer_learns_of_a_system_counts_for_all_of_the_shop() {
        let mut table = table();
        table.spare("acme", "omneo", 30_000, T0);
        table.spare("acme", "omneo", 10_000, T0);
        table.spare("acme", "shopify", u64::MAX, T0);
        assert_eq!(table.ask("acme", &BOTH, T0), Err(NotNow::Spared("shopify", 60_000)));
        assert_eq!(table.ask("acme", &["omneo"], T0.plus(29_000)), Err(NotNow::Spared("omneo", 1_000)));
        assert_eq!(table.ask("acme", &["omneo"], T0.plus(30_000)), Ok(()));
        assert_eq!(table.ask("acme", &BOTH, T0.plus(60_000)), Ok(()));
        assert_eq!(table.ask("zeta", &BOTH, T0), Ok(()));
    }

    #[test]
    fn the_log_is_told_now_and_then() {
        let mut table = table();
        let mut tells = |shop: &str, what, after_ms| table.tells(shop, what, T0.plus(after_ms));
        assert_eq!((tells("acme", "failed", 0), tells("acme", "failed", 1)), (Some(0), None));
        assert_eq!((tells("acme", "denied", 1), tells("zeta", "failed", 1)), (Some(0), Some(0)));
        assert_eq!((tells("acme", "failed", 59_999), tells("acme", "failed", 60_000)), (None, Some(2)));
    }

    #[test]
    fn one_place_is_for_one_customer_and_one_for_all_strangers_of_a_shop() {
        let mut table = table();
        let mut place = |shop: &str, customer| table.admit(shop, customer, T0).unwrap();
        let (ada, again, bob) = (place("acme", Some(1)), place("acme", Some(1)), place("acme", Some(2)));
        let (stranger, other, zeta) = (place("acme", None), place("acme", None), place("zeta", None));
        assert!(Arc::ptr_eq(&ada, &again) && Arc::ptr_eq(&stranger, &other));
        assert!(!Arc::ptr_eq(&ada, &bob) && !Arc::ptr_eq(&ada, &stranger) && !Arc::ptr_eq(&stranger, &zeta));
        assert!(Arc::ptr_eq(&stranger, &table.stranger("acme", T0)));
    }

    #[test]
    fn a_customer_without_a_profile_is_looked_at_once_an_hour() {
        let mut table = table();
        assert!(!table.resync("acme", 7, T0), "nobody has asked");
        let mut looked = |customer: u64, now: Tick| {
            table.admit("acme", Some(customer), now).unwrap();
            table.resync("acme", customer, now)
        };
        assert!(looked(7, T0) && !looked(7, T0));
        // Neither a sweep nor the time up to then changes that.
        assert!(!looked(7, T0.plus(RESYNC_AGAIN_MS - 1)));
        assert!(looked(7, T0.plus(RESYNC_AGAIN_MS)));
        let all = (100..600).filter(|customer| looked(*customer, T0.plus(2 * RESYNC_AGAIN_MS))).count();
        assert_eq!(all, 100);
        // One who is remembered for that alone leaves the token.
        let place = table.admit("acme", Some(8), T0.plus(2 * RESYNC_AGAIN_MS)).unwrap();
        assert!(table.resync("acme", 8, T0.plus(2 * RESYNC_AGAIN_MS + 100_000)));
        let later = T0.plus(2 * RESYNC_AGAIN_MS + IDLE_MS + 60_000);
        let _ = table.admit("acme", Some(1), later);
        assert!(!table.resync("acme", 8, later) && !Arc::ptr_eq(&place, &table.admit("acme", Some(8), later).unwrap()));
        let mut looked = |customer: u64, now: Tick| {
            table.admit("acme", Some(customer), now).unwrap();
            table.resync("acme", customer, now)
        };
        // What has failed was not done.
        let later = T0.plus(4 * RESYNC_AGAIN_MS);
        assert!(looked(9, later) && !looked(9, later));
        table.resync_failed("acme", 9, later);
        assert!(table.resync("acme", 9, later));
    }

    #[test]
    fn the_shop_with_the_most_makes_room_and_who_is_idle_leaves() {
        let mut table = table();
        for n in 0..100 {
            let _ = table.admit("small", Some(n), T0);
        }
        for n in 0..2 * CUSTOMERS_MAX as u64 {
            // Never too many in a second.
            let _ = table.admit("large", Some(n), T0.plus(n / 100));
            assert!(table.customers <= CUSTOMERS_MAX);
        }
        let counted: usize = table.shops.values().map(|shop| shop.customers.len()).sum();
        assert_eq!(counted, table.customers);
        assert_eq!(table.shops["small"].customers.len(), 100);
        assert!(table.shops["large"].customers.contains_key(&(2 * CUSTOMERS_MAX as u64 - 1)));
        let _ = table.admit("small", Some(1), T0.plus(IDLE_MS + 60_000));
        assert_eq!(table.customers, 1);
        // A shop that nobody asks for any more leaves as well.
        assert_eq!(table.shops.keys().collect::<Vec<_>>(), ["small"]);
        // All at one moment.
        let mut table = super::tests::table();
        for n in 0..CUSTOMERS_MAX as u64 + 10 {
            let _ = table.admit("large", Some(n), T0);
        }
        assert!(table.customers <= CUSTOMERS_MAX && table.customers > CUSTOMERS_MAX / 2);
        for n in 0..SHOPS_MAX + 10 {
            let _ = table.admit(&n.to_string(), None, T0.plus(n as u64));
        }
        assert_eq!(table.shops.len(), SHOPS_MAX);
        assert!(!table.shops.contains_key("0") && table.customers == 0);
    }
}
