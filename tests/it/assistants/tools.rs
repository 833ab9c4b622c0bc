//! Assistants' tools (C12, A4): none unless granted; approval, status and record stay in the owner's chat.

use std::path::Path;

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};
use tempfile::TempDir;
use workmate::{core::words, standin::Turn};

use super::{FIRST_WORDS, Office, call_as, said};
use crate::{
    audit::told as told_by_audit,
    harness::{Person, SeenEvent, Timeline, homeserver::shared, readiness::until_runs_ended},
    privacy::{Found, on_disk},
};

/// An argument of the call; the probe repeats it in its result.
const CANARY: &str = "Rohrdommel-1723";
const ANSWER: &str = "It is noted, and nobody else knows.";

/// An office whose assistants may use a probe server's tools, and Alice in her chat.
struct Scene {
    office: Office,
    alice: Person,
    room: OwnedRoomId,
    probe: TempDir,
}

impl Scene {
    async fn set(tools: Value) -> Result<Self> {
        let probe = tempfile::tempdir()?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tools/probe.py");
        let servers = json!({ "probe": { "command": ["python3", program, probe.path()] } });
        let set_up = |setup: crate::harness::Setup| {
            setup
                .section("mcp_servers", servers)
                .section("assistants", json!({ "tools": tools }))
                .section("log", json!({ "filter": "trace,workmate=trace" }))
        };
        let office = Office::open_with(set_up).await?;
        let alice = shared().person("alice").await;
        let room = office.meet(&alice).await?;
        Ok(Self { office, alice, room, probe })
    }

    /// Has Alice ask for a note; returns the card of the model's call.
    async fn ask(&self) -> Result<SeenEvent> {
        let call = json!({ "text": CANARY });
        self.office.claude.enqueue(Turn::text("Let me note that.").and_tool_use("probe__note", call));
        self.alice.send(&self.room, "note it for me").await?;
        let assistant = self.office.assistant_of(&self.alice);
        let prepared = |seen: &Timeline| {
            let card = seen.messages_of(&assistant).find(|event| event.body().contains(CANARY))?;
            (seen.reactions(&card.event_id).filter(|(by, _)| *by == assistant).count() == 2).then(|| card.clone())
        };
        self.alice.until(&self.room, "the card with its reactions", prepared).await
    }

    async fn approve(&self, card: &SeenEvent) -> Result<SeenEvent> {
        self.office.claude.enqueue(Turn::text(ANSWER).word_by_word());
        self.alice.react(&self.room, &card.event_id, "✅").await?;
        self.office.answered(&self.alice, &self.room, ANSWER).await
    }

    /// Returns what the probe has done.
    fn done(&self) -> Vec<String> {
        let done = std::fs::read_to_string(self.probe.path().join("done.txt")).unwrap_or_default();
        done.lines().map(str::to_owned).collect()
    }

    /// Returns the present texts of the assistant's messages other than notices and the card.
    fn answers(&self, card: &SeenEvent) -> Vec<String> {
        let (seen, assistant) = (self.alice.timeline(&self.room), self.office.assistant_of(&self.alice));
        let said = seen.messages_of(&assistant).filter(|event| {
            event.msgtype() == "m.text" && event.event_id != card.event_id && !event.body().starts_with(FIRST_WORDS)
        });
        said.map(|event| seen.shown_text(&event.event_id).unwrap_or_default().to_owned()).collect()
    }

    async fn until_recorded(&self) -> Result<SeenEvent> {
        let assistant = self.office.assistant_of(&self.alice);
        let find = |seen: &Timeline| {
            let mut notices = seen.messages_of(&assistant).filter(|event| event.msgtype() == "m.notice");
            let recorded =
                |event: &&SeenEvent| seen.edits(&event.event_id).last().is_some_and(|edit| is_record(edit, CANARY));
            notices.find(recorded).cloned()
        };
        self.alice.until(&self.room, "the record of the run", find).await
    }
}

/// Returns whether an edit turns a status into the record of a run whose steps contain `text`.
fn is_record(edit: &SeenEvent, text: &str) -> bool {
    edit.content["m.new_content"].to_string().contains(text)
}

fn tools_of(prompt: &str) -> Result<Value> {
    let prompt: Value = serde_json::from_str(prompt).context("the request is JSON")?;
    Ok(prompt["tools"].clone())
}

async fn told(scene: &Scene, beginning: &str, room: &RoomId) -> Result<String> {
    let assistant = scene.office.assistant_of(&scene.alice);
    let find = |seen: &Timeline| said(seen, &assistant, beginning);
    Ok(scene.alice.until(room, beginning, find).await?.body().to_owned())
}

#[tokio::test]
async fn a4_assistants_have_no_tools_unless_they_are_granted() -> Result<()> {
    let scene = Box::pin(Scene::set(json!([]))).await?;

    scene.alice.send(&scene.room, "!tools").await?;
    told(&scene, &words::no_tools(), &scene.room).await?;
    scene.office.ask(&scene.alice, &scene.room, "what can you use?", "Nothing.").await?;

    let prompts = scene.office.prompts();
    assert_eq!(tools_of(&prompts[0])?, Value::Null);
    assert!(!prompts[0].contains("probe__note"));
    Ok(())
}

