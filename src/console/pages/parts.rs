//! What several pages are made of.

use maud::{Markup, html};
use ruma::{EventId, RoomId, ServerName};

use super::Frame;
use crate::{
    console::view::{BudgetRow, Checked, CrowdRow, Verdict},
    core::{
        audit::{Entry, Figures, RunKey},
        budget::LOW_PERCENT,
        citing,
        console::query::{key_written, only},
        legible::legible,
        links::room_address,
        outcome::Outcome,
        time::Timestamp,
        words::{errands, trail},
    },
};

/// Most characters of a name in a table; addresses behind it are whole.
const NAME_CHARS_MAX: usize = 64;

/// Returns a text from outside so that nothing in it hides or turns around what stands beside it.
pub(super) fn text(text: &str) -> String {
    legible(text)
}

/// Returns a name in bounded length.
pub(super) fn name(full: &str) -> String {
    let full = legible(full);
    if full.chars().count() <= NAME_CHARS_MAX {
        return full;
    }
    full.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect()
}

/// Returns the field by which a form proves that it is ours.
pub(super) fn proof(frame: &Frame<'_>) -> Markup {
    html! { input type="hidden" name="form" value=(frame.admitted.form); }
}

/// Returns a moment.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(trail::sortable_exact(at).replace(" UTC", "Z").replacen(' ', "T", 1)) { (trail::sortable(at)) } }
}

/// Returns a part of a page that is kept up to date.
pub(super) fn live(id: &str, title: &str, body: &Markup) -> Markup {
    html! { section id=(id) data-part aria-labelledby=(format!("{id}-title")) { h2 id=(format!("{id}-title")) { (title) } (body) } }
}

/// Returns a table that scrolls by itself on a small screen, also by keyboard.
pub(super) fn table(about: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll role="group" tabindex="0" aria-label=(about) {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Returns how something is, in a word that needs no colour.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    let (class, word) = match verdict {
        Verdict::Pass => ("good", "works"),
        Verdict::Warn => ("doubt", "in part"),
        Verdict::Fail => ("bad", "fails"),
        Verdict::Skip => ("quiet", "waits"),
    };
    html! { span class=(format!("badge {class}")) { (word) } }
}

/// Returns the rows of what is checked.
pub(super) fn checked(all: &[Checked]) -> Markup {
    html! {
        @for one in all {
            tr {
                th scope="row" { (name(&one.name)) }
                td { (verdict(one.verdict)) }
                td {
                    (text(&one.what))
                    @if let Some(mend) = &one.mend { p.mend { strong { "Mend: " } (text(mend)) } }
                }
                td { @if let Some(since) = one.since { (time(since)) } }
            }
        }
    }
}

/// Returns how a run ended, in a word that needs no colour.
pub(super) fn outcome(outcome: Outcome) -> Markup {
    let class = match outcome {
        Outcome::Done => "good",
        Outcome::Failed => "bad",
        Outcome::Declined | Outcome::Stopped => "doubt",
        Outcome::Dropped => "quiet",
    };
    html! { span class=(format!("badge {class}")) { (trail::outcome(outcome)) } }
}

/// Returns the address of a run's page.
pub(super) fn run_path(base: &str, entry: &Entry) -> String {
    let key: RunKey = (entry.accepted_at, entry.run.clone());
    format!("{base}/runs/{}", key_written(&key))
}

/// Returns a link to the runs with one value in a field.
pub(super) fn runs_of(frame: &Frame<'_>, field: &str, value: &str) -> Markup {
    html! { a href=(format!("{}/runs?{}", frame.base, only(field, value))) { (name(value)) } }
}

/// Returns a link into Matrix.
pub(super) fn event(room: &RoomId, event: &EventId, via: &ServerName, shown: &str) -> Markup {
    html! { a href=(citing::permalink(room, event, via)) rel="noreferrer noopener" target="_blank" { (shown) } }
}

/// Returns a link to a room in Matrix.
pub(super) fn room(room: &RoomId, via: &ServerName) -> Markup {
    html! { a href=(room_address(room, via)) rel="noreferrer noopener" target="_blank" { (name(room.as_str())) } }
}

/// Returns who asked, or what it came from.
pub(super) fn asker(frame: &Frame<'_>, entry: &Entry) -> Markup {
    match &entry.origin {
        Some(origin) => html! { (name(&errands::from_origin(origin))) },
        None => runs_of(frame, "person", entry.asker.as_str()),
    }
}

/// Returns who answered.
pub(super) fn answerer(frame: &Frame<'_>, entry: &Entry) -> Markup {
    let Some(coworker) = &entry.coworker else { return html! { "(assistant)" } };
    runs_of(frame, "coworker", coworker)
}

/// Returns a run's cost.
pub(super) fn cost_of(entry: &Entry) -> String {
    let tokens = entry.spent.input_tokens.saturating_add(entry.spent.output_tokens);
    let unknown = if tokens > 0 { "not known" } else { "" };
    entry.spent.cost_micro_usd.map_or_else(|| unknown.to_owned(), trail::cost)
}

/// Returns a few large figures.
pub(super) fn tiles(tiles: &[(&str, String)]) -> Markup {
    html! {
        dl.tiles { @for (what, figure) in tiles { div { dt { (what) } dd { (figure) } } } }
    }
}

/// Returns how many of some runs failed, in words.
pub(super) fn failed(figures: &Figures) -> String {
    match figures.failed {
        0 => "none".to_owned(),
        failed => format!("{} ({} %)", trail::counted(failed), failed.saturating_mul(100) / figures.runs.max(1)),
    }
}

/// Returns budgets with what is spent of them.
pub(super) fn budgets(rows: &[BudgetRow]) -> Markup {
    let body = html! {
        @for row in rows {
            @let percent = row.limit.map(|limit| row.spent.micro().saturating_mul(100) / limit.micro().max(1));
            tr {
                th scope="row" { (name(&row.name)) }
                td { "per " (row.period) }
                td.number { (trail::cost(row.spent.micro())) }
                td.number { (trail::cost(row.reserved.micro())) }
                td.number { @match row.limit { Some(limit) => { (trail::cost(limit.micro())) } None => { "no limit" } } }
                td {
                    @if let Some(percent) = percent {
                        meter min="0" max="100" high=(LOW_PERCENT) value=(percent.min(100))
                            aria-label=(format!("{} per {}: {percent} % spent", name(&row.name), row.period)) {}
                        " " (percent) " %"
                        @if percent >= 100 { " " span.badge.bad { "used up" } }
                        @else if percent >= LOW_PERCENT { " " span.badge.doubt { "near" } }
                    }
                }
            }
        }
    };
    table("Budgets", &["Budget", "Period", "Spent", "Reserved", "Limit", "Used"], &body)
}

/// Returns how many people, rooms and assistants have little left.
pub(super) fn crowds(rows: &[CrowdRow]) -> Markup {
    html! {
        @if !rows.is_empty() {
            ul {
                @for row in rows {
                    li {
                        "Each " (row.scope) ", " (trail::cost(row.limit.micro())) " per " (row.period) ": "
                        (row.low) " past " (LOW_PERCENT) " %, " (row.used_up) " used up"
                    }
                }
            }
        }
    }
}
