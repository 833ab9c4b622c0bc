//! Reads `/readyz` and the log of a running Workmate.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time;

use super::Workmate;
pub(crate) use super::workmate::reconfigure;

/// How long to wait for a condition.
const WAIT_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// Waits until `/readyz` satisfies `wanted`.
pub(crate) async fn until_readiness(workmate: &Workmate, wanted: impl Fn(u16, &Value) -> bool) -> Result<Value> {
    let mut last = json!(null);
    let waiting = async {
        loop {
            if let Ok((status, conditions)) = readiness(workmate).await {
                if wanted(status, &conditions) {
                    return conditions;
                }
                last = conditions;
            }
            time::sleep(POLL).await;
        }
    };
    let found = time::timeout(WAIT_MAX, waiting).await;
    found.with_context(|| format!("/readyz stays {last}; the log:\n{}", workmate.logs()))
}

/// Returns whether a condition in `/readyz` holds.
pub(crate) fn is_ready(conditions: &Value, name: &str) -> bool {
    conditions[name]["ready"] == true
}

/// Returns the status and conditions of `/readyz`.
pub(crate) async fn readiness(workmate: &Workmate) -> Result<(u16, Value)> {
    let url = format!("http://{}/readyz", workmate.slot().health_listen);
    let answer = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json::<Value>().await.context("/readyz answers JSON")?["conditions"].clone()))
}

/// Waits until Workmate has logged that `count` runs ended, which it does once that is durable.
///
/// Seeing an answer is not enough: a process killed between the answer and its record resumes the run.
pub(crate) async fn until_runs_ended(workmate: &Workmate, count: usize) {
    until_logged(workmate, "a run ended", count).await;
}

/// Waits until the log contains something that many times.
pub(crate) async fn until_logged(workmate: &Workmate, what: &str, count: usize) {
    let logged = async {
        while workmate.logs().matches(what).count() < count {
            time::sleep(POLL).await;
        }
    };
    let logged = time::timeout(WAIT_MAX, logged).await;
    assert!(logged.is_ok(), "{what:?} was not logged {count} times; the log:\n{}", workmate.logs());
}
