//! The OpenAPI document of the admin API. utoipa writes it from the handlers; what holds for every verb is added here, once:
//! a description of each response, the problems that any request can meet, and the limits of what is sent. Knows no verb.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::cases::CASES_MAX;
use super::tenants::OVERLAP_HOURS_MAX;
use super::verbs::{LISTED_MAX, WHY_CHARS_MAX};
use super::versions::TRIAL_EVENTS;
use crate::config::Quota;
use crate::journal::REPLAYED_MAX;
use crate::problem::{Kind, MEDIA_TYPE};

#[derive(OpenApi)]
#[openapi(
    info(title = "Tandem's admin API", description = "For operators and tenants of a Tandem host. Times are RFC 3339."),
    modifiers(&Security),
    security(("token" = []))
)]
pub struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The document as it is served.
pub fn complete(document: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for (path, operations) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            problems(operation, path.contains("{tenant}") && !["get", "parameters"].contains(&method.as_str()));
        }
    }
    let schemas = &mut document["components"]["schemas"];
    schemas["Problem"] = problem();
    limits(schemas);
    document
}

/// Gives an operation the problems that it can meet whatever its verb is, and each of its responses a description.
fn problems(operation: &mut Value, adds_to_tenant: bool) {
    let has_body = operation.get("requestBody").is_some();
    let is_json = operation["requestBody"]["content"].get("application/json").is_some();
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    let has_parameters = parameters.is_some();
    for parameter in parameters.into_iter().flatten().filter(|parameter| parameter["name"] == "limit") {
        parameter["schema"]["maximum"] = json!(LISTED_MAX);
    }
    let is_open = operation["security"] == json!([]) || operation["security"] == json!([{}]);
    let mut met = vec![Kind::Host];
    met.extend((!is_open).then_some(Kind::NoToken));
    met.extend((has_body || has_parameters).then_some(Kind::BadRequest));
    met.extend(has_body.then_some(Kind::TooLong));
    met.extend(is_json.then_some([Kind::MediaType, Kind::Unfit]).into_iter().flatten());
    met.extend(adds_to_tenant.then_some(Kind::NoRoom));
    met.extend((!is_open).then_some(Kind::TooMany));
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for kind in met {
        responses.entry(kind.status().to_string()).or_insert_with(|| json!({}));
    }
    for (status, response) in responses {
        let is_problem = !status.starts_with('2');
        if is_problem {
            response["content"] = json!({ MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } });
        }
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = json!(description(status));
        }
    }
}

fn description(status: &str) -> String {
    match status {
        "200" => "Done; the body says what there is.".to_owned(),
        "201" => "It is there now.".to_owned(),
        "204" => "Done.".to_owned(),
        status => {
            let kinds = Kind::ALL.into_iter().filter(|kind| kind.status().to_string() == status);
            let kinds: Vec<_> = kinds.map(|kind| format!("{} (`{}`).", kind.title(), kind.uri())).collect();
            kinds.join(" ")
        }
    }
}

fn problem() -> Value {
    let types: Vec<_> = Kind::ALL.iter().map(|kind| kind.uri()).collect();
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457). Match on `type`; `detail` is for people and may change.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri", "enum": types },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What is wrong, and what to do." },
        },
    })
}

/// Writes the limits that verbs hold a request to beside the properties that they are about.
fn limits(schemas: &mut Value) {
    let mut set = |schema: &str, property: &str, limits: Value| {
        let place = &mut schemas[schema]["properties"][property];
        if let (Some(place), Value::Object(limits)) = (place.as_object_mut(), limits) {
            place.extend(limits);
        }
    };
    let why = json!({ "minLength": 1, "maxLength": WHY_CHARS_MAX });
    for schema in ["DiscardWanted", "PauseWanted", "DirectionWanted"] {
        set(schema, "why", why.clone());
    }
    set("SecretWanted", "overlap_hours", json!({ "maximum": OVERLAP_HOURS_MAX }));
    set("ActivationWanted", "rollback_on_failures", json!({ "minimum": 1, "maximum": TRIAL_EVENTS }));
    set("ShadowWanted", "events", json!({ "minimum": 1 }));
    set("ReplayWanted", "events", json!({ "maxItems": REPLAYED_MAX }));
    set("Cases", "cases", json!({ "maxProperties": CASES_MAX }));
    for (name, least, most) in Quota::bounds() {
        set("Quota", name, json!({ "minimum": least, "maximum": most }));
    }
}
