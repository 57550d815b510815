//! How the shop's things look to GraphQL: JSON objects with every field of their type, connections left open.
//! Knows nothing of which fields are asked for.

use serde_json::{Value, json};

use super::connections::{ITEMS, LINK, PICK};
use super::store::{Address, Customer, Definition, Metafield, Store};
use super::webhooks::gid;
use crate::clock;

/// The number in `gid://shopify/Customer/123?…` or in a bare `123`.
pub(crate) fn number(id: &str) -> Option<u64> {
    let id = id.split('?').next().unwrap_or_default();
    id.rsplit('/').next()?.parse().ok()
}

/// The id of a thing of type `ty`; `None` when the gid is of something else.
pub(crate) fn id_of(ty: &str, id: &str) -> Option<u64> {
    number(id).filter(|_| id.starts_with(&format!("gid://shopify/{ty}/")))
}

fn upper(word: &str) -> String {
    word.to_uppercase()
}

/// A thing that is shown in full only where somebody asks for more than its id.
pub(crate) fn linked(ty: &str, id: u64) -> Value {
    json!({ "__typename": ty, "id": gid(ty, id), LINK: true })
}

fn list(items: Vec<Value>) -> Value {
    json!({ ITEMS: items })
}

/// The answer to a mutation that was done: the customer as it is now.
pub(crate) fn payload(store: &Store, id: u64) -> Value {
    json!({ "customer": store.customers.get(&id).map(|one| customer(store, one)), "userErrors": [] })
}

