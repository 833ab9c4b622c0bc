//! Secrets that cannot be printed, and keys derived from the master secret.

use std::fmt;

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
    fn a_master_secret_survives_encoding_and_derives_by_label() {
        let master = MasterSecret::random();
        let read = MasterSecret::decode(master.encode().expose()).expect("what was written reads back");
        assert_eq!(master.derive("store:a"), read.derive("store:a"));
        assert_ne!(master.derive("store:a"), master.derive("store:b"));
    }
}
