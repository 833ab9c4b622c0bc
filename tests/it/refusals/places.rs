//! Where else what is refused may stand: names and topics, what tools and the web bring, a room that an owner opened.

use std::path::Path;

use anyhow::{Context as _, Result};
use ruma::RoomId;
use serde_json::json;
use workmate::{
    core::{refused, words},
    standin::{RecordedRequest, Turn, refusal_trigger},
};

use super::{last, the_next_ten_are_answered};
use crate::{
    assistants,
    harness::{
        Message, RoomKind, Timeline,
        homeserver::shared,
        office::{Office, question_of},
        workmate::coworker,
    },
    opening::OPENED,
};

/// Has everything found that is refused in a room: each question finds one more at least.
async fn found_by(office: &Office, room: &RoomId, questions: usize, about: &str) -> Result<()> {
    for number in 0..questions {
        office.asked_and_answered(room, &format!("question {number} about {about}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn c26_no_display_name_room_name_or_topic_silences_a_room() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let seen_by_alice = office.alice.room(&room)?;
    seen_by_alice.set_room_topic(&format!("About {}", refusal_trigger())).await?;
    // The topic, and the event that set it.
    found_by(&office, &room, 2, "the topic").await?;
    seen_by_alice.set_name(format!("Room of {}", refusal_trigger())).await?;
    found_by(&office, &room, 2, "the name").await?;
    office.bob.client().account().set_display_name(Some(&format!("Bob {}", refusal_trigger()))).await?;
    office.bob.send(&room, "under my new name").await?;
    found_by(&office, &room, 2, "who spoke").await?;

    let before = office.claude.requests().len();
    Box::pin(the_next_ten_are_answered(&office, &room)).await?;
    assert_eq!(office.claude.requests().len(), before + 10, "all of it was found before");
    let last = last(&office);
    assert!(!last.contains(&refusal_trigger()) && last.contains("under my new name"), "{last}");
    Ok(())
}

#[tokio::test]
async fn c26_no_tools_result_silences_a_room() -> Result<()> {
    let probe = tempfile::tempdir()?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/injection/server.py");
    let command = json!(["python3", program, probe.path(), "At something.", refusal_trigger()]);
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!([{ "name": "probe__look", "approval": "never" }]);
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup| {
        setup.coworkers(vec![oncall]).section("mcp_servers", json!({ "probe": { "command": command } }))
    })
    .await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.script("look at it", Turn::tool_use("probe__look", json!({ "to": "it" })));

    let answered = office.asked_and_answered(&room, "look at it").await?;

    let note = words::answered_without_results();
    assert!(answered.body().contains(note.trim_matches('*')), "{}", answered.body());
    let requests = office.claude.requests();
    let has_result: Vec<bool> =
        requests.iter().map(|request| request.body.to_string().contains(&refusal_trigger())).collect();
    assert_eq!(has_result, [false, true, false], "the call, its refused result, and the answer without it");
    let calls = std::fs::read_to_string(probe.path().join("calls.txt"))?;
    assert_eq!(calls.lines().count(), 1, "the call is not made again");
    let before = requests.len();
    Box::pin(the_next_ten_are_answered(&office, &room)).await?;
    assert_eq!(office.claude.requests().len(), before + 10);
    Ok(())
}

#[tokio::test]
async fn c26_what_the_web_brings_silences_no_room() -> Result<()> {
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!(["web_search"]);
    let office = Office::open_with(vec![oncall]).await?;
    let room = office.room(RoomKind::Plain).await?;
    let page = "https://example.org/page";
    let found = Turn::empty().and_web_search("srvtoolu_1", "it", "A page", page).and_refusal(None, "found on a page");
    office.script("search for it", found);

    let answered = office.asked_and_answered(&room, "search for it").await?;

    let note = words::answered_without_results();
    assert!(answered.body().contains(note.trim_matches('*')), "{}", answered.body());
    let requests = office.claude.requests();
    let may_search = |request: &RecordedRequest| {
        request.body["tools"].to_string().contains("web_search") && request.body["tool_choice"]["type"] != "none"
    };
    assert_eq!(requests.iter().map(may_search).collect::<Vec<_>>(), [true, false], "it is asked without the tool");
    assert!(requests.iter().all(|request| question_of(request).contains("search for it")));
    Box::pin(the_next_ten_are_answered(&office, &room)).await?;
    let requests = office.claude.requests();
    assert!(requests.len() == 12 && may_search(&requests[11]), "it may search again");
    Ok(())
}

#[tokio::test]
async fn c26_no_opened_room_silences_an_assistant() -> Result<()> {
    let office = assistants::Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let team = office.team(RoomKind::Encrypted, &[&bob, &alice]).await?;
    bob.send(&team, "the first of three").await?;
    bob.send(&team, Message::text(refusal_trigger())).await?;
    let said = bob.send(&team, "the last of three").await?;
    alice.until(&team, "the last message", |seen| seen.event(&said).cloned()).await?;
    let dm = office.meet(&alice).await?;
    office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    let assistant = office.assistant_of(&alice);
    office.claude.respond_with(|_| Turn::text("Answer at last."));
    alice.send(&dm, "what do they say?").await?;
    let find = |seen: &Timeline| {
        let answers = seen.messages_of(&assistant);
        let mut texts = answers.filter_map(|event| seen.shown_text(&event.event_id));
        texts.find(|text| text.starts_with("Answer at last.") && text.contains("!leftout")).map(str::to_owned)
    };
    alice.until(&dm, "the answer", find).await?;

    for number in 0..10 {
        let before = office.prompts().len();
        office.ask(&alice, &dm, &format!("question {number} of ten"), &format!("Answer {number}.")).await?;
        assert_eq!(office.prompts().len(), before + 1);
    }
    let last = office.prompts().pop().context("a prompt")?;
    assert!(!last.contains(&refusal_trigger()) && last.contains(refused::MARK), "{last}");
    assert!(last.contains("the first of three") && last.contains("the last of three"), "{last}");
    Ok(())
}
