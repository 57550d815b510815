//! One HTTP server on loopback: accepts, keeps the request log, applies faults, hands the rest to a service.
//! Knows nothing of either service; the accept loop is its own because a fault must be able to close a connection without an answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full, Limited};
use hyper::HeaderMap;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock::Clock;
use crate::faults::{Fault, Faults};
use crate::lock;

const BODY_BYTES_MAX: usize = 10_000_000;

/// One request as received, for tests to look at.
#[derive(Clone, Debug)]
pub struct Request {
    /// By the stand-in's clock, Unix milliseconds.
    pub at_ms: i64,
    pub method: String,
    /// With the query, undecoded.
    pub path: String,
    /// The GraphQL operation's name; for Omneo the path.
    pub operation: String,
    /// Null when the body was empty or no JSON.
    pub body: Value,
    /// 0 while there is no answer, and for ever when it was lost.
    pub status: u16,
}

/// A request as a service gets it.
pub(crate) struct Call {
    pub method: String,
    /// Decoded, without the query.
    pub path: String,
    /// Decoded pairs.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// `None` when the body is no JSON; null when it is empty.
    pub body: Option<Value>,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Null means an empty body.
    pub body: Value,
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Answer {
        Answer { status, headers: Vec::new(), body }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What makes a server Shopify or Omneo.
pub(crate) struct Service {
    /// Operation for the log and the rules; then the path the rules see.
    pub name: fn(&Call) -> (String, String),
    pub execute: Box<dyn Fn(&Call) -> Answer + Send + Sync>,
    pub throttled: Box<dyn Fn() -> Answer + Send + Sync>,
    pub unauthorized: fn() -> Answer,
}

/// A running server; clones are the same one.
#[derive(Clone)]
pub(crate) struct Server {
    pub address: SocketAddr,
    pub faults: Faults,
    log: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

struct Shared {
    service: Service,
    faults: Faults,
    clock: Clock,
    log: Arc<Mutex<Vec<Request>>>,
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

impl Server {
    pub async fn start(service: Service, clock: Clock) -> std::io::Result<Server> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (faults, log) = (Faults::default(), Arc::default());
        let shared = Arc::new(Shared { service, faults: faults.clone(), clock, log: Arc::clone(&log) });
        let task = tokio::spawn(accept(listener, shared)).abort_handle();
        Ok(Server { address, faults, log, task })
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.log).clone()
    }

    /// Closes the listener and every connection.
    pub fn stop(&self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with the task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else { return Err(Closed) };
    let body = body.to_bytes();
    let call = Call {
        method: head.method.to_string(),
        path: decode(head.uri.path()),
        query: pairs(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body: if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&body).ok() },
    };
    let (operation, path) = (shared.service.name)(&call);
    let line = format!("{} {path}", call.method);
    let entry = shared.enter(&call, &operation, head.uri.path_and_query().map_or("/", |path| path.as_str()));
    let plan = shared.faults.plan(&operation, &line);
    let made = match &plan.fault {
        Some(Fault::Reset) => return Err(Closed),
        Some(Fault::Status(status)) => failed(*status),
        Some(Fault::StatusRetryAfter(status, seconds)) => failed(*status).with("retry-after", seconds),
        Some(Fault::Throttled) => (shared.service.throttled)(),
        Some(Fault::Unauthorized) => (shared.service.unauthorized)(),
        None | Some(Fault::Hang(_) | Fault::LoseAnswer) => {
            plan.before.into_iter().for_each(|closure| closure());
            let made = (shared.service.execute)(&call);
            plan.after.into_iter().for_each(|closure| closure());
            made
        }
    };
    match plan.fault {
        Some(Fault::LoseAnswer) => return Err(Closed),
        Some(Fault::Hang(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    lock(&shared.log)[entry].status = made.status;
    Ok(render(made))
}

impl Shared {
    fn enter(&self, call: &Call, operation: &str, path: &str) -> usize {
        let mut log = lock(&self.log);
        log.push(Request {
            at_ms: self.clock.now_ms(),
            method: call.method.clone(),
            path: path.to_owned(),
            operation: operation.to_owned(),
            body: call.body.clone().unwrap_or_default(),
            status: 0,
        });
        log.len() - 1
    }
}

fn failed(status: u16) -> Answer {
    Answer::new(status, json!({ "message": "Server Error", "errors": "Server Error" }))
}

fn render(made: Answer) -> hyper::Response<Full<Bytes>> {
    let body = if made.body.is_null() { Bytes::new() } else { Bytes::from(made.body.to_string()) };
    let mut response = hyper::Response::builder().status(made.status).header("content-type", "application/json");
    for (name, value) in made.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(body)).unwrap_or_default()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(key, value)| (form(key), form(value))).collect()
}

fn form(text: &str) -> String {
    decode(&text.replace('+', " "))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| byte == b'%').and_then(|hex| hex::decode(hex).ok());
        bytes.push(code.as_ref().map_or(byte, |code| code[0]));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
