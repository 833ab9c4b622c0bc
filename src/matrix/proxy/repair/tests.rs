//! Tables of what anybody can put into an answer, and properties over generated answers.

use matrix_sdk::ruma::api::client::sync::sync_events::v3::Response as Sync;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const GOOD: &str = "!good:hs";

/// Returns the repaired body; panics if nothing was wrong or it cannot be repaired.
#[track_caller]
fn repaired_to(kind: Kind, body: &str) -> (Value, Losses) {
    match repaired(kind, body.as_bytes()) {
        Repaired::Mended(mended, losses) => {
            assert!(parses(kind, &mended), "{}", String::from_utf8_lossy(&mended));
            (serde_json::from_slice(&mended).expect("JSON"), losses)
        }
        other => panic!("{other:?}: {body}"),
    }
}

#[track_caller]
fn passes(kind: Kind, body: &str) {
    assert!(matches!(repaired(kind, body.as_bytes()), Repaired::NotNeeded), "{body}");
}

fn sync_of(room: &str) -> String {
    format!(
        r#"{{"next_batch":"s1","rooms":{{"join":{{"!bad:hs":{room},"{GOOD}":{{"timeline":{{"events":[{{"type":"m.room.message"}}],"limited":true}}}}}}}}}}"#
    )
}

#[test]
fn c8_a_first_sync_names_those_whose_devices_are_to_be_asked_for() {
    let people = ["@a:hs", "@b:hs"].map(|user| OwnedUserId::try_from(user).expect("a user id"));
    for (lists, changed, left) in [
        ("", "@a:hs @b:hs", 0),
        (r#""device_lists":{"changed":["@c:hs"],"left":["@d:hs"]},"#, "@c:hs @a:hs @b:hs", 1),
        (r#""device_lists":5,"#, "@a:hs @b:hs", 0),
    ] {
        let body = format!(r#"{{{lists}"next_batch":"s1","rooms":{{}}}}"#);
        let told = with_changed_devices(body.as_bytes(), &people).expect("a sync");
        let sync = Sync::try_from_http_response(axum::http::Response::new(told)).expect("a sync");
        let named: Vec<&str> = sync.device_lists.changed.iter().map(|user| user.as_str()).collect();
        assert_eq!((named.join(" ").as_str(), sync.device_lists.left.len()), (changed, left), "{lists}");
    }
    assert!(with_changed_devices(b"<html>", &people).is_none());
}

#[test]
fn a_sound_answer_passes_as_it_came() {
    passes(Kind::Sync, r#"{"next_batch":"s1"}"#);
    passes(
        Kind::Sync,
        &sync_of(r#"{"summary":{"m.heroes":["@a:hs"]},"timeline":{"events":[{"content":{"a":1e30}}]}}"#),
    );
    passes(Kind::Members, r#"{"chunk":[]}"#);
    passes(Kind::State, "[]");
    passes(Kind::Event, r#"{"type":"m.room.message"}"#);
}

#[test]
fn nothing_is_lost_an_answer_that_lacks_what_each_of_its_kind_holds_is_nobodys() {
    for (kind, body, is_answer) in [
        (Kind::Sync, "{}", false),
        (Kind::Sync, r#"{"status":"ok"}"#, false),
        (Kind::Sync, r#"{"next_batch":"s"}"#, true),
        (Kind::Sent, "{}", false),
        (Kind::Sent, r#"{"event_id":"$e"}"#, true),
        (Kind::Sent, r#"{"event_id":5}"#, false),
        (Kind::Sent, r#"{"event_id":null}"#, false),
        (Kind::Sent, r#"{"event_id":""}"#, false),
        (Kind::Sent, r#"{"event_id":"ok"}"#, false),
        (Kind::Sent, &format!(r#"{{"event_id":"${}"}}"#, "x".repeat(3_000)), false),
        (Kind::Messages, r#"{"start":"s"}"#, false),
        (Kind::Members, "{}", false),
        (Kind::JoinedMembers, "{}", false),
        (Kind::JoinedRooms, "{}", false),
        (Kind::KeysQuery, "{}", false),
        (Kind::KeysClaim, "{}", false),
        (Kind::Event, "{}", true),
        (Kind::Other, "{}", true),
    ] {
        let taken = !matches!(repaired(kind, body.as_bytes()), Repaired::NotJson);
        assert_eq!(taken, is_answer, "{kind:?} {body}");
    }
}

#[test]
fn one_bad_field_of_a_room_costs_that_field() {
    let deep = format!(r#"{{"timeline":{{"events":[{}{}],"limited":0}}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let table = [
        (r#"{"summary":{"m.heroes":["@a:hs","@x:bad server name!"]}}"#, "/summary", json!({"m.heroes":["@a:hs"]})),
        (r#"{"summary":{"m.heroes":["@x\u0000y:hs"]}}"#, "/summary/m.heroes", json!([])),
        (r#"{"summary":{"m.heroes":["@\ud83d:hs", 7]}}"#, "/summary/m.heroes", json!(["@\u{fffd}:hs"])),
        (r#"{"summary":{"m.joined_member_count":-1}}"#, "/summary", json!({})),
        (
            r#"{"summary":{"m.joined_member_count":1e30,"m.invited_member_count":2}}"#,
            "/summary",
            json!({"m.invited_member_count":2}),
        ),
        (r#"{"summary":[],"unread_notifications":"no"}"#, "", json!({})),
        (
            r#"{"unread_notifications":{"highlight_count":0.5,"notification_count":3}}"#,
            "/unread_notifications",
            json!({"notification_count":3}),
        ),
        (
            r#"{"timeline":{"events":[{"a":1}],"limited":"yes","prev_batch":5}}"#,
            "/timeline",
            json!({"events":[{"a":1}]}),
        ),
        (r#"{"timeline":{"events":{}}}"#, "/timeline", json!({"events":[]})),
        (r#"{"timeline":{"limited":true}}"#, "/timeline", json!({"events":[],"limited":true})),
        (r#"{"timeline":null,"state":{"events":[{"a":1}]}}"#, "/state", json!({"events":[{"a":1}]})),
        (r#"{"state":{"events":null}}"#, "/state", json!({})),
        (r#"{"ephemeral":{"events":5}}"#, "/ephemeral", json!({})),
        (r#"{"account_data":5}"#, "", json!({})),
        (r#"{"timeline":{"events":[]},"timeline":{"events":[{"a":2}]}}"#, "/timeline", json!({"events":[{"a":2}]})),
    ];
    for (room, pointer, expected) in table {
        let (body, losses) = repaired_to(Kind::Sync, &sync_of(room));
        assert_eq!(body["rooms"]["join"]["!bad:hs"].pointer(pointer), Some(&expected), "{room}");
        assert_eq!(body["rooms"]["join"][GOOD]["timeline"]["limited"], json!(true), "{room}");
        assert_eq!(losses.rooms, Vec::<String>::new(), "{room}");
    }
    // Only its reader cares how deep an event is nested.
    assert!(matches!(repaired(Kind::Sync, sync_of(&deep).as_bytes()), Repaired::Mended(..)));
}

#[test]
fn a_room_that_cannot_be_read_costs_that_room() {
    for section in ["join", "invite", "leave", "knock"] {
        for (id, room) in [("!bad:hs", "5"), ("!bad:hs", "null"), ("no room", "{}"), ("!a\\u0000b", "{}"), ("", "{}")] {
            let body = format!(r#"{{"next_batch":"s1","rooms":{{"{section}":{{"{id}":{room},"{GOOD}":{{}}}}}}}}"#);
            let (body, losses) = repaired_to(Kind::Sync, &body);
            assert_eq!(body["rooms"][section], json!({GOOD: {}}), "{section} {id} {room}");
            assert_eq!(losses.rooms.len(), 1, "{section} {id} {room}");
        }
    }
    let rooms: Value = json!({"next_batch": "s1", "rooms": 5});
    assert_eq!(repaired_to(Kind::Sync, &rooms.to_string()).0, json!({"next_batch": "s1"}));
}

#[test]
fn what_is_no_room_s_is_repaired_by_itself() {
    for (field, bad, good) in [
        ("device_lists", json!({"changed": ["@a:hs", "@x:bad server!"], "left": 5}), json!({"changed": ["@a:hs"]})),
        ("device_one_time_keys_count", json!({"signed_curve25519": 3, "other": -1}), json!({"signed_curve25519": 3})),
        ("device_unused_fallback_key_types", json!(["signed_curve25519", 5]), json!(["signed_curve25519"])),
        ("presence", json!(5), Value::Null),
        ("account_data", json!("x"), Value::Null),
    ] {
        let (body, losses) = repaired_to(Kind::Sync, &json!({"next_batch": "s1", field: bad}).to_string());
        assert_eq!((&body[field], body["next_batch"].as_str()), (&good, Some("s1")), "{field}");
        assert!(losses.parts > 0, "{field}");
    }
}

#[test]
fn of_an_odd_membership_the_odd_fields_go_and_of_nobodys_the_event() {
    let event = |key: &str, content: Value| {
        json!({
            "type": "m.room.member", "state_key": key, "sender": "@a:hs", "event_id": "$e",
            "origin_server_ts": 1, "content": content,
        })
    };
    let fit = event("@a:hs", json!({"membership": "join", "displayname": "A", "is_direct": false}));
    let table = [
        (fit.clone(), Some(fit)),
        (
            event("@a:hs", json!({"membership": "join", "displayname": 5, "is_direct": "yes", "other": 1})),
            Some(event("@a:hs", json!({"membership": "join", "other": 1}))),
        ),
        (
            event("@a:hs", json!({"membership": "join", "third_party_invite": 5, "avatar_url": ["x"], "reason": {}})),
            Some(event("@a:hs", json!({"membership": "join"}))),
        ),
        (
            event("@a:hs", json!({"membership": "join", "join_authorised_via_users_server": "@x:bad server!"})),
            Some(event("@a:hs", json!({"membership": "join"}))),
        ),
        (event("@x:bad server name!", json!({"membership": "ban"})), None),
        (event("@x\0y:hs", json!({"membership": "ban"})), None),
        (event(&format!("@{}:hs", "a".repeat(20_000)), json!({"membership": "ban"})), None),
        (event("@a:hs", json!({"membership": 5})), None),
    ];
    for (raw, expected) in table {
        for kind in [Kind::Members, Kind::State] {
            let body = if kind == Kind::State { json!([raw]) } else { json!({"chunk": [raw]}) };
            let body = body.to_string();
            if expected.as_ref() == Some(&raw) {
                passes(kind, &body);
                continue;
            }
            let (body, losses) = repaired_to(kind, &body);
            let list = if kind == Kind::State { &body } else { &body["chunk"] };
            assert_eq!(*list, json!(expected.iter().collect::<Vec<_>>()), "{raw}");
            assert_eq!(losses.parts, 1, "{raw}");
        }
    }
}

#[test]
fn in_a_timeline_a_stub_stays_where_an_event_was_dropped() {
    let ban = json!({
        "type": "m.room.member", "state_key": "@x:bad server name!", "sender": "@a:hs", "event_id": "$ban",
        "origin_server_ts": 7, "content": {"membership": "ban"},
    });
    let hello = json!({"type": "m.room.message", "event_id": "$hello", "content": {"body": "m.room.member"}});
    let room = json!({"timeline": {"events": [hello, ban]}, "state": {"events": [ban]}});
    let (body, _) = repaired_to(Kind::Sync, &sync_of(&room.to_string()));
    let bad = &body["rooms"]["join"]["!bad:hs"];
    let stub = json!({
        "type": "io.workmate.unreadable", "sender": "@a:hs", "event_id": "$ban", "origin_server_ts": 7, "content": {},
    });
    assert_eq!(bad["timeline"]["events"], json!([hello, stub]));
    assert_eq!(bad["state"]["events"], json!([]));
    let (body, _) =
        repaired_to(Kind::Messages, &json!({"start": "t", "chunk": [hello, ban], "state": [ban]}).to_string());
    assert_eq!(body, json!({"start": "t", "chunk": [hello, stub], "state": []}));
}

#[test]
fn what_is_no_rooms_comes_with_the_first_part_of_a_sync_alone() {
    let body = r#"{"next_batch":"s1_2","to_device":{"events":[]},"account_data":{"events":[]},"rooms":{"join":{}}}"#;
    let part =
        |number| -> Value { serde_json::from_slice(&as_part(body.as_bytes(), number).expect("a sync")).expect("JSON") };
    let marked = |number| call::mark_part("s1_2", number);
    assert_eq!(
        part(0),
        json!({"next_batch": marked(0), "to_device": {"events": []}, "account_data": {"events": []}, "rooms": {"join": {}}})
    );
    assert_eq!(part(3), json!({"next_batch": marked(3), "rooms": {"join": {}}}));
    assert_eq!(as_part(b"{}", 0), None);
}

#[test]
fn every_answer_that_is_parsed_as_a_whole_is_repaired() {
    for (kind, bad, good) in [
        (Kind::Messages, json!({"start": 5, "end": "e", "chunk": 5}), json!({"start": "", "end": "e"})),
        (Kind::Context, json!({"start": [], "events_before": {}, "event": {"a": 1}}), json!({"event": {"a": 1}})),
        (Kind::Relations, json!({"chunk": {}, "recursion_depth": -1}), json!({"chunk": []})),
        (
            Kind::JoinedMembers,
            json!({"joined": {"@a:hs": {"display_name": "A"}, "@x:bad server!": {}, "@b:hs": 5}}),
            json!({"joined": {"@a:hs": {"display_name": "A"}}}),
        ),
        (Kind::JoinedRooms, json!({"joined_rooms": ["!a:hs", "a", 5]}), json!({"joined_rooms": ["!a:hs"]})),
        (
            Kind::Alias,
            json!({"room_id": "!a:hs", "servers": ["hs", "bad server!"]}),
            json!({"room_id": "!a:hs", "servers": ["hs"]}),
        ),
        (
            Kind::KeysQuery,
            json!({"device_keys": {"@a:hs": {"D": {}}, "@x:bad server!": {}}, "master_keys": 5, "failures": {}}),
            json!({"device_keys": {"@a:hs": {"D": {}}}, "failures": {}}),
        ),
        (
            Kind::KeysClaim,
            json!({"one_time_keys": {
                "@a:hs": {"D": {"signed_curve25519:A": {}, "nocolon": {}}}, "@b:hs": {"E": 5}, "@x:bad server!": {},
            }}),
            json!({"one_time_keys": {"@a:hs": {"D": {"signed_curve25519:A": {}}}, "@b:hs": {}}}),
        ),
        (Kind::KeyChanges, json!({"changed": ["@a:hs", "x"]}), json!({"changed": ["@a:hs"], "left": []})),
    ] {
        assert_eq!(repaired_to(kind, &bad.to_string()).0, good, "{kind:?}");
    }
}

#[test]
fn what_is_no_json_is_somebody_elses_page() {
    for kind in [Kind::Sync, Kind::Members, Kind::State, Kind::Event, Kind::KeysQuery] {
        for page in ["", "<html>Login</html>", "{", "null", "5", "\"x\"", "{\"next_batch\":"] {
            assert!(matches!(repaired(kind, page.as_bytes()), Repaired::NotJson), "{kind:?} {page:?}");
        }
    }
    assert!(matches!(repaired(Kind::Sync, b"[]"), Repaired::NotJson));
}

/// Values of unexpected kinds.
fn odd() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["@a:hs", "@x:bad server!", "@x\0:hs", "!r:hs", "$e", ""]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(vec![
                    "events",
                    "m.heroes",
                    "limited",
                    "prev_batch",
                    "type",
                    "state_key",
                    "content",
                    "membership",
                    "@a:hs"
                ]),
                inner,
                0..4
            )
            .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

fn odd_room() -> impl Strategy<Value = Value> {
    let parts = ["summary", "timeline", "state", "state_after", "ephemeral", "account_data", "unread_notifications"];
    prop::collection::btree_map(prop::sample::select(parts.to_vec()), odd(), 0..5)
        .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

proptest! {
    #[test]
    fn whatever_stands_in_a_sync_it_parses_afterwards_and_no_good_event_is_lost(
        rooms in prop::collection::vec((prop::sample::select(vec!["!a:hs", "!b:hs", "c", ""]), odd_room()), 0..3),
        section in prop::sample::select(vec!["join", "invite", "leave", "knock"]),
        others in prop::collection::btree_map(
            prop::sample::select(vec!["presence", "to_device", "device_lists", "account_data", "device_one_time_keys_count"]),
            odd(),
            0..3
        ),
    ) {
        let good = json!({"timeline": {"events": [{"type": "m.room.message", "event_id": "$good"}]}});
        let mut body = json!({"next_batch": "s1", "rooms": {section: {}}});
        for (name, value) in others {
            body[name] = value;
        }
        for (id, room) in rooms {
            body["rooms"][section][id] = room;
        }
        body["rooms"]["join"][GOOD] = good.clone();
        let body = body.to_string();
        let mended = match repaired(Kind::Sync, body.as_bytes()) {
            Repaired::NotNeeded => body.into_bytes(),
            Repaired::Mended(mended, _) => mended,
            Repaired::NotJson => return Err(TestCaseError::fail("it is JSON")),
        };
        let parsed = Sync::try_from_http_response(axum::http::Response::new(mended)).expect("a sync");
        let room = parsed.rooms.join.get(GOOD).expect("the good room is there");
        prop_assert_eq!(room.timeline.events.len(), 1);
        prop_assert_eq!(&serde_json::to_value(&room.timeline.events).expect("JSON"), &good["timeline"]["events"]);
    }

    #[test]
    fn whatever_is_odd_in_one_event_of_a_list_the_others_stay(odd in odd(), at in 0_usize..3) {
        let good = json!({"type": "m.room.message", "event_id": "$good", "content": {"body": "m.room.member"}});
        let mut chunk = vec![good.clone(), good.clone()];
        chunk.insert(at.min(2), odd.clone());
        let odd_member = json!({"type": "m.room.member", "state_key": odd.clone(), "content": odd});
        chunk.push(odd_member);
        let body = json!({"start": "t", "chunk": chunk}).to_string();
        let mended = match repaired(Kind::Messages, body.as_bytes()) {
            Repaired::NotNeeded => body.into_bytes(),
            Repaired::Mended(mended, _) => mended,
            Repaired::NotJson => return Err(TestCaseError::fail("it is JSON")),
        };
        prop_assert!(parses(Kind::Messages, &mended));
        let read: Value = serde_json::from_slice(&mended).expect("JSON");
        let kept = read["chunk"].as_array().expect("a list").iter().filter(|event| **event == good).count();
        prop_assert_eq!(kept, 2);
    }
}

/// Prints, without a time limit, what checking a sync costs compared with the parsing that the SDK does anyway.
#[test]
#[ignore = "a figure; run it by name"]
fn figure_what_looking_at_a_sync_costs() {
    let event = |number: u32| {
        json!({
            "type": "m.room.message", "event_id": format!("$event{number}"), "sender": "@somebody:example.org",
            "origin_server_ts": 1_795_346_400_000_u64 + u64::from(number), "unsigned": {"age": 5},
            "content": {"msgtype": "m.text", "body": "words ".repeat(40), "m.mentions": {}},
        })
    };
    for (rooms, events) in [(1, 1), (1, 20), (50, 20), (500, 20)] {
        let joined: serde_json::Map<String, Value> = (0..rooms)
            .map(|room| {
                let list: Vec<Value> = (0..events).map(event).collect();
                (format!("!room{room}:hs"), json!({"timeline": {"events": list, "limited": true, "prev_batch": "t"}}))
            })
            .collect();
        let body = json!({"next_batch": "s", "rooms": {"join": joined}}).to_string();
        let times = 200_000 / (rooms * events) + 1;
        let timed = |work: &dyn Fn()| {
            let began = tokio::time::Instant::now();
            (0..times).for_each(|_| work());
            began.elapsed() / times
        };
        let parse = timed(&|| assert!(parses(Kind::Sync, body.as_bytes())));
        let look = timed(&|| assert!(matches!(repaired(Kind::Sync, body.as_bytes()), Repaired::NotNeeded)));
        eprintln!("{} KiB: parsed by ruma {parse:?}, looked at {look:?}", body.len() >> 10);
    }
}
