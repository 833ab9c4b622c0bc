//! What else Workmate cannot work without, looked at again and again: the Messages API with its key and models, and the
//! MCP servers. The homeserver has a watcher of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::Shared;
use crate::{
    appservice::health::{Condition, State},
    claude::{Cause, Error, Looked},
    config::Config,
    core::run::Fault,
};

/// How often the Messages API is asked while all is well; the question costs nothing.
const ASK_EVERY: Duration = Duration::from_mins(10);
/// How often while something is wrong.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Nothing says that an account can pay again but an answer. Where nobody has asked for this long, nothing is known.
const CREDIT_KNOWN: Duration = Duration::from_mins(30);
/// Models that are asked for in a round; coworkers may name many.
const MODELS_MAX: usize = 20;

/// When a request was last refused because the account cannot pay.
pub(super) type Unpaid = std::sync::Mutex<Option<Instant>>;

/// Asks for the models until Workmate stops, which shows whether the key is taken, too.
pub(super) async fn keep_watch_of_claude(engine: Shared) {
    loop {
        engine.look_at_claude().await;
        let conditions = [Condition::ClaudeKey, Condition::ClaudeModel, Condition::ClaudeCredit, Condition::Claude];
        let is_well = conditions.iter().all(|condition| engine.health.get(*condition) == State::Ready);
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(if is_well { ASK_EVERY } else { ASK_AGAIN }) => {}
            // What a request met is said already: it is looked at again in a while.
            () = engine.claude_trouble.notified() => {
                tokio::select! {
                    () = engine.stop.cancelled() => return,
                    () = tokio::time::sleep(ASK_AGAIN) => {}
                }
            }
        }
    }
}

