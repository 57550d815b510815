//! What Omneo keeps of a profile, and which of its keys are whose. Does nothing with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) type Row = Map<String, Value>;
/// Things with numeric ids: orders, transactions, products, locations, webhooks.
pub(crate) type Shelf = BTreeMap<u64, Row>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub id: String,
    /// Everything writable that is a value of its own, and what only Omneo writes (tier, balances).
    pub fields: Row,
    pub tags: Vec<String>,
    pub identities: Vec<Row>,
    /// As given; absent or null means never set.
    pub comms: Row,
    pub addresses: Vec<Row>,
    /// Soft-deleted: found nowhere, and its e-mail, phone and identities are free again.
    pub deleted: bool,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// Where a profile keeps its custom attributes.
pub(crate) const CUSTOM_ATTRIBUTES: &str = "custom_attributes";

/// Writable values of the profile itself (Omneo SDK types).
pub(crate) const WRITABLE: [&str; 25] = [
    "avatar_url",
    "birth_day",
    "birth_month",
    "birth_year",
    "company",
    "currency",
    "email",
    "first_name",
    "gender",
    "joined_at",
    "joined_location_id",
    "joined_staff_id",
    "last_name",
    "mobile_phone",
    "normal_hours",
    "occupation",
    "preferred_location_id",
    "preferred_staff_id",
    "profile_type",
    "region",
    "region_country",
    "region_id",
    "secondary_phone",
    "special_hours",
    "title",
];

/// Values that Omneo's own engine writes: read by everyone, written here only by a test that plays the engine.
pub(crate) const EARNED: [&str; 8] = [
    "benefit_balance",
    "combined_balance_dollars",
    "credit_balance",
    "point_balance",
    "point_balance_dollars",
    "reward_balance",
    "tier",
    "tier_handle",
];
