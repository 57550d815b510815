//! What is counted, for Prometheus. Knows names and labels; what is counted meets in the journal, which has this.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper ends of buckets: seconds of an ask, and units of fuel.
const SECONDS: [f64; 8] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0];
const FUEL: [f64; 7] = [1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// Counters since the start. Cloned, they are the same.
#[derive(Clone)]
pub struct Metrics {
    accepted: Family<Source, Counter>,
    refused: Family<Status, Counter>,
    ended: Family<Ending, Counter>,
    attempts: Family<Attempt, Counter>,
    ask_seconds: Histogram,
    ask_fuel: Histogram,
}

/// What is read off the journal at the moment somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Now {
    pub tenants: Vec<TenantNow>,
    pub journal_bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub struct TenantNow {
    pub tenant: String,
    /// Events that are not over, and the age of the oldest.
    pub waiting: u64,
    pub oldest_ms: i64,
    pub dead_letters: u64,
    pub paused: Vec<String>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    tenant: String,
    source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ending {
    tenant: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    target: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    tenant: String,
    target: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: Family::default(),
            refused: Family::default(),
            ended: Family::default(),
            attempts: Family::default(),
            ask_seconds: Histogram::new(SECONDS),
            ask_fuel: Histogram::new(FUEL),
        }
    }
}

impl Metrics {
    /// A webhook that was answered with 200 and is new.
    pub fn accepted(&self, tenant: &str, source: &str) {
        self.accepted.get_or_create(&Source { tenant: tenant.into(), source: source.into() }).inc();
    }

    /// A webhook that was answered with this.
    pub fn refused(&self, status: u16) {
        self.refused.get_or_create(&Status { status }).inc();
    }

    pub fn ended(&self, tenant: &str, outcome: &str) {
        self.ended.get_or_create(&Ending { tenant: tenant.into(), outcome: outcome.into() }).inc();
    }

    /// One try at a call: a status, or `throttled`, `no answer`, …; without what follows a colon.
    pub fn attempted(&self, target: &str, outcome: &str) {
        let outcome = outcome.split([':', ';']).next().unwrap_or_default();
        self.attempts.get_or_create(&Attempt { target: target.into(), outcome: outcome.into() }).inc();
    }

    pub fn asked(&self, seconds: f64, fuel: u64) {
        self.ask_seconds.observe(seconds);
        self.ask_fuel.observe(fuel as f64);
    }

    /// Everything in the OpenMetrics text format.
    pub fn text(&self, now: &Now) -> String {
        let mut registry = Registry::with_prefix("tandem");
        registry.register("webhooks_accepted", "Webhooks journalled and answered with 200", self.accepted.clone());
        registry.register("webhooks_refused", "Webhooks not accepted, by status", self.refused.clone());
        registry.register("events_ended", "Events that are over, by outcome", self.ended.clone());
        registry.register("attempts", "Tries at calls, by target and how they ended", self.attempts.clone());
        let seconds = self.ask_seconds.clone();
        registry.register_with_unit("ask", "Time of an ask of the rules", Unit::Seconds, seconds);
        registry.register("ask_fuel", "Fuel of an ask of the rules", self.ask_fuel.clone());
        let (waiting, oldest, dead) = (
            Family::<Of, Gauge>::default(),
            Family::<Of, Gauge<f64, AtomicU64>>::default(),
            Family::<Of, Gauge>::default(),
        );
        let paused = Family::<Target, Gauge>::default();
        for tenant in &now.tenants {
            let of = Of { tenant: tenant.tenant.clone() };
            waiting.get_or_create(&of).set(tenant.waiting as i64);
            oldest.get_or_create(&of).set(tenant.oldest_ms as f64 / 1000.0);
            dead.get_or_create(&of).set(tenant.dead_letters as i64);
            for target in &tenant.paused {
                paused.get_or_create(&Target { tenant: tenant.tenant.clone(), target: target.clone() }).set(1);
            }
        }
        registry.register("events_waiting", "Events that are not over", waiting);
        registry.register_with_unit("events_waiting_oldest", "Age of the oldest of them", Unit::Seconds, oldest);
        registry.register("dead_letters", "Events that a person should look at", dead);
        registry.register("target_paused", "Targets that take no calls now", paused);
        let bytes = Gauge::<i64>::default();
        bytes.set(i64::try_from(now.journal_bytes).unwrap_or(i64::MAX));
        registry.register_with_unit("journal", "Size of the journal", Unit::Bytes, bytes);
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = encode_registry(&mut text, &registry).and_then(|()| encode_eof(&mut text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown_by_name_and_label() {
        let metrics = Metrics::default();
        metrics.accepted("acme", "shopify");
        metrics.refused(401);
        metrics.ended("acme", "done");
        metrics.attempted("omneo", "429; again in 1.0 s");
        metrics.asked(0.002, 70_000);
        let acme = TenantNow {
            tenant: "acme".into(),
            waiting: 3,
            oldest_ms: 1500,
            dead_letters: 1,
            paused: vec!["omneo".into()],
        };
        let text = metrics.text(&Now { tenants: vec![acme], journal_bytes: 4096 });
        for line in [
            "tandem_webhooks_accepted_total{tenant=\"acme\",source=\"shopify\"} 1",
            "tandem_webhooks_refused_total{status=\"401\"} 1",
            "tandem_events_ended_total{tenant=\"acme\",outcome=\"done\"} 1",
            "tandem_attempts_total{target=\"omneo\",outcome=\"429\"} 1",
            "tandem_ask_seconds_count 1",
            "tandem_ask_fuel_bucket{le=\"100000.0\"} 1",
            "tandem_events_waiting{tenant=\"acme\"} 3",
            "tandem_events_waiting_oldest_seconds{tenant=\"acme\"} 1.5",
            "tandem_dead_letters{tenant=\"acme\"} 1",
            "tandem_target_paused{tenant=\"acme\",target=\"omneo\"} 1",
            "tandem_journal_bytes 4096",
            "# EOF",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
