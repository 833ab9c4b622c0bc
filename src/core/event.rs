//! A room's events as the core sees them: decrypted, checked, and free of the wire's shapes.

use std::collections::BTreeSet;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{redaction::Authority, time::Timestamp};

mod fit;

/// One timeline event, decrypted where the room is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEvent {
    /// The room that it was sent in.
    pub room: OwnedRoomId,
    /// Its id.
    pub id: OwnedEventId,
    /// The full user id of its sender, as the homeserver vouches for it.
    pub sender: OwnedUserId,
    /// `origin_server_ts`: the sender's server's claim, not proof.
    pub sent_at: Timestamp,
    /// What it says.
    pub kind: EventKind,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `m.room.message` without a replacement relation.
    Message(Message),
    /// `m.room.message` that replaces another (`m.replace`, spec 11.5 of the client-server API).
    Edit {
        /// The event whose content is replaced.
        target: OwnedEventId,
        /// The new content (`m.new_content`).
        new: Message,
        /// Who is mentioned at the top level of the edit: the newly mentioned.
        newly_mentioned: BTreeSet<OwnedUserId>,
    },
    /// `m.reaction`.
    Reaction {
        /// The event that it annotates.
        target: OwnedEventId,
        /// The emoji or text.
        key: String,
    },
    /// `m.room.redaction`.
    Redaction {
        /// The event that is gone, where the redaction takes effect.
        target: OwnedEventId,
        /// What speaks for it.
        authority: Authority,
    },
    /// A message-like event whose content has been redacted.
    Redacted,
    /// `m.room.member`.
    Member(MemberChange),
    /// A vote in a poll (`m.poll.response`, MSC3381, and its unstable name).
    PollVote {
        /// The poll.
        target: OwnedEventId,
        /// The ids of the answers that are chosen, in the voter's order; none takes the vote back.
        answers: Vec<String>,
    },
    /// The end of a poll (`m.poll.end`, MSC3381, and its unstable name).
    PollEnd {
        /// The poll.
        target: OwnedEventId,
    },
    /// `m.room.name`: the room's new name; empty where it has none any more.
    RoomName(String),
    /// `m.room.topic`: the room's new topic; empty where it has none any more.
    RoomTopic(String),
    /// `m.room.history_visibility`: who may read what comes from here on.
    HistoryVisibility(History),
    /// An encrypted event that could not be decrypted with the keys at hand: a message without text, in the thread and
    /// in reply to what it names in the clear (spec, "m.room.encrypted"). `None` where it replaces another.
    Undecryptable(Option<Message>),
    /// Anything else; its event type.
    Other(String),
}

/// A change of somebody's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// Whose membership it is (the state key).
    pub user: OwnedUserId,
    /// What it is now.
    pub membership: Membership,
    /// The display name in it.
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
    /// In the room.
    Join,
    /// Asked to come.
    Invite,
    /// Gone, kicked, or declined.
    Leave,
    /// Banned.
    Ban,
    /// Asks to come.
    Knock,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The `msgtype`.
    pub kind: MessageKind,
    /// The plain body, reply fallback included where the sender's client wrote one.
    pub body: String,
    /// `formatted_body` where the format is Matrix HTML.
    pub html: Option<String>,
    /// `m.mentions`; `None` where the sender's client sent no such key.
    pub mentions: Option<Mentions>,
    /// The root of the thread that it is in.
    pub thread_root: Option<OwnedEventId>,
    /// The message that it replies to; a thread's fallback reply does not count.
    pub reply_to: Option<OwnedEventId>,
    /// Whether it relates to another event in a way that is neither a thread nor a reply: no thread can begin on it.
    pub relates: bool,
}

/// `m.mentions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// `user_ids`.
    pub users: BTreeSet<OwnedUserId>,
    /// `room`: `@room`.
    pub room: bool,
}

