//! What was spent, added up by room, person, coworker, model or day, for `workmate audit spend`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Entry, RunKey, RunSummary, Spent};
use crate::core::{
    budget::{Usd, day_of, dearest, outlay::RunOutlays},
    people::Namespace,
    time::Timestamp,
    zone::Zone,
};

/// What amounts are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The room; assistants' chats are one row.
    Room,
    /// The person whose gesture it was; what nobody asked for is one row.
    Person,
    /// The coworker; assistants are one row.
    Coworker,
    /// The model.
    Model,
    /// The day in UTC.
    Day,
}

/// A row of what was spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The room, person, coworker, model or day; `None` for assistants, for what nobody asked for, and for runs of early
    /// versions whose model is not known.
    pub name: Option<String>,
    /// The number of requests.
    pub runs: usize,
    /// The number of calls of the model.
    pub calls: usize,
    /// The amount, as budgets count it.
    pub cost_micro_usd: u64,
    /// The part of it that models of unknown price were counted with.
    pub unpriced_micro_usd: u64,
}

/// Returns the amount that a run or a call counts as.
#[must_use]
pub fn counted(spent: &Spent) -> Usd {
    spent.cost_micro_usd.map_or_else(|| dearest(spent.input_tokens, spent.output_tokens), Usd::from_micro)
}

/// Adds up outlays.
#[derive(Debug)]
pub struct Spending {
    by: By,
    /// The first day that counts; `None` for all.
    since: Option<String>,
    zone: Zone,
    rows: BTreeMap<Option<String>, Row>,
    runs: usize,
}

/// A part of what a run cost, in a form that early versions' runs have too.
struct Part<'a> {
    room: Option<&'a str>,
    person: Option<&'a str>,
    coworker: Option<&'a str>,
    model: Option<&'a str>,
    day: &'a str,
    calls: usize,
    cost: Usd,
    priced: bool,
}

impl Spending {
    /// Begins to add up, with the days of the budgets' zone. What was spent before the day of `since`, as written in UTC,
    /// does not count.
    #[must_use]
    pub fn new(by: By, since: Option<Timestamp>, zone: Zone) -> Self {
        Self { by, since: since.map(day_of), zone, rows: BTreeMap::new(), runs: 0 }
    }

    /// Adds a run's outlays.
    fn add(&mut self, run: &RunOutlays) {
        let parts = run.calls.iter().flatten().filter_map(|outlay| {
            Some(Part {
                room: run.room.as_ref().map(|room| room.as_str()),
                person: outlay.person.as_ref().map(|person| person.as_str()),
                coworker: run.coworker.as_deref(),
                model: Some(outlay.model.as_str()),
                day: outlay.day.as_str(),
                calls: 1,
                cost: outlay.cost.filter(|cost| *cost > Usd::ZERO)?,
                priced: outlay.priced,
            })
        });
        self.add_parts(&parts.collect::<Vec<_>>());
    }

    /// Adds a run of an early version, of which there is only the entry in the index.
    fn add_entry(&mut self, entry: &Entry) {
        if entry.spent.model_calls == 0 && entry.spent.input_tokens == 0 {
            return;
        }
        self.add_parts(&[Part {
            room: entry.room.as_ref().map(|room| room.as_str()),
            person: Some(entry.asker.as_str()),
            coworker: entry.coworker.as_deref(),
            model: entry.model.as_deref(),
            day: &day_of(self.zone.shown_as_utc(entry.accepted_at)),
            calls: usize::try_from(entry.spent.model_calls).unwrap_or(usize::MAX),
            cost: counted(&entry.spent),
            priced: entry.spent.cost_micro_usd.is_some(),
        }]);
    }

