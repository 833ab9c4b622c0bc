//! Decides whose file is decoded next. Each room and each person has one child at a time, those who used little lately
//! go first, and heavy users leave a child to the others. So nobody's files, in however many rooms, delay everybody
//! else's.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Time with a child within the last [`MEMORY`] from which a room or person counts as a heavy user.
const MUCH: Duration = Duration::from_secs(4);
/// The half-life of remembered use.
const MEMORY: Duration = Duration::from_mins(1);
/// Most rooms and people whose use is remembered; those who used least are dropped first.
const REMEMBERED_MAX: usize = 1_024;

/// Who owns a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The file's room.
    pub room: String,
    /// The file's sender, if a person sent it.
    pub sender: Option<String>,
}

impl Owner {
    /// Returns the owner of a file that no person in the room sent.
    #[must_use]
    pub fn room(room: &str) -> Self {
        Self { room: room.to_owned(), sender: None }
    }

    /// A room id and a user id begin with different characters, so they never collide.
    fn keys(&self) -> impl Iterator<Item = &String> {
        [Some(&self.room), self.sender.as_ref()].into_iter().flatten()
    }

    fn shares_with(&self, other: &Self) -> bool {
        self.room == other.room || (self.sender.is_some() && self.sender == other.sender)
    }
}

/// The owners who wait for a child, and those who have one.
#[derive(Debug)]
pub(super) struct Line<T> {
    places: usize,
    working: Vec<Owner>,
    waiting: VecDeque<(Owner, T)>,
    taken: BTreeMap<String, (Duration, Instant)>,
}

impl<T> Line<T> {
    /// Returns a line for this many children.
    pub(super) fn new(places: usize) -> Self {
        Self { places, working: Vec::new(), waiting: VecDeque::new(), taken: BTreeMap::new() }
    }

    /// Adds an owner at the end of the line.
    pub(super) fn enter(&mut self, owner: Owner, ticket: T) {
        self.waiting.push_back((owner, ticket));
    }

