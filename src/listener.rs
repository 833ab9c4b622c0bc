//! A listener's connections, within a budget of its own.
//!
//! Whoever opens connections and says nothing, or half of a request, takes nothing from anybody: half a request is hung
//! up on after [`HEAD_MAX`], silence after [`IDLE_MAX`], and where the budget is used up the connection on which nothing
//! happened for the longest time makes room. One whose request is being answered is never cut off.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use futures_util::future::BoxFuture;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a request's head may take, from the connection's first moment or the head's first byte.
pub const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long a connection may be silent between two requests; Synapse keeps one for two minutes.
pub const IDLE_MAX: Duration = Duration::from_secs(150);
/// Bytes of a request's head; also what is read ahead of a body.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long calls in flight may go on after shutdown was asked for.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(10);
/// How long accepting rests where the process has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long connections may take; shorter in tests.
#[derive(Clone, Copy, Debug)]
struct Patience {
    head: Duration,
    idle: Duration,
}

/// Answers calls on at most `connections_max` connections until `shutdown` is cancelled, then lets those in flight end,
/// for ten seconds at most.
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

/// Returns the next connection; `None` once there shall be none.
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
            // What goes wrong on a connection is its peer's affair.
            _ = serving.as_mut() => return,
            () = place.evicted.cancelled() => return,
            () = place.overdue(seat.seats.patience) => return,
            () = shutdown.cancelled(), if !is_ending => {
                // Half a request was not handled: its peer knows that once it is hung up on.
                if place.waits_since().is_some() {
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
    /// By number, and the next number.
    taken: Mutex<(u64, BTreeMap<u64, Arc<Place>>)>,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Arc<Place>>)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; where none is free, from whom nothing was heard the longest. `None` where all are being answered.
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

/// A connection's seat, free again once it is dropped.
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

/// What happens on a connection.
struct Place {
    stage: Mutex<(Stage, Instant)>,
    evicted: CancellationToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A request is awaited or has begun, and its head is not complete.
    Asking,
    /// A request is being answered.
    Answering,
    /// Between two requests.
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

    /// The rest of a long answer is on its way.
    fn wrote(&self) {
        let mut stage = self.lock();
        if stage.0 == Stage::Idle {
            stage.1 = Instant::now();
        }
    }

    fn waits_since(&self) -> Option<Instant> {
        let stage = self.lock();
        (stage.0 != Stage::Answering).then_some(stage.1)
    }

    /// Returns once nothing happened for too long.
    async fn overdue(&self, patience: Patience) {
        loop {
            let due = {
                let (stage, since) = *self.lock();
                match stage {
                    Stage::Asking => Some(since + patience.head),
                    Stage::Idle => Some(since + patience.idle),
                    Stage::Answering => None,
                }
            };
            match due {
                Some(due) if due <= Instant::now() => return,
                // Looked at again before half a request could be late.
                Some(due) => sleep_until(due.min(Instant::now() + patience.head)).await,
                None => sleep(patience.head).await,
            }
        }
    }
}

/// The router, which says when a request is being answered.
struct Counted {
    router: TowerToHyperService<Router>,
    place: Arc<Place>,
}

/// Says that a request is answered, or that its peer is gone.
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
        self.place.set(Stage::Answering);
        let answering = Answering(self.place.clone());
        let answered = self.router.call(request.map(Body::new));
        Box::pin(async move {
            let _answering = answering;
            answered.await
        })
    }
}

/// A stream that notes when something passes.
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
