//! Office files that other programs made (`tests/files/make.py`), and hostile ones.

use std::io::{Cursor, Write as _};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    package::{ENTRIES_MAX, PART_BYTES_MAX, PARTS_BYTES_MAX},
    *,
};
use crate::core::media::{Extent, Kind, Made, TEXT_TOKENS_MAX};

macro_rules! made {
    ($name:literal) => {
        &include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/", $name))[..]
    };
}

/// Returns what the model is given of a file, whose form is checked.
fn given(bytes: &[u8], form: Form) -> String {
    assert!(may_be(bytes));
    let decoded = decode(bytes).expect("it can be read");
    assert_eq!((decoded.made, decoded.shown), (Made::Text, Extent::Document { form, ends: false }));
    String::from_utf8(decoded.bytes).expect("text")
}

#[test]
fn c7_a_word_document_is_read_with_pages_headings_tables_and_comments() {
    let expected = "[page 1]\n# Rollback plan\nGröße & Straße 服务器\n# Steps\nStop the queue\nStart it again\n\
        | Host | State |\n| db1 | down |\nseen\n\n[page 2]\n# Costs\nFour hours\n[picture]\nNeeds a word[comment 0]\n\n\
        [comments]\n[comment 0 by Bob]\nAsk Jane first\n\n[page header]\nConfidential\n";
    assert_eq!(given(made!("plan.docx"), Form::Document), expected);
}

#[test]
fn c7_a_workbook_is_read_sheet_by_sheet_with_results_and_addresses() {
    let text = given(made!("budget.xlsx"), Form::Workbook);
    let (_, sheets) = text.split_once("\n\n").expect("a legend");
    let expected = "[sheet \"Budget 2026\"]\n1\tItem\tCost\tDue\n2\tServers\t1234.5\t2026-11-30\n\
        3\tGröße\t0.3\t2026-12-01 09:30\n4\t\t=SUM(B2:B3) (not computed)\n9\tK9=far\n\n\
        [sheet \"Notes\" (hidden)]\n2\t\tbelow the table\n";
    assert_eq!(sheets, expected);
    assert!(given(made!("old.xls"), Form::Workbook).ends_with("[sheet \"Alt\"]\n1\tGröße\n2\t\t42\n"));
}

#[test]
fn c7_slides_are_read_in_order_with_their_notes() {
    let expected = "[slide 1]\n# Outage\ndb1 was down\nfor 7 minutes\n\n[notes of slide 1]\nSay sorry\n\n\
        [slide 2]\n# Next\n| who | Jane |\n[picture: image.png]\n";
    assert_eq!(given(made!("outage.pptx"), Form::Slides), expected);
}

#[test]
fn c7_open_documents_are_read_too() {
    let expected = "# Protokoll\nGröße 服务器\n- Punkt\nsee there (https://example.org/a) [note: 1 a note]\n";
    assert_eq!(given(made!("protocol.odt"), Form::Document), expected);
    let text = given(made!("kosten.ods"), Form::Workbook);
    let (_, sheets) = text.split_once("\n\n").expect("a legend");
    let expected = "[sheet \"Kosten\"]\n1\tName\tSumme\n2\ta\t7\t7\t7\n\
        1048003\tx\tx\tx\tx\tx\tx\tx\tx\t(the same up to L1048003)\t(the same up to row 1048042)\n";
    assert_eq!(sheets, expected);
    let expected = "[slide 1, Anfang]\nDas Anfang\n\n[slide 2, Ende]\nDas Ende\n";
    assert_eq!(given(made!("vortrag.odp"), Form::Slides), expected);
}

