//! Shopify's customer: the requests about it, their answers, and what a webhook shows. Decides nothing about what is
//! written.

use std::collections::BTreeMap;

use tandem_sdk::{
    Answer, CallTo, Cx, End, GraphqlError, Json, Time, Value, View, Wrong, graphql, json, mutation, query, refused,
};

use super::documents::{
    ADD_TAGS, CLEAR_METAFIELDS, CLEAR_PERSON, CREATE_PERSON, EMAIL_CONSENT, FIND_PERSON, LOYALTY, MERGE_PERSONS,
    MERGE_STATUS, PERSON, PERSON_AND_OWNERS, REMOVE_TAGS, SMS_CONSENT, SWAP_TAGS, UPDATE_PERSON, alias, document,
};
use super::fields::{Field, Fields, Medium, Side, Snapshot};
use super::run::Run;
use crate::clock::seconds;
use crate::mapping::{Mapping, ShopifyPlace};

/// The metafield in which a customer carries the id of its profile. Its type is `id`, so it is unique and a customer
/// can be looked up by it.
pub const LINK_NAMESPACE: &str = "omneo";
pub const LINK_KEY: &str = "profile_id";

/// How that metafield is named to people.
pub const LINK: &str = "omneo.profile_id";

/// A customer as read.
#[derive(Clone, Debug)]
pub struct Customer {
    pub id: u64,
    pub snapshot: Snapshot,
    /// Whether the customer has an account, whose login is the e-mail.
    pub has_account: bool,
    pub tags: Vec<String>,
    /// Whether the customer has bought before. Some of the purchases may stand in Omneo without a profile.
    pub has_orders: bool,
    pub email: Marketing,
    pub sms: Marketing,
    /// The id of the profile in the customer's metafield.
    pub profile: Option<String>,
    /// For each mapped metafield, the digest of what was read; `None` where there was no such metafield.
    pub digests: BTreeMap<Field, Option<String>>,
}

/// The state of one marketing channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marketing {
    /// Whether there is an address or a number that consent could be about.
    pub has_address: bool,
    /// Whether the customer is subscribed or unsubscribed; `None` for the other states, which are no decision.
    pub decision: Option<bool>,
    pub at: Option<i64>,
}

/// A decision to be written.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    pub medium: Medium,
    pub subscribed: bool,
    /// The opt-in level, which Shopify wants beside SUBSCRIBED.
    pub level: &'a str,
    /// When the decision was made. Without a time, Shopify takes the present.
    pub at: Option<i64>,
}

/// How a write of a customer went.
pub enum Written {
    Done(Box<Customer>),
    /// Nothing was written. Each error names its field.
    Errors(Vec<GraphqlError>),
    Gone,
}

/// The customers that have an e-mail and a phone number.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    pub email: Option<u64>,
    pub phone: Option<u64>,
}

/// Two customers to be merged.
#[derive(Clone, Copy, Debug)]
pub struct MergeRequest {
    pub gone: u64,
    pub kept: u64,
    /// Whether the kept customer has an e-mail. Shopify keeps the customer whose e-mail is to be kept, and there is no
    /// other way to choose.
    pub by_email: bool,
}

pub fn gid(customer: u64) -> String {
    format!("gid://shopify/Customer/{customer}")
}

/// The decision in a marketing state. Only `subscribed` and `unsubscribed`, in either case, are decisions.
pub fn decision(state: Option<&str>) -> Option<bool> {
    let state = state?;
    if state.eq_ignore_ascii_case("subscribed") {
        Some(true)
    } else {
        state.eq_ignore_ascii_case("unsubscribed").then_some(false)
    }
}

/// The profile that a body's metafields name, if the subscription asks for metafields.
pub fn named_profile(body: &View) -> Result<Option<String>, Wrong> {
    if !body.get("/metafields").is_some_and(|list| list.value().is_array()) {
        return Ok(None);
    }
    for metafield in body.list("/metafields")? {
        if metafield.opt_text("/namespace")? == Some(LINK_NAMESPACE) && metafield.opt_text("/key")? == Some(LINK_KEY) {
            return Ok(metafield.opt_text("/value")?.filter(|id| is_id(id)).map(str::to_owned));
        }
    }
    Ok(None)
}

/// Whether a text can be the id of a profile. Anybody could have written the metafield.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '-' || c.is_ascii_alphanumeric())
}

