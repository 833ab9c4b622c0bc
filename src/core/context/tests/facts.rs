//! The room's facts and decisions: polls, locations, its name and topic, its pins and notes (C7).

use serde_json::{Value, json};

use super::*;
use crate::core::{
    context::{NOTES_SHARE, PINNED_MAX, PINNED_SHARE},
    tokens::estimate,
};

fn rules(selections_max: usize, disclosed: bool) -> Poll {
    Poll { answers: Vec::new(), selections_max, disclosed }
}

/// Asks when to deploy: `1` is noon, `2` is night.
fn deploy(selections_max: usize, disclosed: bool) -> Story {
    Story::new().polls("poll", ALICE, "When?", &["Noon", "Night"], &rules(selections_max, disclosed))
}

/// Returns the records of a story to which Alice adds a request.
fn told(story: Story) -> Vec<Value> {
    records(&story.says("q", ALICE, "oncall?").asks("q").compose().prompt)
}

fn holding(records: &[Value], field: &str) -> Vec<Value> {
    records.iter().filter(|record| record.get(field).is_some()).cloned().collect()
}

#[test]
fn c7_polls_votes_counts_locations_names_and_topics_become_records() {
    let location = |of_sender| {
        let place =
            Location { geo_uri: "geo:52.5,13.4".to_owned(), description: Some("The yard".to_owned()), of_sender };
        EventKind::Message(Message { kind: MessageKind::Location(place), ..Message::text("here") })
    };
    let story = deploy(1, true)
        .votes("v1", BOB, "poll", &["1"])
        .votes("v2", ALICE, "poll", &["2"])
        .event("l1", BOB, location(true))
        .votes("v3", BOB, "poll", &["2"])
        .event("t", ALICE, EventKind::RoomTopic("Fires only".to_owned()))
        .event("n", BOB, EventKind::RoomName("Ops".to_owned()))
        .ends("x", ALICE, "poll")
        .votes("v4", BOB, "poll", &["1"])
        .event("l2", ALICE, location(false))
        .says("q", ALICE, "oncall?")
        .asks("q");
    insta::assert_snapshot!(transcript(&story.compose()));
}

#[test]
fn b_of_a_live_location_there_are_its_beginning_its_end_and_the_newest_place_before_each_message() {
    let at = |geo: &str| {
        let place = Location { geo_uri: geo.to_owned(), description: None, of_sender: true };
        EventKind::LiveLocation(LiveLocation::At(place))
    };
    let mut story = Story::new()
        .event("b", BOB, EventKind::LiveLocation(LiveLocation::Begins(Some("my way".to_owned()))))
        .event("p1", BOB, at("geo:1,1"))
        .event("p2", BOB, at("geo:2,2"))
        .says("m", ALICE, "hi");
    for number in 0..50 {
        story = story.event(&format!("q{number}"), BOB, at(&format!("geo:3,{number}")));
    }
    let told = told(story.event("e", BOB, EventKind::LiveLocation(LiveLocation::Ends)));
    let found: Vec<(String, Option<String>)> = holding(&told, "live_location")
        .iter()
        .map(|record| {
            let text = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
            assert_eq!(text("user").as_deref(), Some(BOB));
            (text("live_location").expect("it is there"), text("geo").or(text("description")))
        })
        .collect();
    let expected = [
        ("begins", Some("my way")),
        ("newest place", Some("geo:2,2")),
        ("newest place", Some("geo:3,49")),
        ("ends", None),
    ];
    assert_eq!(found, expected.map(|(what, more)| (what.to_owned(), more.map(str::to_owned))));
}

#[test]
fn e_what_people_see_stands_in_the_record_and_is_cut_with_it() {
    let message = |body: &str, html: String| EventKind::Message(Message { html: Some(html), ..Message::text(body) });
    let told = told(
        Story::new()
            .event("instead", BOB, message("deploy prod", "deploy <del>prod</del>".to_owned()))
            .event("beside", BOB, message("deploy prod", "deploy staging".to_owned()))
            .event("same", BOB, message("**no**", "<b>no</b>".to_owned()))
            .event("long", BOB, message("see", format!("see <p>{}</p>", "word ".repeat(12_000)))),
    );
    let of = |name: &str| {
        let id = format!("${name}");
        told.iter().find(|record| record["event_id"] == id.as_str()).expect("it is there").clone()
    };
    assert_eq!((of("instead")["text"].as_str(), of("instead").get("shown")), (Some("deploy ~~prod~~"), None));
    assert_eq!(
        (of("beside")["text"].as_str(), of("beside")["shown"].as_str()),
        (Some("deploy prod"), Some("deploy staging"))
    );
    assert_eq!((of("same")["text"].as_str(), of("same").get("shown")), (Some("**no**"), None));
    assert_eq!(of("long")["cut"], true);
}

