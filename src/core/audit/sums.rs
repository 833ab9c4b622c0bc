//! Sums of runs and of what they cost, by day and by room, person, coworker, model, tool and cause: what `workmate audit
//! report` and the console show.
//!
//! Costs are those of the outlays, as budgets count them, so that the sums are those of `workmate audit spend`. Runs, their
//! ends, tokens and times are those of the index. Only sums are kept: their size depends on the number of days and names,
//! not of runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{By, Entry, Kind, RunKey, RunSummary, counted};
use crate::core::{
    budget::{Usd, day_of, outlay::RunOutlays},
    outcome::Outcome,
    people::Namespace,
    time::Timestamp,
    trail::StepOutcome,
    zone::Zone,
};

/// Most sums that are kept, about 60 MB; names beyond them count as [`OTHERS`].
pub const CELLS_MAX: usize = 400_000;
/// The name under which everything counts once there are [`CELLS_MAX`] sums.
pub const OTHERS: &str = "(others)";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A day, as a number that sorts: 20261129.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u32);

impl Day {
    /// Returns the day that is written so: `2026-11-29`. Anything else is the first of all days.
    #[must_use]
    pub fn written(day: &str) -> Self {
        let digits = day.bytes().filter(u8::is_ascii_digit).take(8);
        Self(digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    /// Returns the day of a moment in UTC.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self::written(&day_of(at))
    }

    /// Returns it as it is written.
    #[must_use]
    pub fn shown(self) -> String {
        format!("{:04}-{:02}-{:02}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
    }
}

/// What is added up. Of a tool, `runs` are its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests that ended.
    pub runs: u64,
    /// Those that were answered.
    pub done: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that a person stopped.
    pub stopped: u64,
    /// Those whose every write was declined.
    pub declined: u64,
    /// Those about which nothing could be said any more.
    pub dropped: u64,
    /// How long they took from acceptance to end, in milliseconds.
    pub took_ms: u64,
    /// Prompt tokens, including cached ones.
    pub input_tokens: u64,
    /// Answer tokens.
    pub output_tokens: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Calls of the model, as budgets count them.
    pub calls: u64,
    /// What they cost, as budgets count it.
    pub cost_micro_usd: u64,
    /// The part of it that models of unknown price were counted with.
    pub unpriced_micro_usd: u64,
}

impl Figures {
    fn each(&mut self, other: &Self, of: fn(u64, u64) -> u64) {
        let fields = [
            (&mut self.runs, other.runs),
            (&mut self.done, other.done),
            (&mut self.failed, other.failed),
            (&mut self.stopped, other.stopped),
            (&mut self.declined, other.declined),
            (&mut self.dropped, other.dropped),
            (&mut self.took_ms, other.took_ms),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.tool_calls, other.tool_calls),
            (&mut self.calls, other.calls),
            (&mut self.cost_micro_usd, other.cost_micro_usd),
            (&mut self.unpriced_micro_usd, other.unpriced_micro_usd),
        ];
        for (mine, theirs) in fields {
            *mine = of(*mine, theirs);
        }
    }

    fn of_outcome(outcome: Outcome) -> Self {
        let mut one = Self { runs: 1, ..Self::default() };
        match outcome {
            Outcome::Done => one.done = 1,
            Outcome::Failed => one.failed = 1,
            Outcome::Stopped => one.stopped = 1,
            Outcome::Declined => one.declined = 1,
            Outcome::Dropped => one.dropped = 1,
        }
        one
    }

    fn of_step(outcome: StepOutcome) -> Self {
        Self::of_outcome(match outcome {
            StepOutcome::Done => Outcome::Done,
            StepOutcome::Failed | StepOutcome::Unknown => Outcome::Failed,
            StepOutcome::Denied | StepOutcome::Unusable | StepOutcome::Surplus => Outcome::Dropped,
            StepOutcome::Declined | StepOutcome::Expired => Outcome::Declined,
            StepOutcome::Stopped => Outcome::Stopped,
        })
    }

