//! What happens to the writes of a run that failed before its memory was stored, once its order is over.

use tandem_sdk::{Outcome, json};

use crate::conversation::{Omneo, but, rules, shopify};

/// A run has written and failed before its memory was stored; then its order is over. The write is found and made void
/// by the first event that comes, whichever it is, and is looked for once only.
#[test]
fn what_a_failed_run_has_sent_is_made_void_with_its_order() {
    let rules = rules(json!({}));
    let refund = json!({"id": 901, "order_id": 4501, "created_at": "2026-03-01T10:30:00+11:00",
        "refund_line_items": [], "order_adjustments": [], "transactions": []});
    let gone = but(json!({"cancelled_at": "2026-03-01T11:00:00+11:00", "refunds": [refund]}));
    let live = |omneo: &Omneo| omneo.transactions.values().filter(|row| row["is_void"] != true).count();
    let forgotten = || {
        let mut omneo = Omneo::default();
        for id in ["4501", "4501-R901"] {
            omneo.transactions.insert(id.into(), json!({"external_id": id, "total": 19.9}));
        }
        omneo
    };
    let refunded = shopify("refunds/create", &refund);
    let deleted = shopify("orders/delete", &json!({"id": 4501}));
    for events in [
        vec![shopify("orders/cancelled", &gone), refunded.clone()],
        vec![shopify("orders/updated", &gone), shopify("orders/cancelled", &gone)],
        vec![deleted.clone(), refunded.clone()],
    ] {
        let mut omneo = forgotten();
        let first = omneo.hear(&rules, &events[0]);
        assert_eq!(first.outcome().0, Outcome::Done, "{:?}", first.calls);
        omneo.hear(&rules, &events[1]);
        assert_eq!(live(&omneo), 0, "{:?}", omneo.transactions);
        // When the event arrives once more, nothing is looked for again.
        let again = omneo.hear(&rules, &events[0]);
        assert_eq!(again.calls, Vec::<String>::new());
    }
    // If Omneo does not answer the question, it is asked again when the event is retried.
    let mut omneo = forgotten();
    omneo.memory = vec![json!({"order": {"id": "500", "hash": "a", "status": "cancelled"}}).to_string()];
    omneo.instead.push(("transactions/external", 422, json!({"message": "no"})));
    let cancelled = shopify("orders/cancelled", &gone);
    assert_eq!(omneo.hear(&rules, &cancelled).end.outcome, Outcome::Refused);
    assert_eq!(omneo.hear(&rules, &cancelled).end.outcome, Outcome::Done);
    assert_eq!(live(&omneo), 0, "{:?}", omneo.transactions);
    // A token that may not read transactions does not prevent the rest from being done.
    let mut omneo = forgotten();
    omneo.instead.push(("transactions/external/4501-R901", 403, json!({"message": "no"})));
    assert_eq!(omneo.hear(&rules, &cancelled).end.outcome, Outcome::Done);
    assert_eq!(live(&omneo), 1);
    // Nothing is looked for after a refund of an order that is not over.
    let mut omneo = Omneo::default();
    assert_eq!(omneo.hear(&rules, &refunded).calls, Vec::<String>::new());
    // If the settings ignore refunds, their returns are left alone too.
    let ignoring = self::rules(json!({"orders": {"refunds": "ignore"}}));
    let mut omneo = forgotten();
    omneo.hear(&ignoring, &shopify("orders/cancelled", &gone));
    assert_eq!(live(&omneo), 1, "{:?}", omneo.transactions);
}
