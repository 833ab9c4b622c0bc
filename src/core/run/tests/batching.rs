//! A run whose first question goes as a batch (C20).

use ruma::user_id;

use super::*;
use crate::core::{
    batch::{Batch, BatchEnd, FALLBACK_MS, Latency},
    fault::Fault,
    origin::{Charge, ErrandId, Origin, OriginKind},
    work::{ModelTurn, TurnStop},
};

const HOUR_MS: u64 = 60 * 60 * 1000;

pub(super) fn scheduled(answer_by: Option<Timestamp>) -> RunRecord {
    let origin = Origin { kind: OriginKind::Schedule, name: "summary".to_owned(), set_by: None };
    let id = ErrandId::of(OriginKind::Schedule, &["summary"]);
    let charge = Charge { id, origin, mention: [].into(), answer_by };
    RunRecord { asker: user_id!("@coworker-oncall:hs").to_owned(), errand: Some(charge), ..record(false) }
}

pub(super) fn rules() -> Rules {
    Rules { rounds_max: 8, tokens_max: 100_000, calls_at_once_max: 4, deadline_ms: 1_800_000, mask: Mask::default() }
}

/// A run, the effects that it has wanted so far, and what is on the disk.
pub(super) struct World {
    pub(super) run: Run,
    now: Timestamp,
    pub(super) wanted: Vec<Effect>,
    disk: Option<RunRecord>,
    journal: Option<RunRecord>,
    sent: usize,
    pub(super) asked: usize,
    /// `None`: nobody is left who could answer.
    ready: Option<Ready>,
}

impl World {
    pub(super) fn begin(record: RunRecord, now: Timestamp) -> Self {
        Self::begin_with(record, now, Ready::default())
    }

    /// Begins where this is composed.
    pub(super) fn begin_with(record: RunRecord, now: Timestamp, ready: impl Into<Option<Ready>>) -> Self {
        let (run, ready) = (Run::new(record, rules(), now), ready.into());
        let mut world = Self { run, now, wanted: Vec::new(), disk: None, journal: None, sent: 0, asked: 0, ready };
        world.go_on();
        world.hand(Input::Turn);
        world
    }

    /// The process is killed, and another one takes the run up as the disk holds it.
    pub(super) fn restart(self) -> Self {
        let stored = serde_json::to_string(&self.disk.expect("it was journaled")).expect("it is stored");
        let mut record: RunRecord = serde_json::from_str(&stored).expect("and read");
        record.resume();
        let mut world = Self { sent: self.sent, asked: self.asked, ..Self::begin_with(record, self.now, self.ready) };
        world.hand(Input::LookedBack);
        world
    }

    pub(super) fn hand(&mut self, input: Input) {
        self.run.handle(input, self.now);
        self.go_on();
    }

    /// Carries out what takes no time.
    fn go_on(&mut self) {
        while let Some(effect) = self.run.next_effect() {
            self.wanted.push(effect.clone());
            let input = match effect {
                Effect::AwaitQuiet => Input::Quiet,
                Effect::Unpark => Input::Unparked,
                Effect::Open => Input::Opened,
                Effect::LookBack | Effect::LookForAgain(_) => Input::LookedBack,
                Effect::CatchUp(_) => Input::CaughtUp,
                Effect::Compose(_) => Input::Composed(self.ready.clone()),
                Effect::Reserve(..) => Input::Reserved(Ok(())),
                Effect::Journal => {
                    self.journal = Some(self.run.record().clone());
                    continue;
                }
                Effect::Flush(flush) => {
                    self.disk.clone_from(&self.journal);
                    Input::Flushed(flush)
                }
                Effect::Send(..) | Effect::Edit(..) => Input::Sent(Ok(event_id!("$sent").to_owned())),
                Effect::SendBatch(_) => {
                    let noted = self.disk.as_ref().and_then(|record| record.batch.as_ref());
                    assert!(noted.is_some_and(|batch| batch.id.is_none()), "it is on disk before it is sent");
                    self.sent += 1;
                    continue;
                }
                Effect::AwaitBatch(Batch { id: Some(id), .. }) => {
                    let noted = self.disk.as_ref().and_then(|record| record.batch.as_ref()?.id.clone());
                    assert_eq!(noted, Some(id), "its id is on disk before anything else goes on");
                    continue;
                }
                Effect::Ask => {
                    self.asked += 1;
                    continue;
                }
                _ => continue,
            };
            self.run.handle(input, self.now);
        }
    }

    fn waits(&self) -> bool {
        matches!(self.run.phase, Phase::Batching(_))
    }

    fn batch(&self) -> &Batch {
        self.run.record().batch.as_ref().expect("there is one")
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.wanted.iter().find_map(|effect| if let Effect::End(end) = effect { Some(end) } else { None })
    }

    pub(super) fn shown(&self) -> Vec<String> {
        let said = |effect: &Effect| match effect {
            Effect::Send(_, message) | Effect::Edit(_, _, message) => Some(message.body.clone()),
            _ => None,
        };
        self.wanted.iter().filter_map(said).collect()
    }
}

fn reply(text: &str) -> Reply {
    let blocks = vec![serde_json::json!({ "type": "text", "text": text }).to_string()];
    Reply { turn: Ok(ModelTurn { blocks, stop: TurnStop::End }), tokens: 9, bill: None, files_refused: false }
}

fn soon() -> Timestamp {
    NOW.later(4 * HOUR_MS)
}

