//! Builds the default component's core module for wasm, so that the binary can embed it, and looks up the commit of a release.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for input in ["plugin/sdk", "plugin/rules", "plugin/component", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    ensure_target();
    // A target directory of its own: the outer cargo holds the lock of the usual one. All guests share it.
    let target_dir = guest_target_dir(&out);
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo
        .current_dir(&root)
        .args(["build", "--package", "tandem-component", "--profile", "guest", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir);
    // What the outer build was told is not meant for the guest.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let status = cargo.status().expect("cargo can be started: it started this");
    assert!(status.success(), "building the default component for {TARGET} failed; its errors are above");
    let module = target_dir.join(TARGET).join("guest").join("tandem_component.wasm");
    std::fs::copy(&module, out.join("component.wasm")).expect("the module was just built");
    write_sources(&root, &out);
    println!("cargo::rustc-env=TANDEM_GUEST_TARGET_DIR={}", target_dir.display());
    println!("cargo::rustc-env=TANDEM_COMMIT={}", commit(&root));
}

/// Lists what `tandem new` writes beside a plugin, so that it can be built without this repository.
fn write_sources(root: &Path, out: &Path) {
    let mut files = vec![];
    for file in ["Cargo.toml", "plugin/sdk/Cargo.toml", "plugin/rules/Cargo.toml"] {
        files.push(root.join(file));
    }
    for folder in ["plugin/sdk/src", "plugin/rules/src", "wit/v0.1"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let line = |file: &PathBuf| {
        let name = file.strip_prefix(root).expect("it is below the root").display().to_string();
        format!("    ({name:?}, include_str!({:?})),\n", file.display().to_string())
    };
    let list = format!("&[\n{}]\n", files.iter().map(line).collect::<String>());
    std::fs::write(out.join("sources.rs"), list).expect("OUT_DIR can be written to");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The commit of a release build: what `TANDEM_COMMIT` says, or git. Others would be built anew for each commit, so they do
/// not ask git.
fn commit(root: &Path) -> String {
    println!("cargo::rerun-if-env-changed=TANDEM_COMMIT");
    if let Some(given) = env::var("TANDEM_COMMIT").ok().filter(|given| !given.is_empty()) {
        return given;
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return String::new();
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // Where the present commit is written down: what HEAD names, and its log, which every commit is added to.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default()
}

/// `target/guest`, found from `target/<profile>/build/<package>/out`.
fn guest_target_dir(out: &Path) -> PathBuf {
    let target = out.ancestors().nth(4).expect("OUT_DIR lies four levels below the target directory");
    target.join("guest")
}

/// Adds the wasm target to the toolchain when it is missing. `rustup target add` works where rustup's automatic
/// installs are switched off, too.
fn ensure_target() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libdir = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let installed = libdir.is_ok_and(|libdir| {
        let path = String::from_utf8_lossy(&libdir.stdout).trim().to_owned();
        libdir.status.success() && Path::new(&path).is_dir()
    });
    if installed {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the target {TARGET} is missing and could not be added\nhint: run `rustup target add {TARGET}`, or install it the way your Rust was installed"
    );
}
