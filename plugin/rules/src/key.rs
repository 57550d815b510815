//! Names the entity that an event is about. Knows where each topic keeps its ids, and nothing of what is done about
//! them.

use tandem_sdk::{Entity, Event, Json, View, Wrong};

use crate::Subject;
use crate::fingerprint::fingerprint;

/// Where `customers/merge` names the two customers.
pub const CUSTOMER_KEPT: &str = "/admin_graphql_api_customer_kept_id";
pub const CUSTOMER_DELETED: &str = "/admin_graphql_api_customer_deleted_id";
/// Where a body of `profile.merged` may name the profile that is gone. No such body was ever seen: inferred from the
/// keys of Omneo's own requests and of its identities.
const PROFILE_GONE: [&str; 2] = ["/source_profile_id", "/loser_id"];

/// The names that an event shows. An order is named by its own id only, never by its customer's; its events come after
/// the customer's.
pub fn key(subject: Subject, event: &Event) -> Result<Entity, Wrong> {
    let payload = Json::payload(event)?;
    let payload = payload.view();
    match (subject, event.source.as_str()) {
        (Subject::Person, "shopify") if event.topic == "customers/merge" => merged_customers(&payload),
        // Some bodies hold only an e-mail address, which cannot serve as a name.
        (Subject::Person, "shopify") if event.topic == "customers/redact" => {
            Ok(match payload.opt_id("/customer/id")? {
                Some(customer) => Entity::named(customer_name(customer)),
                None => Entity::named(format!("shopify/redaction/{}", fingerprint(&event.payload))),
            })
        }
        (Subject::Person, "omneo") if event.topic == "profile.merged" => merged_profiles(&payload),
        (Subject::Person, "tandem") => resynced(&payload),
        (Subject::Person, "shopify") => Ok(Entity::named(customer_name(customer_id(&payload)?))),
        (Subject::Person, _) => Ok(Entity::named(profile_name(profile_id(&payload)?))),
        (Subject::Refund | Subject::PartOfOrder, _) => part_of_order(&payload).map(Entity::named),
        (Subject::Order, _) => {
            let order = Entity::named(format!("shopify/order/{}", own_id(&payload)?));
            Ok(match payload.get("/customer").map(|customer| own_id(&customer)) {
                Some(Ok(customer)) => order.after(customer_name(customer)),
                _ => order,
            })
        }
        (Subject::Location, _) => Ok(Entity::named(format!("shopify/location/{}", own_id(&payload)?))),
        (Subject::Product, _) => Ok(Entity::named(format!("shopify/product/{}", own_id(&payload)?))),
    }
}

/// The host gives every name that it knows of the entity.
fn resynced(payload: &View) -> Result<Entity, Wrong> {
    let names: Result<Vec<_>, _> =
        payload.list("/names")?.iter().map(|name| name.text("").map(str::to_owned)).collect();
    let names = names?;
    if names.is_empty() {
        return Err(payload.wrong("/names", "empty"));
    }
    Ok(Entity { names, after: vec![] })
}

/// The customer that the host has looked at, if its event names this customer and nobody else.
pub fn lone_customer(payload: &View) -> Result<Option<u64>, Wrong> {
    let names = payload.list("/names")?;
    let [name] = &names[..] else { return Ok(None) };
    Ok(name.text("")?.strip_prefix(CUSTOMERS).and_then(|id| id.parse().ok()))
}

/// The order to which a part with an id of its own belongs, such as a return. A body that updates a return does not
/// name the order, so the return itself is the entity.
fn part_of_order(part: &View) -> Result<String, Wrong> {
    if let Some(order) = part.get("/order").filter(|order| order.is_object()) {
        return Ok(format!("shopify/order/{}", own_id(&order)?));
    }
    let at = if part.has("/order_edit") { "/order_edit/order_id" } else { "/order_id" };
    let itself = part.opt_text("/admin_graphql_api_id")?.filter(|gid| gid.starts_with("gid://shopify/Return/"));
    match itself.filter(|_| !part.has(at)) {
        Some(_) => Ok(format!("shopify/return/{}", own_id(part)?)),
        None => Ok(format!("shopify/order/{}", part.id(at)?)),
    }
}

/// A merge that has failed does not make two customers one. A merge under way is treated as done, so that both memories
/// are at hand when it is: should it fail, the two customers share a lane, which costs look-ups and nothing else.
fn merged_customers(payload: &View) -> Result<Entity, Wrong> {
    let (kept, deleted) = (payload.id(CUSTOMER_KEPT)?, payload.id(CUSTOMER_DELETED)?);
    let mut entity = Entity::named(customer_name(kept));
    if matches!(payload.opt_text("/status")?, Some("completed" | "requested" | "in_progress")) && deleted != kept {
        entity.names.push(customer_name(deleted));
    }
    Ok(entity)
}

/// The profile that is left, and the profiles that went into it according to the body.
fn merged_profiles(payload: &View) -> Result<Entity, Wrong> {
    let left = profile_id(payload)?;
    let identities = payload.list("/identities")?;
    let from = identities.iter().map(|identity| (identity, "/merged_from"));
    let mut entity = Entity::named(profile_name(left));
    for (view, at) in PROFILE_GONE.into_iter().map(|at| (payload, at)).chain(from) {
        if let Some(gone) = view.opt_loose(at)?.filter(|gone| is_uuid(gone) && gone != left) {
            let name = profile_name(&gone);
            if !entity.names.contains(&name) {
                entity.names.push(name);
            }
        }
    }
    Ok(entity)
}

