//! Honest first words and sessions (A5, A6).

use anyhow::Result;

use super::{FIRST_WORDS, Office, said};
use crate::harness::{homeserver::shared, readiness::until_runs_ended};

#[tokio::test]
async fn a5_the_first_words_say_who_can_read_and_who_does_and_come_once() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let first = alice.until(&room, "the first words", |seen| said(seen, &assistant, FIRST_WORDS)).await?;

    office.workmate.kill();
    office.workmate.start_again().await;
    office.ask(&alice, &room, "do you remember me?", "Of course.").await?;

    for half in [
        "neither the homeserver nor other people can read it",
        "the Workmate service that runs me decrypts your messages",
        "the model's provider (Anthropic's Claude) processes them",
    ] {
        assert!(first.body().contains(half), "{half} is missing in {}", first.body());
    }
    assert!(first.is_decrypted());
    let seen = alice.timeline(&room);
    assert_eq!(seen.messages_of(&assistant).next().map(|event| &event.event_id), Some(&first.event_id));
    assert_eq!(seen.messages_of(&assistant).filter(|event| event.body().starts_with(FIRST_WORDS)).count(), 1);
    Ok(())
}

#[tokio::test]
async fn a6_memory_is_the_room_since_new() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    office.ask(&alice, &room, "my bicycle is vermilion", "Noted: a fast colour.").await?;
    office.ask(&alice, &room, "how is my bicycle?", "As you said.").await?;

    alice.send(&room, "!new").await?;
    alice.until(&room, "the new session", |seen| said(seen, &assistant, "This is a new session")).await?;
    office.ask(&alice, &room, "what colour is it now?", "I was not told.").await?;
    until_runs_ended(&office.workmate, 3).await;
    office.workmate.kill();
    office.workmate.start_again().await;
    office.ask(&alice, &room, "and after a restart?", "Still not.").await?;

    let prompts = office.prompts();
    let knows: Vec<_> = prompts
        .iter()
        .map(|prompt| (prompt.contains("vermilion"), prompt.contains("a fast colour"), prompt.contains("colour is it")))
        .collect();
    let expected = [(true, false, false), (true, true, false), (false, false, true), (false, false, true)];
    assert_eq!(knows, expected);
    Ok(())
}

#[tokio::test]
async fn a6_commands_are_answered_without_the_model_and_an_unknown_one_is_a_prompt() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));

    for (command, answer) in [("!help", "Just write;"), ("!tools", "I have no tools")] {
        alice.send(&room, command).await?;
        alice.until(&room, command, |seen| said(seen, &assistant, answer)).await?;
    }
    assert_eq!(office.prompts(), Vec::<String>::new());
    office.ask(&alice, &room, "!hlep", "Did you mean !help?").await?;

    assert_eq!(office.prompts().len(), 1);
    Ok(())
}
