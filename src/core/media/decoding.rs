//! Decoding: a sandbox child's work on a file, and the checks of its answer.
//!
//! Only [`decode`] passes a stranger's bytes to a library, and only the child calls it (`src/sandbox`). Checks that
//! need no library come before ([`Claims::kind_of`](super::Claims::kind_of)) and after ([`Decoded::prepared`]), where
//! the child's answer is not trusted either.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Outcome, PDF_PAGE_TOKENS, PDF_PAGES_MAX, PICTURE_BYTES_MAX, PICTURE_PARTS_MAX, Prepared, TEXT_TOKENS_MAX, Unread,
};
use super::{
    calendar,
    decoded::{Decoded, Kind, Made},
    document, mail, office, picture, preview,
};
use crate::core::prompt::FileContent;

/// Decodes a file; equal bytes give equal results. A hostile file may use all memory and time, or panic: call it where
/// that costs nothing else.
///
/// # Errors
/// Why it cannot be read.
pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Decoded, Unread> {
    match kind {
        Kind::Png => picture::decode(bytes, image::ImageFormat::Png),
        Kind::Jpeg => picture::decode(bytes, image::ImageFormat::Jpeg),
        Kind::Gif => picture::decode(bytes, image::ImageFormat::Gif),
        Kind::WebP => picture::decode(bytes, image::ImageFormat::WebP),
        Kind::Preview => preview::decode(bytes),
        Kind::Pdf => document::decode_pdf(bytes),
        Kind::Office => office::decode(bytes),
        // What turns out to be none is still a text.
        Kind::Mail => mail::decode(bytes).or_else(|_| document::decode_text(bytes, None)),
        Kind::Calendar => calendar::decode(bytes).or_else(|_| document::decode_text(bytes, None)),
        Kind::Text => document::decode_text(bytes, None),
        Kind::Ends { absent } => document::decode_text(bytes, Some(absent)),
    }
}

impl Decoded {
    /// Checks the output and prepares it for the model, given the original file.
    ///
    /// # Errors
    /// [`Unread::Broken`] if none of our decoders makes such output.
    pub fn prepared(self, original: &[u8]) -> Outcome {
        let (content, bytes, tokens_max) = match self.made {
            Made::Png if self.bytes.starts_with(b"\x89PNG\r\n\x1a\n") => self.picture("image/png")?,
            Made::Jpeg if self.bytes.starts_with(b"\xff\xd8\xff") => self.picture("image/jpeg")?,
            Made::AsItCame if document::is_pdf(original) => {
                let base64 = BASE64_STANDARD.encode(original).into();
                (FileContent::Pdf { base64 }, original.len(), PDF_PAGES_MAX * PDF_PAGE_TOKENS)
            }
            Made::Pdf if self.bytes.starts_with(b"%PDF-") => {
                let base64 = BASE64_STANDARD.encode(&self.bytes).into();
                (FileContent::Pdf { base64 }, self.bytes.len(), PDF_PAGES_MAX * PDF_PAGE_TOKENS)
            }
            Made::Parts => self.parts()?,
            Made::Text => {
                let text = String::from_utf8(self.bytes).map_err(|_| Unread::Broken)?;
                let length = text.len();
                (FileContent::Text { text: text.into() }, length, TEXT_TOKENS_MAX)
            }
            Made::Png | Made::Jpeg | Made::Pdf | Made::AsItCame | Made::Preview => return Err(Unread::Broken),
        };
        if self.tokens > tokens_max {
            return Err(Unread::Broken);
        }
        Ok(Arc::new(Prepared { content, tokens: self.tokens, bytes: bytes as u64, shown: self.shown }))
    }

    fn parts(&self) -> Result<(FileContent, usize, u32), Unread> {
        let (mut parts, mut rest, mut bytes): (Vec<Arc<str>>, _, _) = (Vec::new(), &*self.bytes, 0);
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Unread::Broken)?;
            let (part, behind) = behind.split_at_checked(length).ok_or(Unread::Broken)?;
            if length > PICTURE_BYTES_MAX || !part.starts_with(b"\xff\xd8\xff") {
                return Err(Unread::Broken);
            }
            parts.push(BASE64_STANDARD.encode(part).into());
            bytes += length;
            rest = behind;
        }
        let number = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        if !rest.is_empty() || number == 0 || number > PICTURE_PARTS_MAX {
            return Err(Unread::Broken);
        }
        let content = FileContent::Pictures { media_type: "image/jpeg", base64: parts.into() };
        Ok((content, bytes, number * picture::TOKENS_MAX))
    }

    fn picture(&self, media_type: &'static str) -> Result<(FileContent, usize, u32), Unread> {
        if self.bytes.len() > PICTURE_BYTES_MAX {
            return Err(Unread::Broken);
        }
        let content = FileContent::Image { media_type, base64: BASE64_STANDARD.encode(&self.bytes).into() };
        Ok((content, self.bytes.len(), picture::TOKENS_MAX))
    }
}
