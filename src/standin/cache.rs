//! Simulates the prompt cache: prefix hashes, minimum sizes, lifetimes, and the 20-block lookback.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::models::Model;
use super::prompt::{Piece, Section, canonical, pieces};

/// How many blocks before a breakpoint are searched for an earlier entry.
const LOOKBACK_BLOCKS: usize = 20;

/// An entry's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl {
    FiveMinutes,
    OneHour,
}

impl Ttl {
    fn of(cache_control: &Value) -> Option<Self> {
        let marker = cache_control.as_object()?;
        let hour = marker.get("ttl").is_some_and(|ttl| ttl == "1h");
        Some(if hour { Self::OneHour } else { Self::FiveMinutes })
    }

    const fn duration(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_mins(5),
            Self::OneHour => Duration::from_hours(1),
        }
    }
}

/// How the tokens of a prompt are billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PromptUsage {
    pub(super) input: u64,
    pub(super) read: u64,
    pub(super) written_5m: u64,
    pub(super) written_1h: u64,
}

impl PromptUsage {
    pub(super) fn written(&self) -> u64 {
        self.written_5m + self.written_1h
    }
}

/// The entries of all accounts. Its time is tokio's plus what the test added.
#[derive(Debug)]
pub(super) struct Cache {
    entries: HashMap<Vec<u8>, Entry>,
    started: Instant,
    advanced: Duration,
}

#[derive(Debug)]
struct Entry {
    expires: Duration,
    ttl: Ttl,
}

/// A prompt's blocks, as the cache sees them.
struct Prefixes {
    /// For each block, the hash of the prompt up to and including it.
    hashes: Vec<Vec<u8>>,
    /// For each block, the tokens up to and including it.
    tokens: Vec<u64>,
    /// The blocks with a breakpoint, in order.
    breakpoints: Vec<(usize, Ttl)>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), started: Instant::now(), advanced: Duration::ZERO }
    }

    /// Advances the clock for the cache alone.
    pub(super) fn advance(&mut self, by: Duration) {
        self.advanced += by;
    }

    /// Accounts for a prompt that is about to be answered, and stores its prefixes.
    pub(super) fn account(&mut self, account: &str, model: &Model, body: &Value) -> PromptUsage {
        let prefixes = Prefixes::of(account, model, body);
        let now = self.started.elapsed() + self.advanced;
        self.entries.retain(|_, entry| entry.expires > now);
        let hit = self.longest_hit(&prefixes);
        for position in 0..hit {
            if let Some(entry) = prefixes.hashes.get(position).and_then(|hash| self.entries.get_mut(hash)) {
                entry.expires = now + entry.ttl.duration();
            }
        }
        let mut usage = PromptUsage { read: prefixes.tokens_of(hit), ..PromptUsage::default() };
        let mut covered = hit;
        for &(block, ttl) in &prefixes.breakpoints {
            let length = block + 1;
            let tokens = prefixes.tokens_of(length);
            if length <= covered || tokens < model.cache_tokens_min {
                continue;
            }
            let written = tokens - prefixes.tokens_of(covered);
            match ttl {
                Ttl::FiveMinutes => usage.written_5m += written,
                Ttl::OneHour => usage.written_1h += written,
            }
            covered = length;
            if let Some(hash) = prefixes.hashes.get(block) {
                self.entries.insert(hash.clone(), Entry { expires: now + ttl.duration(), ttl });
            }
        }
        usage.input = prefixes.tokens_of(prefixes.hashes.len()) - prefixes.tokens_of(covered);
        usage
    }

    /// Returns the length, in blocks, of the longest stored prefix within reach of a breakpoint.
    fn longest_hit(&self, prefixes: &Prefixes) -> usize {
        let reach = |block: usize| (block + 1).saturating_sub(LOOKBACK_BLOCKS)..block + 1;
        let positions = prefixes.breakpoints.iter().flat_map(|&(block, _)| reach(block));
        let stored = positions
            .filter(|&position| prefixes.hashes.get(position).is_some_and(|hash| self.entries.contains_key(hash)));
        stored.max().map_or(0, |position| position + 1)
    }
}

impl Prefixes {
    fn of(account: &str, model: &Model, body: &Value) -> Self {
        let all = pieces(body);
        let mut prefixes = Self { hashes: Vec::new(), tokens: Vec::new(), breakpoints: breakpoints(body, &all) };
        let mut hash = Sha256::digest(format!("{account}\n{}\n", model.id)).to_vec();
        let mut tokens = 0;
        let mut section = Section::Tools;
        for piece in &all {
            while section < piece.section {
                section = if section == Section::Tools { Section::System } else { Section::Messages };
                hash = chain(&hash, &invalidators(section, body, &all));
            }
            hash = chain(&hash, &piece.canonical());
            tokens += piece.tokens();
            prefixes.hashes.push(hash.clone());
            prefixes.tokens.push(tokens);
        }
        prefixes
    }

    fn tokens_of(&self, length: usize) -> u64 {
        length.checked_sub(1).and_then(|last| self.tokens.get(last)).copied().unwrap_or(0)
    }
}

/// Estimates a prompt's tokens.
pub(super) fn prompt_tokens(body: &Value) -> u64 {
    pieces(body).iter().map(Piece::tokens).sum()
}

/// Everything besides its blocks that must be unchanged for a section to be read from the cache.
fn invalidators(section: Section, body: &Value, all: &[Piece]) -> String {
    match section {
        Section::Tools => String::new(),
        Section::System => canonical(&json!([body["speed"]])),
        Section::Messages => canonical(&json!([
            body["tool_choice"],
            body["thinking"],
            body["output_config"]["effort"],
            all.iter().any(Piece::is_image),
        ])),
    }
}

fn breakpoints(body: &Value, all: &[Piece]) -> Vec<(usize, Ttl)> {
    let mut found: Vec<(usize, Ttl)> = all
        .iter()
        .enumerate()
        .filter_map(|(index, piece)| Some((index, Ttl::of(&piece.block["cache_control"])?)))
        .collect();
    let last = all.iter().rposition(|piece| !piece.is_thinking());
    if let (Some(ttl), Some(last)) = (Ttl::of(&body["cache_control"]), last)
        && found.last().is_none_or(|&(index, _)| index != last)
    {
        found.push((last, ttl));
    }
    found
}

fn chain(hash: &[u8], text: &str) -> Vec<u8> {
    Sha256::new().chain_update(hash).chain_update(text.as_bytes()).finalize().to_vec()
}
