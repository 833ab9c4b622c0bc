//! Composes what the model reads: one room's events, checked, cut to a budget, and laid out for caching.
//!
//! # The order of dropping
//! What does not fit is dropped in this order, and a record says that something is missing:
//! 1. In a thread: the room's messages before the root, oldest first, down to half of the budget; then, if the thread
//!    needs the space, all of them at once.
//! 2. In a thread: its middle. The root, the first messages and the newest ones stay; a record names the gap.
//! 3. Outside a thread: the oldest messages.
//! 4. The middle of one very long message; its record says `"cut":true`. The request is never dropped, and of every cut
//!    message, the request included, the last paragraph stays.
//!
//! # Opened rooms
//! A room that an owner opened for their assistant is one labelled record before the chat, within [`OPENED_SHARE`] of
//! the budget; there are at most [`OPENED_MAX`]. In it the oldest messages are dropped first, but never the one that
//! the owner pointed at. The chat's own order of dropping applies to the rest of the budget. The range is fixed at
//! opening, so the record stays the same; only edits, redactions and changed rights alter it. When the room is closed,
//! the answers given while it was open go with it, and a record says so in their place.
//!
//! # Before everything else
//! The room's notes and pinned messages open the first turn, within [`NOTES_SHARE`] and [`PINNED_SHARE`] of the budget;
//! the newest are kept. Changing them breaks the prefix once. Votes in polls are records where they were cast, like
//! reactions; the count follows where the poll ends.
//!
//! # The stable prefix
//! The turns of a prompt are a prefix of the turns of the thread's next prompt, byte for byte, so that the provider's
//! cache hits. Therefore the text contains no clock and no counter, and reactions are records where they were made
//! instead of numbers on older messages. The request is not marked: it *is* the last record, because nothing after it
//! is read, and the instructions say so. Only an edit, a redaction, a late key, a changed name or the slide of the
//! window breaks the prefix. The window slides in big steps, see [`window`].

mod files;
mod opened;
mod opening;
mod polls;
mod record;
mod seen;
mod shown;
#[cfg(test)]
mod tests;
mod timeline;
mod window;

use std::collections::BTreeMap;

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};

pub(crate) use self::record::hidden_links;
use self::{
    files::Given,
    record::Facts,
    timeline::{Item, Voice},
};
pub use self::{
    files::{Files, Wanted, files_around, files_wanted, without_files},
    opened::{OpenedRoom, opened_block},
    shown::{Shown, shown},
};
use super::{
    brief::Brief,
    escaped,
    event::RoomEvent,
    media::{self, Unread},
    notes::Note,
    opened::{OPENED_MAX, OpenedBlock},
    prompt::{File, Part, Prompt, Role, Turn},
    time::Timestamp,
    tokens,
};
use crate::prompts;

/// The smallest budget used, in tokens: a smaller one could not hold a message with hostile names and ids.
pub const TOKENS_MIN: u32 = 6_000;
/// The divisor of the budget for one message; beyond that the middle of its text is left out.
pub const MESSAGE_SHARE: u32 = 3;
/// The length at which a display name is cut, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// The length at which a room's topic is cut, in characters.
pub const TOPIC_CHARS_MAX: usize = 1_000;
/// The length at which a file name is cut, in characters.
pub const FILE_NAME_CHARS_MAX: usize = 200;
/// The divisor of the budget for the room's notes.
pub const NOTES_SHARE: u32 = 8;
/// The divisor of the budget for pinned messages.
pub const PINNED_SHARE: u32 = 8;
/// Most pinned messages that are read, newest pins first.
pub const PINNED_MAX: usize = 10;
/// The divisor of the budget for each opened room; the chat has the rest.
pub const OPENED_SHARE: u32 = 4;
/// Most newest events that are considered, so that composing costs the same in a room of any age.
pub const EVENTS_MAX: usize = 4_000;
/// A room with more members is described without their names.
pub const MEMBERS_MAX: usize = 50;

