//! What a run has to be done for it.

use std::time::Duration;

use ruma::OwnedEventId;
use serde_json::{Map, Value};

use super::{Outcome, Step};
use crate::core::{
    batch::{Batch, Latency},
    budget::Full,
    event::{Outgoing, Place},
    prompt::ToolUse,
    refused::{Breadth, Suspect},
    tool::Pending,
    tool::Tool,
};

/// Something to be done. What goes on for a while is begun, and its end is an [`Input`](super::Input); what fails is
/// [`Input::Failed`](super::Input::Failed), or a failed [`Input::Sent`](super::Input::Sent) where it was to send.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Wait in line. Goes on whatever is cut off.
    AwaitTurn,
    /// Count who is before it.
    CountAhead,
    /// Wait until the request is not being edited.
    AwaitQuiet,
    /// Wait until the homeserver answers again, so long at the most.
    AwaitHomeserver(Duration),
    /// Give the places in the room and over all back, and keep the thread.
    Park,
    /// Wait until all places are held.
    Unpark,
    /// Open the account that answers.
    Open,
    /// Look for orders that nobody heard.
    LookBack,
    /// Learn what the room is like now.
    CatchUp(CatchUp),
    /// Show people that the request is read and worked on, until [`Effect::CutOff`] or the end.
    ShowPresence,
    /// Read the room and compose the context.
    Compose(Breadth),
    /// Reserve what asking the model may cost, with the work so far behind the context.
    Reserve(ToolUse, Latency),
    /// Ask the model.
    Ask,
    /// Send what is to be asked as a batch.
    SendBatch(Batch),
    /// Wait until the batch ends or is given up; look for it if it is not known whether it was made.
    AwaitBatch(Batch),
    /// Take the files out of the context: the provider refused them.
    LeaveOutFiles,
    /// Carry out a tool call.
    Call(Start),
    /// Ask people about a call, by a card.
    Approve(Pending),
    /// Store the record. Its failing ends the attempt.
    Journal,
    /// Store the record, if that is possible.
    TryToJournal,
    /// Bring what was stored to the disk.
    Flush(Flush),
    /// Send a message.
    Send(Step, Outgoing),
    /// Replace a message.
    Edit(Step, OwnedEventId, Outgoing),
    /// Send the whole of an answer, as a file.
    SendFile(String, Place),
    /// Post the files that code made at the provider. It has been done once the message `behind` which they stand counts
    /// as sent again.
    PostMade {
        /// Their ids.
        made: Vec<String>,
        /// Where they go.
        place: Place,
        /// The answer.
        behind: OwnedEventId,
    },
    /// People may react to this event now, and mean the run.
    Shown(OwnedEventId),
    /// Note that this event is the run's.
    NotePosted(OwnedEventId),
    /// Look for a 🔁 on the answer that nobody heard.
    LookForAgain(OwnedEventId),
    /// Leave these out of later requests: the provider refused them, in the category that it named, if any.
    NoteRefused(Vec<Suspect>, Option<String>),
    /// The provider took the request.
    NoteTaken,
    /// The model that is asked began to answer the request, with no results of tools yet.
    NoteWhoTook,
    /// Find out whether the asker is to be told that a budget is used up.
    WeighBudgetWord(Full),
    /// End the cards that are out.
    CloseCards,
    /// Find out how the request reads now.
    ReadAnew,
    /// Hold the last refusal against what a sync says.
    Doubt,
    /// Break off whatever goes on for this attempt.
    CutOff,
    /// That it was stopped could not be said: owe it.
    OweStop(Outgoing),
    /// Tell the operator.
    Log(Remark),
    /// The run is over.
    End(End),
}

/// What the room has to be known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// To read it.
    ToRead,
    /// To say an answer that is there.
    ToSay,
}

/// Whose turn it is when something is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// That it is composed: a crash from here on is counted.
    Entered,
    /// That something is about to be sent, which may be there whatever is heard of it.
    Post,
    /// The answer.
    Answer,
    /// That calls begin that must not be made twice.
    Begun,
    /// What calls gave that must not be made twice.
    Done,
    /// That a batch is about to be sent, or its id.
    Batch,
}

/// A tool call to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    /// `tool_use_id`
    pub call: String,
    /// The tool.
    pub tool: Tool,
    /// What it is called with.
    pub arguments: Map<String, Value>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// What became of it.
    pub outcome: Outcome,
    /// Its last message.
    pub answer: Option<OwnedEventId>,
    /// The asker learns nothing in the room.
    pub unheard: bool,
    /// Its answer is kept: it is in the room, which does not let it speak.
    pub keeps_answer: bool,
    /// The request is gone: so is everything that was said of it.
    pub taken_back: bool,
}

/// What operators are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// It waits for the homeserver.
    Waits,
    /// It may not write there.
    MayNotWrite,
    /// The room does not let it say anything.
    RoomRefuses,
    /// It cannot say anything any more.
    CannotSay,
    /// It failed; its asker is told.
    Fails,
    /// It was under way in too many crashes.
    CutOff,
    /// The request was edited.
    BeginsAnew,
    /// The request is gone.
    RequestGone,
    /// The rounds are sent without thinking.
    WithoutThinking,
    /// Another model is asked what the first one refused.
    AsksAnother,
    /// What is to blame for a refusal is searched for.
    Searches,
    /// This much is left out from now on.
    LeavesOut(usize),
    /// Its batch brings no answer.
    BatchGivenUp,
    /// Calls can neither be carried out nor be answered.
    CallsStuck,
    /// What it shows beside its work cannot be shown.
    CannotShow,
    /// That it was stopped cannot be said yet.
    StopUnsaid,
}
