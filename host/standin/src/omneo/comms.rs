//! A profile's communication preferences: which there are, how they are set, how they read.
//! Knows nothing of who may be written to.

use serde_json::{Value, json};

use super::model::{Profile, Row};
use crate::clock;

const CHANNELS: [&str; 5] = ["email", "sms", "push", "phone", "post"];

/// Channels whose address can be verified, which nobody does here.
const VERIFIED: [&str; 4] = ["email", "sms", "phone", "post"];

const SWITCHES: [&str; 9] =
    ["promo", "discover", "benefits", "reminders", "account", "bookings", "feedback", "location", "service"];

const CONSENT_TIMES: [&str; 3] = ["email_consent_updated_at", "sms_consent_updated_at", "terms_accepted_at"];

/// Writes the preferences that Omneo knows; others are ignored.
pub(crate) fn apply(profile: &mut Profile, given: &Value) {
    for (key, value) in given.as_object().into_iter().flatten() {
        let flag = key.split_once('_').is_some_and(|(channel, rest)| {
            CHANNELS.contains(&channel) && (SWITCHES.contains(&rest) || rest == "optout" || rest == "bounced")
        });
        let value = if CONSENT_TIMES.contains(&key.as_str()) {
            value.as_str().and_then(clock::parse).map(clock::plain).into()
        } else if flag {
            match value {
                Value::Number(number) => json!(number.as_u64() != Some(0)),
                Value::Bool(flag) => json!(flag),
                _ => Value::Null,
            }
        } else {
            continue;
        };
        if value.is_null() {
            profile.comms.remove(key);
        } else {
            profile.comms.insert(key.clone(), value);
        }
    }
}

/// Every preference with its `*_raw` twin, which is null while nobody has set it (Omneo SDK types).
pub(crate) fn view(promo_default: Option<bool>, profile: &Profile) -> Row {
    let mut view = Row::new();
    view.insert("profile_id".to_owned(), json!(profile.id));
    for channel in CHANNELS {
        for rest in SWITCHES.into_iter().chain(["optout", "bounced"]) {
            let key = format!("{channel}_{rest}");
            let raw = profile.comms.get(&key).and_then(Value::as_bool);
            let default = match rest {
                "optout" | "bounced" => Some(false),
                "promo" => promo_default,
                _ => None,
            };
            view.insert(format!("{key}_raw"), json!(raw.map(u8::from)));
            view.insert(key, json!(raw.or(default)));
        }
    }
    for channel in VERIFIED {
        view.insert(format!("{channel}_verification"), json!("not_sent"));
    }
    view.insert("terms_accepted_version".to_owned(), Value::Null);
    for key in CONSENT_TIMES {
        view.insert(key.to_owned(), profile.comms.get(key).cloned().unwrap_or_default());
    }
    view
}
