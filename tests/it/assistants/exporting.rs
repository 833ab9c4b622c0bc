//! Copies that the owner makes with `!export` and `!share` (A9).

use anyhow::{Context as _, Result};
use matrix_sdk::media::{MediaFormat, MediaRequestParameters};
use ruma::events::room::MediaSource;
use serde_json::json;

use super::{Office, said};
use crate::harness::{Message, SeenEvent, homeserver::shared};

#[tokio::test]
async fn a9_an_export_is_an_encrypted_file_of_this_session_with_a_word_about_it() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    office.ask(&alice, &room, "an old matter", "An old answer.").await?;
    alice.send(&room, "!new").await?;
    alice.until(&room, "the new session", |seen| said(seen, &assistant, "This is a new session")).await?;
    office.ask(&alice, &room, "how high is it?", "It is 40 m high.").await?;

    alice.send(&room, "!export").await?;
    let file = |seen: &crate::harness::Timeline| {
        seen.messages_of(&assistant).find(|event| event.msgtype() == "m.file").cloned()
    };
    let file = alice.until(&room, "the file", file).await?;

    let word = alice.until(&room, "the word", |seen| said(seen, &assistant, "This session as a file")).await?;
    assert!(word.body().contains("2 messages") && word.msgtype() == "m.notice", "{}", word.body());
    assert!(file.is_decrypted());
    let source: MediaSource = serde_json::from_value(file.content.clone()).context("the file's source")?;
    assert!(matches!(source, MediaSource::Encrypted(_)), "it is encrypted as the room is");
    let wanted = MediaRequestParameters { source, format: MediaFormat::File };
    let text = String::from_utf8(alice.client().media().get_media_content(&wanted, false).await?)?;
    for part in ["how high is it?", "It is 40 m high.", "UTC", alice.user_id().as_str()] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    for part in ["an old matter", "An old answer.", "!export", "This is a new session"] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
    Ok(())
}

/// Returns what a client would forward of an event.
fn clean(event: &SeenEvent) -> serde_json::Value {
    json!({
        "msgtype": event.msgtype(), "body": event.body(),
        "mentions": event.content["m.mentions"], "relation": event.content["m.relates_to"],
    })
}

#[tokio::test]
async fn a9_what_is_shared_is_a_clean_message_of_its_own() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    alice.send(&room, "!share").await?;
    alice.until(&room, "that there is none", |seen| said(seen, &assistant, "I can't find an answer")).await?;
    let first = office.ask(&alice, &room, "one", "The first answer.").await?;
    office.ask(&alice, &room, "two", "The second answer.").await?;

    alice.send(&room, Message::text("!share").replying_to(&first.event_id)).await?;
    // The answer was edited while it was written; the copy is complete at once.
    let copy = |body: &'static str, original: &SeenEvent| {
        let (assistant, original) = (assistant.clone(), original.event_id.clone());
        move |seen: &crate::harness::Timeline| {
            let mut same = seen.messages_of(&assistant).filter(|event| event.body() == body);
            same.find(|event| event.event_id != original).cloned()
        }
    };
    let shared_first = alice.until(&room, "the first, shared", copy("The first answer.", &first)).await?;
    let third = office.ask(&alice, &room, "three", "The third answer.").await?;
    alice.send(&room, "!share").await?;
    let shared_third = alice.until(&room, "the third, shared", copy("The third answer.", &third)).await?;

    let expected = |body: &str| json!({ "msgtype": "m.text", "body": body, "mentions": {}, "relation": null });
    assert_eq!(clean(&shared_first), expected("The first answer."));
    assert_eq!(clean(&shared_third), expected("The third answer."));
    assert!(shared_first.is_decrypted() && shared_third.is_decrypted());
    Ok(())
}
