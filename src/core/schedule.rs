//! Whose turn it is (C11): one run at a time in a lane, a few in a room, a bounded number over all, rooms in turn.
//!
//! The machine waits for nothing itself: [`Schedule::request`] hands out a ticket, [`Schedule::take_granted`] says which tickets
//! may go since it was asked last, and [`Schedule::release`] takes a ticket back, whether it went or gave up. A ticket
//! takes nothing while it waits: lane, room and whole are taken together, once all three are free. The places of the
//! whole go round the rooms, so that a room with many requests holds up another for one of them at the most.
//!
//! A run that waits for nothing but people is parked ([`Schedule::park`], C12): it keeps its lane, so that its thread
//! stays in order, and gives back its place in the room and in the whole until it goes on ([`Schedule::unpark`]).

use std::collections::{BTreeMap, VecDeque};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

#[cfg(test)]
mod tests;

/// What runs one after the other: the runs of one user in one thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The room.
    pub room: OwnedRoomId,
    /// The thread's root; `None` is the timeline.
    pub thread: Option<OwnedEventId>,
    /// The virtual user that answers.
    pub user: OwnedUserId,
}

/// How much goes on and waits at once; each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleLimits {
    /// Runs that go on in all rooms.
    pub runs_max: usize,
    /// Runs that go on in one room.
    pub room_runs_max: usize,
    /// Runs that wait in one room; as many may be parked besides.
    pub waiting_runs_max: usize,
}

/// A run's claim to a turn; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// As many runs wait in the room as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Who goes and who waits.
#[derive(Clone, Debug)]
pub struct Schedule {
    limits: ScheduleLimits,
    lines: BTreeMap<OwnedRoomId, Line>,
    /// Rooms in which runs wait, parked ones not counted, each once; the one that went longest ago first.
    turns: VecDeque<OwnedRoomId>,
    /// Who goes, in the order in which they began, with their rooms.
    going: VecDeque<(Ticket, OwnedRoomId)>,
    /// Who goes and was not told so yet.
    granted: Vec<Ticket>,
    last: u64,
}

/// One room's part.
#[derive(Clone, Debug, Default)]
struct Line {
    going: Vec<(Ticket, Lane)>,
    /// Those that hold nothing but their lanes, and want nothing yet.
    parked: Vec<(Ticket, Lane)>,
    /// Those that were parked and wait to go on, in the order in which they asked.
    returning: VecDeque<(Ticket, Lane)>,
    /// In the order of requests.
    waiting: VecDeque<(Ticket, Lane)>,
}

impl Schedule {
    /// Returns a schedule in which nobody goes yet.
    #[must_use]
    pub fn new(limits: ScheduleLimits) -> Self {
        let ScheduleLimits { runs_max, room_runs_max, waiting_runs_max } = limits;
        Self {
            limits: ScheduleLimits {
                runs_max: runs_max.max(1),
                room_runs_max: room_runs_max.max(1),
                waiting_runs_max: waiting_runs_max.max(1),
            },
            lines: BTreeMap::new(),
            turns: VecDeque::new(),
            going: VecDeque::new(),
            granted: Vec::new(),
            last: 0,
        }
    }

    /// Takes a ticket for a run that is asked for now.
    ///
    /// # Errors
    /// [`Full`] where it would have to wait and as many wait in its room as may. It is declined then.
    pub fn request(&mut self, lane: Lane) -> Result<Ticket, Full> {
        let waiting = self.lines.get(&lane.room).map_or(0, |line| line.waiting.len());
        if waiting >= self.limits.waiting_runs_max && !self.is_free(&lane) {
            return Err(Full);
        }
        Ok(self.resume(lane))
    }

