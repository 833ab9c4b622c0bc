//! Verifications that the end of the process breaks off. The SDK forgets them, and the person's app would wait for us until
//! it gives up; so they are noted, and the next start cancels them and says so.

use std::sync::{Arc, Mutex, PoisonError};

use ruma::OwnedUserId;

use super::{Begins, Flow, Flows, PATIENCE, Shown};
use crate::{
    clock,
    core::{id, people::Who, retry::SEND_PAUSES, time::Timestamp, words},
    engine::{EngineError, records::VerificationRecord, trust::Trust},
    matrix::account::Verifying,
};

impl VerificationRecord {
    fn of(flow: &Flow) -> Self {
        let shown = match flow.shown.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Shown::In(room, place) => Some((room, place)),
            Shown::Privately => None,
        };
        let id = match &flow.begins {
            Begins::WithTheirs(id) => Some(id.clone()),
            Begins::WithOurs => None,
        };
        let in_room = id.as_deref().is_some_and(|id| id::event(id).is_some());
        let room = shown.as_ref().filter(|_| in_room).map(|(room, _)| room.clone());
        Self { id, room, shown, begun: clock::now() }
    }

    /// Returns whether the person's app has given up by itself.
    fn is_over(&self, now: Timestamp) -> bool {
        let age_ms = now.as_ms().saturating_sub(self.begun.as_ms());
        u128::try_from(age_ms).is_ok_and(|age_ms| age_ms > PATIENCE.as_millis())
    }
}

fn key(flow: &Flow) -> (OwnedUserId, OwnedUserId) {
    (flow.account.user().to_owned(), flow.person.clone())
}

impl Flows {
    /// Returns whether the last process left a verification with this id unfinished.
    pub(super) fn was_broken_off(&self, id: &str) -> bool {
        self.broken_off.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

impl Trust {
    /// Notes a verification before it begins; the caller flushes the store.
    pub(super) fn note_verification(&self, flow: &Flow) -> Result<(), EngineError> {
        Ok(self.runtime.tables.verifications.put(&key(flow), &VerificationRecord::of(flow))?)
    }

    /// Notes which request of ours a verification came to be.
    pub(super) async fn note_verification_of_ours(&self, flow: &Flow, ours: &Verifying) -> Result<(), EngineError> {
        let (id, room) = (Some(ours.id().to_owned()), ours.room().map(ToOwned::to_owned));
        self.runtime
            .tables
            .verifications
            .put(&key(flow), &VerificationRecord { id, room, ..VerificationRecord::of(flow) })?;
        Ok(self.runtime.store.flush().await?)
    }

    /// Forgets a verification that has ended, unless a newer one took its place.
    pub(super) fn forget_verification(&self, flow: &Flow) {
        if self.flows.is_superseded(flow) {
            return;
        }
        if let Err(error) = self.runtime.tables.verifications.remove(&key(flow)) {
            tracing::error!(user.id = %flow.account.user(), %error, "the end of a verification cannot be noted");
        }
    }

    /// Cancels a person's request that did not reach our client.
    pub(super) async fn cancel_theirs(&self, flow: &Flow, id: &str) -> Result<(), EngineError> {
        let room = VerificationRecord::of(flow).room;
        let txn = crate::engine::word_transaction("verify-cancel", id, flow.account.user());
        Ok(flow.account.cancel_verification(&flow.person, id, room.as_deref(), txn).await?)
    }

    /// Ends the verifications that the last process left unfinished. Must come before anything is taken from the inbox,
    /// which may hold the request of one.
    pub(in crate::engine) fn end_broken_off_verifications(self: &Arc<Self>) {
        let now = clock::now();
        for ((user, person), record) in
            self.runtime.tables.verifications.iter().filter_map(Result::ok).collect::<Vec<_>>()
        {
            if let Some(id) = &record.id {
                self.flows.broken_off.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
            }
            let trust = self.clone();
            self.runtime.tasks.spawn(async move {
                let ending = async {
                    for pause in SEND_PAUSES {
                        match Box::pin(trust.end_broken_off(&user, &person, &record, now)).await {
                            Err(error) if error.may_pass() => tokio::time::sleep(pause).await,
                            Err(error) => {
                                tracing::info!(user.id = %user, %error, "that a verification was broken off cannot be said");
                                break;
                            }
                            Ok(()) => break,
                        }
                    }
                    let left = trust.runtime.tables.verifications.update(&(user.clone(), person.clone()), |newest| {
                        newest.filter(|newest| *newest != record)
                    });
                    if let Err(error) = left {
                        tracing::error!(user.id = %user, %error, "the end of a verification cannot be noted");
                    }
                };
                tokio::select! {
                    // The next start resumes it.
                    () = trust.runtime.stop.cancelled() => {}
                    () = Box::pin(ending) => {}
                }
            });
        }
    }

    async fn end_broken_off(
        self: &Arc<Self>,
        user: &OwnedUserId,
        person: &OwnedUserId,
        record: &VerificationRecord,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Some(id) = record.id.as_ref().filter(|_| !record.is_over(now)) else { return Ok(()) };
        let account = match self.runtime.namespace().who(user) {
            Who::Assistant(_) => {
                Some(Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(person))).await?)
            }
            _ => self.runtime.pool.kept(user),
        };
        let Some(account) = account else { return Ok(()) };
        let shown = match &record.shown {
            Some((room, place)) => Shown::In(room.clone(), place.clone()),
            None => Shown::Privately,
        };
        let (cause, begins) = (id.clone(), Begins::WithTheirs(id.clone()));
        let shown = Arc::new(Mutex::new(shown));
        let flow = Flow { account, person: person.clone(), cause, begins, chat: None, writer: None, shown };
        let txn = crate::engine::word_transaction("verify-cancel", id, user);
        flow.account.sync().await?;
        flow.account.cancel_verification(person, id, record.room.as_deref(), txn).await?;
        tracing::info!(user.id = %user, "a verification was broken off by the end of the process");
        self.say_of(&flow, "broken-off", &words::trust::broken_off()).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::event::Place;

    #[test]
    fn a11_a_verification_that_was_broken_off_long_ago_is_over() {
        let record = VerificationRecord { id: None, room: None, shown: None, begun: Timestamp::from_ms(0) };
        let minutes = |minutes: i64| Timestamp::from_ms(minutes * 60 * 1_000);
        for (now, is_over) in [(minutes(0), false), (minutes(10), false), (minutes(11), true), (minutes(-5), false)] {
            assert_eq!(record.is_over(now), is_over, "{now:?}");
        }
    }

    #[test]
    fn a11_the_record_of_a_verification_is_read_back() {
        let record = VerificationRecord {
            id: Some("$asked".to_owned()),
            room: Some(ruma::owned_room_id!("!room:hs")),
            shown: Some((ruma::owned_room_id!("!room:hs"), Place::Timeline)),
            begun: Timestamp::from_ms(5),
        };
        let stored = serde_json::to_value(&record).expect("JSON");
        assert_eq!(serde_json::from_value::<VerificationRecord>(stored).expect("a record"), record);
        assert!(serde_json::from_value::<VerificationRecord>(json!({ "begun": 5 })).is_ok(), "older fields only");
    }
}
