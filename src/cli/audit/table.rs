//! Formats runs for a terminal: in a list, a line of figures within 80 columns and a line with who and where, or in a
//! narrower one a few lines each; or one run in full.

use crate::{
    cli::{
        width::width,
        wrap::{COLUMNS, wrapped},
    },
    core::{
        audit::{Entry, Kind},
        legible::legible,
        run::Outcome,
        trail::{Decision, Tally},
        words::{errands, trail as words},
    },
};

/// Characters shown of a run's id; enough to name it.
const RUN_CHARS: usize = 8;

/// Returns the table's header; `None` where there are no columns to head.
pub(super) fn head(columns: usize) -> Option<String> {
    (columns >= COLUMNS).then(|| line(["WHEN (UTC)", "RUN", "WHO", "OUTCOME", "TOOLS", "TOKENS", "COST", "TOOK"]))
}

/// Returns a run's lines: the figures, then in full who asked, where, and why it failed.
pub(super) fn row(entry: &Entry, columns: usize) -> String {
    let (hash, again) = entry.run.split_once('-').unwrap_or((&entry.run, ""));
    let hash: String = hash.chars().take(RUN_CHARS).collect();
    let run = if again.is_empty() { hash } else { format!("{hash}-{again}") };
    let tokens = entry.spent.input_tokens.saturating_add(entry.spent.output_tokens);
    let (when, outcome) = (words::sortable(entry.accepted_at), words::outcome(entry.outcome));
    let unknown = if entry.spent.model_calls == 0 { "-" } else { "?" };
    let cost = entry.spent.cost_micro_usd.map_or_else(|| unknown.to_owned(), words::cost);
    let (calls, took) = (entry.tool_calls, brief(entry.duration_ms()));
    let figures = if columns >= COLUMNS {
        line([&when, &run, who(entry), outcome, &calls.to_string(), &short(tokens), &cost, &took])
    } else {
        let (calls, tokens) = (words::counted(u64::try_from(calls).unwrap_or(u64::MAX)), words::counted(tokens));
        let head = wrapped(&format!("{when} {run} {outcome}"), columns);
        let who = cut(who(entry), usize::MAX);
        let figures = format!("  {who}: {cost}, took {took}, tokens {tokens}, tools {calls}");
        format!("{head}\n{}", wrapped(&figures, columns))
    };
    let place = entry.room.as_ref().map(|room| format!(" in {room}")).unwrap_or_default();
    let reason = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    // Ids stay whole, to be copied; a long one gets its own line.
    let rest = format!("  {}", cut(&format!("{}{place}{reason}", asked_by(entry)), usize::MAX));
    format!("{figures}\n{}", wrapped(&rest, columns))
}

/// Aligns texts into columns, 80 characters in all.
fn line([when, run, who, outcome, tools, tokens, cost, took]: [&str; 8]) -> String {
    let [when, run, who, outcome] =
        [(when, 16), (run, 11), (who, 12), (outcome, 8)].map(|(text, width)| cut(text, width));
    let [tools, tokens, cost, took] =
        [(tools, 5), (tokens, 7), (cost, 8), (took, 6)].map(|(text, width)| cut(text, width));
    // Padded by columns, not by letters.
    let pad = |text: &str, columns: usize| " ".repeat(columns.saturating_sub(width(text)));
    format!(
        "{when}{} {run}{} {who}{} {outcome}{} {tools:>5} {tokens:>7} {cost:>8} {took:>6}",
        pad(&when, 16),
        pad(&run, 11),
        pad(&who, 12),
        pad(&outcome, 8)
    )
}

/// Sums over the listed runs.
#[derive(Debug, Default)]
pub(super) struct Totals {
    runs: usize,
    by_outcome: Vec<(Outcome, usize)>,
    tokens: u64,
    cost_micro_usd: u64,
    /// Runs of unknown cost.
    unpriced: usize,
}

impl Totals {
    /// Adds a run.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.runs += 1;
        match self.by_outcome.iter_mut().find(|(outcome, _)| *outcome == entry.outcome) {
            Some((_, count)) => *count += 1,
            None => self.by_outcome.push((entry.outcome, 1)),
        }
        let tokens = entry.spent.input_tokens.saturating_add(entry.spent.output_tokens);
        self.tokens = self.tokens.saturating_add(tokens);
        match entry.spent.cost_micro_usd {
            Some(cost) => self.cost_micro_usd = self.cost_micro_usd.saturating_add(cost),
            None => self.unpriced += usize::from(tokens > 0),
        }
    }

    /// Returns the sums as a line.
    pub(super) fn shown(&self) -> String {
        let runs = if self.runs == 1 { "1 run".to_owned() } else { format!("{} runs", self.runs) };
        let outcomes: Vec<String> =
            self.by_outcome.iter().map(|(outcome, count)| format!("{count} {}", words::outcome(*outcome))).collect();
        let unpriced =
            if self.unpriced > 0 { format!(" and {} of unknown cost", self.unpriced) } else { String::new() };
        format!(
            "{runs} ({}), {} tokens, {}{unpriced}",
            outcomes.join(", "),
            words::counted(self.tokens),
            words::cost(self.cost_micro_usd)
        )
    }
}

