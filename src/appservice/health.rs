//! The conditions for Workmate's work, and their known states.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Json, http::StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{clock, core::time::Timestamp};

/// A condition for Workmate's work; without some conditions it does only a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The homeserver answers.
    Homeserver,
    /// The homeserver reaches us, and nobody else answers in our place.
    Deliveries,
    /// The service bot and the coworkers are provisioned.
    Users,
    /// The store can be written.
    Store,
    /// A key for the Messages API is set and not refused.
    ClaudeKey,
    /// The configured models exist.
    ClaudeModel,
    /// The account has credit.
    ClaudeCredit,
    /// The Messages API answers at its address, and nothing else does.
    Claude,
    /// Every configured MCP server is up.
    McpServers,
    /// Every coworker's file is valid, and every coworker that has rooms has a file.
    Coworkers,
    /// This machine's clock agrees with the homeserver's and the API's.
    Clock,
    /// No model that the configuration names ends soon.
    ModelEnd,
    /// Every stored schedule and reminder can be read.
    Schedules,
    /// The recogniser of voice messages answers, if there is one.
    Transcription,
}

impl Condition {
    /// All conditions in display order.
    pub const ALL: [Self; 14] = [
        Self::Homeserver,
        Self::Deliveries,
        Self::Users,
        Self::Store,
        Self::ClaudeKey,
        Self::ClaudeModel,
        Self::ClaudeCredit,
        Self::Claude,
        Self::McpServers,
        Self::Coworkers,
        Self::Clock,
        Self::ModelEnd,
        Self::Schedules,
        Self::Transcription,
    ];

    /// Returns the name in `/readyz` and `/metrics`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Homeserver => "homeserver",
            Self::Deliveries => "deliveries",
            Self::Users => "users",
            Self::Store => "store",
            Self::ClaudeKey => "claude_key",
            Self::ClaudeModel => "claude_model",
            Self::ClaudeCredit => "claude_credit",
            Self::Claude => "claude",
            Self::McpServers => "mcp_servers",
            Self::Coworkers => "coworkers",
            Self::Clock => "clock",
            Self::ModelEnd => "model_end",
            Self::Schedules => "schedules",
            Self::Transcription => "transcription",
        }
    }

    /// Returns whether nothing can be answered without it, so that `/readyz` is 503. Without the others a part is
    /// missing.
    #[must_use]
    pub fn is_needed(self) -> bool {
        !matches!(
            self,
            Self::McpServers | Self::Coworkers | Self::Clock | Self::ModelEnd | Self::Schedules | Self::Transcription
        )
    }

    /// Returns the state before the first check.
    fn at_first(self) -> State {
        let text = match self {
            Self::Homeserver => "the homeserver is being asked",
            Self::Deliveries => "looked at once the homeserver answers",
            Self::Users => "set up once the homeserver answers",
            Self::Store => "the store is being opened",
            Self::ClaudeKey | Self::ClaudeModel | Self::Claude => "the Messages API is being asked",
            Self::McpServers => "being started",
            // These hold until something says otherwise.
            Self::ClaudeCredit
            | Self::Coworkers
            | Self::Clock
            | Self::ModelEnd
            | Self::Schedules
            | Self::Transcription => {
                return State::Ready;
            }
        };
        State::Pending(text.to_owned())
    }
}

/// What is wrong, and the remedy if there is one.
pub(crate) type Told = (String, Option<String>);

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Ready,
    /// It does not hold yet, but nothing is wrong; says what is being done.
    Pending(String),
    /// It does not hold. Says for operators, without secrets, what is wrong and, after `Mend: `, what to do.
    Waiting(String),
}

impl State {
    /// Returns the reason why it does not hold; `None` if it does.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Pending(reason) | Self::Waiting(reason) => Some(reason),
        }
    }

    /// Returns what is wrong and the remedy, a line each.
    fn told(&self) -> Option<Told> {
        let line = |text: &str| {
            let mut whole = String::new();
            for line in text.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
                if !whole.is_empty() {
                    // A cause has no full stop if it stands alone.
                    let ends = whole.ends_with(['.', '!', '?', ':', ';', ',']) || !line.starts_with(char::is_uppercase);
                    whole.push_str(if ends { " " } else { ". " });
                }
                whole.push_str(line);
            }
            whole
        };
        let reason = self.reason()?;
        Some(match reason.split_once("Mend: ") {
            Some((what, mend)) => (line(what), Some(line(mend))),
            None => (line(reason), None),
        })
    }
}

/// A condition's state, and since when it has held or not.
#[derive(Clone, Debug)]
struct Known {
    state: State,
    since: Timestamp,
}

