//! Control of runs (C6, C10) in encrypted rooms while a run is held open: stop, run again, edit, redact, kick, mute.

use anyhow::Result;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use workmate::{
    core::{render, words},
    standin::{Gate, Matcher, Options, StandIn, Turn},
};

use crate::harness::{
    Message, Person, RoomKind, SeenEvent, Setup, Timeline, Workmate, homeserver::shared, readiness::until_runs_ended,
};

/// Two people and a coworker in an encrypted room.
pub(crate) struct Scene {
    pub(crate) claude: StandIn,
    pub(crate) workmate: Workmate,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    pub(crate) coworker: OwnedUserId,
    pub(crate) room: OwnedRoomId,
}

impl Scene {
    pub(crate) async fn set() -> Result<Self> {
        let slot = shared().take_slot();
        let claude = StandIn::start(Options::scripted()).await?;
        let workmate = Setup::new(&slot, shared().url(), &claude.base_url()).start().await;
        let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
        let coworker = slot.coworker("oncall");
        let room = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id()]).await?;
        bob.until_invited_by(alice.user_id()).await?;
        bob.join(&room).await?;
        alice.invite(&room, &coworker).await?;
        alice.until_membership(&room, &coworker, &MembershipState::Join).await?;
        Ok(Self { claude, workmate, alice, bob, coworker, room })
    }

    pub(crate) async fn ask(&self, question: &str) -> Result<OwnedEventId> {
        let message = Message::text(format!("@oncall {question}")).pill("@oncall", &self.coworker);
        self.alice.send(&self.room, message).await
    }

    /// Asks a question whose answer is held after its first words.
    pub(crate) async fn ask_and_hold(&self, question: &str, answer: &str) -> Result<(OwnedEventId, Gate)> {
        let (turn, gate) = Turn::text(answer).word_by_word().gate_after(1);
        self.claude.on(Matcher::user(question), turn);
        let request = self.ask(question).await?;
        gate.reached().await;
        Ok((request, gate))
    }

    pub(crate) async fn until_said(&self, what: &str) -> Result<OwnedEventId> {
        let said = |seen: &Timeline| {
            let mut said = seen.messages_of(&self.coworker);
            said.find(|event| event.body() == what).map(|event| event.event_id.clone())
        };
        self.alice.until(&self.room, what, said).await
    }

    /// Asks once more and waits for the answer; everything due before it has arrived by then.
    pub(crate) async fn settle(&self) -> Result<Timeline> {
        self.claude.on(Matcher::user("are you still there"), Turn::text("Still here."));
        self.ask("are you still there").await?;
        self.until_said("Still here.").await?;
        Ok(self.alice.timeline(&self.room))
    }

    /// Returns the coworker's messages that contain a text.
    pub(crate) fn said<'a>(&self, seen: &'a Timeline, what: &str) -> Vec<&'a str> {
        seen.messages_of(&self.coworker).map(SeenEvent::body).filter(|body| body.contains(what)).collect()
    }

    pub(crate) async fn until_closed(&self, question: &str) -> Result<()> {
        let text = question.to_owned();
        self.claude.wait_for_request(move |seen| seen.disconnected && seen.body.to_string().contains(&text)).await?;
        Ok(())
    }
}

#[tokio::test]
async fn c10_a_stop_by_any_member_ends_the_run_and_closes_the_stream() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (request, _gate) = scene.ask_and_hold("count the nails", "Seventeen thousand nails.").await?;

    scene.bob.react(&scene.room, &request, "🛑").await?;

    scene.until_said("Stopped.").await?;
    scene.until_closed("count the nails").await?;
    let seen = Box::pin(scene.settle()).await?;
    assert_eq!(scene.said(&seen, "nails"), Vec::<&str>::new(), "{seen}");
    Ok(())
}

#[tokio::test]
async fn c10_again_on_an_answer_runs_the_request_again() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    scene.claude.on(Matcher::user("roll the dice"), Turn::text("A three."));
    scene.ask("roll the dice").await?;
    let first = scene.until_said("A three.").await?;

    scene.claude.on(Matcher::user("roll the dice"), Turn::text("A six."));
    scene.bob.react(&scene.room, &first, "🔁").await?;

    let second = scene.until_said("A six.").await?;
    let seen = scene.alice.timeline(&scene.room);
    let [first, second] = [&first, &second].map(|id| seen.event(id).and_then(|event| event.thread_root()));
    assert_eq!(first, second, "both stand in the thread on the request");
    Ok(())
}

