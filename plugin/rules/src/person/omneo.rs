//! Omneo's profile: the requests about it, their answers, and what a webhook shows. Decides nothing about what is
//! written.

use serde_json::Map;
use tandem_sdk::{
    Answer, Cx, End, Json, Reply, Value, View, Wrong, delete as delete_at, get, join, json, post, put, refused, segment,
};

use super::comms::Comms;
use super::fields::{Core, Field, Fields, Side, Snapshot};
use crate::clock::seconds;
use crate::mapping::{Mapping, OmneoPlace};

/// A profile as read.
#[derive(Clone, Debug)]
pub struct Profile {
    pub id: String,
    /// The phone in it is the logical phone: see [`Profile::read`].
    pub snapshot: Snapshot,
    pub kind: Option<String>,
    /// The customers whose identities the profile has under the handle, in Omneo's order.
    pub customers: Vec<u64>,
    /// Whether the answer shows identities; some answers do not.
    pub shows_identities: bool,
    /// Absent where the answer does not show tags.
    pub tags: Option<Vec<String>>,
    pub comms: Option<Comms>,
    /// Whether the answer shows any address. Some profiles do not show all of theirs, and some answers show none.
    pub has_addresses: bool,
}

/// How a write of a profile went.
pub enum Written {
    Done(Box<Profile>),
    /// The answer did not show the profile, so it was read after the write.
    Read(Box<Profile>),
    /// Nothing was written.
    Invalid(Vec<Fault>),
    Gone,
    /// It may have been written.
    Unknown,
}

/// An objection of Omneo to one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub key: String,
    /// Omneo's own words, for people.
    pub words: String,
    /// Whether somebody else has the value. Only the words distinguish this from a value that is not valid.
    pub is_taken: bool,
}

/// An identity of a profile: its own id, and the customer it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub id: String,
    pub customer: u64,
}

/// Where an answer gives the id of the profile that it shows. A 2xx without one is not an answer about a profile.
const A_PROFILE: [&str; 2] = ["/data/id", "/id"];
/// Where an answer shows communication attributes.
const COMMS: [&str; 3] = ["/data", "/email_promo", "/sms_promo"];

/// Who has an e-mail or a phone number.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Owner {
    #[default]
    Nobody,
    Profile(String),
    /// The value is taken, and Omneo does not say by whom.
    Somebody,
}

/// What has to be known in order to read a profile.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub handle: &'a str,
    /// Whether Shopify's phone number is kept in the second slot.
    pub second_phone: bool,
    pub mapping: &'a Mapping,
}

impl Profile {
    /// Reads a profile. Its phone is the mobile number or, if Shopify's number had to be put there, the number in the
    /// second slot. So an empty mobile number never erases Shopify's number.
    pub fn read(body: &View, reading: Reading) -> Result<Self, Wrong> {
        let mut fields = Fields::default();
        for field in reading.mapping.fields() {
            if let OmneoPlace::Expression(expression) = &field.omneo {
                fields.compute(Side::Omneo, field, expression.of(&body.value()));
            } else if let Some(value) = value_of(field, body)? {
                fields.set(field, value);
                if field.is(Core::Phone) && reading.second_phone && fields.value(field).is_none() {
                    fields.set(field, body.opt_loose("/secondary_phone")?);
                }
            }
        }
        let snapshot = Snapshot { fields, at: seconds(body, "/updated_at")?, created: seconds(body, "/created_at")? };
        let mut customers = vec![];
        for identity in body.list("/identities")? {
            if identity.opt_text("/handle")? == Some(reading.handle) {
                customers.extend(identity.opt_loose("/identifier")?.and_then(|id| id.parse::<u64>().ok()));
            }
        }
        let tags = match body.get("/tags") {
            Some(_) => {
                Some(body.list("/tags")?.iter().map(|tag| tag.text("").map(str::to_owned)).collect::<Result<_, _>>()?)
            }
            None => None,
        };
        let comms = match body.get("/attributes/comms") {
            Some(comms) if comms.is_object() => Some(Comms::read(&comms)?),
            _ => None,
        };
        let kind = body.opt_text("/profile_type")?.map(str::to_owned);
        let shows_identities = body.has("/identities");
        let has_addresses = !body.list("/addresses")?.is_empty();
        Ok(Self {
            id: body.text("/id")?.to_owned(),
            snapshot,
            kind,
            customers,
            shows_identities,
            tags,
            comms,
            has_addresses,
        })
    }

