//! Whether an assistant's room belongs to its owner alone, and what happens if it does not (A2, A3).

mod naming;

use std::sync::Arc;

use ruma::{RoomId, UserId};

use crate::{
    core::{
        destination::{Destination, Home},
        event::{EventKind, Membership, RoomEvent},
        room_check::{Drift, Privacy, RoomCheck, check_room},
        run::RunRecord,
        words,
    },
    engine::{EngineError, media::Hears, records::AssistantRecord, runtime::Runtime, toolsets::Toolsets},
    matrix::{Account, dm},
};

/// State that changes who can read an assistant's room.
pub(super) const STATE_THAT_MATTERS: [&str; 9] = [
    "m.room.member",
    "m.room.encryption",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.canonical_alias",
    "m.room.tombstone",
    "m.space.parent",
];

/// The assistants' chats: whose each is, and whether it is its owner's alone.
pub(in crate::engine) struct Chats {
    runtime: Arc<Runtime>,
    toolsets: Arc<Toolsets>,
    hears: Arc<Hears>,
}

impl Chats {
    /// Makes it on what it may call.
    pub(in crate::engine) fn new(runtime: &Arc<Runtime>, toolsets: &Arc<Toolsets>, hears: &Arc<Hears>) -> Self {
        Self { runtime: runtime.clone(), toolsets: toolsets.clone(), hears: hears.clone() }
    }

    /// Checks `room` as of the last sync; it is `Lost` if it is not the assistant's own. If somebody else is there or
    /// could come in, the assistant falls silent for good; once its owner is there, it says the first words (A2, A5).
    pub(in crate::engine) async fn attend(
        &self,
        account: &Account,
        owner: &UserId,
        room: &RoomId,
    ) -> Result<Privacy, EngineError> {
        let record = self.runtime.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        if record.room.as_deref() != Some(room) || !account.is_in(room) {
            return Ok(Privacy::Lost);
        }
        let state = dm::state_of(account, room, owner).await?;
        let RoomCheck { mut drifts, third_members } = check_room(&state, record.origin(), owner, account.user());
        // An owner who left is invited again when they ask.
        drifts.retain(|drift| *drift != Drift::OwnerGone);
        if record.silent || !drifts.is_empty() || !third_members.is_empty() {
            self.fall_silent(account, owner, &record, &drifts).await?;
            return Ok(Privacy::Lost);
        }
        if !record.introduced && state.members.contains(&(owner.to_owned(), Membership::Join)) {
            let txn = crate::engine::word_transaction("first-words", room.as_str(), account.user());
            let host = self.hears.host();
            let first = if record.followed.is_some() { words::moving::moved } else { words::assistant_first };
            let tools = self.toolsets.toolset_of_private_run().await?;
            let mut first = first(host.as_deref(), &tools);
            if record.elsewhere {
                first = format!("{first}\n\n{}", words::declining::written_elsewhere());
            }
            account.send_first_words(room, &crate::engine::word(&first, None), txn).await?;
            self.note_of(owner, room, |record| (record.introduced, record.elsewhere) = (true, false))?;
        }
        Ok(Privacy::Tight)
    }

    /// As [`Self::note`], unless the assistant has another room by now.
    fn note_of(
        &self,
        owner: &UserId,
        room: &RoomId,
        change: impl FnOnce(&mut AssistantRecord),
    ) -> Result<(), EngineError> {
        self.note(owner, |record| {
            if record.room.as_deref() == Some(room) {
                change(record);
            }
        })
    }

    async fn fall_silent(
        &self,
        account: &Account,
        owner: &UserId,
        record: &AssistantRecord,
        drifts: &[Drift],
    ) -> Result<(), EngineError> {
        let Some(room) = &record.room else { return Ok(()) };
        if !record.silent {
            tracing::warn!(
                room.id = %room, user.id = %account.user(), ?drifts,
                "an assistant goes silent: its room is not private any more"
            );
            self.note_of(owner, room, |record| record.silent = true)?;
        }
        // For a replaced room, `homes/following.rs` says whether the new one is followed.
        if !record.silence_told && !drifts.contains(&Drift::Replaced) {
            let text = if drifts.is_empty() {
                words::third_member(&self.runtime.service_pill())
            } else {
                words::room_loosened(
                    &drifts.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    &self.runtime.service_pill(),
                )
            };
            let txn = crate::engine::word_transaction("silent", room.as_str(), account.user());
            account.send(room, &crate::engine::word(&text, Some(owner)), txn).await?;
            self.note_of(owner, room, |record| record.silence_told = true)?;
        }
        Ok(())
    }

    /// Returns where a run may write now, as `core/destination.rs` decides. This also ends a run of an assistant that
    /// fell silent while answering (A2).
    pub(in crate::engine) fn destination<'a>(&self, record: &'a RunRecord) -> Result<Destination<'a>, EngineError> {
        Destination::of(record, || {
            let kept = self.runtime.tables.assistants.get(&record.asker)?.unwrap_or_default();
            let assistant = self.runtime.assistant_persona(&record.asker).user;
            Ok(Home { assistant, room: kept.room, silent: kept.silent })
        })
    }

    pub(super) fn note(&self, owner: &UserId, change: impl FnOnce(&mut AssistantRecord)) -> Result<(), EngineError> {
        self.runtime.tables.assistants.update(&owner.to_owned(), |record: Option<AssistantRecord>| {
            let mut record = record.unwrap_or_default();
            change(&mut record);
            Some(record)
        })?;
        Ok(())
    }
}

/// Returns whether an event is the owner's or the assistant's own. Messages of others, and unencrypted ones that the
/// homeserver could have made up, are not read (A3).
pub(super) fn is_of_the_two(account: &Account, event: &RoomEvent, owner: &UserId) -> bool {
    let theirs = event.sender == owner || event.sender == account.user();
    let says = matches!(event.kind, EventKind::Message(_) | EventKind::Edit { .. });
    theirs && (!says || account.held(&event.room, &event.id).is_some_and(|read| read.was_encrypted))
}