#[tokio::test]
async fn c6_an_edit_of_the_request_begins_the_run_anew_with_the_new_text() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (request, _gate) = scene.ask_and_hold("how high is the tower", "The tower is 90 m high.").await?;

    scene.claude.on(Matcher::user("how deep is the well"), Turn::text("The well is 12 m deep."));
    let edit = Message::text("@oncall how deep is the well").mentioning(&scene.coworker).replacing(&request);
    scene.alice.send(&scene.room, edit).await?;

    scene.until_said("The well is 12 m deep.").await?;
    let seen = Box::pin(scene.settle()).await?;
    assert_eq!(scene.said(&seen, "tower"), Vec::<&str>::new(), "{seen}");
    assert_eq!(scene.said(&seen, "well is").len(), 1, "{seen}");
    Ok(())
}

#[tokio::test]
async fn c6_c16_an_edit_of_a_request_into_a_command_stops_its_run_and_is_done() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let rephrase = async |request: &OwnedEventId, text: &str| {
        let edit = Message::text(format!("@oncall {text}")).mentioning(&scene.coworker).replacing(request);
        scene.alice.send(&scene.room, edit).await
    };
    let (tower, _gate) = scene.ask_and_hold("how high is the tower", "The tower is 90 m high.").await?;
    rephrase(&tower, "!Stop").await?;
    scene.until_said("Stopped.").await?;
    scene.until_closed("how high is the tower").await?;

    // A request that waits in line behind another in its thread.
    let (well, gate) = scene.ask_and_hold("how deep is the well", "The well is 12 m deep.").await?;
    let queued = Message::text("@oncall how old is the moat").pill("@oncall", &scene.coworker).in_thread(&well);
    let moat = scene.alice.send(&scene.room, queued).await?;
    rephrase(&moat, "!notes").await?;
    scene.until_said(&render::own(&words::no_notes("oncall")).body).await?;
    gate.release();
    scene.until_said("The well is 12 m deep.").await?;

    let seen = Box::pin(scene.settle()).await?;
    assert_eq!(scene.said(&seen, "tower"), Vec::<&str>::new(), "{seen}");
    assert_eq!(scene.claude.requests().len(), 3, "the tower, the well, and what settles");
    Ok(())
}

#[tokio::test]
async fn c10_redacting_the_request_cancels_its_run_and_takes_back_its_answer() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (running, _gate) = scene.ask_and_hold("spell parallel", "P a r a l l e l.").await?;
    scene.claude.on(Matcher::user("spell rhythm"), Turn::text("R h y t h m."));
    let answered = scene.ask("spell rhythm").await?;
    let answer = scene.until_said("R h y t h m.").await?;

    scene.alice.redact(&scene.room, &running).await?;
    scene.alice.redact(&scene.room, &answered).await?;

    scene.until_closed("spell parallel").await?;
    let redacted = |seen: &Timeline| seen.is_redacted(&answer).then_some(());
    scene.alice.until(&scene.room, "the answer's redaction", redacted).await?;
    let seen = Box::pin(scene.settle()).await?;
    assert_eq!(scene.said(&seen, "P a r"), Vec::<&str>::new(), "{seen}");
    Ok(())
}

#[tokio::test]
async fn c10_a_kick_ends_what_goes_on_and_what_waits_and_nothing_comes_later() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let (request, gate) = scene.ask_and_hold("paint the fence", "Painted.").await?;
    let waiting = Message::text("@oncall and the gate").pill("@oncall", &scene.coworker).in_thread(&request);
    let waiting = scene.bob.send(&scene.room, waiting).await?;
    scene.ask("!status").await?;
    scene.until_said(&words::status(2)).await?;

    let room = scene.alice.room(&scene.room)?;
    room.kick_user(&scene.coworker, None).await?;

    scene.until_closed("paint the fence").await?;
    gate.release();
    scene.alice.send(&scene.room, "quiet now").await?;
    until_runs_ended(&scene.workmate, 2).await;
    assert_eq!(scene.alice.membership(&scene.room, &scene.coworker).await?, Some(MembershipState::Leave));
    let seen = scene.alice.timeline(&scene.room);
    assert_eq!(scene.said(&seen, "Painted"), Vec::<&str>::new(), "{seen}");
    let index = scene.workmate.stop_and_read_run_index().await?;
    let of = |request: &OwnedEventId| index.iter().find(|run| run["request"] == request.as_str()).expect("a run");
    assert_eq!([&of(&request)["outcome"], &of(&waiting)["outcome"]], ["dropped", "dropped"]);
    assert!(of(&request)["cost_micro_usd"].as_u64() > Some(0), "{index:#?}");
    assert_eq!(of(&waiting)["cost_micro_usd"], serde_json::Value::Null);
    Ok(())
}

