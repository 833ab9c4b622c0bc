//! The lobby (`workspace.lobby`), a room in which people's apps find the coworkers by name. The service bot makes and
//! keeps it, all coworkers are in it, and nothing is asked or answered there.

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId, UserId};
use sha2::{Digest as _, Sha256};

use super::{EngineError, records::AuditRoom, runtime::Runtime};
use crate::{
    core::{hex::hex, links::room_link, words},
    matrix::{Account, lobby as room},
};

/// The lobby's key in the settings table.
const LOBBY: &str = "lobby";

/// Makes the lobby, or brings it in line with the config, once at each start.
pub(super) async fn keep_lobby(lobby: Arc<Lobby>) {
    if !lobby.runtime.config().workspace.lobby {
        return;
    }
    let kept = async {
        let mut tries = 0;
        while let Err(error) = Box::pin(lobby.see_to_lobby()).await {
            let Some(pause) = error.pause_after(tries) else {
                tracing::error!(%error, "the lobby cannot be kept (workspace.lobby); it is tried again at the next start");
                return;
            };
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    };
    tokio::select! {
        () = lobby.runtime.stop.cancelled() => {}
        () = kept => {}
    }
}

/// The lobby, if the config asks for one.
pub(super) struct Lobby {
    runtime: Arc<Runtime>,
}

impl Lobby {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone() }
    }

    fn lobby(&self) -> Result<Option<OwnedRoomId>, EngineError> {
        Ok(self.runtime.tables.audit_room.get(&LOBBY.to_owned())?.and_then(|kept| kept.room))
    }

    /// Returns whether a room is the lobby, even if the config no longer asks for one.
    pub(super) fn is_lobby(&self, room: &RoomId) -> Result<bool, EngineError> {
        Ok(self.lobby()?.is_some_and(|lobby| lobby == room))
    }

    /// Returns a link to the lobby if the config asks for one.
    pub(super) fn lobby_link(&self) -> Result<Option<String>, EngineError> {
        let lobby = self.lobby()?.filter(|_| self.runtime.config().workspace.lobby);
        Ok(lobby.map(|room| room_link(words::lobby_name(), &room, &self.runtime.namespace().server)))
    }

    /// Accepts a coworker's invite to the lobby.
    pub(super) async fn join_lobby(&self, room: &RoomId, user: &UserId) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(user) else { return Ok(()) };
        if self.runtime.coworker(user).is_none() {
            return Ok(());
        }
        match account.join(room).await {
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => {
                tracing::info!(room.id = %room, user.id = %user, %error, "a coworker cannot come into the lobby");
                Ok(())
            }
            Ok(()) => {
                self.runtime.roster.enter(room, user);
                Ok(())
            }
        }
    }

    async fn see_to_lobby(&self) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        account.sync().await?;
        let known = self.lobby()?.filter(|room| account.is_in(room));
        let room = match known {
            Some(room) => room,
            None => match room::find(&account).await? {
                Some(room) => room,
                None => match self.make_lobby(&account).await? {
                    Some(room) => room,
                    None => return Ok(()),
                },
            },
        };
        // Stored before anybody is invited, so that the invites are recognised as the lobby's.
        let kept = AuditRoom { room: Some(room.clone()), ..AuditRoom::default() };
        self.runtime.tables.audit_room.put(&LOBBY.to_owned(), &kept)?;
        self.runtime.store.flush().await?;
        account.sync().await?;
        self.runtime.roster.enter(&room, account.user());
        let facts = account.facts(&room).await?;
        for user in self.runtime.users().iter().filter(|user| !facts.joined.contains(*user)) {
            if !facts.invited.contains(user) {
                account.invite(&room, user).await?;
            }
            self.join_lobby(&room, user).await?;
        }
        // Former coworkers are removed, so that nobody finds them here.
        for user in facts.joined.iter().filter(|user| self.runtime.namespace().is_ours(user) && *user != account.user())
        {
            if self.runtime.coworker(user).is_none() {
                account.remove(&room, user).await?;
            }
        }
        self.list_in_lobby(&account, &room).await
    }

    async fn make_lobby(&self, account: &Account) -> Result<Option<OwnedRoomId>, EngineError> {
        let space = match &self.runtime.config().workspace.space {
            Some(space) => Some(self.runtime.api().resolve(space).await?),
            None => None,
        };
        let called = (words::lobby_name(), words::lobby_topic());
        let made = self.runtime.api().make_lobby(account.user(), called, space.as_deref()).await?;
        if let Some(room) = &made {
            tracing::info!(room.id = %room, "the lobby is made");
            if space.is_none()
                && let Err(error) = self.runtime.api().list_in_directory(account.user(), room).await
            {
                tracing::info!(%error, "the lobby is not in the homeserver's list of rooms; the service bot links to it");
            }
        }
        Ok(made)
    }

    /// Posts the list of coworkers if it has changed.
    async fn list_in_lobby(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        let text = words::coworker_list(&self.runtime.current.get().listed(), None);
        let list = hex(&Sha256::digest(&text)[..16]);
        if self.runtime.api().listed_in_lobby(account.user(), room).await?.as_ref() == Some(&list) {
            return Ok(());
        }
        let txn = super::word_transaction("lobby", &format!("{room} {list}"), account.user());
        let event = account.send(room, &super::word(&text, None), txn).await?;
        Ok(self.runtime.api().note_listed(account.user(), room, &list, event.as_str()).await?)
    }
}
