//! Tools in core: which exist, which a coworker's config grants, and so what a call needs (C12).
//!
//! An [`Offer`] is a tool that some part of the process can execute. A [`Grant`] is an operator's entry in
//! `config/coworkers/*.yaml`. [`Toolset::resolve`] combines them into a coworker's allow-list. A tool that is not on it
//! does not exist for the coworker, whatever a model, a server's annotation or a member says. A grant may be bound to
//! rooms ([`Here`]). A server's tool that has changed since it was granted is withheld until an admin has looked at it.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedRoomOrAliasId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{computing, hex::hex, prompt::ToolDefinition};

mod built_in;
pub(crate) mod fitting;
mod output;
mod pending;
pub(crate) mod schema;
mod server;
pub(in crate::core) mod shown;
#[cfg(test)]
mod tests;

pub use self::{
    built_in::{BUILT_IN, BuiltIn, By, built_in},
    output::Output,
    pending::{Pending, number},
    server::{Server, Setting, Transport},
    shown::{canonical, shown_whole},
};

/// Most characters of a tool's name (Messages API: `^[a-zA-Z0-9_-]{1,64}$`).
pub const NAME_CHARS_MAX: usize = 64;
/// Most characters of a description for the model; a server's own may be endless.
pub const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// Most bytes of a schema; a tool with a larger one is not offered.
pub const SCHEMA_BYTES_MAX: usize = 32 << 10;
/// Most tools of one coworker.
pub const TOOLS_MAX: usize = 128;
/// The default time limit of a call, in milliseconds.
pub const TIMEOUT_MS: u64 = 30_000;
/// The default of how many bytes of a result the model gets.
pub const OUTPUT_BYTES_MAX: usize = 32 << 10;
/// A moderator's default power level.
pub const MODERATOR_LEVEL: i64 = 50;
/// Separates a server's name from its tool's.
pub const SERVER_SEPARATOR: &str = "__";

/// The name by which a model calls a tool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(String);

impl ToolName {
    /// Parses a name that the Messages API accepts.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        let is_name = !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(fits);
        is_name.then(|| Self(name.to_owned()))
    }

    /// Returns the name of a server's tool: `server__tool`, with other characters replaced by `_`.
    #[must_use]
    pub fn of_server(server: &str, tool: &str) -> Option<Self> {
        let clean = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' };
        let tool: String = tool.chars().map(clean).collect();
        Self::parse(&format!("{server}{SERVER_SEPARATOR}{tool}"))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ToolName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name).ok_or_else(|| "not a tool's name".to_owned())
    }
}

impl From<ToolName> for String {
    fn from(name: ToolName) -> Self {
        name.0
    }
}

/// Whether a tool changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It only reads.
    Read,
    /// It may change something.
    Write,
}

/// Whose approval a call needs; checked only when the decision comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRule {
    /// Nobody's.
    Never,
    /// The asker's.
    Asker,
    /// Of somebody with at least this power level in the room.
    Moderator {
        /// The power level.
        level: i64,
    },
    /// Of one of these people, by full user id.
    People(BTreeSet<OwnedUserId>),
}

/// Who executes a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Workmate, in the room where it was asked.
    Room,
    /// Workmate, in an assistant's own chat.
    Chat,
    /// Workmate, outside Matrix (`http_get`, `time`).
    Process,
    /// A configured MCP server.
    Mcp {
        /// The server's name in the config.
        server: String,
        /// The server's own name for the tool.
        tool: String,
    },
    /// The model's provider, which gets the raw definition.
    Provider,
}

/// A tool that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its name for the model.
    pub name: ToolName,
    /// Its description for the model; an MCP server's words for that server's tool.
    pub description: String,
    /// The JSON schema of its arguments; for [`Source::Provider`] the raw definition.
    pub schema: Value,
    /// Who executes it.
    pub source: Source,
    /// Its class unless the grant overrides it. An MCP tool's annotations do not count.
    pub class: Class,
    /// Its approval rule unless the grant overrides it.
    pub approval: ApprovalRule,
    /// Whether a call with an unknown outcome may be repeated.
    pub idempotent: bool,
}

