//! Makes a person's assistant and its room, or finds them.

mod adopting;
mod following;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::Mutex as FairMutex;

use crate::{
    core::room_check::{Origin, Privacy, check_room},
    engine::{
        EngineError, chats::Chats, control::Running, gaps::Gaps, records::AssistantRecord, runtime::Runtime,
        service_chats::ServiceChats, standing::People,
    },
    matrix::{Account, dm},
};

/// Where an owner finds their assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Chat {
    /// In the room that they are already in.
    Joined,
    /// In a room to which they are invited.
    Invited,
}

/// Makes sure that two requests at once make one assistant.
#[derive(Default)]
pub(in crate::engine) struct Makers(Mutex<HashMap<OwnedUserId, Weak<FairMutex<()>>>>);

impl Makers {
    pub(super) fn of(&self, owner: &UserId) -> Arc<FairMutex<()>> {
        let mut makers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        makers.retain(|_, maker| maker.strong_count() > 0);
        if let Some(maker) = makers.get(owner).and_then(Weak::upgrade) {
            return maker;
        }
        let maker = Arc::new(FairMutex::new(()));
        makers.insert(owner.to_owned(), Arc::downgrade(&maker));
        maker
    }

    /// Waits while an assistant is being made for `owner`, because its room is not known as the assistant's until then.
    pub(in crate::engine) async fn made(&self, owner: &UserId) {
        let making = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(owner).and_then(Weak::upgrade);
        if let Some(making) = making {
            let _made = making.lock().await;
        }
    }
}

/// Most rooms remembered as no chats of assistants; beyond that all are forgotten and looked up again.
const NO_CHATS_MAX: usize = 1_024;

/// Rooms that were looked up and are no chat with an assistant.
#[derive(Default)]
pub(super) struct NoChats(Mutex<BTreeSet<OwnedRoomId>>);

impl NoChats {
    fn has(&self, room: &RoomId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(room)
    }

    fn add(&self, room: &RoomId) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= NO_CHATS_MAX {
            rooms.clear();
        }
        rooms.insert(room.to_owned());
    }
}

/// Where assistants live: their rooms are made, adopted and followed.
pub(in crate::engine) struct Homes {
    runtime: Arc<Runtime>,
    chats: Arc<Chats>,
    people: Arc<People>,
    gaps: Arc<Gaps>,
    service_chats: Arc<ServiceChats>,
    running: Running,
    pub(in crate::engine) makers: Arc<Makers>,
    no_chats: NoChats,
}

impl Homes {
    /// Makes it on what it may call.
    pub(in crate::engine) fn new(
        runtime: &Arc<Runtime>,
        chats: &Arc<Chats>,
        people: &Arc<People>,
        gaps: &Arc<Gaps>,
        service_chats: &Arc<ServiceChats>,
        running: &Running,
        makers: &Arc<Makers>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            chats: chats.clone(),
            people: people.clone(),
            gaps: gaps.clone(),
            service_chats: service_chats.clone(),
            running: running.clone(),
            makers: makers.clone(),
            no_chats: NoChats::default(),
        }
    }

    /// Makes a person's assistant and its room, or finds them; invites the owner if they are not there.
    pub(super) async fn ensure_assistant(self: Arc<Self>, owner: &UserId) -> Result<Chat, EngineError> {
        let maker = self.makers.of(owner);
        let _one_at_a_time = maker.lock().await;
        let persona = self.chats.persona_after(owner).await;
        let account = Box::pin(self.runtime.pool.passing(&persona)).await?;
        account.sync().await?;
        account.confirm_rooms().await?;
        Box::pin(self.follow(&account, owner)).await?;
        let record = self.runtime.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let known = record.room.clone().filter(|room| account.is_in(room));
        if let Some(room) = known
            && self.chats.attend(&account, owner, &room).await? == Privacy::Tight
        {
            self.chats.rename_after(&persona).await;
            let facts = account.facts(&room).await?;
            if facts.joined.contains(owner) {
                return Ok(Chat::Joined);
            }
            if !facts.invited.contains(owner) {
                account.invite(&room, owner).await?;
            }
            return Ok(Chat::Invited);
        }
        // A crash between making a room and recording it leaves a room that our store does not know.
        let adopted = self.unrecorded_room(&account, owner, &record).await?;
        let room = match adopted {
            Some(room) => room,
            None => dm::create_private(&account, owner, &persona.display_name).await?,
        };
        self.runtime.tables.assistant_rooms.put(&room, &owner.to_owned())?;
        self.gaps.begin_comparing_in(&room)?;
        let elsewhere = self.runtime.tables.assistants.get(&owner.to_owned())?.is_some_and(|record| record.elsewhere);
        let record = AssistantRecord { room: Some(room.clone()), elsewhere, ..AssistantRecord::default() };
        self.runtime.tables.assistants.put(&owner.to_owned(), &record)?;
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %persona.user, room.id = %room, "an assistant is ready");
        // The owner may have joined before the room was recorded as theirs.
        account.sync().await?;
        self.chats.attend(&account, owner, &room).await?;
        Ok(Chat::Invited)
    }

    async fn unrecorded_room(
        &self,
        account: &Account,
        owner: &UserId,
        record: &AssistantRecord,
    ) -> Result<Option<OwnedRoomId>, EngineError> {
        for room in account.joined() {
            if record.room.as_ref() == Some(&room) || self.runtime.tables.assistant_rooms.get(&room)?.is_some() {
                continue;
            }
            let state = dm::state_of(account, &room, owner).await?;
            if check_room(&state, Origin::Made, owner, account.user()).is_tight() {
                return Ok(Some(room));
            }
        }
        Ok(None)
    }

    /// As [`super::chats::Chats::attend`]; if the room was replaced, follows the upgrade or makes another room.
    pub(super) async fn look_after(
        self: &Arc<Self>,
        account: &Arc<Account>,
        owner: &UserId,
        room: &RoomId,
    ) -> Result<Privacy, EngineError> {
        let privacy = self.chats.attend(account, owner, room).await?;
        if privacy == Privacy::Lost {
            Box::pin(self.clone().take_upgrade(account, owner)).await?;
        }
        Ok(privacy)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::user_id;

    use super::*;

    #[test]
    fn an_owners_events_wait_while_their_assistants_room_is_made_and_nobody_elses_do() {
        let (makers, alice, bob) = (Makers::default(), user_id!("@alice:hs"), user_id!("@bob:hs"));
        assert!(makers.made(alice).now_or_never().is_some(), "nothing is being made");

        let maker = makers.of(alice);
        let making = maker.lock().now_or_never().expect("nobody else makes it");
        let mut waiting = Box::pin(makers.made(alice));
        assert!((&mut waiting).now_or_never().is_none(), "her room is not known yet");
        assert!(makers.made(bob).now_or_never().is_some());
        drop(making);
        assert!(waiting.now_or_never().is_some(), "her room is known");
    }
}
