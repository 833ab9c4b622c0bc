//! Files as model input: which are looked at, what each becomes, and why one is not given.
//!
//! Nothing that a sender claims is trusted: claims only save downloads. What a file is, its bytes say
//! ([`Claims::kind_of`]); what it is given as is made anew from them, so that metadata stays behind. Strangers' bytes
//! meet a library only in [`decode`], which runs in a child process (`src/sandbox`).
//!
//! # Limits and their order
//! The text of a transcript keeps its whole budget; files come on top of it, each counted by what it costs the model
//! ([`Prepared::tokens`]). Files are taken in the order of their messages, oldest first. Where one more would exceed a
//! limit, the oldest go until a quarter is free ([`choice`]): so the same files stand at the same places turn after
//! turn, and the provider's cache holds. In a thread the room's files in front of it are older, so they go first.
//! The file of the message that the request replies to is given beside the request where it was left out otherwise.

mod choice;
mod decoding;
mod document;
mod picture;
mod structure;
mod text;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    event::{MediaSource, MessageKind, STICKER},
    prompt::FileContent,
};

pub use self::{
    choice::{TOKENS_MAX, Totals, Weight, choose},
    decoding::{DECODED_BYTES_MAX, Decoded, Extent, Kind, Made, decode},
};

/// All files of one prompt together, in bytes as they are given: in base64 they fit the API's 32 MB.
pub const TOTAL_BYTES_MAX: u64 = 20 << 20;
/// The longest edge of a picture, in pixels; larger ones are made smaller.
pub const EDGE_PIXELS_MAX: u32 = 1568;
/// Pixels of a picture as it was sent; a larger one is not decoded.
pub const DECODED_PIXELS_MAX: u64 = 50_000_000;
/// The longest edge of a picture as it was sent; making a very long one smaller takes memory for every column.
pub const DECODED_EDGE_MAX: u32 = 32_768;
/// What decoding a picture may allocate, in bytes.
pub const DECODE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a picture as it is given: 5 MB in base64.
pub const PICTURE_BYTES_MAX: usize = 3_750_000;
/// Pages of a PDF.
pub const PDF_PAGES_MAX: u32 = 100;
/// What a page of a PDF is counted as, in tokens.
pub const PDF_PAGE_TOKENS: u32 = 2_000;
/// Parts of a picture that is too long to be read in one piece.
pub const PICTURE_PARTS_MAX: u32 = 8;
/// Tokens of a text file; of a longer one its beginning and its end are given.
pub const TEXT_TOKENS_MAX: u32 = 20_000;

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files in one prompt.
    pub files_max: usize,
    /// One file as it was sent, in bytes.
    pub file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files_max: 10, file_bytes_max: 10 << 20 }
    }
}

/// Why a file is not given to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unread {
    /// A voice message.
    Voice,
    /// Music and other sound.
    Audio,
    /// A video.
    Video,
    /// No kind that can be read.
    Unsupported,
    /// More bytes or pixels than allowed.
    TooLarge,
    /// Small as it came, and more than allowed once unpacked.
    TooLargeUnpacked,
    /// Decoding it took longer than allowed.
    TookTooLong,
    /// More pages or tokens than allowed.
    TooLong,
    /// A PDF that needs a password.
    Encrypted,
    /// Not what it claims to be, or damaged.
    Broken,
    /// Nothing in it, or nothing but blanks.
    Empty,
    /// No file: a message whose words cannot be read.
    NoWords,
    /// It could not be fetched or decrypted.
    Unavailable,
    /// Newer files took its place.
    LeftOut,
}

impl Unread {
    /// Returns the word for the model; `prompts/records.md` explains them.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Voice => "voice_message",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Unsupported => "unsupported_kind",
            Self::TooLarge => "too_large",
            Self::TooLargeUnpacked => "too_large_unpacked",
            Self::TookTooLong => "took_too_long",
            Self::TooLong => "too_long",
            Self::Encrypted => "password_protected",
            Self::Broken => "broken",
            Self::Empty => "empty",
            Self::NoWords => "no_words",
            Self::Unavailable => "unavailable",
            Self::LeftOut => "left_out",
        }
    }
}

/// What a sender says of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claims {
    msgtype: String,
    name: String,
    mime: Option<String>,
    size: Option<u64>,
    voice: bool,
    /// Where it is.
    pub media: Option<MediaSource>,
}

/// A file made ready for the model.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What the model gets.
    pub content: FileContent,
    /// What it costs, estimated.
    pub tokens: u32,
    /// Its bytes as they are given, before base64.
    pub bytes: u64,
    /// How much of it is given.
    pub shown: Extent,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("tokens", &self.tokens).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// How a file of the transcript ended: ready, or why not.
pub type Outcome = Result<Arc<Prepared>, Unread>;

/// Names' last parts and media types that together say that a file is nothing that can be read; one alone says nothing,
/// because names are given by people and types by tables that differ.
const UNREADABLE_EXTENSIONS: &str = "\
    zip gz tgz bz2 xz zst 7z rar jar apk dmg iso exe msi dll so bin doc docx xls xlsx ppt pptx odt ods odp epub psd \
    sqlite db ttf otf woff woff2 mp3 m4a aac ogg oga opus flac wav wma mp4 m4v mkv mov avi webm mpg mpeg";