/// Returns who asked, or what the run came from if nobody did.
fn asked_by(entry: &Entry) -> String {
    match &entry.origin {
        Some(origin) => errands::from_origin(origin),
        None => entry.asker.to_string(),
    }
}

/// Returns one run in full.
pub(super) fn whole(entry: &Entry) -> String {
    let mut lines = vec![
        ("run", entry.run.clone()),
        ("who", format!("{} ({})", who(entry), entry.user)),
        ("asked by", asked_by(entry)),
    ];
    match &entry.room {
        Some(room) => lines.push(("room", room.to_string())),
        None => {
            lines.push(("", "An assistant's: rooms, messages and tools' names are its owner's business.".to_owned()));
        }
    }
    for (name, event) in [("thread", &entry.thread), ("request", &entry.request), ("answer", &entry.answer)] {
        lines.extend(event.as_ref().map(|event| (name, event.to_string())));
    }
    lines.push(("accepted", words::sortable_exact(entry.accepted_at)));
    lines.push((
        "ended",
        format!("{}, after {}", words::sortable_exact(entry.ended_at), words::took(entry.duration_ms())),
    ));
    let reason = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    lines.push(("outcome", format!("{}{reason}", words::outcome(entry.outcome))));
    let spent = &entry.spent;
    lines.push(("model", format!("{}, {} calls", entry.model.as_deref().unwrap_or("none"), spent.model_calls)));
    lines.push((
        "tokens",
        format!(
            "{} in ({} cached), {} out",
            words::counted(spent.input_tokens),
            words::counted(spent.cached_tokens),
            words::counted(spent.output_tokens)
        ),
    ));
    lines.push(("cost", spent.cost_micro_usd.map_or_else(|| "not known".to_owned(), words::cost)));
    lines.push(("tools", entry.tool_calls.to_string()));
    lines.extend(entry.tools.iter().map(|tool| ("", call(tool))));
    if entry.kind == Kind::Coworker {
        let span = entry
            .read_span
            .map(|(from, to)| format!(", sent from {} to {}", words::sortable_exact(from), words::sortable_exact(to)));
        lines.push(("read", format!("{} messages{}", entry.read.len(), span.unwrap_or_default())));
        lines.extend(entry.read.iter().map(|event| ("", event.to_string())));
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(name, text)| format!("{name:<10}{}", cut(&text, usize::MAX)).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn call(tool: &Tally) -> String {
    let decision = match &tool.decision {
        Some(Decision::Approved { by, at }) => {
            format!(", {} {by} at {}", words::APPROVED_BY, words::sortable_exact(*at))
        }
        Some(Decision::Declined { by, at } | Decision::Left { by, at }) => {
            format!(", {} {by} at {}", words::DECLINED_BY, words::sortable_exact(*at))
        }
        Some(Decision::Expired) | None => String::new(),
    };
    format!("{}: {}{decision}", legible(&tool.tool), words::step_end(tool.outcome, tool.duration_ms))
}

fn who(entry: &Entry) -> &str {
    entry.coworker.as_deref().unwrap_or("(assistant)")
}

/// Returns a text shortened to so many columns and without terminal control characters.
pub(super) fn cut(text: &str, columns_max: usize) -> String {
    let text: String = text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    let text = legible(&text);
    if width(&text) <= columns_max {
        return text;
    }
    let mut shown = String::new();
    for letter in text.chars() {
        let mut buffer = [0; 4];
        if width(&shown) + width(letter.encode_utf8(&mut buffer)) >= columns_max {
            break;
        }
        shown.push(letter);
    }
    shown + "…"
}

/// Returns a number in at most seven characters.
pub(super) fn short(number: u64) -> String {
    if number < 10_000_000 { number.to_string() } else { format!("{}M", number / 1_000_000) }
}

/// Returns a time in at most six characters.
pub(super) fn brief(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..100 => format!("{seconds} s"),
        seconds @ 100..6_000 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
