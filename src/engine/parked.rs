//! Events whose key has not come (C8): parked and retried until the deadline, after which the sender is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, caught::caught};
use crate::{
    clock,
    core::{
        event::{Outgoing, Place},
        retry::{Failures, Others, doubled},
        room_check::Privacy,
        time::Timestamp,
        words::{self, KeyMissing},
    },
    matrix::{Account, MatrixError, inbound::Read, lead},
    store::InboxEntry,
};

/// The pause before a parked event is retried; it doubles each time.
const PARKED_FIRST: Duration = Duration::from_secs(10);
/// The longest pause between two retries.
const PARKED_MAX: Duration = Duration::from_mins(5);

/// How long after a new device replaced a lost one clients may still encrypt for the lost one, in milliseconds: they
/// have yet to hear of the change.
const RENEWAL_UNHEARD_MS: i64 = 5 * 60 * 1000;

/// Most parked events of one sender in all rooms, so that what one invents leaves places for what others said.
const PARKED_SENDER_MAX: usize = 16;
/// Most parked events in one room.
const PARKED_ROOM_MAX: usize = 128;
/// Most parked events in all rooms.
const PARKED_ALL_MAX: usize = 2_048;

/// The number of parked events of each sender in each room.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<HashMap<(OwnedRoomId, OwnedUserId), usize>>);

/// A place among the parked events; dropping it frees the place.
struct Parking<'a>(&'a Parked, (OwnedRoomId, OwnedUserId));

impl Parked {
    /// Returns the number of parked events.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Takes a place; `None` if the sender has enough of them, or the room or the whole is full.
    fn place(&self, room: &RoomId, sender: &UserId) -> Option<Parking<'_>> {
        let mut parked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut of_sender, mut here, mut all) = (0, 0, 0);
        for ((at, by), count) in parked.iter() {
            of_sender += if by == sender { *count } else { 0 };
            here += if at == room { *count } else { 0 };
            all += count;
        }
        if of_sender >= PARKED_SENDER_MAX || here >= PARKED_ROOM_MAX || all >= PARKED_ALL_MAX {
            return None;
        }
        let key = (room.to_owned(), sender.to_owned());
        *parked.entry(key.clone()).or_default() += 1;
        Some(Parking(self, key))
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        let mut parked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = parked.get_mut(&self.1) {
            *here -= 1;
            if *here == 0 {
                parked.remove(&self.1);
            }
        }
    }
}

/// Whether an event's key went to a device that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// There is no sign of it.
    No,
    /// It was sent soon after the new device appeared; its sender may not have known about that yet.
    Likely,
    /// It was sent before the new device appeared, so its key will never come.
    Surely,
}

/// Compares an event's time with that of the new device, if there is one.
fn lost_with_device(renewed_at: Option<Timestamp>, sent_at: Timestamp) -> Lost {
    match renewed_at {
        Some(at) if at > sent_at => Lost::Surely,
        Some(at) if sent_at.as_ms() < at.as_ms().saturating_add(RENEWAL_UNHEARD_MS) => Lost::Likely,
        None | Some(_) => Lost::No,
    }
}

/// Which of our users read an event.
#[derive(Clone, Debug)]
pub(super) enum Readers {
    /// The coworkers and the service bot in the room.
    Coworkers,
    /// This person's assistant.
    AssistantOf(OwnedUserId),
}

