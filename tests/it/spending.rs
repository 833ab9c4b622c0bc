//! What one person can make the model cost (C6, C14, C23): edits, bursts, 🔁, and floods to their own assistant.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use ruma::{OwnedRoomId, UserId};
use serde_json::{Value, json};
use workmate::standin::{Gate, RecordedRequest, Turn};

use crate::{
    assistants, audit,
    harness::{
        Message, Person, RoomKind, SeenEvent, Setup, Timeline, Workmate,
        homeserver::shared,
        office::{Office, answers_in_thread, question_of},
        readiness::until_runs_ended,
    },
};

/// Edits of one request, as from a client that saves every keystroke.
const EDITS: usize = 60;

/// Returns a user's messages with this beginning.
fn said(seen: &Timeline, sender: &UserId, beginning: &str) -> Vec<SeenEvent> {
    seen.messages_of(sender).filter(|event| event.body().starts_with(beginning)).cloned().collect()
}

#[tokio::test]
async fn c6_c23_sixty_edits_of_a_running_request_make_a_handful_of_calls_and_one_answer_to_the_last() -> Result<()> {
    let mut office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Plain).await?, office.oncall());
    let (turn, gate) = Turn::text("Never to be seen.").word_by_word().gate_after(1);
    office.script("version 0.", turn);
    let request = office.ask(&office.alice, &room, "version 0.").await?;
    gate.reached().await;

    for number in 1..=EDITS {
        let edit = Message::text(format!("@oncall version {number}.")).mentioning(&oncall).replacing(&request);
        office.alice.send(&room, edit).await?;
    }
    office.answer(&office.alice, &room, &oncall, &format!("You asked: @oncall version {EDITS}.")).await?;
    until_runs_ended(&office.workmate, 1).await;

    let calls = office.claude.requests().len();
    assert!(calls <= 6, "{EDITS} edits made {calls} calls");
    assert_eq!(answers_in_thread(&office.alice, &room, &request, &oncall), 1);
    let index = office.workmate.stop_and_read_run_index().await?;
    assert!(index[0]["cost_micro_usd"].as_u64() > Some(0), "what was cut short counts: {}", index[0]);
    Ok(())
}

#[tokio::test]
async fn c6_c23_a_request_that_is_edited_without_end_is_answered_and_its_restarts_are_capped() -> Result<()> {
    let office = Office::open().await?;
    let (room, oncall) = (office.room(RoomKind::Plain).await?, office.oncall());
    let gates: Arc<Mutex<Vec<Gate>>> = Arc::default();
    let held = gates.clone();
    office.claude.respond_with(move |request| {
        let (turn, gate) = Turn::text(format!("You asked: {}", question_of(request))).word_by_word().gate_after(1);
        held.lock().expect("no test panicked").push(gate);
        turn
    });
    let request = office.ask(&office.alice, &room, "version 0.").await?;
    let calls = 6;
    for number in 1..=calls {
        let asked = format!("version {}.", number - 1);
        office.claude.wait_for_request(move |seen| question_of(seen).contains(&asked)).await?;
        let edit = Message::text(format!("@oncall version {number}.")).mentioning(&oncall).replacing(&request);
        office.alice.send(&room, edit).await?;
    }
    let word = |seen: &Timeline| said(seen, &oncall, "Your message changed while I was working").pop();
    let word = office.alice.until(&room, "the word about the edits", word).await?;
    let again = Message::text("@oncall version 99.").mentioning(&oncall).replacing(&request);
    office.alice.send(&room, again).await?;
    gates.lock().expect("no test panicked").iter().for_each(Gate::release);

    office.answer(&office.alice, &room, &oncall, "version 5.").await?;
    assert_eq!(word.thread_root(), Some(request.as_str()));
    assert_eq!(office.claude.requests().len(), calls);
    assert_eq!(said(&office.alice.timeline(&room), &oncall, "Your message changed").len(), 1);
    Ok(())
}

