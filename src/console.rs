//! The operators' console, on a listener of its own: pages that the server writes, for admins who came in by a link from
//! their own encrypted chat.
//!
//! Every call is judged before anything is looked up: the host that it names, how often it comes, then its session. What a
//! page shows is asked of the engine, which knows no content to show: only what `/readyz`, the audit index and the budgets
//! hold. Pages work without their script, which only keeps them up to date.

mod chart;
mod guard;
mod live;
mod pages;
pub(crate) mod view;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, State},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE},
    },
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ruma::UserId;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use self::view::{Answer, Wanted};
use crate::{
    clock,
    core::{
        audit::RunKey,
        connection::place::Reached,
        console::query::{self, Asked, QUERY_BYTES_MAX},
    },
    secret::Secret,
};

/// Connections at once to the listener.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Pages that are made at the same time; further ones wait.
const PAGES_AT_ONCE_MAX: usize = 4;
/// How long a page may take, its wait for a place included.
const PAGE_WAIT: Duration = Duration::from_secs(10);
/// Most bytes of a form; none needs more than two tokens.
const FORM_BYTES_MAX: usize = 4 << 10;

/// A call for a page.
pub(crate) struct Call {
    /// What it wants.
    pub wanted: Wanted,
    /// Receives the answer.
    pub answer: oneshot::Sender<Answer>,
}

/// An admin who is signed in, in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Who it is.
    pub admin: ruma::OwnedUserId,
    /// The hash of the session's token.
    pub session: String,
    /// What forms of our own pages prove themselves with.
    pub form: String,
}

/// What an admin does by a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Try everything for real, as `workmate doctor` does, without asking the model.
    Examine,
}

/// The engine's side of the door.
pub(crate) trait Door: Send + Sync {
    /// Returns whether a link's token would open the console; it stays.
    fn knows_link(&self, token: &str) -> bool;
    /// Takes a link's token, and begins a session; returns the session's token.
    fn enter(&self, token: &str) -> Option<Secret>;
    /// Returns whose session a token proves.
    fn admit(&self, token: &str) -> Option<Admitted>;
    /// Ends a session.
    fn leave(&self, admitted: &Admitted);
    /// Does what an admin's button is for.
    fn act(&self, admin: &UserId, act: Act);
    /// Returns a number that changes whenever a page may have.
    fn pulse(&self) -> u64;
}

/// What all calls share.
struct Shared {
    reached: Reached,
    /// The path of the public address, without a slash at its end.
    base: String,
    door: Box<dyn Door>,
    calls: mpsc::Sender<Call>,
    pages: Semaphore,
    guard: guard::Guard,
    live: Arc<Semaphore>,
    stop: CancellationToken,
}

type Console = State<Arc<Shared>>;

/// Returns the routes; what pages want goes to `calls`.
pub(crate) fn router(
    reached: Reached,
    door: impl Door + 'static,
    calls: mpsc::Sender<Call>,
    stop: CancellationToken,
) -> Router {
    let base = reached.public.path().trim_end_matches('/').to_owned();
    let shared = Arc::new(Shared {
        reached,
        base: base.clone(),
        door: Box::new(door),
        calls,
        pages: Semaphore::new(PAGES_AT_ONCE_MAX),
        guard: guard::Guard::default(),
        live: Arc::new(Semaphore::new(live::LISTENERS_MAX)),
        stop,
    });
    let pages = || {
        Router::new()
            .route("/", get(now))
            .route("/runs", get(runs))
            .route("/runs/{run}", get(run))
            .route("/spend", get(spend))
            .route("/coworkers", get(coworkers))
            .route("/queues", get(queues))
            .route("/assistants", get(assistants))
            .route("/changes", get(changes))
            .route("/live", get(live::listen))
            .route("/in/{token}", get(show_door))
            .route("/in", post(enter))
            .route("/out", post(leave))
            .route("/examine", post(examine))
            .route("/style.css", get(async || asset("text/css; charset=utf-8", pages::STYLE)))
            .route("/script.js", get(async || asset("text/javascript; charset=utf-8", pages::SCRIPT)))
            .route("/icon.svg", get(async || asset("image/svg+xml", pages::ICON)))
    };
    let mut routes = pages();
    if !base.is_empty() {
        // For a proxy that hands the whole path on.
        routes = routes.nest(&base, pages()).route(&format!("{base}/"), get(now));
    }
    routes
        .fallback(async |State(console): Console| told(&console, StatusCode::NOT_FOUND, pages::Told::Nowhere))
        .method_not_allowed_fallback(async |State(console): Console| {
            told(&console, StatusCode::METHOD_NOT_ALLOWED, pages::Told::Nowhere)
        })
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), guard::watch))
        .with_state(shared)
}

/// Returns a file that is part of the program; its address changes with its content.
fn asset(kind: &'static str, content: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")], content).into_response()
}

fn html(status: StatusCode, page: String) -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (status, headers, page).into_response()
}

/// Returns a page for whoever is not signed in.
fn told(console: &Shared, status: StatusCode, told: pages::Told) -> Response {
    html(status, pages::told(&console.base, told))
}

/// Returns the way to another page, after a form.
fn see(console: &Shared, path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, format!("{}{path}", console.base))]).into_response()
}

impl Shared {
    /// Returns who calls, by the session's cookie.
    fn admitted(&self, headers: &HeaderMap) -> Option<Admitted> {
        guard::cookie(headers, self.cookie_name()).and_then(|token| self.door.admit(token))
    }

    fn is_secure(&self) -> bool {
        self.reached.public.scheme() == "https"
    }

