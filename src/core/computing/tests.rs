use std::collections::BTreeSet;

use ruma::{event_id, room_id, user_id};

use super::{made::posted_name, *};
use crate::core::time::Timestamp;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn look(id: usize, name: &str, bytes: u64) -> Look {
    Look { id: format!("file_{id}"), name: name.to_owned(), bytes }
}

fn names(made: &[Made]) -> Vec<&str> {
    made.iter().map(|made| made.name.as_str()).collect()
}

#[test]
fn c24_of_five_hundred_files_the_newest_few_are_posted_and_the_rest_is_counted() {
    let made: Vec<String> = (0..500).map(|number| format!("file_{number}")).collect();
    let (looked, left_out) = looked_at(&made);
    assert_eq!((looked.len(), looked[LOOKED_AT_MAX - 1].as_str()), (LOOKED_AT_MAX, "file_499"));
    assert_eq!(left_out, Unposted { too_many: 460, ..Unposted::default() });
    let (kept, unposted) = chosen((0..LOOKED_AT_MAX).map(|number| look(number, &format!("{number}.csv"), 1)).collect());
    assert_eq!((kept.len(), unposted.too_many), (POSTED_MAX, LOOKED_AT_MAX - POSTED_MAX));
    assert_eq!((kept[0].name.as_str(), kept[POSTED_MAX - 1].name.as_str()), ("30.csv", "39.csv"), "in their order");
}

#[test]
fn c24_of_more_files_than_are_kept_the_newest_are_and_it_is_told_that_some_are_not_counted() {
    let all: Vec<String> = (0..MADE_MAX + 200).map(|number| format!("file_{number}")).collect();
    let mut made = Vec::new();
    assert_eq!(add_made(&mut made, all[..MADE_MAX].iter()), 0);
    assert_eq!(add_made(&mut made, all[MADE_MAX - 100..].iter()), 200, "what is known is not added again");
    assert_eq!(made, all[200..]);
    let (looked, left_out) = looked_at(&made);
    assert_eq!(looked, &all[MADE_MAX + 200 - LOOKED_AT_MAX..]);
    assert_eq!((left_out.too_many, left_out.uncounted), (MADE_MAX - LOOKED_AT_MAX, true));
    let word = crate::core::words::files::unposted(&left_out);
    assert_eq!(word, "At least 960 files were left out: I post at most 10, the newest.");
}

#[test]
fn c24_what_is_too_large_is_left_out_and_of_one_name_the_last_counts() {
    let looks = vec![
        look(1, "chart.png", 10),
        look(2, "huge.bin", POSTED_EACH_MAX + 1),
        look(3, "a.bin", POSTED_EACH_MAX),
        look(4, "b.bin", POSTED_EACH_MAX - 9),
        look(5, "plots/chart.png", 10),
    ];
    let (kept, unposted) = chosen(looks);
    assert_eq!(names(&kept), ["b.bin", "chart.png"]);
    assert_eq!(kept[1].id, "file_5");
    assert_eq!(unposted, Unposted { too_large: 2, ..Unposted::default() });
    assert!(!unposted.is_none());
}

#[test]
fn c24_names_neither_leave_their_folder_nor_turn_nor_hide() {
    for (told, expected) in [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.png", "x.png"),
        ("report\u{202e}gnp.exe", "reportgnp.exe"),
        ("a\u{200b}b\n.csv", "ab.csv"),
        ("...", "file"),
        ("", "file"),
        ("/", "file"),
        ("a<b>:\"c|?*.txt", "a_b___c___.txt"),
        (".bashrc", "bashrc"),
    ] {
        assert_eq!(posted_name(told), expected, "{told:?}");
    }
    assert!(posted_name(&"x".repeat(10_000)).chars().count() <= 100);
    let mut taken = Vec::new();
    for expected in ["data.csv", "data-2.csv", "data-3.csv"] {
        let name = name_of("data.csv", &taken);
        assert_eq!(name, expected);
        taken.push(name);
    }
    assert_eq!(name_of("../data", &["data".to_owned()]), "data-2");
}

