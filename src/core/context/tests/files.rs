//! Files of a transcript (C7): which are included, where they are, and what is said about the others.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::core::{
    context::files_wanted,
    event::MediaSource,
    media::{Extent, Limits, Prepared, Unread},
    prompt::{File, FileContent, Part},
};

impl Story {
    /// Adds a message with a file, which takes that many tokens once fetched.
    fn sends(self, name: &str, sender: &str, root: Option<&str>, caption: &str, tokens: u32) -> Self {
        let mut story = self.sends_unfetched(name, sender, root, caption, "text/plain");
        let content = FileContent::Text { text: format!("content of {name}").into() };
        story.files.insert((id(name), 0), Ok(Arc::new(Prepared { content, tokens, bytes: 10, shown: Extent::Whole })));
        story
    }

    fn sends_unfetched(self, name: &str, sender: &str, root: Option<&str>, caption: &str, mime: &str) -> Self {
        let file = format!("{name}.{}", if mime == "text/plain" { "txt" } else { "bin" });
        let kind = MessageKind::Attachment {
            msgtype: "m.file".to_owned(),
            name: file.clone(),
            mime: Some(mime.to_owned()),
            size: Some(10),
            voice: false,
            media: Some(MediaSource::new(format!("media of {name}"))),
        };
        let body = if caption.is_empty() { &file } else { caption };
        let message = Message { kind, thread_root: root.map(id), ..Message::text(body) };
        self.event(name, sender, EventKind::Message(message))
    }

    fn wanted(&self) -> Vec<String> {
        let composed = |kind| files_wanted(&self.input(&kind, None, &user(ME)));
        let kind = Kind::Coworker { name: "oncall", purpose: "Helps.", instructions: "" };
        composed(kind).into_iter().map(|file| file.event.as_str()[1..].to_owned()).collect()
    }
}

/// Returns the contents of a prompt's files in order, each with the event id of the record before it.
fn given(composed: &Composed) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for turn in &composed.prompt.turns {
        let mut before = String::new();
        for part in &turn.parts {
            match part {
                Part::Text(text) => text.lines().last().unwrap_or_default().clone_into(&mut before),
                Part::File(File { content: FileContent::Text { text }, .. }) => {
                    let record: serde_json::Value = serde_json::from_str(&before).expect("a record");
                    let id = record["event_id"].as_str().expect("an id");
                    found.push((id[1..].to_owned(), text.to_string()));
                }
                Part::File(file) => panic!("{file:?}"),
            }
        }
    }
    found
}

fn pairs(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), format!("content of {name}"))).collect()
}

/// Returns what a record says about its file.
fn note(composed: &Composed, name: &str) -> serde_json::Value {
    let records = records(&composed.prompt);
    let record = records.iter().rfind(|record| record["event_id"] == format!("${name}")).expect("a record");
    let attachment = &record["attachment"];
    serde_json::json!([attachment["file"], attachment["not_given"]])
}

#[test]
fn c7_a_file_stands_right_behind_the_record_that_names_it() {
    let composed = Story::new()
        .sends("plan", BOB, None, "", 100)
        .says("a", ALICE, "hm")
        .sends("ask", ALICE, None, "oncall: what is this?", 100)
        .asks("ask")
        .in_thread("ask")
        .compose();
    assert_eq!(given(&composed), pairs(&["plan", "ask"]));
    assert_eq!(note(&composed, "plan"), serde_json::json!(["follows", null]));
    assert_eq!(composed.prompt.turns.len(), 1);
    assert_eq!(composed.unreadable, None);
}

#[test]
fn c7_what_is_not_given_is_named_with_its_reason() {
    let mut story = Story::new()
        .sends_unfetched("zip", BOB, None, "", "application/zip")
        .sends_unfetched("lost", BOB, None, "", "text/plain")
        .sends_unfetched("bad", BOB, None, "", "text/plain")
        .sends("long", BOB, None, "", 30_001)
        .sends("ours", ME, None, "", 1)
        .says("ask", ALICE, "what is in them?")
        .asks("ask");
    story.files.insert((id("bad"), 0), Err(Unread::Broken));
    let composed = story.compose();
    let expected = [("zip", "unsupported_kind"), ("lost", "unavailable"), ("bad", "broken"), ("long", "too_long")];
    for (name, why) in expected {
        assert_eq!(note(&composed, name), serde_json::json!([null, why]), "{name}");
    }
    assert_eq!(given(&composed), []);
    assert_eq!(story.wanted(), ["lost", "bad", "long"]);
}

#[test]
fn c7_the_replied_to_file_is_given_beside_the_request_where_it_was_left_out() {
    let mut story = Story::new();
    for n in 0..6 {
        story = story.sends(&format!("f{n}"), BOB, None, "", 10);
    }
    story.file_limits = Limits { files_max: 4, ..Limits::default() };
    let story = story.replies("ask", ALICE, "f0", "and this?").asks("ask").in_thread("ask");
    let composed = story.compose();
    assert_eq!(given(&composed), pairs(&["f2", "f3", "f4", "f5", "f0"]));
    assert_eq!(story.wanted(), ["f2", "f3", "f4", "f5", "f0"]);
    let without_reply = story.says("other", ALICE, "and now?").asks("other").in_thread("other").compose();
    assert_eq!(note(&without_reply, "f0"), serde_json::json!([null, "left_out"]));
}

