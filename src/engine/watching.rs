//! Watches (C22): the words of a named bot or bridge that ask a coworker.

use ruma::{OwnedUserId, UserId};

use super::{Engine, EngineError, Shared, errands::Accepted};
use crate::{
    clock,
    config::Coworker,
    core::{event::RoomEvent, sealed::Carriage, watch::Watch},
};

impl Engine {
    /// Hands in an errand for each of a room's coworkers whose watch an event matches; at most one each. `here` are the
    /// coworkers, with their users and display names.
    pub(super) async fn take_watched(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        here: &[(&OwnedUserId, &Coworker, String)],
    ) -> Result<(), EngineError> {
        for (user, coworker, _) in here {
            for watch in coworker.watches.iter().filter(|watch| watch.matches(event, &self.namespace)) {
                if self.named(&watch.room).await?.as_ref() == Some(&event.room) {
                    Box::pin(self.take_match(watch, event, came, user)).await?;
                    break;
                }
            }
        }
        Ok(())
    }

    async fn take_match(
        self: &Shared,
        watch: &Watch,
        event: &RoomEvent,
        came: Carriage,
        user: &UserId,
    ) -> Result<(), EngineError> {
        let accepted = self.accept_errand(watch.errand(event, came, user, clock::now())).await?;
        if !matches!(accepted, Accepted::Durable { .. }) {
            tracing::warn!(
                room.id = %event.room, event.id = %event.id, user.id = %user, watch = watch.name, ?accepted,
                "a watched message is not taken up: its room has too much of that"
            );
        }
        Ok(())
    }
}
