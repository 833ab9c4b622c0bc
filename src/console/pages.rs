//! The pages as HTML. Whatever is shown is escaped by the templates, and made legible first: names come from outside.

mod assistants;
mod changes;
mod coworkers;
mod now;
mod parts;
mod queues;
mod runs;
mod spend;

use maud::{DOCTYPE, Markup, html};

use super::{Admitted, view::Answer};
use crate::core::words::console as words;

/// The style of all pages.
pub(super) const STYLE: &str = include_str!("style.css");
/// The script of all pages: it only keeps them up to date.
pub(super) const SCRIPT: &str = include_str!("script.js");
/// The icon.
pub(super) const ICON: &str = include_str!("icon.svg");

/// What stands around an admin's page.
pub(super) struct Frame<'a> {
    /// The path of the console's address.
    pub(super) base: &'a str,
    /// Who sees it.
    pub(super) admitted: &'a Admitted,
}

/// Why somebody sees no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// They are not signed in.
    SignedOut,
    /// They have signed out.
    Left,
    /// Their link opens nothing, or nothing any more.
    LinkOver,
    /// There is no such address.
    Nowhere,
    /// A form did not come from our own page.
    Foreign,
    /// The host in the call is not ours.
    OtherHost,
    /// There were too many calls.
    TooFast,
}

impl Told {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SignedOut => words::SIGNED_OUT,
            Self::Left => words::LEFT,
            Self::LinkOver => words::LINK_OVER,
            Self::Nowhere => words::NOWHERE,
            Self::Foreign => words::FOREIGN,
            Self::OtherHost => words::OTHER_HOST,
            Self::TooFast => words::TOO_FAST,
        }
    }
}

/// The pages in the order of the menu: path, name.
const MENU: [(&str, &str); 7] = [
    ("/", "Now"),
    ("/runs", "Runs"),
    ("/spend", "Spend"),
    ("/coworkers", "Coworkers"),
    ("/queues", "Queues"),
    ("/assistants", "Assistants"),
    ("/changes", "Changes"),
];

/// Returns an address of a file that is part of the program: with another content it is another address.
fn asset(base: &str, name: &str, content: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(content.as_bytes());
    format!("{base}/{name}?v={}", crate::core::hex::hex(&digest[..6]))
}

fn head(base: &str, title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Workmate" }
            link rel="icon" type="image/svg+xml" href=(asset(base, "icon.svg", ICON));
            link rel="stylesheet" href=(asset(base, "style.css", STYLE));
            script defer src=(asset(base, "script.js", SCRIPT)) {}
        }
    }
}

/// Returns a page for whoever is not signed in.
pub(super) fn told(base: &str, told: Told) -> String {
    let (title, text) = told.words();
    outside(base, title, &html! { p { (text) } })
}

/// Returns the page behind a link: a button that signs in.
pub(super) fn door(base: &str, token: &str) -> String {
    let form = html! {
        p { (words::DOOR_TEXT) }
        form method="post" action=(format!("{base}/in")) {
            input type="hidden" name="link" value=(token);
            button.primary type="submit" { (words::DOOR_BUTTON) }
        }
    };
    outside(base, words::DOOR, &form)
}

fn outside(base: &str, title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(base, title))
            body.outside {
                main #main { h1 { (title) } (body) }
            }
        }
    };
    page.into_string()
}

fn inside(frame: &Frame<'_>, path: &str, title: &str, body: &Markup) -> String {
    let base = frame.base;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(base, title))
            body data-live=(format!("{base}/live")) {
                a.skip href="#main" { "Skip to the content" }
                header {
                    p.brand { "Workmate" }
                    nav aria-label="Pages" {
                        ul {
                            @for (to, name) in MENU {
                                li {
                                    a href=(format!("{base}{to}")) aria-current=[(to == path).then_some("page")] { (name) }
                                }
                            }
                        }
                    }
                    form.out method="post" action=(format!("{base}/out")) {
                        (parts::proof(frame))
                        button type="submit" { "Sign out" }
                    }
                }
                main #main tabindex="-1" { h1 { (title) } (body) }
                footer {
                    p {
                        "Workmate " (env!("CARGO_PKG_VERSION")) ". You are " (frame.admitted.admin)
                        ". Times are in UTC. " (words::NO_CONTENT)
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Returns an admin's page.
pub(super) fn page(frame: &Frame<'_>, answer: &Answer) -> String {
    let (path, title, body) = match answer {
        Answer::Now(now) => ("/", "Now", now::page(frame, now)),
        Answer::Runs(runs) => ("/runs", "Runs", runs::list(frame, runs)),
        Answer::Run(run) => ("/runs", "One run", runs::one(frame, run)),
        Answer::Spend(spend) => ("/spend", "Spend", spend::page(frame, spend)),
        Answer::Coworkers(coworkers) => ("/coworkers", "Coworkers", coworkers::page(frame, coworkers)),
        Answer::Queues(queues) => ("/queues", "Queues", queues::page(frame, queues)),
        Answer::Assistants(assistants) => ("/assistants", "Assistants", assistants::page(assistants)),
        Answer::Changes(changes) => ("/changes", "Changes", changes::page(changes)),
        Answer::Nothing => return nothing(frame),
        Answer::Failed(why) => return failed(frame, why),
    };
    inside(frame, path, title, &body)
}

/// Returns a page for an address that is none.
pub(super) fn nothing(frame: &Frame<'_>) -> String {
    let (title, text) = words::NOT_HERE;
    inside(frame, "", title, &html! { p { (text) } })
}

/// Returns a page for something that cannot be said now.
pub(super) fn failed(frame: &Frame<'_>, why: &str) -> String {
    inside(frame, "", words::FAILED, &html! { p.bad { (parts::text(why)) } })
}
