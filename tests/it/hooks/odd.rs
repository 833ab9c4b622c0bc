//! Senders that dawdle, deliveries that come again, events that are no messages, and bots that answer our answers.

use anyhow::{Context as _, Result};
use ruma::{Int, OwnedEventId, events::room::member::MembershipState};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use workmate::standin::{Matcher, RecordedRequest, Turn};

use super::{Desk, SECRET, assert_in_thread, is_about, run, signature};
use crate::harness::{Message, Timeline, readiness::until_logged};

/// More senders that dawdle than bodies are read at once for one hook.
const DAWDLERS: usize = 24;
/// More senders of half a body than connections are kept.
const HALVES: usize = 300;
/// What a watch takes up of one sender in a room.
const WATCHED_MAX: usize = 10;

impl Desk {
    /// Opens a connection and sends the head of a call without its body.
    async fn head(&self, hook: &str, headers: &str) -> Result<TcpStream> {
        let address = self.url.strip_prefix("http://").context("a URL")?;
        let mut stream = TcpStream::connect(address).await?;
        let head = format!(
            "POST /hooks/{hook} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\
             {headers}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        Ok(stream)
    }

    /// Has Alice give a command, and waits for what is said to it.
    async fn command(&self, command: &str, said: &str) -> Result<()> {
        let message = Message::text(format!("@oncall {command}")).pill("@oncall", &self.office.oncall());
        let asked = self.alice().send(&self.plain, message).await?;
        let find = |seen: &Timeline| {
            let at = seen.events.iter().position(|event| event.event_id == asked)?;
            seen.events[at..]
                .iter()
                .find(|event| event.sender != *self.alice().user_id() && event.body().contains(said))
                .map(drop)
        };
        self.alice().until(&self.plain, &format!("what is said to {command}"), find).await
    }
}

/// Whoever sends a head and then dawdles keeps nobody out, and who cannot prove anything is told before the body.
pub(super) async fn dawdlers_keep_nobody_out(desk: &Desk) -> Result<()> {
    let mut dawdlers = Vec::new();
    let signed = format!("x-github-event: workflow_run\r\nx-hub-signature-256: {}", signature("{}"));
    for _ in 0..DAWDLERS {
        dawdlers.push(desk.head("github", &signed).await?);
    }
    assert_eq!(desk.alert("BesideDawdlers", "firing").await?.0, 202);
    for (hook, headers, expected) in [
        ("github", "x-hub-signature-256: sha256=00", " 401 "),
        ("alertmanager", "authorization: Bearer wrong", " 401 "),
        ("nothing", "authorization: Bearer wrong", " 404 "),
    ] {
        let mut stream = desk.head(hook, headers).await?;
        let mut answer = vec![0; 64];
        let read = stream.read(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.lines().next().is_some_and(|line| line.contains(expected)), "{hook}: {answer}");
    }
    desk.answered(&desk.sealed, "BesideDawdlers").await?;
    // Strangers with junk in place of a signature, and half a body each: neither this hook nor another is kept busy.
    let mut halves = Vec::new();
    let junk = format!("x-github-event: workflow_run\r\nx-hub-signature-256: sha256={}", "0".repeat(64));
    for number in 0..HALVES {
        let mut half = desk.head("github", &junk).await?;
        half.write_all(b"{\"a\":").await?;
        halves.push(half);
        if number % 150 == 149 {
            assert_eq!(desk.alert(&format!("BesideHalves{number}"), "firing").await?.0, 202);
        }
    }
    assert_eq!(desk.github(&run("beside-halves")).await?, (202, json!({ "status": "accepted" })));
    drop((dawdlers, halves));
    Ok(())
}

/// What a muted coworker left may be delivered again, and is carried out once then.
pub(super) async fn what_was_left_may_come_again(desk: &Desk) -> Result<()> {
    desk.command("!mute", "quiet in this room").await?;
    assert_eq!(desk.github(&run("while-muted")).await?, (202, json!({ "status": "accepted" })));
    until_logged(&desk.office.workmate, "an errand is left", 1).await;
    desk.command("!unmute", "back").await?;
    assert_eq!(desk.github(&run("while-muted")).await?, (202, json!({ "status": "accepted" })));
    desk.answered(&desk.plain, "while-muted").await?;
    assert_eq!(desk.github(&run("while-muted")).await?, (202, json!({ "status": "known" })));
    desk.assert_once(&desk.plain, "while-muted");
    Ok(())
}

/// A coworker that is removed while it works leaves that; delivered again once it is back, it begins a new thread.
pub(super) async fn a_removed_coworker_begins_anew(desk: &Desk) -> Result<()> {
    let (oncall, sealed) = (desk.office.oncall(), desk.alice().room(&desk.sealed)?);
    let (turn, gate) = Turn::text("Digest of KickedDisk (never)").hold_headers();
    let about = |request: &RecordedRequest| is_about(request, "KickedDisk");
    desk.office.claude.on(Matcher::when("an errand", about), turn);
    assert_eq!(desk.alert("KickedDisk", "firing").await?, (202, json!({ "status": "accepted" })));
    gate.reached().await;
    let shown = |seen: &Timeline| seen.messages_of(&oncall).find(|said| said.body().contains("KickedDisk")).map(drop);
    desk.alice().until(&desk.sealed, "the notice", shown).await?;
    sealed.kick_user(&oncall, None).await?;
    until_logged(&desk.office.workmate, "left a room room.id", 1).await;
    gate.release();
    assert_eq!(desk.alert("KickedDisk", "firing").await?.0, 503, "nobody is there");
    desk.alice().invite(&desk.sealed, &oncall).await?;
    desk.alice().until_membership(&desk.sealed, &oncall, &MembershipState::Join).await?;
    let again = loop {
        match desk.alert("KickedDisk", "firing").await? {
            // Its own client has not heard of its joining yet; a sender repeats what is refused for now.
            (503, _) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
            answered => break answered,
        }
    };
    assert_eq!(again, (202, json!({ "status": "accepted" })));
    let answer = desk.answered(&desk.sealed, "KickedDisk (firing)").await?;
    let notices = desk.notices(&desk.sealed, "KickedDisk");
    let [before, after] = &notices[..] else { panic!("two notices: {notices:?}") };
    assert_eq!((before.thread_root(), after.thread_root()), (None, None));
    assert_in_thread(&answer, &after.event_id);
    assert_eq!(desk.answers(&desk.sealed, "KickedDisk (never)"), 0);
    Ok(())
}

/// Events that are no messages are announced and answered in their notice's thread; state too.
pub(super) async fn events_of_a_type_are_looked_at(desk: &Desk) -> Result<()> {
    let sealed = desk.robot.room(&desk.sealed)?;
    sealed.send_raw("org.example.build", json!({ "name": "build-76", "state": "green" })).await?;
    sealed.send_raw("org.example.other", json!({ "name": "build-75", "state": "red" })).await?;
    sealed.send_raw("org.example.build", json!({ "name": "build-77", "state": "red" })).await?;
    let answer = desk.answered(&desk.sealed, "build-77").await?;
    let notices = desk.notices(&desk.sealed, "builds: org.example.build");
    let [notice] = &notices[..] else { panic!("one notice: {notices:?}") };
    assert_in_thread(&answer, &notice.event_id);
    assert!(notice.is_decrypted() && answer.is_decrypted());

    let alices = desk.alice().room(&desk.plain)?;
    alices.update_power_levels(vec![(desk.robot.user_id(), Int::from(50))]).await?;
    desk.robot.room(&desk.plain)?.set_room_topic("Release day").await?;
    let answer = desk.answered(&desk.plain, "Release day").await?;
    let notices = desk.notices(&desk.plain, "topics: m.room.topic");
    let [notice] = &notices[..] else { panic!("one notice: {notices:?}") };
    assert_in_thread(&answer, &notice.event_id);
    assert_eq!(desk.answers(&desk.sealed, "build-76") + desk.answers(&desk.sealed, "build-75"), 0);
    Ok(())
}

/// A bot that answers each of our answers is stopped, long before the room's limit for errands.
pub(super) async fn a_bot_that_answers_our_answers_is_stopped(desk: &Desk) -> Result<()> {
    let mut said: Vec<(OwnedEventId, String)> = Vec::new();
    for number in 0..WATCHED_MAX {
        let words = format!("Round {number} FAILED");
        let event = desk.robot.send(&desk.plain, words.as_str()).await?;
        assert_in_thread(&desk.answered(&desk.plain, &words).await?, &event);
        said.push((event, words));
    }
    let (root, _) = said.last().context("it spoke")?;
    for number in 0..3 {
        let words = format!("Again {number} FAILED");
        desk.robot.send(&desk.plain, Message::text(words).in_thread(root)).await?;
    }
    until_logged(&desk.office.workmate, "errands come too fast", 1).await;
    let told = |seen: &Timeline| {
        seen.messages_of(&desk.office.oncall()).any(|event| event.body().contains("came too fast here")).then_some(())
    };
    desk.alice().until(&desk.plain, "that it is too much", told).await?;
    // People and other senders are answered meanwhile.
    desk.office.asked_and_answered(&desk.plain, "still there?").await?;
    assert_eq!(desk.github(&run("beside-the-bot")).await?.0, 202);
    desk.answered(&desk.plain, "beside-the-bot").await?;
    assert!((0..3).all(|number| desk.answers(&desk.plain, &format!("Again {number}")) == 0));
    assert_eq!(desk.notices(&desk.plain, "came too fast here").len(), 1);
    assert!(!SECRET.is_empty() && !desk.office.workmate.logs().contains(SECRET), "a secret is in the log");
    Ok(())
}
