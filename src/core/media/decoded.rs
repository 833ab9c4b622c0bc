//! What decoders make of a file.

use serde::{Deserialize, Serialize};

/// Most bytes of a decoder's output: the parts of a long picture, or an unlocked PDF.
pub const DECODED_BYTES_MAX: usize = 16 << 20;

/// A file's kind by its own bytes, which selects the decoder. A new kind needs a variant here and an arm in `decode`.
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
