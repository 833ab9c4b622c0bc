//! Approvals (C12) in encrypted rooms; the test's MCP server records what really ran.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use matrix_sdk::media::{MediaFormat, MediaRequestParameters};
use ruma::{OwnedEventId, OwnedRoomId, events::room::MediaSource, int};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use url::Url;
use workmate::{
    core::{hex::hex, words},
    standin::{RecordedRequest, Turn},
};

use crate::{
    harness::{
        Message, Person, RoomKind, SeenEvent, Timeline,
        between::homeserver_that_loses,
        homeserver::shared,
        office::{Office, question_of},
        workmate::coworker,
    },
    noise::pings,
};

mod echoes;
mod leaving;
mod powers;

/// An operator's secret that a compromised model has obtained.
const PLANTED: &str = "planted-s3cret-in-a-call";

/// An MCP server with one tool, which appends each call's arguments to the file named on its command line.
const SERVER: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if "id" not in message:
        continue
    if method == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "ops", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
        result = {"tools": [{"name": "deploy", "description": "Deploys.", "inputSchema": schema}]}
    elif method == "tools/call":
        with open(sys.argv[1], "a") as calls:
            calls.write(json.dumps(message["params"]["arguments"], ensure_ascii=False) + "\n")
        result = {"content": [{"type": "text", "text": "deployed to " + message["params"]["arguments"]["to"]}]}
    else:
        result = {}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

/// Two people and a coworker with the tool `ops__deploy` in Alice's encrypted room.
struct Scene {
    office: Office,
    room: OwnedRoomId,
    dir: TempDir,
}

impl Scene {
    /// Sets up a scene whose calls need the approval that `rule` makes from Alice's id.
    async fn set(rule: impl FnOnce(&str) -> Value) -> Result<Self> {
        Self::set_with(rule, json!({})).await
    }

    /// Sets up a scene with these limits.
    async fn set_with(rule: impl FnOnce(&str) -> Value, limits: Value) -> Result<Self> {
        Self::set_at(shared().url(), rule, limits).await
    }

