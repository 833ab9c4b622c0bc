//! Who is who: our virtual users, local people, strangers, and bots.

use std::collections::BTreeSet;

use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

/// The id of a coworker as config names it (`[a-z0-9_-]+`), e.g. `oncall`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CoworkerId(pub String);

/// The appservice's namespace and the servers and bots that matter to decisions.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// The homeserver's name: the server part of every local id.
    pub server: OwnedServerName,
    /// Localpart of the service bot.
    pub service: String,
    /// What a coworker's localpart begins with.
    pub coworker_prefix: String,
    /// What an assistant's localpart begins with.
    pub assistant_prefix: String,
    /// Other servers whose users count as the workspace's own.
    pub allowed_servers: BTreeSet<OwnedServerName>,
    /// Known bots of other makers: never human, never answered.
    pub bots: BTreeSet<OwnedUserId>,
}

/// Who a user id belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The service bot.
    Service,
    /// A coworker's id; whether config knows it is another question.
    Coworker(CoworkerId),
    /// The assistant of the local person with this localpart.
    Assistant(String),
    /// A bot of somebody else's.
    Bot,
    /// A person of this workspace: local, or of an allow-listed server.
    Person,
    /// A user of another server.
    Stranger,
}

impl Namespace {
    /// Returns who `user` is, by the full id alone.
    #[must_use]
    pub fn who(&self, user: &UserId) -> Who {
        if self.bots.contains(user) {
            return Who::Bot;
        }
        if user.server_name() != self.server {
            return if self.allowed_servers.contains(user.server_name()) { Who::Person } else { Who::Stranger };
        }
        let localpart = user.localpart();
        if localpart == self.service {
            return Who::Service;
        }
        if let Some(id) = localpart.strip_prefix(&self.coworker_prefix) {
            return Who::Coworker(CoworkerId(id.to_owned()));
        }
        if let Some(owner) = localpart.strip_prefix(&self.assistant_prefix) {
            return Who::Assistant(owner.to_owned());
        }
        Who::Person
    }

    /// Returns whether `user` is one of ours: the service bot, a coworker or an assistant.
    #[must_use]
    pub fn is_ours(&self, user: &UserId) -> bool {
        matches!(self.who(user), Who::Service | Who::Coworker(_) | Who::Assistant(_))
    }

    /// Returns whether `user` counts as a human: not ours, and no known bot.
    #[must_use]
    pub fn is_human(&self, user: &UserId) -> bool {
        matches!(self.who(user), Who::Person | Who::Stranger)
    }

    /// Returns the id of a virtual user with this localpart.
    ///
    /// # Panics
    /// When the localpart is no Matrix localpart; config and the assistants' localparts are checked before.
    #[must_use]
    pub fn user_id(&self, localpart: &str) -> OwnedUserId {
        UserId::parse(format!("@{localpart}:{}", self.server)).expect("localparts are checked where they enter")
    }
}