/// Everything that a prompt is composed from; nothing else can appear in it.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The virtual user that answers. Its own messages become assistant turns.
    pub me: &'a UserId,
    /// Whether it is a coworker or an assistant.
    pub kind: Kind<'a>,
    /// The room's facts.
    pub room: Room<'a>,
    /// The events of this room only, oldest first; they are not filtered by room again.
    pub events: &'a [RoomEvent],
    /// Whether the room has events older than these.
    pub older: bool,
    /// Whether their beginning stays the same however many are fetched, because older ones may not be read.
    pub begin_is_fixed: bool,
    /// Display names of the room's members.
    pub names: &'a BTreeMap<OwnedUserId, String>,
    /// The events to answer, usually one. Nothing after the newest of them is read.
    pub requests: &'a [OwnedEventId],
    /// Messages outside the thread that belong to it: what the asker added to a request in the timeline.
    pub joined: &'a [OwnedEventId],
    /// Our answers to *earlier* requests that were sent after the newest request came, which happens when requests
    /// queue. They are read as if sent just before it. Usually empty.
    pub answered_meanwhile: &'a [OwnedEventId],
    /// The errands among the room's events, by their notice or the watched message (C20 to C22). An errand's record
    /// replaces its notice, and follows a watched message.
    pub errands: &'a BTreeMap<OwnedEventId, Brief>,
    /// The room's notes, oldest first.
    pub notes: &'a [Note],
    /// The messages pinned in the room.
    pub pinned: Pinned<'a>,
    /// The messages that requests reply to, with their newest edits, in case they are not among the events.
    pub replied_to: &'a [RoomEvent],
    /// Rooms that the owner opened in the session, in order of opening; for assistants.
    pub opened: &'a [OpenedRoom<'a>],
    /// Our answers that are not read again, because they may quote a room that is closed now. A record replaces them.
    pub withheld: &'a [OwnedEventId],
    /// The root of the answer's thread: the request itself if the answer opens a thread, `None` if the answer goes to
    /// the timeline.
    pub thread_root: Option<&'a EventId>,
    /// Where the session begins, before which nothing is read; for assistants. If that event is not among `events`, all
    /// of them belong to the session.
    pub session: Option<SessionStart<'a>>,
    /// Most tokens of the transcript's text; at least [`TOKENS_MIN`] is used. Files come on top, see [`media`].
    pub tokens_max: u32,
    /// The limits on files.
    pub file_limits: media::Limits,
    /// The files of [`files_wanted`] after fetching; one that is missing counts as unavailable.
    pub files: Option<&'a Files>,
}

/// No errands, for where there are none.
pub static NO_ERRANDS: BTreeMap<OwnedEventId, Brief> = BTreeMap::new();

impl Input<'_> {
    /// Returns the same input with only the newest events, as many as are considered.
    fn newest(&self) -> Self {
        let skipped = self.events.len().saturating_sub(EVENTS_MAX);
        Self {
            events: &self.events[skipped..],
            older: self.older || skipped > 0,
            begin_is_fixed: self.begin_is_fixed && skipped == 0,
            ..self.clone()
        }
    }
}

/// Whether the virtual user is a coworker or an assistant.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A coworker, as its file describes it.
    Coworker {
        /// The coworker's name.
        name: &'a str,
        /// What it is for, on one line.
        purpose: &'a str,
        /// The operator's instructions for it.
        instructions: &'a str,
    },
    /// One person's assistant; nobody else's messages are read.
    Assistant {
        /// The person.
        owner: &'a UserId,
        /// The operator's instructions for all assistants.
        instructions: &'a str,
    },
}

