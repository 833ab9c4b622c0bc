//! What is stored, and the disk under it: writes reach it in their order, and no later than a flush.

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedEventId;

use crate::core::{
    approval::Standing,
    owed::Owed,
    run::{Outcome, RunId, RunRecord},
};

/// A run in the journal. `incarnation` counts how often it began anew: what the model then does again is no repetition.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) record: RunRecord,
    pub(super) incarnation: u32,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) answer: Option<OwnedEventId>,
    /// What the answer says, where the model gave one or a word of ours stands for it.
    pub(super) body: Option<String>,
    pub(super) unheard: bool,
    pub(super) taken_back: bool,
}

/// A card that is out, or may be.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) event: Option<OwnedEventId>,
    pub(super) standing: Standing,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Events that came, by their number.
    pub(super) known: BTreeSet<usize>,
    /// Those of them that are not handled.
    pub(super) inbox: BTreeSet<usize>,
    pub(super) runs: BTreeMap<RunId, Kept>,
    pub(super) index: BTreeMap<RunId, Ended>,
    pub(super) cards: BTreeMap<(RunId, u64), Card>,
    pub(super) owed: BTreeMap<RunId, Owed>,
    /// What was posted in answer to a request.
    pub(super) posted: BTreeMap<OwnedEventId, Vec<(RunId, OwnedEventId)>>,
    /// How often a request was run again.
    pub(super) again: BTreeMap<OwnedEventId, u32>,
    /// Requests that too many waited before.
    pub(super) declined: BTreeSet<OwnedEventId>,
}

#[derive(Clone, Debug)]
pub(super) enum Write {
    Came(usize),
    Handled(usize),
    Run(RunId, Option<Box<Kept>>),
    Index(RunId, Box<Ended>),
    Card((RunId, u64), Option<Box<Card>>),
    Owed(RunId, Option<Box<Owed>>),
    Posted(OwnedEventId, RunId, OwnedEventId),
    Again(OwnedEventId, u32),
    Declined(OwnedEventId),
}

impl Tables {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Came(event) => {
                self.known.insert(event);
                self.inbox.insert(event);
            }
            Write::Handled(event) => {
                self.inbox.remove(&event);
            }
            Write::Run(id, Some(kept)) => drop(self.runs.insert(id, *kept)),
            Write::Run(id, None) => drop(self.runs.remove(&id)),
            Write::Index(id, ended) => drop(self.index.insert(id, *ended)),
            Write::Card(key, Some(card)) => drop(self.cards.insert(key, *card)),
            Write::Card(key, None) => drop(self.cards.remove(&key)),
            Write::Owed(id, Some(owed)) => drop(self.owed.insert(id, *owed)),
            Write::Owed(id, None) => drop(self.owed.remove(&id)),
            Write::Posted(request, id, event) => {
                let posted = self.posted.entry(request).or_default();
                if !posted.iter().any(|(_, known)| *known == event) {
                    posted.push((id, event));
                }
            }
            Write::Again(request, count) => drop(self.again.insert(request, count)),
            Write::Declined(request) => drop(self.declined.insert(request)),
        }
    }
}

#[derive(Default)]
pub(super) struct Disk {
    /// What the process sees.
    pub(super) now: Tables,
    /// What a process that is killed now leaves, at least.
    pub(super) durable: Tables,
    log: Vec<Write>,
    /// How many writes are on the disk.
    flushed: u64,
}

impl Disk {
    pub(super) fn write(&mut self, write: Write) {
        self.now.apply(write.clone());
        self.log.push(write);
    }

    /// Returns up to where a flush that begins now goes.
    pub(super) fn written(&self) -> u64 {
        self.flushed + self.log.len() as u64
    }

    /// A flush that went up to there has ended.
    pub(super) fn flush_to(&mut self, written: u64) {
        let count = usize::try_from(written.saturating_sub(self.flushed)).unwrap_or(usize::MAX).min(self.log.len());
        for write in self.log.drain(..count) {
            self.durable.apply(write);
        }
        self.flushed += count as u64;
    }

    pub(super) fn flush(&mut self) {
        self.flush_to(self.written());
    }

    /// How many writes a crash may lose.
    pub(super) fn unflushed(&self) -> usize {
        self.log.len()
    }

    /// The process is gone: of what was not flushed, the first `kept` writes are there.
    pub(super) fn crash(&mut self, kept: usize) {
        self.flush_to(self.flushed + kept as u64);
        self.log.clear();
        self.now = self.durable.clone();
    }
}
