//! How much somebody may do in a room, at the time of one event.

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

/// The state that decides about power, as it came.
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

    /// Returns whether this user's power lets it say something in a room, as of the last sync.
    ///
    /// # Errors
    /// When the room is not joined or the store fails.
    pub async fn may_speak(&self, room: &RoomId) -> Result<bool, MatrixError> {
        let room = self.room(room)?;
        Ok(held(&room).await?.levels(version_of(&room)).may_speak(self.user()))
    }

    /// Returns whether this user can say something in a room, as of the last sync.
    ///
    /// # Errors
    /// When the room is not joined, or how to speak there is not known.
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
        // With the whole list at hand, which the SDK asks for once, the members are those of the last sync.
        let joined = room.members(RoomMemberships::JOIN).await?;
        if !joined.iter().any(|member| member.user_id() == user) {
            return Ok(None);
        }
        Ok(Some(held(&room).await?.levels(version_of(&room)).of_user(user)))
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
        if !response.state.iter().any(|state| is_join_of(state, user)) {
            return Ok(None);
        }
        let content = |kind: &str| {
            let found = response.state.iter().find(|state| is_state(state, kind))?;
            Some((found, found.get_field("content").ok().flatten().unwrap_or_default()))
        };
        // How the room was made does not change, so what was synced will do where the answer leaves it out.
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
        // Without an event it is `shared`; with one that says nothing we know, the tightest.
        let Some(event) = event else { return Ok(Openness { now: History::Shared, always: true }) };
        let content = field(&event, "content").unwrap_or_default();
        let now = content["history_visibility"].as_str().map_or(History::Joined, History::parse);
        // Homeservers say which event a state event replaces; the first one replaces none.
        let unsigned = field(&event, "unsigned").unwrap_or_default();
        let always = unsigned.is_object() && unsigned["replaces_state"].is_null() && unsigned["prev_content"].is_null();
        Ok(Openness { now, always })
    }

    /// Returns what decides how a room's events are read, as of the last sync; of its power levels only where there is
    /// a redaction `among` them, since nothing else is read by those.
    pub async fn rules(&self, room: &RoomId, among: Redactions) -> Rules {
        let Some(room) = self.client().get_room(room) else { return Rules::default() };
        let version = version_of(&room);
        let levels = match among {
            Redactions::None => None,
            // A store that fails has nobody be above the others.
            Redactions::Some => held(&room).await.ok().map(|found| found.levels(version)),
        };
        Rules { version, levels }
    }
}

/// Whether there are redactions among the events that are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redactions {
    /// There are.
    Some,
    /// There are none.
    None,
}

fn version_of(room: &Room) -> Option<Version> {
    room.clone_info().room_version().and_then(|version| Version::of(version.as_str()))
}

/// Returns the state as of the last sync, raw: the SDK's own reading takes what it cannot read for missing.
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

/// The membership alone is read: what else stands in the event is its sender's.
fn is_join_of(state: &Raw<AnyStateEvent>, user: &UserId) -> bool {
    let field = |name: &str| state.get_field::<String>(name).ok().flatten();
    let membership = || state.get_field::<Value>("content").ok().flatten()?.get("membership").cloned();
    field("type").as_deref() == Some("m.room.member")
        && field("state_key").as_deref() == Some(user.as_str())
        && membership().as_ref().and_then(Value::as_str) == Some(MembershipState::Join.as_str())
}
