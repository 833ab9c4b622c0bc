//! Office files, mail, calendars, and a recogniser's answers.
//!
//! A mutated package seldom unpacks, so that a case is one part's text: its first byte says of which format, and the
//! package is made around it.

use std::{
    io::{Cursor, Write as _},
    panic,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{shape, size};
use crate::core::{
    media::{self, Kind},
    recogniser,
};

pub(super) const DOCUMENT_WORDS: &[&str] = &[
    "<w:p>",
    "</w:p>",
    "<w:r><w:t>x</w:t></w:r>",
    "<w:tbl><w:tr><w:tc>",
    "</w:tc></w:tr></w:tbl>",
    "<w:br w:type=\"page\"/>",
    "<w:lastRenderedPageBreak/>",
    "<w:pPr><w:pStyle w:val=\"1\"/></w:pPr>",
    "<w:rPr><w:vanish/></w:rPr>",
    "<w:del>",
    "</w:del>",
    "<w:hyperlink r:id=\"r\">",
    "</w:hyperlink>",
    "<p:sp><p:ph type=\"title\"/>",
    "</p:sp>",
    "<a:p><a:r><a:t>y</a:t></a:r></a:p>",
    "<p:sldId r:id=\"r\"/>",
    "<text:p>",
    "</text:p>",
    "<text:h text:outline-level=\"9\">",
    "</text:h>",
    "<text:s text:c=\"4294967295\"/>",
    "<text:note>",
    "</text:note>",
    "<office:annotation>",
    "</office:annotation>",
    "<table:table table:name=\"t\">",
    "</table:table>",
    "<table:table-row table:number-rows-repeated=\"4294967295\">",
    "</table:table-row>",
    "<table:table-cell table:number-columns-repeated=\"4294967295\">",
    "</table:table-cell>",
    "<draw:page>",
    "</draw:page>",
    "<row r=\"4294967295\">",
    "</row>",
    "<c r=\"XFD1048576\" t=\"s\"><v>0</v></c>",
    "<c t=\"d\"><v>1</v></c>",
    "<f>A1</f>",
    "&amp;",
    "&x;",
    "&#xfffff;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?x?>",
    "<!DOCTYPE a [<!ENTITY x \"y\">]>",
    "\u{feff}",
];
pub(super) const MAIL_WORDS: &[&str] = &[
    "From: a@hs\r\n",
    "To: b@hs\r\n",
    "Subject: x\r\n",
    "Date: Mon, 30 Nov 2026 09:00:00 +0100\r\n",
    "\r\n\r\n",
    "Content-Type: multipart/mixed; boundary=b\r\n",
    "--b\r\n",
    "--b--\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "=?utf-8?q?=C3?=",
    "charset=utf-7",
    "BEGIN:VCALENDAR\r\n",
    "BEGIN:VEVENT\r\n",
    "END:VEVENT\r\n",
    "DTSTART;TZID=\"a;b\":20261130T090000Z\r\n",
    "SUMMARY:a\\nb\r\n c\r\n",
    "ATTACH;ENCODING=BASE64:QUJD\r\n",
];
pub(super) const ANSWER_WORDS: &[&str] =
    &["{\"text\":\"", "\"}", "\\ud83d", "\\u0000", "null", "[", "]", "{", "...", "\u{202e}"];

/// Relations of every part: one leads to the part itself.
const RELATIONS: &str = "<Relationships><Relationship Id=\"r\" Type=\"x/slide\" Target=\"slides/a.xml\"/>\
    <Relationship Id=\"s\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/a.xml\"/>\
    </Relationships>";
const BOOK: &str = "<workbook><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"s\"/></sheets></workbook>";

fn packed(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in parts {
        if writer.start_file(*name, options).is_ok() {
            let _ = writer.write_all(bytes);
        }
    }
    writer.finish().map(Cursor::into_inner).unwrap_or_default()
}

fn package(format: u8, part: &[u8]) -> Vec<u8> {
    let root = |main: &str| {
        format!(
            "<Relationships><Relationship Id=\"a\" Type=\"x/relationships/officeDocument\" Target=\"{main}\"/></Relationships>"
        )
    };
    let types = ("[Content_Types].xml", &b"<Types/>"[..]);
    let relations = RELATIONS.as_bytes();
    match format % 4 {
        0 => packed(&[
            types,
            ("_rels/.rels", root("word/a.xml").as_bytes()),
            ("word/a.xml", part),
            ("word/_rels/a.xml.rels", relations),
        ]),
        1 => packed(&[
            types,
            ("_rels/.rels", root("ppt/a.xml").as_bytes()),
            ("ppt/a.xml", b"<a><p:sldId id=\"1\" r:id=\"r\"/></a>"),
            ("ppt/_rels/a.xml.rels", relations),
            ("ppt/slides/a.xml", part),
        ]),
        2 => packed(&[
            types,
            ("_rels/.rels", root("xl/workbook.xml").as_bytes()),
            ("xl/workbook.xml", BOOK.as_bytes()),
            ("xl/_rels/workbook.xml.rels", relations),
            ("xl/worksheets/a.xml", part),
        ]),
        _ => packed(&[
            ("mimetype", b"application/vnd.oasis.opendocument.text"),
            ("META-INF/manifest.xml", b"<manifest/>"),
            ("content.xml", part),
        ]),
    }
}

/// Checks that a part of an office file gives text within the limits, or a reason.
pub(super) fn document(bytes: &[u8]) -> u64 {
    let Some((format, part)) = bytes.split_first() else { return 0 };
    decoded(Kind::Office, &package(*format, part), format % 4)
}

/// Checks the same of a mail and of a calendar.
pub(super) fn mail(bytes: &[u8]) -> u64 {
    let kind = if bytes.starts_with(b"BEGIN") { Kind::Calendar } else { Kind::Mail };
    decoded(kind, bytes, 0)
}

/// A decoder may panic: that ends its child.
fn decoded(kind: Kind, bytes: &[u8], format: u8) -> u64 {
    let Ok(decoded) = panic::catch_unwind(|| media::decode(kind, bytes)) else { return shape(&(format, "panicked")) };
    match decoded.and_then(|decoded| decoded.prepared(bytes)) {
        Ok(prepared) => {
            assert!(prepared.tokens <= media::TEXT_TOKENS_MAX, "more tokens than any document may have");
            shape(&(format, size(prepared.tokens as usize), size(usize::try_from(prepared.bytes).unwrap_or(0))))
        }
        Err(why) => shape(&(format, why.key())),
    }
}

/// Checks that a recogniser's answer gives words that are bounded and can be seen, or none.
pub(super) fn answer(bytes: &[u8]) -> u64 {
    match recogniser::words(bytes) {
        Ok(words) => {
            assert!(!words.is_empty() && !words.contains('\0'), "words that are none");
            shape(&size(words.len()))
        }
        Err(why) => shape(&format!("{why:?}")),
    }
}
