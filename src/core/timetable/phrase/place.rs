//! Time zones that a text names beside a time: `10am in New York`, `10:00 Berlin time`, `at 9 Europe/Berlin`, `17:00 UTC`.

use crate::core::zone::Zone;

/// Most words of a city's name.
const CITY_WORDS_MAX: usize = 3;

/// Takes the zone out of the words of a text, if it names one.
///
/// `in` and a city say it behind a time alone: in `Paris at 10` the city is where something is, and no clock.
pub(super) fn take(words: &mut Vec<String>) -> Option<Zone> {
    let (zone, from, to) = (0..words.len()).find_map(|at| find(words, at))?;
    words.drain(from..to);
    Some(zone)
}

/// Returns the zone that is named from a word on, and which words name it.
fn find(words: &[String], at: usize) -> Option<(Zone, usize, usize)> {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|one| one == word);
    let behind = |at: usize| if is(at, "time") { at + 1 } else { at };
    if let Some(zone) = by_name(&words[at]) {
        let from = if at > 1 && is(at - 1, "in") { at - 1 } else { at };
        return Some((zone, from, behind(at + 1)));
    }
    let begins = at + usize::from(at > 0 && is(at, "in"));
    (1..=CITY_WORDS_MAX).rev().find_map(|count| {
        let end = begins + count;
        let zone = Zone::of_city(&words.get(begins..end)?.join(" "))?;
        (begins > at || is(end, "time")).then_some((zone, at, behind(end)))
    })
}

/// Reads a zone's own name. Short names such as `EST` are left out: they mean several zones, or half of a year.
pub(super) fn by_name(word: &str) -> Option<Zone> {
    let name = word.trim_matches(['(', ')']);
    let is_whole = name.contains('/') || ["utc", "gmt"].iter().any(|short| name.eq_ignore_ascii_case(short));
    is_whole.then(|| Zone::named(name)).flatten()
}
