//! The assistants: how many, whose, and how much; nothing of what is said there (A4).

use maud::{Markup, html};

use super::parts::{failed, live, name, table, tiles};
use crate::{
    console::view::Assistants,
    core::words::{console as words, trail},
};

pub(super) fn page(assistants: &Assistants) -> Markup {
    html! {
        p { (words::PRIVATE) }
        (live("counts", "Counts", &tiles(&[
            ("Assistants", assistants.count.0.to_string()),
            ("In use now", assistants.count.1.to_string()),
            ("Connections of own programs", assistants.connections.to_string()),
        ])))
        (live("owners", "Owners, last 30 days", &html! {
            @if assistants.owners.is_empty() { p { "Nobody has an assistant yet." } }
            @else {
                (table("Owners", &["Owner", "Requests", "Failed", "Cost"], &html! {
                    @for (owner, row) in &assistants.owners {
                        tr {
                            th scope="row" { (name(owner.as_str())) }
                            td.number { (trail::counted(row.figures.runs)) }
                            td.number { (failed(&row.figures)) }
                            td.number { (trail::cost(row.figures.cost_micro_usd)) }
                        }
                    }
                }))
            }
            @if assistants.more > 0 { p.quiet { (assistants.more) " more are not shown." } }
        }))
    }
}