    /// Sets up a scene whose Workmate reaches its homeserver at this URL.
    async fn set_at(homeserver: &Url, rule: impl FnOnce(&str) -> Value, limits: Value) -> Result<Self> {
        let people = [shared().person("alice").await, shared().person("bob").await];
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("server.py"), SERVER)?;
        let command = json!(["python3", dir.path().join("server.py"), dir.path().join("calls")]);
        let mut oncall = coworker("oncall");
        oncall["tools"] = json!([{"name": "ops__deploy", "approval": rule(people[0].user_id().as_str())}]);
        let office = Office::open_for(people, |setup| {
            setup
                .homeserver(homeserver)
                .coworkers(vec![oncall])
                .section("mcp_servers", json!({"ops": {"command": command}}))
                .section("limits", limits)
                .section("credentials", json!({"ci": {"value": PLANTED}}))
        })
        .await?;
        office.claude.respond_with(obedient);
        let room = office.room(RoomKind::Encrypted).await?;
        Ok(Self { office, room, dir })
    }

    fn calls_file(&self) -> PathBuf {
        self.dir.path().join("calls")
    }

    /// Returns the targets deployed to, in order.
    fn ran(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.calls_file()).unwrap_or_default();
        let calls = calls.lines().map(|line| serde_json::from_str::<Value>(line).expect("the server writes JSON"));
        calls.map(|arguments| arguments["to"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Has a person ask for a deployment; returns the request and its card.
    async fn ask(&self, asker: &Person, to: &str) -> Result<(OwnedEventId, SeenEvent)> {
        let request = self.office.ask(asker, &self.room, &format!("deploy {to}")).await?;
        Ok((request, self.card(to).await?))
    }

    /// Waits for a call's card and the coworker's reactions on it.
    async fn card(&self, to: &str) -> Result<SeenEvent> {
        let coworker = self.office.oncall();
        let call = format!("\"to\": \"{to}\"");
        let prepared = |seen: &Timeline| {
            let card = seen.messages_of(&coworker).find(|event| event.body().contains(&call))?;
            (seen.reactions(&card.event_id).filter(|(by, _)| *by == coworker).count() == 2).then(|| card.clone())
        };
        self.office.alice.until(&self.room, &format!("the card of {call} with its reactions"), prepared).await
    }

    /// Downloads and decrypts a file as a client does.
    async fn text_of(&self, file: &SeenEvent) -> Result<String> {
        let source = MediaSource::Encrypted(Box::new(serde_json::from_value(file.content["file"].clone())?));
        let wanted = MediaRequestParameters { source, format: MediaFormat::File };
        let bytes = self.office.alice.client().media().get_media_content(&wanted, false).await?;
        Ok(String::from_utf8(bytes)?)
    }

    async fn tap(&self, person: &Person, card: &SeenEvent, key: &str) -> Result<OwnedEventId> {
        person.react(&self.room, &card.event_id, key).await
    }

    async fn reply(&self, person: &Person, card: &SeenEvent, text: &str) -> Result<()> {
        person.send(&self.room, Message::text(text).replying_to(&card.event_id)).await?;
        Ok(())
    }

    async fn until_answered(&self, asker: &Person, text: &str) -> Result<SeenEvent> {
        self.office.answer(asker, &self.room, &self.office.oncall(), text).await
    }

    async fn until_card_says(&self, card: &SeenEvent, text: &str) -> Result<()> {
        let says = |seen: &Timeline| seen.shown_text(&card.event_id).filter(|shown| shown.contains(text)).map(drop);
        self.office.alice.until(&self.room, &format!("a card that says {text:?}"), says).await
    }

    /// Asks a question and waits for its answer; everything sent into the room before is handled by then.
    async fn settle(&self, question: &str) -> Result<()> {
        self.office.asked_and_answered(&self.room, question).await?;
        Ok(())
    }
}

/// A model that deploys wherever it is told to, and repeats the result.
fn obedient(request: &RecordedRequest) -> Turn {
    let last = request.body["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let blocks = last["content"].as_array().cloned().unwrap_or_default();
    let results: Vec<String> = blocks
        .iter()
        .filter(|block| block["type"] == "tool_result")
        .map(|block| if block["is_error"] == true { "not run".to_owned() } else { "run".to_owned() })
        .collect();
    if !results.is_empty() {
        return Turn::text(format!("It was: {}.", results.join(", ")));
    }
    let question = question_of(request);
    let Some((_, targets)) = question.split_once("deploy ") else {
        return Turn::text(format!("You asked: {question}"));
    };
    let targets =
        targets.split(" and ").map(|to| match to.strip_prefix("long-").and_then(|chars| chars.parse().ok()) {
            Some(chars) => json!({ "to": to, "command": long(chars) }),
            None => json!({ "to": to }),
        });
    targets.fold(Turn::empty(), |turn, arguments| turn.and_tool_use("ops__deploy", arguments))
}

/// Returns a command of that many characters with a middle that nobody would approve.
fn long(chars: usize) -> String {
    let middle = "; rm -rf /srv/production ;";
    let before = (chars - middle.len()) / 2;
    format!("{}{middle}{}", "a".repeat(before), "z".repeat(chars - middle.len() - before))
}

#[tokio::test]
async fn c12_of_a_call_of_731_characters_nothing_is_missing_and_one_of_100_000_is_whole_in_the_cards_file() -> Result<()>
{
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    let (_, card) = scene.ask(alice, "long-731").await?;
    assert!(card.body().contains(&format!("\"command\": \"{}\"", long(731))), "{}", card.body());
    scene.tap(alice, &card, "✅").await?;
    scene.until_answered(alice, "It was: run.").await?;

    let (request, card) = scene.ask(alice, "long-100000").await?;
    let coworker = scene.office.oncall();
    let attached = |seen: &Timeline| {
        let file = seen.messages_of(&coworker).find(|event| event.msgtype() == "m.file")?;
        Some(file.clone())
    };
    let file = alice.until(&scene.room, "the file with the whole call", attached).await?;
    assert!(file.is_decrypted() && file.thread_root() == Some(request.as_str()), "{file:?}");
    let text = scene.text_of(&file).await?;
    assert!(text.contains(&format!("\"command\": \"{}\"", long(100_000))));
    let digest = format!("({} bytes, SHA-256 `{}`)", text.len(), hex(&Sha256::digest(&text)));
    assert!(card.body().contains(&digest) && card.body().contains(file.body()), "{}", card.body());
    assert!(!card.body().contains("aaaa") && !card.body().contains("zzzz"), "whole or not at all");
    scene.tap(alice, &card, "✅").await?;
    let answered = |seen: &Timeline| {
        let answers = seen.messages_of(&coworker).filter(|event| event.body().contains("It was: run."));
        (answers.count() == 2).then_some(())
    };
    alice.until(&scene.room, "both answers", answered).await?;
    let calls = fs::read_to_string(scene.calls_file())?;
    let ran: Vec<Value> = calls.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let commands: Vec<_> = ran.iter().map(|call| call["command"].as_str().unwrap_or_default()).collect();
    assert_eq!(commands, [long(731), long(100_000)], "what ran is what was shown");
    Ok(())
}

#[tokio::test]
async fn c10_c12_the_askers_tap_runs_the_call_and_others_are_told_once_that_it_is_not_theirs() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    let (request, card) = scene.ask(alice, "production").await?;
    assert!(card.is_decrypted() && card.msgtype() == "m.text" && card.mentions(alice.user_id()), "{card:?}");
    assert_eq!(card.thread_root(), Some(request.as_str()));
    let coworker = scene.office.oncall();
    let waits = |seen: &Timeline| {
        let mut notices = seen.messages_of(&coworker).filter(|said| said.msgtype() == "m.notice");
        notices.find(|said| said.body() == "Waiting for approval of `ops__deploy` …").map(drop)
    };
    alice.until(&scene.room, "a status that says what is waited for", waits).await?;

    scene.tap(bob, &card, "✅").await?;
    scene.reply(bob, &card, "yes").await?;
    scene.tap(alice, &card, "👍").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new(), "nobody who may decide has decided");
    let seen = alice.timeline(&scene.room);
    let not_his = |said: &&SeenEvent| said.body().starts_with("Thanks, but only ");
    let told: Vec<&SeenEvent> = seen.messages_of(&coworker).filter(not_his).collect();
    let [told] = &told[..] else { panic!("one word for both, not {told:?}") };
    assert!(told.mentions(bob.user_id()) && told.msgtype() == "m.notice", "{told:?}");
    assert!(told.thread_root() == Some(request.as_str()) && told.is_decrypted(), "{told:?}");

    scene.tap(alice, &card, "✅").await?;
    scene.until_answered(alice, "It was: run.").await?;
    assert_eq!(scene.ran(), ["production"]);
    scene.until_card_says(&card, "approved by ").await?;
    let only_peoples = |seen: &Timeline| {
        let reactions = seen.events.iter().filter(|event| event.content["m.relates_to"]["key"].is_string());
        let (ours, theirs): (Vec<_>, Vec<_>) = reactions.partition(|event| event.sender == coworker);
        let gone = ours.len() == 2 && ours.iter().all(|event| seen.is_redacted(&event.event_id));
        (gone && theirs.iter().all(|event| !seen.is_redacted(&event.event_id))).then_some(())
    };
    alice.until(&scene.room, "the card without our own reactions", only_peoples).await?;
    let seen = alice.timeline(&scene.room);
    let pings = seen.edits(&card.event_id).filter(|edit| edit.mentions(alice.user_id())).count();
    assert_eq!(pings, 0, "the card's end pings nobody");
    Ok(())
}

