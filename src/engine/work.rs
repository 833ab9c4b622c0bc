//! Driving the loop of a run: the model is asked, its calls are carried out, until it answers.
//!
//! `core/work.rs` decides; here it is done. Before a call begins that must not be made twice, the journal holds on disk
//! that it begins; before the model is asked again, that it ended. Dropping the loop at any place cancels what is under
//! way: [`Work::take_up`](crate::core::work::Work::take_up) then says what that means.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::{
    Engine, EngineError, Shared,
    ask::Progress,
    control::Nearness,
    lanes,
    room_tools::Here,
    runs::{Asking, until_due},
    under_way::UnderWay,
    used::Used,
};
use crate::{
    clock,
    core::{
        approval::Pending,
        context,
        prompt::ToolUse,
        run::{Doing, Fault, Input, Machine, RunId, RunRecord, Stop},
        tool::{Output, Source, Tool, Toolset},
        trail::Decision,
        work::{self, Next, Terms},
    },
    matrix::Account,
};

/// Where a run's loop takes place.
pub(super) struct Stage<'a> {
    pub(super) account: &'a Arc<Account>,
    pub(super) id: &'a RunId,
    pub(super) tools: &'a Toolset,
    pub(super) progress: &'a watch::Sender<Progress>,
    /// The places that the run holds.
    pub(super) leave: &'a lanes::Place,
}

/// Something that a call waited for.
enum Happened {
    Ran(String, Output),
    Decided(String, Decision),
}

type Calls<'a> = UnderWay<'a, Result<Happened, EngineError>>;

impl Engine {
    /// Works on a composed question until it is answered, or cannot be.
    pub(super) async fn work(
        self: &Shared,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        asking: &mut Asking<'_>,
        used: &mut Used,
    ) -> Result<Result<(String, Stop), Fault>, EngineError> {
        let terms = self.terms(stage.tools);
        work::equip(&mut asking.composed.prompt, stage.tools);
        record.work.take_up(&terms);
        let mut next = record.work.next(&terms);
        loop {
            next = match next {
                Next::Ask(_) | Next::Calls if self.stop.is_cancelled() => {
                    // Nothing new begins any more; what there is goes on at the next start.
                    self.journal(stage.id, record)?;
                    self.running.enter(stage.id, Nearness::Far);
                    return std::future::pending().await;
                }
                Next::Ask(tool_use) => Box::pin(self.ask_on(stage, record, machine, asking, used, tool_use)).await?,
                Next::Calls => {
                    self.running.enter(stage.id, Nearness::Far);
                    Box::pin(self.carry_out(stage, record, machine, &terms)).await?;
                    record.work.next(&terms)
                }
                Next::End(reply) => return Ok(reply),
            };
        }
    }

    /// Asks the model once, with what it did so far.
    async fn ask_on(
        self: &Shared,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        asking: &mut Asking<'_>,
        used: &mut Used,
        tool_use: ToolUse,
    ) -> Result<Next, EngineError> {
        let terms = self.terms(stage.tools);
        let prompt = &mut asking.composed.prompt;
        prompt.rounds = record.work.rounds_whole();
        prompt.tool_use = tool_use;
        let mut hold = match self.reserve(stage, record, &asking.composed.prompt, asking.model).await? {
            Ok(hold) => hold,
            Err(fault) => return Ok(Next::End(Err(fault))),
        };
        // What comes now is asked with the request as it reads when it has been left alone.
        self.running.until_quiet(stage.id).await;
        self.running.asks(stage.id);
        hold.begin();
        let reply = self.stream(stage, record, machine, asking, &hold).await?;
        hold.end();
        let asked = stage.progress.send_replace(Progress::default());
        let so_far = asked.usage_so_far();
        let tokens = so_far.prompt_tokens().saturating_add(so_far.output_tokens.unwrap_or_default());
        used.add(&asked);
        if asked.complete && asked.broken.is_empty() {
            self.ledger.learn(asking.model, &asking.composed.prompt, asked.usage.prompt_tokens());
        }
        if asked.files_refused && reply.is_ok() {
            // The later rounds would be refused too.
            asking.composed.prompt = context::without_files(&asking.composed.prompt);
            record.work.drop_pictures();
        }
        Ok(match reply {
            Ok(turn) => {
                let next = record.work.take(&turn, tokens, &terms);
                // What was paid for is kept before anything else is asked or done.
                record.has_come_on();
                self.journal(stage.id, record)?;
                next
            }
            // Thinking is tied to what stood before it, which reads otherwise after an interruption: without any it is
            // taken, and nothing else is worth a second try.
            Err(Fault::RequestRefused) if record.work.strip_thinking() => {
                tracing::info!("the rounds of a run are sent again without thinking");
                record.work.next(&terms)
            }
            Err(fault) => Next::End(Err(fault)),
        })
    }

