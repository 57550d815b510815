//! Whether what came back can be an answer to what was asked. Pure.
//!
//! A success that cannot be an answer, such as a page of a proxy, half a body or no body at all, counts as no answer,
//! as if the connection had broken. The rules are never told of it as a success, because nobody knows whether the
//! target has acted.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::{Call, Method, Request};

/// Statuses, beside success, by which a target says something about what was asked: it is missing, in conflict, or
/// wrong. Rules act on them, so a proxy's page with such a status must not pass for the target's word.
const VERDICTS: [u16; 4] = [404, 409, 410, 422];

/// The body as text, or why this is no answer.
///
/// Any other status is enough by itself, so its body is taken as it is.
pub fn text(call: &Call, status: u16, encoding: Option<&str>, body: Vec<u8>) -> Result<String, String> {
    if VERDICTS.contains(&status) {
        let body = String::from_utf8_lossy(&body).into_owned();
        return match rest(&body) {
            Ok(()) => Ok(body),
            Err(why) => Err(format!("{status} with a body that {why}")),
        };
    }
    if !(200..300).contains(&status) {
        return Ok(String::from_utf8_lossy(&body).into_owned());
    }
    if let Some(encoding) = encoding.filter(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        let encoding: String = encoding.chars().take(30).collect();
        return Err(format!("{status} with a body encoded as {encoding:?}, which was not asked for"));
    }
    let body = String::from_utf8(body).map_err(|_| format!("{status} with a body that is not UTF-8"))?;
    if body.trim().is_empty() {
        return if may_be_empty(call, status) { Ok(body) } else { Err(format!("{status} without a body")) };
    }
    match &call.request {
        Request::Graphql { .. } => graphql(&body),
        Request::Rest { .. } => rest(&body),
    }
    .map_err(|why| format!("{status} with a body that {why}"))?;
    Ok(body)
}

/// Whether a success may have no body. Omneo answers a DELETE with 204 and no body, by the tests of its own SDK, and a
/// 204 never has one. A read asks for something, so an empty body does not answer it; and GraphQL always says what it
/// did.
fn may_be_empty(call: &Call, status: u16) -> bool {
    match &call.request {
        Request::Graphql { .. } => false,
        Request::Rest { method: Method::Delete, .. } => true,
        Request::Rest { method: Method::Get, .. } => false,
        Request::Rest { .. } => status == 204,
    }
}

/// Every answer of Omneo's REST API is an object or a list.
fn rest(body: &str) -> Result<(), &'static str> {
    serde_json::from_str::<IgnoredAny>(body).map_err(|_| "is not JSON")?;
    if body.trim_start().starts_with(['{', '[']) { Ok(()) } else { Err("is neither an object nor a list") }
}

