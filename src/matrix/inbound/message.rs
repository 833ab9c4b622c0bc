//! Messages (`m.room.message`, `m.sticker`), parsed field by field: an unreadable field costs only itself.

use std::borrow::Cow;

use ruma::{
    events::AnySyncTimelineEvent,
    serde::{JsonObject, Raw},
};
use serde::de::IgnoredAny;
use serde_json::Value;

mod profile;

use self::profile::Profile;
use super::{
    CARD_MARK, facts,
    fields::{content, mentions, number, users},
    has_state_key,
};
use crate::{
    core::{
        address::OwnWords,
        event::{EventKind, GALLERY_FILES_MAX, Location, Mentions, Message, MessageKind, STICKER},
    },
    matrix::source,
};

/// No homeserver accepts a file beyond this size; a larger claim is dropped.
const SIZE_BYTES_MAX: u64 = 1 << 40;
/// The prefix of an edit's fallback text (spec, "Event replacements").
const EDIT_FALLBACK: &str = "* ";

/// Parses an event if it is a message.
pub(super) fn of(raw: &Raw<AnySyncTimelineEvent>) -> Option<EventKind> {
    let event_type = raw.get_field::<String>("type").ok().flatten()?;
    let read: fn(&JsonObject) -> EventKind = match event_type.as_str() {
        "m.room.message" => message,
        STICKER => sticker,
        "m.message" | "org.matrix.msc1767.message" => extensible,
        "m.emote" | "org.matrix.msc1767.emote" => |content| in_the_kind(extensible(content), MessageKind::Emote),
        "m.notice" | "org.matrix.msc1767.notice" => |content| in_the_kind(extensible(content), MessageKind::Notice),
        _ => return None,
    };
    match () {
        () if has_state_key(raw) => None,
        () if is_redacted(raw) => Some(EventKind::Redacted),
        () => Some(read(&content(raw))),
    }
}

/// Prefixes of event types with which people say nothing, whatever they contain: state of rooms, calls, keys, live
/// locations and clients.
const UNSPOKEN: [&str; 24] = [
    "m.room.",
    "m.reaction",
    "m.call",
    "m.key.",
    "m.secret",
    "m.beacon",
    "m.rtc.",
    "m.space",
    "m.policy.",
    "m.poll.",
    "m.dummy",
    "m.olm",
    "m.receipt",
    "m.typing",
    "m.presence",
    "m.forwarded_room_key",
    "m.ignored",
    "m.direct",
    "org.matrix.msc3381.",
    "org.matrix.msc3401.",
    "org.matrix.msc3489.",
    "org.matrix.msc3672.",
    "org.matrix.msc4075.",
    "io.element.call.",
];

/// Returns whether people may say something with events of this unknown type.
pub(super) fn may_be_spoken(event_type: &str) -> bool {
    !event_type.is_empty() && !UNSPOKEN.iter().any(|beginning| event_type.starts_with(beginning))
}

/// Parses an event of an unknown type as a message if it mentions somebody or has a fallback text; so it is answered,
/// or appears in the record.
pub(super) fn of_unknown_type(raw: &Raw<AnySyncTimelineEvent>) -> Option<EventKind> {
    let event_type = raw.get_field::<String>("type").ok().flatten().filter(|event_type| may_be_spoken(event_type))?;
    if has_state_key(raw) {
        return None;
    }
    if is_redacted(raw) {
        return Some(EventKind::Redacted);
    }
    let content = content(raw);
    let (mentions, words) = (mentions(&content), caption(&content).map(Cow::Owned).or_else(|| words(&content, None)));
    let names = mentions.as_ref().is_some_and(|mentions| !mentions.users.is_empty());
    let body = words.map(Cow::into_owned).unwrap_or_default();
    if facts::related(&content, "m.replace").is_some() || (!names && body.trim().is_empty()) {
        return None;
    }
    let kind = extensible_file(&event_type, &content).unwrap_or(MessageKind::Other(event_type));
    let mut message = Message { kind, mentions, ..Message::text(body) };
    relate(&content, &mut message);
    Some(EventKind::Message(message))
}

