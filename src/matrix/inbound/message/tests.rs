//! Tables of odd message fields: each costs only itself (rules C5, C7).

use ruma::{event_id, room_id, user_id};
use serde_json::json;

use super::*;
use crate::matrix::inbound::{Rules, from_json};

fn read_json(content: &str) -> EventKind {
    let json = format!(
        r#"{{"type":"m.room.message","event_id":"$e","sender":"@alice:hs","origin_server_ts":5,"content":{content}}}"#
    );
    from_json(room_id!("!r:hs"), &Rules::default(), &json).expect("the envelope is whole").kind
}

fn read(content: &Value) -> EventKind {
    read_json(&content.to_string())
}

/// Parses a text message with an additional field.
fn hello(field: &str, value: &Value) -> Message {
    let mut content = json!({ "msgtype": "m.text", "body": "hello" });
    content[field] = value.clone();
    let EventKind::Message(message) = read(&content) else { panic!("{content} is no message") };
    message
}

/// Returns values that no client should write in any field.
fn odd() -> [Value; 9] {
    [json!(null), json!(7), json!(-1.5), json!(1e300), json!(true), json!("x"), json!([]), json!([null]), json!({})]
}

#[test]
fn c5_of_mentions_what_can_be_read_counts() {
    let (bob, oncall) = (user_id!("@bob:hs"), user_id!("@coworker-oncall:hs"));
    let some = |users: &[&ruma::UserId], room: bool| {
        Some(Mentions { users: users.iter().map(|&user| user.to_owned()).collect(), room })
    };
    let table = [
        (json!({ "user_ids": ["@bob", "@coworker-oncall:hs"] }), some(&[oncall], false)),
        (
            json!({ "user_ids": ["@bob:hs", 5, null, {}, "", "bob", "@:hs ", "@coworker-oncall:hs"] }),
            some(&[bob, oncall], false),
        ),
        (json!({ "user_ids": null }), some(&[], false)),
        (json!({ "user_ids": "@bob:hs" }), some(&[bob], false)),
        (json!({ "user_ids": { "@bob:hs": true } }), some(&[], false)),
        (json!({ "room": "false", "user_ids": ["@bob:hs"] }), some(&[bob], false)),
        (json!({ "room": "true" }), some(&[], false)),
        (json!({ "room": 1, "user_ids": [] }), some(&[], false)),
        (json!({ "room": true, "extra": { "a": [1] } }), some(&[], true)),
        (json!(["@bob:hs", "bob"]), some(&[bob], false)),
        (json!(null), None),
        (json!("@bob:hs"), None),
        (json!(false), None),
    ];
    for (value, expected) in table {
        assert_eq!(hello("m.mentions", &value).mentions, expected, "{value}");
    }
}

#[test]
fn c7_an_odd_optional_field_costs_nothing_but_itself() {
    let plain = Message { mentions: None, ..Message::text("hello") };
    let fields = [
        "format",
        "formatted_body",
        "m.mentions",
        "m.relates_to",
        "m.new_content",
        "info",
        "file",
        "url",
        "filename",
        "geo_uri",
        "m.text",
        "org.matrix.msc1767.message",
        "m.location",
        "io.element.unknown",
    ];
    for field in fields {
        for value in odd() {
            let mut message = hello(field, &value);
            // Another table covers lists and objects here.
            message.mentions = None;
            assert_eq!(message, plain, "{field}: {value}");
        }
    }
    for relation in [
        json!({ "m.in_reply_to": {} }),
        json!({ "m.in_reply_to": null, "rel_type": null }),
        json!({ "m.in_reply_to": { "event_id": 5 } }),
        json!({ "m.in_reply_to": { "event_id": "no id" } }),
        json!({ "rel_type": "m.thread" }),
        json!({ "rel_type": "m.thread", "event_id": null, "is_falling_back": "yes" }),
        json!({ "rel_type": "m.replace" }),
        json!({ "rel_type": "m.replace", "event_id": "no id" }),
        json!({ "rel_type": ["m.thread"], "event_id": "$root" }),
        json!({ "rel_type": "m.unknown", "event_id": "$root", "m.in_reply_to": [] }),
        json!({ "rel_type": "m.annotation", "event_id": "$root", "key": 3 }),
    ] {
        let message = hello("m.relates_to", &relation);
        let relates = relation["rel_type"].is_string() && relation["event_id"].is_string();
        assert_eq!(message, Message { relates, ..plain.clone() }, "{relation}");
    }
    let reply = json!({ "m.in_reply_to": { "event_id": "$it", "more": 1 }, "event_id": 9 });
    assert_eq!(hello("m.relates_to", &reply).reply_to.as_deref(), Some(event_id!("$it")));
    let thread = json!({ "rel_type": "m.thread", "event_id": "$root", "m.in_reply_to": {}, "is_falling_back": "x" });
    assert_eq!(hello("m.relates_to", &thread).thread_root.as_deref(), Some(event_id!("$root")));
}

