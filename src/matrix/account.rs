//! A virtual user's live client: its syncs, its view of rooms, and what it sends.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, Weak, atomic::AtomicBool},
    time::Duration,
};

use matrix_sdk::{Client, Room, RoomMemberships, RoomState, SqliteCryptoStore};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId, RoomId, ServerName, UserId,
    api::client::receipt::create_receipt::v3::ReceiptType,
    events::{reaction::ReactionEventContent, receipt::ReceiptThread, relation::Annotation},
};
use tokio::time::Instant;

use super::{error::MatrixError, gate::Gate, outbound, outdated::Outdated, pulse::Pulse, seals::Seals, window::Window};
use crate::{
    core::{
        event::{Outgoing, Place},
        id,
        sealed::Speech,
    },
    secret::Secret,
};

mod ahead;
mod anew;
mod called;
mod carried;
mod current;
mod devices;
mod health;
mod megolm;
mod mending;
pub(crate) mod own;
mod pages;
mod parts;
mod past;
mod pins;
mod power;
mod reading;
mod relations;
mod requests;
mod sealing;
mod standing;
mod succession;
mod synced;
mod threads;
mod verification;

pub(crate) use self::carried::Carried;
pub(crate) use self::devices::Vouched;
pub(crate) use self::health::Renewal;
pub(crate) use self::pages::Page;
pub(crate) use self::power::Redactions;
pub(crate) use self::requests::Found;
pub(super) use self::requests::asks_to_verify;
pub(crate) use self::standing::Edited;
pub(crate) use self::succession::Tombstone;
pub(crate) use self::synced::Stretch;
pub(crate) use self::verification::{Asked, Emoji, Ending, Verification, Verifying};

/// The event type of messages.
const MESSAGE: &str = "m.room.message";

/// The pause between two syncs while first words are sent.
const LISTEN_PAUSE: Duration = Duration::from_millis(20);

/// Events requested in one page of history.
const PAGE_EVENTS: u32 = 100;

/// The live client of a virtual user.
pub struct Account {
    /// A handle to itself, for tasks that outlive their caller.
    me: Weak<Self>,
    user: OwnedUserId,
    client: Client,
    /// The client's own key store, for closing it.
    crypto: SqliteCryptoStore,
    token: Secret,
    dir: PathBuf,
    health: health::Health,
    last_sync: tokio::sync::Mutex<Option<Instant>>,
    windows: Mutex<HashMap<OwnedRoomId, Window>>,
    /// Rooms with events that only a sync can deliver, and since when.
    behind: Mutex<HashMap<OwnedRoomId, Instant>>,
    pins: Mutex<HashMap<OwnedRoomId, pins::Pins>>,
    synced: Mutex<synced::Synced>,
    ahead: ahead::Ahead,
    /// Whether the last sync brought as many to-device messages as a sync can.
    keys_wait: AtomicBool,
    verifications: requests::Requests,
    seals: Seals,
    outdated: Outdated,
    no_threads: threads::NoThreads,
}

/// A room's name, setup and members, as one member sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// Whether the room is encrypted.
    pub encrypted: bool,
    /// Display names of the joined and invited members, by user id.
    pub names: BTreeMap<OwnedUserId, String>,
    /// The joined members.
    pub joined: BTreeSet<OwnedUserId>,
    /// The invited members.
    pub invited: BTreeSet<OwnedUserId>,
    /// `m.room.pinned_events`, in the order of pinning.
    pub pinned: Vec<OwnedEventId>,
}

/// A file to send.
#[derive(Clone, Debug)]
pub struct File {
    /// The file name that people see.
    pub name: String,
    /// The media type that the event claims.
    pub media_type: mime::Mime,
    /// The content, unencrypted.
    pub bytes: Vec<u8>,
}

