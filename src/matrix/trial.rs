//! Two throw-away users that show whether users of ours can act, encrypt and read (`workmate doctor`).
//!
//! They have ids that no coworker can have, and meet in a room that only they know of. [`Trial::tidy`] logs their devices
//! out and has them leave and forget every room, also what an earlier trial left that broke off; only the two accounts
//! stay, which the next trial uses again. They join without an invite, because a Workmate that serves declines invites
//! among its own users.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use matrix_sdk::ruma::{
    api::client::room::create_room::v3::{CreationContent, Request, RoomPreset},
    events::room::{
        encryption::RoomEncryptionEventContent,
        join_rules::{JoinRule, RoomJoinRulesEventContent},
    },
    serde::Raw,
};
use reqwest::Method;
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    account::Account,
    api::{Api, Body, encode},
    dm::state,
    error::MatrixError,
    provision::Provisioner,
    proxy::Identity,
};
use crate::{
    core::{
        event::{EventKind, Outgoing, OutgoingKind, Place},
        hex::hex,
        id,
        people::Namespace,
    },
    secret::{MasterSecret, Secret},
};

/// The name of their devices.
const DEVICE: &str = "Workmate doctor";
/// The ends of their localparts, after the coworkers' prefix; no coworker's id has a dot.
const ENDS: [&str; 2] = ["doctor.a", "doctor.b"];
/// The beginning of the folder's name in which their stores are.
const FOLDER: &str = "workmate-doctor-";
/// The file in it that is locked while its trial goes on.
const LOCK: &str = "lock";
/// Most syncs until a message has to be readable.
const SYNCS_MAX: u32 = 20;
/// Pause between two of these syncs.
const SYNC_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that the homeserver may demand while it is tidied up.
const TIDY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often a call of the tidying is tried.
const TIDY_TRIES: u32 = 4;
/// Calls in a row that show whether the homeserver slows our users down; more than Synapse allows a person.
const HASTE_CALLS: u32 = 14;
/// The type of the state that these calls set.
const HASTE: &str = "io.workmate.doctor";

/// The two users, and where their stores are.
pub(crate) struct Trial {
    api: Api,
    users: [OwnedUserId; 2],
    provisioner: Provisioner,
    _folder: TempDir,
    _lock: File,
}

/// Why a trial did not begin.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// Another one goes on.
    Another,
    /// There is no place for the stores.
    NoPlace(io::Error),
}

/// A step of a trial, by what did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Making the users and their devices.
    Users,
    /// Making an encrypted room.
    Room,
    /// Joining it.
    Join,
    /// Sending an encrypted message.
    Send,
    /// Reading it with the other user.
    Read,
    /// Cleaning up what an earlier trial left.
    Leftovers,
}

/// What a step met.
#[derive(Debug)]
pub(crate) enum Met {
    /// An error.
    Error(MatrixError),
    /// A message that arrived unencrypted.
    Unencrypted,
    /// A message whose key did not come.
    Unreadable,
}

/// A trial that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchanged {
    /// From sending a message until the other user had read it.
    pub(crate) took: Duration,
    /// How long the homeserver had our users wait, if it slows them down.
    pub(crate) slowed: Option<Duration>,
}

impl Trial {
    /// Prepares a trial; nothing is called yet.
    ///
    /// # Errors
    /// When another one goes on, or there is no room for temporary files.
    pub(crate) fn new(api: &Api, namespace: &Namespace) -> Result<Self, NotBegun> {
        let users = ENDS.map(|end| namespace.coworker(end));
        let name = format!("{FOLDER}{}-", &hex(&Sha256::digest(users[0].as_bytes()))[..12]);
        if sweep(&std::env::temp_dir(), &name) {
            return Err(NotBegun::Another);
        }
        let private = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(&name).permissions(private).tempdir();
        let folder = folder.map_err(NotBegun::NoPlace)?;
        let lock = File::create(folder.path().join(LOCK)).and_then(|lock| Ok(lock.try_lock().map(|()| lock)?));
        let lock = lock.map_err(NotBegun::NoPlace)?;
        let provisioner = Provisioner::new(api.clone(), folder.path(), MasterSecret::random());
        Ok(Self { api: api.clone(), users, provisioner, _folder: folder, _lock: lock })
    }

