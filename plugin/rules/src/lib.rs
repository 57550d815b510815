//! Tandem's default rules: what must change on the other side after an event of Shopify or Omneo.
//!
//! Pure: they know the data of both systems, and nothing of tenants, addresses, credentials or the clock.

mod clock;
mod customer;
mod fingerprint;
mod key;
mod location;
mod mapping;
mod missing;
mod node;
mod order;
mod person;
mod problems;
mod product;
mod pulled;
mod pulls;
mod seen;
mod settings;

use tandem_sdk::{
    Answer, Ask, Cx, Ending, Entity, Event, Manifest, Page, Problem, Pull, Reading, Rules, Value, json, skipped,
};

use seen::Seen;
use settings::{OnProfileMerge, Settings};

/// The version of Shopify's Admin API that every GraphQL document here is written for.
const SHOPIFY_API_VERSION: &str = "2026-07";

/// The rules, with the settings they were configured with.
#[derive(Clone, Debug)]
pub struct DefaultRules {
    settings: Settings,
    /// The rules file as given, for the manifest.
    given: Value,
}

/// What a topic is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Person,
    Order,
    Refund,
    /// Part of an order that the order's own body carries too, so nothing is done about the event.
    PartOfOrder,
    Product,
    Location,
}

/// The topic of an erasure. The host redacts the data that it holds itself.
const REDACT: &str = "customers/redact";

/// Every topic that is mapped.
const TOPICS: &[(&str, &str, Subject)] = &[
    ("shopify", "customers/create", Subject::Person),
    ("shopify", "customers/update", Subject::Person),
    ("shopify", "customers/enable", Subject::Person),
    ("shopify", "customers/disable", Subject::Person),
    ("shopify", "customers/delete", Subject::Person),
    ("shopify", "customers/merge", Subject::Person),
    ("shopify", REDACT, Subject::Person),
    ("shopify", "customer.tags_added", Subject::Person),
    ("shopify", "customer.tags_removed", Subject::Person),
    ("shopify", "customers_email_marketing_consent/update", Subject::Person),
    ("shopify", "customers_marketing_consent/update", Subject::Person),
    ("shopify", "orders/create", Subject::Order),
    ("shopify", "orders/updated", Subject::Order),
    ("shopify", "orders/paid", Subject::Order),
    ("shopify", "orders/fulfilled", Subject::Order),
    ("shopify", "orders/partially_fulfilled", Subject::Order),
    ("shopify", "orders/cancelled", Subject::Order),
    ("shopify", "orders/delete", Subject::Order),
    ("shopify", "refunds/create", Subject::Refund),
    ("shopify", "orders/edited", Subject::PartOfOrder),
    ("shopify", "order_transactions/create", Subject::PartOfOrder),
    ("shopify", "fulfillments/create", Subject::PartOfOrder),
    ("shopify", "fulfillments/update", Subject::PartOfOrder),
    ("shopify", "returns/request", Subject::PartOfOrder),
    ("shopify", "returns/approve", Subject::PartOfOrder),
    ("shopify", "returns/decline", Subject::PartOfOrder),
    ("shopify", "returns/cancel", Subject::PartOfOrder),
    ("shopify", "returns/process", Subject::PartOfOrder),
    ("shopify", "returns/close", Subject::PartOfOrder),
    ("shopify", "returns/reopen", Subject::PartOfOrder),
    ("shopify", "returns/update", Subject::PartOfOrder),
    ("shopify", "locations/create", Subject::Location),
    ("shopify", "locations/update", Subject::Location),
    ("shopify", "locations/activate", Subject::Location),
    ("shopify", "locations/deactivate", Subject::Location),
    ("shopify", "locations/delete", Subject::Location),
    ("shopify", "products/create", Subject::Product),
    ("shopify", "products/update", Subject::Product),
    ("shopify", "products/delete", Subject::Product),
    ("omneo", "profile.created", Subject::Person),
    ("omneo", "profile.updated", Subject::Person),
    ("omneo", "profile.merged", Subject::Person),
    ("omneo", "profile.deleted", Subject::Person),
    ("omneo", "profile-attribute.updated", Subject::Person),
    ("omneo", "identity.created", Subject::Person),
    ("omneo", "balance.updated", Subject::Person),
    ("omneo", "benefit.created", Subject::Person),
    ("omneo", "benefit.deleted", Subject::Person),
    ("omneo", "benefit.updated", Subject::Person),
    ("omneo", "point.created", Subject::Person),
    ("omneo", "point.deleted", Subject::Person),
    ("omneo", "point.updated", Subject::Person),
    ("omneo", "reward.created", Subject::Person),
    ("omneo", "reward.deleted", Subject::Person),
    ("omneo", "reward.updated", Subject::Person),
    ("omneo", "tier.achieved", Subject::Person),
    ("omneo", "tier.lost", Subject::Person),
    ("omneo", "tier.maintained", Subject::Person),
    ("omneo", "tier.progressed", Subject::Person),
    ("omneo", "profile.address.created", Subject::Person),
    ("omneo", "profile.address.updated", Subject::Person),
    ("omneo", "profile.address.deleted", Subject::Person),
    // Items of pulls. An order, a product and a location are written as a webhook's body before anything else is done.
    ("shopify", "pull/locations", Subject::Location),
    ("shopify", "pull/products", Subject::Product),
    ("shopify", "pull/orders", Subject::Order),
    ("shopify", "pull/customers", Subject::Person),
    ("omneo", "pull/profiles", Subject::Person),
    // The host's own event: a person is to be looked at although neither side has sent anything.
    ("tandem", "resync", Subject::Person),
];

