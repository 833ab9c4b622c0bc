//! What a careful colleague knows about a room beyond its messages (C7): polls, locations, pins, the topic, who is
//! invited.

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedEventId, RoomId};
use serde_json::{Value, json};
use workmate::standin::RecordedRequest;

use crate::harness::{
    Message, Person, RoomKind,
    office::{Office, text_of},
};

/// Said in another room; must appear in no request of this one.
const CANARY: &str = "canary-51d0";
/// More events than a request's history covers; the next constant is how many are sent at once.
const HISTORY_EVENTS: usize = 360;
const AT_ONCE: usize = 16;

async fn sends(person: &Person, room: &RoomId, event_type: &str, content: Value) -> Result<OwnedEventId> {
    let sent = person.room(room)?.send_raw(event_type, content).await;
    Ok(sent.with_context(|| format!("sending {event_type}"))?.response.event_id)
}

async fn sets(person: &Person, room: &RoomId, event_type: &str, content: Value) -> Result<()> {
    person.room(room)?.send_state_event_raw(event_type, "", content).await.with_context(|| event_type.to_owned())?;
    Ok(())
}

/// Returns every JSON line in the user's turns, in order.
fn lines(request: &RecordedRequest) -> Vec<Value> {
    let turns = request.body["messages"].as_array().into_iter().flatten().filter(|turn| turn["role"] == "user");
    let texts: Vec<String> = turns.map(|turn| text_of(&turn["content"])).collect();
    texts.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn holding<'a>(lines: &'a [Value], field: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line.get(field).is_some()).collect()
}

fn last_request(office: &Office) -> RecordedRequest {
    office.claude.requests().pop().expect("the model was asked")
}

#[tokio::test]
async fn c7_polls_places_topics_pins_and_invites_of_an_encrypted_room_are_read() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob) = (&office.alice, &office.bob);
    let room = office.room(RoomKind::Encrypted).await?;
    let plan = alice.send(&room, "the plan is bleu").await?;
    alice.send(&room, Message::text("the plan is blue").replacing(&plan)).await?;
    sets(alice, &room, "m.room.pinned_events", json!({"pinned": [plan]})).await?;
    sets(alice, &room, "m.room.topic", json!({"topic": "Deploys and fires"})).await?;
    let question = json!({
        "kind": "org.matrix.msc3381.poll.disclosed", "max_selections": 1,
        "question": {"org.matrix.msc1767.text": "When?"},
        "answers": [
            {"id": "a", "org.matrix.msc1767.text": "Noon"}, {"id": "b", "org.matrix.msc1767.text": "Night"},
        ],
    });
    let start = json!({"org.matrix.msc1767.text": "When? Noon, Night", "org.matrix.msc3381.poll.start": question});
    let poll = sends(alice, &room, "org.matrix.msc3381.poll.start", start).await?;
    let relation = json!({"rel_type": "m.reference", "event_id": poll});
    for answer in ["a", "b"] {
        let vote = json!({"m.relates_to": relation, "org.matrix.msc3381.poll.response": {"answers": [answer]}});
        sends(bob, &room, "org.matrix.msc3381.poll.response", vote).await?;
    }
    let place = json!({
        "msgtype": "m.location", "body": "Location", "geo_uri": "geo:52.5,13.4",
        "org.matrix.msc3488.location": {"uri": "geo:52.5,13.4", "description": "The yard"},
        "org.matrix.msc3488.asset": {"type": "m.pin"},
    });
    sends(bob, &room, "m.room.message", place).await?;
    let end = json!({"m.relates_to": relation, "m.text": [{"body": "over"}], "m.poll.results": {"a": 9}});
    sends(alice, &room, "m.poll.end", end).await?;
    let guest = crate::harness::homeserver::shared().person("carol").await;
    alice.invite(&room, guest.user_id()).await?;
    office.asked_and_answered(&room, "when do we deploy?").await?;

    let request = last_request(&office);
    let lines = lines(&request);
    let pins: Vec<_> = lines[0]["pinned"].as_array().into_iter().flatten().map(|pin| &pin["text"]).collect();
    assert_eq!(pins, ["the plan is blue"], "{lines:#?}");
    let topics: Vec<_> =
        holding(&lines, "room_topic").iter().map(|line| (line["room_topic"].clone(), line["set_by"].clone())).collect();
    assert_eq!(topics, [(json!("Deploys and fires"), json!(alice.user_id()))]);
    let asked = holding(&lines, "poll");
    assert_eq!((&asked[0]["text"], &asked[0]["poll"]["answers"]), (&json!("When?"), &json!(["Noon", "Night"])));
    let votes: Vec<_> = holding(&lines, "votes").iter().map(|line| line["votes"].clone()).collect();
    assert_eq!(votes, [json!([{"user": bob.user_id(), "answers": ["Night"]}])]);
    let counted = json!([{"answer": "Noon", "votes": 0}, {"answer": "Night", "votes": 1}]);
    assert_eq!(holding(&lines, "poll_ended")[0]["result"], counted);
    let place = json!({"geo": "geo:52.5,13.4", "description": "The yard", "of": "a place"});
    assert_eq!(holding(&lines, "location")[0]["location"], place);
    let system = request.system_text();
    assert!(system.contains(&format!(r#""invited":["{}"]"#, guest.user_id())), "{system}");
    assert!(system.contains("Deploys and fires"), "{system}");
    Ok(())
}

#[tokio::test]
async fn c7_what_is_pinned_or_replied_to_of_long_ago_is_read_as_it_stands_and_none_of_another_room() -> Result<()> {
    let mut office = Office::open().await?;
    let [room, other] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Encrypted).await?];
    // Otherwise these events would be in its window.
    office.workmate.stop().await;
    let (alice, bob) = (&office.alice, &office.bob);
    let foreign = bob.send(&other, CANARY).await?;
    let plan = bob.send(&room, "the plan is bleu").await?;
    bob.send(&room, Message::text("the plan is blue").replacing(&plan)).await?;
    let gone = bob.send(&room, "redact-me-91aa").await?;
    let filling = stream::iter(0..HISTORY_EVENTS).map(|n| {
        let (room, gone) = (&room, &gone);
        async move { bob.react(room, gone, &format!("{n}")).await }
    });
    filling.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    bob.redact(&room, &gone).await?;
    sets(alice, &room, "m.room.pinned_events", json!({"pinned": [plan, foreign, gone]})).await?;
    office.workmate.start_again().await;
    let question = Message::text("@oncall what was that?").pill("@oncall", &office.oncall()).replying_to(&plan);
    alice.send(&room, question).await?;
    office.answer(alice, &room, &office.oncall(), "what was that?").await?;

    let request = last_request(&office);
    let lines = lines(&request);
    let pins = lines[0]["pinned"].as_array().context("pins open the transcript")?;
    let texts: Vec<_> = pins.iter().map(|pin| &pin["text"]).collect();
    assert_eq!((texts, &lines[0]["left_out"]), (vec![&json!("the plan is blue")], &json!(2)), "{lines:#?}");
    let sent = request.body.to_string();
    assert!(!sent.contains(CANARY) && !sent.contains("redact-me-91aa"), "{sent}");
    let quoted: Vec<_> = lines.iter().enumerate().filter(|(_, line)| line["event_id"] == json!(plan)).collect();
    let quoted: Vec<_> = quoted.into_iter().map(|(at, line)| (at + 2, &line["text"])).collect();
    assert_eq!(quoted, [(lines.len(), &json!("the plan is blue"))], "in front of the request alone: {lines:#?}");
    Ok(())
}
