//! Reads a JSON text once into a flat list of nodes that point into the text, instead of building a tree: an ask looks
//! at a tenth of a body. Knows the grammar, and nothing of how a value is interpreted.

use std::borrow::Cow;

use serde_json::Value;

/// The same depth limit as `serde_json`.
const DEPTH_MAX: usize = 127;
/// For each node, this many bytes of text are assumed when memory is reserved: bodies of Shopify have one node for
/// eleven bytes.
const BYTES_PER_NODE: usize = 10;

/// A text and its values, in the order of the text.
#[derive(Clone, Debug)]
pub struct Tape<'t> {
    text: Cow<'t, str>,
    nodes: Vec<Node>,
    /// Decoded values whose meaning differs from their spelling: texts with escapes, and numbers with an exponent.
    decoded: String,
}

/// A value, or the key that stands before a value. The members of a list or an object follow their node.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    end: u32,
    /// Index of the node after everything that belongs to this one; for a key, this is its value.
    next: u32,
    kind: Kind,
    is_decoded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Null,
    False,
    True,
    Number,
    Text,
    List,
    Object,
}

impl<'t> Tape<'t> {
    /// Reads exactly the texts that `serde_json` reads. For any other text, the error is the one that `serde_json`
    /// gives.
    pub fn read(text: Cow<'t, str>) -> Result<Self, String> {
        if u32::try_from(text.len()).is_err() {
            return Err("longer than 4 GiB".to_owned());
        }
        let nodes = Vec::with_capacity(text.len() / BYTES_PER_NODE + 4);
        let mut reader = Reader { text: &text, bytes: text.as_bytes(), at: 0, nodes, decoded: String::new() };
        match reader.all() {
            Some(()) => {
                let Reader { nodes, decoded, .. } = reader;
                Ok(Self { text, nodes, decoded })
            }
            None => Err(match serde_json::from_str::<Value>(&text) {
                Ok(_) => "it cannot be read".to_owned(),
                Err(error) => error.to_string(),
            }),
        }
    }

    pub fn kind(&self, node: usize) -> Kind {
        self.nodes[node].kind
    }

    /// The value as text: a text without quotes and escapes, a number as `serde_json` writes it, anything else as it is
    /// spelled.
    pub fn text(&self, node: usize) -> &str {
        let Node { start, end, .. } = self.nodes[node];
        &self.text_of(self.nodes[node])[start as usize..end as usize]
    }

    /// The value of a key. When an object has the key twice, the later one counts.
    pub fn member(&self, object: usize, key: &str) -> Option<usize> {
        let (mut found, mut at, end) = (None, object + 1, self.nodes[object].next as usize);
        while at < end {
            let node = self.nodes[at];
            if (node.end - node.start) as usize == key.len()
                && self.text_of(node).as_bytes()[node.start as usize..node.end as usize] == *key.as_bytes()
            {
                found = Some(at + 1);
            }
            at = node.next as usize;
        }
        found
    }

    /// The members of a list, or the keys of an object, each of which stands before its value.
    pub fn inside(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let (mut next, end) = (node + 1, self.nodes[node].next as usize);
        std::iter::from_fn(move || {
            let node = (next < end).then_some(next)?;
            next = self.nodes[node].next as usize;
            Some(node)
        })
    }

    /// The JSON pointer of a value.
    pub fn pointer(&self, to: usize) -> String {
        let (mut pointer, mut above) = (String::new(), 0);
        while above != to {
            let has = |node: &usize| (*node..self.nodes[*node].next as usize).contains(&to);
            let Some((n, node)) = self.inside(above).enumerate().find(|(_, node)| has(node)) else { break };
            pointer.push('/');
            if self.kind(above) == Kind::Object {
                pointer.push_str(&self.text(node).replace('~', "~0").replace('/', "~1"));
                above = node + 1;
            } else {
                pointer.push_str(&n.to_string());
                above = node;
            }
        }
        pointer
    }

    fn text_of(&self, node: Node) -> &str {
        if node.is_decoded { &self.decoded } else { &self.text }
    }
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
    decoded: String,
}

