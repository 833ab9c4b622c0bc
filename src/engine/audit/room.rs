//! The audit room (C13): made once, found again later, with one line without content for each coworker's run.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::mpsc;

use super::Audit;
use crate::{
    core::{
        audit::{Entry, RunKey, RunSummary},
        words,
    },
    engine::{
        EngineError,
        budget::Pace,
        records::{AUDIT_ROOM, AuditRoom},
    },
    matrix::{
        Account,
        audit_room::{self, NewRoom},
    },
};

/// Runs checked at the start for lines that an earlier process did not write.
const LOOKED_BACK_MAX: usize = 10_000;

/// Finds or makes the room, then writes its lines one after another.
pub(super) async fn keep(audit: Arc<Audit>, waiting: mpsc::Receiver<RunKey>) {
    let stop = audit.runtime.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = Box::pin(keep_on(&audit, waiting)) => {}
    }
}

async fn keep_on(audit: &Audit, mut waiting: mpsc::Receiver<RunKey>) {
    let mut tries = 0;
    let room = loop {
        match Box::pin(audit.audit_room()).await {
            Ok(room) => break room,
            Err(error) if !pause_after(&error, "the audit room cannot be set up", &mut tries).await => return,
            Err(_) => {}
        }
    };
    for key in audit.lines_due() {
        write_line(audit, &room, &key).await;
    }
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            key = waiting.recv() => match key {
                Some(key) => write_line(audit, &room, &key).await,
                None => return,
            },
            () = pace.next(&audit.budget) => {
                if warn_of_budgets(audit, &room).await {
                    pace.note();
                }
            }
        }
    }
}

async fn warn_of_budgets(audit: &Audit, room: &OwnedRoomId) -> bool {
    let mut tries = 0;
    loop {
        match Box::pin(audit.budget.warn_of_budgets(room)).await {
            Ok(is_sent) => return is_sent,
            Err(error) if !pause_after(&error, "a warning about budgets cannot be written", &mut tries).await => {
                return false;
            }
            Err(_) => {}
        }
    }
}

async fn write_line(audit: &Audit, room: &OwnedRoomId, key: &RunKey) {
    let mut tries = 0;
    while let Err(error) = Box::pin(audit.tell_audit_room(room, key)).await {
        if !pause_after(&error, "a line for the audit room cannot be written", &mut tries).await {
            return;
        }
    }
}

/// Logs an error and waits; returns whether a retry may help.
async fn pause_after(error: &EngineError, what: &str, tries: &mut usize) -> bool {
    let Some(pause) = error.pause_after(*tries) else {
        tracing::error!(%error, "{what}; it is tried again at the next start");
        return false;
    };
    tracing::warn!(%error, "{what} yet");
    tokio::time::sleep(pause).await;
    *tries += 1;
    true
}

impl Audit {
    /// Writes a word of ours into the audit room, if there should be one; the cause makes its transaction id.
    pub(in crate::engine) async fn tell_admins(
        &self,
        text: &str,
        (purpose, cause): (&str, &str),
    ) -> Result<(), EngineError> {
        if !self.has_audit_room() {
            return Ok(());
        }
        let (room, account) = (Box::pin(self.audit_room()).await?, self.runtime.service_account()?);
        let txn = crate::engine::word_transaction(purpose, cause, account.user());
        account.send(&room, &crate::engine::word(text, None), txn).await?;
        Ok(())
    }

    /// Returns the audit room, making it if needed. Its members are then the admins in the config, except those who
    /// left.
    async fn audit_room(&self) -> Result<OwnedRoomId, EngineError> {
        let account = self.runtime.service_account()?;
        account.sync().await?;
        let kept = self.runtime.tables.audit_room.get(&AUDIT_ROOM.to_owned())?.unwrap_or_default();
        let known = kept.room.filter(|room| account.is_in(room));
        let (room, mut invited) = match known {
            Some(room) => (room, kept.invited),
            None => (self.found_or_made(&account).await?, BTreeSet::new()),
        };
        self.runtime.roster.enter(&room, account.user());
        self.see_to_admins(&account, &room, &mut invited).await?;
        self.runtime.tables.audit_room.put(&AUDIT_ROOM.to_owned(), &AuditRoom { room: Some(room.clone()), invited })?;
        self.runtime.store.flush().await?;
        Ok(room)
    }

