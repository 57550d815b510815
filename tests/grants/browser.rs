//! The same road in a real browser: Chromium, driven by WebDriver. A merchant installs the app in the stand-in's admin, approves, and
//! connects Omneo. No page breaks its own content security policy, says anything on the console, needs a mouse, or has a fault that
//! axe-core finds.
//!
//! `.ci/run` installs Chromium, its driver and npm. Without them these stories are skipped, and say so; where `CI` is set they have to
//! be there. `TANDEM_SCREENSHOTS=FOLDER` keeps a picture of each page.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fantoccini::key::Key;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tandem::config::AppKind;
use tokio::net::{TcpListener, TcpStream};

use super::connect::{Fresh, TOKEN};

const PATIENCE: Duration = Duration::from_secs(60);

/// A browser, and the driver behind it.
pub struct Chromium {
    driver: Child,
    pub client: Client,
}

/// What Chromium has logged since it was asked before: errors of scripts, of the network, and broken policies.
#[derive(Debug)]
struct Logged;

impl WebDriverCompatibleCommand for Logged {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

/// `None`, said aloud, where there is no driver; where `CI` is set there has to be one.
pub async fn chromium() -> Option<Chromium> {
    chromium_with(&[]).await
}

async fn chromium_with(more: &[String]) -> Option<Chromium> {
    let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let is_needed = std::env::var_os("CI").is_some();
    let mut driver = match driver {
        Ok(driver) => driver,
        Err(error) if is_needed => panic!("chromedriver is missing: `.ci/run` installs it ({error})"),
        Err(_) => {
            eprintln!("SKIPPED: chromedriver is not installed, so no page is looked at in a browser");
            return None;
        }
    };
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port =
        lines.find_map(|line| line.split_once("successfully on port ").map(|(_, port)| port.to_owned())).unwrap();
    let port = port.trim_end_matches('.').to_owned();
    // What is said later is read, or the driver would stop at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let arguments =
        ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=900,900"];
    let arguments: Vec<_> = arguments.into_iter().chain(more.iter().map(String::as_str)).collect();
    let wanted = json!({
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let wanted: Capabilities = serde_json::from_value(wanted).unwrap();
    let address = format!("http://127.0.0.1:{port}");
    let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&address).await.unwrap();
    Some(Chromium { driver, client })
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The source of axe-core, which npm brings; `None`, said aloud, where there is no npm.
fn axe() -> Option<&'static str> {
    static SOURCE: OnceLock<Option<String>> = OnceLock::new();
    let source = SOURCE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("node_modules/axe-core/axe.min.js");
        if !file.exists() {
            let mut npm = Command::new("npm");
            let npm = npm.args(["install", "--no-save", "--silent", "axe-core@4"]).current_dir(&folder).output();
            let is_there = npm.is_ok_and(|npm| npm.status.success());
            assert!(is_there || std::env::var_os("CI").is_none(), "npm cannot install axe-core");
            if !is_there {
                eprintln!("SKIPPED: npm does not bring axe-core, so no page is checked for who cannot see it");
                return None;
            }
        }
        Some(std::fs::read_to_string(file).unwrap())
    });
    source.as_deref()
}

