//! Asks Shopify for its own figures of an order whose body cannot say what the order is worth. Knows the query and what
//! must agree in its answer, and not what the figures are used for.

use tandem_sdk::{Cx, End, Json, json, query};

use super::amount::{Micros, Purse};

const FIGURES: &str = "\
query OrderFigures($id: ID!) {
  order(id: $id) {
    netPaymentSet { shopMoney { amount } presentmentMoney { amount } }
    totalOutstandingSet { shopMoney { amount } presentmentMoney { amount } }
    currentTotalPriceSet { shopMoney { amount } presentmentMoney { amount } }
    refundDiscrepancySet { shopMoney { amount } presentmentMoney { amount } }
  }
}";

/// What the shop keeps of the order according to Shopify's figures, or the reason why they do not tell.
///
/// Two sums of the figures must agree: what was paid plus what is outstanding, and the current total plus what refunds
/// kept back or gave on top.
pub async fn worth(cx: &Cx, order_id: &str, mut purse: Purse<'_>) -> Result<Result<(Micros, u32), String>, End> {
    let answer = cx.shopify(query(FIGURES, json!({ "id": format!("gid://shopify/Order/{order_id}") }))).await?;
    if !answer.is_success() {
        return Ok(Err(format!("Shopify answered {} when asked for its own figures", answer.status)));
    }
    let json = answer.json()?;
    if let Some(error) = json.graphql_errors().first() {
        return Ok(Err(format!("Shopify answered `{}` when asked for its own figures", error.message)));
    }
    if !json.view().get("/data/order").is_some_and(|order| order.is_object()) {
        return Ok(Err("Shopify does not show the order".to_owned()));
    }
    let paid = figure(&json, "netPaymentSet", &mut purse)? + figure(&json, "totalOutstandingSet", &mut purse)?;
    let left = figure(&json, "currentTotalPriceSet", &mut purse)? + figure(&json, "refundDiscrepancySet", &mut purse)?;
    Ok(match paid == left {
        true => Ok((left, purse.scale)),
        false => Err(format!(
            "Shopify contradicts itself: {} was paid or is outstanding, and {} is left of the order with its refunds",
            purse.decimal(paid),
            purse.decimal(left)
        )),
    })
}

fn figure(json: &Json, name: &str, purse: &mut Purse) -> Result<Micros, End> {
    let money = purse.of_graphql();
    Ok(purse.read(&json.view(), &format!("/data/order/{name}/{money}/amount"))?.unwrap_or(0))
}
