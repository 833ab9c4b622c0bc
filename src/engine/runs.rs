//! Driving a run: presence, context, the model, and every message under the run's own transaction ids.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ruma::OwnedEventId;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError, Shared,
    ask::{Progress, Question, Reply},
    control::Order,
    coworkers::SEND_PAUSES,
    lanes,
    patience::Patience,
    presence,
    used::Used,
    work::Stage,
};
use crate::{
    appservice::health::{Condition, State},
    clock,
    core::{
        audit::RunKey,
        context::Composed,
        event::Place,
        prompt::Effort,
        run::{Answer, Effect, Fault, Input, Machine, Outcome, RunId, RunRecord, Step},
        time::Timestamp,
        trail, words,
    },
    matrix::{Account, MatrixError, account::File},
};

/// A request that waits longer than this is told its place (C11).
const QUEUE_WORD_AFTER: Duration = Duration::from_secs(15);

/// What one attempt at a run goes by.
struct Attempt<'a> {
    id: &'a RunId,
    accepted: Instant,
    progress: &'a watch::Sender<Progress>,
    leave: &'a lanes::Place,
}

/// A composed question.
pub(super) struct Asking<'a> {
    pub(super) composed: Composed,
    pub(super) model: &'a str,
    pub(super) effort: Effort,
}

