//! No sequence of calls, crashes, clocks and batches spends past a limit by more than one call, or forgets what was paid.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A step in the generated history.
#[derive(Clone, Debug)]
enum Happening {
    /// A request of one person in one room, or a schedule's, wants to call the model: in a batch, it outlives crashes. The
    /// process may be killed when so many of its accounts hold it.
    Begin { person: Option<usize>, room: usize, prompt: u64, answer: u64, batch: bool, killed_at: Option<usize> },
    /// A call in progress has cost this percentage of its estimate.
    Progress(usize, u64),
    /// A call ends at that percentage.
    End(usize, u64),
    /// A call's answer broke off and is requested again. The process may be killed when so many of its accounts hold it.
    Again(usize, u64, Option<usize>),
    /// The process is killed and restarted.
    Crash,
    /// A call ends at that percentage, and the process is killed when so many of its accounts are settled.
    CrashAtEnd(usize, u64, usize),
    /// The operator changes all limits to this percentage of the first ones.
    Limits(u64),
    /// The clock advances or is set.
    Clock(i64),
}

fn kill() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![9 => Just(None), 1 => (0..3_usize).prop_map(Some)]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (prop::option::of(0..2_usize), 0..2_usize, (0..30_u64, 0..60_u64), any::<bool>(), kill()).prop_map(
            |(person, room, (prompt, answer), batch, killed_at)| {
                Happening::Begin { person, room, prompt, answer, batch, killed_at }
            }
        ),
        3 => (any::<usize>(), 0..=100_u64).prop_map(|(call, part)| Happening::Progress(call, part)),
        3 => (any::<usize>(), 0..=100_u64).prop_map(|(call, part)| Happening::End(call, part)),
        1 => (any::<usize>(), 0..=100_u64, kill()).prop_map(|(call, part, killed_at)| Happening::Again(call, part, killed_at)),
        1 => Just(Happening::Crash),
        1 => (any::<usize>(), 0..=100_u64, 0..3_usize)
            .prop_map(|(call, part, settled)| Happening::CrashAtEnd(call, part, settled)),
        1 => (0..150_u64).prop_map(Happening::Limits),
        2 => (-3 * DAY_MS..10 * DAY_MS).prop_map(Happening::Clock),
        1 => (-40 * DAY_MS..40 * DAY_MS).prop_map(Happening::Clock),
    ]
}

/// A call as the provider sees it.
struct Call {
    id: String,
    accounts: Vec<String>,
    month: String,
    day: String,
    estimate: Estimate,
    /// Whether it is a batch, which goes on when the process is killed.
    batch: bool,
    /// The amount paid for earlier answers, already charged.
    before: u64,
    paid: u64,
}

/// The engine's accounts, and beside them what the provider charges.
#[derive(Default)]
struct World {
    accounts: BTreeMap<String, Account>,
    calls: Vec<Call>,
    charged: BTreeMap<(String, String), u64>,
    outlays: BTreeMap<String, (Vec<String>, RunOutlays)>,
    dearest: u64,
    made: usize,
    /// The percentage of the first limits that holds, less 100.
    limits: i64,
}

const MONTH_MAX: u64 = 400;
const DAY_MAX: u64 = 150;

impl World {
    fn entries(&self, names: &[String]) -> Vec<Entry> {
        let entry = |name: &String| {
            let account = self.accounts.get(name).cloned().unwrap_or_default();
            let [month, day] = [MONTH_MAX, DAY_MAX].map(|limit| Some(usd(self.limit(limit))));
            Entry { scope: Scope::Workspace, limits: Limits { month, day }, account }
        };
        names.iter().map(entry).collect()
    }

    fn keep(&mut self, names: &[String], entries: Vec<Entry>) {
        for (name, entry) in names.iter().zip(entries) {
            // Store and reload, so that anything serde loses is lost.
            let stored = serde_json::to_string(&entry.account).expect("an account is stored");
            self.accounts.insert(name.clone(), serde_json::from_str(&stored).expect("and read"));
        }
    }

    fn charge(&mut self, call: &Call, micro: u64) {
        for account in &call.accounts {
            for span in [&call.month, &call.day] {
                *self.charged.entry((account.clone(), span.clone())).or_default() += micro;
            }
        }
    }

    fn limit(&self, first: u64) -> u64 {
        first * u64::try_from(self.limits + 100).expect("no percentage is negative") / 100
    }

