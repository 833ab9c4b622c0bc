//! The model and the tools: what it says, when, and what its calls do.

use std::collections::{BTreeMap, BTreeSet};

use ruma::EventId;
use serde_json::json;

use super::{
    happening::{Done, Happening},
    server::Kind,
    world::World,
};
use crate::core::{
    prompt::ToolUse,
    refused::{Part, Suspect, Suspects},
    run::{Answered, Bill, Fault, Input, Reply, RunId},
    tool::{ApprovalRule, Class, Grant, Here, Offer, Source, ToolName, Toolset},
    work::{ModelTurn, TurnStop},
};

pub(super) fn toolset() -> Toolset {
    let offer = |name: &str, class, approval, idempotent| Offer {
        name: ToolName::parse(name).expect("a name"),
        description: String::new(),
        schema: json!({ "type": "object" }),
        source: Source::Process,
        class,
        approval,
        idempotent,
    };
    let offers = [
        offer("look", Class::Read, ApprovalRule::Never, true),
        offer("act", Class::Write, ApprovalRule::Never, false),
        offer("ask", Class::Write, ApprovalRule::Asker, false),
    ];
    Toolset::resolve(&["look", "act", "ask"].map(Grant::plain), &offers, &BTreeMap::new(), &Here::default())
}

impl World {
    /// The model is asked: it streams, stalls, breaks off or calls tools.
    pub(super) fn ask(&mut self, id: &RunId, life: u32, attempt: u64) {
        let Some(live) = self.live(id) else { return };
        let (request, tool_use, number) = (live.request, live.tool_use, live.asked);
        live.asked += 1;
        let results = live.run.record().work.rounds().iter().flat_map(|round| &round.results);
        let done: BTreeSet<usize> = results.filter_map(|result| job_of(&result.call)).collect();
        let jobs = self.requests[request].jobs.clone();
        let left: Vec<usize> = (0..jobs.len()).filter(|job| !done.contains(job)).collect();
        let mut at = self.chance.between(50, 800);
        let tell = |world: &mut Self, at: u64, input: Input| {
            let what = Done::Was(Box::new(input));
            world.after(at, Happening::Done { life, run: id.clone(), attempt, what });
        };
        if self.goes_wrong(60) {
            at += 25_000;
            tell(self, at, Input::Heard { text: String::new(), thought: String::new(), waiting_ms: at });
        }
        let fault = match self.chance.below(1000) {
            0..15 => Some(Fault::Overloaded),
            15..25 => Some(Fault::BrokenOff),
            25..30 => Some(Fault::RequestRefused),
            _ => None,
        };
        if let Some(fault) = fault.filter(|_| !self.is_calm()) {
            let reply = Reply { turn: Err(fault), tokens: 0, bill: None, files_refused: false };
            return tell(self, at + 100, Input::Replied(reply));
        }
        let (mut blocks, mut stop) = (Vec::new(), TurnStop::End);
        if !left.is_empty() && tool_use == ToolUse::On {
            let many = 1 + usize::try_from(self.chance.below(3)).unwrap_or(0);
            for job in left.into_iter().take(many) {
                let call = format!("job-{job}-{number}-{life}");
                blocks
                    .push(json!({ "type": "tool_use", "id": call, "name": jobs[job].tool(), "input": { "job": job } }));
            }
        } else {
            let words = ["It is done.", "I looked at **it** and it is fine.", "One.\n\nTwo.\n\n- three\n- four"];
            let mut text = format!("Answer {number} of life {life}.");
            for _ in 0..self.chance.below(5) {
                at += self.chance.between(100, 2_500);
                text = format!("{text} {}", words[usize::try_from(self.chance.below(3)).unwrap_or(0)]);
                tell(self, at, Input::Heard { text: text.clone(), thought: text.clone(), waiting_ms: 0 });
            }
            stop = match self.chance.below(100) {
                0 => TurnStop::Refused,
                1 => TurnStop::Cut,
                2 => TurnStop::Paused,
                _ => TurnStop::End,
            };
            blocks.push(json!({ "type": "text", "text": text }));
        }
        at += self.chance.between(10, 1_000);
        let turn = ModelTurn { blocks: blocks.iter().map(ToString::to_string).collect(), stop };
        let answers = vec![Answered { input_tokens: 100, output_tokens: 10, ..Answered::default() }];
        let bill = Some(Bill { model: "model".to_owned(), refused: None, answers });
        tell(self, at, Input::Replied(Reply { turn: Ok(turn), tokens: 110, bill, files_refused: false }));
    }

    /// A tool's call takes effect in the world.
    pub(super) fn take_effect(&mut self, run: &RunId, incarnation: u32, job: usize, number: u64, asks: bool) {
        self.held.calls += 1;
        let done = self.tools.done.entry((run.clone(), incarnation, job)).or_default();
        *done += 1;
        let times = *done;
        self.write_down(run.as_str(), || format!("job {job} takes effect ({times})"));
        if times > 1 {
            self.breaks("a write is made twice");
        }
        if asks && !self.is_approved(run, number) {
            self.breaks("a call runs that nobody approved");
        }
    }

    /// Whether the asker's ✅ is on the card of a call.
    fn is_approved(&self, run: &RunId, number: u64) -> bool {
        let asker = self.request_of(run).map(|request| super::cast::person(request.asker));
        let cards = self
            .server
            .events
            .iter()
            .filter(|event| event.kind == Kind::Card(number) && event.of.as_ref().is_some_and(|(of, _)| of == run));
        cards.into_iter().any(|card| {
            let mut reactions = self.server.reactions(&card.id);
            reactions.any(|(event, key)| key == "✅" && Some(&event.sender) == asker.as_ref())
        })
    }
}

/// Returns so many parts of a prompt that may be refused, half of them new.
pub(super) fn suspects(request: &EventId, many: usize) -> Suspects {
    let part = |number: usize| Suspect {
        part: Part::Note(u32::try_from(number).unwrap_or_default()),
        room: None,
        version: None,
        by: None,
        sent_at: None,
    };
    let request = Suspect { part: Part::Event(request.to_owned()), ..part(0) };
    Suspects { parts: (0..many).map(part).collect(), newest: many / 2, request: Some(request) }
}

/// Returns which job a call is for.
pub(super) fn job_of(call: &str) -> Option<usize> {
    call.strip_prefix("job-")?.split('-').next()?.parse().ok()
}
