//! Entries waiting in memory, by room; those beyond the limits stay in the store and are read when their turn comes.

use std::collections::{HashMap, VecDeque};

use ruma::{OwnedRoomId, RoomId};
use tokio::time::Instant;

use crate::store::InboxEntry;

/// How many entries are held in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLimits {
    /// Of one room.
    pub(super) room_max: usize,
    /// Of all rooms; beyond it, one of each room that is being handled.
    pub(super) all_max: usize,
}

/// A line for each room in which something waits.
#[derive(Debug)]
pub(super) struct Lines {
    limits: HeldLimits,
    rooms: HashMap<OwnedRoomId, Line>,
    held: usize,
}

#[derive(Debug, Default)]
struct Line {
    held: VecDeque<(InboxEntry, Instant)>,
    /// The entries left in the store, behind those that are held.
    left: Option<Left>,
}

/// A stretch of the inbox in which all entries of one room were left in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// The first entry's sequence number.
    pub(super) from: u64,
    /// The last entry's sequence number.
    pub(super) to: u64,
}

/// What comes next in a room.
#[derive(Debug)]
pub(super) enum Next {
    /// This entry, and when it was accepted.
    Entry(Box<(InboxEntry, Instant)>),
    /// Entries left in the store: read up to this many and give them to [`Lines::refill`].
    Read(Left, usize),
    /// Nothing; the line is removed.
    Nothing,
}

impl Lines {
    pub(super) fn new(limits: HeldLimits) -> Self {
        Self { limits, rooms: HashMap::new(), held: 0 }
    }

    /// Takes the inbox's next entry; returns whether its room had no line until now.
    pub(super) fn push(&mut self, entry: InboxEntry, accepted: Instant) -> bool {
        let is_new = !self.rooms.contains_key(&entry.event.room_id);
        let line = self.rooms.entry(entry.event.room_id.clone()).or_default();
        if let Some(left) = &mut line.left {
            left.to = entry.seq;
        } else if line.held.len() >= self.limits.room_max || self.held >= self.limits.all_max {
            line.left = Some(Left { from: entry.seq, to: entry.seq });
        } else {
            line.held.push_back((entry, accepted));
            self.held += 1;
        }
        is_new
    }

    pub(super) fn next(&mut self, room: &RoomId) -> Next {
        let Some(line) = self.rooms.get_mut(room) else { return Next::Nothing };
        if let Some(entry) = line.held.pop_front() {
            self.held -= 1;
            return Next::Entry(Box::new(entry));
        }
        let Some(left) = line.left else {
            self.rooms.remove(room);
            return Next::Nothing;
        };
        let spare = self.limits.all_max.saturating_sub(self.held);
        Next::Read(left, spare.clamp(1, self.limits.room_max))
    }

    /// Takes the room's first `most` entries of those left in the store, or all if there are fewer.
    pub(super) fn refill(&mut self, room: &RoomId, scanned: (Left, usize), read: Vec<InboxEntry>, accepted: Instant) {
        let Some(line) = self.rooms.get_mut(room) else { return };
        let (left, most) = scanned;
        let to = read.last().filter(|_| read.len() >= most).map_or(left.to, |last| last.seq);
        // More entries may have been left while the store was read.
        line.left = line.left.filter(|left| left.to > to).map(|left| Left { from: to + 1, to: left.to });
        self.held += read.len();
        line.held.extend(read.into_iter().map(|entry| (entry, accepted)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{core::time::Timestamp, store::InboxEvent};

    const LIMITS: HeldLimits = HeldLimits { room_max: 2, all_max: 5 };
    const ROOMS: usize = 4;

    fn room(number: usize) -> OwnedRoomId {
        OwnedRoomId::try_from(format!("!{number}:hs")).expect("a room id")
    }

    fn entry(seq: u64, in_room: usize) -> InboxEntry {
        let event = InboxEvent {
            event_id: format!("$e{seq}").try_into().expect("an event id"),
            room_id: room(in_room),
            sender: ruma::owned_user_id!("@a:hs"),
            event_type: "m.room.message".to_owned(),
            state_key: None,
            sent_at: Timestamp::from_ms(0),
            json: String::new(),
        };
        InboxEntry { seq, accepted_at: Timestamp::from_ms(0), event }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// The store accepts an entry in this room.
        Accept(usize),
        /// The reader passes on this many.
        Pass(usize),
        /// This room's task takes a step.
        Work(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..ROOMS).prop_map(Step::Accept),
            2 => (1..6_usize).prop_map(Step::Pass),
            3 => (0..ROOMS).prop_map(Step::Work),
        ]
    }

    /// A store, its reader, and a task for each room.
    struct World {
        lines: Lines,
        store: BTreeMap<u64, InboxEntry>,
        accepted: u64,
        passed: u64,
        /// What each room's task is reading from the store.
        reading: [Option<(Left, usize)>; ROOMS],
        taken: [Vec<u64>; ROOMS],
        sent: [Vec<u64>; ROOMS],
    }

    impl World {
        fn new() -> Self {
            let lines = Lines::new(LIMITS);
            let (taken, sent) = Default::default();
            Self { lines, store: BTreeMap::new(), accepted: 0, passed: 0, reading: [None; ROOMS], taken, sent }
        }

        fn take(&mut self, step: Step) {
            match step {
                Step::Accept(room) => {
                    self.accepted += 1;
                    self.store.insert(self.accepted, entry(self.accepted, room));
                    self.sent[room].push(self.accepted);
                }
                Step::Pass(most) => {
                    let batch: Vec<_> =
                        self.store.range(self.passed + 1..).take(most).map(|(_, e)| e.clone()).collect();
                    for entry in batch {
                        self.passed = entry.seq;
                        self.lines.push(entry, Instant::now());
                    }
                }
                Step::Work(number) => self.work(number),
            }
        }

        fn work(&mut self, number: usize) {
            if let Some((left, most)) = self.reading[number].take() {
                let of_room = |(_, entry): &(&u64, &InboxEntry)| entry.event.room_id == room(number);
                let read = self.store.range(left.from..=left.to).filter(of_room).take(most);
                let read = read.map(|(_, entry)| entry.clone()).collect();
                self.lines.refill(&room(number), (left, most), read, Instant::now());
            }
            match self.lines.next(&room(number)) {
                Next::Entry(entry) => {
                    self.store.remove(&entry.0.seq);
                    self.taken[number].push(entry.0.seq);
                }
                Next::Read(left, most) => self.reading[number] = Some((left, most)),
                Next::Nothing => {}
            }
        }
    }

    proptest! {
        #[test]
        fn however_many_entries_come_few_are_held_and_each_room_takes_its_own_once_in_order(
            steps in prop::collection::vec(any_step(), 0..150),
        ) {
            let mut world = World::new();
            for step in steps {
                world.take(step);
                let held: usize = world.lines.rooms.values().map(|line| line.held.len()).sum();
                prop_assert_eq!(held, world.lines.held);
                prop_assert!(held <= LIMITS.all_max + ROOMS);
                prop_assert!(world.lines.rooms.values().all(|line| line.held.len() <= LIMITS.room_max));
            }
            world.take(Step::Pass(usize::MAX));
            while !world.lines.rooms.is_empty() {
                (0..ROOMS).for_each(|room| world.work(room));
            }
            prop_assert_eq!(&world.taken, &world.sent);
            prop_assert!(world.store.is_empty());
        }
    }
}
