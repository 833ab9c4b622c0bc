//! An estimate of tokens that errs on the high side, because the provider's count needs the network.

/// The unit that characters are weighed in; a token has this many.
const UNITS_PER_TOKEN: u64 = 14;
/// 3.5 ASCII characters to a token.
const ASCII_UNITS: u64 = 4;
/// Two characters of a two-byte script (Cyrillic, Greek, Arabic, Hebrew) to a token.
const NARROW_UNITS: u64 = 7;
/// One character of a three-byte script (CJK, Indic) to a token.
const WIDE_UNITS: u64 = 14;
/// Half an emoji or rare character to a token.
const ASTRAL_UNITS: u64 = 28;

/// Estimates how many tokens a text takes, rounded up.
#[must_use]
pub fn estimate(text: &str) -> u32 {
    let units: u64 = text.chars().map(units).sum();
    u32::try_from(units.div_ceil(UNITS_PER_TOKEN)).unwrap_or(u32::MAX)
}

/// Returns the longest beginning of `text` that takes at most `tokens`.
#[must_use]
pub fn prefix(text: &str, tokens: u32) -> &str {
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
    use super::{estimate, prefix};

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
}
