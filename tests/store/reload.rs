//! A configuration that changes while the host runs, a tenant whose secrets cannot be opened, and one that is removed while
//! no host runs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tandem::journal::{Filter, Reader};
use tandem_standin::sign_shopify;

use super::one_host::Process;

const WAIT_MAX: Duration = Duration::from_secs(60);

fn tenant(name: &str, secret: &str) -> String {
    let peer =
        |url: &str| format!("{{ url = \"https://{url}.invalid\", token = \"t\", webhook_secrets = [\"{secret}\"] }}");
    format!(
        "[tenants.{name}]\nshop = \"{name}.example\"\nrules = \"rules.toml\"\nshopify = {}\nomneo = {}\n",
        peer(name),
        peer(name)
    )
}

/// A host whose configuration is in the folder, and its log.
struct Running {
    process: Process,
    config: std::path::PathBuf,
    head: String,
    log: Receiver<String>,
}

impl Running {
    fn start(folder: &Path, tenants: &str) -> Self {
        std::fs::write(folder.join("rules.toml"), "timezone = \"UTC\"\n").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let head = format!("listen = \"127.0.0.1:{port}\"\nadmin.listen = \"127.0.0.1:0\"\n");
        let config = folder.join("tandem.toml");
        std::fs::write(&config, format!("{head}{tenants}")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("TANDEM_LOG", "info")
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok()));
        let running = Self { process: Process { child, address: format!("127.0.0.1:{port}") }, config, head, log };
        running.until("listening on");
        running
    }

    /// Waits for a line of the log; gives those up to it.
    fn until(&self, part: &str) -> String {
        let mut said = String::new();
        while !said.contains(part) {
            let line = self.log.recv_timeout(WAIT_MAX);
            said += &line.unwrap_or_else(|why| panic!("`{part}` is not said ({why}): {said}"));
            said.push('\n');
        }
        said
    }

    fn reload(&self, tenants: &str) {
        std::fs::write(&self.config, format!("{}{tenants}", self.head)).unwrap();
        let kill = Command::new("kill").args(["-HUP", &self.process.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Posts a webhook as this tenant's shop does; gives the status.
    fn post(&self, name: &str, secret: &str) -> u16 {
        use std::io::{Read as _, Write as _};
        let body = "{\"id\": 1}";
        let mut stream = std::net::TcpStream::connect(&self.process.address).unwrap();
        let signature = sign_shopify(secret, body.as_bytes());
        let request = format!(
            "POST /webhooks/shopify HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\nx-shopify-shop-domain: {name}.example\r\n\
             x-shopify-topic: carts/update\r\nx-shopify-hmac-sha256: {signature}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].parse().unwrap()
    }
}

#[test]
fn a_hang_up_has_the_host_go_by_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Running::start(folder.path(), &tenant("a", "s"));
    assert_eq!((host.post("a", "s"), host.post("b", "s")), (200, 404));
    // Broken: nothing changes.
    host.reload("[tenants.b]\nshop = 7\n");
    let said = host.until("the configuration was not taken over, and the host goes on as before: ");
    assert!(said.contains("ERROR"), "{said}");
    assert_eq!((host.post("a", "s"), host.post("b", "s")), (200, 404));
    // Empty, as a file is that is being written over.
    host.reload("");
    let said = host.until("has no tenant any more, so nothing of it is taken over");
    assert!(said.contains("ERROR"), "{said}");
    assert_eq!((host.post("a", "s"), host.post("b", "s")), (200, 404));
    // A tenant more, another secret, and what takes a restart.
    host.reload(&format!("body_bytes_max = 9999\n{}{}", tenant("a", "other"), tenant("b", "s")));
    let said = host.until("goes by the configuration as it is now");
    assert!(said.contains("these settings are taken over at the next start only: body_bytes_max"), "{said}");
    assert_eq!((host.post("a", "s"), host.post("a", "other"), host.post("b", "s")), (401, 200, 200));
    // One tenant less: it is not known, and what waits of it waits.
    host.reload(&tenant("b", "s"));
    host.until("goes by the configuration as it is now");
    assert_eq!((host.post("a", "other"), host.post("b", "s")), (404, 200));
    // And back.
    host.reload(&format!("{}{}", tenant("a", "s"), tenant("b", "s")));
    host.until("goes by the configuration as it is now");
    assert_eq!((host.post("a", "s"), host.post("b", "s")), (200, 200));
    assert!(host.process.child.try_wait().unwrap().is_none());
    let count = || {
        let filter = Filter { limit: usize::MAX, ..Filter::default() };
        let events = Reader::open(&folder.path().join("tandem.db")).unwrap().events(&filter).unwrap();
        events.iter().filter(|row| row.outcome.as_deref() == Some("skipped")).count()
    };
    let began = std::time::Instant::now();
    while count() < 8 {
        assert!(began.elapsed() < WAIT_MAX, "{} are over", count());
        std::thread::sleep(Duration::from_millis(10));
    }
}
