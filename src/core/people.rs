//! Who a user id belongs to: our virtual users, local people, guests, bridges' puppets, strangers, bots.
//!
//! Every decision that depends on who somebody is asks here: [`Namespace::who`] classifies, and [`Who`] says what that
//! allows.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

/// A coworker's id as in the config (`[a-z0-9_-]+`), e.g. `oncall`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CoworkerId(pub String);

impl CoworkerId {
    /// Returns whether a text has the form of an id.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_' || char == '-';
        !text.is_empty() && text.chars().all(fits)
    }
}

/// Most bytes of an id pattern.
pub(crate) const PATTERN_BYTES_MAX: usize = 512;
/// Most memory for a compiled pattern, in bytes.
const PATTERN_SIZE_MAX: usize = 256 << 10;

/// The user ids of a bridge: a regular expression that matches their beginning, as homeservers read a registration.
#[derive(Clone, Debug)]
pub struct IdPattern(Regex);

impl IdPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A few words on what is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("it has {} bytes; 1 to {PATTERN_BYTES_MAX} are allowed", pattern.len()));
        }
        let built = RegexBuilder::new(&format!("^(?:{pattern})")).size_limit(PATTERN_SIZE_MAX).build();
        built.map(Self).map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Returns whether a user id belongs to the bridge.
    #[must_use]
    pub fn matches(&self, user: &UserId) -> bool {
        self.0.is_match(user.as_str())
    }
}

/// A bridge: its puppets' ids, and what they may do.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// The ids of its puppets.
    pub ids: IdPattern,
    /// What its puppets may do.
    pub may: Bridged,
}

/// What people behind a bridge may do here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bridged {
    /// Nothing; their messages are only context.
    #[default]
    Nothing,
    /// Ask coworkers.
    Ask,
}

/// How the homeserver's guests are recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guests {
    /// By localparts of digits, which Synapse reserves for guests.
    #[default]
    Digits,
    /// Not at all: there are no guests.
    Nobody,
}

/// The appservice's namespace, and the servers, bots and bridges that matter to decisions.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// The homeserver's name, the server part of every local id.
    pub server: OwnedServerName,
    /// The service bot's localpart.
    pub service: String,
    /// The prefix of coworkers' localparts.
    pub coworker_prefix: String,
    /// The prefix of assistants' localparts.
    pub assistant_prefix: String,
    /// Other servers whose users count as the workspace's own.
    pub allowed_servers: BTreeSet<OwnedServerName>,
    /// Known bots that are not ours: they are not human, and never answered.
    pub bots: BTreeSet<OwnedUserId>,
    /// Bridges that are not ours; the first match decides.
    pub bridges: Vec<Bridge>,
    /// How guests are recognised.
    pub guests: Guests,
}

/// Who a user id belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The service bot.
    Service,
    /// A coworker's id; the config may not know it.
    Coworker(CoworkerId),
    /// The assistant of the local person with this localpart.
    Assistant(String),
    /// A bot that is not ours.
    Bot,
    /// A guest without an account, so anyone at all.
    Guest,
    /// A person on another network, as a bridge shows them.
    Puppet(Bridged),
    /// A person of this workspace: local, or on an allowed server.
    Person,
    /// A user of another server.
    Stranger,
}

impl Who {
    /// Returns whether they are one of the workspace's people. Only those may invite, decide about calls, steer,
    /// command, verify, have assistants, and be told things in private.
    #[must_use]
    pub fn is_person(&self) -> bool {
        *self == Self::Person
    }

    /// Returns whether coworkers answer their requests.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        matches!(self, Self::Person | Self::Puppet(Bridged::Ask))
    }

    /// Returns whether they count as a human in a room (C4) and may be spoken to.
    #[must_use]
    pub fn is_human(&self) -> bool {
        matches!(self, Self::Person | Self::Stranger)
    }

    /// Returns whether they are the service bot, a coworker or an assistant.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Service | Self::Coworker(_) | Self::Assistant(_))
    }
}

impl Namespace {
    /// Classifies `user` by the full id alone.
    #[must_use]
    pub fn who(&self, user: &UserId) -> Who {
        // First, so that no list makes one of ours somebody who may be listened to.
        if let Some(ours) = self.ours(user) {
            return ours;
        }
        if self.bots.contains(user) {
            return Who::Bot;
        }
        if let Some(bridge) = self.bridges.iter().find(|bridge| bridge.ids.matches(user)) {
            return Who::Puppet(bridge.may);
        }
        let is_local = user.server_name() == self.server;
        if !is_local && !self.allowed_servers.contains(user.server_name()) {
            return Who::Stranger;
        }
        let localpart = user.localpart();
        let is_number = !localpart.is_empty() && localpart.bytes().all(|byte| byte.is_ascii_digit());
        if self.guests == Guests::Digits && is_number { Who::Guest } else { Who::Person }
    }

