//! The stand-in's answers to people, made from the room's own messages.
//!
//! Messages are matched and quoted, never obeyed. Equal requests get equal answers.

pub(super) mod chart;
mod records;
mod words;

use serde_json::Value;

use records::{Errand, Record, errand, own_name, records};
use words::{keywords, shorten};

/// Messages quoted in one answer, at most.
const QUOTES_MAX: usize = 4;
/// Characters of one quoted message, at most.
const QUOTE_CHARS_MAX: usize = 200;
/// Characters of a quoted report, at most.
const REPORT_CHARS_MAX: usize = 600;
/// Messages listed in a summary, at most.
const SUMMARY_MAX: usize = 6;
/// Newest messages named when none matches.
const NEWEST_MAX: usize = 2;
/// Characters of a message in a summary or among the newest.
const BRIEF_CHARS_MAX: usize = 100;
const HONESTY: &str = "(I am an offline stand-in, not Claude: I only look words up in this conversation.)";
/// Words that ask for a summary, as [`keywords`] stems them.
const SUMMARY_WORDS: &[&str] = &["sum", "summarise", "summarize", "summary", "recap", "tldr", "zusammenfassung"];

/// Returns the answer to the request's last record.
pub(super) fn answer(body: &Value) -> String {
    let mut all = records(body);
    if let Some(errand) = errand(body) {
        return format!("{HONESTY} {}", of_errand(&errand, &all));
    }
    let Some(request) = all.pop() else {
        return format!("{HONESTY} I found no message to answer.");
    };
    let own_name = keywords(&own_name(body));
    let mut wanted = keywords(&request.text);
    wanted.retain(|word| !own_name.contains(word));
    format!("{HONESTY} {}", of_words(&wanted, &all))
}

/// Returns what stands in front of whatever it says.
pub(super) fn honestly(text: &str) -> String {
    format!("{HONESTY} {text}")
}

/// Whether the request asks for a chart.
pub(super) fn asks_for_chart(body: &Value) -> bool {
    records(body).last().is_some_and(|request| request.text.to_lowercase().contains("chart"))
}

/// Quotes what was reported, or what the room says about the task.
fn of_errand(errand: &Errand, history: &[Record]) -> String {
    match &errand.reported {
        // The first line has the parts that matter.
        Some(reported) => {
            format!("It was reported: {}", shorten(reported.lines().next().unwrap_or_default(), REPORT_CHARS_MAX))
        }
        None => of_words(&keywords(&errand.task), history),
    }
}

fn of_words(wanted: &[String], history: &[Record]) -> String {
    if wanted.iter().any(|word| SUMMARY_WORDS.contains(&word.as_str())) {
        summary(history)
    } else {
        relevant(history, wanted)
    }
}

fn summary(history: &[Record]) -> String {
    if history.is_empty() {
        return "There is nothing before your message to summarise.".to_owned();
    }
    let lines: Vec<String> = newest(history, SUMMARY_MAX).iter().map(brief).collect();
    format!("The last messages here:\n{}", lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"))
}

/// Quotes the messages that share the most words with the request, in room order.
fn relevant(history: &[Record], wanted: &[String]) -> String {
    let mut scored: Vec<(usize, usize)> = history
        .iter()
        .enumerate()
        .map(|(index, record)| (overlap(wanted, &keywords(&record.text)), index))
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by_key(|&(score, index)| (std::cmp::Reverse(score), std::cmp::Reverse(index)));
    scored.truncate(QUOTES_MAX);
    scored.sort_by_key(|&(_, index)| index);
    let quotes: Vec<String> = scored
        .iter()
        .filter_map(|&(_, index)| history.get(index))
        .map(|record| quote(record, QUOTE_CHARS_MAX))
        .collect();
    if !quotes.is_empty() {
        return format!("From this room: {}.", quotes.join("; "));
    }
    if history.is_empty() {
        return "I can read nothing before your message.".to_owned();
    }
    let last: Vec<String> = newest(history, NEWEST_MAX).iter().map(|record| quote(record, BRIEF_CHARS_MAX)).collect();
    format!("Nothing said here before matches your question. The newest messages: {}.", last.join("; "))
}

fn overlap(wanted: &[String], found: &[String]) -> usize {
    wanted.iter().filter(|word| found.contains(word)).count()
}

fn newest(history: &[Record], count: usize) -> &[Record] {
    history.get(history.len().saturating_sub(count)..).unwrap_or_default()
}

fn quote(record: &Record, chars_max: usize) -> String {
    format!("{} wrote “{}”", record.sender, shorten(&record.text, chars_max))
}

fn brief(record: &Record) -> String {
    format!("{}: {}", record.sender, shorten(&record.text, BRIEF_CHARS_MAX))
}
