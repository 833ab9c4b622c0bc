//! PDF and text files.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lopdf::Document;

use super::{PDF_PAGE_TOKENS, PDF_PAGES_MAX, Prepared, TEXT_TOKENS_MAX, Unread, is_invisible};
use crate::core::{context, prompt::FileContent};

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
pub(super) fn prepare_pdf(bytes: &[u8]) -> Result<Prepared, Unread> {
    let pages = match Document::load_metadata_mem(bytes) {
        Ok(known) if known.encrypted => return Err(Unread::Encrypted),
        Ok(known) => known.page_count,
        // Which error an unknown kind of encryption ends in depends on how far the reader came.
        Err(_) if bytes.windows(8).any(|window| window == b"/Encrypt") => return Err(Unread::Encrypted),
        Err(_) => return Err(Unread::Broken),
    };
    match pages {
        0 => return Err(Unread::Broken),
        pages if pages > PDF_PAGES_MAX => return Err(Unread::TooLong),
        _ => {}
    }
    Ok(Prepared {
        content: FileContent::Pdf { base64: BASE64_STANDARD.encode(bytes).into() },
        tokens: pages * PDF_PAGE_TOKENS,
        bytes: bytes.len() as u64,
        cut: false,
    })
}

pub(super) fn prepare_text(bytes: &[u8]) -> Result<Prepared, Unread> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unread::Broken)?;
    let kept = context::first_tokens(text, TEXT_TOKENS_MAX);
    let cut = kept.len() < text.len();
    let shown: String = kept.chars().filter(|letter| matches!(letter, '\n' | '\t') || !is_invisible(*letter)).collect();
    if shown.trim().is_empty() {
        return Err(Unread::Broken);
    }
    Ok(Prepared {
        tokens: context::estimate(&shown),
        bytes: shown.len() as u64,
        content: FileContent::Text { text: shown.into() },
        cut,
    })
}