/// Shows which MCP servers are down until Workmate stops.
pub(super) async fn keep_watch_of_servers(engine: Shared) {
    let mut changed = engine.tools.changed();
    loop {
        changed.borrow_and_update();
        let down = engine.tools.troubles();
        let is_starting = Instant::now() < engine.servers_due;
        let state = if down.is_empty() {
            State::Ready
        } else if is_starting && down.iter().all(|(_, trouble)| trouble.is_none()) {
            State::Pending(format!("{} of them start", down.len()))
        } else {
            let each = down.iter().map(|(server, trouble)| {
                format!("{server}: {}", trouble.as_deref().unwrap_or("it does not start or answer in time"))
            });
            let each: Vec<String> = each.collect();
            State::Waiting(format!(
                "{}\n  Their tools fail meanwhile.\n  Mend: run the server's command by hand as the user of workmate; it is \
                 started again by itself",
                each.join("; ")
            ))
        };
        engine.health.set(Condition::McpServers, state);
        tokio::select! {
            () = engine.stop.cancelled() => return,
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(engine.servers_due), if is_starting => {}
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
    }
}

impl super::Engine {
    /// Notes what a request met, as far as it tells of the key or the account.
    pub(super) fn note_reply(&self, fault: Option<Fault>) {
        match fault {
            None => {
                for condition in [Condition::ClaudeKey, Condition::ClaudeCredit, Condition::Claude] {
                    self.health.set(condition, State::Ready);
                }
            }
            Some(Fault::KeyMissing | Fault::KeyRefused) => {
                self.health.set(Condition::ClaudeKey, State::Waiting(KEY_REFUSED.to_owned()));
                self.claude_trouble.notify_one();
            }
            Some(Fault::AccountExhausted) => {
                *self.unpaid.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
                self.health.set(Condition::ClaudeCredit, State::Waiting(NO_CREDIT.to_owned()));
                self.claude_trouble.notify_one();
            }
            Some(_) => {}
        }
    }

    async fn look_at_claude(&self) {
        let unpaid = *self.unpaid.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if unpaid.is_some_and(|at| at.elapsed() >= CREDIT_KNOWN) {
            self.health.set(Condition::ClaudeCredit, State::Ready);
        }
        if !self.config.claude.has_credentials() {
            self.health.set(Condition::ClaudeKey, State::Waiting(NO_KEY.to_owned()));
            for condition in [Condition::ClaudeModel, Condition::Claude] {
                self.health.set(condition, State::Ready);
            }
            return;
        }
        let mut missing = Vec::new();
        for (model, who) in models_of(&self.config) {
            let look = self.claude.look(&model).await;
            match look_of(&look) {
                Look::Fine => {
                    self.health.set(Condition::ClaudeKey, State::Ready);
                    self.health.set(Condition::Claude, State::Ready);
                }
                Look::KeyRefused(reason) => {
                    self.health.set(Condition::ClaudeKey, State::Waiting(reason));
                    return;
                }
                Look::NoModel => missing.push(format!("{model} ({})", who.join(", "))),
                Look::Unreachable(reason) => {
                    self.health.set(Condition::Claude, State::Waiting(reason));
                    self.settle_what_is_not_known();
                    return;
                }
                Look::NotTold => {}
            }
        }
        if missing.is_empty() {
            self.health.set(Condition::ClaudeModel, State::Ready);
        } else {
            let reason = format!(
                "the Messages API has no model {}\n  Requests to them fail.\n  Mend: set an existing model id where it is named, \
                 in claude.model, assistants.model or the coworker's file; ids carry no date suffix since 4.6",
                missing.join(", nor ")
            );
            self.health.set(Condition::ClaudeModel, State::Waiting(reason));
        }
        self.health.set(Condition::Claude, State::Ready);
        self.settle_what_is_not_known();
    }

    /// What could not be asked counts as fine, as long as nothing says otherwise.
    fn settle_what_is_not_known(&self) {
        for condition in [Condition::ClaudeKey, Condition::ClaudeModel] {
            if matches!(self.health.get(condition), State::Pending(_)) {
                self.health.set(condition, State::Ready);
            }
        }
    }
}

/// Said where no key is set; without the last full stop, as reasons are.
pub(crate) const NO_KEY: &str = "no key is set\n  Every request is answered with a word that the model cannot be reached.\n  Mend: set \
                      claude.api_key_file, or ANTHROPIC_API_KEY in the environment of `workmate serve`";
const KEY_REFUSED: &str = "the Messages API refuses the key, or none is set\n  Mend: set claude.api_key_file to a file with a \
                           valid key, or ANTHROPIC_API_KEY in the environment of `workmate serve`";
const NO_CREDIT: &str = "the account behind the key cannot pay: a request was refused for that\n  Every request fails until it \
                         can.\n  Mend: see to the credit and the spend limits in the provider's console; the next answer, or \
                         half an hour without requests, clears this";

/// What a look at a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    /// The key is taken, and the model there.
    Fine,
    KeyRefused(String),
    NoModel,
    Unreachable(String),
    /// Nothing: a gateway without that question, or somebody who is busy.
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
        // A key may be kept from looking at models and answer all the same (403).
        Cause::KeyRefused { status: 401, .. } | Cause::UnusableKey | Cause::MissingKey => {
            Look::KeyRefused(error.to_string())
        }
        Cause::ModelNotFound { .. } => Look::NoModel,
        Cause::Connect { .. } | Cause::Timeout { .. } | Cause::Setup { .. } => Look::Unreachable(error.to_string()),
        _ => Look::NotTold,
    }
}

/// Returns the models that the configuration names, and by whom each is used.
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
    let all = models.into_iter().map(|(model, who)| (model.to_owned(), who.into_iter().collect()));
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
            (Cause::Server { status: 500, said: said() }, "nothing"),
            (Cause::Protocol { status: 404, what: "text/html".to_owned() }, "nothing"),
        ] {
            let error = Error { cause, phase: Phase::BeforeAnswer, base_url: String::new(), request_id: None };
            let text = error.to_string();
            let found = match look_of(&Err(error)) {
                Look::Fine => "fine",
                Look::KeyRefused(_) => "key",
                Look::NoModel => "model",
                Look::Unreachable(_) => "host",
                Look::NotTold => "nothing",
            };
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(look_of(&Ok(Looked::Unknown)), Look::NotTold);
    }
}
