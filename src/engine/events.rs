//! What an accepted event means: whose room it is in, who reads it, and what it asks for.

mod around;
mod going_on;
mod hearing;

use std::{collections::BTreeSet, sync::Arc};

use ruma::{EventId, OwnedUserId, RoomId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, MISSED, Shared,
    control::{Order, Which},
    inbox::Handled,
    parked::Readers,
    records::{RoomRecord, ThreadRecord},
};
use crate::{
    clock,
    core::{
        address::{self, CoworkerHere, Original, Scene, Silence, Verdict},
        event::{EventKind, RoomEvent},
        redaction::{self, Authority},
        sealed::{Carriage, ENCRYPTION},
        words,
    },
    matrix::{
        Account,
        account::Redactions,
        inbound::{self, Read, Rules, may_be_said},
        lead,
    },
    store::{InboxEntry, InboxEvent},
};

/// Event types that steer runs; they are never encrypted.
const STEERING: [&str; 2] = ["m.reaction", REDACTION];
const REDACTION: &str = "m.room.redaction";
/// How many of our users in a room decrypt an event as a transaction brings it; the others sync when they are asked.
const READERS_AHEAD_MAX: usize = 3;

impl Engine {
    /// Handles one entry; whatever follows from it is recorded before this returns.
    pub(super) async fn take(self: Shared, entry: &InboxEntry, accepted: Instant) -> Result<Handled, EngineError> {
        let event = &entry.event;
        // The owner may have joined the room and written in it before the assistant has noted whose room it is.
        if self.roster.of(&event.room_id).is_empty() {
            self.homes.makers.made(&event.sender).await;
        }
        if let Some(owner) = self.tables.assistant_rooms.get(&event.room_id)? {
            if !self.namespace().who(&owner).is_person() {
                // The room was made before the config said that this person is a guest or a bridge's puppet.
                return Ok(Handled::Done);
            }
            self.people.take_owners_membership(&owner, entry)?;
            if event.sender == owner && STEERING.contains(&event.event_type.as_str()) {
                if let Some(steering) = self.read_plain(event).await {
                    Box::pin(self.take_steering(&steering, accepted)).await?;
                }
                return Ok(Handled::Done);
            }
            return Box::pin(self.take_in_assistant_room(&owner, entry, accepted)).await;
        }
        if Box::pin(self.homes.adopt_chat(entry, accepted)).await? {
            return Box::pin(self.take_in_assistant_room(&event.sender, entry, accepted)).await;
        }
        let handled = Box::pin(self.clone().take_in_room(entry, accepted)).await;
        // Only after the event: if it is a `!verify`, it says where to show the emoji.
        self.trust.take_verification_requests(&self.kept_in(&event.room_id));
        handled
    }

    /// Handles an entry in a room that is no assistant's.
    async fn take_in_room(self: Shared, entry: &InboxEntry, accepted: Instant) -> Result<Handled, EngineError> {
        let event = &entry.event;
        let read_ahead = self.deliver(entry, accepted).await;
        if event.event_type == "m.room.member" || event.state_key.is_some() {
            match event.event_type.as_str() {
                "m.room.member" => {
                    if let Some(read) = self.read_plain(event).await {
                        Box::pin(self.membership.clone().take_membership(&read, accepted)).await?;
                    }
                }
                "m.room.tombstone" => {
                    Box::pin(self.membership.upgrades.clone().take_tombstone(entry, accepted)).await?;
                }
                ENCRYPTION | "m.room.power_levels" => Box::pin(self.take_voice(&event.room_id, accepted)).await?,
                // Of other state our users hear when they next sync: before they answer here, as the room is behind now.
                _ => {}
            }
            Box::pin(self.take_watched_event(entry)).await?;
            return Ok(Handled::Done);
        }
        if self.namespace().is_ours(&event.sender) {
            return Ok(Handled::Done);
        }
        match event.event_type.as_str() {
            "m.room.message" => {
                if let Some(read) = self.read_plain(event).await {
                    Box::pin(self.consider(&read, Carriage::Plain, entry, accepted)).await?;
                }
                Ok(Handled::Done)
            }
            steering if STEERING.contains(&steering) => {
                if let Some(read) = self.read_plain(event).await {
                    Box::pin(self.clone().take_read(&read, Carriage::Plain, entry, accepted)).await?;
                }
                Box::pin(self.take_watched_event(entry)).await?;
                Ok(Handled::Done)
            }
            "m.room.encrypted" | MISSED => match read_ahead {
                Some(read) => {
                    let readers = self.kept_in(&event.room_id);
                    Box::pin(self.take_unless_echo(&readers, &read, entry, accepted)).await?;
                    Ok(Handled::Done)
                }
                None => Box::pin(self.take_by_reading(entry, accepted)).await,
            },
            // Stickers, polls, locations and unknown types may ask a coworker; any type may be watched.
            other => {
                let read = if may_be_said(other) { self.read_plain(event).await } else { None };
                match read.filter(|read| matches!(read.kind, EventKind::Message(_) | EventKind::Edit { .. })) {
                    Some(read) => Box::pin(self.consider(&read, Carriage::Plain, entry, accepted)).await?,
                    None => Box::pin(self.take_watched_event(entry)).await?,
                }
                Ok(Handled::Done)
            }
        }
    }

