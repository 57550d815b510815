//! `[alerts]`: how often the host looks for alerts, and where they are posted. Knows no particular alert.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::check::Check;
use super::check_url;
use super::file::AlertsFile;

const EVERY_S: u64 = 60;
const EVERY_S_BOUNDS: RangeInclusive<u64> = 1..=3_600;
/// The length of a key that Standard Webhooks prescribes.
const KEY_BYTES: RangeInclusive<usize> = 24..=64;

#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    pub every: Duration,
    pub post: Option<Post>,
}

/// An address that alerts are posted to, and the key that the posts are signed with.
#[derive(Clone, PartialEq)]
pub struct Post {
    pub url: String,
    pub key: Vec<u8>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { every: Duration::from_secs(EVERY_S), post: None }
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // The path of such an address is often a secret.
        let url = Url::parse(&self.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        f.debug_struct("Post").field("host", &host).finish_non_exhaustive()
    }
}

impl Check<'_> {
    pub fn alerts(&mut self, file: &AlertsFile, allow: &[String]) -> Alerts {
        let every_s = file.every_s.as_ref().map_or(EVERY_S, |given| *given.get_ref());
        if let Some(given) = file.every_s.as_ref().filter(|_| !EVERY_S_BOUNDS.contains(&every_s)) {
            let (least, most) = (EVERY_S_BOUNDS.start(), EVERY_S_BOUNDS.end());
            let why = format!("`every_s = {every_s}` is out of bounds\nhint: use {least} to {most} seconds");
            self.problem(given.span(), why);
        }
        Alerts { every: Duration::from_secs(every_s), post: self.post(file, allow) }
    }

    /// Reads `url` and `secret`, which must be given together. Alerts may be posted wherever calls may go.
    fn post(&mut self, file: &AlertsFile, allow: &[String]) -> Option<Post> {
        let (url, secret) = match (&file.url, &file.secret) {
            (Some(url), Some(secret)) => (url, secret),
            (None, None) => return None,
            (Some(one), None) | (None, Some(one)) => {
                let why = "`url` and `secret` of `[alerts]` go together\nhint: `openssl rand -base64 32` makes a secret, which is written behind `whsec_`";
                self.problem(one.span(), why.into());
                return None;
            }
        };
        if let Err(why) = check_url(url.get_ref(), allow) {
            self.problem(url.span(), format!("`url` of `[alerts]`: {why}"));
            return None;
        }
        let given = self.secret(secret.get_ref(), secret)?;
        let key = given.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
        let Some(key) = key.filter(|key| KEY_BYTES.contains(&key.len())) else {
            let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
            let why = format!(
                "`secret` of `[alerts]` is no key of Standard Webhooks\nhint: it is `whsec_` and {least} to {most} bytes in base64: `openssl rand -base64 32` makes them"
            );
            self.problem(secret.span(), why);
            return None;
        };
        Some(Post { url: url.get_ref().clone(), key })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn alerts_are_posted_with_an_address_and_a_key_and_not_with_half_of_that() {
        let read = |alerts: &str| {
            let text = format!("[alerts]\n{alerts}\n");
            let config = super::super::parse("tandem.toml", &text, Path::new(""), |_| None);
            config.map(|config| config.alerts).map_err(|problems| problems.to_string())
        };
        let key = STANDARD.encode([7; 32]);
        let whole = format!("url = \"https://a.example/x\"\nsecret = \"whsec_{key}\"\nevery_s = 5");
        let expected = Post { url: "https://a.example/x".into(), key: vec![7; 32] };
        assert_eq!(read(&whole).unwrap(), Alerts { every: Duration::from_secs(5), post: Some(expected) });
        assert_eq!(read("").unwrap(), Alerts::default());
        assert!(!format!("{:?}", read(&whole).unwrap()).contains("/x"));
        let near = format!("url = \"http://127.0.0.1:9/x\"\nsecret = \"whsec_{key}\"");
        assert!(read(&format!("{near}\n[network]\nallow = [\"127.0.0.1:9\"]")).unwrap().post.is_some());
        for (alerts, why) in [
            ("url = \"https://a.example/x\"".to_owned(), "go together"),
            (format!("secret = \"whsec_{key}\""), "go together"),
            (format!("url = \"a.example\"\nsecret = \"whsec_{key}\""), "is not an address"),
            (near, "is not https"),
            (format!("url = \"https://a.example\"\nsecret = \"{key}\""), "no key of Standard Webhooks"),
            ("url = \"https://a.example\"\nsecret = \"whsec_AAAA\"".to_owned(), "no key of Standard Webhooks"),
            ("every_s = 0".to_owned(), "use 1 to 3600 seconds"),
        ] {
            let said = read(&alerts).unwrap_err();
            assert!(said.contains(why) && !said.contains(&key), "{alerts}: {said}");
        }
    }
}
