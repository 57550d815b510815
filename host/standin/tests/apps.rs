//! The token endpoint: each grant, each refusal, and what becomes of old tokens.

use crate::kit;

use std::time::Duration;

use crate::kit::{Reply, http, post_form, shop, shop_with, status_with};
use serde_json::{Value, json};
use tandem_standin::{
    AppOptions, Approval, Clock, Fault, RefreshRule, Rule, SessionToken, Shopify, ShopifyOptions, TokenCounts,
};

const TOKENS: &str = "/admin/oauth/access_token";
const REDIRECT: &str = "http://127.0.0.1:1/shopify/app/callback";

/// A shop with one app, `cx` with the secret `hush`, which is installed.
async fn with_app(app: AppOptions, change: impl FnOnce(&mut ShopifyOptions)) -> (Shopify, Clock) {
    let (shop, clock) = shop_with(|options| {
        (options.token, options.apps) = (String::new(), vec![app]);
        change(options);
    })
    .await;
    assert!(shop.install("cx"));
    (shop, clock)
}

async fn own() -> (Shopify, Clock) {
    with_app(AppOptions::own("cx", "hush"), |_| {}).await
}

async fn standalone(rule: RefreshRule) -> (Shopify, Clock) {
    let app = AppOptions::standalone("cx", "hush", "http://127.0.0.1:1/shopify/app");
    with_app(app, |options| options.refresh_rule = rule).await
}

/// A token request of `cx`; the rest of the form is encoded already.
async fn ask(shop: &Shopify, form: &str) -> Reply {
    post_form(shop.address(), TOKENS, &format!("client_id=cx&client_secret=hush&{form}")).await.unwrap()
}

async fn given(shop: &Shopify, form: &str) -> Value {
    let reply = ask(shop, form).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body
}

async fn refusal(shop: &Shopify, form: &str) -> Value {
    let reply = ask(shop, form).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    reply.body["error"].clone()
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap()
}

/// The code of an approval.
fn code(shop: &Shopify) -> String {
    let approval = Approval { redirect_uri: REDIRECT.to_owned(), ..Approval::default() };
    let location = shop.approve("cx", &approval).unwrap();
    location.split(['?', '&']).find_map(|part| part.strip_prefix("code=")).unwrap().to_owned()
}

async fn by_code(shop: &Shopify) -> Value {
    given(shop, &format!("code={}&expiring=1", code(shop))).await
}

async fn renew(shop: &Shopify, of: &Value) -> Reply {
    ask(shop, &format!("grant_type=refresh_token&refresh_token={}", text(of, "refresh_token"))).await
}

/// A form of token exchange for a session token.
fn exchange(token: &str, requested: &str) -> String {
    format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
         &subject_token_type=urn:ietf:params:oauth:token-type:id_token\
         &requested_token_type=urn:shopify:params:oauth:token-type:{requested}-access-token"
    )
}

#[tokio::test]
async fn client_credentials_give_a_token_that_ends_and_can_be_asked_for_again() {
    let (shop, clock) = own().await;
    let first = given(&shop, "grant_type=client_credentials").await;
    assert!(text(&first, "access_token").starts_with("shpat_"));
    let scope = "read_customer_merge,read_locations,read_orders,read_products,write_customers";
    assert_eq!((text(&first, "scope"), &first["expires_in"]), (scope, &json!(86_399)));
    assert_eq!(first.get("refresh_token"), None);
    let body = json!({ "client_id": "cx", "client_secret": "hush", "grant_type": "client_credentials" });
    let second = http(shop.address(), &format!("POST {TOKENS}"), &[], body.to_string()).await.unwrap();
    assert_eq!(second.status, 200, "JSON is as good as a form");
    assert_ne!(first["access_token"], second.body["access_token"]);
    assert_eq!(status_with(&shop, text(&first, "access_token")).await, 200);
    clock.advance(86_399_000 - 1);
    assert_eq!(status_with(&shop, text(&first, "access_token")).await, 200);
    clock.advance(1);
    let refused = kit::ask_with(&shop, text(&first, "access_token"), "query Q { shop { id } }", json!({})).await;
    let expected = json!({ "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)" });
    assert_eq!((refused.status, refused.body), (401, expected));
}

