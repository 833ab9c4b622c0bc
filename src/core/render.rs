//! From the model's Markdown to what a Matrix client shows: a plain body, and sanitised HTML where it says more.
//!
//! Three walls: the Markdown is cleaned ([`clean`]: raw HTML becomes text, images links, odd schemes text, mentions
//! code); only a fixed set of tags is written ([`html`]); and ruma's sanitiser goes over the result.
//! Nothing here pings anybody: `m.mentions` is decided elsewhere.

mod clean;
mod fit;
mod folds;
mod html;
mod inline;
mod kept;
mod letters;
mod mentions;
mod names;
mod plain;
mod shield;
mod so_far;
mod source;
mod tasks;
#[cfg(test)]
mod tests;

use pulldown_cmark::Event;
use ruma::html::{Html, ListBehavior, PropertiesNames, SanitizerConfig};

use super::{address::decoded, legible::is_hidden};

pub(super) use self::mentions::percent_decoded;
pub use self::{
    fit::{EDIT_BYTES_MAX, Fitted, MESSAGE_BYTES_MAX, SUMMARY_BYTES_MAX, fit, fit_so_far, json_bytes},
    so_far::so_far,
};

/// A message's text in both of its forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// What clients without HTML show.
    pub body: String,
    /// Sanitised Matrix HTML; `None` where it would say no more than the body.
    pub html: Option<String>,
}

/// Renders Markdown.
#[must_use]
pub fn render(markdown: &str) -> Rendered {
    rendered(written(markdown, Pills::Flat))
}

/// Renders words of ours: in them, links to people stay, and clients show them as pills ([`super::names`]).
#[must_use]
pub fn own(markdown: &str) -> Rendered {
    rendered(written(markdown, Pills::Linked))
}

/// What becomes of links to people. A model's would look as if it had pinged them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pills {
    /// Their text stays.
    Flat,
    /// They stay links; a body has the name alone.
    Linked,
}

fn rendered(Both { body, html, rich }: Both) -> Rendered {
    Rendered { body, html: rich.then(|| sanitised(&html)) }
}

/// Returns whether nothing of a text can be seen: white space, marks that show nothing, empty markup, comments and tags of
/// HTML.
#[must_use]
pub fn is_blank(markdown: &str) -> bool {
    let shows =
        |text: &str| text.chars().any(|letter| !letter.is_whitespace() && !is_hidden(letter) && letter != '\u{fffc}');
    let mut html = String::new();
    let shown = clean::events(&folds::without_comments(markdown), Pills::Flat).events.iter().any(|event| match event {
        Event::Code(text) | Event::InlineMath(text) => shows(text),
        Event::Text(text) => {
            html.push_str(text);
            shows(text) && !text.contains(['<', '>'])
        }
        _ => false,
    });
    !shown && !shows(&decoded(&folds::without_tags(&html)))
}

/// A body and the HTML for it, whether or not that says more.
struct Both {
    body: String,
    html: String,
    rich: bool,
}

fn both(markdown: &str, pills: Pills) -> Both {
    let both = written(markdown, pills);
    Both { html: sanitised(&both.html), ..both }
}

/// Writes both forms, without the last wall.
fn written(markdown: &str, pills: Pills) -> Both {
    let cleaned = clean::events(markdown, pills);
    Both { body: plain::write(&cleaned.events), html: html::write(&cleaned.events), rich: cleaned.rich }
}

/// Returns text from outside as it may stand in a body: no line turns the next, and nobody is called.
pub(super) fn outside_words(text: &str) -> String {
    plain::without_room_mention(&letters::tamed(text), &[])
}

/// Returns text from outside as it may stand in HTML, as code.
pub(super) fn outside_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    html::escape(&letters::tamed(text), &mut html);
    html
}

/// The last wall: what Matrix clients may be sent ("m.room.message msgtypes", spec 1.18), links to `matrix:` included.
pub(super) fn sanitised(html: &str) -> String {
    let html = Html::parse(html);
    html.sanitize_with(&sanitizer());
    html.to_string()
}

/// ruma's list lacks the attribute of formulas (spec 1.18, "Mathematical messages").
fn sanitizer() -> SanitizerConfig {
    let maths = ["span", "div"].map(|parent| PropertiesNames { parent, properties: &["data-mx-maths"] });
    let config = SanitizerConfig::compat().remove_reply_fallback().remove_elements(["img"]);
    config.allow_attributes(maths, ListBehavior::Add)
}