    /// Adds what the answer to a write does not show, from the read before it.
    pub fn complete(&mut self, before: &Profile) {
        if !self.shows_identities {
            self.customers.clone_from(&before.customers);
            self.shows_identities = before.shows_identities;
        }
        if self.tags.is_none() {
            self.tags.clone_from(&before.tags);
        }
        if self.comms.is_none() {
            self.comms.clone_from(&before.comms);
        }
    }

    pub fn is_deleted(&self) -> bool {
        self.kind.as_deref() == Some("deleted")
    }
}

/// The value of a field in a profile; nothing where the profile does not show the field.
fn value_of(field: Field, body: &View) -> Result<Option<Option<String>>, Wrong> {
    let shown = |at: &str| body.get(at).map(|value| field.format.of_json(&value.value()));
    Ok(match &field.omneo {
        OmneoPlace::Key(_) if field.is(Core::Phone) => body.has("/mobile_phone").then(|| mobile(body)).transpose()?,
        // A value below a null is empty. It is not hidden.
        OmneoPlace::Key(key) => {
            let above = key.pointer.rsplit_once('/').map_or("", |(above, _)| above);
            let is_null = !above.is_empty() && body.get(above).is_some_and(|above| above.is_null());
            if is_null { Some(None) } else { shown(key.pointer) }
        }
        OmneoPlace::BirthDate => birth_date(body)?,
        OmneoPlace::Attribute { namespace, handle } => attribute(field, body, namespace, handle),
        OmneoPlace::Expression(_) => None,
    })
}

fn birth_date(body: &View) -> Result<Option<Option<String>>, Wrong> {
    if !["/birth_year", "/birth_month", "/birth_day"].iter().all(|at| body.has(at)) {
        return Ok(None);
    }
    let part = |at: &str| Ok::<_, Wrong>(body.opt_loose(at)?.and_then(|part| part.parse::<u32>().ok()));
    let (year, month, day) = (part("/birth_year")?, part("/birth_month")?, part("/birth_day")?);
    Ok(Some(match (year, month, day) {
        (Some(year), Some(month), Some(day)) => Some(format!("{year:04}-{month:02}-{day:02}")),
        _ => None,
    }))
}

/// The value of a custom attribute. Omneo gives custom attributes either as a list or as a map of maps.
fn attribute(field: Field, body: &View, namespace: &str, handle: &str) -> Option<Option<String>> {
    let attributes = body.get("/custom_attributes")?;
    let attributes = attributes.value();
    let value = match &attributes {
        Value::Array(list) => {
            let found = list.iter().find(|one| one["namespace"] == *namespace && one["handle"] == *handle);
            found.map(|found| &found["value"])
        }
        map => map.get(namespace).and_then(|inside| inside.get(handle)),
    };
    Some(value.and_then(|value| field.format.of_json(value)))
}

/// The mobile number. Older profiles have it as it was typed, with the international form beside it.
fn mobile(body: &View) -> Result<Option<String>, Wrong> {
    let typed = body.opt_loose("/mobile_phone")?;
    match &typed {
        Some(number) if !number.starts_with('+') => Ok(body.opt_loose("/mobile_phone_e164")?.or(typed)),
        _ => Ok(typed),
    }
}

/// Reads a profile; `None` when it no longer exists.
pub async fn profile(cx: &Cx, id: &str, reading: Reading<'_>) -> Result<Option<Profile>, End> {
    let answer = cx.omneo(get(format!("/profiles/{}", segment(id))).needs_one_of(A_PROFILE)).await?;
    if is_missing(&answer) {
        return Ok(None);
    }
    let json = answer.ok("reading the profile")?.json()?;
    Ok(Some(Profile::read(&data(&json), reading)?).filter(|profile| !profile.is_deleted()))
}

