//! The process: the runs that go on in it, whose turn it is, how it starts and how it dies.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Planted,
    cast::{Request, coworker},
    disk::{Kept, Write},
    going::{CALLS_MAX, LIMITS, Live, Process, Waits},
    happening::{Done, Happening},
    world::World,
};
use crate::core::{
    edits::Edits,
    mask::Mask,
    prompt::ToolUse,
    run::{Input, Rules, Run, RunId, RunRecord},
    schedule::{Lane, Schedule},
    work::Work,
};

fn rules() -> Rules {
    Rules {
        rounds_max: 4,
        tokens_max: 100_000,
        calls_at_once_max: CALLS_MAX,
        deadline_ms: 30 * 60_000,
        mask: Mask::default(),
    }
}

impl World {
    pub(super) fn live(&mut self, id: &RunId) -> Option<&mut Live> {
        self.process.as_mut()?.live.get_mut(id)
    }

    /// Returns the request that a run answers.
    pub(super) fn request_of(&self, id: &RunId) -> Option<&Request> {
        self.requests.iter().find(|request| {
            let user = if request.private { super::cast::assistant() } else { coworker() };
            let mut ids = request.event.iter().flat_map(|event| (0..6).map(|at| RunId::again(event, &user, at)));
            ids.any(|of| of == *id)
        })
    }

