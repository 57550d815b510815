//! A component for people: its world, imports, manifest and limits. Knows how to show; loads nothing itself.

use std::fmt::Write as _;

use crate::bake::Origin;
use crate::engine::Limits;
use crate::paint::harmless;
use crate::rules::Plugin;

/// What `tandem inspect` prints.
pub fn report(plugin: &Plugin, origin: Option<&Origin>) -> String {
    let manifest = plugin.manifest();
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<9} {}", harmless(&value));
    };
    field("name", format!("{} {}", manifest.name, manifest.version));
    field("digest", format!("sha256:{}", plugin.digest()));
    if let Some(Origin { rules, base_digest }) = origin {
        field("base", format!("sha256:{base_digest}"));
        field("rules", format!("{} bytes; `--rules` prints them", rules.len()));
    }
    field("world", plugin.world().to_owned());
    field("imports", if plugin.imports().is_empty() { "nothing".to_owned() } else { plugin.imports().join(", ") });
    for target in &manifest.targets {
        let version = if target.api_version.is_empty() { String::new() } else { format!(" {}", target.api_version) };
        field("calls", format!("{}{version} with {}", target.name, target.scopes.join(", ")));
    }
    for source in sources(plugin) {
        let topics = manifest.listens.iter().filter(|(from, _)| *from == source).map(|(_, topic)| topic.as_str());
        field("listens", format!("{source}: {}", topics.collect::<Vec<_>>().join(", ")));
    }
    for setting in &manifest.settings {
        let fixed = if setting.fixed { "  (fixed once profiles are linked)" } else { "" };
        field(
            "setting",
            format!("{} = {}{fixed}", setting.at.trim_start_matches('/').replace('/', "."), setting.value),
        );
    }
    for (what, bytes) in [("1 KiB", 1 << 10), ("100 KiB", 100 << 10), ("2 MiB", 2 << 20)] {
        let limits = Limits::for_input(bytes);
        field(
            "limits",
            format!(
                "an ask about {what}: {} million units of fuel, {} MiB of memory, {} KiB of answer",
                limits.fuel_max / 1_000_000,
                limits.memory_bytes_max >> 20,
                limits.output_bytes_max >> 10
            ),
        );
    }
    text
}

fn sources(plugin: &Plugin) -> Vec<String> {
    let mut sources: Vec<_> = plugin.manifest().listens.iter().map(|(source, _)| source.clone()).collect();
    sources.sort();
    sources.dedup();
    sources
}
