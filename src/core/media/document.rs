//! PDF and text files.

use lopdf::{DecompressError, Document, Error, LoadOptions};
use memchr::memmem;

use super::{
    DECODED_BYTES_MAX, Decoded, Extent, Made, PDF_PAGE_TOKENS, PDF_PAGES_MAX, TEXT_TOKENS_MAX, Unread, structure, text,
};
use crate::core::tokens;

/// Most bytes that one stream of a locked PDF unpacks to; they cannot be measured before.
const LOCKED_STREAM_BYTES_MAX: usize = 32 << 20;
/// A PDF's signature is within this many of its first bytes.
const MARK_WITHIN_BYTES: usize = 1024;
/// Text that every PDF contains, and a text about PDFs rarely does.
const OBJECT: &[u8] = b" obj";

/// Returns whether it is a PDF, and not a text about one.
pub(super) fn is_pdf(bytes: &[u8]) -> bool {
    let Some(mark) = memmem::find(&bytes[..bytes.len().min(MARK_WITHIN_BYTES)], b"%PDF-") else { return false };
    let begins = bytes[..mark].iter().all(|byte| byte.is_ascii_whitespace() || b"\xef\xbb\xbf\0".contains(byte));
    let has_objects = memmem::find(bytes, OBJECT).is_some();
    if begins { has_objects || !text::is_likely(&bytes[mark..]) } else { has_objects && !text::is_likely(bytes) }
}

/// Counts a PDF's pages by its own count; the bytes are passed on unchanged.
///
/// Reads only the page tree's root, because loading the whole file would unpack whatever a hostile one packed. A file
/// that lies about its pages is refused by the API, or costs what its bytes allow.
pub(super) fn decode_pdf(bytes: &[u8]) -> Result<Decoded, Unread> {
    structure::check(bytes)?;
    let pages = match Document::load_metadata_mem(bytes) {
        Ok(known) if known.encrypted => return decode_locked_pdf(bytes),
        Ok(known) => known.page_count,
        Err(Error::Decompress(
            DecompressError::MemoryLimitExceeded { .. } | DecompressError::TooManyFilters { .. },
        )) => return Err(Unread::TooLargeUnpacked),
        // The error for an unknown encryption depends on how far the reader came.
        Err(_) if memmem::find(bytes, b"/Encrypt").is_some() => return Err(Unread::Encrypted),
        Err(_) => return Err(Unread::Broken),
    };
    let tokens = pages_tokens(pages)?;
    Ok(Decoded { made: Made::AsItCame, tokens, shown: Extent::Whole, bytes: Vec::new() })
}

fn pages_tokens(pages: u32) -> Result<u32, Unread> {
    match pages {
        0 => Err(Unread::Broken),
        pages if pages > PDF_PAGES_MAX => Err(Unread::TooLong),
        pages => Ok(pages * PDF_PAGE_TOKENS),
    }
}

/// Opens a PDF that everybody may read and only its owner may change, and writes it anew without the lock. A PDF that
/// needs a password to be read stays closed.
fn decode_locked_pdf(bytes: &[u8]) -> Result<Decoded, Unread> {
    let options = LoadOptions { max_decompressed_size: Some(LOCKED_STREAM_BYTES_MAX), ..LoadOptions::default() };
    let mut document = match Document::load_mem_with_options(bytes, options) {
        Ok(document) if document.is_encrypted() => return Err(Unread::Encrypted),
        Ok(document) => document,
        Err(Error::Decompress(DecompressError::MemoryLimitExceeded { .. })) => return Err(Unread::TooLargeUnpacked),
        Err(_) => return Err(Unread::Encrypted),
    };
    let tokens = pages_tokens(u32::try_from(document.get_pages().len()).unwrap_or(u32::MAX))?;
    let mut written = Vec::new();
    document.save_to(&mut written).map_err(|_| Unread::Broken)?;
    if written.len() > DECODED_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    Ok(Decoded { made: Made::Pdf, tokens, shown: Extent::Whole, bytes: written })
}

/// Decodes a text, or the beginning and end of one, between which so many bytes are `absent`.
pub(super) fn decode_text(bytes: &[u8], absent: Option<u64>) -> Result<Decoded, Unread> {
    let text::Read { text, odd, read_as, is_mixed } = text::read(bytes).ok_or(Unread::Unsupported)?;
    if text.trim().is_empty() {
        return Err(Unread::Empty);
    }
    let kept = match absent {
        Some(absent) => tokens::ends_around(&text, absent, TEXT_TOKENS_MAX).into(),
        None => tokens::ends(&text, TEXT_TOKENS_MAX),
    };
    let ends = absent.is_some() || kept.len() != text.len();
    let is_plain = !ends && odd == 0 && read_as.is_none();
    let shown = if is_plain { Extent::Whole } else { Extent::Text { ends, odd, read_as, is_mixed } };
    Ok(Decoded { made: Made::Text, tokens: tokens::estimate(&kept), shown, bytes: kept.into_owned().into_bytes() })
}
