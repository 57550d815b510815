//! Reads orders by GraphQL: the documents, and one adapter from Shopify's `Order` to the body of a webhook, which the
//! rules of orders read. So an order becomes the same transactions whichever way it comes.
//!
//! What GraphQL does not show, and what follows from it:
//! - The mark of a tip. A line without a product is taken for the tip if its name is `Tip`, or if it is the only such line
//!   with the amount that was received as a tip.
//! - Which adjustment of a refund is about shipping. One without a reason is taken for that (inferred).
//! - Fees that a refund gives back. The figures of the order then say what is left, and the sale becomes what is left.
//! - How far an order is fulfilled while its status is one of those that only GraphQL has (`IN_PROGRESS`, `ON_HOLD`,
//!   `OPEN`, `PENDING_FULFILLMENT`, `REQUEST_DECLINED`, `SCHEDULED`): it counts as not fulfilled yet.
//! - Variants and products that were deleted: their ids are empty, as in the webhooks from then on.

use tandem_sdk::{Cx, Decimal, End, Json, Map, Value, View, Wrong, json, query, refused};

use crate::node::{Node, copy, ids, tags};
use crate::settings::Money;

/// The orders that a filter leaves, for a job. Amounts in the currency that the shopper was shown make a job much
/// slower, so they are left out unless they are what counts.
pub fn orders(filter: &str, money: Money) -> String {
    let money = match money {
        Money::Shop => SHOP_MONEY,
        Money::Presentment => BOTH_MONEYS,
    };
    let order = written_out(ORDER, money);
    format!("query BulkOrders {{ orders(query: \"{filter}\") {{ edges {{ node {{ {order} }} }} }} }}")
}

/// The selection with its parts written out: it is not documented whether a job takes fragments.
fn written_out(selection: &str, money: &str) -> String {
    let parts = [("...Line", LINE), ("...Shipping", SHIPPING), ("...Discount", DISCOUNT), ("...Money", money)];
    parts.iter().fold(selection.to_owned(), |selection, (name, part)| selection.replace(name, part))
}

const ORDER: &str = "__typename id name number test createdAt processedAt updatedAt cancelledAt currencyCode \
     presentmentCurrencyCode displayFinancialStatus displayFulfillmentStatus taxesIncluded dutiesIncluded email \
     sourceName paymentGatewayNames note tags poNumber customerLocale confirmationNumber customAttributes { key value } \
     retailLocation { id } customer { id defaultEmailAddress { emailAddress } firstName lastName } \
     totalPriceSet { ...Money } currentTotalPriceSet { ...Money } totalDiscountsSet { ...Money } \
     totalTaxSet { ...Money } totalTipReceivedSet { ...Money } originalTotalDutiesSet { ...Money } \
     originalTotalAdditionalFeesSet { ...Money } totalCashRoundingAdjustment { paymentSet { ...Money } } \
     refunds { id } lineItems { edges { node { ...Line } } } \
     shippingLines(includeRemovals: true) { edges { node { ...Shipping } } } \
     discountApplications { edges { node { ...Discount } } }";
const LINE: &str = "__typename id name title sku quantity currentQuantity isGiftCard variant { id } product { id } \
     originalUnitPriceSet { ...Money } taxLines { priceSet { ...Money } } \
     discountAllocations { allocatedAmountSet { ...Money } discountApplication { index } } \
     duties { price { ...Money } }";
const SHIPPING: &str = "__typename id title isRemoved originalPriceSet { ...Money } taxLines { priceSet { ...Money } } \
     discountAllocations { allocatedAmountSet { ...Money } discountApplication { index } }";
const DISCOUNT: &str = "__typename index ... on AutomaticDiscountApplication { title } \
     ... on DiscountCodeApplication { code } ... on ManualDiscountApplication { title description } \
     ... on ScriptDiscountApplication { title }";
const SHOP_MONEY: &str = "shopMoney { amount currencyCode }";
const BOTH_MONEYS: &str = "shopMoney { amount currencyCode } presentmentMoney { amount currencyCode }";

