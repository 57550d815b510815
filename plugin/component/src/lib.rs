//! The default rules, exported. Nothing else lives here: a crate with both does not link.

tandem_sdk::export!(tandem_rules::DefaultRules, import nothing);
