//! A day in a shop, against the stand-ins: what happens, what Tandem does about it, and whether both sides agree.
//!
//! Knows the story only; the host in it is the real one.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tandem_standin::{Fault, Past, Rule, live_through};

use crate::clock;
use crate::config;
use crate::events;
use crate::imports::Wanted;
use crate::journal::{EventRow, Filter, Reading};
use crate::model::EventId;
use crate::output::{noteln, out, outln};
use crate::paint::Paint;
use crate::playground::{Playground, TENANT};
use crate::serve::stop_signal;

mod agree;
mod install;
mod open;

/// How long the import of so little may take.
const IMPORTED_MAX: Duration = Duration::from_secs(60);
const RULES: &str = "timezone = \"Australia/Melbourne\"\n\n[tags]\nwhitelist = [\"vip\"]\n";

/// Plays the day; fails if an event became a dead letter or the two sides differ in the end.
pub async fn run(keep: bool, rules: Option<&Path>) -> anyhow::Result<()> {
    let paint = Paint::for_stdout(config::no_color());
    let folder = tempfile::tempdir().context("making a temporary folder for the journal")?;
    let journal = folder.path().join("demo.db");
    let playground = Playground::before_installation(&journal).await?;
    outln!("{}", paint.bold("A day in a shop"))?;
    outln!(
        "host http://{}, Shopify {}, Omneo {}",
        playground.server.address,
        playground.shopify.url(),
        playground.omneo.url()
    )?;
    live_through(&playground.shopify, &playground.omneo, &past());
    install::installed(&playground, paint).await?;
    install::configured(&playground, rules, RULES, paint).await?;
    let mut day = Day { playground, paint, shown: EventId(0), dead_letters: vec![] };
    let played = day.whole().await;
    if keep {
        // Rules of somebody's own may do otherwise than the story has it, and that is what a playground is for.
        if let Err(error) = &played {
            noteln!("{error:#}");
        }
        out!("{}", open::exports(&day.playground, folder.path()).await?)?;
        stop_signal().await?;
        return day.playground.stop().await;
    }
    day.playground.stop().await?;
    played
}

/// What the shop and Omneo have before they know of each other: some people are on both sides, and others on one.
fn past() -> Past {
    let day_ms = 24 * 3_600_000;
    let until_ms = clock::now() - day_ms;
    // Of a hundred people in a row the first ones are on both sides.
    Past { people: 5, products: 2, linked: 0, shared: 2, ..Past::between(until_ms - 365 * day_ms, until_ms) }
}

struct Day {
    playground: Playground,
    paint: Paint,
    /// The last event that was printed.
    shown: EventId,
    dead_letters: Vec<String>,
}

impl Day {
    /// To its end, with what both sides hold then.
    async fn whole(&mut self) -> anyhow::Result<()> {
        self.play().await?;
        let differences = agree::differences(&self.playground);
        outln!("\n{}\n", self.paint.bold("In the end"))?;
        out!("{}", agree::side_by_side(&self.playground, self.paint))?;
        self.verdict(&differences)
    }

    async fn play(&mut self) -> anyhow::Result<()> {
        self.heading("The shop has a past, which nobody has told Tandem of: it is imported")?;
        self.import().await?;
        let (shopify, omneo) = (self.playground.shopify.clone(), self.playground.omneo.clone());
        let edited = |result: Result<(), Vec<String>>| result.map_err(|errors| anyhow::anyhow!(errors.join(", ")));

        self.heading("Ada signs up in the shop")?;
        let ada = shopify
            .create_customer(json!({"first_name": "Ada", "last_name": "McDonald", "email": "ada@lovelace.dev"}))
            .map_err(|errors| anyhow::anyhow!(errors.join(", ")))?;
        self.settle().await?;

        self.heading("She adds her phone, subscribes to the newsletter, and staff tag her")?;
        edited(shopify.update_customer(ada, json!({"phone": "+61491570006"})))?;
        edited(shopify.set_email_consent(ada, "subscribed", None))?;
        edited(shopify.add_tags(ada, &["vip", "internal"]))?;
        self.settle().await?;

        self.heading("She orders: not paid yet, then paid; one delivery comes twice")?;
        shopify.send_order("orders/create", order(1001, ada, "pending"));
        self.settle().await?;
        shopify.outbox().set_duplicates_percent(100);
        shopify.send_order("orders/paid", order(1001, ada, "paid"));
        self.settle().await?;
        shopify.outbox().set_duplicates_percent(0);

        self.heading("A guest orders and pays; another order is paid and then cancelled")?;
        shopify.send_order("orders/paid", guest_order(1002));
        shopify.send_order("orders/paid", order(1003, ada, "paid"));
        self.settle().await?;
        let mut cancelled = order(1003, ada, "refunded");
        cancelled["cancelled_at"] = json!(later());
        cancelled["updated_at"] = json!(later());
        shopify.send_order("orders/cancelled", cancelled);
        self.settle().await?;

        self.heading("A product changes")?;
        shopify.send_product("products/update", product());
        self.settle().await?;

        self.heading("In Omneo: Ada reaches gold and is renamed, and Grace joins in a store")?;
        let profile = self.profile_of(ada)?;
        let omneo_edit = |result: Result<(), Value>| result.map_err(|errors| anyhow::anyhow!("{errors}"));
        omneo_edit(omneo.set_tags(&profile, &["vip", "gold"]))?;
        self.settle().await?;
        // Clocks of both systems count whole seconds: an edit within the second of the last one would be a tie.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        omneo_edit(omneo.update_profile(&profile, json!({"last_name": "Lovelace"})))?;
        omneo
            .create_profile(json!({"first_name": "Grace", "last_name": "Hopper", "email": "grace@hopper.dev", "mobile_phone": "+61491570110"}))
            .map_err(|errors| anyhow::anyhow!("{errors}"))?;
        self.settle().await?;

        self.heading("Omneo is down for a while, and Ada changes her address meanwhile")?;
        omneo.faults().add(Rule::any().times(4), Fault::Status(503));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        edited(shopify.update_customer(ada, json!({"email": "ada@analytical.dev", "first_name": "Augusta Ada"})))?;
        self.settle().await
    }

