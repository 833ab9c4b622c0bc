//! Which invites coworkers accept, what they say on joining, and rooms that shrink or remove them.

use anyhow::Result;
use reqwest::Method;
use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde_json::json;
use workmate::{
    core::{links::room_address, words},
    standin::Turn,
};

use crate::assistants::{call_as, reason_of_leaving};
use crate::harness::{
    Message, Person, RoomKind, Setup, Timeline, homeserver::shared, office::Office, workmate::coworker,
};

/// Counts a coworker's messages that contain a text, as Alice sees them.
fn said(office: &Office, room: &OwnedRoomId, text: &str) -> usize {
    let seen = office.alice.timeline(room);
    seen.messages_of(&office.oncall()).filter(|event| event.body().contains(text)).count()
}

/// Waits for the service bot's invite, joins, and waits until the bot says `text`.
async fn told_by_service_bot(office: &Office, person: &Person, text: &str) -> Result<()> {
    let service = office.workmate.slot().service();
    let room = person.until_invited_by(&service).await?;
    person.join(&room).await?;
    let find = |seen: &Timeline| seen.messages_of(&service).find(|event| event.body() == text).map(|_| ());
    person.until(&room, "the service bot's word", find).await
}

async fn first_words_once(kind: RoomKind) -> Result<()> {
    let mut silent = coworker("ci");
    silent["silent_join"] = json!(true);
    let mut office = Office::open_with(vec![coworker("oncall"), silent]).await?;
    let (oncall, ci) = (office.oncall(), office.workmate.slot().coworker("ci"));
    let room = office.room_of_people(kind).await?;

    let introduced = office.bring(&room, &oncall).await?;
    office.alice.invite(&room, &ci).await?;
    office.alice.until_membership(&room, &ci, &MembershipState::Join).await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.asked_and_answered(&room, "after the restart").await?;

    assert_eq!(introduced.msgtype(), "m.notice");
    assert_eq!(introduced.is_decrypted(), kind == RoomKind::Encrypted);
    assert!(introduced.body().starts_with("Hello, I'm oncall, an automated coworker."), "{}", introduced.body());
    let seen = office.alice.timeline(&room);
    assert_eq!(seen.messages_of(&oncall).count(), 2, "first words and one answer:\n{seen}");
    assert_eq!(seen.messages_of(&ci).count(), 0, "{seen}");
    Ok(())
}

#[tokio::test]
async fn c17_first_words_come_once_and_never_from_a_silent_one_in_a_plain_room() -> Result<()> {
    Box::pin(first_words_once(RoomKind::Plain)).await
}

#[tokio::test]
async fn c17_first_words_come_once_and_never_from_a_silent_one_in_an_encrypted_room() -> Result<()> {
    Box::pin(first_words_once(RoomKind::Encrypted)).await
}

#[tokio::test]
async fn c4_the_chat_of_one_person_is_left_with_a_word_and_a_reason_that_say_what_to_do() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall, service) = (&office.alice, office.oncall(), office.workmate.slot().service());
    let team = office.room(RoomKind::Plain).await?;
    // However the client marks the room, and whether something is written in it or not.
    let direct = alice.create_dm(&oncall).await?;
    let unmarked = alice.create_room(RoomKind::Encrypted, "alone", &[&oncall]).await?;
    let plain = alice.create_room(RoomKind::Plain, "alone", &[&oncall]).await?;
    for (room, writes) in [(&direct, true), (&unmarked, true), (&plain, false)] {
        if writes {
            alice.send(room, Message::text("can you help me?").pill("can", &oncall)).await?;
        }
        let word = |seen: &Timeline| {
            seen.messages_of(&oncall).find(|event| event.body().contains("at least two people")).cloned()
        };
        let said = alice.until(room, "why it does not stay", word).await?;
        assert_eq!(said.is_decrypted(), *room != plain);
        let shared = room_address(&team, alice.user_id().server_name());
        assert!(said.content["formatted_body"].as_str().unwrap_or_default().contains(&shared), "{said:?}");
        let reason = reason_of_leaving(alice, room, &oncall).await?;
        assert!(reason.contains("invite me") && reason.contains(service.as_str()), "{reason}");
        assert_eq!(alice.timeline(room).messages_of(&oncall).count(), 1, "one word:\n{}", alice.timeline(room));
    }
    assert_eq!(office.questions(), Vec::<String>::new(), "the model is not asked");
    assert_eq!(alice.client().invited_rooms().len(), 0, "nor is it said elsewhere");
    Ok(())
}

