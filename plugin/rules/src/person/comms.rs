//! What a profile may be sent: Omneo's communication attributes, as far as they are mapped. Makes no calls.

use tandem_sdk::{View, Wrong};

use super::fields::Medium;
use crate::clock::seconds;

/// The communication attributes that are mapped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comms {
    pub email: Channel,
    pub sms: Channel,
}

/// The places of a channel's attributes: the decision as it was made, the decision with the default filled in, the
/// opt-out of all messages, bounced messages, and when the consent was last changed.
type Keys = [&'static str; 5];

const EMAIL: Keys =
    ["/email_promo_raw", "/email_promo", "/email_optout", "/email_bounced", "/email_consent_updated_at"];
const SMS: Keys = ["/sms_promo_raw", "/sms_promo", "/sms_optout", "/sms_bounced", "/sms_consent_updated_at"];

/// The attributes of one channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channel {
    /// The decision; `None` where nobody has decided.
    pub promo: Option<bool>,
    pub optout: bool,
    pub bounced: bool,
    pub at: Option<i64>,
}

impl Comms {
    pub fn read(body: &View) -> Result<Self, Wrong> {
        Ok(Self { email: Channel::read(body, EMAIL)?, sms: Channel::read(body, SMS)? })
    }

    /// Whether the attributes equal those before, except for one decision.
    pub fn is_only(&self, medium: Medium, decided: bool, before: &Comms) -> bool {
        let (changed, other, other_before) = match medium {
            Medium::Email => (&self.email, &self.sms, &before.sms),
            Medium::Sms => (&self.sms, &self.email, &before.email),
        };
        changed.decision() == Some(decided) && other == other_before
    }

    /// All attributes as a text, for comparison.
    pub fn text(&self) -> String {
        let one = |c: &Channel| format!("{:?} {} {} {:?}", c.promo, c.optout, c.bounced, c.at);
        format!("{}; {}", one(&self.email), one(&self.sms))
    }
}

impl Channel {
    /// Reads a channel. Where there is a `*_raw` attribute and it is null, the value beside it is a default and not a
    /// decision.
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
