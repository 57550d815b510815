//! Rules built for the contract as it was first released run on this host, and those for another contract are refused with
//! both versions named.
//!
//! `compat/v0.1/` holds that contract and rules for it, neither of which changes with anything else here.

use tandem::bake::{self, Baked, Refused};
use tandem::engine;
use tandem::model::{
    Answer, Call, Effect, End, Entity, Event, EventId, Method, Names, Next, Outcome, Reply, Request, Webhook,
};
use tandem::rules::{Item, Page, Plugin, Pull, Reading};
use wit_parser::Resolve;

use frozen::{RULES, WIT, module};

mod frozen;

const WIT_NOW: &str = include_str!("../wit/v0.1/rules.wit");

fn load(wit: &str, rules: &str) -> anyhow::Result<Plugin> {
    Plugin::load(&engine::engine()?, &bake::encode(&module(wit, rules))?)
}

/// The rules for another version of the contract, or for another contract.
fn built_for(package: &str) -> anyhow::Result<Plugin> {
    let (name, version) = package.split_once('@').unwrap();
    let wit = WIT.replace("package tandem:rules@0.1.0", &format!("package {package}"));
    load(&wit, &RULES.replace("tandem:rules/", &format!("{name}/")).replace("@0.1.0", &format!("@{version}")))
}

fn event() -> Event {
    let webhook = Webhook {
        tenant: "acme".into(),
        source: "shopify".into(),
        topic: "orders/paid".into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: 1_767_323_046_000,
        api_version: "2026-07".into(),
        payload: "{\"id\":7}".into(),
    };
    Event { id: EventId(17), webhook }
}

async fn baked() -> Baked {
    let base = bake::encode(&module(WIT, RULES)).unwrap();
    bake::bake(&engine::building_engine().unwrap(), &base, "acme.toml", "a = 1\nrules = [2]\n").await.unwrap()
}

#[tokio::test]
async fn rules_for_the_first_release_are_built_and_asked() {
    let Baked { component, warnings, .. } = baked().await;
    assert_eq!(warnings, "warning: looks odd\n --> acme.toml:2:1\n  |\n2 | rules = [2]\n  | ^^^^^\nhint: look again\n");
    let plugin = Plugin::load(&engine::engine().unwrap(), &component).unwrap();
    assert_eq!((plugin.world(), plugin.imports()), ("tandem:rules@0.1.0", &["tandem:rules/host@0.1.0".to_owned()][..]));
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("frozen", "1"));
    assert_eq!(manifest.listens, [("shopify".to_owned(), "orders/paid".to_owned())]);
    let targets: Vec<_> =
        manifest.targets.iter().map(|t| (t.name.as_str(), t.api_version.as_str(), &t.scopes[..])).collect();
    assert_eq!(targets, [("omneo", "", &["read-profiles".to_owned()][..]), ("shopify", "2026-07", &[])]);
    let setting = &manifest.settings[0];
    assert_eq!(
        (setting.at.as_str(), setting.value.as_str(), setting.fixed),
        ("/rules", r#"{"a":1,"rules":[2]}"#, true)
    );

    let pull =
        Pull { name: "frozen".into(), source: "omneo".into(), caution: "looks odd".into(), gone: "look again".into() };
    assert_eq!(manifest.pulls, [pull]);
    let reading = Reading {
        pull: "frozen".into(),
        begun_at: "2026-01-02T03:04:05Z".into(),
        since: Some("2026-01-01T00:00:00Z".into()),
        names_only: true,
        bulk: true,
        cursor: "7".into(),
    };
    assert_eq!(plugin.ask_page(&reading).result.unwrap(), Err("7".to_owned()));
    let answer = Answer { status: 206, headers: vec![], body: "{}".into() };
    let item = Item { at: "{}".into(), name: reading.begun_at.clone(), clues: vec!["frozen".into()] };
    let page = Page { items: vec![item], next: reading.since.clone(), total: Some(206) };
    assert_eq!(plugin.read_page(&reading, &answer).result.unwrap(), Ok(page));

    let named = plugin.key(&event()).result.unwrap().unwrap();
    assert_eq!(named, Entity { names: vec!["orders/paid".into(), "17".into()], after: vec!["{\"id\":7}".into()] });

    let asked = plugin.step(&event(), &["before".into()], &[]);
    assert_eq!(asked.log, ["shopify"]);
    let rest = Request::Rest {
        method: Method::Patch,
        path: "2026-01-02T03:04:05Z".into(),
        query: vec![("2026-01-02T03:04:06.000Z".into(), "2026-07".into())],
        body: Some("{\"id\":7}".into()),
    };
    let graphql = Request::Graphql { document: "query Q { shop { id } }".into(), variables: "{}".into() };
    let calls = vec![
        Call { target: "omneo".into(), request: rest, effect: Effect::Once },
        Call { target: "shopify".into(), request: graphql, effect: Effect::Read },
    ];
    let names = Names { learned: vec!["17".into()], retired: vec!["2026-07".into()] };
    assert_eq!(asked.result.unwrap(), Next::Send { calls, names });

    let answer = Answer { status: 404, headers: vec![("etag".into(), "1".into())], body: "{}".into() };
    let replies = [vec![Reply::Answer(answer), Reply::Unknown("nobody knows".into())]];
    let next = plugin.step(&event(), &["before".into()], &replies).result.unwrap();
    let names = Names { learned: vec!["etag".into(), "1".into()], retired: vec!["nobody knows".into()] };
    let (reason, memory) = ("{}".to_owned(), Some("before".to_owned()));
    assert_eq!(next, Next::End(End { outcome: Outcome::Skipped, reason, memory, names }));
}

