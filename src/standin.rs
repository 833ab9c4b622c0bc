//! A strict stand-in for the Claude Messages API, over real HTTP on loopback.
//!
//! It serves as Claude in tests, and in the demo when no key is set. It judges requests by its own reading of the API,
//! never by `crate::claude`'s types. It simulates the prompt cache and thinking signatures, answers from scripts or by
//! itself, injects faults, and keeps a journal of every request.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use workmate::standin::{Matcher, Options, StandIn, Turn};
//!
//! let claude = StandIn::start(Options::scripted()).await?;
//! claude.on(Matcher::user("deploy"), Turn::text("It failed at migrate."));
//! // … point a client at claude.base_url(), let it ask …
//! claude.finish()?;
//! claude.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod batch_calls;
mod batches;
mod cache;
mod cite;
mod citing;
mod file_calls;
mod files;
mod http;
mod journal;
mod models;
mod offline;
mod page;
mod problem;
mod prompt;
mod script;
mod signature;
mod stream;
mod turn;
mod validate;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

pub use batches::BatchPlan;
pub use cite::Cite;
pub use files::StoredFile;
pub use journal::{RecordedFile, RecordedRequest, WAIT_SECONDS_MAX};
pub use script::{Matcher, refusal_trigger};
pub use turn::{Failure, Fault, Gate, Turn};

use cache::Cache;
use http::{Memory, Shared, lock};
use journal::Journal;
use script::Scripts;

/// The real API's limit, in bytes.
const BODY_BYTES_MAX_DEFAULT: usize = 32 * 1024 * 1024;

/// What to do with a request that no script answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answer 500 and report the request from [`StandIn::finish`].
    Scripted,
    /// Answer from the room's own messages, and say that this is not Claude.
    Offline,
}

/// The settings of a stand-in.
#[derive(Clone, Debug)]
pub struct Options {
    /// What happens when no script answers.
    pub mode: Mode,
    /// The loopback port; 0 takes a free one.
    pub port: u16,
    /// The keys that are accepted; `None` accepts any.
    pub keys: Option<Vec<String>>,
    /// The largest body, in bytes; a larger one gets 413.
    pub body_bytes_max: usize,
    /// Send the 413 as an HTML page, as the API's edge does.
    pub too_large_as_html: bool,
    /// The pause before each delta of an offline answer.
    pub delta_interval: Duration,
}

impl Options {
    /// Returns the options for tests: scripts only, any key, a free port.
    #[must_use]
    pub fn scripted() -> Self {
        Self {
            mode: Mode::Scripted,
            port: 0,
            keys: None,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            too_large_as_html: false,
            delta_interval: Duration::ZERO,
        }
    }

    /// Returns the options for people: it answers by itself.
    #[must_use]
    pub fn offline() -> Self {
        Self { mode: Mode::Offline, ..Self::scripted() }
    }
}

/// Faults of the stand-in itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, or there is no loopback interface.
    #[error("the Claude stand-in cannot listen on {address}: {source} (choose another port, or 0 for a free one)")]
    Listen {
        /// The address that it tried to bind.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Scripts were not used, or requests found no script; a line for each.
    #[error("the Claude stand-in's scripts and requests do not match:\n  {}", .0.join("\n  "))]
    Unfinished(Vec<String>),
    /// No matching request came in time.
    #[error("no such request came to the Claude stand-in within {WAIT_SECONDS_MAX} s; {seen} others did")]
    NoSuchRequest {
        /// How many requests the journal holds.
        seen: usize,
    },
}

/// A running stand-in. Dropping it stops it; [`Self::shutdown`] also waits for that.
#[derive(Debug)]
pub struct StandIn {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
}

