//! Phrases for what is due again and again, made into cron expressions.

use std::collections::BTreeSet;

use jiff::civil::Time;

use super::super::{
    moment::{Words, month, number, ordinal, weekday, which},
    when::WhenError,
};

/// The days on which something is due, as the last three fields of a cron expression.
type Days = String;

/// Reads a whole phrase; `None` if it says nothing that repeats.
pub(super) fn read(words: Words<'_>) -> Option<Result<String, WhenError>> {
    if let Some(cron) = interval(words) {
        return Some(cron);
    }
    let mut words = words;
    let mut times = times(&mut words);
    let days = days(&mut words)?;
    if times.is_empty() {
        times = self::times(&mut words);
    }
    if !words.is_empty() {
        return None;
    }
    let Some(first) = times.first() else { return Some(Err(WhenError::NoTime)) };
    if times.iter().any(|time| time.second() != 0 || time.minute() != first.minute()) {
        return Some(Err(WhenError::Unknown));
    }
    let hours: BTreeSet<String> = times.iter().map(|time| time.hour().to_string()).collect();
    let hours: Vec<String> = hours.into_iter().collect();
    Some(Ok(format!("{} {} {days}", first.minute(), hours.join(","))))
}

/// Takes one time of day or several: `9:00 and 17:00`.
fn times(words: &mut Words<'_>) -> Vec<Time> {
    std::iter::from_fn(|| words.time()).collect()
}

/// Reads `every 15 minutes`, `every hour`, `hourly`, `every 2 hours`. What does not divide the hour or the day would
/// not come as evenly as it sounds.
fn interval(words: Words<'_>) -> Option<Result<String, WhenError>> {
    let mut words = words;
    let (count, unit) = if words.skip(&["hourly"]) {
        (1, "hour".to_owned())
    } else {
        if !skip_every(&mut words) {
            return None;
        }
        let count = words.take(number).unwrap_or(1);
        (count, words.take(|word| Some(word.to_owned()))?)
    };
    if !words.is_empty() {
        return None;
    }
    let divides = |whole: u32| count > 0 && whole.is_multiple_of(count);
    match unit.as_str() {
        "minute" | "minutes" | "min" if count == 1 => Some(Ok("* * * * *".to_owned())),
        "minute" | "minutes" | "min" if count == 60 => Some(Ok("0 * * * *".to_owned())),
        "minute" | "minutes" | "min" if divides(60) => Some(Ok(format!("*/{count} * * * *"))),
        "hour" | "hours" if count == 1 => Some(Ok("0 * * * *".to_owned())),
        "hour" | "hours" if count < 24 && divides(24) => Some(Ok(format!("0 */{count} * * *"))),
        "minute" | "minutes" | "min" | "hour" | "hours" => Some(Err(WhenError::Unknown)),
        _ => None,
    }
}

fn skip_every(words: &mut Words<'_>) -> bool {
    words.skip_fillers();
    words.skip(&["every"]) || words.skip(&["each"])
}

fn days(words: &mut Words<'_>) -> Option<Days> {
    let mut ahead = *words;
    let is_every = skip_every(&mut ahead);
    let days = days_after_every(&mut ahead, is_every)?;
    *words = ahead;
    Some(days)
}

fn days_after_every(words: &mut Words<'_>, is_every: bool) -> Option<Days> {
    let said = |word: &str| word == words.first().unwrap_or_default();
    let alone = match words.first()? {
        "daily" => Some("* * *"),
        "day" if is_every => Some("* * *"),
        "weekday" | "workday" if is_every => Some("* * 1-5"),
        "weekdays" | "workdays" => Some("* * 1-5"),
        "weekend" if is_every => Some("* * 0,6"),
        "weekends" => Some("* * 0,6"),
        _ => None,
    };
    if let Some(days) = alone {
        words.0 = &words.0[1..];
        return Some(days.to_owned());
    }
    let is_period = is_every && (said("week") || said("month") || said("year"));
    if is_period || said("weekly") || said("monthly") || said("yearly") || said("annually") {
        let period = words.take(|word| Some(word.to_owned()))?;
        words.skip_fillers();
        return match &period[..4] {
            "week" => weekdays(words, true),
            "mont" => of_month(words, true, true),
            _ => of_year(words),
        };
    }
    if let Some(days) = weekdays(words, is_every) {
        return Some(days);
    }
    if is_every && let Some(days) = of_year(words) {
        return Some(days);
    }
    of_month(words, false, is_every)
}

/// Takes days of the week. A single one that is neither in the plural nor behind `every` is one day, not all of them.
fn weekdays(words: &mut Words<'_>, is_every: bool) -> Option<Days> {
    let mut ahead = *words;
    let (mut days, mut is_plural) = (BTreeSet::new(), false);
    loop {
        let mut next = ahead;
        next.skip_fillers();
        if !days.is_empty() && skip_every(&mut next) {
            next.skip_fillers();
        }
        let Some((first, last, plural)) = span_of_days(&mut next) else { break };
        is_plural |= plural;
        let mut day = first;
        days.insert(day.to_sunday_zero_offset());
        while day != last {
            day = day.next();
            days.insert(day.to_sunday_zero_offset());
        }
        ahead = next;
    }
    if days.is_empty() || !(is_every || is_plural || days.len() > 1) {
        return None;
    }
    *words = ahead;
    let days: Vec<String> = days.iter().map(ToString::to_string).collect();
    Some(format!("* * {}", days.join(",")))
}

