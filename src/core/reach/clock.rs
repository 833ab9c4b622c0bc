//! Whether this machine's clock is right, judged by the `Date` header of HTTP answers.
//!
//! A clock that is minutes off makes certificates invalid, requests too old to answer, and schedules early.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::core::time::Timestamp;

/// How far two clocks may be apart: answers take time, and `Date` has whole seconds.
pub(crate) const CLOCKS_APART_MAX: Duration = Duration::from_mins(2);
/// No time was heard yet.
const UNKNOWN: i64 = i64::MIN;

/// How far another side's clock is ahead of ours, as last heard; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<AtomicI64>);

impl Default for Heard {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Heard {
    /// Records the time in an answer that came at `now`. `age` is how many seconds a cache has held the answer.
    pub(crate) fn note(&self, date: Option<&str>, age: Option<&str>, now: Timestamp) {
        let Some(said) = date.and_then(http_date) else { return };
        let age = age.and_then(|age| age.trim().parse::<i64>().ok()).unwrap_or_default().max(0);
        let said = said.as_ms().saturating_add(age.saturating_mul(1_000));
        self.0.store(said.saturating_sub(now.as_ms()), Ordering::Relaxed);
    }

    /// Returns how many milliseconds that clock is ahead of ours; negative if it is behind, `None` if no time was
    /// heard.
    #[must_use]
    pub(crate) fn ahead_ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }
}

/// Reads an HTTP date (RFC 9110, section 5.6.7): the form that senders must use, and the two that readers must know.
#[must_use]
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    let old = |form| jiff::fmt::strtime::parse(form, text).and_then(|parsed| parsed.to_datetime());
    let utc = |then: jiff::civil::DateTime| then.to_zoned(jiff::tz::TimeZone::UTC).map(|then| then.timestamp());
    let old = || old("%A, %d-%b-%y %H:%M:%S GMT").or_else(|_| old("%a %b %e %H:%M:%S %Y")).and_then(utc);
    let then = jiff::fmt::rfc2822::parse(text).map(|then| then.timestamp()).or_else(|_| old()).ok()?;
    Some(Timestamp::from_ms(then.as_millisecond()))
}

/// Explains which clock is wrong, with the remedy, from how many milliseconds the homeserver's and the Messages API's
/// are ahead of ours at `now`. `None` if ours is right, or no time was heard.
#[must_use]
pub(crate) fn told(homeserver: Option<i64>, api: Option<i64>, now: Timestamp) -> Option<String> {
    let most = i64::try_from(CLOCKS_APART_MAX.as_millis()).unwrap_or(i64::MAX);
    let is_off = |ahead: &i64| ahead.saturating_abs() > most;
    let agree = |one: i64, other: i64| !is_off(&one.saturating_sub(other));
    let why = "Certificates, schedules, the age of messages and every time that people read go by it.";
    let ntp = "(`timedatectl` shows it, `timedatectl set-ntp true` keeps it right)";
    let theirs = |ahead: i64| shown(Timestamp::from_ms(now.as_ms().saturating_add(ahead)));
    let (what, mend) = match (homeserver.filter(is_off), api.filter(is_off)) {
        (Some(ahead), Some(of_api)) if agree(ahead, of_api) => (
            format!(
                "this machine's clock is {} {}: it says {}, and the homeserver and the Messages API {}",
                span(ahead),
                if ahead > 0 { "behind" } else { "ahead" },
                shown(now),
                theirs(ahead)
            ),
            format!("set this machine's clock {ntp}"),
        ),
        (Some(ahead), _) if api.is_some_and(|api| !is_off(&api)) => (
            format!(
                "the homeserver's clock is {} {}: it says {}, and this machine and the Messages API {}",
                span(ahead),
                if ahead > 0 { "ahead" } else { "behind" },
                theirs(ahead),
                shown(now)
            ),
            format!("set the clock of the homeserver's machine {ntp}"),
        ),
        (Some(ahead), _) => (
            format!(
                "the clocks of this machine and of the homeserver are {} apart: here it is {}, there {}",
                span(ahead),
                shown(now),
                theirs(ahead)
            ),
            format!("set the one that is wrong {ntp}"),
        ),
        // A gateway's own clock does not matter if the homeserver agrees with ours.
        (None, Some(ahead)) if homeserver.is_none() => (
            format!(
                "the clocks of this machine and of the Messages API are {} apart: here it is {}, there {}",
                span(ahead),
                shown(now),
                theirs(ahead)
            ),
            format!("set this machine's clock {ntp}"),
        ),
        _ => return None,
    };
    Some(format!("{what}\n  {why}\n  Mend: {mend}"))
}

