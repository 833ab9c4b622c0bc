//! Asks the workmate that serves with this configuration, if there is one, how it is.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use super::{Check, Found, Tried};
use crate::config::Config;

/// How long it may take to answer on its health port.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// Returns what `/readyz` says, if a workmate answers at `health_listen`.
pub(super) async fn look(config: &Config) -> Option<Value> {
    let answer = page(config, "readyz").await?;
    let report: Value = serde_json::from_str(&answer).ok()?;
    report["conditions"]["deliveries"].is_object().then_some(report)
}

/// Returns a page of the health listener.
pub(super) async fn page(config: &Config, name: &str) -> Option<String> {
    let mut address = config.health_listen;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let ask = async {
        let http = reqwest::Client::builder().no_proxy().build().ok()?;
        http.get(format!("http://{address}/{name}")).send().await.ok()?.text().await.ok()
    };
    timeout(LOOK_MAX, ask).await.ok().flatten()
}

/// Returns a line for each condition that does not hold; those without which a part is missing are doubts.
pub(super) fn conditions(report: Option<&Value>, config: &Config) -> Vec<Tried> {
    let Some(conditions) = report.and_then(|report| report["conditions"].as_object()) else {
        let text = format!("no workmate answers at {}", config.health_listen);
        return vec![Tried::new(Check::Serving, Found::Skipped(text))];
    };
    let failing = conditions.iter().filter(|(_, condition)| condition["ready"] == false);
    let tried: Vec<Tried> =
        failing.map(|(name, condition)| Tried::new(Check::Serving, judged(name, condition))).collect();
    if tried.is_empty() {
        let text = format!("every condition of /readyz at {} holds", config.health_listen);
        return vec![Tried::new(Check::Serving, Found::Fine(text))];
    }
    tried
}

fn judged(name: &str, condition: &Value) -> Found {
    let reason = condition["reason"].as_str().unwrap_or("no reason is given");
    let Some(mend) = condition["mend"].as_str() else {
        return Found::Open(format!("{name}: {reason}"));
    };
    let text = format!("{name}: {reason}\n  Mend: {mend}");
    if condition["needed"] == false { Found::Open(text) } else { Found::Fault(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn op3_a_condition_that_is_needed_is_a_fault_and_others_are_doubts() {
        for (condition, expected) in [
            (
                json!({"reason": "it is away", "mend": "start it"}),
                Found::Fault("x: it is away\n  Mend: start it".to_owned()),
            ),
            (
                json!({"reason": "one is down", "mend": "mend it", "needed": false}),
                Found::Open("x: one is down\n  Mend: mend it".to_owned()),
            ),
            (json!({"reason": "being started"}), Found::Open("x: being started".to_owned())),
        ] {
            assert_eq!(judged("x", &condition), expected);
        }
    }
}