#[test]
fn c7_no_file_is_wanted_where_none_is_allowed() {
    let mut story = Story::new().sends("f", BOB, None, "", 10).replies("ask", ALICE, "f", "this?").asks("ask");
    story.file_limits = Limits { files_max: 0, ..Limits::default() };
    assert_eq!((story.wanted(), given(&story.compose())), (vec![], vec![]));
}

#[test]
fn c7_a_redacted_file_and_one_after_the_request_are_never_wanted() {
    let story = Story::new()
        .sends("gone", BOB, None, "", 10)
        .redacts("r", BOB, "gone")
        .says("ask", ALICE, "what?")
        .sends("later", BOB, None, "", 10)
        .asks("ask");
    assert_eq!((story.wanted(), given(&story.compose())), (vec![], vec![]));
}

#[test]
fn a3_an_assistant_is_given_its_owners_files_alone_and_all_of_a_session() {
    let story = Story::new()
        .sends("owners", ALICE, None, "", 100_000)
        .sends("strangers", BOB, None, "", 10)
        .says("ask", ALICE, "and?")
        .asks("ask");
    let composed = story.compose_as(Kind::Assistant { owner: &user(ALICE), instructions: "" }, None);
    assert_eq!(given(&composed), pairs(&["owners"]));
}

#[test]
fn c19_a_request_that_is_nothing_but_an_unreadable_file_is_known() {
    let rows = [
        ("oncall:", Some(Unread::Unsupported)),
        ("", Some(Unread::Unsupported)),
        ("@oncall · coworker ?!", Some(Unread::Unsupported)),
        ("@coworker-oncall:hs", Some(Unread::Unsupported)),
        ("oncall: what is in it?", None),
        ("ask oncall", None),
    ];
    for (caption, expected) in rows {
        let story = Story::new().sends_unfetched("ask", ALICE, None, caption, "application/zip").asks("ask");
        assert_eq!(story.compose().unreadable, expected, "{caption}");
    }
    let readable = Story::new().sends("ask", ALICE, None, "oncall", 10).asks("ask");
    assert_eq!(readable.compose().unreadable, None);
}

#[test]
fn a_refused_file_leaves_a_record_and_everything_else_in_place() {
    let composed = Story::new().sends("plan", BOB, None, "", 100).says("ask", ALICE, "what?").asks("ask").compose();
    let without = super::super::without_files(&composed.prompt);
    assert!(!without.has_files());
    let records = records(&without);
    assert_eq!(records.len(), 4);
    assert_eq!(records[2]["left_out"], "the file of the record before: the provider of the model refused it");
    assert_eq!(records[3]["event_id"], "$ask");
}

