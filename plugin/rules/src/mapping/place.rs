//! Places: what a path in the rules file means on each side. Knows which values exist, and reads and writes none.

use super::expression::Expression;
use super::format::Format;

/// Where Omneo keeps a value.
#[derive(Clone, Debug)]
pub enum OmneoPlace {
    /// A key of the profile, as a JSON pointer.
    Key(&'static OmneoKey),
    /// `birth_year`, `birth_month` and `birth_day` together.
    BirthDate,
    /// A custom attribute.
    Attribute { namespace: String, handle: String },
    /// Computed from the whole profile.
    Expression(Expression),
}

/// Where Shopify keeps a value.
#[derive(Clone, Debug)]
pub enum ShopifyPlace {
    Key(&'static ShopifyKey),
    Metafield {
        namespace: String,
        key: String,
    },
    /// A tag that is present or not. With `*`, the part of the tag that the star stands for is the value.
    Tag {
        before: String,
        after: Option<String>,
    },
    /// Computed from the whole customer, as the Admin API shows it.
    Expression(Expression),
}

/// A value of a profile (Omneo SDK types of 2026).
#[derive(Debug, PartialEq)]
pub struct OmneoKey {
    /// The path in a rules file.
    pub path: &'static str,
    pub pointer: &'static str,
    /// Whether the value can be written. Omneo computes some values itself.
    pub is_writable: bool,
    /// Whether Omneo requires a value here.
    pub is_required: bool,
    pub format: Kind,
}

/// A value of a customer.
#[derive(Debug, PartialEq)]
pub struct ShopifyKey {
    /// The path in a rules file, and the key in bodies of webhooks.
    pub path: &'static str,
    pub pointer: &'static str,
    /// For GraphQL: the pointer below the customer, and the key in both kinds of input.
    pub node: &'static str,
    pub input: &'static str,
    pub format: Kind,
}

/// The kinds of known values, each of which can be read in certain formats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Number,
    Date,
    Time,
}

const fn key(path: &'static str, pointer: &'static str, format: Kind) -> OmneoKey {
    OmneoKey { path, pointer, is_writable: true, is_required: false, format }
}

const fn computed(path: &'static str, pointer: &'static str, format: Kind) -> OmneoKey {
    OmneoKey { is_writable: false, ..key(path, pointer, format) }
}

const fn required(path: &'static str, pointer: &'static str) -> OmneoKey {
    OmneoKey { is_required: true, ..key(path, pointer, Kind::Text) }
}

pub const OMNEO_KEYS: [OmneoKey; 24] = [
    required("first_name", "/first_name"),
    required("last_name", "/last_name"),
    required("email", "/email"),
    key("mobile_phone", "/mobile_phone", Kind::Text),
    key("title", "/title", Kind::Text),
    key("gender", "/gender", Kind::Text),
    key("currency", "/currency", Kind::Text),
    key("company", "/company", Kind::Text),
    key("occupation", "/occupation", Kind::Text),
    key("avatar_url", "/avatar_url", Kind::Text),
    computed("full_name", "/full_name", Kind::Text),
    computed("joined_at", "/joined_at", Kind::Time),
    computed("profile_type", "/profile_type", Kind::Text),
    computed("region", "/region", Kind::Text),
    computed("tier_handle", "/tier_handle", Kind::Text),
    computed("tier.handle", "/tier/handle", Kind::Text),
    computed("tier.name", "/tier/name", Kind::Text),
    computed("reward_balance", "/reward_balance", Kind::Number),
    computed("point_balance", "/point_balance", Kind::Number),
    computed("point_balance_dollars", "/point_balance_dollars", Kind::Number),
    computed("benefit_balance", "/benefit_balance", Kind::Number),
    computed("credit_balance", "/credit_balance", Kind::Number),
    computed("combined_balance_dollars", "/combined_balance_dollars", Kind::Number),
    computed("external_id", "/external_id", Kind::Text),
];

pub const SHOPIFY_KEYS: [ShopifyKey; 6] = [
    ShopifyKey {
        path: "first_name",
        pointer: "/first_name",
        node: "/firstName",
        input: "firstName",
        format: Kind::Text,
    },
    ShopifyKey { path: "last_name", pointer: "/last_name", node: "/lastName", input: "lastName", format: Kind::Text },
    ShopifyKey {
        path: "email",
        pointer: "/email",
        node: "/defaultEmailAddress/emailAddress",
        input: "email",
        format: Kind::Text,
    },
    ShopifyKey {
        path: "phone",
        pointer: "/phone",
        node: "/defaultPhoneNumber/phoneNumber",
        input: "phone",
        format: Kind::Text,
    },
    ShopifyKey { path: "note", pointer: "/note", node: "/note", input: "note", format: Kind::Text },
    ShopifyKey { path: "locale", pointer: "/locale", node: "/locale", input: "locale", format: Kind::Text },
];

/// How a path begins that is not a key.
pub const ATTRIBUTE: &str = "custom_attributes.";
pub const METAFIELD: &str = "metafields.";
pub const TAG: &str = "tags.";

/// The metafield that links a customer to its profile.
const LINK: (&str, &str) = ("omneo", "profile_id");

impl Kind {
    /// Whether a value of this kind can be read in that format.
    pub fn suits(self, format: &Format) -> bool {
        match self {
            Kind::Text => !matches!(format, Format::Money(_) | Format::List),
            Kind::Number => !matches!(format, Format::Date | Format::Time | Format::List | Format::Boolean),
            Kind::Date => matches!(format, Format::Date | Format::Text),
            Kind::Time => matches!(format, Format::Date | Format::Time | Format::Text),
        }
    }
}

impl OmneoPlace {
    /// The place that a path names, or what is wrong with the path.
    pub fn parse(path: &str) -> Result<Self, String> {
        if path == "birth_date" {
            return Ok(Self::BirthDate);
        }
        if let Some(rest) = path.strip_prefix(ATTRIBUTE) {
            return match rest.split_once('.') {
                Some((namespace, handle)) if is_word(namespace) && is_word(handle) => {
                    Ok(Self::Attribute { namespace: namespace.to_owned(), handle: handle.to_owned() })
                }
                _ => Err("a custom attribute is `custom_attributes.NAMESPACE.HANDLE`".to_owned()),
            };
        }
        let key = OMNEO_KEYS.iter().find(|key| key.path == path);
        key.map(Self::Key).ok_or_else(|| format!("there is no `{path}` in an Omneo profile"))
    }

