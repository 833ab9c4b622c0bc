//! Who should answer an event (rules C5, C6, C14, C15).
//!
//! The engine asks for every timeline event, in room order. It looks up the replied-to message only if
//! [`needs_reply_target`] names one.

use std::collections::BTreeSet;

use ruma::{EventId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

pub(in crate::core) use self::own_words::is_struck;
pub(crate) use self::own_words::{OwnWords, after_quote, bounded, linked_user};
use super::{
    beginning::is_late,
    event::{EventKind, Message, MessageKind, RoomEvent},
    people::{Bridged, Namespace, Who},
    time::Timestamp,
};

mod asking;
mod edited;
mod ending;
mod everyday;
mod folding;
mod inflected;
mod letters;
mod meant;
mod members;
mod names;
mod nods;
mod others;
mod own_words;
mod salutations;
mod spelling;

use self::edited::asked_by_edit;
use self::meant::{mentioned_users, only_nods};
pub(crate) use self::names::strip_address_behind;
pub(crate) use self::{
    edited::{EDIT_WINDOW_MS, Original, as_edited, says_whom_it_mentions},
    members::Member,
    names::{CoworkerHere, strip_address},
    nods::{Answered, Nod, asked_back, nod},
};

/// Most coworkers remembered as asked in one thread.
pub(crate) const THREAD_ASKED_MAX: usize = 64;

/// The facts around an event from which to decide who answers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// Classifies users.
    pub namespace: &'a Namespace,
    /// The coworkers joined in the event's room.
    pub coworkers: &'a [CoworkerHere<'a>],
    /// The sender of the replied-to message, if known; see [`needs_reply_target`].
    pub reply_sender: Option<&'a UserId>,
    /// What happened earlier in the event's thread.
    pub thread: Option<&'a ThreadSoFar>,
    /// The sender of the thread's root, if known; see [`needs_root`].
    pub root_sender: Option<&'a UserId>,
    /// Whether the message that this one answers asked something back, if known; see [`needs_asked_back`].
    pub asked_back: Option<bool>,
    /// The room's members; required if [`needs_members`] says so.
    pub members: &'a [Member<'a>],
    /// For an edit: the original, if known.
    pub original: Option<Original<'a>>,
    /// The time of the decision.
    pub now: Timestamp,
    /// When the inbox accepted the event.
    pub accepted_at: Timestamp,
    /// The age from which a request is late, in milliseconds.
    pub deadline_ms: u64,
}

/// Who was asked in a thread so far. It is stored under the thread's root, which is the first request itself if a
/// coworker's answer opened the thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ThreadSoFar {
    /// The coworkers asked in the thread.
    pub asked: BTreeSet<OwnedUserId>,
    /// Whether somebody else was mentioned since a coworker was last asked.
    pub others_mentioned: bool,
    /// Who was called by name, without a mention, in the people's newest message: the next message is theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
}

/// People called by name at the start of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    /// The caller.
    pub by: OwnedUserId,
    /// Who may be meant; empty if unknown, so that it may be anybody but the caller.
    pub users: BTreeSet<OwnedUserId>,
}

impl Called {
    /// Returns whether a message of `sender` may be the called person's answer to the caller.
    fn may_answer(&self, sender: &UserId, message: &Message) -> bool {
        if self.users.is_empty() { self.by != sender && !asks(message) } else { self.users.contains(sender) }
    }
}

/// Who should answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// These coworkers, sorted by id without duplicates; never empty.
    Asked(Vec<Asked>),
    /// Nobody, for this reason.
    Nobody(Silence),
}

/// A coworker that should answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    /// The coworker's user id.
    pub user: OwnedUserId,
    /// Why it should answer.
    pub why: Why,
    /// Whether the request is late, so that the answer must say so.
    pub late: bool,
}

/// Why a coworker should answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Why {
    /// The message mentions it.
    Mentioned,
    /// The message replies to one of its messages.
    RepliedTo,
    /// The message follows in a thread in which only it was asked, or which was opened on its own message.
    FollowsThread,
    /// An edit newly mentions it.
    NewlyMentionedByEdit,
}

/// Why nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Silence {
    /// One of our own users sent it.
    OurOwn,
    /// A known bot sent it.
    Bot,
    /// A guest sent it.
    Guest,
    /// A bridge's puppet that may not ask sent it.
    Bridged,
    /// It is an `m.notice`.
    Notice,
    /// A user of a server that is not allowed sent it.
    Stranger {
        /// Whether they asked a coworker, so that they are told why (once a day).
        tell_stranger: bool,
    },
    /// It only mentions `@room`.
    RoomMention,
    /// The edit came after the window, by its own timestamp.
    TooOldEdit,
    /// The edited message is unknown to us.
    UnknownOriginal,
    /// The edit is not by the original's sender.
    ForeignEdit,
    /// The edit mentions no coworker that was not asked before.
    NothingNewInEdit,
    /// It follows in a thread in which several coworkers were asked, or somebody else was mentioned.
    AmbiguousThread,
    /// It is for the room or for somebody else.
    NotAddressed,
    /// It asks nothing: emoji, thanks or an `ok` in a thread or in reply to an answer, or a file without a caption in a
    /// thread.
    NoWords,
    /// It is not a message: a reaction, a redaction, state, or undecryptable.
    NoMessage,
}

