//! Builds Matrix events from core's messages.

pub(super) use ruma::events::room::MediaSource;
use ruma::{
    OwnedEventId, UInt,
    events::{
        Mentions,
        relation::{InReplyTo, Reply, Thread},
        room::message::{
            FileInfo, FileMessageEventContent, MessageType, NoticeMessageEventContent, Relation, ReplacementMetadata,
            RoomMessageEventContent, TextMessageEventContent,
        },
    },
};
use serde_json::{Value, json};

use super::inbound::{CARD_MARK, SOURCES_MARK};
use crate::core::{
    event::{Outgoing, OutgoingKind, Place},
    media::Preview,
};

/// Returns a message's event content, with its relation, mentions and mark.
#[must_use]
pub(crate) fn content(message: &Outgoing) -> Value {
    marked(message, &related(message))
}

/// Returns the content of an edit that replaces `target` by `message`.
///
/// If `target` mentioned the same people before (`mentioned_before`), they are not notified again.
#[must_use]
pub(crate) fn edit(message: &Outgoing, target: OwnedEventId, mentioned_before: bool) -> Value {
    let before = mentioned_before.then(|| mentions(message));
    marked(message, &bare(message).make_replacement(ReplacementMetadata::new(target, before)))
}

/// Returns the content of a message about an uploaded file.
///
/// # Panics
/// Never: a message's content is JSON.
#[must_use]
pub(crate) fn file(name: &str, media_type: &str, size: usize, source: MediaSource, place: &Place) -> Value {
    let mut info = FileInfo::new();
    info.mimetype = Some(media_type.to_owned());
    info.size = u64::try_from(size).ok().and_then(UInt::new);
    let mut file = FileMessageEventContent::new(name.to_owned(), source);
    file.info = Some(Box::new(info));
    let mut content = RoomMessageEventContent::new(MessageType::File(file));
    content.mentions = Some(Mentions::new());
    content.relates_to = relation(place);
    serde_json::to_value(content).expect("a message's content is JSON")
}

/// Returns a file's message as a picture's, with its size, its uploaded small copy and its blur (MSC2448).
///
/// # Panics
/// Never: a source is JSON.
#[must_use]
pub(crate) fn picture(mut file: Value, preview: &Preview, thumbnail: &MediaSource) -> Value {
    file["msgtype"] = json!("m.image");
    let source = serde_json::to_value(thumbnail).expect("a source is JSON");
    let info = &mut file["info"];
    info["w"] = json!(preview.width);
    info["h"] = json!(preview.height);
    info["xyz.amorgan.blurhash"] = json!(preview.blurhash);
    let small = &preview.thumbnail;
    info["thumbnail_info"] =
        json!({ "w": small.width, "h": small.height, "mimetype": small.media_type, "size": small.bytes.len() });
    for (of, name) in [("url", "thumbnail_url"), ("file", "thumbnail_file")] {
        if let Some(value) = source.get(of) {
            info[name] = value.clone();
        }
    }
    file
}

/// Marks a card, in an edit's new content too, so that it can be told from an answer wherever it is read. An answer's
/// sources stand in it once.
fn marked(message: &Outgoing, content: &RoomMessageEventContent) -> Value {
    let mut content = serde_json::to_value(content).expect("a message's content is JSON");
    if !message.sources.is_empty() {
        let new = if content.get("m.new_content").is_some() { &mut content["m.new_content"] } else { &mut content };
        new[SOURCES_MARK] = json!(message.sources);
    }
    if message.kind == OutgoingKind::Card {
        content[CARD_MARK] = json!({});
        if let Some(new) = content.get_mut("m.new_content") {
            new[CARD_MARK] = json!({});
        }
    }
    content
}

fn related(message: &Outgoing) -> RoomMessageEventContent {
    let mut content = bare(message);
    content.relates_to = relation(&message.place);
    content
}

