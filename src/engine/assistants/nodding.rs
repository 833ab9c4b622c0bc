//! An owner's emoji, thanks and `ok`: which of them ask nothing.

use crate::{
    core::{
        address::{Answered, Nod, asked_back, nod},
        event::{EventKind, Message, RoomEvent},
    },
    matrix::Account,
};

/// Returns whether an owner's message only nods at an answer: in reply to it, or only with emoji. Words that are typed in
/// the chat without a reply are answered.
pub(super) fn only_nods(account: &Account, event: &RoomEvent) -> bool {
    let EventKind::Message(message) = &event.kind else { return false };
    let Some(nod) = nod(message, &[]) else { return false };
    let answered = match message {
        Message { reply_to: Some(answer), .. } => Answered::Message(answer),
        _ if nod == Nod::Emoji => Answered::Chat,
        _ => return false,
    };
    let held = account.held_events(&event.room);
    nod.asks_nothing(asked_back(&held, answered, |user| user == account.user()))
}
