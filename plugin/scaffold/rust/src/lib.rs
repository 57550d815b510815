//! The default rules, with the changes below.

use tandem_rules::DefaultRules;
use tandem_sdk::*;

#[derive(Default)]
pub struct MyPlugin;

impl Wrap for MyPlugin {
    type Inner = DefaultRules;

    fn describe(&self, inner: Manifest) -> Manifest {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Manifest {
            name: name.into(),
            version: version.into(),
            ..inner
        }
    }

    async fn handle(&self, inner: &DefaultRules, cx: &Cx, event: &Event) -> Ending {
        // Skip an event, or handle a topic in a different way.
        if event.topic == "products/delete" {
            return Ok(skipped("products are taken down by hand"));
        }
        // Change what the default rules send.
        let mut is_new = false;
        let changed = cx.edit(inner.handle(cx, event), |call| {
            if call.matches("POST omneo /profiles") {
                call.edit(|profile| profile["title"] = json!("VIP"));
                is_new = true;
            }
        });
        let end = changed.await?;
        // Add a call, but not for every event: each write causes another event.
        if let Some(profile) = cx.learned("omneo/profile/").filter(|_| is_new) {
            let path = format!("/profiles/{profile}/attributes/custom/my_plugin:since");
            let since = json!({"type": "string", "value": event.occurred_at});
            cx.omneo(put(path, since)).await?.ok("noting since when")?;
        }
        Ok(end)
    }
}

tandem_sdk::export!(Around<MyPlugin>);

#[cfg(test)]
mod tests {
    use super::*;

    fn shopify(topic: &str, payload: Value) -> Event {
        Event {
            topic: topic.into(),
            payload: payload.to_string(),
            ..event()
        }
    }

    #[test]
    fn products_are_taken_down_by_hand() {
        let event = shopify("products/delete", json!({"id": 7}));
        let rules = Around::<MyPlugin>::default();
        let (calls, end) = converse(&rules, &event, &[], |call| panic!("{}", call.line()));
        assert_eq!((calls.len(), end.outcome), (0, Outcome::Skipped));
    }

    #[test]
    fn a_new_profile_is_told_from_an_old_one() {
        let event = shopify(
            "customers/create",
            json!({"id": 7, "email": "ada@lovelace.dev"}),
        );
        let customer = json!({"id": "gid://shopify/Customer/7", "tags": [],
            "createdAt": "2026-01-02T03:04:05Z", "updatedAt": "2026-01-02T03:04:05Z",
            "defaultEmailAddress": {"emailAddress": "ada@lovelace.dev", "marketingState": "NOT_SUBSCRIBED"}});
        let profile = json!({"id": "2b1c", "email": "ada@lovelace.dev", "first_name": null, "last_name": null,
            "mobile_phone": null, "tags": [], "identities": [{"handle": "shopify", "identifier": "7"}],
            "attributes": {"comms": {"email_promo": null, "sms_promo": null}}, "updated_at": "2026-01-02 03:04:06"});
        let rules = Around::<MyPlugin>::default();
        let (calls, end) = converse(&rules, &event, &[], |call| match &*call.line() {
            "GRAPHQL shopify Person" => reply(200, json!({"data": {"customer": customer}})),
            "POST omneo /profiles/search-id" => reply(404, json!({})),
            "POST omneo /profiles/availability" => {
                reply(200, json!({"data": {"email": {"available": true}}}))
            }
            "POST omneo /profiles" => reply(201, json!({"data": profile})),
            "GRAPHQL shopify Loyalty" => {
                reply(200, json!({"data": {"metafieldsSet": {"userErrors": []}}}))
            }
            "PUT omneo /profiles/2b1c/attributes/custom/my_plugin:since" => reply(200, json!({})),
            unexpected => panic!("{unexpected}"),
        });
        assert_eq!(end.outcome, Outcome::Done, "{}", end.reason);
        assert!(
            calls
                .last()
                .unwrap()
                .matches("PUT omneo /profiles/*/attributes/custom/*")
        );
    }
}
