//! `config/workmate.yaml` and `config/coworkers/*.yaml`: raw shapes, secrets, and validation that reports every fault.

mod budgets;
mod claude;
mod coworkers;
mod fault;
mod grants;
mod keys;
mod load;
mod owner;
mod registration;
mod secrets;
mod section;
mod template;
mod tooling;
mod value;
mod workspace;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ruma::{OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};
use url::Url;

use crate::{
    core::{
        asker::Reads,
        breaker::{BreakerLimits, Rates, Whose},
        budget::{Budgets, Usd},
        people::{Bridge, CoworkerId, Guests, Namespace},
        schedule::ScheduleLimits,
        tool::{Grant, Server},
    },
    secret::{MasterSecret, Secret},
};

pub(crate) use self::load::faults_in;
use self::load::read_yaml;
pub use self::{
    fault::{Fault, Faults},
    owner::{Account, own_uid, user_name, whose, whose_if_denied},
    registration::Registration,
    template::{COWORKER_FILES, config_file, schema_files},
};
pub use crate::core::prompt::Effort;

/// Looks up an environment variable; handed in, so that tests need no process environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the base URL of a homeserver or appservice, for those who are given one outside the config file.
///
/// # Errors
/// What is wrong with it and how to mend that, on one line.
pub fn parse_base_url(text: &str) -> Result<Url, String> {
    value::parse_base_url(text, "/_matrix").map_err(|trouble| format!("{}: {}", trouble.what, trouble.mend))
}

/// Returns a homeserver's name, as [`parse_base_url`] does with a URL.
///
/// # Errors
/// What is wrong with it and how to mend that, on one line.
pub fn parse_server_name(text: &str) -> Result<OwnedServerName, String> {
    value::parse_server_name(text).map_err(|trouble| format!("{}: {}", trouble.what, trouble.mend))
}

/// Returns an address to listen on, as [`parse_base_url`] does with a URL.
///
/// # Errors
/// What is wrong with it and how to mend that, on one line.
pub fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    value::parse_socket(text).map_err(|trouble| format!("{}: {}", trouble.what, trouble.mend))
}

/// The whole configuration, checked; nothing in it needs checking again.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the homeserver is and what it is called.
    pub homeserver: Homeserver,
    /// The appservice's own endpoint, tokens and namespace.
    pub appservice: Appservice,
    /// Where `/healthz` and `/readyz` listen.
    pub health_listen: SocketAddr,
    /// Where everything is stored; relative paths are relative to the config file.
    pub data_dir: PathBuf,
    /// Where the coworkers' files are.
    pub coworkers_dir: PathBuf,
    /// The secret that store keys and recovery passphrases are derived from.
    pub master: MasterSecret,
    /// How the Messages API is reached.
    pub claude: Claude,
    /// Who belongs to the workspace beyond its local users.
    pub workspace: Workspace,
    /// The assistants.
    pub assistants: Assistants,
    /// Named limits.
    pub limits: Limits,
    /// What the model may cost.
    pub budgets: Budgets,
    /// The coworkers, by id.
    pub coworkers: Vec<Coworker>,
    /// The MCP servers (`mcp_servers:`).
    pub mcp_servers: Vec<Server>,
    /// Credentials for tools, by their labels (`credentials:`).
    pub credentials: BTreeMap<String, Secret>,
    /// What is kept of runs.
    pub audit: Audit,
    /// What is logged, and how.
    pub log: Log,
    /// The registration that `check` compares with this; without it the one that `init` writes, if it is there.
    pub registration_file: Option<PathBuf>,
    /// What is wrong with coworkers' files: these coworkers are not among [`Self::coworkers`], and the others are.
    pub left_out: Vec<Fault>,
}

impl Config {
    /// Returns the process's own secrets, which nothing that it shows or sends may hold: with [`Self::credentials`],
    /// all that there are.
    #[must_use]
    pub fn own_secrets(&self) -> Vec<Secret> {
        let tokens = [&self.appservice.as_token, &self.appservice.hs_token];
        let claude = &self.claude;
        let headers = claude.headers.iter().map(|(_, value)| value).filter(|value| value.expose().len() >= HIDDEN_MIN);
        let all = tokens.into_iter().chain(&claude.api_key).chain(&claude.auth_token).chain(headers);
        all.cloned().chain([self.master.encode()]).collect()
    }

