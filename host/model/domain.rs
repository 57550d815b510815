//! Reads the domain by which Shopify knows a shop, from a text that may be hostile.
//!
//! Knows how such a domain is written, and not whether there is a shop of that name.

use std::fmt;

use super::DOMAIN_CHARS_MAX;

const SUFFIX: &str = ".myshopify.com";
/// The address under which a merchant's browser shows the shop `NAME.myshopify.com`, up to the name.
const ADMIN: &str = "admin.shopify.com/store/";

/// A domain that Shopify could have given to a shop: `acme.myshopify.com`. It is safe to use as the host of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shop(String);

impl Shop {
    /// The whole domain: `acme.myshopify.com`.
    pub fn domain(&self) -> &str {
        &self.0
    }

    /// The part that is the shop's own: `acme`.
    pub fn name(&self) -> &str {
        self.0.strip_suffix(SUFFIX).unwrap_or(&self.0)
    }
}

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shop of a text that Shopify wrote or is said to have written: exactly the domain, in lower case, with nothing before
/// or after it.
pub fn shop_of_shopify(text: &str) -> Option<Shop> {
    let mut name = text.strip_suffix(SUFFIX)?.bytes();
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = text.len() <= DOMAIN_CHARS_MAX
        && name.next().is_some_and(is_letter)
        && name.all(|byte| is_letter(byte) || byte == b'-');
    fits.then(|| Shop(text.to_owned()))
}

/// The shop that a person means. Besides the domain itself this takes what people copy from a browser: capitals, spaces
/// around it, `https://`, a slash at the end, and the address of the shop's admin, `admin.shopify.com/store/acme`. A page
/// further inside the admin is refused.
pub fn shop_as_typed(text: &str) -> Option<Shop> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("https://").unwrap_or(&lower);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    match bare.strip_prefix(ADMIN) {
        Some(name) => shop_of_shopify(&format!("{name}{SUFFIX}")),
        None => shop_of_shopify(bare),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that are not accepted as a shop, whether they come from Shopify or from a person.
    const HOSTILE: [&str; 38] = [
        "",
        "acme",
        "myshopify.com",
        ".myshopify.com",
        "..myshopify.com",
        "-a.myshopify.com",
        "_a.myshopify.com",
        "a_b.myshopify.com",
        "a..myshopify.com",
        "a.b.myshopify.com",
        "evil.myshopify.com.attacker.com",
        "evilmyshopify.com",
        "a.myshopify.com.",
        "a.myshopify.com//",
        "a.myshopify.com/admin",
        "a.myshopify.com:443",
        "a.myshopify.com?",
        "a.myshopify.com#",
        "a.myshopify.com%00",
        "a.myshopify.com\0",
        "a\0.myshopify.com",
        "a\n.myshopify.com",
        "attacker.com\na.myshopify.com",
        "attacker.com/a.myshopify.com",
        "attacker.com#.myshopify.com",
        "a@b.myshopify.com",
        "a%2e.myshopify.com",
        "http://a.myshopify.com",
        "https://https://a.myshopify.com",
        "//a.myshopify.com",
        // Cyrillic `а`, a full-width `ａ`, the kelvin sign, an ideographic full stop, a soft hyphen.
        "\u{430}.myshopify.com",
        "\u{ff41}.myshopify.com",
        "\u{212a}.myshopify.com",
        "a\u{3002}myshopify.com",
        "a\u{ad}.myshopify.com",
        "admin.shopify.com/store/",
        "admin.shopify.com/store/a.myshopify.com",
        "admin.shopify.com.attacker.com/store/a",
    ];

    #[test]
    fn shopify_writes_a_domain_in_one_way() {
        for domain in ["acme.myshopify.com", "a.myshopify.com", "0.myshopify.com", "a-1--b-.myshopify.com"] {
            let shop = shop_of_shopify(domain).unwrap();
            assert_eq!(shop.domain(), domain);
            assert_eq!(format!("{}.myshopify.com", shop.name()), domain);
        }
        let as_a_person_would = [
            "Acme.myshopify.com",
            "acme.MYSHOPIFY.com",
            " acme.myshopify.com",
            "acme.myshopify.com ",
            "acme.myshopify.com\n",
            "acme.myshopify.com\r\n",
            "acme.myshopify.com/",
            "https://acme.myshopify.com",
            "admin.shopify.com/store/acme",
        ];
        for text in as_a_person_would.into_iter().chain(HOSTILE) {
            assert_eq!(shop_of_shopify(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_person_may_write_it_in_several() {
        let forms = [
            "acme.myshopify.com",
            "ACME.MyShopify.com",
            "  acme.myshopify.com\n",
            "https://acme.myshopify.com",
            "HTTPS://Acme.myshopify.com/",
            "admin.shopify.com/store/acme",
            "https://admin.shopify.com/store/Acme/",
        ];
        for form in forms {
            assert_eq!(shop_as_typed(form).as_ref().map(Shop::domain), Some("acme.myshopify.com"), "{form:?}");
        }
        let admin = [
            "https://admin.shopify.com/store/acme/orders",
            "https://admin.shopify.com/store/acme/../evil",
            "https://admin.shopify.com/store/acme?x=1",
            "https://admin.shopify.com/store/acme#x",
            "https://admin.shopify.com/store/-acme",
            "https://admin.shopify.com/acme",
            "https://user@admin.shopify.com/store/acme",
        ];
        for text in admin.into_iter().chain(HOSTILE) {
            assert_eq!(shop_as_typed(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_domain_has_a_longest_length() {
        let longest = format!("{}{SUFFIX}", "a".repeat(DOMAIN_CHARS_MAX - SUFFIX.len()));
        assert!(shop_of_shopify(&longest).is_some());
        assert_eq!(shop_of_shopify(&format!("a{longest}")), None);
    }
}
