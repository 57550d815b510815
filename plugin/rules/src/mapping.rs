//! Field mapping: which value of a profile corresponds to which value of a customer, in which format, and which side
//! owns it. One table, read in both directions. Knows neither events nor calls.

mod check;
mod detail;
mod doubled;
mod expression;
mod format;
mod keys;
mod phone;
mod place;
mod roots;
mod schema;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use tandem_sdk::{Value, json};

pub use check::{problems, read};
pub use detail::{Detail, Of, Place, add, named};
pub use expression::Computed;
pub use format::{Format, is_e164};
pub use phone::{is_known as is_known_country, known as known_countries};
pub use place::{OmneoPlace, ShopifyPlace};
pub use roots::{doubts, is_known as is_known_key};
pub use schema::schema;

use place::{OMNEO_KEYS, SHOPIFY_KEYS};

/// Key for the Shopify type of a metafield. The type follows from the format; it is listed for people who set the
/// metafield up.
const TYPE: &str = "type";

/// One of the two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Shopify,
    Omneo,
}

/// The side that wins a field that both sides have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Omneo,
    Shopify,
    /// The side whose clock is later.
    Latest,
}

/// The direction in which a field goes. On the receiving side of a one-way field, a change is neither taken over nor
/// undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Both,
    ToOmneo,
    ToShopify,
}

/// The fields by which the two halves of a person find each other. Their places cannot be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    FirstName,
    LastName,
    Email,
    Phone,
}

/// One line of the table.
#[derive(Debug)]
pub struct Entry {
    /// The name of the field in the rules file, in memory and in reasons.
    pub name: String,
    pub core: Option<Core>,
    pub omneo: OmneoPlace,
    pub shopify: ShopifyPlace,
    pub format: Format,
    pub owner: Owner,
    pub way: Way,
    /// The position of the entry in the table.
    rank: usize,
}

/// An entry of the table that can be copied around. The rules are configured once and live as long as the program, and
/// so do their entries.
#[derive(Clone, Copy)]
pub struct Field(&'static Entry);

/// The table.
#[derive(Clone, Debug)]
pub struct Mapping {
    fields: Vec<Field>,
    details: Vec<Detail>,
}

impl Mapping {
    fn new(entries: Vec<Entry>, details: Vec<Detail>) -> Self {
        let ranked = entries.into_iter().enumerate().map(|(rank, entry)| Entry { rank, ..entry });
        Self { fields: ranked.map(|entry| Field(Box::leak(Box::new(entry)))).collect(), details }
    }

    pub fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.fields.iter().copied()
    }

    /// The details that are sent with an order, or with a product.
    pub fn details(&self, of: Of) -> impl Iterator<Item = &Detail> {
        self.details.iter().filter(move |detail| detail.of == of)
    }

    pub fn named(&self, name: &str) -> Option<Field> {
        self.fields().find(|field| field.name() == name)
    }

    /// Whether a value that no webhook body shows may have to be sent from Shopify.
    pub fn needs_the_customer(&self) -> bool {
        self.fields().any(|field| field.goes_to(Side::Omneo) && !field.shopify.is_in_bodies())
    }

    /// Whether a field is mapped to this tag. Such a tag is not synchronised as a tag as well.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.fields().any(|field| field.shopify.value_of_tag(tag).is_some())
    }
}

impl std::ops::Deref for Field {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.0
    }
}

impl Field {
    /// The name of the field in settings, memory and reasons.
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// Whether this side takes the field over from the other side.
    pub fn goes_to(self, side: Side) -> bool {
        match self.way {
            Way::Both => true,
            Way::ToOmneo => side == Side::Omneo,
            Way::ToShopify => side == Side::Shopify,
        }
    }

    pub fn is(self, core: Core) -> bool {
        self.core == Some(core)
    }

    pub fn plain(self, value: &str) -> String {
        self.format.plain(value)
    }

