//! A misbehaving proxy between Workmate and its homeserver, for either direction.

use std::{
    collections::BTreeMap,
    panic,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{
        HeaderMap, Method, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING},
    },
    response::Response,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use url::Url;

/// Larger bodies are not forwarded.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A call, as far as a decision needs to know it.
pub(crate) struct Call {
    /// The HTTP method.
    pub(crate) method: Method,
    /// The path without the query.
    pub(crate) path: String,
    /// The root of the thread that a sent message names in the clear.
    #[allow(dead_code, reason = "the bench and the tests use different parts")]
    pub(crate) thread: Option<String>,
}

impl Call {
    /// Returns whether the call sends an event of this type to a room.
    #[allow(dead_code, reason = "the bench and the tests use different parts")]
    pub(crate) fn sends(&self, event_type: &str) -> bool {
        self.method == Method::PUT && self.path.contains(&format!("/send/{event_type}/"))
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code, reason = "the bench and the tests use different parts")]
pub(crate) enum Fault {
    /// Forward it unchanged.
    None,
    /// Do not forward it; answer with a Matrix error.
    Json(u16, &'static str),
    /// Do not forward it; answer 429 with a demand to wait so many milliseconds.
    LimitedFor(u64),
    /// Do not forward it; answer with a reverse proxy's error page.
    Page(u16),
    /// Forward it after this many milliseconds.
    SlowMs(u64),
    /// Forward it once [`Faults::release`] says so.
    Held,
    /// Do not forward it; answer with a Matrix error once [`Faults::release`] says so.
    HeldJson(u16, &'static str),
    /// Forward it, and break the connection halfway through the response.
    Truncated,
    /// Break the connection without forwarding it.
    ResetBefore,
    /// Forward it, and break the connection before the response.
    ResetAfter,
    /// Forward it twice, and return the second response.
    Twice,
    /// Do not forward it, and answer with an empty success, as a broken load balancer does to a transaction.
    Swallowed,
    /// Do not forward it; answer with this JSON, as if it succeeded.
    Invented(&'static str),
    /// Do not forward it, and never answer.
    Hangs,
    /// Forward it, and never answer.
    HangsAfter,
}

impl Fault {
    /// Returns the fault's name for a tally.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Json(status, _) => format!("{status} json"),
            Self::HeldJson(status, _) => format!("{status} held"),
            Self::Page(status) => format!("{status} page"),
            Self::SlowMs(_) => "slow".to_owned(),
            Self::Invented(_) => "invented".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

type Decide = Arc<dyn Fn(&Call) -> Fault + Send + Sync>;

struct Inner {
    http: reqwest::Client,
    target: Url,
    decide: Mutex<Decide>,
    made: Mutex<BTreeMap<String, usize>>,
    released: watch::Sender<bool>,
}

/// A running proxy; it ends with its runtime.
#[derive(Clone)]
pub(crate) struct Faults {
    inner: Arc<Inner>,
    url: Url,
}

impl Faults {
    /// Starts a proxy before `target` that forwards everything until told otherwise.
    pub(crate) async fn before(target: Url) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let decide: Decide = Arc::new(|_| Fault::None);
        let inner = Arc::new(Inner {
            http,
            target,
            decide: Mutex::new(decide),
            made: Mutex::default(),
            released: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
        let shared = inner.clone();
        let answer = move |request: Request| answer(shared.clone(), request);
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Ok(Self { inner, url })
    }

    /// Returns the URL that it listens on.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Has `decide` choose a fault for each call from now on.
    pub(crate) fn decide(&self, decide: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        *lock(&self.inner.decide) = Arc::new(decide);
    }

    /// Lets what is held go on, until [`Self::hold`].
    #[allow(dead_code, reason = "the bench and the tests use different parts")]
    pub(crate) fn release(&self) {
        self.inner.released.send_replace(true);
    }

    /// Holds from now on what is decided to be held.
    #[allow(dead_code, reason = "the bench and the tests use different parts")]
    pub(crate) fn hold(&self) {
        self.inner.released.send_replace(false);
    }

    /// Forwards everything again.
    pub(crate) fn heal(&self) {
        self.decide(|_| Fault::None);
    }

    /// Returns how often each fault was injected.
    #[allow(dead_code, reason = "the bench and the tests use different parts")]
    pub(crate) fn made(&self) -> BTreeMap<String, usize> {
        lock(&self.inner.made).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(inner: Arc<Inner>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (thread, request) = if method == Method::PUT && path.contains("/send/m.room.") {
        thread_of(request).await
    } else {
        (None, request)
    };
    let call = Call { method, path, thread };
    let decide = lock(&inner.decide).clone();
    let fault = decide(&call);
    if fault != Fault::None {
        *lock(&inner.made).entry(fault.name()).or_default() += 1;
    }
    match fault {
        Fault::None => whole(&inner, request).await,
        Fault::SlowMs(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            whole(&inner, request).await
        }
        Fault::Held => {
            until_released(&inner).await;
            whole(&inner, request).await
        }
        Fault::HeldJson(status, errcode) => {
            until_released(&inner).await;
            matrix_error(status, errcode)
        }
        Fault::Json(status, errcode) => matrix_error(status, errcode),
        Fault::LimitedFor(ms) => limited(ms),
        Fault::Page(status) => page(status),
        Fault::ResetBefore => break_connection(),
        Fault::ResetAfter => {
            drop(whole(&inner, request).await);
            break_connection()
        }
        Fault::Truncated => truncated(whole(&inner, request).await).await,
        Fault::Twice => twice(&inner, request).await,
        Fault::Swallowed => respond(200, "application/json", "{}"),
        Fault::Invented(body) => respond(200, "application/json", body),
        Fault::Hangs => std::future::pending().await,
        Fault::HangsAfter => {
            drop(whole(&inner, request).await);
            std::future::pending().await
        }
    }
}

async fn until_released(inner: &Inner) {
    // The sender lives as long as `inner`.
    let _ = inner.released.subscribe().wait_for(|released| *released).await;
}

/// Returns the root of the thread that a message names in the clear.
async fn thread_of(request: Request) -> (Option<String>, Request) {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let content: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let relation = &content["m.relates_to"];
    let root = relation["event_id"].as_str().filter(|_| relation["rel_type"] == "m.thread");
    (root.map(str::to_owned), Request::from_parts(parts, Body::from(bytes)))
}

/// Aborts this connection's task, and so the connection, silently.
fn break_connection() -> ! {
    panic::resume_unwind(Box::new("the connection breaks"))
}

fn matrix_error(status: u16, errcode: &str) -> Response {
    let mut error: Value = json!({ "errcode": errcode, "error": "injected" });
    if status == 429 {
        error["retry_after_ms"] = json!(200);
    }
    let mut response = respond(status, "application/json", &error.to_string());
    if status == 429 {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

fn limited(ms: u64) -> Response {
    let error = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "injected", "retry_after_ms": ms });
    respond(429, "application/json", &error.to_string())
}

fn page(status: u16) -> Response {
    respond(status, "text/html", &format!("<html><head><title>{status}</title></head><body>nginx</body></html>"))
}

fn respond(status: u16, media_type: &'static str, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).expect("faults have valid statuses");
    response.headers_mut().insert(CONTENT_TYPE, media_type.parse().expect("a media type is a header's value"));
    response
}

async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    parts.headers.remove(CONTENT_LENGTH);
    let half = bytes.slice(..bytes.len() / 2);
    let cut = [Ok(half), Err(std::io::Error::other("the connection breaks"))];
    Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(cut)))
}

async fn whole(inner: &Inner, request: Request) -> Response {
    passed(pass_on(inner, request).await)
}

async fn twice(inner: &Inner, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_BYTES_MAX).await else { return page(502) };
    let path = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let first = send(inner, &parts.method, &path, parts.headers.clone(), bytes.clone()).await;
    drop(first);
    passed(send(inner, &parts.method, &path, parts.headers, bytes).await)
}

fn passed(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|_| page(502))
}

async fn pass_on(inner: &Inner, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().context("a call has a path")?.as_str().to_owned();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await?;
    send(inner, &parts.method, &path, parts.headers, bytes).await
}

async fn send(inner: &Inner, method: &Method, path: &str, mut headers: HeaderMap, body: Bytes) -> Result<Response> {
    for header in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(header);
    }
    let call = inner.http.request(method.clone(), inner.target.join(path)?).headers(headers).body(body);
    let answer = call.send().await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(media_type) = answer.headers().get(CONTENT_TYPE) {
        response = response.header(CONTENT_TYPE, media_type);
    }
    Ok(response.body(Body::from(answer.bytes().await?))?)
}
