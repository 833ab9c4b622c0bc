//! Times of day and dates, as people write them.

use jiff::civil::{Date, Time, Weekday};

/// The words of a text, in lower case and without commas, as far as they are not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a>(pub(super) &'a [String]);

/// Filler words that mean nothing between others.
const FILLERS: [&str; 6] = ["at", "on", "the", "of", "and", "@"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const NUMBERS: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

impl<'a> Words<'a> {
    pub(super) fn first(self) -> Option<&'a str> {
        self.0.first().map(String::as_str)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next word if `read` understands it.
    pub(super) fn take<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let (first, rest) = self.0.split_first()?;
        let value = read(first)?;
        self.0 = rest;
        Some(value)
    }

    /// Takes these words, if they are next.
    pub(super) fn skip(&mut self, words: &[&str]) -> bool {
        let is_next = self.0.len() >= words.len() && self.0.iter().zip(words).all(|(have, want)| have == want);
        if is_next {
            self.0 = &self.0[words.len()..];
        }
        is_next
    }

    /// Takes filler words.
    pub(super) fn skip_fillers(&mut self) {
        while self.first().is_some_and(|word| FILLERS.contains(&word)) {
            self.0 = &self.0[1..];
        }
    }

    /// Takes a time of day: `9`, `09:00`, `9.30`, `9am`, `9 pm`, `noon`, `ten o'clock`.
    pub(super) fn time(&mut self) -> Option<Time> {
        let mut ahead = *self;
        ahead.skip_fillers();
        let (time, is_open) = ahead.take(time_of_day)?;
        let half = ahead.0.first().and_then(|word| half_of_day(word)).filter(|_| is_open);
        let time = match half {
            Some(half) => {
                ahead.0 = &ahead.0[1..];
                in_half(time, half)?
            }
            None => time,
        };
        if !ahead.skip(&["o'clock"]) {
            ahead.skip(&["uhr"]);
        }
        *self = ahead;
        Some(time)
    }

    /// Takes a date: `2026-12-24`, `24.12.2026`, `24.12.`, `24 december 2026`, `dec 24th`. A year that is missing is left open.
    pub(super) fn date(&mut self) -> Option<(Option<i16>, i8, i8)> {
        let mut ahead = *self;
        ahead.skip_fillers();
        if let Some(date) = ahead.take(numeric_date) {
            *self = ahead;
            return Some((Some(date.year()), date.month(), date.day()));
        }
        if let Some((month, day)) = ahead.take(short_date) {
            *self = ahead;
            return Some((None, month, day));
        }
        let (day, month) = if let Some(month) = ahead.take(month) {
            (ahead.take(ordinal)?, month)
        } else {
            let day = ahead.take(ordinal)?;
            ahead.skip(&["of"]);
            (day, ahead.take(month)?)
        };
        let year = ahead.take(|word| word.parse::<i16>().ok().filter(|year| (1970..=9998).contains(year)));
        *self = ahead;
        Some((year, month, day))
    }
}

