//! Tests of the Message Batches API against the stand-in, and against servers that misbehave.

use serde_json::json;

use super::*;
use crate::{
    claude::{Batch, BatchOutcome, BatchStatus, client::batches::RESULT_BYTES_MAX},
    standin::{BatchPlan, Failure as Told, Options, StandIn, Turn as Scripted},
};

async fn stand_in() -> (StandIn, Client) {
    let claude = StandIn::start(Options::scripted()).await.expect("loopback is there");
    let client = client(config(claude.base_url()));
    (claude, client)
}

async fn make(client: &Client) -> Batch {
    client.create_batch(&request(), "wm-1").await.expect("it is made")
}

async fn look(client: &Client, batch: &Batch) -> Option<BatchStatus> {
    client.look_at_batch(&batch.id).await.expect("it can be looked at").map(|batch| batch.status)
}

async fn result(client: &Client, batch: &Batch) -> Option<BatchOutcome> {
    client.batch_result(&batch.id, "wm-1").await.expect("results are read")
}

#[tokio::test]
async fn c20_a_batch_is_made_once_looked_at_read_and_deleted() {
    let (claude, client) = stand_in().await;
    claude.enqueue(Scripted::text("Hé"));
    let batch = make(&client).await;
    assert_eq!((batch.status, batch.requests), (BatchStatus::InProgress, 1));
    assert!(batch.created_at.is_some());
    assert_eq!(client.newest_batches().await.expect("a list")[0].id, batch.id);
    assert_eq!(look(&client, &batch).await, Some(BatchStatus::Ended));
    let Some(BatchOutcome::Succeeded(message)) = result(&client, &batch).await else { panic!("it succeeded") };
    assert_eq!((message.text().as_str(), message.usage.service_tier.as_deref()), ("Hé", Some("batch")));
    assert_eq!(client.batch_result(&batch.id, "another").await.expect("results are read"), None);
    let sent = &claude.batch_calls()[0].body["requests"][0];
    assert_eq!(sent["custom_id"], "wm-1");
    assert_eq!((&sent["params"]["stream"], sent.to_string().contains("cache_control")), (&json!(null), false));

    client.delete_batch(&batch.id).await.expect("it is deleted");
    client.delete_batch(&batch.id).await.expect("and is gone");
    assert_eq!((look(&client, &batch).await, result(&client, &batch).await), (None, None));
    claude.finish().expect("nothing else was asked");
}

#[tokio::test]
async fn c20_a_batch_that_is_cancelled_ends_with_or_without_an_answer() {
    let (claude, client) = stand_in().await;
    for (plan, is_canceled) in [(BatchPlan::waiting().0, true), (BatchPlan::waiting().0.survives_cancel(), false)] {
        claude.enqueue(Scripted::text("done"));
        claude.plan_batch(plan);
        let batch = make(&client).await;
        assert_eq!(look(&client, &batch).await, Some(BatchStatus::InProgress));
        assert!(client.delete_batch(&batch.id).await.is_err(), "it is in progress");
        assert_eq!(result(&client, &batch).await, None, "there is no result yet");
        let canceling = client.cancel_batch(&batch.id).await.expect("it is cancelled").expect("it is there");
        assert_eq!(canceling.status, BatchStatus::Canceling);
        assert_eq!(look(&client, &batch).await, Some(BatchStatus::Ended));
        assert_eq!(result(&client, &batch).await == Some(BatchOutcome::Canceled), is_canceled);
        assert!(client.cancel_batch(&batch.id).await.is_err(), "it has ended");
    }
    assert_eq!(client.cancel_batch("msgbatch_none").await.expect("told"), None);
}

#[tokio::test]
async fn c20_a_request_that_a_batch_does_not_take_ends_as_errored() {
    let (claude, client) = stand_in().await;
    let (expired, errored) = (BatchPlan::default().outcome("expired"), BatchPlan::default().outcome("errored"));
    for plan in [expired, errored] {
        claude.enqueue(Scripted::text("never seen"));
        claude.plan_batch(plan);
    }
    let batch = make(&client).await;
    assert_eq!(result(&client, &batch).await, Some(BatchOutcome::Expired));
    let batch = make(&client).await;
    assert!(matches!(result(&client, &batch).await, Some(BatchOutcome::Errored(_))));

    let unknown = Request { model: "claude-none".to_owned(), ..request() };
    let batch = client.create_batch(&unknown, "wm-1").await.expect("the API looks at it later");
    assert!(matches!(result(&client, &batch).await, Some(BatchOutcome::Errored(_))));
    assert!(claude.finish().is_err(), "tests learn of it");
}

#[tokio::test]
async fn c20_whether_a_batch_may_exist_is_known_from_how_its_creation_failed() {
    let (claude, client) = stand_in().await;
    for (status, may_exist, may_pass) in [
        (400, false, false),
        (401, false, false),
        (404, false, false),
        (413, false, false),
        (429, false, true),
        (500, true, false),
        (504, true, false),
        (529, false, true),
    ] {
        claude.plan_batch(BatchPlan::refused(Told::status(status)));
        let failed = client.create_batch(&request(), "wm-1").await.expect_err("it is refused");
        assert_eq!((failed.may_exist, failed.may_pass), (may_exist, may_pass), "{status}: {}", failed.error);
    }
    assert_eq!(claude.batches(), []);
    claude.enqueue(Scripted::text("made"));
    claude.plan_batch(BatchPlan::default().loses_reply());
    let failed = client.create_batch(&request(), "wm-1").await.expect_err("no reply comes");
    assert!(failed.may_exist && !failed.may_pass);
    assert_eq!(claude.batches().len(), 1);
    claude.shutdown().await;
    let failed = client.create_batch(&request(), "wm-1").await.expect_err("nobody listens");
    assert!(!failed.may_exist && failed.may_pass, "{}", failed.error);
}

#[tokio::test]
async fn c20_results_are_read_in_any_order_and_whatever_they_hold() {
    let (claude, client) = stand_in().await;
    let ours = r#"{"custom_id":"wm-1","result":{"type":"canceled"}}"#;
    let foreign = r#"{"custom_id":"else","result":{"type":"expired"}}"#;
    let long = "x".repeat(200_000);
    for (raw, found) in [
        (format!("{foreign}\n{ours}\n"), true),
        (format!("\r\n\n{long}\n{{\n{ours}"), true),
        (format!("{ours}\r\n{foreign}"), true),
        (foreign.to_owned(), false),
        (String::new(), false),
        ("<html>".to_owned(), false),
    ] {
        claude.enqueue(Scripted::text("not sent"));
        claude.plan_batch(BatchPlan::default().results(raw.clone()));
        let batch = make(&client).await;
        let found_now = result(&client, &batch).await == Some(BatchOutcome::Canceled);
        assert_eq!(found_now, found, "{}", &raw[..raw.len().min(100)]);
    }
    let flood = "y".repeat(RESULT_BYTES_MAX + 1);
    claude.enqueue(Scripted::text("not sent"));
    claude.plan_batch(BatchPlan::default().results(flood));
    let batch = make(&client).await;
    assert!(client.batch_result(&batch.id, "wm-1").await.is_err(), "it is bounded");
}
