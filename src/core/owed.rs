//! What an ended run still owes: last edits, redactions, a message elsewhere.
//!
//! It is stored before the run leaves the journal, and retried until it is done. A notice must not claim for ever that
//! work is going on, and an asker must learn of an answer that could not be posted.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    event::Outgoing,
    run::{Answer, RunId, RunRecord, Step},
    time::Timestamp,
};

/// How long something is retried that the homeserver or the room refuses, in milliseconds.
pub(crate) const KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// How long an answer that its room refused is still worth posting, in milliseconds.
pub(crate) const ANSWER_KEPT_MS: u64 = 60 * 60 * 1000;

/// How long something is retried after a refusal that looks permanent, in milliseconds: a homeserver in trouble may
/// refuse for a while what it accepts later.
pub(crate) const DOUBTED_MS: u64 = 10 * 60 * 1000;

/// What is still to be done for an ended run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owed {
    /// The ended run's id.
    pub run: RunId,
    /// The virtual user that answered.
    pub user: OwnedUserId,
    /// The room in which it was asked.
    pub room: OwnedRoomId,
    /// The message that asked.
    pub request: OwnedEventId,
    /// Who asked.
    pub asker: OwnedUserId,
    /// Whether it was an assistant's run.
    pub private: bool,
    /// When it became due.
    pub since: Timestamp,
    /// When part of it was first refused as if permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Timestamp>,
    /// The deeds, in the order in which they are done.
    pub deeds: Vec<Deed>,
}

/// A single thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Edit a message to its last text.
    Edit {
        /// The message.
        shown: Shown,
        /// The step of the edit, for its transaction id.
        step: Step,
        /// The new text.
        text: Outgoing,
    },
    /// Send a message.
    Send {
        /// The step of the message, for its transaction id.
        step: Step,
        /// The text.
        text: Outgoing,
    },
    /// Post an answer that the room refused. If a message streamed it, edit that one; the number is of its last edit.
    Answer(Box<Answer>, Option<(OwnedEventId, u32)>),
    /// Redact a message.
    TakeBack(Shown),
    /// Tell the asker elsewhere that their answer cannot be posted.
    TellElsewhere,
}

impl Deed {
    /// Returns what is owed where it could not be said that a run was stopped; nothing where its status says it.
    fn of_stop(record: &RunRecord, text: Outgoing) -> Option<Self> {
        let step = Step::Edit(record.edits + 1);
        match &record.streamed {
            Some(streamed) => Some(Self::Edit { shown: Shown::Event(streamed.clone()), step, text }),
            None if record.has_begun_answer() => Some(Self::Edit { shown: Shown::SentAs(Step::Answer), step, text }),
            None => (!record.has_status()).then_some(Self::Send { step: Step::Stopped, text }),
        }
    }
}

/// A message of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shown {
    /// Its event id is known.
    Event(OwnedEventId),
    /// It was being sent and may have arrived. Sending it again as this step gives the same event.
    SentAs(Step),
}

/// What matters about a run's end for what it owes.
#[expect(clippy::struct_excessive_bools, reason = "facts of one run that are asked one by one")]
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    /// The record that replaces its notice, if any.
    pub record: Option<Outgoing>,
    /// Cards that do not show their end yet: the message, its last step, its last text.
    pub cards: Vec<(Shown, Step, Outgoing)>,
    /// Our reactions on its cards, which are to be redacted.
    pub reactions: Vec<OwnedEventId>,
    /// The messages that it is known to have posted; only if they are to be redacted.
    pub posted: Vec<OwnedEventId>,
    /// Whether its last message has arrived.
    pub answered: bool,
    /// Whether the request was redacted, and everything said about it must go too.
    pub taken_back: bool,
    /// Whether the asker cannot learn the outcome in the room.
    pub unheard: bool,
    /// Whether its answer is to be posted if that soon becomes possible: it is in the room, but lost its power there.
    pub keeps_answer: bool,
}

/// Why a deed failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The homeserver is unavailable.
    Passing,
    /// We are not in the room, or may not do this there now.
    Closed,
    /// It would fail again.
    Lasting,
}

impl Owed {
    /// Returns what is owed where it could not be said that a run was stopped.
    #[must_use]
    pub(crate) fn of_stop(record: &RunRecord, text: Outgoing, now: Timestamp) -> Self {
        let deeds = Deed::of_stop(record, text).into_iter().collect();
        Self { deeds, ..Self::of(record, End::default(), now) }
    }

