//! Posts what is to be told, signed as Standard Webhooks are. Knows no alert's meaning.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::book::{Note, State};
use crate::client::Client;
use crate::clock;
use crate::config::Post;
use crate::model::Millis;

/// Posts that wait: more are lost, and the log says so.
const WAITING_MAX: usize = 100;
/// After a post that was not taken; after the last it is given up: in all, an address may be out of reach for four hours.
const DELAYS: [Duration; 7] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1_800),
    Duration::from_secs(3_600),
    Duration::from_secs(7_200),
];

/// Where notes are posted to, one at a time.
pub struct Posts(Option<mpsc::Sender<Message>>);

#[derive(Debug)]
struct Message {
    id: String,
    /// The alert that it is about.
    alert: String,
    body: String,
}

impl Posts {
    /// Without an address nothing is posted. Ends when it is dropped.
    pub fn start(post: Option<Post>, client: Client) -> Self {
        let Some(post) = post else { return Self(None) };
        let (send, messages) = mpsc::channel::<Message>(WAITING_MAX);
        tokio::spawn(deliver(client, post, messages));
        Self(Some(send))
    }

    pub fn post(&self, note: &Note, now: Millis) {
        let Some(send) = &self.0 else { return };
        let id = format!("msg_{:032x}", fastrand::u128(..));
        if send.try_send(Message { id, alert: note.id.clone(), body: body(note, now) }).is_err() {
            tracing::warn!("an alert is not posted: {WAITING_MAX} wait already");
        }
    }
}

async fn deliver(client: Client, post: Post, mut messages: mpsc::Receiver<Message>) {
    let mut line = Line::default();
    loop {
        let next = line.next();
        let due = async {
            match next {
                Some((_, due)) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = messages.recv(), if line.0.len() < WAITING_MAX => match message {
                Some(message) => line.add(message, Instant::now()),
                None => return,
            },
            () = due => {
                let Some((place, _)) = next else { continue };
                let taken = attempt(&client, &post, &line.0[place].message).await;
                line.attempted(place, taken, Instant::now());
            }
        }
    }
}

/// What became of an attempt.
#[derive(Debug)]
enum Taken {
    Yes,
    /// Another attempt may help.
    NotNow(String),
    /// No other attempt is answered otherwise.
    Never(String),
}

/// Time and signature are of the attempt: a receiver refuses what is old.
async fn attempt(client: &Client, post: &Post, message: &Message) -> Taken {
    let seconds = clock::now() / 1_000;
    let signature = signature(&post.key, &message.id, seconds, &message.body);
    let time = seconds.to_string();
    let headers =
        [("webhook-id", message.id.as_str()), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
    match client.post_json(&post.url, &headers, &message.body).await {
        Ok(status) => taken(status),
        Err(why) => Taken::NotNow(why),
    }
}

fn taken(status: u16) -> Taken {
    let why = format!("it answered {status}");
    match status {
        200..=299 => Taken::Yes,
        408 | 425 | 429 | 500.. => Taken::NotNow(why),
        _ => Taken::Never(why),
    }
}

/// What waits to be posted, in the order in which it came.
#[derive(Debug, Default)]
struct Line(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    message: Message,
    attempts: usize,
    due: Instant,
}

impl Line {
    fn add(&mut self, message: Message, now: Instant) {
        self.0.push(Waiting { message, attempts: 0, due: now });
    }

    /// The place of what is posted next, and when. One that is not taken keeps back what comes later of the same alert, and nothing
    /// else.
    fn next(&self) -> Option<(usize, Instant)> {
        let is_first = |place: &usize| {
            let alert = &self.0[*place].message.alert;
            !self.0[..*place].iter().any(|before| before.message.alert == *alert)
        };
        let first = (0..self.0.len()).filter(is_first).min_by_key(|place| self.0[*place].due)?;
        Some((first, self.0[first].due))
    }

    fn attempted(&mut self, place: usize, taken: Taken, now: Instant) {
        let waiting = &mut self.0[place];
        let delay = DELAYS.get(waiting.attempts);
        waiting.attempts += 1;
        match (taken, delay) {
            (Taken::Yes, _) => {}
            (Taken::NotNow(why), Some(delay)) => {
                tracing::warn!("an alert was not posted: {why}; tried again in {delay:?}");
                waiting.due = now + *delay;
                return;
            }
            (Taken::NotNow(why) | Taken::Never(why), _) => {
                tracing::error!("an alert could not be posted, and is given up: {why}");
            }
        }
        self.0.remove(place);
    }
}

/// `{"type": "alert.firing", "timestamp": …, "data": {…}}`.
fn body(Note { state, id, alert, since }: &Note, now: Millis) -> String {
    let kind = match state {
        State::Firing => "alert.firing",
        State::Still => "alert.still",
        State::Resolved => "alert.resolved",
    };
    let data = json!({
        "id": id, "alert": alert.kind.name(), "tenant": alert.tenant, "about": alert.about, "text": alert.text,
        "hint": alert.hint, "since": clock::rfc3339(*since),
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
    fn one_that_is_not_taken_keeps_back_only_what_is_about_the_same() {
        let (mut line, now) = (Line::default(), Instant::now());
        let message = |id: &str, alert: &str| Message { id: id.into(), alert: alert.into(), body: String::new() };
        for (id, alert) in [("1", "a"), ("2", "a"), ("3", "b")] {
            line.add(message(id, alert), now);
        }
        let next = |line: &Line| line.next().map(|(place, due)| (line.0[place].message.id.clone(), due - now));
        assert_eq!(next(&line), Some(("1".into(), Duration::ZERO)));
        line.attempted(0, taken(503), now);
        assert_eq!(next(&line), Some(("3".into(), Duration::ZERO)));
        let (place, _) = line.next().unwrap();
        line.attempted(place, taken(200), now);
        // The second is not posted before the first, and the first is given up in the end.
        for delay in DELAYS {
            assert_eq!(next(&line), Some(("1".into(), delay)));
            line.attempted(0, taken(429), now);
        }
        assert_eq!(next(&line), Some(("2".into(), Duration::ZERO)));
        // What is answered with this is answered so for ever.
        line.attempted(0, taken(410), now);
        assert!(line.next().is_none());
        for (status, again) in [(400, false), (301, false), (408, true), (500, true), (599, true)] {
            assert_eq!(matches!(taken(status), Taken::NotNow(_)), again, "{status}");
        }
    }

    #[test]
    fn a_body_says_what_is_wrong_since_when_and_what_to_do() {
        let alert = Alert {
            kind: Kind::TargetPaused,
            tenant: Some("acme".into()),
            about: "omneo".into(),
            text: "omneo of acme is sent no calls".into(),
            hint: "resume it".into(),
        };
        let note = Note { state: State::Resolved, id: "7f".into(), alert, since: 0 };
        let said: serde_json::Value = serde_json::from_str(&body(&note, 60_000)).unwrap();
        assert_eq!(
            said,
            json!({"type": "alert.resolved", "timestamp": "1970-01-01T00:01:00.000Z", "data": {
                "id": "7f", "alert": "target-paused", "tenant": "acme", "about": "omneo",
                "text": "omneo of acme is sent no calls", "hint": "resume it", "since": "1970-01-01T00:00:00.000Z"}})
        );
    }
}
