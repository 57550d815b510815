//! Sales that were sent while their customer had no profile are assigned to the profile once there is one. Knows how
//! transactions are named, and nothing of what an order amounts to.

use tandem_sdk::{Cx, End, get, join_all, json, post, query, refused, segment};

use super::fields::Side;
use super::run::Run;
use super::shopify::gid;
use crate::key::return_id;

/// How many of a customer's orders are read at a time, and how often: a run has only so many passes. Older orders are
/// assigned by their own next events.
const ORDERS_MAX: usize = 50;
const PAGES_MAX: usize = 5;
/// Sales that are asked about at the same time.
const AT_ONCE: usize = 50;

const ORDERS: &str = "query OrdersOf($id: ID!, $first: Int!, $after: String) { customer(id: $id) { orders(first: $first, \
     after: $after, sortKey: CREATED_AT, reverse: true) { nodes { id refunds { id } } pageInfo { hasNextPage endCursor } } } }";

/// Assigns the customer's earlier purchases to the profile, if some may have been sent without one: because the
/// customer waited for a profile, or bought before the two were linked. What Omneo refuses is tried again.
pub async fn claim(run: &mut Run<'_>, customer: u64, profile: &str) -> Result<(), End> {
    if !std::mem::take(&mut run.memory.waits) || !run.settings.sync.orders || !run.to_omneo {
        return Ok(());
    }
    let mut after = None;
    for page in 1..=PAGES_MAX {
        let (sales, next) = sales_of(run.cx, customer, after.take()).await?;
        for some in sales.chunks(AT_ONCE) {
            claim_some(run, some, profile).await?;
        }
        match next {
            None => break,
            Some(_) if page == PAGES_MAX => {
                let most = ORDERS_MAX * PAGES_MAX;
                run.note(format!("only the last {most} orders were looked at for sales without a profile"));
            }
            next => after = next,
        }
    }
    Ok(())
}

/// Assigns those of the sales that are nobody's.
async fn claim_some(run: &mut Run<'_>, sales: &[String], profile: &str) -> Result<(), End> {
    let cx = run.cx;
    let mut nobodys = vec![];
    for (sale, answer) in sales.iter().zip(join_all(sales.iter().map(|sale| is_nobodys(cx, sale))).await) {
        if answer? {
            nobodys.push(sale);
        }
    }
    let claims = join_all(nobodys.iter().map(|sale| {
        let body = json!({ "external_id": sale, "profile_id": profile });
        cx.omneo(post("/transactions/update-create", body).repeatable().needs("/data/id"))
    }));
    for (sale, answer) in nobodys.iter().zip(claims.await) {
        let answer = answer?;
        match answer.is_success() {
            true => run.wrote(Side::Omneo, format!("sale {sale}, which was sent without a profile")),
            false => {
                run.memory.waits = true;
                run.note(answer.unexpected(&format!("claiming sale {sale}")).reason);
            }
        }
    }
    Ok(())
}

/// The external ids of the sales and returns of one page of the customer's orders, and where the next page begins.
async fn sales_of(cx: &Cx, customer: u64, after: Option<String>) -> Result<(Vec<String>, Option<String>), End> {
    let doing = "reading the customer's orders";
    let call = query(ORDERS, json!({ "id": gid(customer), "first": ORDERS_MAX, "after": after }));
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
    let has_more = view.opt_bool("/data/customer/orders/pageInfo/hasNextPage")?.unwrap_or(false);
    let end = view.opt_text("/data/customer/orders/pageInfo/endCursor")?.filter(|_| has_more);
    Ok((sales, end.map(str::to_owned)))
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
