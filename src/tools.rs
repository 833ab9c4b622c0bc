//! Tools that reach beyond the room: `time`, `http_get`, and the tools of MCP servers.
//!
//! `core/tool.rs` has decided before whether a call may run. Here it is executed within its limits: it ends in time,
//! its result is bounded, and secrets go in but do not come out.

mod http_get;
pub(crate) mod mcp;
mod now;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    core::{
        mask::Mask,
        tool::{ApprovalRule, Class, LeftOut, Offer, Output, Server, Source, Tool, ToolName, built_in},
    },
    secret::Secret,
};

use self::http_get::{AddressPolicy, HttpGet};

/// The settings of all tools, from the config.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The MCP servers.
    pub servers: Vec<Server>,
    /// Credentials by label.
    pub credentials: BTreeMap<String, Secret>,
    /// What else no tool may tell: the process's own tokens and keys.
    pub secrets: Vec<Secret>,
    /// Whether `http_get` may reach this machine's loopback; never from a config.
    #[cfg(test)]
    pub loopback_allowed_for_tests: bool,
}

impl Settings {
    #[cfg(test)]
    fn policy(&self) -> AddressPolicy {
        if self.loopback_allowed_for_tests { AddressPolicy::LoopbackToo } else { AddressPolicy::Public }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "with the tests' switch it is read")]
    fn policy(&self) -> AddressPolicy {
        AddressPolicy::Public
    }
}

/// Which MCP servers are up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The servers that answer.
    pub up: Vec<String>,
    /// The servers that do not answer.
    pub down: Vec<String>,
}

/// All tools of this process.
pub struct Tools {
    parts: RwLock<Arc<Parts>>,
    http_get: HttpGet,
    /// Incremented whenever the offers change.
    changes: watch::Sender<u64>,
    /// Server tools hidden by an equal name of another server; each is logged once.
    hidden: Mutex<BTreeSet<(String, ToolName)>>,
}

/// What a change of the settings replaces.
#[derive(Default)]
struct Parts {
    mask: Arc<Mask>,
    credentials: BTreeMap<String, Secret>,
    /// What was ever secret in this process; it stays masked.
    secrets: Vec<Secret>,
    /// In the order of the config.
    servers: Vec<Kept>,
}

/// An MCP server that is kept running until `stop`.
#[derive(Clone)]
struct Kept {
    settings: Server,
    server: Arc<mcp::Server>,
    stop: CancellationToken,
}

impl Tools {
    /// Starts the MCP servers and keeps them running in `tasks` until `stop`; returns at once.
    #[must_use]
    pub fn start(settings: Settings, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let tools = Self {
            parts: RwLock::default(),
            http_get: HttpGet::new(settings.policy()),
            changes: watch::Sender::new(0),
            hidden: Mutex::default(),
        };
        tools.follow(settings, tasks, stop);
        tools
    }

