//! Waits for files to change. Knows names of files; not what is in them.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

/// A change is over when nothing has changed for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// What a plugin is written in, by the endings of files beside its `src`.
const SOURCES: [&str; 6] = ["rs", "js", "mjs", "ts", "toml", "wit"];

/// Watches a folder with all that is below it, and single files.
pub struct Watch {
    changes: Receiver<notify::Result<Event>>,
    folder: PathBuf,
    files: Vec<PathBuf>,
    /// The folder of a plugin's sources.
    sources: Option<PathBuf>,
    /// Watches as long as it is there.
    _watcher: RecommendedWatcher,
}

impl Watch {
    pub fn new<'a>(
        folder: &Path,
        files: impl Iterator<Item = &'a PathBuf>,
        sources: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let (sender, changes) = channel();
        let mut watcher = notify::recommended_watcher(sender).context("watching files")?;
        let whole = |path: &Path| path.canonicalize().with_context(|| format!("watching `{}`", path.display()));
        let folder = whole(folder)?;
        watcher.watch(&folder, RecursiveMode::Recursive).context("watching the cases")?;
        let mut watched = vec![];
        for file in files {
            // By its folder: an editor may put another file in its place.
            let file = whole(file)?;
            watcher.watch(file.parent().unwrap_or(&file), RecursiveMode::NonRecursive).context("watching the rules")?;
            watched.push(file);
        }
        let sources = sources.map(whole).transpose()?;
        if let Some(sources) = &sources {
            watcher.watch(sources, RecursiveMode::NonRecursive).context("watching the sources")?;
            let below = sources.join("src");
            if below.is_dir() {
                watcher.watch(&below, RecursiveMode::Recursive).context("watching the sources")?;
            }
        }
        Ok(Self { changes, folder, files: watched, sources, _watcher: watcher })
    }

    /// Waits for the next change to be over, and says what has changed.
    pub fn change(&self) -> anyhow::Result<PathBuf> {
        let mut changed = None;
        loop {
            let event = match changed {
                None => self.changes.recv().ok(),
                Some(_) => self.changes.recv_timeout(QUIET).ok(),
            };
            match (event, changed) {
                (Some(event), before) => {
                    let event = event.context("watching files")?;
                    // Reading them is no change.
                    let ours = if event.kind.is_access() {
                        None
                    } else {
                        event.paths.into_iter().find(|path| self.is_ours(path))
                    };
                    changed = before.or(ours);
                }
                (None, Some(changed)) => return Ok(changed),
                (None, None) => bail!("watching files has ended"),
            }
        }
    }

    fn is_ours(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_an_editor = name.starts_with('.') || name.ends_with('~');
        self.files.iter().any(|file| file == path)
            || !of_an_editor && (path.starts_with(&self.folder) || self.is_source(path))
    }

    fn is_source(&self, path: &Path) -> bool {
        let Some(sources) = &self.sources else { return false };
        let is_written_in = path.extension().is_some_and(|ending| SOURCES.iter().any(|known| ending == *known));
        path.starts_with(sources.join("src")) || path.parent() == Some(sources) && is_written_in
    }
}
