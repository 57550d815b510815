//! Compares what is wanted with what exists: the state of each thing, and the act that would bring it about. Pure.

use serde_json::Value;
use url::Url;

use super::ask::{MORE_APP_SCOPES, MORE_SCOPES, Trouble};
use super::there::{self, Omneo, Shop};
use super::wanted::{OfOmneo, OfShopify, SHOPIFY_PATH, Subscription, Webhook};
use super::{documents, topics};
use crate::model::{self, Call};

/// The state of a thing that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    There,
    Create,
    Change,
    /// The thing is missing and cannot be created from here.
    Missing,
    /// Information only.
    Note,
    /// The thing is created only on request.
    Offer,
}

/// How the namespace of a webhook of Omneo's own app for Shopify, "Omneo CX", begins. [INF]: Omneo's documentation
/// calls them "the `shopify-{tenant}` webhooks" and does not say which field has this value.
const OFFICIAL: &str = "shopify-";
/// What only that app does.
pub const OFFICIAL_ALONE: &str = "rewards at checkout, Omneo credits as gift cards, and tiles at the point of sale";

/// The act that brings the wanted state about.
#[derive(Clone, Debug)]
pub enum Act {
    Call(Call),
    /// Writes the time zone into the rules file.
    Timezone(String),
}

#[derive(Clone, Debug)]
pub struct Step {
    /// `shopify`, `omneo` or `rules`.
    pub side: &'static str,
    pub state: State,
    pub what: String,
    /// The kind and the name of the thing, if a summary counts things of its kind.
    pub one: Option<(Kind, String)>,
    pub hint: Option<String>,
    pub act: Option<Act>,
}

/// The kinds of things of which rules want many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scope,
    Definition,
    Webhook,
}

impl Step {
    pub fn new(side: &'static str, state: State, what: impl Into<String>) -> Self {
        Self { side, state, what: what.into(), one: None, hint: None, act: None }
    }

