//! People's messages as JSON records, one on each line, so that nobody can forge a speaker.
//!
//! `serde_json` escapes quotes and line breaks. Other characters that could imitate structure, or hide from a human
//! reader, are escaped too (`\uXXXX`): line and paragraph separators, C1 controls, bidi embeddings, overrides and
//! isolates, and invisible tag characters. Marks that right-to-left text needs, such as U+200F, stay.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Not,
};

use ruma::{EventId, UserId};
use serde::Serialize;

use super::{
    FILE_NAME_CHARS_MAX, Input, Kind, MEMBERS_MAX, NAME_CHARS_MAX, TOPIC_CHARS_MAX, polls,
    seen::{self, Seen},
    tokens,
};
use crate::core::{
    address::{OwnWords, linked_user},
    escaped::{first_chars, fitting, line, rfc3339},
    event::{self, Membership, Message, MessageKind},
    media::{Extent, Form, Unread},
    time::Timestamp,
};

/// The length at which a media or message type is cut, in characters.
const TYPE_CHARS_MAX: usize = 100;
/// Most links of a message that only its formatted text has.
const LINKS_MAX: usize = 10;
/// The longest link, in characters; a longer one is dropped, because half a link is useless.
const LINK_CHARS_MAX: usize = 300;
/// The length at which a reaction's key is cut, in characters; most are one emoji.
const REACTION_CHARS_MAX: usize = 20;

/// A message from somebody else.
#[derive(Clone, Serialize)]
pub(super) struct Record<'a> {
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// The name under which the sender says it, if another.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    speaks_as: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    event_id: &'a EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    text: Cow<'a, str>,
    /// What people see, if it is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment<'a>>,
    /// The files of a gallery.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<polls::Shape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Not::not")]
    edited: bool,
    #[serde(skip_serializing_if = "Not::not")]
    cut: bool,
}

#[derive(Clone, Serialize)]
struct Attachment<'a> {
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a str>,
    /// What a recogniser heard in it (C25).
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<Cow<'a, str>>,
    /// `follows` if the file comes right after the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_given: Option<&'a str>,
}

impl<'a> Attachment<'a> {
    fn of(kind: &'a MessageKind) -> Option<Self> {
        let MessageKind::Attachment { msgtype, name, mime, voice, .. } = kind else { return None };
        let kind = first_chars(msgtype.strip_prefix("m.").unwrap_or(msgtype), TYPE_CHARS_MAX);
        Some(Self {
            kind: if *voice { "voice message" } else { kind },
            name: first_chars(name, FILE_NAME_CHARS_MAX),
            mime: mime.as_deref().map(|mime| first_chars(mime, TYPE_CHARS_MAX)),
            transcript: None,
            file: None,
            not_given: None,
        })
    }
}

/// What a record says about its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileNote {
    /// The file follows, to this extent.
    Follows(Extent),
    /// The file is missing, for this reason.
    NotGiven(Unread),
}

#[derive(Clone, Serialize)]
struct Location<'a> {
    geo: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    of: &'static str,
}

impl<'a> Location<'a> {
    fn of(location: &'a event::Location) -> Self {
        Self {
            geo: first_chars(&location.geo_uri, TYPE_CHARS_MAX),
            description: location.description.as_deref().map(|text| first_chars(text, FILE_NAME_CHARS_MAX)),
            of: if location.of_sender { "the sender" } else { "a place" },
        }
    }
}

/// A message's origin, which its content does not say.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) sender: &'a UserId,
    pub(super) name: Option<&'a str>,
    pub(super) sent_at: Timestamp,
    pub(super) id: &'a EventId,
    pub(super) edited: bool,
}

