//! Reads when something is due from what people and models write: a cron expression or an English phrase.

use jiff::{ToSpan as _, Zoned, civil::Time};

use super::{
    cron::Cron,
    moment::{Words, is_bare, number, short_date, unit_ms, weekday},
    when::{Rule, When, WhenError, instant},
};
use crate::core::{time::Timestamp, zone::Zone};

mod place;
mod repeating;

/// Most characters of a text that says when.
pub(crate) const TEXT_CHARS_MAX: usize = 120;
/// Most words of a reminder's text that may say when.
const WORDS_MAX: usize = 12;
/// The longest time that `in …` may name, in milliseconds: ten years.
const AHEAD_MS_MAX: i64 = 10 * 366 * 24 * 3_600 * 1_000;

/// Where and when a text is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// The zone whose wall clock is meant.
    pub zone: &'a Zone,
    /// The present.
    pub now: Timestamp,
}

/// When something is due, as a text says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    /// When.
    pub when: When,
    /// The zone whose wall clock is meant: the one that the text names, or that in which it was read.
    pub zone: Zone,
    /// Whether the text itself names the zone.
    pub names_zone: bool,
    /// Whether it means the same whenever it is read.
    is_fixed: bool,
}

impl When {
    /// Reads what people and models write.
    ///
    /// # Errors
    /// Says how to write it.
    pub(crate) fn parse(text: &str, reading: &Reading<'_>) -> Result<Meant, WhenError> {
        read(text, reading)
    }

    /// Reads what stands in a file: a rule, or a whole date. What counts from now would move with each start.
    ///
    /// # Errors
    /// As [`Self::parse`]. A date that is over is no error: the file outlives it.
    pub(crate) fn in_file(text: &str, zone: &Zone) -> Result<Meant, WhenError> {
        match read(text, &Reading { zone, now: Timestamp::from_ms(0) }) {
            Ok(meant) if meant.is_fixed => Ok(meant),
            Ok(_) | Err(WhenError::Over) => Err(WhenError::Relative),
            Err(error) => Err(error),
        }
    }

    /// Reads a text that says when and what, in this order or the other: `tomorrow at 10 call Anna`, `tea in 10
    /// minutes`. Returns the rest beside it, which may be empty; `None` if no part says when.
    #[must_use]
    pub(crate) fn split_off<'t>(text: &'t str, reading: &Reading<'_>) -> Option<(Meant, &'t str)> {
        let text = text.trim();
        let starts: Vec<usize> =
            text.split_whitespace().map(|word| word.as_ptr() as usize - text.as_ptr() as usize).collect();
        let fits = |part: &str| Self::parse(part, reading).ok();
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let heads: Vec<usize> = ends.take(WORDS_MAX).collect();
        let head = heads.iter().rev().find_map(|end| {
            let (part, rest) = (text[..*end].trim_end(), text[*end..].trim());
            let is_sure = rest.is_empty() || !ends_in_a_number(part) && !goes_on(rest, &fits);
            Some((fits(part).filter(|_| is_sure)?, rest))
        });
        let mut tails = starts.iter().skip(starts.len().saturating_sub(WORDS_MAX));
        head.or_else(|| {
            tails.find_map(|start| {
                let (rest, part) = (text[..*start].trim(), &text[*start..]);
                let is_sure = rest.is_empty() || !begins_with_a_number(part);
                Some((fits(part).filter(|_| is_sure)?, rest))
            })
        })
    }

    /// Returns why no part of a text says when ([`Self::split_off`]): a part that names a moment in the past, or a day
    /// without a time, says more than that the whole is not understood.
    #[must_use]
    pub(crate) fn fault_in(text: &str, reading: &Reading<'_>) -> WhenError {
        let text = text.trim();
        let whole = Self::parse(text, reading).err().unwrap_or(WhenError::Unknown);
        let starts = text.split_whitespace().map(|word| word.as_ptr() as usize - text.as_ptr() as usize);
        let starts: Vec<usize> = starts.collect();
        let heads = starts.iter().skip(1).take(WORDS_MAX).map(|end| text[..*end].trim_end());
        let tails = starts.iter().skip(starts.len().saturating_sub(WORDS_MAX)).map(|start| &text[*start..]);
        let faults: Vec<WhenError> = heads.chain(tails).filter_map(|part| Self::parse(part, reading).err()).collect();
        let telling = [WhenError::Over, WhenError::NoTime].into_iter().find(|fault| faults.contains(fault));
        if whole == WhenError::Unknown { telling.unwrap_or(whole) } else { whole }
    }
}

