//! Answers that an assistant does not read again (A7): they were given while a room was open that is now closed.
//!
//! Such an answer may quote the room, and the owner's right to read the room is only checked while it is open. So room
//! and answers leave the context together, however the room was closed. The owner keeps the answers in their chat.

use ruma::{EventId, OwnedEventId};
use serde::{Deserialize, Serialize};

use super::Opened;

/// Most answers recorded for an open room, and for all closed ones; more than a context holds. The oldest are dropped.
pub const WITHHELD_MAX: usize = 500;
/// Most requests recorded because they were being answered when a room was closed. The oldest are dropped.
pub const IN_PROGRESS_MAX: usize = 50;

/// Messages that may quote closed rooms: their ids, no content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    #[serde(default)]
    answers: Vec<OwnedEventId>,
    /// Requests whose later answers are withheld too: the room was open while those were composed.
    #[serde(default)]
    requests: Vec<OwnedEventId>,
}

impl Withheld {
    /// Returns the answers that must not be read again.
    #[must_use]
    pub fn answers(&self) -> &[OwnedEventId] {
        &self.answers
    }

    /// Closes rooms. Withholds the answers given while they were open, and the coming answers to the requests
    /// `in_progress`.
    pub fn close(
        &mut self,
        opened: &mut Vec<Opened>,
        is_closed: impl Fn(&Opened) -> bool,
        in_progress: &[OwnedEventId],
    ) {
        let (closed, open) = std::mem::take(opened).into_iter().partition::<Vec<_>, _>(is_closed);
        *opened = open;
        if closed.is_empty() {
            return;
        }
        for answer in closed.into_iter().flat_map(|one| one.answers) {
            keep(&mut self.answers, &answer, WITHHELD_MAX);
        }
        for request in in_progress {
            keep(&mut self.requests, request, IN_PROGRESS_MAX);
        }
    }

    /// Records an answer to `request` for all open rooms.
    pub fn answered(&mut self, opened: &mut [Opened], request: &EventId, answer: &EventId) {
        for one in opened {
            keep(&mut one.answers, answer, WITHHELD_MAX);
        }
        if self.requests.iter().any(|known| known == request) {
            keep(&mut self.answers, answer, WITHHELD_MAX);
        }
    }

    /// Records a copy of an answer, which may quote whatever the answer does.
    pub fn copied(&mut self, opened: &mut [Opened], answer: &EventId, copy: &EventId) {
        let answers = opened.iter_mut().map(|one| &mut one.answers).chain([&mut self.answers]);
        for answers in answers.filter(|answers| answers.iter().any(|known| known == answer)) {
            keep(answers, copy, WITHHELD_MAX);
        }
    }
}

fn keep(ids: &mut Vec<OwnedEventId>, id: &EventId, most: usize) {
    if ids.iter().any(|known| known == id) {
        return;
    }
    ids.push(id.to_owned());
    let surplus = ids.len().saturating_sub(most);
    ids.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use ruma::OwnedRoomId;

    use super::{super::open, *};

    fn id(name: &str) -> OwnedEventId {
        EventId::parse(format!("${name}")).expect("an event id")
    }

    fn ids(names: &[&str]) -> Vec<OwnedEventId> {
        names.iter().map(|name| id(name)).collect()
    }

    fn room(name: &str, by: &str) -> Opened {
        let room = OwnedRoomId::try_from(format!("!{name}:hs")).expect("a room id");
        Opened { room, event: None, by: id(by), first: id("first"), last: id("last"), found: None, answers: Vec::new() }
    }

    #[test]
    fn a7_what_was_answered_while_a_room_was_open_is_withheld_once_it_is_closed() {
        let (mut opened, mut withheld) = (Vec::new(), Withheld::default());
        withheld.answered(&mut opened, &id("ask0"), &id("before"));
        open(&mut opened, room("team", "open1"));
        withheld.answered(&mut opened, &id("ask1"), &id("quotes"));
        withheld.answered(&mut opened, &id("ask1"), &id("quotes"));
        open(&mut opened, room("other", "open2"));
        withheld.answered(&mut opened, &id("ask2"), &id("of both"));
        assert_eq!(withheld, Withheld::default(), "nothing is closed");

        withheld.close(&mut opened, |one| one.by == id("open1"), &[]);
        withheld.answered(&mut opened, &id("ask3"), &id("after"));

        assert_eq!(withheld.answers(), ids(&["quotes", "of both"]));
        let other = Opened { answers: ids(&["of both", "after"]), ..room("other", "open2") };
        assert_eq!(opened, [other]);
    }

    #[test]
    fn a7_a_room_that_is_opened_again_keeps_what_was_answered_with_it_before() {
        let (mut opened, mut withheld) = (Vec::new(), Withheld::default());
        open(&mut opened, room("team", "open1"));
        withheld.answered(&mut opened, &id("ask1"), &id("first answer"));

        open(&mut opened, room("team", "open2"));

        assert_eq!(opened, [Opened { answers: ids(&["first answer"]), ..room("team", "open2") }]);
    }

    #[test]
    fn a7_an_answer_that_is_being_written_when_a_room_is_closed_is_withheld_and_no_later_one() {
        let (mut opened, mut withheld) = (vec![room("team", "open1")], Withheld::default());
        withheld.close(&mut opened, |_| false, &[id("ask0")]);
        withheld.close(&mut opened, |_| true, &[id("ask1")]);

        for (request, answer) in [("ask0", "clean"), ("ask1", "late"), ("ask2", "new")] {
            withheld.answered(&mut opened, &id(request), &id(answer));
        }

        assert_eq!(withheld.answers(), ids(&["late"]));
    }

    #[test]
    fn a7_a_copy_goes_the_way_of_what_it_copies() {
        let (mut opened, mut withheld) = (vec![room("team", "open1")], Withheld::default());
        withheld.answered(&mut opened, &id("ask1"), &id("quotes"));
        withheld.copied(&mut opened, &id("quotes"), &id("copy1"));
        withheld.copied(&mut opened, &id("before"), &id("copy of another"));
        withheld.close(&mut opened, |_| true, &[]);
        withheld.copied(&mut opened, &id("copy1"), &id("copy2"));

        assert_eq!(withheld.answers(), ids(&["quotes", "copy1", "copy2"]));
    }

    #[test]
    fn a7_the_newest_answers_are_kept() {
        let (mut opened, mut withheld) = (vec![room("team", "open1")], Withheld::default());
        for number in 0..=WITHHELD_MAX {
            withheld.answered(&mut opened, &id("ask"), &id(&format!("answer{number}")));
        }
        withheld.close(&mut opened, |_| true, &[]);

        assert_eq!(withheld.answers().len(), WITHHELD_MAX);
        assert_eq!(withheld.answers()[0], id("answer1"));
    }
}
