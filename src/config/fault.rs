//! Faults of a configuration: where, what, why it matters, and how to mend it.

use std::{fmt, path::PathBuf};

/// A fault (or, in a list of warnings, a doubt) in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named to us or derived from such a name.
    pub file: PathBuf,
    /// The line, from 1; `None` for the whole file.
    pub line: Option<usize>,
    /// The key with its sections, e.g. `appservice.hs_token`; empty for the whole file.
    pub key: String,
    /// What is wrong, in a few words.
    pub what: String,
    /// Why it matters, in one sentence.
    pub why: String,
    /// The remedy, without the leading "Mend: ".
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}\n  {}\n  Mend: {}", self.what, self.why, self.mend)
    }
}

/// All faults of a run, by file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl From<Vec<Fault>> for Faults {
    fn from(faults: Vec<Fault>) -> Self {
        Self(faults)
    }
}

impl Faults {
    /// Adds a fault.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Returns all faults.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sorts the faults of each file by line; keeps the order of files.
    pub(super) fn sort(&mut self) {
        let mut files: Vec<PathBuf> = Vec::new();
        for fault in &self.0 {
            if !files.contains(&fault.file) {
                files.push(fault.file.clone());
            }
        }
        self.0.sort_by_key(|fault| (files.iter().position(|file| *file == fault.file), fault.line));
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A fault without its place, as the parser of a value knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) why: String,
    pub(super) mend: String,
}

impl Trouble {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), mend: mend.into() }
    }
}

/// Returns a value for a message: short, quoted, without control characters.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}
