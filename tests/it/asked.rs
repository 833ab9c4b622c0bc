//! Who is asked, how and when (C5, C6, C16): typed in clients that always send `m.mentions`, and with the picture sent
//! after the question.

use anyhow::Result;
use image::ImageFormat;
use reqwest::Method;
use ruma::{OwnedEventId, OwnedRoomId, events::room::member::MembershipState};
use serde_json::{Value, json};
use workmate::{
    core::words,
    standin::{Matcher, RecordedRequest, Turn},
};

use crate::{
    assistants::call_as,
    harness::{
        Message, Person, RoomKind, SeenEvent, SentFile, Timeline,
        homeserver::shared,
        office::{Office, question_of},
    },
    media::picture,
};

/// Sends the content unchanged, with an empty `m.mentions` if it has none.
async fn say(person: &Person, room: &OwnedRoomId, mut content: Value) -> Result<OwnedEventId> {
    let said = content.as_object_mut().expect("an object");
    said.entry("m.mentions").or_insert_with(|| json!({}));
    said.entry("msgtype").or_insert_with(|| json!("m.text"));
    Ok(person.room(room)?.send_raw("m.room.message", content).await?.response.event_id)
}

fn in_thread(root: &OwnedEventId) -> Value {
    json!({ "rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": { "event_id": root } })
}

async fn until_said(office: &Office, room: &OwnedRoomId, text: &str) -> Result<SeenEvent> {
    let oncall = office.oncall();
    let find = |seen: &Timeline| seen.messages_of(&oncall).find(|event| event.body().contains(text)).cloned();
    office.alice.until(room, text, find).await
}

#[tokio::test]
async fn c5_c16_what_people_type_asks_and_what_they_say_to_each_other_does_not() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = office.room_of_people(RoomKind::Encrypted).await?;
    let first_words = office.bring(&room, &oncall).await?;

    say(alice, &room, json!({ "body": "@oncall yes1" })).await?;
    say(alice, &room, json!({ "body": "OnCall: yes2" })).await?;
    say(alice, &room, json!({ "body": format!("{oncall} yes3") })).await?;
    say(alice, &room, json!({ "body": "oncall was paged no1" })).await?;
    say(alice, &room, json!({ "body": "who is @oncall no2" })).await?;
    let mentions = json!({ "user_ids": [oncall] });
    let place =
        json!({ "msgtype": "m.location", "body": "@oncall yes4", "geo_uri": "geo:52.5,13.4", "m.mentions": mentions });
    say(alice, &room, place).await?;
    say(alice, &room, json!({ "msgtype": "org.example.odd", "body": "@oncall yes5", "m.mentions": mentions })).await?;
    let opened = json!({ "body": "yes6, how?", "m.relates_to": in_thread(&first_words.event_id) });
    say(alice, &room, opened).await?;
    let sticker = json!({ "body": "yes7", "url": "mxc://hs/none", "info": {}, "m.mentions": mentions });
    let poll = json!({ "question": { "m.text": "yes8" }, "answers": [{ "m.id": "a", "m.text": "noon" }] });
    let sticker = alice.room(&room)?.send_raw("m.sticker", sticker).await?.response.event_id;
    let kinds = [
        ("m.poll.start", json!({ "m.poll": poll, "m.mentions": mentions })),
        ("m.message", json!({ "m.text": [{ "body": "yes9" }], "m.mentions": mentions })),
        ("org.example.odd", json!({ "body": "yes10", "m.mentions": mentions })),
        ("m.message", json!({ "m.text": [{ "body": "no5" }] })),
    ];
    for (event_type, content) in kinds {
        alice.room(&room)?.send_raw(event_type, content).await?;
    }
    let told = |seen: &Timeline| {
        let mut said = seen.messages_of(&oncall);
        said.find(|event| event.thread_root() == Some(sticker.as_str()) && event.mentions(alice.user_id())).map(drop)
    };
    alice.until(&room, "that the sticker cannot be read", told).await?;
    for number in (1..=10).filter(|number| *number != 7) {
        office.answer(alice, &room, &oncall, &format!("yes{number}")).await?;
    }
    say(alice, &room, json!({ "body": "**！Help** @oncall.", "m.mentions": mentions })).await?;
    until_said(&office, &room, &words::coworker_help("oncall")[..20].replace(['`', '*'], "")).await?;

    // In its thread, but between people.
    let root = office.ask(alice, &room, "what happened?").await?;
    office.answer(alice, &room, &oncall, "what happened?").await?;
    let picture = SentFile::new("wall.png", "image/png", picture(40, 40, ImageFormat::Png)).as_image();
    alice.send(&room, Message::text("🎉👍🏽").in_thread(&root)).await?;
    say(
        alice,
        &room,
        json!({ "body": format!("{}: no3", bob.user_id().localpart()), "m.relates_to": in_thread(&root) }),
    )
    .await?;
    say(bob, &room, json!({ "body": "on it no4", "m.relates_to": in_thread(&root) })).await?;
    bob.send_file(&room, &picture, None).await?;
    office.asked_and_answered(&room, "and now?").await?;
    let questions = office.questions();
    let nos = ["no1", "no2", "no3", "no4", "no5"];
    assert!(!questions.iter().any(|question| nos.iter().any(|no| question.contains(no))), "{questions:?}");
    assert_eq!(questions.len(), 11, "{questions:?}");
    Ok(())
}