    /// Takes in what else the run owes, each deed once.
    pub(crate) fn join(&mut self, more: Self) {
        for deed in more.deeds {
            if !self.deeds.contains(&deed) {
                self.deeds.push(deed);
            }
        }
    }

    /// Returns what is owed for a run that ends now.
    #[must_use]
    pub(crate) fn of(record: &RunRecord, end: End, now: Timestamp) -> Self {
        let mut deeds = Vec::new();
        let status = match &record.status {
            Some(status) => Some(Shown::Event(status.clone())),
            None => record.status_begun.then_some(Shown::SentAs(Step::Status)),
        };
        if end.taken_back {
            let known = end.posted.into_iter().chain(record.streamed.clone()).map(Shown::Event);
            // A crash in the middle of the work may have lost that the answer was being sent.
            let begun = record.answer_begun.is_some() || record.crashes > 0;
            let unknown = begun && record.streamed.is_none() && !end.answered;
            let unknown = unknown.then_some(Shown::SentAs(Step::Answer));
            let stop = (record.stop_begun && !end.answered).then_some(Shown::SentAs(Step::Stopped));
            let mut gone: Vec<Shown> = Vec::new();
            let cards = end.cards.into_iter().map(|(shown, ..)| shown);
            for shown in known.chain(status).chain(unknown).chain(stop).chain(cards) {
                if !gone.contains(&shown) {
                    gone.push(shown);
                }
            }
            deeds.extend(gone.into_iter().map(Deed::TakeBack));
        } else {
            deeds.extend(end.record.map(|text| match status {
                Some(shown) => Deed::Edit { shown, step: Step::StatusEnd, text },
                None => Deed::Send { step: Step::StatusEnd, text },
            }));
            deeds.extend(end.cards.into_iter().map(|(shown, step, text)| Deed::Edit { shown, step, text }));
        }
        deeds.extend(end.reactions.into_iter().map(|reaction| Deed::TakeBack(Shown::Event(reaction))));
        if end.unheard
            && end.keeps_answer
            && let Some(answer) = &record.answer
        {
            let streamed = record.streamed.clone().map(|event| (event, record.edits + 1));
            deeds.push(Deed::Answer(Box::new(answer.clone()), streamed));
        }
        if end.unheard {
            deeds.push(Deed::TellElsewhere);
        }
        Self {
            run: record.id(),
            user: record.user.clone(),
            room: record.room.clone(),
            request: record.request.clone(),
            asker: record.asker.clone(),
            private: record.owner().is_some(),
            since: now,
            refused_since: None,
            deeds,
        }
    }

    /// Returns whether a deed that failed like this is retried.
    #[must_use]
    pub(crate) fn is_kept(&self, deed: &Deed, failure: Failure, now: Timestamp) -> bool {
        let is_doubted = || self.refused_since.is_none_or(|since| now.ms_since(since) < DOUBTED_MS);
        let kept_ms = if matches!(deed, Deed::Answer(..)) { ANSWER_KEPT_MS } else { KEPT_MS };
        now.ms_since(self.since) < kept_ms && (failure != Failure::Lasting || is_doubted())
    }

    /// Takes in that the run was taken up again, because a crash lost its end: what its next end owes anew is left out.
    /// Done now, the last edit of a status would use up its transaction id.
    pub(crate) fn resume(&mut self) {
        self.deeds.retain(|deed| matches!(deed, Deed::Edit { step: Step::Card(..), .. } | Deed::TakeBack(_)));
    }

    /// Takes in that the request is gone: what was to be posted or edited is redacted instead, as far as it may be there.
    pub(crate) fn take_back(&mut self) {
        let deeds = std::mem::take(&mut self.deeds).into_iter().filter_map(|deed| match deed {
            Deed::Edit { shown, .. } | Deed::TakeBack(shown) => Some(Deed::TakeBack(shown)),
            Deed::Send { step, .. } => Some(Deed::TakeBack(Shown::SentAs(step))),
            Deed::Answer(_, Some((event, _))) => Some(Deed::TakeBack(Shown::Event(event))),
            Deed::Answer(_, None) => Some(Deed::TakeBack(Shown::SentAs(Step::Answer))),
            Deed::TellElsewhere => None,
        });
        self.deeds = deeds.collect();
    }

