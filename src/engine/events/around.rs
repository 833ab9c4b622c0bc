//! Looks up what must be known around an event before deciding who is asked, and only then.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedUserId, UserId};
use tokio::time::Instant;

use super::{Known, sync_beside};
use crate::{
    core::{
        address::{self, Answered, Asked, Member, Scene, Verdict},
        event::{EventKind, Message, RoomEvent},
    },
    engine::{Engine, EngineError, Shared, records::ThreadRecord},
    matrix::{Account, inbound::Read},
    store::InboxEntry,
};

/// What is known around a message, if it decides who is asked.
pub(super) struct Around {
    reply_sender: Option<OwnedUserId>,
    root_sender: Option<OwnedUserId>,
    asked_back: Option<bool>,
    members: Vec<(OwnedUserId, String)>,
}

impl Around {
    pub(super) fn members(&self) -> Vec<Member<'_>> {
        self.members.iter().map(|(user, name)| Member { user, name: Some(name) }).collect()
    }

    /// Returns the scene with the results of the look-up.
    pub(super) fn seen<'a>(&'a self, scene: &Scene<'a>, members: &'a [Member<'a>]) -> Scene<'a> {
        Scene {
            reply_sender: self.reply_sender.as_deref(),
            root_sender: self.root_sender.as_deref(),
            asked_back: self.asked_back,
            members,
            ..*scene
        }
    }
}

impl Known {
    /// Returns the message as its sender's edit leaves it, if it asked nobody before.
    pub(super) fn as_edited_by(&self, edit: &RoomEvent) -> Option<RoomEvent> {
        let EventKind::Edit { new, .. } = &edit.kind else { return None };
        let may_ask = self.triggered.is_empty() && self.event.sender == edit.sender;
        may_ask.then(|| address::as_edited(&self.event, new))
    }
}

impl Engine {
    /// Returns the users whom a message asked but, after an edit, no longer asks (C6).
    pub(super) async fn not_asked_any_more(
        &self,
        original: &Known,
        new: &Message,
        scene: &Scene<'_>,
        thread: &ThreadRecord,
    ) -> Result<BTreeSet<OwnedUserId>, EngineError> {
        let mut not_asked = original.triggered.clone();
        if not_asked.is_empty() || !address::says_whom_it_mentions(&original.event, new) {
            return Ok(BTreeSet::new());
        }
        let stands = address::as_edited(&original.event, new);
        let around = self.look_around(&stands, scene, thread).await?;
        let members = around.members();
        if let Verdict::Asked(asked) = address::addressed(&stands, &around.seen(scene, &members)) {
            not_asked.retain(|user| !asked.iter().any(|asked| asked.user == *user));
        }
        Ok(not_asked)
    }

    /// Looks up only what must be known before deciding who is asked.
    pub(super) async fn look_around(
        &self,
        event: &RoomEvent,
        scene: &Scene<'_>,
        thread: &ThreadRecord,
    ) -> Result<Around, EngineError> {
        let reply_sender = match address::needs_reply_target(event, scene) {
            Some(target) => self.sender_of(&event.room, target).await?,
            None => None,
        };
        let root_sender = match (address::needs_root(event, scene), &thread.answers) {
            (Some(_), Some(answer)) => Some(answer.user.clone()),
            (Some(root), None) => self.sender_of(&event.room, root).await?,
            (None, _) => None,
        };
        let with_root = Scene { root_sender: root_sender.as_deref(), ..*scene };
        let members = match self.kept_in(&event.room).first() {
            Some(reader) if address::needs_members(event, &with_root) => reader.joined_names(&event.room).await?,
            _ => Vec::new(),
        };
        // People thank each other, too.
        let answers_ours =
            reply_sender.as_ref().is_none_or(|sender| scene.coworkers.iter().any(|one| one.user == sender));
        let asked_back = match address::needs_asked_back(event, &with_root) {
            Some(answered) if answers_ours => self.asked_back(event, answered, scene).await?,
            _ => None,
        };
        Ok(Around { reply_sender, root_sender, asked_back, members })
    }

    /// Returns whether the message that a nod answers asks something back.
    async fn asked_back(
        &self,
        event: &RoomEvent,
        answered: Answered<'_>,
        scene: &Scene<'_>,
    ) -> Result<Option<bool>, EngineError> {
        let Some(reader) = self.kept_in(&event.room).into_iter().next() else { return Ok(None) };
        let is_ours = |user: &UserId| scene.coworkers.iter().any(|coworker| coworker.user == user);
        let held = address::asked_back(&reader.held_events(&event.room), answered, is_ours);
        let Answered::Message(target) = answered else { return Ok(held) };
        if held.is_some() {
            return Ok(held);
        }
        let fetched = match reader.fetch_with_edit(&event.room, target).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            fetched => fetched.unwrap_or_default(),
        };
        Ok(address::asked_back(&fetched, answered, is_ours))
    }

    /// Begins the sync that precedes an encrypted answer as soon as it is decided who answers, so that it goes on beside
    /// everything that comes before the answer is sent.
    pub(super) fn sync_ahead_of_answers(&self, event: &RoomEvent, asked: &[Asked], accepted: Instant) {
        for account in asked.iter().filter_map(|asked| self.pool.kept(&asked.user)) {
            if account.is_sealed(&event.room) {
                self.tasks.spawn(sync_beside(account, accepted));
            }
        }
    }

    /// Takes what coworkers read in an entry, unless it is an echo.
    pub(in crate::engine) async fn take_unless_echo(
        self: Shared,
        readers: &[Arc<Account>],
        read: &Read,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        if !self.echoes.is_no_echo(readers, read, entry).await? {
            return Ok(());
        }
        Box::pin(self.take_read(&read.event, read.carriage(), entry, accepted)).await
    }
}
