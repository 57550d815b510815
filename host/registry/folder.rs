//! The folder with compiled code, a file for each version: written whole or not at all. Trusts nothing that it reads.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use tempfile::NamedTempFile;

use crate::files;

/// The file of this digest, if it can be read.
pub fn read(folder: &Path, digest: &str) -> Option<Vec<u8>> {
    std::fs::read(folder.join(name(digest))).ok()
}

pub fn write(folder: &Path, digest: &str, code: &[u8]) -> anyhow::Result<()> {
    let what = || format!("writing compiled code into `{}`", folder.display());
    files::private_folder(folder).with_context(what)?;
    let mut file = NamedTempFile::new_in(folder).with_context(what)?;
    file.write_all(code).with_context(what)?;
    file.persist(folder.join(name(digest))).with_context(what)?;
    Ok(())
}

/// Removes the file of this digest. A file that cannot be removed does no harm, since nobody trusts it.
pub fn remove(folder: &Path, digest: &str) {
    let _ = std::fs::remove_file(folder.join(name(digest)));
}

fn name(digest: &str) -> String {
    format!("{digest}.cwasm")
}
