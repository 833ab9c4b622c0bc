//! What an assistant says about forgetting, exporting and sharing (A3, A6, A9).

use crate::core::{time::Timestamp, zone::Zone};

/// Says that a chat was adopted although nothing was stored about it any more.
#[must_use]
pub fn adopted() -> String {
    "I lost what I had stored about our chat, so a new session begins with your message. I may not be able to read what \
     you wrote while I was away; where I can't, I'll say so."
        .to_owned()
}

/// Says that the assistant's device was lost and replaced.
#[must_use]
pub fn renewed() -> String {
    "I lost my keys and have new ones. If a message of yours stays unanswered, please send it again.".to_owned()
}

/// Says that forgetting has begun; finally edited into [`forgotten`].
#[must_use]
pub fn forgetting() -> String {
    "What I stored about our sessions is gone, and your reminders, schedules and connections with it. I'm deleting my \
     messages above; a long chat takes a while. You can write to me meanwhile: a new session has begun."
        .to_owned()
}

/// Confirms `!forget`, and says what remains and where (A3).
#[must_use]
pub fn forgotten(deleted: u64, complete: bool) -> String {
    let deleted = match deleted {
        0 => "There was no message of mine to delete".to_owned(),
        1 => "I deleted my one message above".to_owned(),
        _ => format!("I deleted my {deleted} messages above"),
    };
    let missed = if complete { "" } else { " Some messages could not be deleted; `!forget` tries again." };
    format!(
        "**Forgotten.** {deleted}, and everything that I stored about our sessions, your reminders, schedules and \
         connections, with the key that it was encrypted under.{missed} A new session has begun.\n\n\
         **What remains, and where**\n\n\
         - *This chat*: your own messages. Delete them here if you want them gone. I no longer look at them, but the \
         service still has the keys to them.\n\
         - *The homeserver*: that we wrote, and when. It may keep what I deleted, and files that I sent, for a while, \
         encrypted.\n\
         - *The model's provider* (Anthropic): what it processed, for as long as its terms say.\n\
         - *Backups* of the service that were made before now."
    )
}

/// Says what an exported file contains.
#[must_use]
pub fn exported(messages: usize, (from, to): (Timestamp, Timestamp), left_out: bool, zone: &Zone) -> String {
    let messages = if messages == 1 { "one message".to_owned() } else { format!("{messages} messages") };
    let older = if left_out { " Older ones are left out." } else { "" };
    format!(
        "This session as a file: {messages}, from {} to {}.{older} It is encrypted here; once you save it, it is not.",
        zone.date(from),
        zone.date(to)
    )
}

/// Says that there is nothing to export.
#[must_use]
pub fn nothing_to_export() -> String {
    "There is nothing in this session yet.".to_owned()
}

/// Says that there is no answer to share.
#[must_use]
pub fn nothing_to_share() -> String {
    "I can't find an answer of mine here. Reply `!share` to the one you mean.".to_owned()
}

/// The name of an exported file.
#[must_use]
pub fn export_file_name() -> &'static str {
    "session.md"
}

/// The beginning of an exported file.
#[must_use]
pub fn export_head(assistant: &str, (from, to): (Timestamp, Timestamp), left_out: bool, zone: &Zone) -> String {
    let older = if left_out { "\n\nOlder messages of the session are left out." } else { "" };
    format!("# Session with {assistant}\n\n{} to {}{older}", zone.date(from), zone.date(to))
}

/// Returns the speaker's name in an exported file.
#[must_use]
pub fn export_speaker(is_assistant: bool, user: &str) -> String {
    if is_assistant { "Assistant".to_owned() } else { user.to_owned() }
}

/// The line above a message in an exported file.
#[must_use]
pub fn export_line(speaker: &str, at: Timestamp, zone: &Zone) -> String {
    format!("## {speaker}, {}", zone.date(at))
}

/// Stands for an attachment in an exported file.
#[must_use]
pub fn export_file(name: &str) -> String {
    format!("[file: {name}]")
}