#[test]
fn c24_a_type_is_the_bytes_or_the_names_and_nothing_that_a_browser_executes() {
    for (bytes, expected) in [
        (&b"\x89PNG\r\n\x1a\nrest"[..], Some("image/png")),
        (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
        (b"GIF89a", Some("image/gif")),
        (b"RIFF____WEBPVP8 ", Some("image/webp")),
        (b"<svg xmlns=", None),
        (b"", None),
    ] {
        assert_eq!(picture_type(bytes), expected);
    }
    for (name, expected) in [
        ("a.csv", "text/csv"),
        ("A.PDF", "application/pdf"),
        ("page.html", "application/octet-stream"),
        ("drawing.svg", "application/octet-stream"),
        ("fake.png", "application/octet-stream"),
        ("script.js", "application/octet-stream"),
        ("none", "application/octet-stream"),
    ] {
        assert_eq!(media_type(name), expected, "{name}");
    }
}

#[test]
fn c24_an_id_that_would_lead_elsewhere_is_none() {
    for id in ["file_011CNha8iCJcU1wXNR6q4V8w", "container_01-x"] {
        assert_eq!(checked_id(id), Some(id));
    }
    let long = "f".repeat(129);
    for id in ["", "../messages", "file_1/content", "file 1", "file_1?x", "fi\u{202e}le", &long] {
        assert_eq!(checked_id(id), None, "{id}");
    }
}

#[test]
fn c24_a_container_is_used_again_while_it_lives_and_all_in_it_may_be_read() {
    let [csv, asked, later] = [event_id!("$csv"), event_id!("$asked"), event_id!("$later")].map(ToOwned::to_owned);
    let session = Session::after(None, ("container_1", Some(at(600_000))), [csv.clone(), asked.clone()], None, at(0));
    assert!(session.may_go_on(|_| true, at(0)));
    assert!(!session.may_go_on(|id| id != csv, at(0)), "its sender took the file back, or the asker may not read it");
    assert!(!session.may_go_on(|_| true, at(500_000)), "it is about to end");
    assert!(!session.is_over(at(599_999)) && session.is_over(at(600_000)));

    let on = Session::after(Some(session.clone()), ("container_1", Some(at(900_000))), [later.clone()], None, at(1));
    assert_eq!(on.sources, BTreeSet::from([csv, asked, later.clone()]));
    let other = Session::after(Some(on), ("container_2", None), [later.clone()], None, at(1));
    assert_eq!(other.sources, BTreeSet::from([later]), "another container holds nothing of the first");
    assert!(other.may_go_on(|_| true, at(1)), "no end is stated");
    let many = (0..201).map(|number| ruma::EventId::parse(format!("${number}")).expect("an id"));
    let full = Session::after(None, ("container_1", Some(at(600_000))), many, None, at(0));
    assert!(!full.may_go_on(|_| true, at(0)));
}

#[test]
fn c24_a_container_belongs_to_one_thread_and_one_user() {
    let (room, one, other) = (room_id!("!a:hs"), user_id!("@coworker-a:hs"), user_id!("@coworker-b:hs"));
    let [root, another] = [event_id!("$root"), event_id!("$else")];
    assert_eq!(Session::key(room, root, one), Session::key(room, root, one));
    assert_ne!(Session::key(room, root, one), Session::key(room, root, other), "another coworker");
    assert_ne!(Session::key(room, root, one), Session::key(room, another, one), "another thread");
    assert_eq!(Session::key(room, root, one).1, "$root|@coworker-a:hs");
}

#[test]
fn c24_the_model_is_told_which_files_are_there_as_data() {
    assert_eq!(Computing::default().listing(), None);
    let upload =
        Upload { file: "file_1".to_owned(), name: "da\"ta.csv".to_owned(), event: event_id!("$csv").to_owned() };
    let computing = Computing { uploads: vec![upload], ..Computing::default() };
    let listing = computing.listing().expect("there is one");
    assert_eq!(listing, r#"{"files_in_container":[{"event_id":"$csv","name":"da\"ta.csv"}]}"#);
    assert_eq!(skill_of("skill_docx"), Some("docx"));
    assert_eq!((skill_of("skill_exe"), skill_of("docx")), (None, None));
    assert_eq!(tool_names().count(), 5);
}
