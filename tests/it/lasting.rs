//! Nothing is lost: whatever happens to our calls, requests are answered once, notices end, and nobody pays twice.
//!
//! A proxy between Workmate and the homeserver refuses the calls of one step of a run, or loses their replies.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::Request;
use reqwest::Method;
use ruma::{OwnedEventId, OwnedUserId, RoomId};
use serde_json::json;
use workmate::{
    core::{
        render,
        words::{self, Again},
    },
    standin::{Gate, RecordedRequest, Turn},
};

use crate::{
    assistants::{self, FIRST_WORDS, said},
    harness::{
        RoomKind, Timeline,
        between::{bad_gateway, between},
        homeserver::shared,
        office::{Office, answers_in_thread, question_of},
        readiness::{until_logged, until_runs_ended},
    },
};

/// The steps that now fail, by the ends of their transaction ids.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Vec<Broken>>>);

/// A room, the end of a step's transaction id, and how it fails.
type Broken = (String, &'static str, How);

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The call does not reach the homeserver.
    Refused,
    /// The homeserver handles the call, and its reply is lost.
    Lost,
}

impl Trouble {
    fn with_in(&self, room: &RoomId, step: &'static str, how: How) {
        // The whole of it: an id may have a `-` or `_` anywhere, and what is before that is in half of all paths.
        let name = room.as_str().trim_start_matches('!').split(':').next().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, step, how));
    }

    fn is_over(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn meets(&self, call: &Request, how: How) -> bool {
        let (path, known) = (call.uri().path(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        path.contains("/send/")
            && known.iter().any(|(room, step, with)| *with == how && path.contains(room) && path.ends_with(step))
    }

    async fn homeserver(&self) -> Result<url::Url> {
        let (refusing, losing) = (self.clone(), self.clone());
        let instead = move |call: &Request| refusing.meets(call, How::Refused).then(|| bad_gateway("refused"));
        between(instead, move |call| losing.meets(call, How::Lost)).await
    }
}

async fn open(limits: serde_json::Value) -> Result<(Office, Trouble)> {
    let trouble = Trouble::default();
    let url = trouble.homeserver().await?;
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup| setup.homeserver(&url).section("limits", limits)).await?;
    Ok((office, trouble))
}

/// Has Alice ask a question whose answer is held after its first words.
async fn ask_and_hold(office: &Office, room: &RoomId, question: &str) -> Result<(OwnedEventId, Gate)> {
    let (turn, gate) = Turn::text(format!("You asked: {question}")).word_by_word().gate_after(1);
    office.script(question, turn);
    let request = office.ask(&office.alice, room, question).await?;
    gate.reached().await;
    Ok((request, gate))
}

/// Returns a coworker's notices in a request's thread, with their present texts.
fn notices(seen: &Timeline, request: &OwnedEventId, coworker: &OwnedUserId) -> Vec<(OwnedEventId, String)> {
    let theirs = seen.messages_of(coworker).filter(|said| said.thread_root() == Some(request.as_str()));
    let notices = theirs.filter(|said| said.msgtype() == "m.notice");
    notices
        .map(|said| (said.event_id.clone(), seen.shown_text(&said.event_id).unwrap_or_default().to_owned()))
        .collect()
}

async fn until_notice(office: &Office, room: &RoomId, request: &OwnedEventId, text: &str) -> Result<OwnedEventId> {
    let oncall = office.oncall();
    let says = |seen: &Timeline| {
        notices(seen, request, &oncall).into_iter().find(|(_, shown)| shown.contains(text)).map(|(notice, _)| notice)
    };
    office.alice.until(room, &format!("a notice that says {text:?}"), says).await
}

fn asked(office: &Office, question: &str) -> usize {
    office.questions().iter().filter(|asked| asked.contains(question)).count()
}

#[tokio::test]
async fn c9_a_notice_whose_reply_is_lost_breaks_no_answer_is_one_and_ends() -> Result<()> {
    let (office, trouble) = open(json!({})).await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    trouble.with_in(&room, "-status", How::Lost);
    let (request, gate) = ask_and_hold(&office, &room, "paint the fence").await?;
    until_notice(&office, &room, &request, "Working on it").await?;
    gate.release();
    office.answer(&office.alice, &room, &oncall, "paint the fence").await?;
    trouble.is_over();
    until_notice(&office, &room, &request, "Done after").await?;

    // A 🛑 on a notice whose event id was lost is found together with it.
    trouble.with_in(&room, "-status", How::Lost);
    let (stopped, _gate) = ask_and_hold(&office, &room, "paint the gate").await?;
    let notice = until_notice(&office, &room, &stopped, "Working on it").await?;
    office.bob.react(&room, &notice, "🛑").await?;
    office.asked_and_answered(&room, "is the stop heard?").await?;
    trouble.is_over();
    until_notice(&office, &room, &stopped, "Stopped").await?;

    office.asked_and_answered(&room, "anything else?").await?;
    let seen = office.alice.timeline(&room);
    assert_eq!([&request, &stopped].map(|request| notices(&seen, request, &oncall).len()), [1, 1], "{seen}");
    assert_eq!(asked(&office, "paint the fence"), 1, "{:?}", office.questions());
    Ok(())
}

#[tokio::test]
async fn c9_a_notice_ends_after_a_crash_and_for_a_coworker_that_comes_back() -> Result<()> {
    let (mut office, trouble) = open(json!({})).await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    trouble.with_in(&room, "-status-end", How::Refused);
    let (request, gate) = ask_and_hold(&office, &room, "shear the sheep").await?;
    until_notice(&office, &room, &request, "Working on it").await?;
    gate.release();
    office.answer(&office.alice, &room, &oncall, "shear the sheep").await?;
    until_runs_ended(&office.workmate, 1).await;
    office.workmate.kill();
    trouble.is_over();
    office.workmate.start_again().await;
    until_notice(&office, &room, &request, "Done after").await?;

    trouble.with_in(&room, "-stopped", How::Refused);
    trouble.with_in(&room, "-status-end", How::Refused);
    let (stopped, _gate) = ask_and_hold(&office, &room, "count the sheep").await?;
    office.bob.react(&room, &stopped, "🛑").await?;
    until_runs_ended(&office.workmate, 2).await;
    office.workmate.kill();
    trouble.is_over();
    office.workmate.start_again().await;
    until_notice(&office, &room, &stopped, "Stopped").await?;

    let (kicked, _gate) = ask_and_hold(&office, &room, "milk the cow").await?;
    until_notice(&office, &room, &kicked, "Working on it").await?;
    office.alice.room(&room)?.kick_user(&oncall, None).await?;
    until_runs_ended(&office.workmate, 3).await;
    office.bring(&room, &oncall).await?;
    let ended = |seen: &Timeline| {
        let notices = notices(seen, &kicked, &oncall);
        notices.iter().all(|(_, text)| !text.contains("Working on it")).then_some(())
    };
    office.alice.until(&room, "the end of the notice", ended).await?;

    let seen = office.alice.timeline(&room);
    assert_eq!([&request, &kicked].map(|request| notices(&seen, request, &oncall).len()), [1, 1], "{seen}");
    assert_eq!(asked(&office, "shear the sheep"), 1);
    Ok(())
}

#[tokio::test]
async fn c11_what_the_model_has_said_is_kept_holds_up_nobody_and_is_sent_once_it_can_be() -> Result<()> {
    let (mut office, trouble) = open(json!({"runs_max": 1, "room_runs_max": 1})).await?;
    let [stuck, free] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Plain).await?];
    let assistant = office.workmate.slot().assistant(office.alice.user_id().localpart());
    office.alice.create_dm(&assistant).await?;
    let chat = office.alice.until_invited_by(&assistant).await?;
    office.alice.join(&chat).await?;
    office.alice.until(&chat, "the first words", |seen| said(seen, &assistant, FIRST_WORDS)).await?;
    for room in [&stuck, &chat] {
        trouble.with_in(room, "-answer", How::Refused);
    }

    office.ask(&office.alice, &stuck, "keep the change").await?;
    office.alice.send(&chat, "keep the secret").await?;
    for question in ["keep the change", "keep the secret"] {
        let whole = |asked: &RecordedRequest| asked.finished && question_of(asked).contains(question);
        office.claude.wait_for_request(whole).await?;
    }
    // There is one place for all rooms, and a run that waits for the homeserver does not hold it.
    office.asked_and_answered(&free, "is anybody there?").await?;
    office.workmate.stop().await;
    trouble.is_over();
    office.workmate.start_again().await;

    office.answer(&office.alice, &stuck, &office.oncall(), "keep the change").await?;
    let told = |seen: &Timeline| {
        let mut theirs = seen.messages_of(&assistant);
        theirs.find(|said| seen.shown_text(&said.event_id) == Some("You asked: keep the secret")).map(drop)
    };
    office.alice.until(&chat, "the assistant's answer", told).await?;
    office.asked_and_answered(&stuck, "anything else?").await?;
    assert_eq!(["keep the change", "keep the secret"].map(|question| asked(&office, question)), [1, 1]);
    assert!(!office.workmate.logs().contains("keep the secret"), "what is kept is not logged");
    Ok(())
}

