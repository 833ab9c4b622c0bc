//! What a reload makes of a configuration that was read anew: what changed, and what stays as it is until a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Config, Coworker};
use crate::secret::Secret;

/// What a reload changes, in the words of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The ids of coworkers that are new.
    pub added: Vec<String>,
    /// The ids of coworkers that changed, each with the keys that did.
    pub changed: Vec<(String, Vec<&'static str>)>,
    /// The ids of coworkers whose files are gone.
    pub removed: Vec<String>,
    /// Other keys and sections that changed.
    pub settings: Vec<&'static str>,
    /// Keys that changed and are only read at a start; what they said before still holds.
    pub waiting: Vec<&'static str>,
}

impl Changes {
    /// Returns whether nothing differs at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changed");
        }
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.added.iter().map(|id| format!("{id}: added")));
        lines.extend(self.changed.iter().map(|(id, keys)| format!("{id}: changed ({})", keys.join(", "))));
        lines.extend(self.removed.iter().map(|id| {
            format!(
                "{id}: taken out of service, because its file is gone; `workmate retire {id}` has it leave its rooms"
            )
        }));
        if !self.settings.is_empty() {
            lines.push(format!("changed: {}", self.settings.join(", ")));
        }
        if !self.waiting.is_empty() {
            lines.push(format!("needs a restart: {}; until then the earlier values hold", self.waiting.join(", ")));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// Compares by what `Debug` shows, which is everything but secrets; those are compared by [`secrets`].
fn differ<T: fmt::Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") != format!("{other:?}")
}

/// Returns secrets in a form that can be compared; it must not be shown.
fn secrets<'a>(all: impl IntoIterator<Item = &'a Secret>) -> Vec<&'a str> {
    all.into_iter().map(Secret::expose).collect()
}

/// Keeps the value in use where `$next` has another, and notes the key.
macro_rules! keep {
    ($old:expr, $next:expr, $waiting:expr, $($field:ident).+, $key:literal) => {
        if differ(&$old.$($field).+, &$next.$($field).+) {
            $next.$($field).+ = $old.$($field).+.clone();
            $waiting.push($key);
        }
    };
}

/// Lists the keys of `$keys` whose fields differ.
macro_rules! differing {
    ($old:expr, $next:expr, $([$($field:ident).+, $key:literal]),+ $(,)?) => {
        [$(differ(&$old.$($field).+, &$next.$($field).+).then_some($key)),+].into_iter().flatten().collect::<Vec<_>>()
    };
}

impl Config {
    /// Returns the config to go on with after `next` was read, and what it changes. What is only read at a start stays
    /// as it is here.
    #[must_use]
    pub fn followed_by(&self, mut next: Self) -> (Self, Changes) {
        let waiting = self.keep_until_a_restart(&mut next);
        let mut settings = differing!(
            self,
            next,
            [hooks_url, "hooks_url"],
            [connections, "connections"],
            [coworkers_dir, "coworkers_dir"],
            [claude.model, "claude.model"],
            [claude.fallback_models, "claude.fallback_models"],
            [claude.effort, "claude.effort"],
            [claude.output_tokens_max, "claude.output_tokens_max"],
            [workspace, "workspace"],
            [assistants, "assistants"],
            [limits, "limits"],
            [budgets, "budgets"],
            [mcp_servers, "mcp_servers"],
            [audit, "audit"],
        );
        if self.credentials_differ(&next) {
            settings.push("credentials");
        }
        let coworkers = |config: &Self| -> BTreeMap<String, std::sync::Arc<Coworker>> {
            config.coworkers.iter().map(|one| (one.id.0.clone(), one.clone())).collect()
        };
        let (before, after) = (coworkers(self), coworkers(&next));
        let changed = after.iter().filter_map(|(id, one)| {
            let was = before.get(id)?;
            let keys = keys_changed(was, one);
            (!keys.is_empty()).then(|| (id.clone(), keys))
        });
        let changes = Changes {
            added: after.keys().filter(|id| !before.contains_key(*id)).cloned().collect(),
            changed: changed.collect(),
            removed: before.keys().filter(|id| !after.contains_key(*id)).cloned().collect(),
            settings,
            waiting,
        };
        (next, changes)
    }

