//! People's names, and links that clients show as pills. Such a link notifies nobody.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};

use super::legible::legible;

/// The length at which a name is cut, in characters.
const NAME_CHARS_MAX: usize = 60;

/// Words of a name that needs no quotes.
const PLAIN_WORDS_MAX: usize = 2;
/// Marks that could end a quote.
const QUOTES: [char; 8] = ['"', '“', '”', '„', '‟', '«', '»', '＂'];

/// Known names of people in one room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<OwnedUserId, String>);

impl FromIterator<(OwnedUserId, String)> for Names {
    fn from_iter<T: IntoIterator<Item = (OwnedUserId, String)>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Names {
    /// Returns a link to a user under their name, or under their id if the name is unknown; Markdown for
    /// [`own`](super::render::own).
    #[must_use]
    pub fn of(&self, user: &UserId) -> String {
        pill(user, self.0.get(user).map_or("", String::as_str))
    }

    /// As [`Self::of`], for a text by which people decide: a name that could be read as a part of it is in quotes.
    #[must_use]
    pub fn set_apart(&self, user: &UserId) -> String {
        let name = plain_name(self.0.get(user).map_or("", String::as_str));
        if is_only_a_name(&name) {
            return pill(user, &name);
        }
        format!("“{}”", pill(user, &name.replace(QUOTES, "'")))
    }
}

/// Returns a link to a user under this name; Markdown for [`own`](super::render::own).
#[must_use]
pub(crate) fn pill(user: &UserId, name: &str) -> String {
    let name = plain_name(name);
    let shown = if name.is_empty() { user.as_str() } else { &name };
    format!("[{}](<{}>)", letter_by_letter(shown), user.matrix_to_uri())
}

/// Returns a name on one line, shortened and without invisible characters.
#[must_use]
pub(crate) fn plain_name(name: &str) -> String {
    legible(&name.replace(['\n', '\t'], " ")).trim().chars().take(NAME_CHARS_MAX).collect()
}

/// Returns whether a name is too short and too plain to read as a sentence.
fn is_only_a_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || [' ', '-', '.', '_', '\'', '’'].contains(&letter);
    name.split_whitespace().count() <= PLAIN_WORDS_MAX && name.chars().all(is_plain)
}

/// Returns Markdown that shows a name literally, on one line and shortened ([`plain_name`]).
#[must_use]
pub(crate) fn literal_name(name: &str) -> String {
    letter_by_letter(&plain_name(name))
}

/// Returns Markdown that shows a text literally.
#[must_use]
pub(crate) fn letter_by_letter(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if letter.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, user_id};

    use super::*;
    use crate::core::render::{own, render};

    #[test]
    fn c12_people_are_named_by_a_pill_that_pings_nobody_whatever_they_call_themselves() {
        let table = [
            ("Alice", "Alice", "<a href=\"https://matrix.to/#/@alice:hs\">Alice</a>"),
            ("", "`@alice:hs`", "<a href=\"https://matrix.to/#/@alice:hs\"><code>@alice:hs</code></a>"),
            (
                "**A** ](x) <b> `c`\n\u{202e}",
                "**A** ](x) <b> `c` \\u202e",
                "<a href=\"https://matrix.to/#/@alice:hs\">**A** ](x) &lt;b&gt; `c` \\u202e</a>",
            ),
            ("@room", "`@\u{2060}room`", "<a href=\"https://matrix.to/#/@alice:hs\"><code>@room</code></a>"),
        ];
        for (name, body, html) in table {
            let names: Names = [(owned_user_id!("@alice:hs"), name.to_owned())].into_iter().collect();
            let shown = own(&names.of(user_id!("@alice:hs")));
            assert_eq!((shown.body.as_str(), shown.html.as_deref()), (body, Some(html)), "{name}");
        }
        let models = render(&pill(user_id!("@alice:hs"), "Alice"));
        assert_eq!((models.body.as_str(), models.html), ("Alice", None), "only words of ours link to people");
        assert!(pill(user_id!("@alice:hs"), &"a".repeat(99)).len() < 110);
    }

    #[test]
    fn c12_a_name_that_could_be_a_sentence_is_in_quotes() {
        let table = [
            ("Alice", "Alice"),
            ("Anne-Marie O'Neil", "Anne-Marie O'Neil"),
            ("", "`@alice:hs`"),
            ("x decides, or not: approved ✅  really", "“x decides, or not: approved ✅  really”"),
            ("x” decides: react “✅", "“x' decides: react '✅”"),
            ("`code` **b** <b>", "“`code` **b** <b>”"),
        ];
        for (name, body) in table {
            let names: Names = [(owned_user_id!("@alice:hs"), name.to_owned())].into_iter().collect();
            assert_eq!(own(&names.set_apart(user_id!("@alice:hs"))).body, body, "{name}");
        }
    }
}
