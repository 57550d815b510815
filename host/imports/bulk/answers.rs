//! What is said to Shopify of a job, and what its answers mean. Pure.

use serde_json::{Value, json};

use crate::model::{Answer, Call, Effect, Millis, Request};

/// How long a job may take, and how long others may keep it from beginning.
pub const JOB_MS_MAX: Millis = 24 * 3_600_000;
pub const BUSY_MS_MAX: Millis = 6 * 3_600_000;
/// The pauses between two looks at a job: a quarter of the time that it has taken so far, within these bounds.
const LOOK_MS: (Millis, Millis) = (500, 60_000);
/// Characters of what Shopify says that people are shown.
const SAID_CHARS_MAX: usize = 300;

pub const RUN: &str = "mutation BulkRun($query: String!) { bulkOperationRunQuery(query: $query, groupObjects: true) { \
     bulkOperation { id } userErrors { field message code } } }";
pub const LOOK: &str = "query BulkLook($id: ID!) { bulkOperation(id: $id) { status errorCode objectCount rootObjectCount \
     fileSize url } }";
pub const CANCEL: &str =
    "mutation BulkCancel($id: ID!) { bulkOperationCancel(id: $id) { userErrors { field message } } }";

/// What became of a request to run a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    Runs(String),
    /// So many others run that this one has to wait.
    Busy(String),
    /// The query is wrong, which the rules have made.
    Wrong(String),
    /// Shopify does not do it, as this says.
    Refused(String),
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Runs,
    Whole(Said),
    /// It found nothing.
    Empty,
    /// It is over, and there is no whole file. Another one may go better.
    Lost(String),
    /// Shopify does not do it, as this says.
    Refused(String),
}

/// What Shopify says of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub url: String,
    pub bytes: Option<u64>,
    pub lines: u64,
    pub items: Option<u64>,
}

/// Asks for a job. One that is asked for twice because an answer was lost does no harm: it is not read.
pub fn run(query: &str) -> Call {
    call(RUN, &json!({ "query": query }))
}

pub fn look(id: &str) -> Call {
    call(LOOK, &json!({ "id": id }))
}

pub fn cancel(id: &str) -> Call {
    call(CANCEL, &json!({ "id": id }))
}

fn call(document: &str, variables: &Value) -> Call {
    let request = Request::Graphql { document: document.to_owned(), variables: variables.to_string() };
    Call { target: "shopify".into(), request, effect: Effect::Read }
}

pub fn begun(answer: &Answer) -> Begun {
    let body = match data(answer) {
        Ok(body) => body,
        Err(why) => return Begun::Refused(format!("Shopify does not run the job: {why}")),
    };
    let payload = &body["bulkOperationRunQuery"];
    if let Some(id) = payload["bulkOperation"]["id"].as_str().filter(|id| !id.is_empty()) {
        return Begun::Runs(id.to_owned());
    }
    let errors: Vec<&Value> = payload["userErrors"].as_array().into_iter().flatten().collect();
    let is =
        |codes: &[&str]| errors.iter().any(|error| error["code"].as_str().is_some_and(|code| codes.contains(&code)));
    let said: Vec<_> = errors.iter().map(|error| error["message"].as_str().unwrap_or("no message")).collect();
    let said = short(&said.join("; "));
    if is(&["OPERATION_IN_PROGRESS", "LIMIT_REACHED"]) {
        Begun::Busy(said)
    } else if errors.is_empty() {
        Begun::Refused("Shopify answers neither with a job nor with an error".into())
    } else {
        Begun::Wrong(format!("Shopify refuses the job's query: {said}"))
    }
}

pub fn status(answer: &Answer) -> Status {
    let body = match data(answer) {
        Ok(body) => body,
        Err(why) => return Status::Refused(format!("Shopify does not say how the job stands: {why}")),
    };
    let job = &body["bulkOperation"];
    let lost = |why: String| Status::Lost(format!("the job {why}"));
    let (lines, url) = (count(&job["objectCount"]), job["url"].as_str().filter(|url| !url.is_empty()));
    match job["status"].as_str() {
        None => lost("is not known to Shopify any more".into()),
        Some("CREATED" | "RUNNING" | "CANCELING") => Status::Runs,
        Some("COMPLETED") => match (url, lines) {
            (Some(url), Some(lines)) => Status::Whole(Said {
                url: url.to_owned(),
                bytes: count(&job["fileSize"]),
                lines,
                items: count(&job["rootObjectCount"]),
            }),
            // Without an address, a count is the mark of a file that was lost.
            (None, Some(0)) => Status::Empty,
            (None, Some(lines)) => lost(format!("found {lines} objects and has no file of them")),
            (_, None) => lost("does not say how many objects it found".into()),
        },
        Some("CANCELED") => lost("was cancelled by Shopify, or by somebody with the app's token".into()),
        Some("EXPIRED") => lost("is so old that its file is gone".into()),
        Some("FAILED") => match job["errorCode"].as_str() {
            Some("ACCESS_DENIED") => Status::Refused(
                "Shopify has denied the job the access to something that it reads\nhint: see that the app has the scopes of `tandem inspect`, and is approved for the data of customers"
                    .into(),
            ),
            // What was read until then, at `partialDataUrl`, would pass for everything.
            code => lost(format!("failed ({})", code.unwrap_or("no code"))),
        },
        Some(other) => lost(format!("has the status `{}`, which is not known here", short(other))),
    }
}

