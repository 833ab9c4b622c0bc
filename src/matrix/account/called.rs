//! People's display names in a room.

use ruma::{RoomId, UserId};

use super::Account;
use crate::core::names::Names;

impl Account {
    /// Returns users' names in a room, as far as they are known without a call. Users with equal names get their ids
    /// appended.
    pub async fn names(&self, room: &RoomId, users: &[&UserId]) -> Names {
        let Some(room) = self.client.get_room(room) else { return Names::default() };
        let mut names = Vec::new();
        for user in users {
            let Ok(Some(member)) = room.get_member_no_sync(user).await else { continue };
            let Some(name) = member.display_name() else { continue };
            let name = if member.name_ambiguous() { format!("{name} ({user})") } else { name.to_owned() };
            names.push(((*user).to_owned(), name));
        }
        names.into_iter().collect()
    }
}
