//! Watches the Messages API with its key and models. The homeserver and the MCP servers have their own watchers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Model;
use crate::{
    appservice::health::{Condition, State},
    claude::{Cause, Error, Looked, error::Wait},
    clock,
    config::Config,
    core::model,
    engine::foreseen::look_at_clock,
};

/// How often the Messages API is asked while all is well; the question costs nothing.
const ASK_EVERY: Duration = Duration::from_mins(1);
/// Every this many rounds, the models that only some coworkers use are asked for as well.
const ALL_EVERY: u32 = 10;
/// How often it is asked while something is wrong.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Signs of trouble within this time lead to one look.
const SIGNS_TOGETHER: Duration = Duration::from_secs(1);
/// How long a trouble that only requests meet is believed, unless a request is answered earlier; nothing else shows its
/// end.
const MET_KNOWN: Duration = Duration::from_mins(30);
/// Most models asked for in a round; coworkers may name many.
const MODELS_MAX: usize = 20;
/// Most troubles kept that requests met.
const MET_MAX: usize = 64;

/// Replaces the model of a trouble that a look met, and not a request.
const BY_LOOKING: &str = "";

/// Troubles that requests met and that a look cannot see.
#[derive(Default)]
pub(in crate::engine) struct Met(Mutex<Vec<Trouble>>);

/// A trouble that a request met.
struct Trouble {
    condition: Condition,
    model: String,
    at: Instant,
    reason: String,
}

impl Met {
    fn lock(&self) -> MutexGuard<'_, Vec<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, trouble: Trouble) {
        let mut all = self.lock();
        all.retain(|one| (one.condition, &one.model) != (trouble.condition, &trouble.model));
        if all.len() < MET_MAX {
            all.push(trouble);
        }
    }

    /// Clears troubles after an answer: all but missing other models. Returns whether this model was noted as missing.
    fn answered(&self, model: &str) -> bool {
        let mut all = self.lock();
        let of_models = all.iter().filter(|one| one.condition == Condition::ClaudeModel).count();
        all.retain(|one| one.condition == Condition::ClaudeModel && one.model != model);
        all.len() < of_models
    }

    /// Clears the trouble with the account that an earlier look met, because a look no longer meets it.
    fn is_payable_again(&self) {
        self.lock().retain(|one| one.condition != Condition::ClaudeCredit || one.model != BY_LOOKING);
    }

    fn is_over(&self, condition: Condition) {
        self.lock().retain(|one| one.condition != condition);
    }

    /// Returns why a condition is not met, if a trouble still stands.
    fn standing(&self, condition: Condition, now: Instant) -> Option<String> {
        let mut all = self.lock();
        all.retain(|one| now.saturating_duration_since(one.at) < MET_KNOWN);
        all.iter().rev().find(|one| one.condition == condition).map(|one| one.reason.clone())
    }
}

/// Asks for the models until Workmate stops, which also tests the key.
pub(in crate::engine) async fn keep_watch_of_claude(watched: Arc<Model>) {
    let mut round = 0_u32;
    loop {
        let conditions = [Condition::ClaudeKey, Condition::ClaudeModel, Condition::ClaudeCredit, Condition::Claude];
        let is_well = || conditions.iter().all(|condition| watched.runtime.health.get(*condition) == State::Ready);
        watched.look_at_claude(!is_well() || round.is_multiple_of(ALL_EVERY)).await;
        round = round.wrapping_add(1);
        tokio::select! {
            () = watched.runtime.stop.cancelled() => return,
            () = tokio::time::sleep(if is_well() { ASK_EVERY } else { ASK_AGAIN }) => {}
            () = watched.trouble.notified() => {
                tokio::select! {
                    () = watched.runtime.stop.cancelled() => return,
                    () = tokio::time::sleep(SIGNS_TOGETHER) => {}
                }
            }
        }
    }
}