    /// Has the two exchange a message each way, encrypted, and tries how fast they may act.
    ///
    /// # Errors
    /// The step that failed, and what it met. [`Self::tidy`] has to follow in any case.
    pub(crate) async fn exchange(&self) -> Result<Exchanged, (Step, Met)> {
        let failed = |step| move |error: MatrixError| (step, Met::Error(error));
        self.tidy().await.map_err(failed(Step::Leftovers))?;
        let [one, other] = &self.users;
        let opened = tokio::try_join!(
            Box::pin(self.provisioner.open_for_trial(one, DEVICE)),
            Box::pin(self.provisioner.open_for_trial(other, DEVICE)),
        );
        let (one, other) = opened.map_err(failed(Step::Users))?;
        let room = Box::pin(meet(&one)).await.map_err(failed(Step::Room))?;
        Box::pin(other.join(&room)).await.map_err(failed(Step::Join))?;
        one.sync().await.map_err(failed(Step::Join))?;
        let began = Instant::now();
        self.pass_on(&one, &other, &room).await?;
        let took = began.elapsed();
        self.pass_on(&other, &one, &room).await?;
        let slowed = self.haste(one.user(), &room).await.map_err(failed(Step::Room))?;
        Ok(Exchanged { took, slowed })
    }

    /// Sends random words from one user to the other.
    async fn pass_on(&self, from: &Arc<Account>, to: &Arc<Account>, room: &RoomId) -> Result<(), (Step, Met)> {
        let failed = |step| move |error: MatrixError| (step, Met::Error(error));
        let words = Secret::random().expose().to_owned();
        let message = Outgoing {
            kind: OutgoingKind::Notice,
            body: words.clone(),
            html: None,
            mentions: [].into(),
            place: Place::Timeline,
            sources: Vec::new(),
        };
        let txn = format!("wm-doctor-{}", Secret::random().expose()).into();
        let sent = Box::pin(from.send(room, &message, txn)).await.map_err(failed(Step::Send))?;
        if self.kind_of(from.user(), room, &sent).await.map_err(failed(Step::Send))? != "m.room.encrypted" {
            return Err((Step::Send, Met::Unencrypted));
        }
        for _ in 0..SYNCS_MAX {
            to.sync().await.map_err(failed(Step::Read))?;
            let read = Box::pin(to.event(room, &sent)).await.map_err(failed(Step::Read))?;
            if let Some(EventKind::Message(read)) = read.map(|read| read.event.kind)
                && read.body == words
            {
                return Ok(());
            }
            tokio::time::sleep(SYNC_PAUSE).await;
        }
        Err((Step::Read, Met::Unreadable))
    }

