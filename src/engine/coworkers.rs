//! A coworker's run: recorded, then answered in its place (C5 to C9).

use std::{sync::Arc, time::Duration};

use ruma::{EventId, OwnedEventId, RoomId, UserId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, Shared,
    control::{Order, Which},
    events::thread_root,
    lanes::Lane,
    records::RoomRecord,
    runs::Asking,
};
use crate::{
    clock,
    config::{Coworker, ReplyIn},
    core::{
        address::{Asked, CoworkerHere},
        breaker::{BreakerLimits, Gate},
        command::{CoworkerCommand, CoworkerRequest, coworker_request},
        context::{self, Kind},
        event::{EventKind, Message, MessageKind, Outgoing, OutgoingKind, Place, RoomEvent},
        render,
        run::{RunId, RunRecord},
        words,
    },
    matrix::Account,
};

/// Events of the room that a prompt is composed from; what does not fit the budget is dropped by the core.
const HISTORY_EVENTS: usize = 300;

impl Engine {
    /// Records a run for a coworker that was asked, or answers its command, and lets the run go on by itself.
    pub(super) async fn begin_coworker(
        self: Shared,
        event: &RoomEvent,
        asked: &Asked,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&asked.user) else { return Ok(()) };
        let Some(coworker) = self.coworker(&asked.user) else { return Ok(()) };
        let (request, message) = match &event.kind {
            EventKind::Message(message) => (event.id.clone(), message),
            EventKind::Edit { target, new, .. } => (target.clone(), new),
            _ => return Ok(()),
        };
        let place = place_of(&account, event, &request, coworker.reply_in);
        if let Some(command) = command_of(message, coworker, &asked.user) {
            return self.answer_command(&account, coworker, event, command, place).await;
        }
        if self.tables.rooms.get(&event.room)?.is_some_and(|room| room.muted.contains(&asked.user)) {
            tracing::debug!(room.id = %event.room, user.id = %asked.user, "asked while muted");
            return Ok(());
        }
        if let Gate::Stopped { say, .. } = self.gate(&event.room)? {
            return self.tell_stopped(&account, event, say).await;
        }
        let record = RunRecord {
            asked_at: event.sent_at,
            late: asked.late,
            ..RunRecord::new(&asked.user, &event.room, &request, &event.sender, place, clock::now())
        };
        let id = RunId::of(&request, &asked.user);
        if !self.tables.runs.insert_new(&id.as_str().to_owned(), &record)? {
            return Ok(());
        }
        self.start_run(id, record, Some(accepted));
        Ok(())
    }

    /// Takes the run's place in its lane at once, so that requests keep their order, and spawns it.
    pub(super) fn start_run(self: Shared, id: RunId, record: RunRecord, accepted: Option<Instant>) {
        let lane = Lane {
            room: record.room.clone(),
            thread: record.place.thread_root().map(ToOwned::to_owned),
            user: record.user.clone(),
        };
        let place = self.lanes.place(lane);
        let engine = self.clone();
        self.tasks.spawn(async move {
            let stop = engine.stop.clone();
            // What is cut off here is journaled, and goes on at the next start.
            tokio::select! {
                () = stop.cancelled() => {}
                () = Box::pin(engine.run(&id, record, place, accepted.unwrap_or_else(Instant::now))) => {}
            }
        });
    }

    /// Composes what a coworker reads and asks with (C7).
    pub(super) async fn compose_coworker<'a>(
        &'a self,
        account: &Account,
        coworker: &'a Coworker,
        record: &RunRecord,
    ) -> Result<Asking<'a>, EngineError> {
        let room = &record.room;
        let facts = account.facts(room).await?;
        let mut events = account.history(room, HISTORY_EVENTS).await?;
        let older = events.len() >= HISTORY_EVENTS;
        events.retain(|event| !self.is_our_notice(event));
        let root = record.place.thread_root().map(ToOwned::to_owned);
        for needed in [Some(&record.request), root.as_ref()].into_iter().flatten() {
            self.make_sure_of(account, room, needed, &mut events).await?;
        }
        let mut input = context::Input {
            me: &record.user,
            kind: Kind::Coworker {
                name: &coworker.name,
                purpose: &coworker.purpose,
                instructions: &coworker.instructions,
            },
            room: context::Room {
                name: facts.name.as_deref(),
                topic: facts.topic.as_deref(),
                encrypted: facts.encrypted,
                readable_from: account.readable_from(room),
            },
            events: &events,
            older,
            names: &facts.names,
            requests: std::slice::from_ref(&record.request),
            answered_meanwhile: &[],
            thread_root: root.as_deref(),
            session: None,
            tokens_max: self.config.limits.context_tokens_max,
            file_limits: self.config.limits.files(),
            files: None,
        };
        let files = self.fetch_files(account, context::files_wanted(&input)).await;
        input.files = Some(&files);
        let composed = context::compose(&input);
        Ok(Asking {
            composed,
            model: coworker.model.as_deref().unwrap_or(&self.config.claude.model),
            effort: coworker.effort.unwrap_or(self.config.claude.effort),
        })
    }

    /// Puts an event that the window does not hold (an old thread's root) in its place by time.
    async fn make_sure_of(
        &self,
        account: &Account,
        room: &RoomId,
        id: &EventId,
        events: &mut Vec<RoomEvent>,
    ) -> Result<(), EngineError> {
        if events.iter().any(|event| event.id == id) {
            return Ok(());
        }
        match account.event(room, id).await {
            Ok(Some(read)) => {
                let at = events.partition_point(|event| event.sent_at <= read.event.sent_at);
                events.insert(at, read.event);
                Ok(())
            }
            Err(error) if error.is_passing() => Err(error.into()),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// First words, command answers and the like say nothing of the room.
    fn is_our_notice(&self, event: &RoomEvent) -> bool {
        let notice = matches!(&event.kind, EventKind::Message(message) if message.kind == MessageKind::Notice);
        notice && self.namespace.is_ours(&event.sender)
    }

    fn mute(&self, room: &RoomId, user: &UserId, muted: bool) -> Result<(), EngineError> {
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            if muted {
                record.muted.insert(user.to_owned());
            } else {
                record.muted.remove(user);
            }
            Some(record)
        })?;
        Ok(())
    }

    fn gate(&self, room: &RoomId) -> Result<Gate, EngineError> {
        let mut gate = Gate::Open;
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            gate = record.breaker.begin_run(clock::now(), &BreakerLimits::default());
            Some(record)
        })?;
        Ok(gate)
    }

    async fn tell_stopped(&self, account: &Account, event: &RoomEvent, say: bool) -> Result<(), EngineError> {
        tracing::warn!(room.id = %event.room, "the breaker stopped runs in a room that asks too fast");
        if say {
            let txn = super::word_transaction("breaker", event.id.as_str(), account.user());
            account.send(&event.room, &super::word(&words::breaker(), None), txn).await?;
        }
        Ok(())
    }

    async fn answer_command(
        &self,
        account: &Account,
        coworker: &Coworker,
        event: &RoomEvent,
        command: CoworkerCommand,
        place: Place,
    ) -> Result<(), EngineError> {
        let text = match command {
            CoworkerCommand::Help => words::coworker_help(&coworker.id.0),
            CoworkerCommand::Purpose => words::purpose(&coworker.purpose),
            CoworkerCommand::Tools => words::no_tools(),
            CoworkerCommand::Status => words::status(self.running.count(&event.room, account.user())),
            CoworkerCommand::Stop => {
                let which = Which::Of(account.user(), thread_root(event));
                self.running.order(&event.room, which, &Order::Stop);
                words::stopped()
            }
            CoworkerCommand::Mute => {
                self.mute(&event.room, account.user(), true)?;
                words::muted(&coworker.id.0)
            }
            CoworkerCommand::Unmute => {
                self.mute(&event.room, account.user(), false)?;
                words::unmuted()
            }
            _ => words::unknown_command(),
        };
        let rendered = render::render(&text);
        let message = Outgoing {
            kind: OutgoingKind::Notice,
            body: rendered.body,
            html: rendered.html,
            mentions: std::iter::once(event.sender.clone()).collect(),
            place,
        };
        let txn = super::word_transaction("command", event.id.as_str(), account.user());
        account.sync().await?;
        account.send(&event.room, &message, txn).await?;
        Ok(())
    }
}

fn command_of(message: &Message, coworker: &Coworker, user: &ruma::UserId) -> Option<CoworkerCommand> {
    let display_name = format!("{} · coworker", coworker.name);
    let here = CoworkerHere { user, id: &coworker.id.0, name: &coworker.name, display_name: Some(&display_name) };
    match coworker_request(message, &here) {
        CoworkerRequest::Command(command) => Some(command),
        CoworkerRequest::Prompt(_) => None,
    }
}

/// Where the answer goes (C9): into the thread where it was asked, else a thread on the request, or the timeline.
fn place_of(account: &Arc<Account>, event: &RoomEvent, request: &OwnedEventId, reply_in: ReplyIn) -> Place {
    match (thread_root(event), reply_in) {
        (Some(root), _) => {
            let latest = account.latest_in_thread(&event.room, root).unwrap_or_else(|| request.clone());
            Place::Thread { root: root.to_owned(), latest }
        }
        (None, ReplyIn::Thread) => Place::Thread { root: request.clone(), latest: request.clone() },
        (None, ReplyIn::Timeline) => Place::Reply { to: request.clone() },
    }
}

/// How long a homeserver that is away is waited for between two tries to say something.
pub(super) const SEND_PAUSES: [Duration; 6] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];