#[test]
fn c7_of_a_file_what_is_needed_is_read_whatever_else_is_said_of_it() {
    let claims = |info: Value| {
        let content = json!({ "msgtype": "m.image", "body": "a.png", "url": "mxc://hs/abc", "info": info });
        let EventKind::Message(Message { kind, .. }) = read(&content) else { panic!("{content}") };
        let MessageKind::Attachment { name, mime, size, media, .. } = kind else { panic!("{content}") };
        assert_eq!((name.as_str(), media.is_some()), ("a.png", true), "{content}");
        (mime, size)
    };
    let sizes = [
        (json!(130), Some(130)),
        (json!("130"), Some(130)),
        (json!(130.0), Some(130)),
        (json!(" 130 "), Some(130)),
        (json!(-1), None),
        (json!("-1"), None),
        (json!("large"), None),
        (json!(1e300), None),
        (json!(9_007_199_254_740_993_u64), None),
        (json!(null), None),
        (json!([130]), None),
    ];
    for (size, expected) in sizes {
        let info = json!({ "size": size, "w": "60", "h": -40.5, "mimetype": "image/png", "thumbnail_info": 3 });
        assert_eq!(claims(info.clone()), (Some("image/png".to_owned()), expected), "{info}");
    }
    for info in odd() {
        assert_eq!(claims(info.clone()), (None, None), "{info}");
    }
    let thumbnails =
        json!({ "thumbnail_url": 5, "thumbnail_file": { "url": null }, "thumbnail_info": [], "mimetype": 3 });
    assert_eq!(claims(thumbnails), (None, None));
    let nameless = json!({ "msgtype": "m.file", "body": null, "filename": 7, "url": "mxc://hs/abc" });
    let EventKind::Message(message) = read(&nameless) else { panic!("{nameless}") };
    assert!(matches!(message.kind, MessageKind::Attachment { media: Some(_), .. }), "{message:?}");
    let blank = json!({ "msgtype": "m.file", "body": "what is this?", "filename": "", "url": "mxc://hs/abc" });
    let EventKind::Message(message) = read(&blank) else { panic!("{blank}") };
    assert!(!message.is_uncaptioned() && message.body == "what is this?", "{message:?}");
    for (body, is_name) in
        [("explain", false), ("これは？", false), ("hm...", false), ("a.png", true), ("IMG_7.JPG", true)]
    {
        let blank = json!({ "msgtype": "m.file", "body": body, "filename": " ", "url": "mxc://hs/abc" });
        let EventKind::Message(message) = read(&blank) else { panic!("{blank}") };
        assert_eq!(message.is_uncaptioned(), is_name, "{message:?}");
    }
    let lost = json!({ "msgtype": "m.image", "body": "a.png" });
    let EventKind::Message(message) = read(&lost) else { panic!("{lost}") };
    assert!(matches!(message.kind, MessageKind::Attachment { media: None, .. }), "{message:?}");
}

