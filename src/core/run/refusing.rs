//! What a run does when the model's provider refuses (C26): it asks the models that the config names besides, then finds
//! out what is to blame and asks without it. Only then is anybody told no.

use super::{Effect, Fault, Ready, Remark, Run, Stop, asking::Ending, phase::Phase};
use crate::core::{
    refused::{Breadth, Search, Suspect, Suspects, Verdict},
    time::Timestamp,
    words,
    work::{ModelTurn, TurnStop},
};

/// What an attempt knows of refusals.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Refusing {
    suspects: Suspects,
    fallbacks: usize,
    search: Option<Search>,
    /// Whether the model that is asked now is another one, which has not said anything yet.
    tries_another: bool,
    /// Whether all models were asked.
    asked_all: bool,
    /// Whether a turn was refused after something of it came.
    said: bool,
    /// Whether the turn that was refused had used the provider's own tools.
    looked_up: bool,
    /// What follows the answer.
    told: Option<fn() -> String>,
}

impl Refusing {
    pub(super) fn learn(&mut self, suspects: Suspects, fallbacks: usize) {
        (self.suspects, self.fallbacks) = (suspects, fallbacks);
    }

    /// The first model is known to refuse, and another one is asked at once.
    pub(super) fn begin_with_another(&mut self) {
        self.tries_another = true;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.tries_another || self.asked_all || self.search.is_some()
    }

    /// Returns whether it is only to be found out if the request is refused.
    pub(super) fn is_probing(&self) -> bool {
        self.search.as_ref().is_some_and(|search| !search.answers())
    }

    /// Returns whether a turn only tells that.
    pub(super) fn hears(&self, turn: &Result<ModelTurn, Fault>) -> bool {
        self.is_probing() && turn.is_ok()
    }

    /// What was answered was blocked.
    pub(super) fn filtered(&mut self) {
        self.said = true;
    }

    pub(super) fn note(&mut self, turn: &ModelTurn) {
        if turn.stop == TurnStop::Refused {
            self.said |= !turn.blocks.is_empty();
            self.looked_up = turn.looked_up();
        }
    }
}

impl Run {
    /// The loop has come to an end, which a refusal may yet put off.
    pub(super) fn ended(&mut self, ending: Ending, now: Timestamp) {
        match ending {
            Ok((_, Stop::Refused)) => self.refused(now),
            Ok((text, stop)) => {
                let told = self.refusing.told.take().map(|told| format!("{text}\n\n{}", told()));
                self.push(Effect::NoteTaken);
                self.conclude(Ok((told.unwrap_or(text), stop)));
            }
            Err(Fault::OverBudget(full)) => self.conclude(Err(Fault::OverBudget(full))),
            // One model less.
            Err(_) if self.refusing.tries_another => self.refused(now),
            Err(fault) => self.conclude(Err(fault)),
        }
    }

    /// A turn was taken: whatever was searched for is found.
    pub(super) fn taken(&mut self) {
        if self.record.work.rounds().is_empty() && self.refusing.search.is_none() {
            self.push(Effect::NoteWhoTook);
        }
        self.refusing.tries_another = false;
        let Some(mut search) = self.refusing.search.take() else { return };
        let Verdict::Blame(blamed) = search.accepted() else { return };
        self.refusing.told = Some(if search.is_alone() { words::answered_alone } else { words::answered_without });
        self.blame(blamed);
    }

    /// The provider refused the turn.
    fn refused(&mut self, now: Timestamp) {
        let mut is_back = false;
        if !self.refusing.asked_all {
            if self.record.fallback < self.refusing.fallbacks {
                return self.ask_another(self.record.fallback + 1);
            }
            self.refusing.asked_all = true;
            if self.record.fallback > 0 && self.record.work.rounds().is_empty() {
                // What is to blame is for the configured model to tell.
                self.record.fallback = 0;
                is_back = true;
            }
        }
        self.refusing.tries_another = false;
        if self.record.work.withhold(self.refusing.looked_up) {
            // What tools brought is new, and likelier to blame than what was accepted before they were called.
            self.push(Effect::Log(Remark::Searches));
            self.refusing.told = Some(words::answered_without_results);
            self.push(Effect::Journal);
            return if is_back { self.recompose(Breadth::default()) } else { self.work(now) };
        }
        let verdict = match &mut self.refusing.search {
            Some(search) => search.refused(),
            // What was accepted before is not to blame.
            None if !self.record.work.rounds().is_empty() => Verdict::Nothing(Vec::new()),
            None => {
                self.push(Effect::Log(Remark::Searches));
                let suspects = self.refusing.suspects.clone();
                let (search, verdict) = Search::begin(suspects, &self.record.user, !self.refusing.said);
                self.refusing.search = Some(search);
                verdict
            }
        };
        self.go_on_searching(verdict);
    }

    /// A request that only was to be refused or not has been.
    pub(super) fn probed(&mut self, is_refused: bool) {
        let is_worn_out = self.record.work.is_worn_out(&self.rules.terms(&self.tools, &self.shelf));
        let Some(search) = &mut self.refusing.search else { return };
        if is_worn_out {
            search.hurry();
        }
        let verdict = if is_refused { search.refused() } else { search.accepted() };
        self.go_on_searching(verdict);
    }

    fn go_on_searching(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Try(breadth) => self.recompose(breadth),
            Verdict::Request => {
                let request = self.refusing.suspects.request.clone();
                self.blame(request.into_iter().collect());
                self.give_in();
            }
            Verdict::Blame(blamed) | Verdict::Nothing(blamed) => {
                self.blame(blamed);
                self.give_in();
            }
        }
    }

    fn give_in(&mut self) {
        self.refusing.told = None;
        self.conclude(Ok((String::new(), Stop::Refused)));
    }

    fn blame(&mut self, blamed: Vec<Suspect>) {
        if blamed.is_empty() {
            return;
        }
        self.push(Effect::Log(Remark::LeavesOut(blamed.len())));
        self.record.used.left_out =
            self.record.used.left_out.saturating_add(u32::try_from(blamed.len()).unwrap_or(u32::MAX));
        let category = self.record.used.refused.clone();
        self.push(Effect::NoteRefused(blamed, category));
    }

    /// Asks another model the same.
    fn ask_another(&mut self, which: usize) {
        self.push(Effect::Log(Remark::AsksAnother));
        self.record.fallback = which;
        self.refusing.tries_another = true;
        // Thinking is tied to the model that thought.
        self.record.work.strip_thinking();
        self.push(Effect::Journal);
        self.recompose(Breadth::default());
    }

    fn recompose(&mut self, breadth: Breadth) {
        self.phase = Phase::Recomposing;
        self.push(Effect::Compose(breadth));
    }

    pub(super) fn recomposed(&mut self, composed: Option<Ready>, now: Timestamp) {
        match composed {
            Some(ready) => {
                self.shelf = ready.shelf;
                if ready.begun_anew {
                    self.record.work.begin_anew();
                }
                self.work(now);
            }
            // Nobody is left who could ask.
            None => self.conclude(Ok((String::new(), Stop::Refused))),
        }
    }
}
