//! Counts device replacements: more than a failing disk or an operator explains mean that another program replaces it
//! too.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::time::Instant;

use crate::matrix::error::MatrixError;

/// Replacements allowed for one user within [`WITHIN`].
const RENEWALS_MAX: usize = 3;
/// The period in which they are counted.
const WITHIN: Duration = Duration::from_hours(1);

/// Times of replacements, by user.
#[derive(Debug, Default)]
pub(super) struct Renewals(Mutex<HashMap<OwnedUserId, VecDeque<Instant>>>);

impl Renewals {
    /// Counts the replacement of a known device.
    ///
    /// # Errors
    /// [`MatrixError::Contested`] after too many; this one is not counted then.
    pub(super) fn count(&self, user: &UserId, now: Instant) -> Result<(), MatrixError> {
        let mut renewals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        renewals.retain(|_, times| {
            times.retain(|time| now.duration_since(*time) < WITHIN);
            !times.is_empty()
        });
        let times = renewals.entry(user.to_owned()).or_default();
        if times.len() >= RENEWALS_MAX {
            return Err(MatrixError::Contested { user: user.to_string() });
        }
        times.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_device_is_replaced_a_few_times_an_hour_for_each_user() {
        let (renewals, begun) = (Renewals::default(), Instant::now());
        let at = |minutes: u64| begun + Duration::from_mins(minutes);
        let [a, b] = [user_id!("@a:hs"), user_id!("@b:hs")];
        let table =
            [(a, 0, true), (a, 1, true), (a, 2, true), (a, 3, false), (b, 3, true), (a, 59, false), (a, 60, true)];
        for (user, minutes, expected) in table {
            assert_eq!(renewals.count(user, at(minutes)).is_ok(), expected, "{user} after {minutes} min");
        }
    }
}