    const fn cookie_name_of(is_secure: bool, is_at_root: bool) -> &'static str {
        match (is_secure, is_at_root) {
            // Browsers let no other host and no plain page set cookies of these names.
            (true, true) => "__Host-workmate",
            (true, false) => "__Secure-workmate",
            (false, _) => "workmate",
        }
    }

    fn cookie_name(&self) -> &'static str {
        Self::cookie_name_of(self.is_secure(), self.base.is_empty())
    }

    /// Returns the header that sets the session's cookie, or that takes it away.
    fn set_cookie(&self, token: Option<&str>) -> String {
        let (name, path) = (self.cookie_name(), if self.base.is_empty() { "/" } else { &self.base });
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let age = if token.is_some() { "" } else { "; Max-Age=0" };
        format!("{name}={}; Path={path}; HttpOnly; SameSite=Strict{secure}{age}", token.unwrap_or_default())
    }

    /// Asks the engine; `None` if it does not answer in time.
    async fn ask(&self, wanted: Wanted) -> Option<Answer> {
        let asking = async {
            let _place = self.pages.acquire().await.ok()?;
            let (answer, answered) = oneshot::channel();
            self.calls.send(Call { wanted, answer }).await.ok()?;
            answered.await.ok()
        };
        timeout(PAGE_WAIT, asking).await.ok().flatten()
    }

    /// Returns a page for an admin, or says why there is none.
    async fn page(&self, headers: &HeaderMap, wanted: Wanted) -> Response {
        let Some(admitted) = self.admitted(headers) else {
            return told(self, StatusCode::UNAUTHORIZED, pages::Told::SignedOut);
        };
        let frame = pages::Frame { base: &self.base, admitted: &admitted };
        match self.ask(wanted).await {
            Some(Answer::Nothing) => html(StatusCode::NOT_FOUND, pages::nothing(&frame)),
            Some(Answer::Failed(why)) => html(StatusCode::SERVICE_UNAVAILABLE, pages::failed(&frame, &why)),
            Some(answer) => html(StatusCode::OK, pages::page(&frame, &answer)),
            None => html(StatusCode::SERVICE_UNAVAILABLE, pages::failed(&frame, "It took too long.")),
        }
    }

    /// Returns who sent a form from one of our own pages, or the answer that it gets instead.
    fn of_form(&self, headers: &HeaderMap, body: &[u8]) -> Result<Admitted, Response> {
        let Some(admitted) = self.admitted(headers) else {
            return Err(told(self, StatusCode::UNAUTHORIZED, pages::Told::SignedOut));
        };
        let proven = field(body, "form").is_some_and(|form| Secret::new(admitted.form.as_str()).matches(&form));
        if proven { Ok(admitted) } else { Err(told(self, StatusCode::FORBIDDEN, pages::Told::Foreign)) }
    }
}

/// Returns a field of a form.
fn field(body: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(body).find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
}

fn short(query: Option<String>) -> String {
    query.filter(|query| query.len() <= QUERY_BYTES_MAX).unwrap_or_default()
}

async fn now(State(console): Console, headers: HeaderMap) -> Response {
    console.page(&headers, Wanted::Now).await
}

async fn runs(State(console): Console, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(&short(query), clock::now());
    console.page(&headers, Wanted::Runs(Box::new(asked))).await
}

async fn run(State(console): Console, headers: HeaderMap, Path(run): Path<String>) -> Response {
    let key: Option<RunKey> = query::key_of(&run);
    console.page(&headers, key.map_or(Wanted::Nothing, Wanted::Run)).await
}

async fn spend(State(console): Console, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let (by, span) = query::spending(&short(query));
    console.page(&headers, Wanted::Spend(by, span)).await
}

async fn coworkers(State(console): Console, headers: HeaderMap) -> Response {
    console.page(&headers, Wanted::Coworkers).await
}

async fn queues(State(console): Console, headers: HeaderMap) -> Response {
    console.page(&headers, Wanted::Queues).await
}

async fn assistants(State(console): Console, headers: HeaderMap) -> Response {
    console.page(&headers, Wanted::Assistants).await
}

async fn changes(State(console): Console, headers: HeaderMap) -> Response {
    console.page(&headers, Wanted::Changes).await
}

/// Shows a link's button. Looking at it takes nothing: what fetches links to show a preview must not use one up.
async fn show_door(State(console): Console, Path(token): Path<String>) -> Response {
    if console.door.knows_link(&token) {
        html(StatusCode::OK, pages::door(&console.base, &token))
    } else {
        told(&console, StatusCode::GONE, pages::Told::LinkOver)
    }
}

async fn enter(State(console): Console, body: Bytes) -> Response {
    let entered = field(&body, "link").and_then(|token| console.door.enter(&token));
    let Some(session) = entered else { return told(&console, StatusCode::GONE, pages::Told::LinkOver) };
    let cookie = console.set_cookie(Some(session.expose()));
    ([(SET_COOKIE, cookie)], see(&console, "/")).into_response()
}

async fn leave(State(console): Console, headers: HeaderMap, body: Bytes) -> Response {
    match console.of_form(&headers, &body) {
        Ok(admitted) => {
            console.door.leave(&admitted);
            let gone = told(&console, StatusCode::OK, pages::Told::Left);
            ([(SET_COOKIE, console.set_cookie(None))], gone).into_response()
        }
        Err(refused) => refused,
    }
}

async fn examine(State(console): Console, headers: HeaderMap, body: Bytes) -> Response {
    match console.of_form(&headers, &body) {
        Ok(admitted) => {
            console.door.act(&admitted.admin, Act::Examine);
            see(&console, "/#examined")
        }
        Err(refused) => refused,
    }
}

#[cfg(test)]
mod tests;
