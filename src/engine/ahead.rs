//! Asks the model ahead of a webhook's notice (C21): what a run will ask is asked while its notice is on its way.
//!
//! Until the notice is there, nobody can see or stop the work (C10), and no run can be recorded. So this is no run, only a
//! call: it is made in an idle process and once for a delivery, with its cost reserved on disk before. The run asks for its
//! answer once it is recorded, if it would ask the very same; nothing is said before. Whatever else happens, the notice
//! refused, something new in the room, a stop, drops the call: it is broken off, what it cost counts, and the run, if there
//! is one, asks by itself.

use std::sync::Arc;

use ruma::event_id;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    EngineError, Shared,
    ask::{Asking, Question, Reply},
    progress::Progress,
    user_tag,
};
use crate::{
    core::{
        errand::Errand,
        prompt::{Effort, Prompt, ToolDefinition},
        refused::Breadth,
        run::RunRecord,
        sealed::Carriage,
        time::Timestamp,
        work,
    },
    matrix::Account,
};

/// A call of the model that goes on before its run is there. Dropping it breaks the call off.
pub(super) struct Ahead {
    asked: watch::Receiver<Option<Asked>>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) reply: oneshot::Receiver<Reply>,
    _ends: DropGuard,
    _place: OwnedSemaphorePermit,
}

/// What was asked, once it is.
#[derive(PartialEq)]
struct Asked {
    prompt: Arc<Prompt>,
    model: String,
    effort: Effort,
}

impl Ahead {
    /// Begins to ask what an errand's run will ask; its room has to be read. Notes that in the errand, so that it is not
    /// asked ahead again.
    pub(super) fn begin(
        engine: &Shared,
        account: &Arc<Account>,
        errand: &mut Errand,
        came: Carriage,
        now: Timestamp,
    ) -> Result<Option<Self>, EngineError> {
        let Ok(place) = engine.errands.ahead.clone().try_acquire_owned() else { return Ok(None) };
        errand.ahead_at = Some(now);
        // On disk before the model is asked, with what that reserves.
        engine.errands.keep_errand(errand)?;
        let request = event_id!("$ahead");
        let latest = errand.thread.as_ref().and_then(|root| account.latest_in_thread(&errand.room, root));
        let record =
            errand.run(request, errand.place(request, latest), came, engine.config().limits.deadline_ms(), now);
        let (asked_of, asked) = watch::channel(None);
        let (sender, progress) = watch::channel(Progress::default());
        let (answer, reply) = oneshot::channel();
        let ends = CancellationToken::new();
        let (engine, account, ended) = (engine.clone(), account.clone(), ends.clone());
        engine.clone().tasks.spawn(async move {
            let asking = Box::pin(ask(&engine, &account, record, &asked_of, &sender));
            tokio::select! {
                () = ended.cancelled() => {}
                asked = asking => match asked {
                    // Whoever waited may have given up meanwhile.
                    Ok(Some(replied)) => drop(answer.send(replied)),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "the model cannot be asked ahead"),
                },
            }
        });
        Ok(Some(Self { asked, progress, reply, _ends: ends.drop_guard(), _place: place }))
    }

    /// Returns whether this was asked.
    pub(super) fn has_asked(&self, asking: &Asking) -> bool {
        let asked = self.asked.borrow();
        asked.as_ref().is_some_and(|asked| {
            let is_the_same = (&asked.model, asked.effort) == (&asking.model, asking.effort);
            is_the_same && !asking.probes && *asked.prompt == asking.composed.prompt
        })
    }

    /// Waits for the answer, and shows meanwhile how far it is.
    ///
    /// # Errors
    /// If asking panicked; the run asks by itself then.
    pub(super) async fn answer(mut self, shown: &watch::Sender<Progress>) -> Result<Reply, EngineError> {
        let show = async {
            loop {
                let so_far = self.progress.borrow_and_update().clone();
                shown.send_replace(so_far);
                if self.progress.changed().await.is_err() {
                    return;
                }
            }
        };
        let (reply, ()) = tokio::join!(&mut self.reply, show);
        reply.map_err(|_| EngineError::Panicked)
    }
}

/// Asks what a run will ask; `None` if it can't be asked ahead.
async fn ask(
    engine: &Shared,
    account: &Arc<Account>,
    mut record: RunRecord,
    asked: &watch::Sender<Option<Asked>>,
    progress: &watch::Sender<Progress>,
) -> Result<Option<Reply>, EngineError> {
    let answerer = engine.answerer(&record);
    let breadth = Breadth::default();
    let facts = record.clone();
    let (asking, tools) = tokio::join!(answerer.compose(account, &mut record, &breadth), answerer.toolset(&facts));
    let (Some(Asking { mut composed, model, effort, .. }), tools) = (asking?, tools?) else { return Ok(None) };
    work::equip(&mut composed.prompt, &tools);
    // A container would be filled for nothing, and what cannot be read is not asked about.
    if composed.prompt.tools.iter().any(ToolDefinition::is_code_execution)
        || composed.left_out.request
        || composed.unreadable.is_some()
    {
        return Ok(None);
    }
    let prompt = Arc::new(composed.prompt);
    let Some(mut hold) = engine.budget.reserve_ahead(progress, &facts, (&prompt, &model)).await? else {
        return Ok(None);
    };
    asked.send_replace(Some(Asked { prompt: prompt.clone(), model: model.clone(), effort }));
    hold.begin();
    let user_tag = user_tag(&engine.config().master, &facts.asker);
    let question = Question { prompt: &prompt, model: &model, effort, probes: false, user_tag, hold: &hold };
    let noted = async {
        let mut so_far = progress.subscribe();
        while so_far.changed().await.is_ok() {
            hold.note(&so_far.borrow_and_update());
        }
    };
    let reply = tokio::select! {
        reply = engine.model.ask(&question, progress) => reply,
        () = noted => std::future::pending().await,
    };
    hold.end();
    Ok(Some(reply))
}
