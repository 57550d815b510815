//! Finds the profile that an order is to be linked to, or makes it once. Knows identities and e-mail addresses; nothing
//! of amounts. Whatever goes wrong here is a reason, never a refusal: a sale counts without a profile too.

use tandem_sdk::{Answer, Cx, End, View, get, json, post, query, segment};

use super::memory::Link;
use crate::key::own_id;
use crate::settings::Settings;

const CUSTOMER_LINK: &str = "query CustomerLink($id: ID!) { customer(id: $id) \
     { link: metafield(namespace: \"omneo\", key: \"profile_id\") { value } } }";

/// Who an order is linked to.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    Profile(Link),
    /// Nobody, and why.
    Nobody(String),
}

/// The customer as an order embeds it. It is partial: it may create a profile and never updates one.
struct Customer<'a> {
    id: String,
    email: Option<&'a str>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
}

/// Finds the profile of the order's customer: remembered, by identity, by e-mail; else creates it. A guest's order is
/// linked only to a profile that exists, and only if the settings say so.
pub async fn find(cx: &Cx, settings: &Settings, order: &View<'_>, known: Option<&Link>) -> Result<Who, End> {
    let id = customer_id(order);
    match known {
        Some(known) if id.is_none() || known.customer == id => Ok(Who::Profile(known.clone())),
        _ => look(cx, settings, order, true).await,
    }
}

/// The same where the profile that was found is gone: it may have been merged into another, and is not created again.
pub async fn find_again(cx: &Cx, settings: &Settings, order: &View<'_>) -> Result<Who, End> {
    look(cx, settings, order, false).await
}

async fn look(cx: &Cx, settings: &Settings, order: &View<'_>, may_create: bool) -> Result<Who, End> {
    let id = customer_id(order);
    let (found, why) = match (id, order.get("/customer")) {
        (Some(id), Some(view)) => {
            let text = |at| Ok::<_, End>(view.opt_text(at)?.map(str::trim).filter(|text| !text.is_empty()));
            let customer = Customer {
                id: id.to_string(),
                email: text("/email")?,
                first_name: text("/first_name")?,
                last_name: text("/last_name")?,
            };
            of_customer(cx, settings, &customer, may_create).await?
        }
        _ if settings.orders.guest_by_email => of_guest(cx, order).await?,
        _ => (None, "guest".to_owned()),
    };
    Ok(found.map_or(Who::Nobody(why), |profile| Who::Profile(Link { customer: id, id: profile })))
}

pub fn customer_id(order: &View) -> Option<u64> {
    own_id(&order.get("/customer")?).ok()
}

/// A profile, or nothing and why.
type Found = (Option<String>, String);

fn nobody(why: impl Into<String>) -> Result<Found, End> {
    Ok((None, why.into()))
}

async fn of_guest(cx: &Cx, order: &View<'_>) -> Result<Found, End> {
    let Some(email) = order.opt_text("/email")?.filter(|email| !email.trim().is_empty()) else {
        return nobody("guest without an e-mail");
    };
    match by_email(cx, email).await? {
        Ok(None) => nobody("guest, and no profile has the e-mail"),
        Ok(found) => Ok((found, String::new())),
        Err(why) => nobody(why),
    }
}