#[test]
fn c7_an_encrypted_file_is_read_by_what_decrypts_it() {
    let hash = "fdSLu/YkRx3Wyh3KQabP3rd6+SFiKg5lsJZQHtkSAYA";
    let file = json!({
        "v": "v2", "url": "mxc://hs/abc", "iv": "w+sE15fzSc0AAAAAAAAAAA", "hashes": { "sha256": hash },
        "key": { "alg": "A256CTR", "ext": true, "k": "aWF6-32KGYaC3A_FEUCk1Bt0JA37zP0wrStgmdCaW-0",
            "key_ops": ["encrypt", "decrypt"], "kty": "oct" },
    });
    let source = |file: &Value| {
        let content = json!({ "msgtype": "m.file", "body": "a", "file": file });
        let EventKind::Message(Message { kind: MessageKind::Attachment { media, .. }, .. }) = read(&content) else {
            panic!("{content}")
        };
        media
    };
    let whole = source(&file).expect("it can be decrypted");
    let changes: [fn(&mut Value); 8] = [
        |file| file["v"] = Value::Null,
        |file| file["mimetype"] = json!(5),
        |file| file["size"] = json!("5"),
        |file| file["key"]["ext"] = Value::Null,
        |file| file["key"]["key_ops"] = json!(["decrypt"]),
        |file| file["key"]["kty"] = json!(["oct"]),
        |file| file["iv"] = json!("w-sE15fzSc0AAAAAAAAAAA=="),
        |file| file["hashes"]["md5"] = json!(1),
    ];
    for change in changes {
        let mut odd = file.clone();
        change(&mut odd);
        assert_eq!(source(&odd).as_ref(), Some(&whole), "{odd}");
    }
    for needed in ["url", "iv", "hashes", "key"] {
        let mut lacking = file.clone();
        lacking[needed] = json!(5);
        assert_eq!(source(&lacking), None, "{lacking}");
    }
}

#[test]
fn c6_an_edit_without_its_new_content_says_what_stands_beside_it() {
    let relation = json!({ "rel_type": "m.replace", "event_id": "$old" });
    for new in odd().into_iter().chain([json!({ "msgtype": "m.text", "body": 5 })]) {
        let content = json!({
            "msgtype": "m.text", "body": "* better", "format": "org.matrix.custom.html",
            "formatted_body": "* <b>better</b>", "m.new_content": new, "m.relates_to": relation,
        });
        let EventKind::Edit { target, new, .. } = read(&content) else { panic!("{content} is no edit") };
        assert_eq!(
            (target.as_str(), new.body.as_str(), new.html.as_deref()),
            ("$old", "better", Some("<b>better</b>"))
        );
    }
}

#[test]
fn c7_words_that_are_not_in_the_body_are_found_where_they_are_and_otherwise_named_as_unreadable() {
    let html = |body: Value| {
        json!({ "msgtype": "m.text", "body": body, "format": "org.matrix.custom.html",
            "formatted_body": "<p>look <b>here</b></p><blockquote>quoted</blockquote>" })
    };
    let table = [
        (html(json!(null)), "look here\n\nquoted\n", MessageKind::Text),
        (html(json!(" ")), "look here\n\nquoted\n", MessageKind::Text),
        (html(json!("plain")), "plain", MessageKind::Text),
        (json!({ "msgtype": "m.text", "m.text": [{ "body": "new form" }] }), "new form", MessageKind::Text),
        (json!({ "body": "no type" }), "no type", MessageKind::Text),
        (json!({ "msgtype": ["m.text"], "body": "odd type" }), "odd type", MessageKind::Text),
        (json!({ "msgtype": "m.text" }), "", MessageKind::Unreadable),
        (json!({ "msgtype": "m.text", "body": 42 }), "", MessageKind::Unreadable),
        (json!({ "msgtype": "m.emote", "body": null }), "", MessageKind::Unreadable),
        (json!({ "msgtype": "org.custom", "body": {} }), "", MessageKind::Unreadable),
        (json!({ "msgtype": 3 }), "", MessageKind::Unreadable),
        (json!({}), "", MessageKind::Unreadable),
        (json!("text"), "", MessageKind::Unreadable),
        (json!({ "msgtype": "m.notice", "body": 1 }), "", MessageKind::Notice),
        (
            json!({ "msgtype": "m.location", "body": "the yard" }),
            "the yard",
            MessageKind::Other("m.location".to_owned()),
        ),
        (json!({ "msgtype": "org.custom", "body": "x" }), "x", MessageKind::Other("org.custom".to_owned())),
    ];
    for (content, body, kind) in table {
        let EventKind::Message(message) = read(&content) else { panic!("{content}") };
        assert_eq!((message.body.trim_end(), &message.kind), (body.trim_end(), &kind), "{content}");
    }
    let asked = json!({ "msgtype": "m.text", "body": null, "m.mentions": { "user_ids": ["@bob:hs"] },
        "m.relates_to": { "rel_type": "m.thread", "event_id": "$root" } });
    let EventKind::Message(message) = read(&asked) else { panic!("{asked}") };
    assert!(message.mentions.is_some_and(|all| all.users.len() == 1) && message.thread_root.is_some());
}

