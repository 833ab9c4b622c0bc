//! The call itself: one POST, its retries until the answer begins, and the stream of the answer.

mod response;

use std::{collections::VecDeque, fmt, time::Duration};

use bytes::Bytes;
use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::time::Instant;
use url::{Host, Url};

use super::{
    error::{Cause, Error, Phase, Wait},
    request::Request,
    retry::{Decision, Hints, Made, Policy, Waiting},
    stream::{Assembler, Delta, Limits, StreamError},
    wire::Message,
};
use crate::{clock, secret::Secret};
use response::{Failure, Sent};

/// The `anthropic-version` that this client speaks.
pub const API_VERSION: &str = "2026-10-21";

/// How an endpoint of the Messages API is reached.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its base, without `/v1`; a path prefix and a trailing slash are fine.
    pub base_url: Url,
    /// The key; without one every call fails with [`Cause::MissingKey`] and nothing is sent.
    pub api_key: Option<Secret>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retry: Policy,
    /// How long an answer may be.
    pub limits: Limits,
}

impl ClientConfig {
    /// Returns one with the usual timeouts, retries and limits.
    #[must_use]
    pub fn new(base_url: Url, api_key: Option<Secret>) -> Self {
        Self { base_url, api_key, timeouts: Timeouts::default(), retry: Policy::default(), limits: Limits::default() }
    }
}

/// How long a call waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the response's headers, sending the request included.
    pub headers: Duration,
    /// For the next byte of the answer; a ping counts.
    pub idle: Duration,
    /// For the whole call, retries included.
    pub overall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            headers: Duration::from_mins(2),
            idle: Duration::from_secs(90),
            overall: Duration::from_mins(20),
        }
    }
}

/// A client of one endpoint; cheap to clone, and its clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    /// The base URL without credentials, for errors.
    shown_url: String,
    config: ClientConfig,
}

impl Client {
    /// Returns a client; connects to nothing yet.
    ///
    /// # Errors
    /// When the base URL or the key cannot be used at all, or TLS cannot be set up. A missing key is not an error
    /// here, so that everything but answers works without one.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let shown_url = shown(&config.base_url);
        let failed = |cause| Error { cause, phase: Phase::BeforeAnswer, base_url: shown_url.clone(), request_id: None };
        let endpoint = endpoint(&config.base_url).ok_or_else(|| failed(Cause::UnusableBaseUrl))?;
        if config.api_key.as_ref().is_some_and(|key| HeaderValue::from_str(key.expose()).is_err()) {
            return Err(failed(Cause::UnusableKey));
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("workmate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.timeouts.connect)
            .tcp_keepalive(Duration::from_secs(30))
            // A redirect would carry the key to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            // Compression holds events back until a block is full.
            .no_gzip();
        if is_loopback(&endpoint) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| failed(Cause::Setup { reason: chain(&error) }))?;
        Ok(Self { http, endpoint, shown_url, config })
    }

    /// Asks for an answer and returns it as it begins.
    ///
    /// # Errors
    /// As [`Self::stream_with`].
    pub async fn stream(&self, request: &Request) -> Result<Stream, Error> {
        self.stream_with(request, |_| {}).await
    }