    pub fn same(self, a: Option<&str>, b: Option<&str>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a == b || self.format.folded(a) == self.format.folded(b),
            (a, b) => a == b,
        }
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Field {}

impl PartialOrd for Field {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Field {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.rank, self.name()).cmp(&(other.rank, other.name()))
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Shopify => Side::Omneo,
            Side::Omneo => Side::Shopify,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Side::Shopify => "Shopify",
            Side::Omneo => "Omneo",
        })
    }
}

impl Owner {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "omneo" => Self::Omneo,
            "shopify" => Self::Shopify,
            "latest" => Self::Latest,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Omneo => "omneo",
            Self::Shopify => "shopify",
            Self::Latest => "latest",
        }
    }
}

impl Way {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "both" => Self::Both,
            "to_omneo" => Self::ToOmneo,
            "to_shopify" => Self::ToShopify,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::ToOmneo => "to_omneo",
            Self::ToShopify => "to_shopify",
        }
    }
}

impl Entry {
    /// The entry as the manifest lists it, in the form of a rules file.
    pub fn to_json(&self) -> Value {
        let mut entry = json!({});
        match &self.omneo {
            OmneoPlace::Expression(expression) => entry["expression"] = json!(expression.text()),
            place => entry["omneo"] = json!(place.path()),
        }
        match &self.shopify {
            ShopifyPlace::Expression(expression) => entry["expression"] = json!(expression.text()),
            place => entry["shopify"] = json!(place.path()),
        }
        entry["format"] = json!(self.format.name());
        if let Format::Money(currency) = &self.format {
            entry["currency"] = json!(currency);
        }
        entry["way"] = json!(self.way.name());
        if self.way == Way::Both {
            entry["owner"] = json!(self.owner.name());
        }
        if let ShopifyPlace::Metafield { .. } = self.shopify {
            entry[TYPE] = json!(self.format.metafield_type());
        }
        entry
    }
}

/// The table that every tenant begins with. Phone numbers without `+` are taken to be of the default country.
fn defaults(default_country: Option<&str>) -> Vec<Entry> {
    let core = |core, omneo: &str, shopify: &str, format| {
        let omneo = OMNEO_KEYS.iter().find(|key| key.path == omneo).map(OmneoPlace::Key);
        let shopify_key = SHOPIFY_KEYS.iter().find(|key| key.path == shopify).map(ShopifyPlace::Key);
        let (Some(omneo), Some(place)) = (omneo, shopify_key) else { return None };
        let entry = Entry {
            name: shopify.to_owned(),
            core: Some(core),
            omneo,
            shopify: place,
            format,
            owner: Owner::Latest,
            way: Way::Both,
            rank: 0,
        };
        Some(entry)
    };
    // Values for a theme to show to a shopper: in Liquid, `customer.metafields.omneo.points`.
    let loyalty = |name: &str, omneo: &str, key: &str, format| {
        let omneo = OMNEO_KEYS.iter().find(|key| key.path == omneo).map(OmneoPlace::Key)?;
        let shopify = ShopifyPlace::Metafield { namespace: "omneo".to_owned(), key: key.to_owned() };
        let (owner, way) = (Owner::Omneo, Way::ToShopify);
        Some(Entry { name: name.to_owned(), core: None, omneo, shopify, format, owner, way, rank: 0 })
    };
    let all = [
        core(Core::FirstName, "first_name", "first_name", Format::Name),
        core(Core::LastName, "last_name", "last_name", Format::Name),
        core(Core::Email, "email", "email", Format::Email),
        core(Core::Phone, "mobile_phone", "phone", Format::Phone(default_country.map(str::to_owned))),
        loyalty("tier", "tier.handle", "tier", Format::Text),
        loyalty("tier_name", "tier.name", "tier_name", Format::Text),
        loyalty("points", "point_balance", "points", Format::Integer),
        loyalty("reward_balance", "reward_balance", "reward_balance", Format::Number),
    ];
    all.into_iter().flatten().collect()
}