#[tokio::test]
async fn a_shop_of_somebody_else_answers_client_credentials_with_a_page() {
    let (shop, _) = standalone(RefreshRule::Strict).await;
    let reply = ask(&shop, "grant_type=client_credentials").await;
    assert_eq!((reply.status, reply.header("content-type")), (400, "text/html; charset=utf-8"));
    let message = "Oauth error shop_not_permitted: Client credentials cannot be performed on this shop.";
    assert!(reply.text.contains(message), "{}", reply.text);
}

#[tokio::test]
async fn a_code_is_good_once_and_for_a_minute() {
    let (shop, clock) = standalone(RefreshRule::Strict).await;
    let code_once = code(&shop);
    let pair = given(&shop, &format!("code={code_once}&expiring=1")).await;
    assert_eq!((&pair["expires_in"], &pair["refresh_token_expires_in"]), (&json!(3_600), &json!(7_776_000)));
    assert!(text(&pair, "refresh_token").starts_with("shprt_"));
    let again = ask(&shop, &format!("code={code_once}&expiring=1")).await;
    let expected = json!({
        "error": "invalid_request",
        "error_description": "The authorization code was not found or was already used",
    });
    assert_eq!((again.status, again.body), (400, expected));
    assert_eq!(status_with(&shop, text(&pair, "access_token")).await, 200, "a second use takes nothing away");
    let late = code(&shop);
    clock.advance(60_000);
    assert_eq!(refusal(&shop, &format!("code={late}&expiring=1")).await, "invalid_request");
}

#[tokio::test]
async fn without_expiring_a_token_has_no_end_until_it_is_exchanged_for_a_pair() {
    let (shop, clock) = standalone(RefreshRule::Strict).await;
    let lasting = given(&shop, &format!("grant_type=authorization_code&code={}", code(&shop))).await;
    assert_eq!(lasting.as_object().unwrap().len(), 2, "access_token and scope alone: {lasting}");
    clock.advance(10 * 365 * 86_400_000);
    let token = text(&lasting, "access_token");
    assert_eq!(status_with(&shop, token).await, 200);
    let offline = "urn:shopify:params:oauth:token-type:offline-access-token";
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
         &subject_token_type={offline}&requested_token_type={offline}"
    );
    assert_eq!(refusal(&shop, &form).await, "invalid_request");
    let pair = given(&shop, &format!("{form}&expiring=1")).await;
    assert_eq!(status_with(&shop, token).await, 401, "the old token is revoked");
    assert_eq!(status_with(&shop, text(&pair, "access_token")).await, 200);
    assert_eq!(refusal(&shop, &format!("{form}&expiring=1")).await, "invalid_subject_token");
    assert_eq!(renew(&shop, &pair).await.status, 200);
}

#[tokio::test]
async fn a_session_token_of_the_admin_is_exchanged_and_no_other() {
    let (shop, clock) = with_app(AppOptions::embedded("cx", "hush", "http://127.0.0.1:1/app"), |_| {}).await;
    let token = shop.session_token("cx", &SessionToken::admin(42)).unwrap();
    let lasting = given(&shop, &exchange(&token, "offline")).await;
    assert_eq!(lasting.get("expires_in"), None, "expiring is off unless it is asked for");
    let pair = given(&shop, &format!("{}&expiring=1", exchange(&token, "offline"))).await;
    assert_eq!(pair["expires_in"], 3_600);
    let personal = given(&shop, &format!("{}&expiring=1", exchange(&token, "online"))).await;
    assert_eq!((&personal["associated_user"]["id"], personal.get("refresh_token")), (&json!(42), None));
    assert_eq!(renew(&shop, &pair).await.status, 200, "a token of a member of staff ends none of the shop");
    assert_eq!(refusal(&shop, &exchange(&token, "other")).await, "invalid_request");

    let extension = shop.session_token("cx", &SessionToken::extension(Some(7))).unwrap();
    assert_eq!(refusal(&shop, &exchange(&extension, "offline")).await, "invalid_subject_token");
    let foreign = SessionToken::admin(42).claim("dest", "https://other.myshopify.com");
    let foreign = shop.session_token("cx", &foreign).unwrap();
    assert_eq!(refusal(&shop, &exchange(&foreign, "offline")).await, "invalid_subject_token");
    clock.advance(71_000);
    assert_eq!(refusal(&shop, &exchange(&token, "offline")).await, "invalid_subject_token");
}

