//! Set-up of a tenant against both stand-ins: what it makes, that it makes it once, and what it says of what it cannot make.

use crate::admin_schema;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use tandem::client::Client;
use tandem::config::{Peer, Quota, RulesFrom, Tenant};
use tandem::model::Request;
use tandem::paint::Paint;
use tandem::rules::Manifest;
use tandem::setup::{self, Act, Setup, State, Step, Zone};
use tandem_rules::DefaultRules;
use tandem_sdk::Rules;
use tandem_standin::{Omneo, OmneoOptions, Shopify, ShopifyOptions};

const ADDRESS: &str = "https://tandem.example.org";

struct Town {
    shopify: Shopify,
    omneo: Omneo,
    folder: tempfile::TempDir,
}

impl Town {
    /// A shop whose app was just installed, with these scopes.
    async fn new(scopes: Option<&[&str]>) -> Self {
        let all = ShopifyOptions::default().scopes;
        let scopes = scopes.map_or(all, |scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
        Self::with(ShopifyOptions { scopes, ..ShopifyOptions::default() }, OmneoOptions::default()).await
    }

    /// A shop and a tenant of Omneo that nobody has set up.
    async fn with(shopify: ShopifyOptions, omneo: OmneoOptions) -> Self {
        let shopify = Shopify::start(ShopifyOptions { link_defined: false, ..shopify }).await.unwrap();
        let omneo = Omneo::start(omneo).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let town = Self { shopify, omneo, folder };
        std::fs::write(town.rules(), "# Acme\n[tags] # ours\nwhitelist = [\"vip\"]\n").unwrap();
        town
    }

    fn rules(&self) -> PathBuf {
        self.folder.path().join("acme.toml")
    }

    async fn set_up(&self, is_dry: bool) -> Vec<Step> {
        self.set_up_at(ADDRESS, is_dry).await
    }

    /// What the command itself logs of these two, from its start on: until a line has this text, or else the test fails.
    fn serve_until(&self, last: &str) -> Vec<String> {
        let peer = |url: String, token: String| {
            format!("{{ url = \"{url}\", token = \"{token}\", webhook_secrets = [\"s\"] }}")
        };
        let config = format!(
            "listen = \"127.0.0.1:0\"\njournal = \"setup.db\"\npublic_url = \"{ADDRESS}\"\n\
             [network]\nallow = [\"{}\", \"{}\"]\n\
             [tenants.acme]\nshop = \"{}\"\nrules = \"acme.toml\"\nshopify = {}\nomneo = {}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n",
            self.shopify.address(),
            self.omneo.address(),
            ShopifyOptions::default().shop,
            peer(self.shopify.url(), ShopifyOptions::default().token),
            peer(self.omneo.url(), OmneoOptions::default().token),
        );
        std::fs::write(self.folder.path().join("tandem.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.arg("serve").current_dir(self.folder.path()).env_remove("TANDEM_LOG").stderr(Stdio::piped());
        let mut served = Served(command.spawn().unwrap());
        let (tell, told) = mpsc::channel();
        let log = BufReader::new(served.0.stderr.take().unwrap());
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut lines: Vec<String> = vec![];
        while !lines.last().is_some_and(|line| line.contains(last)) {
            match told.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => lines.push(line),
                Err(why) => panic!("waited in vain for `{last}`: {why}: {lines:#?}"),
            }
        }
        lines
    }

    /// Every step, carried out unless it is a dry run.
    async fn set_up_at(&self, address: &str, is_dry: bool) -> Vec<Step> {
        let peer = |url: String, token: String| Peer::with_token(&url, &token);
        let tenant = Tenant {
            name: "acme".into(),
            shop: ShopifyOptions::default().shop,
            rules: RulesFrom::File(self.rules()),
            shopify: peer(self.shopify.url(), ShopifyOptions::default().token),
            omneo: peer(self.omneo.url(), OmneoOptions::default().token),
            limits: Quota::default(),
        };
        let allow = vec![self.shopify.address().to_string(), self.omneo.address().to_string()];
        let client = Client::new(2_000, allow).unwrap();
        let (manifest, zone) = of_rules(&self.rules()).await;
        let setup = Setup {
            client: &client,
            tenant: &tenant,
            manifest: &manifest,
            zone,
            address: Some(address),
            app: None,
            leave_official: false,
        };
        let mut steps = vec![];
        for step in setup::plan(&setup).await {
            steps.push(if is_dry { step } else { setup::apply(&setup, step).await });
        }
        steps
    }
}

/// A process that does not outlive its test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As set-up reads a rules file. A component takes seconds to build, so each text is built once for all tests.
async fn of_rules(path: &Path) -> (Manifest, Zone) {
    static BUILT: LazyLock<tokio::sync::Mutex<HashMap<String, Manifest>>> = LazyLock::new(Default::default);
    let text = std::fs::read_to_string(path).unwrap();
    let mut built = BUILT.lock().await;
    if let Some(manifest) = built.get(&text) {
        return (manifest.clone(), Zone::of_file(path, &text).unwrap().0);
    }
    let (manifest, zone) = setup::of_rules(&RulesFrom::File(path.to_owned())).await.unwrap();
    built.insert(text, manifest.clone());
    (manifest, zone)
}

fn count(steps: &[Step], state: State) -> usize {
    steps.iter().filter(|step| step.state == state).count()
}

fn lines(steps: &[Step], state: State) -> Vec<String> {
    let of_state = steps.iter().filter(|step| step.state == state);
    of_state.map(|step| setup::line(step, false, Paint::plain())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_run_makes_everything_and_the_second_nothing() {
    let town = Town::new(None).await;
    let dry = town.set_up(true).await;
    let wanted = count(&dry, State::Create);
    assert_eq!((count(&dry, State::There), count(&dry, State::Missing)), (0, 0), "{dry:#?}");
    assert!(!std::fs::read_to_string(town.rules()).unwrap().contains("timezone"), "a dry run changes nothing");
    assert_eq!(count(&town.set_up(true).await, State::Create), wanted, "a dry run changes nothing");

    for step in &dry {
        if let Some(Act::Call(call)) = &step.act
            && let Request::Graphql { document, variables } = &call.request
        {
            assert_eq!(admin_schema::valid(document, variables), Ok(()));
        }
    }

    let first = town.set_up(false).await;
    assert_eq!((count(&first, State::Create), lines(&first, State::Missing)), (wanted, vec![]));
    // What the host answers itself is subscribed to; what only the app's configuration can have is not.
    let created = lines(&first, State::Create);
    let is_created = |topic: &str| created.contains(&format!("+ shopify  webhook `{topic}`: created\n"));
    assert_eq!(["app/uninstalled", "app/scopes_update"].map(is_created), [true; 2]);
    assert_eq!(["customers/redact", "customers/data_request", "shop/redact"].map(is_created), [false; 3]);
    let written = std::fs::read_to_string(town.rules()).unwrap();
    assert!(written.contains("# Acme") && written.contains("[tags] # ours"), "{written}");
    assert!(written.contains("timezone = \"Australia/"), "{written}");

    let second = town.set_up(false).await;
    assert_eq!((count(&second, State::There), count(&second, State::Create)), (wanted, 0), "{second:#?}");
    assert_eq!((lines(&second, State::Change), lines(&second, State::Missing)), (vec![], vec![]));
    assert!(
        lines(&second, State::There).iter().any(|line| line == "= shopify  webhook `orders/paid`: already there\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_moves_takes_its_webhooks_along() {
    let town = Town::new(None).await;
    town.set_up(false).await;
    let moved = town.set_up_at("https://elsewhere.example.org", false).await;
    let changed = lines(&moved, State::Change);
    assert!(changed.contains(&"~ shopify  webhook `orders/paid`: changed\n".to_owned()), "{changed:#?}");
    assert!(changed.contains(&"~ omneo    webhook `profile.updated`: changed\n".to_owned()), "{changed:#?}");
    assert_eq!((count(&moved, State::Create), lines(&moved, State::Missing)), (0, vec![]));
    let again = town.set_up_at("https://elsewhere.example.org", false).await;
    assert_eq!((count(&again, State::Change), count(&again, State::Create)), (0, 0), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_maps_gets_its_definition() {
    let town = Town::new(None).await;
    let rules = "timezone = \"UTC\"\n[fields]\npoints = false\n[fields.birthday]\nomneo = \"birth_date\"\nshopify = \"metafields.facts.birth_date\"\nformat = \"date\"\n";
    std::fs::write(town.rules(), rules).unwrap();
    let steps = town.set_up(false).await;
    let made = lines(&steps, State::Create);
    assert!(
        made.contains(&"+ shopify  metafield definition `facts.birth_date` (date): created\n".to_owned()),
        "{made:#?}"
    );
    assert!(!made.iter().any(|line| line.contains("omneo.points")), "{made:#?}");
    // The rules say another time zone than the shop: a person decides.
    let notes = lines(&steps, State::Note);
    assert!(notes.iter().any(|note| note.contains("the rules say `UTC`, the shop `Australia/")), "{notes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_is_named_and_what_may_be_read_by_who_writes_is_not() {
    let town = Town::new(Some(&["write_customers", "read_orders", "read_products"])).await;
    let missing = lines(&town.set_up(true).await, State::Missing);
    assert_eq!(
        missing,
        [
            "! shopify  the app lacks the scope `read_locations`\n  hint: add it to the app's access scopes in the Dev Dashboard, and have the shop accept it\n"
        ]
    );
}

/// Every scope that the rules and set-up itself ask of an Omneo token, but for these.
fn omneo_scopes_without(lacking: &[&str]) -> Vec<String> {
    let target = DefaultRules::default().describe().targets.into_iter().find(|target| target.name == "omneo").unwrap();
    let own = ["read-webhooks", "create-webhooks", "update-webhooks"].map(str::to_owned);
    target.scopes.into_iter().chain(own).filter(|scope| !lacking.contains(&scope.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_of_omneo_is_named_and_what_else_there_is_to_do_is_done() {
    let scopes = omneo_scopes_without(&["create-transactions", "read-webhooks"]);
    let town = Town::with(ShopifyOptions::default(), OmneoOptions { scopes, ..OmneoOptions::default() }).await;
    let steps = town.set_up(false).await;
    let hint = "hint: a token's scopes are chosen when it is made: CX Manager, Settings, API Tokens; put the new token in the place of this one";
    let refused = "omneo    webhooks: the token lacks the scope `read-webhooks`: 403 {\"message\":\"Invalid scope(s) provided.\"}";
    assert_eq!(
        lines(&steps, State::Missing),
        [
            format!("! omneo    no token has the scope `create-transactions`\n  {hint}\n"),
            format!("! omneo    no token has the scope `read-webhooks`\n  {hint}\n"),
            format!("! {refused}\n  {hint}\n"),
        ]
    );
    assert!(lines(&steps, State::Create).contains(&"+ shopify  webhook `orders/paid`: created\n".to_owned()));

    let scopes = omneo_scopes_without(&["create-webhooks"]);
    let town = Town::with(ShopifyOptions::default(), OmneoOptions { scopes, ..OmneoOptions::default() }).await;
    let missing = lines(&town.set_up(false).await, State::Missing);
    let refused = "! omneo    webhook `profile.updated`: the token lacks the scope `create-webhooks`: 403";
    assert!(missing.iter().any(|line| line.starts_with(refused)), "{missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_themes_cannot_read_is_told() {
    let town = Town::new(None).await;
    let rules = "timezone = \"UTC\"\n[fields.birthday]\nomneo = \"birth_date\"\nshopify = \"metafields.facts.birth_date\"\nformat = \"date\"\n";
    std::fs::write(town.rules(), rules).unwrap();
    town.set_up(false).await;
    // Only now it is Omneo's alone, there to be shown.
    std::fs::write(town.rules(), format!("{rules}way = \"to_shopify\"\n")).unwrap();
    let steps = town.set_up(true).await;
    let told = "i shopify  metafield definition `facts.birth_date` (date) cannot be read by themes\n  hint: allow it where the definition is, in Settings, Custom data, Customers\n";
    assert!(lines(&steps, State::Note).contains(&told.to_owned()), "{steps:#?}");
    let there = lines(&steps, State::There);
    let tier = "= shopify  metafield definition `omneo.tier` (single_line_text_field): already there\n";
    assert!(there.contains(&tier.to_owned()), "what themes may read from the beginning is as it should be: {there:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_logs_at_its_start_what_is_missing_and_changes_nothing() {
    let scopes = omneo_scopes_without(&["create-transactions", "update-orders"]);
    let shopify = ShopifyOptions { scopes: vec!["write_customers".into(), "read_orders".into()], ..Default::default() };
    let town = Town::with(shopify, OmneoOptions { scopes, ..OmneoOptions::default() }).await;
    std::fs::write(town.rules(), "timezone = \"UTC\"\n").unwrap();
    let log = town.serve_until("missing on omneo: webhook `tier.progressed`");
    let made = "`tandem setup acme` makes it";
    let app = "add it to the app's access scopes in the Dev Dashboard, and have the shop accept it";
    for (line, what_to_do) in [
        ("shopify: the app lacks the scope `read_products`", app),
        ("shopify: the app lacks the scope `read_locations`", app),
        ("shopify: metafield definition `omneo.profile_id` (id)", made),
        ("shopify: webhook `orders/paid`", made),
        ("omneo: no token has the scope `create-transactions`", "a token's scopes are chosen when it is made"),
        ("omneo: no token has the scope `update-orders`", "a token's scopes are chosen when it is made"),
        ("omneo: webhook `profile.updated`", made),
    ] {
        let text = format!("missing on {line}; {what_to_do}");
        let found = log.iter().find(|line| line.contains(&text));
        assert!(found.is_some_and(|line| line.contains(" WARN ")), "{text}: {log:#?}");
    }
    assert!(log.iter().any(|line| line.contains("listening on")), "it serves all the same: {log:#?}");
    assert!(!log.iter().any(|line| line.contains('\x1b')), "no colours where no terminal is: {log:#?}");
    let steps = town.set_up(true).await;
    assert_eq!(
        (count(&steps, State::Change), lines(&steps, State::There).len()),
        (0, 0),
        "nothing was made: {steps:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_says_at_its_start_that_nothing_is_missing() {
    let town = Town::new(None).await;
    town.set_up(false).await;
    let log = town.serve_until("what the rules need is there on both sides");
    // The disk of the machine is no matter of the tenant.
    let warns = |line: &String| line.contains("WARN") && !line.contains("tandem::alerts");
    assert!(!log.iter().any(warns), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_and_a_target_that_is_away_are_told_with_what_to_do() {
    let town = Town::new(None).await;
    let rules = "timezone = \"UTC\"\n[fields.points]\nomneo = \"point_balance\"\nshopify = \"metafields.omneo.points\"\nformat = \"text\"\n";
    let whole = std::fs::read_to_string(town.rules()).unwrap();
    std::fs::write(town.rules(), rules).unwrap();
    town.set_up(false).await;
    std::fs::write(town.rules(), whole).unwrap();
    let missing = lines(&town.set_up(true).await, State::Missing);
    assert_eq!(missing.len(), 1, "{missing:#?}");
    assert!(
        missing[0].contains("`omneo.points` (number_integer) has the type `single_line_text_field`"),
        "{missing:#?}"
    );
    town.omneo.stop();
    let missing = lines(&town.set_up(true).await, State::Missing);
    assert!(
        missing.iter().any(|line| line.contains("omneo cannot be reached") && line.contains("hint: is `http")),
        "{missing:#?}"
    );
}

/// Every topic of the rules is one of Shopify's, by its own list where that is at hand.
#[tokio::test(flavor = "multi_thread")]
async fn every_topic_has_shopifys_name() {
    let town = Town::new(None).await;
    let (manifest, _) = of_rules(&town.rules()).await;
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/shopify-schema");
    let folder = std::env::var_os("TANDEM_SHOPIFY_SCHEMA").map_or(beside, PathBuf::from);
    let Ok(schema) = std::fs::read_to_string(folder.join("draft-proxy-admin-2026-07.graphql")) else {
        assert!(std::env::var_os("CI").is_none(), "CI has the schemas, and this run has not found them");
        println!("SKIPPED: no schemas of Shopify; name their folder in TANDEM_SHOPIFY_SCHEMA");
        return;
    };
    let list = schema.split("enum WebhookSubscriptionTopic {").nth(1).unwrap().split("\n}").next().unwrap();
    let of_app = ["customers/redact", "customers/data_request", "shop/redact"];
    let of_host = ["app/uninstalled", "app/scopes_update"].map(|topic| ("shopify".to_owned(), topic.to_owned()));
    for (source, topic) in manifest.listens.iter().chain(&of_host) {
        if source == "shopify" && !of_app.contains(&topic.as_str()) {
            let name = setup::topic_enum(topic);
            assert!(list.lines().any(|line| line.trim() == name), "{topic}: {name}");
        }
    }
}
