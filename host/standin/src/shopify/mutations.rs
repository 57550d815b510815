//! The root fields of `mutation`: refusals in Shopify's words, changes through the store.
//! Knows nothing of selection sets or HTTP.

use serde_json::{Map, Value, json};

use super::contact::{clean_email, normal_phone};
use super::graphql::Failed;
use super::problem::{Problem, refused};
use super::store::{Consent, Customer, Store};
use super::views::payload;
use super::{addresses, customer, definitions, merges, metafields, queries, subscriptions, views};
use crate::clock;

pub(crate) fn resolve(store: &mut Store, field: &str, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let none = Map::new();
    let input = arguments.get("input").and_then(Value::as_object).unwrap_or(&none);
    match field {
        "customerSet" => customer_set(store, arguments.get("identifier").filter(|given| !given.is_null()), input),
        "customerUpdate" => Ok(customer_update(store, input)),
        "customerCreate" => customer_create(store, input),
        "customerUpdateDefaultAddress" => addresses::prefer(store, arguments),
        "customerDelete" => Ok(customer_delete(store, input)),
        "customerMerge" => Ok(merges::customers(store, arguments)),
        "customerEmailMarketingConsentUpdate" => consent(store, input, "emailMarketingConsent"),
        "customerSmsMarketingConsentUpdate" => consent(store, input, "smsMarketingConsent"),
        "tagsAdd" | "tagsRemove" => Ok(tags(store, arguments, field == "tagsAdd")),
        "metafieldsSet" => {
            Ok(metafields::set(store, arguments["metafields"].as_array().map(Vec::as_slice).unwrap_or_default()))
        }
        "metafieldsDelete" => Ok(metafields::delete(store, &arguments["metafields"])),
        "metafieldDefinitionCreate" => definitions::create(store, arguments["definition"].as_object().unwrap_or(&none)),
        "customerAddressCreate" => Ok(addresses::create(store, arguments)),
        "customerAddressUpdate" => addresses::update(store, arguments),
        "customerAddressDelete" => addresses::delete(store, arguments),
        "webhookSubscriptionCreate" => Ok(subscriptions::create(store, arguments)),
        "webhookSubscriptionUpdate" => Ok(subscriptions::update(store, arguments)),
        "webhookSubscriptionDelete" => Ok(subscriptions::delete(store, arguments)),
        _ => Ok(Value::Null),
    }
}

fn customer_set(store: &mut Store, identifier: Option<&Value>, input: &Map<String, Value>) -> Result<Value, Failed> {
    let refuse = |message: &str, code| Ok(refused("customer", &[Problem::new(&["input"], message, code)]));
    if identifier.is_some() && input.contains_key("id") {
        return refuse("The id field is not allowed if identifier is provided.", "ID_NOT_ALLOWED");
    }
    if input.get("taxExempt") == Some(&Value::Null) {
        return Ok(refused(
            "customer",
            &[Problem::new(&["input", "taxExempt"], "Tax exempt is of unexpected type NilClass", "INVALID")],
        ));
    }
    let by_id = input.get("id").map(|id| json!({ "id": id }));
    let identifier = identifier.cloned().or(by_id).unwrap_or_default();
    for (key, same) in [("email", same_email as fn(&str, &str) -> bool), ("phone", same_phone)] {
        let Some(wanted) = identifier[key].as_str() else { continue };
        match input.get(key).and_then(Value::as_str) {
            None => {
                return refuse(
                    "The input field corresponding to the identifier is required.",
                    "MISSING_FIELD_REQUIRED",
                );
            }
            Some(given) if !same(wanted, given) => {
                return refuse(
                    "The identifier value does not match the value of the corresponding field in the input.",
                    "INPUT_MISMATCH",
                );
            }
            Some(_) => {}
        }
    }
    let old = if identifier.is_null() { None } else { queries::by_identifier(store, &identifier)?.cloned() };
    if old.is_none() && identifier["id"].is_string() {
        return refuse("Resource matching the identifier was not found.", "NOT_FOUND");
    }
    // That null clears is recorded for customerUpdate only; for customerSet it is recorded to do nothing to addresses.
    let given =
        input.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut new = match customer::apply(store, old.as_ref(), &given) {
        Ok(new) => new,
        Err(problems) => return Ok(refused("customer", &problems.into_iter().map(under_input).collect::<Vec<_>>())),
    };
    if identifier["customId"].is_object()
        && let Err(problem) = metafields::put(store, &mut new, &identifier["customId"])
    {
        return Ok(refused("customer", &[under_input(problem)]));
    }
    let id = new.id;
    store.save(new);
    Ok(payload(store, id))
}

