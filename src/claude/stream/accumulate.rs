//! Builds the message from events, and enforces their order.

use std::collections::VecDeque;

use serde::Deserialize;

use super::{
    Delta, StreamError,
    event::{BlockDelta, Event, MessageDelta},
};
use crate::{
    claude::wire::{Container, ContentBlock, Json, Message, StopReason, Usage},
    core::json::{self, Joining},
};

/// The message so far.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    message: Option<Message>,
    /// For each content block, in order, what was gathered for it.
    gathered: Vec<Gathered>,
    /// Indexes of our tools' calls with invalid JSON; an answer that was cut off may end with one.
    broken: Vec<usize>,
    /// Whether the end reported the answer's tokens; the beginning's number is meaningless.
    is_output_told: bool,
    /// Whether a `message_delta` said why the message ended.
    is_end_told: bool,
    complete: bool,
}

/// What was gathered for a block.
#[derive(Debug, Default)]
struct Gathered {
    /// The server's index of it.
    index: usize,
    input: String,
    /// Whether a piece of `input` could not be read.
    lacks_input: bool,
    citations: Vec<Json>,
    /// Joins the pieces of its text, thinking or input.
    joining: Joining,
    is_stopped: bool,
}

impl Accumulator {
    pub(super) fn is_begun(&self) -> bool {
        self.message.is_some()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn usage(&self) -> Usage {
        self.message.as_ref().map(|message| message.usage.clone()).unwrap_or_default()
    }

    pub(super) fn container(&self) -> Option<Container> {
        Container::read(self.message.as_ref()?.container.as_ref()?)
    }

    pub(super) fn made_files(&self) -> Vec<String> {
        let blocks = self.message.iter().flat_map(|message| &message.content);
        blocks.flat_map(ContentBlock::made_files).collect()
    }

    pub(super) fn take(&mut self, event: Event, news: &mut VecDeque<Delta>) -> Result<(), StreamError> {
        let Some(message) = &mut self.message else {
            return match event {
                Event::MessageStart(message) => {
                    news.push_back(Delta::Started { id: message.id.clone(), model: message.model.clone() });
                    let begun = |index| Gathered { index, ..Gathered::default() };
                    self.gathered = (0..message.content.len()).map(begun).collect();
                    self.message = Some(message);
                    Ok(())
                }
                Event::BlockStop { .. } => Ok(()),
                event => Err(out_of_order(name(&event), "the message had not begun")),
            };
        };
        match event {
            // A repeated start is the same message; a different one must not be mixed in.
            Event::MessageStart(again) if again.id == message.id => {}
            Event::MessageStart(_) => return Err(out_of_order("message_start", "the message had begun")),
            Event::BlockStart { index, block } => self.begin(index, block, news),
            Event::BlockDelta { index, delta } => self.add(index, delta, news),
            Event::BlockStop { index } => self.stop(index, news),
            Event::MessageDelta(MessageDelta { reason, sequence, details, container, usage }) => {
                self.is_end_told |= reason.is_some();
                message.stop_reason = reason.or(message.stop_reason.take());
                message.stop_sequence = sequence.or(message.stop_sequence.take());
                message.stop_details = details.or(message.stop_details.take());
                message.container = container.or(message.container.take());
                self.is_output_told |= usage.output_tokens.is_some();
                message.usage.update(usage);
            }
            Event::MessageStop => self.complete(news),
        }
        Ok(())
    }

    /// Takes the clean end of the stream. Some gateways omit `message_stop`; the message is whole without it if every
    /// block was and it was said why it ended.
    pub(super) fn end(&mut self, news: &mut VecDeque<Delta>) {
        if !self.complete && self.is_end_told && self.gathered.iter().all(|gathered| gathered.is_stopped) {
            self.complete(news);
        }
    }

    fn complete(&mut self, news: &mut VecDeque<Delta>) {
        let Some(message) = &mut self.message else { return };
        if !self.is_output_told {
            message.usage.output_tokens = None;
        }
        // An answer that reached a limit or was refused may end inside a block.
        for (at, (gathered, block)) in self.gathered.drain(..).zip(&mut message.content).enumerate() {
            if !gathered.is_stopped {
                news.push_back(Delta::BlockStopped { index: at });
            }
            if close(gathered, block).is_err() {
                self.broken.push(at);
            }
        }
        self.complete = true;
    }

    /// Appends a block: blocks keep their order of arrival, whatever their indexes.
    fn begin(&mut self, index: Option<usize>, block: ContentBlock, news: &mut VecDeque<Delta>) {
        let Some(message) = &mut self.message else { return };
        let at = message.content.len();
        news.push_back(Delta::BlockStarted { index: at, kind: block.kind() });
        if let Some(model) = falls_back_to(&block) {
            // From here on another model answers, and bills.
            message.model = model;
        }
        news.extend(block.as_text().filter(|text| !text.is_empty()).map(|text| Delta::Text(text.to_owned())));
        self.gathered.push(Gathered { index: index.unwrap_or(at), ..Gathered::default() });
        message.content.push(block);
    }

    /// Adds a delta to the newest block of that index and type. Text without such a block becomes its own; other deltas
    /// are ignored, as the official SDKs do.
    fn add(&mut self, index: Option<usize>, delta: BlockDelta, news: &mut VecDeque<Delta>) {
        let Some(message) = &mut self.message else { return };
        let is_meant = |at: &usize| index.is_none_or(|index| self.gathered[*at].index == index);
        let meant = || (0..message.content.len()).rev().filter(is_meant);
        let found = meant().find(|at| takes(&message.content[*at], &delta));
        let is_unknown = |block: &ContentBlock| matches!(block, ContentBlock::Other(_)) && !block.kind().is_empty();
        if let Some(at) = found {
            news.extend(apply(at, &mut self.gathered[at], &mut message.content[at], delta));
            return;
        }
        let says = matches!(&delta, BlockDelta::Text(text) if !text.is_empty());
        if says && !meant().any(|at| is_unknown(&message.content[at])) {
            self.begin(index, ContentBlock::text(""), news);
            self.add(index, delta, news);
        }
    }

    /// Marks a block as stopped; ignores one that is not open.
    fn stop(&mut self, index: Option<usize>, news: &mut VecDeque<Delta>) {
        let is_meant = |one: &Gathered| !one.is_stopped && index.is_none_or(|index| one.index == index);
        if let Some(at) = self.gathered.iter().rposition(is_meant) {
            self.gathered[at].is_stopped = true;
            news.push_back(Delta::BlockStopped { index: at });
        }
    }

    /// Returns the message. A tool call that was cut off is dropped, so that nobody can run it. If the answer itself is
    /// complete, such a call keeps its arguments as a string, which is not valid, and the tool loop tells the model so.
    pub(super) fn finish(self) -> Result<Message, StreamError> {
        let Some(mut message) = self.message.filter(|_| self.complete) else {
            return Err(StreamError::EndedEarly);
        };
        if message.stop_reason.as_ref().is_some_and(StopReason::is_cut_off) {
            let mut index = 0..;
            message.content.retain(|_| index.next().is_some_and(|index| !self.broken.contains(&index)));
        }
        Ok(message)
    }
}

/// Returns the model that answers from here on, if a block announces a fallback.
fn falls_back_to(block: &ContentBlock) -> Option<String> {
    #[derive(Deserialize)]
    struct To {
        model: String,
    }
    let ContentBlock::Other(fields) = block else { return None };
    if block.kind() != "fallback" {
        return None;
    }
    fields.get("to")?.read::<To>().ok().map(|to| to.model)
}

/// Returns whether a block is of the delta's type.
fn takes(block: &ContentBlock, delta: &BlockDelta) -> bool {
    match delta {
        BlockDelta::Text(_) | BlockDelta::Citation(_) => matches!(block, ContentBlock::Text { .. }),
        BlockDelta::Thinking(_) | BlockDelta::Signature(_) => matches!(block, ContentBlock::Thinking { .. }),
        BlockDelta::Input(_) => matches!(block, ContentBlock::ToolUse { .. } | ContentBlock::Other(_)),
        BlockDelta::Compaction(_) => matches!(block, ContentBlock::Other(_)),
        BlockDelta::Unknown => false,
    }
}

fn apply(at: usize, gathered: &mut Gathered, block: &mut ContentBlock, delta: BlockDelta) -> Option<Delta> {
    match (delta, block) {
        (BlockDelta::Text(more), ContentBlock::Text { text, .. }) => {
            let more = gathered.joining.join(more);
            text.push_str(&more);
            (!more.is_empty()).then_some(Delta::Text(more))
        }
        (BlockDelta::Thinking(more), ContentBlock::Thinking { thinking, .. }) => {
            let more = gathered.joining.join(more);
            thinking.push_str(&more);
            Some(Delta::Thinking(more))
        }
        (BlockDelta::Signature(new), ContentBlock::Thinking { signature, .. }) => {
            *signature = Some(new);
            None
        }
        (BlockDelta::Input(Some(more)), _) => {
            let more = gathered.joining.join(more);
            gathered.input.push_str(&more);
            Some(Delta::ToolInput { index: at })
        }
        (BlockDelta::Input(None), _) => {
            gathered.lacks_input = true;
            None
        }
        (BlockDelta::Compaction(summary), ContentBlock::Other(fields)) => {
            for (name, value) in summary.iter().filter(|(name, _)| *name != "type") {
                fields.set(name, value.clone());
            }
            None
        }
        (BlockDelta::Citation(citation), _) => {
            gathered.citations.push(citation);
            None
        }
        _ => None,
    }
}

/// A call of one of our tools with incomplete or invalid JSON arguments.
struct Broken;

fn close(mut gathered: Gathered, block: &mut ContentBlock) -> Result<(), Broken> {
    let rest = gathered.joining.end();
    match block {
        ContentBlock::Text { text, .. } => text.extend(rest),
        ContentBlock::Thinking { thinking, .. } => thinking.extend(rest),
        _ => gathered.input.extend(rest),
    }
    if !gathered.citations.is_empty()
        && let Some(rest) = block.rest_mut()
    {
        let mut citations: Vec<Json> =
            rest.get("citations").and_then(|known| known.read::<Option<_>>().ok()?).unwrap_or_default();
        citations.extend(gathered.citations);
        rest.set("citations", Json::of(&citations));
    }
    if gathered.input.trim().is_empty() && !gathered.lacks_input {
        return Ok(());
    }
    match (Json::parse(&json::paired(gathered.input.trim())), block) {
        (Ok(parsed), ContentBlock::ToolUse { input, .. }) if !gathered.lacks_input => *input = parsed,
        (_, ContentBlock::ToolUse { input, .. }) => {
            *input = Json::of(&gathered.input);
            return Err(Broken);
        }
        (Ok(parsed), ContentBlock::Other(fields)) => fields.set("input", parsed),
        // The provider runs its own tools' calls, so it has understood them.
        (Ok(_) | Err(_), _) => {}
    }
    Ok(())
}

fn out_of_order(event: &'static str, reason: &'static str) -> StreamError {
    StreamError::OutOfOrder { event, reason }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::MessageStart(_) => "message_start",
        Event::BlockStart { .. } => "content_block_start",
        Event::BlockDelta { .. } => "content_block_delta",
        Event::BlockStop { .. } => "content_block_stop",
        Event::MessageDelta(_) => "message_delta",
        Event::MessageStop => "message_stop",
    }
}
