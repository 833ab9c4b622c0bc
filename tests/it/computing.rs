//! Computing on what a room has (C24): a table goes to the provider, a chart comes back, nothing stays behind.

use anyhow::{Context as _, Result};
use axum::{
    Json,
    http::{Method, StatusCode, header},
    response::IntoResponse as _,
};
use image::ImageFormat;
use ruma::{EventId, OwnedEventId, RoomId, events::room::MediaSource};
use serde_json::{Value, json};
use workmate::standin::{RecordedRequest, Turn};

use crate::{
    harness::{
        Message, RoomKind, SeenEvent, SentFile, Setup, Timeline,
        between::homeserver_behind,
        homeserver::shared,
        office::{Office, echoing, question_of},
        workmate::coworker,
    },
    media::picture,
};

const CSV: &[u8] = b"month,revenue\nJan,10\nFeb,40\n";
const SECRET: &str = "hunter2-of-the-ci";

/// An office whose `oncall` may compute and make spreadsheets.
async fn computing_office() -> Result<Office> {
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!(["code_execution", "skill_xlsx"]);
    let people = [shared().person("alice").await, shared().person("bob").await];
    Office::open_for(people, |setup| {
        setup.coworkers(vec![oncall]).section("credentials", json!({ "ci": { "value": SECRET } }))
    })
    .await
}

fn table() -> SentFile {
    SentFile::new("data.csv", "text/csv", CSV.to_vec())
}

/// Returns the answered requests about a question.
fn asked(office: &Office, question: &str) -> Vec<RecordedRequest> {
    let all = office.claude.requests().into_iter();
    all.filter(|request| question_of(request).contains(question) && request.status == Some(200)).collect()
}

/// Returns the ids of the files that a request puts into its container.
fn uploads(request: &RecordedRequest) -> Vec<String> {
    let messages = request.body["messages"].as_array().into_iter().flatten();
    let blocks = messages.flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
    let uploads = blocks.filter(|block| block["type"] == "container_upload");
    uploads.filter_map(|block| block["file_id"].as_str().map(str::to_owned)).collect()
}

/// Waits for a message of `oncall` in a thread.
async fn in_thread(office: &Office, room: &RoomId, root: &EventId, kind: &str, body: &str) -> Result<SeenEvent> {
    let oncall = office.oncall();
    let find = |seen: &Timeline| {
        let mut theirs = seen.messages_of(&oncall).filter(|event| event.thread_root() == Some(root.as_str()));
        theirs.find(|event| event.msgtype() == kind && event.body().contains(body)).cloned()
    };
    office.alice.until(room, &format!("{kind} with {body:?} in the thread"), find).await
}

async fn content(office: &Office, of: &Value, plain: &str, sealed: &str) -> Result<Vec<u8>> {
    let source = match of.get(sealed).filter(|file| !file.is_null()) {
        Some(file) => MediaSource::Encrypted(Box::new(serde_json::from_value(file.clone())?)),
        None => MediaSource::Plain(of[plain].as_str().context("an address")?.into()),
    };
    let wanted = matrix_sdk::media::MediaRequestParameters { source, format: matrix_sdk::media::MediaFormat::File };
    Ok(office.alice.client().media().get_media_content(&wanted, false).await?)
}

async fn ask_on(office: &Office, room: &RoomId, root: &EventId, question: &str) -> Result<OwnedEventId> {
    let message = Message::text(format!("@oncall {question}")).pill("@oncall", &office.oncall()).in_thread(root);
    office.alice.send(room, message).await
}

