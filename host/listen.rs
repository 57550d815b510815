//! Serves HTTP within limits that hold against clients that connect and do not send, send and do not end, or ask and do
//! not read.
//!
//! A slow client gives way to a new one: when every place is taken, the connection that has waited longest for its
//! client is closed. A request that is being worked on is never cut off. Knows nothing of what is asked.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::clock::Steady;
use crate::metrics::Metrics;

mod reader;
mod visitors;

use reader::Patient;
use visitors::{Phase, Visitors};

/// Longest head of a request, in bytes; also how much of a body is read at a time.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long the head may take, from the opening of a connection or the end of the answer before.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long the body may take, from the end of the head.
const BODY_MAX: Duration = Duration::from_secs(30);
/// How long a client may read nothing of an answer.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a request may go on arriving once the host is told to stop.
const LAST_REQUEST_MAX: Duration = Duration::from_secs(1);
/// How long to wait before accepting a connection again, after the system had none to give.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long a client waits for the place or the bytes of another one that was cut off for it.
const GIVE_MAX: Duration = Duration::from_secs(1);
/// The pause between two log lines about connections that were closed.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Seconds after which a client that was refused may try again.
const RETRY_AFTER_S: &str = "5";

/// The limits of one listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Bytes of bodies that were received and are not answered yet, of all connections together.
    pub body_bytes: usize,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long the body may take, from the end of the head.
    pub body: Duration,
    /// How long a client may read nothing of an answer.
    pub stall: Duration,
    /// How long a client waits for the place or the bytes of another one that was cut off for it.
    pub give: Duration,
}

/// A listener's name in log and metrics, its limits, and its counters.
pub struct Listen {
    /// `webhooks` or `admin`.
    pub name: &'static str,
    pub limits: Limits,
    pub metrics: Metrics,
}

/// What all connections of a listener share.
struct Shared {
    listen: Listen,
    clock: Steady,
    visitors: Mutex<Visitors<Arc<Notify>>>,
    bytes: Arc<Semaphore>,
    /// Held while clients are cut off for their bytes: one at a time does that, so that nobody is cut off for bytes
    /// that are already being given back.
    turn: tokio::sync::Mutex<()>,
    logged: Mutex<Option<Instant>>,
}

/// One connection. To drop it is to free its place.
struct Visitor {
    number: u64,
    shared: Arc<Shared>,
    cut: Arc<Notify>,
    _place: OwnedSemaphorePermit,
}

/// The bytes of a request's body, counted until the last copy of this is dropped; and why the body was refused, if it
/// was.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<HeldBytes>>);

#[derive(Default)]
struct HeldBytes {
    permit: Option<OwnedSemaphorePermit>,
    refused: Option<Refused>,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
enum Refused {
    #[error("the body did not arrive in time")]
    Slow,
    #[error("there are too many bodies on their way; send this again")]
    Full,
}

impl Limits {
    /// For webhooks: half of the descriptors, so that every connection has those that its work needs; and room for a
    /// few of the longest bodies.
    pub fn of_webhooks(descriptors: usize, body_bytes_max: usize) -> Self {
        let body_bytes = body_bytes_max.saturating_mul(4).max(64 << 20);
        Self::new((descriptors / 2).clamp(16, 1_024), body_bytes)
    }

    /// For the admin API: an eighth of the descriptors.
    pub fn of_admin(descriptors: usize, body_bytes_max: usize) -> Self {
        Self::new((descriptors / 8).clamp(8, 128), body_bytes_max.saturating_mul(4))
    }