    /// Reads the config file at `path` and all that it names, with the process's environment. A coworker whose file has
    /// faults is left out, so that it costs nobody but itself.
    ///
    /// # Errors
    /// Every fault of every file, to be shown to the operator as they are, where another file than a coworker's has one.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        load::load(path, &|name| std::env::var(name).ok()).map(|(config, _)| config)
    }

    /// As [`Self::load`] with another environment, and nobody is left out; also returns what is no fault, but doubtful.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load_with(path: &Path, env: Env<'_>) -> Result<(Self, Vec<Fault>), Faults> {
        let (config, warnings) = load::load(path, env)?;
        if config.left_out.is_empty() { Ok((config, warnings)) } else { Err(config.left_out.into()) }
    }

    /// Returns the ids of the coworkers whose files have faults.
    #[must_use]
    pub fn left_out_ids(&self) -> BTreeSet<String> {
        let stem = |fault: &Fault| Some(fault.file.file_stem()?.to_str()?.to_owned());
        self.left_out.iter().filter_map(stem).collect()
    }

    /// Returns the namespace that decisions are made with.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace {
            server: self.homeserver.server_name.clone(),
            service: self.appservice.service_localpart.clone(),
            coworker_prefix: self.appservice.coworker_prefix.clone(),
            assistant_prefix: self.appservice.assistant_prefix.clone(),
            allowed_servers: self.workspace.allowed_servers.clone(),
            bots: self.workspace.bots.clone(),
            bridges: self.workspace.bridges.clone(),
            guests: self.workspace.guests,
        }
    }
}

/// `homeserver:`
#[derive(Clone, Debug)]
pub struct Homeserver {
    /// Client-server API base, without `/_matrix`.
    pub url: Url,
    /// The part after the colon in its users' ids.
    pub server_name: OwnedServerName,
    /// The HTTP proxy by which it is called, if it is not on this machine.
    pub proxy: Option<Url>,
}

/// `appservice:`
#[derive(Clone, Debug)]
pub struct Appservice {
    /// `id` in the registration.
    pub id: String,
    /// Where the homeserver's calls are awaited.
    pub listen: SocketAddr,
    /// The URL under which the homeserver finds us (`url` in the registration).
    pub url: Url,
    /// What we authenticate with to the homeserver.
    pub as_token: Secret,
    /// What the homeserver authenticates with to us.
    pub hs_token: Secret,
    /// Localpart of the service bot.
    pub service_localpart: String,
    /// What a coworker's localpart begins with.
    pub coworker_prefix: String,
    /// What an assistant's localpart begins with.
    pub assistant_prefix: String,
}

/// A header's value that is shorter is no secret; hiding it everywhere would make holes in harmless text.
const HIDDEN_MIN: usize = 8;

/// `claude:`
#[derive(Clone, Debug)]
pub struct Claude {
    /// Base of the Messages API, without `/v1`.
    pub base_url: Url,
    /// The key; `None` where it is missing, which is an answerable fault and not a crash.
    pub api_key: Option<Secret>,
    /// A token that goes as `Authorization: Bearer`, e.g. of a gateway.
    pub auth_token: Option<Secret>,
    /// Further headers of every call, by name.
    pub headers: Vec<(String, Secret)>,
    /// `anthropic-version`.
    pub api_version: String,
    /// How long a stream may be silent, in seconds.
    pub idle_seconds: u32,
    /// The proxy that its calls go through.
    pub proxy: Option<Url>,
    /// Model where a coworker or the assistants name none.
    pub model: String,
    /// Effort where they name none.
    pub effort: Effort,
    /// `max_tokens` of each call: room for thinking and answer, in tokens.
    pub output_tokens_max: u32,
}

impl Claude {
    /// Returns whether anything says who asks: a key, a token, or a header of a gateway's that carries one.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        let signs =
            |name: &str| ["x-api-key", "authorization", "api-key"].contains(&name.to_ascii_lowercase().as_str());
        self.api_key.is_some() || self.auth_token.is_some() || self.headers.iter().any(|(name, _)| signs(name))
    }
}

/// `workspace:`
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Other servers whose users count as the workspace's.
    pub allowed_servers: BTreeSet<OwnedServerName>,
    /// Bots of other makers, by full user id.
    pub bots: BTreeSet<OwnedUserId>,
    /// Bridges of other makers.
    pub bridges: Vec<Bridge>,
    /// How the homeserver's guests are known.
    pub guests: Guests,
    /// Admins, by full user id.
    pub admins: BTreeSet<OwnedUserId>,
    /// The space whose local members are the workspace's.
    pub space: Option<OwnedRoomOrAliasId>,
    /// Whether what comes unencrypted into an encrypted room is obeyed.
    pub obey_unencrypted: bool,
    /// Whether the service bot keeps a room in which the coworkers are found.
    pub lobby: bool,
}

/// `assistants:`
#[derive(Clone, Debug)]
pub struct Assistants {
    /// Whether there are any.
    pub enabled: bool,
    /// What the operator adds to every assistant's instructions.
    pub instructions: String,
    /// The model; falls back to `claude.model`.
    pub model: Option<String>,
    /// The effort; falls back to `claude.effort`.
    pub effort: Option<Effort>,
    /// A pause after which the session starts afresh, in hours.
    pub session_idle_hours: u32,
    /// Who gets one without asking.
    pub provision: Provision,
    /// Assistants made, or people looked up, in a minute.
    pub provision_per_minute: u32,
    /// Days between an owner's going and the deletion of what their assistant has.
    pub gone_grace_days: u32,
    /// The tools that each of them may use; none by default.
    pub tools: Vec<Grant>,
    /// Whether devices that their owner has not verified are left unanswered.
    pub require_verified_devices: bool,
}

