//! What a widget does on a page of a shop, from its first request to a change of the profile that comes back to Shopify.

use reqwest::Method;
use serde_json::json;
use tandem::config::AppKind;
use tandem_standin::SessionToken;

use super::Front;

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_gets_the_token_of_their_own_profile() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    let (bob, bobs) = front.shopper("bob").await;
    // Nobody is logged in.
    let nobody = front.visit(None).await;
    assert_eq!(nobody.pid(), "null");
    // The shop's visitors share it.
    assert_eq!(front.visit(None).await.token(), nobody.token());
    assert_eq!(front.tokens_asked(), 1);
    let theirs = front.visit(Some(ada)).await;
    assert_eq!(theirs.pid(), adas);
    assert_eq!(front.visit(Some(ada)).await.token(), theirs.token(), "it is in memory");
    assert_eq!(front.visit(Some(bob)).await.pid(), bobs);
    assert_eq!(front.tokens_asked(), 3);
    // Omneo is asked by the profile's own id. An identity could be anybody's.
    let asked = front.omneo().requests();
    let bodies: Vec<_> =
        asked.iter().filter(|request| request.path.ends_with("/auth/token")).map(|r| &r.body).collect();
    assert_eq!(bodies, [&json!({}), &json!({ "id": adas }), &json!({ "id": bobs })]);
    // An extension at checkout gets the same.
    assert_eq!(front.extension(&SessionToken::extension(Some(ada))).await.token(), theirs.token());
    assert_eq!(front.extension(&SessionToken::extension(None)).await.token(), nobody.token());
    front.0.no_dead_letters();
    front.stop().await;
}

/// The order of requests is that of the widgets' public sources: the token, who it is, and then what each widget shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_widgets_go_on_with_the_token() {
    let front = Front::of(AppKind::Own).await;
    let (ada, adas) = front.shopper("ada").await;
    front.omneo().set_loyalty(&adas, json!({ "point_balance": 120, "reward_balance": 5 })).unwrap();
    front.settle().await;
    let nobody = front.visit(None).await.token();
    let (status, said) = front.widget(Method::GET, "/profiles/me", &nobody, None).await;
    assert_eq!(status, 404, "{said}");
    let (status, _) = front.widget(Method::GET, "/rewards", &nobody, None).await;
    assert_eq!(status, 200);
    let token = front.visit(Some(ada)).await.token();
    let (status, me) = front.widget(Method::GET, "/profiles/me", &token, None).await;
    assert_eq!((status, &me["data"]["id"], &me["data"]["email"]), (200, &json!(adas), &json!("ada@example.org")));
    let (_, balances) = front.widget(Method::GET, "/profiles/me/balances", &token, None).await;
    assert_eq!((&balances["data"]["point_balance"], &balances["data"]["reward_balance"]), (&json!(120), &json!(5)));
    for path in
        ["rewards", "points", "benefits", "transactions", "aggregations", "addresses", "identities", "lists/wish/items"]
    {
        let (status, rows) = front.widget(Method::GET, &format!("/profiles/me/{path}"), &token, None).await;
        assert!(status == 200 && rows["data"].is_array(), "{path}: {rows}");
    }
    let (status, _) = front.widget(Method::GET, "/profiles/me/attributes/comms", &token, None).await;
    assert_eq!(status, 200);
    // A token that was tampered with, and one of a program.
    for bad in [format!("{token}x"), "omneo-token".to_owned(), String::new()] {
        assert_eq!(front.widget(Method::GET, "/profiles/me", &bad, None).await.0, 401, "{bad}");
    }
    // What the shopper changes comes back as an ordinary change of the profile.
    let (status, _) = front.widget(Method::PUT, "/profiles/me", &token, Some(json!({ "first_name": "Augusta" }))).await;
    assert_eq!(status, 200);
    let is_there = || front.shopify().customer(ada).unwrap()["first_name"] == "Augusta";
    front.0.until("the name in Shopify", is_there).await;
    front.settle().await;
    front.0.no_dead_letters();
    front.stop().await;
}

#[test]
fn shopify_would_take_what_it_is_asked() {
    let variables = json!({ "id": "gid://shopify/Customer/7" }).to_string();
    assert_eq!(crate::admin_schema::valid(tandem::storefront::CUSTOMER_QUERY, &variables), Ok(()));
    assert!(
        !crate::admin_schema::is_at_hand()
            || crate::admin_schema::valid("query { customer { nothing } }", "{}").is_err()
    );
}
