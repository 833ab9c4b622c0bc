//! Which tools a coworker or an assistant has now: what exists, what the config grants, and what changed since.

use std::{collections::BTreeMap, time::Duration};

use ruma::UserId;
use tokio::time::Instant;

use super::{Engine, EngineError, room_tools};
use crate::{
    config::Coworker,
    core::{
        provider,
        tool::{Grant, Offer, SERVER_SEPARATOR, Source, Tool, ToolName, Toolset},
        work::Terms,
    },
};

/// How long after the start runs wait for MCP servers that have not said yet what they have.
pub(super) const SERVERS_PATIENCE: Duration = Duration::from_secs(15);

impl Engine {
    /// Returns the allow-list for a run. Soon after the start, servers are waited for: a run that was taken up again
    /// must not find its tools gone.
    pub(super) async fn toolset_of_run(&self, coworker: &Coworker, user: &UserId) -> Result<Toolset, EngineError> {
        self.until_servers_are_there(&coworker.tools).await;
        self.toolset(coworker, user)
    }

    /// Returns the allow-list for an assistant's run, after the same wait.
    pub(super) async fn toolset_of_private_run(&self, assistant: &UserId) -> Result<Toolset, EngineError> {
        self.until_servers_are_there(&self.config.assistants.tools).await;
        self.private_toolset(assistant)
    }

    async fn until_servers_are_there(&self, grants: &[Grant]) {
        let mut changed = self.tools.changed();
        while Instant::now() < self.servers_due && self.lacks_a_server(grants) {
            // Whether something changed or the time is over is looked at again.
            let _ = tokio::time::timeout_at(self.servers_due, changed.changed()).await;
        }
    }

    /// Whether a grant names tools of a server that offers none of them yet.
    fn lacks_a_server(&self, grants: &[Grant]) -> bool {
        let servers: Vec<_> =
            self.config.mcp_servers.iter().map(|server| format!("{}{SERVER_SEPARATOR}", server.name)).collect();
        let of_servers = grants.iter().filter(|grant| servers.iter().any(|server| grant.pattern.starts_with(server)));
        let offers = self.tools.offers();
        of_servers.into_iter().any(|grant| !offers.iter().any(|offer| grant.matches(&offer.name)))
    }

    /// Returns a coworker's allow-list. A server's tool that is granted for the first time is pinned as it is; one that
    /// reads otherwise than its pin needs somebody's approval until that is given.
    pub(super) fn toolset(&self, coworker: &Coworker, user: &UserId) -> Result<Toolset, EngineError> {
        if coworker.tools.is_empty() {
            return Ok(Toolset::default());
        }
        let mut offers = room_tools::offers();
        offers.extend(self.offers(&coworker.tools));
        Ok(Toolset::resolve(&coworker.tools, &offers, &self.pins(&coworker.tools, &offers, user)?))
    }

    /// Returns an assistant's allow-list, pinned for this one: its owner approves of a change for nobody else.
    pub(super) fn private_toolset(&self, assistant: &UserId) -> Result<Toolset, EngineError> {
        let grants = &self.config.assistants.tools;
        let offers = self.offers(grants);
        Ok(Toolset::resolve_private(grants, &offers, &self.pins(grants, &offers, assistant)?))
    }

    /// What exists outside of rooms.
    fn offers(&self, grants: &[Grant]) -> Vec<Offer> {
        if grants.is_empty() {
            return Vec::new();
        }
        let mut offers = self.tools.offers();
        offers.extend(provider::offers(grants));
        offers
    }

    fn pins(
        &self,
        grants: &[Grant],
        offers: &[Offer],
        user: &UserId,
    ) -> Result<BTreeMap<ToolName, String>, EngineError> {
        let mut pinned = BTreeMap::new();
        for offer in offers.iter().filter(|offer| is_pinned(offer)) {
            if grants.iter().any(|grant| grant.matches(&offer.name)) {
                pinned.insert(offer.name.clone(), self.pin_of(user, offer)?);
            }
        }
        Ok(pinned)
    }

    /// Forgets what the tools of somebody who is gone were like.
    pub(super) fn unpin(&self, user: &UserId) -> Result<(), EngineError> {
        for ((whose, tool), _) in self.tables.tool_pins.iter().filter_map(Result::ok) {
            if whose == user {
                self.tables.tool_pins.remove(&(whose, tool))?;
            }
        }
        Ok(())
    }

    fn pin_of(&self, user: &UserId, offer: &Offer) -> Result<String, EngineError> {
        let key = pin_key(user, &offer.name);
        if let Some(pinned) = self.tables.tool_pins.get(&key)? {
            return Ok(pinned);
        }
        let fingerprint = offer.fingerprint();
        self.tables.tool_pins.put(&key, &fingerprint)?;
        Ok(fingerprint)
    }

    /// A changed tool was approved: as it is now, it is the one that was granted.
    pub(super) fn pin_anew(&self, user: &UserId, tool: &Tool) -> Result<(), EngineError> {
        if tool.changed && is_pinned(&tool.offer) {
            tracing::info!(user.id = %user, tool.name = tool.offer.name.as_str(), "a changed tool was approved");
            self.tables.tool_pins.put(&pin_key(user, &tool.offer.name), &tool.offer.fingerprint())?;
        }
        Ok(())
    }

    /// Returns what binds the loop of a run with these tools.
    pub(super) fn terms<'a>(&'a self, tools: &'a Toolset) -> Terms<'a> {
        Terms {
            tools,
            mask: self.tools.mask(),
            rounds_max: self.config.limits.tool_rounds_max,
            tokens_max: self.config.limits.run_tokens_max,
        }
    }
}

/// Our own tools change with Workmate, which the operator installs; servers' change by themselves.
fn is_pinned(offer: &Offer) -> bool {
    matches!(offer.source, Source::Mcp { .. })
}

fn pin_key(user: &UserId, tool: &ToolName) -> (ruma::OwnedUserId, String) {
    (user.to_owned(), tool.as_str().to_owned())
}
