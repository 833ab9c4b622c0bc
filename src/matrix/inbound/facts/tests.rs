use ruma::{event_id, room_id};
use serde_json::json;

use super::*;
use crate::matrix::inbound::{Rules, from_json};

fn read(event_type: &str, state: bool, content: &Value) -> EventKind {
    let mut json = json!({
        "type": event_type, "event_id": "$e", "sender": "@alice:hs", "origin_server_ts": 5, "content": content,
    });
    if state {
        json["state_key"] = json!("");
    }
    from_json(room_id!("!r:hs"), &Rules::default(), &json.to_string()).expect("the envelope is whole").kind
}

fn lunch(disclosed: bool, selections_max: usize) -> Message {
    let answer = |id: &str, text: &str| PollAnswer { id: id.to_owned(), text: text.to_owned() };
    let poll = Poll { answers: vec![answer("y", "Yes"), answer("n", "No")], selections_max, disclosed };
    Message { kind: MessageKind::Poll(poll), mentions: None, ..Message::text("Lunch?") }
}

fn unreadable() -> Message {
    Message { kind: MessageKind::Unreadable, mentions: None, ..Message::text("") }
}

fn text_of_poll() -> Message {
    let kind = MessageKind::Other("m.poll".to_owned());
    Message { kind, mentions: None, ..Message::text("Lunch? 1. Yes") }
}

#[test]
fn c7_of_an_odd_poll_what_can_be_read_is_read() {
    let odd = |start: Value| read("m.poll.start", false, &json!({ "m.poll": start, "m.text": [3] }));
    let answers = json!([
        { "m.id": "y", "m.text": [{ "body": "Yes" }] }, 7, null, { "m.id": 5 }, { "id": "n", "m.text": "No", "x": [] },
    ]);
    for (selections, most) in [(json!("2"), 2), (json!(2.0), 2), (json!(-3), 1), (json!(null), 1), (json!([2]), 1)] {
        let start = json!({ "question": "Lunch?", "kind": 9, "max_selections": selections, "answers": answers });
        assert_eq!(odd(start), EventKind::Message(lunch(false, most)), "{selections}");
    }
    for start in [json!(null), json!([]), json!({ "question": 3, "answers": answers }), json!({ "question": "Lunch?" })]
    {
        assert_eq!(odd(start.clone()), EventKind::Message(unreadable()), "{start}");
    }
}

#[test]
fn c7_polls_are_read_in_their_stable_and_unstable_forms() {
    let stable = json!({
        "m.text": [{ "body": "Lunch?\n1. Yes\n2. No" }],
        "m.poll": {
            "kind": "m.disclosed", "max_selections": 2,
            "question": { "m.text": [{ "mimetype": "text/html", "body": "<b>Lunch?</b>" }, { "body": "Lunch?" }] },
            "answers": [{ "m.id": "y", "m.text": [{ "body": "Yes" }] }, { "m.id": "n", "m.text": [{ "body": "No" }] }],
        },
    });
    let unstable = json!({
        "org.matrix.msc1767.text": "Lunch?",
        "org.matrix.msc3381.poll.start": {
            "kind": "org.matrix.msc3381.poll.undisclosed", "max_selections": 0,
            "question": { "org.matrix.msc1767.text": "Lunch?", "body": "Lunch?", "msgtype": "m.text" },
            "answers": [
                { "id": "y", "org.matrix.msc1767.text": "Yes" }, { "id": "n", "org.matrix.msc1767.text": "No" },
                { "id": "?" },
            ],
        },
        "m.relates_to": { "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
            "m.in_reply_to": { "event_id": "$x" } },
    });
    let mut edit = unstable.clone();
    edit["m.new_content"] = unstable.clone();
    edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": "$old" });
    let in_thread = Message { thread_root: Some(event_id!("$root").to_owned()), ..lunch(false, 1) };
    let edited =
        EventKind::Edit { target: event_id!("$old").to_owned(), new: lunch(false, 1), newly_mentioned: [].into() };
    let table = [
        ("m.poll.start", stable, EventKind::Message(lunch(true, 2))),
        ("org.matrix.msc3381.poll.start", unstable, EventKind::Message(in_thread)),
        ("org.matrix.msc3381.poll.start", edit, edited),
    ];
    for (event_type, content, expected) in table {
        assert_eq!(read(event_type, false, &content), expected, "{event_type}");
    }
}

#[test]
fn c7_votes_and_ends_name_their_poll() {
    let of = json!({ "rel_type": "m.reference", "event_id": "$poll" });
    let target = event_id!("$poll").to_owned();
    let vote = |answers: &[&str]| EventKind::PollVote {
        target: target.clone(),
        answers: answers.iter().map(|&id| id.to_owned()).collect(),
    };
    let table = [
        ("m.poll.response", json!({ "m.relates_to": of, "m.selections": ["y", "n"] }), vote(&["y", "n"])),
        (
            "org.matrix.msc3381.poll.response",
            json!({ "m.relates_to": of, "org.matrix.msc3381.poll.response": { "answers": ["y"] } }),
            vote(&["y"]),
        ),
        ("m.poll.response", json!({ "m.relates_to": of, "m.selections": [] }), vote(&[])),
        ("m.poll.response", json!({ "m.relates_to": of, "m.selections": "y" }), vote(&[])),
        ("m.poll.response", json!({ "m.relates_to": of, "m.selections": [1] }), vote(&[""])),
        ("m.poll.end", json!({ "m.relates_to": of, "m.text": "over" }), EventKind::PollEnd { target: target.clone() }),
        (
            "org.matrix.msc3381.poll.end",
            json!({ "m.relates_to": of, "org.matrix.msc3381.poll.end": {} }),
            EventKind::PollEnd { target: target.clone() },
        ),
        ("m.poll.end", json!({}), EventKind::Redacted),
        ("m.poll.response", json!({ "m.selections": ["y"] }), EventKind::Other("m.poll.response".to_owned())),
        ("m.poll.start", json!({ "m.poll": { "answers": [] } }), EventKind::Message(unreadable())),
        ("m.poll.start", json!({ "m.poll": [], "m.text": "Lunch? 1. Yes" }), EventKind::Message(text_of_poll())),
    ];
    for (event_type, content, expected) in table {
        assert_eq!(read(event_type, false, &content), expected, "{content}");
    }
}

