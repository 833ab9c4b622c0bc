//! What a run begins with, whoever answers: whether it is late (C5), and where its answer goes (C9).

use ruma::{EventId, OwnedEventId};

use super::{event::Place, time::Timestamp};

/// Where an answerer answers a request that stands in no thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// In a thread on the request.
    Thread,
    /// In the timeline, as a reply to the request.
    Reply,
    /// In the timeline, replying to nothing.
    Timeline,
}

/// Returns whether a request is late, so that the answer must say so. The sender's server may claim any time, so what
/// was accepted long ago is late in any case.
#[must_use]
pub(crate) fn is_late(asked_at: Timestamp, accepted_at: Timestamp, now: Timestamp, deadline_ms: u64) -> bool {
    now.ms_since(asked_at.min(accepted_at)) > deadline_ms
}

/// Returns the answer's place: the thread in which the request stands, else what the answerer's habit is. `latest` is
/// the thread's newest message, if it is not the request.
#[must_use]
pub(crate) fn place_of_answer(
    request: &EventId,
    thread: Option<&EventId>,
    latest: Option<OwnedEventId>,
    habit: Habit,
) -> Place {
    let request = || request.to_owned();
    match (thread, habit) {
        (Some(root), _) => Place::Thread { root: root.to_owned(), latest: latest.unwrap_or_else(request) },
        (None, Habit::Thread) => Place::Thread { root: request(), latest: request() },
        (None, Habit::Reply) => Place::Reply { to: request() },
        (None, Habit::Timeline) => Place::Timeline,
    }
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    #[test]
    fn c9_an_answer_stays_in_its_thread_and_else_follows_the_answerers_habit() {
        let (asked, root, newest) = (event_id!("$asked"), event_id!("$root"), event_id!("$newest"));
        let thread =
            |root: &EventId, latest: &EventId| Place::Thread { root: root.to_owned(), latest: latest.to_owned() };
        let table = [
            (Some(root), Some(newest), Habit::Timeline, thread(root, newest)),
            (Some(root), None, Habit::Reply, thread(root, asked)),
            (None, None, Habit::Thread, thread(asked, asked)),
            (None, Some(newest), Habit::Thread, thread(asked, asked)),
            (None, None, Habit::Reply, Place::Reply { to: asked.to_owned() }),
            (None, None, Habit::Timeline, Place::Timeline),
        ];
        for (root, latest, habit, expected) in table {
            let place = place_of_answer(asked, root, latest.map(ToOwned::to_owned), habit);
            assert_eq!(place, expected, "in {root:?}, {habit:?}");
        }
    }

    #[test]
    fn c5_what_is_older_than_the_deadline_by_either_clock_is_late() {
        let at = Timestamp::from_ms;
        for (asked, accepted, expected) in [(0, 0, true), (0, 90, true), (90, 0, true), (1, 1, false), (99, 200, false)]
        {
            assert_eq!(is_late(at(asked), at(accepted), at(101), 100), expected, "asked {asked}, accepted {accepted}");
        }
    }
}
