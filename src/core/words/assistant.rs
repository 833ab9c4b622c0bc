//! What an assistant says of itself and its chat (A1 to A6).

use ruma::UserId;

use crate::core::names::plain_name;

/// Returns what somebody's assistant is called; after their id, where they have no name.
#[must_use]
pub fn assistant_name(owner: &UserId, name: &str) -> String {
    let name = plain_name(name);
    format!("{}'s assistant", if name.is_empty() { owner.localpart() } else { &name })
}

/// What the encryption of an assistant's chat does and does not (A5), and where its memory ends.
pub(super) const WHO_CAN_READ: &str = "**Who can read it.** It is end-to-end encrypted, so neither the homeserver nor other people \
     can read it. I am a program, though: the Workmate service that runs me decrypts your messages, and the model's \
     provider (Anthropic's Claude) processes them to answer you.\n\n\
     I remember this session only. `!new` starts another, `!help` shows what else there is.";

/// Returns an assistant's first message, which says honestly what the encryption does (A5).
#[must_use]
pub fn assistant_first() -> String {
    format!("Hello, I'm your assistant. This chat is yours alone: ask me anything.\n\n{WHO_CAN_READ}")
}

/// Says that a third member makes the assistant silent (A2).
#[must_use]
pub fn third_member(service: &str) -> String {
    format!(
        "Someone else is in this chat, so I'll be silent here: I write only where you alone can read. Write `!assistant` to \
         {service}, and I'll open a fresh room for the two of us."
    )
}

/// Says that a room is not as tight as it was made, and how, so that the assistant is silent there (A2); `service` is a
/// link to the service bot.
#[must_use]
pub fn room_loosened(how: &[String], service: &str) -> String {
    format!(
        "This chat is not as private as I made it: {}. So I'll be silent here. Write `!assistant` to {service}, and I'll open \
         a fresh room for the two of us.",
        how.join("; ")
    )
}

/// Tells somebody that this is another person's assistant (A3): `assistant` is a link.
#[must_use]
pub fn not_your_assistant(assistant: &str) -> String {
    format!("{assistant} is someone else's assistant and can't answer you. Write `!assistant` here to get your own.")
}

/// Says that the session begins afresh after a pause (A6).
#[must_use]
pub fn fresh_after_pause(hours: u32) -> String {
    let hours = if hours == 1 { "an hour".to_owned() } else { format!("{hours} hours") };
    format!("*It's been more than {hours}, so I'm starting afresh: I no longer look at anything above.*")
}

/// Confirms `!new` (A6).
#[must_use]
pub fn fresh() -> String {
    "This is a new session: I no longer look at anything above.".to_owned()
}

/// `!help` of an assistant, for the screen of a phone.
#[must_use]
pub fn assistant_help() -> String {
    "Just write; I answer here and nowhere else.\n\n\
     - `!new` start a new session\n\
      - `!open #room` read a room unseen\n\
      - `!forget` delete our sessions\n\
      - `!export` this session as a file\n\
      - `!share` an answer to forward\n\
     - `!tools` what I can use\n\
     - `!stop` stop working\n\
      - `!verify` compare emoji with me\n\
      - `!help` this list\n\n\
      🛑 on your message stops me, 🔁 on my answer has me try again."
        .to_owned()
}
