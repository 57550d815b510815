//! Asks Shopify who a customer is, and Omneo who a profile is and for a token. Nothing of it passes through the journal or a lane, so that
//! it works while these stand still. Knows requests and answers; not whose token is given.

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::token::{self, IdToken};
use super::whose::{self, Customer, Profile, Unproven};
use crate::client::Client;
use crate::clock;
use crate::config::{Peer, Tenant};
use crate::credentials::{Credentials, LEAST_API_VERSION, NoToken};
use crate::model::{Answer, Call, Effect, Method, Request};
use crate::retry::Outcome;

/// Where Omneo's API for shoppers is, at the same host as its API for programs.
const ID_API: &str = "/id/api/v1";
pub const CUSTOMER: &str = "query StorefrontCustomer($id: ID!) { customer(id: $id) { id verifiedEmail defaultEmailAddress { emailAddress } } }";

/// Whom to ask, in whose name.
pub struct Ask<'a> {
    pub client: &'a Client,
    pub credentials: &'a Credentials,
    pub tenant: &'a Tenant,
}

/// A system did not answer as it should.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub target: &'static str,
    /// For the log.
    pub why: String,
    /// When it wants to be asked again, if it says so.
    pub after_ms: Option<u64>,
}

impl Ask<'_> {
    /// A token for the one of these profiles that is proven to be the customer's.
    pub async fn theirs(&self, customer: u64, profiles: &[String]) -> Result<Result<IdToken, Unproven>, Trouble> {
        let shown = async {
            let mut shown = vec![];
            for profile in profiles {
                shown.push(self.profile(profile).await?);
            }
            Ok(shown)
        };
        let (customer, shown) = tokio::try_join!(self.customer(customer), shown)?;
        match whose::proven(customer.as_ref(), &shown) {
            Ok(n) => Ok(self.token(profiles.get(n).map(String::as_str)).await?.ok_or(Unproven::NoProfile)),
            Err(unproven) => Ok(Err(unproven)),
        }
    }

    /// A token that is nobody's.
    pub async fn nobodys(&self) -> Result<IdToken, Trouble> {
        self.token(None).await?.ok_or_else(|| trouble("omneo", "404 where a token without a profile was asked for"))
    }

    async fn customer(&self, customer: u64) -> Result<Option<Customer>, Trouble> {
        let id = format!("gid://shopify/Customer/{customer}");
        let variables = json!({ "id": id }).to_string();
        let request = Request::Graphql { document: CUSTOMER.into(), variables };
        let answer = self.send("shopify", &self.tenant.shopify, request).await?;
        read_customer(&answer.body, &id).map_err(|why| trouble("shopify", why))
    }

    async fn profile(&self, profile: &str) -> Result<Option<Profile>, Trouble> {
        let request =
            Request::Rest { method: Method::Get, path: format!("/profiles/{profile}"), query: vec![], body: None };
        let answer = self.send("omneo", &self.tenant.omneo, request).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        read_profile(&answer.body, profile).map_err(|why| trouble("omneo", why))
    }

    /// `None`: Omneo does not know the profile.
    async fn token(&self, profile: Option<&str>) -> Result<Option<IdToken>, Trouble> {
        let origin = Url::parse(&self.tenant.omneo.url).map(|url| url.origin().ascii_serialization());
        let origin = origin.map_err(|error| trouble("omneo", format!("its address cannot be read: {error}")))?;
        let peer = Peer { url: format!("{origin}{ID_API}"), ..self.tenant.omneo.clone() };
        let body = profile.map_or_else(|| json!({}), |profile| json!({ "id": profile })).to_string();
        let request =
            Request::Rest { method: Method::Post, path: "/auth/token".into(), query: vec![], body: Some(body) };
        let answer = self.send("omneo", &peer, request).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let token = token::read(&answer.body, profile, clock::now() / 1_000);
        token.map(Some).map_err(|why| trouble("omneo", why.to_string()))
    }

    /// The answer, if it is a success, or Omneo's 404.
    async fn send(&self, target: &'static str, peer: &Peer, request: Request) -> Result<Answer, Trouble> {
        let call = Call { target: target.into(), request, effect: Effect::Read };
        // A token that is not accepted is renewed once.
        for _ in 0..2 {
            let token = self.credentials.token(self.tenant, target).await;
            let token = token.map_err(|NoToken { refused, .. }| trouble(target, refused.to_string()))?;
            let outcome = self.client.send(peer, &token.text, &call, LEAST_API_VERSION).await;
            let (answer, after_ms) = match outcome {
                Outcome::Answered { answer, retry_after_ms } => (answer, retry_after_ms),
                Outcome::Throttled { wait_ms } => {
                    return Err(Trouble { target, why: "throttled".into(), after_ms: Some(wait_ms) });
                }
                Outcome::NotSent(why) | Outcome::NoAnswer(why) | Outcome::Blocked(why) | Outcome::NoToken(why) => {
                    return Err(trouble(target, why));
                }
            };
            match answer.status {
                401 if self.credentials.refused_by_shop(self.tenant, target, &token) => {}
                200..300 => {
                    self.credentials.accepted_by_shop(self.tenant, target, &token);
                    return Ok(answer);
                }
                404 if target == "omneo" => return Ok(answer),
                status => return Err(Trouble { target, why: format!("it answers {status}"), after_ms }),
            }
        }
        Err(trouble(target, "it answers 401"))
    }
}

