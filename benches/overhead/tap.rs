//! A relay between Workmate and the homeserver that records every request: which, when, how long.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    serve::ListenerExt as _,
};
use tokio::{
    net::TcpListener,
    time::{Duration, Instant},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;
use workmate::cli::demo::homeserver::free_port;

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// Method and path, without ids.
    pub(crate) what: String,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
}

/// A running relay.
pub(crate) struct Tap {
    inner: Arc<Inner>,
    pub(crate) url: Url,
    _stop: DropGuard,
}

struct Inner {
    homeserver: Url,
    http: reqwest::Client,
    passed: Mutex<Vec<Passed>>,
}

impl Tap {
    pub(crate) async fn start(homeserver: &Url) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().no_gzip().tcp_nodelay(true).build()?;
        let inner = Arc::new(Inner { homeserver: homeserver.clone(), http, passed: Mutex::default() });
        let address = free_port()?.local_addr()?;
        let stop = CancellationToken::new();
        let router = Router::new().fallback(relay).with_state(inner.clone());
        listen(address, router, stop.clone(), &TaskTracker::new()).await?;
        Ok(Self { inner, url: Url::parse(&format!("http://{address}/"))?, _stop: stop.drop_guard() })
    }

    /// Returns the requests since the last call, in the order in which they began.
    pub(crate) fn take(&self) -> Vec<Passed> {
        let mut passed = std::mem::take(&mut *self.inner.passed.lock().unwrap_or_else(PoisonError::into_inner));
        passed.sort_by_key(|passed| passed.began);
        passed
    }
}

/// Serves on a reserved port without Nagle's delay.
pub(crate) async fn listen(
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    // A connection that refuses the option works anyway.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tasks.spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await });
    Ok(())
}

async fn relay(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let what = format!("{} {}", parts.method, shape(parts.uri.path()));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let Ok(url) = inner.homeserver.join(path) else { return failed() };
    let mut headers = parts.headers;
    strip(&mut headers);
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return failed() };
    let sent = inner.http.request(parts.method, url).headers(headers).body(body).send().await;
    let Ok(answer) = sent else { return failed() };
    let status = answer.status();
    let mut headers = answer.headers().clone();
    strip(&mut headers);
    let Ok(bytes) = answer.bytes().await else { return failed() };
    let passed = Passed { what: format!("{what} {}", status.as_u16()), began, took: began.elapsed() };
    inner.passed.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn strip(headers: &mut HeaderMap) {
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

fn failed() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Replaces ids in a path: `…/rooms/{…}/send/m.room.message/{…}`.
fn shape(path: &str) -> String {
    let kept = path.trim_start_matches("/_matrix/client/").split('/').map(|part| {
        let is_id = part.starts_with(['!', '@', '$', '%']) || part.len() > 24;
        if is_id { "…" } else { part }
    });
    kept.collect::<Vec<_>>().join("/")
}
