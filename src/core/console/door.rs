//! The console's door: links that open it once, and the sessions of those who came in by one.
//!
//! Only hashes of tokens are kept, under a key of ours: whoever reads the store, or the memory, can open nothing with them.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::core::{hex::hex, time::Timestamp};

/// How long a link opens the console, in milliseconds.
pub(crate) const LINK_MS: u64 = 60 * 1_000;
/// How long a session lasts at most, in milliseconds.
pub(crate) const SESSION_MS: u64 = 12 * 60 * 60 * 1_000;
/// How long a session lasts that nobody uses, in milliseconds.
pub(crate) const IDLE_MS: u64 = 2 * 60 * 60 * 1_000;
/// How often it is noted that a session is used, in milliseconds.
pub(crate) const NOTED_EVERY_MS: u64 = 60 * 1_000;
/// Most sessions of one admin; the oldest one ends for a further one.
pub(crate) const SESSIONS_MAX: usize = 8;
/// Characters of a token: 32 random bytes in base64url.
const TOKEN_CHARS: usize = 43;

/// What a token is for, so that none opens what another is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It opens the console once.
    Link,
    /// It proves a session.
    Session,
    /// It proves that a form comes from our own page.
    Form,
}

/// Returns what is kept of a token; `None` where it can be none.
///
/// # Panics
/// Never: HMAC takes any key.
#[must_use]
pub(crate) fn hash(purpose: Purpose, key: &[u8; 32], token: &str) -> Option<String> {
    use hmac::{Hmac, Mac as _};
    let is_token = token.len() == TOKEN_CHARS
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_token {
        return None;
    }
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(match purpose {
        Purpose::Link => b"link:",
        Purpose::Session => b"session:",
        Purpose::Form => b"form:",
    });
    mac.update(token.as_bytes());
    Some(hex(&mac.finalize().into_bytes()))
}

/// The links that may still open the console: one for each admin.
#[derive(Debug, Default)]
pub(crate) struct Links(BTreeMap<OwnedUserId, Link>);

#[derive(Debug)]
struct Link {
    hash: String,
    until: Timestamp,
}

impl Links {
    /// Notes an admin's new link; an earlier one of theirs opens nothing any more.
    pub(crate) fn offer(&mut self, admin: &UserId, hash: String, now: Timestamp) {
        self.0.retain(|_, link| now < link.until);
        self.0.insert(admin.to_owned(), Link { hash, until: now.later(LINK_MS) });
    }

    /// Returns whether the link with this hash would open the console; it stays.
    #[must_use]
    pub(crate) fn knows(&self, hash: &str, now: Timestamp) -> bool {
        self.0.values().any(|link| link.hash == hash && now < link.until)
    }

    /// Returns whose link it is, and takes it away: it opens the console once.
    pub(crate) fn take(&mut self, hash: &str, now: Timestamp) -> Option<OwnedUserId> {
        let (admin, link) = self.0.iter().find(|(_, link)| link.hash == hash)?;
        let admin = (now < link.until).then(|| admin.clone());
        self.0.retain(|_, link| link.hash != hash);
        admin
    }

    /// Takes an admin's link away.
    pub(crate) fn drop_of(&mut self, admin: &UserId) {
        self.0.remove(admin);
    }
}

/// An admin's session in one browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Whose it is.
    pub admin: OwnedUserId,
    /// When it began.
    pub began: Timestamp,
    /// When it was last used, to the minute.
    pub used: Timestamp,
}

impl Session {
    /// Begins one.
    #[must_use]
    pub(crate) fn new(admin: OwnedUserId, now: Timestamp) -> Self {
        Self { admin, began: now, used: now }
    }

    /// Returns whether it proves anything now: it is neither old nor idle, and its admin is still one.
    #[must_use]
    pub(crate) fn holds(&self, admins: &BTreeSet<OwnedUserId>, now: Timestamp) -> bool {
        // A session from the future is one of a clock that was wrong, and might never end.
        let is_past = self.began <= now.later(NOTED_EVERY_MS) && self.used <= now.later(NOTED_EVERY_MS);
        let is_young = now.ms_since(self.began) < SESSION_MS && now.ms_since(self.used) < IDLE_MS;
        is_past && is_young && admins.contains(&self.admin)
    }

    /// Returns it as used now; `None` if that was noted a moment ago.
    #[must_use]
    pub(crate) fn used_at(&self, now: Timestamp) -> Option<Self> {
        (now.ms_since(self.used) >= NOTED_EVERY_MS).then(|| Self { used: now, ..self.clone() })
    }
}

