//! Makes components: encodes a core module, and freezes a rules file into a component.
//!
//! Knows what is done in which order; what the rules mean only the component knows.

use std::borrow::Cow;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wizer::{WasmtimeWizerComponent, Wizer};

use crate::compose;
use crate::engine::{self, Limits};
use crate::files;
use crate::rules::{self, Manifest, Plugin, Problem};

mod agreement;
mod document;
mod explain;
mod sections;

pub use explain::explain;
pub use sections::{Origin, origin};

use document::Document;

/// Longest rules file, in bytes.
pub const RULES_BYTES_MAX: usize = 1 << 20;
/// How long a schema may take to be compared with what `configure` does.
const SCHEMA_CHECK_MAX: Duration = Duration::from_secs(20);
/// The default rules, as the core module that the build made.
const DEFAULT_MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.wasm"));

/// A rules file that has become a component.
#[derive(Debug)]
pub struct Baked {
    pub component: Vec<u8>,
    /// Its manifest; `None` for a composition, which has not been asked yet.
    pub manifest: Option<Manifest>,
    /// Doubts of the rules, ready to print like mistakes; usually empty.
    pub warnings: String,
}

/// Why a rules file did not become a component.
#[derive(Debug)]
pub enum Refused {
    /// Mistakes in the rules file, ready to print: place, line, caret and fix.
    Rules(String),
    /// Anything else.
    Other(anyhow::Error),
}

/// The default rules as a component that is not configured.
pub fn default_base() -> anyhow::Result<Vec<u8>> {
    encode(DEFAULT_MODULE).context("encoding the default rules")
}

/// Whether two components were built from one base, with rules files that say the same at these pointers.
pub fn say_the_same<'a>(one: &[u8], other: &[u8], mut at: impl Iterator<Item = &'a str>) -> bool {
    let (Some(one), Some(other)) = (origin(one), origin(other)) else { return false };
    let (said, says) = (Document::read("", &one.rules).json(), Document::read("", &other.rules).json());
    one.base_digest == other.base_digest && at.all(|at| said.pointer(at) == says.pointer(at))
}

/// Makes a component of a core module that carries the plugin world. A component stays as it is.
pub fn encode(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let kind = match bytes {
        _ if wasmparser::Parser::is_component(bytes) => "component",
        _ if wasmparser::Parser::is_core_wasm(bytes) => "core module",
        _ => bail!("this is not WebAssembly\nhint: `tandem build` makes a component of a rules file"),
    };
    // Validated before anything else: the code that encodes and freezes trusts what it reads, and panics on a file that
    // was cut off.
    if let Err(error) = wasmparser::validate(bytes) {
        bail!("the {kind} is not valid: {error}\nhint: it may have been cut off; build it again");
    }
    let component = if kind == "component" { bytes.to_vec() } else { encode_module(bytes)? };
    // Checked here, since every component passes here before it is built, tested, deployed or served.
    rules::check_fit(&component)?;
    Ok(component)
}

fn encode_module(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encoded =
        wit_component::ComponentEncoder::default().validate(true).module(bytes).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        anyhow!(
            "this core module cannot be made a plugin: {}\nhint: build it with `tandem_sdk::export!` for wasm32-unknown-unknown",
            error.root_cause()
        )
    })
}

/// The component in a file, which may also be a core module.
pub fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    encode(&files::read(path, "plugin")?).with_context(|| format!("plugin `{}`", path.display()))
}

/// The text of a rules file.
pub fn read_rules(path: &Path) -> anyhow::Result<String> {
    let (name, bytes) = (path.display(), files::read(path, "the rules")?);
    if bytes.len() > RULES_BYTES_MAX {
        bail!(
            "the rules `{name}` have {} bytes; {RULES_BYTES_MAX} are allowed\nhint: write less into them",
            bytes.len()
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow!("the rules `{name}` are not UTF-8 in line {line}\nhint: save the file as UTF-8")
    })
}

/// Freezes a rules file into a base component. The result starts with these rules parsed and checked, and its bytes
/// depend on the base and the rules file only. If the base was itself built in this way, the base that it was built
/// from is taken.
pub async fn bake(engine: &Engine, base: &[u8], file: &str, rules: &str) -> Result<Baked, Refused> {
    let base = sections::base(base).map_err(Refused::Other)?;
    let document = Document::read(file, rules);
    match freeze(engine, &base, &document.json().to_string()).await {
        Ok(Err(problems)) => Err(Refused::Rules(document.refused(&problems))),
        // If the TOML is broken, the component was given less than the file says, and may find nothing wrong with that.
        _ if !document.is_sound() => Err(Refused::Rules(document.refused(&[]))),
        Ok(Ok(Frozen { component, manifest, warnings })) => Ok(Baked {
            component: sections::seal(component, &base, rules).map_err(Refused::Other)?,
            manifest,
            warnings: document.warnings(&warnings),
        }),
        Err(error) => Err(Refused::Other(error)),
    }
}

