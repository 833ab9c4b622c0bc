//! Assistants (A1 to A6, A10): made on request, each with one room, answering only their owner.

mod again;
mod beginning;
mod devices;
mod exporting;
mod forgetting;
mod nodding;
mod opening;
mod sifting;

use std::sync::Arc;

use ruma::{EventId, UserId};
use tokio::time::Instant;

use self::opening::{Chatted, Pasted, Reading};
use super::{
    Engine, EngineError, Shared,
    ask::{Around, Asking},
    chats::{STATE_THAT_MATTERS, is_of_the_two},
    control::{Order, Which},
    inbox::Handled,
    parked::Readers,
    records::AssistantRecord,
};
use crate::{
    core::{
        address::is_of_machines,
        command::{AssistantCommand, Reminding},
        context::{self, Kind},
        destination::Refused,
        event::{EventKind, RoomEvent},
        refused::{Breadth, Sieve},
        room_check::Privacy,
        run::RunRecord,
        session::{Session, SessionBounds, current_session},
        words,
    },
    matrix::{Account, inbound::Read, lead},
    store::InboxEntry,
};

pub(super) use self::forgetting::Forgetful;

/// Events of the direct chat among which a session is looked for.
const HISTORY_EVENTS: usize = 300;
/// Most session markers kept; older ones lie before the history that is read.
const MARKERS_MAX: usize = 20;