impl Account {
    /// Wraps a client with a restored session.
    ///
    /// # Panics
    /// If the client has no session.
    #[must_use]
    pub fn new(
        (client, crypto): (Client, SqliteCryptoStore),
        token: Secret,
        dir: PathBuf,
        renewal: Renewal,
        (pulse, seals, outdated, gate): (Pulse, Seals, Outdated, &Gate),
    ) -> Arc<Self> {
        let user = client.user_id().expect("a restored session has a user").to_owned();
        let health = health::Health::new(renewal, pulse);
        let (last_sync, windows, behind, pins, synced, ahead, keys_wait, no_threads) = Default::default();
        let verifications = requests::Requests::of(&client);
        Arc::new_cyclic(|me: &Weak<Self>| {
            let me = me.clone();
            requests::watch(gate, &user, me.clone());
            Self {
                me,
                user,
                client,
                crypto,
                token,
                dir,
                health,
                last_sync,
                windows,
                behind,
                pins,
                synced,
                ahead,
                keys_wait,
                verifications,
                seals,
                outdated,
                no_threads,
            }
        })
    }

    /// Returns the virtual user's id.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Returns the SDK client, for this module only.
    #[must_use]
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the token that identifies this client to the proxy.
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// Returns the folder with all of this user's stores.
    #[must_use]
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// Returns the rooms that this user has joined, as of its last sync.
    #[must_use]
    pub fn joined(&self) -> Vec<OwnedRoomId> {
        self.client.joined_rooms().into_iter().map(|room| room.room_id().to_owned()).collect()
    }

    /// Returns the rooms that this user is invited to, as of its last sync.
    #[must_use]
    pub fn invited(&self) -> Vec<OwnedRoomId> {
        self.client.invited_rooms().into_iter().map(|room| room.room_id().to_owned()).collect()
    }

    /// Returns whether this user has joined `room`, as of its last sync.
    #[must_use]
    pub fn is_in(&self, room: &RoomId) -> bool {
        self.client.get_room(room).is_some_and(|room| room.state() == RoomState::Joined)
    }

    /// Returns whether this user was in `room` and no longer is, as of its last sync.
    #[must_use]
    pub fn has_left(&self, room: &RoomId) -> bool {
        self.client.get_room(room).is_some_and(|room| matches!(room.state(), RoomState::Left | RoomState::Banned))
    }

    /// Returns the number of members in a room without pending invites, as the homeserver counted at the last sync.
    /// `None` if somebody is invited or the count is unknown.
    #[must_use]
    pub fn alone_with(&self, room: &RoomId) -> Option<usize> {
        let room = self.client.get_room(room).filter(|room| room.state() == RoomState::Joined)?;
        let joined = usize::try_from(room.joined_members_count()).ok().filter(|joined| *joined > 0)?;
        (room.invited_members_count() == 0).then_some(joined)
    }

    /// Returns whether this user created the room.
    #[must_use]
    pub fn made(&self, room: &RoomId) -> bool {
        let creation = self.client.get_room(room).and_then(|room| room.create_content());
        creation.is_none_or(|creation| creation.creator == self.user)
    }

    /// Joins a room and syncs, so that the room is known with its state.
    ///
    /// # Errors
    /// When the homeserver refuses (no invite, banned) or does not answer.
    pub async fn join(&self, room: &RoomId) -> Result<(), MatrixError> {
        // For a known invite, `Room::join` keeps what came with it: the inviter and shared history.
        match self.client.get_room(room) {
            Some(known) => Box::pin(known.join()).await?,
            None => {
                Box::pin(self.client.join_room_by_id(room)).await?;
            }
        }
        self.sync().await
    }

