//! The versions in memory, each loaded once for all who use it. When they take up too much, those used least recently
//! go first.
//!
//! Knows sizes and times of use; not where a version comes from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rules::{Plugin, WeakPlugin};

pub struct Loaded {
    bytes_max: usize,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_digest: HashMap<String, Slot>,
    /// Counts uses, which serves as the time here.
    uses: u64,
}

#[derive(Default)]
struct Slot {
    /// The version, as long as anybody has it.
    plugin: Option<WeakPlugin>,
    /// Keeps the version for those who will ask next.
    kept: Option<Plugin>,
    is_pinned: bool,
    used: u64,
    /// Locked while the version is being loaded.
    loading: Arc<Mutex<()>>,
}

impl Loaded {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, slots: Mutex::default() }
    }

    pub fn get(&self, digest: &str) -> Option<Plugin> {
        let mut slots = self.slots();
        slots.uses += 1;
        let now = slots.uses;
        let slot = slots.by_digest.get_mut(digest)?;
        slot.used = now;
        slot.plugin.as_ref()?.upgrade()
    }

    /// The version in memory, or else the one that `load` gives; `load` also says whether to keep it. Only one caller
    /// at a time loads a version.
    pub fn get_or(
        &self,
        digest: &str,
        load: impl FnOnce() -> anyhow::Result<(Plugin, bool)>,
    ) -> anyhow::Result<Plugin> {
        if let Some(plugin) = self.get(digest) {
            return Ok(plugin);
        }
        let loading = self.slots().by_digest.entry(digest.to_owned()).or_default().loading.clone();
        let _loading = loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = self.get(digest) {
            return Ok(plugin);
        }
        let (plugin, keep) = load()?;
        self.put(&plugin, keep, false);
        Ok(plugin)
    }

    /// Keeps a version until it is let go.
    pub fn keep(&self, plugin: &Plugin) {
        self.put(plugin, true, false);
    }

    /// Keeps a version for ever, since it cannot be loaded again.
    pub fn pin(&self, plugin: Plugin) {
        self.put(&plugin, true, true);
    }

    /// Keeps a version no longer than it is used.
    pub fn let_go(&self, digest: &str) {
        let mut slots = self.slots();
        if let Some(slot) = slots.by_digest.get_mut(digest).filter(|slot| !slot.is_pinned) {
            slot.kept = None;
        }
    }

    /// Bytes of code that are kept.
    pub fn bytes(&self) -> usize {
        self.slots().bytes()
    }

    /// Versions whose code is kept.
    pub fn count(&self) -> usize {
        self.slots().by_digest.values().filter(|slot| slot.kept.is_some()).count()
    }

    fn put(&self, plugin: &Plugin, keep: bool, pin: bool) {
        let mut slots = self.slots();
        slots.uses += 1;
        let now = slots.uses;
        let slot = slots.by_digest.entry(plugin.digest().to_owned()).or_default();
        slot.plugin = Some(plugin.downgrade());
        slot.used = now;
        slot.is_pinned |= pin;
        if keep {
            slot.kept = Some(plugin.clone());
            slots.shrink(self.bytes_max, plugin.digest());
        }
        // Removes the versions that nobody has or waits for any more.
        slots.by_digest.retain(|_, slot| {
            Arc::strong_count(&slot.loading) > 1 || slot.plugin.as_ref().is_some_and(|weak| weak.upgrade().is_some())
        });
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Code that several versions share counts once.
    fn bytes(&self) -> usize {
        let mut shared = HashMap::new();
        let mut bytes = 0;
        for plugin in self.by_digest.values().filter_map(|slot| slot.kept.as_ref()) {
            bytes += plugin.code_bytes();
            if let Some(code) = plugin.shared_code() {
                shared.insert(code.digest(), code.bytes());
            }
        }
        bytes + shared.values().sum::<usize>()
    }

    /// Lets go of the versions used least recently, until the rest fits. The newest stays.
    fn shrink(&mut self, bytes_max: usize, newest: &str) {
        while self.bytes() > bytes_max {
            let others = self.by_digest.iter_mut().filter(|(digest, slot)| *digest != newest && !slot.is_pinned);
            let kept = others.map(|(_, slot)| slot).filter(|slot| slot.kept.is_some());
            match kept.min_by_key(|slot| slot.used) {
                Some(slot) => slot.kept = None,
                None => return,
            }
        }
    }
}