    async fn found_or_made(&self, account: &Account) -> Result<OwnedRoomId, EngineError> {
        if let Some(room) = audit_room::find(account).await? {
            return Ok(room);
        }
        let admins = &self.runtime.config().workspace.admins;
        let new = NewRoom {
            name: words::trail::audit_room_name(),
            topic: words::trail::audit_room_topic(),
            federates: admins.iter().any(|admin| admin.server_name() != self.runtime.namespace().server),
        };
        let made = audit_room::create(account, &new).await?;
        tracing::info!(room.id = %made, admins = admins.len(), "the audit room was made");
        Ok(made)
    }

    /// Invites each new admin once, and removes people who are no longer admins.
    async fn see_to_admins(
        &self,
        account: &Account,
        room: &OwnedRoomId,
        invited: &mut BTreeSet<OwnedUserId>,
    ) -> Result<(), EngineError> {
        let facts = account.facts(room).await?;
        let admins = &self.runtime.config().workspace.admins;
        let inside: BTreeSet<OwnedUserId> = facts.joined.union(&facts.invited).cloned().collect();
        for former in inside.iter().filter(|user| !admins.contains(*user) && *user != account.user()) {
            match account.remove(room, former).await {
                Err(error) if error.is_passing() => return Err(error.into()),
                Err(error) => {
                    tracing::error!(user.id = %former, %error, "somebody who is no admin cannot be taken out of the audit room");
                }
                Ok(()) => tracing::info!(user.id = %former, "who is no admin any more was taken out of the audit room"),
            }
        }
        invited.retain(|user| admins.contains(user));
        invited.extend(inside.into_iter().filter(|user| admins.contains(user)));
        for admin in admins {
            if invited.contains(admin) {
                continue;
            }
            match account.invite(room, admin).await {
                Err(error) if error.is_passing() => return Err(error.into()),
                // One admin's missing account must not cost the others their lines.
                Err(error) => tracing::warn!(user.id = %admin, %error, "an admin cannot be invited to the audit room"),
                Ok(()) => {
                    invited.insert(admin.clone());
                }
            }
        }
        Ok(())
    }

    /// Writes a line if it is still due. The transaction id is the run's, so a resend after a crash is the same event.
    async fn tell_audit_room(&self, room: &OwnedRoomId, key: &RunKey) -> Result<(), EngineError> {
        let Some(summary) = self.runtime.tables.run_index.get(key)?.filter(|summary| summary.line_due) else {
            return Ok(());
        };
        let account = self.runtime.service_account()?;
        let entry = Entry::of(key.clone(), summary, &self.runtime.namespace());
        // A second guard for A4: whatever the index says, no line for an assistant's run.
        if entry.room.is_some() {
            let line = words::trail::audit_line(&entry, &self.runtime.namespace().server);
            let txn = crate::engine::word_transaction("audit", &key.1, account.user());
            account.send(room, &crate::engine::word(&line, None), txn).await?;
        }
        self.runtime
            .tables
            .run_index
            .update(key, |summary: Option<RunSummary>| Some(RunSummary { line_due: false, ..summary? }))?;
        Ok(())
    }

    /// Returns the keys of earlier processes' runs whose lines are still due, oldest first.
    fn lines_due(&self) -> Vec<RunKey> {
        let newest = self.runtime.tables.run_index.iter().rev().take(LOOKED_BACK_MAX).filter_map(Result::ok);
        let mut due: Vec<RunKey> = newest.filter(|(_, summary)| summary.line_due).map(|(key, _)| key).collect();
        due.reverse();
        due
    }
}
