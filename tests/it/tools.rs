//! Tool loops in real rooms (C12, docs/delivery.md): with a real MCP server, and with Workmate killed midway.

use std::path::Path;

use anyhow::{Context as _, Result};
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use tempfile::TempDir;
use workmate::{
    core::words,
    standin::{RecordedRequest, Turn},
};

use crate::harness::{
    Message, RoomKind, SeenEvent, Timeline,
    homeserver::shared,
    office::{Office, answers_in_thread, question_of},
    workmate::coworker,
};

/// An office whose `oncall` has the tools of a probe server.
struct Scene {
    office: Office,
    room: OwnedRoomId,
    probe: TempDir,
}

impl Scene {
    async fn set() -> Result<Self> {
        Self::set_with(json!({})).await
    }

    /// Sets up a scene with these limits.
    async fn set_with(limits: Value) -> Result<Self> {
        let probe = tempfile::tempdir()?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tools/probe.py");
        let servers = json!({ "probe": { "command": ["python3", program, probe.path()] } });
        let mut oncall = coworker("oncall");
        oncall["tools"] = json!([{ "name": "probe__*", "approval": "never" }, "time", "web_search"]);
        let people = [shared().person("alice").await, shared().person("bob").await];
        let office = Office::open_for(people, |setup| {
            setup.coworkers(vec![oncall]).section("mcp_servers", servers).section("limits", limits)
        });
        let office = office.await?;
        let room = office.room(RoomKind::Encrypted).await?;
        Ok(Self { office, room, probe })
    }

    /// Has Alice ask, and the model answer with these turns in order.
    async fn ask(&self, question: &str, turns: impl IntoIterator<Item = Turn>) -> Result<ruma::OwnedEventId> {
        for turn in turns {
            self.office.script(question, turn);
        }
        self.office.ask(&self.office.alice, &self.room, question).await
    }

    async fn answer(&self, text: &str) -> Result<SeenEvent> {
        self.office.answer(&self.office.alice, &self.room, &self.office.oncall(), text).await
    }

    /// Returns the model requests about a question, in order.
    fn requests(&self, question: &str) -> Vec<RecordedRequest> {
        let all = self.office.claude.requests().into_iter();
        all.filter(|request| question_of(request).contains(question) && request.status == Some(200)).collect()
    }

    /// Returns the newest tool results that the model was given for a question.
    fn results(&self, question: &str) -> Result<Vec<Value>> {
        let requests = self.requests(question);
        let messages = requests.last().context("it was asked")?.body["messages"].as_array().cloned();
        let last = messages.unwrap_or_default().pop().context("it has messages")?;
        Ok(last["content"].as_array().cloned().unwrap_or_default())
    }

    /// Returns what the probe has done.
    fn done(&self) -> Vec<String> {
        let done = std::fs::read_to_string(self.probe.path().join("done.txt")).unwrap_or_default();
        done.lines().map(str::to_owned).collect()
    }

    /// Waits for the status that names the current step; it appears once the call has started.
    async fn until_status(&self, what: &str) -> Result<ruma::OwnedEventId> {
        let oncall = self.office.oncall();
        let find = |seen: &Timeline| {
            let mut said = seen.messages_of(&oncall).filter(|event| event.msgtype() == "m.notice");
            said.find(|event| event.body().contains(what)).map(|event| event.event_id.clone())
        };
        self.office.alice.until(&self.room, what, find).await
    }

    /// Waits until the probe has begun something.
    async fn until_done(&self, what: &str) -> Result<()> {
        let done = async {
            while !self.done().iter().any(|done| done == what) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), done).await.context(what.to_owned())
    }

    fn let_go(&self) -> Result<()> {
        Ok(std::fs::write(self.probe.path().join("go"), "")?)
    }
}

fn call(id: &str, tool: &str, text: &str) -> Turn {
    Turn::empty().and_tool_use_with_id(id, tool, json!({ "text": text }))
}

fn result(id: &str, tool: &str, text: &str) -> Value {
    let envelope = json!({ "tool": tool, "untrusted_result": text }).to_string();
    json!({ "type": "tool_result", "tool_use_id": id, "content": envelope })
}

