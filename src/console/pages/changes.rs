//! Who changed the configuration, and which tools have changed.

use maud::{Markup, html};

use super::parts::{live, name, table, text, time};
use crate::{console::view::Changes, core::words::console as words};

pub(super) fn page(changes: &Changes) -> Markup {
    html! {
        (live("changes", "Configuration and coworkers' files", &html! {
            @if changes.changes.is_empty() { p { (words::NO_CHANGES) } }
            @else {
                (table("Changes", &["Last changed", "File", "State", "Belongs to"], &html! {
                    @for change in &changes.changes {
                        tr {
                            th scope="row" { (time(change.at)) }
                            td { (name(&change.what)) }
                            td { (text(&change.how)) }
                            td { (change.who.as_deref().map_or_else(|| "not known".to_owned(), name)) }
                        }
                    }
                }))
            }
        }))
        (live("tools", "Tools that have changed", &html! {
            @if changes.tools.is_empty() { p { "No server's tool differs from what was accepted." } }
            @else {
                p { (words::CHANGED_TOOLS) }
                ul { @for tool in &changes.tools { li { (name(tool)) } } }
            }
        }))
    }
}
