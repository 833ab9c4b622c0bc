//! `workmate retire --everything`: takes Workmate out of its homeserver, and deletes what it kept.
//!
//! It works while Workmate is stopped and holds the store's lock, so that none starts meanwhile. Each step can be
//! repeated: whoever is gone already is passed over, and the data goes last, because it says whom we have.

mod words;

use std::{collections::BTreeSet, fs, io, path::Path};

use anyhow::{Context as _, bail};
use reqwest::Method;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::super::{calling::calling, say::say};
use crate::{
    config::Config,
    core::{id, words as core_words},
    engine::{OURS, users_of},
    matrix::{
        MatrixError,
        api::{AUTOMATED_FIELD, Api, Body, encode},
        proxy::Identity,
    },
    store::{Store, StoreError},
};

/// One of our users, as the homeserver knows it.
struct Found {
    user: OwnedUserId,
    rooms: Vec<String>,
    devices: Vec<String>,
}

/// What became of a user's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The homeserver deactivated it.
    Deactivated,
    /// It refused that: name and picture are gone, the account remains.
    Blanked,
}

/// What was done, for the message about it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) users: usize,
    pub(super) rooms: usize,
    pub(super) devices: usize,
    pub(super) blanked: Vec<OwnedUserId>,
}

/// Retires all users and deletes the data, or says what it would do.
///
/// # Errors
/// When Workmate runs, its store does not open, or the homeserver refuses a step; what was done stays done.
pub(super) async fn run(config: &Config, sure: bool, erase: bool) -> anyhow::Result<()> {
    let state = config.data_dir.join("state");
    let store = if state.is_dir() { Some(open(&state, config)?) } else { None };
    let tokens = config.appservice.tokens();
    let act = async |api: &Api| everybody(config, api, store.as_ref(), sure, erase).await;
    let Some(done) = calling(config, tokens.ours, act).await?? else { return Ok(()) };
    drop(store);
    let kept = delete(&config.data_dir)?;
    say(words::done(config, &done, kept));
    Ok(())
}

fn open(state: &Path, config: &Config) -> anyhow::Result<Store> {
    match Store::open(state, &config.master.derive("state")) {
        Ok(store) => Ok(store),
        Err(StoreError::Locked { .. }) => bail!(words::it_runs(state)),
        Err(error) => Err(error.into()),
    }
}

/// Returns what was done; `None` if it was only said what would be.
async fn everybody(
    config: &Config,
    api: &Api,
    store: Option<&Store>,
    sure: bool,
    erase: bool,
) -> anyhow::Result<Option<Done>> {
    let mut found = Vec::new();
    for user in users_of(config, store)? {
        if let Some(user) = look_at(api, user).await? {
            found.push(user);
        }
    }
    if !sure {
        let rooms: BTreeSet<&String> = found.iter().flat_map(|found| &found.rooms).collect();
        say(words::would(config, found.iter().map(|found| found.user.as_ref()), rooms.len()));
        return Ok(None);
    }
    let mut done = Done::default();
    for found in found {
        let user = found.user.clone();
        let account = take_out(api, &found, erase).await.with_context(|| words::broken_off(&user, &done))?;
        done.users += 1;
        done.rooms += found.rooms.len();
        done.devices += found.devices.len();
        if account == Account::Blanked {
            done.blanked.push(user);
        }
    }
    Ok(Some(done))
}

/// Returns what the homeserver knows of a user; `None` if there is no such user, or it was deactivated before.
async fn look_at(api: &Api, user: OwnedUserId) -> anyhow::Result<Option<Found>> {
    let path = "/_matrix/client/v3/joined_rooms";
    let answer = match api.call(Identity::User(user.clone()), Method::GET, path, None).await {
        Ok(answer) => answer,
        Err(error) if is_no_user(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let rooms = answer["joined_rooms"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let rooms = rooms.filter(|room| id::room(room).is_some()).map(str::to_owned).collect();
    let devices = api.devices(&user).await?;
    Ok(Some(Found { user, rooms, devices }))
}

/// Returns whether a call as a user says that there is none. Synapse calls a user whom it does not know forbidden to the
/// appservice (v1.160), and one that was deactivated by its own code.
fn is_no_user(error: &MatrixError) -> bool {
    let MatrixError::Refused { errcode, message, .. } = error else { return false };
    errcode == "M_USER_DEACTIVATED" || errcode == "M_FORBIDDEN" && message.contains("not registered")
}

/// Has a user leave its rooms, and removes its devices and its account.
async fn take_out(api: &Api, found: &Found, erase: bool) -> Result<Account, MatrixError> {
    let identity = || Identity::User(found.user.clone());
    for room in &found.rooms {
        leave(api, &found.user, room).await?;
    }
    for device in &found.devices {
        api.delete_device(&found.user, device).await?;
    }
    blank(api, &found.user).await?;
    let path = "/_matrix/client/v3/account/deactivate";
    match api.call(identity(), Method::POST, path, Some(Body::Json(json!({ "erase": erase })))).await {
        Ok(_) => Ok(Account::Deactivated),
        // It wants a password that no user of ours has, or lets no appservice do it.
        Err(error) if is_refusal(&error) || matches!(error, MatrixError::NotMatrix { status: 401, .. }) => {
            Ok(Account::Blanked)
        }
        Err(error) => Err(error),
    }
}

/// Empties a user's profile, which a deactivation alone leaves (Synapse 1.160). It is in no room any more, so nobody is
/// told of it.
async fn blank(api: &Api, user: &UserId) -> Result<(), MatrixError> {
    for (field, value) in [("displayname", json!("")), ("avatar_url", json!("")), (AUTOMATED_FIELD, Value::Null)] {
        match api.set_profile_field(user, field, value).await {
            // One server takes no empty picture, another has only the two first fields.
            Err(error) if is_refusal(&error) => {}
            answer => answer?,
        }
    }
    Ok(())
}

fn is_refusal(error: &MatrixError) -> bool {
    matches!(error, MatrixError::Refused { status, .. } if (400..500).contains(status) && *status != 429)
}

async fn leave(api: &Api, user: &UserId, room: &str) -> Result<(), MatrixError> {
    let of = |what: &str| format!("/_matrix/client/v3/rooms/{}/{what}", encode(room));
    let reason = json!({ "reason": core_words::gone_for_good() });
    let call = |path: String, body| async move {
        api.call(Identity::User(user.to_owned()), Method::POST, &path, Some(Body::Json(body))).await
    };
    match call(of("leave"), reason).await {
        // It was removed meanwhile, or the room is none any more.
        Err(error) if error.is_forbidden() || error.is_not_found() => {}
        answer => drop(answer?),
    }
    // What the homeserver keeps of a room for this user goes too; a homeserver may refuse that.
    match call(of("forget"), json!({})).await {
        Err(error) if error.is_passing() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes what Workmate keeps in its data folder, and last the state, which says whom we have; returns whether something else remains there.
fn delete(data_dir: &Path) -> anyhow::Result<bool> {
    for name in OURS.iter().rev() {
        let path = data_dir.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| words::not_deleted(&path));
            }
            _ => {}
        }
    }
    // The folder itself may be a mount point, or belong to the system.
    Ok(fs::remove_dir(data_dir).is_err() && fs::read_dir(data_dir).is_ok_and(|mut rest| rest.next().is_some()))
}
