//! Builds manifests and entities. Knows their shape, and no rules.

use crate::{Entity, Event, Manifest, Names, Page, Reading, Setting, Target, Topic};

impl Manifest {
    /// A manifest of rules that listen to no topic and call no target yet.
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.into(), version: version.into(), listens: vec![], targets: vec![], settings: vec![] }
    }

    /// Adds topics of a source.
    pub fn listens<'a>(mut self, source: &str, topics: impl IntoIterator<Item = &'a str>) -> Self {
        self.listens.extend(topics.into_iter().map(|name| Topic { source: source.into(), name: name.into() }));
        self
    }

    /// Adds a target with its API version (empty where it has none) and the scopes its credentials need.
    pub fn target<'a>(mut self, name: &str, api_version: &str, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        self.targets.push(Target {
            name: name.into(),
            api_version: api_version.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// Adds a setting: its JSON pointer, its value in force as JSON, and whether a change of it cuts links.
    pub fn setting(mut self, at: &str, value: impl Into<String>, fixed: bool) -> Self {
        self.settings.push(Setting { at: at.into(), value: value.into(), fixed });
        self
    }
}

#[allow(clippy::derivable_impls, reason = "the type is wit-bindgen's")]
impl Default for Names {
    fn default() -> Self {
        Self { learned: vec![], retired: vec![] }
    }
}

#[allow(clippy::derivable_impls, reason = "the type is wit-bindgen's")]
impl Default for Page {
    fn default() -> Self {
        Self { items: vec![], next: None, total: None }
    }
}

impl Entity {
    /// An entity with one name that waits for no other.
    pub fn named(name: impl Into<String>) -> Self {
        Self { names: vec![name.into()], after: vec![] }
    }

    /// Adds another name of the same entity.
    pub fn and(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// Makes the event wait for earlier events of the entity with this name.
    pub fn after(mut self, name: impl Into<String>) -> Self {
        self.after.push(name.into());
        self
    }
}

/// An event for tests to fill in: from Shopify, at a fixed time, with an empty object as payload.
pub fn event() -> Event {
    Event {
        source: "shopify".into(),
        topic: String::new(),
        id: "e1".into(),
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: "2026-01-02T03:04:06Z".into(),
        api_version: "2026-07".into(),
        payload: "{}".into(),
    }
}

/// A reading for tests to fill in: of everything, from its beginning.
pub fn reading(pull: &str) -> Reading {
    Reading {
        pull: pull.into(),
        begun_at: "2026-01-02T03:04:05Z".into(),
        since: None,
        names_only: false,
        bulk: false,
        cursor: String::new(),
    }
}
