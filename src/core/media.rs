//! Files as model input: which are read, what each becomes, and why some are not included.
//!
//! Nothing that a sender claims is trusted; claims only save downloads. A file's bytes determine what it is
//! ([`Claims::kind_of`]), and what the model gets is generated anew from them, without metadata. Strangers' bytes reach
//! a library only in [`decode`], which runs in a child process (`src/sandbox`).
//!
//! # Limits and their order
//! A transcript's text keeps its whole budget. Files come on top, each counted by its cost to the model
//! ([`Prepared::tokens`]). They are added in message order, oldest first. If a further one would exceed a limit, the
//! oldest are dropped until a quarter is free ([`choice`]), so that the same files stay in the same places turn after
//! turn, and the provider's cache hits. In a thread, the room's files before it are older and are dropped first. The
//! file of the message that the request replies to is included beside the request if it was dropped.

mod calendar;
mod choice;
mod decoded;
mod decoding;
mod document;
mod ends;
mod mail;
mod office;
mod other_picture;
mod picture;
mod preview;
mod script;
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
    decoded::{Charset, DECODED_BYTES_MAX, Decoded, Extent, Form, Kind, Made},
    decoding::decode,
    ends::{ENDS_BYTES, joined},
    preview::{Preview, Thumbnail},
};

/// Most bytes of all files in a prompt, as sent to the model; in base64 they fit the API's 32 MB.
pub const TOTAL_BYTES_MAX: u64 = 20 << 20;
/// The longest edge of a picture in pixels; larger ones are scaled down.
pub const EDGE_PIXELS_MAX: u32 = 1568;
/// Most pixels of a picture as received; a larger one is not decoded.
pub const DECODED_PIXELS_MAX: u64 = 50_000_000;
/// The longest edge of a picture as received; scaling down takes memory for every column.
pub const DECODED_EDGE_MAX: u32 = 32_768;
/// Most bytes that decoding a picture may allocate.
pub const DECODE_BYTES_MAX: u64 = 256 << 20;
/// Most bytes of a picture for the model: 5 MB in base64.
pub const PICTURE_BYTES_MAX: usize = 3_750_000;
/// Most pages of a PDF.
pub const PDF_PAGES_MAX: u32 = 100;
/// Tokens counted for a PDF page.
pub const PDF_PAGE_TOKENS: u32 = 2_000;
/// Most parts of a long picture.
pub const PICTURE_PARTS_MAX: u32 = 8;
/// Most tokens of a text file; of a longer one the beginning and end are included.
pub const TEXT_TOKENS_MAX: u32 = 20_000;

/// Bytes that a long text file is expected to leave for the model.
const TEXT_BYTES_EXPECTED: u64 = 128 << 10;

/// Returns whether the bytes with which a file begins are a text's.
#[must_use]
pub fn is_text(beginning: &[u8]) -> bool {
    signature(beginning).is_none() && text::is_likely(beginning)
}

/// Returns the kind of a picture, PDF or office file by its signature.
fn signature(bytes: &[u8]) -> Option<Kind> {
    // Other picture formats have short signatures (`BM`, `P1`) that may also begin a text.
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Kind::Png),
        [0xff, 0xd8, 0xff, ..] => Some(Kind::Jpeg),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Kind::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::WebP),
        _ if office::may_be(bytes) => Some(Kind::Office),
        _ if document::is_pdf(bytes) => Some(Kind::Pdf),
        _ => None,
    }
}

/// The operator's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most files in a prompt.
    pub files_max: usize,
    /// Most bytes of a file as received.
    pub file_bytes_max: u64,
    /// Whether a recogniser hears voice messages and other recordings (C25).
    pub hears: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files_max: 10, file_bytes_max: 10 << 20, hears: false }
    }
}

