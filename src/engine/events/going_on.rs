//! Files that their sender posts shortly after a request whose answer has already come: they continue the request.

use ruma::UserId;

use crate::{
    core::{
        address::{self, Asked, Scene, Verdict, Why},
        edits::{self, JOINED_MAX, Open},
        event::{EventKind, Message, RoomEvent},
    },
    engine::{Engine, EngineError, commands::command_of},
};

/// Most of the sender's newest requests that are considered.
const REQUESTS_MAX: usize = 8;

impl Engine {
    /// Handles a file that continues its sender's request. Returns it as placed in the answer's thread, and who is
    /// asked; `None` if it continues nothing.
    pub(super) fn goes_on(
        &self,
        event: &RoomEvent,
        scene: &Scene<'_>,
    ) -> Result<Option<(RoomEvent, Verdict)>, EngineError> {
        let EventKind::Message(file) = &event.kind else { return Ok(None) };
        if !file.is_uncaptioned() || !self.namespace.who(&event.sender).may_ask() {
            return Ok(None);
        }
        let Some(reader) = self.kept_in(&event.room).into_iter().next() else { return Ok(None) };
        let held = reader.held_events(&event.room);
        let is_theirs = |said: &&RoomEvent| said.sender == event.sender && said.id != event.id;
        let asks = |said: &&RoomEvent| matches!(&said.kind, EventKind::Message(message) if !message.is_uncaptioned());
        for request in held.iter().rev().filter(is_theirs).filter(asks).take(REQUESTS_MAX) {
            let known = self.tables.threads.get(&(event.room.clone(), request.id.clone()))?;
            let Some(known) = known.filter(|known| !known.triggered.is_empty()) else {
                // What they said in between, to others perhaps, is what the file is about.
                if request.thread_root() == file.thread_root.as_deref() && !is_nod(request, scene) {
                    return Ok(None);
                }
                continue;
            };
            let thread = known.answered_in.as_deref().or_else(|| request.thread_root());
            // In the timeline, the request's time counts; in its thread, the answer's too.
            let answers = known.posted.iter().filter(|_| file.thread_root.is_some()).map(|posted| &posted.event);
            let latest = answers.chain(&known.joined).filter_map(|id| held.iter().find(|held| held.id == *id));
            let since = latest.map(|behind| behind.sent_at).fold(request.sent_at, std::cmp::Ord::max);
            let open = Open { request: &request.id, asker: &request.sender, thread, since };
            if !edits::goes_on(event, &open) || known.joined.len() >= JOINED_MAX {
                continue;
            }
            let late = scene.is_late(event);
            let here = known.triggered.iter().filter(|user| scene.coworkers.iter().any(|one| one.user == *user));
            let here = here.filter(|user| !self.is_command(request, user));
            let asked: Vec<_> = here.map(|user| Asked { user: user.clone(), why: Why::FollowsThread, late }).collect();
            if asked.is_empty() {
                return Ok(None);
            }
            self.pacing.note_joined(event, &request.id)?;
            tracing::info!(room.id = %event.room, event.id = %event.id, request = %request.id, "a file goes on with a request");
            let message = Message { thread_root: thread.map(ToOwned::to_owned), ..file.clone() };
            let placed = RoomEvent { kind: EventKind::Message(message), ..event.clone() };
            return Ok(Some((placed, Verdict::Asked(asked))));
        }
        Ok(None)
    }

    fn is_command(&self, request: &RoomEvent, user: &UserId) -> bool {
        let EventKind::Message(message) = &request.kind else { return false };
        self.coworker(user).is_some_and(|coworker| command_of(message, coworker, user).is_some())
    }
}

fn is_nod(said: &RoomEvent, scene: &Scene<'_>) -> bool {
    matches!(&said.kind, EventKind::Message(message) if address::nod(message, scene.coworkers).is_some())
}
