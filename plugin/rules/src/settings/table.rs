//! The table of settings: the name, the meaning, the allowed values and the default of each.

use tandem_sdk::{Problem, Time, Value, json};

use super::zones;
use crate::mapping;
use crate::problems::{brief, nearest, problem, quoted};

/// One line of the table.
pub struct Known {
    /// JSON pointer.
    pub at: &'static str,
    /// What it means, for the schema and the reference.
    pub what: &'static str,
    pub may_be: MayBe,
    pub default: fn() -> Value,
    /// Whether a change cuts existing links.
    pub fixed: bool,
}

pub enum MayBe {
    Switch,
    /// A text that is not empty.
    Text,
    Texts,
    /// A country whose national phone numbers are known.
    Country,
    Timezone,
    /// A day.
    Date,
    /// Some of these.
    SomeOf(&'static [&'static str]),
    /// Tags that can go to Omneo.
    Tags,
    OneOf(&'static [&'static str]),
}

/// Statuses that bodies show but that cannot be a threshold, each with the reason.
const NEVER_REACHED: [(&str, &str); 6] = [
    ("partially_refunded", "a refunded order has been paid: use `paid`"),
    ("refunded", "a refunded order has been paid: use `paid`"),
    ("voided", "nothing was paid for a voided order"),
    ("expired", "nothing was paid for an expired order"),
    ("restocked", "restocked goods were not bought"),
    ("unfulfilled", "bodies show an unfulfilled order as null: use `pending`"),
];

/// The types of profiles in Omneo's documentation, except `deleted`: a deleted profile is never sent anywhere.
const PROFILE_TYPES: [&str; 6] = ["temporary", "dependant", "incomplete", "pending", "system", "active"];

