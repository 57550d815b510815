//! Asks whether a profile that has a customer's identity is that customer's profile. Pure.
//!
//! Whoever holds a token for a profile may add identities to it at Omneo, another customer's among them. So an identity
//! that the memory does not explain is only a hint, and something that only the customer has must agree with it.

use super::fields::Core;
use super::omneo::Profile;
use super::shopify::{self, Customer};

/// Whether the two are one person: Shopify's metafield names the profile, or both have the same e-mail address. The phone
/// number counts where the customer has no address.
pub fn is_same(customer: &Customer, profile: &Profile) -> bool {
    if customer.profile.as_ref() == Some(&profile.id) {
        return true;
    }
    let (theirs, shown) = (&customer.snapshot.fields, &profile.snapshot.fields);
    match (theirs.core(Core::Email), shown.core(Core::Email)) {
        // Letter by letter: beyond ASCII, letters that look or fold alike are other addresses.
        (Some(one), Some(other)) => one.trim().eq_ignore_ascii_case(other.trim()),
        (Some(_), None) => false,
        (None, _) => theirs.plain(Core::Phone).is_some_and(|phone| shown.plain(Core::Phone) == Some(phone)),
    }
}

/// Why a profile is not taken for a customer's, and what to do about it.
pub fn doubt(customer: u64, profile: &str) -> String {
    format!(
        "profile {profile} has the identity of customer {customer}, and nothing else says that the two are one person; anybody \
         who may sign in to the profile can add an identity. If the two are one person, set the customer's metafield `{}` to the profile's id \
         and run the event again. If not, delete the identity in Omneo",
        shopify::LINK
    )
}
