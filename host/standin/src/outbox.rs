//! The webhooks a stand-in has to say, and their delivery: by itself, late, twice, or only when the test takes them.
//! Knows nothing of what the bodies mean; headers and signatures are made by whoever emits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::http::{Sent, send};
use crate::lock;

const WORKERS: usize = 4;
/// Shopify docs: eight retries; here within seconds, not hours.
const RETRIES_MAX: u32 = 8;
const RETRY_FIRST_MS: u64 = 50;
const RETRY_LAST_MS: u64 = 1_000;
/// Shopify docs: five seconds for the whole delivery.
const DELIVERY_MS: u64 = 5_000;

/// Whether webhooks go out by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A background task starts them in the order of their emission, a few at a time, and retries what fails.
    Automatic,
    /// They wait until [`Outbox::take`] or [`Outbox::deliver`].
    Manual,
}

/// Which webhooks are lost on their way, without anybody hearing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Losing {
    #[default]
    Nothing,
    /// The next so many.
    Next(u64),
    /// All, until something else is said.
    Everything,
}

/// One webhook as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub topic: String,
    /// Complete and signed, content type included.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where it goes; `None`: to the address that the outbox is set to.
    pub url: Option<String>,
    /// Position in the order of emission, from 0.
    pub n: u64,
}

impl Webhook {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The webhooks of one stand-in; clones share them.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something may be startable.
    work: Notify,
    /// Something left, arrived or failed for good.
    change: Notify,
}

struct State {
    delivery: Delivery,
    duplicates_percent: u8,
    losing: Losing,
    lost: u64,
    url: Option<String>,
    waiting: VecDeque<Webhook>,
    failed: Vec<Webhook>,
    in_flight: usize,
    emitted: u64,
    random: fastrand::Rng,
    workers: Vec<tokio::task::AbortHandle>,
}

impl State {
    /// The first webhook that has somewhere to go.
    fn startable(&self) -> Option<usize> {
        self.waiting.iter().position(|webhook| webhook.url.is_some() || self.url.is_some())
    }
}

impl Outbox {
    /// Starts the delivery tasks; needs a Tokio runtime.
    pub(crate) fn start(delivery: Delivery, url: Option<String>, seed: u64) -> Outbox {
        let outbox = Outbox::unplugged(delivery, url, seed);
        let workers = (0..WORKERS).map(|_| tokio::spawn(outbox.clone().work()).abort_handle());
        let workers = workers.collect();
        lock(&outbox.0.state).workers = workers;
        outbox
    }

    /// One that delivers nothing by itself.
    pub(crate) fn unplugged(delivery: Delivery, url: Option<String>, seed: u64) -> Outbox {
        let state = State {
            delivery,
            duplicates_percent: 0,
            losing: Losing::Nothing,
            lost: 0,
            url,
            waiting: VecDeque::new(),
            failed: Vec::new(),
            in_flight: 0,
            emitted: 0,
            random: fastrand::Rng::with_seed(seed),
            workers: Vec::new(),
        };
        Outbox(Arc::new(Shared { state: Mutex::new(state), work: Notify::new(), change: Notify::new() }))
    }

    pub(crate) fn stop(&self) {
        let mut state = lock(&self.0.state);
        state.workers.drain(..).for_each(|worker| worker.abort());
        state.in_flight = 0;
        drop(state);
        self.0.change.notify_waiters();
    }

    pub(crate) fn set_url(&self, url: String) {
        lock(&self.0.state).url = Some(url);
        self.wake();
    }

    /// Without an address of its own a webhook goes where the outbox is set to.
    pub(crate) fn emit(&self, topic: &str, headers: Vec<(String, String)>, body: Vec<u8>, url: Option<String>) {
        let mut state = lock(&self.0.state);
        let webhook = Webhook { topic: topic.to_owned(), headers, body, url, n: state.emitted };
        state.emitted += 1;
        let is_lost = match state.losing {
            Losing::Nothing | Losing::Next(0) => false,
            Losing::Next(more) => {
                state.losing = Losing::Next(more - 1);
                true
            }
            Losing::Everything => true,
        };
        state.lost += u64::from(is_lost);
        if !is_lost {
            state.waiting.push_back(webhook);
        }
        drop(state);
        self.wake();
    }

