//! An order's body, as it is sent in webhooks, seen through GraphQL (Admin API 2026-07): one purchase, told in two ways.
//! Knows nothing of which fields are asked for. What the body does not say is null, or nothing.

use serde_json::{Map, Value, json};

use super::amounts::{negative, sum};
use super::connections::ITEMS;
use super::model::{Customer, Facts};
use super::store::Store;
use super::views::{customer, linked, location, utc, words};
use super::webhooks::gid;
use crate::clock;

/// A body and the shop that it is of.
struct Order<'a> {
    store: &'a Store,
    body: &'a Value,
}

pub(crate) fn order(store: &Store, body: &Value) -> Value {
    let order = Order { store, body };
    let mut view = order.words();
    view.extend(order.totals());
    view.extend(order.parts());
    Value::Object(view)
}

impl Order<'_> {
    fn words(&self) -> Map<String, Value> {
        let (body, id) = (self.body, number(&self.body["id"]));
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let codes: Vec<_> = rows(body, "discount_codes").map(|code| code["code"].clone()).collect();
        let view = json!({
            "__typename": "Order",
            "cancelReason": body["cancel_reason"].as_str().map(str::to_uppercase),
            "cancelledAt": utc(&body["cancelled_at"]),
            "closed": body["closed_at"].is_string(),
            "closedAt": utc(&body["closed_at"]),
            "confirmationNumber": body["confirmation_number"],
            "confirmed": body["confirmed"] != false,
            "createdAt": utc(&body["created_at"]).or_else(|| utc(&body["processed_at"])),
            "currencyCode": self.currency(),
            "customAttributes": attributes(body, "note_attributes"),
            "customerLocale": body["customer_locale"],
            "discountCode": codes.first(),
            "discountCodes": codes,
            "displayFinancialStatus": body["financial_status"].as_str().map(str::to_uppercase),
            "displayFulfillmentStatus": match body["fulfillment_status"].as_str() {
                None => "UNFULFILLED".to_owned(),
                Some("partial") => "PARTIALLY_FULFILLED".to_owned(),
                Some(status) => status.to_uppercase(),
            },
            "dutiesIncluded": body["duties_included"] == true,
            "email": body["email"],
            "estimatedTaxes": body["estimated_taxes"] == true,
            "id": gid("Order", id),
            "legacyResourceId": id.to_string(),
            "name": body["name"],
            "note": body["note"],
            "number": body.get("order_number").or(body.get("number")).cloned().unwrap_or(json!(0)),
            "paymentGatewayNames": body.get("payment_gateway_names").cloned().unwrap_or(json!([])),
            "phone": body["phone"],
            "poNumber": body["po_number"],
            "presentmentCurrencyCode": body["presentment_currency"].as_str().unwrap_or(self.currency()),
            "processedAt": utc(&body["processed_at"]).or_else(|| utc(&body["created_at"])),
            "sourceIdentifier": body["source_identifier"],
            "sourceName": body["source_name"],
            "tags": words(&body["tags"]),
            "taxExempt": body["tax_exempt"] == true,
            "taxesIncluded": body["taxes_included"] == true,
            "test": body["test"] == true,
            "updatedAt": utc(&body["updated_at"]).unwrap_or_else(|| utc(&json!(text("created_at"))).unwrap_or_default()),
        });
        view.as_object().cloned().unwrap_or_default()
    }

    fn totals(&self) -> Map<String, Value> {
        let body = self.body;
        let current = body.get("current_total_price").filter(|total| total.is_string()).unwrap_or(&body["total_price"]);
        let (discrepancy, outstanding) = (discrepancy(body), outstanding(body, current));
        let net_payment = sum([current, &discrepancy, &negative(&outstanding)]);
        let refunded = sum(rows(body, "refunds").flat_map(paid_back));
        let received = sum([&net_payment, &refunded]);
        let shipping = |refund| {
            rows(refund, "refund_shipping_lines")
                .map(|line| line["subtotal_amount_set"]["shop_money"]["amount"].clone())
        };
        let back: Vec<_> = rows(body, "refunds").flat_map(shipping).collect();
        let view = json!({
            "currentSubtotalPriceSet": self.bag(body, "current_subtotal_price"),
            "currentTotalAdditionalFeesSet": self.set(body, "current_total_additional_fees"),
            "currentTotalDiscountsSet": self.bag(body, "current_total_discounts"),
            "currentTotalDutiesSet": self.set(body, "current_total_duties"),
            "currentTotalPriceSet": self.set(body, "current_total_price").unwrap_or_else(|| self.bag(body, "total_price")),
            "currentTotalTaxSet": self.bag(body, "current_total_tax"),
            "netPaymentSet": self.plain(&net_payment),
            "originalTotalAdditionalFeesSet": self.set(body, "original_total_additional_fees"),
            "originalTotalDutiesSet": self.set(body, "original_total_duties"),
            "originalTotalPriceSet": self.bag(body, "total_price"),
            "refundDiscrepancySet": self.plain(&discrepancy),
            "subtotalPriceSet": self.set(body, "subtotal_price"),
            "totalCashRoundingAdjustment": {
                "paymentSet": self.bag(body, "total_cash_rounding_payment_adjustment"),
                "refundSet": self.bag(body, "total_cash_rounding_refund_adjustment"),
            },
            "totalDiscountsSet": self.set(body, "total_discounts"),
            "totalOutstandingSet": self.plain(&outstanding),
            "totalPriceSet": self.bag(body, "total_price"),
            "totalReceivedSet": self.plain(&received),
            "totalRefundedSet": self.plain(&refunded),
            "totalRefundedShippingSet": self.plain(&sum(&back)),
            "totalShippingPriceSet": self.bag(body, "total_shipping_price"),
            "totalTaxSet": self.set(body, "total_tax"),
            "totalTipReceivedSet": self.bag(body, "total_tip_received"),
        });
        view.as_object().cloned().unwrap_or_default()
    }

    fn parts(&self) -> Map<String, Value> {
        let body = self.body;
        let list =
            |key: &str, one: &dyn Fn(&Value) -> Value| json!({ ITEMS: rows(body, key).map(one).collect::<Vec<_>>() });
        let applications: Vec<_> =
            rows(body, "discount_applications").enumerate().map(|(index, one)| self.application(index, one)).collect();
        let view = json!({
            "additionalFees": rows(body, "additional_fees").map(|fee| self.fee(fee)).collect::<Vec<_>>(),
            "billingAddress": self.address("billing_address"),
            "customer": self.customer(),
            "discountApplications": { ITEMS: applications },
            "lineItems": list("line_items", &|line| self.line(line)),
            "refunds": rows(body, "refunds").map(|refund| self.refund(refund)).collect::<Vec<_>>(),
            "retailLocation": self.location(&body["location_id"]),
            "returns": list("returns", &|one| self.returned(one)),
            "shippingAddress": self.address("shipping_address"),
            "shippingLine": rows(body, "shipping_lines").find(|line| line["is_removed"] != true).map(|line| self.shipping(line)),
            "shippingLines": list("shipping_lines", &|line| self.shipping(line)),
            "taxLines": self.taxes(body),
        });
        view.as_object().cloned().unwrap_or_default()
    }

    /// The customer as the shop has them now, or, where it has none, as the body says.
    fn customer(&self) -> Option<Value> {
        let said = &self.body["customer"];
        let id = said["id"].as_u64()?;
        if self.store.customers.contains_key(&id) {
            return Some(linked("Customer", id));
        }
        let text = |key: &str| said[key].as_str().map(str::to_owned);
        let at_ms = |key: &str| said[key].as_str().and_then(clock::parse).unwrap_or(self.store.now_ms);
        let said = Customer {
            email: text("email"),
            first_name: text("first_name"),
            last_name: text("last_name"),
            phone: text("phone"),
            state: text("state").unwrap_or_else(|| "disabled".to_owned()),
            created_ms: at_ms("created_at"),
            updated_ms: at_ms("updated_at"),
            ..Customer::nobody(id, self.store.now_ms)
        };
        Some(customer(self.store, &said))
    }

    fn line(&self, line: &Value) -> Value {
        let quantity = line["quantity"].as_i64().unwrap_or_default();
        let price = line["price_set"]["shop_money"]["amount"].as_str().or(line["price"].as_str()).unwrap_or("0.00");
        let total = sum((0..quantity.max(0)).map(|_| json!(price)).collect::<Vec<_>>().iter());
        let discounts: Vec<_> = rows(line, "discount_allocations").map(|one| shop_amount(one, "amount")).collect();
        let discount = sum(&discounts);
        let variant =
            line["variant_id"].as_u64().map(|id| match self.store.products.named(&format!("variant/{id}")).next() {
                Some(_) => linked("ProductVariant", id),
                None => known("ProductVariant", id),
            });
        let product = line["product_id"].as_u64().map(|id| match self.store.products.contains_key(&id) {
            true => linked("Product", id),
            false => known("Product", id),
        });
        json!({
            "__typename": "LineItem",
            "currentQuantity": line.get("current_quantity").unwrap_or(&line["quantity"]),
            "customAttributes": attributes(line, "properties"),
            "discountAllocations": rows(line, "discount_allocations").map(|one| self.allocation(one)).collect::<Vec<_>>(),
            "discountedTotalSet": self.plain(&sum([&total, &negative(&discount)])),
            "duties": rows(line, "duties").map(|duty| self.duty(duty)).collect::<Vec<_>>(),
            "id": gid("LineItem", number(&line["id"])),
            "isGiftCard": line["gift_card"] == true,
            "name": line.get("name").or(line.get("title")).cloned().unwrap_or_default(),
            "originalTotalSet": self.plain(&total),
            "originalUnitPriceSet": self.bag(line, "price"),
            "product": product,
            "quantity": quantity,
            "requiresShipping": line["requires_shipping"] == true,
            "sku": line["sku"],
            "taxLines": self.taxes(line),
            "taxable": line["taxable"] != false,
            "title": line.get("title").or(line.get("name")).cloned().unwrap_or_default(),
            "totalDiscountSet": self.plain(&discount),
            "variant": variant,
            "variantTitle": line["variant_title"],
            "vendor": line["vendor"],
        })
    }

    fn shipping(&self, line: &Value) -> Value {
        let discounts: Vec<_> = rows(line, "discount_allocations").map(|one| shop_amount(one, "amount")).collect();
        let discounted = sum([&shop_amount(line, "price"), &negative(&sum(&discounts))]);
        let discounted = self.set(line, "discounted_price").unwrap_or_else(|| self.plain(&discounted));
        let current = if line["is_removed"] == true { self.plain(&json!("0.00")) } else { discounted.clone() };
        json!({
            "__typename": "ShippingLine",
            "carrierIdentifier": line["carrier_identifier"],
            "code": line["code"],
            "currentDiscountedPriceSet": self.set(line, "current_discounted_price").unwrap_or(current),
            "discountAllocations": rows(line, "discount_allocations").map(|one| self.allocation(one)).collect::<Vec<_>>(),
            "discountedPriceSet": discounted,
            "id": line["id"].as_u64().map(|id| gid("ShippingLine", id)),
            "isRemoved": line["is_removed"] == true,
            "originalPriceSet": self.bag(line, "price"),
            "phone": line["phone"],
            "source": line["source"],
            "taxLines": self.taxes(line),
            "title": line["title"].as_str().unwrap_or_default(),
        })
    }

    fn refund(&self, refund: &Value) -> Value {
        let id = number(&refund["id"]);
        let list = |items: Vec<Value>| json!({ ITEMS: items });
        let lines = rows(refund, "refund_line_items").map(|member| {
            let line = rows(self.body, "line_items").find(|line| line["id"] == member["line_item_id"]);
            let line = line.or(member.get("line_item")).map(|line| self.line(line));
            let restock = member["restock_type"].as_str().unwrap_or("no_restock");
            json!({
                "__typename": "RefundLineItem", "id": member["id"].as_u64().map(|id| gid("RefundLineItem", id)),
                "lineItem": line, "location": self.location(&member["location_id"]), "priceSet": line_price(&line),
                "quantity": member["quantity"], "restockType": restock.to_uppercase(), "restocked": restock != "no_restock",
                "subtotalSet": self.bag(member, "subtotal"), "totalTaxSet": self.bag(member, "total_tax"),
            })
        });
        let shipping = rows(refund, "refund_shipping_lines").map(|member| {
            json!({
                "__typename": "RefundShippingLine", "id": gid("RefundShippingLine", number(&member["id"])),
                "shippingLine": self.shipping(&member["shipping_line"]),
                "subtotalAmountSet": self.bag(member, "subtotal_amount"), "taxAmountSet": self.bag(member, "tax_amount"),
            })
        });
        let adjustments = rows(refund, "order_adjustments").map(|one| {
            let reason = one["kind"].as_str().filter(|kind| *kind != "shipping_refund").map(str::to_uppercase);
            json!({
                "__typename": "OrderAdjustment", "id": gid("OrderAdjustment", number(&one["id"])), "reason": reason,
                "amountSet": self.bag(one, "amount"), "taxAmountSet": self.bag(one, "tax_amount"),
            })
        });
        let transactions = rows(refund, "transactions").map(|one| self.transaction(one, refund));
        let duties = rows(refund, "duties").map(|one| {
            let all = rows(self.body, "line_items").flat_map(|line| rows(line, "duties"));
            let original = all.into_iter().find(|duty| !one["duty_id"].is_null() && duty["id"] == one["duty_id"]);
            let original = original.map(|duty| self.duty(duty));
            json!({ "amountSet": self.bag(one, "amount"), "originalDuty": original })
        });
        let refunded: Vec<_> = paid_back(refund).collect();
        json!({
            "__typename": "Refund",
            "createdAt": utc(&refund["created_at"]),
            "duties": duties.collect::<Vec<_>>(),
            "id": gid("Refund", id),
            "legacyResourceId": id.to_string(),
            "note": refund["note"],
            "order": linked("Order", number(&self.body["id"])),
            "orderAdjustments": list(adjustments.collect()),
            "processedAt": utc(&refund["processed_at"]).or_else(|| utc(&refund["created_at"])),
            "refundLineItems": list(lines.collect()),
            "refundShippingLines": list(shipping.collect()),
            "return": refund["return"]["id"].as_u64().map(|id| json!({ "__typename": "Return", "id": gid("Return", id) })),
            "totalRefundedSet": self.plain(&sum(refunded)),
            "transactions": list(transactions.collect()),
            "updatedAt": utc(&refund["created_at"]),
        })
    }

    fn transaction(&self, one: &Value, refund: &Value) -> Value {
        let upper = |key: &str, other: &str| one[key].as_str().unwrap_or(other).to_uppercase();
        json!({
            "__typename": "OrderTransaction", "id": gid("OrderTransaction", number(&one["id"])),
            "amountSet": self.bag(one, "amount"), "createdAt": utc(&one["created_at"]).or_else(|| utc(&refund["created_at"])), "gateway": one["gateway"],
            "kind": upper("kind", "refund"), "processedAt": utc(&one["processed_at"]), "status": upper("status", "success"),
            "test": one["test"] == true,
        })
    }

    fn returned(&self, one: &Value) -> Value {
        let lines = rows(one, "exchange_line_items").map(|exchange| {
            let line = rows(self.body, "line_items").find(|line| line["id"] == exchange["line_item_id"]);
            json!({
                "__typename": "ExchangeLineItem", "id": gid("ExchangeLineItem", number(&exchange["id"])),
                "quantity": exchange["quantity"], "lineItems": line.map(|line| vec![self.line(line)]),
            })
        });
        json!({
            "__typename": "Return", "id": gid("Return", number(&one["id"])), "name": one["name"].as_str().unwrap_or_default(),
            "status": one["status"].as_str().unwrap_or("closed").to_uppercase(),
            "exchangeLineItems": { ITEMS: lines.collect::<Vec<_>>() },
        })
    }

    fn application(&self, index: usize, one: &Value) -> Value {
        let kind = match one["type"].as_str() {
            Some("discount_code") => "DiscountCodeApplication",
            Some("automatic") => "AutomaticDiscountApplication",
            Some("script") => "ScriptDiscountApplication",
            _ => "ManualDiscountApplication",
        };
        let upper = |key: &str, other: &str| one[key].as_str().unwrap_or(other).to_uppercase();
        let value = match one["value_type"].as_str() {
            Some("percentage") => {
                let percentage = one["value"].as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
                json!({ "__typename": "PricingPercentageValue", "percentage": percentage })
            }
            _ => json!({ "__typename": "MoneyV2", "amount": one["value"], "currencyCode": self.currency() }),
        };
        json!({
            "__typename": kind, "allocationMethod": upper("allocation_method", "across"), "code": one["code"],
            "description": one["description"], "index": index, "targetSelection": upper("target_selection", "all"),
            "targetType": upper("target_type", "line_item"),
            "title": one.get("title").filter(|title| title.is_string()).or(one.get("description")).cloned().unwrap_or(json!("")),
            "value": value,
        })
    }

    fn allocation(&self, one: &Value) -> Value {
        let index = one["discount_application_index"].as_u64().unwrap_or_default();
        let of = rows(self.body, "discount_applications").nth(usize::try_from(index).unwrap_or_default());
        let of = self.application(usize::try_from(index).unwrap_or_default(), of.unwrap_or(&Value::Null));
        json!({ "allocatedAmountSet": self.bag(one, "amount"), "discountApplication": of })
    }

    fn duty(&self, duty: &Value) -> Value {
        json!({
            "__typename": "Duty", "id": gid("Duty", number(&duty["id"])), "countryCodeOfOrigin": duty["country_code_of_origin"],
            "harmonizedSystemCode": duty["harmonized_system_code"], "price": self.both(duty), "taxLines": self.taxes(duty),
        })
    }

    fn fee(&self, fee: &Value) -> Value {
        json!({
            "__typename": "AdditionalFee", "id": gid("AdditionalFee", number(&fee["id"])), "name": fee["name"],
            "price": self.bag(fee, "price"), "taxLines": self.taxes(fee),
        })
    }

    fn taxes(&self, of: &Value) -> Vec<Value> {
        let tax = |line: &Value| {
            let rate = line["rate"].as_f64();
            json!({
                "channelLiable": line["channel_liable"], "priceSet": self.bag(line, "price"), "rate": rate,
                "ratePercentage": rate.map(|rate| rate * 100.0), "title": line["title"].as_str().unwrap_or_default(),
            })
        };
        rows(of, "tax_lines").map(tax).collect()
    }

    fn location(&self, id: &Value) -> Option<Value> {
        let id = id.as_u64()?;
        let gid = gid("Location", id);
        let own = self.store.locations.iter().find(|location| location["id"] == gid.as_str());
        // One that was deleted stays on what was sold there.
        Some(own.cloned().unwrap_or_else(|| location(id, &format!("Location {id}"), false, self.store.now_ms)))
    }

    fn address(&self, key: &str) -> Option<Value> {
        let of = self.body[key].as_object()?;
        let get = |key: &str| of.get(key).cloned().unwrap_or_default();
        Some(json!({
            "__typename": "MailingAddress", "id": format!("{}?model_name=Address", gid("MailingAddress", number(&self.body["id"]))),
            "address1": get("address1"), "address2": get("address2"), "city": get("city"), "company": get("company"),
            "country": get("country"), "countryCodeV2": get("country_code"), "firstName": get("first_name"),
            "lastName": get("last_name"), "name": get("name"), "phone": get("phone"), "province": get("province"),
            "provinceCode": get("province_code"), "zip": get("zip"),
        }))
    }

    fn currency(&self) -> &str {
        let Facts { currency, .. } = &self.store.facts;
        self.body["currency"].as_str().unwrap_or(currency)
    }

    /// An amount in both currencies, nothing where the body has none.
    fn bag(&self, of: &Value, key: &str) -> Value {
        self.set(of, key).unwrap_or_else(|| self.plain(&json!("0.00")))
    }

    /// `key_set`, or `key` in the shop's currency.
    fn set(&self, of: &Value, key: &str) -> Option<Value> {
        let set = &of[format!("{key}_set")];
        if set.is_object() {
            return Some(self.both(set));
        }
        match &of[key] {
            Value::Null => None,
            Value::String(amount) => Some(self.plain(&json!(amount))),
            amount => Some(self.plain(&json!(amount.to_string()))),
        }
    }

    fn both(&self, set: &Value) -> Value {
        let money = |of: &Value| {
            let currency = of["currency_code"].as_str().unwrap_or(self.currency());
            json!({ "__typename": "MoneyV2", "amount": of["amount"], "currencyCode": currency })
        };
        let shop = money(&set["shop_money"]);
        let presentment = &set["presentment_money"];
        json!({ "presentmentMoney": if presentment.is_object() { money(presentment) } else { shop.clone() }, "shopMoney": shop })
    }

    fn plain(&self, amount: &Value) -> Value {
        let money = json!({ "__typename": "MoneyV2", "amount": amount, "currencyCode": self.currency() });
        json!({ "shopMoney": money, "presentmentMoney": money })
    }
}

