//! Verification by emoji (spec v1.17, 11.12.2.2), from a virtual user's side.

use std::sync::{Arc, Mutex, PoisonError};

use matrix_sdk::{
    Client,
    encryption::verification::{SasState, SasVerification, Verification as SdkVerification, VerificationRequestState},
};
use ruma::{
    OwnedUserId, UserId,
    events::key::verification::{VerificationMethod, request::ToDeviceKeyVerificationRequestEvent},
};

use super::Account;
use crate::matrix::error::MatrixError;

/// Requests by to-device message that wait to be taken up; further ones are dropped.
const REQUESTS_MAX: usize = 16;
/// Devices of a person that are asked at once.
const DEVICES_MAX: usize = 10;

/// One of the seven emoji that both sides show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emoji {
    /// The sign itself.
    pub symbol: &'static str,
    /// Its name in English, as clients show it.
    pub name: &'static str,
}

/// What a verification has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The request is not known: it never reached this client, or was made before it was opened.
    Unknown,
    /// The other side is awaited.
    Waiting,
    /// The keys are exchanged: these are to be shown, and confirmed.
    Emoji(Vec<Emoji>),
    /// Both have confirmed.
    Done,
    /// It was cancelled.
    Ended,
}

/// Who asked for a verification by to-device message, and under which transaction id.
#[derive(Clone)]
pub(super) struct Requests(Arc<Mutex<Vec<(OwnedUserId, String)>>>);

impl Requests {
    /// Notes the requests that the client's syncs bring.
    pub(super) fn of(client: &Client) -> Self {
        let requests = Self(Arc::default());
        let noted = requests.clone();
        client.add_event_handler(move |event: ToDeviceKeyVerificationRequestEvent| {
            let noted = noted.clone();
            async move {
                let mut waiting = noted.0.lock().unwrap_or_else(PoisonError::into_inner);
                if waiting.len() < REQUESTS_MAX {
                    waiting.push((event.sender, event.content.transaction_id.to_string()));
                }
            }
        });
        requests
    }
}

impl Account {
    /// Returns who asked this user for a verification by to-device message since the last call, and its flow.
    pub fn take_verification_requests(&self) -> Vec<(OwnedUserId, String)> {
        std::mem::take(&mut *self.verifications.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does this user's next step in a verification, as of the last sync, and returns what it has come to.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn advance_verification(&self, person: &UserId, flow: &str) -> Result<Verification, MatrixError> {
        if let Some(sas) = self.sas(person, flow).await {
            return advance_sas(&sas).await;
        }
        let Some(request) = self.client.encryption().get_verification_request(person, flow).await else {
            return Ok(Verification::Unknown);
        };
        match request.state() {
            VerificationRequestState::Requested { .. } => {
                request.accept_with_methods(vec![VerificationMethod::SasV1]).await?;
            }
            VerificationRequestState::Ready { .. } if request.we_started() => {
                request.start_sas().await?;
            }
            VerificationRequestState::Transitioned { verification: SdkVerification::SasV1(sas) } => {
                return advance_sas(&sas).await;
            }
            VerificationRequestState::Created { .. } | VerificationRequestState::Ready { .. } => {}
            VerificationRequestState::Done => return Ok(Verification::Done),
            _ => return Ok(Verification::Ended),
        }
        Ok(Verification::Waiting)
    }

    /// Confirms that the emoji were shown: from then on it is the person's to say whether they are the same.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn confirm_verification(&self, person: &UserId, flow: &str) -> Result<(), MatrixError> {
        match self.sas(person, flow).await {
            Some(sas) => Ok(Box::pin(sas.confirm()).await?),
            None => Ok(()),
        }
    }

    /// Cancels a verification; one that is over stays as it is.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn cancel_verification(&self, person: &UserId, flow: &str) -> Result<(), MatrixError> {
        match self.client.encryption().get_verification_request(person, flow).await {
            Some(request) => Ok(request.cancel().await?),
            None => Ok(()),
        }
    }

    /// Asks a person's devices to verify this user, by to-device messages; returns the flows.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn ask_to_verify(&self, person: &UserId) -> Result<Vec<String>, MatrixError> {
        let encryption = self.client.encryption();
        encryption.request_user_identity(person).await?;
        let devices = encryption.get_user_devices(person).await.map_err(matrix_sdk::Error::from)?;
        let mut flows = Vec::new();
        for device in devices.devices().filter(|device| device.is_cross_signed_by_owner()).take(DEVICES_MAX) {
            let methods = vec![VerificationMethod::SasV1];
            flows.push(device.request_verification_with_methods(methods).await?.flow_id().to_owned());
        }
        Ok(flows)
    }

    async fn sas(&self, person: &UserId, flow: &str) -> Option<SasVerification> {
        self.client.encryption().get_verification(person, flow).await.and_then(SdkVerification::sas)
    }
}

async fn advance_sas(sas: &SasVerification) -> Result<Verification, MatrixError> {
    match sas.state() {
        SasState::Started { .. } if !sas.we_started() => {
            sas.accept().await?;
            Ok(Verification::Waiting)
        }
        SasState::KeysExchanged { emojis: Some(shown), .. } => {
            let emoji = shown.emojis.iter().map(|emoji| Emoji { symbol: emoji.symbol, name: emoji.description });
            Ok(Verification::Emoji(emoji.collect()))
        }
        // Numbers are compared nowhere but in very old clients.
        SasState::KeysExchanged { emojis: None, .. } => {
            sas.cancel().await?;
            Ok(Verification::Ended)
        }
        SasState::Done { .. } => Ok(Verification::Done),
        SasState::Cancelled(_) => Ok(Verification::Ended),
        _ => Ok(Verification::Waiting),
    }
}