/// Two rounds: e-mails and identities are unique in Omneo, so a 422 means that somebody else was faster.
async fn of_customer(cx: &Cx, settings: &Settings, customer: &Customer<'_>, may_create: bool) -> Result<Found, End> {
    let handle = &settings.identity_handle;
    let identity = json!({"handle": handle, "identifier": customer.id});
    for is_last in [false, true] {
        let search = post("/profiles/search-id", json!({"type": handle, "id": customer.id})).reads();
        let answer = cx.omneo(search).await?;
        match (answer.is_success(), profile_of(&answer, &["/data/id", "/data/0/id"])) {
            (true, Some(profile)) => return Ok((Some(profile), String::new())),
            (true, None) => {}
            (false, _) if answer.status == 404 => {}
            (false, _) => return nobody(trouble("looking up the customer's profile", &answer)),
        }
        let Some(email) = customer.email else {
            return nobody("the customer has no e-mail, which a profile must have");
        };
        let (doing, answer, profile) = match by_email(cx, email).await? {
            Err(why) => return nobody(why),
            Ok(Some(profile)) => {
                let path = format!("/profiles/{}/identities", segment(&profile));
                // An identity is unique: sent twice, the second is a 422 and nothing has changed.
                let answer = cx.omneo(post(path, identity.clone()).repeatable()).await?;
                ("linking the profile with the customer's e-mail", answer, Some(profile))
            }
            Ok(None) if !may_create => {
                return nobody("the customer's profile is deleted in Omneo, and none is made again");
            }
            Ok(None) => {
                if !settings.people.recreate_deleted
                    && let Some(found) = by_link(cx, customer).await?
                {
                    return Ok(found);
                }
                let answer = create(cx, email, customer, &identity).await?;
                let profile = profile_of(&answer, &["/data/id"]);
                ("creating the customer's profile", answer, profile)
            }
        };
        match (answer.is_success(), profile) {
            (true, Some(profile)) => return Ok((Some(profile), String::new())),
            (false, _) if answer.status == 422 && !is_last => {}
            _ => return nobody(trouble(doing, &answer)),
        }
    }
    nobody("the customer's profile could not be settled")
}

/// What the customer's own link says, before a profile is made: one that names a deleted profile is a member who is gone,
/// perhaps erased, and an order must not bring them back. An order's memory does not know of it, the customer does.
async fn by_link(cx: &Cx, customer: &Customer<'_>) -> Result<Option<Found>, End> {
    let call = query(CUSTOMER_LINK, json!({ "id": format!("gid://shopify/Customer/{}", customer.id) }));
    let answer = cx.shopify(call).await?;
    let json = answer.json()?;
    if !answer.is_success() || !json.graphql_errors().is_empty() {
        return Ok(Some((None, trouble("reading the customer's link", &answer))));
    }
    let Some(linked) = json.view().opt_text("/data/customer/link/value")?.map(str::to_owned) else {
        return Ok(None);
    };
    let answer = cx.omneo(get(format!("/profiles/{}", segment(&linked)))).await?;
    if answer.is_success() {
        return Ok(Some((Some(linked), String::new())));
    }
    let why = match answer.status {
        404 | 410 => {
            format!("profile {linked} is deleted in Omneo; it is not created again (`people.recreate_deleted`)")
        }
        _ => trouble("reading the customer's profile", &answer),
    };
    Ok(Some((None, why)))
}

/// A profile with id, e-mail and names; the customer's own events bring the rest. An e-mail is unique, so that the same
/// call again is a 422 and creates nothing.
async fn create(cx: &Cx, email: &str, customer: &Customer<'_>, identity: &tandem_sdk::Value) -> Result<Answer, End> {
    let mut body = json!({"email": email, "identities": [identity]});
    for (key, name) in [("first_name", customer.first_name), ("last_name", customer.last_name)] {
        if let Some(name) = name {
            body[key] = json!(name);
        }
    }
    cx.omneo(post("/profiles", body).repeatable()).await
}

/// The profile that has the e-mail, if there is one; or why that is not known.
async fn by_email(cx: &Cx, email: &str) -> Result<Result<Option<String>, String>, End> {
    let answer = cx.omneo(post("/profiles/availability", json!({"email": email})).reads()).await?;
    if !answer.is_success() {
        return Ok(Err(trouble("looking up the e-mail", &answer)));
    }
    Ok(Ok(profile_of(&answer, &["/data/email/profile/id"])))
}

fn profile_of(answer: &Answer, places: &[&str]) -> Option<String> {
    let json = answer.json().ok()?;
    places.iter().find_map(|at| json.view().opt_loose(at).ok().flatten())
}

fn trouble(doing: &str, answer: &Answer) -> String {
    answer.unexpected(doing).reason
}
