//! Output for the terminal: results on standard output, errors on standard error. On a terminal, lines are wrapped at
//! its columns, or at `COLUMNS` where the environment sets it; for other programs they stay whole without it.

use std::io::{self, IsTerminal, Write as _};

use super::{
    width,
    wrap::{COLUMNS, wrapped},
};

/// The narrowest terminal for which lines are made.
const COLUMNS_MIN: usize = 40;

/// Writes a text to standard output; a closed pipe (`workmate check | head`) is not an error.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{}", fitting(&text.to_string()));
}

/// Writes a help text to standard output: wrapped for other programs, too, because it is for people alone.
pub(super) fn help(text: &str) {
    let columns = columns_out().unwrap_or(COLUMNS);
    let _ = writeln!(io::stdout().lock(), "{}", wrapped(text.trim_end(), columns));
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

/// Returns how many columns standard output has; `None` if it has no end.
pub(super) fn columns_out() -> Option<usize> {
    columns_of(io::stdout().is_terminal())
}

fn fitted(text: &str, is_terminal: bool) -> String {
    columns_of(is_terminal).map_or_else(|| text.to_owned(), |columns| wrapped(text, columns))
}

fn columns_of(is_terminal: bool) -> Option<usize> {
    let told = std::env::var("COLUMNS").ok();
    columns(told.as_deref(), || is_terminal.then(|| width::of_terminal().unwrap_or(COLUMNS)))
}

/// Returns where to wrap. A width that is no number, or too small for words, counts as absent.
fn columns(told: Option<&str>, of_terminal: impl FnOnce() -> Option<usize>) -> Option<usize> {
    let told = told.and_then(|told| told.trim().parse::<usize>().ok()).filter(|columns| *columns >= COLUMNS_MIN);
    told.or_else(of_terminal).map(|columns| columns.max(COLUMNS_MIN))
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
            (Some("20"), Some(80), None),
        ] {
            assert_eq!([columns(told, || Some(80)), columns(told, || None)], [on_terminal, elsewhere], "{told:?}");
        }
        assert_eq!(columns(None, || Some(30)), Some(COLUMNS_MIN), "narrower ones break lines by themselves");
    }
}