#[tokio::test]
async fn c19_who_asks_where_it_may_not_speak_is_told_by_another_door_and_answered_once_it_may() -> Result<()> {
    let office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let (request, gate) = ask_and_hold(&office, &room, "what is the code").await?;
    let path = format!("_matrix/client/v3/rooms/{room}/state/m.room.power_levels");
    let mut levels = assistants::call_as(&office.alice, Method::GET, &path, &json!({})).await?;
    let before = levels.clone();
    levels["users"][oncall.as_str()] = json!(-1);
    assistants::call_as(&office.alice, Method::PUT, &path, &levels).await?;
    gate.release();

    let service = office.workmate.slot().service();
    let chat = office.alice.until_invited_by(&service).await?;
    office.alice.join(&chat).await?;
    let word = render::render(&words::answer_not_posted("oncall", room.as_str(), request.as_str(), true)).body;
    let told = |seen: &Timeline| seen.messages_of(&service).find(|said| said.body() == word).map(drop);
    office.alice.until(&chat, "that there is an answer", told).await?;
    until_runs_ended(&office.workmate, 1).await;
    assert_eq!(asked(&office, "what is the code"), 1);
    assert!(office.alice.timeline(&chat).messages_of(&service).all(|said| !said.body().contains("the code")));

    // Requests made meanwhile cost nothing, and are told why once.
    for question in ["and the second", "and the third"] {
        office.ask(&office.alice, &room, question).await?;
    }
    let word = render::render(&words::no_power("oncall", room.as_str())).body;
    let told = |seen: &Timeline| seen.messages_of(&service).find(|said| said.body() == word).map(drop);
    office.alice.until(&chat, "why nobody answers", told).await?;
    assistants::call_as(&office.alice, Method::PUT, &path, &before).await?;
    for question in ["what is the code", "and the second", "and the third"] {
        office.answer(&office.alice, &room, &oncall, question).await?;
        assert_eq!(asked(&office, question), 1, "{question}");
    }
    let words = office.alice.timeline(&chat).messages_of(&service).filter(|said| said.body() == word).count();
    assert_eq!(words, 1, "it is said once");

    // If the coworker cannot speak from the beginning, it says so elsewhere, and introduces itself once it can.
    let quiet = json!({
        "preset": "private_chat", "power_level_content_override": { "events_default": 50 },
        "invite": [office.bob.user_id(), oncall],
    });
    let quiet = assistants::call_as(&office.alice, Method::POST, "_matrix/client/v3/createRoom", &quiet).await?;
    let quiet = RoomId::parse(quiet["room_id"].as_str().expect("a room"))?;
    office.join_on_invite(&office.bob, &quiet).await?;
    let word = render::render(&words::no_power("oncall", quiet.as_str())).body;
    let told = |seen: &Timeline| seen.messages_of(&service).find(|said| said.body() == word).map(drop);
    office.alice.until(&chat, "that it cannot introduce itself", told).await?;
    let path = format!("_matrix/client/v3/rooms/{quiet}/state/m.room.power_levels");
    let mut levels = assistants::call_as(&office.alice, Method::GET, &path, &json!({})).await?;
    levels["events_default"] = json!(0);
    assistants::call_as(&office.alice, Method::PUT, &path, &levels).await?;
    let introduced = |seen: &Timeline| seen.messages_of(&oncall).next().map(drop);
    office.alice.until(&quiet, "its first words", introduced).await?;
    office.asked_and_answered(&quiet, "are you there").await?;
    Ok(())
}