impl Snapshot {
    /// Reads the body of a `customers/*` webhook. Without approval for protected data its keys are absent instead of
    /// null.
    pub fn of_body(body: &View, mapping: &Mapping) -> Result<Self, Wrong> {
        let mut fields = Fields::default();
        for field in mapping.fields() {
            if let ShopifyPlace::Key(key) = &field.shopify
                && body.has(key.pointer)
            {
                fields.set(field, body.opt_loose(key.pointer)?);
            }
        }
        Ok(Self { fields, at: seconds(body, "/updated_at")?, created: seconds(body, "/created_at")? })
    }
}

impl Customer {
    /// Reads a customer as every document of these rules asks for one.
    pub fn read(node: &View, mapping: &Mapping) -> Result<Self, Wrong> {
        let tags: Result<Vec<_>, Wrong> =
            node.list("/tags")?.iter().map(|tag| tag.text("").map(str::to_owned)).collect();
        let tags = tags?;
        let (mut fields, mut digests) = (Fields::default(), BTreeMap::new());
        for field in mapping.fields() {
            digests.extend(digest_of(field, node)?.map(|digest| (field, digest)));
            match &field.shopify {
                ShopifyPlace::Expression(expression) => {
                    fields.compute(Side::Shopify, field, expression.of(&node.value()))
                }
                _ => {
                    if let Some(value) = value_of(field, node, &tags)? {
                        fields.set(field, value);
                    }
                }
            }
        }
        let has = |at: &str| node.get(at).is_some_and(|found| !found.is_null());
        let snapshot = Snapshot { fields, at: seconds(node, "/updatedAt")?, created: seconds(node, "/createdAt")? };
        Ok(Self {
            id: node.id("/id")?,
            email: Marketing::read(node, "/defaultEmailAddress", has("/defaultEmailAddress/emailAddress"))?,
            sms: Marketing::read(node, "/defaultPhoneNumber", has("/defaultPhoneNumber/phoneNumber"))?,
            snapshot,
            has_account: node.opt_text("/state")? == Some("ENABLED"),
            tags,
            has_orders: node.opt_loose("/numberOfOrders")?.is_some_and(|count| count != "0"),
            profile: node.opt_text("/link/value")?.map(str::to_owned),
            digests,
        })
    }
}

/// The value of a field in a customer as read; nothing where the answer does not show the field.
fn value_of(field: Field, node: &View, tags: &[String]) -> Result<Option<Option<String>>, Wrong> {
    Ok(match &field.shopify {
        // A value below a null is empty. It is not hidden.
        ShopifyPlace::Key(key) => {
            let above = key.node.split('/').nth(1).map(|above| format!("/{above}")).unwrap_or_default();
            node.has(&above).then(|| node.opt_loose(key.node)).transpose()?
        }
        ShopifyPlace::Metafield { .. } => {
            let at = format!("/{}", alias(field));
            let value = node.get(&format!("{at}/value")).and_then(|value| field.format.of_json(&value.value()));
            node.has(&at).then_some(value)
        }
        ShopifyPlace::Expression(_) => None,
        place @ ShopifyPlace::Tag { after, .. } => {
            Some(match tags.iter().find_map(|tag| place.value_of_tag(tag)) {
                // An absent tag stands for no.
                None if after.is_none() => Some("false".to_owned()),
                value => value.map(str::to_owned),
            })
            .filter(|_| node.has("/tags"))
        }
    })
}

/// The digest of a mapped metafield: nothing where the answer does not show it, and `Some(None)` where there is no
/// metafield.
fn digest_of(field: Field, node: &View) -> Result<Option<Option<String>>, Wrong> {
    let Some(shown) = node.get(&format!("/{}", alias(field))) else { return Ok(None) };
    if shown.is_null() {
        return Ok(Some(None));
    }
    Ok(shown.opt_text("/compareDigest")?.map(|digest| Some(digest.to_owned())))
}

impl Marketing {
    fn read(node: &View, at: &str, has_address: bool) -> Result<Self, Wrong> {
        Ok(Self {
            has_address,
            decision: decision(node.opt_text(&format!("{at}/marketingState"))?),
            at: seconds(node, &format!("{at}/marketingUpdatedAt"))?,
        })
    }
}

pub async fn person(run: &Run<'_>, customer: u64) -> Result<Option<Customer>, End> {
    let call = query(&document(PERSON, &run.settings.mapping), json!({ "id": gid(customer) }));
    let answer = ask(run.cx, call, "reading the customer").await?;
    node(run, &answer, "/data/customer")
}

