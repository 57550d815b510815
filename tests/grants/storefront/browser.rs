//! The two pieces of code in the guide, as they stand there, in a real browser: on a page of the shop, and at another origin.
//!
//! Skipped, saying so, where there is no driver of Chromium; where `CI` is set there has to be one.

use std::path::Path;
use std::time::{Duration, Instant};

use fantoccini::Locator;
use serde_json::{Value, json};
use tandem::config::AppKind;
use tandem_standin::SessionToken;

use super::Front;
use crate::grants::browser::{Chromium, chromium};
use crate::grants::street::ID;

/// The block of code in this language below a heading of the guide.
fn of_guide(language: &str) -> String {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md")).unwrap();
    let section = guide.split("\n## Storefront\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let block = section.split(&format!("```{language}\n")).nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// The text once the page has it.
async fn shown(chromium: &Chromium, id: &str) -> String {
    let began = Instant::now();
    loop {
        let text = match chromium.client.find(Locator::Id(id)).await {
            Ok(found) => found.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        if !text.is_empty() {
            return text;
        }
        let page = chromium.client.source().await.unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn chromium_asked(chromium: &Chromium) {
    let began = Instant::now();
    while chromium.client.title().await.unwrap() != "asked" {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_the_guide_works_in_a_browser() {
    let Some(chromium) = chromium().await else { return };
    let front = Front::of(AppKind::Own).await;
    let (ada, adas) = front.shopper("ada").await;
    front.omneo().set_loyalty(&adas, json!({ "point_balance": 120 })).unwrap();
    front.settle().await;
    let omneo = format!("http://{}", front.omneo().address());
    // A theme: what Liquid makes of the snippet for a customer who is logged in.
    let liquid = of_guide("liquid");
    let (named, theirs) = ("answer.headers.get('x-omneo-tenant')", "https://api.${tenant}.getomneo.com");
    assert!(liquid.starts_with("{% if customer %}\n") && liquid.ends_with("{% endif %}\n"));
    assert!(liquid.contains(named) && liquid.contains(theirs));
    let as_it_stands = liquid.replace("{% if customer %}\n", "").replace("{% endif %}\n", "");
    // The stand-in's address says no name of Omneo's; what it would say is put in here.
    let snippet = as_it_stands.replace(named, "'acme'").replace(theirs, &omneo);
    let page = |body: &str| format!("<!doctype html><html lang=en><title>Shop</title><h1>Shop</h1>{body}</html>");
    front.shopify().set_page("/", page(&snippet));
    chromium.goes(&format!("{}/account/login?customer={ada}", front.shopify().url())).await;
    assert_eq!(shown(&chromium, "omneo-points").await, "You have 120 points");
    // Where Omneo's own name of the tenant is not known, the token goes nowhere.
    let done = "<script type=module>await fetch('/apps/cx'); document.title = 'asked'</script>";
    front.shopify().set_page("/", page(&format!("{as_it_stands}{done}")));
    chromium.goes(&format!("{}/account/login?customer={ada}", front.shopify().url())).await;
    chromium_asked(&chromium).await;
    let empty = chromium.client.find(Locator::Id("omneo-points")).await.unwrap().text().await.unwrap();
    assert_eq!(empty, "");
    let sent = "return performance.getEntriesByType('resource').filter(one => one.name.includes('getomneo')).length";
    assert_eq!(chromium.client.execute(sent, vec![]).await.unwrap(), json!(0));
    // Nobody is logged in any more: the same page shows nothing of anybody.
    front.shopify().set_page("/", page(&format!("{snippet}{done}")));
    chromium.goes(&format!("{}/account/logout", front.shopify().url())).await;
    chromium_asked(&chromium).await;
    let empty = chromium.client.find(Locator::Id("omneo-points")).await.unwrap().text().await.unwrap();
    assert_eq!(empty, "");
    // An extension, at an origin that is not the host's: its browser asks whether it may.
    let code = of_guide("js");
    let host = format!("http://{}", front.0.playground.server.address);
    assert!(code.contains("https://tandem.example.org/"));
    let code = code.replace("https://tandem.example.org", &host);
    let token = front.shopify().session_token(ID, &SessionToken::extension(Some(ada))).unwrap();
    let script = format!(
        "<p id=said></p><script type=module>const shopify = {{ sessionToken: {{ get: async () => '{token}' }} }};\n{code}\n\
         document.getElementById('said').textContent = JSON.stringify(await omneoToken());</script>"
    );
    front.shopify().set_page("/extension", page(&script));
    chromium.goes(&format!("{}/extension", front.shopify().url())).await;
    let said: Value = serde_json::from_str(&shown(&chromium, "said").await).unwrap();
    assert_eq!((&said["tenant"], &said["isAnon"]), (&json!(null), &json!(false)), "{said}");
    let claims = super::claims(said["token"].as_str().unwrap());
    assert_eq!((&claims["pid"], &claims["exp"]), (&json!(adas), &said["expiry"]));
    chromium.ends().await;
    front.stop().await;
}
