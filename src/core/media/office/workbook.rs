//! Excel's workbooks: xlsx and xlsb in a package, xls in a compound file. Values only: a formula is its last result,
//! or, if it was never computed, the formula.

use std::io::Cursor;

use calamine::{
    Data, DataRef, DataType as _, ExcelDateTime, Reader as _, SheetType, SheetVisible, Xls, XlsError, Xlsb, XlsbError,
    Xlsx, XlsxError,
};
use memchr::memmem;

use super::{super::script::Script, Unread, sheet::Sheets};

/// Most sheets that are read.
const SHEETS_MAX: usize = 500;
/// Most characters of a formula that was never computed.
const FORMULA_CHARS_MAX: usize = 200;
/// Stands for a cell of which nothing can be read.
const UNREADABLE: &str = "#ERROR";
/// Digits that Excel shows of a number.
const DIGITS: usize = 15;

/// Reads a workbook in a package.
pub(super) fn read(bytes: &[u8], is_binary: bool, script: &mut Script) -> Result<(), Unread> {
    let mut sheets = Sheets::into(script);
    if is_binary {
        read_binary(bytes, &mut sheets)?;
    } else {
        read_xml(bytes, &mut sheets)?;
    }
    Ok(())
}

fn read_xml(bytes: &[u8], sheets: &mut Sheets<'_>) -> Result<(), Unread> {
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let (listed, left_out) = listed(workbook.sheets_metadata());
    for (name, is_hidden) in listed {
        sheets.begin(&name, is_hidden);
        let mut cells = match workbook.worksheet_cells_reader(&name) {
            Ok(cells) => cells,
            // A chart that fills a sheet.
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(broken(&error)),
        };
        loop {
            let cell = match cells.next_cell_with_formula() {
                Ok(Some(cell)) => cell,
                Ok(None) => break,
                // The reader has passed the cell's value, and goes on behind it; its address is lost.
                Err(XlsxError::CellError(text)) => {
                    sheets.unplaced(&text);
                    continue;
                }
                Err(XlsxError::Unrecognized { val, .. }) => {
                    sheets.unplaced(&val);
                    continue;
                }
                Err(XlsxError::ParseFloat(_) | XlsxError::CellTAttribute(_) | XlsxError::Unexpected(_)) => {
                    sheets.unplaced(UNREADABLE);
                    continue;
                }
                Err(error) => return Err(broken(&error)),
            };
            let (row, column) = cell.pos;
            match cell.formula.filter(|_| cell.value.is_empty()) {
                Some(formula) => {
                    let formula: String = formula.chars().take(FORMULA_CHARS_MAX).collect();
                    sheets.cell(row, column, &format!("={formula} (not computed)"));
                }
                None => sheets.cell(row, column, &shown_ref(&cell.value)),
            }
        }
    }
    sheets.left_out(left_out);
    Ok(())
}

fn read_binary(bytes: &[u8], sheets: &mut Sheets<'_>) -> Result<(), Unread> {
    let mut workbook = Xlsb::new(Cursor::new(bytes)).map_err(|_| Unread::Broken)?;
    let (listed, left_out) = listed(workbook.sheets_metadata());
    for (name, is_hidden) in listed {
        sheets.begin(&name, is_hidden);
        let mut cells = workbook.worksheet_cells_reader(&name).map_err(|_| Unread::Broken)?;
        loop {
            let cell = match cells.next_cell() {
                Ok(Some(cell)) => cell,
                Ok(None) => break,
                Err(XlsbError::CellError(_)) => {
                    sheets.unplaced(UNREADABLE);
                    continue;
                }
                Err(_) => return Err(Unread::Broken),
            };
            let (row, column) = cell.get_position();
            sheets.cell(row, column, &shown_ref(cell.get_value()));
        }
    }
    sheets.left_out(left_out);
    Ok(())
}

