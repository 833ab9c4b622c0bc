//! Syncs anew when the homeserver no longer takes the token of the last sync: it was restored from a copy or replaced, or
//! something before it once answered in its place, and the SDK stored a token that no homeserver ever gave.
//!
//! Otherwise each later sync would be refused, even after a restart. A first sync replaces the token. It may follow after
//! any absence, so every room counts as if events were left out, and is compared and read back (`engine/gaps.rs`).

use matrix_sdk::{Room, config::SyncToken, ruma::api::client::membership::joined_rooms, sync::SyncResponse};
use matrix_sdk_base::RoomInfoNotableUpdateReasons;
use ruma::{EventId, OwnedRoomId, RoomId};

use super::Account;
use crate::{core::event::Membership, matrix::error::MatrixError};

impl Account {
    /// Syncs without a token, after a refusal that the proxy repeated (`proxy/doubt.rs`).
    ///
    /// If the refusal was not about the token, this sync is refused as well, and the token stays.
    pub(super) async fn sync_anew(&self) -> Result<SyncResponse, MatrixError> {
        tracing::warn!(user.id = %self.user, "the homeserver refuses to go on from the last sync; it is asked for a first one");
        let known = self.client.joined_rooms();
        self.note_outdated().await?;
        let mut response = Box::pin(self.sync_whole(&SyncToken::NoToken)).await?;
        for room in response.rooms.joined.values_mut() {
            room.timeline.limited = true;
        }
        // The answer alone does not prove that a room was left.
        if let Err(error) = self.forget_left_of(known).await {
            tracing::warn!(user.id = %self.user, %error, "rooms that were left meanwhile are not known");
        }
        Ok(response)
    }

    /// Syncs without a token, because the homeserver has lost what came after an earlier one. If this fails, every later
    /// sync begins so until one succeeds.
    ///
    /// # Errors
    /// As [`Self::sync_since`].
    pub async fn start_over(&self) -> Result<(), MatrixError> {
        self.owe_start_over();
        self.sync().await
    }

    /// Has the SDK forget the rooms in which the homeserver no longer counts this user.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn confirm_rooms(&self) -> Result<(), MatrixError> {
        self.forget_left_of(self.client.joined_rooms()).await
    }

    /// Returns whether the homeserver has an event that this user has seen.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn is_at_homeserver(&self, room: &RoomId, event: &EventId) -> Result<bool, MatrixError> {
        match self.raw_event(room, event).await {
            Err(error) if !says_no(&error) => Err(error),
            found => Ok(found.is_ok()),
        }
    }

    async fn forget_left_of(&self, known: Vec<Room>) -> Result<(), MatrixError> {
        self.forget_left(known, &self.joined_told().await?).await;
        Ok(())
    }

    /// Asks the homeserver for the rooms that this user is in.
    pub(super) async fn joined_told(&self) -> Result<Vec<OwnedRoomId>, MatrixError> {
        let joined = self.client.send(joined_rooms::v3::Request::new()).await.map_err(matrix_sdk::Error::from)?;
        Ok(joined.joined_rooms)
    }

    /// Has the SDK ask for the devices of all whom it knows, because the next sync is a first one, which names no changes.
    pub(super) async fn note_outdated(&self) -> Result<(), MatrixError> {
        let people = self.client.encryption().tracked_users().await.map_err(matrix_sdk::Error::from)?;
        self.outdated.note(&self.user, people.into_iter().collect());
        Ok(())
    }

    /// Has the SDK record that `known` rooms were left that are not among the `joined` ones; no first sync reports that.
    ///
    /// What answers in the homeserver's place may name no room at all. So each room is asked about, and none is really
    /// left for this.
    pub(super) async fn forget_left(&self, known: Vec<Room>, joined: &[OwnedRoomId]) {
        for room in known.into_iter().filter(|room| !joined.iter().any(|joined| joined == room.room_id())) {
            if self.is_member(&room).await {
                continue;
            }
            let left = room.update_and_save_room_info(|mut info| {
                info.mark_as_left();
                info.mark_state_partially_synced();
                info.mark_members_missing();
                (info, RoomInfoNotableUpdateReasons::MEMBERSHIP)
            });
            if let Err(error) = left.await {
                tracing::debug!(room.id = %room.room_id(), %error, "a room that was left is still taken for joined");
            }
        }
    }

    /// Returns whether the homeserver may still count this user among a room's members.
    async fn is_member(&self, room: &Room) -> bool {
        match self.membership_told(room.room_id(), &self.user).await {
            Ok(membership) => membership == Some(Membership::Join),
            Err(error) => !says_no(&error),
        }
    }
}

fn says_no(error: &MatrixError) -> bool {
    error.is_forbidden() || error.is_not_found()
}