impl Model {
    /// Notes that a model answered.
    pub(in crate::engine) fn note_model_answers(&self, model: &str) {
        let was_missed = self.met.answered(model);
        for condition in [Condition::ClaudeKey, Condition::ClaudeCredit, Condition::Claude] {
            self.runtime.health.set(condition, State::Ready);
        }
        if was_missed {
            // A look shows whether the other models are there, too.
            self.trouble.notify_one();
        }
    }

    /// Notes a request's failure, if its cause is not in the request itself.
    pub(in crate::engine) fn note_failure(&self, model: &str, error: &Error) {
        let Some(condition) = concerns(&error.cause) else { return };
        let reason = match condition {
            Condition::ClaudeCredit => no_credit(error),
            _ => error.told(),
        };
        self.runtime.health.set(condition, State::Waiting(reason.clone()));
        self.met.note(Trouble { condition, model: model.to_owned(), at: Instant::now(), reason });
        self.trouble.notify_one();
    }

    async fn look_at_claude(&self, all: bool) {
        self.show_credit();
        if !self.runtime.config().claude.has_credentials() {
            self.runtime.health.set(Condition::ClaudeKey, State::Waiting(NO_KEY.to_owned()));
            for condition in [Condition::ClaudeModel, Condition::Claude] {
                self.runtime.health.set(condition, State::Ready);
            }
            return;
        }
        let (mut missing, mut is_key_taken) = (Vec::new(), false);
        let main = &self.runtime.config().claude.model;
        let models = models_of(&self.runtime.config());
        for (model, who) in models.iter().filter(|(model, _)| all || model == main) {
            let look = look_of(&self.claude.look(model).await);
            look_at_clock(&self.runtime, &self.claude);
            if !matches!(look, Look::CannotPay(_)) {
                self.met.is_payable_again();
                self.show_credit();
            }
            match look {
                Look::Fine => is_key_taken = true,
                Look::CannotPay(reason) => {
                    let (condition, model) = (Condition::ClaudeCredit, BY_LOOKING.to_owned());
                    self.met.note(Trouble { condition, model, at: Instant::now(), reason });
                    self.show_credit();
                    self.runtime.health.set(Condition::Claude, State::Ready);
                    self.settle_what_is_not_known();
                    return;
                }
                Look::KeyRefused(reason) => {
                    self.runtime.health.set(Condition::ClaudeKey, State::Waiting(reason));
                    self.runtime.health.set(Condition::Claude, State::Ready);
                    return;
                }
                Look::NoModel => missing.push(format!("{model} ({})", who.join(", "))),
                Look::Unreachable(reason) => {
                    self.runtime.health.set(Condition::Claude, State::Waiting(reason));
                    self.settle_what_is_not_known();
                    return;
                }
                Look::NotTold => {}
            }
        }
        self.look_at_ends(&models);
        let now = Instant::now();
        // A trouble at the request's own address is over once that address answers as it should.
        if self.met.standing(Condition::Claude, now).is_some() {
            if let Look::Unreachable(reason) = look_of(&self.claude.knock(main).await) {
                self.runtime.health.set(Condition::Claude, State::Waiting(reason));
                return;
            }
            self.met.is_over(Condition::Claude);
        }
        self.runtime.health.set(Condition::Claude, State::Ready);
        match self.met.standing(Condition::ClaudeKey, now) {
            Some(reason) => self.runtime.health.set(Condition::ClaudeKey, State::Waiting(reason)),
            None if is_key_taken => self.runtime.health.set(Condition::ClaudeKey, State::Ready),
            None => {}
        }
        let model = if missing.is_empty() {
            self.met.standing(Condition::ClaudeModel, now)
        } else {
            Some(format!(
                "the Messages API has no model {}\n  Requests to them fail.\n  Mend: set an existing model id where it is named, \
                 in claude.model, assistants.model or the coworker's file; ids carry no date suffix since 4.6",
                missing.join(", nor ")
            ))
        };
        self.runtime.health.set(Condition::ClaudeModel, model.map_or(State::Ready, State::Waiting));
        self.settle_what_is_not_known();
    }

