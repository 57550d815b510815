//! Sends products to Omneo's queue: as whole products, or as one product for each variant. Knows the products of both
//! systems, and nothing of stock.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Map;
use tandem_sdk::{
    Cx, End, Ending, Event, Json, Value, View, done, invalid, join_all, json, number, post, query, refused, skipped,
};

mod filled;
mod node;

use crate::clock::Clock;
use crate::fingerprint::fingerprint_json;
use crate::key::own_id;
use crate::mapping::{self, Of};
use crate::settings::{Level, Products, Settings};
use filled::Filled;
pub use node::body as body_of_node;

/// A body holds a hundred variants and only names the others. The others are read in batches of this size.
const NODES_MAX: usize = 250;
/// The number of variants that a body can hold. A body with so many, and with no `variant_gids` that names more, may
/// lack the rest.
const LISTED_MAX: usize = 100;
/// How many products are sent at the same time.
const AT_ONCE: usize = 50;

/// The title of the one variant of a product without options.
const NO_TITLE: &str = "Default Title";

/// What is read of a product and of a variant, one by one and in lists.
pub const PRODUCT: &str = "__typename id title handle vendor productType status descriptionHtml tags createdAt \
     updatedAt publishedAt templateSuffix variantsCount { count }";
pub const VARIANT: &str =
    "__typename id title sku barcode price compareAtPrice position selectedOptions { name value }";

/// The key of a body made of an item: how many variants the product has, since a list can hold fewer of them without
/// saying so.
const VARIANTS_COUNT: &str = "variants_count";

/// Variants in a page, and the pages that are read at most. Shopify gives a product 2,048 variants.
const VARIANTS_PAGE: u64 = 250;
const VARIANT_PAGES_MAX: usize = 12;

fn named_variants() -> String {
    format!("query Variants($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on ProductVariant {{ {VARIANT} }} }} }}")
}

fn all_variants() -> String {
    format!(
        "query ProductVariants($id: ID!, $n: Int!, $after: String) {{ product(id: $id) {{ \
         variants(first: $n, after: $after) {{ nodes {{ {VARIANT} }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
    )
}

/// Prefix of the SKU that is made for a variant without one.
const SKU_PREFIX: &str = "shopify-";

/// Makes Omneo archive the variants of a product that are not in the list: deleted variants, and the variant that a
/// renamed SKU leaves behind, since Omneo knows variants by their SKU.
const ARCHIVE: &str = "archive_existing_variants";

/// Omneo's statuses.
const ACTIVE: &str = "active";
const DRAFT: &str = "draft";
const ARCHIVED: &str = "archived";

/// The hash that is remembered of a deleted product; no body has this hash.
const DELETED: &str = "deleted";

#[derive(Serialize)]
struct Memory {
    clock: Clock,
    /// The mark of the body that was handled last.
    hash: String,
    /// The products that were sent to Omneo, by external id, each with its mark.
    sent: BTreeMap<String, String>,
    /// The keys that have a value in Omneo and can be emptied.
    #[serde(serialize_with = "as_value")]
    filled: Filled,
}

fn as_value<S: serde::Serializer>(filled: &Filled, to: S) -> Result<S::Ok, S::Error> {
    filled.value().serialize(to)
}

/// A variant, from a webhook body or from GraphQL.
struct Variant {
    id: u64,
    sku: Option<String>,
    position: Option<u64>,
    /// The keys that are sent on unchanged.
    keys: Map<String, Value>,
    /// The keys that can be emptied and that the body names, with or without a value.
    named: Vec<&'static str>,
}

/// The keys of a variant that can be emptied.
const BARCODE: &str = "barcode";
const COMPARISON: &str = "price_comparison";
const DESCRIPTION: &str = "description";

