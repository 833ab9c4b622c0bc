//! What an assistant says about itself and its chat (A1 to A6).

use ruma::UserId;

use crate::core::{
    command::list::{ASSISTANT, help_lines},
    names::plain_name,
    tool::Toolset,
};

/// Returns the name of a person's assistant, made from their name or else their id.
#[must_use]
pub fn assistant_name(owner: &UserId, name: &str) -> String {
    let name = plain_name(name);
    format!("{}'s assistant", if name.is_empty() { owner.localpart() } else { &name })
}

/// What the encryption of an assistant's chat does and does not do (A5), and where its memory ends.
const WHO_CAN_READ: &str = "**Who can read it.** It is end-to-end encrypted, so neither the homeserver nor other people \
     can read it. I am a program, though: the Workmate service that runs me decrypts your messages, and the model's \
     provider (Anthropic's Claude) processes them to answer you.\n\n\
     I remember this session only. `!new` starts another, `!help` shows what else there is.";

/// Says who hears voice messages (C25).
#[must_use]
pub(super) fn voice(host: &str) -> String {
    format!("Voice messages go to {host}, which writes them down for me.")
}

/// An assistant's first message, which is honest about what the encryption does (A5), and names its tools.
#[must_use]
pub fn assistant_first(recogniser: Option<&str>, tools: &Toolset) -> String {
    let who = who_can_read(recogniser, tools);
    format!("Hello, I'm your assistant. This chat is yours alone: ask me anything.\n\n{who}")
}

/// Returns [`WHO_CAN_READ`], who hears voice messages, if anybody does, and what its tools do, if it has any.
pub(super) fn who_can_read(recogniser: Option<&str>, tools: &Toolset) -> String {
    let voice = recogniser.map(|host| format!("\n\n{}", voice(host))).unwrap_or_default();
    let tools = if tools.is_empty() { String::new() } else { format!("\n\n{}", super::tools::tools_in_short(tools)) };
    format!("{WHO_CAN_READ}{voice}{tools}")
}

/// Says that the assistant is silent because of a third member (A2).
#[must_use]
pub fn third_member(service: &str) -> String {
    format!(
        "Someone else is in this chat, so I'll be silent here: I write only where you alone can read. Write `!assistant` to \
         {service}, and I'll open a fresh room for the two of us."
    )
}

/// Says that the assistant is silent because the room is no longer tight, and in which ways (A2); `service` links to
/// the service bot.
#[must_use]
pub fn room_loosened(how: &[String], service: &str) -> String {
    format!(
        "This chat is not as private as I made it: {}. So I'll be silent here. Write `!assistant` to {service}, and I'll open \
         a fresh room for the two of us.",
        how.join("; ")
    )
}

/// Tells somebody that this is another person's assistant (A3); `assistant` is a link.
#[must_use]
pub fn not_your_assistant(assistant: &str) -> String {
    format!("{assistant} is someone else's assistant and can't answer you. Write `!assistant` here to get your own.")
}

/// Says that the session starts afresh after a pause (A6).
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

/// An assistant's `!help`, short enough for a phone screen.
#[must_use]
pub fn assistant_help() -> String {
    let commands = help_lines(&ASSISTANT, "");
    format!(
        "Just write; I answer here and nowhere else.\n\n{commands}\n\n\
         🛑 on your message stops me, 🔁 on my answer has me try again."
    )
}