/// The id of the profile that has the customer's identity.
pub async fn search(cx: &Cx, handle: &str, customer: u64) -> Result<Option<String>, End> {
    let call = post("/profiles/search-id", json!({ "type": handle, "id": customer.to_string() })).reads();
    let answer = cx.omneo(call).await?;
    if is_missing(&answer) {
        return Ok(None);
    }
    let json = answer.ok("looking for the profile")?.json()?;
    // The form of the answer is not documented. It is read as the profile, as an object with its id, or as the id
    // alone.
    let found = data(&json);
    let at = ["/id", "/profile_id", ""].into_iter().find(|at| found.get(at).is_some_and(|id| id.is_text()));
    match at {
        None if found.is_object() => Err(refused("looking for the profile: Omneo answered no id of one")),
        at => Ok(at.map(|at| found.text(at)).transpose()?.map(str::to_owned)),
    }
}

/// Who has the e-mail and who has the mobile number. What is not given is not asked about.
pub async fn availability(cx: &Cx, email: Option<&str>, mobile: Option<&str>) -> Result<(Owner, Owner), End> {
    let mut body = Map::new();
    body.extend(email.map(|email| ("email".into(), json!(email))));
    body.extend(mobile.map(|mobile| ("mobile_phone".into(), json!(mobile))));
    if body.is_empty() {
        return Ok((Owner::Nobody, Owner::Nobody));
    }
    let answer = cx.omneo(post("/profiles/availability", body.into()).reads().needs("/data")).await?;
    if is_objection(&answer) {
        // Omneo objects to a value that it would not store. Nobody has such a value, and a write of it reports what is
        // wrong. If both values were given, each is asked about by itself.
        return match (email, mobile) {
            (Some(_), Some(_)) => {
                let (email, mobile) =
                    join(Box::pin(availability(cx, email, None)), Box::pin(availability(cx, None, mobile))).await;
                Ok((email?.0, mobile?.1))
            }
            _ => Ok((Owner::Nobody, Owner::Nobody)),
        };
    }
    let json = answer.ok("asking whether e-mail and phone are free")?.json()?;
    let found = data(&json);
    let owner = |of: &str| -> Result<Owner, Wrong> {
        let is_free = found.opt_bool(&format!("{of}/available"))?.unwrap_or(true);
        Ok(match found.opt_text(&format!("{of}/profile/id"))? {
            _ if is_free => Owner::Nobody,
            Some(id) => Owner::Profile(id.to_owned()),
            None => Owner::Somebody,
        })
    };
    Ok((owner("/email")?, owner("/mobile_phone")?))
}

/// Creates a profile. Not repeatable: e-mail and identity are unique, but the result of two such calls at the same
/// moment is not documented.
pub async fn create(cx: &Cx, body: Value, reading: Reading<'_>) -> Result<Written, End> {
    match cx.ask("omneo", post("/profiles", body).needs_one_of(A_PROFILE)).await? {
        Reply::Answer(answer) => written(cx, answer, "creating the profile", None, reading).await,
        Reply::Unknown(_) => Ok(Written::Unknown),
    }
}

pub async fn update(cx: &Cx, id: &str, body: Value, reading: Reading<'_>) -> Result<Written, End> {
    let answer = cx.omneo(put(format!("/profiles/{}", segment(id)), body)).await?;
    written(cx, answer, "updating the profile", Some(id), reading).await
}

/// Writes communication attributes. Gives them as the answer shows them or, if it does not, as they are read
/// afterwards; `None` when Omneo does not find them.
pub async fn update_comms(cx: &Cx, id: &str, body: Value) -> Result<Option<Comms>, End> {
    let answer = cx.omneo(put(format!("/profiles/{}/attributes/comms", segment(id)), body)).await?;
    if is_missing(&answer) {
        return Ok(None);
    }
    let json = answer.ok("writing the consent")?.json()?;
    let body = data(&json);
    let is_shown = body.has("/email_promo") || body.has("/sms_promo");
    if is_shown { Ok(Some(Comms::read(&body)?)) } else { comms(cx, id).await }
}