#[tokio::test]
async fn c4_a_direct_chat_of_several_people_is_a_room_like_any_and_what_was_asked_before_the_join_is_answered()
-> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let body = json!({
        "is_direct": true, "preset": "trusted_private_chat", "invite": [office.bob.user_id()],
    });
    let made = call_as(alice, Method::POST, "_matrix/client/v3/createRoom", &body).await?;
    let room = OwnedRoomId::try_from(made["room_id"].as_str().unwrap_or_default())?;
    office.join_on_invite(&office.bob, &room).await?;
    // The invite and the mention follow each other closely: no transaction brings what is said before the join.
    let invite = json!({ "user_id": oncall });
    call_as(alice, Method::POST, &format!("_matrix/client/v3/rooms/{room}/invite"), &invite).await?;
    let mention = json!({ "msgtype": "m.text", "body": "@oncall at once", "m.mentions": { "user_ids": [oncall] } });
    let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.message/at-once");
    call_as(alice, Method::PUT, &path, &mention).await?;

    office.answer(alice, &room, &oncall, "at once").await?;
    assert_eq!(office.questions().len(), 1, "{:?}", office.questions());
    Ok(())
}

#[tokio::test]
async fn c4_it_waits_silently_for_invited_people_and_begins_with_the_second_human() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = alice.create_room(RoomKind::Encrypted, "soon", &[bob.user_id()]).await?;
    alice.invite(&room, &oncall).await?;
    alice.until_membership(&room, &oncall, &MembershipState::Join).await?;
    office.ask(alice, &room, "too early").await?;

    office.join_on_invite(bob, &room).await?;
    let introduced = |seen: &Timeline| seen.messages_of(&oncall).next().cloned();
    let first = bob.until(&room, "first words", introduced).await?;
    office.asked_and_answered(&room, "in time").await?;

    assert!(first.body().contains("automated coworker") && first.is_decrypted(), "{first:?}");
    assert_eq!(said(&office, &room, ""), 2, "{}", alice.timeline(&room));
    assert_eq!(office.questions().len(), 1, "{:?}", office.questions());
    Ok(())
}

#[tokio::test]
async fn c4_a_room_that_shrinks_to_one_human_is_told_once_paused_and_resumed() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob) = (&office.alice, &office.bob);
    let room = office.room(RoomKind::Encrypted).await?;
    let lonely =
        |seen: &Timeline| seen.messages_of(&office.oncall()).find(|event| event.body() == words::lonely()).cloned();

    for pass in ["first", "second"] {
        bob.room(&room)?.leave().await?;
        alice.until_membership(&room, bob.user_id(), &MembershipState::Leave).await?;
        alice.until(&room, "the word that it pauses", lonely).await?;
        office.ask(alice, &room, &format!("{pass} while alone")).await?;
        alice.invite(&room, bob.user_id()).await?;
        office.join_on_invite(bob, &room).await?;
        alice.until_membership(&room, bob.user_id(), &MembershipState::Join).await?;
        office.asked_and_answered(&room, &format!("{pass} with company")).await?;
    }

    assert_eq!(said(&office, &room, &words::lonely()), 1, "{}", alice.timeline(&room));
    let asked = office.questions();
    let asked_alone = asked.iter().filter(|question| question.contains("while alone")).count();
    assert_eq!((asked.len(), asked_alone), (2, 0), "{asked:?}");
    assert_eq!(said(&office, &room, "automated coworker"), 1);
    Ok(())
}

