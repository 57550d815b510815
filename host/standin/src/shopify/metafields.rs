//! Metafields of customers: types, limits, uniqueness, compare-and-set.
//! Knows nothing of what the values mean.

use serde_json::{Value, json};

use super::problem::{Problem, user_error};
use super::store::{Customer, Metafield, Store};
use super::views;
use crate::clock;

/// Shopify docs; the wording of the refusal is not recorded.
const METAFIELDS_MAX: usize = 25;
const NAMESPACE_CHARS: std::ops::RangeInclusive<usize> = 3..=255;
const KEY_CHARS: std::ops::RangeInclusive<usize> = 2..=64;
/// Recorded answer: an amount has fewer digits before its point than 10^18 has.
const MONEY_DIGITS_MAX: usize = 18;
/// Where an omitted namespace puts a metafield: the app's own corner.
pub(crate) const APP_NAMESPACE: &str = "app--1";
/// Recorded answer: the types there are, in the words and the order of the refusal.
pub(crate) const TYPES: &str = "antenna_gain, area, battery_charge_capacity, battery_energy_capacity, boolean, capacitance, color, \
    concentration, data_storage_capacity, data_transfer_rate, date_time, date, dimension, display_density, distance, \
    duration, electric_current, electrical_resistance, energy, float, frequency, id, illuminance, inductance, \
    integer, json_string, json, jurisdiction, language, link, list.antenna_gain, list.area, \
    list.battery_charge_capacity, list.battery_energy_capacity, list.boolean, list.capacitance, list.color, \
    list.concentration, list.data_storage_capacity, list.data_transfer_rate, list.date_time, list.date, \
    list.dimension, list.display_density, list.distance, list.duration, list.electric_current, \
    list.electrical_resistance, list.energy, list.frequency, list.illuminance, list.inductance, list.jurisdiction, \
    list.link, list.luminous_flux, list.mass_flow_rate, list.multi_line_text_field, list.number_decimal, \
    list.number_integer, list.power, list.pressure, list.rating, list.resolution, list.rotational_speed, \
    list.single_line_text_field, list.sound_level, list.speed, list.temperature, list.thermal_power, list.url, \
    list.voltage, list.volume, list.volumetric_flow_rate, list.weight, luminous_flux, mass_flow_rate, money, \
    multi_line_text_field, number_decimal, number_integer, power, pressure, rating, resolution, rich_text_field, \
    rotational_speed, single_line_text_field, sound_level, speed, string, temperature, thermal_power, url, voltage, \
    volume, volumetric_flow_rate, weight, company_reference, list.company_reference, customer_reference, \
    list.customer_reference, product_reference, list.product_reference, collection_reference, \
    list.collection_reference, variant_reference, list.variant_reference, file_reference, list.file_reference, \
    product_taxonomy_value_reference, list.product_taxonomy_value_reference, product_taxonomy_disclosure_reference, \
    metaobject_reference, list.metaobject_reference, mixed_reference, list.mixed_reference, disclosure_reference, \
    list.disclosure_reference, page_reference, list.page_reference, article_reference, list.article_reference, \
    order_reference, list.order_reference";

/// `metafieldsSet`: all or nothing.
pub(crate) fn set(store: &mut Store, inputs: &[Value]) -> Value {
    if inputs.len() > METAFIELDS_MAX {
        let message = format!("Exceeded the maximum metafields input limit of {METAFIELDS_MAX}.");
        return refused(&[(Problem::new(&["metafields"], message, "LESS_THAN_OR_EQUAL_TO"), None)]);
    }
    let (mut drafts, mut written, mut problems) = (Vec::<Customer>::new(), Vec::new(), Vec::new());
    for (at, input) in inputs.iter().enumerate() {
        let owner = views::id_of("Customer", input["ownerId"].as_str().unwrap_or_default());
        let saved = owner.and_then(|id| store.customers.get(&id)).cloned();
        let Some(saved) = saved else {
            problems.push((
                Problem::new(&["metafields", &at.to_string(), "ownerId"], "Owner does not exist.", "INVALID"),
                Some(at),
            ));
            continue;
        };
        let draft = drafts.iter().position(|draft| draft.id == saved.id).unwrap_or_else(|| {
            drafts.push(saved);
            drafts.len() - 1
        });
        match put(store, &mut drafts[draft], input) {
            Ok(field) => written.push(field),
            Err(problem) => problems.push((under(problem, at), Some(at))),
        }
    }
    if !problems.is_empty() {
        return refused(&problems);
    }
    drafts.into_iter().for_each(|draft| store.save(draft));
    let views: Vec<_> = written.iter().map(|field| views::metafield(store, field)).collect();
    json!({ "metafields": views, "userErrors": [] })
}

