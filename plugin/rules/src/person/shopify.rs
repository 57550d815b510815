//! Shopify's customer: what is asked, what is answered, what a webhook shows. Decides nothing about what is written.

use tandem_sdk::{
    Answer, CallTo, Cx, End, GraphqlError, Json, Time, Value, View, Wrong, json, mutation, query, refused,
};

use super::documents::{
    ADD_TAGS, CLEAR_PERSON, CREATE_PERSON, EMAIL_CONSENT, FIND_PERSON, LOYALTY, PERSON, PERSON_AND_OWNERS, REMOVE_TAGS,
    SMS_CONSENT, SWAP_TAGS, UPDATE_PERSON,
};
use super::fields::{Field, Fields, Medium, Snapshot};

/// Where a customer carries the id of its profile. It is of type `id`, hence unique, and a customer can be asked for by it.
pub const LINK_NAMESPACE: &str = "omneo";
pub const LINK_KEY: &str = "profile_id";

/// A customer as read.
#[derive(Clone, Debug)]
pub struct Customer {
    pub id: u64,
    pub snapshot: Snapshot,
    /// Whether there is an account, whose login is the e-mail.
    pub has_account: bool,
    pub tags: Vec<String>,
    pub email: Marketing,
    pub sms: Marketing,
    /// The profile that the customer's metafield names.
    pub profile: Option<String>,
}

/// The state of one marketing channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marketing {
    /// Whether there is an address or a number that consent could be about.
    pub has_address: bool,
    /// Subscribed or unsubscribed; the other states are no decision.
    pub decision: Option<bool>,
    pub at: Option<i64>,
}

/// A decision to be written.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    pub medium: Medium,
    pub subscribed: bool,
    /// Shopify wants one beside SUBSCRIBED.
    pub level: &'a str,
    /// Left out, Shopify takes the present.
    pub at: Option<i64>,
}

/// How a write of a customer went.
pub enum Written {
    Done(Box<Customer>),
    /// Nothing was written. Each error says which field it is about.
    Errors(Vec<GraphqlError>),
    Gone,
}

/// Who has an address or a number.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    pub email: Option<u64>,
    pub phone: Option<u64>,
}

pub fn gid(customer: u64) -> String {
    format!("gid://shopify/Customer/{customer}")
}

/// Seconds of a time in a body.
pub fn seconds(from: &View, pointer: &str) -> Result<Option<i64>, Wrong> {
    Ok(from.opt_text(pointer)?.and_then(Time::parse).map(Time::seconds))
}

/// `subscribed` and `unsubscribed`, in either case, are decisions.
pub fn decision(state: Option<&str>) -> Option<bool> {
    let state = state?;
    if state.eq_ignore_ascii_case("subscribed") {
        Some(true)
    } else {
        state.eq_ignore_ascii_case("unsubscribed").then_some(false)
    }
}

impl Snapshot {
    /// The body of a `customers/*` webhook. Without approval for protected data its keys are absent, not null.
    pub fn of_body(body: &View) -> Result<Self, Wrong> {
        let mut fields = Fields::default();
        fields.read(Field::FirstName, body, "/first_name")?;
        fields.read(Field::LastName, body, "/last_name")?;
        fields.read(Field::Email, body, "/email")?;
        fields.read(Field::Phone, body, "/phone")?;
        Ok(Self { fields, at: seconds(body, "/updated_at")?, created: seconds(body, "/created_at")? })
    }
}

