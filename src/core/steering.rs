//! Reactions that steer a run: 🛑 and 🔁 (C6, C10).

/// How often one request can be run again.
pub(crate) const AGAIN_MAX: u32 = 10;

/// What a reaction asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steer {
    /// 🛑 ends a run.
    Stop,
    /// 🔁 runs an answer's request again.
    Again,
}

impl Steer {
    /// Returns what a reaction's key asks for, with or without the emoji's variation selector.
    #[must_use]
    pub(crate) fn of(key: &str) -> Option<Self> {
        match key.strip_suffix('\u{fe0f}').unwrap_or(key) {
            "🛑" => Some(Self::Stop),
            "🔁" => Some(Self::Again),
            _ => None,
        }
    }
}

/// Returns whether a request may run for the `attempt`th time after the first.
#[must_use]
pub(crate) fn may_run_again(attempt: u32) -> bool {
    attempt <= AGAIN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c6_c10_two_reactions_steer_a_run_however_a_client_writes_them() {
        let table = [
            ("🛑", Some(Steer::Stop)),
            ("🛑\u{fe0f}", Some(Steer::Stop)),
            ("🔁", Some(Steer::Again)),
            ("🔁\u{fe0f}", Some(Steer::Again)),
            ("🔁\u{fe0f}\u{fe0f}", None),
            ("🛑🔁", None),
            ("✋", None),
            ("", None),
        ];
        for (key, expected) in table {
            assert_eq!(Steer::of(key), expected, "{key:?}");
        }
        assert!(may_run_again(AGAIN_MAX) && !may_run_again(AGAIN_MAX + 1));
    }
}
