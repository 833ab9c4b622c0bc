//! Messages as real programs send them: odd fields, unpaired surrogates, missing texts (C5, C7).

use anyhow::{Context as _, Result};
use ruma::{OwnedEventId, RoomId, events::AnyMessageLikeEventContent, serde::Raw};
use workmate::core::{media::Unread, words};

use crate::harness::{Person, RoomKind, office::Office};

/// Sends a message whose content is arbitrary JSON text.
async fn send(person: &Person, room: &RoomId, content: &str) -> Result<OwnedEventId> {
    let content: Raw<AnyMessageLikeEventContent> = Raw::from_json_string(content.to_owned())?;
    let room = person.client().get_room(room).context("they are in the room")?;
    Ok(room.send_raw("m.room.message", content).await?.response.event_id)
}

#[tokio::test]
async fn c5_c7_odd_messages_are_answered_and_what_cannot_be_read_is_said() -> Result<()> {
    let office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let mentions = format!(r#""m.mentions":{{"user_ids":["@bob",null,"{oncall}"],"room":"false"}}"#);

    let half = r#""msgtype":"m.text","body":"what of half \ud83d""#;
    let first = send(&office.alice, &room, &format!("{{{half},{mentions}}}")).await?;
    office.answer(&office.alice, &room, &oncall, "what of half \u{fffd}").await?;

    let odd = r#""msgtype":"m.text","body":"what of nulls","m.relates_to":{"m.in_reply_to":{}},"format":7,"info":null"#;
    send(&office.alice, &room, &format!("{{{odd},{mentions}}}")).await?;
    office.answer(&office.alice, &room, &oncall, "what of nulls").await?;

    // No thread can begin on an event with a relation, so the answer is a reply.
    let relation = format!(r#""m.relates_to":{{"rel_type":"org.example.about","event_id":"{first}"}}"#);
    let related = format!(r#"{{"msgtype":"m.text","body":"what of relations",{relation},{mentions}}}"#);
    let related = send(&office.alice, &room, &related).await?;
    let answer = office.answer(&office.alice, &room, &oncall, "what of relations").await?;
    assert_eq!(answer.thread_root(), None, "{related}");

    send(&office.alice, &room, &format!(r#"{{"msgtype":"m.text","body":5,{mentions}}}"#)).await?;
    let word = words::files::unreadable(Unread::NoWords);
    office.answer(&office.alice, &room, &oncall, &word).await?;
    assert_eq!(office.questions().len(), 3, "what cannot be read costs nothing");
    Ok(())
}
