//! What arriving calls reveal besides their content: that they arrive, which pings came back to us, and that somebody
//! else answers in our place or calls with another token.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{clock, core::time::Timestamp};

/// The prefix of every Workmate's pings; the instance and a number follow.
const PING: &str = "workmate-";
/// The instance name of `workmate check --live`, which only tests reachability and acts as nobody.
pub(crate) const CHECK: &str = "check";
/// Ping ids that are remembered.
const PINGS_MAX: usize = 64;
/// The shortest gap between two pings of another instance for them to count: a predecessor's last ping may still be on
/// its way.
const APART: Duration = Duration::from_secs(40);
/// How long after its last ping another instance counts as gone.
const GONE_AFTER: Duration = Duration::from_mins(3);

/// What has arrived; cheap to clone.
#[derive(Clone, Debug)]
pub struct Arrivals(Arc<Mutex<Arrived>>);

#[derive(Debug)]
struct Arrived {
    /// This process's name in its pings.
    instance: String,
    asked: u64,
    pings: VecDeque<String>,
    other: Option<Other>,
    transactions: u64,
    last_transaction: Option<Timestamp>,
    /// When the last call with another token came.
    wrong_token: Option<Instant>,
}

#[derive(Debug)]
struct Other {
    instance: String,
    first: Instant,
    last: Instant,
}

impl Arrivals {
    /// Returns an empty record; `instance` names this process, and no other may use it.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Self(Arc::new(Mutex::new(Arrived {
            instance: instance.to_owned(),
            asked: 0,
            pings: VecDeque::new(),
            other: None,
            transactions: 0,
            last_transaction: None,
            wrong_token: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the id of a new ping of ours.
    #[must_use]
    pub fn next_ping(&self) -> String {
        let mut arrived = self.lock();
        arrived.asked += 1;
        format!("{PING}{}-{}", arrived.instance, arrived.asked)
    }

    /// Records a ping from the homeserver with this id.
    pub(super) fn hear_ping(&self, id: &str) {
        self.hear_ping_at(id, Instant::now());
    }

    fn hear_ping_at(&self, id: &str, now: Instant) {
        let mut arrived = self.lock();
        let instance = id.strip_prefix(PING).and_then(|rest| rest.rsplit_once('-')).map(|(instance, _)| instance);
        match instance {
            Some(instance) if instance == arrived.instance => {
                arrived.pings.push_back(id.to_owned());
                if arrived.pings.len() > PINGS_MAX {
                    arrived.pings.pop_front();
                }
            }
            Some(instance) if instance != CHECK => {
                let first = match &arrived.other {
                    Some(other) if other.instance == instance && now - other.last < GONE_AFTER => other.first,
                    _ => now,
                };
                arrived.other = Some(Other { instance: instance.to_owned(), first, last: now });
            }
            // From a check, or made by an operator.
            Some(_) | None => {}
        }
    }

    /// Returns whether a ping of ours came back to this process.
    #[must_use]
    pub fn heard_ping(&self, id: &str) -> bool {
        self.lock().pings.iter().any(|heard| heard == id)
    }

    /// Returns whether another Workmate pings through the homeserver with our registration.
    #[must_use]
    pub fn is_another_there(&self) -> bool {
        self.is_another_there_at(Instant::now())
    }

    fn is_another_there_at(&self, now: Instant) -> bool {
        self.lock()
            .other
            .as_ref()
            .is_some_and(|other| other.last - other.first >= APART && now - other.last < GONE_AFTER)
    }

    /// Records a call with a token other than the `hs_token`.
    pub(super) fn hear_wrong_token(&self) {
        self.lock().wrong_token = Some(Instant::now());
    }

    /// Returns whether a call with another token has come since then.
    #[must_use]
    pub fn heard_wrong_token_since(&self, since: Instant) -> bool {
        self.lock().wrong_token.is_some_and(|at| at >= since)
    }

    /// Records an accepted transaction.
    pub(super) fn hear_transaction(&self) {
        let mut arrived = self.lock();
        arrived.transactions += 1;
        arrived.last_transaction = Some(clock::now());
    }

    /// Returns the number of accepted transactions and the time of the last.
    #[must_use]
    pub fn transactions(&self) -> (u64, Option<Timestamp>) {
        let arrived = self.lock();
        (arrived.transactions, arrived.last_transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_of_ours_comes_back_to_us_or_it_does_not() {
        let arrivals = Arrivals::new("a1");
        let (first, second) = (arrivals.next_ping(), arrivals.next_ping());
        arrivals.hear_ping(&second);
        assert_eq!([&first, &second].map(|id| arrivals.heard_ping(id)), [false, true]);
        for _ in 0..=PINGS_MAX {
            arrivals.hear_ping(&arrivals.next_ping());
        }
        assert_eq!(arrivals.lock().pings.len(), PINGS_MAX);
    }

    #[test]
    fn another_instance_is_there_once_it_pings_again_and_until_it_stops() {
        let (arrivals, began) = (Arrivals::new("a1"), Instant::now());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let mut seen = Vec::new();
        let check = Arrivals::new(CHECK);
        let ping = check.next_ping();
        check.hear_ping(&ping);
        assert!(check.heard_ping(&ping), "a check hears its own");
        for second in [0, 60] {
            arrivals.hear_ping_at(&ping, at(second));
        }
        assert!(!arrivals.is_another_there_at(at(60)), "and is nobody's rival");
        // A predecessor's last ping and an operator's own; then a copy that pings every minute and is stopped.
        for (second, id) in [(0, "workmate-old-7"), (5, "by-hand"), (60, "workmate-b2-1"), (120, "workmate-b2-2")] {
            arrivals.hear_ping_at(id, at(second));
            seen.push(arrivals.is_another_there_at(at(second)));
        }
        seen.push(arrivals.is_another_there_at(at(120 + 181)));
        assert_eq!(seen, [false, false, false, true, false]);
    }
}