/// The refunds of one order. A job cannot list them, because they are connections inside a list.
const REFUNDS: &str = "query OrderRefunds($id: ID!) { order(id: $id) { refunds { id createdAt processedAt \
     duties { amountSet { ...Money } originalDuty { taxLines { priceSet { ...Money } } } } \
     refundLineItems(first: 250) { nodes { id quantity subtotalSet { ...Money } totalTaxSet { ...Money } \
     lineItem { id } } pageInfo { hasNextPage } } \
     refundShippingLines(first: 50) { nodes { id subtotalAmountSet { ...Money } taxAmountSet { ...Money } } \
     pageInfo { hasNextPage } } \
     orderAdjustments(first: 50) { nodes { id reason amountSet { ...Money } taxAmountSet { ...Money } } \
     pageInfo { hasNextPage } } \
     transactions(first: 50) { nodes { id kind status amountSet { ...Money } } pageInfo { hasNextPage } } } } }";

/// Marks a refund whose details have not been read.
const UNREAD: &str = "unread";

/// The highest index of a discount that is kept. Shopify applies far fewer to an order.
const DISCOUNTS_MAX: u64 = 1_000;

/// Keys of the body and where the node has them, copied as they are.
const KEYS: [(&str, &str); 18] = [
    ("name", "/name"),
    ("order_number", "/number"),
    ("test", "/test"),
    ("created_at", "/createdAt"),
    ("processed_at", "/processedAt"),
    ("updated_at", "/updatedAt"),
    ("cancelled_at", "/cancelledAt"),
    ("currency", "/currencyCode"),
    ("presentment_currency", "/presentmentCurrencyCode"),
    ("taxes_included", "/taxesIncluded"),
    ("duties_included", "/dutiesIncluded"),
    ("email", "/email"),
    ("source_name", "/sourceName"),
    ("payment_gateway_names", "/paymentGatewayNames"),
    ("note", "/note"),
    ("po_number", "/poNumber"),
    ("customer_locale", "/customerLocale"),
    ("confirmation_number", "/confirmationNumber"),
];

/// Amounts: the flat key and the key of the set, if the body has them, and where the node has the bag.
const AMOUNTS: [(&str, &str, &str); 8] = [
    ("total_price", "total_price_set", "/totalPriceSet"),
    ("current_total_price", "current_total_price_set", "/currentTotalPriceSet"),
    ("total_discounts", "total_discounts_set", "/totalDiscountsSet"),
    ("total_tax", "total_tax_set", "/totalTaxSet"),
    ("total_tip_received", "", "/totalTipReceivedSet"),
    ("", "original_total_duties_set", "/originalTotalDutiesSet"),
    ("", "original_total_additional_fees_set", "/originalTotalAdditionalFeesSet"),
    ("", "total_cash_rounding_payment_adjustment_set", "/totalCashRoundingAdjustment/paymentSet"),
];

/// The keys of an order's body that an item shows as a webhook does, so that a field can be made of them. Lines and the
/// customer have fewer keys of their own in an item.
pub fn shown_keys() -> impl Iterator<Item = &'static str> {
    let amounts = AMOUNTS.iter().flat_map(|(flat, set, _)| [*flat, *set]).filter(|key| !key.is_empty());
    let others = [
        "id",
        "admin_graphql_api_id",
        "tags",
        "note_attributes",
        "financial_status",
        "fulfillment_status",
        "location_id",
    ];
    KEYS.iter().map(|(key, _)| *key).chain(amounts).chain(others)
}

/// The body of a webhook for an order that was read by GraphQL.
pub fn body(order: &Node) -> Result<Value, Wrong> {
    let own = &order.own;
    let mut body = Map::new();
    ids(own, &mut body)?;
    copy(own, &KEYS, &mut body);
    tags(own, &mut body)?;
    for (flat, set, at) in AMOUNTS {
        money(own, at, flat, set, &mut body);
    }
    let status = own.opt_text("/displayFinancialStatus")?.map(str::to_lowercase);
    body.insert("financial_status".to_owned(), json!(status));
    body.insert("fulfillment_status".to_owned(), json!(fulfilment(own.opt_text("/displayFulfillmentStatus")?)));
    body.insert("location_id".to_owned(), json!(own.opt_id("/retailLocation/id")?));
    body.insert("customer".to_owned(), customer(own)?);
    let mut attributes = vec![];
    for attribute in own.list("/customAttributes")? {
        attributes.push(json!({ "name": attribute.text("/key")?, "value": attribute.opt_text("/value")? }));
    }
    body.insert("note_attributes".to_owned(), Value::Array(attributes));
    let lines = order.below("/lineItems", "LineItem")?;
    let tip = tip(own, &lines)?;
    let lines = lines.iter().enumerate().map(|(n, line)| line_item(line, tip == Some(n)));
    body.insert("line_items".to_owned(), lines.collect::<Result<_, _>>()?);
    let shipping = order.below("/shippingLines", "ShippingLine")?;
    body.insert("shipping_lines".to_owned(), shipping.iter().map(shipping_line).collect::<Result<_, _>>()?);
    let discounts = order.below("/discountApplications", "Application")?;
    body.insert("discount_applications".to_owned(), discount_applications(&discounts)?);
    let mut refunds = vec![];
    for refund in own.list("/refunds")? {
        let mut listed = Map::from_iter([(UNREAD.to_owned(), json!(true))]);
        ids(&refund, &mut listed)?;
        refunds.push(Value::Object(listed));
    }
    body.insert("refunds".to_owned(), Value::Array(refunds));
    Ok(Value::Object(body))
}

