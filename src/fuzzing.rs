//! What is fuzzed: each place where bytes of somebody else's are taken apart, as a function over bytes.
//!
//! A target panics where a promise is broken. It returns the shape of what it found, so that whoever makes the cases
//! can tell new behaviour from old without instrumented code. `benches/fuzz` makes millions of cases; `cargo test` a few
//! thousand, and everything in the corpus. Nothing of the program calls this module, so the program does not hold it.

mod events;
mod files;
mod text;
mod wire;

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A place where bytes are taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and its folder in the corpus.
    pub name: &'static str,
    /// Words that mean something to it.
    pub words: &'static [&'static str],
    /// Takes one case apart and returns the shape of what was found.
    pub run: fn(&[u8]) -> u64,
}

/// Every target.
pub const TARGETS: [Target; 8] = [
    Target { name: "transactions", words: wire::TRANSACTION_WORDS, run: wire::transaction },
    Target { name: "events", words: events::WORDS, run: events::events },
    Target { name: "bodies", words: text::BODY_WORDS, run: text::body },
    Target { name: "links", words: text::LINK_WORDS, run: text::links },
    Target { name: "sse", words: wire::SSE_WORDS, run: wire::sse },
    Target { name: "mcp", words: wire::MCP_WORDS, run: wire::mcp },
    Target { name: "config", words: files::CONFIG_WORDS, run: files::config },
    Target { name: "media", words: files::MEDIA_WORDS, run: files::media },
];

/// Returns a number for what was found; the same for the same.
fn shape(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Returns how large a number is, roughly: what grows is not new behaviour at every step.
fn size(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests;
