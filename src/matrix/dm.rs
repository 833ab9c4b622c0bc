//! Private rooms that one of our users makes for one person (A2), and what their state says.

use matrix_sdk::ruma::{
    api::client::room::create_room::v3::{CreationContent, Request, RoomPreset},
    events::{
        InitialStateEvent,
        room::{
            encryption::RoomEncryptionEventContent,
            guest_access::{GuestAccess, RoomGuestAccessEventContent},
            history_visibility::{HistoryVisibility, RoomHistoryVisibilityEventContent},
        },
    },
    serde::Raw,
};
use ruma::{OwnedRoomId, UserId, events::EmptyStateKey};
use serde_json::json;

use super::{account::Account, error::MatrixError};

/// Level below which nobody but the assistant may invite, kick, or change state.
const OWNER_LEVEL: i64 = 100;

/// Creates the private room of an assistant and invites its owner: encrypted from the first event, invite-only,
/// guests forbidden, history for joined members, not federated, direct; the owner cannot invite (A2).
///
/// # Errors
/// When the homeserver refuses or does not answer.
///
/// # Panics
/// Never: what is serialised is plain data.
pub async fn create_private(account: &Account, owner: &UserId, name: &str) -> Result<OwnedRoomId, MatrixError> {
    let mut creation = CreationContent::new();
    creation.federate = false;
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.is_direct = true;
    request.name = Some(name.to_owned());
    request.invite = vec![owner.to_owned()];
    request.creation_content = Some(Raw::new(&creation).expect("creation content is plain data"));
    request.initial_state = vec![
        state(RoomEncryptionEventContent::with_recommended_defaults()),
        state(RoomGuestAccessEventContent::new(GuestAccess::Forbidden)),
        state(RoomHistoryVisibilityEventContent::new(HistoryVisibility::Joined)),
    ];
    let levels = json!({
        "invite": OWNER_LEVEL, "kick": OWNER_LEVEL, "ban": OWNER_LEVEL, "redact": 50,
        "state_default": OWNER_LEVEL, "events_default": 0, "users_default": 0,
        "events": {
            "m.room.name": OWNER_LEVEL, "m.room.avatar": OWNER_LEVEL, "m.room.topic": OWNER_LEVEL,
            "m.room.power_levels": OWNER_LEVEL, "m.room.history_visibility": OWNER_LEVEL,
            "m.room.canonical_alias": OWNER_LEVEL, "m.room.tombstone": OWNER_LEVEL,
            "m.room.server_acl": OWNER_LEVEL, "m.room.encryption": OWNER_LEVEL,
        },
    });
    request.power_level_content_override =
        Some(Raw::new(&levels).expect("power levels are plain data").cast_unchecked());
    let room = Box::pin(account.client().create_room(request)).await?;
    let id = room.room_id().to_owned();
    account.sync().await?;
    Ok(id)
}

/// Creates the service bot's direct chat with a person: encrypted and private, without an assistant's strictness.
///
/// # Errors
/// When the homeserver refuses or does not answer.
pub async fn create_service(account: &Account, person: &UserId) -> Result<OwnedRoomId, MatrixError> {
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.is_direct = true;
    request.invite = vec![person.to_owned()];
    request.initial_state = vec![
        state(RoomEncryptionEventContent::with_recommended_defaults()),
        // The word that it is made for is there before the person has joined.
        state(RoomHistoryVisibilityEventContent::new(HistoryVisibility::Invited)),
    ];
    let room = Box::pin(account.client().create_room(request)).await?;
    let id = room.room_id().to_owned();
    account.sync().await?;
    Ok(id)
}

fn state<C>(content: C) -> Raw<matrix_sdk::ruma::events::AnyInitialStateEvent>
where
    C: ruma::events::StaticStateEventContent<StateKey = EmptyStateKey>
        + ruma::events::StateEventContent
        + serde::Serialize,
{
    InitialStateEvent::with_empty_state_key(content).to_raw_any()
}
