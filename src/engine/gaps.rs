//! What no transaction brought: homeservers lose some (Synapse #11637), so rooms are compared with what came.
//!
//! A sync's timeline is offered to the inbox like a transaction. The inbox knows events by their ids, so only what
//! was missed is new there.

use ruma::RoomId;
use tokio::time::Instant;

use super::{Engine, EngineError, SAFETY_SYNC, Shared};
use crate::{clock, core::event::RoomEvent, matrix::Account, store::InboxEvent};

/// Events of a room that are looked at, backwards, for the last one that was processed.
const GAP_EVENTS_MAX: usize = 300;
/// The type under which the inbox holds an event that no transaction brought: it is read from a user's timeline.
pub(super) const MISSED: &str = "io.workmate.missed";

impl Engine {
    /// Offers the inbox what is newer in a user's rooms than the last event processed there.
    pub(super) async fn fill_gaps(&self, account: &Account) -> Result<usize, EngineError> {
        let mut found = 0;
        for room in account.joined() {
            found += self.fill_gap(account, &room).await?;
        }
        Ok(found)
    }

    async fn fill_gap(&self, account: &Account, room: &RoomId) -> Result<usize, EngineError> {
        // A room that was never processed has no gap: what is older than our joining was not for us.
        let Some(cursor) = self.tables.cursors.get(&room.to_owned())? else { return Ok(0) };
        let mut events = account.held_events(room);
        if events.is_empty() {
            return Ok(0);
        }
        if !events.iter().any(|event| event.id == cursor.event) {
            events = account.history(room, GAP_EVENTS_MAX).await?;
        }
        let known = events.iter().position(|event| event.id == cursor.event);
        let is_later = |event: &RoomEvent| event.sent_at > cursor.sent_at;
        let later = match known {
            Some(at) => events.split_off(at + 1),
            None => events.into_iter().filter(is_later).collect(),
        };
        let theirs = later.into_iter().filter(|event| !self.namespace.is_ours(&event.sender));
        let missed: Vec<InboxEvent> = theirs.map(missed).collect();
        if missed.is_empty() {
            return Ok(0);
        }
        let count = missed.len();
        let last = missed.last().map(|event| event.event_id.to_string()).unwrap_or_default();
        let accepted = self.inbox.accept(&format!("gap-{last}"), missed, clock::now()).await?;
        if accepted.new > 0 {
            tracing::info!(room.id = %room, seen = count, missed = accepted.new, "the homeserver had not delivered some events");
        }
        Ok(accepted.new)
    }
}

/// An event that is to be read through one of our users, as an encrypted one is.
fn missed(event: RoomEvent) -> InboxEvent {
    InboxEvent {
        event_id: event.id,
        room_id: event.room,
        sender: event.sender,
        event_type: MISSED.to_owned(),
        state_key: None,
        sent_at: event.sent_at,
        json: String::new(),
    }
}

/// Syncs every client that stays open now and then, closes idle ones, and forgets what is old.
pub(super) async fn keep_up(engine: Shared) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(SAFETY_SYNC) => {}
        }
        for account in engine.pool.all_kept() {
            let kept_up = async {
                account.sync().await?;
                engine.take_verification_requests(std::slice::from_ref(&account));
                engine.fill_gaps(&account).await
            };
            if let Err(error) = kept_up.await {
                tracing::warn!(user.id = %account.user(), %error, "a safety sync failed; the next one makes it good");
            }
        }
        engine.pool.close_idle(Instant::now());
        let month_ago = crate::core::time::Timestamp::from_ms(clock::now().as_ms() - 30 * 24 * 3_600_000);
        if let Err(error) = engine.inbox.forget_before(month_ago) {
            tracing::warn!(%error, "old event ids cannot be forgotten");
        }
    }
}