#[test]
fn c20_a_run_that_may_wait_asks_once_as_a_batch_and_answers_once() {
    let mut world = World::begin(scheduled(Some(soon())), NOW);
    assert!(world.wanted.iter().any(|effect| matches!(effect, Effect::Reserve(_, Latency::Batch))));
    assert!(world.wanted.contains(&Effect::Park), "it holds no place while it waits");
    world.hand(Input::Batch(BatchNews::Made("msgbatch_1".to_owned())));
    assert!(world.waits() && world.run.next_at().is_none(), "hours cost no wake-ups");
    world.hand(Input::Batch(BatchNews::Answered(reply("It is green."))));
    assert_eq!((world.sent, world.asked, world.batch().end), (1, 0, Some(BatchEnd::Answered)));
    let shown = world.shown();
    assert!(shown.first().is_some_and(|said| said.contains("half price")), "{shown:?}");
    assert_eq!(shown.iter().filter(|said| said.contains("It is green.")).count(), 1, "{shown:?}");
    assert_eq!(world.end().map(|end| end.outcome), Some(Outcome::Done));
}

#[test]
fn c20_what_cannot_wait_is_asked_now() {
    let again = RunRecord { asker: user_id!("@alice:hs").to_owned(), attempt: 1, ..scheduled(Some(soon())) };
    let asked = [record(false), scheduled(None), scheduled(Some(NOW.later(FALLBACK_MS))), record(true), again];
    for record in asked {
        let world = World::begin(record, NOW);
        assert_eq!((world.sent, world.asked, world.waits()), (0, 1, false));
        assert_eq!(world.run.record().batch, None);
    }
}

#[test]
fn c20_a_kill_at_any_place_makes_no_second_batch() {
    // Before the reply to its creation: it is looked for, and never sent again.
    let world = World::begin(scheduled(Some(soon())), NOW).restart();
    assert_eq!((world.sent, world.asked), (1, 0));
    let awaited = |world: &World| {
        world.wanted.iter().find_map(|effect| match effect {
            Effect::AwaitBatch(batch) => Some(batch.id.clone()),
            _ => None,
        })
    };
    assert_eq!(awaited(&world), Some(None));
    assert!(!world.run.record().under_way, "who waits is no crash");

    // It is found; the next process waits for it by its id.
    let mut world = world;
    world.hand(Input::Batch(BatchNews::Made("msgbatch_1".to_owned())));
    let mut world = world.restart();
    assert_eq!((world.sent, world.asked, awaited(&world)), (1, 0, Some(Some("msgbatch_1".to_owned()))));
    for _ in 0..2 * super::super::record::CRASHES_MAX {
        world = world.restart();
    }
    assert!(world.waits() && world.sent == 1, "restarts while it waits are counted against nobody");

    // Its answer came, and was lost with the process before it was on disk: it is read again.
    world.hand(Input::Batch(BatchNews::Answered(reply("It is green."))));
    assert_eq!((world.sent, world.asked), (1, 0));
    assert_eq!(world.end().map(|end| end.outcome), Some(Outcome::Done));
}

#[test]
fn c20_a_batch_without_an_answer_is_followed_by_one_normal_call() {
    for news in [
        vec![BatchNews::GivenUp],
        vec![BatchNews::Unsure, BatchNews::GivenUp],
        vec![BatchNews::Made("b".to_owned()), BatchNews::GivenUp],
    ] {
        let mut world = World::begin(scheduled(Some(soon())), NOW);
        for one in news {
            world.hand(Input::Batch(one));
        }
        assert_eq!((world.sent, world.asked, world.batch().end), (1, 1, Some(BatchEnd::GivenUp)));
        let reserved = world.wanted.iter().rev().find_map(|effect| match effect {
            Effect::Reserve(_, latency) => Some(*latency),
            _ => None,
        });
        assert_eq!(reserved, Some(Latency::Normal));
        // What comes of the batch now is heard by nobody.
        world.hand(Input::Batch(BatchNews::Answered(reply("Too late."))));
        world.hand(Input::Replied(reply("It is green.")));
        let shown = world.shown();
        assert!(!shown.iter().any(|said| said.contains("Too late.")), "{shown:?}");
        assert_eq!(shown.iter().filter(|said| said.contains("It is green.")).count(), 1, "{shown:?}");
        assert!(world.end().is_some());
        // A process that is killed in between asks in a normal call too.
        let again = World { disk: world.journal.clone(), ..world }.restart();
        assert_eq!(again.sent, 1);
    }
}

#[test]
fn c10_c20_a_stop_ends_a_run_that_waits_for_a_batch_and_leaves_it_to_be_cancelled() {
    let mut world = World::begin(scheduled(Some(soon())), NOW);
    world.hand(Input::Batch(BatchNews::Made("msgbatch_1".to_owned())));
    world.hand(Input::Order(Order::Stop));
    assert!(world.wanted.contains(&Effect::CutOff));
    assert_eq!((world.end().map(|end| end.outcome), world.asked), (Some(Outcome::Stopped), 0));
    assert!(world.batch().is_open() && world.batch().id.is_some());
}

#[test]
fn c20_c23_a_batch_that_no_budget_has_room_for_is_not_sent() {
    let full = crate::core::budget::Full {
        scope: crate::core::budget::Scope::Room,
        period: crate::core::budget::Period::Day,
        limit: crate::core::budget::Usd::dollars(1),
        why: crate::core::budget::Why::Spent,
        until: NOW.later(HOUR_MS),
        begun: false,
    };
    let mut world = World::begin(scheduled(Some(soon())), NOW);
    world.run.phase = Phase::Reserving(Latency::Batch);
    world.sent = 0;
    world.hand(Input::Reserved(Err(Fault::OverBudget(full))));
    assert_eq!((world.sent, world.asked), (0, 0));
}
