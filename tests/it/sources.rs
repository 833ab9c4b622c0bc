//! Where an answer's claims stand (C9, C12, C13): pages of files, sheets, messages of the room, pages of the web.

use anyhow::{Context as _, Result};
use lopdf::{Document, Object, dictionary};
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::{Value, json};
use workmate::standin::{Cite, RecordedRequest, Turn};

use crate::{
    assistants,
    harness::{
        Message, RoomKind, SeenEvent, SentFile, Timeline,
        homeserver::shared,
        office::{Office, question_of},
        workmate::coworker,
    },
};

const BUDGET: &[u8] = include_bytes!("../files/budget.xlsx");

/// Returns a PDF with this many empty pages.
fn pdf(pages: usize) -> Vec<u8> {
    let mut document = Document::with_version("1.5");
    let tree = document.new_object_id();
    let page = || dictionary! { "Type" => "Page", "Parent" => tree };
    let kids: Vec<Object> = (0..pages).map(|_| document.add_object(page()).into()).collect();
    let count = i64::try_from(pages).expect("a few");
    document.set_object(tree, dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count });
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    document.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).expect("a PDF can be written");
    bytes
}

fn page(title: &str, page: u64, words: &str) -> Cite {
    Cite::Page { title: title.to_owned(), page, words: words.to_owned() }
}

struct Scene {
    office: Office,
    room: OwnedRoomId,
}

impl Scene {
    async fn set(kind: RoomKind) -> Result<Self> {
        let mut oncall = coworker("oncall");
        oncall["tools"] = json!(["room_search", "web_search", { "name": "web_fetch", "hosts": ["example.org"] }]);
        let office = Office::open_with(vec![oncall]).await?;
        let room = office.room(kind).await?;
        Ok(Self { office, room })
    }

    async fn answer(&self, text: &str) -> Result<SeenEvent> {
        self.office.answer(&self.office.alice, &self.room, &self.office.oncall(), text).await
    }

    /// Returns the model requests about a question, in order.
    fn requests(&self, question: &str) -> Vec<RecordedRequest> {
        let all = self.office.claude.requests().into_iter();
        all.filter(|request| question_of(request).contains(question) && request.status == Some(200)).collect()
    }

    /// Returns the address of a message of the room.
    fn link(&self, event: &OwnedEventId) -> String {
        let server = self.office.alice.user_id().server_name().to_owned();
        self.room.matrix_to_event_uri_via(event.clone(), [server]).to_string()
    }

    /// Asks `!why` about an answer, and returns what it tells.
    async fn why(&self, answer: &SeenEvent) -> Result<SeenEvent> {
        let oncall = self.office.oncall();
        let find = |seen: &Timeline| seen.messages_of(&oncall).find(|said| said.body().contains("It cites")).cloned();
        for _ in 0..20 {
            // The run ends a moment behind its answer.
            self.office.bob.send(&self.room, Message::text("!why").replying_to(&answer.event_id)).await?;
            let told = |seen: &Timeline| {
                let mut said = seen.messages_of(&oncall);
                said.find(|said| said.body().contains("For that answer I read")).cloned()
            };
            self.office.alice.until(&self.room, "what !why tells", told).await?;
            if let Some(found) = find(&self.office.alice.timeline(&self.room)) {
                return Ok(found);
            }
        }
        anyhow::bail!("!why named no sources")
    }
}

fn html(event: &SeenEvent) -> &str {
    event.content["formatted_body"].as_str().unwrap_or_default()
}

/// Returns an address as it stands in HTML.
fn href(link: &str) -> String {
    format!("href=\"{}\"", link.replace('$', "%24").replace('&', "&amp;"))
}

fn messages(request: &RecordedRequest) -> Vec<Value> {
    request.body["messages"].as_array().cloned().unwrap_or_default()
}

