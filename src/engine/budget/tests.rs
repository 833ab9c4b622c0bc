//! The ledger on a real store: what restarts, broken answers and batches leave in it.

use futures_util::FutureExt as _;
use ruma::{event_id, room_id, user_id};

use super::*;
use crate::{
    core::{
        budget::{Budgets, Limits, Period, Scope, Usd},
        errand::{Errand, ErrandId, Origin, OriginKind},
        event::Place,
        sealed::Carriage,
        time::Timestamp,
        zone::Zone,
    },
    store::Store,
};

const MODEL: &str = "claude-opus-5-5";

struct Bench {
    store: Store,
    record: RunRecord,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), &[7; 32]).expect("the store opens");
        let (user, asker) = (user_id!("@coworker-ci:hs"), user_id!("@alice:hs"));
        let record = RunRecord::new(user, room_id!("!dev:hs"), event_id!("$ask"), asker, Place::Timeline, clock::now());
        Self { store, record, _dir: dir }
    }

    /// Opens the ledger as a process does at its start.
    fn ledger(&self) -> Ledger {
        Ledger::open(&self.store, Terms::default(), clock::now()).expect("the ledger opens")
    }

    /// Opens it with a limit for each person's day.
    fn ledger_with(&self, person_day: Usd) -> Ledger {
        let person = Limits { day: Some(person_day), month: None };
        let terms = Terms { budgets: Budgets { person, ..Budgets::default() }, ..Terms::default() };
        Ledger::open(&self.store, terms, clock::now()).expect("the ledger opens")
    }

    fn by(&self) -> RunBy {
        RunBy::Coworker(Some("ci".to_owned()), self.record.room.clone())
    }

    fn key(&self) -> budget::outlay::OutlaysKey {
        key_of(self.record.accepted_at, self.record.id().as_str(), &self.by())
    }

    fn reserve(&self, ledger: &Ledger, latency: Latency) -> ledger::Call {
        let holders = Budget::holders_of(&self.record);
        let opening = Opening { record: &self.record, by: self.by(), model: MODEL, estimate: estimate(), latency };
        ledger.reserve(&holders, &opening, clock::now()).expect("it is stored").expect("there is no limit")
    }

    /// Returns what each account has spent and reserved this month; they must agree.
    fn sums(&self, ledger: &Ledger) -> (u64, u64) {
        let now: Timestamp = clock::now();
        let of = |holder: &Holder| {
            let account = ledger.account(holder, now).expect("it is read");
            (account.spent(Period::Month, now).micro(), account.reserved(Period::Month, now).micro())
        };
        let holders = Budget::holders_of(&self.record);
        let sums = of(&holders[0]);
        assert!(holders.iter().all(|holder| of(holder) == sums), "all accounts agree");
        sums
    }
}

fn estimate() -> Estimate {
    Estimate { prompt: Usd::from_micro(800_000), answer: Usd::from_micro(100_000) }
}

#[test]
fn c20_c23_a_batch_stays_reserved_through_a_restart_for_as_long_as_its_run_is_there() {
    let bench = Bench::new();
    let call = bench.reserve(&bench.ledger(), Latency::Batch);
    bench.store.runs().put(&bench.record.id().as_str().to_owned(), &bench.record).expect("stored");
    for _ in 0..3 {
        let ledger = bench.ledger();
        assert_eq!(bench.sums(&ledger), (0, 900_000));
        assert_eq!(ledger.waiting(&bench.key()).expect("read").map(|waiting| waiting.name), Some(call.name.clone()));
    }
    // Its answer is read by another process than the one that reserved it, and once more after a crash.
    let cost = budget::outlay::Cost { amount: Usd::from_micro(1_234), model: None, priced: true };
    for _ in 0..2 {
        let ledger = bench.ledger();
        ledger.settle(&Budget::holders_of(&bench.record), &call, &cost).expect("it is settled");
        assert_eq!((bench.sums(&ledger), ledger.waiting(&bench.key()).expect("read").is_none()), ((1_234, 0), true));
    }

    // Nobody waits for that of a run that is over: its prompt counts.
    let bench = Bench::new();
    bench.reserve(&bench.ledger(), Latency::Batch);
    assert_eq!(bench.sums(&bench.ledger()), (800_000, 0));
    let bench = Bench::new();
    let (ledger, holders) = (bench.ledger(), Budget::holders_of(&bench.record));
    let call = bench.reserve(&ledger, Latency::Batch);
    ledger.leave(&holders, &call).expect("it is left");
    assert_eq!(bench.sums(&ledger), (800_000, 0));
    // A normal call that a crash cuts off is settled whether or not its run goes on.
    let bench = Bench::new();
    bench.reserve(&bench.ledger(), Latency::Normal);
    bench.store.runs().put(&bench.record.id().as_str().to_owned(), &bench.record).expect("stored");
    assert_eq!(bench.sums(&bench.ledger()), (800_000, 0));
}

