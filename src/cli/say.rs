//! Output for the terminal: results on standard output, errors on standard error. On a terminal, lines are wrapped at
//! 80 columns, or at `COLUMNS` where the environment sets it; for other programs they stay whole without it.

use std::io::{self, IsTerminal, Write as _};

use super::wrap::{COLUMNS, wrapped};

/// Writes a text to standard output; a closed pipe (`workmate check | head`) is not an error.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{}", fitting(&text.to_string()));
}

/// Writes a text to standard error.
pub fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{}", fitted(text, out.is_terminal()));
}

/// Returns a text wrapped for standard output.
pub(super) fn fitting(text: &str) -> String {
    fitted(text, io::stdout().is_terminal())
}

fn fitted(text: &str, is_terminal: bool) -> String {
    let told = std::env::var("COLUMNS").ok();
    columns(told.as_deref(), is_terminal).map_or_else(|| text.to_owned(), |columns| wrapped(text, columns))
}

/// Returns where to wrap. A width that is no number, or too small for words, counts as absent.
fn columns(told: Option<&str>, is_terminal: bool) -> Option<usize> {
    let told = told.and_then(|told| told.trim().parse::<usize>().ok()).filter(|columns| *columns >= COLUMNS / 2);
    told.or_else(|| is_terminal.then_some(COLUMNS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op12_lines_fit_the_width_that_the_environment_sets_and_else_the_terminal_s() {
        for (told, on_terminal, elsewhere) in [
            (None, Some(80), None),
            (Some("80"), Some(80), Some(80)),
            (Some(" 120 "), Some(120), Some(120)),
            (Some("0"), Some(80), None),
            (Some("wide"), Some(80), None),
        ] {
            assert_eq!([columns(told, true), columns(told, false)], [on_terminal, elsewhere], "{told:?}");
        }
    }
}
