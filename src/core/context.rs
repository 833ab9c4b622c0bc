//! What the model reads: one room's events, checked, cut to a budget, and laid out for caching.
//!
//! # The order of dropping
//! What does not fit is dropped in this order, and a record says that something is missing:
//! 1. In a thread: the room's messages in front of the root, the oldest first, down to half of the budget; then,
//!    when the thread needs the place, all of them at once.
//! 2. In a thread: its middle. The root, the first messages and the newest stay; the gap is named.
//! 3. Outside a thread: the oldest messages.
//! 4. The middle of one very long message; its record says `"cut":true`. The request is never dropped, and of it, as
//!    of all, the last paragraph stays.
//!
//! # Opened rooms
//! A room that an owner opened for their assistant is one record in front of the chat, labelled, within [`OPENED_SHARE`]
//! of the budget, at most [`OPENED_MAX`] of them. In it the oldest messages are dropped first, but never the one that
//! was pointed at; the chat's own order of dropping works with what is left. Its range is fixed when it is opened, so
//! that the record stays as it is; only edits, redactions and new rights change it. Once it is closed, what was answered
//! while it was open goes with it, and a record says so in its place.
//!
//! # In front of it all
//! The room's notes and what is pinned open the first turn, each within [`NOTES_SHARE`] and [`PINNED_SHARE`] of the
//! budget, the newest kept. A change of them breaks the prefix once. Votes in polls are records in their own place, as
//! reactions are; the count stands where the poll ends.
//!
//! # The stable prefix
//! The turns of a prompt are a prefix of the turns of the thread's next prompt, byte for byte, so that the provider's
//! cache holds. Therefore no clock and no counter enters the text; reactions are records in their own place
//! instead of numbers on older messages; and the request carries no mark: it *is* the last record, because nothing
//! that came after it is read, and the instructions say so. Only an edit, a redaction, a late key, a changed name
//! or the slide of the window breaks the prefix. The window slides in big steps, see [`window`].

mod files;
mod opened;
mod opening;
mod polls;
mod record;
mod shown;
#[cfg(test)]
mod tests;
mod timeline;
mod tokens;
mod window;

use std::collections::BTreeMap;

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};

pub(crate) use self::record::hidden_links;
pub(super) use self::record::{line as escaped_line, rfc3339};
use self::{
    files::Given,
    record::Facts,
    timeline::{Item, Voice},
};
pub use self::{
    files::{Files, Wanted, files_wanted, without_files},
    opened::{OpenedBlock, OpenedRoom, opened_block},
    shown::{Shown, shown},
    tokens::{ends, estimate},
};
use super::{
    event::RoomEvent,
    media::{self, Unread},
    notes::Note,
    opened::OPENED_MAX,
    prompt::{File, Part, Prompt, Role, Turn},
    time::Timestamp,
};
use crate::prompts;

/// The smallest budget that is honoured, in tokens: less holds no message with hostile names and ids.
pub const TOKENS_MIN: u32 = 6_000;
/// One message takes at most this part of the budget; the middle of its text is left out.
pub const MESSAGE_SHARE: u32 = 3;
/// Display names are cut after this many characters.
pub const NAME_CHARS_MAX: usize = 100;
/// A room's topic is cut after this many characters.
pub const TOPIC_CHARS_MAX: usize = 1_000;
/// File names are cut after this many characters.
pub const FILE_NAME_CHARS_MAX: usize = 200;
/// The room's notes take at most this part of the budget.
pub const NOTES_SHARE: u32 = 8;
/// Pinned messages take at most this part of the budget.
pub const PINNED_SHARE: u32 = 8;
/// Pinned messages that are read: the newest pins.
pub const PINNED_MAX: usize = 10;
/// Each room that an owner opened takes at most this part of the budget; the chat has what is left.
pub const OPENED_SHARE: u32 = 4;
/// At most this many of the newest events are looked at: composing costs the same in a room of any age.
pub const EVENTS_MAX: usize = 4_000;
/// A room with more members than this is described without their names.
pub const MEMBERS_MAX: usize = 50;