    fn new(connections: usize, body_bytes: usize) -> Self {
        Self { connections, body_bytes, head: HEAD_MAX, body: BODY_MAX, stall: STALL_MAX, give: GIVE_MAX }
    }
}

/// How many descriptors this process may have: `ulimit -n`.
pub fn descriptors() -> usize {
    #[cfg(unix)]
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let most = Some(1_024);
    most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// Serves until told to stop. Then requests under way are answered, and requests that have not arrived in whole are cut
/// off soon.
pub async fn serve(listener: TcpListener, router: Router, listen: Listen, stopped: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(listen.limits.connections));
    let bytes = Arc::new(Semaphore::new(listen.limits.body_bytes.min(Semaphore::MAX_PERMITS)));
    let shared = Arc::new(Shared {
        listen,
        clock: Steady::start(),
        visitors: Mutex::default(),
        bytes,
        turn: tokio::sync::Mutex::default(),
        logged: Mutex::default(),
    });
    let (stop, stopping) = watch::channel(false);
    let mut stopped = pin!(stopped);
    let mut connections = JoinSet::new();
    loop {
        // Removes the connections that have ended.
        while connections.try_join_next().is_some() {}
        tokio::select! {
            () = &mut stopped => break,
            (stream, visitor) = next(&listener, &shared, &places) => {
                connections.spawn(connection(stream, visitor, router.clone(), stopping.clone()));
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    let mut all = pin!(all);
    if timeout(LAST_REQUEST_MAX, &mut all).await.is_err() {
        shared.visitors().waiting().for_each(|cut| cut.notify_one());
        all.await;
    }
}

/// The next connection that there is a place for.
async fn next(listener: &TcpListener, shared: &Arc<Shared>, places: &Arc<Semaphore>) -> (TcpStream, Visitor) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let place = match places.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                let Some(cut) = shared.visitors().longest_waiting() else {
                    // Every connection has a request that is being worked on.
                    shared.cut("full");
                    continue;
                };
                cut.notify_one();
                shared.cut("crowded");
                timeout(shared.listen.limits.give, places.clone().acquire_owned()).await.ok().and_then(Result::ok)
            }
        };
        let Some(place) = place else {
            shared.cut("full");
            continue;
        };
        let cut = Arc::new(Notify::new());
        let number = shared.visitors().enter(cut.clone(), shared.clock.now());
        shared.listen.metrics.connected(shared.listen.name, 1);
        return (stream, Visitor { number, shared: shared.clone(), cut, _place: place });
    }
}

/// One connection, from its first request to its last.
async fn connection(stream: TcpStream, visitor: Visitor, router: Router, mut stopping: watch::Receiver<bool>) {
    let visitor = Arc::new(visitor);
    let limits = &visitor.shared.listen.limits;
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Patient::new(stream, limits.stall));
    let (of, router) = (visitor.clone(), TowerToHyperService::new(router));
    let service = hyper::service::service_fn(move |request| {
        let (visitor, router) = (of.clone(), router.clone());
        async move { Ok::<_, Infallible>(answer(request, visitor, router).await) }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(stream, service);
    let mut http = pin!(http);
    let stopped = tokio::select! {
        ended = &mut http => Err(ended),
        () = visitor.cut.notified() => return,
        _ = stopping.wait_for(|stopping| *stopping) => Ok(()),
    };
    let ended = match stopped {
        Err(ended) => ended,
        Ok(()) => {
            http.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut http => ended,
                () = visitor.cut.notified() => return,
            }
        }
    };
    match ended {
        Err(error) if reader::is_stalled(&error) => visitor.shared.cut("not reading"),
        Err(error) if error.is_timeout() => visitor.shared.cut("silent"),
        _ => {}
    }
}

/// Answers a request, and counts the bytes of its body until it is answered.
async fn answer(request: Request<Incoming>, visitor: Arc<Visitor>, router: TowerToHyperService<Router>) -> Response {
    let held = Held::default();
    let deadline = Instant::now() + visitor.shared.listen.limits.body;
    let is_whole = request.body().is_end_stream();
    visitor.enter(if is_whole { Phase::Working } else { Phase::Sending });
    let mut request = request.map(|body| counted(body, visitor.clone(), held.clone(), deadline));
    request.extensions_mut().insert(held.clone());
    let answered = router.call(request).await;
    visitor.enter(Phase::Waiting);
    let refused = held.refused();
    drop(held);
    visitor.shared.show_bytes();
    match (refused, answered) {
        (Some(refused), _) => refused.into_response(),
        (None, Ok(response)) => response,
    }
}

