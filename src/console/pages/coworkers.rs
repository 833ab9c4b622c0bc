//! The coworkers, what they may do, and the servers of their tools.

use maud::{Markup, html};

use super::{
    Frame,
    parts::{checked, live, name, runs_of, table, text, time},
};
use crate::console::view::{Coworker, Coworkers, Granted, Unasked};

pub(super) fn page(frame: &Frame<'_>, all: &Coworkers) -> Markup {
    html! {
        @if !all.left_out.is_empty() {
            section aria-labelledby="left-out" {
                h2 #left-out { "Left out" }
                p { "These files have faults, and their coworkers do not work:" }
                ul { @for fault in &all.left_out { li.bad { (text(fault)) } } }
            }
        }
        @if all.coworkers.is_empty() { p { "There are no coworkers." } }
        @for coworker in &all.coworkers { (one(frame, coworker)) }
        (live("servers", "MCP servers", &html! {
            @if all.servers.is_empty() { p { "None are configured." } }
            @else { (table("MCP servers", &["Server", "State", "Found", "Since"], &checked(&all.servers))) }
        }))
    }
}

fn one(frame: &Frame<'_>, coworker: &Coworker) -> Markup {
    let title = format!("coworker-{}", coworker.id);
    html! {
        section aria-labelledby=(title) {
            h2 id=(title) { (name(&coworker.name)) }
            p { (text(&coworker.purpose)) }
            dl.facts {
                div { dt { "Id" } dd { (runs_of(frame, "coworker", &coworker.id)) } }
                div { dt { "Model" } dd { (name(&coworker.model)) } }
                div { dt { "Rooms" } dd { (coworker.rooms) } }
            }
            @if coworker.tools.is_empty() { p.quiet { "It has no tools." } }
            @else {
                (table(&format!("Tools of {}", coworker.id), &["Tool", "Does", "Approval", "Where"], &html! {
                    @for tool in &coworker.tools { (granted(frame, tool)) }
                }))
            }
            (unasked(&coworker.id, "Schedules", "When", &coworker.schedules))
            (unasked(&coworker.id, "Hooks", "Sender", &coworker.hooks))
            (unasked(&coworker.id, "Watches", "Of whom", &coworker.watches))
        }
    }
}

fn granted(frame: &Frame<'_>, tool: &Granted) -> Markup {
    html! {
        tr {
            th scope="row" {
                @if tool.tool.contains('*') { (name(&tool.tool)) } @else { (runs_of(frame, "tool", &tool.tool)) }
            }
            td { (tool.class.unwrap_or("as the tool says")) }
            td { (text(&tool.approval)) }
            td { (places(&tool.rooms)) }
        }
    }
}

fn places(rooms: &[String]) -> String {
    if rooms.is_empty() {
        "everywhere".to_owned()
    } else {
        rooms.iter().map(|room| name(room)).collect::<Vec<_>>().join(", ")
    }
}

fn unasked(of: &str, what: &str, when: &str, all: &[Unasked]) -> Markup {
    html! {
        @if !all.is_empty() {
            h3 { (what) }
            (table(&format!("{what} of {of}"), &["Name", when, "Where", "Last", "Next"], &html! {
                @for one in all {
                    tr {
                        th scope="row" { (name(&one.name)) }
                        td { (text(&one.when)) }
                        td { (places(&one.rooms)) }
                        td {
                            @match &one.last {
                                Some((at, became)) => { (time(*at)) ": " (became) }
                                None => { "not yet" }
                            }
                        }
                        td { @if let Some(next) = one.next { (time(next)) } }
                    }
                }
            }))
        }
    }
}
