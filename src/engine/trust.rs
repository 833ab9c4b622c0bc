//! Verification of our users by people, by emoji (A11).
//!
//! Nobody sits on our side to compare: our user shows its emoji, in the assistant's chat or where it was asked, and
//! confirms its side; only the person's confirmation counts. In an assistant's chat the steps are events of the room. A
//! coworker has no chat with anybody, so its steps are to-device messages, which no transaction announces: they come with
//! syncs, made in a short burst while a verification goes on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, assistants::Privacy};
use crate::{
    core::{
        command::VERIFY,
        destination::Refused,
        event::{EventKind, Message, MessageKind, Place, RoomEvent},
        people::Who,
        words,
    },
    matrix::{
        Account,
        account::{Emoji, Verification, Verifying},
    },
};

/// How long a verification may take; clients give up after ten minutes.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two syncs while one goes on: at first, and once it has waited for [`BURST`].
const POLLS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
const BURST: Duration = Duration::from_mins(2);
/// Syncs after which a request that never reached our client is given up.
const REQUEST_SYNCS_MAX: usize = 5;
/// Verifications at once, over all our users.
const FLOWS_MAX: usize = 32;
/// `msgtype` of a request in a room.
const REQUEST: &str = "m.key.verification.request";

/// Which verifications go on: of which of our users, with whom.
#[derive(Default)]
pub(super) struct Flows(Mutex<HashMap<(OwnedUserId, OwnedUserId), ShownAt>>);

impl Flows {
    /// Returns where the emoji of the verification between the two are shown, if one goes on.
    fn shown(&self, user: &UserId, person: &UserId) -> Option<ShownAt> {
        let flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flows.get(&(user.to_owned(), person.to_owned())).cloned()
    }
}

/// Where the emoji of one verification are shown; it may be said later than the verification begins.
type ShownAt = Arc<Mutex<Shown>>;

/// Where our user shows its emoji.
#[derive(Clone)]
pub(super) enum Shown {
    /// In this room.
    In(OwnedRoomId, Place),
    /// In the person's chat with the service bot: the request named no room.
    Privately,
}

/// A verification of `account` by `person`.
struct Flow {
    account: Arc<Account>,
    person: OwnedUserId,
    /// How the request is known, for what it leads to.
    cause: String,
    asked: Asked,
    shown: ShownAt,
}

/// Who asked whom.
enum Asked {
    /// The person asked us, under this id.
    Us(String),
    /// We asked the person's devices.
    Them(Vec<Verifying>),
}

/// Whether a message asks for a verification.
pub(super) fn is_request(event: &RoomEvent) -> bool {
    matches!(&event.kind, EventKind::Message(message) if is_request_message(message))
}

fn is_request_message(message: &Message) -> bool {
    matches!(&message.kind, MessageKind::Other(msgtype) if msgtype == REQUEST)
}

impl Engine {
    /// Takes a message of an owner that is about verification; returns whether it was.
    pub(super) async fn take_verification(
        self: &Shared,
        account: &Arc<Account>,
        event: &RoomEvent,
        message: &Message,
    ) -> Result<bool, EngineError> {
        let asked = message.kind == MessageKind::Text && message.body.trim() == VERIFY;
        if asked {
            Box::pin(self.verify_on_request(account, &event.sender, &event.room, Place::Timeline, event)).await?;
        } else if is_request_message(message) {
            let shown = Arc::new(Mutex::new(Shown::In(event.room.clone(), Place::Timeline)));
            let asked = Asked::Us(event.id.to_string());
            let (person, cause) = (event.sender.clone(), event.id.to_string());
            self.start_flow(Flow { account: account.clone(), person, cause, asked, shown });
        }
        Ok(asked || is_request_message(message))
    }

