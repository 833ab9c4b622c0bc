//! Reloads: the configuration is read anew and checked whole, and what may change goes over to it, one reload at a time.
//!
//! Nothing is stored of a reload but which files changed: after a crash in the middle, the next start reads the same files.

mod files;

use std::{path::PathBuf, sync::Arc, time::Duration};

use ruma::OwnedUserId;
use tokio::sync::Notify;

pub(super) use self::files::note_start;
use self::files::seen_in;
use super::{
    Engine, EngineError, Shared,
    caught::caught,
    lobby, retiring,
    runtime::{AskedBy, Reloaded, Setup, Wanted},
    wards, word, word_transaction,
};
use crate::{
    clock,
    config::{Changes, Config},
    core::words,
};

/// How long a reload waits for new coworkers to be set up; they come all the same when it is over.
const SET_UP_PATIENCE: Duration = Duration::from_secs(30);
/// How often files are read again that were written meanwhile.
const READINGS_MAX: usize = 5;
/// The pause between two such readings.
const READING_PAUSE: Duration = Duration::from_millis(200);

/// Carries out reloads until Workmate stops: those that were asked for, and one for each SIGHUP.
pub(super) async fn keep_reloading(engine: Shared, hangups: Arc<Notify>) {
    let Some(mut reloads) = engine.reloads.take() else { return };
    loop {
        let wanted = tokio::select! {
            () = engine.stop.cancelled() => return,
            Some(wanted) = reloads.recv() => wanted,
            () = hangups.notified() => Wanted { by: AskedBy::Signal, answer: None },
        };
        let work = async { Ok::<_, EngineError>(Box::pin(engine.reload_now(&wanted.by)).await) };
        // Who asked is told that Workmate stops, because the answer is dropped.
        let Some(reloaded) = engine.stop.clone().run_until_cancelled(caught(work)).await else { return };
        let reloaded = reloaded.unwrap_or_else(|error| Reloaded::refused(error.to_string()));
        if reloaded.done {
            tracing::info!(by = wanted.by.name(), "the configuration was read again: {}", reloaded.text);
        } else {
            tracing::error!(
                by = wanted.by.name(),
                "the configuration was read again, and not taken: {}",
                reloaded.text
            );
        }
        if reloaded.text != Changes::default().to_string() {
            engine.tasks.spawn(tell_admins(engine.clone(), wanted.by, reloaded.clone()));
        }
        if let Some(answer) = wanted.answer {
            let _ = answer.send(reloaded);
        }
    }
}

async fn tell_admins(engine: Shared, by: AskedBy, reloaded: Reloaded) {
    let text = words::trail::reloaded(by.name(), reloaded.done, &reloaded.text);
    let cause = clock::now().as_ms().to_string();
    let told = engine.audit.tell_admins(&text, ("reload", &cause));
    if let Some(Err(error)) = engine.stop.run_until_cancelled(Box::pin(told)).await {
        tracing::warn!(%error, "the audit room cannot be told of a reload");
    }
}

/// Reads and checks every file, leaving nobody out.
async fn read(file: PathBuf) -> Result<(Config, files::SeenFiles), String> {
    let reading = move || {
        let seen = seen_in(&file);
        Config::load_with(&file, &|name| std::env::var(name).ok())
            .map(|(config, _)| (config, seen))
            .map_err(|faults| faults.to_string())
    };
    tokio::task::spawn_blocking(reading).await.unwrap_or_else(|error| Err(error.to_string()))
}

impl Engine {
    async fn reload_now(self: &Shared, by: &AskedBy) -> Reloaded {
        let (mut read_at_last, mut tries) = (read(self.config_file.clone()).await, 0);
        // A file that is being written may read well, and mean something else.
        while let Ok((_, seen)) = &read_at_last {
            let file = self.config_file.clone();
            let now = tokio::task::spawn_blocking(move || seen_in(&file)).await.unwrap_or_default();
            if now == *seen {
                break;
            }
            tries += 1;
            if tries >= READINGS_MAX {
                return refused("files of the configuration are being written\n  Mend: try again once they stand.");
            }
            tokio::time::sleep(READING_PAUSE).await;
            read_at_last = read(self.config_file.clone()).await;
        }
        let (config, seen) = match read_at_last {
            Ok(read) => read,
            Err(faults) => return refused(&faults),
        };
        let before = self.config();
        if config.coworkers.is_empty() && before.coworkers.len() > 1 {
            return refused(&format!(
                "{}: holds no coworker any more\n  A folder is empty more often because it is not mounted than because all \
                 are to go.\n  Mend: put the files back, or restart workmate.",
                config.coworkers_dir.display()
            ));
        }
        let (config, changes) = before.followed_by(config);
        // Also without a change, because a file may be written anew and mean the same.
        files::note(self, seen, by.name());
        if changes.is_empty() {
            return Reloaded { done: true, text: changes.to_string() };
        }
        let troubles = Box::pin(self.go_over(&before, config, &changes)).await;
        let text = std::iter::once(changes.to_string()).chain(troubles).collect::<Vec<_>>().join("\n");
        Reloaded { done: true, text }
    }