fn read(text: &str, reading: &Reading<'_>) -> Result<Meant, WhenError> {
    let text = text.trim();
    let is_date = text.split_whitespace().last().is_some_and(|word| short_date(word).is_some());
    let text = if is_date { text } else { text.trim_end_matches(['.', '!']) };
    if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
        return Err(WhenError::Missing);
    }
    if Cron::is_meant(text) {
        return read_cron(text, reading);
    }
    let mut words = words(text);
    if words.iter().any(|word| is_slashed(word)) {
        return Err(WhenError::Slashes);
    }
    let named = place::take(&mut words);
    let meant = |when: When, is_fixed: bool| Meant {
        when,
        zone: named.as_ref().unwrap_or(reading.zone).clone(),
        names_zone: named.is_some(),
        is_fixed,
    };
    let reading = &Reading { zone: named.as_ref().unwrap_or(reading.zone), now: reading.now };
    if let Some(cron) = repeating::read(Words(&words)) {
        return Ok(meant(not_never(When::Cron(cron?), reading)?, true));
    }
    let (when, is_whole) = once(Words(&words), reading).unwrap_or(Err(WhenError::Unknown))?;
    Ok(meant(when, is_whole))
}

/// Reads a cron expression; a zone may stand behind it.
fn read_cron(text: &str, reading: &Reading<'_>) -> Result<Meant, WhenError> {
    let mut fields: Vec<&str> = text.split_whitespace().collect();
    let named = fields.last().filter(|_| fields.len() > 1).and_then(|last| place::by_name(last));
    if named.is_some() {
        fields.pop();
    }
    let text = fields.join(" ");
    Cron::parse(&text).map_err(WhenError::Cron)?;
    let zone = named.as_ref().unwrap_or(reading.zone);
    let when = not_never(When::Cron(text), &Reading { zone, now: reading.now })?;
    Ok(Meant { when, zone: zone.clone(), names_zone: named.is_some(), is_fixed: true })
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(',', " ");
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        // `2026-12-24T09:00`
        match word.split_once('t').filter(|(date, time)| {
            date.len() == 10 && date.starts_with(|letter: char| letter.is_ascii_digit()) && time.contains(':')
        }) {
            Some((date, time)) => words.extend([date.to_owned(), time.to_owned()]),
            None => words.push(word.to_owned()),
        }
    }
    words
}

fn is_slashed(word: &str) -> bool {
    word.contains('/') && word.chars().all(|letter| letter.is_ascii_digit() || letter == '/')
}

fn not_never(when: When, reading: &Reading<'_>) -> Result<When, WhenError> {
    let rule = Rule::of(&when, reading.zone)?;
    rule.next_after(reading.now).map(|_| when).ok_or(WhenError::Never)
}

/// A day that is meant.
#[derive(Clone, Copy)]
enum Day {
    /// So many days from today.
    InDays(i32),
    /// The next day of this name, from today or from tomorrow on.
    Named(jiff::civil::Weekday, i32),
    /// A date, perhaps without a year.
    Date(Option<i16>, i8, i8),
}

/// Reads one moment; says too whether it is a whole date.
fn once(words: Words<'_>, reading: &Reading<'_>) -> Option<Result<(When, bool), WhenError>> {
    let now = reading.zone.wall_clock(reading.now)?;
    if let Some(at) = from_now(words, &now) {
        return Some(at.map(|at| (When::At(at), false)));
    }
    // The day first: `5 december at 9` does not begin with a time of day.
    let (time, day) = day_then_time(words).or_else(|| time_then_day(words))?;
    let Some(time) = time else { return day.map(|_| Err(WhenError::NoTime)) };
    let is_whole = matches!(day, Some(Day::Date(Some(_), ..)));
    Some(moment(day, time, &now).map(|at| (When::At(at), is_whole)))
}

fn day_then_time(words: Words<'_>) -> Option<(Option<Time>, Option<Day>)> {
    let mut words = words;
    let day = day(&mut words)?;
    let time = words.time();
    words.is_empty().then_some((time, Some(day)))
}

fn time_then_day(words: Words<'_>) -> Option<(Option<Time>, Option<Day>)> {
    let mut words = words;
    let time = words.time()?;
    let day = day(&mut words);
    words.is_empty().then_some((Some(time), day))
}

/// Whether the last word of a part is a number that may belong to the words behind it: `tomorrow 2` of `tomorrow 2 eggs`.
fn ends_in_a_number(part: &str) -> bool {
    let mut words = part.split_whitespace().rev();
    let last = words.next().is_some_and(|word| is_bare(&word.to_lowercase()));
    let is_time = words.next().is_some_and(|word| word.eq_ignore_ascii_case("at") || word == "@");
    last && !is_time && !Cron::is_meant(part)
}

/// Whether what stands behind a moment names another one: `and friday at 10`.
fn goes_on(rest: &str, fits: &impl Fn(&str) -> Option<Meant>) -> bool {
    let Some((first, more)) = rest.split_once(char::is_whitespace) else { return false };
    let ends = more.match_indices(char::is_whitespace).map(|(at, _)| at).chain([more.len()]);
    first.eq_ignore_ascii_case("and") && ends.take(WORDS_MAX).any(|end| fits(&more[..end]).is_some())
}

/// Whether the first word of a part is a number that may belong to the words before it.
fn begins_with_a_number(part: &str) -> bool {
    part.split_whitespace().next().is_some_and(|word| is_bare(&word.to_lowercase())) && !Cron::is_meant(part)
}