impl<'a> Record<'a> {
    /// `message` is the newest content; relations come from the original, as the spec requires (11.5).
    pub(super) fn new(origin: Origin<'a>, original: &'a Message, message: &'a Message) -> Self {
        let kind = match &message.kind {
            MessageKind::Text | MessageKind::Card | MessageKind::Attachment { .. } | MessageKind::Gallery(_) => None,
            MessageKind::Notice => Some("notice"),
            MessageKind::Emote => Some("emote"),
            MessageKind::Poll(_) => Some("poll"),
            MessageKind::Location(_) => Some("location"),
            MessageKind::Other(msgtype) => Some(first_chars(msgtype, TYPE_CHARS_MAX)),
            MessageKind::Unreadable => Some("unreadable"),
        };
        let attachment = Attachment::of(&message.kind);
        let attachments = match &message.kind {
            MessageKind::Gallery(files) => files.iter().filter_map(Attachment::of).collect(),
            _ => Vec::new(),
        };
        let (poll, location) = match &message.kind {
            MessageKind::Poll(poll) => (Some(polls::Shape::of(poll)), None),
            MessageKind::Location(location) => (None, Some(Location::of(location))),
            _ => (None, None),
        };
        let plain = spoken(original, message);
        let (text, shown) = match seen::seen(message, plain) {
            None => (Cow::Borrowed(plain), None),
            Some(Seen::Instead(text)) => (Cow::Owned(text), None),
            Some(Seen::Beside(text)) => (Cow::Borrowed(plain), Some(Cow::Owned(text))),
        };
        Self {
            sender: origin.sender,
            name: origin.name.map(|name| first_chars(name, NAME_CHARS_MAX)),
            speaks_as: message.speaks_as.as_deref().map(|name| first_chars(name, NAME_CHARS_MAX)),
            time: rfc3339(origin.sent_at),
            event_id: origin.id,
            kind,
            text,
            shown,
            links: hidden_links(message),
            attachment,
            attachments,
            poll,
            location,
            reply_to: original.reply_to.as_deref(),
            thread: original.thread_root.as_deref(),
            edited: origin.edited,
            cut: false,
        }
    }

    /// Returns the same record with what was heard in its files, in their order.
    pub(super) fn hearing(mut self, heard: &[Option<&'a str>]) -> Self {
        for (attachment, heard) in self.attachment.iter_mut().chain(&mut self.attachments).zip(heard) {
            attachment.transcript = heard.map(Cow::Borrowed);
        }
        self
    }

    /// Returns the same record with its files' outcomes, in their order.
    pub(super) fn noting(&self, notes: &[Option<FileNote>]) -> Self {
        let mut noted = self.clone();
        for (attachment, note) in noted.attachment.iter_mut().chain(&mut noted.attachments).zip(notes) {
            (attachment.file, attachment.not_given) = match *note {
                Some(FileNote::Follows(Extent::Transcript)) | None => (None, None),
                Some(FileNote::Follows(extent)) => (Some(follows(extent)), None),
                Some(FileNote::NotGiven(why)) => (None, Some(why.key())),
            };
        }
        noted
    }

    /// Returns what people see of the message, if it is something else than its plain text.
    pub(super) fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }

    /// Returns the line, with its text cut until it takes at most `tokens_max`, and whether it was cut.
    pub(super) fn line(&self, tokens_max: u32) -> (String, bool) {
        let whole = line(self);
        if tokens::estimate(&whole) <= tokens_max {
            return (whole, false);
        }
        let mut record = Self { cut: true, ..self.clone() };
        let shorter = fitting(tokens_max, |text_tokens_max| {
            record.text = Cow::Owned(tokens::ends(&self.text, text_tokens_max).into_owned());
            let seen = self.shown.as_deref();
            record.shown = seen.map(|seen| Cow::Owned(tokens::ends(seen, text_tokens_max).into_owned()));
            let attachments = record.attachment.iter_mut().chain(&mut record.attachments);
            for transcript in attachments.filter_map(|attachment| attachment.transcript.as_mut()) {
                *transcript = Cow::Owned(tokens::ends(transcript, text_tokens_max).into_owned());
            }
            let shorter = line(&record);
            // For the next, if this one is still too long.
            if let Some(poll) = &mut record.poll {
                poll.shrink();
            }
            record.links.truncate(record.links.len() / 2);
            record.attachments.truncate(record.attachments.len().div_ceil(2).max(1));
            shorter
        });
        (shorter, true)
    }
}

