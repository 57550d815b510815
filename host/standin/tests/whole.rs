//! Whatever can be asked of an order, a product and a customer is answered, and what the schema never lets be null never is.
//!
//! Beside bodies made here, those of real shops are shown where they are at hand: in the folder named by
//! `TANDEM_SHOPIFY_PAYLOADS`, or in the one beside the checkout. They are not part of the project.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use async_graphql_parser::parse_schema;
use async_graphql_parser::types::{BaseType, FieldDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition};
use serde_json::{Value, json};
use tandem_standin::{Ledger, Past, Pays, Shopify, live_through};

use crate::kit::{START, graphql, shop_with, tenant};

/// How deep a selection goes: an order's refund's line's money.
const DEPTH: usize = 7;

struct Schema(HashMap<String, TypeDefinition>);

impl Schema {
    fn load() -> Schema {
        let text =
            concat!(include_str!("../src/shopify/schema.graphql"), include_str!("../src/shopify/commerce.graphql"),);
        let types = parse_schema(text).unwrap().definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(ty) => Some((ty.node.name.node.to_string(), ty.node)),
            _ => None,
        });
        Schema(types.collect())
    }

    fn fields(&self, ty: &str) -> Vec<&FieldDefinition> {
        let fields = match self.0.get(ty).map(|ty| &ty.kind) {
            Some(TypeKind::Object(object)) => &object.fields,
            Some(TypeKind::Interface(interface)) => &interface.fields,
            _ => return vec![],
        };
        fields.iter().map(|field| &field.node).collect()
    }

    /// All that can be asked of a type without knowing more; things that lead back to where they came from are left out.
    fn all(&self, ty: &str, depth: usize) -> String {
        const BACK: [&str; 8] =
            ["order", "orders", "customer", "product", "metafield", "metafields", "variant", "variants"];
        let mut text = " __typename".to_owned();
        for field in self.fields(ty) {
            let (name, inner) = (field.name.node.as_str(), named(&field.ty.node));
            let is_object = !self.fields(inner).is_empty();
            let needs_more = field.arguments.iter().any(|argument| !argument.node.ty.node.nullable);
            let leads_back = depth < DEPTH && BACK.contains(&name);
            if needs_more || leads_back || is_object && depth == 0 || inner == "PricingValue" {
                continue;
            }
            let pages = if inner.ends_with("Connection") { "(first: 4)" } else { "" };
            text += &format!(" {name}{pages}");
            if is_object {
                text += &self.all(inner, depth - 1);
            }
        }
        format!(" {{{text} }}")
    }

    /// Where a value is null though its type says it never is.
    fn nulls(&self, value: &Value, ty: &Type, place: &str, found: &mut Vec<String>) {
        match (value, &ty.base) {
            (Value::Null, _) if !ty.nullable => found.push(place.to_owned()),
            (Value::Array(items), BaseType::List(inner)) => {
                items.iter().for_each(|item| self.nulls(item, inner, place, found));
            }
            (Value::Object(object), BaseType::Named(name)) => {
                for field in self.fields(name) {
                    if let Some(value) = object.get(field.name.node.as_str()) {
                        self.nulls(value, &field.ty.node, &format!("{place}.{}", field.name.node), found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

/// Asks for all of one thing.
async fn shown(schema: &Schema, shop: &Shopify, ty: &str, id: &str) {
    let root = format!("{}{}", ty[..1].to_lowercase(), &ty[1..]);
    let query = format!("query Whole($id: ID!) {{ {root}(id: $id){} }}", schema.all(ty, DEPTH));
    let answer = graphql(shop, &query, json!({ "id": id })).await;
    assert_eq!((answer.get("errors"), answer["data"][&root]["id"].as_str()), (None, Some(id)));
    let mut nulls = vec![];
    let definition = schema.fields("QueryRoot").into_iter().find(|field| field.name.node == root.as_str()).unwrap();
    schema.nulls(&answer["data"][&root], &definition.ty.node, ty, &mut nulls);
    assert_eq!(nulls, [""; 0], "{id}");
}

fn payloads() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/shopify-payloads");
    let folder = std::env::var_os("TANDEM_SHOPIFY_PAYLOADS").map_or(beside, PathBuf::from);
    folder.join("README.md").is_file().then_some(folder)
}

#[tokio::test]
async fn nothing_is_null_that_is_never_null() {
    let schema = Schema::load();
    let (shop, _) = shop_with(|options| options.bucket = (1e9, 1e9)).await;
    let (omneo, _) = tenant().await;
    live_through(&shop, &omneo, &Past { people: 3, products: 1, orders: 2, ..Past::between(START - 1_000_000, START) });
    let mut ledger = Ledger::sell(41, false, &[(2_000, 2, 150), (1_000, 1, 0)], 900, [300, 500]);
    ledger.pay();
    ledger.give_back(0, 1, true, Pays::Less(300));
    ledger.exchange(1, 1_500);
    shop.send_order("orders/updated", ledger.body("2026-07-01T10:00:00+10:00"));
    let gid = |ty: &str, body: &Value| format!("gid://shopify/{ty}/{}", body["id"]);
    for order in shop.orders() {
        shown(&schema, &shop, "Order", &gid("Order", &order)).await;
    }
    shown(&schema, &shop, "Product", &gid("Product", &shop.products()[0])).await;
    shown(&schema, &shop, "Customer", &gid("Customer", &shop.customers()[0])).await;
}

#[tokio::test]
async fn orders_of_real_shops_are_shown() {
    let Some(folder) = payloads() else {
        assert!(std::env::var_os("CI").is_none(), "CI has the payloads, and this run has not found them");
        println!("SKIPPED: no payloads of Shopify; name their folder in TANDEM_SHOPIFY_PAYLOADS");
        return;
    };
    let (schema, mut count) = (Schema::load(), 0);
    let (shop, _) = shop_with(|options| options.bucket = (1e9, 1e9)).await;
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let orders = folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("orders-"));
    for path in orders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())) {
        let body: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap_or_default();
        if body["line_items"].is_array() && body["id"].is_u64() {
            let id = format!("gid://shopify/Order/{}", body["id"]);
            shop.send_order("orders/updated", body);
            shown(&schema, &shop, "Order", &id).await;
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
