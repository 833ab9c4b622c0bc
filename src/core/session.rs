//! Where an assistant's current session begins (rule A6).

use ruma::{OwnedEventId, UserId};

use super::{
    command::AssistantCommand,
    event::{EventKind, RoomEvent},
    time::Timestamp,
};

/// An assistant's current session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The index of its first event; the number of events if it has none yet.
    pub begins: usize,
    /// Set if the newest message is the first after a pause, so that the assistant mentions it.
    pub afresh: Option<Afresh>,
}

/// A fresh start after a long silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Afresh {
    /// How long the silence was, in milliseconds.
    pub idle_ms: u64,
}

/// Who speaks in a chat, and what bounds its sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionBounds<'a> {
    /// The owner; nobody else's `!new` counts.
    pub owner: &'a UserId,
    /// The assistant's user id.
    pub assistant: &'a UserId,
    /// Handled `!new` and `!forget` commands, after which a session begins. They count even if redacted or edited
    /// since.
    pub markers: &'a [OwnedEventId],
    /// The pause after which a session starts afresh, in milliseconds.
    pub idle_ms: u64,
}

/// Returns the session of the newest of `events`, which are the chat's, oldest first.
#[must_use]
pub(crate) fn current_session(events: &[RoomEvent], bounds: &SessionBounds<'_>) -> Session {
    let mut session = Session { begins: 0, afresh: None };
    let mut last_said: Option<Timestamp> = None;
    for (index, event) in events.iter().enumerate() {
        let said = is_said(event, bounds);
        if said {
            session.afresh = None;
        }
        if let (true, Some(last)) = (said, last_said) {
            let idle_ms = event.sent_at.ms_since(last);
            if idle_ms > bounds.idle_ms {
                session = Session { begins: index, afresh: Some(Afresh { idle_ms }) };
            }
        }
        if ends_session(event, bounds) {
            session = Session { begins: index + 1, afresh: None };
            last_said = None;
        } else if said {
            last_said = last_said.max(Some(event.sent_at));
        }
    }
    session
}

/// Returns whether the owner or the assistant said something with this event.
fn is_said(event: &RoomEvent, bounds: &SessionBounds<'_>) -> bool {
    let theirs = event.sender == bounds.owner || event.sender == bounds.assistant;
    theirs && matches!(event.kind, EventKind::Message(_) | EventKind::Edit { .. })
}

fn ends_session(event: &RoomEvent, bounds: &SessionBounds<'_>) -> bool {
    if bounds.markers.contains(&event.id) {
        return true;
    }
    let EventKind::Message(message) = &event.kind else { return false };
    event.sender == bounds.owner
        && matches!(AssistantCommand::of(message), Some(AssistantCommand::New | AssistantCommand::Forget))
}

#[cfg(test)]
mod tests;
