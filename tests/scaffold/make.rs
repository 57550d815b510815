//! Makes a plugin by `tandem new` and does with it what its README says.
//!
//! Knows where what took long to fetch or build is kept: in the target folder, for the next time.

#![allow(dead_code, reason = "each program uses its own part")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A plugin as it was just made.
pub struct Scaffold {
    pub folder: PathBuf,
}

impl Scaffold {
    /// Types `tandem new` and keeps this folder of the one that was there before.
    pub fn new(name: &str, arguments: &[&str], keep: &str) -> Self {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scaffold");
        let (folder, kept) = (all.join(name), all.join(format!("{name}.{keep}")));
        fs::create_dir_all(&all).unwrap();
        if folder.join(keep).exists() && !kept.exists() {
            fs::rename(folder.join(keep), &kept).unwrap();
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        let made = command(&all, env!("CARGO_BIN_EXE_tandem")).args(["new", name]).args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", text(&made));
        if kept.exists() {
            fs::rename(&kept, folder.join(keep)).unwrap();
        }
        Self { folder }
    }

    /// What its README says to type, in order.
    pub fn commands(&self) -> Vec<String> {
        let readme = fs::read_to_string(self.folder.join("README.md")).unwrap();
        let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// Types it. Panics with what it said if it fails.
    pub fn run(&self, line: &str) -> String {
        let ran = command(&self.folder, "sh").args(["-c", line]).output().unwrap();
        assert!(ran.status.success(), "`{line}` failed:\n{}", text(&ran));
        text(&ran)
    }
}

/// Whether there is npm. Where there has to be, its absence is no excuse.
pub fn has_npm() -> bool {
    let there = Command::new("npm").arg("--version").output().is_ok_and(|npm| npm.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "npm is missing: `.ci/run` installs it");
    if !there {
        eprintln!("SKIPPED: npm is not installed, so the JavaScript plugin is neither built nor run");
    }
    there
}

/// A command that finds this `tandem`, and nothing of what the outer cargo was told.
pub fn command(folder: &Path, program: &str) -> Command {
    let mut path = OsString::from(Path::new(env!("CARGO_BIN_EXE_tandem")).parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.current_dir(folder).env("PATH", path);
    for variable in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"]
    {
        command.env_remove(variable);
    }
    command
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}
