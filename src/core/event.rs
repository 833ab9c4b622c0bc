//! A room's events in core's form: decrypted, checked, and free of the wire format.

use std::collections::BTreeSet;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{cited::Cited, redaction::Authority, time::Timestamp};

mod fit;

/// A timeline event, decrypted if the room is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEvent {
    /// The room it was sent in.
    pub room: OwnedRoomId,
    /// The event's id.
    pub id: OwnedEventId,
    /// The sender's full user id, as the homeserver vouches for it.
    pub sender: OwnedUserId,
    /// `origin_server_ts`: a claim of the sender's server, no proof.
    pub sent_at: Timestamp,
    /// The event's content.
    pub kind: EventKind,
}

impl RoomEvent {
    /// Returns the root of the thread that the event is in.
    #[must_use]
    pub fn thread_root(&self) -> Option<&ruma::EventId> {
        match &self.kind {
            EventKind::Message(message)
            | EventKind::Edit { new: message, .. }
            | EventKind::Undecryptable(Some(message)) => message.thread_root.as_deref(),
            _ => None,
        }
    }

    /// Returns whether it is a message, or an edit, that its sender is still writing.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let (EventKind::Message(message) | EventKind::Edit { new: message, .. }) = &self.kind else { return false };
        message.live
    }

    /// Returns whether a message names a user in its `m.mentions`, so that an answer is all but certain.
    #[must_use]
    pub fn mentions(&self, user: &ruma::UserId) -> bool {
        let (EventKind::Message(message) | EventKind::Edit { new: message, .. }) = &self.kind else { return false };
        message.mentions.as_ref().is_some_and(|mentions| mentions.users.contains(user))
    }
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `m.room.message` without a replacement relation.
    Message(Message),
    /// `m.room.message` that replaces another (`m.replace`, spec 11.5 of the client-server API).
    Edit {
        /// The event it replaces.
        target: OwnedEventId,
        /// The new content (`m.new_content`).
        new: Message,
        /// The users mentioned at the top level of the edit, who are newly mentioned.
        newly_mentioned: BTreeSet<OwnedUserId>,
    },
    /// `m.reaction`.
    Reaction {
        /// The event it is a reaction to.
        target: OwnedEventId,
        /// The emoji or text.
        key: String,
    },
    /// `m.room.redaction`.
    Redaction {
        /// The redacted event, if the redaction takes effect.
        target: OwnedEventId,
        /// What entitles it.
        authority: Authority,
    },
    /// A message event whose content was redacted.
    Redacted,
    /// `m.room.member`.
    Member(MemberChange),
    /// A vote in a poll (`m.poll.response`, MSC3381, and its unstable name).
    PollVote {
        /// The poll's event.
        target: OwnedEventId,
        /// The ids of the chosen answers in the voter's order; empty takes the vote back.
        answers: Vec<String>,
    },
    /// The end of a poll (`m.poll.end`, MSC3381, and its unstable name).
    PollEnd {
        /// The poll's event.
        target: OwnedEventId,
    },
    /// A live location (MSC3489 and MSC3672: `m.beacon_info` and `m.beacon`).
    LiveLocation(LiveLocation),
    /// `m.room.name`: the new name; empty if it was removed.
    RoomName(String),
    /// `m.room.topic`: the new topic; empty if it was removed.
    RoomTopic(String),
    /// `m.room.history_visibility`: who may read what follows.
    HistoryVisibility(History),
    /// An event that could not be decrypted with the keys at hand: a message without text, with the thread and reply
    /// from its clear text (spec, "m.room.encrypted"). `None` if it replaces another.
    Undecryptable(Option<Message>),
    /// Any other event; holds its type.
    Other(String),
}

/// A change of a user's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// The user (the state key).
    pub user: OwnedUserId,
    /// The new membership.
    pub membership: Membership,
    /// The display name in the event.
    pub display_name: Option<String>,
}