    /// Passes an event to our users in the room, so that a request needs no sync before its answer. If the event is
    /// encrypted, returns it as read by the first of them who can.
    async fn deliver(&self, entry: &InboxEntry, accepted: Instant) -> Option<Read> {
        let event = &entry.event;
        if event.state_key.is_none() && event.event_type == "m.room.encrypted" {
            return self.deliver_sealed(event, accepted).await;
        }
        let read = if event.state_key.is_none() { self.read_plain(event).await } else { None };
        let read = read.map(Read::plain);
        for account in self.kept_in(&event.room_id) {
            account.deliver(&event.room_id, read.clone(), accepted);
        }
        None
    }

    async fn deliver_sealed(&self, event: &InboxEvent, accepted: Instant) -> Option<Read> {
        let mut first = None;
        for (number, account) in self.kept_in(&event.room_id).into_iter().enumerate() {
            let is_asked = number < READERS_AHEAD_MAX;
            let read = if is_asked { account.read_ahead(&event.room_id, &event.json, accepted).await } else { None };
            let (is_read, asks) =
                (read.is_some(), read.as_ref().is_some_and(|read| read.event.mentions(account.user())));
            if (!account.deliver(&event.room_id, read.clone(), accepted) && is_read) || asks {
                // Otherwise syncs only from time to time, so that unread events do not pile up.
                self.tasks.spawn(sync_beside(account, accepted));
            }
            first = first.or(read);
        }
        first
    }

    /// Reads an unencrypted event from a transaction, by its room's rules as far as one of ours there knows them.
    pub(super) async fn read_plain(&self, event: &InboxEvent) -> Option<RoomEvent> {
        let among = if event.event_type == REDACTION { Redactions::Some } else { Redactions::None };
        let rules = match self.kept_in(&event.room_id).first() {
            Some(account) => account.rules(&event.room_id, among).await,
            None => Rules::default(),
        };
        inbound::from_json(&event.room_id, &rules, &event.json)
    }

    async fn take_by_reading(self: Shared, entry: &InboxEntry, accepted: Instant) -> Result<Handled, EngineError> {
        let (room, id) = (&entry.event.room_id, &entry.event.event_id);
        let readers = self.kept_in(room);
        let Some(first) = readers.first() else { return Ok(Handled::Done) };
        // The common case is read at once. Waiting for a key gets its own task, so that a lost key delays nobody else.
        match lead::read_as(first, room, id, accepted).await? {
            Some(read) if read.sealed.is_none() => {
                Box::pin(self.take_unless_echo(&readers, &read, entry, accepted)).await?;
                Ok(Handled::Done)
            }
            _ => {
                let engine = self.clone();
                self.tasks.spawn(engine.read_patiently(Readers::Coworkers, entry.clone(), accepted));
                Ok(Handled::Parked)
            }
        }
    }