impl Default for DefaultRules {
    fn default() -> Self {
        Self { settings: Settings::default(), given: json!({}) }
    }
}

impl Rules for DefaultRules {
    fn describe(&self) -> Manifest {
        let mut of_shopify =
            vec!["read_customers", "write_customers", "read_orders", "read_products", "read_locations"];
        if self.settings.people.on_profile_merge == OnProfileMerge::Merge {
            of_shopify.push("write_customer_merge");
        }
        let mut manifest = Manifest::new("tandem-default", env!("CARGO_PKG_VERSION"))
            .target(
                "omneo",
                "",
                [
                    "read-profiles",
                    "create-profiles",
                    "update-profiles",
                    "delete-profiles",
                    "read-identities",
                    "read-orders",
                    "create-orders",
                    "update-orders",
                    "delete-orders",
                    "read-transactions",
                    "create-transactions",
                    "update-transactions",
                    "create-products",
                    "update-products",
                    "read-locations",
                    "create-locations",
                    "update-locations",
                    "delete-locations",
                ],
            )
            .target("shopify", SHOPIFY_API_VERSION, of_shopify);
        // Topics about parts of an order are left out: the order's body carries the same data, so they are not worth a
        // subscription, let alone a scope.
        // Items of pulls are heard without being listed.
        let is_listed =
            |topic: &str, subject: Subject| !topic.starts_with(pulled::TOPIC) && subject != Subject::PartOfOrder;
        for (source, topic, _) in TOPICS.iter().filter(|(_, topic, subject)| is_listed(topic, *subject)) {
            manifest = manifest.listens(source, [*topic]);
        }
        for (at, value, fixed) in self.settings.in_force(&self.given) {
            manifest = manifest.setting(&at, value, fixed);
        }
        manifest
    }

    fn configure(rules: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let (settings, given, doubts) = Settings::configure(rules)?;
        Ok((Self { settings, given }, doubts))
    }

    fn schema() -> Value {
        settings::schema()
    }

    fn key(&self, event: &Event) -> Result<Entity, String> {
        let event = &*pulled::as_webhook(event).map_err(|wrong| wrong.to_string())?;
        match subject(event) {
            Some(subject) => key::key(subject, event).map_err(|wrong| wrong.to_string()),
            None => Err(format!("topic `{}` of {} is not mapped", event.topic, event.source)),
        }
    }

    fn pulls(&self) -> Vec<Pull> {
        pulls::all()
    }

    fn ask_page(&self, reading: &Reading) -> Result<Ask, String> {
        pulls::ask_page(&self.settings, reading)
    }

    fn read_page(&self, reading: &Reading, answer: &Answer) -> Result<Page, String> {
        pulls::read_page(&self.settings, reading, answer)
    }

    async fn handle(&self, cx: &Cx, event: &Event) -> Ending {
        let seen = Seen::of(cx.memory(), event, &self.given);
        if let Some(reason) = seen.as_before() {
            return Ok(skipped(reason));
        }
        let is_open = |memory: &str| subject(event) == Some(Subject::Person) && person::is_open(memory);
        match self.hear(cx, event).await {
            Ok(end) => Ok(seen.keep(end, is_open)),
            Err(end) => Err(seen.keep(end, is_open)),
        }
    }
}

impl DefaultRules {
    async fn hear(&self, cx: &Cx, event: &Event) -> Ending {
        let sync = &self.settings.sync;
        let is_missing = event.topic.starts_with(missing::TOPIC);
        let event = &*pulled::as_webhook(event)?;
        let source = event.source.as_str();
        // A redaction is handled even when the direction is switched off, so that the person is remembered as erased.
        if source == "shopify" && event.topic == REDACT {
            return person::from_shopify(cx, &self.settings, event).await;
        }
        let off = match source {
            "shopify" => (!sync.shopify_to_omneo).then_some("shopify_to_omneo"),
            "omneo" => (!sync.omneo_to_shopify).then_some("omneo_to_shopify"),
            _ => None,
        };
        if let Some(name) = off {
            return Ok(skipped(format!("switched off: `sync.{name} = false`")));
        }
        if is_missing && missing::is_there(cx, event).await? {
            return Ok(skipped("Shopify still has it, though a list did not show it"));
        }
        match subject(event) {
            Some(Subject::Person) if sync.profiles => match source {
                "shopify" => person::from_shopify(cx, &self.settings, event).await,
                "omneo" => person::from_omneo(cx, &self.settings, event).await,
                _ => person::resync(cx, &self.settings, event).await,
            },
            Some(Subject::Order | Subject::Refund) if sync.orders => order::handle(cx, &self.settings, event).await,
            Some(Subject::PartOfOrder) if sync.orders => Ok(skipped("`orders/updated` carries it")),
            Some(Subject::Product) if sync.products => product::handle(cx, &self.settings, event).await,
            Some(Subject::Location) if sync.locations => location::handle(cx, &self.settings, event).await,
            Some(subject) => Ok(skipped(format!(
                "switched off: `sync.{} = false`",
                match subject {
                    Subject::Person => "profiles",
                    Subject::Order | Subject::Refund | Subject::PartOfOrder => "orders",
                    Subject::Product => "products",
                    Subject::Location => "locations",
                }
            ))),
            None => Ok(skipped(format!("topic `{}` of {} is not mapped", event.topic, event.source))),
        }
    }
}

fn subject(event: &Event) -> Option<Subject> {
    let topic = TOPICS.iter().find(|(source, topic, _)| *source == event.source && *topic == event.topic);
    topic.map(|(_, _, subject)| *subject)
}