impl Customer {
    fn read(node: &View) -> Result<Self, Wrong> {
        let mut fields = Fields::default();
        fields.read(Field::FirstName, node, "/firstName")?;
        fields.read(Field::LastName, node, "/lastName")?;
        fields.set(Field::Email, node.opt_text("/defaultEmailAddress/emailAddress")?.map(str::to_owned));
        fields.set(Field::Phone, node.opt_text("/defaultPhoneNumber/phoneNumber")?.map(str::to_owned));
        let snapshot = Snapshot { fields, at: seconds(node, "/updatedAt")?, created: seconds(node, "/createdAt")? };
        let tags: Result<Vec<_>, Wrong> =
            node.list("/tags")?.iter().map(|tag| tag.text("").map(str::to_owned)).collect();
        Ok(Self {
            id: node.id("/id")?,
            email: Marketing::read(node, "/defaultEmailAddress", snapshot.fields.value(Field::Email).is_some())?,
            sms: Marketing::read(node, "/defaultPhoneNumber", snapshot.fields.value(Field::Phone).is_some())?,
            snapshot,
            has_account: node.opt_text("/state")? == Some("ENABLED"),
            tags: tags?,
            profile: node.opt_text("/link/value")?.map(str::to_owned),
        })
    }
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

pub async fn person(cx: &Cx, customer: u64) -> Result<Option<Customer>, End> {
    let answer = ask(cx, query(PERSON, json!({ "id": gid(customer) })), "reading the customer").await?;
    node(&answer, "/data/customer")
}

/// The customer, and who has these two: a write of either would be refused if somebody else has it.
pub async fn person_and_owners(
    cx: &Cx,
    customer: u64,
    email: Option<&str>,
    phone: Option<&str>,
) -> Result<(Option<Customer>, Owners), End> {
    if email.is_none() && phone.is_none() {
        return Ok((person(cx, customer).await?, Owners::default()));
    }
    let id = gid(customer);
    let by = |name: &str, value: Option<&str>| match value {
        Some(value) => json!({ name: value }),
        // Not asked for, but an identifier has to have exactly one key.
        None => json!({ "id": id }),
    };
    let variables = json!({
        "id": id,
        "email": by("emailAddress", email), "withEmail": email.is_some(),
        "phone": by("phoneNumber", phone), "withPhone": phone.is_some(),
    });
    let answer = ask(cx, query(PERSON_AND_OWNERS, variables), "reading the customer").await?;
    let view = answer.view();
    let owners = Owners { email: view.opt_id("/data/email/id")?, phone: view.opt_id("/data/phone/id")? };
    Ok((node(&answer, "/data/customer")?, owners))
}

pub async fn find_by_profile(cx: &Cx, profile: &str) -> Result<Option<Customer>, End> {
    find(cx, json!({ "customId": { "namespace": LINK_NAMESPACE, "key": LINK_KEY, "value": profile } })).await
}

pub async fn find_by_email(cx: &Cx, email: &str) -> Result<Option<Customer>, End> {
    find(cx, json!({ "emailAddress": email })).await
}

pub async fn find_by_phone(cx: &Cx, phone: &str) -> Result<Option<Customer>, End> {
    find(cx, json!({ "phoneNumber": phone })).await
}

async fn find(cx: &Cx, by: Value) -> Result<Option<Customer>, End> {
    let answer = ask(cx, query(FIND_PERSON, json!({ "by": by })), "looking for the customer").await?;
    node(&answer, "/data/customerByIdentifier")
}

/// Repeatable: the profile's id is unique among customers, so the second time updates what the first one made.
pub async fn create(cx: &Cx, profile: &str, input: Value) -> Result<Written, End> {
    let call = mutation(CREATE_PERSON, json!({ "profileId": profile, "input": input }));
    write(cx, call, "customerSet", "creating the customer").await
}

pub async fn update(cx: &Cx, customer: u64, input: Value) -> Result<Written, End> {
    let call = mutation(UPDATE_PERSON, json!({ "id": gid(customer), "input": input }));
    write(cx, call, "customerSet", "updating the customer").await
}

/// Only `customerUpdate` clears what is given as null.
pub async fn clear(cx: &Cx, customer: u64, fields: &[Field]) -> Result<Written, End> {
    let mut input = json!({ "id": gid(customer) });
    for field in fields {
        input[input_key(*field)] = Value::Null;
    }
    write(cx, mutation(CLEAR_PERSON, json!({ "input": input })), "customerUpdate", "updating the customer").await
}

pub async fn consent(cx: &Cx, customer: u64, decision: Decision<'_>) -> Result<Written, End> {
    let mut consent = json!({ "marketingState": if decision.subscribed { "SUBSCRIBED" } else { "UNSUBSCRIBED" } });
    if decision.subscribed {
        consent["marketingOptInLevel"] = json!(decision.level);
    }
    if let Some(at) = decision.at {
        consent["consentUpdatedAt"] = json!(Time(at * 1000).rfc3339());
    }
    let (document, key, root) = match decision.medium {
        Medium::Email => (EMAIL_CONSENT, "emailMarketingConsent", "customerEmailMarketingConsentUpdate"),
        Medium::Sms => (SMS_CONSENT, "smsMarketingConsent", "customerSmsMarketingConsentUpdate"),
    };
    let mut input = json!({ "customerId": gid(customer) });
    input[key] = consent;
    write(cx, mutation(document, json!({ "input": input })), root, "writing the consent").await
}

/// Adds and removes tags; gives what Shopify objects to.
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

/// Writes the id of the profile into the customer's metafield.
pub async fn link(cx: &Cx, customer: u64, profile: &str) -> Result<Vec<GraphqlError>, End> {
    let metafield = json!({
        "ownerId": gid(customer), "namespace": LINK_NAMESPACE, "key": LINK_KEY, "type": "id", "value": profile,
    });
    let answer = ask(cx, mutation(LOYALTY, json!({ "metafields": [metafield] })), "writing the link").await?;
    Ok(answer.user_errors("metafieldsSet"))
}

/// The key of a field in both kinds of input.
pub fn input_key(field: Field) -> &'static str {
    match field {
        Field::FirstName => "firstName",
        Field::LastName => "lastName",
        Field::Email => "email",
        Field::Phone => "phone",
    }
}

/// The field that an error is about.
pub fn field_of(error: &GraphqlError) -> Option<Field> {
    let key = error.field.rsplit('.').next().unwrap_or_default();
    Field::ALL.into_iter().find(|field| input_key(*field) == key)
}

/// Codes are missing where the schema has none, and some answers leave out the one that it has.
pub fn is_taken(error: &GraphqlError) -> bool {
    error.code == "TAKEN" || error.message.contains("has already been taken")
}

async fn write(cx: &Cx, call: CallTo, root: &str, doing: &str) -> Result<Written, End> {
    let answer = ask(cx, call, doing).await?;
    let errors = answer.user_errors(root);
    if errors.iter().any(is_gone) {
        return Ok(Written::Gone);
    }
    if !errors.is_empty() {
        return Ok(Written::Errors(errors));
    }
    match node(&answer, &format!("/data/{root}/customer"))? {
        Some(customer) => Ok(Written::Done(Box::new(customer))),
        None => Err(refused(format!("{doing}: Shopify answered neither a customer nor an error"))),
    }
}

fn is_gone(error: &GraphqlError) -> bool {
    error.code == "NOT_FOUND"
        || ["Customer does not exist", "Customer not found", "Resource matching the identifier was not found."]
            .contains(&error.message.as_str())
}

fn node(answer: &Json, pointer: &str) -> Result<Option<Customer>, End> {
    match answer.view().get(pointer).filter(|node| !node.value().is_null()) {
        Some(node) => Ok(Some(Customer::read(&node)?)),
        None => Ok(None),
    }
}

/// Sends it. A top-level error makes all of the answer useless: what it denies would look like null.
async fn ask(cx: &Cx, call: CallTo, doing: &str) -> Result<Json, End> {
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