impl Engine {
    /// Waits for an event's key, and handles the event once it can be decrypted.
    pub(super) async fn read_patiently(self: Shared, readers: Readers, entry: InboxEntry, accepted: Instant) {
        let (room, id) = (&entry.event.room_id, &entry.event.event_id);
        let place = self.parked.place(room, &entry.event.sender);
        // Without a place the event gets one try and no wait.
        let mut deadline_ms = place.as_ref().map_or(0, |_| self.config.limits.deadline_ms());
        let mut waits = 0;
        let mut cause = KeyMissing::NotSent;
        let mut failures = Failures::default();
        loop {
            let began = Instant::now();
            let read = tokio::select! {
                () = self.stop.cancelled() => return,
                read = caught(Box::pin(self.try_to_read(&readers, &entry, accepted))) => read,
            };
            let failed = match read {
                Ok(Some(read)) if read.sealed.is_none() => {
                    caught(Box::pin(self.take_late(&readers, &read, &entry, accepted))).await.map(|()| true)
                }
                Ok(None) => Ok(true),
                Ok(Some(sealed)) => {
                    match self.lost_with_device(&readers, &entry).await {
                        Lost::Surely => (cause, deadline_ms) = (KeyMissing::DeviceLost, 0),
                        Lost::Likely => {
                            cause = KeyMissing::DeviceLost;
                            // Say so now; if the key comes after all, the event is answered.
                            self.say_undecryptable(&readers, &entry, cause).await;
                        }
                        Lost::No => cause = sealed.key_missing.unwrap_or(cause),
                    }
                    Ok(false)
                }
                Err(error) => Err(error),
            };
            match failed {
                Ok(true) => return self.done(&entry),
                Ok(false) => failures.forget(),
                // Either the key's state is unknown, or the key is here and handling the event failed. Neither settles
                // the event.
                Err(error) => {
                    let waits = tokio::select! {
                        () = self.stop.cancelled() => return,
                        waits = self.waits_after(&error, began, &mut failures, Others::Unknown) => waits,
                    };
                    if waits {
                        continue;
                    }
                    self.give_up(&entry, &error).await;
                    return self.done(&entry);
                }
            }
            let waited_ms = clock::now().ms_since(entry.accepted_at);
            if waited_ms >= deadline_ms {
                tracing::warn!(room.id = %room, event.id = %id, "an event stayed undecryptable; nobody sent its key");
                self.say_undecryptable(&readers, &entry, cause).await;
                return self.done(&entry);
            }
            let pause = doubled(PARKED_FIRST, PARKED_MAX, waits);
            let pause_s = pause.as_secs();
            tracing::debug!(room.id = %room, event.id = %id, pause_s, "an event is parked until its key comes");
            let left = deadline_ms.checked_sub(waited_ms).map(Duration::from_millis);
            let pause = left.map_or(pause, |left| pause.min(left));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            waits += 1;
        }
    }

    /// Returns whether the event's key went only to lost devices, judged over all readers.
    async fn lost_with_device(&self, readers: &Readers, entry: &InboxEntry) -> Lost {
        let Ok(accounts) = self.accounts_of(readers, &entry.event.room_id).await else { return Lost::No };
        let lost: Vec<Lost> =
            accounts.iter().map(|account| lost_with_device(account.renewed_at(), entry.event.sent_at)).collect();
        match lost.as_slice() {
            [] => Lost::No,
            lost if lost.contains(&Lost::No) => Lost::No,
            lost if lost.contains(&Lost::Likely) => Lost::Likely,
            _ => Lost::Surely,
        }
    }

    async fn say_undecryptable(self: &Shared, readers: &Readers, entry: &InboxEntry, cause: KeyMissing) {
        if let Err(error) = Box::pin(self.tell_undecryptable(readers, entry, cause)).await {
            let room = &entry.event.room_id;
            tracing::warn!(room.id = %room, %error, "the word about an undecryptable message cannot be sent");
        }
    }

