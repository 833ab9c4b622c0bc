//! Which tools a coworker or an assistant has now: what exists, what the config grants, and what has changed.

mod brought;
mod changes;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{RoomId, UserId};
use tokio::time::Instant;

use self::changes::Changes;
use super::{EngineError, bindings::Bindings, runtime::Runtime};
use crate::{
    appservice::health::{Condition, State},
    config::{Config, Coworker},
    core::{
        mask::Mask,
        provider,
        run::Rules,
        tool::{Grant, Offer, SERVER_SEPARATOR, Source, ToolName, Toolset},
    },
    tools::{self, Tools},
};

pub(super) use self::brought::TASK_TOOL;

/// How often the servers are looked at while one is down.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long after the start runs wait for MCP servers that have not listed their tools yet.
const SERVERS_PATIENCE: Duration = Duration::from_secs(15);

/// The tools that exist, with their servers, and who may have which.
pub(super) struct Toolsets {
    pub(super) runtime: Arc<Runtime>,
    pub(super) tools: Tools,
    bindings: Arc<Bindings>,
    /// Until this moment servers may still be starting.
    servers_due: Mutex<Instant>,
    pub(super) changes: Changes,
}

impl Toolsets {
    /// Starts the tools' servers.
    pub(super) fn start(runtime: &Arc<Runtime>, bindings: &Arc<Bindings>) -> Self {
        Self {
            runtime: runtime.clone(),
            tools: Tools::start(settings(&runtime.config()), &runtime.tasks, &runtime.stop),
            bindings: bindings.clone(),
            servers_due: Mutex::new(Instant::now() + SERVERS_PATIENCE),
            changes: Changes::default(),
        }
    }

    /// Goes on with the servers and credentials of the config in use.
    pub(super) fn follow(&self) {
        *self.servers_due.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + SERVERS_PATIENCE;
        self.tools.follow(settings(&self.runtime.config()), &self.runtime.tasks, &self.runtime.stop);
    }

