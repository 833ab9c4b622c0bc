//! Voice messages and audio files as words (C25): which bytes are sound, how long it lasts, what a recogniser's answer
//! says, and a voice message as if it had been written.
//!
//! The recogniser is another program, and what it answers is bounded like anything from outside. Its words are the
//! words of whoever spoke: they carry that person's authority and no more.

use serde_json::Value;

use super::{
    event::{EventKind, Mentions, MessageKind, RoomEvent},
    json,
    media::is_invisible,
    tokens,
};

/// Most bytes of a recogniser's answer.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Most seconds of a recording.
pub const SECONDS_MAX: u64 = 15 * 60;
/// Most tokens of a transcript; of a longer one the beginning and end are kept.
const WORDS_TOKENS_MAX: u32 = 8_000;
/// Samples in a second of Opus in an Ogg file, whatever was recorded (RFC 7845, section 4).
const OPUS_RATE: u64 = 48_000;

/// A format of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Ogg, as most clients record.
    Ogg,
    /// MP3.
    Mp3,
    /// WAV.
    Wav,
    /// FLAC.
    Flac,
    /// MPEG-4, as iOS records.
    Mp4,
    /// WebM, as some browsers record.
    WebM,
    /// AMR, as old phones record.
    Amr,
}

impl Sound {
    /// Returns the format by a file's first bytes. Of those that also hold videos, `is_said` decides: whether the sender
    /// says that it is sound.
    #[must_use]
    pub fn of(bytes: &[u8], is_said: bool) -> Option<Self> {
        match bytes {
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            [b'I', b'D', b'3', ..] => Some(Self::Mp3),
            // A frame of MPEG audio, layer III, and no JPEG or UTF-16.
            [0xff, 0xfa | 0xfb | 0xf2 | 0xf3, ..] if is_said => Some(Self::Mp3),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [_, _, _, _, b'f', b't', b'y', b'p', b'M', b'4', b'A' | b'B', ..] => Some(Self::Mp4),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] if is_said => Some(Self::Mp4),
            [0x1a, 0x45, 0xdf, 0xa3, ..] if is_said => Some(Self::WebM),
            [b'#', b'!', b'A', b'M', b'R', ..] => Some(Self::Amr),
            _ => None,
        }
    }

    /// Returns a file name by whose ending recognisers tell the format.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Ogg => "audio.ogg",
            Self::Mp3 => "audio.mp3",
            Self::Wav => "audio.wav",
            Self::Flac => "audio.flac",
            Self::Mp4 => "audio.m4a",
            Self::WebM => "audio.webm",
            Self::Amr => "audio.amr",
        }
    }

    /// Returns the media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ogg => "audio/ogg",
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Mp4 => "audio/mp4",
            Self::WebM => "audio/webm",
            Self::Amr => "audio/amr",
        }
    }

    /// Returns how many seconds it lasts, by the file itself, for the formats that say so in one place.
    #[must_use]
    pub fn seconds(self, bytes: &[u8]) -> Option<u64> {
        match self {
            // Bytes in a second of the format's header.
            Self::Wav => {
                let rate = u32::from_le_bytes(bytes.get(28..32)?.try_into().ok()?);
                (bytes.len() as u64).checked_div(rate.into())
            }
            // The last page counts the samples up to its end.
            Self::Ogg => {
                let last = memchr::memmem::rfind(bytes, b"OggS")?;
                let samples = u64::from_le_bytes(bytes.get(last + 6..last + 14)?.try_into().ok()?);
                (samples != u64::MAX).then_some(samples / OPUS_RATE)
            }
            _ => None,
        }
    }
}

/// Why an answer gives no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWords {
    /// It holds no words where a recogniser's answer has them.
    Odd,
    /// Nobody spoke.
    Silence,
}

/// Returns the words in a recogniser's answer (`{"text": …}`), without what could hide in them. What is odd beside or
/// inside them, such as half of a surrogate pair that a broken token leaves, costs itself only.
///
/// # Errors
/// [`NoWords`] if there are none.
pub fn words(answer: &[u8]) -> Result<String, NoWords> {
    let answer = String::from_utf8_lossy(answer);
    let answer = json::shallow(answer.trim_start_matches('\u{feff}'));
    let answer: Value = serde_json::from_str(&json::whole(&answer)).map_err(|_| NoWords::Odd)?;
    let text = answer.get("text").and_then(Value::as_str).ok_or(NoWords::Odd)?;
    let visible = |letter: &char| matches!(letter, '\n' | '\t') || !is_invisible(*letter);
    let text: String = text.chars().filter(visible).collect();
    let text = text.trim();
    // What recognisers write for silence has no letter: "...", "♪".
    if !text.contains(char::is_alphanumeric) {
        return Err(NoWords::Silence);
    }
    Ok(tokens::ends(text, WORDS_TOKENS_MAX).into_owned())
}

/// Returns whether an event is a voice message without a caption: one with a caption asks by that.
#[must_use]
pub fn is_voice(event: &RoomEvent) -> bool {
    let EventKind::Message(message) = &event.kind else { return false };
    matches!(message.kind, MessageKind::Attachment { voice: true, .. }) && message.is_uncaptioned()
}

