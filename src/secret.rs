//! Secrets that cannot be printed, and keys derived from the master secret.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A token, key or password; `Debug` and `Display` show only that it exists.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value read from a config, a file or the environment.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// Returns a new token of 32 random bytes, base64url without padding.
    ///
    /// # Panics
    /// If the operating system provides no randomness: nothing safe could follow.
    #[must_use]
    pub fn random() -> Self {
        Self::new(URL_SAFE_NO_PAD.encode(random_bytes()))
    }

    /// Returns the value itself. Call it only where the value is sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time, so that timing reveals nothing about the value.
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the appservice and the homeserver prove themselves with.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The `as_token`.
    pub ours: Rotating,
    /// The `hs_token`.
    pub theirs: Rotating,
}

/// A token that is being replaced: the newest, and the one before it until the other side was seen to use the newest.
/// Cheap to clone; clones share what is known.
#[derive(Clone, Debug)]
pub struct Rotating(Arc<RwLock<Pair>>);

#[derive(Debug)]
struct Pair {
    newest: Secret,
    previous: Option<Secret>,
    /// Whether the previous one was the last that worked.
    previous_works: bool,
}

impl Rotating {
    /// Begins with a token, and the one before it if that may still be in use.
    #[must_use]
    pub fn new(newest: Secret, previous: Option<Secret>) -> Self {
        let previous = previous.filter(|previous| !newest.matches(previous.expose()));
        Self(Arc::new(RwLock::new(Pair { newest, previous, previous_works: false })))
    }

    /// Returns the token to use now.
    #[must_use]
    pub fn current(&self) -> Secret {
        let pair = self.read();
        pair.previous.as_ref().filter(|_| pair.previous_works).unwrap_or(&pair.newest).clone()
    }

    /// Returns the token to try where `refused` was refused; `None` if there is no other.
    #[must_use]
    pub fn other_than(&self, refused: &Secret) -> Option<Secret> {
        let pair = self.read();
        let previous = pair.previous.as_ref()?;
        Some(if refused.matches(previous.expose()) { &pair.newest } else { previous }.clone())
    }

    /// Returns whether a token that was presented is one of ours, and notes which the other side uses. Both are compared
    /// in constant time.
    #[must_use]
    pub fn admits(&self, presented: &str) -> bool {
        let (newest, previous) = {
            let pair = self.read();
            (pair.newest.matches(presented), pair.previous.as_ref().is_some_and(|token| token.matches(presented)))
        };
        if newest {
            self.works(presented);
        }
        newest || previous
    }

    /// Notes that a token was taken. Once the newest was, the one before it is forgotten; returns whether that is news.
    pub fn works(&self, token: &str) -> bool {
        if self.read().previous.is_none() {
            return false;
        }
        let mut pair = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if pair.newest.matches(token) {
            pair.previous_works = false;
            return pair.previous.take().is_some();
        }
        pair.previous_works = true;
        false
    }

    /// Returns whether the other side uses the token before the newest, as far as is known.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let pair = self.read();
        pair.previous_works && pair.previous.is_some()
    }

    /// Puts a newer token in front; does nothing if it is the newest already.
    pub fn rotate(&self, newest: Secret) {
        let mut pair = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if pair.newest.matches(newest.expose()) {
            return;
        }
        // What worked last goes on until the new one does.
        let kept = pair.previous.take().filter(|_| pair.previous_works);
        let kept = kept.unwrap_or_else(|| pair.newest.clone());
        *pair = Pair { newest, previous: Some(kept), previous_works: true };
    }

    fn read(&self) -> RwLockReadGuard<'_, Pair> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 32 bytes from which every store key and recovery passphrase is derived (HKDF-SHA-256).
#[derive(Clone)]
pub struct MasterSecret(Zeroizing<[u8; 32]>);

impl MasterSecret {
    /// Wraps 32 bytes read from the master secret's file.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns a new secret from the operating system's randomness.
    ///
    /// # Panics
    /// As [`Secret::random`].
    #[must_use]
    pub fn random() -> Self {
        Self::new(random_bytes())
    }

    /// Reads the form that [`Self::encode`] writes; `None` if it is not 32 bytes of base64url.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
        Some(Self::new(bytes.try_into().ok()?))
    }

    /// Returns the base64url form that is kept in the secret's own file.
    #[must_use]
    pub fn encode(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// Derives the key for one purpose; labels are `purpose:subject`, e.g. `store:@a:example.org`.
    ///
    /// # Panics
    /// Never: 32 bytes are within HKDF's limit.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(b"workmate-v1"), self.0.as_slice())
            .expand(label.as_bytes(), &mut key)
            .expect("32 bytes are within HKDF-SHA-256's 8160");
        key
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret(…)")
    }
}

fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_kind_of_secret_prints_its_value() {
        let secret = Secret::new("hunter2");
        let master = MasterSecret::new([7; 32]);
        assert_eq!(format!("{secret:?} {master:?}"), "Secret(…) MasterSecret(…)");
    }

    #[test]
    fn op8_a_replaced_token_holds_until_the_other_side_uses_the_new_one() {
        let secret = Secret::new;
        let tokens = Rotating::new(secret("one"), None);
        assert!(tokens.admits("one") && !tokens.admits("two") && tokens.other_than(&secret("one")).is_none());
        tokens.rotate(secret("two"));
        // The other side has not read the new one yet: nothing changes for it.
        assert!(tokens.current().matches("one") && tokens.admits("one"));
        assert!(tokens.other_than(&secret("one")).is_some_and(|other| other.matches("two")));
        // A second rotation before it did keeps the one that works, and forgets the one that nobody ever used.
        tokens.rotate(secret("three"));
        tokens.rotate(secret("three"));
        assert!(tokens.admits("one") && !tokens.admits("two"));
        assert!(tokens.admits("three"), "the other side has read it");
        assert!(!tokens.admits("one") && tokens.current().matches("three"));
        // After a restart in between: the newest is tried first, and the one before it where that is refused.
        let tokens = Rotating::new(secret("four"), Some(secret("three")));
        assert!(tokens.current().matches("four"));
        assert!(tokens.other_than(&secret("four")).is_some_and(|other| other.matches("three")));
        assert!(!tokens.works("three") && tokens.current().matches("three"));
        assert!(tokens.works("four") && tokens.other_than(&secret("four")).is_none());
    }

    #[test]
    fn a_master_secret_survives_encoding_and_derives_by_label() {
        let master = MasterSecret::random();
        let read = MasterSecret::decode(master.encode().expose()).expect("what was written reads back");
        assert_eq!(master.derive("store:a"), read.derive("store:a"));
        assert_ne!(master.derive("store:a"), master.derive("store:b"));
    }
}
