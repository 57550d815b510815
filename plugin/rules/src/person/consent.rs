//! Consent to marketing. The later explicit decision wins, a missing decision changes nothing, and a bounce never
//! subscribes anybody. Does not know which event led here.

use std::cmp::Ordering;

use serde_json::Map;
use tandem_sdk::{End, Time, View, Wrong, json, refused};

use super::comms::{Channel, Comms};
use super::fields::{Medium, Side};
use super::mark::Mark;
use super::memory::{Consent, Memory};
use super::omneo::{self, Profile};
use super::run::Run;
use super::shopify::{self, Customer, Decision, Marketing, decision};
use crate::clock::seconds;

/// What a body says about one medium.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub medium: Medium,
    pub decision: Option<bool>,
    pub at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    ToOmneo(bool, Why),
    ToShopify(bool, Why),
}

/// Why a decision counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The other side has no decision.
    Only,
    /// Both sides have a decision, and the shopper made this one later.
    Later,
    /// Both sides have a decision, times are missing, and this one is new.
    New,
    /// Messages bounced: none would arrive, whatever the shopper has decided.
    Bounced,
    /// The later decision cannot be told, so no message is sent.
    InDoubt,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Why::Only => "nobody has decided otherwise",
            Why::Later => "the shopper's later decision",
            Why::New => "the shopper's new decision",
            Why::Bounced => "messages came back, which no decision overrules",
            Why::InDoubt => "nothing says which decision is later",
        }
    }
}

/// One medium, with the state of both sides.
struct Case {
    medium: Medium,
    marketing: Marketing,
    channel: Channel,
}

impl Case {
    fn new(medium: Medium, customer: &Customer, comms: &Comms) -> Self {
        let (marketing, channel) = match medium {
            Medium::Email => (&customer.email, &comms.email),
            Medium::Sms => (&customer.sms, &comms.sms),
        };
        Self { medium, marketing: marketing.clone(), channel: channel.clone() }
    }

    /// The decision in words, for people.
    fn words(&self, subscribed: bool, why: Why) -> String {
        let what = if self.medium == Medium::Email { "e-mail" } else { "SMS" };
        let state = if subscribed { "subscribed" } else { "unsubscribed" };
        match why {
            Why::Only => format!("consent to {what} ({state})"),
            why => format!("consent to {what} ({state}: {})", why.words()),
        }
    }
}

fn of_memory(memory: &mut Memory, medium: Medium) -> &mut Option<Consent> {
    match medium {
        Medium::Email => &mut memory.consent.email,
        Medium::Sms => &mut memory.consent.sms,
    }
}

impl Said {
    /// `email_marketing_consent` or `sms_marketing_consent` of a body; `None` when it is absent or null.
    pub fn read(body: &View, medium: Medium) -> Result<Option<Self>, Wrong> {
        let Some(consent) = body.get(&format!("/{}_marketing_consent", medium.key())) else {
            return Ok(None);
        };
        if consent.is_null() {
            return Ok(None);
        }
        let decision = decision(consent.opt_text("/state")?);
        Ok(Some(Self { medium, decision, at: seconds(&consent, "/consent_updated_at")? }))
    }

    /// Whether this equals what was last seen, and nothing is held.
    pub fn is_as_seen(&self, memory: &Memory) -> bool {
        let seen = match self.medium {
            Medium::Email => &memory.consent.email,
            Medium::Sms => &memory.consent.sms,
        };
        seen.as_ref()
            .is_some_and(|seen| seen.held.is_none() && seen.shopify == self.decision && seen.shopify_at == self.at)
    }
}

/// The mark of a profile's communication attributes.
pub fn mark(comms: &Comms) -> Mark {
    Mark::of_text(&comms.text())
}

pub async fn sync(run: &mut Run<'_>, customer: &Customer, profile: &Profile) -> Result<(), End> {
    if !run.settings.sync.consent {
        return Ok(());
    }
    let mut comms = match &profile.comms {
        Some(comms) => comms.clone(),
        None => read(run, &profile.id).await?,
    };
    // Whether the answers to our writes showed all of the attributes, with no change by somebody else. Such a change
    // has an event of its own, which must not be taken for an echo.
    let mut is_seen = true;
    for medium in [Medium::Email, Medium::Sms] {
        let case = Case::new(medium, customer, &comms);
        let before = of_memory(&mut run.memory, medium).clone().unwrap_or_default();
        let Marketing { decision, at, .. } = case.marketing;
        let mut now = Consent { shopify: decision, shopify_at: at, omneo: case.channel.decision(), held: None };
        match decide(&case.marketing, &case.channel, &before) {
            Act::ToOmneo(subscribed, why) if run.to_omneo => {
                match to_omneo(run, &profile.id, &case, (subscribed, why)).await? {
                    Ok(after) => {
                        is_seen &= after.is_only(medium, subscribed, &comms);
                        comms = after;
                        now.omneo = Some(subscribed);
                    }
                    Err(why) => now.held = Some(why),
                }
            }
            Act::ToShopify(subscribed, why) if run.to_shopify => {
                match to_shopify(run, customer.id, &case, (subscribed, why)).await? {
                    Ok(after) => (now.shopify, now.shopify_at) = (after.decision, after.at),
                    Err(why) => now.held = Some(why),
                }
            }
            _ => {}
        }
        // When a customer's address is replaced, Shopify shows no decision any more. The earlier decision stays
        // remembered.
        if now.shopify.is_none() && before.shopify.is_some() {
            (now.shopify, now.shopify_at) = (before.shopify, before.shopify_at);
        }
        *of_memory(&mut run.memory, medium) = (now != Consent::default()).then_some(now);
    }
    run.memory.consent.omneo = is_seen.then(|| mark(&comms));
    Ok(())
}

