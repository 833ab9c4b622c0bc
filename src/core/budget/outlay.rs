//! What each call of a run cost, as the accounts count it: whose gesture it was for, which model answered, on which day.
//!
//! An account knows only sums. An outlay is written with each reservation and each settlement, so that the sums of all
//! outlays are those of the accounts, whatever a crash cuts off; and a run's cost in the audit index is the sum of its
//! outlays.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{Holder, Usd, day_of};
use crate::core::time::Timestamp;

/// The key of a run's outlays; see [`key_of`].
pub(crate) type OutlaysKey = (Timestamp, String);

/// Whose run it is, and where.
#[derive(Clone, Debug)]
pub enum RunBy {
    /// A coworker's: its id, and the room.
    Coworker(Option<String>, OwnedRoomId),
    /// An assistant's.
    Assistant,
}

/// What a run's calls cost. It holds no content, and of an assistant's run neither room nor time of day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutlays {
    /// The virtual user that answers.
    pub user: OwnedUserId,
    /// The coworker's id; `None` for assistants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coworker: Option<String>,
    /// The room; `None` for assistants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<OwnedRoomId>,
    /// The calls in order. A call has several outlays if its answer broke off and was requested again.
    pub calls: Vec<Vec<Outlay>>,
}

/// What an answer of the model cost, in the periods in which it was reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlay {
    /// The day in UTC: `2026-11-29`.
    pub day: String,
    /// Whose gesture it was for; `None` if no person asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<OwnedUserId>,
    /// The model.
    pub model: String,
    /// The cost; `None` while the call is in progress.
    pub cost: Option<Usd>,
    /// Whether the model's price is known; without one, the dearest counts.
    pub priced: bool,
    /// Whether it was asked as a batch, which outlives a process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
}

/// The cost of a call, all its answers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The amount.
    pub amount: Usd,
    /// The model that answered, if the provider told.
    pub model: Option<String>,
    /// Whether the model's price is known.
    pub priced: bool,
}

impl RunOutlays {
    /// Returns a run's outlays before its first call.
    #[must_use]
    pub fn of(user: OwnedUserId, by: RunBy) -> Self {
        let (coworker, room) = match by {
            RunBy::Coworker(id, room) => (id, Some(room)),
            RunBy::Assistant => (None, None),
        };
        Self { user, coworker, room, calls: Vec::new() }
    }

    /// Adds a call; it has [`Self::next`]'s number.
    pub fn begin(&mut self, outlay: Outlay) {
        self.calls.push(vec![outlay]);
    }

    /// Returns the number of the next call.
    #[must_use]
    pub fn next(&self) -> usize {
        self.calls.len()
    }

    /// Settles a call: what it cost beyond its earlier answers falls to the last one. Settling again changes the amount.
    pub fn settle(&mut self, call: usize, cost: &Cost) {
        let Some(last) = self.calls.get_mut(call).and_then(|parts| parts.split_last_mut()) else { return };
        let (last, earlier) = last;
        last.cost = Some(cost.amount.without(sum(earlier)));
        last.priced = cost.priced;
        if let Some(model) = &cost.model {
            last.model.clone_from(model);
        }
    }

    /// Adds an answer to a call whose earlier one broke off.
    pub fn again(&mut self, call: usize, now: Timestamp) {
        let Some(parts) = self.calls.get_mut(call) else { return };
        if let Some(last) = parts.last().cloned() {
            parts.push(Outlay { day: day_of(now), cost: None, ..last });
        }
    }

    /// Settles a call of an earlier process that noted this cost, unless that process settled it. `held_by_all` says
    /// whether every account of its holders holds it: if not, its reservation was cut short and it was never made.
    pub fn recover(&mut self, call: usize, noted: Usd, held_by_all: bool) {
        let Some(parts) = self.calls.get(call) else { return };
        let Some(last) = parts.last().filter(|last| last.cost.is_none()) else { return };
        let is_unmade = parts.len() == 1 && !held_by_all;
        let amount = if is_unmade { Usd::ZERO } else { noted };
        let cost = Cost { amount, model: None, priced: last.priced };
        self.settle(call, &cost);
    }

    /// Returns the number of the call that waits for a batch, if one does.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        let is_open = |parts: &Vec<Outlay>| parts.last().is_some_and(|last| last.batch && last.cost.is_none());
        self.calls.iter().rposition(is_open)
    }

    /// Returns whether the price of a call's model is known.
    #[must_use]
    pub fn is_priced(&self, call: usize) -> bool {
        self.calls.get(call).and_then(|parts| parts.last()).is_some_and(|last| last.priced)
    }

    /// Returns each answer of a call with its day, as far as they are settled.
    #[must_use]
    pub fn parts(&self, call: usize) -> Vec<(String, Usd)> {
        let parts = self.calls.get(call).map(Vec::as_slice).unwrap_or_default();
        parts.iter().map(|part| (part.day.clone(), part.cost.unwrap_or_default())).collect()
    }

    /// Returns whose accounts a call falls under.
    #[must_use]
    pub fn holders(&self, call: usize) -> Vec<Holder> {
        let first = self.calls.get(call).and_then(|parts| parts.first());
        let person = first.and_then(|part| part.person.as_deref());
        Holder::of_call(person, &self.user, self.room.as_deref(), person)
    }

    /// Returns what a call is counted with so far.
    #[must_use]
    pub fn counted(&self, call: usize) -> Usd {
        self.calls.get(call).map_or(Usd::ZERO, |parts| sum(parts))
    }

    /// Returns the cost of all calls; `None` if the price of a part of it is unknown, or there was no call.
    #[must_use]
    pub fn cost(&self) -> Option<Usd> {
        let mut all = self.calls.iter().flatten().peekable();
        all.peek()?;
        all.try_fold(Usd::ZERO, |total, outlay| {
            let cost = outlay.cost.unwrap_or_default();
            (outlay.priced || cost == Usd::ZERO).then(|| total.add(cost))
        })
    }
}

