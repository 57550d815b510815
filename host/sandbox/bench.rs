//! A workbench: the rules under test as plugins, one for each rules file that a case brings along, each made once. Knows
//! how plugins are made of rules files, components and core modules; reads no file and runs no case.

use std::collections::HashMap;

use anyhow::{Context, bail};

use super::case::{Case, RULES};
use crate::bake;
use crate::engine::{self, Engine};
use crate::rules::Plugin;

/// What cases are run with. Compiled in haste, which changes neither what rules answer nor the fuel they burn.
pub struct Bench {
    engine: Engine,
    /// What a case's own rules file is frozen into: a component.
    base: Vec<u8>,
    usual: Plugin,
    /// By the text of the rules file.
    of_cases: HashMap<String, Plugin>,
}

/// What is under test.
pub enum Source {
    /// A component or core module, as it is; the rules files of cases are frozen into it.
    Plugin(Vec<u8>),
    /// The text of a rules file, and what it is frozen into: a component or core module, or else the default rules.
    File { text: String, base: Option<Vec<u8>> },
}

impl Bench {
    /// `name` is how people call the rules. Errors are theirs.
    pub async fn new(name: &str, source: Source) -> anyhow::Result<Self> {
        let encode = |bytes: &[u8]| bake::encode(bytes).with_context(|| format!("plugin `{name}`"));
        let engine = engine::building_engine()?;
        let (base, usual) = match source {
            Source::Plugin(bytes) => {
                let base = encode(&bytes)?;
                let usual = Plugin::load(&engine, &base).with_context(|| format!("plugin `{name}`"))?;
                (base, usual)
            }
            Source::File { text, base } => {
                let base = match base {
                    Some(base) => bake::encode(&base).context("the base")?,
                    None => bake::default_base()?,
                };
                let usual = frozen(&engine, &base, name, &text).await?;
                (base, usual)
            }
        };
        Ok(Self { engine, base, usual, of_cases: HashMap::new() })
    }

    /// The plugin of a case without a rules file of its own.
    pub fn usual(&self) -> &Plugin {
        &self.usual
    }

    /// The plugin that a case is about.
    pub async fn plugin(&mut self, case: &Case) -> anyhow::Result<Plugin> {
        let Some(rules) = &case.rules else { return Ok(self.usual.clone()) };
        if let Some(made) = self.of_cases.get(rules) {
            return Ok(made.clone());
        }
        let name = case.dir().join(RULES).display().to_string();
        let made = frozen(&self.engine, &self.base, &name, rules).await?;
        self.of_cases.insert(rules.clone(), made.clone());
        Ok(made)
    }
}

async fn frozen(engine: &Engine, base: &[u8], name: &str, rules: &str) -> anyhow::Result<Plugin> {
    match bake::bake(engine, base, name, rules).await {
        Ok(baked) => Plugin::load(engine, &baked.component).with_context(|| format!("the rules `{name}`")),
        Err(refused) => bail!("{refused}"),
    }
}
