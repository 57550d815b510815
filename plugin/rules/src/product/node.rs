//! Writes a product that was read by GraphQL as a webhook's body.
//!
//! The names of the options are those of the first variant. Images are numbered as they are listed among the media;
//! their addresses can differ from a webhook's in form, and then the product is sent once more.

use tandem_sdk::{Map, Value, View, Wrong, json};

use super::VARIANTS_COUNT;
use crate::node::{Node, copy, ids, tags};

const KEYS: [(&str, &str); 9] = [
    ("title", "/title"),
    ("handle", "/handle"),
    ("vendor", "/vendor"),
    ("product_type", "/productType"),
    ("body_html", "/descriptionHtml"),
    ("created_at", "/createdAt"),
    ("updated_at", "/updatedAt"),
    ("published_at", "/publishedAt"),
    ("template_suffix", "/templateSuffix"),
];

pub fn body(product: &Node) -> Result<Value, Wrong> {
    let mut body = Map::new();
    ids(&product.own, &mut body)?;
    copy(&product.own, &KEYS, &mut body);
    tags(&product.own, &mut body)?;
    let status = product.own.opt_text("/status")?.map(str::to_lowercase);
    body.insert("status".to_owned(), json!(status));
    let variants = product.below("/variants", "ProductVariant")?;
    let mut options = vec![];
    if let Some(first) = variants.first() {
        for (n, option) in first.list("/selectedOptions")?.iter().enumerate() {
            options.push(json!({ "name": option.text("/name")?, "position": n + 1 }));
        }
    }
    body.insert("options".to_owned(), Value::Array(options));
    let variants = variants.iter().map(variant).collect::<Result<_, _>>()?;
    body.insert("variants".to_owned(), Value::Array(variants));
    copy(&product.own, &[(VARIANTS_COUNT, "/variantsCount/count")], &mut body);
    body.insert("images".to_owned(), images(product)?);
    Ok(Value::Object(body))
}

fn variant(node: &View) -> Result<Value, Wrong> {
    let mut body = Map::new();
    ids(node, &mut body)?;
    for key in ["title", "sku", "barcode", "price", "position"] {
        copy(node, &[(key, &format!("/{key}"))], &mut body);
    }
    copy(node, &[("compare_at_price", "/compareAtPrice")], &mut body);
    for (n, option) in node.list("/selectedOptions")?.iter().enumerate() {
        body.insert(format!("option{}", n + 1), json!(option.text("/value")?));
    }
    Ok(Value::Object(body))
}

fn images(product: &Node) -> Result<Value, Wrong> {
    let mut images = vec![];
    for media in product.below("/media", "Image")? {
        // An image that is still being prepared has no address yet, and a film has no image.
        if let Some(url) = media.opt_text("/image/url")? {
            images.push(json!({ "src": url, "position": images.len() + 1 }));
        }
    }
    Ok(Value::Array(images))
}
