//! The search for what is to blame, when a request was refused with everything around it.
//!
//! Refused requests cost nothing, and accepted ones next to nothing if hardly anything may be answered. So it is asked
//! by halves: with one half of what is suspected, whether that alone is refused. What was accepted together with the
//! request is innocent, and stays in the prompt. The number of requests is bounded; where it runs out, what is still
//! suspected is left out together.
//!
//! If the model refused only after it had begun to answer, a request that may answer nothing proves nothing. Then only
//! two are made, each with the whole answer: without what is new, and without anything.

use super::{BLAMED_MAX, Part, Suspect, Suspects, sieve::Breadth};
use ruma::UserId;

/// Most requests that a search makes after the refused one, the answered one included.
pub(crate) const TRIES_MAX: u32 = 10;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ask the request with this much.
    Try(Breadth),
    /// These are to blame. The last request was answered without them.
    Blame(Vec<Suspect>),
    /// The request itself is to blame: it was refused without anything around it.
    Request,
    /// It cannot be found out; these are to blame at least.
    Nothing(Vec<Suspect>),
}

/// What the current request is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Whether something new is to blame: it is asked with the old.
    Old,
    /// Whether the request itself is: it is asked with nothing.
    Alone,
    /// Which half of the suspected is: it is asked with the first.
    Half,
    /// The answer, with what is innocent.
    Last,
}

/// A search; parts are named by their index.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    parts: Vec<Suspect>,
    /// Whether the refusal came before any answer.
    is_fine: bool,
    /// The index of the first one that is new.
    fresh: usize,
    stage: Stage,
    /// At least one of them is to blame.
    suspected: Vec<usize>,
    /// Nothing is known of them.
    unknown: Vec<usize>,
    innocent: Vec<usize>,
    guilty: Vec<usize>,
    tries: u32,
    /// Whether the current request is to be answered.
    answers: bool,
    /// Whether it lacks hardly anything, with a mark for each.
    marks: bool,
}

impl Search {
    /// Begins; `me` is who answers, and `is_fine` says that the refusal came before any answer.
    pub(crate) fn begin(suspects: Suspects, me: &UserId, is_fine: bool) -> (Self, Verdict) {
        let mut fresh = suspects.parts.len().saturating_sub(suspects.newest);
        let mut parts = suspects.parts;
        if !is_fine {
            // Without the means to tell them apart, only what others said is left out.
            let others =
                |one: &Suspect| matches!(one.part, Part::Event(_)) && one.by.as_deref().is_some_and(|by| by != me);
            fresh = parts[..fresh].iter().filter(|one| others(one)).count();
            parts.retain(others);
        }
        let stage = if fresh > 0 && fresh < parts.len() { Stage::Old } else { Stage::Alone };
        let all = (0..parts.len()).collect();
        let mut search = Self {
            parts,
            is_fine,
            fresh,
            stage,
            suspected: all,
            unknown: Vec::new(),
            innocent: Vec::new(),
            guilty: Vec::new(),
            tries: TRIES_MAX,
            answers: false,
            marks: false,
        };
        let verdict = if search.parts.is_empty() { Verdict::Request } else { search.plan() };
        (search, verdict)
    }

    /// Returns whether the current request is to be answered, not only to be refused or accepted.
    pub(crate) fn answers(&self) -> bool {
        self.answers
    }

    /// Returns whether the current request has not even what is innocent, for want of time to tell.
    pub(crate) fn is_alone(&self) -> bool {
        !self.marks
    }

    /// Allows one more request at the most.
    pub(crate) fn hurry(&mut self) {
        self.tries = self.tries.min(1);
    }

    /// The current request was accepted.
    pub(crate) fn accepted(&mut self) -> Verdict {
        match self.stage {
            Stage::Old => {
                self.innocent = (0..self.fresh).collect();
                self.suspected = (self.fresh..self.parts.len()).collect();
                self.stage = Stage::Half;
            }
            Stage::Alone => self.stage = Stage::Half,
            Stage::Half => {
                let (tested, rest) = self.halves();
                self.innocent.extend(tested);
                self.suspected = rest;
            }
            Stage::Last => {}
        }
        if self.answers { Verdict::Blame(self.blamed()) } else { self.plan() }
    }

    /// The current request was refused.
    pub(crate) fn refused(&mut self) -> Verdict {
        match self.stage {
            Stage::Old => {
                // Something old is to blame, or the request; of the new nothing is known.
                self.unknown = (self.fresh..self.parts.len()).collect();
                self.suspected = (0..self.fresh).collect();
                self.stage = Stage::Alone;
            }
            Stage::Alone => return Verdict::Request,
            Stage::Half if self.suspected.len() > 1 => {
                let (tested, rest) = self.halves();
                self.unknown.extend(rest);
                self.suspected = tested;
            }
            // Without this one it is refused too: there is another among the unknown.
            Stage::Half if !self.unknown.is_empty() => {
                self.guilty.append(&mut self.suspected);
                self.suspected = std::mem::take(&mut self.unknown);
                self.suspected.sort_unstable();
            }
            Stage::Half | Stage::Last => return Verdict::Nothing(self.blamed()),
        }
        self.plan()
    }

    /// Plans the next request.
    fn plan(&mut self) -> Verdict {
        if self.tries == 1 {
            self.stage = match self.stage {
                Stage::Old => Stage::Alone,
                Stage::Half => Stage::Last,
                stage => stage,
            };
        }
        if self.tries == 0 {
            return Verdict::Nothing(self.blamed());
        }
        self.tries -= 1;
        let included: Vec<usize> = match self.stage {
            Stage::Old => (0..self.fresh).collect(),
            Stage::Alone => Vec::new(),
            Stage::Half if self.suspected.len() == 1 => [&self.innocent[..], &self.unknown].concat(),
            Stage::Half => [self.innocent.clone(), self.halves().0].concat(),
            Stage::Last => self.innocent.clone(),
        };
        let without: Vec<usize> = (0..self.parts.len()).filter(|at| !included.contains(at)).collect();
        // Where no more than one is left out, or nothing more can be told apart, the request may as well be answered.
        let is_narrow = without.len() == self.guilty.len() + 1;
        self.answers = !self.is_fine || is_narrow || self.tries == 0;
        self.marks = self.answers && (is_narrow || matches!(self.stage, Stage::Old | Stage::Half));
        Verdict::Try(Breadth {
            without: without.iter().map(|at| self.parts[*at].part.clone()).collect(),
            marks: self.marks,
            probes: !self.answers,
        })
    }

    fn halves(&self) -> (Vec<usize>, Vec<usize>) {
        let (tested, rest) = self.suspected.split_at(self.suspected.len() / 2);
        (tested.to_vec(), rest.to_vec())
    }

    /// Returns what is to blame by what is known, newest first where that is too much.
    fn blamed(&self) -> Vec<Suspect> {
        // What was found to be to blame does; the next request finds the next one.
        let are_open = self.suspected.len() > 1 && !self.guilty.is_empty();
        let newest = self.suspected.iter().rev().take(if are_open { 0 } else { BLAMED_MAX }).rev();
        self.guilty.iter().chain(newest).map(|at| self.parts[*at].clone()).collect()
    }
}