#[tokio::test]
async fn c12_a_card_that_a_crash_cut_off_right_behind_its_sending_ends_with_its_run() -> Result<()> {
    let loses = Arc::new(AtomicBool::new(true));
    let is_lost = loses.clone();
    let url = homeserver_that_loses(move |call| {
        let path = call.uri().path();
        is_lost.load(Ordering::Relaxed) && path.contains("-card-") && path.ends_with("-ask")
    });
    let mut scene = Box::pin(Scene::set_at(&url.await?, |_| json!("asker"), json!({}))).await?;
    let coworker = scene.office.oncall();
    let request = scene.office.ask(&scene.office.alice, &scene.room, "deploy nowhere").await?;
    let there = |seen: &Timeline| seen.messages_of(&coworker).find(|event| event.body().contains("nowhere")).cloned();
    let card = scene.office.alice.until(&scene.room, "the card", there).await?;
    scene.office.workmate.kill();
    loses.store(false, Ordering::Relaxed);
    scene.office.alice.react(&scene.room, &request, "🛑").await?;
    scene.office.workmate.start_again().await;
    scene.until_card_says(&card, "before anybody decided").await?;
    assert_eq!(scene.ran(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn c12_a_reply_declines_and_starts_no_run_of_its_own() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    let to = format!("{PLANTED} in passing");
    let request = scene.office.ask(alice, &scene.room, &format!("deploy {to}")).await?;
    let card = scene.card("••• in passing").await?;
    assert!(!card.body().contains(PLANTED), "{}", card.body());

    // A decision by a person who may not decide, twice: they are told once, and no run begins.
    let (bob, coworker) = (&scene.office.bob, scene.office.oncall());
    bob.send(&scene.room, Message::text("yes").in_thread(&request)).await?;
    let told = |seen: &Timeline| {
        let mut said = seen.messages_of(&coworker);
        said.find(|event| event.body().contains("can decide this one") && event.mentions(bob.user_id())).map(drop)
    };
    bob.until(&scene.room, "who can decide", told).await?;
    bob.send(&scene.room, Message::text("approve").in_thread(&request)).await?;

    scene.reply(alice, &card, "No").await?;

    scene.until_answered(alice, "It was: not run.").await?;
    scene.until_card_says(&card, "declined").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new());
    assert!(!scene.office.workmate.logs().contains("in passing"), "arguments are not logged");
    let questions = scene.office.questions();
    let words = ["No", "yes", "approve"];
    assert!(!questions.iter().any(|question| words.contains(&question.as_str())), "{questions:?}");
    let seen = bob.timeline(&scene.room);
    let told = seen.messages_of(&coworker).filter(|event| event.body().contains("can decide this one")).count();
    assert_eq!(told, 1, "{seen}");
    Ok(())
}

#[tokio::test]
async fn c12_under_a_moderators_rule_the_power_level_decides_and_not_who_asked() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("moderator"))).await?;
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    let (_, card) = scene.ask(bob, "staging").await?;
    assert!(
        !card.mentions(bob.user_id()) && !card.mentions(alice.user_id()),
        "bob is no moderator, and alice did not ask"
    );

    scene.tap(bob, &card, "✅").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new(), "bob has power level 0");

    scene.tap(alice, &card, "✅").await?;
    scene.until_answered(bob, "It was: run.").await?;
    assert_eq!(scene.ran(), ["staging"]);
    Ok(())
}

