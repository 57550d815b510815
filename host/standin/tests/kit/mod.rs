//! A client and a webhook receiver over plain sockets, so that nothing but the stand-ins is under test.
//! Knows neither service's values.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tandem_standin::{Clock, Delivery, Omneo, OmneoOptions, Shopify, ShopifyOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// 2026-07-01T00:00:00Z.
pub const START: i64 = 1_782_864_000_000;

pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    headers: Vec<(String, String)>,
    /// Null when it is no JSON.
    pub body: Value,
    pub text: String,
}

impl Reply {
    /// The value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

pub async fn shop() -> (Shopify, Clock) {
    shop_with(|_| {}).await
}

pub async fn shop_with(change: impl FnOnce(&mut ShopifyOptions)) -> (Shopify, Clock) {
    let clock = Clock::fixed(START);
    let mut options = ShopifyOptions { clock: clock.clone(), delivery: Delivery::Manual, ..ShopifyOptions::default() };
    change(&mut options);
    (Shopify::start(options).await.unwrap(), clock)
}

pub async fn tenant() -> (Omneo, Clock) {
    tenant_with(|_| {}).await
}

pub async fn tenant_with(change: impl FnOnce(&mut OmneoOptions)) -> (Omneo, Clock) {
    let clock = Clock::fixed(START);
    let mut options = OmneoOptions { clock: clock.clone(), delivery: Delivery::Manual, ..OmneoOptions::default() };
    change(&mut options);
    (Omneo::start(options).await.unwrap(), clock)
}

/// `None` when the connection was closed without an answer.
pub async fn http(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: impl Into<Option<String>>,
) -> Option<Reply> {
    let body = body.into().unwrap_or_default();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let (head, text) = (head.to_lowercase(), body.to_owned());
    Some(Reply { status, head, headers, body: serde_json::from_str(body).unwrap_or_default(), text })
}

pub async fn graphql(shop: &Shopify, query: &str, variables: Value) -> Value {
    let reply = graphql_reply(shop, query, variables).await.unwrap();
    assert_eq!(reply.status, 200);
    reply.body
}

pub async fn graphql_reply(shop: &Shopify, query: &str, variables: Value) -> Option<Reply> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let token = [("x-shopify-access-token", "shpat_standin"), ("content-type", "application/json")];
    http(shop.address(), "POST /admin/api/2026-07/graphql.json", &token, body).await
}

/// A form as a browser or a client sends it; the pairs are encoded already.
pub async fn post_form(address: SocketAddr, path: &str, form: &str) -> Option<Reply> {
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    http(address, &format!("POST {path}"), &kind, form.to_owned()).await
}

pub async fn get(address: SocketAddr, target: &str) -> Reply {
    http(address, &format!("GET {target}"), &[], None).await.unwrap()
}

/// The status of a small query with this token.
pub async fn status_with(shop: &Shopify, token: &str) -> u16 {
    ask_with(shop, token, "query Read { shop { name } }", json!({})).await.status
}

pub async fn ask_with(shop: &Shopify, token: &str, query: &str, variables: Value) -> Reply {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let headers = [("x-shopify-access-token", token), ("content-type", "application/json")];
    http(shop.address(), "POST /admin/api/2026-07/graphql.json", &headers, body).await.unwrap()
}

pub async fn rest(omneo: &Omneo, line: &str, body: Value) -> Reply {
    let (method, path) = line.split_once(' ').unwrap();
    let body = if body.is_null() { None } else { Some(body.to_string()) };
    let token = [("authorization", "Bearer omneo-token")];
    http(omneo.address(), &format!("{method} /api/v3{path}"), &token, body).await.unwrap()
}

/// What a stand-in has to say, as topics, taken.
pub fn topics(outbox: &tandem_standin::Outbox) -> Vec<String> {
    outbox.take().into_iter().map(|webhook| webhook.topic).collect()
}

/// Takes webhooks; answers with the given statuses in turn, then with 200.
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    pub async fn answering(statuses: &[u16]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (log, mut statuses) = (Arc::clone(&received), statuses.to_vec());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (head, body) = read_request(&mut stream).await;
                log.lock().unwrap().push((head, body));
                let status = if statuses.is_empty() { 200 } else { statuses.remove(0) };
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Receiver { url, received }
    }

    /// Head in lower case, and body, of each request.
    pub fn received(&self) -> Vec<(String, String)> {
        self.received.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if n == 0 || length.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap()) {
                return (head, body.to_owned());
            }
        } else if n == 0 {
            return (text, String::new());
        }
    }
}
