//! What errands come from and why they are left, as runs, the index and the words name it.

use std::collections::BTreeSet;

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{hex::hex, time::Timestamp};

/// An errand's id. The same cause always has the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrandId(String);

impl ErrandId {
    /// Returns the id of what these parts name together, such as a coworker, a hook and a delivery.
    #[must_use]
    pub fn of(kind: OriginKind, parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Self(format!("{}-{}", kind.name(), hex(&digest.finalize()[..16])))
    }

    /// Returns it as text, which holds only letters, digits and hyphens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of cause an errand has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// A webhook's delivery (C21).
    Hook,
    /// A schedule's due time (C20).
    Schedule,
    /// A watched message (C22).
    Watch,
}

impl OriginKind {
    /// Returns its name in ids and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Schedule => "schedule",
            Self::Watch => "watch",
        }
    }
}

/// What an errand comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its kind.
    pub kind: OriginKind,
    /// Its configured name.
    pub name: String,
    /// The member who set it up in the room; `None` for what the operator configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<OwnedUserId>,
}

/// Why an errand is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// The coworker is muted in the room.
    Muted,
    /// Coworkers pause in the room, because too few people are there.
    Paused,
    /// It waited too long for its room, its coworker or the homeserver.
    TooOld,
    /// The room does not let the coworker say anything, or it is not there.
    NotThere,
}

/// What a run keeps of its errand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The errand.
    pub id: ErrandId,
    /// What it comes from.
    pub origin: Origin,
    /// Whom its answer mentions.
    #[serde(default)]
    pub mention: BTreeSet<OwnedUserId>,
    /// When the answer is due; `None` if it cannot wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Timestamp>,
}
