//! The protocol and the verdicts. `tests/it/sandbox.rs` tests children with the real program.

use std::{io::Cursor, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use super::{
    child,
    frame::{self, Answer, Hello, Job, PROTOCOL},
    verdict::Verdict,
};
use crate::core::media::{Extent, Kind, Made, Unread};

fn hello() -> Hello {
    Hello { protocol: PROTOCOL, unfiltered: None }
}

/// Returns what a child answers to these bytes.
fn said_to(input: &[u8]) -> (Cursor<Vec<u8>>, bool) {
    let mut output = Vec::new();
    let served = child::serve(&mut &input[..], &mut output, &hello());
    (Cursor::new(output), served.is_ok())
}

fn job(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [frame::header(&Job { kind, bytes: length }).expect("short"), bytes.to_vec()].concat()
}

#[test]
fn a_child_answers_one_file_after_the_other_until_there_are_none() {
    let input = [job(Kind::Text, b"hello\n"), job(Kind::Png, b"\x89PNG"), job(Kind::Text, b"again")].concat();
    let (mut output, ended_well) = said_to(&input);
    assert!(ended_well);
    assert_eq!(frame::read::<Hello>(&mut output).expect("a header"), Some(hello()));
    let answer = frame::read::<Answer>(&mut output).expect("a header");
    assert_eq!(answer, Some(Answer::Made { made: Made::Text, tokens: 2, shown: Extent::Whole, bytes: 6 }));
    assert_eq!(frame::read_bytes(&mut output, 6).expect("bytes"), b"hello\n");
    assert_eq!(frame::read::<Answer>(&mut output).expect("a header"), Some(Answer::Refused(Unread::Broken)));
    let answer = frame::read::<Answer>(&mut output).expect("a header");
    assert_eq!(answer, Some(Answer::Made { made: Made::Text, tokens: 2, shown: Extent::Whole, bytes: 5 }));
    assert_eq!(frame::read_bytes(&mut output, 5).expect("bytes"), b"again");
    assert_eq!(frame::read::<Answer>(&mut output).expect("the end"), None);
}

#[test]
fn what_is_malformed_ends_a_child_without_memory_for_what_it_announces() {
    let announced = frame::header(&Job { kind: Kind::Pdf, bytes: u32::MAX }).expect("short");
    let rows = [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0{}", &announced, &job(Kind::Text, b"cut")[..20]];
    for input in rows {
        assert!(!said_to(input).1);
    }
}

#[tokio::test]
async fn what_a_child_announces_is_bounded_too() {
    let answer = frame::receive_bytes(&mut Cursor::new(Vec::new()), u32::MAX).await;
    assert_eq!(answer.expect_err("too much").kind(), std::io::ErrorKind::InvalidData);
    let answer = frame::receive::<Answer>(&mut Cursor::new(b"\xff\xff\xff\x7f".to_vec())).await;
    assert_eq!(answer.expect_err("too much").kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn s3_a_child_that_died_says_the_true_reason() {
    let signal = ExitStatus::from_raw;
    let rows = [
        (
            "out of memory",
            Some(signal(6)),
            "memory allocation of 9 bytes failed",
            Verdict::Unread(Unread::TooLargeUnpacked),
        ),
        (
            "its stack overflowed",
            Some(signal(6)),
            "thread 'main' has overflowed its stack",
            Verdict::Unread(Unread::Broken),
        ),
        ("broke", Some(signal(11)), "", Verdict::Unread(Unread::Broken)),
        ("its time was up", Some(signal(24)), "", Verdict::Unread(Unread::TookTooLong)),
        ("ended", Some(ExitStatus::from_raw(1 << 8)), "", Verdict::Unread(Unread::Broken)),
        ("was killed by somebody", Some(signal(9)), "", Verdict::Again),
        ("was stopped by somebody", Some(signal(15)), "", Verdict::Again),
        ("lives", None, "", Verdict::Unread(Unread::Broken)),
    ];
    for (name, status, said, expected) in rows {
        assert_eq!(Verdict::of(status, said.as_bytes()), expected, "{name}");
    }
}
