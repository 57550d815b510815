//! `tandem new`: writes a plugin to begin with, out of `plugin/scaffold`. Knows where its files go; not what they say.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use toml_edit::DocumentMut;

use crate::files;
use crate::output::outln;

/// A plugin to begin with: rules that wrap the default ones, with a case and a test.
#[derive(clap::Args)]
pub struct Arguments {
    /// What it is called: small letters, digits and hyphens. A folder of this name is made.
    #[arg(value_parser = name)]
    name: String,
    /// The language.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// Rust only: where Tandem's sources are, as a folder or as the URL of a git repository. Without it, the SDK and the default
    /// rules are written into the new folder, so that it can be built wherever there is cargo.
    #[arg(long)]
    sdk: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Lang {
    Rust,
    Js,
}

type Files = &'static [(&'static str, &'static str)];

const RUST: Files = &[
    ("Cargo.toml", include_str!("../../plugin/scaffold/rust/Cargo.toml.in")),
    // The versions that the default rules were built and tested with; cargo drops what is not needed.
    ("Cargo.lock", include_str!("../../Cargo.lock")),
    ("rust-toolchain.toml", include_str!("../../plugin/scaffold/rust/rust-toolchain.toml")),
    ("src/lib.rs", include_str!("../../plugin/scaffold/rust/src/lib.rs")),
    ("rules.toml", include_str!("../../plugin/scaffold/rules.toml")),
    (
        "cases/shopify/customers-create/a-new-customer-is-told-apart/payload.json",
        include_str!("../../plugin/scaffold/rust/cases/a-new-customer-is-told-apart/payload.json"),
    ),
    (
        "cases/shopify/customers-create/a-new-customer-is-told-apart/transcript.http",
        include_str!("../../plugin/scaffold/rust/cases/a-new-customer-is-told-apart/transcript.http"),
    ),
    ("README.md", include_str!("../../plugin/scaffold/rust/README.md")),
    (".gitignore", include_str!("../../plugin/scaffold/rust/gitignore")),
];

const JS: Files = &[
    ("package.json", include_str!("../../plugin/scaffold/js/package.json")),
    ("rules.js", include_str!("../../plugin/scaffold/js/rules.js")),
    ("rules.test.js", include_str!("../../plugin/scaffold/js/rules.test.js")),
    ("component.js", include_str!("../../plugin/scaffold/js/component.js")),
    ("tandem.js", include_str!("../../plugin/scaffold/js/tandem.js")),
    ("tandem.d.ts", include_str!("../../plugin/scaffold/js/tandem.d.ts")),
    ("wit/rules.wit", include_str!("../../wit/v0.1/rules.wit")),
    ("rules.toml", include_str!("../../plugin/scaffold/rules.toml")),
    (
        "cases/shopify/customers-create/a-new-customer-has-a-loud-name/payload.json",
        include_str!("../../plugin/scaffold/js/cases/a-new-customer-has-a-loud-name/payload.json"),
    ),
    (
        "cases/shopify/customers-create/a-new-customer-has-a-loud-name/transcript.http",
        include_str!("../../plugin/scaffold/js/cases/a-new-customer-has-a-loud-name/transcript.http"),
    ),
    ("README.md", include_str!("../../plugin/scaffold/js/README.md")),
    (".gitignore", include_str!("../../plugin/scaffold/js/gitignore")),
];

/// What cargo does not take as the name of a package, or what would be taken for something else.
const TAKEN: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
    "abstract",
    "become",
    "box",
    "do",
    "final",
    "macro",
    "override",
    "priv",
    "try",
    "typeof",
    "unsized",
    "virtual",
    "yield",
    "alloc",
    "core",
    "proc-macro",
    "std",
    "test",
    "tandem-rules",
    "tandem-sdk",
];

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { name, lang, sdk } = arguments;
    let (files, sdk) = match lang {
        Lang::Rust => (RUST, Some(Sdk::find(sdk)?)),
        Lang::Js => (JS, None),
    };
    let sources = match sdk {
        Some(Sdk::Own) => sources()?,
        _ => vec![],
    };
    for (file, text) in &sources {
        write(&Path::new(&name).join(OWN).join(file), text)?;
    }
    for (file, text) in files {
        write(&Path::new(&name).join(file), &fill_in(text, &name, sdk.as_ref()))?;
    }
    outln!("{name}: {} files; {name}/README.md says what to type next", files.len())?;
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    files::folder(folder)?;
    Ok(files::write(path, text.as_bytes())?)
}

/// The scaffold is a plugin of the name `my-plugin`.
fn fill_in(text: &str, name: &str, sdk: Option<&Sdk>) -> String {
    let words: String = name.split('-').map(capitalised).collect();
    let text =
        text.replace("my-plugin", name).replace("my_plugin", &name.replace('-', "_")).replace("MyPlugin", &words);
    match sdk {
        Some(sdk) => ["plugin/rules", "plugin/sdk"]
            .iter()
            .fold(text, |text, part| text.replace(&format!("SDK({part})"), &sdk.dependency(part))),
        None => text,
    }
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(1.min(word.len()));
    first.to_uppercase() + rest
}

fn name(text: &str) -> Result<String, String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !text.contains("--");
    if !is_name {
        return Err("a name is small letters, digits and single hyphens, and begins with a letter".into());
    }
    if TAKEN.contains(&text) {
        return Err("no package may be called so".into());
    }
    if Path::new(text).exists() {
        return Err("there is something of this name already".into());
    }
    Ok(text.to_owned())
}