/// The customer, and who has this e-mail and this phone: Shopify would refuse a write of a value that somebody else
/// has.
pub async fn person_and_owners(
    run: &Run<'_>,
    customer: u64,
    email: Option<&str>,
    phone: Option<&str>,
) -> Result<(Option<Customer>, Owners), End> {
    if email.is_none() && phone.is_none() {
        return Ok((person(run, customer).await?, Owners::default()));
    }
    let id = gid(customer);
    let by = |name: &str, value: Option<&str>| match value {
        Some(value) => json!({ name: value }),
        // Not used by the query, but an identifier must have exactly one key.
        None => json!({ "id": id }),
    };
    let variables = json!({
        "id": id,
        "email": by("emailAddress", email), "withEmail": email.is_some(),
        "phone": by("phoneNumber", phone), "withPhone": phone.is_some(),
    });
    let call = query(&document(PERSON_AND_OWNERS, &run.settings.mapping), variables);
    let answer = ask(run.cx, call, "reading the customer").await?;
    let view = answer.view();
    let owners = Owners { email: view.opt_id("/data/email/id")?, phone: view.opt_id("/data/phone/id")? };
    Ok((node(run, &answer, "/data/customer")?, owners))
}

pub async fn find_by_profile(run: &Run<'_>, profile: &str) -> Result<Option<Customer>, End> {
    find(run, json!({ "customId": { "namespace": LINK_NAMESPACE, "key": LINK_KEY, "value": profile } })).await
}

pub async fn find_by_email(run: &Run<'_>, email: &str) -> Result<Option<Customer>, End> {
    find(run, json!({ "emailAddress": email })).await
}

pub async fn find_by_phone(run: &Run<'_>, phone: &str) -> Result<Option<Customer>, End> {
    find(run, json!({ "phoneNumber": phone })).await
}

async fn find(run: &Run<'_>, by: Value) -> Result<Option<Customer>, End> {
    let call = query(&document(FIND_PERSON, &run.settings.mapping), json!({ "by": by }));
    let answer = ask(run.cx, call, "looking for the customer").await?;
    node(run, &answer, "/data/customerByIdentifier")
}

/// Creates a customer. Repeatable: the profile's id is unique among customers, so a second call updates the customer
/// that the first one created.
pub async fn create(run: &Run<'_>, profile: &str, input: Value) -> Result<Written, End> {
    let call =
        mutation(&document(CREATE_PERSON, &run.settings.mapping), json!({ "profileId": profile, "input": input }));
    write(run, call, "customerSet", "creating the customer").await
}

pub async fn update(run: &Run<'_>, customer: u64, input: Value) -> Result<Written, End> {
    let call =
        mutation(&document(UPDATE_PERSON, &run.settings.mapping), json!({ "id": gid(customer), "input": input }));
    write(run, call, "customerSet", "updating the customer").await
}

/// Clears fields, which only `customerUpdate` does for keys that are null.
pub async fn clear(run: &Run<'_>, customer: u64, fields: &[Field]) -> Result<Written, End> {
    let mut input = json!({ "id": gid(customer) });
    for key in fields.iter().filter_map(|field| input_key(*field)) {
        input[key] = Value::Null;
    }
    let call = mutation(&document(CLEAR_PERSON, &run.settings.mapping), json!({ "input": input }));
    write(run, call, "customerUpdate", "updating the customer").await
}

pub async fn consent(run: &Run<'_>, customer: u64, decision: Decision<'_>) -> Result<Written, End> {
    let mut consent = json!({ "marketingState": if decision.subscribed { "SUBSCRIBED" } else { "UNSUBSCRIBED" } });
    if decision.subscribed {
        consent["marketingOptInLevel"] = json!(decision.level);
    }
    if let Some(at) = decision.at {
        consent["consentUpdatedAt"] = json!(Time(at * 1000).rfc3339());
    }
    let (operation, key, root) = match decision.medium {
        Medium::Email => (EMAIL_CONSENT, "emailMarketingConsent", "customerEmailMarketingConsentUpdate"),
        Medium::Sms => (SMS_CONSENT, "smsMarketingConsent", "customerSmsMarketingConsentUpdate"),
    };
    let mut input = json!({ "customerId": gid(customer) });
    input[key] = consent;
    write(
        run,
        mutation(&document(operation, &run.settings.mapping), json!({ "input": input })),
        root,
        "writing the consent",
    )
    .await
}