/// Returns what a record says about a file that follows it.
fn follows(extent: Extent) -> String {
    match extent {
        Extent::Whole | Extent::Transcript => "follows".to_owned(),
        Extent::Text { ends, odd, read_as, is_mixed } => {
            let what = if ends { "its beginning and end follow" } else { "follows" };
            let read_as = match read_as {
                Some(charset) if is_mixed => format!(", read as UTF-8 and, where it is none, as {}", charset.name()),
                Some(charset) => format!(", read as {}", charset.name()),
                None => String::new(),
            };
            format!("{what}{read_as}{}", without(odd))
        }
        Extent::Document { form, ends } => {
            let what = match form {
                Form::Document => "a text document",
                Form::Slides => "a presentation",
                Form::Workbook => "a workbook",
                Form::Mail => "an e-mail message",
                Form::Calendar => "a calendar file",
            };
            let how = if ends { "beginning and end follow as text" } else { "follows as text" };
            format!("{how}, read from {what}")
        }
        Extent::Smaller { from, to } => {
            format!("follows, shown at {} × {} of its {} × {} pixels", to.0, to.1, from.0, from.1)
        }
        Extent::Parts { from: (width, height), number } => {
            let way = if height > width { "from top to bottom" } else { "from left to right" };
            format!("follows in {number} parts, {way}, of {width} × {height} pixels")
        }
    }
}

fn without(odd: u32) -> String {
    if odd == 0 {
        return String::new();
    }
    let they = if odd == 1 { "1 byte of it is" } else { &*format!("{odd} bytes of it are") };
    format!(" ({they} no text: left out, or shown as \u{fffd})")
}

/// Returns the links in a message's formatted text that its plain text lacks. Links to people are omitted, because
/// their names are in the text.
pub(crate) fn hidden_links(message: &Message) -> Vec<String> {
    let Some(html) = &message.html else { return Vec::new() };
    let mut links: Vec<String> = Vec::new();
    for link in OwnWords::of_all_html(html).links {
        let is_web = ["https://", "http://", "matrix:"].iter().any(|scheme| {
            link.href.get(..scheme.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme))
        });
        let is_told = message.body.contains(link.href.trim_end_matches('/')) || links.contains(&link.href);
        let is_long = link.href.chars().nth(LINK_CHARS_MAX).is_some();
        if is_web && !is_told && !is_long && linked_user(&link.href).is_none() {
            links.push(link.href);
        }
        if links.len() == LINKS_MAX {
            break;
        }
    }
    links
}

/// Returns the sender's words: without the reply fallback, and without a file name that replaces a caption.
pub(super) fn spoken<'a>(original: &Message, message: &'a Message) -> &'a str {
    if message.is_uncaptioned() {
        return "";
    }
    if original.reply_to.is_none() {
        return &message.body;
    }
    seen::without_reply_fallback(&message.body)
}

/// Returns the record of a membership change.
pub(super) fn membership(user: &UserId, name: Option<&str>, sent_at: Timestamp, membership: Membership) -> String {
    #[derive(Serialize)]
    struct Change<'a> {
        membership: &'a str,
        user: &'a UserId,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<String>,
    }
    let word = match membership {
        Membership::Join => "joined",
        Membership::Invite => "was invited",
        Membership::Leave => "left",
        Membership::Ban => "was banned",
        Membership::Knock => "asks to join",
    };
    let name = name.map(|name| first_chars(name, NAME_CHARS_MAX));
    line(&Change { membership: word, user, name, time: rfc3339(sent_at) })
}

/// Returns the record of a room's new name or topic, in the field `what`.
pub(super) fn room_change(what: &'static str, text: &str, by: &UserId, sent_at: Timestamp) -> String {
    #[derive(Serialize)]
    struct Change<'a> {
        #[serde(flatten)]
        new: BTreeMap<&'static str, &'a str>,
        set_by: &'a UserId,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<String>,
    }
    let new = BTreeMap::from([(what, first_chars(text, TOPIC_CHARS_MAX))]);
    line(&Change { new, set_by: by, time: rfc3339(sent_at) })
}

