//! Documents that a recording leaves out, where its answer and its variables leave no doubt about them.
//! Knows nothing of what they are compared with.

use serde_json::{Value, json};

use super::read::Recorded;

/// File, place, the variables where they too are missing, document.
const UNTOLD: [(&str, &str, &str, &str); 16] = [
    (
        "customer-by-identifier.json",
        "positiveAndMissing",
        r#"{"id":{"id":"gid://shopify/Customer/6157654556905"},"email":{"emailAddress":"egnition_sample_29@egnition.com"},
            "phone":{"phoneNumber":"+2911120123"},"missing":{"emailAddress":"missing-har-150@example.com"}}"#,
        "query By($id: CustomerIdentifierInput!, $email: CustomerIdentifierInput!, $phone: CustomerIdentifierInput!, \
         $missing: CustomerIdentifierInput!) { byId: customerByIdentifier(identifier: $id) { id } \
         byEmail: customerByIdentifier(identifier: $email) { id } byPhone: customerByIdentifier(identifier: $phone) { id } \
         missingEmail: customerByIdentifier(identifier: $missing) { id } }",
    ),
    (
        "customer-by-identifier.json",
        "customIdMissing",
        "{}",
        "query By { customId: customerByIdentifier(identifier: { customId: { namespace: \"custom\", key: \"id\", \
         value: \"1\" } }) { id } }",
    ),
    (
        "customer-by-identifier.json",
        "emptyIdentifier",
        r#"{"idIdentifier":{}}"#,
        "query By($idIdentifier: CustomerIdentifierInput!) { byId: customerByIdentifier(identifier: $idIdentifier) { id } }",
    ),
    ("customer-merge-parity.json", "mutation", "", MERGE),
    ("customer-merge-parity.json", "validation.selfMerge", "", MERGE),
    ("customer-merge-parity.json", "validation.unknownCustomer", "", MERGE),
    (
        "customer-merge-parity.json",
        "validation.missingArgument",
        "",
        "mutation Merge($one: ID!) { customerMerge(customerOneId: $one) { job { id } } }",
    ),
    (
        "customer-merge-parity.json",
        "downstreamRead",
        "",
        "query Read($one: ID!, $two: ID!, $jobId: ID!) { source: customer(id: $one) { id } result: customer(id: $two) { id } \
         mergeStatus: customerMergeJobStatus(jobId: $jobId) { status } }",
    ),
    (
        "customer-set-parity.json",
        "downstreamRead",
        "",
        "query Read($createdId: ID!, $upsertedId: ID!, $query: String, $first: Int) { created: customer(id: $createdId) { id } \
         upserted: customer(id: $upsertedId) { id } customers(query: $query, first: $first) { nodes { id } } }",
    ),
    (
        "webhook-subscription-conformance.json",
        "validation",
        "",
        "mutation Wrong($unknownId: ID!, $unknownUpdateInput: WebhookSubscriptionInput!) { \
         updateUnknown: webhookSubscriptionUpdate(id: $unknownId, webhookSubscription: $unknownUpdateInput) { webhookSubscription { id } } \
         deleteUnknown: webhookSubscriptionDelete(id: $unknownId) { deletedWebhookSubscriptionId } \
         createMissingUri: webhookSubscriptionCreate(topic: SHOP_UPDATE, webhookSubscription: { format: JSON }) { webhookSubscription { id } } }",
    ),
    (
        "webhook-subscription-conformance.json",
        "graphqlValidation.missingCreateTopic",
        "",
        "mutation Wrong { webhookSubscriptionCreate(webhookSubscription: { format: JSON }) { webhookSubscription { id } } }",
    ),
    (
        "webhook-subscription-conformance.json",
        "graphqlValidation.nullUpdateInput",
        "",
        "mutation Wrong { webhookSubscriptionUpdate(id: \"gid://shopify/WebhookSubscription/1\", webhookSubscription: null) \
         { webhookSubscription { id } } }",
    ),
    (
        "webhook-subscription-topic-enum-validation.json",
        "validation.createBogusTopicRejected",
        "",
        "mutation Wrong { webhookSubscriptionCreate(topic: NOT_A_REAL_TOPIC, \
         webhookSubscription: { uri: \"https://example.com/h\" }) { webhookSubscription { id } } }",
    ),
    (
        "webhook-subscription-topic-enum-validation.json",
        "validation.createHiddenTopicRejected",
        "",
        "mutation Wrong { webhookSubscriptionCreate(topic: CUSTOMER_INTERACTIONS, \
         webhookSubscription: { uri: \"https://example.com/h\" }) { webhookSubscription { id } } }",
    ),
    // Of the other two that were asked, the addresses are not known.
    (
        "webhook-subscription-uri-validation.json",
        "primary",
        "",
        "mutation Create($baselineTopic: WebhookSubscriptionTopic!, $baselineWebhookSubscription: WebhookSubscriptionInput!) { \
         createHttpUriRejected: webhookSubscriptionCreate(topic: SHOP_UPDATE, \
         webhookSubscription: { uri: \"http://example.com/hook\" }) { webhookSubscription { id } } \
         baselineCreate: webhookSubscriptionCreate(topic: $baselineTopic, webhookSubscription: $baselineWebhookSubscription) \
         { webhookSubscription { id } } }",
    ),
    (
        "webhook-subscription-list-connection.json",
        "validation.invalidSortKey",
        "",
        "query Wrong { webhookSubscriptions(first: 1, sortKey: TOPIC) { nodes { id } } }",
    ),
];
const MERGE: &str = "mutation Merge($one: ID!, $two: ID!, $override: CustomerMergeOverrideFields) { \
    customerMerge(customerOneId: $one, customerTwoId: $two, overrideFields: $override) { job { id } } }";

/// Adds what is known to have been asked.
pub fn tell(file: &str, recorded: &mut Recorded) {
    let untold = UNTOLD.iter().find(|(name, place, ..)| file.ends_with(name) && *place == recorded.place);
    if let Some((_, _, variables, document)) = untold {
        recorded.document = Some((*document).to_owned());
        if !variables.is_empty() {
            recorded.variables = serde_json::from_str(variables).expect("variables are JSON");
        }
    } else if recorded.document.is_none() {
        let told = named_by_answer(&recorded.answer["data"], recorded.variables.is_null());
        recorded.variables = told.unwrap_or(recorded.variables.take());
    }
}

/// What was deleted, and who was read, says the answer.
fn named_by_answer(data: &Value, is_untold: bool) -> Option<Value> {
    let id = |field: &str, key: &str| Some(data[field][key].as_str()?.to_owned());
    if let Some(id) = id("customerDelete", "deletedCustomerId") {
        return Some(json!({ "input": { "id": id } }));
    }
    let deleted = id("webhookSubscriptionDelete", "deletedWebhookSubscriptionId");
    Some(json!({ "id": deleted.or(id("customer", "id").filter(|_| is_untold))? }))
}
