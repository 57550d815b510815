//! Merges of two customers: which is kept, what it gains, how the merge is refused and told.
//! Knows nothing of selection sets or HTTP.

use serde_json::{Map, Value, json};

use super::customer::{self, NOTE_CHARS_MAX};
use super::problem::{Problem, user_error};
use super::store::{Customer, Store};
use super::{views, webhooks};

/// `customerMerge`. The customer whose e-mail is kept survives; else the only one with an e-mail, else the second
/// (Shopify docs). Recorded answers for what is refused. Done at once, where the real one takes its time.
pub(crate) fn customers(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let given = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let refuse = |field: Option<&str>, message: String| {
        let mut problem = Problem::new(&[field.unwrap_or_default()], message, "INVALID_CUSTOMER_ID");
        problem.field = problem.field.filter(|_| field.is_some());
        json!({ "resultingCustomerId": null, "job": null, "userErrors": [user_error(&problem)] })
    };
    if given("customerOneId") == given("customerTwoId") {
        return refuse(None, "Customers IDs should not match".to_owned());
    }
    let mut ids = vec![];
    for name in ["customerOneId", "customerTwoId"] {
        match views::id_of("Customer", given(name)).filter(|id| store.customers.contains_key(id)) {
            Some(id) => ids.push(id),
            None => {
                let id = given(name).rsplit('/').next().unwrap_or_default();
                return refuse(Some(name), format!("Customer does not exist with ID {id}"));
            }
        }
    }
    let (one, two) = (ids[0], ids[1]);
    if let Some(message) = blocker(&store.customers[&one], &store.customers[&two]) {
        let problems = ["customerOneId", "customerTwoId"]
            .map(|field| user_error(&Problem::new(&[field], message, "INVALID_CUSTOMER")));
        return json!({ "resultingCustomerId": null, "job": null, "userErrors": problems });
    }
    let has_email = |id: u64| store.customers[&id].email.is_some();
    let wanted = arguments.get("overrideFields").and_then(|fields| fields["customerIdOfEmailToKeep"].as_str());
    let kept = match wanted.and_then(|id| views::id_of("Customer", id)) {
        Some(id) if ids.contains(&id) && has_email(id) => id,
        _ if has_email(one) && !has_email(two) => one,
        _ => two,
    };
    let job = format!("gid://shopify/Job/{}", store.next_id());
    let gone = if kept == one { two } else { one };
    if let Err(message) = merge(store, kept, gone, Some(&job)) {
        return refuse(None, message);
    }
    let kept = webhooks::gid("Customer", kept);
    store.merges.insert(job.clone(), kept.clone());
    json!({ "resultingCustomerId": kept, "job": { "id": job, "done": false }, "userErrors": [] })
}

/// Recorded answers.
fn blocker(one: &Customer, two: &Customer) -> Option<&'static str> {
    let note = |customer: &Customer| customer.note.as_ref().map_or(0, |note| note.chars().count());
    let tags = one.tags.iter().map(String::as_str).chain(two.tags.iter().map(String::as_str));
    if customer::with_tags(&[], tags).is_err() {
        Some("Customers must have 250 tags or less.")
    } else {
        (note(one) + note(two) > NOTE_CHARS_MAX).then_some("Customer notes must be 5,000 characters or less.")
    }
}

/// `customerMergeJobStatus`.
pub(crate) fn status(store: &Store, job: &str) -> Value {
    let of = |kept: &String| json!({ "jobId": job, "resultingCustomerId": kept, "status": "COMPLETED", "customerMergeErrors": [] });
    store.merges.get(job).map(of).into()
}

/// `kept` stays and gains what it lacks, `gone` is deleted, and customers/merge tells of both.
pub(crate) fn merge(store: &mut Store, kept: u64, gone: u64, job: Option<&str>) -> Result<(), String> {
    let missing = |id| format!("no customer {id}");
    let mut new = store.customers.get(&kept).cloned().ok_or_else(|| missing(kept))?;
    let old = store.customers.get(&gone).cloned().ok_or_else(|| missing(gone))?;
    new.tags =
        customer::with_tags(&new.tags, old.tags.iter().map(String::as_str)).map_err(|problem| problem.message)?;
    store.delete(gone);
    // Recorded answer: of both notes, the kept one's comes first.
    let notes: Vec<_> = [new.note, old.note].into_iter().flatten().filter(|note| !note.is_empty()).collect();
    new.note = Some(notes.join(" ")).filter(|note| !note.is_empty());
    new.email = new.email.or(old.email);
    new.phone = new.phone.or(old.phone);
    new.addresses.extend(old.addresses);
    new.default_address = new.default_address.or(old.default_address);
    store.save(new);
    let body = json!({
        "admin_graphql_api_customer_kept_id": webhooks::gid("Customer", kept),
        "admin_graphql_api_customer_deleted_id": webhooks::gid("Customer", gone),
        "admin_graphql_api_job_id": job,
        "status": "completed",
        "errors": [],
    });
    store.events.push(("customers/merge".to_owned(), body));
    Ok(())
}