impl Offer {
    /// Returns the offer of an MCP server's tool: a write that the asker approves, until a grant says otherwise.
    #[must_use]
    pub fn of_server(server: &str, tool: &str, description: String, schema: Value) -> Option<Self> {
        Some(Self {
            name: ToolName::of_server(server, tool)?,
            description,
            schema,
            source: Source::Mcp { server: server.to_owned(), tool: tool.to_owned() },
            class: Class::Write,
            approval: ApprovalRule::Asker,
            idempotent: false,
        })
    }

    /// Returns a hash that changes with the tool's description and schema.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let whole = serde_json::json!([self.name, self.description, self.schema]);
        hex(&Sha256::digest(whole.to_string())[..16])
    }
}

/// An operator's grant of one tool, or of all whose names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// A tool's name, or a prefix followed by `*` (`fs__read_*`).
    pub pattern: String,
    /// Overrides the offer's class.
    pub class: Option<Class>,
    /// Overrides the offer's approval rule.
    pub approval: Option<ApprovalRule>,
    /// Overrides [`TIMEOUT_MS`].
    pub timeout_ms: Option<u64>,
    /// Overrides [`OUTPUT_BYTES_MAX`].
    pub output_bytes_max: Option<usize>,
    /// Overrides the offer's idempotence.
    pub idempotent: Option<bool>,
    /// Hosts that `http_get`, `web_search` and `web_fetch` may reach: exact names, or `*.` and a domain.
    pub hosts: Vec<String>,
    /// The label of the credential sent with the call (`http_get`); never shown to the model.
    pub credential: Option<String>,
    /// The only rooms in which it holds; if [`Self::spaces`] is empty too, it holds everywhere.
    pub rooms: Vec<OwnedRoomOrAliasId>,
    /// Spaces in whose rooms it holds.
    pub spaces: Vec<OwnedRoomOrAliasId>,
    /// The only accepted definition of the tool ([`Offer::fingerprint`]). Without it, the one seen first or accepted
    /// last by an admin counts.
    pub digest: Option<String>,
}

/// How bound grants know a room: its id and aliases, and the spaces that contain it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Room names in grants that mean this room.
    pub rooms: BTreeSet<OwnedRoomOrAliasId>,
    /// Spaces in grants that contain this room, by the space's own word.
    pub spaces: BTreeSet<OwnedRoomOrAliasId>,
}

impl Grant {
    /// Returns a grant that overrides nothing.
    #[must_use]
    pub fn plain(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
            class: None,
            approval: None,
            timeout_ms: None,
            output_bytes_max: None,
            idempotent: None,
            hosts: Vec::new(),
            credential: None,
            rooms: Vec::new(),
            spaces: Vec::new(),
            digest: None,
        }
    }

    /// Returns whether it holds only in some rooms.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        !self.rooms.is_empty() || !self.spaces.is_empty()
    }

    /// Returns whether it holds in a room.
    #[must_use]
    pub fn holds_in(&self, here: &Here) -> bool {
        let named = self.rooms.iter().any(|room| here.rooms.contains(room));
        !self.is_bound() || named || self.spaces.iter().any(|space| here.spaces.contains(space))
    }

    /// Returns whether it may grant tools of a server.
    #[must_use]
    pub fn reaches(&self, server: &str) -> bool {
        let beginning = format!("{server}{SERVER_SEPARATOR}");
        match self.pattern.strip_suffix('*') {
            Some(pattern) => pattern.starts_with(&beginning) || beginning.starts_with(pattern),
            None => self.pattern.starts_with(&beginning),
        }
    }

    /// Returns whether it grants the tool of that name.
    #[must_use]
    pub fn matches(&self, name: &ToolName) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(beginning) => name.0.starts_with(beginning),
            None => name.0 == self.pattern,
        }
    }
}

/// A tool that a coworker may call, with all restrictions on its calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// The underlying offer.
    pub offer: Offer,
    /// Its class after the grant.
    pub class: Class,
    /// Whose approval a call needs.
    pub approval: ApprovalRule,
    /// The time limit of a call, in milliseconds.
    pub timeout_ms: u64,
    /// Most bytes of a result for the model.
    pub output_bytes_max: usize,
    /// Whether a call with an unknown outcome may be repeated.
    pub idempotent: bool,
    /// Hosts that it may reach.
    pub hosts: Vec<String>,
    /// Its credential's label.
    pub credential: Option<String>,
    /// Whether its grant holds only in some rooms, which is checked again before each call.
    pub bound: bool,
    /// Whether it is an assistant's, so that only the owner is ever asked.
    pub private: bool,
}

