//! Whose profile a shopper may see: the one place that decides it. Pure.
//!
//! A token opens a person's points, addresses and orders to whoever holds it. So two questions are asked.
//!
//! The first: which profiles does the journal link to the customer? Omneo's identities do not count, because whoever has a token may
//! write identities of their own profile.
//!
//! The second: are the two one person? The journal does not say how it found the link: by an identity, by the e-mail, or because one was
//! made from the other. So every link must pass the test that the weakest of these needs: the customer has shown the e-mail address to
//! be their own, and the profile has the same address.
//!
//! Shopify's `verifiedEmail` alone shows nothing: it is true for every customer whom the admin or the API has made, and a classic
//! account is opened with a password that anybody can choose who types the address. In a shop with new customer accounts, every login
//! takes a code that is sent to the address. So the shop's kind of accounts counts as well, and an operator may trust a shop's classic
//! accounts.
//!
//! A customer who was merged with another one can have two profiles by the journal. At most one of them has the customer's address.

/// Profiles of one customer that are asked about.
const PROFILES_MAX: usize = 4;

/// What the names of a customer's entity say.
#[derive(Clone, Debug, PartialEq)]
pub enum Linked {
    /// Nothing links the customer to a profile.
    Nobody,
    /// There are more than anybody has.
    TooMany,
    /// By their UUIDs.
    Profiles(Vec<String>),
}

/// What Shopify says of a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    pub email: Option<String>,
    /// Shopify counts the address as verified.
    pub is_verified: bool,
    pub accounts: Accounts,
}

/// How the customers of a shop log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// With a code that is sent to the e-mail address.
    New,
    /// With a password, or in a way that is not known here.
    Classic,
}

/// What Omneo says of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub email: Option<String>,
}

/// Why a customer who is logged in gets a token without a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// Shopify does not know the customer any more.
    NoCustomer,
    /// Omneo does not know the profile any more.
    NoProfile,
    /// The app may not read who the customer is.
    Denied,
    /// The customer has no e-mail address, or the app may not read it.
    NoEmail,
    Unverified,
    /// The shop has classic customer accounts, which show nobody's address.
    ClassicAccounts,
    OtherEmail,
    /// Omneo says of two profiles that they have the address.
    Several,
}

const CUSTOMER: &str = "shopify/customer/";
const PROFILE: &str = "omneo/profile/";

/// The name that a customer has in the journal.
pub fn name_of(customer: u64) -> String {
    format!("{CUSTOMER}{customer}")
}

/// What these names say, which are all of the customer's entity that do not stand for somebody who is gone.
pub fn linked(customer: u64, names: &[String]) -> Linked {
    let own = name_of(customer);
    if !names.contains(&own) {
        return Linked::Nobody;
    }
    // Rules may call anything a profile.
    let profiles = names.iter().filter_map(|name| name.strip_prefix(PROFILE)).filter(|id| is_uuid(id));
    let profiles: Vec<_> = profiles.map(str::to_owned).collect();
    match profiles.len() {
        0 => Linked::Nobody,
        1..=PROFILES_MAX => Linked::Profiles(profiles),
        _ => Linked::TooMany,
    }
}

/// Which of the profiles that are a customer's by the journal is that person's, by what both systems say now. `None` in place of a
/// profile: Omneo has none. `trusts_classic`: the operator takes the word of the shop's classic accounts.
pub fn proven(
    customer: Option<&Customer>,
    profiles: &[Option<Profile>],
    trusts_classic: bool,
) -> Result<usize, Unproven> {
    let customer = customer.ok_or(Unproven::NoCustomer)?;
    if profiles.iter().all(Option::is_none) {
        return Err(Unproven::NoProfile);
    }
    let own = text(customer.email.as_deref()).ok_or(Unproven::NoEmail)?;
    if !customer.is_verified {
        return Err(Unproven::Unverified);
    }
    if customer.accounts != Accounts::New && !trusts_classic {
        return Err(Unproven::ClassicAccounts);
    }
    // Letter by letter: beyond ASCII, letters that look or fold alike are other addresses.
    let is_own =
        |profile: &Profile| text(profile.email.as_deref()).is_some_and(|other| other.eq_ignore_ascii_case(own));
    let mut theirs = (0..profiles.len()).filter(|n| profiles[*n].as_ref().is_some_and(is_own));
    match (theirs.next(), theirs.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Unproven::OtherEmail),
        (Some(_), Some(_)) => Err(Unproven::Several),
    }
}

