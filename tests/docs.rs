//! The documents are true where a machine can tell: every link leads somewhere, every command parses, and the list of
//! commands and the table of settings are those that the program has. `BLESS=1` writes these two.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use serde_json::Value;
use tandem_rules::DefaultRules;
use tandem_sdk::Rules;

/// What people read, without the documents that belong to files of another repository.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/guide.md",
    "docs/reference.md",
    "docs/operations.md",
    "docs/decisions.md",
    "docs/omneo-questions.md",
    "benches/RESULTS.md",
];
const README_LINES_MAX: usize = 150;
const LIST_BEGINS: &str = "<!-- commands: `BLESS=1 cargo test --test tool docs` writes this list -->\n";
const LIST_ENDS: &str = "<!-- end of commands -->\n";
const SETTINGS_BEGIN: &str = "<!-- settings: `BLESS=1 cargo test --test tool docs` writes this table -->\n";
const SETTINGS_END: &str = "<!-- end of settings -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document, with the READMEs that `tandem new` writes.
fn documents() -> Vec<(PathBuf, String)> {
    let scaffold = ["plugin/scaffold/rust/README.md", "plugin/scaffold/js/README.md"];
    let paths = DOCUMENTS.iter().chain(&scaffold).map(|path| root().join(path));
    paths.map(|path| (path.clone(), read(&path))).collect()
}

/// A document in pieces: the lines of its prose, and its blocks of code with their language.
struct Parts {
    prose: Vec<String>,
    code: Vec<(String, String)>,
}

fn parts(text: &str) -> Parts {
    let mut parts = Parts { prose: vec![], code: vec![] };
    let mut inside = None;
    for line in text.lines() {
        match (&mut inside, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => inside = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => parts.code.extend(inside.take()),
            (Some((_, code)), None) => code.push_str(&format!("{line}\n")),
            (None, None) => parts.prose.push(line.to_owned()),
        }
    }
    assert!(inside.is_none(), "a block of code does not end");
    parts
}

