//! Work at set times (C20) and reminders (A12): each due time once, whatever ends in between.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::json;
use workmate::standin::{BatchPlan, Matcher, RecordedRequest, Turn};

use crate::{
    assistants,
    harness::{
        Message, Person, RoomKind, SeenEvent, Timeline,
        homeserver::shared,
        office::{Office, question_of},
        readiness::{is_ready, readiness},
        workmate::{Clock, Workmate, coworker, date, give_schedules, now_s},
    },
    spending::sums_agree,
};

/// How long after the start the first schedules are due: longer than a start takes.
const DUE_AFTER_S: i64 = 25;

/// Waits until the wall clock shows a moment.
async fn until_clock(at_s: i64) {
    while now_s() < at_s {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Damages a record, while Workmate does not run.
fn damage(workmate: &Workmate, table: &str, key: &str) -> Result<()> {
    let db = sled::open(workmate.data_dir().join("state"))?;
    db.open_tree(table)?.insert(key, &b"no sealed value at all, but long enough"[..])?;
    db.flush()?;
    Ok(())
}

/// Has the task with these words answered by a turn.
fn script(office: &Office, task: &'static str, turn: Turn) {
    let asks = move |request: &RecordedRequest| request.body["messages"].to_string().contains(task);
    office.claude.on(Matcher::when("a schedule's task", asks), turn);
}

fn notices<'a>(seen: &'a Timeline, user: &'a UserId, name: &'a str) -> Vec<&'a SeenEvent> {
    seen.messages_of(user).filter(|event| event.body().starts_with(&format!("🗓️ {name}"))).collect()
}

/// Waits for the answer in the thread of a schedule's notice.
async fn answered(person: &Person, room: &RoomId, user: &UserId, name: &str, text: &str) -> Result<SeenEvent> {
    let find = |seen: &Timeline| {
        let root = notices(seen, user, name).first()?.event_id.to_string();
        seen.messages_of(user)
            .find(|event| event.thread_root() == Some(root.as_str()) && event.body().contains(text))
            .cloned()
    };
    person.until(room, &format!("the answer of {name}"), find).await
}

/// Returns what finds a message of a user that contains this.
fn says(user: &UserId, text: &'static str) -> impl Fn(&Timeline) -> Option<SeenEvent> {
    let user = user.to_owned();
    move |seen: &Timeline| seen.messages_of(&user).find(|event| event.body().contains(text)).cloned()
}

/// Opens an office whose clock can be moved, with a room.
async fn office_with_room(clock: &Clock) -> Result<(Office, OwnedRoomId)> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup| clock.on(setup.coworkers(vec![coworker("oncall")]))).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    Ok((office, room))
}

#[tokio::test]
async fn c20_a_due_time_runs_once_through_a_kill_and_a_missed_one_says_that_it_is_late_or_is_skipped() -> Result<()> {
    let clock = Clock::new();
    let (mut office, room) = office_with_room(&clock).await?;
    // A room in which it may not speak holds up no other of the list.
    let silent = office.room(RoomKind::Plain).await?;
    let path = format!("_matrix/client/v3/rooms/{silent}/state/m.room.power_levels");
    let mut levels = assistants::call_as(&office.alice, Method::GET, &path, &json!({})).await?;
    levels["users"][office.oncall().as_str()] = json!(-1);
    assistants::call_as(&office.alice, Method::PUT, &path, &levels).await?;
    let (oncall, bob) = (office.oncall(), office.bob.user_id().to_owned());
    let (turn, gate) = Turn::text("Good morning, all is well.").gate_after(1);
    script(&office, "TASK-GREET", turn);
    script(&office, "TASK-GREET", Turn::text("Good morning, all is well."));
    script(&office, "TASK-LATE", Turn::text("Better late than never."));
    office.workmate.stop().await;
    let due = now_s() + DUE_AFTER_S;
    let schedule =
        |name: &str, at: i64, task: &str| json!({"name": name, "when": date(at), "rooms": [room], "task": task});
    let mut skipped = schedule("skipped", due + 4, "TASK-SKIPPED");
    skipped["grace_minutes"] = json!(0);
    let mut greet = schedule("greet", due, "TASK-GREET");
    greet["mention"] = json!([bob]);
    greet["rooms"] = json!([silent, room]);
    damage(&office.workmate, "schedules", "!broken:localhost")?;
    give_schedules(&office.workmate, &json!([greet, schedule("late", due + 4, "TASK-LATE"), skipped]));
    office.workmate.start_again().await;

    gate.reached().await;
    office.workmate.kill();
    // Whoever is away for longer than a restart takes is late.
    until_clock(due + 5).await;
    clock.ahead(90);
    office.workmate.start_again().await;

    let greeting = answered(&office.bob, &room, &oncall, "greet", "Good morning").await?;
    assert!(greeting.mentions(&bob) && !greeting.mentions(office.alice.user_id()), "{}", greeting.body());
    let late = answered(&office.alice, &room, &oncall, "late", "Better late").await?;
    assert!(!late.mentions(office.alice.user_id()), "nobody is to be mentioned");
    assert!(late.body().contains("late"), "{}", late.body());
    office.asked_and_answered(&room, "and now?").await?;
    let seen = office.alice.timeline(&room);
    let counts = ["greet", "late", "skipped"].map(|name| notices(&seen, &oncall, name).len());
    assert_eq!(counts, [1, 1, 0], "{seen}");
    let answers = seen.messages_of(&oncall).filter(|event| event.body().contains("Good morning")).count();
    assert_eq!(answers, 1, "{seen}");
    // The damaged record left out what it was about, and nothing else.
    let (status, conditions) = readiness(&office.workmate).await?;
    assert_eq!((status, is_ready(&conditions, "schedules")), (200, false), "{conditions}");
    assert!(
        conditions["schedules"]["reason"].as_str().is_some_and(|why| why.contains("!broken:localhost")),
        "{conditions}"
    );
    let logs = office.workmate.logs();
    assert!(logs.contains("a due time is skipped"), "the log says why nothing came");
    assert!(logs.contains("not_there"), "and that it could not speak in the first room");
    Ok(())
}

