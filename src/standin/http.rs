//! The endpoints, and what all answers have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::answer::{self, Ids};
use super::batches::Batches;
use super::cache::{Cache, prompt_tokens};
use super::citing;
use super::files::Files;
use super::journal::{Entry, Journal, redact};
use super::models::{self, Model};
use super::page;
use super::problem::Problem;
use super::script::Scripts;
use super::signature::{self, ToolLoops};
use super::stream;
use super::turn::{Failure, Fault, Gate, Turn};
use super::validate::{self, Caller, Endpoint};
use super::{Mode, Options, offline};

/// The rate limit that the headers report: the start tier's.
const REQUESTS_PER_MINUTE: u64 = 1000;
const INPUT_TOKENS_PER_MINUTE: u64 = 2_000_000;
const OUTPUT_TOKENS_PER_MINUTE: u64 = 400_000;

/// State shared by all calls.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) journal: Journal,
    pub(super) scripts: Mutex<Scripts>,
    pub(super) cache: Mutex<Cache>,
    pub(super) memory: Mutex<Memory>,
    pub(super) batches: Mutex<Batches>,
    pub(super) files: Mutex<Files>,
    pub(super) ids: Ids,
    pub(super) stop: CancellationToken,
}

/// What the stand-in gave out and must recognise later.
#[derive(Debug, Default)]
pub(super) struct Memory {
    loops: ToolLoops,
    block_types: BTreeSet<String>,
    paused: BTreeSet<String>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns all routes; those of batches and files are given.
pub(super) fn router(shared: Arc<Shared>, others: Router<Arc<Shared>>) -> Router {
    Router::new()
        .route("/v1/messages", post(create))
        .route("/v1/messages/count_tokens", post(count))
        .merge(others)
        .route("/v1/models", get(list_models))
        .route("/v1/models/{id}", get(get_model))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .with_state(shared)
}

async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let call = Call::open(shared, &request);
    call.answer(request, Endpoint::Messages).await
}

async fn count(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let call = Call::open(shared, &request);
    call.answer(request, Endpoint::CountTokens).await
}

