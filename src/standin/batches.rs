//! The Message Batches API: create, list, look, cancel, results, delete; and what tests make of a batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use super::{
    page,
    problem::Problem,
    turn::{Failure, Gate},
};
use crate::{clock, core::time::Timestamp};

/// Requests in one batch, at most.
pub(super) const REQUESTS_MAX: usize = 100_000;
/// Characters of a `custom_id`, at most.
const CUSTOM_ID_CHARS_MAX: usize = 64;
/// When a batch expires after its creation, in milliseconds: a day.
const EXPIRES_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

/// What becomes of the next batch. Without a plan, a batch ends at once with the turns of the scripts.
#[derive(Clone, Debug, Default)]
pub struct BatchPlan {
    /// Only for a batch that holds this text.
    text: Option<String>,
    gate: Option<Gate>,
    outcome: Option<&'static str>,
    survives_cancel: bool,
    pub(super) refusal: Option<Failure>,
    pub(super) loses_reply: bool,
    results: Option<String>,
}

impl BatchPlan {
    /// Returns the plan of a batch that is in progress until the gate is released or it is cancelled.
    #[must_use]
    pub fn waiting() -> (Self, Gate) {
        let gate = Gate::default();
        (Self { gate: Some(gate.clone()), ..Self::default() }, gate)
    }

    /// Keeps it for a batch whose requests contain this text.
    #[must_use]
    pub fn for_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Ends every request with this outcome: `errored`, `canceled` or `expired`.
    #[must_use]
    pub fn outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Completes the requests although the batch is cancelled, as the API may.
    #[must_use]
    pub fn survives_cancel(mut self) -> Self {
        self.survives_cancel = true;
        self
    }

    /// Refuses the creation; no batch is made.
    #[must_use]
    pub fn refused(failure: Failure) -> Self {
        Self { refusal: Some(failure), ..Self::default() }
    }

    /// Makes the batch and cuts the connection before the reply.
    #[must_use]
    pub fn loses_reply(mut self) -> Self {
        self.loses_reply = true;
        self
    }

    /// Sends this as the results, whatever they are.
    #[must_use]
    pub fn results(mut self, raw: impl Into<String>) -> Self {
        self.results = Some(raw.into());
        self
    }
}

/// A request of a batch, checked as far as the API checks before it answers.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) custom_id: String,
    pub(super) params: Value,
}

#[derive(Debug)]
struct Batch {
    id: String,
    created_at: Timestamp,
    cancel_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// The results if nothing intervenes, by `custom_id`.
    results: Vec<(String, Value)>,
    plan: BatchPlan,
}

/// All batches, oldest first.
#[derive(Debug, Default)]
pub(super) struct Batches {
    plans: VecDeque<BatchPlan>,
    all: Vec<Batch>,
}

impl Batches {
    pub(super) fn plan(&mut self, plan: BatchPlan) {
        self.plans.push_back(plan);
    }

    pub(super) fn next_plan(&mut self, body: &Value) -> BatchPlan {
        let body = body.to_string();
        let is_meant = |plan: &BatchPlan| plan.text.as_ref().is_none_or(|text| body.contains(text.as_str()));
        let found = self.plans.iter().position(is_meant);
        found.and_then(|at| self.plans.remove(at)).unwrap_or_default()
    }

    /// Makes a batch with these results, and returns it.
    pub(super) fn create(&mut self, id: String, results: Vec<(String, Value)>, plan: BatchPlan) -> Value {
        let now = clock::now();
        let mut batch = Batch { id, created_at: now, cancel_at: None, ended_at: None, results, plan };
        // The API answers a creation before it looks at the requests.
        let shown = batch.shown();
        batch.go_on(now);
        self.all.push(batch);
        shown
    }

    fn find(&mut self, id: &str) -> Result<&mut Batch, Problem> {
        let found = self.all.iter_mut().find(|batch| batch.id == id);
        let batch = found.ok_or_else(|| Problem::new(404, format!("Message Batch {id} not found.")))?;
        batch.go_on(clock::now());
        Ok(batch)
    }

    pub(super) fn look(&mut self, id: &str) -> Result<Value, Problem> {
        self.find(id).map(|batch| batch.shown())
    }

    pub(super) fn cancel(&mut self, id: &str) -> Result<Value, Problem> {
        let batch = self.find(id)?;
        if batch.ended_at.is_some() {
            return Err(Problem::invalid(format!("Message Batch {id} has ended and cannot be canceled.")));
        }
        batch.cancel_at.get_or_insert_with(clock::now);
        Ok(batch.shown())
    }

