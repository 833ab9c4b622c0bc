//! Wraps lines for a terminal: between words, with continuation lines indented.

use super::width::width;

/// Columns of a terminal.
pub(crate) const COLUMNS: usize = 80;
/// The largest indent of a continuation line.
const HANG_MAX: usize = 36;
/// The divisor of the width for the largest indent of a continuation line.
const HANG_SHARE: usize = 3;
/// Beginnings of lines that people copy into a shell, which are not wrapped.
const COMMANDS: [&str; 5] = ["workmate ", "sudo ", "export ", "curl ", "systemctl "];

/// What is in a line that sets something in a TOML file.
const SETTING: &str = " = \"";

/// Wraps a text's lines at `columns`. A longer word, such as an id, a path or a URL, stays whole on its own line.
#[must_use]
pub(crate) fn wrapped(text: &str, columns: usize) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        wrap(line, columns, &mut lines);
    }
    lines.join("\n")
}

fn wrap(line: &str, columns: usize, lines: &mut Vec<String>) {
    // A setting of another program's file, which people copy, stays whole.
    if width(line) <= columns || line.contains(SETTING) {
        lines.push(line.to_owned());
        return;
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let is_command = COMMANDS.iter().any(|command| line[indent..].starts_with(command));
    // Under a far column, a terminal narrower than usual would have no room left.
    let most = if columns < COLUMNS { (columns / HANG_SHARE).max(indent + 4) } else { HANG_MAX };
    let (hang, more) = (hang(line, indent).min(most), if is_command { " \\" } else { "" });
    let mut now = String::new();
    // Several spaces in a row separate table columns, and are kept.
    for word in words(line) {
        let is_first = now.trim().is_empty();
        if !is_first && width(&now) + width(word.trim_end()) + more.len() > columns {
            lines.push(format!("{}{more}", now.trim_end()));
            now = " ".repeat(hang);
        }
        now.push_str(word);
    }
    lines.push(now.trim_end().to_owned());
}

/// Returns a line's words, each with the spaces after it; the first also has those before it.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut begin, mut in_blanks) = (0, true);
    for (at, char) in line.char_indices() {
        if char == ' ' {
            in_blanks = true;
        } else if std::mem::take(&mut in_blanks) && !line[begin..at].trim().is_empty() {
            words.push(&line[begin..at]);
            begin = at;
        }
    }
    words.push(&line[begin..]);
    words
}

/// Returns the indent of continuation lines: under the text of a table's last column, after a bullet, or a little to
/// the right.
fn hang(line: &str, indent: usize) -> usize {
    let mut after_columns =
        line.char_indices().filter(|(at, _)| *at > indent && *at <= HANG_MAX).filter(|(at, char)| {
            *char != ' ' && line.is_char_boundary(at.saturating_sub(2)) && line[..*at].ends_with("  ")
        });
    let column = after_columns.next_back().map(|(at, _)| width(&line[..at]));
    let marker = line[indent..].split_once(' ').map_or("", |(first, _)| first);
    let is_bullet = marker == "-" || (marker.ends_with('.') && marker.trim_end_matches('.').parse::<u8>().is_ok());
    column.unwrap_or(indent + if is_bullet { marker.len() + 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op12_a_line_is_broken_between_words_under_what_began_and_long_words_stay_whole() {
        let url = format!("https://{}.example.org/", "x".repeat(90));
        for (line, columns, expected) in [
            ("short", 10, "short".to_owned()),
            ("one two three four", 10, "one two\n  three\n  four".to_owned()),
            ("  Mend: do this and that", 14, "  Mend: do\n    this and\n    that".to_owned()),
            ("  ok     data      it can be written", 28, "  ok     data      it can be\n         written".to_owned()),
            (
                "  ok     data      it can be written and so on, all in one",
                57,
                "  ok     data      it can be written and so on, all in\n                   one".to_owned(),
            ),
            ("  1. give it the file", 12, "  1. give it\n     the\n     file".to_owned()),
            (
                "  workmate serve --config /etc/a.yaml",
                24,
                "  workmate serve \\\n    --config \\\n    /etc/a.yaml".to_owned(),
            ),
            ("  dir = \"/var/lib/it\"", 12, "  dir = \"/var/lib/it\"".to_owned()),
            (&format!("see {url} for more"), 20, format!("see\n  {url}\n  for more")),
            ("é".repeat(12).as_str(), 5, "é".repeat(12)),
            ("a\n\nb c d", 3, "a\n\nb c\n  d".to_owned()),
        ] {
            assert_eq!(wrapped(line, columns), expected, "{line}");
        }
    }

    #[test]
    fn op12_nothing_is_lost_and_no_line_is_too_long_that_could_be_broken() {
        let text = "warning: config/workmate.yaml:14 appservice.url: 127.0.0.1 is this machine alone\n  The homeserver on another \
                    machine, or in a container, would not find it there.\n  Mend: name an address that the homeserver reaches.";
        for columns in 20..100 {
            let wrapped = wrapped(text, columns);
            assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
            let fits = |line: &str| width(line) <= columns || line.split_whitespace().count() == 1;
            assert!(wrapped.lines().all(fits), "{columns}: {wrapped}");
        }
    }
}