    /// As the program starts: runs are taken up in the order in which they were accepted, then what is in the inbox.
    pub(super) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.life += 1;
        self.write_down("", || "the process starts".to_owned());
        self.process = Some(Process { schedule: Schedule::new(LIMITS), live: BTreeMap::new() });
        if self.planted == Some(Planted::Transactions) && self.life > 1 {
            self.server.forget_transactions();
        }
        let gone: Vec<_> =
            self.disk.now.cards.keys().filter(|(run, _)| !self.disk.now.runs.contains_key(run)).cloned().collect();
        for key in gone {
            self.disk.write(Write::Card(key, None));
        }
        let mut runs: Vec<Kept> = self.disk.now.runs.values().cloned().collect();
        runs.sort_by_key(|kept| kept.record.accepted_at);
        for kept in &mut runs {
            self.resume(kept);
            let id = kept.record.id();
            self.disk.write(Write::Run(id.clone(), Some(Box::new(kept.clone()))));
            if let Some(mut owed) = self.disk.now.owed.get(&id).cloned() {
                owed.resume();
                self.disk.write(Write::Owed(id, (!owed.deeds.is_empty()).then(|| Box::new(owed))));
            }
        }
        self.disk.flush();
        for kept in runs {
            if self.planted != Some(Planted::Resume) {
                self.begin(kept, true);
            }
        }
        let owing: Vec<RunId> = self.disk.now.owed.keys().cloned().collect();
        for run in owing {
            self.after(1_000, Happening::Pay { life: self.life, run });
        }
        let left: Vec<usize> = self.disk.now.inbox.iter().copied().collect();
        for event in left {
            if self.process.is_some() && !self.is_broken() {
                self.handle(event);
                if self.process.is_some() {
                    self.disk.write(Write::Handled(event));
                }
            }
        }
    }

    /// The record as another process reads it.
    fn resume(&mut self, kept: &mut Kept) {
        let text = serde_json::to_string(&kept.record).unwrap_or_default();
        match serde_json::from_str::<RunRecord>(&text) {
            Ok(read) if read.id() == kept.record.id() => kept.record = read,
            _ => self.breaks("a record is not read as it was stored"),
        }
        kept.record.resume();
        match self.planted {
            Some(Planted::Edits) => kept.record.edits = 0,
            Some(Planted::StatusBegun) => kept.record.status_begun = false,
            Some(Planted::AnswerBegun) => kept.record.answer_begun = None,
            Some(Planted::Begun) => kept.record.work = forgetting_begun(&kept.record.work),
            _ => {}
        }
    }

    /// Lets a run wait for its turn.
    pub(super) fn begin(&mut self, kept: Kept, again: bool) {
        let id = kept.record.id();
        let at = self.requests.iter().position(|request| request.event.as_ref() == Some(&kept.record.request));
        let (Some(request), now) = (at, self.now()) else { return };
        let Some(process) = &mut self.process else { return };
        let ticket = if again {
            process.schedule.resume(kept.record.lane(), kept.record.wanted())
        } else {
            let Ok(ticket) = process.schedule.request(kept.record.lane(), kept.record.wanted()) else {
                self.write_down(id.as_str(), || "declined: too many wait".to_owned());
                return self.disk.write(Write::Declined(kept.record.request.clone()));
            };
            ticket
        };
        let mut run = Run::new(kept.record.clone(), rules(), now);
        let live = Live {
            wants: std::iter::from_fn(|| run.next_effect()).collect(),
            run,
            request,
            ticket,
            waits: None,
            has_begun: false,
            parked: false,
            attempt: 0,
            incarnation: kept.incarnation,
            shown: kept.record.streamed.iter().chain(&kept.record.status).cloned().collect(),
            early: Vec::new(),
            edits: Edits::resumed(kept.record.restarts),
            posting: false,
            ticks_at: None,
            tool_use: ToolUse::On,
            asked: 0,
            calling: 0,
            cards: BTreeMap::new(),
            streamed_edits: 0,
            journal_is_late: false,
            answers_ahead: false,
        };
        process.live.insert(id.clone(), live);
        if !again {
            self.note_accepted(&kept.record);
            self.disk.write(Write::Run(id.clone(), Some(Box::new(kept))));
        }
        self.carry_on(&id);
    }

    /// The process dies, and loses what was not flushed.
    pub(super) fn kill(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.hidden.extend(process.live.iter().filter(|(_, live)| live.answers_ahead).map(|(id, _)| id.clone()));
        let unflushed = u64::try_from(self.disk.unflushed()).unwrap_or(0);
        let kept = self.chance.below(unflushed + 1);
        self.write_down("", || format!("the process is killed; {kept} of {unflushed} unflushed writes are kept"));
        self.disk.crash(usize::try_from(kept).unwrap_or(0));
        self.held.deaths += 1;
        let down = self.chance.between(500, 20_000);
        self.after(down, Happening::Start);
    }

    /// The process is asked to stop: nothing new begins, and what is cut off is no crash.
    pub(super) fn stop(&mut self) {
        let Some(process) = &self.process else { return };
        let ids: Vec<RunId> = process.live.keys().cloned().collect();
        self.write_down("", || "the process is stopped".to_owned());
        for id in ids {
            self.step(&id, Input::Stopping);
        }
        let patience = self.chance.between(10, 8_000);
        self.after(patience, Happening::Stopped { life: self.life });
    }

    pub(super) fn stopped(&mut self, life: u32) {
        if life != self.life || self.process.take().is_none() {
            return;
        }
        let cut_off: Vec<Kept> = self.disk.now.runs.values().cloned().collect();
        for mut kept in cut_off {
            kept.record.under_way = false;
            self.disk.write(Write::Run(kept.record.id(), Some(Box::new(kept))));
        }
        self.disk.flush();
        self.write_down("", || "the process has stopped".to_owned());
        self.held.deaths += 1;
        let down = self.chance.between(500, 20_000);
        self.after(down, Happening::Start);
    }

    /// Tells those whose turn has come, and checks that no more go than may.
    pub(super) fn let_go(&mut self) {
        let Some(process) = &mut self.process else { return };
        let mut told = Vec::new();
        for ticket in process.schedule.take_granted() {
            let Some((id, live)) = process.live.iter_mut().find(|(_, live)| live.ticket == ticket) else { continue };
            let what = if live.waits.take() == Some(Waits::Return) {
                live.parked = false;
                Input::Unparked
            } else {
                // It may be granted before it waits.
                live.has_begun = true;
                Input::Turn
            };
            told.push((id.clone(), live.attempt, what));
        }
        for (run, attempt, what) in told {
            let what = Done::Was(Box::new(what));
            self.after(0, Happening::Done { life: self.life, run, attempt, what });
        }
        self.check_places();
    }

    fn check_places(&mut self) {
        let Some(process) = &self.process else { return };
        let going: Vec<Lane> = process
            .live
            .values()
            .filter(|live| live.has_begun && !live.parked)
            .map(|live| live.run.record().lane())
            .collect();
        let lanes: Vec<Lane> =
            process.live.values().filter(|live| live.has_begun).map(|live| live.run.record().lane()).collect();
        let in_room = |room| going.iter().filter(|lane| lane.room == room).count();
        let distinct: BTreeSet<String> = lanes.iter().map(|lane| format!("{lane:?}")).collect();
        if going.len() > LIMITS.runs_max || in_room(super::cast::room()) > LIMITS.room_runs_max {
            self.breaks("more runs go than may");
        } else if distinct.len() < lanes.len() {
            self.breaks("two runs go in one thread");
        }
    }

    /// Something that was begun for a run has ended.
    pub(super) fn done(&mut self, life: u32, id: &RunId, attempt: u64, what: Done) {
        if life != self.life {
            return;
        }
        let Some(live) = self.live(id) else { return };
        let is_turn = matches!(&what, Done::Was(input) if matches!(**input, Input::Turn));
        if live.attempt != attempt && !is_turn {
            return;
        }
        match what {
            Done::Was(input) => {
                live.posting &= !matches!(*input, Input::Sent(_));
                live.calling -= usize::from(matches!(*input, Input::Ran { .. })).min(live.calling);
                self.step(id, *input);
            }
            Done::LookBack => {
                self.look_back(id);
                self.step(id, Input::LookedBack);
            }
            Done::Compose => self.compose(id),
            Done::Flush(flush, written) => {
                self.disk.flush_to(written);
                if let Some(live) = self.live(id).filter(|_| flush == crate::core::run::Flush::Answer) {
                    live.answers_ahead = false;
                }
                self.step(id, Input::Flushed(flush));
            }
            Done::CardFlushed(number, written) => {
                self.disk.flush_to(written);
                self.card_flushed(id, number);
            }
            Done::CardSent(number, event) => self.card_sent(id, number, event),
            Done::CardLook(number) => self.look_at_card(id, number),
        }
    }

    pub(super) fn tick(&mut self, life: u32, id: &RunId, at_ms: i64) {
        if life != self.life {
            return;
        }
        let Some(live) = self.live(id) else { return };
        if live.ticks_at == Some(at_ms) {
            live.ticks_at = None;
            self.step(id, Input::Tick);
        }
    }

    /// Hands a run what happened, and carries out what it wants.
    pub(super) fn step(&mut self, id: &RunId, input: Input) {
        let now = self.now();
        self.write_down(id.as_str(), || format!("<- {input:?}"));
        let Some(live) = self.live(id) else { return };
        live.hand(input, now);
        self.carry_on(id);
    }
}

/// Work whose begun calls wait again.
fn forgetting_begun(work: &Work) -> Work {
    let mut value = serde_json::to_value(work).unwrap_or_default();
    if let Some(calls) = value.pointer_mut("/open/calls").and_then(serde_json::Value::as_array_mut) {
        for call in calls {
            if call.pointer("/state/started").is_some() {
                call["state"] = "waiting".into();
            }
        }
    }
    serde_json::from_value(value).unwrap_or_default()
}
