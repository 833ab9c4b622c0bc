//! How Workmate is, at a glance.

use maud::{Markup, html};

use super::{
    Frame,
    parts::{
        answerer, asker, budgets, checked, crowds, failed, live, name, outcome, run_path, runs_of, table, tiles, time,
    },
};
use crate::{
    console::view::{Examined, Now, Verdict},
    core::{
        audit::ReportRow,
        words::{console as words, duration_minutes, trail},
    },
};

pub(super) fn page(frame: &Frame<'_>, now: &Now) -> Markup {
    html! {
        (live("state", "State", &state(now)))
        (live("use", "Use", &usage(frame, now)))
        (live("failures", "What failed", &failures(frame, now)))
        (live("budgets", "Budgets", &budget(now)))
        (live("examined", "Examination", &examined(frame, now)))
    }
}

fn state(now: &Now) -> Markup {
    let troubles: Vec<_> = now.conditions.iter().filter(|one| one.verdict != Verdict::Pass).cloned().collect();
    html! {
        p.lead {
            @if !now.ready { span.badge.bad { "Not ready" } " Requests are not answered as they should be." }
            @else if troubles.is_empty() { span.badge.good { "All is well" } " Every condition of readiness holds." }
            @else { span.badge.doubt { "In part" } " Requests are answered; something is missing." }
        }
        (tiles(&[
            ("Up for", duration_minutes(now.up_minutes)),
            ("Being answered", trail::counted(count(now.running.0))),
            ("Waiting", trail::counted(count(now.running.1))),
        ]))
        @if !troubles.is_empty() {
            (table("What does not hold", &["What", "State", "Found", "Since"], &checked(&troubles)))
        }
        details {
            summary { "All conditions" }
            (table("All conditions", &["What", "State", "Found", "Since"], &checked(&now.conditions)))
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn usage(frame: &Frame<'_>, now: &Now) -> Markup {
    let (today, month) = (&now.today.figures, &now.month.figures);
    html! {
        @if !now.counted { p.quiet { (words::COUNTING) } }
        (tiles(&[
            ("Requests today", trail::counted(today.runs)),
            ("Cost today", trail::cost(today.cost_micro_usd)),
            ("Requests in 30 days", trail::counted(month.runs)),
            ("Failed in 30 days", failed(month)),
            ("Cost in 30 days", trail::cost(month.cost_micro_usd)),
            ("Average time", if month.runs == 0 { "none yet".to_owned() } else { trail::took(month.mean_ms()) }),
        ]))
        @if !now.people.is_empty() {
            h3 { "Who used it most this week" }
            (table("Who used it most this week", &["Person", "Requests", "Failed", "Cost"], &html! {
                @for row in &now.people {
                    tr {
                        th scope="row" {
                            @match &row.name {
                                Some(person) => { (runs_of(frame, "person", person)) }
                                None => { "nobody asked" }
                            }
                        }
                        (figures(row))
                    }
                }
            }))
        }
    }
}

fn figures(row: &ReportRow) -> Markup {
    html! {
        td.number { (trail::counted(row.figures.runs)) }
        td.number { (trail::counted(row.figures.failed)) }
        td.number { (trail::cost(row.figures.cost_micro_usd)) }
    }
}

fn failures(frame: &Frame<'_>, now: &Now) -> Markup {
    html! {
        @if now.causes.is_empty() && now.failed.is_empty() { p { "Nothing failed in the last week." } }
        @if !now.causes.is_empty() {
            h3 { "Causes, last week" }
            (table("Causes of failures in the last week", &["Cause", "Requests"], &html! {
                @for row in &now.causes {
                    tr {
                        th scope="row" { (row.name.as_deref().map_or_else(|| "not known".to_owned(), name)) }
                        td.number { (trail::counted(row.figures.runs)) }
                    }
                }
            }))
        }
        @if !now.failed.is_empty() {
            h3 { "Newest failures" }
            (table("The newest requests that failed", &["When", "Who", "Asked by", "Outcome", "Why"], &html! {
                @for entry in &now.failed {
                    tr {
                        th scope="row" { a href=(run_path(frame.base, entry)) { (time(entry.accepted_at)) } }
                        td { (answerer(frame, entry)) }
                        td { (asker(frame, entry)) }
                        td { (outcome(entry.outcome)) }
                        td { (entry.reason.as_deref().map(name).unwrap_or_default()) }
                    }
                }
            }))
        }
        @if !now.tools.is_empty() {
            h3 { "Tools that failed, last week" }
            (table("Tools that failed in the last week", &["Tool", "Calls", "Failed"], &html! {
                @for row in &now.tools {
                    tr {
                        th scope="row" { @if let Some(tool) = &row.name { (runs_of(frame, "tool", tool)) } }
                        td.number { (trail::counted(row.figures.runs)) }
                        td.number { (trail::counted(row.figures.failed)) }
                    }
                }
            }))
        }
    }
}

fn budget(now: &Now) -> Markup {
    html! {
        @if now.near.is_empty() { p { "No budget of the workspace or of a coworker is near its limit." } }
        @else { (budgets(&now.near)) }
        (crowds(&now.crowds))
    }
}

fn examined(frame: &Frame<'_>, now: &Now) -> Markup {
    let is_going = matches!(now.examined, Examined::Since(_));
    html! {
        p { (words::EXAMINE) }
        form method="post" action=(format!("{}/examine", frame.base)) {
            (super::parts::proof(frame))
            button type="submit" disabled[is_going] { "Try everything" }
        }
        @match &now.examined {
            Examined::Never => { p.quiet { "Not tried since the start." } }
            Examined::Since(at) => { p { "Going on since " (time(*at)) "." } }
            Examined::Failed(at, why) => { p.bad { (time(*at)) ": " (super::parts::text(why)) } }
            Examined::Found(at, found) => {
                p { "Tried at " (time(*at)) "." }
                (table("What was tried", &["What", "State", "Found", "Since"], &checked(found)))
            }
        }
    }
}
