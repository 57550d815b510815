//! What is counted, for Prometheus and for people. Knows names and labels. The counters are held by the journal, where
//! everything that is counted comes together.
//!
//! Ten thousand tenants must not produce a hundred thousand series. At most [`TENANTS_MAX`] tenants have series of
//! their own, and one more series covers the others; a gauge that is 0 has no series. All other metrics are by target,
//! cause or outcome only.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::version;

mod tenants;

use tenants::register_tenants;

/// Tenants with series of their own. For counters, these are the tenants that came first, so that no series ever
/// decreases; for gauges, the tenants that need attention most.
const TENANTS_MAX: usize = 1_000;
/// The label of all other tenants. No tenant can have this name, because it contains a bracket.
const OTHERS: &str = "(others)";
/// Upper bounds of the buckets: seconds of an ask, and units of fuel.
const SECONDS: [f64; 8] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0];
const FUEL: [f64; 7] = [1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// Why asks are ended although they have fuel left.
const ENDS: [&str; 2] = ["late", "unwanted"];
/// Labels of counters that exist from the start, so that a rate sees their first count too.
pub const REFUSALS: [&str; 9] = [
    "malformed",
    "bad signature",
    "unknown address",
    "not a POST",
    "not whole",
    "too long",
    "too many",
    "tenant's journal full",
    "journal",
];
const SWAPS: [&str; 4] = ["configured", "activated", "rolled back", "failing"];
const TARGETS: [&str; 2] = ["shopify", "omneo"];
/// How a call ends without an answer. A status becomes a label when it first occurs.
const UNANSWERED: [&str; 2] = ["unknown", "given up"];

/// The text format of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// The older text format of Prometheus, 0.0.4.
    Classic,
}

