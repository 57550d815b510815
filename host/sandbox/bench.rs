//! A workbench: the rules under test as plugins, one for each rules file that a case brings along. Knows how plugins are made
//! of rules files, components and core modules; reads no file and runs no case.
//!
//! Only what is under test is compiled, once. Rules files are given to it in each ask, which comes to the same as freezing
//! them, but for what wraps other rules: there they are frozen into those.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};

use super::case::{Case, RULES};
use crate::bake::{self, Refused};
use crate::compose;
use crate::engine::{self, Engine};
use crate::rules::{self, Plugin};

/// What cases are run with. Compiled in haste, which changes neither what rules answer nor the fuel they burn.
pub struct Bench {
    engine: Engine,
    /// What a case's own rules file is for: a component.
    base: Vec<u8>,
    /// The same, compiled, once somebody has a rules file for it.
    configurable: Option<Plugin>,
    usual: Plugin,
    /// What the usual rules would be frozen of, if they were not given as a component.
    file: Option<(String, String)>,
    /// By the text of the rules file.
    of_cases: HashMap<String, Plugin>,
}

/// What is under test.
pub enum Source {
    /// A component or core module, as it is; the rules files of cases are for what it was built of.
    Plugin(Vec<u8>),
    /// The text of a rules file, and what it is for: a component or core module, or else the default rules.
    File { text: String, base: Option<Vec<u8>> },
}

impl Bench {
    /// `name` is how people call the rules. Errors are theirs. What is compiled is kept in this folder for the next time.
    pub async fn new(name: &str, source: Source, cache: Option<&Path>) -> anyhow::Result<Self> {
        let encode = |bytes: &[u8]| bake::encode(bytes).with_context(|| format!("plugin `{name}`"));
        let engine = engine::testing_engine(cache)?;
        let (of_cases, mut configurable) = (HashMap::new(), None);
        match source {
            Source::Plugin(bytes) => {
                let base = encode(&bytes)?;
                let usual = Plugin::load(&engine, &base).with_context(|| format!("plugin `{name}`"))?;
                Ok(Self { engine, base, configurable, usual, file: None, of_cases })
            }
            Source::File { text, base } => {
                let base = match base {
                    Some(base) => bake::encode(&base).context("the base")?,
                    None => bake::default_base()?,
                };
                let usual = with_rules(&engine, &base, &mut configurable, name, &text).await?;
                let file = Some((name.to_owned(), text));
                Ok(Self { engine, base, configurable, usual, file, of_cases })
            }
        }
    }

    /// The plugin of a case without a rules file of its own.
    pub fn usual(&self) -> &Plugin {
        &self.usual
    }

    /// The digest of the component that the usual rules are, or would be when they are built.
    pub async fn digest(&self) -> anyhow::Result<String> {
        match &self.file {
            None => Ok(self.usual.digest().to_owned()),
            Some((name, text)) => match bake::bake(&self.engine, &self.base, name, text).await {
                Ok(baked) => Ok(rules::digest(&baked.component)),
                Err(refused) => bail!("{refused}"),
            },
        }
    }

    /// The plugin that a case is about.
    pub async fn plugin(&mut self, case: &Case) -> anyhow::Result<Plugin> {
        let Some(rules) = &case.rules else { return Ok(self.usual.clone()) };
        if let Some(made) = self.of_cases.get(rules) {
            return Ok(made.clone());
        }
        let name = case.dir().join(RULES).display().to_string();
        let made = with_rules(&self.engine, &self.base, &mut self.configurable, &name, rules).await?;
        self.of_cases.insert(rules.clone(), made.clone());
        Ok(made)
    }
}

async fn with_rules(
    engine: &Engine,
    base: &[u8],
    configurable: &mut Option<Plugin>,
    name: &str,
    rules: &str,
) -> anyhow::Result<Plugin> {
    let unfrozen = bake::unfrozen(base)?;
    let made = if compose::wrapper(&unfrozen).is_some() {
        bake::bake(engine, base, name, rules).await.and_then(|baked| {
            Plugin::load(engine, &baked.component)
                .with_context(|| format!("the rules `{name}`"))
                .map_err(Refused::Other)
        })
    } else {
        let base = match configurable {
            Some(base) => base,
            None => configurable.insert(Plugin::load(engine, &unfrozen).context("the base")?),
        };
        bake::configured(base, name, rules).map(|(plugin, _)| plugin)
    };
    match made {
        Ok(plugin) => Ok(plugin),
        Err(refused) => bail!("{refused}"),
    }
}
