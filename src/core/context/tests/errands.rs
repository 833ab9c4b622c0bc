//! Errands in a prompt: their notices become records of what was reported (C20 to C22).

use super::*;
use crate::core::{
    event::MessageKind,
    origin::{Origin, OriginKind},
};

fn brief(kind: OriginKind, task: &str, payload: Option<&str>) -> Brief {
    Brief {
        origin: Origin { kind, name: "am".to_owned(), set_by: None },
        task: task.to_owned(),
        payload: payload.map(ToOwned::to_owned),
        payload_cut: false,
        due_at: Timestamp::from_ms(1_795_346_405_000),
    }
}

impl Story {
    fn notice(self, name: &str, text: &str) -> Self {
        let message = Message { kind: MessageKind::Notice, ..Message::text(text) };
        self.event(name, ME, EventKind::Message(message))
    }

    fn errand(mut self, name: &str, brief: Brief) -> Self {
        self.errands.insert(id(name), brief);
        self
    }
}

#[test]
fn c21_a_notice_is_read_as_its_errand_and_asked_about_with_it() {
    let story = Story::new()
        .says("a", ALICE, "quiet today")
        .notice("other", "🔔 something else")
        .notice("root", "🔔 am: Disk full")
        .errand("root", brief(OriginKind::Hook, "Say what is wrong.", Some("{\"alertname\":\"Disk\"}")))
        .asks("root")
        .in_thread("root");
    let composed = story.compose();
    let all = records(&composed.prompt);
    let last = all.last().expect("a record");
    assert_eq!((&last["errand"]["task"], &last["errand"]["from"]), (&"Say what is wrong.".into(), &"hook".into()));
    assert_eq!(last["reported"], "{\"alertname\":\"Disk\"}");
    assert!(last.get("event_id").is_none(), "it may be asked before its notice is there: {last}");
    assert!(last.get("sender").is_none() && last.get("text").is_none(), "no member's words: {last}");
    assert!(!composed.left_out.request && !transcript(&composed).contains("🔔"));

    // Whoever asks on in its thread asks with the report at hand.
    let asked = story.clone().says_in("why", BOB, "root", "since when?").asks("why").compose();
    let read = records(&asked.prompt);
    let at = |event: &str| read.iter().position(|record| record["event_id"] == event);
    assert!(at("$root").is_some() && at("$root") < at("$why"), "{read:?}");

    // A notice that was deleted is no request any more.
    assert!(story.redacts("x", ALICE, "root").compose().left_out.request);
}

#[test]
fn c22_the_task_of_a_watch_follows_the_watched_message() {
    let composed = Story::new()
        .says("red", BOB, "Build 12 FAILED")
        .errand("red", brief(OriginKind::Watch, "Digest it.", None))
        .asks("red")
        .in_thread("red")
        .compose();
    let all = records(&composed.prompt);
    let [.., message, task] = &all[..] else { panic!("two records: {all:?}") };
    assert_eq!((&message["text"], &message["sender"]), (&"Build 12 FAILED".into(), &BOB.into()));
    assert_eq!((&task["errand"]["task"], &task["errand"]["from"]), (&"Digest it.".into(), &"watch".into()));
    assert!(task.get("reported").is_none());
}

#[test]
fn c21_a_report_of_any_length_leaves_task_and_request() {
    let mut story = Story::new()
        .notice("root", "🔔")
        .errand("root", brief(OriginKind::Hook, "Say what is wrong.", Some(&"\u{202e}💥 \"x\" ".repeat(20_000))))
        .asks("root")
        .in_thread("root");
    story.tokens_max = crate::core::context::TOKENS_MIN;
    let composed = story.compose();
    let all = records(&composed.prompt);
    let last = all.last().expect("a record");
    assert_eq!((&last["errand"]["task"], &last["cut"]), (&"Say what is wrong.".into(), &true.into()));
    assert_eq!((composed.left_out.request, composed.left_out.cut), (false, 1));
}
