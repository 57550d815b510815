//! Loads a component and asks it: the only place that speaks the contract's own types.
//!
//! Knows the contract's versions; nothing of tenants, the journal or the network.

use std::sync::{Arc, Weak};

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower,
    types::ComponentItem,
};
use wasmtime::{Engine, Store, StoreContextMut, Trap};

use crate::engine::{self, Ended, Limits, State, StillWanted, Usage};
use crate::model::{Blame, Entity, Event, Failure, Next, Reply, Webhook};

mod bench;
mod compiled;
mod configured;
mod fit;
mod pulls;
mod split;
mod v0_1;

pub use compiled::{Code, Compiled, Shared, host, shared_by};
pub use fit::{COMPONENT_BYTES_MAX, check as check_fit};
pub use pulls::{Ask, Item, MISSING, Page, Pull, Reading, TOPIC};

/// The package that this host speaks.
const WORLD: &str = "tandem:rules@0.1.0";
const EXPORT: &str = "tandem:rules/rules@0.1.0";
const HOST_IMPORT: &str = "tandem:rules/host@0.1.0";
/// What `host` has to offer.
const HOST_FUNCTIONS: [&str; 1] = ["log"];

/// What the contract's functions take and give.
type Key<'a> = (v0_1::Event<'a>,);
type Keyed = (Result<v0_1::Entity, String>,);
type Step<'a> = (v0_1::Event<'a>, &'a [String], &'a [Vec<v0_1::Reply<'a>>]);
type Stepped = (v0_1::Next,);

/// A version of a tenant's rules, compiled and checked, ready to be asked from any thread.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
    wanted: StillWanted,
}

#[derive(Clone)]
struct Inner {
    digest: String,
    world: String,
    manifest: Manifest,
    imports: Vec<String>,
    engine: Engine,
    pre: InstancePre<State>,
    key: ComponentExportIndex,
    step: ComponentExportIndex,
    describe: ComponentExportIndex,
    /// What it is configured with in each ask, as JSON, if that is not frozen into it.
    settings: Option<Arc<str>>,
    /// Its code, if that is not in the component.
    code: Option<Arc<Code>>,
}

/// A version that is there as long as somebody else has it loaded.
#[derive(Clone)]
pub struct WeakPlugin(Weak<Inner>);

/// What a component says it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// Source and topic.
    pub listens: Vec<(String, String)>,
    pub targets: Vec<Target>,
    pub settings: Vec<Setting>,
    #[serde(default)]
    pub pulls: Vec<Pull>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub name: String,
    pub api_version: String,
    pub scopes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub at: String,
    pub value: String,
    pub fixed: bool,
}

/// A mistake that `configure` found.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// JSON pointer.
    pub at: String,
    pub message: String,
    pub fix: String,
}

impl Manifest {
    /// Whether the rules want to be asked about events like this: those that they listen to, items of their pulls, and names
    /// that one of these does not list any more, where the rules say that this means something.
    pub fn hears(&self, webhook: &Webhook) -> bool {
        if let Some(name) = webhook.topic.strip_prefix(pulls::TOPIC) {
            return self.pulls.iter().any(|pull| pull.name == name && pull.source == webhook.source);
        }
        if let Some(name) = webhook.topic.strip_prefix(pulls::MISSING) {
            let asks = |pull: &Pull| pull.name == name && pull.source == webhook.source && !pull.gone.is_empty();
            return self.pulls.iter().any(asks);
        }
        self.listens.iter().any(|(source, topic)| *source == webhook.source && *topic == webhook.topic)
    }

    /// What the requests to a target are written for; empty if it is none.
    pub fn api_version(&self, target: &str) -> &str {
        let found = self.targets.iter().find(|known| known.name == target);
        found.map_or("", |target| target.api_version.as_str())
    }
}

/// An ask's answer, with what it took.
#[derive(Clone, Debug)]
pub struct Asked<T> {
    pub result: Result<T, Failure>,
    pub usage: Usage,
    pub limits: Limits,
    pub log: Vec<String>,
}

/// The SHA-256 of a component, in hex: the name of a version.
pub fn digest(component: &[u8]) -> String {
    hex::encode(Sha256::digest(component))
}

/// The first digits of a digest, for people.
pub fn short(digest: &str) -> &str {
    &digest[..digest.floor_char_boundary(12)]
}

