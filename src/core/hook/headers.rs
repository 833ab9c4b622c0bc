//! A call's headers, as far as they are text and not ambiguous.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Most headers that are kept.
const HEADERS_MAX: usize = 100;

/// Headers by lower-case name. One that was sent twice counts as missing: which of the two is meant cannot be known.
#[derive(Clone, Default)]
pub struct Headers {
    given: BTreeMap<String, String>,
    twice: BTreeSet<String>,
}

/// Shows the names alone: the values may be secrets.
impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.given.keys()).finish()
    }
}

impl Headers {
    /// Adds a header; a value that is no text is dropped.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        if self.given.len() >= HEADERS_MAX || self.twice.contains(&name) {
            return;
        }
        let Ok(value) = std::str::from_utf8(value) else { return };
        if self.given.remove(&name).is_some() {
            self.twice.insert(name);
        } else {
            self.given.insert(name, value.trim().to_owned());
        }
    }

    /// Returns the value of a header, by its lower-case name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// Returns the first of these headers that was sent.
    #[must_use]
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }
}
