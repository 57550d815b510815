//! Reads and writes a conversation: `transcript.http`. Knows its format; not who says what.
//!
//! A paragraph is what is sent at the same time: names learned (`@`) and retired (`@gone`), then calls with their bodies,
//! each with its reply beneath it. The last one says how the event ended.
//!
//! ```http
//! POST omneo /profiles/search-id (read)
//! { "id": "7064055069", "type": "shopify" }
//! < 404
//!
//! @ omneo/profile/2b1c
//! GRAPHQL shopify Person
//! { "id": "gid://shopify/Customer/7064055069" }
//! < 200 { "data": { "customer": null } }
//!
//! = done: nothing to do
//! ```

use anyhow::{Context, bail};

use super::layout;
use crate::model::{Answer, Call, Effect, Method, Names, Reply, Request};

/// What stands before a name that is learned, and before one that is retired.
const LEARNED: &str = "@";
const RETIRED: &str = "@gone";
/// A reply that nobody has given yet, and an ending that is not known.
pub const UNKNOWN: &str = "?";
const VERBS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "GRAPHQL"];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    pub passes: Vec<Pass>,
    /// Found out with the end.
    pub names: Names,
    /// Outcome and reason.
    pub end: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pass {
    pub names: Names,
    pub exchanges: Vec<Exchange>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Verb, target, and path or operation; then the effect, if it is not the one to be expected.
    pub line: String,
    /// Laid out. The variables of a GraphQL request: its document is the rules' own affair.
    pub body: String,
    pub reply: Option<Given>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// As it stands in the file.
    lines: Vec<String>,
    pub reply: Reply,
}

/// A text without line breaks.
pub fn one_line(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

impl Exchange {
    pub fn of(call: &Call) -> Self {
        let (verb, expected) = match &call.request {
            Request::Rest { method, .. } => ("", expected(*method)),
            Request::Graphql { document, .. } if document.trim_start().starts_with("mutation") => {
                ("GRAPHQL ", Effect::Repeatable)
            }
            Request::Graphql { .. } => ("GRAPHQL ", Effect::Read),
        };
        let effect = match call.effect {
            effect if effect == expected => "",
            Effect::Read => " (read)",
            Effect::Repeatable => " (repeatable)",
            Effect::Once => " (once)",
        };
        let line = one_line(&format!("{verb}{}{effect}", call.line()));
        Self { line, body: layout::text(call.body()), reply: None }
    }
}

impl Given {
    /// A reply as a file would hold it.
    pub fn of(reply: Reply) -> Self {
        let lines = match &reply {
            Reply::Unknown(why) => vec![format!("< unknown {}", one_line(why))],
            Reply::Answer(Answer { status, headers, body }) => {
                // Anything but JSON in one line: an empty one would end the paragraph.
                let body = match check_json(body) {
                    Ok(()) => layout::text(body),
                    Err(_) => body.trim_start_matches(['{', '[']).split_whitespace().collect::<Vec<_>>().join(" "),
                };
                let mut lines: Vec<String> =
                    headers.iter().map(|(name, value)| format!("< {name}: {}", one_line(value))).collect();
                match headers.is_empty() {
                    true => lines.push(format!("< {status} {body}").trim_end().to_owned()),
                    false => {
                        lines.insert(0, format!("< {status}"));
                        lines.extend((!body.is_empty()).then_some(body));
                    }
                }
                lines.iter().flat_map(|line| line.lines()).map(str::to_owned).collect()
            }
        };
        Self { lines, reply }
    }
}

fn expected(method: Method) -> Effect {
    match method {
        Method::Get => Effect::Read,
        Method::Post => Effect::Once,
        Method::Put | Method::Patch | Method::Delete => Effect::Repeatable,
    }
}

fn names(names: &Names) -> Vec<String> {
    let lines = |mark: &str, names: &[String]| names.iter().map(|name| format!("{mark} {name}")).collect::<Vec<_>>();
    [lines(LEARNED, &names.learned), lines(RETIRED, &names.retired)].concat()
}

impl Transcript {
    pub fn render(&self) -> String {
        let mut lines = vec![];
        for pass in &self.passes {
            lines.extend(names(&pass.names));
            for Exchange { line, body, reply } in &pass.exchanges {
                lines.push(line.clone());
                lines.extend(body.lines().map(str::to_owned));
                match reply {
                    Some(given) => lines.extend(given.lines.iter().cloned()),
                    None => lines.push(format!("< {UNKNOWN}")),
                }
            }
            lines.push(String::new());
        }
        lines.extend(names(&self.names));
        lines.push(format!("= {}\n", self.end));
        lines.join("\n")
    }

    /// Errors name the line.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut parser = Parser::default();
        for (n, line) in text.lines().enumerate() {
            parser.line(n + 1, line.trim_end())?;
        }
        let end = parser.end.context("it has no ending, such as `= done: …`")?;
        Ok(Self { passes: parser.passes, names: parser.names, end })
    }
}

