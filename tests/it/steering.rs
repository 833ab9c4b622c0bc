//! Every control at every stage of a run (C6, C10): in line, not yet answered, being written, answered.

use anyhow::Result;
use ruma::{EventId, OwnedEventId, events::room::member::MembershipState};
use serde_json::{Value, json};
use workmate::{
    core::words,
    standin::{Gate, Matcher, Turn},
};

use crate::{
    control::Scene,
    harness::{
        HistoryOnInvite, Message, Person, PersonOptions, RoomKind, SeenEvent, Timeline, homeserver::shared,
        office::question_of, readiness::until_runs_ended,
    },
};

impl Scene {
    /// Has Bob ask in the thread of Alice's request.
    async fn follow_up(&self, root: &EventId, question: &str) -> Result<OwnedEventId> {
        let message = Message::text(format!("@oncall {question}")).pill("@oncall", &self.coworker);
        self.bob.send(&self.room, message.in_thread(root)).await
    }

    /// Asks a question whose answer does not begin.
    async fn ask_unanswered(&self, question: &str) -> Result<(OwnedEventId, Gate)> {
        let (turn, gate) = Turn::text("never to be seen").hold_headers();
        self.claude.on(Matcher::user(question), turn);
        let request = self.ask(question).await?;
        gate.reached().await;
        Ok((request, gate))
    }

    fn first_in_thread(&self, seen: &Timeline, root: &EventId) -> Option<SeenEvent> {
        seen.messages_of(&self.coworker).find(|event| event.thread_root() == Some(root.as_str())).cloned()
    }

    /// Waits for the coworker's first message in a request's thread.
    async fn until_in_thread(&self, root: &EventId) -> Result<SeenEvent> {
        self.alice.until(&self.room, "a message in the thread", |seen| self.first_in_thread(seen, root)).await
    }

    async fn until_shown(&self, event: &EventId, text: &str) -> Result<()> {
        let shown = |seen: &Timeline| seen.shown_text(event).is_some_and(|shown| shown.starts_with(text)).then_some(());
        self.alice.until(&self.room, text, shown).await
    }

    async fn until_redacted(&self, event: &EventId) -> Result<()> {
        let redacted = |seen: &Timeline| seen.is_redacted(event).then_some(());
        self.alice.until(&self.room, "a redaction", redacted).await
    }

    /// Returns whether the newest message of a model request, which is the one to answer, contained a text.
    fn was_asked(&self, text: &str) -> bool {
        self.claude.requests().iter().any(|request| question_of(request).contains(text))
    }
}

/// Returns the index entry of the run for a request.
fn outcome_of<'a>(index: &'a [Value], request: &EventId) -> &'a Value {
    let run = index.iter().find(|run| run["request"] == request.as_str());
    run.unwrap_or_else(|| panic!("no run of {request} in {index:#?}"))
}

