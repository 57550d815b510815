//! Finds the profile of an order's buyer. Knows what an order says of its customer; `person` finds out who that is.

use tandem_sdk::{Cx, End, View};

use super::memory::{Link, Memory};
use crate::key::own_id;
use crate::person::{self, Buyer};
use crate::settings::Settings;

/// Who an order is linked to.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    Profile(Link),
    /// No profile, and the reason.
    Nobody(String),
}

/// The profile of the order's customer: the remembered one, or else the profile that a sign-up of this customer would
/// find or create. A guest's order is linked only to a profile that exists, and only if the settings allow it. A
/// profile that was found to be gone is not used.
pub async fn find(cx: &Cx, settings: &Settings, order: &View<'_>, memory: &Memory) -> Result<Who, End> {
    let id = customer_id(order);
    match &memory.profile {
        Some(known) if id.is_none() || known.customer == id => Ok(Who::Profile(known.clone())),
        _ => look(cx, settings, order, memory.gone.as_ref().filter(|gone| gone.customer == id)).await,
    }
}

/// The same after Omneo has declined the profile: it may have been merged into another profile or deleted.
pub async fn find_again(cx: &Cx, settings: &Settings, order: &View<'_>, declined: &Link) -> Result<Who, End> {
    look(cx, settings, order, Some(declined)).await
}

async fn look(cx: &Cx, settings: &Settings, order: &View<'_>, declined: Option<&Link>) -> Result<Who, End> {
    let customer = customer_id(order);
    let found = match customer {
        Some(customer) => {
            let declined = declined.map(|link| link.id.as_str());
            let is_protected = !order.has("/customer/email");
            Buyer { customer, declined, is_protected }.profile(cx, settings).await
        }
        None if !settings.orders.guest_by_email => Err("guest".to_owned()),
        None => match order.opt_text("/email")?.filter(|email| !email.trim().is_empty()) {
            Some(email) => person::of_guest(cx, settings, email).await,
            None => Err("guest without an e-mail".to_owned()),
        },
    };
    Ok(found.map_or_else(Who::Nobody, |id| Who::Profile(Link { customer, id })))
}

pub fn customer_id(order: &View) -> Option<u64> {
    own_id(&order.get("/customer")?).ok()
}