/// `assistants.provision`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provision {
    /// Who asks.
    #[default]
    Request,
    /// Every local member of the workspace's space.
    Members,
}

/// `limits:`; every one has a default and a bound.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of the newest part of a room's history that a prompt may hold, in tokens.
    pub context_tokens_max: u32,
    /// Files that one prompt may hold; none where it is 0.
    pub files_max: usize,
    /// One file as it was sent, in bytes.
    pub file_bytes_max: u64,
    /// Runs at once over all rooms.
    pub runs_max: usize,
    /// Runs at once in one room.
    pub room_runs_max: usize,
    /// Runs that wait in one room; further ones are declined.
    pub waiting_runs_max: usize,
    /// Virtual users provisioned at once at start.
    pub provisioning_max: usize,
    /// Assistants' clients open at once.
    pub assistants_live_max: usize,
    /// A request older than this, found after downtime, is answered only with a word that it is late; minutes.
    pub deadline_minutes: u32,
    /// Body of one transaction, in bytes.
    pub transaction_bytes_max: usize,
    /// Calls of the model in one run: the first, and one after each round of tools.
    pub tool_rounds_max: u32,
    /// Tool calls of one run that are carried out at once.
    pub tools_at_once_max: usize,
    /// Prompt and answer tokens of all calls of one run; a run that has used them up ends.
    pub run_tokens_max: u64,
    /// How long an approval is waited for, in minutes.
    pub approval_minutes: u32,
    /// Runs that one person may begin in five minutes (C14).
    pub person_requests_max: usize,
    /// Runs that may begin in one room in five minutes.
    pub room_requests_max: usize,
}

/// `audit:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Whether the service bot keeps an audit room for the admins (C13).
    pub room: bool,
    /// How long the index of runs is kept, in days.
    pub retention_days: u32,
}

impl Limits {
    /// Returns what is allowed of files.
    #[must_use]
    pub fn files(&self) -> crate::core::media::Limits {
        crate::core::media::Limits { files_max: self.files_max, file_bytes_max: self.file_bytes_max }
    }
}

impl Limits {
    /// Returns the rates at which people and rooms are stopped.
    #[must_use]
    pub fn rates(&self) -> Rates {
        Rates {
            person: BreakerLimits::of(Whose::Person, self.person_requests_max),
            room: BreakerLimits::of(Whose::Room, self.room_requests_max),
        }
    }

    /// Returns what the schedule of runs keeps to.
    #[must_use]
    pub fn schedule(&self) -> ScheduleLimits {
        let Self { runs_max, room_runs_max, waiting_runs_max, .. } = *self;
        ScheduleLimits { runs_max, room_runs_max, waiting_runs_max }
    }
}

/// One file of `config/coworkers/`.
#[derive(Clone, Debug)]
pub struct Coworker {
    /// Its id; the localpart is the prefix and this.
    pub id: CoworkerId,
    /// Its name; the display name is this and " · coworker".
    pub name: String,
    /// One line: what it is for.
    pub purpose: String,
    /// What the model is told, in the operator's words.
    pub instructions: String,
    /// The model; falls back to `claude.model`.
    pub model: Option<String>,
    /// The effort; falls back to `claude.effort`.
    pub effort: Option<Effort>,
    /// Where answers in a room go.
    pub reply_in: ReplyIn,
    /// Whose invites it accepts.
    pub accept_invites_from: AcceptInvites,
    /// An image to upload as its avatar; generated where there is none.
    pub avatar: Option<PathBuf>,
    /// Whether it says nothing on joining a room (C17).
    pub silent_join: bool,
    /// What it may cost in a month; no limit by default (C19).
    pub budget_usd_month: Option<Usd>,
    /// The tools that it may use; none by default (C12).
    pub tools: Vec<Grant>,
    /// `history`: for whom it reads what (C7).
    pub reads: Reads,
}

impl Coworker {
    /// Returns what it is called in rooms, which says what it is (C1).
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("{} · coworker", self.name)
    }
}

/// `reply_in:` of a coworker (C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyIn {
    /// A thread on the request.
    Thread,
    /// The timeline.
    Timeline,
}

/// `accept_invites_from:` of a coworker (C3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptInvites {
    /// `members`: everyone of the workspace.
    Members,
    /// `[@alice:example.org, …]`: only these people, by full user id.
    Only(BTreeSet<OwnedUserId>),
}

/// `log:`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// `target=level` directives, added to the built-in ones.
    pub filter: Option<String>,
}

/// `log.format:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

#[cfg(test)]
mod tests;