/// Takes `monday`, `mon-fri` or `monday to friday`; says too whether it is in the plural.
fn span_of_days(words: &mut Words<'_>) -> Option<(jiff::civil::Weekday, jiff::civil::Weekday, bool)> {
    let glued = |word: &str| {
        let (first, last) = word.split_once(['-', '–'])?;
        Some((weekday(first)?.0, weekday(last)?.0, true))
    };
    if let Some(span) = words.take(glued) {
        return Some(span);
    }
    let (first, plural) = words.take(weekday)?;
    let mut ahead = *words;
    let goes_on = ["to", "through", "until", "till", "-"].iter().any(|word| ahead.skip(&[word]));
    if let Some((last, _)) = ahead.take(weekday).filter(|_| goes_on) {
        *words = ahead;
        return Some((first, last, true));
    }
    Some((first, first, plural))
}

/// Takes days of the month: `1st and 15th`, `first monday`, `last day`, each with `of the month` or without. Without it,
/// and without `every`, `last friday` is a day that is over.
fn of_month(words: &mut Words<'_>, is_month_named: bool, is_every: bool) -> Option<Days> {
    let mut ahead = *words;
    ahead.skip_fillers();
    let (mut is_said, mut may_be_over) = (is_every, false);
    let days = if let Some(days) = named_day(&mut ahead) {
        days.to_owned()
    } else if let Some(days) = nth_weekday(&mut ahead) {
        days
    } else if let Some(days) = last_weekday(&mut ahead) {
        may_be_over = true;
        days
    } else {
        let mut days = BTreeSet::new();
        loop {
            let mut next = ahead;
            next.skip_fillers();
            let is_ordinal = |word: &str| is_month_named || word.ends_with(|letter: char| letter.is_ascii_alphabetic());
            // After `1st and 15th at` a number is the time of day.
            let is_time = !days.is_empty() && ahead.first() == Some("at");
            let Some(day) = next.take(|word| ordinal(word).filter(|_| is_ordinal(word) && !is_time)) else { break };
            days.insert(day);
            ahead = next;
        }
        if days.is_empty() || ahead.first().is_some_and(|word| month(word).is_some()) {
            return None;
        }
        let days: Vec<String> = days.iter().map(ToString::to_string).collect();
        format!("{} * *", days.join(","))
    };
    let mut behind = ahead;
    behind.skip_fillers();
    if skip_every(&mut behind) || behind.first() == Some("month") {
        behind.skip(&["month"]);
        (ahead, is_said) = (behind, true);
    }
    if may_be_over && !is_said {
        return None;
    }
    *words = ahead;
    Some(days)
}

/// Takes a day that a month has once, whatever it is called: `last day`, `last working day`, `first weekday`.
fn named_day(words: &mut Words<'_>) -> Option<&'static str> {
    const WORKDAYS: [&[&str]; 6] =
        [&["weekday"], &["workday"], &["working", "day"], &["week", "day"], &["business", "day"], &["work", "day"]];
    if words.skip(&["last", "day"]) {
        return Some("L * *");
    }
    let mut ahead = *words;
    let is_first = ahead.skip(&["first"]) || ahead.skip(&["1st"]);
    if !(is_first || ahead.skip(&["last"])) || !WORKDAYS.iter().any(|named| ahead.skip(named)) {
        return None;
    }
    *words = ahead;
    Some(if is_first { "1W * *" } else { "LW * *" })
}

/// Takes `first monday`, `2nd and 4th friday`.
fn nth_weekday(words: &mut Words<'_>) -> Option<Days> {
    let mut ahead = *words;
    let mut which_ones = BTreeSet::from([ahead.take(which)?]);
    let day = loop {
        if let Some((day, _)) = ahead.take(weekday) {
            break day.to_sunday_zero_offset();
        }
        ahead.skip_fillers();
        which_ones.insert(ahead.take(which)?);
    };
    *words = ahead;
    let days: Vec<String> = which_ones.iter().map(|nth| format!("{day}#{nth}")).collect();
    Some(format!("* * {}", days.join(",")))
}

fn last_weekday(words: &mut Words<'_>) -> Option<Days> {
    let mut ahead = *words;
    if !ahead.skip(&["last"]) {
        return None;
    }
    let (day, _) = ahead.take(weekday)?;
    *words = ahead;
    Some(format!("* * {}L", day.to_sunday_zero_offset()))
}

fn of_year(words: &mut Words<'_>) -> Option<Days> {
    let mut ahead = *words;
    let (None, month, day) = ahead.date()? else { return None };
    *words = ahead;
    Some(format!("{day} {month} *"))
}
