//! The configured MCP servers: each is started, kept running, listed and called on its own.
//!
//! Servers are not trusted: lists are bounded, texts are data, requests to us are refused. A server that hangs, floods
//! or dies is restarted without affecting the others.

mod client;
mod http;
mod lenient;
mod listing;
mod mending;
mod result;
mod stdio;
#[cfg(feature = "doubles")]
mod taken;
mod trouble;
mod watched;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rmcp::{
    ErrorData, Peer, RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResponse, ClientRequest, PingRequest},
    service::{PeerRequestOptions, RunningService, ServiceError},
    transport::Transport as McpTransport,
};
use serde_json::{Map, Value};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{
        mask::Mask,
        retry::doubled,
        tool::{self, LeftOut, Offer, Output, Transport},
    },
    secret::Secret,
};

#[cfg(feature = "doubles")]
pub(crate) use self::taken::taken_in;
use self::{
    client::Client,
    listing::Listing,
    stdio::Program,
    trouble::Trouble,
    watched::{Watch, Watched},
};

/// How long starting and initialising may take; `npx` may have to download the server.
const INITIALISE_MAX: Duration = Duration::from_mins(1);
/// How long listing all tools may take.
const LIST_MAX: Duration = Duration::from_secs(30);
/// How long after a change notification the list is read, because more changes may follow.
const LIST_DEBOUNCE: Duration = Duration::from_millis(200);
/// The shortest time between two readings of the list.
const LIST_GAP: Duration = Duration::from_secs(2);
/// How often an idle server's list is read again: a change may not have been announced, and it shows that the server
/// lives.
const LIST_AGAIN: Duration = Duration::from_mins(5);
/// Concurrent calls of one server; further ones wait within their timeouts.
const CALLS_AT_ONCE_MAX: usize = 8;
/// How long a call waits for a server that is restarting.
const UP_PATIENCE: Duration = Duration::from_secs(5);
/// How long a call waits for the list of tools after the server has said that it changed.
const LISTED_PATIENCE: Duration = Duration::from_secs(10);
/// How long a suspect server may take to answer a ping.
const PING_MAX: Duration = Duration::from_secs(10);
/// Consecutive unanswered calls after which a server counts as hanging, even if it is busy.
const STRIKES_MAX: u32 = 3;
/// The first pause before a restart; it doubles up to the next constant.
const RESTART_GAP_MIN: Duration = Duration::from_millis(500);
const RESTART_GAP_MAX: Duration = Duration::from_mins(5);
/// How long a server must run for the pause to start over.
const STABLE: Duration = Duration::from_mins(1);
/// How long closing a connection may take.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Characters of a server's error passed to the model.
const ERROR_CHARS_MAX: usize = 2_000;

/// An MCP server, up or not.
pub(super) struct Server {
    name: String,
    transport: Transport,
    /// The credentials that its settings name.
    credentials: BTreeMap<String, Secret>,
    mask: Mask,
    state: watch::Sender<State>,
    changes: watch::Sender<u64>,
    places: Semaphore,
    /// Unanswered calls since the last answer.
    strikes: AtomicU32,
    /// Notified when a call was not answered.
    suspect: Notify,
    /// Why it was last down.
    trouble: Mutex<Option<String>>,
}

#[derive(Clone)]
struct State {
    /// The connection while the server is up.
    connection: Option<Connection>,
    /// Its latest listing.
    listing: Arc<Listing>,
}

#[derive(Clone)]
struct Connection {
    peer: Peer<RoleClient>,
    watch: Watch,
    /// How many of the server's changes the listing includes.
    listed: u64,
}

impl State {
    /// Returns the connection for calls. One that has just closed may still be in the state.
    fn open(&self) -> Option<&Connection> {
        self.connection.as_ref().filter(|connection| !connection.watch.is_closed())
    }

    /// Returns the connection if its listing includes what another had announced by then.
    fn open_since(&self, then: &Watch, changes: u64) -> Option<&Connection> {
        self.open().filter(|connection| !connection.watch.is_same(then) || connection.listed >= changes)
    }

    /// Returns why a tool is not called on this connection although the model read of it.
    fn objects_to(&self, offer: &Offer) -> Option<Output> {
        let name = offer.name.as_str();
        let here = self.listing.offers.iter().find(|here| here.source == offer.source);
        match here.map(|here| here.fingerprint() == offer.fingerprint()) {
            Some(true) => None,
            Some(false) => Some(Output::error(format!(
                "{name} has changed since this request began, so it was not used. An admin of the workspace has to \
                 accept the change first."
            ))),
            None => Some(Output::error(format!("{name} is not there any more."))),
        }
    }
}

/// How a run of a server ended.
struct End {
    trouble: Trouble,
    was_up: bool,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, was_up: false }
    }
}

impl Server {
    pub(super) fn new(
        server: tool::Server,
        credentials: &BTreeMap<String, Secret>,
        mask: Mask,
        changes: watch::Sender<u64>,
    ) -> Self {
        Self {
            name: server.name,
            transport: server.transport,
            credentials: credentials.clone(),
            mask,
            state: watch::Sender::new(State { connection: None, listing: Arc::default() }),
            changes,
            places: Semaphore::new(CALLS_AT_ONCE_MAX),
            strikes: AtomicU32::new(0),
            suspect: Notify::new(),
            trouble: Mutex::default(),
        }
    }

