//! Wraps rules around other rules: the author writes only what should differ. Knows no particular rules.

use serde_json::{Map, Value};

use crate::{Answer, Ask, Cx, Ending, Entity, Event, Manifest, Page, Problem, Pull, Reading, Rules};

/// What an author implements to change part of what other rules do. [`Around`] makes complete rules of it.
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
///         // Skip an event, or handle a topic in a different way.
///         if event.topic == "products/delete" {
///             return Ok(skipped("products are taken down by hand"));
///         }
///         // Change calls before they are sent.
///         let mut is_new = false;
///         let edited = cx.edit(inner.handle(cx, event), |call| {
///             if call.matches("POST omneo /profiles") {
///                 call.edit(|profile| profile["title"] = json!("VIP"));
///                 is_new = true;
///             }
///         });
///         let end = edited.await?;
///         // Add a call of your own afterwards.
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
/// The memory of an entity belongs to the inner rules: pass on their ending unchanged.
pub trait Wrap: Default + 'static {
    /// The rules that are wrapped, such as `tandem_rules::DefaultRules`.
    type Inner: Rules;

    /// The manifest of these rules: that of the inner rules under another name, plus any topics, scopes and settings of
    /// their own.
    fn describe(&self, inner: Manifest) -> Manifest;

    /// Removes the plugin's own keys from the rules file. The inner rules get the rest, and refuse keys that they do
    /// not know.
    fn configure(rules: &mut Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let _ = rules;
        Ok(Self::default())
    }

    /// The schema of the rules file, given that of the inner rules. Add the keys that [`Wrap::configure`] removes to
    /// its `properties` here; until then, the schema accepts any additional key.
    fn schema(mut inner: Value) -> Value {
        if let Some(schema) = inner.as_object_mut() {
            schema.remove("additionalProperties");
        }
        inner
    }

    /// The entity that the event is about. Override this only for a topic that the inner rules do not know.
    fn key(&self, inner: &Self::Inner, event: &Event) -> Result<Entity, String> {
        inner.key(event)
    }

    /// The collections that the host can read: those of the inner rules, plus any of their own.
    fn pulls(&self, inner: &Self::Inner) -> Vec<Pull> {
        inner.pulls()
    }

    /// What to ask for to get the next page of one of them. Override this for a pull of their own.
    fn ask_page(&self, inner: &Self::Inner, reading: &Reading) -> Result<Ask, String> {
        inner.ask_page(reading)
    }

    /// Where the items are in an answer. Override this for a pull of their own.
    fn read_page(&self, inner: &Self::Inner, reading: &Reading, answer: &Answer) -> Result<Page, String> {
        inner.read_page(reading, answer)
    }

    /// Decides what to do about the event, as in [`Rules::handle`]; `inner.handle(cx, event)` does what the inner rules
    /// would do.
    fn handle(&self, inner: &Self::Inner, cx: &Cx, event: &Event) -> impl Future<Output = Ending>;
}

/// A [`Wrap`] and its inner rules, together as one set of rules.
#[derive(Clone, Debug, Default)]
pub struct Around<W: Wrap> {
    wrap: W,
    inner: W::Inner,
}

impl<W: Wrap> Rules for Around<W> {
    fn describe(&self) -> Manifest {
        self.wrap.describe(self.inner.describe())
    }

    /// Reports the mistakes that the wrapper finds together with those that the inner rules find.
    fn configure(rules: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut text = rules.to_owned();
        let wrap = match serde_json::from_str(rules) {
            Ok(Value::Object(mut keys)) => {
                let wrap = W::configure(&mut keys);
                text = Value::Object(keys).to_string();
                wrap
            }
            // The inner rules report what is wrong with a text that is not a JSON object.
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

    fn pulls(&self) -> Vec<Pull> {
        self.wrap.pulls(&self.inner)
    }

    fn ask_page(&self, reading: &Reading) -> Result<Ask, String> {
        self.wrap.ask_page(&self.inner, reading)
    }

    fn read_page(&self, reading: &Reading, answer: &Answer) -> Result<Page, String> {
        self.wrap.read_page(&self.inner, reading, answer)
    }

    async fn handle(&self, cx: &Cx, event: &Event) -> Ending {
        self.wrap.handle(&self.inner, cx, event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, converse, done, event, get, join, json, post, reply, skipped};

    /// Makes two calls at once, then one more.
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

    /// Makes a call before and one after the inner rules, and changes theirs.
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
            // A call that goes out beside the inner rules is not changed.
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