    pub fn one(self, kind: Kind, name: impl Into<String>) -> Self {
        Self { one: Some((kind, name.into())), ..self }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub fn act(self, act: Act) -> Self {
        Self { act: Some(act), ..self }
    }

    pub fn trouble(side: &'static str, what: &str, trouble: &Trouble) -> Self {
        // A call that could not be sent has its own hint in the text.
        let (why, own) = match trouble.why.split_once("\nhint: ") {
            Some((why, hint)) => (why, Some(hint.to_owned())),
            None => (trouble.why.as_str(), None),
        };
        let what = if what.is_empty() { why.to_owned() } else { format!("{what}: {why}") };
        Self { hint: own.or_else(|| trouble.hint.clone()), ..Self::new(side, State::Missing, what) }
    }
}

pub fn shopify(wanted: &OfShopify, shop: &Result<Shop, Trouble>) -> Vec<Step> {
    let shop = match shop {
        Ok(shop) => shop,
        Err(trouble) => return vec![Step::trouble("shopify", "", trouble)],
    };
    let mut steps = vec![];
    for scope in wanted.scopes.iter().filter(|scope| !model::is_scope_granted(scope, &shop.facts.scopes)) {
        let what = format!("the app lacks the scope `{scope}`");
        steps.push(Step::new("shopify", State::Missing, what).one(Kind::Scope, scope).hint(MORE_APP_SCOPES));
    }
    match &shop.definitions {
        Err(trouble) => steps.push(Step::trouble("shopify", "metafield definitions", trouble)),
        Ok(there) => steps.extend(wanted.definitions.iter().map(|wanted| {
            let what = format!("metafield definition `{}.{}` ({})", wanted.namespace, wanted.key, wanted.kind);
            match there.iter().find(|there| there.namespace == wanted.namespace && there.key == wanted.key) {
                Some(there) if there.kind == wanted.kind && wanted.public && !there.public => {
                    let hint = "allow it where the definition is, in Settings, Custom data, Customers";
                    Step::new("shopify", State::Note, format!("{what} cannot be read by themes")).hint(hint)
                }
                Some(there) if there.kind == wanted.kind => Step::new("shopify", State::There, what),
                Some(there) => {
                    let other = format!("{what} has the type `{}`", there.kind);
                    let hint = "delete that definition in Settings, Custom data, Customers, or map the field elsewhere";
                    Step::new("shopify", State::Missing, other).hint(hint)
                }
                None => Step::new("shopify", State::Create, what)
                    .one(Kind::Definition, format!("{}.{}", wanted.namespace, wanted.key))
                    .act(Act::Call(documents::define(wanted))),
            }
        })),
    }
    match &shop.subscriptions {
        Err(trouble) => steps.push(Step::trouble("shopify", "webhook subscriptions", trouble)),
        Ok(there) => steps.extend(
            wanted.subscriptions.iter().map(|wanted| subscription(wanted, there).one(Kind::Webhook, &wanted.topic)),
        ),
    }
    if let Some(address) = &wanted.duties {
        let what = format!("{} go to {address}", topics::OF_THE_APP.join(", "));
        let hint = "Shopify has these set in the app's own configuration (`compliance_topics`), not by the API";
        steps.push(Step::new("shopify", State::Note, what).hint(hint));
    }
    steps
}

/// Whether a webhook's address is one of Tandem's, on any host: either that for a token or that for an app.
fn is_ours(uri: &str) -> bool {
    let path = Url::parse(uri).map(|url| url.path().to_owned()).unwrap_or_default();
    let Some((_, rest)) = path.rsplit_once(SHOPIFY_PATH) else { return false };
    let is_key = |key: &str| key.len() == 32 && key.bytes().all(|c| c.is_ascii_hexdigit());
    let of_app = rest.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    rest.is_empty() || of_app.is_some_and(|(app, key)| !app.is_empty() && is_key(key))
}

/// Compares one subscription. A subscription is ours if it goes to our path, even on an earlier address of this host.
fn subscription(wanted: &Subscription, there: &[there::Subscription]) -> Step {
    let what = format!("webhook `{}`", wanted.topic);
    // A subscription that goes to the present address is preferred: one of an earlier address could not be moved to it.
    let of_topic = || there.iter().filter(|there| there.topic == wanted.topic_enum);
    let here = of_topic().find(|there| there.uri == wanted.uri);
    let Some(found) = here.or_else(|| of_topic().find(|there| is_ours(&there.uri))) else {
        return Step::new("shopify", State::Create, what).act(Act::Call(documents::subscribe(wanted)));
    };
    let metafields: Vec<_> = found.metafields.iter().map(|m| (m.namespace.clone(), m.key.clone())).collect();
    let is_whole = found.include_fields.is_empty() && found.filter.is_empty() && found.format == "JSON";
    if found.uri == wanted.uri && metafields == wanted.metafields && is_whole {
        return Step::new("shopify", State::There, what);
    }
    Step::new("shopify", State::Change, what).act(Act::Call(documents::resubscribe(&found.id, wanted)))
}

pub fn omneo(wanted: &OfOmneo, omneo: &Result<Omneo, Trouble>, leave_official: bool) -> Vec<Step> {
    let omneo = match omneo {
        Ok(omneo) => omneo,
        Err(trouble) => return vec![Step::trouble("omneo", "", trouble)],
    };
    let mut steps = vec![];
    // Omneo tells what all tokens of a user may do, and not which of them this token is.
    let lacks = |all: &Vec<String>, scope: &String| !all.iter().any(|own| own == "*" || own == scope);
    for scope in wanted.scopes.iter().filter(|scope| omneo.scopes.as_ref().is_some_and(|all| lacks(all, scope))) {
        let what = format!("no token has the scope `{scope}`");
        steps.push(Step::new("omneo", State::Missing, what).one(Kind::Scope, scope).hint(MORE_SCOPES));
    }
    match &omneo.webhooks {
        Err(trouble) => steps.push(Step::trouble("omneo", "webhooks", trouble)),
        Ok(there) => {
            steps.extend(
                wanted.webhooks.iter().map(|wanted| webhook(wanted, there).one(Kind::Webhook, &wanted.trigger)),
            );
            steps.extend(official(there, leave_official));
        }
    }
    steps
}

/// What to do about the webhooks of Omneo's own app: nothing, unless it is asked for.
fn official(there: &[Value], leave: bool) -> Vec<Step> {
    let is_official = |row: &&Value| row["namespace"].as_str().is_some_and(|name| name.starts_with(OFFICIAL));
    let active: Vec<_> =
        there.iter().filter(is_official).filter(|row| !same(&row["is_active"], &Value::Bool(false))).collect();
    // Several shops may use that app with one Omneo tenant. Then it cannot be told which shop is meant.
    let shops: std::collections::BTreeSet<_> = active.iter().filter_map(|row| row["namespace"].as_str()).collect();
    if shops.len() > 1 {
        let shops: Vec<_> = shops.into_iter().collect();
        let what = format!("Omneo's own app for Shopify is in step for several shops: {}", shops.join(", "));
        let hint = "switch the webhooks of this shop's off in CX Manager, Settings, Webhooks: with both, each change is sent twice";
        return vec![Step::new("omneo", State::Note, what).hint(hint)];
    }
    if !leave {
        let offer = || {
            let what =
                format!("Omneo's own app for Shopify is still in step, too: it has {} active webhooks", active.len());
            let hint = format!(
                "each change is sent twice; `--leave-official-app` switches its webhooks off. Its other direction is switched off in \
                 that app, under Settings, General. What only that app does ends when it is uninstalled: {OFFICIAL_ALONE}"
            );
            Step::new("omneo", State::Offer, what).hint(hint)
        };
        return (!active.is_empty()).then(offer).into_iter().collect();
    }
    let off = |row: &&Value| {
        let what = format!("webhook {} of Omneo's own app ({}) is switched off", row["trigger"], row["namespace"]);
        Step::new("omneo", State::Change, what).act(Act::Call(documents::switch_webhook_off(&id(row))))
    };
    active.iter().map(off).collect()
}

fn id(row: &Value) -> String {
    row["id"].as_str().map_or_else(|| row["id"].to_string(), str::to_owned)
}

fn webhook(wanted: &Webhook, there: &[Value]) -> Step {
    let what = format!("webhook `{}`", wanted.trigger);
    let of_topic = || there.iter().filter(|row| row["trigger"] == wanted.trigger);
    let Some(ours) = of_topic().find(|row| row["namespace"] == wanted.namespace) else {
        // Omneo allows one webhook for a trigger and an address, and the namespace of a webhook cannot be changed.
        return match of_topic().find(|row| row["url"] == wanted.url) {
            Some(row) => Step::new("omneo", State::Missing, format!("{what} stands in namespace {}", row["namespace"]))
                .hint("delete it in CX Manager, Settings, Webhooks, and run this again"),
            None => Step::new("omneo", State::Create, what).act(Act::Call(documents::create_webhook(wanted))),
        };
    };
    let as_wanted = documents::webhook(wanted);
    let is_equal = as_wanted.as_object().is_some_and(|keys| keys.iter().all(|(key, value)| same(&ours[key], value)));
    match is_equal {
        true => Step::new("omneo", State::There, what),
        false => Step::new("omneo", State::Change, what).act(Act::Call(documents::change_webhook(&id(ours), wanted))),
    }
}

/// Whether two values are equal, where Omneo may give a boolean as a number.
fn same(there: &Value, wanted: &Value) -> bool {
    there == wanted || matches!((there.as_u64(), wanted.as_bool()), (Some(n), Some(wanted)) if (n == 1) == wanted)
}