    /// Carries out the calls of the model's turn, side by side, until each has its result.
    async fn carry_out(
        self: &Shared,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        terms: &Terms<'_>,
    ) -> Result<(), EngineError> {
        let facts = RunRecord { work: work::Work::default(), ..record.clone() };
        let mut under_way = Calls::new();
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let (mut running, mut unrepeatable) = (0, false);
        loop {
            let begun = under_way.beside(self.begin_calls(stage, record, terms, running)).await?;
            running += begun.len();
            for (call, tool, arguments) in begun {
                unrepeatable |= !tool.idempotent;
                let ran = self.call_tool(stage, &facts, call.clone(), tool, arguments);
                under_way.push(async move { Ok(Happened::Ran(call, ran.await)) });
            }
            for pending in record.work.pending(terms) {
                if asked.insert(pending.call.clone()) {
                    self.journal(stage.id, record)?;
                    under_way.push(self.clone().ask_people(stage, &facts, pending));
                }
            }
            if under_way.is_empty() {
                break;
            }
            let (done, running_now) = record.work.progress();
            let doing = Doing { done, running: running_now, asked: record.work.asked_about(terms) };
            under_way.beside(self.show(stage, record, machine, &Input::Steps(&doing))).await;
            match self.until_something(stage, record, machine, &mut under_way, running).await? {
                Happened::Ran(call, mut output) => {
                    running -= 1;
                    let pictures = under_way.beside(self.look_into(&mut output, &record.room)).await;
                    record.work.show(&call, pictures);
                    record.work.finish(&call, output, terms, clock::now());
                }
                Happened::Decided(call, decision) => {
                    record.work.decide(&call, decision, terms);
                    unrepeatable = true;
                }
            }
            self.journal(stage.id, record)?;
        }
        if unrepeatable {
            // What was done is on disk before the model hears of it.
            self.store.flush().await?;
        }
        if record.work.next(terms) == Next::Calls {
            tracing::error!("calls can neither be carried out nor be answered; they are given up");
            record.work.stop();
        }
        Ok(())
    }

    /// Marks the calls that may begin now as begun, in the journal too, as far as there are places free.
    async fn begin_calls(
        &self,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        terms: &Terms<'_>,
        running: usize,
    ) -> Result<Vec<(String, Tool, Map<String, Value>)>, EngineError> {
        let free = self.config.limits.tools_at_once_max.max(1).saturating_sub(running);
        let mut begun = Vec::new();
        for call in record.work.ready(terms).into_iter().take(free) {
            if let Some((tool, arguments)) = record.work.start(&call, terms, clock::now()) {
                begun.push((call, tool, arguments));
            }
        }
        if !begun.is_empty() {
            self.journal(stage.id, record)?;
        }
        if begun.iter().any(|(_, tool, _)| !tool.idempotent) {
            self.store.flush().await?;
        }
        Ok(begun)
    }

    /// Waits until a call has ended or was decided about; meanwhile the status goes on.
    async fn until_something(
        &self,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        under_way: &mut Calls<'_>,
        running: usize,
    ) -> Result<Happened, EngineError> {
        if running == 0 {
            // Nothing but people is waited for: meanwhile others may have the places in the room and over all (C12).
            stage.leave.park();
            let happened = under_way.next().await.expect("something is under way");
            under_way.beside(stage.leave.unpark()).await;
            return happened;
        }
        loop {
            tokio::select! {
                Some(happened) = under_way.next() => return happened,
                () = until_due(machine) => under_way.beside(self.show(stage, record, machine, &Input::Tick(""))).await,
            }
        }
    }

    /// The status says what is done and what is being done (C9). A homeserver that is away for a moment does not cut
    /// short what is under way.
    async fn show(&self, stage: &Stage<'_>, record: &mut RunRecord, machine: &mut Machine, input: &Input<'_>) {
        for effect in machine.take(input, clock::now()) {
            if let Err(error) = self.act(stage.account, stage.id, record, effect).await {
                tracing::debug!(%error, "the status of a run cannot be shown");
            }
        }
    }

    /// Carries out one permitted call.
    async fn call_tool(
        self: &Shared,
        stage: &Stage<'_>,
        record: &RunRecord,
        call: String,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Output {
        let began = clock::now();
        let output = match &tool.offer.source {
            // An approval may have taken days.
            _ if tool.bound && !self.still_holds(record, &tool).await => {
                Output::error(format!("{} may not be used in this room.", tool.offer.name.as_str()))
            }
            Source::Room => {
                let here = Here { account: stage.account, id: stage.id, record, call: &call };
                self.call_room_tool(&here, &tool, &arguments).await
            }
            Source::Process | Source::Mcp { .. } => self.tools.call(&tool, &arguments).await,
            Source::Provider => Output::error(format!("{} is not called from here.", tool.offer.name.as_str())),
        };
        tracing::info!(
            tool.name = tool.offer.name.as_str(),
            failed = output.is_error,
            duration_ms = clock::now().ms_since(began),
            "a tool was used"
        );
        output
    }

    /// Asks people about one call.
    async fn ask_people(
        self: Shared,
        stage: &Stage<'_>,
        record: &RunRecord,
        pending: Pending,
    ) -> Result<Happened, EngineError> {
        let decision = self.approve(stage.account, stage.id, record, &pending).await?;
        Ok(Happened::Decided(pending.call, decision))
    }
}
