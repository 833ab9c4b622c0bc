//! Tools as the core sees them: what exists, what a coworker's config grants of it, and what a call therefore needs
//! (C12).
//!
//! An [`Offer`] is a tool that some part of the process can carry out. A [`Grant`] is what an operator wrote into
//! `config/coworkers/*.yaml`. [`Toolset::resolve`] makes a coworker's allow-list of both; what is not on it does not
//! exist for the coworker, whatever a model, a server's annotation or a member says. A grant may be bound to rooms
//! ([`Here`]); a server's tool that is not as it was when it was granted is withheld until an admin has looked at it.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedRoomOrAliasId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{hex::hex, prompt::ToolDefinition, trail::StepOutcome};

mod built_in;
pub mod fitting;
mod output;
pub mod schema;
mod server;
#[cfg(test)]
mod tests;

pub use self::{
    built_in::{BUILT_IN, BuiltIn, By, built_in},
    output::Output,
    server::{Server, Setting, Transport},
};

/// Characters of a tool's name (Messages API: `^[a-zA-Z0-9_-]{1,64}$`).
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of a description that a model is given; servers' own may be endless.
pub const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// Bytes of a schema that a model is given; a tool with a larger one is not offered.
pub const SCHEMA_BYTES_MAX: usize = 32 << 10;
/// Tools that one coworker may have.
pub const TOOLS_MAX: usize = 128;
/// How long a call may take where the grant says nothing, in milliseconds.
pub const TIMEOUT_MS: u64 = 30_000;
/// Bytes of a result that the model is given where the grant says nothing.
pub const OUTPUT_BYTES_MAX: usize = 32 << 10;
/// The power level of a moderator, where a rule names none.
pub const MODERATOR_LEVEL: i64 = 50;
/// Between a server's name and a tool's own.
pub const SERVER_SEPARATOR: &str = "__";

/// The name under which a model calls a tool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(String);

impl ToolName {
    /// Returns the name, if the Messages API takes it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        let is_name = !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(fits);
        is_name.then(|| Self(name.to_owned()))
    }

    /// Returns the name of `tool` on an MCP server: `server__tool`, other characters as `_`.
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

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It looks.
    Read,
    /// It may change something.
    Write,
}

/// Whose approval a call needs, checked when the reaction comes and not before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRule {
    /// Nobody's.
    Never,
    /// That of the person who asked.
    Asker,
    /// That of somebody with at least this power level in the room.
    Moderator {
        /// The power level.
        level: i64,
    },
    /// That of one of these people, by full user id.
    People(BTreeSet<OwnedUserId>),
}

/// Who carries out a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Workmate itself, in the room where it was asked.
    Room,
    /// Workmate itself, outside of Matrix (`http_get`, `time`).
    Process,
    /// An MCP server of the config.
    Mcp {
        /// Its name in the config.
        server: String,
        /// The tool's name on it.
        tool: String,
    },
    /// The model's provider; the raw definition is handed to the Messages API.
    Provider,
}

/// A tool that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its name for the model.
    pub name: ToolName,
    /// What the model is told of it; other people's words, for an MCP server's tool.
    pub description: String,
    /// The JSON schema of its arguments; for [`Source::Provider`] the raw tool definition.
    pub schema: Value,
    /// Who carries it out.
    pub source: Source,
    /// What it does, unless the grant says otherwise. An MCP tool's annotations do not enter here.
    pub class: Class,
    /// Whose approval it needs, unless the grant says otherwise.
    pub approval: ApprovalRule,
    /// Whether a call whose outcome is unknown may be made again.
    pub idempotent: bool,
}

impl Offer {
    /// Returns the offer of an MCP server's tool: a write that its asker approves, until a grant says otherwise.
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

    /// Returns what changes when the tool's description or schema does.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let whole = serde_json::json!([self.name, self.description, self.schema]);
        hex(&Sha256::digest(whole.to_string())[..16])
    }
}

