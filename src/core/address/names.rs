//! The names of a coworker, and where they end in a text.

use ruma::UserId;

use super::{
    asking::{self, asks_behind, ends_as_question},
    folding::{is_any, prefix_folded},
    own_words::{OwnWords, after_quote, bounded, linked_user},
    spelling::{CALLING, DASHES, VOCATIVE, behind_dash, is_vocative, name_at_start},
};
use crate::core::legible::{is_blank, is_exclamation, is_hidden};

/// Bytes searched for a name after a command; commands with an address are far shorter.
const BEHIND_BYTES_MAX: usize = 1_000;

/// Coworkers' names that are ordinary words at work, with which people begin sentences that address nobody.
const ORDINARY: [&str; 72] = [
    "access",
    "account",
    "accounts",
    "accounting",
    "admin",
    "alert",
    "alerts",
    "backup",
    "backups",
    "billing",
    "bot",
    "bug",
    "bugs",
    "build",
    "builds",
    "calendar",
    "cd",
    "ci",
    "cloud",
    "code",
    "compliance",
    "data",
    "database",
    "deploy",
    "deploys",
    "design",
    "dev",
    "devops",
    "docs",
    "email",
    "finance",
    "help",
    "helpdesk",
    "hr",
    "infra",
    "it",
    "legal",
    "log",
    "logs",
    "mail",
    "marketing",
    "metrics",
    "monitor",
    "monitoring",
    "network",
    "news",
    "office",
    "onboarding",
    "ops",
    "orders",
    "payments",
    "payroll",
    "platform",
    "product",
    "qa",
    "release",
    "releases",
    "report",
    "reports",
    "research",
    "review",
    "reviews",
    "sales",
    "search",
    "security",
    "staging",
    "status",
    "support",
    "test",
    "tests",
    "tickets",
    "travel",
];

/// A coworker in the room, with its names there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoworkerHere<'a> {
    /// Its full user id.
    pub user: &'a UserId,
    /// Its id in the config, e.g. `oncall`.
    pub id: &'a str,
    /// Its name in the config.
    pub name: &'a str,
    /// Its display name in this room, if known.
    pub display_name: Option<&'a str>,
}

/// A name at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Its length in bytes, including an `@`, markup and invisible marks before it.
    pub(crate) bytes: usize,
    /// Whether it can only be an address: with an `@`, as the full id or display name, followed by `:`, `,` and the
    /// like, by a command or nothing, by a dash or a line break, or at the start of a question.
    pub(crate) calls: bool,
    /// Whether it may be an address: the following words do not talk about the named one, and it is not an ordinary
    /// word.
    pub(crate) may_call: bool,
}

