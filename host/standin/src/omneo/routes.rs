//! What each endpoint does.
//! Knows nothing of values; the modules beside it do.

use serde_json::{Map, Value, json};

use super::commerce::{self, Kind};
use super::endpoints::{ENDPOINTS, Endpoint, Found, find};
use super::lists::{Listing, of_row, words_of_row};
use super::store::{Errors, Profile, Row, Store, text};
use super::{addresses, attributes, catalogue, comms, identities, profiles, views, webhooks};
use crate::clock;
use crate::server::{Answer, Call};

/// Finds the endpoint, checks what it requires, and does it. `path` is the one below `/api/v3`.
pub(crate) fn route(store: &mut Store, call: &Call, path: &str) -> Answer {
    let (endpoint, parts) = match find(ENDPOINTS, &call.method, path) {
        Found::Endpoint(endpoint, parts) => (endpoint, parts),
        Found::OtherMethods(methods) => {
            let methods = methods.join(", ");
            let message =
                format!("The {} method is not supported for this route. Supported methods: {methods}.", call.method);
            return Answer::new(405, json!({ "message": message })).with("allow", methods);
        }
        Found::Nothing => return missing(&format!("The route api/v3{path} could not be found.")),
    };
    if webhooks::lacking(store, &call.method, path).is_some() {
        return Answer::new(403, json!({ "message": "Invalid scope(s) provided." }));
    }
    let empty = Map::new();
    let body = match &call.body {
        Some(Value::Object(body)) => body,
        Some(Value::Null) => &empty,
        _ => return Answer::new(400, json!({ "message": "The body is no JSON object." })),
    };
    let mut errors = Errors::default();
    errors.require(body, endpoint.required, "");
    if let Err(body) = errors.check() {
        return Answer::new(422, body);
    }
    let request = Incoming { call, body, parts: &parts };
    act(store, endpoint, &request).unwrap_or_else(|body| Answer::new(422, body))
}

struct Incoming<'a> {
    call: &'a Call,
    body: &'a Row,
    parts: &'a [String],
}

impl Incoming<'_> {
    fn number(&self) -> Option<u64> {
        self.parts.last().and_then(|part| part.parse().ok())
    }

    fn text(&self, key: &str) -> String {
        self.body.get(key).and_then(text).unwrap_or_default()
    }
}

fn data(data: impl Into<Value>) -> Answer {
    Answer::new(200, json!({ "data": data.into() }))
}

fn created(data: impl Into<Value>) -> Answer {
    Answer::new(201, json!({ "data": data.into() }))
}

fn no_content() -> Answer {
    Answer::new(204, Value::Null)
}

fn missing(message: &str) -> Answer {
    Answer::new(404, json!({ "message": message }))
}

fn no_model(model: &str) -> Answer {
    missing(&format!("No query results for model [{model}]."))
}

fn act(store: &mut Store, endpoint: &Endpoint, request: &Incoming) -> Result<Answer, Value> {
    let Some(rest) = endpoint.path.strip_prefix("/profiles/{id}") else { return common(store, endpoint, request) };
    match store.profile(&request.parts[0]).cloned() {
        Some(profile) => one_profile(store, (endpoint.method, rest), profile, request),
        None => Ok(no_model("Profile")),
    }
}