    /// Goes on with other settings: servers that are new or have changed are started, those that are gone end after the
    /// calls in progress. If a credential has changed, every server is started anew, because any may use it.
    pub fn follow(&self, settings: Settings, tasks: &TaskTracker, stop: &CancellationToken) {
        let Settings { servers, credentials, secrets, .. } = settings;
        let before = self.parts();
        let mut all = before.secrets.clone();
        for secret in credentials.values().chain(&secrets) {
            if !all.iter().any(|known| known.expose() == secret.expose()) {
                all.push(secret.clone());
            }
        }
        let mask = Mask::new(all.iter().map(Secret::expose));
        let exposed = |all: &BTreeMap<String, Secret>| -> Vec<(String, String)> {
            all.iter().map(|(label, secret)| (label.clone(), secret.expose().to_owned())).collect()
        };
        let has_same_credentials = exposed(&before.credentials) == exposed(&credentials);
        let kept = |settings: Server| {
            let same = before.servers.iter().find(|kept| has_same_credentials && kept.settings == settings);
            same.cloned().unwrap_or_else(|| {
                let server = mcp::Server::new(settings.clone(), &credentials, mask.clone(), self.changes.clone());
                let (server, stop) = (Arc::new(server), stop.child_token());
                tasks.spawn(server.clone().keep(stop.clone()));
                Kept { settings, server, stop }
            })
        };
        let servers: Vec<Kept> = servers.into_iter().map(kept).collect();
        for gone in before.servers.iter().filter(|old| !servers.iter().any(|new| Arc::ptr_eq(&old.server, &new.server)))
        {
            let Kept { server, stop, .. } = gone.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = server.until_idle() => stop.cancel(),
                }
            });
        }
        let parts = Parts { mask: Arc::new(mask), credentials, secrets: all, servers };
        *self.parts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parts);
        self.changes.send_modify(|count| *count += 1);
    }

    fn parts(&self) -> Arc<Parts> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what can be called now, which changes as servers start and change their lists. A server that is down
    /// keeps its list; a call then reports that it is down.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        let mut offers = vec![http_get::offer(), now::offer()];
        let mut names: BTreeSet<ToolName> = offers.iter().map(|offer| offer.name.clone()).collect();
        for server in self.parts().servers() {
            for offer in server.offers().iter() {
                if names.insert(offer.name.clone()) {
                    offers.push(offer.clone());
                } else {
                    self.say_hidden(server.name(), &offer.name);
                }
            }
        }
        offers
    }

    /// Returns the servers' tools that no model request can name.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.parts().servers().flat_map(|server| server.left_out()).collect()
    }

    /// Returns a watch that changes whenever [`Self::offers`] or [`Self::health`] may have.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns which MCP servers are up.
    #[must_use]
    pub fn health(&self) -> Health {
        let parts = self.parts();
        let (up, down): (Vec<_>, Vec<_>) = parts.servers().partition(|server| server.is_up());
        let names = |servers: Vec<&Arc<mcp::Server>>| servers.iter().map(|server| server.name().to_owned()).collect();
        Health { up: names(up), down: names(down) }
    }

    /// Returns the MCP servers that are down, with the reasons if known.
    #[must_use]
    pub fn troubles(&self) -> Vec<(String, Option<String>)> {
        let parts = self.parts();
        let down = parts.servers().filter(|server| !server.is_up());
        down.map(|server| (server.name().to_owned(), server.trouble())).collect()
    }

    /// Returns the mask for all credentials and secrets.
    #[must_use]
    pub fn mask(&self) -> Arc<Mask> {
        self.parts().mask.clone()
    }

    /// Executes a permitted call within the tool's timeout and output limit, and masks the result. A failure is an
    /// [`Output`] too, which tells the model what to do instead. Dropping the future cancels the call, at an MCP server
    /// too.
    pub async fn call(&self, tool: &Tool, arguments: &Map<String, Value>) -> Output {
        let patience = Duration::from_millis(tool.timeout_ms);
        let parts = self.parts();
        let output = match timeout(patience, Box::pin(self.carry_out(&parts, tool, arguments))).await {
            Ok(output) => output,
            Err(_) => too_late(&parts, tool, patience),
        };
        // Mask before cutting, because a cut might leave the beginning of a secret.
        output.mapped(|text| parts.mask.hide(text)).cut(tool.output_bytes_max)
    }

    async fn carry_out(&self, parts: &Parts, tool: &Tool, arguments: &Map<String, Value>) -> Output {
        match &tool.offer.source {
            Source::Process if tool.offer.name.as_str() == now::NAME => now::call(),
            Source::Process if tool.offer.name.as_str() == http_get::NAME => {
                let credential = match &tool.credential {
                    None => None,
                    Some(label) => match parts.credentials.get(label) {
                        Some(secret) => Some(secret),
                        None => {
                            return Output::error("The tool's credential is not set up: tell people to ask an admin.");
                        }
                    },
                };
                self.http_get.call(http_get::Call { arguments, tool, credential, mask: &parts.mask }).await
            }
            Source::Mcp { server, tool: name } => match parts.server(server) {
                Some(server) => server.call(&tool.offer, name, arguments).await,
                None => gone(tool),
            },
            Source::Process | Source::Room | Source::Chat | Source::Provider => gone(tool),
        }
    }

    fn say_hidden(&self, server: &str, name: &ToolName) {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        if hidden.insert((server.to_owned(), name.clone())) {
            let tool = name.as_str();
            tracing::warn!(
                mcp.server = server,
                tool.name = tool,
                "a tool has the name of another server's and is not offered"
            );
        }
    }
}

impl Parts {
    fn servers(&self) -> impl Iterator<Item = &Arc<mcp::Server>> {
        self.servers.iter().map(|kept| &kept.server)
    }

    fn server(&self, name: &str) -> Option<&Arc<mcp::Server>> {
        self.servers().find(|server| server.name() == name)
    }
}

fn too_late(parts: &Parts, tool: &Tool, patience: Duration) -> Output {
    if let Source::Mcp { server, .. } = &tool.offer.source
        && let Some(server) = parts.server(server)
    {
        server.was_too_slow();
    }
    Output::error(format!(
        "{} took longer than {} s and was cancelled. Whether it took effect is unknown.",
        tool.offer.name.as_str(),
        patience.as_secs_f32()
    ))
}

fn gone(tool: &Tool) -> Output {
    Output::error(format!("{} is not there any more.", tool.offer.name.as_str()))
}

/// Returns the offer of one of this process's read-only tools.
fn process_offer(name: &str, schema: Value) -> Offer {
    Offer {
        name: ToolName::parse(name).expect("the names of our own tools are names"),
        description: built_in(name).map_or("", |tool| tool.told).trim().to_owned(),
        schema,
        source: Source::Process,
        class: Class::Read,
        approval: ApprovalRule::Never,
        idempotent: true,
    }
}
