//! Who is there, and what people ask.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, room_id, user_id};

pub(super) fn room() -> OwnedRoomId {
    room_id!("!room:hs").to_owned()
}

pub(super) fn chat() -> OwnedRoomId {
    room_id!("!chat:hs").to_owned()
}

pub(super) fn coworker() -> OwnedUserId {
    user_id!("@coworker-a:hs").to_owned()
}

pub(super) fn assistant() -> OwnedUserId {
    user_id!("@assistant-p0:hs").to_owned()
}

pub(super) fn person(number: usize) -> OwnedUserId {
    format!("@p{number}:hs").try_into().expect("a user id")
}

/// A request, and what it is about.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) event: Option<OwnedEventId>,
    pub(super) private: bool,
    /// The request whose thread it is in.
    pub(super) thread: Option<usize>,
    pub(super) asker: usize,
    /// What the model does with tools for it, in order.
    pub(super) jobs: Vec<Job>,
    pub(super) redacted: bool,
}

/// What a tool is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// May be repeated.
    Look,
    /// May not be repeated.
    Act,
    /// May not be repeated, and the asker has to approve it.
    Ask,
}

/// Something that a person does. Requests are named by their place in the plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Ask(usize),
    Edit(usize),
    Redact(usize),
    /// Stops it: on the request, its status or its answer.
    Stop(usize, u64),
    /// Asks for it once more, on its answer.
    Again(usize),
    /// Decides about a card, by the event's number; somebody else may try first.
    Decide(usize),
    Kick,
}

impl Job {
    pub(super) fn tool(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Act => "act",
            Self::Ask => "ask",
        }
    }
}
