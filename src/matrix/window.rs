//! The newest gapless stretch of a room's timeline as one virtual user sees it.
//!
//! The user's own syncs feed it, so it holds nothing that the user may not see; it is filled backwards on demand. The
//! SDK's event cache is not used: it processes a sync's events in its own task after `sync_once` has returned, so a
//! context could lack its own request.

use std::collections::VecDeque;

use ruma::{EventId, OwnedEventId};

use super::inbound::{self, Read};
use crate::core::{
    event::{EventKind, RoomEvent},
    time::Timestamp,
};

/// Most events kept of one room for one user.
pub const WINDOW_EVENTS_MAX: usize = 500;
/// Most events added from transactions between two syncs, so that unused windows do not fill up.
const DELIVERED_MAX: usize = 30;

/// How long before a request an undecryptable message may still be waiting for its key, in milliseconds.
const KEY_AWAITED_MS: u64 = 10 * 60 * 1000;

/// Where the history before the window begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Older {
    /// Unknown: fetch the newest events again.
    Unknown,
    /// A pagination token for `/messages`.
    From(String),
    /// Nowhere: there is nothing older that this user may see.
    Nothing,
}

/// A gapless stretch of timeline that ends at the newest event seen.
#[derive(Debug)]
pub struct Window {
    slots: VecDeque<Read>,
    older: Older,
    /// Events added from transactions since the last sync.
    delivered: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: VecDeque::new(), older: Older::Unknown, delivered: 0 }
    }
}

impl Window {
    /// Adds a sync's timeline. If it is `limited`, events before it are missing, so what was held is dropped.
    pub fn extend(&mut self, events: Vec<Read>, limited: bool, prev_batch: Option<String>) {
        if limited || self.slots.is_empty() {
            self.slots.clear();
            self.older = prev_batch.map_or(Older::Unknown, Older::From);
        }
        for read in events {
            self.push(read);
        }
        self.delivered = 0;
        self.trim();
    }

    /// Adds an event from a transaction; returns whether the window could place it.
    ///
    /// It cannot if the window is empty, if the event is older than the newest held (only a sync knows the order), or
    /// after [`DELIVERED_MAX`] events since the last sync.
    pub fn deliver(&mut self, read: Read) -> bool {
        let Some(newest) = self.slots.back() else { return false };
        let is_new = !self.holds(&read.event.id);
        if is_new && (newest.event.sent_at > read.event.sent_at || self.delivered >= DELIVERED_MAX) {
            return false;
        }
        self.delivered += usize::from(is_new);
        self.push(read);
        self.trim();
        true
    }

    /// Prepends a page of `/messages` (newest first).
    pub fn prepend(&mut self, page: Vec<Read>, next: Option<String>) {
        for read in page {
            if !self.holds(&read.event.id) {
                self.slots.push_front(read);
            }
        }
        self.older = next.map_or(Older::Nothing, Older::From);
        self.trim();
    }

    /// Returns where to fetch older events.
    #[must_use]
    pub fn older(&self) -> &Older {
        &self.older
    }

    /// Returns how many events are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether no event is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the newest event held.
    #[must_use]
    pub fn newest(&self) -> Option<&Read> {
        self.slots.back()
    }

    /// Returns one event, if it is held.
    #[must_use]
    pub fn get(&self, id: &EventId) -> Option<&Read> {
        self.slots.iter().rev().find(|read| read.event.id == id)
    }

