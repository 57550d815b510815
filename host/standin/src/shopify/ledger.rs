//! An order's books as Shopify keeps them: what was sold, what went back, what was paid, and the totals that follow by
//! Shopify's definitions. Makes the bodies of webhooks; knows nothing of who reads them.
//!
//! `kept` is booked beside them, by what each act means to the shop: a check of the definitions, and of whoever uses them.

use serde_json::{Value, json};

/// Amounts are whole cents.
type Cents = i64;

/// The order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub number: u64,
    pub taxes_included: bool,
    pub manner: Manner,
    lines: Vec<Line>,
    shipping: Option<Shipping>,
    fee: Cents,
    duties: Cents,
    refunds: Vec<Refund>,
    received: Cents,
    /// The total before the first exchange.
    first_total: Cents,
    kept: Cents,
}

/// How bodies write what Shopify has written in more than one way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Refunded shipping is listed without its tax.
    pub shipping_without_tax: bool,
    /// `total_price` stays that of the first purchase when an exchange adds to it.
    pub first_total_stays: bool,
}

#[derive(Clone, Debug)]
struct Line {
    id: u64,
    price: Cents,
    quantity: i64,
    discount: Cents,
    tax: Cents,
    left: i64,
}

#[derive(Clone, Debug)]
struct Shipping {
    price: Cents,
    tax: Cents,
    back: Cents,
    is_removed: bool,
}

#[derive(Clone, Debug, Default)]
struct Refund {
    id: u64,
    /// Line, pieces, subtotal, tax.
    lines: Vec<(u64, i64, Cents, Cents)>,
    shipping: Cents,
    shipping_tax: Cents,
    fee: Cents,
    duties: Cents,
    discrepancy: Cents,
    money: Option<(&'static str, Cents)>,
}

/// How a refund pays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pays {
    Now,
    /// It is on its way.
    Later,
    /// Nothing: the goods are exchanged, or what is owed is settled some other time.
    Nothing,
    /// Nothing, ever: the shop keeps the money.
    Never,
    /// The goods' worth less so much.
    Less(Cents),
}

impl Ledger {
    /// A sale of lines (price, pieces, discount), with shipping, a fee and duties; a tenth of each amount is tax.
    pub fn sell(
        number: u64,
        taxes_included: bool,
        lines: &[(Cents, i64, Cents)],
        shipping: Cents,
        charges: [Cents; 2],
    ) -> Self {
        let mut ledger = Self { number, taxes_included, fee: charges[0], duties: charges[1], ..Self::default() };
        lines.iter().for_each(|line| ledger.add(*line));
        ledger.shipping =
            (shipping > 0).then_some(Shipping { price: shipping, tax: shipping / 10, back: 0, is_removed: false });
        ledger.first_total = ledger.total();
        ledger.kept = ledger.total();
        ledger
    }

    fn add(&mut self, (price, quantity, discount): (Cents, i64, Cents)) {
        let (id, paid) = (self.number * 100 + self.lines.len() as u64, price * quantity - discount);
        self.lines.push(Line { id, price, quantity, discount, tax: paid / 10, left: quantity });
    }

    pub fn pay(&mut self) {
        self.received = self.worth_of_goods() + self.discrepancies();
    }

    /// Gives pieces of a line back, and shipping, fee and duties with them where that is asked for; gives the refund's id,
    /// or nothing where there is nothing to give back.
    pub fn give_back(&mut self, line: usize, pieces: i64, with_charges: bool, pays: Pays) -> Option<u64> {
        let charges = (self.fee_left(), self.duties_left());
        let mut refund = Refund { id: self.number * 1000 + self.refunds.len() as u64, ..Refund::default() };
        let of = self.lines.get_mut(line).filter(|line| line.left >= pieces && pieces > 0)?;
        // The last pieces take what division has left.
        let share = |amount: Cents, left: i64, all: i64| amount * left / all - amount * (left - pieces) / all;
        let subtotal = share(of.price * of.quantity - of.discount, of.left, of.quantity);
        let tax = share(of.tax, of.left, of.quantity);
        of.left -= pieces;
        refund.lines.push((of.id, pieces, subtotal, tax));
        if with_charges {
            (refund.fee, refund.duties) = charges;
            if let Some(shipping) = self.shipping.as_mut().filter(|shipping| shipping.back == 0 && !shipping.is_removed)
            {
                shipping.back = shipping.price;
                refund.shipping = shipping.price - if self.taxes_included { shipping.tax } else { 0 };
                refund.shipping_tax = shipping.tax;
            }
        }
        let goods = self.goods_of(&refund);
        let paid = match pays {
            Pays::Now | Pays::Later | Pays::Nothing => goods,
            Pays::Never => 0,
            Pays::Less(less) => (goods - less).max(1),
        };
        refund.discrepancy = goods - paid;
        refund.money = match pays {
            Pays::Now | Pays::Less(_) => Some(("success", paid)),
            Pays::Later => Some(("pending", paid)),
            Pays::Nothing | Pays::Never => None,
        };
        self.kept -= paid;
        let id = refund.id;
        self.refunds.push(refund);
        Some(id)
    }

