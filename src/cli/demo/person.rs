//! A person with a real Matrix client: matrix-sdk, a password login, their own keys, a sync loop.
//!
//! They act in the demo and in the tests. They know nothing of Workmate, and see what any Matrix client shows.

pub mod file;
pub mod message;
pub mod timeline;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use matrix_sdk::cross_process_lock::CrossProcessLockConfig;
use matrix_sdk::{
    Client, Room,
    authentication::matrix::MatrixSession,
    config::SyncSettings,
    encryption::{BackupDownloadStrategy, EncryptionSettings, identities::UserDevices, recovery::RecoveryState},
    store::RoomLoadSettings,
};
use matrix_sdk_base::crypto::{CollectStrategy, DecryptionSettings, TrustRequirement};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::{
        filter::FilterDefinition,
        room::create_room::v3::{Request as CreateRoom, RoomPreset},
        sync::sync_events::v3::Filter,
    },
    events::{
        InitialStateEvent,
        room::{encryption::RoomEncryptionEventContent, member::MembershipState},
    },
    presence::PresenceState,
};
use serde_json::json;
use tokio::{sync::watch, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use self::{message::Message, timeline::Timeline};
use super::private_file;

/// How long a person waits for something to appear.
pub const WAIT_MAX: Duration = Duration::from_mins(1);
const LONG_POLL: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_millis(500);
const TIMELINE_EVENTS_MAX: u32 = 200;

/// A person's account and client settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The base URL of the homeserver's client-server API.
    pub homeserver: Url,
    /// The account's localpart.
    pub localpart: String,
    /// The account's password.
    pub password: String,
    /// Where the client keeps keys and login between runs; `None` keeps them in memory.
    pub store: Option<PathBuf>,
    /// What the client does about devices that their owner did not sign.
    pub unsigned_devices: UnsignedDevices,
    /// The phrase that gives their other clients access to identity and message keys; `None` makes no backup.
    pub recovery_passphrase: Option<String>,
    /// Whether the client shares older keys with people it invites (MSC4268).
    pub history_on_invite: HistoryOnInvite,
}

impl Options {
    /// Returns the options of an ordinary client that keeps everything in memory.
    #[must_use]
    pub fn new(homeserver: &Url, localpart: &str, password: &str) -> Self {
        Self {
            homeserver: homeserver.clone(),
            localpart: localpart.to_owned(),
            password: password.to_owned(),
            store: None,
            recovery_passphrase: None,
            unsigned_devices: UnsignedDevices::Accepted,
            history_on_invite: HistoryOnInvite::Shared,
        }
    }
}

/// What a client does about devices that their owner did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsignedDevices {
    /// It encrypts to them and reads from them.
    Accepted,
    /// It gives them no keys, and cannot read what they send (MSC4153).
    Excluded,
}

/// Whether a client shares older keys with people it invites (MSC4268).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryOnInvite {
    /// Shared, which is matrix-sdk's default.
    Shared,
    /// Withheld, as older clients do.
    Kept,
}

/// Whether a room is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomKind {
    /// Not encrypted: the homeserver can read everything.
    Plain,
    /// Encrypted from its first event.
    Encrypted,
}

/// A person who is logged in and syncing; dropping this ends the loop.
pub struct Person {
    client: Client,
    user_id: OwnedUserId,
    seen: Arc<Seen>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// What a client has seen since it started.
struct Seen {
    timelines: Mutex<BTreeMap<OwnedRoomId, Timeline>>,
    syncs: watch::Sender<u64>,
}

impl Seen {
    fn timelines(&self) -> MutexGuard<'_, BTreeMap<OwnedRoomId, Timeline>> {
        self.timelines.lock().expect("no holder of this lock panics")
    }
}

