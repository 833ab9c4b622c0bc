//! The loop of one run: the model asks for tools, they are carried out, their results go back, until it answers.
//!
//! [`Work`] is what the loop has come to. It takes the model's turns, what became of calls and what people decided,
//! and says what is next; it does nothing itself. It is journaled with the run, so that a crash at any place repeats
//! no call whose outcome is unknown, unless the tool says that it may be repeated.
//!
//! Whatever happens, each call gets exactly one result, in the order of the calls, in one message.

mod arguments;
mod call;
mod ids;
mod said;
mod shown;
mod sources;
mod stowed;
mod telling;
#[cfg(test)]
mod tests;

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use said::{ModelTurn, TurnStop};

use self::{
    call::{Call, Gate, State},
    said::Said,
    sources::Origins,
    stowed::Stowed,
};
use super::{
    citing::{Cited, Shelf},
    computing,
    fault::{Fault, Stop},
    mask::Mask,
    prompt::{FileContent, Found, Prompt, Round, ToolDefinition, ToolResult, ToolUse},
    time::Timestamp,
    tool::{Output, Pending, Tool, Toolset},
    trail::{Decision, StepOutcome, TrailStep},
};
use crate::prompts::{self, Verdict, verdict};

/// Calls of one turn that are looked at; the others are denied.
pub(crate) const CALLS_OF_A_TURN_MAX: usize = 32;
/// How often the provider may pause its own loop in one run.
pub(crate) const PAUSES_MAX: usize = 5;
/// So many failures in a row, in more than one round, end a run.
pub(crate) const FAILURES_MAX: usize = 3;

/// Messages that tools read and the index names; a search of a busy room finds thousands.
pub(crate) const READ_MAX: usize = 2_000;

/// What binds the loop.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The coworker's tools.
    pub tools: &'a Toolset,
    /// Hides secrets in what is shown and in what the model is given.
    pub mask: &'a Mask,
    /// What the prompt holds that can be cited.
    pub shelf: &'a Shelf,
    /// So often the model is asked with tools; then once more without (`limits.tool_rounds_max`).
    pub rounds_max: u32,
    /// Tokens of all the model's turns together (`limits.run_tokens_max`).
    pub tokens_max: u64,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the model, with [`Work::rounds`] behind the transcript.
    Ask(ToolUse),
    /// Carry out calls: see [`Work::ready`] and [`Work::pending`].
    Calls,
    /// The run ends: with an answer, or with plain words.
    End(Result<(String, Stop), Fault>),
}

/// How far the loop has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    rounds: Vec<Round>,
    /// The turn whose calls are being carried out.
    open: Option<Open>,
    steps: Vec<TrailStep>,
    asked: u32,
    tokens: u64,
    failures: Failures,
    /// The room's messages that calls returned.
    read: Vec<OwnedEventId>,
    /// The ids of the files that code made at the provider, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    made: Vec<String>,
    /// Whether what the provider's own tools found was refused, so that it answers without any.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unaided: bool,
    /// The sources of the answer, once it is there, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cited: Vec<Cited>,
    /// What is too large to be journaled with every step.
    #[serde(skip)]
    stowed: Stowed,
}

/// A turn of the model with calls that are not all answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    said: Vec<String>,
    calls: Vec<Call>,
}

/// The calls that failed since the last one that did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    calls: usize,
    /// Over how many rounds they are spread: the model has seen those of all but the last.
    rounds: usize,
}

impl Failures {
    fn add(&mut self, calls: &[Call]) {
        let fine = calls.iter().rposition(|call| call.outcome() == Some(StepOutcome::Done));
        match fine {
            None => *self = Self { calls: self.calls + calls.len(), rounds: self.rounds + 1 },
            Some(at) => {
                let since = calls.len() - at - 1;
                *self = Self { calls: since, rounds: usize::from(since > 0) };
            }
        }
    }

    fn are_too_many(self) -> bool {
        self.calls >= FAILURES_MAX && self.rounds > 1
    }
}

