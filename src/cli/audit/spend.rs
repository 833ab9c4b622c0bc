//! Formats what was spent: for a terminal of 40 columns or more, or as JSON.

use std::io::Write;

use clap::{ValueEnum, builder::PossibleValue};
use serde::Serialize;

use super::table::cut;
use crate::{
    cli::{width::width, wrap::wrapped},
    core::{
        audit::{By, Row},
        legible::legible,
        words::trail as words,
    },
};

impl ValueEnum for By {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Room, Self::Person, Self::Coworker, Self::Model, Self::Day]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Room => ("room", "Each room; assistants' chats are one row"),
            Self::Person => ("person", "Each person whose gestures made the model work"),
            Self::Coworker => ("coworker", "Each coworker; assistants are one row"),
            Self::Model => ("model", "Each model"),
            Self::Day => ("day", "Each day of workspace.zone"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// What was spent; `--json` writes it as it is.
#[derive(Debug, Serialize)]
pub(super) struct Spent {
    pub(super) by: By,
    /// The first day that counts.
    pub(super) since: Option<String>,
    pub(super) rows: Vec<Row>,
    pub(super) sum: Row,
}

/// Spaces before a name that has its own line.
const INDENT: usize = 4;

/// Writes a table. The names stand last and whole, to be copied; one that does not fit has its own line.
pub(super) fn table(spent: &Spent, columns: usize, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "{}", line(["COST", "SHARE", "RUNS", "CALLS"], heading(spent.by), columns))?;
    for row in &spent.rows {
        let name = row.name.as_deref().map_or_else(|| nameless(spent.by).to_owned(), |name| cut(name, usize::MAX));
        writeln!(out, "{}", figures(row, &spent.sum, &name, columns))?;
    }
    writeln!(out, "{}", figures(&spent.sum, &spent.sum, "in all", columns))?;
    if spent.sum.unpriced_micro_usd > 0 {
        let note = format!(
            "* {} of it is for models without a known price, which count as the dearest.",
            words::cost(spent.sum.unpriced_micro_usd)
        );
        writeln!(out, "{}", wrapped(&note, columns))?;
    }
    Ok(())
}

/// Returns the heading of the names.
pub(super) const fn heading(by: By) -> &'static str {
    match by {
        By::Room => "ROOM",
        By::Person => "PERSON",
        By::Coworker => "COWORKER",
        By::Model => "MODEL",
        By::Day => "DAY",
    }
}

/// Says what a row without a name is for.
pub(super) fn nameless(by: By) -> &'static str {
    match by {
        By::Room | By::Coworker => "(assistants)",
        By::Person => "(nobody asked)",
        By::Model | By::Day => "(not known)",
    }
}

fn figures(row: &Row, sum: &Row, name: &str, columns: usize) -> String {
    let mark = if row.unpriced_micro_usd > 0 { "*" } else { "" };
    let share = u128::from(row.cost_micro_usd) * 100 / u128::from(sum.cost_micro_usd.max(1));
    let [runs, calls] = [row.runs, row.calls].map(|count| words::counted(u64::try_from(count).unwrap_or(u64::MAX)));
    line([&format!("{}{mark}", words::cost(row.cost_micro_usd)), &format!("{share}%"), &runs, &calls], name, columns)
}

fn line([cost, share, runs, calls]: [&str; 4], name: &str, columns: usize) -> String {
    let figures = format!("{cost:>11} {share:>5} {runs:>7} {calls:>8}");
    let beside = format!("{figures}  {name}");
    if width(&beside) <= columns { beside } else { format!("{figures}\n{:INDENT$}{name}", "") }
}

/// Writes one JSON object.
pub(super) fn json(spent: &Spent, out: &mut impl Write) -> anyhow::Result<()> {
    // The values stay the same: the added escapes are JSON's own.
    Ok(writeln!(out, "{}", legible(&serde_json::to_string(spent)?))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_no_name_can_forge_a_row_or_turn_the_text_around_at_any_width() {
        let forged = "@a\n      $0.00    0%       0        0  in all\t\u{1b}[2K\u{202e}:hs";
        let long = format!("@{}:hs", "ü".repeat(125));
        let wide = format!("!{}:hs", "漢".repeat(80));
        let rows: Vec<Row> = [forged, &long, &wide].map(|name| row(Some(name), 1, 1, 0)).into();
        let spent = Spent { by: By::Person, since: None, rows, sum: row(None, 3, 3, 0) };
        let mut out = Vec::new();
        table(&spent, 80, &mut out).expect("memory takes it");
        let shown = String::from_utf8(out).expect("text");
        assert!(
            !shown.contains(|letter: char| letter.is_control() && letter != '\n') && !shown.contains('\u{202e}'),
            "{shown}"
        );
        assert_eq!(shown.lines().filter(|line| line.trim_end().ends_with("in all")).count(), 1, "{shown}");
        assert!(shown.contains(&long) && shown.contains(&wide), "ids stay whole, to be copied: {shown}");
        for columns in [40, 60, 200] {
            let mut out = Vec::new();
            table(&spent, columns, &mut out).expect("memory takes it");
            let shown = String::from_utf8(out).expect("text");
            let is_name = |line: &str| line.starts_with("    @") || line.starts_with("    !");
            assert!(shown.lines().all(|line| width(line) <= columns || is_name(line)), "{columns}:\n{shown}");
            assert!(shown.contains(&long) && shown.contains(&wide), "{columns}:\n{shown}");
        }
        let mut out = Vec::new();
        json(&spent, &mut out).expect("memory takes it");
        let read: serde_json::Value = serde_json::from_slice(&out).expect("it is JSON");
        let text = String::from_utf8(out).expect("it is text");
        assert_eq!((text.lines().count(), &read["rows"][0]["name"]), (1, &forged.into()));
    }

    fn row(name: Option<&str>, runs: usize, cost_micro_usd: u64, unpriced_micro_usd: u64) -> Row {
        Row { name: name.map(ToOwned::to_owned), runs, calls: runs * 3, cost_micro_usd, unpriced_micro_usd }
    }

    fn spent(by: By) -> Spent {
        let rows = vec![
            row(Some("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"), 234_567, 412_200_000, 0),
            row(Some(&format!("!{}:example.org", "x".repeat(60))), 2, 1_000_000, 250_000),
            row(None, 1, 42, 0),
        ];
        let sum = row(None, 234_570, 413_200_042, 250_000);
        Spent { by, since: Some("2026-11-29".to_owned()), rows, sum }
    }

    #[test]
    fn c23_what_was_spent_fits_80_columns_and_cuts_no_id() {
        let mut out = Vec::new();
        table(&spent(By::Room), 80, &mut out).expect("memory takes it");
        let shown = String::from_utf8(out).expect("text");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn op12_what_was_spent_is_read_in_40_columns_too() {
        let mut out = Vec::new();
        table(&spent(By::Room), 40, &mut out).expect("memory takes it");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"));
    }

    #[test]
    fn c23_what_was_spent_is_one_json_object_for_programs() {
        let mut out = Vec::new();
        json(&spent(By::Person), &mut out).expect("memory takes it");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"));
    }
}