/// A body whose bytes are counted as they come, and that ends when it takes too long.
fn counted(body: Incoming, visitor: Arc<Visitor>, held: Held, deadline: Instant) -> Body {
    let chunks = unfold(Some((body, visitor, held)), move |state| async move {
        let (mut body, visitor, held) = state?;
        let next = match timeout_at(deadline, body.frame()).await {
            Ok(None) => {
                visitor.enter(Phase::Working);
                return None;
            }
            Ok(Some(frame)) => frame.map_err(axum::Error::new).map(|frame| frame.into_data().unwrap_or_default()),
            Err(_) => {
                visitor.shared.cut("slow body");
                Err(axum::Error::new(held.refuse(Refused::Slow)))
            }
        };
        let next = match next {
            Ok(chunk) => visitor.count(chunk, &held).await,
            Err(error) => Err(error),
        };
        if body.is_end_stream() {
            visitor.enter(Phase::Working);
        }
        let rest = next.is_ok().then_some((body, visitor, held));
        Some((next, rest))
    });
    Body::from_stream(chunks)
}

impl Visitor {
    fn enter(&self, phase: Phase) {
        self.shared.visitors().set(self.number, phase, self.shared.clock.now());
    }

    /// Takes the bytes of a chunk. If too few are left, the bodies that have been on their way longest are cut off for
    /// them, unless this one is the oldest.
    async fn count(&self, chunk: Bytes, held: &Held) -> Result<Bytes, axum::Error> {
        let (shared, bytes) = (&self.shared, u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        match self.take(bytes).await {
            Some(permit) => {
                held.add(permit);
                shared.visitors().received(self.number, chunk.len());
                shared.show_bytes();
                Ok(chunk)
            }
            None => {
                shared.cut("body bytes");
                Err(axum::Error::new(held.refuse(Refused::Full)))
            }
        }
    }

    async fn take(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        let shared = &self.shared;
        if let Ok(permit) = shared.bytes.clone().try_acquire_many_owned(bytes) {
            return Some(permit);
        }
        let give = shared.listen.limits.give;
        let _turn = timeout(give, shared.turn.lock()).await.ok()?;
        let mut coming = shared.bytes.available_permits();
        // Queued first, so that bytes that are given back come here and not to anybody who asks later.
        let mut own = pin!(shared.bytes.clone().acquire_many_owned(bytes));
        let waiting = std::future::poll_fn(|context| Poll::Ready(own.as_mut().poll(context)));
        if let Poll::Ready(permit) = waiting.await {
            return permit.ok();
        }
        while coming < bytes as usize {
            let (cut, received) = shared.visitors().longest_sending(self.number)?;
            cut.notify_one();
            shared.cut("body bytes");
            coming += received;
        }
        timeout(give, own).await.ok()?.ok()
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.shared.visitors().leave(self.number);
        self.shared.listen.metrics.connected(self.shared.listen.name, -1);
        self.shared.show_bytes();
    }
}

impl Shared {
    fn visitors(&self) -> MutexGuard<'_, Visitors<Arc<Notify>>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows how many bytes of bodies are not answered yet.
    fn show_bytes(&self) {
        // Under the lock, so that the number that is shown last is the latest.
        let _turn = self.visitors();
        let in_flight = self.listen.limits.body_bytes.saturating_sub(self.bytes.available_permits());
        self.listen.metrics.body_bytes(self.listen.name, in_flight);
    }

    /// Counts a connection or a request that was cut off, and logs that only now and then, since it may happen very
    /// often.
    fn cut(&self, cause: &'static str) {
        self.listen.metrics.cut(self.listen.name, cause);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!(listener = self.listen.name, cause, "connections are cut off; `tandem_cut` counts them");
        }
    }
}

impl Held {
    fn add(&self, permit: OwnedSemaphorePermit) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut held.permit {
            Some(all) => all.merge(permit),
            None => held.permit = Some(permit),
        }
    }

    fn refuse(&self, why: Refused) -> Refused {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(why);
        why
    }

    fn refused(&self) -> Option<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refused
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = (status, format!("{self}\n")).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        response
    }
}