#[test]
fn c7_half_a_character_or_a_key_that_stands_twice_costs_no_message() {
    let table = [
        (r#"{"msgtype":"m.text","body":"half \ud83d"}"#, "half \u{fffd}"),
        (r#"{"msgtype":"m.text","body":"\ude00 half"}"#, "\u{fffd} half"),
        (r#"{"msgtype":"m.text","body":"\ud83d\ud83d\ude00"}"#, "\u{fffd}😀"),
        (r#"{"msgtype":"m.text","body":"\\ud83d is no escape \\\ud83d"}"#, "\\ud83d is no escape \\\u{fffd}"),
        (r#"{"msgtype":"m.text","body":"whole \ud83d\ude00","x":"\udc00"}"#, "whole 😀"),
        (r#"{"msgtype":"m.text","body":"first","body":"second"}"#, "second"),
    ];
    for (content, body) in table {
        let EventKind::Message(message) = read_json(content) else { panic!("{content}") };
        assert_eq!((message.body.as_str(), &message.kind), (body, &MessageKind::Text), "{content}");
    }
}

#[test]
fn c7_a_sticker_is_a_picture_that_asks_nobody() {
    let json = json!({
        "type": "m.sticker", "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5,
        "content": { "body": "thumbs up", "url": "mxc://hs/abc", "info": { "mimetype": "image/png", "w": "x" } },
    });
    let read = from_json(room_id!("!r:hs"), &Rules::default(), &json.to_string()).expect("the envelope is whole");
    let EventKind::Message(message) = read.kind else { panic!("{read:?}") };
    assert!(message.kind.is_sticker() && message.body == "thumbs up", "{message:?}");
}

/// Names, media types and whether there is a source, of each of a message's files.
fn files(message: &Message) -> Vec<(&str, &str, bool)> {
    let file = |file: &'_ MessageKind| match file {
        MessageKind::Attachment { msgtype, name, media, .. } => {
            (&*msgtype.clone().leak(), &*name.clone().leak(), media.is_some())
        }
        other => panic!("{other:?}"),
    };
    message.kind.files().iter().map(file).collect()
}

#[test]
fn c7_every_file_of_a_gallery_is_there_and_its_captions_are_words() {
    let picture = json!({ "itemtype": "m.image", "body": "a.png", "url": "mxc://hs/a", "info": { "size": "9" } });
    let log = json!({ "itemtype": "m.file", "body": "the log of today", "filename": "b.log", "url": "mxc://hs/b" });
    let (both, lost) = (json!([picture, log]), json!([5, null, "x", { "body": "c.txt", "url": 7 }]));
    for (msgtype, body, items, words, expected) in [
        (
            "m.gallery",
            json!("what is wrong?"),
            &both,
            "what is wrong?\nb.log: the log of today",
            vec![("m.image", "a.png", true), ("m.file", "b.log", true)],
        ),
        ("dm.filament.gallery", json!(""), &json!([picture]), "", vec![("m.image", "a.png", true)]),
        ("m.gallery", json!(null), &json!([picture]), "", vec![("m.image", "a.png", true)]),
        ("m.gallery", json!("[a.png: mxc://hs/a]\n"), &json!([picture]), "", vec![("m.image", "a.png", true)]),
        ("m.gallery", json!("see"), &lost, "see", vec![("m.file", "c.txt", false)]),
        ("m.gallery", json!("see"), &json!({}), "see", vec![]),
        ("m.gallery", json!("see"), &json!([]), "see", vec![]),
        ("m.gallery", json!(7), &json!("x"), "", vec![]),
    ] {
        let content = json!({ "msgtype": msgtype, "body": body, "itemtypes": items, "m.mentions": {} });
        let EventKind::Message(message) = read(&content) else { panic!("{content}") };
        assert_eq!((message.body.as_str(), files(&message)), (words, expected.clone()), "{content}");
        assert_eq!(message.is_file_alone(), words.is_empty() && !expected.is_empty(), "{content}");
    }
    let many: Vec<Value> = (0..GALLERY_FILES_MAX + 5).map(|_| picture.clone()).collect();
    let content = json!({ "msgtype": "m.gallery", "body": "all", "itemtypes": many });
    let EventKind::Message(message) = read(&content) else { panic!("no message") };
    assert_eq!(message.kind.files().len(), GALLERY_FILES_MAX);
}

#[test]
fn c7_a_file_is_there_whatever_the_event_or_message_calls_itself() {
    let unknown = json!({ "msgtype": "com.example.scan", "body": "scan.pdf", "url": "mxc://hs/a" });
    let EventKind::Message(message) = read(&unknown) else { panic!("{unknown}") };
    assert_eq!(files(&message), [("com.example.scan", "scan.pdf", true)]);
    let sealed = json!({
        "url": "mxc://hs/b", "name": "b.pdf", "mimetype": "application/pdf", "size": 8, "v": "v2", "iv": "AAAAAAAAAAAAAAAAAAAAAA",
        "key": { "k": "aWF6-32KGYaC3A_FEUCk1Bt0JA37zP0wrStgmdCaW-0" },
        "hashes": { "sha256": "fdSLu/YkRx3Wyh3KQabP3rd6+SFiKg5lsJZQHtkSAYA" },
    });
    for (event_type, mark, file, expected) in [
        ("m.image", "m.file", json!({ "url": "mxc://hs/a", "name": "a.png" }), ("m.image", "a.png", true)),
        ("org.matrix.msc1767.file", "org.matrix.msc1767.file", sealed, ("m.file", "b.pdf", true)),
        ("m.voice", "m.file", json!({ "url": "mxc://hs/a" }), ("m.file", "file", true)),
        ("m.file", "m.file", json!({ "url": "gone", "name": "a" }), ("m.file", "a", false)),
    ] {
        let content = json!({ "m.text": [{ "body": "oncall: see" }], mark: file });
        let json = json!({
            "type": event_type, "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5, "content": content,
        });
        let read = from_json(room_id!("!r:hs"), &Rules::default(), &json.to_string()).expect("whole");
        let EventKind::Message(message) = read.kind else { panic!("{json}") };
        assert_eq!((message.body.as_str(), files(&message)), ("oncall: see", vec![expected]), "{json}");
    }
}

#[test]
fn c6_a_message_that_is_still_being_written_is_known_by_its_mark() {
    let is_live = |content: &Value| match read(content) {
        EventKind::Message(message) | EventKind::Edit { new: message, .. } => message.live,
        other => panic!("{other:?}"),
    };
    let edit = |mark: &str, inside: bool| {
        let new = json!({ "msgtype": "m.text", "body": "how many" });
        let mut edit = json!({
            "msgtype": "m.text", "body": "* how many", "m.new_content": new,
            "m.relates_to": { "rel_type": "m.replace", "event_id": "$ask" },
        });
        if inside {
            edit["m.new_content"][mark] = json!({});
        } else {
            edit[mark] = json!({});
        }
        edit
    };
    for mark in ["org.matrix.msc4357.live", "m.live"] {
        for (value, expected) in [(json!({}), true), (json!(true), true), (json!(false), false), (json!(null), false)] {
            let content = json!({ "msgtype": "m.text", "body": "how", mark: value });
            assert_eq!(is_live(&content), expected, "{content}");
        }
        assert!(is_live(&edit(mark, true)) && is_live(&edit(mark, false)), "{mark}");
    }
    assert!(!is_live(&edit("other", true)));
}

#[test]
fn c5_the_name_of_a_messages_own_profile_hides_neither_a_call_nor_a_command() {
    let under = |profile: &Value, body: &str, html: Option<&str>| {
        let mut content = json!({ "msgtype": "m.text", "body": body, "com.beeper.per_message_profile": profile });
        if let Some(html) = html {
            content["format"] = json!("org.matrix.custom.html");
            content["formatted_body"] = json!(html);
        }
        let EventKind::Message(message) = read(&content) else { panic!("{content} is no message") };
        (message.body, message.html, message.speaks_as)
    };
    let (name, fallback) = (json!({ "displayname": "Ali ☂" }), json!({ "displayname": "Ali ☂", "has_fallback": true }));
    let marked = "<strong data-mx-profile-fallback>Ali ☂: </strong>oncall: <b>why</b>";
    let ali = || Some("Ali ☂".to_owned());
    for (profile, body, html, expected) in [
        (&fallback, "Ali ☂: oncall: why", None, ("oncall: why", None, ali())),
        (&fallback, "Ali ☂: oncall: why", Some(marked), ("oncall: why", Some("oncall: <b>why</b>"), ali())),
        (&name, "Ali ☂: oncall: why", None, ("Ali ☂: oncall: why", None, ali())),
        (&fallback, "oncall: why", Some("oncall: why"), ("oncall: why", Some("oncall: why"), ali())),
        (
            &fallback,
            "x",
            Some("<strong data-mx-profile-fallback"),
            ("x", Some("<strong data-mx-profile-fallback"), ali()),
        ),
        (&json!({ "displayname": " ", "has_fallback": true }), " : x", None, (" : x", None, None)),
        (&json!({ "displayname": 7, "has_fallback": true }), "7: x", None, ("7: x", None, None)),
        (&json!("Ali"), "Ali: x", None, ("Ali: x", None, None)),
    ] {
        let expected = (expected.0.to_owned(), expected.1.map(str::to_owned), expected.2);
        assert_eq!(under(profile, body, html), expected, "{profile} {body}");
    }
}

#[test]
fn c5_the_caption_of_a_file_in_extensible_form_is_its_words() {
    let of = |caption: Value| {
        let content = json!({ "m.text": [{ "body": "x.png (12 KB)" }], "m.file": { "url": "mxc://hs/x", "name": "x.png" }, "m.caption": caption });
        let event = json!({ "type": "m.image", "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5, "content": content });
        let read =
            from_json(room_id!("!r:hs"), &Rules::default(), &event.to_string()).expect("the envelope is whole").kind;
        let EventKind::Message(message) = read else { panic!("{event} is no message") };
        (message.body, message.kind.file_name().map(str::to_owned))
    };
    let said = |body: &str| (body.to_owned(), Some("x.png".to_owned()));
    for caption in [
        json!({ "m.text": [{ "body": "oncall: what is it?" }] }),
        json!([{ "body": "<b>x</b>", "mimetype": "text/html" }, { "body": "oncall: what is it?" }]),
        json!("oncall: what is it?"),
    ] {
        assert_eq!(of(caption.clone()), said("oncall: what is it?"), "{caption}");
    }
    for none in [json!(null), json!({}), json!([]), json!(7), json!(" ")] {
        assert_eq!(of(none.clone()), said("x.png (12 KB)"), "{none}");
    }
}
