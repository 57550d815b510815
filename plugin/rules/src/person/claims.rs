//! Sales that were sent while their customer had no profile are assigned to the profile once there is one. Knows how
//! transactions are named, and nothing of what an order amounts to.

use tandem_sdk::{Cx, End, get, json, post, query, refused, segment};

use super::fields::Side;
use super::run::Run;
use super::shopify::gid;
use crate::key::return_id;

/// How many of a customer's orders are looked at. Older orders are assigned by their own next events.
const ORDERS_MAX: usize = 50;

const ORDERS: &str = "query OrdersOf($id: ID!, $first: Int!) { customer(id: $id) { orders(first: $first, \
     sortKey: CREATED_AT, reverse: true) { nodes { id refunds { id } } pageInfo { hasNextPage } } } }";

/// Assigns the customer's earlier purchases to the profile, if some may have been sent without one: because the
/// customer waited for a profile, or bought before the two were linked.
pub async fn claim(run: &mut Run<'_>, customer: u64, profile: &str) -> Result<(), End> {
    if !std::mem::take(&mut run.memory.waits) || !run.settings.sync.orders || !run.to_omneo {
        return Ok(());
    }
    let (sales, has_more) = sales_of(run.cx, customer).await?;
    for sale in sales {
        if is_nobodys(run.cx, &sale).await? {
            let body = json!({ "external_id": sale, "profile_id": profile });
            let call = post("/transactions/update-create", body).repeatable().needs("/data/id");
            let answer = run.cx.omneo(call).await?;
            match answer.is_success() {
                true => run.wrote(Side::Omneo, format!("sale {sale}, which was sent without a profile")),
                false => run.note(answer.unexpected(&format!("claiming sale {sale}")).reason),
            }
        }
    }
    if has_more {
        run.note(format!("only the last {ORDERS_MAX} orders were looked at for sales without a profile"));
    }
    Ok(())
}

/// The external ids of the sales and returns that the customer may have in Omneo, and whether there are more.
async fn sales_of(cx: &Cx, customer: u64) -> Result<(Vec<String>, bool), End> {
    let doing = "reading the customer's orders";
    let call = query(ORDERS, json!({ "id": gid(customer), "first": ORDERS_MAX }));
    let answer = cx.shopify(call).await?.ok(doing)?.json()?;
    if let Some(error) = answer.graphql_errors().first() {
        return Err(refused(format!("{doing}: Shopify answered `{}` {}", error.message, error.code)));
    }
    let view = answer.view();
    let mut sales = vec![];
    for order in view.list("/data/customer/orders/nodes")? {
        let id = order.id("/id")?.to_string();
        for refund in order.list("/refunds")? {
            sales.push(return_id(&id, &refund.id("/id")?.to_string()));
        }
        sales.push(id);
    }
    Ok((sales, view.opt_bool("/data/customer/orders/pageInfo/hasNextPage")?.unwrap_or(false)))
}

/// Whether a sale stands in Omneo without a profile. A sale that was never sent is not created here.
async fn is_nobodys(cx: &Cx, sale: &str) -> Result<bool, End> {
    let answer = cx.omneo(get(format!("/transactions/external/{}", segment(sale))).needs("/data")).await?;
    if answer.status == 404 {
        return Ok(false);
    }
    let json = answer.ok("reading a sale")?.json()?;
    let is_none = |at: &str| json.view().get(at).is_none_or(|found| found.is_null());
    Ok(json.view().has("/data") && is_none("/data/profile_id") && is_none("/data/profile/id"))
}
