//! Bulk operations: queries over a whole shop that run by themselves and leave a file behind.
//! Knows nothing of how the file travels; a test says beforehand what goes wrong with the next ones.

mod export;
mod validate;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::graphql::Failed;
use super::problem::{Problem, refused};
use super::schema::Schema;
use super::store::Store;
use super::webhooks::gid;
use crate::clock;
use export::Export;

/// Recorded answer: of one app in one shop.
const AT_ONCE_MAX: usize = 5;
/// Recorded answer.
const QUERY_BYTES_MAX: usize = 65_535;
/// Shopify docs: seven days.
const URL_MS: i64 = 7 * 86_400_000;
/// How long one is only created, and how long one takes to be cancelled, by the stand-in's clock.
const STEP_MS: i64 = 1_000;

/// What goes wrong with a bulk operation. Each is asked for with [`Shopify::next_bulk`](crate::Shopify::next_bulk).
#[derive(Clone, Debug, PartialEq)]
pub enum BulkFault {
    /// It is not begun; this is the user error's message.
    Refused(String),
    /// It ends as `FAILED` with this code (`ACCESS_DENIED`, `INTERNAL_SERVER_ERROR` or `TIMEOUT`) and without a file.
    Failed(&'static str),
    /// The same, with so many of a hundred lines at `partialDataUrl`.
    HalfThere(&'static str, u8),
    /// Shopify ends it as `CANCELED`. As recorded, there is an address all the same, of what was read until then.
    Cancelled,
    /// The address has expired already when it is told.
    ExpiredUrl,
    /// `COMPLETED`, with a count and no address.
    NoUrl,
    /// `COMPLETED`, with a count and an empty file.
    Empty,
    /// `COMPLETED`; the file ends in the middle of its last line.
    CutOff,
    /// Children stand apart from their parents, though it was asked to group them.
    NotGrouped,
    /// It runs for so many milliseconds of the stand-in's clock at least.
    Slow(i64),
}

/// The bulk operations of a shop.
pub(crate) struct Bulk {
    operations: Vec<Operation>,
    pub faults: VecDeque<BulkFault>,
    /// How many things are read with each request that comes in meanwhile, so that none of them takes long.
    at_once: usize,
    /// `http://127.0.0.1:PORT`.
    pub site: String,
}

struct Operation {
    id: u64,
    /// As [`Subscription::app`](super::model::Subscription::app).
    app: Option<String>,
    query: String,
    fault: Option<BulkFault>,
    status: Status,
    error_code: Option<&'static str>,
    created_ms: i64,
    completed_ms: Option<i64>,
    /// When somebody asked for its end.
    cancelled_ms: i64,
    export: Export,
    /// Where the file is, below the site; and until when.
    key: String,
    expires_ms: i64,
    shown: Shown,
    file: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Created,
    Running,
    Canceling,
    Canceled,
    Completed,
    Failed,
}

/// Which address leads to the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nowhere,
    Url,
    Partial,
}

impl Status {
    fn is_over(self) -> bool {
        matches!(self, Status::Canceled | Status::Completed | Status::Failed)
    }

    fn word(self) -> &'static str {
        match self {
            Status::Created => "CREATED",
            Status::Running => "RUNNING",
            Status::Canceling => "CANCELING",
            Status::Canceled => "CANCELED",
            Status::Completed => "COMPLETED",
            Status::Failed => "FAILED",
        }
    }
}

impl Bulk {
    pub fn new(at_once: usize) -> Bulk {
        Bulk { operations: Vec::new(), faults: VecDeque::new(), at_once, site: String::new() }
    }