/// What an operator grants a coworker: one tool, or all whose names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// A tool's name, or a beginning of names with `*` behind it (`fs__read_*`).
    pub pattern: String,
    /// Overrides the offer's class.
    pub class: Option<Class>,
    /// Overrides the offer's rule.
    pub approval: Option<ApprovalRule>,
    /// Overrides [`TIMEOUT_MS`].
    pub timeout_ms: Option<u64>,
    /// Overrides [`OUTPUT_BYTES_MAX`].
    pub output_bytes_max: Option<usize>,
    /// Overrides the offer's word.
    pub idempotent: Option<bool>,
    /// Hosts that `http_get`, `web_search` and `web_fetch` may reach; exact names, or `*.` and a domain.
    pub hosts: Vec<String>,
    /// The label of the credential that goes with the call (`http_get`); never shown to the model.
    pub credential: Option<String>,
    /// The only rooms in which it holds; with [`Self::spaces`] empty too, it holds everywhere.
    pub rooms: Vec<OwnedRoomOrAliasId>,
    /// Spaces in whose rooms it holds.
    pub spaces: Vec<OwnedRoomOrAliasId>,
    /// The only definition of the tool that is meant ([`Offer::fingerprint`]); without it, the one that was seen first
    /// or that an admin accepted last.
    pub digest: Option<String>,
}

/// What a room is known by, for grants that are bound: its own id and aliases, and the spaces that it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Those names in grants that mean this room.
    pub rooms: BTreeSet<OwnedRoomOrAliasId>,
    /// Those spaces in grants that this room is in, by the space's own word.
    pub spaces: BTreeSet<OwnedRoomOrAliasId>,
}

impl Grant {
    /// Returns a grant that changes nothing of the offer.
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

    /// Whether it holds in some rooms only.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        !self.rooms.is_empty() || !self.spaces.is_empty()
    }

    /// Whether it holds in a room.
    #[must_use]
    pub fn holds_in(&self, here: &Here) -> bool {
        let named = self.rooms.iter().any(|room| here.rooms.contains(room));
        !self.is_bound() || named || self.spaces.iter().any(|space| here.spaces.contains(space))
    }

    /// Whether it may grant tools of a server's.
    #[must_use]
    pub fn reaches(&self, server: &str) -> bool {
        let beginning = format!("{server}{SERVER_SEPARATOR}");
        match self.pattern.strip_suffix('*') {
            Some(pattern) => pattern.starts_with(&beginning) || beginning.starts_with(pattern),
            None => self.pattern.starts_with(&beginning),
        }
    }

    /// Whether it grants the tool of that name.
    #[must_use]
    pub fn matches(&self, name: &ToolName) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(beginning) => name.0.starts_with(beginning),
            None => name.0 == self.pattern,
        }
    }
}

