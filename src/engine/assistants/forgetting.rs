//! Forgetting (A3): an owner's `!forget`, and everything of an owner who is gone.
//!
//! Stored data goes at once: runs, index, session, and the key that they were sealed with. Then a notice is posted in
//! the room, and a job that survives restarts redacts what the assistant said before it, page by page.

use std::{sync::Arc, time::Duration};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    core::{event::RoomEvent, retry::send_pause, words::sessions},
    engine::{
        EngineError,
        budget::Budget,
        connections::Connections,
        control::{Order, Running, Which},
        homes::Homes,
        media::FilesRead,
        records::{AssistantRecord, Forgetting},
        runtime::Runtime,
        toolsets::Toolsets,
        word, word_transaction,
    },
    matrix::{Account, account::own::Before},
    store::StoreError,
};

/// How long runs may take to end before their data is forgotten; a slower run loses its record.
const RUNS_END_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is checked whether they have ended.
const RUNS_END_CHECK: Duration = Duration::from_millis(50);
/// Pause between two redactions: the homeserver has others to serve, and may limit us.
const REDACTION_PAUSE: Duration = Duration::from_millis(10);
/// Most pages of a room that are redacted, of 100 events each.
const PAGES_MAX: u32 = 20_000;

/// Forgets what an assistant's owner wants forgotten.
pub(in crate::engine) struct Forgetful {
    runtime: Arc<Runtime>,
    connections: Arc<Connections>,
    homes: Arc<Homes>,
    files: Arc<FilesRead>,
    budget: Arc<Budget>,
    toolsets: Arc<Toolsets>,
    running: Running,
}

