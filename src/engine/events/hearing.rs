//! Voice messages that decide who is asked are heard before they are considered (C25).

use std::time::Duration;

use ruma::OwnedUserId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    core::{
        address::Verdict,
        recogniser,
        retry::{Failures, Others},
    },
    engine::{
        Engine, Shared,
        caught::caught,
        events::{Carriage, RoomEvent},
        presence,
    },
    store::InboxEntry,
};

/// How long a recording is heard before it is shown that somebody listens.
const LISTENING_AFTER: Duration = Duration::from_secs(1);

impl Engine {
    /// Returns whether an event is a voice message of somebody who may ask, which is now heard and decided about later.
    /// Those whom its place alone asks show meanwhile that they listen.
    pub(super) fn hear_first(
        self: &Shared,
        event: &RoomEvent,
        came: Carriage,
        entry: &InboxEntry,
        (by_place, accepted): (&Verdict, Instant),
    ) -> bool {
        let may_ask = || self.namespace().who(&event.sender).may_ask();
        let hears = self.files.hears.is_on() && recogniser::is_voice(event) && may_ask();
        if !hears || !self.files.hears.begin(&event.id) {
            return false;
        }
        let listening = match by_place {
            Verdict::Asked(asked) => asked.iter().map(|asked| asked.user.clone()).collect(),
            Verdict::Nobody(_) => Vec::new(),
        };
        let heard = CancellationToken::new();
        for user in listening {
            let shown = self.clone().show_listening(user, event.clone(), heard.clone());
            self.tasks.spawn(shown);
        }
        let (engine, event, entry) = (self.clone(), event.clone(), entry.clone());
        self.tasks.spawn(Box::pin(engine.hear_and_consider(event, came, entry, (heard.drop_guard(), accepted))));
        true
    }

    /// Shows that one of ours listens, where that takes long (C9).
    async fn show_listening(self: Shared, user: OwnedUserId, event: RoomEvent, heard: CancellationToken) {
        if timeout(LISTENING_AFTER, heard.cancelled()).await.is_ok() {
            return;
        }
        let is_muted = self.tables.rooms.get(&event.room).ok().flatten().is_some_and(|kept| kept.muted.contains(&user));
        let Some(account) = self.pool.kept(&user).filter(|_| !is_muted) else { return };
        presence::show_listening(&account, &event, &heard).await;
    }

    async fn hear_and_consider(
        self: Shared,
        event: RoomEvent,
        came: Carriage,
        entry: InboxEntry,
        (listening, accepted): (DropGuard, Instant),
    ) {
        let words = tokio::select! {
            () = self.stop.cancelled() => return,
            words = self.files.words_of(&event) => words,
        };
        drop(listening);
        self.files.hears.knows(&event.id, words);
        let mut failures = Failures::default();
        loop {
            let began = Instant::now();
            let considering = caught(Box::pin(self.clone().consider(&event, came, &entry, accepted)));
            let error = tokio::select! {
                () = self.stop.cancelled() => return,
                considered = considering => match considered {
                    Ok(()) => break,
                    Err(error) => error,
                },
            };
            if !self.entries.waits_after(&error, began, &mut failures, Others::Unknown).await {
                self.entries.give_up(&entry, &error).await;
                break;
            }
        }
        self.files.hears.end(&event.id);
        self.entries.done(&entry);
    }
}
