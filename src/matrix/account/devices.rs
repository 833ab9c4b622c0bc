//! Whether a sending device is its user's own: signed with the user's identity.

use ruma::UserId;

use super::Account;
use crate::matrix::error::MatrixError;

/// Whether the sender's identity vouches for the sending device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// The user signed it.
    ByOwner,
    /// The user did not sign it. Holds the device's id, or its key if no device of the user has it.
    ByNobody(String),
    /// The user has no identity yet, so nothing can be told.
    NoIdentity,
}

impl Account {
    /// Returns whether `user` signed the device whose Curve25519 key sent a session.
    ///
    /// If no known key vouches for the device, asks the homeserver for the user's keys: the device may be new or just
    /// verified.
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