/// `msgtype` of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// `m.text`.
    Text,
    /// `m.notice`: a bot's words, never to be answered.
    Notice,
    /// `m.emote`.
    Emote,
    /// An `m.text` that says of itself that it is an approval's card (C12). From one of ours it is one, and nobody's
    /// words; from anybody else it is text.
    Card,
    /// An image, file, audio or video: its `msgtype`, file name and media type.
    Attachment {
        /// `m.image`, `m.file`, `m.audio`, `m.video`; [`STICKER`].
        msgtype: String,
        /// The file's name as the sender gives it.
        name: String,
        /// The media type as the sender claims it.
        mime: Option<String>,
        /// The size in bytes as the sender claims it.
        size: Option<u64>,
        /// Whether it is marked as a voice message (MSC3245: `org.matrix.msc3245.voice`, stable `m.voice`).
        voice: bool,
        /// Where its content is; `None` where the event names no usable place.
        media: Option<MediaSource>,
    },
    /// `m.location`, as a message or as an event of its own (MSC3488).
    Location(Location),
    /// A poll (MSC3381); the body is its question. An event of its own that is read, edited and quoted as a message.
    Poll(Poll),
    /// Any other `msgtype`.
    Other(String),
    /// Words that are not there or cannot be read; who they were for may be known.
    Unreadable,
}

/// The type of a sticker's event, which is read as an attachment of this `msgtype`. It asks nobody for anything.
pub const STICKER: &str = "m.sticker";

impl MessageKind {
    /// Returns whether it is a sticker.
    #[must_use]
    pub fn is_sticker(&self) -> bool {
        matches!(self, Self::Attachment { msgtype, .. } if msgtype == STICKER)
    }
}

/// Where something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// A `geo:` URI (RFC 5870), as the sender gives it.
    pub geo_uri: String,
    /// What is there, in the sender's words.
    pub description: Option<String>,
    /// Whether it is where the sender is (`m.self`), and not a place that they point at (`m.pin`).
    pub of_sender: bool,
}

/// A poll's answers and rules (MSC3381).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The answers that there are, at most [`POLL_ANSWERS_MAX`].
    pub answers: Vec<PollAnswer>,
    /// How many answers one vote may choose; at least 1.
    pub selections_max: usize,
    /// Whether votes are shown before the end (`m.disclosed`).
    pub disclosed: bool,
}

/// One answer of a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollAnswer {
    /// What votes name it by.
    pub id: String,
    /// What people read.
    pub text: String,
}

/// Answers of a poll that count; the rest are cut off, as MSC3381 says.
pub const POLL_ANSWERS_MAX: usize = 20;

/// Where a file's content is and what decrypts it: made and read by `matrix`, opaque here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaSource(String);

impl MediaSource {
    /// Wraps what `matrix` wrote.
    #[must_use]
    pub fn new(written: String) -> Self {
        Self(written)
    }

    /// Returns what `matrix` wrote.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for MediaSource {
    /// It may hold a key, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaSource(..)")
    }
}

impl Message {
    /// Returns whether it is a file without a caption: the body is then the file's name, which is nobody's words.
    #[must_use]
    pub fn is_uncaptioned(&self) -> bool {
        matches!(&self.kind, MessageKind::Attachment { name, .. } if *name == self.body)
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
        }
    }
}

/// What Workmate sends into a room; the edge turns it into a Matrix event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outgoing {
    /// `m.text` notifies, `m.notice` never does. A card is `m.text`.
    pub kind: OutgoingKind,
    /// The plain body.
    pub body: String,
    /// Sanitised Matrix HTML, where it says more than the body.
    pub html: Option<String>,
    /// Who is mentioned, in `m.mentions`.
    pub mentions: BTreeSet<OwnedUserId>,
    /// Where in the room it goes.
    pub place: Place,
}

/// `msgtype` of an outgoing message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OutgoingKind {
    /// `m.text`.
    Text,
    /// `m.notice`.
    Notice,
    /// `m.text`, marked as an approval's card.
    Card,
}

impl Place {
    /// Returns the root of the thread, where it is one.
    #[must_use]
    pub fn thread_root(&self) -> Option<&ruma::EventId> {
        match self {
            Self::Thread { root, .. } => Some(root),
            Self::Timeline | Self::Reply { .. } => None,
        }
    }
}

/// Where in a room a message goes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Place {
    /// The timeline, in reply to nothing.
    Timeline,
    /// The timeline, as a rich reply.
    Reply {
        /// The event replied to.
        to: OwnedEventId,
    },
    /// A thread, with a fallback reply for clients that know no threads (spec, "Threading").
    Thread {
        /// The thread's root.
        root: OwnedEventId,
        /// The newest event in the thread that we know of.
        latest: OwnedEventId,
    },
}
