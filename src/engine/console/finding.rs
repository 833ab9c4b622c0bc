//! Finds runs for a page, within a bounded time: days without a match are skipped by the sums, and where matches lie far
//! apart the page says up to when it looked, and goes on from there.

use std::time::Duration;

use tokio::time::Instant;

use super::Console;
use crate::{
    console::view::{Run, Runs},
    core::{
        audit::{Day, Entry, Filter, Named, RunKey},
        console::query::{Asked, PAGE_RUNS},
        time::Timestamp,
    },
    store::StoreError,
};

/// How long a page looks for runs.
const LOOK_MAX: Duration = Duration::from_millis(150);

/// What was found.
pub(super) struct Found {
    /// The runs, newest first.
    pub(super) entries: Vec<Entry>,
    /// Where to go on, if there may be more.
    pub(super) next: Option<RunKey>,
    /// Up to when it was looked, if time was up.
    pub(super) looked_to: Option<Timestamp>,
}

impl Console {
    /// Returns the runs that match.
    pub(super) fn runs(&self, asked: Asked) -> Result<Runs, StoreError> {
        let Found { entries, next, looked_to } = self.find(&asked.filter, asked.before.as_ref(), PAGE_RUNS)?;
        let coworkers = self.runtime.config().coworkers.iter().map(|coworker| coworker.id.0.clone()).collect();
        Ok(Runs { asked, entries, next, looked_to, coworkers })
    }

    /// Returns one run; `None` if there is none.
    pub(super) fn run(&self, key: RunKey) -> Result<Option<Run>, StoreError> {
        let summary = self.runtime.tables.run_index.get(&key)?;
        let via = self.runtime.namespace().server.clone();
        Ok(summary.map(|summary| Run { entry: Entry::of(key, summary, &self.runtime.namespace()), via }))
    }

    /// Finds the newest matching runs before `before`, at most so many.
    pub(super) fn find(&self, filter: &Filter, before: Option<&RunKey>, runs_max: usize) -> Result<Found, StoreError> {
        let (index, began, setup) = (&self.runtime.tables.run_index, Instant::now(), self.runtime.current.get());
        let newest = filter.until.map(|until| (until.later(1), String::new()));
        let mut from = [before.cloned(), newest].into_iter().flatten().min();
        let mut found = Found { entries: Vec::new(), next: None, looked_to: None };
        let mut last: Option<RunKey> = None;
        'days: loop {
            let mut day = None;
            let all: Box<dyn Iterator<Item = _>> = match &from {
                Some(from) => Box::new(index.before(from).rev()),
                None => Box::new(index.iter().rev()),
            };
            for read in all {
                let (key, summary) = read?;
                if filter.since.is_some_and(|since| key.0 < since) {
                    return Ok(found);
                }
                let this_day = Day::of(setup.config.workspace.zone.shown_as_utc(key.0));
                if day != Some(this_day) && !self.may_match(filter, this_day) {
                    from = Some((self.beginning_of(key.0), String::new()));
                    continue 'days;
                }
                day = Some(this_day);
                if found.entries.len() == runs_max {
                    found.next = last;
                    return Ok(found);
                }
                let entry = Entry::of(key.clone(), summary, &setup.namespace);
                if filter.matches(&entry) {
                    found.entries.push(entry);
                }
                if began.elapsed() > LOOK_MAX {
                    found.looked_to = Some(key.0);
                    found.next = Some(key);
                    return Ok(found);
                }
                last = Some(key);
            }
            return Ok(found);
        }
    }

    /// Returns when a day of the budgets' zone began.
    fn beginning_of(&self, at: Timestamp) -> Timestamp {
        const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
        let config = self.runtime.config();
        let zone = &config.workspace.zone;
        let shown = zone.shown_as_utc(at).as_ms();
        let midnight = zone.when_it_shows(Timestamp::from_ms(shown - shown.rem_euclid(DAY_MS)));
        // Never forward: a day that a clock repeats is looked through twice at most.
        midnight.min(at)
    }

    /// Returns whether a run of this day may match, as far as the sums can say.
    fn may_match(&self, filter: &Filter, day: Day) -> bool {
        // What nobody asked for has the coworker's own id, which the sums do not count as a person.
        let person = filter.person.as_ref().filter(|person| !self.runtime.namespace().is_ours(person));
        let wanted = [
            (Named::Coworker, filter.coworker.as_deref()),
            (Named::Room, filter.room.as_ref().map(|room| room.as_str())),
            (Named::Person, person.map(|person| person.as_str())),
            (Named::Tool, filter.tool.as_deref()),
        ];
        let may = self.budget.books.look(|sums, is_whole| {
            let mut wanted = wanted.iter().filter_map(|(named, name)| Some((*named, (*name)?)));
            !is_whole || wanted.all(|(named, name)| sums.may_have(named, name, day))
        });
        may.unwrap_or(true)
    }
}
