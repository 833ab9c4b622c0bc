//! What is a letter or a word, and what is an emoji or a mark.

use crate::core::legible::is_hidden;

/// Returns whether what stands between spaces is a word, and not an emoticon or a vote.
pub(super) fn is_word(token: &str) -> bool {
    let shown = token.trim_matches(is_hidden);
    let is_shortcode = shown.len() > 2 && shown.starts_with(':') && shown.ends_with(':');
    let is_emoticon = shown.len() <= 4 && shown.starts_with([':', ';', '='])
        || matches!(shown, "xD" | "XD" | "xd" | "<3" | "(y)" | "(Y)");
    let is_keycap = shown.contains('\u{20e3}');
    let is_vote = matches!(shown, "+1" | "-1" | "+1!" | "++" | "--");
    !(is_shortcode || is_emoticon || is_keycap || is_vote) && shown.chars().any(is_letter)
}

/// Returns whether a character is a letter or digit and not an emoji.
pub(super) fn is_letter(letter: char) -> bool {
    let is_emoji = matches!(letter, '\u{2139}' | '\u{24c2}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}');
    letter.is_alphanumeric() && !is_emoji
}
