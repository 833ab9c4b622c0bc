//! When a coworker answers (C5, C14, C15), and where and how (C9), in real rooms.

use std::collections::BTreeSet;

use anyhow::Result;
use ruma::{OwnedEventId, OwnedRoomId, UserId};
use serde_json::{Value, json};
use workmate::{core::words, standin::Turn};

use crate::harness::{
    Message, Person, RoomKind, Setup, Timeline, UnsignedDevices,
    homeserver::shared,
    office::{Office, answers_in_thread},
    workmate::{Workmate, coworker},
};

/// Sends content that no well-behaved client composes.
async fn send_raw(person: &Person, room: &OwnedRoomId, content: Value) -> Result<OwnedEventId> {
    Ok(person.room(room)?.send_raw("m.room.message", content).await?.response.event_id)
}

async fn answer_has_its_shape(kind: RoomKind) -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let room = office.room(kind).await?;
    let (turn, gate) = Turn::text("It is *done*.").gate_after(1);
    office.script("is it done?", turn);

    let request = office.ask(alice, &room, "is it done?").await?;
    let noticed =
        |seen: &Timeline| (seen.read.get(&oncall) == Some(&request) && seen.typed.contains(&oncall)).then_some(());
    alice.until(&room, "read receipt and typing", noticed).await?;
    assert_eq!(answers_in_thread(alice, &room, &request, &oncall), 0, "nothing is said before the answer is there");
    gate.release();
    let answered = office.answer(alice, &room, &oncall, "It is").await?;

    let place = json!({
        "rel_type": "m.thread", "event_id": request, "is_falling_back": true, "m.in_reply_to": {"event_id": request},
    });
    assert_eq!(answered.msgtype(), "m.text");
    assert_eq!(answered.content["m.relates_to"], place);
    assert_eq!(answered.content["m.mentions"], json!({"user_ids": [alice.user_id()]}));
    assert_eq!(answered.content["formatted_body"].as_str().map(|html| html.contains("<em>done</em>")), Some(true));
    assert_eq!(answered.is_decrypted(), kind == RoomKind::Encrypted);
    office.asked_and_answered(&room, "and then?").await?;
    assert_eq!(answers_in_thread(alice, &room, &request, &oncall), 1);
    Ok(())
}

#[tokio::test]
async fn c9_an_answer_is_one_text_in_the_requests_thread_for_the_asker_in_a_plain_room() -> Result<()> {
    Box::pin(answer_has_its_shape(RoomKind::Plain)).await
}

#[tokio::test]
async fn c9_an_answer_is_one_text_in_the_requests_thread_for_the_asker_in_an_encrypted_room() -> Result<()> {
    Box::pin(answer_has_its_shape(RoomKind::Encrypted)).await
}

#[tokio::test]
async fn c5_a_thread_goes_on_with_and_without_a_mention_until_somebody_else_is_mentioned() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    let root = office.ask(alice, &room, "first").await?;
    office.answer(alice, &room, &oncall, "first").await?;

    alice.send(&room, Message::text("@oncall second").pill("@oncall", &oncall).in_thread(&root)).await?;
    let second = office.answer(alice, &room, &oncall, "second").await?;
    alice.send(&room, Message::text("third").in_thread(&root)).await?;
    let third = office.answer(alice, &room, &oncall, "third").await?;
    bob.send(&room, Message::text("fourth").in_thread(&root)).await?;
    let fourth = office.answer(bob, &room, &oncall, "fourth").await?;
    alice.send(&room, Message::text("@bob fifth, for you").pill("@bob", bob.user_id()).in_thread(&root)).await?;
    bob.send(&room, Message::text("sixth, between us").in_thread(&root)).await?;
    office.asked_and_answered(&room, "seventh").await?;

    for answer in [second, third, fourth] {
        assert_eq!(answer.thread_root(), Some(root.as_str()), "{answer:?}");
    }
    assert_eq!(office.questions().len(), 5, "{:?}", office.questions());
    Ok(())
}

#[tokio::test]
async fn c9_reply_in_timeline_answers_there_and_in_a_thread_where_asked_in_one() -> Result<()> {
    let mut flat = coworker("oncall");
    flat["reply_in"] = json!("timeline");
    let office = Office::open_with(vec![flat]).await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;

    let request = office.ask(alice, &room, "out here").await?;
    let outside = office.answer(alice, &room, &oncall, "out here").await?;
    let root = office.bob.send(&room, "a thread begins").await?;
    alice.send(&room, Message::text("@oncall in here").pill("@oncall", &oncall).in_thread(&root)).await?;
    let inside = office.answer(alice, &room, &oncall, "in here").await?;

    assert_eq!((outside.thread_root(), outside.in_reply_to()), (None, Some(request.as_str())));
    assert_eq!(inside.thread_root(), Some(root.as_str()));
    Ok(())
}