impl Tool {
    /// Returns whose approval a call needs.
    #[must_use]
    pub fn rule(&self) -> ApprovalRule {
        match &self.approval {
            ApprovalRule::Never => ApprovalRule::Never,
            _ if self.private => ApprovalRule::Asker,
            rule => rule.clone(),
        }
    }

    /// Returns whether an assistant may have it: it acts on no shared room, and what its calls send out goes to the
    /// operator's hosts or needs the owner's approval.
    fn is_for_assistants(&self) -> bool {
        match self.offer.source {
            Source::Room => false,
            Source::Process => built_in(self.offer.name.as_str()).is_some_and(BuiltIn::is_for_assistants),
            Source::Chat | Source::Mcp { .. } => true,
            // The provider executes a call before anybody can be asked. A container of its own reaches nobody else.
            Source::Provider => !self.hosts.is_empty() || computing::is_of_container(self.offer.name.as_str()),
        }
    }

    /// Makes it an assistant's: what leaves the process needs the owner's approval, unless the grant says otherwise.
    fn made_private(mut self, granted: Option<&ApprovalRule>) -> Self {
        let leaves = match &self.offer.source {
            Source::Mcp { .. } => true,
            Source::Process => built_in(self.offer.name.as_str()).is_some_and(|tool| tool.reaches),
            Source::Room | Source::Chat | Source::Provider => false,
        };
        self.private = true;
        self.approval = match granted {
            Some(ApprovalRule::Never) => ApprovalRule::Never,
            None if !leaves && self.offer.approval == ApprovalRule::Never => ApprovalRule::Never,
            _ => ApprovalRule::Asker,
        };
        self
    }
}

/// Why a call is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is not on this coworker's allow-list; whether it exists elsewhere is not revealed.
    NotGranted,
    /// Its arguments are not a JSON object.
    NotAnObject,
    /// Its arguments are ambiguous.
    Unclear,
    /// The tool is no longer what the model read when it made the call.
    Changed,
}

/// Why a granted tool is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It has changed since it was granted; holds its present fingerprint.
    Changed(String),
    /// Its grant only holds in other rooms.
    Elsewhere,
    /// Its schema is larger than [`SCHEMA_BYTES_MAX`].
    TooLarge,
    /// There are [`TOOLS_MAX`] tools already.
    TooMany,
    /// The provider would refuse every request that names it; says why, for an operator.
    Unusable(String),
}

/// A tool of an MCP server that no model can be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The name it would have.
    pub name: ToolName,
    /// Why, in words for an operator.
    pub why: String,
}

/// A coworker's allow-list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toolset {
    tools: BTreeMap<ToolName, Tool>,
    withheld: BTreeMap<ToolName, Withheld>,
}

impl Toolset {
    /// Resolves an allow-list: the first grant that matches an offer decides. `here` identifies the room; if it is
    /// empty, bound grants do not hold. `pinned` has the fingerprints of the tools as granted or last accepted; a tool
    /// without one counts as unchanged.
    #[must_use]
    pub fn resolve(grants: &[Grant], offers: &[Offer], pinned: &BTreeMap<ToolName, String>, here: &Here) -> Self {
        let mut toolset = Self::default();
        let mut fitting = Vec::new();
        for offer in offers {
            let Some(grant) = grants.iter().find(|grant| grant.matches(&offer.name)) else { continue };
            if offer.schema.to_string().len() > SCHEMA_BYTES_MAX {
                toolset.withheld.insert(offer.name.clone(), Withheld::TooLarge);
                continue;
            }
            let pin = grant.digest.as_ref().or_else(|| pinned.get(&offer.name));
            if !grant.holds_in(here) {
                toolset.withheld.insert(offer.name.clone(), Withheld::Elsewhere);
            } else if pin.is_some_and(|pin| *pin != offer.fingerprint()) {
                toolset.withheld.insert(offer.name.clone(), Withheld::Changed(offer.fingerprint()));
            } else {
                fitting.push((offer, grant));
            }
        }
        for (number, (offer, grant)) in shared_out(fitting).into_iter().enumerate() {
            if number < TOOLS_MAX {
                toolset.tools.insert(offer.name.clone(), tool(offer, grant));
            } else {
                toolset.withheld.insert(offer.name.clone(), Withheld::TooMany);
            }
        }
        toolset
    }

