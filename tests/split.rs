//! Code that components of one base share: each is what it is as a whole, to the unit of fuel and the byte of memory, and a
//! host has the code once.

use std::path::Path;

use tandem::bake;
use tandem::engine;
use tandem::rules::Plugin;
use tandem::sandbox::{Case, Rules, find};

async fn build(rules: &str) -> Vec<u8> {
    let engine = engine::building_engine().unwrap();
    bake::bake(&engine, &bake::default_base().unwrap(), "acme.toml", rules).await.unwrap().component
}

#[tokio::test]
async fn a_component_in_two_does_what_it_does_as_a_whole() {
    let engine = engine::checking_engine().unwrap();
    let component = build("timezone = \"UTC\"\n").await;
    let (whole, apart) = (Plugin::load(&engine, &component).unwrap(), Plugin::load_apart(&engine, &component).unwrap());
    assert!(apart.shared_code().is_some(), "it stayed whole");
    assert_eq!(
        (apart.manifest(), apart.digest(), apart.imports()),
        (whole.manifest(), whole.digest(), whole.imports())
    );
    let cases = find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap();
    let cases: Vec<_> =
        cases.iter().map(|folder| Case::read(folder).unwrap()).filter(|case| case.rules.is_none()).collect();
    assert!(cases.len() > 50);
    for case in cases {
        let (one, other) = (case.run(&Rules::from(&whole), None), case.run(&Rules::from(&apart), None));
        assert_eq!(one.actual, other.actual, "{}", case.name);
        assert_eq!(one.asks, other.asks, "{}", case.name);
    }
}

#[tokio::test]
async fn what_is_of_one_base_has_one_code() {
    let engine = engine::compiling_engine().unwrap();
    let (one, two) =
        (build("timezone = \"UTC\"\n").await, build("timezone = \"Asia/Tokyo\"\n[tags]\nprefix = \"x-\"\n").await);
    let plugins = [one, two].map(|component| Plugin::load_apart(&engine, &component).unwrap());
    let [one, two] = plugins.each_ref().map(|plugin| plugin.shared_code().unwrap());
    assert_eq!(one.digest(), two.digest());
    for plugin in &plugins {
        let (own, shared) = (plugin.code_bytes(), plugin.shared_code().unwrap().bytes());
        println!("{own} bytes of its own, {shared} shared");
        assert!(own * 2 < shared, "{own} of its own, {shared} shared");
    }
}

/// What is made of parts, or otherwise than the SDK makes it, stays whole and is loaded all the same.
#[test]
fn what_cannot_be_shared_stays_whole() {
    let engine = engine::compiling_engine().unwrap();
    let component = wat::parse_str("(component (component) (core module (memory 1)))").unwrap();
    let said = Plugin::load_apart(&engine, &component).err().unwrap().to_string();
    assert!(said.contains("it is no plugin"), "{said}");
}