impl Plugin {
    /// Compiles a component, checks what it imports and exports, and instantiates it once: some mismatches show only
    /// then, and no webhook should be the first to find out.
    pub fn load(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Self> {
        fit::check(bytes)?;
        let component = Component::new(engine, bytes).map_err(|error| fit::refused(&error))?;
        Self::around(engine, &component, digest(bytes), None)
    }

    /// The same, with its code apart where that can be had, so that others can have the same.
    pub fn load_apart(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Self> {
        fit::check(bytes)?;
        let Some(split) = split::split(bytes) else { return Self::load(engine, bytes) };
        let code = Code::new(engine, &split.code)?;
        let component = Component::new(engine, split.rest).map_err(|error| fit::refused(&error))?;
        Self::around(engine, &component, digest(bytes), Some(Arc::new(code)))
    }

    fn around(engine: &Engine, component: &Component, digest: String, code: Option<Arc<Code>>) -> anyhow::Result<Self> {
        let imports = check_imports(engine, component, code.is_some())?;
        let (world, [key, step, describe]) = exports(engine, component)?;
        let mut linker = linker(engine)?;
        if let Some(code) = &code {
            linker.root().module(split::CODE, code.module()).map_err(anyhow::Error::from)?;
        }
        let pre = linker.instantiate_pre(component).map_err(|error| misfit("the component", &error))?;
        let inner = Inner {
            digest,
            world,
            manifest: Manifest::default(),
            imports,
            engine: engine.clone(),
            pre,
            key,
            step,
            describe,
            settings: None,
            code,
        };
        inner.check()?;
        let inner = Arc::new(Inner { manifest: inner.describe()?, ..inner });
        Ok(Self { inner, wanted: StillWanted::default() })
    }

    /// The same, whose asks end when nobody wants their answer any more.
    pub fn while_wanted(self, wanted: StillWanted) -> Self {
        Self { wanted, ..self }
    }

    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// The package that it was built for.
    pub fn world(&self) -> &str {
        &self.inner.world
    }

    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub fn downgrade(&self) -> WeakPlugin {
        WeakPlugin(Arc::downgrade(&self.inner))
    }

    /// The names of its imports.
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }

    /// The JSON Schema of its rules file; `None` for a component that was built before there was one.
    pub fn schema(&self) -> anyhow::Result<Option<serde_json::Value>> {
        let Some(function) = self.inner.function("schema") else { return Ok(None) };
        let asked = self.inner.call(&function, (), Limits::for_input(0), self.wanted.clone());
        let (text,): (String,) = match asked.result {
            Ok(text) => text,
            Err(failure) => bail!("the component cannot be asked for its schema: {}", failure.reason),
        };
        let schema = serde_json::from_str(&text).context("the component's schema is not JSON")?;
        Ok(Some(schema))
    }

    /// Asks what an event is about.
    pub fn key(&self, event: &Event) -> Asked<Result<Entity, String>> {
        let limits = Limits::for_input(event.webhook.payload.len());
        let asked = self.inner.call::<Key<'_>, Keyed>(
            &self.inner.key,
            (v0_1::Event::from(event),),
            limits,
            self.wanted.clone(),
        );
        asked.map(|(key,)| key.map(Entity::from)).measured(|key| match key {
            Ok(entity) => entity.names.iter().chain(&entity.after).map(String::len).sum(),
            Err(why) => why.len(),
        })
    }

    /// Asks what to do next.
    pub fn step(&self, event: &Event, memory: &[String], replies: &[Vec<Reply>]) -> Asked<Next> {
        let bytes = event.webhook.payload.len()
            + memory.iter().map(String::len).sum::<usize>()
            + replies.iter().flatten().map(Reply::bytes).sum::<usize>();
        let replies: Vec<Vec<v0_1::Reply>> =
            replies.iter().map(|pass| pass.iter().map(v0_1::Reply::from).collect()).collect();
        let parameters = (v0_1::Event::from(event), memory, &replies[..]);
        let (limits, wanted) = (Limits::for_input(bytes), self.wanted.clone());
        let asked = self.inner.call::<Step<'_>, Stepped>(&self.inner.step, parameters, limits, wanted);
        asked.map(|(next,)| Next::from(next)).measured(Next::bytes)
    }
}

impl WeakPlugin {
    pub fn upgrade(&self) -> Option<Plugin> {
        self.0.upgrade().map(|inner| Plugin { inner, wanted: StillWanted::default() })
    }
}

