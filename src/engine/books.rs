//! Sums of all runs and of what they cost, kept in memory while the console is on: pages and reports need not read a
//! million runs again.
//!
//! Whoever writes an outlay or an ended run does so under [`Books::open`], which notes the change beside the write. At the
//! start, once a day and when an owner has had their runs forgotten, everything is counted anew beside the work.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    core::{
        audit::{RunKey, RunSummary, Sums},
        budget::outlay::{OutlaysKey, RunOutlays},
        people::Namespace,
        zone::Zone,
    },
    store::{Store, StoreError, Table},
};

/// Records that are counted at a time; writers go on in between.
const COUNTED_AT_ONCE: usize = 64;
/// The pause in between.
const COUNTING_PAUSE: Duration = Duration::from_micros(200);
/// The time between two counts from the beginning.
const RECOUNT_EVERY: Duration = Duration::from_hours(24);

/// The sums, and how far they are counted.
pub(super) struct Books {
    outlays: Table<OutlaysKey, RunOutlays>,
    index: Table<RunKey, RunSummary>,
    zone: Zone,
    namespace: Namespace,
    is_kept: bool,
    state: Mutex<State>,
    due: Notify,
    changes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// What is complete.
    whole: Option<Sums>,
    /// What is being counted.
    filling: Option<Filling>,
}

/// Sums that are being counted, and up to where.
struct Filling {
    sums: Sums,
    outlays_to: Option<OutlaysKey>,
    has_all_outlays: bool,
    index_to: Option<RunKey>,
}

impl Filling {
    fn has_outlays(&self, key: &OutlaysKey) -> bool {
        self.has_all_outlays || self.outlays_to.as_ref().is_some_and(|to| key <= to)
    }

    fn has_run(&self, key: &RunKey) -> bool {
        self.index_to.as_ref().is_some_and(|to| key <= to)
    }
}

/// The books while something is written that they count.
pub(super) struct Writing<'a> {
    books: &'a Books,
    state: MutexGuard<'a, State>,
}

impl Books {
    /// Returns the books of a store; they are kept only where `is_kept`.
    pub(super) fn new(store: &Store, zone: Zone, namespace: Namespace, is_kept: bool) -> Self {
        Self {
            outlays: store.outlays(),
            index: store.run_index().owned_by(|_, run: &RunSummary| run.owner()),
            zone,
            namespace,
            is_kept,
            state: Mutex::default(),
            due: Notify::new(),
            changes: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the books for a write that they count.
    pub(super) fn open(&self) -> Writing<'_> {
        Writing { books: self, state: self.lock() }
    }

    /// Looks at the sums, and says whether they are complete; `None` while nothing is counted.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Sums, bool) -> T) -> Option<T> {
        let state = self.lock();
        match (&state.whole, &state.filling) {
            (Some(whole), _) => Some(look(whole, true)),
            (None, Some(filling)) => Some(look(&filling.sums, false)),
            (None, None) => None,
        }
    }

    /// Returns a number that changes with every write that is counted.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Has everything counted anew, because something was removed.
    pub(super) fn recount(&self) {
        self.due.notify_one();
    }

    /// Counts everything; blocks.
    fn count(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let sums = Sums::new(self.zone.clone());
        self.lock().filling = Some(Filling { sums, outlays_to: None, has_all_outlays: false, index_to: None });
        while !stop.is_cancelled() {
            if !self.count_some()? {
                let mut state = self.lock();
                state.whole = state.filling.take().map(|filling| filling.sums);
                self.changes.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            thread::sleep(COUNTING_PAUSE);
        }
        Ok(())
    }

    /// Counts the next records; returns whether there may be more.
    fn count_some(&self) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(filling) = &mut state.filling else { return Ok(false) };
        if !filling.has_all_outlays {
            let mut counted = 0;
            for read in behind(&self.outlays, filling.outlays_to.as_ref()).take(COUNTED_AT_ONCE) {
                let (key, costs) = read?;
                filling.sums.count_outlays(&key, &costs);
                filling.outlays_to = Some(key);
                counted += 1;
            }
            filling.has_all_outlays = counted < COUNTED_AT_ONCE;
            return Ok(true);
        }
        let mut counted = 0;
        for read in behind(&self.index, filling.index_to.as_ref()).take(COUNTED_AT_ONCE) {
            let (key, summary) = read?;
            filling.sums.count_run(key.clone(), summary, &self.namespace);
            filling.index_to = Some(key);
            counted += 1;
        }
        Ok(counted == COUNTED_AT_ONCE)
    }
}

fn behind<K, V>(table: &Table<K, V>, key: Option<&K>) -> Box<dyn Iterator<Item = Result<(K, V), StoreError>>>
where
    K: crate::store::Key + 'static,
    V: serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    match key {
        Some(key) => Box::new(table.after(key)),
        None => Box::new(table.iter()),
    }
}

