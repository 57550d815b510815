//! Holds what `ARCHITECTURE.md` promises and the habits of this repository, by reading its text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Lines of a file before somebody should ask whether it is two.
const LINES_MAX: usize = 600;
/// Those that are longer for a reason, with the reason beside them.
const LONGER: [&str; 0] = [];

/// The contract of the first release, which rules out there are built for and `tests/compat.rs` runs. It is not released
/// yet: whoever changes `wit/v0.1/rules.wit` copies it there, changes this number on purpose, and says so in
/// `CHANGELOG.md`. From the release on neither the copy nor this number ever changes: a patch may add functions to
/// `wit/v0.1`, and anything else is another version, in a directory beside it.
const WIT_SHA256: &str = "e7bb2f9c7b18cf3882cb8b4c4c55d9a3841c1487520a4e2ea8e80bfd830f8c09";

struct Source {
    /// Below the repository, with `/` between its parts.
    path: String,
    text: String,
}

impl Source {
    /// Without comments that fill a line, and without unit tests, which stand at the end.
    fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The module of the host that it belongs to: `journal` for `host/journal/writer.rs`.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("host/").unwrap_or(&self.path);
        below.split(['/', '.']).next().unwrap_or_default()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder whose name ends so, build output aside.
fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = vec![];
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != ".git" {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                found.extend(source(&path));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Nothing for what is not text.
fn source(path: &Path) -> Option<Source> {
    let text = String::from_utf8(std::fs::read(path).unwrap()).ok()?;
    let path = path.strip_prefix(root()).unwrap().components().map(|part| part.as_os_str().to_string_lossy());
    Some(Source { path: path.collect::<Vec<_>>().join("/"), text })
}

fn read(path: &str) -> String {
    source(&root().join(path)).unwrap().text
}

/// The sources of the host itself: not those of the stand-ins, which are a crate of their own.
fn host() -> Vec<Source> {
    let mut files = files("host", ".rs");
    files.retain(|file| !file.path.starts_with("host/standin/"));
    assert!(files.len() > 20, "the host is somewhere else now");
    files
}

/// The sources of plugins and of the host with its stand-ins, without their test suites.
fn shipped() -> Vec<Source> {
    let mut shipped = files("host", ".rs");
    shipped.extend(files("plugin", ".rs"));
    shipped.retain(|file| !file.path.contains("/tests/"));
    shipped
}

/// The places outside these modules whose code holds one of these texts.
fn named_outside(modules: &[&str], texts: &[&str]) -> Vec<String> {
    let outside = host().into_iter().filter(|file| !modules.contains(&file.module()));
    outside.flat_map(|file| holding(&file, texts)).collect()
}

fn holding(file: &Source, texts: &[&str]) -> Vec<String> {
    let code = file.code();
    let bad = code.lines().filter(|line| texts.iter().any(|text| line.contains(text)));
    bad.map(|line| format!("{}: {}", file.path, line.trim())).collect()
}

/// The modules of the host that a text names behind `crate::`, alone or in a list.
fn uses(code: &str) -> BTreeSet<String> {
    let paths = named(code).into_iter().filter(|path| path.first().is_some_and(|first| first == "crate"));
    paths.filter_map(|path| path.into_iter().nth(1)).collect()
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// What each module of the host uses of the others.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in host() {
        let used = uses(&file.code()).into_iter().filter(|used| used != file.module());
        graph.entry(file.module().to_owned()).or_default().extend(used);
    }
    graph
}

/// The table of layers in `ARCHITECTURE.md`: the modules of each row, from the top.
fn layers() -> Vec<(String, Vec<String>)> {
    let text = read("ARCHITECTURE.md");
    let table = text.split("| layer | modules |\n").nth(1).expect("ARCHITECTURE.md has the table of layers");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let (name, modules) = line.trim_matches('|').split_once('|').expect("a row has two cells");
        let quoted = modules.split('`').skip(1).step_by(2);
        let modules = quoted.filter_map(|name| name.strip_suffix(".rs")).filter(|name| !name.contains('/'));
        (name.trim().to_owned(), modules.map(str::to_owned).collect())
    };
    rows.map(row).collect()
}

