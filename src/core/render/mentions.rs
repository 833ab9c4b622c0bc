//! Texts that clients could take for a mention: ids, `@room`, links to people.

use pulldown_cmark::Event;
use url::Url;

use crate::core::links::percent_decoded;

/// Stands between `@` and `room` in the body where the words themselves call a room, for clients whose push rules are
/// older than `m.mentions`. Everything else is for copying and stays as it is: `m.mentions` is always set, and where it
/// is, no server and no client looks for `@room` in the body ("m.rule.roomnotif", spec 1.7).
pub(super) const WORD_JOINER: char = '\u{2060}';

/// Returns whether clients may show a link as a mention of a person: matrix.to, `matrix:u/…`, and permalinks of web
/// clients, which name the person in their fragment. Clients decode a link before they check it.
pub(super) fn is_user_link(url: &Url) -> bool {
    let whole = percent_decoded(url.as_str());
    if url.scheme() == "matrix" {
        // The authority is optional ("matrix: URI scheme", spec 1.18).
        let path = percent_decoded(url.path());
        let path = path.trim_start_matches('/');
        return path.starts_with("u/") || path.starts_with("user/");
    }
    let fragment = whole.split_once('#').map(|(_, fragment)| fragment).unwrap_or_default();
    fragment.starts_with('@') || fragment.contains("/@")
}

/// Writes a text with possible mentions as code, in which clients do not look for them. A bare `@room` gets a
/// [`WORD_JOINER`], which only the body shows; code that was written as code has none. Web addresses stay as they are.
pub(super) fn split_mentions(text: &str, events: &mut Vec<Event<'_>>) {
    let mut written = 0;
    for (begin, end) in mentions(text) {
        if begin > written {
            events.push(Event::Text(text[written..begin].to_owned().into()));
        }
        events.push(Event::Code(joined(&text[begin..end]).into()));
        written = end;
    }
    if written < text.len() {
        events.push(Event::Text(text[written..].to_owned().into()));
    }
}

/// Returns whether `@room` stands before an address's path, so that the address reads like a call. In a path it is part
/// of an address that leads somewhere (`https://example.org/@room/12`).
pub(super) fn calls_in_its_host(address: &str) -> bool {
    // What has no host, such as a mail address, has no path either.
    let path = address.find("://").map(|scheme| scheme + 3).and_then(|host| {
        let path = address[host..].find(['/', '?', '#'])?;
        Some(host + path)
    });
    let path = path.unwrap_or(address.len());
    address.match_indices('@').any(|(at, _)| at <= path && is_room_mention(address, at))
}

/// Returns whether the `@` of a text is in a web address.
pub(super) fn is_in_address(text: &str, at: usize) -> bool {
    text[..at].rsplit(char::is_whitespace).next().is_some_and(|word| word.contains("://"))
}

/// Returns a text with a joiner in each `@room` that is part of nothing else.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len() + WORD_JOINER.len_utf8());
    for (at, letter) in text.char_indices() {
        joined.push(letter);
        if letter == '@' && calls(text, at) {
            joined.push(WORD_JOINER);
        }
    }
    joined
}

/// Returns whether a code is a joined `@room`, and the same without the joiner.
pub(super) fn unjoined(code: &str) -> Option<String> {
    let room = code.strip_prefix('@')?.strip_prefix(WORD_JOINER)?;
    room.eq_ignore_ascii_case("room").then(|| format!("@{room}"))
}

fn mentions(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let whole = word.trim_end();
        let begin = at + (whole.len() - whole.trim_start_matches(['(', '<', '[', '"', '\'']).len());
        let end = at + whole.trim_end_matches(['.', ',', ';', '!', '?', ')', '>', ']', '"', '\'']).len();
        let token = text.get(begin..end).unwrap_or_default();
        let is_address = token.contains("://");
        let url = if is_address || token.starts_with("matrix:") { Url::parse(token).ok() } else { None };
        match url {
            Some(url) if is_user_link(&url) => found.push((begin, end)),
            Some(_) if is_address => {
                if calls_in_its_host(token) {
                    found.push((begin, end));
                }
            }
            _ => ids(whole, at, &mut found),
        }
        at += word.len();
    }
    found
}

/// Returns whether `@room` stands at the `@` as a separate word, which is how push rules find it in a body (spec,
/// "event_match": a pattern for `content.body` ends at word boundaries).
pub(super) fn is_room_mention(text: &str, at: usize) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let behind = text.get(at + 1..).unwrap_or_default();
    let names = behind.get(..4).is_some_and(|room| room.eq_ignore_ascii_case("room"));
    names && !text[..at].ends_with(is_word) && !behind[4..].starts_with(is_word)
}

/// Returns the range of what people would copy together with `@room`: a package (`@room/core`), a path, a host name.
fn token_around(word: &str, begin: usize, end: usize) -> (usize, usize) {
    let is_of_token = |letter: char| letter.is_ascii_alphanumeric() || "._/:@#?=&%+-~".contains(letter);
    let before = word[..begin].trim_end_matches(is_of_token).len();
    let behind = word[end..].trim_start_matches(is_of_token);
    let end = word[..word.len() - behind.len()].trim_end_matches(['.', ':', '?', '-']).len().max(end);
    (before, end)
}

/// Returns whether an `@room` that is part of nothing else begins at this `@`.
fn calls(word: &str, at: usize) -> bool {
    is_room_mention(word, at) && token_around(word, at, at + 5) == (at, at + 5)
}

/// Returns whether a word contains an `@room` that is part of nothing else.
#[cfg(test)]
pub(super) fn calls_room(word: &str) -> bool {
    word.match_indices('@').any(|(at, _)| calls(word, at))
}

/// Finds `@room` and user ids in a word that begins at `offset`.
fn ids(word: &str, offset: usize, found: &mut Vec<(usize, usize)>) {
    let mut done = 0;
    for (at, _) in word.match_indices('@') {
        if at < done {
            continue;
        }
        let rest = &word[at + 1..];
        let after_letter = word[..at].ends_with(|letter: char| letter.is_ascii_alphanumeric());
        // For clients, the text after code is separate.
        if is_room_mention(&word[done..], at - done) {
            let (begin, end) = token_around(word, at, at + 5);
            found.push((offset + begin.max(done), offset + end));
            done = end;
            continue;
        }
        let len = if after_letter { 0 } else { user_id_len(rest) };
        if len > 0 {
            done = at + 1 + len;
            found.push((offset + at, offset + done));
        }
    }
}

/// Returns the length of `localpart:server` at the start of `rest`; 0 if there is none.
fn user_id_len(rest: &str) -> usize {
    let Some(colon) = rest.find(|letter: char| letter == ':' || letter == '@' || !letter.is_ascii_graphic()) else {
        return 0;
    };
    if colon == 0 || !rest[colon..].starts_with(':') {
        return 0;
    }
    let server = &rest[colon + 1..];
    let end = server
        .find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '.' | '-' | ':' | '[' | ']'))
        .unwrap_or(server.len());
    let server = server[..end].trim_end_matches(['.', '-', ':', ']', '[']);
    if server.is_empty() { 0 } else { colon + 1 + server.len() }
}
