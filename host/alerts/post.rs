//! Posts what is to be told, signed as Standard Webhooks are. Knows no alert's meaning.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tokio::sync::mpsc;

use super::book::{Note, State};
use crate::client::Client;
use crate::clock;
use crate::config::Post;
use crate::model::Millis;

/// Posts that wait for one that is not taken: more are lost, and the log says so.
const WAITING_MAX: usize = 100;
/// After a post that was not taken; after the last it is given up.
const DELAYS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)];

/// Where notes are posted to, one after the other.
pub struct Posts(Option<mpsc::Sender<Message>>);

struct Message {
    id: String,
    at: Millis,
    body: String,
}

impl Posts {
    /// Without an address nothing is posted. Ends when it is dropped.
    pub fn start(post: Option<Post>, client: Client) -> Self {
        let Some(post) = post else { return Self(None) };
        let (send, mut messages) = mpsc::channel::<Message>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                deliver(&client, &post, &message).await;
            }
        });
        Self(Some(send))
    }

    pub fn post(&self, note: &Note, now: Millis) {
        let Some(send) = &self.0 else { return };
        let id = format!("msg_{:032x}", fastrand::u128(..));
        if send.try_send(Message { id, at: now, body: body(note, now) }).is_err() {
            tracing::warn!("an alert is not posted: {WAITING_MAX} wait already");
        }
    }
}

async fn deliver(client: &Client, post: &Post, message: &Message) {
    let signature = signature(&post.key, &message.id, message.at / 1_000, &message.body);
    let time = (message.at / 1_000).to_string();
    let headers =
        [("webhook-id", message.id.as_str()), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
    for delay in DELAYS.into_iter().map(Some).chain([None]) {
        let why = match client.post_json(&post.url, &headers, &message.body).await {
            Ok(200..=299) => return,
            Ok(status) => format!("it answered {status}"),
            Err(why) => why,
        };
        let Some(delay) = delay else {
            tracing::error!("an alert could not be posted, and is given up: {why}");
            return;
        };
        tracing::warn!("an alert was not posted: {why}; tried again in {delay:?}");
        tokio::time::sleep(delay).await;
    }
}

/// `{"type": "alert.firing", "timestamp": …, "data": {…}}`.
fn body(Note { state, alert, since }: &Note, now: Millis) -> String {
    let kind = match state {
        State::Firing => "alert.firing",
        State::Still => "alert.still",
        State::Resolved => "alert.resolved",
    };
    let data = json!({
        "alert": alert.kind.name(), "tenant": alert.tenant, "about": alert.about, "text": alert.text, "hint": alert.hint,
        "since": clock::rfc3339(*since),
    });
    json!({"type": kind, "timestamp": clock::rfc3339(now), "data": data}).to_string()
}

/// `webhook-signature`: HMAC-SHA256 of id, time and body with a `.` between them (Standard Webhooks 1.0).
fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(format!("{id}.{seconds}.{body}")));
    // HMAC takes a key of any length.
    mac.map(|mac| format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::book::{Alert, Kind};

    /// Of the specification's own libraries.
    #[test]
    fn a_post_is_signed_as_standard_webhooks_are() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let said = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(said, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_body_says_what_is_wrong_since_when_and_what_to_do() {
        let alert = Alert {
            kind: Kind::TargetPaused,
            tenant: Some("acme".into()),
            about: "omneo".into(),
            text: "omneo of acme is sent no calls".into(),
            hint: "resume it",
        };
        let note = Note { state: State::Resolved, alert, since: 0 };
        let said: serde_json::Value = serde_json::from_str(&body(&note, 60_000)).unwrap();
        assert_eq!(
            said,
            json!({"type": "alert.resolved", "timestamp": "1970-01-01T00:01:00.000Z", "data": {
                "alert": "target-paused", "tenant": "acme", "about": "omneo", "text": "omneo of acme is sent no calls",
                "hint": "resume it", "since": "1970-01-01T00:00:00.000Z"}})
        );
    }
}
