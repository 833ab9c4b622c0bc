//! What a run says: each message under its own step, once, whatever becomes of the call that sends it.

use std::sync::Arc;

use ruma::OwnedEventId;

use crate::{
    clock,
    core::{
        event::Place,
        owed::{Deed, End, Owed, Shown},
        run::{Answer, Effect, Machine, Outcome, RunId, RunRecord, Step},
        words,
    },
    engine::{Engine, EngineError, Shared},
    matrix::{Account, account::File},
};

/// The last message of a run, where one was sent, and how the run ended.
pub(super) type Ended = (Outcome, Option<OwnedEventId>);

impl Engine {
    /// Does one effect before the end of a run; what is sent is journaled before, and noted as soon as it is there.
    ///
    /// An edit of what is not known to be there sends it: as the same step it is the same event, came it or not.
    pub(in crate::engine) async fn act(
        &self,
        account: &Account,
        id: &RunId,
        record: &mut RunRecord,
        effect: Effect,
    ) -> Result<(), EngineError> {
        self.destination(record)?;
        let (step, message) = match effect {
            Effect::Send(step, message) | Effect::Edit(step, message) => (step, message),
            Effect::Finish(_) => return Ok(()),
        };
        let (first, target) = match step {
            Step::Edit(number) => {
                record.edits = number;
                self.journal(id, record)?;
                (Step::Answer, record.streamed.clone())
            }
            Step::StatusEdit(_) => (Step::Status, record.status.clone()),
            step => (step, None),
        };
        if let Some(target) = target {
            let room = self.destination(record)?.room();
            // A lost edit in between is made good by the next one.
            if let Err(error) = account.edit(room, &target, &message, id.transaction(step)).await {
                tracing::debug!(%error, "an edit of a streamed answer was not taken");
            }
            return Ok(());
        }
        match first {
            Step::Status => record.status_begun = true,
            Step::Answer => {
                let begun = Answer { message: message.clone(), file: None, outcome: Outcome::Done };
                let _ = record.begin_answer(&begun);
            }
            _ => {}
        }
        // The run is known on disk before any of it is seen: a process that finds it there knows that more may have
        // been sent than was noted.
        self.journal(id, record)?;
        self.store.flush().await?;
        let _sending = self.running.sending(id).await;
        let event = account.send(self.destination(record)?.room(), &message, id.transaction(first)).await?;
        self.running.show(id, &event);
        self.note_posted(record, &event)?;
        match first {
            Step::Answer => record.streamed = Some(event),
            Step::Status => record.status = Some(event),
            _ => return Ok(()),
        }
        self.journal(id, record)
    }

    /// Does an effect beside the model's work: that it cannot be done now breaks nothing off. Only where the run may say
    /// nothing more at all, it ends.
    pub(in crate::engine) async fn act_beside(
        &self,
        account: &Account,
        id: &RunId,
        record: &mut RunRecord,
        effect: Effect,
    ) -> Result<(), EngineError> {
        let error = match self.act(account, id, record, effect).await {
            Err(EngineError::Matrix(error)) => error,
            done => return done,
        };
        // A room that has taken its power to speak may give it back until there is an answer.
        if error.is_forbidden()
            && !Box::pin(self.doubts(account, &record.room, &error)).await
            && !account.is_in(&record.room)
        {
            return Err(error.into());
        }
        tracing::debug!(%error, "what a run shows beside its work cannot be shown");
        // It may be there nevertheless, and people may have reacted to it.
        record.resumed = true;
        Ok(())
    }

    /// Sends the last message of a run, and the file that it refers to.
    pub(super) async fn say(
        self: &Shared,
        account: &Arc<Account>,
        id: &RunId,
        record: &mut RunRecord,
        answer: &Answer,
    ) -> Result<Ended, EngineError> {
        let differs = record.streamed.is_none() && record.begin_answer(answer);
        self.journal(id, record)?;
        let _sending = self.running.sending(id).await;
        let (room, message) = (self.destination(record)?.room(), &answer.message);
        let last_edit = id.transaction(Step::Edit(record.edits + 1));
        let sent = async {
            if let Some(target) = &record.streamed {
                account.edit(room, target, message, last_edit).await?;
                return Ok(target.clone());
            }
            let event = account.send(room, message, id.transaction(Step::Answer)).await?;
            if differs {
                // The homeserver may have had this transaction before, with something else: the beginning of the answer,
                // or what was to be said before the request was edited.
                account.edit(room, &event, message, last_edit).await?;
            }
            Ok::<_, EngineError>(event)
        };
        // What the model has said is on disk by the time that people read it.
        let (event, flushed) = tokio::join!(sent, self.store.flush());
        flushed?;
        let event = event?;
        self.note_posted(record, &event)?;
        if let Some(markdown) = &answer.file {
            let place = file_place(&message.place, &event);
            let file = account.send_file(room, answer_file(markdown), &place, id.transaction(Step::File)).await?;
            self.note_posted(record, &file)?;
        }
        if record.resumed {
            Box::pin(self.take_missed_again(account, record, &event)).await;
        }
        Ok((answer.outcome, Some(event)))
    }

    /// The last word of a run that a person stopped.
    pub(super) async fn stop_run(self: &Shared, id: &RunId, record: &mut RunRecord, so_far: &str) -> Ended {
        let answer = Machine::new(record, clock::now()).stopped(if record.private { so_far } else { "" });
        let said = async {
            let account = self.account_of(record).await?;
            if record.streamed.is_some() {
                return self.say(&account, id, record, &answer).await;
            }
            if record.has_status() {
                // The status says it.
                return Ok((answer.outcome, None));
            }
            let event =
                account.send(self.destination(record)?.room(), &answer.message, id.transaction(Step::Stopped)).await?;
            self.note_posted(record, &event)?;
            Ok::<_, EngineError>((answer.outcome, Some(event)))
        };
        let error = match said.await {
            Ok(ended) => return ended,
            Err(error) => error,
        };
        tracing::warn!(%error, "that a run was stopped cannot be said yet");
        let deed = match &record.streamed {
            Some(streamed) => Some(Deed::Edit {
                shown: Shown::Event(streamed.clone()),
                step: Step::Edit(record.edits + 1),
                text: answer.message,
            }),
            None => (!record.has_status()).then_some(Deed::Send { step: Step::Stopped, text: answer.message }),
        };
        let owed = Owed { deeds: deed.into_iter().collect(), ..Owed::of(record, End::default(), clock::now()) };
        if let Err(error) = self.owe(owed) {
            tracing::error!(%error, "that a run was stopped will not be said");
        }
        (Outcome::Stopped, None)
    }
}

/// Returns the file of an answer that is too long for a message.
pub(in crate::engine) fn answer_file(markdown: &str) -> File {
    File {
        name: words::answer_file_name().to_owned(),
        media_type: mime::TEXT_PLAIN_UTF_8,
        bytes: markdown.to_owned().into_bytes(),
    }
}

/// The file goes where the message went; on a timeline, as a reply to it.
pub(in crate::engine) fn file_place(place: &Place, message: &ruma::EventId) -> Place {
    match place {
        Place::Thread { root, .. } => Place::Thread { root: root.clone(), latest: message.to_owned() },
        Place::Timeline | Place::Reply { .. } => Place::Reply { to: message.to_owned() },
    }
}