/// Handles every topic of products. Each sale sends `products/update` too, so unchanged products are common.
pub async fn handle(cx: &Cx, settings: &Settings, event: &Event) -> Ending {
    let payload = Json::payload(event)?;
    let product = payload.view();
    if event.topic == "products/delete" {
        return deleted(cx, event, &product).await;
    }
    let Some(title) = product.opt_text("/title")?.filter(|title| !title.trim().is_empty()) else {
        return Ok(invalid("not a product: it has no `title`"));
    };
    if !product.get("/variants").is_some_and(|variants| variants.is_list()) {
        return Ok(invalid("not a product: it has no `variants`"));
    }
    let id = own_id(&product)?;
    let clock = Clock::of(&product, event)?;
    let known = remembered(cx.memory(), id);
    if known.hash == DELETED {
        return Ok(skipped("the product was deleted in Shopify"));
    }
    if clock.is_older_than(known.clock) {
        return Ok(skipped("older than what is known of the product"));
    }
    let options = product.list("/options")?;
    let mut variants = vec![];
    for variant in product.list("/variants")? {
        variants.push(of_body(&variant, &options)?);
    }
    let missing = missing(&product, &variants)?;
    let counted = product.opt_id(&format!("/{VARIANTS_COUNT}"))?;
    let lacks_some = counted.is_some_and(|count| count > variants.len() as u64);
    let is_whole = product.has("/variant_gids") || counted.is_some() || variants.len() < LISTED_MAX;
    let mut head = header(&product, id, title, &settings.products)?;
    let left_out = mapping::add(settings.mapping.details(Of::Product), &product, &mut head);
    let head = Value::Object(head);
    let mut listed = variants_json(&mut variants);
    let unread = Unread { are_named: !missing.is_empty(), are_counted: lacks_some };
    let hash = mark(&product, &head, &listed, unread, settings.products.level);
    let mut memory = Memory { clock: clock.or(Some(known.clock)), hash, sent: known.sent, filled: known.filled };
    if memory.hash == known.hash {
        return Ok(skipped("nothing of the product that Omneo keeps has changed").remember(memory.text()));
    }
    if !missing.is_empty() {
        variants.extend(read(cx, &missing).await?);
        listed = variants_json(&mut variants);
    }
    if lacks_some {
        variants = read_all(cx, id).await?;
        listed = variants_json(&mut variants);
    }
    let bodies = bodies(head, listed, is_whole, settings.products.level);
    let named: BTreeMap<_, _> = variants.iter().map(|variant| (variant.id, variant.named.as_slice())).collect();
    let (mut fresh, mut calls) = (BTreeMap::new(), vec![]);
    for mut body in bodies {
        let external_id = body["external_id"].as_str().unwrap_or_default().to_owned();
        let hash = fingerprint_json([&body]);
        if memory.sent.get(&external_id) != Some(&hash) {
            let details = mapping::named(settings.mapping.details(Of::Product), &product);
            empty(&mut body, &mut memory.filled, &named, &product, &details);
            calls.push(body);
        }
        fresh.insert(external_id, hash);
    }
    let sent = calls.len();
    let gone: Vec<_> = memory.sent.keys().filter(|id| !fresh.contains_key(*id)).cloned().collect();
    if is_whole {
        calls.extend(gone.iter().map(|id| archived(id)));
        memory.sent = fresh;
        memory.filled.keep(|of| of == id || named.contains_key(&of));
    } else {
        memory.sent.extend(fresh);
        memory.filled.keep(|_| true);
    }
    let archived = calls.len() - sent;
    queue(cx, calls, "sending the product").await?;
    let mut end = said(title, variants.len(), sent, archived, settings.products.level);
    for note in left_out {
        end.reason = format!("{}; {note}", end.reason);
    }
    Ok(end.remember(memory.text()))
}

/// The bodies that are sent for a product: one for the whole, or one for each variant.
fn bodies(mut head: Value, listed: Value, is_whole: bool, level: Level) -> Vec<Value> {
    match (level, listed) {
        (Level::Variant, Value::Array(all)) => all.iter().map(|variant| single(&head, variant)).collect(),
        (_, all) => {
            head["variants"] = all;
            if is_whole {
                head[ARCHIVE] = json!(true);
            }
            vec![head]
        }
    }
}