#[tokio::test]
async fn c20_c23_what_may_wait_goes_as_one_batch_through_a_kill_is_stopped_or_falls_back_and_costs_half() -> Result<()>
{
    let clock = Clock::new();
    let (mut office, room) = office_with_room(&clock).await?;
    let oncall = office.oncall();
    for (task, text) in [
        ("TASK-WAITS", "All was calm."),
        ("TASK-STOPPED", "Nobody reads this."),
        ("TASK-EXPIRES", "Nobody reads this."),
        ("TASK-EXPIRES", "Asked again, and calm."),
        ("TASK-LOST", "Found again."),
        ("TASK-SLOW", "Nobody reads this."),
        ("TASK-SLOW", "In time after all."),
    ] {
        script(&office, task, Turn::text(text));
    }
    let (waiting, gate) = BatchPlan::waiting();
    office.claude.plan_batch(waiting.for_text("TASK-WAITS"));
    office.claude.plan_batch(BatchPlan::waiting().0.for_text("TASK-STOPPED"));
    office.claude.plan_batch(BatchPlan::waiting().0.for_text("TASK-SLOW"));
    office.claude.plan_batch(BatchPlan::default().outcome("expired").for_text("TASK-EXPIRES"));
    office.claude.plan_batch(BatchPlan::default().loses_reply().for_text("TASK-LOST"));
    office.workmate.stop().await;
    let due = now_s() + DUE_AFTER_S;
    let schedule = |name: &str, task: &str| {
        json!({"name": name, "when": date(due), "rooms": [room], "task": task, "latency": "batch",
               "answer_within_hours": 1})
    };
    give_schedules(
        &office.workmate,
        &json!([
            schedule("waits", "TASK-WAITS"),
            schedule("stopped", "TASK-STOPPED"),
            schedule("expires", "TASK-EXPIRES"),
            schedule("lost", "TASK-LOST"),
            schedule("slow", "TASK-SLOW")
        ]),
    );
    office.workmate.start_again().await;

    // One that brings nothing is asked again in a normal call; one whose creation had no reply is found.
    answered(&office.bob, &room, &oncall, "expires", "Asked again, and calm.").await?;
    answered(&office.bob, &room, &oncall, "lost", "Found again.").await?;
    let status = answered(&office.bob, &room, &oncall, "stopped", "half price").await?;
    office.bob.react(&room, &status.event_id, "🛑").await?;
    answered(&office.bob, &room, &oncall, "waits", "half price").await?;
    answered(&office.bob, &room, &oncall, "slow", "half price").await?;
    let made = |office: &Office| {
        let calls = office.claude.batch_calls();
        calls.iter().filter(|call| call.route == "POST /v1/messages/batches").count()
    };
    assert_eq!(made(&office), 5);

    office.workmate.kill();
    gate.release();
    office.workmate.start_again().await;
    let answer = answered(&office.alice, &room, &oncall, "waits", "All was calm.").await?;
    let root = answer.thread_root().map(ToOwned::to_owned).expect("it is in a thread");
    assert_eq!(made(&office), 5, "no second batch");
    office.alice.send(&room, Message::text("!why").replying_to(&answer.event_id)).await?;
    office.alice.until(&room, "that it was batched", says(&oncall, "as a batch, at half price")).await?;
    office.ask(&office.alice, &room, "!schedules").await?;
    office
        .alice
        .until(&room, "what may wait", says(&oncall, "at half price as a batch, answered within an hour"))
        .await?;
    // 15 minutes before its answer is due, one that is not there is cancelled, and asked in a normal call.
    let month = |at_s: i64| date(at_s)[..7].to_owned();
    let (ahead, began) = (46 * 60, now_s());
    clock.ahead(ahead);
    answered(&office.alice, &room, &oncall, "slow", "In time after all.").await?;
    // Whatever was made is cleared away.
    office.claude.wait_until_no_batch_is_left().await?;
    let seen = office.alice.timeline(&room);
    let answers = seen.messages_of(&oncall).filter(|event| event.body().contains("All was calm.")).count();
    assert_eq!(answers, 1, "{root}: {seen}");
    assert!(!seen.messages_of(&oncall).any(|event| event.body().contains("Nobody reads this.")), "{seen}");
    // What was answered in batches counts half, wherever it is added up; nothing stays reserved.
    if month(began) == month(now_s() + ahead) {
        sums_agree(&office.workmate).await?;
    }
    Ok(())
}

