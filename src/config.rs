//! `config/workmate.yaml` and `config/coworkers/*.yaml`: parsing, secrets, and validation that reports every fault.

mod budgets;
mod certificates;
mod claude;
mod connections;
mod console;
mod coworkers;
mod fault;
mod file;
mod following;
mod grants;
mod key;
mod keys;
mod load;
mod owner;
mod registration;
mod schedules;
mod secrets;
mod section;
mod slips;
mod template;
mod tooling;
mod transcription;
mod unasked;
mod value;
mod workspace;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ruma::{OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};
use url::Url;

use crate::{
    core::{
        asker::Reads,
        breaker::{BreakerLimits, Rates, Whose},
        budget::{Budgets, Usd},
        hook::Hook,
        people::{Bridge, CoworkerId, Guests, Namespace},
        schedule::ScheduleLimits,
        tool::{Grant, Server},
        watch::Watch,
        zone::Zone,
    },
    secret::{MasterSecret, Rotating, Secret, Tokens},
};

#[cfg(feature = "doubles")]
pub(crate) use self::load::faults_in;
pub use self::{
    connections::Connections,
    fault::{Fault, Faults},
    following::Changes,
    owner::{Account, belongs, own_uid, user_name, whose, whose_if_denied},
    registration::Registration,
    schedules::Schedule,
    secrets::{previous, reason},
    template::{COWORKER_FILES, NewCoworker, config_file, schema_files},
};
pub use crate::core::prompt::Effort;

/// Looks up an environment variable; passed in, so that tests do not depend on the process's environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Parses the base URL of a homeserver or appservice, for callers outside the config file.
///
/// # Errors
/// What is wrong and how to mend it, on one line.
pub fn parse_base_url(text: &str) -> Result<Url, String> {
    value::parse_base_url(text, "/_matrix").map_err(|trouble| format!("{}: {}", trouble.what, trouble.mend))
}

/// Parses a homeserver's name, for callers outside the config file.
///
/// # Errors
/// What is wrong and how to mend it, on one line.
pub fn parse_server_name(text: &str) -> Result<OwnedServerName, String> {
    value::parse_server_name(text).map_err(|trouble| format!("{}: {}", trouble.what, trouble.mend))
}

/// Returns a path from outside the config file, if it is one without a shell.
///
/// # Errors
/// What is wrong and how to mend it, on one line.
pub fn written_out(path: PathBuf) -> Result<PathBuf, String> {
    match path.to_str().and_then(slips::unexpanded) {
        Some(trouble) => Err(format!("{}: {}", trouble.what, trouble.mend)),
        None => Ok(path),
    }
}

/// Parses a listen address, for callers outside the config file.
///
/// # Errors
/// What is wrong and how to mend it, on one line.
pub fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    value::parse_socket(text).map_err(|trouble| format!("{}: {}", trouble.what, trouble.mend))
}

/// The whole configuration, validated; nothing in it needs another check.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The homeserver's URL and name.
    pub homeserver: Homeserver,
    /// Our endpoint, tokens and namespace.
    pub appservice: Appservice,
    /// Where `/healthz` and `/readyz` listen.
    pub health_listen: SocketAddr,
    /// Where the calls of webhooks are awaited, if there is a hook.
    pub hooks_listen: SocketAddr,
    /// The public address of that listener, if the operator has named it.
    pub hooks_url: Option<Url>,
    /// Where owners' own programs connect, and how long an unused connection lasts.
    pub connections: Connections,
    /// Where the operators' console is reached; `None` where it is not opened.
    pub console: Option<crate::core::connection::place::Reached>,
    /// The data folder, as given relative to the config file.
    pub data_dir: PathBuf,
    /// The folder of the coworkers' files.
    pub coworkers_dir: PathBuf,
    /// The secret from which store keys and recovery passphrases are derived.
    pub master: MasterSecret,
    /// How to reach the Messages API.
    pub claude: Claude,
    /// Who belongs to the workspace beyond its local users.
    pub workspace: Workspace,
    /// Settings of all assistants.
    pub assistants: Assistants,
    /// The recogniser that hears voice messages, if there is one (`transcription:`).
    pub transcription: Option<Transcription>,
    /// Named limits.
    pub limits: Limits,
    /// Limits on the model's cost.
    pub budgets: Budgets,
    /// The coworkers, sorted by id.
    pub coworkers: Vec<Arc<Coworker>>,
    /// The MCP servers (`mcp_servers:`).
    pub mcp_servers: Vec<Server>,
    /// Credentials for tools by label (`credentials:`).
    pub credentials: BTreeMap<String, Secret>,
    /// What is kept of runs, and how long.
    pub audit: Audit,
    /// What is logged, and how.
    pub log: Log,
    /// The registration that `check` compares with; `None` means the one that `init` writes, if it exists.
    pub registration_file: Option<PathBuf>,
    /// Faults in coworkers' files. Those coworkers are missing from [`Self::coworkers`]; the others are there.
    pub left_out: Vec<Fault>,
}