#[tokio::test]
async fn renewing_ends_the_old_refresh_token_and_leaves_the_old_access_token_its_time() {
    let (shop, clock) = standalone(RefreshRule::Strict).await;
    let first = by_code(&shop).await;
    clock.advance(1_800_000);
    let second = renew(&shop, &first).await;
    assert_eq!((second.status, &second.body["expires_in"]), (200, &json!(3_600)));
    assert_eq!(renew(&shop, &first).await.body["error"], "invalid_grant");
    for token in [&first, &second.body] {
        assert_eq!(status_with(&shop, text(token, "access_token")).await, 200);
    }
    clock.advance(1_800_000);
    assert_eq!(status_with(&shop, text(&first, "access_token")).await, 401);
    assert_eq!(status_with(&shop, text(&second.body, "access_token")).await, 200);
    clock.advance(7_776_000_000 - 1_800_000);
    assert_eq!(renew(&shop, &second.body).await.body["error"], "invalid_grant", "after 90 days");
}

#[tokio::test]
async fn a_new_grant_ends_older_refresh_tokens_whatever_the_rule() {
    for rule in [RefreshRule::Strict, RefreshRule::Seconds(60), RefreshRule::UntilUsed] {
        let (shop, _) = standalone(rule).await;
        let (first, second) = (by_code(&shop).await, by_code(&shop).await);
        assert_eq!(renew(&shop, &first).await.body["error"], "invalid_grant", "{rule:?}");
        assert_eq!(status_with(&shop, text(&first, "access_token")).await, 200);
        assert_eq!(renew(&shop, &second).await.status, 200);
    }
}

#[tokio::test]
async fn an_old_refresh_token_stays_until_its_replacement_is_used() {
    let (shop, clock) = standalone(RefreshRule::UntilUsed).await;
    let first = by_code(&shop).await;
    let second = renew(&shop, &first).await.body;
    clock.advance(29 * 86_400_000);
    let third = renew(&shop, &first).await.body;
    assert_eq!(
        renew(&shop, &second).await.body["error"],
        "invalid_grant",
        "one refreshable token, and the retried one"
    );
    assert_eq!(renew(&shop, &third).await.status, 200);
    assert_eq!(renew(&shop, &first).await.body["error"], "invalid_grant", "its replacement was used");

    let first = by_code(&shop).await;
    assert_eq!(renew(&shop, &first).await.status, 200);
    clock.advance(29 * 86_400_000);
    assert_eq!(renew(&shop, &first).await.status, 200);
    clock.advance(86_400_000);
    assert_eq!(renew(&shop, &first).await.body["error"], "invalid_grant", "30 days after its first use");
}

#[tokio::test]
async fn an_old_refresh_token_can_be_retried_for_some_seconds() {
    let (shop, clock) = standalone(RefreshRule::Seconds(60)).await;
    let first = by_code(&shop).await;
    assert_eq!(renew(&shop, &first).await.status, 200);
    clock.advance(59_000);
    assert_eq!(renew(&shop, &first).await.status, 200);
    clock.advance(1_000);
    assert_eq!(renew(&shop, &first).await.body["error"], "invalid_grant");
}

