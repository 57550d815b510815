//! The settings: the name, the allowed values and the default of each. Knows nothing of events.
//!
//! One table defines them all: `configure` checks a rules file against it, the manifest lists it, and the typed
//! [`Settings`] are read from it.

mod doubts;
mod keys;
mod schema;
mod table;
mod zones;

use tandem_sdk::{Problem, Time, Value, json};

use crate::mapping::{self, Mapping, Owner};
use crate::problems::problem;

pub use schema::schema;

use table::KNOWN;

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// IANA name of the shop's time zone. Omneo requires a time zone with every order and transaction, and no order
    /// body has one.
    pub timezone: Option<String>,
    pub identity_handle: String,
    pub sync: Sync,
    pub mapping: Mapping,
    /// The side that owns addresses, each address as a whole. Shopify's addresses have no clock, so `latest` compares
    /// Omneo's clock of the address with Shopify's clock of the customer. Every change moves the latter, so in doubt
    /// Shopify wins, where shoppers edit.
    pub addresses_owner: Owner,
    pub tags: Tags,
    pub people: People,
    pub consent: Consent,
    pub orders: Orders,
    pub products: Products,
    pub locations: Locations,
}

/// Which directions and resources are on.
#[derive(Clone, Debug)]
pub struct Sync {
    pub shopify_to_omneo: bool,
    pub omneo_to_shopify: bool,
    pub profiles: bool,
    pub addresses: bool,
    pub consent: bool,
    pub orders: bool,
    pub products: bool,
    pub locations: bool,
}

#[derive(Clone, Debug)]
pub struct Tags {
    /// Tags that go from Shopify to Omneo, compared in folded form (lower case, blanks as hyphens). When empty, no tag
    /// goes.
    pub whitelist: Vec<String>,
    /// Prefix that an Omneo tag gets in Shopify.
    pub prefix: String,
    /// Whether a tag that came to Omneo from Shopify also comes back with the prefix.
    pub mirror_whitelisted: bool,
}

#[derive(Clone, Debug)]
pub struct People {
    /// Profile types that go to Shopify.
    pub profile_types: Vec<String>,
    /// E-mail addresses that never go to Shopify; `*` stands for anything.
    pub exclude_emails: Vec<String>,
    /// Whether Omneo may change the e-mail of a customer with an account, where the e-mail is the login.
    pub email_to_accounts: bool,
    /// Whether a person who was deleted on one side is created there again from the other.
    pub recreate_deleted: bool,
    pub on_customer_delete: OnCustomerDelete,
    pub on_profile_delete: OnProfileDelete,
    pub on_merge: OnMerge,
    pub on_profile_merge: OnProfileMerge,
    /// Whether the profile of a customer that Shopify has redacted is purged in Omneo, for good. If not, the rules do
    /// not listen to `customers/redact`.
    pub purge_redacted: bool,
}

/// What happens to the profile when its customer is deleted in Shopify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCustomerDelete {
    /// The profile loses the customer's identity.
    Unlink,
    Delete,
    Ignore,
}

/// What happens to the customer when its profile is deleted in Omneo. The customer is never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnProfileDelete {
    /// The customer is left as it is; the two are no longer kept in step.
    Unlink,
    /// The tags with the prefix and the metafields of these rules are removed.
    Clean,
}

/// What happens to the two profiles when their customers are merged in Shopify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMerge {
    /// Both profiles stay, and that of the kept customer is kept in step.
    Link,
    /// The profiles are merged in Omneo, which cannot be undone.
    Merge,
    /// The event is refused, so that a person decides.
    Ask,
}

/// What happens to the two customers when their profiles are merged in Omneo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnProfileMerge {
    /// Both customers stay, and one of them speaks for the profile.
    Note,
    /// The customers are merged in Shopify, which cannot be undone.
    Merge,
}

#[derive(Clone, Debug)]
pub struct Consent {
    /// `SINGLE_OPT_IN`, `CONFIRMED_OPT_IN` or `UNKNOWN`, as Shopify wants it beside SUBSCRIBED.
    pub opt_in_level: String,
}