#[test]
fn c7_under_which_name_somebody_speaks_stands_beside_who_it_is() {
    let under = |name: Option<&str>| {
        EventKind::Message(Message { speaks_as: name.map(str::to_owned), ..Message::text("the valve is green") })
    };
    let long = "Ali".repeat(1_000);
    let told = told(Story::new().event("ali", BOB, under(Some("Ali"))).event("long", BOB, under(Some(&long))).event(
        "bob",
        BOB,
        under(None),
    ));
    let of = |name: &str| {
        let id = format!("${name}");
        told.iter().find(|record| record["event_id"] == id.as_str()).expect("it is there").clone()
    };
    assert_eq!((of("ali")["sender"].as_str(), of("ali")["as"].as_str()), (Some(BOB), Some("Ali")));
    assert!(of("long")["as"].as_str().is_some_and(|name| name.len() < 300));
    assert_eq!(of("bob").get("as"), None);
}

#[test]
fn c7_a_polls_count_follows_the_rules() {
    let long_ago = |mut story: Story, name: &str| {
        let event = story.events.iter_mut().find(|event| event.id == id(name)).expect("it is there");
        event.sent_at = Timestamp::from_ms(5);
        story
    };
    let later = |mut story: Story, name: &str| {
        let event = story.events.iter_mut().find(|event| event.id == id(name)).expect("it is there");
        event.sent_at = Timestamp::from_ms(event.sent_at.as_ms() + 60_000);
        story
    };
    let counted = |noon: usize, night: usize, voters: usize| {
        let result = json!([{ "answer": "Noon", "votes": noon }, { "answer": "Night", "votes": night }]);
        Some(json!({ "poll_ended": "$poll", "result": result, "voters": voters }))
    };
    let rows: Vec<(&str, Story, Option<Value>)> = vec![
        ("nobody votes", deploy(1, true).ends("x", ALICE, "poll"), counted(0, 0, 0)),
        (
            "the newest vote of each counts",
            deploy(1, true).votes("a", BOB, "poll", &["1"]).votes("b", BOB, "poll", &["2"]).ends("x", ALICE, "poll"),
            counted(0, 1, 1),
        ),
        (
            "newest by time, not by place",
            long_ago(
                deploy(1, true)
                    .votes("a", BOB, "poll", &["1"])
                    .votes("b", BOB, "poll", &["2"])
                    .ends("x", ALICE, "poll"),
                "b",
            ),
            counted(1, 0, 1),
        ),
        (
            "as many answers as may be chosen",
            deploy(1, true).votes("a", BOB, "poll", &["1", "2"]).ends("x", ALICE, "poll"),
            counted(1, 0, 1),
        ),
        (
            "several answers, the same one twice",
            deploy(3, true).votes("a", BOB, "poll", &["1", "2", "1"]).ends("x", ALICE, "poll"),
            counted(1, 1, 1),
        ),
        (
            "an unknown answer spoils the vote, and the one before it",
            deploy(2, true)
                .votes("a", BOB, "poll", &["1"])
                .votes("b", BOB, "poll", &["1", "9"])
                .ends("x", ALICE, "poll"),
            counted(0, 0, 0),
        ),
        (
            "none takes the vote back",
            deploy(1, true).votes("a", BOB, "poll", &["1"]).votes("b", BOB, "poll", &[]).ends("x", ALICE, "poll"),
            counted(0, 0, 0),
        ),
        (
            "a redacted vote is taken back",
            deploy(1, true).votes("a", BOB, "poll", &["1"]).redacts("r", BOB, "a").ends("x", ALICE, "poll"),
            counted(0, 0, 0),
        ),
        (
            "a vote that claims to be from after the end",
            later(deploy(1, true).votes("a", BOB, "poll", &["1"]).ends("x", ALICE, "poll"), "a"),
            counted(0, 0, 0),
        ),
        (
            "a vote behind the end",
            deploy(1, true).ends("x", ALICE, "poll").votes("a", BOB, "poll", &["1"]),
            counted(0, 0, 0),
        ),
        ("somebody else's end", deploy(1, true).votes("a", BOB, "poll", &["1"]).ends("x", BOB, "poll"), None),
        ("an unknown poll", Story::new().votes("a", BOB, "poll", &["1"]).ends("x", ALICE, "poll"), None),
        ("a redacted poll", deploy(1, true).ends("x", ALICE, "poll").redacts("r", ALICE, "poll"), None),
    ];
    for (name, story, expected) in rows {
        assert_eq!(holding(&told(story), "poll_ended"), expected.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn c7_votes_of_an_undisclosed_poll_are_told_with_its_end_only() {
    let story = deploy(1, false).votes("a", BOB, "poll", &["1"]);
    let records = told(story.clone());
    assert_eq!(records[1]["poll"]["votes"], "hidden until it ends");
    assert_eq!((holding(&records, "votes"), holding(&records, "poll_ended")), (vec![], vec![]));
    let ended = holding(&told(story.ends("x", ALICE, "poll")), "poll_ended");
    assert_eq!(ended[0]["result"][0], json!({ "answer": "Noon", "votes": 1 }));
}

#[test]
fn c7_many_votes_at_once_are_bounded_and_the_rest_is_counted() {
    let mut story = deploy(1, true);
    for n in 0..200 {
        story = story.votes(&format!("v{n}"), &format!("@voter{n:03}:hs"), "poll", &["1"]);
    }
    let votes = holding(&told(story), "votes").pop().expect("a record of votes");
    let named = votes["votes"].as_array().expect("a list").len();
    assert!(named > 5 && named < 60, "{named}");
    assert_eq!(votes["more"], 200 - named);
}

#[test]
fn c7_an_edited_poll_is_asked_as_it_is_now() {
    let new = Poll { answers: vec![PollAnswer { id: "2".to_owned(), text: "Late".to_owned() }], ..rules(1, true) };
    let new = Message { kind: MessageKind::Poll(new), ..Message::text("When exactly?") };
    let edit = EventKind::Edit { target: id("poll"), new, newly_mentioned: [].into() };
    let records = told(deploy(1, true).votes("a", BOB, "poll", &["2"]).event("e", ALICE, edit));
    assert_eq!((&records[1]["text"], &records[1]["poll"]["answers"]), (&json!("When exactly?"), &json!(["Late"])));
    assert_eq!(holding(&records, "votes")[0]["votes"], json!([{ "user": BOB, "answers": ["Late"] }]));
}

#[test]
fn c7_votes_change_nothing_that_was_said_before() {
    let mut story = deploy(1, true).says("q0", ALICE, "first?").asks("q0");
    let mut before = transcript(&story.compose());
    for turn in 1..6 {
        story = story.votes(&format!("v{turn}"), BOB, "poll", &["1"]);
        if turn == 4 {
            story = story.ends("x", ALICE, "poll");
        }
        let name = format!("q{turn}");
        story = story.says(&name, ALICE, "and now?").asks(&name);
        let after = transcript(&story.compose());
        assert!(after.starts_with(before.trim_end()), "{before}\n---\n{after}");
        before = after;
    }
}

#[test]
fn c7_votes_and_the_end_of_a_poll_belong_to_its_thread() {
    let story = Story::new()
        .polls("other", BOB, "Elsewhere?", &["x"], &rules(1, true))
        .says("root", ALICE, "root")
        .event(
            "poll",
            ALICE,
            EventKind::Message(Message {
                kind: MessageKind::Poll(Poll {
                    answers: vec![PollAnswer { id: "1".to_owned(), text: "Here".to_owned() }],
                    ..rules(1, true)
                }),
                thread_root: Some(id("root")),
                ..Message::text("Here?")
            }),
        )
        .votes("v1", BOB, "poll", &["1"])
        .votes("v2", BOB, "other", &["1"])
        .says_in("q", ALICE, "root", "oncall?")
        .asks("q")
        .in_thread("root");
    let votes = holding(&records(&story.compose().prompt), "votes");
    assert_eq!(votes, [json!({ "votes": [{ "user": BOB, "answers": ["Here"] }], "to": "$poll" })]);
}

#[test]
fn c7_an_assistant_is_told_no_changes_of_its_room() {
    let story = Story::new().event("t", ALICE, EventKind::RoomTopic("x".to_owned())).says("q", ALICE, "hi").asks("q");
    let owner = user(ALICE);
    let composed = story.compose_as(Kind::Assistant { owner: &owner, instructions: "" }, None);
    assert!(holding(&records(&composed.prompt), "room_topic").is_empty());
}

#[test]
fn c7_who_is_invited_is_told_apart_from_who_is_there() {
    let mut story = Story::new().says("q", ALICE, "oncall?").asks("q");
    story.invited = vec![user(BOB)];
    let facts: Value = serde_json::from_str(&story.compose().prompt.system[1]).expect("facts");
    assert_eq!(facts["room"]["invited"], json!([BOB]));
}

/// Returns a transcript's first record: the pins' or the notes', if there are any.
fn opening(story: &Story) -> Value {
    records(&story.compose().prompt).remove(0)
}

fn texts(pinned: &Value) -> Vec<&str> {
    pinned["pinned"].as_array().into_iter().flatten().filter_map(|pin| pin["text"].as_str()).collect()
}

#[test]
fn c7_pinned_messages_open_the_transcript_as_they_stand_now() {
    let old = Story::new()
        .says("old", BOB, "the plan is blue")
        .edits("edit", BOB, "old", "the plan is green")
        .says("gone", BOB, "secret");
    let mut story = Story::new()
        .says("a", ALICE, "the agenda")
        .event(
            "r",
            BOB,
            EventKind::Redaction { target: id("gone"), authority: crate::core::redaction::Authority::OwnServer },
        )
        .says("q", ALICE, "oncall?")
        .asks("q");
    story.fetched = old.events;
    story.pinned = ["old", "unreadable", "a", "gone"].map(id).to_vec();

    let composed = story.compose();

    let opening = opening(&story);
    assert_eq!((texts(&opening), &opening["left_out"]), (vec!["the plan is green", "the agenda"], &json!(2)));
    assert_eq!((&opening["pinned"][0]["sender"], &opening["pinned"][0]["event_id"]), (&json!(BOB), &json!("$old")));
    assert_eq!(composed.read, ["old", "a", "q"].map(id));
    assert!(!transcript(&composed).contains("secret"));
}

#[test]
fn c7_the_newest_pins_are_kept_within_their_share() {
    let mut story = Story::new().says("q", ALICE, "oncall?").asks("q");
    for n in 0..PINNED_MAX + 5 {
        story.pinned.push(id(&format!("p{n}")));
        story.fetched.extend(Story::new().says(&format!("p{n}"), BOB, &format!("pin {n}")).events);
    }
    let small = opening(&story);
    assert_eq!((texts(&small).len(), texts(&small)[0], &small["left_out"]), (PINNED_MAX, "pin 5", &json!(5)));

    for event in &mut story.fetched {
        event.kind = EventKind::Message(Message::text("word ".repeat(4_000)));
    }
    let large = opening(&story);
    assert!(estimate(&large.to_string()) <= story.tokens_max / PINNED_SHARE, "{large}");
    assert!(!texts(&large).is_empty() && large["pinned"].as_array().is_some_and(|all| all[0]["cut"] == true));
}

#[test]
fn c2_notes_open_the_transcript_with_their_authors_and_keep_the_prefix() {
    let story = Story::new().notes(ALICE, "the valve is green").notes(BOB, "ask \"bob\"\nfirst");
    let story = story.says("q", ALICE, "oncall?").asks("q");
    let time = "2026-11-22T11:20:05Z";
    let expected = json!({ "notes": [
        { "number": 1, "by": ALICE, "time": time, "note": "the valve is green" },
        { "number": 2, "by": BOB, "time": time, "note": "ask \"bob\"\nfirst" },
    ] });
    assert_eq!(opening(&story), expected);
    let before = transcript(&story.compose());
    let after = transcript(&story.says("a", ME, "Yes.").says("q2", BOB, "and now?").asks("q2").compose());
    assert!(after.starts_with(before.trim_end()), "{before}\n---\n{after}");
}

#[test]
fn c2_the_newest_notes_are_kept_within_their_share() {
    let mut story = Story::new().says("q", ALICE, "oncall?").asks("q");
    for n in 0..50 {
        story = story.notes(ALICE, &format!("note {n} {}", "語".repeat(490)));
    }
    let opening = opening(&story);
    let kept = opening["notes"].as_array().expect("notes").len();
    assert!(estimate(&opening.to_string()) <= story.tokens_max / NOTES_SHARE);
    assert_eq!((kept > 3, &opening["left_out"]), (true, &json!(50 - kept)));
    assert!(opening["notes"][kept - 1]["note"].as_str().is_some_and(|note| note.starts_with("note 49 ")));
}

#[test]
fn a6_a_reply_to_an_earlier_session_brings_nothing_of_it_back() {
    let story = Story::new()
        .says("old", ALICE, "before")
        .says("new", ALICE, "!new")
        .replies("q", ALICE, "old", "and this?")
        .asks("q");
    let (owner, new) = (user(ALICE), id("new"));
    let kind = Kind::Assistant { owner: &owner, instructions: "" };
    let composed = story.compose_as(kind, Some(SessionStart::After(&new)));
    assert_eq!(shown(&composed.prompt), ["$q"]);
}