    /// Goes over to another config; returns what could not follow yet.
    async fn go_over(self: &Shared, before: &Config, next: Config, changes: &Changes) -> Vec<String> {
        let mut troubles = Vec::new();
        self.current.replace(Setup::of(next));
        let config = self.config();
        self.lanes.follow(config.limits.schedule());
        self.toolsets.follow();
        self.metrics.begin_with(changes.added.iter().cloned(), []);
        if let Err(error) = self.budget.follow() {
            troubles.push(format!("budgets: the accounts cannot be looked through ({error})"));
        }
        troubles.extend(self.bring_up_added(changes).await);
        troubles.extend(self.dress_changed(changes).await);
        let (engine, before) = (self.clone(), before.clone());
        let timetable = tokio::task::spawn_blocking(move || engine.schedules.follow_timetable(&before)).await;
        match timetable {
            Ok(Ok(())) => {}
            Ok(Err(error)) => troubles.push(format!("schedules: not all could be noted ({error}); a restart does")),
            Err(error) => troubles.push(format!("schedules: not noted ({error}); a restart does")),
        }
        retiring::look_at_coworkers(&self.runtime);
        self.people.members.changed.notify_one();
        self.tasks.spawn(lobby::keep_lobby(self.membership.lobby.clone()));
        for id in &changes.removed {
            let user = self.namespace().coworker(id);
            self.wards.put_in_order(&user);
            self.tasks.spawn(say_out_of_service(self.clone(), user));
        }
        troubles
    }

    /// Sets new coworkers up, and returns who is not there yet.
    async fn bring_up_added(self: &Shared, changes: &Changes) -> Option<String> {
        let config = self.config();
        let added = config.coworkers.iter().filter(|one| changes.added.contains(&one.id.0));
        // One that a reload took out of service is still open.
        let (open, new): (Vec<_>, Vec<_>) = added.partition(|one| self.pool.kept(&self.coworker_user(one)).is_some());
        let mut troubles = Vec::new();
        let mut personas = Vec::new();
        for (one, is_open) in open.iter().map(|one| (one, true)).chain(new.iter().map(|one| (one, false))) {
            match self.coworker_persona(one) {
                Ok(persona) if is_open => {
                    if let Err(error) = self.pool.provisioner().follow(&persona).await {
                        troubles.push(format!("{}: {}", one.id.0, self.homeserver.told(&error)));
                    }
                }
                Ok(persona) => personas.push(persona),
                Err(error) => troubles.push(format!("{}: its avatar cannot be read ({error})", one.id.0)),
            }
        }
        let users: Vec<OwnedUserId> = personas.iter().map(|persona| persona.user.clone()).collect();
        let brought = tokio::time::timeout(SET_UP_PATIENCE, Box::pin(wards::bring_up_all(self, personas))).await;
        if let Ok(Err(error)) = brought {
            troubles.push(self.homeserver.told(&error));
        }
        let missing = users.iter().filter(|user| self.pool.kept(user).is_none()).count();
        if missing > 0 {
            troubles.push(format!("{missing} new coworkers are not set up yet; it goes on, and `/readyz` says why"));
        }
        (!troubles.is_empty()).then(|| troubles.join("\n"))
    }

    /// Brings names and pictures in line.
    async fn dress_changed(self: &Shared, changes: &Changes) -> Vec<String> {
        let config = self.config();
        let mut troubles = Vec::new();
        for (id, keys) in &changes.changed {
            let Some(one) = config.coworkers.iter().find(|one| one.id.0 == *id) else { continue };
            if !keys.iter().any(|key| ["name", "avatar"].contains(key)) {
                continue;
            }
            let followed = match self.coworker_persona(one) {
                Ok(persona) => {
                    self.pool.provisioner().follow(&persona).await.map_err(|error| self.homeserver.told(&error))
                }
                Err(error) => Err(format!("its avatar cannot be read ({error})")),
            };
            if let Err(told) = followed {
                troubles.push(format!("{id}: its profile is as it was until the next start: {told}"));
            }
        }
        troubles
    }
}

fn refused(why: &str) -> Reloaded {
    Reloaded::refused(format!("{why}\nNothing was changed."))
}

/// Says in a coworker's rooms that it answers no more. It stays until somebody has it leave, because a file may be gone by
/// mistake, and only people can invite it again.
async fn say_out_of_service(engine: Shared, user: OwnedUserId) {
    let Some(account) = engine.pool.kept(&user) else { return };
    let cause = clock::now().as_ms();
    for room in account.joined() {
        if account.is_space(&room) || engine.membership.lobby.is_lobby(&room).unwrap_or(false) {
            continue;
        }
        let txn = word_transaction("out-of-service", &format!("{room} {cause}"), &user);
        let text = word(&words::out_of_service(), None);
        match engine.stop.run_until_cancelled(Box::pin(account.send(&room, &text, txn))).await {
            None => return,
            Some(Err(error)) => {
                tracing::info!(room.id = %room, %error, "a room cannot be told that a coworker is out of service");
            }
            Some(Ok(_)) => {}
        }
    }
    tracing::info!(user.id = %user, "a coworker is out of service: its file is gone");
}
