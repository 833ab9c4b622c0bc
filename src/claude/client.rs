//! The call: one POST, retries until the answer begins, and the answer's stream.

mod answer;
mod batches;
mod billing;
mod decoding;
mod files;
mod headers;
mod look;
mod moderation;
mod response;

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderMap},
};
use tokio::time::Instant;
use url::{Host, Url};

use super::{
    error::{Cause, Error, Phase, Wait},
    request::Request,
    retry::{Decision, Hints, Made, Policy, Waiting},
    stream::Limits,
};
use crate::{
    clock,
    core::reach::{self, clock::Heard},
    secret::Secret,
};
pub use answer::{Answer, Stream};
pub use files::{FileContent, FileInfo};
pub use look::Looked;
use response::{Failure, Sent};

/// The `anthropic-version` that this client speaks.
pub(crate) const API_VERSION: &str = "2026-10-21";

/// How to reach an endpoint of the Messages API.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The base URL without `/v1`; it may have a path prefix and a trailing slash.
    pub base_url: Url,
    /// The key, sent as `x-api-key`.
    pub api_key: Option<Secret>,
    /// A token, sent as `authorization: Bearer`. Without token, key and such a header, every call fails with
    /// [`Cause::MissingKey`] and nothing is sent.
    pub auth_token: Option<Secret>,
    /// Further headers for every call, for gateways; they override ours of the same name.
    pub headers: Vec<(String, Secret)>,
    /// `anthropic-version`.
    pub api_version: String,
    /// The proxy for calls. Without one, the environment's proxy is used, but only for https to another machine.
    pub proxy: Option<Url>,
    /// How long to wait for each step.
    pub timeouts: Timeouts,
    /// When to retry.
    pub retry: Policy,
    /// How large an answer may be.
    pub limits: Limits,
}

impl ClientConfig {
    /// Returns a configuration with the default timeouts, retries and limits.
    #[must_use]
    pub fn new(base_url: Url, api_key: Option<Secret>) -> Self {
        let (timeouts, retry, limits) = (Timeouts::default(), Policy::default(), Limits::default());
        let (auth_token, headers, api_version) = (None, Vec::new(), API_VERSION.to_owned());
        Self { base_url, api_key, auth_token, headers, api_version, proxy: None, timeouts, retry, limits }
    }
}

/// How long a call waits for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until connected.
    pub connect: Duration,
    /// Until the response's headers, including sending the request.
    pub headers: Duration,
    /// Until the next byte of the answer; a ping counts.
    pub idle: Duration,
    /// For the whole call, including retries.
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

/// A client of one endpoint; cheap to clone, and clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    /// The base URL without credentials, for errors.
    shown_url: String,
    /// Headers of every call, all marked as sensitive.
    headers: HeaderMap,
    learnt: look::Learnt,
    /// The API's clock, from its answers.
    heard: Heard,
    config: ClientConfig,
}

