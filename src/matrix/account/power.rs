//! A user's power in a room at the time of one event.

use matrix_sdk::{Room, RoomMemberships, deserialized_responses::RawAnySyncOrStrippedState, ruma::UInt};
use ruma::{
    EventId, OwnedUserId, RoomId, UserId,
    api::client::{
        context::get_context,
        filter::{LazyLoadOptions, RoomEventFilter},
    },
    events::{AnyStateEvent, StateEventType, room::member::MembershipState},
    serde::Raw,
};
use serde_json::Value;

use super::Account;
use crate::{
    core::{
        asker::Openness,
        event::History,
        power::{Levels, State, Version},
        voice::{Voice, voice},
    },
    matrix::{error::MatrixError, inbound::Rules},
};

/// The raw state that decides about power.
#[derive(Default)]
struct Found {
    creation: Option<(OwnedUserId, Value)>,
    levels: Option<Value>,
}

impl Found {
    fn levels(&self, version: Option<Version>) -> Levels {
        let creation = self.creation.as_ref().map(|(sender, content)| (&**sender, content));
        Levels::of(&State { version, creation, levels: self.levels.as_ref() })
    }
}

impl Account {
    /// Returns a user's power level when `event` was sent or as of the last sync, whichever is lower.
    ///
    /// `None` if they are not in the room, or their level cannot be determined.
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

    /// Returns whether this user has the power to send messages in a room, as of the last sync.
    ///
    /// # Errors
    /// When the room is not joined or the store fails.
    pub async fn may_speak(&self, room: &RoomId) -> Result<bool, MatrixError> {
        let room = self.room(room)?;
        Ok(held(&room).await?.levels(version_of(&room)).may_speak(self.user()))
    }

    /// Returns whether this user can speak in a room, as of the last sync.
    ///
    /// # Errors
    /// When the room is not joined, or its encryption is unknown.
    pub async fn voice_in(&self, room: &RoomId) -> Result<Voice, MatrixError> {
        let speech = self.speech_in(room).await?;
        let room = self.room(room)?;
        Ok(match voice(speech, &held(&room).await?.levels(version_of(&room)), self.user()) {
            Voice::NoPower if room.is_tombstoned() => Voice::Replaced,
            voice => voice,
        })
    }

    async fn level_now(&self, room: &RoomId, user: &UserId) -> Result<Option<i64>, MatrixError> {
        let room = self.room(room)?;
        // This has the SDK fetch the whole member list once, so the members are those of the last sync.
        let joined = room.members(RoomMemberships::JOIN).await?;
        if !joined.iter().any(|member| member.user_id() == user) {
            return Ok(None);
        }
        Ok(Some(held(&room).await?.levels(version_of(&room)).of_user(user)))
    }

    /// The state in `/context` is that before its last event (spec, "Event context").
    async fn level_then(&self, room_id: &RoomId, event: &EventId, user: &UserId) -> Result<Option<i64>, MatrixError> {
        let room = self.room(room_id)?;
        let mut request = get_context::v3::Request::new(room_id.to_owned(), event.to_owned());
        request.limit = UInt::from(0_u32);
        let mut filter = RoomEventFilter::default();
        filter.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: false };
        request.filter = filter;
        let response = self.client().send(request).await.map_err(matrix_sdk::Error::from)?;
        if !response.state.iter().any(|state| is_join_of(state, user)) {
            return Ok(None);
        }
        let content = |kind: &str| {
            let found = response.state.iter().find(|state| is_state(state, kind))?;
            Some((found, found.get_field("content").ok().flatten().unwrap_or_default()))
        };
        // The creation event never changes, so the synced one serves if the answer omits it.
        let creation = match content("m.room.create") {
            Some((event, content)) => sender_of(event).map(|sender| (sender, content)),
            None => held(&room).await?.creation,
        };
        let found = Found { creation, levels: content("m.room.power_levels").map(|(_, content)| content) };
        Ok(Some(found.levels(version_of(&room)).of_user(user)))
    }

    /// Returns who may read a room's history, as of the last sync.
    ///
    /// # Errors
    /// When the room is not joined or the store fails.
    pub async fn openness(&self, room: &RoomId) -> Result<Openness, MatrixError> {
        let event = self.room(room)?.get_state_event(StateEventType::RoomHistoryVisibility, "").await?;
        // The default is `shared`; an unknown value counts as the tightest.
        let Some(event) = event else { return Ok(Openness { now: History::Shared, always: true }) };
        let content = field(&event, "content").unwrap_or_default();
        let now = content["history_visibility"].as_str().map_or(History::Joined, History::parse);
        // Homeservers name the event that a state event replaces; the first one replaces none.
        let unsigned = field(&event, "unsigned").unwrap_or_default();
        let always = unsigned.is_object() && unsigned["replaces_state"].is_null() && unsigned["prev_content"].is_null();
        Ok(Openness { now, always })
    }

    /// Returns the rules for reading a room's events, as of the last sync. Its power levels are included only if there
    /// is a redaction `among` the events, because only those need them.
    pub async fn rules(&self, room: &RoomId, among: Redactions) -> Rules {
        let Some(room) = self.client().get_room(room) else { return Rules::default() };
        let version = version_of(&room);
        let levels = match among {
            Redactions::None => None,
            // If the store fails, nobody counts as having more power than others.
            Redactions::Some => held(&room).await.ok().map(|found| found.levels(version)),
        };
        Rules { version, levels }
    }
}

/// Whether the events to be read include redactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redactions {
    /// At least one is a redaction.
    Some,
    /// None is a redaction.
    None,
}

fn version_of(room: &Room) -> Option<Version> {
    room.clone_info().room_version().and_then(|version| Version::of(version.as_str()))
}

/// Returns the raw state as of the last sync: the SDK reads unreadable entries as missing.
async fn held(room: &Room) -> Result<Found, MatrixError> {
    let mut found = Found::default();
    if let Some(event) = room.get_state_event(StateEventType::RoomPowerLevels, "").await? {
        found.levels = Some(field(&event, "content").unwrap_or_default());
    }
    if let Some(event) = room.get_state_event(StateEventType::RoomCreate, "").await? {
        let sender = field(&event, "sender").and_then(|sender| UserId::parse(sender.as_str()?).ok());
        found.creation = sender.map(|sender| (sender, field(&event, "content").unwrap_or_default()));
    }
    Ok(found)
}

fn field(event: &RawAnySyncOrStrippedState, name: &str) -> Option<Value> {
    match event {
        RawAnySyncOrStrippedState::Sync(event) => event.get_field(name).ok().flatten(),
        RawAnySyncOrStrippedState::Stripped(event) => event.get_field(name).ok().flatten(),
    }
}

fn is_state(state: &Raw<AnyStateEvent>, kind: &str) -> bool {
    let field = |name: &str| state.get_field::<String>(name).ok().flatten();
    field("type").as_deref() == Some(kind) && field("state_key").as_deref() == Some("")
}

fn sender_of(state: &Raw<AnyStateEvent>) -> Option<OwnedUserId> {
    UserId::parse(state.get_field::<String>("sender").ok().flatten()?).ok()
}

/// Reads only the membership, because the event's other fields are its sender's.
fn is_join_of(state: &Raw<AnyStateEvent>, user: &UserId) -> bool {
    let field = |name: &str| state.get_field::<String>(name).ok().flatten();
    let membership = || state.get_field::<Value>("content").ok().flatten()?.get("membership").cloned();
    field("type").as_deref() == Some("m.room.member")
        && field("state_key").as_deref() == Some(user.as_str())
        && membership().as_ref().and_then(Value::as_str) == Some(MembershipState::Join.as_str())
}
