//! Driving a run: presence, context, the model, and every message under the run's own transaction ids.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::OwnedEventId;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

mod ending;
mod saying;

pub(super) use self::saying::{answer_file, file_place};
use self::{ending::Left, saying::Ended};
use super::{
    Engine, EngineError, Shared,
    ask::{Progress, Question, Reply},
    assistants::Privacy,
    budget::Hold,
    caught::caught,
    control::{Nearness, Order},
    events::sync_beside,
    lanes,
    patience::Patience,
    presence,
    under_way::UnderWay,
    used::Used,
    work::Stage,
};
use crate::{
    clock,
    core::{
        context::Composed,
        destination::Refused,
        prompt::Effort,
        refused::Breadth,
        run::{Effect, Fault, Input, Machine, Outcome, RunId, RunRecord, Step},
        sealed::Carriage,
        time::Timestamp,
        trail, words,
    },
    matrix::{Account, MatrixError},
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

/// What follows an attempt.
enum Then {
    /// Another.
    Again,
    /// The end.
    End(Ended),
    /// The end, of which the asker learns nothing in the room.
    EndUnheard,
}

/// Whether a waiting request was told its place, and by which event.
#[derive(Default)]
struct Told(Mutex<(bool, Option<OwnedEventId>)>);

impl Told {
    fn begin(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
    }

    fn know(&self, event: OwnedEventId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(event);
    }

    fn note(&self, record: &mut RunRecord) {
        let (begun, event) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.status_begun |= begun;
        record.status = record.status.take().or_else(|| event.clone());
    }
}

/// A composed question.
pub(super) struct Asking<'a> {
    pub(super) composed: Composed,
    pub(super) model: &'a str,
    pub(super) effort: Effort,
    /// What may be to blame where the request is refused with it (C26).
    pub(super) blamed: Vec<OwnedEventId>,
}

impl Engine {
    /// Waits for its turn and runs to the end: the answer is sent, or nothing can be said any more.
    #[tracing::instrument(name = "run", skip_all, fields(run.id = id.as_str(), room.id = %record.room, user.id = %record.user))]
    pub(super) async fn run(self: &Shared, id: &RunId, mut record: RunRecord, place: lanes::Place, accepted: Instant) {
        let mut registered = self.running.register(id, &record);
        let mut used = Used::default();
        let sender = watch::Sender::new(Progress::default());
        let (waiting, told) = (record.clone(), Told::default());
        // It may be telling the request's place, under the locks of a sending, while something else is done.
        let mut turn = UnderWay::new();
        turn.push(self.wait_for_turn(id, &waiting, place, &told));
        let (mut leave, mut accepted) = (None, accepted);
        let mut patience = Patience::default();
        let (ended, unheard) = loop {
            let began = clock::now();
            let attempt = async {
                turn.beside(self.running.until_quiet(id)).await;
                let leave = match &mut leave {
                    Some(leave) => leave,
                    none => none.insert(turn.next().await.expect("each run has its turn")),
                };
                told.note(&mut record);
                self.wait_for_the_homeserver(leave, &mut patience).await;
                // An attempt that was cut short may have left it parked.
                leave.unpark().await;
                let attempt = Attempt { id, accepted, progress: &sender, leave };
                caught(Box::pin(self.run_once(&attempt, &mut record, &mut used))).await
            };
            let attempted = tokio::select! {
                biased;
                order = registered.next_order() => Err(order),
                ended = attempt => Ok(ended),
            };
            let so_far = sender.send_replace(Progress::default());
            used.add(&so_far);
            told.note(&mut record);
            let then = match attempted {
                Ok(Ok(ended)) => Then::End(ended),
                Ok(Err(error)) => {
                    let doubted = turn.beside(self.is_doubted(&record, &error, &mut patience)).await;
                    self.after_failure(id, &mut record, error, (&mut patience, doubted), began)
                }
                Err(order) => {
                    // What the order came with is in the room: a sync from before it does not do any more.
                    accepted = Instant::now();
                    turn.beside(Box::pin(self.obey_order(id, &mut record, order, &so_far.text))).await
                }
            };
            match then {
                Then::End(ended) => break (ended, false),
                Then::EndUnheard => break ((Outcome::Dropped, None), true),
                Then::Again => self.running.enter(id, Nearness::Far),
            }
        };
        drop(turn);
        told.note(&mut record);
        self.running.enter(id, Nearness::Ending);
        // Calls that were cut short are steps too.
        record.work.stop();
        let ended = (trail::outcome_of(ended.0, record.work.steps()), ended.1);
        let is_in = || self.pool.opened(&record.user).is_some_and(|account| account.is_in(&record.room));
        let left = Left { taken_back: registered.is_taken_back(), unheard, keeps_answer: unheard && is_in() };
        Box::pin(self.end_run(id, &record, ended, used, left)).await;
    }

