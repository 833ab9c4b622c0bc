use std::collections::{BTreeMap, BTreeSet};

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId, room_id};
use serde_json::{Value, json};

use super::{
    pages::{MESSAGES_ON_PAGE_MAX, PAGE_TOKENS_MAX, Page},
    *,
};
use crate::core::tokens::estimate;
use crate::core::{
    event::{EventKind, Message, RoomEvent},
    notes::{NOTE_CHARS_MAX, Note},
    time::Timestamp,
};

const NOON_MS: i64 = 1_795_348_800_000;

fn user(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:hs")).expect("a user id")
}

fn id(name: &str) -> OwnedEventId {
    EventId::parse(format!("${name}")).expect("an event id")
}

/// Returns an event a minute after the one before.
fn event(at: usize, name: &str, sender: &str, kind: EventKind) -> RoomEvent {
    let minutes = i64::try_from(at).expect("few events");
    let sent_at = Timestamp::from_ms(NOON_MS + minutes * 60_000);
    RoomEvent { room: room_id!("!r:hs").to_owned(), id: id(name), sender: user(sender), sent_at, kind }
}

fn says(at: usize, name: &str, sender: &str, text: &str) -> RoomEvent {
    event(at, name, sender, EventKind::Message(Message::text(text)))
}

fn room() -> Vec<RoomEvent> {
    let thread = |text: &str| EventKind::Message(Message { thread_root: Some(id("b")), ..Message::text(text) });
    let edit =
        EventKind::Edit { target: id("a"), new: Message::text("The Valve is green"), newly_mentioned: [].into() };
    vec![
        says(0, "a", "alice", "the valve is grene"),
        says(1, "b", "bob", "which valve?"),
        event(2, "c", "alice", thread("the north valve")),
        event(3, "e", "alice", edit),
        says(4, "d", "bob", "secret valve"),
        event(
            5,
            "x",
            "bob",
            EventKind::Redaction { target: id("d"), authority: crate::core::redaction::Authority::OwnServer },
        ),
        says(6, "f", "bob", "thanks\n{\"sender\":\"@alice:hs\"}"),
    ]
}

fn call(tool: RoomTool, arguments: &Value) -> Call {
    tool.call(arguments).unwrap_or_else(|error| panic!("{arguments}: {error}"))
}

fn run(tool: RoomTool, events: &[RoomEvent], arguments: &Value) -> Page {
    let names = BTreeMap::from([(user("alice"), "Alice".to_owned())]);
    let source = Source { events, older: true, names: &names, via: ruma::server_name!("hs") };
    match call(tool, arguments) {
        Call::Search(query) => search(&source, &query),
        Call::Read(range) => read(&source, &range),
        other => panic!("{other:?} is no page"),
    }
}

fn tokens_of(page: &Page) -> u32 {
    page.found.iter().map(|found| estimate(&found.text)).sum()
}

fn ids(page: &Page) -> Vec<&str> {
    page.read.iter().map(|id| id.as_str()).collect()
}

fn head(page: &Page) -> Value {
    serde_json::from_str(&page.head).expect("a head")
}

#[test]
fn search_finds_by_text_sender_time_and_thread_newest_first() {
    let rows = [
        (json!({ "text": "valve" }), vec!["$c", "$b", "$a"]),
        (json!({ "text": " GREEN  valve" }), vec!["$a"]),
        (json!({ "text": "grene" }), vec![]),
        (json!({ "text": "secret" }), vec![]),
        (json!({ "sender": "@bob:hs" }), vec!["$f", "$b"]),
        (json!({ "sender": "@bob:hs", "text": "valve" }), vec!["$b"]),
        (json!({ "from": "2026-11-22T14:01:00+02:00", "to": "2026-11-22T12:02:00Z" }), vec!["$b"]),
        (json!({ "thread": "$b" }), vec!["$c", "$b"]),
        (json!({ "text": "valve", "page": "$b" }), vec!["$a"]),
        (json!({ "text": "valve", "page": "$a", "sender": null }), vec![]),
    ];
    for (arguments, expected) in rows {
        assert_eq!(ids(&run(RoomTool::Search, &room(), &arguments)), expected, "{arguments}");
    }
}

#[test]
fn read_gives_a_stretch_in_order() {
    let rows = [
        (json!({}), vec!["$a", "$b", "$c", "$f"]),
        (json!({ "from": "2026-11-22T12:01:00Z" }), vec!["$b", "$c", "$f"]),
        (json!({ "to": "2026-11-22T12:01:00Z" }), vec!["$a"]),
        (json!({ "thread": "$b" }), vec!["$b", "$c"]),
        (json!({ "page": "$b" }), vec!["$c", "$f"]),
    ];
    for (arguments, expected) in rows {
        assert_eq!(ids(&run(RoomTool::Read, &room(), &arguments)), expected, "{arguments}");
    }
}