    /// Takes a ticket for a run that was accepted before, by an earlier process: it is never declined.
    pub fn resume(&mut self, lane: Lane) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        let line = self.lines.entry(lane.room.clone()).or_default();
        if !line.has_waiting() {
            self.turns.push_back(lane.room.clone());
        }
        line.waiting.push_back((ticket, lane));
        self.settle();
        ticket
    }

    /// Takes a ticket back: its run has ended, or does not wait any longer. A ticket that is not known changes nothing.
    pub fn release(&mut self, ticket: Ticket) {
        self.going.retain(|(going, _)| *going != ticket);
        let held = self.lines.iter().find(|(_, line)| line.holds(ticket)).map(|(room, _)| room.clone());
        let Some(room) = held else { return };
        let line = self.lines.entry(room.clone()).or_default();
        line.going.retain(|(kept, _)| *kept != ticket);
        line.parked.retain(|(kept, _)| *kept != ticket);
        line.returning.retain(|(kept, _)| *kept != ticket);
        line.waiting.retain(|(kept, _)| *kept != ticket);
        if !line.has_waiting() {
            self.turns.retain(|waiting| *waiting != room);
        }
        if line.is_empty() {
            self.lines.remove(&room);
        }
        self.granted.retain(|granted| *granted != ticket);
        self.settle();
    }

    /// Parks a ticket that goes; returns whether its places are given back. They are not where as many runs are parked in
    /// its room as may wait there: it then goes on holding them. A ticket that does not go changes nothing.
    pub fn park(&mut self, ticket: Ticket) -> bool {
        let Some(at) = self.going.iter().position(|(going, _)| *going == ticket) else { return false };
        let Some(line) = self.lines.get_mut(&self.going[at].1) else { return false };
        if line.parked.len() + line.returning.len() >= self.limits.waiting_runs_max {
            return false;
        }
        let Some(of_line) = line.going.iter().position(|(going, _)| *going == ticket) else { return false };
        line.parked.push(line.going.remove(of_line));
        self.going.remove(at);
        self.settle();
        true
    }

    /// Takes a parked ticket back into the line: it goes before all in its room that have not gone yet, once the room
    /// and the whole have a place for it. A ticket that is not parked changes nothing.
    pub fn unpark(&mut self, ticket: Ticket) {
        let parked = |line: &Line| line.parked.iter().position(|(parked, _)| *parked == ticket);
        let found = self.lines.iter_mut().find_map(|(room, line)| Some((room.clone(), parked(line)?, line)));
        let Some((room, at, line)) = found else { return };
        if !line.has_waiting() {
            self.turns.push_back(room);
        }
        line.returning.push_back(line.parked.remove(at));
        self.settle();
    }

    /// Whether a ticket goes.
    #[must_use]
    pub fn goes(&self, ticket: Ticket) -> bool {
        self.going.iter().any(|(going, _)| *going == ticket)
    }

    /// Returns the tickets that may go and were not returned before, in the order of their turns.
    pub fn take_granted(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.granted)
    }

    /// Returns how many go, and how many wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.going.len(), self.lines.values().map(|line| line.waiting.len() + line.returning.len()).sum())
    }

    /// Returns how many go before `ticket` of those that wait for what it waits for; 0 for one that goes or is parked.
    ///
    /// While its thread is taken, that is who waits there: what goes on elsewhere is no concern of its people. Else it waits
    /// for a place in its room, or over all where all are taken: then it is who goes first, if those that go on end in the
    /// order in which they began, then those that are parked, and nobody gives up. Who comes later may still come before
    /// it, from a room whose turn is earlier.
    #[must_use]
    pub fn ahead(&self, ticket: Ticket) -> usize {
        let Some((room, line)) = self.lines.iter().find(|(_, line)| line.waits(ticket)) else { return 0 };
        if let Some(before) = line.before_in_lane(ticket) {
            return before;
        }
        let mut rest = self.clone();
        rest.granted.clear();
        if self.going.len() < self.limits.runs_max {
            rest.lines.retain(|kept, _| kept == room);
            rest.turns.retain(|kept| kept == room);
            rest.going.retain(|(_, kept)| kept == room);
        }
        let mut ahead = 0;
        while let Some(next) = rest.next_to_end() {
            rest.release(next);
            for granted in rest.take_granted() {
                if granted == ticket {
                    return ahead;
                }
                ahead += 1;
            }
        }
        ahead
    }

    fn next_to_end(&self) -> Option<Ticket> {
        let parked = || self.lines.values().flat_map(|line| &line.parked).map(|(ticket, _)| *ticket).min();
        self.going.front().map(|(ticket, _)| *ticket).or_else(parked)
    }

    /// Whether a run in this lane would go at once. Nobody who could go waits, so it would take nobody's turn.
    fn is_free(&self, lane: &Lane) -> bool {
        let has_place = self.going.len() < self.limits.runs_max;
        has_place
            && self.lines.get(&lane.room).is_none_or(|line| {
                line.going.len() < self.limits.room_runs_max
                    && !line.is_taken(lane)
                    && !line.waiting.iter().any(|(_, before)| before == lane)
            })
    }

    /// Lets go whoever can.
    fn settle(&mut self) {
        while self.going.len() < self.limits.runs_max {
            let Some(ticket) = self.grant() else { return };
            self.granted.push(ticket);
        }
    }

    /// Lets one go: of the rooms where one can, the one whose turn it is.
    fn grant(&mut self) -> Option<Ticket> {
        let most = self.limits.room_runs_max;
        let ready = |room| self.lines.get(room).and_then(|line| line.ready(most));
        let (turn, at) = self.turns.iter().enumerate().find_map(|(turn, room)| Some((turn, ready(room)?)))?;
        let room = self.turns.remove(turn)?;
        let line = self.lines.get_mut(&room)?;
        let (ticket, lane) = match at {
            Ready::Returning => line.returning.pop_front()?,
            Ready::Waiting(at) => line.waiting.remove(at)?,
        };
        line.going.push((ticket, lane));
        if line.has_waiting() {
            self.turns.push_back(room.clone());
        }
        self.going.push_back((ticket, room));
        Some(ticket)
    }
}

