//! The names that a coworker answers to, and where they end in a text.

use ruma::UserId;

use super::own_words::{OwnWords, after_quote, bounded, linked_user};

/// A coworker that is joined in the room, and what people call it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoworkerHere<'a> {
    /// Its full user id.
    pub user: &'a UserId,
    /// Its id in config, e.g. `oncall`.
    pub id: &'a str,
    /// Its name in config.
    pub name: &'a str,
    /// Its display name in this room, where known.
    pub display_name: Option<&'a str>,
}

impl<'a> CoworkerHere<'a> {
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let user = self.user;
        [self.name, self.display_name.unwrap_or_default(), user.localpart(), self.id, user.as_str()]
            .into_iter()
            .map(str::trim)
            .filter(|name| !name.is_empty())
    }

    /// Returns how many bytes at the start of `text` are one of its names, an `@` before it included: the
    /// longest that ends a word. Letters' case does not matter.
    pub(crate) fn name_at_start(&self, text: &str) -> Option<usize> {
        let bare = text.strip_prefix('@').map(|rest| (rest, 1));
        [Some((text, 0)), bare]
            .into_iter()
            .flatten()
            .flat_map(|(text, skipped)| self.names().filter_map(move |name| Some(skipped + word_at_start(text, name)?)))
            .filter(|length| !is_part_of_user_id(text, *length))
            .max()
    }
}

/// Returns the request in `body` without what addresses `coworker` at its beginning.
///
/// Taken off, where they stand there: quoted lines (a reply fallback), a name with or without `@`, a Markdown
/// link to its id, the label of a pill in `html`, and the `:` or `,` behind it.
#[must_use]
pub fn strip_address<'b>(body: &'b str, html: Option<&str>, coworker: &CoworkerHere<'_>) -> &'b str {
    let text = after_quote(body);
    let named = coworker.name_at_start(text);
    let linked = markdown_link_at_start(text, coworker.user);
    let pill = html.and_then(|html| pill_at_start(text, html, coworker.user));
    let Some(end) = named.max(linked).max(pill) else { return text.trim_end() };
    let rest = text[end..].trim_start();
    rest.strip_prefix([':', ',', '：', '，']).unwrap_or(rest).trim()
}

/// Whether the name is only the beginning of a user id, such as one with the same localpart elsewhere.
fn is_part_of_user_id(text: &str, name_bytes: usize) -> bool {
    let server = text[name_bytes..].strip_prefix(':').and_then(|rest| rest.chars().next());
    text.starts_with('@') && server.is_some_and(|c| !c.is_whitespace())
}

/// Returns the length of `name` at the start of `text`, if a word ends there.
fn word_at_start(text: &str, name: &str) -> Option<usize> {
    let length = prefix_ignoring_case(text, name)?;
    let next = text[length..].chars().next();
    next.is_none_or(|c| c.is_whitespace() || matches!(c, ':' | ',' | '：' | '，')).then_some(length)
}

fn prefix_ignoring_case(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars().flat_map(char::to_lowercase).peekable();
    for (at, c) in text.char_indices() {
        if wanted.peek().is_none() {
            return Some(at);
        }
        for lower in c.to_lowercase() {
            if wanted.next() != Some(lower) {
                return None;
            }
        }
    }
    wanted.peek().is_none().then_some(text.len())
}

/// `[label](https://matrix.to/#/@id)`, as clients write it that put Markdown into the body.
fn markdown_link_at_start(text: &str, user: &UserId) -> Option<usize> {
    let text = bounded(text);
    let middle = text.starts_with('[').then(|| text.find("]("))??;
    let href_start = middle + 2;
    let href_end = href_start + text[href_start..].find(')')?;
    let href = text[href_start..href_end].trim_matches(['<', '>']);
    (linked_user(href)? == user).then_some(href_end + 1)
}

/// The label of the pill that the HTML begins with, where the body begins with it too.
fn pill_at_start(text: &str, html: &str, user: &UserId) -> Option<usize> {
    let words = OwnWords::of_html(html);
    let (href, label) = words.leading_link()?;
    let label = label.trim();
    if label.is_empty() || linked_user(href)? != user {
        return None;
    }
    prefix_ignoring_case(text, label)
}