    /// `!verify`: takes up what the person's app has asked for, or asks their apps.
    pub(super) async fn verify_on_request(
        self: &Shared,
        account: &Arc<Account>,
        person: &UserId,
        room: &OwnedRoomId,
        place: Place,
        cause: &RoomEvent,
    ) -> Result<(), EngineError> {
        account.sync().await?;
        let theirs = account.take_verification_requests().into_iter().rfind(|(who, _)| who == person);
        // What their app asked for may have been taken up already, before anything said where to show it. A request of
        // ours would cancel it.
        let going = self.flows.shown(account.user(), person);
        if let Some(going) = &going {
            let mut shown = going.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*shown, Shown::Privately) {
                *shown = Shown::In(room.clone(), place);
                return Ok(());
            }
        }
        let taken_up = theirs.is_some();
        let asked = match theirs {
            _ if going.is_some() => None,
            Some((_, id)) => Some(Asked::Us(id)),
            None => Some(Asked::Them(account.ask_to_verify(person).await?)),
        };
        let shown = Arc::new(Mutex::new(Shown::In(room.clone(), place.clone())));
        let (account_of, person_of, cause_id) = (account.clone(), person.to_owned(), cause.id.to_string());
        let flow = asked.map(|asked| Flow { account: account_of, person: person_of, cause: cause_id, asked, shown });
        let text = match flow.is_some_and(|flow| self.start_flow(flow)) {
            true if taken_up => return Ok(()),
            true => words::trust::look_for_request(),
            false => words::trust::one_at_a_time(),
        };
        let mut word = super::word(&text, Some(person));
        word.place = place;
        account.send(room, &word, super::word_transaction("verify", cause.id.as_str(), account.user())).await?;
        Ok(())
    }

    /// Takes up the requests that came by to-device message to users of ours that are kept open.
    pub(super) fn take_verification_requests(self: &Shared, accounts: &[Arc<Account>]) {
        for account in accounts {
            for (person, id) in account.take_verification_requests() {
                if self.namespace.who(&person).is_person() {
                    let (account, cause, asked) = (account.clone(), id.clone(), Asked::Us(id));
                    let shown = Arc::new(Mutex::new(Shown::Privately));
                    self.start_flow(Flow { account, person, cause, asked, shown });
                }
            }
        }
    }

    /// Returns whether it goes on from here: one at a time with each person, and not too many.
    fn start_flow(self: &Shared, flow: Flow) -> bool {
        let key = (flow.account.user().to_owned(), flow.person.clone());
        {
            let mut flows = self.flows.0.lock().unwrap_or_else(PoisonError::into_inner);
            if flows.len() >= FLOWS_MAX || flows.contains_key(&key) {
                return false;
            }
            flows.insert(key.clone(), flow.shown.clone());
        }
        tracing::info!(user.id = %key.0, "a verification begins");
        let engine = self.clone();
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                () = engine.stop.cancelled() => Ok(()),
                ended = Box::pin(engine.drive(flow)) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(user.id = %key.0, %error, "a verification broke off");
            }
            engine.flows.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        });
        true
    }

    async fn drive(self: &Shared, mut flow: Flow) -> Result<(), EngineError> {
        let mut going = match std::mem::replace(&mut flow.asked, Asked::Them(Vec::new())) {
            Asked::Them(going) => going,
            Asked::Us(id) => self.await_request(&flow, &id).await?.into_iter().collect(),
        };
        let begun = Instant::now();
        let mut confirmed = false;
        while begun.elapsed() < PATIENCE && !going.is_empty() {
            flow.account.sync().await?;
            let mut rest = Vec::new();
            for mut verifying in std::mem::take(&mut going) {
                match verifying.advance().await? {
                    Verification::Ended => continue,
                    Verification::Done => {
                        tracing::info!(user.id = %flow.account.user(), "verified");
                        return self.say_of(&flow, "verified", &words::trust::verified()).await;
                    }
                    Verification::Emoji(emoji) if !confirmed => {
                        self.show_emoji(&flow, &emoji).await?;
                        verifying.confirm().await?;
                        confirmed = true;
                    }
                    Verification::Emoji(_) | Verification::Waiting => {}
                }
                rest.push(verifying);
            }
            going = rest;
            let poll = if begun.elapsed() < BURST { POLLS[0] } else { POLLS[1] };
            tokio::time::sleep(poll).await;
        }
        for verifying in &going {
            verifying.cancel().await?;
        }
        self.say_of(&flow, "not-verified", &words::trust::not_verified()).await
    }

    /// Waits for the syncs that bring a request in.
    async fn await_request(&self, flow: &Flow, id: &str) -> Result<Option<Verifying>, EngineError> {
        for _ in 0..REQUEST_SYNCS_MAX {
            if let Some(verifying) = flow.account.verification(&flow.person, id).await {
                return Ok(Some(verifying));
            }
            tokio::time::sleep(POLLS[0]).await;
            flow.account.sync().await?;
        }
        Ok(None)
    }

    async fn show_emoji(self: &Shared, flow: &Flow, emoji: &[Emoji]) -> Result<(), EngineError> {
        let emoji: Vec<_> = emoji.iter().map(|emoji| (emoji.symbol, emoji.name)).collect();
        self.say_of(flow, "emoji", &words::trust::compare(&emoji)).await
    }

    async fn say_of(self: &Shared, flow: &Flow, purpose: &str, text: &str) -> Result<(), EngineError> {
        let shown = flow.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Shown::In(room, place) = &shown else {
            return Box::pin(self.clone().say_privately(&flow.person, text)).await;
        };
        let is_assistants = matches!(self.namespace.who(flow.account.user()), Who::Assistant(_));
        if is_assistants && self.attend(&flow.account, &flow.person, room).await? == Privacy::Lost {
            return Err(Refused::Silent.into());
        }
        let mut word = super::word(text, Some(&flow.person));
        word.place = place.clone();
        let txn = super::word_transaction(purpose, &flow.cause, flow.account.user());
        flow.account.send(room, &word, txn).await?;
        Ok(())
    }
}
