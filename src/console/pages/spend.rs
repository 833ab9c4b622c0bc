//! What was spent, as charts and tables, and against the budgets.

use maud::{Markup, html};

use super::{
    Frame,
    parts::{budgets, crowds, live, name, runs_of, table},
};
use crate::{
    console::{
        chart::{self, Bar},
        view::Spend,
    },
    core::{
        audit::{By, ReportRow},
        console::query::{BYS, Span, by_name},
        words::{console as words, trail},
    },
};

/// Most rows of the table; the rest is one row.
const ROWS_MAX: usize = 200;

pub(super) fn page(frame: &Frame<'_>, spend: &Spend) -> Markup {
    html! {
        (choices(frame, spend))
        (live("chart", "Chart", &drawn(spend)))
        (live("table", "Table", &rows(frame, spend)))
        (live("budgets", "Budgets", &html! { (budgets(&spend.budgets)) (crowds(&spend.crowds)) }))
    }
}

fn choices(frame: &Frame<'_>, spend: &Spend) -> Markup {
    let to = |by: By, span: Span| format!("{}/spend?by={}&span={}", frame.base, by_name(by), span.name());
    html! {
        nav.choices aria-label="By what" {
            ul {
                @for by in BYS {
                    li { a href=(to(by, spend.span)) aria-current=[(by == spend.by).then_some("true")] { "by " (by_name(by)) } }
                }
            }
        }
        nav.choices aria-label="In which days" {
            ul {
                @for span in Span::ALL {
                    li { a href=(to(spend.by, span)) aria-current=[(span == spend.span).then_some("true")] { (span.shown()) } }
                }
            }
        }
        p.quiet { "Days are those of " (spend.zone) ". " (words::UNPRICED) }
        @if !spend.counted { p.quiet { (words::COUNTING) } }
    }
}

fn nameless(by: By) -> &'static str {
    match by {
        By::Room | By::Coworker => "(assistants)",
        By::Person => "(nobody asked)",
        By::Model | By::Day => "(none asked)",
    }
}

fn shown(by: By, row: &ReportRow) -> String {
    row.name.as_deref().map_or_else(|| nameless(by).to_owned(), name)
}

fn drawn(spend: &Spend) -> Markup {
    let bars = |rows: &[ReportRow], by: By| -> Vec<Bar> {
        rows.iter().map(|row| (shown(by, row), row.figures.cost_micro_usd)).collect()
    };
    let days: Vec<Bar> = bars(&spend.days, By::Day).into_iter().rev().collect();
    html! {
        @if spend.summed.sum.figures.cost_micro_usd == 0 { p { "Nothing was spent in these days." } }
        (chart::days("Cost by day", &days))
        @if spend.by != By::Day {
            (chart::names(&format!("Cost by {}", by_name(spend.by)), &bars(&spend.summed.rows, spend.by)))
        }
    }
}

fn rows(frame: &Frame<'_>, spend: &Spend) -> Markup {
    let sum = &spend.summed.sum;
    let heads = [by_name(spend.by), "Requests", "Failed", "Tokens", "Average time", "Cost", "Share"];
    let rows = &spend.summed.rows;
    html! {
        (table("What was spent", &heads, &html! {
            @for row in rows.iter().take(ROWS_MAX) {
                tr {
                    th scope="row" {
                        @match (spend.by, &row.name) {
                            (By::Room, Some(of)) => { (runs_of(frame, "room", of)) }
                            (By::Person, Some(of)) => { (runs_of(frame, "person", of)) }
                            (By::Coworker, Some(of)) => { (runs_of(frame, "coworker", of)) }
                            _ => { (shown(spend.by, row)) }
                        }
                    }
                    (figures(row, sum))
                }
            }
            tr.sum { th scope="row" { "in all" } (figures(sum, sum)) }
        }))
        @if rows.len() > ROWS_MAX {
            p.quiet { (rows.len() - ROWS_MAX) " further rows: " code { "workmate audit report" } " shows all." }
        }
    }
}

fn figures(row: &ReportRow, sum: &ReportRow) -> Markup {
    let (row, all) = (&row.figures, sum.figures.cost_micro_usd);
    let share = u128::from(row.cost_micro_usd) * 100 / u128::from(all.max(1));
    html! {
        td.number { (trail::counted(row.runs)) }
        td.number { (trail::counted(row.failed)) }
        td.number { (trail::counted(row.tokens())) }
        td.number { @if row.runs > 0 { (trail::took(row.mean_ms())) } }
        td.number { (trail::cost(row.cost_micro_usd)) @if row.unpriced_micro_usd > 0 { "*" } }
        td.number { (share) " %" }
    }
}
