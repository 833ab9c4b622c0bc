//! Workmate ends midway, is away, or loses its virtual users' stores: every request is answered once.

use anyhow::{Context as _, Result};
use ruma::events::room::member::MembershipState;
use workmate::{
    core::words,
    standin::{RecordedRequest, Turn},
};

use crate::harness::{
    Message, Person, RoomKind, Setup, Timeline,
    homeserver::Private,
    office::{Office, answers_in_thread, echoing, question_of},
    progress,
};

/// Kills Workmate while the model writes, then restarts it.
async fn killed_in_the_middle(kind: RoomKind) -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(kind).await?;
    let (turn, gate) = Turn::text("half an answer, and another half").gate_after(1);
    office.script("kill me", turn);
    let request = office.ask(&office.alice, &room, "kill me").await?;
    gate.reached().await;

    office.workmate.kill();
    office.workmate.start_again().await;

    let answered = office.answer(&office.alice, &room, &office.oncall(), "kill me").await?;
    assert_eq!(answered.thread_root(), Some(request.as_str()));
    office.asked_and_answered(&room, "and now?").await?;
    assert_eq!(
        answers_in_thread(&office.alice, &room, &request, &office.oncall()),
        1,
        "{}",
        office.alice.timeline(&room)
    );
    Ok(())
}

#[tokio::test]
async fn point_10_killed_while_the_model_writes_it_answers_once_in_a_plain_room() -> Result<()> {
    Box::pin(killed_in_the_middle(RoomKind::Plain)).await
}

#[tokio::test]
async fn point_10_killed_while_the_model_writes_it_answers_once_in_an_encrypted_room() -> Result<()> {
    Box::pin(killed_in_the_middle(RoomKind::Encrypted)).await
}

#[tokio::test]
async fn point_10_killed_right_after_an_answer_it_does_not_answer_again() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let mut requests = Vec::new();
    for round in 0..3 {
        let question = format!("round {round}");
        let request = office.ask(&office.alice, &room, &question).await?;
        office.answer(&office.alice, &room, &office.oncall(), &question).await?;
        office.workmate.kill();
        office.workmate.start_again().await;
        requests.push(request);
    }
    office.asked_and_answered(&room, "finally").await?;
    for request in requests {
        let answers = answers_in_thread(&office.alice, &room, &request, &office.oncall());
        assert_eq!(answers, 1, "{}", office.alice.timeline(&room));
    }
    Ok(())
}

#[tokio::test]
async fn point_10_stopped_in_order_while_the_model_writes_it_answers_once_after_the_start() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let (turn, gate) = Turn::text("never finished").gate_after(1);
    office.script("stop me", turn);
    let request = office.ask(&office.alice, &room, "stop me").await?;
    gate.reached().await;

    office.workmate.stop().await;
    office.workmate.start_again().await;

    office.answer(&office.alice, &room, &office.oncall(), "stop me").await?;
    office.asked_and_answered(&room, "and now?").await?;
    assert_eq!(answers_in_thread(&office.alice, &room, &request, &office.oncall()), 1);
    Ok(())
}

#[tokio::test]
async fn point_10_many_mentions_sent_while_it_is_down_are_answered_once_each() -> Result<()> {
    let mut office = Office::open().await?;
    let rooms = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Plain).await?];
    office.workmate.kill();
    let mut sent = Vec::new();
    for (number, room) in rooms.iter().cycle().take(6).enumerate() {
        let question = format!("while away {number}");
        sent.push((room, office.ask(&office.alice, room, &question).await?, question));
    }
    office.workmate.start_again().await;

    for (room, _, question) in &sent {
        office.answer(&office.alice, room, &office.oncall(), question).await?;
    }
    for room in &rooms {
        office.asked_and_answered(room, "and now?").await?;
    }
    for (room, request, _) in &sent {
        let answers = answers_in_thread(&office.alice, room, request, &office.oncall());
        assert_eq!(answers, 1, "{}", office.alice.timeline(room));
    }
    Ok(())
}

#[tokio::test]
async fn point_10_invited_while_it_is_down_it_joins_at_the_next_start() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room_of_people(RoomKind::Encrypted).await?;
    office.workmate.kill();
    office.alice.invite(&room, &office.oncall()).await?;
    office.workmate.start_again().await;

    let introduced = |seen: &Timeline| seen.messages_of(&office.oncall()).next().cloned();
    office.alice.until(&room, "first words", introduced).await?;
    office.asked_and_answered(&room, "there?").await?;
    assert_eq!(office.alice.timeline(&room).messages_of(&office.oncall()).count(), 2);
    Ok(())
}

