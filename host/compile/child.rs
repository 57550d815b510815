//! The process that compiles: how it is started, held to its limits, asked, and what its death means.
//!
//! Knows pipes, limits and signals. The process keeps a runaway compiler away from the events of others. It is no
//! sandbox, since what it makes is run as it is.

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

/// Memory that the process may write to: twice what a plugin in JavaScript takes, which brings its engine along.
/// Default rules take less than a tenth.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Processor time in seconds, of all cores together. Default rules take two, a plugin in JavaScript twenty.
const CPU_S_MAX: u64 = 120;
/// How long the process may take by the clock, however busy the machine is.
const WALL_MAX: Duration = Duration::from_secs(300);
/// How many functions are compiled at a time, however many cores there are, since each takes memory of its own.
const THREADS_MAX: &str = "4";
/// Open files: pipes, and what wasmtime opens to share pages.
const FILES_MAX: u64 = 64;
/// How far the priority of the process is below that of others.
const NICE: i32 = 10;
/// Longest answer that is read: a component, and code of several times its size.
const ANSWER_BYTES_MAX: u64 = 192 << 20;
/// Longest text that is read from standard error.
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

/// The first line of the input. After it comes a component: the one to compile, or the base of the rules, if there is
/// one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Component,
    Rules { file: String, text: String },
}

/// The first line of the output. After `made` come the component, its code, and the code that it shares with others, if
/// any.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Made { manifest: Manifest, component_bytes: usize, code_bytes: usize, shared: Option<String>, warnings: String },
    Mistakes(String),
    Refused(String),
}

/// Makes a child process compile. Blocks until the child has answered or is gone. At the end nothing of the child is
/// left.
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
            // If the child does not read all of it, it will not answer, either.
            let _ = stdin.write_all(&order).and_then(|()| stdin.write_all(&bytes));
        });
        let last_words = scope.spawn(move || {
            let mut words = String::new();
            let _ = stderr.take(LAST_WORDS_BYTES_MAX).read_to_string(&mut words);
            words
        });
        let (send, answered) = mpsc::channel();
        // Sending fails if the answer comes too late.
        scope.spawn(move || drop(send.send(read(stdout))));
        let answer = answered.recv_timeout(limits.wall);
        // After its last byte the child is ending; if it has not answered, nobody wants it any more.
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
    // If the parent is gone, nobody will read the answer.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Not the address space, of which wasmtime reserves gigabytes for each memory and touches little.
    limit(Resource::Data, memory_bytes, memory_bytes)?;
    // The first limit sends a signal that says so; the second one kills.
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
    // The environment may hold credentials.
    command.env_clear().env("RAYON_NUM_THREADS", THREADS_MAX);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

fn end(child: &mut Child) {
    // Nobody has waited for the child yet, so the number is still its own.
    #[cfg(unix)]
    if let Some(id) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// Reads an answer. `None`: the child ended before it had answered. The digest of the code is worked out here, of these
/// very bytes.
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

/// What to tell the sender of a component when the child has died without an answer.
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

/// Whether these are the words of a process that asked for memory and got none. It has no other way to say so.
fn is_short(words: &str) -> bool {
    ["memory allocation of ", "Cannot allocate memory", "Resource temporarily unavailable"]
        .iter()
        .any(|text| words.contains(text))
}
