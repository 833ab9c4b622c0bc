//! PDF and text files.

use lopdf::{DecompressError, Document, Error};

use super::{Decoded, Made, PDF_PAGE_TOKENS, PDF_PAGES_MAX, TEXT_TOKENS_MAX, Unread, is_invisible, structure};
use crate::core::context;

/// A PDF's mark stands within this many of its first bytes.
const MARK_WITHIN_BYTES: usize = 1024;

pub(super) fn is_pdf(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(MARK_WITHIN_BYTES)].windows(5).any(|window| window == b"%PDF-")
}

/// Whether it is UTF-8 without what no text holds.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    !text.trim().is_empty() && !text.chars().any(|letter| matches!(letter, '\0'..='\u{8}' | '\u{e}'..='\u{1a}'))
}

/// Counts the pages, as the file itself counts them; the bytes are given as they are.
///
/// Only the page tree's root is read: loading the whole would unpack whatever a hostile file packed. A file that lies
/// about its pages is refused by the API, or costs what its bytes allow.
pub(super) fn decode_pdf(bytes: &[u8]) -> Result<Decoded, Unread> {
    structure::check(bytes)?;
    let pages = match Document::load_metadata_mem(bytes) {
        Ok(known) if known.encrypted => return Err(Unread::Encrypted),
        Ok(known) => known.page_count,
        Err(Error::Decompress(
            DecompressError::MemoryLimitExceeded { .. } | DecompressError::TooManyFilters { .. },
        )) => return Err(Unread::TooLargeUnpacked),
        // Which error an unknown kind of encryption ends in depends on how far the reader came.
        Err(_) if memchr::memmem::find(bytes, b"/Encrypt").is_some() => return Err(Unread::Encrypted),
        Err(_) => return Err(Unread::Broken),
    };
    match pages {
        0 => Err(Unread::Broken),
        pages if pages > PDF_PAGES_MAX => Err(Unread::TooLong),
        pages => Ok(Decoded { made: Made::AsItCame, tokens: pages * PDF_PAGE_TOKENS, cut: false, bytes: Vec::new() }),
    }
}

pub(super) fn decode_text(bytes: &[u8]) -> Result<Decoded, Unread> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unread::Broken)?;
    let kept = context::first_tokens(text, TEXT_TOKENS_MAX);
    let cut = kept.len() < text.len();
    let shown: String = kept.chars().filter(|letter| matches!(letter, '\n' | '\t') || !is_invisible(*letter)).collect();
    if shown.trim().is_empty() {
        return Err(Unread::Broken);
    }
    Ok(Decoded { made: Made::Text, tokens: context::estimate(&shown), cut, bytes: shown.into_bytes() })
}
