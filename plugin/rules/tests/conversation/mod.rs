//! Runs the rules natively against an Omneo of three tables. Knows only as much of Omneo as a conversation needs.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tandem_rules::DefaultRules;
use tandem_sdk::{Answer, Call, End, Event, Method, Next, Outcome, Reply, Request, Rules, Value, event, json, step};

/// The result of an event.
pub struct Run {
    /// Each call to one of the two systems, in one line.
    pub calls: Vec<String>,
    pub bodies: Vec<Value>,
    pub end: End,
}

pub fn rules(settings: Value) -> DefaultRules {
    let mut all = json!({"timezone": "Australia/Melbourne"});
    all.as_object_mut().unwrap().append(&mut settings.as_object().unwrap().clone());
    DefaultRules::configure(&all.to_string()).expect("the settings of a test are right").0
}

pub fn shopify(topic: &str, payload: &Value) -> Event {
    Event { topic: topic.into(), payload: payload.to_string(), ..event() }
}

/// A paid order with one line, by a customer with an e-mail.
pub fn order() -> Value {
    json!({
        "id": 4501, "admin_graphql_api_id": "gid://shopify/Order/4501", "name": "#1001", "order_number": 1001,
        "created_at": "2026-03-01T10:00:00+11:00", "updated_at": "2026-03-01T10:00:00+11:00",
        "currency": "AUD", "financial_status": "paid", "fulfillment_status": null, "cancelled_at": null, "test": false,
        "source_name": "web", "payment_gateway_names": ["bogus"], "email": "ada@example.org",
        "customer": {"id": 7064, "email": "ada@example.org", "first_name": "Ada", "last_name": null},
        "taxes_included": true, "total_price": "19.90", "total_tax": "1.81", "total_discounts": "0.00",
        "line_items": [{
            "id": 81, "name": "Tea", "price": "19.90", "quantity": 1, "sku": "", "variant_id": 91, "product_id": 61,
            "tax_lines": [{"price": "1.81"}], "discount_allocations": []
        }],
        "shipping_lines": [], "refunds": []
    })
}

/// The same order with these keys changed.
pub fn but(changes: Value) -> Value {
    let mut order = order();
    for (key, value) in changes.as_object().unwrap() {
        order[key] = value.clone();
    }
    order
}

pub fn paid(order: &Value) -> Event {
    shopify("orders/paid", order)
}

/// Runs an event to its end.
pub fn run(
    rules: &DefaultRules,
    event: &Event,
    memory: &[String],
    mut answer: impl FnMut(&Call) -> (u16, Value),
) -> Run {
    let (mut replies, mut calls, mut bodies) = (vec![], vec![], vec![]);
    loop {
        match step(rules, event, memory, replies.clone()) {
            Next::End(end) => return Run { calls, bodies, end },
            Next::Send(send) => {
                assert!(replies.len() < 20, "the rules ask without end: {calls:?}");
                let reply = |call: &Call| {
                    let (status, body) = answer(call);
                    if call.target != "tandem" {
                        calls.push(call.line());
                        bodies.push(body_of(call));
                    }
                    Reply::Answer(Answer { status, headers: vec![], body: body.to_string() })
                };
                replies.push(send.calls.iter().map(reply).collect());
            }
        }
    }
}

pub fn body_of(call: &Call) -> Value {
    match &call.request {
        Request::Rest(rest) => rest.body.as_ref().map_or(Value::Null, |body| parse(body)),
        Request::Graphql(graphql) => parse(&graphql.variables),
    }
}

pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Real bodies of topics that shops and documentation have published, each with its path, if they are at hand: one
/// folder for each topic, in the folder that `TANDEM_REAL_PAYLOADS` names or in `shared` beside the repository. A test
/// that runs without them says so.
pub fn published(is_wanted: impl Fn(&str) -> bool) -> Option<Vec<(PathBuf, Value)>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/shopify-payloads");
    let folder = std::env::var_os("TANDEM_REAL_PAYLOADS").map_or(beside, PathBuf::from);
    let Ok(topics) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: there are no published payloads in {}", folder.display());
        return None;
    };
    let wanted = |topic: &PathBuf| topic.file_name().is_some_and(|name| is_wanted(&name.to_string_lossy()));
    let topics = topics.map(|topic| topic.expect("a folder can be read").path()).filter(wanted);
    let files = topics.flat_map(|topic| std::fs::read_dir(topic).expect("a topic is a folder"));
    let mut paths: Vec<_> = files.map(|file| file.expect("a folder can be read").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let body = parse(&std::fs::read_to_string(&path).expect("a payload can be read"));
        (path, body)
    };
    Some(paths.into_iter().map(read).collect())
}

