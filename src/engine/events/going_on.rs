//! Files that their sender posts shortly after a request: they belong to it while it is worked on, and continue it once its
//! answer has come, unless their captions ask something themselves.

use ruma::UserId;
use tokio::time::Instant;

use crate::{
    core::{
        address::{self, Asked, Scene, Silence, Verdict, Why},
        edits::{self, JOINED_MAX, Open},
        event::{EventKind, Mentions, Message, RoomEvent},
        sealed::Carriage,
    },
    engine::{Engine, EngineError, Shared, commands::command_of, control::OpenRequest},
};

/// Most of the sender's newest requests that are considered.
const REQUESTS_MAX: usize = 8;

impl Engine {
    /// Takes a file that its sender posts soon after a request; returns whether nothing else is to be done about it.
    pub(super) async fn take_file(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        verdict: &Verdict,
        scene: &Scene<'_>,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        let EventKind::Message(message) = &event.kind else { return Ok(false) };
        let placed = match verdict {
            Verdict::Asked(asked) if address::only_names(message, scene.coworkers) => {
                let without = Message { mentions: Some(Mentions::default()), ..message.clone() };
                let file = RoomEvent { kind: EventKind::Message(without), ..event.clone() };
                let is_theirs = |open: OpenRequest| asked.iter().all(|asked| open.users.contains(&asked.user));
                return Ok(self.running.open_for(&file).is_some_and(is_theirs)
                    && Box::pin(self.pacing.take_joining(&file)).await?);
            }
            Verdict::Nobody(Silence::NotAddressed | Silence::NoWords | Silence::AmbiguousThread) => {
                if address::asks_by_caption(message)
                    && self.running.open_for(event).is_some_and(|open| open.thread.is_some())
                {
                    Box::pin(self.asks_in_thread(event, scene)).await?
                } else if Box::pin(self.pacing.take_joining(event)).await? {
                    return Ok(true);
                } else {
                    self.goes_on(event, scene)?
                }
            }
            _ => None,
        };
        let Some((placed, asked)) = placed else { return Ok(false) };
        Box::pin(self.obey_verdict(&placed, came, &asked, accepted)).await?;
        self.note_thread(&placed, &asked, scene)?;
        Ok(true)
    }

    /// Takes a file on the timeline whose caption asks something as a message of the thread in which its sender's request
    /// is answered; `None` if it is for others there.
    async fn asks_in_thread(
        &self,
        event: &RoomEvent,
        scene: &Scene<'_>,
    ) -> Result<Option<(RoomEvent, Verdict)>, EngineError> {
        let (Some(open), EventKind::Message(file)) = (self.running.open_for(event), &event.kind) else {
            return Ok(None);
        };
        let Some(root) = open.thread.filter(|_| file.thread_root.is_none()) else { return Ok(None) };
        let message = Message { thread_root: Some(root.clone()), ..file.clone() };
        let placed = RoomEvent { kind: EventKind::Message(message), ..event.clone() };
        let thread = self.thread_of(&placed)?;
        if thread.joined.len() >= JOINED_MAX {
            return Ok(None);
        }
        let scene = Scene { thread: Some(&thread.thread), ..*scene };
        let around = self.look_around(&placed, &scene, &thread).await?;
        let members = around.members();
        let verdict = address::addressed(&placed, &around.seen(&scene, &members));
        if !matches!(verdict, Verdict::Asked(_)) {
            return Ok(None);
        }
        // It stands on the timeline, and is read as part of the thread.
        self.pacing.note_joined(event, &root)?;
        Ok(Some((placed, verdict)))
    }

    /// Handles a file that continues its sender's request. Returns it as placed in the answer's thread, and who is
    /// asked; `None` if it continues nothing.
    pub(super) fn goes_on(
        &self,
        event: &RoomEvent,
        scene: &Scene<'_>,
    ) -> Result<Option<(RoomEvent, Verdict)>, EngineError> {
        let EventKind::Message(file) = &event.kind else { return Ok(None) };
        if !file.is_uncaptioned() || !self.namespace().who(&event.sender).may_ask() {
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
        self.coworker(user).is_some_and(|coworker| command_of(message, &coworker, user).is_some())
    }
}

fn is_nod(said: &RoomEvent, scene: &Scene<'_>) -> bool {
    matches!(&said.kind, EventKind::Message(message) if address::nod(message, scene.coworkers).is_some())
}