/// Adds nulls to a body, so that what is empty in Shopify now becomes empty in Omneo. `named` holds, for each variant,
/// the keys that Shopify's body names.
fn empty(
    body: &mut Value,
    filled: &mut Filled,
    named: &BTreeMap<u64, &[&'static str]>,
    product: &View,
    details: &[mapping::Place],
) {
    let id_of = |keys: &Map<String, Value>| keys.get("external_id").and_then(Value::as_str)?.parse::<u64>().ok();
    for listed in body["variants"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(id) = id_of(listed) {
            filled.update(id, listed, named.get(&id).copied().unwrap_or_default().iter().copied());
        }
    }
    let Some((head, id)) = body.as_object_mut().and_then(|head| id_of(head).map(|id| (head, id))) else { return };
    filled.update(id, head, product.has("/body_html").then_some(DESCRIPTION));
    filled.update(id, head, details.iter().filter(|place| !place.is_meta).map(|place| place.key));
    if details.iter().any(|place| place.is_meta) {
        let mut meta = head.remove("meta").and_then(|meta| meta.as_object().cloned()).unwrap_or_default();
        filled.update(id, &mut meta, details.iter().filter(|place| place.is_meta).map(|place| place.key));
        if !meta.is_empty() {
            head.insert("meta".to_owned(), Value::Object(meta));
        }
    }
}

fn said(title: &str, variants: usize, sent: usize, archived: usize, level: Level) -> End {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut what = match (level, sent) {
        (_, 0) => vec![],
        (Level::Header, _) => vec![format!("product `{title}` sent with {}", count(variants, "variant"))],
        (Level::Variant, _) => vec![format!("{} of product `{title}` sent", count(sent, "variant"))],
    };
    if archived > 0 {
        what.push(format!("{} no longer there: archived in Omneo", count(archived, "product")));
    }
    match what.is_empty() {
        true => skipped("nothing of the product that Omneo keeps has changed"),
        false => done(what.join("; ")),
    }
}

/// Variants that a body does not hold.
#[derive(Clone, Copy)]
struct Unread {
    /// Whether the body names them.
    are_named: bool,
    /// Whether only their number tells that they are there.
    are_counted: bool,
}

/// The mark of a body, taken before the variants that it does not hold are read. Names carry the time of each variant's
/// last change; where there are none, the time of the product stands for them.
fn mark(product: &View, head: &Value, listed: &Value, unread: Unread, level: Level) -> String {
    let gids = product.get("/variant_gids").filter(|_| unread.are_named).map(|gids| gids.value());
    let at = product.get("/updated_at").filter(|_| unread.are_counted).map(|at| at.value());
    let level = (level == Level::Variant).then(|| json!("variant"));
    fingerprint_json([head, listed].into_iter().chain(&gids).chain(&at).chain(&level))
}

/// The product that stands for a single variant. Its title and handle are inferred, because Omneo's app does not show
/// how it forms its own.
fn single(head: &Value, variant: &Value) -> Value {
    let mut body = head.clone();
    let text = |of: Option<&Value>| of.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, title) = (text(variant.get("external_id")), text(variant.get("title")));
    if !title.is_empty() && title != NO_TITLE {
        body["title"] = json!(format!("{} - {title}", text(head.get("title"))));
    }
    if let Some(handle) = head.get("handle") {
        body["handle"] = json!(format!("{}-{id}", text(Some(handle))));
    }
    body["external_id"] = json!(id);
    body["variants"] = json!([variant]);
    body[ARCHIVE] = json!(true);
    body
}

/// Sends products, some at a time. The queue finds products by external id and variants by SKU, so sending the same
/// again changes nothing.
async fn queue(cx: &Cx, bodies: Vec<Value>, doing: &str) -> Result<(), End> {
    let mut bodies = bodies.into_iter();
    loop {
        let calls: Vec<_> = bodies.by_ref().take(AT_ONCE).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let call = |body| cx.omneo(post("/products/queue", body).repeatable().needs("/data"));
        for answer in join_all(calls.into_iter().map(call)).await {
            answer?.ok(doing)?;
        }
    }
}

fn archived(external_id: &str) -> Value {
    json!({"external_id": external_id, "status": ARCHIVED})
}

/// Archives a deleted product instead of deleting it, because transactions name it. The body holds only the id. A
/// product that was never sent to Omneo is left alone, since the queue would create it.
async fn deleted(cx: &Cx, event: &Event, product: &View<'_>) -> Ending {
    let known = remembered(cx.memory(), own_id(product)?);
    let clock = Clock::of(product, event)?.or(Some(known.clock));
    if known.hash == DELETED {
        return Ok(skipped("deleted before"));
    }
    let memory = Memory { clock, hash: DELETED.to_owned(), sent: BTreeMap::new(), filled: Filled::default() }.text();
    if known.sent.is_empty() {
        return Ok(skipped("deleted, and never sent").remember(memory));
    }
    queue(cx, known.sent.keys().map(|id| archived(id)).collect(), "archiving the product").await?;
    Ok(done("the product was deleted: archived in Omneo").remember(memory))
}

/// The SKU of a variant in Omneo, the same for products and for the items of orders.
pub fn sku(sku: Option<&str>, variant: Option<u64>) -> Option<String> {
    match sku.map(str::trim).filter(|sku| !sku.is_empty()) {
        Some(sku) => Some(sku.to_owned()),
        None => variant.map(|id| format!("{SKU_PREFIX}{id}")),
    }
}

