//! Carries out what runs want, as the engine's driver does: with delays, losses and refusals.

use std::time::Duration;

use ruma::OwnedEventId;

use super::{
    Planted,
    cast::{assistant, chat, room},
    disk::{Kept, Write},
    going::{CALLS_MAX, Waits},
    happening::{Done, Happening, Posting},
    server::{Event, Kind},
    world::World,
};
use crate::core::{
    destination::{Destination, Home, Refused},
    event::Outgoing,
    pace::EDITS_MAX,
    run::{Effect, Failure, Flush, Input, Ready, Remark, RunId, Step},
    tool::Output,
};

impl World {
    /// Carries out all that a run wants now. The process may die between any two effects.
    pub(super) fn carry_on(&mut self, id: &RunId) {
        loop {
            let Some(live) = self.live(id) else { return };
            let Some(effect) = live.wants.pop_front() else { break };
            self.write_down(id.as_str(), || format!("-> {effect:?}"));
            if let Effect::End(end) = effect {
                return self.end(id, &end);
            }
            if let Some(input) = self.carry_out(id, effect) {
                let now = self.now();
                self.write_down(id.as_str(), || format!("<- {input:?}"));
                let Some(live) = self.live(id) else { return };
                live.hand(input, now);
            }
            if self.goes_wrong(2) {
                return self.kill();
            }
        }
        let Some(live) = self.live(id) else { return };
        let due = live.run.next_at().map(crate::core::time::Timestamp::as_ms);
        if let Some(at_ms) = due.filter(|at| live.ticks_at != Some(*at)) {
            live.ticks_at = Some(at_ms);
            let wait = u64::try_from(at_ms - self.now_ms).unwrap_or(0);
            self.after(wait, Happening::Tick { life: self.life, run: id.clone(), at_ms });
        }
    }

    /// Something begun for a run ends in so many milliseconds.
    pub(super) fn later(&mut self, id: &RunId, ms: u64, what: Done) {
        let life = self.life;
        let Some(attempt) = self.live(id).map(|live| live.attempt) else { return };
        self.after(ms, Happening::Done { life, run: id.clone(), attempt, what });
    }

    pub(super) fn soon(&mut self, id: &RunId, input: Input) {
        let (delay, failed) = (self.chance.between(1, 60), self.goes_wrong(25));
        let input = if failed { Input::Failed(passing()) } else { input };
        self.later(id, delay, Done::Was(Box::new(input)));
    }

