//! The requests about addresses to both sides. Decides nothing about what is written.

use serde_json::Map;
use tandem_sdk::{
    Answer, Cx, End, Json, Reply, Value, View, Wrong, get, graphql, json, mutation, post, put, query, refused, segment,
};

use crate::person::address::Address;
use crate::person::omneo::{faults, is_objection, listed};
use crate::person::shopify::gid;

/// Reads as many addresses as Shopify gives in one page. If a customer has more, the others count as deleted: nothing
/// is written to them.
const READ: &str = "query Addresses($id: ID!) { customer(id: $id) { updatedAt defaultAddress { id } \
     addressesV2(first: 250) { nodes { id address1 address2 city company zip phone province provinceCode country \
     countryCodeV2 firstName lastName } } } }";
const TIME: &str = "query AddressesWritten($id: ID!) { customer(id: $id) { updatedAt } }";
const ADD: &str = "mutation AddAddress($id: ID!, $address: MailingAddressInput!) { \
     customerAddressCreate(customerId: $id, address: $address) { address { id address1 address2 city company zip phone \
     province provinceCode country countryCodeV2 firstName lastName } userErrors { field message } } }";
const CHANGE: &str = "mutation ChangeAddress($id: ID!, $addressId: ID!, $address: MailingAddressInput!) { \
     customerAddressUpdate(customerId: $id, addressId: $addressId, address: $address) { address { id address1 address2 \
     city company zip phone province provinceCode country countryCodeV2 firstName lastName } \
     userErrors { field message } } }";
const DROP: &str = "mutation DropAddress($id: ID!, $addressId: ID!) { customerAddressDelete(customerId: $id, \
     addressId: $addressId) { deletedAddressId userErrors { field message } } }";
const PREFER: &str = "mutation PreferAddress($id: ID!, $addressId: ID!) { customerUpdateDefaultAddress(customerId: $id, \
     addressId: $addressId) { customer { id } userErrors { field message } } }";

/// All addresses of one side.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub all: Vec<Address>,
    /// When the customer was last changed, which any change moves. Omneo's addresses have clocks of their own.
    pub at: Option<i64>,
}

/// How a write of one address went.
pub enum Written {
    Done(Box<Address>),
    /// Nothing was written, with the reason, and whether only the phone is at fault.
    Held {
        why: String,
        is_phone: bool,
    },
    /// The outcome is not known, or the address no longer exists: both sides have to be read again.
    Again,
}

impl List {
    pub fn find(&self, id: &str) -> Option<&Address> {
        self.all.iter().find(|address| address.id == id)
    }

    pub fn default(&self) -> Option<&str> {
        self.all.iter().find(|address| address.is_default).map(|address| address.id.as_str())
    }

    /// Puts an address into the list in its present state.
    pub fn put(&mut self, address: Address) {
        if address.is_default {
            self.all.iter_mut().for_each(|other| other.is_default = false);
        }
        match self.all.iter_mut().find(|other| other.id == address.id) {
            Some(other) => *other = address,
            None => self.all.push(address),
        }
    }
}

/// The customer's addresses in Shopify; `None` when the customer no longer exists.
pub async fn shopify(cx: &Cx, customer: u64) -> Result<Option<List>, End> {
    let answer = cx.shopify(query(READ, json!({ "id": gid(customer) }))).await?.ok("reading the addresses")?.json()?;
    if let Some(error) = answer.graphql_errors().first() {
        return Err(refused(format!("reading the addresses: Shopify answered `{}` {}", error.message, error.code)));
    }
    let view = answer.view();
    let Some(node) = view.get("/data/customer").filter(|node| !node.is_null()) else {
        return Ok(None);
    };
    let mut list = List { all: vec![], at: crate::clock::seconds(&node, "/updatedAt")? };
    let default = node.opt_id("/defaultAddress/id")?;
    for one in node.list("/addressesV2/nodes")? {
        let mut address = Address::of_node(&one)?;
        address.is_default = default.is_some_and(|id| id.to_string() == address.id);
        list.all.push(address);
    }
    Ok(Some(list))
}

/// When the customer was last changed; a change of an address counts too.
pub async fn updated_at(cx: &Cx, customer: u64) -> Result<Option<i64>, End> {
    let doing = "reading when the addresses were written";
    let answer = cx.shopify(query(TIME, json!({ "id": gid(customer) }))).await?.ok(doing)?.json()?;
    Ok(crate::clock::seconds(&answer.view(), "/data/customer/updatedAt")?)
}