/// Sends messages that must not be answered, each containing a word of its own.
async fn say_what_asks_nobody(office: &Office, robot: &Person, room: &OwnedRoomId) -> Result<()> {
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let link = format!("https://matrix.to/#/{oncall}");
    alice.send(room, "no1: oncall and @oncall are only named in the middle").await?;
    send_raw(alice, room, json!({"msgtype": "m.text", "body": "@room no2", "m.mentions": {"room": true}})).await?;
    alice.send(room, Message::text("@oncall no3").pill("@oncall", &oncall).as_notice()).await?;
    let quoted = bob.send(room, "said by bob").await?;
    let fallback = json!({
        "msgtype": "m.text", "body": format!("> <{oncall}> earlier\n\nno4"), "format": "org.matrix.custom.html",
        "formatted_body": format!("<mx-reply><blockquote><a href=\"{link}\">oncall</a></blockquote></mx-reply>no4"),
        "m.relates_to": {"m.in_reply_to": {"event_id": quoted}},
    });
    send_raw(alice, room, fallback).await?;
    let code = format!("<pre><code><a href=\"{link}\">@oncall</a></code></pre> no5");
    send_raw(alice, room, json!({
        "msgtype": "m.text", "body": "```\n@oncall\n```\nno5", "format": "org.matrix.custom.html", "formatted_body": code,
    })).await?;
    // If `m.mentions` is present, a typed name counts only at the very start.
    alice.send(room, "who is @oncall no6").await?;
    robot.send(room, Message::text("@oncall no7").pill("@oncall", &oncall)).await?;
    Ok(())
}

/// Asks by an emote and by a captioned file.
async fn say_what_asks_in_other_kinds(alice: &Person, room: &OwnedRoomId, oncall: &UserId) -> Result<()> {
    let mentions = json!({"user_ids": [oncall]});
    let emote = json!({"msgtype": "m.emote", "body": "asks @oncall yes5", "m.mentions": mentions});
    send_raw(alice, room, emote).await?;
    let uploaded = alice.client().media().upload(&mime::TEXT_PLAIN_UTF_8, b"the plan".to_vec(), None).await?;
    let file = json!({
        "msgtype": "m.file", "body": "yes6 @oncall what does it say?", "filename": "plan.txt", "m.mentions": mentions,
        "url": uploaded.content_uri, "info": {"mimetype": "text/plain", "size": 8},
    });
    send_raw(alice, room, file).await?;
    Ok(())
}

async fn only_requests_are_answered(kind: RoomKind) -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let robot = shared().person("robot").await;
    let bots = json!({"bots": [robot.user_id()]});
    // With one run at a time, the last answer comes after all others.
    let office = Office::open_for(people, |setup: Setup| {
        setup.section("workspace", bots).section("limits", json!({"room_runs_max": 1}))
    })
    .await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = office.room(kind).await?;
    alice.invite(&room, robot.user_id()).await?;
    office.join_on_invite(&robot, &room).await?;

    say_what_asks_nobody(&office, &robot, &room).await?;
    send_raw(alice, &room, json!({"msgtype": "m.text", "body": "oncall: yes1"})).await?;
    send_raw(
        alice,
        &room,
        json!({
            "msgtype": "m.text", "body": "could oncall yes2", "format": "org.matrix.custom.html",
            "formatted_body": format!("could <a href=\"https://matrix.to/#/{oncall}\">oncall</a> yes2"),
        }),
    )
    .await?;
    say_what_asks_in_other_kinds(alice, &room, &oncall).await?;
    let first = office.answer(alice, &room, &oncall, "yes2").await?;
    bob.send(&room, Message::text("yes3").replying_to(&first.event_id)).await?;
    office.answer(bob, &room, &oncall, "yes3").await?;
    office.asked_and_answered(&room, "yes4").await?;

    let asked = office.questions();
    let found: BTreeSet<_> = asked
        .iter()
        .filter_map(|question| {
            question.split([' ', '\n']).find(|word| word.starts_with("yes") || word.starts_with("no"))
        })
        .collect();
    assert_eq!(found, BTreeSet::from(["yes1", "yes2", "yes3", "yes4", "yes5", "yes6"]), "{asked:?}");
    assert_eq!(asked.len(), 6, "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn c5_and_c14_only_requests_are_answered_in_a_plain_room() -> Result<()> {
    Box::pin(only_requests_are_answered(RoomKind::Plain)).await
}

#[tokio::test]
async fn c5_and_c14_only_requests_are_answered_in_an_encrypted_room() -> Result<()> {
    Box::pin(only_requests_are_answered(RoomKind::Encrypted)).await
}

#[tokio::test]
async fn c6_an_edit_that_newly_mentions_it_asks_once() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    let request = alice.send(&room, "what is the plan?").await?;

    for text in ["@oncall what is the new plan?", "@oncall what is the newest plan?"] {
        alice.send(&room, Message::text(text).pill("@oncall", &oncall).replacing(&request)).await?;
        office.answer(alice, &room, &oncall, "You asked").await?;
    }
    office.asked_and_answered(&room, "and now?").await?;

    assert_eq!(answers_in_thread(alice, &room, &request, &oncall), 1, "{}", alice.timeline(&room));
    assert_eq!(office.questions(), ["@oncall what is the new plan?", "@oncall and now?"]);
    Ok(())
}