#[tokio::test]
async fn c12_parallel_calls_run_at_once_and_are_answered_in_one_message_with_thinking_echoed() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let calls = Turn::empty()
        .and_thinking("")
        .and_text("They meet.")
        .and_block(json!({ "type": "hologram", "n": 1 }))
        .and_tool_use_with_id("toolu_a", "probe__meet", json!({ "text": "a" }))
        .and_tool_use_with_id("toolu_b", "probe__meet", json!({ "text": "b" }));
    let again = call("toolu_c", "probe__note", "c").and_thinking("");
    let request = scene.ask("meet each other", [calls, again, Turn::text("Both have met.")]).await?;

    let answer = scene.answer("Both have met.").await?;

    let [_, second, third] = &scene.requests("meet each other")[..] else { panic!("three requests") };
    let last = |request: &RecordedRequest| request.body["messages"].as_array().and_then(|all| all.last().cloned());
    let results = json!([result("toolu_a", "probe__meet", "met: a"), result("toolu_b", "probe__meet", "met: b")]);
    assert_eq!(last(second).map(|last| last["content"].clone()), Some(results));
    assert_eq!(scene.results("meet each other")?, [result("toolu_c", "probe__note", "noted: c")]);
    assert!(third.usage["cache_read_input_tokens"].as_u64() > Some(0), "{}", third.usage);
    assert_eq!(answer.thread_root(), Some(request.as_str()));
    assert_eq!(answers_in_thread(&scene.office.alice, &scene.room, &request, &scene.office.oncall()), 1);
    Ok(())
}

#[tokio::test]
async fn c12_what_is_not_granted_or_no_object_is_not_run_and_the_model_is_told() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let calls = Turn::empty().and_tool_use_with_id("toolu_a", "probe__drop_tables", json!({})).and_tool_use_with_id(
        "toolu_b",
        "probe__note",
        json!("text"),
    );
    scene.ask("do what you may not", [calls, Turn::text("I may not.")]).await?;

    scene.answer("I may not.").await?;

    let results = scene.results("do what you may not")?;
    let told: Vec<&str> = results.iter().filter_map(|result| result["content"].as_str()).collect();
    assert!(results.iter().all(|result| result["is_error"] == json!(true)), "{results:?}");
    assert!(told[0].contains("probe__note") && told[1].contains("JSON object"), "{told:?}");
    assert_eq!(scene.done(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn c19_three_failures_in_a_row_end_the_run_with_plain_words() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let turns = ["toolu_1", "toolu_2", "toolu_3"].map(|id| call(id, "probe__fail", "x"));
    scene.ask("fail for me", turns).await?;

    scene.answer(&words::tools_failed(words::Again::ByReaction)).await?;

    assert_eq!(scene.requests("fail for me").len(), 3);
    Ok(())
}

#[tokio::test]
async fn c19_a_call_that_was_cut_off_is_never_run_and_a_refusal_in_the_loop_says_so() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    scene.ask("write very much", [call("toolu_1", "probe__note", "cut").stop_reason("max_tokens")]).await?;
    scene.answer(&words::call_cut()).await?;
    assert_eq!(scene.done(), Vec::<String>::new());

    let refused = Turn::text("half an answer").and_refusal(None, "no");
    scene.ask("now refuse", [call("toolu_2", "probe__note", "fine"), refused.clone(), refused]).await?;
    scene.answer(&words::refused()).await?;
    assert_eq!(scene.done(), ["fine"]);
    Ok(())
}

#[tokio::test]
async fn c12_a_turn_that_the_provider_paused_goes_on_and_its_sources_are_shown() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let paused = Turn::text("I looked. ")
        .and_server_tool_use("srvtoolu_1", "web_search", &json!({ "query": "rain" }))
        .stop_reason("pause_turn");
    let cited = json!({
        "type": "text", "text": "It rains.",
        "citations": [{
            "type": "web_search_result_location", "url": "https://example.org/rain", "title": "Rain",
            "encrypted_index": "eA==", "cited_text": "rain",
        }],
    });
    scene.ask("look outside", [paused, Turn::empty().and_block(cited)]).await?;

    let answer = scene.answer("I looked. It rains. [1]").await?;

    assert!(answer.body().contains("https://example.org/rain"), "{}", answer.body());
    let [_, second] = &scene.requests("look outside")[..] else { panic!("two requests") };
    let last = second.body["messages"].as_array().and_then(|all| all.last().cloned()).context("messages")?;
    assert_eq!(
        (last["role"].as_str(), last["content"][1]["type"].as_str()),
        (Some("assistant"), Some("server_tool_use"))
    );
    Ok(())
}

