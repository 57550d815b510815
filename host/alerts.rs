//! Alerts: looks regularly for what somebody should know of, logs it, and posts it where `[alerts]` says.
//!
//! Knows when to look; `look` knows where, `book` what is told of it, and `post` how.

use tokio::sync::watch;

use crate::client::Client;
use crate::clock;
use crate::config::Alerts;

mod book;
mod look;
mod post;

pub use book::{Alert, Book, Kind, NOTES_PER_HOUR_MAX, Note, OPEN_MAX, State};
pub use look::Look;

use post::Posts;

/// Runs until the host stops.
pub async fn run(look: Look, Alerts { every, post }: Alerts, client: Client, mut stopping: watch::Receiver<bool>) {
    let posts = Posts::start(post, client);
    let mut book = Book::default();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(every) => {}
        }
        let found = match look.look().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("alerts were not looked for: {error:#}");
                continue;
            }
        };
        let now = clock::now();
        for note in book.look(now, found) {
            log(&note);
            posts.post(&note, now);
        }
        match book.left_out() {
            0 => {}
            n => tracing::warn!("{n} more alerts are not told: {NOTES_PER_HOUR_MAX} of an hour, {OPEN_MAX} at a time"),
        }
    }
}

/// The cause of a dead letter may hold what is personal, and the log holds no such thing: it has the kind and whose it is.
fn log(Note { state, alert, since }: &Note) {
    let (tenant, kind, since) =
        (alert.tenant.as_deref().unwrap_or_default(), alert.kind.name(), clock::rfc3339(*since));
    match state {
        State::Firing | State::Still => tracing::warn!(tenant, kind, since, "alert\nhint: {}", alert.hint),
        State::Resolved => tracing::info!(tenant, kind, since, "alert is over"),
    }
}
