//! How many columns of a terminal a text takes, and how many there are.

use std::{fs::File, io::IsTerminal as _, process::Command, sync::OnceLock};

/// Letters that take no column of their own: combining marks, joiners, marks of direction, variation selectors.
const NARROW: [(u32, u32); 12] = [
    (0x0300, 0x036F),
    (0x0483, 0x0489),
    (0x0591, 0x05BD),
    (0x064B, 0x065F),
    (0x0E34, 0x0E3A),
    (0x0E47, 0x0E4E),
    (0x1AB0, 0x1AFF),
    (0x200B, 0x200F),
    (0x2060, 0x2064),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),
    (0xE0100, 0xE01EF),
];
/// Letters that take two columns: CJK, full-width forms, emoji (Unicode's `East_Asian_Width` W and F, in few ranges).
const WIDE: [(u32, u32); 21] = [
    (0x1100, 0x115F),
    (0x231A, 0x231B),
    (0x23E9, 0x23F3),
    (0x25FD, 0x25FE),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26A1, 0x26A1),
    (0x26D4, 0x26D4),
    (0x2705, 0x2705),
    (0x2728, 0x2728),
    (0x274C, 0x274E),
    (0x2753, 0x2757),
    (0x2B1B, 0x2B1C),
    (0x2E80, 0x303E),
    (0x3041, 0xA4CF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE6F),
    (0xFF00, 0xFF60),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x3FFFD),
];

/// Returns how many columns a text takes.
#[must_use]
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(of_letter).sum()
}

fn of_letter(letter: char) -> usize {
    let code = u32::from(letter);
    let is_among = |ranges: &[(u32, u32)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&code));
    if code < 0x0300 {
        1
    } else if is_among(&NARROW) {
        0
    } else if is_among(&WIDE) {
        2
    } else {
        1
    }
}

/// Returns how many columns the terminal has; `None` if there is none, or it does not say.
pub(super) fn of_terminal() -> Option<usize> {
    static COLUMNS: OnceLock<Option<usize>> = OnceLock::new();
    *COLUMNS.get_or_init(|| {
        let terminal = File::open("/dev/tty").ok().filter(File::is_terminal)?;
        let told = Command::new("stty").arg("size").stdin(terminal).output().ok()?;
        of_size(&String::from_utf8_lossy(&told.stdout))
    })
}

/// Reads the columns from what `stty size` prints: rows and columns.
fn of_size(told: &str) -> Option<usize> {
    let (_rows, columns) = told.trim().split_once(' ')?;
    columns.trim().parse().ok().filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op12_wide_letters_take_two_columns_and_marks_none() {
        for (text, columns) in [
            ("", 0),
            ("abc", 3),
            ("é", 1),
            ("e\u{301}", 1),
            ("漢字", 4),
            ("한글", 4),
            ("カナ", 4),
            ("ＡＢ", 4),
            ("🚀", 2),
            ("✅", 2),
            ("a\u{200B}b", 2),
            ("@alice:例え.jp", 14),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn op12_a_terminal_s_size_is_read_or_counts_as_unknown() {
        for (told, columns) in
            [("24 80\n", Some(80)), ("50 40", Some(40)), ("0 0", None), ("", None), ("stty: no", None), ("24", None)]
        {
            assert_eq!(of_size(told), columns, "{told:?}");
        }
    }
}
