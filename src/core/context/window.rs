//! Chooses which part of the timeline fits, with a beginning that stays the same for many turns.
//!
//! A window of exactly the newest messages would begin one message later each turn, and no prompt would share a prefix
//! with the last. So the window begins at an *anchor*: of all messages in a first stretch of [`SLIDE_SHARE`] of the
//! budget, the one whose id hashes lowest. It stays the lowest until it leaves the stretch, whichever part of the
//! history was fetched, and needs no stored state. If everything that may be read fits, all of it is read; such a
//! beginning is stable by itself.

use std::{iter, ops::Range};

use ruma::EventId;

use super::{
    Input,
    timeline::{Item, Place},
};

/// The divisor of the budget by which the window may begin later than necessary, so that it slides seldom.
pub(super) const SLIDE_SHARE: u32 = 3;
/// In a thread, the divisor of the budget for the room's messages before the root.
pub(super) const FRONT_SHARE: u32 = 2;
/// In a long thread, the divisor of the budget for the root and first messages.
pub(super) const HEAD_SHARE: u32 = 8;
/// The divisor of the budget for the replied-to message, if the window lacks it.
pub(super) const QUOTE_SHARE: u32 = 8;
/// Tokens reserved for the opening and for naming a gap.
const NOTES_TOKENS: u32 = 100;

/// The chosen items, as ranges of the timeline.
#[derive(Debug, Default)]
pub(super) struct Selection {
    chosen: Vec<usize>,
    /// Older items were left out.
    pub(super) older: bool,
    /// The chosen item before which the middle of the thread is missing.
    pub(super) gap_before: Option<usize>,
}

impl Selection {
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.chosen.iter().copied()
    }
}

/// Chooses what fits the budget, less the opening's tokens.
pub(super) fn select(items: &[Item<'_>], input: &Input<'_>, tokens_max: u32, opening_tokens: u32) -> Selection {
    let tokens_max = tokens_max - NOTES_TOKENS - tokens_max / QUOTE_SHARE - opening_tokens;
    match input.thread_root {
        None => timeline(items, input, tokens_max),
        Some(root) => thread(items, input, root, tokens_max),
    }
}

fn timeline(items: &[Item<'_>], input: &Input<'_>, tokens_max: u32) -> Selection {
    let all: Vec<usize> = (0..items.len()).collect();
    let begin = begin(items, &all, input, tokens_max);
    Selection { chosen: all[begin..].to_vec(), older: begin > 0, gap_before: None }
}

fn thread(items: &[Item<'_>], input: &Input<'_>, root: &EventId, tokens_max: u32) -> Selection {
    let root_at = items.iter().position(|item| item.id == Some(root));
    // If the root is not among the events, nothing is known to precede the thread.
    let front: Vec<usize> = (0..root_at.unwrap_or(0)).collect();
    let inside: Vec<usize> = match root_at {
        Some(at) => {
            iter::once(at).chain((at + 1..items.len()).filter(|at| belongs(&items[*at], input, root))).collect()
        }
        None => (0..items.len()).filter(|at| belongs(&items[*at], input, root)).collect(),
    };
    let front_begin = begin(items, &front, input, tokens_max / FRONT_SHARE);
    let front_kept = &front[front_begin..];
    let inside_tokens = cost(items, &inside);

    if inside_tokens + cost(items, front_kept) <= u64::from(tokens_max) {
        let older = front_begin > 0 || (root_at.is_none() && input.older);
        return Selection { chosen: [front_kept, &inside].concat(), older, gap_before: None };
    }
    let older = !front.is_empty() || input.older;
    if inside_tokens <= u64::from(tokens_max) {
        return Selection { chosen: inside, older, gap_before: None };
    }
    let head = head(items, &inside, tokens_max);
    let left = tokens_max.saturating_sub(u32::try_from(cost(items, &inside[head.clone()])).unwrap_or(u32::MAX));
    let rest = &inside[head.end..];
    let tail = fitting(items, rest, left);
    let tail = anchor(items, rest, tail, tokens_max / SLIDE_SHARE, input);
    let chosen = [&inside[head.clone()], &rest[tail..]].concat();
    Selection { chosen, older, gap_before: (tail > 0).then_some(head.end) }
}

fn belongs(item: &Item<'_>, input: &Input<'_>, root: &EventId) -> bool {
    in_thread(item, root) || item.id.is_some_and(|id| input.joined.iter().any(|joined| joined == id))
}

fn in_thread(item: &Item<'_>, root: &EventId) -> bool {
    match item.place {
        Place::Thread(of) => of == root,
        Place::Anywhere => true,
        Place::Timeline => false,
    }
}

/// Returns the root and the messages right after it: at least one item, but not the last.
fn head(items: &[Item<'_>], inside: &[usize], tokens_max: u32) -> Range<usize> {
    let most = u64::from(tokens_max / HEAD_SHARE);
    let mut sum = 0;
    let mut end = 0;
    for at in inside.iter().take(inside.len().saturating_sub(1)) {
        sum += u64::from(items[*at].tokens);
        if end > 0 && sum > most {
            break;
        }
        end += 1;
    }
    0..end
}

/// Returns the index in `part` at which the window begins.
fn begin(items: &[Item<'_>], part: &[usize], input: &Input<'_>, tokens_max: u32) -> usize {
    let first = fitting(items, part, tokens_max);
    if first == 0 && (!input.older || input.begin_is_fixed) {
        return 0;
    }
    // If everything fits but older events exist, the events' own beginning moves with each fetch, so anchor it.
    let whole = u32::try_from(cost(items, part)).unwrap_or(u32::MAX).min(tokens_max);
    anchor(items, part, first, whole / SLIDE_SHARE, input)
}

/// Returns the first of the newest items that fit; the last one always fits.
fn fitting(items: &[Item<'_>], part: &[usize], tokens_max: u32) -> usize {
    let mut left = u64::from(tokens_max);
    let mut first = part.len();
    for (at, index) in part.iter().enumerate().rev() {
        let tokens = u64::from(items[*index].tokens);
        if tokens > left && first < part.len() {
            break;
        }
        left = left.saturating_sub(tokens);
        first = at;
    }
    first
}

/// Returns the anchor within `stretch` tokens from `first`, but not after a request.
fn anchor(items: &[Item<'_>], part: &[usize], first: usize, stretch: u32, input: &Input<'_>) -> usize {
    let mut sum = 0;
    let mut lowest: Option<(u64, usize)> = None;
    for (at, index) in part.iter().enumerate().skip(first) {
        let Some(id) = items[*index].id else { continue };
        let hashed = (hash(id), at);
        lowest = Some(lowest.map_or(hashed, |known| known.min(hashed)));
        sum += u64::from(items[*index].tokens);
        if sum > u64::from(stretch) || input.requests.iter().any(|request| request == id) {
            break;
        }
    }
    lowest.map_or(first, |(_, at)| at)
}

fn cost(items: &[Item<'_>], part: &[usize]) -> u64 {
    part.iter().map(|at| u64::from(items[*at].tokens)).sum()
}

/// FNV-1a with MurmurHash3's finaliser: stable across versions, unlike the standard library's hasher.
fn hash(id: &EventId) -> u64 {
    let sum = id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}
