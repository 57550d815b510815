//! The check of requests against Shopify's schemas refuses what Shopify would refuse.

use tandem_rules::DefaultRules;
use tandem_sdk::{Ask, Reading, Request, Rules, Value, json};

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

/// Every form in which the default rules can ask for a pull.
fn readings() -> Vec<Reading> {
    let mut readings = vec![];
    for pull in DefaultRules::default().pulls() {
        for since in [None, Some("2026-11-28T00:00:00Z".to_owned())] {
            for (names_only, bulk) in [(false, false), (false, true), (true, false)] {
                for cursor in ["", r#"{"after":"7064"}"#] {
                    let (pull, cursor) = (pull.name.clone(), cursor.to_owned());
                    let begun_at = "2026-11-30T02:00:00Z".to_owned();
                    readings.push(Reading { pull, begun_at, since: since.clone(), names_only, bulk, cursor });
                }
            }
        }
    }
    readings
}

#[test]
fn shopify_takes_what_the_host_says_of_a_job() {
    let [run, look, cancel] = tandem::imports::JOB_DOCUMENTS;
    let id = r#"{"id":"gid://shopify/BulkOperation/7"}"#;
    for (document, variables) in
        [(run, r#"{"query":"{ orders { edges { node { id } } } }"}"#), (look, id), (cancel, id)]
    {
        assert_eq!(valid(document, variables), Ok(()), "{document}");
    }
}

#[test]
fn shopify_takes_what_the_default_rules_ask_for_to_read_a_collection() {
    let fields = json!({
        "vip": { "omneo": "custom_attributes.crm.vip", "shopify": "metafields.crm.vip", "format": "boolean" },
    });
    let from = |money: &str| json!({ "from": "2026-01-01", "money": money });
    for settings in [
        json!({ "timezone": "UTC", "orders": from("shop") }),
        json!({ "timezone": "UTC", "orders": from("presentment"), "fields": fields }),
    ] {
        let (rules, _) = DefaultRules::configure(&settings.to_string()).expect("the settings are right");
        let mut documents = 0;
        for reading in readings() {
            let (document, variables) = match rules.ask_page(&reading).expect("it can be asked for") {
                Ask::Bulk(document) => (document, Value::Null.to_string()),
                Ask::Call(call) => match call.request {
                    Request::Graphql(request) => (request.document, request.variables),
                    Request::Rest(_) => continue,
                },
            };
            let variables = if variables == "null" { "{}".to_owned() } else { variables };
            assert_eq!(valid(&document, &variables), Ok(()), "{reading:?}");
            documents += 1;
        }
        assert!(documents > 0);
    }
}