    /// Returns how long a run took on average, in milliseconds.
    #[must_use]
    pub fn mean_ms(&self) -> u64 {
        self.took_ms.checked_div(self.runs).unwrap_or_default()
    }

    /// Returns all tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// A row of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// The room, person, coworker, model, day, tool or cause; `None` for assistants, for what nobody asked for, and where
    /// no model was asked.
    pub name: Option<String>,
    /// Its sums.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What sums have names for, besides days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The room; assistants' chats are one row.
    Room,
    /// The person: of a run who asked, of a cost whose gesture it was.
    Person,
    /// The coworker; assistants are one row.
    Coworker,
    /// The model.
    Model,
    /// The tool. `runs` are calls; `failed` are those that ran and failed.
    Tool,
    /// The cause of a failure.
    Cause,
    /// The owner, of assistants' runs alone.
    Owner,
}

impl Named {
    const COUNT: usize = 7;
}

/// Whether something is counted, or not any more.
#[derive(Clone, Copy)]
enum Turn {
    Add,
    Take,
}

/// Names as numbers; 0 stands for none.
#[derive(Debug)]
struct Names {
    known: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Names {
    fn new() -> Self {
        let mut names = Self { known: vec![String::new()], numbers: BTreeMap::new() };
        names.number(OTHERS);
        names
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn name(&self, number: u32) -> Option<String> {
        let known = usize::try_from(number).ok().filter(|number| *number > 0);
        known.and_then(|number| self.known.get(number)).cloned()
    }
}

/// The sums of all runs.
#[derive(Debug)]
pub struct Sums {
    zone: Zone,
    names: Names,
    days: BTreeMap<Day, Figures>,
    cells: [BTreeMap<(Day, u32), Figures>; Named::COUNT],
    cells_max: usize,
    /// The runs of the first day that have outlays, and until when a run may have none; see [`Sums::count_run`].
    known: BTreeSet<String>,
    last: Option<Timestamp>,
}

/// The names that a run or a call has.
#[derive(Clone, Copy, Default)]
struct Whose<'a> {
    room: Option<&'a str>,
    person: Option<&'a str>,
    coworker: Option<&'a str>,
    model: Option<&'a str>,
}

impl Sums {
    /// Begins to add up, with the days of the budgets' zone. Outlays are counted first, oldest first; then the runs.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            names: Names::new(),
            days: BTreeMap::new(),
            cells: [const { BTreeMap::new() }; Named::COUNT],
            cells_max: CELLS_MAX,
            known: BTreeSet::new(),
            last: None,
        }
    }

    /// Adds up everything at once.
    ///
    /// # Errors
    /// The first read error.
    pub fn of<E>(
        zone: Zone,
        outlays: impl Iterator<Item = Result<(RunKey, RunOutlays), E>>,
        index: impl Iterator<Item = Result<(RunKey, RunSummary), E>>,
        namespace: &Namespace,
    ) -> Result<Self, E> {
        let mut sums = Self::new(zone);
        for read in outlays {
            let (key, costs) = read?;
            sums.count_outlays(&key, &costs);
        }
        for read in index {
            let (key, summary) = read?;
            sums.count_run(key, summary, namespace);
        }
        Ok(sums)
    }

    /// Counts what a run's calls cost.
    pub fn count_outlays(&mut self, key: &RunKey, costs: &RunOutlays) {
        let last = *self.last.get_or_insert(Timestamp::from_ms(key.0.as_ms().saturating_add(DAY_MS)));
        if key.0 <= last {
            self.known.insert(key.1.clone());
        }
        self.costs(costs, Turn::Add);
    }

    /// Counts what a run's calls cost no more, because it has changed.
    pub fn uncount_outlays(&mut self, costs: &RunOutlays) {
        self.costs(costs, Turn::Take);
    }

    /// Counts a run of the index. One of an early version has no outlays; it costs what its entry says.
    pub fn count_run(&mut self, key: RunKey, summary: RunSummary, namespace: &Namespace) {
        self.run(key, summary, namespace, Turn::Add);
    }

    /// Counts a run of the index no more.
    pub fn uncount_run(&mut self, key: RunKey, summary: RunSummary, namespace: &Namespace) {
        self.run(key, summary, namespace, Turn::Take);
    }

    fn run(&mut self, key: RunKey, summary: RunSummary, namespace: &Namespace, turn: Turn) {
        let is_early = self.last.is_none_or(|last| key.0 <= last) && !self.known.contains(&key.1);
        let entry = Entry::of(key, summary, namespace);
        let day = Day::of(self.zone.shown_as_utc(entry.accepted_at));
        let nobody_asked = entry.origin.is_some() && entry.asker == entry.user;
        let mut whose = Whose {
            room: entry.room.as_ref().map(|room| room.as_str()),
            person: (!nobody_asked).then_some(entry.asker.as_str()),
            coworker: entry.coworker.as_deref(),
            model: entry.model.as_deref(),
        };
        let figures = Figures {
            took_ms: entry.duration_ms(),
            input_tokens: entry.spent.input_tokens,
            output_tokens: entry.spent.output_tokens,
            tool_calls: u64::try_from(entry.tool_calls).unwrap_or(u64::MAX),
            ..Figures::of_outcome(entry.outcome)
        };
        self.add(day, whose, &figures, turn);
        let owner = (entry.kind == Kind::Assistant).then(|| entry.asker.as_str());
        if owner.is_some() {
            self.cell(Named::Owner, day, owner, &figures, turn);
        }
        for tool in &entry.tools {
            self.cell(Named::Tool, day, Some(&tool.tool), &Figures::of_step(tool.outcome), turn);
        }
        if let Some(reason) = &entry.reason {
            self.cell(Named::Cause, day, Some(reason), &Figures::of_outcome(entry.outcome), turn);
        }
        // What nobody asked for has outlays always, under another name where a webhook's came before its run.
        let is_early = is_early && entry.origin.is_none();
        if is_early && (entry.spent.model_calls > 0 || entry.spent.input_tokens > 0) {
            let cost = counted(&entry.spent).micro();
            let unpriced_micro_usd = if entry.spent.cost_micro_usd.is_none() { cost } else { 0 };
            let calls = u64::from(entry.spent.model_calls);
            // As `workmate audit spend` has them: early versions noted nobody else.
            whose.person = Some(entry.asker.as_str());
            let costs = Figures { calls, cost_micro_usd: cost, unpriced_micro_usd, ..Figures::default() };
            self.add(day, whose, &costs, turn);
            if owner.is_some() {
                self.cell(Named::Owner, day, owner, &costs, turn);
            }
        }
    }

    fn costs(&mut self, run: &RunOutlays, turn: Turn) {
        for outlay in run.calls.iter().flatten() {
            let Some(cost) = outlay.cost.filter(|cost| *cost > Usd::ZERO).map(Usd::micro) else { continue };
            let whose = Whose {
                room: run.room.as_ref().map(|room| room.as_str()),
                person: outlay.person.as_ref().map(|person| person.as_str()),
                coworker: run.coworker.as_deref(),
                model: Some(&outlay.model),
            };
            let unpriced_micro_usd = if outlay.priced { 0 } else { cost };
            let figures = Figures { calls: 1, cost_micro_usd: cost, unpriced_micro_usd, ..Figures::default() };
            self.add(Day::written(&outlay.day), whose, &figures, turn);
            if run.coworker.is_none() && run.room.is_none() {
                self.cell(Named::Owner, Day::written(&outlay.day), whose.person, &figures, turn);
            }
        }
    }

    fn add(&mut self, day: Day, whose: Whose<'_>, figures: &Figures, turn: Turn) {
        change(&mut self.days, day, figures, turn);
        for (named, name) in [
            (Named::Room, whose.room),
            (Named::Person, whose.person),
            (Named::Coworker, whose.coworker),
            (Named::Model, whose.model),
        ] {
            self.cell(named, day, name, figures, turn);
        }
    }

    fn cell(&mut self, named: Named, day: Day, name: Option<&str>, figures: &Figures, turn: Turn) {
        let is_full = self.len() >= self.cells_max;
        let number = match name {
            None => 0,
            Some(name) => {
                let known = self.names.numbers.get(name).copied();
                let fits = known.is_some_and(|known| self.cells[named as usize].contains_key(&(day, known)));
                self.names.number(if is_full && !fits { OTHERS } else { name })
            }
        };
        change(&mut self.cells[named as usize], (day, number), figures, turn);
    }

    /// Returns the number of sums that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.iter().map(BTreeMap::len).sum()
    }

    /// Returns whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// Returns the rows of these days, the largest amount first, or the newest day; and the sum of all.
    #[must_use]
    pub fn report(&self, by: By, days: (Option<Day>, Option<Day>)) -> (Vec<ReportRow>, ReportRow) {
        let mut rows = match by {
            By::Day => {
                let days = self.days.range(between(days));
                days.rev().map(|(day, figures)| ReportRow { name: Some(day.shown()), figures: *figures }).collect()
            }
            By::Room => self.rows(Named::Room, days),
            By::Person => self.rows(Named::Person, days),
            By::Coworker => self.rows(Named::Coworker, days),
            By::Model => self.rows(Named::Model, days),
        };
        if by != By::Day {
            rows.sort_by_key(|row| std::cmp::Reverse((row.figures.cost_micro_usd, row.figures.runs)));
        }
        let mut sum = ReportRow::default();
        for figures in self.days.range(between(days)).map(|(_, figures)| figures) {
            sum.figures.each(figures, u64::saturating_add);
        }
        (rows, sum)
    }

    /// Returns the rows of these days for one kind of names, by name.
    #[must_use]
    pub fn rows(&self, named: Named, days: (Option<Day>, Option<Day>)) -> Vec<ReportRow> {
        let (from, to) = between(days).into_inner();
        let mut rows: BTreeMap<u32, Figures> = BTreeMap::new();
        for ((_, name), figures) in self.cells[named as usize].range((from, 0)..=(to, u32::MAX)) {
            rows.entry(*name).or_default().each(figures, u64::saturating_add);
        }
        rows.into_iter().map(|(name, figures)| ReportRow { name: self.names.name(name), figures }).collect()
    }

    /// Returns whether a run of this name may have been accepted on the day, as the budgets' zone counts days.
    #[must_use]
    pub fn may_have(&self, named: Named, name: &str, day: Day) -> bool {
        let cells = &self.cells[named as usize];
        let has = |name: &str| self.names.numbers.get(name).is_some_and(|number| cells.contains_key(&(day, *number)));
        has(name) || has(OTHERS)
    }
}

fn change<K: Ord>(cells: &mut BTreeMap<K, Figures>, key: K, figures: &Figures, turn: Turn) {
    match turn {
        Turn::Add => cells.entry(key).or_default().each(figures, u64::saturating_add),
        Turn::Take => {
            if let Some(cell) = cells.get_mut(&key) {
                cell.each(figures, u64::saturating_sub);
                if *cell == Figures::default() {
                    cells.remove(&key);
                }
            }
        }
    }
}

fn between((from, to): (Option<Day>, Option<Day>)) -> std::ops::RangeInclusive<Day> {
    let (from, to) = (from.unwrap_or(Day(0)), to.unwrap_or(Day(u32::MAX)));
    // A range that ends before it begins would panic.
    from.min(to)..=to
}

#[cfg(test)]
mod tests;