impl Run {
    pub fn outcome(&self) -> (Outcome, &str) {
        (self.end.outcome, &self.end.reason)
    }

    pub fn memory(&self) -> Vec<String> {
        self.end.memory.iter().cloned().collect()
    }
}

/// An Omneo with a state, and the memory that the host keeps of one order.
#[derive(Default)]
pub struct Omneo {
    /// By e-mail: the id of the profile and its identities.
    pub profiles: BTreeMap<String, (String, Vec<String>)>,
    pub transactions: BTreeMap<String, Value>,
    pub orders: Vec<Value>,
    /// Products that were put into the queue, by external id.
    pub products: BTreeMap<String, Value>,
    pub locations: Vec<Value>,
    pub memory: Vec<String>,
    /// The names that the host knows to be of one entity.
    pub names: Vec<String>,
    /// The profile that the customer's metafield names.
    pub link: Option<String>,
    /// The e-mail in Shopify of each customer whose e-mail is not Ada's; below, the customers that Shopify no longer
    /// has.
    pub emails: BTreeMap<u64, Option<&'static str>>,
    pub deleted: Vec<u64>,
    /// Shopify's own figures of the order: net payment, outstanding, current total and refund discrepancy.
    pub figures: Option<[&'static str; 4]>,
    /// Answers that replace the usual ones, once each, by a part of the call's line.
    pub instead: Vec<(&'static str, u16, Value)>,
}

impl Omneo {
    pub fn with(profiles: &[(&str, &str, &[&str])]) -> Self {
        let profile = |(email, id, identities): &(&str, &str, &[&str])| {
            ((*email).to_owned(), ((*id).to_owned(), identities.iter().map(|id| (*id).to_owned()).collect()))
        };
        Self { profiles: profiles.iter().map(profile).collect(), ..Self::default() }
    }

    pub fn hear(&mut self, rules: &DefaultRules, event: &Event) -> Run {
        let memory = self.memory.clone();
        let run = run(rules, event, &memory, |call| self.answer(call));
        if let Some(memory) = &run.end.memory {
            self.memory = vec![memory.clone()];
        }
        run
    }

    fn customer(&self, id: u64) -> Value {
        if self.deleted.contains(&id) {
            return Value::Null;
        }
        let email = self.emails.get(&id).copied().unwrap_or(Some("ada@example.org"));
        json!({
            "id": format!("gid://shopify/Customer/{id}"), "state": "DISABLED", "firstName": "Ada", "lastName": null,
            "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-01T00:00:00Z", "tags": [],
            "defaultEmailAddress": email.map(|email| json!({"emailAddress": email})), "defaultPhoneNumber": null,
            "link": self.link.as_ref().map(|value| json!({"value": value}))
        })
    }

    pub fn answer(&mut self, call: &Call) -> (u16, Value) {
        let line = call.line();
        if let Some(n) = self.instead.iter().position(|(part, ..)| line.contains(part)) {
            let (_, status, body) = self.instead.remove(n);
            return (status, body);
        }
        let Request::Rest(rest) = &call.request else {
            if line == "GRAPHQL shopify OrderFigures" {
                let set =
                    |amount: &str| json!({"shopMoney": {"amount": amount}, "presentmentMoney": {"amount": amount}});
                let order = self.figures.map(|[net, outstanding, current, discrepancy]| {
                    json!({
                        "netPaymentSet": set(net), "totalOutstandingSet": set(outstanding),
                        "currentTotalPriceSet": set(current), "refundDiscrepancySet": set(discrepancy),
                    })
                });
                return (200, json!({"data": {"order": order}}));
            }
            // An order makes no other request to Shopify.
            assert_eq!(line, "GRAPHQL shopify Person");
            let id =
                body_of(call)["id"].as_str().and_then(|id| id.rsplit('/').next()?.parse().ok()).unwrap_or_default();
            return (200, json!({"data": {"customer": self.customer(id)}}));
        };
        if call.target == "tandem" {
            let asked = rest.path.strip_prefix("/names/").expect("the host is asked for names").to_owned();
            let known = if self.names.contains(&asked) { self.names.clone() } else { vec![] };
            return (200, json!({"data": known}));
        }
        let body = body_of(call);
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let parts: Vec<_> = rest.path.split('/').skip(1).collect();
        match (rest.method, parts.as_slice()) {
            (Method::Post, ["profiles", "search-id"]) => {
                match self.profiles.values().find(|(_, identities)| identities.contains(&text("/id"))) {
                    Some((id, _)) => (200, json!({"data": {"id": id}})),
                    None => (404, json!({"message": "not found"})),
                }
            }
            (Method::Post, ["profiles", "availability"]) => {
                let found = self.profiles.get(&text("/email")).map(|(id, _)| json!({"id": id}));
                (200, json!({"data": {"email": {"available": found.is_none(), "profile": found}}}))
            }
            (Method::Post, ["profiles", id, "identities"]) => {
                let taken = self.profiles.values().any(|(_, ids)| ids.contains(&text("/identifier")));
                match self.profiles.values_mut().find(|(known, _)| known == id) {
                    Some((_, identities)) if !taken => identities.push(text("/identifier")),
                    _ => return (422, json!({"errors": {"identifier": ["taken"]}})),
                }
                (200, json!({"data": {"id": 1}}))
            }
            (Method::Post, ["profiles"]) => {
                let id = format!("p{}", self.profiles.len() + 1);
                let new = (id.clone(), vec![text("/identities/0/identifier")]);
                if self.profiles.insert(text("/email"), new).is_some() {
                    return (422, json!({"errors": {"email": ["taken"]}}));
                }
                (201, json!({"data": {"id": id}}))
            }
            (Method::Get, ["profiles", id]) => match self.profiles.iter().find(|(_, (known, _))| known == id) {
                Some((email, (id, identities))) => {
                    let identity = |id: &String| json!({"handle": "shopify", "identifier": id});
                    let identities: Vec<_> = identities.iter().map(identity).collect();
                    (200, json!({"data": {"id": id, "email": email, "identities": identities}}))
                }
                None => (404, json!({"message": "not found"})),
            },
            (Method::Post, ["transactions", "update-create"]) => {
                let known = self.transactions.entry(text("/external_id")).or_insert_with(|| json!({}));
                merge(known, &body);
                (200, json!({"data": {"id": 77}}))
            }
            (Method::Get, ["transactions", "external", id]) => match self.transactions.get(*id) {
                Some(known) => (200, json!({"data": known})),
                None => (404, json!({"message": "not found"})),
            },
            (Method::Get, ["orders"]) => (200, json!({"data": self.orders})),
            (Method::Post, ["orders"]) => {
                let mut order = json!({"id": 500 + self.orders.len()});
                merge(&mut order, &body);
                self.orders.push(order.clone());
                (201, json!({"data": order}))
            }
            (Method::Put, ["orders", id]) => {
                match self.orders.iter_mut().find(|order| order["id"] == json!(id.parse::<u64>().ok())) {
                    Some(order) => {
                        merge(order, &body);
                        (200, json!({"data": order}))
                    }
                    None => (404, json!({})),
                }
            }
            (Method::Delete, ["orders", id]) => {
                let before = self.orders.len();
                self.orders.retain(|order| order["id"] != json!(id.parse::<u64>().ok()));
                (if self.orders.len() < before { 204 } else { 404 }, Value::Null)
            }
            (Method::Post, ["products", "queue"]) => {
                merge(self.products.entry(text("/external_id")).or_insert_with(|| json!({})), &body);
                (200, json!({"data": "queued"}))
            }
            (Method::Get, ["locations"]) => (200, json!({"data": self.locations})),
            (Method::Post, ["locations"]) => {
                let mut location = json!({"id": 300 + self.locations.len()});
                merge(&mut location, &body);
                self.locations.push(location.clone());
                (201, json!({"data": location}))
            }
            (Method::Put, ["locations", id]) => {
                let found = self.locations.iter_mut().find(|row| row["id"] == json!(id.parse::<u64>().ok()));
                let Some(location) = found else { return (404, json!({})) };
                merge(location, &body);
                (200, json!({"data": location}))
            }
            (Method::Delete, ["locations", id]) => {
                self.locations.retain(|row| row["id"] != json!(id.parse::<u64>().ok()));
                (204, Value::Null)
            }
            other => panic!("Omneo has no {other:?}"),
        }
    }
}

fn merge(known: &mut Value, new: &Value) {
    for (key, value) in new.as_object().expect("a body is an object") {
        known[key] = value.clone();
    }
}
