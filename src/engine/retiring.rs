//! Coworkers whose file is gone: `/readyz` names them, and an operator retires them with a farewell (`workmate
//! retire`).
//!
//! None leaves by itself. A folder that is not mounted, or a file moved for a moment, must not take a coworker out of
//! its rooms, because only people can invite it again.

use std::{collections::BTreeSet, fs, path::Path};

use ruma::{OwnedUserId, UserId};

use super::{EngineError, records::Tables, runtime::Runtime, word, word_transaction};
use crate::{
    appservice::health::{Condition, State},
    config::Config,
    core::{audit::Answer, id, people::CoworkerId, words},
    matrix::provision::{Persona, localpart_of},
    store::{Store, StoreError},
};

/// Most coworkers named in one reason.
const NAMED_MAX: usize = 10;

/// Reports in `/readyz` the coworkers that are missing because of their files.
pub(super) fn look_at_coworkers(runtime: &Runtime) {
    let mut wrong: Vec<String> = Vec::new();
    if let Some(first) = runtime.config().left_out.first() {
        let ids: Vec<String> = runtime.config().left_out_ids().into_iter().take(NAMED_MAX).collect();
        wrong.push(format!("left out, because their files have faults: {} ({first})", ids.join(", ")));
        for fault in &runtime.config().left_out {
            tracing::error!("a coworker is left out, the others go on: {fault}");
        }
    }
    let gone: Vec<String> = coworkers_without_file(runtime).into_iter().take(NAMED_MAX).collect();
    if !gone.is_empty() {
        wrong.push(format!(
            "without a file, yet still members of their rooms, where they answer nobody: {}\n  Mend: put the file back, or \
             run `workmate retire {}`",
            gone.join(", "),
            gone[0]
        ));
    }
    let state = if wrong.is_empty() { State::Ready } else { State::Waiting(wrong.join("; ")) };
    runtime.health.set(Condition::Coworkers, state);
}

/// Returns all users that a configuration and its data name: coworkers, those of the past, assistants, and the service bot
/// last, because it made the rooms of the others.
///
/// # Errors
/// When the store cannot be read.
pub fn users_of(config: &Config, store: Option<&Store>) -> Result<Vec<OwnedUserId>, StoreError> {
    let namespace = config.namespace();
    let service = namespace.user_id(&namespace.service);
    let mut users: BTreeSet<OwnedUserId> =
        config.coworkers.iter().map(|coworker| namespace.coworker(&coworker.id.0)).collect();
    let kept = folders(&config.data_dir).into_iter().filter_map(|name| localpart_of(&name));
    users.extend(kept.filter_map(|localpart| id::user(&format!("@{localpart}:{}", namespace.server))));
    for owner in store.into_iter().flat_map(|store| Tables::of(store).assistants.each()) {
        // A record that cannot be read still names its owner.
        users.insert(namespace.assistant(owner?.0.localpart()));
    }
    users.retain(|user| namespace.is_ours(user) && *user != service);
    Ok(users.into_iter().chain([service]).collect())
}

fn folders(data_dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data_dir.join("users")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Returns the ids of coworkers that were provisioned once and no longer have a file.
fn coworkers_without_file(runtime: &Runtime) -> BTreeSet<String> {
    let prefix = &runtime.namespace().coworker_prefix;
    let config = runtime.config();
    let known: BTreeSet<&str> = config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect();
    let left_out = config.left_out_ids();
    let Ok(entries) = fs::read_dir(config.data_dir.join("users")) else { return BTreeSet::new() };
    let ids = entries.filter_map(Result::ok).filter_map(|entry| {
        let id = entry.file_name().to_str()?.strip_prefix(prefix.as_str())?.to_owned();
        // A folder set aside beside it has a dot in its name, which no id has.
        (CoworkerId::is_one(&id) && entry.path().join("workmate.json").exists()).then_some(id)
    });
    ids.filter(|id| !known.contains(id.as_str()) && !left_out.contains(id)).collect()
}

/// Retires a coworker without a file: it says farewell, leaves its rooms and loses its devices. Returns what was
/// done, for the operator.
pub(super) async fn retire(runtime: &Runtime, id: &str) -> Result<Answer, EngineError> {
    let refuse = |text: String| Ok(Answer::Said { done: false, text });
    if !CoworkerId::is_one(id) {
        return refuse(format!(
            "{id:?}: not a coworker's id\n  Mend: name it as its file is called, such as oncall for oncall.yaml."
        ));
    }
    let user = runtime.namespace().coworker(id);
    let has_file =
        ["yaml", "yml"].iter().any(|end| runtime.config().coworkers_dir.join(format!("{id}.{end}")).exists());
    if runtime.coworker(&user).is_some() && !has_file {
        return refuse(format!(
            "{user}: its file is gone, and this workmate has read it and still serves it: nothing was done\n  Mend: run \
             `workmate reload`, and this again."
        ));
    }
    if runtime.coworker(&user).is_some() || runtime.config().left_out_ids().contains(id) {
        return refuse(format!(
            "{user} has a file and would be back: nothing was done\n  Mend: remove {id}.yaml from \
             coworkers_dir, run `workmate reload`, and this again."
        ));
    }
    if !coworkers_without_file(runtime).contains(id) {
        let known: Vec<String> = coworkers_without_file(runtime).into_iter().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return refuse(format!(
            "no coworker called {id} is left to retire\n  Mend: name one of those without a file: {known}."
        ));
    }
    let left = Box::pin(say_farewell(runtime, &user, id)).await?;
    tracing::info!(user.id = %user, rooms = left, "a coworker was retired");
    look_at_coworkers(runtime);
    let text =
        format!("{user} said farewell, left {left} rooms and lost its device. Its messages stay where they are.");
    Ok(Answer::Said { done: true, text })
}

async fn say_farewell(runtime: &Runtime, user: &OwnedUserId, id: &str) -> Result<usize, EngineError> {
    let name = runtime.api().profile(user).await?.display_name.unwrap_or_else(|| id.to_owned());
    let persona = Persona { user: user.clone(), display_name: name, is_named: true, avatar: None, kind: "coworker" };
    let account = match runtime.pool.kept(user) {
        // It was taken out of service by a reload.
        Some(kept) => kept,
        None => Box::pin(runtime.pool.passing(&persona)).await?,
    };
    account.sync().await?;
    let rooms = account.joined();
    for room in &rooms {
        let txn = word_transaction("farewell", room.as_str(), user);
        // It leaves without a word if it may not speak there.
        match Box::pin(account.send(room, &word(&words::farewell(), None), txn)).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => tracing::info!(room.id = %room, %error, "a farewell cannot be said"),
            Ok(_) => {}
        }
        account.leave(room, None).await?;
        runtime.roster.leave(room, user);
    }
    account.delete_backup().await;
    delete_devices(runtime, user).await?;
    runtime.pool.erase(account)?;
    Ok(rooms.len())
}

async fn delete_devices(runtime: &Runtime, user: &UserId) -> Result<(), EngineError> {
    for device in runtime.api().devices(user).await? {
        runtime.api().delete_device(user, &device).await?;
    }
    Ok(())
}
