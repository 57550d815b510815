//! Finds the profile that a purchase counts for. A buyer is looked for and created as a customer who signs up is: with
//! the same questions, the same holds, and the same people who stay deleted. Any failure is only a reason, since a sale
//! counts without a profile too.

use tandem_sdk::{Cx, End, join, skipped};

use super::fields::Core;
use super::omneo::{self, Owner};
use super::owner;
use super::run::Run;
use super::who;
use super::{known_as_deleted, shopify};
use crate::key;
use crate::settings::Settings;

/// A customer who has bought something.
#[derive(Clone, Copy, Debug)]
pub struct Buyer<'a> {
    pub customer: u64,
    /// The profile that the purchase was sent to before and that Omneo declines now.
    pub declined: Option<&'a str>,
    /// Whether Shopify withholds protected data from this app. Then no profile is looked for by e-mail or created.
    pub is_protected: bool,
}

impl Buyer<'_> {
    /// The buyer's profile, or the reason why there is none. A profile's second customer does not speak for it, but
    /// their purchases count for it.
    pub async fn profile(self, cx: &Cx, settings: &Settings) -> Result<String, String> {
        self.look(Run::beside(cx, settings)).await.map_err(|end| end.reason)
    }

    async fn look(self, mut run: Run<'_>) -> Result<String, End> {
        let Self { customer, declined, is_protected } = self;
        let linked = who::linked(run.cx, customer).await?;
        if let [profile] = &linked[..]
            && Some(profile.as_str()) != declined
        {
            return Ok(profile.clone());
        }
        let found = omneo::search(run.cx, &run.settings.identity_handle, customer).await?;
        if let Some(found) = found.filter(|found| Some(found.as_str()) != declined) {
            if !linked.contains(&found) {
                not_doubted(&run, customer, &found).await?;
            }
            return Ok(found);
        }
        if let Some(declined) = declined
            && omneo::profile(run.cx, declined, run.reading()).await?.is_some()
        {
            return Ok(declined.to_owned());
        }
        run.memory.gone.profile = declined.map(str::to_owned);
        if let Some(reason) = known_as_deleted(&run, customer) {
            return Err(skipped(reason));
        }
        if is_protected {
            return Err(skipped(
                "Shopify keeps protected customer data from this app, and no profile has the identity",
            ));
        }
        let Some(customer) = shopify::person(&run, customer).await? else {
            return Err(run.end_without_customer(customer));
        };
        who::without_identity(&mut run, customer).await.map(|met| met.profile.id)
    }
}

/// Ends the look if only the identity says that this profile is the customer's, or if it is another customer's.
async fn not_doubted(run: &Run<'_>, customer: u64, profile: &str) -> Result<(), End> {
    let doubt = || skipped(owner::doubt(customer, profile));
    let asked = join(shopify::person(run, customer), omneo::profile(run.cx, profile, run.reading()));
    let (asked, names) = join(asked, run.cx.names_of(&key::profile_name(profile))).await;
    let (Some(read), Some(shown)) = (asked.0?, asked.1?) else { return Err(doubt()) };
    let names = names?;
    let other =
        names.iter().filter_map(|name| name.strip_prefix(key::CUSTOMERS)).find(|other| *other != customer.to_string());
    match other {
        _ if read.profile.as_deref() == Some(profile) => Ok(()),
        Some(other) => {
            let doubt = owner::doubt(customer, profile);
            Err(skipped(format!("customer {other} speaks for the profile: {doubt}")))
        }
        None if owner::is_same(&read, &shown) => Ok(()),
        None => Err(doubt()),
    }
}

/// The profile that has a guest's e-mail. A guest has no identity to give to it, and no profile is created for a guest.
pub async fn of_guest(cx: &Cx, settings: &Settings, email: &str) -> Result<String, String> {
    let field = settings.mapping.fields().find(|field| field.is(Core::Email));
    let email = field.map_or_else(|| email.to_owned(), |field| field.plain(email));
    match omneo::availability(cx, Some(&email), None).await {
        Ok((Owner::Profile(found), _)) => Ok(found),
        Ok((Owner::Nobody, _)) => Err("guest, and no profile has the e-mail".to_owned()),
        Ok((Owner::Somebody, _)) => Err("guest, and Omneo does not say who has the e-mail".to_owned()),
        Err(end) => Err(end.reason),
    }
}