#[tokio::test]
async fn c12_it_is_the_power_level_at_the_time_of_the_reaction_that_counts() -> Result<()> {
    let mut scene = Box::pin(Scene::set(|_| json!("moderator"))).await?;
    let (_, card) = scene.ask(&scene.office.alice, "staging").await?;

    scene.office.workmate.kill();
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    scene.tap(bob, &card, "✅").await?;
    alice.room(&scene.room)?.update_power_levels(vec![(bob.user_id(), int!(50))]).await?;
    scene.office.workmate.start_again().await;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new(), "bob was no moderator yet when he reacted");

    scene.reply(&scene.office.bob, &card, "yes").await?;
    scene.until_answered(&scene.office.alice, "It was: run.").await?;
    scene.until_card_says(&card, "approved by ").await?;
    Ok(())
}

#[tokio::test]
async fn c12_an_edited_request_is_asked_about_anew_and_the_old_card_is_void() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    let (request, old) = scene.ask(alice, "production").await?;

    let edit = Message::text("@oncall deploy staging").mentioning(&scene.office.oncall()).replacing(&request);
    alice.send(&scene.room, edit).await?;

    scene.until_card_says(&old, "stopped").await?;
    let new = scene.card("staging").await?;
    scene.tap(alice, &old, "✅").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new(), "the old card decides nothing");
    scene.tap(alice, &new, "✅").await?;
    scene.until_answered(alice, "It was: run.").await?;
    assert_eq!(scene.ran(), ["staging"]);
    Ok(())
}