    /// Returns why it was last down.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().open().is_some()
    }

    /// Returns its latest offers, whether it is up or not.
    pub(super) fn offers(&self) -> Arc<[Offer]> {
        self.state.borrow().listing.offers.clone()
    }

    /// Returns its tools that cannot be offered, if they have names.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.state.borrow().listing.left_out.clone()
    }

    /// Calls a tool by the server's own name, if the connection that makes the call lists it as the model read it. The
    /// caller limits the time; dropping the future cancels the call at the server.
    pub(super) async fn call(&self, offer: &Offer, tool: &str, arguments: &Map<String, Value>) -> Output {
        let Ok(_place) = self.places.acquire().await else { return self.is_down() };
        let peer = match self.peer_for(offer).await {
            Ok(peer) => peer,
            Err(output) => return output,
        };
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
        let answer = peer.call_tool_once(params).await;
        if matches!(answer, Ok(_) | Err(ServiceError::McpError(_) | ServiceError::UnexpectedResponse)) {
            self.strikes.store(0, Ordering::Relaxed);
        }
        match answer {
            Ok(CallToolResponse::Complete(result)) => result::output(result),
            Ok(_) => Output::error("The tool asks for what is not given here (input of a person, or a task)."),
            Err(ServiceError::McpError(error)) => Output::error(refusal(&error)),
            Err(ServiceError::UnexpectedResponse) => Output::error("The server's answer is none to this call."),
            Err(_) => {
                self.was_too_slow();
                let name = &self.name;
                Output::error(format!(
                    "The server {name} went away during the call. Whether it took effect is unknown."
                ))
            }
        }
    }

    /// Returns the peer for a call of a tool, after comparing the tool with the peer's own listing. What the server has
    /// announced by now is listed first.
    async fn peer_for(&self, offer: &Offer) -> Result<Peer<RoleClient>, Output> {
        let mut state = self.state.subscribe();
        let (watch, changes) = match timeout(UP_PATIENCE, state.wait_for(|state| state.open().is_some())).await {
            Ok(Ok(state)) => state.open().map(|open| (open.watch.clone(), open.watch.changes())),
            _ => None,
        }
        .ok_or_else(|| self.is_down())?;
        let is_listed = |state: &State| state.open_since(&watch, changes).is_some();
        let Ok(Ok(state)) = timeout(LISTED_PATIENCE, state.wait_for(is_listed)).await else {
            let name = &self.name;
            return Err(Output::error(format!(
                "The server {name} has changed its tools and does not list them now, so the call was not made."
            )));
        };
        match (state.objects_to(offer), state.open_since(&watch, changes)) {
            (Some(objection), _) => Err(objection),
            (None, Some(connection)) => Ok(connection.peer.clone()),
            // It closed at this moment.
            (None, None) => Err(self.is_down()),
        }
    }

    /// Waits until no call is in progress; further ones wait from then on.
    pub(super) async fn until_idle(&self) {
        let places = u32::try_from(CALLS_AT_ONCE_MAX).unwrap_or(u32::MAX);
        if let Ok(all) = self.places.acquire_many(places).await {
            all.forget();
        }
        self.places.close();
    }

    /// Records an unanswered call; the server is then pinged.
    pub(super) fn was_too_slow(&self) {
        self.strikes.fetch_add(1, Ordering::Relaxed);
        self.suspect.notify_one();
    }

    fn is_down(&self) -> Output {
        let name = &self.name;
        Output::error(format!("The server {name} is down and is being started again. Go on without it, and say so."))
    }

    fn is_busy(&self) -> bool {
        self.places.available_permits() < CALLS_AT_ONCE_MAX
    }

    /// Keeps the server running until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let Some(End { trouble, was_up }) = self.run(&stop).await else { return };
            if began.elapsed() >= STABLE {
                failures = 0;
            }
            let gap = restart_gap(failures);
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble.to_string());
            if failures == 0 {
                self.changes.send_modify(|count| *count += 1);
            }
            let server = self.name.as_str();
            if was_up || failures == 0 {
                tracing::warn!(mcp.server = server, cause = %trouble, "MCP server {server} is down: {trouble}");
            } else {
                tracing::debug!(mcp.server = server, cause = %trouble, failures, "MCP server is still down");
            }
            failures += 1;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(gap) => {}
            }
        }
    }

    /// Runs it once; returns why it ended, or `None` on `stop`.
    async fn run(&self, stop: &CancellationToken) -> Option<End> {
        match &self.transport {
            Transport::Stdio { command, env } => match Program::start(command, env, &self.credentials) {
                Ok((program, pipes)) => {
                    let end = Box::pin(self.serve(pipes, stop)).await;
                    let lines = program.end().await;
                    tracing::debug!(
                        mcp.server = self.name,
                        lines,
                        "what an MCP server wrote to standard error was read"
                    );
                    end
                }
                Err(trouble) => Some(trouble.into()),
            },
            Transport::Http { url, headers } => match http::connect(url, headers, &self.credentials) {
                Ok(transport) => Box::pin(self.serve(transport, stop)).await,
                Err(trouble) => Some(trouble.into()),
            },
        }
    }

    async fn serve<T>(&self, transport: T, stop: &CancellationToken) -> Option<End>
    where
        T: McpTransport<RoleClient> + 'static,
    {
        let (transport, watch) = Watched::new(transport);
        let list_changed = Arc::new(Notify::new());
        let starting = timeout(INITIALISE_MAX, Client::new(list_changed.clone()).serve(transport));
        let started = tokio::select! {
            () = stop.cancelled() => return None,
            started = starting => started,
        };
        let running = match started {
            Err(_) => return Some(Trouble::InitialiseTooSlow.into()),
            Ok(Err(_)) if watch.flooded() => return Some(Trouble::Flooded.into()),
            Ok(Err(error)) => return Some(Trouble::initialise(&error).into()),
            Ok(Ok(running)) => running,
        };
        let end = tokio::select! {
            () = stop.cancelled() => None,
            () = watch.closed() => Some(if watch.flooded() { Trouble::Flooded } else { Trouble::Closed }),
            trouble = self.follow(running.peer(), &watch, &list_changed) => Some(trouble),
        };
        let was_up = self.goes_down();
        close(running, &watch).await;
        end.map(|trouble| End { trouble, was_up })
    }

    /// Publishes the server's list whenever it changes, until there is trouble.
    async fn follow(&self, peer: &Peer<RoleClient>, watch: &Watch, list_changed: &Notify) -> Trouble {
        loop {
            let (listed_at, listed) = (Instant::now(), watch.changes());
            match timeout(LIST_MAX, listing::list(peer, &self.name, &self.mask)).await {
                Ok(Ok(listing)) => {
                    self.lists(Connection { peer: peer.clone(), watch: watch.clone(), listed }, listing);
                }
                Ok(Err(trouble)) => return trouble,
                // A single-threaded server may be busy with a call.
                Err(_) if self.is_up() && self.is_busy() => {}
                Err(_) => return Trouble::ListTooSlow,
            }
            loop {
                tokio::select! {
                    () = list_changed.notified() => {
                        sleep_until((listed_at + LIST_GAP).max(Instant::now() + LIST_DEBOUNCE)).await;
                        break;
                    }
                    () = sleep_until(listed_at + LIST_AGAIN), if !self.is_busy() => break,
                    () = self.suspect.notified() => {
                        let gives_up = !self.is_busy() || self.strikes.load(Ordering::Relaxed) >= STRIKES_MAX;
                        if !answers(peer).await && gives_up {
                            return Trouble::Silent;
                        }
                    }
                }
            }
        }
    }

    fn lists(&self, connection: Connection, listing: Listing) {
        let before = self.state.borrow().clone();
        listing.say_dropped(&self.name, &before.listing);
        let tools = listing.offers.len();
        let changed = before.connection.is_none() || before.listing.offers != listing.offers;
        self.state.send_replace(State { connection: Some(connection), listing: Arc::new(listing) });
        if before.connection.is_none() {
            self.strikes.store(0, Ordering::Relaxed);
            tracing::info!(mcp.server = self.name, tools, "MCP server {} is up with {tools} tools", self.name);
        } else if changed {
            tracing::info!(mcp.server = self.name, tools, "MCP server {} has another list of tools", self.name);
        }
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Returns whether it had been up.
    fn goes_down(&self) -> bool {
        let was_up = self.state.send_if_modified(|state| state.connection.take().is_some());
        if was_up {
            self.changes.send_modify(|count| *count += 1);
        }
        was_up
    }
}

