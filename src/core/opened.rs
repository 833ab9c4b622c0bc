//! A room that an owner opened for their assistant (A7, A8): what is kept of it, and which of its events may be read.

mod withheld;

use std::collections::BTreeSet;

use ruma::{EventId, OwnedEventId, OwnedRoomId, UserId};
use serde::{Deserialize, Serialize};

pub use self::withheld::{IN_PROGRESS_MAX, WITHHELD_MAX, Withheld};
use super::{
    event::{EventKind, Membership, RoomEvent},
    redaction::takes_effect,
    visibility::{self, Happened, Standing, readable},
};

/// Rooms that may be open in one session; the next is declined with a word.
pub const OPENED_MAX: usize = 3;
/// Newest events of a room that are looked at when it is opened.
pub const READ_EVENTS: usize = 400;
/// Events of whatever kind that are read to find an opened range again where the room has moved away from it.
pub const AGAIN_EVENTS_MAX: usize = 2 * READ_EVENTS;
/// Messages and other events that are read on each side of a message that was pointed at.
pub const AROUND_EVENTS: usize = 25;

/// What is kept of an opened room: where it is, and no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The room.
    pub room: OwnedRoomId,
    /// The message or thread that was pointed at.
    #[serde(default)]
    pub event: Option<OwnedEventId>,
    /// The owner's message that opened it.
    pub by: OwnedEventId,
    /// The first event of the range as it was shown.
    pub first: OwnedEventId,
    /// The last event of it.
    pub last: OwnedEventId,
    /// What was found out about it when it was opened. It does not change any more.
    #[serde(default)]
    pub found: Option<Found>,
    /// What the assistant answered while it was open; see [`Withheld`].
    #[serde(default)]
    pub answers: Vec<OwnedEventId>,
}

/// What is known of an opened room for good. Only the past is: whether the owner is still there is asked each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How things stood between owner and room before the first event of the range.
    pub before: Standing,
    /// Whether something was left out because the owner may not read it.
    pub forbidden: bool,
    /// Whether the room has older messages than were looked at.
    pub older: bool,
}

impl Opened {
    /// Whether it is the same opening, whatever was noted about it since.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.room, &self.event, &self.by) == (&other.room, &other.event, &other.by)
    }
}

/// Adds a room to those that are open; one that is open already is opened anew.
pub fn open(opened: &mut Vec<Opened>, new: Opened) {
    let same = opened.iter().position(|one| (&one.room, &one.event) == (&new.room, &new.event));
    let answers = same.map(|at| opened.remove(at).answers).unwrap_or_default();
    opened.push(Opened { answers, ..new });
}

/// Returns those that belong to the session which begins at index `begins` of the chat's `events`.
///
/// Whoever deletes the message that opened a room closes it. A message that is too old to be among the events counts
/// where the session may be as old.
#[must_use]
pub fn current(opened: &[Opened], events: &[RoomEvent], begins: usize) -> Vec<Opened> {
    let redacted = |opening: &RoomEvent| {
        events.iter().any(|event| {
            matches!(&event.kind, EventKind::Redaction { target, authority }
                if *target == opening.id && takes_effect(&event.sender, *authority, &opening.sender))
        })
    };
    let is_current = |one: &&Opened| match events.iter().position(|event| event.id == one.by) {
        Some(at) => at >= begins && events[at].kind != EventKind::Redacted && !redacted(&events[at]),
        None => begins == 0,
    };
    opened.iter().filter(is_current).cloned().collect()
}

/// A stretch of a room's timeline as a coworker reads it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Whose assistant asks.
    pub owner: &'a UserId,
    /// Events that follow each other without gaps, oldest first.
    pub events: &'a [RoomEvent],
    /// How things stood between owner and room before the first of them.
    pub before: Standing,
    /// The owner's membership at this moment, by the homeserver.
    pub now: Membership,
    /// Whether the room is encrypted.
    pub encrypted: bool,
}

/// What of a source its owner may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The events, oldest first. Redactions are always among them: they only take away.
    pub events: Vec<RoomEvent>,
    /// Whether messages were left out because the owner may not read them. How many is not the owner's to know.
    pub forbidden: bool,
}

/// Returns whether an event decides by itself what the owner may read.
#[must_use]
pub fn is_about_standing(event: &RoomEvent, owner: &UserId) -> bool {
    happened(event, owner) != Happened::Other
}