    /// Reports which of these models retire soon; each comes with its users.
    pub(in crate::engine) fn look_at_ends(&self, models: &[(String, Vec<String>)]) {
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
        self.runtime.health.set(Condition::ModelEnd, state);
    }

    fn show_credit(&self) {
        let credit = self.met.standing(Condition::ClaudeCredit, Instant::now());
        self.runtime.health.set(Condition::ClaudeCredit, credit.map_or(State::Ready, State::Waiting));
    }

    /// A condition that could not be tested counts as met, unless something says otherwise.
    fn settle_what_is_not_known(&self) {
        for condition in [Condition::ClaudeKey, Condition::ClaudeModel] {
            if matches!(self.runtime.health.get(condition), State::Pending(_)) {
                self.runtime.health.set(condition, State::Ready);
            }
        }
    }
}

/// Returns the condition that a failed request is about.
fn concerns(cause: &Cause) -> Option<Condition> {
    match cause {
        Cause::MissingKey | Cause::UnusableKey | Cause::KeyRefused { .. } => Some(Condition::ClaudeKey),
        Cause::Billing { .. } => Some(Condition::ClaudeCredit),
        Cause::ModelNotFound { .. } => Some(Condition::ClaudeModel),
        Cause::Connect { .. }
        | Cause::Timeout { wait: Wait::Connect | Wait::Headers, .. }
        | Cause::UnusableBaseUrl
        | Cause::Setup { .. }
        | Cause::Page { .. }
        | Cause::Protocol { .. }
        | Cause::Server { .. }
        | Cause::InvalidRequest { status: 404 | 405, .. } => Some(Condition::Claude),
        Cause::TooLarge { .. }
        | Cause::InvalidRequest { .. }
        | Cause::Unsendable(_)
        | Cause::RateLimited { .. }
        | Cause::Overloaded
        | Cause::Timeout { .. }
        | Cause::BrokenStream(_) => None,
    }
}

/// The reason if no key is set; without a final full stop, as all reasons are.
pub(crate) const NO_KEY: &str = "no key is set\n  Every request is answered with a message that Workmate can't reach the model.\n  Mend: set \
                      claude.api_key_file, or ANTHROPIC_API_KEY in the environment of `workmate serve`";

/// Returns the reason that the account cannot pay or may not be used, quoting the provider.
fn no_credit(error: &Error) -> String {
    let told = error.told();
    let what = told.split_once("\n  Mend: ").map_or(told.as_str(), |(what, _)| what);
    format!(
        "{what}\n  Every request fails until the account can pay and may be used again.\n  Mend: see to the credit, the spend \
         limits and the state of the organisation in the provider's console; the next answer, or half an hour without \
         requests, clears this"
    )
}

/// What a look at a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    /// The key is accepted, and the model exists.
    Fine,
    KeyRefused(String),
    NoModel,
    /// The account cannot pay, or may not be used.
    CannotPay(String),
    Unreachable(String),
    /// Nothing: a gateway without that question, or a busy server.
    NotTold,
}

fn look_of(look: &Result<Looked, Error>) -> Look {
    let error = match look {
        Ok(Looked::Model(facts)) if facts.is_retired => return Look::NoModel,
        Ok(Looked::Model(_)) => return Look::Fine,
        Ok(Looked::Unknown) => return Look::NotTold,
        Err(error) => error,
    };
    match &error.cause {
        // A key may be forbidden to look at models and still answer requests (403).
        Cause::KeyRefused { status: 401, .. } | Cause::UnusableKey | Cause::MissingKey => {
            Look::KeyRefused(error.told())
        }
        Cause::ModelNotFound { .. } => Look::NoModel,
        Cause::Billing { .. } => Look::CannotPay(no_credit(error)),
        Cause::Connect { .. }
        | Cause::Timeout { .. }
        | Cause::Setup { .. }
        | Cause::UnusableBaseUrl
        | Cause::Page { .. }
        | Cause::Protocol { .. }
        | Cause::InvalidRequest { status: 404 | 405, .. } => Look::Unreachable(error.told()),
        // An error without the API's own words comes from a proxy.
        Cause::Server { said, .. } if said.as_str().is_empty() => Look::Unreachable(error.told()),
        _ => Look::NotTold,
    }
}

