//! Acknowledged events are kept, and each comes once, in order.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use futures_util::future::join_all;
use proptest::prelude::*;
use ruma::{owned_room_id, owned_user_id};

use super::*;

const KEY: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn event(n: u64) -> InboxEvent {
    InboxEvent {
        event_id: format!("$event-{n}").try_into().expect("an event id"),
        room_id: owned_room_id!("!room:example.org"),
        sender: owned_user_id!("@alice:example.org"),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        sent_at: NOW,
        json: format!("{{\"n\":{n}}}"),
    }
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<InboxEvent> {
    numbers.into_iter().map(event).collect()
}

fn open(dir: &Path) -> Inbox {
    Store::open(dir, &KEY).expect("the store opens").inbox([1; 16])
}

fn pending(inbox: &Inbox) -> Vec<(u64, InboxEvent)> {
    let entries = inbox.pending(0, usize::MAX).expect("readable");
    entries.into_iter().map(|entry| (entry.seq, entry.event)).collect()
}

fn after_days(days: i64) -> Timestamp {
    Timestamp::from_ms(NOW.as_ms() + days * DAY_MS)
}

#[tokio::test]
async fn an_event_is_accepted_once_whatever_transaction_brings_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());

    let first = inbox.accept("1", events([1, 2, 2]), NOW).await.expect("accepted");
    let again = inbox.accept("1", events([1, 2]), NOW).await.expect("accepted");
    let overlapping = inbox.accept("2", events([2, 3]), NOW).await.expect("accepted");

    assert_eq!(first, Accepted { new: 2, duplicate_transaction: false });
    assert_eq!(again, Accepted { new: 0, duplicate_transaction: true });
    assert_eq!(overlapping, Accepted { new: 1, duplicate_transaction: false });
    assert_eq!(pending(&inbox), [(1, event(1)), (2, event(2)), (3, event(3))]);
}

#[tokio::test]
async fn what_waits_in_one_room_is_found_among_that_of_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());
    let elsewhere = |n| InboxEvent { room_id: owned_room_id!("!other:example.org"), ..event(n) };
    let mixed = vec![event(1), elsewhere(2), event(3), elsewhere(4), event(5), event(6)];
    inbox.accept("1", mixed, NOW).await.expect("accepted");
    inbox.done(3).expect("removed");

    let numbers = |range, most| -> Vec<u64> {
        let found = inbox.pending_in(&event(1).room_id, range, most).expect("readable");
        found.into_iter().map(|entry| entry.seq).collect()
    };

    assert_eq!(numbers(1..=6, 10), [1, 5, 6]);
    assert_eq!(numbers(2..=5, 10), [5]);
    assert_eq!(numbers(1..=u64::MAX, 2), [1, 5]);
    assert_eq!(numbers(7..=9, 10), [0; 0]);
}

#[tokio::test]
async fn a_repeated_transaction_id_loses_no_unknown_event() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());
    inbox.accept("1", events([1]), NOW).await.expect("accepted");

    let after_reset = inbox.accept("1", events([2]), NOW).await.expect("accepted");

    assert_eq!(after_reset, Accepted { new: 1, duplicate_transaction: true });
    assert_eq!(pending(&inbox), [(1, event(1)), (2, event(2))]);
}

#[tokio::test]
async fn another_registration_counts_its_transactions_anew_and_knows_the_events() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), &KEY).expect("the store opens");
    store.inbox([1; 16]).accept("1", events([1]), NOW).await.expect("accepted");

    let accepted = store.inbox([2; 16]).accept("1", events([1, 2]), NOW).await.expect("accepted");

    assert_eq!(accepted, Accepted { new: 1, duplicate_transaction: false });
}

#[tokio::test]
async fn what_is_done_stays_known_and_its_number_is_never_given_again() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let inbox = open(dir.path());
        inbox.accept("1", events([1, 2]), NOW).await.expect("accepted");
        inbox.done(1).expect("removed");
        inbox.done(2).expect("removed");
        assert!(inbox.is_empty());
    }

    let inbox = open(dir.path());
    inbox.accept("2", events([1, 2, 3]), NOW).await.expect("accepted");

    assert_eq!(pending(&inbox), [(3, event(3))]);
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox.pending(3, 1).expect("readable"), []);
    assert_eq!(inbox.pending(u64::MAX, 1).expect("readable"), []);
}

