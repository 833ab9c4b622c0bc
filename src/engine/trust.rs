//! Verification of our users by people, by emoji (A11).
//!
//! No human compares emoji on our side. Our user shows its emoji, in the assistant's chat or where the person asked,
//! and confirms; only the person's confirmation counts. In a direct chat the steps are room events, which clients send
//! encrypted or plain (matrix-js-sdk: always plain); the SDK reads both in its syncs. Elsewhere the steps are to-device
//! messages, which no transaction announces; `looks` finds the first one, and syncs are frequent while a verification
//! goes on.
//!
//! A person's app cancels both of two verifications with one of ours, so we begin none of our own unless they wrote
//! `!verify`: whoever saw theirs fail presses the button once more, and the two would cross again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::flows::{Flows, Going, Shown, ShownAt};
use super::EngineError;
use crate::{
    core::{
        command::{VERIFY, typed},
        destination::Refused,
        event::{EventKind, Message, MessageKind, Place, RoomEvent},
        people::Who,
        room_check::Privacy,
        voice::Voice,
        words,
    },
    engine::{chats::Chats, runtime::Runtime, service_chats::ServiceChats, voice::Voices},
    matrix::{
        Account,
        account::{Asked, Emoji, Ending, Found, Verification, Verifying},
    },
};

mod broken_off;
mod flows;
pub(super) mod looks;

/// How long a verification may take; clients give up after ten minutes.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long a request of ours waits to be accepted. Meanwhile both sides' SDKs cancel any other verification that the
/// person begins.
const ASKED_PATIENCE: Duration = Duration::from_mins(2);
/// How long a new verification waits until the older one is cancelled.
const SUPERSEDE_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two syncs during a verification: at first, and after [`BURST`].
const POLLS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
const BURST: Duration = Duration::from_mins(2);
/// How long one that was cancelled from our side waits for the newer one that it crossed.
const CROSSING_PATIENCE: Duration = Duration::from_secs(3);
/// Syncs after which a request that never reached our client is given up.
const REQUEST_SYNCS_MAX: usize = 5;
/// `msgtype` of a request in a room.
const REQUEST: &str = "m.key.verification.request";

/// A verification of `account` by `person`.
struct Flow {
    account: Arc<Account>,
    person: OwnedUserId,
    /// The request's id, from which transaction ids of our words are made.
    cause: String,
    begins: Begins,
    /// The direct chat of the two, if there is one.
    chat: Option<OwnedRoomId>,
    /// The Curve25519 key of the person's device that asked for it, if known.
    writer: Option<String>,
    shown: ShownAt,
}

/// Who asks for the verification.
enum Begins {
    /// The person asked us, under this id.
    WithTheirs(String),
    /// We ask the person.
    WithOurs,
}

/// How a verification ended.
enum End {
    Done,
    /// It failed.
    Not(Ending),
    /// Two crossed, so that the person's app or ours cancelled both.
    Crossed,
    /// The person has no device that could verify.
    NoDevice,
    /// A newer one has taken its place and reports the outcome.
    Superseded,
}

/// Returns whether a message asks for a verification.
pub(super) fn is_request(event: &RoomEvent) -> bool {
    matches!(&event.kind, EventKind::Message(message) if is_request_message(message))
}

fn is_request_message(message: &Message) -> bool {
    matches!(&message.kind, MessageKind::Other(msgtype) if msgtype == REQUEST)
}

/// Verification of ours by people.
pub(super) struct Trust {
    runtime: Arc<Runtime>,
    chats: Arc<Chats>,
    voices: Arc<Voices>,
    service_chats: Arc<ServiceChats>,
    flows: Flows,
}

