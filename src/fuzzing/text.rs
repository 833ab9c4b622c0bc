//! Text from people and from the model: plain and HTML bodies, Markdown, links.

use ruma::{UserId, user_id};

use super::{shape, size};
use crate::core::{
    address::{CoworkerHere, OwnWords, strip_address},
    event::Message,
    id, links, render,
};

pub(super) const BODY_WORDS: &[&str] = &[
    "<b>",
    "</b>",
    "<blockquote>",
    "</blockquote>",
    "<mx-reply>",
    "<pre><code>",
    "</code>",
    "<a href=\"",
    "\">",
    "https://matrix.to/#/@oncall:hs",
    "javascript:",
    "<script>",
    "<img src=x onerror=y>",
    "&lt;",
    "&#x202e;",
    "&#0;",
    "<!--",
    "-->",
    "<table>",
    "<details>",
    "![a](mxc://hs/a)",
    "[a](b)",
    "```",
    "~~~",
    "> ",
    "# ",
    "- ",
    "1. ",
    "| a |",
    "|---|",
    "@oncall",
    "@room",
    "**",
    "__",
    "`",
    "\\",
    "\n\n",
    "\u{202e}",
    "\u{200b}",
    "語",
    "<div data-mx-spoiler>",
    "~~",
];
pub(super) const LINK_WORDS: &[&str] = &[
    "https://matrix.to/#/",
    "matrix:",
    "matrix:r/",
    "matrix:roomid/",
    "matrix:u/",
    "/e/",
    "%23",
    "%3A",
    "%00",
    "%ff",
    "?via=",
    "&via=",
    "#a:hs",
    "!a:hs",
    "$a",
    "@a:hs",
    ":",
    "[::1]",
    "?action=join",
    "(",
    ")",
    "<",
    ">",
    "\u{3000}",
];
/// Tags that our own messages may contain.
const TAGS: [&str; 38] = [
    "a",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "del",
    "details",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
];

fn oncall(user: &UserId) -> CoworkerHere<'_> {
    CoworkerHere { user, id: "oncall", name: "oncall", display_name: Some("oncall · coworker") }
}

/// Checks that quotes of a person are found in what they wrote, and that Markdown becomes inert HTML within its limit.
pub(super) fn body(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let (first, second) = halves(&text);
    let of_html = OwnWords::of_html(&text);
    for link in &of_html.links {
        assert!(of_html.text.get(link.label.clone()).is_some(), "a link's label is none of the text");
    }
    let of_body = OwnWords::of_body(&text);
    assert!(of_body.text.len() <= text.len() + 1, "words that nobody wrote");
    let user = user_id!("@coworker-oncall:hs");
    let bare = strip_address(first, Some(second), &oncall(user));
    assert!(first.contains(bare), "words that nobody wrote");

    let rendered = render::render(&text);
    if let Some(html) = &rendered.html {
        nothing_runs(html);
    }
    let fitted = render::fit(&text, render::EDIT_BYTES_MAX);
    assert!(render::json_bytes(&fitted.message) <= render::EDIT_BYTES_MAX, "too large");
    let small = render::fit(&text, 2_000);
    assert!(render::json_bytes(&small.message) <= 2_000, "too large for a small limit");
    if let Some(html) = &small.message.html {
        nothing_runs(html);
    }
    let tags = rendered.html.as_deref().map(|html| html.matches('<').count()).unwrap_or_default();
    shape(&(
        size(of_html.text.len()),
        of_html.links.len(),
        size(of_body.text.len()),
        size(tags),
        small.overflow.is_some(),
    ))
}

fn nothing_runs(html: &str) {
    for behind in html.split('<').skip(1) {
        let name: String =
            behind.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
        assert!(TAGS.contains(&name.as_str()), "a tag <{name}> in {html:?}");
        let tag = behind.split('>').next().unwrap_or_default();
        if let Some(target) = tag.strip_prefix("a href=\"") {
            let scheme = target.split([':', '"']).next().unwrap_or_default();
            let known = ["https", "http", "ftp", "mailto", "magnet", "matrix"];
            assert!(known.contains(&scheme), "a link to {scheme} in {html:?}");
        }
    }
}

/// Checks that a link resolves to well-formed ids or to nothing.
pub(super) fn links(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let found = links::targets(&text);
    assert!(found.len() <= links::LINKS_MAX, "too many links");
    let single = links::target(text.trim());
    for target in found.iter().chain(&single) {
        assert!(id::is_room_or_alias(&target.room), "an id that does not fit");
        assert!(target.event.as_deref().is_none_or(id::is_event), "an id that does not fit");
    }
    let (first, second) = halves(&text);
    let message = Message { html: Some(second.to_owned()), ..Message::text(first) };
    let (pasted, alone) = links::pasted(&message);
    let forms = found.iter().map(|target| (target.event.is_some(), target.via.len())).collect::<Vec<_>>();
    shape(&(forms, single.is_some(), pasted.len(), alone))
}

fn halves(text: &str) -> (&str, &str) {
    text.split_once('\0').unwrap_or((text, text))
}