fn text(email: Option<&str>) -> Option<&str> {
    email.map(str::trim).filter(|email| !email.is_empty())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAS: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";
    const OTHER: &str = "1b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";

    #[test]
    fn profiles_are_linked_that_share_an_entity_with_the_customer() {
        let (own, profile, other) =
            ("shopify/customer/7", format!("omneo/profile/{ADAS}"), format!("omneo/profile/{OTHER}"));
        let profiles = |ids: &[&str]| Linked::Profiles(ids.iter().map(|id| (*id).to_owned()).collect());
        let many: Vec<_> = (0..6).map(|n| format!("omneo/profile/{n}{}", &ADAS[1..])).collect();
        let table: [(&[&str], Linked); 14] = [
            (&[own, &profile], profiles(&[ADAS])),
            (&[&profile, own], profiles(&[ADAS])),
            (&[own, &profile, "shopify/order/9"], profiles(&[ADAS])),
            (&[], Linked::Nobody),
            (&[own], Linked::Nobody),
            (&[&profile], Linked::Nobody),
            // The customer's own name does not count any more: the customer is gone.
            (&["shopify/customer/8", &profile], Linked::Nobody),
            (&["shopify/customer/70", &profile], Linked::Nobody),
            // A merge of customers, under way or over.
            (&[own, "shopify/customer/8", &profile], profiles(&[ADAS])),
            (&[own, &profile, &other], profiles(&[ADAS, OTHER])),
            (&[own, &many[0], &many[1], &many[2], &many[3], &many[4]], Linked::TooMany),
            (&[own, "omneo/profile/../auth"], Linked::Nobody),
            (&[own, "omneo/profile/7"], Linked::Nobody),
            (&[own, "omneo/profile/7", &profile], profiles(&[ADAS])),
        ];
        for (names, due) in table {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(linked(7, &names), due, "{names:?}");
        }
    }

    fn text(text: Option<&str>) -> Option<String> {
        text.map(str::to_owned)
    }

    #[test]
    fn a_profile_is_theirs_whose_address_it_has_and_who_has_shown_it() {
        let ok = Ok(0);
        let table = [
            (Some("ada@lovelace.dev"), true, Some("ada@lovelace.dev"), ok),
            (Some(" Ada@Lovelace.dev"), true, Some("ada@lovelace.dev "), ok),
            (Some("ada@lovelace.dev"), false, Some("ada@lovelace.dev"), Err(Unproven::Unverified)),
            (Some("bob@example.org"), true, Some("ada@lovelace.dev"), Err(Unproven::OtherEmail)),
            (Some("bob@example.org"), false, Some("ada@lovelace.dev"), Err(Unproven::Unverified)),
            (Some("ada@lovelace.dev"), true, None, Err(Unproven::OtherEmail)),
            (Some("ada@lovelace.dev"), true, Some(""), Err(Unproven::OtherEmail)),
            (None, true, None, Err(Unproven::NoEmail)),
            (Some(""), true, Some(""), Err(Unproven::NoEmail)),
            (Some(" "), true, Some(" "), Err(Unproven::NoEmail)),
            // A Kelvin sign, whose small letter is a k; a dotless i; a full-width a.
            (Some("\u{212a}ate@example.org"), true, Some("kate@example.org"), Err(Unproven::OtherEmail)),
            (Some("\u{131}da@example.org"), true, Some("ida@example.org"), Err(Unproven::OtherEmail)),
            (Some("\u{ff41}da@example.org"), true, Some("ada@example.org"), Err(Unproven::OtherEmail)),
            (Some("ada@lovelace.dev"), true, Some("ada@lovelace.dev.example.org"), Err(Unproven::OtherEmail)),
        ];
        for (own, is_verified, other, due) in table {
            let customer = Customer { email: text(own), is_verified, accounts: Accounts::New };
            let profile = Some(Profile { email: text(other) });
            let said = |customer: &Customer, trusts| proven(Some(customer), std::slice::from_ref(&profile), trusts);
            assert_eq!((said(&customer, false), said(&customer, true)), (due, due), "{customer:?} {profile:?}");
            // What a classic account says of its address counts where an operator trusts it, and only there.
            let classic = Customer { accounts: Accounts::Classic, ..customer.clone() };
            assert!(said(&classic, false).is_err(), "{classic:?} {profile:?}");
            assert_eq!(said(&classic, true), due, "{classic:?} {profile:?}");
            if due.is_ok() {
                assert_eq!(said(&classic, false), Err(Unproven::ClassicAccounts));
            }
            assert_eq!(proven(None, std::slice::from_ref(&profile), true), Err(Unproven::NoCustomer));
            assert_eq!(proven(Some(&customer), &[None], true), Err(Unproven::NoProfile));
        }
    }

    #[test]
    fn of_two_profiles_one_has_the_address() {
        let ada = Customer { email: text(Some("ada@lovelace.dev")), is_verified: true, accounts: Accounts::New };
        let profile = |email| Some(Profile { email: text(Some(email)) });
        let (own, other) = (|| profile("Ada@lovelace.dev"), || profile("bob@example.org"));
        let said = |profiles: &[Option<Profile>]| proven(Some(&ada), profiles, false);
        assert_eq!((said(&[own(), other()]), said(&[other(), own()]), said(&[None, own()])), (Ok(0), Ok(1), Ok(1)));
        assert_eq!(
            (said(&[other(), other()]), said(&[None, other()])),
            (Err(Unproven::OtherEmail), Err(Unproven::OtherEmail))
        );
        assert_eq!((said(&[own(), own()]), said(&[])), (Err(Unproven::Several), Err(Unproven::NoProfile)));
        let unverified = Customer { is_verified: false, ..ada.clone() };
        assert_eq!(proven(Some(&unverified), &[other(), own()], true), Err(Unproven::Unverified));
    }
}
