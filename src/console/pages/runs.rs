//! The runs, and one of them.

use maud::{Markup, html};

use super::{
    Frame,
    parts::{answerer, asker, cost_of, event, live, name, outcome, room, run_path, runs_of, table, time},
};
use crate::{
    console::view::{Run, Runs},
    core::{
        audit::{Entry, Kind},
        console::query::Asked,
        trail::{Decision, Tally},
        words::{console as words, trail},
    },
};

/// How the fields of the filter are called, and an example of each.
const LABELS: [(&str, &str, &str); 7] = [
    ("coworker", "Coworker", ""),
    ("outcome", "Outcome", ""),
    ("room", "Room", "!abc:example.org"),
    ("person", "Person", "@alice:example.org"),
    ("tool", "Tool", "http_get"),
    ("since", "Since", "7d or 2026-11-22"),
    ("until", "Until", "2026-11-29"),
];
const OUTCOMES: [&str; 5] = ["done", "failed", "stopped", "declined", "dropped"];

pub(super) fn list(frame: &Frame<'_>, runs: &Runs) -> Markup {
    html! {
        (form(frame, runs))
        (live("runs", "Newest first", &found(frame, runs)))
    }
}

fn form(frame: &Frame<'_>, runs: &Runs) -> Markup {
    let asked = &runs.asked;
    html! {
        form.filter method="get" action=(format!("{}/runs", frame.base)) role="search" aria-label="Filter" {
            @for (field, label, example) in LABELS {
                @let fault = asked.faults.iter().find(|(of, _)| *of == field).map(|(_, fault)| fault);
                p {
                    label for=(field) { (label) }
                    @match field {
                        "coworker" => { (choice(field, asked, runs.coworkers.iter().map(String::as_str))) }
                        "outcome" => { (choice(field, asked, OUTCOMES.into_iter())) }
                        _ => {
                            input id=(field) name=(field) value=(asked.written(field)) placeholder=(example)
                                aria-invalid=[fault.map(|_| "true")]
                                aria-describedby=[fault.map(|_| format!("{field}-fault"))];
                        }
                    }
                    @if let Some(fault) = fault { span.bad id=(format!("{field}-fault")) { (fault) } }
                }
            }
            p.buttons {
                button.primary type="submit" { "Show" }
                " " a href=(format!("{}/runs", frame.base)) { "All" }
            }
        }
    }
}

fn choice<'a>(field: &str, asked: &Asked, all: impl Iterator<Item = &'a str>) -> Markup {
    let written = asked.written(field);
    html! {
        select id=(field) name=(field) {
            option value="" { "any" }
            @for one in all { option value=(one) selected[one == written] { (name(one)) } }
        }
    }
}

fn found(frame: &Frame<'_>, runs: &Runs) -> Markup {
    let heads = ["When", "Who", "Asked by", "Room", "Outcome", "Tools", "Tokens", "Cost", "Took"];
    html! {
        @if runs.entries.is_empty() && runs.next.is_none() { p { "No runs fit." } }
        @if !runs.entries.is_empty() {
            (table("Runs", &heads, &html! {
                @for entry in &runs.entries { (row(frame, entry)) }
            }))
        }
        @if let Some(at) = runs.looked_to { p.quiet { (words::LOOKED_TO) " " (time(at)) "." } }
        @if let Some(next) = &runs.next {
            p {
                a.more href=(format!("{}/runs?{}", frame.base, runs.asked.query(Some(next)))) {
                    @if runs.looked_to.is_some() { "Look further back" } @else { "Older" }
                }
            }
        }
    }
}

fn row(frame: &Frame<'_>, entry: &Entry) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(run_path(frame.base, entry)) { (time(entry.accepted_at)) } }
            td { (answerer(frame, entry)) }
            td { (asker(frame, entry)) }
            td { @if let Some(room) = &entry.room { (runs_of(frame, "room", room.as_str())) } }
            td {
                (outcome(entry.outcome))
                @if let Some(reason) = &entry.reason { " " (name(reason)) }
            }
            td.number { (entry.tool_calls) }
            td.number { (trail::counted(entry.spent.input_tokens.saturating_add(entry.spent.output_tokens))) }
            td.number { (cost_of(entry)) }
            td.number { (trail::took(entry.duration_ms())) }
        }
    }
}

