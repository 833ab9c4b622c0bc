//! Cards whose asker leaves the room: nobody waits for the call any more, so it is declined, and the card says why.

use ruma::UserId;
use tokio::time::Instant;

use crate::{
    clock,
    core::{approval::Standing, event::RoomEvent},
    engine::{EngineError, approvals::desk::Card, members::Memberships},
};

impl Memberships {
    /// Takes the departure of a person who may have asked for something that awaits a decision.
    pub(in crate::engine) async fn take_askers_departure(
        &self,
        event: &RoomEvent,
        person: &UserId,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let cards: Vec<(Card, Standing)> = self.approvals.undecided(&event.room, clock::steady())?;
        let theirs: Vec<Card> =
            cards.into_iter().filter(|(_, standing)| standing.asker == person).map(|(card, _)| card).collect();
        if theirs.is_empty() {
            return Ok(());
        }
        if let Some(account) = self.runtime.kept_in(&event.room).first() {
            account.sync_since(accepted).await?;
            let names = account.joined_names(&event.room).await?;
            if names.iter().any(|(user, _)| user == person) {
                // An old event: they came back since.
                return Ok(());
            }
        }
        for card in theirs {
            let decided = self.approvals.change(&card, |standing| standing.asker_left(&event.id, clock::steady()))?;
            if decided == Some(true) {
                tracing::info!(room.id = %event.room, "a tool call is declined, because whoever asked for it has left");
            }
        }
        self.runtime.store.flush().await?;
        Ok(())
    }
}
