//! Who answers in the demo: Claude where there is a key, else a stand-in on this machine.

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// The key that the official SDKs read too.
const KEY_VARIABLE: &str = "ANTHROPIC_API_KEY";

/// Where the Messages API of this demo is.
pub(super) enum Claude {
    /// The real one; `workmate serve` reads key and base URL from the environment itself.
    Real,
    /// The stand-in in this process, which says of itself that it is one.
    StandIn {
        /// Base of its Messages API.
        base_url: String,
    },
}

impl Claude {
    /// Takes the real one if a key is set, else starts the stand-in.
    pub(super) async fn choose() -> Result<Self> {
        if std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty()) {
            return Ok(Self::Real);
        }
        bail!("no stand-in yet")
    }

    /// Returns `claude:` of `workmate.yaml`.
    pub(super) fn settings(&self) -> Value {
        match self {
            Self::Real => json!({}),
            Self::StandIn { base_url } => json!({"base_url": base_url, "api_key": "sk-ant-offline-stand-in"}),
        }
    }

    /// Returns whether answers can be held to quote the room, which the stand-in always does.
    pub(super) fn quotes_history(&self) -> bool {
        matches!(self, Self::StandIn { .. })
    }

    /// Stops the stand-in.
    pub(super) async fn stop(self) {}

    /// Says who answers.
    pub(super) fn introduction(&self) -> &'static str {
        match self {
            Self::Real => "Claude answers, with the key of ANTHROPIC_API_KEY.",
            Self::StandIn { .. } => {
                "ANTHROPIC_API_KEY is not set: an offline stand-in answers. It quotes what it was given and thinks nothing."
            }
        }
    }
}
