//! Stories about who is linked to whom when that changes: by another identity handle, or by a half that came anew.

use std::collections::HashMap;

use crate::town::{RULES, Town, plugin};
use serde_json::{Value, json};
use tandem::playground::{Playground, TENANT};
use tandem::serve::Server;

const OTHER_HANDLE: &str = "timezone = \"Australia/Melbourne\"\n[identity]\nhandle = \"web\"\n";

fn identities(town: &Town, profile: &str) -> Vec<(String, String)> {
    let profile = town.profile(profile);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |identity: &Value| (text(&identity["handle"]), text(&identity["identifier"]));
    profile["identities"].as_array().unwrap().iter().map(one).collect()
}

/// Stops the town's host and starts it with other rules, or with those it had if it refuses.
async fn with_rules(town: Town, was: &str, rules: &str, relink: bool) -> (Result<(), String>, Town) {
    let Town { playground, clock, folder } = town;
    let Playground { shopify, omneo, server, mut config, .. } = playground;
    server.stop().await.unwrap();
    config.relink = if relink { vec![TENANT.into()] } else { vec![] };
    let started = Server::start_with(&config, HashMap::from([(TENANT.to_owned(), plugin(rules).await)])).await;
    let (said, rules) = match started {
        Ok(server) => {
            server.stop().await.unwrap();
            (Ok(()), rules)
        }
        Err(error) => (Err(format!("{error:#}")), was),
    };
    config.relink.clear();
    let playground = Playground::with(plugin(rules).await, config, shopify, omneo).await.unwrap();
    (said, Town { playground, clock, folder })
}

#[tokio::test]
async fn another_identity_handle_is_refused_while_people_are_linked_and_gives_everybody_a_new_link_when_told() {
    let town = Town::new().await;
    // Nobody is linked yet.
    let (said, town) = with_rules(town, RULES, OTHER_HANDLE, false).await;
    assert_eq!(said, Ok(()));
    let (said, town) = with_rules(town, OTHER_HANDLE, RULES, false).await;
    assert_eq!(said, Ok(()));
    let (customer, profile) = town.ada().await;

    let (said, town) = with_rules(town, RULES, OTHER_HANDLE, false).await;
    assert_eq!(
        said.unwrap_err(),
        "the rules of tenant `acme` change `identity.handle` from \"shopify\" to \"web\", and one person is linked by it\n\
         hint: set it back, or start once with `--relink acme`: everybody linked is given the new link, and keeps the old one"
    );
    assert_eq!(identities(&town, &profile), [("shopify".to_owned(), customer.to_string())]);
    // Whoever deploys such rules is told before the activation refuses them.
    let versions = &town.playground.server.versions;
    let warned = versions.deploy_rules(TENANT, "web.toml", OTHER_HANDLE).await.unwrap().warnings;
    assert_eq!(
        warned,
        "warning: the rules of tenant `acme` change `identity.handle` from \"shopify\" to \"web\", and one person is linked by it\n\
         hint: set it back, or activate it with `relink`"
    );
    assert_eq!(versions.deploy_rules(TENANT, "shopify.toml", RULES).await.unwrap().warnings, "");

    let (said, town) = with_rules(town, RULES, OTHER_HANDLE, true).await;
    assert_eq!(said, Ok(()));
    town.settle().await;
    let both = ["shopify", "web"].map(|handle| (handle.to_owned(), customer.to_string()));
    assert_eq!(identities(&town, &profile), both, "{:?}", town.outcomes(0));
    assert_eq!(
        town.outcomes(0).iter().filter(|outcome| *outcome == "resync done").count(),
        1,
        "{:?}",
        town.outcomes(0)
    );

    // It is the handle in force from now on.
    let (said, town) = with_rules(town, OTHER_HANDLE, OTHER_HANDLE, false).await;
    assert_eq!(said, Ok(()));
    town.clock.advance(60_000);
    town.playground.omneo.update_profile(&profile, json!({"first_name": "Augusta"})).unwrap();
    town.settle().await;
    assert_eq!(town.customer(customer)["first_name"], "Augusta");
    assert_eq!(town.dead_letters(), [""; 0]);
    let (said, town) = with_rules(town, OTHER_HANDLE, RULES, false).await;
    assert!(said.is_err_and(|said| said.contains("from \"web\" to \"shopify\"")));
    town.stop().await;
}

#[tokio::test]
async fn a_new_customer_takes_the_place_of_a_deleted_one() {
    let town = Town::new().await;
    let (old, profile) = town.ada().await;
    assert!(town.playground.shopify.delete_customer(old));
    town.settle().await;
    town.clock.advance(60_000);
    let fields = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev"});
    let new = town.playground.shopify.create_customer(fields).unwrap();
    town.settle().await;
    assert_eq!(identities(&town, &profile), [("shopify".to_owned(), new.to_string())], "{:?}", town.dead_letters());
    town.clock.advance(60_000);
    town.playground.omneo.update_profile(&profile, json!({"first_name": "Augusta"})).unwrap();
    town.settle().await;
    assert_eq!(town.customer(new)["first_name"], "Augusta", "{:?}", town.dead_letters());
    assert_eq!((town.dead_letters(), town.profiles().len()), (vec![], 1));
    town.stop().await;
}