/// `metafieldsDelete`: null for what was not there, whoever it should have belonged to (recorded answer).
pub(crate) fn delete(store: &mut Store, inputs: &Value) -> Value {
    let mut deleted = vec![];
    for input in inputs.as_array().into_iter().flatten() {
        let owner = views::id_of("Customer", input["ownerId"].as_str().unwrap_or_default());
        let Some(mut new) = owner.and_then(|id| store.customers.get(&id)).cloned() else {
            deleted.push(Value::Null);
            continue;
        };
        let before = new.metafields.len();
        new.metafields.retain(|field| input["namespace"] != *field.namespace || input["key"] != *field.key);
        deleted.push(if new.metafields.len() < before { input.clone() } else { Value::Null });
        store.save(new);
    }
    json!({ "deletedMetafields": deleted, "userErrors": [] })
}

/// Writes one metafield into an unsaved customer.
pub(crate) fn put(store: &mut Store, customer: &mut Customer, input: &Value) -> Result<Metafield, Problem> {
    let text = |name: &str| input[name].as_str();
    let (namespace, key) = (text("namespace").unwrap_or(APP_NAMESPACE), text("key").unwrap_or_default());
    if let Some(problem) = length_problems(namespace, key).into_iter().next() {
        return Err(problem);
    }
    let ty = type_of(store, namespace, key, text("type"))?;
    let value = normal(&ty, text("value").unwrap_or_default(), &store.facts.currency)
        .map_err(|message| Problem::new(&["value"], message, "INVALID_VALUE"))?;
    if ty == "id" && store.by_metafield(namespace, key, &value).is_some_and(|other| other.id != customer.id) {
        return Err(Problem::new(&["value"], "Value has already been assigned to another metafield.", "TAKEN"));
    }
    let found = customer.metafields.iter().position(|field| field.namespace == namespace && field.key == key);
    if let Some(digest) = input.get("compareDigest") {
        let now = found.map(|at| json!(customer.metafields[at].digest())).unwrap_or_default();
        if *digest != now {
            return Err(Problem::new(
                &[],
                "The resource has been updated since it was loaded. Try again with an updated `compareDigest` value.",
                "STALE_OBJECT",
            ));
        }
    }
    let (id, now) = (store.next_id(), store.now_ms);
    let field = match found {
        Some(at) => &mut customer.metafields[at],
        None => {
            let (namespace, key) = (namespace.to_owned(), key.to_owned());
            customer.metafields.push(Metafield {
                id,
                namespace,
                key,
                ty: ty.clone(),
                value: String::new(),
                created_ms: now,
                updated_ms: now,
            });
            customer.metafields.last_mut().expect("one was just pushed")
        }
    };
    if field.value != value || field.ty != ty {
        (field.value, field.ty, field.updated_ms) = (value, ty, now);
    }
    Ok(field.clone())
}

/// Of the names, which definitions and values have alike.
pub(crate) fn length_problems(namespace: &str, key: &str) -> Vec<Problem> {
    let names = [("namespace", "Namespace", namespace, NAMESPACE_CHARS), ("key", "Key", key, KEY_CHARS)].into_iter();
    let problem = |(name, label, value, chars): (&str, &str, &str, std::ops::RangeInclusive<usize>)| {
        let (least, most, count) = (*chars.start(), *chars.end(), value.chars().count());
        if count < least {
            let message = format!("{label} is too short (minimum is {least} characters)");
            Some(Problem::new(&[name], message, "TOO_SHORT"))
        } else {
            let message = format!("{label} is too long (maximum is {most} characters)");
            (count > most).then(|| Problem::new(&[name], message, "TOO_LONG"))
        }
    };
    names.filter_map(problem).collect()
}

/// The type given, which must be the defined one if there is one.
fn type_of(store: &Store, namespace: &str, key: &str, given: Option<&str>) -> Result<String, Problem> {
    let defined = store.definition("CUSTOMER", namespace, key).map(|definition| definition.ty.clone());
    let ty = match (given.filter(|ty| !ty.is_empty()), defined) {
        (None, None) => return Err(Problem::new(&["type"], "Type can't be blank", "BLANK")),
        (Some(ty), Some(defined)) if ty != defined => {
            return Err(Problem::new(
                &["type"],
                format!("Type must be consistent with the definition's type: '{defined}'."),
                "INVALID_TYPE",
            ));
        }
        (Some(ty), _) => ty.to_owned(),
        (None, Some(defined)) => defined,
    };
    if !is_type(&ty) {
        return Err(Problem::new(&["type"], format!("Type must be one of the following: {TYPES}."), "INCLUSION"));
    }
    Ok(ty)
}

