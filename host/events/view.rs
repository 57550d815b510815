//! What is told of an event: the same to people, over the admin API, and by a command that has asked there.
//!
//! Knows rows of the journal and the shape of an answer; not how it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock;
use crate::journal::{AttemptRow, CallRow, EventRow, RunRow};
use crate::model::{Reply, Request};

/// Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub id: i64,
    pub tenant: String,
    pub source: String,
    pub topic: String,
    /// The id that its sender gave the delivery, if it gives any.
    pub delivery_id: Option<String>,
    pub occurred_at: String,
    pub received_at: String,
    /// What it is about: `shopify/customer/7`.
    pub names: Vec<String>,
    /// `done`, `skipped`, `refused`, `invalid`, `failed` or `discarded`; absent while it is not over.
    pub outcome: Option<String>,
    /// Whose fault: `payload`, `plugin`, `peer` or `host`.
    pub blame: Option<String>,
    pub reason: Option<String>,
    /// The digest of the rules that ended it.
    pub version: Option<String>,
    pub ended_at: Option<String>,
    pub redacted_at: Option<String>,
    /// Calls of its last run; 0 where the runs are told themselves.
    pub calls: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventInFull {
    #[serde(flatten)]
    pub event: Event,
    /// As it was received.
    pub payload: String,
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    pub version: String,
    /// `open`, `ended` or `dropped`.
    pub state: String,
    pub begun_at: String,
    pub asks: u64,
    pub fuel: u64,
    pub log: Option<String>,
    pub calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    pub pass: usize,
    /// `PUT omneo /profiles/2b1c`.
    pub call: String,
    /// JSON as text: a body, or the variables of GraphQL.
    pub body: String,
    /// The document, if it is GraphQL.
    pub document: Option<String>,
    /// The status of the answer; absent while there is none, or where nobody knows how the call ended.
    pub status: Option<u16>,
    /// The body of the answer, or why nobody knows.
    pub reply: Option<String>,
    pub attempts: Vec<Attempt>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    pub began_at: String,
    pub ended_at: Option<String>,
    pub outcome: Option<String>,
}

impl From<&EventRow> for Event {
    fn from(row: &EventRow) -> Self {
        let webhook = &row.event.webhook;
        Self {
            id: row.event.id.0,
            tenant: webhook.tenant.clone(),
            source: webhook.source.clone(),
            topic: webhook.topic.clone(),
            delivery_id: webhook.delivery_id.clone(),
            occurred_at: webhook.occurred_at.clone(),
            received_at: clock::rfc3339(webhook.received_at),
            names: row.names.clone(),
            outcome: row.outcome.clone(),
            blame: row.blame.clone(),
            reason: row.reason.clone(),
            version: row.version.clone(),
            ended_at: row.ended_at.map(clock::rfc3339),
            redacted_at: row.redacted_at.map(clock::rfc3339),
            calls: row.calls,
        }
    }
}

impl EventInFull {
    pub fn of(row: EventRow, runs: Vec<RunRow>) -> Self {
        let event = Event::from(&row);
        Self { event, payload: row.event.webhook.payload, runs: runs.into_iter().map(Run::from).collect() }
    }
}

impl From<RunRow> for Run {
    fn from(row: RunRow) -> Self {
        Self {
            version: row.version,
            state: row.state,
            begun_at: clock::rfc3339(row.begun_at),
            asks: row.asks,
            fuel: row.fuel,
            log: row.log,
            calls: row.calls.into_iter().map(Call::from).collect(),
        }
    }
}

impl From<CallRow> for Call {
    fn from(row: CallRow) -> Self {
        let (status, reply) = match row.reply {
            Some(Reply::Answer(answer)) => (Some(answer.status), Some(answer.body)),
            Some(Reply::Unknown(why)) => (None, Some(why)),
            None => (None, None),
        };
        let document = match &row.call.request {
            Request::Graphql { document, .. } => Some(document.clone()),
            Request::Rest { .. } => None,
        };
        Self {
            pass: row.pass,
            call: row.call.line(),
            body: row.call.body().to_owned(),
            document,
            status,
            reply,
            attempts: row.attempts.into_iter().map(Attempt::from).collect(),
        }
    }
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            began_at: clock::rfc3339(row.began_at),
            ended_at: row.ended_at.map(clock::rfc3339),
            outcome: row.outcome,
        }
    }
}