#[tokio::test]
async fn c5_and_c14_two_coworkers_in_one_message_both_answer_and_do_not_trigger_each_other() -> Result<()> {
    let office = Office::open_with(["oncall", "ci", "sales"].map(coworker).to_vec()).await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let [ci, sales] = ["ci", "sales"].map(|id| office.workmate.slot().coworker(id));
    let room = office.room(RoomKind::Encrypted).await?;
    office.bring(&room, &ci).await?;
    office.bring(&room, &sales).await?;
    let link = format!("[@sales](https://matrix.to/#/{sales}) knows");
    office.claude.respond_with(move |_| Turn::text(link.clone()));

    let question = Message::text("@oncall and @ci who knows?").pill("@oncall", &oncall).pill("@ci", &ci);
    let request = alice.send(&room, question).await?;
    for user in [&oncall, &ci] {
        let answer = office.answer(alice, &room, user, "knows").await?;
        assert_eq!(answer.thread_root(), Some(request.as_str()));
        assert_eq!(answer.content["m.mentions"], json!({"user_ids": [alice.user_id()]}));
    }
    alice.send(&room, Message::text("@ci again").pill("@ci", &ci)).await?;
    let twice = |seen: &Timeline| {
        (seen.messages_of(&ci).filter(|event| event.msgtype() == "m.text").count() == 2).then_some(())
    };
    alice.until(&room, "the second answer of ci", twice).await?;

    assert_eq!(office.claude.requests().len(), 3);
    assert_eq!(alice.timeline(&room).messages_of(&sales).count(), 1, "its first words alone");
    Ok(())
}

/// Delivers events as the homeserver would; returns the response's status.
async fn deliver(workmate: &Workmate, transaction: &str, events: Value) -> Result<u16> {
    let slot = workmate.slot();
    let url = format!("http://{}/_matrix/app/v1/transactions/{transaction}", slot.listen);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let sent = http.put(url).bearer_auth(slot.hs_token()).json(&json!({"events": events})).send().await?;
    Ok(sent.status().as_u16())
}

fn strangers_request(office: &Office, room: &OwnedRoomId, event: &str) -> Value {
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    json!({
        "event_id": event, "room_id": room, "sender": "@eve:elsewhere.example", "type": "m.room.message",
        "origin_server_ts": u64::try_from(now).unwrap_or_default(),
        "content": {"msgtype": "m.text", "body": "oncall: hello", "m.mentions": {"user_ids": [office.oncall()]}},
    })
}

#[tokio::test]
async fn c15_a_stranger_is_told_why_once_even_among_malformed_events_and_never_answered() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let first = strangers_request(&office, &room, "$first-of-eve");
    let no_content = json!({"event_id": "$x", "room_id": room, "sender": "@a:b", "type": "m.room.message"});
    let malformed =
        json!([null, 7, {"type": "m.room.message"}, no_content, first, {"room_id": "!", "event_id": "x"}, "y"]);

    let statuses = [
        deliver(&office.workmate, "eve-1", malformed.clone()).await?,
        deliver(&office.workmate, "eve-1", malformed).await?,
        deliver(&office.workmate, "eve-2", json!([strangers_request(&office, &room, "$second-of-eve")])).await?,
    ];
    let told =
        |seen: &Timeline| seen.messages_of(&office.oncall()).find(|event| event.body() == words::stranger()).cloned();
    office.alice.until(&room, "the word to the stranger", told).await?;
    office.asked_and_answered(&room, "still here?").await?;

    assert_eq!(statuses, [200, 200, 200]);
    let seen = office.alice.timeline(&room);
    assert_eq!(
        seen.messages_of(&office.oncall()).filter(|event| event.body() == words::stranger()).count(),
        1,
        "{seen}"
    );
    assert_eq!(office.questions().len(), 1, "{:?}", office.questions());
    Ok(())
}

#[tokio::test]
async fn c5_a_client_that_excludes_unsigned_devices_reads_a_lax_one_and_oncall_in_one_room() -> Result<()> {
    let mut strict = shared().account("carol").await;
    strict.unsigned_devices = UnsignedDevices::Excluded;
    let people = [Person::start(strict).await?, shared().person("bob").await];
    let office = Office::open_for(people, |setup| setup).await?;
    let room = office.room(RoomKind::Encrypted).await?;

    office.ask(&office.bob, &room, "asked by bob").await?;
    let for_bob = office.answer(&office.bob, &room, &office.oncall(), "asked by bob").await?;
    let read = |seen: &Timeline| seen.event(&for_bob.event_id).filter(|event| event.is_decrypted()).cloned();
    office.alice.until(&room, "the answer to bob, decrypted", read).await?;
    let for_carol = office.asked_and_answered(&room, "asked by carol").await?;

    let (lax, _) = for_carol.shields().expect("it was decrypted");
    assert_eq!(lax, matrix_sdk::deserialized_responses::ShieldState::None);
    Ok(())
}