fn common(store: &mut Store, endpoint: &Endpoint, request: &Incoming) -> Result<Answer, Value> {
    let (body, call) = (request.body, request.call);
    Ok(match (endpoint.method, endpoint.path) {
        ("GET", "/auth/verify") => data("OK"),
        // [INF] from the SDK: names and values.
        ("GET", "/settings/environment") => data(json!({ "app.name": "Omneo", "app.request_key": store.told_secret })),
        ("GET", "/auth/access-tokens") => data(webhooks::tokens(store)),
        ("GET", "/profiles") => {
            let listing = Listing { field: profiles::field, words: profiles::words, page_max: store.page_max };
            listing.answer(store.profiles.live(), call, |profile| views::view(store.promo_default, profile))
        }
        ("POST", "/profiles") => {
            let profile = profiles::apply(store, None, body, false)?;
            let id = profile.id.clone();
            store.save(profile);
            created(shown(store, &id))
        }
        ("POST", "/profiles/search-id" | "/profiles/exists") => {
            let (kind, id) = (request.text("type"), request.text("id"));
            let found = if kind == "profile_id" { store.profile(&id) } else { store.by_identity(&kind, &id) };
            match found {
                None => no_model("Profile"),
                Some(profile) if endpoint.path.ends_with("exists") => data(json!({ "id": profile.id })),
                Some(profile) => data(views::view(store.promo_default, profile)),
            }
        }
        ("POST", "/profiles/availability") => {
            let look = |key: &str, value: String| {
                let holder = store.by_field(key, &value).map(|profile| json!({ "id": profile.id }));
                body.get(key)
                    .filter(|given| !given.is_null())
                    .map(|_| json!({ "available": holder.is_none(), "profile": holder }))
            };
            let email = look("email", request.text("email").trim().to_lowercase());
            data(json!({ "email": email, "mobile_phone": look("mobile_phone", request.text("mobile_phone")) }))
        }
        ("POST", "/profiles/sync") => {
            // The SDK's code says `updated_at` and its types `since`.
            let given = ["updated_at", "since"].iter().find_map(|key| body.get(*key)?.as_str());
            let since = given.and_then(clock::parse).unwrap_or(i64::MIN);
            let changed = store.profiles.live().filter(|profile| profile.updated_ms >= since).cloned();
            for profile in changed.collect::<Vec<_>>() {
                store.tell_again(&profile);
            }
            data(json!({ "message": "Profiles queued for sync." }))
        }
        ("GET", "/identities") => {
            let with_profile = call.query.iter().any(|(key, value)| key == "include" && value.contains("profile"));
            let rows = identities::all(store, with_profile);
            list(rows.iter(), store.page_max, call)
        }
        ("GET", "/identities/search-profile/{identifier}") => {
            let has = |profile: &&Profile| profile.identities.iter().any(|one| one["identifier"] == request.parts[0]);
            let found = store.profiles.live().filter(has).map(|profile| views::view(store.promo_default, profile));
            data(found.collect::<Value>())
        }
        ("GET", "/tags") => data(json!(store.tags.values().collect::<Vec<_>>())),
        ("POST", "/tags") => created(catalogue::put_tag(store, &request.text("handle"))),
        ("POST", "/profiles/merge") => {
            let destination = request.text("destination_profile_id");
            if profiles::merge(store, &request.text("source_profile_id"), &destination) {
                data(shown(store, &destination))
            } else {
                no_model("Profile")
            }
        }
        ("POST", "/transactions/update-create") => {
            let (new, row) = commerce::update_create(store, body)?;
            if new { created(row) } else { data(row) }
        }
        ("GET", "/transactions/external/{external}") => {
            let id = commerce::by_external(store.transactions.iter(), &request.parts[0]);
            id.and_then(|id| store.transactions.get(&id)).cloned().map_or_else(|| no_model("Transaction"), data)
        }
        ("POST", "/products/queue") => {
            catalogue::queue_product(store, body)?;
            data("queued")
        }
        ("POST", "/orders") => created(commerce::sale(store, Kind::Order, None, body)?),
        ("POST", "/transactions") => created(commerce::sale(store, Kind::Transaction, None, body)?),
        ("POST", "/locations") => created(catalogue::put_location(store, None, body)),
        ("DELETE", "/locations/{id}") => {
            let heir = call.query.iter().find(|(key, _)| key == "fallback_location_id").map(|(_, id)| id.as_str());
            let id = request.number().unwrap_or_default();
            if catalogue::delete_location(store, id, heir)? { no_content() } else { no_model("Location") }
        }
        ("POST", "/webhooks") => created(webhooks::put(store, None, body)?),
        (method, path) => return on_shelf(store, method, path, request),
    })
}

/// Reading, changing and deleting rows by number is the same for all that have one.
fn on_shelf(store: &mut Store, method: &str, path: &str, request: &Incoming) -> Result<Answer, Value> {
    let (shelf, model) = match path.split('/').nth(1) {
        Some("orders") => (&mut store.orders, "Order"),
        Some("transactions") => (&mut store.transactions, "Transaction"),
        Some("products") => (&mut store.products, "Product"),
        Some("locations") => (&mut store.locations, "Location"),
        Some("tags") => (&mut store.tags, "Tag"),
        _ => (&mut store.webhooks, "Webhook"),
    };
    if !path.ends_with("{id}") {
        return Ok(list(shelf.values(), store.page_max, request.call));
    }
    let Some(id) = request.number().filter(|id| shelf.contains_key(id)) else { return Ok(no_model(model)) };
    match (method, model) {
        ("GET", _) => Ok(data(shelf[&id].clone())),
        ("DELETE", _) => {
            let row = shelf.remove(&id);
            if model == "Transaction" {
                store.event("transaction.deleted", Value::Object(row.unwrap_or_default()));
            }
            Ok(no_content())
        }
        (_, "Order") => commerce::sale(store, Kind::Order, Some(id), request.body).map(data),
        (_, "Transaction") => commerce::sale(store, Kind::Transaction, Some(id), request.body).map(data),
        (_, "Webhook") => webhooks::put(store, Some(id), request.body).map(data),
        _ => Ok(data(catalogue::put_location(store, Some(id), request.body))),
    }
}