#[derive(Clone, Debug)]
pub struct Orders {
    /// From when on orders count, by the time when they were processed. An order that was sent before stays in step.
    pub from: Option<Time>,
    /// The status from which on an order counts as a transaction.
    pub transaction_status: Threshold,
    pub include_test: bool,
    pub item_price: ItemPrice,
    /// Whether shipping, tips, duties and fees become items. If not, they are listed in `meta`.
    pub charges_as_items: bool,
    pub gift_cards: bool,
    /// Whether a guest's order is linked to an existing profile with the same e-mail.
    pub guest_by_email: bool,
    pub refunds: OnRefund,
    pub money: Money,
}

/// What a refund that moved money becomes in Omneo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefund {
    /// A transaction of its own, with negative quantities.
    Return,
    /// A smaller sale: the sale is sent again with what is left of it.
    Update,
    /// Nothing: the sale stays as it was bought.
    Ignore,
}

/// The currency in which an order's amounts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// The shop's currency.
    Shop,
    /// The currency that the shopper was shown.
    Presentment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    Pending,
    Authorized,
    PartiallyPaid,
    Paid,
    Partial,
    Fulfilled,
}

/// What the prices of an item mean. Omneo does not define it; see `docs/omneo-questions.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemPrice {
    Unit,
    Line,
    Each,
}

#[derive(Clone, Debug)]
pub struct Products {
    /// The brand that is sent for a product without a vendor: Omneo requires one.
    pub brand: String,
    pub level: Level,
    /// Whether a product that is taken out of sale is archived in Omneo. If not, it becomes a draft.
    pub archive_unpublished: bool,
}

/// What in Shopify corresponds to one product in Omneo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A product with all its variants.
    Header,
    /// A single variant.
    Variant,
}

#[derive(Clone, Debug)]
pub struct Locations {
    /// The phone number that is sent for a location without one: Omneo requires one.
    pub phone: Option<String>,
    /// The Shopify id of the location that takes over from a deleted location.
    pub fallback: Option<String>,
}

/// The table of fields, which `mapping` reads.
const FIELDS: &str = "/fields";

impl Default for Settings {
    fn default() -> Self {
        Self::read(&json!({}))
    }
}

impl Settings {
    /// Checks a rules file, given as JSON, against the table; every mistake is named.
    ///
    /// Settings that are allowed but hardly meant are returned as warnings beside the settings.
    pub fn configure(rules: &str) -> Result<(Self, Value, Vec<Problem>), Vec<Problem>> {
        let rules: Value = match serde_json::from_str(rules) {
            Ok(rules @ Value::Object(_)) => rules,
            Ok(_) => return Err(vec![problem("", "the rules are not a table", "write `key = value` lines")]),
            Err(error) => return Err(vec![problem("", format!("not JSON: {error}"), "pass a JSON object")]),
        };
        let mut problems = vec![];
        keys::check(&rules, "", &mut problems);
        for known in KNOWN {
            if let Some(value) = rules.pointer(known.at) {
                problems.extend(known.may_be.check(known.at, value));
            }
        }
        problems.extend(mapping::problems(&rules));
        let on = |at| rules.pointer(at).and_then(Value::as_bool).unwrap_or(true);
        if rules.get("timezone").is_none() && on("/sync/orders") && on("/sync/shopify_to_omneo") {
            problems.push(problem(
                "",
                "`timezone` is missing: Omneo wants one with every order, and no order says it",
                "add `timezone = \"Area/City\"`, the shop's time zone, or switch orders off: `sync.orders = false`",
            ));
        }
        problems.extend(doubts::tags(&rules));
        if !problems.is_empty() {
            return Err(problems);
        }
        let settings = Self::read(&rules);
        let doubts = doubts::all(&settings);
        Ok((settings, rules, doubts))
    }

