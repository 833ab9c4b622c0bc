//! Decoding: a sandbox child's work on a file, and the checks of its answer.
//!
//! Only [`decode`] passes a stranger's bytes to a library, and only the child calls it (`src/sandbox`). Checks that
//! need no library come before ([`Claims::kind_of`](super::Claims::kind_of)) and after ([`Decoded::prepared`]), where
//! the child's answer is not trusted either.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    Outcome, PDF_PAGE_TOKENS, PDF_PAGES_MAX, PICTURE_BYTES_MAX, PICTURE_PARTS_MAX, Prepared, TEXT_TOKENS_MAX, Unread,
};
use super::{document, picture};
use crate::core::prompt::FileContent;

/// Most bytes of a decoder's output: the parts of a long picture, or an unlocked PDF.
pub const DECODED_BYTES_MAX: usize = 16 << 20;

/// A file's kind by its own bytes, which selects the decoder. A new kind needs a variant here and an arm in [`decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A PNG.
    Png,
    /// A JPEG.
    Jpeg,
    /// A GIF, of which only the first frame is used.
    Gif,
    /// A WebP, of which only the first frame is used.
    WebP,
    /// A PDF.
    Pdf,
    /// A text in any encoding.
    Text,
}

/// A decoder's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A newly written PNG.
    Png,
    /// A newly written JPEG.
    Jpeg,
    /// A text without hidden characters.
    Text,
    /// JPEGs of a long picture's parts, each after its length (32 bits, little-endian).
    Parts,
    /// A newly written PDF without its lock.
    Pdf,
    /// Nothing new: the PDF is passed on unchanged.
    AsItCame,
}

/// How much of a file is included, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it, unchanged.
    #[default]
    Whole,
    /// A text's beginning and end.
    Ends,
    /// All of a text that has damaged places.
    WholeWithout {
        /// Bytes and characters that were dropped or replaced by U+FFFD.
        odd: u32,
    },
    /// The beginning and end of such a text.
    EndsWithout {
        /// The same count, over the whole text.
        odd: u32,
    },
    /// A picture that was scaled down.
    Smaller {
        /// The original width and height.
        from: (u32, u32),
        /// The new width and height.
        to: (u32, u32),
    },
    /// A long picture in slightly overlapping parts, from the top or from the left.
    Parts {
        /// The original width and height.
        from: (u32, u32),
        /// The number of parts.
        number: u32,
    },
}

/// The decoded form of a readable file.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The kind of content in `bytes`.
    pub made: Made,
    /// Its estimated cost in tokens.
    pub tokens: u32,
    /// How much of it is given.
    pub shown: Extent,
    /// The bytes that the decoder produced.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoded")
            .field("made", &self.made)
            .field("tokens", &self.tokens)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

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
        Kind::Pdf => document::decode_pdf(bytes),
        Kind::Text => document::decode_text(bytes),
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
            Made::Png | Made::Jpeg | Made::Pdf | Made::AsItCame => return Err(Unread::Broken),
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
