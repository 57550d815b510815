//! Finds what no single setting shows: contradictions between settings, and combinations that are allowed but hardly
//! meant.

use tandem_sdk::{Problem, Value};

use super::Settings;
use crate::mapping;
use crate::problems::{brief, problem};

/// Mistakes in the prefix and the whitelist of tags: entries that could never go anywhere.
pub fn tags(rules: &Value) -> Vec<Problem> {
    let prefix = rules.pointer("/tags/prefix").and_then(Value::as_str).unwrap_or("cx-").to_lowercase();
    let mut found = vec![];
    if prefix.contains(',') {
        found.push(problem("/tags/prefix", "a tag has no comma, so no prefix has one", "leave the comma out"));
    }
    let listed = rules.pointer("/tags/whitelist").and_then(Value::as_array);
    for (n, tag) in listed.into_iter().flatten().filter_map(Value::as_str).enumerate() {
        let wrong = if tag.trim().is_empty() {
            Some(("an empty text is no tag".to_owned(), "remove it".to_owned()))
        } else if tag.contains(',') {
            let why = format!("`{}` has a comma, and a tag has none", brief(tag));
            Some((why, "write a text for each tag".to_owned()))
        } else if tag.to_lowercase().starts_with(&prefix) {
            let why = format!(
                "`{}` has the prefix `{prefix}`: a tag that has it is Omneo's and never goes there",
                brief(tag)
            );
            Some((why, "remove it, or choose another `tags.prefix`".to_owned()))
        } else {
            None
        };
        found.extend(wrong.map(|(why, fix)| problem(&format!("/tags/whitelist/{n}"), why, fix)));
    }
    found
}

/// Warnings about settings that are allowed but hardly meant.
pub fn all(settings: &Settings) -> Vec<Problem> {
    let mut found = mapping::doubts(&settings.mapping);
    if !settings.sync.shopify_to_omneo && !settings.sync.omneo_to_shopify {
        let why = "both directions are off, so that every event is skipped";
        found.push(problem("/sync", why, "switch `shopify_to_omneo` or `omneo_to_shopify` on"));
    }
    if settings.sync.omneo_to_shopify && settings.people.profile_types.is_empty() {
        let why = "`people.profile_types` is empty, so that no profile goes to Shopify";
        found.push(problem("/people/profile_types", why, "write `profile_types = [\"active\"]`"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::json;

    fn told(rules: Value) -> Vec<String> {
        let words = |problem: Problem| format!("{}: {}; {}", problem.at, problem.message, problem.fix);
        match Settings::configure(&rules.to_string()) {
            Ok((.., doubts)) => doubts.into_iter().map(|doubt| format!("doubt {}", words(doubt))).collect(),
            Err(problems) => problems.into_iter().map(words).collect(),
        }
    }

    #[test]
    fn tags_that_could_never_go_are_mistakes() {
        let with = |tags: Value| told(json!({"timezone": "UTC", "tags": tags}));
        assert_eq!(
            with(json!({"whitelist": ["vip", "CX-gold", "a,b", " "]})),
            [
                "/tags/whitelist/1: `CX-gold` has the prefix `cx-`: a tag that has it is Omneo's and never goes there; remove it, or choose another `tags.prefix`",
                "/tags/whitelist/2: `a,b` has a comma, and a tag has none; write a text for each tag",
                "/tags/whitelist/3: an empty text is no tag; remove it",
            ]
        );
        assert_eq!(with(json!({"whitelist": ["cx-gold"], "prefix": "omneo/"})), Vec::<String>::new());
        assert_eq!(
            with(json!({"prefix": "a,"})),
            ["/tags/prefix: a tag has no comma, so no prefix has one; leave the comma out"]
        );
    }

    #[test]
    fn profile_types_are_omneos() {
        let with = |types: Value| told(json!({"timezone": "UTC", "people": {"profile_types": types}}));
        assert_eq!(with(json!(["active", "incomplete"])), Vec::<String>::new());
        assert_eq!(
            with(json!(["active", "actve"])),
            [
                "/people/profile_types: `actve` is not one of \"temporary\", \"dependant\", \"incomplete\", \"pending\", \"system\", \"active\"; did you mean \"active\"?"
            ]
        );
        assert_eq!(
            with(json!([])),
            [
                "doubt /people/profile_types: `people.profile_types` is empty, so that no profile goes to Shopify; write `profile_types = [\"active\"]`"
            ]
        );
    }

    #[test]
    fn both_directions_off_is_hardly_meant() {
        let with = |sync: Value| told(json!({"timezone": "UTC", "sync": sync}));
        assert_eq!(with(json!({"shopify_to_omneo": false})), Vec::<String>::new());
        assert_eq!(
            with(json!({"shopify_to_omneo": false, "omneo_to_shopify": false})),
            [
                "doubt /sync: both directions are off, so that every event is skipped; switch `shopify_to_omneo` or `omneo_to_shopify` on"
            ]
        );
    }

    #[test]
    fn a_line_over_a_default_names_only_what_it_changes() {
        let of = |line: Value| {
            let rules = json!({"timezone": "UTC", "fields": {"points": line}});
            let (settings, ..) = Settings::configure(&rules.to_string()).expect("it is right");
            settings.mapping.named("points").expect("it is there").to_json()
        };
        let default = of(json!({}));
        assert_eq!(default["omneo"], "point_balance");
        for (line, changed) in [
            (json!({"shopify": "metafields.loyalty.points"}), json!({"shopify": "metafields.loyalty.points"})),
            (json!({"omneo": "point_balance_dollars"}), json!({"omneo": "point_balance_dollars"})),
            (json!({"format": "number"}), json!({"format": "number", "type": "number_decimal"})),
            (json!({"expression": "abs(point_balance)"}), json!({"expression": "abs(point_balance)", "omneo": null})),
        ] {
            let mut expected = default.clone();
            for (key, value) in changed.as_object().expect("a table") {
                expected[key] = value.clone();
            }
            expected.as_object_mut().expect("a table").retain(|_, value| !value.is_null());
            assert_eq!(of(line), expected);
        }
    }
}
