//! Cron expressions: five fields, read by `cronexpr`, and the next match of one by the wall clock.
//!
//! The crate is only asked about wall-clock times without a zone. What happens where clocks change is decided in
//! [`super::when`].

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::{
    ToSpan as _,
    civil::{Date, DateTime, Weekday},
    tz::TimeZone,
};

/// The short names that stand for whole expressions.
const NICKNAMES: [(&str, &str); 5] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];
/// Matches of an expression that are looked at for one that [`Only`] lets through: a month has five of a weekday.
const CANDIDATES_MAX: usize = 8;
/// The last year that is looked at. The crate looks some years ahead, and panics beyond the calendar's end in 9999.
const YEAR_MAX: i16 = 9_990;

/// A cron expression.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    crontab: Crontab,
    only: Option<Only>,
}

/// Which days count, of those that the crate finds. Its own `L` never matches in December.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    /// `L` as the third field: a month's last day.
    MonthsEnd,
    /// `LW` as the third field: its last day from Monday to Friday.
    LastWorkday,
    /// `5L` as the fifth field: its last Friday.
    LastOfItsName,
}

impl Only {
    /// Reads the third and the fifth field; returns what counts, and what the crate is asked instead.
    fn read<'f>(day: &'f str, weekday: &'f str) -> (Option<Self>, &'f str, &'f str) {
        let of_name =
            weekday.strip_suffix(['L', 'l']).filter(|name| !name.is_empty() && !name.contains([',', '-', '/', '#']));
        match (day.to_ascii_uppercase().as_str(), weekday, of_name) {
            ("L", "*", _) => (Some(Self::MonthsEnd), "28-31", weekday),
            ("LW", "*", _) => (Some(Self::LastWorkday), "26-31", weekday),
            ("*", _, Some(name)) => (Some(Self::LastOfItsName), day, name),
            _ => (None, day, weekday),
        }
    }

    fn counts(self, date: Date) -> bool {
        let is_in_its_month =
            |days: i32| date.checked_add(days.days()).is_ok_and(|other| other.month() == date.month());
        match (self, date.weekday()) {
            (Self::MonthsEnd, _)
            | (Self::LastWorkday, Weekday::Monday | Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday) => {
                !is_in_its_month(1)
            }
            (Self::LastWorkday, Weekday::Friday) => !is_in_its_month(3),
            (Self::LastWorkday, _) => false,
            (Self::LastOfItsName, _) => !is_in_its_month(7),
        }
    }
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
        let (only, day, weekday) = Only::read(day, weekday);
        // The crate's other forms with L would be wrong in December too.
        let has_last = |field: &str| field.split(',').any(|item| item.to_ascii_uppercase().ends_with('L'));
        if has_last(weekday) || day.contains(['L', 'l']) {
            return Err("L is understood only as the whole third field with * as the fifth, or behind one day in the \
                        fifth with * as the third"
                .to_owned());
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        let crontab = cronexpr::parse_crontab_with(&expression, options).map_err(|error| reason(&error))?;
        Ok(Self { crontab, only })
    }

    /// Returns the first matching time on the wall clock after `after`; `None` if there is none within four years.
    pub(super) fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let mut after = after;
        for _ in 0..CANDIDATES_MAX {
            if !(1..=YEAR_MAX).contains(&after.year()) {
                return None;
            }
            let from = after.to_zoned(TimeZone::UTC).ok()?.timestamp();
            let next = self.crontab.find_next(MakeTimestamp(from)).ok()?.datetime();
            if self.only.is_none_or(|only| only.counts(next.date())) {
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