impl Memory {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts")
    }
}

/// What is remembered of a product. Older memories do not list what was sent: then the product itself was the only
/// thing sent.
fn remembered(memory: &[String], id: u64) -> Memory {
    let nothing =
        Memory { clock: Clock::default(), hash: String::new(), sent: BTreeMap::new(), filled: Filled::default() };
    let Some(Ok(memory)) = memory.first().map(|text| Json::memory(text)) else { return nothing };
    let memory = memory.view();
    let hash = memory.opt_text("/hash").ok().flatten().unwrap_or_default().to_owned();
    let sent = match memory.get("/sent").and_then(|sent| sent.object()) {
        Some(sent) => sent.into_iter().map(|(id, hash)| (id, hash.as_str().unwrap_or_default().to_owned())).collect(),
        None if hash.is_empty() || hash == DELETED => BTreeMap::new(),
        None => BTreeMap::from([(id.to_string(), String::new())]),
    };
    let unsaid = || if sent.is_empty() { Filled::default() } else { Filled::unknown() };
    let filled = Filled::read(&memory).unwrap_or_else(unsaid);
    Memory { clock: Clock::read(&memory).unwrap_or_default(), hash, sent, filled }
}

fn header(product: &View, id: u64, title: &str, settings: &Products) -> Result<Map<String, Value>, End> {
    let vendor = product.opt_text("/vendor")?.map(str::trim).filter(|vendor| !vendor.is_empty());
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("external_id", json!(id.to_string()));
    put("title", json!(title));
    put("brand", json!(vendor.unwrap_or(&settings.brand)));
    put("status", json!(status(product, settings.archive_unpublished)?));
    for (key, at) in [("handle", "/handle"), (DESCRIPTION, "/body_html")] {
        if let Some(text) = product.opt_text(at)?.filter(|text| !text.is_empty()) {
            put(key, json!(text));
        }
    }
    if let Some(tags) = product.opt_text("/tags")? {
        let tags: Vec<_> = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
        put("tags", json!(tags));
    }
    if product.has("/images") {
        let mut images = vec![];
        for (n, image) in product.list("/images")?.iter().enumerate() {
            if let Some(url) = image.opt_text("/src")? {
                images.push(json!({"url": url, "sort_order": image.opt_id("/position")?.unwrap_or(n as u64 + 1)}));
            }
        }
        put("images", Value::Array(images));
    }
    Ok(body)
}

/// Omneo's status of a product: archived stays archived; a draft or an unpublished product is a draft, or archived if
/// the settings say so; everything else is active, listed or not.
fn status(product: &View, archive_unpublished: bool) -> Result<&'static str, End> {
    let is_unpublished = product.get("/published_at").is_some_and(|at| at.is_null());
    let off_sale = if archive_unpublished { ARCHIVED } else { DRAFT };
    Ok(match product.opt_text("/status")? {
        Some("archived") => ARCHIVED,
        Some("draft") => off_sale,
        _ if is_unpublished => off_sale,
        _ => ACTIVE,
    })
}

fn of_body(variant: &View, options: &[View]) -> Result<Variant, End> {
    let mut chosen = vec![];
    for n in 1..=3 {
        if let Some(value) = variant.opt_text(&format!("/option{n}"))? {
            let name = options.get(n - 1).map(|option| option.opt_text("/name")).transpose()?.flatten();
            let name = name.map_or_else(|| format!("Option {n}"), str::to_owned);
            chosen.push(json!({"name": name, "value": value, "sort_order": n}));
        }
    }
    let (keys, named) = keys(variant, "/compare_at_price", chosen)?;
    let sku = variant.opt_loose("/sku")?;
    Ok(Variant { id: own_id(variant)?, sku, position: variant.opt_id("/position")?, keys, named })
}

fn of_node(node: &View) -> Result<Variant, End> {
    let mut chosen = vec![];
    for (n, option) in node.list("/selectedOptions")?.iter().enumerate() {
        chosen.push(json!({"name": option.text("/name")?, "value": option.text("/value")?, "sort_order": n + 1}));
    }
    let (keys, named) = keys(node, "/compareAtPrice", chosen)?;
    Ok(Variant { id: node.id("/id")?, sku: node.opt_loose("/sku")?, position: node.opt_id("/position")?, keys, named })
}

