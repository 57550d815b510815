//! Queries and forms: percent-encoding both ways, and their pairs.
//! Knows nothing of who signs or reads them.

/// Decoded pairs of a query or of a form's body, in their order; a key without `=` has an empty value.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(key, value)| (form(key), form(value))).collect()
}

/// `key=value` of each pair, percent-encoded.
pub(crate) fn encoded(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect()
}

/// Percent-encodes all but RFC 3986's unreserved characters; a space becomes `%20`, never `+`.
pub(crate) fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Decodes percent-encoding; what is none stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| byte == b'%').and_then(|hex| hex::decode(hex).ok());
        bytes.push(code.as_ref().map_or(byte, |code| code[0]));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn form(text: &str) -> String {
    decode(&text.replace('+', " "))
}
