//! A simulated world around `core::run`: a homeserver that delivers, repeats, reorders, loses and delays; a model that
//! streams, stalls, breaks off and calls tools; people who ask, edit, redact, react and leave; a disk that loses what was
//! not flushed; kills between any two effects, with a resume from what is on that disk.
//!
//! It drives the machines that the program drives: [`Run`](crate::core::run::Run), the rooms' schedule, admission, edits,
//! approvals and what is owed. Time and chance come from a seed, so that a history that goes wrong is run again by its
//! number. Whatever happens:
//!
//! - each request is answered once, or its asker was told or made why not;
//! - no answer stands twice, and what stands there is what was recorded;
//! - no write is made twice, and none without the approval that it needs;
//! - one run at a time works in a thread, in the order of requests, and every limit holds;
//! - nothing is visible before the disk holds that it is about to be;
//! - nothing of an assistant's run is outside its chat;
//! - nothing that was said of a redacted request is left.
//!
//! `cargo test` runs some thousands of histories, `cargo bench --bench simulation` millions. Nothing of the program calls
//! this module, so the program does not hold it.

use std::fmt;

use self::world::World;

mod approvals;
mod carrying;
mod cast;
mod chance;
mod checks;
mod disk;
mod ending;
mod events;
mod going;
mod happening;
mod model;
mod people;
mod process;
mod server;
#[cfg(test)]
mod tests;
mod world;

/// A fault that is put into the world's own driver, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// What is about to be sent is not flushed.
    PostUnflushed,
    /// That a write begins is not flushed.
    BeginUnflushed,
    /// The journal is written behind the flush that was to hold it.
    JournalBehindFlush,
    /// An event that came before is handled again.
    Dedupe,
    /// A call is approved without anybody being asked.
    Approval,
    /// A resumed run counts its edits from 0.
    Edits,
    /// A run does not hear that its request is gone.
    TakeBack,
    /// A resumed run does not know which calls had begun.
    Begun,
    /// A resumed run does not know that its status was on its way.
    StatusBegun,
    /// A resumed run does not know what was on its way as its answer.
    AnswerBegun,
    /// What a run owes is not stored.
    Owed,
    /// The homeserver forgets transaction ids at each start.
    Transactions,
    /// Runs do not wait for their turn.
    Turn,
    /// Assistants speak in the room.
    Destination,
    /// Runs that went on when the process ended are not taken up.
    Resume,
}

impl Planted {
    /// Every fault.
    pub const ALL: [Self; 15] = [
        Self::PostUnflushed,
        Self::BeginUnflushed,
        Self::JournalBehindFlush,
        Self::Dedupe,
        Self::Approval,
        Self::Edits,
        Self::TakeBack,
        Self::Begun,
        Self::StatusBegun,
        Self::AnswerBegun,
        Self::Owed,
        Self::Transactions,
        Self::Turn,
        Self::Destination,
        Self::Resume,
    ];
}

/// What a history held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Things that happened.
    pub happenings: u64,
    /// Runs that ended.
    pub ended: u64,
    /// Deaths of the process.
    pub deaths: u64,
    /// Messages that arrived under a transaction id that the homeserver knew.
    pub repeated: u64,
    /// Tool calls that took effect.
    pub calls: u64,
    /// Decisions that people made.
    pub decisions: u64,
}

impl std::ops::AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.happenings += other.happenings;
        self.ended += other.ended;
        self.deaths += other.deaths;
        self.repeated += other.repeated;
        self.calls += other.calls;
        self.decisions += other.decisions;
    }
}

/// A history in which something did not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub why: String,
    /// What happened, a line each: when, to which run, what.
    pub table: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.why)?;
        self.table.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Runs the history of a seed.
///
/// # Errors
/// Where something did not hold: what, with all that happened.
pub fn history(seed: u64, planted: Option<Planted>) -> Result<Held, Box<Broken>> {
    // Again where it fails, written down.
    World::new(seed, planted, false).run().or_else(|_| World::new(seed, planted, true).run())
}