/// Tells the model of its tools, and how to treat what they say. A prompt without tools stays as it is.
pub(crate) fn equip(prompt: &mut Prompt, tools: &Toolset) {
    if tools.is_empty() {
        return;
    }
    let is_skill =
        |tool: &ToolDefinition| matches!(tool, ToolDefinition::Provider(raw) if raw["type"] == computing::SKILL);
    let (skills, tools): (Vec<_>, Vec<_>) = tools.definitions().into_iter().partition(is_skill);
    prompt.tools = tools;
    prompt.computing.skills = skills.iter().filter_map(ToolDefinition::skill_id).collect();
    if let Some(instructions) = prompt.system.first_mut() {
        instructions.push_str("\n\n");
        instructions.push_str(prompts::tools());
        if prompt.tools.iter().any(ToolDefinition::is_code_execution) {
            instructions.push_str("\n\n");
            instructions.push_str(prompts::computing());
        }
    }
}

impl Work {
    /// Returns what the model did so far, each turn with the results of its calls.
    #[must_use]
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// Returns the same as it goes to the model: with large results and pictures, as far as this process has them.
    #[must_use]
    pub fn rounds_whole(&self) -> Vec<Round> {
        self.stowed.rounds(&self.rounds)
    }

    /// Takes all pictures out of what goes to the model, and writes what tools found as text: the provider refused them.
    pub fn drop_pictures(&mut self) {
        self.stowed.drop_pictures();
        self.rounds.iter_mut().flat_map(|round| &mut round.results).for_each(ToolResult::flatten);
    }

    /// Puts the pictures of a call's result beside it, ready for the model.
    pub fn show(&mut self, id: &str, pictures: Vec<FileContent>) {
        self.stowed.show(id, pictures);
    }

    /// Returns the steps that were taken, in order; those of the turn that is being worked on come at its end.
    #[must_use]
    pub fn steps(&self) -> &[TrailStep] {
        &self.steps
    }

    /// Returns the ids of the files that code made at the provider, in order, each once.
    #[must_use]
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// Returns the sources of the answer, in the order of their numbers.
    #[must_use]
    pub fn cited(&self) -> &[Cited] {
        &self.cited
    }

    /// Returns the room's messages that calls returned, each once.
    #[must_use]
    pub fn read(&self) -> &[OwnedEventId] {
        &self.read
    }

    /// Whether nothing has happened yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is next.
    #[must_use]
    pub fn next(&self, terms: &Terms<'_>) -> Next {
        if self.open.is_some() {
            return Next::Calls;
        }
        if self.failures.are_too_many() {
            return Next::End(Err(Fault::ToolsFailed));
        }
        Next::Ask(self.tool_use(terms))
    }

    fn tool_use(&self, terms: &Terms<'_>) -> ToolUse {
        if self.asked < terms.rounds_max && !self.unaided { ToolUse::On } else { ToolUse::Off }
    }

    /// Takes a turn of the model, which used so many tokens, prompt included.
    #[must_use]
    pub fn take(&mut self, turn: &ModelTurn, tokens: u64, terms: &Terms<'_>) -> Next {
        let tool_use = self.tool_use(terms);
        // A refused turn did not use its turn.
        self.asked = self.asked.saturating_add(u32::from(turn.stop != TurnStop::Refused));
        self.tokens = self.tokens.saturating_add(tokens);
        let known = self.rounds.iter().flat_map(|round| &round.results).map(|result| result.call.as_str());
        let turn = &ModelTurn { blocks: ids::made_unique(&turn.blocks, known), stop: turn.stop };
        let said = self.heard(&turn.blocks, &turn.blocks, terms);
        self.steps.extend(said::server_steps(&said, terms.mask));
        computing::add_made(&mut self.made, said::made_files(&said));
        let mut calls = said::calls(&said, terms.mask);
        for call in &mut calls {
            call.bind(terms.tools);
        }
        let end = match turn.stop {
            TurnStop::Refused | TurnStop::Filtered => Ok((String::new(), Stop::Refused)),
            TurnStop::Cut if calls.is_empty() => Ok((self.answer(&said, terms), Stop::Cut)),
            // What the model began to call stays undone: its arguments may lack their end.
            TurnStop::Cut => Err(Fault::CallCut),
            TurnStop::Paused if calls.is_empty() => return self.pause(turn, &said, terms),
            TurnStop::Paused | TurnStop::End if calls.is_empty() => Ok((self.answer(&said, terms), Stop::End)),
            TurnStop::Paused | TurnStop::End if self.tokens >= terms.tokens_max => Err(Fault::WorkTooLong),
            TurnStop::Paused | TurnStop::End if tool_use == ToolUse::Off => Err(Fault::WorkTooLong),
            TurnStop::Paused | TurnStop::End => {
                let said = self.stowed.stow(said::echoed(turn, &said));
                self.open = Some(Open { said, calls });
                self.settle(terms);
                return self.next(terms);
            }
        };
        self.steps.extend(calls.into_iter().map(|call| call.undone(StepOutcome::Stopped).step()));
        Next::End(end)
    }

