//! The way of people's words into a prompt: what is left out stays here, and what passes may be refused.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use sha2::{Digest as _, Sha256};

use super::{MARK, Part, Refused, Suspect};
use crate::core::{
    context::MEMBERS_MAX,
    event::{EventKind, Message, MessageKind, RoomEvent},
    hex::hex,
    notes::Note,
    redaction::takes_effect,
};

/// With how much of what people wrote a request is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breadth {
    /// What it lacks, beyond what was refused before.
    pub(crate) without: BTreeSet<Part>,
    /// Whether a mark stands for each of them, as in later requests. Otherwise nothing does, which costs less.
    pub(crate) marks: bool,
    /// Whether it is only to be found out if it is refused: next to nothing is answered.
    pub(crate) probes: bool,
}

impl Breadth {
    /// Returns whether a request lacks something without a word that it does.
    #[must_use]
    pub(crate) fn drops(&self) -> bool {
        !self.marks && !self.without.is_empty()
    }
}

/// What a prompt has that may be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suspects {
    /// All of it but the request; what came last stands last.
    pub(crate) parts: Vec<Suspect>,
    /// How many of the last ones came since the last answer. The others were accepted then, and are likely to be again.
    pub(crate) newest: usize,
    /// The request itself.
    pub(crate) request: Option<Suspect>,
}

/// Passes what a prompt is made of, and notes it.
#[derive(Debug)]
pub(crate) struct Sieve<'a> {
    refused: &'a Refused,
    breadth: &'a Breadth,
    me: &'a UserId,
    requests: &'a [OwnedEventId],
    old: Vec<Suspect>,
    newest: Vec<Suspect>,
    request: Option<Suspect>,
    spoke: BTreeSet<OwnedUserId>,
    /// Parts on record that were changed or redacted since.
    stale: Vec<Part>,
}

impl<'a> Sieve<'a> {
    /// Begins a prompt of `me` for these requests; the first of them passes in any case.
    #[must_use]
    pub(crate) fn new(
        refused: &'a Refused,
        breadth: &'a Breadth,
        me: &'a UserId,
        requests: &'a [OwnedEventId],
    ) -> Self {
        let (old, newest, spoke, stale) = <(Vec<_>, Vec<_>, BTreeSet<_>, Vec<_>)>::default();
        Self { refused, breadth, me, requests, old, newest, request: None, spoke, stale }
    }

    /// Passes the events of the chat or room in which the request stands; `no` is the word that is no answer.
    pub(crate) fn timeline(&mut self, room: &RoomId, events: &mut Vec<RoomEvent>, no: &str) {
        let last = |id: &OwnedEventId| events.iter().position(|event| event.id == *id);
        let until = self.requests.iter().filter_map(last).max().map_or(events.len(), |at| at + 1);
        let is_answer = |event: &RoomEvent| match &event.kind {
            EventKind::Message(message) => {
                event.sender == self.me && message.kind == MessageKind::Text && !message.body.contains(no)
            }
            _ => false,
        };
        let since = events[..until].iter().rposition(is_answer).map_or(0, |at| at + 1);
        let fresh: BTreeSet<OwnedEventId> = events[since..until].iter().map(|event| event.id.clone()).collect();
        let later: BTreeSet<OwnedEventId> = events[until..].iter().map(|event| event.id.clone()).collect();
        self.pass(room, events, &|id| (!later.contains(id)).then(|| fresh.contains(id)));
    }

    /// Passes events that stand beside the timeline and were there before: pinned messages, opened rooms.
    pub(crate) fn beside(&mut self, room: &RoomId, events: &mut Vec<RoomEvent>) {
        self.pass(room, events, &|_| Some(false));
    }

    /// Passes events that the request itself points at.
    pub(crate) fn pointed_at(&mut self, room: &RoomId, events: &mut Vec<RoomEvent>) {
        self.pass(room, events, &|_| Some(true));
    }

