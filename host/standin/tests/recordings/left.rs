//! What is not compared, and why. Bounded by the test: nothing may stand here that agrees or that is not there.

/// Requests of one file, or of all.
pub struct Left {
    /// The end of the file's name; empty for every file.
    pub file: &'static str,
    /// As in [`Recorded::place`](super::read::Recorded::place); a `*` at the end stands for anything.
    pub place: &'static str,
    /// The key in answers that is left out; empty where nothing can be compared.
    pub key: &'static str,
    pub why: &'static str,
}

impl Left {
    pub fn covers(&self, file: &str, place: &str) -> bool {
        let same = match self.place.strip_suffix('*') {
            Some(before) => place.starts_with(before),
            None => place == self.place,
        };
        file.ends_with(self.file) && same
    }
}

const fn all(file: &'static str, place: &'static str, why: &'static str) -> Left {
    Left { file, place, key: "", why }
}

const fn value(file: &'static str, place: &'static str, key: &'static str, why: &'static str) -> Left {
    Left { file, place, key, why }
}

const UNTOLD: &str = "neither the document nor the variables are recorded";
const ALIASES: &str = "the document is not recorded, and aliases hide what was asked";
const ASIDE: &str = "another capture changed the other channel's consent of the same customers in between";
const OWNERS: &str = "the definitions are of owners that the stand-in has no metafields of";
const APP: &str = "the stand-in has no namespace of an app's own, and the rules use none";
const VALIDATIONS: &str = "the stand-in keeps no validations, and set-up sends none";
const BULK_MUTATIONS: &str = "the stand-in has no bulk mutations, which nothing uses";
const ELSEWHERE: &str = "the query is of things that the stand-in does not have";
const TWICE: &str = "the same request and answer, written down a second time";

pub const LEFT: &[Left] = &[
    all("customer-email-marketing-consent-update-parity.json", "precondition", UNTOLD),
    all("customer-email-marketing-consent-update-parity.json", "validation.matrixPreconditions.*", UNTOLD),
    value("customer-email-marketing-consent-update-parity.json", "validation.matrix.*", "defaultPhoneNumber", ASIDE),
    all("customer-sms-marketing-consent-update-parity.json", "precondition", UNTOLD),
    all("customer-sms-marketing-consent-update-parity.json", "validation.matrixPreconditions.*", UNTOLD),
    value("customer-sms-marketing-consent-update-parity.json", "validation.matrix.*", "defaultEmailAddress", ASIDE),
    all("customer-order-summary-read-effects.json", "setup", UNTOLD),
    all("customer-order-summary-read-effects.json", "beforeSet", UNTOLD),
    all("customer-order-summary-read-effects.json", "afterSet", UNTOLD),
    all("customer-order-summary-read-effects.json", "afterRemove", UNTOLD),
    all(
        "customer-merge-parity.json",
        "validation.unknownCustomer",
        "Shopify had not finished the merge of the other customer, which the stand-in does at once",
    ),
    all("customer-merge-blockers.json", "giftCard.merge", "the stand-in has no gift cards"),
    all("customer-merge-blockers.json", "cleanup.5", "the stand-in has merged the customer whom a gift card kept"),
    value(
        "customer-address-input-validation.json",
        "addressUpdateLocalPhone",
        "phone",
        "a local number is read by the shop's own country, which is not recorded",
    ),
    all("metafield-definition-catalog-connection.json", "captures.sortAndQuery", "set-up asks for all, unsorted"),
    all("metafield-definition-pin-limit-and-constraint-guard.json", "*", ALIASES),
    all("metafield-definition-pinning-parity.json", "*", ALIASES),
    all("metafield-definitions-product-read.json", "", ALIASES),
    all("metafield-definition-update-constraints.json", "primary", ALIASES),
    all("standard-metafield-definition-enable-reenable-idempotent.json", "primary", ALIASES),
    all("metafield-definition-validation-option-names.json", "primary", VALIDATIONS),
    all("metafield-definition-validations-input.json", "primary", VALIDATIONS),
    value("owner-metafield-mixed-owner-hydration.json", "setup.baselineSet", "definition", OWNERS),
    value("owner-metafield-mixed-owner-hydration.json", "validSet", "definition", OWNERS),
    value("owner-metafield-mixed-owner-hydration.json", "marketAdvanceSet", "definition", OWNERS),
    value("metafield-definition-protected-guards.json", "appReserved.*", "namespace", APP),
    all("webhook-subscription-metafields-lifecycle.json", "cleanup", TWICE),
    all("webhook-subscription-metafields-lifecycle.json", "omittedCleanup", TWICE),
    all("webhook-subscription-uri-validation.json", "preCaptureCleanup.0", "a subscription from before the recording"),
    all("bulk-operation-run-mutation-operation-in-progress.json", "cancelAttempt", BULK_MUTATIONS),
    all("bulk-operation-run-mutation-concurrency-limit.json", "cancelAttempts.*", BULK_MUTATIONS),
    all("bulk-operation-run-mutation-created-status.json", "success.statusPolls.*", BULK_MUTATIONS),
    all("bulk-operation-run-mutation-file-size.json", "running.cancelAfter", BULK_MUTATIONS),
    all("bulk-operation-run-query-operation-in-progress.json", "secondRun", "until 2025-10 there was one at a time"),
    all("bulk-operation-cancel-preserves-fields.json", "lifecycle.*", ELSEWHERE),
    value("bulk-operation-run-query-concurrency-limit.json", "sixthRun", "message", "ids are in it"),
    value(
        "bulk-operation-run-query-concurrency-limit.json",
        "cancelAttempts.*",
        "objectCount",
        "the shop had products",
    ),
    value(
        "bulk-operation-run-query-concurrency-limit.json",
        "cancelAttempts.*",
        "rootObjectCount",
        "the shop had products",
    ),
    all("bulk-operation-run-query-schema-roots.json", "cases.draftOrdersWarningsList.run", ELSEWHERE),
    all("bulk-operation-run-query-schema-roots.json", "cases.draftOrdersWarningsList.afterCleanup.cancel", ELSEWHERE),
    all(
        "bulk-operation-run-query-schema-roots.json",
        "cases.draftOrdersWarningsList.afterCleanup.settle.cancel",
        ELSEWHERE,
    ),
    all("bulk-operation-run-query-validators.json", "validations.depthThreeNesting", ELSEWHERE),
    all("bulk-operation-run-query-validators.json", "validations.sixConnections", ELSEWHERE),
    all("bulk-operation-run-query-validators.json", "validations.connectionWithinList", ELSEWHERE),
    all(
        "bulk-operations-read-arg-validation.json",
        "cases.malformedInlineId",
        "ids are not looked at before they are needed",
    ),
];
