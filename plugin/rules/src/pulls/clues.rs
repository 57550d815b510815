//! What may tell that a customer and a profile are one person, and what a person may want to look at before an import. Knows
//! how both sides write such things; joins nobody.

use crate::mapping::{Core, is_e164};
use crate::settings::Settings;

/// Claims of one person that are told: more were written by somebody who plays with them.
const CLAIMS_MAX: usize = 8;
/// Domains that belong to nobody (RFC 2606, RFC 6761).
const NOBODYS: [&str; 7] = ["example.com", "example.net", "example.org", ".example", ".test", ".invalid", ".localhost"];
/// Tags by which shops mark their own people.
const STAFF: [&str; 4] = ["staff", "employee", "team member", "internal"];

/// What a list shows of a person.
#[derive(Default)]
pub struct Person<'a> {
    pub email: Option<&'a str>,
    pub phone: Option<&'a str>,
    pub names: [Option<&'a str>; 2],
    pub tags: Vec<&'a str>,
    /// Whom the person claims to be on the other side: `link/…` for a profile, `identity/…` for a customer.
    pub claims: Vec<String>,
}

/// E-mail addresses and numbers are written as the rules compare them.
pub fn clues(settings: &Settings, person: Person) -> Vec<String> {
    let plain = |core: Core, value: &str| {
        let field = settings.mapping.fields().find(|field| field.is(core));
        Some(field?.plain(value)).filter(|value| !value.is_empty())
    };
    let email = person.email.and_then(|email| plain(Core::Email, email));
    let phone = person.phone.and_then(|phone| plain(Core::Phone, phone)).filter(|phone| is_e164(phone));
    let alike = email.as_deref().and_then(alike).map(|alike| format!("alike/{alike}"));
    let is_test = email.as_deref().is_some_and(is_nobodys)
        || person.names.into_iter().flatten().any(|name| name.trim().eq_ignore_ascii_case("test"));
    let is_staff = person.tags.iter().any(|tag| STAFF.iter().any(|staff| staff.eq_ignore_ascii_case(tag.trim())));
    let notes = [(is_test, "note/test person"), (is_staff, "note/staff")];
    let mut clues: Vec<_> = email.map(|email| format!("email/{email}")).into_iter().chain(alike).collect();
    clues.extend(phone.map(|phone| format!("phone/{phone}")));
    clues.extend(person.claims.into_iter().take(CLAIMS_MAX));
    clues.extend(notes.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note.to_owned()));
    clues
}

/// An address without what people write now and then differently: dots, and what stands behind a plus.
fn alike(email: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    let local = local.split('+').next().unwrap_or(local).replace('.', "");
    (!local.is_empty()).then(|| format!("{}@{}", local.to_lowercase(), domain.to_lowercase()))
}

fn is_nobodys(email: &str) -> bool {
    let (local, domain) = email.rsplit_once('@').unwrap_or_default();
    let domain = domain.to_lowercase();
    local.eq_ignore_ascii_case("test")
        || NOBODYS.iter().any(|nobodys| match nobodys.strip_prefix('.') {
            Some(_) => domain.ends_with(nobodys),
            None => domain == *nobodys,
        })
}
