//! What rules may ask of the host itself, as a call to the target `tandem`. Pure: whoever answers is given the names.

use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::model::{Answer, Call, Effect, Method, Reply, Request, is_name};

/// The target that is the host. Every manifest has it, and none declares it.
pub const HOST: &str = "tandem";

/// A question to the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// `GET /names/{source}/{kind}/{id}`: the names that the entity with this name has now.
    Names(String),
}

impl Lookup {
    /// The question of a call; `None` if the call goes elsewhere, or asks nothing that the host answers.
    pub fn of(call: &Call) -> Option<Self> {
        if call.target == HOST { Self::read(call).ok() } else { None }
    }

    /// Reads a call to the host. The error says what is wrong with it.
    pub fn read(call: &Call) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("the rules asked the host `{}`: {why}", call.line()));
        let Request::Rest { method: Method::Get, path, query, body: None } = &call.request else {
            return wrong("it answers only GET, without a body");
        };
        if call.effect != Effect::Read || !query.is_empty() {
            return wrong("such a call is a `read` and has no query");
        }
        let Some(name) = path.strip_prefix("/names/") else {
            return wrong("it answers only `/names/{source}/{kind}/{id}`");
        };
        match percent_decode_str(name).decode_utf8() {
            Ok(name) if is_name(&name) => Ok(Self::Names(name.into_owned())),
            _ => wrong("the path names no entity; a name has the form source/kind/id, its parts percent-encoded"),
        }
    }
}

/// The host's answer: `{"data":["shopify/customer/7064","omneo/profile/2b1c"]}`, or an empty list.
pub fn answer(names: &[String]) -> Reply {
    Reply::Answer(Answer { status: 200, headers: vec![], body: json!({ "data": names }).to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, path: &str) -> Call {
        let request = Request::Rest { method, path: path.into(), query: vec![], body: None };
        Call { target: HOST.into(), request, effect: Effect::Read }
    }

    #[test]
    fn the_host_is_asked_for_names_and_nothing_else() {
        let read = |path: &str| Lookup::read(&call(Method::Get, path));
        for (path, name) in [
            ("/names/shopify/customer/7064", "shopify/customer/7064"),
            ("/names/acme/thing/a%2Fb%20c", "acme/thing/a/b c"),
            ("/names/acme/thing/%C3%A9", "acme/thing/é"),
        ] {
            assert_eq!(read(path), Ok(Lookup::Names(name.into())), "{path}");
        }
        let long = format!("/names/acme/thing/{}", "x".repeat(10_000));
        for path in [
            "/names",
            "/names/",
            "/names/shopify/customer",
            "/names/shopify/customer/",
            "/names//customer/7",
            "/names/acme/thing/%00",
            "/names/acme/thing/%FF",
            "/name/shopify/customer/7",
            "/clues/email/ada",
            "",
            &long,
        ] {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_host_is_only_read() {
        let good = call(Method::Get, "/names/shopify/customer/7");
        let rest = |method, query: &[(&str, &str)], body: Option<&str>| Request::Rest {
            method,
            path: "/names/shopify/customer/7".into(),
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.map(str::to_owned),
        };
        let of = |request| Lookup::read(&Call { request, ..good.clone() });
        assert!(Lookup::read(&good).is_ok());
        for request in [
            rest(Method::Post, &[], None),
            rest(Method::Delete, &[], None),
            rest(Method::Get, &[("a", "b")], None),
            rest(Method::Get, &[], Some("{}")),
            Request::Graphql { document: "{ shop { id } }".into(), variables: "{}".into() },
        ] {
            assert!(of(request.clone()).is_err(), "{request:?}");
        }
        for effect in [Effect::Repeatable, Effect::Once] {
            assert!(Lookup::read(&Call { effect, ..good.clone() }).is_err());
        }
        assert_eq!(Lookup::of(&Call { target: "omneo".into(), ..good.clone() }), None);
        assert_eq!(Lookup::of(&good), Some(Lookup::Names("shopify/customer/7".into())));
    }
}
