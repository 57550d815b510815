//! Write rules for Tandem as ordinary `async` Rust.
//!
//! Knows the contract (`wit/v0.1`) and nothing of Shopify or Omneo beyond the names of the two targets.
//!
//! ```
//! use tandem_sdk::*;
//!
//! #[derive(Default)]
//! struct Hello;
//!
//! impl Rules for Hello {
//!     fn describe(&self) -> Manifest {
//!         Manifest::new("hello", "1").listens("shopify", ["customers/create"]).target("omneo", "", ["read-profiles"])
//!     }
//!     fn key(&self, event: &Event) -> Result<Entity, String> {
//!         let payload = Json::payload(event).map_err(|wrong| wrong.to_string())?;
//!         let id = payload.view().id("/id").map_err(|wrong| wrong.to_string())?;
//!         Ok(Entity::named(format!("shopify/customer/{id}")))
//!     }
//!     async fn handle(&self, cx: &Cx, _event: &Event) -> Ending {
//!         let answer = cx.omneo(get("/profiles").query("filter[email]", "ada@example.org")).await?;
//!         Ok(done(format!("Omneo answered {}", answer.status)))
//!     }
//! }
//! // In the crate that becomes the component: `tandem_sdk::export!(Hello);`
//!
//! // Without wasm, an ask is a function call:
//! let event = Event { source: "shopify".into(), topic: "customers/create".into(), payload: r#"{"id":7}"#.into(), ..event() };
//! let Next::Send(send) = step(&Hello, &event, &[], vec![]) else { panic!("it should ask") };
//! assert_eq!(send.calls[0].line(), "GET omneo /profiles?filter[email]=ada@example.org");
//! ```

mod call;
mod converse;
mod end;
mod json;
mod manifest;
mod needs;
mod reply;
mod run;
mod time;
mod wrap;

/// The bindings that `wit-bindgen` generates from the contract.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_bindings",
        default_bindings_module: "tandem_sdk::bindings",
        additional_derives: [PartialEq],
        generate_unused_types: true,
    });
}

pub use bindings::exports::tandem::rules::rules::{
    Answer, Ask, Call, Effect, End, Entity, Event, GraphqlRequest, Item, Manifest, Method, Names, Next, Outcome, Page,
    Problem, Pull, Reading, Reply, Request, RestRequest, Send, Setting, Target, Topic,
};
pub use call::{CallTo, delete, get, graphql, mutation, patch, post, put, query, segment};
pub use converse::{converse, reply};
pub use end::{Ending, done, invalid, refused, skipped};
pub use json::{Json, View, Wrong, number};
pub use manifest::{event, reading};
pub use reply::GraphqlError;
pub use run::{Cx, join, join_all, step};
pub use rust_decimal::Decimal;
pub use serde_json::{Map, Value, json};
pub use time::Time;
pub use wrap::{Around, Wrap};

/// What an author implements. `Default` gives the rules with every setting at its default.
pub trait Rules: Default + 'static {
    /// What these rules are; see [`Manifest`].
    fn describe(&self) -> Manifest;

    /// Takes a rules file as JSON. Returns the configured rules with any warnings, or else every mistake in the file.
    fn configure(rules: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        match serde_json::from_str::<Value>(rules) {
            Ok(Value::Object(keys)) => {
                let unknown: Vec<_> = keys
                    .keys()
                    .map(|key| Problem {
                        at: format!("/{key}"),
                        message: format!("unknown key `{key}`"),
                        fix: "these rules have no settings; remove it".into(),
                    })
                    .collect();
                if unknown.is_empty() { Ok((Self::default(), vec![])) } else { Err(unknown) }
            }
            _ => Err(vec![Problem {
                at: String::new(),
                message: "the rules are not a JSON object".into(),
                fix: "pass an object".into(),
            }]),
        }
    }

    /// A JSON Schema (draft 7) of the rules file that [`Rules::configure`] takes, with a description and a default for
    /// each setting. The schema must accept every file that `configure` accepts; the one given here accepts any table.
    fn schema() -> Value {
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"})
    }

    /// The entity that the event is about, or the reason why it cannot be told.
    fn key(&self, event: &Event) -> Result<Entity, String>;

    /// The collections that the host can read, in the order in which they are to be read.
    fn pulls(&self) -> Vec<Pull> {
        vec![]
    }

    /// What to ask for to get the next page of one of them, or a reason for the tenant.
    fn ask_page(&self, reading: &Reading) -> Result<Ask, String> {
        Err(format!("these rules have no pull `{}`", reading.pull))
    }

    /// Where the items are in an answer, or a reason for the tenant.
    fn read_page(&self, reading: &Reading, answer: &Answer) -> Result<Page, String> {
        let _ = answer;
        Err(format!("these rules have no pull `{}`", reading.pull))
    }

    /// Decides what to do about the event. Runs again from the beginning at every ask, and may await only the calls of
    /// `cx`.
    fn handle(&self, cx: &Cx, event: &Event) -> impl Future<Output = Ending>;
}

