//! The tools that act in the room where they are called: searching, reading, notes, files.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{Engine, Shared};
use crate::{
    core::{
        run::RunRecord,
        tool::{Offer, Output, Tool},
    },
    matrix::Account,
};

impl Engine {
    /// Returns the tools of this kind.
    #[expect(clippy::unused_self, reason = "the room tools are joined here")]
    pub(super) fn room_offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    /// Carries out a permitted call in the room of the run, and nowhere else, within the tool's timeout.
    pub(super) async fn call_room_tool(
        self: &Shared,
        account: &Arc<Account>,
        record: &RunRecord,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Output {
        let patience = Duration::from_millis(tool.timeout_ms);
        let called = tokio::time::timeout(patience, self.carry_out_in_room(account, record, tool, arguments)).await;
        called.unwrap_or_else(|_| {
            let (name, seconds) = (tool.offer.name.as_str(), patience.as_secs());
            Output::error(format!("{name} did not end within {seconds} s and was cancelled."))
        })
    }

    #[expect(clippy::unused_async, reason = "the room tools are joined here")]
    async fn carry_out_in_room(
        self: &Shared,
        _account: &Arc<Account>,
        _record: &RunRecord,
        tool: &Tool,
        _arguments: &Map<String, Value>,
    ) -> Output {
        Output::error(format!("{} is not available.", tool.offer.name.as_str()))
    }
}
