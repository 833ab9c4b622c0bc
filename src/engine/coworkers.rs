//! A coworker's runs: what asks for one, and what it reads (C5 to C9).

use ruma::{EventId, OwnedEventId, RoomId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, Shared,
    ask::{Around, Asking},
    commands,
    readable::Reader,
};
use crate::{
    clock,
    config::{Coworker, ReplyIn},
    core::{
        address::Asked,
        admission::{self, Admission},
        beginning::{Habit, place_of_answer},
        command::{CoworkerCommand, CoworkerRequest},
        context::{self, Kind, PINNED_MAX, Pinned},
        event::{EventKind, Outgoing, Place, RoomEvent},
        refused::{Breadth, Part, Sieve},
        run::{RunId, RunRecord},
        sealed::Carriage,
        voice::{Voice, Waiting},
        words,
    },
    matrix::Account,
};

/// Events of the room from which a prompt is composed; the core drops those beyond the budget.
const HISTORY_EVENTS: usize = 300;

impl Engine {
    /// Records a run for a coworker that was asked and starts it in its own task, or answers a command.
    pub(super) async fn begin_coworker(
        self: Shared,
        event: &RoomEvent,
        came: Carriage,
        asked: &Asked,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&asked.user) else { return Ok(()) };
        let Some(coworker) = self.coworker(&asked.user) else { return Ok(()) };
        if self.wards.was_taken_by(&event.room, &event.id, &asked.user)? {
            return Ok(());
        }
        let (request, message) = match &event.kind {
            EventKind::Message(message) => (event.id.clone(), message),
            EventKind::Edit { target, new, .. } => (target.clone(), new),
            _ => return Ok(()),
        };
        let voice = self.voices.voice_in(&account, &event.room).await?;
        if voice != Voice::Heard {
            let waiting = Waiting { request: event.id.clone(), user: asked.user.clone(), since: clock::now() };
            self.voices.let_wait(&event.room, waiting)?;
            Box::pin(self.voices.tell_unheard(&account, &event.room, &event.sender, voice)).await;
            return Ok(());
        }
        // Homeservers allow no thread on a message that relates to another.
        let habit = if message.relates { Habit::Reply } else { habit_of(&coworker) };
        let place = place_of(&account, event, &request, habit);
        let id = RunId::of(&request, &asked.user);
        let asks = admission::Request {
            user: &asked.user,
            command: commands::command_of(message, &coworker, &asked.user),
            known: self.tables.runs.get(&id.as_str().to_owned())?.is_some(),
        };
        let muted = self.tables.rooms.get(&event.room)?.unwrap_or_default().muted;
        match admission::admit(&asks, &muted, || self.pacing.gate(&event.sender, Some(&event.room)))? {
            // A bridge's puppet may ask, but not give commands.
            Admission::Command(_) if !self.namespace().who(&event.sender).is_person() => return Ok(()),
            Admission::Command(CoworkerRequest::Command(CoworkerCommand::Verify)) => {
                return Box::pin(self.trust.verify_on_request(&account, &event.sender, &event.room, place, event))
                    .await;
            }
            Admission::Command(command) => {
                let text = self.obey(&coworker, event, command, &asked.user).await?;
                return self.answer_command(&account, event, &text, place).await;
            }
            Admission::Stopped { whose, until, .. } => {
                return self.pacing.tell_stopped(&account, event, (whose, until)).await;
            }
            Admission::Known => return Ok(()),
            Admission::Muted => {
                tracing::debug!(room.id = %event.room, user.id = %asked.user, "asked while muted");
                return Ok(());
            }
            Admission::Run => {}
        }
        if self.was_answered_before(&account, event).await? {
            tracing::info!(room.id = %event.room, event.id = %event.id, "a request has its answer already");
            return Ok(());
        }
        let record = RunRecord {
            asked_at: event.sent_at,
            late: asked.late,
            came,
            zone: self.zones.zone_name_of(&event.sender).await,
            gathers: message.is_file_alone(),
            live: message.live,
            ..RunRecord::new(&asked.user, &event.room, &request, &event.sender, place, clock::now())
        };
        self.start_asked_run(&account, record, Some(accepted)).await
    }

    /// Composes what a coworker reads and asks with (C7).
    pub(super) async fn compose_coworker<'a>(
        &'a self,
        account: &Account,
        coworker: &'a Coworker,
        record: &RunRecord,
        breadth: &Breadth,
    ) -> Result<Asking, EngineError> {
        let room = &record.room;
        let mut facts = account.facts(room).await?;
        let mut events = account.history(room, HISTORY_EVENTS).await?;
        let reader = self.readable.reader(account, coworker, record, &facts).await?;
        let kept = self.readable.keep_readable_window(reader.as_ref(), &mut events, HISTORY_EVENTS).await?;
        let root = record.place.thread_root().map(ToOwned::to_owned);
        let mut errands = self.errands.errands_of(record, root.as_ref(), &events)?;
        events.retain(|event| errands.contains_key(&event.id) || !self.is_our_notice(event));
        let requests = record.requests();
        // A notice of ours that was sent a moment ago is not back yet.
        if let Some(notice) =
            self.errands.new_notice_of(record)?.filter(|new| events.iter().all(|event| event.id != new.id))
        {
            events.push(notice);
        }
        for needed in requests.iter().chain(&root) {
            self.make_sure_of(account, room, needed, reader.as_ref(), &mut events).await?;
        }
        let joined = self.joined_to(record, root.as_ref())?;
        let mut notes = self.notes.of(room)?;
        let mut fetched = account.pinned(room, &facts.pinned, PINNED_MAX).await?;
        fetched.retain(|event| !self.is_our_card(event));
        let mut fetched = self.readable.keep_readable_ones(reader.as_ref(), fetched).await?;
        let mut replied_to = self.replied_to(account, record, &events).await?;
        replied_to.retain(|event| !self.is_our_card(event));
        let mut replied_to = self.readable.keep_readable_ones(reader.as_ref(), replied_to).await?;
        let refused = self.answerer(record).refused()?;
        let mut sieve = Sieve::new(&refused, breadth, &record.user, &requests);
        sieve.timeline(room, &mut events, &words::refused());
        sieve.beside(room, &mut fetched);
        sieve.pointed_at(room, &mut replied_to);
        sieve.text(Part::name_of(room), &mut facts.name);
        sieve.text(Part::topic_of(room), &mut facts.topic);
        sieve.notes(room, &mut notes);
        sieve.names(room, &mut facts.names);
        errands.retain(|id, _| !sieve.holds_back(id));
        let (suspects, stale) = sieve.ended();
        self.forget_refused(record, &stale)?;
        let invited: Vec<_> = facts.invited.iter().cloned().collect();
        let zones = self.zones.zones_of_askers(record)?;
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
                // Everybody there reads the answer.
                time_zone: None,
                time_zones: Some(&zones),
                invited: &invited,
            },
            events: &events,
            older: kept.older || breadth.drops(),
            // With another beginning, what is searched for might be missing by chance, and pass for innocent.
            begin_is_fixed: kept.begin_is_fixed || breadth.drops(),
            names: &facts.names,
            requests: &requests,
            joined: &joined,
            answered_meanwhile: &[],
            errands: &errands,
            notes: &notes,
            pinned: Pinned { ids: &facts.pinned, fetched: &fetched },
            replied_to: &replied_to,
            opened: &[],
            withheld: &[],
            thread_root: root.as_deref(),
            session: None,
            tokens_max: self.config().limits.context_tokens_max,
            file_limits: self.config().files(),
            files: None,
        };
        let files = self.files.fetch_files(account, room, context::files_wanted(&input)).await;
        input.files = Some(&files);
        let composed = context::compose(&input);
        let around = Around {
            files: context::files_around(&input),
            readable: Around::readable(events.iter().chain(&replied_to)),
            begins: None,
        };
        let models = self.models_of(coworker.model.as_deref());
        Ok(Asking {
            composed,
            model: models[record.fallback.min(models.len() - 1)].clone(),
            effort: coworker.effort.unwrap_or(self.config().claude.effort),
            suspects,
            models,
            probes: breadth.probes,
            around,
        })
    }

    /// Returns the timeline's files that belong to a run's thread: those of the request and of the thread's root.
    fn joined_to(&self, record: &RunRecord, root: Option<&OwnedEventId>) -> Result<Vec<OwnedEventId>, EngineError> {
        let mut joined = record.joined.clone();
        for event in std::iter::once(&record.request).chain(root) {
            let kept = self.tables.threads.get(&(record.room.clone(), event.clone()))?;
            joined.extend(kept.into_iter().flat_map(|kept| kept.joined));
        }
        Ok(joined)
    }

    /// Inserts an event outside the window (an old thread's root), and its edit, in order of time.
    async fn make_sure_of(
        &self,
        account: &Account,
        room: &RoomId,
        id: &EventId,
        reader: Option<&Reader<'_>>,
        events: &mut Vec<RoomEvent>,
    ) -> Result<(), EngineError> {
        if events.iter().any(|event| event.id == id) {
            return Ok(());
        }
        let found = match account.held(room, id) {
            Some(held) => vec![held.event],
            None => match account.fetch_with_edit(room, id).await {
                Err(error) if error.is_passing() => return Err(error.into()),
                fetched => fetched.unwrap_or_default(),
            },
        };
        for event in self.readable.keep_readable_ones(reader, found).await? {
            let at = events.partition_point(|known| known.sent_at <= event.sent_at);
            events.insert(at, event);
        }
        Ok(())
    }

    /// Fetches the message that the request replies to, if the window does not hold it.
    async fn replied_to(
        &self,
        account: &Account,
        record: &RunRecord,
        events: &[RoomEvent],
    ) -> Result<Vec<RoomEvent>, EngineError> {
        let target = events.iter().find_map(|event| match &event.kind {
            EventKind::Message(message) | EventKind::Undecryptable(Some(message)) if event.id == record.request => {
                message.reply_to.as_deref()
            }
            _ => None,
        });
        let Some(target) = target.filter(|target| !events.iter().any(|event| event.id == *target)) else {
            return Ok(Vec::new());
        };
        match account.fetch_with_edit(&record.room, target).await {
            Err(error) if error.is_passing() => Err(error.into()),
            fetched => Ok(fetched.unwrap_or_default()),
        }
    }

    pub(super) async fn answer_command(
        &self,
        account: &Account,
        event: &RoomEvent,
        text: &str,
        place: Place,
    ) -> Result<(), EngineError> {
        let message = Outgoing { place, ..super::word(text, Some(&event.sender)) };
        let txn = super::word_transaction("command", event.id.as_str(), account.user());
        account.sync().await?;
        account.send(&event.room, &message, txn).await?;
        Ok(())
    }
}

/// Returns the answer's place: the thread where it was asked, else as the coworker answers.
pub(super) fn place_of(account: &Account, event: &RoomEvent, request: &EventId, habit: Habit) -> Place {
    let thread = event.thread_root();
    let latest = thread.and_then(|root| account.latest_in_thread(&event.room, root));
    place_of_answer(request, thread, latest, habit)
}

/// Returns where a coworker answers what stands in no thread.
pub(super) fn habit_of(coworker: &Coworker) -> Habit {
    match coworker.reply_in {
        ReplyIn::Thread => Habit::Thread,
        ReplyIn::Timeline => Habit::Reply,
    }
}
