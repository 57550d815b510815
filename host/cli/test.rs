//! `tandem test`: runs case folders, or one event, through rules and shows what came of it. Knows no other command.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::ArgGroup;

use super::slow::slow;
use super::watch::Watch;
use super::{trigger, try_out, wrong_command};
use crate::output::{note, noteln, out, outln};
use crate::paint::Paint;
use crate::rules::Manifest;
use crate::sandbox::{self, Bench, Case, Counts, Moment, Ran, Report, Rules, Schema, Source};
use crate::simulate::Step;
use crate::{config, files};

#[derive(clap::Args)]
#[command(group(ArgGroup::new("what").required(true).args(["dir", "topic"])))]
pub struct Arguments {
    /// A folder of cases, or one case: `<source>/<topic>/<what it shows>/payload.json`.
    dir: Option<PathBuf>,
    /// Only cases with this in their name.
    filter: Option<String>,
    /// The rules: a rules file, a component, or a core module that carries the plugin world.
    #[arg(long)]
    rules: PathBuf,
    /// The component, or core module, that a rules file is frozen into; without it, the default rules.
    #[arg(long)]
    base: Option<PathBuf>,
    /// Check every GraphQL call against this schema of the Admin API, in GraphQL's own language.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Make what happens what must happen: write the transcripts. Read the difference.
    #[arg(long, requires = "dir")]
    bless: bool,
    /// Do not fail for cases that expect nothing: they have no transcript yet.
    #[arg(long, requires = "dir")]
    allow_new: bool,
    /// Run again whenever the rules, the plugin or the cases change.
    #[arg(long, requires = "dir")]
    watch: bool,
    /// Run this in a shell before the cases: what builds the plugin. With `--watch`, also whenever its sources change: what is below
    /// `src`, and the sources beside it.
    #[arg(long, requires = "dir", value_name = "COMMAND")]
    build: Option<String>,
    /// Show each conversation step by step.
    #[arg(long, conflicts_with = "json")]
    trace: bool,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    /// Run one event of this topic, whose body comes from standard input.
    #[arg(long)]
    topic: Option<String>,
    /// Let the stand-ins of both systems answer, and show both sides before and after: as `tandem try` does.
    #[arg(long, requires = "topic", conflicts_with_all = ["dir", "schema", "source", "memory"])]
    simulate: bool,
    /// Who sent that event; without it, whom the rules listen to for the topic.
    #[arg(long, requires = "topic", value_parser = ["shopify", "omneo", "tandem"])]
    source: Option<String>,
    /// What is remembered before that event.
    #[arg(long, requires = "topic")]
    memory: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.simulate {
        return simulate(arguments).await;
    }
    let Some(dir) = &arguments.dir else { return one_event(&arguments).await };
    if !arguments.watch {
        return built_and_run(&arguments, dir).await;
    }
    // What a build makes is no change of its own.
    let is_made =
        |file: &&PathBuf| arguments.build.is_some() && file.extension().is_some_and(|extension| extension == "wasm");
    let files = [Some(&arguments.rules), arguments.base.as_ref(), arguments.schema.as_ref()];
    let files = files.into_iter().flatten().filter(|file| !is_made(file));
    let sources = arguments.build.is_some().then_some(Path::new("."));
    let watch = Watch::new(dir, files, sources).map_err(wrong_command)?;
    loop {
        if let Err(error) = built_and_run(&arguments, dir).await {
            super::print_error(&error);
        }
        noteln!("waiting for a change; ctrl-c ends this");
        let changed = watch.change()?;
        noteln!("\n{} has changed", changed.display());
    }
}

/// Builds the plugin, if that is asked for, and runs all cases with it.
async fn built_and_run(arguments: &Arguments, dir: &Path) -> anyhow::Result<()> {
    if let Some(build) = &arguments.build {
        let [shell, flag] = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
        // Standard output is for what the cases say.
        let built = Command::new(shell).args([flag, build]).stdin(Stdio::null()).stdout(std::io::stderr()).status();
        let built = built.with_context(|| format!("running `{build}`"))?;
        if !built.success() {
            bail!("`{build}` failed ({built}), and no case was run");
        }
    }
    cases(arguments, dir).await
}

