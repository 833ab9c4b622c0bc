//! Steering an assistant's answers by 🛑, 🔁, edits and redactions in its chat (C6, C10).

use anyhow::Result;
use ruma::RoomId;
use workmate::standin::{Matcher, Turn};

use super::Office;
use crate::harness::{Message, Person, homeserver::shared, readiness::until_runs_ended};

/// Waits until a message of the assistant shows a text that `find` accepts.
async fn until_shown(
    office: &Office,
    owner: &Person,
    room: &RoomId,
    what: &str,
    find: impl Fn(&str) -> bool,
) -> Result<ruma::OwnedEventId> {
    let assistant = office.assistant_of(owner);
    let shown = |seen: &crate::harness::Timeline| {
        let mut theirs = seen.messages_of(&assistant);
        let found = theirs.find(|event| seen.shown_text(&event.event_id).is_some_and(&find));
        found.map(|event| event.event_id.clone())
    };
    owner.until(room, what, shown).await
}

#[tokio::test]
async fn c10_an_answer_is_had_again_from_what_was_known_then_and_only_by_its_owner() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let first = office.ask(&alice, &room, "a number, please", "Seven.").await?;
    office.ask(&alice, &room, "and a colour", "Teal.").await?;
    until_runs_ended(&office.workmate, 2).await;

    office.claude.enqueue(Turn::text("Eleven."));
    alice.react(&room, &first.event_id, "🔁").await?;
    office.answered(&alice, &room, "Eleven.").await?;
    until_runs_ended(&office.workmate, 3).await;

    let prompts = office.prompts();
    assert_eq!(prompts.len(), 3);
    assert!(prompts[2].contains("a number, please"), "{}", prompts[2]);
    for later in ["Seven.", "and a colour", "Teal."] {
        assert!(!prompts[2].contains(later), "{later} was not known when it was asked");
    }
    let runs = office.workmate.stop_and_read_run_index().await?;
    let requests: Vec<_> = runs.iter().map(|run| run["request"].clone()).collect();
    assert_eq!((requests.len(), &requests[0]), (3, &requests[2]), "{runs:?}");
    Ok(())
}

#[tokio::test]
async fn c10_an_answer_is_stopped_and_one_to_a_deleted_message_is_taken_back() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let (turn, _never_released) = Turn::text("One, two, three, four, five, six.").word_by_word().gate_after(2);
    office.claude.enqueue(turn);
    let request = alice.send(&room, "count").await?;
    until_shown(&office, &alice, &room, "the first text", |text| text.starts_with("One")).await?;

    alice.react(&room, &request, "🛑").await?;
    until_shown(&office, &alice, &room, "that it stopped", |text| text.contains("Stopped")).await?;
    let answer = office.ask(&alice, &room, "a slip of mine", "Understood.").await?;
    until_runs_ended(&office.workmate, 2).await;
    let asked = alice.timeline(&room);
    let slip = asked.messages_of(alice.user_id()).find(|event| event.body() == "a slip of mine");
    alice.redact(&room, &slip.expect("it was sent").event_id).await?;

    alice.until(&room, "the answer is gone", |seen| seen.is_redacted(&answer.event_id).then_some(())).await?;
    Ok(())
}

#[tokio::test]
async fn c6_an_edit_of_a_message_that_is_being_answered_begins_the_answer_anew() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let (turn, _never_released) = Turn::text("Of the first one.").word_by_word().gate_after(2);
    office.claude.enqueue(turn);
    office.claude.on(Matcher::user("tell me of the second"), Turn::text("The second it is."));
    let request = alice.send(&room, "tell me of the first").await?;
    until_shown(&office, &alice, &room, "the first text", |text| text.starts_with("Of")).await?;

    alice.send(&room, Message::text("tell me of the second").replacing(&request)).await?;
    office.answered(&alice, &room, "The second it is.").await?;
    until_runs_ended(&office.workmate, 1).await;

    assert_eq!(office.prompts().len(), 2);
    Ok(())
}