/// Returns the message whose sender must be known before [`addressed`] can decide. The caller looks it up and sets
/// [`Scene::reply_sender`].
#[must_use]
pub(crate) fn needs_reply_target<'e>(event: &'e RoomEvent, scene: &Scene<'_>) -> Option<&'e EventId> {
    let EventKind::Message(message) = &event.kind else { return None };
    let reply_to = message.reply_to.as_deref()?;
    let silent = scene.reply_sender.is_some() || scene.coworkers.is_empty() || !asks_by_replying(message);
    let who = scene.namespace.who(&event.sender);
    let known = who.may_ask() || who == Who::Stranger;
    if silent || !known {
        return None;
    }
    let mentioned = mentioned_users(message, scene.coworkers);
    let is_open = scene.coworkers.iter().any(|coworker| !mentioned.contains(coworker.user));
    (is_open || nod(message, scene.coworkers).is_some()).then_some(reply_to)
}

/// Returns what a possible nod ([`nod`]), or a message that is perhaps for others, answers, if it must be known whether
/// that asked something back before [`addressed`] can decide. The caller looks it up and sets [`Scene::asked_back`].
#[must_use]
pub(crate) fn needs_asked_back<'e>(event: &'e RoomEvent, scene: &Scene<'_>) -> Option<Answered<'e>> {
    let EventKind::Message(message) = &event.kind else { return None };
    let thread = || message.thread_root.as_deref().map(Answered::Thread);
    if nod(message, scene.coworkers).is_none() {
        return thread().filter(|_| may_be_for_ours(event, message, scene) && others::may_answer_or_call(message));
    }
    message.reply_to.as_deref().map(Answered::Message).or_else(thread)
}

/// Returns the thread root whose sender must be known before [`addressed`] can decide: the root of a thread in which
/// nobody was asked yet, because it may be a coworker's message. The caller looks it up and sets
/// [`Scene::root_sender`].
#[must_use]
pub(crate) fn needs_root<'e>(event: &'e RoomEvent, scene: &Scene<'_>) -> Option<&'e EventId> {
    let EventKind::Message(message) = &event.kind else { return None };
    let root = message.thread_root.as_deref()?;
    let nobody_asked = scene.thread.is_none_or(|thread| thread.asked.is_empty());
    let open = nobody_asked && scene.root_sender.is_none() && !scene.coworkers.is_empty();
    (open && may_follow(event, message, scene)).then_some(root)
}

/// Returns whether the members must be known before [`addressed`] can decide and [`ThreadSoFar::note`] can record:
/// whether the message may open with a member's name.
#[must_use]
pub(crate) fn needs_members(event: &RoomEvent, scene: &Scene<'_>) -> bool {
    let EventKind::Message(message) = &event.kind else { return false };
    scene.members.is_empty() && may_be_for_ours(event, message, scene)
}

/// Returns whether a message may be for the coworkers of the thread that it is in.
fn may_be_for_ours(event: &RoomEvent, message: &Message, scene: &Scene<'_>) -> bool {
    !whose_thread(scene).is_empty() && may_follow(event, message, scene)
}

/// Returns whether a message in a thread may be for that thread's coworker: it mentions nobody and has words.
fn may_follow(event: &RoomEvent, message: &Message, scene: &Scene<'_>) -> bool {
    let who = scene.namespace.who(&event.sender);
    message.thread_root.is_some()
        && (who.may_ask() || who == Who::Stranger)
        && is_request(message)
        && !others::says_nothing(message)
        && mentioned_users(message, scene.coworkers).is_empty()
}