#[tokio::test]
async fn c10_a_stop_ends_a_run_at_every_stage_and_what_it_cost_is_recorded() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let (first, first_gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let queued = scene.follow_up(&first, "and a bell tower").await?;
    let (unanswered, _gate) = scene.ask_unanswered("what is the time").await?;
    let (writing, _gate) = scene.ask_and_hold("count the nails", &"Seventeen thousand nails. ".repeat(20)).await?;

    // Stopped in line by a person who did not ask; the run before it goes on.
    scene.alice.react(&scene.room, &queued, "🛑").await?;
    scene.until_said("Stopped.").await?;
    // Before the model has written anything.
    scene.bob.react(&scene.room, &unanswered, "🛑").await?;
    scene.until_closed("what is the time").await?;
    assert_eq!(scene.until_in_thread(&unanswered).await?.body(), "Stopped.");
    // While it is writing.
    scene.bob.react(&scene.room, &writing, "🛑\u{fe0f}").await?;
    scene.until_closed("count the nails").await?;
    assert_eq!(scene.until_in_thread(&writing).await?.body(), "Stopped.");
    // Once it is answered, there is nothing to stop.
    first_gate.release();
    let answer = scene.until_said("It stands.").await?;
    scene.bob.react(&scene.room, &answer, "🛑").await?;
    scene.bob.react(&scene.room, &first, "🛑").await?;
    let seen = Box::pin(scene.settle()).await?;

    assert_eq!(scene.said(&seen, "Stopped.").len(), 3, "{seen}");
    assert_eq!(scene.said(&seen, "nails"), Vec::<&str>::new(), "{seen}");
    assert!(!scene.was_asked("bell tower"), "what was stopped in line is not asked");
    until_runs_ended(&scene.workmate, 5).await;
    let index = scene.workmate.stop_and_read_run_index().await?;
    let outcomes = [&queued, &unanswered, &writing, &first].map(|request| &outcome_of(&index, request)["outcome"]);
    assert_eq!(outcomes, ["stopped", "stopped", "stopped", "done"]);
    let used = |request: &EventId| {
        let run = outcome_of(&index, request);
        ["input_tokens", "output_tokens", "cost_micro_usd"].map(|key| run[key].as_u64().unwrap_or_default() > 0)
    };
    assert_eq!(used(&queued), [false; 3], "it never began");
    assert_eq!(used(&writing), [true; 3], "{:#?}", outcome_of(&index, &writing));
    let asked = scene.claude.requests().into_iter().find(|request| request.last_user_text().contains("the nails"));
    let told = asked.expect("it was asked").usage;
    let prompt = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    let prompt: u64 = prompt.iter().filter_map(|key| told[key].as_u64()).sum();
    assert_eq!(outcome_of(&index, &writing)["input_tokens"], json!(prompt));
    Ok(())
}

#[tokio::test]
async fn c10_a_stop_on_the_status_ends_the_run_and_the_status_says_so() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (request, _gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let status = scene.until_in_thread(&request).await?;

    scene.bob.react(&scene.room, &status.event_id, "🛑").await?;

    scene.until_shown(&status.event_id, "Stopped after").await?;
    scene.until_closed("build a cathedral").await?;
    let seen = Box::pin(scene.settle()).await?;
    let in_thread = seen.messages_of(&scene.coworker).filter(|event| event.thread_root() == Some(request.as_str()));
    assert_eq!(in_thread.count(), 1, "the status alone:\n{seen}");
    Ok(())
}

#[tokio::test]
async fn c11_a_request_that_waits_long_is_told_its_place_in_the_one_notice_of_its_run() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (first, gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    scene.claude.on(Matcher::user("and a bell tower"), Turn::text("It rings."));
    scene.follow_up(&first, "and a bell tower").await?;
    let dropped = scene.follow_up(&first, "and a crypt").await?;
    let tower_word = scene.until_said(&words::queued(1)).await?;
    let crypt_word = scene.until_said(&words::queued(2)).await?;

    scene.bob.react(&scene.room, &dropped, "🛑").await?;
    scene.until_shown(&crypt_word, "Stopped after").await?;
    gate.release();
    scene.until_said("It rings.").await?;
    scene.until_shown(&tower_word, "Done").await?;

    let seen = Box::pin(scene.settle()).await?;
    let in_thread = seen.messages_of(&scene.coworker).filter(|event| event.thread_root() == Some(first.as_str()));
    let answers = ["It stands.", "It rings."];
    let notices = in_thread.filter(|event| !answers.contains(&event.body()));
    assert_eq!(notices.map(|event| event.msgtype().to_owned()).collect::<Vec<_>>(), ["m.notice"; 3], "{seen}");
    Ok(())
}

