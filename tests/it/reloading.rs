//! The configuration is read again while Workmate serves (OP7): coworkers come, change and go, and whoever waits for an
//! answer gets it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::Result;
use ruma::events::room::member::MembershipState;
use serde_json::{Value, json};
use workmate::standin::Turn;

use crate::harness::{
    Message, RoomKind, Workmate,
    homeserver::shared,
    office::Office,
    readiness::{reconfigure, until_logged},
    workmate::{coworker, date, now_s},
};

/// Runs a command of the program with a Workmate's configuration.
async fn run(workmate: &Workmate, line: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.args(line).arg("--config").arg(workmate.config()).kill_on_drop(true);
    Ok(command.stdin(Stdio::null()).env_remove("ANTHROPIC_API_KEY").output().await?)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn file(office: &Office, id: &str) -> PathBuf {
    office.workmate.config().with_file_name("coworkers").join(format!("{id}.yaml"))
}

fn write(office: &Office, coworker: &Value) -> Result<()> {
    let id = coworker["id"].as_str().expect("it has an id");
    Ok(fs::write(file(office, id), serde_json::to_string_pretty(coworker)?)?)
}

#[tokio::test]
async fn op7_a_reload_adds_changes_and_takes_away_coworkers_while_an_answer_goes_on() -> Result<()> {
    let office = Office::open_with(vec![coworker("oncall"), coworker("ci")]).await?;
    let [ci, legal] = ["ci", "legal"].map(|id| office.workmate.slot().coworker(id));
    let room = office.room(RoomKind::Encrypted).await?;
    office.bring(&room, &ci).await?;
    let (turn, gate) = Turn::text("the first half, and the second").gate_after(1);
    office.script("go on", turn);
    let request = office.ask(&office.alice, &room, "go on").await?;
    gate.reached().await;

    let mut changed = coworker("oncall");
    changed["instructions"] = json!("Answer in RHYMES.");
    changed["name"] = json!("On call");
    write(&office, &changed)?;
    write(&office, &coworker("legal"))?;
    fs::remove_file(file(&office, "ci"))?;
    let (one, other) = tokio::join!(run(&office.workmate, &["reload"]), run(&office.workmate, &["reload"]));
    let both = [said(&one?), said(&other?)];

    // Twice at once: one changes, and the other finds nothing to change.
    assert!(both.iter().any(|said| said.trim() == "nothing changed"), "{both:?}");
    let told = both.iter().find(|said| said.contains("legal: added")).expect("one of them changed it");
    assert!(
        told.contains("oncall: changed (name, instructions)") && told.contains("ci: taken out of service"),
        "{told}"
    );
    office
        .alice
        .until(&room, "that ci is out of service", |seen| {
            seen.messages_of(&ci).any(|said| said.body().contains("out of service")).then_some(())
        })
        .await?;
    gate.release();
    let answered = office.answer(&office.alice, &room, &office.oncall(), "and the second").await?;
    assert_eq!(answered.thread_root(), Some(request.as_str()));
    office.bring(&room, &legal).await?;
    office.alice.send(&room, Message::text("@legal may we?").pill("@legal", &legal)).await?;
    office.answer(&office.alice, &room, &legal, "may we?").await?;
    office.alice.send(&room, Message::text("@ci still there?").pill("@ci", &ci)).await?;
    office.asked_and_answered(&room, "and now?").await?;
    let newest = office.claude.requests().last().expect("asked").system_text();
    assert!(newest.contains("RHYMES"), "{newest}");
    assert!(!office.questions().iter().any(|question| question.contains("still there")), "ci is asked nothing");

    let retired = run(&office.workmate, &["retire", "ci"]).await?;
    assert!(retired.status.success(), "{}", said(&retired));
    office.alice.until_membership(&room, &ci, &MembershipState::Leave).await?;
    Ok(())
}

#[tokio::test]
async fn op7_a_reload_with_a_fault_changes_nothing_and_what_needs_a_restart_is_named() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let mut changed = coworker("oncall");
    changed["instructions"] = json!("Answer in RHYMES.");
    write(&office, &changed)?;
    fs::write(file(&office, "legal"), "id: legal\nname: leg")?;
    let faulty = run(&office.workmate, &["reload"]).await?;
    office.asked_and_answered(&room, "as before?").await?;
    let before = office.claude.requests().last().expect("asked").system_text();

    assert_eq!(faulty.status.code(), Some(1));
    for part in ["legal.yaml", "purpose", "Mend: ", "Nothing was changed."] {
        assert!(said(&faulty).contains(part), "{part}: {}", said(&faulty));
    }
    assert!(!before.contains("RHYMES"), "{before}");

    fs::remove_file(file(&office, "legal"))?;
    reconfigure(&office.workmate.config(), |settings| {
        settings["log"] = json!({"format": "json"});
        settings["budgets"] = json!({"person": {"usd_day": 0.01}});
    })?;
    let pid = office.workmate.pid().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status()?.success());
    until_logged(&office.workmate, "the configuration was read again: oncall: changed (instructions)", 1).await;
    let logs = office.workmate.logs();
    assert!(logs.contains("changed: budgets") && logs.contains("needs a restart: log;"), "{logs}");

    // A cent is used up by a few calls.
    let oncall = office.oncall();
    for number in 0..20 {
        let question = format!("and now, for the {number}. time?");
        office.ask(&office.bob, &room, &question).await?;
        let answer = |seen: &crate::harness::Timeline| {
            let mut ours = seen.messages_of(&oncall);
            ours.find(|said| said.body().contains("budget") || said.body().contains(&question)).cloned()
        };
        if office.bob.until(&room, "an answer or a word about the budget", answer).await?.body().contains("budget") {
            return Ok(());
        }
    }
    anyhow::bail!("no call is declined")
}

