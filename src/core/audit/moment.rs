//! Times as operators write them: RFC 3339, a date, or a time ago.

use super::Timestamp;

/// Which end of a span a time marks. A bare date means its first or its last millisecond in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The span's beginning.
    Since,
    /// The span's end.
    Until,
}

/// Parses a time.
///
/// # Errors
/// One line that says what is wrong and which forms are accepted.
pub fn moment(text: &str, bound: Bound, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    let found = ago(text, now).or_else(|| date(text, bound)).or_else(|| {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp::from_ms(at.as_millisecond()))
    });
    found.ok_or_else(|| {
        "not a time; write it like 2026-11-22T14:05:00Z, 2026-11-22, or 7d (also 30m, 12h, 2w) for that long ago"
            .to_owned()
    })
}

fn ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let unit_ms: i64 = match text.chars().last()? {
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 24 * 3_600_000,
        'w' => 7 * 24 * 3_600_000,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms = digits.parse::<i64>().ok()?.checked_mul(unit_ms)?;
    Some(Timestamp::from_ms(now.as_ms().checked_sub(ms)?))
}

fn date(text: &str, bound: Bound) -> Option<Timestamp> {
    let date: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == "2026-11-22".len())?;
    let begins =
        |date: jiff::civil::Date| Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond());
    Some(Timestamp::from_ms(match bound {
        Bound::Since => begins(date)?,
        Bound::Until => begins(date.tomorrow().ok()?)? - 1,
    }))
}
