use std::collections::BTreeSet;

use ruma::{OwnedEventId, event_id, room_id, user_id};
use serde_json::{Value, json};

use super::*;
use crate::core::event::{History, Mentions, Message, MessageKind};

fn read(event_type: &str, content: &Value) -> EventKind {
    let json = json!({
        "type": event_type, "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5, "content": content,
    });
    let event = from_json(room_id!("!r:hs"), &Rules::default(), &json.to_string()).expect("the envelope is whole");
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
    let table = [("m.reaction", json!({}), "m.reaction"), ("io.example", json!({ "body": 7 }), "io.example")];
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
        from_json(room_id!("!r:hs"), &Rules::default(), &json.to_string()).expect("the envelope is whole").kind
    };
    let banned = |name: Option<&str>| {
        let display_name = name.map(str::to_owned);
        let (user, membership) = (user_id!("@bob:hs").to_owned(), Membership::Ban);
        EventKind::Member(MemberChange { user, membership, display_name })
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
        assert_eq!(from_json(room_id!("!r:hs"), &Rules::default(), json), None);
    }
}

fn rules(version: &str) -> Rules {
    Rules { version: Version::of(version), levels: None }
}

#[test]
fn c10_what_a_redaction_is_about_stands_where_the_rooms_version_says() {
    let (a, b) = (json!("$a"), json!("$b"));
    let table = [
        // Targets beside and inside the content, and which counts in versions 1, 10, 11, 12 and an unknown one.
        (Some(&a), Some(&a), ["$a", "$a", "$a", "$a", "$a"]),
        (Some(&a), Some(&b), ["$a", "$a", "$b", "$b", ""]),
        (Some(&a), None, ["$a", "$a", "", "", ""]),
        (None, Some(&b), ["", "", "$b", "$b", ""]),
        (None, None, [""; 5]),
        (Some(&Value::Null), Some(&b), ["", "", "$b", "$b", ""]),
    ];
    for (beside, inside, expected) in table {
        let mut event = json!({
            "type": "m.room.redaction", "event_id": "$e", "sender": "@a:hs", "origin_server_ts": 1, "content": {},
        });
        if let Some(beside) = beside {
            event["redacts"] = beside.clone();
        }
        if let Some(inside) = inside {
            event["content"]["redacts"] = inside.clone();
        }
        for (version, expected) in ["1", "10", "11", "12", "org.unknown"].into_iter().zip(expected) {
            let read = from_json(room_id!("!r:hs"), &rules(version), &event.to_string()).expect("an envelope").kind;
            let target = match &read {
                EventKind::Redaction { target, .. } => target.as_str(),
                other => {
                    assert_eq!(*other, EventKind::Other("m.room.redaction".to_owned()));
                    ""
                }
            };
            assert_eq!(target, expected, "{version}: {event}");
        }
        event["state_key"] = json!("");
        let read = from_json(room_id!("!r:hs"), &rules("11"), &event.to_string()).expect("an envelope").kind;
        assert!(!matches!(read, EventKind::Redaction { .. }), "state redacts nothing: {event}");
    }
}

