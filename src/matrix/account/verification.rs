//! Verification by emoji (spec v1.17, 11.12.2.2), from a virtual user's side.

use std::sync::{Arc, Mutex, PoisonError};

use matrix_sdk::{
    Client,
    encryption::identities::Device,
    encryption::verification::{
        SasState, SasVerification, Verification as SdkVerification, VerificationRequest, VerificationRequestState,
    },
};
use ruma::{
    OwnedUserId, UserId,
    events::key::verification::{VerificationMethod, request::ToDeviceKeyVerificationRequestEvent},
};

use super::Account;
use crate::{core::id, matrix::error::MatrixError};

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
    /// The other side is awaited.
    Waiting,
    /// The keys are exchanged: these are to be shown, and confirmed.
    Emoji(Vec<Emoji>),
    /// Both have confirmed.
    Done,
    /// It was cancelled.
    Ended,
}

/// One verification that goes on. It holds what the SDK forgets with the sync after the end.
pub struct Verifying {
    request: VerificationRequest,
    sas: Option<SasVerification>,
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
                let flow = event.content.transaction_id.as_str();
                if !id::is_token(flow) || !id::is_token(event.content.from_device.as_str()) {
                    return;
                }
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

    /// Returns a verification that somebody asked this user for; `None`: the request is not known, as of the last sync.
    pub async fn verification(&self, person: &UserId, id: &str) -> Option<Verifying> {
        let request = self.client.encryption().get_verification_request(person, id).await?;
        Some(Verifying { request, sas: None })
    }

    /// Asks a person's devices to verify this user, by to-device messages; returns what follows from each.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn ask_to_verify(&self, person: &UserId) -> Result<Vec<Verifying>, MatrixError> {
        let encryption = self.client.encryption();
        encryption.request_user_identity(person).await?;
        let devices = encryption.get_user_devices(person).await?;
        let mut flows = Vec::new();
        for device in devices.devices().filter(Device::is_cross_signed_by_owner).take(DEVICES_MAX) {
            let methods = vec![VerificationMethod::SasV1];
            flows.push(Verifying { request: device.request_verification_with_methods(methods).await?, sas: None });
        }
        Ok(flows)
    }
}

impl Verifying {
    /// Returns the id that both sides know it by.
    #[must_use]
    pub fn id(&self) -> &str {
        self.request.flow_id()
    }

    /// Does our side's next step, as of the last sync, and returns what it has come to.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn advance(&mut self) -> Result<Verification, MatrixError> {
        if let Some(sas) = &self.sas {
            return advance_sas(sas).await;
        }
        match self.request.state() {
            VerificationRequestState::Requested { .. } => {
                self.request.accept_with_methods(vec![VerificationMethod::SasV1]).await?;
            }
            VerificationRequestState::Ready { .. } if self.request.we_started() => {
                self.request.start_sas().await?;
            }
            VerificationRequestState::Transitioned { verification: SdkVerification::SasV1(sas) } => {
                return advance_sas(self.sas.insert(sas)).await;
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
    pub async fn confirm(&self) -> Result<(), MatrixError> {
        match &self.sas {
            Some(sas) => Ok(Box::pin(sas.confirm()).await?),
            None => Ok(()),
        }
    }

    /// Cancels it; what is over stays as it is.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn cancel(&self) -> Result<(), MatrixError> {
        Ok(self.request.cancel().await?)
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
