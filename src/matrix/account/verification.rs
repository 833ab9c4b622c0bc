//! Emoji verification (spec v1.17, 11.12.2.2) from a virtual user's side.

use std::sync::{Arc, Mutex, PoisonError};

use matrix_sdk::{
    Client,
    encryption::identities::{Device, RequestVerificationError},
    encryption::verification::{
        CancelInfo, SasState, SasVerification, Verification as SdkVerification, VerificationRequest,
        VerificationRequestState,
    },
};
use ruma::{
    OwnedUserId, RoomId, UserId,
    events::key::verification::{VerificationMethod, cancel::CancelCode, request::ToDeviceKeyVerificationRequestEvent},
};

use super::Account;
use crate::{core::id, matrix::error::MatrixError};

/// Most unhandled requests by to-device message; further ones are dropped.
const REQUESTS_MAX: usize = 16;

/// One of the seven emoji that both sides show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emoji {
    /// The emoji itself.
    pub symbol: &'static str,
    /// Its English name, as clients show it.
    pub name: &'static str,
}

/// A verification's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Our request has not been answered.
    Unanswered,
    /// Waiting for the other side.
    Waiting,
    /// Keys are exchanged; show these emoji, then confirm.
    Emoji(Vec<Emoji>),
    /// Both sides have confirmed.
    Done,
    /// It was cancelled.
    Ended(Ending),
}

/// Why a verification was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The other side cancelled it.
    Theirs,
    /// The emoji were reported to differ.
    Differed,
    /// It took longer than the protocol allows.
    TimedOut,
    /// Our SDK cancelled it, as it cancels both of two concurrent verifications with one person.
    Collided,
}

/// Where a person was asked to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// On all of their devices, or their only one.
    Everywhere,
    /// On one of several devices, with this name.
    On(String),
}

/// A verification in progress. It keeps what the SDK forgets with the first sync after the end.
pub struct Verifying {
    request: VerificationRequest,
    sas: Option<SasVerification>,
}

/// Requests by to-device message: the person and the transaction id.
#[derive(Clone)]
pub(super) struct Requests(Arc<Mutex<Vec<(OwnedUserId, String)>>>);

impl Requests {
    /// Collects the requests from the client's syncs.
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
    /// Takes the requests to this user by to-device message since the last call, with their flow ids.
    pub fn take_verification_requests(&self) -> Vec<(OwnedUserId, String)> {
        std::mem::take(&mut *self.verifications.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a verification that a person requested; `None` if it is unknown as of the last sync.
    pub async fn verification(&self, person: &UserId, id: &str) -> Option<Verifying> {
        let request = self.client.encryption().get_verification_request(person, id).await?;
        Some(Verifying { request, sas: None })
    }

    /// Learns a person's devices, so that a new one's request is not dropped when a sync brings it.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn learn_devices(&self, person: &UserId) -> Result<(), MatrixError> {
        self.client.encryption().request_user_identity(person).await?;
        Ok(())
    }

    /// Asks a person to verify this user; `None` if they have no device that can.
    ///
    /// The SDK cancels concurrent requests to one person, so exactly one is made: to their only device, else in `chat`
    /// if that is the direct chat with them, else to the device that `writer` (its Curve25519 key) names, or to their
    /// newest.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn ask_to_verify(
        &self,
        person: &UserId,
        chat: Option<&RoomId>,
        writer: Option<&str>,
    ) -> Result<Option<(Verifying, Asked)>, MatrixError> {
        let encryption = self.client.encryption();
        let Some(identity) = encryption.request_user_identity(person).await? else { return Ok(None) };
        let known = encryption.get_user_devices(person).await?;
        let mut devices: Vec<Device> = known.devices().filter(Device::is_cross_signed_by_owner).collect();
        let methods = || vec![VerificationMethod::SasV1];
        let several = devices.len() > 1;
        if several && chat.is_some_and(|chat| self.is_direct_chat(chat, person)) {
            return match Box::pin(identity.request_verification_with_methods(methods())).await {
                Ok(request) => Ok(Some((Verifying { request, sas: None }, Asked::Everywhere))),
                Err(RequestVerificationError::Sdk(error)) => Err(error.into()),
                Err(_) => Ok(None),
            };
        }
        let wrote = |device: &Device| device.curve25519_key().is_some_and(|key| Some(&*key.to_base64()) == writer);
        devices.sort_by_key(|device| (wrote(device), device.first_time_seen_ts()));
        let Some(device) = devices.pop() else { return Ok(None) };
        let request = device.request_verification_with_methods(methods()).await?;
        let name = || device.display_name().unwrap_or(device.device_id().as_str()).to_owned();
        let asked = if several { Asked::On(name()) } else { Asked::Everywhere };
        Ok(Some((Verifying { request, sas: None }, asked)))
    }

