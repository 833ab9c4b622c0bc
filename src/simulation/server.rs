//! The homeserver: rooms' events in order, and the transaction ids under which ours came.

use std::collections::HashMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId};

use crate::core::run::RunId;

/// What an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A person asks.
    Request,
    /// A person edits what they asked.
    Edit {
        target: OwnedEventId,
    },
    Reaction {
        target: OwnedEventId,
        key: &'static str,
    },
    Redaction {
        target: OwnedEventId,
    },
    /// A coworker is taken out of the room.
    Kick,
    /// One of ours says something.
    Said,
    /// One of ours asks for an approval: of which number.
    Card(u64),
    /// One of ours replaces something.
    Replaced,
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: OwnedEventId,
    pub(super) room: OwnedRoomId,
    pub(super) sender: OwnedUserId,
    pub(super) kind: Kind,
    pub(super) at_ms: i64,
    /// Of ours: whose it is, under which name.
    pub(super) of: Option<(RunId, String)>,
    /// What it says now, as edits have it.
    pub(super) body: String,
    /// Whether that is all that was to be said.
    pub(super) whole: bool,
    pub(super) notifies: bool,
    pub(super) edits: u32,
    pub(super) redacted: bool,
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) events: Vec<Event>,
    transactions: HashMap<OwnedTransactionId, usize>,
    by_id: HashMap<OwnedEventId, usize>,
    pub(super) repeated: u64,
}

impl Server {
    /// Takes an event; one whose transaction id is known is that event, and changes nothing.
    pub(super) fn take(&mut self, txn: Option<OwnedTransactionId>, event: Event) -> (usize, bool) {
        if let Some(known) = txn.as_ref().and_then(|txn| self.transactions.get(txn)) {
            self.repeated += 1;
            return (*known, false);
        }
        let at = self.events.len();
        if let Some(txn) = txn {
            self.transactions.insert(txn, at);
        }
        self.by_id.insert(event.id.clone(), at);
        self.events.push(event);
        (at, true)
    }

    pub(super) fn get(&self, id: &ruma::EventId) -> Option<&Event> {
        self.by_id.get(id).map(|at| &self.events[*at])
    }

    pub(super) fn get_mut(&mut self, id: &ruma::EventId) -> Option<&mut Event> {
        self.by_id.get(id).map(|at| &mut self.events[*at])
    }

    /// Returns the event that came under a transaction id.
    pub(super) fn event_of(&self, txn: &ruma::TransactionId) -> Option<OwnedEventId> {
        self.transactions.get(txn).map(|at| self.events[*at].id.clone())
    }

    pub(super) fn next_id(&self) -> OwnedEventId {
        format!("$e{}", self.events.len()).try_into().expect("an event id")
    }

    /// As a homeserver does after a long time, or with another device.
    pub(super) fn forget_transactions(&mut self) {
        self.transactions.clear();
    }

    /// Returns what a run said under a step's name.
    pub(super) fn said_as<'a>(&'a self, id: &'a RunId, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| {
            !matches!(event.kind, Kind::Replaced) && event.of.as_ref().is_some_and(|(of, as_)| of == id && as_ == name)
        })
    }

    /// Returns people's reactions to an event.
    pub(super) fn reactions<'a>(&'a self, to: &'a ruma::EventId) -> impl Iterator<Item = (&'a Event, &'static str)> {
        self.events.iter().filter_map(move |event| match &event.kind {
            Kind::Reaction { target, key } if target == to && !event.redacted => Some((event, *key)),
            _ => None,
        })
    }
}
