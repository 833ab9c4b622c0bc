//! Where a run may write (A3, A4): a private run only into its owner's recorded room.
//!
//! All of a run's output goes to the room of a [`Destination`], and only [`Destination::of`] makes one. A run that
//! names another room gets none, wherever its record came from.

use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use super::run::RunRecord;

/// The room that a run may write into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination<'a>(&'a RoomId);

/// The recorded home of an assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    /// The assistant's user id.
    pub assistant: OwnedUserId,
    /// Its room; `None` before it is made.
    pub room: Option<OwnedRoomId>,
    /// Whether it is silent for good, because the room is no longer private (A2).
    pub silent: bool,
}

/// Why a run may not write at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The room is no longer private (A2).
    #[error("the assistant's room is not private any more; nothing is written there")]
    Silent,
    /// The room or the virtual user differs from the owner's record.
    #[error("a private run names a room that is not its owner's recorded one; nothing is written there")]
    Elsewhere,
}

impl<'a> Destination<'a> {
    /// Decides where a run may write. `home` returns the record of the asker's assistant; it is called only for private
    /// runs.
    ///
    /// # Errors
    /// [`Refused`] for a private run whose assistant is silent, or whose room or user is not its owner's.
    pub(crate) fn of<E: From<Refused>>(
        record: &'a RunRecord,
        home: impl FnOnce() -> Result<Home, E>,
    ) -> Result<Self, E> {
        if record.owner().is_none() {
            return Ok(Self(&record.room));
        }
        let home = home()?;
        if home.silent {
            return Err(Refused::Silent.into());
        }
        if home.assistant != record.user || home.room.as_ref() != Some(&record.room) {
            return Err(Refused::Elsewhere.into());
        }
        Ok(Self(&record.room))
    }

    /// Returns the room's id.
    #[must_use]
    pub(crate) fn room(self) -> &'a RoomId {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use ruma::{UserId, event_id, room_id, user_id};

    use super::*;
    use crate::core::{event::Place, time::Timestamp};

    fn private_run(user: &UserId, room: &RoomId) -> RunRecord {
        let (request, alice) = (event_id!("$asked"), user_id!("@alice:hs"));
        let record = RunRecord::new(user, room, request, alice, Place::Timeline, Timestamp::from_ms(1));
        RunRecord { private: true, ..record }
    }

    fn decided<'a>(record: &'a RunRecord, room: Option<&RoomId>, silent: bool) -> Result<Destination<'a>, Refused> {
        let room = room.map(ToOwned::to_owned);
        Destination::of(record, || Ok(Home { assistant: user_id!("@wm-alice:hs").to_owned(), room, silent }))
    }

    #[test]
    fn a4_a_private_run_writes_into_its_owners_recorded_room_and_nowhere_else() {
        let (hers, bobs, team) = (room_id!("!alices:hs"), room_id!("!bobs:hs"), room_id!("!team:hs"));
        let (assistant, bobs_assistant) = (user_id!("@wm-alice:hs"), user_id!("@wm-bob:hs"));
        let table = [
            (assistant, hers, Some(hers), false, Ok(hers)),
            (assistant, hers, Some(hers), true, Err(Refused::Silent)),
            (assistant, hers, Some(bobs), false, Err(Refused::Elsewhere)),
            (assistant, hers, None, false, Err(Refused::Elsewhere)),
            (assistant, bobs, Some(hers), false, Err(Refused::Elsewhere)),
            (assistant, team, Some(hers), false, Err(Refused::Elsewhere)),
            (bobs_assistant, hers, Some(hers), false, Err(Refused::Elsewhere)),
        ];
        for (user, named, recorded, silent, expected) in table {
            let record = private_run(user, named);
            let destination = decided(&record, recorded, silent).map(Destination::room);
            assert_eq!(destination, expected, "{user} in {named}, recorded {recorded:?}, silent {silent}");
        }
    }

    #[test]
    fn a_coworkers_run_writes_where_it_was_asked_and_no_assistant_is_looked_up() {
        let record = RunRecord { private: false, ..private_run(user_id!("@wm-oncall:hs"), room_id!("!team:hs")) };
        let destination = Destination::of(&record, || Err(Refused::Silent));
        assert_eq!(destination.map(Destination::room), Ok(room_id!("!team:hs")));
    }
}
