//! Who sends: honest senders, who repeat a webhook until it is acknowledged, and clients that dawdle.
//!
//! Knows what a sender of webhooks knows; not what the host does with them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tandem_standin::sign_shopify;

use super::http;
use super::life::Life;

pub const TENANTS: [&str; 2] = ["acme", "bravo"];
pub const SECRET: &str = "a-secret";
/// Webhooks under way at a time.
const SENDERS: usize = 4;
/// Entities of each tenant that webhooks are about.
const ENTITIES: usize = 6;

pub fn shop(tenant: &str) -> String {
    format!("{tenant}.myshopify.com")
}

/// What became of a webhook, as far as its sender knows.
#[derive(Clone, Debug)]
pub struct Sent {
    pub nth: u64,
    pub tenant: &'static str,
    pub entity: usize,
    /// The event that it was acknowledged as; more than one, if the answers differ.
    pub events: Vec<u64>,
    /// Answers that were neither 200 nor a wish to have it sent again.
    pub refusals: Vec<String>,
}

/// Senders of one life, at work.
pub struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    life: Life,
    next: AtomicUsize,
    is_over: AtomicBool,
    /// Where webhooks go now, while somebody listens there.
    address: Arc<Mutex<Option<SocketAddr>>>,
    sent: Mutex<Vec<Sent>>,
    acknowledged: AtomicUsize,
}

impl Senders {
    pub fn start(life: &Life, address: Arc<Mutex<Option<SocketAddr>>>) -> Self {
        let shared = Arc::new(Shared {
            life: life.clone(),
            next: AtomicUsize::default(),
            is_over: AtomicBool::default(),
            address,
            sent: Mutex::default(),
            acknowledged: AtomicUsize::default(),
        });
        let threads = (0..SENDERS).map(|_| {
            thread::spawn({
                let shared = shared.clone();
                move || shared.send_all()
            })
        });
        Self { threads: threads.collect(), shared }
    }

    /// How many webhooks were begun with.
    pub fn begun(&self) -> usize {
        self.shared.next.load(Ordering::Relaxed).min(self.shared.life.webhooks)
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    pub fn are_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Has nobody send anything more; gives what was sent.
    pub fn end(self) -> Vec<Sent> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut *self.shared.sent.lock().unwrap())
    }
}

impl Shared {
    fn send_all(&self) {
        loop {
            let nth = self.next.fetch_add(1, Ordering::Relaxed) as u64;
            if nth >= self.life.webhooks as u64 {
                return;
            }
            let mut random = fastrand::Rng::with_seed(self.life.seed.wrapping_mul(1_000_003).wrapping_add(nth));
            let sent = self.send(nth, &mut random);
            self.acknowledged.fetch_add(usize::from(!sent.events.is_empty()), Ordering::Relaxed);
            self.sent.lock().unwrap().push(sent);
            thread::sleep(Duration::from_micros(random.u64(..4_000)));
        }
    }

    /// Sends one webhook until it is acknowledged; now and then once more, as a sender does who missed that.
    fn send(&self, nth: u64, random: &mut fastrand::Rng) -> Sent {
        let (tenant, entity) = (TENANTS[random.usize(..TENANTS.len())], random.usize(..ENTITIES));
        let request = webhook(nth, tenant, entity, random.usize(..300));
        let mut sent = Sent { nth, tenant, entity, events: vec![], refusals: vec![] };
        let mut copies = if random.u8(..8) == 0 { 2 } else { 1 };
        while copies > 0 && !self.is_over.load(Ordering::Relaxed) {
            let address = *self.address.lock().unwrap();
            let answer = address.and_then(|address| http::ask(address, &request).ok());
            match answer {
                Some((200, text)) => {
                    let event = text.trim().rsplit(' ').next().and_then(|number| number.parse().ok());
                    match event {
                        Some(event) if !sent.events.contains(&event) => sent.events.push(event),
                        Some(_) => {}
                        None => sent.refusals.push(format!("200 {text}")),
                    }
                    copies -= 1;
                    continue;
                }
                // It wants to have it again, later.
                Some((408 | 429 | 503, _)) | None => {}
                Some((status, text)) if sent.refusals.len() < 3 => sent.refusals.push(format!("{status} {text}")),
                Some(_) => {}
            }
            thread::sleep(Duration::from_millis(random.u64(5..40)));
        }
        sent
    }
}

/// A signed webhook of Shopify's.
fn webhook(nth: u64, tenant: &str, entity: usize, padding: usize) -> String {
    let body = format!(r#"{{"id":{},"nth":{nth},"padding":"{}"}}"#, entity + 1, "é".repeat(padding));
    let (signature, shop, id) = (sign_shopify(SECRET, body.as_bytes()), shop(tenant), format!("delivery-{nth}"));
    let headers = [
        ("x-shopify-shop-domain", &*shop),
        ("x-shopify-hmac-sha256", &signature),
        ("x-shopify-topic", "effects"),
        ("x-shopify-webhook-id", &id),
    ];
    http::request("POST", "/webhooks/shopify", &headers, &body)
}

/// Clients that hold connections and do not get on with it, so many of each kind. They go when this is dropped.
pub fn dawdlers(to: SocketAddr, each: usize) -> Vec<TcpStream> {
    let whole = webhook(u64::MAX, TENANTS[0], 0, 20_000);
    let head = whole.find("\r\n\r\n").unwrap_or_default();
    // Nothing at all, half a head, half a body, bodies that nobody has signed, and questions whose answers nobody reads.
    let unsigned = http::request("POST", "/webhooks/shopify", &[], &"a".repeat(1_900_000));
    let unread = "GET /nowhere HTTP/1.1\r\nhost: tandem\r\n\r\n".repeat(3_000);
    let beginnings = ["", &whole[..head / 2], &whole[..head + 20_000], &unsigned[..200_000], &unread];
    let mut streams = vec![];
    for beginning in beginnings {
        for _ in 0..each {
            // Who is turned away has gone.
            let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { continue };
            let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
            let _ = stream.write_all(beginning.as_bytes());
            streams.push(stream);
        }
    }
    streams
}