fn rows<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of[key].as_array().into_iter().flatten()
}

fn number(id: &Value) -> u64 {
    id.as_u64().unwrap_or_default()
}

/// A thing of which the shop knows no more than its id, since it was deleted.
fn known(ty: &str, id: u64) -> Value {
    json!({ "__typename": ty, "id": gid(ty, id), "legacyResourceId": id.to_string() })
}

/// Pairs of name and value, under the names that GraphQL has for them.
fn attributes(of: &Value, key: &str) -> Vec<Value> {
    rows(of, key).map(|pair| json!({ "key": pair["name"], "value": pair["value"] })).collect()
}

fn line_price(line: &Option<Value>) -> Value {
    line.as_ref().map(|line| line["originalUnitPriceSet"].clone()).unwrap_or_default()
}

fn shop_amount(of: &Value, key: &str) -> Value {
    let amount = &of[format!("{key}_set")]["shop_money"]["amount"];
    if amount.is_null() { of[key].clone() } else { amount.clone() }
}

/// What a refund has paid out.
fn paid_back(refund: &Value) -> impl Iterator<Item = &Value> {
    rows(refund, "transactions").filter(|one| one["status"] == "success").map(|one| &one["amount"])
}

/// What refunds kept back of their goods' worth, or, below nought, gave on top of it.
fn discrepancy(body: &Value) -> Value {
    let adjustments = rows(body, "refunds").flat_map(|refund| rows(refund, "order_adjustments"));
    sum(adjustments.filter(|one| one["kind"] != "shipping_refund").map(|one| &one["amount"]))
}

/// What is still to be paid: the body says it, or it is all of an order that nothing was paid for.
fn outstanding(body: &Value, current: &Value) -> Value {
    match body["financial_status"].as_str() {
        _ if body["total_outstanding"].is_string() => body["total_outstanding"].clone(),
        Some("pending" | "authorized") => current.clone(),
        _ => json!("0.00"),
    }
}
