//! The keys with which an expression over a person can begin, and warnings about other keys: a misspelt key is not an
//! error in JMESPath, which treats it as null.

use tandem_sdk::Problem;

use super::expression::Expression;
use super::{Mapping, OmneoPlace, ShopifyPlace, Side};
use crate::problems::{escaped, nearest, problem};

/// Keys of a profile (Omneo SDK types of 2026).
const OMNEO: [&str; 62] = [
    "address",
    "addresses",
    "attributes",
    "avatar_url",
    "benefit_balance",
    "birth_date",
    "birth_day",
    "birth_days",
    "birth_days_past",
    "birth_month",
    "birth_year",
    "combined_balance_dollars",
    "company",
    "created_at",
    "created_by",
    "credit_balance",
    "currency",
    "custom_attributes",
    "custom_fields",
    "email",
    "external_id",
    "first_name",
    "full_name",
    "gender",
    "id",
    "identities",
    "is_completed",
    "is_public",
    "joined_at",
    "joined_location",
    "joined_location_id",
    "joined_staff",
    "joined_staff_id",
    "last_name",
    "mobile_phone",
    "mobile_phone_country",
    "mobile_phone_e164",
    "mobile_phone_national",
    "mobile_phone_national_prefix",
    "next_birthday",
    "normal_hours",
    "occupation",
    "organisations",
    "point_balance",
    "point_balance_dollars",
    "preferred_location",
    "preferred_location_id",
    "preferred_staff",
    "preferred_staff_id",
    "profile_type",
    "region",
    "regions",
    "reward_balance",
    "secondary_phone",
    "special_hours",
    "statuses",
    "statuses_original",
    "tags",
    "tier",
    "tier_handle",
    "title",
    "updated_at",
];

/// Keys of a customer, as these rules read it from the Admin API.
const SHOPIFY: [&str; 16] = [
    "amountSpent",
    "createdAt",
    "defaultEmailAddress",
    "defaultPhoneNumber",
    "firstName",
    "id",
    "lastName",
    "link",
    "locale",
    "note",
    "numberOfOrders",
    "state",
    "tags",
    "taxExempt",
    "updatedAt",
    "verifiedEmail",
];

fn of(side: Side) -> (&'static [&'static str], &'static str) {
    match side {
        Side::Omneo => (&OMNEO, "an Omneo profile"),
        Side::Shopify => (&SHOPIFY, "a Shopify customer as it is read"),
    }
}

/// Whether a document of this side may have the key.
pub fn is_known(side: Side, root: &str) -> bool {
    of(side).0.contains(&root)
}

/// Warns of expressions that begin with a key which their side does not have.
pub fn doubts(mapping: &Mapping) -> Vec<Problem> {
    let mut found = vec![];
    for field in mapping.fields() {
        let (side, expression): (_, &Expression) = match (&field.omneo, &field.shopify) {
            (OmneoPlace::Expression(expression), _) => (Side::Omneo, expression),
            (_, ShopifyPlace::Expression(expression)) => (Side::Shopify, expression),
            _ => continue,
        };
        let (known, whose) = of(side);
        // The names under which the document shows fields of a customer.
        let is_alias = |root: &str| side == Side::Shopify && root.starts_with("field_");
        for root in expression.roots().filter(|root| !known.contains(root) && !is_alias(root)) {
            let fix = match nearest(root, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its keys are {}", known.join(", ")),
            };
            let why = format!("{whose} has no `{root}`: where the expression comes to null, the field is held");
            found.push(problem(&format!("/fields/{}/expression", escaped(field.name())), why, fix));
        }
    }
    found
}
