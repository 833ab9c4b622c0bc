//! Copies that an owner makes from their assistant's chat (A9): a session as a file, an answer as a clean message.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{EventId, OwnedEventId, UserId};

use super::{
    address::after_quote,
    command::AssistantCommand,
    event::{EventKind, Message, MessageKind, Outgoing, OutgoingKind, Place, RoomEvent},
    redaction::takes_effect,
    time::Timestamp,
    words::sessions,
    zone::Zone,
};

/// Most bytes of an `!export` file; from a longer session the oldest messages are left out.
pub(crate) const EXPORT_BYTES_MAX: usize = 1 << 20;

/// A session as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// The content, in Markdown.
    pub text: String,
    /// The number of messages in it.
    pub messages: usize,
    /// Whether older messages of the session were left out.
    pub left_out: bool,
    /// When the first and the last of them were sent.
    pub span: (Timestamp, Timestamp),
}

/// A message of the owner or the assistant with its present text.
struct Said<'a> {
    event: &'a RoomEvent,
    message: &'a Message,
}

/// Returns a session as a file, oldest message first; `None` if it has no messages.
///
/// `events` are the session's up to the command. Commands, and our texts that are not answers, are left out. `older`
/// says that the session began before `events`.
#[must_use]
pub(crate) fn export(
    events: &[RoomEvent],
    owner: &UserId,
    assistant: &UserId,
    older: bool,
    zone: &Zone,
) -> Option<Export> {
    let said = said(events, owner, assistant);
    let mut parts: Vec<String> = Vec::new();
    let mut bytes = 0;
    for one in said.iter().rev() {
        let part = part(one, assistant, zone);
        bytes += part.len();
        if bytes > EXPORT_BYTES_MAX && !parts.is_empty() {
            break;
        }
        parts.push(part);
    }
    parts.reverse();
    let kept = &said[said.len() - parts.len()..];
    let span = (kept.first()?.event.sent_at, kept.last()?.event.sent_at);
    let left_out = older || kept.len() < said.len();
    let head = sessions::export_head(assistant.as_str(), span, left_out, zone);
    Some(Export { text: format!("{head}\n\n{}", parts.join("\n")), messages: kept.len(), left_out, span })
}

/// Returns an answer as a separate message for forwarding: its text and nothing else, with the answer's id.
///
/// `wanted` is the answer, else the session's newest is taken; `None` if there is none.
#[must_use]
pub(crate) fn share(
    events: &[RoomEvent],
    wanted: Option<&EventId>,
    owner: &UserId,
    assistant: &UserId,
) -> Option<(OwnedEventId, Outgoing)> {
    let said = said(events, owner, assistant);
    let mut answers = said.iter().rev().filter(|one| one.event.sender == assistant && is_text(one.event));
    let answer = answers.find(|one| wanted.is_none_or(|wanted| one.event.id == wanted))?;
    let message = Outgoing {
        kind: OutgoingKind::Text,
        body: answer.message.body.clone(),
        html: answer.message.html.clone(),
        mentions: BTreeSet::new(),
        place: Place::Timeline,
        sources: Vec::new(),
    };
    Some((answer.event.id.clone(), message))
}

/// Returns the messages of both, each with its last edit applied.
fn said<'a>(events: &'a [RoomEvent], owner: &UserId, assistant: &UserId) -> Vec<Said<'a>> {
    let mut gone: BTreeSet<&EventId> = BTreeSet::new();
    let mut edits: BTreeMap<(&UserId, &OwnedEventId), &Message> = BTreeMap::new();
    for event in events {
        match &event.kind {
            EventKind::Redaction { target, authority } => {
                let about = events.iter().find(|about| about.id == *target);
                if about.is_some_and(|about| takes_effect(&event.sender, *authority, &about.sender)) {
                    gone.insert(target);
                }
            }
            EventKind::Edit { target, new, .. } => {
                edits.insert((&event.sender, target), new);
            }
            _ => {}
        }
    }
    let of_both = events.iter().filter(|event| event.sender == owner || event.sender == assistant);
    let there = of_both.filter(|event| !gone.contains(&*event.id));
    let messages = there.filter_map(|event| {
        let EventKind::Message(original) = &event.kind else { return None };
        let is_word = event.sender == assistant && matches!(original.kind, MessageKind::Notice | MessageKind::Card);
        let is_command = event.sender == owner && AssistantCommand::of(original).is_some();
        let message = edits.get(&(&*event.sender, &event.id)).copied().unwrap_or(original);
        (!is_word && !is_command).then_some(Said { event, message })
    });
    messages.collect()
}

fn is_text(event: &RoomEvent) -> bool {
    matches!(&event.kind, EventKind::Message(message) if message.kind == MessageKind::Text)
}

fn part(said: &Said<'_>, assistant: &UserId, zone: &Zone) -> String {
    let original = match &said.event.kind {
        EventKind::Message(original) => original,
        _ => said.message,
    };
    let text = if original.reply_to.is_some() { after_quote(&said.message.body) } else { &said.message.body };
    let mut parts: Vec<String> =
        original.kind.files().iter().filter_map(MessageKind::file_name).map(sessions::export_file).collect();
    let is_named_alone = original.kind.file_name() == Some(text);
    if !is_named_alone && (parts.is_empty() || !text.is_empty()) {
        parts.push(text.to_owned());
    }
    let text = parts.join("\n\n");
    let whose = sessions::export_speaker(said.event.sender == assistant, said.event.sender.as_str());
    format!("{}\n\n{}\n", sessions::export_line(&whose, said.event.sent_at, zone), text.trim_end())
}

#[cfg(test)]
mod tests;
