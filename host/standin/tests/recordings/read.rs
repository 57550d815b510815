//! Finds the requests and answers in a recording, whose shape its maker chose anew for almost every file.
//! Knows nothing of what a request means.

use serde_json::{Map, Value, json};

/// One request and what Shopify answered to it.
pub struct Recorded {
    /// The keys that lead to the answer in its file, joined by dots.
    pub place: String,
    /// Not every recording has it.
    pub document: Option<String>,
    /// Null where they are not recorded.
    pub variables: Value,
    /// With `data`, `errors` or both.
    pub answer: Value,
}

/// What stands between a request and its answer and says nothing about either.
const WRAPPERS: [&str; 4] = ["response", "payload", "body", "result"];

/// Where no answer is looked for. The reads in `upstreamCalls` are another program's, and nothing says when it made them.
pub const NOT_ANSWERS: [&str; 4] = ["proxyVariables", "request", "upstreamCalls", "variables"];

/// Ids that a recording's maker has taken out, and where in the same file they are still to be read.
const PLACEHOLDERS: [(&str, &str); 6] = [
    ("<setup-customer-id>", "/setupCustomer/response/data/customerCreate/customer/id"),
    ("<phone-setup-customer-id>", "/phoneSetupCustomer/response/data/customerCreate/customer/id"),
    ("<trimmed-address-id>", "/addressCreateTrimmedSuccess/response/data/customerAddressCreate/address/id"),
    ("<phone-address-id>", "/addressCreateFormattedPhone/response/data/customerAddressCreate/address/id"),
    ("<valid-control-customer-id>", "/validControl/response/data/customerCreate/customer/id"),
    ("<valid-control-address-id>", "/validControl/response/data/customerCreate/customer/defaultAddress/id"),
];

/// The file, and its requests in the order in which they are written, which is that in which they were sent. With `as_customers`
/// what other things were asked is asked of customers, the only owners of metafields that the stand-in has: how values
/// and definitions are checked does not depend on whose they are.
pub fn requests(text: &str, as_customers: bool) -> (Value, Vec<Recorded>) {
    let file: Value = serde_json::from_str(text).expect("a recording is JSON");
    let mut text = text.to_owned();
    if as_customers {
        for owner in ["Article", "Location", "Market", "Page", "Product"] {
            text = text.replace(&format!("gid://shopify/{owner}/"), "gid://shopify/Customer/");
        }
        for (product, customer) in [
            ("\"PRODUCT\"", "\"CUSTOMER\""),
            ("ownerType: PRODUCT", "ownerType: CUSTOMER"),
            ("for Product metafields", "for Customer metafields"),
        ] {
            text = text.replace(product, customer);
        }
    }
    for (placeholder, pointer) in PLACEHOLDERS {
        if let Some(id) = file.pointer(pointer).and_then(Value::as_str) {
            text = text.replace(placeholder, id);
        }
    }
    let mut found = vec![];
    let file: Value = serde_json::from_str(&text).expect("an id is put in place of an id");
    walk(&file, &mut vec![], &(None, Value::Null), &mut found);
    // What was set up is there described as a whole, its end included.
    let (last, mut found): (Vec<_>, Vec<_>) = found.into_iter().partition(|recorded| recorded.place == "setup.cleanup");
    found.extend(last);
    (file, found)
}

type Request = (Option<String>, Value);

fn walk(value: &Value, path: &mut Vec<String>, around: &Request, found: &mut Vec<Recorded>) {
    match value {
        Value::Object(map) => {
            let own = request(map, around);
            let request = own.as_ref().unwrap_or(around);
            if map.get("data").is_some_and(Value::is_object) || map.get("errors").is_some_and(Value::is_array) {
                let place: Vec<_> = path.iter().map(String::as_str).filter(|key| !WRAPPERS.contains(key)).collect();
                let answer = json!({ "data": map.get("data"), "errors": map.get("errors") });
                let (document, variables) = request.clone();
                found.push(Recorded { place: place.join("."), document, variables, answer });
                return;
            }
            for (key, value) in map.iter().filter(|(key, _)| !NOT_ANSWERS.contains(&key.as_str())) {
                path.push(key.clone());
                walk(value, path, request, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                walk(item, path, around, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The request that stands beside an answer or further out; its variables may stand apart from its document.
fn request(map: &Map<String, Value>, around: &Request) -> Option<Request> {
    let map = map.get("request").and_then(Value::as_object).unwrap_or(map);
    let document = ["query", "document"].iter().find_map(|key| map.get(*key)?.as_str()).map(str::to_owned);
    let variables = map.get("variables").filter(|variables| variables.is_object()).cloned();
    (document.is_some() || variables.is_some()).then(|| (document, variables.unwrap_or_else(|| around.1.clone())))
}