    pub(super) fn results(&mut self, id: &str) -> Result<String, Problem> {
        let batch = self.find(id)?;
        if batch.ended_at.is_none() {
            return Err(Problem::new(404, format!("Message Batch {id} has no available results.")));
        }
        Ok(batch.plan.results.clone().unwrap_or_else(|| {
            let lines = batch.results.iter().map(|(custom_id, result)| {
                let line = json!({ "custom_id": custom_id, "result": result });
                format!("{line}\n")
            });
            lines.collect()
        }))
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Value, Problem> {
        if self.find(id)?.ended_at.is_none() {
            return Err(Problem::invalid(format!("Message Batch {id} is still in progress; cancel it first.")));
        }
        self.all.retain(|batch| batch.id != id);
        Ok(json!({ "id": id, "type": "message_batch_deleted" }))
    }

    pub(super) fn page(&mut self, query: &BTreeMap<String, String>) -> Result<Value, Problem> {
        let limit = page::limit(query)?;
        let now = clock::now();
        for batch in &mut self.all {
            batch.go_on(now);
        }
        Ok(page::page(self.all.iter().rev().map(Batch::shown), limit))
    }

    /// Returns the ids of the batches that there are, and whether each has ended.
    pub(super) fn ids(&self) -> Vec<(String, bool)> {
        self.all.iter().map(|batch| (batch.id.clone(), batch.ended_at.is_some())).collect()
    }
}

impl Batch {
    /// Ends it if it is due to end.
    fn go_on(&mut self, now: Timestamp) {
        if self.ended_at.is_some() {
            return;
        }
        let is_held = self.plan.gate.as_ref().is_some_and(|gate| !gate.is_released());
        if is_held && self.cancel_at.is_none() {
            return;
        }
        self.ended_at = Some(now);
        let is_canceled = is_held && !self.plan.survives_cancel;
        let outcome = if is_canceled { Some("canceled") } else { self.plan.outcome };
        if let Some(outcome) = outcome {
            for (_, result) in &mut self.results {
                *result = ended_as(outcome);
            }
        }
    }

    fn shown(&self) -> Value {
        let time = |at: Option<Timestamp>| at.map(rfc3339);
        let (status, has_ended) = match (self.ended_at, self.cancel_at) {
            (Some(_), _) => ("ended", true),
            (None, Some(_)) => ("canceling", false),
            (None, None) => ("in_progress", false),
        };
        let mut counts = Map::new();
        for name in ["processing", "succeeded", "errored", "canceled", "expired"] {
            let ended = self.results.iter().filter(|(_, result)| result["type"] == name).count();
            let count = match (has_ended, name) {
                (true, _) => ended,
                (false, "processing") => self.results.len(),
                (false, _) => 0,
            };
            counts.insert(name.to_owned(), json!(count));
        }
        let expires_at = Timestamp::from_ms(self.created_at.as_ms() + EXPIRES_AFTER_MS);
        json!({
            "id": self.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "created_at": time(Some(self.created_at)),
            "expires_at": time(Some(expires_at)),
            "ended_at": time(self.ended_at),
            "cancel_initiated_at": time(self.cancel_at),
            "archived_at": null,
            // Whoever follows it instead of asking the base URL goes astray.
            "results_url": has_ended.then(|| format!("https://elsewhere.invalid/v1/messages/batches/{}/results", self.id)),
        })
    }
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or_default().to_string()
}

fn ended_as(outcome: &str) -> Value {
    match outcome {
        "errored" => errored(&Problem::new(500, "The stand-in was told to fail."), "req_batch"),
        outcome => json!({ "type": outcome }),
    }
}

/// Returns the result of a request that failed.
pub(super) fn errored(problem: &Problem, request_id: &str) -> Value {
    json!({ "type": "errored", "error": problem.body(request_id) })
}

/// Reads the body of a creation.
///
/// # Errors
/// The API's 400. What is wrong with the parameters themselves is only known once they are worked on.
pub(super) fn items(body: &Value) -> Result<Vec<Item>, Problem> {
    let Value::Object(fields) = body else {
        return Err(Problem::invalid("The request body is not valid JSON: an object is expected"));
    };
    if let Some(extra) = fields.keys().find(|name| *name != "requests") {
        return Err(Problem::extra(extra));
    }
    let requests = fields.get("requests").ok_or_else(|| Problem::missing("requests"))?;
    let requests = requests.as_array().ok_or_else(|| Problem::invalid("requests: Input should be a valid list"))?;
    if requests.is_empty() || requests.len() > REQUESTS_MAX {
        return Err(Problem::invalid(format!("requests: List should have 1 to {REQUESTS_MAX} items")));
    }
    let (mut seen, mut items) = (BTreeSet::new(), Vec::new());
    for (index, request) in requests.iter().enumerate() {
        let at = |name: &str| format!("requests.{index}.{name}");
        let Value::Object(fields) = request else {
            return Err(Problem::invalid(format!("requests.{index}: Input should be an object")));
        };
        if let Some(extra) = fields.keys().find(|name| !["custom_id", "params"].contains(&name.as_str())) {
            return Err(Problem::extra(&at(extra)));
        }
        let custom_id = fields.get("custom_id").ok_or_else(|| Problem::missing(&at("custom_id")))?;
        let custom_id = custom_id.as_str().filter(|id| is_custom_id(id)).ok_or_else(|| {
            Problem::invalid(format!("{}: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'", at("custom_id")))
        })?;
        if !seen.insert(custom_id.to_owned()) {
            return Err(Problem::invalid(format!("{}: custom_id must be unique", at("custom_id"))));
        }
        let params = fields.get("params").ok_or_else(|| Problem::missing(&at("params")))?;
        items.push(Item { custom_id: custom_id.to_owned(), params: params.clone() });
    }
    Ok(items)
}

fn is_custom_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=CUSTOM_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_allowed)
}

/// Checks what the API takes in a message but not in a batch.
pub(super) fn check_params(params: &Value) -> Result<(), Problem> {
    if params.get("stream").is_some_and(|stream| *stream != false) {
        return Err(Problem::invalid("stream: streaming is not supported in batches"));
    }
    if params["max_tokens"] == 0 {
        return Err(Problem::invalid("max_tokens: Input should be greater than or equal to 1 in batches"));
    }
    if params.get("speed").is_some_and(|speed| speed != "standard") {
        return Err(Problem::invalid("speed: only `standard` is supported in batches"));
    }
    Ok(())
}