fn same_email(a: &str, b: &str) -> bool {
    clean_email(a).to_lowercase() == clean_email(b).to_lowercase()
}

fn same_phone(a: &str, b: &str) -> bool {
    a == b || normal_phone(a).is_some_and(|a| Some(a) == normal_phone(b))
}

fn under_input(mut problem: Problem) -> Problem {
    problem.field = Some(["input".to_owned()].into_iter().chain(problem.field.into_iter().flatten()).collect());
    problem
}

/// The consents that a customer may be created with, and what each of them needs (recorded answers).
const CONSENTS: [(&str, &str, &str); 3] = [
    ("emailMarketingConsent", "email", "An email address is required to set the email marketing consent state."),
    ("smsMarketingConsent", "phone", "A phone number is required to set the SMS consent state."),
    ("whatsAppMarketingConsent", "phone", "A phone number is required to set the WhatsApp consent state."),
];

fn customer_update(store: &mut Store, input: &Map<String, Value>) -> Value {
    if let Some((key, ..)) = CONSENTS.iter().find(|(key, ..)| input.contains_key(*key)) {
        let name = format!("{}{}", key[..1].to_uppercase(), &key[1..]);
        let message = format!("To update {key}, please use the customer{name}Update Mutation instead");
        return refused("customer", &[Problem::new(&[key], message, "INVALID")]);
    }
    let id = input.get("id").and_then(Value::as_str).and_then(|id| views::id_of("Customer", id));
    let Some(old) = id.and_then(|id| store.customers.get(&id)).cloned() else {
        return refused("customer", &[Problem::new(&["id"], "Customer does not exist", "INVALID")]);
    };
    written(store, Some(&old), input)
}

/// Consent to WhatsApp is checked and forgotten: the stand-in knows two channels.
fn customer_create(store: &mut Store, input: &Map<String, Value>) -> Result<Value, Failed> {
    if input.contains_key("id") {
        return Ok(refused("customer", &[Problem::new(&["id"], "Cannot specify ID on creation", "INVALID")]));
    }
    for (key, needs, message) in CONSENTS {
        let Some(given) = input.get(key).filter(|given| !given.is_null()) else { continue };
        consent_state(given)?;
        if input.get(needs).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Ok(refused("customer", &[Problem::new(&[key], message, "INVALID")]));
        }
    }
    Ok(written(store, None, input))
}

/// Some states are Shopify's own to set.
fn consent_state(given: &Value) -> Result<&str, Failed> {
    let state = given["marketingState"].as_str().or(given["state"].as_str()).unwrap_or_default();
    match state {
        "NOT_SUBSCRIBED" | "NEVER_SUBSCRIBED" | "REDACTED" | "INVALID" => {
            Err(Failed { message: format!("Cannot specify {state} as a marketing state input"), code: "INVALID" })
        }
        state => Ok(state),
    }
}

fn written(store: &mut Store, old: Option<&Customer>, input: &Map<String, Value>) -> Value {
    if let Some(problem) = addresses::nested(old, input) {
        return refused("customer", &[problem]);
    }
    let mut new = match customer::apply(store, old, input) {
        Ok(new) => new,
        Err(problems) => return refused("customer", &problems),
    };
    for (at, field) in input.get("metafields").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let done = if old.is_none() && field["id"].is_string() {
            Err(Problem::new(&["id"], "Cannot specify metafield ID on creation", "INVALID"))
        } else {
            metafields::put(store, &mut new, field)
        };
        if let Err(mut problem) = done {
            let prefix = ["metafields".to_owned(), at.to_string()];
            problem.field = problem.field.map(|rest| prefix.into_iter().chain(rest).collect());
            return refused("customer", &[problem]);
        }
    }
    for (key, slot) in
        [("emailMarketingConsent", &mut new.email_consent), ("smsMarketingConsent", &mut new.sms_consent)]
    {
        if let Some(given) = input.get(key).filter(|given| given.is_object()) {
            let (state, level) =
                (given["marketingState"].as_str().unwrap_or_default(), given["marketingOptInLevel"].as_str());
            let at_ms = given["consentUpdatedAt"].as_str().and_then(clock::parse);
            set_consent(slot, state, level, at_ms, store.now_ms);
        }
    }
    let id = new.id;
    store.save(new);
    payload(store, id)
}

