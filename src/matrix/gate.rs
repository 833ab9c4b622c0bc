//! What a client does with a sync's answer before its SDK reads it.
//!
//! The SDK handles an answer in one go. What has to be done about something in it beforehand, such as ending an older
//! verification, is done while the proxy holds the answer back.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use ruma::{OwnedUserId, UserId};

/// How long an answer is held back at most.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// What a client does with an answer.
type Prepare = Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What each user's client does. Cheap to clone; shared by clients and proxy.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<HashMap<OwnedUserId, Prepare>>>);

impl Gate {
    fn lock(&self) -> MutexGuard<'_, HashMap<OwnedUserId, Prepare>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what `user`'s client does with each sync's answer; that of an older client is forgotten.
    pub(super) fn keep(&self, user: &UserId, prepare: Prepare) {
        self.lock().insert(user.to_owned(), prepare);
    }

    /// Has `user`'s client prepare for an answer, but no longer than [`HOLD_MAX`].
    pub(super) async fn pass(&self, user: &UserId, answer: Bytes) {
        let prepare = self.lock().get(user).cloned();
        let Some(prepare) = prepare else { return };
        if tokio::time::timeout(HOLD_MAX, prepare(answer)).await.is_err() {
            tracing::debug!(user.id = %user, "a sync's answer was not held back any longer");
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[tokio::test]
    async fn an_answer_passes_once_its_own_client_is_prepared() {
        let (gate, seen) = (Gate::default(), Arc::new(Mutex::new(Vec::new())));
        let ours = user_id!("@ours:hs");
        let noted = seen.clone();
        gate.keep(
            ours,
            Arc::new(move |answer| {
                noted.lock().expect("no panic").push(answer);
                Box::pin(std::future::ready(()))
            }),
        );

        gate.pass(ours, Bytes::from_static(b"{}")).await;
        gate.pass(user_id!("@unknown:hs"), Bytes::new()).await;

        assert_eq!(*seen.lock().expect("no panic"), [Bytes::from_static(b"{}")]);
    }
}
