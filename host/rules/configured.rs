//! Rules that are given their settings in each ask, in the instance that is asked: what a component frozen with them does,
//! without freezing and compiling one. For tests of many rules files; an ask takes as much longer as the settings take.
//!
//! Knows how settings are given; not what is in them.

use std::sync::Arc;

use anyhow::{Context, bail};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::{EXPORT, Inner, Plugin, Problem, explain, misfit, v0_1};
use crate::engine::{self, Limits, State, StillWanted};

type Configure<'a> = (&'a str,);
type Configured = (Result<Vec<v0_1::Problem>, Vec<v0_1::Problem>>,);

/// Rules with settings and what they are in doubt about, or every mistake in the settings.
pub type Settled = Result<(Plugin, Vec<Problem>), Vec<Problem>>;

impl Plugin {
    /// These rules with settings, as JSON.
    pub fn configured(&self, settings: &str) -> anyhow::Result<Settled> {
        let inner = &self.inner;
        let limits = Limits::for_input(settings.len());
        let (mut store, watch) = engine::watched(&inner.engine, limits, inner.has_parts(), StillWanted::default())?;
        let asked = watch.carry_out(async {
            let instance = inner.pre.instantiate_async(&mut store).await?;
            inner.configure(&mut store, &instance, settings).await
        });
        let said = match asked {
            Ok(said) => said,
            Err(error) => bail!("`configure` failed: {}", explain(&error, store.data(), limits).reason),
        };
        let problems = |problems: Vec<v0_1::Problem>| problems.into_iter().map(Problem::from).collect();
        let warnings = match said {
            Ok(warnings) => problems(warnings),
            Err(mistakes) => return Ok(Err(problems(mistakes))),
        };
        let mut configured = Inner { settings: Some(settings.into()), ..Inner::clone(inner) };
        configured.manifest = configured.describe()?;
        Ok(Ok((Self { inner: Arc::new(configured), wanted: StillWanted::default() }, warnings)))
    }
}

impl Inner {
    /// Gives an instance its settings, if it is to have them now, and leaves it with what an ask may use.
    pub(super) async fn settle(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        limits: Limits,
    ) -> wasmtime::Result<()> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let of_settings = Limits::for_input(settings.len());
        store.set_fuel(of_settings.fuel_max)?;
        store.set_hostcall_fuel(of_settings.output_bytes_max);
        self.configure(store, instance, settings)
            .await?
            .map_err(|_| wasmtime::format_err!("its settings are wrong"))?;
        store.set_fuel(limits.fuel_max)?;
        store.set_hostcall_fuel(limits.output_bytes_max);
        store.data_mut().forget_log();
        Ok(())
    }

    async fn configure(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Result<Vec<v0_1::Problem>, Vec<v0_1::Problem>>> {
        let component = self.pre.component();
        let function = component
            .get_export_index(None, EXPORT)
            .and_then(|export| component.get_export_index(Some(&export), "configure"))
            .context("the component has no function `configure`")
            .map_err(wasmtime::Error::from_anyhow)?;
        let configure = instance
            .get_typed_func::<Configure<'_>, Configured>(&mut *store, &function)
            .map_err(|error| wasmtime::Error::from_anyhow(misfit("the component's `configure`", &error)))?;
        Ok(configure.call_async(&mut *store, (settings,)).await?.0)
    }
}
