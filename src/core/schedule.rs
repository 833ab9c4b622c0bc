//! Whose turn it is (C11): one run at a time in a lane, a few in a room, a bounded number in all, rooms in turn.
//!
//! The machine itself never waits. [`Schedule::request`] hands out a ticket, [`Schedule::take_granted`] returns the
//! tickets that may go since the last call, and [`Schedule::release`] takes a ticket back, whether its run ended or
//! gave up. A waiting ticket holds nothing: it takes its lane, a place in its room and a place in the whole at once,
//! when all three are free. Places in the whole go round the rooms, so that a busy room delays another by at most one
//! of its requests.
//!
//! What people asked goes before what nobody asked for (C20 to C22): errands take only what is left, and at most half of
//! the places in the whole and in a room, so that no burst of them is noticed in a conversation. An errand that a
//! person's request waits for in its lane counts as that person's.
//!
//! Whoever has a run going leaves a quarter of the places in the whole to those who have none, so that a few people with
//! many slow requests keep nobody else waiting.
//!
//! A run that waits for nothing but people is parked ([`Schedule::park`], C12). It keeps its lane, so that its thread
//! stays in order, but gives up its place in the room and in the whole until it goes on ([`Schedule::unpark`]), however
//! many are parked: cards that nobody decides keep no other work waiting. Where too many are, new requests are declined,
//! of whoever has so many in all rooms and in the room that has.

use std::collections::{BTreeMap, VecDeque};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

#[cfg(test)]
mod tests;

/// Parked runs of one person, in all rooms, from which on their new requests are declined.
pub(crate) const PARKED_OF_PERSON_MAX: usize = 20;
/// Parked runs in a room, of people or of errands, from which on new ones are declined there.
pub(crate) const PARKED_OF_ROOM_MAX: usize = 50;

/// What runs one after another: the runs of one user in one thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The thread's room.
    pub room: OwnedRoomId,
    /// The thread's root; `None` for the timeline.
    pub thread: Option<OwnedEventId>,
    /// The virtual user that answers.
    pub user: OwnedUserId,
}

/// Who wants a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A person asked for it, or waits for it.
    ByPerson,
    /// Nobody: it carries out an errand.
    ByNobody,
}

/// How many runs go and wait at once; each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleLimits {
    /// Runs going in all rooms.
    pub runs_max: usize,
    /// Runs going in one room.
    pub room_runs_max: usize,
    /// Runs waiting in one room that people asked for; as many more may be errands.
    pub waiting_runs_max: usize,
}

impl ScheduleLimits {
    fn at_least_one(self) -> Self {
        let Self { runs_max, room_runs_max, waiting_runs_max } = self;
        Self {
            runs_max: runs_max.max(1),
            room_runs_max: room_runs_max.max(1),
            waiting_runs_max: waiting_runs_max.max(1),
        }
    }

    /// Returns how many errands' runs may go in all rooms: half of all, at least one.
    #[must_use]
    pub fn errand_runs_max(&self) -> usize {
        (self.runs_max / 2).max(1)
    }

    /// Returns how many places are kept for people who have no run going: a quarter of all.
    #[must_use]
    pub fn kept_for_others(&self) -> usize {
        self.runs_max / 4
    }

    /// Returns how many errands' runs may go in one room: half of the room's, at least one.
    #[must_use]
    pub fn room_errand_runs_max(&self) -> usize {
        (self.room_runs_max / 2).max(1)
    }
}

/// A run's claim to a turn; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// The error when too many runs wait in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The tickets that go and that wait.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    limits: ScheduleLimits,
    lines: BTreeMap<OwnedRoomId, Line>,
    /// Rooms with waiting or returning runs, each once; the room whose last turn is longest ago comes first.
    turns: VecDeque<OwnedRoomId>,
    /// The tickets that go, with their rooms, in the order in which they began.
    going: VecDeque<Going>,
    /// Tickets that go but were not returned by [`Schedule::take_granted`] yet.
    granted: Vec<Ticket>,
    last: u64,
    /// Who asks for the next ticket.
    asker: Option<OwnedUserId>,
}

/// A ticket that goes.
#[derive(Clone, Debug)]
struct Going {
    ticket: Ticket,
    room: OwnedRoomId,
    wanted: Wanted,
    asker: Option<OwnedUserId>,
}

/// What a ticket claims.
#[derive(Clone, Debug)]
struct Claim {
    ticket: Ticket,
    lane: Lane,
    wanted: Wanted,
    /// The person whose request it is, if that is known.
    asker: Option<OwnedUserId>,
}