    fn pass(&mut self, room: &RoomId, events: &mut Vec<RoomEvent>, is_new: &dyn Fn(&EventId) -> Option<bool>) {
        let edits = newest_edits(events);
        let gone = redacted(events);
        let mut taken_out: BTreeSet<OwnedEventId> = BTreeSet::new();
        for event in events.iter() {
            self.spoke.insert(event.sender.clone());
            let part = Part::Event(event.id.clone());
            if gone.contains(&event.id) {
                self.stale.extend(self.refused.get(&part).map(|_| part));
                continue;
            }
            if !says_something(&event.kind) {
                continue;
            }
            let suspect = Suspect {
                part,
                room: Some(room.to_owned()),
                version: edits.get(&event.id).map(|(_, edit)| edit.to_string()),
                // What is no message was caused by somebody, and is nobody's to be suspected first.
                by: is_said(&event.kind).then(|| event.sender.clone()),
                sent_at: Some(event.sent_at),
            };
            if self.requests.first() == Some(&event.id) {
                self.request = Some(suspect);
            } else if self.leaves_out(&suspect) {
                taken_out.insert(event.id.clone());
            } else if let Some(is_new) = is_new(&event.id) {
                self.suspect(suspect, is_new && is_said(&event.kind));
            }
        }
        self.take_out(events, &taken_out);
    }

    /// Takes events and their edits out: one that was refused leaves a mark, one that is only tried without need not.
    fn take_out(&self, events: &mut Vec<RoomEvent>, ids: &BTreeSet<OwnedEventId>) {
        if ids.is_empty() {
            return;
        }
        let original = |event: &RoomEvent| match &event.kind {
            EventKind::Edit { target, .. } => target.clone(),
            _ => event.id.clone(),
        };
        events.retain_mut(|event| {
            let id = original(event);
            if !ids.contains(&id) {
                return true;
            }
            blank(event);
            self.breadth.marks || !self.breadth.without.contains(&Part::Event(id))
        });
    }

    /// Passes a text about a room: its name or topic.
    pub(crate) fn text(&mut self, part: Part, text: &mut Option<String>) {
        let Some(said) = text else { return };
        let room = match &part {
            Part::RoomName(room) | Part::RoomTopic(room) => Some(room.clone()),
            _ => None,
        };
        let suspect = Suspect { part, room, version: Some(digest(said)), by: None, sent_at: None };
        if self.leaves_out(&suspect) {
            *text = Some(MARK.to_owned());
        } else {
            self.suspect(suspect, false);
        }
    }

    /// Passes a room's notes.
    pub(crate) fn notes(&mut self, room: &RoomId, notes: &mut [Note]) {
        for note in notes {
            let suspect = Suspect {
                part: Part::Note(note.number),
                room: Some(room.to_owned()),
                version: Some(digest(&note.text)),
                by: Some(note.by.clone()),
                sent_at: Some(note.at),
            };
            if self.leaves_out(&suspect) {
                MARK.clone_into(&mut note.text);
            } else {
                self.suspect(suspect, false);
            }
        }
    }

    /// Passes members' display names; comes after the events, because in a large room only those who spoke are named.
    pub(crate) fn names(&mut self, room: &RoomId, names: &mut BTreeMap<OwnedUserId, String>) {
        let are_few = names.len() <= MEMBERS_MAX;
        names.retain(|user, name| {
            let suspect = Suspect {
                part: Part::Name(user.clone()),
                room: Some(room.to_owned()),
                version: Some(digest(name)),
                by: Some(user.clone()),
                sent_at: None,
            };
            if self.leaves_out(&suspect) {
                return false;
            }
            if are_few || self.spoke.contains(user) {
                self.suspect(suspect, false);
            }
            true
        });
    }

    /// Returns whether an event is left out; for what comes beside it, such as an errand's payload.
    #[must_use]
    pub(crate) fn holds_back(&self, id: &EventId) -> bool {
        let is_request = self.requests.first().is_some_and(|request| request == id);
        !is_request && (self.refused.has_event(id) || self.breadth.without.contains(&Part::Event(id.to_owned())))
    }