async fn a_page_and_a_sheet_are_linked(kind: RoomKind) -> Result<()> {
    let scene = Scene::set(kind).await?;
    let alice = &scene.office.alice;
    let report = SentFile::new("report_2026.pdf", "application/pdf", pdf(4));
    let report = alice.send_file(&scene.room, &report, None).await?;
    let budget = SentFile::new("budget.xlsx", "application/octet-stream", BUDGET.to_vec());
    let budget = alice.send_file(&scene.room, &budget, None).await?;
    let turn = Turn::text("In short: ")
        .and_cited("the valve was replaced in May. ", [page("report_2026.pdf", 3, "Replaced in May.")])
        .and_cited("Servers cost 1234.5.", [Cite::Words("2\tServers\t1234.5".to_owned())])
        .and_cited("\n\nThe report says so twice.", [page("report_2026.pdf", 3, "Replaced, again.")]);
    scene.office.script("what did it cost?", turn);
    let request = scene.office.ask(alice, &scene.room, "what did it cost?").await?;

    let answer = scene.answer("In short").await?;

    let expected = "In short: the valve was replaced in May. [1] Servers cost 1234.5. [2]\n\n\
                    The report says so twice. [1]\n\nSources: [1] report_2026.pdf, p. 3 · [2] budget.xlsx, Budget 2026";
    assert_eq!(answer.body(), expected);
    assert_eq!(html(&answer).matches(&href(&scene.link(&report))).count(), 3, "{}", html(&answer));
    assert_eq!(html(&answer).matches(&href(&scene.link(&budget))).count(), 2, "{}", html(&answer));
    assert!(html(&answer).contains("</a></sup>"), "{}", html(&answer));
    assert_eq!(answer.content["m.mentions"], json!({ "user_ids": [alice.user_id()] }));
    assert_eq!(answer.thread_root(), Some(request.as_str()));

    // What stands before it is sent again as it was, and read from the cache.
    scene.office.script("and the next step?", Turn::text("Nothing."));
    let next = Message::text("@oncall and the next step?").pill("@oncall", &scene.office.oncall()).in_thread(&request);
    alice.send(&scene.room, next).await?;
    scene.answer("Nothing.").await?;
    let (first, second) = (scene.requests("what did it cost?"), scene.requests("and the next step?"));
    let (first, second) = (first.first().context("asked")?, second.first().context("asked again")?);
    let of_documents = |request: &RecordedRequest| -> Vec<Value> {
        let blocks = messages(request)
            .into_iter()
            .flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
        blocks.filter(|block| block["type"] == "document").collect()
    };
    assert_eq!(of_documents(first), of_documents(second));
    assert!(of_documents(first).iter().all(|document| document["citations"]["enabled"] == true));
    assert!(second.usage["cache_read_input_tokens"].as_u64() > Some(3_000), "{}", second.usage);

    let told = scene.why(&answer).await?;
    let expected = "It cites:\n\n1. report_2026.pdf, p. 3";
    assert!(told.body().contains(expected) && told.body().contains("“Replaced in May.”"), "{}", told.body());
    assert!(told.body().contains("budget.xlsx, Budget 2026") && told.msgtype() == "m.notice", "{}", told.body());
    scene.office.claude.finish()?;
    Ok(())
}

#[tokio::test]
async fn c9_a_page_of_a_pdf_and_a_sheet_are_linked_behind_the_claim_in_a_plain_room() -> Result<()> {
    Box::pin(a_page_and_a_sheet_are_linked(RoomKind::Plain)).await
}

#[tokio::test]
async fn c9_a_page_of_a_pdf_and_a_sheet_are_linked_behind_the_claim_in_an_encrypted_room() -> Result<()> {
    Box::pin(a_page_and_a_sheet_are_linked(RoomKind::Encrypted)).await
}

async fn a_message_that_was_found_is_linked_after_a_kill(kind: RoomKind) -> Result<()> {
    let mut scene = Scene::set(kind).await?;
    let said = scene.office.bob.send(&scene.room, "@room we roll back at noon").await?;
    let first = Turn::tool_use("room_search", json!({ "text": "roll back" })).and_thinking("");
    let (held, gate) = Turn::text("never finished").hold_headers();
    let last = Turn::empty().and_cited("They roll back at noon.", [Cite::Words("we roll back at noon".to_owned())]);
    for turn in [first, held, last] {
        scene.office.script("what did they decide?", turn);
    }
    scene.office.ask(&scene.office.alice, &scene.room, "what did they decide?").await?;
    gate.reached().await;
    scene.office.workmate.kill();
    scene.office.workmate.start_again().await;

    let answer = scene.answer("They roll back").await?;

    assert!(answer.body().starts_with("They roll back at noon. [1]\n\nSources: [1] bob"), "{}", answer.body());
    assert!(answer.body().ends_with(" UTC"), "a message's address stands in the HTML alone: {}", answer.body());
    assert_eq!(html(&answer).matches(&href(&scene.link(&said))).count(), 2, "{}", html(&answer));
    let all: Vec<RecordedRequest> = scene.office.claude.requests();
    let asked: Vec<&RecordedRequest> =
        all.iter().filter(|request| question_of(request).contains("what did they decide?")).collect();
    let [.., held, last] = &asked[..] else { panic!("{} requests", asked.len()) };
    assert_eq!(messages(held), messages(last), "the kill changes nothing of what the model reads");
    let result = messages(last).last().map(|message| message["content"][0].clone()).context("a result")?;
    let found = &result["content"][1];
    assert_eq!((&found["type"], &found["source"]), (&json!("search_result"), &json!(scene.link(&said))), "{result}");
    let told = scene.why(&answer).await?;
    assert!(told.body().contains("we roll back at noon”"), "the words of the record: {}", told.body());
    assert_eq!(told.content["m.mentions"].get("room"), None);
    scene.office.claude.finish()?;
    Ok(())
}

#[tokio::test]
async fn c12_a_message_that_room_search_found_is_linked_also_after_a_kill_in_a_plain_room() -> Result<()> {
    Box::pin(a_message_that_was_found_is_linked_after_a_kill(RoomKind::Plain)).await
}