    pub fn set_delivery(&self, delivery: Delivery) {
        lock(&self.0.state).delivery = delivery;
        self.wake();
    }

    /// How many of a hundred automatic deliveries are followed by the same one again, id and all.
    pub fn set_duplicates_percent(&self, percent: u8) {
        lock(&self.0.state).duplicates_percent = percent;
    }

    /// Loses webhooks that are said from now on; they are neither delivered nor tried again.
    pub fn lose(&self, losing: Losing) {
        lock(&self.0.state).losing = losing;
    }

    /// How many were lost so far.
    pub fn lost(&self) -> u64 {
        lock(&self.0.state).lost
    }

    /// What waits, in order of emission.
    pub fn pending(&self) -> Vec<Webhook> {
        lock(&self.0.state).waiting.iter().cloned().collect()
    }

    /// Takes all that waits.
    pub fn take(&self) -> Vec<Webhook> {
        let taken = lock(&self.0.state).waiting.drain(..).collect();
        self.0.change.notify_waiters();
        taken
    }

    /// What was given up after its last retry.
    pub fn failed(&self) -> Vec<Webhook> {
        lock(&self.0.state).failed.clone()
    }

    /// Posts one webhook now, once, whatever the delivery mode; the status of the answer.
    pub async fn deliver(&self, webhook: &Webhook) -> Result<u16, String> {
        let Some(url) = webhook.url.clone().or_else(|| lock(&self.0.state).url.clone()) else {
            return Err("no webhook address is set".to_owned());
        };
        let Webhook { headers, body, .. } = webhook;
        let sent = Sent { method: hyper::Method::POST, url: &url, headers, body: body.clone() };
        Ok(send(sent, Duration::from_millis(DELIVERY_MS)).await?.status)
    }

    /// Whether nothing waits or is in flight. What waits for want of an address does not count when delivery is automatic.
    pub fn quiet(&self) -> bool {
        let state = lock(&self.0.state);
        let idle = state.delivery == Delivery::Automatic && state.startable().is_none();
        state.in_flight == 0 && (state.waiting.is_empty() || idle)
    }

    /// Returns once it is [`quiet`](Outbox::quiet).
    pub async fn settled(&self) {
        loop {
            let changed = self.0.change.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.quiet() {
                return;
            }
            changed.await;
        }
    }

    fn wake(&self) {
        self.0.work.notify_one();
        self.0.change.notify_waiters();
    }

    async fn work(self) {
        loop {
            let Some(webhook) = self.next() else {
                self.0.work.notified().await;
                continue;
            };
            // The others may find more to do.
            self.0.work.notify_one();
            let arrived = self.insist(&webhook).await;
            let again = arrived && self.roll_duplicate();
            if again {
                let _ = self.deliver(&webhook).await;
            }
            let mut state = lock(&self.0.state);
            state.in_flight -= 1;
            if !arrived {
                state.failed.push(webhook);
            }
            drop(state);
            self.0.change.notify_waiters();
        }
    }

    fn next(&self) -> Option<Webhook> {
        let mut state = lock(&self.0.state);
        if state.delivery == Delivery::Manual {
            return None;
        }
        let at = state.startable()?;
        let webhook = state.waiting.remove(at)?;
        state.in_flight += 1;
        Some(webhook)
    }

    async fn insist(&self, webhook: &Webhook) -> bool {
        let mut delay_ms = RETRY_FIRST_MS;
        for _ in 0..=RETRIES_MAX {
            if matches!(self.deliver(webhook).await, Ok(200..=299)) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            delay_ms = (delay_ms * 2).min(RETRY_LAST_MS);
        }
        false
    }

    fn roll_duplicate(&self) -> bool {
        let mut state = lock(&self.0.state);
        let percent = state.duplicates_percent;
        state.random.u8(..100) < percent
    }
}