/// The order's body with the details of its refunds, if it lacks them; `None` if it is whole.
pub async fn with_refunds(cx: &Cx, order: &View<'_>) -> Result<Option<Json<'static>>, End> {
    const DOING: &str = "reading the refunds of the order";
    let listed = order.list("/refunds")?;
    if !listed.iter().any(|refund| refund.has(&format!("/{UNREAD}"))) {
        return Ok(None);
    }
    let call = query(&written_out(REFUNDS, BOTH_MONEYS), json!({ "id": order.text("/admin_graphql_api_id")? }));
    let json = cx.shopify(call).await?.ok(DOING)?.json()?;
    if let Some(error) = json.graphql_errors().first() {
        return Err(refused(format!("{DOING}: {}", error.message)));
    }
    let Some(found) = json.view().get("/data/order").filter(|order| order.is_object()) else {
        return Err(refused(format!("{DOING}: Shopify does not show the order")));
    };
    let found = found.list("/refunds")?;
    let is_shown = order.has("/total_price_set/presentment_money");
    let money = if is_shown { "presentmentMoney" } else { "shopMoney" };
    let mut refunds = vec![];
    for refund in &listed {
        let gid = refund.text("/admin_graphql_api_id")?;
        let is_it = |node: &&View| node.opt_text("/id") == Ok(Some(gid));
        // What was refunded since comes with a newer state of the order.
        match found.iter().find(is_it) {
            Some(node) => refunds.push(self::refund(node, money)?),
            None => return Err(refused(format!("{DOING}: Shopify does not show refund `{gid}`"))),
        }
    }
    let mut whole = order.object().unwrap_or_default();
    whole.insert("refunds".to_owned(), Value::Array(refunds));
    Ok(Some(Json::answer(Value::Object(whole).to_string())?))
}

/// Writes an amount under its flat key and as a set. A bag that is null or absent leaves both keys out.
fn money(node: &View, at: &str, flat: &str, set: &str, to: &mut Map<String, Value>) {
    let Some(bag) = node.get(at).filter(|bag| bag.is_object()) else { return };
    if let Some(amount) = bag.get("/shopMoney/amount").filter(|_| !flat.is_empty()) {
        to.insert(flat.to_owned(), amount.value());
    }
    if !set.is_empty() {
        to.insert(set.to_owned(), both(&bag));
    }
}

/// A set of two currencies.
fn both(bag: &View) -> Value {
    let mut set = Map::new();
    for (key, at) in [("shop_money", "/shopMoney"), ("presentment_money", "/presentmentMoney")] {
        if let Some(money) = bag.get(at).filter(|money| money.is_object()) {
            let mut one = Map::new();
            copy(&money, &[("amount", "/amount"), ("currency_code", "/currencyCode")], &mut one);
            set.insert(key.to_owned(), Value::Object(one));
        }
    }
    Value::Object(set)
}

fn fulfilment(status: Option<&str>) -> Option<&'static str> {
    match status {
        Some("FULFILLED") => Some("fulfilled"),
        Some("PARTIALLY_FULFILLED") => Some("partial"),
        Some("RESTOCKED") => Some("restocked"),
        _ => None,
    }
}