/// Who of a room goes next.
#[derive(Clone, Copy, Debug)]
enum Ready {
    /// The first that was parked.
    Returning,
    /// The one at this place of those that wait.
    Waiting(usize),
}

impl Line {
    fn waits(&self, ticket: Ticket) -> bool {
        self.returning.iter().chain(&self.waiting).any(|(waiting, _)| *waiting == ticket)
    }

    fn holds(&self, ticket: Ticket) -> bool {
        self.waits(ticket) || self.going.iter().chain(&self.parked).any(|(held, _)| *held == ticket)
    }

    fn has_waiting(&self) -> bool {
        !self.returning.is_empty() || !self.waiting.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.going.is_empty() && self.parked.is_empty() && !self.has_waiting()
    }

    /// Returns how many wait in the lane of one that waits before it; `None` where its lane is free for it.
    fn before_in_lane(&self, ticket: Ticket) -> Option<usize> {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == ticket)?;
        let lane = &self.waiting[at].1;
        let before = self.waiting.iter().take(at).filter(|(_, other)| other == lane).count();
        (before > 0 || self.is_taken(lane)).then_some(before)
    }

    fn is_taken(&self, lane: &Lane) -> bool {
        self.going.iter().chain(&self.parked).chain(&self.returning).any(|(_, taken)| taken == lane)
    }

    /// Returns who goes next while the room has a place: who was parked, then the first whose lane is free.
    fn ready(&self, room_runs_max: usize) -> Option<Ready> {
        if self.going.len() >= room_runs_max {
            return None;
        }
        if !self.returning.is_empty() {
            return Some(Ready::Returning);
        }
        self.waiting.iter().position(|(_, lane)| !self.is_taken(lane)).map(Ready::Waiting)
    }
}