    /// `bulkOperationRunQuery`.
    pub fn run(&mut self, schema: &Schema, store: &mut Store, arguments: &Map<String, Value>) -> Value {
        let query = arguments["query"].as_str().unwrap_or_default();
        let problem = |message: String| Problem::new(&["query"], message, "INVALID");
        if query.len() > QUERY_BYTES_MAX {
            let message = format!("Query is too large ({} bytes; maximum is {QUERY_BYTES_MAX} bytes)", query.len());
            return refused("bulkOperation", &[problem(message)]);
        }
        let problems: Vec<_> = validate::problems(schema, query).into_iter().map(problem).collect();
        if !problems.is_empty() {
            return refused("bulkOperation", &problems);
        }
        let app = of_whom(store);
        let busy = self.operations.iter().filter(|one| one.app == app && !one.status.is_over());
        let busy: Vec<_> = busy.map(|one| gid("BulkOperation", one.id)).collect();
        if busy.len() >= AT_ONCE_MAX {
            let running = busy.join(", ");
            let message = format!("A bulk query operation for this app and shop is already in progress: {running}.");
            return refused("bulkOperation", &[Problem { field: None, message, code: Some("OPERATION_IN_PROGRESS") }]);
        }
        let fault = self.faults.pop_front();
        if let Some(BulkFault::Refused(message)) = fault {
            return refused("bulkOperation", &[problem(message)]);
        }
        let is_grouped =
            arguments.get("groupObjects") == Some(&Value::Bool(true)) && fault != Some(BulkFault::NotGrouped);
        let id = store.next_id();
        let operation = Operation {
            id,
            app,
            query: query.to_owned(),
            fault,
            status: Status::Created,
            error_code: None,
            created_ms: store.now_ms,
            completed_ms: None,
            cancelled_ms: 0,
            export: Export::new(is_grouped),
            key: crate::uuid(&mut fastrand::Rng::with_seed(id)).replace('-', ""),
            expires_ms: 0,
            shown: Shown::Nowhere,
            file: None,
        };
        let view = operation.view(&self.site, store.now_ms);
        self.operations.push(operation);
        json!({ "bulkOperation": view, "userErrors": [] })
    }

    /// `bulkOperationCancel`: what runs is on its way to its end, and holds its place until then.
    pub fn cancel(&mut self, store: &Store, id: &str) -> Value {
        let app = of_whom(store);
        let found = self.operations.iter_mut().find(|one| one.app == app && gid("BulkOperation", one.id) == id);
        let Some(operation) = found else {
            let field = Some(vec!["id".to_owned()]);
            return refused(
                "bulkOperation",
                &[Problem { field, message: "Bulk operation does not exist".to_owned(), code: None }],
            );
        };
        let mut problems = Vec::new();
        if operation.status.is_over() {
            let state = operation.status.word().to_lowercase();
            let message = format!("A bulk operation cannot be canceled when it is {state}");
            problems.push(json!({ "field": null, "message": message }));
        } else if operation.status != Status::Canceling {
            operation.status = Status::Canceling;
            operation.cancelled_ms = store.now_ms;
        }
        json!({ "bulkOperation": operation.view(&self.site, store.now_ms), "userErrors": problems })
    }

    /// The operation with this gid, as GraphQL shows it.
    pub fn shown(&self, store: &Store, id: &str) -> Result<Value, Failed> {
        if !id.starts_with("gid://shopify/BulkOperation/") {
            return Err(Failed { message: format!("Invalid id: {id}"), code: "RESOURCE_NOT_FOUND" });
        }
        let app = of_whom(store);
        let found = self.operations.iter().find(|one| one.app == app && gid("BulkOperation", one.id) == id);
        Ok(found.map(|one| one.view(&self.site, store.now_ms)).into())
    }

    /// Lets all operations go on for a while; those that end tell of it.
    pub fn advance(&mut self, schema: &Schema, store: &mut Store) {
        for operation in self.operations.iter_mut().filter(|one| !one.status.is_over()) {
            operation.advance(schema, store, self.at_once);
            if operation.status.is_over() {
                let body = operation.webhook(store.facts.offset_minutes);
                store.events.push(("bulk_operations/finish".to_owned(), body));
            }
        }
    }

    /// What is found at an address of a file: its lines, or the status and code of a refusal.
    pub fn file(&self, now_ms: i64, path: &str, query: &[(String, String)]) -> Result<Arc<str>, (u16, &'static str)> {
        let given = |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let Some(operation) = self.operations.iter().find(|one| one.path() == path) else {
            return Err((404, "NoSuchKey"));
        };
        let is_signed = given("Signature") == operation.signature() && given("Expires") == operation.expires();
        match &operation.file {
            _ if !is_signed => Err((403, "SignatureDoesNotMatch")),
            _ if now_ms >= operation.expires_ms => Err((400, "ExpiredToken")),
            Some(file) => Ok(Arc::clone(file)),
            None => Err((404, "NoSuchKey")),
        }
    }
}

/// Operations are their app's own.
fn of_whom(store: &Store) -> Option<String> {
    store.acting.as_ref().map(|acting| acting.client_id.clone())
}