fn numeric_date(word: &str) -> Option<Date> {
    let parts = |separator: char| {
        let parts: Vec<&str> = word.split(separator).collect();
        <[&str; 3]>::try_from(parts).ok()
    };
    let ((Some([year, month, day]), _) | (None, Some([day, month, year]))) = (parts('-'), parts('.')) else {
        return None;
    };
    if year.len() != 4 {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// Reads `24.12.` as month and day. Without the last dot it is a time.
pub(super) fn short_date(word: &str) -> Option<(i8, i8)> {
    let (day, month) = word.strip_suffix('.')?.split_once('.')?;
    let number = |text: &str| text.parse::<i8>().ok().filter(|_| text.len() <= 2);
    let (day, month) = (number(day)?, number(month)?);
    ((1..=31).contains(&day) && (1..=12).contains(&month)).then_some((month, day))
}

/// Returns whether a word is a number and nothing else: beside other words it need not be the hour.
pub(super) fn is_bare(word: &str) -> bool {
    NUMBERS.contains(&word) || word.chars().all(|letter| letter.is_ascii_digit())
}

/// Reads a time of day, and says whether it may still become one of the afternoon.
fn time_of_day(word: &str) -> Option<(Time, bool)> {
    match word {
        "noon" | "midday" => return Some((Time::constant(12, 0, 0, 0), false)),
        "midnight" => return Some((Time::midnight(), false)),
        _ => {}
    }
    if let Some(number) = NUMBERS.iter().position(|number| *number == word) {
        return Some((Time::new(i8::try_from(number).ok()? + 1, 0, 0, 0).ok()?, true));
    }
    let letters = word.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ':' || letter == '.');
    let digits = &word[..word.len() - letters.len()];
    let parts: Vec<&str> = digits.split([':', '.']).collect();
    if parts.len() > 3 || parts.iter().skip(1).any(|part| part.len() != 2) || parts[0].is_empty() || parts[0].len() > 2
    {
        return None;
    }
    let number = |index: usize| parts.get(index).map_or(Some(0), |part| part.parse::<i8>().ok());
    let time = Time::new(number(0)?, number(1)?, number(2)?, 0).ok()?;
    match letters {
        "" => Some((time, true)),
        "h" => Some((time, false)),
        letters => Some((in_half(time, half_of_day(letters)?)?, false)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

fn half_of_day(word: &str) -> Option<Half> {
    match word {
        "am" | "a.m." | "a.m" => Some(Half::Morning),
        "pm" | "p.m." | "p.m" => Some(Half::Afternoon),
        _ => None,
    }
}

fn in_half(time: Time, half: Half) -> Option<Time> {
    let hour = match (time.hour(), half) {
        (12, Half::Morning) => 0,
        (hour @ 1..=11, Half::Morning) => hour,
        (12, Half::Afternoon) => 12,
        (hour @ 1..=11, Half::Afternoon) => hour + 12,
        _ => return None,
    };
    Time::new(hour, time.minute(), time.second(), 0).ok()
}

/// Reads a month's name, or its first three letters.
pub(super) fn month(word: &str) -> Option<i8> {
    let word = word.trim_end_matches('.');
    let at = MONTHS
        .iter()
        .position(|month| *month == word || word == &month[..3] || word == "sept" && month.starts_with("sept"))?;
    i8::try_from(at + 1).ok()
}

/// Reads a day of the week, in the singular; whether it was in the plural is said too.
pub(super) fn weekday(word: &str) -> Option<(Weekday, bool)> {
    let word = word.trim_end_matches('.');
    DAYS.iter().find_map(|(name, day)| {
        let short = matches!(word, "tues" | "thur" | "thurs" | "wednes") && name.starts_with(word);
        if word == *name || word == &name[..3] || short {
            return Some((*day, false));
        }
        (word.strip_suffix('s') == Some(name)).then_some((*day, true))
    })
}

/// Reads `1st`, `2nd`, `15th`, `15.` or `15` as a day of the month.
pub(super) fn ordinal(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == '.');
    if !matches!(&word[digits.len()..], "" | "st" | "nd" | "rd" | "th" | ".") {
        return None;
    }
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

/// Reads which weekday of a month is meant: `first`, `2nd`.
pub(super) fn which(word: &str) -> Option<i8> {
    let named = ["first", "second", "third", "fourth", "fifth"].iter().position(|name| *name == word);
    let named = named.and_then(|at| i8::try_from(at + 1).ok());
    let is_ordinal = word.ends_with("st") || word.ends_with("nd") || word.ends_with("rd") || word.ends_with("th");
    named.or_else(|| ordinal(word).filter(|at| is_ordinal && *at <= 5))
}

/// Reads a small number, in digits or as a word.
pub(super) fn number(word: &str) -> Option<u32> {
    if matches!(word, "a" | "an") {
        return Some(1);
    }
    let named = NUMBERS.iter().position(|number| *number == word).and_then(|at| u32::try_from(at + 1).ok());
    named.or_else(|| word.parse().ok().filter(|_| word.len() <= 6))
}

/// Returns how many milliseconds a unit of time has, as people write it.
pub(super) fn unit_ms(word: &str) -> Option<i64> {
    const SECOND: i64 = 1_000;
    Some(match word {
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 24 * 3_600 * SECOND,
        "w" | "week" | "weeks" => 7 * 24 * 3_600 * SECOND,
        _ => return None,
    })
}