/// Returns all parts of a prompt in a row.
fn parts(composed: &Composed) -> Vec<Part> {
    composed.prompt.turns.iter().flat_map(|turn| turn.parts.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn c7_files_of_a_thread_stay_where_they_are_while_they_are_in_limits(
        turns in prop::collection::vec((any::<bool>(), 0_u32..30_000), 2..10), front in 0_usize..3,
    ) {
        let mut story = Story::new();
        story.file_limits = Limits { files_max: 20, ..Limits::default() };
        for n in 0..front {
            story = story.sends(&format!("front{n}"), BOB, None, "", 5_000);
        }
        story = story.says("root", ALICE, "oncall: look at these").asks("root").in_thread("root");
        let mut before = parts(&story.compose());
        let mut tokens = 0;
        for (turn, (with_file, cost)) in turns.into_iter().enumerate() {
            story = story.says_in(&format!("a{turn}"), ME, "root", "Seen.");
            let name = format!("q{turn}");
            story = if with_file && tokens + cost < 180_000 {
                tokens += cost;
                story.sends(&name, ALICE, Some("root"), "and this?", cost)
            } else {
                story.says_in(&name, ALICE, "root", "and now?")
            };
            story = story.asks(&name);
            let after = parts(&story.compose());
            let (last, whole) = before.split_last().expect("a part");
            prop_assert_eq!(&after[..whole.len()], whole);
            match (last, &after[whole.len()]) {
                (Part::Text(last), Part::Text(text)) => prop_assert!(text.starts_with(last.as_str())),
                (last, part) => prop_assert_eq!(last, part),
            }
            before = after;
        }
    }
}

#[test]
fn c7_a_sticker_is_in_the_transcript_and_looked_at_where_somebody_asks_about_it() {
    let sticker = |story: Story, name: &str| {
        let kind = MessageKind::Attachment {
            msgtype: crate::core::event::STICKER.to_owned(),
            name: "party parrot".to_owned(),
            mime: Some("image/png".to_owned()),
            size: None,
            voice: false,
            media: Some(MediaSource::new(format!("media of {name}"))),
        };
        story.event(name, BOB, EventKind::Message(Message { kind, ..Message::text("party parrot") }))
    };
    let story =
        sticker(sticker(Story::new(), "other"), "parrot").replies("ask", ALICE, "parrot", "what is this?").asks("ask");
    assert_eq!(story.wanted(), ["parrot"]);
    let composed = story.compose();
    let record = records(&composed.prompt);
    let record = record.iter().find(|record| record["event_id"] == "$other").expect("a record");
    assert_eq!(
        (&record["attachment"]["kind"], &record["attachment"]["name"]),
        (&"sticker".into(), &"party parrot".into())
    );
}

#[test]
fn c7_the_files_of_a_gallery_stand_behind_its_one_record_in_their_order() {
    let part = |name: &str| MessageKind::Attachment {
        msgtype: "m.file".to_owned(),
        name: name.to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: Some(MediaSource::new(name.to_owned())),
    };
    let kind = MessageKind::Gallery(vec![part("a.txt"), part("b.bin"), part("c.txt")]);
    let message = Message { kind, ..Message::text("oncall: compare these") };
    let mut story = Story::new().event("ask", ALICE, EventKind::Message(message)).asks("ask").in_thread("ask");
    for (at, text) in [(0, "first"), (2, "third")] {
        let content = FileContent::Text { text: text.into() };
        let file = Prepared { content, tokens: 9, bytes: 5, shown: Extent::Whole };
        story.files.insert((id("ask"), at), Ok(Arc::new(file)));
    }
    story.files.insert((id("ask"), 1), Err(Unread::Unsupported));
    let composed = story.compose();

    let records = records(&composed.prompt);
    let record = records.iter().rfind(|record| record["event_id"] == "$ask").expect("a record");
    let told: Vec<_> = record["attachments"].as_array().expect("a list").iter().collect();
    let of = |at: usize| (told[at]["name"].as_str(), told[at]["file"].as_str(), told[at]["not_given"].as_str());
    assert_eq!(of(0), (Some("a.txt"), Some("follows"), None));
    assert_eq!(of(1), (Some("b.bin"), None, Some("unsupported_kind")));
    assert_eq!(of(2), (Some("c.txt"), Some("follows"), None));
    assert_eq!(record["text"], "oncall: compare these");
    let parts = composed.prompt.turns.iter().flat_map(|turn| &turn.parts);
    let texts: Vec<_> = parts
        .filter_map(|part| match part {
            Part::File(File { content: FileContent::Text { text }, .. }) => Some(text.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["first", "third"]);
    assert_eq!((story.wanted(), composed.unreadable), (vec!["ask".to_owned(); 3], None));
}

#[test]
fn c25_a_recording_is_read_as_words_in_its_record_and_is_no_file() {
    let recording = |voice: bool| {
        let kind = MessageKind::Attachment {
            msgtype: "m.audio".to_owned(),
            name: "v.ogg".to_owned(),
            mime: Some("audio/ogg".to_owned()),
            size: None,
            voice,
            media: Some(MediaSource::new("somewhere".to_owned())),
        };
        EventKind::Message(Message { kind, ..Message::text("v.ogg") })
    };
    let mut story = Story::new()
        .event("said", BOB, recording(true))
        .event("song", BOB, recording(false))
        .event("ask", ALICE, recording(true))
        .asks("ask");
    assert_eq!(story.wanted(), Vec::<String>::new(), "nothing listens");
    assert_eq!(story.compose().unreadable, Some(Unread::Voice));
    story.file_limits = Limits { hears: true, ..Limits::default() };
    assert_eq!(story.wanted(), ["said", "ask"]);
    for name in ["said", "ask"] {
        let content = FileContent::Text { text: format!("the words of {name}").into() };
        let heard = Prepared { content, tokens: 5, bytes: 12, shown: Extent::Transcript };
        story.files.insert((id(name), 0), Ok(Arc::new(heard)));
    }
    let composed = story.compose();
    assert_eq!((given(&composed), composed.unreadable), (vec![], None));
    let said = records(&composed.prompt).into_iter().filter(|record| record["attachment"].is_object());
    let said: Vec<_> = said.map(|record| record["attachment"].clone()).collect();
    assert_eq!(
        said,
        [
            serde_json::json!({ "kind": "voice message", "name": "v.ogg", "mime": "audio/ogg", "transcript": "the words of said" }),
            serde_json::json!({ "kind": "audio", "name": "v.ogg", "mime": "audio/ogg", "not_given": "left_out" }),
            serde_json::json!({ "kind": "voice message", "name": "v.ogg", "mime": "audio/ogg", "transcript": "the words of ask" }),
        ]
    );
    story.files.insert((id("ask"), 0), Err(Unread::Unheard));
    assert_eq!(story.compose().unreadable, Some(Unread::Unheard));
}