    /// Puts back what is only read at a start, and returns the keys that differed.
    fn keep_until_a_restart(&self, next: &mut Self) -> Vec<&'static str> {
        let mut waiting = self.keep_secrets(next);
        keep!(self, next, waiting, homeserver.url, "homeserver.url");
        keep!(self, next, waiting, homeserver.server_name, "homeserver.server_name");
        keep!(self, next, waiting, homeserver.proxy, "homeserver.proxy");
        keep!(self, next, waiting, appservice.id, "appservice.id");
        keep!(self, next, waiting, appservice.listen, "appservice.listen");
        keep!(self, next, waiting, appservice.url, "appservice.url");
        keep!(self, next, waiting, appservice.service_localpart, "appservice.service_localpart");
        keep!(self, next, waiting, appservice.coworker_prefix, "appservice.coworker_prefix");
        keep!(self, next, waiting, appservice.assistant_prefix, "appservice.assistant_prefix");
        keep!(self, next, waiting, health_listen, "health_listen");
        keep!(self, next, waiting, connections.reached, "mcp_listen");
        keep!(self, next, waiting, data_dir, "data_dir");
        keep!(self, next, waiting, claude.base_url, "claude.base_url");
        keep!(self, next, waiting, claude.api_version, "claude.api_version");
        keep!(self, next, waiting, claude.idle_seconds, "claude.idle_seconds");
        keep!(self, next, waiting, claude.proxy, "claude.proxy");
        keep!(self, next, waiting, transcription, "transcription");
        keep!(self, next, waiting, limits.transaction_bytes_max, "limits.transaction_bytes_max");
        keep!(self, next, waiting, limits.provisioning_max, "limits.provisioning_max");
        keep!(self, next, waiting, limits.assistants_live_max, "limits.assistants_live_max");
        keep!(self, next, waiting, assistants.enabled, "assistants.enabled");
        keep!(self, next, waiting, assistants.provision_per_minute, "assistants.provision_per_minute");
        keep!(self, next, waiting, audit.room, "audit.room");
        keep!(self, next, waiting, log, "log");
        if self.has_hooks() {
            keep!(self, next, waiting, hooks_listen, "hooks_listen");
        } else if next.has_hooks() {
            // Nobody listens for them yet.
            waiting.push("hooks");
        }
        waiting
    }

    /// Puts back the process's own secrets. Tools' credentials are none of them.
    fn keep_secrets(&self, next: &mut Self) -> Vec<&'static str> {
        let mut waiting = Vec::new();
        if self.appservice.as_token.expose() != next.appservice.as_token.expose() {
            next.appservice.as_token = self.appservice.as_token.clone();
            waiting.push("appservice.as_token");
        }
        if self.appservice.hs_token.expose() != next.appservice.hs_token.expose() {
            next.appservice.hs_token = self.appservice.hs_token.clone();
            waiting.push("appservice.hs_token");
        }
        if self.master.encode().expose() != next.master.encode().expose() {
            next.master = self.master.clone();
            waiting.push("master_secret");
        }
        let (ours, theirs) = (&self.claude, &next.claude);
        let names = |claude: &super::Claude| claude.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let values = |claude: &super::Claude| {
            let headers = claude.headers.iter().map(|(_, value)| value.expose().to_owned());
            headers.collect::<Vec<_>>()
        };
        if secrets(&ours.api_key) != secrets(&theirs.api_key) {
            next.claude.api_key.clone_from(&self.claude.api_key);
            waiting.push("claude.api_key");
        }
        if secrets(&self.claude.auth_token) != secrets(&next.claude.auth_token) {
            next.claude.auth_token.clone_from(&self.claude.auth_token);
            waiting.push("claude.auth_token");
        }
        if (names(&self.claude), values(&self.claude)) != (names(&next.claude), values(&next.claude)) {
            next.claude.headers.clone_from(&self.claude.headers);
            waiting.push("claude.headers");
        }
        let key = |config: &Self| {
            let key = config.transcription.iter().filter_map(|one| one.api_key.as_ref());
            key.map(|key| key.expose().to_owned()).next()
        };
        if key(self) != key(next) {
            next.transcription.clone_from(&self.transcription);
            waiting.push("transcription.api_key");
        }
        waiting
    }

    fn credentials_differ(&self, next: &Self) -> bool {
        let labels = |config: &Self| config.credentials.keys().cloned().collect::<BTreeSet<_>>();
        labels(self) != labels(next) || secrets(self.credentials.values()) != secrets(next.credentials.values())
    }
}

/// Returns the keys in which a coworker differs.
fn keys_changed(before: &Coworker, after: &Coworker) -> Vec<&'static str> {
    differing!(
        before,
        after,
        [name, "name"],
        [purpose, "purpose"],
        [instructions, "instructions"],
        [model, "model"],
        [effort, "effort"],
        [reply_in, "reply_in"],
        [accept_invites_from, "accept_invites_from"],
        [avatar, "avatar"],
        [silent_join, "silent_join"],
        [budget_usd_month, "budget_usd_month"],
        [tools, "tools"],
        [reads, "history"],
        [hooks, "hooks"],
        [watches, "watches"],
        [schedules, "schedules"],
    )
}
