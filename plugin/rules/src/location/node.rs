//! Writes a location that was read by GraphQL as a webhook's body.

use tandem_sdk::{Map, Value, View, Wrong};

use crate::node::{copy, ids};

const KEYS: [(&str, &str); 11] = [
    ("name", "/name"),
    ("active", "/isActive"),
    ("updated_at", "/updatedAt"),
    ("address1", "/address/address1"),
    ("address2", "/address/address2"),
    ("city", "/address/city"),
    ("province", "/address/province"),
    ("province_code", "/address/provinceCode"),
    ("country_name", "/address/country"),
    ("country_code", "/address/countryCode"),
    ("zip", "/address/zip"),
];

pub fn body(own: &View) -> Result<Value, Wrong> {
    let mut body = Map::new();
    ids(own, &mut body)?;
    copy(own, &KEYS, &mut body);
    copy(own, &[("phone", "/address/phone")], &mut body);
    Ok(Value::Object(body))
}