fn customer_delete(store: &mut Store, input: &Map<String, Value>) -> Value {
    let id = input.get("id").and_then(Value::as_str).unwrap_or_default();
    let gone = views::id_of("Customer", id).is_some_and(|id| store.delete(id));
    if gone {
        json!({ "deletedCustomerId": id, "shop": views::shop(store), "userErrors": [] })
    } else {
        refused("deletedCustomerId", &[Problem::new(&["id"], "Customer can't be found", "INVALID")])
    }
}

/// Recorded answers, also for what looks odd: for e-mail, and not for SMS, the customer comes back with the refusal, and
/// an unknown customer is told differently for each.
fn consent(store: &mut Store, input: &Map<String, Value>, key: &str) -> Result<Value, Failed> {
    let (given, sms) = (&input[key], key == "smsMarketingConsent");
    let state = consent_state(given)?;
    let id = input["customerId"].as_str().and_then(|id| views::id_of("Customer", id));
    let Some(mut new) = id.and_then(|id| store.customers.get(&id)).cloned() else {
        let problem = Problem::new(&["input", "customerId"], "Customer not found", "INVALID");
        return Ok(refused("customer", &[if sms { Problem { field: None, code: None, ..problem } } else { problem }]));
    };
    let level = given["marketingOptInLevel"].as_str();
    let at_ms = given["consentUpdatedAt"].as_str().and_then(clock::parse);
    let problem = if sms && new.phone.is_none() {
        Some(Problem::new(&["input", key], "A phone number is required to set the SMS consent state.", "INVALID"))
    } else if level.is_none() && state == "SUBSCRIBED" {
        Some(Problem::new(
            &["input", key, "marketingOptInLevel"],
            "Marketing opt in level must exist",
            "MISSING_ARGUMENT",
        ))
    } else if state == "PENDING" && level != Some("CONFIRMED_OPT_IN") {
        let message = "Marketing opt in level must be confirmed opt-in for pending consent state";
        Some(Problem::new(&["input", key, "marketingOptInLevel"], message, "INVALID"))
    } else if at_ms.is_some_and(|at| at > store.now_ms) {
        Some(Problem::new(
            &["input", key, "consentUpdatedAt"],
            "Consent updated at must not be in the future",
            "INVALID",
        ))
    } else {
        None
    };
    let id = new.id;
    if let Some(problem) = problem {
        let mut answer = refused("customer", &[problem]);
        if !sms {
            answer["customer"] = payload(store, id)["customer"].clone();
        }
        return Ok(answer);
    }
    let slot = if sms { &mut new.sms_consent } else { &mut new.email_consent };
    set_consent(slot, state, level, at_ms, store.now_ms);
    // Recorded answer: without an e-mail address there is neither an error nor an effect.
    if sms || new.email.is_some() {
        store.save(new);
    }
    Ok(payload(store, id))
}

/// Without a time of its own, the same state again is no new decision.
pub(crate) fn set_consent(slot: &mut Consent, state: &str, level: Option<&str>, at_ms: Option<i64>, now_ms: i64) {
    let (state, level) = (state.to_lowercase(), level.map_or_else(|| slot.level.clone(), str::to_lowercase));
    let same = slot.state == state && slot.level == level;
    let at_ms = at_ms.or(if same { slot.at_ms } else { Some(now_ms.div_euclid(1000) * 1000) });
    *slot = Consent { state, level, at_ms };
}

fn tags(store: &mut Store, arguments: &Map<String, Value>, add: bool) -> Value {
    let id = arguments["id"].as_str().unwrap_or_default();
    let Some(mut new) = views::id_of("Customer", id).and_then(|id| store.customers.get(&id)).cloned() else {
        return refused("node", &[Problem::new(&["id"], format!("Resource not found: {id}"), "NOT_FOUND")]);
    };
    let given = arguments["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let problem = match customer::with_tags(if add { &new.tags } else { &[] }, given) {
        Err(problem) => Some(problem),
        Ok(tags) if add => {
            new.tags = tags;
            None
        }
        Ok(tags) => {
            new.tags.retain(|tag| !tags.iter().any(|gone| gone.to_lowercase() == tag.to_lowercase()));
            None
        }
    };
    if let Some(problem) = problem {
        return refused("node", &[problem]);
    }
    let id = new.id;
    store.save(new);
    json!({ "node": store.customers.get(&id).map(|customer| views::customer(store, customer)), "userErrors": [] })
}
