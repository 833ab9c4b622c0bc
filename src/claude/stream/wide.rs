//! Answers in UTF-16, which some gateways send: read as UTF-8.

use std::borrow::Cow;

/// How an answer's letters are encoded.
#[derive(Debug, Default)]
enum Kind {
    /// Not known before two bytes.
    #[default]
    Untold,
    /// UTF-8.
    Narrow,
    /// UTF-16, in this order of bytes.
    Wide(fn([u8; 2]) -> u16),
}

/// Converts an answer's bytes to UTF-8.
#[derive(Debug, Default)]
pub(super) struct Wide {
    kind: Kind,
    /// Bytes of an incomplete letter, or before the encoding is known.
    held: Vec<u8>,
}

impl Wide {
    /// Takes the next bytes, cut anywhere.
    pub(super) fn feed<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if matches!(self.kind, Kind::Narrow) {
            return Cow::Borrowed(bytes);
        }
        self.held.extend_from_slice(bytes);
        if matches!(self.kind, Kind::Untold) {
            let [first, second, ..] = self.held.as_slice() else { return Cow::Borrowed(&[]) };
            self.kind = told_by(*first, *second);
        }
        Cow::Owned(match self.kind {
            Kind::Wide(unit) => self.letters(unit),
            _ => std::mem::take(&mut self.held),
        })
    }

    /// Takes the end; returns a single byte that was held back.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        if matches!(self.kind, Kind::Wide(_)) { Vec::new() } else { held }
    }

    /// Returns the complete letters as UTF-8.
    fn letters(&mut self, unit: fn([u8; 2]) -> u16) -> Vec<u8> {
        let mut units: Vec<u16> = self.held.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        // Half a pair waits for the other half.
        if units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
        }
        self.held.drain(..units.len() * 2);
        let letters = char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        letters.collect::<String>().into_bytes()
    }
}

/// Answers begin with a letter of ASCII, or with a byte order mark.
fn told_by(first: u8, second: u8) -> Kind {
    match (first, second) {
        (0xff, 0xfe) | (1..=0x7f, 0) => Kind::Wide(u16::from_le_bytes),
        (0xfe, 0xff) | (0, 1..=0x7f) => Kind::Wide(u16::from_be_bytes),
        _ => Kind::Narrow,
    }
}

/// Returns a whole body as UTF-8; other bytes become replacement characters.
pub(in crate::claude) fn narrowed(body: &[u8]) -> Vec<u8> {
    let mut wide = Wide::default();
    let mut narrow = wide.feed(body).into_owned();
    narrow.extend(wide.end());
    match String::from_utf8(narrow) {
        Ok(text) => text.into_bytes(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into_bytes(),
    }
}