    /// Carries out an order that reached a run.
    async fn obey_order(self: &Shared, id: &RunId, record: &mut RunRecord, order: Order, so_far: &str) -> Then {
        match order {
            Order::GoOn => Then::Again,
            Order::Restart(_) => {
                tracing::info!("the request was edited or added to; the run begins anew");
                self.close_cards(id, record);
                record.begin_anew();
                let (restarts, editor) = self.running.edited(id);
                record.restarts = restarts;
                record.joined = self.running.joined(id);
                record.payer = editor.or(record.payer.take());
                Then::Again
            }
            Order::Drop => Then::End((Outcome::Dropped, None)),
            Order::TakeBack => Then::End((Outcome::Stopped, None)),
            Order::Stop => Then::End(self.stop_run(id, record, so_far).await),
        }
    }

    /// Whether an attempt failed by a refusal that nothing known speaks for, and that may still pass.
    async fn is_doubted(self: &Shared, record: &RunRecord, error: &EngineError, patience: &mut Patience) -> bool {
        let EngineError::Matrix(error) = error else { return false };
        if !error.is_refusal() || !patience.doubts(clock::now()) {
            return false;
        }
        match self.account_of(record).await {
            Ok(account) => Box::pin(self.doubts(&account, &record.room, error)).await,
            Err(error) => error.is_passing() || error.is_refusal(),
        }
    }

    /// Says what is done about an attempt that failed. What the model has said is kept, and sent when it can be.
    fn after_failure(
        &self,
        id: &RunId,
        record: &mut RunRecord,
        error: EngineError,
        (patience, doubted): (&mut Patience, bool),
        began: Timestamp,
    ) -> Then {
        let now = clock::now();
        // As after a restart, more may be in the room than was noted.
        record.resumed = true;
        record.under_way = false;
        if let Err(error) = self.journal(id, record) {
            tracing::error!(%error, "a run cannot be journaled");
        }
        match error {
            error if (error.is_passing() || doubted) && patience.is_left(began, now, error.retry_after()) => {
                tracing::warn!(%error, "a run waits for the homeserver");
                let deadline_ms = u64::from(self.config.limits.deadline_minutes) * 60_000;
                record.late |= patience.waited_ms(now) > deadline_ms;
                Then::Again
            }
            EngineError::Refused(why) => {
                tracing::info!(%why, "a run ends: it may not write");
                Then::End((Outcome::Dropped, None))
            }
            EngineError::Matrix(error) if error.is_forbidden() => {
                let is_in = self.pool.opened(&record.user).is_some_and(|account| account.is_in(&record.room));
                tracing::info!(%error, is_in, "a run ends: the room does not let it say anything");
                // Who was taken out of the room before there was an answer says nothing about it later (C10).
                if is_in || record.answer.is_some() { Then::EndUnheard } else { Then::End((Outcome::Dropped, None)) }
            }
            error if error.is_passing() || record.gave_up => {
                tracing::error!(%error, "a run cannot say anything any more");
                Then::EndUnheard
            }
            error => {
                tracing::error!(%error, "a run failed; its asker is told");
                record.give_up(Fault::Internal, now);
                Then::Again
            }
        }
    }