    /// Returns the type of an event as the homeserver has it.
    async fn kind_of(&self, user: &UserId, room: &RoomId, event: &EventId) -> Result<String, MatrixError> {
        let [room, event] = [room.as_str(), event.as_str()].map(encode);
        let path = format!("/_matrix/client/v3/rooms/{room}/event/{event}");
        let answer = self.call(user, Method::GET, &path).await?;
        Ok(answer["type"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes calls in a row; returns how long the homeserver had them wait, if it did.
    async fn haste(&self, user: &UserId, room: &RoomId) -> Result<Option<Duration>, MatrixError> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{HASTE}", encode(room.as_str()));
        for number in 0..HASTE_CALLS {
            let body = Some(Body::Json(json!({ "number": number })));
            match self.api.call(Identity::User(user.to_owned()), Method::PUT, &path, body).await {
                Ok(_) => {}
                Err(MatrixError::Refused { errcode, retry_after, .. }) if errcode == "M_LIMIT_EXCEEDED" => {
                    return Ok(Some(retry_after.unwrap_or_default()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Logs every device of the two out and has them leave and forget every room.
    ///
    /// # Errors
    /// The first call that failed; the others are made nevertheless.
    pub(crate) async fn tidy(&self) -> Result<(), MatrixError> {
        let mut first = None;
        let mut rooms: Vec<OwnedRoomId> = Vec::new();
        for user in &self.users {
            match self.rooms_of(user).await {
                Ok(theirs) => rooms.extend(theirs),
                Err(error) => first = first.or(Some(error)),
            }
        }
        rooms.sort();
        rooms.dedup();
        for room in &rooms {
            for user in &self.users {
                for what in ["leave", "forget"] {
                    let path = format!("/_matrix/client/v3/rooms/{}/{what}", encode(room.as_str()));
                    match self.call_again(user, &path).await {
                        Err(error) if !error.is_refusal() => first = first.or(Some(error)),
                        _ => {}
                    }
                }
            }
        }
        for user in &self.users {
            if let Err(error) = self.log_out(user).await {
                first = first.or(Some(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn rooms_of(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, MatrixError> {
        let answer = match self.call(user, Method::GET, "/_matrix/client/v3/joined_rooms").await {
            // No such user yet, so nothing to tidy.
            Err(error) if error.is_refusal() => return Ok(Vec::new()),
            answer => answer?,
        };
        let rooms = answer["joined_rooms"].as_array().into_iter().flatten();
        Ok(rooms.filter_map(|room| id::room(room.as_str()?)).collect())
    }

    async fn log_out(&self, user: &UserId) -> Result<(), MatrixError> {
        let devices = match self.api.devices(user).await {
            Err(error) if error.is_refusal() => return Ok(()),
            devices => devices?,
        };
        for device in devices {
            self.api.delete_device(user, &device).await?;
        }
        Ok(())
    }

    /// Posts, and waits for a homeserver that slows our users down.
    async fn call_again(&self, user: &UserId, path: &str) -> Result<serde_json::Value, MatrixError> {
        for _ in 1..TIDY_TRIES {
            match self.call(user, Method::POST, path).await {
                Err(MatrixError::Refused { errcode, retry_after, .. })
                    if errcode == "M_LIMIT_EXCEEDED" && retry_after.is_some_and(|wait| wait <= TIDY_PAUSE_MAX) =>
                {
                    tokio::time::sleep(retry_after.unwrap_or_default()).await;
                }
                answer => return answer,
            }
        }
        self.call(user, Method::POST, path).await
    }

    async fn call(&self, user: &UserId, method: Method, path: &str) -> Result<serde_json::Value, MatrixError> {
        let body = (method == Method::POST).then(|| Body::Json(json!({})));
        self.api.call(Identity::User(user.to_owned()), method, path, body).await
    }
}

/// Makes a room that only its members know of; whoever knows its id may join.
async fn meet(account: &Account) -> Result<OwnedRoomId, MatrixError> {
    let mut creation = CreationContent::new();
    creation.federate = false;
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.name = Some(DEVICE.to_owned());
    request.creation_content = Some(Raw::new(&creation).expect("creation content is plain data"));
    request.initial_state = vec![
        state(RoomEncryptionEventContent::with_recommended_defaults()),
        state(RoomJoinRulesEventContent::new(JoinRule::Public)),
    ];
    let room = Box::pin(account.client().create_room(request)).await?.room_id().to_owned();
    account.sync().await?;
    Ok(room)
}

/// Removes the folders of trials that broke off; returns whether one goes on.
fn sweep(temporary: &Path, name: &str) -> bool {
    let entries = fs::read_dir(temporary).into_iter().flatten().filter_map(Result::ok);
    let is_trial = |path: &PathBuf| {
        let is_named = path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
        is_named && fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
    };
    let mut goes_on = false;
    for folder in entries.map(|entry| entry.path()).filter(is_trial) {
        if File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_err()) {
            goes_on = true;
        } else if let Err(error) = fs::remove_dir_all(&folder) {
            tracing::debug!(%error, "what a trial left cannot be removed");
        }
    }
    goes_on
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op3_what_a_trial_left_that_broke_off_is_removed_and_one_that_goes_on_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        for name in ["trial-1", "trial-2", "another-1"] {
            fs::create_dir(path(name)).expect("made");
            fs::write(path(name).join(LOCK), "").expect("written");
        }
        let held = File::open(path("trial-2").join(LOCK)).expect("there");
        held.try_lock().expect("nobody holds it");

        assert!(sweep(dir.path(), "trial-"));
        let left = ["trial-1", "trial-2", "another-1"].map(|name| path(name).exists());
        assert_eq!(left, [false, true, true]);
        drop(held);
        assert!(!sweep(dir.path(), "trial-") && !path("trial-2").exists());
    }
}
