//! What the model's provider refuses (C26): no message silences a room, a thread or an assistant's chat.

mod places;

use anyhow::{Context as _, Result};
use ruma::{EventId, OwnedRoomId, RoomId};
use serde_json::json;
use workmate::{
    core::{refused, words},
    standin::{RecordedRequest, Turn, refusal_trigger},
};

use crate::{
    assistants,
    audit::told,
    harness::{
        Message, Person, RoomKind, SeenEvent, SentFile, Setup, Timeline,
        homeserver::shared,
        office::{Office, answers_in_thread, echoing, question_of},
        readiness::{reconfigure, until_runs_ended},
        workmate::coworker,
    },
};

/// People of the room besides Alice and Bob: twenty in all.
const MORE_PEOPLE: usize = 18;
/// Requests that the first question after a refused message may take.
const SEARCH_MAX: usize = 11;

/// Makes a room of many people with `oncall`, in which everybody has said something.
async fn crowd(office: &Office, kind: RoomKind) -> Result<(OwnedRoomId, Vec<Person>)> {
    let room = office.room(kind).await?;
    let mut people = Vec::new();
    for number in 0..MORE_PEOPLE {
        let person = shared().person(&format!("guest{number}")).await;
        office.alice.invite(&room, person.user_id()).await?;
        office.join_on_invite(&person, &room).await?;
        people.push(person);
    }
    Ok((room, people))
}

async fn everybody_says(people: &[Person], room: &RoomId, what: &str) -> Result<()> {
    for (number, person) in people.iter().enumerate() {
        person.send(room, Message::text(format!("{what}-{number} from me"))).await?;
    }
    Ok(())
}

fn last(office: &Office) -> String {
    office.claude.requests().last().map(|request| request.body.to_string()).unwrap_or_default()
}

/// Asks ten questions, each of which is answered, and all but the first of which take one request.
async fn the_next_ten_are_answered(office: &Office, room: &RoomId) -> Result<()> {
    for number in 0..10 {
        let before = office.claude.requests().len();
        office.asked_and_answered(room, &format!("question {number} of ten")).await?;
        let took = office.claude.requests().len() - before;
        assert!(if number == 0 { took <= SEARCH_MAX } else { took == 1 }, "question {number} took {took} requests");
    }
    Ok(())
}

async fn no_message_silences(kind: RoomKind) -> Result<()> {
    let office = Office::open().await?;
    let (room, people) = Box::pin(crowd(&office, kind)).await?;
    office.asked_and_answered(&room, "is all well").await?;
    everybody_says(&people, &room, "before").await?;
    people[2].send(&room, Message::text(format!("by the way, {}", refusal_trigger()))).await?;
    everybody_says(&people, &room, "after").await?;

    Box::pin(the_next_ten_are_answered(&office, &room)).await?;

    let last = last(&office);
    assert!(!last.contains(&refusal_trigger()));
    assert_eq!(last.matches(refused::MARK).count(), 1, "one message is left out: {last}");
    for number in 0..MORE_PEOPLE {
        assert!(last.contains(&format!("before-{number} ")) && last.contains(&format!("after-{number} ")), "{last}");
    }
    office.claude.finish()?;
    Ok(())
}

#[tokio::test]
async fn c26_no_message_silences_a_plain_room_of_many_people() -> Result<()> {
    Box::pin(no_message_silences(RoomKind::Plain)).await
}

#[tokio::test]
async fn c26_no_message_silences_an_encrypted_room_of_many_people() -> Result<()> {
    Box::pin(no_message_silences(RoomKind::Encrypted)).await
}

