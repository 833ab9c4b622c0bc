//! Driving a run: presence, context, the model, and every message under the run's own transaction ids.

use std::{sync::Arc, time::Duration};

use ruma::OwnedEventId;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineError, Shared,
    ask::{Progress, Question, Reply},
    coworkers::SEND_PAUSES,
    records::RunSummary,
};
use crate::{
    claude, clock, config,
    core::{
        context::Composed,
        event::Place,
        run::{Answer, Effect, Fault, Input, Machine, Outcome, RunId, RunRecord, Step},
        time::Timestamp,
        words,
    },
    matrix::{Account, MatrixError, account::File},
};

/// Typing is shown again this often; a notice lasts four seconds.
const TYPING_INTERVAL: Duration = Duration::from_secs(3);
/// The receipt and typing wait this long: until then what they cost the homeserver would hold up the question, and an
/// answer that is there sooner needs no typing.
const PRESENCE_AFTER: Duration = Duration::from_millis(150);
/// How long a run goes on trying while the homeserver is away, in milliseconds; then it is left to the next start.
const HOMESERVER_PATIENCE_MS: u64 = 30 * 60 * 1000;

/// A composed question.
pub(super) struct Asking<'a> {
    pub(super) composed: Composed,
    pub(super) model: &'a str,
    pub(super) effort: config::Effort,
}

/// What a run used, for its summary.
#[derive(Default)]
struct Used {
    read: Vec<OwnedEventId>,
    model: Option<String>,
    usage: claude::Usage,
}