/// The tickets of one room.
#[derive(Clone, Debug, Default)]
struct Line {
    going: Vec<Claim>,
    /// Parked tickets: they hold only their lanes.
    parked: Vec<Claim>,
    /// Tickets that were parked and wait to go on, in the order of [`Schedule::unpark`].
    returning: VecDeque<Claim>,
    /// Tickets that have not gone yet, in the order of requests.
    waiting: VecDeque<Claim>,
}

impl Schedule {
    /// Returns an empty schedule.
    #[must_use]
    pub(crate) fn new(limits: ScheduleLimits) -> Self {
        Self {
            limits: limits.at_least_one(),
            lines: BTreeMap::new(),
            turns: VecDeque::new(),
            going: VecDeque::new(),
            granted: Vec::new(),
            last: 0,
            asker: None,
        }
    }

    /// Goes on with other limits. Higher ones let further tickets go at once; lower ones end none that goes.
    pub(crate) fn follow(&mut self, limits: ScheduleLimits) {
        self.limits = limits.at_least_one();
        self.settle();
    }

    /// Names the person whose request the next ticket is for.
    pub(crate) fn asked_by(&mut self, asker: Option<&UserId>) -> &mut Self {
        self.asker = asker.map(ToOwned::to_owned);
        self
    }

    /// Takes a ticket for a new run.
    ///
    /// # Errors
    /// [`Full`] if too many runs of its kind, or of its asker, wait already; the request is then declined.
    pub(crate) fn request(&mut self, lane: Lane, wanted: Wanted) -> Result<Ticket, Full> {
        if self.is_full(&lane.room, Some(&lane), wanted) {
            self.asker = None;
            return Err(Full);
        }
        Ok(self.resume(lane, wanted))
    }

    /// Returns whether [`Self::request`] would decline a run in this lane of the room; without one, in a thread that has
    /// yet to begin.
    #[must_use]
    pub(crate) fn is_full(&self, room: &RoomId, lane: Option<&Lane>, wanted: Wanted) -> bool {
        let line = self.lines.get(room);
        let waiting = line.map_or(0, |line| line.waiting_for(wanted));
        let parked = line.map_or(0, |line| line.parked().filter(|parked| parked.wanted == wanted).count());
        parked >= PARKED_OF_ROOM_MAX
            || self.has_too_many_parked(self.asker.as_deref())
            || waiting >= self.limits.waiting_runs_max && !self.is_free(room, lane, wanted)
    }

    /// Returns whether so many runs that this person asked for are parked that they leave no further one.
    fn has_too_many_parked(&self, asker: Option<&UserId>) -> bool {
        let parked = || self.lines.values().flat_map(Line::parked).filter(|parked| parked.asker.as_deref() == asker);
        asker.is_some() && parked().count() >= PARKED_OF_PERSON_MAX
    }

    /// Takes a ticket for a run that an earlier process accepted; it is never declined.
    pub(crate) fn resume(&mut self, lane: Lane, wanted: Wanted) -> Ticket {
        self.last += 1;
        let (ticket, asker) = (Ticket(self.last), self.asker.take());
        let line = self.lines.entry(lane.room.clone()).or_default();
        if !line.has_waiting() {
            self.turns.push_back(lane.room.clone());
        }
        line.waiting.push_back(Claim { ticket, lane, wanted, asker });
        self.settle();
        ticket
    }