#[tokio::test]
async fn c26_no_message_silences_a_thread_and_no_file_a_room() -> Result<()> {
    let office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let root = office.ask(&office.alice, &room, "open a thread").await?;
    office.answer(&office.alice, &room, &oncall, "open a thread").await?;
    office.bob.send(&room, Message::text(refusal_trigger()).in_thread(&root)).await?;
    for number in 0..10 {
        let question = format!("question {number} in the thread");
        let asking = Message::text(format!("@oncall {question}")).pill("@oncall", &oncall).in_thread(&root);
        office.alice.send(&room, asking).await?;
        office.answer(&office.alice, &room, &oncall, &question).await?;
    }
    assert_eq!(answers_in_thread(&office.alice, &room, &root, &oncall), 11);

    // A file is named by its message, and goes with it.
    let text = format!("first line\n{}\nlast line\n", refusal_trigger());
    let file = SentFile::new("report.txt", "text/plain", text.into_bytes());
    office.bob.send_file(&room, &file, None).await?;
    Box::pin(the_next_ten_are_answered(&office, &room)).await?;
    let last = last(&office);
    assert!(!last.contains(&refusal_trigger()) && !last.contains("report.txt"), "{last}");
    Ok(())
}

#[tokio::test]
async fn c26_no_room_name_topic_or_note_silences_a_room() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let oncall = office.oncall();
    let note = Message::text(format!("@oncall !note {}", refusal_trigger())).pill("@oncall", &oncall);
    office.bob.send(&room, note).await?;
    office.answer(&office.bob, &room, &oncall, "Noted").await?;
    // The note, and the message that set it.
    for number in 0..2 {
        office.asked_and_answered(&room, &format!("question {number} beside a note")).await?;
    }
    let before = office.claude.requests().len();
    Box::pin(the_next_ten_are_answered(&office, &room)).await?;
    assert_eq!(office.claude.requests().len(), before + 10);
    assert!(last(&office).contains(refused::MARK));
    Ok(())
}

#[tokio::test]
async fn c26_no_message_silences_an_assistant() -> Result<()> {
    let office = assistants::Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let (assistant, refusal) = (office.assistant_of(&alice), words::refused());
    office.ask(&alice, &room, "good morning", "Good morning.").await?;
    alice.send(&room, Message::text(refusal_trigger())).await?;
    alice.until(&room, "the refusal", |seen| assistants::said(seen, &assistant, &refusal)).await?;
    for number in 0..10 {
        office.ask(&alice, &room, &format!("question {number} of ten"), &format!("Answer {number}.")).await?;
    }
    let prompts = office.prompts();
    assert!(prompts[prompts.len() - 10..].iter().all(|prompt| !prompt.contains(&refusal_trigger())));

    // The owner sees what is left out, and may have it read again: then it is refused once more.
    alice.send(&room, "!leftout").await?;
    let listed = alice.until(&room, "the list", |seen| assistants::said(seen, &assistant, "I leave this out")).await?;
    assert!(listed.body().contains("1. a message"), "{}", listed.body());
    alice.send(&room, "!reread").await?;
    alice.until(&room, "the word", |seen| assistants::said(seen, &assistant, "I'll read it again")).await?;
    let before = office.prompts().len();
    office.claude.respond_with(|_| Turn::text("Answer at last."));
    alice.send(&room, "and now?").await?;
    let find = |seen: &Timeline| {
        let answers = seen.messages_of(&assistant);
        answers
            .filter_map(|event| seen.shown_text(&event.event_id))
            .find(|text| text.starts_with("Answer at last."))
            .map(str::to_owned)
    };
    let answered = alice.until(&room, "the answer", find).await?;
    assert!(answered.contains("!leftout"), "{answered}");
    assert!(office.prompts().len() > before + 1, "the first one was refused");
    Ok(())
}

const POISON: &str = "POISON-7F3A";

fn command(office: &Office, command: &str) -> Message {
    Message::text(format!("@oncall {command}")).pill("@oncall", &office.oncall())
}

async fn commanded(office: &Office, person: &Person, room: &RoomId, what: &str, answer: &str) -> Result<SeenEvent> {
    person.send(room, command(office, what)).await?;
    office.answer(person, room, &office.oncall(), answer).await
}