pub(super) fn one(frame: &Frame<'_>, run: &Run) -> Markup {
    let entry = &run.entry;
    html! {
        p { a href=(format!("{}/runs", frame.base)) { "All runs" } }
        dl.facts { (facts(frame, run)) }
        @if entry.kind == Kind::Assistant { p.quiet { (words::PRIVATE_RUN) } }
        h2 { "Steps" }
        @if entry.tools.is_empty() { p { (steps_of(entry)) } }
        @else {
            (table("Steps", &["Step", "Tool", "Outcome", "Took", "Decided"], &html! {
                @for (at, tool) in entry.tools.iter().enumerate() { (step(frame, at + 1, tool)) }
            }))
        }
    }
}

fn steps_of(entry: &Entry) -> String {
    match (entry.kind, entry.tool_calls) {
        (_, 0) => "No tools were called.".to_owned(),
        (_, calls) => format!("{calls} tool calls; which ones is its owner's business."),
    }
}

fn facts(frame: &Frame<'_>, run: &Run) -> Markup {
    let (entry, spent) = (&run.entry, &run.entry.spent);
    let tokens = format!(
        "{} in ({} cached), {} out",
        trail::counted(spent.input_tokens),
        trail::counted(spent.cached_tokens),
        trail::counted(spent.output_tokens)
    );
    html! {
        div { dt { "Run" } dd { code { (entry.run) } } }
        div { dt { "Who" } dd { (answerer(frame, entry)) " (" (name(entry.user.as_str())) ")" } }
        div { dt { "Asked by" } dd { (asker(frame, entry)) } }
        @if let Some(at) = &entry.room {
            div { dt { "Room" } dd { (room(at, &run.via)) } }
            @if let Some(request) = &entry.request {
                div { dt { "Request" } dd { (event(at, request, &run.via, "open in Matrix")) } }
            }
            @if let Some(answer) = &entry.answer {
                div { dt { "Answer" } dd { (event(at, answer, &run.via, "open in Matrix")) } }
            }
        }
        div {
            dt { "Outcome" }
            dd { (outcome(entry.outcome)) @if let Some(reason) = &entry.reason { " " (name(reason)) } }
        }
        div { dt { "Accepted" } dd { (trail::sortable_exact(entry.accepted_at)) } }
        div { dt { "Ended" } dd { (trail::sortable_exact(entry.ended_at)) ", after " (trail::took(entry.duration_ms())) } }
        div { dt { "Model" } dd { (entry.model.as_deref().map_or_else(|| "none".to_owned(), name)) ", " (spent.model_calls) " calls" } }
        div { dt { "Tokens" } dd { (tokens) } }
        div { dt { "Cost" } dd { (cost_of(entry)) } }
        @if let Some(refused) = &entry.refused { div { dt { "Refused" } dd { (name(refused)) } } }
        @if entry.left_out > 0 { div { dt { "Left out" } dd { (entry.left_out) } } }
        @if entry.fallback { div { dt { "Fallback" } dd { "the first model refused" } } }
        @if entry.kind == Kind::Coworker { div { dt { "Read" } dd { (entry.read.len()) " messages" } } }
    }
}

fn step(frame: &Frame<'_>, number: usize, tool: &Tally) -> Markup {
    let decided = match &tool.decision {
        Some(Decision::Approved { by, at }) => format!("approved by {by} at {}", trail::sortable_exact(*at)),
        Some(Decision::Declined { by, at }) => format!("declined by {by} at {}", trail::sortable_exact(*at)),
        Some(Decision::Left { by, at }) => format!("{by} left at {}", trail::sortable_exact(*at)),
        Some(Decision::Expired) => "nobody decided in time".to_owned(),
        None => String::new(),
    };
    html! {
        tr {
            th scope="row" { (number) }
            td { (runs_of(frame, "tool", &tool.tool)) }
            td { (trail::step_outcome(tool.outcome)) }
            td.number { (trail::took(tool.duration_ms)) }
            td { (super::parts::text(&decided)) }
        }
    }
}