impl Writing<'_> {
    /// Notes that a run's outlays were written.
    pub(super) fn note_outlays(&mut self, key: &OutlaysKey, before: Option<&RunOutlays>, after: &RunOutlays) {
        if !self.books.is_kept {
            return;
        }
        let mut note = |sums: &mut Sums| {
            if let Some(before) = before {
                sums.uncount_outlays(before);
            }
            sums.count_outlays(key, after);
        };
        let State { whole, filling } = &mut *self.state;
        whole.iter_mut().for_each(&mut note);
        filling.iter_mut().filter(|filling| filling.has_outlays(key)).for_each(|filling| note(&mut filling.sums));
        self.books.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an ended run was written.
    pub(super) fn note_run(&mut self, key: &RunKey, before: Option<&RunSummary>, after: &RunSummary) {
        if !self.books.is_kept {
            return;
        }
        let namespace = &self.books.namespace;
        let mut note = |sums: &mut Sums| {
            if let Some(before) = before {
                sums.uncount_run(key.clone(), before.clone(), namespace);
            }
            sums.count_run(key.clone(), after.clone(), namespace);
        };
        let State { whole, filling } = &mut *self.state;
        whole.iter_mut().for_each(&mut note);
        filling.iter_mut().filter(|filling| filling.has_run(key)).for_each(|filling| note(&mut filling.sums));
        self.books.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts everything now, once a day, and when something was removed.
pub(super) async fn keep(books: Arc<Books>, stop: CancellationToken) {
    if !books.is_kept {
        return;
    }
    loop {
        let (counting, until) = (books.clone(), stop.clone());
        let counted = tokio::task::spawn_blocking(move || counting.count(&until)).await;
        match counted {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "past runs cannot be counted; it is tried again in a day"),
            Err(error) => tracing::error!(%error, "past runs cannot be counted"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = books.due.notified() => {}
            () = tokio::time::sleep(RECOUNT_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;
    use crate::core::{
        audit::{By, tests::summary},
        budget::{
            Usd,
            outlay::{Outlay, RunBy},
        },
        time::Timestamp,
    };

    fn costs(micro: u64) -> RunOutlays {
        let mut costs = RunOutlays::of(owned_user_id!("@c:hs"), RunBy::Coworker(Some("ci".to_owned()), summary().room));
        let (day, model, cost) = ("2026-11-29".to_owned(), "opus".to_owned(), Some(Usd::from_micro(micro)));
        costs.begin(Outlay { day, person: None, model, cost, priced: true, batch: false });
        costs
    }

    fn key(number: usize) -> RunKey {
        (Timestamp::from_ms(1_795_971_909_000 + i64::try_from(number).expect("small")), format!("run{number}"))
    }

    fn in_all(books: &Books) -> (u64, u64, bool) {
        books
            .look(|sums, whole| {
                let (_, sum) = sums.report(By::Day, (None, None));
                (sum.figures.runs, sum.figures.cost_micro_usd, whole)
            })
            .unwrap_or_default()
    }

    #[test]
    fn console_what_is_written_while_it_is_counted_counts_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), &[7; 32]).expect("it opens");
        let namespace = Namespace::of_tests(ruma::server_name!("hs").to_owned());
        let books = Books::new(&store, Zone::default(), namespace, true);
        let write = |number: usize, micro: u64| {
            let mut writing = books.open();
            let before = books.outlays.get(&key(number)).expect("read");
            books.outlays.put(&key(number), &costs(micro)).expect("written");
            writing.note_outlays(&key(number), before.as_ref(), &costs(micro));
            let before = books.index.get(&key(number)).expect("read");
            books.index.put(&key(number), &summary()).expect("written");
            writing.note_run(&key(number), before.as_ref(), &summary());
        };
        (0..3 * COUNTED_AT_ONCE).for_each(|number| write(number, 1));
        assert_eq!(in_all(&books), (0, 0, false), "nothing is counted yet");

        let sums = Sums::new(Zone::default());
        books.lock().filling = Some(Filling { sums, outlays_to: None, has_all_outlays: false, index_to: None });
        let mut step = 0;
        while books.count_some().expect("read") {
            // Before, at and behind what is counted already.
            write(step, 3);
            write(3 * COUNTED_AT_ONCE + step, 1);
            step += 1;
        }
        let filling = books.lock().filling.take();
        books.lock().whole = filling.map(|filling| filling.sums);
        write(0, 5);
        let runs = u64::try_from(3 * COUNTED_AT_ONCE + step).expect("small");
        let cost = books.outlays.iter().map(|read| read.expect("read").1.counted(0).micro()).sum::<u64>();
        assert_eq!(in_all(&books), (runs, cost, true));

        books.count(&CancellationToken::new()).expect("counted");
        assert_eq!(in_all(&books), (runs, cost, true), "counted anew it is the same");
    }
}
