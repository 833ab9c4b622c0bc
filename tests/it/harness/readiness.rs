//! What `/readyz` of a running Workmate says, and changes of a configuration before it starts.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time;

use super::Workmate;

/// How long a condition is waited for.
const WAIT_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// Changes the configuration, which the harness writes as JSON.
pub(crate) fn reconfigure(config: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(config)?)?;
    change(&mut settings);
    fs::write(config, settings.to_string())?;
    Ok(())
}

/// Waits until `/readyz` shows what `wanted` looks for.
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

/// Returns whether a condition of `/readyz` holds.
pub(crate) fn is_ready(conditions: &Value, name: &str) -> bool {
    conditions[name]["ready"] == true
}

/// Reads `/readyz`: its status and the conditions.
pub(crate) async fn readiness(workmate: &Workmate) -> Result<(u16, Value)> {
    let url = format!("http://{}/readyz", workmate.slot().health_listen);
    let answer = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json::<Value>().await.context("/readyz answers JSON")?["conditions"].clone()))
}

/// Waits until Workmate's log says that `count` runs ended, which it does once that is durable.
///
/// An answer that a person has seen is not enough: a process that is killed between the answer and its record takes
/// the run up again.
pub(crate) async fn until_runs_ended(workmate: &Workmate, count: usize) {
    until_logged(workmate, "a run ended", count).await;
}

/// Waits until the log says something so many times.
pub(crate) async fn until_logged(workmate: &Workmate, what: &str, count: usize) {
    let logged = async {
        while workmate.logs().matches(what).count() < count {
            time::sleep(POLL).await;
        }
    };
    let logged = time::timeout(WAIT_MAX, logged).await;
    assert!(logged.is_ok(), "{what:?} was not logged {count} times; the log:\n{}", workmate.logs());
}
