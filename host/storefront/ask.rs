//! Asks Shopify who a customer is, and Omneo who a profile is and for a token. The requests pass through no lane, and the journal keeps
//! none of them, so tokens are given while lanes and targets stand still. Knows requests and answers; not whose token is given.

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::token::{self, IdToken};
use super::whose::{self, Accounts, Customer, Profile, Unproven};
use crate::budget;
use crate::client::Client;
use crate::clock;
use crate::config::{Peer, Tenant};
use crate::credentials::{Credentials, LEAST_API_VERSION, NoToken};
use crate::model::{Answer, Call, Effect, Method, Request};
use crate::retry::Outcome;

/// Where Omneo's API for shoppers is, at the same host as its API for programs.
const ID_API: &str = "/id/api/v1";
pub const CUSTOMER: &str = "query StorefrontCustomer($id: ID!) { customer(id: $id) { id verifiedEmail defaultEmailAddress { emailAddress } } shop { customerAccountsV2 { customerAccountsVersion } } }";

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
        let trusts = self.tenant.shopify.app().is_some_and(|app| app.trusts_classic_accounts(&self.tenant.shop));
        match customer.and_then(|customer| whose::proven(customer.as_ref(), &shown, trusts)) {
            Ok(n) => Ok(self.token(profiles.get(n).map(String::as_str)).await?.ok_or(Unproven::NoProfile)),
            Err(unproven) => Ok(Err(unproven)),
        }
    }

    /// A token that is nobody's.
    pub async fn nobodys(&self) -> Result<IdToken, Trouble> {
        self.token(None).await?.ok_or_else(|| trouble("omneo", "404 where a token without a profile was asked for"))
    }

    /// `None`: the shop has no such customer.
    async fn customer(&self, customer: u64) -> Result<Result<Option<Customer>, Unproven>, Trouble> {
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
            let status = match &outcome {
                Outcome::Answered { answer, .. } => answer.status,
                _ => 0,
            };
            match status {
                401 if self.credentials.refused_by_shop(self.tenant, target, &token) => continue,
                200..300 => self.credentials.accepted_by_shop(self.tenant, target, &token),
                _ => {}
            }
            return read_answer(target, outcome);
        }
        Err(trouble(target, "it answers 401"))
    }
}

/// The answer, if it is a success, or Omneo's 404.
fn read_answer(target: &'static str, outcome: Outcome) -> Result<Answer, Trouble> {
    let throttled = |wait_ms| Trouble { target, why: "it answers THROTTLED".into(), after_ms: Some(wait_ms) };
    match outcome {
        Outcome::Answered { answer, retry_after_ms } => match answer.status {
            200..300 => match budget::said(&answer).filter(|said| said.is_throttled) {
                Some(said) => Err(throttled(said.wait_ms())),
                None => Ok(answer),
            },
            404 if target == "omneo" => Ok(answer),
            status => Err(Trouble { target, why: format!("it answers {status}"), after_ms: retry_after_ms }),
        },
        Outcome::Throttled { wait_ms } => Err(throttled(wait_ms)),
        Outcome::NotSent(why) | Outcome::NoAnswer(why) | Outcome::Blocked(why) | Outcome::NoToken(why) => {
            Err(trouble(target, why))
        }
    }
}

fn trouble(target: &'static str, why: impl Into<String>) -> Trouble {
    Trouble { target, why: why.into(), after_ms: None }
}

