//! What is to happen.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{cast::Act, server::Kind};
use crate::core::{
    event::Outgoing,
    run::{Input, RunId, Step},
};

/// Something that is to happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// A person does something.
    Person(Act),
    /// The homeserver hands an event, by its number, to the process.
    Deliver(usize),
    /// Something of ours arrives at the homeserver, or is lost on its way.
    Arrive(Box<Posting>),
    /// Something that a process began for a run has ended.
    Done {
        life: u32,
        run: RunId,
        attempt: u64,
        what: Done,
    },
    /// A moment that a run waits for.
    Tick {
        life: u32,
        run: RunId,
        at_ms: i64,
    },
    /// A tool's effect takes place.
    Effect {
        run: RunId,
        incarnation: u32,
        job: usize,
        number: u64,
        asks: bool,
    },
    Start,
    Kill,
    /// The process is stopped in order.
    Stop,
    /// It is over.
    Stopped {
        life: u32,
    },
    /// What a run owes is tried.
    Pay {
        life: u32,
        run: RunId,
    },
}

/// What came of something that was begun.
#[derive(Debug)]
pub(super) enum Done {
    Was(Box<Input>),
    /// Orders are looked for now.
    LookBack,
    /// The context is read now.
    Compose,
    /// What was written when it began is on disk.
    Flush(crate::core::run::Flush, u64),
    /// A card may be sent, has been, or is looked at.
    CardFlushed(u64, u64),
    CardSent(u64, Option<OwnedEventId>),
    CardLook(u64),
}

/// Something of ours on its way to the homeserver.
#[derive(Debug)]
pub(super) struct Posting {
    pub(super) life: u32,
    pub(super) run: RunId,
    pub(super) attempt: u64,
    pub(super) user: OwnedUserId,
    pub(super) room: OwnedRoomId,
    pub(super) step: Step,
    pub(super) target: Option<OwnedEventId>,
    pub(super) message: Outgoing,
    pub(super) kind: Kind,
    /// Whether it says all that it ever will, unless it is edited.
    pub(super) whole: bool,
    /// Whether the homeserver's reply is lost.
    pub(super) unheard: bool,
}