    /// Asks for an answer and returns it as it begins; `on_wait` hears of each failure that is tried again.
    ///
    /// Failures are tried again only until the answer's first event; dropping the future ends the call.
    ///
    /// # Errors
    /// When the last attempt failed or another makes no sense; [`Error::advice`] says what to do.
    pub async fn stream_with(&self, request: &Request, on_wait: impl Fn(&Waiting<'_>)) -> Result<Stream, Error> {
        if let Some(fault) = request.fault() {
            return Err(self.error(Failure::of(Cause::Unsendable(fault))));
        }
        let Some(key) = &self.config.api_key else {
            return Err(self.error(Failure::of(Cause::MissingKey)));
        };
        let body = Bytes::from(request.body());
        let sent = Sent { model: &request.model, request_bytes: body.len(), key: key.expose() };
        let began = Instant::now();
        let deadline = began + self.config.timeouts.overall;
        let mut made = Made { attempts: 0, elapsed: Duration::ZERO };
        loop {
            let failure = match self.attempt(&body, &sent, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => failure,
            };
            made = Made { attempts: made.attempts + 1, elapsed: began.elapsed() };
            let decision = self.config.retry.decide(made, &failure.cause, failure.hints, chance());
            let Decision::RetryAfter(wait) = decision else {
                return Err(self.error(failure));
            };
            tracing::warn!(
                attempt = made.attempts,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                cause = failure.cause.name(),
                request.id = failure.request_id,
                "Claude did not answer; trying again"
            );
            let attempts_max = self.config.retry.attempts_max;
            on_wait(&Waiting { made, attempts_max, wait, cause: &failure.cause });
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, body: &Bytes, sent: &Sent<'_>, deadline: Instant) -> Result<Stream, Failure> {
        let timeouts = self.config.timeouts;
        let mut key = HeaderValue::from_str(sent.key).map_err(|_| Failure::of(Cause::UnusableKey))?;
        key.set_sensitive(true);
        let call = self
            .http
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("anthropic-version", API_VERSION)
            .header("x-api-key", key)
            .body(body.clone());
        let limit = (Wait::Headers, timeouts.headers);
        let response = within(limit, (timeouts.overall, deadline), call.send())
            .await?
            .map_err(|error| Failure::of(unsent(&error, timeouts.connect)))?;
        let request_id = response::request_id(response.headers());
        if !response::is_event_stream(&response) {
            return Err(self.refusal(response, sent, deadline).await);
        }
        let mut stream = Stream {
            response: Some(response),
            assembler: Assembler::new(self.config.limits),
            news: VecDeque::new(),
            fault: None,
            request_id,
            deadline,
            client: self.clone(),
            model: sent.model.to_owned(),
        };
        while !stream.assembler.is_begun() {
            stream.read().await;
            if let Some(failure) = stream.fault.take_if(|_| !stream.assembler.is_begun()) {
                return Err(failure);
            }
        }
        Ok(stream)
    }

    /// Reads the body of a response that is no answer.
    async fn refusal(&self, mut response: Response, sent: &Sent<'_>, deadline: Instant) -> Failure {
        let timeouts = self.config.timeouts;
        let hints = Hints::read(response.headers(), clock::now());
        let mut body = Vec::new();
        // What came before a fault is all that there is to say.
        while body.len() < response::ERROR_BYTES_MAX {
            let limit = (Wait::Idle, timeouts.idle);
            let chunk = within(limit, (timeouts.overall, deadline), response.chunk()).await;
            let Ok(Ok(Some(chunk))) = chunk else { break };
            body.extend_from_slice(&chunk);
        }
        response::failure(response.status(), response.headers(), &body, hints, sent)
    }

    fn error(&self, failure: Failure) -> Error {
        Error {
            cause: failure.cause,
            phase: Phase::BeforeAnswer,
            base_url: self.shown_url.clone(),
            request_id: failure.request_id,
        }
    }
}

/// An answer that has begun. Dropping it closes the connection, and the model stops.
pub struct Stream {
    /// `None` once nothing more is to be read.
    response: Option<Response>,
    assembler: Assembler,
    news: VecDeque<Delta>,
    fault: Option<Failure>,
    request_id: Option<String>,
    deadline: Instant,
    client: Client,
    model: String,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the model said.
    pub message: Message,
    /// `request-id` of the response.
    pub request_id: Option<String>,
}

impl Stream {
    /// Returns the next piece of news, or `None` when the answer is complete. Safe to cancel.
    ///
    /// # Errors
    /// When the answer broke off. What was handed out is worth nothing then; [`Error::advice`] says whether
    /// asking again is sensible, and it is never done here.
    pub async fn next(&mut self) -> Result<Option<Delta>, Error> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(Some(news));
            }
            if let Some(fault) = &self.fault {
                return Err(self.error(fault.clone()));
            }
            if self.assembler.is_complete() {
                return Ok(None);
            }
            self.read().await;
        }
    }

    /// Reads to the end and returns the whole answer.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn finish(mut self) -> Result<Answer, Error> {
        while self.next().await?.is_some() {}
        let assembler = std::mem::replace(&mut self.assembler, Assembler::new(self.client.config.limits));
        match assembler.finish() {
            Ok(message) => Ok(Answer { message, request_id: self.request_id }),
            Err(error) => Err(self.error(Failure::of(Cause::BrokenStream(error)))),
        }
    }

    /// Returns the `request-id` of the response.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Reads once: adds to the news, completes the message, or leaves a fault.
    async fn read(&mut self) {
        let outcome = match &mut self.response {
            Some(response) => {
                let timeouts = self.client.config.timeouts;
                let limit = (Wait::Idle, timeouts.idle);
                within(limit, (timeouts.overall, self.deadline), response.chunk()).await
            }
            None => Ok(Ok(None)),
        };
        let fed = match outcome {
            Err(failure) => Err(failure),
            Ok(Ok(Some(bytes))) => self.assembler.feed(&bytes, &mut self.news).map_err(|error| self.broken(error)),
            // A lost connection says no more than an end without `message_stop`.
            Ok(Ok(None) | Err(_)) => Err(Failure::of(Cause::BrokenStream(StreamError::EndedEarly))),
        };
        if let Err(mut fault) = fed {
            fault.request_id = self.request_id.clone().or(fault.request_id);
            self.fault = Some(fault);
        }
        if self.fault.is_some() || self.assembler.is_complete() {
            self.response = None;
        }
    }

    fn broken(&self, error: StreamError) -> Failure {
        match error {
            StreamError::Api { kind, message, request_id } => {
                let key = self.client.config.api_key.as_ref().map(Secret::expose).unwrap_or_default();
                let sent = Sent { model: &self.model, request_bytes: 0, key };
                Failure { request_id, ..Failure::of(response::streamed(&kind, &message, &sent)) }
            }
            error => Failure::of(Cause::BrokenStream(error)),
        }
    }

    fn error(&self, failure: Failure) -> Error {
        let phase = if self.assembler.is_begun() { Phase::DuringAnswer } else { Phase::BeforeAnswer };
        let request_id = self.request_id.clone().or_else(|| failure.request_id.clone());
        Error { phase, request_id, ..self.client.error(failure) }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// Awaits `work` for `limit`, but never past the call's own end.
async fn within<T>(
    (wait, limit): (Wait, Duration),
    (overall, deadline): (Duration, Instant),
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let until = Instant::now() + limit;
    tokio::time::timeout_at(until.min(deadline), work).await.map_err(|_| {
        let (wait, limit) = if deadline < until { (Wait::Overall, overall) } else { (wait, limit) };
        Failure::of(Cause::Timeout { wait, limit })
    })
}

fn unsent(error: &reqwest::Error, limit: Duration) -> Cause {
    if error.is_connect() && error.is_timeout() {
        return Cause::Timeout { wait: Wait::Connect, limit };
    }
    Cause::Connect { reason: chain(error) }
}

/// Returns the reasons under `error`; its own text would show the URL, credentials included.
fn chain(error: &reqwest::Error) -> String {
    let sources = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let reasons: Vec<_> = sources.map(ToString::to_string).collect();
    if reasons.is_empty() { "the HTTP client gives no reason".to_owned() } else { reasons.join(": ") }
}

fn endpoint(base: &Url) -> Option<Url> {
    // Credentials in a URL would end up in logs.
    if !matches!(base.scheme(), "http" | "https") || !base.username().is_empty() || base.password().is_some() {
        return None;
    }
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "messages"]);
    Some(url)
}

fn shown(base: &Url) -> String {
    let path = base.path().trim_end_matches('/');
    match base.port() {
        Some(port) => format!("{}://{}:{port}{path}", base.scheme(), base.host_str().unwrap_or_default()),
        None => format!("{}://{}{path}", base.scheme(), base.host_str().unwrap_or_default()),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Returns a number in 0..1, so that many waiting calls do not come back at once.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
