//! Puts a component around the rules that it wraps, so that the two become one. Knows nothing of settings or of
//! languages.

use anyhow::{Context, anyhow};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId};
use wasmparser::{Parser, Payload};

/// The interface that a wrapper imports, which it exports itself, too.
pub const WRAPPED: &str = "tandem:rules/rules@0.1.";

/// The component that wraps other rules: this one, or the one in this composition; `None` if there is none.
pub fn wrapper(component: &[u8]) -> Option<&[u8]> {
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        // What is wrong with a component is told when it is compiled.
        match payload.ok()? {
            Payload::ComponentImportSection(imports)
                if depth == 0
                    && imports.clone().into_iter().flatten().any(|import| import.name.name.starts_with(WRAPPED)) =>
            {
                return Some(component);
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                if depth == 0
                    && let Some(inside) = component.get(unchecked_range).and_then(wrapper)
                {
                    return Some(inside);
                }
                depth += 1;
            }
            Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Puts a wrapper around these rules. The result is one component, which imports at most what the two import besides.
pub fn around(wrapper: &[u8], inner: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let inner = package(&mut graph, "inner", inner)?;
    let wrapper = package(&mut graph, "wrapper", wrapper)?;
    wac_graph::plug(&mut graph, vec![inner], wrapper).map_err(|error| {
        anyhow!(
            "the component cannot be put around the default rules: {error}\nhint: build it for the world `wrapper` of wit/v0.1"
        )
    })?;
    // The caller compiles the result, which also validates it.
    graph
        .encode(EncodeOptions { validate: false, ..EncodeOptions::default() })
        .context("composing the component with the default rules")
}

fn package(graph: &mut CompositionGraph, name: &str, component: &[u8]) -> anyhow::Result<PackageId> {
    let package = Package::from_bytes(name, None, component, graph.types_mut()).map_err(|error| {
        anyhow!("the component cannot be composed: {error:#}\nhint: it may have been cut off; build it again")
    })?;
    Ok(graph.register_package(package)?)
}