/// Everything that a prompt is composed from; nothing else can appear in it.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The virtual user that is asked. Its own messages become assistant turns.
    pub me: &'a UserId,
    /// What it is.
    pub kind: Kind<'a>,
    /// The room.
    pub room: Room<'a>,
    /// The room's events, oldest first. Only this one room's: they are not filtered by room again.
    pub events: &'a [RoomEvent],
    /// Whether the room has events older than these.
    pub older: bool,
    /// Whether where these begin stays where it is, however many are fetched: what is older may not be read.
    pub begin_is_fixed: bool,
    /// Display names of the room's members.
    pub names: &'a BTreeMap<OwnedUserId, String>,
    /// What is to be answered; usually one event. Nothing after the newest of these is read.
    pub requests: &'a [OwnedEventId],
    /// Messages outside the thread that belong to it: what an asker added to a request on the room's timeline.
    pub joined: &'a [OwnedEventId],
    /// Our answers to *earlier* requests that were sent after the newest request came, as happens when requests
    /// queue: they are read as if sent just before it. Empty in most cases.
    pub answered_meanwhile: &'a [OwnedEventId],
    /// The room's notes, oldest first.
    pub notes: &'a [Note],
    /// What is pinned in the room.
    pub pinned: Pinned<'a>,
    /// What requests reply to, with its newest edit, where it may not stand among the events.
    pub replied_to: &'a [RoomEvent],
    /// Rooms that the owner opened for the session (assistants), in the order of opening.
    pub opened: &'a [OpenedRoom<'a>],
    /// Our answers that are not read again: a room that they may quote is closed. A record stands in their place.
    pub withheld: &'a [OwnedEventId],
    /// The root of the thread that the answer will stand in: the request itself where the answer opens a thread.
    /// `None` where the answer goes to the timeline.
    pub thread_root: Option<&'a EventId>,
    /// Where the session begins (assistants); events before are not read. Where the event is not among `events`,
    /// all of them belong to the session.
    pub session: Option<SessionStart<'a>>,
    /// The most that the transcript's text may hold, in tokens; at least [`TOKENS_MIN`] is used. Files come on top, see
    /// [`media`].
    pub tokens_max: u32,
    /// What is allowed of files.
    pub file_limits: media::Limits,
    /// The files of [`files_wanted`], once they are there; one that is not in it counts as unavailable.
    pub files: Option<&'a Files>,
}

/// Nobody's name.
static NO_NAMES: BTreeMap<OwnedUserId, String> = BTreeMap::new();

impl<'a> Input<'a> {
    /// The same with the newest events alone, as many as are looked at.
    fn newest(&self) -> Self {
        let skipped = self.events.len().saturating_sub(EVENTS_MAX);
        Self {
            events: &self.events[skipped..],
            older: self.older || skipped > 0,
            begin_is_fixed: self.begin_is_fixed && skipped == 0,
            ..self.clone()
        }
    }

    /// Leaves nothing but the request in it: `alone`, with what replaced it (C26).
    pub fn narrow_to(&mut self, alone: &'a [RoomEvent]) {
        let encrypted = self.room.encrypted;
        self.room = Room { encrypted, ..Room::default() };
        (self.events, self.older, self.names) = (alone, true, &NO_NAMES);
        (self.notes, self.pinned, self.replied_to) = (&[], Pinned::default(), &[]);
        (self.opened, self.answered_meanwhile) = (&[], &[]);
    }
}

/// What the virtual user is.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A coworker, as its config describes it.
    Coworker {
        /// Its name.
        name: &'a str,
        /// What it is for, in one line.
        purpose: &'a str,
        /// The operator's instructions.
        instructions: &'a str,
    },
    /// The assistant of one person; nobody else's messages are read.
    Assistant {
        /// Whose it is.
        owner: &'a UserId,
        /// What the operator adds for every assistant.
        instructions: &'a str,
    },
}

