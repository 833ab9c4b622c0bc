//! A homeserver that was restored from an earlier copy: it has forgotten rooms, members and events that we know, and no
//! sync reports that. It is noticed when the homeserver comes back, by the newest events that we know.

use std::cmp::Reverse;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{Engine, Shared};
use crate::core::time::Timestamp;

/// Events that the homeserver is asked for. It has stepped back if it knows none of them.
const ASKED_FOR_MAX: usize = 3;

/// An event that one of our users has seen.
type Seen = (Timestamp, OwnedRoomId, OwnedEventId, OwnedUserId);

impl Engine {
    /// Has every user whose client stays open sync anew if the homeserver has stepped back. An assistant's client finds
    /// out when its owner looks for it.
    pub(super) async fn look_for_a_step_back(self: &Shared) {
        let newest = self.newest_seen();
        if newest.is_empty() {
            return;
        }
        for (_, room, event, user) in &newest {
            let Some(account) = self.pool.kept(user) else { return };
            match account.is_at_homeserver(room, event).await {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    tracing::debug!(%error, "whether the homeserver has stepped back is not known");
                    return;
                }
            }
        }
        tracing::warn!(
            events = newest.len(),
            "the homeserver does not know the newest events any more: it was restored from an earlier copy. Our users sync anew"
        );
        for account in self.pool.all_kept() {
            if let Err(error) = account.start_over().await {
                tracing::warn!(user.id = %account.user(), %error, "one of our users cannot sync anew yet");
            }
        }
    }

    /// Returns the newest events that our users have seen, in different rooms as far as possible.
    fn newest_seen(&self) -> Vec<Seen> {
        let mut seen: Vec<Seen> = Vec::new();
        for account in self.pool.all_kept() {
            let held = account.newest_held().into_iter();
            seen.extend(held.map(|(at, room, event)| (at, room, event, account.user().to_owned())));
        }
        for (room, checked) in self.tables.checked.iter().filter_map(Result::ok) {
            if let (Some(event), Some(user)) = (checked.event, self.roster.of(&room).into_iter().next()) {
                seen.push((checked.at, room, event, user));
            }
        }
        seen.sort_by_key(|(at, ..)| Reverse(*at));
        seen.dedup_by(|a, b| a.2 == b.2);
        seen.truncate(ASKED_FOR_MAX);
        seen
    }
}