    /// Returns whether an answer is still to be posted.
    #[must_use]
    pub(crate) fn has_answer(&self) -> bool {
        self.deeds.iter().any(|deed| matches!(deed, Deed::Answer(..)))
    }

    /// Returns the owner whose assistant owes it; `None` for a coworker.
    #[must_use]
    pub(crate) fn owner(&self) -> Option<&UserId> {
        self.private.then_some(&*self.asker)
    }

    /// Returns a run record with just enough to decide where it may write.
    #[must_use]
    pub(crate) fn of_run(&self) -> RunRecord {
        let place = super::event::Place::Timeline;
        let record = RunRecord::new(&self.user, &self.room, &self.request, &self.asker, place, self.since);
        RunRecord { private: self.private, ..record }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_event_id, room_id, user_id};

    use super::*;
    use crate::core::{
        event::{OutgoingKind, Place},
        run::{CardStep, Outcome},
    };

    const NOW: Timestamp = Timestamp::from_ms(1_000);

    fn record() -> RunRecord {
        let (user, asker) = (user_id!("@coworker-oncall:hs"), user_id!("@alice:hs"));
        RunRecord::new(user, room_id!("!r:hs"), event_id!("$ask"), asker, Place::Timeline, NOW)
    }

    fn text(body: &str) -> Outgoing {
        let (html, mentions, sources) = Default::default();
        Outgoing { kind: OutgoingKind::Notice, body: body.to_owned(), html, mentions, place: Place::Timeline, sources }
    }

    fn known(id: &str) -> Shown {
        Shown::Event(ruma::EventId::parse(id).expect("an id"))
    }

    #[test]
    fn c9_a_notice_ends_also_where_nobody_knows_whether_it_came() {
        let shown = RunRecord { status: Some(owned_event_id!("$status")), ..record() };
        let begun = RunRecord { status_begun: true, ..record() };
        let both = RunRecord { status_begun: true, ..shown.clone() };
        let edit = |shown| vec![Deed::Edit { shown, step: Step::StatusEnd, text: text("Done") }];
        let table = [
            (record(), true, vec![Deed::Send { step: Step::StatusEnd, text: text("Done") }]),
            (record(), false, vec![]),
            (shown, true, edit(known("$status"))),
            (begun, true, edit(Shown::SentAs(Step::Status))),
            (both, true, edit(known("$status"))),
        ];
        for (record, leaves, expected) in table {
            let end = End { record: leaves.then(|| text("Done")), ..End::default() };
            assert_eq!(Owed::of(&record, end, NOW).deeds, expected);
        }
    }

    #[test]
    fn c10_all_that_was_said_is_taken_back_once_also_what_may_have_come() {
        let record = RunRecord {
            streamed: Some(owned_event_id!("$answer")),
            status_begun: true,
            answer_begun: Some("digest".to_owned()),
            ..record()
        };
        let end = || End {
            posted: vec![owned_event_id!("$answer"), owned_event_id!("$card")],
            taken_back: true,
            record: Some(text("Stopped")),
            ..End::default()
        };
        let back = |shown: &[Shown]| shown.iter().cloned().map(Deed::TakeBack).collect::<Vec<_>>();
        let status = Shown::SentAs(Step::Status);
        let owed = Owed::of(&record, end(), NOW);
        assert_eq!(owed.deeds, back(&[known("$answer"), known("$card"), status.clone()]));
        let unknown = RunRecord { streamed: None, ..record };
        let card = Shown::SentAs(Step::Card(7, CardStep::Ask));
        let cards = vec![(card.clone(), Step::Card(7, CardStep::End), text("closed"))];
        let owed = Owed::of(&unknown, End { posted: vec![], cards, ..end() }, NOW);
        assert_eq!(owed.deeds, back(&[status, Shown::SentAs(Step::Answer), card]));
    }

    #[test]
    fn c10_c12_c19_cards_end_our_reactions_go_and_the_asker_is_told_elsewhere() {
        let end = End {
            cards: vec![(known("$card"), Step::StatusEnd, text("closed"))],
            reactions: vec![owned_event_id!("$yes")],
            unheard: true,
            ..End::default()
        };
        let card = Deed::Edit { shown: known("$card"), step: Step::StatusEnd, text: text("closed") };
        let reaction = Deed::TakeBack(known("$yes"));
        assert_eq!(Owed::of(&record(), end, NOW).deeds, [card, reaction, Deed::TellElsewhere]);
    }