impl Engine {
    /// Handles an event in an assistant's room.
    pub(super) async fn take_in_assistant_room(
        self: Shared,
        owner: &UserId,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<Handled, EngineError> {
        let event = &entry.event;
        let record = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let assistant = self.assistant_persona(owner);
        if record.room.as_ref() != Some(&event.room_id) || !self.config().assistants.enabled {
            return Ok(Handled::Done);
        }
        if event.state_key.is_some() {
            // Done for every sender, because events in the assistant's own name can open the room as well.
            if STATE_THAT_MATTERS.contains(&event.event_type.as_str()) {
                let account = Box::pin(self.pool.passing(&assistant)).await?;
                account.sync_since(accepted).await?;
                self.homes.look_after(&account, owner, &event.room_id).await?;
            }
            if event.event_type == "m.room.member" && event.state_key.as_deref() == Some(owner.as_str()) {
                // The owner may have changed their display name.
                self.chats.rename_after(&self.chats.persona_after(owner).await).await;
            }
            return Ok(Handled::Done);
        }
        if event.sender == owner
            && !record.silent
            && Box::pin(self.take_plain_verification(owner, entry, accepted)).await?
        {
            return Ok(Handled::Done);
        }
        if event.sender != owner || record.silent {
            return Ok(Handled::Done);
        }
        // The sender of an unencrypted message cannot be trusted, so only encrypted ones count here.
        if event.event_type != "m.room.encrypted" {
            Box::pin(self.tell_of_plain_words(owner, entry, accepted)).await?;
            return Ok(Handled::Done);
        }
        let account = Box::pin(self.pool.passing(&assistant)).await?;
        if account.is_in(&event.room_id) {
            self.homes.say_renewed(&account, &event.room_id).await?;
        }
        match lead::read_as(&account, &event.room_id, &event.event_id, accepted).await? {
            Some(read) if read.sealed.is_none() => {
                let readers = std::slice::from_ref(&account);
                if read.was_encrypted && Box::pin(self.echoes.is_no_echo(readers, &read, entry)).await? {
                    Box::pin(self.answer_owner(&account, owner, &read, entry, accepted)).await?;
                }
                Ok(Handled::Done)
            }
            _ => {
                let (engine, readers) = (self.clone(), Readers::AssistantOf(owner.to_owned()));
                self.tasks.spawn(engine.read_patiently(readers, entry.clone(), accepted));
                Ok(Handled::Parked)
            }
        }
    }

    /// Takes an owner's request for a verification that came unencrypted, as matrix-js-sdk sends it: it says only who
    /// asks, and the emoji prove what follows. Returns whether the event was such a request.
    async fn take_plain_verification(
        self: &Shared,
        owner: &UserId,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        if entry.event.event_type != "m.room.message" {
            return Ok(false);
        }
        let Some(request) = self.read_plain(&entry.event).await.filter(super::trust::is_request) else {
            return Ok(false);
        };
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        // A sync drops a request from an unknown device, so a new device is looked up first.
        account.learn_devices(owner).await?;
        account.sync_since(accepted).await?;
        if self.homes.look_after(&account, owner, &request.room).await? == Privacy::Tight {
            self.trust.verify_in_chat(&account, &request);
        }
        Ok(true)
    }

    pub(super) async fn answer_owner(
        self: Shared,
        account: &Arc<Account>,
        owner: &UserId,
        read: &Read,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let event = &read.event;
        let says = matches!(event.kind, EventKind::Message(_) | EventKind::Edit { .. });
        if !says || event.sender != owner || self.homes.look_after(account, owner, &event.room).await? == Privacy::Lost
        {
            return Ok(());
        }
        // An unverified device may ask to be verified.
        if let EventKind::Message(message) = &event.kind
            && self.trust.take_verification(account, event, message).await?
        {
            return Ok(());
        }
        self.trust.take_owners_verification_requests(account, owner, &event.room);
        if !self.answers_device(account, owner, read).await? {
            return Ok(());
        }
        if let EventKind::Edit { target, new, .. } = &event.kind {
            return Box::pin(self.take_owners_edit(
                account,
                owner,
                event,
                (target, new),
                (entry.accepted_at, accepted),
            ))
            .await;
        }
        let EventKind::Message(message) = &event.kind else { return Ok(()) };
        // A sticker asks for nothing; it is read with the next request.
        if message.kind.is_sticker() || is_of_machines(message) {
            return Ok(());
        }
        if Box::pin(self.take_choice(event, accepted)).await? || nodding::only_nods(account, event) {
            return Ok(());
        }
        if let Some(command) = AssistantCommand::of(message) {
            return Box::pin(self.answer_owner_command(account, owner, event, &command)).await;
        }
        if Box::pin(self.open_pasted(account, owner, event, message)).await? == Pasted::Alone {
            return Ok(());
        }
        if message.is_uncaptioned() && Box::pin(self.pacing.take_joining(event)).await? {
            return Ok(());
        }
        Box::pin(self.begin_owners_run(account, owner, event, (entry.accepted_at, accepted))).await
    }

    pub(super) async fn answer_owner_command(
        self: &Shared,
        account: &Arc<Account>,
        owner: &UserId,
        event: &RoomEvent,
        command: &AssistantCommand,
    ) -> Result<(), EngineError> {
        let text = match command {
            AssistantCommand::New => {
                self.close_rooms(owner, None, |_| true)?;
                self.chats.note(owner, |record| {
                    record.markers.push(event.id.clone());
                    let surplus = record.markers.len().saturating_sub(MARKERS_MAX);
                    record.markers.drain(..surplus);
                })?;
                words::fresh()
            }
            AssistantCommand::Help => words::assistant_help(),
            AssistantCommand::Stop => {
                if self.running.order(&event.room, Which::Of(account.user(), None), &Order::Stop) > 0 {
                    // The run says so itself.
                    return Ok(());
                }
                words::nothing_to_stop()
            }
            AssistantCommand::Tools => words::tools(
                &self.toolsets.private_toolset()?,
                &self.toolsets.servers_down(&self.config().assistants.tools),
            ),
            AssistantCommand::Forget => return Box::pin(self.forgetting.forget_sessions(account, owner, event)).await,
            AssistantCommand::Export => return Box::pin(self.export_session(account, owner, event)).await,
            AssistantCommand::Share => return Box::pin(self.share_answer(account, owner, event)).await,
            // What was deleted while it waited is not set up.
            AssistantCommand::Reminding(Reminding::Add(_) | Reminding::AddTask(_))
                if account.is_redacted(&event.room, &event.id).await? =>
            {
                return Ok(());
            }
            AssistantCommand::Reminding(reminding) => self.schedules.obey_reminding(owner, event, reminding).await?,
            AssistantCommand::Connecting(connecting) => {
                return Box::pin(self.connections.obey_connecting(account, owner, event, connecting)).await;
            }
            AssistantCommand::Refusing(refusing) => self.obey_refusing(account, owner, event, *refusing).await?,
            AssistantCommand::Open(what) => {
                return self.open_on_command(account, owner, event, what.as_deref()).await;
            }
        };
        let txn = super::word_transaction("command", event.id.as_str(), account.user());
        account.send(&event.room, &super::word(&text, None), txn).await?;
        Ok(())
    }

    /// Returns the session that a message of the chat belongs to.
    fn session_of(
        &self,
        account: &Account,
        owner: &UserId,
        events: &[RoomEvent],
        kept: &AssistantRecord,
        message: &EventId,
    ) -> Session {
        let upto = events.iter().position(|event| event.id == message).map_or(events.len(), |at| at + 1);
        let idle_ms = u64::from(self.config().assistants.session_idle_hours) * 3_600_000;
        let bounds = SessionBounds { owner, assistant: account.user(), markers: &kept.markers, idle_ms };
        current_session(&events[..upto], &bounds)
    }

    /// Composes what an assistant reads: the current session of its chat and the rooms that its owner opened in it.
    pub(super) async fn compose_assistant(
        &self,
        account: &Account,
        record: &mut RunRecord,
        breadth: &Breadth,
    ) -> Result<Asking, EngineError> {
        let owner = &record.asker.clone();
        let room = &self.chats.destination(record)?.room().to_owned();
        if self.chats.attend(account, owner, room).await? == Privacy::Lost {
            return Err(Refused::Silent.into());
        }
        let mut facts = account.facts(room).await?;
        let kept = self.tables.assistants.get(owner)?.unwrap_or_default();
        let of_the_two = |event: &RoomEvent| {
            is_of_the_two(account, event, owner)
                && !super::trust::is_request(event)
                && !self.is_of_unanswered_device(account, &kept, event)
        };
        // Only the session is read; after a pause, the session is a small part of the chat.
        let begins = || {
            let mut events = account.held_events(room);
            events.retain(of_the_two);
            self.session_of(account, owner, &events, &kept, &record.request).begins > 0
        };
        let mut events = account.history_until(room, HISTORY_EVENTS, begins).await?;
        let older = events.len() >= HISTORY_EVENTS;
        events.retain(of_the_two);
        // A request that runs again sees what it saw the first time: neither its earlier answer nor later messages.
        let asked = events.iter().position(|event| event.id == record.request).filter(|_| record.attempt > 0);
        let known = asked.map_or(events.len(), |at| at + 1);
        let session = self.session_of(account, owner, &events[..known], &kept, &record.request);
        let errands = super::timetable::briefs(owner, &kept);
        let is_asked = !errands.contains_key(&record.request);
        if is_asked && session.afresh.is_some() && kept.afresh_told.as_ref() != Some(&record.request) {
            let txn = super::word_transaction("afresh", record.request.as_str(), &record.user);
            let text = words::fresh_after_pause(self.config().assistants.session_idle_hours);
            account.send(room, &super::word(&text, None), txn).await?;
            self.chats.note(owner, |kept| kept.afresh_told = Some(record.request.clone()))?;
        }
        let chat = Chatted { events: &events, known, begins: session.begins };
        let mut opened = Box::pin(self.still_opened(account, record, &chat)).await?;
        let requests = record.requests();
        let mut sieve = Sieve::new(&kept.refused, breadth, &record.user, &requests);
        let sifted =
            sifting::sift(&mut sieve, (room, &mut facts.names), (&mut events, known, session.begins), &mut opened);
        let (suspects, stale) = sieve.ended();
        self.forget_refused(record, &stale)?;
        let opened: Vec<_> = opened.iter().map(Reading::shown).collect();
        let withheld = self.tables.assistants.get(owner)?.unwrap_or_default().withheld;
        let zone = record.zone.clone();
        let mut input = context::Input {
            me: &record.user,
            kind: Kind::Assistant { owner, instructions: &self.config().assistants.instructions },
            room: context::Room {
                name: None,
                topic: None,
                encrypted: true,
                readable_from: account.readable_from(room),
                time_zone: zone.as_deref(),
                time_zones: None,
                invited: &[],
            },
            events: &events,
            older: older || breadth.drops(),
            begin_is_fixed: breadth.drops(),
            names: &facts.names,
            requests: &requests,
            joined: &[],
            answered_meanwhile: &[],
            errands: &errands,
            notes: &[],
            pinned: context::Pinned::default(),
            replied_to: &[],
            opened: &opened,
            withheld: withheld.answers(),
            thread_root: None,
            session: sifted.start(),
            tokens_max: self.config().limits.context_tokens_max,
            file_limits: self.config().files(),
            files: None,
        };
        let files = self.files.fetch_files(account, room, context::files_wanted(&input)).await;
        input.files = Some(&files);
        let composed = context::compose(&input);
        let around = Around {
            files: context::files_around(&input),
            readable: Around::readable(events.iter()),
            begins: Some(sifted.begins.unwrap_or_else(|| record.request.clone())),
        };
        let config = self.config();
        let settings = &config.assistants;
        let models = self.models_of(settings.model.as_deref());
        Ok(Asking {
            composed,
            model: models[record.fallback.min(models.len() - 1)].clone(),
            effort: settings.effort.unwrap_or(config.claude.effort),
            suspects,
            models,
            probes: breadth.probes,
            around,
        })
    }
}