fn relation<T>(place: &Place) -> Option<Relation<T>> {
    match place {
        Place::Timeline => None,
        Place::Reply { to } => Some(Relation::Reply(Reply::new(InReplyTo::new(to.clone())))),
        Place::Thread { root, latest } => Some(Relation::Thread(Thread::plain(root.clone(), latest.clone()))),
    }
}

fn bare(message: &Outgoing) -> RoomMessageEventContent {
    let body = message.body.clone();
    let msgtype = match (message.kind, message.html.clone()) {
        (OutgoingKind::Text | OutgoingKind::Card, None) => MessageType::Text(TextMessageEventContent::plain(body)),
        (OutgoingKind::Text | OutgoingKind::Card, Some(html)) => {
            MessageType::Text(TextMessageEventContent::html(body, html))
        }
        (OutgoingKind::Notice, None) => MessageType::Notice(NoticeMessageEventContent::plain(body)),
        (OutgoingKind::Notice, Some(html)) => MessageType::Notice(NoticeMessageEventContent::html(body, html)),
    };
    // Always set `m.mentions`: without it, clients search the body for names (spec, "Mentioning the user").
    let mut content = RoomMessageEventContent::new(msgtype);
    content.mentions = Some(mentions(message));
    content
}

fn mentions(message: &Outgoing) -> Mentions {
    Mentions::with_user_ids(message.mentions.iter().cloned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ruma::{event_id, user_id};

    use super::*;
    use crate::core::citing::Cited;

    fn message(place: Place) -> Outgoing {
        Outgoing {
            kind: OutgoingKind::Text,
            body: "hi".to_owned(),
            html: None,
            mentions: BTreeSet::from([user_id!("@alice:hs").to_owned()]),
            place,
            sources: Vec::new(),
        }
    }

    #[test]
    fn an_answer_in_a_thread_falls_back_to_the_latest_event() {
        let place = Place::Thread { root: event_id!("$root").to_owned(), latest: event_id!("$last").to_owned() };
        let json = content(&message(place));
        let expected = json!({
            "msgtype": "m.text", "body": "hi", "m.mentions": { "user_ids": ["@alice:hs"] },
            "m.relates_to": {
                "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
                "m.in_reply_to": { "event_id": "$last" },
            },
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_edit_does_not_notify_the_same_people_again() {
        let json = edit(&message(Place::Timeline), event_id!("$old").to_owned(), true);
        assert_eq!(json["m.mentions"], json!({}));
        assert_eq!(json["m.new_content"]["m.mentions"], json!({ "user_ids": ["@alice:hs"] }));
    }

    #[test]
    fn c13_an_answer_s_sources_stand_in_its_event_once() {
        let cited = Cited { name: "a.pdf, p. 3".to_owned(), link: None, words: "So it is.".to_owned() };
        let answer = Outgoing { sources: vec![cited], ..message(Place::Timeline) };
        let expected = json!([{ "name": "a.pdf, p. 3", "words": "So it is." }]);
        assert_eq!(content(&answer)["dev.workmate.sources"], expected);
        let json = edit(&answer, event_id!("$old").to_owned(), true);
        assert_eq!(json["m.new_content"]["dev.workmate.sources"], expected);
        assert_eq!(json.get("dev.workmate.sources"), None);
    }

    #[test]
    fn c12_a_card_is_text_that_says_what_it_is_and_its_edit_pings_nobody() {
        let card = Outgoing { kind: OutgoingKind::Card, ..message(Place::Timeline) };
        let expected = json!({
            "msgtype": "m.text", "body": "hi", "m.mentions": { "user_ids": ["@alice:hs"] }, "dev.workmate.card": {},
        });
        assert_eq!(content(&card), expected);
        let json = edit(&card, event_id!("$card").to_owned(), true);
        assert_eq!((&json["m.mentions"], &json["dev.workmate.card"]), (&json!({}), &json!({})));
        assert_eq!(json["m.new_content"], expected);
    }
}
