//! Messages whose ciphertext came before as another event: whoever runs the homeserver can send it again, and so ask or
//! decide again in somebody's name. Such an echo counts for nothing (C8, C12).

use std::sync::Arc;

use ruma::{EventId, OwnedUserId, UserId};

use super::{EngineError, word, word_transaction};
use crate::{
    clock,
    core::{
        event::{EventKind, MessageKind, Outgoing, Place, RoomEvent},
        sealed::heard::{Ciphertext, Heard, Hearing},
        time::Timestamp,
        words,
    },
    engine::runtime::Runtime,
    matrix::{Account, MatrixError, inbound::Read},
    store::{InboxEntry, StoreError, Table},
};

/// Most of our users in a room that look for a message's place in its session.
const READERS_MAX: usize = 3;
/// Sessions whose messages are remembered; beyond this, those that were heard longest ago are forgotten.
const SESSIONS_MAX: usize = 50_000;
/// Sessions forgotten together, so that this is seldom done.
const SESSIONS_FORGOTTEN: usize = SESSIONS_MAX / 10;

/// What was heard of each session, so that an echo counts for nothing.
pub(super) struct Echoes {
    runtime: Arc<Runtime>,
}

impl Echoes {
    /// Makes it on what it may call.
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone() }
    }

    /// Returns whether what was read in an entry is no echo, and notes it. Where that cannot be told, it does not count,
    /// and who asked with it is told so.
    ///
    /// # Errors
    /// When looking fails for now; the entry is tried again.
    pub(super) async fn is_no_echo(
        &self,
        readers: &[Arc<Account>],
        read: &Read,
        entry: &InboxEntry,
    ) -> Result<bool, EngineError> {
        let event = &read.event;
        if !read.was_encrypted || !says_something(&event.kind) {
            return Ok(true);
        }
        let hearing = match self.ciphertext_of(readers, read, entry).await {
            Ok(Some(ciphertext)) => {
                let owner = self.runtime.tables.assistant_rooms.get(&event.room)?;
                self.change_heard(&ciphertext, owner, |heard| heard.hear(ciphertext.index, &event.id, clock::now()))?
            }
            Ok(None) => Hearing::Unknown,
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(room.id = %event.room, event.id = %event.id, %error, "a ciphertext cannot be read again");
                Hearing::Unknown
            }
        };
        let (room, id, sender) = (&event.room, &event.id, &event.sender);
        match hearing {
            Hearing::First => return Ok(true),
            Hearing::Echo => tracing::warn!(
                room.id = %room, event.id = %id, user.id = %sender,
                "an encrypted message came before as another event; it counts for nothing"
            ),
            Hearing::Unknown => {
                tracing::warn!(
                    room.id = %room, event.id = %id, user.id = %sender,
                    "whether an encrypted message is new cannot be told; it counts for nothing, and its sender is told"
                );
                self.tell_doubt(readers, event).await?;
            }
        }
        Ok(false)
    }

    /// Returns the ciphertext of what was read; `None` if neither the transaction nor the homeserver has it.
    async fn ciphertext_of(
        &self,
        readers: &[Arc<Account>],
        read: &Read,
        entry: &InboxEntry,
    ) -> Result<Option<Ciphertext>, MatrixError> {
        if read.ciphertext.is_some() {
            return Ok(read.ciphertext.clone());
        }
        let mut failed = None;
        // It is fetched only where the transaction had none, or another one.
        for fetches in [false, true] {
            for reader in readers.iter().take(READERS_MAX) {
                let found = if fetches {
                    Box::pin(reader.ciphertext_fetched(&read.event)).await
                } else {
                    reader.ciphertext_read(&read.event, &entry.event.json).await
                };
                match found {
                    Ok(Some(ciphertext)) => return Ok(Some(ciphertext)),
                    Ok(None) => {}
                    Err(error) => failed = Some(error),
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Tells who asked one of ours with a message that it does not count.
    async fn tell_doubt(&self, readers: &[Arc<Account>], event: &RoomEvent) -> Result<(), EngineError> {
        let is_chat = self.runtime.tables.assistant_rooms.get(&event.room)?.is_some_and(|owner| owner == event.sender);
        let asked = readers.iter().find(|reader| is_chat || event.mentions(reader.user()));
        let Some(account) = asked else { return Ok(()) };
        if !self.runtime.tables.is_told_now(&event.room, &event.sender, |record| &mut record.undecryptable)? {
            return Ok(());
        }
        let txn = word_transaction("in-doubt", event.id.as_str(), account.user());
        let place = Place::Reply { to: event.id.clone() };
        let said = Outgoing { place, ..word(&words::given_up(), Some(&event.sender)) };
        match account.send(&event.room, &said, txn).await {
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => {
                tracing::warn!(room.id = %event.room, %error, "who wrote what does not count cannot be told");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Notes that a message decides about a card; returns whether it may.
    pub(super) fn decides_once(
        &self,
        ciphertext: &Ciphertext,
        event: &EventId,
        (card, owner): (&EventId, Option<&UserId>),
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let owner = owner.map(ToOwned::to_owned);
        self.change_heard(ciphertext, owner, |heard| heard.decide(ciphertext.index, event, card, now))
    }

    fn change_heard<T>(
        &self,
        ciphertext: &Ciphertext,
        owner: Option<OwnedUserId>,
        change: impl FnOnce(&mut Heard) -> T,
    ) -> Result<T, EngineError> {
        let mut changed = None;
        self.runtime.tables.heard.update(&ciphertext.session, |heard: Option<Heard>| {
            let mut heard = heard.unwrap_or_default();
            heard.owner = owner;
            changed = Some(change(&mut heard));
            Some(heard)
        })?;
        Ok(changed.expect("the table calls it once"))
    }
}

/// Forgets the sessions that were heard longest ago, if there are too many. Walks over all of them.
pub(super) fn forget_oldest(table: &Table<String, Heard>) -> Result<(), StoreError> {
    if table.len() <= SESSIONS_MAX {
        return Ok(());
    }
    let mut sessions: Vec<(Timestamp, String)> =
        table.iter().filter_map(Result::ok).map(|(session, heard)| (heard.at, session)).collect();
    sessions.sort_unstable();
    for (_, session) in sessions.iter().take(SESSIONS_FORGOTTEN) {
        table.remove(session)?;
    }
    Ok(())
}

/// Returns whether an event can ask or decide anything.
fn says_something(kind: &EventKind) -> bool {
    match kind {
        EventKind::Message(message) => message.kind != MessageKind::Unreadable,
        EventKind::Edit { .. } => true,
        _ => false,
    }
}