/// By GraphQL's specification an answer has `data`, or `errors`, or both.
fn graphql(body: &str) -> Result<(), &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        data: Option<IgnoredAny>,
        errors: Option<IgnoredAny>,
    }
    rest(body)?;
    // A list, too, would be read, as the fields in order.
    match serde_json::from_str(body) {
        Ok(Answer { data, errors }) if body.trim_start().starts_with('{') && (data.is_some() || errors.is_some()) => {
            Ok(())
        }
        _ => Err("has neither `data` nor `errors`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Effect;

    fn rest_call(method: Method) -> Call {
        let request = Request::Rest { method, path: "/x".into(), query: vec![], body: None };
        Call { target: "omneo".into(), request, effect: Effect::Repeatable }
    }

    fn graphql_call() -> Call {
        let request = Request::Graphql { document: "query { shop { id } }".into(), variables: "{}".into() };
        Call { target: "shopify".into(), request, effect: Effect::Read }
    }

    #[test]
    fn the_table() {
        use Method::{Delete, Get, Post, Put};
        let nested = "[".repeat(100_000);
        let table: Vec<(Call, u16, &[u8], Option<&str>)> = vec![
            (rest_call(Get), 200, br#"{"data": []}"#, None),
            (rest_call(Get), 200, b" [] \n", None),
            (rest_call(Put), 201, br#"{"data": {"id": 1}}"#, None),
            (rest_call(Delete), 204, b"", None),
            (rest_call(Delete), 200, b" ", None),
            (rest_call(Delete), 200, br#"{"message": "gone"}"#, None),
            (rest_call(Post), 204, b"", None),
            (rest_call(Put), 204, b"", None),
            (graphql_call(), 200, br#"{"data": {"shop": null}}"#, None),
            (graphql_call(), 200, br#"{"data": null, "errors": [{"message": "no"}]}"#, None),
            (graphql_call(), 200, br#"{"errors": "[API] Invalid API key"}"#, None),
            // A verdict is the target's own, whatever it says.
            (rest_call(Get), 404, br#"{"message": "No query results"}"#, None),
            (rest_call(Post), 422, br#"{"errors": {}}"#, None),
            (graphql_call(), 404, br#"{"errors": "Not Found"}"#, None),
            (rest_call(Get), 404, b"<html>", Some("404 with a body that is not JSON")),
            (rest_call(Delete), 404, b"", Some("404 with a body that is not JSON")),
            (rest_call(Get), 410, b"gone", Some("410 with a body that is not JSON")),
            (rest_call(Post), 409, b"\xff", Some("409 with a body that is not JSON")),
            (rest_call(Post), 422, b"null", Some("422 with a body that is neither an object nor a list")),
            // Another status is taken as it is.
            (rest_call(Get), 400, b"<html>", None),
            (graphql_call(), 502, b"", None),
            (rest_call(Get), 302, b"\xff", None),
            // No answers.
            (rest_call(Get), 200, b"", Some("200 without a body")),
            (rest_call(Get), 204, b"", Some("204 without a body")),
            (rest_call(Put), 200, b"\r\n", Some("200 without a body")),
            (rest_call(Post), 202, b"", Some("202 without a body")),
            (rest_call(Post), 201, b"", Some("201 without a body")),
            (rest_call(Get), 200, b"<html>", Some("200 with a body that is not JSON")),
            (rest_call(Delete), 200, b"<html>", Some("200 with a body that is not JSON")),
            (rest_call(Put), 200, br#"{"data": {"id": 1}"#, Some("200 with a body that is not JSON")),
            (rest_call(Put), 200, br#"{"data": NaN}"#, Some("200 with a body that is not JSON")),
            (rest_call(Put), 200, br#"{"data": 1} {"#, Some("200 with a body that is not JSON")),
            (rest_call(Get), 200, nested.as_bytes(), Some("200 with a body that is not JSON")),
            (rest_call(Put), 200, b"\x1f\x8b\x08\x00\x00", Some("200 with a body that is not UTF-8")),
            (rest_call(Put), 200, b"{\"data\": \"\xe9\"}", Some("200 with a body that is not UTF-8")),
            (rest_call(Put), 200, b"\"ok\"", Some("200 with a body that is neither an object nor a list")),
            (rest_call(Put), 200, b"null", Some("200 with a body that is neither an object nor a list")),
            (graphql_call(), 204, b"", Some("204 without a body")),
            (graphql_call(), 200, b"{}", Some("200 with a body that has neither `data` nor `errors`")),
            (graphql_call(), 200, b"[]", Some("200 with a body that has neither `data` nor `errors`")),
            (graphql_call(), 200, b"[1, 2]", Some("200 with a body that has neither `data` nor `errors`")),
            (graphql_call(), 200, br#"{"data": null}"#, Some("200 with a body that has neither `data` nor `errors`")),
        ];
        for (call, status, body, why) in table {
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            let said = text(&call, status, None, body.to_vec());
            assert_eq!(said.as_ref().err().map(String::as_str), why, "{} {status} {shown}", call.line());
        }
    }

    #[test]
    fn no_encoding_was_asked_for() {
        let said = |status, encoding| text(&rest_call(Method::Get), status, Some(encoding), b"{}".to_vec());
        assert!(said(200, "identity").is_ok() && said(200, " Identity").is_ok() && said(400, "gzip").is_ok());
        for encoding in ["gzip", "br", "identity, gzip", ""] {
            assert!(said(200, encoding).is_err(), "{encoding}");
        }
    }
}