/// A tool that a coworker may call, with everything that binds the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What exists.
    pub offer: Offer,
    /// What it does, as the operator sees it.
    pub class: Class,
    /// Whose approval a call needs.
    pub approval: ApprovalRule,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u64,
    /// How much of the result the model is given, in bytes.
    pub output_bytes_max: usize,
    /// Whether a call whose outcome is unknown may be made again.
    pub idempotent: bool,
    /// Hosts that it may reach.
    pub hosts: Vec<String>,
    /// The label of its credential.
    pub credential: Option<String>,
    /// Whether its grant holds in some rooms only: that is looked at again before a call is carried out.
    pub bound: bool,
    /// Whether it is an assistant's: nobody but the owner is ever asked.
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

    /// Whether it has a place in a chat of two: it is about no room, and what its calls carry out of the chat goes to
    /// hosts of the operator's or past the owner.
    fn is_for_assistants(&self) -> bool {
        match self.offer.source {
            Source::Room => false,
            Source::Process => built_in(self.offer.name.as_str()).is_some_and(BuiltIn::is_for_assistants),
            Source::Mcp { .. } => true,
            // A call happens at the provider, before anybody can be asked.
            Source::Provider => !self.hosts.is_empty(),
        }
    }

    /// Makes it an assistant's: what leaves the process needs the owner's approval, unless the grant says otherwise.
    fn made_private(mut self, granted: Option<&ApprovalRule>) -> Self {
        let leaves = match &self.offer.source {
            Source::Mcp { .. } => true,
            Source::Process => built_in(self.offer.name.as_str()).is_some_and(|tool| tool.reaches),
            Source::Room | Source::Provider => false,
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

/// Why a call is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is on no allow-list of this coworker; whether it exists elsewhere is not said.
    NotGranted,
    /// Its arguments are no JSON object.
    NotAnObject,
    /// Its arguments can be read in more than one way.
    Unclear,
}

impl Denied {
    /// Returns how a call ends that is denied for it.
    #[must_use]
    pub fn outcome(self) -> StepOutcome {
        match self {
            Self::NotGranted => StepOutcome::Denied,
            Self::NotAnObject | Self::Unclear => StepOutcome::Unusable,
        }
    }
}

/// Why a granted tool is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It is not as it was when it was granted; this is its fingerprint now.
    Changed(String),
    /// Its grant holds in other rooms.
    Elsewhere,
    /// Its schema is larger than [`SCHEMA_BYTES_MAX`].
    TooLarge,
    /// There are [`TOOLS_MAX`] tools already.
    TooMany,
    /// The model's provider would refuse every request that names it; why, in words for an operator.
    Unusable(String),
}

/// A tool of an MCP server that cannot be offered to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The name that it would have.
    pub name: ToolName,
    /// Why, in words for an operator, about the tool.
    pub why: String,
}

/// A coworker's allow-list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toolset {
    tools: BTreeMap<ToolName, Tool>,
    withheld: BTreeMap<ToolName, Withheld>,
}

impl Toolset {
    /// Resolves an allow-list: the first grant that matches an offer decides. `here` is the room; with nothing known of
    /// it, grants that are bound do not hold. `pinned` holds the fingerprints of the tools as they were granted or
    /// accepted last; a tool that has none is not changed.
    #[must_use]
    pub fn resolve(grants: &[Grant], offers: &[Offer], pinned: &BTreeMap<ToolName, String>, here: &Here) -> Self {
        let mut toolset = Self::default();
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
            } else if toolset.tools.len() < TOOLS_MAX {
                toolset.tools.insert(offer.name.clone(), tool(offer, grant));
            } else {
                toolset.withheld.insert(offer.name.clone(), Withheld::TooMany);
            }
        }
        toolset
    }

    /// Resolves the allow-list of an assistant: no tool of a room's, and nobody's approval but the owner's, whatever the
    /// grants say.
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

    /// Notes tools that are granted and that no request could name.
    pub fn leave_out(&mut self, grants: &[Grant], left_out: &[LeftOut]) {
        for tool in left_out.iter().filter(|tool| grants.iter().any(|grant| grant.matches(&tool.name))) {
            if !self.tools.contains_key(&tool.name) {
                self.withheld.insert(tool.name.clone(), Withheld::Unusable(tool.why.clone()));
            }
        }
    }

    /// Returns the tool that a model's call names.
    ///
    /// # Errors
    /// Why the call is not carried out; the model is told, and the trail notes it.
    pub fn permit<'a>(
        &'a self,
        name: &str,
        arguments: &'a Value,
    ) -> Result<(&'a Tool, &'a Map<String, Value>), Denied> {
        let tool = ToolName::parse(name).and_then(|name| self.tools.get(&name)).ok_or(Denied::NotGranted)?;
        let arguments = arguments.as_object().ok_or(Denied::NotAnObject)?;
        Ok((tool, arguments))
    }

    /// Returns the tools, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values()
    }

    /// Returns the tools that are granted and not offered, by name, and why.
    pub fn withheld(&self) -> impl Iterator<Item = (&ToolName, &Withheld)> {
        self.withheld.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Returns what the model is told of them, by name.
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

/// Returns an offer as its grant makes it.
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
