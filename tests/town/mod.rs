//! A playground for stories: a clock that stands still, and webhooks delivered by hand where a story needs it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};
use tandem::config::Config;
use tandem::journal::{EventRow, RunRow};
use tandem::model::EventId;
use tandem::playground::{self, Playground};
use tandem::rules::Plugin;
use tandem_standin::{Clock, Delivery, OmneoOptions, Shopify, ShopifyOptions, Webhook};

pub const RULES: &str = "timezone = \"Australia/Melbourne\"\n";

pub struct Town {
    pub playground: Playground,
    pub clock: Clock,
    pub folder: tempfile::TempDir,
}

/// A plugin with these rules, made once for all stories of a test program.
pub async fn plugin(rules: &str) -> Plugin {
    static MADE: LazyLock<Mutex<HashMap<String, Plugin>>> = LazyLock::new(Mutex::default);
    if let Some(plugin) = MADE.lock().unwrap().get(rules) {
        return plugin.clone();
    }
    let plugin = playground::plugin(rules).await.unwrap();
    MADE.lock().unwrap().insert(rules.to_owned(), plugin.clone());
    plugin
}

impl Town {
    pub async fn new() -> Self {
        Self::with(RULES).await
    }

    pub async fn with(rules: &str) -> Self {
        // Rules compare the systems' clocks with the host's, so it starts at the real time, in whole seconds.
        let clock = Clock::fixed(tandem::clock::now() / 1000 * 1000);
        let folder = tempfile::tempdir().unwrap();
        let shopify = ShopifyOptions { clock: clock.clone(), ..ShopifyOptions::default() };
        let omneo = OmneoOptions { clock: clock.clone(), ..OmneoOptions::default() };
        let journal = folder.path().join("town.db");
        let playground = Playground::start(plugin(rules).await, &journal, shopify, omneo).await.unwrap();
        Self { playground, clock, folder }
    }

    /// The same town with another configuration of the host.
    pub async fn configured(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { playground, clock, folder } = self;
        let Playground { shopify, omneo, server, mut config, .. } = playground;
        server.stop().await.unwrap();
        change(&mut config);
        let playground = Playground::with(plugin(RULES).await, config, shopify, omneo).await.unwrap();
        Self { playground, clock, folder }
    }

    /// Ada on both sides, linked, and everything at rest. Gives her customer's and her profile's ids.
    pub async fn ada(&self) -> (u64, String) {
        let fields =
            json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev", "phone": "+61400000001"});
        let customer = self.playground.shopify.create_customer(fields).unwrap();
        self.settle().await;
        let profile = self.profiles()[0]["id"].as_str().unwrap().to_owned();
        self.clock.advance(60_000);
        (customer, profile)
    }

    pub async fn settle(&self) {
        self.playground.settle().await.unwrap();
    }

    /// From now on webhooks wait to be taken.
    pub fn by_hand(&self) {
        self.playground.shopify.outbox().set_delivery(Delivery::Manual);
        self.playground.omneo.outbox().set_delivery(Delivery::Manual);
    }

    pub fn automatic(&self) {
        self.playground.shopify.outbox().set_delivery(Delivery::Automatic);
        self.playground.omneo.outbox().set_delivery(Delivery::Automatic);
    }

    pub async fn shopify_delivers(&self, webhook: &Webhook) {
        assert_eq!(self.playground.shopify.outbox().deliver(webhook).await, Ok(200));
    }

    pub async fn omneo_delivers(&self, webhook: &Webhook) {
        assert_eq!(self.playground.omneo.outbox().deliver(webhook).await, Ok(200));
    }

    /// Waits until every event is over, whatever webhooks wait.
    pub async fn handled(&self) {
        let began = std::time::Instant::now();
        while self.playground.server.journal.read(|reader| reader.unfinished_count()).unwrap() > 0 {
            assert!(began.elapsed().as_secs() < 30, "not over: {:#?}", self.waiting());
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
    }

    fn waiting(&self) -> Vec<EventRow> {
        self.events().into_iter().filter(|event| event.outcome.is_none()).collect()
    }

    pub fn events(&self) -> Vec<EventRow> {
        self.playground.events().unwrap()
    }

    pub fn show(&self, event: EventId) -> Vec<RunRow> {
        self.playground.server.journal.read(|reader| reader.show(event)).unwrap().unwrap().1
    }

    /// Topic and outcome of each event after the first so many.
    pub fn outcomes(&self, after: usize) -> Vec<String> {
        let outcome = |event: &EventRow| {
            format!("{} {}", event.event.webhook.topic, event.outcome.as_deref().unwrap_or("waiting"))
        };
        self.events()[after..].iter().map(outcome).collect()
    }

    pub fn dead_letters(&self) -> Vec<String> {
        let dead = |event: &&EventRow| !matches!(event.outcome.as_deref(), None | Some("done" | "skipped"));
        self.events().iter().filter(dead).map(|event| event.reason.clone().unwrap_or_default()).collect()
    }

    pub fn profiles(&self) -> Vec<Value> {
        self.playground.omneo.profiles()
    }

    pub fn customer(&self, id: u64) -> Value {
        self.playground.shopify.customer(id).unwrap()
    }

    pub fn profile(&self, id: &str) -> Value {
        self.playground.omneo.profile(id).unwrap()
    }

    /// Requests that Omneo has got, as `METHOD path`, from the given one on.
    pub fn omneo_requests(&self, after: usize) -> Vec<String> {
        let requests = self.playground.omneo.requests();
        requests[after..].iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// Operations that Shopify has got, from the given one on.
    pub fn shopify_requests(&self, after: usize) -> Vec<String> {
        self.playground.shopify.requests()[after..].iter().map(|request| request.operation.clone()).collect()
    }

    pub async fn stop(self) {
        self.playground.stop().await.unwrap();
    }
}

/// The same body in another delivery: what Shopify sends when it sends again after its retries.
pub fn again(webhook: &Webhook) -> Webhook {
    let mut again = webhook.clone();
    for (name, value) in &mut again.headers {
        if name.eq_ignore_ascii_case("x-shopify-webhook-id") {
            value.push_str("-again");
        }
    }
    again
}

/// An order of one line, shipping and tax included: 19.90 in all.
pub fn order(id: u64, customer: Option<u64>, financial_status: &str) -> Value {
    json!({
        "id": id, "name": format!("#{id}"), "test": false, "currency": "AUD", "taxes_included": true,
        "financial_status": financial_status, "fulfillment_status": null, "cancelled_at": null,
        "created_at": "2026-11-02T20:00:00+11:00", "processed_at": "2026-11-02T20:00:00+11:00",
        "total_price": "19.90", "total_discounts": "0.00", "total_tax": "1.81", "source_name": "web",
        "payment_gateway_names": ["shopify_payments"], "email": "ada@lovelace.dev",
        "customer": customer.map(|id| json!({"id": id, "email": "ada@lovelace.dev", "first_name": "Ada", "last_name": "Lovelace"})),
        "line_items": [{"id": id * 10, "name": "Socks", "title": "Socks", "sku": "SOCKS", "price": "9.95", "quantity": 1,
            "variant_id": 5, "discount_allocations": [], "tax_lines": []}],
        "shipping_lines": [{"id": id * 10 + 1, "title": "Standard", "price": "9.95", "discount_allocations": [], "tax_lines": []}],
        "refunds": [],
    })
}

/// The shop's webhooks that wait, of one topic.
pub fn taken(shopify: &Shopify, topic: &str) -> Vec<Webhook> {
    shopify.outbox().take().into_iter().filter(|webhook| webhook.topic == topic).collect()
}