impl Forgetful {
    /// Makes it on what it may call.
    pub(in crate::engine) fn new(
        runtime: &Arc<Runtime>,
        connections: &Arc<Connections>,
        homes: &Arc<Homes>,
        (files, budget): (&Arc<FilesRead>, &Arc<Budget>),
        toolsets: &Arc<Toolsets>,
        running: &Running,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            connections: connections.clone(),
            homes: homes.clone(),
            files: files.clone(),
            budget: budget.clone(),
            toolsets: toolsets.clone(),
            running: running.clone(),
        }
    }

    /// Handles `!forget`: when this returns nothing stored is left, and what follows in the room is a new session.
    pub(super) async fn forget_sessions(
        self: &Arc<Self>,
        account: &Arc<Account>,
        owner: &UserId,
        event: &RoomEvent,
    ) -> Result<(), EngineError> {
        let key = owner.to_owned();
        let kept = self.runtime.tables.assistants.get(&key)?.unwrap_or_default();
        // The command may come again after a crash; if it was carried out, there is a newer session.
        if kept.markers.contains(&event.id)
            && self.runtime.tables.forgetting.get(&key)?.is_none_or(|job| !job.is_of(&event.id))
        {
            return Ok(());
        }
        let is_new = self.runtime.tables.forgetting.get(&key)?.is_none_or(|job| !job.is_of(&event.id));
        if is_new {
            tracing::info!(user.id = %owner, room.id = %event.room, "an owner has their assistant forget");
            self.runtime.tables.forgetting.put(&key, &Forgetting::begun(&event.room, &event.id, &kept))?;
            self.runtime.store.flush().await?;
        }
        self.end_runs_of(&event.room, account.user(), owner, &Order::TakeBack).await?;
        self.forget_stored(account, owner, &event.id).await?;
        if is_new {
            let (forgetting, command) = (self.clone(), event.id.clone());
            self.runtime.tasks.spawn(forgetting.go_on_forgetting(key, command));
        }
        Ok(())
    }

    /// Resumes jobs that an earlier process did not finish; called before runs are resumed, so that forgotten ones do
    /// not start again.
    pub(in crate::engine) fn take_up_forgetting(self: &Arc<Self>) -> Result<(), StoreError> {
        for (owner, job) in self.runtime.tables.forgetting.iter().filter_map(Result::ok) {
            if job.notice.is_none() {
                self.runtime.tables.runs.remove_of(&owner)?;
                self.runtime.tables.owed.remove_of(&owner)?;
                self.runtime.tables.reminders.remove(&owner)?;
                self.connections.end_connections(&owner)?;
            }
            tracing::info!(user.id = %owner, "forgetting is taken up again");
            self.runtime.tasks.spawn(self.clone().go_on_forgetting(owner, job.command));
        }
        Ok(())
    }

    /// Forgets an owner who is gone for good: ends their runs, deletes everything stored for them with its key, and has
    /// their assistant leave its rooms and lose its own keys. An owner who comes back begins anew.
    ///
    /// The caller must know that the owner is gone; merely leaving the room does not ask for this. After an error it
    /// may be called again, and does the rest.
    pub(in crate::engine) async fn forget_owner(self: Arc<Self>, owner: &UserId) -> Result<(), EngineError> {
        let key = owner.to_owned();
        let known = self.runtime.tables.assistant_rooms.iter().filter_map(Result::ok);
        let rooms: Vec<OwnedRoomId> = known.filter(|(_, whose)| *whose == key).map(|(room, _)| room).collect();
        if rooms.is_empty() && self.runtime.tables.assistants.get(&key)?.is_none() {
            return Ok(());
        }
        let persona = self.runtime.assistant_persona(owner);
        for room in &rooms {
            self.end_runs_of(room, &persona.user, owner, &Order::Drop).await?;
        }
        // Our own data goes first, whether or not the homeserver answers. The rooms' records remain until the end.
        self.shred(owner).await?;
        self.runtime.store.flush().await?;
        let account = Box::pin(self.runtime.pool.passing(&persona)).await?;
        account.sync().await?;
        for room in account.joined() {
            account.leave(&room, None).await?;
        }
        account.delete_backup().await;
        self.runtime.pool.erase(account)?;
        for room in &rooms {
            self.runtime.tables.cursors.remove(room)?;
            self.runtime.tables.checked.remove(room)?;
            self.runtime.tables.assistant_rooms.remove(room)?;
        }
        self.toolsets.unpin(&persona.user)?;
        self.runtime.tables.forgetting.remove(&key)?;
        self.runtime.tables.assistants.remove(&key)?;
        tracing::info!(user.id = %owner, "everything of an owner who is gone is forgotten");
        Ok(self.runtime.store.flush().await?)
    }

    /// Ends the owner's runs and waits until they are out of the journal.
    async fn end_runs_of(
        &self,
        room: &RoomId,
        assistant: &UserId,
        owner: &UserId,
        order: &Order,
    ) -> Result<(), EngineError> {
        let ended = async {
            loop {
                // Ordered again each time, because a run is in the journal a moment before it takes orders.
                self.running.order(room, Which::Of(assistant, None), order);
                let mut journaled = self.runtime.tables.runs.iter().filter_map(Result::ok);
                if !journaled.any(|(_, run)| run.owner() == Some(owner)) {
                    return;
                }
                tokio::time::sleep(RUNS_END_CHECK).await;
            }
        };
        if tokio::time::timeout(RUNS_END_PATIENCE, ended).await.is_err() {
            tracing::warn!(room.id = %room, "a run did not end in time; it is forgotten while it goes on");
            self.runtime.tables.runs.remove_of(owner)?;
        }
        Ok(())
    }

    /// Forgets everything stored except whose room it is, and posts the notice at which the redactions begin.
    async fn forget_stored(&self, account: &Account, owner: &UserId, command: &EventId) -> Result<(), EngineError> {
        let maker = self.homes.makers.of(owner);
        let _alone = maker.lock().await;
        let key = owner.to_owned();
        let job = self.runtime.tables.forgetting.get(&key)?;
        let Some(job) = job.filter(|job| job.is_of(command) && job.notice.is_none()) else { return Ok(()) };
        // The room may have been replaced meanwhile. After a crash that followed the key's destruction, this cannot be
        // read.
        let now = self.runtime.tables.assistants.get(&key).ok().flatten();
        let elsewhere = now.filter(|now| now.room.is_some() && now.room != job.kept.room);
        let kept = elsewhere.map_or_else(|| job.kept.clone(), |now| Forgetting::begun(&job.room, command, &now).kept);
        self.shred(owner).await?;
        self.runtime.tables.assistants.put(&key, &kept)?;
        self.runtime.store.flush().await?;
        let txn = word_transaction("forget", command.as_str(), account.user());
        let notice = account.send(&job.room, &word(&sessions::forgetting(), None), txn).await?;
        self.runtime.tables.forgetting.put(&key, &Forgetting { notice: Some(notice), ..job })?;
        Ok(self.runtime.store.flush().await?)
    }

    /// Removes an owner's records and destroys the key that sealed every copy of them.
    async fn shred(&self, owner: &UserId) -> Result<(), StoreError> {
        let (runs, index, theirs) =
            (self.runtime.tables.runs.clone(), self.runtime.tables.run_index.clone(), owner.to_owned());
        let (heard, transcripts) = (self.runtime.tables.heard.clone(), self.runtime.tables.transcripts.clone());
        self.runtime.tables.owed.remove_of(owner)?;
        self.runtime.tables.containers.remove_of(owner)?;
        self.runtime.tables.reminders.remove(&owner.to_owned())?;
        self.connections.end_connections(owner)?;
        // The index and the sessions may be many.
        let removing = tokio::task::spawn_blocking(move || {
            runs.remove_of(&theirs)?;
            heard.remove_of(&theirs)?;
            transcripts.remove_of(&theirs)?;
            index.remove_of(&theirs)
        });
        let removed = removing.await.expect("removing records does not panic")?;
        self.runtime.store.destroy_owner_key(owner)?;
        self.files.prepared.forget(&self.runtime.assistant_persona(owner).user);
        self.budget.books.recount();
        tracing::info!(user.id = %owner, removed, "an owner's runs and their key are gone");
        Ok(())
    }

    /// Carries a job to its end, through outages of the homeserver.
    async fn go_on_forgetting(self: Arc<Self>, owner: OwnedUserId, command: OwnedEventId) {
        let mut tries = 0;
        loop {
            let stepped = tokio::select! {
                () = self.runtime.stop.cancelled() => return,
                stepped = Box::pin(self.forget_page(&owner, &command)) => stepped,
            };
            let pause = match stepped {
                Ok(Step::More) => {
                    tries = 0;
                    continue;
                }
                Ok(Step::Done) => return,
                Err(error) if error.is_passing() => {
                    tracing::warn!(user.id = %owner, %error, "forgetting waits for the homeserver");
                    send_pause(tries)
                }
                Err(error) => {
                    tracing::error!(
                        user.id = %owner, %error,
                        "an assistant's messages cannot be deleted; what was stored is gone, `!forget` tries the rest again"
                    );
                    if let Err(error) = self.end_job(&owner, &command) {
                        tracing::error!(user.id = %owner, %error, "that forgetting ended cannot be recorded");
                    }
                    return;
                }
            };
            tries += 1;
            tokio::select! {
                () = self.runtime.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Redacts what the assistant said on one page of the room.
    async fn forget_page(self: &Arc<Self>, owner: &UserId, command: &EventId) -> Result<Step, EngineError> {
        let account = Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(owner))).await?;
        self.forget_stored(&account, owner, command).await?;
        let key = owner.to_owned();
        let Some(mut job) = self.runtime.tables.forgetting.get(&key)?.filter(|job| job.is_of(command)) else {
            // A later `!forget` covers the same messages.
            return Ok(Step::Done);
        };
        let Some(notice) = job.notice.clone() else { return Ok(Step::Done) };
        let before = job.from.as_deref().map_or(Before::Event(&notice), Before::Page);
        let page = account.said_before(&job.room, before).await?;
        for event in &page.events {
            if *event == notice {
                continue;
            }
            let txn = word_transaction("forget", event.as_str(), account.user());
            match account.redact(&job.room, event, txn).await {
                Ok(()) => job.redacted += 1,
                Err(error) if error.is_passing() => {
                    self.keep_job(owner, &job)?;
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::warn!(room.id = %job.room, event.id = %event, %error, "a message cannot be deleted");
                    job.missed = true;
                }
            }
            tokio::time::sleep(REDACTION_PAUSE).await;
        }
        job.pages += 1;
        job.missed |= page.next.is_some() && job.pages >= PAGES_MAX;
        if page.next.is_some() && job.pages < PAGES_MAX {
            job.from = page.next;
            self.keep_job(owner, &job)?;
            self.runtime.store.flush().await?;
            return Ok(Step::More);
        }
        let kept = self.runtime.tables.assistants.get(&key)?.unwrap_or_default();
        if !kept.silent && kept.room.as_ref() == Some(&job.room) {
            let text = word(&sessions::forgotten(job.redacted, !job.missed), None);
            let txn = word_transaction("forgotten", command.as_str(), account.user());
            account.edit(&job.room, &notice, &text, txn).await?;
        }
        self.end_job(owner, command)?;
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %owner, redacted = job.redacted, missed = job.missed, "an assistant has forgotten");
        Ok(Step::Done)
    }

    fn keep_job(&self, owner: &UserId, job: &Forgetting) -> Result<(), StoreError> {
        let mine =
            |kept: Option<Forgetting>| kept.map(|kept| if kept.is_of(&job.command) { job.clone() } else { kept });
        self.runtime.tables.forgetting.update(&owner.to_owned(), mine)?;
        Ok(())
    }

    fn end_job(&self, owner: &UserId, command: &EventId) -> Result<(), StoreError> {
        self.runtime
            .tables
            .forgetting
            .update(&owner.to_owned(), |kept: Option<Forgetting>| kept.filter(|kept| !kept.is_of(command)))?;
        Ok(())
    }
}

/// Whether a job continues.
enum Step {
    More,
    Done,
}

impl Forgetting {
    /// Returns a new job for `!forget`; of the assistant's record it keeps only what belongs to no session.
    fn begun(room: &RoomId, command: &EventId, record: &AssistantRecord) -> Self {
        let kept = AssistantRecord {
            room: record.room.clone(),
            introduced: record.introduced,
            silent: record.silent,
            silence_told: record.silence_told,
            markers: vec![command.to_owned()],
            followed: record.followed.clone(),
            upgrade: record.upgrade.clone(),
            ..AssistantRecord::default()
        };
        let (room, command) = (room.to_owned(), command.to_owned());
        Self { room, command, kept, notice: None, from: None, pages: 0, redacted: 0, missed: false }
    }

    fn is_of(&self, command: &EventId) -> bool {
        self.command == command
    }
}
