//! The one place that reads the wall clock; everything else takes `now` as an argument.

use crate::core::time::Timestamp;

/// Returns the wall clock's time, in whole milliseconds.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_ms(jiff::Timestamp::now().as_millisecond())
}