    /// Takes back the ticket of a run that has ended or no longer waits. Unknown tickets are ignored.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        self.going.retain(|going| going.ticket != ticket);
        let held = self.lines.iter().find(|(_, line)| line.holds(ticket)).map(|(room, _)| room.clone());
        let Some(room) = held else { return };
        let line = self.lines.entry(room.clone()).or_default();
        line.going.retain(|kept| kept.ticket != ticket);
        line.parked.retain(|kept| kept.ticket != ticket);
        line.returning.retain(|kept| kept.ticket != ticket);
        line.waiting.retain(|kept| kept.ticket != ticket);
        if !line.has_waiting() {
            self.turns.retain(|waiting| *waiting != room);
        }
        if line.is_empty() {
            self.lines.remove(&room);
        }
        self.granted.retain(|granted| *granted != ticket);
        self.settle();
    }

    /// Parks a ticket that goes: its places are free. Returns whether it went; one that does not is ignored.
    pub(crate) fn park(&mut self, ticket: Ticket) -> bool {
        let Some(at) = self.going.iter().position(|going| going.ticket == ticket) else { return false };
        let Some(line) = self.lines.get_mut(&self.going[at].room) else { return false };
        let Some(of_line) = line.going.iter().position(|going| going.ticket == ticket) else { return false };
        line.parked.push(line.going.remove(of_line));
        self.going.remove(at);
        self.settle();
        true
    }

    /// Puts a parked ticket back in line, before all tickets of its room that have not gone yet. A ticket that is not
    /// parked is ignored.
    pub(crate) fn unpark(&mut self, ticket: Ticket) {
        let parked = |line: &Line| line.parked.iter().position(|parked| parked.ticket == ticket);
        let found = self.lines.iter_mut().find_map(|(room, line)| Some((room.clone(), parked(line)?, line)));
        let Some((room, at, line)) = found else { return };
        if !line.has_waiting() {
            self.turns.push_back(room);
        }
        line.returning.push_back(line.parked.remove(at));
        self.settle();
    }

    /// Returns whether a ticket goes.
    #[must_use]
    pub(crate) fn goes(&self, ticket: Ticket) -> bool {
        self.going.iter().any(|going| going.ticket == ticket)
    }

    /// Returns the tickets granted since the last call, in the order of their turns.
    pub(crate) fn take_granted(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.granted)
    }

    /// Returns how many tickets go and how many wait.
    #[must_use]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.going.len(), self.lines.values().map(|line| line.waiting.len() + line.returning.len()).sum())
    }

    /// Returns how many tickets go before `ticket`; 0 if it goes or is parked.
    ///
    /// While its thread is busy, only those waiting in that thread count. Otherwise it waits for a place in its room,
    /// or in the whole if that is full. The count then assumes that going runs end in the order in which they began,
    /// then the parked ones, and that nobody gives up. A later request may still overtake it, from a room whose turn
    /// comes earlier. That of an errand is a guess: whatever people ask meanwhile goes first.
    #[must_use]
    pub(crate) fn ahead(&self, ticket: Ticket) -> usize {
        let Some((room, line)) = self.lines.iter().find(|(_, line)| line.waits(ticket)) else { return 0 };
        if let Some(before) = line.before_in_lane(ticket) {
            return before;
        }
        let mut rest = self.clone();
        rest.granted.clear();
        if line.claim(ticket).is_some_and(|claim| self.has_place_for(line.rank(claim), claim.asker.as_deref())) {
            rest.lines.retain(|kept, _| kept == room);
            rest.turns.retain(|kept| kept == room);
            rest.going.retain(|going| going.room == *room);
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
        let parked = || self.lines.values().flat_map(|line| &line.parked).map(|parked| parked.ticket).min();
        self.going.front().map(|going| going.ticket).or_else(parked)
    }

    /// Returns whether a run in this lane would go at once. No ticket that could go is waiting, so it would take
    /// nobody's turn.
    fn is_free(&self, room: &RoomId, lane: Option<&Lane>, wanted: Wanted) -> bool {
        let is_taken =
            |line: &Line, lane| line.is_taken(lane) || line.waiting.iter().any(|before| before.lane == *lane);
        self.has_place_for(wanted, self.asker.as_deref())
            && self.lines.get(room).is_none_or(|line| {
                line.has_place_for(wanted, &self.limits) && !lane.is_some_and(|lane| is_taken(line, lane))
            })
    }

    /// Returns whether the whole has a place for a run that this person asked for, if one did.
    fn has_place_for(&self, wanted: Wanted, asker: Option<&UserId>) -> bool {
        let errands = || self.going.iter().filter(|going| going.wanted == Wanted::ByNobody).count();
        let has_one = asker.is_some() && self.going.iter().any(|going| going.asker.as_deref() == asker);
        let kept = if has_one { self.limits.kept_for_others() } else { 0 };
        self.going.len() + kept < self.limits.runs_max
            && (wanted == Wanted::ByPerson || errands() < self.limits.errand_runs_max())
    }

    /// Grants turns until no further ticket can go.
    fn settle(&mut self) {
        while let Some(ticket) = self.grant(Wanted::ByPerson).or_else(|| self.grant(Wanted::ByNobody)) {
            self.granted.push(ticket);
        }
    }

    /// Grants one turn: of the rooms in which a ticket of this rank can go, to the one whose turn it is.
    fn grant(&mut self, rank: Wanted) -> Option<Ticket> {
        if !self.has_place_for(rank, None) {
            return None;
        }
        let has_place = |claim: &Claim| self.has_place_for(rank, claim.asker.as_deref());
        let ready = |room| self.lines.get(room).and_then(|line| line.ready(rank, &self.limits, has_place));
        let (turn, at) = self.turns.iter().enumerate().find_map(|(turn, room)| Some((turn, ready(room)?)))?;
        let room = self.turns.remove(turn)?;
        let line = self.lines.get_mut(&room)?;
        let claim = match at {
            Ready::Returning(at) => line.returning.remove(at)?,
            Ready::Waiting(at) => line.waiting.remove(at)?,
        };
        let (ticket, wanted, asker) = (claim.ticket, claim.wanted, claim.asker.clone());
        line.going.push(claim);
        if line.has_waiting() {
            self.turns.push_back(room.clone());
        }
        self.going.push_back(Going { ticket, room, wanted, asker });
        Some(ticket)
    }
}