/// Why a file is not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unread {
    /// It is a voice message, and there is no recogniser.
    Voice,
    /// It is music or other sound.
    Audio,
    /// It is a video.
    Video,
    /// Its kind is not supported.
    Unsupported,
    /// It is a picture of a kind that is not decoded here.
    PictureFormat,
    /// It is packed (gzip, 7-Zip and others).
    Packed,
    /// It has too many bytes or pixels.
    TooLarge,
    /// It is small, but too large when unpacked.
    TooLargeUnpacked,
    /// Decoding it took too long.
    TookTooLong,
    /// It has too many pages or tokens.
    TooLong,
    /// It needs a password.
    Encrypted,
    /// It is damaged, or not what it claims to be.
    Broken,
    /// It is empty or blank.
    Empty,
    /// It is not a file, but a message with unreadable text.
    NoWords,
    /// It could not be fetched or decrypted.
    Unavailable,
    /// The recogniser could not be used, or refused the recording.
    Unheard,
    /// It is a recording that nobody asks about, and it takes longer to hear than a question waits.
    NotHeardYet,
    /// It is a recording in which nobody speaks.
    Silence,
    /// It is a recording that lasts too long.
    TooLongToHear,
    /// Newer files took its place.
    LeftOut,
}

impl Unread {
    /// Returns the word for the model, which `prompts/records.md` explains.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Voice => "voice_message",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Unsupported => "unsupported_kind",
            Self::PictureFormat => "picture_format",
            Self::Packed => "packed",
            Self::TooLarge => "too_large",
            Self::TooLargeUnpacked => "too_large_unpacked",
            Self::TookTooLong => "took_too_long",
            Self::TooLong => "too_long",
            Self::Encrypted => "password_protected",
            Self::Broken => "broken",
            Self::Empty => "empty",
            Self::NoWords => "no_words",
            Self::Unavailable => "unavailable",
            Self::Unheard => "not_heard",
            Self::NotHeardYet => "not_heard_yet",
            Self::Silence => "nobody_speaks",
            Self::TooLongToHear => "too_long_to_hear",
            Self::LeftOut => "left_out",
        }
    }

    /// Returns whether code may open what the model cannot be shown. Nobody's speech: code doesn't hear it, and whoever
    /// spoke is told.
    #[must_use]
    pub(crate) fn may_be_opened_by_code(self) -> bool {
        !matches!(
            self,
            Self::NoWords | Self::Unheard | Self::NotHeardYet | Self::Silence | Self::TooLongToHear | Self::Voice
        )
    }
}

/// A sender's claims about a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claims {
    msgtype: String,
    name: String,
    mime: Option<String>,
    size: Option<u64>,
    voice: bool,
    /// Where the file is.
    pub media: Option<MediaSource>,
}

/// A file prepared for the model.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What the model gets.
    pub content: FileContent,
    /// Its estimated cost in tokens.
    pub tokens: u32,
    /// Its bytes before base64.
    pub bytes: u64,
    /// How much of the file it contains.
    pub shown: Extent,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("tokens", &self.tokens).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A file's outcome: prepared, or why not.
pub type Outcome = Result<Arc<Prepared>, Unread>;