impl Client {
    /// Returns a client; it does not connect yet.
    ///
    /// # Errors
    /// When the base URL or the key is unusable, or TLS cannot be set up. A missing key is not an error here, so that
    /// everything but answering works without one.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let shown_url = shown(&config.base_url);
        let failed = |cause| Error { cause, phase: Phase::BeforeAnswer, base_url: shown_url.clone(), request_id: None };
        let endpoint = endpoint(&config.base_url).ok_or_else(|| failed(Cause::UnusableBaseUrl))?;
        let headers = headers::of(&config).ok_or_else(|| failed(Cause::UnusableKey))?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("workmate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.timeouts.connect)
            .tcp_keepalive(Duration::from_secs(30))
            // A redirect would send the key to its target.
            .redirect(reqwest::redirect::Policy::none())
            // Compression delays events until a block is full.
            .no_gzip();
        let setup = |error: &reqwest::Error| failed(Cause::Setup { reason: chain(error) });
        if let Some(proxy) = &config.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| setup(&error))?;
            http = http.no_proxy().proxy(proxy);
        } else if is_loopback(&endpoint) || endpoint.scheme() != "https" {
            // Under TLS a proxy only sees the destination. In plain http it would see the key, so one from the
            // environment is not used.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| setup(&error))?;
        Ok(Self {
            http,
            endpoint,
            shown_url,
            headers,
            learnt: look::Learnt::default(),
            heard: Heard::default(),
            config,
        })
    }

    /// Decides about an answer that broke off, by [`Policy::decide_broken`].
    #[must_use]
    pub fn decide_broken(&self, broken: Made, paid: u32, cause: &Cause) -> Decision {
        self.config.retry.decide_broken(broken, paid, cause, chance())
    }

    /// Requests an answer and returns it once it begins.
    ///
    /// # Errors
    /// As [`Self::stream_with`].
    pub async fn stream(&self, request: &Request) -> Result<Stream, Error> {
        self.stream_with(request, |_| {}).await
    }

    /// Requests an answer and returns it once it begins; `on_wait` is told of each failure that is retried.
    ///
    /// Failures are retried only until the answer's first event. Dropping the future ends the call.
    ///
    /// # Errors
    /// When the last attempt failed or a retry is pointless; [`Error::advice`] says what to do.
    pub async fn stream_with(&self, request: &Request, on_wait: impl Fn(&Waiting<'_>)) -> Result<Stream, Error> {
        if let Some(fault) = request.fault() {
            return Err(self.error(Failure::of(Cause::Unsendable(fault))));
        }
        if !headers::sign(&self.headers) {
            return Err(self.error(Failure::of(Cause::MissingKey)));
        }
        let body = Bytes::from(request.body());
        let sent = Sent { request_bytes: body.len(), ..self.sent(&request.model) };
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
        let call = self
            .http
            .post(self.endpoint.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.clone());
        let limit = (Wait::Headers, timeouts.headers);
        let response = within(limit, (timeouts.overall, deadline), call.send())
            .await?
            .map_err(|error| Failure::of(unsent(&error, timeouts.connect)))?;
        self.hear(response.headers());
        let request_id = response::request_id(response.headers());
        // The content decides whether it is an answer, whatever its type says.
        if !response.status().is_success() {
            return Err(self.refusal(response, sent, deadline).await);
        }
        Stream::begin(self.clone(), response, sent.model, request_id, deadline).await
    }

    fn hear(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        self.heard.note(text("date"), text("age"), clock::now());
    }

    /// Returns how many milliseconds the API's clock is ahead of ours; `None` until it has told the time.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.heard.ahead_ms()
    }

    /// Reads the body of an unsuccessful response.
    async fn refusal(&self, mut response: Response, sent: &Sent<'_>, deadline: Instant) -> Failure {
        let timeouts = self.config.timeouts;
        let hints = Hints::read(response.headers(), clock::now());
        let whole = (timeouts.overall, deadline);
        let body = body_of(&mut response, response::ERROR_BYTES_MAX, timeouts.idle, whole).await;
        let body = decoding::whole(response.headers(), body, response::ERROR_BYTES_MAX);
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

/// Awaits `work` for `limit`, but not beyond the call's own deadline.
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

/// Reads a body up to `bytes_max`. On a fault, returns what came before it.
async fn body_of(response: &mut Response, bytes_max: usize, idle: Duration, whole: (Duration, Instant)) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < bytes_max {
        let chunk = within((Wait::Idle, idle), whole, response.chunk()).await;
        let Ok(Ok(Some(chunk))) = chunk else { break };
        body.extend_from_slice(&chunk);
    }
    body
}

fn unsent(error: &reqwest::Error, limit: Duration) -> Cause {
    if error.is_connect() && error.is_timeout() {
        return Cause::Timeout { wait: Wait::Connect, limit };
    }
    Cause::Connect { reason: chain(error) }
}

/// Returns the causes of `error`; its own text would show the URL with credentials.
fn chain(error: &reqwest::Error) -> String {
    if std::error::Error::source(error).is_none() {
        "the HTTP client gives no reason".to_owned()
    } else {
        reach::chain(error)
    }
}

fn endpoint(base: &Url) -> Option<Url> {
    // Credentials in a URL would appear in logs.
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

/// Returns a random number in 0..1, so that waiting calls do not retry at the same time.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
