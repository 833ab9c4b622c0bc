//! Emoji, thanks and an `ok` of an owner's: what of it asks nothing.

use crate::{
    core::{
        address::{Answered, Nod, asked_back, nod},
        event::{EventKind, Message, RoomEvent},
    },
    engine::Engine,
    matrix::Account,
};

impl Engine {
    /// Whether an owner's message only nods at an answer: in reply to it, or with emoji alone. Words that are typed in the
    /// chat by themselves are answered.
    pub(super) fn only_nods(&self, account: &Account, event: &RoomEvent) -> bool {
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
}