#[tokio::test]
async fn c6_the_picture_behind_the_question_is_seen_and_a_mention_edited_away_stops_it() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    let (turn, _never_released) = Turn::text("I see no picture.").gate_after(1);
    office.script("what is on the wall?", turn);

    office.ask(alice, &room, "what is on the wall?").await?;
    office.claude.wait_for_request(|request| question_of(request).contains("on the wall")).await?;
    let wall = SentFile::new("wall.png", "image/png", picture(60, 40, ImageFormat::Png)).as_image();
    alice.send_file(&room, &wall, None).await?;
    office.answer(alice, &room, &oncall, "You asked").await?;
    let requests = office.claude.requests();
    assert_eq!(requests.len(), 2, "one call more");
    assert_eq!(requests.last().map(|request| request.files().len()), Some(1), "with the picture");

    let (turn, _never_released) = Turn::text("never to be seen").gate_after(1);
    office.claude.on(Matcher::when("the question", |request| question_of(request).contains("is it down?")), turn);
    let request = office.ask(alice, &room, "is it down?").await?;
    office.claude.wait_for_request(|request| question_of(request).contains("is it down?")).await?;
    let taken_back = json!({
        "body": "* never mind, found it",
        "m.new_content": { "msgtype": "m.text", "body": "never mind, found it", "m.mentions": {} },
        "m.relates_to": { "rel_type": "m.replace", "event_id": request },
    });
    say(alice, &room, taken_back).await?;
    until_said(&office, &room, "Stopped").await?;
    office.asked_and_answered(&room, "and now?").await?;
    assert!(office.questions().iter().all(|question| !question.contains("never mind")), "{:?}", office.questions());

    // What was sent while the coworker joined is found at once, one behind the other.
    let room = office.room_of_people(RoomKind::Plain).await?;
    alice.invite(&room, &oncall).await?;
    let request = office.ask(alice, &room, "whose wall is it?").await?;
    let file = alice.send_file(&room, &wall, None).await?;
    office.answer(alice, &room, &oncall, "You asked").await?;
    office.asked_and_answered(&room, "is that all?").await?;
    let seen = alice.timeline(&room);
    let in_thread =
        |root: &OwnedEventId| seen.messages_of(&oncall).any(|said| said.thread_root() == Some(root.as_str()));
    assert!(in_thread(&request) && !in_thread(&file), "{seen}");
    Ok(())
}

