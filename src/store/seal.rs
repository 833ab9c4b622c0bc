//! Seals values with XChaCha20-Poly1305 over JSON, bound to the table and key that they are stored under.

use std::{fmt, sync::Arc};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};

/// Bytes of the random nonce before each sealed value; 24 make a collision too unlikely to count.
const NONCE_BYTES: usize = 24;

/// Seals and opens values under the store's key.
#[derive(Clone)]
pub(super) struct Seal(Arc<XChaCha20Poly1305>);

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Arc::new(XChaCha20Poly1305::new(key.into())))
    }

    /// Encrypts `plain` and returns nonce and ciphertext, which open only under the same table and key.
    pub(super) fn seal(&self, table: &str, key: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the operating system gives randomness");
        let aad = associated_data(table, key);
        let sealed = self
            .0
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: &aad })
            .expect("values are far below the cipher's bound of 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what [`Self::seal`] returned; `None` under another secret, table or key, or if bytes were changed.
    pub(super) fn open(&self, table: &str, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES)?;
        let aad = associated_data(table, key);
        self.0.decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: &aad }).ok()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Joins name and key with a NUL, which no table name contains, so that no other pair gives the same bytes.
fn associated_data(table: &str, key: &[u8]) -> Vec<u8> {
    [table.as_bytes(), &[0], key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_where_it_was_sealed() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.seal("runs", b"k", b"plain");

        let opened = [
            seal.open("runs", b"k", &sealed),
            seal.open("rooms", b"k", &sealed),
            seal.open("runs", b"l", &sealed),
            Seal::new(&[2; 32]).open("runs", b"k", &sealed),
            seal.open("runs", b"k", &sealed[..sealed.len() - 1]),
            seal.open("runs", b"k", b"short"),
        ];

        assert_eq!(opened, [Some(b"plain".to_vec()), None, None, None, None, None]);
    }

    #[test]
    fn the_same_value_never_looks_the_same_twice_and_shows_no_plaintext() {
        let seal = Seal::new(&[1; 32]);
        let (a, b) = (seal.seal("runs", b"k", b"canary-canary"), seal.seal("runs", b"k", b"canary-canary"));
        assert_ne!(a, b);
        assert!(!a.windows(6).any(|window| window == b"canary"));
    }
}
