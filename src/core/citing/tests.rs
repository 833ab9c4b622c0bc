use ruma::{event_id, owned_event_id, room_id, server_name};
use serde_json::json;

use super::*;
use crate::core::prompt::{File, Role, Turn};

fn file(title: &str, content: FileContent, event: &str) -> Part {
    let event = Some(EventId::parse(event).expect("an id"));
    Part::File(File { title: title.to_owned(), content, event, has_places: true })
}

fn text(text: &str) -> FileContent {
    FileContent::Text { text: text.into() }
}

const BOOK: &str = "[Each line of a sheet is a row.]\n\n[sheet \"Sheet1\"]\n1\tcost\t5\n\n[sheet \"Q3 \"best\" costs\" (hidden)]\n\
                    1\tcost\t7\n2\t[sheet \"no\"]\n";

fn shelf() -> Shelf {
    let picture = FileContent::Image { media_type: "image/png", base64: "aW1n".into() };
    let parts = vec![
        Part::Text("{}".to_owned()),
        file("wall.png", picture, "$picture"),
        file("report.pdf", FileContent::Pdf { base64: "cGRm".into() }, "$pdf"),
        file("numbers.xlsx", text(BOOK), "$book"),
        file("notes.md", text("first\n"), "$one"),
        file("notes.md", text("second\n"), "$two"),
    ];
    let prompt = Prompt { turns: vec![Turn { role: Role::User, parts }], ..Prompt::default() };
    Shelf::of(&prompt, room_id!("!r:hs"), server_name!("hs"))
}

#[test]
fn c7_a_document_is_found_by_its_number_and_title_or_by_a_title_that_one_alone_has() {
    let shelf = shelf();
    let event = |index: usize, title: Option<&str>| {
        let document = shelf.document(Some(index), title)?;
        document.event.as_ref().map(|event| event.as_str().to_owned())
    };
    for (index, title, expected) in [
        (0, Some("report.pdf"), Some("$pdf")),
        (3, Some("notes.md"), Some("$two")),
        // The count begins elsewhere, as after a crash.
        (7, Some("report.pdf"), Some("$pdf")),
        (7, Some("notes.md"), None),
        (0, Some("another.pdf"), None),
        (0, None, None),
    ] {
        assert_eq!(event(index, title).as_deref(), expected, "{index} {title:?}");
    }
}

#[test]
fn c7_a_source_names_the_page_sheet_or_slide_and_leads_to_the_message() {
    let shelf = shelf();
    let pdf = shelf.document(Some(0), Some("report.pdf")).expect("it is there");
    let cited = shelf.cited(pdf, Some((3, 4)), None, "The valve\nwas replaced.");
    let expected = Cited {
        name: "report.pdf, p. 3".to_owned(),
        link: Some("https://matrix.to/#/!r:hs/$pdf?via=hs".to_owned()),
        words: "The valve was replaced.".to_owned(),
    };
    assert_eq!(cited, expected);
    for (pages, name) in
        [((3, 6), "pp. 3–5"), ((3, 3), "p. 3"), ((3, 0), "p. 3"), ((u64::MAX, 1), "p. 18446744073709551615")]
    {
        assert_eq!(pages_named(pages), name);
    }
    let book = shelf.document(Some(1), Some("numbers.xlsx")).expect("it is there");
    let begin = |words: &str| BOOK.find(words).map(|at| BOOK[..at].chars().count());
    for (at, words, name) in [
        (begin("1\tcost\t5"), "1\tcost\t5", "numbers.xlsx, Sheet1"),
        (begin("1\tcost\t7"), "1\tcost\t7", "numbers.xlsx, Q3 \"best\" costs"),
        (begin("[sheet \"Q3"), "[sheet \"Q3 \"best\" costs\" (hidden)]\n1\tcost\t7", "numbers.xlsx, Q3 \"best\" costs"),
        // A cell that looks like a sheet's name is none, and a wrong place is looked for.
        (Some(9_999), "2\t[sheet \"no\"]", "numbers.xlsx, Q3 \"best\" costs"),
        (None, "nowhere", "numbers.xlsx"),
        (None, "", "numbers.xlsx"),
    ] {
        assert_eq!(shelf.cited(book, None, at, words).name, name, "{words}");
    }
    for (line, expected) in [
        ("[slide 3, Costs]", Some("slide 3")),
        ("[slide 3, continued]", Some("slide 3")),
        ("[notes of slide 4]", Some("notes of slide 4")),
        ("[page 5]", Some("p. 5")),
        ("[attachment 2: report.docx, 3 kB]", Some("attachment 2")),
        ("[… 300 bytes left out here …]", None),
        ("slide 3", None),
    ] {
        assert_eq!(place(line).as_deref(), expected, "{line}");
    }
}

