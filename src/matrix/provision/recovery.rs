//! Recovery: how a new device regains a user's identity and keys when the disk is lost.
//!
//! The user's secret storage has a random key. It is kept in the user's account data, sealed under the master secret,
//! so homeserver and master secret together suffice. A passphrase would need no account data, but secret storage
//! derives its key in 500 000 rounds: half a second of a core for each user, to stretch a passphrase that is as random
//! as a key. Users of early versions have one, and are recovered with it.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use matrix_sdk::encryption::{
    identities::ManualVerifyError,
    recovery::{RecoveryError, RecoveryState},
    secret_storage::{ImportError, SecretStorageError},
};
use ruma::{
    UserId,
    events::{AnyGlobalAccountDataEventContent, GlobalAccountDataEventType},
    serde::Raw,
};
use serde::{Deserialize, Serialize};

use super::{Card, Provisioner, write_card};
use crate::{
    core::hex::hex,
    matrix::{account::Account, error::MatrixError},
    secret::{MasterSecret, Secret},
};

/// The account data event with the sealed key.
const ACCOUNT_DATA: &str = "io.workmate.recovery_key";
const NONCE_BYTES: usize = 24;
/// Pauses before the further tries to recover an identity when nothing seems to lead to it.
const LOST_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How far a user's recovery is set up, as stored in its folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Not at all, or with a passphrase as in early versions.
    #[default]
    Passphrase,
    /// Secret storage may have a key that is not in the account data.
    Unsealed,
    /// The account data holds the key.
    Sealed,
}

/// Why an identity was not recovered.
#[derive(Debug, thiserror::Error)]
enum Unrecovered {
    /// The homeserver failed; retry later.
    #[error(transparent)]
    Passing(MatrixError),
    /// What the homeserver has does not suffice.
    #[error("{0}")]
    Lost(String),
}

impl From<RecoveryError> for Unrecovered {
    fn from(error: RecoveryError) -> Self {
        let call = match error {
            RecoveryError::Sdk(error)
            | RecoveryError::SecretStorage(
                SecretStorageError::Sdk(error) | SecretStorageError::ImportError { error: ImportError::Sdk(error), .. },
            ) => error,
            RecoveryError::SecretStorage(SecretStorageError::Verification(ManualVerifyError::Http(error))) => {
                error.into()
            }
            lost => return Self::Lost(lost.to_string()),
        };
        let call = MatrixError::from(call);
        // Only an answer about the requested data can mean that it does not exist.
        if call.is_passing() || call.is_odd_refusal() || call.is_forbidden() {
            Self::Passing(call)
        } else {
            Self::Lost(call.to_string())
        }
    }
}

/// The content of [`ACCOUNT_DATA`].
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Nonce and ciphertext, in base64url.
    key: String,
}

impl Provisioner {
    /// Sets up recovery for a new identity, or recovers an old one on a new device.
    pub(super) async fn recovery(&self, account: &Account, dir: &Path, mut card: Card) -> Result<(), MatrixError> {
        let encryption = account.client().encryption();
        let recovery = encryption.recovery();
        let signed = async || encryption.cross_signing_status().await.is_some_and(|status| status.is_complete());
        let mut is_new = true;
        match recovery.state() {
            RecoveryState::Enabled if signed().await => match card.recovery {
                Stage::Passphrase | Stage::Sealed => return Ok(()),
                // A crash came after setting up secret storage and before saving its key.
                Stage::Unsealed => is_new = false,
            },
            RecoveryState::Disabled if signed().await => {}
            _ => match Box::pin(self.recover_surely(account)).await {
                Ok(stage) if signed().await => {
                    tracing::info!(user.id = %account.user(), device.id = %card.device, "identity and keys recovered");
                    download_keys(account).await;
                    card.recovery = stage;
                    return write_card(dir, &card);
                }
                // A temporarily unavailable homeserver is no reason to give up an identity.
                Err(Unrecovered::Passing(error)) => return Err(error),
                recovered => {
                    let error = recovered.err().map(|error| error.to_string()).unwrap_or_default();
                    tracing::warn!(
                        user.id = %account.user(), error,
                        "the old identity cannot be recovered with this master secret; a new one is made, and people see that it changed"
                    );
                    Box::pin(encryption.bootstrap_cross_signing(None)).await?;
                    if let Err(error) = encryption.backups().disable_and_delete().await {
                        tracing::debug!(user.id = %account.user(), %error, "no old key backup was deleted");
                    }
                }
            },
        }
        card.recovery = Stage::Unsealed;
        write_card(dir, &card)?;
        let key = if is_new { recovery.enable().await } else { recovery.reset_key().await };
        let kept = async { self.keep_key(account, &Secret::new(key?)).await };
        match Box::pin(kept).await {
            Ok(()) => {
                card.recovery = Stage::Sealed;
                write_card(dir, &card)
            }
            Err(error) => {
                // The user works without recovery; only a lost disk would cost its keys. The next opening retries.
                tracing::warn!(user.id = %account.user(), %error, "recovery cannot be enabled; a lost disk would lose keys");
                Ok(())
            }
        }
    }

    /// Recovers an identity. That nothing leads to it is believed only after several tries: a homeserver in trouble may
    /// for a while report that nothing is there, but a new identity is permanent.
    async fn recover_surely(&self, account: &Account) -> Result<Stage, Unrecovered> {
        for pause in LOST_PAUSES {
            match Box::pin(self.recover(account)).await {
                Err(Unrecovered::Lost(error)) => {
                    tracing::debug!(user.id = %account.user(), error, "an identity is not recovered yet");
                    tokio::time::sleep(pause).await;
                }
                recovered => return recovered,
            }
        }
        Box::pin(self.recover(account)).await
    }

