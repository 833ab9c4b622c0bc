//! What runs at once and what waits its turn (C11), with several requests.

use anyhow::Result;
use serde_json::json;
use workmate::{core::words, standin::Turn};

use crate::harness::{
    Message, RoomKind, Setup, Timeline,
    homeserver::shared,
    office::{Office, answers_in_thread},
};

#[tokio::test]
async fn c11_requests_in_one_thread_queue_in_order_while_other_threads_go_on() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    let root = office.ask(alice, &room, "zero").await?;
    office.answer(alice, &room, &oncall, "zero").await?;
    let (turn, gate) = Turn::text("You asked: one").gate_after(1);
    office.script("one", turn);

    alice.send(&room, Message::text("@oncall one").pill("@oncall", &oncall).in_thread(&root)).await?;
    gate.reached().await;
    bob.send(&room, Message::text("@oncall two").pill("@oncall", &oncall).in_thread(&root)).await?;
    // Asked after `two`, and answered while `two` waits.
    office.asked_and_answered(&room, "elsewhere").await?;
    let asked_meanwhile = office.questions();
    gate.release();
    office.answer(bob, &room, &oncall, "two").await?;

    assert!(!asked_meanwhile.iter().any(|question| question.contains("two")), "{asked_meanwhile:?}");
    let seen = bob.timeline(&room);
    let threads = seen.messages_of(&oncall).filter(|event| event.thread_root() == Some(root.as_str()));
    let bodies: Vec<_> = threads.map(|event| event.body().rsplit(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(bodies, ["zero", "one", "two"], "{seen}");
    Ok(())
}

#[tokio::test]
async fn c11_rooms_do_not_wait_for_each_other() -> Result<()> {
    let office = Office::open().await?;
    let [held, free] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Encrypted).await?];
    let (turn, gate) = Turn::text("at last").gate_after(1);
    office.script("slow one", turn);
    office.ask(&office.alice, &held, "slow one").await?;
    gate.reached().await;

    office.asked_and_answered(&free, "quick one").await?;
    gate.release();

    office.answer(&office.alice, &held, &office.oncall(), "at last").await?;
    Ok(())
}

#[tokio::test]
async fn c11_a_burst_of_requests_from_two_people_is_answered_once_each() -> Result<()> {
    let office = Office::open().await?;
    let oncall = office.oncall();
    let rooms = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Plain).await?];
    let mut sent = Vec::new();
    for number in 0..5 {
        for room in &rooms {
            for person in [&office.alice, &office.bob] {
                let question = format!("burst {number} of {}.", person.user_id().localpart());
                sent.push((room, person, office.ask(person, room, &question).await?));
            }
        }
    }

    for (room, person, request) in &sent {
        let find = |seen: &Timeline| seen.answer(request, &oncall, person.user_id()).map(|_| ());
        person.until(room, "an answer of the burst", find).await?;
    }
    for room in &rooms {
        office.asked_and_answered(room, "the end").await?;
    }
    for (room, person, request) in &sent {
        assert_eq!(answers_in_thread(person, room, request, &oncall), 1, "{}", person.timeline(room));
    }
    assert_eq!(office.questions().len(), sent.len() + rooms.len());
    Ok(())
}

#[tokio::test]
async fn c14_c23_who_asks_too_fast_is_stopped_alone_then_the_room_each_told_once_and_others_are_answered() -> Result<()>
{
    let people = [shared().person("alice").await, shared().person("bob").await];
    let limits = json!({"person_requests_max": 4, "room_requests_max": 6});
    let office = Office::open_for(people, |setup: Setup| setup.section("limits", limits)).await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let [busy, quiet] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Plain).await?];

    for number in 0..7 {
        office.ask(alice, &busy, &format!("again {number}.")).await?;
    }
    let to_alice = "That was a lot in a short time: more than 4 requests of yours";
    let told = |seen: &Timeline| seen.messages_of(&oncall).find(|event| event.body().starts_with(to_alice)).cloned();
    let told = alice.until(&busy, "the word to alice", told).await?;
    office.ask(alice, &quiet, "nor here.").await?;
    // A command is answered anyway, and everything asked before it is decided by then.
    for room in [&busy, &quiet] {
        office.ask(alice, room, "!tools").await?;
        office.answer(alice, room, &oncall, &words::no_tools()).await?;
    }
    for number in [4, 5] {
        office.ask(bob, &busy, &format!("and {number}, says bob.")).await?;
        office.answer(bob, &busy, &oncall, &format!("and {number}, says bob.")).await?;
    }
    for number in [6, 7] {
        office.ask(bob, &busy, &format!("and {number}, says bob.")).await?;
    }
    let to_bob = "That was a lot of requests in a short time: more than 6 here";
    let word = |seen: &Timeline| seen.messages_of(&oncall).find(|event| event.body().starts_with(to_bob)).map(|_| ());
    bob.until(&busy, "the word to bob", word).await?;
    office.ask(bob, &quiet, "and here?").await?;
    office.answer(bob, &quiet, &oncall, "and here?").await?;

    assert!(told.is_decrypted() && told.msgtype() == "m.notice" && told.mentions(alice.user_id()));
    for (room, beginning, times) in [(&busy, to_alice, 1), (&busy, to_bob, 1), (&quiet, "That was a lot", 1)] {
        let seen = bob.timeline(room);
        let said = seen.messages_of(&oncall).filter(|event| event.body().starts_with(beginning)).count();
        assert_eq!(said, times, "{seen}");
    }
    let asked = office.questions();
    let of = |text: &str| asked.iter().filter(|question| question.contains(text)).count();
    assert_eq!([of("again"), of("says bob"), of("nor here")], [4, 2, 0], "{asked:?}");
    Ok(())
}
