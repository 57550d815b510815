//! One server: keeps the request log, applies faults, hands the rest to a service; over HTTP on loopback, or asked from within.
//! Knows nothing of either service; the accept loop is its own because a fault must be able to close a connection without an answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::HeaderMap;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock::Clock;
use crate::faults::{Alteration, Fault, Faults};
use crate::forward::Forward;
use crate::lock;
use crate::query::{decode, pairs};

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
    /// A form is an object of its last values. Null when the body was empty, or neither JSON nor a form.
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
    /// Decoded pairs of a body that is said to be a form.
    pub form: Vec<(String, String)>,
}

impl Call {
    fn new(method: &str, target: &str, headers: HeaderMap, body: &[u8]) -> Call {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut call = Call {
            method: method.to_owned(),
            path: decode(path),
            query: pairs(query),
            headers,
            body: if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(body).ok() },
            form: Vec::new(),
        };
        if call.header("content-type").starts_with("application/x-www-form-urlencoded") {
            call.form = pairs(&String::from_utf8_lossy(body));
        }
        call
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    body: Body,
    /// How long the answer is held back, beside what a fault asks for.
    pub delay: Duration,
    /// Another server has the answer.
    pub forward: Option<Forward>,
    /// Dropped when the answer goes out, or is lost: it tells how long a request was under way.
    pub guard: Option<Box<dyn Send>>,
}

enum Body {
    /// Null means an empty body.
    Json(Value),
    Html(String),
    /// A file, kept by whoever answers with it.
    File(Arc<str>),
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Answer {
        Answer::of(status, Body::Json(body))
    }

    /// A page for a browser.
    pub fn html(status: u16, page: impl Into<String>) -> Answer {
        Answer::of(status, Body::Html(page.into()))
    }

    /// A file of lines.
    pub fn file(lines: Arc<str>) -> Answer {
        Answer::of(200, Body::File(lines))
    }

    /// What another server answers. From within, where nobody connects, it is 502.
    pub fn forwarded(forward: Forward) -> Answer {
        Answer { forward: Some(forward), ..Answer::of(502, Body::Json(Value::Null)) }
    }

    fn of(status: u16, body: Body) -> Answer {
        Answer { status, headers: Vec::new(), body, delay: Duration::ZERO, forward: None, guard: None }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Changes the body, if it is JSON.
    fn alter(&mut self, alteration: Alteration) {
        if let Body::Json(body) = &mut self.body {
            alteration(body);
        }
    }

    fn text(&self) -> String {
        match &self.body {
            Body::Json(Value::Null) => String::new(),
            Body::Json(body) => body.to_string(),
            Body::Html(page) => page.clone(),
            Body::File(lines) => lines.to_string(),
        }
    }

    fn content_type(&self) -> &'static str {
        match self.body {
            Body::Json(_) => "application/json",
            Body::Html(_) => "text/html; charset=utf-8",
            Body::File(_) => "application/jsonl",
        }
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

/// A server; clones are the same one.
#[derive(Clone)]
pub(crate) struct Server {
    pub address: SocketAddr,
    pub faults: Faults,
    shared: Arc<Shared>,
    /// What listens, unless it is only asked from within.
    task: Option<AbortHandle>,
}

struct Shared {
    service: Service,
    faults: Faults,
    clock: Clock,
    log: Mutex<Vec<Request>>,
}

/// What comes of a request, before it is known how that gets back.
struct Served {
    /// Of the log.
    entry: usize,
    /// `None`: the connection is closed without an answer.
    answer: Option<Answer>,
    /// How long the answer is held back.
    held: Duration,
}

/// An answer as a caller without a connection gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
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
        let mut server = Server::unplugged(service, clock);
        server.address = address;
        server.task = Some(tokio::spawn(accept(listener, Arc::clone(&server.shared))).abort_handle());
        Ok(server)
    }

    /// One that nobody can connect to; it is asked by [`ask`](Server::ask) alone.
    pub fn unplugged(service: Service, clock: Clock) -> Server {
        let faults = Faults::default();
        let shared = Arc::new(Shared { service, faults: faults.clone(), clock, log: Mutex::default() });
        Server { address: SocketAddr::from(([127, 0, 0, 1], 0)), faults, shared, task: None }
    }

    /// A request from within. `None` where a connection would have been closed without an answer.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Option<Response> {
        let headers = headers
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::try_from(*name).ok()?, HeaderValue::try_from(*value).ok()?)));
        let served = self.shared.serve(Call::new(method, target, headers.collect(), body.as_bytes()), target);
        let answer = served.answer?;
        lock(&self.shared.log)[served.entry].status = answer.status;
        let headers = answer.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Some(Response { status: answer.status, headers, body: answer.text() })
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.log).clone()
    }

    /// Closes the listener and every connection.
    pub fn stop(&self) {
        self.task.iter().for_each(AbortHandle::abort);
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
    let target = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let call = Call::new(head.method.as_str(), target, head.headers, &body.to_bytes());
    let served = shared.serve(call, target);
    let Some(mut answer) = served.answer else { return Err(Closed) };
    tokio::time::sleep(served.held).await;
    drop(answer.guard.take());
    let response = match answer.forward.take() {
        Some(forward) => forward.answer().await,
        None => render(answer),
    };
    lock(&shared.log)[served.entry].status = response.status().as_u16();
    Ok(response)
}

impl Shared {
    /// Logs a request and decides what comes of it; whatever it does to the service is done when this returns.
    fn serve(&self, call: Call, target: &str) -> Served {
        let (operation, path) = (self.service.name)(&call);
        let line = format!("{} {path}", call.method);
        let entry = self.enter(&call, &operation, target);
        let plan = self.faults.plan(&operation, &line);
        let answer = match &plan.fault {
            Some(Fault::Reset) => None,
            Some(Fault::Status(status)) => Some(failed(*status)),
            Some(Fault::StatusRetryAfter(status, seconds)) => Some(failed(*status).with("retry-after", seconds)),
            Some(Fault::Throttled) => Some((self.service.throttled)()),
            Some(Fault::Unauthorized) => Some((self.service.unauthorized)()),
            None | Some(Fault::Hang(_) | Fault::LoseAnswer) => {
                plan.before.into_iter().for_each(|closure| closure());
                let mut made = (self.service.execute)(&call);
                plan.alterations.into_iter().for_each(|alteration| made.alter(alteration));
                plan.after.into_iter().for_each(|closure| closure());
                (plan.fault != Some(Fault::LoseAnswer)).then_some(made)
            }
        };
        let hang = if let Some(Fault::Hang(time)) = plan.fault { time } else { Duration::ZERO };
        let held = hang + answer.as_ref().map_or(Duration::ZERO, |answer| answer.delay);
        Served { entry, answer, held }
    }

    fn enter(&self, call: &Call, operation: &str, path: &str) -> usize {
        let form = || call.form.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let body = if call.form.is_empty() { call.body.clone().unwrap_or_default() } else { Value::Object(form()) };
        let mut log = lock(&self.log);
        log.push(Request {
            at_ms: self.clock.now_ms(),
            method: call.method.clone(),
            path: path.to_owned(),
            operation: operation.to_owned(),
            body,
            status: 0,
        });
        log.len() - 1
    }
}

fn failed(status: u16) -> Answer {
    Answer::new(status, json!({ "message": "Server Error", "errors": "Server Error" }))
}

fn render(made: Answer) -> hyper::Response<Full<Bytes>> {
    let body = Bytes::from(made.text());
    let mut response = hyper::Response::builder().status(made.status).header("content-type", made.content_type());
    for (name, value) in made.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(body)).unwrap_or_default()
}
