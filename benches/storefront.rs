//! What a shopper's token costs: out of memory, and asked of Shopify and Omneo, beside a request that does nothing.
//!
//! `cargo bench --bench storefront`. The targets are stand-ins in the same process, so that it is the host's part that counts; all of
//! it passes through one listener and one client in this process, too.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tandem::config::{App, AppKind, PROXY, Peer};
use tandem::playground::{self, Playground, TENANT};
use tandem::vault::Keys;
use tandem_standin::{AppOptions, OmneoOptions, Shopify, ShopifyOptions, sign_proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ID: &str = "client-id-123";
const SECRET: &str = "shpss_hush";
/// Customers who ask at once; within what one shop may ask for at a time.
const CUSTOMERS: usize = 150;
const SENDERS: usize = 8;
/// Requests that are measured: within what the visitors of a shop may ask for at a time.
const REQUESTS: usize = 1_600;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    runtime.block_on(run(folder.path()));
}

async fn run(folder: &std::path::Path) {
    let playground = playground(folder).await;
    let address = Arc::new(playground.server.address.to_string());
    for n in 0..CUSTOMERS {
        let fields = json!({ "first_name": "Ada", "email": format!("ada{n}@example.org") });
        playground.shopify.create_customer(fields).expect("a customer");
    }
    playground.settle().await.expect("all of them in step");
    let customers: Vec<u64> =
        playground.shopify.customers().iter().filter_map(|customer| customer["id"].as_u64()).collect();
    let asked = each(&address, &customers, 1).await;
    // As often as the limits of a shop's customers let them.
    let kept = each(&address, &customers, 5).await;
    let strangers = rate(&address, &target(""), 200).await;
    let nothing = rate(&address, "/storefront/none", 404).await;
    println!("tokens asked of Omneo, once Shopify and Omneo have said who it is: {asked:.0} a second");
    println!("tokens of customers out of memory: {kept:.0} a second, {:.1} times as many", kept / asked);
    println!("tokens of nobody out of memory: {strangers:.0} a second, {:.1} times as many", strangers / asked);
    println!("requests for an app that is not there: {nothing:.0} a second, {:.1} times as many", nothing / asked);
    playground.stop().await.expect("a clean stop");
}

async fn playground(folder: &std::path::Path) -> Playground {
    let plugin = playground::plugin("timezone = \"UTC\"\n").await.expect("the default rules");
    let shopify = ShopifyOptions::default();
    let started = Playground::start(plugin.clone(), &folder.join("old.db"), shopify, OmneoOptions::default()).await;
    let Playground { shopify: old, omneo, server, mut config, .. } = started.expect("a playground");
    server.stop().await.expect("a clean stop");
    old.stop();
    let options = AppOptions::own(ID, SECRET);
    // The fixed token, so that webhooks need no subscription; signed as those of the app.
    let options = ShopifyOptions { apps: vec![options], webhook_secret: SECRET.into(), ..ShopifyOptions::default() };
    let shopify = Shopify::start(options).await.expect("a shop");
    shopify.install(ID);
    let app = Arc::new(App {
        name: "main".into(),
        client_id: ID.into(),
        client_secret: SECRET.into(),
        previous_secret: None,
        kind: AppKind::Own,
        endpoint: None,
        proxy: PROXY.into(),
        trust_classic_accounts: [].into(),
    });
    config.journal = folder.join("new.db");
    config.keys = Keys::parse(&["ab".repeat(32)]).expect("a key");
    config.apps = [("main".to_owned(), app.clone())].into();
    config.allow.push(shopify.address().to_string());
    config.tenants[0].shopify = Peer::of_app(shopify.url(), app.clone(), None);
    let playground = Playground::with(plugin, config, shopify, omneo).await.expect("a playground");
    // Webhooks of an app come to an address of the tenant's own.
    let tenant = &playground.config.tenants[0];
    let key = playground.server.credentials.webhook_key(tenant, &app).await.map_err(|refused| refused.to_string());
    let url = format!("http://{}/webhooks/shopify/main/{}", playground.server.address, key.expect("a key"));
    playground.shopify.set_webhook_url(url);
    assert_eq!(tenant.name, TENANT);
    playground
}

/// How many tokens a second, where senders ask for each of these customers so many times.
async fn each(address: &Arc<String>, customers: &[u64], times: usize) -> f64 {
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for part in customers.chunks(CUSTOMERS.div_ceil(SENDERS)) {
        let (part, address) = (part.to_vec(), address.clone());
        senders.spawn(async move {
            let mut connection = TcpStream::connect(&*address).await.expect("a connection");
            for customer in part.repeat(times) {
                assert_eq!(ask(&mut connection, &target(&customer.to_string())).await, 200);
            }
        });
    }
    senders.join_all().await;
    (customers.len() * times) as f64 / began.elapsed().as_secs_f64()
}

/// How many a second senders get one after the other, each over a connection of its own.
async fn rate(address: &Arc<String>, target: &str, due: u16) -> f64 {
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (address, target) = (address.clone(), target.to_owned());
        senders.spawn(async move {
            let mut connection = TcpStream::connect(&*address).await.expect("a connection");
            for _ in 0..REQUESTS / SENDERS {
                assert_eq!(ask(&mut connection, &target).await, due);
            }
        });
    }
    senders.join_all().await;
    REQUESTS as f64 / began.elapsed().as_secs_f64()
}

/// The status of an answer.
async fn ask(connection: &mut TcpStream, target: &str) -> u16 {
    let request = format!("GET {target} HTTP/1.1\r\nhost: tandem\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("a request");
    let mut bytes = vec![];
    loop {
        let mut some = [0; 4_096];
        let read = connection.read(&mut some).await.expect("an answer");
        assert!(read > 0, "the connection was closed");
        bytes.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0_usize) {
            return head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        }
    }
}

fn target(customer: &str) -> String {
    let at = (tandem::clock::now() / 1_000).to_string();
    let pairs = [
        ("shop", "acme.myshopify.com"),
        ("logged_in_customer_id", customer),
        ("path_prefix", PROXY),
        ("timestamp", &at),
    ];
    let signature = sign_proxy(SECRET, &pairs);
    format!(
        "/storefront/main?shop=acme.myshopify.com&logged_in_customer_id={customer}&path_prefix=%2Fapps%2Fcx&timestamp={at}&signature={signature}"
    )
}
