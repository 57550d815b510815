//! The verb that replays recorded events through the live version. Knows no SQL and asks no rules.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::verbs::time;
use super::{Admin, Body, Kind, Of, Problem};
use crate::journal::{Chosen, Wanted};
use crate::model::{Effect, EventId};
use crate::repair::{Preview, Refused};
use crate::replay::{AskedAgain, Ends};

const OUTCOMES: [&str; 8] = ["waiting", "done", "skipped", "refused", "invalid", "failed", "discarded", "dead"];

/// Which events are meant, and what is to be done. Conditions that are absent do not matter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayWanted {
    /// These events.
    events: Option<Vec<i64>>,
    /// From this event to that one, both included.
    first: Option<i64>,
    last: Option<i64>,
    /// Those received then or later; RFC 3339.
    since: Option<String>,
    topic: Option<String>,
    /// `done`, `skipped`, `refused`, `invalid`, `failed`, `discarded`, or `dead`.
    outcome: Option<String>,
    /// Whether they begin again and their calls are sent, or are only compared with what was sent.
    #[serde(default)]
    send: bool,
    /// With `send`: only say what would be sent.
    #[serde(default)]
    dry_run: bool,
    /// With `send`: what the dry run gave. It stands for exactly these events and the live version.
    confirm: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// The digest of the live version.
    pub version: String,
    /// The events, in order of arrival.
    pub events: Vec<i64>,
    pub left_out: LeftOut,
    /// Whether they begin again.
    pub sent: bool,
    /// What is different from what was sent, if they are only compared: as the proof of a version has it.
    pub report: Option<Value>,
    /// What would be sent, of a dry run.
    pub preview: Option<ReplayPreview>,
    /// What to send them with, of a dry run.
    pub confirm: Option<String>,
}

/// Events that were meant and are not replayed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// Not over yet.
    pub waiting: Vec<i64>,
    /// Nothing is left of them.
    pub redacted: Vec<i64>,
    /// What the host does itself, it does once.
    pub own: Vec<i64>,
    /// Not in the journal.
    pub unknown: Vec<i64>,
}

/// With what is remembered now, and the replies of then.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplayPreview {
    /// Calls of all events, and those that write.
    pub calls: u64,
    pub writes: u64,
    /// Events of which more might be asked than is known: that hangs on replies that nobody has.
    pub open: u64,
    /// Events that would fail.
    pub failing: u64,
    /// The first 100.
    pub events: Vec<PreviewedEvent>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewedEvent {
    pub event: i64,
    /// Source and topic.
    pub topic: String,
    pub calls: Vec<PreviewedCall>,
    /// `done: …` as the rules end it, `failed: …`, or `open`.
    pub ending: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewedCall {
    /// `PUT omneo /profiles/2b1c`.
    pub call: String,
    /// JSON as text.
    pub body: String,
    pub writes: bool,
    /// Not sent: it may not be sent twice, and was answered before.
    pub answered: bool,
}

/// Replays recorded events through the live version. Comparing only, without `send`. With `send` each begins again as a new
/// run at the end of its lane, in two steps: a dry run says what would be sent and gives a `confirm` value, and sending takes
/// that. What is not over, redacted, or done by the host itself is left out. What may not be sent twice and was answered is
/// not sent again.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/replay", params(("tenant" = String, Path)), request_body = ReplayWanted,
    responses((status = 200, body = Replayed), (status = 400),
        (status = 404), (status = 409), (status = 422)))]
pub(super) async fn replay(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(asked): Body<ReplayWanted>,
) -> Result<Json<Replayed>, Problem> {
    let (send, dry_run, confirm) = (asked.send, asked.dry_run, asked.confirm.clone());
    let wanted = wanted(asked)?;
    let repair = &admin.0.repair;
    let replayed = match (send, dry_run) {
        (false, false) if confirm.is_none() => {
            let (chosen, report) = repair.compare(&tenant, wanted).await?;
            let report = serde_json::to_value(report).map_err(|error| Problem::own(error.into()))?;
            Replayed { report: Some(report), ..of(chosen) }
        }
        (false, _) => {
            let detail = "`dry_run` and `confirm` go with `\"send\": true`: comparing sends nothing";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        (true, true) => {
            let (chosen, preview) = repair.preview(&tenant, wanted).await?;
            let confirm = Some(chosen.confirm.clone());
            Replayed { preview: Some(previewed(preview)), confirm, ..of(chosen) }
        }
        (true, false) => Replayed { sent: true, ..of(repair.send(&tenant, wanted, confirm, &who.name).await?) },
    };
    Ok(Json(replayed))
}

fn wanted(asked: ReplayWanted) -> Result<Wanted, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadRequest, detail);
    let since = asked.since.map(|since| time(&since)).transpose()?;
    if let Some(outcome) = asked.outcome.as_ref().filter(|outcome| !OUTCOMES.contains(&outcome.as_str())) {
        return Err(bad(format!(
            "there is no outcome `{outcome}`: there are {}",
            OUTCOMES.map(|name| format!("`{name}`")).join(", ")
        )));
    }
    Ok(Wanted {
        events: asked.events.map(|events| events.into_iter().map(EventId).collect()),
        first: asked.first.map(EventId),
        last: asked.last.map(EventId),
        since,
        topic: asked.topic,
        outcome: asked.outcome,
    })
}

fn of(chosen: Chosen) -> Replayed {
    let ids = |events: Vec<EventId>| events.into_iter().map(|event| event.0).collect();
    let Chosen { version, events, waiting, redacted, own, unknown, confirm: _ } = chosen;
    let left_out = LeftOut { waiting: ids(waiting), redacted: ids(redacted), own: ids(own), unknown: ids(unknown) };
    Replayed { version, events: ids(events), left_out, sent: false, report: None, preview: None, confirm: None }
}

fn previewed(preview: Preview) -> ReplayPreview {
    let Preview { events, calls, writes, open, failing } = preview;
    let event = |AskedAgain { event, topic, calls, ends }: AskedAgain| PreviewedEvent {
        event: event.0,
        topic,
        calls: calls
            .into_iter()
            .map(|asked| PreviewedCall {
                call: asked.call.line(),
                body: asked.call.body().to_owned(),
                writes: asked.call.effect != Effect::Read,
                answered: asked.is_answered,
            })
            .collect(),
        ending: match ends {
            Ends::Over(outcome, reason) => format!("{}: {reason}", outcome.name()),
            Ends::Open => "open".into(),
            Ends::Failed(reason) => format!("failed: {reason}"),
        },
    };
    ReplayPreview { calls, writes, open, failing, events: events.into_iter().map(event).collect() }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::TooMany | Refused::Nothing(_) => Kind::Unfit,
            Refused::NoVersion | Refused::Unconfirmed | Refused::Moved => Kind::Conflict,
            Refused::Other(error) => return Self::own(error),
        };
        Self::new(status, refused.to_string())
    }
}
