//! What is wrong with a line that is no YAML, or not the YAML that was meant.

use crate::config::fault::{Trouble, shown};

/// Letters with which YAML lets no unquoted value begin.
const RESERVED: [char; 5] = ['@', '`', '%', '*', '!'];

/// Returns the mend for a line that cannot be read, if its slip is a well-known one.
pub(super) fn mend_of(line: &str) -> Option<String> {
    let indent: String = line.chars().take_while(|char| char.is_whitespace()).collect();
    if indent.contains('\t') {
        return Some("indent with blanks: this line begins with a tab, which YAML does not allow.".to_owned());
    }
    if let Some(value) = reserved(line) {
        let first: String = value.chars().take(1).collect();
        return Some(format!("put the value in quotes, because it begins with `{first}`: \"{value}\"."));
    }
    let (key, value) = parts(line);
    if value.starts_with(['"', '\'']) {
        return None;
    }
    if is_without_blank(line) {
        return Some("write a blank behind the colon.".to_owned());
    }
    if key.is_some() && !line.contains('{') && (value.contains(": ") || value.ends_with(':')) {
        return Some(
            "put the value in quotes, because it holds a colon and a blank; or begin a line of its own.".to_owned(),
        );
    }
    None
}

/// Returns the first unquoted value of a line that begins with a reserved letter.
fn reserved(line: &str) -> Option<&str> {
    let (mut may_begin, mut quote, mut before) = (true, None, ' ');
    for (at, letter) in line.char_indices() {
        let is_comment = letter == '#' && before.is_whitespace();
        if quote.is_none() && is_comment {
            return None;
        }
        if may_begin && quote.is_none() && (RESERVED.contains(&letter) || letter == '#') {
            let value = &line[at..];
            return value.split([',', ']', '}', ' ']).next();
        }
        match letter {
            '"' | '\'' if quote == Some(letter) => quote = None,
            '"' | '\'' if quote.is_none() && may_begin => quote = Some(letter),
            _ => {}
        }
        may_begin = match letter {
            '[' | '{' | ',' => true,
            ' ' => may_begin || matches!(before, ':' | '-'),
            _ => false,
        };
        before = letter;
    }
    None
}

/// Returns the trouble with a value that is a comment to YAML, but looks like a room's alias.
pub(super) fn commented_out(line: &str) -> Option<Trouble> {
    let value = parts(line).1.trim_end();
    let is_alias = value
        .strip_prefix('#')
        .and_then(|alias| alias.split_once(':'))
        .is_some_and(|(name, server)| !name.is_empty() && !server.is_empty() && !value.contains(char::is_whitespace));
    is_alias.then(|| {
        Trouble::new(
            format!("{} is a comment, because `#` begins one", shown(value)),
            "YAML reads no value here.",
            format!("put it in quotes: \"{value}\"."),
        )
    })
}

/// Returns a line's key, and what stands behind it, or behind the dash or bracket of a list.
fn parts(line: &str) -> (Option<&str>, &str) {
    let line = line.trim_start();
    let item = line.strip_prefix("- ").map_or(line, str::trim_start);
    let (key, value) = match item.split_once(": ") {
        Some((key, value)) if is_key(key) => (Some(key), value.trim_start()),
        _ => (None, item),
    };
    (key, value.trim_start_matches(['[', '{', ' ']))
}

/// Returns whether a line is a key with its value directly behind the colon, as in `url:http://x`.
fn is_without_blank(line: &str) -> bool {
    let item = line.trim_start().trim_start_matches("- ");
    item.split_once(':')
        .is_some_and(|(key, value)| is_key(key) && value.starts_with(|char: char| !char.is_whitespace()))
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-.\"'".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op4_a_well_known_slip_in_a_line_has_a_mend_of_its_own() {
        for (line, mend) in [
            ("\turl: x", Some("begins with a tab")),
            ("  \tx: y", Some("begins with a tab")),
            ("admins: [@alice:example.org]", Some("begins with `@`: \"@alice:example.org\"")),
            ("  - @alice:example.org", Some("in quotes")),
            ("hosts: [*.example.org]", Some("\"*.example.org\"")),
            ("rooms: [#team:example.org]", Some("\"#team:example.org\"")),
            ("workspace: {admins: [x, @alice:example.org]}", Some("\"@alice:example.org\"")),
            ("  - \"@alice:example.org\"", None),
            ("x: [\"a, @b\"]", None),
            ("x: y # @alice", None),
            ("space: !abc:example.org", Some("\"!abc:example.org\"")),
            ("url:http://127.0.0.1:8008", Some("a blank behind the colon")),
            ("purpose: Builds: red or green", Some("holds a colon and a blank")),
            ("purpose: \"Builds", None),
            ("name x", None),
            ("tools:", None),
            ("  - {name: x, class: read}", None),
            ("instructions: |", None),
        ] {
            let found = mend_of(line);
            let is_right = match mend {
                Some(mend) => found.as_ref().is_some_and(|found| found.contains(mend)),
                None => found.is_none(),
            };
            assert!(is_right, "{line}: {found:?}");
        }
    }

    #[test]
    fn op4_an_alias_that_is_a_comment_to_yaml_is_found_and_other_comments_are_not() {
        for (line, is_one) in [
            ("space: #team:example.org", true),
            ("  - #team:example.org", true),
            ("rooms: [#a:example.org, x]", false),
            ("tools: # none: yet", false),
            ("tools: #none", false),
            ("tools:", false),
            ("# space: #team:example.org", false),
        ] {
            assert_eq!(commented_out(line).is_some(), is_one, "{line}");
        }
    }
}