/// Adds and removes tags. Gives Shopify's objections.
pub async fn tags(cx: &Cx, customer: u64, add: &[String], remove: &[String]) -> Result<Vec<GraphqlError>, End> {
    let id = gid(customer);
    let (document, variables, roots): (_, _, &[&str]) = match (add.is_empty(), remove.is_empty()) {
        (true, true) => return Ok(vec![]),
        (false, true) => (ADD_TAGS, json!({ "id": id, "tags": add }), &["tagsAdd"]),
        (true, false) => (REMOVE_TAGS, json!({ "id": id, "tags": remove }), &["tagsRemove"]),
        (false, false) => (SWAP_TAGS, json!({ "id": id, "add": add, "remove": remove }), &["add", "remove"]),
    };
    let answer = ask(cx, mutation(document, variables), "writing tags").await?;
    Ok(roots.iter().flat_map(|root| answer.user_errors(root)).collect())
}

fn link_input(customer: u64, profile: &str) -> Value {
    json!({ "ownerId": gid(customer), "namespace": LINK_NAMESPACE, "key": LINK_KEY, "type": "id", "value": profile })
}

/// Writes the id of the profile into the customer's metafield. Gives Shopify's objections.
pub async fn link(cx: &Cx, customer: u64, profile: &str) -> Result<Vec<GraphqlError>, End> {
    let metafield = link_input(customer, profile);
    let answer = ask(cx, mutation(LOYALTY, json!({ "metafields": [metafield] })), "writing the link").await?;
    Ok(answer.user_errors("metafieldsSet"))
}

/// Writes mapped metafields, and with them the link to a profile. Gives each field with the value that Shopify then
/// shows, or Shopify's objections. Shopify takes all metafields or none, and none if one has changed since it was read
/// (`compareDigest`; null means that there was none).
pub async fn set_metafields(
    run: &Run<'_>,
    customer: &Customer,
    values: &[(Field, String)],
    link: Option<&str>,
) -> Result<Result<Vec<(Field, Option<String>)>, Vec<GraphqlError>>, End> {
    let input = |(field, value): &(Field, String)| {
        let ShopifyPlace::Metafield { namespace, key } = &field.shopify else { return None };
        let (ty, value) = (field.format.metafield_type(), field.format.to_metafield(value));
        let mut input =
            json!({ "ownerId": gid(customer.id), "namespace": namespace, "key": key, "type": ty, "value": value });
        if let Some(digest) = customer.digests.get(field) {
            input["compareDigest"] = json!(digest);
        }
        Some(input)
    };
    let link = link.map(|profile| link_input(customer.id, profile));
    let inputs: Vec<_> = values.iter().filter_map(input).chain(link).collect();
    let answer = ask(run.cx, mutation(LOYALTY, json!({ "metafields": inputs })), "writing metafields").await?;
    let errors = answer.user_errors("metafieldsSet");
    if !errors.is_empty() {
        return Ok(Err(errors));
    }
    let mut shown = vec![];
    for written in answer.view().list("/data/metafieldsSet/metafields")? {
        let (namespace, key) = (written.text("/namespace")?, written.text("/key")?);
        let is_it = |(field, _): &&(Field, String)| matches!(&field.shopify, ShopifyPlace::Metafield { namespace: n, key: k } if n == namespace && k == key);
        if let Some((field, _)) = values.iter().find(is_it) {
            shown.push((*field, written.get("/value").and_then(|value| field.format.of_json(&value.value()))));
        }
    }
    Ok(Ok(shown))
}

/// Deletes mapped metafields. A metafield that does not exist counts as deleted.
pub async fn clear_metafields(run: &Run<'_>, customer: u64, fields: &[Field]) -> Result<Vec<GraphqlError>, End> {
    let input = |field: &Field| match &field.shopify {
        ShopifyPlace::Metafield { namespace, key } => {
            Some(json!({ "ownerId": gid(customer), "namespace": namespace, "key": key }))
        }
        _ => None,
    };
    let inputs: Vec<_> = fields.iter().filter_map(input).collect();
    let answer =
        ask(run.cx, mutation(CLEAR_METAFIELDS, json!({ "metafields": inputs })), "deleting metafields").await?;
    Ok(answer.user_errors("metafieldsDelete"))
}

/// Removes what only these rules write: the link, and every metafield that goes to Shopify only. A metafield that does
/// not exist counts as removed.
pub async fn clear_ours(run: &Run<'_>, customer: u64) -> Result<Vec<GraphqlError>, End> {
    let owner = gid(customer);
    let mut metafields = vec![json!({ "ownerId": owner, "namespace": LINK_NAMESPACE, "key": LINK_KEY })];
    for field in run.settings.mapping.fields().filter(|field| !field.goes_to(Side::Omneo)) {
        if let ShopifyPlace::Metafield { namespace, key } = &field.shopify {
            metafields.push(json!({ "ownerId": owner, "namespace": namespace, "key": key }));
        }
    }
    let call = mutation(CLEAR_METAFIELDS, json!({ "metafields": metafields }));
    Ok(ask(run.cx, call, "removing the metafields").await?.user_errors("metafieldsDelete"))
}