/// What is known of the room. Names and topics are people's words, not ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its topic.
    pub topic: Option<&'a str>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// From when on its messages can be read, where not from the beginning (C8).
    pub readable_from: Option<Timestamp>,
    /// The time zone of whoever reads the answer, by its IANA name, where there is one reader.
    pub time_zone: Option<&'a str>,
    /// The time zones of those who have asked here, by their IANA names, where their profiles name one.
    pub time_zones: Option<&'a BTreeMap<OwnedUserId, String>>,
    /// Who is invited and has not joined.
    pub invited: &'a [OwnedUserId],
}

/// The messages that are pinned in the room (`m.room.pinned_events`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Pinned<'a> {
    /// Their ids, in the order of pinning.
    pub ids: &'a [OwnedEventId],
    /// Those of them, with their newest edits, that may not stand among the input's events.
    pub fetched: &'a [RoomEvent],
}

/// Where an assistant's session begins.
#[derive(Clone, Copy, Debug)]
pub enum SessionStart<'a> {
    /// With this event.
    At(&'a EventId),
    /// Behind this event, such as the `!new`.
    After(&'a EventId),
}

/// What is sent to the model, and what it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// The prompt.
    pub prompt: Prompt,
    /// The messages whose text is in it, oldest first; for the audit index.
    pub read: Vec<OwnedEventId>,
    /// What is not in it.
    pub left_out: LeftOut,
    /// The request is nothing but a file, and that cannot be read: why. Its sender is told without asking the model.
    pub unreadable: Option<Unread>,
}

/// What the prompt lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Older messages, dropped here or never fetched.
    pub older: bool,
    /// The middle of the thread.
    pub thread_middle: bool,
    /// Messages that could not be decrypted, up to the request.
    pub undecryptable: usize,
    /// Messages that are in it without their middle.
    pub cut: usize,
    /// No request was among the events, or it was redacted: there is nothing to answer.
    pub request: bool,
}

/// Composes the prompt for a request.
#[must_use]
pub fn compose(input: &Input<'_>) -> Composed {
    compose_newest(&input.newest())
}

fn compose_newest(input: &Input<'_>) -> Composed {
    let tokens_all = input.tokens_max.max(TOKENS_MIN);
    let opened: Vec<OpenedBlock> =
        input.opened.iter().take(OPENED_MAX).map(|room| opened_block(room, tokens_all)).collect();
    let tokens_max =
        tokens_all - opened.iter().map(|block| block.tokens).sum::<u32>().min(tokens_all / OPENED_SHARE * 3);
    let timeline = timeline::read(input, tokens_max / MESSAGE_SHARE);
    let opening = opening::Opening::of(input, tokens_max);
    let selection = window::select(&timeline.items, input, tokens_max, opening.tokens);
    let chosen: Vec<&Item<'_>> = selection.indexes().map(|at| &timeline.items[at]).collect();

    let older = selection.older || (input.older && !timeline.session_found);
    let given = Given::of(&timeline.items, &chosen, input, tokens_max);
    let mut transcript = Transcript::default();
    for block in opened {
        transcript.push(Role::User, block.line);
    }
    opening.lines.into_iter().for_each(|line| transcript.push(Role::User, line));
    transcript.push(Role::User, record::opening(older));
    for (place, item) in chosen.iter().enumerate() {
        if selection.gap_before == Some(place) {
            transcript.push(Role::User, record::gap().to_owned());
        }
        if is_request(item, input) {
            let most = tokens_max / window::QUOTE_SHARE;
            if let Some(line) = quoted_from_elsewhere(input, &timeline.items, item, most) {
                transcript.push(Role::User, line);
            }
            transcript.quote(&timeline.items, &chosen, item, &given, most);
        }
        match &item.voice {
            Voice::Own(text) => transcript.push(Role::Assistant, text.clone()),
            Voice::Record(line) => {
                let noted = given.note(item).and_then(|note| item.noted(note));
                transcript.push(Role::User, noted.unwrap_or_else(|| line.clone()));
            }
        }
        transcript.attach(given.file(item));
    }

    let left_out = LeftOut {
        older,
        thread_middle: selection.gap_before.is_some(),
        undecryptable: timeline.undecryptable,
        cut: chosen.iter().filter(|item| item.cut).count(),
        request: !chosen.iter().any(|item| is_request(item, input)),
    };
    let in_window = chosen.iter().filter_map(|item| item.id.map(ToOwned::to_owned));
    let mut read: Vec<OwnedEventId> = opening.pinned;
    read.retain(|id| !chosen.iter().any(|item| item.id == Some(id)));
    read.extend(in_window);
    let prompt = Prompt {
        system: vec![instructions(input), Facts::of(input).line()],
        turns: transcript.ended(),
        ..Prompt::default()
    };
    let unreadable = given.nothing_but_unreadable(&chosen, input);
    Composed { prompt, read, left_out, unreadable }
}

