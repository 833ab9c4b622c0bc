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
    /// An office file, or another archive.
    Office,
    /// An e-mail message.
    Mail,
    /// A calendar file.
    Calendar,
    /// A text in any encoding.
    Text,
    /// A picture of ours that is to be posted, of which the preview is made.
    Preview,
    /// The beginning and end of a very long text.
    Ends {
        /// The bytes between them.
        absent: u64,
    },
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
    /// A picture's preview.
    Preview,
    /// Nothing new: the PDF is passed on unchanged.
    AsItCame,
}

/// The name of a text's encoding, as a place in [`Self::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charset(u8);

impl Charset {
    /// The names of the encodings that are guessed (WHATWG's, and of those that it does not have the usual ones).
    pub const NAMES: [&str; 42] = [
        "IBM866",
        "ISO-8859-2",
        "ISO-8859-3",
        "ISO-8859-4",
        "ISO-8859-5",
        "ISO-8859-6",
        "ISO-8859-7",
        "ISO-8859-8",
        "ISO-8859-8-I",
        "ISO-8859-10",
        "ISO-8859-13",
        "ISO-8859-14",
        "ISO-8859-15",
        "ISO-8859-16",
        "KOI8-R",
        "KOI8-U",
        "macintosh",
        "windows-874",
        "windows-1250",
        "windows-1251",
        "windows-1252",
        "windows-1253",
        "windows-1254",
        "windows-1255",
        "windows-1256",
        "windows-1257",
        "windows-1258",
        "x-mac-cyrillic",
        "GBK",
        "gb18030",
        "Big5",
        "EUC-JP",
        "ISO-2022-JP",
        "Shift_JIS",
        "EUC-KR",
        "UTF-16BE",
        "UTF-16LE",
        "UTF-32BE",
        "UTF-32LE",
        "ISO-2022-KR",
        "ISO-2022-CN",
        "IBM850",
    ];
    /// Returns the encoding of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        u8::try_from(at).ok().map(Self)
    }

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or("an unknown encoding")
    }
}

/// What a document was whose text is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A text document.
    Document,
    /// A presentation or drawing.
    Slides,
    /// A workbook.
    Workbook,
    /// An e-mail message.
    Mail,
    /// A calendar file.
    Calendar,
}

/// How much of a file is included, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it, unchanged.
    #[default]
    Whole,
    /// A text that was cut, is damaged, or whose encoding was guessed.
    Text {
        /// Whether only its beginning and end are given.
        ends: bool,
        /// Bytes and characters of the whole text that were dropped or replaced by U+FFFD.
        odd: u32,
        /// The encoding that was guessed.
        read_as: Option<Charset>,
        /// Whether only some lines are in that encoding, and the others in UTF-8.
        is_mixed: bool,
    },
    /// The text of a document, without its looks and pictures.
    Document {
        /// What it was.
        form: Form,
        /// Whether only its beginning and end are given.
        ends: bool,
    },
    /// What was said in a recording, as a recogniser wrote it down. It stands in the record itself.
    Transcript,
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
