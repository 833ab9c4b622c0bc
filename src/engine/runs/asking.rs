//! The context, the budget and the model, as a run's effects need them.

use std::sync::Arc;

use super::{Done, Driver};
use crate::{
    claude::{BATCH_TIER, Message},
    core::{
        batch::{Batch, Latency},
        citing::Shelf,
        context,
        prompt::ToolUse,
        refused::Breadth,
        run::{BatchNews, Fault, Input, Ready, Reply, RunId, RunRecord},
        time::Timestamp,
        work::{self, ModelTurn},
    },
    engine::{
        Engine,
        ask::{Asking, Question},
        batches::Awaited,
        budget::Hold,
        progress::Progress,
        used::bill_of,
        user_tag,
    },
};

impl Driver<'_> {
    pub(super) fn compose(&mut self, breadth: Breadth) {
        let (engine, account, mut record) = (self.engine, self.account(), self.run.record().clone());
        let (id, is_first) = (self.id, !self.run.is_recomposing());
        self.begin(false, async move {
            let (account, before) = (account.await?, record.work.clone());
            let answerer = engine.answerer(&record);
            let Some(mut asking) = answerer.compose(&account, &mut record, &breadth).await? else {
                return Ok(Done::Composed(None));
            };
            let instead = if is_first { engine.begins_with(&record, &asking)? } else { 0 };
            if let Some(model) = asking.models.get(instead).filter(|_| instead > 0) {
                asking.model = model.clone();
            }
            let tools = answerer.toolset(&record).await?;
            work::equip(&mut asking.composed.prompt, &tools);
            if !asking.probes {
                Box::pin(engine.computing.fill_container(&account, id, &record, &mut asking)).await?;
            }
            let composed = &asking.composed;
            let read = composed.read.clone();
            let held = read.iter().filter_map(|id| account.held(&record.room, id));
            let ready = Ready {
                is_gone: composed.left_out.request,
                unreadable: composed.unreadable,
                tools,
                shelf: Shelf::of(&composed.prompt, &record.room, &engine.namespace().server),
                read_span: span(held.map(|read| read.event.sent_at)),
                read,
                suspects: asking.suspects.clone(),
                fallbacks: asking.models.len() - 1,
                instead,
                begun_anew: record.work != before,
            };
            Ok(Done::Composed(Some(Box::new((asking, ready)))))
        });
    }

    pub(super) fn reserve(&mut self, tool_use: ToolUse, latency: Latency) {
        let Some(asking) = &mut self.asking else { return };
        let prompt = &mut Arc::make_mut(asking).composed.prompt;
        prompt.rounds = self.run.record().work.rounds_whole();
        prompt.tool_use = tool_use;
        if self.ahead.as_ref().is_some_and(|ahead| latency == Latency::Normal && ahead.has_asked(asking)) {
            return self.begin(false, std::future::ready(Ok(Done::Was(Input::Reserved(Ok(()))))));
        }
        self.ahead = None;
        let (engine, asking) = (self.engine, asking.clone());
        let (is_begun, record) = (!self.run.record().work.is_empty(), self.facts());
        let (place, sender) = (self.place, self.sender);
        self.begin(false, async move {
            let reserved = engine
                .budget
                .reserve((place, sender), (&record, is_begun), (&asking.composed.prompt, &asking.model), latency)
                .await?;
            Ok(Done::Reserved(reserved))
        });
    }

    pub(super) fn ask(&mut self) {
        let (engine, id, sender, facts) = (self.engine, self.id, self.sender, self.facts());
        let (ahead, hold) = (self.ahead.take(), self.hold.take());
        let Some(asking) = self.asking.clone().filter(|_| ahead.is_some() || hold.is_some()) else { return };
        let tag = user_tag(&engine.config().master, &self.run.record().asker);
        engine.running.asks(self.id);
        sender.send_replace(Progress::default());
        self.begin(false, async move {
            let turn = match (ahead, hold) {
                (Some(ahead), _) => ahead.answer(sender).await?,
                (None, None) => Err(Fault::Internal),
                (None, Some(mut hold)) => {
                    hold.begin();
                    let question = Question {
                        prompt: &asking.composed.prompt,
                        model: &asking.model,
                        effort: asking.effort,
                        probes: asking.probes,
                        user_tag: tag,
                        hold: &hold,
                    };
                    let turn = tokio::select! {
                        turn = engine.model.ask(&question, sender) => turn,
                        () = note(engine, id, &hold, sender) => std::future::pending().await,
                    };
                    hold.end();
                    turn
                }
            };
            let asked = sender.send_replace(Progress::default());
            engine.keep_made(id, &facts, &asking, &asked);
            if asked.complete && asked.broken.is_empty() {
                engine.budget.ledger.learn(&asking.model, &asking.composed.prompt, asked.usage.prompt_tokens());
            }
            let container = asked.container.as_ref().map(|container| container.id.clone());
            let container = container.or_else(|| asked.container_refused.then(String::new));
            Ok(Done::Replied(reply_of(turn, &asked), container))
        });
    }

    /// Sends what is to be asked as a batch.
    pub(super) fn send_batch(&mut self, batch: Batch) {
        let (engine, id, sender) = (self.engine, self.id, self.sender);
        let (Some(asking), Some(hold)) = (self.asking.clone(), self.hold.take()) else { return };
        // For hours nobody is typing.
        self.presence = None;
        let tag = user_tag(&engine.config().master, &self.run.record().asker);
        sender.send_replace(Progress::default());
        self.begin(false, async move {
            let request = engine.model.request_of((&asking.composed.prompt, &asking.model), asking.effort, &tag);
            // Nobody watches a batch think.
            let request = request.with_summary(false);
            let news = engine.batches.send_batch(id, &batch, &request).await;
            let hold = if news == BatchNews::GivenUp {
                hold.end();
                None
            } else {
                Some(hold)
            };
            Ok(Done::Batched(hold, news))
        });
    }

    /// Waits for the batch's end, and takes its answer as that of a call.
    pub(super) fn await_batch(&mut self, batch: Batch) {
        let (engine, id, sender, facts) = (self.engine, self.id, self.sender, self.facts());
        let (Some(asking), Some(hold)) = (self.asking.clone(), self.hold.take()) else { return };
        self.presence = None;
        sender.send_replace(Progress::default());
        self.begin(false, async move {
            let message = match engine.batches.await_batch(id, &batch).await {
                Awaited::Found(id) => return Ok(Done::Batched(Some(hold), BatchNews::Made(id))),
                Awaited::Nothing { may_cost } => {
                    if may_cost {
                        hold.end_unknown();
                    } else {
                        hold.end();
                    }
                    return Ok(Done::Batched(None, BatchNews::GivenUp));
                }
                Awaited::Answer(message) => *message,
            };
            engine.model.note_model_answers(&asking.model);
            let turn = engine.model.turn_of((&asking.composed.prompt, &asking.model), batched(message), sender);
            hold.end();
            let asked = sender.send_replace(Progress::default());
            engine.keep_made(id, &facts, &asking, &asked);
            let reply = reply_of(Ok(turn), &asked);
            Ok(Done::Batched(None, BatchNews::Answered(reply)))
        });
    }

    pub(super) fn leave_out_files(&mut self) {
        if let Some(asking) = &mut self.asking {
            let asking = Arc::make_mut(asking);
            asking.composed.prompt = context::without_files(&asking.composed.prompt);
        }
    }
}

