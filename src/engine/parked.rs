//! Events whose key has not come (C8): parked and retried until the deadline, after which the sender is told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

/// The pause while the homeserver has more to-device messages for a reader than it took: the key may be among them.
const BACKLOG_PAUSE: Duration = Duration::from_millis(200);
/// Most syncs in a row that take such a backlog, so that the reader's other work comes between.
const BACKLOG_SYNCS: usize = 16;

/// How long after a new device replaced a lost one clients may still encrypt for the lost one, in milliseconds: they
/// have yet to hear of the change.
const RENEWAL_UNHEARD_MS: i64 = 5 * 60 * 1000;

/// Most parked events of one sender in all rooms, so that what one invents leaves places for what others said.
const PARKED_SENDER_MAX: usize = 16;
/// Most parked events in one room.
const PARKED_ROOM_MAX: usize = 128;
/// Most parked events in all rooms.
const PARKED_ALL_MAX: usize = 2_048;

/// The time between two warnings about a room's undecryptable events; what falls between is counted.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// Most rooms with such a warning within that time; in others, each event is logged at debug level.
const WARNED_ROOMS_MAX: usize = 256;

/// The parked events, by the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<Places>, Mutex<Warned>);

/// When each room's undecryptable events were last warned about, and how many came since.
#[derive(Debug, Default)]
struct Warned(HashMap<OwnedRoomId, (Instant, usize)>);

impl Warned {
    /// Returns how many events a warning is due about, this one included; `None` if none is due at `now`.
    fn due(&mut self, room: &RoomId, now: Instant) -> Option<usize> {
        if let Some((at, count)) = self.0.get_mut(room) {
            if now.duration_since(*at) < WARN_EVERY {
                *count += 1;
                return None;
            }
            *at = now;
            return Some(std::mem::take(count) + 1);
        }
        if self.0.len() >= WARNED_ROOMS_MAX {
            self.0.retain(|_, (at, _)| now.duration_since(*at) < WARN_EVERY);
        }
        if self.0.len() >= WARNED_ROOMS_MAX {
            return None;
        }
        self.0.insert(room.to_owned(), (now, 0));
        Some(1)
    }
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    room: OwnedRoomId,
    sender: OwnedUserId,
    replaced: CancellationToken,
}

/// A place among the parked events; dropping it frees the place.
struct Parking<'a> {
    parked: &'a Parked,
    number: u64,
    /// Cancelled when another event takes the place.
    replaced: CancellationToken,
}

impl Places {
    /// Frees the oldest place that fits, whose event waits no longer.
    fn replace(&mut self, fits: impl Fn(&Taken) -> bool) {
        if let Some(number) = self.taken.iter().find(|(_, taken)| fits(taken)).map(|(number, _)| *number)
            && let Some(taken) = self.taken.remove(&number)
        {
            taken.replaced.cancel();
        }
    }

    /// Returns who has most of the places that fit, if that is more than `sender` has.
    fn greediest(&self, sender: &UserId, fits: impl Fn(&Taken) -> bool) -> Option<OwnedUserId> {
        let mut counts: HashMap<&UserId, usize> = HashMap::new();
        for taken in self.taken.values().filter(|taken| fits(taken)) {
            *counts.entry(&taken.sender).or_default() += 1;
        }
        let own = counts.get(sender).copied().unwrap_or_default();
        let (most, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        (count > own + 1).then(|| most.to_owned())
    }
}

impl Parked {
    /// Returns the number of parked events.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).taken.len()
    }