#[test]
fn a_list_of_imports_is_read() {
    let code = "use crate::{bake::{self, Refused}, config, a::b};\nuse crate::model::Event;\n|| crate::clock::now()";
    assert_eq!(uses(code).into_iter().collect::<Vec<_>>(), ["a", "bake", "clock", "config", "model"]);
}

#[test]
fn stages_do_not_know_each_other() {
    let (graph, stages) = (graph(), ["webhook", "mapping", "delivery"]);
    for stage in stages {
        let others = graph[stage].iter().filter(|used| stages.contains(&used.as_str())).collect::<Vec<_>>();
        assert!(others.is_empty(), "{stage} uses {others:?}: stages meet in the journal");
    }
}

#[test]
fn modules_use_what_stands_above_them_in_the_map() {
    let layers = layers();
    let layer = |module: &str| layers.iter().position(|(_, modules)| modules.iter().any(|name| name == module));
    for (module, used) in graph() {
        // They have no layer: they name all the others.
        if module == "main" || module == "lib" {
            continue;
        }
        let own = layer(&module).unwrap_or_else(|| panic!("{module} is in no layer of ARCHITECTURE.md"));
        for used in used {
            let other = layer(&used).unwrap_or_else(|| panic!("{used} is in no layer of ARCHITECTURE.md"));
            assert!(other <= own, "{module} ({}) uses {used} ({})", layers[own].0, layers[other].0);
        }
    }
}

#[test]
fn modules_do_not_use_each_other_in_a_circle() {
    let mut graph = graph();
    graph.remove("lib");
    // What uses nothing that is left is in no circle.
    while let Some(free) = graph.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()) {
        graph.remove(&free);
        graph.values_mut().for_each(|used| used.retain(|used| *used != free));
    }
    assert!(graph.is_empty(), "a circle is among these: {graph:?}");
}

/// What each file of a room names of the room's other files, below the folder that both are in: a module may use its own
/// parts, and they it.
fn neighbours(room: &str) -> BTreeMap<String, BTreeSet<String>> {
    let below = |file: &Source| -> Vec<String> {
        let path = file.path.strip_prefix(room).unwrap().trim_start_matches('/').trim_end_matches(".rs");
        path.split('/').map(str::to_owned).collect()
    };
    let sources =
        files(room, ".rs").into_iter().filter(|file| room != "host" || !file.path.starts_with("host/standin/"));
    let all: Vec<(Vec<String>, String)> = sources.map(|file| (below(&file), file.code())).collect();
    let modules: BTreeSet<&[String]> = all.iter().map(|(module, _)| &module[..]).collect();
    let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
    for (module, code) in &all {
        for path in named(code) {
            let Some(other) = file_of(module, &path, &modules) else { continue };
            let same = module.iter().zip(&other).take_while(|(one, other)| one == other).count();
            if same < module.len().min(other.len()) {
                graph.entry(module[..=same].join("/")).or_default().insert(other[..=same].join("/"));
            }
        }
    }
    graph
}

/// The paths that a file names from `crate`, `super` or itself on: its imports one by one, and what it names in place.
fn named(code: &str) -> Vec<Vec<String>> {
    let mut named = vec![];
    for tree in code.split("use ").skip(1).filter_map(|rest| rest.split_once(';')).map(|(tree, _)| tree) {
        unfold("", tree, &mut named);
    }
    for start in ["super::", "crate::"] {
        for (at, _) in code.match_indices(start) {
            let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            named.push(code[at..].chars().take_while(|c| is_path(*c)).collect());
        }
    }
    named.into_iter().map(|path| path.split("::").map(word).filter(|part| !part.is_empty()).collect()).collect()
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn unfold(before: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, list)) = tree.split_once('{') else { return paths.push(format!("{before}{}", tree.trim())) };
    let before = format!("{before}{}", head.trim());
    let (mut depth, mut item) = (0, String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                unfold(&before, &std::mem::take(&mut item), paths);
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    unfold(&before, &item, paths);
}