#[derive(Default)]
struct Parser {
    passes: Vec<Pass>,
    names: Names,
    end: Option<String>,
    /// The calls of the paragraph so far.
    exchanges: Vec<Exchange>,
    /// The call that is being read.
    draft: Option<Draft>,
}

/// A call of which not all has been read.
struct Draft {
    n: usize,
    line: String,
    body: Vec<String>,
    /// Where its reply begins, and the reply.
    reply: Option<(usize, Vec<String>)>,
}

impl Parser {
    fn line(&mut self, n: usize, line: &str) -> anyhow::Result<()> {
        let verb = line.split(' ').next().unwrap_or_default();
        if line.is_empty() {
            return self.paragraph();
        }
        if self.end.is_some() {
            bail!("line {n}: the ending is the last line");
        }
        if let Some(end) = line.strip_prefix("= ") {
            self.paragraph()?;
            self.end = Some(end.to_owned());
        } else if verb == LEARNED || verb == RETIRED {
            if self.draft.is_some() {
                bail!("line {n}: names stand before the calls of their paragraph");
            }
            let list = if verb == LEARNED { &mut self.names.learned } else { &mut self.names.retired };
            list.push(line[verb.len()..].trim_start().to_owned());
        } else if VERBS.contains(&verb) {
            self.call()?;
            self.draft = Some(Draft { n, line: line.to_owned(), body: vec![], reply: None });
        } else {
            let Some(draft) = &mut self.draft else {
                bail!("line {n}: expected a call (`POST omneo /profiles`), `@ name` or `= ending`, found `{line}`");
            };
            match &mut draft.reply {
                Some((_, lines)) => lines.push(line.to_owned()),
                None if line.starts_with('<') => draft.reply = Some((n, vec![line.to_owned()])),
                None => draft.body.push(line.to_owned()),
            }
        }
        Ok(())
    }

    fn paragraph(&mut self) -> anyhow::Result<()> {
        self.call()?;
        if !self.exchanges.is_empty() {
            let (names, exchanges) = (std::mem::take(&mut self.names), std::mem::take(&mut self.exchanges));
            self.passes.push(Pass { names, exchanges });
        }
        Ok(())
    }

    /// Takes in the call that was being read.
    fn call(&mut self) -> anyhow::Result<()> {
        let Some(Draft { n, line, body, reply }) = self.draft.take() else { return Ok(()) };
        let Some((at, lines)) = reply else {
            bail!("line {n}: `{line}` has no reply, not even `< {UNKNOWN}`");
        };
        let body = body.join("\n");
        if !body.is_empty() {
            check_json(&body).with_context(|| format!("line {}: the body is not JSON", n + 1))?;
        }
        let reply = given(lines).with_context(|| format!("line {at}"))?;
        self.exchanges.push(Exchange { line, body: layout::text(&body), reply });
        Ok(())
    }
}

