//! The admin API of a running host as operators and tenants use it, and a check that every answer is as the document says.
//!
//! Knows how to ask; not what is expected of an answer.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeSet;
use std::sync::Mutex;

use reqwest::Method;
use serde_json::{Value, json};
use tandem::admin;

use crate::host::{Host, hostile};

pub struct Desk {
    pub host: Host,
    pub client: reqwest::Client,
    pub document: Value,
    /// Operations of the document that were used: `GET /v1/tenants`.
    pub used: Mutex<BTreeSet<String>>,
}

impl Desk {
    pub async fn open() -> Self {
        Self::of(Host::start(["acme", "other"].map(|tenant| (tenant.to_owned(), hostile()))).await)
    }

    pub fn of(host: Host) -> Self {
        let document = serde_json::from_str(&admin::document()).unwrap();
        Self { host, client: reqwest::Client::new(), document, used: Mutex::default() }
    }

    /// A token that is in force.
    pub async fn token(&self, name: &str, tenant: Option<&str>) -> String {
        let token = admin::new_token().unwrap();
        assert!(self.host.server.journal.add_token(name, tenant, &admin::hash(&token)).await.unwrap());
        token
    }

    /// Status and body of an answer, which must be as the document says.
    pub async fn ask(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.host.server.admin.unwrap());
        let mut request = self.client.request(method.clone(), url);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.check(&method, path, status, kind.as_deref().unwrap_or_default(), &body);
        (status, body)
    }

    /// The status, the media type and the body are as the document says.
    pub fn check(&self, method: &Method, path: &str, status: u16, kind: &str, body: &Value) {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (one, other): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
            one.len() == other.len()
                && one.iter().zip(&other).all(|(part, given)| part.starts_with('{') || part == given)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let Some((template, operations)) = paths.iter().find(|(template, _)| fits(template)) else {
            return assert_eq!(status, 404, "{path} is not in the document");
        };
        let operation = &operations[method.as_str().to_lowercase()];
        if operation.is_null() {
            return assert_eq!(status, 405, "{method} {path} is not in the document");
        }
        self.used.lock().unwrap().insert(format!("{method} {template}"));
        let answer = &operation["responses"][status.to_string()];
        assert!(!answer.is_null(), "{method} {template} answers {status}, which is not in the document: {body}");
        let Some(content) = answer["content"].as_object() else { return };
        let kind = kind.split(';').next().unwrap();
        assert!(content.contains_key(kind), "{method} {template} answers {status} as `{kind}`: {body}");
        let mut schema = content[kind]["schema"].clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<_> = validator.iter_errors(body).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{method} {path} answers {body}, which is not as the document says: {wrong:?}");
    }

    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        self.ask(token, Method::GET, path, None).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(token, Method::POST, path, Some(body)).await
    }

    /// Events of a tenant that are over.
    pub async fn sent(&self, tenant: &str, topic: &str, ids: &[u64]) -> Vec<i64> {
        let mut events = vec![];
        for id in ids {
            let event = self.host.event(tenant, topic, &json!({ "id": id }).to_string()).await;
            self.host.over(event).await;
            events.push(event.0);
        }
        events
    }
}

pub fn detail(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["detail"].as_str().unwrap_or_default())
}