    /// Waits where an attempt has failed; meanwhile others may have the places in the room and over all.
    async fn wait_for_the_homeserver(&self, leave: &lanes::Place, patience: &mut Patience) {
        if let Some(pause) = patience.take_pause() {
            leave.park();
            self.homeserver.until_back_within(pause).await;
        }
    }

    /// Waits for a place; a request that waits long is told so (C11).
    async fn wait_for_turn(
        &self,
        id: &RunId,
        record: &RunRecord,
        mut in_line: lanes::Place,
        told: &Told,
    ) -> lanes::Place {
        tokio::select! {
            () = in_line.turn() => return in_line,
            () = tokio::time::sleep(QUEUE_WORD_AFTER) => {}
        }
        if !record.has_status()
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
        told: &Told,
    ) -> Result<(), EngineError> {
        let mut word = super::word(&words::queued(place), None);
        word.place = waiting.place.clone();
        let account = self.account_of(&waiting).await?;
        let step = if waiting.private { Step::Queued } else { Step::Status };
        if step == Step::Status {
            told.begin();
        }
        self.act(&account, id, &mut waiting, Effect::Send(step, word)).await?;
        if let Some(status) = waiting.status {
            told.know(status);
        }
        Ok(())
    }

    async fn run_once(
        self: &Shared,
        attempt: &Attempt<'_>,
        record: &mut RunRecord,
        used: &mut Used,
    ) -> Result<Ended, EngineError> {
        let Attempt { id, accepted, .. } = *attempt;
        let account = self.account_of(record).await?;
        if record.came == Carriage::Encrypted {
            // Also where our memory of the room was lost since.
            account.note_encrypted(&record.room);
        }
        if record.resumed {
            self.take_missed_orders(&account, record).await;
            // An order that was found goes first.
            tokio::task::yield_now().await;
        }
        if record.is_cut_off_for_good() {
            tracing::error!(crashes = record.crashes, "a run that was under way in several crashes is given up");
            record.give_up(Fault::CutOff, clock::now());
        }
        if let Some(answer) = record.answer.clone() {
            self.running.enter(id, Nearness::Ending);
            account.sync_since(accepted).await?;
            if record.private && self.attend(&account, &record.asker, &record.room).await? == Privacy::Lost {
                return Err(Refused::Silent.into());
            }
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
        match self.pool.kept(&record.user) {
            Some(account) => Ok(account),
            // It is being set up, or out of order: its runs wait for it.
            None if self.coworker(&record.user).is_some() => {
                let cause = format!("{} is not set up yet", record.user);
                Err(MatrixError::Unreachable { url: self.config.homeserver.url.to_string(), cause }.into())
            }
            None => Err(MatrixError::NotJoined { user: record.user.to_string(), room: record.room.to_string() }.into()),
        }
    }

    async fn answer(
        self: &Shared,
        account: &Arc<Account>,
        attempt: &Attempt<'_>,
        record: &mut RunRecord,
        used: &mut Used,
    ) -> Result<Ended, EngineError> {
        let Attempt { id, accepted, progress, leave } = *attempt;
        // Where transactions brought everything, the sync comes beside the model's work; see `presence::show`. Nothing is
        // encrypted before it has ended.
        if record.private || !account.is_current(&record.room, &record.request) {
            account.sync_since(accepted).await?;
        } else if account.is_sealed(&record.room) {
            self.tasks.spawn(sync_beside(account.clone(), accepted));
        }
        self.make_sure_it_is_heard(account, &record.room).await?;
        if record.work.is_empty() {
            // What is composed for the first time may be what brings the process down.
            record.enter();
            self.journal(id, record)?;
        }
        let store = self.store.clone();
        let noted = self.tasks.spawn(async move { store.flush().await });
        let composed = Box::pin(self.compose_for(account, record, Breadth::Whole)).await?;
        let Some((mut asking, tools)) = composed else { return Ok((Outcome::Dropped, None)) };
        if asking.composed.left_out.request {
            tracing::info!("the request is gone; nothing is answered");
            return Ok((Outcome::Dropped, None));
        }
        let mut machine = Machine::new(record, clock::now());
        let reply = if let Some(why) = asking.composed.unreadable {
            Err(Fault::Unreadable(why))
        } else {
            if !record.private {
                used.read.clone_from(&asking.composed.read);
                let held = used.read.iter().filter_map(|id| account.held(&record.room, id));
                used.read_span = span(held.map(|read| read.event.sent_at));
            }
            // A crash from here on is counted.
            noted.await.unwrap_or(Ok(()))?;
            record.under_way = false;
            let stage = Stage { account, id, tools: &tools, progress, leave };
            Box::pin(self.work_unsilenced(&stage, record, &mut machine, &mut asking, used)).await?
        };
        let input = match &reply {
            Err(Fault::OverBudget(full)) if !self.is_budget_word_due(record, full)? => {
                return Ok((Outcome::Dropped, None));
            }
            Ok((text, stop)) => Input::Answered(text, *stop),
            Err(fault) => {
                used.fault = Some(*fault);
                Input::Failed(*fault)
            }
        };
        let mut last = (Outcome::Dropped, None);
        for effect in machine.take(&input, clock::now()) {
            match effect {
                Effect::Finish(answer) => {
                    self.running.enter(id, Nearness::Ending);
                    // Whole: from here on it is sent, and never asked for again.
                    record.answer = Some(answer.clone());
                    last = self.say(account, id, record, &answer).await?;
                }
                effect => self.act(account, id, record, effect).await?,
            }
        }
        Ok(last)
    }

    /// Asks the model, and does what its progress calls for while it writes.
    pub(super) async fn stream(
        self: &Shared,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        asking: &Asking<'_>,
        hold: &Hold<'_>,
    ) -> Result<Reply, EngineError> {
        let Stage { account, id, progress: sender, .. } = *stage;
        sender.send_replace(Progress::default());
        let mut progress = sender.subscribe();
        let question = Question {
            prompt: &asking.composed.prompt,
            model: asking.model,
            effort: asking.effort,
            user_tag: super::user_tag(&self.config.master, &record.asker),
            hold,
        };
        self.running.enter(id, Nearness::Writing);
        record.enter();
        self.journal(id, record)?;
        let (mut asked, mut replied) = (std::pin::pin!(self.ask(&question, sender)), None);
        loop {
            if let Some(reply) = replied {
                return Ok(reply);
            }
            let ticked = tokio::select! {
                reply = &mut asked => return Ok(reply),
                changed = progress.changed() => { if changed.is_err() { std::future::pending::<()>().await; } false },
                () = until_due(machine) => true,
            };
            let so_far = progress.borrow_and_update().clone();
            hold.note(&so_far);
            let now = clock::now();
            let mut effects = Vec::new();
            if so_far.waiting_ms > 0 && so_far.text.is_empty() {
                effects.extend(machine.take(&Input::Waiting(so_far.waiting_ms), now));
            }
            let input = if ticked { Input::Tick(&so_far.text) } else { Input::Text(&so_far.text) };
            effects.extend(machine.take(&input, now));
            for effect in effects {
                // The model is listened to meanwhile: a homeserver that is slow does not hold it up.
                let mut acting = std::pin::pin!(self.show_beside(account, id, record, effect));
                loop {
                    tokio::select! {
                        acted = &mut acting => break acted?,
                        reply = &mut asked, if replied.is_none() => replied = Some(reply),
                    }
                }
            }
        }
    }

    /// Shows something while the model writes. What may have been there before it was known is looked at then.
    async fn show_beside(
        self: &Shared,
        account: &Arc<Account>,
        id: &RunId,
        record: &mut RunRecord,
        effect: Effect,
    ) -> Result<(), EngineError> {
        let known = (record.status.clone(), record.streamed.clone());
        self.act_beside(account, id, record, effect).await?;
        if record.resumed && known != (record.status.clone(), record.streamed.clone()) {
            self.take_missed_orders(account, record).await;
        }
        Ok(())
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
