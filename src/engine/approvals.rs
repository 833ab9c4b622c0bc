//! Asking people whether a tool call may run (C12).

use std::sync::Arc;

use super::{Engine, EngineError, Shared};
use crate::{
    core::{
        approval::Pending,
        run::{RunId, RunRecord},
        trail::Decision,
    },
    matrix::Account,
};

impl Engine {
    /// Asks the people of the rule about one call, and waits for their decision or its expiry.
    #[expect(clippy::unused_async, reason = "a stub: nobody is asked yet, so nobody approves")]
    pub(super) async fn approve(
        self: &Shared,
        _account: &Arc<Account>,
        _id: &RunId,
        _record: &RunRecord,
        _pending: &Pending,
    ) -> Result<Decision, EngineError> {
        Ok(Decision::Expired)
    }
}
