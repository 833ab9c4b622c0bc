use std::collections::BTreeSet;

use ruma::{event_id, room_id, user_id};
use serde_json::{Value, json};

use super::*;
use crate::core::visibility::History;

fn read(event_type: &str, content: &Value) -> EventKind {
    let json = json!({
        "type": event_type, "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5, "content": content,
    });
    let event = from_json(room_id!("!r:hs"), &json.to_string()).expect("the envelope is whole");
    assert_eq!((event.sent_at, event.sender.as_str()), (Timestamp::from_ms(5), "@alice:hs"));
    event.kind
}

#[test]
fn c5_a_fallback_reply_in_a_thread_is_no_reply() {
    let relation = json!({
        "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
        "m.in_reply_to": { "event_id": "$last" },
    });
    let kind = read(
        "m.room.message",
        &json!({ "msgtype": "m.text", "body": "hi", "m.mentions": { "user_ids": ["@bob:hs"] }, "m.relates_to": relation }),
    );
    let expected = Message {
        mentions: Some(Mentions { users: BTreeSet::from([user_id!("@bob:hs").to_owned()]), room: false }),
        thread_root: Some(event_id!("$root").to_owned()),
        ..Message::text("hi")
    };
    assert_eq!(kind, EventKind::Message(expected));
}

