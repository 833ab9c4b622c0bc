//! What is said about rooms that replace others (A2, C18).

use crate::core::tool::Toolset;

/// Tells whoever moved a room that a coworker could not follow (C18).
#[must_use]
pub(crate) fn unseen(name: &str, old: &str, new: &str) -> String {
    format!(
        "You've moved {old} to {new}. From outside, {name} can't see that the one replaces the other, so it waits for an \
         invite. Invite it there, and it goes on with the room's notes and settings."
    )
}

/// The first words in a room that replaces the chat; as honest as [`super::assistant_first`] (A5).
#[must_use]
pub(crate) fn moved(recogniser: Option<&str>, tools: &Toolset) -> String {
    format!(
        "Here I am: this chat replaces our old one and is as private as that was. A new session begins; I no longer \
         look at the old chat, and answer here only.\n\n{}",
        super::assistant::who_can_read(recogniser, tools)
    )
}

/// Says in a replaced chat that the assistant is not in the new one, and what to do.
#[must_use]
pub(crate) fn awaiting_invite(service: &str) -> String {
    format!(
        "This chat was replaced by another room, so I'll be silent here. I'm not in the new one: invite me, and I'll come \
         if it is as private as this chat was made. Or write `!assistant` to {service}, and I'll open a fresh room for the \
         two of us."
    )
}

/// Says in a replaced chat that the assistant does not follow, and why.
#[must_use]
pub(crate) fn not_followed(why: &[String]) -> String {
    format!(
        "This chat was replaced by a room that I don't follow you into: {}. I'll be silent here and there. I'm opening a \
         fresh room for the two of us; look among your invites.",
        why.join("; ")
    )
}
