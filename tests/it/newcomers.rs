//! What newcomers are told (C7): nothing that the room's history visibility hides from them, unless the operator allows
//! it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result};
use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};
use workmate::standin::{RecordedRequest, Turn};

use crate::harness::{
    Message, Person, RoomKind,
    between::homeserver_behind,
    homeserver::shared,
    office::{Office, echoing},
    workmate::{Setup, coworker},
};

async fn sets(person: &Person, room: &RoomId, event_type: &str, content: Value) -> Result<()> {
    person.room(room)?.send_state_event_raw(event_type, "", content).await.with_context(|| event_type.to_owned())?;
    Ok(())
}

async fn opens(person: &Person, room: &RoomId, visibility: &str) -> Result<()> {
    sets(person, room, "m.room.history_visibility", json!({ "history_visibility": visibility })).await
}

async fn brings(office: &Office, room: &RoomId, newcomer: &Person) -> Result<()> {
    office.alice.invite(room, newcomer.user_id()).await?;
    office.join_on_invite(newcomer, room).await
}

/// Has a person ask; returns everything that the model was sent for it.
async fn told(office: &Office, asker: &Person, room: &RoomId, question: &str) -> Result<String> {
    let before = office.claude.requests().len();
    office.ask(asker, room, question).await?;
    office.answer(asker, room, &office.oncall(), question).await?;
    let sent: Vec<RecordedRequest> = office.claude.requests().split_off(before);
    Ok(sent.iter().map(|request| request.body.to_string()).collect())
}

/// Returns which of the messages appear in a text.
fn known(text: &str) -> String {
    let words = ["hidden-1", "invited-2", "pinned-3", "shared-4", "later-5"];
    words.into_iter().filter(|word| text.contains(word)).collect::<Vec<_>>().join(" ")
}

/// Makes a room in which things were said before Carol could read them.
async fn room_with_a_past(office: &Office, carol: &Person) -> Result<OwnedRoomId> {
    let alice = &office.alice;
    let room = office.room(RoomKind::Plain).await?;
    opens(alice, &room, "joined").await?;
    let root = alice.send(&room, "hidden-1").await?;
    let pinned = alice.send(&room, "pinned-3").await?;
    sets(alice, &room, "m.room.pinned_events", json!({ "pinned": [pinned] })).await?;
    alice.invite(&room, carol.user_id()).await?;
    carol.until_membership(&room, carol.user_id(), &ruma::events::room::member::MembershipState::Invite).await?;
    opens(alice, &room, "invited").await?;
    alice.send(&room, "invited-2").await?;
    carol.join(&room).await?;
    alice.send(&room, Message::text("later-5, in the old thread").in_thread(&root)).await?;
    Ok(room)
}

#[tokio::test]
async fn c7_a_newcomer_is_told_nothing_that_the_room_hides_from_them() -> Result<()> {
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!(["room_search", "room_read"]);
    let office = Office::open_with(vec![oncall]).await?;
    let [carol, dave] = [shared().person("carol").await, shared().person("dave").await];
    let room = room_with_a_past(&office, &carol).await?;

    assert_eq!(known(&told(&office, &carol, &room, "what was said?").await?), "invited-2 later-5");
    assert_eq!(known(&told(&office, &office.bob, &room, "and for me?").await?), "hidden-1 invited-2 pinned-3 later-5");

    // Her tools see no more, nor do her replies and the thread in which she asks.
    for (question, tool, input) in
        [("read it all", "room_read", json!({})), ("search it all", "room_search", json!({ "text": "pinned" }))]
    {
        office.script(question, Turn::tool_use(tool, input));
        let sent = told(&office, &carol, &room, question).await?;
        assert!(sent.contains("tool_result"), "{tool} was called: {sent}");
        assert_eq!(known(&sent), "invited-2 later-5", "{tool}: {sent}");
    }
    let seen = office.alice.timeline(&room);
    let hidden = seen.events.iter().find(|event| event.body() == "hidden-1").map(|event| event.event_id.clone());
    let hidden = hidden.context("alice said it")?;
    let pill = |text: &str| Message::text(format!("@oncall {text}")).pill("@oncall", &office.oncall());
    for (text, message) in [
        ("and what is this?", pill("and what is this?").replying_to(&hidden)),
        ("what is this thread?", pill("what is this thread?").in_thread(&hidden)),
    ] {
        let before = office.claude.requests().len();
        carol.send(&room, message).await?;
        office.answer(&carol, &room, &office.oncall(), text).await?;
        let sent = office
            .claude
            .requests()
            .split_off(before)
            .iter()
            .map(|request| request.body.to_string())
            .collect::<String>();
        assert!(!known(&sent).contains("hidden-1") && !known(&sent).contains("pinned-3"), "{text}: {sent}");
    }

    // When the room is opened to newcomers, what was hidden stays hidden; only later messages are shown.
    opens(&office.alice, &room, "shared").await?;
    office.alice.send(&room, "shared-4").await?;
    brings(&office, &room, &dave).await?;
    assert_eq!(known(&told(&office, &dave, &room, "what may I know?").await?), "shared-4");
    Ok(())
}

#[tokio::test]
async fn c7_where_the_operator_says_so_a_coworker_tells_all_of_its_room_and_says_that_it_does() -> Result<()> {
    let mut oncall = coworker("oncall");
    oncall["history"] = json!("room");
    let office = Office::open_with(vec![oncall]).await?;
    let carol = shared().person("carol").await;
    let room = room_with_a_past(&office, &carol).await?;
    let told = told(&office, &carol, &room, "what was said?").await?;
    assert_eq!(known(&told), "hidden-1 invited-2 pinned-3 later-5");
    let seen = office.alice.timeline(&room);
    let first = seen.messages_of(&office.oncall()).next().map(|event| event.body().to_owned()).unwrap_or_default();
    assert!(first.contains("I may tell newcomers about messages from before they came"), "{first}");
    Ok(())
}

#[tokio::test]
async fn c7_in_a_room_that_was_always_open_the_homeserver_is_asked_nothing_for_it() -> Result<()> {
    let looked_up = Arc::new(AtomicUsize::new(0));
    let counted = looked_up.clone();
    let url = homeserver_behind(move |request| {
        counted.fetch_add(usize::from(request.uri().path().contains("/context/")), Ordering::Relaxed);
        None
    });
    let url = url.await?;
    let claude = echoing().await?;
    let workmate = Setup::new(&shared().take_slot(), &url, &claude.base_url()).start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Plain).await?;
    let carol = shared().person("carol").await;
    brings(&office, &room, &carol).await?;
    for (asker, question) in [(&office.bob, "one?"), (&carol, "two?"), (&carol, "three?")] {
        told(&office, asker, &room, question).await?;
    }
    assert_eq!(looked_up.load(Ordering::Relaxed), 0, "shared from its beginning");

    opens(&office.alice, &room, "joined").await?;
    for question in ["four?", "five?", "six?"] {
        told(&office, &carol, &room, question).await?;
    }
    assert!(looked_up.load(Ordering::Relaxed) <= 1, "once for a person and a window: {looked_up:?}");
    Ok(())
}