#[tokio::test]
async fn c23_a_burst_finds_what_is_reserved_and_spends_past_a_budget_by_no_more_than_a_call() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    // A call may cost about 0.34 dollars: 16 000 tokens at 20 dollars a million, and its prompt.
    let budgets = json!({"workspace": {"usd_month": "0.50"}});
    let limits = json!({"room_runs_max": 20, "runs_max": 20});
    let set_up = |setup: Setup| setup.section("budgets", budgets).section("limits", limits);
    let mut office = Office::open_for(people, set_up).await?;
    let (room, oncall) = (office.room(RoomKind::Plain).await?, office.oncall());
    let gates: Arc<Mutex<Vec<Gate>>> = Arc::default();
    let held = gates.clone();
    office.claude.respond_with(move |_| {
        let text = "once upon a time ".repeat(4_500);
        let (turn, gate) = Turn::text(text).delta_chars(20_000).gate_after(1);
        held.lock().expect("no test panicked").push(gate);
        turn
    });
    for number in 0..10 {
        for person in [&office.alice, &office.bob] {
            office.ask(person, &room, &format!("tale {number} for {}", person.user_id())).await?;
        }
    }
    let seen = RefCell::new(BTreeSet::new());
    let two = |request: &RecordedRequest| {
        seen.borrow_mut().insert(question_of(request));
        seen.borrow().len() == 2
    };
    office.claude.wait_for_request(two).await?;
    // A command is answered; requests made before it are being worked on or wait.
    office.ask(&office.bob, &room, "!status").await?;
    office.answer(&office.bob, &room, &oncall, "I'm here, working on 20 requests.").await?;
    assert_eq!(office.claude.requests().len(), 2, "two calls may use it up");
    gates.lock().expect("no test panicked").iter().for_each(Gate::release);
    until_runs_ended(&office.workmate, 20).await;

    assert_eq!(office.claude.requests().len(), 2);
    let word = "This workspace's budget is used up for this month ($0.50), so I didn't start.";
    for person in [&office.alice, &office.bob] {
        let told = |seen: &Timeline| {
            said(seen, &oncall, word).into_iter().find(|event| event.mentions(person.user_id())).map(|_| ())
        };
        person.until(&room, "the word about the budget", told).await?;
    }
    assert_eq!(said(&office.alice.timeline(&room), &oncall, word).len(), 2, "one to each");
    // A restart does not reset the breaker.
    office.workmate.kill();
    office.workmate.start_again().await;
    office.ask(&office.alice, &room, "another tale").await?;
    until_runs_ended(&office.workmate, 21).await;
    assert_eq!(office.claude.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn c23_a_used_up_budget_is_told_in_each_room_and_thread_and_no_mention_is_passed_over() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let budgets = json!({"person": {"usd_day": "0.10"}});
    let office = Office::open_for(people, |setup: Setup| setup.section("budgets", budgets)).await?;
    let (one, other) = (office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?);
    let (alice, oncall) = (&office.alice, office.oncall());
    office.claude.respond_with(|_| Turn::text(long_tale()).delta_chars(20_000));
    office.ask(alice, &one, "a tale").await?;
    let tale = office.answer(alice, &one, &oncall, "once upon a time").await?;
    until_runs_ended(&office.workmate, 1).await;

    let beginning = "Your budget is used up for today ($0.10)";
    let told = |seen: &Timeline| said(seen, &oncall, beginning).len();
    let marks = |seen: &Timeline, target: &str| {
        let ours = seen.events.iter().filter(|event| event.sender == oncall && event.kind == "m.reaction");
        let key = json!({"rel_type": "m.annotation", "event_id": target, "key": "💸"});
        ours.filter(|event| event.content["m.relates_to"] == key).count()
    };
    office.ask(alice, &one, "a second one").await?;
    until_runs_ended(&office.workmate, 2).await;
    alice.until(&one, "the word", |seen| (told(seen) == 1).then_some(())).await?;
    // Again in the same place: the word stands there.
    let third = office.ask(alice, &one, "a third one").await?;
    alice.until(&one, "the mark", |seen| (marks(seen, third.as_str()) == 1).then_some(())).await?;
    // In a thread and in another room it does not.
    let root = tale.thread_root().expect("it was answered in a thread").to_owned();
    let root = ruma::OwnedEventId::try_from(root)?;
    alice.send(&one, Message::text("And how does it go on?").mentioning(&oncall).in_thread(&root)).await?;
    alice.until(&one, "the word in the thread", |seen| (told(seen) == 2).then_some(())).await?;
    office.ask(alice, &other, "a tale for this room").await?;
    alice.until(&other, "the word in the other room", |seen| (told(seen) == 1).then_some(())).await?;
    let again = office.ask(alice, &other, "another for this room").await?;
    alice.until(&other, "the mark there", |seen| (marks(seen, again.as_str()) == 1).then_some(())).await?;

    until_runs_ended(&office.workmate, 6).await;
    let words = [&one, &other].map(|room| told(&alice.timeline(room)));
    assert_eq!((words, office.claude.requests().len()), ([2, 1], 1));
    Ok(())
}

