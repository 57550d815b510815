//! Short marks of texts and of JSON values: equal values have equal marks.
//!
//! Marks are kept for years and compared by later builds. They are therefore made with FNV-1a, which never changes, and
//! the mark of an object does not depend on the order of its keys.

use tandem_sdk::Value;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The mark of a text: 16 hexadecimal digits.
pub fn fingerprint(text: impl AsRef<[u8]>) -> String {
    hex(fold(OFFSET, text.as_ref()))
}

/// The mark of several JSON values in a row: 16 hexadecimal digits.
pub fn fingerprint_json<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    hex(values.into_iter().fold(OFFSET, fold_value))
}

fn hex(mark: u64) -> String {
    format!("{mark:016x}")
}

fn fold(mark: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(mark, |mark, byte| (mark ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Ends each text with a byte that UTF-8 never contains, so that two neighbouring texts do not run together.
fn fold_text(mark: u64, kind: &[u8], text: &str) -> u64 {
    fold(fold(fold(mark, kind), text.as_bytes()), &[0xff])
}

fn fold_value(mark: u64, value: &Value) -> u64 {
    match value {
        Value::Null => fold(mark, b"n"),
        Value::Bool(value) => fold(mark, if *value { b"t" } else { b"f" }),
        Value::Number(number) => fold_text(mark, b"#", number.as_str()),
        Value::String(text) => fold_text(mark, b"s", text),
        Value::Array(members) => fold(members.iter().fold(fold(mark, b"["), fold_value), b"]"),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            let inside = |mark, (key, value): (&String, &Value)| fold_value(fold_text(mark, b"k", key), value);
            fold(members.into_iter().fold(fold(mark, b"{"), inside), b"}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::json;

    #[test]
    fn a_mark_is_the_same_for_ever() {
        assert_eq!(fingerprint(""), "cbf29ce484222325");
        assert_eq!(fingerprint("foobar"), "85944171f73967e8");
    }

    #[test]
    fn keys_have_no_order_and_texts_do_not_run_together() {
        let parsed = |text: &str| fingerprint_json([&serde_json::from_str::<Value>(text).unwrap()]);
        assert_eq!(parsed(r#"{"a":1,"b":[2.50]}"#), parsed(r#"{"b":[2.50],"a":1}"#));
        assert_ne!(parsed("[[1],2]"), parsed("[[1,2]]"));
        assert_ne!(fingerprint_json([&json!("ab"), &json!("c")]), fingerprint_json([&json!("a"), &json!("bc")]));
    }
}
