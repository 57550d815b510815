//! Reads how far an order has progressed. Knows Shopify's statuses, and not what follows from them.

use tandem_sdk::{View, Wrong};

use crate::settings::Threshold;

/// Financial statuses in the order in which an order passes through them. A refunded order has been paid.
const FINANCIAL: [&str; 6] = ["pending", "authorized", "partially_paid", "paid", "partially_refunded", "refunded"];
const FULFILMENT: [&str; 2] = ["partial", "fulfilled"];

const FULFILMENT_STATUS: &str = "/fulfillment_status";

/// Whether the order has reached the threshold. An absent or null status has not.
pub fn is_reached(order: &View, threshold: Threshold) -> Result<bool, Wrong> {
    let (at, steps, first) = steps(threshold);
    let status = order.opt_text(at)?;
    Ok(steps.iter().skip(first).any(|step| status == Some(step)))
}

/// Why the order is not a sale yet, for people.
pub fn below(order: &View, threshold: Threshold) -> Result<String, Wrong> {
    let (at, steps, first) = steps(threshold);
    let what = if at == FULFILMENT_STATUS { "fulfillment status" } else { "status" };
    Ok(match order.opt_text(at)? {
        Some(status) => format!("its {what} `{status}` is below `{}`, so it is not a sale yet", steps[first]),
        None => format!("it has no {what} yet and is a sale from `{}` on", steps[first]),
    })
}

/// The financial status of an order for which nothing was or will be paid.
pub fn voided<'a>(order: &View<'a>) -> Result<Option<&'a str>, Wrong> {
    Ok(order.opt_text("/financial_status")?.filter(|status| matches!(*status, "voided" | "expired")))
}

fn steps(threshold: Threshold) -> (&'static str, &'static [&'static str], usize) {
    match threshold {
        Threshold::Pending => ("/financial_status", &FINANCIAL, 0),
        Threshold::Authorized => ("/financial_status", &FINANCIAL, 1),
        Threshold::PartiallyPaid => ("/financial_status", &FINANCIAL, 2),
        Threshold::Paid => ("/financial_status", &FINANCIAL, 3),
        Threshold::Partial => (FULFILMENT_STATUS, &FULFILMENT, 0),
        Threshold::Fulfilled => (FULFILMENT_STATUS, &FULFILMENT, 1),
    }
}
