//! Limits how fast people use the model (C14, C23), and tells them once of each limit that they reach.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{
    EngineError,
    control::Running,
    records::{PersonRecord, RoomRecord, ThreadRecord},
    runtime::Runtime,
    zones::Zones,
};
use crate::{
    clock,
    core::{
        breaker::{self, Gate, PAUSE_MS, Whose},
        budget::{self, Full, WORD_INTERVAL_MS},
        edits::{Edit, JOINED_MAX},
        event::{Outgoing, Place, RoomEvent},
        run::RunRecord,
        time::Timestamp,
        words,
    },
    matrix::Account,
};

/// Most limits per person that are remembered as told; the oldest are dropped.
const TOLD_MAX: usize = 64;

/// How fast people may use the model, and what they were told of it.
pub(super) struct Pacing {
    runtime: Arc<Runtime>,
    running: Running,
    zones: Arc<Zones>,
}

impl Pacing {
    pub(super) fn new(runtime: &Arc<Runtime>, running: &Running, zones: &Arc<Zones>) -> Self {
        Self { runtime: runtime.clone(), running: running.clone(), zones: zones.clone() }
    }

    /// Asks the breakers of a person and a room whether a run may begin, and counts it. In an assistant's chat only the
    /// person's breaker counts.
    pub(super) fn gate(&self, person: &UserId, room: Option<&RoomId>) -> Result<Gate, EngineError> {
        let (rates, now) = (self.runtime.config().limits.rates(), clock::now());
        let mut asked = Ok(Gate::Open);
        self.runtime.tables.people.update(&person.to_owned(), |kept: Option<PersonRecord>| {
            let mut kept = kept.unwrap_or_default();
            asked = match room {
                None => Ok(breaker::begin_run(&mut kept.breaker, None, now, &rates)),
                Some(room) => self.gate_of_room(room, |room| breaker::begin_run(&mut kept.breaker, room, now, &rates)),
            };
            Some(kept)
        })?;
        asked
    }