impl Engine {
    /// Runs to the end: the answer is sent, or nothing can be said any more.
    #[tracing::instrument(name = "run", skip_all, fields(run.id = id.as_str(), room.id = %record.room, user.id = %record.user))]
    pub(super) async fn run(self: &Shared, id: &RunId, mut record: RunRecord, accepted: Instant) {
        let mut used = Used::default();
        let mut tries = 0;
        let ended = loop {
            match Box::pin(self.run_once(id, &mut record, accepted, &mut used)).await {
                Ok(ended) => break ended,
                Err(error)
                    if error.is_passing() && clock::now().ms_since(record.accepted_at) < HOMESERVER_PATIENCE_MS =>
                {
                    tracing::warn!(%error, "a run waits for the homeserver");
                    tokio::time::sleep(SEND_PAUSES[tries.min(SEND_PAUSES.len() - 1)]).await;
                    tries += 1;
                }
                Err(error) if error.is_passing() => {
                    tracing::error!(%error, "a run is left for the next start: the homeserver stays away");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "a run cannot say anything any more");
                    break (Outcome::Dropped, None);
                }
            }
        };
        self.close_run(id, &record, ended, used);
    }

    async fn run_once(
        self: &Shared,
        id: &RunId,
        record: &mut RunRecord,
        accepted: Instant,
        used: &mut Used,
    ) -> Result<(Outcome, Option<OwnedEventId>), EngineError> {
        let account = self.account_of(record).await?;
        if let Some(answer) = record.answer.clone() {
            account.sync_since(accepted).await?;
            return self.say(&account, id, record, &answer).await;
        }
        let typing = CancellationToken::new();
        self.tasks.spawn(show_presence(account.clone(), record.clone(), accepted, typing.clone()));
        // Typing ends behind the answer, however the run ends; nobody waits for it.
        let _typing = typing.drop_guard();
        Box::pin(self.answer(&account, id, record, accepted, used)).await
    }

    async fn account_of(&self, record: &RunRecord) -> Result<Arc<Account>, EngineError> {
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
        id: &RunId,
        record: &mut RunRecord,
        accepted: Instant,
        used: &mut Used,
    ) -> Result<(Outcome, Option<OwnedEventId>), EngineError> {
        // Where transactions brought everything, the sync comes beside the model's work; see `show_presence`.
        if record.private || !account.is_current(&record.room, &record.request) {
            account.sync_since(accepted).await?;
        }
        let asking = if record.private {
            Box::pin(self.compose_assistant(account, record)).await?
        } else {
            let Some(coworker) = self.coworker(&record.user) else { return Ok((Outcome::Dropped, None)) };
            Box::pin(self.compose_coworker(account, coworker, record)).await?
        };
        if asking.composed.left_out.request {
            tracing::info!("the request is gone; nothing is answered");
            return Ok((Outcome::Dropped, None));
        }
        if !record.private {
            used.read.clone_from(&asking.composed.read);
        }
        let mut machine = Machine::new(record, clock::now());
        let reply = Box::pin(self.stream(account, id, record, &mut machine, &asking)).await?;
        used.model = reply.model;
        used.usage = reply.usage;
        let input = match &reply.ended {
            Ok((text, stop)) => Input::Answered(text, *stop),
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
    async fn stream(
        &self,
        account: &Account,
        id: &RunId,
        record: &mut RunRecord,
        machine: &mut Machine,
        asking: &Asking<'_>,
    ) -> Result<Reply, EngineError> {
        let (sender, mut progress) = watch::channel(Progress::default());
        let question = Question {
            prompt: &asking.composed.prompt,
            model: asking.model,
            effort: asking.effort,
            user_tag: super::user_tag(&self.config.master, &record.asker),
        };
        let mut asked = std::pin::pin!(self.ask(&question, &sender));
        loop {
            let due = machine.next_at().map(|at| Duration::from_millis(at.ms_since(clock::now())));
            let tick = async {
                match due {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let ticked = tokio::select! {
                reply = &mut asked => return Ok(reply),
                changed = progress.changed() => { if changed.is_err() { std::future::pending::<()>().await; } false },
                () = tick => true,
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
    async fn act(
        &self,
        account: &Account,
        id: &RunId,
        record: &mut RunRecord,
        effect: Effect,
    ) -> Result<(), EngineError> {
        match effect {
            Effect::Send(step, message) => {
                let event = account.send(&record.room, &message, id.transaction(step)).await?;
                if step == Step::Answer {
                    record.streamed = Some(event);
                    self.journal(id, record)?;
                }
            }
            Effect::Edit(step, message) => {
                if let (Some(target), Step::Edit(n)) = (record.streamed.clone(), step) {
                    record.edits = n;
                    self.journal(id, record)?;
                    // A lost edit in between is made good by the next one.
                    if let Err(error) = account.edit(&record.room, &target, &message, id.transaction(step)).await {
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
        let (room, message) = (&record.room, &answer.message);
        let event = match &record.streamed {
            Some(target) => {
                let txn = id.transaction(Step::Edit(record.edits + 1));
                account.edit(room, target, message, txn).await?;
                target.clone()
            }
            None => account.send(room, message, id.transaction(Step::Answer)).await?,
        };
        if let Some(markdown) = &answer.file {
            let place = file_place(&message.place, &event);
            let file = File {
                name: words::answer_file_name().to_owned(),
                media_type: mime::TEXT_PLAIN_UTF_8,
                bytes: markdown.clone().into_bytes(),
            };
            account.send_file(room, file, &place, id.transaction(Step::File)).await?;
        }
        Ok((answer.outcome, Some(event)))
    }

    fn journal(&self, id: &RunId, record: &RunRecord) -> Result<(), EngineError> {
        Ok(self.tables.runs.put(&id.as_str().to_owned(), record)?)
    }

    /// The run leaves the journal and stays in the index, without content.
    fn close_run(&self, id: &RunId, record: &RunRecord, ended: (Outcome, Option<OwnedEventId>), used: Used) {
        let cost = used.model.as_deref().and_then(|model| claude::cost(model, &used.usage));
        let summary = RunSummary {
            user: record.user.clone(),
            asker: record.asker.clone(),
            room: record.room.clone(),
            request: record.request.clone(),
            answer: ended.1,
            outcome: ended.0,
            read: used.read,
            model: used.model,
            input_tokens: used.usage.prompt_tokens(),
            output_tokens: used.usage.output_tokens.unwrap_or_default(),
            cost_micro_usd: cost.map(|cost| cost.micro_usd),
            accepted_at: record.accepted_at,
            ended_at: clock::now(),
        };
        tracing::info!(
            outcome = ?summary.outcome, tokens.input = summary.input_tokens, tokens.output = summary.output_tokens,
            duration_ms = summary.ended_at.ms_since(summary.accepted_at), "a run ended"
        );
        let key: (Timestamp, String) = (record.accepted_at, id.as_str().to_owned());
        let closed = self.tables.run_index.put(&key, &summary).and_then(|()| self.tables.runs.remove(&key.1));
        if let Err(error) = closed {
            tracing::error!(%error, "a run's end cannot be recorded; it is taken up again at the next start");
        }
    }

    fn note_key(&self, fault: Fault) {
        use crate::appservice::health::{Condition, State};
        if matches!(fault, Fault::KeyMissing | Fault::KeyRefused) {
            let reason = "the Messages API refuses the key, or none is set; set claude.api_key";
            self.health.set(Condition::ClaudeKey, State::Waiting(reason.to_owned()));
        }
    }
}

/// The file goes where the message went; on a timeline, as a reply to it.
fn file_place(place: &Place, message: &ruma::EventId) -> Place {
    match place {
        Place::Thread { root, .. } => Place::Thread { root: root.clone(), latest: message.to_owned() },
        Place::Timeline | Place::Reply { .. } => Place::Reply { to: message.to_owned() },
    }
}

/// The read receipt and typing (C9), until the run is done with them; and a sync where the run did without.
async fn show_presence(account: Arc<Account>, record: RunRecord, accepted: Instant, done: CancellationToken) {
    let thread = match &record.place {
        Place::Thread { root, .. } if *root != record.request => Some(root.as_ref()),
        _ => None,
    };
    let is_long = tokio::time::timeout(PRESENCE_AFTER, done.cancelled()).await.is_err();
    let shown = async {
        if is_long {
            account.typing(&record.room, true).await?;
        }
        account.receipt(&record.room, &record.request, thread).await?;
        // Before a long answer is sent, so that what changed in the room meanwhile is known by then.
        account.sync_since(accepted).await
    };
    if let Err(error) = shown.await {
        tracing::debug!(room.id = %record.room, %error, "typing or the read receipt cannot be shown");
    }
    if !is_long {
        return;
    }
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            () = tokio::time::sleep(TYPING_INTERVAL) => {}
        }
        if account.typing(&record.room, true).await.is_err() {
            break;
        }
    }
    if let Err(error) = account.typing(&record.room, false).await {
        tracing::debug!(room.id = %record.room, %error, "typing cannot be ended; it passes by itself");
    }
}
