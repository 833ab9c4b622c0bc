//! What a process left open that ended before its calls did.

use std::collections::BTreeMap;

use super::{Account, Usd};

/// What is left open of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// The highest cost that an account noted.
    pub noted: Usd,
    /// The accounts that hold it, by name.
    pub held_by: Vec<String>,
}

impl Left {
    /// Adds what an account holds to what others do, by call.
    pub(crate) fn gather(calls: &mut BTreeMap<String, Self>, name: &str, account: &Account) {
        for (call, noted) in account.held() {
            let left = calls.entry(call).or_default();
            left.noted = left.noted.max(noted);
            left.held_by.push(name.to_owned());
        }
    }
}