    /// Returns what passed, and which records are out of date.
    #[must_use]
    pub(crate) fn ended(self) -> (Suspects, Vec<Part>) {
        let newest = self.newest.len();
        let parts = self.old.into_iter().chain(self.newest).collect();
        (Suspects { parts, newest, request: self.request }, self.stale)
    }

    fn suspect(&mut self, suspect: Suspect, is_new: bool) {
        let known = |all: &[Suspect]| all.iter().any(|known| known.part == suspect.part);
        if known(&self.old) || known(&self.newest) {
            return;
        }
        if is_new { self.newest.push(suspect) } else { self.old.push(suspect) }
    }

    fn leaves_out(&mut self, suspect: &Suspect) -> bool {
        if self.breadth.without.contains(&suspect.part) {
            return true;
        }
        let Some(known) = self.refused.get(&suspect.part) else { return false };
        // A window may lack the edit that it had then.
        let is_changed = suspect.version.is_some() && known.what.version != suspect.version;
        if is_changed {
            self.stale.push(suspect.part.clone());
        }
        !is_changed
    }
}

/// Returns each event's newest edit by its own author.
fn newest_edits(events: &[RoomEvent]) -> BTreeMap<OwnedEventId, (crate::core::time::Timestamp, OwnedEventId)> {
    let authors: BTreeMap<&EventId, &UserId> = events.iter().map(|event| (&*event.id, &*event.sender)).collect();
    let mut newest = BTreeMap::new();
    for event in events {
        let EventKind::Edit { target, .. } = &event.kind else { continue };
        if authors.get(&**target).is_some_and(|author| *author != event.sender) {
            continue;
        }
        let edit = (event.sent_at, event.id.clone());
        let known = newest.entry(target.clone()).or_insert_with(|| edit.clone());
        if edit > *known {
            *known = edit;
        }
    }
    newest
}

/// Returns the events that were redacted.
fn redacted(events: &[RoomEvent]) -> BTreeSet<OwnedEventId> {
    let authors: BTreeMap<&EventId, &UserId> = events.iter().map(|event| (&*event.id, &*event.sender)).collect();
    let gone = events.iter().filter_map(|event| match &event.kind {
        EventKind::Redacted => Some(event.id.clone()),
        EventKind::Redaction { target, authority } => authors
            .get(&**target)
            .is_some_and(|author| takes_effect(&event.sender, *authority, author))
            .then(|| target.clone()),
        _ => None,
    });
    gone.collect()
}

/// Returns whether an event brings words of its own into a prompt. Edits count as the message that they replace.
fn says_something(kind: &EventKind) -> bool {
    match kind {
        EventKind::Message(_)
        | EventKind::Undecryptable(Some(_))
        | EventKind::Reaction { .. }
        | EventKind::LiveLocation(_)
        | EventKind::RoomName(_)
        | EventKind::RoomTopic(_) => true,
        EventKind::Member(change) => change.display_name.is_some(),
        _ => false,
    }
}

/// Returns whether an event is a message.
fn is_said(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Message(_) | EventKind::Undecryptable(_))
}

/// Removes an event's words, names and files, but keeps a message's relations.
fn blank(event: &mut RoomEvent) {
    match &mut event.kind {
        EventKind::Message(message)
        | EventKind::Undecryptable(Some(message))
        | EventKind::Edit { new: message, .. } => {
            blank_message(message);
        }
        EventKind::Member(change) => change.display_name = None,
        kind => *kind = EventKind::Other(String::new()),
    }
}

fn blank_message(message: &mut Message) {
    MARK.clone_into(&mut message.body);
    message.html = None;
    message.kind = MessageKind::Text;
}

/// Returns enough of a text's hash to tell whether it is still the same.
fn digest(text: &str) -> String {
    hex(&Sha256::digest(text)[..8])
}

impl Part {
    /// Returns the name of a room as a part.
    #[must_use]
    pub(crate) fn name_of(room: &RoomId) -> Self {
        Self::RoomName(OwnedRoomId::from(room))
    }

    /// Returns the topic of a room as a part.
    #[must_use]
    pub(crate) fn topic_of(room: &RoomId) -> Self {
        Self::RoomTopic(OwnedRoomId::from(room))
    }
}
