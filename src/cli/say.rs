//! Words to the person at the terminal: results on standard output, complaints on standard error.

use std::io::{self, Write as _};

/// Writes a line to standard output; nobody reading it (`workmate check | head`) is no fault.
pub fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