#[tokio::test]
async fn c10_a_stop_during_a_call_cancels_it_and_nothing_comes_later() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let request = scene.ask("take your time", [call("toolu_1", "probe__slow", "began")]).await?;
    scene.until_status("probe__slow").await?;
    scene.until_done("began").await?;

    scene.office.bob.react(&scene.room, &request, "🛑").await?;
    scene.office.asked_and_answered(&scene.room, "and now?").await?;
    scene.let_go()?;
    scene.office.asked_and_answered(&scene.room, "and after that?").await?;

    assert_eq!(scene.requests("take your time").len(), 1, "the model is not asked on");
    assert_eq!(answers_in_thread(&scene.office.alice, &scene.room, &request, &scene.office.oncall()), 0);
    Ok(())
}

#[tokio::test]
async fn design_3_killed_during_a_call_it_is_not_made_again_and_the_model_is_told() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let turns = [call("toolu_1", "probe__slow", "once").and_thinking(""), Turn::text("I will check.")];
    let request = scene.ask("do it once", turns).await?;
    scene.until_done("once").await?;

    scene.office.workmate.kill();
    scene.let_go()?;
    scene.office.workmate.start_again().await;

    scene.answer("I will check.").await?;
    assert_eq!(scene.done(), ["once"]);
    let results = scene.results("do it once")?;
    let told = results[0]["content"].as_str().unwrap_or_default();
    assert!(told.contains("outcome_unknown") && results[0]["is_error"] == json!(true), "{results:?}");
    assert_eq!(answers_in_thread(&scene.office.alice, &scene.room, &request, &scene.office.oncall()), 1);
    Ok(())
}

#[tokio::test]
async fn design_3_killed_after_a_call_its_result_is_kept_and_it_is_not_made_again() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let (held, gate) = Turn::text("never finished").hold_headers();
    let first = call("toolu_1", "probe__note", "kept").and_thinking("");
    let request = scene.ask("keep what you did", [first, held, Turn::text("It is kept.")]).await?;
    gate.reached().await;

    scene.office.workmate.kill();
    scene.office.workmate.start_again().await;

    scene.answer("It is kept.").await?;
    assert_eq!(scene.done(), ["kept"]);
    assert_eq!(scene.results("keep what you did")?, [result("toolu_1", "probe__note", "noted: kept")]);
    assert_eq!(answers_in_thread(&scene.office.alice, &scene.room, &request, &scene.office.oncall()), 1);
    Ok(())
}

#[tokio::test]
async fn design_3_where_the_room_reads_otherwise_after_a_crash_the_loop_goes_on_without_its_thinking() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let before = scene.office.alice.send(&scene.room, "the build is red").await?;
    let (held, gate) = Turn::text("never finished").hold_headers();
    let first = call("toolu_1", "probe__note", "thought").and_thinking("");
    scene.ask("think it over", [first, held, Turn::text("Thought over.")]).await?;
    gate.reached().await;

    scene.office.workmate.kill();
    scene.office.alice.send(&scene.room, Message::text("the build is green").replacing(&before)).await?;
    scene.office.workmate.start_again().await;

    scene.answer("Thought over.").await?;
    assert_eq!(scene.done(), ["thought"]);
    let last = scene.requests("think it over").pop().context("it was asked")?.body.to_string();
    assert!(last.contains("the build is green") && !last.contains("\"type\":\"thinking\""), "{last}");
    Ok(())
}

#[tokio::test]
async fn c12_at_the_limit_the_model_is_asked_once_more_with_tool_use_off() -> Result<()> {
    let scene = Box::pin(Scene::set_with(json!({ "tool_rounds_max": 1 }))).await?;
    scene.ask("go on for ever", [call("toolu_1", "probe__note", "first"), Turn::text("That is what I have.")]).await?;

    scene.answer("That is what I have.").await?;

    let [first, second] = &scene.requests("go on for ever")[..] else { panic!("two requests") };
    assert_eq!([&first.body["tool_choice"], &second.body["tool_choice"]], [&Value::Null, &json!({ "type": "none" })]);
    assert_eq!(first.body["tools"], second.body["tools"]);
    Ok(())
}
