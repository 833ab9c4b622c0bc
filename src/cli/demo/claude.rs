//! Who answers in the demo: Claude if there is a key, else a stand-in in this process.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::standin::{Options, StandIn};

/// The variable that the official SDKs read too.
const KEY_VARIABLE: &str = "ANTHROPIC_API_KEY";
/// The pause between the deltas of the stand-in's answer, so that a person sees it grow.
const DELTA_INTERVAL: Duration = Duration::from_millis(5);

/// The Messages API that the demo uses.
pub(super) enum Claude {
    /// The real API; `workmate serve` reads key and base URL from the environment itself.
    Real,
    /// The stand-in, which says that it is one.
    StandIn(StandIn),
}

impl Claude {
    /// Takes the real API if a key is set, else starts the stand-in.
    pub(super) async fn choose() -> Result<Self> {
        if std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty()) {
            return Ok(Self::Real);
        }
        let options = Options { delta_interval: DELTA_INTERVAL, ..Options::offline() };
        Ok(Self::StandIn(StandIn::start(options).await?))
    }

    /// Returns the `claude` section of `workmate.yaml`.
    pub(super) fn settings(&self) -> Value {
        match self {
            Self::Real => json!({}),
            Self::StandIn(standin) => json!({"base_url": standin.base_url(), "api_key": "sk-ant-offline-stand-in"}),
        }
    }

    /// Returns whether an answer must quote the room; the stand-in always does.
    pub(super) fn quotes_history(&self) -> bool {
        matches!(self, Self::StandIn(_))
    }

    /// Stops the stand-in.
    pub(super) async fn stop(self) {
        if let Self::StandIn(standin) = self {
            standin.shutdown().await;
        }
    }

    /// Returns a line that says who answers.
    pub(super) fn introduction(&self) -> &'static str {
        match self {
            Self::Real => "Claude answers, with the key of ANTHROPIC_API_KEY.",
            Self::StandIn(_) => {
                "ANTHROPIC_API_KEY is not set: an offline stand-in answers. It quotes what it was given and thinks nothing."
            }
        }
    }
}
