//! `workmate health`: asks the running Workmate whether it is alive, for what restarts it (a container's health check). An
//! image for servers has no other program that could ask.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{ConfigFile, say::say};
use crate::config::Config;

/// How long the answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Most bytes of the answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What `health` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Ask whether requests can be answered (/readyz), not only whether the process is alive (/healthz).
    #[arg(long)]
    pub ready: bool,
}

/// Asks at `health_listen`; nothing else of the configuration has to be in order.
///
/// # Errors
/// When nobody answers there, or the answer is no.
pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let address = called(Config::health_listen_of(&args.config.path())?);
    let url = format!("http://{address}/{}", if args.ready { "readyz" } else { "healthz" });
    let Ok((status, report)) = ask(&url).await else {
        bail!(
            "{url} does not answer\n  No workmate runs with this configuration, or it hangs.\n  Mend: start it, or restart it."
        );
    };
    match status {
        200 => {
            say(if args.ready { "ready" } else { "alive" });
            Ok(())
        }
        503 => bail!("{}", told(&report)),
        other => {
            bail!("{url}: HTTP {other}\n  Something else than workmate answers there.\n  Mend: correct health_listen.")
        }
    }
}

/// Returns the address by which a listener is called from this machine.
fn called(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

async fn ask(url: &str) -> anyhow::Result<(u16, Value)> {
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
    let mut response = client.get(url).send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    let status = response.status().as_u16();
    let report = serde_json::from_slice(&body).context("no JSON").unwrap_or_default();
    Ok((status, report))
}

/// Returns what a report says against being well: its reason, or the conditions that do not hold, a line each.
fn told(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if report["reason"].is_string() {
        return format!("not alive: {}", text(&report["reason"]));
    }
    let conditions = report["conditions"].as_object();
    let missing = conditions
        .into_iter()
        .flatten()
        .filter(|(_, condition)| condition["ready"] == Value::Bool(false) && condition["needed"] != Value::Bool(false));
    let lines = missing.map(|(name, condition)| {
        let mend = condition["mend"].as_str().map(|mend| format!("\n    Mend: {mend}")).unwrap_or_default();
        format!("\n  {name}: {}{mend}", text(&condition["reason"]))
    });
    format!("not ready{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    /// Runs the command against a listener that answers so.
    async fn asked(ready: bool, status: StatusCode, body: &Value) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let body = body.to_string();
        let routes = Router::new().fallback(move || async move { (status, body) });
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(axum::serve(listener, routes).into_future());
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("workmate.yaml");
        // Whatever else is wrong with the file says nothing about the process that runs.
        std::fs::write(&file, format!("health_listen: {address}\nunknown: 1\n")).expect("written");
        run(&HealthArgs { config: ConfigFile { given: Some(file) }, ready }).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn health_is_what_the_running_workmate_says_and_is_not_readiness() {
        let missing = json!({"ready": false, "conditions": {
            "claude_key": {"ready": false, "reason": "no key is set", "mend": "set one."},
            "clock": {"ready": false, "needed": false, "reason": "slow"},
            "store": {"ready": true},
        }});
        let dead = json!({"alive": false, "reason": "the disk is full"});
        let (ok, down) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(asked(false, ok, &json!({"alive": true})).await, Ok(()));
        assert_eq!(asked(true, ok, &json!({"ready": true})).await, Ok(()));
        assert_eq!(asked(false, down, &dead).await, Err("not alive: the disk is full".to_owned()));
        let expected = "not ready\n  claude_key: no key is set\n    Mend: set one.";
        assert_eq!(asked(true, down, &missing).await, Err(expected.to_owned()));
        let other = asked(false, StatusCode::NOT_FOUND, &json!({})).await.expect_err("is no workmate");
        assert!(other.contains("Something else than workmate answers"), "{other}");
    }

    #[tokio::test]
    async fn health_of_nobody_is_a_fault_with_a_mend() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("workmate.yaml");
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        std::fs::write(&file, format!("health_listen: {free}\n")).expect("written");
        let args = HealthArgs { config: ConfigFile { given: Some(file) }, ready: false };
        let error = run(&args).await.expect_err("nobody is there").to_string();
        assert!(error.contains("does not answer") && error.contains("Mend: "), "{error}");
        assert_eq!(called("0.0.0.0:1".parse().expect("an address")).to_string(), "127.0.0.1:1");
        assert_eq!(called("[::]:1".parse().expect("an address")).to_string(), "[::1]:1");
    }
}