    fn servers_due(&self) -> Instant {
        *self.servers_due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a coworker's toolset for a run in a room. Just after the start it waits for MCP servers, so that a
    /// resumed run does not lose its tools.
    pub(super) async fn toolset_of_run(&self, coworker: &Coworker, room: &RoomId) -> Result<Toolset, EngineError> {
        self.until_servers_are_there(&coworker.tools).await;
        self.toolset(coworker, room).await
    }

    /// Returns the toolset for an assistant's run, after the same wait.
    pub(super) async fn toolset_of_private_run(&self) -> Result<Toolset, EngineError> {
        self.until_servers_are_there(&self.runtime.config().assistants.tools).await;
        let tools = self.private_toolset()?;
        self.tell_changes(&tools).await;
        Ok(tools)
    }

    async fn until_servers_are_there(&self, grants: &[Grant]) {
        let mut changed = self.tools.changed();
        while Instant::now() < self.servers_due() && self.lacks_a_server(grants) {
            // The loop's condition checks for both a change and the timeout.
            let _ = tokio::time::timeout_at(self.servers_due(), changed.changed()).await;
        }
    }

    /// Returns whether a grant names tools of a server that offers none of them yet.
    fn lacks_a_server(&self, grants: &[Grant]) -> bool {
        let servers: Vec<_> = self
            .runtime
            .config()
            .mcp_servers
            .iter()
            .map(|server| format!("{}{SERVER_SEPARATOR}", server.name))
            .collect();
        let of_servers = grants.iter().filter(|grant| servers.iter().any(|server| grant.pattern.starts_with(server)));
        let offers = self.tools.offers();
        of_servers.into_iter().any(|grant| !offers.iter().any(|offer| grant.matches(&offer.name)))
    }

    /// Returns a coworker's toolset in a room. A server's tool is pinned when it is first granted; if it then differs
    /// from its pin, it is withheld until an admin accepts it (`changes.rs`).
    pub(super) async fn toolset(&self, coworker: &Coworker, room: &RoomId) -> Result<Toolset, EngineError> {
        if coworker.tools.is_empty() {
            return Ok(Toolset::default());
        }
        let here = self.bindings.here(&coworker.tools, room).await?;
        let mut offers = brought::room_offers();
        offers.extend(self.offers(&coworker.tools));
        let pins = self.pins(&coworker.tools, &offers)?;
        let mut tools = Toolset::resolve(&coworker.tools, &offers, &pins, &here);
        tools.leave_out(&coworker.tools, &self.tools.left_out());
        self.tell_changes(&tools).await;
        Ok(tools)
    }

    /// Returns the assistants' toolset.
    pub(super) fn private_toolset(&self) -> Result<Toolset, EngineError> {
        let grants = &self.runtime.config().assistants.tools;
        let mut offers = self.offers(grants);
        offers.extend(brought::chat_offers());
        let mut tools = Toolset::resolve_private(grants, &offers, &self.pins(grants, &offers)?);
        tools.leave_out(grants, &self.tools.left_out());
        Ok(tools)
    }

    /// Returns the servers that are down and have granted tools.
    pub(super) fn servers_down(&self, grants: &[Grant]) -> Vec<String> {
        let mut down = self.tools.health().down;
        down.retain(|server| grants.iter().any(|grant| grant.reaches(server)));
        down
    }

    /// Returns the granted tools that differ from their pins.
    pub(super) fn changed_offers(&self) -> Result<Vec<Offer>, EngineError> {
        let config = self.runtime.config();
        let grants = config.coworkers.iter().flat_map(|coworker| &coworker.tools);
        let grants: Vec<Grant> = grants.chain(&config.assistants.tools).cloned().collect();
        let offers = self.tools.offers();
        let pins = self.pins(&grants, &offers)?;
        let is_changed = |offer: &Offer| pins.get(&offer.name).is_some_and(|pin| *pin != offer.fingerprint());
        Ok(offers.into_iter().filter(is_changed).collect())
    }

    /// Returns the tools that are not a room's own.
    fn offers(&self, grants: &[Grant]) -> Vec<Offer> {
        if grants.is_empty() {
            return Vec::new();
        }
        let mut offers = self.tools.offers();
        offers.extend(provider::offers(grants));
        offers
    }

    fn pins(&self, grants: &[Grant], offers: &[Offer]) -> Result<BTreeMap<ToolName, String>, EngineError> {
        let mut pinned = BTreeMap::new();
        for offer in offers.iter().filter(|offer| is_pinned(offer)) {
            if grants.iter().any(|grant| grant.matches(&offer.name)) {
                pinned.insert(offer.name.clone(), self.pin_of(offer)?);
            }
        }
        Ok(pinned)
    }

    /// Removes the pins of a user that is gone.
    pub(super) fn unpin(&self, user: &UserId) -> Result<(), EngineError> {
        for ((whose, tool), _) in self.runtime.tables.tool_pins.iter().filter_map(Result::ok) {
            if whose == user {
                self.runtime.tables.tool_pins.remove(&(whose, tool))?;
            }
        }
        Ok(())
    }

    /// Returns a tool's pin, which holds for the whole workspace: a first use by somebody else accepts no change.
    fn pin_of(&self, offer: &Offer) -> Result<String, EngineError> {
        let key = pin_key(&self.runtime.service_user(), &offer.name);
        if let Some(pinned) = self.runtime.tables.tool_pins.get(&key)? {
            return Ok(pinned);
        }
        // Earlier versions pinned for each user. If one of those pins differs, keep it, so that an admin has to look.
        let fingerprint = offer.fingerprint();
        let mut of_users = self.runtime.tables.tool_pins.iter().filter_map(Result::ok);
        let other = of_users.find(|((_, tool), pinned)| *tool == key.1 && *pinned != fingerprint);
        let pinned = other.map_or(fingerprint, |(_, pinned)| pinned);
        self.runtime.tables.tool_pins.put(&key, &pinned)?;
        Ok(pinned)
    }

    /// Pins a tool as it is now.
    pub(super) fn pin(&self, offer: &Offer) -> Result<(), EngineError> {
        Ok(self
            .runtime
            .tables
            .tool_pins
            .put(&pin_key(&self.runtime.service_user(), &offer.name), &offer.fingerprint())?)
    }

    /// Returns what binds every run.
    pub(super) fn rules(&self) -> Rules {
        let limits = &self.runtime.config().limits;
        Rules {
            rounds_max: limits.tool_rounds_max,
            tokens_max: limits.run_tokens_max,
            calls_at_once_max: limits.tools_at_once_max,
            deadline_ms: limits.deadline_ms(),
            mask: Mask::clone(&self.tools.mask()),
        }
    }
}

/// Shows which MCP servers are down, until Workmate stops.
pub(super) async fn keep_watch_of_servers(toolsets: Arc<Toolsets>) {
    let mut changed = toolsets.tools.changed();
    loop {
        changed.borrow_and_update();
        let down = toolsets.tools.troubles();
        let servers_due = toolsets.servers_due();
        let is_starting = Instant::now() < servers_due;
        let state = if down.is_empty() {
            State::Ready
        } else if is_starting && down.iter().all(|(_, trouble)| trouble.is_none()) {
            State::Pending(format!("{} of them start", down.len()))
        } else {
            let each = down.iter().map(|(server, trouble)| {
                format!("{server}: {}", trouble.as_deref().unwrap_or("it does not start or answer in time"))
            });
            let each: Vec<String> = each.collect();
            State::Waiting(format!(
                "{}\n  Their tools fail meanwhile.\n  Mend: run the server's command by hand as the user of workmate; it is \
                 started again by itself",
                each.join("; ")
            ))
        };
        toolsets.runtime.health.set(Condition::McpServers, state);
        tokio::select! {
            () = toolsets.runtime.stop.cancelled() => return,
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(servers_due), if is_starting => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Returns what the tools' servers are started with.
fn settings(config: &Config) -> tools::Settings {
    let mut settings = tools::Settings::default();
    settings.servers.clone_from(&config.mcp_servers);
    settings.credentials.clone_from(&config.credentials);
    settings.secrets = config.own_secrets();
    settings
}

/// Servers' tools change by themselves; our own change only with Workmate, which the operator installs.
fn is_pinned(offer: &Offer) -> bool {
    matches!(offer.source, Source::Mcp { .. })
}

fn pin_key(user: &UserId, tool: &ToolName) -> (ruma::OwnedUserId, String) {
    (user.to_owned(), tool.as_str().to_owned())
}