    async fn import(&mut self) -> anyhow::Result<()> {
        let server = &self.playground.server;
        let pulls = ["products", "profiles", "customers"].map(str::to_owned).to_vec();
        let wanted = Wanted { pulls, agreed: true, ..Wanted::default() };
        let begun = server.imports.begin(TENANT, wanted, "the demo").await?;
        let began = Instant::now();
        let import = loop {
            let imports = server.journal.read(|reader| reader.imports(TENANT))?;
            let import = imports.into_iter().find(|import| import.id == begun.id).context("the import is gone")?;
            if !import.state.is_open() {
                break import;
            }
            if began.elapsed() > IMPORTED_MAX {
                bail!("the import does not come to its end: {}", import.why);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        for reading in &import.readings {
            let Reading { pull, items, in_step, .. } = reading;
            outln!("{items} {pull} are read, {in_step} of them in step")?;
        }
        self.settle().await
    }

    fn heading(&self, text: &str) -> anyhow::Result<()> {
        outln!("\n{}", self.paint.bold(text))
    }

    /// Waits until everything is over, and prints the events since the last time.
    async fn settle(&mut self) -> anyhow::Result<()> {
        self.playground.settle().await?;
        let filter = Filter { after: Some(self.shown), limit: usize::MAX, ..Filter::default() };
        for event in self.playground.server.journal.read(|reader| reader.events(&filter))? {
            outln!("{}", events::line(&(&event).into(), self.paint))?;
            self.note(&event);
        }
        Ok(())
    }

    fn note(&mut self, event: &EventRow) {
        self.shown = event.event.id;
        if !matches!(event.outcome.as_deref(), Some("done" | "skipped")) {
            self.dead_letters.push(format!(
                "event {}: {}",
                event.event.id,
                event.reason.as_deref().unwrap_or_default()
            ));
        }
    }

    fn profile_of(&self, customer: u64) -> anyhow::Result<String> {
        let profile = agree::profile_of(&self.playground, customer);
        profile.and_then(|profile| profile["id"].as_str().map(str::to_owned)).context("the customer has no profile")
    }

    fn verdict(&self, differences: &[String]) -> anyhow::Result<()> {
        let events = self.playground.events()?.len();
        let calls = self.playground.shopify.requests().len() + self.playground.omneo.requests().len();
        if differences.is_empty() && self.dead_letters.is_empty() {
            outln!("\n{} {events} events, {calls} requests", self.paint.green("Both sides agree."))?;
            return Ok(());
        }
        for problem in differences.iter().chain(&self.dead_letters) {
            outln!("{} {problem}", self.paint.red("✗"))?;
        }
        bail!("the two sides do not agree in the end")
    }
}

/// An order of two items with tax, a discount and shipping: 59.95 + 20.00 - 5.00 + 9.95 = 84.90.
fn order(number: u64, customer: u64, financial_status: &str) -> Value {
    let line = |id: u64, sku: &str, price: &str, quantity: u32, discount: &str| {
        json!({
            "id": id, "name": sku, "title": sku, "sku": sku, "price": price, "quantity": quantity, "variant_id": id + 1,
            "discount_allocations": [{"amount": discount, "discount_application_index": 0}],
            "tax_lines": [], "gift_card": false,
        })
    };
    json!({
        "id": 5_500_000_000_000_u64 + number, "name": format!("#{number}"), "order_number": number, "test": false,
        "email": "ada@lovelace.dev", "currency": "AUD", "taxes_included": true, "financial_status": financial_status,
        "fulfillment_status": null, "cancelled_at": null, "created_at": now(), "processed_at": now(), "updated_at": now(),
        "total_price": "84.90", "total_discounts": "5.00", "total_tax": "7.72", "source_name": "web",
        "payment_gateway_names": ["shopify_payments"],
        "customer": {"id": customer, "email": "ada@lovelace.dev", "first_name": "Ada", "last_name": "McDonald"},
        "line_items": [line(number * 10, "DRESS-M", "59.95", 1, "0.00"), line(number * 10 + 2, "SOCKS", "10.00", 2, "5.00")],
        "shipping_lines": [{"id": number * 10 + 5, "title": "Standard", "price": "9.95", "discount_allocations": [], "tax_lines": []}],
        "refunds": [],
    })
}

fn guest_order(number: u64) -> Value {
    let mut order = order(number, 0, "paid");
    order["customer"] = Value::Null;
    order["email"] = json!("guest@passing.dev");
    order
}

fn product() -> Value {
    json!({
        "id": 7_700_000_000_001_u64, "title": "Dress", "handle": "dress", "vendor": "Acme", "body_html": "<p>Blue.</p>",
        "status": "active", "tags": "new", "published_at": now(), "updated_at": now(), "images": [], "options": [{"name": "Size"}],
        "variants": [
            {"id": 11, "sku": "DRESS-M", "title": "M", "price": "59.95", "position": 1, "option1": "M"},
            {"id": 12, "sku": "", "title": "L", "price": "59.95", "position": 2, "option1": "L"},
        ],
    })
}

fn now() -> String {
    crate::clock::rfc3339(crate::clock::now())
}

fn later() -> String {
    crate::clock::rfc3339(crate::clock::now() + 1_000)
}