#[tokio::test]
async fn credentials_and_installation_are_asked_for_by_every_grant() {
    let (shop, _) = own().await;
    let pair = by_code(&shop).await;
    let unused = code(&shop);
    let refresh = format!("grant_type=refresh_token&refresh_token={}", text(&pair, "refresh_token"));
    for wrong in ["client_id=cx&client_secret=wrong", "client_id=other&client_secret=hush", "client_id=cx", ""] {
        let reply = post_form(shop.address(), TOKENS, &format!("{wrong}&{refresh}")).await.unwrap();
        assert_eq!((reply.status, &reply.body["error"]), (400, &json!("invalid_client")), "{wrong}");
    }
    let session = shop.session_token("cx", &SessionToken::admin(42)).unwrap();
    assert!(shop.uninstall("cx") && !shop.uninstall("cx") && !shop.is_installed("cx"));
    assert_eq!(status_with(&shop, text(&pair, "access_token")).await, 401);
    let forms =
        [refresh, "grant_type=client_credentials".to_owned(), format!("code={unused}"), exchange(&session, "offline")];
    for form in &forms {
        assert_eq!(refusal(&shop, form).await, "invalid_client", "{form}");
    }
    assert!(shop.install("cx"));
    assert_eq!(status_with(&shop, text(&pair, "access_token")).await, 401, "what was given stays revoked");
    assert_eq!(refusal(&shop, &forms[0]).await, "invalid_grant");
    assert_eq!(refusal(&shop, &forms[2]).await, "invalid_request");
    assert_eq!(ask(&shop, &forms[1]).await.status, 200);
}

#[tokio::test]
async fn a_rotated_secret_is_the_only_one_the_endpoint_takes() {
    let (shop, _) = own().await;
    let old = shop.session_token("cx", &SessionToken::admin(42)).unwrap();
    let before = given(&shop, "grant_type=client_credentials").await;
    assert!(shop.rotate_secret("cx", "new") && !shop.rotate_secret("other", "new"));
    assert_eq!(refusal(&shop, "grant_type=client_credentials").await, "invalid_client");
    let form = format!("client_id=cx&client_secret=new&{}", exchange(&old, "offline"));
    let reply = post_form(shop.address(), TOKENS, &form).await.unwrap();
    assert_eq!(reply.status, 200, "a session token of the old secret lives out its minute");
    assert_eq!(status_with(&shop, text(&before, "access_token")).await, 200);
    assert!(shop.revoke_tokens("cx"));
    assert_eq!(status_with(&shop, text(&before, "access_token")).await, 401);
    let app = shop.app("cx").unwrap();
    assert_eq!((app.client_secret.as_str(), app.previous_secret.as_deref()), ("new", Some("hush")));
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let (shop, _) = own().await;
    let huge = "x".repeat(10_000);
    let table = [
        ("grant_type=client_credentials&grant_type=client_credentials".to_owned(), "invalid_request"),
        ("client_secret=hush&grant_type=client_credentials".to_owned(), "invalid_request"),
        (format!("code={huge}"), "invalid_request"),
        ("code=".to_owned(), "invalid_request"),
        ("grant_type=refresh_token".to_owned(), "invalid_grant"),
        ("grant_type=refresh_token&refresh_token=%00%ff".to_owned(), "invalid_grant"),
        ("grant_type=password".to_owned(), "unsupported_grant_type"),
        (String::new(), "unsupported_grant_type"),
        (exchange("not_a_valid_token", "offline"), "invalid_subject_token"),
        (exchange("", "offline"), "invalid_subject_token"),
    ];
    for (form, expected) in table {
        assert_eq!(refusal(&shop, &form).await, expected, "{form}");
    }
    for body in ["[]", "null", "{", "{\"client_id\":{}}", "%%%"] {
        let reply = http(shop.address(), &format!("POST {TOKENS}"), &[], body.to_owned()).await.unwrap();
        assert_eq!((reply.status, &reply.body["error"]), (400, &json!("invalid_client")), "{body}");
    }
    assert_eq!(http(shop.address(), &format!("GET {TOKENS}"), &[], None).await.unwrap().status, 404);
    for token in ["", "shpat_", "shpat_standin", "hush"] {
        assert_eq!(status_with(&shop, token).await, 401, "{token}");
    }
    assert_eq!(shop.token_counts("cx").given, 0);
}