/// How long to wait before the job is looked at again that runs for so long.
pub fn look_after(ran_ms: Millis) -> u64 {
    (ran_ms / 4).clamp(LOOK_MS.0, LOOK_MS.1).unsigned_abs()
}

/// The data of an answer; otherwise what it says in its place.
fn data(answer: &Answer) -> Result<Value, String> {
    if !(200..300).contains(&answer.status) {
        return Err(format!("it answers {} {}", answer.status, short(&answer.body)).trim_end().to_owned());
    }
    let mut body: Value = serde_json::from_str(&answer.body).map_err(|_| "its answer is not JSON".to_owned())?;
    let errors = body["errors"].as_array().filter(|errors| !errors.is_empty());
    if let Some(errors) = errors {
        let said: Vec<_> = errors.iter().map(|error| error["message"].as_str().unwrap_or("no message")).collect();
        return Err(short(&said.join("; ")));
    }
    Ok(body["data"].take())
}

/// Shopify writes its counts as texts.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &Value) -> Answer {
        Answer { status: 200, headers: vec![], body: body.to_string() }
    }

    #[test]
    fn a_job_runs_waits_or_is_refused() {
        let said = |errors: Value, job: Value| {
            begun(&answer(
                &json!({ "data": { "bulkOperationRunQuery": { "bulkOperation": job, "userErrors": errors } } }),
            ))
        };
        let error = |code: Value| json!([{ "field": null, "message": "already: gid://1, gid://2", "code": code }]);
        assert_eq!(said(json!([]), json!({ "id": "gid://7" })), Begun::Runs("gid://7".into()));
        for code in ["OPERATION_IN_PROGRESS", "LIMIT_REACHED"] {
            let busy = Begun::Busy("already: gid://1, gid://2".into());
            assert_eq!(said(error(json!(code)), Value::Null), busy);
        }
        let wrong = Begun::Wrong("Shopify refuses the job's query: already: gid://1, gid://2".into());
        assert_eq!(said(error(json!("INVALID")), Value::Null), wrong);
        assert_eq!(said(error(Value::Null), Value::Null), wrong);
        assert!(matches!(said(json!([]), Value::Null), Begun::Refused(_)));
        let denied = json!({ "errors": [{ "message": "Access denied", "extensions": { "code": "ACCESS_DENIED" } }] });
        let why = "Shopify does not run the job: Access denied";
        assert_eq!(begun(&answer(&denied)), Begun::Refused(why.into()));
        let html = Answer { status: 403, headers: vec![], body: "<html>\n".into() };
        assert_eq!(begun(&html), Begun::Refused("Shopify does not run the job: it answers 403 <html>".into()));
        assert!(matches!(begun(&Answer { status: 200, ..html }), Begun::Refused(why) if why.contains("not JSON")));
    }

    #[test]
    fn only_a_job_that_is_complete_has_a_file() {
        let said = |job: Value| status(&answer(&json!({ "data": { "bulkOperation": job } })));
        let job = |status: &str, code: Value, lines: &str, url: Value| {
            json!({ "status": status, "errorCode": code, "objectCount": lines, "rootObjectCount": "2", "fileSize": "9",
                "url": url, "partialDataUrl": "https://half" })
        };
        let url = || json!("https://whole");
        let whole = Said { url: "https://whole".into(), bytes: Some(9), lines: 3, items: Some(2) };
        assert_eq!(said(job("COMPLETED", Value::Null, "3", url())), Status::Whole(whole));
        assert_eq!(said(job("COMPLETED", Value::Null, "0", Value::Null)), Status::Empty);
        for running in ["CREATED", "RUNNING", "CANCELING"] {
            assert_eq!(said(job(running, Value::Null, "3", Value::Null)), Status::Runs);
        }
        for (job, why) in [
            (job("COMPLETED", Value::Null, "3", Value::Null), "found 3 objects and has no file of them"),
            (job("COMPLETED", Value::Null, "many", url()), "does not say how many objects it found"),
            (job("FAILED", json!("TIMEOUT"), "3", Value::Null), "failed (TIMEOUT)"),
            (job("FAILED", Value::Null, "3", url()), "failed (no code)"),
            (job("CANCELED", Value::Null, "3", url()), "was cancelled by Shopify, or by somebody with the app's token"),
            (job("EXPIRED", Value::Null, "3", Value::Null), "is so old that its file is gone"),
            (job("DREAMING", Value::Null, "3", url()), "has the status `DREAMING`, which is not known here"),
            (Value::Null, "is not known to Shopify any more"),
        ] {
            assert_eq!(said(job), Status::Lost(format!("the job {why}")));
        }
        assert!(matches!(said(job("FAILED", json!("ACCESS_DENIED"), "0", Value::Null)), Status::Refused(_)));
        let failed = Answer { status: 404, headers: vec![], body: String::new() };
        let why = "Shopify does not say how the job stands: it answers 404";
        assert_eq!(status(&failed), Status::Refused(why.into()));
    }

    #[test]
    fn a_job_is_looked_at_less_and_less_often() {
        let waits: Vec<_> = [-5, 0, 1_000, 4_000, 60_000, JOB_MS_MAX].map(look_after).into();
        assert_eq!(waits, [500, 500, 500, 1_000, 15_000, 60_000]);
    }
}