    /// The provider paused its own loop: what it said is sent back, and it goes on.
    fn pause(&mut self, turn: &ModelTurn, said: &[Said], terms: &Terms<'_>) -> Next {
        let pauses = self.rounds.iter().filter(|round| round.results.is_empty()).count();
        if pauses >= PAUSES_MAX || self.tokens >= terms.tokens_max {
            return Next::End(Ok((self.answer(said, terms), Stop::Unfinished)));
        }
        let echoed = self.stowed.stow(said::echoed(turn, said));
        self.rounds.push(Round { said: echoed, results: Vec::new() });
        self.next(terms)
    }

    /// Returns the answer, and keeps its sources: this turn's text behind that of its paused beginnings. Where the model
    /// has nothing to add to what it said beside its last calls, that is the answer.
    fn answer(&mut self, last: &[Said], terms: &Terms<'_>) -> String {
        let mut before = self.rounds.iter().rev();
        let paused: Vec<&Round> = before.by_ref().take_while(|round| round.results.is_empty()).collect();
        let whole: Vec<Said> = paused
            .into_iter()
            .rev()
            .flat_map(|round| self.heard(&round.said, &[], terms))
            .chain(last.to_vec())
            .collect();
        let earlier = self.rounds.iter().rev().map(|round| telling::told(&self.heard(&round.said, &[], terms)));
        let mut texts = std::iter::once(telling::told(&whole)).chain(earlier);
        let (text, cited) = texts.find(|(text, _)| !text.trim().is_empty()).unwrap_or_default();
        // A secret that a tool told in pieces can be put together again by the model.
        let hide = |text: &String| terms.mask.hide(text);
        let hidden = cited.iter().map(|cited| Cited {
            name: hide(&cited.name),
            link: cited.link.as_ref().map(hide),
            words: hide(&cited.words),
        });
        self.cited = hidden.collect();
        terms.mask.hide(&text)
    }

    /// Reads blocks, with the sources of what they cite: documents of the prompt, what tools found, pages that earlier
    /// rounds fetched, or `newest`.
    fn heard(&self, blocks: &[String], newest: &[String], terms: &Terms<'_>) -> Vec<Said> {
        let mut said = said::read_all(blocks);
        // Fetched files of megabytes are gone through for it.
        if !blocks.iter().any(|raw| sources::may_cite(raw)) {
            return said;
        }
        let earlier: Vec<String> = self.rounds.iter().flat_map(|round| self.stowed.whole(&round.said)).collect();
        let pages = sources::pages(earlier.iter().chain(newest));
        let results = self.rounds.iter().flat_map(|round| &round.results);
        let found: Vec<&Found> = results.flat_map(|result| &result.found).collect();
        let origins = Origins { shelf: terms.shelf, pages: &pages, found: &found, read: &self.read };
        for (raw, said) in blocks.iter().zip(&mut said) {
            if let Said::Text { sources, .. } = said {
                *sources = sources::cited(raw, &origins);
            }
        }
        said
    }

