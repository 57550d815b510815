//! The process that compiles: how it is started, held to its limits, asked, and what its death means.
//!
//! Knows pipes, limits and signals. It keeps a compiler that runs away from the events of others; it is no sandbox, since
//! what it makes is run as it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{Made, Mistakes, Source, here};
use crate::rules::{self, Compiled, Manifest, Shared};

/// Memory that it may write to: twice what a plugin in JavaScript takes, which brings its engine along; default rules take
/// less than a tenth.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Seconds of all cores together; default rules take two, a plugin in JavaScript twenty.
const CPU_S_MAX: u64 = 120;
/// What it may take in all, however busy the machine is.
const WALL_MAX: Duration = Duration::from_secs(300);
/// Functions are compiled so many at a time, however many cores there are: each takes memory of its own.
const THREADS_MAX: &str = "4";
/// Pipes, and what wasmtime opens to share pages.
const FILES_MAX: u64 = 64;
/// How far it steps back behind the events of others.
const NICE: i32 = 10;
/// What is read of it: a component, and code of several times its size.
const ANSWER_BYTES_MAX: u64 = 192 << 20;
/// Of what it says on standard error.
const LAST_WORDS_BYTES_MAX: u64 = 16 << 10;

/// What the process may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    pub memory_bytes: u64,
    pub cpu_s: u64,
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: MEMORY_BYTES_MAX, cpu_s: CPU_S_MAX, wall: WALL_MAX }
    }
}

/// The first line of what goes in; a component comes after it: what is to be compiled, or the base of the rules, if any.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Component,
    Rules { file: String, text: String },
}

/// The first line of what comes out; after `made`, the component, its code, and the code it shares with others, if it does.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Made { manifest: Manifest, component_bytes: usize, code_bytes: usize, shared: Option<String>, warnings: String },
    Mistakes(String),
    Refused(String),
}

/// Has a child compile. Blocks until it has answered or is gone: at its end nothing of it is left.
pub fn ask(program: &Path, limits: &Limits, source: Source) -> anyhow::Result<Made> {
    let (order, bytes) = match source {
        Source::Component(bytes) => (Order::Component, bytes),
        Source::Rules { file, text, base } => (Order::Rules { file, text }, base.unwrap_or_default()),
    };
    let mut order = serde_json::to_vec(&order)?;
    order.push(b'\n');
    let mut child = start(program, limits).context("starting the process that compiles")?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else { bail!("the process that compiles has no pipes") };
    thread::scope(|scope| {
        scope.spawn(move || {
            // What it does not read it will not answer.
            let _ = stdin.write_all(&order).and_then(|()| stdin.write_all(&bytes));
        });
        let last_words = scope.spawn(move || {
            let mut words = String::new();
            let _ = stderr.take(LAST_WORDS_BYTES_MAX).read_to_string(&mut words);
            words
        });
        let (send, answered) = mpsc::channel();
        // Nobody waits for what comes too late.
        scope.spawn(move || drop(send.send(read(stdout))));
        let answer = answered.recv_timeout(limits.wall);
        // After its last byte it is ending, and if not, nobody wants it any more.
        end(&mut child);
        let status = child.wait().context("waiting for the process that compiles")?;
        let words = last_words.join().unwrap_or_default();
        match answer {
            Err(_) => Err(too_much(format!("{} s", limits.wall.as_secs_f64()))),
            Ok(Ok(Some(made))) => {
                made.map_err(|error| if is_short(&error.to_string()) { memory(limits) } else { error })
            }
            Ok(Ok(None)) => Err(died(status, &words, limits)),
            Ok(Err(error)) => Err(error),
        }
    })
}

/// Holds this process to limits, for good.
#[cfg(unix)]
pub fn confine(memory_bytes: u64, cpu_s: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    let limit =
        |resource, current, maximum| setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) });
    // Whoever asked is gone: nobody will read the answer.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Not the address space: of that wasmtime reserves gigabytes for each memory, and touches little.
    limit(Resource::Data, memory_bytes, memory_bytes)?;
    // The signal that says so comes at the first, and is no choice at the second.
    limit(Resource::Cpu, cpu_s, cpu_s + 1)?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Nofile, FILES_MAX, FILES_MAX)?;
    nice(NICE)?;
    Ok(())
}

#[cfg(not(unix))]
pub fn confine(_: u64, _: u64) -> anyhow::Result<()> {
    Ok(())
}