impl<'a> CoworkerHere<'a> {
    /// Returns its names, first those that nobody uses for anything else.
    fn names(&self) -> [(&'a str, bool); 5] {
        let display = self.display_name.unwrap_or_default();
        let is_more = !display.eq_ignore_ascii_case(self.name) && !display.eq_ignore_ascii_case(self.id);
        [
            (self.user.as_str(), true),
            (self.user.localpart(), !self.user.localpart().eq_ignore_ascii_case(self.id)),
            (display, is_more),
            (self.name, false),
            (self.id, false),
        ]
        .map(|(name, own)| (name.trim(), own))
    }

    /// Returns the longest of its names that starts `text` and ends a word; case does not matter.
    pub(crate) fn name_at_start(&self, text: &str) -> Option<Named> {
        let names = self.names();
        let found = names.iter().filter(|(name, _)| !name.is_empty()).filter_map(|(name, own)| {
            let found = name_at_start(text, name)?;
            let behind = &text[found.bytes..];
            let is_ordinary = !own && is_any(name, &ORDINARY);
            let states = asking::states(behind);
            let asks = ends_as_question(text) && (!is_ordinary || asks_behind(behind));
            // `oncall - state of the disks`, or the request on the next line.
            let parted = behind_dash(behind).is_some_and(|said| !asking::states(said))
                || behind.trim_start_matches([' ', '\t', '\r']).starts_with('\n');
            let commands = command_behind(behind).is_some();
            let calls = is_vocative(text, &found) || !states && (*own || asks || commands || parted && !is_ordinary);
            Some(Named { bytes: found.bytes, calls, may_call: calls || !states && !is_ordinary && !found.decorated })
        });
        found.max()
    }

    /// Returns whether a text is a command followed only by one of its names: `!help @oncall`.
    pub(super) fn is_named_behind_command(&self, text: &str) -> bool {
        let text = after_quote(text).trim_end();
        let is_command = text.starts_with(is_exclamation) && text.len() > 1;
        let before = if is_command { strip_address_behind(text, None, self) } else { None };
        before.is_some_and(|command| !command.contains(char::is_whitespace))
    }
}

/// Returns the request in `body` without the address of `coworker` at its beginning.
///
/// Removes quoted lines (a reply fallback), a name with or without `@`, a Markdown link to its id, the label of a pill
/// in `html`, and the `:` or `,` after it.
#[must_use]
pub(crate) fn strip_address<'b>(body: &'b str, html: Option<&str>, coworker: &CoworkerHere<'_>) -> &'b str {
    let text = after_quote(body);
    let named = coworker.name_at_start(text).map(|named| named.bytes);
    let linked = markdown_link_at_start(text, coworker.user);
    let pill = html.and_then(|html| pill_at_start(text, html, coworker.user));
    let Some(end) = named.max(linked).max(pill) else { return text.trim_end() };
    let behind = &text[end..];
    let rest = behind.trim_start();
    if let Some(command) = command_behind(behind) {
        return command.trim();
    }
    let marked = behind.strip_prefix(VOCATIVE).filter(|rest| rest.starts_with(char::is_whitespace));
    let parted = || behind_dash(behind).filter(|said| !said.trim().is_empty());
    let Some(rest) = marked.or_else(|| rest.strip_prefix(CALLING)).or_else(parted) else {
        return rest.trim();
    };
    // `**oncall:** …`
    let is_emphasised = text.trim_start_matches(is_hidden).starts_with(['*', '_']);
    if is_emphasised { rest.trim_start_matches(['*', '_']).trim() } else { rest.trim() }
}

/// Signs that people put between a name and a command: `oncall - !status`, `oncall → !status`.
const BEFORE_COMMAND: [char; 20] =
    ['-', '–', '—', '―', '→', '⇒', '➜', '=', '>', '…', '.', '|', '·', '•', '/', ':', ',', ';', '：', '，'];

/// Returns the command that follows a name behind signs that stand apart from it.
fn command_behind(behind: &str) -> Option<&str> {
    let rest = behind.trim_start_matches(|letter: char| is_blank(letter) || BEFORE_COMMAND.contains(&letter));
    let signs = &behind[..behind.len() - rest.len()];
    let is_parted =
        signs.chars().any(|letter| BEFORE_COMMAND.contains(&letter)) && signs.ends_with(char::is_whitespace);
    let bare = rest.trim_start_matches(['*', '_', '`']).strip_prefix(is_exclamation)?;
    (is_parted && bare.starts_with(char::is_alphabetic)).then_some(rest)
}

/// Returns `text` without the address of `coworker` at its end, as in `!help @oncall`; `None` if there is none.
#[must_use]
pub(crate) fn strip_address_behind<'t>(
    text: &'t str,
    html: Option<&str>,
    coworker: &CoworkerHere<'_>,
) -> Option<&'t str> {
    if text.len() > BEHIND_BYTES_MAX {
        return None;
    }
    let pill = html.and_then(|html| pill_behind(text, html, coworker.user));
    let begins = |at: &usize| text[..*at].chars().next_back().is_some_and(char::is_whitespace);
    let is_address = |at: &usize| {
        let rest = &text[*at..];
        let named = coworker.name_at_start(rest).map(|named| named.bytes);
        let end = named.max(markdown_link_at_start(rest, coworker.user));
        end.is_some_and(|end| {
            rest[end..].trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation()).is_empty()
        })
    };
    let named = text.char_indices().map(|(at, _)| at).filter(begins).find(is_address);
    let at = [pill, named].into_iter().flatten().min()?;
    Some(text[..at].trim_end_matches(|c: char| c.is_whitespace() || c == ',' || DASHES.contains(&c)))
}

/// Matches `[label](https://matrix.to/#/@id)`, from clients that put Markdown into the body.
fn markdown_link_at_start(text: &str, user: &UserId) -> Option<usize> {
    let text = bounded(text);
    let middle = text.starts_with('[').then(|| text.find("]("))??;
    let href_start = middle + 2;
    let href_end = href_start + text[href_start..].find(')')?;
    let href = text[href_start..href_end].trim_matches(['<', '>']);
    (linked_user(href)? == user).then_some(href_end + 1)
}

/// Matches the label of a pill at the start of both the HTML and the body; returns its length.
fn pill_at_start(text: &str, html: &str, user: &UserId) -> Option<usize> {
    let words = OwnWords::of_html(html);
    let (href, label) = words.leading_link()?;
    let label = label.trim();
    if label.is_empty() || linked_user(href)? != user {
        return None;
    }
    prefix_folded(text, label)
}

/// Returns where in the body the label of the HTML's last pill begins.
fn pill_behind(text: &str, html: &str, user: &UserId) -> Option<usize> {
    let words = OwnWords::of_html(html);
    let link = words.links.last()?;
    let label = words.text.get(link.label.clone())?.trim();
    let is_last = words.text.get(link.label.end..)?.trim().is_empty();
    if label.is_empty() || !is_last || linked_user(&link.href)? != user {
        return None;
    }
    text.trim_end().strip_suffix(label).map(str::len).filter(|at| *at > 0)
}
