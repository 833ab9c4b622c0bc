//! What the homeserver's operator can do without a key: send people's ciphertexts again, as other events.

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{EventId, RoomId};
use serde_json::{Value, json};

use super::Scene;
use crate::{assistants::call_as, harness::Person};

/// Returns an event's content as the homeserver has it, without its relation.
async fn ciphertext(person: &Person, room: &RoomId, event: &EventId) -> Result<Value> {
    let path = format!("_matrix/client/v3/rooms/{room}/event/{event}");
    let mut event = call_as(person, Method::GET, &path, &json!({})).await?;
    let mut content = event["content"].take();
    content.as_object_mut().context("an event has content")?.remove("m.relates_to");
    assert!(content["ciphertext"].is_string(), "{content}");
    Ok(content)
}

async fn send_again(person: &Person, room: &RoomId, content: &Value, relation: Option<Value>) -> Result<()> {
    let mut content = content.clone();
    if let Some(relation) = relation {
        content["m.relates_to"] = relation;
    }
    let txn = format!("again-{}", std::time::UNIX_EPOCH.elapsed()?.as_nanos());
    let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.encrypted/{txn}");
    let sent = call_as(person, Method::PUT, &path, &content).await?;
    sent["event_id"].as_str().context("an id")?;
    Ok(())
}

#[tokio::test]
async fn c12_a_ciphertext_that_is_sent_again_decides_about_no_card_and_asks_nothing_also_after_a_start() -> Result<()> {
    let mut scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let room = scene.room.clone();
    // Said about something else, and without a relation inside.
    let yes = scene.office.alice.send(&room, "yes").await?;
    let yes = ciphertext(&scene.office.alice, &room, &yes).await?;
    let (request, card) = scene.ask(&scene.office.alice, "one").await?;
    let asked = ciphertext(&scene.office.alice, &room, &request).await?;
    for restarted in [false, true] {
        if restarted {
            scene.office.workmate.stop().await;
            scene.office.workmate.start_again().await;
        }
        let in_reply = json!({ "event_id": card.event_id });
        send_again(&scene.office.alice, &room, &yes, Some(json!({ "m.in_reply_to": in_reply }))).await?;
        let in_thread = json!({ "rel_type": "m.thread", "event_id": request, "m.in_reply_to": in_reply });
        send_again(&scene.office.alice, &room, &yes, Some(in_thread)).await?;
        send_again(&scene.office.alice, &room, &yes, None).await?;
        send_again(&scene.office.alice, &room, &asked, None).await?;
        scene.settle(&format!("settled {restarted}")).await?;
        assert_eq!(scene.ran(), Vec::<String>::new(), "nobody has decided");
    }
    scene.reply(&scene.office.alice, &card, "yes").await?;
    scene.until_answered(&scene.office.alice, "It was: run.").await?;
    assert_eq!(scene.ran(), ["one"]);
    let questions = scene.office.questions();
    let deploys = questions.iter().filter(|question| question.contains("deploy one")).count();
    // One call before the card, one with the tool's result; and one where a start asked again.
    assert!(deploys <= 3, "{questions:?}");
    let (seen, oncall) = (scene.office.alice.timeline(&room), scene.office.oncall());
    let cards = seen.messages_of(&oncall).filter(|event| event.body().contains("\"to\": \"one\""));
    assert_eq!(cards.count(), 1, "a request that is sent again puts up no card");
    assert!(scene.office.workmate.logs().contains("came before as another event"));
    Ok(())
}