impl Inner {
    /// Whether it has parts that copy texts to each other: each has a memory of its own.
    fn has_parts(&self) -> bool {
        let required = self.pre.component().resources_required();
        self.code.is_none() && required.is_none_or(|required| required.num_memories > 1)
    }

    /// What it says it is, with its collections.
    fn describe(&self) -> anyhow::Result<Manifest> {
        let asked = self.call(&self.describe, (), Limits::for_input(0), StillWanted::default());
        let (manifest,): (v0_1::Manifest,) = match asked {
            Asked { result: Ok(manifest), .. } => manifest,
            Asked { result: Err(failure), .. } => bail!("the component cannot be asked: {}", failure.reason),
        };
        let manifest = Manifest::from(manifest);
        let pulls = self.pulls(&manifest)?;
        Ok(Manifest { pulls, ..manifest })
    }

    fn check(&self) -> anyhow::Result<()> {
        let (limits, wanted) = (Limits::for_input(0), StillWanted::default());
        let (mut store, watch) = engine::watched(&self.engine, limits, self.has_parts(), wanted)?;
        let instance = match watch.carry_out(self.pre.instantiate_async(&mut store)) {
            Ok(instance) => instance,
            Err(error) => {
                let why = explain(&error, store.data(), limits).reason;
                bail!("the component cannot be started: {why}\nhint: correct what it does before it is asked anything");
            }
        };
        check_functions(&mut store, &instance, [&self.key, &self.step, &self.describe])
    }

    /// One call in a fresh instance.
    fn call<P, R>(
        &self,
        function: &ComponentExportIndex,
        parameters: P,
        limits: Limits,
        wanted: StillWanted,
    ) -> Asked<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let (mut store, watch) = match engine::watched(&self.engine, limits, self.has_parts(), wanted) {
            Ok(watched) => watched,
            Err(error) => {
                let failure = Failure::new(Blame::Host, format!("no store for the rules: {error:#}"));
                return Asked { result: Err(failure), usage: Usage::default(), limits, log: vec![] };
            }
        };
        let called = watch.carry_out(async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            self.settle(&mut store, &instance, limits).await?;
            let function = instance.get_typed_func::<P, R>(&mut store, function)?;
            function.call_async(&mut store, parameters).await
        });
        let mut usage = engine::usage(&store, limits);
        usage.ended = called.as_ref().err().and_then(wasmtime::Error::downcast_ref).copied();
        if called.as_ref().is_err_and(is_too_much) {
            usage.output_bytes = limits.output_bytes_max + 1;
        }
        let state = store.into_data();
        let result = called.map_err(|error| explain(&error, &state, limits));
        Asked { result, usage, limits, log: state.log }
    }
}

impl<T> Asked<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Asked<U> {
        Asked { result: self.result.map(f), usage: self.usage, limits: self.limits, log: self.log }
    }

    fn measured(mut self, bytes: impl FnOnce(&T) -> usize) -> Self {
        if let Ok(answer) = &self.result {
            self.usage.output_bytes = bytes(answer);
        }
        self
    }
}

/// Gives a component under construction its settings.
pub async fn configure(
    store: &mut Store<State>,
    component: &Component,
    instance: &Instance,
    rules: &str,
) -> anyhow::Result<Result<Vec<Problem>, Vec<Problem>>> {
    let limits = Limits::for_input(rules.len());
    let function = component
        .get_export_index(None, EXPORT)
        .and_then(|export| component.get_export_index(Some(&export), "configure"))
        .with_context(|| {
            format!("the component's `{EXPORT}` has no function `configure`\nhint: build it against wit/v0.1")
        })?;
    let configure = instance
        .get_typed_func::<(&str,), (Result<Vec<v0_1::Problem>, Vec<v0_1::Problem>>,)>(&mut *store, &function)
        .map_err(|error| misfit("the component's `configure`", &error))?;
    match configure.call_async(&mut *store, (rules,)).await {
        Ok((Ok(warnings),)) => Ok(Ok(warnings.into_iter().map(Problem::from).collect())),
        Ok((Err(problems),)) => Ok(Err(problems.into_iter().map(Problem::from).collect())),
        Err(error) => bail!(
            "`configure` failed: {}\nhint: correct the plugin's `configure`, or see what in the rules file is too much for it",
            explain(&error, store.data(), limits).reason
        ),
    }
}

