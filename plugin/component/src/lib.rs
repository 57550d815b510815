//! Exports the default rules as a component. The rules are a crate of their own, because a crate that holds the rules
//! and exports them does not link.

tandem_sdk::export!(tandem_rules::DefaultRules, import nothing);