impl Format {
    /// The format that an `accept` header asks for: Classic only if it is named and OpenMetrics is not.
    pub fn accepted(accept: &str) -> Self {
        let names = |kind: &str| accept.split(',').any(|one| one.trim().starts_with(kind));
        match names("text/plain") && !names("application/openmetrics-text") {
            true => Self::Classic,
            false => Self::OpenMetrics,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Counters since the start. A clone shares them.
#[derive(Clone)]
pub struct Metrics {
    tenants: Arc<Mutex<HashMap<String, Counts>>>,
    refused: Family<Cause, Counter>,
    attempts: Family<Ended, Counter>,
    calls: Family<Ended, Counter>,
    retries: Family<Target, Counter>,
    throttles: Family<Target, Counter>,
    swaps: Family<Cause, Counter>,
    connections: Family<Listener, Gauge>,
    body_bytes: Family<Listener, Gauge>,
    cut: Family<Cut, Counter>,
    ask_seconds: Histogram,
    ask_fuel: Histogram,
    asks_ended: Family<Cause, Counter>,
    token_requests: Family<Requested, Counter>,
    storefront: Family<AtDoor, Counter>,
    storefront_asked: Family<Outcome, Counter>,
    items: Family<ItemRead, Counter>,
}

/// The counters of one tenant since the start.
#[derive(Default)]
struct Counts {
    /// The tenant's place in order of arrival, from 0.
    number: usize,
    accepted: BTreeMap<String, u64>,
    ended: BTreeMap<String, u64>,
}

/// The numbers of a tenant's events since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    pub accepted: u64,
    pub ended: u64,
}

/// Values that are read from the journal and the registry when the metrics are requested.
#[derive(Clone, Debug, Default)]
pub struct Now {
    pub tenants: Vec<TenantNow>,
    pub journal_bytes: u64,
    /// The versions that are loaded, and the size of their compiled code in memory.
    pub versions_loaded: usize,
    pub code_bytes: usize,
    /// Tenants of the configuration whose rules are being built, and those whose rules could not be built.
    pub rules_building: usize,
    pub rules_failed: usize,
}

#[derive(Clone, Debug, Default)]
pub struct TenantNow {
    pub tenant: String,
    /// The number of events that are not over, and the age of the oldest.
    pub waiting: u64,
    pub oldest_ms: i64,
    pub dead_letters: u64,
    pub paused: Vec<String>,
    /// Targets whose calls wait although nobody has paused them, with the reason: `throttled` or `down`.
    pub held: Vec<(String, &'static str)>,
    /// Directions that do not run normally, by source, with their mode: `hold` or `drop`.
    pub directions: Vec<(String, &'static str)>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cut {
    listener: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    tenant: String,
    source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    cause: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ending {
    tenant: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    target: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Requested {
    app: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AtDoor {
    door: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ItemRead {
    kind: &'static str,
    source: String,
    found: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    target: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            tenants: Arc::default(),
            refused: Family::default(),
            attempts: Family::default(),
            calls: Family::default(),
            retries: Family::default(),
            throttles: Family::default(),
            swaps: Family::default(),
            connections: Family::default(),
            body_bytes: Family::default(),
            cut: Family::default(),
            ask_seconds: Histogram::new(SECONDS),
            ask_fuel: Histogram::new(FUEL),
            asks_ended: Family::default(),
            token_requests: Family::default(),
            storefront: Family::default(),
            storefront_asked: Family::default(),
            items: Family::default(),
        };
        for cause in REFUSALS {
            drop(metrics.refused.get_or_create(&Cause { cause: cause.into() }));
        }
        for cause in ENDS {
            drop(metrics.asks_ended.get_or_create(&Cause { cause: cause.into() }));
        }
        for cause in SWAPS {
            drop(metrics.swaps.get_or_create(&Cause { cause: cause.into() }));
        }
        for target in TARGETS {
            drop(metrics.retries.get_or_create(&Target { target: target.into() }));
            drop(metrics.throttles.get_or_create(&Target { target: target.into() }));
            for outcome in UNANSWERED {
                drop(metrics.calls.get_or_create(&Ended { target: target.into(), outcome: outcome.into() }));
            }
        }
        metrics
    }
}

impl Metrics {
    /// Counts a new webhook that was answered with 200.
    pub fn accepted(&self, tenant: &str, source: &str) {
        self.count(tenant, |counts| *counts.accepted.entry(source.to_owned()).or_default() += 1);
    }

    /// Counts a webhook that was refused, by the reason.
    pub fn refused(&self, cause: &str) {
        self.refused.get_or_create(&Cause { cause: cause.into() }).inc();
    }

    pub fn ended(&self, tenant: &str, outcome: &str) {
        self.count(tenant, |counts| *counts.ended.entry(outcome.to_owned()).or_default() += 1);
    }

    /// Counts an attempt at a call by its outcome: a status, `no answer` or the like, without what follows a colon.
    pub fn attempted(&self, target: &str, outcome: &str) {
        let outcome = outcome.split([':', ';']).next().unwrap_or_default();
        self.attempts.get_or_create(&Ended { target: target.into(), outcome: outcome.into() }).inc();
    }

    /// Counts that a target has asked for fewer calls. This does not count as an attempt.
    pub fn throttled(&self, target: &str) {
        self.throttles.get_or_create(&Target { target: target.into() }).inc();
    }

    /// Counts that a call will be attempted again.
    pub fn retried(&self, target: &str) {
        self.retries.get_or_create(&Target { target: target.into() }).inc();
    }

    /// Counts a call that is over by its outcome: the status of its answer, `unknown` or `given up`.
    pub fn called(&self, target: &str, outcome: &str) {
        self.calls.get_or_create(&Ended { target: target.into(), outcome: outcome.into() }).inc();
    }

    /// Counts that a version became current, by the cause.
    pub fn swapped(&self, cause: &str) {
        self.swaps.get_or_create(&Cause { cause: cause.into() }).inc();
    }

    /// Counts a request to Shopify for an app's token by its outcome: `granted`, or the reason why not.
    pub fn asked_for_token(&self, app: &str, outcome: &'static str) {
        self.token_requests.get_or_create(&Requested { app: app.into(), outcome }).inc();
    }

    /// Counts a request for a shopper's token by the door it came through and its outcome: a token of a `customer`, an
    /// `anonymous` one, or the reason why none was given.
    pub fn storefront(&self, door: &'static str, outcome: &'static str) {
        self.storefront.get_or_create(&AtDoor { door, outcome }).inc();
    }

    /// Counts a request to the other systems for a shopper's token by its outcome: `token`, or the reason why not.
    pub fn storefront_asked(&self, outcome: &'static str) {
        self.storefront_asked.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts items of an import or a reconciliation: those `in step`, those of which an event was made, and known names
    /// that were `missing`.
    pub fn items_read(&self, kind: &'static str, source: &str, found: &'static str, items: u64) {
        if items > 0 {
            self.items.get_or_create(&ItemRead { kind, source: source.into(), found }).inc_by(items);
        }
    }

    /// Adds to the number of a listener's connections, or subtracts from it.
    pub fn connected(&self, listener: &'static str, more: i64) {
        self.connections.get_or_create(&Listener { listener }).inc_by(more);
    }

    /// Sets the number of body bytes that a listener has received and not yet answered.
    pub fn body_bytes(&self, listener: &'static str, bytes: usize) {
        self.body_bytes.get_or_create(&Listener { listener }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a connection or a request that a listener has cut off, by the reason.
    pub fn cut(&self, listener: &'static str, cause: &'static str) {
        self.cut.get_or_create(&Cut { listener, cause }).inc();
    }

    /// Counts an ask of the rules and, if it was ended although it had fuel left, the reason.
    pub fn asked(&self, seconds: f64, fuel: u64, ended: Option<&str>) {
        self.ask_seconds.observe(seconds);
        self.ask_fuel.observe(fuel as f64);
        self.ask_ended(ended);
    }

    /// Counts the end of an ask for a key, of which nothing else is counted.
    pub fn ask_ended(&self, ended: Option<&str>) {
        if let Some(cause) = ended {
            self.asks_ended.get_or_create(&Cause { cause: cause.into() }).inc();
        }
    }

    /// The number of asks that were ended because of their processor time.
    pub fn asks_late(&self) -> u64 {
        self.asks_ended.get_or_create(&Cause { cause: "late".into() }).get()
    }

    pub fn counted(&self, tenant: &str) -> Counted {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: &BTreeMap<String, u64>| of.values().sum();
        tenants
            .get(tenant)
            .map_or(Counted::default(), |counts| Counted { accepted: sum(&counts.accepted), ended: sum(&counts.ended) })
    }

    fn count(&self, tenant: &str, count: impl FnOnce(&mut Counts)) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        match tenants.get_mut(tenant) {
            Some(counts) => count(counts),
            None => {
                let number = tenants.len();
                count(tenants.entry(tenant.to_owned()).or_insert(Counts { number, ..Counts::default() }));
            }
        }
    }

    /// All metrics as text.
    pub fn text(&self, now: &Now, format: Format) -> String {
        let mut registry = Registry::with_prefix("tandem");
        let build = vec![("version", version::VERSION), ("commit", version::commit())];
        match format {
            Format::OpenMetrics => registry.register("build", "Which program this is", Info::new(build)),
            // The older format has no such type. A gauge with the value 1 serves the purpose.
            Format::Classic => {
                let family = Family::<Vec<(&str, &str)>, Gauge>::default();
                family.get_or_create(&build).set(1);
                registry.register("build_info", "Which program this is", family);
            }
        }
        self.register_counters(&mut registry);
        register_tenants(&mut registry, &now.tenants);
        let gauge = |value: u64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        registry.register("tenants", "Tenants that there are", gauge(now.tenants.len() as u64));
        registry.register("versions_loaded", "Versions whose code is in memory", gauge(now.versions_loaded as u64));
        registry.register_with_unit("code", "Their size in memory", Unit::Bytes, gauge(now.code_bytes as u64));
        let building = gauge(now.rules_building as u64);
        registry.register("rules_building", "Tenants whose rules are being built, and whose events wait", building);
        let failed = gauge(now.rules_failed as u64);
        registry.register(
            "rules_failed",
            "Tenants whose rules could not be built as the configuration has them",
            failed,
        );
        registry.register_with_unit("journal", "Size of the journal", Unit::Bytes, gauge(now.journal_bytes));
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = match format {
            Format::OpenMetrics => encode_registry(&mut text, &registry).and_then(|()| encode_eof(&mut text)),
            Format::Classic => prometheus_text::encode(&mut text, &registry),
        };
        text
    }

    fn register_counters(&self, registry: &mut Registry) {
        let (accepted, ended) = (Family::<Source, Counter>::default(), Family::<Ending, Counter>::default());
        for (name, counts) in self.tenants.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let tenant = if counts.number < TENANTS_MAX { name } else { OTHERS };
            for (source, count) in &counts.accepted {
                accepted.get_or_create(&Source { tenant: tenant.into(), source: source.clone() }).inc_by(*count);
            }
            for (outcome, count) in &counts.ended {
                ended.get_or_create(&Ending { tenant: tenant.into(), outcome: outcome.clone() }).inc_by(*count);
            }
        }
        registry.register("webhooks_accepted", "Webhooks journalled and answered with 200", accepted);
        registry.register("webhooks_refused", "Webhooks not accepted, by cause", self.refused.clone());
        registry.register("events_ended", "Events that are over, by outcome", ended);
        registry.register("calls", "Calls that are over, by target and how", self.calls.clone());
        registry.register("attempts", "Tries at calls, by target and how they ended", self.attempts.clone());
        registry.register("retries", "Calls to be tried once more, by target", self.retries.clone());
        registry.register("throttles", "Times that a target asked for less", self.throttles.clone());
        registry.register("swaps", "Versions made current, by cause", self.swaps.clone());
        registry.register("connections", "Connections that are open, by listener", self.connections.clone());
        let bytes = self.body_bytes.clone();
        registry.register_with_unit("body_in_flight", "Bodies received and not answered yet", Unit::Bytes, bytes);
        registry.register("cut", "Connections and bodies that a listener cut off, by cause", self.cut.clone());
        let seconds = self.ask_seconds.clone();
        registry.register_with_unit("ask", "Time of an ask of the rules", Unit::Seconds, seconds);
        registry.register("ask_fuel", "Fuel of an ask of the rules", self.ask_fuel.clone());
        registry.register("asks_ended", "Asks that were ended with fuel left, by cause", self.asks_ended.clone());
        registry.register("token_requests", "Requests for tokens of apps, by outcome", self.token_requests.clone());
        let (answered, asked) = (self.storefront.clone(), self.storefront_asked.clone());
        registry.register(
            "storefront_requests",
            "Requests for tokens of shoppers, by door and what was given",
            answered,
        );
        registry.register("storefront_asks", "Times Omneo was asked for such a token, by outcome", asked);
        registry.register(
            "items_read",
            "Items of imports and reconciliations, by whether they were in step, became an event, or were missing",
            self.items.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(tenant: String, waiting: u64) -> TenantNow {
        let (paused, directions) = (vec!["omneo".into()], vec![("shopify".into(), "hold")]);
        let held = vec![("shopify".into(), "throttled")];
        TenantNow { tenant, waiting, oldest_ms: 1500, dead_letters: 1, paused, held, directions }
    }

    #[test]
    fn what_was_counted_is_shown_by_name_and_label() {
        let metrics = Metrics::default();
        metrics.accepted("acme", "shopify");
        metrics.refused("bad signature");
        metrics.ended("acme", "done");
        metrics.ended("acme", "failed");
        metrics.attempted("omneo", "503; again in 1.0 s");
        metrics.throttled("omneo");
        metrics.retried("omneo");
        metrics.called("omneo", "given up");
        metrics.swapped("failing");
        metrics.connected("admin", 2);
        metrics.connected("admin", -1);
        metrics.body_bytes("webhooks", 9);
        metrics.cut("webhooks", "silent");
        metrics.asked(0.002, 70_000, Some("late"));
        metrics.items_read("reconciliation", "omneo", "in step", 7);
        metrics.items_read("reconciliation", "omneo", "missing", 0);
        let tenants = vec![waits("acme".into(), 3), TenantNow { tenant: "idle".into(), ..TenantNow::default() }];
        let now =
            Now { tenants, journal_bytes: 4096, versions_loaded: 1, code_bytes: 7, rules_building: 2, rules_failed: 1 };
        let text = metrics.text(&now, Format::OpenMetrics);
        for line in [
            "tandem_webhooks_accepted_total{tenant=\"acme\",source=\"shopify\"} 1",
            "tandem_webhooks_refused_total{cause=\"bad signature\"} 1",
            "tandem_events_ended_total{tenant=\"acme\",outcome=\"done\"} 1",
            "tandem_calls_total{target=\"omneo\",outcome=\"given up\"} 1",
            "tandem_attempts_total{target=\"omneo\",outcome=\"503\"} 1",
            "tandem_retries_total{target=\"omneo\"} 1",
            "tandem_throttles_total{target=\"omneo\"} 1",
            "tandem_swaps_total{cause=\"failing\"} 1",
            "tandem_items_read_total{kind=\"reconciliation\",source=\"omneo\",found=\"in step\"} 7",
            "tandem_ask_seconds_count 1",
            "tandem_asks_ended_total{cause=\"late\"} 1",
            "tandem_ask_fuel_bucket{le=\"100000.0\"} 1",
            "tandem_events_waiting{tenant=\"acme\"} 3",
            "tandem_events_waiting_oldest_seconds{tenant=\"acme\"} 1.5",
            "tandem_dead_letters{tenant=\"acme\"} 1",
            "tandem_target_paused{tenant=\"acme\",target=\"omneo\"} 1",
            "tandem_target_held{tenant=\"acme\",target=\"shopify\",cause=\"throttled\"} 1",
            "tandem_connections{listener=\"admin\"} 1",
            "tandem_body_in_flight_bytes{listener=\"webhooks\"} 9",
            "tandem_cut_total{listener=\"webhooks\",cause=\"silent\"} 1",
            "tandem_direction_stopped{tenant=\"acme\",source=\"shopify\",mode=\"hold\"} 1",
            "tandem_tenants 2",
            "tandem_versions_loaded 1",
            "tandem_code_bytes 7",
            "tandem_rules_building 2",
            "tandem_rules_failed 1",
            "tandem_journal_bytes 4096",
            "# EOF",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("idle"), "{text}");
        assert_eq!(metrics.counted("acme"), Counted { accepted: 1, ended: 2 });
    }

    #[test]
    fn ten_thousand_tenants_have_as_many_series_as_a_thousand() {
        let metrics = Metrics::default();
        let names = || (0..10_000).map(|n| format!("t{n}"));
        for tenant in names() {
            metrics.accepted(&tenant, "shopify");
            metrics.ended(&tenant, "done");
        }
        let tenants = names().map(|tenant| waits(tenant, 2)).collect();
        let text = metrics.text(&Now { tenants, ..Now::default() }, Format::OpenMetrics);
        let series = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
        for name in ["webhooks_accepted_total", "events_ended_total", "events_waiting", "dead_letters", "target_paused"]
        {
            assert_eq!(series(&format!("tandem_{name}")), TENANTS_MAX + 1, "{name}");
        }
        // The sum over all series is complete.
        for line in [
            "tandem_webhooks_accepted_total{tenant=\"(others)\",source=\"shopify\"} 9000",
            "tandem_events_waiting{tenant=\"(others)\"} 18000",
            "tandem_events_waiting_oldest_seconds{tenant=\"(others)\"} 1.5",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}");
        }
    }

    #[test]
    fn counters_are_there_before_they_count() {
        let text = Metrics::default().text(&Now::default(), Format::OpenMetrics);
        for line in [
            "tandem_webhooks_refused_total{cause=\"bad signature\"} 0",
            "tandem_swaps_total{cause=\"failing\"} 0",
            "tandem_retries_total{target=\"omneo\"} 0",
            "tandem_throttles_total{target=\"shopify\"} 0",
            "tandem_calls_total{target=\"omneo\",outcome=\"given up\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        let build = text.lines().find(|line| line.starts_with("tandem_build_info{")).unwrap();
        assert!(build.contains(&format!("version=\"{}\"", version::VERSION)) && build.contains("commit="), "{build}");
    }

    #[test]
    fn the_labels_that_are_there_from_the_start_are_those_that_are_used() {
        for status in 400..600 {
            let cause = crate::webhook::cause(axum::http::StatusCode::from_u16(status).unwrap());
            assert!(REFUSALS.contains(&cause), "{cause}");
        }
        use crate::journal::Cause;
        for cause in [Cause::Configured, Cause::Activated, Cause::RolledBack, Cause::Failing] {
            assert!(SWAPS.contains(&cause.name()), "{}", cause.name());
        }
    }

    #[test]
    fn the_older_format_is_given_to_who_asks_for_it_alone() {
        for (accept, format) in [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            ("text/plain", Format::Classic),
            ("text/plain;version=0.0.4;q=0.5, */*;q=0.1", Format::Classic),
            ("application/openmetrics-text;version=1.0.0, text/plain;version=0.0.4;q=0.3", Format::OpenMetrics),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
        let metrics = Metrics::default();
        metrics.accepted("acme", "shopify");
        let text = metrics.text(&Now::default(), Format::Classic);
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
        for line in [
            "# TYPE tandem_webhooks_accepted_total counter",
            "tandem_webhooks_accepted_total{tenant=\"acme\",source=\"shopify\"} 1",
            "# TYPE tandem_build_info gauge",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