    /// Returns what the provider has charged an account, or will for calls in progress, in the periods of `now`.
    fn paid(&self, name: &str, now: Timestamp) -> [u64; 2] {
        Period::ALL.map(|period| {
            let span = period.span(now);
            let charged = self.charged.get(&(name.to_owned(), span.clone())).copied().unwrap_or_default();
            let open = self.calls.iter().filter(|call| {
                let of = if period == Period::Month { &call.month } else { &call.day };
                *of == span && call.accounts.iter().any(|account| account == name)
            });
            charged + open.map(|call| call.paid - call.before).sum::<u64>()
        })
    }

    fn outlay(&mut self, call: &str) -> &mut RunOutlays {
        &mut self.outlays.get_mut(call).expect("it was begun").1
    }

    /// Does what the engine's ledger does at a start.
    fn recover(&mut self) {
        let mut calls = BTreeMap::new();
        for (name, account) in &self.accounts {
            Left::gather(&mut calls, name, account);
        }
        for (call, left) in calls {
            let (holders, run) = self.outlays.get_mut(&call).expect("it was begun");
            if run.waiting() == Some(0) && self.calls.iter().any(|open| open.id == call) {
                continue;
            }
            run.recover(0, left.noted, holders.iter().all(|holder| left.held_by.contains(holder)));
            for name in left.held_by {
                self.accounts.get_mut(&name).expect("it holds").recover(&call, &run.parts(0));
            }
        }
        let is_over = |call: &Call| !call.batch || self.outlays[&call.id].1.waiting().is_none();
        let (over, going_on) = std::mem::take(&mut self.calls).into_iter().partition(is_over);
        self.calls = going_on;
        let over: Vec<Call> = over;
        for call in over {
            self.charge(&call, call.paid - call.before);
        }
    }

    /// Stores the accounts that were written before the process was killed.
    fn keep_some(&mut self, names: &[String], mut entries: Vec<Entry>, killed_at: Option<usize>) {
        let written = killed_at.unwrap_or(names.len()).min(names.len());
        entries.truncate(written);
        self.keep(&names[..written], entries);
    }

    fn note(&mut self, at: usize, part: u64) {
        let call = &mut self.calls[at];
        let (prompt, whole) = (call.estimate.prompt.micro(), call.estimate.whole().micro());
        // The prompt is billed at once, and nothing is refunded.
        call.paid = call.paid.max(call.before + prompt + (whole - prompt) * part / 100);
        let (id, names, paid) = (call.id.clone(), call.accounts.clone(), call.paid);
        for name in &names {
            self.accounts.get_mut(name).expect("it holds").note(&id, usd(paid));
        }
    }

