//! The model as a service: it is asked (`ask.rs`), and it is watched whether it can be (`model/watches.rs`).

mod watches;

use std::sync::Arc;

use tokio::sync::Notify;

use self::watches::Met;
pub(super) use self::watches::keep_watch_of_claude;
pub(crate) use self::watches::{NO_KEY, models_of};
use super::{budget::Budget, runtime::Runtime};
use crate::claude;

/// The Messages API as runs use it.
pub(super) struct Model {
    pub(super) runtime: Arc<Runtime>,
    pub(super) claude: Arc<claude::Client>,
    pub(super) budget: Arc<Budget>,
    /// Wakes the watcher for another look.
    pub(super) trouble: Notify,
    /// Troubles that requests met and that a look cannot see.
    pub(super) met: Met,
}

impl Model {
    pub(super) fn new(runtime: &Arc<Runtime>, claude: &Arc<claude::Client>, budget: &Arc<Budget>) -> Self {
        Self {
            runtime: runtime.clone(),
            claude: claude.clone(),
            budget: budget.clone(),
            trouble: Notify::new(),
            met: Met::default(),
        }
    }
}