    /// The path as an author writes it.
    pub fn path(&self) -> String {
        match self {
            Self::Key(key) => key.path.to_owned(),
            Self::BirthDate => "birth_date".to_owned(),
            Self::Attribute { namespace, handle } => format!("{ATTRIBUTE}{namespace}.{handle}"),
            Self::Expression(expression) => expression.text().to_owned(),
        }
    }

    pub fn is_writable(&self) -> bool {
        match self {
            Self::Key(key) => key.is_writable,
            Self::BirthDate | Self::Attribute { .. } => true,
            Self::Expression(_) => false,
        }
    }

    /// Whether Omneo requires a value here.
    pub fn is_required(&self) -> bool {
        matches!(self, Self::Key(key) if key.is_required)
    }

    pub fn suits(&self, format: &Format) -> bool {
        match self {
            Self::Key(key) => key.format.suits(format),
            Self::BirthDate => Kind::Date.suits(format),
            Self::Attribute { .. } | Self::Expression(_) => true,
        }
    }
}

impl ShopifyPlace {
    /// The place that a path names, or what is wrong with the path.
    pub fn parse(path: &str) -> Result<Self, String> {
        if let Some(rest) = path.strip_prefix(METAFIELD) {
            return match rest.split_once('.') {
                Some(LINK) => Err("the metafield `omneo.profile_id` links a customer to its profile".to_owned()),
                // Shopify's limits for a namespace and a key.
                Some((namespace, key))
                    if is_word(namespace)
                        && is_word(key)
                        && (3..=255).contains(&namespace.len())
                        && (2..=64).contains(&key.len()) =>
                {
                    Ok(Self::Metafield { namespace: namespace.to_owned(), key: key.to_owned() })
                }
                _ => Err("a metafield is `metafields.NAMESPACE.KEY`, of at least 3 and 2 letters, digits, `-` or `_`"
                    .to_owned()),
            };
        }
        if let Some(tag) = path.strip_prefix(TAG) {
            let is_tag = !tag.trim_matches('*').trim().is_empty() && !tag.contains(',') && tag.matches('*').count() < 2;
            return match (is_tag, tag.split_once('*')) {
                (false, _) => Err("a tag is `tags.NAME`, or `tags.BEFORE*` with the value in place of `*`".to_owned()),
                (true, None) => Ok(Self::Tag { before: tag.to_owned(), after: None }),
                (true, Some((before, after))) => {
                    Ok(Self::Tag { before: before.to_owned(), after: Some(after.to_owned()) })
                }
            };
        }
        let key = SHOPIFY_KEYS.iter().find(|key| key.path == path);
        key.map(Self::Key).ok_or_else(|| format!("there is no `{path}` in a Shopify customer"))
    }