#[tokio::test]
async fn point_10_killed_at_any_moment_of_a_run_it_answers_once() -> Result<()> {
    let mut office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let mut requests = Vec::new();
    for moment in ["sent", "seen", "asked", "answered"] {
        let question = format!("killed when {moment}");
        let request = office.ask(&office.alice, &room, &question).await?;
        let seen = |seen: &Timeline| (seen.read.get(&oncall) == Some(&request)).then_some(());
        match moment {
            "seen" => office.alice.until(&room, "the read receipt", seen).await?,
            "asked" => drop(office.claude.wait_for_request(|asked| question_of(asked).contains(&question)).await?),
            "answered" => {
                let answered = |asked: &RecordedRequest| asked.finished && question_of(asked).contains(&question);
                drop(office.claude.wait_for_request(answered).await?);
            }
            _ => {}
        }
        office.workmate.kill();
        office.workmate.start_again().await;
        office.answer(&office.alice, &room, &oncall, &question).await?;
        requests.push(request);
    }
    office.asked_and_answered(&room, "and now?").await?;
    for request in requests {
        let answers = answers_in_thread(&office.alice, &room, &request, &oncall);
        assert_eq!(answers, 1, "{}", office.alice.timeline(&room));
    }
    Ok(())
}

#[tokio::test]
async fn c10_kicked_while_it_is_down_it_neither_answers_nor_returns() -> Result<()> {
    let mut office = Office::open().await?;
    let oncall = office.oncall();
    let [room, other] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Encrypted).await?];
    office.workmate.kill();
    office.ask(&office.alice, &room, "before the kick").await?;
    office.alice.room(&room)?.kick_user(&oncall, None).await?;
    office.alice.until_membership(&room, &oncall, &MembershipState::Leave).await?;
    office.workmate.start_again().await;
    office.asked_and_answered(&other, "elsewhere").await?;
    office.asked_and_answered(&other, "elsewhere again").await?;

    assert_eq!(office.alice.membership(&room, &oncall).await?, Some(MembershipState::Leave));
    let seen = office.alice.timeline(&room);
    assert_eq!(seen.messages_of(&oncall).count(), 1, "the first words alone:\n{seen}");
    Ok(())
}

#[tokio::test]
async fn c4_a_room_that_shrinks_while_it_is_down_is_paused_at_the_next_start() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.workmate.kill();
    office.bob.room(&room)?.leave().await?;
    office.alice.until_membership(&room, office.bob.user_id(), &MembershipState::Leave).await?;
    office.ask(&office.alice, &room, "alone").await?;
    office.workmate.start_again().await;

    let oncall = office.oncall();
    let lonely = |seen: &Timeline| seen.messages_of(&oncall).find(|event| event.body() == words::lonely()).map(|_| ());
    office.alice.until(&room, "the word that it pauses", lonely).await?;
    office.alice.invite(&room, office.bob.user_id()).await?;
    office.join_on_invite(&office.bob, &room).await?;
    office.asked_and_answered(&room, "together").await?;
    assert_eq!(office.questions().len(), 1, "{:?}", office.questions());
    Ok(())
}

/// Returns a user's devices and identity, as a person who knew them before sees them.
async fn known_as(person: &Person, user: &ruma::UserId) -> Result<(Vec<String>, String)> {
    let devices = person.devices(user).await?;
    let ids = devices.devices().map(|device| device.device_id().to_string()).collect();
    let identity = person.client().encryption().get_user_identity(user).await?.context("it has an identity")?;
    assert!(!identity.has_verification_violation());
    Ok((ids, identity.master_key().get_first_key().context("a master key")?.to_base64()))
}

