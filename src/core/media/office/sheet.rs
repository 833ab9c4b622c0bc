//! A workbook's sheets as lines: a row's number, then its cells divided by tabs. Empty rows are left out.

use super::super::script::Script;

/// What the lines mean, before the first sheet.
const LEGEND: &str = "[Each line of a sheet is a row: its number, then its cells from column A on, divided by tabs. \
                      A cell behind a wider gap, or of a row that begins late, is written with its address, as in \
                      K12=5. Formulas stand as their last results.]";
/// Empty cells in a row that are written as such; behind more of them a cell has its address.
const GAP_MAX: u32 = 3;
/// Most characters of a cell.
const CELL_CHARS_MAX: usize = 4_000;
/// Most characters of a cell that has no address.
const UNPLACED_CHARS_MAX: usize = 100;
/// Most bytes of a row.
const ROW_BYTES_MAX: usize = 256 << 10;

/// A sheet on its way into a script.
pub(super) struct Sheets<'s> {
    pub(super) script: &'s mut Script,
    row: u32,
    /// The column behind the last written one.
    column: u32,
    line: String,
}

impl<'s> Sheets<'s> {
    /// Begins a workbook.
    pub(super) fn into(script: &'s mut Script) -> Self {
        Self { script, row: 0, column: 0, line: String::new() }
    }

    /// Begins a sheet.
    pub(super) fn begin(&mut self, name: &str, is_hidden: bool) {
        self.flush();
        if self.script.is_blank() {
            self.script.line(LEGEND);
        }
        let hidden = if is_hidden { " (hidden)" } else { "" };
        self.script.begin(&format!("sheet \"{name}\"{hidden}"));
        (self.row, self.column) = (0, 0);
    }

    /// Adds a cell; rows and columns count from 0. What is empty is left out.
    pub(super) fn cell(&mut self, row: u32, column: u32, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if self.row != row {
            self.flush();
            (self.row, self.column) = (row, 0);
        }
        if self.line.len() > ROW_BYTES_MAX {
            return;
        }
        match column.checked_sub(self.column) {
            Some(gap) if gap <= GAP_MAX => (0..=gap).for_each(|_| self.line.push('\t')),
            // Also a column that comes too late.
            _ => {
                self.line.push('\t');
                self.line.push_str(&address(row, column));
                self.line.push('=');
            }
        }
        let is_break = |letter: char| matches!(letter, '\t' | '\n' | '\r');
        self.line.extend(text.chars().take(CELL_CHARS_MAX).map(|letter| if is_break(letter) { ' ' } else { letter }));
        self.column = column.saturating_add(1);
    }

    /// Adds a cell of which only the order is known, behind the last one.
    pub(super) fn unplaced(&mut self, text: &str) {
        let is_break = |letter: char| matches!(letter, '\t' | '\n' | '\r');
        let text: String = text.trim().chars().take(UNPLACED_CHARS_MAX).filter(|letter| !is_break(*letter)).collect();
        let remark = format!("(next cell: {text})");
        if self.line.is_empty() {
            self.script.line(&remark);
        } else if self.line.len() <= ROW_BYTES_MAX {
            self.remark(&remark);
        }
    }

    /// Adds a remark to the row.
    pub(super) fn remark(&mut self, text: &str) {
        if !self.line.is_empty() {
            self.line.push('\t');
            self.line.push_str(text);
        }
    }

    /// Ends the workbook, of which so many sheets are left out.
    pub(super) fn left_out(&mut self, count: usize) {
        self.flush();
        self.script.left_out(count, "sheet", "sheets");
    }

    /// Writes the row.
    pub(super) fn flush(&mut self) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.script.line(&format!("{}{line}", u64::from(self.row) + 1));
        }
        self.column = 0;
    }
}

/// Returns a cell's address, such as `B7`.
pub(super) fn address(row: u32, column: u32) -> String {
    let (mut letters, mut left) = (Vec::new(), u64::from(column) + 1);
    while left > 0 {
        letters.push(char::from(b'A' + u8::try_from((left - 1) % 26).unwrap_or_default()));
        left = (left - 1) / 26;
    }
    let letters: String = letters.into_iter().rev().collect();
    format!("{letters}{}", u64::from(row) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::media::Form;

    #[test]
    fn c7_a_sheet_is_lines_with_row_numbers_and_addresses_behind_gaps() {
        let mut script = Script::default();
        let mut sheets = Sheets::into(&mut script);
        sheets.begin("Budget", false);
        for (row, column, text) in [
            (0, 0, "Name"),
            (0, 1, "Sum"),
            (2, 1, "a\nb"),
            (2, 2, "  "),
            (2, 3, "d"),
            (2, 3, "again"),
            (9, 30, "far"),
            (u32::MAX, 16_383, "last"),
        ] {
            sheets.cell(row, column, text);
        }
        sheets.begin("Empty", true);
        sheets.flush();
        let text = String::from_utf8(script.decoded(Form::Workbook).expect("text").bytes).expect("text");
        let expected = "[sheet \"Budget\"]\n1\tName\tSum\n3\t\ta b\t\td\tD3=again\n10\tAE10=far\n\
                        4294967296\tXFD4294967296=last\n\n[sheet \"Empty\" (hidden)]\n";
        assert_eq!(text.split_once("\n\n").map(|(_, behind)| behind), Some(expected));
    }

    #[test]
    fn addresses_are_the_ones_that_spreadsheets_show() {
        let rows =
            [(0, 0, "A1"), (6, 25, "Z7"), (0, 26, "AA1"), (1, 701, "ZZ2"), (1, 702, "AAA2"), (0, 16_383, "XFD1")];
        for (row, column, expected) in rows {
            assert_eq!(address(row, column), expected);
        }
    }
}