#[tokio::test]
async fn c23_again_and_again_counts_as_the_person_s_who_reacts_and_stops_nobody_else() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let limits = json!({"person_requests_max": 3});
    let office = Office::open_for(people, |setup: Setup| setup.section("limits", limits)).await?;
    let (room, oncall) = (office.room(RoomKind::Plain).await?, office.oncall());
    let answer = office.asked_and_answered(&room, "roll the dice").await?;

    for _ in 0..8 {
        let reaction = office.bob.react(&room, &answer.event_id, "🔁").await?;
        office.bob.redact(&room, &reaction).await?;
    }
    let beginning = "That was a lot in a short time: more than 3 requests of yours";
    let told = |seen: &Timeline| said(seen, &oncall, beginning).pop();
    let told = office.bob.until(&room, "the word to bob", told).await?;
    office.asked_and_answered(&room, "are you still there").await?;
    until_runs_ended(&office.workmate, 5).await;

    assert!(told.mentions(office.bob.user_id()));
    let asked = office.questions();
    assert_eq!(asked.iter().filter(|question| question.contains("dice")).count(), 4, "{asked:?}");
    assert_eq!(said(&office.bob.timeline(&room), &oncall, beginning).len(), 1);
    // If Bob had used up Alice's 🔁, hers would do nothing.
    office.alice.react(&room, &answer.event_id, "🔁").await?;
    until_runs_ended(&office.workmate, 6).await;
    assert_eq!(office.questions().len(), 6);
    Ok(())
}

#[tokio::test]
async fn c23_an_assistant_has_a_breaker_and_a_budget() -> Result<()> {
    let limits = json!({"person_requests_max": 4});
    let budgets = json!({"assistant": {"usd_day": "0.10"}});
    let office =
        assistants::Office::open_with(|setup| setup.section("limits", limits).section("budgets", budgets)).await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let rooms = [office.meet(&alice).await?, office.meet(&bob).await?];
    office.claude.respond_with(|request| {
        let dear = request.body.to_string().contains("a long tale");
        if dear { Turn::text("once upon a time ".repeat(4_500)).delta_chars(20_000) } else { Turn::text("Yes.") }
    });

    // Alice keeps writing.
    for number in 0..12 {
        alice.send(&rooms[0], &*format!("are you there? {number}")).await?;
    }
    let assistant = office.assistant_of(&alice);
    let beginning = "That was a lot in a short time: more than 4 requests of yours";
    alice.until(&rooms[0], "the word to alice", |seen| said(seen, &assistant, beginning).pop()).await?;
    until_runs_ended(&office.workmate, 4).await;
    let answer = said(&alice.timeline(&rooms[0]), &assistant, "Yes.").pop().expect("she was answered");
    alice.react(&rooms[0], &answer.event_id, "🔁").await?;
    alice.send(&rooms[0], "!help").await?;
    alice.until(&rooms[0], "help", |seen| said(seen, &assistant, "Just write").pop()).await?;
    assert_eq!(office.claude.requests().len(), 4);
    assert_eq!(said(&alice.timeline(&rooms[0]), &assistant, "That was a lot").len(), 1);

    // Bob asks for something expensive.
    bob.send(&rooms[1], "a long tale, please").await?;
    until_runs_ended(&office.workmate, 5).await;
    bob.send(&rooms[1], "and another").await?;
    bob.send(&rooms[1], "and a third").await?;
    let assistant = office.assistant_of(&bob);
    let beginning = "My budget is used up for today ($0.10), so I didn't start.";
    bob.until(&rooms[1], "the word to bob", |seen| said(seen, &assistant, beginning).pop()).await?;
    until_runs_ended(&office.workmate, 7).await;
    assert_eq!(office.claude.requests().len(), 5);
    assert_eq!(said(&bob.timeline(&rooms[1]), &assistant, beginning).len(), 1);

    // Operators see what assistants cost, and not where.
    let written = audit::told(&office.workmate, "spend --by room --json")?;
    assert!(!rooms.iter().any(|room| written.contains(room.as_str())), "{written}");
    let sums = sums_agree(&office.workmate).await?;
    assert!(sums > 100_000, "{sums}");
    Ok(())
}