/// What a component under construction says it is, once it is configured: it can be asked, and has the functions of the
/// contract.
pub async fn describe(
    store: &mut Store<State>,
    component: &Component,
    instance: &Instance,
) -> anyhow::Result<Manifest> {
    let (_, [key, step, describe]) = exports(&store.engine().clone(), component)?;
    check_functions(store, instance, [&key, &step, &describe])?;
    let function = instance.get_typed_func::<(), (v0_1::Manifest,)>(&mut *store, &describe);
    let function = function.map_err(|error| misfit("the component's `describe`", &error))?;
    let failed = |error: wasmtime::Error, store: &Store<State>| {
        anyhow!("the component cannot be asked: {}", explain(&error, store.data(), Limits::for_input(0)).reason)
    };
    let manifest = match function.call_async(&mut *store, ()).await {
        Ok((manifest,)) => Manifest::from(manifest),
        Err(error) => return Err(failed(error, store)),
    };
    let pulls = match pulls::listed(store, component, instance).await {
        Ok(pulls) => pulls,
        Err(error) => return Err(failed(error, store)),
    };
    pulls::check(&pulls, &manifest)?;
    Ok(Manifest { pulls, ..manifest })
}

/// Whether `key`, `step` and `describe` are those of the contract: what they take and give is only looked at when they are
/// called, and no webhook should be the first to do so.
fn check_functions(
    store: &mut Store<State>,
    instance: &Instance,
    [key, step, describe]: [&ComponentExportIndex; 3],
) -> anyhow::Result<()> {
    let fits = |name: &str, checked: wasmtime::Result<()>| {
        checked.map_err(|error| misfit(&format!("the component's `{name}`"), &error))
    };
    fits("describe", instance.get_typed_func::<(), (v0_1::Manifest,)>(&mut *store, describe).map(drop))?;
    fits("key", instance.get_typed_func::<Key<'_>, Keyed>(&mut *store, key).map(drop))?;
    fits("step", instance.get_typed_func::<Step<'_>, Stepped>(&mut *store, step).map(drop))
}

/// A linker that offers what a plugin may import, and nothing else.
pub fn linker(engine: &Engine) -> anyhow::Result<Linker<State>> {
    let mut linker = Linker::<State>::new(engine);
    let mut host = linker.instance(HOST_IMPORT).map_err(anyhow::Error::from)?;
    host.func_wrap("log", |mut store: StoreContextMut<State>, (line,): (String,)| {
        engine::pay_for_line(&mut store, line.len())?;
        store.data_mut().log(&line);
        Ok(())
    })
    .map_err(anyhow::Error::from)?;
    Ok(linker)
}

/// Whether a component imports nothing that it may not, and exports what can be asked.
pub fn check(engine: &Engine, component: &Component) -> anyhow::Result<()> {
    check_imports(engine, component, false)?;
    exports(engine, component)?;
    Ok(())
}

/// The names of a component's imports, if it may have them all. Its own code is none, where that is apart.
fn check_imports(engine: &Engine, component: &Component, is_apart: bool) -> anyhow::Result<Vec<String>> {
    let kind = component.component_type();
    let mut imports = vec![];
    for (import, offered) in kind.imports(engine) {
        if is_apart && import == split::CODE {
            continue;
        }
        imports.push(import.to_owned());
        let hint = match import.split_once('@') {
            Some(("tandem:rules/host", version)) => {
                check_version(version)?;
                check_host(engine, import, &offered.ty)?;
                continue;
            }
            Some(("tandem:rules/rules", version)) => {
                check_version(version)?;
                "it wraps other rules: `tandem build acme.toml --base FILE -o acme.wasm` puts the default rules behind it"
            }
            Some((name, version)) if name.starts_with("tandem:rules/") => {
                check_version(version)?;
                "rules may import nothing but `tandem:rules/host`"
            }
            _ if import.starts_with("wasi:") => {
                "rules have no WASI: build for `wasm32-unknown-unknown`, and return a call instead of connecting"
            }
            _ => "rules may import nothing but `tandem:rules/host`",
        };
        bail!("the component imports `{import}`, which plugins may not use\nhint: {hint}");
    }
    Ok(imports)
}

/// A later patch of the contract may have functions that this host lacks.
fn check_host(engine: &Engine, import: &str, host: &ComponentItem) -> anyhow::Result<()> {
    let ComponentItem::ComponentInstance(host) = host else { return Ok(()) };
    match host.exports(engine).find(|(name, _)| !HOST_FUNCTIONS.contains(name)) {
        Some((function, _)) => bail!(
            "the component needs `{function}` of `{import}`; this host speaks `{WORLD}`, which does not have it\n\
             hint: update Tandem, or build it against wit/v0.1 of this one"
        ),
        None => Ok(()),
    }
}

/// Whether a component of that version of the contract can be asked: any patch of ours.
fn check_version(version: &str) -> anyhow::Result<()> {
    if version.starts_with("0.1.") {
        return Ok(());
    }
    let numbers = |version: &str| version.split('.').map_while(|part| part.parse().ok()).collect::<Vec<u64>>();
    let newer = numbers(version) > vec![0, 1];
    let hint = if newer { "update Tandem, or build it against wit/v0.1" } else { "build it against wit/v0.1" };
    bail!("the component is built for `tandem:rules@{version}`; this host speaks `{WORLD}`\nhint: {hint}")
}

/// The world that a component is built for, and the functions that it has of it: `key`, `step` and `describe`.
fn exports(engine: &Engine, component: &Component) -> anyhow::Result<(String, [ComponentExportIndex; 3])> {
    let kind = component.component_type();
    let names: Vec<_> = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let Some(version) = names.iter().find_map(|name| name.strip_prefix("tandem:rules/rules@")) else {
        let exported = match names.as_slice() {
            [] => "nothing".to_owned(),
            [one] => format!("`{one}`"),
            [one, ..] => format!("`{one}` and more"),
        };
        bail!(
            "the component exports {exported}, and not `{EXPORT}`: it is no plugin\nhint: export your rules with `tandem_sdk::export!`"
        );
    };
    check_version(version)?;
    let rules = component.get_export_index(None, EXPORT);
    let function = |name: &str| {
        rules.and_then(|rules| component.get_export_index(Some(&rules), name)).with_context(|| {
            format!("the component's `{EXPORT}` has no function `{name}`\nhint: build it against wit/v0.1")
        })
    };
    Ok((format!("tandem:rules@{version}"), [function("key")?, function("step")?, function("describe")?]))
}

/// That something of a component is not as the contract has it.
pub fn misfit(what: &str, error: &wasmtime::Error) -> anyhow::Error {
    anyhow!("{what} does not fit `{WORLD}`: {}\nhint: build it against wit/v0.1 as it is", error.root_cause())
}

/// A trap in words for the tenant.
fn explain(error: &wasmtime::Error, state: &State, limits: Limits) -> Failure {
    let last = state.last_line.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = if last.is_empty() { String::new() } else { format!("; the last line of their log: {last}") };
    match error.downcast_ref::<Ended>() {
        Some(Ended::Unwanted) => {
            let why = "the ask was given up: its event begins again or is over, or the host stops";
            return Failure::new(Blame::Host, why);
        }
        Some(Ended::Late) => {
            let seconds = limits.time_max.as_secs_f64();
            let reason = format!("the rules took too long: more than {seconds:.1} s of processor time in one ask");
            return Failure::new(Blame::Plugin, reason);
        }
        None => {}
    }
    let reason = if state.refused_bytes > 0 {
        format!("the rules ran out of memory: more than {} MiB for this event", limits.memory_bytes_max >> 20)
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => {
                let log = if state.log_fuel > limits.fuel_max / 2 { ", most of them for what they logged" } else { "" };
                format!(
                    "the rules ran too long: more than {} million instructions in one ask{log}",
                    limits.fuel_max / 1_000_000
                )
            }
            Some(Trap::StackOverflow) => "the rules ran out of stack: they call themselves too deeply".to_owned(),
            // The SDK logs what a panic says and where.
            Some(Trap::UnreachableCodeReached) if last.starts_with("panicked at ") => format!("the rules {last}"),
            Some(Trap::UnreachableCodeReached) => format!("the rules panicked{said}"),
            Some(trap) => format!("the rules trapped ({trap}){said}"),
            None if is_too_much(error) => {
                format!("the rules answered too much: more than {} KiB for this event", limits.output_bytes_max >> 10)
            }
            None => format!("the rules could not be asked: {}", error.root_cause()),
        }
    };
    Failure::new(Blame::Plugin, reason)
}

/// wasmtime has no type for "the fuel for what a guest hands over is used up", only its message.
fn is_too_much(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| cause.to_string().contains("fuel allocated for hostcalls has been exhausted"))
}
