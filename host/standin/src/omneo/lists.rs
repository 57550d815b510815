//! Filters, order and pages of a list.
//! Knows nothing of what is listed: whoever lists says what a thing has in a field, and how the thing reads.

use serde_json::{Value, json};

use super::store::{Row, text};
use crate::clock;
use crate::server::{Answer, Call};

const PAGE_SIZE: usize = 15;

/// What a thing has in a field.
pub(crate) enum Field {
    /// Unix milliseconds.
    Time(i64),
    Value(Value),
}

/// How things are listed: what each has in a field, how it reads, and how many a page holds at most.
pub(crate) struct Listing<T> {
    pub field: fn(&T, &str) -> Field,
    /// What a search looks through.
    pub words: fn(&T) -> String,
    pub page_max: usize,
}

/// A field of a plain row.
pub(crate) fn of_row(row: &&Row, name: &str) -> Field {
    Field::Value(row.get(name).cloned().unwrap_or_default())
}

/// All texts of a plain row.
pub(crate) fn words_of_row(row: &&Row) -> String {
    row.values().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

impl<T> Listing<T> {
    /// A Laravel page of what the query's filters leave. Pages are cut anew with each request: what has moved to another place
    /// between two of them is met twice or not at all.
    pub fn answer(&self, things: impl Iterator<Item = T>, call: &Call, render: impl Fn(&T) -> Value) -> Answer {
        let get = |name: &str| call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let filters: Vec<_> = call.query.iter().filter_map(|(key, value)| Filter::read(key, value)).collect();
        let search = get("filter[search]").map(str::to_lowercase);
        let is_found = |thing: &T| search.as_ref().is_none_or(|text| (self.words)(thing).to_lowercase().contains(text));
        let passes = |thing: &T| filters.iter().all(|filter| filter.holds(&(self.field)(thing, &filter.field)));
        let mut kept: Vec<_> = things.filter(|thing| is_found(thing) && passes(thing)).collect();
        if let Some(sort) = get("sort") {
            let key = sort.trim_start_matches('-');
            kept.sort_by_cached_key(|thing| order(&(self.field)(thing, key)));
            if sort.starts_with('-') {
                kept.reverse();
            }
        }
        let size: usize = get("page[size]")
            .or(get("limit"))
            .and_then(|size| size.parse().ok())
            .unwrap_or(PAGE_SIZE)
            .clamp(1, self.page_max);
        let page: usize = get("page[number]").or(get("page")).and_then(|page| page.parse().ok()).unwrap_or(1).max(1);
        let (total, last) = (kept.len(), kept.len().div_ceil(size).max(1));
        let skipped = (page - 1).saturating_mul(size);
        let shown: Vec<_> = kept.iter().skip(skipped).take(size).map(render).collect();
        let link = |page: usize| format!("http://{}{}?page[number]={page}", call.header("host"), call.path);
        let links = json!({
            "first": link(1),
            "last": link(last),
            "prev": (page > 1).then(|| link(page - 1)),
            "next": (page < last).then(|| link(page + 1)),
        });
        let (from, to) = (skipped + 1, skipped + shown.len());
        let meta = json!({
            "current_page": page,
            "from": (!shown.is_empty()).then_some(from),
            "last_page": last,
            "links": [],
            "path": format!("http://{}{}", call.header("host"), call.path),
            "per_page": size,
            "to": (!shown.is_empty()).then_some(to),
            "total": total,
        });
        Answer::new(200, json!({ "data": shown, "links": links, "meta": meta }))
    }
}

/// By time, else by text; rows that have nothing there come first.
fn order(field: &Field) -> (i64, Option<String>) {
    match field {
        Field::Time(ms) => (ms.div_euclid(1000), None),
        Field::Value(value) => (0, text(value)),
    }
}

/// `filter[field]=value`, `filter[list.field]=value` and `filter[field][op]=value`.
struct Filter<'a> {
    field: String,
    /// In each thing of a list.
    inner: String,
    op: String,
    wanted: &'a str,
    /// In whole seconds, as Omneo keeps times.
    wanted_s: Option<i64>,
}

impl Filter<'_> {
    /// `None` for what is no filter.
    fn read<'a>(key: &str, wanted: &'a str) -> Option<Filter<'a>> {
        let rest = key.strip_prefix("filter[")?.strip_suffix(']').filter(|rest| !rest.starts_with("search"))?;
        let (field, op) = rest.split_once("][").unwrap_or((rest, "eq"));
        let (field, inner) = field.split_once('.').unwrap_or((field, ""));
        let wanted_s = clock::parse(wanted).map(|ms| ms.div_euclid(1000));
        Some(Filter { field: field.to_owned(), inner: inner.to_owned(), op: op.to_owned(), wanted, wanted_s })
    }

    fn holds(&self, field: &Field) -> bool {
        let is_no = ["0", "false"].contains(&self.wanted);
        if self.op == "nullable" {
            return matches!(field, Field::Value(Value::Null)) != is_no;
        }
        if let Field::Value(Value::Bool(own)) = field {
            return (*own != is_no) == (self.op != "ne");
        }
        let values = match field {
            Field::Time(ms) => {
                let own = ms.div_euclid(1000);
                return match self.wanted_s {
                    Some(wanted) => self.relates(std::slice::from_ref(&own), &wanted),
                    None => self.relates(&[clock::plain(*ms).as_str()], &self.wanted),
                };
            }
            Field::Value(Value::Array(items)) => {
                let inner = |item: &Value| {
                    text(if self.inner.is_empty() || item.is_string() { item } else { &item[&self.inner] })
                };
                items.iter().map(inner).collect()
            }
            Field::Value(value) => vec![text(value)],
        };
        let values: Vec<_> = values.iter().flatten().map(String::as_str).collect();
        match self.op.as_str() {
            "in" => values.iter().any(|value| self.wanted.split(',').any(|one| one == *value)),
            _ => self.relates(&values, &self.wanted),
        }
    }

    fn relates<V: PartialOrd>(&self, values: &[V], wanted: &V) -> bool {
        let any = |test: &dyn Fn(&V) -> bool| values.iter().any(test);
        match self.op.as_str() {
            "ne" => !any(&|value| value == wanted),
            "gt" => any(&|value| value > wanted),
            "gte" => any(&|value| value >= wanted),
            "lt" => any(&|value| value < wanted),
            "lte" => any(&|value| value <= wanted),
            _ => any(&|value| value == wanted),
        }
    }
}