/// Returns the caption of an event whose type says that it is a file (MSC3551): its own words, beside a text that only
/// describes the file.
fn caption(content: &JsonObject) -> Option<String> {
    let caption = ["m.caption", "org.matrix.msc1767.caption"].iter().find_map(|name| content.get(*name))?;
    match caption {
        Value::Object(caption) => facts::extensible(caption),
        forms => facts::extensible(&JsonObject::from_iter([("m.text".to_owned(), forms.clone())])),
    }
}

/// Reads the file of an event whose type says that it is one (MSC3551 and its siblings; MSC1767 in its first form).
fn extensible_file(event_type: &str, content: &JsonObject) -> Option<MessageKind> {
    let marks = ["m.file", "org.matrix.msc1767.file", "org.matrix.msc3551.file"];
    let file = marks.iter().find_map(|mark| content.get(*mark)?.as_object())?;
    let mut source = JsonObject::new();
    let place = if file.contains_key("key") { "file" } else { "url" };
    let value = if place == "file" { Value::Object(file.clone()) } else { file.get("url")?.clone() };
    source.insert(place.to_owned(), value);
    let last = event_type.rsplit('.').next().unwrap_or_default();
    let msgtype = ["image", "audio", "video"].into_iter().find(|known| *known == last).unwrap_or("file");
    Some(MessageKind::Attachment {
        msgtype: format!("m.{msgtype}"),
        name: text(file, "name").filter(|name| !name.trim().is_empty()).unwrap_or(UNNAMED).to_owned(),
        mime: text(file, "mimetype").map(str::to_owned),
        size: file.get("size").and_then(number).filter(|size| *size <= SIZE_BYTES_MAX),
        voice: last == "voice",
        media: source::source_in(&source),
    })
}

/// Returns a placeholder for an undecryptable message, with its relations from the clear text.
pub(super) fn unreadable(sealed: EventKind) -> EventKind {
    match sealed {
        EventKind::Undecryptable(Some(message)) => {
            EventKind::Message(Message { kind: MessageKind::Unreadable, mentions: None, ..message })
        }
        other => other,
    }
}

fn is_redacted(raw: &Raw<AnySyncTimelineEvent>) -> bool {
    #[derive(serde::Deserialize)]
    struct Unsigned {
        redacted_because: Option<IgnoredAny>,
    }
    raw.get_field::<Unsigned>("unsigned").ok().flatten().is_some_and(|unsigned| unsigned.redacted_because.is_some())
}

fn message(content: &JsonObject) -> EventKind {
    if let Some(target) = facts::related(content, "m.replace") {
        let newly_mentioned = mentions(content).map(|all| all.users).unwrap_or_default();
        let mut new = replaced(content);
        new.live |= is_live(content);
        mark_card(content, &mut new);
        return EventKind::Edit { target, new, newly_mentioned };
    }
    let mut message = said(content);
    mark_card(content, &mut message);
    relate(content, &mut message);
    EventKind::Message(message)
}

/// Returns whether a message is marked as being written still (MSC4357).
fn is_live(content: &JsonObject) -> bool {
    let marks = ["m.live", "org.matrix.msc4357.live"];
    marks.iter().any(|mark| content.get(*mark).is_some_and(|mark| !matches!(mark, Value::Null | Value::Bool(false))))
}

fn relate(content: &JsonObject, message: &mut Message) {
    message.thread_root = facts::related(content, "m.thread");
    message.reply_to = facts::genuine_reply(content);
    message.relates = message.thread_root.is_none() && relates(content);
}

/// Parses an event whose type says what it is and whose text is in `m.text` (MSC1767).
fn extensible(content: &JsonObject) -> EventKind {
    let automated = ["m.automated", "org.matrix.msc3955.automated", "org.matrix.msc1767.automated"];
    let is_automated = automated.iter().any(|mark| content.get(*mark) == Some(&Value::Bool(true)));
    let said = message(content);
    if is_automated { in_the_kind(said, MessageKind::Notice) } else { said }
}

