//! The open cards, and the calls that wait for them.

use std::time::Duration;

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    clock,
    core::{
        approval::{Pending, Standing},
        event::RoomEvent,
        run::RunId,
        time::Timestamp,
        tool::ToolName,
        trail::Decision,
    },
    store::{StoreError, Table},
};

/// A card's id: its room and event.
pub(in crate::engine) type Card = (OwnedRoomId, OwnedEventId);

/// A card that is being sent; after a crash it may be visible without having been noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Begun {
    /// The run that asks.
    pub(in crate::engine) run: RunId,
    /// The card's number in the run.
    pub(in crate::engine) number: u64,
    /// The tool that it asks about.
    pub(in crate::engine) tool: ToolName,
    /// The owner of the session it belongs to, if it is an assistant's.
    pub(in crate::engine) owner: Option<OwnedUserId>,
}

impl Begun {
    fn key(&self) -> String {
        format!("{} {}", self.run.as_str(), self.number)
    }
}

/// The posted cards of current runs. A card is here before anybody can react to it, and until its run ends.
pub(in crate::engine) struct Desk {
    cards: Table<Card, Standing>,
    /// Cards that are being sent, until they are among `cards`.
    begun: Table<String, Begun>,
    /// Wakes all waiting calls when any card changes; they are few.
    news: Notify,
}

impl Desk {
    pub(in crate::engine) fn new(cards: Table<Card, Standing>, begun: Table<String, Begun>) -> Self {
        Self { cards, begun: begun.owned_by(|_, begun: &Begun| begun.owner.as_deref()), news: Notify::new() }
    }

    /// Notes that a card is being sent.
    pub(super) fn begin(&self, begun: &Begun) -> Result<(), StoreError> {
        self.begun.put(&begun.key(), begun)
    }

    /// Returns a run's cards that may have been sent but were not noted.
    pub(super) fn begun_by(&self, run: &RunId) -> Result<Vec<Begun>, StoreError> {
        let begun = self.begun.iter().map(|begun| begun.map(|(_, begun)| begun));
        begun.filter(|begun| begun.as_ref().map_or(true, |begun| begun.run == *run)).collect()
    }

    pub(super) fn get(&self, room: &RoomId, event: &EventId) -> Result<Option<Standing>, StoreError> {
        self.cards.get(&(room.to_owned(), event.to_owned()))
    }

    /// Returns the card of this very call, if one was posted.
    pub(super) fn find(
        &self,
        room: &OwnedRoomId,
        run: &RunId,
        pending: &Pending,
    ) -> Result<Option<(Card, Standing)>, StoreError> {
        let found = self.cards.scan_prefix(room).find(|card| match card {
            Ok((_, standing)) => standing.is_for(run, pending),
            Err(_) => true,
        });
        found.transpose()
    }

    /// Returns a room's cards that are open and undecided at `now`.
    pub(in crate::engine) fn undecided(
        &self,
        room: &RoomId,
        now: Timestamp,
    ) -> Result<Vec<(Card, Standing)>, StoreError> {
        let cards = self.cards.scan_prefix(&room.to_owned());
        cards.filter(|card| card.as_ref().map_or(true, |(_, standing)| standing.is_open(now))).collect()
    }

    pub(super) fn open(&self, card: &Card, standing: &Standing, begun: &Begun) -> Result<(), StoreError> {
        self.cards.insert_new(card, standing)?;
        self.begun.remove(&begun.key())?;
        Ok(())
    }

    /// Changes a card and wakes the waiting calls; `None` if it is gone.
    pub(in crate::engine) fn change<T>(
        &self,
        card: &Card,
        change: impl FnOnce(&mut Standing) -> T,
    ) -> Result<Option<T>, StoreError> {
        let mut changed = None;
        self.cards.update(card, |standing: Option<Standing>| {
            let mut standing = standing?;
            changed = Some(change(&mut standing));
            Some(standing)
        })?;
        self.news.notify_waiters();
        Ok(changed)
    }

    /// Returns whether a card is decided, or gone.
    pub(super) fn is_decided(&self, card: &Card) -> Result<bool, StoreError> {
        Ok(self.cards.get(card)?.is_none_or(|standing| standing.decision().is_some()))
    }