#[test]
fn c6_an_edit_names_its_target_and_who_is_newly_mentioned() {
    let kind = read(
        "m.room.message",
        &json!({
            "msgtype": "m.text", "body": "* new", "m.mentions": { "user_ids": ["@bob:hs"] },
            "m.new_content": { "msgtype": "m.text", "body": "new" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": "$old" },
        }),
    );
    let expected = EventKind::Edit {
        target: event_id!("$old").to_owned(),
        new: Message { mentions: None, ..Message::text("new") },
        newly_mentioned: BTreeSet::from([user_id!("@bob:hs").to_owned()]),
    };
    assert_eq!(kind, expected);
}

#[test]
fn c12_a_card_and_its_edit_are_known_by_their_mark() {
    let card = Message { kind: MessageKind::Card, mentions: None, ..Message::text("May I?") };
    let said = json!({ "msgtype": "m.text", "body": "May I?", CARD_MARK: {} });
    assert_eq!(read("m.room.message", &said), EventKind::Message(card.clone()));
    let edit = json!({
        "msgtype": "m.text", "body": "* May I?", CARD_MARK: {}, "m.new_content": said,
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$card" },
    });
    let expected =
        EventKind::Edit { target: event_id!("$card").to_owned(), new: card, newly_mentioned: BTreeSet::new() };
    assert_eq!(read("m.room.message", &edit), expected);
    let notice = json!({ "msgtype": "m.notice", "body": "May I?", CARD_MARK: {} });
    let EventKind::Message(notice) = read("m.room.message", &notice) else { panic!("a notice") };
    assert_eq!(notice.kind, MessageKind::Notice);
}

#[test]
fn a_file_keeps_its_claims_and_a_voice_message_is_known_by_either_mark() {
    let table = [
        (
            json!({ "msgtype": "m.image", "body": "look", "filename": "a.png", "url": "mxc://hs/abc",
            "info": { "mimetype": "image/png", "size": 7 } }),
            ("a.png", Some("image/png"), Some(7), false, true),
        ),
        (
            json!({ "msgtype": "m.audio", "body": "v.ogg", "url": "mxc://hs/abc", "org.matrix.msc3245.voice": {} }),
            ("v.ogg", None, None, true, true),
        ),
        (
            json!({ "msgtype": "m.audio", "body": "v.ogg", "url": "mxc://hs/abc", "m.voice": {} }),
            ("v.ogg", None, None, true, true),
        ),
        (
            json!({ "msgtype": "m.audio", "body": "song.ogg", "url": "mxc://hs/abc" }),
            ("song.ogg", None, None, false, true),
        ),
        (json!({ "msgtype": "m.file", "body": "x", "url": "https://elsewhere/x" }), ("x", None, None, false, false)),
        (json!({ "msgtype": "m.file", "body": "x", "url": "mxc://hs/../../x" }), ("x", None, None, false, false)),
        (
            json!({ "msgtype": "m.file", "body": "x", "url": format!("mxc://{}/x", "a".repeat(250)) }),
            ("x", None, None, false, false),
        ),
    ];
    for (content, expected) in table {
        let EventKind::Message(message) = read("m.room.message", &content) else { panic!("{content}") };
        let MessageKind::Attachment { name, mime, size, voice, media, .. } = &message.kind else { panic!("{content}") };
        assert_eq!((name.as_str(), mime.as_deref(), *size, *voice, media.is_some()), expected, "{content}");
    }
}

#[test]
fn a_caption_keeps_its_html_in_which_somebody_may_be_mentioned() {
    let kind = read(
        "m.room.message",
        &json!({ "msgtype": "m.image", "body": "oncall look", "filename": "a.png", "url": "mxc://hs/abc",
            "format": "org.matrix.custom.html", "formatted_body": "<b>oncall</b> look" }),
    );
    let EventKind::Message(message) = kind else { panic!("{kind:?}") };
    assert_eq!((message.body.as_str(), message.html.as_deref()), ("oncall look", Some("<b>oncall</b> look")));
}

#[test]
fn content_that_breaks_the_spec_is_there_but_says_nothing() {
    let table = [
        ("m.room.message", json!({ "msgtype": 3 }), "m.room.message"),
        ("m.reaction", json!({}), "m.reaction"),
        ("io.example", json!({ "body": "x" }), "io.example"),
    ];
    for (event_type, content, expected) in table {
        assert_eq!(read(event_type, &content), EventKind::Other(expected.to_owned()));
    }
}

#[test]
fn c8_the_likely_cause_of_a_missing_key_is_what_the_senders_client_says() {
    let missing = |withheld_code| UnableToDecryptReason::MissingMegolmSession { withheld_code };
    let table = [
        (missing(None), KeyMissing::NotSent),
        (missing(Some(WithheldCode::NoOlm)), KeyMissing::NotSent),
        (missing(Some(WithheldCode::Unavailable)), KeyMissing::NotSent),
        (missing(Some(WithheldCode::Blacklisted)), KeyMissing::Withheld),
        (missing(Some(WithheldCode::Unverified)), KeyMissing::Withheld),
        (missing(Some(WithheldCode::Unauthorised)), KeyMissing::Withheld),
        (missing(Some(WithheldCode::HistoryNotShared)), KeyMissing::BeforeJoining),
        (UnableToDecryptReason::UnknownMegolmMessageIndex, KeyMissing::BeforeJoining),
        (UnableToDecryptReason::MegolmDecryptionFailure, KeyMissing::NotSent),
    ];
    for (reason, expected) in table {
        assert_eq!(key_missing(&reason), expected, "{reason:?}");
    }
}

#[test]
fn a8_a_membership_counts_whatever_else_its_content_holds_and_a_visibility_only_as_the_rooms_own() {
    let read = |event_type: &str, state_key: &str, content: Value| {
        let json = json!({ "type": event_type, "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5,
            "state_key": state_key, "content": content });
        from_json(room_id!("!r:hs"), &json.to_string()).expect("the envelope is whole").kind
    };
    let banned = |name: Option<&str>| {
        let display_name = name.map(str::to_owned);
        let (user, membership) = (user_id!("@bob:hs").to_owned(), Membership::Ban);
        EventKind::Member(MemberChange { user, membership, display_name, is_direct: false })
    };
    assert_eq!(read("m.room.member", "@bob:hs", json!({ "membership": "ban", "displayname": "b" })), banned(Some("b")));
    assert_eq!(read("m.room.member", "@bob:hs", json!({ "membership": "ban", "displayname": 5 })), banned(None));
    let visibility = |key: &str, content: Value| read("m.room.history_visibility", key, content);
    let shared = json!({ "history_visibility": "shared" });
    assert_eq!(visibility("", shared.clone()), EventKind::HistoryVisibility(History::Shared));
    assert_eq!(visibility("", json!({})), EventKind::HistoryVisibility(History::Joined));
    assert!(matches!(visibility("elsewhere", shared), EventKind::Other(_)));
}

#[test]
fn an_event_without_an_envelope_is_dropped() {
    for json in ["", "[]", r#"{"type":"m.room.message"}"#, r#"{"event_id":"$e","sender":"alice"}"#] {
        assert_eq!(from_json(room_id!("!r:hs"), json), None);
    }
}