fn in_the_kind(said: EventKind, kind: MessageKind) -> EventKind {
    let with = |message: Message| match message.kind {
        MessageKind::Text => Message { kind, ..message },
        _ => message,
    };
    match said {
        EventKind::Message(message) => EventKind::Message(with(message)),
        EventKind::Edit { target, new, newly_mentioned } => EventKind::Edit { target, new: with(new), newly_mentioned },
        other => other,
    }
}

/// Reads the card mark that `outbound` sets.
fn mark_card(content: &JsonObject, message: &mut Message) {
    if message.kind == MessageKind::Text && content.get(CARD_MARK).is_some_and(|mark| !mark.is_null()) {
        message.kind = MessageKind::Card;
    }
}

/// Returns an edit's new content: `m.new_content`, or else its fallback.
fn replaced(content: &JsonObject) -> Message {
    if let Some(Value::Object(new)) = content.get("m.new_content") {
        let new = said(new);
        if new.kind != MessageKind::Unreadable {
            return new;
        }
    }
    let mut beside = said(content);
    beside.body = without_fallback(&beside.body);
    beside.html = beside.html.as_deref().map(without_fallback);
    beside
}

fn without_fallback(text: &str) -> String {
    text.strip_prefix(EDIT_FALLBACK).unwrap_or(text).to_owned()
}

fn said(content: &JsonObject) -> Message {
    let message = as_sent(content);
    match Profile::of(content) {
        Some(profile) => profile.of_its_own(message),
        None => message,
    }
}

fn as_sent(content: &JsonObject) -> Message {
    let msgtype = text(content, "msgtype").unwrap_or_default();
    let formatted =
        text(content, "formatted_body").filter(|_| text(content, "format") == Some("org.matrix.custom.html"));
    let html = formatted.or_else(|| facts::extensible_html(content).filter(|_| text(content, "body").is_none()));
    let body = words(content, html);
    let kind = match msgtype {
        "m.image" | "m.file" | "m.audio" | "m.video" => attachment(msgtype, file_name(content), content),
        "m.location" => match location(content) {
            Some(location) => MessageKind::Location(location),
            None if body.is_none() => MessageKind::Unreadable,
            None => MessageKind::Other(msgtype.to_owned()),
        },
        "m.notice" => MessageKind::Notice,
        "m.gallery" | "dm.filament.gallery" if has_items(content) => return gallery(content, body, html),
        _ if body.is_none() => MessageKind::Unreadable,
        "m.emote" => MessageKind::Emote,
        // A message without a readable type is text.
        "m.text" | "" => MessageKind::Text,
        // Whatever it calls itself, it carries a file.
        other if source::source_in(content).is_some() => attachment(other, file_name(content), content),
        other => MessageKind::Other(other.to_owned()),
    };
    message_of(kind, content, body.map(Cow::into_owned).unwrap_or_default(), html)
}

fn message_of(kind: MessageKind, content: &JsonObject, body: String, html: Option<&str>) -> Message {
    Message {
        kind,
        body,
        html: html.map(str::to_owned),
        // A verification request names the person it asks in its own field.
        mentions: mentions(content).or_else(|| verified(content)),
        thread_root: None,
        reply_to: None,
        relates: false,
        live: is_live(content),
        speaks_as: None,
    }
}

fn items(content: &JsonObject) -> impl Iterator<Item = &JsonObject> {
    let all = content.get("itemtypes").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_object).take(GALLERY_FILES_MAX)
}

fn has_items(content: &JsonObject) -> bool {
    items(content).next().is_some()
}

/// Reads a gallery (MSC4274). Captions of its files are words like its own.
fn gallery(content: &JsonObject, body: Option<Cow<'_, str>>, html: Option<&str>) -> Message {
    let mut files = Vec::new();
    // Clients that foresee readers without galleries list the files' addresses as its text.
    let is_list = |line: &str| line.trim().is_empty() || line.contains("mxc://");
    let mut said: Vec<String> = Vec::new();
    said.extend(body.map(Cow::into_owned).filter(|body| !body.lines().all(is_list)));
    for item in items(content) {
        let itemtype = text(item, "itemtype").unwrap_or("m.file");
        let name = file_name(item);
        let caption = text(item, "body").filter(|body| text(item, "filename").is_some() && *body != name);
        said.extend(caption.filter(|caption| !caption.trim().is_empty()).map(|caption| format!("{name}: {caption}")));
        files.push(attachment(itemtype, name, item));
    }
    message_of(MessageKind::Gallery(files), content, said.join("\n"), html)
}

