//! Never unencrypted where anything was ever encrypted (C8, invariants 3 and 9): odd, overwritten and redacted
//! encryption events, lost stores, late joins and upgrades, checked against what the homeserver stores of a room.

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use matrix_sdk_base::RoomInfoNotableUpdateReasons;
use ruma::{
    OwnedEventId, OwnedRoomId, RoomId, TransactionId, UserId,
    api::client::{
        message::{get_message_events, send_message_event},
        room::create_room::v3::{Request as CreateRoom, RoomPreset},
        state::send_state_event,
    },
    events::{AnyInitialStateEvent, AnyMessageLikeEventContent, AnyStateEventContent, StateEventType},
    serde::Raw,
};
use serde_json::{Value, json};
use workmate::{
    core::{render, words},
    standin::Turn,
};

use crate::harness::{Person, RoomKind, SeenEvent, Timeline, office::Office, workmate::coworker};

const ENCRYPTION: &str = "m.room.encryption";
const MEGOLM: &str = "m.megolm.v1.aes-sha2";
/// Rooms used at the same time.
const AT_ONCE: usize = 4;

/// Makes a room of Alice's with Bob and `oncall`, and with this initial state.
async fn room_with(office: &Office, state: Vec<Value>, creation: Value) -> Result<OwnedRoomId> {
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.initial_state = state
        .iter()
        .map(|event| Ok(Raw::new(event)?.cast_unchecked::<AnyInitialStateEvent>()))
        .collect::<Result<_>>()?;
    request.creation_content = Some(Raw::new(&creation)?.cast_unchecked());
    request.invite = vec![office.bob.user_id().to_owned()];
    let room = office.alice.client().create_room(request).await?.room_id().to_owned();
    office.join_on_invite(&office.bob, &room).await?;
    for person in [&office.alice, &office.bob] {
        let membership = ruma::events::room::member::MembershipState::Join;
        person.until_membership(&room, person.user_id(), &membership).await?;
    }
    Ok(room)
}

fn encryption(state_key: &str, content: &Value) -> Value {
    json!({ "type": ENCRYPTION, "state_key": state_key, "content": content })
}

/// Makes a person's client encrypt in a room, as other clients do on such a state.
async fn encrypts(person: &Person, room: &RoomId) -> Result<()> {
    let settings = serde_json::from_value(json!({ "algorithm": MEGOLM }))?;
    let change = person.room(room)?;
    let changed = change.update_and_save_room_info(|mut info| {
        info.mark_encryption_state_synced();
        info.set_encryption_event(Some(settings));
        (info, RoomInfoNotableUpdateReasons::empty())
    });
    Ok(changed.await?)
}

/// Sends an unencrypted message that mentions `oncall`, whatever the client thinks of the room.
async fn ask_plainly(office: &Office, asker: &Person, room: &RoomId, question: &str) -> Result<OwnedEventId> {
    let content = json!({
        "msgtype": "m.text", "body": format!("@oncall {question}"), "m.mentions": { "user_ids": [office.oncall()] },
    });
    send_raw(asker, room, "m.room.message", content).await
}

async fn send_raw(person: &Person, room: &RoomId, kind: &str, content: Value) -> Result<OwnedEventId> {
    let content = Raw::new(&content)?.cast_unchecked::<AnyMessageLikeEventContent>();
    let request = send_message_event::v3::Request::new_raw(room.to_owned(), TransactionId::new(), kind.into(), content);
    Ok(person.client().send(request).await?.event_id)
}

async fn set_encryption(person: &Person, room: &RoomId, content: &Value) -> Result<OwnedEventId> {
    let content = Raw::new(content)?.cast_unchecked::<AnyStateEventContent>();
    let kind = StateEventType::RoomEncryption;
    let request = send_state_event::v3::Request::new_raw(room.to_owned(), kind, String::new(), content);
    Ok(person.client().send(request).await?.event_id)
}

/// Waits for a message of `sender` that contains `text` and that Alice decrypted.
async fn decrypted(office: &Office, room: &RoomId, sender: &UserId, text: &str) -> Result<SeenEvent> {
    let find = |seen: &Timeline| {
        seen.messages_of(sender).find(|event| event.is_decrypted() && event.body().contains(text)).cloned()
    };
    office.alice.until(room, &format!("an encrypted message with {text:?}"), find).await
}

