//! Watches (C22): the words and events of a named bot or bridge that ask a coworker.

use ruma::{OwnedUserId, UserId};

use super::{Engine, EngineError, Shared, errands::Accepted};
use crate::{
    clock,
    config::Coworker,
    core::{
        event::RoomEvent,
        sealed::Carriage,
        watch::{Match, Watch},
    },
    matrix::inbound,
    store::{InboxEntry, InboxEvent},
};

impl Engine {
    /// Hands in an errand for each of a room's coworkers whose watch an event matches; at most one each. `here` are the
    /// coworkers, with their users and display names; `as_it_came` is the event from its transaction.
    pub(super) async fn take_watched(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        here: &[(&OwnedUserId, &Coworker, String)],
        as_it_came: &InboxEvent,
    ) -> Result<(), EngineError> {
        for (user, coworker, _) in here {
            for watch in &coworker.watches {
                let Some(how) = watch.matches(event, &self.namespace) else { continue };
                if self.named(&watch.room).await?.as_ref() != Some(&event.room) {
                    continue;
                }
                if Box::pin(self.take_match(watch, how, (event, came), user, as_it_came)).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands in an unencrypted event that is no message and no state that matters otherwise, if a watch has its type.
    pub(super) async fn take_watched_event(self: &Shared, entry: &InboxEntry) -> Result<(), EngineError> {
        let as_it_came = &entry.event;
        let is_wanted = |watch: &Watch| watch.event.as_deref() == Some(as_it_came.event_type.as_str());
        if !self.config.coworkers.iter().any(|coworker| coworker.watches.iter().any(is_wanted)) {
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
        let here: Vec<_> = users
            .iter()
            .filter_map(|user| self.coworker(user).map(|coworker| (user, coworker, coworker.display_name())))
            .collect();
        Box::pin(self.take_watched(&event, Carriage::Plain, &here, as_it_came)).await
    }

    /// Hands in what matches; returns whether it is the watch's.
    async fn take_match(
        self: &Shared,
        watch: &Watch,
        how: Match,
        (event, came): (&RoomEvent, Carriage),
        user: &UserId,
        as_it_came: &InboxEvent,
    ) -> Result<bool, EngineError> {
        let errand = match how {
            Match::Words => watch.errand(event, came, user, clock::now()),
            Match::Event => {
                let content = self.content_of(event, came, user, as_it_came).await?;
                if !watch.says(&content) {
                    return Ok(false);
                }
                watch.errand_of_event(event, &content, user, clock::now())
            }
        };
        let accepted = self.accept_errand(errand).await?;
        if !matches!(accepted, Accepted::Durable { .. }) {
            // The log says once that there are too many.
            tracing::debug!(
                room.id = %event.room, event.id = %event.id, user.id = %user, watch = watch.name, ?accepted,
                "a watched event is not taken up"
            );
        }
        Ok(true)
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
