//! Estimates tokens on the high side, because the provider's count would need the network.

use std::borrow::Cow;

/// Weight units in a token.
const UNITS_PER_TOKEN: u64 = 14;
/// ASCII: 3.5 characters in a token.
const ASCII_UNITS: u64 = 4;
/// Two-byte scripts (Cyrillic, Greek, Arabic, Hebrew): two characters in a token.
const NARROW_UNITS: u64 = 7;
/// Three-byte scripts (CJK, Indic): one character in a token.
const WIDE_UNITS: u64 = 14;
/// Emoji and rare characters: two tokens each.
const ASTRAL_UNITS: u64 = 28;
/// Most tokens of the line that marks an omission.
const MARK_TOKENS: u32 = 24;

/// Estimates a text's tokens, rounding up.
#[must_use]
pub(crate) fn estimate(text: &str) -> u32 {
    let units: u64 = text.chars().map(units).sum();
    u32::try_from(units.div_ceil(UNITS_PER_TOKEN)).unwrap_or(u32::MAX)
}

/// Returns the longest beginning of `text` within `tokens`.
#[must_use]
pub(super) fn prefix(text: &str, tokens: u32) -> &str {
    let most = u64::from(tokens) * UNITS_PER_TOKEN;
    let mut sum = 0;
    for (at, letter) in text.char_indices() {
        sum += units(letter);
        if sum > most {
            return &text[..at];
        }
    }
    text
}

/// Returns the longest end of `text` within `tokens`.
fn suffix(text: &str, tokens: u32) -> &str {
    let most = u64::from(tokens) * UNITS_PER_TOKEN;
    let mut sum = 0;
    for (at, letter) in text.char_indices().rev() {
        sum += units(letter);
        if sum > most {
            return &text[at + letter.len_utf8()..];
        }
    }
    text
}

/// Returns a text's beginning and end within `tokens`, with a line between them that says how much is missing. Its last
/// paragraph, which tends to hold the question or the result, gets up to three quarters of the space.
#[must_use]
pub(crate) fn ends(text: &str, tokens: u32) -> Cow<'_, str> {
    if estimate(text) <= tokens {
        return Cow::Borrowed(text);
    }
    let Some((head, missing, tail)) = parted(text, tokens) else { return Cow::Borrowed(prefix(text, tokens)) };
    let (letters, lines) = (missing.chars().count(), missing.matches('\n').count());
    let lines = if lines > 1 { format!(", {lines} lines") } else { String::new() };
    Cow::Owned(format!("{head}\n[… {letters} characters{lines} left out here …]\n{tail}"))
}

/// Like [`ends`], for a text of whose middle `absent` bytes were never read.
pub(super) fn ends_around(text: &str, absent: u64, tokens: u32) -> String {
    let Some((head, missing, tail)) = parted(text, tokens) else { return prefix(text, tokens).to_owned() };
    let bytes = absent.saturating_add(missing.len() as u64);
    format!("{head}\n[… {bytes} bytes left out here …]\n{tail}")
}

/// Returns what of a text is kept at its beginning, what is left out, and what is kept at its end; `None` if `tokens`
/// has no room for both.
pub(super) fn parted(text: &str, tokens: u32) -> Option<(&str, &str, &str)> {
    let room = tokens.checked_sub(MARK_TOKENS).filter(|room| *room >= MARK_TOKENS)?;
    let paragraph = text.trim_end().rfind("\n\n").map_or(text, |at| &text[at..]);
    let tail = suffix(text, estimate(paragraph).clamp(room / 2, room / 4 * 3));
    // Cut at whole lines if that costs little.
    let tail = match tail.find('\n') {
        Some(at) if at < tail.len() / 4 => &tail[at + 1..],
        _ => tail,
    };
    let head = prefix(text, room - estimate(tail));
    let head = match head.rfind('\n') {
        Some(at) if at >= head.len() / 4 * 3 => &head[..at],
        _ => head,
    };
    Some((head, &text[head.len()..text.len() - tail.len()], tail))
}

fn units(letter: char) -> u64 {
    match letter.len_utf8() {
        1 => ASCII_UNITS,
        2 => NARROW_UNITS,
        3 => WIDE_UNITS,
        _ => ASTRAL_UNITS,
    }
}

#[cfg(test)]
mod tests {
    use super::{ends, estimate, prefix};

    #[test]
    fn estimate_rounds_up_and_weighs_scripts() {
        let rows = [("", 0), ("a", 1), ("abcdefg", 2), ("abcdefgh", 3), ("привет", 3), ("日本語", 3), ("🦀", 2)];
        for (text, tokens) in rows {
            assert_eq!(estimate(text), tokens, "{text:?}");
        }
    }

    #[test]
    fn prefix_cuts_between_characters() {
        assert_eq!(prefix("日本語", 2), "日本");
        assert_eq!(prefix("abcdefgh", 2), "abcdefg");
        assert_eq!(prefix("short", 9), "short");
    }

    #[test]
    fn c7_of_a_long_text_beginning_and_end_stay_and_what_is_missing_is_counted() {
        let log = (0..10_000).map(|line| format!("{line}: all is well\n")).collect::<Vec<_>>().concat();
        let log = format!("first line\n{log}fatal: the disk is full\n");
        let kept = ends(&log, 1_000);
        assert!(kept.starts_with("first line\n0: all") && kept.ends_with("well\nfatal: the disk is full\n"), "{kept}");
        let mark = kept.lines().find(|line| line.starts_with("[… ")).expect("a mark");
        let missing = log.chars().count() - (kept.chars().count() - mark.chars().count() - 2);
        assert!(
            mark.starts_with(&format!("[… {missing} characters, ")) && mark.ends_with(" lines left out here …]"),
            "{mark}"
        );
        assert!((900..=1_000).contains(&estimate(&kept)), "{}", estimate(&kept));
    }

    #[test]
    fn c7_the_last_paragraph_stays_whole_where_it_has_any_place() {
        let pasted = "log ".repeat(5_000);
        let asked = "Why does it fail? ".repeat(30);
        let both = format!("{pasted}\n\n{asked}");
        let kept = ends(&both, 300);
        assert!(kept.contains(&asked) && kept.starts_with("log log"), "{kept}");
        assert_eq!(ends("short", 2), "short");
        for tokens in 0..120 {
            let kept = ends(&pasted, tokens);
            assert!(estimate(&kept) <= tokens, "{tokens}: {kept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn ends_never_take_more_than_they_may(text in "[a-zä日🦀\n ]{0,400}", tokens in 0_u32..200) {
            let kept = ends(&text, tokens);
            proptest::prop_assert!(estimate(&kept) <= tokens || kept == text);
            if estimate(&text) <= tokens {
                proptest::prop_assert_eq!(kept, &text[..]);
            }
        }
    }
}