/// Runs all cases of a folder and prints what came of them.
async fn cases(arguments: &Arguments, dir: &Path) -> anyhow::Result<()> {
    let found = read(dir, arguments.filter.as_deref()).map_err(wrong_command)?;
    let schema = arguments.schema.as_deref().map(Schema::read).transpose().map_err(wrong_command)?;
    let mut bench = bench(&arguments.rules, arguments.base.as_deref()).await?;
    let paint = Paint::for_stdout(config::no_color());
    let mut all = vec![];
    for Found { name, dir, case } in found {
        let (case, plugin) = match case {
            Err(broken) => (Err(broken), None),
            Ok(case) => match bench.plugin(&case).await {
                Ok(plugin) => (Ok(case), Some(plugin)),
                Err(wrong) => (Err(format!("{wrong:#}")), None),
            },
        };
        let (Ok(case), Some(plugin)) = (&case, &plugin) else {
            let ran = Ran { name, dir, result: Err(case.err().unwrap_or_default()) };
            if !arguments.json {
                out!("{}", ran.show(paint))?;
            }
            all.push(ran);
            continue;
        };
        let mut report = case.run(&Rules::from(plugin), schema.as_ref());
        let blessed = arguments.bless && report.bless(case)?;
        if arguments.bless {
            report.expected = Some(report.actual.clone());
            report.memory_expected = None;
        }
        let trace = arguments.trace.then(|| sandbox::trace(case, &report, paint));
        let ran = Ran { name, dir, result: Ok((case.clone(), report)) };
        if !arguments.json {
            if let Some(trace) = trace {
                outln!("{trace}")?;
            }
            out!("{}", ran.show(paint))?;
            if blessed {
                outln!("     {}", paint.yellow("written down; read the difference"))?;
            }
        }
        all.push(ran);
    }
    let counts = Counts::of(&all);
    match arguments.json {
        true => outln!("{:#}", sandbox::json(bench.usual(), &bench.digest().await?, &all))?,
        false => out!("{}", sandbox::summary(counts, paint))?,
    }
    if counts.failed > 0 {
        bail!("{} of {} cases failed", counts.failed, all.len());
    }
    if counts.new > 0 && !arguments.allow_new {
        bail!(
            "{} of {} cases expect nothing\nhint: `--bless` writes down what happened; `--allow-new` lets them be",
            counts.new,
            all.len()
        );
    }
    Ok(())
}

/// A case that was found, or why it cannot be read.
struct Found {
    name: String,
    dir: PathBuf,
    case: Result<Case, String>,
}

/// Every case of a folder that the filter lets through.
fn read(dir: &Path, filter: Option<&str>) -> anyhow::Result<Vec<Found>> {
    let mut found = vec![];
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for dir in sandbox::find(dir)? {
        let name = sandbox::name_of(&dir).unwrap_or_else(|_| dir.display().to_string());
        let mut case = Case::read(&dir).map_err(|error| format!("{error:#}"));
        // A sentence names one case, whatever its topic.
        let sentence = name.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(other) = named.insert(sentence, dir.clone()) {
            let (one, two) = (other.display(), dir.display());
            case = Err(format!(
                "two cases of one name: `{one}` and `{two}`\nhint: rename one: its name says what it shows"
            ));
        }
        found.push(Found { name, dir, case });
    }
    if let Some(filter) = filter {
        found.retain(|found| found.name.contains(filter));
        if found.is_empty() {
            bail!("no case below `{}` has `{filter}` in its name", dir.display());
        }
    }
    Ok(found)
}

