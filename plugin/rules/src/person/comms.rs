//! What a profile may be sent: Omneo's communication attributes, as far as they are mapped. Asks nobody.

use tandem_sdk::{View, Wrong};

use super::fields::Medium;
use super::shopify::seconds;

/// The communication attributes that are mapped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comms {
    pub email: Channel,
    pub sms: Channel,
}

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
        Ok(Self { email: Channel::read(body, "email")?, sms: Channel::read(body, "sms")? })
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
    fn read(body: &View, channel: &str) -> Result<Self, Wrong> {
        let flag = |name: &str| body.opt_bool(&format!("/{channel}_{name}"));
        let raw = body.get(&format!("/{channel}_promo_raw"));
        let is_default = raw.is_some_and(|raw| raw.is_null());
        Ok(Self {
            promo: flag("promo")?.filter(|_| !is_default),
            optout: flag("optout")?.unwrap_or(false),
            bounced: flag("bounced")?.unwrap_or(false),
            at: seconds(body, &format!("/{channel}_consent_updated_at"))?,
        })
    }

    /// Whether messages may be sent; `None` where nobody has decided.
    pub fn decision(&self) -> Option<bool> {
        if self.optout || self.bounced { Some(false) } else { self.promo }
    }
}