/// The profile's addresses in Omneo; `None` when the profile no longer exists.
pub async fn omneo(cx: &Cx, profile: &str) -> Result<Option<List>, End> {
    let answer = cx.omneo(get(path(profile)).needs("/data")).await?;
    if matches!(answer.status, 404 | 410) {
        return Ok(None);
    }
    let json = answer.ok("reading the addresses")?.json()?;
    let all: Result<_, Wrong> = data(&json).list("")?.iter().map(Address::of_row).collect();
    Ok(Some(List { all: all?, at: None }))
}

/// Writes an address of Omneo. Omneo finds it by external id, so the call may be sent twice.
pub async fn upsert(cx: &Cx, profile: &str, body: Map<String, Value>) -> Result<Written, End> {
    let call = post(format!("{}/upsert", path(profile)), body.into()).repeatable();
    row(cx.omneo(call).await?)
}

pub async fn change_row(cx: &Cx, profile: &str, id: &str, body: Map<String, Value>) -> Result<Written, End> {
    row(cx.omneo(put(format!("{}/{}", path(profile), segment(id)), body.into())).await?)
}

/// Adds an address in Shopify. Not repeatable: sent twice, it would add two addresses.
pub async fn add(cx: &Cx, customer: u64, address: Map<String, Value>) -> Result<Written, End> {
    let call = graphql(ADD, json!({ "id": gid(customer), "address": address }));
    match cx.ask("shopify", call).await? {
        Reply::Answer(answer) => node(answer, "customerAddressCreate"),
        Reply::Unknown(_) => Ok(Written::Again),
    }
}

pub async fn change(cx: &Cx, customer: u64, id: &str, address: Map<String, Value>) -> Result<Written, End> {
    let variables = json!({ "id": gid(customer), "addressId": Address::gid(id), "address": address });
    node(cx.shopify(mutation(CHANGE, variables)).await?, "customerAddressUpdate")
}

/// Deletes an address in Shopify. Gives why Shopify does not delete it, if so; an address that no longer exists counts
/// as deleted.
pub async fn drop_address(cx: &Cx, customer: u64, id: &str) -> Result<Option<String>, End> {
    let variables = json!({ "id": gid(customer), "addressId": Address::gid(id) });
    let answer = cx.shopify(mutation(DROP, variables)).await?.ok("deleting the address")?.json()?;
    let errors = answer.graphql_errors().into_iter().chain(answer.user_errors("customerAddressDelete"));
    Ok(errors.map(|error| error.message).find(|message| !message.contains("does not exist")))
}

/// Makes an address the default in Shopify. Gives whether it is the default now.
pub async fn prefer(cx: &Cx, customer: u64, id: &str) -> Result<bool, End> {
    let variables = json!({ "id": gid(customer), "addressId": Address::gid(id) });
    let answer = cx.shopify(mutation(PREFER, variables)).await?.ok("choosing the default address")?.json()?;
    Ok(answer.graphql_errors().is_empty() && answer.user_errors("customerUpdateDefaultAddress").is_empty())
}

fn path(profile: &str) -> String {
    format!("/profiles/{}/addresses", segment(profile))
}

fn data<'a>(json: &'a Json) -> View<'a> {
    json.view().get("/data").unwrap_or_else(|| json.view())
}

fn row(answer: Answer) -> Result<Written, End> {
    if matches!(answer.status, 404 | 410) {
        return Ok(Written::Again);
    }
    if is_objection(&answer) {
        let faults = faults(&answer)?;
        let is_phone = !faults.is_empty() && faults.iter().all(|fault| fault.key == "phone");
        return Ok(Written::Held { why: listed(&faults), is_phone });
    }
    let json = answer.ok("writing the address")?.json()?;
    let row = data(&json);
    // The answer should show the address as stored. If it does not, both sides are read again.
    Ok(if row.has("/id") && row.has("/address_line_1") {
        Written::Done(Box::new(Address::of_row(&row)?))
    } else {
        Written::Again
    })
}

fn node(answer: Answer, root: &str) -> Result<Written, End> {
    let answer = answer.ok("writing the address")?.json()?;
    if let Some(error) = answer.graphql_errors().first() {
        // As recorded: when an address is gone, the error is at the top level of the answer.
        return match error.code.as_str() {
            "RESOURCE_NOT_FOUND" => Ok(Written::Again),
            _ => Err(refused(format!("writing the address: Shopify answered `{}` {}", error.message, error.code))),
        };
    }
    let errors = answer.user_errors(root);
    if let Some(error) = errors.first() {
        let is_phone = errors.iter().all(|error| error.field.rsplit('.').next() == Some("phone"));
        return Ok(Written::Held { why: format!("Shopify says `{}`", error.message), is_phone });
    }
    match answer.view().get(&format!("/data/{root}/address")).filter(|node| !node.is_null()) {
        Some(node) => Ok(Written::Done(Box::new(Address::of_node(&node)?))),
        None => Ok(Written::Again),
    }
}
