//! Cron expressions: five fields, read by `cronexpr`, and the next match of one by the wall clock.
//!
//! The crate is only asked about wall-clock times without a zone. What happens where clocks change is decided in
//! [`super::when`].

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::{ToSpan as _, civil::DateTime, tz::TimeZone};

/// The short names that stand for whole expressions.
const NICKNAMES: [(&str, &str); 5] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];
/// Days that may be a month's last one.
const LAST_DAYS: usize = 4;
/// The last year that is looked at. The crate looks some years ahead, and panics beyond the calendar's end in 9999.
const YEAR_MAX: i16 = 9_990;

/// A cron expression.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    crontab: Crontab,
    /// Whether only a month's last day counts. The crate's own `L` never matches in December.
    only_last_day: bool,
}

impl Cron {
    /// Returns whether a text is meant as a cron expression.
    pub(super) fn is_meant(text: &str) -> bool {
        let is_field = |field: &str| field.chars().all(|letter| letter.is_ascii_digit() || "*,/-".contains(letter));
        let fields: Vec<&str> = text.split_whitespace().collect();
        text.starts_with('@') || fields.len() >= 5 && fields[..2].iter().all(|field| is_field(field))
    }

    /// Parses an expression of five fields, or a nickname such as `@daily`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = NICKNAMES.iter().find(|(nickname, _)| *nickname == text).map_or(text, |(_, meant)| *meant);
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err("it needs five fields: minute, hour, day of month, month, day of week".to_owned());
        };
        let only_last_day = day == "L";
        // The crate's other forms with L would be wrong in December too.
        let has_last = |field: &str| field.split(',').any(|item| item.to_ascii_uppercase().ends_with('L'));
        if has_last(weekday) || has_last(day) && !(only_last_day && weekday == "*") {
            return Err("L is understood only as the whole third field, with * as the fifth".to_owned());
        }
        let day = if only_last_day { "28-31" } else { day };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        let crontab = cronexpr::parse_crontab_with(&expression, options).map_err(|error| reason(&error))?;
        Ok(Self { crontab, only_last_day })
    }

    /// Returns the first matching time on the wall clock after `after`; `None` if there is none within four years.
    pub(super) fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let mut after = after;
        for _ in 0..LAST_DAYS {
            if !(1..=YEAR_MAX).contains(&after.year()) {
                return None;
            }
            let from = after.to_zoned(TimeZone::UTC).ok()?.timestamp();
            let next = self.crontab.find_next(MakeTimestamp(from)).ok()?.datetime();
            let is_last = || next.date().checked_add(1.day()).is_ok_and(|tomorrow| tomorrow.day() == 1);
            if !self.only_last_day || is_last() {
                return Some(next);
            }
            after = next.date().at(23, 59, 59, 0);
        }
        None
    }
}

/// Returns the last line of the crate's message, which says why; those before it draw a picture of the place.
fn reason(error: &cronexpr::Error) -> String {
    let text = error.to_string();
    text.rsplit("^ ").next().unwrap_or_default().trim().to_owned()
}
