//! One call of a tool, from the model's wish to its result.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{arguments::Arguments, shown};
use crate::{
    core::{
        mask::Mask,
        prompt::{Found, ToolResult},
        time::Timestamp,
        tool::{ApprovalRule, Denied, Output, Source, Tool, Toolset},
        trail::{Decision, StepOutcome, TrailStep},
    },
    prompts::{Verdict, verdict},
};

/// A call that the model made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    /// `tool_use_id`
    pub(super) id: String,
    /// The tool, as the model named it.
    pub(super) name: String,
    /// What it is called with; exactly this was shown to whoever approved it.
    pub(super) arguments: Value,
    /// Whether the model wrote arguments that can be read in more than one way; these are none then.
    #[serde(default)]
    unclear: bool,
    /// The arguments as people see them.
    shown: String,
    /// The fingerprint of the server's tool that the model read; a decision about the call holds for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meant: Option<String>,
    /// What people decided about it.
    decision: Option<Decision>,
    pub(super) state: State,
}

/// How far a call has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It waits for its turn, or for somebody's approval.
    Waiting,
    /// It is being carried out.
    Started {
        /// Since when.
        at: Timestamp,
        /// Whether it may be made again if its outcome is lost.
        idempotent: bool,
    },
    /// It has its result.
    Answered {
        /// What the model is given.
        text: String,
        /// What it found, for the model.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Found>,
        /// How it ended.
        outcome: StepOutcome,
        /// The result's beginning as people see it.
        shown: String,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
}

/// Whether a call may be carried out now.
pub(super) enum Gate<'a> {
    /// It may.
    Open(&'a Tool),
    /// Somebody has to approve it.
    Asks(&'a Tool),
    /// It may not.
    Denied(Denied),
}

impl Call {
    pub(super) fn new(id: String, name: String, arguments: Arguments, mask: &Mask) -> Self {
        let (shown, arguments, unclear) = match arguments {
            Arguments::Clear(arguments) => (shown::arguments(&arguments, mask), arguments, false),
            Arguments::Unclear(raw) => (shown::as_written(&raw, mask), Value::Object(Map::new()), true),
        };
        Self { id, name, arguments, unclear, shown, meant: None, decision: None, state: State::Waiting }
    }

    /// Binds the call to its tool as the model read it. Servers' tools may change by themselves.
    pub(super) fn bind(&mut self, tools: &Toolset) {
        let of_server = |tool: &&Tool| matches!(tool.offer.source, Source::Mcp { .. });
        let tool = tools.permit(&self.name, &self.arguments).map(|(tool, _)| tool).ok().filter(of_server);
        self.meant = tool.map(|tool| tool.offer.fingerprint());
    }

    /// Says whether it may be carried out now, whatever was said before.
    pub(super) fn gate<'a>(&'a self, tools: &'a Toolset) -> Gate<'a> {
        let tool = match tools.permit(&self.name, &self.arguments) {
            Ok((tool, _)) if tool.offer.source == Source::Provider => return Gate::Denied(Denied::NotGranted),
            Ok(_) if self.unclear => return Gate::Denied(Denied::Unclear),
            Ok((tool, _)) if self.meant.as_ref().is_some_and(|meant| *meant != tool.offer.fingerprint()) => {
                return Gate::Denied(Denied::Changed);
            }
            Ok((tool, _)) => tool,
            Err(denied) => return Gate::Denied(denied),
        };
        match (tool.rule(), &self.decision) {
            (ApprovalRule::Never, _) | (_, Some(Decision::Approved { .. })) => Gate::Open(tool),
            _ => Gate::Asks(tool),
        }
    }

    /// Notes a decision; one against it is its result.
    pub(super) fn decide(&mut self, decision: Decision, mask: &Mask) {
        let ended = match &decision {
            Decision::Approved { .. } => None,
            Decision::Declined { .. } | Decision::Left { .. } => Some((Verdict::Declined, StepOutcome::Declined)),
            Decision::Expired => Some((Verdict::Expired, StepOutcome::Expired)),
        };
        self.decision = Some(decision);
        if let Some((why, outcome)) = ended {
            self.answer(&Output::error(verdict(why)), outcome, 0, mask);
        }
    }

    /// Gives it its result.
    pub(super) fn answer(&mut self, output: &Output, outcome: StepOutcome, duration_ms: u64, mask: &Mask) {
        let output = Output { pictures: Vec::new(), ..output.clone() }.mapped(|text| mask.hide(text));
        self.state = State::Answered {
            text: shown::envelope(&self.shown_name(), &output, outcome),
            outcome,
            shown: shown::result(&shown::whole(&output)),
            found: output.found,
            duration_ms,
        };
    }

    /// Returns the call as one that is not carried out, or whose end is not waited for.
    pub(super) fn undone(mut self, outcome: StepOutcome) -> Self {
        self.answer(&Output::error(verdict(Verdict::Undone)), outcome, 0, &Mask::default());
        self
    }

    pub(super) fn outcome(&self) -> Option<StepOutcome> {
        match self.state {
            State::Answered { outcome, .. } => Some(outcome),
            State::Waiting | State::Started { .. } => None,
        }
    }

    pub(super) fn result(&self) -> Option<ToolResult> {
        match &self.state {
            State::Answered { text, found, outcome, .. } => {
                let (call, text, found) = (self.id.clone(), text.clone(), found.clone());
                Some(ToolResult { call, text, is_error: *outcome != StepOutcome::Done, found, pictures: Vec::new() })
            }
            State::Waiting | State::Started { .. } => None,
        }
    }

    /// Returns the name as people see it.
    pub(super) fn shown_name(&self) -> String {
        shown::name(&self.name)
    }

    /// Returns what the trail says of it.
    pub(super) fn step(&self) -> TrailStep {
        let (outcome, result, duration_ms) = match &self.state {
            State::Answered { outcome, shown, duration_ms, .. } => (*outcome, shown.clone(), *duration_ms),
            State::Waiting | State::Started { .. } => (StepOutcome::Stopped, String::new(), 0),
        };
        TrailStep {
            tool: self.shown_name(),
            arguments: self.shown.clone(),
            decision: self.decision.clone(),
            outcome,
            result,
            duration_ms,
        }
    }
}
