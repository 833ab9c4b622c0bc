//! What has to hold.

use std::collections::BTreeMap;

use ruma::OwnedEventId;

use super::{
    cast::{Request, assistant, chat, coworker},
    disk::Ended,
    server::{Event, Kind},
    world::World,
};
use crate::core::run::{Outcome, RunId, Step};

impl World {
    /// What is about to be sent, the disk has to know of.
    pub(super) fn check_durable(&mut self, id: &RunId, step: Step, is_edit: bool) {
        let Some(live) = self.live(id) else { return };
        let (has_answer, stops) = (live.run.record().answer.is_some(), step == Step::Stopped);
        let known = self.disk.durable.runs.get(id);
        let begun = match step {
            Step::Status => known.is_some_and(|kept| kept.record.status_begun),
            Step::Answer if !has_answer => known.is_some_and(|kept| kept.record.answer_begun.is_some()),
            _ => true,
        };
        if !is_edit && !begun && !stops {
            self.breaks("something is sent that the disk does not know of");
        }
    }

    /// What works holds its places.
    pub(super) fn check_holds_places(&mut self, id: &RunId) {
        if self.live(id).is_some_and(|live| live.parked || !live.has_begun) {
            self.breaks("a run works without its places");
        }
    }

    /// Everything has come to its end.
    pub(super) fn check_end(&mut self) {
        self.check_left();
        for at in 0..self.requests.len() {
            let request = self.requests[at].clone();
            if let Some(event) = &request.event {
                self.check_request(&request, &event.clone());
            }
        }
        self.check_order();
        self.check_rooms();
    }

    fn check_left(&mut self) {
        let live = self.process.as_ref().map_or(0, |process| process.live.len());
        if live > 0 || !self.disk.now.runs.is_empty() {
            self.breaks(format!("{live} runs go on for ever, and {} are in the journal", self.disk.now.runs.len()));
        }
        if !self.disk.now.owed.is_empty() {
            self.breaks("something is owed for ever");
        }
    }

    fn check_request(&mut self, request: &Request, event: &OwnedEventId) {
        let user = if request.private { assistant() } else { coworker() };
        let closed = self.kicked && !request.private;
        let first = RunId::of(event, &user);
        let ends: Vec<(RunId, Option<Ended>)> = (0..6)
            .map(|attempt| RunId::again(event, &user, attempt))
            .map(|id| (id.clone(), self.disk.now.index.get(&id).cloned()))
            .collect();
        let is_declined = self.disk.now.declined.contains(event);
        if ends[0].1.is_none() && !is_declined && !closed {
            return self.breaks(format!("{event} is never answered, as {}", first.as_str()));
        }
        for (id, ended) in ends {
            if let Some(ended) = ended
                && !closed
            {
                self.check_answer(request, &id, &ended);
            }
            if request.redacted && !closed {
                let left = |event: &&Event| {
                    // A word about its place, or that the model is silent, is not known of if the reply to it was lost; nor an
                    // answer that was sent while the journal was written, if the process was killed then; and one that
                    // was stopped before it was composed has not looked whether its request is still there.
                    let is_known = |name: &str| match name {
                        "queued" | "waiting" => false,
                        "answer" | "stopped" => !self.hidden.contains(&id),
                        _ => true,
                    };
                    let is_its = event.of.as_ref().is_some_and(|(of, name)| *of == id && is_known(name));
                    is_its && event.kind != Kind::Replaced && !event.redacted
                };
                if let Some(left) = self.server.events.iter().find(left).map(|event| event.id.clone()) {
                    return self.breaks(format!("{left} is left of a request that is gone"));
                }
            }
        }
    }

    fn check_answer(&mut self, request: &Request, id: &RunId, ended: &Ended) {
        let answers: Vec<Event> = self.server.said_as(id, "answer").cloned().collect();
        let statuses: Vec<Event> = self.server.said_as(id, "status").cloned().collect();
        if answers.len() > 1 || statuses.len() > 1 {
            return self.breaks("two answers or notices stand for one run");
        }
        if let Some(status) = statuses.first().filter(|status| !status.redacted)
            && self.said_last(status) != Some("status-end")
        {
            return self.breaks(format!("{} says for ever that somebody works on it", status.id));
        }
        let is_gone = request.redacted || ended.taken_back;
        let stopped = self.server.said_as(id, "stopped").count();
        match ended.outcome {
            Outcome::Done | Outcome::Failed | Outcome::Declined => {
                let Some(answer) = answers.first() else {
                    return self.breaks("an answer is recorded that is not there");
                };
                if ended.answer.as_ref() != Some(&answer.id) {
                    self.breaks("another event is recorded as the answer");
                } else if !is_gone && ended.body.as_ref() != Some(&answer.body) && !answer.whole {
                    // A whole answer whose journal entry a crash lost stands, and its second one is not heard of.
                    self.breaks(format!("{} does not say what is recorded", answer.id));
                } else if stopped > 0 {
                    self.breaks("a run was answered and stopped");
                }
            }
            Outcome::Stopped => {
                let says = stopped + usize::from(answers.iter().chain(&statuses).any(|event| !event.redacted));
                let asked =
                    self.server.events.iter().any(|event| matches!(event.kind, Kind::Reaction { key: "🛑", .. }));
                if !is_gone && (says == 0 || !asked) {
                    self.breaks("a run is stopped by nobody, or without a word");
                }
            }
            Outcome::Dropped => {
                let told = ended.unheard && self.told_elsewhere.contains(id);
                if !(is_gone || told) {
                    self.breaks("a run is dropped without a reason");
                }
            }
        }
    }

    /// Returns under which step's name an event got its present text.
    fn said_last(&self, event: &Event) -> Option<&str> {
        let of = &event.of.as_ref()?.0;
        let mut edits = self.server.events.iter().filter(|edit| {
            edit.kind == Kind::Replaced
                && edit.of.as_ref().is_some_and(|(run, name)| run == of && name.starts_with("status"))
        });
        edits.next_back()?.of.as_ref().map(|(_, name)| name.as_str())
    }

    /// In a thread, answers stand in the order of their requests.
    fn check_order(&mut self) {
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        let mut asked: Vec<(i64, RunId, String)> = Vec::new();
        for (id, lane, accepted) in &self.accepted {
            // A crash may have lost that it was accepted before.
            asked.retain(|(_, known, _)| known != id);
            asked.push((*accepted, id.clone(), format!("{lane:?}")));
        }
        for (_, id, lane) in asked {
            let Some(ended) = self.disk.now.index.get(&id) else { continue };
            if ended.outcome != Outcome::Done {
                continue;
            }
            let Some(at) = self.server.said_as(&id, "answer").next().map(|event| event.at_ms) else { continue };
            if last.insert(lane, at).is_some_and(|before| before > at) {
                self.breaks("answers stand in another order than their requests");
            }
        }
    }

    /// Nothing of an assistant is outside its chat.
    fn check_rooms(&mut self) {
        if self
            .server
            .events
            .iter()
            .any(|event| (event.sender == assistant()) != (event.room == chat() && event.of.is_some()))
        {
            self.breaks("something of an assistant is outside its chat");
        }
        if self
            .server
            .events
            .iter()
            .any(|event| event.sender == assistant() && event.notifies && !matches!(event.kind, Kind::Card(_)))
        {
            self.breaks("an assistant mentions somebody");
        }
    }

    /// Notes when a run was accepted, and where its answer goes.
    pub(super) fn note_accepted(&mut self, record: &crate::core::run::RunRecord) {
        self.accepted.push((record.id(), record.lane(), record.accepted_at.as_ms()));
    }
}