#[tokio::test]
async fn c26_what_is_left_out_is_listed_and_put_back_by_its_sender_by_moderators_and_by_an_edit() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.claude.refuse(POISON);
    commanded(&office, &office.bob, &room, "!leftout", "I leave nothing out").await?;
    let said = office.alice.send(&room, Message::text(format!("by the way, {POISON}"))).await?;
    office.asked_and_answered(&room, "first question").await?;

    let listed = commanded(&office, &office.bob, &room, "!leftout", "I leave this out").await?;
    let (html, body) = (listed.content["formatted_body"].to_string(), listed.body());
    assert!(html.contains(said.as_str()) && body.contains("general harms"), "{html}\n{body}");
    // Bob is neither its sender nor a moderator; Alice is both.
    commanded(&office, &office.bob, &room, "!reread", "Only whoever sent it").await?;
    commanded(&office, &office.alice, &room, "!reread 1", "I'll read it again").await?;
    let before = office.claude.requests().len();
    office.asked_and_answered(&room, "second question").await?;
    let took = office.claude.requests().len() - before;
    assert!((3..=SEARCH_MAX).contains(&took), "it is refused again, and found among the old: {took}");

    // An edit is read as it stands.
    let edit = Message::text("by the way, nothing").replacing(&said);
    office.alice.send(&room, edit).await?;
    let before = office.claude.requests().len();
    office.asked_and_answered(&room, "third question").await?;
    assert_eq!(office.claude.requests().len(), before + 1);
    let prompt = last(&office);
    assert!(prompt.contains("by the way, nothing") && !prompt.contains(refused::MARK), "{prompt}");
    commanded(&office, &office.bob, &room, "!leftout", "I leave nothing out").await?;

    // What is redacted is forgotten.
    let said = office.bob.send(&room, Message::text(format!("once more, {POISON}"))).await?;
    office.asked_and_answered(&room, "fourth question").await?;
    commanded(&office, &office.alice, &room, "!leftout", "I leave this out").await?;
    office.bob.redact(&room, &said).await?;
    office.asked_and_answered(&room, "fifth question").await?;
    office.bob.send(&room, command(&office, "!leftout")).await?;
    let nothing = |seen: &Timeline| {
        let words =
            seen.messages_of(&office.oncall()).filter(|said| said.body().contains("I leave nothing out")).count();
        (words >= 3).then_some(())
    };
    office.bob.until(&room, "nothing is left out", nothing).await?;
    Ok(())
}

#[tokio::test]
async fn c26_another_model_answers_what_the_first_one_refuses_and_the_record_says_which() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let claude = echoing().await?;
    let mut workmate = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url())
        .coworkers(vec![coworker("oncall")])
        .write();
    let fallbacks = json!(["claude-haiku-4-5", "claude-sonnet-5-5"]);
    reconfigure(&workmate.config(), |settings| settings["claude"]["fallback_models"] = fallbacks)?;
    workmate.start_again().await;
    let [alice, bob] = people;
    let mut office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    office.claude.refuse_by("claude-opus-5-5", POISON);
    office.claude.refuse_by("claude-haiku-4-5", POISON);
    let said = office.bob.send(&room, Message::text(format!("by the way, {POISON}"))).await?;

    let answered = office.asked_and_answered(&room, "who answers").await?;

    assert!(!answered.body().contains("!leftout"), "{}", answered.body());
    let requests = office.claude.requests();
    let models: Vec<&str> = requests.iter().filter_map(|request| request.body["model"].as_str()).collect();
    assert_eq!(models, ["claude-opus-5-5", "claude-haiku-4-5", "claude-sonnet-5-5"]);
    let asks =
        |request: &RecordedRequest| (question_of(request), request.body["messages"].to_string().contains(POISON));
    assert!(requests.iter().all(|request| asks(request) == asks(&requests[0])), "each is asked the same");
    // Haiku 4.5 takes no effort, and tells nothing of its thinking.
    assert!(requests[1].body["output_config"].is_null() && requests[1].body["thinking"].is_null());
    until_runs_ended(&office.workmate, 1).await;
    let index = told(&office.workmate, "export")?;
    let run: serde_json::Value = serde_json::from_str(index.lines().next().context("a run")?)?;
    assert_eq!((&run["model"], &run["fallback"]), (&json!("claude-sonnet-5-5"), &json!(true)), "{run}");
    assert_eq!(run["refused"], "general_harms", "{run}");
    let why = Message::text("@oncall !why").pill("@oncall", &office.oncall()).replying_to(&answered.event_id);
    office.alice.send(&room, why).await?;
    let why = office.answer(&office.alice, &room, &office.oncall(), "answered instead").await?;
    assert!(why.body().contains("claude-sonnet-5-5") && why.body().contains("general_harms"), "{}", why.body());
    Box::pin(the_first_model_is_spared(&mut office, &room, &said)).await?;
    office.claude.finish()?;
    Ok(())
}