    /// Answers the calls that may not be carried out, and closes the round where none is left.
    fn settle(&mut self, terms: &Terms<'_>) {
        let Some(open) = &mut self.open else { return };
        for (at, call) in open.calls.iter_mut().enumerate() {
            let (why, outcome) = match call.gate(terms.tools) {
                _ if call.state != State::Waiting => continue,
                _ if at >= CALLS_OF_A_TURN_MAX => (verdict(Verdict::TooManyCalls).to_owned(), StepOutcome::Surplus),
                Gate::Denied(denied) => (shown::denied(denied, terms.tools), denied.into()),
                Gate::Open(_) | Gate::Asks(_) => continue,
            };
            call.answer(&Output::error(why), outcome, 0, terms.mask);
        }
        self.close();
    }

    /// Returns the ids of the calls that may be carried out now, in order.
    #[must_use]
    pub fn ready(&self, terms: &Terms<'_>) -> Vec<String> {
        let waiting = self.waiting();
        let ready = waiting.filter(|call| matches!(call.gate(terms.tools), Gate::Open(_)));
        ready.map(|call| call.id.clone()).collect()
    }

    /// Returns the calls that wait for somebody's approval, in order.
    #[must_use]
    pub fn pending(&self, terms: &Terms<'_>) -> Vec<Pending> {
        let pending = self.waiting().filter_map(|call| match call.gate(terms.tools) {
            Gate::Asks(tool) => Some(Pending {
                call: call.id.clone(),
                tool: tool.offer.name.clone(),
                class: tool.class,
                rule: tool.rule(),
                arguments: call.arguments.clone(),
            }),
            _ => None,
        });
        pending.collect()
    }

    fn waiting(&self) -> impl Iterator<Item = &Call> {
        let calls = self.open.iter().flat_map(|open| &open.calls);
        calls.filter(|call| call.state == State::Waiting)
    }

    /// Notes what people decided about a call that asked for it.
    pub fn decide(&mut self, id: &str, decision: Decision, terms: &Terms<'_>) {
        let Some(call) = self.call_mut(id).filter(|call| call.state == State::Waiting) else { return };
        call.decide(decision, terms.mask);
        self.settle(terms);
    }

    /// Notes that a call begins, and returns what is to be carried out; `None` where it may not be, any more.
    ///
    /// The journal has to hold this before the call is made.
    pub fn start(&mut self, id: &str, terms: &Terms<'_>, now: Timestamp) -> Option<(Tool, Map<String, Value>)> {
        let call = self.call_mut(id).filter(|call| call.state == State::Waiting)?;
        let Gate::Open(tool) = call.gate(terms.tools) else {
            self.settle(terms);
            return None;
        };
        let tool = tool.clone();
        call.state = State::Started { at: now, idempotent: tool.idempotent };
        Some((tool, call.arguments.as_object()?.clone()))
    }

    /// Takes what a call gave back. A second result of the same call is dropped.
    pub fn finish(&mut self, id: &str, output: Output, terms: &Terms<'_>, now: Timestamp) {
        let Some(call) = self.call_mut(id) else { return };
        let State::Started { at, .. } = call.state else { return };
        let bytes_max = terms.tools.permit(&call.name, &call.arguments).map(|(tool, _)| tool.output_bytes_max);
        for event in &output.read {
            if self.read.len() < READ_MAX && !self.read.contains(event) {
                self.read.push(event.clone());
            }
        }
        let Some(call) = self.call_mut(id) else { return };
        let output = output.cut(bytes_max.unwrap_or(super::tool::OUTPUT_BYTES_MAX));
        let outcome = if output.is_error { StepOutcome::Failed } else { StepOutcome::Done };
        call.answer(&output, outcome, now.ms_since(at), terms.mask);
        self.close();
    }

    fn call_mut(&mut self, id: &str) -> Option<&mut Call> {
        self.open.as_mut()?.calls.iter_mut().find(|call| call.id == id)
    }

    /// Takes the loop up behind an interruption: what was being carried out then may have taken effect, or not.
    pub fn take_up(&mut self, terms: &Terms<'_>) {
        for call in self.open.iter_mut().flat_map(|open| &mut open.calls) {
            match call.state {
                State::Started { idempotent: true, .. } => call.state = State::Waiting,
                State::Started { idempotent: false, .. } => {
                    call.answer(&Output::error(verdict(Verdict::OutcomeUnknown)), StepOutcome::Unknown, 0, terms.mask);
                }
                State::Waiting | State::Answered { .. } => {}
            }
        }
        self.settle(terms);
    }

