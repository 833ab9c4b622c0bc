//! Exports runs for other programs: JSON lines, or comma-separated values without spreadsheet formulas.

use std::io::Write;

use super::source::Source;
use crate::core::{
    audit::{Ask, Entry},
    legible::legible,
    words::trail as words,
};

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a line of names.
    Csv,
}

/// The columns of the CSV form.
const COLUMNS: [&str; 23] = [
    "run",
    "kind",
    "coworker",
    "user",
    "asker",
    "room",
    "thread",
    "request",
    "answer",
    "outcome",
    "accepted_at",
    "ended_at",
    "duration_ms",
    "model",
    "model_calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_micro_usd",
    "tool_calls",
    "tools",
    "read",
    "reason",
];

/// Writes every requested run as it is read.
pub(super) fn write(source: &mut Source, ask: &Ask, format: Format, out: &mut impl Write) -> anyhow::Result<()> {
    match format {
        Format::Jsonl => source.each(ask, &mut |entry| {
            // The values stay the same: the added escapes are JSON's own.
            let line = legible(&serde_json::to_string(&entry)?);
            Ok(writeln!(out, "{line}")?)
        }),
        Format::Csv => {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(COLUMNS)?;
            source.each(ask, &mut |entry| Ok(table.write_record(cells(&entry))?))?;
            Ok(table.flush()?)
        }
    }
}

/// Returns a run's cells in the order of [`COLUMNS`].
pub(super) fn cells(entry: &Entry) -> [String; COLUMNS.len()] {
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    let (spent, whole) = (&entry.spent, serde_json::to_value(entry).unwrap_or_default());
    let plain = |key: &str| whole[key].as_str().unwrap_or_default().to_owned();
    let tools: Vec<String> =
        entry.tools.iter().map(|tool| format!("{}: {}", tool.tool, words::step_outcome(tool.outcome))).collect();
    let read: Vec<&str> = entry.read.iter().map(|event| event.as_str()).collect();
    [
        entry.run.clone(),
        plain("kind"),
        text(entry.coworker.as_deref()),
        entry.user.to_string(),
        entry.asker.to_string(),
        text(entry.room.as_ref().map(|room| room.as_str())),
        text(entry.thread.as_ref().map(|event| event.as_str())),
        text(entry.request.as_ref().map(|event| event.as_str())),
        text(entry.answer.as_ref().map(|event| event.as_str())),
        plain("outcome"),
        plain("accepted_at"),
        plain("ended_at"),
        entry.duration_ms().to_string(),
        text(entry.model.as_deref()),
        spent.model_calls.to_string(),
        spent.input_tokens.to_string(),
        spent.cached_tokens.to_string(),
        spent.output_tokens.to_string(),
        spent.cost_micro_usd.map(|cost| cost.to_string()).unwrap_or_default(),
        entry.tool_calls.to_string(),
        tools.join("; "),
        read.join(" "),
        text(entry.reason.as_deref()),
    ]
    .map(unarmed)
}

/// Returns a cell that a spreadsheet displays instead of evaluating. A plain user id stays unchanged, so that it can be
/// joined with other tables; without brackets, quotes and the like it cannot call a function.
fn unarmed(cell: String) -> String {
    if is_plain_id(&cell) {
        return cell;
    }
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell }
}

fn is_plain_id(cell: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':');
    cell.strip_prefix('@').is_some_and(|rest| rest.contains(':') && rest.bytes().all(is_plain))
}
