//! Chooses the scripted turn that answers a request.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::journal::RecordedRequest;
use super::turn::Turn;

/// Decides whether a script is meant for a request.
#[derive(Clone)]
pub struct Matcher {
    description: String,
    matches: Arc<dyn Fn(&RecordedRequest) -> bool + Send + Sync>,
}

impl Matcher {
    /// Matches a request whose last user message contains the text.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::when(format!("last user message contains {text:?}"), move |request| {
            request.last_user_text().contains(&text)
        })
    }

    /// Matches a request whose system prompt contains the text.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::when(format!("system prompt contains {text:?}"), move |request| request.system_text().contains(&text))
    }

    /// Matches by a predicate; the description appears in errors.
    #[must_use]
    pub fn when(
        description: impl Into<String>,
        matches: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { description: description.into(), matches: Arc::new(matches) }
    }

    /// Matches requests that both matchers take.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let description = format!("{} and {}", self.description, other.description);
        Self::when(description, move |request| (self.matches)(request) && (other.matches)(request))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Matcher").field(&self.description).finish()
    }
}

pub(super) type Responder = Arc<dyn Fn(&RecordedRequest) -> Turn + Send + Sync>;

/// The waiting scripts; matchers are tried first, then the queue, then the responder.
#[derive(Default)]
pub(super) struct Scripts {
    matched: Vec<(Matcher, Turn)>,
    queue: VecDeque<Turn>,
    responder: Option<Responder>,
    /// Texts that are refused, by a model or by all.
    refused: Vec<(Option<String>, String)>,
    unmatched: Vec<String>,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matched, queue, responder, refused, unmatched } = self;
        f.debug_struct("Scripts")
            .field("matched", matched)
            .field("queue", queue)
            .field("responder", &responder.is_some())
            .field("refused", refused)
            .field("unmatched", unmatched)
            .finish()
    }
}

/// With fewer tokens nothing is answered.
const THINKING_TOKENS_MIN: u64 = 64;

/// Returns the string that the provider documents for tests of refusals: every model refuses a request with it. It is put
/// together here, because a model that reads this file would refuse to go on.
#[must_use]
pub fn refusal_trigger() -> String {
    let digest = ["1FAEFB6177B4672DEE07F9D3AFC62588", "CCD2631EDCF22E8CCC1FB35B501C9C86"];
    ["ANTHROPIC_MAGIC_STRING", "TRIGGER_REFUSAL", &digest.concat()].join("_")
}

impl Scripts {
    pub(super) fn enqueue(&mut self, turn: Turn) {
        self.queue.push_back(turn);
    }

    pub(super) fn on(&mut self, matcher: Matcher, turn: Turn) {
        self.matched.push((matcher, turn));
    }

    pub(super) fn respond_with(&mut self, responder: Responder) {
        self.responder = Some(responder);
    }

    pub(super) fn refuse(&mut self, model: Option<&str>, text: &str) {
        self.refused.push((model.map(str::to_owned), text.to_owned()));
    }

    /// Returns the refusal of a request with a text that is refused.
    fn refusal(&self, request: &RecordedRequest) -> Option<Turn> {
        let said = [&request.body["system"], &request.body["messages"]].map(ToString::to_string);
        let says = |text: &str| said.iter().any(|said| said.contains(text));
        if says(&refusal_trigger()) {
            return Some(Turn::refusal(None, "The documented string asks for it."));
        }
        let model = request.body["model"].as_str();
        let is_told = self.refused.iter().any(|(of, text)| (of.is_none() || of.as_deref() == model) && says(text));
        is_told.then(|| Turn::refusal(Some("general_harms"), "The stand-in was told to refuse it."))
    }

    /// Removes and returns the turn that answers a request.
    pub(super) fn take(&mut self, request: &RecordedRequest) -> Option<Turn> {
        if let Some(refusal) = self.refusal(request) {
            return Some(refusal);
        }
        if request.body["max_tokens"].as_u64().is_some_and(|most| most < THINKING_TOKENS_MIN) {
            // Thinking alone takes more: nothing is said, and no script is used up.
            return Some(Turn::empty().stop_reason("max_tokens"));
        }
        if let Some(index) = self.matched.iter().position(|(matcher, _)| (matcher.matches)(request)) {
            return Some(self.matched.remove(index).1);
        }
        self.queue.pop_front()
    }

    /// Returns the fallback responder; it is called without holding the lock.
    pub(super) fn responder(&self) -> Option<Responder> {
        self.responder.clone()
    }

    pub(super) fn report_unmatched(&mut self, description: String) {
        self.unmatched.push(description);
    }

    /// Returns a line for each unused script and each request that found none.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let matched = self.matched.iter().map(|(matcher, _)| format!("never asked for: {}", matcher.description));
        let queued = match self.queue.len() {
            0 => None,
            count => Some(format!("never asked for: {count} turn(s) of the queue")),
        };
        let unmatched = self.unmatched.iter().map(|request| format!("found no script: {request}"));
        matched.chain(queued).chain(unmatched).collect()
    }
}
