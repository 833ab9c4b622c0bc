//! What happens to a run.

use std::time::Duration;

use ruma::{OwnedEventId, OwnedUserId};

use super::{Bill, Fault, Flush, Order};
use crate::core::{
    citing::Shelf,
    media::Unread,
    prompt::FileContent,
    refused::Suspects,
    time::Timestamp,
    tool::{Output, Toolset},
    trail::Decision,
    work::ModelTurn,
};

/// Something that happened: mostly what came of an [`Effect`](super::Effect).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// Its turn has come.
    Turn,
    /// So many are before it.
    Ahead(usize),
    /// Its request has been left alone for a while.
    Quiet,
    /// The homeserver answers, or the pause is over.
    Back,
    /// It holds its places.
    Unparked,
    /// The account that answers is there.
    Opened,
    /// What it may have missed was looked for; what was found came as an order.
    LookedBack,
    /// What is known of the room is as new as the request, and it may speak there.
    CaughtUp,
    /// The context is composed; `None` where nobody is left who could answer.
    Composed(Option<Ready>),
    /// The budget has room for a call of the model, or not.
    Reserved(Result<(), Fault>),
    /// The model writes.
    Heard {
        /// All of its text so far; empty again where it broke off and is asked for anew.
        text: String,
        /// The newest sentence of the summary of its thinking, as it wrote it; empty if there is none.
        thought: String,
        /// The model is busy; this long so far, in milliseconds.
        waiting_ms: u64,
    },
    /// The model has ended.
    Replied(Reply),
    /// Something became of the batch.
    Batch(BatchNews),
    /// A tool call ended.
    Ran {
        /// Which (`tool_use_id`).
        call: String,
        /// What it gave.
        output: Output,
        /// The pictures in it, ready for the model.
        pictures: Vec<FileContent>,
    },
    /// A call was decided about.
    Decided {
        /// Which.
        call: String,
        /// How.
        decision: Decision,
    },
    /// Whether the asker is to be told in the room that a budget is used up.
    BudgetWord(bool),
    /// What was on its way has arrived as this event; or it has not, as far as is known.
    Sent(Result<OwnedEventId, Failure>),
    /// What was journaled is on disk.
    Flushed(Flush),
    /// A refusal was held against what a sync says.
    Doubted {
        /// Whether nothing known speaks for it.
        doubted: bool,
        /// Whether the account is in the room.
        is_in: bool,
    },
    /// Something else could not be done.
    Failed(Failure),
    /// Somebody steers it.
    Order(Order),
    /// How the request reads now.
    Anew {
        /// How often edits restarted the run.
        restarts: u32,
        /// The files that belong to it.
        joined: Vec<OwnedEventId>,
        /// Who edited it last, where that restarted the run.
        editor: Option<OwnedUserId>,
    },
    /// What a call of the model cost that was cut short.
    Billed(Bill),
    /// The process stops.
    Stopping,
    /// [`Run::next_at`](super::Run::next_at) has come.
    Tick,
}

/// A composed context, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ready {
    /// The request cannot be found any more, or was redacted: there is nothing to answer.
    pub is_gone: bool,
    /// The request is a file that cannot be read, and nothing besides.
    pub unreadable: Option<Unread>,
    /// The tools that may be used.
    pub tools: Toolset,
    /// What of it can be cited.
    pub shelf: Shelf,
    /// The messages whose text it holds, where that may be known.
    pub read: Vec<OwnedEventId>,
    /// When the oldest and the newest of them were sent.
    pub read_span: Option<(Timestamp, Timestamp)>,
    /// What may be to blame where the request is refused with it (C26).
    pub suspects: Suspects,
    /// How many further models can be asked if the first one refuses.
    pub fallbacks: usize,
    /// Which of them is asked at once, because the first one refuses something of this; 0 for none.
    pub instead: usize,
    /// What was done so far was done with something that may not be read any more: it is done anew.
    pub begun_anew: bool,
}

/// How a call of the model ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// Its turn, or why there is none.
    pub turn: Result<ModelTurn, Fault>,
    /// What it used, prompt included.
    pub tokens: u64,
    /// What it cost.
    pub bill: Option<Bill>,
    /// The files of the prompt were refused; it was asked without them.
    pub files_refused: bool,
}

/// What became of a batch, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BatchNews {
    /// It is there, under this id.
    Made(String),
    /// It may be there: no reply came.
    Unsure,
    /// It brought the answer.
    Answered(Reply),
    /// It was not made, or brings no answer; what may still be there is cancelled.
    GivenUp,
}

/// Why something could not be done, as far as decisions need it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the homeserver or the store told it")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The same may succeed later without anybody's doing.
    pub is_passing: bool,
    /// The homeserver refused it (403, 404): to be doubted.
    pub is_refusal: bool,
    /// The room does not let the account do it.
    pub is_forbidden: bool,
    /// The run may not write there (A2, A4).
    pub is_misdirected: bool,
    /// It came from the homeserver, not from our store.
    pub is_of_homeserver: bool,
    /// Whether the account is in the room, as far as is known.
    pub is_in: bool,
    /// The pause that the homeserver asks for.
    pub retry_after: Option<Duration>,
}