#[test]
fn c7_locations_are_read_as_messages_and_as_events() {
    let at = |description: Option<&str>, of_sender: bool, body: &str, mentions: bool| {
        let location =
            Location { geo_uri: "geo:52.5,13.4".to_owned(), description: description.map(str::to_owned), of_sender };
        let text = Message::text(body);
        let mentions = text.mentions.clone().filter(|_| mentions);
        EventKind::Message(Message { kind: MessageKind::Location(location), mentions, ..text })
    };
    let plain = json!({ "msgtype": "m.location", "body": "here", "geo_uri": "geo:52.5,13.4" });
    let mut rich = plain.clone();
    rich["org.matrix.msc3488.location"] = json!({ "uri": "geo:52.5,13.4", "description": "The yard" });
    rich["org.matrix.msc3488.asset"] = json!({ "type": "m.pin" });
    rich["m.mentions"] = json!({});
    let own = json!({ "m.location": { "uri": "geo:52.5,13.4", "description": " " }, "m.text": "I am here" });
    let kind = MessageKind::Other("m.location".to_owned());
    let nowhere = EventKind::Message(Message { kind, mentions: None, ..Message::text("nowhere") });
    let table = [
        ("m.room.message", plain, at(None, false, "here", false)),
        ("m.room.message", rich, at(Some("The yard"), false, "here", true)),
        ("m.location", own, at(None, true, "I am here", false)),
        ("m.location", json!({ "m.text": "nowhere" }), nowhere),
    ];
    for (event_type, content, expected) in table {
        assert_eq!(read(event_type, false, &content), expected, "{content}");
    }
}

#[test]
fn b_live_locations_are_read_by_all_their_names() {
    let begins = json!({ "description": "my way", "timeout": 600_000, "live": true, "org.matrix.msc3488.ts": 1 });
    let at = json!({
        "m.relates_to": { "rel_type": "m.reference", "event_id": "$share" },
        "org.matrix.msc3488.location": { "uri": "geo:9.9,8.8" },
        "org.matrix.msc3488.ts": 1,
    });
    let place = Location { geo_uri: "geo:9.9,8.8".to_owned(), description: None, of_sender: true };
    for prefix in ["m.", "org.matrix.msc3672.", "org.matrix.msc3489."] {
        let (info, beacon) = (format!("{prefix}beacon_info"), format!("{prefix}beacon"));
        for (event_type, is_state, content, expected) in [
            (&info, true, begins.clone(), EventKind::LiveLocation(LiveLocation::Begins(Some("my way".to_owned())))),
            (&info, true, json!({ "live": true }), EventKind::LiveLocation(LiveLocation::Begins(None))),
            (&info, true, json!({ "live": false }), EventKind::LiveLocation(LiveLocation::Ends)),
            (&info, true, json!({}), EventKind::LiveLocation(LiveLocation::Ends)),
            (&beacon, false, at.clone(), EventKind::LiveLocation(LiveLocation::At(place.clone()))),
            (&beacon, false, json!({ "x": 1 }), EventKind::Other(beacon.clone())),
            (&beacon, false, json!({}), EventKind::Redacted),
        ] {
            assert_eq!(read(event_type, is_state, &content), expected, "{event_type} {content}");
        }
        assert!(crate::matrix::inbound::may_be_said(&beacon), "{beacon} counts in encrypted rooms");
    }
}

#[test]
fn c7_a_rooms_name_and_topic_are_read_as_state_only() {
    let name = json!({ "name": "Ops" });
    assert_eq!(read("m.room.name", true, &name), EventKind::RoomName("Ops".to_owned()));
    assert_eq!(read("m.room.topic", true, &json!({ "topic": "" })), EventKind::RoomTopic(String::new()));
    assert_eq!(read("m.room.topic", true, &json!({ "topic": 3 })), EventKind::Other("m.room.topic".to_owned()));
    assert_eq!(read("m.room.name", false, &name), EventKind::Other("m.room.name".to_owned()));
}

#[test]
fn g_polls_and_places_say_whom_they_mention() {
    let oncall = ruma::user_id!("@coworker-oncall:hs");
    let mentions = json!({ "user_ids": [oncall] });
    let poll = json!({ "question": { "m.text": "lunch?" }, "answers": [{ "m.id": "a", "m.text": "yes" }] });
    let place = json!({ "uri": "geo:1,2" });
    for (event_type, content) in [
        ("m.poll.start", json!({ "m.poll": poll, "m.mentions": mentions })),
        ("org.matrix.msc3381.poll.start", json!({ "org.matrix.msc3381.poll.start": poll, "m.mentions": mentions })),
        ("m.location", json!({ "m.location": place, "m.mentions": mentions })),
    ] {
        let EventKind::Message(message) = read(event_type, false, &content) else {
            panic!("{event_type} is no message")
        };
        assert_eq!(message.mentions.map(|all| all.users), Some([oncall.to_owned()].into()), "{event_type}");
    }
}