pub const KNOWN: &[Known] = &[
    known(
        "/timezone",
        "IANA name of the shop's time zone. Omneo requires a time zone with every order, so orders need this setting; a name that IANA does not know is refused.",
        MayBe::Timezone,
        || Value::Null,
    ),
    Known {
        fixed: true,
        ..known(
            "/identity/handle",
            "The handle of the identity that links a profile to its customer. Once somebody is linked, `serve` refuses another handle unless it is started with `--relink`.",
            MayBe::Text,
            || json!("shopify"),
        )
    },
    known(
        "/sync/shopify_to_omneo",
        "The direction from Shopify to Omneo. With `false` nothing is written to Omneo.",
        MayBe::Switch,
        || json!(true),
    ),
    known(
        "/sync/omneo_to_shopify",
        "The direction from Omneo to Shopify. With `false` nothing is written to Shopify.",
        MayBe::Switch,
        || json!(true),
    ),
    known(
        "/sync/profiles",
        "Whether customers and profiles are kept in step. An order has a profile for its buyer either way.",
        MayBe::Switch,
        || json!(true),
    ),
    known("/sync/addresses", "Whether addresses are kept in step.", MayBe::Switch, || json!(true)),
    known("/sync/consent", "Whether marketing consent by e-mail and SMS is kept in step.", MayBe::Switch, || {
        json!(true)
    }),
    known("/sync/orders", "Whether orders go to Omneo, as orders and transactions.", MayBe::Switch, || json!(true)),
    known("/sync/products", "Whether products go to Omneo.", MayBe::Switch, || json!(true)),
    known("/sync/locations", "Whether locations go to Omneo.", MayBe::Switch, || json!(true)),
    known(
        "/addresses/owner",
        "Who wins an address that both sides changed, as a whole: one side, or whoever was later. Shopify's addresses have no clock, so in doubt Shopify's address wins.",
        MayBe::OneOf(&["latest", "omneo", "shopify"]),
        || json!("latest"),
    ),
    known(
        "/tags/whitelist",
        "Tags that go from Shopify to Omneo; an empty list sends none. A tag with the prefix, with a comma or of blanks alone could never go, and is refused.",
        MayBe::Tags,
        || json!([]),
    ),
    known("/tags/prefix", "The prefix of Omneo's tags in Shopify.", MayBe::Text, || json!("cx-")),
    known(
        "/tags/mirror_whitelisted",
        "Whether tags that Shopify brought to Omneo come back with the prefix.",
        MayBe::Switch,
        || json!(false),
    ),
    known("/people/profile_types", "Profile types that go to Shopify.", MayBe::SomeOf(&PROFILE_TYPES), || {
        json!(["active"])
    }),
    known(
        "/people/exclude_emails",
        "E-mail addresses that never go to Shopify; `*` stands for any text.",
        MayBe::Texts,
        || json!(["*@example.com", "staff-profile-*"]),
    ),
    known(
        "/people/email_to_accounts",
        "Whether Omneo may change the e-mail of a customer with an account, whose login it is.",
        MayBe::Switch,
        || json!(false),
    ),
    known(
        "/people/recreate_deleted",
        "Whether a person who was deleted on one side is created there again.",
        MayBe::Switch,
        || json!(false),
    ),
    known(
        "/people/default_country",
        "ISO 3166 code, such as `AU`, of the country of phone numbers without `+`; also of numbers that begin with an international prefix such as `00`. 31 countries are known. Without this setting such a number is not sent; a number with letters or an extension never is.",
        MayBe::Country,
        || Value::Null,
    ),
    known(
        "/people/on_customer_delete",
        "What becomes of the profile of a deleted customer. `unlink`: it loses the identity. `delete`: it is deleted, also when the deletion is the first sign of a merge; Omneo can restore it. `ignore`: nothing.",
        MayBe::OneOf(&["unlink", "delete", "ignore"]),
        || json!("unlink"),
    ),
    known(
        "/people/on_profile_delete",
        "What becomes of the customer of a deleted profile, who is never deleted. `unlink`: nothing. `clean`: its tags with the prefix and Tandem's metafields are removed.",
        MayBe::OneOf(&["unlink", "clean"]),
        || json!("unlink"),
    ),
    known(
        "/people/on_merge",
        "What becomes of two profiles when their customers are merged in Shopify. `merge`: they are merged in Omneo, for good, so that points and purchases of both are on the profile that the shopper still reaches. `link`: both stay, and what is on the second is out of the shopper's reach. `ask`: the event is refused, so that a person looks.",
        MayBe::OneOf(&["merge", "link", "ask"]),
        || json!("merge"),
    ),
    known(
        "/people/on_profile_merge",
        "What becomes of two customers when their profiles are merged in Omneo. `note`: both stay. `merge`: they are merged in Shopify, for good.",
        MayBe::OneOf(&["note", "merge"]),
        || json!("note"),
    ),
    known(
        "/people/on_redact",
        "What becomes of the profile of a customer whom Shopify has redacted. `ignore`: nothing. `purge`: it is purged in Omneo, for good.",
        MayBe::OneOf(&["ignore", "purge"]),
        || json!("ignore"),
    ),
    known(
        "/consent/opt_in_level",
        "The level that is sent to Shopify with SUBSCRIBED.",
        MayBe::OneOf(&["SINGLE_OPT_IN", "CONFIRMED_OPT_IN", "UNKNOWN"]),
        || json!("SINGLE_OPT_IN"),
    ),
    known(
        "/orders/transaction_status",
        "From which status on an order is a transaction.",
        MayBe::OneOf(&["pending", "authorized", "partially_paid", "paid", "partial", "fulfilled"]),
        || json!("paid"),
    ),
    known(
        "/orders/from",
        "The day from whose midnight in UTC on orders go to Omneo, by the time when they were processed. An order before it is skipped, even if it changes later, unless something of it is in Omneo. Without this setting every order goes that a webhook brings, and orders cannot be imported.",
        MayBe::Date,
        || Value::Null,
    ),
    known("/orders/include_test", "Whether test orders are sent.", MayBe::Switch, || json!(false)),
    known(
        "/orders/item_price",
        "What the price of an item is. `unit`: of one piece. `line`: of all its pieces. `each`: one item is sent for each piece, which is right under both readings.",
        MayBe::OneOf(&["unit", "line", "each"]),
        || json!("unit"),
    ),
    known(
        "/orders/charges",
        "Where shipping, tips, duties and fees go. `items`: they are items of the transaction. `meta`: they stand in its `meta`.",
        MayBe::OneOf(&["items", "meta"]),
        || json!("items"),
    ),
    known(
        "/orders/gift_cards",
        "Whether gift cards that were bought count.",
        MayBe::OneOf(&["include", "exclude"]),
        || json!("include"),
    ),
    known(
        "/orders/guest",
        "Whose a guest's order is. `anonymous`: nobody's. `email`: it goes to the profile with its e-mail address, if there is one.",
        MayBe::OneOf(&["anonymous", "email"]),
        || json!("anonymous"),
    ),
    known(
        "/orders/refunds",
        "What a refund is. `return`: a return of its own once money has moved or is on its way, worth what came back; without money it lowers the sale. `update`: it lowers the sale in both cases. `ignore`: no return is sent; without money it lowers the sale all the same.",
        MayBe::OneOf(&["return", "update", "ignore"]),
        || json!("return"),
    ),
    known(
        "/orders/money",
        "The currency of amounts. `shop`: the shop's currency. `presentment`: the amounts and the currency that the shopper was shown.",
        MayBe::OneOf(&["shop", "presentment"]),
        || json!("shop"),
    ),
    known("/products/brand", "The brand of products without a vendor; Omneo requires one.", MayBe::Text, || {
        json!("unbranded")
    }),
    known(
        "/products/level",
        "What a product of Omneo is. `header`: a product of Shopify. `variant`: one of its variants, with the variant's id as external id.",
        MayBe::OneOf(&["header", "variant"]),
        || json!("header"),
    ),
    known(
        "/products/on_unpublish",
        "What an unpublished product becomes in Omneo. `draft`: a draft. `archive`: it is archived, and so is a draft.",
        MayBe::OneOf(&["draft", "archive"]),
        || json!("draft"),
    ),
    known(
        "/locations/phone",
        "The phone of a location that has none in Shopify; Omneo requires one.",
        MayBe::Text,
        || Value::Null,
    ),
    known(
        "/locations/fallback",
        "Shopify id of the location that takes over from a deleted one. Without this setting a deletion is refused.",
        MayBe::Text,
        || Value::Null,
    ),
];