/// Reads a workbook in Excel's old form, or says what else a compound file is.
pub(super) fn read_old(bytes: &[u8], script: &mut Script) -> Result<(), Unread> {
    let has = |stream: &str| {
        let name: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
        memmem::find(bytes, &name).is_some()
    };
    if has("EncryptedPackage") {
        return Err(Unread::Encrypted);
    }
    if !has("Workbook") && !has("Book") {
        return Err(Unread::Unsupported);
    }
    let mut workbook = match Xls::new(Cursor::new(bytes)) {
        Ok(workbook) => workbook,
        Err(XlsError::Password) => return Err(Unread::Encrypted),
        Err(_) => return Err(Unread::Broken),
    };
    let mut sheets = Sheets::into(script);
    let (listed, left_out) = listed(workbook.sheets_metadata());
    for (name, is_hidden) in listed {
        sheets.begin(&name, is_hidden);
        let range = workbook.worksheet_range(&name).map_err(|_| Unread::Broken)?;
        let (row, column) = range.start().unwrap_or_default();
        for (below, beside, value) in range.used_cells() {
            let at = |begin: u32, behind: usize| begin.saturating_add(u32::try_from(behind).unwrap_or(u32::MAX));
            sheets.cell(at(row, below), at(column, beside), &shown(value));
        }
    }
    sheets.left_out(left_out);
    Ok(())
}

/// Returns the sheets with values and whether each is hidden, in the workbook's order, and how many are left out.
fn listed(sheets: &[calamine::Sheet]) -> (Vec<(String, bool)>, usize) {
    let readable = sheets.iter().filter(|sheet| matches!(sheet.typ, SheetType::WorkSheet | SheetType::DialogSheet));
    let mut listed: Vec<(String, bool)> =
        readable.map(|sheet| (sheet.name.clone(), sheet.visible != SheetVisible::Visible)).collect();
    let left_out = listed.len().saturating_sub(SHEETS_MAX);
    listed.truncate(SHEETS_MAX);
    (listed, left_out)
}

fn broken(error: &XlsxError) -> Unread {
    match error {
        XlsxError::Password => Unread::Encrypted,
        _ => Unread::Broken,
    }
}

fn shown_ref(value: &DataRef<'_>) -> String {
    match value {
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => shown_number(*number),
        DataRef::Bool(is) => shown_bool(*is),
        DataRef::DateTime(at) => shown_time(at),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

fn shown(value: &Data) -> String {
    match value {
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => shown_number(*number),
        Data::Bool(is) => shown_bool(*is),
        Data::DateTime(at) => shown_time(at),
        Data::Error(error) => error.to_string(),
        Data::Empty => String::new(),
    }
}

fn shown_bool(is: bool) -> String {
    if is { "TRUE" } else { "FALSE" }.to_owned()
}

/// Returns a number as spreadsheets show it: 0.3, where the file has 0.30000000000000004.
fn shown_number(number: f64) -> String {
    let rounded: f64 = format!("{number:.*e}", DIGITS - 1).parse().unwrap_or(number);
    if rounded != 0.0 && !(1e-9..1e21).contains(&rounded.abs()) { format!("{rounded:e}") } else { rounded.to_string() }
}

fn shown_time(at: &ExcelDateTime) -> String {
    if at.is_duration() {
        let seconds = (at.as_f64() * 86_400.0).round();
        let sign = if seconds < 0.0 { "-" } else { "" };
        let seconds = seconds.abs();
        let (hours, rest) = ((seconds / 3_600.0).floor(), seconds % 3_600.0);
        return format!("{sign}{hours}:{:02}:{:02}", (rest / 60.0).floor(), rest % 60.0);
    }
    let (year, month, day, hour, minute, second, _) = at.to_ymd_hms_milli();
    let time =
        if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") };
    match at.as_f64() {
        // A time of no day.
        days if (0.0..1.0).contains(&days) => time,
        days if days.fract() == 0.0 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {time}"),
    }
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType;

    use super::*;

    #[test]
    fn c7_numbers_and_times_are_shown_as_people_see_them() {
        for (number, expected) in [
            (0.1 + 0.2, "0.3"),
            (1234.5, "1234.5"),
            (-7.0, "-7"),
            (0.0, "0"),
            (1e300, "1e300"),
            (12_345_678_901_234.0, "12345678901234"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(shown_number(number), expected);
        }
        for (value, kind, expected) in [
            (45_943.0, ExcelDateTimeType::DateTime, "2025-10-13"),
            (45_943.5, ExcelDateTimeType::DateTime, "2025-10-13 12:00"),
            (0.25, ExcelDateTimeType::DateTime, "06:00"),
            (1.5, ExcelDateTimeType::TimeDelta, "36:00:00"),
        ] {
            assert_eq!(shown_time(&ExcelDateTime::new(value, kind, false)), expected);
        }
    }
}
