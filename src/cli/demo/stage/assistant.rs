//! Alice and her assistant, which is made on request in a direct chat of the two.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use tokio::time;

use super::{Stage, check_encryption, lock, print_text};
use crate::{
    cli::demo::{
        homeserver::SERVER_NAME,
        person::{Person, RoomKind, timeline::SeenEvent},
        say,
        story::ASSISTANT,
    },
    clock,
};

/// A streamed answer counts as complete once it goes unedited for longer than the gap between edits. The gap grows by
/// half with each edit, from the first to the longest.
const FIRST_GAP_MS: u64 = 700;
const GAP_MS_MAX: u64 = 5_000;
const BEYOND_GAP_MS: u64 = 800;

impl Stage {
    pub(super) async fn assistant(&mut self) -> Result<()> {
        let assistant = assistant_of(&self.alice)?;
        say("\n── Alice's assistant · 🔒 encrypted, nobody else is in it ──");
        let room = match existing_room(&self.alice, &assistant).await? {
            Some(room) => room,
            None => ask_for_room(&self.alice, &assistant).await?,
        };
        for (text, markers) in ASSISTANT {
            let answer = converse(&self.alice, &room, &assistant, text).await?;
            self.check_markers("the assistant", &answer, markers);
        }
        Ok(())
    }
}

fn assistant_of(owner: &Person) -> Result<OwnedUserId> {
    let localpart = owner.user_id().localpart();
    UserId::parse(format!("@assistant-{localpart}:{SERVER_NAME}")).with_context(|| format!("{localpart}'s assistant"))
}

/// Returns the room that the assistant made in an earlier run.
async fn existing_room(owner: &Person, assistant: &UserId) -> Result<Option<OwnedRoomId>> {
    for room in owner.client().joined_rooms() {
        let is_theirs = room.creators().is_some_and(|creators| creators.iter().any(|creator| creator == assistant));
        let membership = owner.membership(room.room_id(), assistant).await?;
        if is_theirs && membership == Some(MembershipState::Join) {
            return Ok(Some(room.room_id().to_owned()));
        }
    }
    Ok(None)
}

/// Opens a direct chat with the assistant, as anybody would, and follows it into the room that it makes.
async fn ask_for_room(owner: &Person, assistant: &UserId) -> Result<OwnedRoomId> {
    let began = clock::now();
    let asked_in = owner.create_dm(assistant).await?;
    let room = owner.until_invited_by(assistant).await?;
    owner.join(&room).await?;
    owner.room(&asked_in)?.leave().await?;
    let ms = clock::now().ms_since(began);
    say(format!("   alice opened a chat with {assistant} and was invited to its own room ({ms} ms)"));
    let first = |seen: &super::Timeline| seen.messages_of(assistant).next().cloned();
    let first = owner.until(&room, "the assistant's first message", first).await?;
    show(&first, first.body(), "");
    Ok(room)
}

/// Sends a message and waits for the complete answer.
async fn converse(owner: &Person, room: &RoomId, assistant: &UserId, text: &str) -> Result<String> {
    let began = clock::now();
    let request = owner.send(room, text).await?;
    let sent = owner.until(room, "her own message", |seen| seen.event(&request).cloned()).await?;
    check_encryption(&sent, RoomKind::Encrypted)?;
    say(format!("    alice{} {text}", lock(&sent)));
    let after_request = |seen: &super::Timeline| {
        let asked_at = seen.events.iter().position(|event| event.event_id == request)?;
        let is_answer =
            |event: &&SeenEvent| event.sender == assistant && event.is_message() && event.msgtype() == "m.text";
        seen.events[asked_at..].iter().find(is_answer).cloned()
    };
    let answer = owner.until(room, "the assistant's answer", after_request).await?;
    let (text, edits) = settled(owner, room, &answer.event_id).await;
    let first_ms = answer.read_at.ms_since(began);
    show(&answer, &text, &format!(" (first words after {first_ms} ms, {edits} edits)"));
    check_encryption(&answer, RoomKind::Encrypted)?;
    ensure!(!text.trim().is_empty(), "the answer is empty");
    Ok(text)
}

/// Waits until a streamed message is no longer edited; returns its last text and the number of edits.
async fn settled(owner: &Person, room: &RoomId, event: &EventId) -> (String, usize) {
    let mut shown = None;
    loop {
        let timeline = owner.timeline(room);
        let now = (timeline.shown_text(event).unwrap_or_default().to_owned(), timeline.edits(event).count());
        if shown.as_ref() == Some(&now) {
            return now;
        }
        let gap_ms = (0..now.1).fold(FIRST_GAP_MS, |gap_ms, _| (gap_ms * 3 / 2).min(GAP_MS_MAX));
        shown = Some(now);
        time::sleep(Duration::from_millis(gap_ms + BEYOND_GAP_MS)).await;
    }
}

fn show(event: &SeenEvent, text: &str, note: &str) {
    say(format!("assistant{}{note}", lock(event)));
    print_text(text);
}