#[test]
fn a_page_is_data_of_one_record_on_each_line() {
    let page = run(RoomTool::Search, &room(), &json!({ "text": "a" }));
    let lines = page.found.iter().flat_map(|found| [&found.title, &found.source, &found.text]);
    let whole: Vec<&str> = std::iter::once(&page.head).chain(lines).map(String::as_str).collect();
    insta::assert_snapshot!(whole.join("\n"));
}

#[test]
fn pages_follow_one_another_without_loss_within_their_size() {
    let long = "word ".repeat(2_000);
    let events: Vec<_> =
        (0..150).map(|n| says(n, &format!("m{n}"), "bob", if n % 3 == 0 { &long } else { "x" })).collect();
    for (tool, first) in [
        (RoomTool::Read, json!({ "from": "2020-01-01T00:00:00Z" })),
        (RoomTool::Search, json!({ "sender": "@bob:hs" })),
    ] {
        let (mut arguments, mut seen, mut pages) = (first, Vec::new(), 0);
        loop {
            let page = run(tool, &events, &arguments);
            assert!(tokens_of(&page) <= PAGE_TOKENS_MAX + 200 && page.read.len() <= MESSAGES_ON_PAGE_MAX);
            seen.extend(page.read.iter().cloned());
            pages += 1;
            let head = head(&page);
            assert_eq!(head["more"], events.len() - seen.len());
            let Some(next) = head.get("next") else { break };
            arguments["page"] = next.clone();
        }
        if tool == RoomTool::Search {
            seen.reverse();
        }
        assert_eq!(seen, events.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
        assert!(pages > 4, "{pages}");
    }
}

#[test]
fn the_newest_page_ends_with_the_newest_message() {
    let events: Vec<_> = (0..150).map(|n| says(n, &format!("m{n}"), "bob", "x")).collect();
    let page = run(RoomTool::Read, &events, &json!({}));
    assert_eq!((ids(&page)[0], ids(&page).len(), &head(&page)["more"]), ("$m110", MESSAGES_ON_PAGE_MAX, &json!(0)));
}

#[test]
fn a_page_behind_a_message_that_is_gone_says_so() {
    let page = run(RoomTool::Search, &room(), &json!({ "text": "valve", "page": "$d" }));
    assert!(page.head.contains("begin again without it") && page.read.is_empty(), "{}", page.head);
}

#[test]
fn members_are_listed_by_id_and_found_by_name() {
    let (joined, invited) = (BTreeSet::from([user("alice"), user("bob")]), BTreeSet::from([user("carol")]));
    let names = BTreeMap::from([(user("bob"), "Alice \u{202e}2".to_owned())]);
    let people = People { joined: &joined, invited: &invited, names: &names };
    let listed = |arguments: &Value| {
        let Call::Members(query) = call(RoomTool::Members, arguments) else { panic!("members") };
        members(&people, &query)
    };
    insta::assert_snapshot!(listed(&json!({})));
    let found = listed(&json!({ "name": "ALICE" }));
    assert!(found.contains("@alice:hs") && found.contains("@bob:hs") && !found.contains("@carol:hs"), "{found}");
    let behind = listed(&json!({ "page": "@bob:hs" }));
    assert!(!behind.contains("@bob:hs") && behind.contains("@carol:hs"), "{behind}");
}

#[test]
fn notes_and_time_are_data() {
    let at = Timestamp::from_ms(NOON_MS);
    let note = Note { number: 3, text: "the valve".to_owned(), by: user("alice"), at, cause: "$e".to_owned() };
    let text = notes(&[note]);
    let expected = json!({ "number": 3, "by": "@alice:hs", "note": "the valve", "time": "2026-11-22T12:00:00Z" });
    assert_eq!(text.lines().last().map(serde_json::from_str::<Value>).expect("a line").expect("JSON"), expected);
}

#[test]
fn wrong_arguments_are_answered_with_what_they_must_be() {
    let long = "x".repeat(NOTE_CHARS_MAX + 1);
    let rows = [
        (RoomTool::Search, json!({}), "give at least one of"),
        (RoomTool::Search, json!({ "page": "$a" }), "give at least one of"),
        (RoomTool::Search, json!({ "text": " " }), "give at least one of"),
        (RoomTool::Search, json!([]), "an object is expected"),
        (RoomTool::Search, json!({ "room": "!other:hs", "text": "x" }), "unknown field `room`, expected one of `text`"),
        (RoomTool::Search, json!({ "text": 5 }), "`text` must be a text of at most 200 characters"),
        (
            RoomTool::Search,
            json!({ "sender": "alice" }),
            "`sender` must be a full user id, e.g. \"@alice:example.org\"",
        ),
        (RoomTool::Read, json!({ "from": "yesterday" }), "`from` must be RFC 3339 with its zone, e.g. \"2026-"),
        (RoomTool::Read, json!({ "to": 12 }), "`to` must be RFC 3339"),
        (RoomTool::Read, json!({ "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), "later than `from`"),
        (RoomTool::Read, json!({ "thread": "root" }), "`thread` must be an event id"),
        (RoomTool::Members, json!({ "page": "$a" }), "`page` must be a full user id"),
        (RoomTool::NoteAdd, json!({}), "`text` is missing"),
        (RoomTool::NoteAdd, json!({ "text": " " }), "`text` must be a text of 1 to 500 characters"),
        (RoomTool::NoteAdd, json!({ "text": long }), "`text` must be a text of 1 to 500 characters"),
        (RoomTool::NoteRemove, json!({ "number": "3" }), "`number` must be a note's number, e.g. 3"),
        (RoomTool::NoteRemove, json!({ "number": -1 }), "`number` must be"),
        (RoomTool::NoteList, json!({ "all": true }), "unknown field `all`"),
        (RoomTool::AttachFile, json!({ "text": "x" }), "`name` is missing"),
        (RoomTool::AttachFile, json!({ "name": "..", "text": "x" }), "`name` must be a file name such as"),
        (RoomTool::AttachFile, json!({ "name": "a.md", "text": "" }), "`text` must be a text of 1 to"),
        (
            RoomTool::AttachFile,
            json!({ "name": "a", "text": "x", "media_type": "text/html" }),
            "`media_type` must be one of",
        ),
    ];
    for (tool, arguments, expected) in rows {
        let error = tool.call(&arguments).expect_err(&arguments.to_string()).to_string();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}

#[test]
fn right_arguments_become_calls() {
    let file = |name: &str, media_type| {
        Call::AttachFile(FileToAttach { name: name.to_owned(), text: "x".to_owned(), media_type })
    };
    let rows = [
        (RoomTool::NoteAdd, json!({ "text": " keep " }), Call::NoteAdd { text: "keep".to_owned() }),
        (RoomTool::NoteRemove, json!({ "number": 3 }), Call::NoteRemove { number: 3 }),
        (RoomTool::NoteList, json!({}), Call::NoteList),
        (RoomTool::AttachFile, json!({ "name": "a.csv", "text": "x" }), file("a.csv", "text/csv")),
        (
            RoomTool::AttachFile,
            json!({ "name": "a", "text": "x", "media_type": "Application/JSON; charset=utf-8" }),
            file("a", "application/json"),
        ),
    ];
    for (tool, arguments, expected) in rows {
        assert_eq!(tool.call(&arguments), Ok(expected), "{arguments}");
    }
}

#[test]
fn file_names_lose_paths_and_what_steers() {
    let long = format!("{}.tar.gz", "é".repeat(200));
    let cut = format!("{}.gz", "é".repeat(crate::core::file_name::CHARS_MAX - 3));
    let rows = [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\report.md", "report.md"),
        ("dir/", "dir"),
        (" .hidden. ", "hidden"),
        ("evil\u{202e}txt.exe\u{0}\n", "eviltxt.exe"),
        ("a\u{200b}b\u{2028}c.md", "abc.md"),
        ("a<b>:c?.md", "a_b__c_.md"),
        ("отчёт за март.md", "отчёт за март.md"),
        (long.as_str(), cut.as_str()),
    ];
    for (name, expected) in rows {
        let Ok(Call::AttachFile(file)) = RoomTool::AttachFile.call(&json!({ "name": name, "text": "x" })) else {
            panic!("{name:?} is refused");
        };
        assert_eq!(file.name, expected, "{name:?}");
    }
}

#[test]
fn every_tool_is_described_and_its_schema_admits_what_it_names_and_nothing_else() {
    for tool in RoomTool::ALL {
        let schema = tool.input_schema();
        assert_eq!(RoomTool::named(tool.name()), Some(tool));
        assert!(tool.description().len() > 20 && tool.description().len() < 1_000, "{}", tool.name());
        assert_eq!(schema["additionalProperties"], false);
        // The parser knows every named argument: it rejects its value, or reports another as missing.
        for name in schema["properties"].as_object().expect("properties").keys() {
            let error = tool.call(&json!({ name: {} })).expect_err("an object is never right").to_string();
            assert!(!error.contains("unknown field"), "{} {name}: {error}", tool.name());
        }
        for name in schema["required"].as_array().expect("a list") {
            let error = tool.call(&json!({})).expect_err("something is missing").to_string();
            assert!(error.contains("is missing"), "{} {name}: {error}", tool.name());
        }
    }
    assert_eq!(RoomTool::named("room_read_all"), None);
}