/// `< 200 {…}` with what follows beneath it, `< unknown …`, or `< ?`. Headers are lines like `< link: …` right beneath.
fn given(lines: Vec<String>) -> anyhow::Result<Option<Given>> {
    let (first, mut rest) = (lines[0][1..].trim(), &lines[1..]);
    if first == UNKNOWN && rest.is_empty() {
        return Ok(None);
    }
    if let Some(why) = first.strip_prefix("unknown") {
        let reply = Reply::Unknown(why.trim().to_owned());
        return Ok(Some(Given { reply, lines }));
    }
    let (status, begin) = first.split_once(' ').unwrap_or((first, ""));
    let status = status
        .parse::<u16>()
        .ok()
        .filter(|status| (100..600).contains(status))
        .with_context(|| format!("expected a status, `unknown` or `{UNKNOWN}`, found `{status}`"))?;
    let mut headers = vec![];
    while let Some(header) = rest.first().and_then(|line| line.strip_prefix('<')) {
        let (name, value) = header.split_once(':').with_context(|| format!("`{header}` is not a header"))?;
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
        rest = &rest[1..];
    }
    let body = std::iter::once(begin).chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("\n");
    let body = body.trim().to_owned();
    if body.starts_with(['{', '[']) {
        check_json(&body).context("the reply is not JSON")?;
    }
    Ok(Some(Given { reply: Reply::Answer(Answer { status, headers, body }), lines }))
}

fn check_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: &str = "\
POST omneo /profiles/search-id (read)
{ \"id\": \"7\", \"type\": \"shopify\" }
< 404
GET omneo /profiles/2b1c
< 200 { \"data\":
  { \"id\": \"2b1c\" } }

@ omneo/profile/2b1c
PUT omneo /profiles/2b1c
{ \"first_name\": \"Ada\" }
< unknown timed out
DELETE omneo /profiles/2b1c
< 204
< location: /gone

@ shopify/customer/8
= done: both: agree
";

    #[test]
    fn what_is_read_can_be_written() {
        let read = Transcript::parse(TALK).unwrap();
        assert_eq!(read.render(), TALK);
        assert_eq!(read.passes.iter().map(|pass| pass.exchanges.len()).collect::<Vec<_>>(), [2, 2]);
        let reply = |pass: usize, n: usize| read.passes[pass].exchanges[n].reply.as_ref().unwrap().reply.clone();
        let body = "{ \"data\":\n  { \"id\": \"2b1c\" } }".to_owned();
        assert_eq!(reply(0, 1), Reply::Answer(Answer { status: 200, headers: vec![], body }));
        assert_eq!(reply(1, 0), Reply::Unknown("timed out".into()));
        let headers = vec![("location".to_owned(), "/gone".to_owned())];
        assert_eq!(reply(1, 1), Reply::Answer(Answer { status: 204, headers, body: String::new() }));
        assert_eq!(
            (read.names.learned, read.end.as_str()),
            (vec!["shopify/customer/8".to_owned()], "done: both: agree")
        );
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, expected) in [
            ("GET omneo /a\n< 200\n", "it has no ending, such as `= done: …`"),
            ("GET omneo /a\n\n= done: x", "line 1: `GET omneo /a` has no reply, not even `< ?`"),
            ("hello\n", "line 1: expected a call (`POST omneo /profiles`), `@ name` or `= ending`, found `hello`"),
            ("GET omneo /a\n< OK\n= x", "line 2: expected a status, `unknown` or `?`, found `OK`"),
            ("GET omneo /a\n< 200\n@ a/b/c\n= x", "line 3: names stand before the calls of their paragraph"),
            ("= x\n\n= y", "line 3: the ending is the last line"),
            ("PUT omneo /a\n{ x }\n< 200\n= x", "line 2: the body is not JSON: key must be a string"),
            ("GET omneo /a\n< 200 {\n= x", "line 2: the reply is not JSON: EOF while parsing"),
        ] {
            let found = format!("{:#}", Transcript::parse(text).unwrap_err());
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
