//! An item of Shopify as GraphQL shows it: one object with its connections, or the lines that a job wrote about it.
//! Knows the two forms, and no kind of item.

use tandem_sdk::{Map, Value, View, Wrong, json};

/// An item: the object itself, and what a job lists below it.
pub struct Node<'a> {
    pub own: View<'a>,
    lines: Vec<View<'a>>,
}

impl<'a> Node<'a> {
    /// Reads an item; `None` if the payload is not GraphQL's.
    pub fn read(payload: &View<'a>) -> Result<Option<Self>, Wrong> {
        let lines = match payload.is_list() {
            true => payload.list("")?,
            false => vec![*payload],
        };
        let Some((own, lines)) = lines.split_first() else { return Err(payload.wrong("", "an item without a line")) };
        let Some(id) = own.get("/id").filter(|id| id.is_text()) else { return Ok(None) };
        let id = id.text("")?;
        for line in lines {
            if line.text("/__parentId")? != id {
                return Err(line.wrong("/__parentId", format!("the line belongs to another item than `{id}`")));
            }
        }
        Ok(Some(Self { own: *own, lines: lines.to_vec() }))
    }

    /// What stands in a connection of the item. The lines of a job are told apart by the ends of their kinds' names.
    pub fn below(&self, connection: &str, kind: &str) -> Result<Vec<View<'a>>, Wrong> {
        if self.own.has(connection) {
            return self.own.list(&format!("{connection}/nodes"));
        }
        let mut found = vec![];
        for line in &self.lines {
            if line.text("/__typename")?.ends_with(kind) {
                found.push(*line);
            }
        }
        Ok(found)
    }
}

/// The id of a node in the two forms in which a webhook's body has it.
pub fn ids(node: &View, to: &mut Map<String, Value>) -> Result<(), Wrong> {
    to.insert("id".to_owned(), json!(node.id("/id")?));
    to.insert("admin_graphql_api_id".to_owned(), json!(node.text("/id")?));
    Ok(())
}

/// Copies what a node shows under these keys; null stays null, and what is not shown stays absent.
pub fn copy(node: &View, keys: &[(&str, &str)], to: &mut Map<String, Value>) {
    for (key, at) in keys {
        if let Some(value) = node.get(at) {
            to.insert((*key).to_owned(), value.value());
        }
    }
}

/// A list of tags as a webhook's body has it: one text.
pub fn tags(node: &View, to: &mut Map<String, Value>) -> Result<(), Wrong> {
    if node.has("/tags") {
        let tags = node.list("/tags")?.iter().map(|tag| tag.text("")).collect::<Result<Vec<_>, _>>()?;
        to.insert("tags".to_owned(), json!(tags.join(", ")));
    }
    Ok(())
}
