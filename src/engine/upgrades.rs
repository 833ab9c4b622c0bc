//! Room upgrades (C18): followed if the new room points back to the old one.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedRoomId, RoomId, UserId};
use tokio::time::Instant;

use super::{EngineError, records::RoomRecord};
use crate::{
    core::{
        links::room_address,
        succession::{self, Ended, Sight, Step, next_step},
        words::moving,
    },
    engine::{company::Company, notes::NoteBook, runtime::Runtime, service_chats::ServiceChats, timetable::Schedules},
    matrix::Account,
    store::InboxEntry,
};

/// How long an invite to a room that replaces ours is waited for: people's clients invite after they have moved it.
const INVITE_PATIENCE: Duration = Duration::from_mins(1);

/// Follows upgrades of rooms.
pub(super) struct Upgrades {
    runtime: Arc<Runtime>,
    notes: Arc<NoteBook>,
    schedules: Arc<Schedules>,
    company: Arc<Company>,
    service_chats: Arc<ServiceChats>,
}

impl Upgrades {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        notes: &Arc<NoteBook>,
        schedules: &Arc<Schedules>,
        company: &Arc<Company>,
        service_chats: &Arc<ServiceChats>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            notes: notes.clone(),
            schedules: schedules.clone(),
            company: company.clone(),
            service_chats: service_chats.clone(),
        }
    }

    /// Handles a tombstone: our coworkers go to the new room if it is known to replace the old one and they can join
    /// without an invite. They never join a room to look at it, nor leave one because of a tombstone elsewhere.
    pub(super) async fn take_tombstone(
        self: Arc<Self>,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let (old, by) = (&entry.event.room_id, &entry.event.sender);
        if entry.event.state_key.as_deref() != Some("") || !self.runtime.namespace().who(by).is_person() {
            return Ok(());
        }
        for account in self.runtime.kept_in(old) {
            if self.runtime.coworker(account.user()).is_none() {
                continue;
            }
            account.sync_since(accepted).await?;
            // Ask the homeserver for the tombstone in force: it knows who may end a room, and an older or invalid one
            // must not count.
            let Ok(Some(ended)) = account.ended(old).await else { continue };
            if ended.by != *by {
                continue;
            }
            let new = ended.successor.clone();
            let sight = self.sight_of(&account, &new).await?;
            let proven = sight == Sight::Hidden && prove(ended).await;
            let step = next_step(old, &new, &sight, proven);
            tracing::info!(room.id = %old, successor = %new, user.id = %account.user(), ?step, "a tombstone");
            match step {
                Step::Await if sight == Sight::Hidden => {
                    self.await_invite(account, old, new, by);
                    continue;
                }
                Step::Await | Step::Ignore => continue,
                Step::TakeAlong => {}
                Step::Join => match account.join_via(&new, by.server_name()).await {
                    // The room is invite-only. The invite will come and is handled like any other.
                    Err(error) if !error.is_passing() => continue,
                    joined => joined?,
                },
            }
            self.runtime.roster.enter(&new, account.user());
            let followed = self.follow_upgrade(&account, &new)?;
            if step == Step::Join {
                self.company.stay_if_lively(&account, &new, Some(followed.as_deref().unwrap_or(old))).await?;
            }
        }
        Ok(())
    }

    /// Waits for the invite to a room that cannot be seen from outside; without one, whoever moved the room is told.
    fn await_invite(self: &Arc<Self>, account: Arc<Account>, old: &RoomId, new: OwnedRoomId, by: &UserId) {
        if by.server_name() != &*self.runtime.namespace().server {
            return;
        }
        let (upgrades, old, by) = (self.clone(), old.to_owned(), by.to_owned());
        self.runtime.tasks.spawn(async move {
            tokio::select! {
                () = upgrades.runtime.stop.cancelled() => return,
                () = tokio::time::sleep(INVITE_PATIENCE) => {}
            }
            let told = async {
                account.sync().await?;
                if account.is_in(&new) || account.is_invited(&new) || !account.is_in(&old) {
                    return Ok(());
                }
                tracing::warn!(room.id = %old, successor = %new, user.id = %account.user(), "a room was moved to one that cannot be seen from outside, and nobody has invited us there");
                let [from, to] = [&old, &new].map(|room| room_address(room, &upgrades.runtime.namespace().server));
                let coworker = upgrades.runtime.coworker(account.user());
                let name = coworker.as_ref().map_or(account.user().as_str(), |coworker| &coworker.name);
                let txn = super::word_transaction("moved", old.as_str(), account.user());
                Box::pin(upgrades.service_chats.clone().say_privately_once(&by, &moving::unseen(name, &from, &to), txn)).await
            };
            if let Err::<(), EngineError>(error) = told.await {
                tracing::info!(room.id = %old, %error, "that a coworker was not taken along cannot be said");
            }
        });
    }

    /// Returns what can be seen of a room without joining it.
    async fn sight_of(&self, account: &Account, room: &RoomId) -> Result<Sight, EngineError> {
        if account.is_in(room) {
            return Ok(Sight::Inside { predecessor: account.predecessor(room) });
        }
        if account.is_invited(room) {
            return Ok(Sight::Invited);
        }
        if let Some(there) = self.runtime.kept_in(room).first().filter(|there| there.is_in(room)) {
            return Ok(Sight::Seen { predecessor: there.predecessor(room) });
        }
        let seen = account.predecessor_from_outside(room).await?;
        Ok(seen.map_or(Sight::Hidden, |predecessor| Sight::Seen { predecessor }))
    }

    /// Copies a room's record and notes to the room that replaces it, if each points to the other. From a private room
    /// to a public one only mutes and introductions are copied.
    pub(super) fn follow_upgrade(&self, account: &Account, new: &RoomId) -> Result<Option<OwnedRoomId>, EngineError> {
        let Some(old) = account.predecessor(new) else { return Ok(None) };
        let known = self.runtime.tables.rooms.get(&new.to_owned())?.unwrap_or_default();
        // Who invited whom is noted before an upgrade is followed, and says nothing about one.
        let is_new = known.stays.is_empty()
            && known.introduced.is_empty()
            && known.muted.is_empty()
            && known.visit.is_none()
            && known.service_dm.is_none();
        if account.successor(&old).as_deref() != Some(new) || !is_new {
            return Ok(None);
        }
        let Some(record) = self.runtime.tables.rooms.get(&old)? else { return Ok(None) };
        let opened = account.is_public(new) && !account.is_public(&old);
        let record = if opened {
            RoomRecord { introduced: record.introduced, muted: record.muted, ..RoomRecord::default() }
        } else {
            // Before the record, which marks the upgrade as followed.
            self.notes.carry(&old, &new.to_owned())?;
            self.schedules.carry_schedules(&old, &new.to_owned())?;
            let moved = RoomRecord { moved_to: Some(new.to_owned()), ..record.clone() };
            self.runtime.tables.rooms.put(&old, &moved)?;
            record
        };
        self.runtime.tables.rooms.put(&new.to_owned(), &RoomRecord { invited_by: known.invited_by, ..record })?;
        tracing::info!(room.id = %new, predecessor = %old, "a room upgrade is followed");
        Ok(Some(old))
    }
}

/// Runs on a blocking thread: thousands of hashes would hold up the async workers.
async fn prove(ended: Ended) -> bool {
    tokio::task::spawn_blocking(move || succession::is_made_by_upgrade(&ended)).await.unwrap_or_default()
}