/// Reads `in 20 minutes`, `1h30m`, `in half an hour`, `in 3 days at 9`.
fn from_now(words: Words<'_>, now: &Zoned) -> Option<Result<Timestamp, WhenError>> {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    let mut words = words;
    words.skip(&["in"]);
    let (mut days, mut ms, mut any) = (0_i64, 0_i64, false);
    loop {
        let mut ahead = words;
        if any {
            ahead.skip(&["and"]);
        }
        let Some(length) = length(&mut ahead) else { break };
        (words, any) = (ahead, true);
        for length in length {
            let is_days = length % DAY_MS == 0;
            if is_days { days = days.checked_add(length / DAY_MS)? } else { ms = ms.checked_add(length)? }
        }
    }
    if !any {
        return None;
    }
    let time = if ms == 0 { words.time() } else { None };
    if !words.is_empty() {
        return None;
    }
    if days.checked_mul(DAY_MS)?.checked_add(ms)? > AHEAD_MS_MAX {
        return Some(Err(WhenError::Never));
    }
    // A day more is the same time on another day, however long the day between was.
    let wall = now.datetime().checked_add(days.days()).ok()?;
    let wall = time.map_or(wall, |time| wall.date().to_datetime(time));
    let at = if days == 0 && time.is_none() {
        Timestamp::from_ms(now.timestamp().as_millisecond())
    } else {
        instant(wall, now.time_zone())?
    };
    Some(Ok(Timestamp::from_ms(at.as_ms().checked_add(ms)?)))
}

/// Takes a length: `20 minutes`, `20m`, `1h30m`, `an hour`, `half an hour`.
fn length(words: &mut Words<'_>) -> Option<Vec<i64>> {
    const HOUR_MS: i64 = 3_600 * 1_000;
    if words.skip(&["half", "an", "hour"]) || words.skip(&["half", "hour"]) {
        return Some(vec![HOUR_MS / 2]);
    }
    if let Some(lengths) = words.take(glued) {
        return Some(lengths);
    }
    let mut ahead = *words;
    let count = i64::from(ahead.take(number)?);
    let unit = ahead.take(unit_ms)?;
    *words = ahead;
    Some(vec![count.checked_mul(unit)?])
}

/// Reads `20m` and `1h30m`.
fn glued(word: &str) -> Option<Vec<i64>> {
    let mut lengths = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let letters = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let (digits, after) = (&rest[..rest.len() - letters.len()], letters);
        let unit = after.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
        let count: i64 = digits.parse().ok().filter(|_| digits.len() <= 6)?;
        lengths.push(count.checked_mul(unit_ms(unit)?)?);
        rest = &after[unit.len()..];
    }
    (!lengths.is_empty()).then_some(lengths)
}

fn day(words: &mut Words<'_>) -> Option<Day> {
    words.skip_fillers();
    for (said, days) in [(&["today"][..], 0), (&["tomorrow"], 1), (&["day", "after", "tomorrow"], 2)] {
        if words.skip(said) {
            return Some(Day::InDays(days));
        }
    }
    let mut ahead = *words;
    let is_next = ahead.skip(&["next"]);
    if !is_next {
        ahead.skip(&["this"]);
    }
    if let Some((named, false)) = ahead.take(weekday) {
        *words = ahead;
        return Some(Day::Named(named, i32::from(is_next)));
    }
    let (year, month, day) = words.date()?;
    Some(Day::Date(year, month, day))
}

fn moment(day: Option<Day>, time: Time, now: &Zoned) -> Result<Timestamp, WhenError> {
    let at = |date: jiff::civil::Date| instant(date.to_datetime(time), now.time_zone()).ok_or(WhenError::Never);
    let present = Timestamp::from_ms(now.timestamp().as_millisecond());
    let in_days = |days: i32| now.date().checked_add(days.days()).map_err(|_| WhenError::Never);
    let to_come = |at: Timestamp| if at > present { Ok(at) } else { Err(WhenError::Over) };
    match day {
        None => to_come(at(now.date())?).or_else(|_| at(in_days(1)?)),
        Some(Day::InDays(days)) => to_come(at(in_days(days)?)?),
        Some(Day::Named(named, from)) => {
            let to = now.date().weekday().until(named);
            let first = if i32::from(to) < from { i32::from(to) + 7 } else { i32::from(to) };
            to_come(at(in_days(first)?)?).or_else(|_| at(in_days(first + 7)?))
        }
        Some(Day::Date(Some(year), month, day)) => {
            to_come(at(jiff::civil::Date::new(year, month, day).map_err(|_| WhenError::Never)?)?)
        }
        Some(Day::Date(None, month, day)) => {
            // 29 February may be four years away, and eight around 2100.
            let dates = (0..=8).filter_map(|years| jiff::civil::Date::new(now.year() + years, month, day).ok());
            let first = dates.map(at).find_map(|at| at.and_then(to_come).ok());
            first.ok_or(WhenError::Never)
        }
    }
}