/// The known states of all conditions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<BTreeMap<Condition, Known>>>, Arc<Mutex<Option<Provisioning>>>, Arc<Mutex<Option<String>>>);

fn holds(states: &BTreeMap<Condition, Known>) -> bool {
    states.iter().all(|(condition, known)| known.state == State::Ready || !condition.is_needed())
}

/// The progress of giving workspace members their assistants; not a condition, because it may take hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Provisioning {
    /// People still to be given one.
    pub waiting: usize,
    /// Assistants made since the start.
    pub made: usize,
    /// Why it has stopped, for operators and without names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Default for Health {
    fn default() -> Self {
        let since = clock::now();
        let states = Condition::ALL.map(|name| (name, Known { state: name.at_first(), since }));
        Self(Arc::new(Mutex::new(states.into())), Arc::default(), Arc::default())
    }
}

impl Health {
    /// Sets a condition's state; logs a change.
    pub fn set(&self, condition: Condition, state: State) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A dead process may still complete an older write, which says nothing about the next one.
        if condition == Condition::Store && state == State::Ready && self.is_dead() {
            return;
        }
        let known = states.get(&condition);
        if known.is_some_and(|known| known.state == state) {
            return;
        }
        let name = condition.name();
        let (reason, mend) = state.told().unwrap_or_default();
        match &state {
            State::Ready => tracing::info!(condition = name, "a condition of readiness holds"),
            State::Pending(_) => {
                tracing::info!(condition = name, "a condition of readiness is being seen to: {reason}");
            }
            State::Waiting(_) => {
                let stop = if reason.ends_with(['.', '!', '?']) { "" } else { "." };
                let mend = mend.map(|mend| format!("{stop} Mend: {mend}")).unwrap_or_default();
                tracing::warn!(condition = name, "a condition of readiness does not hold: {reason}{mend}");
            }
        }
        let holds = state == State::Ready;
        let since =
            known.filter(|known| (known.state == State::Ready) == holds).map_or_else(clock::now, |known| known.since);
        states.insert(condition, Known { state, since });
    }

    /// Sets the progress of provisioning.
    pub fn set_provisioning(&self, provisioning: Provisioning) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(provisioning);
    }

    /// Records that the process cannot work any more, and why: its store takes no writes.
    pub fn set_dead(&self, reason: String) {
        // First, so that an older write cannot make the store ready in between.
        *self.2.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
        self.set(Condition::Store, State::Waiting(reason));
    }

    /// Records that the process can continue its start.
    pub fn set_alive(&self) {
        *self.2.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns whether the process is dead: its store takes no writes.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.2.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn is_alive(&self) -> (StatusCode, Json<Value>) {
        match &*self.2.lock().unwrap_or_else(PoisonError::into_inner) {
            None => (StatusCode::OK, Json(json!({"alive": true}))),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"alive": false, "reason": reason}))),
        }
    }

    /// Returns a condition's state.
    #[must_use]
    pub fn get(&self, condition: Condition) -> State {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&condition).map_or_else(|| condition.at_first(), |known| known.state.clone())
    }

    /// Returns every condition's state.
    pub(super) fn all(&self) -> BTreeMap<Condition, State> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().map(|(condition, known)| (*condition, known.state.clone())).collect()
    }

    /// Returns every condition with its state: since when it has held or not, what is wrong, and the remedy.
    pub(crate) fn told(&self) -> Vec<(Condition, State, Timestamp, Option<Told>)> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(condition, known): (&Condition, &Known)| {
            (*condition, known.state.clone(), known.since, known.state.told())
        };
        states.iter().map(told).collect()
    }

    /// Returns whether everything holds that answers need.
    pub(crate) fn is_ready(&self) -> bool {
        holds(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the progress of provisioning; `None` unless members are followed.
    pub(super) fn provisioning(&self) -> Option<Provisioning> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn report(&self) -> (StatusCode, Json<Value>) {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = holds(&states);
        let shown = |(condition, known): (Condition, Known)| {
            let mut shown = json!({ "ready": known.state == State::Ready, "since": rfc3339(known.since) });
            if let Some((reason, mend)) = known.state.told() {
                shown["reason"] = json!(reason);
                if let Some(mend) = mend {
                    shown["mend"] = json!(mend);
                }
            }
            if !condition.is_needed() {
                shown["needed"] = json!(false);
            }
            (condition.name(), shown)
        };
        let conditions: BTreeMap<_, _> = states.into_iter().map(shown).collect();
        let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut report = json!({"ready": ready, "conditions": conditions});
        if let Some(provisioning) = self.provisioning() {
            report["provisioning"] = json!(provisioning);
        }
        (code, Json(report))
    }
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
