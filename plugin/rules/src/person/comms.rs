//! What a profile may be sent: Omneo's communication attributes, as far as they are mapped. Asks nobody.

use tandem_sdk::{View, Wrong};

use super::fields::Medium;
use crate::clock::seconds;

/// The communication attributes that are mapped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comms {
    pub email: Channel,
    pub sms: Channel,
}

/// Where a channel's attributes are: the decision as it was made, with what is there by default, no mail at all, mail
/// that came back, and when that changed.
type Keys = [&'static str; 5];

const EMAIL: Keys =
    ["/email_promo_raw", "/email_promo", "/email_optout", "/email_bounced", "/email_consent_updated_at"];
const SMS: Keys = ["/sms_promo_raw", "/sms_promo", "/sms_optout", "/sms_bounced", "/sms_consent_updated_at"];

/// One channel of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channel {
    /// `None` where nobody has said anything.
    pub promo: Option<bool>,
    pub optout: bool,
    pub bounced: bool,
    pub at: Option<i64>,
}

impl Comms {
    pub fn read(body: &View) -> Result<Self, Wrong> {
        Ok(Self { email: Channel::read(body, EMAIL)?, sms: Channel::read(body, SMS)? })
    }

    /// Whether these are the ones before, but for one decision.
    pub fn is_only(&self, medium: Medium, decided: bool, before: &Comms) -> bool {
        let (changed, other, other_before) = match medium {
            Medium::Email => (&self.email, &self.sms, &before.sms),
            Medium::Sms => (&self.sms, &self.email, &before.email),
        };
        changed.decision() == Some(decided) && other == other_before
    }

    /// All of it as a text, to be compared.
    pub fn text(&self) -> String {
        let one = |c: &Channel| format!("{:?} {} {} {:?}", c.promo, c.optout, c.bounced, c.at);
        format!("{}; {}", one(&self.email), one(&self.sms))
    }
}

impl Channel {
    /// `*_raw`, where there is one, tells a default from a decision: null is nobody's.
    fn read(body: &View, [raw, promo, optout, bounced, at]: Keys) -> Result<Self, Wrong> {
        let is_default = body.get(raw).is_some_and(|raw| raw.is_null());
        Ok(Self {
            promo: body.opt_bool(promo)?.filter(|_| !is_default),
            optout: body.opt_bool(optout)?.unwrap_or(false),
            bounced: body.opt_bool(bounced)?.unwrap_or(false),
            at: seconds(body, at)?,
        })
    }

    /// Whether messages may be sent; `None` where nobody has decided.
    pub fn decision(&self) -> Option<bool> {
        if self.optout || self.bounced { Some(false) } else { self.promo }
    }
}