/// `history_visibility` of `m.room.history_visibility`, from the most open to the tightest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Everybody may read.
    WorldReadable,
    /// Members may read, including what was sent before they joined.
    Shared,
    /// Members may read from their invite on.
    Invited,
    /// Members may read from their join on.
    Joined,
}

impl History {
    /// Parses the value; an unknown one counts as the tightest.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        match value {
            "world_readable" => Self::WorldReadable,
            "shared" => Self::Shared,
            "invited" => Self::Invited,
            _ => Self::Joined,
        }
    }
}

/// `membership` of an `m.room.member` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// Joined.
    Join,
    /// Invited.
    Invite,
    /// Left, kicked, or declined.
    Leave,
    /// Banned.
    Ban,
    /// Asks to be let in.
    Knock,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The kind of message, from its `msgtype`.
    pub kind: MessageKind,
    /// The plain body, including the reply fallback if the client wrote one.
    pub body: String,
    /// `formatted_body`, if its format is Matrix HTML.
    pub html: Option<String>,
    /// `m.mentions`; `None` if the client sent none.
    pub mentions: Option<Mentions>,
    /// The root of its thread.
    pub thread_root: Option<OwnedEventId>,
    /// The message it replies to; a thread's fallback reply does not count.
    pub reply_to: Option<OwnedEventId>,
    /// Whether it has a relation other than thread and reply, so that no thread can begin on it.
    pub relates: bool,
    /// Whether its sender is still writing it, so that edits follow (MSC4357).
    pub live: bool,
    /// The name under which its sender says it, if it has one of its own (MSC4144).
    pub speaks_as: Option<String>,
}

/// `m.mentions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// `user_ids`.
    pub users: BTreeSet<OwnedUserId>,
    /// `room`: `@room`.
    pub room: bool,
}

/// The kind of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// `m.text`.
    Text,
    /// `m.notice`: a bot's text, never to be answered.
    Notice,
    /// `m.emote`.
    Emote,
    /// An `m.text` that is marked as an approval card (C12). From one of ours it is a card and nobody's words; from
    /// anybody else it is text.
    Card,
    /// An image, file, audio or video.
    Attachment {
        /// `m.image`, `m.file`, `m.audio`, `m.video`, or [`STICKER`].
        msgtype: String,
        /// The file's name, as the sender gives it.
        name: String,
        /// The claimed media type.
        mime: Option<String>,
        /// The claimed size in bytes.
        size: Option<u64>,
        /// Whether it is marked as a voice message (MSC3245: `org.matrix.msc3245.voice`, stable `m.voice`).
        voice: bool,
        /// Where its content is; `None` if the event names no usable source.
        media: Option<MediaSource>,
    },
    /// Several files in one message (MSC4274: `m.gallery`, unstable `dm.filament.gallery`), at most
    /// [`GALLERY_FILES_MAX`]; each is an [`Self::Attachment`].
    Gallery(Vec<MessageKind>),
    /// `m.location`, as a message or as a separate event type (MSC3488).
    Location(Location),
    /// A poll (MSC3381), whose body is its question. It is a separate event type, read, edited and quoted like a
    /// message.
    Poll(Poll),
    /// Any other `msgtype`.
    Other(String),
    /// Missing or unreadable text; whom it was for may be known.
    Unreadable,
}

/// The event type of stickers, which are read as attachments with this `msgtype`. A sticker never asks anything.
pub const STICKER: &str = "m.sticker";

/// Most files of a gallery that are read; an event has no room for many more.
pub const GALLERY_FILES_MAX: usize = 60;

impl MessageKind {
    /// Returns the files in it, each an [`Self::Attachment`].
    #[must_use]
    pub fn files(&self) -> &[MessageKind] {
        match self {
            Self::Attachment { .. } => std::slice::from_ref(self),
            Self::Gallery(files) => files,
            _ => &[],
        }
    }

    /// Returns the name of the file that it is.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::Attachment { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Returns whether it is a sticker.
    #[must_use]
    pub fn is_sticker(&self) -> bool {
        matches!(self, Self::Attachment { msgtype, .. } if msgtype == STICKER)
    }
}