    /// Returns all events, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<RoomEvent> {
        inbound::together(self.slots.iter())
    }

    /// Returns the newest events that are still undecryptable, at most `most`.
    #[must_use]
    pub fn sealed(&self, most: usize) -> Vec<Read> {
        self.slots.iter().rev().filter(|read| read.sealed.is_some()).take(most).cloned().collect()
    }

    /// Returns whether a message sent shortly before `at` may still be waiting for its key.
    #[must_use]
    pub fn awaits_keys(&self, at: Timestamp) -> bool {
        let newest = self.slots.iter().rev().find(|read| read.sealed.is_some());
        newest.is_some_and(|read| at.ms_since(read.event.sent_at) < KEY_AWAITED_MS)
    }

    /// Replaces an undecryptable event by its decrypted form.
    pub fn unseal(&mut self, read: Read) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.event.id == read.event.id) {
            *slot = read;
        }
    }

    /// Returns the newest event of a thread, for the fallback reply.
    #[must_use]
    pub fn latest_in_thread(&self, root: &EventId) -> Option<OwnedEventId> {
        let in_thread = |read: &&Read| match &read.event.kind {
            EventKind::Message(message) | EventKind::Undecryptable(Some(message)) => {
                message.thread_root.as_deref() == Some(root)
            }
            _ => false,
        };
        self.slots.iter().rev().find(in_thread).map(|read| read.event.id.clone())
    }

    fn holds(&self, id: &EventId) -> bool {
        self.slots.iter().any(|slot| slot.event.id == id)
    }

    fn push(&mut self, read: Read) {
        match self.slots.iter_mut().find(|slot| slot.event.id == read.event.id) {
            // The homeserver's newer copy may be redacted.
            Some(slot) => *slot = read,
            None => self.slots.push_back(read),
        }
    }

    fn trim(&mut self) {
        while self.slots.len() > WINDOW_EVENTS_MAX {
            self.slots.pop_front();
            // Enough is held; older events are not fetched again.
            self.older = Older::Nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;
    use crate::core::event::Message;

    fn read(id: &str) -> Read {
        let event = RoomEvent {
            room: room_id!("!r:hs").to_owned(),
            id: OwnedEventId::try_from(id).expect("an event id"),
            sender: user_id!("@a:hs").to_owned(),
            sent_at: Timestamp::from_ms(0),
            kind: EventKind::Message(Message::text(id)),
        };
        Read::plain(event)
    }

    fn ids(window: &Window) -> Vec<String> {
        window.events().into_iter().map(|event| event.id.to_string()).collect()
    }

    #[test]
    fn a_limited_sync_leaves_no_gap_in_the_window() {
        let mut window = Window::default();
        window.extend(vec![read("$1"), read("$2")], false, Some("t1".to_owned()));
        window.extend(vec![read("$3")], false, Some("t2".to_owned()));
        assert_eq!(
            (ids(&window), window.older()),
            (vec!["$1".into(), "$2".into(), "$3".into()], &Older::From("t1".into()))
        );
        window.extend(vec![read("$9")], true, Some("t9".to_owned()));
        assert_eq!((ids(&window), window.older()), (vec!["$9".to_owned()], &Older::From("t9".into())));
    }

    #[test]
    fn pages_go_in_front_once_and_end_at_the_start() {
        let mut window = Window::default();
        window.extend(vec![read("$3")], false, Some("t".to_owned()));
        window.prepend(vec![read("$3"), read("$2"), read("$1")], None);
        assert_eq!((ids(&window), window.older()), (vec!["$1".into(), "$2".into(), "$3".into()], &Older::Nothing));
    }

    #[test]
    fn a_delivered_event_is_placed_once_behind_the_newest_and_never_out_of_order() {
        let at = |id: &str, ms| {
            let mut read = read(id);
            read.event.sent_at = Timestamp::from_ms(ms);
            read
        };
        let mut window = Window::default();
        assert!(!window.deliver(at("$1", 1)), "an empty window may lack what was before");
        window.extend(vec![at("$2", 2)], false, None);
        let delivered = [("$1", 1), ("$3", 3), ("$3", 3), ("$2", 2)].map(|(id, ms)| window.deliver(at(id, ms)));
        window.extend(vec![at("$3", 3), at("$4", 4)], false, None);
        assert_eq!((delivered, ids(&window)), ([false, true, true, true], vec!["$2".into(), "$3".into(), "$4".into()]));
    }

    #[test]
    fn what_was_sent_lately_and_cannot_be_decrypted_is_waited_for() {
        let mut window = Window::default();
        let mut sealed = read("$sealed");
        sealed.sealed = ruma::serde::Raw::from_json_string("{}".to_owned()).ok();
        window.extend(vec![sealed, read("$request")], false, None);
        let at = |ms: u64| window.awaits_keys(Timestamp::from_ms(i64::try_from(ms).expect("small")));
        assert_eq!((at(0), at(KEY_AWAITED_MS - 1), at(KEY_AWAITED_MS)), (true, true, false));
    }

    #[test]
    fn after_so_many_delivered_events_a_sync_is_needed() {
        let mut window = Window::default();
        window.extend(vec![read("$first")], false, None);
        let placed = (0..=DELIVERED_MAX).filter(|n| window.deliver(read(&format!("${n}")))).count();
        window.extend(vec![], false, None);
        assert_eq!((placed, window.deliver(read("$next"))), (DELIVERED_MAX, true));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::default();
        let many = (0..WINDOW_EVENTS_MAX + 7).map(|n| read(&format!("${n}"))).collect();
        window.extend(many, false, None);
        assert_eq!((window.len(), ids(&window)[0].as_str()), (WINDOW_EVENTS_MAX, "$7"));
    }
}