/// The targets of `[text](target)` in a line; code in backticks is no link.
fn links(line: &str) -> Vec<String> {
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    plain.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// What a heading is called in a link, by the rule of those who show Markdown.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.trim().replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = parts(text).prose.into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// Why a link of a document leads nowhere, if it does.
fn broken(document: &Path, text: &str, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { document.to_owned() } else { document.parent()?.join(file) };
    let found = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&path).unwrap_or_default() };
    if !path.exists() {
        return Some(format!("{}: `{target}` is not there", document.display()));
    }
    let there = anchor.is_empty() || anchors(&found).contains(anchor);
    (!there).then(|| format!("{}: `{target}` has no such heading", document.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = vec![];
    let mut followed = 0;
    for (path, text) in documents() {
        for target in parts(&text).prose.iter().flat_map(|line| links(line)) {
            followed += 1;
            wrong.extend(broken(&path, &text, &target));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(followed > 30, "only {followed} links were found: are they read right?");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let here = root().join("README.md");
    let text = "# One `heading`, two\n";
    assert_eq!(broken(&here, text, "#one-heading-two"), None);
    assert!(broken(&here, text, "#another").is_some());
    assert!(broken(&here, text, "docs/no.md").is_some());
    assert!(broken(&here, text, "docs/guide.md#no-such-heading").is_some());
    assert_eq!(links("a [b](c.md) `[d](e)` [f](g.md#h)"), ["c.md", "g.md#h"]);
}

/// The words of a command as a shell takes them, up to a comment, a redirection or a pipe.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            '#' if !quoted && word.is_none() => break,
            '<' | '|' | ')' | ';' | '`' if !quoted => break,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The commands of this program in a text, each from its name on.
fn commands(text: &str) -> Vec<Vec<String>> {
    let begins = |at: usize| text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "(`$".contains(c));
    let found = text.match_indices("tandem ").filter(|(at, _)| begins(*at));
    found.map(|(at, _)| words(&text[at..])).filter(|words| words.len() > 1).collect()
}

/// What is wrong with a command as it is shown. `is_whole`: it can be typed as it is; a mention may leave arguments out.
fn refused(words: &[String], is_whole: bool) -> Option<String> {
    let error = tandem::cli::command().try_get_matches_from(words).err()?;
    let is_cut = words.last().is_some_and(|word| word.starts_with("--"));
    let is_mention = match error.kind() {
        ErrorKind::MissingRequiredArgument
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingSubcommand => true,
        // An option is named without its value.
        ErrorKind::InvalidValue => is_cut,
        _ => false,
    };
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let is_fine = is_help || (is_mention && !is_whole);
    (!is_fine).then(|| format!("`{}`: {error}", words.join(" ")))
}

#[test]
fn every_command_that_is_shown_parses() {
    let mut wrong = vec![];
    let mut typed = 0;
    for (path, text) in documents() {
        let Parts { prose, code } = parts(&text);
        let shown = code.iter().filter(|(language, _)| language == "sh").flat_map(|(_, code)| code.lines());
        for command in shown.flat_map(commands) {
            typed += 1;
            wrong.extend(refused(&command, true).map(|why| format!("{}: {why}", path.display())));
        }
        for line in prose {
            for span in line.split('`').skip(1).step_by(2).filter(|span| span.starts_with("tandem ")) {
                let command = words(span);
                wrong.extend(refused(&command, false).map(|why| format!("{}: {why}", path.display())));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(typed > 40, "only {typed} commands were found: are they read right?");
}

#[test]
fn a_command_that_does_not_parse_is_found() {
    let of = |line: &str| commands(line).iter().find_map(|words| refused(words, true));
    assert_eq!(of("tandem events --tenant acme   # a comment"), None);
    assert_eq!(of("export TANDEM_TOKEN=$(tandem token create me)"), None);
    assert!(of("tandem evnts").is_some());
    assert!(of("tandem events --tenat acme").is_some());
    assert!(of("tandem build").is_some());
    assert_eq!(words("tandem test a \"b c\" < d"), ["tandem", "test", "a", "b c"]);
}

#[test]
fn every_key_of_the_configuration_is_in_the_reference_and_no_other() {
    let reference = read(&root().join("docs/reference.md"));
    let (_, section) = reference.split_once("\n## Configuration\n").expect("the reference has the configuration");
    let (section, _) = section.split_once("\n### Environment\n").expect("the environment stands behind it");
    let of_side = |path: String| path.replace(".shopify.", ".SIDE.").replace(".omneo.", ".SIDE.");
    let limits = "tenants.NAME.limits";
    let known: BTreeSet<_> = tandem::config::paths().into_iter().filter(|path| path != limits).map(of_side).collect();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first = rows.map(|row| row.split('|').nth(1).unwrap_or_default().to_owned());
    let listed: BTreeSet<_> = first.flat_map(|cell| quoted(&cell)).collect();
    assert_eq!(listed, known);
    for name in tandem::config::Quota::names() {
        assert!(
            section.lines().any(|line| line.starts_with(&format!("{name} = "))),
            "the limit `{name}` is not listed"
        );
    }
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_readme_is_a_page() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
    let lines = read(&root().join("ARCHITECTURE.md")).lines().count();
    assert!(lines <= README_LINES_MAX, "ARCHITECTURE.md has {lines} lines");
}

/// A paragraph of a help text in one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// `--since <SINCE>`, `-o, --output <OUTPUT>`, `[EVENT]`.
fn shown(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let takes = arg.get_action().takes_values();
    let name = || arg.get_value_names().map_or(arg.get_id().to_string(), |names| names.join(" "));
    match arg.get_long() {
        Some(long) if takes => format!("`{short}--{long} {}`", name()),
        Some(long) => format!("`{short}--{long}`"),
        None if arg.is_required_set() => format!("`{}`", name()),
        None => format!("`[{}]`", name()),
    }
}

/// What is said of an argument: its help, its values, its default.
fn said(arg: &Arg) -> String {
    let mut text = arg.get_help().map(|help| flat(&help.to_string())).unwrap_or_default();
    if !text.is_empty() && !text.ends_with(['.', '?']) {
        text.push('.');
    }
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        text.push_str(&format!(" One of {}.", values.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        text.push_str(&format!(" Default: {}.", defaults.join(", ")));
    }
    text
}

/// Whether it is there with every command: one of those that all take, `--help` or `--version`.
fn is_of_all(arg: &Arg) -> bool {
    let shows =
        matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version);
    arg.is_global_set() || shows
}

/// The section of a command, and those of its subcommands.
fn section(command: &Command, path: &str, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(|about| about.to_string()).unwrap_or_default();
    let about: Vec<_> = about.split("\n\n").map(flat).collect();
    text.push_str(&format!("\n#### `{path}`\n\n{}\n", about.join("\n\n")));
    let own = |arg: &&Arg| !arg.is_hide_set() && !is_of_all(arg);
    let args: Vec<_> = command.get_arguments().filter(own).collect();
    if !args.is_empty() {
        text.push_str("\n| argument | |\n|---|---|\n");
        for arg in args {
            text.push_str(&format!("| {} | {} |\n", shown(arg), said(arg)));
        }
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        section(inner, &path, text);
    }
}

/// The list of commands as `docs/reference.md` has it.
fn list() -> String {
    let command = tandem::cli::command();
    let mut text = String::new();
    for (heading, commands) in tandem::cli::groups(&command) {
        text.push_str(&format!("\n### {heading}\n\n| command | does |\n|---|---|\n"));
        for command in &commands {
            let path = format!("tandem {}", command.get_name());
            let about = command.get_about().map(|about| flat(&about.to_string())).unwrap_or_default();
            text.push_str(&format!("| [`{path}`](#{}) | {} |\n", anchor(&path), about.trim_end_matches('.')));
        }
    }
    text.push_str("\n### Every argument\n\nEvery command knows these; one that asks no host refuses them:\n\n| argument | |\n|---|---|\n");
    let of_all: Vec<&Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    for arg in &of_all {
        text.push_str(&format!("| {} | {} |\n", shown(arg), said(arg)));
    }
    for (_, commands) in tandem::cli::groups(&command) {
        for command in commands {
            section(command, "tandem", &mut text);
        }
    }
    text
}

/// The arguments of a command and its subcommands that say nothing of themselves.
fn silent(command: &Command, path: &str) -> Vec<String> {
    let path = format!("{path} {}", command.get_name());
    let own = command.get_arguments().filter(|arg| arg.get_help().is_none() && !arg.is_hide_set());
    let own = own.map(|arg| format!("{path}: {}", arg.get_id()));
    own.chain(command.get_subcommands().flat_map(|inner| silent(inner, &path))).collect()
}

#[test]
fn every_argument_says_what_it_is() {
    let command = tandem::cli::command();
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    assert_eq!(shown.flat_map(|one| silent(one, "tandem")).collect::<Vec<_>>(), Vec::<String>::new());
}

/// The table of settings as `docs/reference.md` has it, from the schema that the default rules give.
fn settings(schema: &Value, path: &str, rows: &mut String) {
    for (key, setting) in schema["properties"].as_object().into_iter().flatten() {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if name == "fields" {
            rows.push_str("| `fields.*` | see [Fields](#fields) | tables | which field is which, in what format, and who owns it |\n");
            continue;
        }
        if setting["properties"].is_object() {
            settings(setting, &name, rows);
            continue;
        }
        let default = setting.get("default").map_or("none".to_owned(), |value| format!("`{value}`"));
        let is_list = setting["type"] == "array";
        let choices = setting["enum"].as_array().or(setting["items"]["enum"].as_array());
        let of = match choices.filter(|choices| choices.len() <= CHOICES_MAX) {
            Some(choices) => choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "),
            None if setting["type"] == "boolean" => "`true`, `false`".to_owned(),
            None if is_list => "texts".to_owned(),
            None if name == "timezone" => "an IANA name".to_owned(),
            None if setting["format"] == "date" => "a day".to_owned(),
            None if choices.is_some() => "a country code".to_owned(),
            None => "a text".to_owned(),
        };
        let may_be = if is_list && choices.is_some() { format!("some of {of}") } else { of };
        rows.push_str(&format!("| `{name}` | {default} | {may_be} | {} |\n", setting["description"].as_str().unwrap()));
    }
}

/// Choices that a row lists.
const CHOICES_MAX: usize = 12;

/// Holds a part of `docs/reference.md`, between two marks, to what is written there by `BLESS=1`.
fn hold(begins: &str, ends: &str, part: &str) {
    // Two tests write parts of one file.
    static FILE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FILE.lock();
    let path = root().join("docs/reference.md");
    let text = read(&path);
    let (before, rest) = text.split_once(begins).expect("docs/reference.md has the mark that begins the part");
    let (_, after) = rest.split_once(ends).expect("docs/reference.md has the mark that ends the part");
    let expected = format!("{before}{begins}{part}\n{ends}{after}");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    let is_same = text == expected;
    assert!(
        is_same,
        "docs/reference.md has something else after `{begins}`: `BLESS=1 cargo test --test tool docs` writes it"
    );
}

#[test]
fn the_list_of_commands_is_the_programs_own() {
    hold(LIST_BEGINS, LIST_ENDS, &list());
}

#[test]
fn the_table_of_settings_is_the_default_rules_own() {
    let mut rows = "\n| setting | default | may be | meaning |\n|---|---|---|---|\n".to_owned();
    settings(&DefaultRules::schema(), "", &mut rows);
    hold(SETTINGS_BEGIN, SETTINGS_END, &rows);
}
