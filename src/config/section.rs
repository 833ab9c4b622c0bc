//! Reads a section of a file key by key: each fault is recorded, and reading continues.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    fault::{Fault, Faults, Trouble, shown},
    key::{Fallback, Home, Key, Kind},
    slips::{Unit, nearest},
    value,
    yaml::{Entry, Node, Value},
};

/// An item of a list that mixes words and sections.
pub(super) enum Item<'a> {
    /// A word, and its place for reporting faults (with an empty key).
    Word(&'a Node, Section<'a>),
    /// A section.
    Keys(Section<'a>),
}

/// The keys that a section may have.
#[derive(Clone, Copy)]
enum Known {
    /// Only these.
    Keys(&'static [Key]),
    /// Names chosen by the operator, each for a value of this kind.
    Names(&'static Kind),
    /// Any: the file has a foreign format.
    Foreign,
}

impl Known {
    /// Returns the keys that a section of this kind may have.
    fn of(kind: &'static Kind) -> Self {
        match kind {
            Kind::Section(keys) => Self::Keys(keys),
            Kind::Named(kind) => Self::Names(kind),
            Kind::List(kind, _) => Self::of(kind),
            Kind::Either(kinds) => {
                kinds.iter().map(Self::of).find(|known| !matches!(known, Self::Foreign)).unwrap_or(Self::Foreign)
            }
            _ => Self::Foreign,
        }
    }

    /// Returns the keys that the section under `key` may have.
    fn under(self, key: &str) -> Self {
        match self {
            Self::Keys(keys) => described(keys, key).map_or(Self::Foreign, |key| Self::of(&key.kind)),
            Self::Names(kind) => Self::of(kind),
            Self::Foreign => Self::Foreign,
        }
    }
}

/// Returns the descriptor of `key`. A missing one is a bug in this repository, which its tests find.
fn described(keys: &'static [Key], key: &str) -> Option<&'static Key> {
    let found = keys.iter().find(|one| one.is(key));
    debug_assert!(found.is_some(), "config/keys does not describe {key}");
    found
}

/// A section: its entries, its place, and its name.
pub(super) struct Section<'a> {
    file: &'a Path,
    path: String,
    line: usize,
    entries: &'a [Entry],
    known: Known,
    home_of: Home,
}

impl<'a> Section<'a> {
    /// Opens a file's top level; reports unknown and duplicate keys.
    pub(super) fn root(
        file: &'a Path,
        root: &'a Node,
        (keys, home_of): (&'static [Key], Home),
        faults: &mut Faults,
    ) -> Self {
        let known = Known::Keys(keys);
        Self::open(Section { file, path: String::new(), line: 1, entries: &[], known, home_of }, root, faults)
    }

    /// Opens a file of a foreign format, whose other keys are not checked.
    pub(super) fn unchecked(file: &'a Path, root: &'a Node) -> Self {
        let entries: &[Entry] = if let Value::Map(entries) = &root.value { entries } else { &[] };
        Section { file, path: String::new(), line: 1, entries, known: Known::Foreign, home_of: |_| None }
    }

    /// Opens the section under `key`; a missing one is empty, so that its required keys are reported.
    pub(super) fn section(&self, key: &str, faults: &mut Faults) -> Section<'a> {
        match self.entry(key) {
            Some(entry) => Self::open(self.empty(key, entry.line), &entry.node, faults),
            None => self.empty(key, self.line),
        }
    }

    fn empty(&self, key: &str, line: usize) -> Section<'a> {
        Section {
            file: self.file,
            path: self.path_of(key),
            line,
            entries: &[],
            known: self.known.under(key),
            home_of: self.home_of,
        }
    }

    /// Returns the keys that have a value, each once, in file order.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> = Vec::new();
        for entry in self.entries {
            if entry.node.value != Value::Null && !keys.contains(&entry.key.as_str()) {
                keys.push(&entry.key);
            }
        }
        keys
    }