impl Config {
    /// Returns the process's own secrets, which must not appear in anything it shows or sends. Together with
    /// [`Self::credentials`] these are all secrets.
    #[must_use]
    pub fn own_secrets(&self) -> Vec<Secret> {
        let tokens = [&self.appservice.as_token, &self.appservice.hs_token];
        let claude = &self.claude;
        let headers = claude.headers.iter().map(|(_, value)| value).filter(|value| value.expose().len() >= HIDDEN_MIN);
        let recogniser = self.transcription.iter().filter_map(|transcription| transcription.api_key.as_ref());
        let tokens = tokens.into_iter().chain(self.appservice.before.iter().flatten());
        let all = tokens.chain(&claude.api_key).chain(&claude.auth_token).chain(headers).chain(recogniser);
        all.cloned().chain([self.master.encode()]).collect()
    }

    /// Returns the limits on files.
    #[must_use]
    pub fn files(&self) -> crate::core::media::Limits {
        crate::core::media::Limits {
            files_max: self.limits.files_max,
            file_bytes_max: self.limits.file_bytes_max,
            hears: self.transcription.is_some(),
        }
    }

    /// Returns the address of `/healthz` and `/readyz`; the file's other keys may have faults.
    ///
    /// # Errors
    /// If the file cannot be read, or this key has a fault.
    pub fn health_listen_of(path: &Path) -> Result<SocketAddr, Faults> {
        load::health_listen(path)
    }

    /// Loads the config file at `path` and everything it names, with the process's environment. A coworker whose file
    /// has faults is left out, so that it costs only itself.
    ///
    /// # Errors
    /// If any other file has a fault: every fault of every file, to be shown to the operator as it is.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        load::load(path, &|name| std::env::var(name).ok()).map(|(config, _)| config)
    }

    /// Like [`Self::load`], with another environment and leaving nobody out; also returns warnings.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load_with(path: &Path, env: Env<'_>) -> Result<(Self, Vec<Fault>), Faults> {
        let (config, warnings) = load::load(path, env)?;
        if config.left_out.is_empty() { Ok((config, warnings)) } else { Err(config.left_out.into()) }
    }

    /// Like [`Self::load_with`], but leaves out the coworkers whose files have faults, as [`Self::load`] does.
    ///
    /// # Errors
    /// If any other file has a fault: every fault of every file.
    pub fn load_leaving_out(path: &Path, env: Env<'_>) -> Result<(Self, Vec<Fault>), Faults> {
        load::load(path, env)
    }

    /// Returns the data folder; the file's other keys may have faults.
    ///
    /// # Errors
    /// If the file cannot be read, or this key has a fault.
    pub fn data_dir_of(path: &Path) -> Result<PathBuf, Faults> {
        load::data_dir(path)
    }

    /// Returns the folder of the coworkers' files; the default one if the config file has faults there.
    #[must_use]
    pub fn coworkers_dir_of(path: &Path) -> PathBuf {
        load::coworkers_dir(path)
    }

    /// Returns whether any coworker has a webhook, so that their listener is opened.
    #[must_use]
    pub fn has_hooks(&self) -> bool {
        self.coworkers.iter().any(|coworker| !coworker.hooks.is_empty())
    }

    /// Returns the ids of the coworkers whose files have faults.
    #[must_use]
    pub fn left_out_ids(&self) -> BTreeSet<String> {
        let stem = |fault: &Fault| Some(fault.file.file_stem()?.to_str()?.to_owned());
        self.left_out.iter().filter_map(stem).collect()
    }

    /// Returns whose words are watched: bots and bridges, which ask for nothing otherwise.
    fn watched(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.coworkers.iter().flat_map(|coworker| &coworker.watches).flat_map(|watch| &watch.senders)
    }

    /// Returns the namespace on which decisions are based.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace {
            server: self.homeserver.server_name.clone(),
            service: self.appservice.service_localpart.clone(),
            coworker_prefix: self.appservice.coworker_prefix.clone(),
            assistant_prefix: self.appservice.assistant_prefix.clone(),
            allowed_servers: self.workspace.allowed_servers.clone(),
            bots: self.workspace.bots.iter().chain(self.watched()).cloned().collect(),
            bridges: self.workspace.bridges.clone(),
            guests: self.workspace.guests,
        }
    }
}

/// `homeserver:`
#[derive(Clone, Debug)]
pub struct Homeserver {
    /// The base URL of the client-server API, without `/_matrix`.
    pub url: Url,
    /// The part after the colon in its users' ids.
    pub server_name: OwnedServerName,
    /// The HTTP proxy for calls to it, unless it is on this machine.
    pub proxy: Option<Url>,
}

