//! Version 0.1 of the contract, and how its words are those of the model. Knows nothing else.

use wasmtime::component::{ComponentType, Lower};

use crate::model;
use crate::rules;

mod bindings {
    wasmtime::component::bindgen!({ path: "wit/v0.1", world: "plugin", anyhow: true });
}

use bindings::exports::tandem::rules::rules as wit;
pub use bindings::exports::tandem::rules::rules::{Ask, Entity, Manifest, Next, Page, Problem, Pull, Reading};

/// What rules are given, borrowed: a payload is copied once, into the component.
#[derive(ComponentType, Lower)]
#[component(record)]
pub struct Event<'a> {
    source: &'a str,
    topic: &'a str,
    id: String,
    #[component(name = "occurred-at")]
    occurred_at: &'a str,
    #[component(name = "received-at")]
    received_at: String,
    #[component(name = "api-version")]
    api_version: &'a str,
    payload: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub enum Reply<'a> {
    #[component(name = "answer")]
    Answer(Answer<'a>),
    #[component(name = "unknown")]
    Unknown(&'a str),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub struct Answer<'a> {
    status: u16,
    headers: &'a [(String, String)],
    body: &'a str,
}

impl<'a> From<&'a model::Event> for Event<'a> {
    fn from(event: &'a model::Event) -> Self {
        let webhook = &event.webhook;
        Self {
            source: &webhook.source,
            topic: &webhook.topic,
            id: event.id.to_string(),
            occurred_at: &webhook.occurred_at,
            received_at: crate::clock::rfc3339(webhook.received_at),
            api_version: &webhook.api_version,
            payload: &webhook.payload,
        }
    }
}

impl From<Entity> for model::Entity {
    fn from(entity: Entity) -> Self {
        Self { names: entity.names, after: entity.after }
    }
}

impl From<wit::Names> for model::Names {
    fn from(names: wit::Names) -> Self {
        Self { learned: names.learned, retired: names.retired }
    }
}

impl<'a> From<&'a model::Reply> for Reply<'a> {
    fn from(reply: &'a model::Reply) -> Self {
        match reply {
            model::Reply::Answer(answer) => Self::Answer(answer.into()),
            model::Reply::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl From<Next> for model::Next {
    fn from(next: Next) -> Self {
        match next {
            Next::Send(send) => {
                Self::Send { calls: send.calls.into_iter().map(model::Call::from).collect(), names: send.names.into() }
            }
            Next::End(end) => Self::End(model::End {
                outcome: match end.outcome {
                    wit::Outcome::Done => model::Outcome::Done,
                    wit::Outcome::Skipped => model::Outcome::Skipped,
                    wit::Outcome::Refused => model::Outcome::Refused,
                    wit::Outcome::Invalid => model::Outcome::Invalid,
                },
                reason: end.reason,
                memory: end.memory,
                names: end.names.into(),
            }),
        }
    }
}

impl From<wit::Call> for model::Call {
    fn from(call: wit::Call) -> Self {
        Self {
            target: call.target,
            request: match call.request {
                wit::Request::Rest(rest) => model::Request::Rest {
                    method: match rest.method {
                        wit::Method::Get => model::Method::Get,
                        wit::Method::Post => model::Method::Post,
                        wit::Method::Put => model::Method::Put,
                        wit::Method::Patch => model::Method::Patch,
                        wit::Method::Delete => model::Method::Delete,
                    },
                    path: rest.path,
                    query: rest.query,
                    body: rest.body,
                },
                wit::Request::Graphql(graphql) => {
                    model::Request::Graphql { document: graphql.document, variables: graphql.variables }
                }
            },
            effect: match call.effect {
                wit::Effect::Read => model::Effect::Read,
                wit::Effect::Repeatable => model::Effect::Repeatable,
                wit::Effect::Once => model::Effect::Once,
            },
        }
    }
}

impl From<Manifest> for rules::Manifest {
    fn from(manifest: Manifest) -> Self {
        Self {
            name: manifest.name,
            version: manifest.version,
            listens: manifest.listens.into_iter().map(|topic| (topic.source, topic.name)).collect(),
            targets: manifest
                .targets
                .into_iter()
                .map(|target| rules::Target {
                    name: target.name,
                    api_version: target.api_version,
                    scopes: target.scopes,
                })
                .collect(),
            settings: manifest
                .settings
                .into_iter()
                .map(|setting| rules::Setting { at: setting.at, value: setting.value, fixed: setting.fixed })
                .collect(),
            pulls: vec![],
        }
    }
}

impl From<Problem> for rules::Problem {
    fn from(problem: Problem) -> Self {
        Self { at: problem.at, message: problem.message, fix: problem.fix }
    }
}

impl From<Pull> for rules::Pull {
    fn from(pull: Pull) -> Self {
        Self { name: pull.name, source: pull.source, caution: pull.caution, gone: pull.gone }
    }
}

impl<'a> From<&'a model::Answer> for Answer<'a> {
    fn from(model::Answer { status, headers, body }: &'a model::Answer) -> Self {
        Self { status: *status, headers, body }
    }
}

impl From<&rules::Reading> for Reading {
    fn from(reading: &rules::Reading) -> Self {
        let rules::Reading { pull, begun_at, since, names_only, bulk, cursor } = reading.clone();
        Self { pull, begun_at, since, names_only, bulk, cursor }
    }
}

impl From<Page> for rules::Page {
    fn from(page: Page) -> Self {
        let item = |item: wit::Item| rules::Item { at: item.at, name: item.name, clues: item.clues };
        Self { items: page.items.into_iter().map(item).collect(), next: page.next, total: page.total }
    }
}