    /// Joins a room without needing an invite, through a server that is in it.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub async fn join_via(&self, room: &RoomId, server: &ServerName) -> Result<(), MatrixError> {
        if !self.is_in(room) {
            let via = [server.to_owned()];
            Box::pin(self.client.join_room_by_id_or_alias(room.into(), &via)).await?;
        }
        self.sync().await
    }

    /// Returns whether a room is a space.
    #[must_use]
    pub fn is_space(&self, room: &RoomId) -> bool {
        self.client.get_room(room).is_some_and(|room| room.is_space())
    }

    /// Returns whether anybody may join a room without an invite; an unknown room counts as public.
    #[must_use]
    pub fn is_public(&self, room: &RoomId) -> bool {
        self.client.get_room(room).and_then(|room| room.is_public()).unwrap_or(true)
    }

    /// Leaves a room or declines its invite; people's apps show the `reason`.
    ///
    /// # Errors
    /// When the homeserver does not answer. Leaving a room that the user is not in succeeds.
    pub async fn leave(&self, room: &RoomId, reason: Option<&str>) -> Result<(), MatrixError> {
        let mut request = ruma::api::client::membership::leave_room::v3::Request::new(room.to_owned());
        request.reason = reason.map(str::to_owned);
        match self.client.send(request).await.map_err(matrix_sdk::Error::from) {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = MatrixError::from(error);
                if error.is_forbidden() { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Returns the event with which this user joined the room, as of its last sync.
    ///
    /// # Errors
    /// When the room is not joined or the store fails.
    pub async fn joined_by(&self, room: &RoomId) -> Result<Option<OwnedEventId>, MatrixError> {
        let member = self.room(room)?.get_member_no_sync(&self.user).await?;
        Ok(member.and_then(|member| member.event().event_id().map(ToOwned::to_owned)))
    }

    /// Invites somebody.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub async fn invite(&self, room: &RoomId, user: &UserId) -> Result<(), MatrixError> {
        Ok(self.room(room)?.invite_user_by_id(user).await?)
    }

    /// Kicks somebody from a room, or withdraws their invite.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub async fn remove(&self, room: &RoomId, user: &UserId) -> Result<(), MatrixError> {
        Ok(self.room(room)?.kick_user(user, None).await?)
    }

    /// Returns who invited this user to a room.
    pub async fn inviter(&self, room: &RoomId) -> Option<OwnedUserId> {
        let room = self.client.get_room(room).filter(|room| room.state() == RoomState::Invited)?;
        Some(room.invite_details().await.ok()?.inviter?.user_id().to_owned())
    }

    /// Returns a room's name, setup and members.
    ///
    /// # Errors
    /// When the member list is not known yet and the homeserver does not answer.
    pub async fn facts(&self, room: &RoomId) -> Result<Facts, MatrixError> {
        let room = self.room(room)?;
        let members = room.members(RoomMemberships::JOIN | RoomMemberships::INVITE).await?;
        let mut facts = Facts {
            name: room.name(),
            topic: room.topic(),
            encrypted: self.speech_in(room.room_id()).await? != Speech::Plain,
            pinned: room
                .pinned_event_ids()
                .unwrap_or_default()
                .into_iter()
                .filter(|event| id::is_event(event))
                .collect(),
            ..Facts::default()
        };
        for member in members {
            let user = member.user_id().to_owned();
            facts.names.insert(user.clone(), member.name().to_owned());
            let invited = *member.membership() == ruma::events::room::member::MembershipState::Invite;
            let place = if invited { &mut facts.invited } else { &mut facts.joined };
            place.insert(user);
        }
        Ok(facts)
    }

    /// Returns the joined members with their display names.
    ///
    /// # Errors
    /// When the member list is not known yet and the homeserver does not answer.
    pub async fn joined_names(&self, room: &RoomId) -> Result<Vec<(OwnedUserId, String)>, MatrixError> {
        let members = self.room(room)?.members(RoomMemberships::JOIN).await?;
        Ok(members.iter().map(|member| (member.user_id().to_owned(), member.name().to_owned())).collect())
    }

    /// Sends a message, encrypted if the room is. Sending again with the same `txn` gives the same event.
    ///
    /// # Errors
    /// When the message was not accepted; [`MatrixError::is_passing`] tells whether to retry.
    pub async fn send(
        &self,
        room: &RoomId,
        message: &Outgoing,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        Box::pin(self.say_content(room, outbound::content(message), txn)).await
    }

    /// Sends like [`Self::send`]; in an encrypted room it also syncs during the send and once after it.
    ///
    /// First words open an encrypted channel to every device in the room. A client that is about to write then shares
    /// its session's key again, starting at its next message. If one sync delivers both copies, the SDK keeps the later
    /// one, which cannot decrypt the earlier messages (matrix-sdk-crypto 0.18, `receive_sync_changes`).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_first_words(
        &self,
        room: &RoomId,
        message: &Outgoing,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        let (_, speech) = Box::pin(self.door(room)).await?;
        if speech == Speech::Plain {
            return self.send(room, message, txn).await;
        }
        let mut sending = std::pin::pin!(self.send(room, message, txn));
        let sent = loop {
            let listened = async {
                // If the homeserver is unavailable, the send reports it.
                let _ = self.sync().await;
                tokio::time::sleep(LISTEN_PAUSE).await;
            };
            tokio::select! {
                biased;
                sent = &mut sending => break sent?,
                () = listened => {}
            }
        };
        self.sync().await?;
        Ok(sent)
    }

    /// Edits one of this user's messages.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn edit(
        &self,
        room: &RoomId,
        target: &EventId,
        message: &Outgoing,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        Box::pin(self.say_content(room, outbound::edit(message, target.to_owned(), true), txn)).await
    }

    /// Reacts to an event.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn react(
        &self,
        room: &RoomId,
        target: &EventId,
        key: &str,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        let content = ReactionEventContent::new(Annotation::new(target.to_owned(), key.to_owned()));
        let sent = Box::pin(self.room(room)?.send(content).with_transaction_id(txn).into_future()).await?;
        Ok(sent.response.event_id)
    }

    /// Uploads a file, encrypted if the room is, and sends it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_file(
        &self,
        room: &RoomId,
        file: File,
        place: &Place,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        Box::pin(self.say_file(room, (&file, None), place, txn)).await
    }

    /// Redacts one of this user's events.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn redact(&self, room: &RoomId, target: &EventId, txn: OwnedTransactionId) -> Result<(), MatrixError> {
        self.room(room)?.redact(target, None, Some(txn)).await.map_err(matrix_sdk::Error::from)?;
        Ok(())
    }

    /// Shows or hides that this user is typing.
    ///
    /// # Errors
    /// When the homeserver does not answer; nobody needs to act on it.
    pub async fn typing(&self, room: &RoomId, typing: bool) -> Result<(), MatrixError> {
        Ok(self.room(room)?.typing_notice(typing).await?)
    }

    /// Marks an event as read, in its thread if it has one.
    ///
    /// # Errors
    /// When the homeserver does not answer; nobody needs to act on it.
    pub async fn receipt(&self, room: &RoomId, event: &EventId, thread: Option<&EventId>) -> Result<(), MatrixError> {
        let thread = thread.map_or(ReceiptThread::Main, |root| ReceiptThread::Thread(root.to_owned()));
        let room = self.room(room)?;
        Ok(room.send_single_receipt(ReceiptType::Read, thread, event.to_owned()).await?)
    }

    /// Waits until the key backup holds every key, but no longer than `most`.
    pub async fn settle_backup(&self, most: Duration) {
        let settled = tokio::time::timeout(most, self.client.encryption().backups().wait_for_steady_state()).await;
        if !matches!(settled, Ok(Ok(()))) {
            tracing::debug!(user.id = %self.user, "the key backup is not complete yet; it goes on at the next start");
        }
    }

    pub(super) fn room(&self, room: &RoomId) -> Result<Room, MatrixError> {
        let joined = self.client.get_room(room).filter(|room| room.state() == RoomState::Joined);
        joined.ok_or_else(|| MatrixError::NotJoined { user: self.user.to_string(), room: room.to_string() })
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}