/// Reads a room as the homeserver stores it, and fails if one of ours sent anything unencrypted.
async fn nothing_plain_of(person: &Person, room: &RoomId, ours: &UserId) -> Result<()> {
    let mut from = None;
    loop {
        let mut request = get_message_events::v3::Request::backward(room.to_owned());
        request.from = from;
        request.limit = 100_u32.into();
        let page = person.client().send(request).await?;
        for event in &page.chunk {
            let event: Value = serde_json::from_str(event.json().get())?;
            let (kind, sender) = (event["type"].as_str().unwrap_or_default(), event["sender"].as_str());
            let by_design = ["m.room.encrypted", "m.room.member", "m.reaction", "m.room.redaction"];
            ensure!(
                sender != Some(ours.as_str()) || by_design.contains(&kind),
                "{ours} said plainly in {room}: {event}"
            );
        }
        from = page.end.filter(|_| !page.chunk.is_empty());
        if from.is_none() {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn c8_c17_a_room_with_an_encryption_event_of_any_shape_is_answered_encrypted_or_not_at_all() -> Result<()> {
    let office = Office::open().await?;
    let oncall = office.oncall();
    let spoken = [
        ("", json!({ "algorithm": MEGOLM, "rotation_period_ms": -1 })),
        ("", json!({ "algorithm": MEGOLM, "rotation_period_msgs": "100" })),
        ("", json!({ "algorithm": MEGOLM, "rotation_period_ms": "604800000" })),
        ("", json!({ "algorithm": MEGOLM, "rotation_period_ms": {}, "rotation_period_msgs": [0] })),
        ("", json!({ "algorithm": MEGOLM, "rotation_period_msgs": 0, "rotation_period_ms": 1 })),
        ("", json!({})),
        ("", json!({ "rotation_period_msgs": 100 })),
        ("", json!({ "algorithm": 7 })),
        ("", json!({ "algorithm": null })),
        ("", json!({ "algorithm": { "name": MEGOLM } })),
        ("other", json!({ "algorithm": MEGOLM })),
    ];
    let refused = ["org.example.future", "", "M.MEGOLM.V1.AES-SHA2"];
    let answered = |number: usize| {
        let (key, content) = &spoken[number];
        let (office, oncall) = (&office, &oncall);
        async move {
            let room = room_with(office, vec![encryption(key, content)], json!({})).await?;
            encrypts(&office.alice, &room).await?;
            office.alice.invite(&room, oncall).await?;
            let introduced = async {
                decrypted(office, &room, oncall, "automated coworker").await?;
                let question = format!("shape number {number}.");
                office.ask(&office.alice, &room, &question).await?;
                decrypted(office, &room, oncall, &question).await
            };
            introduced.await.with_context(|| format!("{key:?} {content}"))?;
            nothing_plain_of(&office.bob, &room, oncall).await
        }
    };
    let numbers: Vec<usize> = (0..spoken.len()).collect();
    for some in numbers.chunks(AT_ONCE) {
        try_join_all(some.iter().map(|number| answered(*number))).await?;
    }

    let mut rooms = Vec::new();
    for algorithm in refused {
        let room = room_with(&office, vec![encryption("", &json!({ "algorithm": algorithm }))], json!({})).await?;
        office.alice.invite(&room, &oncall).await?;
        let membership = ruma::events::room::member::MembershipState::Join;
        office.alice.until_membership(&room, &oncall, &membership).await?;
        rooms.push(room);
    }
    // Both the inviter and the asker are told elsewhere, and the model is not asked.
    let service = office.workmate.slot().service();
    for person in [&office.alice, &office.bob] {
        if person.user_id() == office.bob.user_id() {
            ask_plainly(&office, person, &rooms[0], "into a room of another algorithm").await?;
        }
        let chat = person.until_invited_by(&service).await?;
        person.join(&chat).await?;
        let told = |seen: &Timeline| {
            seen.messages_of(&service).find(|event| event.body().contains(rooms[0].as_str())).cloned()
        };
        let told = person.until(&chat, "why there is no answer", told).await?;
        assert!(told.is_decrypted() && !told.body().contains("another algorithm"), "{told:?}");
    }
    for room in &rooms {
        nothing_plain_of(&office.bob, room, &oncall).await?;
        let seen = office.alice.timeline(room);
        assert_eq!(seen.messages_of(&oncall).count(), 0, "nothing is said there: {seen}");
    }
    assert!(!office.questions().iter().any(|question| question.contains("another algorithm")));
    // Somebody encrypts in a readable way: now the coworker may introduce itself.
    set_encryption(&office.alice, &rooms[0], &json!({ "algorithm": MEGOLM })).await?;
    decrypted(&office, &rooms[0], &oncall, "automated coworker").await?;
    nothing_plain_of(&office.bob, &rooms[0], &oncall).await
}

#[tokio::test]
async fn c8_what_became_of_the_encryption_event_and_of_our_stores_does_not_matter() -> Result<()> {
    let mut office = Office::open().await?;
    let oncall = office.oncall();
    let good = json!({ "algorithm": MEGOLM });
    let odd = json!({ "algorithm": MEGOLM, "rotation_period_ms": -1 });
    let mut rooms = Vec::new();
    for content in [&good, &good, &odd] {
        let room = room_with(&office, vec![encryption("", content)], json!({})).await?;
        encrypts(&office.alice, &room).await?;
        office.alice.invite(&room, &oncall).await?;
        decrypted(&office, &room, &oncall, "automated coworker").await?;
        rooms.push(room);
    }
    // One was redacted, one overwritten by an invalid one, one never read by the SDK.
    let state = office.alice.room(&rooms[0])?.get_state_events(StateEventType::RoomEncryption).await?;
    let first: Value = match &state[0] {
        matrix_sdk::deserialized_responses::RawAnySyncOrStrippedState::Sync(event) => {
            serde_json::from_str(event.json().get())?
        }
        matrix_sdk::deserialized_responses::RawAnySyncOrStrippedState::Stripped(_) => json!({}),
    };
    let first: OwnedEventId = first["event_id"].as_str().context("its encryption event")?.try_into()?;
    office.alice.redact(&rooms[0], &first).await?;
    set_encryption(&office.alice, &rooms[1], &json!({ "algorithm": ["none"], "rotation_period_ms": "never" })).await?;

    let everybody_is_answered = async |office: &Office, when: &str| -> Result<()> {
        for (number, room) in rooms.iter().enumerate() {
            let question = format!("number {number} {when}.");
            encrypts(&office.alice, room).await?;
            office.ask(&office.alice, room, &question).await?;
            decrypted(office, room, &oncall, &question).await.with_context(|| question)?;
            nothing_plain_of(&office.bob, room, &oncall).await?;
        }
        Ok(())
    };
    everybody_is_answered(&office, "at first").await?;

    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir().join("state"))?;
    office.workmate.start_again().await;
    everybody_is_answered(&office, "without our store").await?;

    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir().join("users"))?;
    office.workmate.start_again().await;
    everybody_is_answered(&office, "without the SDK's").await?;

    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir())?;
    office.workmate.start_again().await;
    everybody_is_answered(&office, "without any").await?;

    // A coworker that joins late knows it too.
    office.alice.room(&rooms[0])?.kick_user(&oncall, None).await?;
    office.alice.until_membership(&rooms[0], &oncall, &ruma::events::room::member::MembershipState::Leave).await?;
    office.alice.invite(&rooms[0], &oncall).await?;
    office.alice.until_membership(&rooms[0], &oncall, &ruma::events::room::member::MembershipState::Join).await?;
    let introduced_again = |seen: &Timeline| {
        let theirs = seen.messages_of(&oncall).filter(|event| event.is_decrypted());
        (theirs.filter(|event| event.body().contains("automated coworker")).count() > 1).then_some(())
    };
    office.alice.until(&rooms[0], "its first words again", introduced_again).await?;
    everybody_is_answered(&office, "after another invite").await
}