/// Returns how things stood before one of a source's events; `None` where that is not among them.
#[must_use]
pub fn standing_before(source: &Source<'_>, id: &EventId) -> Option<Standing> {
    let at = source.events.iter().position(|event| event.id == id)?;
    let happened: Vec<Happened> = source.events[..at].iter().map(|event| happened(event, source.owner)).collect();
    Some(visibility::after(source.before, &happened))
}

/// Returns what the owner may read, by the homeserver's rules for each event.
#[must_use]
pub fn allowed(source: &Source<'_>) -> Allowed {
    let happened: Vec<Happened> = source.events.iter().map(|event| happened(event, source.owner)).collect();
    let readable = readable(source.before, &happened, source.now, source.encrypted);
    let mut allowed = Allowed::default();
    if source.now != Membership::Join {
        return Allowed { forbidden: true, ..allowed };
    }
    for (event, readable) in source.events.iter().zip(readable) {
        let takes_away = matches!(event.kind, EventKind::Redaction { .. } | EventKind::Redacted);
        if readable || takes_away {
            allowed.events.push(event.clone());
        } else {
            allowed.forbidden |= matches!(event.kind, EventKind::Message(_) | EventKind::Undecryptable(_));
        }
    }
    allowed
}

fn happened(event: &RoomEvent, owner: &UserId) -> Happened {
    match &event.kind {
        EventKind::HistoryVisibility(history) => Happened::History(*history),
        EventKind::Member(change) if change.user == owner => Happened::Membership(change.membership),
        _ => Happened::Other,
    }
}

/// What of the allowed events belongs to what was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The message or thread that was pointed at.
    pub event: Option<&'a EventId>,
    /// First and last event, where the range is fixed already.
    pub fixed: Option<(&'a EventId, &'a EventId)>,
}

/// Returns the part of the allowed events that was opened: the room, a message with what is around it, or a thread.
///
/// `None` where the message that was pointed at is not among them. Changes (edits, redactions) of what is in the part
/// follow it, wherever they stand.
#[must_use]
pub fn part(events: &[RoomEvent], range: &Range<'_>) -> Option<Vec<RoomEvent>> {
    let at = |id: &EventId| events.iter().position(|event| event.id == id);
    let pointed_at = range.event.map(|id| at(id).ok_or(())).transpose().ok()?;
    let thread = pointed_at.and_then(|at| thread_of(events, at));
    let whole = 0..events.len();
    let bounds = match (range.fixed, pointed_at) {
        // Where the room has moved away from its first event, it begins with the oldest that was read.
        (Some((first, last)), _) => at(first).unwrap_or(0)..at(last).map_or(events.len(), |at| at + 1),
        (None, Some(at)) if thread.is_none() => {
            at.saturating_sub(AROUND_EVENTS)..(at + AROUND_EVENTS + 1).min(events.len())
        }
        _ => whole,
    };
    let in_thread = |event: &RoomEvent| thread.as_ref().is_none_or(|root| event.id == *root || is_in(event, root));
    let inside = events.get(bounds).unwrap_or_default().iter().filter(|event| !is_change(event) && in_thread(event));
    let mut part: Vec<RoomEvent> = inside.cloned().collect();
    let held: BTreeSet<OwnedEventId> = part.iter().map(|event| event.id.clone()).collect();
    part.extend(events.iter().filter(|event| changes(event).is_some_and(|target| held.contains(target))).cloned());
    Some(part)
}

/// Returns the first and the last event of a part, its changes aside.
#[must_use]
pub fn ends(part: &[RoomEvent]) -> Option<(OwnedEventId, OwnedEventId)> {
    let mut inside = part.iter().filter(|event| !is_change(event));
    let first = inside.next()?;
    Some((first.id.clone(), inside.next_back().unwrap_or(first).id.clone()))
}

fn thread_of(events: &[RoomEvent], at: usize) -> Option<OwnedEventId> {
    let pointed_at = events.get(at)?;
    if let EventKind::Message(message) = &pointed_at.kind
        && let Some(root) = &message.thread_root
    {
        return Some(root.clone());
    }
    let has_replies = events.iter().any(|event| is_in(event, &pointed_at.id));
    has_replies.then(|| pointed_at.id.clone())
}

fn is_in(event: &RoomEvent, root: &EventId) -> bool {
    matches!(&event.kind, EventKind::Message(message) if message.thread_root.as_deref() == Some(root))
}

fn changes(event: &RoomEvent) -> Option<&EventId> {
    match &event.kind {
        EventKind::Edit { target, .. } | EventKind::Redaction { target, .. } => Some(target),
        _ => None,
    }
}

fn is_change(event: &RoomEvent) -> bool {
    changes(event).is_some()
}

#[cfg(test)]
mod tests;
