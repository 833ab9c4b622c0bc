//! The audit room (C13): a private room that the service bot makes for the admins, and finds again by its mark.

use matrix_sdk::ruma::{
    api::client::room::create_room::v3::{CreationContent, Request, RoomPreset},
    events::{
        AnyInitialStateEvent, StateEventType,
        room::{
            encryption::RoomEncryptionEventContent,
            guest_access::{GuestAccess, RoomGuestAccessEventContent},
        },
    },
    serde::Raw,
};
use ruma::OwnedRoomId;
use serde_json::json;

use super::{
    account::Account,
    dm::{active, state},
    error::MatrixError,
    marks::AUDIT_MARK,
};

/// The field of the mark that names the room's owner.
pub(super) const MARK_FIELD: &str = "of";
/// The power level of the service bot; posting, inviting and changing state need it.
const BOT_LEVEL: i64 = 100;

/// A new audit room's name, topic and federation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRoom<'a> {
    /// `m.room.name`.
    pub name: &'a str,
    /// `m.room.topic`.
    pub topic: &'a str,
    /// Whether users of other servers can be invited.
    pub federates: bool,
}

/// Creates the audit room: encrypted, invite-only, without guests; only its creator may post, invite or change state.
///
/// # Errors
/// When the homeserver refuses or does not answer.
///
/// # Panics
/// Never: what is serialised is plain data.
pub(crate) async fn create(account: &Account, new: &NewRoom<'_>) -> Result<OwnedRoomId, MatrixError> {
    let mut creation = CreationContent::new();
    creation.federate = new.federates;
    let mark = json!({ "type": AUDIT_MARK, "state_key": "", "content": { MARK_FIELD: account.user() } });
    let levels = json!({
        "invite": BOT_LEVEL, "kick": BOT_LEVEL, "ban": BOT_LEVEL, "redact": BOT_LEVEL,
        "state_default": BOT_LEVEL, "events_default": BOT_LEVEL, "users_default": 0,
        "events": {
            "m.room.name": BOT_LEVEL, "m.room.avatar": BOT_LEVEL, "m.room.topic": BOT_LEVEL,
            "m.room.power_levels": BOT_LEVEL, "m.room.history_visibility": BOT_LEVEL,
            "m.room.canonical_alias": BOT_LEVEL, "m.room.tombstone": BOT_LEVEL,
            "m.room.server_acl": BOT_LEVEL, "m.room.encryption": BOT_LEVEL,
        },
    });
    let raw = "what is written here is plain data";
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.name = Some(new.name.to_owned());
    request.topic = Some(new.topic.to_owned());
    request.creation_content = Some(Raw::new(&creation).expect(raw));
    request.initial_state = vec![
        state(RoomEncryptionEventContent::with_recommended_defaults()),
        state(RoomGuestAccessEventContent::new(GuestAccess::Forbidden)),
        Raw::new(&mark).expect(raw).cast_unchecked::<AnyInitialStateEvent>(),
    ];
    request.power_level_content_override = Some(Raw::new(&levels).expect(raw).cast_unchecked());
    let room = Box::pin(account.client().create_room(request)).await?;
    let id = room.room_id().to_owned();
    account.sync().await?;
    Ok(id)
}

/// Returns the audit room that this user made and marked before, if it still exists.
///
/// # Errors
/// When the user's store cannot be read.
pub(crate) async fn find(account: &Account) -> Result<Option<OwnedRoomId>, MatrixError> {
    find_marked(account, AUDIT_MARK).await
}

/// Returns the room that this user made before and whose state event of type `mark` names this user in [`MARK_FIELD`].
pub(super) async fn find_marked(account: &Account, mark: &str) -> Result<Option<OwnedRoomId>, MatrixError> {
    let mut found = None;
    for room in account.joined() {
        let creation = account.room(&room)?.create_content();
        if creation.is_none_or(|creation| creation.creator != account.user()) {
            continue;
        }
        let marks = active(account, &room, StateEventType::from(mark), MARK_FIELD).await?;
        if marks.iter().any(|mark| mark.as_str() == Some(account.user().as_str())) {
            // If there are two, every start takes the same one.
            found = found.max(Some(room));
        }
    }
    Ok(found)
}