impl Chromium {
    /// Waits for a page that says this in its heading, and holds it against what every page has to be.
    async fn page(&self, heading: &str) {
        let began = Instant::now();
        loop {
            let said = match self.client.find(Locator::Css("h1")).await {
                Ok(found) => found.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if said.contains(heading) {
                break;
            }
            let source = || async { self.client.source().await.unwrap_or_default() };
            assert!(began.elapsed() < PATIENCE, "waited in vain for `{heading}`: {}", source().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Some(folder) = std::env::var_os("TANDEM_SCREENSHOTS").map(PathBuf::from) {
            std::fs::create_dir_all(&folder).unwrap();
            let name: String = heading.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            std::fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
        }
        let logged: Value = self.client.issue_cmd(Logged).await.unwrap();
        // That a document has another status than 200 is meant; what it needs has to come.
        let is_meant = |said: &str| ["/shopify/main", "/favicon.ico"].iter().any(|path| said.contains(path));
        let bad = |entry: &&Value| {
            let said = entry["message"].as_str().unwrap_or_default();
            let is_network = entry["source"] == "network";
            said.contains("Content Security") || entry["level"] == "SEVERE" && !(is_network && is_meant(said))
        };
        let bad: Vec<_> = logged.as_array().unwrap().iter().filter(bad).collect();
        assert!(bad.is_empty(), "{heading}: {bad:#?}");
        if let Some(axe) = axe() {
            let script =
                format!("{axe}; const done = arguments[0]; axe.run().then(found => done(found.violations), done);");
            let found = self.client.execute_async(&script, vec![]).await.unwrap();
            assert_eq!(found, json!([]), "{heading}: {found:#}");
        }
    }

    async fn press(&self, button: &str) {
        let path = format!("//button[normalize-space()='{button}'] | //a[normalize-space()='{button}']");
        self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await.unwrap().click().await.unwrap();
    }

    /// Types into a field: nothing in a frame of another origin has the focus by itself.
    async fn fills(&self, field: &str, text: &str) {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(field)).await.unwrap();
        found.send_keys(text).await.unwrap();
    }

    /// Types into whatever has the focus.
    async fn types(&self, text: &str) {
        self.client.active_element().await.unwrap().send_keys(text).await.unwrap();
    }

    async fn tab(&self) {
        self.types(&char::from(Key::Tab).to_string()).await;
    }

    /// Which Omneo tenant is the shop's, by keyboard alone: the first field has the focus.
    async fn connects(&self, fresh: &Fresh) {
        self.page("Connect acme.myshopify.com to Omneo").await;
        self.types(&fresh.desk.host.omneo.url()).await;
        self.tab().await;
        self.types(TOKEN).await;
        self.types(&char::from(Key::Enter).to_string()).await;
        self.page("acme.myshopify.com is in step with Omneo").await;
    }

    pub async fn goes(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub async fn ends(self) {
        self.client.clone().close().await.unwrap();
    }
}

/// The list of apps in the shop's admin.
fn apps(fresh: &Fresh) -> String {
    format!("{}/store/acme/apps", fresh.shopify.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_installs_approves_connects_and_installs_again() {
    let Some(chromium) = chromium().await else { return };
    let fresh = Fresh::of_browser(AppKind::Standalone).await;
    // Nobody has invited the shop; then somebody has given its merchant a code.
    chromium.goes(&apps(&fresh)).await;
    chromium.press("Install").await;
    chromium.page("acme.myshopify.com is not known here").await;
    let made = fresh.invite(json!({ "app": "main" })).await;
    chromium.types(made["code"].as_str().unwrap()).await;
    chromium.types(&char::from(Key::Enter).to_string()).await;
    chromium.page("acme.myshopify.com is admitted").await;
    chromium.press("Go on to Shopify").await;
    chromium.press("Approve").await;
    chromium.connects(&fresh).await;
    fresh.is_in_step().await;
    // Both switches, on the page that is shown.
    chromium.press("Switch off").await;
    chromium.page("acme.myshopify.com is connected").await;
    let (_, directions) = fresh.ask(Method::GET, "/v1/tenants/acme/directions", None).await;
    assert_eq!((&directions[0]["mode"], &directions[1]["mode"]), (&json!("drop"), &json!("run")));
    chromium.press("Switch on").await;
    chromium.page("acme.myshopify.com is connected").await;
    // Uninstalled, and installed again: it goes on as it was.
    chromium.goes(&apps(&fresh)).await;
    chromium.press("Uninstall").await;
    chromium.press("Install").await;
    chromium.press("Approve").await;
    chromium.page("acme.myshopify.com is connected").await;
    // The back button: the address that was good once.
    chromium.client.refresh().await.unwrap();
    let gone = chromium.client.find(Locator::Css("h1")).await.unwrap().text().await.unwrap();
    assert!(gone.contains("This page is not open any more"), "{gone}");
    chromium.ends().await;
    fresh.stop().await;
}

/// Speaks TLS as `admin.shopify.com` in front of a stand-in, since a page says by `https://` in whose frame it may stand; gives the
/// arguments by which Chromium finds it.
async fn admin(standin: SocketAddr) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["admin.shopify.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = acceptor.accept(connection).await else { return };
                let Ok(mut standin) = TcpStream::connect(standin).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut connection, &mut standin).await;
            });
        }
    });
    [format!("--host-resolver-rules=MAP admin.shopify.com {address}"), "--ignore-certificate-errors".into()]
}

/// The app's pages stand in a frame of Shopify's admin, and in nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_app_is_used_in_the_frame_of_the_admin() {
    let fresh = Fresh::of_browser(AppKind::Embedded).await;
    let Some(chromium) = chromium_with(&admin(fresh.shopify.address()).await).await else {
        return fresh.stop().await;
    };
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    fresh.shopify.install("client-id-123");
    // A page elsewhere shows nothing of it.
    chromium.goes(&format!("{}/client-id-123", apps(&fresh))).await;
    chromium.client.enter_frame(0).await.unwrap();
    let framed = chromium.client.source().await.unwrap();
    assert!(!framed.contains("acme.myshopify.com to Omneo"), "{framed}");
    let _: Value = chromium.client.issue_cmd(Logged).await.unwrap();
    chromium.client.enter_parent_frame().await.unwrap();
    chromium.goes("https://admin.shopify.com/store/acme/apps/client-id-123").await;
    chromium.client.enter_frame(0).await.unwrap();
    chromium.page("Connect acme.myshopify.com to Omneo").await;
    chromium.fills("#address", &fresh.desk.host.omneo.url()).await;
    chromium.fills("#token", TOKEN).await;
    chromium.press("Connect").await;
    chromium.page("acme.myshopify.com is in step with Omneo").await;
    fresh.is_in_step().await;
    for (button, modes) in [("Switch off", ["drop", "run"]), ("Switch on", ["run", "run"])] {
        chromium.press(button).await;
        chromium.page("acme.myshopify.com is connected").await;
        let (_, directions) = fresh.ask(Method::GET, "/v1/tenants/acme/directions", None).await;
        assert_eq!([&directions[0]["mode"], &directions[1]["mode"]], modes.map(|mode| json!(mode)).each_ref());
    }
    chromium.ends().await;
    fresh.stop().await;
}