/// A text that costs more than ten cents and less than fifty.
fn long_tale() -> String {
    "once upon a time ".repeat(4_500)
}

/// Returns what `audit spend` says.
fn spent_by(workmate: &Workmate, by: &str) -> Result<Value> {
    Ok(serde_json::from_str(&audit::told(workmate, &format!("spend --by {by} --json"))?)?)
}

/// Returns a gauge of the workspace's account this month, in millionths.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test spends little")]
pub(crate) async fn gauge(workmate: &Workmate, name: &str) -> Result<u64> {
    let url = format!("http://{}/metrics", workmate.slot().health_listen);
    let shown = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.text().await?;
    let series = format!("{name}{{scope=\"workspace\",period=\"month\",coworker=\"\"}} ");
    let value = shown.lines().find_map(|line| line.strip_prefix(&series));
    let dollars: f64 = value.ok_or_else(|| anyhow::anyhow!("{series} is not in\n{shown}"))?.parse()?;
    Ok((dollars * 1e6).round() as u64)
}

/// Checks that the sums of `audit spend`, of the index and of the budget agree, and returns them. No run may be going on.
pub(crate) async fn sums_agree(workmate: &Workmate) -> Result<u64> {
    let index = audit::told(workmate, "export")?;
    let entries: Vec<Value> = index.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let in_index: u64 = entries.iter().filter_map(|entry| entry["cost_micro_usd"].as_u64()).sum();
    for by in ["room", "person", "coworker", "model", "day"] {
        let spent = spent_by(workmate, by)?;
        let rows = spent["rows"].as_array().expect("rows").iter();
        let sum: u64 = rows.filter_map(|row| row["cost_micro_usd"].as_u64()).sum();
        assert_eq!(
            (sum, spent["sum"]["cost_micro_usd"].as_u64()),
            (in_index, Some(in_index)),
            "{by}: {spent}\n{index}"
        );
        let report: Value = serde_json::from_str(&audit::told(workmate, &format!("report --by {by} --json"))?)?;
        assert_eq!(report["sum"]["cost_micro_usd"], in_index, "{by}: {report}");
    }
    assert_eq!(gauge(workmate, "workmate_budget_spent_usd").await?, in_index);
    assert_eq!(gauge(workmate, "workmate_budget_reserved_usd").await?, 0);
    Ok(in_index)
}

fn warnings(seen: &Timeline, service: &UserId) -> Vec<String> {
    said(seen, service, "Budgets are running low").iter().map(|event| event.body().to_owned()).collect()
}

/// Asks the service bot for `!status` and returns its answer.
async fn status_of(office: &Office, person: &Person, beginning: &str) -> Result<String> {
    let service = office.workmate.slot().service();
    let dm = person.create_dm(&service).await?;
    person.until(&dm, "the welcome", |seen| seen.messages_of(&service).next().map(|_| ())).await?;
    person.send(&dm, "!status").await?;
    let answer = |seen: &Timeline| said(seen, &service, beginning).pop();
    Ok(person.until(&dm, "the status", answer).await?.body().to_owned())
}

