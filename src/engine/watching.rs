//! Watches (C22): the words and events of a named bot or bridge that ask a coworker.

use std::sync::Arc;

use ruma::{OwnedUserId, UserId};

use super::{Engine, EngineError, Shared, errands::Accepted};
use crate::{
    clock,
    config::Coworker,
    core::{
        errand::Errand,
        event::RoomEvent,
        sealed::Carriage,
        watch::{Match, Watch},
    },
    matrix::inbound,
    store::{InboxEntry, InboxEvent},
};

impl Engine {
    /// Hands in an errand for each of a room's coworkers whose watches an event matches. `here` are the coworkers, with
    /// their users and display names; `as_it_came` is the event from its transaction.
    pub(super) async fn take_watched(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        here: &[(&OwnedUserId, Arc<Coworker>, String)],
        as_it_came: &InboxEvent,
    ) -> Result<(), EngineError> {
        for (user, coworker, _) in here {
            let mut by_words = Vec::new();
            for watch in &coworker.watches {
                let Some(how) = watch.matches(event, &self.namespace()) else { continue };
                if self.bindings.workplace(&watch.room).await?.as_ref() != Some(&event.room) {
                    continue;
                }
                match how {
                    Match::Words => by_words.push(watch),
                    Match::Event => Box::pin(self.take_event(watch, event, came, user, as_it_came)).await?,
                }
            }
            if let Some(errand) = Watch::errand_of_all(&by_words, event, came, user, clock::now()) {
                self.hand_in_watched(errand, event).await?;
            }
        }
        Ok(())
    }

    /// Hands in an unencrypted event that is no message and no state that matters otherwise, if a watch has its type.
    pub(super) async fn take_watched_event(self: &Shared, entry: &InboxEntry) -> Result<(), EngineError> {
        let as_it_came = &entry.event;
        let is_wanted = |watch: &Watch| watch.event.as_deref() == Some(as_it_came.event_type.as_str());
        if !self.config().coworkers.iter().any(|coworker| coworker.watches.iter().any(is_wanted)) {
            return Ok(());
        }
        let room = &as_it_came.room_id;
        if self.tables.rooms.get(room)?.unwrap_or_default().liveliness.is_paused() {
            return Ok(());
        }
        let Some(event) = self.read_plain(as_it_came).await else { return Ok(()) };
        // State is never encrypted; what else comes so into an encrypted room asks nobody.
        if as_it_came.state_key.is_none() && self.is_suspect(&event, Carriage::Plain).await? {
            return Ok(());
        }
        let users: Vec<OwnedUserId> = self.roster.of(room);
        Box::pin(self.take_watched(&event, Carriage::Plain, &self.named(&users), as_it_came)).await
    }

    /// Hands in an event that is no message, if its content is what the watch wants.
    async fn take_event(
        self: &Shared,
        watch: &Watch,
        event: &RoomEvent,
        came: Carriage,
        user: &UserId,
        as_it_came: &InboxEvent,
    ) -> Result<(), EngineError> {
        let content = self.content_of(event, came, user, as_it_came).await?;
        if watch.says(&content) {
            self.hand_in_watched(watch.errand_of_event(event, &content, user, clock::now()), event).await?;
        }
        Ok(())
    }

    async fn hand_in_watched(self: &Shared, errand: Errand, event: &RoomEvent) -> Result<(), EngineError> {
        let accepted = Box::pin(self.errands.accept_errand(errand.clone())).await?;
        if !matches!(accepted, Accepted::Durable { .. }) {
            // Nobody sends it again. Where a breaker stopped it, the room is told by that.
            tracing::info!(room.id = %event.room, event.id = %event.id, ?accepted, "a watched event is not taken up");
        }
        if accepted == Accepted::Full {
            self.errands.tell_full(&errand).await?;
        }
        Ok(())
    }

    /// Returns an event's content as JSON; empty if it cannot be read any more.
    async fn content_of(
        &self,
        event: &RoomEvent,
        came: Carriage,
        user: &UserId,
        as_it_came: &InboxEvent,
    ) -> Result<String, EngineError> {
        let content = if came == Carriage::Plain {
            inbound::content_of(&as_it_came.json)
        } else if let Some(account) = self.pool.kept(user) {
            // The event was read ahead of the sync that brings its key to the client.
            account.sync().await?;
            account.content_of(&event.room, &event.id).await?
        } else {
            None
        };
        Ok(content.unwrap_or_default())
    }
}
