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
    event::{EventKind, MediaSource, Message},
    media::{Claims, Extent, Outcome, Prepared, Totals, Unread, Weight, choose},
    prompt::{File, Prompt},
};

/// Most letters besides the coworker's name in a caption that counts as empty.
const NEARLY_NOTHING_LETTERS: usize = 2;

/// The fetched files, by their messages and places among the message's files.
pub type Files = BTreeMap<(OwnedEventId, usize), Outcome>;

/// A file: its message, and its place among the message's files.
type Key<'a> = (&'a EventId, usize);

/// A file for which the prompt has room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file's message.
    pub event: OwnedEventId,
    /// Its place among the message's files.
    pub at: usize,
    /// Where its content is.
    pub source: MediaSource,
    /// What its sender claims about it.
    pub claims: Claims,
    /// Whether the request holds it or replies to it.
    pub asked: bool,
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
    let fitting = with_files(&chosen).filter(|(key, ..)| fetchable.contains(key));
    let beside: Vec<&Item<'_>> = beside.collect();
    for ((id, at), item, claims) in fitting.chain(with_files(&beside).take(newest.file_limits.files_max)) {
        let Ok(source) = claims.worth_fetching(&newest.file_limits) else { continue };
        if !wanted.iter().any(|known| known.event == id && known.at == at) {
            let asked = is_request(item, &newest) || beside.iter().any(|asked| asked.id == item.id);
            wanted.push(Wanted { event: id.to_owned(), at, source: source.clone(), claims: claims.clone(), asked });
        }
    }
    wanted
}

/// Returns the context's files as they were sent, in message order, for a container in which code opens them: also
/// those that the model cannot be shown.
#[must_use]
pub fn files_around(input: &Input<'_>) -> Vec<Wanted> {
    let newest = input.newest();
    if !newest.events.iter().any(|event| is_file(&event.kind)) {
        return Vec::new();
    }
    let tokens_max = input.tokens_max.max(TOKENS_MIN);
    let timeline = timeline::read(&newest, tokens_max / MESSAGE_SHARE);
    let opening = super::opening::Opening::of(&newest, tokens_max);
    let selection = window::select(&timeline.items, &newest, tokens_max, opening.tokens);
    let chosen: Vec<&Item<'_>> = selection.indexes().map(|at| &timeline.items[at]).collect();
    let beside: Vec<&Item<'_>> = chosen
        .iter()
        .filter(|item| is_request(item, &newest))
        .filter_map(|item| replied_to(&timeline.items, item))
        .collect();
    let mut wanted: Vec<Wanted> = Vec::new();
    for ((id, at), item, claims) in with_files(&chosen).chain(with_files(&beside)) {
        let Some(source) = &claims.media else { continue };
        let is_beside = claims.is_sticker() && !is_request(item, &newest);
        let is_known = wanted.iter().any(|known| known.event == id && known.at == at);
        if !is_known && !is_beside {
            let asked = is_request(item, &newest);
            wanted.push(Wanted { event: id.to_owned(), at, source: source.clone(), claims: claims.clone(), asked });
        }
    }
    wanted
}

fn is_file(kind: &EventKind) -> bool {
    let (EventKind::Message(Message { kind, .. }) | EventKind::Edit { new: Message { kind, .. }, .. }) = kind else {
        return false;
    };
    !kind.files().is_empty()
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
fn fetchable<'a>(chosen: &[&Item<'a>], input: &Input<'_>, tokens_max: u32) -> BTreeSet<Key<'a>> {
    // Stickers say little and may be many, so they are read only if somebody asks about one; so are songs.
    let files = with_files(chosen).filter(|(_, item, claims)| {
        claims.worth_fetching(&input.file_limits).is_ok() && (!claims.is_read_if_asked() || is_request(item, input))
    });
    let files: Vec<_> = files.collect();
    let weights = files.iter().map(|(_, item, claims)| Weight {
        bytes: claims.claimed_bytes(&input.file_limits),
        tokens: 0,
        around: is_around(item, input),
    });
    let kept = choose(&weights.collect::<Vec<_>>(), &totals(input, tokens_max));
    files.iter().zip(kept).filter(|(_, kept)| *kept).map(|((key, ..), _)| *key).collect()
}

fn with_files<'i, 'a>(chosen: &[&'i Item<'a>]) -> impl Iterator<Item = (Key<'a>, &'i Item<'a>, &'i Claims)> {
    chosen.iter().flat_map(|item| files_of(item).map(|(key, claims)| (key, *item, claims)))
}

/// Returns the files of an item, which has none without an id.
fn files_of<'i, 'a>(item: &'i Item<'a>) -> impl Iterator<Item = (Key<'a>, &'i Claims)> {
    item.id.into_iter().flat_map(|id| item.files.iter().enumerate().map(move |(at, claims)| ((id, at), claims)))
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

type Outcomes<'a> = BTreeMap<Key<'a>, Result<&'a Prepared, Unread>>;

/// The outcome for each file.
pub(super) struct Given<'a> {
    by_file: Outcomes<'a>,
    /// The files of replied-to messages that are not among the others.
    beside: Outcomes<'a>,
}