    /// Every setting with its value in force: JSON pointer, value as JSON, and whether a change cuts links.
    pub fn in_force(&self, rules: &Value) -> Vec<(String, String, bool)> {
        let known = KNOWN.iter().map(|known| (known.at.to_owned(), known.value(rules).to_string(), known.fixed));
        let field = |field: mapping::Field| (format!("{FIELDS}/{}", field.name()), field.to_json().to_string(), false);
        let detail =
            |detail: &mapping::Detail| (format!("{FIELDS}/{}", detail.name), detail.to_json().to_string(), false);
        let details = [mapping::Of::Order, mapping::Of::Product].into_iter().flat_map(|of| self.mapping.details(of));
        known.chain(self.mapping.fields().map(field)).chain(details.map(detail)).collect()
    }

    fn read(rules: &Value) -> Self {
        let value = |at: &str| {
            let known = KNOWN.iter().find(|known| known.at == at);
            known.expect("what is read stands in the table").value(rules)
        };
        let text = |at: &str| match value(at) {
            Value::String(text) => text,
            Value::Bool(switch) => switch.to_string(),
            _ => String::new(),
        };
        let switch = |at| value(at) == json!(true);
        let texts = |at| match value(at) {
            Value::Array(texts) => texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect(),
            _ => vec![],
        };
        Self {
            timezone: value("/timezone").as_str().map(str::to_owned),
            identity_handle: text("/identity/handle"),
            sync: Sync {
                shopify_to_omneo: switch("/sync/shopify_to_omneo"),
                omneo_to_shopify: switch("/sync/omneo_to_shopify"),
                profiles: switch("/sync/profiles"),
                addresses: switch("/sync/addresses"),
                consent: switch("/sync/consent"),
                orders: switch("/sync/orders"),
                products: switch("/sync/products"),
                locations: switch("/sync/locations"),
            },
            mapping: mapping::read(rules),
            addresses_owner: Owner::named(&text("/addresses/owner")).unwrap_or(Owner::Latest),
            tags: Tags {
                whitelist: texts("/tags/whitelist"),
                prefix: text("/tags/prefix"),
                mirror_whitelisted: switch("/tags/mirror_whitelisted"),
            },
            people: People {
                profile_types: texts("/people/profile_types"),
                exclude_emails: texts("/people/exclude_emails"),
                email_to_accounts: switch("/people/email_to_accounts"),
                recreate_deleted: switch("/people/recreate_deleted"),
                on_customer_delete: match text("/people/on_customer_delete").as_str() {
                    "delete" => OnCustomerDelete::Delete,
                    "ignore" => OnCustomerDelete::Ignore,
                    _ => OnCustomerDelete::Unlink,
                },
                on_profile_delete: match text("/people/on_profile_delete").as_str() {
                    "clean" => OnProfileDelete::Clean,
                    _ => OnProfileDelete::Unlink,
                },
                on_merge: match text("/people/on_merge").as_str() {
                    "merge" => OnMerge::Merge,
                    "ask" => OnMerge::Ask,
                    _ => OnMerge::Link,
                },
                on_profile_merge: match text("/people/on_profile_merge").as_str() {
                    "merge" => OnProfileMerge::Merge,
                    _ => OnProfileMerge::Note,
                },
                purge_redacted: text("/people/on_redact") == "purge",
            },
            consent: Consent { opt_in_level: text("/consent/opt_in_level") },
            orders: read_orders(&text),
            products: Products {
                brand: text("/products/brand"),
                level: if text("/products/level") == "variant" { Level::Variant } else { Level::Header },
                archive_unpublished: text("/products/on_unpublish") == "archive",
            },
            locations: Locations {
                phone: value("/locations/phone").as_str().map(str::to_owned),
                fallback: value("/locations/fallback").as_str().map(str::to_owned),
            },
        }
    }
}