fn customer(order: &View) -> Result<Value, Wrong> {
    let Some(customer) = order.get("/customer").filter(|customer| customer.is_object()) else { return Ok(Value::Null) };
    let mut body = Map::new();
    ids(&customer, &mut body)?;
    let email = customer.opt_text("/defaultEmailAddress/emailAddress")?;
    body.insert("email".to_owned(), json!(email));
    copy(&customer, &[("first_name", "/firstName"), ("last_name", "/lastName")], &mut body);
    Ok(Value::Object(body))
}

/// Which line is the tip although its name does not say so.
fn tip(order: &View, lines: &[View]) -> Result<Option<usize>, Wrong> {
    let amount = |view: &View, at: &str| view.opt_decimal(&format!("{at}/shopMoney/amount"));
    let Some(tip) = amount(order, "/totalTipReceivedSet")?.filter(|tip| *tip > Decimal::ZERO) else { return Ok(None) };
    let nothing = |line: &View, at: &str| line.get(at).is_none_or(|found| found.is_null());
    let mut found = vec![];
    for (n, line) in lines.iter().enumerate() {
        let is_plain =
            nothing(line, "/product") && nothing(line, "/variant") && line.opt_bool("/isGiftCard")? != Some(true);
        if is_plain && line.opt_text("/name")? == Some("Tip") {
            return Ok(None);
        }
        if is_plain && line.opt_id("/quantity")? == Some(1) && amount(line, "/originalUnitPriceSet")? == Some(tip) {
            found.push(n);
        }
    }
    Ok(found.first().copied().filter(|_| found.len() == 1))
}

fn line_item(line: &View, is_tip: bool) -> Result<Value, Wrong> {
    let mut body = Map::new();
    ids(line, &mut body)?;
    let keys = [
        ("name", "/name"),
        ("title", "/title"),
        ("sku", "/sku"),
        ("quantity", "/quantity"),
        ("current_quantity", "/currentQuantity"),
        ("gift_card", "/isGiftCard"),
    ];
    copy(line, &keys, &mut body);
    body.insert("variant_id".to_owned(), json!(line.opt_id("/variant/id")?));
    body.insert("product_id".to_owned(), json!(line.opt_id("/product/id")?));
    if is_tip {
        body.insert("tip".to_owned(), json!({}));
    }
    priced(line, &mut body)?;
    let mut duties = vec![];
    for duty in line.list("/duties")? {
        duties.extend(duty.get("/price").map(|bag| both(&bag)));
    }
    body.insert("duties".to_owned(), Value::Array(duties));
    Ok(Value::Object(body))
}

fn shipping_line(line: &View) -> Result<Value, Wrong> {
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(line.opt_id("/id")?));
    copy(line, &[("title", "/title"), ("is_removed", "/isRemoved")], &mut body);
    priced(line, &mut body)?;
    Ok(Value::Object(body))
}

/// Price, taxes and discounts of a line or of shipping.
fn priced(line: &View, to: &mut Map<String, Value>) -> Result<(), Wrong> {
    money(line, "/originalUnitPriceSet", "price", "price_set", to);
    money(line, "/originalPriceSet", "price", "price_set", to);
    to.insert("tax_lines".to_owned(), tax_lines(line)?);
    let mut allocations = vec![];
    for allocation in line.list("/discountAllocations")? {
        let mut body = Map::new();
        money(&allocation, "/allocatedAmountSet", "amount", "amount_set", &mut body);
        copy(&allocation, &[("discount_application_index", "/discountApplication/index")], &mut body);
        allocations.push(Value::Object(body));
    }
    to.insert("discount_allocations".to_owned(), Value::Array(allocations));
    Ok(())
}

fn tax_lines(of: &View) -> Result<Value, Wrong> {
    let mut taxes = vec![];
    for tax in of.list("/taxLines")? {
        let mut body = Map::new();
        money(&tax, "/priceSet", "price", "price_set", &mut body);
        taxes.push(Value::Object(body));
    }
    Ok(Value::Array(taxes))
}

/// The discounts, each at its index, since allocations name them by it.
fn discount_applications(discounts: &[View]) -> Result<Value, Wrong> {
    let mut all = vec![];
    for discount in discounts {
        let index = discount.id("/index")?;
        if index > DISCOUNTS_MAX {
            return Err(discount.wrong("/index", format!("a discount of index {index} is beyond what can be counted")));
        }
        let index = index as usize;
        if all.len() <= index {
            all.resize(index + 1, json!({}));
        }
        let mut body = Map::new();
        copy(discount, &[("title", "/title"), ("code", "/code"), ("description", "/description")], &mut body);
        all[index] = Value::Object(body);
    }
    Ok(Value::Array(all))
}