#[tokio::test]
async fn c3_a_coworker_with_a_list_accepts_invites_from_these_people_only() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let mut listed = coworker("oncall");
    listed["accept_invites_from"] = json!([people[0].user_id()]);
    let office = Office::open_for(people, |setup: Setup| setup.coworkers(vec![listed])).await?;
    let (bob, oncall) = (&office.bob, office.oncall());
    let room = office.room_of_people(RoomKind::Plain).await?;
    bob.invite(&room, &oncall).await?;

    bob.until_membership(&room, &oncall, &MembershipState::Leave).await?;
    told_by_service_bot(&office, bob, &words::declined_inviter("oncall")).await?;
    assert_eq!(said(&office, &room, ""), 0);

    office.bring(&room, &oncall).await?;
    office.asked_and_answered(&room, "listed").await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Removal {
    Kick,
    Ban,
}

/// Removes `oncall` while the model holds back its answer, and checks that nothing more arrives.
async fn removed_in_the_middle(removal: Removal) -> Result<()> {
    let mut office = Office::open().await?;
    let [room, other] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Plain).await?];
    let (turn, gate) = Turn::text("too late").gate_after(0);
    office.script("hold this", turn);
    office.ask(&office.alice, &room, "hold this").await?;
    gate.reached().await;

    let (theirs, oncall) = (office.alice.room(&room)?, office.oncall());
    let gone = match removal {
        Removal::Kick => {
            theirs.kick_user(&oncall, None).await?;
            MembershipState::Leave
        }
        Removal::Ban => {
            theirs.ban_user(&oncall, None).await?;
            MembershipState::Ban
        }
    };
    office.alice.until_membership(&room, &oncall, &gone).await?;
    gate.release();
    office.ask(&office.alice, &room, "without you").await?;
    office.asked_and_answered(&other, "elsewhere").await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.asked_and_answered(&other, "elsewhere after a restart").await?;

    assert_eq!(office.alice.membership(&room, &oncall).await?, Some(gone));
    let seen = office.alice.timeline(&room);
    assert_eq!(seen.messages_of(&oncall).count(), 1, "the first words alone:\n{seen}");
    assert!(!office.questions().iter().any(|question| question.contains("without you")));

    if let Removal::Ban = removal {
        theirs.unban_user(&oncall, None).await?;
        office.alice.until_membership(&room, &oncall, &MembershipState::Leave).await?;
    }
    office.alice.invite(&room, &oncall).await?;
    let again = |seen: &Timeline| (seen.messages_of(&oncall).count() == 2).then_some(());
    office.alice.until(&room, "first words again", again).await?;
    office.asked_and_answered(&room, "welcome back").await?;
    Ok(())
}

#[tokio::test]
async fn c10_a_kicked_coworker_posts_nothing_later_and_returns_only_when_invited() -> Result<()> {
    Box::pin(removed_in_the_middle(Removal::Kick)).await
}

#[tokio::test]
async fn c10_a_banned_coworker_posts_nothing_later_and_returns_only_when_invited() -> Result<()> {
    Box::pin(removed_in_the_middle(Removal::Ban)).await
}

#[tokio::test]
async fn c4_coworkers_are_no_humans_and_one_of_them_says_that_they_pause() -> Result<()> {
    let office = Office::open_with(vec![coworker("oncall"), coworker("ci")]).await?;
    let (alice, ci) = (&office.alice, office.workmate.slot().coworker("ci"));
    let room = office.room(RoomKind::Plain).await?;
    office.bring(&room, &ci).await?;

    office.bob.room(&room)?.leave().await?;
    let lonely = |seen: &Timeline| seen.events.iter().find(|event| event.body() == words::lonely()).cloned();
    alice.until(&room, "the word that they pause", lonely).await?;
    alice.send(&room, Message::text("@ci and you?").pill("@ci", &ci)).await?;
    office.bob.until_membership(&room, office.bob.user_id(), &MembershipState::Leave).await?;
    alice.invite(&room, office.bob.user_id()).await?;
    office.join_on_invite(&office.bob, &room).await?;
    office.asked_and_answered(&room, "all here").await?;

    let seen = alice.timeline(&room);
    assert_eq!(seen.events.iter().filter(|event| event.body() == words::lonely()).count(), 1, "{seen}");
    assert_eq!(office.questions().len(), 1, "{:?}", office.questions());
    Ok(())
}