/// The base that a component was built from; the component itself if it was not built.
pub fn unfrozen(component: &[u8]) -> anyhow::Result<Cow<'_, [u8]>> {
    sections::base(component)
}

/// Loads a component that is not configured, so that it can be asked. A wrapper gets the default rules behind it.
pub fn whole(base: &[u8]) -> anyhow::Result<Plugin> {
    let base = sections::base(base)?;
    let composed = compose::wrapper(&base).map(|wrapper| compose::around(wrapper, &default_base()?)).transpose()?;
    Plugin::load(&engine::checking_engine()?, composed.as_deref().unwrap_or(&base))
}

/// What a plugin's author should know of its schema: a line for each place where it disagrees with `configure`,
/// beginning at a rules file that `configure` takes. The default rules and their wrappers are held to that by tests.
pub fn schema_doubts(base: &[u8], rules: &str) -> anyhow::Result<Vec<String>> {
    let (base, default) = (sections::base(base)?, default_base()?);
    if compose::wrapper(&base).is_some() || *base == *default {
        return Ok(vec![]);
    }
    let plugin = whole(&base)?;
    let Some(schema) = plugin.schema()? else { return Ok(vec![]) };
    let configure = move |rules: &Value| {
        Ok(match plugin.configured(&rules.to_string())? {
            Ok(_) => vec![],
            Err(mistakes) => mistakes,
        })
    };
    let rules = Document::read("", rules).json();
    Ok(within(SCHEMA_CHECK_MAX, move || agreement::doubts(&schema, &rules, configure)))
}

/// What a comparison finds, if it comes to an end in time. What a schema refers to itself can take any time: the command ends,
/// and with it this thread.
fn within(max: Duration, compare: impl FnOnce() -> Vec<String> + Send + 'static) -> Vec<String> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(compare()));
    told.recv_timeout(max).unwrap_or_else(|without| {
        vec![match without {
            RecvTimeoutError::Timeout => format!("its schema is not checked: that takes more than {max:?}"),
            RecvTimeoutError::Disconnected => "its schema is not checked: the comparison panicked on it".to_owned(),
        }]
    })
}

/// The plugin that [`bake`] would make of a rules file, without freezing it: the base is compiled already, and is
/// configured in each ask. The plugin's digest is that of its base.
pub fn configured(base: &Plugin, file: &str, rules: &str) -> Result<(Plugin, String), Refused> {
    let document = Document::read(file, rules);
    match base.configured(&document.json().to_string()) {
        Ok(Err(problems)) => Err(Refused::Rules(document.refused(&problems))),
        _ if !document.is_sound() => Err(Refused::Rules(document.refused(&[]))),
        Ok(Ok((plugin, warnings))) => Ok((plugin, document.warnings(&warnings))),
        Err(error) => Err(Refused::Other(error)),
    }
}

struct Frozen {
    component: Vec<u8>,
    manifest: Option<Manifest>,
    warnings: Vec<Problem>,
}

