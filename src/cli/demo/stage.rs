//! Plays the story with real clients, prints it as it happens, and checks every step.

mod assistant;
mod computing;
pub(super) mod unasked;

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::deserialized_responses::ShieldState;
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};

use super::{
    homeserver::SERVER_NAME,
    person::{
        Person, RoomKind,
        message::Message,
        timeline::{Encryption, SeenEvent, Timeline},
    },
    say,
    story::{COWORKERS, Line, Question, SCENES, Scene, Who},
};
use crate::clock;

/// Width of a printed answer, without its margin.
const LINE_CHARS_MAX: usize = 100;

/// The two people, and the steps that failed.
pub(super) struct Stage {
    pub(super) alice: Person,
    pub(super) bob: Person,
    /// Whether answers must quote the room.
    pub(super) quotes_history: bool,
    /// One line for each failed step.
    pub(super) faults: Vec<String>,
}

impl Stage {
    /// Plays all scenes; a failure is added to `faults`, and the next scene goes on.
    pub(super) async fn perform(&mut self) {
        for scene in &SCENES {
            if let Err(error) = self.scene(scene).await {
                self.fault(format!("{}: {error:#}", scene.room));
            }
        }
        if let Err(error) = self.assistant().await {
            self.fault(format!("alice's assistant: {error:#}"));
        }
    }

    /// Stops both people's clients.
    pub(super) async fn stop(self) {
        self.alice.stop().await;
        self.bob.stop().await;
    }

    /// Plays a scene in a new room, and returns the room.
    async fn scene(&mut self, scene: &Scene) -> Result<OwnedRoomId> {
        let how = match scene.kind {
            RoomKind::Encrypted => "🔒 encrypted",
            RoomKind::Plain => "not encrypted",
        };
        say(format!("\n── {} · {how} ──", scene.room));
        let room = self.alice.create_room(scene.kind, scene.room, &[self.bob.user_id()]).await?;
        self.bob.until_invited_by(self.alice.user_id()).await?;
        self.bob.join(&room).await?;
        self.bring_coworkers(&room).await?;

        let mut thread = None;
        for line in scene.lines {
            match line {
                Line::Says(who, text) => {
                    self.speak(*who, &room, scene.kind, Message::text(*text), text).await?;
                }
                Line::Asks(question) => thread = Some(self.ask(&room, scene.kind, question, None).await?),
                Line::AsksOnInThread(question) => {
                    self.ask(&room, scene.kind, question, thread.as_deref()).await?;
                }
            }
        }
        Ok(room)
    }

    async fn bring_coworkers(&self, room: &RoomId) -> Result<()> {
        let began = clock::now();
        for id in COWORKERS {
            self.alice.invite(room, &coworker(id)?).await?;
        }
        for id in COWORKERS {
            self.alice.until_membership(room, &coworker(id)?, &MembershipState::Join).await?;
            self.bob.until_membership(room, &coworker(id)?, &MembershipState::Join).await?;
        }
        let ms = clock::now().ms_since(began);
        say(format!("   alice invited bob, oncall, ci and sales; all are in the room ({ms} ms)"));
        Ok(())
    }

    /// Sends a message, waits until the other person has read it, and prints it.
    async fn speak(
        &self,
        who: Who,
        room: &RoomId,
        kind: RoomKind,
        message: Message,
        text: &str,
    ) -> Result<OwnedEventId> {
        let (speaker, listener) = self.pair(who);
        let began = clock::now();
        let sent = speaker.send(room, message).await?;
        let what = format!("{}'s message, readable", speaker.user_id().localpart());
        let read = listener.until(room, &what, |seen| readable(seen, &sent)).await?;
        check_encryption(&read, kind)?;
        say(format!("{:>9}{} {text}   ({} ms)", name(speaker), lock(&read), read.read_at.ms_since(began)));
        Ok(sent)
    }