    /// Returns whether a card's time is over, decided or not.
    pub(super) fn is_due(&self, card: &Card) -> Result<bool, StoreError> {
        Ok(self.cards.get(card)?.is_none_or(|standing| clock::steady() >= standing.expires_at))
    }

    /// Waits until a card is decided, is gone, or its time is over; takes no decision.
    pub(super) async fn until_due(&self, card: &Card) -> Result<(), StoreError> {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let Some(standing) = self.cards.get(card)? else { return Ok(()) };
            let now = clock::steady();
            if standing.decision().is_some() || now >= standing.expires_at {
                return Ok(());
            }
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(Duration::from_millis(standing.expires_at.ms_since(now))) => {}
            }
        }
    }

    /// Waits until a card is decided or has expired; one that is gone counts as expired.
    pub(super) async fn wait(&self, card: &Card) -> Result<Decision, StoreError> {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // From here on no change is missed.
            news.as_mut().enable();
            let now = clock::steady();
            let Some(standing) = self.cards.get(card)? else { return Ok(Decision::Expired) };
            if standing.clone().take(now).is_some() {
                let taken = self.change(card, |standing| standing.take(now))?;
                match taken {
                    Some(Some(decision)) => return Ok(decision),
                    // It was withdrawn at this moment.
                    Some(None) => continue,
                    None => return Ok(Decision::Expired),
                }
            }
            let left = Duration::from_millis(standing.expires_at.ms_since(now));
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Takes a redaction before anything else handles it. A redacted decision is withdrawn, a redacted card is
    /// declined, and a redacted request removes its cards.
    pub(in crate::engine) fn take_redaction(&self, event: &RoomEvent, target: &EventId) -> Result<(), StoreError> {
        let cards: Vec<(Card, Standing)> = self.cards.scan_prefix(&event.room).collect::<Result<_, _>>()?;
        for (card, standing) in cards {
            if standing.request == target {
                self.cards.remove(&card)?;
            } else if card.1 == target {
                let now = clock::steady();
                self.change(&card, |standing| standing.card_redacted(&event.sender, &event.id, now))?;
            } else if self.change(&card, |standing| standing.withdraw(target))? == Some(true) {
                tracing::info!(run.id = standing.run.as_str(), "a decision about a tool call was withdrawn");
            }
        }
        Ok(())
    }

    /// Returns the request whose run posted a card.
    pub(in crate::engine) fn request_of(
        &self,
        room: &RoomId,
        card: &EventId,
    ) -> Result<Option<OwnedEventId>, StoreError> {
        Ok(self.get(room, card)?.map(|standing| standing.request))
    }

    pub(super) fn of_run(&self, room: &OwnedRoomId, run: &RunId) -> Result<Vec<(Card, Standing)>, StoreError> {
        let cards = self.cards.scan_prefix(room);
        cards.filter(|card| card.as_ref().map_or(true, |(_, card)| card.run == *run)).collect()
    }

    /// Forgets a run's cards, so that a later ✅ finds nothing.
    pub(in crate::engine) fn close(&self, room: &OwnedRoomId, run: &RunId) -> Result<(), StoreError> {
        let cards: Vec<(Card, Standing)> = self.cards.scan_prefix(room).collect::<Result<_, _>>()?;
        for (card, _) in cards.into_iter().filter(|(_, standing)| standing.run == *run) {
            self.cards.remove(&card)?;
        }
        for begun in self.begun_by(run)? {
            self.begun.remove(&begun.key())?;
        }
        self.news.notify_waiters();
        Ok(())
    }

    /// Forgets cards of finished runs at the start, because a process may end between the end of a run and its cards'.
    pub(in crate::engine) fn forget_but_of(
        &self,
        is_going_on: impl Fn(&RunId) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let cards: Vec<(Card, Standing)> = self.cards.iter().collect::<Result<_, _>>()?;
        for (card, standing) in cards {
            if !is_going_on(&standing.run)? {
                self.cards.remove(&card)?;
            }
        }
        let begun: Vec<(String, Begun)> = self.begun.iter().collect::<Result<_, _>>()?;
        for (key, begun) in begun {
            if !is_going_on(&begun.run)? {
                self.begun.remove(&key)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