#[tokio::test]
async fn a4_c12_a_call_waits_for_the_owner_runs_once_and_is_found_nowhere_else() -> Result<()> {
    let mut scene = Box::pin(Scene::set(json!([{ "name": "probe__note", "approval": "asker" }]))).await?;
    let bob = shared().person("bob").await;
    let bobs = scene.office.meet(&bob).await?;
    scene.alice.send(&scene.room, "!tools").await?;
    let listed = told(&scene, "My tools", &scene.room).await?;

    let card = scene.ask().await?;
    assert!(card.is_decrypted() && card.mentions(scene.alice.user_id()), "{card:?}");
    // Only the owner's ✅ decides the call. The later command is handled after the reaction.
    scene.alice.react(&scene.room, &card.event_id, "👍").await?;
    scene.alice.send(&scene.room, "!help").await?;
    told(&scene, "Just write", &scene.room).await?;
    scene.office.ask(&bob, &bobs, "what is noted?", "I cannot know.").await?;
    assert_eq!(scene.done(), Vec::<String>::new());

    let answer = scene.approve(&card).await?;
    assert_eq!(scene.done(), [CANARY]);
    scene.until_recorded().await?;
    until_runs_ended(&scene.office.workmate, 2).await;
    assert_eq!(scene.answers(&card), [ANSWER], "once, without what was said beside the call");
    assert!(answer.is_decrypted() && listed.contains("After your OK: use `note` from `probe`"), "{listed}");
    let last = scene.office.prompts().pop().unwrap_or_default();
    assert!(last.contains(&format!("noted: {CANARY}")), "the model was given the result");

    let sync = "_matrix/client/v3/sync?timeout=0&full_state=true";
    let mut found = vec![Found::text("bob's sync", call_as(&bob, Method::GET, sync, &json!({})).await?.to_string())];
    for user in [scene.office.assistant_of(&scene.alice), scene.office.assistant_of(&bob), scene.office.slot.service()]
    {
        let synced = scene.office.as_user(&user, Method::GET, sync, &json!({})).await?;
        found.push(Found::text(format!("{user}'s sync"), synced.to_string()));
    }
    found.push(Found::text("bob's chat", format!("{:?}", bob.timeline(&bobs))));
    let bobs_prompts = scene.office.prompts().into_iter().filter(|prompt| prompt.contains("what is noted?"));
    found.extend(bobs_prompts.map(|prompt| Found::text("bob's prompt", prompt)));
    let exported = told_by_audit(&scene.office.workmate, "export")?;
    assert!(exported.contains(scene.alice.user_id().as_str()), "{exported}");
    found.push(Found::text("the audit export", exported));
    let index = scene.office.workmate.stop_and_read_run_index().await?;
    found.push(Found::text("the run index", format!("{index:?}")));
    found.extend(on_disk(&scene.office.workmate.data_dir())?);
    found.push(Found::text("the log, stdout and stderr", scene.office.workmate.logs()));
    let leaks: Vec<_> = found.iter().filter(|found| found.holds(CANARY)).map(Found::place).collect();
    assert_eq!(leaks, Vec::<&str>::new());
    Ok(())
}

#[tokio::test]
async fn a3_c12_a_card_waits_through_a_kill_and_forgetting_leaves_nothing_of_the_call() -> Result<()> {
    let mut scene = Box::pin(Scene::set(json!(["probe__note"]))).await?;
    let assistant = scene.office.assistant_of(&scene.alice);

    let card = scene.ask().await?;
    scene.office.workmate.kill();
    scene.office.workmate.start_again().await;
    assert_eq!(scene.done(), Vec::<String>::new());
    scene.approve(&card).await?;
    assert_eq!((scene.done(), scene.answers(&card)), (vec![CANARY.to_owned()], vec![ANSWER.to_owned()]));
    until_runs_ended(&scene.office.workmate, 1).await;

    scene.alice.send(&scene.room, "!forget").await?;
    let gone = |seen: &Timeline| {
        let done =
            |event: &SeenEvent| seen.shown_text(&event.event_id).is_some_and(|text| text.starts_with("Forgotten."));
        let notice = seen.messages_of(&assistant).find(|event| done(event))?.event_id.clone();
        let others = seen.events.iter().filter(|event| event.sender == assistant && event.kind == "m.room.message");
        let before: Vec<_> = others.take_while(|event| event.event_id != notice).collect();
        before.iter().all(|event| seen.is_redacted(&event.event_id)).then_some(before.len())
    };
    let before = scene.alice.until(&scene.room, "that all is forgotten", gone).await?;
    scene.office.ask(&scene.alice, &scene.room, "what did I have you note?", "Nothing.").await?;

    assert!(before > 3, "the first words, the card, the status and the answer were there");
    let last = scene.office.prompts().pop().unwrap_or_default();
    assert!(last.contains("what did I have you note?") && !last.contains(CANARY), "{last}");
    until_runs_ended(&scene.office.workmate, 2).await;
    let index = scene.office.workmate.stop_and_read_run_index().await?;
    assert_eq!(index.len(), 1, "the run with the call is gone: {index:?}");
    assert_eq!(index[0]["tools"], json!([]), "{index:?}");
    Ok(())
}