/// Returns a voice message as if its words had been written, for the question whom it asks: in a thread or in reply it
/// asks like a text, and elsewhere if a name opens it: nobody picks from a list while they speak, and few recognisers write
/// the comma behind a name. Whoever a client names as mentioned stays mentioned.
#[must_use]
pub fn as_written(event: &RoomEvent, words: &str) -> RoomEvent {
    let mut written = event.clone();
    if let EventKind::Message(message) = &mut written.kind {
        message.kind = MessageKind::Text;
        words.clone_into(&mut message.body);
        message.html = None;
        message.mentions = message.mentions.take().filter(|mentions| *mentions != Mentions::default());
    }
    written
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, user_id};

    use super::*;
    use crate::core::{event::Message, time::Timestamp};

    #[test]
    fn c25_sound_is_known_by_its_bytes_and_videos_are_none() {
        let rows: [(&[u8], bool, Option<Sound>); 10] = [
            (b"OggS\0\x02", false, Some(Sound::Ogg)),
            (b"ID3\x04", false, Some(Sound::Mp3)),
            (b"\xff\xfb\x90\0", true, Some(Sound::Mp3)),
            (b"\xff\xfb\x90\0", false, None),
            (b"RIFF\0\0\0\0WAVEfmt ", false, Some(Sound::Wav)),
            (b"\0\0\0\x20ftypM4A ", false, Some(Sound::Mp4)),
            (b"\0\0\0\x20ftypisom", false, None),
            (b"\0\0\0\x20ftypisom", true, Some(Sound::Mp4)),
            (b"\x1a\x45\xdf\xa3", false, None),
            (b"RIFF\0\0\0\0WEBPVP8 ", true, None),
        ];
        for (bytes, is_said, expected) in rows {
            assert_eq!(Sound::of(bytes, is_said), expected, "{bytes:?}");
        }
    }

    #[test]
    fn c25_a_voice_message_asks_as_if_it_were_written_and_a_name_needs_no_comma() {
        let voice = |mentions: Mentions, body: &str| {
            let kind = MessageKind::Attachment {
                msgtype: "m.audio".to_owned(),
                name: "Voice message".to_owned(),
                mime: None,
                size: None,
                voice: true,
                media: None,
            };
            RoomEvent {
                room: room_id!("!a:hs").to_owned(),
                id: event_id!("$voice").to_owned(),
                sender: user_id!("@bob:hs").to_owned(),
                sent_at: Timestamp::from_ms(0),
                kind: EventKind::Message(Message { kind, mentions: Some(mentions), ..Message::text(body) }),
            }
        };
        let spoken = voice(Mentions::default(), "Voice message");
        assert!(
            is_voice(&spoken) && !is_voice(&voice(Mentions::default(), "look at this")),
            "a caption asks by itself"
        );
        let EventKind::Message(written) = as_written(&spoken, "monica we need help").kind else { panic!("a message") };
        assert_eq!(written, Message { mentions: None, ..Message::text("monica we need help") });
        let named = Mentions { users: [user_id!("@coworker-a:hs").to_owned()].into(), room: false };
        let EventKind::Message(written) = as_written(&voice(named.clone(), "Voice message"), "x").kind else {
            panic!()
        };
        assert_eq!(written.mentions, Some(named));
    }

    #[test]
    fn c25_how_long_a_recording_lasts_stands_in_it() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0".to_vec();
        wav.resize(320_044, 0);
        assert_eq!(Sound::Wav.seconds(&wav), Some(10));
        let page = |samples: u64| [b"OggS\0\x04", &samples.to_le_bytes()[..], b"rest"].concat();
        assert_eq!(Sound::Ogg.seconds(&[page(48_000), page(48_000 * 601)].concat()), Some(601));
        for odd in [b"OggS\0\x04".to_vec(), page(u64::MAX), b"none".to_vec()] {
            assert_eq!(Sound::Ogg.seconds(&odd), None);
        }
        assert_eq!(Sound::Wav.seconds(&[0; 40]), None);
    }

    #[test]
    fn c25_a_recognisers_answer_is_bounded_and_gives_only_what_can_be_seen() {
        let rows: [(&[u8], Result<&str, NoWords>); 15] = [
            (br#"{"text":" hello there \n","task":"x"}"#, Ok("hello there")),
            (br#"{"text":"one\u202e\u0000\ttwo"}"#, Ok("one\ttwo")),
            (br#"{"text":"hello \ud800 there"}"#, Ok("hello \u{fffd} there")),
            (br#"{"text":"hello","start":1e999}"#, Ok("hello")),
            (br#"{"text":"one","text":"two"}"#, Ok("two")),
            (b"\xef\xbb\xbf{\"text\":\"hello\"}", Ok("hello")),
            (b"{\"text\":\"hello \xff\"}", Ok("hello \u{fffd}")),
            (br#"["text"]"#, Err(NoWords::Odd)),
            (br#"{"text":"..."}"#, Err(NoWords::Silence)),
            (br#"{"text":""}"#, Err(NoWords::Silence)),
            (br#"{"text":null}"#, Err(NoWords::Odd)),
            (br#"{"error":{"message":"no"}}"#, Err(NoWords::Odd)),
            (br#"{"text":["a"]}"#, Err(NoWords::Odd)),
            (b"<html>", Err(NoWords::Odd)),
            (b"", Err(NoWords::Odd)),
        ];
        for (answer, expected) in rows {
            assert_eq!(words(answer), expected.map(str::to_owned), "{}", String::from_utf8_lossy(answer));
        }
        let long = format!("{{\"text\":\"first {}last\"}}", "word ".repeat(100_000));
        let kept = words(long.as_bytes()).expect("words");
        assert!(kept.starts_with("first word") && kept.ends_with("word last") && kept.len() < 40_000);
    }
}
