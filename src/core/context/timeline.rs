//! Turns raw events into what a reader of the room would see: edits applied, redacted messages gone.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{EventId, UserId};

use super::{
    Input, Kind, SessionStart,
    polls::Polls,
    record::{self, FileNote, Origin, Record},
    tokens,
};
use crate::core::{
    brief::{self, Brief},
    event::{EventKind, LiveLocation, MemberChange, Membership, Message, MessageKind, RoomEvent},
    media::{Claims, Extent},
    prompt::FileContent,
    redaction::takes_effect,
};

/// Most different reactions in one record about a message; the rest are omitted.
const REACTION_KEYS_MAX: usize = 8;
/// Tokens of a record beyond its text: ids are denser than prose.
const RECORD_TOKENS_EXTRA: u32 = 16;
/// Tokens of what a record says about its file, reserved until that is decided.
const NOTE_TOKENS: u32 = 32;

/// What a reader of the room sees up to the newest request, oldest first.
pub(super) struct Timeline<'a> {
    pub(super) items: Vec<Item<'a>>,
    pub(super) undecryptable: usize,
    /// Whether the session's beginning was among the events.
    pub(super) session_found: bool,
}

/// A line or answer of the transcript.
pub(super) struct Item<'a> {
    /// The message; `None` for facts, which contain nobody's words.
    pub(super) id: Option<&'a EventId>,
    pub(super) place: Place<'a>,
    pub(super) reply_to: Option<&'a EventId>,
    pub(super) voice: Voice,
    pub(super) tokens: u32,
    pub(super) cut: bool,
    /// The files in the message, if somebody else sent them.
    pub(super) files: Vec<Claims>,
    /// The sender's words about it; empty if there is only the file.
    pub(super) said: &'a str,
    /// Whether the message's text is unreadable.
    pub(super) unreadable: bool,
    record: Option<Record<'a>>,
}

/// An item's place in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place<'a> {
    Timeline,
    Thread(&'a EventId),
    /// Unknown, e.g. for undecryptable events.
    Anywhere,
}

/// In whose turn an item goes.
pub(super) enum Voice {
    /// Our own answer as plain text.
    Own(String),
    /// A JSON record.
    Record(String),
}

impl<'a> Item<'a> {
    fn fact(place: Place<'a>, line: String) -> Self {
        let tokens = tokens::estimate(&line).saturating_add(RECORD_TOKENS_EXTRA);
        let (id, reply_to, record) = (None, None, None);
        Self {
            id,
            place,
            reply_to,
            voice: Voice::Record(line),
            tokens,
            cut: false,
            files: Vec::new(),
            said: "",
            unreadable: false,
            record,
        }
    }

    /// Returns the message as a separate record with its files' outcomes, cut to fit.
    pub(super) fn quote(&self, notes: &[Option<FileNote>], tokens_max: u32) -> Option<String> {
        Some(self.record.as_ref()?.noting(notes).line(tokens_max).0)
    }

    /// Returns its line with its files' outcomes; it takes no more than was reserved for it.
    pub(super) fn noted(&self, notes: &[Option<FileNote>]) -> Option<String> {
        self.quote(notes, self.tokens.saturating_sub(RECORD_TOKENS_EXTRA))
    }
}

/// Reads the events; no message's record takes more than `message_tokens_max`.
pub(super) fn read<'a>(input: &Input<'a>, message_tokens_max: u32) -> Timeline<'a> {
    let end = input.events.iter().rposition(|event| input.requests.contains(&event.id));
    let (begin, session_found) = session_begin(input);
    let end = end.unwrap_or(input.events.len().saturating_sub(1));
    let mut reader = Reader {
        input,
        changes: Changes::of(input.events.iter()),
        message_tokens_max: message_tokens_max.saturating_sub(RECORD_TOKENS_EXTRA),
        items: Vec::new(),
        places: BTreeMap::new(),
        reactions: Vec::new(),
        places_live: BTreeMap::new(),
        polls: Polls::default(),
        undecryptable_run: 0,
        undecryptable: 0,
        joined: BTreeSet::new(),
    };
    for (at, event) in input.events.iter().enumerate().take(end + 1).skip(begin) {
        if at == end {
            let meanwhile = input.events[end + 1..].iter().filter(|event| input.answered_meanwhile.contains(&event.id));
            meanwhile.for_each(|event| reader.event(event));
        }
        reader.event(event);
    }
    Timeline { items: reader.items, undecryptable: reader.undecryptable, session_found }
}