async fn close(mut running: RunningService<RoleClient, Client>, watch: &Watch) {
    watch.close();
    if let Ok(None) | Err(_) = running.close_with_timeout(CLOSE_MAX).await {
        tracing::debug!("an MCP connection did not close in time");
    }
}

/// Returns whether the server answers a ping; an error counts as an answer.
async fn answers(peer: &Peer<RoleClient>) -> bool {
    let ping = async {
        let request = ClientRequest::PingRequest(PingRequest::default());
        peer.send_request_with_option(request, PeerRequestOptions::with_timeout(PING_MAX)).await?.await_response().await
    };
    matches!(timeout(PING_MAX, ping).await, Ok(Ok(_) | Err(ServiceError::McpError(_))))
}

fn refusal(error: &ErrorData) -> String {
    let message: String = error.message.chars().take(ERROR_CHARS_MAX).collect();
    format!("The server refused the call (error {}): {message}", error.code.0)
}

fn restart_gap(failures: u32) -> Duration {
    doubled(RESTART_GAP_MIN, RESTART_GAP_MAX, failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_failing_is_started_ever_more_seldom() {
        let gaps: Vec<u64> = [0, 1, 2, 3, 9, 10, 40].map(|failures| restart_gap(failures).as_secs()).into();
        assert_eq!(gaps, [0, 1, 2, 4, 256, 300, 300]);
        assert_eq!(restart_gap(0), RESTART_GAP_MIN);
    }
}