    /// Asks coworkers, in a thread if there is one; returns the root of the thread with the answers.
    async fn ask(
        &mut self,
        room: &RoomId,
        kind: RoomKind,
        question: &Question,
        thread: Option<&EventId>,
    ) -> Result<OwnedEventId> {
        let mut message = Message::text(question.text);
        for (id, _) in question.whom {
            message = message.pill(&format!("@{id}"), &coworker(id)?);
        }
        if let Some(root) = thread {
            message = message.in_thread(root);
        }
        let began = clock::now();
        let request = self.speak(question.who, room, kind, message, question.text).await?;
        let thread = thread.unwrap_or(&request).to_owned();
        for (id, markers) in question.whom {
            let (asker, listener) = self.pair(question.who);
            let from = coworker(id)?;
            let find = |seen: &Timeline| answer(seen, &request, &thread, &from, asker.user_id());
            let answer = asker.until(room, &format!("{id}'s answer in the thread, mentioning the asker"), find).await?;
            let ms = answer.read_at.ms_since(began);
            say(format!("{id:>9}{} ↳ in the thread, to {} ({ms} ms)", lock(&answer), name(asker)));
            print_text(answer.body());
            check_answer(&answer, kind)?;
            listener.until(room, &format!("{id}'s answer, readable"), |seen| readable(seen, &answer.event_id)).await?;
            self.check_markers(id, answer.body(), markers);
        }
        Ok(thread)
    }

    /// Records a fault if an answer quotes none of the history it depends on.
    fn check_markers(&mut self, from: &str, text: &str, markers: &[&str]) {
        let is_checked = self.quotes_history && !markers.is_empty();
        if is_checked && !markers.iter().any(|marker| text.contains(marker)) {
            self.fault(format!("{from}'s answer quotes none of {markers:?}: the room's history did not reach it"));
        }
    }

    pub(super) fn fault(&mut self, fault: String) {
        say(format!("        ✗ {fault}"));
        self.faults.push(fault);
    }

    fn pair(&self, who: Who) -> (&Person, &Person) {
        match who {
            Who::Alice => (&self.alice, &self.bob),
            Who::Bob => (&self.bob, &self.alice),
        }
    }
}

/// Returns the event once this client can decrypt it.
fn readable(seen: &Timeline, id: &EventId) -> Option<SeenEvent> {
    let is_readable = |event: &&SeenEvent| !matches!(event.encryption, Encryption::Undecryptable { .. });
    seen.event(id).filter(is_readable).cloned()
}

/// Returns the final answer: a message after the request, in the thread, that mentions the asker.
fn answer(seen: &Timeline, request: &EventId, thread: &EventId, from: &UserId, asker: &UserId) -> Option<SeenEvent> {
    let asked_at = seen.events.iter().position(|event| event.event_id == request)?;
    let answers = |event: &&SeenEvent| {
        let is_final = event.is_message() && event.msgtype() == "m.text" && event.mentions(asker);
        event.sender == from && is_final && event.thread_root() == Some(thread.as_str())
    };
    seen.events[asked_at..].iter().find(answers).cloned()
}

fn check_answer(answer: &SeenEvent, kind: RoomKind) -> Result<()> {
    check_encryption(answer, kind)?;
    if let Some((lax, _)) = answer.shields() {
        ensure!(lax == ShieldState::None, "a client would show a warning beside the answer: {lax:?}");
    }
    ensure!(!answer.body().trim().is_empty(), "the answer is empty");
    Ok(())
}

fn check_encryption(event: &SeenEvent, kind: RoomKind) -> Result<()> {
    let expected = kind == RoomKind::Encrypted;
    ensure!(event.is_decrypted() == expected, "{} came encrypted: {}", event.event_id, event.is_decrypted());
    Ok(())
}

fn coworker(id: &str) -> Result<ruma::OwnedUserId> {
    UserId::parse(format!("@coworker-{id}:{SERVER_NAME}")).with_context(|| format!("the id {id}"))
}

fn name(person: &Person) -> &str {
    person.user_id().localpart()
}

fn lock(event: &SeenEvent) -> &'static str {
    if event.is_decrypted() { " 🔒" } else { "   " }
}

fn print_text(text: &str) {
    for paragraph in text.lines() {
        for line in wrapped(paragraph, LINE_CHARS_MAX) {
            say(format!("             │ {line}"));
        }
    }
}

/// Wraps a paragraph between words; an overlong word stays whole.
fn wrapped(paragraph: &str, line_chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split(' ') {
        let line = lines.last_mut().expect("there is always a last line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= line_chars_max {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_between_words_and_loses_none() {
        let cases = [
            ("", vec![""]),
            ("one two three", vec!["one two", "three"]),
            ("a-very-long-word b", vec!["a-very-long-word", "b"]),
        ];
        for (text, lines) in cases {
            assert_eq!(wrapped(text, 8), lines);
        }
    }
}