/// Returns whether the homeserver counts the event as related to another, by any relation.
fn relates(content: &JsonObject) -> bool {
    let Some(relation) = content.get("m.relates_to") else { return false };
    relation["rel_type"].is_string() && relation["event_id"].is_string()
}

/// Returns a message's text: its body or, if that is empty, another representation.
fn words<'a>(content: &'a JsonObject, html: Option<&str>) -> Option<Cow<'a, str>> {
    let body = text(content, "body");
    if let Some(body) = body.filter(|body| !body.trim().is_empty()) {
        return Some(Cow::Borrowed(body));
    }
    let marked_up = html.map(|html| OwnWords::of_all_html(html).text).filter(|text| !text.trim().is_empty());
    let other = marked_up.or_else(|| facts::extensible(content));
    other.map(Cow::Owned).or(body.map(Cow::Borrowed))
}

/// The name of a file with a caption and a blank name.
const UNNAMED: &str = "file";

/// Returns a file's name; if both fields are present, `body` is the caption. With a blank name, words are one too.
fn file_name(content: &JsonObject) -> &str {
    let name = |field: &str| text(content, field).filter(|name| !name.trim().is_empty());
    let is_caption = |body: &&str| text(content, "filename").is_some() && !is_like_a_name(body.trim());
    let body = name("body").map(|body| if is_caption(&body) { UNNAMED } else { body });
    name("filename").or(body).unwrap_or_default()
}

/// Returns whether a text reads like a file's name: one word with an extension.
fn is_like_a_name(text: &str) -> bool {
    let extension = text.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    !text.contains(char::is_whitespace)
        && !extension.is_empty()
        && extension.chars().all(|letter| letter.is_ascii_alphanumeric())
}

fn attachment(msgtype: &str, name: &str, content: &JsonObject) -> MessageKind {
    let info = content.get("info");
    let marks = ["m.voice", "org.matrix.msc3245.voice"];
    let is_marked = marks.iter().any(|mark| content.get(*mark).is_some_and(|mark| !mark.is_null()));
    MessageKind::Attachment {
        msgtype: msgtype.to_owned(),
        name: name.to_owned(),
        mime: info.and_then(|info| info["mimetype"].as_str()).map(str::to_owned),
        size: info.and_then(|info| number(&info["size"])).filter(|size| *size <= SIZE_BYTES_MAX),
        voice: msgtype == "m.audio" && is_marked,
        media: source::source_in(content),
    }
}

fn sticker(content: &JsonObject) -> EventKind {
    let name = text(content, "body").unwrap_or_default().to_owned();
    EventKind::Message(Message {
        kind: attachment(STICKER, &name, content),
        body: name,
        html: None,
        mentions: mentions(content),
        thread_root: facts::related(content, "m.thread"),
        reply_to: facts::genuine_reply(content),
        relates: false,
        live: false,
        speaks_as: None,
    })
}

fn location(content: &JsonObject) -> Option<Location> {
    let whole = facts::location_of(content)?;
    let geo_uri = text(content, "geo_uri").map_or_else(|| whole.geo_uri.clone(), str::to_owned);
    Some(Location { geo_uri, ..whole })
}

/// Returns the person whom a verification request asks.
fn verified(content: &JsonObject) -> Option<Mentions> {
    let to = content.get("to").filter(|_| text(content, "msgtype") == Some("m.key.verification.request"))?;
    Some(Mentions { users: users(to), room: false })
}

fn text<'a>(content: &'a JsonObject, field: &str) -> Option<&'a str> {
    content.get(field)?.as_str()
}

#[cfg(test)]
mod tests;
