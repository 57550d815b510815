//! What a host is installed with: what it tells systemd, its manual pages and completions, and the files in `packaging/`.

use std::path::Path;
use std::process::Command;

use super::{Folder, config_with};

/// A part of `packaging/`.
fn packaged(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)).unwrap()
}

/// As in an image with nothing else in it: there are no certificate authorities to read.
fn without_authorities(command: &mut Command) {
    command.env("SSL_CERT_FILE", "/no/such/file").env("SSL_CERT_DIR", "/no/such/folder");
}

#[test]
fn a_command_asks_a_host_from_where_nothing_is_installed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(["status", "--host", "https://127.0.0.1:1"]);
    without_authorities(&mut command);
    let said = Folder::new().run(command);
    assert!(said.status == 1 && said.stderr.contains("127.0.0.1:1") && !said.stderr.contains("client"), "{said:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_when_a_host_listens_lives_and_ends() {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    let folder =
        Folder::new().with("acme.toml", super::GOOD_RULES).with("tandem.toml", config_with("rules = \"acme.toml\""));
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let heard = || {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).expect("the host says something in two minutes");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("serve").current_dir(folder.path()).env("TANDEM_LOG", "off");
    without_authorities(&mut command);
    let mut host = command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").spawn().unwrap();
    assert!(heard().starts_with("READY=1\n"));
    assert_eq!([heard(), heard()], ["WATCHDOG=1", "WATCHDOG=1"]);
    assert!(Command::new("kill").arg(host.id().to_string()).status().unwrap().success());
    let last = std::iter::repeat_with(heard).find(|said| said != "WATCHDOG=1").unwrap();
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
    assert!(host.wait().unwrap().success());
}

#[test]
fn each_command_has_a_manual_page_and_each_shell_its_completions() {
    let folder = Folder::new();
    let said = folder.tandem("man pages");
    let names: Vec<_> =
        std::fs::read_dir(folder.path().join("pages")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!((said.status, said.stdout), (0, format!("pages: {} pages\n", names.len())));
    let names: std::collections::BTreeSet<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let command = tandem::cli::command();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let page = folder.read(&format!("pages/tandem-{}.1", command.get_name()));
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(&format!(".TH tandem-{}", command.get_name())), "{page}");
    }
    assert!(names.contains("tandem-token-create.1") && names.len() > 50, "{names:?}");
    // Each page that a page lists is there.
    for name in &names {
        let page = String::from_utf8(folder.read(&format!("pages/{name}"))).unwrap().replace("\\-", "-");
        for listed in page.lines().filter_map(|line| line.strip_suffix("(1)")) {
            assert!(names.contains(&format!("{listed}.1")), "{name} lists {listed}");
        }
    }
    assert!(String::from_utf8(folder.read("pages/tandem.1")).unwrap().contains(".TH tandem"));
    for (shell, part) in [("bash", "_tandem()"), ("zsh", "#compdef tandem"), ("fish", "complete -c tandem")] {
        let said = folder.tandem(&format!("completions {shell}"));
        assert!(said.status == 0 && said.stdout.contains(part), "{shell}: {said:?}");
        assert!(!said.stdout.contains("\n  compile"), "{shell} completes what is hidden");
    }
}

#[test]
fn the_unit_and_the_image_start_this_program_as_it_is() {
    let unit = packaged("tandem.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/")).unwrap();
    assert!(tandem::cli::command().try_get_matches_from(start.split(' ')).is_ok(), "{start}");
    for line in [
        "Type=notify",
        "TimeoutStartSec=infinity",
        "WatchdogSec=60",
        "RestartPreventExitStatus=2 3",
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
    ] {
        assert!(unit.lines().any(|own| own == line), "{line}");
    }
    let image = packaged("Containerfile");
    let own: Vec<_> = image.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(own[0], "FROM scratch");
    assert_eq!(own.iter().filter(|line| line.starts_with("FROM")).count(), 1);
    let reads = Command::new("systemd-analyze").args(["verify", "--man=no", "packaging/tandem.service"]).output();
    match reads {
        // It also says that the binary is not installed here.
        Ok(said) => {
            let said = String::from_utf8(said.stderr).unwrap();
            let other: Vec<_> = said
                .lines()
                .filter(|line| line.contains("tandem.service") && !line.contains("is not executable"))
                .collect();
            assert_eq!(other, Vec::<&str>::new());
        }
        Err(_) => eprintln!("SKIPPED: systemd-analyze is not there, so the unit is not read by systemd"),
    }
}

/// Every crate that ships is in the list with its licence and its archive's checksum, and nothing that only builds or tests.
#[test]
fn a_release_lists_what_it_is_made_of() {
    for script in ["release", "sbom"] {
        let bash = Command::new("bash").args(["-n", &format!("packaging/{script}")]).output().unwrap();
        assert!(script == "sbom" || bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
    }
    let said = Command::new("packaging/sbom").output();
    let Some(said) = said.ok().filter(|said| said.status.success()) else {
        assert!(std::env::var_os("CI").is_none(), "Python is missing, or the list could not be written");
        eprintln!("SKIPPED: Python 3.11 is not there, so the list of what a release is made of is not written");
        return;
    };
    let list: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((&list["bomFormat"], &list["metadata"]["component"]["name"]), (&"CycloneDX".into(), &"tandem".into()));
    let parts = list["components"].as_array().unwrap();
    let names: Vec<_> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    for name in ["wasmtime", "rusqlite", "tandem-rules", "jmespath", "ring"] {
        assert!(names.contains(&name), "{name} is missing");
    }
    for name in ["fantoccini", "libtest-mimic", "wit-parser-cli"] {
        assert!(!names.contains(&name), "{name} does not ship");
    }
    let own = |part: &&serde_json::Value| part["name"].as_str().is_some_and(|name| name.starts_with("tandem"));
    for part in parts.iter().filter(|part| !own(part)) {
        assert!(part["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64), "{part}");
    }
}