/// Returns which sessions end so that an admin's further one begins within [`SESSIONS_MAX`]: those that hold no more, and
/// the admin's oldest.
#[must_use]
pub(crate) fn making_room(
    sessions: &[(String, Session)],
    admin: &UserId,
    admins: &BTreeSet<OwnedUserId>,
    now: Timestamp,
) -> Vec<String> {
    let (kept, mut over): (Vec<_>, Vec<_>) = sessions.iter().partition(|(_, session)| session.holds(admins, now));
    let mut own: Vec<_> = kept.into_iter().filter(|(_, session)| session.admin == admin).collect();
    own.sort_by_key(|(_, session)| session.began);
    let surplus = (own.len() + 1).saturating_sub(SESSIONS_MAX);
    over.extend(own.into_iter().take(surplus));
    over.into_iter().map(|(hash, _)| hash.clone()).collect()
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, user_id};

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_971_909_000);

    fn admins() -> BTreeSet<OwnedUserId> {
        BTreeSet::from([owned_user_id!("@ada:hs")])
    }

    fn hashed(token: &str) -> String {
        hash(Purpose::Link, &[7; 32], token).expect("it is a token")
    }

    #[test]
    fn console_a_link_opens_once_for_a_minute_and_looking_at_it_takes_nothing() {
        let (one, two) = (hashed(&"a".repeat(43)), hashed(&"b".repeat(43)));
        let mut links = Links::default();
        links.offer(user_id!("@ada:hs"), one.clone(), NOW);
        assert!(links.knows(&one, NOW) && links.knows(&one, NOW.later(LINK_MS - 1)) && !links.knows(&two, NOW));
        assert_eq!(links.take(&two, NOW), None);
        assert_eq!(links.take(&one, NOW), Some(owned_user_id!("@ada:hs")));
        assert_eq!((links.take(&one, NOW), links.knows(&one, NOW)), (None, false), "once");

        links.offer(user_id!("@ada:hs"), one.clone(), NOW);
        assert_eq!(links.take(&one, NOW.later(LINK_MS)), None, "for a minute");
        links.offer(user_id!("@ada:hs"), one.clone(), NOW);
        links.offer(user_id!("@ada:hs"), two.clone(), NOW);
        assert!(!links.knows(&one, NOW) && links.knows(&two, NOW), "the newest alone");
        links.drop_of(user_id!("@ada:hs"));
        assert!(!links.knows(&two, NOW));
    }

    #[test]
    fn console_a_session_ends_by_age_by_idleness_and_with_its_admin_s_entry() {
        let session = Session::new(owned_user_id!("@ada:hs"), NOW);
        assert!(session.holds(&admins(), NOW) && session.holds(&admins(), NOW.later(IDLE_MS - 1)));
        assert!(!session.holds(&admins(), NOW.later(IDLE_MS)), "idle");
        assert!(!session.holds(&BTreeSet::new(), NOW), "taken off the list");
        assert!(!session.holds(&admins(), NOW.earlier(2 * NOTED_EVERY_MS)), "from the future");
        let mut used = session.clone();
        while let Some(next) = used.used_at(used.used.later(IDLE_MS - 1)) {
            used = next;
            if used.used >= NOW.later(SESSION_MS) {
                break;
            }
            assert!(used.holds(&admins(), used.used));
        }
        assert!(!used.holds(&admins(), used.used), "however much it is used");
        assert_eq!(session.used_at(NOW.later(NOTED_EVERY_MS - 1)), None);
    }

    #[test]
    fn console_sessions_are_few_and_the_oldest_makes_room() {
        let at = |minute: u64| Session::new(owned_user_id!("@ada:hs"), NOW.later(minute * 60_000));
        let mut sessions: Vec<_> = (0..8).map(|number| (number.to_string(), at(number))).collect();
        let now = NOW.later(10 * 60_000);
        assert_eq!(making_room(&sessions, user_id!("@ada:hs"), &admins(), now), ["0"]);
        assert_eq!(making_room(&sessions[1..], user_id!("@ada:hs"), &admins(), now), Vec::<String>::new());
        sessions[3].1.admin = owned_user_id!("@gone:hs");
        assert_eq!(making_room(&sessions, user_id!("@ada:hs"), &admins(), now), ["3"], "one that holds no more");
    }

    #[test]
    fn console_tokens_are_kept_as_keyed_hashes_and_none_serves_two_ends() {
        let token = "Aa0-_".repeat(9)[..43].to_owned();
        let of = |purpose, key: u8| hash(purpose, &[key; 32], &token).expect("it is a token");
        let all = [of(Purpose::Link, 1), of(Purpose::Session, 1), of(Purpose::Form, 1), of(Purpose::Link, 2)];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
        for wrong in ["", "short", &"a".repeat(44), &"ä".repeat(43), &format!("{}%", "a".repeat(42))] {
            assert_eq!(hash(Purpose::Link, &[1; 32], wrong), None, "{wrong}");
        }
    }
}