impl Person {
    /// Logs in, or resumes the store's login; sets up cross-signing and starts to sync.
    ///
    /// # Errors
    /// If the homeserver does not answer, refuses the login, or the store is unusable.
    pub async fn start(options: Options) -> Result<Self> {
        let who = options.localpart.clone();
        let client = build(&options).await.with_context(|| format!("{who}'s client"))?;
        log_in(&client, &options).await.with_context(|| format!("logging in as {who} at {}", options.homeserver))?;
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        if let Some(passphrase) = &options.recovery_passphrase {
            enable_recovery(&client, passphrase).await.with_context(|| format!("setting up {who}'s recovery"))?;
        }
        let user_id = client.user_id().context("a logged-in client has a user id")?.to_owned();
        let seen = Arc::new(Seen { timelines: Mutex::default(), syncs: watch::Sender::new(0) });
        let person = Self { client, user_id, seen, stopping: CancellationToken::new(), tasks: TaskTracker::new() };
        sync(&person.client, &person.seen, Duration::ZERO).await.with_context(|| format!("{who}'s first sync"))?;
        let (client, seen, stopping) = (person.client.clone(), person.seen.clone(), person.stopping.clone());
        person.tasks.spawn(stopping.run_until_cancelled_owned(async move { sync_forever(&client, &seen).await }));
        person.tasks.close();
        Ok(person)
    }

