//! Tags: two one-way flows that never meet. Tags of the whitelist go from Shopify to Omneo; Omneo's tags come to
//! Shopify with the prefix. Does not know what a tag means.

use std::collections::{BTreeMap, BTreeSet};

use tandem_sdk::{End, json};

use super::fields::Side;
use super::mark::Mark;
use super::memory::Memory;
use super::omneo::{self, Profile};
use super::run::Run;
use super::shopify::{self, Customer};
use crate::mapping::Mapping;
use crate::settings::{Settings, Tags};

/// Shopify's limits for a tag and for the number of tags.
const TAG_CHARS_MAX: usize = 255;
const TAGS_MAX: usize = 250;

/// The tag as Omneo writes it, with hyphens for blanks.
fn hyphened(tag: &str) -> String {
    tag.trim().replace(' ', "-")
}

/// The tag in the form in which tags are compared.
fn folded(tag: &str) -> String {
    hyphened(tag).to_lowercase()
}

pub fn has_prefix(settings: &Tags, tag: &str) -> bool {
    tag.to_lowercase().starts_with(&settings.prefix.to_lowercase())
}

/// The tags that no field is mapped to. A field's tag is not synchronised as a tag as well.
fn of_nobody<'t>(mapping: &Mapping, tags: &'t [String]) -> impl Iterator<Item = &'t String> {
    tags.iter().filter(move |tag| !mapping.has_tag(tag))
}

fn is_listed(settings: &Tags, tag: &str) -> bool {
    !has_prefix(settings, tag) && settings.whitelist.iter().any(|listed| folded(listed) == folded(tag))
}

/// Whether any of these tags goes to the other side.
pub fn are_mapped(settings: &Settings, tags: &[&str]) -> bool {
    let is_mapped =
        |tag: &&str| settings.mapping.has_tag(tag) || has_prefix(&settings.tags, tag) || is_listed(&settings.tags, tag);
    tags.iter().any(is_mapped)
}

/// Whether an event that names added or removed tags says only what is remembered. Such an event may be late, so it
/// counts for nothing else; any later change sends an event of its own.
pub fn are_remembered(settings: &Settings, memory: &Memory, tags: &[&str], added: bool) -> bool {
    let Some(prefixed) = &memory.tags.prefixed else {
        return false;
    };
    tags.iter().all(|tag| {
        if settings.mapping.has_tag(tag) {
            // The memory of a field does not name the tag.
            false
        } else if has_prefix(&settings.tags, tag) {
            prefixed.contains(&tag.to_lowercase()) == added
        } else {
            !is_listed(&settings.tags, tag) || memory.tags.seen.contains(&folded(tag)) == added
        }
    })
}

/// Whether a whole list of tags is as last seen, as far as its tags are mapped.
pub fn as_seen(settings: &Settings, memory: &Memory, tags: &[&str]) -> bool {
    let tags: Vec<_> = tags.iter().filter(|tag| !settings.mapping.has_tag(tag)).collect();
    let settings = &settings.tags;
    let listed: BTreeSet<_> = tags.iter().filter(|tag| is_listed(settings, tag)).map(|tag| folded(tag)).collect();
    let prefixed: BTreeSet<_> =
        tags.iter().filter(|tag| has_prefix(settings, tag)).map(|tag| tag.to_lowercase()).collect();
    listed.iter().eq(&memory.tags.seen) && memory.tags.prefixed.as_ref().is_some_and(|seen| prefixed.iter().eq(seen))
}

/// The mark of a profile's tags, independent of their order.
pub fn mark(tags: &[String]) -> Mark {
    let tags: BTreeSet<_> = tags.iter().map(String::as_str).collect();
    Mark::of_text(&tags.into_iter().collect::<Vec<_>>().join("\n"))
}

pub async fn sync(run: &mut Run<'_>, customer: &Customer, profile: &mut Profile) -> Result<(), End> {
    if profile.tags.is_none() {
        return Ok(());
    }
    if run.to_omneo {
        to_omneo(run, customer, profile).await?;
    }
    let tags = profile.tags.as_deref().unwrap_or_default();
    if run.to_shopify {
        to_shopify(run, customer, tags).await?;
    }
    run.memory.tags.omneo = Some(mark(tags));
    Ok(())
}

