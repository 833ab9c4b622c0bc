//! When a call is retried that failed before its answer began (docs/claude-api.md, section 9).

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::{
    error::{Cause, Wait},
    stream::StreamError,
};
use crate::core::{reach::clock, retry::doubled, time::Timestamp};

/// How often an answer that broke off is requested again; its text so far is billed.
pub(crate) const REGENERATIONS_MAX: u32 = 1;

/// How often an answer is requested again whose text a busy provider broke off.
pub(crate) const BUSY_REGENERATIONS_MAX: u32 = 3;

/// The pause before the first of these; it doubles with each, so that what is paid for has a chance.
const BUSY_PAUSE_FIRST: Duration = Duration::from_secs(10);

/// Most attempts, including the first, while empty answers come.
pub(crate) const EMPTY_ATTEMPTS_MAX: u32 = 3;

/// How often and how long to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most attempts, including the first.
    pub attempts_max: u32,
    /// The first backoff; it doubles with each attempt.
    pub backoff_first: Duration,
    /// The longest backoff.
    pub backoff_max: Duration,
    /// The longest pause that the API may demand. Beyond it the call fails at once, and people are told how long it
    /// takes.
    pub wait_max: Duration,
    /// How long after the first attempt another may still begin.
    pub elapsed_max: Duration,
}

impl Default for Policy {
    /// Ten attempts within about two minutes, more than a limit per minute needs, of which people are told (rule C19).
    fn default() -> Self {
        Self {
            attempts_max: 10,
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            wait_max: Duration::from_mins(5),
            elapsed_max: Duration::from_mins(5),
        }
    }
}

/// What a response's headers say about retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `retry-after-ms`, else `retry-after` (seconds, or an HTTP date).
    pub retry_after: Option<Duration>,
    /// `x-should-retry`.
    pub should_retry: Option<bool>,
}

/// The attempts so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Their number, including the first.
    pub attempts: u32,
    /// Time since the first began.
    pub elapsed: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Retry after this pause.
    RetryAfter(Duration),
    /// Return the error to the caller.
    GiveUp,
}

/// A failed attempt that will be retried, for telling people.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The attempts so far.
    pub made: Made,
    /// The most attempts.
    pub attempts_max: u32,
    /// Time until the next.
    pub wait: Duration,
    /// Why the last one failed.
    pub cause: &'a Cause,
}

impl Hints {
    /// Reads the hints; an unreadable one counts as absent.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: Timestamp) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let millis = text("retry-after-ms").and_then(|ms| span(ms, 1000.0));
        let after = || text("retry-after").and_then(|after| span(after, 1.0).or_else(|| until(after, now)));
        let should_retry = match text("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        Self { retry_after: millis.or_else(after), should_retry }
    }
}

/// Parses a number of seconds, given in units of which `per_second` make one.
fn span(text: &str, per_second: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse::<f64>().ok()? / per_second).ok()
}

/// Parses an HTTP date and returns the time until then.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    clock::http_date(text).map(|then| Duration::from_millis(then.ms_since(now)))
}

impl Policy {
    /// Decides about an answer that broke off after it had begun, for the `broken.attempts`th time.
    ///
    /// A busy provider gets the same patience as before an answer, as long as no billed text was lost; `paid` counts
    /// the answers that had text, after which fewer requests are made, at longer intervals. Anything else is retried
    /// once, immediately.
    #[must_use]
    pub fn decide_broken(&self, broken: Made, paid: u32, cause: &Cause, random: f64) -> Decision {
        match cause {
            Cause::Overloaded | Cause::RateLimited { .. } | Cause::Server { .. } | Cause::Page { .. } => {
                if paid > BUSY_REGENERATIONS_MAX {
                    return Decision::GiveUp;
                }
                let least = (paid > 0).then(|| doubled(BUSY_PAUSE_FIRST, self.wait_max, paid - 1));
                self.decide(broken, cause, Hints { retry_after: least, should_retry: None }, random)
            }
            // A refusal stays one, wherever in an answer it came.
            Cause::Billing { .. }
            | Cause::KeyRefused { .. }
            | Cause::ModelNotFound { .. }
            | Cause::TooLarge { .. }
            | Cause::InvalidRequest { .. } => Decision::GiveUp,
            _ if broken.attempts.max(paid) > REGENERATIONS_MAX => Decision::GiveUp,
            _ => Decision::RetryAfter(Duration::ZERO),
        }
    }

    /// Decides about a call that failed before its answer began.
    ///
    /// `random` is in 0..1 and shortens our own waits by up to a quarter.
    #[must_use]
    pub fn decide(&self, made: Made, cause: &Cause, hints: Hints, random: f64) -> Decision {
        // An empty answer may be a gateway's that starts, but is mostly one of something else.
        let attempts_max =
            if cause.is_nothing() { self.attempts_max.min(EMPTY_ATTEMPTS_MAX) } else { self.attempts_max };
        if made.attempts >= attempts_max || !may_pass(cause, hints.should_retry) {
            return Decision::GiveUp;
        }
        let own = doubled(self.backoff_first, self.backoff_max, made.attempts.saturating_sub(1));
        let own = own.mul_f64(1.0 - 0.25 * random.clamp(0.0, 1.0));
        // What the API asks for is the least pause: short ones would use up all attempts within seconds.
        let wait = hints.retry_after.map_or(own, |asked| asked.max(own));
        if wait > self.wait_max || made.elapsed.saturating_add(wait) > self.elapsed_max {
            return Decision::GiveUp;
        }
        Decision::RetryAfter(wait)
    }
}