/// Makes a component of a type that implements [`Rules`].
///
/// The message and the place of a panic are written to the event's log, through the one import that a plugin may have.
/// With `import nothing` the component imports nothing, and a panic is a trap without a message.
#[macro_export]
macro_rules! export {
    ($rules:ty) => {
        $crate::export!(@make $rules, $crate::log_panics());
    };
    ($rules:ty, import nothing) => {
        $crate::export!(@make $rules, ());
    };
    (@make $rules:ty, $prepare:expr) => {
        const _: () = {
            ::std::thread_local! {
                static RULES: ::std::cell::OnceCell<$rules> = const { ::std::cell::OnceCell::new() };
                static CONFIGURED: ::std::cell::RefCell<Option<$rules>> = const { ::std::cell::RefCell::new(None) };
            }
            fn with<T>(f: impl FnOnce(&$rules) -> T) -> T {
                CONFIGURED.with_borrow(|configured| match configured {
                    Some(rules) => f(rules),
                    None => RULES.with(|rules| f(rules.get_or_init(Default::default))),
                })
            }
            struct Component;
            impl $crate::bindings::exports::tandem::rules::rules::Guest for Component {
                fn describe() -> $crate::Manifest {
                    $prepare;
                    with($crate::Rules::describe)
                }
                fn configure(
                    rules: ::std::string::String,
                ) -> Result<::std::vec::Vec<$crate::Problem>, ::std::vec::Vec<$crate::Problem>> {
                    $prepare;
                    let (rules, warnings) = <$rules as $crate::Rules>::configure(&rules)?;
                    CONFIGURED.replace(Some(rules));
                    Ok(warnings)
                }
                fn schema() -> ::std::string::String {
                    $prepare;
                    <$rules as $crate::Rules>::schema().to_string()
                }
                fn pulls() -> ::std::vec::Vec<$crate::Pull> {
                    $prepare;
                    with($crate::Rules::pulls)
                }
                fn ask_page(reading: $crate::Reading) -> Result<$crate::Ask, ::std::string::String> {
                    $prepare;
                    with(|rules| $crate::Rules::ask_page(rules, &reading))
                }
                fn read_page(
                    reading: $crate::Reading,
                    answer: $crate::Answer,
                ) -> Result<$crate::Page, ::std::string::String> {
                    $prepare;
                    with(|rules| $crate::Rules::read_page(rules, &reading, &answer))
                }
                fn key(event: $crate::Event) -> Result<$crate::Entity, ::std::string::String> {
                    $prepare;
                    with(|rules| $crate::Rules::key(rules, &event))
                }
                fn step(
                    event: $crate::Event,
                    memory: ::std::vec::Vec<::std::string::String>,
                    replies: ::std::vec::Vec<::std::vec::Vec<$crate::Reply>>,
                ) -> $crate::Next {
                    $prepare;
                    with(|rules| $crate::step(rules, &event, &memory, replies))
                }
            }
            $crate::bindings::export_bindings!(Component with_types_in $crate::bindings);
        };
    };
}

/// Writes the message of a panic to the event's log.
#[doc(hidden)]
pub fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| bindings::tandem::rules::host::log(&info.to_string())));
}

/// Writes a line to the event's log. A native build has no host, so it writes the line to standard error.
pub fn log(line: &str) {
    #[cfg(target_arch = "wasm32")]
    bindings::tandem::rules::host::log(line);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{line}");
}
