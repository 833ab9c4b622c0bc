//! People: what they ask, and what they do about it.

use ruma::OwnedEventId;

use super::{
    cast::{Act, Job, Request, assistant, chat, coworker, person, room},
    happening::Happening,
    server::Kind,
    world::World,
};
use crate::core::run::RunId;

impl World {
    /// Plans what people do, and when the process dies.
    pub(super) fn plan(&mut self) {
        for at in 0..usize::try_from(self.chance.between(1, 3)).unwrap_or(1) {
            self.plan_request(at);
        }
        if self.chance.happens(40) {
            let when = self.chance.between(500, 60_000);
            self.after(when, Happening::Person(Act::Kick));
        }
        for _ in 0..self.chance.below(4) {
            let when = self.chance.between(100, 60_000);
            let death = if self.chance.happens(300) { Happening::Stop } else { Happening::Kill };
            self.after(when, death);
        }
    }

    fn plan_request(&mut self, at: usize) {
        let private = self.chance.happens(300);
        let jobs = match self.chance.below(5) {
            0 | 1 => 0,
            few => few - 1,
        };
        let jobs = (0..jobs).map(|_| match self.chance.below(3) {
            0 => Job::Look,
            1 => Job::Act,
            _ => Job::Ask,
        });
        let jobs = jobs.collect();
        let thread =
            (at > 0 && !private && self.chance.happens(500)).then(|| at - 1).filter(|at| !self.requests[*at].private);
        let asker = if private { 0 } else { usize::from(self.chance.happens(500)) };
        self.requests.push(Request { event: None, private, thread, asker, jobs, redacted: false });
        let asked = self.chance.between(10, 4_000) + if thread.is_some() { 4_000 } else { 0 };
        self.after(asked, Happening::Person(Act::Ask(at)));
        for _ in 0..2 {
            let when = asked + self.chance.between(10, 30_000);
            let which = self.chance.below(3);
            let act = match self.chance.below(1000) {
                0..150 => Act::Edit(at),
                150..200 => Act::Redact(at),
                200..290 => Act::Stop(at, which),
                290..380 => Act::Again(at),
                _ => continue,
            };
            self.after(when, Happening::Person(act));
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Ask(at) => {
                let request = &self.requests[at];
                let (private, asker) = (request.private, request.asker);
                if self.kicked && !private {
                    return;
                }
                let place = if private { chat() } else { room() };
                let event = self.say(person(asker), place, Kind::Request, format!("request {at}"));
                self.requests[at].event = Some(event);
            }
            Act::Edit(at) => {
                let Some((target, place)) = self.asked(at) else { return };
                let asker = person(self.requests[at].asker);
                if let Some(event) = self.server.get_mut(&target) {
                    event.edits += 1;
                    event.body = format!("request {at}, edited {}", event.edits);
                }
                self.say(asker, place, Kind::Edit { target }, String::new());
            }
            Act::Redact(at) => {
                let Some((target, place)) = self.asked(at) else { return };
                let asker = person(self.requests[at].asker);
                self.requests[at].redacted = true;
                if let Some(event) = self.server.get_mut(&target) {
                    event.redacted = true;
                }
                self.say(asker, place, Kind::Redaction { target }, String::new());
            }
            Act::Stop(at, which) => {
                let Some((request, place)) = self.asked(at) else { return };
                let name = if which == 1 { "status" } else { "answer" };
                let said = self.posted_for(&request, name).filter(|_| which > 0);
                let asker = person(self.requests[at].asker);
                let target = said.unwrap_or(request);
                self.say(asker, place, Kind::Reaction { target, key: "🛑" }, String::new());
            }
            Act::Again(at) => {
                let Some((request, place)) = self.asked(at) else { return };
                let Some(target) = self.posted_for(&request, "answer") else { return };
                let asker = person(self.requests[at].asker);
                self.say(asker, place, Kind::Reaction { target, key: "🔁" }, String::new());
            }
            Act::Decide(card) => self.decide(card),
            Act::Kick => {
                self.kicked = true;
                self.say(person(9), room(), Kind::Kick, String::new());
            }
        }
    }

    fn asked(&self, at: usize) -> Option<(OwnedEventId, ruma::OwnedRoomId)> {
        let event = self.server.get(self.requests[at].event.as_ref()?)?;
        (!event.redacted).then(|| (event.id.clone(), event.room.clone()))
    }

    /// Returns what people see that was posted for a request under a step's name, newest first.
    fn posted_for(&self, request: &ruma::EventId, name: &str) -> Option<OwnedEventId> {
        let user = if self.server.get(request)?.room == chat() { assistant() } else { coworker() };
        let ids = (0..4).rev().map(|attempt| RunId::again(request, &user, attempt));
        ids.flat_map(|id| self.server.said_as(&id, name).map(|event| event.id.clone()).collect::<Vec<_>>()).next()
    }

    fn decide(&mut self, card: usize) {
        let event = &self.server.events[card];
        let (target, place) = (event.id.clone(), event.room.clone());
        let asker = if place == chat() { 0 } else { self.asker_of_card(card) };
        if place != chat() && self.chance.happens(200) {
            self.say(person(7), place.clone(), Kind::Reaction { target: target.clone(), key: "✅" }, String::new());
        }
        let key = match self.chance.below(100) {
            0..75 => "✅",
            75..90 => "❌",
            // Nobody says anything.
            _ => return,
        };
        self.say(person(asker), place, Kind::Reaction { target, key }, String::new());
    }

    fn asker_of_card(&self, card: usize) -> usize {
        let of = self.server.events[card].of.as_ref();
        of.and_then(|(run, _)| self.request_of(run)).map_or(0, |request| request.asker)
    }
}