const UNREADABLE_TYPES: [&str; 8] = [
    "application/zip",
    "application/gzip",
    "application/x-",
    "application/vnd.",
    "application/java",
    "font/",
    "audio/",
    "video/",
];
const PICTURE_TYPES: &[&str] = &["image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp"];
const PICTURE_EXTENSIONS: &[&str] = &["png", "jpg", "jpeg", "gif", "webp"];

impl Claims {
    /// Returns what a message claims, where it is a file.
    #[must_use]
    pub fn of(kind: &MessageKind) -> Option<Self> {
        let MessageKind::Attachment { msgtype, name, mime, size, voice, media } = kind else { return None };
        // Parameters such as `; charset=utf-8` say nothing that is believed.
        let mime = mime.as_deref().and_then(|mime| mime.split(';').next()).map(|mime| mime.trim().to_ascii_lowercase());
        Some(Self {
            msgtype: msgtype.clone(),
            name: name.clone(),
            mime: mime.filter(|mime| !mime.is_empty()),
            size: *size,
            voice: *voice,
            media: media.clone(),
        })
    }

    /// Returns whether it is a sticker's picture.
    #[must_use]
    pub fn is_sticker(&self) -> bool {
        self.msgtype == STICKER
    }

    /// Returns why a file is not worth a download.
    ///
    /// # Errors
    /// The reason, where the claims alone tell it.
    pub fn worth_fetching(&self, limits: &Limits) -> Result<&MediaSource, Unread> {
        if self.voice {
            return Err(Unread::Voice);
        }
        match self.msgtype.as_str() {
            "m.audio" => return Err(Unread::Audio),
            "m.video" => return Err(Unread::Video),
            _ if self.is_surely_unreadable() => return Err(self.unreadable_kind()),
            _ => {}
        }
        if self.size.is_some_and(|size| size > limits.file_bytes_max) {
            return Err(Unread::TooLarge);
        }
        self.media.as_ref().ok_or(Unread::Unavailable)
    }

    /// Returns how many bytes it will be given as, by what is claimed; pictures are made small.
    #[must_use]
    pub fn claimed_bytes(&self, limits: &Limits) -> u64 {
        if matches!(self.msgtype.as_str(), "m.image" | STICKER) || self.may_be_picture() {
            return 0;
        }
        self.size.unwrap_or_default().min(limits.file_bytes_max)
    }

    /// Returns a name that is fit for a document's title: one line, not long, nothing invisible.
    #[must_use]
    pub fn title(&self) -> String {
        const CHARS_MAX: usize = 200;
        let cleaned: String = self.name.chars().filter(|letter| !is_invisible(*letter)).take(CHARS_MAX).collect();
        let cleaned = cleaned.trim();
        if cleaned.is_empty() { "file".to_owned() } else { cleaned.to_owned() }
    }

    fn extension(&self) -> Option<String> {
        let (stem, extension) = self.name.rsplit_once('.')?;
        (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
    }

    fn has_type(&self, types: &[&str]) -> bool {
        self.mime.as_deref().is_some_and(|mime| types.contains(&mime))
    }

    fn ends_in(&self, mut extensions: impl Iterator<Item = &'static str>) -> bool {
        self.extension().is_some_and(|extension| extensions.any(|known| known == extension))
    }

    fn may_be_picture(&self) -> bool {
        self.has_type(PICTURE_TYPES) || self.ends_in(PICTURE_EXTENSIONS.iter().copied())
    }

    fn may_be_pdf(&self) -> bool {
        self.has_type(&["application/pdf", "application/x-pdf"]) || self.ends_in(["pdf"].into_iter())
    }

    /// Whether name and media type agree that it is nothing that can be read.
    fn is_surely_unreadable(&self) -> bool {
        let mime = self.mime.as_deref().unwrap_or_default();
        let says_so = UNREADABLE_TYPES.iter().any(|known| mime.starts_with(known));
        says_so && self.ends_in(UNREADABLE_EXTENSIONS.split_ascii_whitespace())
    }

    /// Why a file is not read that is none of the kinds that are.
    fn unreadable_kind(&self) -> Unread {
        match self.mime.as_deref().unwrap_or_default() {
            mime if mime.starts_with("audio/") => Unread::Audio,
            mime if mime.starts_with("video/") => Unread::Video,
            _ => Unread::Unsupported,
        }
    }

    /// Returns what a file is, by its bytes alone: its decoder. Claims only help to say why there is none.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn kind_of(&self, bytes: &[u8]) -> Result<Kind, Unread> {
        // Other formats of pictures have short marks (`BM`, `P1`) that may be the beginning of a text.
        let kind = match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Kind::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Kind::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Kind::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::WebP),
            _ if document::is_pdf(bytes) => Some(Kind::Pdf),
            _ => None,
        };
        if let Some(kind) = kind {
            return Ok(kind);
        }
        if text::is_likely(bytes) {
            return Ok(Kind::Text);
        }
        if text::is_empty(bytes) {
            return Err(Unread::Empty);
        }
        let claimed = self.may_be_picture() || self.may_be_pdf() || self.says_text();
        Err(if claimed { Unread::Broken } else { self.unreadable_kind() })
    }

    fn says_text(&self) -> bool {
        self.mime.as_deref().is_some_and(|mime| mime.starts_with("text/")) || self.ends_in(["txt"].into_iter())
    }
}

/// Whether a character could hide something, or reorder what stands beside it.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
