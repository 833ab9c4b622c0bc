//! Wall-clock time in `core`: a number passed in by the caller.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as in Matrix's `origin_server_ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Wraps milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Returns the moment that is so many milliseconds later.
    #[must_use]
    pub fn later(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Returns the moment that is so many milliseconds earlier.
    #[must_use]
    pub fn earlier(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Returns the milliseconds since `earlier`; 0 if it is in the future.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        let passed = self.0.saturating_sub(earlier.0);
        if passed < 0 { 0 } else { passed.unsigned_abs() }
    }
}