    fn carry_out(&mut self, id: &RunId, effect: Effect) -> Option<Input> {
        match effect {
            Effect::AwaitTurn => self.await_turn(id),
            Effect::CountAhead => {
                let process = self.process.as_ref()?;
                return Some(Input::Ahead(process.schedule.ahead(process.live.get(id)?.ticket)));
            }
            Effect::AwaitQuiet => {
                let now = self.now();
                let wait = self.live(id)?.edits.quiet_in_ms(now).unwrap_or(0);
                self.later(id, wait, Done::Was(Box::new(Input::Quiet)));
            }
            Effect::AwaitHomeserver(pause) => {
                let wait = u64::try_from(pause.as_millis()).unwrap_or(0);
                self.later(id, wait, Done::Was(Box::new(Input::Back)));
            }
            Effect::Park => {
                let process = self.process.as_mut()?;
                let live = process.live.get_mut(id)?;
                live.parked |= process.schedule.park(live.ticket);
                self.let_go();
            }
            Effect::Unpark => self.unpark(id),
            Effect::Open => self.soon(id, Input::Opened),
            Effect::LookBack => self.later(id, 30, Done::LookBack),
            Effect::LookForAgain(_) => self.later(id, 30, Done::Was(Box::new(Input::LookedBack))),
            Effect::CatchUp(_) => {
                if self.kicked && !self.live(id)?.run.record().private {
                    self.later(id, 20, Done::Was(Box::new(Input::Failed(refused(false)))));
                } else {
                    self.soon(id, Input::CaughtUp);
                }
            }
            Effect::Compose(_) => {
                let (delay, failed) = (self.chance.between(5, 300), self.goes_wrong(25));
                let what = if failed { Done::Was(Box::new(Input::Failed(passing()))) } else { Done::Compose };
                self.later(id, delay, what);
            }
            Effect::Reserve(tool_use, _) => {
                self.check_holds_places(id);
                self.live(id)?.tool_use = tool_use;
                self.soon(id, Input::Reserved(Ok(())));
            }
            Effect::Ask => {
                let live = self.live(id)?;
                live.edits.ask();
                let attempt = live.attempt;
                if live.asked > 200 {
                    self.breaks("the model is asked again and again");
                }
                self.ask(id, self.life, attempt);
            }
            Effect::Call(start) => self.call(id, &start),
            Effect::Approve(pending) => self.approve(id, pending),
            Effect::Journal if self.planted == Some(Planted::JournalBehindFlush) => {
                self.live(id)?.journal_is_late = true;
            }
            Effect::Journal | Effect::TryToJournal => self.journal(id),
            Effect::Flush(flush) => return self.flush(id, flush),
            Effect::Send(step, message) => return self.send(id, step, None, message),
            Effect::Edit(step, target, message) => return self.send(id, step, Some(target), message),
            Effect::SendFile(_, place) => {
                let message = Outgoing { place, ..self.live(id)?.run.record().answer.clone()?.message };
                return self.send(id, Step::File, None, message);
            }
            Effect::PostMade { place, .. } => {
                let message = Outgoing { place, ..self.live(id)?.run.record().answer.clone()?.message };
                return self.send(id, Step::Made(1), None, message);
            }
            effect => self.note(id, effect)?,
        }
        None
    }

    fn note(&mut self, id: &RunId, effect: Effect) -> Option<()> {
        match effect {
            Effect::Shown(event) => self.show(id, &event),
            Effect::NotePosted(event) => {
                let request = self.live(id)?.run.record().request.clone();
                self.disk.write(Write::Posted(request, id.clone(), event));
            }
            Effect::WeighBudgetWord(_) => self.later(id, 0, Done::Was(Box::new(Input::BudgetWord(true)))),
            Effect::CloseCards => self.close_cards_anew(id),
            Effect::ReadAnew => {
                let live = self.live(id)?;
                let anew = Input::Anew { restarts: live.edits.restarts(), joined: Vec::new(), editor: None };
                self.later(id, 0, Done::Was(Box::new(anew)));
            }
            Effect::Doubt => {
                let is_in = !self.kicked || self.live(id)?.run.record().private;
                self.later(id, 40, Done::Was(Box::new(Input::Doubted { doubted: is_in, is_in })));
            }
            Effect::CutOff => {
                let live = self.live(id)?;
                live.attempt += 1;
                live.calling = 0;
                let was_posting = std::mem::take(&mut live.posting);
                live.cards.clear();
                if was_posting {
                    self.breaks("a run is cut off while something is on its way");
                }
            }
            Effect::OweStop(text) => {
                let record = self.live(id)?.run.record().clone();
                self.owe_stop(&record, text);
            }
            Effect::Log(Remark::CallsStuck) => self.breaks("calls are stuck"),
            _ => {}
        }
        Some(())
    }

    fn await_turn(&mut self, id: &RunId) {
        if self.planted == Some(Planted::Turn) {
            if let Some(live) = self.live(id) {
                live.has_begun = true;
            }
            return self.later(id, 0, Done::Was(Box::new(Input::Turn)));
        }
        if let Some(live) = self.live(id) {
            live.waits = Some(Waits::Turn);
        }
        self.let_go();
    }

    fn unpark(&mut self, id: &RunId) {
        let Some(process) = &mut self.process else { return };
        let Some(live) = process.live.get_mut(id) else { return };
        if process.schedule.goes(live.ticket) {
            live.parked = false;
            return self.later(id, 0, Done::Was(Box::new(Input::Unparked)));
        }
        live.waits = Some(Waits::Return);
        process.schedule.unpark(live.ticket);
        self.let_go();
    }

