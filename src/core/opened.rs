//! Rooms that an owner opened for their assistant (A7, A8): what is stored about them, and which events may be read.

mod withheld;

use std::collections::BTreeSet;

use ruma::{EventId, OwnedEventId, OwnedRoomId, UserId};
use serde::{Deserialize, Serialize};

pub use self::withheld::{IN_PROGRESS_MAX, WITHHELD_MAX, Withheld};
use super::{
    event::{EventKind, Membership, RoomEvent},
    redaction::takes_effect,
    time::Timestamp,
    visibility::{self, Happened, Standing, readable},
};

/// Most rooms open in one session; a further one is declined with a message.
pub const OPENED_MAX: usize = 3;
/// Newest events read when a room is opened.
pub const READ_EVENTS: usize = 400;
/// Events of any kind read to find an opened range again after the room has moved on.
pub const AGAIN_EVENTS_MAX: usize = 2 * READ_EVENTS;
/// Events read on each side of a message that was pointed at.
pub const AROUND_EVENTS: usize = 25;

/// An opened room's record in the prompt, and what it contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenedBlock {
    /// The record's line.
    pub line: String,
    /// Its estimated tokens.
    pub tokens: u32,
    /// The number of messages in it.
    pub messages: usize,
    /// When the first and the last of them were sent.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Messages that did not fit.
    pub over_budget: usize,
    /// Messages that could not be decrypted.
    pub undecryptable: usize,
}

/// What is stored of an opened room: its place, never content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The opened room's id.
    pub room: OwnedRoomId,
    /// The message or thread that the owner pointed at; `None` for the room.
    #[serde(default)]
    pub event: Option<OwnedEventId>,
    /// The owner's message that opened it; redacting it closes the room.
    pub by: OwnedEventId,
    /// The first event of the range that was shown.
    pub first: OwnedEventId,
    /// The last event of that range.
    pub last: OwnedEventId,
    /// What was established at opening, which no longer changes.
    #[serde(default)]
    pub found: Option<Found>,
    /// The assistant's answers while it was open; see [`Withheld`].
    #[serde(default)]
    pub answers: Vec<OwnedEventId>,
}

/// Lasting facts about an opened room. They are all of the past; whether the owner is still a member is asked each
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The owner's standing before the first event of the range.
    pub before: Standing,
    /// Whether something was left out because the owner may not read it.
    pub forbidden: bool,
    /// Whether the room has older messages than were read.
    pub older: bool,
}

impl Opened {
    /// Returns whether both are the same opening, whatever was recorded about it since.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.room, &self.event, &self.by) == (&other.room, &other.event, &other.by)
    }
}

/// Adds an opened room; a room that is open already is opened anew.
pub fn open(opened: &mut Vec<Opened>, new: Opened) {
    let same = opened.iter().position(|one| (&one.room, &one.event) == (&new.room, &new.event));
    let answers = same.map(|at| opened.remove(at).answers).unwrap_or_default();
    opened.push(Opened { answers, ..new });
}

/// Returns the openings of the session that begins at index `begins` of the chat's `events`.
///
/// An opening ends when its message is redacted. One whose message is older than `events` counts only if the session
/// may be as old.
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
    /// The owner of the assistant that asks.
    pub owner: &'a UserId,
    /// Events without gaps, oldest first.
    pub events: &'a [RoomEvent],
    /// The owner's standing before the first of them.
    pub before: Standing,
    /// The owner's present membership, from the homeserver.
    pub now: Membership,
    /// Whether the room is encrypted, which makes the rules stricter.
    pub encrypted: bool,
}

/// What an owner may read of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The readable events, oldest first. Redactions are always included, because they only remove.
    pub events: Vec<RoomEvent>,
    /// Whether messages were left out because the owner may not read them. The owner does not learn how many.
    pub forbidden: bool,
}

/// Returns whether an event itself changes what the owner may read.
#[must_use]
pub fn is_about_standing(event: &RoomEvent, owner: &UserId) -> bool {
    happened(event, owner) != Happened::Other
}

/// Returns the owner's standing before one of a source's events; `None` if the event is not in the source.
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

/// Which of the allowed events were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The message or thread that the owner pointed at.
    pub event: Option<&'a EventId>,
    /// The first and the last event, if the range was fixed before.
    pub fixed: Option<(&'a EventId, &'a EventId)>,
}

/// Returns the opened part of the allowed events: the room, a message with its surroundings, or a thread.
///
/// `None` if the message pointed at is not among the events. Edits and redactions of the part follow it, wherever they
/// stand.
#[must_use]
pub fn part(events: &[RoomEvent], range: &Range<'_>) -> Option<Vec<RoomEvent>> {
    let at = |id: &EventId| events.iter().position(|event| event.id == id);
    let pointed_at = range.event.map(|id| at(id).ok_or(())).transpose().ok()?;
    let thread = pointed_at.and_then(|at| thread_of(events, at));
    let whole = 0..events.len();
    let bounds = match (range.fixed, pointed_at) {
        // If the first event is no longer among those read, the range begins with the oldest that is.
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

/// Returns the ids of a part's first and last event, not counting edits and redactions.
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