    /// Takes a line back for something else of this price; the difference is paid or paid back at once.
    pub fn exchange(&mut self, line: usize, price: Cents) -> Option<u64> {
        let id = self.give_back(line, 1, false, Pays::Nothing)?;
        let before = self.total();
        self.add((price, 1, 0));
        self.kept += self.total() - before;
        let owed = self.received - self.refunded() - self.worth_of_goods() - self.discrepancies();
        match owed {
            owed if owed > 0 => self.refunds.last_mut()?.money = Some(("success", owed)),
            owed => self.received -= owed,
        }
        Some(id)
    }

    /// Pays back, in a refund of its own, what edits have left owing.
    pub fn settle(&mut self) -> Option<u64> {
        let owed = self.received - self.refunded() - self.worth_of_goods() - self.discrepancies();
        self.pay_back(owed, 0)
    }

    /// Pays back something for which nothing comes back.
    pub fn goodwill(&mut self, amount: Cents) -> Option<u64> {
        self.kept -= amount;
        self.pay_back(amount, -amount)
    }

    fn pay_back(&mut self, amount: Cents, discrepancy: Cents) -> Option<u64> {
        let id = self.number * 1000 + self.refunds.len() as u64;
        let money = Some(("success", amount));
        (amount > 0).then(|| self.refunds.push(Refund { id, discrepancy, money, ..Refund::default() }))?;
        Some(id)
    }

    /// An edit takes the shipping off.
    pub fn remove_shipping(&mut self) {
        if let Some(shipping) = self.shipping.as_mut().filter(|shipping| shipping.back == 0 && !shipping.is_removed) {
            shipping.is_removed = true;
            let tax = if self.taxes_included { 0 } else { shipping.tax };
            self.kept -= shipping.price + tax;
            self.first_total -= shipping.price + tax;
        }
    }

    /// What was on its way has come, or has not.
    pub fn arrive(&mut self, status: &'static str) {
        for refund in &mut self.refunds {
            if let Some(money) = refund.money.as_mut().filter(|(status, _)| *status == "pending") {
                money.0 = status;
            }
        }
    }

    /// What the shop keeps of the order, booked act by act.
    pub fn kept(&self) -> Cents {
        self.kept
    }

    /// `netPaymentSet`, `totalOutstandingSet`, `currentTotalPriceSet` and `refundDiscrepancySet`.
    pub fn figures(&self) -> [Cents; 4] {
        let net_payment = self.received - self.refunded();
        let (current, discrepancies) = (self.worth_of_goods(), self.discrepancies());
        [net_payment, current + discrepancies - net_payment, current, discrepancies]
    }

    fn on_top(&self, tax: Cents) -> Cents {
        if self.taxes_included { 0 } else { tax }
    }

    /// Everything that was ever sold, shipping that was removed aside.
    fn total(&self) -> Cents {
        let line = |line: &Line| line.price * line.quantity - line.discount + self.on_top(line.tax);
        let shipping = self.shipping.iter().filter(|shipping| !shipping.is_removed);
        let shipping = shipping.map(|shipping| shipping.price + self.on_top(shipping.tax)).sum::<Cents>();
        self.lines.iter().map(line).sum::<Cents>() + shipping + self.fee + self.duties
    }

    fn goods_of(&self, refund: &Refund) -> Cents {
        let lines = refund.lines.iter().map(|(_, _, subtotal, tax)| subtotal + self.on_top(*tax)).sum::<Cents>();
        lines + refund.shipping + refund.shipping_tax + refund.fee + refund.duties
    }

    fn worth_of_goods(&self) -> Cents {
        self.total() - self.refunds.iter().map(|refund| self.goods_of(refund)).sum::<Cents>()
    }

    fn discrepancies(&self) -> Cents {
        self.refunds.iter().map(|refund| refund.discrepancy).sum()
    }

    fn refunded(&self) -> Cents {
        let money = self.refunds.iter().filter_map(|refund| refund.money);
        money.filter(|(status, _)| *status == "success").map(|(_, amount)| amount).sum()
    }

    fn fee_left(&self) -> Cents {
        if self.refunds.iter().any(|refund| refund.fee > 0) { 0 } else { self.fee }
    }

    fn duties_left(&self) -> Cents {
        if self.refunds.iter().any(|refund| refund.duties > 0) { 0 } else { self.duties }
    }