pub(crate) fn customer(store: &Store, customer: &Customer) -> Value {
    let names = [customer.first_name.as_deref(), customer.last_name.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let shown = [Some(names).filter(|names| !names.is_empty()), customer.email.clone(), customer.phone.clone()];
    let (email, sms) = (&customer.email_consent, &customer.sms_consent);
    let (email_at, sms_at) = (email.at_ms.map(clock::utc), sms.at_ms.map(clock::utc));
    let from = sms.at_ms.map(|_| "OTHER");
    let addresses: Vec<_> = customer.addresses.iter().map(address).collect();
    let default = customer.addresses.iter().find(|address| Some(address.id) == customer.default_address);
    let metafields: Vec<_> = customer.metafields.iter().map(|field| metafield(store, field)).collect();
    let orders = store.orders.named(&format!("customer/{}", customer.id));
    let orders: Vec<_> = orders.filter_map(|order| Some(linked("Order", order["id"].as_u64()?))).collect();
    json!({
        "__typename": "Customer",
        "addresses": addresses,
        "addressesV2": list(addresses.clone()),
        "amountSpent": { "amount": "0.0", "currencyCode": store.facts.currency },
        "canDelete": orders.is_empty(),
        "createdAt": clock::utc(customer.created_ms),
        "defaultAddress": default.map(address),
        "defaultEmailAddress": customer.email.as_ref().map(|address| json!({
            "emailAddress": address,
            "marketingState": upper(&email.state),
            "marketingOptInLevel": upper(&email.level),
            "marketingUpdatedAt": email_at,
            "validFormat": true,
        })),
        "defaultPhoneNumber": customer.phone.as_ref().map(|number| json!({
            "phoneNumber": number,
            "marketingState": upper(&sms.state),
            "marketingOptInLevel": upper(&sms.level),
            "marketingUpdatedAt": sms_at,
            "marketingCollectedFrom": from,
        })),
        "displayName": shown.into_iter().flatten().next().unwrap_or_default(),
        "email": customer.email,
        "emailMarketingConsent": customer.email.as_ref().map(|_| json!({
            "consentUpdatedAt": email_at, "marketingOptInLevel": upper(&email.level), "marketingState": upper(&email.state),
        })),
        "firstName": customer.first_name,
        "id": gid("Customer", customer.id),
        "lastName": customer.last_name,
        "legacyResourceId": customer.id.to_string(),
        "locale": customer.locale,
        "metafield": { PICK: metafields },
        "metafields": list(metafields.clone()),
        "note": customer.note,
        "numberOfOrders": orders.len().to_string(),
        "orders": list(orders),
        "phone": customer.phone,
        "smsMarketingConsent": customer.phone.as_ref().map(|_| json!({
            "consentCollectedFrom": from, "consentUpdatedAt": sms_at, "marketingOptInLevel": upper(&sms.level), "marketingState": upper(&sms.state),
        })),
        "state": upper(&customer.state),
        "tags": customer.tags,
        "taxExempt": customer.tax_exempt,
        "taxExemptions": customer.tax_exemptions,
        "updatedAt": clock::utc(customer.updated_ms),
        "verifiedEmail": customer.verified_email,
    })
}

pub(crate) fn address(address: &Address) -> Value {
    let join = |keys: [&str; 2], by: &str| keys.iter().filter_map(|key| address.get(key)).collect::<Vec<_>>().join(by);
    // Recorded answers: a city that is its own country is not named twice, and of nothing nothing is made.
    let mut area =
        [join(["city", "provinceCode"], " "), address.get("country").unwrap_or_default().to_owned()].to_vec();
    area.retain(|part| !part.is_empty());
    area.dedup();
    let mut view = json!(address.fields);
    view["__typename"] = json!("MailingAddress");
    view["id"] = json!(address.gid());
    view["countryCodeV2"] = view["countryCode"].clone();
    view["name"] = json!(join(["firstName", "lastName"], " "));
    view["formattedArea"] = json!(Some(area.join(", ")).filter(|area| !area.is_empty()));
    view
}

pub(crate) fn metafield(store: &Store, field: &Metafield) -> Value {
    let found = store.definition("CUSTOMER", &field.namespace, &field.key);
    // Recorded answer: true is true, but false is a text.
    let is_parsed = match field.ty.as_str() {
        "boolean" => field.value == "true",
        ty => ["json", "number_integer"].contains(&ty),
    };
    let parsed = is_parsed.then(|| serde_json::from_str(&field.value).ok()).flatten();
    json!({
        "__typename": "Metafield",
        "compareDigest": field.digest(),
        "createdAt": clock::utc(field.created_ms),
        "definition": found.map(definition),
        "id": gid("Metafield", field.id),
        "jsonValue": parsed.unwrap_or_else(|| json!(field.value)),
        "key": field.key,
        "legacyResourceId": field.id.to_string(),
        "namespace": field.namespace,
        "ownerType": "CUSTOMER",
        "type": field.ty,
        "updatedAt": clock::utc(field.updated_ms),
        "value": field.value,
    })
}

pub(crate) fn definition(definition: &Definition) -> Value {
    let unique = definition.ty == "id";
    json!({
        "__typename": "MetafieldDefinition",
        "access": { "admin": "PUBLIC_READ_WRITE", "storefront": definition.storefront },
        "capabilities": { "uniqueValues": { "eligible": unique, "enabled": unique } },
        "description": definition.description,
        "id": gid("MetafieldDefinition", definition.id),
        "key": definition.key,
        "name": definition.name,
        "namespace": definition.namespace,
        "ownerType": definition.owner,
        "type": { "category": if definition.ty.starts_with("number") { "NUMBER" } else { "TEXT" }, "name": definition.ty },
        "validationStatus": "ALL_VALID",
    })
}

pub(crate) fn shop(store: &Store) -> Value {
    let facts = &store.facts;
    let name = facts.shop.split('.').next().unwrap_or_default();
    let (sign, minutes) = (if facts.offset_minutes < 0 { '-' } else { '+' }, facts.offset_minutes.abs());
    json!({
        "__typename": "Shop",
        "currencyCode": facts.currency,
        "customerAccountsV2": {
            "__typename": "CustomerAccountsV2",
            "customerAccountsVersion": if facts.classic_accounts { "CLASSIC" } else { "NEW_CUSTOMER_ACCOUNTS" },
        },
        "email": format!("owner@{}", facts.shop),
        "ianaTimezone": facts.timezone,
        "id": gid("Shop", facts.shop_id),
        "myshopifyDomain": facts.shop,
        "name": name,
        "plan": { "displayName": "Developer Preview", "partnerDevelopment": true, "shopifyPlus": false },
        "taxesIncluded": facts.taxes_included,
        "timezoneOffset": format!("{sign}{:02}{:02}", minutes / 60, minutes % 60),
        "url": format!("https://{}", facts.shop),
    })
}

/// A product's body as sent in webhooks, seen through GraphQL.
pub(crate) fn product(body: &Value) -> Value {
    let id = body["id"].as_u64().unwrap_or_default();
    let variants = body["variants"].as_array().into_iter().flatten().map(|one| variant(body, one));
    // Bodies say it twice; the images are there in all of them.
    let media = body["images"].as_array().into_iter().flatten().map(|image| {
        let id = image["id"].as_u64().unwrap_or_default();
        let shown = json!({ "altText": image["alt"], "id": gid("ImageSource", id), "url": image["src"] });
        json!({ "__typename": "MediaImage", "alt": image["alt"], "id": gid("MediaImage", id), "image": shown })
    });
    json!({
        "__typename": "Product",
        "createdAt": utc(&body["created_at"]),
        "media": list(media.collect()),
        "onlineStoreUrl": body["online_store_url"],
        "descriptionHtml": body["body_html"].as_str().unwrap_or_default(),
        "handle": body["handle"],
        "id": gid("Product", id),
        "legacyResourceId": id.to_string(),
        "productType": body["product_type"].as_str().unwrap_or_default(),
        "publishedAt": utc(&body["published_at"]),
        "status": upper(body["status"].as_str().unwrap_or("active")),
        "tags": words(&body["tags"]),
        "templateSuffix": body["template_suffix"],
        "title": body["title"],
        "updatedAt": utc(&body["updated_at"]),
        "variantsCount": { "count": body["variants"].as_array().map_or(0, Vec::len), "precision": "EXACT" },
        "variants": list(variants.collect()),
        "vendor": body["vendor"].as_str().unwrap_or_default(),
    })
}

/// A location without an address, made and changed at one time.
pub(crate) fn location(id: u64, name: &str, is_active: bool, at_ms: i64) -> Value {
    let at = clock::utc(at_ms);
    json!({
        "__typename": "Location", "address": {}, "createdAt": at, "id": gid("Location", id), "isActive": is_active,
        "legacyResourceId": id.to_string(), "name": name, "updatedAt": at,
    })
}

pub(crate) fn variant(product: &Value, variant: &Value) -> Value {
    let id = variant["id"].as_u64().unwrap_or_default();
    let options = product["options"].as_array().into_iter().flatten().zip(["option1", "option2", "option3"]);
    let options = options
        .filter(|(_, key)| variant[*key].is_string())
        .map(|(option, key)| json!({ "name": option["name"], "value": variant[key] }));
    json!({
        "__typename": "ProductVariant",
        "barcode": variant["barcode"],
        "compareAtPrice": variant["compare_at_price"],
        "createdAt": utc(&variant["created_at"]),
        "id": gid("ProductVariant", id),
        "legacyResourceId": id.to_string(),
        "position": variant["position"],
        "price": variant["price"],
        "product": linked("Product", product["id"].as_u64().unwrap_or_default()),
        "selectedOptions": options.collect::<Vec<_>>(),
        "sku": variant["sku"],
        "title": variant["title"],
        "updatedAt": utc(&variant["updated_at"]),
    })
}

pub(crate) fn utc(time: &Value) -> Option<String> {
    time.as_str().and_then(clock::parse).map(clock::utc)
}

pub(crate) fn words(tags: &Value) -> Vec<&str> {
    let tags = tags.as_str().unwrap_or_default().split(',');
    tags.map(str::trim).filter(|tag| !tag.is_empty()).collect()
}
