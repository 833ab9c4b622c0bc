//! What stays of runs (C13): the audit room, `workmate audit` with Workmate running and stopped, `!why`, retention.

use std::{
    fs,
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use ruma::{EventId, OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use workmate::{
    clock,
    core::{
        audit::{RunKey, RunSummary},
        time::Timestamp,
    },
    secret::MasterSecret,
    standin::Turn,
    store::Store,
};

use crate::{
    assistants::FIRST_WORDS,
    harness::{
        Message, Person, RoomKind, SeenEvent, Setup, Timeline, Workmate,
        homeserver::shared,
        office::Office,
        readiness::{reconfigure, until_runs_ended},
    },
    privacy::on_disk,
};

/// Canaries in a question, an answer, a room's name and an assistant's chat; they appear nowhere else.
const CANARIES: [&str; 4] = ["Wendehals-1234", "Bienenfresser-77", "Steinkauz-room", "Mauersegler-99"];

/// Opens an office with Alice as admin; returns it with the audit room, which she has joined.
async fn with_audit_room() -> Result<(Office, OwnedRoomId)> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let admins = json!({ "admins": [people[0].user_id()] });
    let office = Office::open_for(people, |setup: Setup| setup.section("workspace", admins)).await?;
    let room = office.alice.until_invited_by(&office.workmate.slot().service()).await?;
    office.alice.join(&room).await?;
    Ok((office, room))
}

/// Runs `workmate audit …` as an operator does.
fn ask(workmate: &Workmate, line: &str) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.arg("audit").args(line.split_whitespace()).arg("--config").arg(workmate.config());
    Ok(command.env_remove("ANTHROPIC_API_KEY").output()?)
}