#[tokio::test]
async fn c12_only_the_people_of_the_list_decide() -> Result<()> {
    let scene = Box::pin(Scene::set(|alice| json!([alice]))).await?;
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    let (_, card) = scene.ask(bob, "staging").await?;
    assert!(card.mentions(alice.user_id()), "she alone decides");

    scene.reply(bob, &card, "approve").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new(), "bob asked, but is not on the list");

    scene.reply(alice, &card, "approve").await?;
    scene.until_answered(bob, "It was: run.").await?;
    Ok(())
}

#[tokio::test]
async fn c12_two_calls_of_one_round_have_two_cards_and_are_decided_one_by_one() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    scene.office.ask(alice, &scene.room, "deploy red and blue").await?;
    let (red, blue) = (scene.card("red").await?, scene.card("blue").await?);

    scene.tap(alice, &blue, "✅\u{fe0f}").await?;
    scene.until_card_says(&blue, "approved").await?;
    scene.tap(alice, &red, "❌").await?;

    scene.until_answered(alice, "It was: not run, run.").await?;
    assert_eq!(scene.ran(), ["blue"]);
    scene.until_card_says(&red, "declined").await?;
    Ok(())
}

#[tokio::test]
async fn c12_it_still_awaits_after_a_kill_and_takes_what_was_decided_meanwhile() -> Result<()> {
    let mut scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let (_, card) = scene.ask(&scene.office.alice, "production").await?;

    scene.office.workmate.kill();
    scene.tap(&scene.office.alice, &card, "✅").await?;
    scene.office.workmate.start_again().await;

    let alice = &scene.office.alice;
    scene.until_answered(alice, "It was: run.").await?;
    assert_eq!(scene.ran(), ["production"], "once");
    scene.until_card_says(&card, "approved").await?;
    let (seen, coworker) = (alice.timeline(&scene.room), scene.office.oncall());
    let cards = seen.messages_of(&coworker).filter(|event| event.body().contains("May I run")).count();
    assert_eq!(cards, 1, "{seen}");
    Ok(())
}