impl StandIn {
    /// Binds the port and starts answering.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn start(options: Options) -> Result<Self, Error> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let failed = |source| Error::Listen { address: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            options,
            journal: Journal::new(),
            scripts: Mutex::new(Scripts::default()),
            cache: Mutex::new(Cache::new()),
            memory: Mutex::new(Memory::default()),
            batches: Mutex::default(),
            files: Mutex::default(),
            ids: answer::Ids::default(),
            stop: stop.clone(),
        });
        // Nagle's algorithm would delay small events by 40 ms.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(error = %error, "the stand-in cannot set TCP_NODELAY");
            }
        });
        let serving =
            axum::serve(listener, http::router(shared.clone(), batch_calls::routes().merge(file_calls::routes())))
                .with_graceful_shutdown(stop.cancelled_owned());
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error = %error, "the Claude stand-in stopped serving");
            }
        });
        tasks.close();
        Ok(Self { shared, address, tasks })
    }

    /// Returns the base URL for clients, without `/v1`.
    ///
    /// # Panics
    /// Never: a loopback address with a port is a URL.
    #[must_use]
    pub fn base_url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).expect("a loopback address with a port is a URL")
    }

    /// Queues a turn for the next request that no matcher takes; turns are used in order.
    pub fn enqueue(&self, turn: Turn) {
        lock(&self.shared.scripts).enqueue(turn);
    }

    /// Adds a turn for one request that the matcher takes; turns of equal matchers are used in order.
    pub fn on(&self, matcher: Matcher, turn: Turn) {
        lock(&self.shared.scripts).on(matcher, turn);
    }

    /// Refuses, before any output, every request whose messages or system prompt contain the text, regardless of
    /// scripts.
    pub fn refuse(&self, text: &str) {
        lock(&self.shared.scripts).refuse(None, text);
    }

    /// Does the same for one model alone.
    pub fn refuse_by(&self, model: &str, text: &str) {
        lock(&self.shared.scripts).refuse(Some(model), text);
    }

    /// Answers requests that no script answers by calling a function.
    pub fn respond_with(&self, respond: impl Fn(&RecordedRequest) -> Turn + Send + Sync + 'static) {
        lock(&self.shared.scripts).respond_with(Arc::new(respond));
    }

    /// Returns every request so far, in order, refused ones included; requests about models are in [`Self::looks`], those
    /// about batches in [`Self::batch_calls`].
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        let mut requests = self.shared.journal.all();
        requests.retain(|request| !request.is_look() && !request.is_beside());
        requests
    }

    /// Makes a file, as code in a container would, and returns its id for [`Turn::and_code`].
    #[must_use]
    pub fn make_file(&self, name: &str, bytes: &[u8]) -> String {
        let id = self.shared.ids.next("file");
        lock(&self.shared.files).add(id.clone(), name, bytes.to_vec(), None);
        id
    }

    /// Returns the files that are there: uploaded or made, and not deleted.
    #[must_use]
    pub fn files(&self) -> Vec<StoredFile> {
        lock(&self.shared.files).all()
    }

    /// Fails the next upload.
    pub fn fail_next_upload(&self, failure: Failure) {
        lock(&self.shared.files).fail_next(failure);
    }

    /// Ends every container.
    pub fn expire_containers(&self) {
        lock(&self.shared.files).expire_containers();
    }

    /// Waits until every file is deleted.
    ///
    /// # Errors
    /// [`Error::NoSuchRequest`] after [`WAIT_SECONDS_MAX`].
    pub async fn wait_until_no_file_is_left(&self) -> Result<(), Error> {
        let found = self.shared.journal.wait_for(|_| self.files().is_empty()).await;
        found.map(|_| ()).ok_or_else(|| Error::NoSuchRequest { seen: self.files().len() })
    }

    /// Plans what becomes of the next batch that has no plan yet.
    pub fn plan_batch(&self, plan: BatchPlan) {
        lock(&self.shared.batches).plan(plan);
    }

    /// Returns the batches that were made and not deleted, oldest first, and whether each has ended.
    #[must_use]
    pub fn batches(&self) -> Vec<(String, bool)> {
        lock(&self.shared.batches).ids()
    }

    /// Waits until every batch is deleted.
    ///
    /// # Errors
    /// [`Error::NoSuchRequest`] after [`WAIT_SECONDS_MAX`].
    pub async fn wait_until_no_batch_is_left(&self) -> Result<(), Error> {
        let found = self.shared.journal.wait_for(|_| self.batches().is_empty()).await;
        found.map(|_| ()).ok_or_else(|| Error::NoSuchRequest { seen: self.batch_calls().len() })
    }

    /// Returns every call about batches so far, in order.
    #[must_use]
    pub fn batch_calls(&self) -> Vec<RecordedRequest> {
        let mut calls = self.shared.journal.all();
        calls.retain(|request| request.route.contains("/v1/messages/batches"));
        calls
    }

    /// Returns every request about models so far, in order.
    #[must_use]
    pub fn looks(&self) -> Vec<RecordedRequest> {
        let mut looks = self.shared.journal.all();
        looks.retain(RecordedRequest::is_look);
        looks
    }

    /// Waits until a request satisfies the predicate, e.g. that it arrived, was answered, or lost its client.
    ///
    /// # Errors
    /// [`Error::NoSuchRequest`] after [`WAIT_SECONDS_MAX`].
    pub async fn wait_for_request(&self, wanted: impl Fn(&RecordedRequest) -> bool) -> Result<RecordedRequest, Error> {
        let found = self.shared.journal.wait_for(wanted).await;
        found.ok_or_else(|| Error::NoSuchRequest { seen: self.requests().len() })
    }

    /// Advances the prompt cache's clock.
    pub fn advance_cache_clock(&self, by: Duration) {
        lock(&self.shared.cache).advance(by);
    }

    /// Reports unused scripts and requests that found no script.
    ///
    /// # Errors
    /// [`Error::Unfinished`] with a line for each.
    pub fn finish(&self) -> Result<(), Error> {
        let leftovers = lock(&self.shared.scripts).leftovers();
        if leftovers.is_empty() { Ok(()) } else { Err(Error::Unfinished(leftovers)) }
    }

    /// Stops answering, cuts open streams, and waits until all connections are closed.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