    fn gate_of_room(
        &self,
        room: &RoomId,
        ask: impl FnOnce(Option<&mut breaker::Breaker>) -> Gate,
    ) -> Result<Gate, EngineError> {
        let room: OwnedRoomId = room.to_owned();
        let mut gate = Gate::Open;
        self.runtime.tables.rooms.update(&room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            gate = ask(Some(&mut record.breaker));
            Some(record)
        })?;
        Ok(gate)
    }

    /// Returns whether to tell a person of a limit because of this event, at most once per interval, and notes it as
    /// told. An event repeated after a crash is told again.
    pub(super) fn is_word_due(
        &self,
        person: &UserId,
        limit: &str,
        cause: &EventId,
        interval_ms: u64,
    ) -> Result<bool, EngineError> {
        let (mut due, now) = (false, clock::now());
        self.runtime.tables.people.update(&person.to_owned(), |kept: Option<PersonRecord>| {
            let mut kept = kept.unwrap_or_default();
            let said = kept.told.get(limit);
            due = said.is_none_or(|(at, by)| by == cause || now < *at || now.ms_since(*at) >= interval_ms);
            if due {
                kept.told.insert(limit.to_owned(), (now, cause.to_owned()));
            }
            while kept.told.len() > TOLD_MAX {
                let oldest = kept.told.iter().min_by_key(|(_, (at, _))| *at).map(|(limit, _)| limit.clone());
                oldest.and_then(|oldest| kept.told.remove(&oldest));
            }
            Some(kept)
        })?;
        Ok(due)
    }

    /// Returns whether to say that a budget is used up: once per person, limit and place in an interval, and always if
    /// work had begun. If nobody asked, it is said once in the room until the limit ends, not at every due time.
    pub(super) fn is_budget_word_due(&self, record: &RunRecord, full: &Full) -> Result<bool, EngineError> {
        if full.begun {
            return Ok(true);
        }
        if !record.is_unasked() {
            return self.is_word_due(&record.asker, &told_as(record, full), &record.request, WORD_INTERVAL_MS);
        }
        let (limit, cause) = (format!("{}/{}", record.user, full.name()), &record.request);
        let mut due = false;
        self.runtime.tables.rooms.update(&record.room, |kept: Option<RoomRecord>| {
            let mut kept = kept.unwrap_or_default();
            due = budget::is_unasked_word_due(kept.budget_told.get(&limit), full, cause);
            if due {
                kept.budget_told.insert(limit, (full.until, cause.clone()));
            }
            Some(kept)
        })?;
        Ok(due)
    }

    /// Tells a person, once per pause, that a breaker stopped their request.
    pub(super) async fn tell_stopped(
        &self,
        account: &Account,
        event: &RoomEvent,
        (whose, until): (Whose, Timestamp),
    ) -> Result<(), EngineError> {
        let (room, person) = (&event.room, &event.sender);
        tracing::warn!(room.id = %room, user.id = %person, ?whose, "a breaker stopped a run");
        let (limit, runs_max) = match whose {
            // In each room: who asks elsewhere would wait for an answer.
            Whose::Person => (format!("pace/person/{room}"), self.runtime.config().limits.person_requests_max),
            Whose::Room => (format!("pace/{room}"), self.runtime.config().limits.room_requests_max),
        };
        if !self.is_word_due(person, &limit, &event.id, PAUSE_MS)? {
            return Ok(());
        }
        let place = match event.thread_root() {
            Some(root) => Place::Thread { root: root.to_owned(), latest: event.id.clone() },
            None => Place::Timeline,
        };
        let zone = self.zones.zone_of(person).await;
        let word = super::word(&words::spending::breaker(whose, runs_max, until, &zone), Some(person));
        let txn = super::word_transaction("breaker", event.id.as_str(), account.user());
        account.send(room, &Outgoing { place, ..word }, txn).await?;
        Ok(())
    }

    /// Handles an edit of a request that is being answered. Once edits pause, the request starts again with the new
    /// text; runs that the new text no longer asks for stop.
    pub(super) async fn take_edit_of_request(
        &self,
        event: &RoomEvent,
        target: &EventId,
        not_asked: &BTreeSet<OwnedUserId>,
    ) -> Result<(), EngineError> {
        let (room, editor) = (&event.room, &event.sender);
        let counted = self.counted_room(room)?;
        let taken =
            self.running.edit(room, (target, editor, event.is_live()), not_asked, || self.gate(editor, counted))?;
        self.say_what_became(event, target, taken).await
    }

    /// Adds a file to its sender's request that is being answered, if it belongs to one; returns whether it does.
    pub(super) async fn take_joining(&self, event: &RoomEvent) -> Result<bool, EngineError> {
        let counted = self.counted_room(&event.room)?;
        let joined = self.running.join(event, || self.gate(&event.sender, counted))?;
        let Some((request, taken)) = joined else { return Ok(false) };
        tracing::info!(room.id = %event.room, event.id = %event.id, request = %request, "a file belongs to a request");
        if counted.is_some() {
            self.note_joined(event, &request)?;
        }
        self.say_what_became(event, &request, taken).await?;
        Ok(true)
    }

    /// Records a file of a request: later messages in the thread are about it too.
    pub(super) fn note_joined(&self, file: &RoomEvent, request: &EventId) -> Result<(), EngineError> {
        self.runtime.tables.threads.update(
            &(file.room.clone(), request.to_owned()),
            |record: Option<ThreadRecord>| {
                let mut record = record.unwrap_or_default();
                if record.joined.len() < JOINED_MAX && !record.joined.contains(&file.id) {
                    record.joined.push(file.id.clone());
                }
                Some(record)
            },
        )?;
        Ok(())
    }

    /// Returns the room that a gesture counts for; `None` in an assistant's chat, where it counts only for the owner.
    fn counted_room<'r>(&self, room: &'r RoomId) -> Result<Option<&'r RoomId>, EngineError> {
        let is_private = self.runtime.tables.assistant_rooms.get(&room.to_owned())?.is_some();
        Ok((!is_private).then_some(room))
    }

    async fn say_what_became(
        &self,
        event: &RoomEvent,
        target: &EventId,
        taken: Vec<(OwnedUserId, Place, Edit)>,
    ) -> Result<(), EngineError> {
        let (room, editor) = (&event.room, &event.sender);
        for (user, place, edit) in taken {
            match edit {
                Edit::Replaces | Edit::Restarts | Edit::Ignored { say: false } => {}
                Edit::Ignored { say: true } => {
                    let Some(account) = self.speaker(&user, editor).await? else { continue };
                    let word = super::word(&words::spending::too_many_edits(), Some(editor));
                    let txn = super::word_transaction("edits", target.as_str(), &user);
                    account.send(room, &Outgoing { place, ..word }, txn).await?;
                }
                Edit::Stopped { whose, until, .. } => {
                    let Some(account) = self.speaker(&user, editor).await? else { continue };
                    self.tell_stopped(&account, event, (whose, until)).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns the account of a user of ours: a coworker's, or that of `owner`'s assistant.
    async fn speaker(&self, user: &OwnedUserId, owner: &UserId) -> Result<Option<Arc<Account>>, EngineError> {
        if let Some(kept) = self.runtime.pool.kept(user) {
            return Ok(Some(kept));
        }
        let persona = self.runtime.assistant_persona(owner);
        if persona.user != *user {
            return Ok(None);
        }
        Ok(Some(Box::pin(self.runtime.pool.passing(&persona)).await?))
    }
}

/// Returns under which name it is noted that a run's asker was told of a limit: by coworker, and by room or thread,
/// because what stands elsewhere is no answer there. What is asked in the timeline opens a thread, and is told once for
/// all of the timeline.
fn told_as(record: &RunRecord, full: &Full) -> String {
    if record.owner().is_some() {
        // An owner has one chat, and nothing about it is kept here.
        return full.name();
    }
    let thread = record.place.thread_root().filter(|root| *root != record.request).map_or("", EventId::as_str);
    format!("{}/{}/{}/{thread}", full.name(), record.user, record.room)
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_event_id, room_id, user_id};

    use super::*;
    use crate::core::budget::{Period, Scope, Usd, Why};

    #[test]
    fn c23_a_limit_is_told_in_each_room_and_thread_by_each_coworker() {
        let (limit, until) = (Usd::from_micro(1), Timestamp::from_ms(0));
        let full = Full { scope: Scope::Person, period: Period::Day, limit, why: Why::Spent, until, begun: false };
        let asked = |user, room, request: &EventId, place| {
            let now = Timestamp::from_ms(0);
            told_as(&RunRecord::new(user, room, request, user_id!("@alice:hs"), place, now), &full)
        };
        let thread = |root| Place::Thread { root, latest: owned_event_id!("$latest") };
        let (oncall, ci, a, b) = (user_id!("@oncall:hs"), user_id!("@ci:hs"), room_id!("!a:hs"), room_id!("!b:hs"));
        let (first, second) = (event_id!("$first"), event_id!("$second"));
        let said = asked(oncall, a, first, thread(first.to_owned()));
        assert_eq!(
            said,
            asked(oncall, a, second, thread(second.to_owned())),
            "each opens a thread in the same timeline"
        );
        assert_eq!(said, asked(oncall, a, second, Place::Timeline));
        for elsewhere in [
            asked(oncall, b, second, thread(second.to_owned())),
            asked(oncall, a, second, thread(first.to_owned())),
            asked(ci, a, second, thread(second.to_owned())),
        ] {
            assert_ne!(said, elsewhere);
        }
    }
}