/// A model that sets up what it is told to and says how that went, and otherwise repeats the question.
fn secretary(request: &RecordedRequest) -> Turn {
    let last = request.body["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let blocks = last["content"].as_array().cloned().unwrap_or_default();
    if let Some(result) = blocks.iter().find(|block| block["type"] == "tool_result") {
        return Turn::text(format!("It said: {}", result["content"]));
    }
    let question = question_of(request);
    match question.split_once("set up ") {
        Some((_, when)) => {
            Turn::tool_use("schedule_add", json!({"when": when, "zone": "Europe/Berlin", "task": "Water the plants."}))
        }
        None => Turn::text(format!("You asked: {question}")),
    }
}

#[tokio::test]
async fn c20_a_room_sets_up_work_that_its_asker_approves_and_ends_it_again() -> Result<()> {
    let mut oncall = coworker("oncall");
    oncall["tools"] = json!(["schedule_add"]);
    let clock = Clock::new();
    let people = [shared().person("alice").await, shared().person("bob").await];
    let mut office = Office::open_for(people, |setup| clock.on(setup.coworkers(vec![oncall]))).await?;
    office.claude.respond_with(secretary);
    let room = office.room(RoomKind::Encrypted).await?;
    let oncall = office.oncall();
    office.ask(&office.bob, &room, "set up every weekday at 09:00").await?;
    let card = says(&oncall, "It would be due next on:");
    let card = office.bob.until(&room, "the card with due times", card).await?;
    // Bob's zone is not known, so that the schedule's own counts.
    assert_eq!(card.body().matches(", 09:00 CE").count(), 3, "{}", card.body());
    office.bob.react(&room, &card.event_id, "✅").await?;
    office.answer(&office.bob, &room, &oncall, "It said:").await?;

    office.ask(&office.alice, &room, "!schedules").await?;
    let list = office.alice.until(&room, "the list", says(&oncall, "every weekday at 09:00 · next on")).await?;
    assert!(list.body().contains(office.bob.user_id().as_str()), "{}", list.body());
    // Alice made the room, so she is a moderator.
    office.ask(&office.alice, &room, "!unschedule 1").await?;
    office.alice.until(&room, "that it ended", says(&oncall, "Schedule 1 has ended.")).await?;
    office.ask(&office.bob, &room, "!unschedule 1").await?;
    office.alice.until(&room, "that there is none", says(&oncall, "There is no schedule 1")).await?;

    // It ends with the coworker's leaving.
    office.ask(&office.bob, &room, "set up every sunday at 10:00").await?;
    let fourth = |seen: &Timeline| {
        let cards = seen.messages_of(&oncall).filter(|event| event.body().contains("It would be due next on:"));
        cards.last().filter(|last| last.event_id != card.event_id).cloned()
    };
    let second = office.bob.until(&room, "the second card", fourth).await?;
    office.bob.react(&room, &second.event_id, "✅").await?;
    let said = |seen: &Timeline| seen.messages_of(&oncall).filter(|event| event.body().contains("It said:")).count();
    office.bob.until(&room, "that it is set up", |seen| (said(seen) == 2).then_some(())).await?;
    office.ask(&office.alice, &room, "!schedules").await?;
    office.alice.until(&room, "the list", says(&oncall, "every sunday at 10:00 · next on")).await?;
    office.alice.room(&room)?.kick_user(&oncall, None).await?;
    office.alice.until_membership(&room, &oncall, &MembershipState::Leave).await?;
    office.alice.invite(&room, &oncall).await?;
    office.alice.until_membership(&room, &oncall, &MembershipState::Join).await?;
    office.ask(&office.alice, &room, "!schedules").await?;
    office.alice.until(&room, "that nothing is left", says(&oncall, "I have no schedules in this room.")).await?;

    // What cannot be set up says so on the card, and to the model.
    office.ask(&office.bob, &room, "set up every 5 minutes").await?;
    let card = says(&oncall, "This can't be set up");
    let card = office.bob.until(&room, "the card that says why not", card).await?;
    office.bob.react(&room, &card.event_id, "✅").await?;
    office.answer(&office.bob, &room, &oncall, "more often than every 15 minutes").await?;

    // One that comes once and is missed would be gone without a word.
    office.ask(&office.bob, &room, "set up in 20 minutes").await?;
    let third = |seen: &Timeline| {
        seen.messages_of(&oncall).filter(|event| event.body().contains("It would be due next on:")).nth(2).cloned()
    };
    let card = office.bob.until(&room, "the third card", third).await?;
    office.bob.react(&room, &card.event_id, "✅").await?;
    office.bob.until(&room, "that it is set up", |seen| (said(seen) == 4).then_some(())).await?;
    office.workmate.stop().await;
    clock.ahead(2 * 3_600);
    office.workmate.start_again().await;
    office.alice.until(&room, "that it was missed", says(&oncall, "· missed · set up by")).await?;
    Ok(())
}

#[tokio::test]
async fn a12_a_reminder_notifies_its_owner_once_through_a_kill_and_is_gone_when_forgotten() -> Result<()> {
    let clock = Clock::new();
    let mut office = assistants::Office::open_with(|setup| {
        clock.on(setup.section("assistants", json!({"enabled": true, "tools": ["reminder_add", "task_add"]})))
    })
    .await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let says = |text: &'static str| says(&assistant, text);
    alice.send(&room, "!remind tomorrow at 10 call Anna").await?;
    alice.until(&room, "the question for her zone", says("I don't know your time zone")).await?;
    alice.send(&room, "!zone Europe/Berlin").await?;
    alice.until(&room, "her zone", says("where you are")).await?;
    office.claude.on(
        Matcher::user("remind me"),
        Turn::tool_use("reminder_add", json!({"when": "tomorrow at 10", "text": "call Anna"})),
    );
    office.claude.enqueue(Turn::text("I will remind you."));
    alice.send(&room, "remind me tomorrow at ten to call Anna").await?;
    office.answered(&alice, &room, "I will remind you.").await?;
    let due = now_s() + 20;
    alice.send(&room, "!remind 20s tea").await?;
    alice.until(&room, "a promise", says("I'll remind you on")).await?;
    alice.send(&room, "!remind coffee in 2 seconds").await?;
    let coffee = alice.until(&room, "the first reminder", says("⏰ coffee")).await?;
    assert!(coffee.mentions(alice.user_id()) && coffee.content["msgtype"] == "m.text", "{}", coffee.body());

    // An edit takes the place of what it said before.
    let milk = alice.send(&room, "!remind 11:00 milk").await?;
    let said =
        |seen: &Timeline| seen.messages_of(&assistant).filter(|event| event.body().starts_with("I'll remind")).count();
    alice.until(&room, "a third promise", |seen| (said(seen) == 3).then_some(())).await?;
    alice.send(&room, Message::text("!remind 12:00 milk").replacing(&milk)).await?;
    alice.until(&room, "a fourth promise", |seen| (said(seen) == 4).then_some(())).await?;
    let beer = alice.send(&room, "!remind 13:00 beer").await?;
    alice.until(&room, "a fifth promise", |seen| (said(seen) == 5).then_some(())).await?;
    alice.send(&room, Message::text("never mind").replacing(&beer)).await?;
    alice
        .until(&room, "that it is gone", |seen| {
            seen.messages_of(&assistant).find(|event| event.body().ends_with(" is gone.")).map(|_| ())
        })
        .await?;

    office.workmate.kill();
    until_clock(due + 1).await;
    clock.ahead(90);
    office.workmate.start_again().await;
    let tea = alice.until(&room, "the late reminder", says("⏰ tea")).await?;
    assert!(tea.mentions(alice.user_id()) && tea.body().contains("This was due on"), "{}", tea.body());
    alice.send(&room, "!reminders").await?;
    let list = alice.until(&room, "what is left", says("call Anna (")).await?;
    assert!(list.body().contains("10:00 CE") && !list.body().contains("tea"), "{}", list.body());
    assert!(list.body().contains("12:00 CE") && !list.body().contains("11:00 CE"), "{}", list.body());
    let seen = alice.timeline(&room);
    assert_eq!(seen.messages_of(&assistant).filter(|event| event.body().starts_with('⏰')).count(), 2, "{seen}");

    // Who deletes what they asked for takes it back.
    alice.redact(&room, &milk).await?;
    alice.send(&room, "!reminders").await?;
    let second = |seen: &Timeline| {
        seen.messages_of(&assistant).filter(|event| event.body().contains("call Anna (")).nth(1).cloned()
    };
    let list = alice.until(&room, "the list without it", second).await?;
    assert!(!list.body().contains("milk"), "{}", list.body());

    alice.send(&room, "!forget").await?;
    alice.send(&room, "!reminders").await?;
    alice.until(&room, "that nothing is left", says("You have no reminders")).await?;
    Ok(())
}

#[tokio::test]
async fn a12_an_assistant_works_for_its_owner_at_set_times_once_through_a_kill_and_only_in_their_chat() -> Result<()> {
    let clock = Clock::new();
    let mut office = assistants::Office::open_with(|setup| {
        clock.on(setup.section("assistants", json!({"enabled": true, "tools": ["task_add"]})))
    })
    .await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let says = |text: &'static str| says(&assistant, text);
    alice.send(&room, "!zone Europe/Berlin").await?;
    alice.until(&room, "her zone", says("where you are")).await?;

    // The model sets it up, and she approves what it says.
    office.claude.on(
        Matcher::user("every Friday at four"),
        Turn::tool_use("task_add", json!({"when": "every friday at 16:00", "task": "Sum up TASK-WEEK."})),
    );
    office.claude.enqueue(Turn::text("I will, every Friday."));
    alice.send(&room, "every Friday at four, sum up what I missed").await?;
    let card = alice.until(&room, "the card", says("It would be due next on:")).await?;
    assert_eq!(card.body().matches("Friday, ").count(), 3, "{}", card.body());
    assert!(card.body().contains("16:00 CE"), "her own zone: {}", card.body());
    alice.react(&room, &card.event_id, "✅").await?;
    office.answered(&alice, &room, "I will, every Friday.").await?;

    // By her own command; killed while the model works, and due again as a clock set back says.
    let (turn, gate) = Turn::text("Here is TASK-NOW, done.").gate_after(1);
    let now = |request: &RecordedRequest| request.body["messages"].to_string().contains("Do TASK-NOW.");
    office.claude.on(Matcher::when("the task", now), turn);
    office.claude.on(Matcher::when("the task", now), Turn::text("Here is TASK-NOW, done."));
    alice.send(&room, "!schedule 3s Do TASK-NOW.").await?;
    alice.until(&room, "a promise", says("I'll do that on")).await?;
    gate.reached().await;
    office.workmate.kill();
    clock.ahead(-3_600);
    office.workmate.start_again().await;
    office.answered(&alice, &room, "Here is TASK-NOW, done.").await?;
    alice.send(&room, "!reminders").await?;
    let list = alice.until(&room, "what is left", says("Sum up TASK-WEEK")).await?;
    assert!(!list.body().contains("TASK-NOW"), "it came once: {}", list.body());
    let seen = alice.timeline(&room);
    let notices = seen.messages_of(&assistant).filter(|event| event.body().starts_with("🗓️ Do TASK-NOW"));
    assert_eq!(notices.count(), 1, "{seen}");
    let rooms = office.rooms_of_assistant(&alice).await?;
    assert_eq!(rooms.as_array().map(Vec::len), Some(1), "it speaks nowhere else");

    // Once more by 🔁, with the task that it had.
    let answer = office.answered(&alice, &room, "Here is TASK-NOW, done.").await?;
    office.claude.on(Matcher::when("the task", now), Turn::text("TASK-NOW again."));
    alice.react(&room, &answer.event_id, "🔁").await?;
    office.answered(&alice, &room, "TASK-NOW again.").await?;

    alice.send(&room, "!forget").await?;
    alice.send(&room, "!reminders").await?;
    alice.until(&room, "that nothing is left", says("You have no reminders")).await?;
    Ok(())
}
