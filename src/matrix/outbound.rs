//! From what the core says to Matrix events.

use ruma::{
    OwnedEventId,
    events::{
        Mentions,
        relation::{InReplyTo, Reply, Thread},
        room::message::{
            MessageType, NoticeMessageEventContent, Relation, ReplacementMetadata, RoomMessageEventContent,
            TextMessageEventContent,
        },
    },
};

use crate::core::event::{Outgoing, OutgoingKind, Place};

/// Returns the event content of a message, with its relation and its mentions.
#[must_use]
pub fn content(message: &Outgoing) -> RoomMessageEventContent {
    let mut content = bare(message);
    content.relates_to = match &message.place {
        Place::Timeline => None,
        Place::Reply { to } => Some(Relation::Reply(Reply::new(InReplyTo::new(to.clone())))),
        Place::Thread { root, latest } => Some(Relation::Thread(Thread::plain(root.clone(), latest.clone()))),
    };
    content
}

/// Returns the content of an edit that puts `message` in the place of `target`.
///
/// `mentioned_before` says whether `target` mentioned the same people, who then are not notified again.
#[must_use]
pub fn edit(message: &Outgoing, target: OwnedEventId, mentioned_before: bool) -> RoomMessageEventContent {
    let before = mentioned_before.then(|| mentions(message));
    bare(message).make_replacement(ReplacementMetadata::new(target, before))
}

fn bare(message: &Outgoing) -> RoomMessageEventContent {
    let body = message.body.clone();
    let msgtype = match (message.kind, message.html.clone()) {
        (OutgoingKind::Text, None) => MessageType::Text(TextMessageEventContent::plain(body)),
        (OutgoingKind::Text, Some(html)) => MessageType::Text(TextMessageEventContent::html(body, html)),
        (OutgoingKind::Notice, None) => MessageType::Notice(NoticeMessageEventContent::plain(body)),
        (OutgoingKind::Notice, Some(html)) => MessageType::Notice(NoticeMessageEventContent::html(body, html)),
    };
    // `m.mentions` is always there: without it, receivers look for names in the body (spec, "Mentioning the user").
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
    use serde_json::json;

    use super::*;

    fn message(place: Place) -> Outgoing {
        Outgoing {
            kind: OutgoingKind::Text,
            body: "hi".to_owned(),
            html: None,
            mentions: BTreeSet::from([user_id!("@alice:hs").to_owned()]),
            place,
        }
    }

    #[test]
    fn an_answer_in_a_thread_falls_back_to_the_latest_event() {
        let place = Place::Thread { root: event_id!("$root").to_owned(), latest: event_id!("$last").to_owned() };
        let json = serde_json::to_value(content(&message(place))).expect("content is JSON");
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
        let json = serde_json::to_value(edit(&message(Place::Timeline), event_id!("$old").to_owned(), true))
            .expect("content is JSON");
        assert_eq!(json["m.mentions"], json!({}));
        assert_eq!(json["m.new_content"]["m.mentions"], json!({ "user_ids": ["@alice:hs"] }));
    }
}
