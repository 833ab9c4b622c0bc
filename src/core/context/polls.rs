//! Polls (MSC3381): their questions, votes and results.
//!
//! Votes become records where they were cast, so that they change no earlier text. The count follows the poll's end.
//! For each sender the newest vote before it counts, by the sender's server's time, with its first `max_selections`
//! answers. If one of those is unknown, the whole vote is spoiled.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{EventId, UserId};
use serde::Serialize;

use super::{escaped, tokens};
use crate::core::{
    event::{Poll, RoomEvent},
    time::Timestamp,
};

/// The length at which an answer is cut, in characters.
const ANSWER_CHARS_MAX: usize = 100;
/// The length at which an answer in a vote or count is cut, in characters.
const CHOICE_CHARS_MAX: usize = 40;
/// The shortest length to which answers are cut, in characters.
const ANSWER_CHARS_MIN: usize = 8;
/// Most tokens of one record of votes; further votes are only counted.
const VOTES_TOKENS_MAX: u32 = 400;

/// A poll in its record's form.
#[derive(Clone, Serialize)]
pub(super) struct Shape<'a> {
    answers: Vec<&'a str>,
    choose_at_most: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<&'static str>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(poll: &'a Poll) -> Self {
        Self {
            answers: poll.answers.iter().map(|answer| escaped::first_chars(&answer.text, ANSWER_CHARS_MAX)).collect(),
            choose_at_most: poll.selections_max.min(poll.answers.len()),
            votes: (!poll.disclosed).then_some("hidden until it ends"),
        }
    }

    /// Shortens the longer answers further.
    pub(super) fn shrink(&mut self) {
        let longest = self.answers.iter().map(|answer| answer.chars().count()).max().unwrap_or_default();
        let most = (longest * 3 / 4).max(ANSWER_CHARS_MIN);
        self.answers.iter_mut().for_each(|answer| *answer = escaped::first_chars(answer, most));
    }
}

/// The polls of a timeline while it is read.
#[derive(Default)]
pub(super) struct Polls<'a> {
    known: BTreeMap<&'a EventId, Known<'a>>,
    /// Polls with votes since the last news, in the order of their first vote.
    voted: Vec<&'a EventId>,
}

struct Known<'a> {
    author: &'a UserId,
    poll: &'a Poll,
    votes: BTreeMap<&'a UserId, Vote<'a>>,
    /// Voters since the last news.
    voters: BTreeSet<&'a UserId>,
    ended: bool,
}

struct Vote<'a> {
    at: (Timestamp, &'a EventId),
    /// The chosen answers; empty if the vote is spoiled.
    choices: Vec<&'a str>,
}

impl<'a> Polls<'a> {
    pub(super) fn start(&mut self, id: &'a EventId, author: &'a UserId, poll: &'a Poll) {
        let known = Known { author, poll, votes: BTreeMap::new(), voters: BTreeSet::new(), ended: false };
        self.known.entry(id).or_insert(known);
    }

    /// Counts a vote in a known poll that is still open.
    pub(super) fn vote(&mut self, event: &'a RoomEvent, target: &'a EventId, answers: &[String]) {
        let Some(known) = self.known.get_mut(target).filter(|known| !known.ended) else { return };
        let vote = Vote { at: (event.sent_at, &event.id), choices: choices(known.poll, answers) };
        if known.votes.get(&*event.sender).is_some_and(|newest| newest.at > vote.at) {
            return;
        }
        known.votes.insert(&event.sender, vote);
        if known.poll.disclosed {
            known.voters.insert(&event.sender);
            if !self.voted.contains(&target) {
                self.voted.push(target);
            }
        }
    }

    /// Ends a poll and returns its count; only its author can end it.
    pub(super) fn end(&mut self, event: &RoomEvent, target: &'a EventId) -> Option<String> {
        let known = self.known.get_mut(target).filter(|known| !known.ended && known.author == event.sender)?;
        known.ended = true;
        let in_time = known.votes.values().filter(|vote| vote.at.0 <= event.sent_at && !vote.choices.is_empty());
        let in_time: Vec<&Vote<'_>> = in_time.collect();
        let counted = known.poll.answers.iter().map(|answer| Counted {
            answer: escaped::first_chars(&answer.text, CHOICE_CHARS_MAX),
            votes: in_time.iter().filter(|vote| vote.choices.contains(&answer.id.as_str())).count(),
        });
        let result = counted.collect();
        Some(escaped::line(&Count { poll_ended: target, result, voters: in_time.len() }))
    }

    /// Returns a record for each poll with votes since the last call.
    pub(super) fn news(&mut self) -> Vec<(&'a EventId, String)> {
        let voted = std::mem::take(&mut self.voted);
        let news = voted.into_iter().filter_map(|target| Some((target, self.known.get_mut(target)?.news(target))));
        news.collect()
    }
}

impl Known<'_> {
    fn news(&mut self, target: &EventId) -> String {
        let voters = std::mem::take(&mut self.voters);
        let (mut votes, mut tokens, mut more) = (Vec::new(), 0, 0);
        for user in voters {
            let Some(vote) = self.votes.get(user) else { continue };
            let texts = self.poll.answers.iter().filter(|answer| vote.choices.contains(&answer.id.as_str()));
            let answers = texts.map(|answer| escaped::first_chars(&answer.text, CHOICE_CHARS_MAX)).collect();
            let given = Given { user, answers };
            tokens += tokens::estimate(&escaped::line(&given));
            if tokens <= VOTES_TOKENS_MAX {
                votes.push(given);
            } else {
                more += 1;
            }
        }
        escaped::line(&News { votes, more, to: target })
    }
}

/// Returns the ids of the answers that a vote chooses; empty if it is spoiled.
fn choices<'a>(poll: &'a Poll, answers: &[String]) -> Vec<&'a str> {
    let chosen = answers.iter().take(poll.selections_max);
    let known = chosen.map(|id| poll.answers.iter().find(|answer| answer.id == *id).map(|answer| answer.id.as_str()));
    known.collect::<Option<Vec<_>>>().unwrap_or_default()
}

#[derive(Serialize)]
struct News<'a> {
    votes: Vec<Given<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    to: &'a EventId,
}

#[derive(Serialize)]
struct Given<'a> {
    user: &'a UserId,
    /// Empty if the vote was taken back or is invalid.
    answers: Vec<&'a str>,
}

#[derive(Serialize)]
struct Count<'a> {
    poll_ended: &'a EventId,
    result: Vec<Counted<'a>>,
    voters: usize,
}

#[derive(Serialize)]
struct Counted<'a> {
    answer: &'a str,
    votes: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
