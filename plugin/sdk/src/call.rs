//! Builds calls. Knows the shape of a call, and nothing of the system that answers it.

use crate::needs::Needs;
use crate::{Answer, Call, Effect, GraphqlRequest, Method, Request, RestRequest, Value};

/// A call that has no target yet: [`crate::Cx::omneo`] and [`crate::Cx::shopify`] give it one.
///
/// Each call states what a 2xx must hold to be its answer. A proxy, or a target in trouble, can send 200 with a page of
/// HTML, an empty body, half a body or JSON about something else; rules that take such a response for success lose a
/// sale. What a call needs:
///
/// - A REST call needs JSON: an object or a list. A 204 will do too, unless [`CallTo::needs`] has named a place that
///   must hold something. Name the places that the rules will read; for a write, name a value that only a target that
///   has carried it out can know, such as `/data/id`.
/// - [`delete`], and a call with [`CallTo::needs_nothing`], need nothing beyond the status.
/// - A GraphQL call needs `errors`, or `data` with every field of its document; a mutation needs its `userErrors` as
///   well.
///
/// A 2xx without what its call needs does not count as an answer. [`crate::Cx::ask`], [`crate::Cx::omneo`] and
/// [`crate::Cx::shopify`] check this.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTo {
    request: Request,
    effect: Effect,
    needs: Needs,
}

/// A REST read.
pub fn get(path: impl Into<String>) -> CallTo {
    rest(Method::Get, path.into(), None, Effect::Read)
}

/// A REST write that would act twice if sent twice, unless [`CallTo::reads`] or [`CallTo::repeatable`] says otherwise.
pub fn post(path: impl Into<String>, body: Value) -> CallTo {
    rest(Method::Post, path.into(), Some(body), Effect::Once)
}

/// A REST write that may be repeated.
pub fn put(path: impl Into<String>, body: Value) -> CallTo {
    rest(Method::Put, path.into(), Some(body), Effect::Repeatable)
}

/// A REST write that may be repeated.
pub fn patch(path: impl Into<String>, body: Value) -> CallTo {
    rest(Method::Patch, path.into(), Some(body), Effect::Repeatable)
}

/// A REST write that may be repeated.
pub fn delete(path: impl Into<String>) -> CallTo {
    rest(Method::Delete, path.into(), None, Effect::Repeatable)
}

/// A GraphQL query.
pub fn query(document: &str, variables: Value) -> CallTo {
    graphql(document, variables).reads()
}

/// A GraphQL mutation that may be repeated.
pub fn mutation(document: &str, variables: Value) -> CallTo {
    graphql(document, variables).repeatable()
}

/// A GraphQL operation that would act twice if sent twice.
pub fn graphql(document: &str, variables: Value) -> CallTo {
    let request = GraphqlRequest { document: document.into(), variables: variables.to_string() };
    CallTo { needs: Needs::of_document(&request), request: Request::Graphql(request), effect: Effect::Once }
}

