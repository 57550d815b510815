//! Checks whether a token opens an Omneo tenant, and reads what that tenant tells about itself. Changes nothing.

use serde_json::Value;

use super::ask::{Trouble, ask};
use super::documents;
use crate::client::Client;
use crate::config::Peer;

/// The setting that holds the secret of Omneo's webhooks. [INF]: Omneo's documentation does not say where to read the
/// secret; its SDK names this setting, and its PHP plugin verifies requests with it.
const SECRET_SETTING: &str = "app.request_key";

/// The secret that the Omneo tenant signs its webhooks with, if the token may read it.
pub async fn look_at_omneo(client: &Client, peer: &Peer) -> Result<Option<String>, Trouble> {
    let verified = ask(client, peer, &documents::verify(), "").await?;
    // Only the status 200 of this answer is documented, and any web page gives that too. So if the answer is not JSON,
    // the list of webhooks must be readable, or be refused because of its scope.
    if verified.is_null() {
        let is_omneo = match ask(client, peer, &documents::webhooks(1), "").await {
            Ok(listed) => listed.get("data").is_some_and(Value::is_array),
            Err(trouble) => trouble.denied,
        };
        if !is_omneo {
            let hint = "is it the address of Omneo's API: `https://api.acme.getomneo.com/api/v3`?".to_owned();
            return Err(Trouble { why: "what answers there is not Omneo".into(), hint: Some(hint), denied: false });
        }
    }
    // A token without the scope for settings is still valid.
    let settings = ask(client, peer, &documents::environment(), "").await.ok();
    Ok(settings.as_ref().and_then(secret))
}

/// Finds the secret in the settings: a map of names and values, which may be nested, or a list of pairs.
fn secret(settings: &Value) -> Option<String> {
    let data = settings.get("data").unwrap_or(settings);
    let (group, name) = SECRET_SETTING.split_once('.')?;
    let is_it = |entry: &&Value| ["key", "handle", "name"].iter().any(|field| entry[*field] == SECRET_SETTING);
    let listed = data.as_array().and_then(|all| all.iter().find(is_it)).map(|entry| &entry["value"]);
    let found = listed.or(data.get(SECRET_SETTING)).or(data.get(group).and_then(|group| group.get(name)))?;
    found.as_str().filter(|secret| !secret.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_secret_is_read_from_whichever_shape_the_settings_have() {
        for settings in [
            json!({ "data": { "app.request_key": "hush" } }),
            json!({ "data": { "app": { "request_key": "hush" } } }),
            json!({ "app": { "request_key": "hush" } }),
            json!({ "data": [{ "key": "app.name", "value": "A" }, { "key": "app.request_key", "value": "hush" }] }),
            json!([{ "handle": "app.request_key", "value": "hush" }]),
        ] {
            assert_eq!(secret(&settings).as_deref(), Some("hush"), "{settings}");
        }
        for settings in [
            json!(null),
            json!([]),
            json!({ "data": { "app.request_key": "" } }),
            json!({ "data": { "app.request_key": 7 } }),
            json!({ "data": { "app": "hush" } }),
            json!("hush"),
        ] {
            assert_eq!(secret(&settings), None, "{settings}");
        }
    }
}
