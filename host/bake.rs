//! Makes components: encodes a core module, and freezes a rules file into a component.
//!
//! Knows TOML and where each key stands in it; what the keys mean only the component knows.

use std::fmt::Write as _;
use std::ops::Range;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use toml::de::{DeTable, DeValue};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wizer::{WasmtimeWizerComponent, Wizer};

use crate::engine::{self, Limits};
use crate::rules::{self, Problem};

/// The default rules, as the core module that the build made.
const DEFAULT_MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.wasm"));

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

/// A component from a component or from a core module that carries the plugin world.
pub fn encode(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    if wasmparser::Parser::is_component(bytes) {
        return Ok(bytes.to_vec());
    }
    if !wasmparser::Parser::is_core_wasm(bytes) {
        bail!("this is not WebAssembly\nhint: `tandem build` makes a component of a rules file");
    }
    // Before it is encoded: the encoder trusts what it reads, and panics on a module that was cut off.
    if let Err(error) = wasmparser::validate(bytes) {
        bail!("the core module is not valid: {error}\nhint: it may have been cut off; build it again");
    }
    let encoded =
        wit_component::ComponentEncoder::default().validate(true).module(bytes).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        anyhow!(
            "this core module cannot be made a plugin: {}\nhint: build it with `tandem_sdk::export!` for wasm32-unknown-unknown",
            error.root_cause()
        )
    })
}

/// Freezes a rules file into a base component. The result starts with these rules parsed and checked, and is the same
/// bytes whenever base and rules file are.
pub async fn bake(engine: &Engine, base: &[u8], file: &str, rules: &str) -> Result<Vec<u8>, Refused> {
    let document = DeTable::parse(rules).map_err(|error| {
        let place = error.span().unwrap_or(0..0);
        Refused::Rules(render(file, rules, &place, &error.message().replace('\n', ", "), "correct the TOML"))
    })?;
    let json = Value::Object(
        document.get_ref().iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect(),
    );
    match freeze(engine, base, &json.to_string()).await {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(problems)) => {
            let place = |problem: &Problem| place_of(document.get_ref(), &problem.at);
            let mut problems: Vec<_> = problems.iter().map(|problem| (place(problem), problem)).collect();
            problems.sort_by_key(|(place, _)| place.start);
            let shown: Vec<_> = problems
                .iter()
                .map(|(place, problem)| render(file, rules, place, &problem.message, &problem.fix))
                .collect();
            Err(Refused::Rules(shown.join("\n")))
        }
        Err(error) => Err(Refused::Other(error)),
    }
}

async fn freeze(engine: &Engine, base: &[u8], rules: &str) -> anyhow::Result<Result<Vec<u8>, Vec<Problem>>> {
    let wizer = Wizer::new();
    let (context, instrumented) =
        wizer.instrument_component(base).map_err(anyhow::Error::from).context("preparing the base component")?;
    let component =
        Component::new(engine, &instrumented).map_err(anyhow::Error::from).context("compiling the base component")?;
    let mut store = engine::store(engine, Limits::for_input(rules.len()))?;
    let instance = rules::linker(engine)?
        .instantiate_async(&mut store, &component)
        .await
        .map_err(anyhow::Error::from)
        .context("instantiating the base component")?;
    let configured = rules::configure(&mut store, &component, &instance, rules).await?;
    if let Err(problems) = configured {
        return Ok(Err(problems));
    }
    // The snapshot hands over the whole memory, which is no answer of the component's.
    store.set_hostcall_fuel(usize::MAX);
    let snapshot = wizer
        .snapshot_component(&context, &mut WasmtimeWizerComponent { store: &mut store, instance })
        .await
        .map_err(anyhow::Error::from)
        .context("freezing the configured component")?;
    Ok(Ok(snapshot))
}

fn to_json(value: &DeValue) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => number.into(),
            Err(_) => Value::String(integer.as_str().to_owned()),
        },
        DeValue::Float(float) => float.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(list) => list.iter().map(|value| to_json(value.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect(),
        ),
    }
}

/// Where a JSON pointer leads: the key, or for the root the beginning of the file.
fn place_of(table: &DeTable, pointer: &str) -> Range<usize> {
    let mut place = 0..0;
    let mut table = Some(table);
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let Some((key, value)) = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref().as_ref() == part))
        else {
            break;
        };
        place = key.span();
        table = value.get_ref().as_table();
    }
    place
}

/// A problem as a compiler would show it.
fn render(file: &str, text: &str, place: &Range<usize>, message: &str, fix: &str) -> String {
    let start = text.floor_char_boundary(place.start.min(text.len()));
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let number = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let width = text.get(start..place.end.min(line_start + line.len())).map_or(1, |part| part.chars().count().max(1));
    let gutter = " ".repeat(number.to_string().len());
    let mut shown = String::new();
    let _ = writeln!(shown, "error: {message}");
    let _ = writeln!(shown, "{gutter}--> {file}:{number}:{column}");
    let _ = writeln!(shown, "{gutter} |");
    let _ = writeln!(shown, "{number} | {line}");
    let _ = writeln!(shown, "{gutter} | {}{}", " ".repeat(column - 1), "^".repeat(width));
    let _ = writeln!(shown, "hint: {fix}");
    shown
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
    use crate::rules::Plugin;

    async fn bake_default(rules: &str) -> Result<Vec<u8>, Refused> {
        let engine = engine::building_engine().unwrap();
        bake(&engine, &default_base().unwrap(), "acme.toml", rules).await
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

    #[test]
    fn what_is_not_wasm_is_refused() {
        assert!(encode(b"hello").unwrap_err().to_string().contains("not WebAssembly"));
    }
}