    /// Ends the loop where it is: every call that has no result yet gets one, and none is carried out any more.
    pub fn stop(&mut self) {
        for call in self.open.iter_mut().flat_map(|open| &mut open.calls) {
            if !matches!(call.state, State::Answered { .. }) {
                let undone = call.clone().undone(StepOutcome::Stopped);
                *call = undone;
            }
        }
        self.close();
    }

    /// Begins again from the request, which was changed. What was done stays in the trail.
    pub fn begin_anew(&mut self) {
        self.stop();
        *self = Self {
            steps: std::mem::take(&mut self.steps),
            read: std::mem::take(&mut self.read),
            tokens: self.tokens,
            ..Self::default()
        };
    }

    /// Counts tokens that were used beside the loop.
    pub(crate) fn pay(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Returns whether as many tokens are used as a run may.
    #[must_use]
    pub(crate) fn is_worn_out(&self, terms: &Terms<'_>) -> bool {
        self.tokens >= terms.tokens_max
    }

    /// Takes what tools brought last out of what goes to the model, because the provider refused it (C26): what its own
    /// tools found in the refused turn, if it `looked_up` something; else the newest results; else all of them. Returns
    /// whether there was anything.
    pub(crate) fn withhold(&mut self, looked_up: bool) -> bool {
        if looked_up && !self.unaided {
            self.unaided = true;
            return true;
        }
        let with_results = || self.rounds.iter().rposition(|round| !round.results.is_empty());
        let Some(newest) = with_results() else { return false };
        if self.withhold_of(newest) {
            return true;
        }
        let found = (0..newest).fold(false, |found, at| self.withhold_of(at) | found);
        if found {
            // It stands behind results that read otherwise now.
            self.strip_thinking();
        }
        found
    }

    fn withhold_of(&mut self, at: usize) -> bool {
        let mark = verdict(Verdict::Withheld);
        let mut found = false;
        for result in self.rounds.get_mut(at).into_iter().flat_map(|round| &mut round.results) {
            if result.text != mark {
                mark.clone_into(&mut result.text);
                result.found.clear();
                self.stowed.show(&result.call, Vec::new());
                found = true;
            }
        }
        found
    }

    /// Takes all thinking out of the rounds: the provider ties it to what stood before it, and that has changed.
    /// Returns whether there was any.
    pub fn strip_thinking(&mut self) -> bool {
        let mut found = false;
        for round in &mut self.rounds {
            let before = round.said.len();
            round.said.retain(|raw| !Said::read(raw).is_thinking());
            found |= round.said.len() < before;
        }
        // What was nothing but thinking says nothing now.
        self.rounds.retain(|round| !round.said.is_empty());
        found
    }

    /// Returns the tools whose calls wait for somebody's approval, in order, each once.
    #[must_use]
    pub fn asked_about(&self, terms: &Terms<'_>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for pending in self.pending(terms) {
            if !names.iter().any(|name| name == pending.tool.as_str()) {
                names.push(pending.tool.as_str().to_owned());
            }
        }
        names
    }

    /// Returns how many steps are done, and the names of the tools that are being used.
    #[must_use]
    pub fn progress(&self) -> (usize, Vec<String>) {
        let calls = || self.open.iter().flat_map(|open| &open.calls);
        let done = calls().filter(|call| call.outcome().is_some()).count();
        let running = calls().filter(|call| matches!(call.state, State::Started { .. }));
        (self.steps.len() + done, running.map(Call::shown_name).collect())
    }

    /// Once each call of the turn has its result, the turn is a round.
    fn close(&mut self) {
        let results = |open: &Open| open.calls.iter().map(Call::result).collect::<Option<Vec<_>>>();
        let Some(results) = self.open.as_ref().and_then(results) else { return };
        let Some(open) = self.open.take() else { return };
        self.failures.add(&open.calls);
        self.steps.extend(open.calls.iter().map(Call::step));
        self.rounds.push(Round { said: open.said, results });
    }
}
