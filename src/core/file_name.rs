//! Names of files that are posted or handed on: harmless wherever they are saved.

/// Most characters of a name.
pub(crate) const CHARS_MAX: usize = 100;

/// Returns a path's last part without characters that hide, turn or break a name; empty if nothing is left.
#[must_use]
pub(crate) fn cleaned(name: &str) -> String {
    let last = name.trim().trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    let letters = last.chars().filter(|letter| !steers(*letter));
    let letters =
        letters.map(|letter| if matches!(letter, '<' | '>' | ':' | '"' | '|' | '?' | '*') { '_' } else { letter });
    let whole: String = letters.collect();
    // Neither a hidden file, nor a name that an operating system reads as another.
    let whole = whole.trim_start_matches(|letter: char| letter == '.' || letter.is_whitespace());
    let whole = whole.trim_end_matches(|letter: char| letter == '.' || letter.is_whitespace());
    if is_device(whole) { shortened(&format!("_{whole}")) } else { shortened(whole) }
}

/// Returns whether Windows takes a name for a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_port = |port: &str| stem.strip_prefix(port).is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || is_port("COM") || is_port("LPT")
}

/// Shortens a long name before its extension.
fn shortened(name: &str) -> String {
    if name.chars().count() <= CHARS_MAX {
        return name.to_owned();
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| ending.chars().count() <= 10);
    let ending = ending.map(|ending| format!(".{ending}")).unwrap_or_default();
    let stem = name.chars().take(CHARS_MAX - ending.chars().count());
    stem.chain(ending.chars()).collect()
}

/// Returns whether a character is a control, a line or paragraph separator, a direction mark or invisible.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{00ad}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_a_name_is_harmless_wherever_it_is_saved() {
        for (name, expected) in [
            ("../../etc/passwd", "passwd"),
            ("a/b\\c.txt", "c.txt"),
            ("exe.\u{202e}gpj", "exe.gpj"),
            (".bashrc", "bashrc"),
            ("a:b?.csv", "a_b_.csv"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("COM10.log", "COM10.log"),
            ("console.log", "console.log"),
            ("auxiliary.md", "auxiliary.md"),
            ("...", ""),
            ("日本語.txt", "日本語.txt"),
        ] {
            assert_eq!(cleaned(name), expected, "{name}");
        }
    }
}