impl Trust {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        chats: &Arc<Chats>,
        voices: &Arc<Voices>,
        service_chats: &Arc<ServiceChats>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            chats: chats.clone(),
            voices: voices.clone(),
            service_chats: service_chats.clone(),
            flows: Flows::default(),
        }
    }

    /// Takes an owner's message about verification; returns whether it was one.
    pub(super) async fn take_verification(
        self: &Arc<Self>,
        account: &Arc<Account>,
        event: &RoomEvent,
        message: &Message,
    ) -> Result<bool, EngineError> {
        let asked = message.kind == MessageKind::Text && typed(&message.body) == VERIFY;
        if asked {
            Box::pin(self.verify_on_request(account, &event.sender, &event.room, Place::Timeline, event)).await?;
        } else if is_request_message(message) {
            self.verify_in_chat(account, event);
        }
        Ok(asked || is_request_message(message))
    }

    /// Takes up a verification that a person's app requested in a direct chat with one of ours. Returns a token that is
    /// cancelled once it has ended; `None` if there are too many.
    pub(super) fn verify_in_chat(
        self: &Arc<Self>,
        account: &Arc<Account>,
        request: &RoomEvent,
    ) -> Option<CancellationToken> {
        let id = request.id.to_string();
        self.start_flow(Flow {
            account: account.clone(),
            person: request.sender.clone(),
            cause: id.clone(),
            begins: Begins::WithTheirs(id),
            chat: Some(request.room.clone()),
            writer: None,
            shown: Arc::new(Mutex::new(Shown::In(request.room.clone(), Place::Timeline))),
        })
    }

    /// Takes up a verification that a person's app requested from a coworker in a room with others; steps and emoji are
    /// shown there, as after a `!verify`. If the coworker cannot speak there, the person is told elsewhere.
    pub(super) async fn verify_among_others(self: &Arc<Self>, request: &RoomEvent) -> Result<(), EngineError> {
        let EventKind::Message(message) = &request.kind else { return Ok(()) };
        let whom = message.mentions.iter().flat_map(|mentions| &mentions.users);
        let here = self.runtime.roster.of(&request.room);
        let Some(account) = whom.filter(|user| here.contains(user)).find_map(|user| self.runtime.pool.kept(user))
        else {
            return Ok(());
        };
        let voice = self.voices.voice_in(&account, &request.room).await?;
        if voice != Voice::Heard {
            Box::pin(self.voices.tell_unheard(&account, &request.room, &request.sender, voice)).await;
            return Ok(());
        }
        if self.verify_in_chat(&account, request).is_none() {
            let word = super::word(&words::trust::too_many(), Some(&request.sender));
            let txn = super::word_transaction("verify", request.id.as_str(), account.user());
            account.send(&request.room, &word, txn).await?;
        }
        Ok(())
    }

    /// Handles `!verify`: takes up the request of the person's app, or asks their apps.
    pub(super) async fn verify_on_request(
        self: &Arc<Self>,
        account: &Arc<Account>,
        person: &UserId,
        room: &OwnedRoomId,
        place: Place,
        cause: &RoomEvent,
    ) -> Result<(), EngineError> {
        account.sync().await?;
        let theirs = account.take_verification_requests().into_iter().rfind(|(who, _)| who == person);
        // The app's request may have been taken up already, before anything said where to show the emoji.
        if let Some(going) = self.flows.shown(account.user(), person) {
            let mut shown = going.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*shown, Shown::Privately) {
                *shown = Shown::In(room.clone(), place);
                return Ok(());
            }
        }
        let is_chat = self.is_direct_chat_of(account, person, room)?;
        let begun = self.start_flow(Flow {
            account: account.clone(),
            person: person.to_owned(),
            cause: cause.id.to_string(),
            begins: theirs.map_or(Begins::WithOurs, |(_, id)| Begins::WithTheirs(id)),
            chat: is_chat.then(|| room.clone()),
            writer: account.held(room, &cause.id).and_then(|read| read.sender_key),
            shown: Arc::new(Mutex::new(Shown::In(room.clone(), place.clone()))),
        });
        if begun.is_none() {
            let mut word = super::word(&words::trust::too_many(), Some(person));
            word.place = place;
            account.send(room, &word, super::word_transaction("verify", cause.id.as_str(), account.user())).await?;
        }
        Ok(())
    }

    /// Returns whether only the person and the account share a room.
    fn is_direct_chat_of(&self, account: &Account, person: &UserId, room: &OwnedRoomId) -> Result<bool, EngineError> {
        Ok(match self.runtime.namespace().who(account.user()) {
            Who::Assistant(_) => true,
            Who::Service => {
                self.runtime.tables.rooms.get(room)?.is_some_and(|record| record.service_dm.as_deref() == Some(person))
            }
            _ => false,
        })
    }

    /// Takes up requests that came as to-device messages to users of ours whose clients stay open.
    pub(super) fn take_verification_requests(self: &Arc<Self>, accounts: &[Arc<Account>]) {
        for account in accounts {
            for (person, id) in account.take_verification_requests() {
                if self.runtime.namespace().who(&person).is_person() {
                    let shown = Arc::new(Mutex::new(Shown::Privately));
                    let (account, cause, begins) = (account.clone(), id.clone(), Begins::WithTheirs(id));
                    self.start_flow(Flow { account, person, cause, begins, chat: None, writer: None, shown });
                }
            }
        }
    }

    /// Takes up requests that came as to-device messages to an assistant, whose client is open only while its owner
    /// writes. They are shown in its chat.
    pub(super) fn take_owners_verification_requests(
        self: &Arc<Self>,
        account: &Arc<Account>,
        owner: &UserId,
        room: &OwnedRoomId,
    ) {
        for (person, id) in account.take_verification_requests().into_iter().filter(|(person, _)| person == owner) {
            let shown = Arc::new(Mutex::new(Shown::In(room.clone(), Place::Timeline)));
            let (account, cause, begins) = (account.clone(), id.clone(), Begins::WithTheirs(id));
            self.start_flow(Flow { account, person, cause, begins, chat: Some(room.clone()), writer: None, shown });
        }
    }

    /// Begins a verification, unless there are too many; each person has one at a time, the newest. Returns a token
    /// that is cancelled once it has ended.
    fn start_flow(self: &Arc<Self>, flow: Flow) -> Option<CancellationToken> {
        let key = (flow.account.user().to_owned(), flow.person.clone());
        let (end, ended) = (CancellationToken::new(), CancellationToken::new());
        if matches!(&flow.begins, Begins::WithTheirs(id) if self.flows.was_broken_off(id)) {
            ended.cancel();
            return Some(ended);
        }
        let going = Going { shown: flow.shown.clone(), end, ended: ended.clone() };
        let older = self.flows.take_over(&key, &going)?;
        // Before whatever asked for it counts as done.
        if let Err(error) = self.note_verification(&flow) {
            tracing::error!(user.id = %key.0, %error, "a verification cannot be noted");
        }
        tracing::info!(user.id = %key.0, "a verification begins");
        let trust = self.clone();
        self.runtime.tasks.spawn(async move {
            let supersedes = older.is_some();
            if let Some(older) = older {
                // The SDK cancels both of two verifications at once.
                let _ = tokio::time::timeout(SUPERSEDE_PATIENCE, older.ended.cancelled()).await;
            }
            if let Err(error) = Box::pin(trust.verify(&flow, supersedes, &going.end)).await {
                tracing::warn!(user.id = %key.0, %error, "a verification broke off");
                let said = Box::pin(trust.say_of(&flow, "not-verified", &words::trust::cancelled())).await;
                if let Err(error) = said {
                    tracing::debug!(user.id = %key.0, %error, "nor can that be said");
                }
            }
            trust.forget_verification(&flow);
            trust.flows.leave(&key, &going);
        });
        Some(ended)
    }

    /// Carries a verification to its end, and says how it ended.
    async fn verify(
        self: &Arc<Self>,
        flow: &Flow,
        supersedes: bool,
        end: &CancellationToken,
    ) -> Result<(), EngineError> {
        self.runtime.store.flush().await?;
        let ended = match &flow.begins {
            Begins::WithOurs => Box::pin(self.ask_for_verification(flow, end)).await?,
            Begins::WithTheirs(id) => {
                if let Some(theirs) = self.await_request(flow, id).await? {
                    match Box::pin(self.drive(flow, theirs, end)).await? {
                        // Their app cancels both of two.
                        End::Not(Ending::Theirs) if supersedes => End::Crossed,
                        ended => ended,
                    }
                } else {
                    // The request came from a device that was not known yet, or is too old. As long as it is open there,
                    // a request of ours would cross it.
                    self.cancel_theirs(flow, id).await?;
                    Box::pin(self.ask_for_verification(flow, end)).await?
                }
            }
        };
        let (purpose, text) = match ended {
            End::Superseded => return Ok(()),
            End::Done => {
                tracing::info!(user.id = %flow.account.user(), "verified");
                // This sync sends our last step.
                flow.account.sync().await?;
                ("verified", words::trust::verified())
            }
            End::Not(Ending::Differed) => ("not-verified", words::trust::differed()),
            End::Not(Ending::TimedOut) => ("not-verified", words::trust::timed_out()),
            End::Not(Ending::Theirs) => ("not-verified", words::trust::cancelled()),
            End::Crossed | End::Not(Ending::Crossed) => ("not-verified", words::trust::crossed()),
            End::NoDevice => ("not-verified", words::trust::no_device()),
        };
        self.say_of(flow, purpose, &text).await
    }

    /// Asks the person, and continues with their answer.
    async fn ask_for_verification(self: &Arc<Self>, flow: &Flow, end: &CancellationToken) -> Result<End, EngineError> {
        flow.account.sync().await?;
        let asked = flow.account.ask_to_verify(&flow.person, flow.chat.as_deref(), flow.writer.as_deref()).await?;
        let Some((ours, asked)) = asked else { return Ok(End::NoDevice) };
        self.note_verification_of_ours(flow, &ours).await?;
        let device = match &asked {
            Asked::Everywhere => None,
            Asked::On(device) => Some(device.as_str()),
        };
        self.say_of(flow, "verify", &words::trust::look_for_request(device)).await?;
        Box::pin(self.drive(flow, ours, end)).await
    }

    async fn drive(
        self: &Arc<Self>,
        flow: &Flow,
        mut going: Verifying,
        end: &CancellationToken,
    ) -> Result<End, EngineError> {
        let begun = Instant::now();
        let (mut confirmed, mut patience) = (false, ASKED_PATIENCE);
        while begun.elapsed() < patience {
            match flow.account.sync().await {
                // A short outage of the homeserver does not end the verification.
                Err(error) if !error.is_passing() => return Err(error.into()),
                _ => {}
            }
            match going.advance().await? {
                Verification::Ended(why) => {
                    // The newer of two that crossed says how both ended.
                    let is_either = matches!(why, Ending::Crossed | Ending::Theirs);
                    if is_either && tokio::time::timeout(CROSSING_PATIENCE, end.cancelled()).await.is_ok() {
                        return Ok(End::Superseded);
                    }
                    return Ok(if why == Ending::Crossed { End::Crossed } else { End::Not(why) });
                }
                Verification::Done => return Ok(End::Done),
                Verification::Emoji(emoji) if !confirmed => {
                    self.show_emoji(flow, &emoji).await?;
                    going.confirm().await?;
                    confirmed = true;
                }
                Verification::Emoji(_) | Verification::Waiting => patience = PATIENCE,
                Verification::Unanswered => {}
            }
            let poll = if begun.elapsed() < BURST { POLLS[0] } else { POLLS[1] };
            tokio::select! {
                () = self.runtime.stop.cancelled() => break,
                () = end.cancelled() => {
                    going.cancel().await?;
                    return Ok(End::Superseded);
                }
                () = tokio::time::sleep(poll) => {}
            }
        }
        going.cancel().await?;
        let why = if self.runtime.stop.is_cancelled() { Ending::Theirs } else { Ending::TimedOut };
        Ok(End::Not(why))
    }

    /// Waits for the sync that brings a request in; `None` if none does, or the SDK dropped it.
    async fn await_request(&self, flow: &Flow, id: &str) -> Result<Option<Verifying>, EngineError> {
        flow.account.learn_devices(&flow.person).await?;
        for _ in 0..REQUEST_SYNCS_MAX {
            flow.account.sync().await?;
            match flow.account.verification(&flow.person, id).await {
                Found::Going(verifying) => return Ok(Some(verifying)),
                Found::Dropped => break,
                Found::Unknown => tokio::time::sleep(POLLS[0]).await,
            }
        }
        Ok(None)
    }

    async fn show_emoji(self: &Arc<Self>, flow: &Flow, emoji: &[Emoji]) -> Result<(), EngineError> {
        let emoji: Vec<_> = emoji.iter().map(|emoji| (emoji.symbol, emoji.name)).collect();
        self.say_of(flow, "emoji", &words::trust::compare(&emoji)).await
    }

    async fn say_of(self: &Arc<Self>, flow: &Flow, purpose: &str, text: &str) -> Result<(), EngineError> {
        let shown = flow.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Shown::In(room, place) = &shown else {
            return Box::pin(self.service_chats.clone().say_privately(&flow.person, text)).await;
        };
        let is_assistants = matches!(self.runtime.namespace().who(flow.account.user()), Who::Assistant(_));
        if is_assistants && self.chats.attend(&flow.account, &flow.person, room).await? == Privacy::Lost {
            return Err(Refused::Silent.into());
        }
        let mut word = super::word(text, Some(&flow.person));
        word.place = place.clone();
        let txn = super::word_transaction(purpose, &flow.cause, flow.account.user());
        flow.account.send(room, &word, txn).await?;
        Ok(())
    }
}
