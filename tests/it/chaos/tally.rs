//! The counts at the end of a part, and which must be zero.

use std::fmt;

use anyhow::Result;
use workmate::core::words;

use crate::chaos::world::{Asked, Kind, World, lock};

/// How an ended record or status begins.
const ENDED: [&str; 4] = ["Done after", "Gave up after", "Stopped after", "Declined after"];

/// The counts of one part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// All requests.
    pub(crate) requests: usize,
    /// Requests that were answered.
    pub(crate) answered: usize,
    /// Requests that were told why there is no answer.
    pub(crate) told: usize,
    /// Requests with neither an answer nor a reason.
    pub(crate) lost: Vec<String>,
    /// Requests with two or more answers.
    pub(crate) doubled: Vec<String>,
    /// Tool calls beyond the first for one request.
    pub(crate) ran_twice: Vec<String>,
    /// Cards that were approved.
    pub(crate) approved: usize,
    /// Approved cards that stayed open, or ended as if nobody had decided.
    pub(crate) ignored: Vec<String>,
    /// Status notices that never ended.
    pub(crate) open: Vec<String>,
    /// Messages that a person could not decrypt.
    pub(crate) undecryptable: usize,
    /// Mean number of model calls for a request, not counting those after tool results.
    pub(crate) calls_mean: f64,
    /// Largest number of such calls for one request.
    pub(crate) calls_most: usize,
    /// Peak memory of Workmate's last process, in KiB.
    pub(crate) peak_kb: Option<u64>,
    /// Further measurements of the part.
    pub(crate) notes: Vec<String>,
}

impl Tally {
    /// Counts everything asked so far.
    pub(crate) fn of(world: &World) -> Self {
        let asked: Vec<Asked> = lock(&world.asked).clone();
        let mut tally = Self { requests: asked.len(), undecryptable: world.undecryptable(), ..Self::default() };
        let mut calls = Vec::new();
        for asked in &asked {
            tally.take(world, asked);
            let rounds = usize::from(asked.kind == Kind::Deploy);
            calls.push(world.model_calls(asked).saturating_sub(rounds));
        }
        tally.calls_most = calls.iter().copied().max().unwrap_or_default();
        tally.calls_mean = mean(&calls);
        tally.peak_kb = world.peak_kb();
        tally
    }

    fn take(&mut self, world: &World, asked: &Asked) {
        let answers = world.answers(asked);
        match answers.len() {
            0 if world.told(asked).iter().any(|told| !is_status(told)) => self.told += 1,
            0 => self.lost.push(describe(world, asked)),
            1 => self.answered += 1,
            _ => {
                self.answered += 1;
                self.doubled.push(describe(world, asked));
            }
        }
        if world.ran(asked) > 1 {
            self.ran_twice.push(asked.tag.clone());
        }
        if lock(&world.approved).contains_key(&asked.tag) {
            self.approved += 1;
            let shows = world.card_shows(asked).unwrap_or_default();
            if !shows.contains("approved by") {
                self.ignored.push(format!("{}: {shows}", asked.tag));
            }
        }
        // A declined request ends with the text that too many wait; that is not a status.
        let open = world
            .notices(asked)
            .into_iter()
            .filter(|notice| !ENDED.iter().any(|end| notice.starts_with(end)) && *notice != words::too_many_waiting());
        self.open.extend(open.map(|notice| format!("{} {notice}", asked.tag)));
    }

    /// Fails if something was lost, doubled, ignored or left open.
    ///
    /// # Errors
    /// The whole tally.
    pub(crate) fn check(&self) -> Result<()> {
        let faults = [&self.lost, &self.doubled, &self.ran_twice, &self.ignored, &self.open];
        anyhow::ensure!(faults.iter().all(|found| found.is_empty()) && self.undecryptable == 0, "{self}");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, answered, told, approved, undecryptable, calls_mean, calls_most, .. } = self;
        writeln!(f, "  {requests} requests: {answered} answered, {told} told why not, {} lost", self.lost.len())?;
        writeln!(f, "  {} doubled, {} tool calls made twice", self.doubled.len(), self.ran_twice.len())?;
        writeln!(f, "  {approved} decisions, {} ignored; {} notices left open", self.ignored.len(), self.open.len())?;
        writeln!(f, "  {undecryptable} undecryptable; model calls a request: {calls_mean:.2}, at most {calls_most}")?;
        if let Some(peak) = self.peak_kb {
            writeln!(f, "  memory at its peak: {} MB", peak / 1024)?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        let named = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("ran twice", &self.ran_twice),
            ("ignored", &self.ignored),
            ("open", &self.open),
        ];
        for (name, found) in named {
            for one in found.iter().take(12) {
                writeln!(f, "    {name}: {one}")?;
            }
        }
        Ok(())
    }
}

fn is_status(text: &str) -> bool {
    text.contains("Working on it") || ENDED.iter().any(|end| text.starts_with(end))
}

fn describe(world: &World, asked: &Asked) -> String {
    let (notices, card) = (world.notices(asked), world.card_shows(asked));
    let calls = world.model_calls(asked);
    format!(
        "{} {:?} in {} ({}), {calls} model calls, answers {:?}, notices {notices:?}, card {:?}",
        asked.tag,
        asked.kind,
        asked.room,
        asked.request,
        world.answers(asked),
        card.map(|card| card.chars().take(80).collect::<String>()),
    )
}

#[expect(clippy::cast_precision_loss, reason = "nobody asks 2^52 times")]
fn mean(calls: &[usize]) -> f64 {
    calls.iter().sum::<usize>() as f64 / calls.len().max(1) as f64
}
