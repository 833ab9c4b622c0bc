//! Whether a thread's container is used again.

use std::collections::BTreeSet;

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::core::time::Timestamp;

/// Most messages that a container's content may come from; one with more is left behind.
const SOURCES_MAX: usize = 200;
/// A container that expires within this time is not used any more, in milliseconds.
const EXPIRY_MARGIN_MS: u64 = 2 * 60 * 1000;
/// How long a container without a stated end is used, in milliseconds.
const UNSTATED_MS: u64 = 60 * 60 * 1000;

/// Whose session it is: the answering user's in a thread, or an assistant's in its chat.
pub(crate) type SessionKey = (OwnedRoomId, String);

/// A container at the provider, and what it may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its id there.
    pub(crate) container: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
    /// The messages that were asked about in it, or whose files were put into it.
    pub(crate) sources: BTreeSet<OwnedEventId>,
    /// The owner whose chat it is for, if it is an assistant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<OwnedUserId>,
}

impl Session {
    /// Returns the key of the session of a user of ours in a thread, or in a session of an assistant's chat: `begins` is
    /// the message with which that begins. Two coworkers in one thread share no container.
    #[must_use]
    pub(crate) fn key(room: &RoomId, begins: &EventId, user: &UserId) -> SessionKey {
        (room.to_owned(), format!("{begins}|{user}"))
    }

    /// Returns the session behind a run in it.
    #[must_use]
    pub(crate) fn after(
        earlier: Option<Self>,
        (container, expires_at): (&str, Option<Timestamp>),
        sources: impl IntoIterator<Item = OwnedEventId>,
        owner: Option<OwnedUserId>,
        now: Timestamp,
    ) -> Self {
        let before = earlier.filter(|earlier| earlier.container == container).map(|earlier| earlier.sources);
        let mut all = before.unwrap_or_default();
        all.extend(sources);
        let expires_at = expires_at.unwrap_or_else(|| now.later(UNSTATED_MS));
        Self { container: container.to_owned(), expires_at, sources: all, owner }
    }

    /// Returns whether a run may go on in it: it lives, and whoever asks now may read all that it may hold. A message that
    /// was redacted, or that the asker may not read, leaves the whole container behind.
    #[must_use]
    pub(crate) fn may_go_on(&self, may_read: impl Fn(&EventId) -> bool, now: Timestamp) -> bool {
        let lives = now.later(EXPIRY_MARGIN_MS) < self.expires_at;
        lives && self.sources.len() <= SOURCES_MAX && self.sources.iter().all(|source| may_read(source))
    }

    /// Returns whether nobody can go on in it any more.
    #[must_use]
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}
