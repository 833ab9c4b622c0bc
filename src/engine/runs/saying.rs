//! Sending what a run says: always to its destination, under the transaction id of its step.

use ruma::OwnedEventId;

use super::{Done, Driver};
use crate::{
    core::{
        event::{Outgoing, Place},
        run::{Input, Step},
        words,
    },
    matrix::account::File,
};

impl Driver<'_> {
    pub(super) fn send(&mut self, step: Step, message: Outgoing) {
        let (engine, record, account, txn) = (self.engine, self.facts(), self.account(), self.id.transaction(step));
        self.begin(true, async move {
            let room = engine.chats.destination(&record)?.room();
            let event = account.await?.send(room, &message, txn).await?;
            Ok(Done::Was(Input::Sent(Ok(event))))
        });
    }

    pub(super) fn edit(&mut self, step: Step, target: OwnedEventId, message: Outgoing) {
        let (engine, record, account, txn) = (self.engine, self.facts(), self.account(), self.id.transaction(step));
        self.begin(true, async move {
            let room = engine.chats.destination(&record)?.room();
            account.await?.edit(room, &target, &message, txn).await?;
            Ok(Done::Was(Input::Sent(Ok(target))))
        });
    }

    pub(super) fn send_file(&mut self, markdown: String, place: Place) {
        let (engine, record, account) = (self.engine, self.facts(), self.account());
        let txn = self.id.transaction(Step::File);
        self.begin(true, async move {
            let room = engine.chats.destination(&record)?.room();
            let event = account.await?.send_file(room, answer_file(&markdown), &place, txn).await?;
            Ok(Done::Was(Input::Sent(Ok(event))))
        });
    }

    pub(super) fn post_made(&mut self, made: Vec<String>, place: Place, behind: OwnedEventId) {
        let (engine, id, record, account) = (self.engine, self.id, self.facts(), self.account());
        self.begin(true, async move {
            let account = account.await?;
            Box::pin(engine.post_made(&account, (id, &record), &made, &place)).await?;
            Ok(Done::Was(Input::Sent(Ok(behind))))
        });
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