/// Asks Shopify to merge two customers, which cannot be undone. Gives the job, or the reason why not.
pub async fn merge(cx: &Cx, wanted: MergeRequest) -> Result<Result<Option<String>, String>, End> {
    let MergeRequest { gone, kept, by_email } = wanted;
    let fields = if by_email { json!({ "customerIdOfEmailToKeep": gid(kept) }) } else { Value::Null };
    let variables = json!({ "one": gid(gone), "two": gid(kept), "fields": fields });
    let answer = ask(cx, graphql(MERGE_PERSONS, variables), "merging the customers").await?;
    if let Some(error) = answer.user_errors("customerMerge").first() {
        return Ok(Err(error.message.clone()));
    }
    Ok(Ok(answer.view().opt_text("/data/customerMerge/job/id")?.map(str::to_owned)))
}

/// The status of a merge and the customer that it keeps; `None` if Shopify does not know the job.
pub async fn merge_status(cx: &Cx, job: &str) -> Result<Option<(String, Option<u64>)>, End> {
    let answer = ask(cx, query(MERGE_STATUS, json!({ "jobId": job })), "asking how the merge stands").await?;
    let Some(found) = answer.view().get("/data/customerMergeJobStatus").filter(|found| found.is_object()) else {
        return Ok(None);
    };
    Ok(Some((found.text("/status")?.to_owned(), found.opt_id("/resultingCustomerId")?)))
}

/// The key of a field in both kinds of input.
pub fn input_key(field: Field) -> Option<&'static str> {
    match &field.shopify {
        ShopifyPlace::Key(key) => Some(key.input),
        _ => None,
    }
}

/// The field that an error names.
pub fn field_of(error: &GraphqlError, mut among: impl Iterator<Item = Field>) -> Option<Field> {
    let key = error.field.rsplit('.').next().unwrap_or_default();
    among.find(|field| input_key(*field) == Some(key))
}

/// Whether the error says that a metafield has changed since it was read (recorded answer).
pub fn is_stale(error: &GraphqlError) -> bool {
    error.code == "STALE_OBJECT"
}

/// Whether the error says that somebody else has the value. Some errors have no code, because the schema has none or
/// because the answer leaves it out.
pub fn is_taken(error: &GraphqlError) -> bool {
    error.code == "TAKEN" || error.message.contains("has already been taken")
}

async fn write(run: &Run<'_>, call: CallTo, root: &str, doing: &str) -> Result<Written, End> {
    let answer = ask(run.cx, call, doing).await?;
    let errors = answer.user_errors(root);
    if errors.iter().any(is_gone) {
        return Ok(Written::Gone);
    }
    if !errors.is_empty() {
        return Ok(Written::Errors(errors));
    }
    match node(run, &answer, &format!("/data/{root}/customer"))? {
        Some(customer) => Ok(Written::Done(Box::new(customer))),
        None => Err(refused(format!("{doing}: Shopify answered neither a customer nor an error"))),
    }
}

fn is_gone(error: &GraphqlError) -> bool {
    error.code == "NOT_FOUND"
        || ["Customer does not exist", "Customer not found", "Resource matching the identifier was not found."]
            .contains(&error.message.as_str())
}

fn node(run: &Run, answer: &Json, pointer: &str) -> Result<Option<Customer>, End> {
    match answer.view().get(pointer).filter(|node| !node.is_null()) {
        Some(node) => Ok(Some(Customer::read(&node, &run.settings.mapping)?)),
        None => Ok(None),
    }
}

/// Sends a call. A top-level error makes the whole answer unusable, because data that was denied looks like null.
async fn ask(cx: &Cx, call: CallTo, doing: &str) -> Result<Json<'static>, End> {
    let answer: Answer = cx.shopify(call).await?.ok(doing)?;
    let answer = answer.json()?;
    match answer.graphql_errors().first() {
        None => Ok(answer),
        Some(error) if error.message.contains("Metafield definition") => Err(refused(format!(
            "{doing}: the shop has no definition of the customer metafield `{LINK_NAMESPACE}.{LINK_KEY}` of type `id` \
             yet; create it and replay the event"
        ))),
        Some(error) => Err(refused(format!("{doing}: Shopify answered `{}` {}", error.message, error.code))),
    }
}