#[tokio::test]
async fn c12_a_stop_closes_the_card_and_a_later_tap_does_nothing() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    let (_, card) = scene.ask(alice, "production").await?;

    scene.tap(bob, &card, "🛑").await?;

    scene.until_card_says(&card, "stopped").await?;
    scene.tap(alice, &card, "✅").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn c12_redacting_the_request_takes_its_card_back_and_redacting_a_card_declines() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    let (request, card) = scene.ask(alice, "production").await?;

    alice.redact(&scene.room, &request).await?;
    let redacted = |seen: &Timeline| seen.is_redacted(&card.event_id).then_some(());
    alice.until(&scene.room, "the card's redaction", redacted).await?;
    scene.tap(alice, &card, "✅").await?;
    scene.settle("anything else").await?;

    let (_, card) = scene.ask(alice, "staging").await?;
    alice.redact(&scene.room, &card.event_id).await?;
    scene.until_answered(alice, "It was: not run.").await?;
    assert_eq!(scene.ran(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn c12_open_cards_hold_up_no_other_thread_of_a_room_with_one_place() -> Result<()> {
    let limits = json!({"runs_max": 1, "room_runs_max": 1, "waiting_runs_max": 4});
    let scene = Box::pin(Scene::set_with(|_| json!("asker"), limits)).await?;
    let alice = &scene.office.alice;
    let (request, first) = scene.ask(alice, "production").await?;
    let (_, second) = scene.ask(alice, "staging").await?;
    let oncall = scene.office.oncall();
    let behind = Message::text("@oncall and behind it?").pill("@oncall", &oncall).in_thread(&request);
    alice.send(&scene.room, behind).await?;

    let elsewhere = scene.office.asked_and_answered(&scene.room, "elsewhere in the room").await?;
    scene.tap(alice, &elsewhere, "🔁").await?;
    let again = |seen: &Timeline| {
        let theirs = seen.messages_of(&oncall).filter(|event| event.body().contains("elsewhere in the room"));
        (theirs.count() == 2).then_some(())
    };
    alice.until(&scene.room, "a second answer elsewhere", again).await?;
    assert_eq!(scene.ran(), Vec::<String>::new());
    let questions = scene.office.questions();
    assert!(!questions.iter().any(|question| question.contains("behind it")), "its thread waits: {questions:?}");

    scene.tap(alice, &second, "✅").await?;
    scene.until_card_says(&second, "approved").await?;
    scene.tap(alice, &first, "✅").await?;
    scene.until_answered(alice, "behind it?").await?;
    assert_eq!(scene.ran(), ["staging", "production"]);
    Ok(())
}

#[tokio::test]
async fn c12_a_card_pings_who_may_decide_and_its_end_and_the_model_see_nothing_of_it() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    let (request, card) = scene.ask(bob, "production").await?;
    let read = |seen: &Timeline| seen.event(&card.event_id).filter(|event| event.is_decrypted()).cloned();
    let of_bob = bob.until(&scene.room, "the card", read).await?;
    assert!(pings(bob, &scene.room, &of_bob).await?, "bob decides");
    assert!(!pings(alice, &scene.room, &card).await?, "alice does not");

    scene.tap(bob, &card, "✅").await?;
    scene.until_answered(bob, "It was: run.").await?;
    scene.until_card_says(&card, "approved").await?;
    let edited = |seen: &Timeline| seen.edits(&card.event_id).find(|edit| edit.is_decrypted()).cloned();
    let end = bob.until(&scene.room, "the card's end", edited).await?;
    assert!(!pings(bob, &scene.room, &end).await? && !pings(alice, &scene.room, &end).await?);

    scene.settle("anything else").await?;
    let follow = Message::text("@oncall and now?").pill("@oncall", &scene.office.oncall()).in_thread(&request);
    bob.send(&scene.room, follow).await?;
    scene.until_answered(bob, "and now?").await?;
    for asked in scene.office.claude.requests() {
        let asked = asked.body["messages"].to_string();
        assert!(!asked.contains("May I run") && !asked.contains("approved"), "{asked}");
    }
    Ok(())
}

#[tokio::test]
async fn c12_a_plain_yes_in_the_thread_of_one_open_card_decides_and_starts_no_run() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    let (request, _) = scene.ask(alice, "production").await?;

    alice.send(&scene.room, Message::text("Yes").in_thread(&request)).await?;

    scene.until_answered(alice, "It was: run.").await?;
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), ["production"]);

    // An unclear yes is told how to decide; a clear no in other words declines; a question stays a question.
    let (request, card) = scene.ask(alice, "staging").await?;
    let say = async |body: &str, latest: &OwnedEventId| {
        let falling_back = json!({
            "rel_type": "m.thread", "event_id": request, "is_falling_back": true, "m.in_reply_to": { "event_id": latest },
        });
        let content = json!({ "msgtype": "m.text", "body": body, "m.mentions": {}, "m.relates_to": falling_back });
        anyhow::Ok(alice.room(&scene.room)?.send_raw("m.room.message", content).await?.response.event_id)
    };
    let oncall = scene.office.oncall();
    let mut latest = card.event_id.clone();
    for (count, unclear) in ["ok", "可以", "@oncall sure", "Yes…"].into_iter().enumerate() {
        latest = say(unclear, &latest).await?;
        let told = |seen: &Timeline| {
            let word = words::deciding::say_it_clearly();
            let told = seen.messages_of(&oncall).filter(|event| event.body().starts_with(&word[..30]));
            (told.count() == count + 1).then_some(())
        };
        alice.until(&scene.room, &format!("how to decide, after {unclear}"), told).await?;
    }
    let edit = json!({
        "msgtype": "m.text", "body": "* yes", "m.new_content": { "msgtype": "m.text", "body": "yes", "m.mentions": {} },
        "m.relates_to": { "rel_type": "m.replace", "event_id": latest }, "m.mentions": {},
    });
    alice.room(&scene.room)?.send_raw("m.room.message", edit).await?;
    let told = |seen: &Timeline| {
        let word = words::deciding::say_it_clearly();
        (seen.messages_of(&oncall).filter(|event| event.body().starts_with(&word[..30])).count() == 5).then_some(())
    };
    alice.until(&scene.room, "that an edit decides nothing", told).await?;
    let question = say("and who can see staging?", &latest).await?;
    say("No, don't!", &question).await?;
    scene.until_answered(alice, "It was: not run.").await?;
    scene.until_answered(alice, "You asked: and who can see staging?").await?;
    assert_eq!(scene.ran(), ["production"]);
    let questions = scene.office.questions();
    let about_cards = ["Yes", "ok", "可以", "sure", "Yes…", "No, don't!"];
    assert!(!questions.iter().any(|question| about_cards.contains(&question.as_str())), "{questions:?}");
    Ok(())
}