/// The other end of [`ask`]: reads one order, and answers it.
pub async fn answer(input: impl Read, mut output: impl Write) -> anyhow::Result<()> {
    let (mut input, mut order, mut bytes) = (BufReader::new(input), String::new(), vec![]);
    input.read_line(&mut order).context("reading what is to be compiled")?;
    let order = serde_json::from_str(&order).context("reading what is to be compiled")?;
    input.read_to_end(&mut bytes).context("reading what is to be compiled")?;
    let source = match order {
        Order::Component => Source::Component(bytes),
        Order::Rules { file, text } => Source::Rules { file, text, base: Some(bytes).filter(|base| !base.is_empty()) },
    };
    let (answer, parts) = match here(source).await {
        Ok(Made { component, manifest, compiled, warnings }) => {
            let (component_bytes, code_bytes) = (component.len(), compiled.code.len());
            let (shared, code) = compiled.shared.map_or((None, vec![]), |shared| (Some(shared.digest), shared.code));
            (Answer::Made { manifest, component_bytes, code_bytes, shared, warnings }, [component, compiled.code, code])
        }
        Err(error) => match error.downcast::<Mistakes>() {
            Ok(Mistakes(mistakes)) => (Answer::Mistakes(mistakes), Default::default()),
            Err(error) => (Answer::Refused(format!("{error:#}")), Default::default()),
        },
    };
    let said = serde_json::to_vec(&answer)?;
    for part in [&said[..], b"\n", &parts[0], &parts[1], &parts[2]] {
        output.write_all(part).context("writing what was compiled")?;
    }
    output.flush().context("writing what was compiled")
}

fn start(program: &Path, limits: &Limits) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    let (memory, cpu) = (limits.memory_bytes.to_string(), limits.cpu_s.to_string());
    command.args(["compile", "--memory-bytes", &memory, "--cpu-s", &cpu]);
    // Credentials may stand in the environment.
    command.env_clear().env("RAYON_NUM_THREADS", THREADS_MAX);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

fn end(child: &mut Child) {
    // It has been waited for by nobody yet, so the number is still its own.
    #[cfg(unix)]
    if let Some(id) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// `None`: it ended before it had answered. The digest of the code is worked out here, of these very bytes.
fn read(output: impl Read) -> anyhow::Result<Option<anyhow::Result<Made>>> {
    let mut output = BufReader::new(output.take(ANSWER_BYTES_MAX + 1));
    let mut line = vec![];
    let mut code = vec![];
    if output.read_until(b'\n', &mut line).and_then(|_| output.read_to_end(&mut code)).is_err() {
        return Ok(None);
    }
    if (line.len() + code.len()) as u64 > ANSWER_BYTES_MAX {
        bail!(
            "its compiled code has more than {} MiB\nhint: a plugin of usual size has a tenth of that; take out what it does not need",
            ANSWER_BYTES_MAX >> 20
        );
    }
    Ok(match serde_json::from_slice(&line) {
        Ok(Answer::Made { manifest, component_bytes, code_bytes, shared, warnings })
            if component_bytes.checked_add(code_bytes).is_some_and(|bytes| bytes <= code.len()) && code_bytes > 0 =>
        {
            let mut component = code;
            let mut code = component.split_off(component_bytes);
            let of_others = code.split_off(code_bytes);
            let digest = rules::digest(&of_others);
            let shared = shared.map(|module| Shared { digest: module, sha256: digest, code: of_others });
            let compiled = Compiled { sha256: rules::digest(&code), code, shared };
            Some(Ok(Made { component, manifest, compiled, warnings }))
        }
        Ok(Answer::Mistakes(mistakes)) => Some(Err(Mistakes(mistakes).into())),
        Ok(Answer::Refused(why)) => Some(Err(anyhow!("{why}"))),
        Ok(Answer::Made { .. }) | Err(_) => None,
    })
}

/// What a death without an answer means for whoever sent the component.
fn died(status: ExitStatus, words: &str, limits: &Limits) -> anyhow::Error {
    if is_short(words) {
        return memory(limits);
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        if signal == rustix::process::Signal::XCPU.as_raw() {
            return too_much(format!("{} s of processor time", limits.cpu_s));
        }
        tracing::warn!(stage = "compile", "the process that compiles died of signal {signal}: {}", words.trim());
        return anyhow!(
            "compiling it ended the compiler, by signal {signal}\nhint: try once more; if it happens again, build the plugin with another toolchain"
        );
    }
    tracing::warn!(stage = "compile", "the process that compiles ended, {status}: {}", words.trim());
    anyhow!(
        "compiling it ended the compiler, {status}\nhint: try once more; if it happens again, build the plugin with another toolchain"
    )
}

fn memory(limits: &Limits) -> anyhow::Error {
    too_much(format!("{} MiB of memory", limits.memory_bytes >> 20))
}

fn too_much(what: String) -> anyhow::Error {
    anyhow!(
        "compiling it takes more than {what}\nhint: make it smaller: leave out data and libraries that it does not need, and optimise it for size"
    )
}

/// Whether these are the words of a process that asked for memory and got none; it has no other way to say it.
fn is_short(words: &str) -> bool {
    ["memory allocation of ", "Cannot allocate memory", "Resource temporarily unavailable"]
        .iter()
        .any(|text| words.contains(text))
}
