//! `!export` and `!share` (A9): copies that the owner asked for, into the same chat and nowhere else.

use ruma::UserId;

use super::{HISTORY_EVENTS, is_of_the_two};
use crate::{
    core::{
        copying,
        event::{EventKind, Place, RoomEvent},
        words::sessions,
    },
    engine::{Engine, EngineError, word, word_transaction},
    matrix::{Account, account::File},
};

impl Engine {
    /// Handles `!export`: says what the file contains, and posts the session as a file, encrypted as the room is.
    pub(super) async fn export_session(
        &self,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
    ) -> Result<(), EngineError> {
        let (session, older) = self.session_before(account, owner, event).await?;
        let zone = self.zones.zone_of(owner).await;
        let exported = copying::export(&session, owner, account.user(), older, &zone);
        let text = exported.as_ref().map_or_else(sessions::nothing_to_export, |export| {
            sessions::exported(export.messages, export.span, export.left_out, &zone)
        });
        let txn = |purpose| word_transaction(purpose, event.id.as_str(), account.user());
        let said = account.send(&event.room, &word(&text, None), txn("command")).await?;
        let Some(export) = exported else { return Ok(()) };
        let file = File {
            name: sessions::export_file_name().to_owned(),
            media_type: mime::TEXT_PLAIN_UTF_8,
            bytes: export.text.into_bytes(),
        };
        account.send_file(&event.room, file, &Place::Reply { to: said }, txn("export")).await?;
        Ok(())
    }

    /// Handles `!share`: posts the answer that it replies to, or the newest one, as an event of its own.
    pub(super) async fn share_answer(
        &self,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
    ) -> Result<(), EngineError> {
        let (session, _) = self.session_before(account, owner, event).await?;
        let wanted = match &event.kind {
            EventKind::Message(message) => message.reply_to.as_deref(),
            _ => None,
        };
        let shared = copying::share(&session, wanted, owner, account.user());
        let txn = word_transaction("command", event.id.as_str(), account.user());
        let Some((answer, message)) = shared else {
            account.send(&event.room, &word(&sessions::nothing_to_share(), None), txn).await?;
            return Ok(());
        };
        let copy = account.send(&event.room, &message, txn).await?;
        self.chats.note(owner, |kept| kept.withheld.copied(&mut kept.opened, &answer, &copy))
    }

    /// Returns the current session's messages up to a command, and whether it began before the events at hand.
    async fn session_before(
        &self,
        account: &Account,
        owner: &UserId,
        command: &RoomEvent,
    ) -> Result<(Vec<RoomEvent>, bool), EngineError> {
        let mut events = account.history(&command.room, HISTORY_EVENTS).await?;
        let cut = events.len() >= HISTORY_EVENTS;
        if let Some(at) = events.iter().position(|event| event.id == command.id) {
            events.truncate(at);
        }
        events.retain(|event| is_of_the_two(account, event, owner));
        let kept = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let session = self.session_of(account, owner, &events, &kept, &command.id);
        Ok((events.split_off(session.begins), cut && session.begins == 0))
    }
}