fn is_request(item: &Item<'_>, input: &Input<'_>) -> bool {
    item.id.is_some_and(|id| input.requests.iter().any(|request| request == id))
}

fn instructions(input: &Input<'_>) -> String {
    match input.kind {
        Kind::Coworker { name, purpose, instructions } => {
            prompts::coworker(&prompts::Coworker { name, user_id: input.me.as_str(), purpose, instructions })
        }
        Kind::Assistant { owner, instructions } => {
            prompts::assistant(&prompts::Assistant { user_id: input.me.as_str(), owner: owner.as_str(), instructions })
        }
    }
}

/// The turns while they are written: alternating, a user's first and last.
#[derive(Default)]
struct Transcript {
    turns: Vec<Turn>,
}

impl Transcript {
    fn push(&mut self, role: Role, text: String) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.push_text(if role == Role::User { "\n" } else { "\n\n" }, &text),
            _ => self.turns.push(Turn::new(role, text)),
        }
    }

    /// Puts a file behind the record that names it, which is the last text of a user's turn.
    fn attach(&mut self, file: Option<File>) {
        if let (Some(turn), Some(file)) = (self.turns.last_mut(), file) {
            turn.parts.push(Part::File(file));
        }
    }

    /// Puts what the request replies to in front of it, where the window does not hold it or left its file out.
    fn quote(
        &mut self,
        all: &[Item<'_>],
        chosen: &[&Item<'_>],
        request: &Item<'_>,
        given: &Given<'_>,
        tokens_max: u32,
    ) {
        let Some(item) = files::replied_to(all, request) else { return };
        let file = given.beside(item);
        if file.is_none() && chosen.iter().any(|held| held.id == item.id) {
            return;
        }
        let note = given.note_beside(item);
        if let Some(line) = item.quote(note, tokens_max) {
            self.push(Role::User, line);
            self.attach(file);
        }
    }

    fn ended(mut self) -> Vec<Turn> {
        if self.turns.last().is_some_and(|turn| turn.role == Role::Assistant) {
            self.push(Role::User, record::nothing_asked().to_owned());
        }
        self.turns
    }
}

/// Returns the record of what the request replies to, where not even the room's events hold it.
fn quoted_from_elsewhere(input: &Input<'_>, all: &[Item<'_>], request: &Item<'_>, tokens_max: u32) -> Option<String> {
    let target = request.reply_to?;
    if all.iter().any(|item| item.id == Some(target)) {
        return None;
    }
    // Never what the events hold and this prompt leaves out: an earlier session, another person's words.
    input.replied_to.iter().find(|event| event.id == target)?;
    let fetched = shown(input.replied_to.iter().chain(input.events), input.names);
    Some(fetched.iter().find(|message| message.event.id == target)?.line(tokens_max).0)
}