/// A location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// A `geo:` URI (RFC 5870), as the sender gives it.
    pub geo_uri: String,
    /// The sender's description.
    pub description: Option<String>,
    /// Whether it is the sender's own location (`m.self`), and not a pinned place (`m.pin`).
    pub of_sender: bool,
}

/// What an event says of its sender's live location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveLocation {
    /// It is shared from now on, with the sender's description.
    Begins(Option<String>),
    /// It is shared no longer.
    Ends,
    /// It is here now.
    At(Location),
}

/// A poll's answers and rules (MSC3381).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The answers, at most [`POLL_ANSWERS_MAX`].
    pub answers: Vec<PollAnswer>,
    /// Most answers in a vote; at least 1.
    pub selections_max: usize,
    /// Whether votes are visible before the end (`m.disclosed`).
    pub disclosed: bool,
}

/// An answer of a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollAnswer {
    /// The id that votes use.
    pub id: String,
    /// The text that people read.
    pub text: String,
}

/// Most answers of a poll that count; the rest are dropped, as MSC3381 says.
pub const POLL_ANSWERS_MAX: usize = 20;

/// A file's location and decryption key; written and read by `matrix`, opaque here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaSource(String);

impl MediaSource {
    /// Wraps a source written by `matrix`.
    #[must_use]
    pub fn new(written: String) -> Self {
        Self(written)
    }

    /// Returns the source for `matrix` to read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for MediaSource {
    /// Not shown, because it may contain a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaSource(..)")
    }
}

impl Message {
    /// Returns whether it is a file without a caption: its body is then the file's name and nobody's words.
    #[must_use]
    pub fn is_uncaptioned(&self) -> bool {
        match &self.kind {
            MessageKind::Attachment { name, .. } => *name == self.body,
            MessageKind::Gallery(_) => self.body.trim().is_empty(),
            _ => false,
        }
    }

    /// Returns whether it is a file without words, neither written nor spoken.
    #[must_use]
    pub fn is_file_alone(&self) -> bool {
        let is_voice = matches!(self.kind, MessageKind::Attachment { voice: true, .. });
        self.is_uncaptioned() && !is_voice && !self.kind.is_sticker()
    }

    /// Returns a plain text message, without mentions or relations.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self {
            kind: MessageKind::Text,
            body: body.into(),
            html: None,
            mentions: Some(Mentions::default()),
            thread_root: None,
            reply_to: None,
            relates: false,
            speaks_as: None,
            live: false,
        }
    }
}

/// A message that Workmate sends; `matrix` turns it into an event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outgoing {
    /// `m.text` notifies people, `m.notice` never does; a card is an `m.text`.
    pub kind: OutgoingKind,
    /// The plain body.
    pub body: String,
    /// Sanitised Matrix HTML, if it shows more than the body.
    pub html: Option<String>,
    /// The users in `m.mentions`.
    pub mentions: BTreeSet<OwnedUserId>,
    /// Its place in the room.
    pub place: Place,
    /// The sources of an answer, in the order of their numbers; they go with the event, for `!why`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Cited>,
}

/// The kind of an outgoing message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OutgoingKind {
    /// `m.text`.
    Text,
    /// `m.notice`.
    Notice,
    /// `m.text`, marked as an approval card.
    Card,
}

impl Place {
    /// Returns the thread's root, if it is in a thread.
    #[must_use]
    pub fn thread_root(&self) -> Option<&ruma::EventId> {
        match self {
            Self::Thread { root, .. } => Some(root),
            Self::Timeline | Self::Reply { .. } => None,
        }
    }
}

/// The place of a message in a room.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Place {
    /// In the timeline, replying to nothing.
    Timeline,
    /// In the timeline, as a rich reply.
    Reply {
        /// The event it replies to.
        to: OwnedEventId,
    },
    /// In a thread, with a fallback reply for clients without threads (spec, "Threading").
    Thread {
        /// The thread's root.
        root: OwnedEventId,
        /// The newest known event of the thread.
        latest: OwnedEventId,
    },
}