fn trouble(target: &'static str, why: impl Into<String>) -> Trouble {
    Trouble { target, why: why.into(), after_ms: None }
}

/// The customer in an answer to [`CUSTOMER`]; `None`: the shop has no such customer.
fn read_customer(body: &str, id: &str) -> Result<Option<Customer>, &'static str> {
    #[derive(Deserialize)]
    struct Said {
        data: Option<Data>,
        errors: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Data {
        customer: Option<Shown>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown {
        id: String,
        verified_email: bool,
        default_email_address: Option<Email>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Email {
        email_address: Option<String>,
    }
    let said: Said = serde_json::from_str(body).map_err(|_| "its answer is not one about a customer")?;
    let (Some(Data { customer }), None) = (said.data, said.errors) else {
        return Err("it does not say who the customer is");
    };
    match customer {
        None => Ok(None),
        Some(shown) if shown.id != id => Err("it answers with another customer"),
        Some(Shown { verified_email, default_email_address, .. }) => {
            let email = default_email_address.and_then(|email| email.email_address);
            Ok(Some(Customer { email, is_verified: verified_email }))
        }
    }
}

/// `None`: what it answers with is another profile, which one that was merged may be answered with.
fn read_profile(body: &str, id: &str) -> Result<Option<Profile>, &'static str> {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    // With and without an envelope, as the rules read it.
    let shown = said.get("data").filter(|data| data.is_object()).unwrap_or(&said);
    let found = shown.get("id").and_then(Value::as_str).ok_or("its answer is not a profile")?;
    let email = shown.get("email").and_then(Value::as_str).map(str::to_owned);
    Ok((found == id).then_some(Profile { email }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_read_or_nothing_is_said() {
        let id = "gid://shopify/Customer/7";
        let said = |customer: serde_json::Value| json!({ "data": { "customer": customer } }).to_string();
        let ada = json!({ "id": id, "verifiedEmail": true, "defaultEmailAddress": { "emailAddress": "a@b.c" } });
        let due = Customer { email: Some("a@b.c".into()), is_verified: true };
        assert_eq!(read_customer(&said(ada.clone()), id), Ok(Some(due)));
        let bare = json!({ "id": id, "verifiedEmail": false, "defaultEmailAddress": null });
        assert_eq!(read_customer(&said(bare), id), Ok(Some(Customer { email: None, is_verified: false })));
        assert_eq!(read_customer(&said(json!(null)), id), Ok(None));
        let mut denied = json!({ "data": { "customer": null }, "errors": [{ "message": "Access denied" }] });
        assert!(read_customer(&denied.to_string(), id).is_err());
        denied["data"]["customer"] = ada.clone();
        assert!(read_customer(&denied.to_string(), id).is_err());
        assert!(read_customer(&said(ada), "gid://shopify/Customer/70").is_err());
        for body in
            ["", "[]", "{}", "<html>", r#"{"data":null}"#, r#"{"data":{"customer":{"id":"gid://shopify/Customer/7"}}}"#]
        {
            assert!(read_customer(body, id).is_err(), "{body}");
        }
    }

    #[test]
    fn a_profile_is_the_one_that_was_asked_for() {
        let said = |id: &str, email: Value| json!({ "data": { "id": id, "email": email } }).to_string();
        let with = |email: Option<&str>| Ok(Some(Profile { email: email.map(str::to_owned) }));
        assert_eq!(read_profile(&said("p", json!("a@b.c")), "p"), with(Some("a@b.c")));
        assert_eq!(read_profile(r#"{"id": "p", "email": "a@b.c"}"#, "p"), with(Some("a@b.c")));
        assert_eq!(read_profile(&said("p", json!(null)), "p"), with(None));
        assert_eq!(read_profile(&said("q", json!("a@b.c")), "p"), Ok(None));
        for body in ["{}", "[]", r#"{"data":[]}"#, r#"{"data":{"id":7}}"#, "", "<html>"] {
            assert!(read_profile(body, "p").is_err(), "{body}");
        }
    }
}