fn sum(outlays: &[Outlay]) -> Usd {
    outlays.iter().fold(Usd::ZERO, |total, outlay| total.add(outlay.cost.unwrap_or_default()))
}

/// Returns the key of a run's outlays: that of its index entry, or for an assistant's run the beginning of its day.
#[must_use]
pub(crate) fn key_of(accepted_at: Timestamp, run: &str, by: &RunBy) -> OutlaysKey {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let at = accepted_at.as_ms();
    let at = match by {
        RunBy::Assistant => at.saturating_sub(at.rem_euclid(DAY_MS)),
        RunBy::Coworker(..) => at,
    };
    (Timestamp::from_ms(at), run.to_owned())
}

/// Returns the name of a call, under which the accounts hold its reservation.
#[must_use]
pub(crate) fn call_name((at, run): &OutlaysKey, call: usize) -> String {
    format!("{}/{run}/{call}", at.as_ms())
}

/// Returns a call's run and number by the call's name; `None` for the names of early versions.
#[must_use]
pub(crate) fn call_named(name: &str) -> Option<(OutlaysKey, usize)> {
    let (at, rest) = name.split_once('/')?;
    let (run, call) = rest.rsplit_once('/')?;
    Some(((Timestamp::from_ms(at.parse().ok()?), run.to_owned()), call.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id};

    use super::*;

    /// 29 November 2026, 17:05:09 UTC.
    const AT: Timestamp = Timestamp::from_ms(1_795_971_909_000);

    fn ci() -> RunBy {
        RunBy::Coworker(Some("ci".to_owned()), owned_room_id!("!room:hs"))
    }

    fn run(by: RunBy) -> RunOutlays {
        RunOutlays::of(owned_user_id!("@any:hs"), by)
    }

    fn outlay() -> Outlay {
        let person = Some(owned_user_id!("@alice:hs"));
        Outlay { day: day_of(AT), person, model: "asked".to_owned(), cost: None, priced: true, batch: false }
    }

    fn costs(micro: u64) -> Cost {
        Cost { amount: Usd::from_micro(micro), model: None, priced: true }
    }

    #[test]
    fn c23_a_broken_answer_stays_in_its_day_and_a_run_costs_what_its_calls_do() {
        let mut run = run(ci());
        assert_eq!(run.cost(), None, "nothing was asked");
        run.begin(outlay());
        run.settle(0, &costs(40));
        run.again(0, Timestamp::from_ms(AT.as_ms() + 24 * 60 * 60 * 1000));
        run.settle(0, &Cost { model: Some("answered".to_owned()), ..costs(100) });
        run.settle(0, &costs(100));
        run.begin(outlay());
        run.settle(1, &costs(5));
        run.settle(7, &costs(5));

        let parts: Vec<_> =
            run.calls.iter().flatten().map(|part| (&*part.day, &*part.model, part.cost.map(Usd::micro))).collect();
        assert_eq!(
            parts,
            [("2026-11-29", "asked", Some(40)), ("2026-11-30", "answered", Some(60)), ("2026-11-29", "asked", Some(5))]
        );
        assert_eq!((run.counted(0).micro(), run.counted(9).micro()), (100, 0));
        assert_eq!(run.cost(), Some(Usd::from_micro(105)));
        run.settle(1, &Cost { priced: false, ..costs(5) });
        assert_eq!(run.cost(), None, "a part of it has no known price");
    }

    #[test]
    fn c23_a_call_s_name_leads_to_its_outlay() {
        for (run, by) in [("0123abcd", ci()), ("0123abcd-2", RunBy::Assistant)] {
            let key = key_of(AT, run, &by);
            assert_eq!(call_named(&call_name(&key, 3)), Some((key, 3)));
        }
        for early in ["0123abcd/0", "0123abcd-2/17", "x/y/z", ""] {
            assert_eq!(call_named(early), None, "{early}");
        }
    }

    #[test]
    fn a4_of_an_assistant_s_outlays_neither_room_nor_time_of_day_is_kept() {
        let stored = serde_json::to_string(&run(RunBy::Assistant)).expect("it is stored");
        assert_eq!(stored, r#"{"user":"@any:hs","calls":[]}"#);
        assert_eq!(key_of(AT, "run", &RunBy::Assistant).0, Timestamp::from_ms(1_795_910_400_000));
        assert_eq!(key_of(AT, "run", &ci()).0, AT);
        let mut run = run(ci());
        run.begin(outlay());
        insta::assert_snapshot!(serde_json::to_string(&run).expect("it is stored"));
    }
}