/// Returns who should answer `event`.
#[must_use]
pub(crate) fn addressed(event: &RoomEvent, scene: &Scene<'_>) -> Verdict {
    let stranger = match scene.namespace.who(&event.sender) {
        Who::Service | Who::Coworker(_) | Who::Assistant(_) => return Verdict::Nobody(Silence::OurOwn),
        Who::Bot => return Verdict::Nobody(Silence::Bot),
        Who::Guest => return Verdict::Nobody(Silence::Guest),
        Who::Puppet(Bridged::Nothing) => return Verdict::Nobody(Silence::Bridged),
        Who::Stranger => true,
        Who::Person | Who::Puppet(Bridged::Ask) => false,
    };
    let found = match &event.kind {
        EventKind::Message(message) => asked_by_message(event, message, scene),
        EventKind::Edit { new, newly_mentioned, .. } => asked_by_edit(event, new, newly_mentioned, scene),
        _ => Err(Silence::NoMessage),
    };
    if stranger {
        let tell_stranger = found.is_ok_and(|asked| asked.iter().any(|(_, why)| *why != Why::FollowsThread));
        return Verdict::Nobody(Silence::Stranger { tell_stranger });
    }
    let asked = match found {
        Ok(asked) => asked,
        Err(silence) => return Verdict::Nobody(silence),
    };
    let late = scene.is_late(event);
    Verdict::Asked(asked.into_iter().map(|(user, why)| Asked { user, why, late }).collect())
}

impl Scene<'_> {
    /// Returns whether an event is late.
    #[must_use]
    pub(crate) fn is_late(&self, event: &RoomEvent) -> bool {
        is_late(event.sent_at, self.accepted_at, self.now, self.deadline_ms)
    }
}

impl ThreadSoFar {
    /// Records an event of the thread, or its root, after the decision about it.
    pub(crate) fn note(&mut self, event: &RoomEvent, verdict: &Verdict, scene: &Scene<'_>) {
        if let Verdict::Asked(asked) = verdict {
            self.others_mentioned = false;
            self.called = None;
            for asked in asked {
                if self.asked.len() < THREAD_ASKED_MAX {
                    self.asked.insert(asked.user.clone());
                }
            }
            return;
        }
        let (EventKind::Message(message), true) = (&event.kind, scene.namespace.is_human(&event.sender)) else {
            return;
        };
        if !is_request(message) {
            return;
        }
        if mentions_others(event, message, scene) || self.is_answered_to_caller(event, message) {
            self.others_mentioned = true;
            self.called = None;
        } else if let Some(users) =
            others::called_another(message, &event.sender, scene.members, scene.coworkers, scene.asked_back)
        {
            self.called = Some(Called { by: event.sender.clone(), users });
        }
    }

    /// Returns whether a person called by name answers, as people do who talk to each other.
    fn is_answered_to_caller(&self, event: &RoomEvent, message: &Message) -> bool {
        !others::says_nothing(message)
            && self.called.as_ref().is_some_and(|called| called.may_answer(&event.sender, message))
    }
}

/// Coworkers with the reason why each should answer, sorted by id without duplicates; or why there are none.
type Found = Result<Vec<(OwnedUserId, Why)>, Silence>;

fn asked_by_message(event: &RoomEvent, message: &Message, scene: &Scene<'_>) -> Found {
    refuse_notices(message)?;
    let mentioned = mentioned_users(message, scene.coworkers);
    let nods = only_nods(message, scene.coworkers, scene.asked_back);
    let mut asked: Vec<(OwnedUserId, Why)> = Vec::new();
    for user in here(scene) {
        let replied_to = asks_by_replying(message) && scene.reply_sender == Some(user);
        if replied_to && nods {
            return Err(Silence::NoWords);
        } else if mentioned.contains(user) {
            asked.push((user.to_owned(), Why::Mentioned));
        } else if replied_to {
            asked.push((user.to_owned(), Why::RepliedTo));
        }
    }
    if !asked.is_empty() {
        return Ok(asked);
    }
    if message.mentions.as_ref().is_some_and(|mentions| mentions.room) {
        return Err(Silence::RoomMention);
    }
    follows_thread(event, message, scene)
}

fn follows_thread(event: &RoomEvent, message: &Message, scene: &Scene<'_>) -> Found {
    let whose = if message.thread_root.is_some() { whose_thread(scene) } else { BTreeSet::new() };
    // A message that can ask only by a mention follows nobody.
    if whose.is_empty() || !is_speech(message) || speaks_to_others(event, message, scene) {
        return Err(Silence::NotAddressed);
    }
    if others::says_nothing(message) || only_nods(message, scene.coworkers, scene.asked_back) {
        return Err(Silence::NoWords);
    }
    if scene.thread.is_some_and(|thread| thread.is_answered_to_caller(event, message)) {
        return Err(Silence::NotAddressed);
    }
    let mut asked = whose.into_iter();
    let others_mentioned = scene.thread.is_some_and(|thread| thread.others_mentioned);
    let (Some(only), None, false) = (asked.next(), asked.next(), others_mentioned) else {
        return Err(Silence::AmbiguousThread);
    };
    if here(scene).contains(only) {
        Ok(vec![(only.to_owned(), Why::FollowsThread)])
    } else {
        Err(Silence::NotAddressed)
    }
}

