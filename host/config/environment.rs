//! The settings that come from the environment: how the log is written, which host and files commands use, and where
//! things are stored. Knows the names of variables, and not what their values are used for.

use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Debug)]
pub struct Log {
    /// What is logged.
    pub filter: EnvFilter,
    /// Whether each line is a JSON object instead of text for people.
    pub is_json: bool,
}

/// Reads `TANDEM_LOG` and `TANDEM_LOG_FORMAT`. The default is what operators want to see, as text.
pub fn log() -> anyhow::Result<Log> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    log_of(set("TANDEM_LOG"), set("TANDEM_LOG_FORMAT"))
}

fn log_of(filter: Option<String>, format: Option<String>) -> anyhow::Result<Log> {
    let filter = filter.unwrap_or_else(|| "info".into());
    // `EnvFilter` takes a word that is not a level for the name of a module, and would log nothing.
    let is_level =
        |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str());
    let stray = filter.split(',').map(str::trim).find(|part| !part.contains(['=', '[']) && !is_level(part));
    let parsed = match stray {
        Some(word) => Err(format!("`{word}` is no level")),
        None => EnvFilter::try_new(&filter).map_err(|error| error.to_string()),
    };
    let hint = "write a level, `info`, or levels of parts: `tandem=debug,info`";
    let filter = parsed
        .map_err(|why| anyhow::anyhow!("`TANDEM_LOG={filter}` says nothing of what to log: {why}\nhint: {hint}"))?;
    let is_json = match format.as_deref() {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => anyhow::bail!("`TANDEM_LOG_FORMAT={other}` is no format of a log\nhint: write `text` or `json`"),
    };
    Ok(Log { filter, is_json })
}

/// A path that the environment names: `TANDEM_CONFIG`, `TANDEM_JOURNAL`, `TANDEM_TOKEN_FILE`.
pub fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The host that commands talk to, and the token for it, if the environment names them: `TANDEM_HOST`, `TANDEM_TOKEN`.
pub fn host_and_token() -> (Option<String>, Option<String>) {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    (named("TANDEM_HOST"), named("TANDEM_TOKEN"))
}

/// The socket on which the service manager expects a host's state, and how many microseconds may pass between two
/// messages: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
pub fn notify_socket() -> (Option<String>, Option<u64>) {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    (named("NOTIFY_SOCKET"), named("WATCHDOG_USEC").and_then(|us| us.parse().ok()))
}

/// The folder in which commands keep compiled code, if there is one: `tandem` in `XDG_CACHE_HOME`, or in `.cache` at
/// home.
pub fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("tandem"))
}

/// Whether `NO_COLOR` asks for text without colours.
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The file of this program, even if it was replaced since the start.
pub fn this_program() -> anyhow::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() {
        Ok(own.to_owned())
    } else {
        std::env::current_exe().map_err(|error| anyhow::anyhow!("finding this program: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_can_mean_is_refused() {
        let log = |filter: &str, format: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            log_of(given(filter), given(format)).map(|log| log.is_json).map_err(|error| error.to_string())
        };
        for (filter, format, is_json) in [
            ("", "", false),
            ("debug", "text", false),
            ("tandem=debug,info", "json", true),
            ("tandem[delivery]=trace", "", false),
        ] {
            assert_eq!(log(filter, format), Ok(is_json), "{filter} {format}");
        }
        for (filter, format) in [("loud", ""), ("tandem=loud", ""), ("info,verbose", ""), ("info", "xml")] {
            let why = log(filter, format).unwrap_err();
            assert!(why.contains("\nhint: write "), "{why}");
        }
    }
}
