//! Conditions that are not faults yet, or not ours: a wrong clock, and models that retire.

use crate::{
    appservice::health::{Condition, State},
    clock,
    core::{model, reach},
};

impl super::Engine {
    /// Compares this machine's clock with the times last told by the homeserver and the API.
    pub(super) fn look_at_clock(&self) {
        let told = reach::clock::told(self.api().clock_ahead_ms(), self.claude.clock_ahead_ms(), clock::now());
        // Updating the text every minute would fill the log.
        let is_told = matches!(self.health.get(Condition::Clock), State::Waiting(_));
        match told {
            None => self.health.set(Condition::Clock, State::Ready),
            Some(reason) if !is_told => self.health.set(Condition::Clock, State::Waiting(reason)),
            Some(_) => {}
        }
    }

    /// Reports which of these models retire soon; each comes with its users.
    pub(super) fn look_at_ends(&self, models: &[(String, Vec<String>)]) {
        let now = clock::now();
        let told = models.iter().filter_map(|(model, who)| {
            let facts = self.claude.facts(model);
            model::told_of_end(model, &who.join(", "), facts.ends.as_deref()?, now)
        });
        let told: Vec<String> = told.collect();
        let state = match told.split_first() {
            None => State::Ready,
            Some((first, more)) => {
                let (what, mend) = first.split_once('\n').unwrap_or((first, ""));
                let more = more.iter().filter_map(|told| told.lines().next());
                let all: Vec<&str> = std::iter::once(what).chain(more).collect();
                State::Waiting(format!("{}\n{mend}", all.join("; ")))
            }
        };
        self.health.set(Condition::ModelEnd, state);
    }
}
