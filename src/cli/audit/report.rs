//! Formats a report: for a terminal of 40 columns or more, or as JSON.

use std::io::Write;

use serde::Serialize;

use super::{
    spend::{heading, nameless},
    table::{brief, cut, short},
};
use crate::{
    cli::{width::width, wrap::wrapped},
    core::{
        audit::{By, ReportRow},
        legible::legible,
        words::trail as words,
    },
};

/// A report; `--json` writes it as it is.
#[derive(Debug, Serialize)]
pub(super) struct Reported {
    pub(super) by: By,
    /// The first day that counts.
    pub(super) since: Option<String>,
    pub(super) rows: Vec<ReportRow>,
    pub(super) sum: ReportRow,
}

/// Spaces before a name that has its own line.
const INDENT: usize = 4;

/// Writes a table. The names stand last and whole, to be copied; one that does not fit has its own line.
pub(super) fn table(reported: &Reported, columns: usize, out: &mut impl Write) -> anyhow::Result<()> {
    let head = ["RUNS", "FAILED", "TOKENS", "TOOK", "COST", "SHARE"];
    writeln!(out, "{}", line(head, heading(reported.by), columns))?;
    for row in &reported.rows {
        let name = row.name.as_deref().map_or_else(|| nameless(reported.by).to_owned(), |name| cut(name, usize::MAX));
        writeln!(out, "{}", figures(row, &reported.sum, &name, columns))?;
    }
    writeln!(out, "{}", figures(&reported.sum, &reported.sum, "in all", columns))?;
    let unpriced = reported.sum.figures.unpriced_micro_usd;
    if unpriced > 0 {
        let note = format!(
            "* {} of it is for models without a known price, which count as the dearest.",
            words::cost(unpriced)
        );
        writeln!(out, "{}", wrapped(&note, columns))?;
    }
    Ok(())
}

fn figures(row: &ReportRow, sum: &ReportRow, name: &str, columns: usize) -> String {
    let (row, sum) = (&row.figures, &sum.figures);
    let mark = if row.unpriced_micro_usd > 0 { "*" } else { "" };
    let share = u128::from(row.cost_micro_usd) * 100 / u128::from(sum.cost_micro_usd.max(1));
    // Costs of requests that go on come before their runs, which have no times yet.
    let took = if row.runs == 0 { "-".to_owned() } else { brief(row.mean_ms()) };
    let (runs, failed) = (words::counted(row.runs), words::counted(row.failed));
    let cost = format!("{}{mark}", words::cost(row.cost_micro_usd));
    line([&runs, &failed, &short(row.tokens()), &took, &cost, &format!("{share}%")], name, columns)
}

fn line([runs, failed, tokens, took, cost, share]: [&str; 6], name: &str, columns: usize) -> String {
    let figures = format!("{runs:>7} {failed:>7} {tokens:>7} {took:>6} {cost:>11} {share:>5}");
    let beside = format!("{figures}  {name}");
    if width(&beside) <= columns {
        return beside;
    }
    if width(&figures) <= columns {
        return format!("{figures}\n{:INDENT$}{name}", "");
    }
    format!("{runs:>7} {failed:>7} {tokens:>7}\n{took:>7} {cost:>11} {share:>5}\n{:INDENT$}{name}", "")
}

/// Writes one JSON object.
pub(super) fn json(reported: &Reported, out: &mut impl Write) -> anyhow::Result<()> {
    // The values stay the same: the added escapes are JSON's own.
    Ok(writeln!(out, "{}", legible(&serde_json::to_string(reported)?))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::Figures;

    fn row(name: Option<&str>, runs: u64, cost_micro_usd: u64) -> ReportRow {
        let figures = Figures {
            runs,
            done: runs - runs / 10,
            failed: runs / 10,
            took_ms: runs * 7_400,
            input_tokens: runs * 21_000,
            output_tokens: runs * 700,
            calls: runs * 3,
            cost_micro_usd,
            unpriced_micro_usd: if runs == 2 { 250_000 } else { 0 },
            ..Figures::default()
        };
        ReportRow { name: name.map(ToOwned::to_owned), figures }
    }

    fn reported() -> Reported {
        let long = format!("!{}:example.org", "x".repeat(60));
        let rows = vec![row(Some("!31hneApxJ_1o-63DmFrpeq"), 234_567, 412_200_000), row(Some(&long), 2, 1_000_000)];
        let rows = rows.into_iter().chain([row(None, 1, 42), row(Some("!new:hs"), 0, 9_000)]).collect();
        Reported { by: By::Room, since: None, rows, sum: ReportRow { name: None, ..row(None, 234_570, 413_209_042) } }
    }

    fn shown(columns: usize) -> String {
        let mut out = Vec::new();
        table(&reported(), columns, &mut out).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn c13_a_report_fits_80_columns_and_cuts_no_id() {
        let shown = shown(80);
        assert!(shown.lines().all(|line| width(line) <= 80), "{shown}");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn c13_a_report_is_read_in_40_columns_too() {
        let shown = shown(40);
        assert!(shown.lines().all(|line| width(line) <= 40 || line.starts_with("    !")), "{shown}");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn c13_a_report_is_one_json_object_for_programs() {
        let mut out = Vec::new();
        json(&Reported { rows: vec![row(None, 10, 42)], ..reported() }, &mut out).expect("memory takes it");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"));
    }
}