fn decide(s: &Marketing, o: &Channel, before: &Consent) -> Act {
    match (s.decision, o.decision()) {
        (Some(s), None) => Act::ToOmneo(s, Why::Only),
        // A new address carries no consent. Only a decision that is later than the one about the old address can be
        // about it.
        (None, Some(true)) if before.shopify.is_some() && o.at <= before.shopify_at => Act::Nothing,
        (None, Some(true)) => Act::ToShopify(true, Why::Only),
        (Some(true), Some(false)) if o.bounced => Act::ToShopify(false, Why::Bounced),
        (Some(a), Some(b)) if a != b => later(s, o, (a, b), before),
        _ => Act::Nothing,
    }
}

/// Decides between two different decisions. The shopper's later one counts, even when it subscribes again after an
/// opt-out; where a time is missing, the new one counts. An opt-out of all messages is never overruled by a decision
/// that may be older.
fn later(s: &Marketing, o: &Channel, (a, b): (bool, bool), before: &Consent) -> Act {
    if let (Some(s_at), Some(o_at)) = (s.at, o.at) {
        return match s_at.cmp(&o_at) {
            Ordering::Greater => Act::ToOmneo(a, Why::Later),
            Ordering::Less => Act::ToShopify(b, Why::Later),
            Ordering::Equal => Act::ToShopify(b, Why::InDoubt),
        };
    }
    match (before.shopify != Some(a), before.omneo != Some(b)) {
        (true, false) => Act::ToOmneo(a, Why::New),
        (false, true) => Act::ToShopify(b, Why::New),
        _ if o.optout => Act::ToShopify(false, Why::InDoubt),
        _ if s.at.is_some() => Act::ToOmneo(a, Why::InDoubt),
        _ if a => Act::ToShopify(false, Why::InDoubt),
        _ => Act::ToOmneo(false, Why::InDoubt),
    }
}

/// The communication attributes of a profile. The profile may be deleted by now.
pub async fn read(run: &mut Run<'_>, profile: &str) -> Result<Comms, End> {
    match omneo::comms(run.cx, profile).await? {
        Some(comms) => Ok(comms),
        None => Err(not_found(run, profile).await),
    }
}

/// The ending when a profile's communication attributes are not found: either the profile is deleted, or Omneo
/// contradicts itself.
async fn not_found(run: &mut Run<'_>, profile: &str) -> End {
    match omneo::profile(run.cx, profile, run.reading()).await {
        Ok(None) => run.end_without_profile(profile),
        Ok(Some(_)) => refused(format!("Omneo has profile {profile} and does not find its communication attributes")),
        Err(end) => end,
    }
}

/// Writes a decision to Omneo. Gives the attributes after the write, or why the write had no effect.
async fn to_omneo(
    run: &mut Run<'_>,
    profile: &str,
    case: &Case,
    (subscribed, why): (bool, Why),
) -> Result<Result<Comms, String>, End> {
    let key = case.medium.key();
    let mut body = Map::new();
    body.insert(format!("{key}_promo"), json!(subscribed));
    if subscribed {
        body.insert(format!("{key}_optout"), json!(false));
    }
    // The time is that of the shopper's own decision. Without such a time, none is sent.
    if let Some(at) = case.marketing.at {
        body.insert(format!("{key}_consent_updated_at"), json!(Time(at * 1000).rfc3339()));
    }
    let after = match omneo::update_comms(run.cx, profile, body.into()).await? {
        Some(after) => after,
        None => return Err(not_found(run, profile).await),
    };
    // A 2xx alone does not prove success; the state afterwards does.
    let channel = if case.medium == Medium::Email { &after.email } else { &after.sms };
    if channel.decision() != Some(subscribed) {
        return Ok(Err("Omneo left it as it was".into()));
    }
    run.wrote(Side::Omneo, case.words(subscribed, why));
    Ok(Ok(after))
}