#[tokio::test]
async fn op7_c20_a_schedule_that_a_reload_brings_comes_due() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup| setup).await?;
    let room = office.room(RoomKind::Plain).await?;
    let mut changed = coworker("oncall");
    let schedule =
        |name: &str, at| json!({"name": name, "when": date(at), "rooms": [room], "task": format!("TASK-{name}")});
    changed["schedules"] = json!([schedule("gone", now_s() + 90), schedule("kept", now_s() + 90)]);
    write(&office, &changed)?;
    let added = run(&office.workmate, &["reload"]).await?;
    changed["schedules"] = json!([schedule("kept", now_s() + 25)]);
    write(&office, &changed)?;
    let sooner = run(&office.workmate, &["reload"]).await?;

    for reloaded in [added, sooner] {
        assert!(said(&reloaded).contains("oncall: changed (schedules)"), "{}", said(&reloaded));
    }
    let comes = |seen: &crate::harness::Timeline| {
        seen.messages_of(&office.oncall()).find(|said| said.body().contains("kept")).cloned()
    };
    office.alice.until(&room, "the schedule's notice", comes).await?;
    assert!(!office.alice.timeline(&room).messages_of(&office.oncall()).any(|said| said.body().contains("gone")));
    Ok(())
}

#[tokio::test]
async fn op7_a_coworker_is_written_by_a_command_and_removed_by_another() -> Result<()> {
    let office = Office::open().await?;
    let legal = office.workmate.slot().coworker("legal");
    let flags = ["coworker", "new", "legal", "--purpose", "Reads contracts.", "--instructions", "Quote: exactly."];
    let written = run(&office.workmate, &flags).await?;
    let again = run(&office.workmate, &flags).await?;
    let lacking = run(&office.workmate, &["coworker", "new", "other"]).await?;
    let faulty =
        run(&office.workmate, &[&flags[..2], &["third"], &flags[3..], &["--tool", "no such"]].concat()).await?;
    let reloaded = run(&office.workmate, &["reload"]).await?;
    let room = office.room(RoomKind::Plain).await?;
    office.bring(&room, &legal).await?;
    let removed = run(&office.workmate, &["coworker", "remove", "legal"]).await?;
    office.alice.until_membership(&room, &legal, &MembershipState::Leave).await?;

    assert!(written.status.success() && reloaded.status.success(), "{}{}", said(&written), said(&reloaded));
    assert!(!again.status.success() && said(&again).contains("is there already"), "{}", said(&again));
    assert!(!lacking.status.success() && said(&lacking).contains("--purpose is missing"), "{}", said(&lacking));
    assert!(!faulty.status.success() && said(&faulty).contains("Nothing was written."), "{}", said(&faulty));
    assert!(!file(&office, "third").exists() && !file(&office, "other").exists());
    assert!(said(&reloaded).contains("legal: added"), "{}", said(&reloaded));
    assert!(removed.status.success() && said(&removed).contains("said farewell"), "{}", said(&removed));
    assert!(!file(&office, "legal").exists() && file(&office, "legal").with_extension("yaml.removed").exists());
    Ok(())
}