#[tokio::test]
async fn c8_c18_what_was_encrypted_before_or_meanwhile_is_not_answered_plainly() -> Result<()> {
    let office = Office::open().await?;
    let oncall = office.oncall();

    // A successor without encryption: people take it for the room that it replaces.
    let old = office.room(RoomKind::Encrypted).await?;
    let predecessor = json!({ "predecessor": { "room_id": old, "event_id": "$last" } });
    let new = room_with(&office, vec![], predecessor).await?;
    office.alice.invite(&new, &oncall).await?;
    decrypted(&office, &new, &oncall, "automated coworker").await?;
    ask_plainly(&office, &office.alice, &new, "in the successor").await?;
    decrypted(&office, &new, &oncall, "in the successor").await?;
    nothing_plain_of(&office.bob, &new, &oncall).await?;

    // Anything that anybody can send into a plain room, even if it looks encrypted, takes the room from nobody.
    let stray = office.room(RoomKind::Plain).await?;
    let before = office.asked_and_answered(&stray, "in the open").await?;
    let whole =
        json!({"algorithm": MEGOLM, "ciphertext": "AAAA", "session_id": "x", "sender_key": "y", "device_id": "z"});
    for stray_one in [json!({}), json!({ "algorithm": 3, "ciphertext": [] }), whole] {
        send_raw(&office.bob, &stray, "m.room.encrypted", stray_one).await?;
    }
    for question in ["behind stray ones", "and again"] {
        let behind = office.asked_and_answered(&stray, question).await?;
        assert!(!behind.is_decrypted(), "{behind:?}");
    }
    assert!(!before.is_decrypted());

    // Encryption turned on in an odd way while the model works.
    let across = office.room(RoomKind::Plain).await?;
    let (turn, gate) = Turn::text("decided before, sent after").gate_after(1);
    office.script("across the change", turn);
    office.ask(&office.alice, &across, "across the change").await?;
    gate.reached().await;
    let odd = json!({ "algorithm": MEGOLM, "rotation_period_msgs": "100" });
    set_encryption(&office.alice, &across, &odd).await?;
    gate.release();
    decrypted(&office, &across, &oncall, "decided before").await?;

    // The same for a file, which is uploaded before its message.
    let filed = office.room(RoomKind::Plain).await?;
    let (turn, gate) = Turn::text("All of it. ".repeat(12_000)).delta_chars(5_000).gate_after(1);
    office.script("at length", turn);
    office.ask(&office.alice, &filed, "at length").await?;
    gate.reached().await;
    set_encryption(&office.alice, &filed, &odd).await?;
    gate.release();
    let attached = |seen: &Timeline| {
        let mut theirs = seen.messages_of(&oncall);
        theirs.find(|event| event.is_decrypted() && event.content["file"]["key"].is_object()).cloned()
    };
    office.alice.until(&filed, "an encrypted file", attached).await?;
    Ok(())
}

