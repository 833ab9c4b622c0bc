//! Private rooms that one of our users makes for one person (A2), and the state that keeps them private.

use matrix_sdk::{
    Room, RoomMemberships,
    deserialized_responses::RawAnySyncOrStrippedState,
    ruma::{
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
    },
};
use ruma::{
    OwnedRoomId, RoomId, UserId,
    events::{
        EmptyStateKey, StateEventType, TimelineEventType,
        room::{
            member::MembershipState,
            power_levels::{RoomPowerLevels, UserPowerLevel},
        },
    },
};
use serde_json::{Value, json};

use super::{account::Account, error::MatrixError};
use crate::core::{
    event::Membership,
    id,
    room_check::{Powers, RoomState},
    sealed::Seal,
};

/// The assistant's power level; inviting, kicking and changing state need it.
const OWNER_LEVEL: i64 = 100;

/// Creates an assistant's private chat and invites its owner (A2): encrypted from the first event, invite-only, without
/// guests, history for joined members, not federated, direct; the owner cannot invite.
///
/// # Errors
/// When the homeserver refuses or does not answer.
///
/// # Panics
/// Never: what is serialised is plain data.
pub(crate) async fn create_private(account: &Account, owner: &UserId, name: &str) -> Result<OwnedRoomId, MatrixError> {
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

/// Creates the service bot's direct chat with a person: encrypted and private, but less strict than an assistant's.
///
/// # Errors
/// When the homeserver refuses or does not answer.
pub(crate) async fn create_service(account: &Account, person: &UserId) -> Result<OwnedRoomId, MatrixError> {
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.is_direct = true;
    request.invite = vec![person.to_owned()];
    request.initial_state = vec![
        state(RoomEncryptionEventContent::with_recommended_defaults()),
        // The message for which the chat is made is sent before the person joins.
        state(RoomHistoryVisibilityEventContent::new(HistoryVisibility::Invited)),
    ];
    let room = Box::pin(account.client().create_room(request)).await?;
    let id = room.room_id().to_owned();
    account.sync().await?;
    Ok(id)
}

/// State that decides who can read a room, or whether it stays the same room.
const OPENING: [StateEventType; 8] = [
    StateEventType::RoomPowerLevels,
    StateEventType::RoomJoinRules,
    StateEventType::RoomEncryption,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomGuestAccess,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomTombstone,
    StateEventType::SpaceParent,
];

/// Returns the state that decides who can read a room, as of the user's last sync.
///
/// # Errors
/// When the room is not joined, its state is not known yet, or the homeserver does not tell its members.
pub(crate) async fn state_of(account: &Account, room_id: &RoomId, owner: &UserId) -> Result<RoomState, MatrixError> {
    let room = account.room(room_id)?;
    let unknown = || MatrixError::EncryptionUnknown { room: room_id.to_string() };
    let creation = room.create_content().ok_or_else(unknown)?;
    let powers = room.power_levels().await.map_err(|_| unknown())?;
    let mut members = Vec::new();
    for member in room.members(RoomMemberships::JOIN | RoomMemberships::INVITE).await? {
        let membership = match member.membership() {
            MembershipState::Invite => Membership::Invite,
            _ => Membership::Join,
        };
        members.push((member.user_id().to_owned(), membership));
    }
    Ok(RoomState {
        creator: creation.creator,
        // The SDK remembers encryption from events that were overwritten or redacted; here the room's present state
        // counts.
        encrypted: room.latest_encryption_state().await?.is_encrypted() && names_megolm(&room).await?,
        join_rule: room.join_rule().map(|rule| rule.as_str().to_owned()).unwrap_or_default(),
        guest_access: room.guest_access().to_string(),
        history_visibility: room.history_visibility_or_default().to_string(),
        federates: creation.federate,
        discoverable: room.canonical_alias().is_some()
            || !room.alt_aliases().is_empty()
            || !active(account, room_id, StateEventType::SpaceParent, "via").await?.is_empty(),
        members,
        powers: powers_of(&powers, owner),
        replaced_by: active(account, room_id, StateEventType::RoomTombstone, "replacement_room")
            .await?
            .first()
            .and_then(|room| id::room(room.as_str()?)),
    })
}

/// Returns the non-empty values of `field` in a room's state events of one type.
pub(super) async fn active(
    account: &Account,
    room: &RoomId,
    kind: StateEventType,
    field: &str,
) -> Result<Vec<Value>, MatrixError> {
    let events = account.room(room)?.get_state_events(kind).await?;
    let contents = events.iter().filter_map(|event| match event {
        RawAnySyncOrStrippedState::Sync(event) => event.get_field::<Value>("content").ok().flatten(),
        RawAnySyncOrStrippedState::Stripped(event) => event.get_field::<Value>("content").ok().flatten(),
    });
    let values = contents.filter_map(|content| content.get(field).cloned());
    Ok(values.filter(|value| *value != json!([]) && *value != json!("") && !value.is_null()).collect())
}

/// Returns whether a room's present encryption event names the algorithm that everybody has.
async fn names_megolm(room: &Room) -> Result<bool, MatrixError> {
    let content: Option<Value> = match room.get_state_event(StateEventType::RoomEncryption, "").await? {
        Some(RawAnySyncOrStrippedState::Sync(event)) => event.get_field("content").ok().flatten(),
        Some(RawAnySyncOrStrippedState::Stripped(event)) => event.get_field("content").ok().flatten(),
        None => None,
    };
    Ok(content.is_some_and(|content| Seal::of_state("", &content).megolm))
}

fn powers_of(levels: &RoomPowerLevels, owner: &UserId) -> Powers {
    let opening = OPENING.into_iter().map(|kind| {
        let kind: TimelineEventType = kind.into();
        levels.events.get(&kind).copied().unwrap_or(levels.state_default)
    });
    Powers {
        owner: match levels.for_user(owner) {
            UserPowerLevel::Int(level) => level.into(),
            _ => i64::MAX,
        },
        invite: levels.invite.into(),
        kick: levels.kick.into(),
        ban: levels.ban.into(),
        state: opening.min().unwrap_or(levels.state_default).into(),
    }
}

pub(super) fn state<C>(content: C) -> Raw<matrix_sdk::ruma::events::AnyInitialStateEvent>
where
    C: ruma::events::StaticStateEventContent<StateKey = EmptyStateKey>
        + ruma::events::StateEventContent
        + serde::Serialize,
{
    InitialStateEvent::with_empty_state_key(content).to_raw_any()
}
