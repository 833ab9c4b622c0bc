//! Emoji verification (spec v1.17, 11.12.2.2) from a virtual user's side.

use std::{collections::BTreeMap, future::IntoFuture as _};

use matrix_sdk::{
    encryption::identities::{Device, RequestVerificationError},
    encryption::verification::{
        CancelInfo, SasState, SasVerification, Verification as SdkVerification, VerificationRequest,
        VerificationRequestState,
    },
};
use ruma::{
    OwnedTransactionId, RoomId, TransactionId, UserId,
    api::client::to_device::send_event_to_device,
    events::{
        AnyToDeviceEventContent,
        key::verification::{
            VerificationMethod,
            cancel::{CancelCode, KeyVerificationCancelEventContent, ToDeviceKeyVerificationCancelEventContent},
        },
        relation::Reference,
    },
    serde::Raw,
    to_device::DeviceIdOrAllDevices,
};

use super::Account;
use crate::{core::id, matrix::error::MatrixError};

/// Why a verification is cancelled of which nothing is left here, for developers.
const BROKEN_OFF: &str = "the verification was broken off";

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
    /// Our side cancelled it: because a newer one began, or because the SDK cancels both of two at once.
    Crossed,
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

impl Account {
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
                Ok(request) => Ok(Some((self.ours(request), Asked::Everywhere))),
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
        Ok(Some((self.ours(request), asked)))
    }

    fn ours(&self, request: VerificationRequest) -> Verifying {
        self.verifications.keep_ours(request.clone());
        Verifying::of(request)
    }

    /// Cancels a verification of which nothing is left here but its id: in the `chat` where it was requested, else by
    /// to-device messages to all of the person's devices.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub async fn cancel_verification(
        &self,
        person: &UserId,
        id: &str,
        chat: Option<&RoomId>,
        txn: OwnedTransactionId,
    ) -> Result<(), MatrixError> {
        let (reason, code) = (BROKEN_OFF.to_owned(), CancelCode::User);
        let Some(chat) = chat else {
            let content =
                ToDeviceKeyVerificationCancelEventContent::new(<&TransactionId>::from(id).to_owned(), reason, code);
            let content = AnyToDeviceEventContent::KeyVerificationCancel(content);
            let mut request =
                send_event_to_device::v3::Request::new_raw("m.key.verification.cancel".into(), txn, BTreeMap::new());
            let raw = Raw::new(&content).map_err(matrix_sdk::Error::from)?;
            request.messages.entry(person.to_owned()).or_default().insert(DeviceIdOrAllDevices::AllDevices, raw);
            self.client.send(request).await.map_err(matrix_sdk::Error::from)?;
            return Ok(());
        };
        let Some(asked) = id::event(id) else { return Ok(()) };
        let content = KeyVerificationCancelEventContent::new(reason, code, Reference::new(asked));
        let (here, _) = Box::pin(self.door(chat)).await?;
        Box::pin(here.send(content).with_transaction_id(txn).into_future()).await?;
        Ok(())
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
            _ if why.cancelled_by_us() => Self::Crossed,
            _ => Self::Theirs,
        }
    }
}

impl Verifying {
    pub(super) fn of(request: VerificationRequest) -> Self {
        Self { request, sas: None }
    }

    /// Returns the flow id shared by both sides.
    #[must_use]
    pub fn id(&self) -> &str {
        self.request.flow_id()
    }

    /// Returns the room in which it was requested; `None` if it was by to-device message.
    #[must_use]
    pub fn room(&self) -> Option<&RoomId> {
        self.request.room_id()
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