#[tokio::test]
async fn c19_a_run_that_was_under_way_in_three_crashes_is_given_up_with_a_word() -> Result<()> {
    let mut office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Plain).await?, office.oncall());
    let hold = |office: &Office| {
        let (turn, gate) = Turn::text("never to be read").gate_after(1);
        office.script("bring it down", turn);
        gate
    };
    let mut gate = hold(&office);
    office.ask(&office.alice, &room, "bring it down").await?;
    for crash in 1..=3 {
        gate.reached().await;
        office.workmate.kill();
        if crash < 3 {
            gate = hold(&office);
        }
        office.workmate.start_again().await;
    }
    let word = office.answer(&office.alice, &room, &oncall, &words::cut_off(Again::ByReaction)).await?;
    assert_eq!(asked(&office, "bring it down"), 3, "a call for each start, and none after it is given up");

    office.bob.react(&room, &word.event_id, "🔁").await?;
    office.answer(&office.bob, &room, &oncall, "You asked: @oncall bring it down").await?;
    Ok(())
}

#[tokio::test]
async fn c19_a_stop_waits_for_what_is_nearly_there_and_nothing_of_it_is_asked_again() -> Result<()> {
    let (mut office, trouble) = open(json!({})).await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let (request, gate) = ask_and_hold(&office, &room, "finish the sentence").await?;
    let pid = office.workmate.pid().expect("it runs").to_string();
    let asked_to = std::process::Command::new("kill").args(["-TERM", &pid]).status()?;
    assert!(asked_to.success());
    until_logged(&office.workmate, "stopping", 1).await;
    gate.release();
    office.answer(&office.alice, &room, &oncall, "finish the sentence").await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;

    // The homeserver has the answer, and the stop comes before its reply.
    trouble.with_in(&room, "-answer", How::Lost);
    office.ask(&office.alice, &room, "say it twice").await?;
    office.answer(&office.alice, &room, &oncall, "say it twice").await?;
    office.workmate.stop().await;
    trouble.is_over();
    office.workmate.start_again().await;
    until_runs_ended(&office.workmate, 2).await;

    office.asked_and_answered(&room, "anything else?").await?;
    assert_eq!(["finish the sentence", "say it twice"].map(|question| asked(&office, question)), [1, 1]);
    assert_eq!(answers_in_thread(&office.alice, &room, &request, &oncall), 1);
    let seen = office.alice.timeline(&room);
    assert_eq!(seen.messages_of(&oncall).filter(|said| said.body().contains("say it twice")).count(), 1, "{seen}");
    Ok(())
}