/// Returns the models that the configuration names, each with its users; the default model comes first.
pub(crate) fn models_of(config: &Config) -> Vec<(String, Vec<String>)> {
    let mut models: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    models.entry(&config.claude.model).or_default().insert("claude.model".to_owned());
    if let Some(model) = config.assistants.model.as_deref().filter(|_| config.assistants.enabled) {
        models.entry(model).or_default().insert("assistants.model".to_owned());
    }
    for coworker in &config.coworkers {
        if let Some(model) = &coworker.model {
            models.entry(model).or_default().insert(coworker.id.0.clone());
        }
    }
    for model in &config.claude.fallback_models {
        models.entry(model).or_default().insert("claude.fallback_models".to_owned());
    }
    let main = models.remove_entry(config.claude.model.as_str());
    let all = main.into_iter().chain(models).map(|(model, who)| (model.to_owned(), who.into_iter().collect()));
    all.take(MODELS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::error::{Phase, Quoted, Wait};

    #[test]
    fn what_a_failed_question_for_a_model_says_and_what_it_does_not() {
        let said = Quoted::default;
        for (cause, expected) in [
            (Cause::KeyRefused { status: 401, said: said() }, "key"),
            (Cause::KeyRefused { status: 403, said: said() }, "nothing"),
            (Cause::ModelNotFound { model: "x".to_owned(), said: said() }, "model"),
            (Cause::Connect { reason: String::new() }, "host"),
            (Cause::Timeout { wait: Wait::Connect, limit: ASK_EVERY }, "host"),
            (Cause::Overloaded, "nothing"),
            (Cause::Server { status: 500, said: Quoted::new("Internal server error", None) }, "nothing"),
            (Cause::Server { status: 502, said: said() }, "host"),
            (Cause::RateLimited { retry_after: None, said: said() }, "nothing"),
            (Cause::Billing { said: said() }, "credit"),
            (Cause::InvalidRequest { status: 404, code: None, said: said() }, "host"),
            (Cause::Page { status: 200, what: "text/html".to_owned() }, "host"),
            (Cause::Protocol { status: 404, what: "text/html".to_owned() }, "host"),
            (Cause::Protocol { status: 301, what: "a redirect".to_owned() }, "host"),
        ] {
            let error = Error { cause, phase: Phase::BeforeAnswer, base_url: String::new(), request_id: None };
            let text = error.to_string();
            let found = match look_of(&Err(error)) {
                Look::Fine => "fine",
                Look::KeyRefused(_) => "key",
                Look::NoModel => "model",
                Look::CannotPay(_) => "credit",
                Look::Unreachable(_) => "host",
                Look::NotTold => "nothing",
            };
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(look_of(&Ok(Looked::Unknown)), Look::NotTold);
    }

    #[test]
    fn op1_what_requests_met_stands_until_an_answer_of_that_model_or_half_an_hour_has_passed() {
        let (met, at) = (Met::default(), Instant::now());
        let trouble =
            |condition, model: &str| Trouble { condition, model: model.to_owned(), at, reason: model.to_owned() };
        for model in ["a", "b"] {
            met.note(trouble(Condition::ClaudeModel, model));
        }
        for condition in [Condition::ClaudeCredit, Condition::Claude] {
            met.note(trouble(condition, "a"));
        }
        let of = |condition, later| met.standing(condition, at + later);
        assert_eq!(of(Condition::ClaudeModel, Duration::ZERO).as_deref(), Some("b"));
        assert!(of(Condition::ClaudeCredit, Duration::ZERO).is_some());
        met.answered("b");
        assert_eq!(of(Condition::ClaudeModel, Duration::ZERO).as_deref(), Some("a"));
        assert_eq!([Condition::ClaudeCredit, Condition::Claude].map(|one| of(one, Duration::ZERO)), [None, None]);
        assert_eq!(of(Condition::ClaudeModel, MET_KNOWN), None);
    }
}