    pub(super) fn journal(&mut self, id: &RunId) {
        let Some(live) = self.live(id) else { return };
        let kept = Kept { record: live.run.record().clone(), incarnation: live.incarnation };
        self.disk.write(Write::Run(id.clone(), Some(Box::new(kept))));
    }

    fn flush(&mut self, id: &RunId, flush: Flush) -> Option<Input> {
        let is_dropped = matches!(
            (self.planted, flush),
            (Some(Planted::PostUnflushed), Flush::Post) | (Some(Planted::BeginUnflushed), Flush::Begun)
        );
        if is_dropped {
            return Some(Input::Flushed(flush));
        }
        if flush == Flush::Answer {
            self.live(id)?.answers_ahead = true;
        }
        let delay = self.chance.between(1, 8);
        let written = self.disk.written();
        if std::mem::take(&mut self.live(id)?.journal_is_late) {
            self.journal(id);
        }
        self.later(id, delay, Done::Flush(flush, written));
        None
    }

    pub(super) fn compose(&mut self, id: &RunId) {
        let Some(live) = self.live(id) else { return };
        let request = live.run.record().request.clone();
        let is_gone = self.server.get(&request).is_none_or(|event| event.redacted);
        let drawn = usize::try_from(self.chance.below(1_000)).unwrap_or(0);
        let suspects = super::model::suspects(&request, drawn % 6);
        let fallbacks = usize::from(drawn % 10 < 3);
        let ready = Ready { is_gone, tools: super::model::toolset(), suspects, fallbacks, ..Ready::default() };
        self.step(id, Input::Composed(Some(ready)));
    }

    fn call(&mut self, id: &RunId, start: &crate::core::run::Start) {
        let life = self.life;
        self.check_holds_places(id);
        let Some(live) = self.live(id) else { return };
        live.calling += 1;
        let (incarnation, calling, attempt) = (live.incarnation, live.calling, live.attempt);
        if calling > CALLS_MAX {
            self.breaks("more calls are made at once than may");
        }
        let job = super::model::job_of(&start.call).unwrap_or_default();
        let pending = crate::core::approval::Pending {
            call: start.call.clone(),
            tool: start.tool.offer.name.clone(),
            class: start.tool.class,
            rule: start.tool.rule(),
            arguments: serde_json::Value::Object(start.arguments.clone()),
        };
        let takes = self.chance.between(5, 9_000);
        if !start.tool.idempotent {
            let (number, asks) = (pending.number(), start.tool.offer.name.as_str() == "ask");
            let at = self.chance.below(takes);
            self.after(at, Happening::Effect { run: id.clone(), incarnation, job, number, asks });
        }
        let output = if self.chance.happens(100) { Output::error("It failed.") } else { Output::ok("It is done.") };
        let ran = Input::Ran { call: start.call.clone(), output, pictures: Vec::new() };
        let what = Done::Was(Box::new(ran));
        self.after(takes, Happening::Done { life, run: id.clone(), attempt, what });
    }

    /// Sends something of a run's, where it may write.
    fn send(&mut self, id: &RunId, step: Step, target: Option<OwnedEventId>, message: Outgoing) -> Option<Input> {
        let life = self.life;
        let live = self.live(id)?;
        let record = live.run.record().clone();
        let was_posting = std::mem::replace(&mut live.posting, true);
        if matches!(step, Step::Edit(_)) {
            live.streamed_edits += 1;
        }
        let (attempt, edits) = (live.attempt, live.streamed_edits);
        let place = Destination::of(&record, || {
            Ok::<_, Refused>(Home { assistant: assistant(), room: Some(chat()), silent: false })
        });
        let place = place.map_or_else(|_| room(), |place| place.room().to_owned());
        let place = if self.planted == Some(Planted::Destination) { room() } else { place };
        if was_posting {
            self.breaks("two messages of a run are on their way at once");
        } else if record.private != (place == chat()) {
            self.breaks("something of an assistant's run leaves its chat");
        } else if edits > EDITS_MAX + 1 {
            self.breaks("an answer is edited too often");
        }
        self.check_durable(id, step, target.is_some());
        let posting = Posting {
            life,
            run: id.clone(),
            attempt,
            user: record.user.clone(),
            room: place,
            step,
            target,
            message,
            kind: Kind::Said,
            whole: record.answer.is_some(),
            unheard: false,
        };
        self.post(posting);
        None
    }