    /// Resolves an assistant's allow-list: no room tools, and no approver but the owner, whatever the grants say.
    #[must_use]
    pub fn resolve_private(grants: &[Grant], offers: &[Offer], pinned: &BTreeMap<ToolName, String>) -> Self {
        let Self { tools, withheld } = Self::resolve(grants, offers, pinned, &Here::default());
        let fitting = tools.into_iter().filter(|(_, tool)| tool.is_for_assistants());
        let private = fitting.map(|(name, tool)| {
            let grant = grants.iter().find(|grant| grant.matches(&name));
            let tool = tool.made_private(grant.and_then(|grant| grant.approval.as_ref()));
            (name, tool)
        });
        Self { tools: private.collect(), withheld }
    }

    /// Records granted tools that no request could name.
    pub fn leave_out(&mut self, grants: &[Grant], left_out: &[LeftOut]) {
        for tool in left_out.iter().filter(|tool| grants.iter().any(|grant| grant.matches(&tool.name))) {
            if !self.tools.contains_key(&tool.name) {
                self.withheld.insert(tool.name.clone(), Withheld::Unusable(tool.why.clone()));
            }
        }
    }

    /// Takes a tool out, as if it was not granted.
    pub fn remove(&mut self, name: &str) {
        self.tools.retain(|known, _| known.as_str() != name);
    }

    /// Returns the tool that a model's call names.
    ///
    /// # Errors
    /// Why the call is not executed; the model is told, and the trail records it.
    pub fn permit<'a>(
        &'a self,
        name: &str,
        arguments: &'a Value,
    ) -> Result<(&'a Tool, &'a Map<String, Value>), Denied> {
        let tool = ToolName::parse(name).and_then(|name| self.tools.get(&name)).ok_or(Denied::NotGranted)?;
        let arguments = arguments.as_object().ok_or(Denied::NotAnObject)?;
        Ok((tool, arguments))
    }

    /// Returns the tools sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values()
    }

    /// Returns the granted tools that are not offered, by name, with the reasons.
    pub fn withheld(&self) -> impl Iterator<Item = (&ToolName, &Withheld)> {
        self.withheld.iter()
    }

    /// Returns whether there are no tools.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Returns the definitions for the model, sorted by name.
    #[must_use]
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.iter()
            .map(|tool| match tool.offer.source {
                Source::Provider => ToolDefinition::Provider(tool.offer.schema.clone()),
                _ => ToolDefinition::Client {
                    name: tool.offer.name.as_str().to_owned(),
                    description: tool.offer.description.chars().take(DESCRIPTION_CHARS_MAX).collect(),
                    schema: tool.offer.schema.clone(),
                },
            })
            .collect()
    }
}

/// Orders tools so that the first ones can be kept if there are too many: our own, then those that a grant names, then
/// one of each server in turn. So a server that offers ever more takes no place from another.
fn shared_out<'a>(mut fitting: Vec<(&'a Offer, &'a Grant)>) -> Vec<(&'a Offer, &'a Grant)> {
    if fitting.len() <= TOOLS_MAX {
        return fitting;
    }
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    // Each is ranked once, in the config's order, which equal ranks keep.
    fitting.sort_by_cached_key(|(offer, grant)| match &offer.source {
        Source::Mcp { server, .. } if grant.pattern.ends_with('*') => {
            let turn = taken.entry(server).or_default();
            *turn += 1;
            (2, *turn)
        }
        Source::Mcp { .. } => (1, 0),
        Source::Room | Source::Chat | Source::Process | Source::Provider => (0, 0),
    });
    fitting
}

/// Applies a grant to an offer.
fn tool(offer: &Offer, grant: &Grant) -> Tool {
    Tool {
        offer: offer.clone(),
        class: grant.class.unwrap_or(offer.class),
        approval: grant.approval.clone().unwrap_or_else(|| offer.approval.clone()),
        timeout_ms: grant.timeout_ms.unwrap_or(TIMEOUT_MS),
        output_bytes_max: grant.output_bytes_max.unwrap_or(OUTPUT_BYTES_MAX),
        idempotent: grant.idempotent.unwrap_or(offer.idempotent),
        hosts: grant.hosts.clone(),
        credential: grant.credential.clone(),
        bound: grant.is_bound(),
        private: false,
    }
}
