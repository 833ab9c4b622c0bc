//! The connections of one listener, within its own budget.
//!
//! An idle peer cannot starve the others. A half-sent head is hung up on after [`HEAD_MAX`], a silent connection
//! after [`IDLE_MAX`]. When the budget is used up, the connection that has been silent the longest makes room, also one
//! that has sent half a body. A connection whose whole request is being answered is never cut off.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use futures_util::future::BoxFuture;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::Service,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a request's head may take, counted from the connection's start or from the head's first byte.
pub const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long a connection may be silent between two requests; Synapse keeps one open for two minutes.
pub const IDLE_MAX: Duration = Duration::from_secs(150);
/// Most bytes of a request's head; also the read buffer's size for a body.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long calls in flight may continue after shutdown was requested.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(10);
/// Pause before accepting again when the process has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The timeouts of a connection; shorter in tests.
#[derive(Clone, Copy, Debug)]
struct Patience {
    head: Duration,
    idle: Duration,
}

/// Serves at most `connections_max` connections until `shutdown` is cancelled, then gives calls in flight ten seconds
/// to end.
pub async fn serve(listener: TcpListener, router: Router, connections_max: usize, shutdown: CancellationToken) {
    let patience = Patience { head: HEAD_MAX, idle: IDLE_MAX };
    serve_with(listener, router, connections_max, patience, shutdown).await;
}

async fn serve_with(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    patience: Patience,
    shutdown: CancellationToken,
) {
    let seats = Arc::new(Seats { most: connections_max, patience, taken: Mutex::default() });
    let connections = TaskTracker::new();
    while let Some(stream) = accept(&listener, &shutdown).await {
        // Without TCP_NODELAY each answer waits 40 ms for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set on a connection");
        }
        let Some(seat) = seats.take() else {
            tracing::warn!(connections_max, "every connection is being answered; another one was hung up on");
            continue;
        };
        connections.spawn(connection(stream, router.clone(), seat, shutdown.clone()));
    }
    drop(listener);
    connections.close();
    if timeout(SHUTDOWN_WAIT, connections.wait()).await.is_err() {
        tracing::warn!("calls were still open {} s after shutdown began; they are cut off", SHUTDOWN_WAIT.as_secs());
        seats.clear();
        connections.wait().await;
    }
}

/// Accepts the next connection; `None` after shutdown.
async fn accept(listener: &TcpListener, shutdown: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted; trying again");
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, router: Router, seat: Seat, shutdown: CancellationToken) {
    let place = seat.place.clone();
    let io = TokioIo::new(Watched { stream, place: place.clone() });
    let service = Counted { router: TowerToHyperService::new(router), place: place.clone() };
    let serving = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).serve_connection(io, service);
    tokio::pin!(serving);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // An error on a connection concerns only its peer.
            _ = serving.as_mut() => return,
            () = place.evicted.cancelled() => return,
            () = place.overdue(seat.seats.patience) => return,
            () = shutdown.cancelled(), if !is_ending => {
                // Half a request was not handled; hanging up tells its peer so.
                if place.asks_nothing() {
                    return;
                }
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The connections of a listener.
struct Seats {
    most: usize,
    patience: Patience,
    /// The next number to give out, and the taken seats by number.
    taken: Mutex<(u64, BTreeMap<u64, Arc<Place>>)>,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Arc<Place>>)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, evicting the connection that has been silent the longest if none is free. `None` if all are being
    /// answered.
    fn take(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.lock();
        if taken.1.len() >= self.most {
            let waits = taken.1.iter().filter_map(|(number, place)| place.waits_since().map(|since| (since, *number)));
            let (_, longest) = waits.min()?;
            if let Some(place) = taken.1.remove(&longest) {
                place.evicted.cancel();
            }
        }
        let number = taken.0;
        taken.0 += 1;
        let place = Arc::new(Place::new());
        taken.1.insert(number, place.clone());
        Some(Seat { seats: self.clone(), number, place })
    }

    fn clear(&self) {
        for place in self.lock().1.values() {
            place.evicted.cancel();
        }
    }
}

/// A connection's seat; dropping it frees the seat.
struct Seat {
    seats: Arc<Seats>,
    number: u64,
    place: Arc<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().1.remove(&self.number);
    }
}

/// The state of one connection.
struct Place {
    stage: Mutex<(Stage, Instant)>,
    evicted: CancellationToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waiting for a request's head to be complete.
    Asking,
    /// Waiting for the rest of a request's body; how long that may take is its handler's to say.
    Sending,
    /// A request is being answered.
    Answering,
    /// Waiting for the next request.
    Idle,
}

impl Place {
    fn new() -> Self {
        Self { stage: Mutex::new((Stage::Asking, Instant::now())), evicted: CancellationToken::new() }
    }

    fn lock(&self) -> MutexGuard<'_, (Stage, Instant)> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        *self.lock() = (stage, Instant::now());
    }

    fn read(&self) {
        let mut stage = self.lock();
        if stage.0 == Stage::Idle {
            *stage = (Stage::Asking, Instant::now());
        }
    }

    /// Restarts the idle clock: the rest of a long answer is still being written.
    fn wrote(&self) {
        let mut stage = self.lock();
        if stage.0 == Stage::Idle {
            stage.1 = Instant::now();
        }
    }

    /// Notes that a part of the body came, or its end.
    fn sent(&self, is_whole: bool) {
        let mut stage = self.lock();
        if stage.0 == Stage::Sending {
            *stage = (if is_whole { Stage::Answering } else { Stage::Sending }, Instant::now());
        }
    }

    fn waits_since(&self) -> Option<Instant> {
        let stage = self.lock();
        (stage.0 != Stage::Answering).then_some(stage.1)
    }

    /// Returns whether no request is under way.
    fn asks_nothing(&self) -> bool {
        matches!(self.lock().0, Stage::Asking | Stage::Idle)
    }

    /// Returns once the connection has exceeded its current timeout.
    async fn overdue(&self, patience: Patience) {
        loop {
            let due = {
                let (stage, since) = *self.lock();
                match stage {
                    Stage::Asking => Some(since + patience.head),
                    Stage::Idle => Some(since + patience.idle),
                    Stage::Sending | Stage::Answering => None,
                }
            };
            match due {
                Some(due) if due <= Instant::now() => return,
                // Wakes early enough to catch a head that begins in the meantime.
                Some(due) => sleep_until(due.min(Instant::now() + patience.head)).await,
                None => sleep(patience.head).await,
            }
        }
    }
}

/// A router that marks its connection while a request is being answered.
struct Counted {
    router: TowerToHyperService<Router>,
    place: Arc<Place>,
}

/// Marks the connection as answering until it is dropped, by completion or by the peer's going away.
struct Answering(Arc<Place>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(Stage::Idle);
    }
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let is_whole = hyper::body::Body::is_end_stream(request.body());
        self.place.set(if is_whole { Stage::Answering } else { Stage::Sending });
        let answering = Answering(self.place.clone());
        let place = self.place.clone();
        let answered = self.router.call(request.map(|body| Body::new(Sent { body, place })));
        Box::pin(async move {
            let _answering = answering;
            answered.await
        })
    }
}

/// A request's body that records when parts of it come.
struct Sent {
    body: Incoming,
    place: Arc<Place>,
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.place.sent(self.body.is_end_stream()),
            Poll::Ready(None | Some(Err(_))) => self.place.sent(true),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that records when bytes pass.
struct Watched {
    stream: TcpStream,
    place: Arc<Place>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.place.read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.noted(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.noted(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Watched {
    fn noted(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
            self.place.wrote();
        }
        polled
    }
}

#[cfg(test)]
mod tests;
