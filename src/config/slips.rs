//! Slips that editors, shells and habits bring into a configuration, and what was meant by them.

use super::fault::{Trouble, shown};
use crate::core::legible::is_hidden;

/// Most letters by which a key or word may differ from the one that was meant.
const SLIPS_MAX: usize = 2;
/// Most characters of a word that is compared with others.
const WORD_CHARS_MAX: usize = 64;
/// Quotes that word processors and chats write in place of straight ones.
const CURLY: [char; 11] = ['“', '”', '„', '‟', '‘', '’', '‚', '«', '»', '‹', '›'];
/// The units of a number, and how many of the smallest one each is.
const DURATIONS: [(&[&str], u64); 5] = [
    (&["s", "sec", "secs", "second", "seconds"], 1),
    (&["m", "min", "mins", "minute", "minutes"], 60),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600),
    (&["d", "day", "days"], 86_400),
    (&["w", "week", "weeks"], 604_800),
];
const SIZES: [(&[&str], u64); 4] = [
    (&["b", "byte", "bytes"], 1),
    (&["k", "kb", "kib"], 1 << 10),
    (&["m", "mb", "mib"], 1 << 20),
    (&["g", "gb", "gib"], 1 << 30),
];

/// What a number counts, by the name of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Time, in so many seconds.
    Time(u64),
    /// Bytes.
    Bytes,
    /// Something without a unit.
    Things,
}

impl Unit {
    /// Returns the unit of the number under a key.
    pub(super) fn of(key: &str) -> Self {
        let has = |word: &str| key.split('_').any(|part| part == word);
        match () {
            () if has("bytes") => Self::Bytes,
            () if has("seconds") => Self::Time(1),
            () if has("minutes") => Self::Time(60),
            () if has("hours") => Self::Time(3_600),
            () if has("days") => Self::Time(86_400),
            () => Self::Things,
        }
    }
}

/// Returns the number that was meant by one with a unit, or with marks between its digits, in the key's own unit.
pub(super) fn number_meant(text: &str, unit: Unit) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit() && !"_',. ".contains(char)).unwrap_or(text.len());
    let (digits, name) = (text[..end].trim_end(), text[end..].to_ascii_lowercase());
    let number = grouped(digits)?;
    if name.is_empty() {
        return Some(number);
    }
    let among = |units: &[(&[&str], u64)]| units.iter().find(|(names, _)| names.contains(&&*name)).map(|unit| unit.1);
    match unit {
        Unit::Things => None,
        Unit::Bytes => number.checked_mul(among(&SIZES)?),
        Unit::Time(seconds) => {
            let whole = number.checked_mul(among(&DURATIONS)?)?;
            (whole % seconds == 0).then_some(whole / seconds)
        }
    }
}

/// Reads digits, in groups of three where there is something between them.
fn grouped(digits: &str) -> Option<u64> {
    let groups: Vec<&str> = digits.split(['_', '\'', ',', '.', ' ']).collect();
    let is_group =
        |(at, group): (usize, &&str)| if at == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
    if groups.len() > 1 && !groups.iter().enumerate().all(is_group) {
        return None;
    }
    groups.concat().parse().ok()
}

/// Checks a value that is no prose: curly quotes and letters that nobody sees would be part of it.
///
/// # Errors
/// What is there, and that it goes.
pub(super) fn check_plain(text: &str) -> Result<(), Trouble> {
    if let Some(quote) =
        text.chars().next().into_iter().chain(text.chars().next_back()).find(|char| CURLY.contains(char))
    {
        return Err(Trouble::new(
            format!("{} has a curly quote, `{quote}`", shown(text)),
            "YAML knows straight quotes only, so it would be part of the value.",
            "write straight quotes, \" or ', or none.",
        ));
    }
    if let Some(hidden) = text.chars().find(|char| is_hidden(*char)) {
        return Err(Trouble::new(
            format!("{} has a character that cannot be seen, U+{:04X}", shown(text), u32::from(hidden)),
            "It came along when the value was copied, and would be part of it.",
            "delete the value and type it again.",
        ));
    }
    Ok(())
}

/// Returns what a shell or systemd would put into a path, which is not done here.
pub(super) fn unexpanded(path: &str) -> Option<Trouble> {
    let is_name = |text: &str| text.starts_with(|char: char| char.is_ascii_alphabetic() || "_{(".contains(char));
    let first = path.split('/').next().unwrap_or_default();
    let variable = path.split('/').find(|part| part.strip_prefix('$').is_some_and(is_name));
    let is_specifier = first.strip_prefix('%').is_some_and(|name| name.len() == 1 && is_name(name));
    let (what, by) = match variable {
        Some(part) => (part, "a shell"),
        None if first.starts_with('~') => (first, "a shell"),
        None if is_specifier => (first, "systemd"),
        None => return None,
    };
    Some(Trouble::new(
        format!("{} holds `{what}`, which only {by} replaces", shown(path)),
        "Here it would be a folder of that very name.",
        "write the path out, such as /home/alice/workmate or /var/lib/workmate.",
    ))
}

