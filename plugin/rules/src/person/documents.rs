//! The operations that are sent to Shopify about people. Knows nothing of the values that are put into them.

pub use crate::customer::{alias, document};

pub const PERSON: &str = "query Person($id: ID!) { customer(id: $id) { ...Person } }";
pub const PERSON_AND_OWNERS: &str = "query PersonAndOwners($id: ID!, $email: CustomerIdentifierInput!, $withEmail: Boolean!, \
     $phone: CustomerIdentifierInput!, $withPhone: Boolean!) { customer(id: $id) { ...Person } \
     email: customerByIdentifier(identifier: $email) @include(if: $withEmail) { id } \
     phone: customerByIdentifier(identifier: $phone) @include(if: $withPhone) { id } }";
pub const FIND_PERSON: &str =
    "query FindPerson($by: CustomerIdentifierInput!) { customerByIdentifier(identifier: $by) { ...Person } }";
pub const CREATE_PERSON: &str = "mutation CreatePerson($profileId: String!, $input: CustomerSetInput!) { customerSet(identifier: { customId: \
     { namespace: \"omneo\", key: \"profile_id\", value: $profileId } }, input: $input) \
     { customer { ...Person } userErrors { field message code } } }";
pub const UPDATE_PERSON: &str = "mutation UpdatePerson($id: ID!, $input: CustomerSetInput!) { customerSet(identifier: { id: $id }, input: $input) \
     { customer { ...Person } userErrors { field message code } } }";
pub const CLEAR_PERSON: &str = "mutation ClearPerson($input: CustomerInput!) { customerUpdate(input: $input) \
     { customer { ...Person } userErrors { field message } } }";
pub const EMAIL_CONSENT: &str = "mutation EmailConsent($input: CustomerEmailMarketingConsentUpdateInput!) { \
     customerEmailMarketingConsentUpdate(input: $input) { customer { ...Person } userErrors { field message code } } }";
pub const SMS_CONSENT: &str = "mutation SmsConsent($input: CustomerSmsMarketingConsentUpdateInput!) { \
     customerSmsMarketingConsentUpdate(input: $input) { customer { ...Person } userErrors { field message code } } }";
pub const MERGE_PERSONS: &str = "mutation MergePersons($one: ID!, $two: ID!, $fields: CustomerMergeOverrideFields) { \
     customerMerge(customerOneId: $one, customerTwoId: $two, overrideFields: $fields) \
     { resultingCustomerId job { id done } userErrors { field message code } } }";
pub const MERGE_STATUS: &str = "query MergeStatus($jobId: ID!) { customerMergeJobStatus(jobId: $jobId) \
     { jobId resultingCustomerId status customerMergeErrors { errorFields message } } }";
pub const ADD_TAGS: &str = "mutation AddTags($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) \
     { userErrors { field message } } }";
pub const REMOVE_TAGS: &str = "mutation RemoveTags($id: ID!, $tags: [String!]!) { tagsRemove(id: $id, tags: $tags) \
     { userErrors { field message } } }";
pub const SWAP_TAGS: &str = "mutation SwapTags($id: ID!, $add: [String!]!, $remove: [String!]!) { \
     add: tagsAdd(id: $id, tags: $add) { userErrors { field message } } \
     remove: tagsRemove(id: $id, tags: $remove) { userErrors { field message } } }";
pub const LOYALTY: &str = "mutation Loyalty($metafields: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $metafields) \
     { metafields { namespace key value } userErrors { field message code } } }";
pub const CLEAR_METAFIELDS: &str = "mutation ClearMetafields($metafields: [MetafieldIdentifierInput!]!) { \
     metafieldsDelete(metafields: $metafields) { deletedMetafields { key } userErrors { field message } } }";
