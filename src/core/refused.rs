//! What the model's provider refused: later requests omit it (rule C26).
//!
//! A refused message that stays in the history makes the next request fail too. So each one is recorded, and from then
//! on a mark replaces its text for every asker. Not only messages can be to blame: so can a file, a note, the room's
//! name or topic, somebody's display name. [`sieve`] passes everything that people wrote on its way into a prompt, and
//! [`search`] finds out which of it is to blame.

mod averse;
mod search;
mod sieve;
#[cfg(test)]
mod tests;

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    averse::Averse,
    search::{Search, Verdict},
    sieve::{Breadth, Sieve, Suspects},
};
use super::time::Timestamp;

/// Replaces a refused message's text.
pub const MARK: &str = "[left out: the provider of the model refused this message]";
/// Most refused messages recorded for a room; the oldest are dropped first.
pub const KEPT_MAX: usize = 500;
/// Tokens that may be answered to a request that is only to be refused or not.
pub const PROBE_TOKENS: u32 = 16;
/// Most messages omitted together if it cannot be told which of them is to blame.
pub const BLAMED_MAX: usize = 100;

/// Something in a prompt that can be refused by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// An event of a room's timeline: a message with its files and edits, or a change such as a new name.
    Event(OwnedEventId),
    /// A note of the room.
    Note(u32),
    /// A user's display name.
    Name(OwnedUserId),
    /// A room's name.
    RoomName(OwnedRoomId),
    /// A room's topic.
    RoomTopic(OwnedRoomId),
}

/// A part as a prompt had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Which part.
    pub part: Part,
    /// The room that it stands in; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<OwnedRoomId>,
    /// What changes when the part does: an event's newest edit, a text's digest. A changed part is looked at anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who wrote it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<OwnedUserId>,
    /// When it was sent, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

/// A part that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct LeftOut {
    /// What it is.
    pub what: Suspect,
    /// The category in which it was refused; `None` if the provider named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

/// How one is stored: earlier versions kept a message's id alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Id(OwnedEventId),
    Whole {
        what: Suspect,
        #[serde(default)]
        category: Option<String>,
    },
}

impl From<Stored> for LeftOut {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Id(id) => {
                let what = Suspect { part: Part::Event(id), room: None, version: None, by: None, sent_at: None };
                Self { what, category: None }
            }
            Stored::Whole { what, category } => Self { what, category },
        }
    }
}

/// What is left out of a room's requests, oldest first; and which models refuse something that is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredRefused")]
pub struct Refused {
    left_out: Vec<LeftOut>,
    averse: Averse,
}

/// How it is stored: earlier versions kept the list alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredRefused {
    List(Vec<LeftOut>),
    Whole { left_out: Vec<LeftOut>, averse: Averse },
}

impl From<StoredRefused> for Refused {
    fn from(stored: StoredRefused) -> Self {
        match stored {
            StoredRefused::List(left_out) => Self { left_out, averse: Averse::default() },
            StoredRefused::Whole { left_out, averse } => Self { left_out, averse },
        }
    }
}

impl Refused {
    /// Records refused parts; one that is known already is recorded as it is now.
    pub fn add(&mut self, parts: &[Suspect], category: Option<&str>) {
        for what in parts {
            self.remove(&what.part);
            self.left_out.push(LeftOut { what: what.clone(), category: category.map(ToOwned::to_owned) });
        }
        let over = self.left_out.len().saturating_sub(KEPT_MAX);
        self.left_out.drain(..over);
    }

    /// Removes a part that is read again: it was put back, redacted, changed, or accepted after all.
    pub fn remove(&mut self, part: &Part) {
        self.left_out.retain(|known| known.what.part != *part);
    }

    /// Removes an event.
    pub fn remove_event(&mut self, id: &EventId) {
        self.left_out.retain(|known| !matches!(&known.what.part, Part::Event(known) if known == id));
    }

    /// Returns the record of a part.
    #[must_use]
    pub fn get(&self, part: &Part) -> Option<&LeftOut> {
        self.left_out.iter().find(|known| known.what.part == *part)
    }

    /// Returns whether an event is left out.
    #[must_use]
    pub fn has_event(&self, id: &EventId) -> bool {
        self.left_out.iter().any(|known| matches!(&known.what.part, Part::Event(known) if known == id))
    }

    /// Returns which models refuse something that is not left out, because others answer it.
    #[must_use]
    pub(crate) fn averse(&self) -> &Averse {
        &self.averse
    }

    /// Changes that.
    pub(crate) fn averse_mut(&mut self) -> &mut Averse {
        &mut self.averse
    }

    /// Returns all of it, oldest first: the order in which people are shown it, numbered from 1.
    #[must_use]
    pub fn list(&self) -> &[LeftOut] {
        &self.left_out
    }
}

/// Who wants to put something back.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The person.
    pub who: &'a UserId,
    /// Whether they may moderate the room, administer the workspace, or own the assistant.
    pub moderates: bool,
}

/// What became of a wish to put something back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// The parts that are read again.
    pub parts: Vec<Part>,
    /// How many stay, because they are others' to put back.
    pub kept: usize,
}

/// Decides what a person puts back: the part with this number, or all that they may if there is none. Everybody may put
/// back what they wrote; who moderates, anything.
#[must_use]
pub fn put_back(refused: &Refused, asking: Asking<'_>, number: Option<u32>) -> PutBack {
    let meant = (1_u32..).zip(refused.list()).filter(|(at, _)| number.is_none_or(|number| number == *at));
    let (mine, others): (Vec<_>, Vec<_>) =
        meant.map(|(_, one)| one).partition(|one| asking.moderates || one.what.by.as_deref() == Some(asking.who));
    PutBack { parts: mine.into_iter().map(|one| one.what.part.clone()).collect(), kept: others.len() }
}