#[test]
fn c23_an_answer_that_broke_off_counts_as_told_and_as_its_prompt_only_where_nothing_was_told() {
    let told = |cached: u64| claude::Usage {
        input_tokens: Some(10),
        cache_read_input_tokens: Some(cached),
        output_tokens: Some(1),
        ..claude::Usage::default()
    };
    let costs = |usage: &claude::Usage| claude::cost(MODEL, usage).expect("it has a price").micro_usd;
    let bench = Bench::new();
    let ledger = bench.ledger();
    let progress = watch::Sender::new(Progress::default());
    let hold = Hold {
        holders: Budget::holders_of(&bench.record),
        call: bench.reserve(&ledger, Latency::Normal),
        ledger: &ledger,
        model: MODEL.to_owned(),
        estimate: estimate(),
        progress: &progress,
        noted_ms: AtomicI64::new(i64::MIN),
        untold: AtomicU64::new(0),
        is_under_way: true,
        waits: false,
    };
    let hear = |usage: &claude::Usage| {
        progress.send_modify(|so_far| (so_far.model, so_far.usage) = (Some(MODEL.to_owned()), usage.clone()));
    };
    hear(&told(100_000));
    hold.again().expect("there is no limit");
    progress.send_modify(Progress::begin_again);
    let first = costs(&told(100_000));
    assert!(first < 800_000 / 10, "a cached prompt costs little: {first}");
    assert_eq!(bench.sums(&ledger).0, first);

    // Nothing was told of the second one: its prompt counts, beside what the others cost.
    hold.again().expect("there is no limit");
    progress.send_modify(Progress::begin_again);
    assert_eq!(bench.sums(&ledger).0, first + 800_000);
    hear(&told(50_000));
    progress.send_modify(|so_far| so_far.complete = true);
    hold.end();
    assert_eq!(bench.sums(&ledger), (first + 800_000 + costs(&told(50_000)), 0));
}

/// When the process is killed, from a call's reservation on until the admins were warned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    InTheCall,
    BehindTheCall,
    BeforeTheWord,
    BehindTheWord,
    Never,
}

#[test]
fn c23_a_kill_between_crossing_80_percent_and_the_word_loses_no_warning_and_it_is_said_once() {
    let day = Usd::from_micro(1_000_000);
    let is_due = |ledger: &Ledger| ledger.warning_due.notified().now_or_never().is_some();
    for killed in
        [Killed::InTheCall, Killed::BehindTheCall, Killed::BeforeTheWord, Killed::BehindTheWord, Killed::Never]
    {
        let bench = Bench::new();
        // By its number a warning is the same message for the homeserver.
        let mut said = Vec::new();
        let first = bench.ledger_with(day);
        assert!(!is_due(&first), "nothing was spent yet");
        let call = bench.reserve(&first, Latency::Normal);
        if killed != Killed::InTheCall {
            let cost = budget::outlay::Cost { amount: Usd::from_micro(850_000), model: None, priced: true };
            first.settle(&Budget::holders_of(&bench.record), &call, &cost).expect("it is settled");
            assert!(is_due(&first), "{killed:?}: it was crossed");
        }
        if !matches!(killed, Killed::InTheCall | Killed::BehindTheCall) {
            let warning = first.next_warning().expect("read").expect("one is due");
            if killed != Killed::BeforeTheWord {
                said.push(warning.number);
            }
            if killed == Killed::Never {
                first.warned(&warning).expect("noted");
            }
        }
        drop(first);

        let second = bench.ledger_with(day);
        assert_eq!(is_due(&second), killed != Killed::Never, "{killed:?}");
        while let Some(warning) = second.next_warning().expect("read") {
            assert!(warning.lows.iter().any(|low| low.holder.scope() == Scope::Person), "{killed:?}");
            said.push(warning.number);
            second.warned(&warning).expect("noted");
        }
        said.dedup();
        assert_eq!(said.len(), 1, "{killed:?}: said once");
        drop(second);
        let third = bench.ledger_with(day);
        assert!(!is_due(&third) && third.next_warning().expect("read").is_none(), "{killed:?}: and never again");
    }
}