    /// Stops syncing and waits until the loop has ended.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.tasks.wait().await;
    }

    /// Returns the full user id.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// Returns the SDK's client, for calls that this type does not offer.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns a room that the client knows.
    ///
    /// # Errors
    /// If the client does not know the room.
    pub fn room(&self, room: &RoomId) -> Result<Room> {
        self.client.get_room(room).with_context(|| format!("{} does not know {room}", self.user_id))
    }

    /// Creates a private room and invites people to it.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn create_room(&self, kind: RoomKind, name: &str, invite: &[&UserId]) -> Result<OwnedRoomId> {
        let mut request = CreateRoom::new();
        request.name = Some(name.to_owned());
        request.preset = Some(RoomPreset::PrivateChat);
        request.invite = invite.iter().map(|&user| user.to_owned()).collect();
        if kind == RoomKind::Encrypted {
            request.initial_state = vec![encryption_on()];
        }
        let room = self.client.create_room(request).await.with_context(|| format!("making the room {name}"))?;
        self.until_membership(room.room_id(), &self.user_id, &MembershipState::Join).await?;
        Ok(room.room_id().to_owned())
    }

    /// Opens an encrypted direct chat, as a client's "start chat" does.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn create_dm(&self, with: &UserId) -> Result<OwnedRoomId> {
        let room = self.client.create_dm(with).await.with_context(|| format!("opening a direct chat with {with}"))?;
        self.until_membership(room.room_id(), &self.user_id, &MembershipState::Join).await?;
        Ok(room.room_id().to_owned())
    }

    /// Invites somebody; shares older keys if the options say so.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn invite(&self, room: &RoomId, user: &UserId) -> Result<()> {
        self.room(room)?.invite_user_by_id(user).await.with_context(|| format!("inviting {user} to {room}"))
    }

    /// Joins a room and waits until the client has seen its own join.
    ///
    /// # Errors
    /// If there is no invite, or the homeserver refuses.
    pub async fn join(&self, room: &RoomId) -> Result<()> {
        self.client.join_room_by_id(room).await.with_context(|| format!("{} joining {room}", self.user_id))?;
        self.until_membership(room, &self.user_id, &MembershipState::Join).await
    }

    /// Sends a message, encrypted if the room is.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn send(&self, room: &RoomId, message: impl Into<Message>) -> Result<OwnedEventId> {
        let sent = self.room(room)?.send_raw("m.room.message", message.into().content()).await;
        Ok(sent.with_context(|| format!("{} sending to {room}", self.user_id))?.response.event_id)
    }

    /// Reacts to an event.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn react(&self, room: &RoomId, event: &EventId, key: &str) -> Result<OwnedEventId> {
        let content = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}});
        Ok(self.room(room)?.send_raw("m.reaction", content).await?.response.event_id)
    }

    /// Redacts an event.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn redact(&self, room: &RoomId, event: &EventId) -> Result<()> {
        self.room(room)?.redact(event, None, None).await?;
        Ok(())
    }

    /// Returns a copy of the room's timeline since this client started.
    #[must_use]
    pub fn timeline(&self, room: &RoomId) -> Timeline {
        self.seen.timelines().get(room).cloned().unwrap_or_default()
    }

    /// Waits until `check` returns something for the room's timeline; `what` names it in the error.
    ///
    /// # Errors
    /// If that takes longer than [`WAIT_MAX`]; the message shows the timeline.
    pub async fn until<T>(&self, room: &RoomId, what: &str, check: impl Fn(&Timeline) -> Option<T>) -> Result<T> {
        let deadline = time::Instant::now() + WAIT_MAX;
        let mut syncs = self.seen.syncs.subscribe();
        loop {
            syncs.borrow_and_update();
            if let Some(found) = check(self.seen.timelines().get(room).unwrap_or(&Timeline::default())) {
                return Ok(found);
            }
            if time::timeout_at(deadline, syncs.changed()).await.is_err() {
                let (user, timeline) = (&self.user_id, self.timeline(room));
                bail!("{user} waited {} s in {room} for {what}; it saw:\n{timeline}", WAIT_MAX.as_secs());
            }
        }
    }

    /// Returns somebody's membership in a room as this client knows it.
    ///
    /// # Errors
    /// If the client does not know the room, or its store fails.
    pub async fn membership(&self, room: &RoomId, user: &UserId) -> Result<Option<MembershipState>> {
        let Some(room) = self.client.get_room(room) else { return Ok(None) };
        Ok(room.get_member_no_sync(user).await?.map(|member| member.membership().clone()))
    }

    /// Waits until somebody's membership is `wanted`.
    ///
    /// # Errors
    /// If that takes longer than [`WAIT_MAX`]; the message says what the membership is.
    pub async fn until_membership(&self, room: &RoomId, user: &UserId, wanted: &MembershipState) -> Result<()> {
        let deadline = time::Instant::now() + WAIT_MAX;
        let mut syncs = self.seen.syncs.subscribe();
        loop {
            syncs.borrow_and_update();
            let found = self.membership(room, user).await?;
            if found.as_ref() == Some(wanted) {
                return Ok(());
            }
            if time::timeout_at(deadline, syncs.changed()).await.is_err() {
                bail!("after {} s {user} is {found:?} in {room}, not {wanted:?}", WAIT_MAX.as_secs());
            }
        }
    }

    /// Waits for an invite from `inviter` and returns its room.
    ///
    /// # Errors
    /// If none comes within [`WAIT_MAX`].
    pub async fn until_invited_by(&self, inviter: &UserId) -> Result<OwnedRoomId> {
        let deadline = time::Instant::now() + WAIT_MAX;
        let mut syncs = self.seen.syncs.subscribe();
        loop {
            syncs.borrow_and_update();
            for room in self.client.invited_rooms() {
                // An error means that the room is no longer in the invited state, so it is not the one.
                if room.invite_details().await.is_ok_and(|invite| invite.inviter_id == inviter) {
                    return Ok(room.room_id().to_owned());
                }
            }
            if time::timeout_at(deadline, syncs.changed()).await.is_err() {
                bail!("{} waited {} s for an invite from {inviter}", self.user_id, WAIT_MAX.as_secs());
            }
        }
    }

    /// Returns somebody's devices, freshly queried from the homeserver.
    ///
    /// # Errors
    /// If the homeserver does not answer.
    pub async fn devices(&self, user: &UserId) -> Result<UserDevices> {
        self.client.encryption().request_user_identity(user).await?;
        Ok(self.client.encryption().get_user_devices(user).await?)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn build(options: &Options) -> Result<Client> {
    let encryption = EncryptionSettings {
        auto_enable_cross_signing: true,
        auto_enable_backups: false,
        backup_download_strategy: BackupDownloadStrategy::Manual,
    };
    let mut builder = Client::builder()
        .homeserver_url(options.homeserver.as_str())
        .respect_login_well_known(false)
        .http_client(reqwest::Client::builder().no_proxy().build()?)
        .cross_process_store_config(CrossProcessLockConfig::SingleProcess)
        .with_encryption_settings(encryption)
        .with_enable_share_history_on_invite(options.history_on_invite == HistoryOnInvite::Shared);
    if options.unsigned_devices == UnsignedDevices::Excluded {
        builder =
            builder.with_room_key_recipient_strategy(CollectStrategy::IdentityBasedStrategy).with_decryption_settings(
                DecryptionSettings { sender_device_trust_requirement: TrustRequirement::CrossSigned },
            );
    }
    if let Some(dir) = &options.store {
        fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
        builder = builder.sqlite_store(dir, None);
    }
    Ok(builder.build().await?)
}

/// Resumes the login in the store's directory, or logs in and keeps the login there.
async fn log_in(client: &Client, options: &Options) -> Result<()> {
    let kept = options.store.as_deref().map(session_path);
    if let Some(text) = kept.as_ref().and_then(|path| fs::read_to_string(path).ok()) {
        let session: MatrixSession = serde_json::from_str(&text).context("the kept login is unreadable")?;
        client.matrix_auth().restore_session(session, RoomLoadSettings::default()).await?;
        client.whoami().await.context("the kept login is no longer valid. Mend: start with --fresh.")?;
        return Ok(());
    }
    let login = client.matrix_auth().login_username(&options.localpart, &options.password);
    login.initial_device_display_name("a person's client").send().await?;
    if let (Some(path), Some(session)) = (kept, client.matrix_auth().session()) {
        private_file::write(&path, &serde_json::to_string(&session)?)?;
    }
    Ok(())
}

/// Sets up key backup and secret storage, unless they exist already.
async fn enable_recovery(client: &Client, passphrase: &str) -> Result<()> {
    let recovery = client.encryption().recovery();
    if recovery.state() == RecoveryState::Disabled {
        recovery.enable().with_passphrase(passphrase).await?;
    }
    Ok(())
}

fn session_path(store: &Path) -> PathBuf {
    store.join("session.json")
}

async fn sync_forever(client: &Client, seen: &Seen) {
    loop {
        if sync(client, seen, LONG_POLL).await.is_err() {
            time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Syncs once and adds the new events to the timelines.
async fn sync(client: &Client, seen: &Seen, timeout: Duration) -> Result<()> {
    let mut filter = FilterDefinition::default();
    filter.room.timeline.limit = Some(TIMELINE_EVENTS_MAX.into());
    let settings = SyncSettings::new()
        .timeout(timeout)
        .ignore_timeout_on_first_sync(false)
        .set_presence(PresenceState::Offline)
        .filter(Filter::FilterDefinition(filter));
    let response = client.sync_once(settings).await?;
    for (room, update) in response.rooms.joined {
        let mut timelines = seen.timelines();
        let timeline = timelines.entry(room).or_default();
        update.timeline.events.iter().for_each(|event| timeline.take(event));
        update.ephemeral.iter().for_each(|event| timeline.take_ephemeral(event.json()));
    }
    for (room, update) in response.rooms.left {
        let mut timelines = seen.timelines();
        let timeline = timelines.entry(room).or_default();
        update.timeline.events.iter().for_each(|event| timeline.take(event));
    }
    decrypt_late(client, seen).await;
    seen.syncs.send_modify(|syncs| *syncs += 1);
    Ok(())
}

/// Retries undecryptable events: their keys may have come with this sync.
async fn decrypt_late(client: &Client, seen: &Seen) {
    let waiting: Vec<_> = seen
        .timelines()
        .iter()
        .flat_map(|(room, timeline)| timeline.undecrypted().map(|raw| (room.clone(), raw)).collect::<Vec<_>>())
        .collect();
    for (room_id, raw) in waiting {
        let Some(room) = client.get_room(&room_id) else { continue };
        let Ok(event) = room.decrypt_event(raw.cast_ref_unchecked(), None).await else { continue };
        if let Some(timeline) = seen.timelines().get_mut(&room_id).filter(|_| !event.kind.is_utd()) {
            timeline.replace(&event);
        }
    }
}

fn encryption_on() -> ruma::serde::Raw<ruma::events::AnyInitialStateEvent> {
    InitialStateEvent::with_empty_state_key(RoomEncryptionEventContent::with_recommended_defaults()).to_raw_any()
}