/// As long as the refused message stands, the model that answered is asked at once; after a kill too, and until it is gone.
async fn the_first_model_is_spared(office: &mut Office, room: &RoomId, said: &EventId) -> Result<()> {
    let models = |office: &Office, from: usize| -> Vec<String> {
        let requests = office.claude.requests();
        requests[from..].iter().filter_map(|one| one.body["model"].as_str().map(str::to_owned)).collect()
    };
    for question in ["and now", "and after a kill"] {
        let before = office.claude.requests().len();
        let answered = office.asked_and_answered(room, question).await?;
        assert_eq!(models(office, before), ["claude-sonnet-5-5"], "{question}");
        let why = Message::text("@oncall !why").pill("@oncall", &office.oncall()).replying_to(&answered.event_id);
        office.alice.send(room, why).await?;
        office.answer(&office.alice, room, &office.oncall(), "refused something in it a while ago").await?;
        office.workmate.kill();
        office.workmate.start_again().await;
    }
    office.bob.redact(room, said).await?;
    let before = office.claude.requests().len();
    office.asked_and_answered(room, "and once it is gone").await?;
    assert_eq!(models(office, before), ["claude-opus-5-5"]);
    Ok(())
}

#[tokio::test]
async fn c9_long_work_says_in_one_line_what_the_model_is_doing_and_leaves_no_trace_of_it() -> Result<()> {
    const THOUGHT: &str = "Comparing both logs of Zaunkoenig-41";
    let office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let thinking = format!("{THOUGHT} with https://evil.example/x for @room\n");
    // Nine words, and the signature.
    let turn = Turn::empty().and_thinking(thinking).and_text("You asked: compare").word_by_word();
    let (turn, gate) = turn.gate_after(10);
    office.script("compare", turn);
    office.ask(&office.alice, &room, "compare").await?;
    gate.reached().await;
    let status = |seen: &Timeline| {
        let theirs = seen.messages_of(&oncall).filter(|event| event.msgtype() == "m.notice");
        let mut shown = theirs.filter_map(|event| seen.shown_text(&event.event_id));
        shown.find(|text| text.contains(THOUGHT)).map(str::to_owned)
    };
    let shown = office.alice.until(&room, "what the model is doing", status).await?;
    assert!(shown.contains("Working on it") && shown.contains("(a link)"), "{shown}");
    assert!(!shown.contains("evil.example") && !shown.contains("@room"), "{shown}");
    gate.release();
    office.answer(&office.alice, &room, &oncall, "You asked: compare").await?;

    until_runs_ended(&office.workmate, 1).await;
    let ended = |seen: &Timeline| {
        let mut theirs = seen.messages_of(&oncall);
        theirs
            .any(|event| seen.shown_text(&event.event_id).is_some_and(|text| text.starts_with("Done after")))
            .then_some(())
    };
    office.alice.until(&room, "the record in the status' place", ended).await?;
    assert!(!office.workmate.logs().contains("Zaunkoenig"));
    Ok(())
}