/// A room's facts. Names and topics are people's words, not ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room<'a> {
    /// `m.room.name`.
    pub name: Option<&'a str>,
    /// `m.room.topic`.
    pub topic: Option<&'a str>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The start of what can be read; `None` for the room's beginning (C8).
    pub readable_from: Option<Timestamp>,
    /// The answer's reader's time zone as an IANA name, if there is a single reader.
    pub time_zone: Option<&'a str>,
    /// The IANA time zones of those who have asked in the room, if their profiles name one.
    pub time_zones: Option<&'a BTreeMap<OwnedUserId, String>>,
    /// Users who are invited and have not joined.
    pub invited: &'a [OwnedUserId],
}

/// A room's pinned messages (`m.room.pinned_events`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Pinned<'a> {
    /// Their ids, in the order of pinning.
    pub ids: &'a [OwnedEventId],
    /// Those of them, with their newest edits, that may not be among the input's events.
    pub fetched: &'a [RoomEvent],
}

/// Where an assistant's session begins.
#[derive(Clone, Copy, Debug)]
pub enum SessionStart<'a> {
    /// At this event.
    At(&'a EventId),
    /// After this event, such as the `!new`.
    After(&'a EventId),
}

/// The prompt, with facts about how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// What is sent to the model.
    pub prompt: Prompt,
    /// The messages whose text it contains, oldest first; for the audit index.
    pub read: Vec<OwnedEventId>,
    /// What it lacks.
    pub left_out: LeftOut,
    /// Why the request's file cannot be read, if the request is nothing but that file. Its sender is told so without
    /// asking the model.
    pub unreadable: Option<Unread>,
}

/// What a prompt lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Older messages, dropped here or never fetched.
    pub older: bool,
    /// The middle of the thread.
    pub thread_middle: bool,
    /// Undecryptable messages up to the request.
    pub undecryptable: usize,
    /// Messages shortened by their middle.
    pub cut: usize,
    /// The request: none was among the events, or it was redacted, so there is nothing to answer.
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
                let notes = given.notes(item);
                let noted = if notes.is_empty() { None } else { item.noted(&notes) };
                transcript.push(Role::User, noted.unwrap_or_else(|| line.clone()));
            }
        }
        transcript.attach(given.files(item));
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

/// The turns under construction: they alternate, and a user's turn is first and last.
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

    /// Adds files after the record that names them, which is the last text of a user's turn.
    fn attach(&mut self, files: Vec<File>) {
        if let Some(turn) = self.turns.last_mut() {
            turn.parts.extend(files.into_iter().map(Part::File));
        }
    }

    /// Puts the message that the request replies to before it, if the window lacks it or left its file out.
    fn quote(
        &mut self,
        all: &[Item<'_>],
        chosen: &[&Item<'_>],
        request: &Item<'_>,
        given: &Given<'_>,
        tokens_max: u32,
    ) {
        let Some(item) = files::replied_to(all, request) else { return };
        let files = given.files_beside(item);
        if files.is_empty() && chosen.iter().any(|held| held.id == item.id) {
            return;
        }
        let notes = given.notes_beside(item);
        if let Some(line) = item.quote(&notes, tokens_max) {
            self.push(Role::User, line);
            self.attach(files);
        }
    }

    fn ended(mut self) -> Vec<Turn> {
        if self.turns.last().is_some_and(|turn| turn.role == Role::Assistant) {
            self.push(Role::User, record::nothing_asked().to_owned());
        }
        self.turns
    }
}

/// Returns the record of the replied-to message, if it is not among the room's events.
fn quoted_from_elsewhere(input: &Input<'_>, all: &[Item<'_>], request: &Item<'_>, tokens_max: u32) -> Option<String> {
    let target = request.reply_to?;
    if all.iter().any(|item| item.id == Some(target)) {
        return None;
    }
    // Never quote what this prompt omits on purpose: an earlier session, another person's words.
    input.replied_to.iter().find(|event| event.id == target)?;
    let fetched = shown(input.replied_to.iter().chain(input.events), input.names);
    Some(fetched.iter().find(|message| message.event.id == target)?.line(tokens_max).0)
}
