//! How much of a coworker people notice (C9): how many messages, and whom they notify by people's own push rules.

use anyhow::{Context as _, Result};
use ruma::{RoomId, UserId, events::AnySyncTimelineEvent, serde::Raw};
use serde_json::json;
use workmate::standin::Turn;

use crate::harness::{Message, Person, RoomKind, SeenEvent, Timeline, office::Office};

/// Most messages for one answer without tools. Edits do not count: they replace a message in place, and no client
/// counts them as unread.
const MESSAGES_MAX: usize = 3;

/// Returns a coworker's non-state events in a room: messages, edits, reactions.
fn sent_by<'a>(seen: &'a Timeline, coworker: &'a UserId, since: usize) -> Vec<&'a SeenEvent> {
    let sent = seen.events.iter().skip(since).filter(move |event| event.sender == coworker);
    sent.filter(|event| event.kind != "m.room.member").collect()
}

/// Returns whether a person's push rules highlight an event.
pub(crate) async fn pings(person: &Person, room: &RoomId, event: &SeenEvent) -> Result<bool> {
    let raw = json!({
        "type": event.kind, "event_id": event.event_id, "sender": event.sender, "content": event.content,
        "origin_server_ts": event.sent_at.as_ms(), "room_id": room,
    });
    let raw: Raw<AnySyncTimelineEvent> = Raw::from_json_string(raw.to_string())?;
    let context = person.room(room)?.push_context().await?.context("a joined room has a push context")?;
    Ok(context.for_event(&raw).await.iter().any(ruma::push::Action::is_highlight))
}

/// Counts a coworker's events that highlight for a person.
async fn pinged_by(person: &Person, room: &RoomId, events: &[SeenEvent]) -> Result<usize> {
    let mut count = 0;
    for event in events {
        count += usize::from(pings(person, room, event).await?);
    }
    Ok(count)
}

async fn until_all_read(person: &Person, room: &RoomId, coworker: &UserId) -> Result<()> {
    let read = |seen: &Timeline| {
        let mut theirs = seen.events.iter().filter(|event| event.sender == coworker);
        theirs.all(|event| event.kind != "m.room.encrypted").then_some(())
    };
    person.until(room, "everything decrypted", read).await
}

#[tokio::test]
async fn c9_an_answer_is_one_to_three_messages_and_pings_the_asker_once() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;

    // A quick answer: one event.
    let since = alice.timeline(&room).events.len();
    office.asked_and_answered(&room, "quickly").await?;
    office.ask(alice, &room, "!purpose").await?;
    office.answer(alice, &room, &oncall, "Answers the questions").await?;
    let seen = alice.timeline(&room);
    let quick = sent_by(&seen, &oncall, since);
    assert_eq!(quick.len(), 2, "the answer and the command's:\n{seen}");

    // A long answer that exceeds a message: a status, its edits, a beginning and a file.
    let since = seen.events.len();
    let (turn, gate) = Turn::text("All of it. ".repeat(12_000)).delta_chars(5_000).gate_after(2);
    office.script("slowly and at length", turn);
    let request = office.ask(alice, &room, "slowly and at length").await?;
    let status = |seen: &Timeline| {
        seen.messages_of(&oncall).find(|event| event.thread_root() == Some(request.as_str())).cloned()
    };
    let status = alice.until(&room, "the status", status).await?;
    gate.release();
    let attached = |seen: &Timeline| seen.messages_of(&oncall).find(|event| event.msgtype() == "m.file").map(|_| ());
    alice.until(&room, "the file", attached).await?;
    let ended = |seen: &Timeline| seen.shown_text(&status.event_id).filter(|text| text.contains("Done")).map(|_| ());
    alice.until(&room, "the status' end", ended).await?;

    let seen = alice.timeline(&room);
    let sent: Vec<SeenEvent> = sent_by(&seen, &oncall, since).into_iter().cloned().collect();
    assert_eq!(sent.iter().filter(|event| event.is_message()).count(), MESSAGES_MAX, "{seen}");
    assert!(sent.iter().all(|event| event.is_message() || event.replaces() == Some(status.event_id.as_str())));
    assert!(sent.iter().all(SeenEvent::is_decrypted), "{seen}");
    assert_eq!(pinged_by(alice, &room, &sent).await?, 1, "the beginning alone pings who asked");
    assert_eq!(pinged_by(&office.bob, &room, &sent).await?, 0);
    Ok(())
}

#[tokio::test]
async fn c9_mentions_in_the_models_words_ping_nobody_but_the_asker() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    let (id, name) = (bob.user_id(), bob.user_id().localpart());
    let hostile = format!(
        "@room {name} and {id}, [you](https://matrix.to/#/{id}) and https://matrix.to/#/{id}\n\n\
         <a href=\"https://matrix.to/#/{id}\">{name}</a> [x](matrix:u/{}) @ROOM `{id}`\n\n> {name}: look",
        id.as_str().trim_start_matches('@'),
    );
    office.script("who else?", Turn::text(hostile));

    office.ask(alice, &room, "who else?").await?;
    office.answer(alice, &room, &oncall, "and").await?;
    until_all_read(bob, &room, &oncall).await?;
    let answered = office.answer(alice, &room, &oncall, "look").await?;
    let events = [answered];

    assert_eq!(events[0].content["m.mentions"], json!({"user_ids": [alice.user_id()]}));
    assert!(!events[0].content["formatted_body"].to_string().contains("href=\\\"https://matrix.to/#/@"), "a pill");
    assert_eq!(pinged_by(alice, &room, &events).await?, 1);
    assert_eq!(pinged_by(bob, &room, &events).await?, 0, "{:?}", events[0]);
    // As a control, a person's mention of Bob does notify him.
    let message = alice.send(&room, Message::text("and @bob").mentioning(id)).await?;
    let find = |seen: &Timeline| seen.event(&message).filter(|event| event.is_decrypted()).cloned();
    let mention = bob.until(&room, "alice's mention", find).await?;
    assert!(pings(bob, &room, &mention).await?);
    Ok(())
}