/// Shares a table, asks for a chart, and checks what is posted in the thread.
async fn a_table_becomes_a_chart(office: &Office, kind: RoomKind) -> Result<()> {
    let room = office.room_of_people(kind).await?;
    let said = office.bring(&room, &office.oncall()).await?;
    assert!(said.body().contains("run code on files") && said.body().contains("make spreadsheets"), "{}", said.body());
    let csv = office.alice.send_file(&room, &table(), None).await?;

    let png = picture(900, 300, ImageFormat::Png);
    let made = [
        office.claude.make_file("../../chart.png", &png),
        office.claude.make_file("notes.txt", format!("the key is {SECRET}").as_bytes()),
        "file_that_is_gone".to_owned(),
        office.claude.make_file("page\u{202e}.html", b"<script>"),
        office.claude.make_file("broken.png", b"\x89PNG\r\n\x1a\nnot really"),
        office.claude.make_file("empty.log", b""),
    ];
    let chart =
        Turn::empty().and_code("srvtoolu_1", "plot('data.csv')", "2 rows", &made).and_text("Here is the chart.");
    office.script("chart it", chart);
    let root = office.ask(&office.alice, &room, "chart it").await?;
    office.answer(&office.alice, &room, &office.oncall(), "Here is the chart.").await?;

    let shown = in_thread(office, &room, &root, "m.image", "chart.png").await?;
    assert_eq!((shown.body(), shown.is_decrypted()), ("chart.png", kind == RoomKind::Encrypted));
    let info = &shown.content["info"];
    assert_eq!((&info["w"], &info["h"], &info["mimetype"]), (&json!(900), &json!(300), &json!("image/png")));
    assert!(info["xyz.amorgan.blurhash"].as_str().is_some_and(|blur| blur.len() > 6), "{info}");
    assert_eq!((&info["thumbnail_info"]["w"], &info["thumbnail_info"]["h"]), (&json!(800), &json!(267)));
    assert_eq!(content(office, &shown.content, "url", "file").await?, png);
    let small = content(office, info, "thumbnail_url", "thumbnail_file").await?;
    assert_eq!(image::load_from_memory(&small)?.width(), 800);
    assert_eq!(shown.content["url"].is_null(), kind == RoomKind::Encrypted, "{}", shown.content);
    let page = in_thread(office, &room, &root, "m.file", "page.html").await?;
    assert_eq!(page.content["info"]["mimetype"], "application/octet-stream");
    let empty = in_thread(office, &room, &root, "m.file", "empty.log").await?;
    assert_eq!(empty.content["info"]["size"], 0);
    let word = in_thread(office, &room, &root, "m.notice", "held back").await?;
    for part in ["gone", "no picture"] {
        assert!(word.body().contains(part), "{}", word.body());
    }
    let trail = in_thread(office, &room, &root, "m.notice", "plot(").await?;
    assert!(trail.body().contains("2 rows"), "{}", trail.body());
    let seen = office.alice.timeline(&room);
    let pictures = seen.messages_of(&office.oncall()).filter(|event| event.msgtype() == "m.image").count();
    assert_eq!(pictures, 1, "{seen}");

    let first = asked(office, "chart it").pop().context("it was asked")?;
    assert_eq!(first.body["container"]["skills"][0]["skill_id"], "xlsx");
    assert!(first.body["container"]["id"].is_null() && uploads(&first).len() == 1, "{}", first.body["container"]);
    office.claude.wait_until_no_file_is_left().await?;

    follow_ups(office, &room, (&root, &csv)).await
}

/// Asks on in the thread: in its container, in a new one once that is gone, and in another once the table is redacted.
async fn follow_ups(office: &Office, room: &RoomId, (root, csv): (&EventId, &EventId)) -> Result<()> {
    let mut containers = Vec::new();
    for question in ["and again", "and once it is gone", "and then"] {
        let code = Turn::empty().and_code("srvtoolu_2", "ls()", "", &[]).and_text(format!("Computed: {question}"));
        office.script(question, code);
        if question == "and once it is gone" {
            office.claude.expire_containers();
        }
        ask_on(office, room, root, question).await?;
        office.answer(&office.alice, room, &office.oncall(), &format!("Computed: {question}")).await?;
        let request = asked(office, question).pop().context("it was asked")?;
        containers.push(request.body["container"]["id"].clone());
    }
    assert!(containers[0].is_string(), "the thread goes on where it stopped: {containers:?}");
    assert!(containers[1].is_null(), "it was asked once more without what is gone: {containers:?}");
    assert!(containers[2].is_string() && containers[2] != containers[0], "and goes on in the new one: {containers:?}");

    office.alice.redact(room, csv).await?;
    let redacted = |seen: &Timeline| seen.events.iter().find(|event| event.redacts.as_deref() == Some(csv)).cloned();
    office.alice.until(room, "the redaction", redacted).await?;
    office.script("and without it", Turn::text("Computed: and without it"));
    ask_on(office, room, root, "and without it").await?;
    office.answer(&office.alice, room, &office.oncall(), "Computed: and without it").await?;
    let request = asked(office, "and without it").pop().context("it was asked")?;
    assert!(request.body["container"]["id"].is_null(), "its sender took the file back: {}", request.body["container"]);
    let before = asked(office, "and then").pop().context("it was asked")?;
    assert_eq!(uploads(&request).len() + 1, uploads(&before).len(), "what the coworker made itself is still there");
    Ok(())
}