/// Returns the remedy for a certificate that is not valid at present, from rustls' text if it names the times;
/// otherwise `None`.
#[must_use]
pub(crate) fn mend_of_certificate(causes: &str) -> Option<String> {
    let number = |after: &str| {
        let rest = causes.split_once(after)?.1.trim_start();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(shown(Timestamp::from_ms(digits.parse::<i64>().ok()?.checked_mul(1_000)?)))
    };
    let now = number("verification time ")?;
    let (verb, then) = match number("not valid after ") {
        Some(then) => ("ended on", then),
        None => ("begins on", number("not valid before ")?),
    };
    let else_do = if verb == "ended on" { "renew the certificate" } else { "have a certificate that holds already" };
    Some(format!(
        "this machine's clock says {now}, and the certificate {verb} {then}: set the clock if it is wrong (`timedatectl`), \
         else {else_do}"
    ))
}

/// Formats a time in UTC to the minute.
fn shown(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Formats a duration in its two largest units.
fn span(ms: i64) -> String {
    let minutes = ms.unsigned_abs() / 60_000;
    let (days, hours, minutes) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    let unit = |count: u64, name: &str| match count {
        0 => None,
        1 => Some(format!("1 {name}")),
        _ => Some(format!("{count} {name}s")),
    };
    let parts = [unit(days, "day"), unit(hours, "hour"), unit(minutes, "minute")];
    let parts: Vec<String> = parts.into_iter().flatten().take(2).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_796_000_000_000); // 2026-11-30 00:53 UTC
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    #[test]
    fn op4_a_wrong_clock_is_told_with_whose_it_is_and_a_right_one_is_not() {
        for (homeserver, api, expected) in [
            (None, None, None),
            (Some(0), Some(0), None),
            (Some(119_000), Some(-119_000), None),
            (
                Some(3 * HOUR),
                Some(3 * HOUR + MINUTE),
                Some("this machine's clock is 3 hours behind: it says 2026-11-30"),
            ),
            (Some(-26 * HOUR), Some(-26 * HOUR), Some("this machine's clock is 1 day 2 hours ahead")),
            (Some(5 * MINUTE), Some(0), Some("the homeserver's clock is 5 minutes ahead")),
            (Some(-5 * MINUTE), Some(0), Some("the homeserver's clock is 5 minutes behind")),
            (Some(5 * MINUTE), None, Some("of this machine and of the homeserver are 5 minutes apart")),
            (Some(HOUR), Some(-HOUR), Some("of this machine and of the homeserver are 1 hour apart")),
            (None, Some(HOUR), Some("of the Messages API are 1 hour apart")),
            (Some(0), Some(HOUR), None),
            (Some(i64::MAX), Some(i64::MAX), Some("this machine's clock is")),
        ] {
            let told = told(homeserver, api, NOW);
            match expected {
                None => assert_eq!(told, None, "{homeserver:?} {api:?}"),
                Some(part) => {
                    let told = told.unwrap_or_default();
                    assert!(told.contains(part) && told.contains("\n  Mend: set "), "{told}");
                }
            }
        }
    }

    #[test]
    fn op4_the_time_is_read_out_of_an_answer_with_its_age_in_a_cache() {
        let heard = Heard::default();
        let now = Timestamp::from_ms(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
        for (date, age, expected) in [
            (None, None, None),
            (Some("soon"), None, None),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), None, Some(0)),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), None, Some(MINUTE)),
            (Some("Sunday, 06-Nov-94 07:49:37 GMT"), None, Some(-HOUR)),
            (Some("Sun Nov  6 07:49:37 1994"), Some("3600"), Some(0)),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some("-5"), Some(0)),
            (Some("rubbish"), None, Some(0)),
        ] {
            heard.note(date, age, now);
            assert_eq!(heard.clone().ahead_ms(), expected, "{date:?}");
        }
    }

    #[test]
    fn op4_a_certificate_that_is_not_valid_now_is_told_with_both_times() {
        let expired = "invalid peer certificate: certificate expired: verification time 1796000000 (UNIX), but certificate is \
                       not valid after 1790000000 (6000000 seconds ago)";
        let mend = mend_of_certificate(expired).expect("it names them");
        assert!(mend.contains("says 2026-11-30 ") && mend.contains("ended on 2026-09-2"), "{mend}");
        let early =
            "certificate not valid yet: verification time 0 (UNIX), but certificate is not valid before 1790000000";
        let mend = mend_of_certificate(early).expect("it names them");
        assert!(mend.contains("says 1970-01-01") && mend.contains("begins on 2026-09-2"), "{mend}");
        for other in ["certificate expired", "verification time x", ""] {
            assert_eq!(mend_of_certificate(other), None);
        }
    }
}