#[tokio::test]
async fn c12_a_plain_yes_with_several_open_cards_decides_nothing_and_is_told_how_to() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let alice = &scene.office.alice;
    let request = scene.office.ask(alice, &scene.room, "deploy red and blue").await?;
    let (red, blue) = (scene.card("red").await?, scene.card("blue").await?);

    alice.send(&scene.room, Message::text("yes").in_thread(&request)).await?;
    let told = scene.until_answered(alice, &words::approval::which_card()).await?;
    assert_eq!((told.msgtype(), told.thread_root()), ("m.notice", Some(request.as_str())));
    assert_eq!(scene.ran(), Vec::<String>::new());

    scene.tap(alice, &red, "❌").await?;
    scene.until_card_says(&red, "declined").await?;
    alice.send(&scene.room, Message::text("yes").in_thread(&request)).await?;
    scene.until_answered(alice, "It was: not run, run.").await?;
    scene.until_card_says(&blue, "approved").await?;
    assert_eq!(scene.ran(), ["blue"]);
    Ok(())
}

#[tokio::test]
async fn c12_a_tap_counts_that_came_while_nobody_knew_of_the_card() -> Result<()> {
    let losing = Arc::new(AtomicBool::new(true));
    let loses = losing.clone();
    // The homeserver has the card, and Workmate does not know it.
    let is_card = |path: &str| path.contains("-card-") && path.ends_with("-ask");
    let url = homeserver_that_loses(move |call| is_card(call.uri().path()) && loses.load(Ordering::Relaxed)).await?;
    let scene = Box::pin(Scene::set_at(&url, |_| json!("asker"), json!({}))).await?;
    let (alice, oncall) = (&scene.office.alice, scene.office.oncall());
    scene.office.ask(alice, &scene.room, "deploy blindly").await?;
    let card = |seen: &Timeline| seen.messages_of(&oncall).find(|said| said.body().contains("blindly")).cloned();
    let card = alice.until(&scene.room, "the card", card).await?;

    scene.tap(alice, &card, "✅").await?;
    // The reaction is handled by now, and meant nothing.
    scene.settle("anything else").await?;
    assert_eq!(scene.ran(), Vec::<String>::new());
    losing.store(false, Ordering::Relaxed);

    scene.until_answered(alice, "It was: run.").await?;
    assert_eq!(scene.ran(), ["blindly"]);
    let seen = alice.timeline(&scene.room);
    let cards = seen.messages_of(&oncall).filter(|said| said.body().contains("\"to\": \"blindly\"")).count();
    assert_eq!(cards, 1, "{seen}");
    Ok(())
}