/// The file of a room that a path leads to from a module.
fn file_of(module: &[String], path: &[String], modules: &BTreeSet<&[String]>) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let (mut at, rest) = match path.first()?.as_str() {
        "crate" => (vec![], &path[1..]),
        "super" => (module[..module.len().checked_sub(supers)?].to_vec(), &path[supers..]),
        "self" => (module.to_vec(), &path[1..]),
        _ => (module.to_vec(), path),
    };
    let mut found = None;
    for part in rest {
        at.push(part.clone());
        if modules.contains(&at[..]) {
            found = Some(at.clone());
        }
    }
    found.filter(|found| found != module)
}

/// What is left of a graph when everything is taken away that uses nothing that is left.
fn circles(mut graph: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let known: BTreeSet<String> = graph.keys().cloned().collect();
        graph.values_mut().for_each(|used| used.retain(|used| known.contains(used)));
        let before = graph.len();
        graph.retain(|_, used| !used.is_empty());
        if graph.len() == before {
            return graph;
        }
    }
}

#[test]
fn the_files_of_a_room_do_not_use_each_other_in_a_circle() {
    let graph = BTreeMap::from(
        [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")]
            .map(|(one, other)| (one.to_owned(), BTreeSet::from([other.to_owned()]))),
    );
    assert_eq!(circles(graph).len(), 4);
    for room in ["host", "host/standin/src", "plugin/rules/src", "plugin/sdk/src"] {
        let graph = neighbours(room);
        assert!(!graph.is_empty(), "{room} is somewhere else now");
        assert_eq!(circles(graph), BTreeMap::new(), "a circle is among these of {room}");
    }
}

#[test]
fn edges_are_where_they_are_said_to_be() {
    assert_eq!(named_outside(&["engine", "rules", "bake"], &["wasmtime"]), Vec::<String>::new());
    assert_eq!(named_outside(&["journal"], &["rusqlite", "SELECT ", "INSERT ", "PRAGMA "]), Vec::<String>::new());
    assert_eq!(named_outside(&["client", "remote"], &["reqwest"]), Vec::<String>::new());
    assert_eq!(named_outside(&["listen"], &["hyper::", "hyper_util", "axum::serve"]), Vec::<String>::new());
    assert_eq!(named_outside(&["config"], &["env::var", "std::env", "env::args"]), Vec::<String>::new());
}

/// A closed pipe ends a command quietly, because everything that it prints goes through one place.
#[test]
fn commands_print_in_one_place() {
    assert_eq!(named_outside(&["output"], &["println!(", "print!("]), Vec::<String>::new());
}

/// The OpenAPI document has one name for a schema: of two types of one name it would publish only one.
#[test]
fn each_schema_of_the_api_has_a_name_of_its_own() {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for file in host() {
        for (n, derived) in file.text.split("ToSchema").enumerate().skip(1) {
            // What is derived here, if this is a derive: the first item behind it.
            let is_derive =
                derived.trim_start_matches(|c: char| c.is_alphanumeric() || ", ".contains(c)).starts_with(")]");
            let item = derived.lines().skip(1).find(|line| line.contains("struct ") || line.contains("enum "));
            let Some(item) = item.filter(|_| is_derive) else { continue };
            let name = item.split("struct ").flat_map(|part| part.split("enum ")).last().map(word).unwrap_or_default();
            let place = format!("{} ({n})", file.path);
            if let Some(other) = named.insert(name.clone(), place.clone()) {
                panic!("the schema `{name}` is in {other} and in {place}: rename one");
            }
        }
    }
    assert!(named.len() > 30, "{named:?}");
}

/// Words of a reason or an error are for people. Code goes by a code, a type or a kind.
#[test]
fn no_code_matches_on_what_the_project_says() {
    let words = ["reason", "detail", "details", "message", "why", "error", "said", "cause", "note"];
    let verbs = [".starts_with(\"", ".ends_with(\"", ".contains(\"", ".strip_prefix(\"", ".split_once(\"", ".split(\""];
    let mut found = vec![];
    for file in host() {
        for line in file.code().lines() {
            let is_match = verbs.iter().flat_map(|verb| line.match_indices(verb)).any(|(at, _)| {
                let ahead: Vec<char> =
                    line[..at].chars().rev().take_while(|c| c.is_alphanumeric() || "_.()".contains(*c)).collect();
                let ahead: String = ahead.into_iter().rev().collect();
                ahead.split(['.', '(', ')']).any(|part| words.contains(&part))
            });
            if is_match {
                found.push(file.path.clone());
            }
        }
    }
    found.dedup();
    let known = [
        // The hint of a message is behind its own mark.
        "host/config/check.rs",
        "host/connect.rs",
        "host/install/shared.rs",
        "host/setup/difference.rs",
        // What delivery says of an attempt is told by its first word until an attempt carries a code.
        "host/delivery.rs",
        // What the TOML library, the TLS library and wasmtime say.
        "host/excerpt.rs",
        "host/remote.rs",
        "host/rules/fit.rs",
        // The cause of a group is the beginning of its reason until a failure carries a code.
        "host/replay/compare.rs",
        "host/rules.rs",
    ];
    let new: Vec<_> = found.iter().filter(|path| !known.contains(&path.as_str())).collect();
    assert_eq!(new, Vec::<&String>::new());
}

#[test]
fn pure_modules_are_given_what_they_need() {
    let outside = [
        "clock::now",
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net",
        "std::env",
        "std::io",
        "std::thread",
        "tokio",
        "fastrand",
        "tracing",
    ];
    for file in host()
        .iter()
        .filter(|file| ["verify", "retry", "budget", "answer", "scheduler", "model"].contains(&file.module()))
    {
        assert_eq!(holding(file, &outside), Vec::<String>::new());
    }
}

/// A tick comes from a clock that only goes forward: none is made of the time of day.
#[test]
fn rates_and_waits_go_by_no_time_of_day() {
    assert_eq!(named_outside(&["clock", "model"], &["Tick("]), Vec::<String>::new());
    let wall = ["clock::now", "SystemTime"];
    for file in host().iter().filter(|file| ["delivery", "listen"].contains(&file.module())) {
        assert_eq!(holding(file, &wall), Vec::<String>::new());
    }
}

/// What a command writes, and cannot, is the command's mistake (exit code 2): one room makes that error.
#[test]
fn files_and_folders_are_written_in_one_room() {
    let writes = ["fs::write(", "create_dir", "DirBuilder", "File::create", "OpenOptions"];
    assert_eq!(named_outside(&["files"], &writes), Vec::<String>::new());
}

#[test]
fn nothing_is_shared_behind_anyones_back() {
    for file in host() {
        let code = file.code();
        let statics =
            code.lines().map(str::trim_start).filter(|line| line.trim_start_matches("pub ").starts_with("static "));
        assert_eq!(statics.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", file.path);
        assert_eq!(holding(&file, &["thread_local!"]), Vec::<String>::new());
    }
}

/// Compiled code cannot be loaded otherwise: once, in a function of its own, with the argument why it may be.
#[test]
fn nothing_is_unsafe_but_loading_what_was_compiled() {
    for file in host() {
        let places = holding(&file, &["unsafe "]);
        let allowed = usize::from(file.path == "host/rules/compiled.rs");
        assert_eq!(places.len(), allowed, "{}: {places:?}", file.path);
        assert_eq!(file.text.matches("// SAFETY: ").count(), allowed, "{}", file.path);
    }
}

/// Not in the code: the comments may say what it does not know.
#[test]
fn rules_know_no_tenant() {
    for file in shipped().iter().filter(|file| file.path.starts_with("plugin/")) {
        let lower = Source { path: file.path.clone(), text: file.code().to_lowercase() };
        assert_eq!(holding(&lower, &["tenant", "credential", "secret", "token", "password"]), Vec::<String>::new());
    }
}

/// What a crate's `[dependencies]` and the like name.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = read(manifest);
    let mut inside = false;
    let mut names = vec![];
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if inside && line.contains('=') {
            names.push(line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    assert!(!names.is_empty(), "{manifest} names no dependency: is it read right?");
    names
}

#[test]
fn what_checks_or_runs_in_the_host_does_not_depend_on_it() {
    for manifest in [
        "host/standin/Cargo.toml",
        "plugin/sdk/Cargo.toml",
        "plugin/rules/Cargo.toml",
        "plugin/component/Cargo.toml",
        "tests/plugins/Cargo.toml",
    ] {
        let names = dependencies(manifest);
        let standin = manifest.starts_with("host/");
        let bad = |name: &&String| *name == "tandem" || standin && name.starts_with("tandem");
        assert_eq!(names.iter().filter(bad).collect::<Vec<_>>(), Vec::<&String>::new(), "{manifest}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts each, or this file would hold them.
    let everywhere = ["TO\u{44}O", "FIX\u{4d}E", "todo\u{21}(", "db\u{67}!(", "#[ignor\u{65}"];
    for file in files("", ".rs") {
        let bad = file.text.lines().filter(|line| everywhere.iter().any(|text| line.contains(text)));
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", file.path);
    }
    for file in shipped() {
        assert_eq!(holding(&file, &[".unwrap()", "unimplemented!(", "println!(\"DEBUG"]), Vec::<String>::new());
    }
}

#[test]
fn every_module_is_declared_and_in_the_map() {
    let map = read("ARCHITECTURE.md");
    for file in host().iter().filter(|file| !["lib", "main"].contains(&file.module())) {
        let below = file.path.strip_prefix("host/").unwrap_or_default();
        let path = PathBuf::from(below.trim_end_matches(".rs"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parent = match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => format!("host/{}.rs", parent.display()),
            None => "host/lib.rs".to_owned(),
        };
        let declared = read(&parent).lines().any(|line| line.trim_start_matches("pub ") == format!("mod {name};"));
        assert!(declared, "{parent} does not declare {name}");
        let folder = format!("`{}/", path.parent().map(|parent| parent.display().to_string()).unwrap_or_default());
        let known = map.contains(&format!("`{below}`")) || map.contains(&folder);
        assert!(known, "ARCHITECTURE.md does not mention `{below}`");
    }
}

/// A file that no program of tests names is compiled by nobody.
#[test]
fn every_file_of_tests_is_run() {
    for package in ["", "plugin/rules/", "host/standin/"] {
        let manifest = read(&format!("{package}Cargo.toml"));
        let mut all = files(&format!("{package}tests"), ".rs");
        all.retain(|file| !file.path.starts_with("tests/plugins/"));
        assert!(all.len() > 7, "the tests of {package:?} are somewhere else now");
        for file in &all {
            let path = file.path.strip_prefix(package).unwrap_or_default();
            let name = path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
            let is_module = all.iter().any(|other| other.text.contains(&format!("mod {name};\n")));
            let is_run = is_module || manifest.contains(&format!("path = \"{path}\""));
            assert!(is_run, "{}: no program of tests has this module", file.path);
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for file in files("", ".rs") {
        assert!(file.text.starts_with("//! "), "{} does not begin with what it is", file.path);
    }
}

#[test]
fn no_file_is_long() {
    for file in files("", ".rs") {
        let lines = file.text.lines().count();
        let listed = LONGER.contains(&file.path.as_str());
        assert!(
            lines <= LINES_MAX || listed,
            "{} has {lines} lines: make it two, or list it with the reason",
            file.path
        );
    }
}

#[test]
fn the_contract_is_what_it_was() {
    let frozen = read("tests/compat/v0.1/rules.wit");
    let sha256 = hex::encode(Sha256::digest(&frozen));
    assert_eq!(sha256, WIT_SHA256, "tests/compat/v0.1/rules.wit has changed: see what stands above WIT_SHA256");
    // To be dropped with the first function that a patch adds: `tests/compat.rs` looks at what it may do.
    assert!(read("wit/v0.1/rules.wit") == frozen, "wit/v0.1/rules.wit has changed: see what stands above WIT_SHA256");
}

#[test]
fn no_file_names_a_place_on_somebodys_computer() {
    // In two parts each, or this file would hold them.
    let places =
        [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], ["/Use", "rs/"], ["C:", "\\"]].map(|parts| parts.concat());
    for file in files("", "") {
        let bad = file.text.lines().filter(|line| places.iter().any(|place| line.contains(place)));
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", file.path);
    }
}
