//! Connections of an owner's own programs (A13): who may read what the owner may read, through a token that only its
//! hash is kept of. No IO; `now` is an argument everywhere.
//!
//! A connection proves itself by a token that was pasted. Where a homeserver has an OAuth issuer, another [`Proof`] will
//! stand beside it: whatever proves a call ends in an owner and one of their connections, and everything behind that is
//! the same.

pub(crate) mod cursor;
pub(crate) mod pace;
pub mod place;
#[cfg(test)]
mod tests;
mod trail;

use ruma::{EventId, OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

pub(crate) use self::trail::{CALLS_KEPT_MAX, Called, Trail};
use super::{hex::hex, time::Timestamp};

/// Most connections of one owner.
pub(crate) const CONNECTIONS_MAX: usize = 10;
/// Most characters of a connection's name.
pub(crate) const NAME_CHARS_MAX: usize = 40;
/// What every token begins with, so that people and scanners know one where they see it.
pub(crate) const TOKEN_PREFIX: &str = "wmc_";
/// Characters of a token behind its prefix: 32 random bytes in base64url.
const TOKEN_CHARS: usize = 43;

/// What a call proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof<'a> {
    /// A token that the owner pasted into their program.
    Pasted(&'a str),
}

impl<'a> Proof<'a> {
    /// Returns the proof in an `Authorization` header; `None` where it can be none.
    #[must_use]
    pub(crate) fn of_header(value: &'a str) -> Option<Self> {
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim_matches(' ');
        let random = token.strip_prefix(TOKEN_PREFIX)?;
        let is_token = random.len() == TOKEN_CHARS
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(Self::Pasted(token))
    }

    /// Returns what is kept of it, under a key of ours: whoever reads the store learns no token, and can make none.
    ///
    /// # Panics
    /// Never: HMAC takes any key.
    #[must_use]
    pub(crate) fn hash(self, key: &[u8; 32]) -> String {
        use hmac::{Hmac, Mac as _};
        let Self::Pasted(token) = self;
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes any key");
        mac.update(token.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

/// Makes a token of random characters.
#[must_use]
pub(crate) fn token(random: &str) -> String {
    format!("{TOKEN_PREFIX}{random}")
}

/// Whose call it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct By {
    /// The owner.
    pub owner: OwnedUserId,
    /// The connection's number.
    pub number: u32,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// Its number, from 1; never used again for another.
    pub number: u32,
    /// What the owner calls it; may be empty.
    #[serde(default)]
    pub name: String,
    /// The hash of its token.
    pub hash: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was last used.
    #[serde(default)]
    pub used_at: Option<Timestamp>,
    /// The owner's command that made it; the same command makes no second one.
    pub by: OwnedEventId,
    /// The message that shows its token, until that is taken back.
    #[serde(default)]
    pub shown: Option<OwnedEventId>,
}

impl Connection {
    /// Returns whether it was left unused for so long that it counts no more.
    #[must_use]
    pub(crate) fn is_expired(&self, now: Timestamp, unused_ms: u64) -> bool {
        now.ms_since(self.used_at.unwrap_or(self.made_at)) >= unused_ms
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Became {
    /// It was answered.
    Answered,
    /// What it asked for is not allowed or not there.
    NotThere,
    /// Its arguments were wrong.
    Wrong,
    /// Its connection called too often.
    TooFast,
    /// The homeserver or the store did not answer.
    Failed,
}

impl Became {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Answered, Self::NotThere, Self::Wrong, Self::TooFast, Self::Failed];

    /// Returns its label in the metrics.
    #[must_use]
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotThere => "not_there",
            Self::Wrong => "wrong",
            Self::TooFast => "too_fast",
            Self::Failed => "failed",
        }
    }
}

/// An owner's connections and the trail of their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connections {
    #[serde(default)]
    list: Vec<Connection>,
    /// The highest number given out.
    #[serde(default)]
    last: u32,
    #[serde(default)]
    calls: Trail,
}

/// Why there is no new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotConnected {
    /// There are too many.
    Full,
    /// The command was carried out before.
    Already,
}

impl Connections {
    /// Returns the connections, oldest first.
    #[must_use]
    pub(crate) fn list(&self) -> &[Connection] {
        &self.list
    }

    /// Returns the trail of their calls.
    #[must_use]
    pub(crate) fn trail(&self) -> &Trail {
        &self.calls
    }

    /// Returns what a connection is called; `None` if there is none of that number any more.
    #[must_use]
    pub(crate) fn named(&self, number: u32) -> Option<&Connection> {
        self.list.iter().find(|one| one.number == number)
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// Why it is not added.
    pub(crate) fn add(
        &mut self,
        hash: String,
        name: &str,
        by: OwnedEventId,
        now: Timestamp,
    ) -> Result<Connection, NotConnected> {
        if self.list.iter().any(|one| one.by == by) {
            return Err(NotConnected::Already);
        }
        if self.list.len() >= CONNECTIONS_MAX {
            return Err(NotConnected::Full);
        }
        self.last += 1;
        let (number, name) = (self.last, name.chars().take(NAME_CHARS_MAX).collect());
        let new = Connection { number, name, hash, made_at: now, used_at: None, by, shown: None };
        self.list.push(new.clone());
        Ok(new)
    }

    /// Forgets a connection that a command made and whose token was never shown.
    pub(crate) fn forget_unshown(&mut self, by: &EventId) {
        self.list.retain(|one| one.by != by || one.shown.is_some() || one.used_at.is_some());
    }

    /// Ends a connection; returns it.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Connection> {
        let at = self.list.iter().position(|one| one.number == number)?;
        Some(self.list.remove(at))
    }

    /// Ends the connections that were not used for so long, and returns them.
    pub(crate) fn expire(&mut self, now: Timestamp, unused_ms: u64) -> Vec<Connection> {
        let (expired, kept) = self.list.drain(..).partition(|one| one.is_expired(now, unused_ms));
        self.list = kept;
        expired
    }

    /// Returns the connection with this hash, unless it expired.
    #[must_use]
    pub(crate) fn proven(&self, hash: &str, now: Timestamp, unused_ms: u64) -> Option<&Connection> {
        self.list.iter().find(|one| one.hash == hash).filter(|one| !one.is_expired(now, unused_ms))
    }

    /// Notes the message that shows a connection's token.
    pub(crate) fn note_shown(&mut self, number: u32, shown: Option<OwnedEventId>) {
        if let Some(one) = self.list.iter_mut().find(|one| one.number == number) {
            one.shown = shown;
        }
    }

    /// Notes a call. Returns the message that shows the token, if this was the first use: it is not needed any more.
    pub(crate) fn note_call(&mut self, call: Called) -> Option<OwnedEventId> {
        let one = self.list.iter_mut().find(|one| one.number == call.by)?;
        one.used_at = Some(call.at);
        let shown = one.shown.take();
        self.calls.note(call);
        shown
    }
}
