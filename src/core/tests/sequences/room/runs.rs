//! A room's runs: what the model does, how they end, and what always holds for them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};

use super::{BREAKER, Checked, Room, Run, SCHEDULE, lane};
use crate::core::{
    breaker::STRANGER_WORD_INTERVAL_MS,
    context::{self, Kind},
    event::{EventKind, Message, OutgoingKind},
    run::{
        Answer, Fault, RunId, Step, Stop,
        showing::{News, Showing},
    },
    schedule::Schedule,
    tests::sequences::steps::Progress,
};

impl Room {
    /// Starts the runs whose turn has come: composes the context and asks the model.
    pub(super) fn let_go(&mut self) -> Checked {
        let now = self.now();
        for ticket in self.schedule.take_granted() {
            let run = self.runs.values_mut().find(|run| run.ticket == ticket);
            let run = run.ok_or_else(|| TestCaseError::fail("a run goes that nobody knows"))?;
            prop_assert!(run.machine.is_none(), "a run goes twice");
            run.machine = Some(Showing::new(&run.record, now));
            let composed = context::compose(&context::Input {
                me: &run.record.user,
                kind: Kind::Coworker { name: "oncall", purpose: "", instructions: "" },
                room: context::Room::default(),
                events: &self.timeline,
                older: false,
                begin_is_fixed: false,
                names: &BTreeMap::new(),
                requests: std::slice::from_ref(&run.record.request),
                joined: &[],
                answered_meanwhile: &[],
                errands: &context::NO_ERRANDS,
                thread_root: run.record.place.thread_root(),
                session: None,
                notes: &[],
                pinned: context::Pinned::default(),
                replied_to: &[],
                opened: &[],
                withheld: &[],
                tokens_max: context::TOKENS_MIN,
                file_limits: crate::core::media::Limits::default(),
                files: None,
            });
            prop_assert!(!composed.prompt.turns.is_empty());
        }
        Ok(())
    }

    /// The model does something for one of the runs in progress.
    pub(super) fn progress(&mut self, run: usize, progress: Progress) -> Checked {
        let (now, shown) = (self.now(), self.id_at(0));
        let going: Vec<_> =
            self.runs.iter().filter(|(_, run)| run.machine.is_some()).map(|(id, _)| id.clone()).collect();
        let Some(id) = going.get(run % going.len().max(1)) else { return Ok(()) };
        let Some(Run { record, machine: Some(machine), text, told_waiting, .. }) = self.runs.get_mut(id) else {
            return Ok(());
        };
        if let Progress::Text(more) = progress {
            text.push_str(&"a *word* @room ".repeat(more));
        }
        let input = match progress {
            Progress::Text(_) => News::Text(text),
            Progress::Tick => News::Tick(text),
            Progress::Waiting(ms) => News::Waiting(ms),
            Progress::Answer(stop) => {
                let answer = machine.answered(text, stop, Vec::new());
                return self.answered(&id.clone(), &answer);
            }
            Progress::Fail => {
                let answer = machine.failed(Fault::Overloaded);
                return self.answered(&id.clone(), &answer);
            }
        };
        for effect in machine.take(&input, now) {
            let (message, is_first) = match effect {
                (Step::Status, message) => (message, record.status.replace(shown.clone().unwrap()).is_none()),
                (Step::Waiting, message) => {
                    *told_waiting += 1;
                    (message, *told_waiting == 1)
                }
                (Step::StatusEdit(_), message) => (message, record.status.is_some()),
                other => return Err(TestCaseError::fail(format!("a coworker shows more than it should: {other:?}"))),
            };
            prop_assert!(is_first && message.kind == OutgoingKind::Notice && message.mentions.is_empty());
        }
        Ok(())
    }

    /// Checks a run's last message: it mentions only the asker, and is not empty.
    fn answered(&mut self, id: &RunId, answer: &Answer) -> Checked {
        let Some(run) = self.runs.get(id) else { return Err(TestCaseError::fail("a run ends that nobody knows")) };
        prop_assert_eq!(&answer.message.mentions, &BTreeSet::from([run.record.asker.clone()]));
        prop_assert!(!answer.message.body.trim().is_empty() && !answer.message.body.contains("@room"));
        let said = Message {
            thread_root: run.record.place.thread_root().map(ToOwned::to_owned),
            ..Message::text(&*answer.message.body)
        };
        let event = self.event(run.record.user.clone(), self.now(), EventKind::Message(said));
        self.timeline.push(event.clone());
        self.end(&id.clone())?;
        // It comes back to us like any event.
        self.accept(&event)
    }

    pub(super) fn end_where(&mut self, is_meant: impl Fn(&Run) -> bool) -> Checked {
        let meant: Vec<_> = self.runs.iter().filter(|(_, run)| is_meant(run)).map(|(id, _)| id.clone()).collect();
        meant.iter().try_for_each(|id| self.end(id))
    }

    fn end(&mut self, id: &RunId) -> Checked {
        let run = self.runs.remove(id).ok_or_else(|| TestCaseError::fail("a run ended twice"))?;
        self.ended += 1;
        self.schedule.release(run.ticket);
        // A run's end is flushed, and with it everything before.
        self.not_durable.clear();
        self.let_go()
    }

    /// Mirrors `engine::start`: resumes runs in the order of acceptance, then handles the rest of the inbox.
    pub(super) fn restart(&mut self) -> Checked {
        self.schedule = Schedule::new(SCHEDULE);
        let mut runs: Vec<_> = self.runs.values_mut().collect();
        runs.sort_by_key(|run| run.ticket);
        for run in runs {
            run.record.resume();
            (run.machine, run.told_waiting) = (None, 0);
            run.text.clear();
            run.ticket = self.schedule.resume(lane(&run.record), run.record.wanted());
        }
        self.let_go()?;
        let again: Vec<_> = self.not_durable.iter().map(|at| self.timeline[*at].clone()).collect();
        again.iter().try_for_each(|event| self.handle(event))
    }

    /// Checks the limits, which hold at any time.
    pub(in super::super) fn check(&self) -> Checked {
        let going: Vec<_> =
            self.runs.values().filter(|run| run.machine.is_some()).map(|run| lane(&run.record)).collect();
        prop_assert!(going.len() <= SCHEDULE.room_runs_max);
        prop_assert!((1..going.len()).all(|at| !going[..at].contains(&going[at])), "one at a time in a thread");
        prop_assert!(self.runs.len() - going.len() <= SCHEDULE.waiting_runs_max);
        let within = |times: &[i64], span_ms: u64, most: usize| {
            times.windows(most + 1).all(|some| (some[most] - some[0]).unsigned_abs() >= span_ms)
        };
        prop_assert!(within(&self.begun_at_ms, BREAKER.window_ms, BREAKER.runs_max), "the breaker did not hold");
        prop_assert!(within(&self.told_stopped_at_ms, BREAKER.pause_ms, 1));
        prop_assert!(within(&self.told_stranger_at_ms, STRANGER_WORD_INTERVAL_MS, 1));
        Ok(())
    }

    /// Lets every run end.
    pub(in super::super) fn run_out(&mut self) -> Checked {
        for _ in 0..=self.runs.len() {
            self.progress(0, Progress::Text(3))?;
            self.progress(0, Progress::Answer(Stop::End))?;
        }
        prop_assert!(self.runs.is_empty(), "a run waits for ever");
        prop_assert_eq!(self.ended, self.begun.len(), "every run ends once");
        Ok(())
    }
}