#[tokio::test]
async fn c12_a_message_that_room_search_found_is_linked_also_after_a_kill_in_an_encrypted_room() -> Result<()> {
    Box::pin(a_message_that_was_found_is_linked_after_a_kill(RoomKind::Encrypted)).await
}

#[tokio::test]
async fn c12_pages_of_the_web_are_linked_by_their_checked_addresses_and_hostile_ones_do_no_harm() -> Result<()> {
    let scene = Scene::set(RoomKind::Encrypted).await?;
    let person = format!("https://matrix.to/#/{}", scene.office.bob.user_id());
    let web = |title: &str, words: &str| Cite::Web { title: title.to_owned(), words: words.to_owned() };
    let turn = Turn::empty()
        .and_web_search("srvtoolu_1", "rain", "Rain | today", "https://example.org/rain?a=1")
        .and_web_fetch("srvtoolu_2", "https://example.org/snow", Some("Snow"), Ok("It snows in the hills."))
        .and_web_search("srvtoolu_3", "bob", "@room **Bob**", &person)
        .and_web_search("srvtoolu_4", "x", "](javascript:alert(1)) \u{202e}x", "javascript:alert(1)")
        .and_cited("It rains. ", [web("Rain | today", "rain")])
        .and_cited("It snows. ", [Cite::Words("It snows in the hills.".to_owned())])
        .and_cited("Bob says so. ", [web("@room **Bob**", "bob")])
        .and_cited("And that.", [web("](javascript:alert(1)) \u{202e}x", "x")]);
    scene.office.script("how is the weather?", turn);
    scene.office.ask(&scene.office.alice, &scene.room, "how is the weather?").await?;

    let answer = scene.answer("It rains.").await?;

    let (body, html) = (answer.body(), html(&answer));
    assert!(body.starts_with("It rains. [1] It snows. [2] Bob says so. [3] And that. [4]\n\nSources: [1] "), "{body}");
    assert!(
        body.contains("[1] Rain | today (https://example.org/rain?a=1) · [2] Snow (https://example.org/snow)"),
        "{body}"
    );
    assert_eq!(html.matches("href=\"https://example.org/").count(), 4, "{html}");
    assert_eq!(html.matches("href=").count(), 4, "nothing else is a link: {html}");
    assert!(!html.contains("<strong>") && !body.contains('\u{202e}') && !body.contains("@room"), "{body} {html}");
    assert_eq!(answer.content["m.mentions"], json!({ "user_ids": [scene.office.alice.user_id()] }));
    scene.office.claude.finish()?;
    Ok(())
}

#[tokio::test]
async fn a10_sources_come_with_the_last_edit_and_no_edit_before_it_is_broken() -> Result<()> {
    let office = assistants::Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let assistant = office.assistant_of(&alice);
    let report = SentFile::new("report.pdf", "application/pdf", pdf(2));
    let turn = Turn::empty()
        .and_cited("The river rises in the hills and runs through three towns. ", [page("report.pdf", 1, "hills")])
        .and_cited("It turns south, and ends in the sea.", [page("report.pdf", 2, "sea")])
        .word_by_word();
    // Behind the first block's text and its citation.
    let (turn, first) = turn.gate_after(3);
    let (turn, second) = turn.gate_after(16);
    office.claude.enqueue(turn);
    let sent = alice.send_file(&room, &report, Some(Message::text("describe the river"))).await?;
    let begun =
        |seen: &Timeline| seen.messages_of(&assistant).find(|said| said.body().starts_with("The river")).cloned();
    let message = alice.until(&room, "the first text", begun).await?;
    first.release();
    alice.until(&room, "an edit", |seen| seen.edits(&message.event_id).next().cloned()).await?;
    second.release();

    let whole = "The river rises in the hills and runs through three towns. [1] It turns south, and ends in the sea. [2]\n\n\
                 Sources: [1] report.pdf, p. 1 · [2] report.pdf, p. 2";
    let is_whole = |seen: &Timeline| seen.shown_text(&message.event_id).is_some_and(|text| text == whole).then_some(());
    alice.until(&room, "the whole answer", is_whole).await?;

    let seen = alice.timeline(&room);
    let texts: Vec<&str> = std::iter::once(message.body())
        .chain(seen.edits(&message.event_id).filter_map(|edit| edit.content["m.new_content"]["body"].as_str()))
        .collect();
    let (last, interim) = texts.split_last().context("texts")?;
    assert_eq!(*last, whole);
    for text in interim {
        let said = text.trim_end_matches(['…', ' ']);
        assert!(whole.replace(" [1]", "").starts_with(said) && text.ends_with('…'), "{text}");
    }
    let edit = seen.edits(&message.event_id).last().context("an edit")?;
    let link = room.matrix_to_event_uri_via(sent, [alice.user_id().server_name().to_owned()]).to_string();
    assert_eq!(
        edit.content["m.new_content"]["formatted_body"].as_str().unwrap_or_default().matches(&href(&link)).count(),
        4
    );
    assert!(edit.content["m.new_content"]["dev.workmate.sources"][1]["words"] == "sea", "{:?}", edit.content);
    Ok(())
}