    fn add_parts(&mut self, parts: &[Part<'_>]) {
        let mut seen = BTreeSet::new();
        let counts = |part: &&Part<'_>| self.since.as_deref().is_none_or(|since| part.day >= since);
        for part in parts.iter().filter(counts) {
            let name = match self.by {
                By::Room => part.room,
                By::Person => part.person,
                By::Coworker => part.coworker,
                By::Model => part.model,
                By::Day => Some(part.day),
            };
            let row = self.rows.entry(name.map(ToOwned::to_owned)).or_default();
            row.calls = row.calls.saturating_add(part.calls);
            row.cost_micro_usd = row.cost_micro_usd.saturating_add(part.cost.micro());
            if !part.priced {
                row.unpriced_micro_usd = row.unpriced_micro_usd.saturating_add(part.cost.micro());
            }
            // A run that fell on two days counts for both, and once in all.
            row.runs += usize::from(seen.insert(name));
        }
        self.runs += usize::from(!seen.is_empty());
    }

    /// Returns the rows, the largest amount first, or the newest day; and behind them the sum of all.
    fn rows(self) -> (Vec<Row>, Row) {
        let by = self.by;
        let mut rows: Vec<Row> = self.rows.into_iter().map(|(name, row)| Row { name, ..row }).collect();
        let sum = rows.iter().fold(Row { runs: self.runs, ..Row::default() }, |sum, row| Row {
            calls: sum.calls.saturating_add(row.calls),
            cost_micro_usd: sum.cost_micro_usd.saturating_add(row.cost_micro_usd),
            unpriced_micro_usd: sum.unpriced_micro_usd.saturating_add(row.unpriced_micro_usd),
            ..sum
        });
        match by {
            By::Day => rows.reverse(),
            _ => rows.sort_by_key(|row| std::cmp::Reverse(row.cost_micro_usd)),
        }
        (rows, sum)
    }
}

/// Adds up everything: all outlays, and the runs of early versions that have none. Both must come oldest first.
///
/// # Errors
/// The first read error.
pub fn add_up<E>(
    mut spending: Spending,
    outlays: impl Iterator<Item = Result<(RunKey, RunOutlays), E>>,
    index: impl Iterator<Item = Result<(RunKey, RunSummary), E>>,
    namespace: &Namespace,
) -> Result<(Vec<Row>, Row), E> {
    /// An assistant's outlays lie at the beginning of their day.
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let mut known = BTreeSet::new();
    let mut last = None;
    for read in outlays {
        let ((at, run), costs) = read?;
        // What was accepted later has outlays, and so has all that nobody asked for.
        let last = *last.get_or_insert(Timestamp::from_ms(at.as_ms().saturating_add(DAY_MS)));
        if at <= last {
            known.insert(run);
        }
        spending.add(&costs);
    }
    for read in index {
        let (key, summary) = read?;
        if last.is_some_and(|last| key.0 > last) {
            break;
        }
        if !known.contains(&key.1) && summary.origin.is_none() {
            spending.add_entry(&Entry::of(key, summary, namespace));
        }
    }
    Ok(spending.rows())
}

#[cfg(test)]
mod tests {
    use ruma::{OwnedUserId, owned_room_id, owned_user_id};

    use super::*;
    use crate::core::{
        audit::tests::{namespace, summary},
        budget::outlay::Outlay,
    };

    /// 29 November 2026, 17:05:09 UTC.
    const AT: Timestamp = Timestamp::from_ms(1_795_971_909_000);
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    fn outlay(day: &str, person: Option<OwnedUserId>, model: &str, micro: u64) -> Outlay {
        let priced = model != "odd";
        Outlay {
            day: day.to_owned(),
            person,
            model: model.to_owned(),
            cost: Some(Usd::from_micro(micro)),
            priced,
            batch: false,
        }
    }

    fn run(coworker: Option<&str>, calls: Vec<Vec<Outlay>>) -> RunOutlays {
        let room = coworker.map(|_| owned_room_id!("!room:hs"));
        RunOutlays { user: owned_user_id!("@any:hs"), coworker: coworker.map(ToOwned::to_owned), room, calls }
    }

    fn runs() -> Vec<(RunKey, RunOutlays)> {
        let [alice, bob] = [owned_user_id!("@alice:hs"), owned_user_id!("@bob:hs")].map(Some);
        let [early, late] = ["2026-11-28", "2026-11-29"];
        let all = [
            run(
                Some("ci"),
                vec![vec![outlay(early, alice.clone(), "opus", 10), outlay(late, alice.clone(), "opus", 5)]],
            ),
            run(
                Some("ci"),
                vec![vec![outlay(late, bob.clone(), "opus", 3)], vec![outlay(late, alice.clone(), "odd", 40)]],
            ),
            run(Some("ops"), vec![vec![outlay(late, None, "haiku", 1)]]),
            run(
                None,
                vec![
                    vec![outlay(late, bob, "haiku", 7)],
                    vec![Outlay { cost: None, ..outlay(late, alice, "haiku", 0) }],
                ],
            ),
        ];
        let keys = (0..).map(|number| (AT, format!("run{number}")));
        keys.zip(all).collect()
    }