#[tokio::test]
async fn c8_a_plain_mention_in_an_encrypted_room_is_not_obeyed_unless_the_operator_allows_it() -> Result<()> {
    let mut office = Office::open_with(vec![coworker("oncall")]).await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let word = render::render(&words::trust::not_encrypted()).body;
    ask_plainly(&office, &office.alice, &room, "made up by somebody").await?;
    let told = decrypted(&office, &room, &oncall, &word).await?;
    assert!(told.mentions(office.alice.user_id()), "{told:?}");
    ask_plainly(&office, &office.alice, &room, "made up again").await?;
    ask_plainly(&office, &office.bob, &room, "made up of bob").await?;
    let for_bob = |seen: &Timeline| {
        let mut theirs = seen.messages_of(&oncall);
        theirs.find(|event| event.body().contains(&word) && event.mentions(office.bob.user_id())).cloned()
    };
    office.alice.until(&room, "the word to bob", for_bob).await?;
    office.asked_and_answered(&room, "as it should be").await?;

    let seen = office.alice.timeline(&room);
    assert_eq!(seen.messages_of(&oncall).filter(|event| event.body().contains(&word)).count(), 2, "{seen}");
    assert!(!office.questions().iter().any(|question| question.contains("made up")), "{:?}", office.questions());

    office.workmate.stop().await;
    crate::harness::readiness::reconfigure(&office.workmate.config(), |config| {
        config["workspace"]["obey_unencrypted"] = json!(true);
    })?;
    office.workmate.start_again().await;
    ask_plainly(&office, &office.alice, &room, "by way of a bridge").await?;
    decrypted(&office, &room, &oncall, "by way of a bridge").await?;
    nothing_plain_of(&office.bob, &room, &oncall).await
}

#[tokio::test]
async fn c8_a_message_whose_key_went_to_a_lost_device_is_named_at_once_and_answered_when_it_is_sent_again() -> Result<()>
{
    let mut office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    office.asked_and_answered(&room, "before the loss").await?;
    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir().join("users"))?;
    // Bob's first message: none of our remaining devices ever had this key, nor does the backup.
    office.ask(&office.bob, &room, "while nobody listens").await?;
    office.workmate.start_again().await;

    let word = render::render(&words::undecryptable(words::KeyMissing::DeviceLost)).body;
    let told = |seen: &Timeline| {
        let mut theirs = seen.messages_of(&oncall);
        theirs
            .find(|event| event.is_decrypted() && event.body() == word && event.mentions(office.bob.user_id()))
            .cloned()
    };
    office.bob.until(&room, "that the key is lost", told).await?;
    office.ask(&office.bob, &room, "once more").await?;
    office.answer(&office.bob, &room, &oncall, "once more").await?;
    nothing_plain_of(&office.bob, &room, &oncall).await
}