    /// The body of a webhook about the order.
    pub fn body(&self, updated_at: &str) -> Value {
        let taxes: Cents = self.lines.iter().map(|line| line.tax).sum::<Cents>()
            + self.shipping.iter().filter(|shipping| !shipping.is_removed).map(|shipping| shipping.tax).sum::<Cents>();
        let discounts: Cents = self.lines.iter().map(|line| line.discount).sum();
        let has_exchange = self.first_total != self.total();
        let total = if self.manner.first_total_stays && has_exchange { self.first_total } else { self.total() };
        let shipping = |shipping: &Shipping| {
            json!({ "id": self.number * 10, "title": "Standard", "price": text(shipping.price), "is_removed": shipping.is_removed,
                "discount_allocations": [], "tax_lines": [{ "price": text(shipping.tax) }] })
        };
        json!({
            "id": self.number, "name": format!("#{}", self.number), "test": false, "currency": "AUD",
            "presentment_currency": "AUD", "taxes_included": self.taxes_included, "financial_status": self.status(),
            "fulfillment_status": null, "cancelled_at": null, "source_name": "web", "customer": null,
            "created_at": "2026-11-02T20:00:00+11:00", "processed_at": "2026-11-02T20:00:00+11:00", "updated_at": updated_at,
            "payment_gateway_names": ["shopify_payments"], "total_price": text(total), "total_tax": text(taxes),
            "total_discounts": text(discounts), "current_total_price": text(self.worth_of_goods()),
            "total_outstanding": text(self.figures()[1]),
            "original_total_additional_fees_set": set(self.fee), "original_total_duties_set": set(self.duties),
            "line_items": self.lines.iter().map(Line::body).collect::<Value>(),
            "shipping_lines": self.shipping.iter().map(shipping).collect::<Value>(),
            "refunds": self.refunds.iter().map(|refund| self.refund_body(refund)).collect::<Value>(),
        })
    }

    fn status(&self) -> &'static str {
        match (self.received, self.refunded()) {
            (0, _) => "pending",
            (_, 0) => "paid",
            (received, refunded) if refunded >= received => "refunded",
            _ => "partially_refunded",
        }
    }

    /// The body of `refunds/create` for the latest refund.
    pub fn last_refund(&self) -> Option<Value> {
        self.refund(self.refunds.last()?.id)
    }

    /// The body of `refunds/create`: the refund as it is now.
    fn refund(&self, id: u64) -> Option<Value> {
        let refund = self.refunds.iter().find(|refund| refund.id == id)?;
        let mut body = self.refund_body(refund);
        body["order_id"] = json!(self.number);
        for member in body["refund_line_items"].as_array_mut().into_iter().flatten() {
            let line = self.lines.iter().find(|line| member["line_item_id"] == line.id);
            member["line_item"] = line.map(Line::body).into();
        }
        Some(body)
    }

    fn refund_body(&self, refund: &Refund) -> Value {
        let lines = refund.lines.iter().enumerate().map(|(n, (line, pieces, subtotal, tax))| {
            json!({ "id": refund.id * 10 + n as u64, "line_item_id": line, "quantity": pieces,
                "subtotal_set": set(*subtotal), "total_tax_set": set(*tax) })
        });
        let listed = refund.shipping + if self.manner.shipping_without_tax { 0 } else { refund.shipping_tax };
        let shipping = self.shipping.as_ref().filter(|_| refund.shipping > 0).map(|shipping| {
            json!({ "id": refund.id, "subtotal_amount_set": set(listed),
                "shipping_line": { "price": text(shipping.price), "tax_lines": [{ "price": text(shipping.tax) }] } })
        });
        let adjustment = (refund.discrepancy != 0)
            .then(|| json!({ "kind": "refund_discrepancy", "amount": text(refund.discrepancy), "tax_amount": "0.00" }));
        let money =
            refund.money.map(|(status, amount)| json!({ "kind": "refund", "status": status, "amount": text(amount) }));
        json!({
            "id": refund.id, "created_at": "2026-11-05T10:00:00Z", "refund_line_items": lines.collect::<Value>(),
            "refund_shipping_lines": shipping.into_iter().collect::<Value>(),
            "order_adjustments": adjustment.into_iter().collect::<Value>(),
            "transactions": money.into_iter().collect::<Value>(),
            "total_duties_set": set(refund.duties), "total_additional_fees_set": set(refund.fee),
        })
    }
}

impl Line {
    fn body(&self) -> Value {
        json!({ "id": self.id, "name": format!("Item {}", self.id), "sku": format!("SKU-{}", self.id), "variant_id": self.id + 7,
            "price": text(self.price), "quantity": self.quantity, "current_quantity": self.left,
            "discount_allocations": [{ "amount": text(self.discount) }], "tax_lines": [{ "price": text(self.tax) }] })
    }
}

fn text(cents: Cents) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

fn set(cents: Cents) -> Value {
    json!({ "shop_money": { "amount": text(cents), "currency_code": "AUD" } })
}
