//! A room's messages as a reader sees them, for pinned messages and for tools that look things up.

use std::collections::BTreeMap;

use ruma::{EventId, OwnedUserId};

use super::{
    record::{self, Origin, Record},
    timeline::Changes,
};
use crate::core::event::{EventKind, Message, MessageKind, RoomEvent};

/// A message with its edits applied.
#[derive(Clone)]
pub struct Shown<'a> {
    /// The original message.
    pub event: &'a RoomEvent,
    /// Its newest content.
    pub message: &'a Message,
    /// The root of its thread.
    pub thread_root: Option<&'a EventId>,
    /// The sender's words, without a reply fallback.
    pub text: &'a str,
    record: Record<'a>,
}

impl Shown<'_> {
    /// Returns it as a one-line JSON record with its text cut to `tokens_max`, and whether it was cut.
    #[must_use]
    pub fn line(&self, tokens_max: u32) -> (String, bool) {
        self.record.line(tokens_max)
    }

    /// Returns every text in it that a person would search for: words, a file's name, a poll's answers.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let kind = &self.message.kind;
        let (place, answers) = match kind {
            MessageKind::Location(location) => (location.description.as_deref(), [].as_slice()),
            MessageKind::Poll(poll) => (None, poll.answers.as_slice()),
            _ => (None, [].as_slice()),
        };
        let names = kind.files().iter().filter_map(MessageKind::file_name);
        let seen = Some(self.record.shown()).filter(|seen| *seen != self.text);
        [self.text]
            .into_iter()
            .chain(seen)
            .chain(place)
            .chain(names)
            .chain(answers.iter().map(|answer| answer.text.as_str()))
    }
}

/// Returns the messages among the events in order, with edits applied and without redacted ones.
#[must_use]
pub fn shown<'a>(
    events: impl Iterator<Item = &'a RoomEvent> + Clone,
    names: &'a BTreeMap<OwnedUserId, String>,
) -> Vec<Shown<'a>> {
    let changes = Changes::of(events.clone());
    let standing = events.filter(|event| !changes.gone(&event.id));
    let shown = standing.filter_map(|event| {
        let original = match &event.kind {
            EventKind::Message(original) => original,
            EventKind::Undecryptable(Some(original)) if changes.is_edited(&event.id) => original,
            _ => return None,
        };
        let (message, edited) = changes.newest(&event.id, original);
        let name = names.get(&event.sender).map(String::as_str);
        let origin = Origin { sender: &event.sender, name, sent_at: event.sent_at, id: &event.id, edited };
        Some(Shown {
            event,
            message,
            thread_root: original.thread_root.as_deref(),
            text: record::spoken(original, message),
            record: Record::new(origin, original, message),
        })
    });
    shown.collect()
}