#[tokio::test]
async fn c10_a_redaction_takes_back_what_was_said_at_every_stage() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let (held, gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let queued = scene.follow_up(&held, "and a bell tower").await?;
    let long = Turn::text("All of it. ".repeat(12_000)).delta_chars(5_000);
    scene.claude.on(Matcher::user("at length"), long);
    let answered = scene.ask("at length").await?;
    let file = |seen: &Timeline| seen.messages_of(&scene.coworker).find(|event| event.msgtype() == "m.file").cloned();
    let file = scene.alice.until(&scene.room, "the file", file).await?;
    let beginning = scene.until_in_thread(&answered).await?;
    let status = scene.until_in_thread(&held).await?;
    until_runs_ended(&scene.workmate, 1).await;

    // In line: it is never asked. In progress: its status goes, and the stream is closed.
    scene.bob.redact(&scene.room, &queued).await?;
    scene.alice.redact(&scene.room, &held).await?;
    scene.until_redacted(&status.event_id).await?;
    scene.until_closed("build a cathedral").await?;
    gate.release();
    // Answered: the beginning and the file go.
    scene.alice.redact(&scene.room, &answered).await?;
    scene.until_redacted(&beginning.event_id).await?;
    scene.until_redacted(&file.event_id).await?;

    let seen = Box::pin(scene.settle()).await?;
    assert_eq!(scene.said(&seen, "It stands."), Vec::<&str>::new(), "{seen}");
    assert_eq!(scene.said(&seen, "Stopped."), Vec::<&str>::new(), "nobody is told of what is gone:\n{seen}");
    assert!(!scene.was_asked("bell tower"));
    let gone = seen.messages_of(&scene.coworker).filter(|event| {
        let of = [&held, &answered].map(|root| Some(root.as_str()));
        of.contains(&event.thread_root()) && !seen.is_redacted(&event.event_id)
    });
    assert_eq!(gone.map(SeenEvent::body).collect::<Vec<_>>(), Vec::<&str>::new(), "something stayed");
    until_runs_ended(&scene.workmate, 4).await;
    let index = scene.workmate.stop_and_read_run_index().await?;
    let cut = outcome_of(&index, &held);
    assert!(cut["outcome"] == "stopped" && cut["cost_micro_usd"].as_u64() > Some(0), "{cut}");
    Ok(())
}

