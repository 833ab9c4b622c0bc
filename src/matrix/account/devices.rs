//! Whether the device that sent something is its user's own: signed with the identity that they keep.

use ruma::UserId;

use super::Account;
use crate::matrix::error::MatrixError;

/// What a sender's other keys say of the device that sent something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// Its user signed it, or has no identity with which they sign any.
    ByOwner,
    /// Nobody did: the device's id, or its key where no device of the user has it.
    ByNobody(String),
    /// Its user has no identity yet, so that nothing can be told.
    NoIdentity,
}

impl Account {
    /// Returns whether `user` signed the device whose Curve25519 key sent them a session.
    ///
    /// The homeserver is asked for their keys where none that we know speaks for the device: it may be new, or have been
    /// verified just now.
    ///
    /// # Errors
    /// When the homeserver does not answer, or the crypto store fails.
    pub async fn vouched_for(&self, user: &UserId, key: &str) -> Result<Vouched, MatrixError> {
        let known = self.vouched_as_known(user, key).await?;
        if known == Vouched::ByOwner {
            return Ok(known);
        }
        self.client.encryption().request_user_identity(user).await?;
        self.vouched_as_known(user, key).await
    }

    async fn vouched_as_known(&self, user: &UserId, key: &str) -> Result<Vouched, MatrixError> {
        let encryption = self.client.encryption();
        let devices = encryption.get_user_devices(user).await?;
        let of_key = |device: &matrix_sdk::encryption::identities::Device| {
            device.curve25519_key().is_some_and(|known| known.to_base64() == key)
        };
        let sender = devices.devices().find(of_key);
        if sender.as_ref().is_some_and(matrix_sdk::encryption::identities::Device::is_cross_signed_by_owner) {
            return Ok(Vouched::ByOwner);
        }
        let identity = encryption.get_user_identity(user).await.map_err(matrix_sdk::Error::from)?;
        if identity.is_none() {
            return Ok(Vouched::NoIdentity);
        }
        Ok(Vouched::ByNobody(sender.map_or_else(|| key.to_owned(), |device| device.device_id().to_string())))
    }
}