/// Opens an office where Alice is the admin, with a limit of a tale for each person; returns it with the audit room.
async fn with_limits() -> Result<(Office, OwnedRoomId)> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let admins = json!({ "admins": [people[0].user_id()] });
    let budgets = json!({"workspace": {"usd_month": 100}, "person": {"usd_day": "0.10"}, "room": {"usd_day": 50}});
    let office =
        Office::open_for(people, |setup| setup.section("workspace", admins).section("budgets", budgets)).await?;
    let audit = office.alice.until_invited_by(&office.workmate.slot().service()).await?;
    office.alice.join(&audit).await?;
    Ok((office, audit))
}

#[tokio::test]
async fn c23_admins_are_warned_once_and_see_the_ledger_and_all_sums_agree_after_a_crash() -> Result<()> {
    let (mut office, audit) = with_limits().await?;
    let (room, oncall, service) =
        (office.room(RoomKind::Plain).await?, office.oncall(), office.workmate.slot().service());
    let has_crashed = Arc::new(AtomicBool::new(false));
    let crashed = has_crashed.clone();
    office.claude.respond_with(move |_| {
        let turn = Turn::text(long_tale()).delta_chars(20_000);
        if crashed.load(Ordering::Relaxed) { turn } else { turn.gate_after(1).0 }
    });

    // A crash in the middle of Alice's call: what it cost until then counts, and what it costs again.
    office.ask(&office.alice, &room, "a tale").await?;
    office.claude.wait_for_request(|request| question_of(request).contains("a tale")).await?;
    assert!(gauge(&office.workmate, "workmate_budget_reserved_usd").await? > 0);
    office.workmate.kill();
    has_crashed.store(true, Ordering::Relaxed);
    office.workmate.start_again().await;
    office.ask(&office.bob, &room, "another tale").await?;
    until_runs_ended(&office.workmate, 2).await;
    let warned = |seen: &Timeline| {
        let all = warnings(seen, &service).concat();
        (all.contains("alice") && all.contains("bob")).then_some(all)
    };
    let told = office.alice.until(&audit, "the warning", warned).await?;
    assert!(told.contains("of $0.10 today, used up") && !told.contains("A room"), "{told}");
    let all_told = warnings(&office.alice.timeline(&audit), &service);

    // Bob's 🔁 of what Alice asked counts as his, and is declined in plain words.
    let answer = said(&office.bob.timeline(&room), &oncall, "once upon a time").pop().expect("an answer");
    let calls = office.claude.requests().len();
    office.bob.react(&room, &answer.event_id, "🔁").await?;
    let word = |seen: &Timeline| {
        said(seen, &oncall, "Your budget is used up for today ($0.10)").into_iter().find(|event| {
            event.mentions(office.bob.user_id()) && event.body().contains("The person who runs Workmate can raise it")
        })
    };
    office.bob.until(&room, "the word to bob", word).await?;
    until_runs_ended(&office.workmate, 3).await;
    assert_eq!(office.claude.requests().len(), calls);

    let status = status_of(&office, &office.alice, "Workmate ").await?;
    for part in ["Spent: $", "of $100 this month", "oncall: $", "People, $0.10 a day each: 0 past 80 %, 2 used up"] {
        assert!(status.replace('`', "").contains(part), "{part} is not in {status}");
    }
    let own = status_of(&office, &office.bob, "You've used $").await?;
    assert!(own.contains("of $0.10 today") && !own.contains("oncall"), "{own}");

    let before = sums_agree(&office.workmate).await?;
    let people = spent_by(&office.workmate, "person")?;
    assert_eq!(people["rows"].as_array().map(Vec::len), Some(2), "{people}");
    // Stopped, the store says the same; and nobody is warned again.
    let running = spent_by(&office.workmate, "room")?;
    office.workmate.stop().await;
    assert_eq!(spent_by(&office.workmate, "room")?, running);
    office.workmate.start_again().await;
    office.ask(&office.bob, &room, "!status").await?;
    office.answer(&office.bob, &room, &oncall, "This room has used $").await?;
    assert_eq!(sums_agree(&office.workmate).await?, before);
    assert_eq!(warnings(&office.alice.timeline(&audit), &service), all_told);
    Ok(())
}
