//! Decoding: what a child of the sandbox does with a file, and what is made of its answer.
//!
//! Only [`decode`] hands a stranger's bytes to a library, and only the child calls it (`src/sandbox`). What can be told
//! without a library is decided before ([`Claims::kind_of`](super::Claims::kind_of)) and after ([`Decoded::prepared`]),
//! where the child's word is not believed either.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{Outcome, PDF_PAGE_TOKENS, PDF_PAGES_MAX, PICTURE_BYTES_MAX, Prepared, TEXT_TOKENS_MAX, Unread};
use super::{document, picture};
use crate::core::prompt::FileContent;

/// The most bytes that a decoder gives back.
pub const DECODED_BYTES_MAX: usize = 4 << 20;

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
    /// A text in UTF-8.
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
    /// Nothing new: a PDF is given as it came.
    AsItCame,
}

/// A decoder's answer about a file that can be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What it was made into.
    pub made: Made,
    /// What it costs the model, estimated.
    pub tokens: u32,
    /// Whether its end is missing.
    pub cut: bool,
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
            Made::Text => {
                let text = String::from_utf8(self.bytes).map_err(|_| Unread::Broken)?;
                let length = text.len();
                (FileContent::Text { text: text.into() }, length, TEXT_TOKENS_MAX)
            }
            Made::Png | Made::Jpeg | Made::AsItCame => return Err(Unread::Broken),
        };
        if self.tokens > tokens_max {
            return Err(Unread::Broken);
        }
        Ok(Arc::new(Prepared { content, tokens: self.tokens, bytes: bytes as u64, cut: self.cut }))
    }

    fn picture(&self, media_type: &'static str) -> Result<(FileContent, usize, u32), Unread> {
        if self.bytes.len() > PICTURE_BYTES_MAX {
            return Err(Unread::Broken);
        }
        let content = FileContent::Image { media_type, base64: BASE64_STANDARD.encode(&self.bytes).into() };
        Ok((content, self.bytes.len(), picture::TOKENS_MAX))
    }
}