/// The communication attributes; `None` when Omneo does not find them.
pub async fn comms(cx: &Cx, id: &str) -> Result<Option<Comms>, End> {
    let answer = cx.omneo(get(format!("/profiles/{}/attributes/comms", segment(id))).needs_one_of(COMMS)).await?;
    if is_missing(&answer) {
        return Ok(None);
    }
    Ok(Some(Comms::read(&data(&answer.ok("reading the consent")?.json()?))?))
}

/// Gives a profile the customer's identity. The inner result is Omneo's objection, if it has one; `None` when the
/// profile no longer exists. Repeatable: handle and identifier are unique together, so a second call is refused like
/// one for an identity that somebody else has.
pub async fn identify(cx: &Cx, id: &str, handle: &str, customer: u64) -> Result<Option<Result<(), String>>, End> {
    let path = format!("/profiles/{}/identities", segment(id));
    let body = json!({ "handle": handle, "identifier": customer.to_string() });
    let call = post(path, body).repeatable().needs_one_of(["/data", "/id"]);
    let answer = cx.omneo(call).await?;
    if is_missing(&answer) {
        return Ok(None);
    }
    if is_objection(&answer) {
        return Ok(Some(Err(listed(&faults(&answer)?))));
    }
    answer.ok("adding the identity").map(|_| Some(Ok(())))
}

/// The identities that a profile has under the handle; `None` when the profile no longer exists.
pub async fn identities(cx: &Cx, id: &str, handle: &str) -> Result<Option<Vec<Identity>>, End> {
    let answer = cx.omneo(get(format!("/profiles/{}/identities", segment(id))).needs("/data")).await?;
    if is_missing(&answer) {
        return Ok(None);
    }
    let json = answer.ok("reading the profile's identities")?.json()?;
    let mut found = vec![];
    for identity in data(&json).list("")? {
        let customer = identity.opt_loose("/identifier")?.and_then(|id| id.parse().ok());
        let is_ours = identity.opt_text("/handle")? == Some(handle);
        if let (Some(id), Some(customer), true) = (identity.opt_loose("/id")?, customer, is_ours) {
            found.push(Identity { id, customer });
        }
    }
    Ok(Some(found))
}

/// Removes an identity from a profile. An identity that no longer exists counts as removed.
pub async fn forget_identity(cx: &Cx, id: &str, identity: &str) -> Result<(), End> {
    let path = format!("/profiles/{}/identities/id/{}", segment(id), segment(identity));
    gone(cx.omneo(delete_at(path)).await?, "taking the identity from the profile")
}

/// Deletes a profile, which Omneo can bring back. A profile that no longer exists counts as deleted.
pub async fn delete(cx: &Cx, id: &str) -> Result<(), End> {
    gone(cx.omneo(delete_at(format!("/profiles/{}", segment(id)))).await?, "deleting the profile")
}

/// Purges a profile: everything about the person is erased for good. A profile that no longer exists counts as purged.
pub async fn purge(cx: &Cx, id: &str) -> Result<(), End> {
    // Inferred: Omneo's guide shows a POST here and its own client sends a DELETE, so it is not known which of them a
    // tenant's Omneo takes.
    gone(cx.omneo(delete_at(format!("/profiles/{}/purge", segment(id)))).await?, "purging the profile")
}

/// Asks Omneo to merge the source into the destination, which cannot be undone. Gives whether Omneo confirms it.
/// Without a confirmation, the merge may still have been carried out.
pub async fn merge(cx: &Cx, source: &str, destination: &str) -> Result<bool, End> {
    let body = json!({ "source_profile_id": source, "destination_profile_id": destination });
    match cx.ask("omneo", post("/profiles/merge", body).needs("/data")).await? {
        Reply::Answer(answer) if is_missing(&answer) || matches!(answer.status, 409 | 422) => Ok(false),
        Reply::Answer(answer) => answer.ok("merging the profiles").map(|_| true),
        Reply::Unknown(_) => Ok(false),
    }
}

fn gone(answer: Answer, doing: &str) -> Result<(), End> {
    if is_missing(&answer) { Ok(()) } else { answer.ok(doing).map(drop) }
}