#[tokio::test]
async fn c16_a_muted_coworker_is_quiet_until_it_is_unmuted() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let said = |text: &'static str| move |event: &str| event.contains(text);
    let until = async |text: &'static str| {
        let found = |seen: &Timeline| seen.messages_of(&scene.coworker).any(|e| said(text)(e.body())).then_some(());
        scene.alice.until(&scene.room, text, found).await
    };
    scene.ask("!mute").await?;
    until("quiet in this room").await?;
    let unanswered = scene.ask("anybody home").await?;
    scene.ask("!unmute").await?;
    until("I'm back").await?;
    let seen = Box::pin(scene.settle()).await?;
    assert!(seen.answer(&unanswered, &scene.coworker, scene.alice.user_id()).is_none(), "{seen}");
    let asked = scene.claude.requests();
    assert!(asked.iter().all(|request| !request.last_user_text().contains("anybody home")
        || request.last_user_text().contains("are you still there")));
    Ok(())
}

#[tokio::test]
async fn c16_commands_are_answered_without_the_model_and_what_is_no_command_is_a_prompt() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (_request, gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let plain = |markdown: &str| render::render(markdown).body;
    let table = [
        ("!help", plain(&words::coworker_help("oncall"))),
        ("!tools", words::no_tools()),
        ("!purpose", "Answers the questions that the tests ask oncall.".to_owned()),
        ("!status", words::status(1)),
    ];
    for (command, expected) in &table {
        let asked = scene.ask(command).await?;
        let said = scene.until_said(expected).await?;
        let seen = scene.alice.timeline(&scene.room);
        let said = seen.event(&said).expect("it was found there");
        assert_eq!((said.msgtype(), said.thread_root()), ("m.notice", Some(asked.as_str())), "{command}");
        assert!(said.is_decrypted() && said.mentions(scene.alice.user_id()), "{command}");
    }
    assert_eq!(scene.claude.requests().len(), 1, "commands ask no model");

    scene.claude.on(Matcher::user("!help me with it"), Turn::text("Gladly."));
    scene.ask("!help me with it").await?;
    scene.until_said("Gladly.").await?;
    gate.release();
    scene.until_said("It stands.").await?;
    Ok(())
}

#[tokio::test]
async fn c11_requests_in_one_thread_are_answered_in_order() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (request, gate) = scene.ask_and_hold("first of two", "First answer.").await?;
    scene.claude.on(Matcher::user("second of two"), Turn::text("Second answer."));
    let follow_up = Message::text("second of two").in_thread(&request);
    scene.bob.send(&scene.room, follow_up).await?;

    gate.release();

    let second = scene.until_said("Second answer.").await?;
    let seen = scene.alice.timeline(&scene.room);
    let order: Vec<_> = seen.messages_of(&scene.coworker).map(SeenEvent::body).collect();
    let at = |what: &str| order.iter().position(|body| *body == what);
    assert!(at("First answer.").is_some() && at("First answer.") < at("Second answer."), "{order:?}");
    assert!(seen.event(&second).is_some_and(|event| event.mentions(scene.bob.user_id())), "the asker is mentioned");
    Ok(())
}

#[tokio::test]
async fn c9_long_work_shows_one_status_in_the_thread_that_becomes_its_end() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let (request, gate) = scene.ask_and_hold("build a cathedral", "It stands.").await?;
    let of_status = |seen: &Timeline| {
        let mut said = seen.messages_of(&scene.coworker).filter(|event| event.msgtype() == "m.notice");
        said.find(|event| event.thread_root() == Some(request.as_str())).map(|event| event.event_id.clone())
    };
    let status = scene.alice.until(&scene.room, "the status", of_status).await?;

    gate.release();

    let answer = scene.until_said("It stands.").await?;
    let ended = |seen: &Timeline| seen.shown_text(&status).filter(|text| text.contains("Done after")).map(|_| ());
    scene.alice.until(&scene.room, "the status' end", ended).await?;
    let seen = scene.alice.timeline(&scene.room);
    assert!(seen.event(&answer).is_some_and(|event| event.mentions(scene.alice.user_id())));
    assert!(!seen.event(&status).is_some_and(|event| event.mentions(scene.alice.user_id())), "a status pings nobody");
    Ok(())
}
