//! The coworkers that `init` writes do their work: with their own files, in encrypted rooms, with the tools those files
//! grant (C12). The model's calls are scripted; the results are real.

mod unasked;

use std::fs;

use anyhow::{Context as _, Result};
use matrix_sdk::media::{MediaFormat, MediaRequestParameters};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, events::room::MediaSource};
use serde_json::{Value, json};
use workmate::standin::{RecordedRequest, Turn};

use crate::{
    harness::{
        Message, RoomKind, SeenEvent, Setup, Timeline,
        homeserver::shared,
        office::{Office, question_of, text_of},
    },
    mcp::servers::Reference,
};

/// One of the repository's coworkers in an encrypted room with Alice and Bob.
struct Desk {
    office: Office,
    coworker: OwnedUserId,
    room: OwnedRoomId,
    first_words: SeenEvent,
}

impl Desk {
    async fn of(id: &'static str, text: &str, set_up: impl FnOnce(Setup) -> Setup) -> Result<Self> {
        let people = [shared().person("alice").await, shared().person("bob").await];
        let files = vec![(id, text.to_owned())];
        let office = Office::open_for(people, |setup| set_up(setup.coworker_files(files))).await?;
        let coworker = office.workmate.slot().coworker(id);
        let room = office.room_of_people(RoomKind::Encrypted).await?;
        let first_words = office.bring(&room, &coworker).await?;
        Ok(Self { office, coworker, room, first_words })
    }

    /// Has Alice ask, and the model answer with these turns in order.
    async fn ask(&self, question: &str, turns: impl IntoIterator<Item = Turn>) -> Result<OwnedEventId> {
        for turn in turns {
            self.office.script(question, turn);
        }
        let asked = Message::text(format!("@them {question}")).pill("@them", &self.coworker);
        self.office.alice.send(&self.room, asked).await
    }

    async fn answer(&self, text: &str) -> Result<SeenEvent> {
        self.office.answer(&self.office.alice, &self.room, &self.coworker, text).await
    }

    /// Waits for an event of the coworker's in the request's thread.
    async fn in_thread(&self, root: &EventId, what: &str, is: impl Fn(&SeenEvent) -> bool) -> Result<SeenEvent> {
        let find = |seen: &Timeline| {
            let mut said = seen.messages_of(&self.coworker).filter(|said| said.thread_root() == Some(root.as_str()));
            said.find(|said| is(said)).cloned()
        };
        self.office.alice.until(&self.room, what, find).await
    }

    /// Waits for a run's record in its thread, with all these parts.
    async fn trail(&self, root: &EventId, parts: &[&str]) -> Result<()> {
        let find = |seen: &Timeline| {
            let said = seen.messages_of(&self.coworker).filter(|said| said.thread_root() == Some(root.as_str()));
            let shown: Vec<&str> = said.filter_map(|said| seen.shown_text(&said.event_id)).collect();
            shown.iter().any(|shown| parts.iter().all(|part| shown.contains(part))).then_some(())
        };
        self.office.alice.until(&self.room, &format!("a record with {parts:?}"), find).await
    }

    /// Returns the model requests about a question, in order.
    fn requests(&self, question: &str) -> Vec<RecordedRequest> {
        let all = self.office.claude.requests().into_iter();
        all.filter(|request| question_of(request).contains(question) && request.status == Some(200)).collect()
    }

    /// Returns the tools' results for a question, in order.
    fn results(&self, question: &str) -> Result<Vec<String>> {
        let last = self.requests(question).pop().context("the model was asked")?;
        let turns = last.body["messages"].as_array().cloned().unwrap_or_default();
        let blocks = turns.iter().filter_map(|turn| turn["content"].as_array()).flatten();
        let results = blocks.filter(|block| block["type"] == "tool_result");
        results
            .map(|block| {
                // What was found stands behind the envelope.
                let parts = block["content"].as_array().map(Vec::as_slice).unwrap_or_default();
                let envelope =
                    block["content"].as_str().or_else(|| parts.first()?["text"].as_str()).unwrap_or_default();
                let envelope: Value = serde_json::from_str(envelope)?;
                let told = envelope["untrusted_result"].as_str().with_context(|| envelope.to_string())?;
                let found = parts.iter().filter_map(|part| part["content"][0]["text"].as_str());
                Ok(std::iter::once(told).chain(found).collect::<Vec<_>>().join("\n"))
            })
            .collect()
    }

