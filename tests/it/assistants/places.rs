//! Many assistants with few clients: a client is opened when needed and closed for the next.

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::Office;
use crate::harness::homeserver::shared;

/// Returns the numbers of open clients in the log lines with these words, in order.
fn open_clients(logs: &str, words: &str) -> Vec<u64> {
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == words).filter_map(|line| line["open"].as_u64()).collect()
}

#[tokio::test]
async fn more_assistants_than_places_are_all_answered_and_no_more_are_open_than_allowed() -> Result<()> {
    let office = Office::open_with(|setup| {
        setup
            .section("limits", json!({ "assistants_live_max": 2 }))
            .section("log", json!({ "format": "json", "filter": "workmate=debug" }))
    })
    .await?;
    let mut owners = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        owners.push(shared().person(name).await);
    }
    let rooms = try_join_all(owners.iter().map(|owner| office.meet(owner))).await?;

    for round in ["first", "second"] {
        let asking = owners.iter().zip(&rooms).map(async |(owner, room)| {
            let question = format!("the {round} question of {}", owner.user_id().localpart());
            office.ask(owner, room, &question, &format!("the {round} answer to {}", owner.user_id().localpart())).await
        });
        let answers = try_join_all(asking).await?;
        assert_eq!(answers.len(), 4);
    }

    let logs = office.workmate.logs();
    let opened = open_clients(&logs, "an assistant's client was opened");
    let closed = open_clients(&logs, "an assistant's client was closed");
    assert!(opened.iter().all(|&open| open <= 2), "{opened:?}");
    assert!(opened.len() >= 4 && closed.len() >= 2, "{opened:?} {closed:?}");
    Ok(())
}
