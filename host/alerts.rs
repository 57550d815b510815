//! Alerts: looks regularly for what somebody should know of, logs it, and posts it where `[alerts]` says.
//!
//! Knows when to look; `look` knows where, `book` what is told of it, and `post` how.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::client::Client;
use crate::clock;
use crate::config::Alerts;

mod book;
mod look;
mod post;

pub use book::{Alert, Book, Found, Kind, Note, State};
pub use look::Look;

use post::Posts;

/// How soon after the start the first look comes: the host knows by then which targets are paused.
const FIRST: Duration = Duration::from_secs(5);

/// Runs until the host stops.
pub async fn run(look: Look, Alerts { every, post }: Alerts, client: Client, mut stopping: watch::Receiver<bool>) {
    let posts = Posts::start(post, client);
    // By a clock that only goes forward: the time of day may be set.
    let began = Instant::now();
    let at = || i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let mut book: Option<Book> = None;
    let (mut pause, mut said) = (every.min(FIRST), 0);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = sleep(pause) => {}
        }
        pause = every;
        if book.is_none() {
            match look.told().await {
                Ok(told) => book = Some(Book::of(told, at(), clock::now())),
                Err(error) => tracing::warn!("what was told of alerts before is not known: {error:#}"),
            }
        }
        let found = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            found = look.look() => found,
        };
        let now = clock::now();
        let turn = book.get_or_insert_default().look(at(), now, found);
        for note in &turn.notes {
            log(note);
            posts.post(note, now);
        }
        if turn.waiting > said {
            tracing::warn!(
                "{} more alerts wait to be told: an hour has room for so many, and a book too",
                turn.waiting
            );
        }
        said = turn.waiting;
        if let Err(error) = look.keep(turn).await {
            tracing::warn!("what was told of alerts is not kept: {error:#}");
        }
    }
}

/// The cause of a dead letter may hold what is personal, and the log holds no such thing: it has the kind and whose it is.
fn log(Note { state, alert, since, .. }: &Note) {
    let (tenant, kind, since) =
        (alert.tenant.as_deref().unwrap_or_default(), alert.kind.name(), clock::rfc3339(*since));
    match state {
        State::Firing | State::Still => tracing::warn!(tenant, kind, since, "alert\nhint: {}", alert.hint),
        State::Resolved => tracing::info!(tenant, kind, since, "alert is over"),
    }
}
