//! Decoding: what a child of the sandbox does with a file, and what is made of its answer.
//!
//! Only [`decode`] hands a stranger's bytes to a library, and only the child calls it (`src/sandbox`). What can be told
//! without a library is decided before ([`Claims::kind_of`](super::Claims::kind_of)) and after ([`Decoded::prepared`]),
//! where the child's word is not believed either.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    Outcome, PDF_PAGE_TOKENS, PDF_PAGES_MAX, PICTURE_BYTES_MAX, PICTURE_PARTS_MAX, Prepared, TEXT_TOKENS_MAX, Unread,
};
use super::{document, picture};
use crate::core::prompt::FileContent;

/// The most bytes that a decoder gives back: the parts of a long picture, or a PDF without its lock.
pub const DECODED_BYTES_MAX: usize = 16 << 20;

/// What a file is by its own bytes: which decoder takes it. A new kind is a variant here and an arm in [`decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A PNG.
    Png,
    /// A JPEG.
    Jpeg,
    /// A GIF, of which the first frame is seen.
    Gif,
    /// A WebP, of which the first frame is seen.
    WebP,
    /// A PDF.
    Pdf,
    /// A text, in whatever encoding.
    Text,
}

/// What a decoder made of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A PNG, written anew.
    Png,
    /// A JPEG, written anew.
    Jpeg,
    /// A text without what hides in it.
    Text,
    /// JPEGs, the parts of a long picture, each behind its length (32 bits, little end first).
    Parts,
    /// A PDF, written anew without its lock.
    Pdf,
    /// Nothing new: a PDF is given as it came.
    AsItCame,
}

/// How much of a file is given, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it, as it is.
    #[default]
    Whole,
    /// A text's beginning and end.
    Ends,
    /// All of a text that is none in places.
    WholeWithout {
        /// Bytes and characters that are left out or stand as U+FFFD.
        odd: u32,
    },
    /// Beginning and end of such a text.
    EndsWithout {
        /// The same, in all of it.
        odd: u32,
    },
    /// A picture, made smaller: width and height as it was sent, and as it is given.
    Smaller {
        /// As it was sent.
        from: (u32, u32),
        /// As it is given.
        to: (u32, u32),
    },
    /// A long picture in parts that overlap a little, from the top, or from the left.
    Parts {
        /// Width and height as it was sent.
        from: (u32, u32),
        /// How many.
        number: u32,
    },
}

/// A decoder's answer about a file that can be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What it was made into.
    pub made: Made,
    /// What it costs the model, estimated.
    pub tokens: u32,
    /// How much of it is given.
    pub shown: Extent,
    /// The bytes of what was made.
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

/// Decodes a file; the same bytes give the same result. A hostile file may take all the memory and time there is, or
/// panic: call it where that costs nothing else.
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
    /// Makes the answer ready for the model, given the file as it came.
    ///
    /// # Errors
    /// [`Unread::Broken`] where the answer is not what a decoder of ours gives.
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