    #[test]
    fn c19_an_answer_that_the_room_did_not_let_through_is_kept_where_it_may_be_posted_soon() {
        let answer = || Answer { message: text("42"), file: None, made: Vec::new(), outcome: Outcome::Done };
        let record = RunRecord { answer: Some(answer()), ..record() };
        let end = |unheard, keeps_answer| End { unheard, keeps_answer, ..End::default() };
        let kept = |record: &RunRecord, end| Owed::of(record, end, NOW).deeds;
        let whole = Deed::Answer(Box::new(answer()), None);
        assert_eq!(kept(&record, end(true, true)), [whole, Deed::TellElsewhere]);
        assert_eq!(kept(&record, end(true, false)), [Deed::TellElsewhere]);
        assert_eq!(kept(&record, end(false, true)), []);
        let streamed = RunRecord { streamed: Some(owned_event_id!("$streamed")), edits: 3, ..record };
        let edited = Deed::Answer(Box::new(answer()), Some((owned_event_id!("$streamed"), 4)));
        assert_eq!(kept(&streamed, end(true, true)), [edited, Deed::TellElsewhere]);
    }

    #[test]
    fn c9_a_run_that_is_taken_up_again_owes_its_end_when_that_comes() {
        let card = Step::Card(7, CardStep::End);
        let kept =
            [Deed::Edit { shown: known("$card"), step: card, text: text("closed") }, Deed::TakeBack(known("$yes"))];
        let again = [
            Deed::Edit { shown: known("$status"), step: Step::StatusEnd, text: text("Done") },
            Deed::Send { step: Step::Stopped, text: text("Stopped") },
            Deed::TellElsewhere,
        ];
        let mut owed = Owed::of(&record(), End::default(), NOW);
        owed.deeds = kept.iter().chain(&again).cloned().collect();
        owed.resume();
        assert_eq!(owed.deeds, kept);
    }

    #[test]
    fn c10_what_is_owed_to_a_request_that_is_gone_is_redacted_and_nothing_of_it_is_posted_any_more() {
        let answer = || Box::new(Answer { message: text("42"), file: None, made: Vec::new(), outcome: Outcome::Done });
        let status = Shown::SentAs(Step::Status);
        let mut owed = Owed::of(&record(), End::default(), NOW);
        owed.deeds = vec![
            Deed::Edit { shown: status.clone(), step: Step::StatusEnd, text: text("Done") },
            Deed::Send { step: Step::StatusEnd, text: text("Done") },
            Deed::Answer(answer(), None),
            Deed::Answer(answer(), Some((owned_event_id!("$streamed"), 4))),
            Deed::TellElsewhere,
            Deed::TakeBack(known("$card")),
        ];
        owed.take_back();
        let gone =
            [status, Shown::SentAs(Step::StatusEnd), Shown::SentAs(Step::Answer), known("$streamed"), known("$card")];
        assert_eq!(owed.deeds, gone.map(Deed::TakeBack));
    }

    #[test]
    fn what_is_owed_is_tried_for_a_week_and_what_is_refused_for_good_for_minutes() {
        let owed = Owed::of(&record(), End::default(), NOW);
        let at = |ms: u64| Timestamp::from_ms(NOW.as_ms() + i64::try_from(ms).expect("small"));
        for failure in [Failure::Passing, Failure::Closed] {
            let kept = |deed: &Deed, ms: u64| owed.is_kept(deed, failure, at(ms));
            assert!(kept(&Deed::TellElsewhere, KEPT_MS - 1) && !kept(&Deed::TellElsewhere, KEPT_MS), "{failure:?}");
            let answer = Answer { message: text("42"), file: None, made: Vec::new(), outcome: Outcome::Done };
            let answer = Deed::Answer(Box::new(answer), None);
            assert!(kept(&answer, ANSWER_KEPT_MS - 1) && !kept(&answer, ANSWER_KEPT_MS), "{failure:?}");
        }
        let refused = Owed { refused_since: Some(at(5)), ..owed.clone() };
        assert!(owed.is_kept(&Deed::TellElsewhere, Failure::Lasting, at(KEPT_MS - 1)), "the first refusal is doubted");
        assert!(
            refused.is_kept(&Deed::TellElsewhere, Failure::Lasting, at(DOUBTED_MS))
                && !refused.is_kept(&Deed::TellElsewhere, Failure::Lasting, at(DOUBTED_MS + 5))
        );
        assert!(owed.of_run().id() == owed.run && !owed.of_run().private);
    }
}