    /// Puts something on its way; it arrives, or is lost, or its reply is.
    pub(super) fn post(&mut self, mut posting: Posting) {
        let delay = self.chance.between(5, 250);
        let is_closed = self.kicked && posting.room == room();
        let failed = match self.chance.below(1000) {
            _ if is_closed => Some(refused(false)),
            _ if self.is_calm() => None,
            0..50 => Some(passing()),
            50..100 => {
                posting.unheard = true;
                None
            }
            100..115 => Some(refused(true)),
            115..130 => Some(Failure { retry_after: Some(Duration::from_secs(4)), ..passing() }),
            _ => None,
        };
        match failed {
            Some(failure) => self.answer_posting(&posting, delay, Err(failure)),
            None => self.after(delay, Happening::Arrive(Box::new(posting))),
        }
    }

    /// The homeserver has it.
    pub(super) fn arrive(&mut self, posting: &Posting) {
        let txn = posting.run.transaction(posting.step);
        let name = txn
            .as_str()
            .rsplit_once(posting.run.as_str())
            .map_or("", |(_, name)| name.trim_start_matches('-'))
            .to_owned();
        let kind = if posting.target.is_some() { Kind::Replaced } else { posting.kind.clone() };
        let event = Event {
            id: self.server.next_id(),
            room: posting.room.clone(),
            sender: posting.user.clone(),
            kind,
            at_ms: self.now_ms,
            of: Some((posting.run.clone(), name)),
            body: posting.message.body.clone(),
            whole: posting.whole,
            notifies: !posting.message.mentions.is_empty(),
            edits: 0,
            redacted: false,
        };
        let (at, is_new) = self.server.take(Some(txn.clone()), event);
        let id = self.server.events[at].id.clone();
        self.write_down(posting.run.as_str(), || {
            format!("{txn} arrives as {id}{}", if is_new { "" } else { ", again" })
        });
        if is_new && let Some(target) = posting.target.as_ref().and_then(|target| self.server.get_mut(target)) {
            target.body.clone_from(&posting.message.body);
            target.whole = posting.whole;
            target.edits += 1;
        }
        if is_new && matches!(posting.kind, Kind::Card(_)) {
            let when = self.chance.between(300, 20_000);
            self.after(when, Happening::Person(super::cast::Act::Decide(at)));
        }
        let delay = self.chance.between(5, 150);
        let arrived = if posting.unheard { Err(passing()) } else { Ok(posting.target.clone().unwrap_or(id)) };
        self.answer_posting(posting, delay, arrived);
    }

    fn answer_posting(&mut self, posting: &Posting, delay: u64, arrived: Result<OwnedEventId, Failure>) {
        let what = match posting.kind {
            Kind::Card(number) => Done::CardSent(number, arrived.ok()),
            _ => Done::Was(Box::new(Input::Sent(arrived))),
        };
        let (life, attempt) = (posting.life, posting.attempt);
        self.after(delay, Happening::Done { life, run: posting.run.clone(), attempt, what });
    }
}

pub(super) fn passing() -> Failure {
    Failure { is_passing: true, is_of_homeserver: true, is_in: true, ..Failure::default() }
}

/// A refusal: meant where the account is not in the room.
fn refused(is_in: bool) -> Failure {
    Failure { is_refusal: true, is_forbidden: true, is_of_homeserver: true, is_in, ..Failure::default() }
}