#[tokio::test]
async fn c6_a_captioned_file_joins_the_question_before_it_or_asks_its_own_and_never_both() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let room = office.room(RoomKind::Plain).await?;
    let wall = SentFile::new("wall.png", "image/png", picture(60, 40, ImageFormat::Png)).as_image();
    let asked = |question: &str| office.questions().iter().filter(|asked| asked.contains(question)).count();

    // A question of its own, with the coworker's name or without: what was asked before goes on as it was.
    for (first, second) in [("who built it?", "@oncall and who painted this one?"), ("is it old?", "what is on it?")] {
        let (turn, gate) = Turn::text(format!("I know {first}")).gate_after(1);
        office.script(first, turn);
        let request = office.ask(alice, &room, first).await?;
        office.claude.wait_for_request(|request| question_of(request).contains(first)).await?;
        let caption = Message::text(second);
        let caption = if second.starts_with('@') { caption.pill("@oncall", &oncall) } else { caption };
        let file = alice.send_file(&room, &wall, Some(caption)).await?;
        if second.starts_with('@') {
            office.answer(alice, &room, &oncall, second).await?;
        }
        gate.release();
        office.answer(alice, &room, &oncall, &format!("I know {first}")).await?;
        let answer = office.answer(alice, &room, &oncall, second.trim_start_matches("@oncall ")).await?;
        let root = if second.starts_with('@') { &file } else { &request };
        assert_eq!(answer.thread_root(), Some(root.as_str()), "{answer:?}");
        assert_eq!([asked(first), asked(second.trim_start_matches("@oncall "))], [1, 1], "{:?}", office.questions());
    }

    // No question of its own: it belongs to the one before, which is asked once more, with the picture.
    for (first, caption) in [("what is wrong there?", "@oncall"), ("why is it wet?", "the wall, from the left")] {
        let room = office.room(RoomKind::Plain).await?;
        let (turn, _never_released) = Turn::text("I see no picture.").gate_after(1);
        office.script(first, turn);
        let before = office.claude.requests().len();
        office.ask(alice, &room, first).await?;
        office.claude.wait_for_request(|request| question_of(request).contains(first)).await?;
        let words = Message::text(caption);
        let words = if caption.starts_with('@') { words.pill("@oncall", &oncall) } else { words };
        alice.send_file(&room, &wall, Some(words)).await?;
        let has_both =
            |request: &RecordedRequest| request.files().len() == 1 && request.body.to_string().contains(first);
        office.claude.wait_for_request(has_both).await?;
        office.answer(alice, &room, &oncall, "You asked").await?;
        let then = format!("and after {first}");
        office.asked_and_answered(&room, &then).await?;
        assert_eq!(office.claude.requests().len() - before, 3, "{:?}", office.questions());
    }
    Ok(())
}