/// Writes a decision to Shopify. Gives the state after the write, or why it could not be written.
async fn to_shopify(
    run: &mut Run<'_>,
    customer: u64,
    case: &Case,
    (subscribed, why): (bool, Why),
) -> Result<Result<Marketing, String>, End> {
    if !case.marketing.has_address {
        let what = if case.medium == Medium::Email { "e-mail address" } else { "phone number" };
        return Ok(Err(format!("the customer has no {what}")));
    }
    // Shopify does not accept a time in the future.
    let at = case.marketing.at.max(case.channel.at).filter(|at| *at <= run.now);
    let level = &run.settings.consent.opt_in_level;
    let decision = Decision { medium: case.medium, subscribed, level, at };
    match shopify::consent(run, customer, decision).await? {
        // An answer without errors does not prove success; the state in it does.
        shopify::Written::Done(after) => {
            let after = if case.medium == Medium::Email { after.email } else { after.sms };
            if after.decision != Some(subscribed) {
                return Ok(Err("Shopify left it as it was".into()));
            }
            run.wrote(Side::Shopify, case.words(subscribed, why));
            Ok(Ok(after))
        }
        shopify::Written::Errors(errors) => {
            let why = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(", ");
            Ok(Err(format!("Shopify says `{why}`")))
        }
        shopify::Written::Gone => Err(run.end_without_customer(customer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(decision: Option<bool>, at: Option<i64>) -> Marketing {
        Marketing { has_address: true, decision, at }
    }

    fn o(promo: Option<bool>, at: Option<i64>) -> Channel {
        Channel { promo, at, ..Channel::default() }
    }

    #[test]
    fn the_later_decision_wins_and_none_decides_nothing() {
        let unseen = Consent::default();
        let cases = [
            (s(Some(true), Some(5)), o(None, None), Act::ToOmneo(true, Why::Only)),
            (s(Some(true), Some(5)), o(Some(false), Some(4)), Act::ToOmneo(true, Why::Later)),
            (s(Some(true), Some(5)), o(Some(false), Some(5)), Act::ToShopify(false, Why::InDoubt)),
            (s(Some(false), Some(5)), o(Some(true), Some(6)), Act::ToShopify(true, Why::Later)),
            (s(None, None), o(Some(true), Some(6)), Act::ToShopify(true, Why::Only)),
            (s(None, None), o(Some(false), Some(6)), Act::Nothing),
            (s(None, None), o(None, None), Act::Nothing),
        ];
        for (s, o, expected) in cases {
            assert_eq!(decide(&s, &o, &unseen), expected, "{s:?} {o:?}");
        }
    }

    /// The shopper opted out at one time and subscribed at another: the later of the two counts.
    #[test]
    fn an_opt_out_is_overruled_by_a_later_act_alone() {
        let optout = |at| Channel { optout: true, ..o(Some(true), at) };
        let unseen = Consent::default();
        assert_eq!(decide(&s(Some(true), Some(9)), &optout(Some(5)), &unseen), Act::ToOmneo(true, Why::Later));
        assert_eq!(decide(&s(Some(true), Some(5)), &optout(Some(9)), &unseen), Act::ToShopify(false, Why::Later));
        assert_eq!(decide(&s(Some(true), Some(9)), &optout(None), &unseen), Act::ToShopify(false, Why::InDoubt));
    }

    #[test]
    fn a_bounce_subscribes_nobody() {
        let bounced = Channel { bounced: true, ..o(Some(true), Some(1)) };
        let act = Act::ToShopify(false, Why::Bounced);
        assert_eq!(decide(&s(Some(true), Some(9)), &bounced, &Consent::default()), act);
        assert_eq!(decide(&s(None, None), &bounced, &Consent::default()), Act::Nothing);
    }

    #[test]
    fn without_times_the_new_decision_wins() {
        let seen = Consent { shopify: Some(true), omneo: Some(true), ..Consent::default() };
        let act = Act::ToShopify(false, Why::New);
        assert_eq!(decide(&s(Some(true), Some(9)), &o(Some(false), None), &seen), act);
        let optout = Channel { optout: true, ..o(None, None) };
        assert_eq!(decide(&s(Some(true), Some(9)), &optout, &seen), act);
    }

    #[test]
    fn a_new_address_carries_no_consent() {
        let seen = Consent { shopify: Some(true), shopify_at: Some(5), omneo: Some(true), held: None };
        assert_eq!(decide(&s(None, None), &o(Some(true), Some(5)), &seen), Act::Nothing);
        assert_eq!(decide(&s(None, None), &o(Some(true), Some(6)), &seen), Act::ToShopify(true, Why::Only));
    }
}
