//! The files of a transcript: which to fetch, which to include, and what is said about the others.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{EventId, OwnedEventId};

use super::{
    Input, Kind, MESSAGE_SHARE, TOKENS_MIN, is_request,
    record::{self, FileNote},
    timeline::{self, Item, Place},
    window,
};
use crate::core::{
    address::{CoworkerHere, strip_address},
    event::{EventKind, MediaSource, Message, MessageKind},
    media::{Claims, Outcome, Prepared, Totals, Unread, Weight, choose},
    prompt::{File, Prompt},
};

/// Most letters besides the coworker's name in a caption that counts as empty.
const NEARLY_NOTHING_LETTERS: usize = 2;

/// The fetched files, by their messages.
pub type Files = BTreeMap<OwnedEventId, Outcome>;

/// A file for which the prompt has room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file's message.
    pub event: OwnedEventId,
    /// Where its content is.
    pub source: MediaSource,
    /// What its sender claims about it.
    pub claims: Claims,
}

/// Returns the files to fetch before [`super::compose`], in message order; the file that a request replies to is last.
#[must_use]
pub fn files_wanted(input: &Input<'_>) -> Vec<Wanted> {
    let newest = input.newest();
    if !newest.events.iter().any(|event| is_file(&event.kind)) {
        return Vec::new();
    }
    let tokens_max = input.tokens_max.max(TOKENS_MIN);
    let timeline = timeline::read(&newest, tokens_max / MESSAGE_SHARE);
    let opening = super::opening::Opening::of(&newest, tokens_max);
    let selection = window::select(&timeline.items, &newest, tokens_max, opening.tokens);
    let chosen: Vec<&Item<'_>> = selection.indexes().map(|at| &timeline.items[at]).collect();
    let fetchable = fetchable(&chosen, &newest, tokens_max);
    let beside =
        chosen.iter().filter(|item| is_request(item, &newest)).filter_map(|item| replied_to(&timeline.items, item));
    let mut wanted: Vec<Wanted> = Vec::new();
    let fitting = chosen.iter().copied().filter(|item| item.id.is_some_and(|id| fetchable.contains(id)));
    for item in fitting.chain(beside) {
        let (Some(id), Some(claims)) = (item.id, &item.file) else { continue };
        let Ok(source) = claims.worth_fetching(&newest.file_limits) else { continue };
        if newest.file_limits.files_max > 0 && !wanted.iter().any(|known| known.event == id) {
            wanted.push(Wanted { event: id.to_owned(), source: source.clone(), claims: claims.clone() });
        }
    }
    wanted
}

fn is_file(kind: &EventKind) -> bool {
    let (EventKind::Message(Message { kind, .. }) | EventKind::Edit { new: Message { kind, .. }, .. }) = kind else {
        return false;
    };
    matches!(kind, MessageKind::Attachment { .. })
}

/// Returns the prompt with a record in place of each file, for a provider that refused them.
#[must_use]
pub fn without_files(prompt: &Prompt) -> Prompt {
    prompt.without_files(record::refused_file())
}

/// Returns the message that a request replies to.
pub(super) fn replied_to<'i, 'a>(all: &'i [Item<'a>], request: &Item<'_>) -> Option<&'i Item<'a>> {
    let target = request.reply_to?;
    all.iter().find(|item| item.id == Some(target))
}

/// Chooses by the claims: what fits if everybody tells the truth.
fn fetchable<'i>(chosen: &[&'i Item<'_>], input: &Input<'_>, tokens_max: u32) -> BTreeSet<&'i EventId> {
    // Stickers say little and may be many, so they are read only if somebody asks about one.
    let files = with_files(chosen).filter(|(_, item, claims)| {
        claims.worth_fetching(&input.file_limits).is_ok() && (!claims.is_sticker() || is_request(item, input))
    });
    let files: Vec<_> = files.collect();
    let weights = files.iter().map(|(_, item, claims)| Weight {
        bytes: claims.claimed_bytes(&input.file_limits),
        tokens: 0,
        around: is_around(item, input),
    });
    let kept = choose(&weights.collect::<Vec<_>>(), &totals(input, tokens_max));
    files.iter().zip(kept).filter(|(_, kept)| *kept).map(|((id, ..), _)| *id).collect()
}

fn with_files<'i, 'a>(chosen: &[&'i Item<'a>]) -> impl Iterator<Item = (&'a EventId, &'i Item<'a>, &'i Claims)> {
    chosen.iter().filter_map(|item| Some((item.id?, *item, item.file.as_ref()?)))
}

fn totals(input: &Input<'_>, tokens_max: u32) -> Totals {
    Totals { files_max: input.file_limits.files_max, around_tokens_max: tokens_max }
}

/// Returns whether a message is merely in the same room. In an assistant's session none is: all of it is the owner's.
fn is_around(item: &Item<'_>, input: &Input<'_>) -> bool {
    if matches!(input.kind, Kind::Assistant { .. }) || is_request(item, input) {
        return false;
    }
    match (input.thread_root, item.place) {
        (Some(root), Place::Thread(of)) => of != root,
        (Some(root), _) => item.id != Some(root),
        (None, _) => true,
    }
}

