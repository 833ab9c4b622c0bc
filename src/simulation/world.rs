//! The world: its clock, what is to happen, and how a history goes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{
    Broken, Held, Planted,
    cast::Request,
    chance::Chance,
    disk::Disk,
    going::Process,
    happening::Happening,
    server::{Event, Kind, Server},
};
use crate::core::{run::RunId, time::Timestamp};

/// When a history begins, in milliseconds since 1970.
const BEGINS_MS: i64 = 1_800_000_000_000;
/// Faults and deaths end so long after the beginning, in milliseconds: what is owed then has to be done.
const CALM_AFTER_MS: i64 = 180_000;
/// A history that goes on for longer never ends, in milliseconds.
const END_MS: i64 = 3 * 24 * 3_600_000;
/// So many things happen in a history at the most.
const HAPPENINGS_MAX: u64 = 20_000;

/// What the calls did: how often each job of a run's incarnation was done.
#[derive(Default)]
pub(super) struct Tools {
    pub(super) done: BTreeMap<(RunId, u32, usize), u32>,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) planted: Option<Planted>,
    pub(super) chance: Chance,
    pub(super) now_ms: i64,
    queue: BinaryHeap<Reverse<(i64, u64)>>,
    to_happen: BTreeMap<u64, Happening>,
    sequence: u64,
    pub(super) server: Server,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
    pub(super) life: u32,
    pub(super) requests: Vec<Request>,
    pub(super) tools: Tools,
    pub(super) kicked: bool,
    /// Every run that was accepted, where, and when.
    pub(super) accepted: Vec<(RunId, crate::core::schedule::Lane, i64)>,
    /// Who was told by another door.
    pub(super) told_elsewhere: Vec<RunId>,
    /// Runs that don't know of something: that their answer was on its way when a kill hid it from the journal, or that
    /// their request was taken back before it was taken up.
    pub(super) hidden: std::collections::BTreeSet<RunId>,
    pub(super) held: Held,
    broken: Option<String>,
    table: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, planted: Option<Planted>, written: bool) -> Self {
        let mut world = Self {
            seed,
            planted,
            chance: Chance::new(seed),
            now_ms: BEGINS_MS,
            queue: BinaryHeap::new(),
            to_happen: BTreeMap::new(),
            sequence: 0,
            server: Server::default(),
            disk: Disk::default(),
            process: None,
            life: 0,
            requests: Vec::new(),
            tools: Tools::default(),
            kicked: false,
            accepted: Vec::new(),
            told_elsewhere: Vec::new(),
            hidden: std::collections::BTreeSet::default(),
            held: Held::default(),
            broken: None,
            table: written.then(Vec::new),
        };
        world.after(0, Happening::Start);
        world.plan();
        world
    }

    pub(super) fn run(mut self) -> Result<Held, Box<Broken>> {
        let began = self.now_ms;
        while self.broken.is_none() {
            let Some(Reverse((at, sequence))) = self.queue.pop() else { break };
            let Some(happening) = self.to_happen.remove(&sequence) else { continue };
            self.now_ms = self.now_ms.max(at);
            self.held.happenings += 1;
            if self.held.happenings > HAPPENINGS_MAX || self.now_ms - began > END_MS {
                self.breaks("it never ends");
                break;
            }
            self.take(happening);
        }
        if self.broken.is_none() {
            self.check_end();
        }
        match self.broken {
            None => {
                self.held.repeated = self.server.repeated;
                Ok(self.held)
            }
            Some(why) => Err(Box::new(Broken { seed: self.seed, why, table: self.table.unwrap_or_default() })),
        }
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Person(act) => self.act(act),
            Happening::Deliver(event) => self.deliver(event),
            Happening::Arrive(posting) => self.arrive(&posting),
            Happening::Done { life, run, attempt, what } => self.done(life, &run, attempt, what),
            Happening::Tick { life, run, at_ms } => self.tick(life, &run, at_ms),
            Happening::Effect { run, incarnation, job, number, asks } => {
                self.take_effect(&run, incarnation, job, number, asks);
            }
            Happening::Start => self.start(),
            Happening::Kill => self.kill(),
            Happening::Stop => self.stop(),
            Happening::Stopped { life } => self.stopped(life),
            Happening::Pay { life, run } => self.pay(life, &run),
        }
    }

    /// Lets something happen in so many milliseconds.
    pub(super) fn after(&mut self, ms: u64, happening: Happening) {
        self.sequence += 1;
        let at = self.now_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        self.queue.push(Reverse((at, self.sequence)));
        self.to_happen.insert(self.sequence, happening);
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    /// Whether nothing goes wrong any more.
    pub(super) fn is_calm(&self) -> bool {
        self.now_ms - BEGINS_MS > CALM_AFTER_MS
    }

    /// Whether something goes wrong that does so `in_thousand` times of a thousand.
    pub(super) fn goes_wrong(&mut self, in_thousand: u64) -> bool {
        !self.is_calm() && self.chance.happens(in_thousand)
    }

    /// Notes that something did not hold.
    pub(super) fn breaks(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.write_down("", || format!("BROKEN: {why}"));
        self.broken.get_or_insert(why);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Writes a line of the table.
    pub(super) fn write_down(&mut self, run: &str, what: impl FnOnce() -> String) {
        let now = self.now_ms - BEGINS_MS;
        if let Some(table) = &mut self.table {
            let what: String = what().chars().take(150).collect();
            table.push(format!("{now:>9} | {:<8} | {what}", run.get(..8.min(run.len())).unwrap_or_default()));
        }
    }

    /// Puts a person's event into a room; it is delivered some time, perhaps twice, perhaps only when a gap is found.
    pub(super) fn say(&mut self, by: OwnedUserId, room: OwnedRoomId, kind: Kind, body: String) -> OwnedEventId {
        let id = self.server.next_id();
        let event = Event {
            id: id.clone(),
            room,
            sender: by,
            kind,
            at_ms: self.now_ms,
            of: None,
            body,
            whole: true,
            notifies: true,
            edits: 0,
            redacted: false,
        };
        self.write_down("", || format!("{} in {}: {:?} {}", event.sender, event.room, event.kind, event.body));
        let (at, _) = self.server.take(None, event);
        let delay = if self.goes_wrong(50) { 90_000 } else { self.chance.between(5, 300) };
        self.after(delay, Happening::Deliver(at));
        if self.goes_wrong(120) {
            let delay = self.chance.between(5, 20_000);
            self.after(delay, Happening::Deliver(at));
        }
        id
    }
}
