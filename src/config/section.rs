//! A section of a file, read key by key: every fault is recorded and the reading goes on.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    fault::{Fault, Faults, Trouble, shown},
    value,
    yaml::{Entry, Node, Value},
};

/// An item of a list that holds words or sections.
pub(super) enum Item<'a> {
    /// A word, and where it stands, to report faults there (with an empty key).
    Word(&'a Node, Section<'a>),
    /// A section.
    Keys(Section<'a>),
}

/// One section: its keys, where it stands, and what it is called.
pub(super) struct Section<'a> {
    file: &'a Path,
    path: String,
    line: usize,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// Opens a whole file's top level; unknown and duplicate keys are recorded.
    pub(super) fn root(file: &'a Path, root: &'a Node, known: &[&str], faults: &mut Faults) -> Self {
        Self::open(file, String::new(), 1, root, known, faults)
    }

    /// Opens a file of somebody else's format, whose other keys are not ours to judge.
    pub(super) fn unchecked(file: &'a Path, root: &'a Node) -> Self {
        let entries: &[Entry] = if let Value::Map(entries) = &root.value { entries } else { &[] };
        Section { file, path: String::new(), line: 1, entries }
    }

    /// Opens the section under `key`; an absent one is empty, so that its missing keys are reported like any.
    pub(super) fn section(&self, key: &str, known: &[&str], faults: &mut Faults) -> Section<'a> {
        match self.entry(key) {
            Some(entry) => Self::open(self.file, self.path_of(key), entry.line, &entry.node, known, faults),
            None => Section { file: self.file, path: self.path_of(key), line: self.line, entries: &[] },
        }
    }

    /// Opens the section under `key`, whose keys are names that the operator chooses.
    pub(super) fn names(&self, key: &str, faults: &mut Faults) -> Section<'a> {
        let names: Vec<&str> = match self.entry(key).map(|entry| &entry.node.value) {
            Some(Value::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => vec!["one for each name"],
        };
        self.section(key, &names, faults)
    }

    /// Returns the keys that have a value, each once, as they stand.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> = Vec::new();
        for entry in self.entries {
            if entry.node.value != Value::Null && !keys.contains(&entry.key.as_str()) {
                keys.push(&entry.key);
            }
        }
        keys
    }

    /// Whether the value of `key` is a section.
    pub(super) fn has_section(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.node.value, Value::Map(_)))
    }

    /// Returns the items of the list under `key`, sections opened.
    pub(super) fn items(&self, key: &str, known: &[&str], faults: &mut Faults) -> Vec<Item<'a>> {
        self.list(key, faults, |_| Ok(()));
        let Some(Value::List(items)) = self.entry(key).map(|entry| &entry.node.value) else { return Vec::new() };
        let opened = items.iter().enumerate().map(|(index, node)| {
            let path = format!("{}[{index}]", self.path_of(key));
            match node.value {
                Value::Map(_) => Item::Keys(Self::open(self.file, path, node.line, node, known, faults)),
                _ => Item::Word(node, Section { file: self.file, path, line: node.line, entries: &[] }),
            }
        });
        opened.collect()
    }

    /// Opens the section under `key` once more, without checking its keys again: to report at its lines.
    pub(super) fn again(&self, key: &str) -> Section<'a> {
        self.section_of(key).unwrap_or(Section {
            file: self.file,
            path: self.path_of(key),
            line: self.line,
            entries: &[],
        })
    }

    fn section_of(&self, key: &str) -> Option<Section<'a>> {
        let entry = self.entry(key)?;
        let Value::Map(entries) = &entry.node.value else { return None };
        Some(Section { file: self.file, path: self.path_of(key), line: entry.line, entries })
    }

    fn open(file: &'a Path, path: String, line: usize, node: &'a Node, known: &[&str], faults: &mut Faults) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar { .. } | Value::List(_) => {
                let section = Section { file, path: path.clone(), line, entries: &[] };
                let trouble = Trouble::new(
                    format!("{} where a section belongs", kind(node)),
                    format!("It holds keys of its own: {}.", known.join(", ")),
                    "write `key: value` lines, indented under it.",
                );
                faults.push(section.fault(node.line, path.clone(), trouble));
                &[]
            }
        };
        let section = Section { file, path, line, entries };
        section.check_keys(known, faults);
        section
    }

    fn check_keys(&self, known: &[&str], faults: &mut Faults) {
        for (index, entry) in self.entries.iter().enumerate() {
            let key = self.path_of(&printable(&entry.key));
            if let Some(first) = self.entries[..index].iter().find(|earlier| earlier.key == entry.key) {
                let trouble = Trouble::new(
                    "given twice",
                    format!("Line {} already sets it, and only one can count.", first.line),
                    "remove one of the two lines.",
                );
                faults.push(self.fault(entry.line, key, trouble));
            } else if !known.contains(&entry.key.as_str()) {
                let mend = match nearest(&entry.key, known) {
                    Some(near) => format!("did you mean `{near}`? Otherwise remove the line."),
                    None => format!("remove it; known here: {}.", known.join(", ")),
                };
                let trouble = Trouble::new("unknown key", "It would be ignored, which is never what was meant.", mend);
                faults.push(self.fault(entry.line, key, trouble));
            }
        }
    }

    /// Returns the file that this is a part of.
    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// Returns whether `key` has a value (an empty one counts as absent).
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Returns whether the value of `key` is a list.
    pub(super) fn has_list(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.node.value, Value::List(_)))
    }

    /// Returns the whole number of `key`, within `bounds`; `default` if it is absent, or faulty and recorded.
    pub(super) fn number<N: TryFrom<u64>>(
        &self,
        key: &str,
        bounds: RangeInclusive<u64>,
        default: N,
        faults: &mut Faults,
    ) -> N {
        self.get(key, faults, |node| value::number(node, bounds)).unwrap_or(default)
    }

    /// Returns the value of `key`; `None` if it is absent, or faulty and recorded.
    pub(super) fn get<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        parse: impl FnOnce(&Node) -> Result<T, Trouble>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        match parse(&entry.node) {
            Ok(value) => Some(value),
            Err(trouble) => {
                faults.push(self.fault(entry.line, self.path_of(key), trouble));
                None
            }
        }
    }

    /// Returns the value of `key`; a missing one is a fault, with `why` it is needed and how to `mend` that.
    pub(super) fn need<T>(
        &self,
        key: &str,
        (why, mend): (&str, &str),
        faults: &mut Faults,
        parse: impl FnOnce(&Node) -> Result<T, Trouble>,
    ) -> Option<T> {
        if !self.has(key) {
            self.report(key, Trouble::new("missing", why, mend), faults);
        }
        self.get(key, faults, parse)
    }

    /// Returns the list under `key`, each item parsed; an absent list is empty.
    pub(super) fn list<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        parse: impl Fn(&Node) -> Result<T, Trouble>,
    ) -> Vec<T> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else {
            let trouble = Trouble::new(
                format!("{} where a list belongs", kind(&entry.node)),
                "Several values are possible here.",
                "write `[one, two]`, or a line with `- ` for each.",
            );
            faults.push(self.fault(entry.line, self.path_of(key), trouble));
            return Vec::new();
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(item) {
                Ok(value) => values.push(value),
                Err(trouble) => faults.push(self.fault(item.line, format!("{}[{index}]", self.path_of(key)), trouble)),
            }
        }
        values
    }

    /// Records a fault at `key`'s line, or at the section's where the key is absent.
    pub(super) fn report(&self, key: &str, trouble: Trouble, faults: &mut Faults) {
        let line = self.entry(key).map_or(self.line, |entry| entry.line);
        faults.push(self.fault(line, self.path_of(key), trouble));
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key && entry.node.value != Value::Null)
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    fn fault(&self, line: usize, key: String, trouble: Trouble) -> Fault {
        let Trouble { what, why, mend } = trouble;
        Fault { file: PathBuf::from(self.file), line: Some(line), key, what, why, mend }
    }
}

/// Returns what a node is, in the words of a message.
pub(super) fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a section",
    }
}

fn printable(key: &str) -> String {
    let quoted = shown(key);
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the known key that `key` most likely is a slip of.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    const SLIPS_MAX: usize = 2;
    const KEY_CHARS_MAX: usize = 64;
    if key.chars().count() > KEY_CHARS_MAX {
        return None;
    }
    let plain = key.to_lowercase().replace('-', "_");
    let (slips, near) = known.iter().map(|known| (distance(&plain, known), *known)).min()?;
    (slips <= SLIPS_MAX && slips < near.len()).then_some(near)
}

/// Returns the Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key_that_was_meant_and_a_stranger_none() {
        let known = ["as_token", "as_token_file", "hs_token", "listen", "url", "id"];
        let found =
            ["hs-token", "HS_TOKEN", "lisen", "urls", "as_tokne", "colour", "x"].map(|key| nearest(key, &known));
        let expected = [Some("hs_token"), Some("hs_token"), Some("listen"), Some("url"), Some("as_token"), None, None];
        assert_eq!(found, expected);
    }
}