impl Engine {
    /// Waits for its turn and runs to the end: the answer is sent, or nothing can be said any more.
    #[tracing::instrument(name = "run", skip_all, fields(run.id = id.as_str(), room.id = %record.room, user.id = %record.user))]
    pub(super) async fn run(self: &Shared, id: &RunId, mut record: RunRecord, place: lanes::Place, accepted: Instant) {
        let mut registered = self.running.register(id, &record);
        let mut used = Used::default();
        let sender = watch::Sender::new(Progress::default());
        let (waiting, told) = (record.clone(), OnceLock::new());
        let mut turn = std::pin::pin!(self.wait_for_turn(id, &waiting, place, &told));
        let mut leave = None;
        let mut patience = Patience::default();
        let ended = loop {
            let began = clock::now();
            let attempt = async {
                let leave = match &mut leave {
                    Some(leave) => leave,
                    none => none.insert((&mut turn).await),
                };
                record.status = record.status.take().or_else(|| told.get().cloned());
                // An attempt that was cut short may have left it parked.
                leave.unpark().await;
                let attempt = Attempt { id, accepted, progress: &sender, leave };
                Box::pin(self.run_once(&attempt, &mut record, &mut used)).await
            };
            let attempted = tokio::select! {
                biased;
                order = registered.next_order() => Err(order),
                ended = attempt => Ok(ended),
            };
            let so_far = sender.send_replace(Progress::default());
            used.add(&so_far);
            record.status = record.status.take().or_else(|| told.get().cloned());
            match attempted {
                Ok(Ok(ended)) => break ended,
                Ok(Err(error)) if error.is_passing() && patience.is_left(began, clock::now()) => {
                    tracing::warn!(%error, "a run waits for the homeserver");
                    let pause = patience.failures().saturating_sub(1).min(SEND_PAUSES.len() - 1);
                    tokio::time::sleep(SEND_PAUSES[pause]).await;
                }
                Ok(Err(EngineError::Refused(why))) => {
                    tracing::info!(%why, "a run ends: it may not write");
                    break (Outcome::Dropped, None);
                }
                Ok(Err(error)) if error.is_passing() => {
                    tracing::error!(%error, "a run is left for the next start: the homeserver stays away");
                    return;
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "a run cannot say anything any more");
                    break (Outcome::Dropped, None);
                }
                Err(Order::GoOn) => {}
                Err(Order::Restart(_)) => {
                    tracing::info!("the request was edited; the run begins anew");
                    self.close_approvals(id, &record).await;
                    record.answer = None;
                    record.work.begin_anew();
                }
                Err(Order::Drop) => break (Outcome::Dropped, None),
                Err(Order::TakeBack) => break (Outcome::Stopped, None),
                Err(Order::Stop) => break self.stop_run(id, &record, &so_far.text).await,
            }
        };
        // Calls that were cut short are steps too.
        record.work.stop();
        let ended = (trail::outcome_of(ended.0, record.work.steps()), ended.1);
        if registered.is_taken_back() {
            self.take_back_run(&record).await;
        } else {
            self.end_status(id, &record, ended.0, used.spent()).await;
        }
        self.close_approvals(id, &record).await;
        self.close_run(id, &record, ended, used).await;
    }

    /// Waits for a place; a request that waits long is told so (C11).
    async fn wait_for_turn(
        &self,
        id: &RunId,
        record: &RunRecord,
        mut in_line: lanes::Place,
        told: &OnceLock<OwnedEventId>,
    ) -> lanes::Place {
        tokio::select! {
            () = in_line.turn() => return in_line,
            () = tokio::time::sleep(QUEUE_WORD_AFTER) => {}
        }
        if record.status.is_none()
            && let Err(error) = self.tell_place(id, record.clone(), in_line.ahead() + 1, told).await
        {
            tracing::debug!(%error, "a waiting request cannot be told its place");
        }
        in_line.turn().await;
        in_line
    }

    /// Tells a request its place. A coworker's word is the status of its run from then on, so that there is one notice
    /// at the most (C9).
    async fn tell_place(
        &self,
        id: &RunId,
        mut waiting: RunRecord,
        place: usize,
        told: &OnceLock<OwnedEventId>,
    ) -> Result<(), EngineError> {
        let mut word = super::word(&words::queued(place), None);
        word.place = waiting.place.clone();
        let account = self.account_of(&waiting).await?;
        let step = if waiting.private { Step::Queued } else { Step::Status };
        self.act(&account, id, &mut waiting, Effect::Send(step, word)).await?;
        if let Some(status) = waiting.status {
            told.get_or_init(|| status);
        }
        Ok(())
    }

    /// The last word of a run that a person stopped.
    async fn stop_run(&self, id: &RunId, record: &RunRecord, so_far: &str) -> (Outcome, Option<OwnedEventId>) {
        let answer = Machine::new(record, clock::now()).stopped(if record.private { so_far } else { "" });
        let said = async {
            let account = self.account_of(record).await?;
            if record.streamed.is_some() {
                return self.say(&account, id, record, &answer).await;
            }
            if record.status.is_some() {
                // The status says it.
                return Ok((answer.outcome, None));
            }
            let event =
                account.send(self.destination(record)?.room(), &answer.message, id.transaction(Step::Stopped)).await?;
            self.note_posted(record, &event)?;
            Ok::<_, EngineError>((answer.outcome, Some(event)))
        };
        said.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "that a run was stopped cannot be said");
            (Outcome::Stopped, None)
        })
    }

    /// The request is gone: so is everything that was said of it.
    async fn take_back_run(&self, record: &RunRecord) {
        tracing::info!("the request was redacted; its run ends, and what it said is taken back");
        let taken = async {
            let account = self.account_of(record).await?;
            let noted = self.tables.threads.get(&(record.room.clone(), record.request.clone()))?;
            let noted = noted.map(|noted| noted.posted).unwrap_or_default();
            let ours = noted.into_iter().filter(|posted| posted.user == record.user).map(|posted| posted.event);
            for event in ours.chain(record.streamed.clone()) {
                super::take_back(&account, &record.room, &event).await?;
            }
            Ok::<_, EngineError>(())
        };
        if let Err(error) = taken.await {
            tracing::warn!(%error, "not everything that a run said can be taken back");
        }
    }

    async fn run_once(
        self: &Shared,
        attempt: &Attempt<'_>,
        record: &mut RunRecord,
        used: &mut Used,
    ) -> Result<(Outcome, Option<OwnedEventId>), EngineError> {
        let Attempt { id, accepted, .. } = *attempt;
        let account = self.account_of(record).await?;
        if let Some(answer) = record.answer.clone() {
            account.sync_since(accepted).await?;
            return self.say(&account, id, record, &answer).await;
        }
        let typing = CancellationToken::new();
        self.tasks.spawn(presence::show(account.clone(), record.clone(), accepted, typing.clone()));
        // Typing ends behind the answer, however the run ends; nobody waits for it.
        let _typing = typing.drop_guard();
        Box::pin(self.answer(&account, attempt, record, used)).await
    }

    pub(super) async fn account_of(&self, record: &RunRecord) -> Result<Arc<Account>, EngineError> {
        if record.private {
            return Ok(self.pool.passing(&self.assistant_persona(&record.asker)).await?);
        }
        let kept = self.pool.kept(&record.user);
        let gone = || MatrixError::NotJoined { user: record.user.to_string(), room: record.room.to_string() };
        Ok(kept.ok_or_else(gone)?)
    }

    async fn answer(
        self: &Shared,
        account: &Arc<Account>,
        attempt: &Attempt<'_>,
        record: &mut RunRecord,
        used: &mut Used,
    ) -> Result<(Outcome, Option<OwnedEventId>), EngineError> {
        let Attempt { id, accepted, progress, leave } = *attempt;
        // Where transactions brought everything, the sync comes beside the model's work; see `presence::show`.
        if record.private || !account.is_current(&record.room, &record.request) {
            account.sync_since(accepted).await?;
        }
        let (mut asking, tools) = if record.private {
            (Box::pin(self.compose_assistant(account, record)).await?, self.toolset_of_private_run(&record.user).await?)
        } else {
            let Some(coworker) = self.coworker(&record.user) else { return Ok((Outcome::Dropped, None)) };
            let asking = Box::pin(self.compose_coworker(account, coworker, record)).await?;
            (asking, self.toolset_of_run(coworker, &record.user).await?)
        };
        if asking.composed.left_out.request {
            tracing::info!("the request is gone; nothing is answered");
            return Ok((Outcome::Dropped, None));
        }
        let mut machine = Machine::new(record, clock::now());
        let reply = if let Some(fault) = self.over_budget(record)? {
            Err(fault)
        } else if let Some(why) = asking.composed.unreadable {
            Err(Fault::Unreadable(why))
        } else {
            if !record.private {
                used.read.clone_from(&asking.composed.read);
                let held = used.read.iter().filter_map(|id| account.held(&record.room, id));
                used.read_span = span(held.map(|read| read.event.sent_at));
            }
            let stage = Stage { account, id, tools: &tools, progress, leave };
            Box::pin(self.work(&stage, record, &mut machine, &mut asking, used)).await?
        };
        let input = match &reply {
            Ok((text, stop)) => {
                self.health.set(Condition::ClaudeKey, State::Ready);
                Input::Answered(text, *stop)
            }
            Err(fault) => {
                self.note_key(*fault);
                Input::Failed(*fault)
            }
        };
        let mut last = (Outcome::Dropped, None);
        for effect in machine.take(&input, clock::now()) {
            match effect {
                Effect::Finish(answer) => {
                    if !record.private {
                        record.answer = Some(answer.clone());
                        self.journal(id, record)?;
                    }
                    last = self.say(account, id, record, &answer).await?;
                }
                effect => self.act(account, id, record, effect).await?,
            }
        }
        Ok(last)
    }

    /// Asks the model, and does what its progress calls for while it writes.
    pub(super) async fn stream(
        &self,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        asking: &Asking<'_>,
    ) -> Result<Reply, EngineError> {
        let Stage { account, id, progress: sender, .. } = *stage;
        sender.send_replace(Progress::default());
        let mut progress = sender.subscribe();
        let question = Question {
            prompt: &asking.composed.prompt,
            model: asking.model,
            effort: asking.effort,
            user_tag: super::user_tag(&self.config.master, &record.asker),
        };
        let mut asked = std::pin::pin!(self.ask(&question, sender));
        loop {
            let ticked = tokio::select! {
                reply = &mut asked => return Ok(reply),
                changed = progress.changed() => { if changed.is_err() { std::future::pending::<()>().await; } false },
                () = until_due(machine) => true,
            };
            let so_far = progress.borrow_and_update().clone();
            let now = clock::now();
            let mut effects = Vec::new();
            if so_far.waiting_ms > 0 && so_far.text.is_empty() {
                effects.extend(machine.take(&Input::Waiting(so_far.waiting_ms), now));
            }
            let input = if ticked { Input::Tick(&so_far.text) } else { Input::Text(&so_far.text) };
            effects.extend(machine.take(&input, now));
            for effect in effects {
                self.act(account, id, record, effect).await?;
            }
        }
    }

    /// Does one effect before the end of a run; a streamed message is journaled as soon as it is there.
    pub(super) async fn act(
        &self,
        account: &Account,
        id: &RunId,
        record: &mut RunRecord,
        effect: Effect,
    ) -> Result<(), EngineError> {
        self.destination(record)?;
        match effect {
            Effect::Send(step, message) => {
                // The run is known on disk before any of it is seen: a process that finds it there knows that more may
                // have been sent than was noted.
                self.store.flush().await?;
                let _sending = self.running.sending(id).await;
                let event = account.send(self.destination(record)?.room(), &message, id.transaction(step)).await?;
                self.running.show(id, &event);
                self.note_posted(record, &event)?;
                match step {
                    Step::Answer => record.streamed = Some(event),
                    Step::Status => record.status = Some(event),
                    _ => return Ok(()),
                }
                self.journal(id, record)?;
            }
            Effect::Edit(step, message) => {
                let target = match step {
                    Step::Edit(n) => {
                        record.edits = n;
                        self.journal(id, record)?;
                        record.streamed.clone()
                    }
                    _ => record.status.clone(),
                };
                if let Some(target) = target {
                    let room = self.destination(record)?.room();
                    // A lost edit in between is made good by the next one.
                    if let Err(error) = account.edit(room, &target, &message, id.transaction(step)).await {
                        tracing::debug!(%error, "an edit of a streamed answer was not taken");
                    }
                }
            }
            Effect::Finish(_) => {}
        }
        Ok(())
    }

    /// Sends the last message of a run, and the file that it refers to.
    async fn say(
        &self,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        answer: &Answer,
    ) -> Result<(Outcome, Option<OwnedEventId>), EngineError> {
        let _sending = self.running.sending(id).await;
        let (room, message) = (self.destination(record)?.room(), &answer.message);
        let last_edit = id.transaction(Step::Edit(record.edits + 1));
        let event = if let Some(target) = &record.streamed {
            account.edit(room, target, message, last_edit).await?;
            target.clone()
        } else {
            let event = account.send(room, message, id.transaction(Step::Answer)).await?;
            if record.private && record.resumed {
                // The homeserver may have had this transaction before, with the beginning of the answer.
                account.edit(room, &event, message, last_edit).await?;
            }
            event
        };
        self.note_posted(record, &event)?;
        if let Some(markdown) = &answer.file {
            let place = file_place(&message.place, &event);
            let file = File {
                name: words::answer_file_name().to_owned(),
                media_type: mime::TEXT_PLAIN_UTF_8,
                bytes: markdown.clone().into_bytes(),
            };
            let file = account.send_file(room, file, &place, id.transaction(Step::File)).await?;
            self.note_posted(record, &file)?;
        }
        Ok((answer.outcome, Some(event)))
    }

    pub(super) fn journal(&self, id: &RunId, record: &RunRecord) -> Result<(), EngineError> {
        // What an assistant's tools were asked and gave is sealed under its owner's key; see `Tables::of`.
        Ok(self.tables.runs.put(&id.as_str().to_owned(), record)?)
    }

    /// The run leaves the journal and stays in the index, without content.
    async fn close_run(&self, id: &RunId, record: &RunRecord, ended: (Outcome, Option<OwnedEventId>), used: Used) {
        let spent = used.spent();
        let summary = self.summary(record, ended, used);
        let key: RunKey = (record.accepted_at, id.as_str().to_owned());
        let counted = self.count_spent(record, &spent).and_then(|()| self.tables.run_index.put(&key, &summary));
        let closed = counted.and_then(|()| self.tables.runs.remove(&key.1));
        let closed = match closed {
            // Durable at once: a process that is killed now must not ask the model again for what is answered.
            Ok(()) => self.store.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            tracing::error!(%error, "a run's end cannot be recorded; it is taken up again at the next start");
        }
        self.metrics.run_ended(&summary);
        tracing::info!(
            outcome = ?summary.outcome, tokens.input = summary.input_tokens, tokens.output = summary.output_tokens,
            duration_ms = summary.ended_at.ms_since(summary.accepted_at), "a run ended"
        );
        if summary.line_due {
            self.audit.tell(&key);
        }
    }

    fn note_key(&self, fault: Fault) {
        if matches!(fault, Fault::KeyMissing | Fault::KeyRefused) {
            let reason = "the Messages API refuses the key, or none is set; set claude.api_key";
            self.health.set(Condition::ClaudeKey, State::Waiting(reason.to_owned()));
        }
    }
}

/// Waits until the machine's next tick is due; for ever, where there is none.
pub(super) async fn until_due(machine: &Machine) {
    match machine.next_at() {
        Some(at) => tokio::time::sleep(Duration::from_millis(at.ms_since(clock::now()))).await,
        None => std::future::pending().await,
    }
}

/// Returns the first and the last of some moments.
fn span(times: impl Iterator<Item = Timestamp>) -> Option<(Timestamp, Timestamp)> {
    times.fold(None, |span, at| {
        Some(span.map_or((at, at), |(first, last): (Timestamp, _)| (first.min(at), last.max(at))))
    })
}

/// The file goes where the message went; on a timeline, as a reply to it.
fn file_place(place: &Place, message: &ruma::EventId) -> Place {
    match place {
        Place::Thread { root, .. } => Place::Thread { root: root.clone(), latest: message.to_owned() },
        Place::Timeline | Place::Reply { .. } => Place::Reply { to: message.to_owned() },
    }
}