async fn list_models(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response<Body> {
    let call = Call::open(shared, &request);
    let page = validate::caller(request.headers(), call.keys(), false).and_then(|_| models_page(&query));
    call.reply(page)
}

async fn get_model(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    let call = Call::open(shared, &request);
    let found = validate::caller(request.headers(), call.keys(), false)
        .and_then(|_| models::find(&id).map(Model::info).ok_or_else(|| Problem::new(404, format!("model: {id}"))));
    call.reply(found)
}

async fn unknown_route(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    Call::open(shared, &request).reply(Err(Problem::new(404, "Not Found")))
}

async fn unknown_method(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    Call::open(shared, &request).reply(Err(Problem::new(405, "Method Not Allowed")))
}

fn models_page(query: &BTreeMap<String, String>) -> Result<Value, Problem> {
    let limit = page::limit(query)?;
    let place = |id: &String| {
        let found = models::all().iter().position(|model| model.id == id);
        found.ok_or_else(|| Problem::invalid(format!("unknown cursor: {id}")))
    };
    let all = models::all();
    let from = query.get("after_id").map(place).transpose()?.map_or(0, |index| index + 1);
    let to = query.get("before_id").map(place).transpose()?.unwrap_or(all.len());
    let range = all.get(from..to).unwrap_or_default();
    Ok(page::page(range.iter().map(Model::info), limit))
}

/// A call in progress: its id and its journal entry.
pub(super) struct Call {
    shared: Arc<Shared>,
    id: String,
    entry: Entry,
}

impl Call {
    pub(super) fn open(shared: Arc<Shared>, request: &Request) -> Self {
        let id = shared.ids.next("req");
        let route = format!("{} {}", request.method(), request.uri().path());
        let entry = shared.journal.open(&id, route, journal_headers(request.headers()));
        Self { shared, id, entry }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn keys(&self) -> Option<&[String]> {
        self.shared.options.keys.as_deref()
    }

    /// Answers a call that needs no script.
    pub(super) fn reply(mut self, result: Result<Value, Problem>) -> Response<Body> {
        let response = match result {
            Ok(value) => self.json(200, &value),
            Err(problem) => self.problem(&problem),
        };
        self.entry.finish();
        response
    }

    async fn answer(mut self, request: Request, endpoint: Endpoint) -> Response<Body> {
        match self.accept(request, endpoint).await {
            Err(problem) if problem.status == 413 && self.shared.options.too_large_as_html => {
                self.entry.finish();
                self.html(413)
            }
            Err(problem) => self.reply(Err(problem)),
            Ok((_, _, body)) if endpoint == Endpoint::CountTokens => {
                self.reply(Ok(json!({ "input_tokens": prompt_tokens(&body) })))
            }
            Ok((caller, model, body)) => self.say(&caller, model, &body).await,
        }
    }

    /// Answers with a scripted HTTP error.
    pub(super) fn fail(mut self, failure: &Failure) -> Response<Body> {
        self.entry.finish();
        self.failure(failure)
    }

    /// Reports something that no test should have let happen.
    pub(super) fn report(&self, description: String) {
        lock(&self.shared.scripts).report_unmatched(description);
    }

    /// Reads and validates a request.
    async fn accept(&self, request: Request, endpoint: Endpoint) -> Result<(Caller, &'static Model, Value), Problem> {
        let (caller, body) = self.read(request).await?;
        let model = self.judge(endpoint, &caller, &body)?;
        Ok((caller, model, body))
    }

    /// Reads a request with a JSON body.
    pub(super) async fn read(&self, request: Request) -> Result<(Caller, Value), Problem> {
        let caller = validate::caller(request.headers(), self.keys(), true);
        let bytes = read(request.into_body(), self.shared.options.body_bytes_max).await;
        let caller = caller?;
        let body: Value = serde_json::from_slice(&bytes?)
            .map_err(|error| Problem::invalid(format!("The request body is not valid JSON: {error}")))?;
        self.entry.set_body(body.clone());
        Ok((caller, body))
    }

    /// Reads a request's bytes.
    pub(super) async fn read_bytes(&self, request: Request) -> Result<Bytes, Problem> {
        read(request.into_body(), self.shared.options.body_bytes_max).await
    }

    /// Decides whether the API would accept a request for a message.
    pub(super) fn judge(&self, endpoint: Endpoint, caller: &Caller, body: &Value) -> Result<&'static Model, Problem> {
        let mut memory = lock(&self.shared.memory);
        let model = validate::request(endpoint, caller, body, (&memory.block_types, &memory.paused))?;
        lock(&self.shared.files).check(body)?;
        signature::check(model, body, &mut memory.loops)?;
        let tokens = prompt_tokens(body);
        if tokens > model.context_tokens {
            return Err(Problem::invalid(format!(
                "prompt is too long: {tokens} tokens > {} maximum",
                model.context_tokens
            )));
        }
        Ok(model)
    }

    /// Answers with the turn that is due.
    async fn say(mut self, caller: &Caller, model: &'static Model, body: &Value) -> Response<Body> {
        let mut turn = match self.turn_of(body) {
            Ok(turn) => turn,
            Err(problem) => return self.reply(Err(problem)),
        };
        if let Err(why) = citing::resolve(&mut turn, body) {
            self.report(format!("could not cite: {why}"));
            let problem = Problem::new(500, format!("stand-in: could not cite: {why}"));
            return self.reply(Err(Problem { should_retry: Some(false), ..problem }));
        }
        let stop = self.shared.stop.clone();
        tokio::select! {
            () = passed(turn.before_headers.as_ref()) => {}
            () = stop.cancelled() => return self.reply(Err(Problem::new(503, "the stand-in is shutting down"))),
        }
        if let Some(failure) = &turn.failure {
            self.entry.finish();
            return self.failure(failure);
        }
        let streaming = body["stream"] == true;
        if let Some(kind) = turn.faults.iter().find_map(refusing).filter(|_| !streaming) {
            return self.reply(Err(Problem { kind, ..Problem::new(500, "The stand-in was told to fail.") }));
        }
        let message = self.message(&turn, caller, model, body);
        let (steps, content_type) = if streaming {
            (stream::events(&turn, &message, &self.id), "text/event-stream; charset=utf-8")
        } else {
            (stream::whole(&turn, &message), "application/json")
        };
        self.entry.set_status(200);
        let mut response = Response::new(Body::empty());
        self.common_headers(response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let Self { shared, entry, .. } = self;
        *response.body_mut() = stream::body(steps, entry, shared.stop.clone());
        response
    }

    /// Composes the message, and remembers what must be recognised later.
    pub(super) fn message(&self, turn: &Turn, caller: &Caller, model: &'static Model, body: &Value) -> Value {
        let usage = lock(&self.shared.cache).account(&redact(&caller.key), model, body);
        let mut message =
            answer::message(turn, body, body["model"].as_str().unwrap_or(model.id), usage, &self.shared.ids);
        let content = super::prompt::array(&message["content"]);
        let new_id = || self.shared.ids.next("container");
        let container = lock(&self.shared.files).container(body, content, new_id);
        message["container"] = container;
        self.entry.set_usage(message["usage"].clone());
        let content = super::prompt::array(&message["content"]);
        let mut memory = lock(&self.shared.memory);
        memory.loops.remember(content);
        if message["stop_reason"] == "pause_turn" {
            memory.paused.insert(validate::messages::texts(content));
        }
        memory.block_types.extend(content.iter().filter_map(|block| block["type"].as_str()).map(str::to_owned));
        message
    }

    /// Returns a request's turn: pre-warming, a script, the responder, or the offline answer.
    pub(super) fn turn_of(&self, body: &Value) -> Result<Turn, Problem> {
        if body["max_tokens"] == 0 {
            return Ok(Turn::empty().stop_reason("max_tokens"));
        }
        let Some(mut request) = self.entry.snapshot() else {
            return Err(Problem::new(500, "the journal lost a request"));
        };
        // Of a batch, it is one of several.
        request.body.clone_from(body);
        let (scripted, responder) = {
            let mut scripts = lock(&self.shared.scripts);
            (scripts.take(&request), scripts.responder())
        };
        if let Some(turn) = scripted.or_else(|| responder.map(|responder| responder(&request))) {
            return Ok(turn);
        }
        match self.shared.options.mode {
            Mode::Offline => {
                if let Some(turn) = self.computed(body) {
                    return Ok(turn.delta_interval(self.shared.options.delta_interval));
                }
                Ok(Turn::text(offline::answer(body)).word_by_word().delta_interval(self.shared.options.delta_interval))
            }
            Mode::Scripted => {
                let asked: String = request.last_user_text().chars().take(200).collect();
                let description = format!("{} with model {} and last user text {asked:?}", self.id, body["model"]);
                lock(&self.shared.scripts).report_unmatched(description.clone());
                let message = format!("stand-in: no script for this request: {description}");
                Err(Problem { should_retry: Some(false), ..Problem::new(500, message) })
            }
        }
    }

    fn json(&self, status: u16, value: &Value) -> Response<Body> {
        self.response(status, "application/json", value.to_string())
    }

    fn html(&self, status: u16) -> Response<Body> {
        let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
        self.response(status, "text/html", page)
    }

    fn problem(&self, problem: &Problem) -> Response<Body> {
        let mut response = self.json(problem.status, &problem.body(&self.id));
        if let Some(yes) = problem.should_retry {
            let value = HeaderValue::from_static(if yes { "true" } else { "false" });
            response.headers_mut().insert("x-should-retry", value);
        }
        response
    }

    fn failure(&self, failure: &Failure) -> Response<Body> {
        let mut response = self.problem(&failure.problem);
        if failure.html {
            let json_headers = response.headers().clone();
            response = self.html(failure.problem.status);
            if let Some(retry) = json_headers.get("x-should-retry") {
                response.headers_mut().insert("x-should-retry", retry.clone());
            }
        }
        for (name, value) in &failure.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        response
    }

    fn response(&self, status: u16, content_type: &'static str, body: String) -> Response<Body> {
        self.entry.set_status(status);
        let mut response = Response::new(Body::from(body));
        if let Ok(status) = status.try_into() {
            *response.status_mut() = status;
        }
        self.common_headers(response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn common_headers(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert("request-id", id);
        }
        headers.insert("anthropic-organization-id", HeaderValue::from_static("stand-in"));
        let reset = jiff::Timestamp::from_millisecond(crate::clock::now().as_ms() + 60_000).unwrap_or_default();
        let limits = [
            ("requests", REQUESTS_PER_MINUTE),
            ("tokens", INPUT_TOKENS_PER_MINUTE + OUTPUT_TOKENS_PER_MINUTE),
            ("input-tokens", INPUT_TOKENS_PER_MINUTE),
            ("output-tokens", OUTPUT_TOKENS_PER_MINUTE),
        ];
        for (name, limit) in limits {
            let values = [("limit", limit.to_string()), ("remaining", limit.to_string()), ("reset", reset.to_string())];
            for (what, value) in values {
                let name = axum::http::HeaderName::try_from(format!("anthropic-ratelimit-{name}-{what}"));
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

fn refusing(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::ErrorAfter(_, kind) => Some(*kind),
        _ => None,
    }
}

async fn passed(gate: Option<&Gate>) {
    if let Some(gate) = gate {
        gate.pass().await;
    }
}

/// Reads a body up to its limit. Drains as much again beyond it, so that the client sees the 413.
async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let mut read = Vec::new();
    let mut dropped = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::invalid(format!("The request body cannot be read: {error}")))?;
        if dropped > 0 || read.len() + chunk.len() > bytes_max {
            dropped += chunk.len();
            if dropped > bytes_max {
                break;
            }
        } else {
            read.extend_from_slice(&chunk);
        }
    }
    if dropped > 0 {
        return Err(Problem::new(413, format!("Request exceeds the maximum size of {bytes_max} bytes")));
    }
    Ok(Bytes::from(read))
}

/// Returns the headers for the journal: repeated ones joined, the key hashed.
fn journal_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let value = match name.as_str() {
            "x-api-key" => redact(&value),
            "authorization" => format!("Bearer {}", redact(value.trim_start_matches("Bearer "))),
            _ => value,
        };
        kept.entry(name.to_string()).and_modify(|all| *all = format!("{all},{value}")).or_insert(value);
    }
    kept
}
