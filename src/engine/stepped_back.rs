//! A homeserver that was restored from an earlier copy: it has forgotten rooms, members and events that we know, and no
//! sync reports that. It is noticed when the homeserver comes back, by the newest events that we know.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::runtime::Runtime;
use crate::core::time::Timestamp;

/// Rooms whose newest event the homeserver is asked for. It has stepped back if it knows none of them.
const ASKED_FOR_MAX: usize = 3;
/// The pause before it is asked again: one that has just come back may not know everything yet.
const CONFIRM_AFTER: Duration = Duration::from_secs(3);

/// An event that one of our users has seen.
type Seen = (Timestamp, OwnedRoomId, OwnedEventId, OwnedUserId);

/// Has every user whose client stays open sync anew if the homeserver has stepped back. An assistant's client finds
/// out when its owner looks for it.
pub(super) async fn look_for_a_step_back(runtime: &Runtime) {
    let newest = newest_seen(runtime);
    if newest.is_empty() {
        return;
    }
    if !are_unknown(runtime, &newest).await {
        return;
    }
    tokio::select! {
        () = runtime.stop.cancelled() => return,
        () = tokio::time::sleep(CONFIRM_AFTER) => {}
    }
    if !are_unknown(runtime, &newest).await {
        return;
    }
    tracing::warn!(
        events = newest.len(),
        "the homeserver does not know the newest events any more: it was restored from an earlier copy. Our users sync anew"
    );
    for account in runtime.pool.all_kept() {
        if let Err(error) = account.start_over().await {
            tracing::warn!(user.id = %account.user(), %error, "one of our users cannot sync anew yet; its next sync tries again");
        }
    }
}

/// Returns whether the homeserver says of each event that it does not know it.
async fn are_unknown(runtime: &Runtime, newest: &[Seen]) -> bool {
    for (_, room, event, user) in newest {
        let Some(account) = runtime.pool.kept(user) else { return false };
        match account.is_at_homeserver(room, event).await {
            Ok(false) => {}
            Ok(true) => return false,
            Err(error) => {
                tracing::debug!(%error, "whether the homeserver has stepped back is not known");
                return false;
            }
        }
    }
    true
}

/// Returns the newest event that our users have seen in each of the rooms where it is newest: a room that is gone
/// is one room.
fn newest_seen(runtime: &Runtime) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for account in runtime.pool.all_kept() {
        let held = account.newest_held().into_iter();
        seen.extend(held.map(|(at, room, event)| (at, room, event, account.user().to_owned())));
    }
    for (room, checked) in runtime.tables.checked.iter().filter_map(Result::ok) {
        if let (Some(event), Some(user)) = (checked.event, runtime.roster.of(&room).into_iter().next()) {
            seen.push((checked.at, room, event, user));
        }
    }
    newest_of_rooms(seen)
}

fn newest_of_rooms(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.sort_by_key(|(at, ..)| Reverse(*at));
    let mut rooms = BTreeSet::new();
    seen.retain(|(_, room, ..)| rooms.len() < ASKED_FOR_MAX && rooms.insert(room.clone()));
    seen
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    #[test]
    fn chaos_6_a_step_back_is_judged_by_one_event_of_each_of_several_rooms() {
        let seen = |at: i64, room: &str, event: &str| {
            let room = OwnedRoomId::try_from(format!("!{room}:hs")).expect("a room id");
            let event = OwnedEventId::try_from(format!("${event}")).expect("an event id");
            (Timestamp::from_ms(at), room, event, owned_user_id!("@oncall:hs"))
        };
        let all = vec![
            seen(1, "old", "a"),
            seen(9, "busy", "b"),
            seen(8, "busy", "c"),
            seen(9, "busy", "b"),
            seen(7, "calm", "d"),
            seen(5, "third", "e"),
        ];
        let expected = vec![seen(9, "busy", "b"), seen(7, "calm", "d"), seen(5, "third", "e")];
        assert_eq!(newest_of_rooms(all), expected);
        assert_eq!(newest_of_rooms(Vec::new()), Vec::new());
    }
}