fn may_pass(cause: &Cause, should_retry: Option<bool>) -> bool {
    match cause {
        // Nothing was sent, or waiting alone does not help, whatever a header says.
        Cause::MissingKey
        | Cause::UnusableKey
        | Cause::UnusableBaseUrl
        | Cause::Setup { .. }
        | Cause::Unsendable(_)
        | Cause::Billing { .. }
        | Cause::Timeout { wait: Wait::Overall, .. } => false,
        Cause::Protocol { .. } => cause.is_nothing() && should_retry.unwrap_or(true),
        Cause::KeyRefused { .. }
        | Cause::ModelNotFound { .. }
        | Cause::TooLarge { .. }
        | Cause::InvalidRequest { .. } => should_retry.unwrap_or(false),
        Cause::RateLimited { .. } | Cause::Overloaded | Cause::Server { .. } | Cause::Page { .. } => {
            should_retry.unwrap_or(true)
        }
        Cause::Timeout { .. } | Cause::Connect { .. } => true,
        // The connection broke between headers and answer; other faults would repeat.
        Cause::BrokenStream(error) => *error == StreamError::EndedEarly,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::claude::error::Quoted;

    const NOW: Timestamp = Timestamp::from_ms(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

    const FIRST: Made = Made { attempts: 1, elapsed: Duration::ZERO };

    fn hints(headers: &[(&'static str, &'static str)]) -> Hints {
        let pairs =
            headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Hints::read(&pairs.collect(), NOW)
    }

    #[test]
    fn headers_are_read_in_every_form() {
        let ms = Duration::from_millis;
        for (headers, retry_after) in [
            (&[][..], None),
            (&[("retry-after", "2")][..], Some(ms(2000))),
            (&[("retry-after", "0.5")], Some(ms(500))),
            (&[("retry-after-ms", "1500"), ("retry-after", "9")], Some(ms(1500))),
            (&[("retry-after-ms", "soon"), ("retry-after", "9")], Some(ms(9000))),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], Some(ms(10_000))),
            (&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(ms(0))),
            (&[("retry-after", "0")], Some(ms(0))),
            (&[("retry-after", "Sunday, 06-Nov-94 08:49:47 GMT")], Some(ms(10_000))),
            (&[("retry-after", "Sun Nov  6 08:49:47 1994")], Some(ms(10_000))),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "tomorrow")], None),
        ] {
            assert_eq!(hints(headers), Hints { retry_after, should_retry: None }, "{headers:?}");
        }
        for (value, should_retry) in [("true", Some(true)), ("false", Some(false)), ("perhaps", None)] {
            assert_eq!(hints(&[("x-should-retry", value)]), Hints { retry_after: None, should_retry });
        }
    }

    #[test]
    fn causes_are_retried_by_the_table_unless_a_header_says_otherwise() {
        let said = Quoted::default;
        let timeout = |wait| Cause::Timeout { wait, limit: Duration::from_secs(1) };
        // Whether it is retried without a header, with `x-should-retry: true`, and with `false`.
        for (cause, expected) in [
            (Cause::MissingKey, [false, false, false]),
            (Cause::Unsendable("it has no message"), [false, false, false]),
            (Cause::Billing { said: said() }, [false, false, false]),
            (Cause::KeyRefused { status: 401, said: said() }, [false, true, false]),
            (Cause::ModelNotFound { model: "x".to_owned(), said: said() }, [false, true, false]),
            (Cause::InvalidRequest { status: 400, code: None, said: said() }, [false, true, false]),
            (Cause::TooLarge { request_bytes: 1 }, [false, true, false]),
            (Cause::RateLimited { retry_after: None, said: said() }, [true, true, false]),
            (Cause::Overloaded, [true, true, false]),
            (Cause::Server { status: 500, said: said() }, [true, true, false]),
            (Cause::Connect { reason: String::new() }, [true, true, true]),
            (timeout(Wait::Connect), [true, true, true]),
            (timeout(Wait::Headers), [true, true, true]),
            (timeout(Wait::Idle), [true, true, true]),
            (timeout(Wait::Overall), [false, false, false]),
            (Cause::BrokenStream(StreamError::EndedEarly), [true, true, true]),
            (Cause::BrokenStream(StreamError::Undecodable), [false, false, false]),
            (Cause::Page { status: 200, what: "HTML".to_owned() }, [true, true, false]),
            (Cause::Protocol { status: 404, what: "HTML".to_owned() }, [false, false, false]),
            (Cause::nothing(200), [true, true, false]),
        ] {
            let found = [None, Some(true), Some(false)].map(|should_retry| {
                let hints = Hints { retry_after: None, should_retry };
                Policy::default().decide(FIRST, &cause, hints, 0.0) != Decision::GiveUp
            });
            assert_eq!(found, expected, "{cause}");
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_attempts_end() {
        let decide = |attempts, random| {
            let made = Made { attempts, ..FIRST };
            Policy::default().decide(made, &Cause::Overloaded, Hints::default(), random)
        };
        let waits: Vec<_> = (1..=10).map(|attempts| decide(attempts, 0.0)).collect();
        let ms = |ms| Decision::RetryAfter(Duration::from_millis(ms));
        assert_eq!(waits[..6], [ms(500), ms(1000), ms(2000), ms(4000), ms(8000), ms(16_000)]);
        assert_eq!(waits[6..], [ms(30_000), ms(30_000), ms(30_000), Decision::GiveUp]);
        assert_eq!([decide(3, 0.5), decide(3, 1.0), decide(3, f64::INFINITY)], [ms(1750), ms(1500), ms(1500)]);
        let third = Made { attempts: 3, ..FIRST };
        let empty = Policy::default().decide(third, &Cause::nothing(200), Hints::default(), 0.0);
        assert_eq!(empty, Decision::GiveUp, "an empty answer is asked for three times");
    }

    #[test]
    fn c19_a_busy_provider_gets_all_patience_in_the_middle_too_and_nothing_is_paid_for_three_times() {
        let decide = |attempts, paid, cause: &Cause| {
            Policy::default().decide_broken(Made { attempts, ..FIRST }, paid, cause, 0.0)
        };
        let ms = |ms| Decision::RetryAfter(Duration::from_millis(ms));
        let server = Cause::Server { status: 500, said: Quoted::default() };
        for busy in [&Cause::Overloaded, &server] {
            let waits: Vec<_> = (1..=10).map(|attempts| decide(attempts, 0, busy)).collect();
            assert_eq!(waits[..4], [ms(500), ms(1000), ms(2000), ms(4000)]);
            assert_eq!(waits[8..], [ms(30_000), Decision::GiveUp]);
            assert_eq!([decide(1, 1, busy), decide(7, 1, busy)], [ms(10_000), ms(30_000)]);
            assert_eq!([decide(2, 2, busy), decide(3, 3, busy)], [ms(20_000), ms(40_000)]);
            assert_eq!(decide(4, 4, busy), Decision::GiveUp);
        }
        let billing = Cause::Billing { said: Quoted::default() };
        assert_eq!(decide(1, 0, &billing), Decision::GiveUp, "money is asked for once");
        let broken = Cause::BrokenStream(StreamError::EndedEarly);
        assert_eq!([decide(1, 1, &broken), decide(1, 0, &broken)], [ms(0), ms(0)]);
        assert_eq!([decide(2, 2, &broken), decide(2, 0, &broken)], [Decision::GiveUp, Decision::GiveUp]);
    }

    #[test]
    fn c19_the_api_s_own_wait_is_kept_to_and_none_uses_up_all_attempts_at_once() {
        let decide = |attempts, after| {
            let hints = Hints { retry_after: Some(after), should_retry: None };
            Policy::default().decide(Made { attempts, ..FIRST }, &Cause::Overloaded, hints, 0.0)
        };
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        for (attempts, asked, expected) in [
            (1, secs(60), Decision::RetryAfter(secs(60))),
            (9, secs(60), Decision::RetryAfter(secs(60))),
            (1, secs(2), Decision::RetryAfter(secs(2))),
            (6, secs(2), Decision::RetryAfter(secs(16))),
            (3, secs(300), Decision::RetryAfter(secs(300))),
            (1, secs(301), Decision::GiveUp),
            (1, Duration::MAX, Decision::GiveUp),
            (1, secs(0), Decision::RetryAfter(ms(500))),
            (4, secs(0), Decision::RetryAfter(secs(4))),
            (1, ms(1), Decision::RetryAfter(ms(500))),
            (4, ms(300), Decision::RetryAfter(secs(4))),
        ] {
            assert_eq!(decide(attempts, asked), expected, "{attempts} {asked:?}");
        }
        for asked in [ms(0), ms(300), secs(1), secs(2), secs(20)] {
            let all: Duration = (1..Policy::default().attempts_max)
                .map(|attempts| match decide(attempts, asked) {
                    Decision::RetryAfter(wait) => wait,
                    Decision::GiveUp => panic!("it may pass"),
                })
                .sum();
            assert!(all > secs(120), "a limit per minute has passed: {asked:?} {all:?}");
        }
    }

    #[test]
    fn no_attempt_begins_after_the_longest_time() {
        let decide = |elapsed| {
            let made = Made { attempts: 2, elapsed: Duration::from_secs(elapsed) };
            Policy::default().decide(made, &Cause::Overloaded, Hints::default(), 0.0)
        };
        assert_eq!(decide(299), Decision::RetryAfter(Duration::from_secs(1)));
        assert_eq!(decide(300), Decision::GiveUp);
    }
}