#[test]
fn c9_links_lead_to_the_web_or_to_a_message_of_the_room_that_was_read_and_nowhere_else() {
    for (address, expected) in [
        ("https://example.org/a?b=1#c", true),
        ("http://example.org", true),
        ("https://user:pass@example.org/", false),
        ("https://user@example.org/", false),
        ("javascript:alert(1)", false),
        ("data:text/html,x", false),
        ("ftp://example.org/", false),
        ("mxc://hs/file", false),
        ("https://matrix.to/#/@bob:hs", false),
        ("https://matrix.to./#/@bob:hs", false),
        ("https://www.matrix.to/#/@bob:hs", false),
        ("https://matrix.to/#/!other:hs/$event", false),
        ("https://app.element.io/#/room/!other:hs/$event", false),
        ("matrix:u/bob:hs", false),
        ("not an address", false),
    ] {
        assert_eq!(web_link(address).is_some(), expected, "{address}");
    }
    assert_eq!(web_link(&format!("https://example.org/{}", "a".repeat(LINK_BYTES_MAX))), None);
    let read = [owned_event_id!("$seen")];
    for (link, expected) in [
        ("https://matrix.to/#/!r:hs/$seen?via=evil.example", Some("https://matrix.to/#/!r:hs/$seen?via=hs")),
        ("matrix:roomid/r:hs/e/seen", Some("https://matrix.to/#/!r:hs/$seen?via=hs")),
        ("https://matrix.to/#/!r:hs/$unseen?via=hs", None),
        ("https://matrix.to/#/!other:hs/$seen?via=hs", None),
        ("https://matrix.to/#/!r:hs", None),
        ("https://matrix.to/#/@bob:hs", None),
    ] {
        assert_eq!(shelf().message_link(link, &read).as_deref(), expected, "{link}");
    }
    assert_eq!(Shelf::default().message_link("https://matrix.to/#/!r:hs/$seen", &read), None);
}

#[test]
fn c9_a_name_is_one_line_of_visible_characters_and_words_are_cut() {
    for (title, expected) in [
        ("report.pdf", "report.pdf"),
        ("  a\n\u{202e}b\u{200b}\tc  ", "a b c"),
        ("\u{2066}\u{feff}", ""),
        ("e\u{301}\u{301}\u{301}\u{301}x", "e\u{301}\u{301}x"),
    ] {
        assert_eq!(named(title, None), expected);
    }
    assert_eq!(named(&"ä".repeat(500), Some(&"b".repeat(500))).chars().count(), NAME_CHARS_MAX + PLACE_CHARS_MAX + 4);
    assert_eq!(words_of(&"x ".repeat(500)).chars().count(), WORDS_CHARS_MAX);
    assert_eq!(words_of(r#"{"event_id":"$a","sender":"@a:hs","text":"We roll back."}"#), "We roll back.");
}

#[test]
fn c13_what_an_event_keeps_is_bounded_and_is_checked_when_it_is_read_again() {
    let long = |number: usize| Cited {
        name: format!("{number} {}", "n".repeat(NAME_CHARS_MAX)),
        link: Some(format!("https://example.org/{number}/{}", "a".repeat(100))),
        words: "w".repeat(WORDS_CHARS_MAX),
    };
    let sources = kept((0..50).map(long).collect());
    assert!(bytes_of(&sources) <= SOURCES_BYTES_MAX && sources.len() > 15, "{}", sources.len());
    assert!(sources[0] == Cited { words: sources[0].words.clone(), ..long(0) } && sources[1].words.is_empty());
    assert_eq!(bytes_of(&[]), 0);

    let room = room_id!("!r:hs");
    let link = permalink(room, event_id!("$a"), server_name!("hs"));
    let told = json!([
        { "name": "a\u{202e}b", "link": link, "words": "w" },
        { "name": "web", "link": "https://example.org/" },
        { "name": "no", "link": "javascript:x" },
        { "name": "person", "link": "https://matrix.to/#/@bob:hs" },
        { "name": "elsewhere", "link": "https://matrix.to/#/!other:hs/$a" },
    ]);
    let links: Vec<Option<String>> = read(&told, room).into_iter().map(|source| source.link).collect();
    assert_eq!(links, [Some(link), Some("https://example.org/".to_owned()), None, None, None]);
    assert_eq!(read(&told, room)[0].name, "a b");
    for nonsense in [json!(null), json!([{ "link": 7 }]), json!("x"), json!({})] {
        assert_eq!(read(&nonsense, room), []);
    }
}
