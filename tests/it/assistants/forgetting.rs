//! `!forget` (A3, A6): what the assistant said and stored is gone, and it says what remains.

use anyhow::Result;
use ruma::RoomId;
use workmate::standin::Turn;

use super::{Office, said};
use crate::harness::{Person, SeenEvent, homeserver::shared, readiness::until_runs_ended};

const BEGUN: &str = "What I stored about our sessions is gone, and your reminders";
const DONE: &str = "Forgotten.";

/// Waits for the last message about forgetting.
async fn forgotten(office: &Office, owner: &Person, room: &RoomId) -> Result<SeenEvent> {
    let assistant = office.assistant_of(owner);
    let find = |seen: &crate::harness::Timeline| {
        let done = |event: &&SeenEvent| seen.shown_text(&event.event_id).is_some_and(|text| text.starts_with(DONE));
        seen.messages_of(&assistant).find(done).cloned()
    };
    owner.until(room, "that it has forgotten", find).await
}

/// Returns the assistant's messages and edits that were not redacted.
fn standing(office: &Office, owner: &Person, room: &RoomId) -> Vec<String> {
    let (seen, assistant) = (owner.timeline(room), office.assistant_of(owner));
    let said = seen.events.iter().filter(|event| event.sender == assistant && event.kind == "m.room.message");
    let there = said.filter(|event| !seen.is_redacted(&event.event_id));
    there.map(|event| event.body().to_owned()).collect()
}

#[tokio::test]
async fn a3_forget_takes_back_what_was_said_deletes_what_was_stored_and_begins_afresh() -> Result<()> {
    let mut office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let bobs = office.meet(&bob).await?;
    office.ask(&bob, &bobs, "something of bob's", "Noted, bob.").await?;
    office.ask(&alice, &room, "my bicycle is vermilion", "A fast colour.").await?;
    alice.send(&room, "!new").await?;
    alice.until(&room, "the new session", |seen| said(seen, &assistant, "This is a new session")).await?;
    office.ask(&alice, &room, "my boat is cyan", "A calm colour.").await?;
    // One answer is still being written.
    let (turn, _never_released) = Turn::text("I was about to say more.").word_by_word().gate_after(2);
    office.claude.enqueue(turn);
    alice.send(&room, "go on").await?;
    alice.until(&room, "the first text", |seen| said(seen, &assistant, "I")).await?;

    alice.send(&room, "!forget").await?;
    let notice = forgotten(&office, &alice, &room).await?;
    let left = |seen: &crate::harness::Timeline| {
        let before = seen.messages_of(&assistant).take_while(|event| event.event_id != notice.event_id);
        before.into_iter().all(|event| seen.is_redacted(&event.event_id)).then_some(())
    };
    alice.until(&room, "that all before it is gone", left).await?;
    let standing = standing(&office, &alice, &room);
    office.ask(&alice, &room, "what do you know of me?", "Nothing.").await?;
    until_runs_ended(&office.workmate, 5).await;
    let runs = office.workmate.stop_and_read_run_index().await?;

    assert!(notice.body().starts_with(BEGUN) && notice.msgtype() == "m.notice", "{}", notice.body());
    assert!(standing.iter().all(|text| text.contains(BEGUN) || text.contains(DONE)), "{standing:?}");
    let shown = alice.timeline(&room).shown_text(&notice.event_id).unwrap_or_default().to_owned();
    for remains in ["your own messages", "homeserver", "provider", "Backups"] {
        assert!(shown.contains(remains), "{remains} is missing in {shown}");
    }
    let last = office.prompts().pop().unwrap_or_default();
    assert!(last.contains("what do you know of me?"));
    for old in ["vermilion", "fast colour", "cyan", "calm colour", "go on", "about to say"] {
        assert!(!last.contains(old), "{old} is in {last}");
    }
    let askers: Vec<_> = runs.iter().map(|run| run["asker"].as_str().unwrap_or_default().to_owned()).collect();
    let mut expected = [alice.user_id().to_string(), bob.user_id().to_string()];
    expected.sort();
    let mut sorted = askers.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "one run of each is left: {runs:?}");
    Ok(())
}

#[tokio::test]
async fn a3_forgetting_that_a_crash_cut_off_is_carried_to_its_end_once() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    for n in 0..4 {
        office.ask(&alice, &room, &format!("question {n} of some"), &format!("Answer {n} of some.")).await?;
    }
    until_runs_ended(&office.workmate, 4).await;

    alice.send(&room, "!forget").await?;
    alice.until(&room, "that it has begun", |seen| said(seen, &assistant, BEGUN)).await?;
    office.workmate.kill();
    office.workmate.start_again().await;
    forgotten(&office, &alice, &room).await?;
    office.ask(&alice, &room, "are you there?", "I am.").await?;
    alice.send(&room, "!forget").await?;
    let again = |seen: &crate::harness::Timeline| {
        let notices: Vec<_> = seen.messages_of(&assistant).filter(|event| event.body().starts_with(BEGUN)).collect();
        let last = notices.last().filter(|_| notices.len() == 2)?;
        let gone = |event: &SeenEvent| event.event_id == last.event_id || seen.is_redacted(&event.event_id);
        seen.messages_of(&assistant).all(gone).then_some(())
    };
    alice.until(&room, "the second time, each once", again).await?;

    assert_eq!(office.prompts().len(), 5, "no run was made again");
    Ok(())
}
