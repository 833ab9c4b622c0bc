//! Messages whose ciphertext came before as another event: whoever runs the homeserver can send it again, and so ask or
//! decide again in somebody's name. Such an echo counts for nothing (C8, C12).

use std::sync::Arc;

use ruma::EventId;
use tokio::time::Instant;

use super::{Engine, EngineError, Shared};
use crate::{
    clock,
    core::{
        event::{EventKind, MessageKind},
        sealed::heard::{Ciphertext, Heard},
        time::Timestamp,
    },
    matrix::{Account, inbound::Read},
    store::InboxEntry,
};

/// Most of our users in a room that look for a message's place in its session.
const READERS_MAX: usize = 3;
/// Sessions whose messages are remembered; beyond this, those that were heard longest ago are forgotten.
const SESSIONS_MAX: usize = 100_000;
/// Sessions forgotten together, so that this is seldom done.
const SESSIONS_FORGOTTEN: usize = SESSIONS_MAX / 10;

impl Engine {
    /// Takes what coworkers read in an entry, unless it is an echo.
    pub(super) async fn take_unless_echo(
        self: Shared,
        readers: &[Arc<Account>],
        read: &Read,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        if !self.is_no_echo(readers, read, entry).await? {
            return Ok(());
        }
        Box::pin(self.take_read(&read.event, read.carriage(), entry, accepted)).await
    }

    /// Returns whether what was read in an entry is no echo, and notes it. A message whose ciphertext cannot be told is
    /// taken for one.
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
        let mut ciphertext = read.ciphertext.clone();
        for reader in readers.iter().take(READERS_MAX) {
            if ciphertext.is_none() {
                ciphertext = reader.ciphertext_read(event, &entry.event.json).await;
            }
        }
        if let (None, Some(reader)) = (&ciphertext, readers.first()) {
            // The transaction had no ciphertext, or another one.
            ciphertext = Box::pin(reader.ciphertext_fetched(event)).await?;
        }
        let is_first = match &ciphertext {
            Some(ciphertext) => {
                self.change_heard(ciphertext, |heard| heard.hear(ciphertext.index, &event.id, clock::now()))?
            }
            None => false,
        };
        if !is_first {
            tracing::warn!(
                room.id = %event.room, event.id = %event.id, user.id = %event.sender,
                "an encrypted message came before as another event; it counts for nothing"
            );
        }
        Ok(is_first)
    }

    /// Notes that a message decides about a card; returns whether it may.
    pub(super) fn decides_once(
        &self,
        ciphertext: &Ciphertext,
        event: &EventId,
        card: &EventId,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        self.change_heard(ciphertext, |heard| heard.decide(ciphertext.index, event, card, now))
    }

    fn change_heard(
        &self,
        ciphertext: &Ciphertext,
        change: impl FnOnce(&mut Heard) -> bool,
    ) -> Result<bool, EngineError> {
        let mut counts = false;
        self.tables.heard.update(&ciphertext.session, |heard: Option<Heard>| {
            let mut heard = heard.unwrap_or_default();
            counts = change(&mut heard);
            Some(heard)
        })?;
        Ok(counts)
    }

    /// Forgets the sessions that were heard longest ago, if there are too many.
    pub(super) fn forget_heard(&self) -> Result<(), EngineError> {
        if self.tables.heard.len() <= SESSIONS_MAX {
            return Ok(());
        }
        let mut sessions: Vec<(Timestamp, String)> =
            self.tables.heard.iter().filter_map(Result::ok).map(|(session, heard)| (heard.at, session)).collect();
        sessions.sort_unstable();
        for (_, session) in sessions.iter().take(SESSIONS_FORGOTTEN) {
            self.tables.heard.remove(session)?;
        }
        Ok(())
    }
}

/// Returns whether an event can ask or decide anything.
fn says_something(kind: &EventKind) -> bool {
    match kind {
        EventKind::Message(message) => message.kind != MessageKind::Unreadable,
        EventKind::Edit { .. } => true,
        _ => false,
    }
}
