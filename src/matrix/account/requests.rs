//! Requests for verification, and the verifications that come of them.
//!
//! The SDK cancels both of two verifications with one person, although the specification asks for that only where one
//! device began both (client-server API v1.17, 11.12.2.2.3, "Error and exception handling"); it forgets a cancelled one
//! with the next sync; and it drops a request from a device that it does not know. So before it reads a sync, the
//! device is looked up and an older verification is cancelled, so that the newest counts; and what it made of a request
//! is kept.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use axum::body::Bytes;
use matrix_sdk::{
    Client, encryption::verification::VerificationRequest,
    ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent,
};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId, events::key::verification::request::ToDeviceKeyVerificationRequestEvent,
    serde::Raw,
};

use matrix_sdk_base::crypto::store::CryptoStore as _;
use serde_json::Value;

use super::{Account, megolm::Megolm, verification::Verifying};
use crate::{
    core::{id, time::Timestamp},
    matrix::{gate::Gate, inbound::Read},
};

mod coming;

use self::coming::Coming;

/// The `msgtype` of a request in a room, and the type of one by to-device message.
pub(super) const REQUEST: &str = "m.key.verification.request";
/// Most unhandled requests by to-device message; further ones are dropped.
const REQUESTS_MAX: usize = 16;
/// Most requests of which is kept what the SDK made of them; the oldest are forgotten.
const KEPT_MAX: usize = 64;
/// Most encrypted events of a sync that are decrypted ahead, to find a request among them.
const SEALED_MAX: usize = 64;
/// Most people whose devices are looked up before a sync is read.
const PEOPLE_MAX: usize = 4;

/// Returns who asks for a verification with a to-device message, and the request's id; `None` if it is no request, or
/// too old.
pub(in crate::matrix) fn asks_to_verify(event: &Value, now: Timestamp) -> Option<(OwnedUserId, String)> {
    let Coming { person, id, .. } = coming::of_to_device(event, now)?;
    Some((person, id))
}

/// What became of a request.
pub enum Found {
    /// The SDK took it up.
    Going(Verifying),
    /// It came, and the SDK dropped it: from a device that could not be looked up, or too late.
    Dropped,
    /// It has not come yet.
    Unknown,
}

/// What the syncs brought. The clients' own handlers hold it weakly, because the SDK's objects hold the client.
#[derive(Default)]
pub(super) struct Requests(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    /// Requests by to-device message that nobody has taken yet: the person and the transaction id.
    waiting: Vec<(OwnedUserId, String)>,
    kept: VecDeque<Kept>,
}

/// What the SDK made of a request.
struct Kept {
    person: OwnedUserId,
    id: String,
    /// `None`: it dropped the request.
    request: Option<VerificationRequest>,
}

impl Kept {
    fn is_of(&self, person: &UserId, id: &str) -> bool {
        self.person == person && self.id == id
    }

    fn is_live(&self) -> bool {
        self.request.as_ref().is_some_and(|request| !request.is_done() && !request.is_cancelled())
    }
}

impl Noted {
    fn keep(&mut self, kept: Kept) {
        match self.kept.iter_mut().find(|known| known.is_of(&kept.person, &kept.id)) {
            Some(known) => {
                if kept.request.is_some() {
                    *known = kept;
                }
            }
            None => self.kept.push_back(kept),
        }
        if self.kept.len() > KEPT_MAX {
            // One that has ended, if there is one.
            let ended = self.kept.iter().position(|known| !known.is_live()).unwrap_or_default();
            self.kept.remove(ended);
        }
    }
}

fn lock(noted: &Mutex<Noted>) -> MutexGuard<'_, Noted> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn kept(client: &Client, person: OwnedUserId, id: String) -> Kept {
    let request = client.encryption().get_verification_request(&person, &id).await;
    Kept { person, id, request }
}

impl Requests {
    /// Collects the requests by to-device message from the client's syncs.
    pub(super) fn of(client: &Client) -> Self {
        let requests = Self::default();
        let noted = Arc::downgrade(&requests.0);
        client.add_event_handler(move |event: ToDeviceKeyVerificationRequestEvent, client: Client| {
            let noted: Weak<Mutex<Noted>> = noted.clone();
            async move {
                let (person, id) = (event.sender, event.content.transaction_id.to_string());
                if !id::is_token(&id) || !id::is_token(event.content.from_device.as_str()) {
                    return;
                }
                let kept = kept(&client, person.clone(), id.clone()).await;
                let Some(noted) = noted.upgrade() else { return };
                let mut noted = lock(&noted);
                noted.keep(kept);
                if noted.waiting.len() < REQUESTS_MAX {
                    noted.waiting.push((person, id));
                }
            }
        });
        requests
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        lock(&self.0)
    }