#[tokio::test]
async fn c5_c6_thanks_start_no_run_and_a_picture_behind_a_quick_answer_goes_on_with_the_question() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let profile = format!("_matrix/client/v3/profile/{}/m.tz", alice.user_id());
    call_as(alice, Method::PUT, &profile, &json!({ "m.tz": "Asia/Kathmandu" })).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.script("what is on the wall?", Turn::text("Send me a picture of it."));

    let request = office.ask(alice, &room, "what is on the wall?").await?;
    let answered = office.answer(alice, &room, &oncall, "Send me").await?;
    let facts = office.claude.requests().last().map(|request| request.body["system"].to_string()).unwrap_or_default();
    assert!(facts.contains("Asia/Kathmandu"), "{facts}");
    let wall = SentFile::new("wall.png", "image/png", picture(60, 40, ImageFormat::Png)).as_image();
    alice.send_file(&room, &wall, None).await?;
    let looked_at = office.answer(alice, &room, &oncall, "You asked:").await?;
    assert_eq!(looked_at.thread_root(), Some(request.as_str()), "{looked_at:?}");
    assert_eq!(office.claude.requests().last().map(|request| request.files().len()), Some(1), "with the picture");

    // A reply mentions the replied-to sender, as from clients.
    let reply = |body: &str| {
        json!({
            "body": body, "m.mentions": { "user_ids": [oncall] },
            "m.relates_to": { "m.in_reply_to": { "event_id": answered.event_id } },
        })
    };
    say(alice, &room, reply("👍")).await?;
    say(alice, &room, reply("ok, thanks!")).await?;
    let thanks = json!({ "body": "Danke, oncall", "m.relates_to": in_thread(&request) });
    let thanks = say(alice, &room, thanks).await?;
    let bob = office.bob.user_id().localpart();
    let to_bob = json!({ "body": format!("can you paint it, {bob}?"), "m.relates_to": in_thread(&request) });
    say(alice, &room, to_bob).await?;
    say(alice, &room, json!({ "body": "@oncall - !stop" })).await?;
    until_said(&office, &room, &words::nothing_to_stop()).await?;
    // Behind a command, and behind words to somebody else, it goes on with nothing.
    alice.send_file(&room, &wall, None).await?;
    say(alice, &room, json!({ "body": "bob, look at this" })).await?;
    alice.send_file(&room, &wall, None).await?;
    say(alice, &room, reply("👍 and now?")).await?;
    office.answer(alice, &room, &oncall, "and now?").await?;
    // The thanks become a question.
    let question = json!({
        "body": "* Danke, and whose is it?",
        "m.new_content": { "msgtype": "m.text", "body": "Danke, and whose is it?", "m.mentions": {} },
        "m.relates_to": { "rel_type": "m.replace", "event_id": thanks },
    });
    say(alice, &room, question).await?;
    let answer = office.answer(alice, &room, &oncall, "whose is it?").await?;
    assert_eq!(answer.thread_root(), Some(request.as_str()), "{answer:?}");
    let asked = ["@oncall what is on the wall?", "", "👍 and now?", "Danke, and whose is it?"];
    assert_eq!(office.questions(), asked);
    Ok(())
}

#[tokio::test]
async fn g_times_are_in_the_readers_zone_and_a_space_is_not_spoken_into() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let profile = format!("_matrix/client/v3/profile/{}/m.tz", alice.user_id());
    call_as(alice, Method::PUT, &profile, &json!({ "m.tz": "Asia/Kolkata" })).await?;
    let room = office.room(RoomKind::Plain).await?;

    let poll = json!({ "question": { "m.text": "lunch?" }, "answers": [{ "m.id": "a", "m.text": "noon" }] });
    let poll = json!({ "m.poll": poll, "m.mentions": { "user_ids": [oncall] } });
    alice.room(&room)?.send_raw("m.poll.start", poll).await?;
    office.answer(alice, &room, &oncall, "lunch?").await?;
    office.ask(alice, &room, "!Note the valve is green").await?;
    until_said(&office, &room, "Noted").await?;
    office.ask(alice, &room, "!notes").await?;
    let notes = until_said(&office, &room, "the valve is green").await?;
    assert!(notes.body().contains(" IST"), "{}", notes.body());

    let space = json!({
        "creation_content": { "type": "m.space" }, "name": "the team", "invite": [office.bob.user_id(), oncall],
    });
    let space = call_as(alice, Method::POST, "_matrix/client/v3/createRoom", &space).await?;
    let space = OwnedRoomId::try_from(space["room_id"].as_str().expect("a room"))?;
    alice.until_membership(&space, &oncall, &MembershipState::Join).await?;
    office.asked_and_answered(&room, "and now?").await?;
    let seen = alice.timeline(&space);
    assert_eq!(seen.messages_of(&oncall).count(), 0, "{seen}");
    Ok(())
}

#[tokio::test]
async fn g_somebody_whose_id_is_too_long_for_an_assistant_is_told_so() -> Result<()> {
    let office = Office::open().await?;
    let service = office.workmate.slot().service();
    let long = shared().person(&"l".repeat(239)).await;
    let dm = long.create_dm(&service).await?;
    let told =
        |seen: &Timeline| seen.messages_of(&service).find(|event| event.body() == words::id_does_not_fit()).cloned();
    long.until(&dm, "why there is none", told).await?;
    Ok(())
}