/// Returns the coworkers asked in the thread; if none were, the one whose message opened it.
fn whose_thread<'a>(scene: &Scene<'a>) -> BTreeSet<&'a UserId> {
    let asked: BTreeSet<&UserId> = scene.thread.iter().flat_map(|thread| &thread.asked).map(|user| &**user).collect();
    if !asked.is_empty() {
        return asked;
    }
    let opened_on = scene.root_sender.filter(|user| here(scene).contains(*user));
    opened_on.into_iter().collect()
}

/// Returns the scene's coworkers that belong to our namespace, sorted without duplicates.
fn here<'a>(scene: &Scene<'a>) -> BTreeSet<&'a UserId> {
    let coworkers = scene.coworkers.iter().map(|coworker| coworker.user);
    coworkers.filter(|user| matches!(scene.namespace.who(user), Who::Coworker(_))).collect()
}

fn refuse_notices(message: &Message) -> Result<(), Silence> {
    if message.kind == MessageKind::Notice {
        return Err(Silence::Notice);
    }
    if is_request(message) { Ok(()) } else { Err(Silence::NoMessage) }
}

/// Returns whether a message can ask. A wordless form (a sticker, a poll, a location, an unknown type) asks only by a
/// mention; messages between machines cannot ask.
fn is_request(message: &Message) -> bool {
    match &message.kind {
        MessageKind::Notice => false,
        MessageKind::Other(_) => !is_of_machines(message),
        _ => true,
    }
}

/// `msgtype` prefixes of messages between clients and servers.
const MACHINES: [&str; 3] = ["m.key.", "m.server_notice", "m.bad.encrypted"];

/// Returns whether a message is between clients and servers, such as a step of a verification or a server notice to one
/// user: no person wrote it, and nobody awaits an answer.
#[must_use]
pub(crate) fn is_of_machines(message: &Message) -> bool {
    matches!(&message.kind, MessageKind::Other(msgtype) if MACHINES.iter().any(|prefix| msgtype.starts_with(prefix)))
}

/// Returns whether a reply of this kind asks the replied-to sender. A sticker is only a reaction.
fn asks_by_replying(message: &Message) -> bool {
    message.reply_to.is_some() && is_request(message) && !message.kind.is_sticker()
}

/// Returns whether a message asks a question, so that it does not only answer somebody.
fn asks(message: &Message) -> bool {
    asking::is_question(after_quote(&message.body))
}

/// Returns whether a file's caption asks something itself, so that the file belongs to no earlier request.
#[must_use]
pub(crate) fn asks_by_caption(message: &Message) -> bool {
    let caption = after_quote(&message.body);
    is_captioned_file(message) && (asking::is_question(caption) || asking::asks_behind(caption))
}

/// Returns whether a file's caption is no more than a coworker's name: it says whom the file is for, and asks nothing.
#[must_use]
pub(crate) fn only_names(message: &Message, coworkers: &[CoworkerHere<'_>]) -> bool {
    let says_nothing = |coworker: &CoworkerHere<'_>| {
        !strip_address(&message.body, message.html.as_deref(), coworker).contains(char::is_alphanumeric)
    };
    is_captioned_file(message) && coworkers.iter().any(says_nothing)
}

fn is_captioned_file(message: &Message) -> bool {
    matches!(message.kind, MessageKind::Attachment { .. }) && !message.kind.is_sticker() && !message.is_uncaptioned()
}

/// Returns whether people talk with messages of this kind.
fn is_speech(message: &Message) -> bool {
    match message.kind {
        MessageKind::Text
        | MessageKind::Card
        | MessageKind::Emote
        | MessageKind::Unreadable
        | MessageKind::Gallery(_) => true,
        MessageKind::Attachment { .. } => !message.kind.is_sticker(),
        _ => false,
    }
}

/// Returns whether a message addresses somebody other than its sender and the scene's coworkers.
fn speaks_to_others(event: &RoomEvent, message: &Message, scene: &Scene<'_>) -> bool {
    mentions_others(event, message, scene)
        || others::called_another(message, &event.sender, scene.members, scene.coworkers, scene.asked_back).is_some()
}

/// Returns whether a message mentions or replies to somebody other than its sender and the scene's coworkers. A typed
/// name is not a mention.
fn mentions_others(event: &RoomEvent, message: &Message, scene: &Scene<'_>) -> bool {
    let here = here(scene);
    let is_other = |user: &UserId| user != event.sender && !here.contains(user);
    let replies_to_other = message.reply_to.is_some() && scene.reply_sender.is_some_and(is_other);
    let room = message.mentions.as_ref().is_some_and(|mentions| mentions.room);
    room || replies_to_other || mentioned_users(message, scene.coworkers).iter().any(|user| is_other(user))
}

#[cfg(test)]
mod tests;