/// Whether an objection of Omneo's is about the field.
pub fn is_about(fault: &str, field: Field) -> bool {
    match &field.omneo {
        OmneoPlace::Key(key) => fault == key.path || (field.is(Core::Phone) && fault == "secondary_phone"),
        OmneoPlace::BirthDate => fault.starts_with("birth_"),
        OmneoPlace::Attribute { .. } | OmneoPlace::Expression(_) => false,
    }
}

/// Writes or removes one custom attribute. Gives Omneo's objection, if it has one.
///
/// Each attribute has a call of its own, because it is not documented whether a list of attributes in the profile
/// replaces those that it leaves out.
pub async fn set_attribute(cx: &Cx, id: &str, field: Field, value: Option<&str>) -> Result<Option<String>, End> {
    let OmneoPlace::Attribute { namespace, handle } = &field.omneo else { return Ok(None) };
    let path = format!("/profiles/{}/attributes/custom/{}:{}", segment(id), segment(namespace), segment(handle));
    let answer = match value {
        Some(value) => {
            let body = json!({ "type": field.format.attribute_type(), "value": field.format.to_json(value) });
            cx.omneo(put(path, body).needs_nothing()).await?
        }
        None => cx.omneo(delete_at(path)).await?,
    };
    if is_objection(&answer) {
        return Ok(Some(listed(&faults(&answer)?)));
    }
    match answer.status {
        404 if value.is_none() => Ok(None),
        _ => answer.ok("writing a custom attribute").map(|_| None),
    }
}

/// Reads the answer to a write. It should show the profile as stored; if it does not, the profile is read.
async fn written(cx: &Cx, answer: Answer, doing: &str, id: Option<&str>, reading: Reading<'_>) -> Result<Written, End> {
    if is_missing(&answer) {
        return Ok(Written::Gone);
    }
    if is_objection(&answer) {
        let faults = faults(&answer)?;
        return if faults.is_empty() { Err(answer.unexpected(doing)) } else { Ok(Written::Invalid(faults)) };
    }
    let json = answer.ok(doing)?.json()?;
    let body = data(&json);
    if ["/id", "/first_name", "/last_name", "/email", "/mobile_phone", "/updated_at"].iter().all(|at| body.has(at)) {
        return Ok(Written::Done(Box::new(Profile::read(&body, reading)?)));
    }
    let Some(id) = body.opt_text("/id")?.or(id) else {
        return Err(refused(format!("{doing}: Omneo answered no profile")));
    };
    match profile(cx, id, reading).await? {
        Some(profile) => Ok(Written::Read(Box::new(profile))),
        None => Ok(Written::Gone),
    }
}

/// Whether Omneo has understood a write and refuses it.
pub fn is_objection(answer: &Answer) -> bool {
    matches!(answer.status, 409 | 422)
}

/// Omneo's objections, one for each key.
pub fn faults(answer: &Answer) -> Result<Vec<Fault>, End> {
    let json = answer.json()?;
    let view = json.view();
    let errors = ["/errors", "/body/errors"].into_iter().find_map(|at| view.get(at)?.object());
    let fault = |(key, words): (String, Value)| {
        let words = match words {
            Value::Array(list) => list.iter().map(said).collect::<Vec<_>>().join(" "),
            other => said(&other),
        };
        let is_taken = ["taken", "exist", "in use"].iter().any(|word| words.to_lowercase().contains(word));
        Fault { key, words, is_taken }
    };
    Ok(errors.into_iter().flatten().map(fault).collect())
}

fn said(words: &Value) -> String {
    words.as_str().map_or_else(|| words.to_string(), str::to_owned)
}

/// The objections in words.
pub fn listed(faults: &[Fault]) -> String {
    match faults {
        [] => "Omneo did not accept it and does not say why".to_owned(),
        _ => faults.iter().map(Fault::said).collect::<Vec<_>>().join("; "),
    }
}

impl Fault {
    pub fn said(&self) -> String {
        format!("Omneo says of `{}`: `{}`", self.key, self.words)
    }
}

fn is_missing(answer: &Answer) -> bool {
    matches!(answer.status, 404 | 410)
}

/// The content of the envelope.
fn data<'a>(json: &'a Json) -> View<'a> {
    json.view().get("/data").unwrap_or_else(|| json.view())
}