/// Adds tags of the whitelist that are new in Shopify, and removes tags that came from Shopify and are no longer there.
/// Omneo's own tags stay, and a tag that was removed in Omneo is not added again.
async fn to_omneo(run: &mut Run<'_>, customer: &Customer, profile: &mut Profile) -> Result<(), End> {
    let listed = of_nobody(&run.settings.mapping, &customer.tags).filter(|tag| is_listed(&run.settings.tags, tag));
    let want: BTreeMap<_, _> = listed.map(|tag| (folded(tag), hyphened(tag))).collect();
    let there: BTreeSet<_> = profile.tags.iter().flatten().map(|tag| folded(tag)).collect();
    let (seen, brought) = (&run.memory.tags.seen, &run.memory.tags.brought);
    let is_new = |tag: &String| !seen.contains(tag) && !there.contains(tag);
    let add: Vec<_> = want.iter().filter(|(tag, _)| is_new(tag)).map(|(_, name)| name.clone()).collect();
    let is_over = |tag: &String| brought.contains(tag) && !want.contains_key(tag);
    let remove: Vec<_> = profile.tags.iter().flatten().filter(|tag| is_over(&folded(tag))).cloned().collect();
    let mut brought: Vec<_> = want.keys().filter(|tag| brought.contains(tag) || is_new(tag)).cloned().collect();
    if !add.is_empty() || !remove.is_empty() {
        let kept = profile.tags.iter().flatten().filter(|tag| !is_over(&folded(tag)));
        let list: Vec<_> = kept.chain(&add).collect();
        match omneo::update(run.cx, &profile.id, json!({ "tags": list }), run.reading()).await? {
            omneo::Written::Done(after) | omneo::Written::Read(after) if after.tags.is_some() => *profile = *after,
            omneo::Written::Gone => return Err(run.end_without_profile(&profile.id)),
            omneo::Written::Invalid(_) => {
                run.note("Omneo did not accept the tags");
                return Ok(());
            }
            omneo::Written::Done(_) | omneo::Written::Read(_) | omneo::Written::Unknown => {
                profile.tags = Some(list.into_iter().cloned().collect());
            }
        }
        run.wrote(Side::Omneo, changed(&add, &remove));
    }
    let there: BTreeSet<_> = profile.tags.iter().flatten().map(|tag| folded(tag)).collect();
    brought.retain(|tag| there.contains(tag));
    run.memory.tags.brought = brought;
    run.memory.tags.seen = want.into_keys().collect();
    Ok(())
}

/// Makes the prefixed tags in Shopify equal to Omneo's tags. Tags that came from Shopify are left out, unless the
/// settings want them mirrored.
async fn to_shopify(run: &mut Run<'_>, customer: &Customer, tags: &[String]) -> Result<(), End> {
    let settings = &run.settings.tags;
    let (have, others): (Vec<_>, Vec<_>) =
        of_nobody(&run.settings.mapping, &customer.tags).partition(|tag| has_prefix(settings, tag));
    let have: BTreeMap<_, _> = have.into_iter().map(|tag| (tag.to_lowercase(), tag.clone())).collect();
    let mut expected = BTreeMap::new();
    let mut left_out = 0;
    let is_sent = |tag: &&String| settings.mirror_whitelisted || !run.memory.tags.brought.contains(&folded(tag));
    for tag in tags.iter().filter(is_sent) {
        let name = format!("{}{tag}", settings.prefix);
        if has_prefix(settings, tag) || tag.contains(',') || name.chars().count() > TAG_CHARS_MAX {
            left_out += 1;
        } else {
            expected.insert(name.to_lowercase(), name);
        }
    }
    while expected.len() + others.len() > TAGS_MAX && expected.pop_last().is_some() {
        left_out += 1;
    }
    if left_out > 0 {
        run.note(format!(
            "{left_out} of Omneo's tags left out: they have the prefix, a comma, or are too long or too many"
        ));
    }
    let add: Vec<_> =
        expected.iter().filter(|(tag, _)| !have.contains_key(*tag)).map(|(_, name)| name.clone()).collect();
    let remove: Vec<_> =
        have.iter().filter(|(tag, _)| !expected.contains_key(*tag)).map(|(_, name)| name.clone()).collect();
    let errors = shopify::tags(run.cx, customer.id, &add, &remove).await?;
    match errors.first() {
        Some(error) => run.note(format!("Shopify did not accept all tags: `{}`", error.message)),
        None if !add.is_empty() || !remove.is_empty() => run.wrote(Side::Shopify, changed(&add, &remove)),
        None => {}
    }
    run.memory.tags.prefixed = Some(expected.into_keys().collect());
    Ok(())
}

fn changed(add: &[String], remove: &[String]) -> String {
    let signed = |sign, tags: &[String]| tags.iter().map(|tag| format!("{sign}{tag}")).collect::<Vec<_>>();
    format!("tags {}", [signed('+', add), signed('-', remove)].concat().join(" "))
}
