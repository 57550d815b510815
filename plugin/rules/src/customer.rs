//! What is read of a customer of Shopify's, one by one and in lists. Knows nothing of what becomes of it.

use crate::mapping::{Field, Mapping, ShopifyPlace};

/// The document of an operation that reads whole customers, including what the tenant's fields need.
pub fn document(operation: &str, mapping: &Mapping) -> String {
    format!(
        "{operation} fragment Person on Customer {{ id createdAt updatedAt state firstName lastName tags numberOfOrders \
         defaultEmailAddress {{ emailAddress marketingState marketingUpdatedAt }} \
         defaultPhoneNumber {{ phoneNumber marketingState marketingUpdatedAt }} \
         link: metafield(namespace: \"omneo\", key: \"profile_id\") {{ value }}{} }}",
        selection(mapping)
    )
}

/// The alias of a mapped metafield in a document.
pub fn alias(field: Field) -> String {
    format!("field_{}", field.name())
}

/// The parts of a customer that are read because fields are mapped to them.
fn selection(mapping: &Mapping) -> String {
    let mut selection = String::new();
    for field in mapping.fields() {
        match &field.shopify {
            ShopifyPlace::Metafield { namespace, key } => {
                let alias = alias(field);
                selection += &format!(
                    " {alias}: metafield(namespace: \"{namespace}\", key: \"{key}\") {{ value compareDigest }}"
                );
            }
            ShopifyPlace::Key(key) if field.core.is_none() => selection += &format!(" {}", key.input),
            ShopifyPlace::Expression(_) if !selection.contains(FOR_EXPRESSIONS) => selection += FOR_EXPRESSIONS,
            _ => {}
        }
    }
    selection
}

/// What an expression over a customer can read in addition. Lists are left out, because they would make the query
/// expensive.
const FOR_EXPRESSIONS: &str = " note locale taxExempt verifiedEmail amountSpent { amount currencyCode }";
