//! Who was told something about a room: each person once a day, and a bounded number of them.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{breaker::SaidOnce, time::Timestamp};

/// The time between two such notices to one person about one room, in milliseconds.
const WORD_INTERVAL_MS: u64 = 24 * 60 * 60 * 1000;
/// People of one room told within that time; further ones are not.
const TOLD_MAX: usize = 100;

/// Who was told something about a room, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Told(BTreeMap<OwnedUserId, SaidOnce>);

impl Told {
    /// Returns whether a person should be told at `now`, and records it.
    pub(crate) fn is_due(&mut self, person: &UserId, now: Timestamp) -> bool {
        if !self.0.contains_key(person) && self.0.len() >= TOLD_MAX {
            // Ask a copy, because asking records the time; drop those who could be told again.
            self.0.retain(|_, said| !said.clone().is_due(now, WORD_INTERVAL_MS));
            if self.0.len() >= TOLD_MAX {
                return false;
            }
        }
        self.0.entry(person.to_owned()).or_default().is_due(now, WORD_INTERVAL_MS)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn c8_each_person_is_told_once_a_day_and_a_bounded_number_of_them() {
        let (mut told, alice, bob) = (Told::default(), user_id!("@alice:hs"), user_id!("@bob:hs"));
        let at = |hours: i64| Timestamp::from_ms(1_795_346_400_000 + hours * 3_600_000);
        let said = [(alice, 0), (alice, 23), (bob, 23), (alice, 25), (alice, 26)]
            .map(|(who, when)| told.is_due(who, at(when)));
        assert_eq!(said, [true, false, true, true, false]);

        let many = |number: usize| OwnedUserId::try_from(format!("@{number}:hs")).expect("a user id");
        let all = (0..2 * TOLD_MAX).filter(|number| told.is_due(&many(*number), at(26))).count();
        assert_eq!((all, told.0.len()), (TOLD_MAX - 2, TOLD_MAX));
        assert!(told.is_due(user_id!("@late:hs"), at(60)), "who was told long ago makes room");
    }
}
