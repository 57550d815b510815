//! What a built component says of its making, in custom sections at its end: the rules file, the digest of the base,
//! and the base itself, as the changes that turn the component back into it. Knows bytes; compiles nothing.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use anyhow::{Context, bail};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmparser::BinaryReader;
use zstd::stream::{read::Decoder, write::Encoder};

use crate::rules::digest;

const RULES_FILE: &str = "tandem:rules-file";
const BASE_DIGEST: &str = "tandem:base-digest";
const BASE: &str = "tandem:base";
/// Longest base that is taken out of a component, in bytes: a JavaScript plugin has about 12 million.
const BASE_BYTES_MAX: usize = 64 << 20;
/// The least and the most that zstd takes for the distance of a match, as a power of two.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 10..=27;
const HEADER_BYTES: usize = 8;

/// How a component was built.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The rules file, as it was written.
    pub rules: String,
    /// The SHA-256 of the component it was frozen into, in hex.
    pub base_digest: String,
}

/// Puts the sections at the end of a component that was built of this base.
pub fn seal(mut component: Vec<u8>, base: &[u8], rules: &str) -> anyhow::Result<Vec<u8>> {
    let changes = changes(&component, base).context("packing the base")?;
    for (name, data) in
        [(RULES_FILE, rules.as_bytes()), (BASE_DIGEST, digest(base).as_bytes()), (BASE, changes.as_slice())]
    {
        CustomSection { name: name.into(), data: data.into() }.append_to_component(&mut component);
    }
    Ok(component)
}

/// What is in the sections; `None` for a component without them.
pub fn origin(component: &[u8]) -> Option<Origin> {
    let sealed = Sealed::read(component)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Origin { rules: text(sealed.rules), base_digest: text(sealed.base_digest) })
}

/// The base that a component was built from, byte for byte; the component itself if it was not built.
pub fn base(component: &[u8]) -> anyhow::Result<Cow<'_, [u8]>> {
    let Some(sealed) = Sealed::read(component) else { return Ok(component.into()) };
    let base = changed(sealed.component, sealed.base).context("unpacking the base that the component was built of")?;
    if digest(&base).as_bytes() != sealed.base_digest {
        bail!("the base in the component is not the one whose digest it names\nhint: build it again from its own base");
    }
    Ok(base.into())
}

/// A component with its sections.
struct Sealed<'a> {
    component: &'a [u8],
    rules: &'a [u8],
    base_digest: &'a [u8],
    base: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// `None` unless the last three sections are these.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = BinaryReader::new(bytes.get(HEADER_BYTES..)?, 0);
        let mut last = [(0, "", &[][..]); 3];
        while !reader.eof() {
            let start = HEADER_BYTES + reader.original_position();
            let (id, size) = (reader.read_u8().ok()?, reader.read_var_u32().ok()?);
            let mut section = BinaryReader::new(reader.read_bytes(size as usize).ok()?, 0);
            // A custom section has the id 0.
            let name = if id == 0 { section.read_string().ok()? } else { "" };
            last.rotate_left(1);
            let rest = section.bytes_remaining();
            last[2] = (start, name, section.read_bytes(rest).ok()?);
        }
        let [(start, RULES_FILE, rules), (_, BASE_DIGEST, base_digest), (_, BASE, base)] = last else { return None };
        Some(Self { component: &bytes[..start], rules, base_digest, base })
    }
}

/// The changes from `old` to `new`: next to nothing, if most of `new` is in `old`.
fn changes(old: &[u8], new: &[u8]) -> std::io::Result<Vec<u8>> {
    let distance = (old.len() + new.len()).next_power_of_two().trailing_zeros();
    let mut encoder = Encoder::with_ref_prefix(vec![], zstd::DEFAULT_COMPRESSION_LEVEL, old)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(distance.clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end()))?;
    encoder.write_all(new)?;
    encoder.finish()
}

fn changed(old: &[u8], changes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut new = vec![];
    Decoder::with_ref_prefix(changes, old)?.take(BASE_BYTES_MAX as u64).read_to_end(&mut new)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_base_comes_back_byte_for_byte() {
        let base = component(r#"(component (core module (memory 1) (data (i32.const 0) "as it was")))"#);
        let built = component(r#"(component (core module (memory 1) (data (i32.const 0) "as it is")))"#);
        let sealed = seal(built.clone(), &base, "timezone = \"UTC\"\n").unwrap();
        wasmparser::validate(&sealed).unwrap();
        assert_eq!(&sealed[..built.len()], built);
        let origin = origin(&sealed).unwrap();
        assert_eq!(origin, Origin { rules: "timezone = \"UTC\"\n".into(), base_digest: digest(&base) });
        assert_eq!(super::base(&sealed).unwrap(), base);
        assert_eq!(super::base(&base).unwrap(), base);
    }

    #[test]
    fn sections_of_what_is_inside_are_not_the_components_own() {
        let sealed = seal(component("(component)"), &component("(component)"), "").unwrap();
        let mut outer = component("(component)");
        wasm_encoder::RawSection { id: 4, data: &sealed }.append_to_component(&mut outer);
        wasmparser::validate(&outer).unwrap();
        assert_eq!(origin(&outer), None);
    }

    #[test]
    fn what_does_not_fit_its_digest_is_refused() {
        let (one, other) = (component("(component)"), component("(component (core module))"));
        let mut sealed = one.clone();
        for (name, data) in [(RULES_FILE, &b""[..]), (BASE_DIGEST, b"00"), (BASE, &changes(&one, &other).unwrap())] {
            CustomSection { name: name.into(), data: data.into() }.append_to_component(&mut sealed);
        }
        assert!(base(&sealed).unwrap_err().to_string().contains("not the one whose digest"));
        for end in 0..sealed.len() {
            assert_eq!(origin(&sealed[..end]), None, "cut off at {end}");
        }
    }
}
