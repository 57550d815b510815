//! The root fields of `query`.
//! Changes nothing.

use serde_json::{Map, Value, json};

use super::connections::ITEMS;
use super::contact::{clean_email, normal_phone};
use super::graphql::Failed;
use super::store::{Customer, Store};
use super::{lists, merges, order_views, views};

/// Recorded answer, for reading and for `customerSet` alike.
const NO_DEFINITION: &str = "Metafield definition of type 'id' is required when using custom ids.";

/// As in public threads about apps without the approval.
const NOT_APPROVED: &str = "This app is not approved to access the Customer object.";

pub(crate) fn resolve(store: &Store, field: &str, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let id = text("id").unwrap_or_default();
    let items = |items: Vec<Value>| json!({ ITEMS: items });
    if field == "customer" && store.facts.customers_denied {
        return Err(Failed { message: NOT_APPROVED.to_owned(), code: "ACCESS_DENIED" });
    }
    Ok(match field {
        "customer" | "order" | "product" | "productVariant" | "node" => node(store, id),
        "nodes" => arguments["ids"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|id| node(store, id.as_str().unwrap_or_default()))
            .collect(),
        "customerByIdentifier" => {
            let found = by_identifier(store, &arguments["identifier"])?;
            found.map(|customer| views::customer(store, customer)).into()
        }
        "customerMergeJobStatus" => merges::status(store, text("jobId").unwrap_or_default()),
        "customers" | "customersCount" | "locations" | "locationsCount" | "orders" | "ordersCount" | "products"
        | "productsCount" => lists::resolve(store, field, arguments)?,
        "metafieldDefinitions" => {
            let wanted = |name: &str, value: &str| text(name).is_none_or(|wanted| wanted == value);
            let kept = store.definitions.iter().filter(|one| {
                wanted("ownerType", &one.owner) && wanted("namespace", &one.namespace) && wanted("key", &one.key)
            });
            items(kept.map(views::definition).collect())
        }
        "shop" => views::shop(store),
        "currentAppInstallation" => {
            let scope = |handle: &String| json!({ "description": handle, "handle": handle });
            let scopes = store.acting.as_ref().map_or(&store.facts.scopes, |acting| &acting.scopes);
            let scopes: Vec<_> = scopes.iter().map(scope).collect();
            json!({ "__typename": "AppInstallation", "id": "gid://shopify/AppInstallation/1", "accessScopes": scopes })
        }
        "webhookSubscriptions" => {
            let topics = arguments.get("topics").and_then(Value::as_array);
            let own = store.subscriptions.iter().filter(|one| store.is_own(one)).map(|one| &one.value);
            let kept = own.filter(|one| {
                topics.is_none_or(|topics| topics.contains(&one["topic"]))
                    && text("uri").is_none_or(|uri| one["uri"] == uri)
            });
            items(kept.cloned().collect())
        }
        _ => Value::Null,
    })
}

/// Any object by its gid; null for ids of nothing.
pub(crate) fn node(store: &Store, id: &str) -> Value {
    let found = |ty: &str| views::id_of(ty, id);
    if let Some(id) = found("Customer") {
        store.customers.get(&id).map(|customer| views::customer(store, customer)).into()
    } else if let Some(id) = found("Order") {
        store.orders.get(&id).map(|order| order_views::order(store, order)).into()
    } else if let Some(id) = found("Product") {
        store.products.get(&id).map(views::product).into()
    } else if let Some(id) = found("ProductVariant") {
        let product = store.products.named(&format!("variant/{id}")).next();
        let variants = product.into_iter().flat_map(|product| product["variants"].as_array().into_iter().flatten());
        let variant = variants.into_iter().find(|one| one["id"].as_u64() == Some(id));
        product.zip(variant).map(|(product, one)| views::variant(product, one)).into()
    } else if found("Location").is_some() {
        store.locations.iter().find(|location| location["id"] == id).cloned().unwrap_or_default()
    } else {
        Value::Null
    }
}

/// The customer that an identifier with exactly one key names.
pub(crate) fn by_identifier<'a>(store: &'a Store, identifier: &Value) -> Result<Option<&'a Customer>, Failed> {
    let text = |name: &str| identifier[name].as_str();
    if let Some(id) = text("id") {
        return Ok(views::id_of("Customer", id).and_then(|id| store.customers.get(&id)));
    }
    if let Some(email) = text("emailAddress").or(text("email")) {
        return Ok(store.by_email(&clean_email(email)));
    }
    if let Some(phone) = text("phoneNumber").or(text("phone")) {
        return Ok(normal_phone(phone).and_then(|phone| store.by_phone(&phone)));
    }
    let custom = &identifier["customId"];
    let [namespace, key, value] = ["namespace", "key", "value"].map(|name| custom[name].as_str().unwrap_or_default());
    if store.definition("CUSTOMER", namespace, key).is_none_or(|definition| definition.ty != "id") {
        return Err(Failed { message: NO_DEFINITION.to_owned(), code: "NOT_FOUND" });
    }
    Ok(store.by_metafield(namespace, key, value))
}