/// Returns an answer in a batch, which costs half whether or not the provider says that it came in one.
fn batched(mut message: Message) -> Message {
    message.usage.service_tier = Some(BATCH_TIER.to_owned());
    message
}

/// Returns how a call of the model ended.
fn reply_of(turn: Result<ModelTurn, Fault>, asked: &Progress) -> Reply {
    let so_far = asked.usage_so_far();
    let tokens = so_far.prompt_tokens().saturating_add(so_far.output_tokens.unwrap_or_default());
    Reply { turn, tokens, bill: bill_of(asked), files_refused: asked.files_refused }
}

/// Notes what a call costs as it is written, and which files it makes.
async fn note(engine: &Engine, id: &RunId, hold: &Hold<'_>, sender: &tokio::sync::watch::Sender<Progress>) {
    let (mut progress, mut noted) = (sender.subscribe(), 0);
    while progress.changed().await.is_ok() {
        let so_far = progress.borrow_and_update();
        hold.note(&so_far);
        engine.computing.note_made(id, &so_far, &mut noted);
    }
}

impl Engine {
    /// Keeps what an answer leaves at the provider: its container for the next question, its files to be deleted.
    fn keep_made(&self, id: &RunId, record: &RunRecord, asking: &Asking, asked: &Progress) {
        self.computing.note_made(id, asked, &mut 0);
        if let Some(container) = &asked.container {
            self.computing.keep_container(record, asking, container);
        }
    }
}

/// Returns the first and the last of some moments.
fn span(times: impl Iterator<Item = Timestamp>) -> Option<(Timestamp, Timestamp)> {
    times.fold(None, |span, at| {
        Some(span.map_or((at, at), |(first, last): (Timestamp, _)| (first.min(at), last.max(at))))
    })
}
