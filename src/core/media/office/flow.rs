//! Paragraphs and tables, in whichever format they come: written line by line, a table row by row.

use super::super::script::Script;

/// Most paragraphs and tables that are open at once, one in the other.
const OPEN_MAX: usize = 64;
/// Most bytes of a paragraph or row that are collected before it is written.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What is being read.
enum Open {
    /// A paragraph, with what stands before its text.
    Paragraph { before: String, text: String },
    /// A table's row: the cells so far.
    Row(Vec<String>),
    /// A cell.
    Cell(String),
    /// A remark inside a paragraph, such as a note: its paragraphs become part of the text around it.
    Remark(String),
}

/// Paragraphs and tables on their way into a script.
pub(super) struct Flow<'s> {
    pub(super) script: &'s mut Script,
    open: Vec<Open>,
    /// Openings beyond the most, which are only counted.
    ignored: usize,
}

impl<'s> Flow<'s> {
    pub(super) fn into(script: &'s mut Script) -> Self {
        Self { script, open: Vec::new(), ignored: 0 }
    }

    /// Adds text to what is open; outside everything it is lost, as white space between elements is.
    pub(super) fn text(&mut self, text: &str) {
        let (Open::Paragraph { text: line, .. } | Open::Cell(line) | Open::Remark(line)) = (match self.open.last_mut() {
            Some(open) => open,
            None => return,
        }) else {
            return;
        };
        if line.len() + text.len() <= LINE_BYTES_MAX {
            line.push_str(text);
        }
    }

    /// Returns whether a paragraph is open, so that text belongs somewhere.
    pub(super) fn is_in_paragraph(&self) -> bool {
        matches!(self.open.last(), Some(Open::Paragraph { .. } | Open::Remark(_)))
    }

    pub(super) fn open_paragraph(&mut self) {
        self.enter(Open::Paragraph { before: String::new(), text: String::new() });
    }

    /// Sets what stands before the open paragraph's text, such as the marks of a heading.
    pub(super) fn begin_with(&mut self, mark: &str) {
        if let Some(Open::Paragraph { before, .. }) = self.open.last_mut() {
            mark.clone_into(before);
        }
    }

    /// Ends a paragraph, writes it, and returns its text.
    pub(super) fn close_paragraph(&mut self) -> Option<String> {
        let Some(Open::Paragraph { before, text }) = self.leave() else { return None };
        let text = text.trim_end().to_owned();
        if !text.trim().is_empty() {
            self.write(&format!("{before}{text}"));
        }
        Some(text)
    }

    /// Writes what the open paragraph holds so far, unless it is part of something else.
    pub(super) fn part_paragraph(&mut self) {
        if let [Open::Paragraph { before, text }] = &mut self.open[..]
            && !text.trim().is_empty()
        {
            let line = format!("{before}{}", text.trim_end());
            text.clear();
            before.clear();
            self.script.line(&line);
        }
    }

    pub(super) fn open_row(&mut self) {
        self.enter(Open::Row(Vec::new()));
    }

    pub(super) fn close_row(&mut self) {
        let Some(Open::Row(cells)) = self.leave() else { return };
        if cells.iter().any(|cell| !cell.is_empty()) {
            self.write(&format!("| {} |", cells.join(" | ")));
        }
    }

    pub(super) fn open_cell(&mut self) {
        self.enter(Open::Cell(String::new()));
    }

    pub(super) fn close_cell(&mut self) {
        let Some(Open::Cell(cell)) = self.leave() else { return };
        let cell = cell.trim().replace('\n', " / ");
        if let Some(Open::Row(cells)) = self.open.last_mut()
            && cells.iter().map(String::len).sum::<usize>() + cell.len() <= LINE_BYTES_MAX
        {
            cells.push(cell);
        }
    }

    pub(super) fn open_remark(&mut self, kind: &str) {
        self.enter(Open::Remark(format!(" [{kind}: ")));
    }

    pub(super) fn close_remark(&mut self) {
        let Some(Open::Remark(text)) = self.leave() else { return };
        let text = format!("{}]", text.trim_end());
        match self.open.last_mut() {
            Some(Open::Paragraph { .. } | Open::Cell(_) | Open::Remark(_)) => self.text(&text),
            _ => self.write(text.trim_start()),
        }
    }

    /// Writes a line where it belongs: into the open cell or remark, or out. A paragraph around it goes on after it.
    pub(super) fn write(&mut self, line: &str) {
        let around = self.open.iter_mut().rev().find(|open| matches!(open, Open::Cell(_) | Open::Remark(_)));
        let Some(Open::Cell(text) | Open::Remark(text)) = around else { return self.script.line(line) };
        if text.len() + line.len() > LINE_BYTES_MAX {
            return;
        }
        if !text.is_empty() && !text.ends_with([' ', '\n']) {
            text.push('\n');
        }
        text.push_str(line);
    }

    fn enter(&mut self, open: Open) {
        if self.open.len() < OPEN_MAX { self.open.push(open) } else { self.ignored += 1 }
    }

    fn leave(&mut self) -> Option<Open> {
        if self.ignored > 0 {
            self.ignored -= 1;
            return None;
        }
        self.open.pop()
    }
}