impl<'a> Given<'a> {
    pub(super) fn of(all: &[Item<'a>], chosen: &[&Item<'a>], input: &Input<'a>, tokens_max: u32) -> Self {
        let fetchable = fetchable(chosen, input, tokens_max);
        let mut by_file = BTreeMap::new();
        let mut ready: Vec<(Key<'a>, Weight)> = Vec::new();
        for (key, item, claims) in with_files(chosen) {
            let outcome = match claims.worth_fetching(&input.file_limits) {
                Err(why) => Err(why),
                Ok(_) if !fetchable.contains(&key) => Err(Unread::LeftOut),
                Ok(_) => fetched(input, key),
            };
            // A transcript stands in the record, and counts as its text.
            if let Ok(file) = outcome
                && file.shown != Extent::Transcript
            {
                let weight = Weight { bytes: file.bytes, tokens: file.tokens, around: is_around(item, input) };
                ready.push((key, weight));
            }
            by_file.insert(key, outcome);
        }
        let weights: Vec<Weight> = ready.iter().map(|(_, weight)| *weight).collect();
        let totals = totals(input, tokens_max);
        for ((key, weight), kept) in ready.iter().zip(choose(&weights, &totals)) {
            if !kept {
                let fits_alone = choose(&[*weight], &totals) == [true];
                by_file.insert(*key, Err(if fits_alone { Unread::LeftOut } else { Unread::TooLong }));
            }
        }
        let mut beside = BTreeMap::new();
        for target in chosen.iter().filter(|item| is_request(item, input)).filter_map(|item| replied_to(all, item)) {
            let is_missing = |key| matches!(by_file.get(&key), None | Some(Err(Unread::LeftOut | Unread::TooLong)));
            for (key, claims) in files_of(target).filter(|(key, _)| is_missing(*key)).take(input.file_limits.files_max)
            {
                let outcome = claims.worth_fetching(&input.file_limits);
                beside.insert(key, outcome.and_then(|_| fetched(input, key)));
            }
        }
        Self { by_file, beside }
    }

    /// Returns what an item's record says about its files.
    pub(super) fn notes(&self, item: &Item<'_>) -> Vec<Option<FileNote>> {
        notes(&self.by_file, item)
    }

    pub(super) fn files(&self, item: &Item<'_>) -> Vec<File> {
        files(&self.by_file, item)
    }

    /// Returns the files of a message that is quoted before the request.
    pub(super) fn files_beside(&self, item: &Item<'_>) -> Vec<File> {
        files(&self.beside, item)
    }

    pub(super) fn notes_beside(&self, item: &Item<'_>) -> Vec<Option<FileNote>> {
        notes(&self.beside, item)
    }

    /// Returns why the request cannot be read: its own text, or its files if it says nothing else.
    pub(super) fn nothing_but_unreadable(&self, chosen: &[&Item<'_>], input: &Input<'_>) -> Option<Unread> {
        let mut requests = chosen.iter().filter(|item| is_request(item, input));
        let (request, None) = (requests.next()?, requests.next()) else { return None };
        if request.unreadable {
            return Some(Unread::NoWords);
        }
        let outcomes = files_of(request).filter_map(|(key, _)| self.by_file.get(&key));
        let faults: Option<Vec<Unread>> = outcomes.map(|outcome| outcome.err()).collect();
        let why = *faults?.first()?;
        says_nothing(request.said, input).then_some(why)
    }
}

fn notes(outcomes: &Outcomes<'_>, item: &Item<'_>) -> Vec<Option<FileNote>> {
    let note = |outcome: &Result<&Prepared, Unread>| outcome.map_or_else(FileNote::NotGiven, note_of);
    files_of(item).map(|(key, _)| outcomes.get(&key).map(note)).collect()
}

fn files(outcomes: &Outcomes<'_>, item: &Item<'_>) -> Vec<File> {
    let ready = files_of(item).filter_map(|(key, claims)| Some((claims, outcomes.get(&key)?.ok()?)));
    let ready = ready.filter(|(_, file)| file.shown != Extent::Transcript);
    let given = ready.map(|(claims, file)| File {
        title: claims.title(),
        content: file.content.clone(),
        event: item.id.map(ToOwned::to_owned),
        has_places: matches!(file.shown, Extent::Document { .. }),
    });
    given.collect()
}

fn fetched<'a>(input: &Input<'a>, (id, at): Key<'_>) -> Result<&'a Prepared, Unread> {
    match input.files.and_then(|files| files.get(&(id.to_owned(), at))) {
        Some(Ok(file)) => Ok(file),
        Some(Err(why)) => Err(*why),
        None => Err(Unread::Unavailable),
    }
}

fn note_of(file: &Prepared) -> FileNote {
    FileNote::Follows(file.shown)
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