#[test]
fn c20_c23_a_member_s_schedule_falls_under_who_set_it_up_and_a_file_s_under_nobody() {
    let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
    let run = |set_by: Option<&ruma::UserId>| {
        let origin = Origin { kind: OriginKind::Schedule, name: "1".to_owned(), set_by: set_by.map(ToOwned::to_owned) };
        let id = ErrandId::of(OriginKind::Schedule, &[set_by.map_or("file", ruma::UserId::as_str)]);
        let (user, room, now) = (user_id!("@coworker-ci:hs"), room_id!("!dev:hs"), clock::now());
        let errand = Errand::new(id, user, room, origin, "Sum up.", now);
        errand.run(event_id!("$notice"), Place::Timeline, Carriage::Plain, 0, now)
    };
    let again = RunRecord { asker: bob.to_owned(), attempt: 1, ..run(Some(alice)) };
    for (record, payer) in [(run(Some(alice)), Some(alice)), (run(None), None), (again, Some(bob))] {
        let bench = Bench { record, ..Bench::new() };
        let ledger = bench.ledger_with(Usd::from_micro(1_000_000));
        let persons: Vec<Holder> = [alice, bob].map(|person| Holder::Person(person.to_owned())).into();
        let holders = Budget::holders_of(&bench.record);
        let paying: Vec<&Holder> = persons.iter().filter(|person| holders.contains(person)).collect();
        assert_eq!(paying, payer.map(|payer| Holder::Person(payer.to_owned())).iter().collect::<Vec<_>>());
        for always in [Scope::Workspace, Scope::Coworker, Scope::Room] {
            assert!(holders.iter().any(|holder| holder.scope() == always), "{always:?} always pays");
        }
        let call = bench.reserve(&ledger, Latency::Normal);
        let cost = budget::outlay::Cost { amount: Usd::from_micro(1_000_000), model: None, priced: true };
        ledger.settle(&holders, &call, &cost).expect("it is settled");
        let spent = |holder: &Holder| {
            let account = ledger.account(holder, clock::now()).expect("read");
            account.spent(Period::Day, clock::now()).micro()
        };
        for person in &persons {
            assert_eq!(spent(person), if holders.contains(person) { 1_000_000 } else { 0 }, "{payer:?}");
        }
        let outlays = ledger.outlays_at(&bench.key()).expect("read").expect("there is one");
        let kept = serde_json::to_string(&outlays).expect("JSON");
        assert_eq!(
            [alice, bob].map(|person| kept.contains(person.as_str())),
            [alice, bob].map(|person| payer == Some(person))
        );

        // Where the payer has nothing left, it is not begun; what the operator set up goes on.
        let opening = Opening {
            record: &bench.record,
            by: bench.by(),
            model: MODEL,
            estimate: estimate(),
            latency: Latency::Normal,
        };
        let reserved = ledger.reserve(&holders, &opening, clock::now()).expect("stored");
        assert_eq!(reserved.err().map(|full| full.scope), payer.map(|_| Scope::Person), "{payer:?}");
    }
}

#[test]
fn c23_days_and_months_begin_by_the_clock_of_the_workspace_s_zone() {
    let zone = |name: &str| Zone::named(name).expect(name);
    // 30 November 2026, 23:30 in UTC: it is December already in Berlin, and the afternoon in New York.
    let now = Timestamp::from_ms(1_796_081_400_000);
    for (name, day, month, ends) in [
        ("UTC", "2026-11-30", "2026-11", 1_796_083_200_000),
        ("Europe/Berlin", "2026-12-01", "2026-12", 1_796_166_000_000),
        ("America/New_York", "2026-11-30", "2026-11", 1_796_101_200_000),
    ] {
        let bench = Bench::new();
        let person = Limits { day: Some(Usd::from_micro(900_000)), month: None };
        let terms = Terms { budgets: Budgets { person, ..Budgets::default() }, zone: zone(name), ..Terms::default() };
        let ledger = Ledger::open(&bench.store, terms, now).expect("the ledger opens");
        let holders = Budget::holders_of(&bench.record);
        let reserve = || {
            let (record, by, estimate) = (&bench.record, bench.by(), estimate());
            let opening = Opening { record, by, model: MODEL, estimate, latency: Latency::Normal };
            ledger.reserve(&holders, &opening, now).expect("stored")
        };
        let call = reserve().expect("there is room");
        let cost = budget::outlay::Cost { amount: Usd::from_micro(900_000), model: None, priced: true };
        ledger.settle(&holders, &call, &cost).expect("settled");
        let full = reserve().expect_err("the day is used up");
        assert_eq!(full.until, Timestamp::from_ms(ends), "{name}");
        let account = ledger.account(&Holder::Workspace, now).expect("read");
        let kept = serde_json::to_value(&account).expect("JSON");
        assert_eq!(kept["days"], serde_json::json!({ day: 900_000 }), "{name}: {kept}");
        assert_eq!(kept["months"], serde_json::json!({ month: 900_000 }), "{name}: {kept}");
        let outlays = ledger.outlays_at(&bench.key()).expect("read").expect("there is one");
        assert!(serde_json::to_string(&outlays).expect("JSON").contains(day), "{name}: both name the same day");
    }
}