const fn known(at: &'static str, what: &'static str, may_be: MayBe, default: fn() -> Value) -> Known {
    Known { at, what, may_be, default, fixed: false }
}

/// The moment at which a day such as `2026-01-31` begins in UTC; `None` if the text is no day.
pub fn midnight(day: &str) -> Option<Time> {
    (day.len() == 10).then(|| Time::parse(&format!("{day}T00:00:00Z"))).flatten()
}

impl Known {
    pub fn value(&self, rules: &Value) -> Value {
        rules.pointer(self.at).cloned().unwrap_or_else(self.default)
    }
}

impl MayBe {
    pub fn check(&self, at: &str, value: &Value) -> Option<Problem> {
        let expected =
            |what: &str| Some(problem(at, format!("expected {what}, found `{}`", brief(value)), self.example(at)));
        match (self, value) {
            (Self::Switch, Value::Bool(_)) => None,
            (Self::Switch, _) => expected("true or false"),
            (Self::Text, Value::String(text)) if !text.trim().is_empty() => None,
            (Self::Text, _) => expected("a text that is not empty"),
            (Self::Texts, Value::Array(texts)) if texts.iter().all(Value::is_string) => None,
            (Self::Tags, Value::Array(texts)) if texts.iter().all(Value::is_string) => None,
            (Self::Texts | Self::Tags, _) => expected("a list of texts"),
            (Self::SomeOf(allowed), Value::Array(texts)) => {
                texts.iter().find_map(|text| MayBe::OneOf(allowed).check(at, text))
            }
            (Self::SomeOf(_), _) => expected("a list of texts"),
            (Self::Country, Value::String(country)) if mapping::is_known_country(country) => None,
            (Self::Country, _) => expected("the two capital letters of a country whose phone numbers are known"),
            (Self::Timezone, Value::String(zone)) => zones::check(at, zone),
            (Self::Timezone, _) => expected("the IANA name of a time zone"),
            (Self::Date, Value::String(day)) if midnight(day).is_some() => None,
            (Self::Date, _) => expected("a day as a text"),
            (Self::OneOf(allowed), Value::String(text)) if allowed.contains(&text.as_str()) => None,
            (Self::OneOf(allowed), Value::String(text)) => {
                let never =
                    NEVER_REACHED.iter().find(|(status, _)| at == "/orders/transaction_status" && status == text);
                let fix = match (never, nearest(text, allowed.iter().copied())) {
                    (Some((_, why)), _) => (*why).to_owned(),
                    (None, Some(near)) => format!("did you mean \"{near}\"?"),
                    (None, None) => format!("use one of {}", quoted(allowed)),
                };
                let text = brief(text);
                Some(problem(at, format!("`{text}` is not one of {}", quoted(allowed)), fix))
            }
            (Self::OneOf(allowed), _) => expected(&format!("one of {}", quoted(allowed))),
        }
    }

    fn example(&self, at: &str) -> String {
        let key = at.rsplit('/').next().unwrap_or_default();
        match self {
            Self::Switch => format!("write `{key} = true` or `{key} = false`"),
            Self::Text => format!("write `{key} = \"…\"`"),
            Self::Texts | Self::Tags => format!("write `{key} = [\"…\", \"…\"]`"),
            Self::SomeOf(allowed) => format!("write `{key} = [\"…\"]` with some of {}", quoted(allowed)),
            Self::Timezone => format!("write `{key} = \"Australia/Melbourne\"`"),
            Self::Country => format!("write `{key} = \"AU\"`, or leave it out"),
            Self::Date => format!("write `{key} = \"2026-01-31\"`, with the quotes"),
            Self::OneOf(allowed) => format!("use one of {}", quoted(allowed)),
        }
    }
}