    /// Counts the parked events by room.
    pub(super) fn by_room(&self) -> Vec<(OwnedRoomId, usize)> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rooms: BTreeMap<&OwnedRoomId, usize> = BTreeMap::new();
        for taken in places.taken.values() {
            *rooms.entry(&taken.room).or_default() += 1;
        }
        rooms.into_iter().map(|(room, count)| (room.clone(), count)).collect()
    }

    /// Takes a place. A sender who has enough of them gives up their own oldest; in a full room, or if there are too
    /// many in all, whoever has most gives one up to who has less. `None` if nobody has more.
    fn place(&self, room: &RoomId, sender: &UserId) -> Option<Parking<'_>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count =
            |places: &Places, fits: &dyn Fn(&Taken) -> bool| places.taken.values().filter(|one| fits(one)).count();
        if count(&places, &|one| one.sender == sender) >= PARKED_SENDER_MAX {
            places.replace(|one| one.sender == sender);
        }
        if count(&places, &|one| one.room == room) >= PARKED_ROOM_MAX {
            let most = places.greediest(sender, |one| one.room == room)?;
            places.replace(|one| one.room == room && one.sender == most);
        }
        if places.taken.len() >= PARKED_ALL_MAX {
            let most = places.greediest(sender, |_| true)?;
            places.replace(|one| one.sender == most);
        }
        let number = places.next;
        places.next += 1;
        let replaced = CancellationToken::new();
        let taken = Taken { room: room.to_owned(), sender: sender.to_owned(), replaced: replaced.clone() };
        places.taken.insert(number, taken);
        Some(Parking { parked: self, number, replaced })
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        self.parked.0.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.number);
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
        let mut deadline_ms = place.as_ref().map_or(0, |_| self.config().limits.deadline_ms());
        let replaced = place.as_ref().map(|place| place.replaced.clone()).unwrap_or_default();
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
                Ok(true) => return self.entries.done(&entry),
                Ok(false) => failures.forget(),
                // Either the key's state is unknown, or the key is here and handling the event failed. Neither settles
                // the event.
                Err(error) => {
                    let waits = tokio::select! {
                        () = self.stop.cancelled() => return,
                        waits = self.entries.waits_after(&error, began, &mut failures, Others::Unknown) => waits,
                    };
                    if waits {
                        continue;
                    }
                    self.entries.give_up(&entry, &error).await;
                    return self.entries.done(&entry);
                }
            }
            let waited_ms = clock::now().ms_since(entry.accepted_at);
            if waited_ms >= deadline_ms || replaced.is_cancelled() {
                let due = self.parked.1.lock().unwrap_or_else(PoisonError::into_inner).due(room, Instant::now());
                if let Some(events) = due {
                    tracing::warn!(room.id = %room, event.id = %id, events, "an event stayed undecryptable; nobody sent its key");
                } else {
                    tracing::debug!(room.id = %room, event.id = %id, "an event stayed undecryptable");
                }
                self.say_undecryptable(&readers, &entry, cause).await;
                return self.entries.done(&entry);
            }
            let is_behind = self.take_backlog(&readers, room).await;
            let pause = if is_behind { BACKLOG_PAUSE } else { doubled(PARKED_FIRST, PARKED_MAX, waits) };
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(room.id = %room, event.id = %id, pause_ms, "an event is parked until its key comes");
            let left = deadline_ms.checked_sub(waited_ms).map(Duration::from_millis);
            let pause = left.map_or(pause, |left| pause.min(left));
            tokio::select! {
                () = self.stop.cancelled() => return,
                // One more try, and then its word.
                () = replaced.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            waits += u32::from(!is_behind);
        }
    }

    /// Takes to-device messages of which more wait than a sync takes, as anybody can send any number of them. Returns
    /// whether there were such.
    async fn take_backlog(&self, readers: &Readers, room: &RoomId) -> bool {
        let accounts = self.accounts_of(readers, room).await.unwrap_or_default();
        let Some(lead) = accounts.first().filter(|lead| lead.is_behind_in_keys()) else { return false };
        for _ in 0..BACKLOG_SYNCS {
            if self.stop.is_cancelled() || !lead.is_behind_in_keys() || lead.sync().await.is_err() {
                break;
            }
        }
        true
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
                if !Box::pin(self.echoes.is_no_echo(&accounts, read, entry)).await? {
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
            && self.chats.attend(account, owner, room).await? == Privacy::Lost
        {
            return Ok(());
        }
        let due = self.tables.is_told_now(room, &entry.event.sender, |record| &mut record.undecryptable)?;
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
    fn c8_undecryptable_events_of_a_room_are_warned_about_once_a_minute_with_their_number() {
        let (mut warned, now) = (Warned::default(), Instant::now());
        let [flooded, quiet] = [ruma::room_id!("!flooded:hs"), ruma::room_id!("!quiet:hs")];
        assert_eq!(warned.due(flooded, now), Some(1));
        assert!((0..299).all(|_| warned.due(flooded, now).is_none()));
        assert_eq!(warned.due(quiet, now), Some(1), "another room's is not hidden by it");
        assert_eq!(warned.due(flooded, now + WARN_EVERY), Some(300));
        for number in 0..2 * WARNED_ROOMS_MAX {
            let room = OwnedRoomId::try_from(format!("!{number}:hs")).expect("a room id");
            warned.due(&room, now + WARN_EVERY);
        }
        assert!(warned.0.len() <= WARNED_ROOMS_MAX);
    }

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

    fn person(number: usize) -> OwnedUserId {
        OwnedUserId::try_from(format!("@{number}:hs")).expect("a user id")
    }

    #[test]
    fn c8_ones_parked_events_leave_places_for_others_and_ones_newest_stay() {
        let (parked, flooded, quiet) = (Parked::default(), room_id!("!flooded:hs"), room_id!("!quiet:hs"));
        let first: Vec<_> = (0..PARKED_SENDER_MAX).filter_map(|_| parked.place(flooded, &person(0))).collect();
        let later = parked.place(quiet, &person(0)).expect("the newest stays");
        let replaced: Vec<bool> = first.iter().map(|place| place.replaced.is_cancelled()).collect();
        assert_eq!((replaced[0], replaced[1..].contains(&true), later.replaced.is_cancelled()), (true, false, false));
        assert_eq!(parked.len(), PARKED_SENDER_MAX);
        drop(parked.place(flooded, &person(1)).expect("another person has places"));
        drop((first, later));
        assert_eq!(parked.len(), 0, "who was replaced frees nobody else's place");
    }

    #[test]
    fn c8_a_full_room_makes_place_for_who_has_less_there() {
        let (parked, flooded) = (Parked::default(), room_id!("!flooded:hs"));
        let crowd: Vec<_> = (0..PARKED_ROOM_MAX).filter_map(|n| parked.place(flooded, &person(n / 16))).collect();
        let of_new = parked.place(flooded, &person(99)).expect("somebody has more");
        assert_eq!(crowd.iter().filter(|place| place.replaced.is_cancelled()).count(), 1);
        assert_eq!((parked.len(), of_new.replaced.is_cancelled()), (PARKED_ROOM_MAX, false));
        drop((crowd, of_new));
        let equal: Vec<_> = (0..PARKED_ROOM_MAX).filter_map(|n| parked.place(flooded, &person(n))).collect();
        assert!(parked.place(flooded, &person(999)).is_none(), "nobody has more");
        assert_eq!(equal.iter().filter(|place| place.replaced.is_cancelled()).count(), 0);
    }

    #[test]
    fn c8_parked_events_are_limited_in_all_and_one_persons_many_rooms_take_no_place_from_others() {
        let (parked, rooms) =
            (Parked::default(), |number: usize| OwnedRoomId::try_from(format!("!{number}:hs")).expect("a room id"));
        let of_crowd = |n: usize| parked.place(&rooms(n / 64), &person(n / PARKED_SENDER_MAX));
        let crowd: Vec<_> = (0..PARKED_ALL_MAX).filter_map(of_crowd).collect();
        assert_eq!(crowd.len(), PARKED_ALL_MAX);
        assert!(parked.place(&rooms(9_999), &person(9_999)).is_some(), "somebody has more");
        assert_eq!(crowd.iter().filter(|place| place.replaced.is_cancelled()).count(), 1);
    }
}