#[tokio::test]
async fn faults_meet_the_token_endpoint_alone_and_a_lost_answer_has_its_effect() {
    let (shop, _) = standalone(RefreshRule::Strict).await;
    let first = by_code(&shop).await;
    let token = text(&first, "access_token");
    shop.faults().add(Rule::path("POST /admin/oauth/access_token").times(1), Fault::StatusRetryAfter(429, 2));
    shop.faults().add(Rule::operation("token/refresh_token").times(1), Fault::Status(503));
    shop.faults().add(Rule::operation("token/refresh_token").times(1), Fault::LoseAnswer);
    let busy = renew(&shop, &first).await;
    assert_eq!((busy.status, busy.header("retry-after")), (429, "2"));
    assert_eq!(renew(&shop, &first).await.status, 503);
    assert_eq!(status_with(&shop, token).await, 200, "the Admin API goes on");
    let form = format!(
        "client_id=cx&client_secret=hush&grant_type=refresh_token&refresh_token={}",
        text(&first, "refresh_token")
    );
    assert!(post_form(shop.address(), TOKENS, &form).await.is_none(), "the connection is dropped");
    assert_eq!(shop.token_counts("cx"), TokenCounts { requests: 2, renewals: 1, given: 2, most_at_once: 1 });
    assert_eq!(renew(&shop, &first).await.body["error"], "invalid_grant", "it was renewed");
    let last = shop.requests().pop().unwrap();
    assert_eq!((last.operation.as_str(), &last.body["client_id"]), ("token/refresh_token", &json!("cx")));
}

#[tokio::test]
async fn requests_under_way_at_once_are_counted() {
    let (shop, _) = own().await;
    given(&shop, "grant_type=client_credentials").await;
    given(&shop, "grant_type=client_credentials").await;
    assert_eq!(shop.token_counts("cx").most_at_once, 1);
    shop.set_token_delay_ms(200);
    let begun = std::time::Instant::now();
    let (one, other) =
        tokio::join!(ask(&shop, "grant_type=client_credentials"), ask(&shop, "grant_type=client_credentials"));
    assert_eq!((one.status, other.status), (200, 200));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(shop.token_counts("cx"), TokenCounts { requests: 4, renewals: 0, given: 4, most_at_once: 2 });
    assert_eq!(shop.token_counts("other"), TokenCounts::default());
}

#[tokio::test]
async fn the_fixed_token_stays_beside_apps_and_a_shop_without_apps_knows_no_oauth() {
    let (shop, _) = with_app(AppOptions::own("cx", "hush"), |options| options.token = "shpat_standin".to_owned()).await;
    assert_eq!(status_with(&shop, "shpat_standin").await, 200);
    let token = given(&shop, "grant_type=client_credentials").await;
    assert_eq!(status_with(&shop, text(&token, "access_token")).await, 200);
    let (plain, _) = self::shop().await;
    assert_eq!(status_with(&plain, "shpat_standin").await, 200);
    assert_eq!(ask(&plain, "grant_type=client_credentials").await.status, 404);
    assert_eq!(kit::get(plain.address(), "/store/acme/apps").await.status, 404);
    assert!(!plain.install("cx") && plain.app_url("cx").is_none());
}

#[tokio::test]
async fn tokens_are_repeated_by_the_seed_and_belong_to_one_shop() {
    let mut seen = vec![];
    for name in ["acme", "acme", "other"] {
        let (shop, _) =
            with_app(AppOptions::own("cx", "hush"), |options| options.shop = format!("{name}.myshopify.com")).await;
        seen.push(given(&shop, "grant_type=client_credentials").await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0]["access_token"], seen[2]["access_token"]);
}