/// A patch may add functions. Whatever else it does, rules that are out there would no longer fit.
#[test]
fn the_contract_still_has_all_of_the_first_release() {
    let mut resolve = Resolve::default();
    let first = resolve.push_source("first.wit", WIT).unwrap();
    let now = WIT_NOW.replace("package tandem:rules@0.1.0", "package tandem:rules@0.1.999");
    let now = resolve.push_source("now.wit", &now).unwrap();
    for world in ["plugin", "wrapper"] {
        let [first, now] = [first, now].map(|package| resolve.select_world(&[package], Some(world)).unwrap());
        let checked = wit_component::semver_check(resolve.clone(), first, now);
        checked.unwrap_or_else(|error| panic!("wit/v0.1 has changed what 0.1.0 promised: {error:#}"));
    }
}

#[test]
fn a_later_patch_that_asks_for_no_more_runs() {
    let plugin = built_for("tandem:rules@0.1.7").unwrap();
    assert_eq!(plugin.world(), "tandem:rules@0.1.7");
    assert!(matches!(plugin.step(&event(), &[], &[]).result.unwrap(), Next::Send { .. }));
}

#[test]
fn a_later_patch_that_asks_for_more_is_refused() {
    let wit = WIT.replace("@0.1.0", "@0.1.1").replace("interface host {", "interface host {\n  now: func() -> u64;");
    let import = "(import \"tandem:rules/host@0.1.1\" \"now\" (func (result i64)))";
    let rules = RULES.replace("@0.1.0", "@0.1.1").replace("(memory", &format!("{import}\n  (memory"));
    assert_eq!(
        format!("{:#}", load(&wit, &rules).err().unwrap()),
        "the component needs `now` of `tandem:rules/host@0.1.1`; this host speaks `tandem:rules@0.1.0`, which does not have it\n\
         hint: update Tandem, or build it against wit/v0.1 of this one"
    );
}

#[test]
fn another_contract_is_refused_with_both_versions_named() {
    for (version, hint) in [
        ("0.2.0", "update Tandem, or build it against wit/v0.1"),
        ("1.0.0", "update Tandem, or build it against wit/v0.1"),
        ("0.0.9", "build it against wit/v0.1"),
    ] {
        let said = format!("{:#}", built_for(&format!("tandem:rules@{version}")).err().unwrap());
        let expected = format!(
            "the component is built for `tandem:rules@{version}`; this host speaks `tandem:rules@0.1.0`\nhint: {hint}"
        );
        assert_eq!(said, expected);
    }
    assert_eq!(
        format!("{:#}", built_for("acme:other@1.2.3").err().unwrap()),
        "the component imports `acme:other/host@1.2.3`, which plugins may not use\nhint: rules may import nothing but `tandem:rules/host`"
    );
    // Without imports, what it exports tells.
    let wit = WIT.replace("tandem:rules@0.1.0", "acme:other@1.2.3");
    let rules = RULES.replace("tandem:rules/", "acme:other/").replace("@0.1.0", "@1.2.3");
    let rules = rules.replace("(import \"acme:other/host@1.2.3\" \"log\" (func $log (param i32 i32)))", "");
    let rules = rules.replace("(global $free", "(func $log (param i32 i32))\n  (global $free");
    assert_eq!(
        format!("{:#}", load(&wit, &rules).err().unwrap()),
        "the component exports `acme:other/rules@1.2.3`, and not `tandem:rules/rules@0.1.0`: it is no plugin\nhint: export your rules with `tandem_sdk::export!`"
    );
}

/// The version is ours and what stands under it is not: found when it is loaded, not by the first webhook.
#[tokio::test]
async fn another_shape_under_our_version_is_refused() {
    for (from, to, function) in [
        ("    api-version: string,\n    /// The body", "    api: string,\n    /// The body", "key"),
        ("enum method { get,", "enum method { fetch,", "step"),
        ("    fixed: bool,", "    frozen: bool,", "describe"),
    ] {
        let wit = WIT.replace(from, to);
        assert_ne!(wit, WIT, "{from}");
        let said = format!("{:#}", load(&wit, RULES).err().unwrap());
        assert!(
            said.starts_with(&format!("the component's `{function}` does not fit `tandem:rules@0.1.0`: ")),
            "{said}"
        );
        assert!(said.ends_with("\nhint: build it against wit/v0.1 as it is"), "{said}");
    }
    let base = bake::encode(&module(&WIT.replace("    fix: string,", "    mend: string,"), RULES)).unwrap();
    match bake::bake(&engine::building_engine().unwrap(), &base, "acme.toml", "").await {
        Err(Refused::Other(error)) => {
            assert!(format!("{error:#}").starts_with("the component's `configure` does not fit"), "{error:#}")
        }
        other => panic!("{other:?}"),
    }
}