/// File name extensions and media types that together mean an unreadable file. One of them alone proves nothing,
/// because people choose names, and systems map types differently.
const UNREADABLE_EXTENSIONS: &str = "\
    zip gz tgz bz2 xz zst 7z rar jar apk dmg iso exe msi dll so bin doc ppt epub psd sqlite db ttf otf woff woff2 mp3 m4a aac ogg oga opus flac wav wma mp4 m4v mkv mov avi webm mpg mpeg";
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
    /// Returns a message's claims, if it is a file.
    #[must_use]
    pub fn of(kind: &MessageKind) -> Option<Self> {
        let MessageKind::Attachment { msgtype, name, mime, size, voice, media } = kind else { return None };
        // Parameters such as `; charset=utf-8` are ignored.
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

    /// Returns where to fetch the file. Its size is not looked at: clients get it wrong, and the homeserver knows it.
    ///
    /// # Errors
    /// Why it is not worth a download, if the claims alone show that.
    pub fn worth_fetching(&self, limits: &Limits) -> Result<&MediaSource, Unread> {
        if self.is_sound() && limits.hears {
            return self.media.as_ref().ok_or(Unread::Unavailable);
        }
        if self.voice {
            return Err(Unread::Voice);
        }
        match self.msgtype.as_str() {
            "m.audio" => return Err(Unread::Audio),
            "m.video" => return Err(Unread::Video),
            _ if self.is_surely_unreadable() => return Err(self.unreadable_kind()),
            _ => {}
        }
        self.media.as_ref().ok_or(Unread::Unavailable)
    }

    /// Returns whether its sender says that it is sound.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let says_audio = self.mime.as_deref().is_some_and(|mime| mime.starts_with("audio/"));
        self.voice
            || self.msgtype == "m.audio"
            || says_audio && self.msgtype != "m.video" && self.is_surely_unreadable()
    }

    /// Returns whether it says so little by itself that it is read only if somebody asks about it: a sticker, or a
    /// recording that is no voice message.
    #[must_use]
    pub fn is_read_if_asked(&self) -> bool {
        self.is_sticker() || self.is_sound() && !self.voice
    }

    /// Returns the expected bytes for the model by the claims; pictures are scaled down, and texts are cut.
    #[must_use]
    pub fn claimed_bytes(&self, limits: &Limits) -> u64 {
        if matches!(self.msgtype.as_str(), "m.image" | STICKER) || self.may_be_picture() {
            return 0;
        }
        let most = if self.may_be_pdf() { limits.file_bytes_max } else { TEXT_BYTES_EXPECTED };
        self.size.unwrap_or_default().min(most)
    }

    /// Returns a name fit for a document's title: short, on one line, nothing invisible.
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

    /// Returns whether name and media type agree that it is unreadable.
    fn is_surely_unreadable(&self) -> bool {
        let mime = self.mime.as_deref().unwrap_or_default();
        let says_so = UNREADABLE_TYPES.iter().any(|known| mime.starts_with(known));
        says_so && self.ends_in(UNREADABLE_EXTENSIONS.split_ascii_whitespace())
    }

    /// Returns why a file of no supported kind is not read.
    fn unreadable_kind(&self) -> Unread {
        match self.mime.as_deref().unwrap_or_default() {
            mime if mime.starts_with("audio/") => Unread::Audio,
            mime if mime.starts_with("video/") => Unread::Video,
            _ => Unread::Unsupported,
        }
    }

    /// Returns a file's kind, and so its decoder, by its bytes alone. Claims only help to explain a failure.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn kind_of(&self, bytes: &[u8]) -> Result<Kind, Unread> {
        if let Some(kind) = signature(bytes) {
            return Ok(kind);
        }
        if other_picture::is_one(bytes) {
            return Err(Unread::PictureFormat);
        }
        if text::is_likely(bytes) {
            return Ok(match () {
                () if mail::is_mail(bytes) => Kind::Mail,
                () if calendar::is_calendar(bytes) => Kind::Calendar,
                () => Kind::Text,
            });
        }
        if text::is_empty(bytes) {
            return Err(Unread::Empty);
        }
        // A picture or PDF that is neither is not what it says. Of anything else, what the bytes say is true.
        Err(match text::binary(bytes) {
            _ if self.may_be_picture() || self.may_be_pdf() => Unread::Broken,
            Some(text::Binary::Packed) => Unread::Packed,
            Some(text::Binary::Other) => Unread::Unsupported,
            None if self.says_text() => Unread::Broken,
            None => self.unreadable_kind(),
        })
    }

    fn says_text(&self) -> bool {
        self.mime.as_deref().is_some_and(|mime| mime.starts_with("text/")) || self.ends_in(["txt"].into_iter())
    }
}

/// Returns whether a character could hide something or reorder the text around it.
pub(in crate::core) fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