/// Returns the record of a live location: that it begins or ends, or the newest place.
pub(super) fn live_location(
    what: &event::LiveLocation,
    user: &UserId,
    name: Option<&str>,
    sent_at: Timestamp,
) -> String {
    #[derive(Serialize)]
    struct Live<'a> {
        live_location: &'a str,
        user: &'a UserId,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        geo: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<String>,
    }
    let (live_location, geo, description) = match what {
        event::LiveLocation::Begins(description) => ("begins", None, description),
        event::LiveLocation::Ends => ("ends", None, &None),
        event::LiveLocation::At(place) => ("newest place", Some(&*place.geo_uri), &place.description),
    };
    line(&Live {
        live_location,
        user,
        name: name.map(|name| first_chars(name, NAME_CHARS_MAX)),
        geo: geo.map(|geo| first_chars(geo, TYPE_CHARS_MAX)),
        description: description.as_deref().map(|text| first_chars(text, FILE_NAME_CHARS_MAX)),
        time: rfc3339(sent_at),
    })
}

/// Returns the record of the reactions to a message since its last such record.
pub(super) fn reactions(target: &EventId, counts: &BTreeMap<&str, usize>) -> String {
    #[derive(Serialize)]
    struct Reactions<'a> {
        reactions: BTreeMap<&'a str, usize>,
        to: &'a EventId,
    }
    let mut reactions: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, count) in counts {
        *reactions.entry(first_chars(key, REACTION_CHARS_MAX)).or_default() += count;
    }
    line(&Reactions { reactions, to: target })
}

/// Returns the record of consecutive undecryptable messages.
pub(super) fn undecryptable(count: usize) -> String {
    format!(r#"{{"undecryptable_messages":{count}}}"#)
}

/// Returns the first record of every transcript.
pub(super) fn opening(older: bool) -> String {
    let older = if older { "left out" } else { "none" };
    format!(r#"{{"transcript":"begins","older_messages":"{older}"}}"#)
}

/// Returns the record of a thread's omitted middle.
pub(super) fn gap() -> &'static str {
    r#"{"left_out":"messages in the middle of this thread"}"#
}

/// Returns the record that replaces our answers given while a room was open that is closed now.
pub(super) fn withheld() -> &'static str {
    r#"{"left_out":"your own answers here: a room that they may quote is closed"}"#
}

/// Returns the record that replaces a file which the provider refused.
pub(super) fn refused_file() -> &'static str {
    r#"{"left_out":"the file of the record before: the provider of the model refused it"}"#
}

/// Returns the record that ends a transcript without a request.
pub(super) fn nothing_asked() -> &'static str {
    r#"{"request":"could not be read"}"#
}

/// The room's facts, which form the second system block.
#[derive(Serialize)]
pub(super) struct Facts<'a> {
    room: RoomFacts<'a>,
}

#[derive(Serialize)]
struct RoomFacts<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    readable_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
    /// The time zones of those who ask. A zone stays once its person has asked, because the facts are a prefix of all
    /// prompts in the room.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    time_zones: BTreeMap<&'a UserId, &'a str>,
    members: Members<'a>,
    /// Users who are invited and have not joined.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    invited: BTreeSet<&'a UserId>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Members<'a> {
    Named(BTreeMap<&'a UserId, &'a str>),
    Many(&'a str),
}

impl<'a> Facts<'a> {
    pub(super) fn of(input: &Input<'a>) -> Self {
        let members = if input.names.len() > MEMBERS_MAX {
            Members::Many("too many to name")
        } else {
            let named = input.names.iter().map(|(user, name)| (&**user, first_chars(name, NAME_CHARS_MAX)));
            Members::Named(named.collect())
        };
        let zones = input.room.time_zones.into_iter().flatten().take(MEMBERS_MAX);
        Self {
            room: RoomFacts {
                kind: if matches!(input.kind, Kind::Coworker { .. }) { "room" } else { "private chat" },
                name: input.room.name.map(|name| first_chars(name, NAME_CHARS_MAX)),
                topic: input.room.topic.map(|topic| first_chars(topic, TOPIC_CHARS_MAX)),
                encrypted: input.room.encrypted,
                readable_from: input.room.readable_from.and_then(rfc3339),
                time_zone: input.room.time_zone,
                time_zones: zones.map(|(user, zone)| (&**user, zone.as_str())).collect(),
                members,
                invited: input.room.invited.iter().take(MEMBERS_MAX).map(|user| &**user).collect(),
            },
        }
    }

    pub(super) fn line(&self) -> String {
        line(self)
    }
}