pub(crate) fn is_type(ty: &str) -> bool {
    TYPES.split(", ").any(|known| known == ty)
}

/// The value as Shopify keeps it, or its complaint (recorded answers for integers, decimals and booleans).
fn normal(ty: &str, value: &str, currency: &str) -> Result<String, String> {
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err("Value can't be blank.".to_owned());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let sign = if trimmed.starts_with('-') { "-" } else { "" };
    match ty {
        "number_integer" if digits(whole) && fraction.bytes().all(|byte| byte == b'0') => Ok(format!("{sign}{whole}")),
        "number_integer" => Err("Value must be an integer.".to_owned()),
        "number_decimal" if digits(whole) && digits(fraction) => {
            let kept = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
            Ok(format!("{sign}{whole}.{}", if kept.is_empty() { "0" } else { kept }))
        }
        "number_decimal" => Err("Value must be a decimal.".to_owned()),
        "boolean" => match trimmed.to_lowercase().as_str() {
            "t" | "true" | "1" => Ok("true".to_owned()),
            "f" | "false" | "0" => Ok("false".to_owned()),
            _ => Err("Value must be true or false.".to_owned()),
        },
        "money" => money(trimmed, currency),
        "url" => url(trimmed),
        "json" | "list.single_line_text_field" => serde_json::from_str::<Value>(trimmed)
            .map(|_| trimmed.to_owned())
            .map_err(|_| "Value is invalid JSON.".to_owned()),
        "date" | "date_time" if clock::parse(trimmed).is_none() => {
            Err("Value must be in “YYYY-MM-DDTHH:MM:SS” format. For example: 2022-06-01T15:30:00".to_owned())
        }
        "single_line_text_field" if value.contains('\n') => Err("Value can't include a line break.".to_owned()),
        _ => Ok(value.to_owned()),
    }
}

/// Recorded answers; that no currency but the shop's is taken is how one of them describes the value.
fn money(value: &str, currency: &str) -> Result<String, String> {
    let parsed: Value = serde_json::from_str(value).unwrap_or_default();
    let (Some(amount), Some(code)) = (parsed.get("amount"), parsed["currency_code"].as_str()) else {
        let shape = "Value must be a stringified JSON object with amount (numeric) and currency_code (string matching the \
                     shop's currency) fields.";
        return Err(shape.to_owned());
    };
    let amount = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    match amount.parse::<f64>() {
        _ if code.is_empty() => Err("Value must have a currency code.".to_owned()),
        Err(_) => Err("Value must have a numeric amount.".to_owned()),
        Ok(_) if whole_digits(&amount) > MONEY_DIGITS_MAX => {
            Err("Value must be within +/-1000000000000000000.".to_owned())
        }
        Ok(_) if code != currency => Err(format!("Value contains an invalid currency, {code}.")),
        Ok(_) => Ok(value.to_owned()),
    }
}

fn whole_digits(amount: &str) -> usize {
    let whole = amount.trim_start_matches(['-', '+', '0']).split('.').next().unwrap_or_default();
    whole.len()
}

/// Recorded answers, the stray quotation mark included.
fn url(value: &str) -> Result<String, String> {
    const SCHEMES: [&str; 5] = ["http", "https", "mailto", "sms", "tel"];
    match value.split_once(':') {
        None => Err(format!(
            "Value cannot have an empty scheme (protocol), must include one of the following URL schemes: {SCHEMES:?}.'"
        )),
        Some((scheme, _)) if SCHEMES.contains(&scheme) => Ok(value.to_owned()),
        Some(_) => Err(format!("Value must be one of the following URL schemes: {}.", SCHEMES.join(", "))),
    }
}

fn under(mut problem: Problem, at: usize) -> Problem {
    let prefix = ["metafields".to_owned(), at.to_string()];
    problem.field = problem.field.map(|field| prefix.into_iter().chain(field).collect());
    problem
}

/// Recorded answers have `elementIndex: null` also where one element is to blame.
fn refused(problems: &[(Problem, Option<usize>)]) -> Value {
    let errors = problems.iter().map(|(problem, _)| {
        let mut error = user_error(problem);
        error["elementIndex"] = Value::Null;
        error
    });
    json!({ "metafields": [], "userErrors": errors.collect::<Vec<_>>() })
}
