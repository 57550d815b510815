//! Asks as the host does not make them, to measure what it does beside them. For benches.

use std::time::Instant;

use super::{Plugin, Step, Stepped, v0_1};
use crate::engine::{self, Limits};
use crate::model::{Event, Reply};

impl Plugin {
    /// Microseconds of an ask in an instance that is kept: the 20th percentile of so many. The host never asks twice in one
    /// instance.
    #[doc(hidden)]
    pub fn bench_warm(&self, event: &Event, memory: &[String], replies: &[Vec<Reply>], times: usize) -> f64 {
        let limits = Limits { fuel_max: u64::MAX / 2, ..Limits::for_input(16 << 20) };
        let replies: Vec<Vec<v0_1::Reply>> =
            replies.iter().map(|pass| pass.iter().map(v0_1::Reply::from).collect()).collect();
        let ask = || -> anyhow::Result<Vec<f64>> {
            let mut store = engine::store(&self.inner.engine, limits)?;
            let instance = self.inner.pre.instantiate(&mut store).map_err(anyhow::Error::from)?;
            let mut took = vec![];
            for _ in 0..times {
                store.set_hostcall_fuel(limits.output_bytes_max);
                let began = Instant::now();
                let step = instance
                    .get_typed_func::<Step<'_>, Stepped>(&mut store, &self.inner.step)
                    .map_err(anyhow::Error::from)?;
                step.call(&mut store, (v0_1::Event::from(event), memory, &replies[..])).map_err(anyhow::Error::from)?;
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
            Ok(took)
        };
        let mut took = ask().unwrap_or_default();
        took.sort_by(f64::total_cmp);
        took.get(took.len() / 5).copied().unwrap_or(f64::NAN)
    }

    /// An ask that nobody looks after: on no stack of its own, at once and not in slices. Whether it was answered.
    #[doc(hidden)]
    pub fn bench_unwatched(&self, event: &Event, memory: &[String], replies: &[Vec<Reply>]) -> bool {
        let limits = Limits::for_input(1 << 20);
        let replies: Vec<Vec<v0_1::Reply>> =
            replies.iter().map(|pass| pass.iter().map(v0_1::Reply::from).collect()).collect();
        let ask = || -> anyhow::Result<Stepped> {
            let mut store = engine::store(&self.inner.engine, limits)?;
            let instance = self.inner.pre.instantiate(&mut store).map_err(anyhow::Error::from)?;
            let step = instance.get_typed_func::<Step<'_>, Stepped>(&mut store, &self.inner.step);
            let step = step.map_err(anyhow::Error::from)?;
            step.call(&mut store, (v0_1::Event::from(event), memory, &replies[..])).map_err(anyhow::Error::from)
        };
        ask().is_ok()
    }
}
