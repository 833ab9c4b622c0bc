//! The marks that stand for something while the parser sees a text.

/// Placed beside a delimiter. This and the following marks are noncharacters, which no text may contain (Unicode 16,
/// section 23.7).
pub(super) const BESIDE: char = '\u{fdd0}';
/// Surrounds the number of a formula or an address.
pub(super) const OPEN: char = '\u{fdd1}';
pub(super) const CLOSE: char = '\u{fdd2}';

/// Replaces a sign that the parser must not see.
pub(super) const PLAIN: [(char, char); 5] =
    [('\u{fdd3}', '*'), ('\u{fdd4}', '_'), ('\u{fdd5}', '~'), ('\u{fdd6}', '|'), ('\u{fdd7}', '\\')];
/// Precedes stars that are `_` in the text.
pub(super) const AS_STARS: char = '\u{fdd8}';
/// Follows a space that is not in the text.
pub(super) const SPACED: char = '\u{fdd9}';

/// Returns whether a character is not one of our marks.
pub(super) fn is_character(letter: char) -> bool {
    !matches!(letter, BESIDE..=SPACED)
}