    /// Returns the next owner whose turn it is, if any; they have a child from now on.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Owner, T)> {
        if self.working.len() >= self.places {
            return None;
        }
        // If there are several children, heavy users do not get the last one.
        let greedy_max = self.places.saturating_sub(1).max(1);
        let greedy = self.working.iter().filter(|owner| self.taken_by(owner, now) >= MUCH).count();
        let may_go = |owner: &Owner, taken: Duration| {
            !self.working.iter().any(|other| other.shares_with(owner)) && (taken < MUCH || greedy < greedy_max)
        };
        let each = self.waiting.iter().enumerate();
        let each = each.map(|(at, (owner, _))| (self.taken_by(owner, now), at, owner));
        let (_, at, _) =
            each.filter(|(taken, _, owner)| may_go(owner, *taken)).min_by_key(|(taken, at, _)| (*taken, *at))?;
        let (owner, ticket) = self.waiting.remove(at)?;
        self.working.push(owner.clone());
        Some((owner, ticket))
    }

    /// Records that an owner's child is free again, after `took`.
    pub(super) fn done(&mut self, owner: &Owner, took: Duration, now: Instant) {
        if let Some(at) = self.working.iter().position(|working| working == owner) {
            self.working.swap_remove(at);
        }
        for key in owner.keys() {
            let before = self.left_of(key, now);
            self.taken.insert(key.clone(), (before + took, now));
        }
        if self.taken.len() > REMEMBERED_MAX {
            let mut most: Vec<(String, Duration)> =
                self.taken.keys().map(|key| (key.clone(), self.left_of(key, now))).collect();
            most.sort_by_key(|(_, left)| std::cmp::Reverse(*left));
            for (key, _) in most.split_off(REMEMBERED_MAX / 2) {
                self.taken.remove(&key);
            }
        }
    }

    /// Removes the owners who no longer wait.
    pub(super) fn retain(&mut self, mut waits: impl FnMut(&T) -> bool) {
        self.waiting.retain(|(_, ticket)| waits(ticket));
    }

    /// Returns an owner's recent use: the larger of the room's and the sender's.
    fn taken_by(&self, owner: &Owner, now: Instant) -> Duration {
        owner.keys().map(|key| self.left_of(key, now)).max().unwrap_or_default()
    }

    fn left_of(&self, key: &str, now: Instant) -> Duration {
        let Some((taken, at)) = self.taken.get(key) else { return Duration::ZERO };
        let halves = now.saturating_duration_since(*at).as_secs_f64() / MEMORY.as_secs_f64();
        taken.mul_f64(0.5_f64.powf(halves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(room: &str, sender: &str) -> Owner {
        Owner { room: format!("!{room}"), sender: Some(format!("@{sender}")) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns who gets one of three children, in order, if all come at once.
    fn given(line: &mut Line<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| line.next(now).map(|(_, ticket)| ticket)).collect()
    }

    #[test]
    fn a_room_and_a_person_have_one_child_at_a_time() {
        let now = Instant::now();
        let mut line = Line::new(3);
        for (room, sender, name) in [
            ("a", "mallory", "first"),
            ("a", "bob", "same room"),
            ("b", "mallory", "same person"),
            ("c", "carol", "others"),
        ] {
            line.enter(of(room, sender), name);
        }
        line.enter(Owner::room("!d"), "nobody's");
        assert_eq!(given(&mut line, now), ["first", "others", "nobody's"]);
        line.done(&of("a", "mallory"), seconds(1), now);
        assert_eq!(given(&mut line, now), ["same room"], "the older of two who took as much");
    }

    #[test]
    fn one_person_in_fourteen_rooms_holds_up_nobody() {
        let mut now = Instant::now();
        let mut line = Line::new(3);
        for room in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"] {
            line.enter(of(room, "mallory"), "big");
        }
        for _ in 0..14 {
            assert_eq!(given(&mut line, now), ["big"], "one at a time");
            line.enter(of("team", "alice"), "alice's");
            assert_eq!(given(&mut line, now), ["alice's"], "and another's at once");
            line.done(&of("team", "alice"), Duration::from_millis(50), now);
            now += seconds(8);
            let working = line.working[0].clone();
            line.done(&working, seconds(8), now);
        }
        assert!(given(&mut line, now).is_empty());
    }

    #[test]
    fn many_who_take_much_leave_a_child_to_the_others_and_are_forgiven_in_time() {
        let now = Instant::now();
        let mut line = Line::new(3);
        for sender in ["m1", "m2", "m3"] {
            line.working.push(of(sender, sender));
            line.done(&of(sender, sender), seconds(10), now);
            line.enter(of(sender, sender), "greedy");
        }
        assert_eq!(given(&mut line, now), ["greedy", "greedy"], "the last child stays free");
        line.enter(of("team", "alice"), "alice's");
        assert_eq!(given(&mut line, now), ["alice's"]);
        line.done(&of("team", "alice"), seconds(1), now);
        assert!(given(&mut line, now).is_empty());
        assert_eq!(given(&mut line, now + 2 * MEMORY), ["greedy"], "what was taken long ago does not count");
    }

    #[test]
    fn with_one_child_everybody_has_a_turn_and_who_gave_up_has_none() {
        let now = Instant::now();
        let mut line = Line::new(1);
        line.working.push(of("a", "m"));
        line.done(&of("a", "m"), seconds(60), now);
        line.enter(of("a", "m"), "greedy");
        line.enter(of("b", "n"), "gone");
        line.retain(|ticket| *ticket != "gone");
        assert_eq!(given(&mut line, now), ["greedy"]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_keeps_those_who_took_most() {
        let now = Instant::now();
        let mut line: Line<()> = Line::new(1);
        line.done(&of("worst", "worst"), seconds(60), now);
        for number in 0..REMEMBERED_MAX {
            line.done(&of(&number.to_string(), &number.to_string()), seconds(1), now);
        }
        assert!(line.taken.len() <= REMEMBERED_MAX + 2);
        assert!(line.taken_by(&of("worst", "worst"), now) >= MUCH);
    }
}