fn session_begin(input: &Input<'_>) -> (usize, bool) {
    let find = |id: &EventId| input.events.iter().position(|event| event.id == id);
    let begin = match input.session {
        None => None,
        Some(SessionStart::At(id)) => find(id),
        Some(SessionStart::After(id)) => find(id).map(|at| at + 1),
    };
    (begin.unwrap_or(0), begin.is_some())
}

/// What later events did to earlier ones; it counts wherever it stands, so an edit of the request does too.
pub(super) struct Changes<'a> {
    redacted: BTreeSet<&'a EventId>,
    newest_edits: BTreeMap<&'a EventId, &'a RoomEvent>,
}

impl<'a> Changes<'a> {
    pub(super) fn of(events: impl Iterator<Item = &'a RoomEvent> + Clone) -> Self {
        let mut redacted = BTreeSet::new();
        let mut senders: BTreeMap<&EventId, &UserId> = BTreeMap::new();
        let mut authors: BTreeMap<&EventId, &UserId> = BTreeMap::new();
        for event in events.clone() {
            authors.insert(&event.id, &event.sender);
            match &event.kind {
                EventKind::Redacted => drop(redacted.insert(&*event.id)),
                EventKind::Message(_) | EventKind::Undecryptable(Some(_)) => {
                    senders.insert(&event.id, &event.sender);
                }
                _ => {}
            }
        }
        for event in events.clone() {
            let EventKind::Redaction { target, authority } = &event.kind else { continue };
            if authors.get(&**target).is_some_and(|author| takes_effect(&event.sender, *authority, author)) {
                redacted.insert(target);
            }
        }
        let mut newest_edits: BTreeMap<&EventId, &RoomEvent> = BTreeMap::new();
        for event in events {
            let EventKind::Edit { target, .. } = &event.kind else { continue };
            // Only the author can edit (spec 11.5.1 "Validity of replacement events").
            if redacted.contains(&*event.id) || senders.get(&**target) != Some(&&*event.sender) {
                continue;
            }
            // The newest by `origin_server_ts`, then by event id, as the spec requires of clients.
            let newest = newest_edits.entry(target).or_insert(event);
            if (event.sent_at, &event.id) > (newest.sent_at, &newest.id) {
                *newest = event;
            }
        }
        Self { redacted, newest_edits }
    }

    /// Returns whether an event was redacted.
    pub(super) fn gone(&self, id: &EventId) -> bool {
        self.redacted.contains(id)
    }

    /// Returns whether the author replaced a message with a readable one.
    pub(super) fn is_edited(&self, id: &EventId) -> bool {
        self.newest_edits.contains_key(id)
    }

    /// Returns a message's newest content, and whether it is an edit.
    pub(super) fn newest(&self, id: &EventId, original: &'a Message) -> (&'a Message, bool) {
        match self.newest_edits.get(id).map(|event| &event.kind) {
            Some(EventKind::Edit { new, .. }) => (new, true),
            _ => (original, false),
        }
    }
}

struct Reader<'i, 'a> {
    input: &'i Input<'a>,
    changes: Changes<'a>,
    message_tokens_max: u32,
    items: Vec<Item<'a>>,
    places: BTreeMap<&'a EventId, Place<'a>>,
    /// Reactions since the last message: target, key and count, in the order of each target's first.
    reactions: Vec<(&'a EventId, BTreeMap<&'a str, usize>)>,
    /// The newest place of each live location since the last message.
    places_live: BTreeMap<&'a UserId, String>,
    polls: Polls<'a>,
    undecryptable_run: usize,
    undecryptable: usize,
    joined: BTreeSet<&'a UserId>,
}

