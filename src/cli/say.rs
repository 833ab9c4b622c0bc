//! Output for the terminal: results on standard output, errors on standard error. On a terminal, lines are wrapped at
//! 80 columns; for other programs they stay whole.

use std::io::{self, IsTerminal, Write as _};

use super::wrap::{COLUMNS, wrapped};

/// Writes a text to standard output; a closed pipe (`workmate check | head`) is not an error.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{}", fitting(&text.to_string()));
}

/// Writes a text to standard error.
pub fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let text = if out.is_terminal() { wrapped(text, COLUMNS) } else { text.to_owned() };
    let _ = writeln!(out, "{text}");
}

/// Returns a text wrapped for standard output.
pub(super) fn fitting(text: &str) -> String {
    if io::stdout().is_terminal() { wrapped(text, COLUMNS) } else { text.to_owned() }
}
