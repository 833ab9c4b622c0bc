//! Which tools a coworker has now: what exists, what its config grants, and what changed since.

use std::{collections::BTreeMap, time::Duration};

use ruma::UserId;
use tokio::time::Instant;

use super::{Engine, EngineError, room_tools};
use crate::{
    config::Coworker,
    core::{
        provider,
        tool::{Offer, SERVER_SEPARATOR, Source, Tool, ToolName, Toolset},
        work::Terms,
    },
};

/// How long after the start runs wait for MCP servers that have not said yet what they have.
pub(super) const SERVERS_PATIENCE: Duration = Duration::from_secs(15);

impl Engine {
    /// Returns the allow-list for a run. Soon after the start, servers are waited for: a run that was taken up again
    /// must not find its tools gone.
    pub(super) async fn toolset_of_run(&self, coworker: &Coworker, user: &UserId) -> Result<Toolset, EngineError> {
        let mut changed = self.tools.changed();
        while Instant::now() < self.servers_due && self.lacks_a_server(coworker) {
            // Whether something changed or the time is over is looked at again.
            let _ = tokio::time::timeout_at(self.servers_due, changed.changed()).await;
        }
        self.toolset(coworker, user)
    }

    /// Whether a grant names tools of a server that offers none of them yet.
    fn lacks_a_server(&self, coworker: &Coworker) -> bool {
        let servers: Vec<_> =
            self.config.mcp_servers.iter().map(|server| format!("{}{SERVER_SEPARATOR}", server.name)).collect();
        let of_servers =
            coworker.tools.iter().filter(|grant| servers.iter().any(|server| grant.pattern.starts_with(server)));
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
        offers.extend(self.tools.offers());
        offers.extend(provider::offers(&coworker.tools));
        let mut pinned = BTreeMap::new();
        for offer in offers.iter().filter(|offer| is_pinned(offer)) {
            if coworker.tools.iter().any(|grant| grant.matches(&offer.name)) {
                pinned.insert(offer.name.clone(), self.pin_of(user, offer)?);
            }
        }
        Ok(Toolset::resolve(&coworker.tools, &offers, &pinned))
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
