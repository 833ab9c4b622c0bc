//! The homeserver's questions whether one of our users exists.

use ruma::UserId;
use tokio::sync::mpsc;

use crate::{
    appservice::Query,
    core::people::Who,
    engine::{EngineError, Shared},
};

/// Answers the homeserver's queries whether one of our users exists; a query for an assistant makes its account.
pub(super) async fn answer_queries(engine: Shared, mut asked: mpsc::Receiver<Query>) {
    loop {
        let query = tokio::select! {
            () = engine.stop.cancelled() => return,
            query = asked.recv() => query,
        };
        let Some(query) = query else { return };
        let exists = user_exists(&engine, &query.user).await.unwrap_or_else(|error| {
            tracing::warn!(user.id = %query.user, %error, "a question for a user cannot be answered");
            false
        });
        // The homeserver may have stopped waiting.
        let _ = query.answer.send(exists);
    }
}

async fn user_exists(engine: &Shared, user: &UserId) -> Result<bool, EngineError> {
    match engine.namespace().who(user) {
        Who::Service => Ok(true),
        Who::Coworker(_) => Ok(engine.coworker(user).is_some()),
        Who::Assistant(owner) if engine.config().assistants.enabled => {
            let owner = engine.namespace().user_id(&owner);
            let exists = engine.namespace().who(&owner).is_person() && engine.api().exists(&owner).await?;
            if exists {
                engine.api().register(user.localpart()).await?;
            }
            Ok(exists)
        }
        _ => Ok(false),
    }
}
