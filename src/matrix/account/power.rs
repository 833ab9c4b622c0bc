//! How much somebody may do in a room, at the time of one event.

use matrix_sdk::{RoomMemberships, ruma::UInt};
use ruma::{
    EventId, RoomId, UserId,
    api::client::{
        context::get_context,
        filter::{LazyLoadOptions, RoomEventFilter},
    },
    events::{
        AnyStateEvent,
        room::{
            member::MembershipState,
            power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource, UserPowerLevel},
        },
    },
    serde::Raw,
};

use super::Account;
use crate::matrix::error::MatrixError;

impl Account {
    /// Returns the power level that somebody had when `event` was sent, or has as of the last sync, whichever is less.
    ///
    /// `None` where they are not in the room, or that cannot be told.
    ///
    /// # Errors
    /// When the homeserver does not answer; the caller tries again.
    pub async fn level_at(&self, room: &RoomId, event: &EventId, user: &UserId) -> Result<Option<i64>, MatrixError> {
        let looked_up = async {
            let Some(now) = self.level_now(room, user).await? else { return Ok(None) };
            let then = self.level_then(room, event, user).await?;
            Ok(then.map(|then| then.min(now)))
        };
        match looked_up.await {
            Err(error @ MatrixError::NotJoined { .. }) => {
                tracing::debug!(%error, "a power level cannot be told");
                Ok(None)
            }
            Err(error) if !error.is_passing() => {
                tracing::warn!(room.id = %room, %error, "a power level cannot be told; it counts as none");
                Ok(None)
            }
            level => level,
        }
    }

    async fn level_now(&self, room: &RoomId, user: &UserId) -> Result<Option<i64>, MatrixError> {
        let room = self.room(room)?;
        // With the whole list at hand, which the SDK asks for once, the members are those of the last sync.
        let joined = room.members(RoomMemberships::JOIN).await?;
        Ok(joined.iter().find(|member| member.user_id() == user).map(|member| as_number(member.power_level())))
    }

    /// The state before `/context`'s last event is that event's (spec, "Event context").
    async fn level_then(&self, room_id: &RoomId, event: &EventId, user: &UserId) -> Result<Option<i64>, MatrixError> {
        let room = self.room(room_id)?;
        let mut request = get_context::v3::Request::new(room_id.to_owned(), event.to_owned());
        request.limit = UInt::from(0_u32);
        let mut filter = RoomEventFilter::default();
        filter.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: false };
        request.filter = filter;
        let response = self.client().send(request).await.map_err(matrix_sdk::Error::from)?;
        let is_joined = response.state.iter().any(|state| is_join_of(state, user));
        let creators = room.creators().unwrap_or_default();
        let rules = room.clone_info().room_version_rules_or_default();
        let content = response.state.iter().find_map(levels);
        let levels = RoomPowerLevels::new(RoomPowerLevelsSource::from(content), &rules.authorization, creators);
        Ok(is_joined.then(|| as_number(levels.for_user(user))))
    }
}

fn levels(state: &Raw<AnyStateEvent>) -> Option<RoomPowerLevelsEventContent> {
    let kind = state.get_field::<String>("type").ok().flatten()?;
    (kind == "m.room.power_levels").then(|| state.get_field("content").ok().flatten()).flatten()
}

fn is_join_of(state: &Raw<AnyStateEvent>, user: &UserId) -> bool {
    matches!(state.deserialize(), Ok(AnyStateEvent::RoomMember(member))
        if member.state_key() == user && *member.membership() == MembershipState::Join)
}

fn as_number(level: UserPowerLevel) -> i64 {
    match level {
        UserPowerLevel::Int(level) => level.into(),
        // A creator's, since room version 12.
        _ => i64::MAX,
    }
}