/// The keys that bodies and GraphQL share, without those that are null; and those among the emptiable keys that are
/// named. A comparison price of zero counts as none.
fn keys(variant: &View, comparison: &str, options: Vec<Value>) -> Result<(Map<String, Value>, Vec<&'static str>), End> {
    let mut keys = Map::new();
    for (key, at) in [("title", "/title"), (BARCODE, "/barcode")] {
        if let Some(text) = variant.opt_loose(at)?.filter(|text| !text.is_empty()) {
            keys.insert(key.to_owned(), json!(text));
        }
    }
    for (key, at) in [("price", "/price"), (COMPARISON, comparison)] {
        if let Some(amount) = variant.opt_decimal(at)?.filter(|amount| key != COMPARISON || !amount.is_zero()) {
            keys.insert(key.to_owned(), number(amount));
        }
    }
    keys.insert("options".to_owned(), Value::Array(options));
    let named = [(BARCODE, "/barcode"), (COMPARISON, comparison)];
    Ok((keys, named.into_iter().filter(|(_, at)| variant.has(at)).map(|(key, _)| key).collect()))
}

/// The variants that the body names but does not hold.
fn missing(product: &View, variants: &[Variant]) -> Result<Vec<u64>, End> {
    let mut missing = vec![];
    for named in product.list("/variant_gids")? {
        let id = named.id("/admin_graphql_api_id")?;
        if !variants.iter().any(|variant| variant.id == id) {
            missing.push(id);
        }
    }
    Ok(missing)
}

async fn read(cx: &Cx, ids: &[u64]) -> Result<Vec<Variant>, End> {
    let chunk = |ids: &[u64]| {
        let ids: Vec<_> = ids.iter().map(|id| format!("gid://shopify/ProductVariant/{id}")).collect();
        cx.shopify(query(&named_variants(), json!({"ids": ids})))
    };
    let mut variants = vec![];
    for answer in join_all(ids.chunks(NODES_MAX).map(chunk)).await {
        let json = answer?.ok("reading the variants that the body does not hold")?.json()?;
        if let Some(error) = json.graphql_errors().first() {
            return Err(refused(format!("reading the variants that the body does not hold: {}", error.message)));
        }
        for node in json.view().list("/data/nodes")? {
            // A variant that was deleted meanwhile comes back as null.
            if node.is_object() {
                variants.push(of_node(&node)?);
            }
        }
    }
    Ok(variants)
}

/// Every variant of a product.
async fn read_all(cx: &Cx, id: u64) -> Result<Vec<Variant>, End> {
    const DOING: &str = "reading the variants that the list does not hold";
    let (mut variants, mut after) = (vec![], None::<String>);
    for _ in 0..VARIANT_PAGES_MAX {
        let id = format!("gid://shopify/Product/{id}");
        let variables = json!({ "id": id, "n": VARIANTS_PAGE, "after": after });
        let json = cx.shopify(query(&all_variants(), variables)).await?.ok(DOING)?.json()?;
        if let Some(error) = json.graphql_errors().first() {
            return Err(refused(format!("{DOING}: {}", error.message)));
        }
        let Some(page) = json.view().get("/data/product/variants").filter(|page| page.is_object()) else {
            return Err(refused(format!("{DOING}: Shopify does not show the product")));
        };
        for node in page.list("/nodes")? {
            variants.push(of_node(&node)?);
        }
        if page.opt_bool("/pageInfo/hasNextPage")? != Some(true) {
            return Ok(variants);
        }
        after = Some(page.text("/pageInfo/endCursor")?.to_owned());
    }
    Err(refused(format!("{DOING}: there are more than {} of them", VARIANT_PAGES_MAX as u64 * VARIANTS_PAGE)))
}

/// The variants by position, each with a SKU of its own. Where two share a SKU, the first keeps it and the other gets
/// one made of its id.
fn variants_json(variants: &mut [Variant]) -> Value {
    variants.sort_by_key(|variant| (variant.position.unwrap_or(u64::MAX), variant.id));
    let mut taken = BTreeSet::new();
    let listed = variants.iter().enumerate().map(|(n, variant)| {
        let own = sku(variant.sku.as_deref(), Some(variant.id)).filter(|own| !taken.contains(own));
        let own = own.unwrap_or_else(|| format!("{SKU_PREFIX}{}", variant.id));
        taken.insert(own.clone());
        let mut keys = variant.keys.clone();
        keys.insert("sku".to_owned(), json!(own));
        keys.insert("external_id".to_owned(), json!(variant.id.to_string()));
        keys.insert("position".to_owned(), json!(variant.position.unwrap_or(n as u64 + 1)));
        Value::Object(keys)
    });
    listed.collect()
}
