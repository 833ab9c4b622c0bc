//! Does what finished runs still owe; `core/owed.rs` says what that is.

use std::{sync::Arc, time::Duration};

use ruma::OwnedEventId;

use super::{Engine, EngineError, Shared, answerers::Said, runs::answer_file};
use crate::{
    clock,
    core::{
        event::Outgoing,
        owed::{Deed, Failure, Owed, Shown},
        retry::SEND_PAUSES,
        room_check,
        run::{Answer, RunId, RunRecord, Step, file_place},
        words,
    },
    matrix::Account,
    store::StoreError,
};

/// Pause between two tries of a failed deed; when the homeserver comes back, it is tried at once.
const OWED_EVERY: Duration = Duration::from_mins(5);

/// What remains of a run's debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unpaid {
    /// Nothing that needs a try before its regular time.
    Nothing,
    /// A deed that we may do was refused.
    Refused,
    /// The homeserver is away.
    Away,
}

impl Engine {
    /// Notes what is owed before anything of it is done.
    pub(super) fn owe(&self, owed: Owed) -> Result<(), StoreError> {
        if owed.deeds.is_empty() {
            return Ok(());
        }
        self.tables.owed.update(&owed.run.as_str().to_owned(), |before: Option<Owed>| {
            let Some(mut before) = before else { return Some(owed) };
            before.join(owed);
            Some(before)
        })?;
        Ok(())
    }

    /// Does what a run owes, as far as possible now. Returns whether to retry the rest soon.
    pub(super) async fn pay(self: &Shared, run: &RunId) -> Result<bool, StoreError> {
        Ok(self.pay_now(run).await? != Unpaid::Nothing)
    }

    async fn pay_now(self: &Shared, run: &RunId) -> Result<Unpaid, StoreError> {
        let key = run.as_str().to_owned();
        let Some(owed) = self.tables.owed.get(&key)? else { return Ok(Unpaid::Nothing) };
        let (mut done, mut is_away, mut is_refused) = (Vec::new(), false, false);
        for deed in &owed.deeds {
            let failed = match Box::pin(self.do_deed(&owed, deed)).await {
                Ok(()) => {
                    done.push(deed);
                    continue;
                }
                Err(error) => error,
            };
            let failure = failure_of(&failed);
            if !owed.is_kept(deed, failure, clock::now()) {
                tracing::warn!(run.id = run.as_str(), error = %failed, "what a run owes is given up");
                done.push(deed);
                continue;
            }
            tracing::debug!(run.id = run.as_str(), error = %failed, "what a run owes cannot be done yet");
            is_refused |= failure == Failure::Lasting;
            if failure == Failure::Passing {
                is_away = true;
                break;
            }
        }
        self.tables.owed.update(&key, |owed: Option<Owed>| {
            let mut owed = owed?;
            owed.deeds.retain(|deed| !done.contains(&deed));
            if is_refused {
                owed.refused_since.get_or_insert(clock::now());
            }
            (!owed.deeds.is_empty()).then_some(owed)
        })?;
        Ok(match (is_away, is_refused) {
            (true, _) => Unpaid::Away,
            (false, true) => Unpaid::Refused,
            (false, false) => Unpaid::Nothing,
        })
    }

    async fn do_deed(self: &Shared, owed: &Owed, deed: &Deed) -> Result<(), EngineError> {
        if *deed == Deed::TellElsewhere {
            return Box::pin(self.tell_elsewhere(owed)).await;
        }
        let run = owed.of_run();
        let room = self.chats.destination(&run)?.room();
        let account = self.answerer(&run).account().await?;
        if !account.is_in(room) && matches!(deed, Deed::Answer(..)) {
            // A user that was removed from the room posts no answer later (C10).
            return Ok(());
        }
        if !account.is_in(room) {
            // It may have been invited again since.
            return Err(
                crate::matrix::MatrixError::NotJoined { user: run.user.to_string(), room: room.to_string() }.into()
            );
        }
        match deed {
            Deed::Edit { shown, step, text } => {
                let event = self.shown(&account, owed, &run, shown, text).await?;
                account.edit(room, &event, text, owed.run.transaction(*step)).await?;
            }
            Deed::Send { step, text } => {
                let event = account.send(room, text, owed.run.transaction(*step)).await?;
                // Redacted with the request, as what the run posted itself is.
                self.answerer(&run).note_posted(&run, Said::Beside(&event))?;
            }
            Deed::Answer(answer, streamed) => {
                self.voices.make_sure_it_is_heard(&account, room).await?;
                self.post_late(&account, owed, &run, answer, streamed.as_ref()).await?;
            }
            Deed::TakeBack(shown) => {
                let text = super::word(&words::stopped(), None);
                let event = self.shown(&account, owed, &run, shown, &text).await?;
                super::take_back(&account, room, &event).await?;
            }
            Deed::TellElsewhere => {}
        }
        Ok(())
    }

    /// Posts an answer that its room could not take earlier.
    async fn post_late(
        &self,
        account: &Arc<Account>,
        owed: &Owed,
        run: &RunRecord,
        answer: &Answer,
        streamed: Option<&(OwnedEventId, u32)>,
    ) -> Result<(), EngineError> {
        let room = self.chats.destination(run)?.room();
        let place = &answer.message.place;
        let event = match streamed {
            Some((event, edits)) => {
                account.edit(room, event, &answer.message, owed.run.transaction(Step::Edit(*edits))).await?;
                event.clone()
            }
            None => account.send(room, &answer.message, owed.run.transaction(Step::Answer)).await?,
        };
        let run = RunRecord { place: place.clone(), ..run.clone() };
        let answerer = self.answerer(&run);
        answerer.note_posted(&run, Said::Answer(&event))?;
        if let Some(markdown) = &answer.file {
            let txn = owed.run.transaction(Step::File);
            let file = account.send_file(room, answer_file(markdown), &file_place(place, &event), txn).await?;
            answerer.note_posted(&run, Said::Answer(&file))?;
        }
        Ok(())
    }

