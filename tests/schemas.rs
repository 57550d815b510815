//! The check of requests against Shopify's schemas refuses what Shopify would refuse.

use crate::admin_schema::{is_at_hand, valid};

const READ: &str = "query Read($id: ID!) { customer(id: $id) { id firstName } }";
const FIND: &str = "query Find($by: CustomerIdentifierInput!) { customerByIdentifier(identifier: $by) { id } }";
const SET: &str = "mutation Set($input: CustomerSetInput!) { customerSet(input: $input) { userErrors { code } } }";
const CONSENT: &str = "mutation Consent($input: CustomerEmailMarketingConsentUpdateInput!) { \
     customerEmailMarketingConsentUpdate(input: $input) { userErrors { code } } }";
const LIST: &str = "query List($first: Int) { customers(first: $first) { nodes { id } } }";
const TAGS: &str =
    "mutation Tags($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) { userErrors { field } } }";

#[test]
fn what_shopify_takes_is_taken() {
    for (document, variables) in [
        (READ, r#"{"id":"gid://shopify/Customer/7"}"#),
        (FIND, r#"{"by":{"emailAddress":"ada@example.com"}}"#),
        (FIND, r#"{"by":{"customId":{"namespace":"omneo","key":"profile_id","value":"x"}}}"#),
        (SET, r#"{"input":{"firstName":"Ada","lastName":null,"tags":["vip"]}}"#),
        (LIST, r#"{"first":5}"#),
        (LIST, "{}"),
        (LIST, ""),
        ("{ shop { ianaTimezone } }", "{}"),
    ] {
        assert_eq!(valid(document, variables), Ok(()), "{document} {variables}");
    }
}

#[test]
fn what_shopify_refuses_is_refused() {
    if !is_at_hand() {
        return;
    }
    let state = |state: &str, at: &str| {
        format!(
            r#"{{"input":{{"customerId":"7","emailMarketingConsent":{{"marketingState":{state},"consentUpdatedAt":{at}}}}}}}"#
        )
    };
    assert_eq!(valid(CONSENT, &state(r#""SUBSCRIBED""#, r#""2026-01-02T03:04:05Z""#)), Ok(()));
    for (document, variables, why) in [
        ("query { customer(id: 7) { id surname } }", "{}", "does not have a field `surname`"),
        ("query { customer { id } }", "{}", "required argument `QueryRoot.customer(id:)` is not provided"),
        ("query { customers(first: 1, sortKey: SHOE_SIZE) { nodes { id } } }", "{}", "SHOE_SIZE"),
        ("query { customer(id: 7) { id } ", "{}", "syntax error"),
        ("query A { shop { id } } query B { shop { id } }", "{}", "more than one operation"),
        ("query Read($id: String!) { customer(id: $id) { id } }", r#"{"id":"7"}"#, "cannot be used for argument"),
        (CONSENT, &state(r#""SIGNED_UP""#, "null"), "SIGNED_UP"),
        (CONSENT, &state(r#""SUBSCRIBED""#, "1767322800"), "a DateTime is written as a text"),
        (CONSENT, r#"{"input":{"customerId":"7"}}"#, "Missing value for non-null input object field"),
        (READ, "{}", "missing value for non-null variable 'id'"),
        (READ, r#"{"id":null}"#, "null value for variable id"),
        (READ, r#"{"id":"7","also":true}"#, "variable `also` is not declared"),
        (READ, r#"{"id":1.5}"#, "could not coerce variable id"),
        (READ, "[]", "its variables are not an object"),
        (LIST, r#"{"first":"5"}"#, "could not coerce variable first"),
        (LIST, r#"{"first":3000000000}"#, "could not coerce variable first"),
        (SET, r#"{"input":{"surname":"Byron"}}"#, "Input object has key surname"),
        (SET, r#"{"input":{"firstName":7}}"#, "could not coerce input field CustomerSetInput.firstName"),
        (TAGS, r#"{"id":"7","tags":[null]}"#, "null value"),
        (FIND, r#"{"by":{"emailAddress":"ada@example.com","id":"7"}}"#, "exactly one of its fields, not 2"),
        (FIND, r#"{"by":{}}"#, "exactly one of its fields, not 0"),
        (FIND, r#"{"by":{"emailAddress":null}}"#, "exactly one of its fields"),
    ] {
        let refused = valid(document, variables).expect_err(&format!("{document} {variables}"));
        assert!(refused.starts_with("Shopify 2026-01 would refuse") && refused.contains(why), "{why}: {refused}");
    }
}