/// Where the sources stand in a new folder.
const OWN: &str = "tandem";
/// The sources of the SDK, of the default rules and of the contract: path and text, as `build.rs` has found them.
const SOURCES: Files = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// The sources as a workspace of their own, which nothing of this repository's is missing from.
fn sources() -> anyhow::Result<Vec<(&'static str, String)>> {
    let made = |(path, text): &(&'static str, &'static str)| {
        let text = match *path {
            "Cargo.toml" => workspace(text)?,
            manifest if manifest.ends_with("Cargo.toml") => package(text)?,
            _ => (*text).to_owned(),
        };
        Ok((*path, text))
    };
    SOURCES.iter().map(made).collect()
}

/// The manifest of the whole repository, with what the two packages inherit and no more.
fn workspace(text: &str) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("reading the manifest of Tandem")?;
    let other: Vec<String> = document.iter().map(|(key, _)| key.to_owned()).filter(|key| key != "workspace").collect();
    other.iter().for_each(|key| drop(document.remove(key)));
    let workspace = &mut document["workspace"];
    let members = ["plugin/sdk", "plugin/rules"].into_iter().collect::<toml_edit::Array>();
    workspace["members"] = toml_edit::value(members);
    if let Some(table) = workspace.as_table_like_mut() {
        table.remove("default-members");
        table.remove("exclude");
    }
    if let Some(dependencies) = workspace["dependencies"].as_table_like_mut() {
        dependencies.remove("tandem-standin");
    }
    Ok(document.to_string())
}

/// The manifest of one of them, without what only its own tests take.
fn package(text: &str) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("reading the manifest of a package")?;
    for key in ["test", "dev-dependencies"] {
        document.remove(key);
    }
    Ok(document.to_string())
}

/// Where a Rust plugin has the SDK and the default rules from.
enum Sdk {
    /// This very program.
    Own,
    Folder(PathBuf),
    Git(String),
}

impl Sdk {
    fn find(named: Option<String>) -> anyhow::Result<Self> {
        let Some(named) = named else { return Ok(Self::Own) };
        if named.contains("://") || named.starts_with("git@") {
            return Ok(Self::Git(named));
        }
        if !is_checkout(Path::new(&named)) {
            bail!("`{named}` does not hold Tandem's sources\nhint: name the folder that has `plugin/sdk` in it");
        }
        // As it was given, seen from inside of the new folder.
        Ok(Self::Folder(Path::new("..").join(named)))
    }

    /// The value of a dependency in Cargo.toml. A git repository is searched by cargo for the package of that name.
    fn dependency(&self, part: &str) -> String {
        let (key, value) = match self {
            Self::Own => ("path", format!("{OWN}/{part}")),
            Self::Folder(folder) => ("path", folder.join(part).display().to_string()),
            Self::Git(url) => ("git", url.clone()),
        };
        format!("{{ {key} = {} }}", toml::Value::String(value))
    }
}

fn is_checkout(folder: &Path) -> bool {
    folder.join("plugin/sdk/Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_in_every_place() {
        let text = "my-plugin my_plugin MyPlugin SDK(plugin/sdk)";
        let sdk = Sdk::Folder("../tandem".into());
        let filled = fill_in(text, "acme-vip2", Some(&sdk));
        assert_eq!(filled, "acme-vip2 acme_vip2 AcmeVip2 { path = \"../tandem/plugin/sdk\" }");
        assert_eq!(fill_in("SDK(plugin/sdk)", "vip", Some(&Sdk::Own)), "{ path = \"tandem/plugin/sdk\" }");
        let sdk = Sdk::Git("https://git.example.org/tandem".into());
        assert_eq!(fill_in("SDK(plugin/rules)", "vip", Some(&sdk)), "{ git = \"https://git.example.org/tandem\" }");
    }

    #[test]
    fn what_is_written_beside_a_plugin_is_whole_and_has_no_more_than_it_takes() {
        let sources = sources().unwrap();
        let text = |path: &str| &sources.iter().find(|(known, _)| *known == path).unwrap().1;
        for path in ["plugin/sdk/src/lib.rs", "plugin/rules/src/lib.rs", "plugin/rules/src/settings/zones.txt"] {
            assert_eq!(*text(path), std::fs::read_to_string(path).unwrap(), "{path}");
        }
        assert!(text("wit/v0.1/rules.wit").contains("package tandem:rules"));
        let root: toml::Table = text("Cargo.toml").parse().unwrap();
        assert_eq!(root.keys().collect::<Vec<_>>(), ["workspace"]);
        let known = &root["workspace"]["dependencies"];
        assert!(known.get("tandem-standin").is_none());
        for package in ["plugin/sdk/Cargo.toml", "plugin/rules/Cargo.toml"] {
            let manifest: toml::Table = text(package).parse().unwrap();
            assert!(!manifest.contains_key("test") && !manifest.contains_key("dev-dependencies"));
            for (name, from) in manifest["dependencies"].as_table().unwrap() {
                assert!(from.get("workspace").is_none() || known.get(name).is_some(), "{package}: {name}");
            }
        }
        assert!(sources.iter().all(|(path, _)| !path.contains("/tests/")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "Vip", "2b", "a_b", "-a", "a-", "a--b", "a/b", "..", "é", "fn", "test", "tandem-sdk"] {
            assert!(name(text).is_err(), "{text}");
        }
        assert_eq!(name("acme-vip2").as_deref(), Ok("acme-vip2"));
    }
}
