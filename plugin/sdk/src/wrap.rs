//! Rules around other rules: an author writes what is to be otherwise, and the rest stays. Knows no rules by name.

use serde_json::{Map, Value};

use crate::{Cx, Ending, Entity, Event, Manifest, Problem, Rules};

/// What an author writes to have some of what other rules do done otherwise. [`Around`] makes rules of it.
///
/// ```
/// use tandem_rules::DefaultRules;
/// use tandem_sdk::*;
///
/// #[derive(Default)]
/// struct Vip;
///
/// impl Wrap for Vip {
///     type Inner = DefaultRules;
///
///     fn describe(&self, inner: Manifest) -> Manifest {
///         Manifest { name: "vip".into(), version: "1".into(), ..inner }
///     }
///     async fn handle(&self, inner: &DefaultRules, cx: &Cx, event: &Event) -> Ending {
///         // An event that is skipped, or a topic that is done some other way.
///         if event.topic == "products/delete" {
///             return Ok(skipped("products are taken down by hand"));
///         }
///         // Calls that are changed before they are sent.
///         let mut is_new = false;
///         let edited = cx.edit(inner.handle(cx, event), |call| {
///             if call.matches("POST omneo /profiles") {
///                 call.edit(|profile| profile["title"] = json!("VIP"));
///                 is_new = true;
///             }
///         });
///         let end = edited.await?;
///         // A call of one's own afterwards.
///         if let Some(profile) = cx.learned("omneo/profile/").filter(|_| is_new) {
///             let since = json!({"type": "string", "value": event.occurred_at});
///             cx.omneo(put(format!("/profiles/{profile}/attributes/custom/vip:since"), since)).await?.ok("noting since when")?;
///         }
///         Ok(end)
///     }
/// }
/// // In the crate that becomes the component: `tandem_sdk::export!(Around<Vip>);`
///
/// let event = Event { topic: "products/delete".into(), ..event() };
/// let (calls, end) = converse(&Around::<Vip>::default(), &event, &[], |_| reply(404, json!({})));
/// assert_eq!((calls.len(), end), (0, skipped("products are taken down by hand")));
/// ```
///
/// The memory of an entity is the inner rules' own: what they end with, pass on as it is.
pub trait Wrap: Default + 'static {
    /// The rules that are wrapped, such as `tandem_rules::DefaultRules`.
    type Inner: Rules;

    /// What these rules are: what the inner ones say of themselves under another name, and what comes on top, such as
    /// topics, scopes and settings.
    fn describe(&self, inner: Manifest) -> Manifest;

    /// Takes keys of its own out of the rules file. What is left is for the inner rules, which refuse what they do not know.
    fn configure(rules: &mut Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let _ = rules;
        Ok(Self::default())
    }

    /// The schema of the rules file, given the inner rules' own. Keys that [`Wrap::configure`] takes out are added to its
    /// `properties` here. Unless that is done, any other key will do.
    fn schema(mut inner: Value) -> Value {
        if let Some(schema) = inner.as_object_mut() {
            schema.remove("additionalProperties");
        }
        inner
    }

    /// What the event is about. Only a topic that the inner rules do not know needs more than what they say.
    fn key(&self, inner: &Self::Inner, event: &Event) -> Result<Entity, String> {
        inner.key(event)
    }

    /// What to do about the event, as in [`Rules::handle`]; `inner.handle(cx, event)` is what would be done otherwise.
    fn handle(&self, inner: &Self::Inner, cx: &Cx, event: &Event) -> impl Future<Output = Ending>;
}

/// The rules that a [`Wrap`] and its inner rules are together.
#[derive(Clone, Debug, Default)]
pub struct Around<W: Wrap> {
    wrap: W,
    inner: W::Inner,
}

impl<W: Wrap> Rules for Around<W> {
    fn describe(&self) -> Manifest {
        self.wrap.describe(self.inner.describe())
    }

    /// Mistakes of both are named together.
    fn configure(rules: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut text = rules.to_owned();
        let wrap = match serde_json::from_str(rules) {
            Ok(Value::Object(mut keys)) => {
                let wrap = W::configure(&mut keys);
                text = Value::Object(keys).to_string();
                wrap
            }
            // The inner rules say what is wrong with it.
            _ => Ok(W::default()),
        };
        match (wrap, W::Inner::configure(&text)) {
            (Ok(wrap), Ok((inner, warnings))) => Ok((Self { wrap, inner }, warnings)),
            (wrap, inner) => Err(wrap.err().into_iter().chain(inner.err()).flatten().collect()),
        }
    }

    fn schema() -> Value {
        W::schema(W::Inner::schema())
    }