/// Returns the known word of which `word` is most likely a slip.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let plain = word.to_lowercase().replace('-', "_");
    let known: Vec<&str> = known.into_iter().collect();
    let (slips, near) = known.iter().map(|known| (distance(&plain, known), *known)).min()?;
    if slips <= SLIPS_MAX && slips < near.len() {
        return Some(near);
    }
    // `max_runs` for `runs_max`, `timeout` for `timeout_seconds`.
    let parts = |word: &'_ str| {
        let mut parts: Vec<String> = word.split('_').map(str::to_owned).collect();
        parts.sort();
        parts
    };
    let own = parts(&plain);
    if let Some(same) = known.iter().find(|known| parts(known) == own) {
        return Some(same);
    }
    let holds_all = |known: &&&str| own.iter().all(|part| parts(known).contains(part));
    let mut holding = known.iter().filter(holds_all);
    let only = holding.next().filter(|_| !plain.is_empty());
    only.filter(|_| holding.next().is_none()).copied()
}

/// Returns the Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Returns the truth that was meant by another program's word for it.
pub(super) fn truth_meant(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" | "enable" | "enabled" => Some(true),
        "false" | "no" | "n" | "off" | "0" | "disable" | "disabled" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key_that_was_meant_and_a_stranger_none() {
        let known = [
            "as_token",
            "as_token_file",
            "hs_token",
            "listen",
            "url",
            "id",
            "runs_max",
            "room_runs_max",
            "timeout_seconds",
        ];
        for (key, expected) in [
            ("hs-token", Some("hs_token")),
            ("HS_TOKEN", Some("hs_token")),
            ("lisen", Some("listen")),
            ("urls", Some("url")),
            ("as_tokne", Some("as_token")),
            ("max_runs", Some("runs_max")),
            ("max_room_runs", Some("room_runs_max")),
            ("timeout", Some("timeout_seconds")),
            ("token", None),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(key, known), expected, "{key}");
        }
    }

    #[test]
    fn op4_a_number_with_a_unit_or_marks_is_told_as_digits() {
        for (text, key, expected) in [
            ("30m", "deadline_minutes", Some(30)),
            ("2 h", "deadline_minutes", Some(120)),
            ("1 day", "session_idle_hours", Some(24)),
            ("90s", "approval_minutes", None),
            ("120s", "approval_minutes", Some(2)),
            ("2w", "retention_days", Some(14)),
            ("10MB", "file_bytes_max", Some(10 << 20)),
            ("10 MiB", "file_bytes_max", Some(10 << 20)),
            ("64k", "file_bytes_max", Some(64 << 10)),
            ("1_000", "runs_max", Some(1_000)),
            ("1,000,000", "run_tokens_max", Some(1_000_000)),
            ("1'000", "runs_max", Some(1_000)),
            ("30k", "runs_max", None),
            ("1.5h", "deadline_minutes", None),
            ("-3", "runs_max", None),
            ("4.0", "runs_max", None),
            ("many", "runs_max", None),
            ("", "runs_max", None),
            ("99999999999999999 GB", "file_bytes_max", None),
        ] {
            assert_eq!(number_meant(text, Unit::of(key)), expected, "{key}: {text}");
        }
    }

    #[test]
    fn op4_what_only_a_shell_or_systemd_replaces_is_no_path() {
        for (path, found) in [
            ("~", Some("`~`, which only a shell")),
            ("~/data", Some("`~`, which only a shell")),
            ("~alice/data", Some("`~alice`")),
            ("$HOME/data", Some("`$HOME`")),
            ("/srv/${NAME}/data", Some("`${NAME}`")),
            ("$(pwd)/data", Some("`$(pwd)`")),
            ("%h/data", Some("`%h`, which only systemd")),
            ("%S", Some("`%S`")),
            ("/var/lib/workmate", None),
            ("../data", None),
            ("data~", None),
            ("a/~b", None),
            ("100%/x", None),
            ("cost$", None),
        ] {
            let told = unexpanded(path).map(|trouble| trouble.what);
            let is_right = match found {
                Some(found) => told.as_ref().is_some_and(|told| told.contains(found)),
                None => told.is_none(),
            };
            assert!(is_right, "{path}: {told:?}");
        }
    }

    #[test]
    fn op4_quotes_of_a_word_processor_and_letters_that_nobody_sees_are_no_part_of_a_value() {
        for (text, is_fine) in [
            ("https://example.org", true),
            ("“https://example.org”", false),
            ("‘x", false),
            ("example.org\u{a0}", false),
            ("\u{200b}example.org", false),
            ("an “odd” name", true),
        ] {
            assert_eq!(check_plain(text).is_ok(), is_fine, "{text:?}");
        }
    }
}
