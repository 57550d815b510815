//! A plugin that imports the rules it wraps: baked, put together, asked, and built again from.
//!
//! The wrapper here only passes on, in a hundred lines of text, so that no other toolchain is needed.

use crate::wrapper;

use tandem::bake::{self, Refused};
use tandem::engine;
use tandem::rules::Plugin;
use tandem::sandbox::{Case, Rules, find};

async fn build(base: &[u8], rules: &str) -> Result<Vec<u8>, Refused> {
    bake::bake(&engine::building_engine().unwrap(), base, "acme.toml", rules).await.map(|baked| baked.component)
}

fn zone(component: &[u8]) -> String {
    let plugin = Plugin::load(&engine::building_engine().unwrap(), component).unwrap();
    plugin.manifest().settings.iter().find(|setting| setting.at == "/timezone").unwrap().value.clone()
}

#[tokio::test]
async fn a_wrapper_has_the_default_rules_behind_it_with_their_settings() {
    let wrapper = wrapper::component();
    let composed = build(&wrapper, "timezone = \"Australia/Melbourne\"\n").await.unwrap();
    let plugin = Plugin::load(&engine::engine().unwrap(), &composed).unwrap();
    assert!(plugin.imports().is_empty(), "{:?}", plugin.imports());
    // What it passes on is what the rules say: the same cases hold.
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/shopify/customers-create");
    let cases: Vec<_> = find(&cases).unwrap().iter().map(|dir| Case::read(dir).unwrap()).collect();
    let usual: Vec<_> = cases.iter().filter(|case| case.rules.is_none()).collect();
    assert!(usual.len() > 5);
    for case in usual {
        let report = case.run(&Rules::from(&plugin), None);
        assert_eq!(report.wrong(), None, "{}", case.name);
    }
}

#[tokio::test]
async fn a_composition_is_built_the_same_again_and_built_from_again() {
    let (one, two) = ("timezone = \"UTC\"\n", "timezone = \"Europe/Berlin\"\n");
    let wrapper = wrapper::component();
    let composed = build(&wrapper, one).await.unwrap();
    assert!(composed == build(&wrapper, one).await.unwrap(), "two builds differ");
    assert_eq!(zone(&composed), "\"UTC\"");
    let other = build(&composed, two).await.unwrap();
    assert_eq!(zone(&other), "\"Europe/Berlin\"");
    assert!(other == build(&wrapper, two).await.unwrap(), "what it was built from shows");
}

#[tokio::test]
async fn mistakes_are_those_of_the_rules_inside() {
    let refused = build(&wrapper::component(), "timezone = 3\n").await.unwrap_err().to_string();
    assert!(refused.contains("acme.toml:1:1"), "{refused}");
}

#[test]
fn a_wrapper_with_nothing_behind_it_is_refused_with_the_way_out() {
    let error = Plugin::load(&engine::engine().unwrap(), &wrapper::component()).err().unwrap().to_string();
    assert_eq!(
        error,
        "the component imports `tandem:rules/rules@0.1.0`, which plugins may not use\n\
         hint: it wraps other rules: `tandem build acme.toml --base FILE -o acme.wasm` puts the default rules behind it"
    );
}

#[tokio::test]
async fn a_wrapper_that_was_cut_off_is_refused() {
    let mut wrapper = wrapper::component();
    wrapper.truncate(wrapper.len() - 1);
    let refused = build(&wrapper, "timezone = \"UTC\"\n").await.unwrap_err().to_string();
    assert!(refused.contains("cut off"), "{refused}");
}