#[test]
fn e_what_needs_a_password_is_damaged_or_is_no_office_file_is_told_apart() {
    let plan = made!("plan.docx");
    let swap = |bytes: &[u8], from: &[u8], to: &[u8]| {
        let mut bytes = bytes.to_vec();
        while let Some(at) = memchr::memmem::find(&bytes, from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        bytes
    };
    let rows: [(&str, Vec<u8>, Unread); 6] = [
        ("a workbook with a password", made!("locked.xlsx").to_vec(), Unread::Encrypted),
        ("half a document", plan[..plan.len() / 2].to_vec(), Unread::Broken),
        ("another archive", zipped(&[("a.txt", b"hello")]), Unread::Unsupported),
        ("a Java archive", zipped(&[("META-INF/MANIFEST.MF", b"x"), ("mimetype", b"text/plain")]), Unread::Unsupported),
        ("nothing of a zip but its mark", b"PK\x03\x04\0\0\0".to_vec(), Unread::Unsupported),
        (
            "an old document",
            swap(made!("old.xls"), b"W\0o\0r\0k\0b\0o\0o\0k\0", b"W\0o\0r\0d\0D\0o\0c\0u\0"),
            Unread::Unsupported,
        ),
    ];
    for (name, bytes, expected) in rows {
        assert_eq!(decode(&bytes), Err(expected), "{name}");
    }
}

/// Packs parts.
fn zipped(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in parts {
        writer.start_file(*name, options).expect("it can be packed");
        writer.write_all(bytes).expect("it can be packed");
    }
    writer.finish().expect("it can be packed").into_inner()
}

/// Packs a document, slides or a workbook of which only the main part matters.
fn package(main: &str, text: &[u8], more: &[(&str, &[u8])]) -> Vec<u8> {
    let relations = format!(
        "<Relationships><Relationship Id='r' Type='x/relationships/officeDocument' Target='{main}'/></Relationships>"
    );
    let mut parts =
        vec![("[Content_Types].xml", &b"<Types/>"[..]), ("_rels/.rels", relations.as_bytes()), (main, text)];
    parts.extend_from_slice(more);
    zipped(&parts)
}

#[test]
fn s3_bombs_of_every_kind_are_refused_before_they_unpack() {
    let megabyte = vec![b' '; 1 << 20];
    let spaces = |bytes: u64| megabyte.repeat(usize::try_from(bytes >> 20).expect("small") + 1);
    let large = spaces(PART_BYTES_MAX);
    let sheet = spaces(PARTS_BYTES_MAX / 2);
    let books = [("xl/a.xml", &sheet[..]), ("xl/b.xml", &sheet[..])];
    let names: Vec<String> = (0..ENTRIES_MAX).map(|at| at.to_string()).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    let deep = [b"<w>".repeat(100_000), b"</w>".repeat(100_000)].concat();
    let rows: [(&str, Vec<u8>, Unread); 5] = [
        ("a part that is too large", package("word/document.xml", &large, &[]), Unread::TooLargeUnpacked),
        ("parts that are together too large", package("xl/workbook.xml", b"<a/>", &books), Unread::TooLargeUnpacked),
        ("too many parts", package("word/document.xml", b"<a/>", &many), Unread::TooLargeUnpacked),
        ("nested without end", package("word/document.xml", &deep, &[]), Unread::Broken),
        ("an empty one", package("word/document.xml", b"<a/>", &[]), Unread::Empty),
    ];
    for (name, bytes, expected) in rows {
        assert_eq!(decode(&bytes), Err(expected), "{name}");
    }
}

#[test]
fn s3_entries_that_overlap_cost_no_more_than_the_limit() {
    // A hundred names for the same megabytes, which are there once.
    let bytes = package("xl/workbook.xml", b"<a/>", &[("xl/0000.xml", &vec![b' '; 8 << 20])]);
    let find = |bytes: &[u8], what: &[u8]| memchr::memmem::rfind(bytes, what).expect("it is there");
    let directory = find(&bytes, b"PK\x05\x06");
    let entry = find(&bytes, b"PK\x01\x02");
    let mut bomb = bytes[..directory].to_vec();
    for number in 1..100 {
        let at = bomb.len();
        bomb.extend_from_slice(&bytes[entry..directory]);
        let name = find(&bomb, b"xl/0000.xml");
        assert!(name > at);
        bomb[name..name + 11].copy_from_slice(format!("xl/{number:04}.xml").as_bytes());
    }
    let list = u32::try_from(bomb.len()).expect("small");
    let mut end = bytes[directory..].to_vec();
    let begin = u32::from_le_bytes(end[16..20].try_into().expect("four"));
    end[8..10].copy_from_slice(&103_u16.to_le_bytes());
    end[10..12].copy_from_slice(&103_u16.to_le_bytes());
    end[12..16].copy_from_slice(&(list - begin).to_le_bytes());
    bomb.extend_from_slice(&end);
    assert!(matches!(decode(&bomb), Err(Unread::TooLargeUnpacked | Unread::Broken)));
    let mut package = Package::open(&bomb).expect("a package");
    assert_eq!(package.measure(), Err(Unread::TooLargeUnpacked));
}

#[test]
fn s3_a_workbook_that_declares_a_billion_rows_costs_what_it_holds() {
    let book = "<workbook><sheets><sheet name='S' sheetId='1' r:id='s'/></sheets></workbook>";
    let relations = "<Relationships><Relationship Id='s' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet' Target='worksheets/s.xml'/></Relationships>";
    let sheet = "<worksheet><dimension ref='A1:XFD1048576'/><sheetData><row r='1'><c r='A1'><v>1</v></c></row>\
        <row r='1048576'><c r='XFD1048576' t='str'><f>1+1</f><v>last</v></c></row></sheetData></worksheet>";
    let more = [("xl/_rels/workbook.xml.rels", relations.as_bytes()), ("xl/worksheets/s.xml", sheet.as_bytes())];
    let text = given(&package("xl/workbook.xml", book.as_bytes(), &more), Form::Workbook);
    assert!(text.ends_with("[sheet \"S\"]\n1\t1\n1048576\tXFD1048576=last\n"), "{text}");
}

#[test]
fn s3_macros_links_and_declared_entities_do_nothing() {
    let text = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><w:document><w:body><w:p><w:r><w:t>one &a; two</w:t></w:r>\
        <w:hyperlink r:id='l'><w:r><w:t>there</w:t></w:r></w:hyperlink><w:r><w:drawing><a:blip r:link='p'/></w:drawing></w:r>\
        <w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:instrText>DDEAUTO cmd</w:instrText></w:r></w:p></w:body></w:document>";
    let relations = "<Relationships><Relationship Id='l' Type='x/hyperlink' Target='https://evil.example/' TargetMode='External'/>\
        <Relationship Id='p' Type='x/image' Target='https://evil.example/p.png' TargetMode='External'/>\
        <Relationship Id='t' Type='x/styles' Target='../../../etc/passwd'/></Relationships>";
    let more =
        [("word/_rels/document.xml.rels", relations.as_bytes()), ("word/vbaProject.bin", &b"Sub AutoOpen()"[..])];
    let text = given(&package("word/document.xml", text.as_bytes(), &more), Form::Document);
    assert_eq!(text, "one  twothere (https://evil.example/)[picture]\n");
}

#[test]
fn c7_of_a_long_workbook_beginning_and_end_are_given_with_the_sheet_named() {
    let book = "<workbook><sheets><sheet name='Log' sheetId='1' r:id='s'/></sheets></workbook>";
    let relations = "<Relationships><Relationship Id='s' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet' Target='worksheets/s.xml'/></Relationships>";
    let row = |at: u32| format!("<row r='{at}'><c r='A{at}' t='str'><v>all is well, größer 服务器</v></c></row>");
    let rows: String = (1..=200_000).map(row).collect();
    let sheet = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    let more = [("xl/_rels/workbook.xml.rels", relations.as_bytes()), ("xl/worksheets/s.xml", sheet.as_bytes())];
    let decoded = decode(&package("xl/workbook.xml", book.as_bytes(), &more)).expect("a workbook");
    assert_eq!(decoded.shown, Extent::Document { form: Form::Workbook, ends: true });
    assert!(decoded.tokens <= TEXT_TOKENS_MAX);
    let text = String::from_utf8(decoded.bytes).expect("text");
    assert!(
        text.contains(" left out here …]\n[sheet \"Log\", continued]\n")
            && text.ends_with("\n200000\tall is well, größer 服务器\n")
    );
}

#[test]
fn c7_of_very_many_sheets_or_slides_the_text_says_how_many_are_left_out() {
    let listed = |most: usize, one: &dyn Fn(usize) -> String| (1..=most).map(one).collect::<String>();
    let book = listed(502, &|at| format!("<sheet name='s{at}' sheetId='{at}' r:id='s'/>"));
    let book = format!("<workbook><sheets>{book}</sheets></workbook>");
    let relations = "<Relationships><Relationship Id='s' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet' Target='worksheets/s.xml'/></Relationships>";
    let sheet = b"<worksheet><sheetData><row r='1'><c r='A1'><v>1</v></c></row></sheetData></worksheet>";
    let more = [("xl/_rels/workbook.xml.rels", relations.as_bytes()), ("xl/worksheets/s.xml", &sheet[..])];
    let text = given(&package("xl/workbook.xml", book.as_bytes(), &more), Form::Workbook);
    assert!(text.ends_with("[sheet \"s500\"]\n1\t1\n\n[left out: 2 more sheets]\n"), "{text}");

    let slides = listed(2_001, &|at| format!("<sldId id='{at}' r:id='s'/>"));
    let slides = format!("<presentation><sldIdLst>{slides}</sldIdLst></presentation>");
    let relations =
        "<Relationships><Relationship Id='s' Type='x/relationships/slide' Target='slides/s.xml'/></Relationships>";
    let slide = b"<sld><sp><txBody><p><r><t>a</t></r></p></txBody></sp></sld>";
    let more = [("ppt/_rels/presentation.xml.rels", relations.as_bytes()), ("ppt/slides/s.xml", &slide[..])];
    let decoded = decode(&package("ppt/presentation.xml", slides.as_bytes(), &more)).expect("slides");
    let text = String::from_utf8(decoded.bytes).expect("text");
    assert!(text.ends_with("[slide 2000]\na\n\n[left out: 1 more slide]\n"), "{text}");
}

#[test]
fn c7_a_cell_that_cannot_be_read_costs_no_other() {
    let book = "<workbook><sheets><sheet name='Log' sheetId='1' r:id='s'/></sheets></workbook>";
    let relations = "<Relationships><Relationship Id='s' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet' Target='worksheets/s.xml'/></Relationships>";
    let sheet = "<worksheet><sheetData><row r='1'><c r='A1' t='str'><v>first</v></c><c r='B1' t='e'><v>#SPILL!</v></c>\
        <c r='C1'><v>3</v></c></row><row r='2'><c r='A2' t='b'><v>7</v></c><c r='B2' t='e'><v>#N/A</v></c></row>\
        <row r='3'><c r='A3' t='s'><v>99</v></c><c r='B3'><v>4</v></c></row></sheetData></worksheet>";
    let more = [("xl/_rels/workbook.xml.rels", relations.as_bytes()), ("xl/worksheets/s.xml", sheet.as_bytes())];
    let text = given(&package("xl/workbook.xml", book.as_bytes(), &more), Form::Workbook);
    let (_, sheets) = text.split_once("\n\n").expect("a legend");
    let expected = "[sheet \"Log\"]\n1\tfirst\t(next cell: #SPILL!)\t\t3\t(next cell: 7)\n\
        2\t\t#N/A\t(next cell: #ERROR)\n3\t\t4\n";
    assert_eq!(sheets, expected);
}

#[test]
fn a_file_is_what_its_bytes_say() {
    let claims = |name: &str| {
        crate::core::media::Claims::of(&crate::core::event::MessageKind::Attachment {
            msgtype: "m.file".to_owned(),
            name: name.to_owned(),
            mime: None,
            size: None,
            voice: false,
            media: None,
        })
        .expect("a file")
    };
    for (name, bytes, kind) in [
        ("plan.pdf", made!("plan.docx"), Kind::Office),
        ("photo.png", made!("old.xls"), Kind::Office),
        ("notes.txt", made!("forwarded.eml"), Kind::Mail),
        ("a.docx", &b"only words"[..], Kind::Text),
        ("a.eml", b"BEGIN:VCALENDAR\nEND:VCALENDAR\n", Kind::Calendar),
    ] {
        assert_eq!(claims(name).kind_of(bytes), Ok(kind), "{name}");
    }
}