/// The rules under test, from the files that the arguments name.
pub async fn bench(rules: &Path, base: Option<&Path>) -> anyhow::Result<Bench> {
    let is_wasm = rules.extension().is_some_and(|extension| extension == "wasm");
    let source = if is_wasm {
        if base.is_some() {
            return Err(wrong_command(anyhow::anyhow!(
                "`--base` goes with a rules file, and `{}` is a plugin\nhint: leave `--base` out",
                rules.display()
            )));
        }
        Source::Plugin(files::read(rules, "plugin")?)
    } else {
        let text = String::from_utf8(files::read(rules, "the rules")?);
        let text = text.with_context(|| format!("the rules `{}` are not text", rules.display()))?;
        Source::File { text, base: base.map(|base| files::read(base, "plugin")).transpose()? }
    };
    let _slow = slow(format!("compiling {}", rules.display()));
    Bench::new(&rules.display().to_string(), source, config::cache_folder().as_deref()).await
}

/// Runs an event whose body comes from standard input: its conversation goes to standard output, as a case would keep it.
async fn one_event(arguments: &Arguments) -> anyhow::Result<()> {
    let schema = arguments.schema.as_deref().map(Schema::read).transpose().map_err(wrong_command)?;
    let bench = bench(&arguments.rules, arguments.base.as_deref()).await?;
    let case = event(arguments, bench.usual().manifest()).map_err(wrong_command)?;
    let report = case.run(&Rules::from(bench.usual()), schema.as_ref());
    let paint = Paint::for_stdout(config::no_color());
    let wrong = report.wrong();
    if arguments.json {
        let ran = Ran { name: case.name.clone(), dir: PathBuf::new(), result: Ok((case, report)) };
        outln!("{:#}", sandbox::json(bench.usual(), &bench.digest().await?, &[ran]))?;
    } else if arguments.trace {
        out!("{}", sandbox::trace(&case, &report, paint))?;
    } else {
        out!("{}", report.actual)?;
        note!("{}", notes(&report));
    }
    match wrong {
        Some(wrong) => bail!("{}", wrong.trim_end()),
        None => Ok(()),
    }
}

/// The event against the stand-ins.
async fn simulate(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { rules, base, topic, json, .. } = arguments;
    let (topic, body) = trigger::made(&topic.unwrap_or_default(), Some(Path::new("-")), &[])?;
    let with = try_out::With { rules, base, ends: None, json };
    try_out::play(&with, &[Step { topic, body: Some(body), edits: vec![] }]).await
}

fn event(arguments: &Arguments, manifest: &Manifest) -> anyhow::Result<Case> {
    let topic = arguments.topic.clone().unwrap_or_default();
    let mut payload = String::new();
    std::io::stdin().read_to_string(&mut payload).context("reading the body from standard input")?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&payload) {
        bail!(
            "what standard input gave is not JSON: {error}\nhint: give the body of a webhook: `tandem test … < body.json`"
        );
    }
    let source = arguments.source.clone().unwrap_or_else(|| source_of(&topic, manifest));
    let mut case = Case::of(&source, &topic, payload, Moment::default())?;
    if let Some(path) = &arguments.memory {
        let memory = String::from_utf8(files::read(path, "the memory")?);
        case.memory.push(memory.with_context(|| format!("the memory `{}` is not text", path.display()))?);
    }
    Ok(case)
}

/// Who sends a topic: whom the rules listen to for it, or whose topics look like that.
fn source_of(topic: &str, manifest: &Manifest) -> String {
    let mut listened = manifest.listens.iter().filter(|(_, name)| name == topic).map(|(source, _)| source);
    match (listened.next(), listened.next()) {
        (Some(source), None) => source.clone(),
        _ if topic.contains('/') => "shopify".into(),
        _ => "omneo".into(),
    }
}

/// What stands beside a conversation.
fn notes(report: &Report) -> String {
    let mut text = format!("{}\n", report.used(Paint::plain()));
    for line in report.log() {
        text.push_str(&format!("log: {}\n", crate::paint::harmless(line)));
    }
    for refused in &report.refused {
        text.push_str(&format!("would be refused: {refused}\n"));
    }
    for unknown in &report.unknown {
        text.push_str(&format!("note: {unknown}\n"));
    }
    for call in &report.missing {
        text.push_str(&format!("`{call}` needs a reply before it can go on\n"));
    }
    if !report.missing.is_empty() {
        text.push_str("hint: make it a case, a folder with the body in `payload.json`, and give replies in its `transcript.http`\n");
    }
    text
}