/// Which ticket of a room goes next.
#[derive(Clone, Copy, Debug)]
enum Ready {
    /// The returning one at this index.
    Returning(usize),
    /// The waiting one at this index.
    Waiting(usize),
}

impl Line {
    fn waits(&self, ticket: Ticket) -> bool {
        self.returning.iter().chain(&self.waiting).any(|waiting| waiting.ticket == ticket)
    }

    fn holds(&self, ticket: Ticket) -> bool {
        self.waits(ticket) || self.going.iter().chain(&self.parked).any(|held| held.ticket == ticket)
    }

    /// Returns what is parked, or was and waits to go on.
    fn parked(&self) -> impl Iterator<Item = &Claim> {
        self.parked.iter().chain(&self.returning)
    }

    fn has_waiting(&self) -> bool {
        !self.returning.is_empty() || !self.waiting.is_empty()
    }

    fn waiting_for(&self, wanted: Wanted) -> usize {
        self.waiting.iter().filter(|waiting| waiting.wanted == wanted).count()
    }

    fn is_empty(&self) -> bool {
        self.going.is_empty() && self.parked.is_empty() && !self.has_waiting()
    }

    /// Returns how many wait before it in its lane; `None` if its lane is free for it.
    fn before_in_lane(&self, ticket: Ticket) -> Option<usize> {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let lane = &self.waiting[at].lane;
        let before = self.waiting.iter().take(at).filter(|other| other.lane == *lane).count();
        (before > 0 || self.is_taken(lane)).then_some(before)
    }

    fn is_taken(&self, lane: &Lane) -> bool {
        self.going.iter().chain(&self.parked).chain(&self.returning).any(|taken| taken.lane == *lane)
    }

    /// Returns whether the room has a place.
    fn has_place_for(&self, wanted: Wanted, limits: &ScheduleLimits) -> bool {
        let errands = || self.going.iter().filter(|going| going.wanted == Wanted::ByNobody).count();
        self.going.len() < limits.room_runs_max
            && (wanted == Wanted::ByPerson || errands() < limits.room_errand_runs_max())
    }

    /// Returns with whose rank a claim waits: an errand's is a person's if a person's request waits behind it.
    fn rank(&self, claim: &Claim) -> Wanted {
        let presses = |other: &Claim| other.wanted == Wanted::ByPerson && other.lane == claim.lane;
        if claim.wanted == Wanted::ByPerson || self.waiting.iter().any(presses) {
            Wanted::ByPerson
        } else {
            Wanted::ByNobody
        }
    }

    fn claim(&self, ticket: Ticket) -> Option<&Claim> {
        self.returning.iter().chain(&self.waiting).find(|claim| claim.ticket == ticket)
    }

    /// Returns which ticket of a rank goes next if the room has a place: of those for which the whole has one, a returning
    /// one, else the first whose lane is free.
    fn ready(&self, rank: Wanted, limits: &ScheduleLimits, has_place: impl Fn(&Claim) -> bool) -> Option<Ready> {
        if !self.has_place_for(rank, limits) {
            return None;
        }
        let returning =
            self.returning.iter().position(|claim| self.rank(claim) == rank && has_place(claim)).map(Ready::Returning);
        let is_next = |claim: &Claim| self.rank(claim) == rank && !self.is_taken(&claim.lane) && has_place(claim);
        returning.or_else(|| self.waiting.iter().position(is_next).map(Ready::Waiting))
    }
}
