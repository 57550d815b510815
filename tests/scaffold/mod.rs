//! What `tandem new` writes is built, tested and run by the commands of its own README.

mod make;

use make::Scaffold;
use tandem::engine;
use tandem::rules::Plugin;

/// Every line of the README, the component among what they make, and what it must say of itself.
fn follow(scaffold: &Scaffold, component: &str, name: &str) {
    let commands = scaffold.commands();
    assert!(commands.len() > 3, "{commands:?}");
    let said: Vec<_> = commands.iter().map(|line| scaffold.run(line)).collect();
    assert!(said.iter().any(|said| said.ends_with("\n1 case: 1 ok\n")), "{said:?}");
    let bytes = std::fs::read(scaffold.folder.join(component)).unwrap();
    let plugin = Plugin::load(&engine::building_engine().unwrap(), &bytes).unwrap();
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), (name, "0.1.0"));
    let zone = manifest.settings.iter().find(|setting| setting.at == "/timezone").unwrap();
    assert_eq!(zone.value, "\"Australia/Melbourne\"");
    assert!(plugin.imports().iter().all(|import| import.starts_with("tandem:rules/host@")), "{:?}", plugin.imports());
}

#[test]
fn a_rust_plugin_does_what_its_readme_says() {
    let scaffold = Scaffold::new("vip", &[], "target");
    // What it takes stands beside it: nothing leads to where this `tandem` was built.
    let here = env!("CARGO_MANIFEST_DIR");
    let manifest = std::fs::read_to_string(scaffold.folder.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("tandem/plugin/sdk") && !manifest.contains(here), "{manifest}");
    // As it is in a folder of its own: here, this repository's habits would count.
    scaffold.run("cargo fmt --check -- --config max_width=100,use_small_heuristics=Default");
    follow(&scaffold, "vip.wasm", "vip");
}

#[test]
fn a_javascript_plugin_does_what_its_readme_says() {
    if make::has_npm() {
        let scaffold = Scaffold::new("shout", &["--lang", "js"], "node_modules");
        // The SDK's own tests, for `npm test` to find.
        std::fs::write(scaffold.folder.join("tandem.test.js"), include_str!("../../plugin/scaffold/js/tandem.test.js"))
            .unwrap();
        follow(&scaffold, "acme.wasm", "shout");
        // As an editor sees it: its types take what is right, and only that.
        std::fs::write(scaffold.folder.join("usage.ts"), include_str!("usage.ts")).unwrap();
        scaffold.run("npm install --no-save --no-audit --no-fund typescript@5.9.3");
        let tsc = "npx tsc --noEmit --module nodenext --target es2022";
        scaffold.run(&format!("{tsc} --strict usage.ts"));
        scaffold.run(&format!("{tsc} --allowJs --checkJs rules.js"));
    }
}

/// Types of what is not there would be believed.
#[test]
fn what_has_types_in_the_sdk_for_javascript_is_in_it_and_the_other_way_round() {
    let names = |text: &str| -> std::collections::BTreeSet<String> {
        let kinds = ["export const ", "export function ", "export class "];
        let lines = text.lines().filter_map(|line| kinds.iter().find_map(|kind| line.strip_prefix(kind)));
        let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        lines.map(name).collect()
    };
    let typed = names(include_str!("../../plugin/scaffold/js/tandem.d.ts"));
    assert_eq!(typed, names(include_str!("../../plugin/scaffold/js/tandem.js")));
    assert!(typed.len() > 12 && typed.contains("converse"), "{typed:?}");
}

#[test]
fn what_cannot_be_made_is_said_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    let says = |arguments: &str| {
        let made =
            make::command(folder.path(), env!("CARGO_BIN_EXE_tandem")).args(arguments.split(' ')).output().unwrap();
        (made.status.code().unwrap(), String::from_utf8(made.stderr).unwrap())
    };
    let invalid = |name: &str, why: &str| {
        (2, format!("error: invalid value '{name}' for '<NAME>': {why}\n\nFor more information, try '--help'.\n"))
    };
    assert_eq!(
        says("new Vip"),
        invalid("Vip", "a name is small letters, digits and single hyphens, and begins with a letter")
    );
    assert_eq!(says("new match"), invalid("match", "no package may be called so"));
    assert_eq!(says("new taken"), invalid("taken", "there is something of this name already"));
    let nowhere =
        "error: `nowhere` does not hold Tandem's sources\nhint: name the folder that has `plugin/sdk` in it\n";
    assert_eq!(says("new vip --sdk nowhere"), (1, nowhere.to_owned()));
    assert!(!folder.path().join("vip").exists(), "what failed left something behind");
}