    fn key(&self, event: &Event) -> Result<Entity, String> {
        self.wrap.key(&self.inner, event)
    }

    async fn handle(&self, cx: &Cx, event: &Event) -> Ending {
        self.wrap.handle(&self.inner, cx, event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, converse, done, event, get, join, json, post, reply, skipped};

    /// Asks two things at once, then one more.
    #[derive(Default)]
    struct Inner;

    impl Rules for Inner {
        fn describe(&self) -> Manifest {
            Manifest::new("inner", "1").listens("shopify", ["customers/update"])
        }
        fn key(&self, _: &Event) -> Result<Entity, String> {
            Ok(Entity::named("shopify/customer/1"))
        }
        async fn handle(&self, cx: &Cx, _: &Event) -> Ending {
            let (a, b) = join(cx.omneo(get("/a")), cx.omneo(get("/b"))).await;
            let body = json!({"a": a?.json()?.view().value(), "b": b?.json()?.view().value()});
            let stored = cx.omneo(post("/profiles", body)).await?;
            Ok(done(format!("stored {}", stored.body)).remember("inner"))
        }
    }

    /// Asks before and after, and changes what lies between.
    #[derive(Default)]
    struct Outer {
        greeting: String,
    }

    impl Wrap for Outer {
        type Inner = Inner;

        fn describe(&self, inner: Manifest) -> Manifest {
            Manifest { name: "outer".into(), ..inner }.setting("/greeting", self.greeting.clone(), false)
        }
        fn configure(rules: &mut Map<String, Value>) -> Result<Self, Vec<Problem>> {
            match rules.remove("greeting") {
                Some(Value::String(greeting)) => Ok(Self { greeting }),
                _ => Err(vec![Problem { at: "/greeting".into(), message: "missing".into(), fix: "add it".into() }]),
            }
        }
        fn schema(mut inner: Value) -> Value {
            inner["properties"]["greeting"] = json!({"type": "string", "description": "What is said first."});
            inner
        }
        async fn handle(&self, inner: &Inner, cx: &Cx, event: &Event) -> Ending {
            if cx.omneo(get("/before")).await?.status == 404 {
                return Ok(skipped("nobody is there"));
            }
            let mut seen = 0;
            let edited = cx.edit(inner.handle(cx, event), |call| {
                seen += 1;
                if call.matches("POST omneo /profiles") {
                    call.edit(|profile| profile["n"] = json!(706405506930370084_u64));
                }
            });
            // What goes out beside it is not touched.
            let (end, beside) = join(edited, cx.omneo(post("/profiles", json!({"beside": true})))).await;
            beside?;
            cx.omneo(post("/after", json!({"seen": seen}))).await?;
            end
        }
    }

    fn said(call: &Call) -> String {
        let crate::Request::Rest(request) = &call.request else { panic!("{call:?}") };
        format!("{} {}", call.line(), request.body.as_deref().unwrap_or_default())
    }

    #[test]
    fn edits_reach_the_calls_of_the_inner_rules_only() {
        let mut calls = 0;
        let (sent, end) = converse(&Around::<Outer>::default(), &event(), &[], |_| {
            calls += 1;
            reply(200, json!([calls]))
        });
        assert_eq!(
            sent.iter().map(said).collect::<Vec<_>>(),
            [
                "GET omneo /before ",
                "GET omneo /a ",
                "GET omneo /b ",
                r#"POST omneo /profiles {"beside":true}"#,
                r#"POST omneo /profiles {"a":[2],"b":[3],"n":706405506930370084}"#,
                r#"POST omneo /after {"seen":3}"#,
            ]
        );
        assert_eq!(end, done("stored [5]").remember("inner"));
    }

    #[test]
    fn the_outer_rules_may_end_before_the_inner_ones_begin() {
        let (sent, end) = converse(&Around::<Outer>::default(), &event(), &[], |_| reply(404, json!({})));
        assert_eq!((sent.len(), end), (1, skipped("nobody is there")));
    }

    #[test]
    fn each_takes_its_own_settings_and_all_mistakes_are_named() {
        let (rules, _) = Around::<Outer>::configure(r#"{"greeting":"hi"}"#).ok().unwrap();
        assert_eq!(Around::<Outer>::schema()["properties"]["greeting"]["type"], "string");
        assert_eq!((&*rules.describe().name, &*rules.describe().settings[0].value), ("outer", "hi"));
        let problems = Around::<Outer>::configure(r#"{"greting":"hi"}"#).err().unwrap();
        assert_eq!(problems.iter().map(|problem| &*problem.at).collect::<Vec<_>>(), ["/greeting", "/greting"]);
        assert_eq!(Around::<Outer>::configure("[]").err().unwrap()[0].message, "the rules are not a JSON object");
    }
}
