//! The host's edges against somebody who means ill or is slow: senders that connect and do not send, targets that ask to wait or
//! are down.

mod desk;
mod host;
mod liar;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use desk::Desk;
use host::{Host, SECRET, hostile, shop};
use liar::{Liar, Lie, answer_of};
use reqwest::Method;
use serde_json::json;
use tandem::listen::{self, Limits, Listen};
use tandem::metrics::{Format, Metrics, Now};
use tandem::model::EventId;
use tandem::serve::Server;
use tandem_standin::{Omneo, OmneoOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

const ACME: &str = "acme";
const LONG: Duration = Duration::from_secs(60);
/// Held by tests that fill the machine, and by the one whose bodies have little time to come.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < LONG, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// A desk on a host whose one tenant has this liar as its Omneo, and these delays between attempts.
async fn beside(liar: &Liar, retry_delays_ms: Vec<u64>) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
    let mut config = host::config(folder.path(), &omneo, &[ACME]);
    config.delivery.retry_delays_ms = retry_delays_ms;
    config.tenants[0].omneo.url = liar.url();
    config.allow.push(liar.address.to_string());
    let server = Server::start_with(&config, [(ACME.to_owned(), hostile())].into()).await.unwrap();
    Desk::of(Host::of(server, config, omneo, folder))
}