    /// Handles an owner's reaction or redaction that steers a run of their assistant.
    async fn take_steering(self: &Shared, event: &RoomEvent, accepted: Instant) -> Result<(), EngineError> {
        match &event.kind {
            EventKind::Reaction { .. } => Box::pin(self.take_reaction(event, accepted)).await,
            EventKind::Redaction { target, .. } => {
                self.approvals.take_redaction(event, target)?;
                self.running.order(&event.room, Which::Touching(target), &Order::TakeBack);
                let assistant = self.namespace().assistant(event.sender.localpart());
                self.schedules.take_back_reminders(&event.sender, &assistant, target).await?;
                Box::pin(self.take_back_answers(&event.sender, event, target)).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn take_read(
        self: Shared,
        event: &RoomEvent,
        came: Carriage,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        match &event.kind {
            EventKind::Member(_) => Box::pin(self.membership.clone().take_membership(event, accepted)).await,
            EventKind::Reaction { .. } => Box::pin(self.take_reaction(event, accepted)).await,
            EventKind::Redaction { target, authority } => {
                if !self.takes_effect(event, target, *authority).await? {
                    tracing::info!(room.id = %event.room, event.id = %event.id, "a redaction without the right to it");
                    return Ok(());
                }
                self.approvals.take_redaction(event, target)?;
                Box::pin(self.take_redaction(&event.room, target)).await
            }
            _ => Box::pin(self.consider(event, came, entry, accepted)).await,
        }
    }

    /// Decides who answers a readable event, and starts their runs.
    pub(super) async fn consider(
        self: Shared,
        event: &RoomEvent,
        came: Carriage,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let room = &event.room;
        if Box::pin(self.membership.visits.take_in_direct_chat(event)).await? {
            return Ok(());
        }
        let suspect = self.is_suspect(event, came).await?;
        if !suspect && Box::pin(self.take_choice(event, accepted)).await? {
            return Ok(());
        }
        let record = self.tables.rooms.get(room)?.unwrap_or_default();
        if let Some(person) = &record.service_dm {
            if suspect && event.sender == *person {
                return self.tell_unencrypted(event, &self.service_user()).await;
            }
            return Box::pin(self.membership.service_bot.clone().answer_service_dm(person, event, came)).await;
        }
        let users: Vec<OwnedUserId> = self.roster.of(room);
        let named = self.named(&users);
        let here: Vec<CoworkerHere<'_>> = named
            .iter()
            .map(|(user, coworker, display_name)| CoworkerHere {
                user,
                id: &coworker.id.0,
                name: &coworker.name,
                display_name: Some(display_name),
            })
            .collect();
        if here.is_empty() || record.liveliness.is_paused() {
            return Ok(());
        }
        let original = self.original_of(event).await?;
        let (said, placed) = (event, in_its_thread(event, original.as_ref()));
        let event = placed.as_ref().unwrap_or(event);
        // A voice message asks by its words.
        let spoken = self.files.hears.written(event);
        let thread_root = event.thread_root();
        let thread = self.thread_of(event)?;
        let scene = Scene {
            namespace: &self.namespace(),
            coworkers: &here,
            reply_sender: None,
            thread: thread_root.is_some().then_some(&thread.thread),
            root_sender: None,
            asked_back: None,
            members: &[],
            original: original.as_ref().map(|known| Original { event: &known.event, asked: &known.triggered }),
            now: clock::now(),
            accepted_at: entry.accepted_at,
            deadline_ms: self.config().limits.deadline_ms(),
        };
        // A bot that edits its report asks for nothing by that.
        let by_author = original.as_ref().filter(|edited| edited.event.sender == event.sender && !suspect);
        if let Some(edited) = by_author.filter(|_| self.namespace().who(&event.sender).may_ask()) {
            Box::pin(self.take_edit(event, came, edited, (&scene, &thread), accepted)).await?;
        }
        let stands = original.as_ref().and_then(|known| known.as_edited_by(event));
        let asking = spoken.as_ref().unwrap_or(event);
        let around = self.look_around(stands.as_ref().unwrap_or(asking), &scene, &thread).await?;
        let members = around.members();
        let scene = around.seen(&scene, &members);
        let verdict = address::addressed(asking, &scene);
        if suspect {
            // It is neither obeyed nor noted, because notes in a thread decide who is asked next. It asks nobody.
            return self.take_suspect(event, &verdict).await;
        }
        if self.hear_first(said, came, entry, (&verdict, accepted)) {
            return Ok(());
        }
        Box::pin(self.take_watched(said, came, &named, &entry.event)).await?;
        if Box::pin(self.take_file(event, came, &verdict, &scene, accepted)).await? {
            return Ok(());
        }
        Box::pin(self.obey_verdict(event, came, &verdict, accepted)).await?;
        // Noted last: an edit asks only newly asked coworkers, and must ask them again if a run could not be recorded.
        self.note_thread(asking, &verdict, &scene)
    }

    /// Takes an edit of a request: for its current run, and for coworkers that it newly asks.
    async fn take_edit(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        edited: &Known,
        (scene, thread): (&Scene<'_>, &ThreadRecord),
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let EventKind::Edit { target, new, .. } = &event.kind else { return Ok(()) };
        // A message that asked nobody may have been about a card.
        if edited.triggered.is_empty() && self.take_edited_words(event, new, accepted).await? {
            return Ok(());
        }
        let mut not_asked = self.not_asked_any_more(edited, new, scene, thread).await?;
        let anew = self.asked_anew_by_edit(event, &edited.event, &edited.triggered, (target, new));
        not_asked.extend(anew.iter().filter(|anew| anew.is_command).map(|anew| anew.user.clone()));
        Box::pin(self.pacing.take_edit_of_request(event, target, &not_asked)).await?;
        for anew in anew {
            Box::pin(self.clone().take_anew(event, came, &anew, accepted)).await?;
        }
        Ok(())
    }

    async fn obey_verdict(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        verdict: &Verdict,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let room = &event.room;
        match verdict {
            Verdict::Asked(asked) => {
                let who: Vec<_> = asked.iter().map(|asked| asked.user.as_str()).collect();
                tracing::info!(room.id = %room, event.id = %event.id, ?who, "a request");
                self.sync_ahead_of_answers(event, asked, accepted);
                for asked in asked {
                    Box::pin(self.clone().begin_coworker(event, came, asked, accepted)).await?;
                }
            }
            Verdict::Nobody(Silence::Stranger { tell_stranger: true }) => {
                Box::pin(self.tell_stranger(event, &self.roster.of(room))).await;
            }
            Verdict::Nobody(silence) => {
                tracing::debug!(room.id = %room, event.id = %event.id, ?silence, "nobody is asked");
            }
        }
        Ok(())
    }

    fn thread_of(&self, event: &RoomEvent) -> Result<ThreadRecord, EngineError> {
        let Some(root) = event.thread_root() else { return Ok(ThreadRecord::default()) };
        Ok(self.tables.threads.get(&(event.room.clone(), root.to_owned()))?.unwrap_or_default())
    }

    /// Notes in the event's thread, or in the one that it opens, who was asked, and which coworkers the event
    /// triggered.
    fn note_thread(&self, event: &RoomEvent, verdict: &Verdict, scene: &Scene<'_>) -> Result<(), EngineError> {
        let triggering = match &event.kind {
            EventKind::Edit { target, .. } => target,
            _ => &event.id,
        };
        let root = event.thread_root().unwrap_or(triggering);
        let known = self.tables.threads.get(&(event.room.clone(), root.to_owned()))?;
        let asked: BTreeSet<OwnedUserId> = match verdict {
            Verdict::Asked(asked) => asked.iter().map(|asked| asked.user.clone()).collect(),
            Verdict::Nobody(_) => BTreeSet::new(),
        };
        // A thread on a coworker's message belongs to it before anybody is asked there.
        let is_ours = scene.root_sender.is_some_and(|sender| self.coworker(sender).is_some());
        if known.is_none() && asked.is_empty() && !is_ours {
            return Ok(());
        }
        self.tables.threads.update(&(event.room.clone(), root.to_owned()), |record: Option<ThreadRecord>| {
            let mut record = record.unwrap_or_default();
            record.thread.note(event, verdict, scene);
            Some(record)
        })?;
        if !asked.is_empty() {
            self.tables.threads.update(
                &(event.room.clone(), triggering.to_owned()),
                |record: Option<ThreadRecord>| {
                    let mut record = record.unwrap_or_default();
                    record.triggered.extend(asked);
                    Some(record)
                },
            )?;
        }
        Ok(())
    }

    /// Returns whether a redaction counts. Our own homeserver refuses its users' invalid ones. For a user of another
    /// server, the author of the redacted event decides.
    async fn takes_effect(
        &self,
        redaction: &RoomEvent,
        target: &EventId,
        authority: Authority,
    ) -> Result<bool, EngineError> {
        if redaction.sender.server_name() == self.namespace().server {
            return Ok(true);
        }
        let author = self.sender_of(&redaction.room, target).await?;
        Ok(author.is_some_and(|author| redaction::takes_effect(&redaction.sender, authority, &author)))
    }

    /// For an edit, returns the message that it replaces and the coworkers that it triggered.
    async fn original_of(&self, event: &RoomEvent) -> Result<Option<Known>, EngineError> {
        let EventKind::Edit { target, .. } = &event.kind else { return Ok(None) };
        let Some(reader) = self.kept_in(&event.room).into_iter().next() else { return Ok(None) };
        let original = match reader.event(&event.room, target).await {
            Err(error) if !error.is_passing() => None,
            found => found?,
        };
        let Some(original) = original else { return Ok(None) };
        let record = self.tables.threads.get(&(event.room.clone(), target.clone()))?.unwrap_or_default();
        Ok(Some(Known { event: original.event, triggered: record.triggered }))
    }

    async fn sender_of(&self, room: &RoomId, event: &EventId) -> Result<Option<OwnedUserId>, EngineError> {
        let Some(reader) = self.kept_in(room).into_iter().next() else { return Ok(None) };
        match reader.event(room, event).await {
            Ok(found) => Ok(found.map(|read| read.event.sender)),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    async fn tell_stranger(&self, event: &RoomEvent, users: &[OwnedUserId]) {
        let Some(account) = users.iter().find_map(|user| self.pool.kept(user)) else { return };
        let mut due = false;
        let noted = self.tables.rooms.update(&event.room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            due = record.stranger_told.is_due(clock::now(), crate::core::breaker::STRANGER_WORD_INTERVAL_MS);
            Some(record)
        });
        if noted.is_err() || !due {
            return;
        }
        let txn = super::word_transaction("stranger", event.id.as_str(), account.user());
        let word = super::word(&words::stranger(), Some(&event.sender));
        if let Err(error) = account.send(&event.room, &word, txn).await {
            tracing::warn!(room.id = %event.room, %error, "a stranger cannot be told why there is no answer");
        }
    }
}

/// Syncs in the background; work that needs the sync waits for it itself and gets its error.
pub(super) async fn sync_beside(account: Arc<Account>, since: Instant) {
    if let Err(error) = account.sync_since(since).await {
        tracing::debug!(user.id = %account.user(), %error, "a sync beside other work failed");
    }
}

/// The message that an edit replaces, as far as it matters here.
struct Known {
    event: RoomEvent,
    triggered: BTreeSet<OwnedUserId>,
}

/// Places an edit in the thread of the message that it replaces, because an edit names no thread.
fn in_its_thread(event: &RoomEvent, original: Option<&Known>) -> Option<RoomEvent> {
    let root = original?.event.thread_root()?;
    let mut placed = event.clone();
    if let EventKind::Edit { new, .. } = &mut placed.kind {
        new.thread_root = Some(root.to_owned());
    }
    Some(placed)
}