/// `appservice:`
#[derive(Clone, Debug)]
pub struct Appservice {
    /// The registration's `id`.
    pub id: String,
    /// The address on which we listen for the homeserver.
    pub listen: SocketAddr,
    /// The URL at which the homeserver reaches us (the registration's `url`).
    pub url: Url,
    /// The token that authenticates us to the homeserver.
    pub as_token: Secret,
    /// The token that authenticates the homeserver to us.
    pub hs_token: Secret,
    /// The tokens before these, which the homeserver uses until it has read the new registration.
    pub before: [Option<Secret>; 2],
    /// The files that hold the `as_token` and the `hs_token`, where files hold them.
    pub token_files: Option<[PathBuf; 2]>,
    /// The service bot's localpart.
    pub service_localpart: String,
    /// The prefix of coworkers' localparts.
    pub coworker_prefix: String,
    /// The prefix of assistants' localparts.
    pub assistant_prefix: String,
}

impl Appservice {
    /// Returns the tokens as they are at a start: the homeserver may still use those before them.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        let [ours, theirs] = self.before.clone();
        Tokens {
            ours: Rotating::new(self.as_token.clone(), ours),
            theirs: Rotating::new(self.hs_token.clone(), theirs),
        }
    }

    /// Reads both tokens' files again.
    ///
    /// # Errors
    /// If there are none, or one of them has a fault.
    pub fn read_tokens(&self) -> Result<[Secret; 2], String> {
        let Some([ours, theirs]) = &self.token_files else {
            return Err("the tokens do not come from files, so that they cannot be read again".to_owned());
        };
        Ok([secrets::read_token(ours)?, secrets::read_token(theirs)?])
    }
}

/// A shorter header value is not a secret; masking it everywhere would damage harmless text.
const HIDDEN_MIN: usize = 8;

/// `claude:`
#[derive(Clone, Debug)]
pub struct Claude {
    /// The base URL of the Messages API, without `/v1`.
    pub base_url: Url,
    /// The key; without one Workmate starts and answers that it is missing.
    pub api_key: Option<Secret>,
    /// A token sent as `Authorization: Bearer`, e.g. for a gateway.
    pub auth_token: Option<Secret>,
    /// Further headers for every call, by name.
    pub headers: Vec<(String, Secret)>,
    /// `anthropic-version`.
    pub api_version: String,
    /// How long a stream may be silent, in seconds.
    pub idle_seconds: u32,
    /// The proxy for calls to it.
    pub proxy: Option<Url>,
    /// The default model of coworkers and assistants.
    pub model: String,
    /// The models asked in this order when the one before refuses.
    pub fallback_models: Vec<String>,
    /// Their default effort.
    pub effort: Effort,
    /// `max_tokens` of each call: the most tokens for thinking and answer together.
    pub output_tokens_max: u32,
}

impl Claude {
    /// Returns whether there is any credential: a key, a token, or a gateway's header that carries one.
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
    /// Other servers whose users belong to the workspace.
    pub allowed_servers: BTreeSet<OwnedServerName>,
    /// Bots that are not ours, by full user id.
    pub bots: BTreeSet<OwnedUserId>,
    /// Bridges that are not ours.
    pub bridges: Vec<Bridge>,
    /// How the homeserver's guests are recognised.
    pub guests: Guests,
    /// Admins, by full user id.
    pub admins: BTreeSet<OwnedUserId>,
    /// The space whose local members are the workspace's.
    pub space: Option<OwnedRoomOrAliasId>,
    /// Whether unencrypted messages in an encrypted room are obeyed.
    pub obey_unencrypted: bool,
    /// Whether the service bot keeps a lobby, in which people find the coworkers.
    pub lobby: bool,
    /// Where the budgets' days and months begin.
    pub zone: Zone,
}

/// `assistants:`
#[derive(Clone, Debug)]
pub struct Assistants {
    /// Whether there are assistants at all.
    pub enabled: bool,
    /// The operator's instructions for every assistant.
    pub instructions: String,
    /// The model; `None` means `claude.model`.
    pub model: Option<String>,
    /// The effort; `None` means `claude.effort`.
    pub effort: Option<Effort>,
    /// The pause after which a session starts afresh, in hours.
    pub session_idle_hours: u32,
    /// Who is given one without asking.
    pub provision: Provision,
    /// Assistants made or people looked up each minute, at most.
    pub provision_per_minute: u32,
    /// Days from an owner's departure to the deletion of their assistant's data.
    pub gone_grace_days: u32,
    /// The tools of every assistant; none by default.
    pub tools: Vec<Grant>,
    /// Whether messages from devices that their owner has not verified go unanswered.
    pub require_verified_devices: bool,
}

