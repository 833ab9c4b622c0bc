//! A source of an answer, as its event and its journal hold it.

use serde::{Deserialize, Serialize};

/// A source of an answer, as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cited {
    /// Its name: one line of visible characters.
    #[serde(default)]
    pub name: String,
    /// Its address, checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The words that are cited first, shortened; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}