#[tokio::test]
async fn c10_c16_stop_in_a_thread_stops_that_thread_and_elsewhere_all_of_the_room() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (one, _gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let (_two, gate) = scene.ask_and_hold("paint the fence", "Painted.").await?;

    scene.follow_up(&one, "!stop").await?;
    scene.until_closed("build a cathedral").await?;
    gate.release();
    scene.until_said("Painted.").await?;
    let (_three, _gate) = scene.ask_and_hold("sweep the yard", "Swept.").await?;
    let (_four, _gate) = scene.ask_and_hold("mow the lawn", "Mown.").await?;
    scene.ask("!stop").await?;

    scene.until_closed("sweep the yard").await?;
    scene.until_closed("mow the lawn").await?;
    let seen = Box::pin(scene.settle()).await?;
    for unsaid in ["It stands.", "Swept.", "Mown."] {
        assert_eq!(scene.said(&seen, unsaid), Vec::<&str>::new(), "{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn c10_c16_mute_ends_what_is_going_on_and_again_does_nothing_until_unmute() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    scene.claude.on(Matcher::user("roll the dice"), Turn::text("A three."));
    scene.ask("roll the dice").await?;
    let answer = scene.until_said("A three.").await?;
    let (_request, _gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;

    scene.ask("!mute").await?;
    scene.until_closed("build a cathedral").await?;
    scene.until_said(&workmate::core::render::render(&words::muted("oncall")).body).await?;
    scene.bob.react(&scene.room, &answer, "🔁").await?;
    scene.ask("!unmute").await?;
    scene.until_said(&words::unmuted()).await?;
    let quiet = scene.claude.requests().len();
    scene.claude.on(Matcher::user("roll the dice"), Turn::text("A six."));
    scene.bob.react(&scene.room, &answer, "🔁\u{fe0f}").await?;

    scene.until_said("A six.").await?;
    assert_eq!(quiet, 2, "muted, it asks nothing");
    let seen = Box::pin(scene.settle()).await?;
    assert_eq!(scene.said(&seen, "It stands."), Vec::<&str>::new(), "{seen}");
    Ok(())
}

#[tokio::test]
async fn c6_an_edit_counts_while_the_request_waits_and_afterwards_only_with_again() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (first, gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let waiting = scene.follow_up(&first, "and paint it red").await?;
    scene.claude.on(Matcher::user("and paint it blue"), Turn::text("Blue it is."));
    let edit = |text: &str, request: &EventId| {
        Message::text(format!("@oncall {text}")).mentioning(&scene.coworker).replacing(request)
    };
    scene.bob.send(&scene.room, edit("and paint it blue", &waiting)).await?;
    gate.release();
    let blue = scene.until_said("Blue it is.").await?;
    assert!(scene.alice.timeline(&scene.room).event(&blue).is_some_and(|event| event.mentions(scene.bob.user_id())));

    // Answered: an edit alone changes nothing; 🔁 asks with the present text.
    scene.bob.send(&scene.room, edit("and paint it green", &waiting)).await?;
    Box::pin(scene.settle()).await?;
    let before = scene.claude.requests().len();
    scene.claude.on(Matcher::user("and paint it green"), Turn::text("Green it is."));
    scene.alice.react(&scene.room, &blue, "🔁").await?;
    scene.until_said("Green it is.").await?;

    // Run again by Alice, it is still Bob's request: he edits it while it is being answered.
    let (turn, gate) = Turn::text("Green as grass.").word_by_word().gate_after(1);
    scene.claude.on(Matcher::user("and paint it green"), turn);
    scene.claude.on(Matcher::user("and paint it white"), Turn::text("White it is."));
    scene.alice.react(&scene.room, &blue, "🔁\u{fe0f}").await?;
    gate.reached().await;
    scene.bob.send(&scene.room, edit("and paint it white", &waiting)).await?;
    scene.until_said("White it is.").await?;

    assert_eq!(before, 3, "the edit asked nothing");
    assert!(!scene.claude.requests().iter().any(|request| request.body.to_string().contains("paint it red")));
    Ok(())
}

#[tokio::test]
async fn c6_an_edit_inside_a_thread_that_newly_mentions_it_is_answered_there() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let root = scene.bob.send(&scene.room, "shall we meet?").await?;
    let message = scene.alice.send(&scene.room, Message::text("where is it?").in_thread(&root)).await?;
    scene.claude.on(Matcher::user("where is it now"), Turn::text("In the yard."));

    let edit = Message::text("@oncall where is it now").pill("@oncall", &scene.coworker).replacing(&message);
    scene.alice.send(&scene.room, edit).await?;

    let answer = scene.until_said("In the yard.").await?;
    let seen = scene.alice.timeline(&scene.room);
    assert_eq!(seen.event(&answer).and_then(SeenEvent::thread_root), Some(root.as_str()));
    Ok(())
}

#[tokio::test]
async fn c6_an_edit_that_newly_mentions_it_is_answered_where_only_the_edit_can_be_decrypted() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let account = shared().account("alice").await;
    scene.alice = Person::start(PersonOptions { history_on_invite: HistoryOnInvite::Kept, ..account }).await?;
    let team = scene.alice.create_room(RoomKind::Encrypted, "team", &[scene.bob.user_id()]).await?;
    scene.bob.until_invited_by(scene.alice.user_id()).await?;
    scene.bob.join(&team).await?;
    let root = scene.bob.send(&team, "shall we meet?").await?;
    let message = scene.alice.send(&team, Message::text("where is it?").in_thread(&root)).await?;
    scene.alice.invite(&team, &scene.coworker).await?;
    scene.alice.until_membership(&team, &scene.coworker, &MembershipState::Join).await?;
    scene.claude.on(Matcher::user("where is it now"), Turn::text("In the yard."));

    let edit = Message::text("@oncall where is it now").pill("@oncall", &scene.coworker).replacing(&message);
    scene.alice.send(&team, edit).await?;

    let answered = |seen: &Timeline| {
        let mut said = seen.messages_of(&scene.coworker);
        said.find(|event| event.body() == "In the yard.").map(|event| event.thread_root().map(ToOwned::to_owned))
    };
    assert_eq!(scene.alice.until(&team, "the answer", answered).await?, Some(root.to_string()));
    Ok(())
}