/// A refund. Its money is given in the currency in which the amounts of the order are complete.
fn refund(node: &View, currency: &str) -> Result<Value, End> {
    let mut body = Map::new();
    ids(node, &mut body)?;
    copy(node, &[("created_at", "/createdAt"), ("processed_at", "/processedAt")], &mut body);
    let lines = connection(node, "/refundLineItems")?;
    body.insert("refund_line_items".to_owned(), lines.iter().map(refund_line).collect::<Result<_, _>>()?);
    let shipping = connection(node, "/refundShippingLines")?;
    body.insert("refund_shipping_lines".to_owned(), shipping.iter().map(refund_shipping).collect());
    let adjustments = connection(node, "/orderAdjustments")?;
    body.insert("order_adjustments".to_owned(), adjustments.iter().map(adjustment).collect::<Result<_, _>>()?);
    let transactions = connection(node, "/transactions")?;
    body.insert(
        "transactions".to_owned(),
        transactions.iter().map(|of| transaction(of, currency)).collect::<Result<_, _>>()?,
    );
    let mut duties = vec![];
    for duty in node.list("/duties")? {
        let taxes = duty.get("/originalDuty").map_or_else(|| Ok(json!([])), |original| tax_lines(&original))?;
        let mut body = Map::from_iter([("tax_lines".to_owned(), taxes)]);
        money(&duty, "/amountSet", "", "amount_set", &mut body);
        duties.push(Value::Object(body));
    }
    body.insert("duties".to_owned(), Value::Array(duties));
    Ok(Value::Object(body))
}

/// The nodes of a connection of a refund. One that is longer than a page would be counted short.
fn connection<'a>(refund: &View<'a>, at: &str) -> Result<Vec<View<'a>>, End> {
    if refund.opt_bool(&format!("{at}/pageInfo/hasNextPage"))? == Some(true) {
        return Err(refused(refund.wrong(at, "the refund has more of these than can be read at once").to_string()));
    }
    Ok(refund.list(&format!("{at}/nodes"))?)
}

fn refund_line(line: &View) -> Result<Value, Wrong> {
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(line.opt_id("/id")?));
    body.insert("line_item_id".to_owned(), json!(line.opt_id("/lineItem/id")?));
    copy(line, &[("quantity", "/quantity")], &mut body);
    money(line, "/subtotalSet", "subtotal", "subtotal_set", &mut body);
    money(line, "/totalTaxSet", "total_tax", "total_tax_set", &mut body);
    Ok(Value::Object(body))
}

/// Shipping that came back. GraphQL gives the tax that came back with it, which stands here as the tax of a shipping
/// line that came back whole.
fn refund_shipping(line: &View) -> Value {
    let (mut body, mut tax) = (Map::new(), Map::new());
    money(line, "/subtotalAmountSet", "", "subtotal_amount_set", &mut body);
    money(line, "/taxAmountSet", "price", "price_set", &mut tax);
    body.insert("shipping_line".to_owned(), json!({ "tax_lines": [tax] }));
    Value::Object(body)
}

fn adjustment(adjustment: &View) -> Result<Value, Wrong> {
    let mut body = Map::new();
    let kind = if adjustment.opt_text("/reason")?.is_some() { "refund_discrepancy" } else { "shipping_refund" };
    body.insert("kind".to_owned(), json!(kind));
    money(adjustment, "/amountSet", "amount", "amount_set", &mut body);
    money(adjustment, "/taxAmountSet", "tax_amount", "tax_amount_set", &mut body);
    Ok(Value::Object(body))
}

/// A movement of money. Webhooks have it in the currency that the shopper was shown.
fn transaction(transaction: &View, money: &str) -> Result<Value, Wrong> {
    let lower = |at: &str| Ok::<_, Wrong>(transaction.opt_text(at)?.map(str::to_lowercase));
    let mut body =
        Map::from_iter([("kind".to_owned(), json!(lower("/kind")?)), ("status".to_owned(), json!(lower("/status")?))]);
    let keys = [("amount", "amount"), ("currency", "currencyCode")];
    for (key, of) in keys {
        copy(transaction, &[(key, &format!("/amountSet/{money}/{of}"))], &mut body);
    }
    Ok(Value::Object(body))
}
