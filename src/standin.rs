//! A strict stand-in for the Claude Messages API, over real HTTP on loopback.
//!
//! It is the tests' Claude and the demo's when no key is set. It judges requests by its own reading of the API
//! (never by `crate::claude`'s types), simulates the prompt cache and thinking signatures, answers by script or by
//! itself, misbehaves on demand, and keeps a journal of everything it was asked.
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
mod cache;
mod http;
mod journal;
mod models;
mod offline;
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

pub use journal::{RecordedFile, RecordedRequest, WAIT_SECONDS_MAX};
pub use script::Matcher;
pub use turn::{Failure, Fault, Gate, Turn};

use cache::Cache;
use http::{Memory, Shared, lock};
use journal::Journal;
use script::Scripts;

/// The size that the real API takes, in bytes.
const BODY_BYTES_MAX_DEFAULT: usize = 32 * 1024 * 1024;

/// What the stand-in does with a request that no script answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is a loud 500 and is reported by [`StandIn::finish`].
    Scripted,
    /// It is answered from the room's own messages, saying that this is not Claude.
    Offline,
}

/// How a stand-in is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// What happens without a script.
    pub mode: Mode,
    /// The loopback port; 0 takes a free one.
    pub port: u16,
    /// The keys that are accepted; `None` accepts any.
    pub keys: Option<Vec<String>>,
    /// The largest body, in bytes; beyond it the answer is 413.
    pub body_bytes_max: usize,
    /// The 413 is an HTML page, as the API's edge sends it.
    pub too_large_as_html: bool,
    /// The pause before each delta of an offline answer.
    pub delta_interval: Duration,
}

impl Options {
    /// Returns the setting for tests: scripts alone, any key, a free port.
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

    /// Returns the setting for people: it answers by itself.
    #[must_use]
    pub fn offline() -> Self {
        Self { mode: Mode::Offline, ..Self::scripted() }
    }
}

/// What can go wrong with a stand-in itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken or loopback is not there.
    #[error("the Claude stand-in cannot listen on {address}: {source} (choose another port, or 0 for a free one)")]
    Listen {
        /// The address that was tried.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Scripts were left over, or requests found none.
    #[error("the Claude stand-in's scripts and requests do not match:\n  {}", .0.join("\n  "))]
    Unfinished(Vec<String>),
    /// No request of that kind came in time.
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
    /// Binds the port and begins to answer.
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
            ids: answer::Ids::default(),
            stop: stop.clone(),
        });
        // Without it Nagle's algorithm would hold small events back for 40 ms.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(error = %error, "the stand-in cannot set TCP_NODELAY");
            }
        });
        let serving =
            axum::serve(listener, http::router(shared.clone())).with_graceful_shutdown(stop.cancelled_owned());
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

    /// Adds a turn for the next request that no matcher takes; turns are used in order.
    pub fn enqueue(&self, turn: Turn) {
        lock(&self.shared.scripts).enqueue(turn);
    }

    /// Adds a turn for one request that the matcher takes; several of the same matcher are used in order.
    pub fn on(&self, matcher: Matcher, turn: Turn) {
        lock(&self.shared.scripts).on(matcher, turn);
    }

    /// Refuses, before any output, every request whose messages or instructions hold that text, whatever the scripts say.
    pub fn refuse(&self, text: &str) {
        lock(&self.shared.scripts).refuse(text);
    }

    /// Answers by a function whatever no script answers.
    pub fn respond_with(&self, respond: impl Fn(&RecordedRequest) -> Turn + Send + Sync + 'static) {
        lock(&self.shared.scripts).respond_with(Arc::new(respond));
    }

    /// Returns every request so far, in order, the refused ones too; looks at models stand in [`Self::looks`].
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        let mut requests = self.shared.journal.all();
        requests.retain(|request| !request.is_look());
        requests
    }

    /// Returns every look at models so far, in order.
    #[must_use]
    pub fn looks(&self) -> Vec<RecordedRequest> {
        let mut looks = self.shared.journal.all();
        looks.retain(RecordedRequest::is_look);
        looks
    }

    /// Waits until a request satisfies the predicate: that it came, was answered, or lost its client.
    ///
    /// # Errors
    /// [`Error::NoSuchRequest`] after [`WAIT_SECONDS_MAX`].
    pub async fn wait_for_request(&self, wanted: impl Fn(&RecordedRequest) -> bool) -> Result<RecordedRequest, Error> {
        let found = self.shared.journal.wait_for(wanted).await;
        found.ok_or_else(|| Error::NoSuchRequest { seen: self.requests().len() })
    }

    /// Lets time pass for the prompt cache's entries.
    pub fn advance_cache_clock(&self, by: Duration) {
        lock(&self.shared.cache).advance(by);
    }

    /// Reports scripts that nobody asked for and requests that found no script.
    ///
    /// # Errors
    /// [`Error::Unfinished`] with a line for each.
    pub fn finish(&self) -> Result<(), Error> {
        let leftovers = lock(&self.shared.scripts).leftovers();
        if leftovers.is_empty() { Ok(()) } else { Err(Error::Unfinished(leftovers)) }
    }

    /// Stops answering, cuts the streams that are open, and waits until all is closed.
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
