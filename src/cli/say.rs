//! Words to the person at the terminal: results on standard output, complaints on standard error. Where that is a terminal,
//! lines fit 80 columns; what another program reads stays a line each.

use std::io::{self, IsTerminal, Write as _};

use super::wrap::{COLUMNS, wrapped};

/// Writes a text to standard output; nobody reading it (`workmate check | head`) is no fault.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{}", fitting(&text.to_string()));
}

/// Writes a text to standard error.
pub fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let text = if out.is_terminal() { wrapped(text, COLUMNS) } else { text.to_owned() };
    let _ = writeln!(out, "{text}");
}

/// Returns a text as it fits standard output.
pub(super) fn fitting(text: &str) -> String {
    if io::stdout().is_terminal() { wrapped(text, COLUMNS) } else { text.to_owned() }
}