    /// Turns what is owed to a request that is gone into redactions.
    pub(super) fn take_back_owed(&self, room: &ruma::RoomId, request: &ruma::EventId) -> Result<(), StoreError> {
        let owed: Vec<Owed> = self.tables.owed.iter().filter_map(Result::ok).map(|(_, owed)| owed).collect();
        for owed in owed.into_iter().filter(|owed| owed.room == room && owed.request == request) {
            self.tables.owed.update(&owed.run.as_str().to_owned(), |owed: Option<Owed>| {
                let mut owed = owed?;
                owed.take_back();
                (!owed.deeds.is_empty()).then_some(owed)
            })?;
            self.owed_due.try_now();
        }
        Ok(())
    }

    /// Returns a message that the run showed. One that may not have arrived is sent again with its final text.
    async fn shown(
        &self,
        account: &Arc<Account>,
        owed: &Owed,
        run: &RunRecord,
        shown: &Shown,
        text: &Outgoing,
    ) -> Result<OwnedEventId, EngineError> {
        let step = match shown {
            Shown::Event(event) => return Ok(event.clone()),
            Shown::SentAs(step) => *step,
        };
        let event = account.send(self.chats.destination(run)?.room(), text, owed.run.transaction(step)).await?;
        self.answerer(run).note_posted(run, Said::Beside(&event))?;
        Ok(event)
    }

    /// Tells the asker, in their chat with the assistant or the service bot, that their answer cannot be posted where
    /// they asked. Says nothing of the answer itself.
    async fn tell_elsewhere(self: &Shared, owed: &Owed) -> Result<(), EngineError> {
        if self.namespace().is_ours(&owed.asker) {
            tracing::warn!(room.id = %owed.room, run.id = owed.run.as_str(), "an errand's answer cannot be posted");
            return Ok(());
        }
        let name = self.coworker(&owed.user).map_or_else(|| owed.user.to_string(), |coworker| coworker.name.clone());
        let text = words::answer_not_posted(&name, owed.room.as_str(), owed.request.as_str(), owed.has_answer());
        let kept = self.tables.assistants.get(&owed.asker)?.unwrap_or_default();
        if let Some(room) = kept
            .room
            .filter(|_| self.config().assistants.enabled && kept.introduced && !kept.silent && owed.owner().is_none())
        {
            let account = Box::pin(self.pool.passing(&self.assistant_persona(&owed.asker))).await?;
            account.sync().await?;
            if self.chats.attend(&account, &owed.asker, &room).await? == room_check::Privacy::Tight {
                let txn = super::word_transaction("elsewhere", owed.run.as_str(), account.user());
                account.send(&room, &super::word(&text, None), txn).await?;
                return Ok(());
            }
        }
        let txn = super::word_transaction("elsewhere", owed.run.as_str(), &self.service_user());
        Box::pin(self.service_chats.clone().say_privately_once(&owed.asker, &text, txn)).await
    }
}

fn failure_of(error: &EngineError) -> Failure {
    match error {
        error if error.is_passing() => Failure::Passing,
        EngineError::Matrix(error) if error.is_forbidden() => Failure::Closed,
        _ => Failure::Lasting,
    }
}

/// Does what is owed whenever possible, until told to stop.
pub(super) async fn keep_paying(engine: Shared) {
    let (mut unpaid, mut looks, mut refusals) = (Unpaid::Away, true, 0);
    loop {
        let due = async {
            match unpaid {
                Unpaid::Away if !engine.tables.owed.is_empty() => {
                    engine.homeserver.reach.until_back_within(OWED_EVERY).await;
                    true
                }
                // The refusal may pass within seconds, and somebody waits.
                Unpaid::Refused if refusals < SEND_PAUSES.len() => {
                    tokio::time::sleep(SEND_PAUSES[refusals]).await;
                    false
                }
                _ => {
                    tokio::time::sleep(OWED_EVERY).await;
                    true
                }
            }
        };
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.owed_due.notified() => {}
            is_long = due => looks |= is_long,
        }
        unpaid = Unpaid::Nothing;
        // This reads every room's record, so it runs rarely; changes of power or encryption are handled as they come.
        if std::mem::take(&mut looks)
            && let Err(error) = Box::pin(engine.speak_up_where_due()).await
        {
            tracing::debug!(%error, "what waits in rooms where one of ours could not speak is looked at later");
        }
        let owed: Vec<RunId> = engine.tables.owed.iter().filter_map(Result::ok).map(|(_, owed)| owed.run).collect();
        for run in owed {
            let paid = tokio::select! {
                () = engine.stop.cancelled() => return,
                paid = engine.pay_now(&run) => paid,
            };
            unpaid = unpaid.max(paid.unwrap_or_else(|error| {
                tracing::error!(%error, "what runs owe cannot be read");
                Unpaid::Nothing
            }));
        }
        refusals = if unpaid == Unpaid::Refused { refusals + 1 } else { 0 };
    }
}