    async fn try_to_read(
        &self,
        readers: &Readers,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<Option<Read>, MatrixError> {
        let accounts = self.accounts_of(readers, &entry.event.room_id).await?;
        lead::read(&accounts, &entry.event.room_id, &entry.event.event_id, accepted).await
    }

    /// Returns the readers' clients. An assistant's is held only during a try, so that parked events keep no client
    /// open.
    async fn accounts_of(&self, readers: &Readers, room: &RoomId) -> Result<Vec<Arc<Account>>, MatrixError> {
        match readers {
            Readers::Coworkers => Ok(self.kept_in(room)),
            Readers::AssistantOf(owner) => Ok(vec![Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?]),
        }
    }

    async fn take_late(
        self: &Shared,
        readers: &Readers,
        read: &Read,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let accounts = self.accounts_of(readers, &entry.event.room_id).await?;
        match (readers, accounts.first()) {
            (Readers::Coworkers, _) => Box::pin(self.clone().take_unless_echo(&accounts, read, entry, accepted)).await,
            (Readers::AssistantOf(owner), Some(account)) if read.was_encrypted => {
                if !Box::pin(self.is_no_echo(&accounts, read, entry)).await? {
                    return Ok(());
                }
                Box::pin(self.clone().answer_owner(account, owner, read, entry, accepted)).await
            }
            (Readers::AssistantOf(_), _) => Ok(()),
        }
    }

    async fn tell_undecryptable(
        self: &Shared,
        readers: &Readers,
        entry: &InboxEntry,
        cause: KeyMissing,
    ) -> Result<(), EngineError> {
        let room = &entry.event.room_id;
        let accounts = self.accounts_of(readers, room).await?;
        let Some(account) = accounts.first() else { return Ok(()) };
        if let Readers::AssistantOf(owner) = readers
            && self.attend(account, owner, room).await? == Privacy::Lost
        {
            return Ok(());
        }
        let due = self.is_told_now(room, &entry.event.sender, |record| &mut record.undecryptable)?;
        if due {
            let text = words::undecryptable(cause);
            let txn = super::word_transaction("undecryptable", entry.event.event_id.as_str(), account.user());
            let word = super::word(&text, Some(&entry.event.sender));
            let place = Place::Reply { to: entry.event.event_id.clone() };
            account.send(room, &Outgoing { place, ..word }, txn).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn c8_what_was_encrypted_for_a_lost_device_is_told_by_its_time_also_right_after_the_new_one_came() {
        let at = Timestamp::from_ms;
        for (renewed_at, sent_at, expected) in [
            (None, 5, Lost::No),
            (Some(1_000), 999, Lost::Surely),
            (Some(1_000), 1_000, Lost::Likely),
            (Some(1_000), 1_000 + RENEWAL_UNHEARD_MS - 1, Lost::Likely),
            (Some(1_000), 1_000 + RENEWAL_UNHEARD_MS, Lost::No),
            (Some(i64::MAX), 0, Lost::Surely),
        ] {
            assert_eq!(lost_with_device(renewed_at.map(at), at(sent_at)), expected, "{renewed_at:?} {sent_at}");
        }
    }

    #[test]
    fn c8_ones_parked_events_leave_places_for_others_one_rooms_for_other_rooms_and_all_are_limited() {
        let (parked, flooded, quiet) = (Parked::default(), room_id!("!flooded:hs"), room_id!("!quiet:hs"));
        let person = |number: usize| OwnedUserId::try_from(format!("@{number}:hs")).expect("a user id");
        let mut places: Vec<_> = std::iter::from_fn(|| parked.place(flooded, &person(0))).collect();
        assert_eq!(places.len(), PARKED_SENDER_MAX);
        assert!(parked.place(quiet, &person(0)).is_none(), "in no room");
        drop(parked.place(flooded, &person(1)).expect("another person has places"));
        places.extend((1..).map_while(|number| parked.place(flooded, &person(number))));
        assert_eq!(places.len(), PARKED_ROOM_MAX);
        drop(parked.place(quiet, &person(9_999)).expect("another room has places"));

        let rooms = (0..).map(|number| OwnedRoomId::try_from(format!("!{number}:hs")).expect("a room id"));
        places.extend(rooms.enumerate().map_while(|(number, room)| parked.place(&room, &person(1_000 + number))));
        assert_eq!((places.len(), parked.place(quiet, &person(9_999)).is_none()), (PARKED_ALL_MAX, true));
        drop(places);
        assert!(parked.place(flooded, &person(0)).is_some() && parked.0.lock().expect("no panic").is_empty());
    }
}
