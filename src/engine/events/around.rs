//! What must be known around an event before it is decided who is asked, and is looked up only then.

use std::collections::BTreeSet;

use ruma::OwnedUserId;

use super::Known;
use crate::{
    core::{
        address::{self, Member, Scene, Verdict},
        event::{Message, RoomEvent},
    },
    engine::{Engine, EngineError, records::ThreadRecord},
};

/// What is known around a message where that decides who is asked.
pub(super) struct Around {
    reply_sender: Option<OwnedUserId>,
    root_sender: Option<OwnedUserId>,
    members: Vec<(OwnedUserId, String)>,
}

impl Around {
    pub(super) fn members(&self) -> Vec<Member<'_>> {
        self.members.iter().map(|(user, name)| Member { user, name: Some(name) }).collect()
    }

    /// Returns the scene with what was looked up.
    pub(super) fn seen<'a>(&'a self, scene: &Scene<'a>, members: &'a [Member<'a>]) -> Scene<'a> {
        Scene {
            reply_sender: self.reply_sender.as_deref(),
            root_sender: self.root_sender.as_deref(),
            members,
            ..*scene
        }
    }
}

impl Engine {
    /// Returns whom a message asked and, as it reads after an edit, does not ask any more (C6).
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

    /// Looks up what must be known before it is decided who is asked, and nothing else.
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
        Ok(Around { reply_sender, root_sender, members })
    }
}
