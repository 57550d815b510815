//! The host's door: what is let in, what is not, and that nothing is acknowledged which a crash could take back.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::{BODY_BYTES_MAX, Host, OLD_SECRET, SECRET, hostile, shop};
use reqwest::Method;
use tandem::bake;
use tandem::engine;
use tandem::journal::{EventRow, Filter, Reader};
use tandem::model::EventId;
use tandem::rules::Plugin;
use tandem_standin::{sign_omneo, sign_shopify};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ACME: &str = "acme";
const BODY: &str = r#"{"id": 7}"#;
const ACCEPTED: &str = "accepted as event 1\n";

async fn acme() -> Host {
    Host::start([(ACME.to_owned(), hostile())]).await
}

/// Posts as a shop's Shopify does, with any headers beside.
async fn from_shopify(host: &Host, secret: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> (u16, String) {
    let (shop, signature) = (shop(ACME), sign_shopify(secret, body.as_ref()));
    let mut all =
        vec![("x-shopify-shop-domain", &*shop), ("x-shopify-hmac-sha256", &signature), ("x-shopify-topic", "good")];
    // A later one of a name counts.
    all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
    all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
    host.request(Method::POST, "/webhooks/shopify", &all, body.as_ref().to_vec()).await
}

async fn from_omneo(host: &Host, secret: &str, body: &str) -> (u16, String) {
    let signature = sign_omneo(secret, body.as_bytes());
    let headers = [("x-omneo-event", "profile.updated"), ("x-omneo-hmac-sha256", &*signature)];
    host.request(Method::POST, "/webhooks/omneo/acme", &headers, body.to_owned()).await
}

fn answer(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

fn events(host: &Host) -> Vec<EventRow> {
    let filter = Filter { limit: usize::MAX, ..Filter::default() };
    host.server.journal.read(|reader| reader.events(&filter)).unwrap()
}

/// Sends bytes as they are; gives what comes back until the connection is closed.
async fn raw(host: &Host, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.server.address).await.unwrap();
    // The host may answer, and close, before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_accepted_with_any_secret_that_is_valid_now() {
    let host = acme().await;
    assert_eq!(from_shopify(&host, SECRET, &[], BODY).await, answer(200, ACCEPTED));
    assert_eq!(from_shopify(&host, OLD_SECRET, &[], BODY).await, answer(200, "accepted as event 2\n"));
    assert_eq!(from_omneo(&host, SECRET, BODY).await, answer(200, "accepted as event 3\n"));
    assert_eq!(from_omneo(&host, OLD_SECRET, BODY).await, answer(200, "accepted as event 4\n"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_is_refused() {
    let host = acme().await;
    let (missing, wrong) = ("the signature is missing\n", "the signature does not fit the body\n");
    for (headers, said) in [
        ([("x-shopify-hmac-sha256", "")], missing),
        ([("x-shopify-hmac-sha256", "bm8=")], wrong),
        ([("x-shopify-hmac-sha256", "not base64!")], wrong),
        // As Omneo would sign it.
        ([("x-shopify-hmac-sha256", &*sign_omneo(SECRET, BODY.as_bytes()))], wrong),
    ] {
        assert_eq!(from_shopify(&host, SECRET, &headers, BODY).await, answer(401, said), "{headers:?}");
    }
    assert_eq!(from_shopify(&host, "stolen", &[], BODY).await, answer(401, wrong));
    assert_eq!(from_omneo(&host, "stolen", BODY).await, answer(401, wrong));
    let unsigned = [("x-omneo-event", "profile.updated")];
    assert_eq!(host.request(Method::POST, "/webhooks/omneo/acme", &unsigned, BODY).await, answer(401, missing));
    assert!(events(&host).is_empty());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_is_of_the_bytes_and_not_of_what_they_mean() {
    let host = acme().await;
    let signature = sign_shopify(SECRET, br#"{"id":7}"#);
    let headers = [("x-shopify-hmac-sha256", &*signature)];
    let wrong = answer(401, "the signature does not fit the body\n");
    assert_eq!(from_shopify(&host, SECRET, &headers, r#"{"id": 7}"#).await, wrong);
    assert_eq!(from_shopify(&host, SECRET, &headers, r#"{"id":7}"#).await, answer(200, ACCEPTED));
    // And it is kept byte for byte.
    let odd = "\u{feff}{ \"id\" : 7e0,\r\n\t\"id\": 7 }  ";
    assert_eq!(from_shopify(&host, SECRET, &[], odd).await.0, 200);
    assert_eq!(host.row(EventId(2)).event.webhook.payload, odd);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_not_found() {
    let host = acme().await;
    let shop = [("x-shopify-shop-domain", "zeta.myshopify.com")];
    assert_eq!(
        from_shopify(&host, SECRET, &shop, BODY).await,
        answer(404, "shop `zeta.myshopify.com` is not known here\n")
    );
    assert_eq!(
        from_shopify(&host, SECRET, &[("x-shopify-shop-domain", "")], BODY).await,
        answer(404, "shop `` is not known here\n")
    );
    // Its case does not count, nor does the root of all names.
    for form in ["ACME.myshopify.com", "acme.myshopify.com.", "Acme.MyShopify.Com."] {
        assert_eq!(from_shopify(&host, SECRET, &[("x-shopify-shop-domain", form)], BODY).await.0, 200, "{form}");
    }
    let signature = sign_omneo(SECRET, BODY.as_bytes());
    let headers = [("x-omneo-event", "profile.updated"), ("x-omneo-hmac-sha256", &*signature)];
    assert_eq!(
        host.request(Method::POST, "/webhooks/omneo/zeta", &headers, BODY).await,
        answer(404, "tenant `zeta` is not known here\n")
    );
    assert_eq!(
        host.request(Method::POST, "/webhooks/acme", &headers, BODY).await,
        answer(
            404,
            "webhooks go to /webhooks/shopify, /webhooks/shopify/{app}, /webhooks/shopify/{app}/{key} or /webhooks/omneo/{tenant}\n"
        )
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_posted() {
    let host = acme().await;
    for (method, path) in [
        (Method::GET, "/webhooks/shopify"),
        (Method::PUT, "/webhooks/shopify"),
        (Method::DELETE, "/webhooks/omneo/acme"),
    ] {
        assert_eq!(host.request(method, path, &[], BODY).await, answer(405, "webhooks are POSTed\n"));
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_refused_however_it_comes() {
    let host = acme().await;
    let longest = "a".repeat(BODY_BYTES_MAX);
    assert_eq!(from_shopify(&host, SECRET, &[], &longest).await, answer(200, ACCEPTED));
    let said = format!("the body is longer than {BODY_BYTES_MAX} bytes\n");
    assert_eq!(from_shopify(&host, SECRET, &[], longest + "a").await, answer(413, &said));
    // By its own word only: nothing of the body is waited for.
    let (shop, signature) = (shop(ACME), sign_shopify(SECRET, b""));
    let head = format!(
        "POST /webhooks/shopify HTTP/1.1\r\nhost: tandem\r\nconnection: close\r\nx-shopify-shop-domain: {shop}\r\n\
         x-shopify-hmac-sha256: {signature}\r\n"
    );
    let announced = raw(&host, format!("{head}content-length: 99999999999\r\n\r\n").as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413 ") && announced.ends_with(&said), "{announced}");
    // In chunks, which say nothing of the whole.
    let mut request = format!("{head}transfer-encoding: chunked\r\n\r\n");
    for _ in 0..=BODY_BYTES_MAX / 1024 {
        request += &format!("400\r\n{}\r\n", "a".repeat(1024));
    }
    let chunked = raw(&host, request.as_bytes()).await;
    assert!(chunked.starts_with("HTTP/1.1 413 ") && chunked.ends_with(&said), "{chunked}");
    assert_eq!(events(&host).len(), 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_is_not_json_is_kept_and_ends_with_a_reason() {
    let default = Plugin::load(&engine::engine().unwrap(), &bake::default_base().unwrap()).unwrap();
    let host = Host::start([(ACME.to_owned(), default)]).await;
    let topic = [("x-shopify-topic", "customers/update")];
    assert_eq!(from_shopify(&host, SECRET, &topic, "hello").await, answer(200, ACCEPTED));
    assert_eq!(from_shopify(&host, SECRET, &topic, "").await.0, 200);
    assert_eq!(from_omneo(&host, SECRET, "[1, 2").await.0, 200);
    for event in 1..=3 {
        let row = host.over(EventId(event)).await;
        assert_eq!((row.outcome.as_deref(), row.blame.as_deref()), (Some("invalid"), Some("payload")), "{row:#?}");
        let reason = row.reason.unwrap();
        assert!(reason.contains("payload") && reason.contains("JSON"), "{reason}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_text_is_refused() {
    let host = acme().await;
    let (status, said) = from_shopify(&host, SECRET, &[], b"{\"name\": \"\xe9\"}").await;
    assert_eq!(status, 400);
    assert!(said.starts_with("the body is not UTF-8: "), "{said}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_needed() {
    let host = acme().await;
    let said = answer(400, "the header with the topic is missing\n");
    assert_eq!(from_shopify(&host, SECRET, &[("x-shopify-topic", "")], BODY).await, said);
    let signature = sign_omneo(SECRET, BODY.as_bytes());
    let headers = [("x-omneo-hmac-sha256", &*signature)];
    assert_eq!(host.request(Method::POST, "/webhooks/omneo/acme", &headers, BODY).await, said);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_nobody_maps_is_journalled_and_skipped() {
    let host = acme().await;
    assert_eq!(from_shopify(&host, SECRET, &[("x-shopify-topic", "carts/update")], BODY).await, answer(200, ACCEPTED));
    let row = host.over(EventId(1)).await;
    assert_eq!(row.outcome.as_deref(), Some("skipped"));
    assert_eq!(row.reason.as_deref(), Some("topic `carts/update` of shopify is not mapped by these rules"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_shopify_counts_once_and_one_of_omneo_each_time() {
    let host = Host::start(["acme", "zeta"].map(|tenant| (tenant.to_owned(), hostile()))).await;
    let delivery = ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043");
    assert_eq!(from_shopify(&host, SECRET, &[delivery], BODY).await, answer(200, ACCEPTED));
    let before = answer(200, "delivered before, as event 1\n");
    assert_eq!(from_shopify(&host, SECRET, &[delivery], BODY).await, before);
    // Whatever headers have changed since.
    assert_eq!(from_shopify(&host, SECRET, &[delivery, ("x-shopify-api-version", "2030-01")], BODY).await, before);
    // Another tenant's delivery is another one.
    let zeta = ("x-shopify-shop-domain", "zeta.myshopify.com");
    assert_eq!(from_shopify(&host, SECRET, &[delivery, zeta], BODY).await, answer(200, "accepted as event 2\n"));
    for n in 3..=4 {
        assert_eq!(from_omneo(&host, SECRET, BODY).await, answer(200, &format!("accepted as event {n}\n")));
    }
    assert_eq!(events(&host).len(), 4);
    // Another body is another webhook, whatever its sender calls it, and each of them counts once.
    let said = "accepted as event 5; its webhook id is that of event 1, whose body or topic is another\n";
    assert_eq!(from_shopify(&host, SECRET, &[delivery], r#"{"id": 8}"#).await, answer(200, said));
    let again = answer(200, "delivered before, as event 5\n");
    assert_eq!(from_shopify(&host, SECRET, &[delivery], r#"{"id": 8}"#).await, again);
    assert_eq!(from_shopify(&host, SECRET, &[delivery], BODY).await, before);
    assert_eq!(host.over(EventId(5)).await.outcome.as_deref(), Some("done"));
    // So is another topic: who is to be erased is not who was edited.
    let redact = [delivery, ("x-shopify-topic", "customers/redact")];
    let said = "accepted as event 6; its webhook id is that of event 1, whose body or topic is another\n";
    assert_eq!(from_shopify(&host, SECRET, &redact, BODY).await, answer(200, said));
    assert_eq!(from_shopify(&host, SECRET, &redact, BODY).await, answer(200, "delivered before, as event 6\n"));
    // Of what is redacted nothing comes back.
    rusqlite::Connection::open(&host.journal)
        .unwrap()
        .execute("UPDATE events SET payload = '', redacted_at = 1 WHERE id = 1", [])
        .unwrap();
    assert_eq!(from_shopify(&host, SECRET, &[delivery], BODY).await, before);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_id_of_a_delivery_is_none() {
    let host = acme().await;
    for n in 1..=3 {
        let signature = sign_shopify(SECRET, BODY.as_bytes());
        let request = format!(
            "POST /webhooks/shopify HTTP/1.1\r\nhost: tandem\r\nconnection: close\r\ncontent-length: {}\r\n\
             x-shopify-shop-domain: {}\r\nx-shopify-topic: good\r\nx-shopify-webhook-id: {}\r\n\
             x-shopify-hmac-sha256: {signature}\r\n\r\n{BODY}",
            BODY.len(),
            shop(ACME),
            " ".repeat(n)
        );
        let said = raw(&host, request.as_bytes()).await;
        assert!(said.ends_with(&format!("accepted as event {n}\n")), "{said}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_delivery_at_the_same_time_counts_once() {
    let host = acme().await;
    let delivery = [("x-shopify-webhook-id", "b54557e4")];
    let send = || from_shopify(&host, SECRET, &delivery, BODY);
    let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
    assert!([a, b, c, d].iter().all(|(status, _)| *status == 200));
    assert_eq!(events(&host).len(), 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_stays_open_while_rules_run_in_circles() {
    let host = acme().await;
    let body = |id: u32| format!(r#"{{"id": {id}}}"#);
    for id in 0..40 {
        host.event(ACME, if id % 2 == 0 { "endless" } else { "key-endless" }, &body(id)).await;
    }
    let waiting = |host: &Host| host.server.journal.read(|reader| reader.unfinished_count()).unwrap();
    let (began, mut slowest, mut stuck) = (Instant::now(), Duration::ZERO, 0);
    for id in 0..20 {
        stuck += u32::from(waiting(&host) > 0);
        let sent = Instant::now();
        host.event(ACME, "endless", &body(id)).await;
        slowest = slowest.max(sent.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "an answer took {slowest:?} of {:?}", began.elapsed());
    assert!(stuck > 0, "no rules were running");
    host.stop().await;
}

/// Another program that holds the journal is the disk that does not write: no 200 meanwhile, and all is well afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_journal_cannot_be_written_nothing_is_accepted() {
    let host = acme().await;
    let other = rusqlite::Connection::open(&host.journal).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let later = answer(503, "this cannot be stored now; send it again\n");
    assert_eq!(from_shopify(&host, SECRET, &[], BODY).await, later);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(from_shopify(&host, SECRET, &[], BODY).await, answer(200, ACCEPTED));
    assert_eq!(host.over(EventId(1)).await.outcome.as_deref(), Some("done"));
    assert_eq!(events(&host).len(), 1);
    host.stop().await;
}

/// Whoever sends half a request and then nothing does not keep the host from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_does_not_hold_up_the_stop() {
    let host = acme().await;
    let mut streams = vec![];
    for half in
        ["POST /webhooks/shopify HTT", "POST /webhooks/shopify HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{"]
    {
        let mut stream = TcpStream::connect(host.server.address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    // Both have arrived when a later one has been answered.
    assert_eq!(from_shopify(&host, SECRET, &[], BODY).await.0, 200);
    tokio::time::timeout(Duration::from_secs(20), host.stop()).await.expect("the host should stop");
}

/// `tandem serve` in a process of its own, killed when it is dropped.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts it in a folder with a configuration, by way of a shell that sets a limit before.
    async fn start(folder: &Path, limit: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let peer = |url: &str| format!(r#"{{ url = "https://{url}", token = "t", webhook_secrets = ["{SECRET}"] }}"#);
        let config = format!(
            "listen = \"{address}\"\n[tenants.acme]\nshop = \"{}\"\nrules = \"acme.toml\"\nshopify = {}\nomneo = {}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n",
            shop(ACME),
            peer("acme.invalid"),
            peer("acme.invalid/api/v3")
        );
        std::fs::write(folder.join("tandem.toml"), config).unwrap();
        std::fs::write(folder.join("acme.toml"), "timezone = \"UTC\"\n").unwrap();
        let child = Command::new("sh")
            .args(["-c", &format!("{limit} exec \"$0\" serve"), env!("CARGO_BIN_EXE_tandem")])
            .current_dir(folder)
            .env("TANDEM_LOG", "off")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let process = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(&process.address).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the host does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process
    }

    /// Posts a webhook that no rules are about; gives the status, or none if the connection broke.
    async fn send(&self, body: &str) -> Option<u16> {
        let signature = sign_shopify(SECRET, body.as_bytes());
        let request = format!(
            "POST /webhooks/shopify HTTP/1.1\r\nhost: tandem\r\nconnection: close\r\ncontent-length: {}\r\n\
             x-shopify-shop-domain: {}\r\nx-shopify-topic: carts/update\r\nx-shopify-hmac-sha256: {signature}\r\n\r\n{body}",
            body.len(),
            shop(ACME)
        );
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The payloads in a journal, in order of arrival.
fn payloads(folder: &Path) -> Vec<String> {
    let filter = Filter { limit: usize::MAX, ..Filter::default() };
    let events = Reader::open(&folder.join("tandem.db")).and_then(|reader| reader.events(&filter)).unwrap();
    events.into_iter().map(|row| row.event.webhook.payload).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_200_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), "").await;
    let mut accepted = vec![];
    for n in 0..50 {
        let body = format!(r#"{{"n": {n}}}"#);
        assert_eq!(process.send(&body).await, Some(200));
        accepted.push(body);
    }
    // `kill` is SIGKILL.
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    assert_eq!(payloads(folder.path()), accepted);
}

/// A limit on the size of files makes writing fail as a broken disk does: with an I/O error.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn after_an_io_error_nothing_is_accepted_and_the_host_ends_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    // The rules are kept first: they take more room than there will be.
    let mut process = Process::start(folder.path(), "").await;
    assert_eq!(process.send("{}").await, Some(200));
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    let journal = rusqlite::Connection::open(folder.path().join("tandem.db")).unwrap();
    journal.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(journal);
    // In units of 512 bytes or of a KiB, as the shell has it.
    let mut process = Process::start(folder.path(), "trap '' XFSZ; ulimit -f 400;").await;
    let (mut accepted, mut refused) = (vec!["{}".to_owned()], 0);
    for n in 0.. {
        let body = format!(r#"{{"n": {n}, "long": "{}"}}"#, "a".repeat(10_000));
        match process.send(&body).await {
            Some(200) if refused == 0 => accepted.push(body),
            Some(503) => refused += 1,
            None => break,
            other => panic!("{other:?} to webhook {n}, after {refused} that were refused"),
        }
    }
    let ended = process.child.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(process.child.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(
        (ended.code(), &*said),
        (
            Some(1),
            "error: the journal `tandem.db` is broken: disk I/O error; nothing is written until a restart\n\
             hint: see to the disk, and start again\n"
        )
    );
    // The last one may have been kept and not answered, if it was the rules' work on an earlier one that failed.
    let kept = payloads(folder.path());
    assert!(kept.starts_with(&accepted) && kept.len() <= accepted.len() + usize::from(refused == 0), "{kept:?}");
    // With room again, it goes on where it was.
    let process = Process::start(folder.path(), "").await;
    assert_eq!(process.send("{}").await, Some(200));
    assert_eq!(payloads(folder.path()), [kept, vec!["{}".to_owned()]].concat());
}