/// The outcome for each file.
pub(super) struct Given<'a> {
    by_message: BTreeMap<&'a EventId, Result<&'a Prepared, Unread>>,
    /// The files of replied-to messages that are not among the others.
    beside: BTreeMap<&'a EventId, Result<&'a Prepared, Unread>>,
}

impl<'a> Given<'a> {
    pub(super) fn of(all: &[Item<'a>], chosen: &[&Item<'a>], input: &Input<'a>, tokens_max: u32) -> Self {
        let fetchable = fetchable(chosen, input, tokens_max);
        let mut by_message = BTreeMap::new();
        let mut ready: Vec<(&EventId, Weight)> = Vec::new();
        for (id, item, claims) in with_files(chosen) {
            let outcome = match claims.worth_fetching(&input.file_limits) {
                Err(why) => Err(why),
                Ok(_) if !fetchable.contains(id) => Err(Unread::LeftOut),
                Ok(_) => fetched(input, id),
            };
            if let Ok(file) = outcome {
                let weight = Weight { bytes: file.bytes, tokens: file.tokens, around: is_around(item, input) };
                ready.push((id, weight));
            }
            by_message.insert(id, outcome);
        }
        let weights: Vec<Weight> = ready.iter().map(|(_, weight)| *weight).collect();
        let totals = totals(input, tokens_max);
        for ((id, weight), kept) in ready.iter().zip(choose(&weights, &totals)) {
            if !kept {
                let fits_alone = choose(&[*weight], &totals) == [true];
                by_message.insert(*id, Err(if fits_alone { Unread::LeftOut } else { Unread::TooLong }));
            }
        }
        let mut beside = BTreeMap::new();
        for target in chosen.iter().filter(|item| is_request(item, input)).filter_map(|item| replied_to(all, item)) {
            let (Some(id), Some(claims)) = (target.id, &target.file) else { continue };
            if matches!(by_message.get(id), None | Some(Err(Unread::LeftOut | Unread::TooLong))) {
                let allowed = if input.file_limits.files_max > 0 { Ok(()) } else { Err(Unread::LeftOut) };
                let outcome = allowed.and_then(|()| claims.worth_fetching(&input.file_limits));
                beside.insert(id, outcome.and_then(|_| fetched(input, id)));
            }
        }
        Self { by_message, beside }
    }

    /// Returns what an item's record says about its file.
    pub(super) fn note(&self, item: &Item<'_>) -> Option<FileNote> {
        let outcome = self.by_message.get(item.id?)?;
        Some(outcome.map_or_else(FileNote::NotGiven, note_of))
    }

    pub(super) fn file(&self, item: &Item<'_>) -> Option<File> {
        let file = self.by_message.get(item.id?)?.ok()?;
        Some(file_of(item, file))
    }

    /// Returns the file of a message that is quoted before the request.
    pub(super) fn beside(&self, item: &Item<'_>) -> Option<File> {
        Some(file_of(item, self.beside.get(item.id?)?.ok()?))
    }

    pub(super) fn note_beside(&self, item: &Item<'_>) -> Option<FileNote> {
        let outcome = self.beside.get(item.id?)?;
        Some(outcome.map_or_else(FileNote::NotGiven, note_of))
    }

    /// Returns why the request cannot be read: its own text, or its file if it says nothing else.
    pub(super) fn nothing_but_unreadable(&self, chosen: &[&Item<'_>], input: &Input<'_>) -> Option<Unread> {
        let mut requests = chosen.iter().filter(|item| is_request(item, input));
        let (request, None) = (requests.next()?, requests.next()) else { return None };
        if request.unreadable {
            return Some(Unread::NoWords);
        }
        let why = self.by_message.get(request.id?)?.err()?;
        says_nothing(request.said, input).then_some(why)
    }
}

fn fetched<'a>(input: &Input<'a>, id: &EventId) -> Result<&'a Prepared, Unread> {
    match input.files.and_then(|files| files.get(id)) {
        Some(Ok(file)) => Ok(file),
        Some(Err(why)) => Err(*why),
        None => Err(Unread::Unavailable),
    }
}

fn note_of(file: &Prepared) -> FileNote {
    FileNote::Follows(file.shown)
}

fn file_of(item: &Item<'_>, file: &Prepared) -> File {
    let title = item.file.as_ref().map(Claims::title).unwrap_or_default();
    File { title, content: file.content.clone() }
}

/// Returns whether a caption contains only the coworker's name and a letter or two.
fn says_nothing(text: &str, input: &Input<'_>) -> bool {
    let asked = match input.kind {
        Kind::Coworker { name, .. } => {
            let localpart = input.me.localpart();
            let here = CoworkerHere {
                user: input.me,
                id: localpart.split_once('-').map_or(localpart, |(_, id)| id),
                name,
                display_name: input.names.get(input.me).map(String::as_str),
            };
            strip_address(text, None, &here)
        }
        Kind::Assistant { .. } => text,
    };
    asked.chars().filter(|letter| letter.is_alphanumeric()).count() <= NEARLY_NOTHING_LETTERS
}
