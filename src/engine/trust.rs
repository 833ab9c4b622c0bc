//! Verification of our users by people, by emoji (A11).
//!
//! Nobody sits on our side to compare: our user shows its emoji, in the assistant's chat or where it was asked, and
//! confirms its side; only the person's confirmation counts. In an assistant's chat the steps are events of the room. A
//! coworker has no chat with anybody, so its steps are to-device messages, which no transaction announces: they come with
//! syncs, made in a short burst while a verification goes on.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, assistants::Privacy};
use crate::{
    core::{
        command::VERIFY,
        event::{EventKind, Message, MessageKind, Place, RoomEvent},
        people::Who,
        words,
    },
    matrix::{
        Account,
        account::{Emoji, Verification},
    },
};

/// How long a verification may take; clients give up after ten minutes.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two syncs while one goes on: at first, and once it has waited for [`BURST`].
const POLLS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
const BURST: Duration = Duration::from_mins(2);
/// Syncs after which a request that never reached our client is given up.
const UNKNOWN_MAX: usize = 5;
/// Verifications at once, over all our users.
const FLOWS_MAX: usize = 32;
/// `msgtype` of a request in a room.
const REQUEST: &str = "m.key.verification.request";

/// Which verifications go on: of which of our users, with whom.
#[derive(Default)]
pub(super) struct Flows(Mutex<HashSet<(OwnedUserId, OwnedUserId)>>);

/// Where our user shows its emoji.
pub(super) enum Shown {
    /// In this room.
    In(OwnedRoomId, Place),
    /// In the person's chat with the service bot: the request named no room.
    Privately,
}

/// A verification of `account` by `person`; more than one flow where several devices were asked.
struct Flow {
    account: Arc<Account>,
    person: OwnedUserId,
    ids: Vec<String>,
    shown: Shown,
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
            let (ids, shown) = (vec![event.id.to_string()], Shown::In(event.room.clone(), Place::Timeline));
            let flow = Flow { account: account.clone(), person: event.sender.clone(), ids, shown };
            self.start_flow(flow);
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
        let asked = account.take_verification_requests();
        let mut ids: Vec<String> = asked.into_iter().filter(|(who, _)| who == person).map(|(_, id)| id).collect();
        let taken_up = !ids.is_empty();
        if !taken_up {
            ids = account.ask_to_verify(person).await?;
        }
        let shown = Shown::In(room.clone(), place.clone());
        let started = self.start_flow(Flow { account: account.clone(), person: person.to_owned(), ids, shown });
        let text = match (started, taken_up) {
            (true, true) => return Ok(()),
            (true, false) => words::trust::look_for_request(),
            (false, _) => words::trust::one_at_a_time(),
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
                if self.namespace.who(&person) == Who::Person {
                    let (account, ids) = (account.clone(), vec![id]);
                    self.start_flow(Flow { account, person, ids, shown: Shown::Privately });
                }
            }
        }
    }

    /// Returns whether it goes on from here: one at a time with each person, and not too many.
    fn start_flow(self: &Shared, flow: Flow) -> bool {
        let key = (flow.account.user().to_owned(), flow.person.clone());
        {
            let mut flows = self.flows.0.lock().unwrap_or_else(PoisonError::into_inner);
            if flows.len() >= FLOWS_MAX || !flows.insert(key.clone()) {
                return false;
            }
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
        let begun = Instant::now();
        let (mut confirmed, mut unknown) = (false, 0);
        while begun.elapsed() < PATIENCE && !flow.ids.is_empty() && unknown < UNKNOWN_MAX {
            flow.account.sync().await?;
            for id in flow.ids.clone() {
                match flow.account.advance_verification(&flow.person, &id).await? {
                    Verification::Waiting => {}
                    Verification::Unknown => unknown += 1,
                    Verification::Ended => flow.ids.retain(|kept| *kept != id),
                    Verification::Done => {
                        tracing::info!(user.id = %flow.account.user(), "verified");
                        return self.say_of(&flow, "verified", &words::trust::verified()).await;
                    }
                    Verification::Emoji(emoji) if !confirmed => {
                        Box::pin(self.show_and_confirm(&mut flow, &id, &emoji)).await?;
                        confirmed = true;
                        break;
                    }
                    Verification::Emoji(_) => {}
                }
            }
            let poll = if begun.elapsed() < BURST { POLLS[0] } else { POLLS[1] };
            tokio::time::sleep(poll).await;
        }
        for id in &flow.ids {
            flow.account.cancel_verification(&flow.person, id).await?;
        }
        self.say_of(&flow, "not-verified", &words::trust::not_verified()).await
    }

    async fn show_and_confirm(self: &Shared, flow: &mut Flow, id: &str, emoji: &[Emoji]) -> Result<(), EngineError> {
        // One of several devices took it up.
        for other in flow.ids.iter().filter(|other| *other != id) {
            flow.account.cancel_verification(&flow.person, other).await?;
        }
        flow.ids = vec![id.to_owned()];
        let emoji: Vec<_> = emoji.iter().map(|emoji| (emoji.symbol, emoji.name)).collect();
        self.say_of(flow, "emoji", &words::trust::compare(&emoji)).await?;
        Ok(flow.account.confirm_verification(&flow.person, id).await?)
    }

    async fn say_of(self: &Shared, flow: &Flow, purpose: &str, text: &str) -> Result<(), EngineError> {
        let Shown::In(room, place) = &flow.shown else {
            return Box::pin(self.clone().say_privately(&flow.person, text)).await;
        };
        let is_assistants = matches!(self.namespace.who(flow.account.user()), Who::Assistant(_));
        if is_assistants && self.attend(&flow.account, &flow.person).await? == Privacy::Lost {
            return Err(EngineError::Silent);
        }
        let mut word = super::word(text, Some(&flow.person));
        word.place = place.clone();
        let cause = flow.ids.first().map_or("", String::as_str);
        flow.account.send(room, &word, super::word_transaction(purpose, cause, flow.account.user())).await?;
        Ok(())
    }
}