/// How the names of customers and of profiles begin; an id follows.
pub const CUSTOMERS: &str = "shopify/customer/";
pub const PROFILES: &str = "omneo/profile/";

pub fn customer_name(id: u64) -> String {
    format!("{CUSTOMERS}{id}")
}

pub fn profile_name(id: &str) -> String {
    format!("{PROFILES}{id}")
}

/// An object's own id: the tail of its global id if it has one. In published samples the two differ where a tool had
/// read the plain id through a double.
pub fn own_id(object: &View) -> Result<u64, Wrong> {
    match object.opt_id("/admin_graphql_api_id") {
        Ok(Some(id)) => Ok(id),
        _ => object.id("/id"),
    }
}

/// The customer that a customer, tag or consent topic is about. Each of these topics keeps the id in a different place.
pub fn customer_id(payload: &View) -> Result<u64, Wrong> {
    for at in ["/customerId", "/customer_id"] {
        if payload.has(at) {
            return payload.id(at);
        }
    }
    own_id(payload)
}

/// The profile that an Omneo event is about. The body of a profile event is the profile itself. The bodies of other
/// events are not documented, so every key is tried that Omneo's own types use. A bare `id` counts only when it is a
/// UUID: attributes and identities have an id of their own, which is a number.
pub fn profile_id<'a>(payload: &View<'a>) -> Result<&'a str, Wrong> {
    for at in ["/profile_id", "/profile/id", "/resource_owner_id"] {
        if let Some(id) = payload.opt_text(at)? {
            return if is_uuid(id) { Ok(id) } else { Err(payload.wrong(at, format!("expected a UUID, found `{id}`"))) };
        }
    }
    match payload.opt_loose("/id")? {
        Some(id) if is_uuid(&id) => payload.text("/id"),
        Some(id) => Err(payload.wrong("/id", format!("expected the UUID of a profile, found `{id}`"))),
        None => Err(payload.wrong("/id", "missing")),
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// The external id of the transaction that a refund becomes.
pub fn return_id(order_id: &str, refund: &str) -> String {
    format!("{order_id}-R{refund}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::event;

    fn names(subject: Subject, source: &str, payload: &str) -> Result<Entity, String> {
        let event = Event { source: source.into(), payload: payload.into(), ..event() };
        key(subject, &event).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_global_id_wins() {
        let rounded = r#"{"id":706405506930370000,"admin_graphql_api_id":"gid://shopify/Customer/706405506930370084"}"#;
        assert_eq!(
            names(Subject::Person, "shopify", rounded),
            Ok(Entity::named("shopify/customer/706405506930370084"))
        );
        let delta = r#"{"customerId":"gid://shopify/Customer/7","tags":["vip"]}"#;
        assert_eq!(names(Subject::Person, "shopify", delta), Ok(Entity::named("shopify/customer/7")));
    }

    #[test]
    fn an_order_waits_for_its_customer() {
        let order = Entity::named("shopify/order/5");
        assert_eq!(
            names(Subject::Order, "shopify", r#"{"id":5,"customer":{"id":7}}"#),
            Ok(order.clone().after("shopify/customer/7"))
        );
        assert_eq!(names(Subject::Order, "shopify", r#"{"id":5,"customer":null}"#), Ok(order));
    }

    #[test]
    fn a_part_of_an_order_is_about_the_order() {
        let named = |payload: &str| names(Subject::PartOfOrder, "shopify", payload);
        for part in [
            r#"{"order_edit":{"id":9,"order_id":5}}"#,
            r#"{"id":9,"order_id":5,"kind":"sale"}"#,
            r#"{"id":9,"order":{"id":4,"admin_graphql_api_id":"gid://shopify/Order/5"}}"#,
            r#"{"id":9,"admin_graphql_api_id":"gid://shopify/Return/9","order_id":5}"#,
        ] {
            assert_eq!(named(part), Ok(Entity::named("shopify/order/5")), "{part}");
        }
        let update = r#"{"admin_graphql_api_id":"gid://shopify/Return/9"}"#;
        assert_eq!(named(update), Ok(Entity::named("shopify/return/9")));
        assert_eq!(named(r#"{"order_edit":{"id":9}}"#), Err("payload at `/order_edit/order_id`: missing".into()));
        assert_eq!(named(r#"{"id":9}"#), Err("payload at `/order_id`: missing".into()));
    }

    #[test]
    fn a_number_is_no_profile() {
        let found = names(Subject::Person, "omneo", r#"{"id":12,"handle":"shopify"}"#);
        assert_eq!(found, Err("payload at `/id`: expected the UUID of a profile, found `12`".into()));
        let attribute = r#"{"id":12,"profile_id":"0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11"}"#;
        assert_eq!(
            names(Subject::Person, "omneo", attribute),
            Ok(Entity::named("omneo/profile/0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11"))
        );
    }
}