    /// The path as an author writes it.
    pub fn path(&self) -> String {
        match self {
            Self::Key(key) => key.path.to_owned(),
            Self::Metafield { namespace, key } => format!("{METAFIELD}{namespace}.{key}"),
            Self::Tag { before, after: None } => format!("{TAG}{before}"),
            Self::Tag { before, after: Some(after) } => format!("{TAG}{before}*{after}"),
            Self::Expression(expression) => expression.text().to_owned(),
        }
    }

    /// Whether webhook bodies show this value. Any other value can be read only from the whole customer.
    pub fn is_in_bodies(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    pub fn suits(&self, format: &Format) -> bool {
        match self {
            Self::Key(key) => key.format.suits(format),
            // A tag without `*` can only stand for yes or no.
            Self::Tag { after: None, .. } => *format == Format::Boolean,
            Self::Tag { .. } => !matches!(format, Format::List | Format::Money(_)),
            Self::Metafield { .. } | Self::Expression(_) => true,
        }
    }

    /// The value that a tag expresses, if the tag is of this place: `true`, or the part that the `*` stands for.
    /// Shopify does not distinguish upper and lower case.
    pub fn value_of_tag<'t>(&self, tag: &'t str) -> Option<&'t str> {
        let Self::Tag { before, after } = self else { return None };
        let fits = |at: Option<&str>, part: &str| at.is_some_and(|at| at.eq_ignore_ascii_case(part));
        match after {
            None => tag.eq_ignore_ascii_case(before).then_some("true"),
            Some(after) => {
                let end = tag.len().checked_sub(after.len())?;
                let is_ours =
                    end > before.len() && fits(tag.get(..before.len()), before) && fits(tag.get(end..), after);
                if is_ours { tag.get(before.len()..end) } else { None }
            }
        }
    }

    /// The tag that expresses a value, if there is one.
    pub fn tag(&self, value: Option<&str>) -> Option<String> {
        match (self, value) {
            (Self::Tag { before, after: None }, Some("true")) => Some(before.clone()),
            (Self::Tag { before, after: Some(after) }, Some(value)) => Some(format!("{before}{value}{after}")),
            _ => None,
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written() {
        for path in ["birth_date", "tier.name", "custom_attributes.shoes.size", "email"] {
            assert_eq!(OmneoPlace::parse(path).unwrap().path(), path);
        }
        for path in ["note", "metafields.custom.birth-day", "tags.vip", "tags.cx-tier-*", "tags.size *!"] {
            assert_eq!(ShopifyPlace::parse(path).unwrap().path(), path);
        }
    }

    #[test]
    fn what_is_no_place_says_why() {
        for path in ["", "nme", "custom_attributes.size", "custom_attributes.a b.c", "tier", "birth_date.x"] {
            assert!(OmneoPlace::parse(path).is_err(), "{path}");
        }
        for path in [
            "",
            "metafields.a.b",
            "metafields.custom",
            "metafields.omneo.profile_id",
            "tags.*",
            "tags.a,b",
            "tags.",
            "tags.a*b*",
        ] {
            assert!(ShopifyPlace::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_tag_says_a_value_and_a_value_a_tag() {
        let tier = ShopifyPlace::parse("tags.cx-tier-*").unwrap();
        assert_eq!(tier.value_of_tag("CX-Tier-Gold"), Some("Gold"));
        assert_eq!(tier.tag(Some("Gold")), Some("cx-tier-Gold".into()));
        assert_eq!((tier.value_of_tag("cx-tier-"), tier.value_of_tag("vip"), tier.tag(None)), (None, None, None));
        let vip = ShopifyPlace::parse("tags.vip").unwrap();
        assert_eq!((vip.value_of_tag("VIP"), vip.tag(Some("false"))), (Some("true"), None));
        let around = ShopifyPlace::parse("tags.é*é").unwrap();
        assert_eq!(
            (around.value_of_tag("éaé"), around.value_of_tag("éé"), around.value_of_tag("xxaéé")),
            (Some("a"), None, None)
        );
    }
}
