//! MCP tools that have changed since they were granted (C12): withheld, announced, and accepted by an admin.
//!
//! The model acts on a tool's definition, so a server that changes it can make the model do something else. Only
//! `workspace.admins` can accept a change, in their own chat with the service bot. Without admins the operator accepts
//! it by the grant's `digest`.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use ruma::{OwnedRoomId, OwnedTransactionId, RoomId, UserId};
use serde_json::json;

use super::Toolsets;
use crate::{
    core::{
        event::Place,
        tool::{self, DESCRIPTION_CHARS_MAX, Offer, ToolName, Toolset, Withheld},
        words::{self, ChangedTool},
    },
    engine::{EngineError, records::AUDIT_ROOM, word, word_transaction},
    matrix::{Account, account::File},
};

/// Changes announced by one process; further ones are withheld silently.
const TOLD_MAX: usize = 1_000;
/// Most changed tools shown to an admin at once.
const SHOWN_MAX: usize = 40;
/// The name of the file that shows them.
const FILE: &str = "changed-tools.txt";

/// The changes that were announced.
#[derive(Default)]
pub(in crate::engine) struct Changes(Mutex<BTreeSet<(ToolName, String)>>);

impl Changes {
    /// Returns whether a change has yet to be announced, and marks it as announced.
    fn is_news(&self, name: &ToolName, fingerprint: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert((name.clone(), fingerprint.to_owned()))
    }
}

impl Toolsets {
    /// Announces each change once, in the log and in the audit room.
    pub(in crate::engine) async fn tell_changes(&self, tools: &Toolset) {
        for (name, why) in tools.withheld() {
            let Withheld::Changed(fingerprint) = why else { continue };
            if !self.changes.is_news(name, fingerprint) {
                continue;
            }
            let tool = name.as_str();
            tracing::warn!(
                tool.name = tool,
                digest = fingerprint,
                "a tool has changed since it was granted and is not offered; an admin accepts it with !changes in a \
                 direct chat with the service bot, or the grant names this digest"
            );
            if let Err(error) = Box::pin(self.tell_admins(name, fingerprint)).await {
                tracing::debug!(%error, "admins cannot be told of a changed tool");
            }
        }
    }

    /// Returns the audit room if it was made or found before.
    fn known_audit_room(&self) -> Result<Option<OwnedRoomId>, EngineError> {
        Ok(self.runtime.tables.audit_room.get(&AUDIT_ROOM.to_owned())?.and_then(|kept| kept.room))
    }

    async fn tell_admins(&self, name: &ToolName, fingerprint: &str) -> Result<(), EngineError> {
        let (Some(account), Some(room)) =
            (self.runtime.pool.kept(&self.runtime.service_user()), self.known_audit_room()?)
        else {
            return Ok(());
        };
        let service = account.user();
        let text = words::tool_changed(name, service.as_str());
        let txn = word_transaction("tool-changed", &format!("{} {fingerprint}", name.as_str()), service);
        account.send(&room, &word(&text, None), txn).await?;
        Ok(())
    }

    /// Shows an admin what has changed: each tool's whole definition, as the model would read it.
    pub(in crate::engine) async fn show_changes(
        &self,
        account: &Account,
        room: &RoomId,
        txn: &OwnedTransactionId,
    ) -> Result<String, EngineError> {
        let changed: Vec<Offer> = self.changed_offers()?.into_iter().take(SHOWN_MAX).collect();
        if changed.is_empty() {
            return Ok(words::changed_tools(&[], FILE));
        }
        let definitions = changed.iter().map(|offer| {
            let description: String = offer.description.chars().take(DESCRIPTION_CHARS_MAX).collect();
            let fingerprint = offer.fingerprint();
            json!({ "tool": offer.name, "digest": fingerprint, "description": description, "parameters": offer.schema })
        });
        let text = tool::shown_whole(&definitions.collect(), &self.tools.mask());
        let file = File { name: FILE.to_owned(), media_type: mime::TEXT_PLAIN_UTF_8, bytes: text.into_bytes() };
        account.send_file(room, file, &Place::Timeline, format!("{txn}-file").into()).await?;
        let changed: Vec<ChangedTool> = changed
            .iter()
            .map(|offer| ChangedTool { name: offer.name.clone(), fingerprint: offer.fingerprint() })
            .collect();
        Ok(words::changed_tools(&changed, FILE))
    }

    /// Pins a changed tool as it is now, if the admin's digest is the current one.
    pub(in crate::engine) async fn accept_change(&self, by: &UserId, said: &str) -> Result<String, EngineError> {
        let mut said = said.split_whitespace();
        let (Some(name), Some(digest), None) = (said.next(), said.next(), said.next()) else {
            return Ok(words::not_accepted());
        };
        let changed = self.changed_offers()?;
        let meant = changed.iter().find(|offer| offer.name.as_str() == name && offer.fingerprint() == digest);
        let Some(offer) = meant else { return Ok(words::not_accepted()) };
        self.pin(offer)?;
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %by, tool.name = name, digest, "an admin accepted a changed tool");
        Ok(words::accepted(&offer.name))
    }
}