impl Operation {
    fn advance(&mut self, schema: &Schema, store: &Store, at_once: usize) {
        match self.status {
            Status::Canceling if store.now_ms >= self.cancelled_ms + STEP_MS => {
                self.end(Status::Canceled, store.now_ms)
            }
            Status::Created if store.now_ms >= self.created_ms + STEP_MS => self.status = Status::Running,
            _ => {}
        }
        if self.status != Status::Running {
            return;
        }
        self.export.go_on(schema, store, &self.query, at_once);
        let waits = match self.fault {
            Some(BulkFault::Slow(ms)) => store.now_ms < self.created_ms + ms,
            _ => false,
        };
        if waits || !self.export.is_done() {
            return;
        }
        let status = match &self.fault {
            Some(BulkFault::Failed(code) | BulkFault::HalfThere(code, _)) => {
                self.error_code = Some(*code);
                Status::Failed
            }
            Some(BulkFault::Cancelled) => Status::Canceled,
            _ => Status::Completed,
        };
        self.end(status, store.now_ms);
    }

    fn end(&mut self, status: Status, now_ms: i64) {
        self.status = status;
        self.completed_ms = (status != Status::Canceled).then_some(now_ms);
        self.expires_ms = if self.fault == Some(BulkFault::ExpiredUrl) { now_ms } else { now_ms + URL_MS };
        let lines = self.export.take();
        let percent = match self.fault {
            Some(BulkFault::HalfThere(_, percent)) => usize::from(percent),
            Some(BulkFault::Cancelled) => 50,
            _ => 100,
        };
        let mut text: String = lines[..lines.len() * percent / 100].concat();
        match self.fault {
            Some(BulkFault::Empty) => text.clear(),
            Some(BulkFault::CutOff) => {
                let last = lines.last().map_or(0, String::len);
                let cut = (0..=text.len().saturating_sub(last / 2 + 1)).rev().find(|at| text.is_char_boundary(*at));
                text.truncate(cut.unwrap_or_default());
            }
            _ => {}
        }
        self.shown = match (&self.fault, status) {
            (Some(BulkFault::Failed(_) | BulkFault::NoUrl), _) => Shown::Nowhere,
            (_, Status::Failed) => Shown::Partial,
            _ if self.export.objects == 0 => Shown::Nowhere,
            _ => Shown::Url,
        };
        self.file = (self.shown != Shown::Nowhere).then(|| text.into());
    }

    fn view(&self, site: &str, now_ms: i64) -> Value {
        let url = format!(
            "{site}{}?GoogleAccessId=assets%40standin.iam.gserviceaccount.com&Expires={}&Signature={}",
            self.path(),
            self.expires(),
            self.signature()
        );
        let is_expired = self.status == Status::Completed
            && self.file.is_some()
            && now_ms >= self.completed_ms.unwrap_or_default() + URL_MS;
        let size = self.file.as_ref().filter(|_| self.status == Status::Completed).map(|file| file.len().to_string());
        json!({
            "__typename": "BulkOperation",
            "completedAt": self.completed_ms.map(clock::utc),
            "createdAt": clock::utc(self.created_ms),
            "errorCode": self.error_code,
            "fileSize": size,
            "id": gid("BulkOperation", self.id),
            "objectCount": self.export.objects.to_string(),
            "partialDataUrl": (self.shown == Shown::Partial).then_some(&url),
            "query": self.query,
            "rootObjectCount": self.export.roots.to_string(),
            "status": if is_expired { "EXPIRED" } else { self.status.word() },
            "type": "QUERY",
            "url": (self.shown == Shown::Url).then_some(&url),
        })
    }

    /// The body of `bulk_operations/finish`, small letters and all.
    fn webhook(&self, offset_minutes: i32) -> Value {
        json!({
            "admin_graphql_api_id": gid("BulkOperation", self.id),
            "completed_at": self.completed_ms.map(|ms| clock::local(ms, offset_minutes)),
            "created_at": clock::local(self.created_ms, offset_minutes),
            "error_code": self.error_code.map(str::to_lowercase),
            "status": self.status.word().to_lowercase(),
            "type": "query",
        })
    }

    fn path(&self) -> String {
        format!("/bulk-operation-outputs/{}-final", self.key)
    }

    fn expires(&self) -> String {
        self.expires_ms.div_euclid(1000).to_string()
    }

    /// Nobody can guess it who was not told the address.
    fn signature(&self) -> String {
        let mut random = fastrand::Rng::with_seed(self.id ^ self.expires_ms.unsigned_abs());
        (0..4).map(|_| crate::uuid(&mut random).replace('-', "")).collect()
    }
}
