//! Events that the homeserver delivers: kept in the inbox, then handled once, in the order in which they come.

use ruma::{EventId, OwnedEventId};

use super::{
    Planted,
    cast::{assistant, coworker},
    disk::{Kept, Write},
    happening::Happening,
    server::Kind,
    world::World,
};
use crate::core::{
    admission::{Admission, Request, admit},
    breaker::Gate,
    edits::Edit,
    event::Place,
    run::{Input, Order, RunId, RunRecord},
    time::Timestamp,
};

/// So often a request is run again.
const AGAIN_MAX: u32 = 3;

impl World {
    /// A delivery: known events are acknowledged, new ones once they are on disk.
    pub(super) fn deliver(&mut self, event: usize) {
        if self.process.is_none() {
            // Delivered again until somebody takes it.
            return self.after(3_000, Happening::Deliver(event));
        }
        let forgets = self.planted == Some(Planted::Dedupe);
        if self.disk.now.known.contains(&event) && !forgets {
            return;
        }
        self.disk.write(Write::Came(event));
        self.disk.flush();
        if self.goes_wrong(4) {
            return self.kill();
        }
        self.handle(event);
        if self.process.is_some() {
            self.disk.write(Write::Handled(event));
        }
    }

    pub(super) fn handle(&mut self, number: usize) {
        let event = self.server.events[number].clone();
        self.write_down("", || format!("{} is handled: {:?}", event.id, event.kind));
        match event.kind {
            Kind::Request => self.begin_request(&event.id, 0),
            Kind::Edit { target } => self.edit(&target),
            Kind::Reaction { target, key: "🛑" } => self.order_about(&target, &Order::Stop),
            Kind::Reaction { target, key: "🔁" } => self.again(&target),
            Kind::Reaction { target, .. } => self.hear_decision(&target),
            Kind::Redaction { target } => self.redact(&target),
            Kind::Kick => {
                let ids = self.ids(|record| !record.private);
                for id in ids {
                    self.order(&id, &Order::Drop);
                }
            }
            Kind::Said | Kind::Card(_) | Kind::Replaced => {}
        }
    }

    fn ids(&self, meant: impl Fn(&RunRecord) -> bool) -> Vec<RunId> {
        let live = self.process.iter().flat_map(|process| &process.live);
        live.filter(|(_, live)| meant(live.run.record())).map(|(id, _)| id.clone()).collect()
    }

    fn begin_request(&mut self, request: &EventId, attempt: u32) {
        let Some(at) = self.requests.iter().position(|known| known.event.as_deref() == Some(request)) else { return };
        let Some(event) = self.server.get(request) else { return };
        let (private, asker) = (self.requests[at].private, event.sender.clone());
        let user = if private { assistant() } else { coworker() };
        let id = RunId::again(request, &user, attempt);
        if event.redacted {
            self.hidden.insert(id.clone());
        }
        let forgets = self.planted == Some(Planted::Dedupe);
        let over = (self.disk.now.index.contains_key(&id) || self.disk.now.declined.contains(request)) && !forgets;
        let asks = Request { user: &user, command: None, known: self.disk.now.runs.contains_key(&id) || over };
        let admitted =
            admit(&asks, &std::collections::BTreeSet::new(), || Ok::<_, std::convert::Infallible>(Gate::Open));
        if !matches!(admitted, Ok(Admission::Run)) || (self.kicked && !private) {
            return;
        }
        let place = match self.requests[at].thread.and_then(|at| self.requests[at].event.clone()) {
            _ if private => Place::Timeline,
            Some(root) => Place::Thread { root, latest: request.to_owned() },
            None => Place::Thread { root: request.to_owned(), latest: request.to_owned() },
        };
        let room = event.room.clone();
        let asked_at = Timestamp::from_ms(event.at_ms);
        let record = RunRecord {
            asked_at,
            private,
            attempt,
            ..RunRecord::new(&user, &room, request, &asker, place, self.now())
        };
        self.begin(Kept { record, incarnation: 0 }, false);
    }

    fn edit(&mut self, target: &EventId) {
        let now = self.now();
        for id in self.ids(|record| record.request == target) {
            let Some(live) = self.live(&id) else { continue };
            let taken = live.edits.take(now, || Ok::<_, std::convert::Infallible>(Gate::Open));
            if matches!(taken, Ok(Edit::Replaces | Edit::Restarts)) {
                self.order(&id, &Order::Restart);
            }
        }
    }