    /// Returns whether the SDK would use `chat` to ask `person`.
    fn is_direct_chat(&self, chat: &RoomId, person: &UserId) -> bool {
        self.client.get_dm_room(person).is_some_and(|room| room.room_id() == chat)
    }
}

impl Ending {
    fn of(why: &CancelInfo) -> Self {
        match why.cancel_code() {
            CancelCode::MismatchedSas => Self::Differed,
            CancelCode::Timeout => Self::TimedOut,
            _ if why.cancelled_by_us() => Self::Collided,
            _ => Self::Theirs,
        }
    }
}

impl Verifying {
    /// Returns the flow id shared by both sides.
    #[must_use]
    pub fn id(&self) -> &str {
        self.request.flow_id()
    }

    /// Takes our next step, as of the last sync, and returns the new state.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn advance(&mut self) -> Result<Verification, MatrixError> {
        let state = self.request.state();
        // If both sides started, one start counts, and the SDK replaces the other.
        if let VerificationRequestState::Transitioned { verification: SdkVerification::SasV1(sas) } = &state {
            self.sas = Some(sas.clone());
        }
        if let Some(sas) = &self.sas {
            return advance_sas(sas).await;
        }
        match state {
            VerificationRequestState::Requested { .. } => {
                self.request.accept_with_methods(vec![VerificationMethod::SasV1]).await?;
            }
            VerificationRequestState::Ready { .. } if self.request.we_started() => {
                self.request.start_sas().await?;
            }
            VerificationRequestState::Created { .. } => return Ok(Verification::Unanswered),
            VerificationRequestState::Ready { .. } => {}
            VerificationRequestState::Done => return Ok(Verification::Done),
            // QR codes: we offered none and can neither show nor scan them.
            VerificationRequestState::Transitioned { .. } => return Ok(Verification::Ended(Ending::Theirs)),
            VerificationRequestState::Cancelled(why) => return Ok(Verification::Ended(Ending::of(&why))),
        }
        Ok(Verification::Waiting)
    }

    /// Confirms that we showed the emoji; the person then decides whether they match.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn confirm(&self) -> Result<(), MatrixError> {
        match &self.sas {
            Some(sas) => Ok(Box::pin(sas.confirm()).await?),
            None => Ok(()),
        }
    }

    /// Cancels the verification, unless it has ended.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn cancel(&self) -> Result<(), MatrixError> {
        Ok(self.request.cancel().await?)
    }
}

async fn advance_sas(sas: &SasVerification) -> Result<Verification, MatrixError> {
    match sas.state() {
        // Only the other side's start leads here. `sas.we_started` tells who made the request, who need not be the one who
        // starts (matrix-sdk-crypto 0.18, `VerificationRequest::receive`).
        SasState::Started { .. } => {
            sas.accept().await?;
            Ok(Verification::Waiting)
        }
        SasState::KeysExchanged { emojis: Some(shown), .. } => {
            let emoji = shown.emojis.iter().map(|emoji| Emoji { symbol: emoji.symbol, name: emoji.description });
            Ok(Verification::Emoji(emoji.collect()))
        }
        // Only very old clients compare numbers.
        SasState::KeysExchanged { emojis: None, .. } => {
            sas.cancel().await?;
            Ok(Verification::Ended(Ending::Theirs))
        }
        SasState::Done { .. } => Ok(Verification::Done),
        SasState::Cancelled(why) => Ok(Verification::Ended(Ending::of(&why))),
        _ => Ok(Verification::Waiting),
    }
}
