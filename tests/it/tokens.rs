//! Tokens that change (chaos.md 2): whichever side gets the new registration first, nothing accepted is lost.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use workmate::standin::{Gate, Turn};

use crate::harness::{
    RoomKind, Setup, Workmate,
    homeserver::Private,
    office::{Office, answers_in_thread, echoing},
    progress,
    readiness::{is_ready, reconfigure, until_logged, until_readiness},
};

async fn open(private: &Private) -> Result<Office> {
    let claude = echoing().await?;
    let workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    Ok(Office { claude, workmate, alice, bob })
}

/// Writes fresh tokens into the registration, which the homeserver reads when it starts.
fn renew_registration(private: &Private) -> Result<()> {
    let path = &private.slot.registration;
    let mut registration: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    registration["as_token"] = json!("as-token-after-the-change");
    registration["hs_token"] = json!("hs-token-after-the-change");
    Ok(fs::write(path, registration.to_string())?)
}

/// Takes the registration's tokens over into Workmate's configuration.
fn renew_config(workmate: &Workmate) -> Result<()> {
    let registration: Value = serde_json::from_str(&fs::read_to_string(&workmate.slot().registration)?)?;
    reconfigure(&workmate.config(), |settings| {
        for token in ["as_token", "hs_token"] {
            settings["appservice"][token] = registration[token].clone();
        }
    })
}

/// Has the answer to a question wait for the gate.
fn hold(office: &Office, question: &str) -> Gate {
    let (turn, gate) = Turn::text(format!("You asked: {question}")).hold_headers();
    office.script(question, turn);
    gate
}

async fn until_refused(workmate: &Workmate) -> Result<()> {
    let conditions = until_readiness(workmate, |status, conditions| {
        status == 503 && conditions["homeserver"]["reason"].to_string().contains("refused our as_token")
    })
    .await?;
    let mend = conditions["homeserver"]["mend"].as_str().unwrap_or_default();
    assert!(mend.contains("registration.yaml") && mend.contains("restart"), "{conditions}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_tokens_that_we_have_first_are_waited_out_until_the_homeserver_has_them() -> Result<()> {
    let mut private = Private::start().await;
    let mut office = open(&private).await?;
    let (plain, sealed) = (office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?);
    let under_way = hold(&office, "under way");
    let mut asked = Vec::new();
    for room in [&plain, &sealed] {
        asked.push((room, office.ask(&office.alice, room, "under way").await?, "under way"));
    }
    under_way.reached().await;

    office.workmate.kill();
    renew_registration(&private)?;
    renew_config(&office.workmate)?;
    asked.push((&sealed, office.ask(&office.alice, &sealed, "meanwhile").await?, "meanwhile"));
    office.workmate.spawn();
    until_refused(&office.workmate).await?;
    until_logged(&office.workmate, "it was served before, so this is waited out", 1).await;
    asked.push((&plain, office.ask(&office.alice, &plain, "while it waits").await?, "while it waits"));
    let waiting = office.workmate.pid().context("it waits")?;
    private.homeserver.restart(&progress).await?;

    for (room, request, question) in &asked {
        office.answer(&office.alice, room, &office.oncall(), question).await?;
        assert_eq!(answers_in_thread(&office.alice, room, request, &office.oncall()), 1, "{question}");
    }
    until_readiness(&office.workmate, |status, conditions| status == 200 && is_ready(conditions, "deliveries")).await?;
    assert_eq!(office.workmate.pid(), Some(waiting), "nobody had to start it again");
    assert!(!office.workmate.logs().contains("after-the-change"), "no token is logged");
    for room in [&plain, &sealed] {
        office.asked_and_answered(room, "and from now on?").await?;
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_tokens_that_the_homeserver_has_first_cost_no_answer_and_no_second_question() -> Result<()> {
    let mut private = Private::start().await;
    let mut office = open(&private).await?;
    let (plain, sealed) = (office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?);
    let gates = ["plain, under way", "sealed, under way"].map(|question| hold(&office, question));
    let mut asked = vec![
        (&plain, office.ask(&office.alice, &plain, "plain, under way").await?, "plain, under way"),
        (&sealed, office.ask(&office.alice, &sealed, "sealed, under way").await?, "sealed, under way"),
    ];
    for gate in &gates {
        gate.reached().await;
    }

    renew_registration(&private)?;
    private.homeserver.restart(&progress).await?;
    asked.push((&plain, office.ask(&office.alice, &plain, "meanwhile").await?, "meanwhile"));
    until_refused(&office.workmate).await?;
    for gate in &gates {
        gate.release();
    }
    until_logged(&office.workmate, "a run waits for the homeserver", 2).await;
    renew_config(&office.workmate)?;
    office.workmate.stop().await;
    office.workmate.start_again().await;

    for (room, request, question) in &asked {
        office.answer(&office.alice, room, &office.oncall(), question).await?;
        assert_eq!(answers_in_thread(&office.alice, room, request, &office.oncall()), 1, "{question}");
        let questions = office.questions().iter().filter(|known| known.contains(question)).count();
        assert_eq!(questions, 1, "{question} is asked once: what the model said was kept");
    }
    for room in [&plain, &sealed] {
        office.asked_and_answered(room, "and from now on?").await?;
    }
    Ok(())
}
