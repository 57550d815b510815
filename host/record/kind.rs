//! Says by its key what a value of Shopify's or Omneo's is: whose name, an address, an id, or nothing personal. Knows keys;
//! changes nothing.

use serde_json::{Map, Value};

/// What a text is, as far as personal data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each of its words is the person's.
    Name,
    /// An address, a company, a remark: as a whole.
    Text,
    Phone,
    /// A day of birth.
    Born,
    Ip,
    /// Coordinates.
    Place,
    /// Opens something, or stands for somebody.
    Token,
    /// One of a set, a time, an amount: stays.
    Fixed,
    /// Stays, but for what is known to be personal.
    Plain,
    /// Nobody knows: stays if it looks like one of a set, and is personal if it looks like words.
    Unknown,
}

const NAMES: [&str; 10] = [
    "first_name",
    "last_name",
    "full_name",
    "middle_name",
    "display_name",
    "card_name",
    "credit_card_name",
    "nickname",
    "recipient",
    "customer_name",
];
const TEXTS: [&str; 28] = [
    "address1",
    "address2",
    "address_line_1",
    "address_line_2",
    "address_line_3",
    "street",
    "street_address",
    "apartment",
    "city",
    "suburb",
    "zip",
    "postcode",
    "postal_code",
    "company",
    "occupation",
    "note",
    "notes",
    "comment",
    "comments",
    "instructions",
    "delivery_instructions",
    "user_agent",
    "landing_site",
    "referring_site",
    "formatted",
    "formatted_area",
    "gift_message",
    "staff_note",
];
const BORN: [&str; 6] = ["birth_date", "birthday", "date_of_birth", "dob", "birth_day", "birth_month"];
const IPS: [&str; 4] = ["browser_ip", "ip", "ip_address", "client_ip"];
const TOKENS: [&str; 4] = ["signature", "confirmation_number", "password", "secret"];
const FIXED: [&str; 35] = [
    "currency",
    "presentment_currency",
    "currency_code",
    "country",
    "country_code",
    "country_name",
    "iso",
    "iso_state",
    "province",
    "province_code",
    "state",
    "timezone",
    "time_zone",
    "locale",
    "customer_locale",
    "source_name",
    "gateway",
    "payment_gateway_names",
    "payments",
    "systems",
    "event",
    "trigger",
    "topic",
    "type",
    "kind",
    "namespace",
    "key",
    "code",
    "__typename",
    "marketing_state",
    "marketing_opt_in_level",
    "opt_in_level",
    "profile_type",
    "format",
    "api_client_id",
];
const PLAIN: [&str; 32] = [
    "title",
    "subtitle",
    "sku",
    "barcode",
    "vendor",
    "brand",
    "product_type",
    "department",
    "option1",
    "option2",
    "option3",
    "options",
    "values",
    "variant_title",
    "body_html",
    "description",
    "handle",
    "tags",
    "flattened_tags",
    "src",
    "url",
    "alt",
    "message",
    "messages",
    "field",
    "status",
    "source",
    "reason",
    "label",
    "price",
    "unit",
    "link",
];
/// Beside these a name is somebody's; beside those it is a thing's.
const OF_PEOPLE: [&str; 8] =
    ["first_name", "last_name", "firstName", "lastName", "address1", "address_line_1", "email", "zip"];
const OF_THINGS: [&str; 7] = ["sku", "price", "quantity", "variant_id", "product_id", "title", "price_sell"];

/// What stands under a key, beside these.
pub fn kind(key: &str, beside: Option<&Map<String, Value>>) -> Kind {
    let key = snake(key);
    let has = |keys: &[&str]| keys.contains(&key.as_str());
    let beside_one_of = |keys: &[&str]| beside.is_some_and(|beside| keys.iter().any(|key| beside.contains_key(*key)));
    match () {
        () if has(&NAMES) => Kind::Name,
        () if key == "name" && beside_one_of(&OF_THINGS) => Kind::Plain,
        () if key == "name" && beside_one_of(&OF_PEOPLE) => Kind::Name,
        () if has(&TEXTS) => Kind::Text,
        () if key.contains("phone") || key == "mobile" => Kind::Phone,
        () if has(&BORN) => Kind::Born,
        () if has(&IPS) => Kind::Ip,
        () if key == "latitude" || key == "longitude" => Kind::Place,
        () if has(&TOKENS) || key.ends_with("token") => Kind::Token,
        () if has(&FIXED) || ["_at", "_status", "_currency"].iter().any(|end| key.ends_with(end)) => Kind::Fixed,
        () if has(&PLAIN) => Kind::Plain,
        () => Kind::Unknown,
    }
}

/// Whether a number or a text of digits under a key is an id.
pub fn is_id(key: &str) -> bool {
    let key = snake(key);
    key == "id" || key == "identifier" || ["_id", "_ids", "_gids", "_number"].iter().any(|end| key.ends_with(end))
}

/// Whether digits under a key are the number of an order, as in `#1001`: short ones, too.
pub fn is_number(key: &str) -> bool {
    matches!(snake(key).as_str(), "order_number" | "number")
}

/// Whether what stands below a key says what is wrong with a request: texts of the system, under keys of the request.
pub fn is_complaint(key: &str) -> bool {
    matches!(key, "errors" | "userErrors" | "user_errors")
}

/// Whether a text looks like words, and not like one of a set.
pub fn is_wordy(text: &str) -> bool {
    let has_letter = text.contains(char::is_alphabetic);
    let is_set = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let capital = text.starts_with(char::is_uppercase) && !text.chars().all(is_set);
    has_letter && (capital || text.trim().contains(char::is_whitespace) || !text.is_ascii()) && !text.contains("://")
}

/// `firstName` as `first_name`.
fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len());
    for c in key.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
