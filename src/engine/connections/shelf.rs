//! The rooms that an owner may read, as a list, as resources and as prompts.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedRoomId, UserId};

use super::{Connections, Given, reading::ASKED_AT_ONCE};
use crate::{
    core::{
        connection::{
            Became,
            cursor::{Cursor, For},
        },
        event::Membership,
        served::{
            answer::{self, About, ROOMS_ON_PAGE_MAX},
            tools::{ConnectionTool, Named},
        },
    },
    engine::EngineError,
    matrix::Account,
    mcp_server::Answer,
};

/// Rooms that are looked at for one page; where fewer of them may be read than a page has, the next call goes on.
const LOOKED_AT_MAX: usize = 400;

impl Connections {
    /// Returns the rooms of coworkers, by id, each with a coworker that is there.
    fn coworkers_rooms(&self) -> Vec<(OwnedRoomId, Arc<Account>)> {
        let users = self.runtime.users();
        let accounts = users.iter().filter_map(|user| self.runtime.pool.kept(user));
        let rooms = accounts.flat_map(|account| {
            let joined = account.joined();
            joined.into_iter().map(move |room| (room, account.clone()))
        });
        let mut rooms: Vec<_> = rooms.filter(|(room, account)| !account.is_space(room)).collect();
        rooms.sort_by(|one, other| one.0.cmp(&other.0));
        rooms.dedup_by(|one, other| one.0 == other.0);
        rooms
    }

    /// Returns a page of the rooms in which the owner is at this moment.
    async fn page_of_rooms(
        &self,
        owner: &UserId,
        name: Option<&String>,
        cursor: Option<&str>,
    ) -> Result<Option<(Vec<About>, Option<String>)>, EngineError> {
        let asked = format!("{name:?}");
        let of = For { owner, what: ConnectionTool::Rooms.name(), asked: &asked };
        let Some(at) = self.cursor(cursor, &of) else { return Ok(None) };
        let all = self.coworkers_rooms();
        let mut rest =
            all.into_iter().filter(|(room, _)| at.behind.as_deref().is_none_or(|behind| room.as_str() > behind));
        let (mut found, mut last, mut looked_at) = (Vec::new(), None, 0);
        while found.len() < ROOMS_ON_PAGE_MAX && looked_at < LOOKED_AT_MAX {
            let some: Vec<_> = rest.by_ref().take(ROOMS_ON_PAGE_MAX - found.len()).collect();
            let Some((end, _)) = some.last() else {
                last = None;
                break;
            };
            (last, looked_at) = (Some(end.to_string()), looked_at + some.len());
            let checked = stream::iter(some).map(|(room, source)| async move {
                if source.is_surely_out(&room, owner).await
                    || source.membership_of(&room, owner).await? != Some(Membership::Join)
                {
                    return Ok(None);
                }
                match Self::about(&source, &room).await {
                    Err(error) if !error.is_passing() => Ok(None),
                    about => about.map(Some),
                }
            });
            let checked: Vec<Option<About>> =
                checked.buffered(ASKED_AT_ONCE).try_collect::<Vec<_>>().await.map_err(|error: EngineError| error)?;
            found.extend(checked.into_iter().flatten().filter(|about| answer::is_named(about, &about.room, name)));
        }
        let next = last.filter(|_| rest.next().is_some()).map(|last| Cursor { from: None, behind: Some(last) });
        Ok(Some((found, self.sealed(next.as_ref(), &of))))
    }

    pub(super) async fn rooms_as_text(
        &self,
        owner: &UserId,
        name: Option<&String>,
        cursor: Option<&str>,
    ) -> Result<Given, EngineError> {
        Ok(match self.page_of_rooms(owner, name, cursor).await? {
            Some((rooms, next)) => Given::text(None, 0, answer::rooms(&rooms, next)),
            None => Given::not_there(),
        })
    }

    /// Lists rooms for the client's own lists, of resources and prompts.
    pub(super) async fn list_rooms(
        &self,
        owner: &UserId,
        name: Option<&String>,
        cursor: Option<&str>,
    ) -> Result<Given, EngineError> {
        Ok(match self.page_of_rooms(owner, name, cursor).await? {
            Some((rooms, next)) => {
                Given { answer: Answer::Rooms { rooms, next }, became: Became::Answered, room: None, messages: 0 }
            }
            None => Given::not_there(),
        })
    }

    /// Reads a room's newest messages, as a resource.
    pub(super) async fn open_for_connection(&self, owner: &UserId, room: &Named) -> Result<Given, EngineError> {
        super::reading::or_not_there(Box::pin(self.newest_of(owner, room, |_, text| text)).await)
    }

    /// Reads a room's newest messages, as the prompt of that name.
    pub(super) async fn prompt_for_connection(&self, owner: &UserId, name: &str) -> Result<Given, EngineError> {
        let mut named = None;
        for (room, source) in self.coworkers_rooms() {
            if Self::about(&source, &room).await.is_ok_and(|about| about.prompt() == name) {
                named = Some(Named::new(room.as_str()));
                break;
            }
        }
        // A prompt that is not there takes the same way as a room that may not be read.
        let named = named.unwrap_or_else(|| Named::new(format!("!none:{}", self.runtime.namespace().server)));
        let opened = Box::pin(self.newest_of(owner, &named, |about, text| answer::opening(about, &text))).await;
        super::reading::or_not_there(opened)
    }

    async fn newest_of(
        &self,
        owner: &UserId,
        room: &Named,
        shape: impl FnOnce(&About, String) -> String,
    ) -> Result<Given, EngineError> {
        let Some(door) = self.door(owner, room).await? else { return Ok(Given::not_there()) };
        // The same cursor as of `room_read`, with which a program goes on.
        let asked = format!("{}|None", door.room());
        let of = For { owner, what: ConnectionTool::Read.name(), asked: &asked };
        let newest = self.newest(&door, Self::usual_page(), None, Cursor::default(), &of).await?;
        let Some((text, messages)) = newest else { return Ok(Given::not_there()) };
        Ok(door.given(shape(&door.about, text), messages))
    }
}