    fn take(&mut self, happening: &Happening, now: Timestamp) {
        let at = |call: usize, calls: &[Call]| (!calls.is_empty()).then(|| call % calls.len());
        match *happening {
            Happening::Begin { person, room, prompt, answer, batch, killed_at } => {
                let mut names = vec!["workspace".to_owned()];
                // What nobody asks for and no member set up is no person's.
                names.extend(person.map(|person| format!("person {person}")));
                names.push(format!("room {room}"));
                let (mut entries, estimate) = (self.entries(&names), costing(prompt, answer));
                self.made += 1;
                let id = format!("call {}", self.made);
                if reserve(&mut entries, &id, &estimate, now).is_ok() {
                    for name in &names {
                        let [month, day] = self.paid(name, now);
                        assert!(month < self.limit(MONTH_MAX) && day < self.limit(DAY_MAX), "{name}: {month}, {day}");
                    }
                    let mut run = RunOutlays::of(ruma::owned_user_id!("@any:hs"), RunBy::Assistant);
                    run.begin(Outlay {
                        day: day_of(now),
                        person: None,
                        model: String::new(),
                        cost: None,
                        priced: true,
                        batch,
                    });
                    self.outlays.insert(id.clone(), (names.clone(), run));
                    self.keep_some(&names, entries, killed_at);
                    if killed_at.is_some_and(|written| written < names.len()) {
                        // It was not made yet, and nobody knows of it.
                        return self.recover();
                    }
                    self.dearest = self.dearest.max(estimate.whole().micro());
                    let (month, day) = (month_of(now), day_of(now));
                    let paid = estimate.prompt.micro();
                    self.calls.push(Call { id, accounts: names, month, day, estimate, batch, before: 0, paid });
                    if killed_at.is_some() {
                        self.recover();
                    }
                }
            }
            Happening::Progress(call, part) => {
                if let Some(at) = at(call, &self.calls) {
                    self.note(at, part);
                }
            }
            Happening::End(call, part) => {
                let Some(at) = at(call, &self.calls) else { return };
                self.note(at, part);
                let call = self.calls.swap_remove(at);
                self.outlay(&call.id).settle(0, &costs(call.paid));
                for name in &call.accounts {
                    self.accounts.get_mut(name).expect("it holds").settle(&call.id, usd(call.paid));
                }
                self.charge(&call, call.paid - call.before);
            }
            Happening::CrashAtEnd(call, part, settled) => {
                if let Some(at) = at(call, &self.calls) {
                    self.note(at, part);
                    let (id, paid) = (self.calls[at].id.clone(), self.calls[at].paid);
                    self.outlay(&id).settle(0, &costs(paid));
                    for name in self.calls[at].accounts.iter().take(settled) {
                        self.accounts.get_mut(name).expect("it holds").settle(&id, usd(paid));
                    }
                }
                self.recover();
            }
            Happening::Again(call, part, killed_at) => {
                let Some(at) = at(call, &self.calls).filter(|at| !self.calls[*at].batch) else { return };
                self.note(at, part);
                let (names, id) = (self.calls[at].accounts.clone(), self.calls[at].id.clone());
                let (mut entries, paid, estimate) =
                    (self.entries(&names), self.calls[at].paid, self.calls[at].estimate);
                self.outlay(&id).settle(0, &costs(paid));
                self.outlay(&id).again(0, now);
                let made = reserve_again(&mut entries, &id, usd(paid), &estimate, now).is_ok();
                self.keep_some(&names, entries, killed_at);
                let mut call = self.calls.swap_remove(at);
                self.charge(&call, paid - call.before);
                if made && killed_at != Some(0) {
                    (call.month, call.day) = (month_of(now), day_of(now));
                    (call.before, call.paid) = (paid, paid + estimate.prompt.micro());
                    self.calls.push(call);
                } else if killed_at.is_none() {
                    self.outlay(&id).settle(0, &costs(paid));
                    for name in &names {
                        self.accounts.get_mut(name).expect("it holds").settle(&id, usd(paid));
                    }
                }
                if killed_at.is_some() {
                    self.recover();
                }
            }
            Happening::Crash => self.recover(),
            Happening::Limits(percent) => self.limits = i64::try_from(percent).expect("it is small") - 100,
            Happening::Clock(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn c23_no_sequence_spends_past_a_limit_by_more_than_one_call_nor_forgets_what_was_paid(
        happenings in prop::collection::vec(happening(), 0..70),
    ) {
        let mut world = World::default();
        let mut now = OCTOBER;
        for happening in &happenings {
            if let Happening::Clock(ms) = happening {
                now = Timestamp::from_ms(now.as_ms() + ms);
            }
            world.take(happening, now);
        }
        while !world.calls.is_empty() {
            world.take(&Happening::End(0, 100), now);
        }
        world.take(&Happening::Crash, now);
        for ((name, span), charged) in &world.charged {
            // Half as much again is the most that limits were raised to.
            let limit = if span.len() == "2026-11".len() { MONTH_MAX } else { DAY_MAX } * 3 / 2;
            prop_assert!(*charged < limit + world.dearest.max(1), "{name} in {span}: {charged} of {limit}");
            let (months, days) = sums_of(&world.accounts[name]);
            let kept = months.get(span).or_else(|| days.get(span)).map(|sum| sum.micro());
            prop_assert_eq!(kept, Some(*charged), "{} in {}", name, span);
            let of_account = world.outlays.values().filter(|(names, _)| names.contains(name));
            let outlays = of_account.flat_map(|(_, run)| run.calls.iter().flatten());
            let of_span = outlays.filter(|outlay| outlay.day.starts_with(span.as_str()));
            let sum: u64 = of_span.filter_map(|outlay| outlay.cost).map(Usd::micro).sum();
            prop_assert_eq!(sum, *charged, "the outlays of {} in {}", name, span);
        }
    }
}

/// Returns an account's stored sums.
fn sums_of(account: &Account) -> (BTreeMap<String, Usd>, BTreeMap<String, Usd>) {
    let stored = serde_json::to_value(account).expect("an account is stored");
    let sums = |name: &str| serde_json::from_value(stored[name].clone()).expect("sums are amounts");
    (sums("months"), sums("days"))
}

fn costs(micro: u64) -> Cost {
    Cost { amount: usd(micro), model: None, priced: true }
}
