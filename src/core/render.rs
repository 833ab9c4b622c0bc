//! Renders the model's Markdown for Matrix clients: a plain body, and sanitised HTML if it shows more.
//!
//! There are three walls. The Markdown is cleaned ([`clean`]): raw HTML becomes text, images become links, odd schemes
//! text, and mentions code. Only a fixed set of tags is written ([`html`]). Finally ruma's sanitiser processes the
//! result. Nothing here notifies anybody: `m.mentions` is decided elsewhere.

mod clean;
mod fit;
mod folds;
mod html;
mod inline;
mod kept;
mod letters;
mod marks;
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

use super::{legible::is_hidden, markup::decoded};

pub use self::{
    fit::{EDIT_BYTES_MAX, Fitted, MESSAGE_BYTES_MAX, SUMMARY_BYTES_MAX, fit, fit_so_far, json_bytes},
    so_far::so_far,
};

/// A message's text in both forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The body for clients without HTML.
    pub body: String,
    /// Sanitised Matrix HTML; `None` if it shows no more than the body.
    pub html: Option<String>,
}

/// Renders Markdown.
#[must_use]
pub fn render(markdown: &str) -> Rendered {
    rendered(written(markdown, Pills::Flat))
}

/// Renders our own texts, in which links to people stay, so that clients show pills ([`super::names`]).
#[must_use]
pub fn own(markdown: &str) -> Rendered {
    rendered(written(markdown, Pills::Linked))
}

/// What happens to links to people. From a model, a link would look as if it had mentioned them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pills {
    /// Only their text stays.
    Flat,
    /// They stay links; a plain body has only the name.
    Linked,
}

fn rendered(Both { body, html, rich }: Both) -> Rendered {
    Rendered { body, html: rich.then(|| sanitised(&html)) }
}

/// Returns whether nothing of a text is visible: whitespace, invisible marks, empty markup, HTML comments and tags.
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

/// A body with its HTML, whether or not that shows more.
struct Both {
    body: String,
    html: String,
    rich: bool,
}

fn both(markdown: &str, pills: Pills) -> Both {
    let both = written(markdown, pills);
    Both { html: sanitised(&both.html), ..both }
}

/// Renders both forms, without the last wall.
fn written(markdown: &str, pills: Pills) -> Both {
    let cleaned = clean::events(markdown, pills);
    Both { body: plain::write(&cleaned.events), html: html::write(&cleaned.events), rich: cleaned.rich }
}

/// Returns a foreign text for a body: no line changes the next one's direction, and nobody is mentioned.
pub(super) fn outside_words(text: &str) -> String {
    plain::without_room_mention(&letters::tamed(text), &[])
}

/// Returns a foreign text as code in HTML.
pub(super) fn outside_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    html::escape(&letters::tamed(text), &mut html);
    html
}

/// The last wall: HTML that Matrix clients may receive ("m.room.message msgtypes", spec 1.18), including `matrix:`
/// links.
pub(super) fn sanitised(html: &str) -> String {
    let html = Html::parse(html);
    html.sanitize_with(&sanitizer());
    html.to_string()
}

/// ruma's list lacks the attribute for formulas (spec 1.18, "Mathematical messages").
fn sanitizer() -> SanitizerConfig {
    let maths = ["span", "div"].map(|parent| PropertiesNames { parent, properties: &["data-mx-maths"] });
    let config = SanitizerConfig::compat().remove_reply_fallback().remove_elements(["img"]);
    config.allow_attributes(maths, ListBehavior::Add)
}
