//! Where a run is.

use std::collections::BTreeSet;

use ruma::OwnedEventId;

use super::{Answer, Failure, Ready, Reply, Start, Step};
use crate::core::{batch::Latency, budget::Full, event::Outgoing, trail::Decision};

/// What a run is doing, or waits for.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its turn, and that its request is left alone.
    Lining { quiet: bool },
    /// The homeserver, which failed it.
    Pausing,
    /// Its places.
    Returning,
    /// The account.
    Opening,
    /// Orders that nobody heard.
    LookingBack,
    /// What the room is like.
    CatchingUp,
    /// The context; and that the journal holds on disk that it is composed.
    #[expect(clippy::option_option, reason = "whether it has come, and whether there is anything to answer with")]
    Composing { noted: bool, ready: Option<Option<Ready>> },
    /// The context of the request that was refused, for another model or with less around it.
    Recomposing,
    /// The budget.
    Reserving(Latency),
    /// That the request is left alone: it is asked as it reads then.
    Quieting(Latency),
    /// The model.
    Asking,
    /// A batch.
    Batching(Stage),
    /// Tools and people.
    Calling(Box<Calling>),
    /// Whether a word about a budget is due.
    Weighing(Full),
    /// Its last message.
    Saying(Box<Saying>),
    /// The account, to say that it was stopped.
    Stopping(Box<Answer>),
    /// Whether a refusal is believed.
    Doubting(Failure),
    /// Nothing any more in this process, which stops.
    Held,
    /// Nothing: it is over.
    Over,
}

/// How far a batch is.
#[derive(Debug)]
pub(super) enum Stage {
    /// That it is about to be sent is being brought to the disk.
    Noting,
    /// It is sent, looked for or waited for.
    Waiting,
    /// Its id is being brought to the disk.
    Noted,
    /// It is over, and the run takes its places again, with the answer if there is one.
    Returning(Option<Reply>),
    /// It holds its places, and goes on once nothing is on its way.
    Returned(Option<Reply>),
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum Posting {
    /// A message that is sent once the journal is on disk.
    Flushing(Step, Outgoing),
    /// A message.
    Sending(Step),
    /// An edit that another one makes good.
    Editing,
    /// Orders about what was just shown.
    LookingBack,
    /// Whether a refusal of something shown beside the model's work is believed.
    Doubting(Failure),
    /// A part of the last message.
    Last,
}

/// The calls of the model's turn.
#[derive(Debug, Default)]
pub(super) struct Calling {
    /// So many are being carried out.
    pub(super) running: usize,
    /// About so many people are asked.
    pub(super) deciding: usize,
    /// What was asked about.
    pub(super) asked: BTreeSet<String>,
    /// Whether one of them must not be made twice.
    pub(super) unrepeatable: bool,
    /// Those that begin once that is on disk.
    pub(super) begun: Vec<Start>,
    /// Decisions that wait until the places are held again.
    pub(super) decided: Vec<(String, Decision)>,
    pub(super) parked: bool,
    /// All have results, which are being brought to the disk.
    pub(super) closing: bool,
}

impl Calling {
    /// Whether the status goes on: people who are waited for may take days.
    pub(super) fn shows(&self) -> bool {
        self.running > 0 && !self.closing
    }
}

/// The last message.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) answer: Answer,
    pub(super) part: Part,
    /// Something else may be there under the answer's step.
    pub(super) differs: bool,
    /// The answer is on disk.
    pub(super) flushed: bool,
    /// Its event.
    pub(super) event: Option<OwnedEventId>,
    /// It says that the run was stopped.
    pub(super) stops: bool,
}

/// What of the last message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Message,
    Correction,
    /// It is there; the disk is waited for.
    There,
    File,
    /// The files that code made.
    Made,
    Looking,
}