/// Reads the settings of orders. Each setting is given as text: a switch reads `true` or `false`.
fn read_orders(text: &dyn Fn(&str) -> String) -> Orders {
    Orders {
        from: table::midnight(&text("/orders/from")),
        transaction_status: match text("/orders/transaction_status").as_str() {
            "pending" => Threshold::Pending,
            "authorized" => Threshold::Authorized,
            "partially_paid" => Threshold::PartiallyPaid,
            "partial" => Threshold::Partial,
            "fulfilled" => Threshold::Fulfilled,
            _ => Threshold::Paid,
        },
        include_test: text("/orders/include_test") == "true",
        item_price: match text("/orders/item_price").as_str() {
            "line" => ItemPrice::Line,
            "each" => ItemPrice::Each,
            _ => ItemPrice::Unit,
        },
        charges_as_items: text("/orders/charges") == "items",
        gift_cards: text("/orders/gift_cards") == "include",
        guest_by_email: text("/orders/guest") == "email",
        refunds: match text("/orders/refunds").as_str() {
            "update" => OnRefund::Update,
            "ignore" => OnRefund::Ignore,
            _ => OnRefund::Return,
        },
        money: match text("/orders/money").as_str() {
            "presentment" => Money::Presentment,
            _ => Money::Shop,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(rules: Value) -> Vec<String> {
        match Settings::configure(&rules.to_string()) {
            Ok(_) => vec![],
            Err(problems) => problems.iter().map(|p| format!("{}: {}; {}", p.at, p.message, p.fix)).collect(),
        }
    }

    #[test]
    fn everything_is_on_by_default() {
        let settings = Settings::default();
        assert!(settings.sync.shopify_to_omneo && settings.sync.omneo_to_shopify && settings.sync.profiles);
        assert!(settings.sync.consent && settings.sync.orders && settings.sync.products && settings.sync.locations);
        assert_eq!((settings.identity_handle.as_str(), settings.tags.prefix.as_str()), ("shopify", "cx-"));
        assert_eq!(settings.orders.transaction_status, Threshold::Paid);
    }

    #[test]
    fn every_mistake_is_named_with_its_fix() {
        let mut found = problems(json!({
            "timezone": "Melbourne",
            "tags": {"whitelst": ["vip"], "prefix": 3},
            "identity": "shopify",
            "include_test": true,
            "orders": {"transaction_status": "refunded", "guest": "emial"},
        }));
        // Sorted by place, because a JSON object need not keep its order. The host sorts mistakes in the order of the
        // file.
        found.sort();
        assert_eq!(
            found,
            [
                "/identity: `identity` is a table; write `[identity]` and its keys below it",
                "/include_test: unknown key `include_test`; did you mean `orders.include_test`?",
                "/orders/guest: `emial` is not one of \"anonymous\", \"email\"; did you mean \"email\"?",
                "/orders/transaction_status: `refunded` is not one of \"pending\", \"authorized\", \"partially_paid\", \"paid\", \"partial\", \"fulfilled\"; a refunded order has been paid: use `paid`",
                "/tags/prefix: expected a text that is not empty, found `3`; write `prefix = \"…\"`",
                "/tags/whitelst: unknown key `whitelst`; did you mean `whitelist`?",
                "/timezone: there is no time zone `Melbourne`; did you mean \"Australia/Melbourne\"?",
            ]
        );
    }

    #[test]
    fn a_default_country_is_one_whose_numbers_are_known() {
        let with = |country: Value| problems(json!({"timezone": "UTC", "people": {"default_country": country}}));
        assert_eq!(with(json!("AU")), Vec::<String>::new());
        assert_eq!(
            with(json!("Australia")),
            [
                "/people/default_country: expected the two capital letters of a country whose phone numbers are known, found `\"Australia\"`; write `default_country = \"AU\"`, or leave it out"
            ]
        );
    }

    #[test]
    fn a_time_zone_is_needed_only_for_orders() {
        assert_eq!(problems(json!({})).len(), 1);
        assert_eq!(problems(json!({"sync": {"orders": false}})).len(), 0);
        assert_eq!(problems(json!({"timezone": "UTC"})).len(), 0);
    }
}