    /// Returns whether the value of `key` is a section.
    pub(super) fn has_section(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.node.value, Value::Map(_)))
    }

    /// Returns the items of the list under `key`, with sections opened.
    pub(super) fn items(&self, key: &str, faults: &mut Faults) -> Vec<Item<'a>> {
        self.list(key, faults, |_| Ok(()));
        let Some(Value::List(items)) = self.entry(key).map(|entry| &entry.node.value) else { return Vec::new() };
        let opened = items.iter().enumerate().map(|(index, node)| {
            let path = format!("{}[{index}]", self.path_of(key));
            let at = Section { path, ..self.empty(key, node.line) };
            match node.value {
                Value::Map(_) => Item::Keys(Self::open(at, node, faults)),
                _ => Item::Word(node, at),
            }
        });
        opened.collect()
    }

    /// Opens the section under `key` again without checking its keys, for reporting at its lines.
    pub(super) fn again(&self, key: &str) -> Section<'a> {
        match self.entry(key) {
            Some(Entry { line, node: Node { value: Value::Map(entries), .. }, .. }) => {
                Section { entries, ..self.empty(key, *line) }
            }
            _ => self.empty(key, self.line),
        }
    }

    /// Fills `section` with the keys of `node`.
    fn open(mut section: Section<'a>, node: &'a Node, faults: &mut Faults) -> Self {
        match &node.value {
            Value::Map(entries) => section.entries = entries,
            Value::Null => {}
            Value::Scalar { .. } | Value::List(_) => {
                let known = section.known_names().unwrap_or_else(|| vec!["one for each name".to_owned()]);
                let trouble = Trouble::new(
                    format!("{} where a section belongs", value::kind(node)),
                    format!("It holds keys of its own: {}.", known.join(", ")),
                    "write `key: value` lines, indented under it.",
                );
                faults.push(section.fault(node.line, section.path.clone(), trouble));
            }
        }
        section.check_keys(faults);
        section
    }

    /// Returns the names of its possible keys; `None` if the operator chooses them.
    fn known_names(&self) -> Option<Vec<String>> {
        if let Known::Keys(keys) = self.known { Some(keys.iter().flat_map(Key::names).collect()) } else { None }
    }

    fn check_keys(&self, faults: &mut Faults) {
        let known = self.known_names();
        for (index, entry) in self.entries.iter().enumerate() {
            let key = self.path_of(&printable(&entry.key));
            if let Some(first) = self.entries[..index].iter().find(|earlier| earlier.key == entry.key) {
                let trouble = Trouble::new(
                    "given twice",
                    format!("Line {} already sets it, and only one can count.", first.line),
                    "remove one of the two lines.",
                );
                faults.push(self.fault(entry.line, key, trouble));
            } else if let Some(known) = known.as_ref().filter(|known| !known.contains(&entry.key)) {
                let mend = match (nearest(&entry.key, known.iter().map(String::as_str)), (self.home_of)(&entry.key)) {
                    (Some(near), _) => format!("did you mean `{near}`? Otherwise remove the line."),
                    (None, Some(home)) => format!("it is a key of {home}: move it there, or look at its indentation."),
                    (None, None) => format!("remove it; known here: {}.", known.join(", ")),
                };
                let trouble = Trouble::new("unknown key", "It would be ignored, which is never what was meant.", mend);
                faults.push(self.fault(entry.line, key, trouble));
            }
        }
    }

    /// Returns the file that contains this section.
    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// Returns whether `key` has a value; an empty one counts as missing.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Returns whether the value of `key` is a list.
    pub(super) fn has_list(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.node.value, Value::List(_)))
    }

    /// Returns the integer under `key`, or its default if it is missing, or faulty and reported.
    pub(super) fn number<N: TryFrom<u64> + Default>(&self, key: &str, faults: &mut Faults) -> N {
        let Some(Key { fallback: Fallback::Number(default), .. }) = self.key(key) else {
            debug_assert!(false, "config/keys has no default of {key}");
            return N::default();
        };
        self.number_if_given(key, faults).or_else(|| N::try_from(*default).ok()).unwrap_or_default()
    }

    /// Like [`Self::number`], for a key whose default is not just a number.
    pub(super) fn number_if_given<N: TryFrom<u64>>(&self, key: &str, faults: &mut Faults) -> Option<N> {
        self.get(key, faults, |node| value::number(node, self.bounds(key), Unit::of(key)))
    }

    /// Returns the bounds of `key`'s number.
    pub(super) fn bounds(&self, key: &str) -> RangeInclusive<u64> {
        let bounds = self.key(key).and_then(|key| key.kind.bounds());
        debug_assert!(bounds.is_some(), "config/keys has no bounds of {key}");
        let (least, most) = bounds.unwrap_or_default();
        least..=most
    }

    /// Returns the boolean under `key`, or its default.
    pub(super) fn truth(&self, key: &str, faults: &mut Faults) -> bool {
        let fallback = self.key(key).map(|key| &key.fallback);
        debug_assert!(matches!(fallback, Some(Fallback::Truth(_))), "config/keys has no default of {key}");
        self.get(key, faults, value::truth).unwrap_or(matches!(fallback, Some(Fallback::Truth(true))))
    }

    /// Returns the meaning of the word under `key` or of its default; `None` if there is neither.
    pub(super) fn choice<T: Clone>(&self, key: &str, faults: &mut Faults, choices: &[(&str, T)]) -> Option<T> {
        let descriptor = self.key(key);
        debug_assert!(
            descriptor
                .and_then(|key| key.kind.words())
                .is_some_and(|words| words.iter().eq(choices.iter().map(|(word, _)| word))),
            "config/keys has other words for {key}"
        );
        let default = |key: &Key| {
            let Fallback::Word(word) = key.fallback else { return None };
            choices.iter().find(|(choice, _)| *choice == word).map(|(_, meaning)| meaning.clone())
        };
        self.get(key, faults, |node| value::choice(node, choices)).or_else(|| descriptor.and_then(default))
    }

    fn key(&self, key: &str) -> Option<&'static Key> {
        if let Known::Keys(keys) = self.known { described(keys, key) } else { None }
    }

    /// Returns the value of `key`; `None` if it is missing, or faulty and reported.
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

    /// Returns the required value of `key`; if it is missing, reports `why` it is needed and how to `mend` that.
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

    /// Returns the parsed list under `key`; a missing list is empty.
    pub(super) fn list<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        parse: impl Fn(&Node) -> Result<T, Trouble>,
    ) -> Vec<T> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else {
            let trouble = Trouble::new(
                format!("{} where a list belongs", value::kind(&entry.node)),
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

    /// Reports a fault at the line of `key`, or of the section if the key is missing.
    pub(super) fn report(&self, key: &str, trouble: Trouble, faults: &mut Faults) {
        let line = self.entry(key).map_or(self.line, |entry| entry.line);
        faults.push(self.fault(line, self.path_of(key), trouble));
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        if !key.is_empty() {
            self.key(key);
            #[cfg(test)]
            asked::note(&self.path, key);
        }
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

fn printable(key: &str) -> String {
    let quoted = shown(key);
    quoted[1..quoted.len() - 1].to_owned()
}

/// Records which keys the loader reads, so that a test can find those that it never reads.
#[cfg(test)]
pub(super) mod asked {
    use std::{cell::RefCell, collections::BTreeSet};

    thread_local! {
        static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(path: &str, key: &str) {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        ASKED.with_borrow_mut(|asked| asked.insert(path));
    }

    /// Returns every key that this thread has read, with its path.
    pub(in crate::config) fn all() -> BTreeSet<String> {
        ASKED.take()
    }
}