/// Percent-encodes one segment of a path. `.` and `..` stay as they are, and the host refuses a path that contains
/// either.
pub fn segment(text: impl std::fmt::Display) -> String {
    let mut encoded = String::new();
    for byte in text.to_string().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b':' | b'.' => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn rest(method: Method, path: String, body: Option<Value>, effect: Effect) -> CallTo {
    let needs = if method == Method::Delete { Needs::Nothing } else { Needs::Json(vec![]) };
    let body = body.map(|body| body.to_string());
    CallTo { request: Request::Rest(RestRequest { method, path, query: vec![], body }), effect, needs }
}

impl CallTo {
    /// Declares that the call changes nothing, though it may be a POST.
    pub fn reads(self) -> Self {
        Self { effect: Effect::Read, ..self }
    }

    /// Declares that sending the call twice has the same effect as sending it once.
    pub fn repeatable(self) -> Self {
        Self { effect: Effect::Repeatable, ..self }
    }

    /// Adds a query parameter to a REST request; the value is not encoded here. Does nothing to a GraphQL request.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Request::Rest(request) = &mut self.request {
            request.query.push((name.into(), value.into()));
        }
        self
    }

    /// Requires a value at this place of a 2xx, given as a JSON pointer into the body; null does not count as a value.
    pub fn needs(self, at: &str) -> Self {
        self.needs_one_of([at])
    }

    /// Requires a value at one of these places of a 2xx.
    pub fn needs_one_of<'a>(mut self, places: impl IntoIterator<Item = &'a str>) -> Self {
        self.needs.add(places.into_iter().map(str::to_owned).collect());
        self
    }

    /// Accepts any 2xx as an answer, with any body.
    pub fn needs_nothing(self) -> Self {
        Self { needs: Needs::Nothing, ..self }
    }

    /// What a 2xx lacks of what the call needs; `None` for any other status.
    pub(crate) fn lacking(&self, answer: &Answer) -> Option<String> {
        if answer.is_success() { self.needs.lacking(answer) } else { None }
    }

    /// The same call, addressed to this target.
    pub fn to(self, target: &str) -> Call {
        Call { target: target.into(), request: self.request, effect: self.effect }
    }
}

impl Call {
    /// The call in one line, for people: method, target and path, or the name of the operation.
    pub fn line(&self) -> String {
        match &self.request {
            Request::Rest(RestRequest { method, path, query, .. }) => {
                let query: Vec<_> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
                let mark = if query.is_empty() { "" } else { "?" };
                format!("{} {} {path}{mark}{}", method.name(), self.target, query.join("&"))
            }
            Request::Graphql(request) => format!("GRAPHQL {} {}", self.target, request.operation()),
        }
    }

    /// Whether the call's [`Call::line`] is this one. A `*` stands for one segment of the path; the query is not
    /// compared.
    pub fn matches(&self, line: &str) -> bool {
        let own = self.line();
        let own = own.split('?').next().unwrap_or_default();
        own.split('/').count() == line.split('/').count()
            && own.split('/').zip(line.split('/')).all(|(own, given)| given == "*" || own == given)
    }

    /// Changes what is sent: the body of a REST request, or the variables of a GraphQL request. A request without a
    /// body stays as it is.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let text = match &mut self.request {
            Request::Rest(request) => request.body.as_mut(),
            Request::Graphql(request) => Some(&mut request.variables),
        };
        if let Some(text) = text
            && let Ok(mut value) = serde_json::from_str(text)
        {
            change(&mut value);
            *text = value.to_string();
        }
    }
}

impl Method {
    /// The method as it stands in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl GraphqlRequest {
    /// The name of the document's operation; empty when it has none.
    pub fn operation(&self) -> &str {
        let mut words =
            self.document.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        words.find(|word| matches!(*word, "query" | "mutation")).and_then(|_| words.next()).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
        assert_eq!(segment("7064.5"), "7064.5");
    }

    #[test]
    fn a_line_may_leave_segments_open() {
        let call = put("/profiles/2b1c", Value::Null).query("a", "b/c").to("omneo");
        assert!(call.matches("PUT omneo /profiles/*") && call.matches("PUT omneo /profiles/2b1c"));
        for other in
            ["PUT omneo /profiles", "POST omneo /profiles/*", "PUT omneo /profiles/*/identities", "PUT omneo /*"]
        {
            assert!(!call.matches(other), "{other}");
        }
    }

    #[test]
    fn what_is_sent_can_be_changed() {
        let mut call = query("query Person { a }", serde_json::json!({"id": 1})).to("shopify");
        call.edit(|variables| variables["id"] = 2.into());
        let Request::Graphql(request) = call.request else { panic!("it was one") };
        assert_eq!(request.variables, r#"{"id":2}"#);
        let mut call = get("/profiles").to("omneo");
        call.edit(|_| panic!("there is no body"));
    }

    #[test]
    fn an_operation_has_its_name() {
        let call = query("query Person($id: ID!) { customer(id: $id) { id } }", Value::Null);
        assert_eq!(call.to("shopify").line(), "GRAPHQL shopify Person");
    }
}