    async fn recover(&self, account: &Account) -> Result<Stage, Unrecovered> {
        let (user, recovery) = (account.user(), account.client().encryption().recovery());
        let held = account.client().account().fetch_account_data(ACCOUNT_DATA.into()).await;
        let held = held.map_err(|error| Unrecovered::from(RecoveryError::Sdk(error)))?;
        let sealed = held.and_then(|held| held.deserialize_as_unchecked::<Sealed>().ok());
        if let Some(key) = sealed.and_then(|sealed| open(&self.master, user, &sealed)) {
            match Box::pin(recovery.recover(key.expose())).await.map_err(Unrecovered::from) {
                Ok(()) => return Ok(Stage::Sealed),
                Err(Unrecovered::Lost(error)) => {
                    tracing::debug!(user.id = %user, %error, "the sealed key does not recover");
                }
                Err(passing) => return Err(passing),
            }
        }
        let passphrase = Secret::new(hex(&self.master.derive(&format!("recovery:{user}"))));
        Box::pin(recovery.recover(passphrase.expose())).await?;
        Ok(Stage::Passphrase)
    }

    async fn keep_key(&self, account: &Account, key: &Secret) -> Result<(), RecoveryError> {
        let sealed = seal(&self.master, account.user(), key);
        let content = Raw::new(&sealed).map_err(matrix_sdk::Error::from)?;
        let content: Raw<AnyGlobalAccountDataEventContent> = content.cast_unchecked();
        let kind = GlobalAccountDataEventType::from(ACCOUNT_DATA);
        account.client().account().set_account_data_raw(kind, content).await?;
        Ok(())
    }
}

fn cipher(master: &MasterSecret, user: &UserId) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&master.derive(&format!("recovery-key:{user}"))).into())
}

fn seal(master: &MasterSecret, user: &UserId, key: &Secret) -> Sealed {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).expect("the operating system gives randomness");
    let payload = Payload { msg: key.expose().as_bytes(), aad: user.as_bytes() };
    let sealed = cipher(master, user).encrypt(XNonce::from_slice(&nonce), payload).expect("a key is short");
    Sealed { key: URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()) }
}

/// Unseals the key if it was sealed for this user under this master secret.
fn open(master: &MasterSecret, user: &UserId, sealed: &Sealed) -> Option<Secret> {
    let bytes = URL_SAFE_NO_PAD.decode(&sealed.key).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
    let payload = Payload { msg: sealed, aad: user.as_bytes() };
    let key = cipher(master, user).decrypt(XNonce::from_slice(nonce), payload).ok()?;
    Some(Secret::new(String::from_utf8(key).ok()?))
}

/// Fetches all room keys at once. The SDK would fetch each only after failing to decrypt a message, so that the first
/// answers would lack the room's history.
async fn download_keys(account: &Account) {
    let backups = account.client().encryption().backups();
    for room in account.joined() {
        if let Err(error) = Box::pin(backups.download_room_keys_for_room(&room)).await {
            tracing::warn!(user.id = %account.user(), room.id = %room, %error, "a room's keys cannot be downloaded");
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_sealed_key_opens_for_its_user_and_master_secret_alone() {
        let (master, other) = (MasterSecret::new([1; 32]), MasterSecret::new([2; 32]));
        let (alice, bob) = (user_id!("@a:hs"), user_id!("@b:hs"));
        let sealed = seal(&master, alice, &Secret::new("EsT key"));
        let opened = |key: Option<Secret>| key.map(|key| key.expose().to_owned());
        assert_eq!(opened(open(&master, alice, &sealed)).as_deref(), Some("EsT key"));
        assert_eq!(opened(open(&master, bob, &sealed)), None);
        assert_eq!(opened(open(&other, alice, &sealed)), None);
        for broken in ["", "AAAA", "not base64!"] {
            assert_eq!(opened(open(&master, alice, &Sealed { key: broken.to_owned() })), None);
        }
        assert!(!sealed.key.contains("EsT"), "the homeserver reads it");
    }

    #[test]
    fn nothing_is_lost_an_identity_is_not_given_up_for_a_refusal_that_says_nothing_of_it() {
        use matrix_sdk::HttpError;
        use ruma::api::{
            EndpointError as _,
            client::uiaa::UiaaResponse,
            error::{Error, FromHttpResponseError},
        };
        let refused = |status: u16, errcode: &str| {
            let body = format!(r#"{{"errcode":"{errcode}","error":"no"}}"#).into_bytes();
            let answer = axum::http::Response::builder().status(status).body(body).expect("a response");
            let error = UiaaResponse::MatrixError(Error::from_http_response(answer));
            let error = matrix_sdk::Error::from(HttpError::from(FromHttpResponseError::Server(error)));
            Unrecovered::from(RecoveryError::Sdk(error))
        };
        for (status, errcode, is_passing) in [
            (400, "M_UNKNOWN", true),
            (400, "M_BAD_JSON", true),
            (405, "M_UNKNOWN", true),
            (403, "M_FORBIDDEN", true),
            (451, "M_UNKNOWN", true),
            (503, "M_UNKNOWN", true),
            (404, "M_NOT_FOUND", false),
            (400, "M_UNRECOGNIZED", false),
        ] {
            let unrecovered = refused(status, errcode);
            assert_eq!(matches!(unrecovered, Unrecovered::Passing(_)), is_passing, "{status} {errcode}: {unrecovered}");
        }
    }

    #[test]
    fn folders_of_before_are_recovered_by_their_passphrase() {
        let card = r#"{"device":"WM1","opened":true,"avatar":null}"#;
        let card: Card = serde_json::from_str(card).expect("a card of before");
        assert_eq!(card.recovery, Stage::Passphrase);
    }
}