#[tokio::test]
async fn a11_with_its_stores_lost_it_comes_back_as_the_same_user_on_one_new_device_and_reads_what_was() -> Result<()> {
    let mut office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    office.bob.send(&room, "the valve is turquoise").await?;
    office.asked_and_answered(&room, "before the loss").await?;
    let (old_devices, old_key) = known_as(&office.alice, &oncall).await?;

    // Stop, do not kill: the newest keys must reach the backup first.
    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir().join("users"))?;
    office.workmate.start_again().await;
    office.asked_and_answered(&room, "after the loss").await?;

    let (new_devices, new_key) = known_as(&office.alice, &oncall).await?;
    assert_eq!((old_devices.len(), new_devices.len()), (1, 1));
    assert_ne!(old_devices, new_devices);
    assert_eq!(old_key, new_key, "the identity is the same");
    let requests = office.claude.requests();
    let last = requests.last().expect("the model was asked");
    assert!(question_of(last).contains("after the loss"));
    assert!(last.body.to_string().contains("the valve is turquoise"), "old messages are readable again: {}", last.body);
    assert!(last.body.to_string().contains("before the loss"));
    Ok(())
}

#[tokio::test]
async fn a11_a_recovery_key_that_a_crash_kept_from_the_account_data_is_made_anew_at_the_next_start() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&room, "before the loss").await?;
    let (_, old_key) = known_as(&office.alice, &office.oncall()).await?;
    office.workmate.stop().await;
    let users = office.workmate.data_dir().join("users");
    let card = users.join(office.oncall().localpart()).join("workmate.json");
    let left_by_a_crash = std::fs::read_to_string(&card)?.replace("\"sealed\"", "\"unsealed\"");
    assert!(left_by_a_crash.contains("\"unsealed\""), "{left_by_a_crash}");
    std::fs::write(&card, left_by_a_crash)?;

    office.workmate.start_again().await;
    let mended = std::fs::read_to_string(&card)?;
    office.workmate.kill();
    std::fs::remove_dir_all(&users)?;
    office.workmate.start_again().await;
    office.asked_and_answered(&room, "after the loss").await?;

    assert!(mended.contains("\"sealed\""), "{mended}");
    assert_eq!(known_as(&office.alice, &office.oncall()).await?.1, old_key, "the identity is the same");
    let last = office.claude.requests().pop().expect("the model was asked");
    assert!(last.body.to_string().contains("before the loss"), "old messages are readable again: {}", last.body);
    Ok(())
}

#[tokio::test]
async fn point_10_a_homeserver_that_is_restarted_while_the_model_writes_gets_the_answer() -> Result<()> {
    let mut private = Private::start().await;
    let claude = echoing().await?;
    let (turn, gate) = Turn::text("held back until the homeserver is back").gate_after(1);
    claude.enqueue(turn);
    let setup = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url());
    let workmate = setup.start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    office.ask(&office.alice, &room, "hold on").await?;
    gate.reached().await;

    private.homeserver.stop().await?;
    gate.release();
    private.homeserver.start_again(&progress).await?;

    office.answer(&office.alice, &room, &office.oncall(), "held back").await?;
    office.asked_and_answered(&room, "and now?").await?;
    Ok(())
}

/// A crash that takes `state/` with it, as a disk does, but not `users/`.
#[tokio::test]
async fn nothing_is_lost_what_was_just_asked_is_answered_although_the_store_is_gone() -> Result<()> {
    let mut office = Office::open().await?;
    let rooms = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    let mut asked = Vec::new();
    for room in &rooms {
        let thread = office.ask(&office.alice, room, "answered before").await?;
        office.answer(&office.alice, room, &office.oncall(), "answered before").await?;
        let follow_up = Message::text("@oncall and in its thread").pill("@oncall", &office.oncall()).in_thread(&thread);
        office.alice.send(room, follow_up).await?;
        office.answer(&office.alice, room, &office.oncall(), "and in its thread").await?;
    }
    let gates = rooms.each_ref().map(|_| Turn::text("never said").hold_headers());
    for (room, (turn, gate)) in rooms.iter().zip(gates) {
        office.script(&format!("under way in {room}"), turn);
        office.ask(&office.alice, room, &format!("under way in {room}")).await?;
        gate.reached().await;
        asked.push(format!("under way in {room}"));
    }
    office.workmate.kill();
    std::fs::remove_dir_all(office.workmate.data_dir().join("state"))?;
    office.workmate.start_again().await;
    for (room, question) in rooms.iter().zip(&asked) {
        office.answer(&office.alice, room, &office.oncall(), question).await?;
        office.asked_and_answered(room, "and now?").await?;
    }
    let questions = office.questions();
    for question in ["answered before", "and in its thread"] {
        let asked = questions.iter().filter(|asked| asked.ends_with(question)).count();
        assert_eq!(asked, 2, "what was answered is not asked again: {questions:?}");
    }
    Ok(())
}
