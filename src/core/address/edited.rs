//! Edits that newly ask a coworker (C6).

use std::collections::BTreeSet;

use ruma::OwnedUserId;

use super::{
    EventKind, Found, Message, RoomEvent, Scene, Silence, Why, asked_by_message, here,
    meant::{called_by_name, mentioned_users},
    refuse_notices,
};

/// How long after the original an edit that newly asks a coworker still triggers it, in milliseconds (C6).
pub(crate) const EDIT_WINDOW_MS: u64 = 5 * 60 * 1000;

/// The original of an edit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Original<'a> {
    /// The message that it was; an edit by anybody but its sender is void.
    pub event: &'a RoomEvent,
    /// The coworkers that it or an earlier edit has triggered.
    pub asked: &'a BTreeSet<OwnedUserId>,
}

/// Returns a request with its text replaced by the edit's.
#[must_use]
pub(crate) fn as_edited(original: &RoomEvent, new: &Message) -> RoomEvent {
    let mut edited = original.clone();
    if let EventKind::Message(old) = &original.kind {
        let (thread_root, reply_to) = (old.thread_root.clone(), old.reply_to.clone());
        edited.kind = EventKind::Message(Message { thread_root, reply_to, ..new.clone() });
    }
    edited
}

/// Returns whether an edit states whom the message mentions now. If a client omits `m.mentions` from the new content
/// although the original had it, it has taken nothing back.
#[must_use]
pub(crate) fn says_whom_it_mentions(original: &RoomEvent, new: &Message) -> bool {
    let EventKind::Message(old) = &original.kind else { return false };
    new.mentions.is_some() || old.mentions.is_none()
}

pub(super) fn asked_by_edit(
    event: &RoomEvent,
    new: &Message,
    newly: &BTreeSet<OwnedUserId>,
    scene: &Scene<'_>,
) -> Found {
    refuse_notices(new)?;
    let Some(original) = scene.original else { return Err(Silence::UnknownOriginal) };
    if original.event.sender != event.sender {
        return Err(Silence::ForeignEdit);
    }
    // `m.new_content` has the mentions that hold now; only the edit's own mentions are new and notify (spec,
    // "Mentioning users and rooms in edits"). A name typed at the very start is new if it did not ask before.
    let by_text = match &new.mentions {
        None => mentioned_users(new, scene.coworkers),
        Some(_) => called_by_name(new, scene.coworkers, true),
    };
    let follows = if by_text.is_empty() { follows_by_edit(original.event, new, scene) } else { None };
    let asked: Vec<_> = here(scene)
        .into_iter()
        .filter(|user| newly.contains(*user) || by_text.contains(*user) || follows.as_deref() == Some(*user))
        .filter(|user| !original.asked.contains(*user))
        .map(|user| (user.to_owned(), Why::NewlyMentionedByEdit))
        .collect();
    if asked.is_empty() {
        return Err(Silence::NothingNewInEdit);
    }
    if event.sent_at.ms_since(original.event.sent_at) > EDIT_WINDOW_MS {
        return Err(Silence::TooOldEdit);
    }
    Ok(asked)
}

/// Returns the coworker that a message asks without a mention, as a reply or in its thread, only since its edit: thanks
/// that became a question, words for somebody else, a file that got a caption.
fn follows_by_edit(original: &RoomEvent, new: &Message, scene: &Scene<'_>) -> Option<OwnedUserId> {
    let stands = as_edited(original, new);
    let (EventKind::Message(before), EventKind::Message(now)) = (&original.kind, &stands.kind) else { return None };
    // The original had no run. If it was a nod, nothing had been asked back.
    if asked_by_message(original, before, &Scene { asked_back: Some(false), ..*scene }).is_ok() {
        return None;
    }
    let asked = asked_by_message(&stands, now, scene).ok()?;
    asked.into_iter().find(|(_, why)| matches!(why, Why::FollowsThread | Why::RepliedTo)).map(|(user, _)| user)
}
