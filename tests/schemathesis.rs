//! The admin API of a running host against Schemathesis, which asks whatever the OpenAPI document allows and what is just beside it:
//! no answer may be the host's own failure (5xx), and each must be one that the document describes.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::desk::Desk;
use crate::host::{Host, hostile_component};

/// Examples of each operation, beside those that each limit in the document gives.
const EXAMPLES: &str = "1";
const SEED: u32 = 1;
/// What a tool from outside may take before it hangs.
const SECONDS_MAX: &str = "30";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Where the program is: what `SCHEMATHESIS` names, which `.ci/run` installs.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("SCHEMATHESIS").map_or_else(|| "schemathesis".into(), PathBuf::from);
    let is_there = Command::new(&named).arg("--version").output().is_ok_and(|said| said.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "schemathesis is missing: `.ci/run` installs it");
    if !is_there {
        eprintln!("SKIPPED: schemathesis is not installed (PyPI), so nothing asks the admin API what it allows");
    }
    is_there.then_some(named)
}

/// The same one each time, so that a change is what makes the test fail. `SCHEMATHESIS_SEED` asks something else.
fn seed() -> u32 {
    std::env::var("SCHEMATHESIS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_document_allows_is_answered_as_it_says() {
    let Some(program) = program() else { return };
    // Of a component, which the journal keeps: a proof and a replay load it.
    let desk = Desk::of(Host::on(hostile_component()).await);
    desk.sent("acme", "good", &[1, 2]).await;
    desk.sent("acme", "broken", &[3]).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("st.toml", "hooks = \"hooks.py\"\n[parameters]\n\"path.tenant\" = \"acme\"\n");
    write(
        "hooks.py",
        "import schemathesis\n\n\n@schemathesis.serializer(\"application/wasm\")\ndef wasm(ctx, value):\n    \
         return value if isinstance(value, bytes) else str(value).encode()\n",
    );
    let address = format!("http://{}/v1/openapi.json", desk.host.server.admin.unwrap());
    for (who, token) in
        [("an operator", desk.token("ops", None).await), ("a tenant", desk.token("acme-1", Some("acme")).await)]
    {
        let seed = seed();
        println!("schemathesis as {who}: SCHEMATHESIS_SEED={seed}");
        let mut command = Command::new(&program);
        command.current_dir(folder.path()).env("PYTHONPATH", folder.path()).args(["--config-file", "st.toml", "run"]);
        command.args([&address, "-H", &format!("Authorization: Bearer {token}"), "--seed", &seed.to_string()]);
        command.args(["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES, "--max-time", SECONDS_MAX]);
        command.args(["--checks", CHECKS, "--generation-database", "none", "--no-shrink", "--continue-on-failure"]);
        command.args(["--workers", "1", "--request-timeout", "30", "--warnings", "off", "--no-color"]);
        let said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        // It also ends well where it has asked nothing.
        let asked = text.lines().any(|line| line.trim_start().starts_with("Tested: ") && !line.ends_with(": 0"));
        if !said.status.success() || !asked {
            std::io::stderr().write_all(&said.stderr).unwrap();
            panic!("as {who}, with the seed {seed}:\n{text}");
        }
        // Whoever asks does not take the host down.
        assert_eq!(desk.get(&token, "/health").await.0, 200);
    }
    desk.host.stop().await;
}
