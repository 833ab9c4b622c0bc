//! The alarm of the task that does what runs still owe.

/// Wakes the task that does what runs still owe.
#[derive(Default)]
pub(super) struct Due(tokio::sync::Notify);

impl Due {
    /// Has owed deeds tried at once, because a room is open to us again.
    pub(super) fn try_now(&self) {
        self.0.notify_one();
    }

    /// Waits until something may be tried.
    pub(super) async fn notified(&self) {
        self.0.notified().await;
    }
}