    fn ours(&self, user: &UserId) -> Option<Who> {
        let localpart = user.localpart();
        if user.server_name() != self.server {
            return None;
        }
        if localpart == self.service {
            return Some(Who::Service);
        }
        if let Some(id) = localpart.strip_prefix(&self.coworker_prefix) {
            return Some(Who::Coworker(CoworkerId(id.to_owned())));
        }
        localpart.strip_prefix(&self.assistant_prefix).map(|owner| Who::Assistant(owner.to_owned()))
    }

    /// Returns whether `user` is the service bot, a coworker or an assistant.
    #[must_use]
    pub fn is_ours(&self, user: &UserId) -> bool {
        self.who(user).is_ours()
    }

    /// Returns whether `user` counts as a human: not ours, no known bot, no guest, no puppet.
    #[must_use]
    pub fn is_human(&self, user: &UserId) -> bool {
        self.who(user).is_human()
    }

    /// Returns the user id of the coworker with this id.
    ///
    /// # Panics
    /// As [`Self::user_id`].
    #[must_use]
    pub fn coworker(&self, id: &str) -> OwnedUserId {
        self.user_id(&format!("{}{id}", self.coworker_prefix))
    }

    /// Returns the user id of the assistant whose owner has this localpart.
    ///
    /// # Panics
    /// As [`Self::user_id`].
    #[must_use]
    pub fn assistant(&self, owner: &str) -> OwnedUserId {
        self.user_id(&format!("{}{owner}", self.assistant_prefix))
    }

    /// Returns the id of the local user with this localpart.
    ///
    /// # Panics
    /// If it is no Matrix localpart; config and assistants' localparts are checked before.
    #[must_use]
    pub fn user_id(&self, localpart: &str) -> OwnedUserId {
        UserId::parse(format!("@{localpart}:{}", self.server)).expect("localparts are checked where they enter")
    }
}

#[cfg(any(test, feature = "doubles"))]
impl Namespace {
    /// Returns the namespace of a server as tests have it: the usual names, and nobody else is known.
    pub(crate) fn of_tests(server: OwnedServerName) -> Self {
        Self {
            server,
            service: "workmate".to_owned(),
            coworker_prefix: "coworker-".to_owned(),
            assistant_prefix: "assistant-".to_owned(),
            allowed_servers: BTreeSet::new(),
            bots: BTreeSet::new(),
            bridges: Vec::new(),
            guests: Guests::Digits,
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_server_name, owned_user_id, user_id};

    use super::*;

    #[test]
    fn c2_c12_who_somebody_is_says_what_they_may_do() {
        let bridge = |ids: &str, may| Bridge { ids: IdPattern::parse(ids).expect("a pattern"), may };
        let namespace = Namespace {
            allowed_servers: [owned_server_name!("friends")].into(),
            bots: [owned_user_id!("@github:hs"), owned_user_id!("@coworker-ci:hs")].into(),
            bridges: vec![
                bridge("@telegram_[0-9]+:hs", Bridged::Ask),
                bridge("@(telegram|irc)_.*", Bridged::Nothing),
                bridge("@coworker-.*:hs", Bridged::Ask),
            ],
            ..Namespace::of_tests(owned_server_name!("hs"))
        };
        // For each id: is it a person, may it ask, does it count as a human?
        let table = [
            ("@alice:hs", Who::Person, [true, true, true]),
            ("@alice:friends", Who::Person, [true, true, true]),
            ("@alice:else", Who::Stranger, [false, false, true]),
            ("@github:hs", Who::Bot, [false, false, false]),
            ("@123:hs", Who::Guest, [false, false, false]),
            ("@123:friends", Who::Guest, [false, false, false]),
            ("@123:else", Who::Stranger, [false, false, true]),
            ("@12a:hs", Who::Person, [true, true, true]),
            ("@telegram_77:hs", Who::Puppet(Bridged::Ask), [false, true, false]),
            ("@telegram_ann:hs", Who::Puppet(Bridged::Nothing), [false, false, false]),
            ("@irc_bob:friends", Who::Puppet(Bridged::Nothing), [false, false, false]),
            ("@not_telegram_77:hs", Who::Person, [true, true, true]),
            ("@coworker-ci:hs", Who::Coworker(CoworkerId("ci".to_owned())), [false, false, false]),
            ("@workmate:hs", Who::Service, [false, false, false]),
        ];
        for (user, expected, may) in table {
            let who = namespace.who(<&UserId>::try_from(user).expect("an id"));
            assert_eq!([who.is_person(), who.may_ask(), who.is_human()], may, "{user}");
            assert_eq!(who, expected, "{user}");
        }
        let without = Namespace { guests: Guests::Nobody, ..namespace };
        assert_eq!(without.who(user_id!("@123:hs")), Who::Person);
    }

    #[test]
    fn a_pattern_is_bounded() {
        assert!(IdPattern::parse("@a{1000}{1000}:hs").is_err_and(|why| why.contains("size")));
        assert!(IdPattern::parse("@(").is_err() && IdPattern::parse("").is_err());
        assert!(IdPattern::parse(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
    }
}
