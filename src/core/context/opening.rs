//! The opening of the transcript: the room's notes and pinned messages.

use ruma::{EventId, OwnedEventId, UserId};
use serde::Serialize;

use super::{Input, NOTES_SHARE, PINNED_MAX, PINNED_SHARE, escaped, shown::shown, tokens};
use crate::core::notes::Note;

/// The divisor of the pins' share for one pinned message.
const PIN_SHARE: u32 = 3;
/// Tokens reserved in each share for the text around its entries.
const FRAME_TOKENS: u32 = 24;

/// The first lines of the transcript.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) lines: Vec<String>,
    /// Their estimated tokens.
    pub(super) tokens: u32,
    /// The pinned messages whose text they contain.
    pub(super) pinned: Vec<OwnedEventId>,
}

impl Opening {
    /// Chooses the newest notes and pins that fit their shares of the budget.
    pub(super) fn of(input: &Input<'_>, tokens_max: u32) -> Self {
        let mut opening = Self::default();
        opening.add("notes", &noted(input.notes), input.notes.len(), tokens_max / NOTES_SHARE);
        let (ids, lines) = pinned(input, tokens_max / PINNED_SHARE);
        let kept = opening.add("pinned", &lines, input.pinned.ids.len(), tokens_max / PINNED_SHARE);
        opening.pinned = ids[ids.len() - kept..].to_vec();
        opening
    }

    /// Adds a line with the newest of these entries and the number of `all` that it lacks; returns how many it has.
    fn add(&mut self, what: &str, entries: &[String], all: usize, tokens_max: u32) -> usize {
        let mut left = tokens_max.saturating_sub(FRAME_TOKENS);
        let fits = entries.iter().rev().take_while(|entry| {
            let fitting = left.checked_sub(tokens::estimate(entry) + 1);
            left = fitting.unwrap_or_default();
            fitting.is_some()
        });
        let kept = fits.count();
        if all == 0 {
            return 0;
        }
        let left_out = if kept < all { format!(r#","left_out":{}"#, all - kept) } else { String::new() };
        let line = format!(r#"{{"{what}":[{}]{left_out}}}"#, entries[entries.len() - kept..].join(","));
        self.tokens += tokens::estimate(&line);
        self.lines.push(line);
        kept
    }
}

fn noted(notes: &[Note]) -> Vec<String> {
    #[derive(Serialize)]
    struct Noted<'a> {
        number: u32,
        by: &'a UserId,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<String>,
        note: &'a str,
    }
    let noted = notes.iter().map(|note| Noted {
        number: note.number,
        by: &note.by,
        time: escaped::rfc3339(note.at),
        note: &note.text,
    });
    noted.map(|note| escaped::line(&note)).collect()
}

/// Returns the readable pinned messages as records, in the order of pinning.
fn pinned(input: &Input<'_>, tokens_max: u32) -> (Vec<OwnedEventId>, Vec<String>) {
    let skipped = input.pinned.ids.len().saturating_sub(PINNED_MAX);
    let newest = &input.pinned.ids[skipped..];
    if newest.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let fetched = input.pinned.fetched.iter().filter(|event| !holds(input, &event.id));
    let all = shown(fetched.chain(input.events), input.names);
    let found = newest.iter().filter_map(|id| all.iter().find(|message| message.event.id == *id));
    found.map(|message| (message.event.id.clone(), message.line(tokens_max / PIN_SHARE).0)).unzip()
}

fn holds(input: &Input<'_>, id: &EventId) -> bool {
    input.events.iter().any(|event| event.id == id)
}
