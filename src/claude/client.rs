//! The call itself: one POST, its retries until the answer begins, and the stream of the answer.

mod answer;
mod billing;
mod decoding;
mod headers;
mod look;
mod response;

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
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
pub use look::{LOOK_TIMEOUT, Looked};
use response::{Failure, Sent};

/// The `anthropic-version` that this client speaks.
pub const API_VERSION: &str = "2026-10-21";

/// How an endpoint of the Messages API is reached.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its base, without `/v1`; a path prefix and a trailing slash are fine.
    pub base_url: Url,
    /// The key, as `x-api-key`.
    pub api_key: Option<Secret>,
    /// A token, as `authorization: Bearer`. Without it, a key or a header of such a name every call fails with
    /// [`Cause::MissingKey`] and nothing is sent.
    pub auth_token: Option<Secret>,
    /// Further headers of every call, for gateways; they go before ours of the same name.
    pub headers: Vec<(String, Secret)>,
    /// `anthropic-version`.
    pub api_version: String,
    /// The proxy that calls go through; without one, the environment's for https to another machine, and none otherwise.
    pub proxy: Option<Url>,
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
        let (timeouts, retry, limits) = (Timeouts::default(), Policy::default(), Limits::default());
        let (auth_token, headers, api_version) = (None, Vec::new(), API_VERSION.to_owned());
        Self { base_url, api_key, auth_token, headers, api_version, proxy: None, timeouts, retry, limits }
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
    /// Of every call; all of them are marked as secrets.
    headers: HeaderMap,
    learnt: look::Learnt,
    /// What the API says the time is.
    heard: Heard,
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
        let headers = headers::of(&config).ok_or_else(|| failed(Cause::UnusableKey))?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("workmate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.timeouts.connect)
            .tcp_keepalive(Duration::from_secs(30))
            // A redirect would carry the key to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            // Compression holds events back until a block is full.
            .no_gzip();
        let setup = |error: &reqwest::Error| failed(Cause::Setup { reason: chain(error) });
        if let Some(proxy) = &config.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| setup(&error))?;
            http = http.no_proxy().proxy(proxy);
        } else if is_loopback(&endpoint) || endpoint.scheme() != "https" {
            // Within TLS a proxy sees where a call goes. In plain http it would see the key, and nobody has named it.
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

    /// Decides about an answer that broke off, as [`Policy::decide_broken`] does.
    #[must_use]
    pub fn decide_broken(&self, broken: Made, paid: u32, cause: &Cause) -> Decision {
        self.config.retry.decide_broken(broken, paid, cause, chance())
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
        if !headers::sign(&self.headers) {
            return Err(self.error(Failure::of(Cause::MissingKey)));
        }
        let body = Bytes::from(request.body());
        let sent = Sent { model: &request.model, request_bytes: body.len(), secrets: headers::secrets(&self.config) };
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
        // What it holds tells whether it is an answer, whatever its type says.
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, sent, deadline).await);
        }
        Stream::begin(self.clone(), response, sent.model, request_id, deadline).await
    }

    fn hear(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        self.heard.note(text("date"), text("age"), clock::now());
    }

    /// Returns by how many milliseconds the API's clock is ahead of ours, once it has said the time.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.heard.ahead_ms()
    }

    /// Reads the body of a response that is no answer.
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

/// Reads a body, up to so many bytes. What came before a fault is all that there is to say.
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

/// Returns the reasons under `error`; its own text would show the URL, credentials included.
fn chain(error: &reqwest::Error) -> String {
    if std::error::Error::source(error).is_none() {
        "the HTTP client gives no reason".to_owned()
    } else {
        reach::chain(error)
    }
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