/// Returns the output of a successful `workmate audit …`.
pub(crate) fn told(workmate: &Workmate, line: &str) -> Result<String> {
    let output = ask(workmate, line)?;
    anyhow::ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the runs of a JSON lines export.
fn exported(workmate: &Workmate, filters: &str) -> Result<Vec<Value>> {
    let text = told(workmate, &format!("export {filters}"))?;
    text.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

/// Waits for a line in the audit room that links to an event.
async fn line_about(office: &Office, audit: &RoomId, event: &EventId) -> Result<SeenEvent> {
    let service = office.workmate.slot().service();
    let links = |seen: &Timeline| seen.messages_of(&service).find(|line| line.body().contains(event.as_str())).cloned();
    office.alice.until(audit, "the audit room's line", links).await
}

fn lines(office: &Office, audit: &RoomId) -> usize {
    let seen = office.alice.timeline(audit);
    seen.messages_of(&office.workmate.slot().service()).count()
}

async fn asked_privately(person: &Person, assistant: &UserId, question: &str) -> Result<()> {
    person.create_dm(assistant).await?;
    let room = person.until_invited_by(assistant).await?;
    person.join(&room).await?;
    let said =
        |seen: &Timeline, text: &str| seen.messages_of(assistant).any(|said| said.body().contains(text)).then_some(());
    person.until(&room, "the first words", |seen| said(seen, FIRST_WORDS)).await?;
    person.send(&room, question).await?;
    person.until(&room, "the assistant's answer", |seen| said(seen, "Quite so.")).await
}

#[tokio::test]
async fn c13_the_audit_room_and_the_index_tell_of_runs_and_nothing_of_their_content() -> Result<()> {
    let (mut office, audit) = Box::pin(with_audit_room()).await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let team = alice.create_room(RoomKind::Encrypted, CANARIES[2], &[office.bob.user_id()]).await?;
    office.join_on_invite(&office.bob, &team).await?;
    office.bring(&team, &oncall).await?;

    office.script(CANARIES[3], Turn::text("Quite so."));
    let assistant = office.workmate.slot().assistant(alice.user_id().localpart());
    asked_privately(alice, &assistant, CANARIES[3]).await?;
    until_runs_ended(&office.workmate, 1).await;
    office.script(CANARIES[0], Turn::text(format!("It is {}.", CANARIES[1])));
    let request = office.ask(&office.bob, &team, CANARIES[0]).await?;
    let answer = office.answer(&office.bob, &team, &oncall, CANARIES[1]).await?;

    let line = line_about(&office, &audit, &answer.event_id).await?;
    assert!(line.is_decrypted() && line.msgtype() == "m.notice", "{line:?}");
    for part in ["oncall done", office.bob.user_id().as_str(), team.as_str(), "tokens", "$"] {
        assert!(line.body().replace('`', "").contains(part), "{part} is missing in {}", line.body());
    }
    assert_eq!(line.content["m.mentions"], json!({}));
    assert_eq!(lines(&office, &audit), 1, "the assistant's run is not told: {}", alice.timeline(&audit));

    until_runs_ended(&office.workmate, 2).await;
    let live = check_index(&office, &team, &request, &answer)?;
    let found = format!("{}{live}", alice.timeline(&audit));
    office.workmate.stop().await;
    let stopped = check_index(&office, &team, &request, &answer)?;
    assert_eq!(live, stopped, "a stopped workmate's store says what the running one said");
    let leaks: Vec<_> = CANARIES.into_iter().filter(|canary| found.contains(canary)).collect();
    assert_eq!(leaks, Vec::<&str>::new(), "{found}");
    let (logs, files) = (office.workmate.logs(), on_disk(&office.workmate.data_dir())?);
    let holds = |canary: &&str| logs.contains(*canary) || files.iter().any(|file| file.holds(canary));
    assert_eq!(CANARIES.into_iter().filter(holds).collect::<Vec<_>>(), Vec::<&str>::new());
    Ok(())
}

/// Asks `workmate audit` in every way; returns the whole output.
fn check_index(office: &Office, team: &RoomId, request: &EventId, answer: &SeenEvent) -> Result<String> {
    let workmate = &office.workmate;
    let (bob, alice) = (office.bob.user_id(), office.alice.user_id());
    let all = exported(workmate, "--format jsonl")?;
    let [coworkers, assistants] = all.as_slice() else { anyhow::bail!("two runs, newest first, not {all:?}") };
    let id = coworkers["run"].as_str().context("a run has an id")?;
    for (key, expected) in [
        ("kind", json!("coworker")),
        ("coworker", json!("oncall")),
        ("asker", json!(bob)),
        ("room", json!(team)),
        ("request", json!(request)),
        ("thread", json!(request)),
        ("answer", json!(answer.event_id)),
        ("outcome", json!("done")),
        ("model_calls", json!(1)),
    ] {
        assert_eq!(coworkers[key], expected, "{key} of {coworkers}");
    }
    assert!(coworkers["read"].as_array().is_some_and(|read| read.contains(&json!(request))), "{coworkers}");
    assert!(
        coworkers["input_tokens"].as_u64() > Some(0) && coworkers["cost_micro_usd"].as_u64() > Some(0),
        "{coworkers}"
    );
    for (key, expected) in [("kind", json!("assistant")), ("asker", json!(alice)), ("outcome", json!("done"))] {
        assert_eq!(assistants[key], expected, "{key} of {assistants}");
    }
    for hidden in ["room", "request", "answer", "thread", "read_span"] {
        assert_eq!(assistants[hidden], Value::Null, "{assistants}");
    }
    assert_eq!(assistants["read"], json!([]));

    for (filters, expected) in [
        ("--coworker oncall".to_owned(), vec![coworkers]),
        ("--coworker ci".to_owned(), vec![]),
        (format!("--room {team}"), vec![coworkers]),
        (format!("--person {alice}"), vec![assistants]),
        ("--outcome done --limit 1".to_owned(), vec![coworkers]),
        ("--outcome failed".to_owned(), vec![]),
        ("--tool room_search".to_owned(), vec![]),
        ("--since 1h".to_owned(), vec![coworkers, assistants]),
        ("--until 1h".to_owned(), vec![]),
        ("--until 2000-01-01".to_owned(), vec![]),
    ] {
        let found = exported(workmate, &filters)?;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filters}");
    }

    let csv = told(workmate, "export --format csv")?;
    let mut table = csv::Reader::from_reader(csv.as_bytes());
    let names = table.headers()?.clone();
    let rows = table.records().collect::<Result<Vec<_>, _>>()?;
    let cell = |row: usize, name: &str| names.iter().position(|found| found == name).map(|at| rows[row][at].to_owned());
    assert_eq!((rows.len(), cell(0, "run").as_deref()), (2, Some(id)));
    assert_eq!((cell(0, "asker"), cell(1, "room")), (Some(bob.to_string()), Some(String::new())));

    let (list, shown) = (told(workmate, "list")?, told(workmate, &format!("show {}", &id[..10]))?);
    let fits = |line: &str| line.starts_with(' ') || line.chars().count() <= 80;
    assert!(list.lines().count() == 5 && list.lines().all(fits), "{list}");
    assert!(shown.contains(answer.event_id.as_str()) && shown.contains("outcome   done"), "{shown}");
    let unknown = ask(workmate, "show 000000000000")?;
    let why = String::from_utf8(unknown.stderr)?;
    assert!(!unknown.status.success() && why.contains("no run has this id\n  Mend: look it up"), "{why}");
    Ok(format!("{all:?}\n{csv}\n{list}\n{shown}"))
}

#[tokio::test]
async fn c13_the_audit_room_is_found_again_and_follows_the_list_of_admins() -> Result<()> {
    let (mut office, audit) = Box::pin(with_audit_room()).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let answer = office.asked_and_answered(&room, "before the loss").await?;
    line_about(&office, &audit, &answer.event_id).await?;
    office.workmate.stop().await;

    // All stores are lost, and Bob becomes an admin too.
    fs::remove_dir_all(office.workmate.data_dir())?;
    set_admins(&office.workmate, &[office.alice.user_id(), office.bob.user_id()])?;
    office.workmate.start_again().await;
    office.join_on_invite(&office.bob, &audit).await?;
    let answer = office.asked_and_answered(&room, "after the loss").await?;
    line_about(&office, &audit, &answer.event_id).await?;

    office.workmate.stop().await;
    set_admins(&office.workmate, &[office.alice.user_id()])?;
    office.workmate.start_again().await;
    office.alice.until_membership(&audit, office.bob.user_id(), &MembershipState::Leave).await?;
    let levels = office.alice.room(&audit)?.power_levels().await?;
    let service = office.workmate.slot().service();
    let may_post = |user: &UserId| levels.user_can_send_message(user, ruma::events::MessageLikeEventType::RoomMessage);
    assert!(may_post(&service) && !may_post(office.alice.user_id()), "only the service bot writes there");
    Ok(())
}

fn set_admins(workmate: &Workmate, admins: &[&UserId]) -> Result<()> {
    reconfigure(&workmate.config(), |config| config["workspace"] = json!({ "admins": admins }))
}

#[tokio::test]
async fn c13_without_admins_there_is_no_audit_room_and_the_index_is_kept() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    office.asked_and_answered(&room, "who keeps books?").await?;
    until_runs_ended(&office.workmate, 1).await;
    assert_eq!(exported(&office.workmate, "")?.len(), 1);
    assert!(!office.workmate.logs().contains("the audit room was made"));
    Ok(())
}

