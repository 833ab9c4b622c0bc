//! Builds the message from its events, and holds the server to their order.

use std::collections::VecDeque;

use serde::Deserialize;

use super::{
    Delta, StreamError,
    event::{BlockDelta, Event, MessageDelta},
};
use crate::{
    claude::wire::{ContentBlock, Json, Message, StopReason, Usage},
    core::json::{self, Joining},
};

/// The message so far.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    message: Option<Message>,
    /// What each block of the content has gathered beside it, in the same order.
    gathered: Vec<Gathered>,
    /// Calls of our tools whose arguments are not JSON; an answer that was cut off may end in one.
    broken: Vec<usize>,
    /// Whether the end told how many tokens the answer has. The beginning tells no more than that it began.
    is_output_told: bool,
    complete: bool,
}

/// What a block has gathered beside its content.
#[derive(Debug, Default)]
struct Gathered {
    /// Its index, as the server counts.
    index: usize,
    input: String,
    /// A piece of `input` could not be read.
    lacks_input: bool,
    citations: Vec<Json>,
    /// Joins the pieces of its text, its thinking or its input.
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
            // Told twice, it is one; another one is not to be mixed into it.
            Event::MessageStart(again) if again.id == message.id => {}
            Event::MessageStart(_) => return Err(out_of_order("message_start", "the message had begun")),
            Event::BlockStart { index, block } => self.begin(index, block, news),
            Event::BlockDelta { index, delta } => self.add(index, delta, news),
            Event::BlockStop { index } => self.stop(index, news),
            Event::MessageDelta(MessageDelta { reason, sequence, details, container, usage }) => {
                message.stop_reason = reason.or(message.stop_reason.take());
                message.stop_sequence = sequence.or(message.stop_sequence.take());
                message.stop_details = details.or(message.stop_details.take());
                message.container = container.or(message.container.take());
                self.is_output_told |= usage.output_tokens.is_some();
                message.usage.update(usage);
            }
            Event::MessageStop => {
                if !self.is_output_told {
                    message.usage.output_tokens = None;
                }
                // An answer that reached a limit, or was refused, may end within a block.
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
        }
        Ok(())
    }

    /// Takes a block where it comes: the content's order is that of the blocks, however the server counts.
    fn begin(&mut self, index: Option<usize>, block: ContentBlock, news: &mut VecDeque<Delta>) {
        let Some(message) = &mut self.message else { return };
        let at = message.content.len();
        news.push_back(Delta::BlockStarted { index: at, kind: block.kind() });
        if let Some(model) = falls_back_to(&block) {
            // What follows is said, and charged for, by another model.
            message.model = model;
        }
        news.extend(block.as_text().filter(|text| !text.is_empty()).map(|text| Delta::Text(text.to_owned())));
        self.gathered.push(Gathered { index: index.unwrap_or(at), ..Gathered::default() });
        message.content.push(block);
    }

    /// Adds to the newest block of that index that can take it. Text that fits nowhere is a block of its own; anything
    /// else is passed over, as the official SDKs do.
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

    /// Notes that a block has stopped; one that is not open changes nothing.
    fn stop(&mut self, index: Option<usize>, news: &mut VecDeque<Delta>) {
        let is_meant = |one: &Gathered| !one.is_stopped && index.is_none_or(|index| one.index == index);
        if let Some(at) = self.gathered.iter().rposition(is_meant) {
            self.gathered[at].is_stopped = true;
            news.push_back(Delta::BlockStopped { index: at });
        }
    }

    /// Returns the message. A call of a tool that was cut off is left out, so that nobody can run it. Where the answer
    /// was not cut off, such a call keeps its arguments as the text that they are: a string is no arguments, and whoever
    /// carries out calls tells the model so.
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

/// Returns the model that answers from here on, where a block says that another one does.
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

/// Whether a block is of the type that a delta is for.
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

/// A call of a tool of ours whose arguments are not JSON, or are not all there.
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
        // The provider carries out its own tools' calls, and has understood them.
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