/// `assistants.provision`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provision {
    /// Nobody; people ask for one.
    #[default]
    Request,
    /// Every local member of the workspace's space.
    Members,
}

/// `limits:`; each has a default and bounds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most tokens of a room's newest history in a prompt.
    pub context_tokens_max: u32,
    /// Most files in a prompt; 0 for none.
    pub files_max: usize,
    /// Most bytes of a file as it was sent.
    pub file_bytes_max: u64,
    /// Concurrent runs over all rooms.
    pub runs_max: usize,
    /// Concurrent runs in one room.
    pub room_runs_max: usize,
    /// Runs waiting in one room; further ones are declined.
    pub waiting_runs_max: usize,
    /// Virtual users provisioned concurrently at a start.
    pub provisioning_max: usize,
    /// Assistants' clients open at the same time.
    pub assistants_live_max: usize,
    /// Age in minutes from which a request counts as late, so that its answer says so; also how long an event waits for
    /// its key.
    pub deadline_minutes: u32,
    /// Most bytes of a transaction's body.
    pub transaction_bytes_max: usize,
    /// Model calls of a run: the first, and one after each round of tools.
    pub tool_rounds_max: u32,
    /// Tool calls of a run executed concurrently.
    pub tools_at_once_max: usize,
    /// Prompt and answer tokens over all calls of a run; a run that exceeds them ends.
    pub run_tokens_max: u64,
    /// How long a card stays open, in minutes.
    pub approval_minutes: u32,
    /// Runs that one person may start in five minutes (C14).
    pub person_requests_max: usize,
    /// Runs that may start in one room in five minutes.
    pub room_requests_max: usize,
}

/// `transcription:`
#[derive(Clone, Debug)]
pub struct Transcription {
    /// The base URL of the recogniser, without `/v1`.
    pub url: Url,
    /// The model that it is asked for.
    pub model: String,
    /// Its key.
    pub api_key: Option<Secret>,
    /// The language that is spoken; `None` lets it guess.
    pub language: Option<String>,
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
    /// Returns the breakers' limits for people and rooms.
    #[must_use]
    pub fn rates(&self) -> Rates {
        Rates {
            person: BreakerLimits::of(Whose::Person, self.person_requests_max),
            room: BreakerLimits::of(Whose::Room, self.room_requests_max),
        }
    }

    /// Returns the age from which a request counts as late, in milliseconds.
    #[must_use]
    pub fn deadline_ms(&self) -> u64 {
        u64::from(self.deadline_minutes) * 60_000
    }

    /// Returns the limits of the schedule.
    #[must_use]
    pub fn schedule(&self) -> ScheduleLimits {
        let Self { runs_max, room_runs_max, waiting_runs_max, .. } = *self;
        ScheduleLimits { runs_max, room_runs_max, waiting_runs_max }
    }
}

/// One file of `config/coworkers/`.
#[derive(Clone, Debug)]
pub struct Coworker {
    /// The id; prefix and id make the localpart.
    pub id: CoworkerId,
    /// The name; the display name adds " · coworker".
    pub name: String,
    /// What it is for, on one line.
    pub purpose: String,
    /// The operator's instructions to the model.
    pub instructions: String,
    /// The model; `None` means `claude.model`.
    pub model: Option<String>,
    /// The effort; `None` means `claude.effort`.
    pub effort: Option<Effort>,
    /// Where its answers go.
    pub reply_in: ReplyIn,
    /// Whose invites it accepts.
    pub accept_invites_from: AcceptInvites,
    /// The image file of its avatar; `None` generates one.
    pub avatar: Option<PathBuf>,
    /// Whether it joins rooms without first words (C17).
    pub silent_join: bool,
    /// Its monthly budget; none by default (C19).
    pub budget_usd_month: Option<Usd>,
    /// The tools granted to it; none by default (C12).
    pub tools: Vec<Grant>,
    /// `history`: on whose behalf it reads (C7).
    pub reads: Reads,
    /// Its webhooks (C21).
    pub hooks: Vec<Webhook>,
    /// Its watches (C22).
    pub watches: Vec<Watch>,
    /// Its work at set times (C20).
    pub schedules: Vec<Schedule>,
}

/// One of a coworker's `hooks:`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What it takes, and what comes of it.
    pub hook: Hook,
    /// The label of its secret among the credentials.
    pub credential: String,
}

impl Coworker {
    /// Returns its display name, which says what it is (C1).
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("{} · coworker", self.name)
    }
}

/// `reply_in:` of a coworker (C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyIn {
    /// In a thread on the request.
    Thread,
    /// In the timeline.
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
    /// `target=level` directives, in addition to the built-in ones.
    pub filter: Option<String>,
}

/// `log.format:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line, for machines.
    Json,
}

#[cfg(test)]
mod tests;