    /// Sends `!tools` and returns the answer.
    async fn tools(&self) -> Result<String> {
        self.ask("!tools", []).await?;
        Ok(self.answer("My tools:").await?.body().to_owned())
    }
}

fn rfc3339(event: &SeenEvent) -> Result<String> {
    Ok(jiff::Timestamp::from_millisecond(event.sent_at.as_ms())?.to_string())
}

#[tokio::test]
async fn c12_oncall_tells_what_happened_since_a_time_and_keeps_a_note_that_it_sees_again() -> Result<()> {
    let desk = Box::pin(Desk::of("oncall", include_str!("../../config/coworkers/oncall.yaml"), |setup| setup)).await?;
    let (alice, bob, room) = (&desk.office.alice, &desk.office.bob, &desk.room);
    for deed in ["add notes", "read the notes", "remove notes", "read this room", "search this room", "tell the time"] {
        assert!(desk.first_words.body().contains(deed), "{deed}: {}", desk.first_words.body());
    }
    bob.send(room, "the deploy of 13:58 went fine").await?;
    let since = bob.send(room, "checkout answers 502 since 14:05").await?;
    bob.send(room, "only customers in the EU").await?;
    let last = alice.send(room, "I take the rollback").await?;
    let since = alice.until(room, "bob's report", |seen| seen.event(&since).cloned()).await?;
    alice.until(room, "her own message", |seen| seen.event(&last).cloned()).await?;

    let note = "alice has the rollback, since 14:20";
    let turns = [
        Turn::tool_use("room_read", json!({ "from": rfc3339(&since)? })),
        Turn::tool_use("note_add", json!({ "text": note })),
        Turn::text("EU checkouts fail since 14:05; alice rolls back."),
    ];
    let request = desk.ask("what happened since 14:05?", turns).await?;
    let answer = desk.answer("EU checkouts fail").await?;

    let [read, noted] = &desk.results("what happened since 14:05?")?[..] else { panic!("two results") };
    for part in
        ["checkout answers 502 since 14:05", "only customers in the EU", "I take the rollback", bob.user_id().as_str()]
    {
        assert!(read.contains(part), "{part}: {read}");
    }
    assert!(!read.contains("the deploy of 13:58"), "only from that time on: {read}");
    assert_eq!(noted, &json!({ "noted": 1 }).to_string());
    assert_eq!((answer.thread_root(), answer.is_decrypted()), (Some(request.as_str()), true));
    desk.trail(&request, &["room_read", "note_add", note]).await?;

    let turns = [Turn::tool_use("note_list", json!({})), Turn::text("The rollback is alice's.")];
    desk.ask("who has the rollback?", turns).await?;
    desk.answer("The rollback is alice's.").await?;
    let [notes] = &desk.results("who has the rollback?")?[..] else { panic!("one result") };
    assert!(notes.contains(note), "{notes}");
    let [first, ..] = &desk.requests("who has the rollback?")[..] else { panic!("it was asked") };
    assert!(text_of(&first.body["messages"][0]["content"]).contains(note), "notes open the prompt");
    let tools = desk.tools().await?;
    for group in [
        "• Without asking: read the notes; read this room; search this room; tell the time",
        "and it may change something: add notes",
    ] {
        assert!(tools.contains(group), "{group}: {tools}");
    }
    Ok(())
}

/// Returns the file with its commented-out entries active.
fn with_commented_grants(text: &str) -> String {
    text.replace("  # - {name: ", "  - {name: ")
}