#[tokio::test]
async fn c13_why_names_what_an_answer_was_made_of_in_a_reply_in_its_thread_and_after_a_restart() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let said = office.bob.send(&room, "The build broke at noon.").await?;
    let answer = office.asked_and_answered(&room, "what broke?").await?;
    let request = answer.thread_root().context("it is in a thread")?.to_owned();
    until_runs_ended(&office.workmate, 1).await;

    let why = Message::text("!why").replying_to(&answer.event_id);
    let asked = office.bob.send(&room, why).await?;
    let told = until_told(&office, &room, "For that answer I read").await?;
    for part in [said.as_str(), &request, "used no tools", "tokens"] {
        assert!(told.body().contains(part), "{part} is missing in {}", told.body());
    }
    assert!(!told.body().contains("build broke") && told.msgtype() == "m.notice", "{}", told.body());
    assert_eq!(told.thread_root(), Some(asked.as_str()), "it answers where it was asked");

    office.workmate.stop().await;
    office.workmate.start_again().await;
    let root = EventId::parse(&request)?;
    let in_thread = Message::text("@oncall !why").pill("@oncall", &office.oncall()).in_thread(&root);
    office.alice.send(&room, in_thread).await?;
    let oncall = office.oncall();
    let again = |seen: &Timeline| {
        let mut told = seen.messages_of(&oncall).filter(|said| said.body().contains("For that answer I read"));
        told.find(|told| told.thread_root() == Some(request.as_str())).cloned()
    };
    let again = office.alice.until(&room, "why, after the restart", again).await?;
    assert_eq!(again.body(), told.body());

    office.ask(&office.alice, &room, "!why").await?;
    until_told(&office, &room, "I don't know which answer you mean").await?;
    assert_eq!(office.questions().len(), 1, "no model is asked");
    Ok(())
}

async fn until_told(office: &Office, room: &RoomId, text: &str) -> Result<SeenEvent> {
    let told = |seen: &Timeline| seen.messages_of(&office.oncall()).find(|said| said.body().contains(text)).cloned();
    office.alice.until(room, text, told).await
}

#[tokio::test]
async fn c13_runs_older_than_the_config_keeps_them_are_gone_after_the_start() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let mut office = Office::open_for(people, |setup| setup.section("audit", json!({ "retention_days": 2 }))).await?;
    let room = office.room(RoomKind::Plain).await?;
    office.asked_and_answered(&room, "will you remember this?").await?;
    until_runs_ended(&office.workmate, 1).await;
    office.workmate.stop().await;

    let [young, old] = [1, 3].map(|days| Timestamp::from_ms(clock::now().as_ms() - days * 24 * 3_600_000));
    {
        let secret =
            MasterSecret::decode(fs::read_to_string(office.workmate.config().with_file_name("master.secret"))?.trim());
        let key = secret.context("a master secret")?.derive("state");
        let store = Store::open(&office.workmate.data_dir().join("state"), &key)?;
        let index = store.run_index::<RunSummary>();
        let (_, summary) = index.iter().next().context("one run")??;
        let aged = |at: Timestamp| RunSummary { accepted_at: at, ended_at: at, ..summary.clone() };
        index.put(&(young, "young0".to_owned()), &aged(young))?;
        for n in 0..1_200 {
            let key: RunKey = (old, format!("old{n:04}"));
            index.put(&key, &aged(old))?;
        }
        store.flush().await?;
    }
    assert_eq!(exported(&office.workmate, "")?.len(), 1_202);
    office.workmate.start_again().await;
    office.asked_and_answered(&room, "and this?").await?;
    until_runs_ended(&office.workmate, 2).await;

    let kept = exported(&office.workmate, "")?;
    let ids: Vec<_> = kept.iter().filter_map(|run| run["run"].as_str()).collect();
    assert_eq!((ids.len(), ids.last()), (3, Some(&"young0")), "{ids:?}");
    assert!(office.workmate.logs().contains("were removed from the index"));
    Ok(())
}
