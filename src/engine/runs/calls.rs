//! Tool calls and approvals, as a run's effects need them.

use std::sync::Arc;

use super::{Done, Driver};
use crate::{
    clock,
    core::{
        approval::Pending,
        run::{Input, RunId, RunRecord, Start},
        tool::{Output, Source},
    },
    engine::{Engine, Shared, room_tools::Here},
    matrix::Account,
};

impl Driver<'_> {
    pub(super) fn call(&mut self, start: Start) {
        let (engine, id, record, account) = (self.engine, self.id, self.facts(), self.account());
        self.begin(false, async move {
            let account = account.await?;
            let mut output = Box::pin(engine.call_tool(&account, id, &record, &start)).await;
            let pictures = engine.files.look_into(&mut output, &record.room).await;
            Ok(Done::Was(Input::Ran { call: start.call, output, pictures }))
        });
    }

    pub(super) fn approve(&mut self, pending: Pending) {
        let (engine, id, record, account) = (self.engine, self.id, self.facts(), self.account());
        self.begin(false, async move {
            let decision = Box::pin(engine.approve(&account.await?, id, &record, &pending)).await?;
            Ok(Done::Was(Input::Decided { call: pending.call, decision }))
        });
    }
}

impl Engine {
    /// Carries out one permitted call.
    async fn call_tool(
        self: &Shared,
        account: &Arc<Account>,
        id: &RunId,
        record: &RunRecord,
        Start { call, tool, arguments }: &Start,
    ) -> Output {
        let began = clock::now();
        let output = match &tool.offer.source {
            // An approval may have taken days.
            _ if tool.bound && !self.bindings.still_holds(record, tool).await => {
                Output::error(format!("{} may not be used in this room.", tool.offer.name.as_str()))
            }
            Source::Room => {
                let here = Here { account, id, record, call };
                self.call_room_tool(&here, tool, arguments).await
            }
            Source::Chat => self.schedules.call_chat_tool(id, record, call, tool, arguments).await,
            Source::Process | Source::Mcp { .. } => self.toolsets.tools.call(tool, arguments).await,
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
}
