//! Reads files and writes them whole, with words for what goes wrong. Knows nothing of what is in them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// A file that cannot be read or written: the command named it, so the command is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{doing} `{path}`: {cause}\nhint: {hint}")]
pub struct Unusable {
    doing: String,
    path: String,
    cause: std::io::Error,
    hint: &'static str,
}

impl Unusable {
    /// A file that is read otherwise; `doing` stands in the error: `reading the configuration`.
    pub fn new(doing: &str, path: &Path, cause: std::io::Error, hint: &'static str) -> Self {
        Self { doing: doing.to_owned(), path: path.display().to_string(), cause, hint }
    }
}

/// What is opened for writing with this and was not there is its owner's alone: it holds what is personal, or secret.
pub fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder, with those above it that are missing.
pub fn folder(path: &Path) -> Result<(), Unusable> {
    made(std::fs::DirBuilder::new(), path)
}

/// The same; a new one is its owner's alone.
pub fn private_folder(path: &Path) -> Result<(), Unusable> {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    made(builder, path)
}

fn made(mut builder: std::fs::DirBuilder, path: &Path) -> Result<(), Unusable> {
    let hint = "name one in a folder that can be written to";
    let made = builder.recursive(true).create(path);
    made.map_err(|cause| Unusable::new("making the folder", path, cause, hint))
}

/// The mode of what is there, if others than its owner may do anything with it.
pub fn wider(path: &Path) -> Option<u32> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).ok()?) & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    }
    #[cfg(not(unix))]
    None
}

/// Gives what root has made to whoever has the folder: a host runs there as that user, and must be able to open it.
pub fn give_away(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let (file, folder) = (std::fs::metadata(path)?, std::fs::metadata(folder_of(path))?);
        if file.uid() == 0 && folder.uid() != 0 {
            chown(path, Some(folder.uid()), Some(folder.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The bytes of a file; `what` it is stands in the error: `the rules`.
pub fn read(path: &Path, what: &str) -> Result<Vec<u8>, Unusable> {
    std::fs::read(path).map_err(|cause| {
        let hint = match cause.kind() {
            std::io::ErrorKind::IsADirectory => "this is a folder: name a file in it",
            std::io::ErrorKind::PermissionDenied => "let yourself read it",
            _ => "check the name; it counts from the folder you are in",
        };
        Unusable { doing: format!("reading {what}"), path: path.display().to_string(), cause, hint }
    })
}

/// Has the folder of a new file on disk, so that the file is there after a power cut, too.
pub fn settle_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// Writes a file whole or not at all, through one beside it. A file that is there keeps its permissions, and a link stays
/// a link. What is no file, such as `/dev/stdout`, is written to as it is.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Unusable> {
    write_as(path, bytes, 0o666)
}

/// The same for what is personal: the file is its owner's alone, whatever it was before.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Unusable> {
    write_as(path, bytes, 0o600)
}

fn write_as(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Unusable> {
    written(path, bytes, mode).map_err(|cause| {
        let hint = match cause.kind() {
            std::io::ErrorKind::IsADirectory => "this is a folder: name a file in it",
            std::io::ErrorKind::NotFound => "make its folder first",
            _ => "name a file in a folder that can be written to",
        };
        Unusable { doing: "writing".to_owned(), path: path.display().to_string(), cause, hint }
    })
}

fn written(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let there = std::fs::metadata(&path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return std::fs::write(&path, bytes);
    }
    let folder = folder_of(&path);
    std::fs::metadata(folder)?;
    let mut beside = tempfile::Builder::new();
    // Before the umask.
    #[cfg(unix)]
    beside.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    // Without the name of the temporary file, which nobody has asked for.
    let mut beside = beside.tempfile_in(folder).map_err(|error| std::io::Error::from(error.kind()))?;
    beside.write_all(bytes)?;
    if let Some(there) = there.filter(|_| mode != 0o600) {
        beside.as_file().set_permissions(there.permissions())?;
    }
    beside.as_file().sync_all()?;
    beside.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"one").unwrap();
        let fresh = std::fs::metadata(&path).unwrap().permissions();
        std::fs::write(folder.path().join("plain"), b"").unwrap();
        assert_eq!(fresh, std::fs::metadata(folder.path().join("plain")).unwrap().permissions());
        let mut strict = fresh;
        strict.set_readonly(true);
        std::fs::set_permissions(&path, strict.clone()).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, "it").unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions(), strict);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_is_no_file_to_replace() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::fs::write(&target, b"one").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write(&link, b"two").unwrap();
        assert!(link.is_symlink() && std::fs::read(&target).unwrap() == b"two");
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }

    #[test]
    fn what_cannot_be_read_or_written_is_named_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let said = read(&folder.path().join("no"), "the rules").unwrap_err().to_string();
        assert!(said.starts_with("reading the rules `") && said.contains("\nhint: check the name"), "{said}");
        let said = write(&folder.path().join("no/a"), b"").unwrap_err().to_string();
        assert!(said.ends_with("(os error 2)\nhint: make its folder first"), "{said}");
        let said = write(folder.path(), b"").unwrap_err().to_string();
        assert!(said.ends_with("hint: this is a folder: name a file in it"), "{said}");
    }
}
