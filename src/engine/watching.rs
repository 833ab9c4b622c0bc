//! Watches (C22): the words of a named bot or bridge that ask a coworker.

use super::{Engine, EngineError, Shared, errands::Accepted};
use crate::{
    clock,
    core::{event::RoomEvent, sealed::Carriage, watch::Watch},
};

impl Engine {
    /// Hands in an errand for each coworker in the room whose watch an event matches; at most one each. An event that
    /// should have come encrypted asks nobody.
    pub(super) async fn take_watched(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        is_suspect: bool,
    ) -> Result<(), EngineError> {
        if is_suspect {
            return Ok(());
        }
        for user in self.roster.of(&event.room) {
            let watches = self.coworker(&user).map_or(&[][..], |coworker| &coworker.watches);
            for watch in watches.iter().filter(|watch| watch.matches(event, &self.namespace)) {
                if self.named(&watch.room).await?.as_ref() != Some(&event.room) {
                    continue;
                }
                Box::pin(self.take_match(watch, event, came, &user)).await?;
                break;
            }
        }
        Ok(())
    }

    async fn take_match(
        self: &Shared,
        watch: &Watch,
        event: &RoomEvent,
        came: Carriage,
        user: &ruma::UserId,
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