/// The frozen component with warnings, or every mistake in the rules.
async fn freeze(engine: &Engine, base: &[u8], rules: &str) -> anyhow::Result<Result<Frozen, Vec<Problem>>> {
    // A wrapper gets the default rules behind it, which are frozen before: a composition could not be frozen.
    if let Some(wrapper) = compose::wrapper(base) {
        return match Box::pin(freeze(engine, &default_base()?, rules)).await? {
            Ok(inner) => {
                Ok(Ok(Frozen { component: compose::around(wrapper, &inner.component)?, manifest: None, ..inner }))
            }
            Err(problems) => Ok(Err(problems)),
        };
    }
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument_component(base).map_err(|error| {
        anyhow!(
            "the component cannot be frozen: {}\nhint: a base is one plugin as `tandem_sdk::export!` makes it; what is composed of several is frozen before",
            error.root_cause()
        )
    })?;
    let component =
        Component::new(engine, &instrumented).map_err(anyhow::Error::from).context("compiling the base component")?;
    rules::check(engine, &component)?;
    let limits = Limits::for_input(rules.len());
    let mut store = engine::store(engine, limits)?;
    let instance = rules::linker(engine)?.instantiate_async(&mut store, &component).await;
    let instance = instance.map_err(|error| rules::misfit("the component", &error))?;
    let warnings = match rules::configure(&mut store, &component, &instance, rules).await? {
        Ok(warnings) => warnings,
        Err(problems) => return Ok(Err(problems)),
    };
    // The snapshot reads the whole memory. That is no answer of the component's, and takes nothing of its fuel.
    store.set_hostcall_fuel(usize::MAX);
    store.set_fuel(u64::MAX).map_err(anyhow::Error::from)?;
    let snapshot = wizer
        .snapshot_component(&context, &mut WasmtimeWizerComponent { store: &mut store, instance })
        .await
        .map_err(anyhow::Error::from)
        .context("freezing the configured component")?;
    // After the snapshot, this instance answers as the frozen component will. To compile the frozen component, too,
    // would take as long again.
    store.set_hostcall_fuel(limits.output_bytes_max);
    store.set_fuel(limits.fuel_max).map_err(anyhow::Error::from)?;
    let manifest = rules::describe(&mut store, &component, &instance).await?;
    Ok(Ok(Frozen { component: snapshot, manifest: Some(manifest), warnings }))
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Rules(problems) => f.write_str(problems.trim_end()),
            Self::Other(error) => write!(f, "error: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bake_default(rules: &str) -> Result<Vec<u8>, Refused> {
        let engine = engine::building_engine().unwrap();
        Ok(bake(&engine, &default_base().unwrap(), "acme.toml", rules).await?.component)
    }

    #[tokio::test]
    async fn the_same_rules_give_the_same_bytes() {
        let rules = "timezone = \"UTC\"\n[tags]\nwhitelist = [\"vip\"]\n";
        let (one, two) = (bake_default(rules).await.unwrap(), bake_default(rules).await.unwrap());
        assert_eq!(rules::digest(&one), rules::digest(&two));
        let plugin = Plugin::load(&engine::engine().unwrap(), &one).unwrap();
        let setting = plugin.manifest().settings.iter().find(|setting| setting.at == "/tags/whitelist").unwrap();
        assert_eq!(setting.value, "[\"vip\"]");
        assert!(plugin.imports().is_empty());
    }

    #[tokio::test]
    async fn every_mistake_is_shown_in_its_line() {
        let refused =
            bake_default("[tags]\nwhitelst = [\"vip\"]\nprefix = 3\n[sync]\norders = false\n").await.unwrap_err();
        let expected = "error: unknown key `whitelst`\n --> acme.toml:2:1\n  |\n2 | whitelst = [\"vip\"]\n  | ^^^^^^^^\nhint: did you mean `whitelist`?\n\n\
            error: expected a text that is not empty, found `3`\n --> acme.toml:3:1\n  |\n3 | prefix = 3\n  | ^^^^^^\nhint: write `prefix = \"…\"`";
        assert_eq!(refused.to_string(), expected);
        let refused = bake_default("timezone = \n").await.unwrap_err().to_string();
        assert!(refused.contains("acme.toml:1:12"), "{refused}");
    }

    #[tokio::test]
    async fn a_mistake_in_an_expression_is_shown_at_its_character() {
        let field =
            |expression: &str| format!("[fields.hello]\nshopify = \"metafields.a.b\"\nexpression = {expression}\n");
        for (expression, shown) in [
            (
                "\"join(' ', [upper(a)])\"",
                "error: there is no function `upper` (character 17)\n --> acme.toml:3:26\n  |\n3 | expression = \"join(' ', [upper(a)])\"\n  |                          ^\n",
            ),
            ("'a || nope(b)'", " --> acme.toml:3:20\n"),
            ("\"a ||\"", " --> acme.toml:3:19\n"),
            // The file writes this text with escapes, so its key is shown instead.
            ("\"a || nope(\\\"b\\\")\"", " --> acme.toml:3:1\n"),
        ] {
            let refused = bake_default(&field(expression)).await.unwrap_err().to_string();
            assert!(refused.contains(shown), "{expression}\n{refused}");
        }
    }

    #[test]
    fn a_comparison_that_does_not_end_and_one_that_panics_are_told_apart() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let endless = move || {
            let _ = stopped.recv();
            vec![]
        };
        let said = within(Duration::from_millis(20), endless);
        assert_eq!(said, ["its schema is not checked: that takes more than 20ms"]);
        drop(stop);
        let said = within(SCHEMA_CHECK_MAX, || panic!("as meant"));
        assert_eq!(said, ["its schema is not checked: the comparison panicked on it"]);
        assert_eq!(within(SCHEMA_CHECK_MAX, || vec!["found".to_owned()]), ["found"]);
    }

    #[test]
    fn what_is_not_wasm_is_refused() {
        assert!(encode(b"hello").unwrap_err().to_string().contains("not WebAssembly"));
    }
}
