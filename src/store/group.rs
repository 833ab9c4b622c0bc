//! Lets callers that want a flush at the same time share one.
//!
//! A flush makes durable what was written before it began. So a caller may share one that begins after its call, and
//! never one that is going on: what it wrote may have come too late for that. Whoever comes during a flush waits for its
//! end; the first of them then flushes for all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Flushes that are shared.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many have begun.
    begun: u64,
    /// The newest that succeeded, by its number.
    done: u64,
    is_going: bool,
}

/// What a caller is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// What it wrote is durable.
    Done,
    /// Another caller's flush is going on.
    Wait,
    /// It makes the flush with this number.
    Flush(u64),
}

impl State {
    /// Returns the number of the first flush that covers what is written by now.
    fn wanted(&self) -> u64 {
        self.begun + 1
    }

    fn turn(&mut self, wanted: u64) -> Turn {
        if self.done >= wanted {
            return Turn::Done;
        }
        if self.is_going {
            return Turn::Wait;
        }
        self.begun += 1;
        self.is_going = true;
        Turn::Flush(self.begun)
    }

    fn end(&mut self, number: u64, succeeded: bool) {
        self.is_going = false;
        if succeeded {
            self.done = number;
        }
    }
}

impl Group {
    /// Blocks until a flush has succeeded that began after this call, made here or by another caller.
    ///
    /// # Errors
    /// If the flush that this caller made failed. Nobody else gets that error: the others flush for themselves.
    pub(super) fn flush<E>(&self, flush: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut state = self.lock();
        let wanted = state.wanted();
        let number = loop {
            match state.turn(wanted) {
                Turn::Done => return Ok(()),
                Turn::Wait => state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner),
                Turn::Flush(number) => break number,
            }
        };
        drop(state);
        let mut going = Going { group: self, number, succeeded: false };
        let flushed = flush();
        going.succeeded = flushed.is_ok();
        flushed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flush that is going on; dropped, it is over, whatever came of it.
struct Going<'g> {
    group: &'g Group,
    number: u64,
    succeeded: bool,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.group.lock().end(self.number, self.succeeded);
        self.group.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn who_comes_during_a_flush_waits_for_its_end_and_all_of_them_share_the_next() {
        let mut state = State::default();
        let first = state.wanted();
        assert_eq!(state.turn(first), Turn::Flush(1));
        let later: Vec<u64> = (0..8).map(|_| state.wanted()).collect();
        assert!(later.iter().all(|wanted| state.turn(*wanted) == Turn::Wait));
        state.end(1, true);
        assert_eq!(state.turn(first), Turn::Done);
        assert_eq!(state.turn(later[0]), Turn::Flush(2), "what they wrote may have missed the first");
        assert!(later[1..].iter().all(|wanted| state.turn(*wanted) == Turn::Wait));
        let latest = state.wanted();
        state.end(2, true);
        assert!(later.iter().all(|wanted| state.turn(*wanted) == Turn::Done), "one flush for all of them");
        assert_eq!(state.turn(latest), Turn::Flush(3));
    }

    #[test]
    fn a_failed_flush_serves_nobody_and_the_next_caller_flushes_for_itself() {
        let mut state = State::default();
        let (first, second) = (state.wanted(), state.wanted());
        assert_eq!((state.turn(first), state.turn(second)), (Turn::Flush(1), Turn::Wait));
        state.end(1, false);
        assert_eq!(state.turn(second), Turn::Flush(2));
        state.end(2, true);

        let group = Group::default();
        assert_eq!(group.flush(|| Err("the disk is full")), Err("the disk is full"));
        assert_eq!(group.flush(|| Ok::<(), ()>(())), Ok(()));
    }

    #[test]
    fn a_flush_that_panics_holds_nobody_up() {
        let group = Group::default();
        let panicked = thread::scope(|threads| {
            threads.spawn(|| group.flush(|| -> Result<(), ()> { panic!("a panic of the test's") })).join()
        });
        assert!(panicked.is_err());
        assert_eq!(group.flush(|| Ok::<(), ()>(())), Ok(()));
    }

    #[test]
    fn whoever_returns_finds_what_it_wrote_flushed() {
        let (group, written, durable) = (Group::default(), AtomicU64::new(0), AtomicU64::new(0));
        let write_and_flush = || {
            for _ in 0..50 {
                let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                let flush = || {
                    let covers = written.load(Ordering::SeqCst);
                    thread::sleep(Duration::from_micros(50));
                    durable.store(covers, Ordering::SeqCst);
                    Ok::<(), ()>(())
                };
                assert_eq!(group.flush(flush), Ok(()));
                assert!(durable.load(Ordering::SeqCst) >= mine);
            }
        };
        thread::scope(|threads| (0..8).for_each(|_| drop(threads.spawn(write_and_flush))));
    }
}