    fn early(run: &str, at: Timestamp, micro: u64) -> (RunKey, RunSummary) {
        let summary = RunSummary {
            coworker: Some("ci".to_owned()),
            room: owned_room_id!("!old:hs"),
            model: Some("opus".to_owned()),
            cost_micro_usd: Some(micro),
            accepted_at: at,
            ended_at: at,
            ..summary()
        };
        ((at, run.to_owned()), summary)
    }

    /// A row's name, runs, calls, cost, and what had no known price.
    type Shown = (String, usize, usize, u64, u64);

    fn shown(by: By, since: Option<Timestamp>) -> (Vec<Shown>, Row) {
        let before = Timestamp::from_ms(AT.as_ms() - 40 * DAY_MS);
        // The second is in the outlays already; the third is too young for one that has none.
        let after = Timestamp::from_ms(AT.as_ms() + 3 * DAY_MS);
        let index = [early("old", before, 100), early("run0", AT, 15), early("never asked", after, 900)];
        let read = runs().into_iter().map(Ok::<_, ()>);
        let index = index.into_iter().map(Ok);
        let (rows, sum) =
            add_up(Spending::new(by, since, Zone::default()), read, index, &namespace()).expect("it is read");
        let row = |row: Row| {
            let name = row.name.unwrap_or_else(|| "-".to_owned());
            (name, row.runs, row.calls, row.cost_micro_usd, row.unpriced_micro_usd)
        };
        (rows.into_iter().map(row).collect(), sum)
    }

    #[test]
    fn c19_what_has_no_known_price_counts_as_the_dearest() {
        let spent = |input_tokens, cost_micro_usd| {
            counted(&Spent { input_tokens, output_tokens: 10, cost_micro_usd, ..Spent::default() }).micro()
        };
        assert_eq!((spent(1_000, Some(7)), spent(1_000, None), spent(u64::MAX, None)), (7, 31_500, u64::MAX));
    }

    #[test]
    fn c23_amounts_are_added_up_by_room_person_coworker_model_and_day() {
        let name = |name: &str, runs, calls, cost, unpriced| (name.to_owned(), runs, calls, cost, unpriced);
        let table = [
            (By::Room, vec![name("!old:hs", 1, 2, 100, 0), name("!room:hs", 3, 5, 59, 40), name("-", 1, 1, 7, 0)]),
            (By::Person, vec![name("@alice:hs", 3, 5, 155, 40), name("@bob:hs", 2, 2, 10, 0), name("-", 1, 1, 1, 0)]),
            (By::Coworker, vec![name("ci", 3, 6, 158, 40), name("-", 1, 1, 7, 0), name("ops", 1, 1, 1, 0)]),
            (By::Model, vec![name("opus", 3, 5, 118, 0), name("odd", 1, 1, 40, 40), name("haiku", 2, 2, 8, 0)]),
            (
                By::Day,
                vec![
                    name("2026-11-29", 4, 5, 56, 40),
                    name("2026-11-28", 1, 1, 10, 0),
                    name("2026-10-20", 1, 2, 100, 0),
                ],
            ),
        ];
        for (by, expected) in table {
            let (rows, sum) = shown(by, None);
            assert_eq!(rows, expected, "{by:?}");
            assert_eq!((sum.runs, sum.calls, sum.cost_micro_usd, sum.unpriced_micro_usd), (5, 8, 166, 40), "{by:?}");
        }
        let (rows, sum) = shown(By::Person, Some(AT));
        assert_eq!(rows.iter().map(|row| row.3).collect::<Vec<_>>(), [45, 10, 1], "from the beginning of that day");
        assert_eq!((sum.runs, sum.cost_micro_usd), (4, 56));
    }
}
