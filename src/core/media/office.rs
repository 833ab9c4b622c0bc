//! Office files: text documents, slides and workbooks, in packages (zip) and in Excel's old binary form.
//!
//! Only what people read in them is taken: macros are never looked at, nothing that a link names is fetched, a formula
//! is its last result. Each page, slide or sheet is named in the text, as far as the file says where it begins.

mod document;
mod flow;
mod opendocument;
mod package;
mod sheet;
mod slides;
mod workbook;
mod xml;

use super::{Decoded, Form, Unread, script::Script};

use self::package::{Package, Parts};

/// How a zip archive begins, if it is not empty.
const ZIP: &[u8] = b"PK\x03\x04";
/// How a compound file begins, as old office files are, and new ones that need a password.
const COMPOUND: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Returns whether it may be an office file.
pub(super) fn may_be(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP) || bytes.starts_with(COMPOUND)
}

/// Decodes an office file.
///
/// # Errors
/// Why it cannot be read; [`Unread::Unsupported`] if it is another kind of archive.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Unread> {
    let mut script = Script::default();
    if bytes.starts_with(COMPOUND) {
        workbook::read_old(bytes, &mut script)?;
        return script.decoded(Form::Workbook);
    }
    let mut package = Package::open(bytes)?;
    let form = match package.parts()? {
        Parts::Word { main } => {
            document::read(&mut package, &main, &mut script)?;
            Form::Document
        }
        Parts::Slides { main } => {
            slides::read(&mut package, &main, &mut script)?;
            Form::Slides
        }
        Parts::Workbook { is_binary } => {
            package.measure()?;
            workbook::read(bytes, is_binary, &mut script)?;
            Form::Workbook
        }
        Parts::OpenDocument => opendocument::read(&mut package, &mut script)?,
    };
    script.decoded(form)
}

#[cfg(test)]
mod tests;