fn one_profile(
    store: &mut Store,
    route: (&str, &str),
    mut profile: Profile,
    request: &Incoming,
) -> Result<Answer, Value> {
    let id = profile.id.clone();
    let mut errors = Errors::default();
    Ok(match route {
        ("GET", "") => data(views::view(store.promo_default, &profile)),
        ("PUT", "") => {
            let profile = profiles::apply(store, Some(&profile), request.body, false)?;
            store.save(profile);
            data(shown(store, &id))
        }
        ("DELETE", "") => {
            store.save(Profile { deleted: true, ..profile });
            no_content()
        }
        ("DELETE", "/purge") => {
            store.save(Profile { deleted: true, ..profile });
            store.profiles.erase(&id);
            no_content()
        }
        ("GET", "/identities") => data(json!(profile.identities)),
        ("POST", "/identities") => {
            let identity =
                profiles::add_identity(store, &mut profile, &Value::Object(request.body.clone()), "", &mut errors);
            errors.check()?;
            store.save(profile);
            created(json!(identity))
        }
        (method, path @ ("/identities/{handle}" | "/identities/id/{identity}")) => {
            let by_id = path.ends_with("{identity}");
            let Some(at) = identities::at(&profile, by_id, &request.parts[1]) else { return Ok(no_model("Identity")) };
            match method {
                "GET" => data(profile.identities[at].clone()),
                "DELETE" => {
                    profile.identities.remove(at);
                    store.save(profile);
                    no_content()
                }
                _ => {
                    let identity = identities::change(store, &mut profile, at, request.body)?;
                    store.save(profile);
                    data(identity)
                }
            }
        }
        ("PUT", "/update-type") => {
            let profile = profiles::of_type(profile, &request.text("profile_type"))?;
            store.save(profile);
            data(shown(store, &id))
        }
        ("GET", "/resync") => {
            store.tell_again(&profile);
            data(json!({ "message": "Profile queued for sync." }))
        }
        ("PUT", "/attributes/comms") => {
            comms::apply(&mut profile, &Value::Object(request.body.clone()));
            store.save(profile);
            let saved = store.profile(&id).map(|profile| comms::view(store.promo_default, profile));
            data(json!(saved))
        }
        ("GET", "/attributes/comms") => data(comms::view(store.promo_default, &profile)),
        ("GET", "/attributes/custom") => data(json!(attributes::all(&profile))),
        (method, "/attributes/custom/{attribute}") => {
            let Some((namespace, handle)) = request.parts[1].split_once(':') else {
                return Ok(no_model("CustomAttribute"));
            };
            match method {
                "GET" => {
                    attributes::find(&profile, namespace, handle).map_or_else(|| no_model("CustomAttribute"), data)
                }
                "DELETE" if attributes::remove(&mut profile, namespace, handle) => {
                    store.save(profile);
                    no_content()
                }
                "DELETE" => no_model("CustomAttribute"),
                _ => {
                    let (ty, value) = (request.body.get("type"), request.body.get("value"));
                    let given = json!({ "namespace": namespace, "handle": handle, "type": ty, "value": value });
                    let attribute = attributes::put(store, &mut profile, &given);
                    store.save(profile);
                    data(attribute)
                }
            }
        }
        ("GET", "/transactions") => {
            let own = store.transactions.values().filter(|row| row["profile_id"] == id);
            list(own, store.page_max, request.call)
        }
        route => return of_addresses(store, route, profile, request),
    })
}

fn of_addresses(
    store: &mut Store,
    route: (&str, &str),
    mut profile: Profile,
    request: &Incoming,
) -> Result<Answer, Value> {
    let same = |row: &Row| row["id"].as_u64() == request.number();
    let mut errors = Errors::default();
    Ok(match route {
        ("GET", "/addresses") => data(json!(profile.addresses)),
        ("POST", path @ ("/addresses" | "/addresses/upsert")) => {
            let external = request.body.get("external_id").and_then(text);
            let known =
                profile.addresses.iter().find(|row| external.is_some() && text(&row["external_id"]) == external);
            let known = known.filter(|_| path.ends_with("upsert")).map(|row| row["id"].clone());
            let row = addresses::apply(store, &mut profile, request.body, known.as_ref(), &mut errors);
            errors.check()?;
            store.save(profile);
            if known.is_some() { data(json!(row)) } else { created(json!(row)) }
        }
        (_, "/addresses/{address}") if !profile.addresses.iter().any(same) => no_model("Address"),
        ("GET", "/addresses/{address}") => data(json!(profile.addresses.iter().find(|row| same(row)))),
        ("DELETE", _) => {
            profile.addresses.retain(|row| !same(row));
            store.save(profile);
            no_content()
        }
        _ => {
            let row = addresses::apply(store, &mut profile, request.body, Some(&json!(request.number())), &mut errors);
            store.save(profile);
            data(json!(row))
        }
    })
}

fn shown(store: &Store, id: &str) -> Value {
    store.profile(id).map(|profile| views::view(store.promo_default, profile)).into()
}

fn list<'a>(rows: impl Iterator<Item = &'a Row>, page_max: usize, call: &Call) -> Answer {
    Listing { field: of_row, words: words_of_row, page_max }.answer(rows, call, |row| Value::Object((*row).clone()))
}