    /// Keeps a request of ours.
    pub(super) fn keep_ours(&self, request: VerificationRequest) {
        let (person, id) = (request.other_user_id().to_owned(), request.flow_id().to_owned());
        self.lock().keep(Kept { person, id, request: Some(request) });
    }

    fn people(&self) -> Vec<OwnedUserId> {
        self.lock().kept.iter().filter(|kept| kept.is_live()).map(|kept| kept.person.clone()).collect()
    }

    fn knows(&self, person: &UserId, id: &str) -> bool {
        self.lock().kept.iter().any(|kept| kept.is_of(person, id))
    }

    /// Returns the verifications with a person that have not ended.
    fn live(&self, person: &UserId) -> Vec<VerificationRequest> {
        let noted = self.lock();
        let theirs = noted.kept.iter().filter(|kept| kept.person == person && kept.is_live());
        theirs.filter_map(|kept| kept.request.clone()).collect()
    }
}

/// Has a client prepare for the requests in its syncs.
pub(super) fn watch(gate: &Gate, user: &UserId, client: Weak<Account>) {
    let prepare = move |answer: Bytes| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let account = client.upgrade();
        Box::pin(async move {
            if let Some(account) = account {
                account.prepare_for_requests(&answer).await;
            }
        })
    };
    gate.keep(user, Arc::new(prepare));
}

impl Account {
    /// Takes the requests to this user by to-device message since the last call, with their flow ids.
    pub fn take_verification_requests(&self) -> Vec<(OwnedUserId, String)> {
        std::mem::take(&mut self.verifications.lock().waiting)
    }

    /// Returns what became of a person's request, as of the last sync.
    pub async fn verification(&self, person: &UserId, id: &str) -> Found {
        let known =
            self.verifications.lock().kept.iter().find(|kept| kept.is_of(person, id)).map(|kept| kept.request.clone());
        let request = match known {
            Some(None) => return Found::Dropped,
            Some(Some(request)) => Some(request),
            None => self.client.encryption().get_verification_request(person, id).await,
        };
        request.map_or(Found::Unknown, |request| Found::Going(Verifying::of(request)))
    }

    /// Keeps what the SDK made of the requests among a room's events that the last sync brought.
    pub(super) async fn keep_requests(&self, read: &[Read]) {
        for read in read.iter().filter(|read| coming::is_request(&read.event) && read.event.sender != self.user) {
            let kept = kept(&self.client, read.event.sender.clone(), read.event.id.to_string()).await;
            self.verifications.lock().keep(kept);
        }
    }

    /// Prepares for the requests in a sync's answer that the SDK has not read yet.
    pub(super) async fn prepare_for_requests(&self, answer: &Bytes) {
        let Ok(answer) = std::str::from_utf8(answer) else { return };
        let people = self.verifications.people();
        if !answer.contains(REQUEST) && (people.is_empty() || !answer.contains("m.room.encrypted")) {
            return;
        }
        let (mut coming, sealed) = coming::in_sync(answer, &self.user, &people, crate::clock::now());
        for (room, event) in sealed.into_iter().take(SEALED_MAX) {
            coming.extend(self.sealed_request(&room, event).await);
        }
        coming.retain(|coming| !self.verifications.knows(&coming.person, &coming.id));
        let mut looked_up = Vec::new();
        for Coming { person, device, .. } in &coming {
            let known = self.client.encryption().get_device(person, device).await;
            if matches!(known, Ok(None)) && looked_up.len() < PEOPLE_MAX && !looked_up.contains(person) {
                looked_up.push(person.clone());
                if let Err(error) = self.learn_devices(person).await {
                    tracing::debug!(user.id = %self.user, %error, "a device that asks for a verification cannot be looked up");
                }
            }
        }
        for Coming { person, .. } in &coming {
            for older in self.verifications.live(person) {
                tracing::debug!(user.id = %self.user, "an older verification makes way for a newer one");
                if let Err(error) = older.cancel().await {
                    tracing::debug!(user.id = %self.user, %error, "its end cannot be sent");
                }
            }
        }
    }

    /// Returns the request in an encrypted event, if it is one and its key is here.
    async fn sealed_request(&self, room: &RoomId, event: String) -> Option<Coming> {
        // Without the key no attempt is made: the SDK would ask the backup and other devices for it.
        self.crypto.get_inbound_group_session(room, &Megolm::of(&event)?.session).await.ok()??;
        let event: Raw<OriginalSyncRoomEncryptedEvent> = Raw::from_json_string(event).ok()?;
        let opened = self.room(room).ok()?.decrypt_event(&event, None).await.ok()?;
        coming::in_room(opened.raw().json().get(), &self.user, crate::clock::now())
    }
}

/// The rooms' encrypted events of some people.
type Sealed = Vec<(OwnedRoomId, String)>;
