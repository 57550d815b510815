//! Rules that are given their settings in each ask come to the same as a component frozen with them: every answer, and what
//! each ask used. So cases of many rules files need one compilation.

use std::collections::BTreeMap;
use std::path::Path;

use tandem::bake::{self, Refused};
use tandem::engine;
use tandem::rules::Plugin;
use tandem::sandbox::{Case, Rules, find};

/// Rules files that are frozen, too: each takes seconds.
const FROZEN_MAX: usize = 4;

#[tokio::test]
async fn settings_given_in_each_ask_are_as_if_frozen() {
    let engine = engine::testing_engine(None).unwrap();
    let base = bake::default_base().unwrap();
    let configurable = Plugin::load(&engine, &base).unwrap();
    let mut files: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for folder in find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap() {
        let case = Case::read(&folder).unwrap();
        if let Some(rules) = case.rules.clone() {
            files.entry(rules).or_default().push(case);
        }
    }
    assert!(files.len() > 20, "{} rules files", files.len());
    let step = files.len() / FROZEN_MAX;
    for (n, (rules, cases)) in files.into_iter().enumerate() {
        let (configured, _) = bake::configured(&configurable, "rules.toml", &rules).unwrap();
        let frozen = if n % step == 0 {
            let baked = bake::bake(&engine::building_engine().unwrap(), &base, "rules.toml", &rules).await.unwrap();
            Some((Plugin::load(&engine, &baked.component).unwrap(), baked.manifest))
        } else {
            None
        };
        if let Some((frozen, manifest)) = &frozen {
            assert_eq!(frozen.manifest(), configured.manifest());
            assert_eq!(manifest.as_ref(), Some(configured.manifest()));
        }
        for case in cases {
            let report = case.run(&Rules::from(&configured), None);
            assert_eq!(report.wrong(), None, "{}", case.name);
            if let Some((frozen, _)) = &frozen {
                let of_frozen = case.run(&Rules::from(frozen), None);
                assert_eq!(report.actual, of_frozen.actual, "{}", case.name);
                assert_eq!(report.asks, of_frozen.asks, "{}", case.name);
            }
        }
    }
}

#[test]
fn mistakes_are_shown_in_their_place_either_way() {
    let engine = engine::testing_engine(None).unwrap();
    let configurable = Plugin::load(&engine, &bake::default_base().unwrap()).unwrap();
    for (rules, place) in [("timezone = 3\n", "acme.toml:1:1"), ("timezone = \n", "acme.toml:1:12")] {
        match bake::configured(&configurable, "acme.toml", rules).err() {
            Some(Refused::Rules(mistakes)) => assert!(mistakes.contains(place), "{mistakes}"),
            other => panic!("{rules}: {other:?}"),
        }
    }
    let (_, warnings) = bake::configured(&configurable, "acme.toml", "timezone = \"UTC\"\n").unwrap();
    assert_eq!(warnings, "");
}

/// What was compiled is found by whoever compiles it next with the same folder, and a broken entry is made again.
#[test]
fn what_was_compiled_is_kept_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let engine = engine::testing_engine(Some(folder.path())).unwrap();
        Plugin::load(&engine, &bake::default_base().unwrap()).unwrap();
    };
    let entries = || {
        let mut entries = vec![];
        let mut folders = vec![folder.path().to_owned()];
        while let Some(below) = folders.pop() {
            for entry in std::fs::read_dir(below).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false if entry.path().extension().is_none() => entries.push(entry.path()),
                    false => {}
                }
            }
        }
        entries
    };
    load();
    let kept = entries();
    assert_eq!(kept.len(), 1, "{kept:?}");
    load();
    assert_eq!(entries(), kept);
    std::fs::write(&kept[0], "broken").unwrap();
    load();
    assert_eq!(entries(), kept);
}