    /// Gives an order to the runs that a message asked for or that showed it; kept, where nobody is known to have.
    fn order_about(&mut self, target: &EventId, order: &Order) {
        let Some(process) = &mut self.process else { return };
        let shows = |live: &&mut super::going::Live| {
            live.run.record().request == target || live.shown.iter().any(|shown| shown == target)
        };
        let meant: Vec<RunId> =
            process.live.iter_mut().filter(|(_, live)| shows(live)).map(|(id, _)| id.clone()).collect();
        if meant.is_empty() {
            for live in process.live.values_mut() {
                live.early.push((target.to_owned(), order.clone()));
            }
        }
        for id in meant {
            self.order(&id, order);
        }
    }

    pub(super) fn order(&mut self, id: &RunId, order: &Order) {
        if self.planted == Some(Planted::TakeBack) && *order == Order::TakeBack {
            return;
        }
        self.step(id, Input::Order(order.clone()));
    }

    /// Notes that a run has shown an event, and gives it the orders about that which came before.
    pub(super) fn show(&mut self, id: &RunId, event: &OwnedEventId) {
        let Some(live) = self.live(id) else { return };
        live.shown.push(event.clone());
        let (about, others) = std::mem::take(&mut live.early).into_iter().partition(|(target, _)| target == event);
        live.early = others;
        let about: Vec<(OwnedEventId, Order)> = about;
        for (_, order) in about {
            let what = super::happening::Done::Was(Box::new(Input::Order(order)));
            self.later(id, 0, what);
        }
    }

    /// What people did about a run that it did not hear.
    pub(super) fn look_back(&mut self, id: &RunId) {
        let Some(live) = self.live(id) else { return };
        let record = live.run.record();
        let (request, since) = (record.request.clone(), record.asked_at.as_ms());
        let shown = [Some(request.clone()), record.status.clone(), record.streamed.clone()];
        let stops = shown
            .into_iter()
            .flatten()
            .any(|target| self.server.reactions(&target).any(|(event, key)| key == "🛑" && event.at_ms >= since));
        // A run that is stopped does not look any further.
        if self.server.get(&request).is_some_and(|event| event.redacted) {
            self.order(id, &Order::TakeBack);
        } else if stops {
            self.order(id, &Order::Stop);
        }
    }

    /// 🔁 on an answer runs its request again, once for each.
    fn again(&mut self, answer: &EventId) {
        let posted = self.disk.now.posted.iter().find(|(_, posted)| posted.iter().any(|(_, event)| event == answer));
        let Some(request) = posted.map(|(request, _)| request.clone()) else { return };
        if self.server.get(&request).is_none_or(|event| event.redacted) {
            return;
        }
        let count = self.disk.now.again.get(&request).copied().unwrap_or_default() + 1;
        if count > AGAIN_MAX {
            return;
        }
        self.disk.write(Write::Again(request.clone(), count));
        self.begin_request(&request, count);
    }

    /// A request is gone: its runs end, and what they said is taken back.
    fn redact(&mut self, request: &EventId) {
        let going = self.ids(|record| record.request == request);
        // Of a card that is on its way the end of its run sees to it.
        let is_out = |card: &super::disk::Card| card.event.is_some() && card.standing.request == request;
        let cards = self.disk.now.cards.iter().filter(|(_, card)| is_out(card));
        let cards: Vec<_> = cards.map(|(key, _)| key.clone()).collect();
        for key in cards {
            self.withdraw_card(&key);
        }
        for id in &going {
            self.order(id, &Order::TakeBack);
        }
        let owed = self.disk.now.owed.values().filter(|owed| owed.request == request).cloned().collect::<Vec<_>>();
        for mut owed in owed {
            owed.take_back();
            let left = (!owed.deeds.is_empty()).then(|| Box::new(owed.clone()));
            self.disk.write(Write::Owed(owed.run, left));
        }
        let posted = self.disk.now.posted.get(request).cloned().unwrap_or_default();
        for (id, event) in posted {
            if !going.contains(&id) {
                self.take_back(&event);
            }
        }
    }

    /// Redacts a message of ours; that is tried until it is done.
    pub(super) fn take_back(&mut self, event: &EventId) {
        if let Some(event) = self.server.get_mut(event) {
            event.redacted = true;
        }
        self.write_down("", || format!("{event} is redacted"));
    }
}
