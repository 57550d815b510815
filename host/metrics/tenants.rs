//! Gauges of tenants: what waits, is paused or is held for each of them. Knows the series, and not where the numbers
//! are read.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{OTHERS, TENANTS_MAX, TenantNow};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Side {
    tenant: String,
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HeldFor {
    tenant: String,
    target: String,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Stopped {
    tenant: String,
    source: String,
    mode: &'static str,
}

/// Registers the gauges. The tenants that need attention most are shown by name.
pub fn register_tenants(registry: &mut Registry, tenants: &[TenantNow]) {
    let waiting = Family::<Of, Gauge>::default();
    let oldest = Family::<Of, Gauge<f64, AtomicU64>>::default();
    let dead = Family::<Of, Gauge>::default();
    let paused = Family::<Side, Gauge>::default();
    let held = Family::<HeldFor, Gauge>::default();
    let stopped = Family::<Stopped, Gauge>::default();
    let is_idle = |tenant: &&TenantNow| {
        let TenantNow { waiting, dead_letters, paused, held, directions, .. } = tenant;
        *waiting == 0 && *dead_letters == 0 && paused.is_empty() && held.is_empty() && directions.is_empty()
    };
    let mut busy: Vec<_> = tenants.iter().filter(|tenant| !is_idle(tenant)).collect();
    busy.sort_by_key(|tenant| std::cmp::Reverse((tenant.oldest_ms, tenant.dead_letters)));
    for (n, tenant) in busy.into_iter().enumerate() {
        let name = if n < TENANTS_MAX { &tenant.tenant } else { OTHERS };
        let of = Of { tenant: name.into() };
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        waiting.get_or_create(&of).inc_by(count(tenant.waiting));
        dead.get_or_create(&of).inc_by(count(tenant.dead_letters));
        let age = tenant.oldest_ms as f64 / 1000.0;
        let gauge = oldest.get_or_create(&of);
        gauge.set(gauge.get().max(age));
        for target in &tenant.paused {
            paused.get_or_create(&Side { tenant: name.into(), target: target.clone() }).inc();
        }
        for (target, cause) in &tenant.held {
            held.get_or_create(&HeldFor { tenant: name.into(), target: target.clone(), cause }).inc();
        }
        for (source, mode) in &tenant.directions {
            stopped.get_or_create(&Stopped { tenant: name.into(), source: source.clone(), mode }).inc();
        }
    }
    registry.register("events_waiting", "Events that are not over", waiting);
    registry.register_with_unit("events_waiting_oldest", "Age of the oldest of them", Unit::Seconds, oldest);
    registry.register("dead_letters", "Events that a person should look at", dead);
    registry.register("target_paused", "Targets that take no calls now", paused);
    registry.register("target_held", "Targets whose calls wait: it asked for that, or is down", held);
    registry.register("direction_stopped", "Directions whose events are held or dropped now", stopped);
}