impl Reader<'_> {
    fn all(&mut self) -> Option<()> {
        self.value(0)?;
        self.ahead().is_none().then_some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.ahead()? {
            b'"' => self.string(),
            b'{' => self.members(Kind::Object, b'}', depth),
            b'[' => self.members(Kind::List, b']', depth),
            b'n' => self.word(b"null", Kind::Null),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            _ => self.number(),
        }
    }

    fn members(&mut self, kind: Kind, close: u8, depth: usize) -> Option<()> {
        if depth == DEPTH_MAX {
            return None;
        }
        let node = self.nodes.len();
        self.push(kind, self.at, self.at);
        self.at += 1;
        let mut is_over = self.ahead()? == close;
        while !is_over {
            if kind == Kind::Object {
                self.member(depth)?;
            } else {
                self.value(depth + 1)?;
            }
            is_over = self.ahead()? == close;
            if !is_over {
                self.eat(b',')?;
            }
        }
        self.at += 1;
        (self.nodes[node].end, self.nodes[node].next) = (self.at as u32, self.nodes.len() as u32);
        Some(())
    }

    fn member(&mut self, depth: usize) -> Option<()> {
        let key = self.nodes.len();
        (self.ahead()? == b'"').then(|| self.string())??;
        self.ahead()?;
        self.eat(b':')?;
        self.value(depth + 1)?;
        self.nodes[key].next = self.nodes.len() as u32;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let start = self.at + 1;
        let end = self.plain(start);
        match self.bytes.get(end)? {
            b'"' => {
                self.push(Kind::Text, start, end);
                self.at = end + 1;
                Some(())
            }
            b'\\' => self.escaped(start, end),
            _ => None,
        }
    }

    /// The position of the next byte that is not plain text: a quote, an escape, a control character, or the end. Looks
    /// at eight bytes at a time and marks each by its highest bit.
    fn plain(&self, mut at: usize) -> usize {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGH: u64 = ONES << 7;
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let rest = self.bytes.get(at..).unwrap_or_default();
        for eight in rest.as_chunks::<8>().0 {
            let word = u64::from_le_bytes(*eight);
            let controls = word.wrapping_sub(ONES * 0x20) & !word;
            let quotes = zeros(word ^ (ONES * u64::from(b'"')));
            let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
            let found = (controls | quotes | escapes) & HIGH;
            if found != 0 {
                return at + found.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        at + rest.as_chunks::<8>().1.iter().take_while(|byte| is_plain(byte)).count()
    }

    /// Reads a text with escapes, the first of them at `at`. Escapes are rare and full of pitfalls, so `serde_json`
    /// decodes them.
    fn escaped(&mut self, start: usize, mut at: usize) -> Option<()> {
        while *self.bytes.get(at)? != b'"' {
            at = self.plain(at + if self.bytes[at] == b'\\' { 2 } else { return None });
        }
        let text: String = serde_json::from_str(&self.text[start - 1..=at]).ok()?;
        self.push_decoded(Kind::Text, &text);
        self.at = at + 1;
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.at += usize::from(self.peek()? == b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.skip_digits()?,
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        let end = self.at;
        if !matches!(self.peek(), Some(b'e' | b'E')) {
            self.push(Kind::Number, start, end);
            return Some(());
        }
        self.at += 1;
        let sign = match self.peek()? {
            sign @ (b'+' | b'-') => {
                self.at += 1;
                char::from(sign)
            }
            _ => '+',
        };
        let digits = self.at;
        self.skip_digits()?;
        let number = format!("{}e{sign}{}", &self.text[start..end], &self.text[digits..self.at]);
        self.push_decoded(Kind::Number, &number);
        Some(())
    }

    fn skip_digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word<const N: usize>(&mut self, word: &[u8; N], kind: Kind) -> Option<()> {
        let start = self.at;
        self.bytes[start..].starts_with(word).then(|| {
            self.at += N;
            self.push(kind, start, self.at);
        })
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: end as u32, next, kind, is_decoded: false });
    }

    fn push_decoded(&mut self, kind: Kind, text: &str) {
        let (start, next) = (self.decoded.len() as u32, self.nodes.len() as u32 + 1);
        self.decoded.push_str(text);
        self.nodes.push(Node { start, end: self.decoded.len() as u32, next, kind, is_decoded: true });
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Skips blanks and gives the next byte; `None` at the end of the text.
    fn ahead(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#" { "a" : [1, -0.50, 1E5, 2e-3, {"b":"x\n\u00e9\ud83d\ude00 \"q\" long enough for two words of it"}, null],
        "a~/b": {"c": [true, false, [], {}]}, "a":"twice", "":"é", "z" :12345678901234567890123 } "#;

    /// The tape must read exactly what `serde_json` reads, and refuse only what `serde_json` refuses.
    #[test]
    fn a_text_reads_as_serde_json_reads_it() {
        assert!(same(BODY));
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "\"\t\"",
            "\"\\ud800\"",
            "\"\\",
            "\"\\é",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "nul",
            "1 2",
        ] {
            assert!(!same(text), "{text}");
        }
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
            assert!(same(&nested(DEPTH_MAX)));
            assert!(!same(&nested(DEPTH_MAX + 1)));
        }
    }

    #[test]
    fn a_text_with_a_byte_changed_reads_as_serde_json_reads_it() {
        let mut read = 0;
        for at in 0..BODY.trim_end().len() {
            for byte in b"\"\\{}[]:,0e.- \n\x01nu~" {
                let mut bytes = BODY.as_bytes().to_vec();
                bytes[at] = *byte;
                if let Ok(text) = String::from_utf8(bytes) {
                    read += usize::from(same(&text));
                }
            }
            if let Some(cut) = BODY.trim_end().get(..at) {
                assert!(!same(cut), "{cut}");
            }
        }
        assert!(read > 500, "{read}");
    }

    /// Whether both parsers accept the text. If they do, compares what they read.
    fn same(text: &str) -> bool {
        match (Tape::read(text.into()), serde_json::from_str::<Value>(text)) {
            (Ok(tape), Ok(value)) => {
                compare(&tape, 0, &value, &mut String::new());
                true
            }
            (Err(ours), Err(theirs)) => {
                assert_eq!(ours, theirs.to_string());
                false
            }
            (ours, theirs) => panic!("{text}: {ours:?} {theirs:?}"),
        }
    }

    fn compare(tape: &Tape, node: usize, value: &Value, pointer: &mut String) {
        assert_eq!(&tape.pointer(node), pointer);
        match value {
            Value::Object(members) => {
                assert_eq!(tape.kind(node), Kind::Object);
                let keys: std::collections::BTreeSet<_> = tape.inside(node).map(|key| tape.text(key)).collect();
                assert_eq!(keys.len(), members.len());
                for (key, value) in members {
                    let above = pointer.len();
                    pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
                    compare(tape, tape.member(node, key).unwrap(), value, pointer);
                    pointer.truncate(above);
                }
            }
            Value::Array(members) => {
                assert_eq!(tape.kind(node), Kind::List);
                let inside: Vec<_> = tape.inside(node).collect();
                assert_eq!(inside.len(), members.len());
                for (n, (node, value)) in inside.into_iter().zip(members).enumerate() {
                    let above = pointer.len();
                    pointer.push_str(&format!("/{n}"));
                    compare(tape, node, value, pointer);
                    pointer.truncate(above);
                }
            }
            Value::String(text) => assert_eq!((tape.kind(node), tape.text(node)), (Kind::Text, text.as_str())),
            Value::Number(number) => assert_eq!((tape.kind(node), tape.text(node)), (Kind::Number, number.as_str())),
            Value::Bool(true) => assert_eq!(tape.kind(node), Kind::True),
            Value::Bool(false) => assert_eq!(tape.kind(node), Kind::False),
            Value::Null => assert_eq!(tape.kind(node), Kind::Null),
        }
    }
}
