//! The one place that reads the wall clock; everything else takes `now` as an argument.

use std::sync::LazyLock;

use tokio::time::Instant;

use crate::core::time::Timestamp;

/// Returns the wall clock's time, in whole milliseconds.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_ms(jiff::Timestamp::now().as_millisecond().saturating_add(moved_ms()))
}

#[cfg(not(feature = "doubles"))]
const fn moved_ms() -> i64 {
    0
}

/// Returns by how much tests have moved the clock: the milliseconds in the file that the environment names, read anew
/// each time, so that the clock jumps while the process runs. A server's build has no such thing.
#[cfg(feature = "doubles")]
fn moved_ms() -> i64 {
    static FILE: std::sync::LazyLock<Option<std::path::PathBuf>> =
        std::sync::LazyLock::new(|| std::env::var_os("WORKMATE_CLOCK_FILE").map(Into::into));
    let Some(file) = FILE.as_ref() else { return 0 };
    std::fs::read_to_string(file).ok().and_then(|ms| ms.trim().parse().ok()).unwrap_or_default()
}

/// Returns a time for waits that this process sees through: the wall clock's when this was first asked, and what passed
/// since. It does not jump when the wall clock is set.
#[must_use]
pub fn steady() -> Timestamp {
    static PROCESS: LazyLock<Steady> = LazyLock::new(Steady::start);
    PROCESS.now()
}

/// A clock that shows the wall clock's time of its start and what passed since, however the wall clock is set.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    wall: Timestamp,
    since: Instant,
}

impl Steady {
    /// Returns one that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: now(), since: Instant::now() }
    }

    /// Returns its time, in whole milliseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, moment: Instant) -> Timestamp {
        let passed = i64::try_from(moment.saturating_duration_since(self.since).as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_ms(self.wall.as_ms().saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn c12_a_wait_is_as_long_as_what_passes_however_the_wall_clock_is_set() {
        let begun = Instant::now();
        // The wall clock was wrong by decades at the start, and is right now.
        let clock = Steady { wall: Timestamp::from_ms(1_000), since: begun };
        assert_eq!(clock.at(begun), Timestamp::from_ms(1_000));
        assert_eq!(clock.at(begun + Duration::from_millis(250)), Timestamp::from_ms(1_250));
        assert_eq!(clock.at(begun - Duration::from_secs(1)), Timestamp::from_ms(1_000), "it never goes back");
        assert!(steady() <= steady());
    }
}