impl<'a> Reader<'_, 'a> {
    fn event(&mut self, event: &'a RoomEvent) {
        if !self.listens_to(&event.sender) {
            return;
        }
        if self.changes.gone(&event.id) {
            // Redacting a vote takes it back (MSC3381).
            if let EventKind::PollVote { target, .. } = &event.kind {
                self.polls.vote(event, target, &[]);
            }
            return;
        }
        match &event.kind {
            EventKind::Message(original) => self.message(event, original),
            // A readable edit replaces all of it.
            EventKind::Undecryptable(Some(original)) if self.changes.is_edited(&event.id) => {
                self.message(event, original);
            }
            EventKind::Reaction { target, key } => self.reaction(event, target, key),
            EventKind::PollVote { target, answers } => self.polls.vote(event, target, answers),
            EventKind::PollEnd { target } => {
                if let Some(line) = self.polls.end(event, target) {
                    self.facts_so_far();
                    self.items.push(Item::fact(self.place_behind(target), line));
                }
            }
            EventKind::Undecryptable(_) => {
                self.undecryptable_run += 1;
                self.undecryptable += 1;
            }
            EventKind::Member(change) => self.membership(event, change),
            EventKind::LiveLocation(what) => self.live_location(event, what),
            EventKind::RoomName(name) => self.room_change(event, "room_name", name),
            EventKind::RoomTopic(topic) => self.room_change(event, "room_topic", topic),
            EventKind::Edit { .. }
            | EventKind::Redaction { .. }
            | EventKind::Redacted
            | EventKind::HistoryVisibility(_)
            | EventKind::Other(_) => {}
        }
    }

    fn membership(&mut self, event: &RoomEvent, change: &'a MemberChange) {
        let user = &*change.user;
        let news = match change.membership {
            Membership::Join => self.joined.insert(user),
            Membership::Leave | Membership::Ban => {
                self.joined.remove(user);
                true
            }
            Membership::Invite | Membership::Knock => true,
        };
        if news && matches!(self.input.kind, Kind::Coworker { .. }) {
            let name = change.display_name.as_deref().or_else(|| self.name(user));
            let line = record::membership(user, name, event.sent_at, change.membership);
            self.facts_so_far();
            self.items.push(Item::fact(Place::Timeline, line));
        }
    }

    /// Beginnings and ends are facts at once; of the places between two messages only the newest is one.
    fn live_location(&mut self, event: &'a RoomEvent, what: &LiveLocation) {
        let line = record::live_location(what, &event.sender, self.name(&event.sender), event.sent_at);
        if matches!(what, LiveLocation::At(_)) {
            self.places_live.insert(&event.sender, line);
        } else {
            self.facts_so_far();
            self.items.push(Item::fact(Place::Timeline, line));
        }
    }

    fn room_change(&mut self, event: &RoomEvent, what: &'static str, text: &str) {
        if matches!(self.input.kind, Kind::Coworker { .. }) {
            let line = record::room_change(what, text, &event.sender, event.sent_at);
            self.facts_so_far();
            self.items.push(Item::fact(Place::Timeline, line));
        }
    }

    /// Returns whether the sender is read: an assistant reads only its owner (A3), a coworker reads the room.
    fn listens_to(&self, sender: &UserId) -> bool {
        match self.input.kind {
            Kind::Coworker { .. } => true,
            Kind::Assistant { owner, .. } => sender == owner || sender == self.input.me,
        }
    }

    fn name(&self, user: &UserId) -> Option<&'a str> {
        self.input.names.get(user).map(String::as_str)
    }

    /// Adds an errand's record in place of its notice, which is the message of ours that announces it.
    fn errand(&mut self, event: &'a RoomEvent, original: &'a Message, errand: &Brief) {
        self.facts_so_far();
        let place = original.thread_root.as_deref().map_or(Place::Timeline, Place::Thread);
        self.places.insert(&event.id, place);
        // The model may be asked before the notice is there (`engine/runs/ahead.rs`), and reads the same afterwards.
        let id = (!self.input.requests.contains(&event.id)).then_some(&*event.id);
        let (line, cut) = brief::line(errand, id, self.message_tokens_max);
        self.items.push(Item { id: Some(&event.id), cut, ..Item::fact(place, line) });
    }

    fn message(&mut self, event: &'a RoomEvent, original: &'a Message) {
        let errand = self.input.errands.get(&event.id);
        if let Some(errand) = errand.filter(|_| event.sender == self.input.me) {
            return self.errand(event, original, errand);
        }
        let (message, edited) = self.changes.newest(&event.id, original);
        let own = event.sender == self.input.me;
        // Our notices are status lines and fixed texts, and our cards ask for approvals; neither are answers.
        let is_aside = |message: &Message| matches!(message.kind, MessageKind::Notice | MessageKind::Card);
        if own && (is_aside(message) || is_aside(original) || own_text(original, message).is_none()) {
            return;
        }
        self.facts_so_far();
        let place = original.thread_root.as_deref().map_or(Place::Timeline, Place::Thread);
        if own && self.input.withheld.contains(&event.id) {
            self.withheld(place);
            return;
        }
        self.places.insert(&event.id, place);
        let origin = Origin {
            sender: &event.sender,
            name: self.name(&event.sender),
            sent_at: event.sent_at,
            id: &event.id,
            edited,
        };
        if let MessageKind::Poll(poll) = &message.kind {
            self.polls.start(&event.id, &event.sender, poll);
        }
        let heard = if own { Vec::new() } else { heard(self.input, &event.id, message.kind.files().len()) };
        let record = Record::new(origin, original, message).hearing(&heard);
        let files = if own { Vec::new() } else { message.kind.files().iter().filter_map(Claims::of).collect() };
        // All of them together leave at least half of the message's tokens for its words.
        let notes_tokens = u32::try_from(files.len()).unwrap_or(u32::MAX).saturating_mul(NOTE_TOKENS);
        let note_tokens = notes_tokens.min(self.message_tokens_max / 2);
        let (voice, tokens, cut) = if let Some(text) = own_text(original, message).filter(|_| own) {
            let kept = tokens::ends(&text, self.message_tokens_max);
            let (tokens, is_cut) = (tokens::estimate(&kept), kept != text);
            (Voice::Own(kept.into_owned()), tokens, is_cut)
        } else {
            let (mut line, mut cut) = record.line(self.message_tokens_max - note_tokens);
            if let Some(errand) = errand {
                let (task, task_cut) = brief::line(errand, Some(&event.id), self.message_tokens_max);
                line = format!("{line}\n{task}");
                cut |= task_cut;
            }
            let tokens = tokens::estimate(&line).saturating_add(note_tokens);
            (Voice::Record(line), tokens, cut)
        };
        self.items.push(Item {
            id: Some(&event.id),
            place,
            reply_to: original.reply_to.as_deref(),
            voice,
            tokens: tokens.saturating_add(RECORD_TOKENS_EXTRA),
            cut,
            files,
            said: record::spoken(original, message),
            unreadable: message.kind == MessageKind::Unreadable,
            record: Some(record),
        });
    }

    /// Adds one record for consecutive withheld answers.
    fn withheld(&mut self, place: Place<'a>) {
        let line = record::withheld();
        let is_same =
            |item: &Item<'_>| item.place == place && matches!(&item.voice, Voice::Record(last) if last == line);
        if !self.items.last().is_some_and(is_same) {
            self.items.push(Item::fact(place, line.to_owned()));
        }
    }

    fn reaction(&mut self, event: &'a RoomEvent, target: &'a EventId, key: &'a str) {
        // Our own reactions are controls and approvals, not opinions.
        if event.sender == self.input.me || !self.places.contains_key(target) {
            return;
        }
        let at = self.reactions.iter().position(|(known, _)| *known == target).unwrap_or_else(|| {
            self.reactions.push((target, BTreeMap::new()));
            self.reactions.len() - 1
        });
        let counts = &mut self.reactions[at].1;
        if counts.len() < REACTION_KEYS_MAX || counts.contains_key(key) {
            *counts.entry(key).or_default() += 1;
        }
    }

    /// Returns the place of a fact about a message.
    fn place_behind(&self, target: &'a EventId) -> Place<'a> {
        match self.places.get(target).copied() {
            // A thread's root also belongs to its thread; the window resolves that.
            Some(Place::Timeline) => Place::Thread(target),
            place => place.unwrap_or(Place::Anywhere),
        }
    }

    /// Writes the facts since the last message before the next one, so that the prefix only grows.
    fn facts_so_far(&mut self) {
        for (target, counts) in std::mem::take(&mut self.reactions) {
            self.items.push(Item::fact(self.place_behind(target), record::reactions(target, &counts)));
        }
        for line in std::mem::take(&mut self.places_live).into_values() {
            self.items.push(Item::fact(Place::Timeline, line));
        }
        for (target, line) in self.polls.news() {
            self.items.push(Item::fact(self.place_behind(target), line));
        }
        let count = std::mem::take(&mut self.undecryptable_run);
        if count > 0 {
            self.items.push(Item::fact(Place::Anywhere, record::undecryptable(count)));
        }
    }
}

/// Returns our words for an assistant's turn; `None` if they are blank, which the Messages API refuses.
fn own_text(original: &Message, message: &Message) -> Option<String> {
    let text = record::spoken(original, message);
    let names = message.kind.files().iter().filter_map(MessageKind::file_name);
    let text = names.map(|name| format!("[sent a file: {name}]\n")).chain([text.to_owned()]).collect::<String>();
    let text = text.trim_end();
    (!text.trim_start().is_empty()).then(|| text.to_owned())
}

/// Returns what was heard in each of a message's files.
fn heard<'a>(input: &Input<'a>, id: &EventId, files: usize) -> Vec<Option<&'a str>> {
    let Some(known) = input.files else { return Vec::new() };
    let heard = |at: usize| match known.get(&(id.to_owned(), at))? {
        Ok(file) if file.shown == Extent::Transcript => match &file.content {
            FileContent::Text { text } => Some(&**text),
            _ => None,
        },
        _ => None,
    };
    (0..files).map(heard).collect()
}