#[tokio::test]
async fn c12_ci_digests_a_build_log_that_it_reads_by_mcp() -> Result<()> {
    let Some(reference) = Reference::installed().await else { return Ok(()) };
    let logs = tempfile::tempdir()?;
    let folder = logs.path().canonicalize()?;
    let log = folder.join("checkout-4711.log");
    let lines: Vec<String> = (0..400).map(|line| format!("step {line} ok")).collect();
    let error = "error[E0308]: mismatched types in src/cart.rs:42";
    fs::write(&log, format!("{}\n{error}\nbuild failed\n", lines.join("\n")))?;
    fs::write(folder.join("search-4710.log"), "build passed\n")?;
    let servers = json!({ "logs": { "command": ["node", reference.filesystem(), folder] } });
    let text = with_commented_grants(include_str!("../../config/coworkers/ci.yaml"));
    let desk = Desk::of("ci", &text, |setup| {
        setup.section("mcp_servers", servers).section("credentials", json!({ "ci": { "value": "a-token-for-the-ci" } }))
    });
    let desk = Box::pin(desk).await?;
    assert!(
        desk.first_words.body().contains("`read_text_file` and `search_files` from `logs`"),
        "{}",
        desk.first_words.body()
    );

    let turns = [
        Turn::tool_use("logs__search_files", json!({ "path": folder, "pattern": "**/checkout-*.log" })),
        Turn::tool_use("logs__read_text_file", json!({ "path": log, "tail": 5 })),
        Turn::text(format!("checkout is red:\n```\n{error}\n```")),
    ];
    let request = desk.ask("a digest of checkout, please", turns).await?;
    let answer = desk.answer("checkout is red").await?;

    let [found, read] = &desk.results("a digest of checkout")?[..] else { panic!("two results") };
    assert_eq!(found, log.to_str().context("a path is text")?);
    assert!(read.contains(error) && read.contains("build failed") && !read.contains("step 100 ok"), "{read}");
    assert_eq!((answer.thread_root(), answer.is_decrypted()), (Some(request.as_str()), true));
    assert!(answer.body().contains(error), "{}", answer.body());
    desk.trail(&request, &["logs__search_files", "logs__read_text_file", "checkout-4711.log"]).await?;
    let tools = desk.tools().await?;
    assert!(tools.contains("use `read_text_file` and `search_files` from `logs`"), "{tools}");
    assert!(!tools.contains("write_file"), "only what is granted: {tools}");
    Ok(())
}

#[tokio::test]
async fn c12_sales_drafts_a_follow_up_as_a_file_from_what_the_room_promised() -> Result<()> {
    let desk = Box::pin(Desk::of("sales", include_str!("../../config/coworkers/sales.yaml"), |setup| setup)).await?;
    let (alice, room) = (&desk.office.alice, &desk.room);
    desk.office.bob.send(room, "I promised Acme an offer for 40 seats by Friday").await?;
    alice.send(room, "and Globex wants a demo").await?;

    let draft = "Subject: Your offer\n\nDear Ms Müller,\n\nyou get the offer for 40 seats by Friday.\n";
    let turns = [
        Turn::tool_use("room_search", json!({ "text": "acme promised" })),
        Turn::tool_use("attach_file", json!({ "name": "acme-follow-up.md", "text": draft })),
        Turn::text("The draft is attached; the price is to be confirmed."),
    ];
    let request = desk.ask("draft the follow-up for Acme", turns).await?;
    let answer = desk.answer("The draft is attached").await?;

    let [found, attached] = &desk.results("draft the follow-up")?[..] else { panic!("two results") };
    assert!(found.contains("40 seats by Friday") && !found.contains("Globex"), "{found}");
    assert_eq!(attached, &json!({ "attached": "acme-follow-up.md" }).to_string());
    let file = desk.in_thread(&request, "the file", |said| said.msgtype() == "m.file").await?;
    assert!(file.is_decrypted() && file.content["url"].is_null(), "{}", file.content);
    assert_eq!(file.content["filename"].as_str().or(Some(file.body())), Some("acme-follow-up.md"));
    let source = MediaSource::Encrypted(Box::new(serde_json::from_value(file.content["file"].clone())?));
    let wanted = MediaRequestParameters { source, format: MediaFormat::File };
    let bytes = alice.client().media().get_media_content(&wanted, false).await?;
    assert_eq!(String::from_utf8(bytes)?, draft);
    assert_eq!(answer.thread_root(), Some(request.as_str()));
    desk.trail(&request, &["room_search", "attach_file", "acme-follow-up.md"]).await
}
