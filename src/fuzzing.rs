//! Fuzz targets: every place where we take apart somebody else's bytes, each as a function over bytes.
//!
//! A target panics where a promise is broken. It returns the shape of what it found, so that the generator can tell new
//! behaviour from old without instrumented code. `benches/fuzz` generates millions of cases; `cargo test` runs a few
//! thousand and the whole corpus. Nothing in the program calls this module, so the linker drops it.

mod events;
mod files;
mod office;
mod text;
mod wire;

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A function that takes bytes apart, with what the generator needs to feed it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The target's name; also the name of its folder in the corpus.
    pub name: &'static str,
    /// Tokens of its input language, for the mutator to insert.
    pub words: &'static [&'static str],
    /// Runs one case and returns the shape of what it found.
    pub run: fn(&[u8]) -> u64,
}

/// All fuzz targets, in the order in which they run.
pub const TARGETS: [Target; 11] = [
    Target { name: "transactions", words: wire::TRANSACTION_WORDS, run: wire::transaction },
    Target { name: "events", words: events::WORDS, run: events::events },
    Target { name: "bodies", words: text::BODY_WORDS, run: text::body },
    Target { name: "links", words: text::LINK_WORDS, run: text::links },
    Target { name: "sse", words: wire::SSE_WORDS, run: wire::sse },
    Target { name: "mcp", words: wire::MCP_WORDS, run: wire::mcp },
    Target { name: "config", words: files::CONFIG_WORDS, run: files::config },
    Target { name: "media", words: files::MEDIA_WORDS, run: files::media },
    Target { name: "documents", words: office::DOCUMENT_WORDS, run: office::document },
    Target { name: "mails", words: office::MAIL_WORDS, run: office::mail },
    Target { name: "transcripts", words: office::ANSWER_WORDS, run: office::answer },
];

/// Hashes what was found: equal findings give equal shapes.
fn shape(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Returns a number's bit length, so that growth by one does not count as new behaviour.
fn size(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests;