/// The customer in an answer to [`CUSTOMER`]; `None`: the shop has no such customer.
fn read_customer(body: &str, id: &str) -> Result<Result<Option<Customer>, Unproven>, String> {
    #[derive(Deserialize)]
    struct Said {
        data: Option<Data>,
        errors: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Data {
        customer: Option<Shown>,
        shop: Option<Shop>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shop {
        customer_accounts_v2: Option<Version>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        customer_accounts_version: Option<String>,
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
    if let Some(errors) = said.errors {
        let codes = codes(&errors);
        if codes.iter().all(|code| code == "ACCESS_DENIED") {
            return Ok(Err(Unproven::Denied));
        }
        return Err(format!("it answers with errors: {}", codes.join(", ")));
    }
    let Some(Data { customer, shop }) = said.data else { return Err("it does not say who the customer is".into()) };
    let version = shop.and_then(|shop| shop.customer_accounts_v2?.customer_accounts_version);
    let accounts = match version.as_deref() {
        Some("NEW_CUSTOMER_ACCOUNTS") => Accounts::New,
        _ => Accounts::Classic,
    };
    match customer {
        None => Ok(Ok(None)),
        Some(shown) if shown.id != id => Err("it answers with another customer".into()),
        Some(Shown { verified_email, default_email_address, .. }) => {
            let email = default_email_address.and_then(|email| email.email_address);
            Ok(Ok(Some(Customer { email, is_verified: verified_email, accounts })))
        }
    }
}

/// The codes of GraphQL errors, for the log: capitals alone, so that nothing else of an answer gets there.
fn codes(errors: &Value) -> Vec<String> {
    let code = |error: &Value| {
        let code = error["extensions"]["code"].as_str().unwrap_or_default();
        let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
        if is_code { code.to_owned() } else { "without a code".to_owned() }
    };
    match errors.as_array() {
        Some(errors) if !errors.is_empty() => errors.iter().take(8).map(code).collect(),
        _ => vec![code(errors)],
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

    const ID: &str = "gid://shopify/Customer/7";

    fn said(customer: Value, version: Value) -> Value {
        json!({ "data": { "customer": customer, "shop": { "customerAccountsV2": { "customerAccountsVersion": version } } } })
    }

    fn read(body: &Value) -> Result<Result<Option<Customer>, Unproven>, String> {
        read_customer(&body.to_string(), ID)
    }

    #[test]
    fn a_customer_is_read_or_nothing_is_said() {
        let ada = json!({ "id": ID, "verifiedEmail": true, "defaultEmailAddress": { "emailAddress": "a@b.c" } });
        let due = |accounts| Ok(Ok(Some(Customer { email: Some("a@b.c".into()), is_verified: true, accounts })));
        assert_eq!(read(&said(ada.clone(), json!("NEW_CUSTOMER_ACCOUNTS"))), due(Accounts::New));
        // Whatever else a shop says, or does not, shows nobody's address.
        for version in [json!("CLASSIC"), json!("LATER"), json!(null)] {
            assert_eq!(read(&said(ada.clone(), version.clone())), due(Accounts::Classic), "{version}");
        }
        assert_eq!(read(&json!({ "data": { "customer": ada } })), due(Accounts::Classic));
        assert_eq!(read(&json!({ "data": { "customer": ada, "shop": null } })), due(Accounts::Classic));
        let bare = json!({ "id": ID, "verifiedEmail": false, "defaultEmailAddress": null });
        let due = Customer { email: None, is_verified: false, accounts: Accounts::Classic };
        assert_eq!(read(&said(bare, json!("CLASSIC"))), Ok(Ok(Some(due))));
        assert_eq!(read(&said(json!(null), json!("CLASSIC"))), Ok(Ok(None)));
        assert!(read_customer(&said(ada, json!("CLASSIC")).to_string(), "gid://shopify/Customer/70").is_err());
        for body in
            ["", "[]", "{}", "<html>", r#"{"data":null}"#, r#"{"data":{"customer":{"id":"gid://shopify/Customer/7"}}}"#]
        {
            assert!(read_customer(body, ID).is_err(), "{body}");
        }
    }

    /// Without the approval for protected customer data, Shopify answers so, with and without the rest.
    #[test]
    fn what_the_app_may_not_read_is_no_failure_and_any_other_error_is() {
        let ada = json!({ "id": ID, "verifiedEmail": true, "defaultEmailAddress": { "emailAddress": "a@b.c" } });
        let with = |customer: &Value, errors: Value| {
            let mut body = said(customer.clone(), json!("NEW_CUSTOMER_ACCOUNTS"));
            body["errors"] = errors;
            read(&body)
        };
        let error = |code: &str| json!({ "message": "x", "extensions": { "code": code } });
        for customer in [&json!(null), &ada] {
            assert_eq!(with(customer, json!([error("ACCESS_DENIED")])), Ok(Err(Unproven::Denied)));
            for errors in [
                json!([error("ACCESS_DENIED"), error("INTERNAL_SERVER_ERROR")]),
                json!([{ "message": "x" }]),
                json!([]),
                json!({ "query": "x" }),
                json!("x"),
                json!([error("a@b.c")]),
            ] {
                let why = with(customer, errors.clone()).unwrap_err();
                assert!(!why.contains("a@b.c"), "{errors}: {why}");
            }
        }
        assert_eq!(read(&json!({ "data": null, "errors": [error("ACCESS_DENIED")] })), Ok(Err(Unproven::Denied)));
    }

    #[test]
    fn a_system_that_asks_for_time_is_heard() {
        let answered = |status, body: &str, retry_after_ms| {
            let answer = Answer { status, headers: vec![], body: body.into() };
            read_answer("shopify", Outcome::Answered { answer, retry_after_ms })
        };
        let throttled = r#"{"errors":[{"extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":100,
            "throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":0,"restoreRate":50}}}}"#;
        assert_eq!(answered(200, throttled, None).unwrap_err().after_ms, Some(2_000));
        assert_eq!(answered(429, "", Some(30_000)).unwrap_err().after_ms, Some(30_000));
        assert_eq!(answered(500, "", None).unwrap_err().after_ms, None);
        assert!(answered(404, "", None).is_err());
        assert_eq!(answered(200, "{}", None).unwrap().body, "{}");
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
