//! A bounded number of places for things opened on demand; the least recently used one is closed first.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ruma::{OwnedUserId, UserId};
use tokio::{sync::OnceCell, time::Instant};

/// A place, filled once its content is open. Holding a clone means using it.
pub(super) type Place<T> = Arc<OnceCell<Arc<T>>>;

/// Who has a place, and when each was last requested.
pub(super) struct Places<T> {
    taken: HashMap<OwnedUserId, Taken<T>>,
    most: usize,
}

struct Taken<T> {
    place: Place<T>,
    used: Instant,
}

impl<T> Places<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { taken: HashMap::new(), most: most.max(1) }
    }

    /// Returns the user's place and what was closed for it; `None` while every place is in use.
    pub(super) fn take(&mut self, user: &UserId, now: Instant) -> Option<(Place<T>, Option<Arc<T>>)> {
        if let Some(known) = self.taken.get_mut(user) {
            known.used = now;
            return Some((known.place.clone(), None));
        }
        let mut closed = None;
        if self.taken.len() >= self.most {
            let oldest = self.taken.iter().filter(|(_, taken)| taken.is_free()).min_by_key(|(_, taken)| taken.used);
            let oldest = oldest.map(|(user, _)| user.clone())?;
            closed = self.taken.remove(&oldest).and_then(Taken::into_open);
        }
        let place = Place::default();
        self.taken.insert(user.to_owned(), Taken { place: place.clone(), used: now });
        Some((place, closed))
    }

    /// Returns the users with a place, most recently used first.
    pub(super) fn users(&self) -> Vec<OwnedUserId> {
        let mut users: Vec<_> = self.taken.iter().map(|(user, taken)| (taken.used, user.clone())).collect();
        users.sort_by(|one, other| other.cmp(one));
        users.into_iter().map(|(_, user)| user).collect()
    }

    /// Returns a place that could not be filled, unless somebody else is filling it.
    pub(super) fn give_back(&mut self, user: &UserId, place: &Place<T>) {
        // One clone is the caller's and one is ours. Any further holder may be filling it, and nothing must be opened
        // twice.
        let is_last = |taken: &Taken<T>| Arc::ptr_eq(&taken.place, place) && Arc::strong_count(place) == 2;
        if place.get().is_none() && self.taken.get(user).is_some_and(is_last) {
            self.taken.remove(user);
        }
    }

    /// Closes what has not been used for `idle`.
    pub(super) fn close_idle(&mut self, now: Instant, idle: Duration) -> Vec<Arc<T>> {
        let is_idle = |taken: &Taken<T>| taken.is_free() && now.duration_since(taken.used) >= idle;
        let closing: Vec<_> =
            self.taken.iter().filter(|(_, taken)| is_idle(taken)).map(|(user, _)| user.clone()).collect();
        closing.iter().filter_map(|user| self.taken.remove(user).and_then(Taken::into_open)).collect()
    }

    /// Returns what is open for a user, without counting it as a use.
    pub(super) fn opened(&self, user: &UserId) -> Option<Arc<T>> {
        self.taken.get(user)?.place.get().cloned()
    }

    /// Removes a user's place, even if it is in use.
    pub(super) fn remove(&mut self, user: &UserId) {
        self.taken.remove(user);
    }

    /// Returns how many places are taken.
    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }
}

impl<T> Taken<T> {
    /// Returns whether nobody uses this place or is about to.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.place) == 1 && self.place.get().is_none_or(|open| Arc::strong_count(open) == 1)
    }

    fn into_open(self) -> Option<Arc<T>> {
        self.place.get().cloned()
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    /// Opens a user's content; returns it with what was closed for it.
    fn open(places: &mut Places<String>, user: &UserId, now: Instant) -> Option<(Arc<String>, Option<String>)> {
        let (place, closed) = places.take(user, now)?;
        if place.get().is_none() {
            place.set(Arc::new(user.localpart().to_owned())).expect("nobody else fills it");
        }
        let held = place.get().cloned().expect("it is filled");
        Some((held, closed.map(|closed| (*closed).clone())))
    }

    fn seconds(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn the_least_recently_used_makes_room_and_what_is_held_stays() {
        let begun = Instant::now();
        let mut places = Places::new(2);
        let [a, b, c] = [user_id!("@a:hs"), user_id!("@b:hs"), user_id!("@c:hs")];
        let held_a = open(&mut places, a, seconds(begun, 0)).expect("a place is free").0;
        let held_b = open(&mut places, b, seconds(begun, 1)).expect("a place is free").0;
        assert!(open(&mut places, c, seconds(begun, 2)).is_none(), "both are held");
        drop(held_b);
        let (held_c, closed) = open(&mut places, c, seconds(begun, 3)).expect("b is not held");
        assert_eq!((closed.as_deref(), places.len()), (Some("b"), 2));
        drop((held_a, held_c));
        open(&mut places, a, seconds(begun, 4)).expect("it has a place");
        let (_, closed) = open(&mut places, b, seconds(begun, 5)).expect("nothing is held");
        assert_eq!((closed.as_deref(), places.len()), (Some("c"), 2));
    }

    #[test]
    fn a_place_that_somebody_is_about_to_use_is_not_taken_away() {
        let begun = Instant::now();
        let mut places: Places<String> = Places::new(1);
        let [a, b] = [user_id!("@a:hs"), user_id!("@b:hs")];
        open(&mut places, a, begun).expect("a place is free");
        let (about_to_use, _) = places.take(a, begun).expect("it has a place");
        assert!(places.take(b, begun).is_none(), "its client would be closed in somebody's hands");
        drop(about_to_use);
        assert!(places.take(b, begun).is_some());
    }

    #[test]
    fn a_failed_opening_frees_its_place_unless_another_waits_for_it() {
        let begun = Instant::now();
        let mut places: Places<String> = Places::new(1);
        let a = user_id!("@a:hs");
        let (first, _) = places.take(a, begun).expect("a place is free");
        let (second, _) = places.take(a, begun).expect("the same place");
        places.give_back(a, &first);
        drop(first);
        assert_eq!(places.len(), 1, "the second may be opening it");
        places.give_back(a, &second);
        assert_eq!(places.len(), 0);
    }

    #[test]
    fn only_what_is_idle_and_not_held_is_closed() {
        let begun = Instant::now();
        let mut places = Places::new(3);
        let held = open(&mut places, user_id!("@held:hs"), begun);
        open(&mut places, user_id!("@idle:hs"), begun);
        open(&mut places, user_id!("@fresh:hs"), seconds(begun, 5));
        let closed = places.close_idle(seconds(begun, 10), Duration::from_secs(10));
        assert_eq!(closed, [Arc::new("idle".to_owned())]);
        assert_eq!(places.len(), 2);
        drop(held);
    }
}
