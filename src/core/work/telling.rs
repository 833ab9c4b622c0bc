//! An answer's text with its sources: a small number where something is cited, and one line of links at the end.

use super::{said::Said, sources::is_same};
use crate::core::{
    citing::{Cited, SOURCES_MAX, literal, target},
    words,
};

/// Most numbers behind one claim.
const MARKS_MAX: usize = 4;

/// Returns what was said as Markdown, and its sources in the order of their numbers.
///
/// A number stands behind the block that cites. Where that would be inside code or behind a line that is markup alone, it
/// waits for the next place that is plain text. Neighbouring claims with the same sources have their numbers once.
pub(super) fn told(said: &[Said]) -> (String, Vec<Cited>) {
    let texts: Vec<(&str, &[Cited])> = said
        .iter()
        .filter_map(|block| match block {
            Said::Text { text, sources } => Some((text.as_str(), sources.as_slice())),
            _ => None,
        })
        .collect();
    let mut telling = Telling::default();
    let marks: Vec<Vec<usize>> = texts.iter().map(|(_, sources)| telling.numbers(sources)).collect();
    for (at, (text, _)) in texts.iter().enumerate() {
        let content = text.trim_end();
        let goes_on = !text[content.len()..].contains('\n')
            && texts.get(at + 1).is_some_and(|(next, _)| !next.starts_with('\n') && marks[at] == marks[at + 1]);
        telling.say(content, &text[content.len()..], if goes_on { &[] } else { &marks[at] });
    }
    telling.ended()
}

#[derive(Default)]
struct Telling {
    text: String,
    /// The sources by their numbers.
    sources: Vec<Cited>,
    /// Numbers that wait for a place.
    waiting: Vec<usize>,
}

impl Telling {
    /// Returns the numbers of sources, counting those that are new.
    fn numbers(&mut self, cited: &[Cited]) -> Vec<usize> {
        let mut numbers = Vec::new();
        for source in cited {
            let at = self.sources.iter().position(|known| is_same(known, source)).or_else(|| {
                (self.sources.len() < SOURCES_MAX && numbers.len() < MARKS_MAX).then(|| {
                    self.sources.push(source.clone());
                    self.sources.len() - 1
                })
            });
            if let Some(at) = at.filter(|at| !numbers.contains(at) && numbers.len() < MARKS_MAX) {
                numbers.push(at);
            }
        }
        numbers
    }

    fn say(&mut self, content: &str, space: &str, marks: &[usize]) {
        self.text.push_str(content);
        for mark in marks {
            if !self.waiting.contains(mark) {
                self.waiting.push(*mark);
            }
        }
        if !self.waiting.is_empty() && !content.is_empty() {
            self.mark();
        }
        self.text.push_str(space);
    }

    /// Writes the numbers that wait, unless the text so far ends inside code.
    fn mark(&mut self) {
        let line = self.text.rsplit('\n').next().unwrap_or_default().trim_start();
        if !self.waiting.is_empty()
            && !ends_in_code(&self.text)
            && line.chars().any(char::is_alphanumeric)
            && !is_fence(line)
        {
            let marks: String = self.waiting.drain(..).map(|at| mark(at + 1, &self.sources[at])).collect();
            // Behind the last cell of a table's row there is nowhere.
            let end =
                if line.starts_with('|') { self.text.trim_end_matches(['|', ' ']).len() } else { self.text.len() };
            self.text.insert_str(end, &marks);
        }
    }

    fn ended(mut self) -> (String, Vec<Cited>) {
        if self.sources.is_empty() {
            return (self.text, self.sources);
        }
        let open = open_fence(&self.text);
        if let Some(fence) = open {
            let end = if self.text.ends_with('\n') { "" } else { "\n" };
            self.text = format!("{}{end}{fence}", self.text);
        }
        let trimmed = self.text.trim_end().len();
        self.text.truncate(trimmed);
        let listed =
            (1..).zip(&self.sources).map(|(number, source): (usize, _)| format!("[{number}] {}", link(source)));
        let listed = listed.collect::<Vec<_>>().join(" · ");
        let text = format!("{}\n\n{} {listed}", self.text, words::SOURCES);
        (text, self.sources)
    }
}

/// Returns a number as a small link to its source.
fn mark(number: usize, source: &Cited) -> String {
    match &source.link {
        Some(address) => format!(" <sup>[[{number}]](<{}>)</sup>", target(address)),
        None => format!(" <sup>[{number}]</sup>"),
    }
}

fn link(source: &Cited) -> String {
    let name = literal(&source.name);
    match &source.link {
        Some(address) => format!("[{name}](<{}>)", target(address)),
        None => name,
    }
}

/// Returns whether a line begins or ends a code block.
fn is_fence(line: &str) -> bool {
    line.starts_with("```") || line.starts_with("~~~")
}

/// Returns the fence of the code block that is open at the end of a text.
fn open_fence(text: &str) -> Option<&str> {
    let mut open: Option<&str> = None;
    for line in text.lines().map(str::trim_start).filter(|line| is_fence(line)) {
        let sign = if line.starts_with('`') { '`' } else { '~' };
        let marks = &line[..line.len() - line.trim_start_matches(sign).len()];
        match open {
            None => open = Some(marks),
            Some(fence) if marks.starts_with(fence) && line[marks.len()..].trim().is_empty() => open = None,
            Some(_) => {}
        }
    }
    open
}

/// Returns whether a text ends inside code: in a block, or between the backticks of its last paragraph.
fn ends_in_code(text: &str) -> bool {
    let paragraph = text.rsplit("\n\n").next().unwrap_or_default();
    open_fence(text).is_some() || !paragraph.matches('`').count().is_multiple_of(2)
}