#[tokio::test]
async fn c24_a_table_becomes_a_chart_in_its_thread_and_nothing_stays_behind() -> Result<()> {
    let office = computing_office().await?;
    for kind in [RoomKind::Encrypted, RoomKind::Plain] {
        Box::pin(a_table_becomes_a_chart(&office, kind)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn c24_a_file_that_the_homeserver_refuses_is_named_and_the_answer_and_the_rest_stay() -> Result<()> {
    let refusing = homeserver_behind(|request| {
        let is_csv = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/csv");
        let is_refused = is_csv && request.method() == Method::POST && request.uri().path().ends_with("/upload");
        let error = || Json(json!({ "errcode": "M_FORBIDDEN", "error": "this file is not wanted here" }));
        is_refused.then(|| (StatusCode::FORBIDDEN, error()).into_response())
    });
    let (claude, slot) = (echoing().await?, shared().take_slot());
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!(["code_execution"]);
    let setup = Setup::new(&slot, &refusing.await?, &claude.base_url()).coworkers(vec![oncall]);
    let workmate = setup.start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Plain).await?;
    let made = [office.claude.make_file("refused.csv", CSV), office.claude.make_file("taken.txt", b"what is left")];
    office.script("both", Turn::empty().and_code("srvtoolu_1", "write()", "", &made).and_text("Here are both."));

    let root = office.ask(&office.alice, &room, "both").await?;
    let answer = office.answer(&office.alice, &room, &office.oncall(), "Here are both.").await?;
    in_thread(&office, &room, &root, "m.file", "taken.txt").await?;
    in_thread(&office, &room, &root, "m.notice", "One file was refused by the homeserver.").await?;
    in_thread(&office, &room, &root, "m.notice", "write(").await?;
    let seen = office.alice.timeline(&room);
    let stays = seen
        .messages_of(&office.oncall())
        .any(|event| event.event_id == answer.event_id && event.body() == "Here are both.");
    assert!(stays, "{seen}");
    Ok(())
}

#[tokio::test]
async fn c24_killed_between_upload_and_deletion_it_deletes_after_the_start_and_posts_once() -> Result<()> {
    let mut office = computing_office().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.alice.send_file(&room, &table(), None).await?;
    let chart = office.claude.make_file("chart.png", &picture(40, 30, ImageFormat::Png));
    let turn =
        Turn::empty().and_code("srvtoolu_1", "plot()", "", std::slice::from_ref(&chart)).and_text("half an answer");
    let (held, gate) = turn.clone().gate_after(1);
    office.script("kill me", held);
    office.script("kill me", turn);
    let root = office.ask(&office.alice, &room, "kill me").await?;
    gate.reached().await;
    let uploaded: Vec<_> = office.claude.files().into_iter().filter(|file| !file.made).collect();
    assert_eq!((uploaded.len(), uploaded[0].name.as_str(), &uploaded[0].bytes[..]), (1, "data.csv", CSV));

    office.workmate.kill();
    office.workmate.start_again().await;

    office.answer(&office.alice, &room, &office.oncall(), "half an answer").await?;
    in_thread(&office, &room, &root, "m.image", "chart.png").await?;
    let again = asked(&office, "kill me").pop().context("it was asked again")?;
    assert_eq!(uploads(&again), [uploaded[0].id.clone()], "what is there is not uploaded again");
    office.claude.wait_until_no_file_is_left().await?;
    let pictures = office.alice.timeline(&room);
    let pictures = pictures.messages_of(&office.oncall()).filter(|event| event.msgtype() == "m.image").count();
    assert_eq!(pictures, 1);
    Ok(())
}
