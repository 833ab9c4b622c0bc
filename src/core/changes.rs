//! Which files of the configuration changed, whose they are and when they were written; never what stands in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Most changes that are kept, the newest.
pub const CHANGES_KEPT_MAX: usize = 500;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The beginning of its SHA-256, in hexadecimal.
    pub hash: String,
    /// When it was written, by its file system.
    pub modified: Option<Timestamp>,
    /// Who owns it.
    pub owner: Option<String>,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file's name without its folder: `workmate.yaml`, or a coworker's, such as `oncall.yaml`.
    pub file: String,
    /// What happened to it.
    pub kind: Kind,
    /// When it was read so.
    pub noticed: Timestamp,
    /// By what it was read: `start`, `SIGHUP` or `workmate reload`.
    pub by: String,
    /// The file then; as it last was, if it is gone.
    pub seen: Seen,
}

/// What is stored of the configuration's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLog {
    /// The files as they were last read, by name; empty until the first start.
    pub files: BTreeMap<String, Seen>,
    /// Their changes, oldest first.
    pub changes: Vec<FileChange>,
}

impl FileLog {
    /// Notes the files as they are now. What is there at the very first start is no change.
    pub fn note(&mut self, now_seen: BTreeMap<String, Seen>, noticed: Timestamp, by: &str) {
        let is_first = self.files.is_empty();
        let before = std::mem::replace(&mut self.files, now_seen);
        if is_first {
            return;
        }
        let change = |file: &str, kind, seen: &Seen| FileChange {
            file: file.to_owned(),
            kind,
            noticed,
            by: by.to_owned(),
            seen: seen.clone(),
        };
        for (file, seen) in &self.files {
            match before.get(file) {
                None => self.changes.push(change(file, Kind::Added, seen)),
                Some(old) if old.hash != seen.hash => self.changes.push(change(file, Kind::Changed, seen)),
                Some(_) => {}
            }
        }
        for (file, seen) in before.iter().filter(|(file, _)| !self.files.contains_key(*file)) {
            self.changes.push(change(file, Kind::Removed, seen));
        }
        let surplus = self.changes.len().saturating_sub(CHANGES_KEPT_MAX);
        self.changes.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(hash: &str) -> Seen {
        Seen { hash: hash.to_owned(), modified: Some(Timestamp::from_ms(1)), owner: Some("ops".to_owned()) }
    }

    fn files(all: &[(&str, &str)]) -> BTreeMap<String, Seen> {
        all.iter().map(|(name, hash)| ((*name).to_owned(), seen(hash))).collect()
    }

    #[test]
    fn op7_changes_of_files_are_kept_but_for_the_first_start_and_the_oldest() {
        let mut log = FileLog::default();
        log.note(files(&[("a.yaml", "1"), ("b.yaml", "1")]), Timestamp::from_ms(5), "start");
        assert_eq!(log.changes, []);
        log.note(files(&[("a.yaml", "2"), ("c.yaml", "1")]), Timestamp::from_ms(6), "SIGHUP");
        let kinds: Vec<_> = log.changes.iter().map(|one| (one.file.as_str(), one.kind)).collect();
        assert_eq!(kinds, [("a.yaml", Kind::Changed), ("c.yaml", Kind::Added), ("b.yaml", Kind::Removed)]);
        log.note(files(&[("a.yaml", "2"), ("c.yaml", "1")]), Timestamp::from_ms(7), "SIGHUP");
        assert_eq!(log.changes.len(), 3, "nothing changed");
        for turn in 0..CHANGES_KEPT_MAX + 10 {
            log.note(files(&[("a.yaml", &turn.to_string())]), Timestamp::from_ms(8), "start");
        }
        assert_eq!(log.changes.len(), CHANGES_KEPT_MAX);
    }

    #[test]
    fn op7_a_stored_change_reads_as_it_did() {
        let mut log = FileLog::default();
        log.note(files(&[("a.yaml", "1")]), Timestamp::from_ms(5), "start");
        log.note(files(&[("a.yaml", "2")]), Timestamp::from_ms(6), "SIGHUP");
        let stored = serde_json::json!({
            "files": {"a.yaml": {"hash": "2", "modified": 1, "owner": "ops"}},
            "changes": [{"file": "a.yaml", "kind": "changed", "noticed": 6, "by": "SIGHUP",
                "seen": {"hash": "2", "modified": 1, "owner": "ops"}}],
        });
        assert_eq!(serde_json::to_value(&log).expect("plain data"), stored);
        assert_eq!(serde_json::from_value::<FileLog>(stored).expect("reads"), log);
    }
}