/// Returns an event as the SDK decrypts it: the ciphertext's content with the envelope's fields.
fn decrypted(event_type: &str, content: &Value, more: &Value) -> EventKind {
    let mut event = json!({
        "type": event_type, "event_id": "$e", "sender": "@mallory:hs", "origin_server_ts": 5, "room_id": "!r:hs",
        "content": content,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    let info = serde_json::json!({
        "sender": "@mallory:hs", "sender_device": "DEVICE",
        "algorithm_info": { "MegolmV1AesSha2": { "curve25519_key": "k", "sender_claimed_keys": {}, "session_id": "s" } },
        "verification_state": "Verified",
    });
    let whole = json!({ "kind": { "Decrypted": { "event": event, "encryption_info": info } } });
    let timeline: TimelineEvent = serde_json::from_value(whole).expect("an event of the SDK's");
    let powerful = Rules { version: Version::of("11"), levels: None };
    let read = from_timeline(room_id!("!r:hs"), &powerful, &timeline).expect("an envelope");
    assert!(read.was_encrypted);
    read.event.kind
}

#[test]
fn c8_what_was_decrypted_and_is_no_json_is_a_message_that_cannot_be_read_and_waits_for_no_key() {
    let relation = json!({ "rel_type": "m.thread", "event_id": "$root" });
    let event = json!({
        "type": "m.room.encrypted", "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5,
        "content": { "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s", "m.relates_to": relation },
    });
    let read = |reason: &str| {
        let info = json!({ "session_id": "s", "reason": reason });
        let whole = json!({ "kind": { "UnableToDecrypt": { "event": event, "utd_info": info } } });
        let timeline: TimelineEvent = serde_json::from_value(whole).expect("an event of the SDK's");
        from_timeline(room_id!("!r:hs"), &Rules::default(), &timeline).expect("an envelope")
    };
    let broken = read("PayloadDeserializationFailure");
    let EventKind::Message(message) = &broken.event.kind else { panic!("{broken:?}") };
    assert_eq!((&message.kind, message.thread_root.as_deref()), (&MessageKind::Unreadable, Some(event_id!("$root"))));
    assert!(broken.sealed.is_none() && broken.was_encrypted);
    assert!(read("MegolmDecryptionFailure").sealed.is_some());
}

#[test]
fn c12_a_reaction_counts_only_where_clients_show_one() {
    for (rel_type, counts) in [("m.annotation", true), ("m.reference", false), ("m.thread", false), ("", false)] {
        let content = json!({ "m.relates_to": { "rel_type": rel_type, "event_id": "$card", "key": "✅" } });
        let event = json!({ "type": "m.reaction", "event_id": "$r", "sender": "@a:hs", "origin_server_ts": 1,
            "content": content });
        let raw = Raw::from_json_string(event.to_string()).expect("JSON");
        let read = from_raw(room_id!("!r:hs"), &Rules::default(), &raw).expect("an event");
        assert_eq!(matches!(read.kind, EventKind::Reaction { .. }), counts, "{rel_type}");
    }
}

#[test]
fn c10_of_what_was_decrypted_only_what_people_say_counts() {
    let target = json!({ "redacts": "$victim" });
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$victim", "key": "🛑" } });
    let pretended = [
        ("m.room.redaction", target.clone(), json!({})),
        ("m.room.redaction", target.clone(), json!({ "redacts": "$victim" })),
        ("m.room.redaction", json!({}), json!({ "redacts": "$victim" })),
        ("m.reaction", reaction, json!({})),
        ("m.room.member", json!({ "membership": "leave" }), json!({ "state_key": "@coworker-oncall:hs" })),
        ("m.room.member", json!({ "membership": "ban" }), json!({ "state_key": "@coworker-oncall:hs" })),
        ("m.room.topic", json!({ "topic": "obey mallory" }), json!({ "state_key": "" })),
        ("m.room.topic", json!({ "topic": "obey mallory" }), json!({})),
        ("m.room.name", json!({ "name": "payroll" }), json!({ "state_key": "" })),
        ("m.room.power_levels", json!({ "users": { "@mallory:hs": 100 } }), json!({ "state_key": "" })),
        ("m.room.history_visibility", json!({ "history_visibility": "shared" }), json!({ "state_key": "" })),
        ("m.room.tombstone", json!({ "replacement_room": "!x:hs" }), json!({ "state_key": "" })),
        ("m.room.pinned_events", json!({ "pinned": ["$victim"] }), json!({ "state_key": "" })),
        ("m.room.create", json!({ "creator": "@mallory:hs" }), json!({ "state_key": "" })),
        ("m.room.encrypted", json!({ "algorithm": "m.megolm.v1.aes-sha2" }), json!({})),
        // With a state key, a message is state and no message.
        ("m.room.message", json!({ "msgtype": "m.text", "body": "hi" }), json!({ "state_key": "" })),
        ("m.room.message", json!({ "msgtype": "m.text", "body": "hi" }), json!({ "state_key": null })),
        ("m.room.message", json!({ "msgtype": "m.text", "body": "hi" }), json!({ "state_key": 7 })),
        ("org.matrix.msc3381.poll.end", json!({}), json!({ "state_key": "" })),
    ];
    for (event_type, content, more) in pretended {
        let kind = decrypted(event_type, &content, &more);
        assert_eq!(kind, EventKind::Other("m.room.encrypted".to_owned()), "{event_type} {content} {more}");
    }
    let said = decrypted("m.room.message", &json!({ "msgtype": "m.text", "body": "hi" }), &json!({}));
    assert!(matches!(said, EventKind::Message(_)), "{said:?}");
    let place = json!({ "geo_uri": "geo:1,2", "m.location": { "uri": "geo:1,2" } });
    assert!(matches!(decrypted("m.location", &place, &json!({})), EventKind::Message(_)));
}

#[test]
fn c6_an_unencrypted_edit_of_an_encrypted_message_counts_for_nothing() {
    let sent = |id: &str, was_encrypted: bool, kind: EventKind| {
        let event = RoomEvent {
            room: room_id!("!r:hs").to_owned(),
            id: OwnedEventId::try_from(id).expect("an event id"),
            sender: user_id!("@a:hs").to_owned(),
            sent_at: Timestamp::from_ms(1),
            kind,
        };
        Read { was_encrypted, ..Read::plain(event) }
    };
    let edit = |target: &str| EventKind::Edit {
        target: OwnedEventId::try_from(target).expect("an event id"),
        new: Message::text("new"),
        newly_mentioned: BTreeSet::new(),
    };
    let said = || EventKind::Message(Message::text("old"));
    for (original, replacement, counts) in
        [(true, false, false), (true, true, true), (false, false, true), (false, true, true)]
    {
        let read = [sent("$1", original, said()), sent("$2", replacement, edit("$1"))];
        let kinds: Vec<_> = together(read.iter()).into_iter().map(|event| event.kind).collect();
        let expected = if counts { edit("$1") } else { EventKind::Other("m.room.message".to_owned()) };
        assert_eq!(kinds, [said(), expected], "{original} {replacement}");
    }
}

#[test]
fn g_events_of_types_that_nobody_knows_are_messages_where_they_name_somebody_or_have_words() {
    let oncall = ruma::user_id!("@coworker-oncall:hs");
    let mentions = json!({ "user_ids": [oncall] });
    let text = |forms: &Value| json!({ "m.text": forms, "m.mentions": mentions });
    let pill = format!("<a href=\"https://matrix.to/#/{oncall}\">oncall</a>: hi");
    let table = [
        ("m.message", text(&json!([{ "body": "hi" }])), Some((MessageKind::Text, "hi", true))),
        ("m.message", text(&json!("hi")), Some((MessageKind::Text, "hi", true))),
        ("m.message", json!({ "m.text": [{ "body": "hi" }] }), Some((MessageKind::Text, "hi", false))),
        (
            "m.message",
            text(&json!([{ "mimetype": "text/html", "body": pill }])),
            Some((MessageKind::Text, "oncall: hi", true)),
        ),
        (
            "org.matrix.msc1767.message",
            json!({ "org.matrix.msc1767.text": "hi" }),
            Some((MessageKind::Text, "hi", false)),
        ),
        ("m.emote", text(&json!([{ "body": "waves" }])), Some((MessageKind::Emote, "waves", true))),
        ("m.notice", text(&json!([{ "body": "done" }])), Some((MessageKind::Notice, "done", true))),
        (
            "m.message",
            json!({ "m.text": [{ "body": "done" }], "m.automated": true }),
            Some((MessageKind::Notice, "done", false)),
        ),
        ("m.contact", json!({ "m.mentions": mentions }), Some((MessageKind::Other("m.contact".to_owned()), "", true))),
        (
            "m.audio",
            json!({ "m.mentions": mentions, "body": "a.ogg" }),
            Some((MessageKind::Other("m.audio".to_owned()), "a.ogg", true)),
        ),
        (
            "org.example.odd",
            json!({ "body": "look" }),
            Some((MessageKind::Other("org.example.odd".to_owned()), "look", false)),
        ),
        ("org.example.odd", json!({ "data": 7 }), None),
        // Events that machines and rooms exchange among themselves.
        ("m.room.server_notice", json!({ "m.mentions": mentions, "body": "full" }), None),
        ("m.call.notify", json!({ "m.mentions": mentions }), None),
        ("org.matrix.msc4075.rtc.notification", json!({ "m.mentions": mentions }), None),
        ("m.key.verification.start", json!({ "m.mentions": mentions }), None),
        ("org.matrix.msc3672.beacon", json!({ "m.mentions": mentions }), None),
    ];
    for (event_type, content, expected) in table {
        for kind in [read(event_type, &content), decrypted(event_type, &content, &json!({}))] {
            let found = match &kind {
                EventKind::Message(message) => {
                    let mentions = message.mentions.as_ref().is_some_and(|mentions| mentions.users.contains(oncall));
                    Some((message.kind.clone(), message.body.as_str(), mentions))
                }
                EventKind::Other(_) => None,
                kind => panic!("{kind:?}"),
            };
            assert_eq!(found, expected, "{event_type} {content}");
        }
    }
    let state = decrypted("org.example.odd", &json!({ "m.mentions": mentions }), &json!({ "state_key": "" }));
    assert_eq!(state, EventKind::Other("m.room.encrypted".to_owned()));
    let edit = json!({ "m.text": "new", "m.new_content": { "m.text": "new" }, "m.relates_to": { "rel_type": "m.replace", "event_id": "$e" } });
    assert!(matches!(read("m.message", &edit), EventKind::Edit { new, .. } if new.body == "new"));
}

#[test]
fn a11_a_request_for_a_verification_names_whom_it_asks() {
    let content = json!({ "msgtype": "m.key.verification.request", "body": "…", "from_device": "D", "to": "@coworker-ci:hs", "methods": ["m.sas.v1"] });
    let EventKind::Message(message) = read("m.room.message", &content) else { panic!("no message") };
    assert_eq!(
        message.mentions.map(|mentions| mentions.users),
        Some([ruma::user_id!("@coworker-ci:hs").to_owned()].into())
    );
}

#[test]
fn b_a_field_nested_too_deeply_costs_only_itself() {
    for depth in [50, 124, 130, 200, 5_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let odd = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let json = format!(
                r#"{{"type":"m.room.message","event_id":"$a","sender":"@alice:hs","origin_server_ts":7,"content":{{
                    "msgtype":"m.text","body":"hi","odd":{odd},"m.mentions":{{"user_ids":["@bob:hs"]}}}}}}"#
            );
            let read = from_json(ruma::room_id!("!r:hs"), &Rules::default(), &json).expect("an envelope");
            assert!(read.mentions(user_id!("@bob:hs")), "{depth} {open}");
        }
    }
}
