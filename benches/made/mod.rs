//! Plugins around the default rules, made as their authors make them: what the benches compare. Knows no event.

#![allow(dead_code, reason = "each bench uses its own part")]

#[path = "../../tests/scaffold/make.rs"]
mod make;
#[path = "../../tests/wrapper/mod.rs"]
mod wrapper;

use make::Scaffold;
use tandem::rules::Plugin;
use tandem::{bake, engine};

pub const RULES: &str = "timezone = \"Australia/Melbourne\"\n";

pub fn default_rules() -> Plugin {
    build(&bake::default_base().expect("they were built"))
}

/// A wrapper that only passes on.
pub fn composed() -> Plugin {
    build(&wrapper::component())
}

/// What `tandem new` writes, linked with the default rules.
pub fn rust() -> Plugin {
    made(&Scaffold::new("vip", &["--sdk", env!("CARGO_MANIFEST_DIR")], "target"), "vip.wasm")
}

/// What `tandem new --lang js` writes, composed with them; with `change`, what that makes of its `rules.js`. `None`: there
/// is no npm.
pub fn javascript(change: impl FnOnce(String) -> String) -> Option<Plugin> {
    if !make::has_npm() {
        return None;
    }
    let js = Scaffold::new("shout", &["--lang", "js"], "node_modules");
    let path = js.folder.join("rules.js");
    let rules = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(&path, change(rules)).expect("it can be written");
    Some(made(&js, "acme.wasm"))
}

fn build(base: &[u8]) -> Plugin {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let building = engine::building_engine().expect("an engine");
    let built = runtime.block_on(bake::bake(&building, base, "rules.toml", RULES)).expect("the rules are right");
    load(&built.component)
}

fn made(scaffold: &Scaffold, component: &str) -> Plugin {
    for line in scaffold.commands().iter().filter(|line| !line.contains(" test")) {
        scaffold.run(line);
    }
    load(&std::fs::read(scaffold.folder.join(component)).expect("it was built"))
}

fn load(component: &[u8]) -> Plugin {
    Plugin::load(&engine::engine().expect("an engine"), component).expect("what was built can be loaded")
}