/// Sends so many events, each about another thing, and waits until all their calls are in the journal.
async fn ask(host: &Host, events: usize) -> Vec<EventId> {
    let mut sent = vec![];
    for id in 0..events {
        sent.push(host.event(ACME, "ask", &format!(r#"{{"id": {id}}}"#)).await);
    }
    for event in &sent {
        let asked = async || host.show(*event).1.last().is_some_and(|run| !run.calls.is_empty());
        until("the call", asked).await;
    }
    sent
}

fn attempts(host: &Host, event: EventId) -> usize {
    host.show(event).1.iter().flat_map(|run| &run.calls).map(|call| call.attempts.len()).sum()
}

/// Slots of a tenant for calls to one target: as many requests may be under way when it asks to wait.
const SLOTS: usize = 8;
const EVENTS: usize = 60;

fn good() -> Lie {
    Lie::Bytes(answer_of("200 OK", &[], "{}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_asks_to_wait_gets_nothing_until_it_is_over() {
    let good_from = Arc::new(AtomicUsize::new(usize::MAX));
    let from = good_from.clone();
    let busy = answer_of("429 Too Many Requests", &["retry-after: 3600"], "");
    let answers = move |number| if number < from.load(Ordering::SeqCst) { Lie::Bytes(busy.clone()) } else { good() };
    let liar = Liar::start(answers).await;
    let desk = beside(&liar, vec![]).await;
    let token = desk.token("ops", None).await;
    let events = ask(&desk.host, EVENTS).await;
    let target = async || desk.ask(&token, Method::GET, "/v1/tenants/acme/targets", None).await.1[1].clone();
    until("the hold", async || !target().await["held"].is_null()).await;
    assert!(liar.requests() <= SLOTS, "{} requests", liar.requests());
    let held = target().await;
    assert_eq!((&held["held"]["cause"], &held["paused"]), (&json!("throttled"), &json!(null)), "{held}");
    assert_eq!(desk.get(&token, "/v1/tenants").await.1[0]["held"], json!(["omneo throttled"]));
    assert_eq!(held["held"]["why"], json!("answers 429"));
    let (_, metrics) = desk.ask(&token, Method::GET, "/metrics", None).await;
    let line = r#"tandem_target_held{tenant="acme",target="omneo",cause="throttled"} 1"#;
    assert!(metrics.as_str().unwrap().contains(line), "{metrics}");
    // What waits has not been tried.
    let tried: usize = events.iter().map(|event| attempts(&desk.host, *event)).sum();
    assert_eq!(tried, liar.requests());

    good_from.store(0, Ordering::SeqCst);
    let resumed = desk.ask(&token, Method::POST, "/v1/tenants/acme/targets/omneo/resume", None).await;
    assert_eq!(resumed.0, 204);
    for event in &events {
        assert_eq!(desk.host.over(*event).await.outcome.as_deref(), Some("done"));
    }
    assert_eq!(liar.requests(), tried + EVENTS);
    assert!(target().await["held"].is_null());
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_is_tried_by_one_call_at_a_time_and_the_others_wait() {
    let good_from = Arc::new(AtomicUsize::new(usize::MAX));
    let from = good_from.clone();
    let liar = Liar::start(move |number| if number < from.load(Ordering::SeqCst) { Lie::Deaf } else { good() }).await;
    // Who has been tried waits for longer than this test.
    let desk = beside(&liar, vec![3_600_000; 3]).await;
    let token = desk.token("ops", None).await;
    let events = ask(&desk.host, EVENTS).await;
    let target = async || desk.ask(&token, Method::GET, "/v1/tenants/acme/targets", None).await.1[1].clone();
    until("the hold", async || target().await["held"]["cause"] == json!("down")).await;
    // And a try or two may have been made since.
    assert!(liar.requests() <= 5 + SLOTS + 5, "{} requests", liar.requests());
    good_from.store(0, Ordering::SeqCst);
    // The next try finds out by itself.
    until("the end of it", async || target().await["held"].is_null()).await;
    let tried = |event: &&EventId| attempts(&desk.host, **event) > 0;
    until("all to be tried", async || events.iter().filter(tried).count() == EVENTS).await;
    let waits = |event: &&EventId| desk.host.row(**event).outcome.is_none();
    until("the others", async || events.iter().filter(waits).count() <= 5 + SLOTS + 5).await;
    assert!(events.iter().any(|event| waits(&event)), "nobody was tried in vain");
    // Those that were tried in vain wait by the schedule, and an operator may have them go on.
    desk.ask(&token, Method::POST, "/v1/tenants/acme/targets/omneo/resume", None).await;
    for event in &events {
        assert_eq!(desk.host.over(*event).await.outcome.as_deref(), Some("done"));
        assert!(attempts(&desk.host, *event) <= 2);
    }
    desk.host.stop().await;
}

/// A listener of its own, with what it counts.
struct Door {
    address: std::net::SocketAddr,
    metrics: Metrics,
    _stop: oneshot::Sender<()>,
}

const LIMITS: Limits = Limits { connections: 64, body_bytes: 1 << 20, head: LONG, body: LONG, stall: LONG, give: LONG };
const ANSWER_BYTES: usize = 64 << 20;

/// Reads a body and never lets go of its bytes, whatever becomes of its sender.
async fn keep(request: axum::extract::Request) -> &'static str {
    std::mem::forget(request.extensions().get::<listen::Held>().cloned());
    let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    "kept"
}

impl Door {
    async fn open(limits: Limits) -> Self {
        let router = Router::new()
            .route("/echo", post(async |body: Bytes| format!("{} bytes", body.len())))
            .route("/keep", post(keep))
            .route("/long", get(async || vec![b'a'; ANSWER_BYTES]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, metrics) = (listener.local_addr().unwrap(), Metrics::default());
        let listen = Listen { name: "door", limits, metrics: metrics.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listen::serve(listener, router, listen, async { drop(stopped.await) }));
        Self { address, metrics, _stop: stop }
    }

    async fn connect(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    /// What is shown of a series.
    fn shown(&self, series: &str) -> usize {
        let text = self.metrics.text(&Now::default(), Format::OpenMetrics);
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or_default()
    }

    fn cut(&self, cause: &str) -> usize {
        self.shown(&format!(r#"tandem_cut_total{{listener="door",cause="{cause}"}}"#))
    }

    fn in_flight(&self) -> usize {
        self.shown(r#"tandem_body_in_flight_bytes{listener="door"}"#)
    }
}

/// Everything that comes until the connection is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = vec![];
    // A reset is an end, too.
    let _ = timeout(LONG, stream.read_to_end(&mut text)).await.expect("it should be closed");
    String::from_utf8_lossy(&text).into_owned()
}

fn echo(length: usize, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_no_head_is_cut_off() {
    let door = Door::open(Limits { head: SHORT, ..LIMITS }).await;
    let answered = "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n";
    for half in ["", "POST", "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-le", answered] {
        let mut stream = door.connect(half).await;
        let said = rest(&mut stream).await;
        assert!(said.is_empty() || half == answered && said.starts_with("HTTP/1.1 404 "), "{half}: {said}");
    }
    until("the count", async || door.cut("silent") == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_half_a_body_is_told_and_cut_off() {
    let door = Door::open(Limits { body: SHORT, ..LIMITS }).await;
    let mut stream = door.connect(echo(9, "abc")).await;
    let said = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.ends_with("the body did not arrive in time\n"), "{said}");
    assert_eq!(door.cut("slow body"), 1);
    until("its bytes", async || door.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off() {
    let door = Door::open(Limits { stall: SHORT, ..LIMITS }).await;
    let _stream = door.connect("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the end", async || door.cut("not reading") == 1).await;
    // Somebody who reads gets all of it, however slow both are.
    let door = Door::open(LIMITS).await;
    let mut reads = door.connect("GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(rest(&mut reads).await.len() > ANSWER_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_gets_the_place_of_who_dawdles() {
    let door = Door::open(LIMITS).await;
    let mut silent = vec![];
    for n in 0..300 {
        silent.push(door.connect(if n % 2 == 0 { "" } else { "POST /echo HTTP/1.1\r\nhost" }).await);
    }
    let mut honest = door.connect(echo(3, "abc")).await;
    assert!(rest(&mut honest).await.ends_with("3 bytes"));
    let open = door.shown(r#"tandem_connections{listener="door"}"#);
    assert!(open <= LIMITS.connections, "{open} connections");
    until("the count", async || door.cut("crowded") >= 300 - LIMITS.connections).await;
    // The oldest were closed.
    assert_eq!(rest(&mut silent[0]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_end_give_way_to_one_that_does() {
    let _alone = ALONE.lock().await;
    let door = Door::open(LIMITS).await;
    let (length, most) = (300 << 10, LIMITS.body_bytes);
    // Of the oldest nothing has come that could be given back.
    let _silent = [door.connect(echo(length, "")).await, door.connect(echo(length, "")).await];
    let mut stalled = vec![];
    for n in 0..10 {
        stalled.push(door.connect(echo(length, &"a".repeat(length - 1))).await);
        // One is cut off for each that finds no room.
        let stay = (n + 1).min(3);
        let came = async || door.in_flight() == (length - 1) * stay && door.cut("body bytes") == n + 1 - stay;
        until("it to arrive", came).await;
        assert!(door.in_flight() <= most, "{} bytes", door.in_flight());
    }
    let mut honest = door.connect(echo(length, &"a".repeat(length))).await;
    assert!(rest(&mut honest).await.ends_with(&format!("{length} bytes")));
    assert_eq!(door.cut("body bytes"), 8);
    // Where there is nobody else to cut off, one that does not fit is told so.
    drop(stalled);
    until("room", async || door.in_flight() == 0).await;
    let door = Door::open(Limits { body_bytes: 1_000, ..LIMITS }).await;
    let mut long = door.connect(echo(length, &"a".repeat(length))).await;
    let said = rest(&mut long).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 5"), "{said}");
    assert_eq!(door.cut("body bytes"), 1);
    let mut short = door.connect(echo(3, "abc")).await;
    assert!(rest(&mut short).await.ends_with("3 bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_bytes_that_nobody_gives_is_told_to_come_again() {
    let door = Door::open(Limits { give: SHORT, body_bytes: 1_000, ..LIMITS }).await;
    let _kept = door.connect(echo(1_000, &"a".repeat(900)).replace("/echo", "/keep")).await;
    until("it to arrive", async || door.in_flight() == 900).await;
    let mut next = door.connect(echo(200, &"a".repeat(200))).await;
    let said = rest(&mut next).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 5"), "{said}");
    // The one that was cut off, and the one that was refused.
    assert_eq!(door.cut("body bytes"), 2);
}

/// What is not signed, or by nobody who is known, has nothing of its body read.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_of_a_body_that_cannot_be_right() {
    let host = Host::start([(ACME.to_owned(), hostile())]).await;
    let (shop, fits) = (shop(ACME), tandem_standin::sign_shopify(SECRET, b"{}"));
    let good = [("x-shopify-shop-domain", shop.as_str()), ("x-shopify-hmac-sha256", &*fits)];
    let omneo = tandem_standin::sign_omneo(SECRET, b"{}");
    let table = [
        ("/webhooks/shopify", vec![good[0]], "401"),
        ("/webhooks/shopify", vec![good[0], ("x-shopify-hmac-sha256", "bm8=")], "401"),
        ("/webhooks/shopify", vec![good[0], ("x-shopify-hmac-sha256", "?")], "401"),
        ("/webhooks/shopify", vec![good[1]], "404"),
        ("/webhooks/shopify", vec![("x-shopify-shop-domain", "zeta.myshopify.com"), good[1]], "404"),
        ("/webhooks/omneo/acme", vec![], "401"),
        ("/webhooks/omneo/acme", vec![("x-omneo-hmac-sha256", "00")], "401"),
        ("/webhooks/omneo/zeta", vec![("x-omneo-hmac-sha256", &omneo)], "404"),
        ("/elsewhere", vec![], "404"),
    ];
    for (path, headers, status) in table {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = TcpStream::connect(host.server.address).await.unwrap();
        // Of its body nothing comes, ever.
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {said}");
    }
    host.stop().await;
}

/// A host in a process of its own, with so many descriptors.
#[cfg(unix)]
struct Served {
    process: std::process::Child,
    webhooks: SocketAddr,
    admin: SocketAddr,
    _folder: tempfile::TempDir,
}

#[cfg(unix)]
impl Served {
    async fn with(descriptors: usize) -> Self {
        use std::process::{Command, Stdio};

        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let own = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: own.maximum, ..own }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<_> = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = ports.into_iter().map(|listener| listener.local_addr().unwrap()).collect();
        let (webhooks, admin) = (ports[0], ports[1]);
        let peer = |url: &str| format!(r#"{{ url = "https://{url}", token = "t", webhook_secrets = ["{SECRET}"] }}"#);
        let config = format!(
            "listen = \"{webhooks}\"\n[admin]\nlisten = \"{admin}\"\n[tenants.acme]\nshop = \"{}\"\nrules = \"acme.toml\"\n\
             shopify = {}\nomneo = {}\n",
            shop(ACME),
            peer("acme.invalid"),
            peer("acme.invalid/api/v3")
        );
        std::fs::write(folder.path().join("tandem.toml"), config).unwrap();
        std::fs::write(folder.path().join("acme.toml"), "timezone = \"UTC\"\n").unwrap();
        let process = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" serve"), env!("CARGO_BIN_EXE_tandem")])
            .current_dir(folder.path())
            .env("TANDEM_LOG", "off")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("it to listen", async || TcpStream::connect(admin).await.is_ok()).await;
        Self { process, webhooks, admin, _folder: folder }
    }

    /// The whole of a webhook that is signed and has no tenant's rules to go to.
    fn webhook() -> String {
        let body = r#"{"id": 1}"#;
        let signature = tandem_standin::sign_shopify(SECRET, body.as_bytes());
        format!(
            "POST /webhooks/shopify HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\
             x-shopify-shop-domain: {}\r\nx-shopify-topic: carts/update\r\nx-shopify-hmac-sha256: {signature}\r\n\r\n{body}",
            body.len(),
            shop(ACME)
        )
    }

    /// Fails unless somebody who sends this is served.
    async fn serves(&self, address: SocketAddr, request: &str) {
        let mut stream = timeout(LONG, TcpStream::connect(address)).await.unwrap().unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{address}: {said}");
    }

    /// The most memory that the process has had, in MiB.
    #[cfg(target_os = "linux")]
    fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }
}

#[cfg(unix)]
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process with few descriptors, more silent connections than those, and somebody who sends: on both listeners.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_use_up_the_descriptors() {
    const SILENT: usize = 1_500;
    let _alone = ALONE.lock().await;
    let served = Served::with(128).await;
    let mut silent = vec![];
    for n in 0..SILENT {
        let address = if n % 3 == 0 { served.admin } else { served.webhooks };
        // The queue may be full for a moment.
        if let Ok(Ok(stream)) = timeout(Duration::from_secs(5), TcpStream::connect(address)).await {
            silent.push(stream);
        }
    }
    assert!(silent.len() > SILENT / 2, "{} connected", silent.len());
    served.serves(served.webhooks, &Served::webhook()).await;
    served.serves(served.admin, "GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
}

/// Hundreds of bodies of 1.9 MB whose signatures could be right, each without its last byte: as many stay in memory as the
/// listener's bytes allow, and somebody who sends is served.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_take_no_more_memory_than_is_set_aside_for_them() {
    const BODIES: usize = 150;
    /// What the listener allows, and as much again for what a host has besides.
    const GROWTH_MIB_MAX: u64 = 128;
    let _alone = ALONE.lock().await;
    let served = Served::with(1_024).await;
    served.serves(served.webhooks, &Served::webhook()).await;
    let before = served.memory_mib();
    let (body, signature) = ("a".repeat(1_900_000), tandem_standin::sign_shopify("another secret", b"{}"));
    let head = format!(
        "POST /webhooks/shopify HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nx-shopify-shop-domain: {}\r\n\
         x-shopify-topic: carts/update\r\nx-shopify-hmac-sha256: {signature}\r\n\r\n",
        body.len() + 1,
        shop(ACME)
    );
    let request: std::sync::Arc<[u8]> = [head.as_bytes(), body.as_bytes()].concat().into();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..BODIES {
        let (request, address) = (request.clone(), served.webhooks);
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await.ok()?;
            // Whoever is cut off on the way has sent enough.
            let _ = timeout(LONG, stream.write_all(&request)).await;
            Some(stream)
        });
    }
    let streams = senders.join_all().await;
    assert!(streams.iter().flatten().count() > BODIES / 2);
    served.serves(served.webhooks, &Served::webhook()).await;
    let growth = served.memory_mib() - before;
    assert!(growth < GROWTH_MIB_MAX, "{growth} MiB for {BODIES} bodies");
}