#[tokio::test]
async fn waiters_wake_with_the_highest_number_and_see_it_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());
    let mut watch = inbox.watch();
    assert_eq!(*watch.borrow_and_update(), 0);

    inbox.accept("1", events([1, 2]), NOW).await.expect("accepted");
    watch.changed().await.expect("the store is open");
    assert_eq!(*watch.borrow_and_update(), 2);
    inbox.accept("1", events([1, 2]), NOW).await.expect("accepted");
    assert!(!watch.has_changed().expect("the store is open"));

    drop((inbox, watch));
    assert_eq!(*open(dir.path()).watch().borrow(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_transactions_keep_their_events_together_and_share_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());

    let calls = (0..8_u64).map(|txn| {
        let inbox = inbox.clone();
        async move { inbox.accept(&txn.to_string(), events(txn * 5..txn * 5 + 6), NOW).await.expect("accepted").new }
    });
    let new: usize = join_all(calls).await.into_iter().sum();

    let stored = pending(&inbox);
    assert_eq!((new, stored.len()), (41, 41));
    assert!(stored.iter().map(|(seq, _)| *seq).eq(1..=41));
    for txn in 0..8 {
        let own = txn * 5 + 1..txn * 5 + 5;
        let places = own.map(|n| stored.iter().position(|(_, stored)| *stored == event(n)).expect("stored"));
        let places: Vec<_> = places.collect();
        assert!(places.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{places:?}");
    }
}

#[tokio::test]
async fn ids_are_forgotten_after_thirty_days_and_waiting_entries_are_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());
    inbox.accept("1", events([1]), NOW).await.expect("accepted");

    let day_30 = inbox.accept("2", events([1]), after_days(30)).await.expect("accepted");
    inbox.accept("3", Vec::new(), after_days(31)).await.expect("accepted");
    let day_31 = inbox.accept("1", events([1]), after_days(31)).await.expect("accepted");

    assert_eq!(day_30, Accepted { new: 0, duplicate_transaction: false });
    assert_eq!(day_31, Accepted { new: 1, duplicate_transaction: false });
    assert_eq!(pending(&inbox), [(1, event(1)), (2, event(1))]);
}

#[tokio::test]
async fn forgetting_is_bounded_for_each_transaction() {
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());
    let spared = 2 * EVENTS_AT_ONCE_MAX + FORGOTTEN_SPARE;
    inbox.accept("1", events(0..399), NOW).await.expect("accepted");

    inbox.accept("2", Vec::new(), after_days(31)).await.expect("accepted");

    assert_eq!(inbox.forget_before(after_days(1)).expect("forgotten"), 400 - spared);
    assert_eq!(inbox.forget_before(after_days(1)).expect("forgotten"), 0);
}

const KILLED_DIR: &str = "WORKMATE_TEST_KILLED_STORE";
const EVENTS_EACH: u64 = 3;

#[test]
fn a_killed_process_keeps_everything_that_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(std::env::current_exe().expect("the test's binary"))
        .args(["--exact", "store::inbox::tests::accepts_until_killed", "--ignored", "--nocapture"])
        .env(KILLED_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test's binary runs");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let acknowledged = lines.filter(|line| line.contains("acknowledged")).take(25).count();
    child.kill().expect("SIGKILL is sent");
    child.wait().expect("it ends");

    let stored = pending(&open(dir.path()));

    assert_eq!(acknowledged, 25);
    let least = 25 * usize::try_from(EVENTS_EACH).expect("small");
    assert!(stored.len() >= least, "{} of {least} events are there", stored.len());
    assert!(stored.into_iter().zip(0..).all(|(entry, n)| entry == (n + 1, event(n))));
}

#[tokio::test]
#[ignore = "run by a_killed_process_keeps_everything_that_it_acknowledged, as the process that is killed"]
async fn accepts_until_killed() {
    let dir = std::env::var(KILLED_DIR).expect("set by the test that runs this");
    let inbox = open(Path::new(&dir));
    for txn in 0.. {
        let own = events(txn * EVENTS_EACH..(txn + 1) * EVENTS_EACH);
        inbox.accept(&txn.to_string(), own, NOW).await.expect("accepted");
        println!("acknowledged");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_overlapping_transactions_yield_each_event_once_and_in_order(
        transactions in prop::collection::vec((0_u8..4, prop::collection::vec(0_u64..12, 0..6)), 0..10),
        reopen_after in 0_usize..10,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut inbox = open(dir.path());
        let mut expected = Vec::new();
        for (count, (txn, numbers)) in transactions.into_iter().enumerate() {
            if count == reopen_after {
                drop(inbox);
                inbox = open(dir.path());
            }
            runtime.block_on(inbox.accept(&txn.to_string(), events(numbers.iter().copied()), NOW))?;
            for n in numbers {
                if !expected.contains(&n) {
                    expected.push(n);
                }
            }
        }
        let expected: Vec<_> = (1..).zip(expected.into_iter().map(event)).collect();
        prop_assert_eq!(pending(&inbox), expected);
    }
}

/// Prints the cost of a backlog; run by hand: `cargo test --lib inbox::tests::a_backlog -- --ignored --nocapture`
#[tokio::test]
#[ignore = "measures memory, run by hand"]
async fn a_backlog_is_taken_within_bounds() {
    let rss = |what: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let of = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        eprintln!("{what}: {} {}", of("VmRSS"), of("VmHWM"));
    };
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = open(dir.path());
    rss("begun");
    let number: u64 = std::env::var("BACKLOG").ok().and_then(|number| number.parse().ok()).unwrap_or(20_000);
    for part in 0..number.div_ceil(10_000) {
        let numbers = part * 10_000..((part + 1) * 10_000).min(number);
        let events = numbers.map(|n| InboxEvent { json: "x".repeat(400), ..event(n) }).collect();
        inbox.accept(&format!("part-{part}"), events, NOW).await.expect("accepted");
    }
    rss("accepted");
    let mut after = 0;
    while let Some(last) = inbox.pending(after, 256).expect("readable").last() {
        after = last.seq;
    }
    rss("read");
    for seq in 1..=after {
        inbox.done(seq).expect("removed");
    }
    rss("done");
}
