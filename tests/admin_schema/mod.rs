//! Says whether Shopify's Admin API would take a request as it is written: its document and its variables, against the
//! schemas of every API version that is at hand. Knows nothing of what an answer would be.
//!
//! The schemas are not part of the project. They are read from the folder named by `TANDEM_SHOPIFY_SCHEMA`, or from the
//! one beside the checkout; without either, the tests say that they did not check.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tandem::sandbox::Schema;

const VERSIONS: [&str; 3] = ["2026-01", "2026-04", "2026-07"];

struct Version {
    name: &'static str,
    schema: Schema,
}

/// Nothing where the schemas are not at hand, which CI may not be.
fn versions() -> Option<&'static [Version]> {
    static VERSIONS_READ: OnceLock<Option<Vec<Version>>> = OnceLock::new();
    VERSIONS_READ.get_or_init(read).as_deref()
}

fn read() -> Option<Vec<Version>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/shopify-schema");
    let folder = std::env::var_os("TANDEM_SHOPIFY_SCHEMA").map_or(beside, PathBuf::from);
    let file = |version: &str| folder.join(format!("draft-proxy-admin-{version}.graphql"));
    if !VERSIONS.iter().all(|version| file(version).is_file()) {
        assert!(std::env::var_os("CI").is_none(), "CI has Shopify's schemas, and this run has not found them");
        eprintln!("SKIPPED: no schemas of Shopify; name their folder in TANDEM_SHOPIFY_SCHEMA");
        return None;
    }
    let read = |name: &'static str, file: PathBuf| Version {
        name,
        schema: Schema::read(&file).expect("a schema can be read"),
    };
    let threads =
        VERSIONS.map(|name| (name, file(name))).map(|(name, file)| std::thread::spawn(move || read(name, file)));
    Some(threads.map(|thread| thread.join().expect("a schema is read")).into())
}

/// Whether every version takes the document with these variables; otherwise which does not, and why.
pub fn valid(document: &str, variables: &str) -> Result<(), String> {
    for Version { name, schema } in versions().unwrap_or_default() {
        if let Some(why) = schema.refusal(document, variables) {
            return Err(format!("Shopify {name} would refuse `{document}`: {why}"));
        }
    }
    Ok(())
}

/// Whether anything is checked at all.
#[allow(dead_code, reason = "only the tests of the check itself ask")]
pub fn is_at_hand() -> bool {
    versions().is_some()
}
