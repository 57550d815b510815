//! Where a reading goes on, as the cursor says. Knows how a cursor is written, and not what is read.

use serde::{Deserialize, Serialize};

/// A place in a collection. The beginning is the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// The last item that was read, or the cursor of the system behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The number of the page among those behind `after`, from 1 on. Only for lists that have page numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// How many items behind `after` were read by number in this round, and in the round before. Only for lists that are read by
    /// number until nothing moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The items of a page, if the first size was too much for the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
}

impl Place {
    /// Reads a cursor. One that cannot be read leads to the beginning.
    pub fn read(cursor: &str) -> Self {
        serde_json::from_str(cursor).unwrap_or_default()
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The items that a page should have.
    pub fn size(&self, most: u64) -> u64 {
        self.n.unwrap_or(most).clamp(1, most)
    }

    /// The same place with half the items in a page; nothing when a page has a single item.
    pub fn smaller(&self, most: u64) -> Option<Self> {
        let half = self.size(most) / 2;
        (half > 0).then(|| Self { n: Some(half), ..self.clone() })
    }

    /// Another place, with pages of the same size.
    pub fn moved(&self, after: Option<String>, page: Option<u64>) -> Self {
        Self { after, page, n: self.n, ..Self::default() }
    }
}
