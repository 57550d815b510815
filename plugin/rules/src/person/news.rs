//! What an event of Shopify says, and whether it is news. Makes no calls.

use tandem_sdk::{End, View};

use super::consent::Said;
use super::fields::{Medium, Side, Snapshot};
use super::run::Run;
use super::shopify::{Customer, Marketing};
use super::tags;
use crate::settings::Settings;

/// What an event of Shopify says has happened.
pub enum News<'a> {
    /// The whole customer.
    Body {
        snapshot: Snapshot,
        extras: Extras<'a>,
        /// Whether every mapped field is shown. A webhook's body holds neither metafields nor tags.
        is_whole: bool,
    },
    Tags {
        tags: Vec<&'a str>,
        added: bool,
    },
    Consent(Option<Said>),
}

/// Data that only bodies of API versions before 2025-01 have.
pub struct Extras<'a> {
    tags: Option<Vec<&'a str>>,
    consents: Vec<Said>,
    /// What the oldest bodies, which have no consent object, say about e-mail. There, `false` can also mean that nobody
    /// ever decided.
    accepts: Option<bool>,
}

impl<'a> News<'a> {
    pub fn read(topic: &str, body: &View<'a>, settings: &Settings) -> Result<Self, End> {
        Ok(match topic {
            "customer.tags_added" | "customer.tags_removed" => {
                let tags = body.list("/tags")?.iter().map(|tag| tag.text("")).collect::<Result<_, _>>()?;
                News::Tags { tags, added: topic == "customer.tags_added" }
            }
            "customers_email_marketing_consent/update" => News::Consent(Said::read(body, Medium::Email)?),
            "customers_marketing_consent/update" => News::Consent(Said::read(body, Medium::Sms)?),
            _ => News::Body {
                snapshot: Snapshot::of_body(body, &settings.mapping)?,
                extras: Extras::read(body)?,
                is_whole: !settings.mapping.needs_the_customer(),
            },
        })
    }

    /// What a list shows of a customer: everything but the addresses.
    pub fn of_item(customer: &'a Customer) -> Self {
        let said = |medium, marketing: &Marketing| Said { medium, decision: marketing.decision, at: marketing.at };
        let consents = [said(Medium::Email, &customer.email), said(Medium::Sms, &customer.sms)];
        let extras = Extras {
            tags: Some(customer.tags.iter().map(String::as_str).collect()),
            consents: consents.into_iter().filter(|said| said.decision.is_some()).collect(),
            accepts: None,
        };
        News::Body { snapshot: customer.snapshot.clone(), extras, is_whole: true }
    }

    /// Why no look at the linked person is needed; `None` if one is. A body that equals what was last seen is an echo,
    /// even when its clock is older. A body with an equal clock is never old.
    pub fn is_old(&self, run: &mut Run) -> Option<String> {
        match self {
            News::Body { snapshot, extras, is_whole } => {
                // If the body does not show every mapped field, a newer one only says that something may have changed.
                let is_news = !is_whole && snapshot.at.is_none_or(|at| at > run.memory.clock.merged);
                if !is_news
                    && run.memory.knows_all(Side::Shopify, &snapshot.fields)
                    && extras.are_as_seen(run)
                    && !run.addresses_due
                {
                    let clock = &mut run.memory.clock;
                    clock.merged = clock.merged.max(snapshot.at.unwrap_or(clock.merged));
                    return Some("echo: the customer is as it was last seen".to_owned());
                }
                let merged = run.memory.clock.merged;
                // The clock covers fields only. An address that was never seen is news even in an old body.
                let is_stale = !run.addresses_due && snapshot.at.is_some_and(|at| at < merged);
                is_stale.then(|| "stale: a newer state of the customer has been merged".to_owned())
            }
            News::Tags { tags, added } => {
                let is_echo = tags::are_remembered(run.settings, &run.memory, tags, *added);
                is_echo.then(|| "echo: the tags are as they were last seen".to_owned())
            }
            News::Consent(said) => {
                let is_echo = said.is_some_and(|said| said.is_as_seen(&run.memory));
                is_echo.then(|| "echo: the consent is as it was last seen".to_owned())
            }
        }
    }

    /// Why no look at anybody is needed; `None` if one is.
    pub fn says_nothing(&self, settings: &Settings) -> Option<String> {
        match self {
            News::Consent(_) if !settings.sync.consent => Some("switched off: `sync.consent = false`".to_owned()),
            News::Consent(said) if said.is_none_or(|said| said.decision.is_none()) => {
                Some("neither subscribed nor unsubscribed: no decision".to_owned())
            }
            News::Tags { tags, .. } if !tags::are_mapped(settings, tags) => {
                Some("no tag of the whitelist has changed, and none with the prefix".to_owned())
            }
            _ => None,
        }
    }
}

impl<'a> Extras<'a> {
    pub fn read(body: &View<'a>) -> Result<Self, End> {
        let tags = body.opt_text("/tags")?;
        let tags = tags.map(|tags| tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect());
        let mut consents = vec![];
        for medium in [Medium::Email, Medium::Sms] {
            consents.extend(Said::read(body, medium)?.filter(|said| said.decision.is_some()));
        }
        let has_object = body.get("/email_marketing_consent").is_some_and(|consent| consent.is_object());
        let accepts = if has_object { None } else { body.opt_bool("/accepts_marketing")? };
        Ok(Self { tags, consents, accepts })
    }

    fn accepts_as_seen(&self, run: &Run) -> bool {
        let seen = run.memory.consent.email.as_ref();
        let is_held = seen.is_some_and(|seen| seen.held.is_some());
        let subscribed = seen.is_some_and(|seen| seen.shopify == Some(true));
        self.accepts.is_none_or(|accepts| accepts == subscribed && !is_held)
    }

    pub fn are_as_seen(&self, run: &Run) -> bool {
        let seen = |tags: &Vec<&str>| tags::as_seen(run.settings, &run.memory, tags);
        self.tags.as_ref().is_none_or(seen)
            && (!run.settings.sync.consent
                || (self.consents.iter().all(|said| said.is_as_seen(&run.memory)) && self.accepts_as_seen(run)))
    }
}
